# SPDX-License-Identifier: Apache-2.0
"""Groups of secret rows: how many there are, and how large, stays secret.

Rows are sorted by their keys, and what is summed over a group is a difference of running sums at its ends: no scan over
the rows. Least and largest values, quantiles and different values come of sorting by key and value. Keys of a small
public domain need no sort: one code in the place of the key, and a matrix product.

Source: groups by sorting as in Asharov, Hamada, Kikuchi, Nof, Pinkas, Tomida 2023 (CCS); see `library.groups`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Final

import numpy as np

from tacit.frontends.arithmetic import (
    add,
    equal,
    logical_and,
    logical_not,
    logical_xor,
    matmul,
    maximum,
    multiply,
    not_equal,
    subtract,
    where,
)
from tacit.frontends.array import Owner, SecretArray
from tacit.frontends.groups import one_hot, run_ends, run_starts, running_max, running_sum
from tacit.frontends.operands import astype, public
from tacit.frontends.reductions import all as all_of
from tacit.frontends.reductions import max as max_of
from tacit.frontends.reductions import min as min_of
from tacit.frontends.reductions import sum as sum_of
from tacit.frontends.shaping import getitem, matrix_transpose, reshape
from tacit.frontends.sql import rows as on
from tacit.frontends.sql import vectors
from tacit.frontends.sql.algebra import ALIKE, Aggregate, Column
from tacit.frontends.sql.frame import Frame, SortWord, Vector
from tacit.frontends.sql.rows import Flag
from tacit.frontends.sql.statistics import Made, moment, quantile
from tacit.frontends.sql.types import SqlType
from tacit.plan import BOOL, INT64

CODES: Final = 48
"""Up to so many combinations of keys a code in the place of the key is cheaper than a sort."""
Ordering = tuple[Column, bool, bool]
"""A key to sort groups by, whether it is descending, and whether its NULLs come first."""
ORDERED: Final = frozenset(["min", "max", "any_value", "first", "mode", "median", "quantile_cont", "quantile_disc"])
"""Aggregates for which rows are sorted by a value as well."""


def by_value(a: Aggregate) -> bool:
    """Whether an aggregate may need rows that are sorted by their value as well."""
    anywhere = a.name == "any_value" and a.where is None and (ALIKE in a.options or not a.args[0].nullable)
    return a.distinct or (a.name in ORDERED and not anywhere)


@dataclass(frozen=True)
class Wanted:
    """An aggregate with its operands [rows], NULL in rows that it leaves out, and by which words FIRST orders rows."""

    column: Column
    aggregate: Aggregate
    args: tuple[Vector, ...]
    order: tuple[SortWord, ...] = ()

    @property
    def ordered(self) -> bool:
        """Whether the rows of each group have to be in the order of its operand."""
        return (self.aggregate.name in ORDERED and not self.anywhere) or self.aggregate.distinct

    @property
    def anywhere(self) -> bool:
        """Whether it is what stands in any row of the group."""
        a = self.aggregate
        return a.name == "any_value" and (ALIKE in a.options or self.args[0].null is None)


def group(
    frame: Frame,
    keys: Mapping[Column, Vector],
    wanted: Sequence[Wanted],
    program: Owner,
    *,
    most: int | None = None,
    counted: bool = False,
    order: Iterable[Ordering] = (),
) -> tuple[Frame, SecretArray | None, str]:
    """(one row for each combination of keys, the number of rows in each if it is asked for, how it is done).

    `frame` says how many rows there are, which are meant, and in what order they stand. Without keys there is one row.
    With keys at most as many as the keys have combinations, and as `most` says; sorted by the keys that `order` names,
    then the others, if rows have to be sorted at all.
    """
    if not keys:
        return *_all(frame, wanted, program), ""
    codes = _codes(keys, program)
    if codes is not None and not any(w.ordered or w.anywhere for w in wanted):
        return *_coded(frame, keys, wanted, codes, program), "one place for each combination of keys"
    size = frame.rows if most is None else min(most, frame.rows)
    if all(len(v.words) == 1 and v.denominator is None and not v.words[0].dtype.is_fixed for v in keys.values()):
        size = min(size, prod(_width(v) for v in keys.values()))
    turned = {c: (descending, nulls_first) for c, descending, nulls_first in order}
    words = [
        w for c in dict.fromkeys((*turned, *keys)) for w in vectors.sort_words(keys[c], *turned.get(c, (False, False)))
    ]
    if on.is_together(frame.order, words) and not any(w.ordered for w in wanted):
        return *_together(frame, keys, wanted, words, program, size, counted), "in order already"
    return *_sorted(frame, keys, wanted, words, program, size, counted), "sorted"


# --- without keys ---------------------------------------------------------------------------------------------------


def _all(frame: Frame, wanted: Sequence[Wanted], program: Owner) -> tuple[Frame, SecretArray]:
    """One row over all rows that are meant."""
    if frame.present is not None:
        # Rows that are not meant are NULL like those that an aggregate leaves out.
        wanted = [_where(w, frame.present) for w in wanted]
    sums = _Sums(on.filled(program, frame.rows, 1, INT64) if frame.present is None else on.bit(frame.present))
    rows = sums.of(sums.ones)
    made: dict[Column, Made] = {}
    columns: dict[Column, Vector] = {}
    for w in wanted:
        if w.ordered or w.anywhere:
            columns[w.column] = _only(w) if _is_plain(w) else _ordered([], {}, [w], 1, program)[0][w.column]
        else:
            made[w.column] = _linear(w, sums, keyed=False)
    found = [reshape(sum_of(x), (1,)) for x in sums.arrays]
    columns |= {c: m(found) for c, m in made.items()}
    ordered = {w.column: columns[w.column] for w in wanted}
    return Frame(1, ordered, compact=True), found[rows]


def _where(w: Wanted, flag: SecretArray) -> Wanted:
    order = ((logical_not(flag), False), *w.order) if w.order else ()
    return replace(w, order=order, args=tuple(vectors.null_if_absent(v, flag) for v in w.args))


def _is_plain(w: Wanted) -> bool:
    """Whether this is a least or largest number: found without a sort."""
    v = w.args[0]
    return w.aggregate.name in ("min", "max") and len(v.words) == 1 and v.denominator is None


def _only(w: Wanted) -> Vector:
    """The least or largest of all values."""
    v = w.args[0]
    x = on.bit(v.words[0])
    interval = x.node.type.interval
    least = w.aggregate.name == "min"
    if v.null is not None:
        edge = vectors.public(x.program, interval.hi if least else interval.lo, x.dtype, len(x))
        x = where(v.null, edge, x)
    found = reshape((min_of if least else max_of)(x), (1,))
    null = None if v.null is None else reshape(all_of(v.null), (1,))
    return vectors.masked(Vector(v.type, (astype(found, v.words[0].dtype),), null))


# --- by a code ------------------------------------------------------------------------------------------------------


def _codes(keys: Mapping[Column, Vector], program: Owner) -> SecretArray | None:
    """Numbers from 0 for the combinations of keys, the first key being the most significant; None if too many."""
    if any(len(v.words) != 1 or v.denominator is not None or v.words[0].dtype.is_fixed for v in keys.values()):
        return None
    if prod(_width(v) for v in keys.values()) > CODES:
        return None
    total: SecretArray | None = None
    for v in keys.values():
        x = on.bit(v.words[0])
        interval = x.node.type.interval
        code = subtract(x, interval.lo) if interval.lo else x
        if v.null is not None:
            code = where(v.null, _width(v) - 1, code)
        total = code if total is None else add(multiply(total, _width(v)), code)
    return total


def _width(v: Vector) -> int:
    """How many values a key can have."""
    interval = v.words[0].node.type.interval
    return interval.hi - interval.lo + 1 + (v.null is not None)


def _coded(
    frame: Frame, keys: Mapping[Column, Vector], wanted: Sequence[Wanted], codes: SecretArray, program: Owner
) -> tuple[Frame, SecretArray]:
    """One row for each combination that the keys could have; those that do occur are meant."""
    total = prod(_width(v) for v in keys.values())
    if frame.present is not None:
        codes = where(frame.present, codes, total)
    hot = matrix_transpose(one_hot(codes, total + (frame.present is not None)))
    hot = hot if len(hot) == total else getitem(hot, slice(0, total))
    sums = _Sums(on.filled(program, frame.rows, 1, INT64))
    rows = sums.of(sums.ones)
    made = {w.column: _linear(w, sums, keyed=True) for w in wanted}
    found = [
        sum_of(hot, axis=1) if k == rows else reshape(matmul(hot, reshape(x, (frame.rows, 1))), (total,))
        for k, x in enumerate(sums.arrays)
    ]
    columns, each = {}, total
    for column, v in keys.items():
        each //= _width(v)
        code = np.arange(total) // each % _width(v)
        word, null = v.words[0], None
        interval = word.node.type.interval
        if v.null is not None:
            missing = code == _width(v) - 1
            code, null = np.where(missing, -interval.lo, code), public(program, missing)
        values = code + interval.lo
        columns[column] = Vector(
            v.type, (public(program, values.astype(bool) if word.dtype == BOOL else values),), null
        )
    columns |= {c: m(found) for c, m in made.items()}
    order = [word for c in keys for word in vectors.sort_words(columns[c], False, False)]
    return Frame(total, columns, not_equal(found[rows], 0), order=tuple(order)), found[rows]


# --- by a sort ------------------------------------------------------------------------------------------------------


def _sorted(
    frame: Frame,
    keys: Mapping[Column, Vector],
    wanted: Sequence[Wanted],
    by: Sequence[SortWord],
    program: Owner,
    size: int,
    counted: bool,
) -> tuple[Frame, SecretArray | None]:
    """One row for each group, in the order of the words `by` of keys, then rows that are not meant."""
    words = on.joined([*_absent(frame.present), *by])
    by_value: dict[object, list[Wanted]] = {}
    for w in wanted:
        if w.ordered:
            own: tuple[object, ...] = tuple((x.node, turned) for x, turned in w.order)
            by_value.setdefault(own or tuple(a.node for a in w.args[0].arrays), []).append(w)
    plain = [w for w in wanted if not w.ordered]
    # What needs no order of its own goes with the first sort.
    first, *others = [*by_value.values()] or [[]]
    columns, present, counts = _ordered(words, keys, [*first, *plain], size, program, frame.present, counted)
    for more in others:
        columns |= _ordered(words, {}, more, size, program)[0]
    ordered = {c: columns[c] for c in (*keys, *(w.column for w in wanted))}
    return Frame(size, ordered, present, True, on.following(by, keys, columns)), counts


def _given(keys: Mapping[Column, Vector], wanted: Sequence[Wanted]) -> dict[Column | tuple[Column, int], Vector]:
    """What moves with the rows: the keys, and of each aggregate its operands by their places."""
    given: dict[Column | tuple[Column, int], Vector] = dict(keys.items())
    return given | {(w.column, k): v for w in wanted for k, v in enumerate(w.args)}


def _absent(present: Flag) -> list[SortWord]:
    """What puts rows that are not meant last."""
    return [] if present is None else [(logical_not(present), False)]


def _together(
    frame: Frame,
    keys: Mapping[Column, Vector],
    wanted: Sequence[Wanted],
    by: Sequence[SortWord],
    program: Owner,
    size: int,
    counted: bool,
) -> tuple[Frame, SecretArray | None]:
    """As `_sorted`, where the rows of each group stand together, and nothing has to be sorted."""
    order = frame.order[: len({w.node for w, _ in by})]
    given = _given(keys, wanted)
    present, moved, firsts = frame.present, given, frame.firsts if len(order) == len(frame.order) else None
    if present is not None and not frame.compact and firsts is None:
        moved, _, present = on.kept(present, frame.rows, given)
    rows, flags = frame.rows, [] if present is None else [present]
    # Row 0 is no first one.
    size = size if firsts is None else min(size, rows - 1)
    words = [w for w, _ in on.joined([*_absent(present), *on.following(order, given, moved)])]
    runs = _Runs(words, [], rows, size, program, firsts)
    columns, present, counts = _reduced(runs, keys, wanted, moved, flags, counted)
    ordered = {c: columns[c] for c in (*keys, *(w.column for w in wanted))}
    return Frame(size, ordered, present, True, on.following(order, keys, columns)), counts


def _ordered(
    words: Sequence[SortWord],
    keys: Mapping[Column, Vector],
    wanted: Sequence[Wanted],
    size: int,
    program: Owner,
    present: Flag = None,
    counted: bool = False,
) -> tuple[dict[Column, Vector], Flag, SecretArray | None]:
    """(keys and aggregates of each group, which groups are meant, how many rows each has if it is asked for).

    Rows are sorted by `words`, and then by what all aggregates that want an order have in common: their operand, or
    their own order.
    """
    ordering = next((w for w in wanted if w.ordered), None)
    values: Sequence[SortWord] = ()
    if ordering is not None:
        values = ordering.order or vectors.sort_words(ordering.args[0], False, False)
    given = _given(keys, wanted)
    flags = [] if present is None else [present]
    rows = len(words[0][0]) if words else len(next(iter(given.values())).words[0])
    moved, others = on.in_order([*words, *values], given, *(w for w, _ in [*words, *values]), *flags)
    runs = _Runs(others[: len(words)], others[len(words) : len(words) + len(values)], rows, size, program)
    return _reduced(runs, keys, wanted, moved, others[len(words) + len(values) :], counted)


def _reduced(
    runs: _Runs,
    keys: Iterable[Column],
    wanted: Sequence[Wanted],
    moved: Mapping[Column | tuple[Column, int], Vector],
    flags: Sequence[SecretArray],
    counted: bool,
) -> tuple[dict[Column, Vector], Flag, SecretArray | None]:
    """As `_ordered`, of rows that are in order; `flags`: which of them are meant, unless all are."""
    sums = _Sums(on.filled(runs.program, runs.rows, 1, INT64))
    count = sums.of(sums.ones) if counted else None
    columns: dict[Column, Vector] = {}
    made: dict[Column, Made] = {}
    first = {c: moved[c] for c in keys}
    for w in wanted:
        own = replace(w, args=tuple(moved[w.column, k] for k in range(len(w.args))))
        if w.aggregate.distinct:
            own = _where(own, runs.different)
        if w.anywhere:
            first[w.column] = own.args[0]
        elif w.aggregate.name in ORDERED:
            columns[w.column] = _picked(own, runs)
        else:
            made[w.column] = _linear(own, sums, keyed=True)
    heads, rest, valid, found = runs.reduced(first, sums.arrays, *flags)
    columns |= {c: m(found) for c, m in made.items()}
    present = rest[0] if rest else valid
    if vectors.known(present) is not None:
        # What no row differs in is not moved, so it does not say how many groups there are.
        present = logical_and(present, valid)
    return heads | columns, present, None if count is None else found[count]


class _Runs:
    """Sorted rows as runs of equal `words`, and what is found of each run: as `size` arrays in the order of runs.

    Where other rows stand between them, `firsts` says where the runs of those that are meant start; never on row 0.
    """

    def __init__(
        self,
        words: Sequence[SecretArray],
        values: Sequence[SecretArray],
        rows: int,
        size: int,
        program: Owner,
        firsts: SecretArray | None = None,
    ) -> None:
        self._words, self._values, self._firsts = words, values, firsts
        self.rows, self.program, self.size = rows, program, size
        starts = run_starts(*words) if words else on.first_row(program, rows)
        self.starts = starts if firsts is None else firsts

    @cached_property
    def different(self) -> SecretArray:
        """On the first row of each different value in a run."""
        return run_starts(*self._words, *self._values)

    def ends(self, *more: SecretArray) -> SecretArray:
        """On the last row of each run of rows that agree in `more` as well."""
        if not self._words and not more:
            return on.ends_of(self.starts)
        return run_ends(*self._words, *more)

    def reduced(
        self, first: Mapping[Column, Vector], sums: Sequence[SecretArray], *others: SecretArray
    ) -> tuple[dict[Column, Vector], list[SecretArray], SecretArray, list[SecretArray]]:
        """(the first row of columns and of other arrays in each run, which results are meant, the sums of arrays)."""
        if not self._words:
            columns, rest, valid = on.kept(self.starts, self.size, first, *others)
            return columns, rest, valid, [reshape(sum_of(x), (1,)) for x in sums]
        if self._firsts is None:
            return on.reduced(self.starts, self.size, first, sums, *others)
        # The sum over a run goes on to the first row of the next; and row 0 starts one whatever its flag.
        absent, size = logical_not(others[0]), self.size + 1
        masked = [vectors.zero_where(absent, x) for x in sums]
        columns, _, valid, found = on.reduced(self.starts, size, first, masked)
        cut = on.first(Frame(size, columns, valid), size, 1)
        return (
            cut.columns,
            [],
            on.known(cut.present, self.size, self.program),
            [getitem(x, slice(1, size)) for x in found],
        )

    def places(self, here: Flag) -> tuple[SecretArray, SecretArray]:
        """(the number of each row in its run, from 0; how many rows of the run are `here`, which come first)."""
        ones = on.filled(self.program, len(self.starts), 1, INT64) if here is None else on.bit(here)
        running = running_sum(self.starts, ones)
        return subtract(running, 1), on.backward(self.ends(), {}, running)[1][0]

    def at(self, flag: SecretArray, v: Vector) -> Vector:
        """The value on the one row of each run where a flag holds."""
        return on.kept(flag, self.size, {0: v})[0][0]


def _picked(w: Wanted, runs: _Runs) -> Vector:
    """What stands at some place of each run, whose rows are in the order of the operand, NULL last."""
    v = w.args[0]
    if w.aggregate.name in ("min", "any_value", "first"):
        return runs.at(runs.starts, v)
    if w.aggregate.name == "max":
        if v.null is None:
            return runs.at(runs.ends(), v)
        last = logical_and(runs.ends(v.null), logical_not(v.null))
        return runs.at(logical_xor(last, logical_and(runs.starts, v.null)), v)
    if w.aggregate.name == "mode":
        return runs.at(_most_frequent(v, runs), v)
    fraction = Fraction(w.aggregate.options[0]) if w.aggregate.options else Fraction(1, 2)
    return quantile(w.aggregate.name, w.aggregate.type, v, fraction, runs)


def _most_frequent(v: Vector, runs: _Runs) -> SecretArray:
    """On one row of each run with the value that the most rows have, the least of such values; NULL does not count."""
    here = on.filled(runs.program, len(runs.starts), 1, INT64) if v.null is None else on.bit(logical_not(v.null))
    seen = running_sum(runs.different, here)
    most = on.backward(runs.ends(), {}, running_max(runs.starts, seen))[1][0]
    found = equal(seen, most)
    return logical_and(found, equal(running_sum(runs.starts, on.bit(found)), 1))


# --- what is a matter of sums ---------------------------------------------------------------------------------------


class _Sums:
    """Arrays to sum over each group, each different one once; `ones` counts rows."""

    def __init__(self, ones: SecretArray) -> None:
        self.ones, self.rows = ones, len(ones)
        self.arrays: list[SecretArray] = []

    def of(self, x: SecretArray) -> int:
        """The place that the sum of x will have."""
        for k, known in enumerate(self.arrays):
            if known.node is x.node:
                return k
        self.arrays.append(x)
        return len(self.arrays) - 1

    def count(self, *args: Vector) -> int:
        """The number of rows where no operand is NULL."""
        flag = on.not_null(args)
        return self.of(self.ones if flag is None else on.bit(flag))


def _linear(w: Wanted, sums: _Sums, *, keyed: bool) -> Made:
    """An aggregate that follows from sums over each group."""
    name, args, kind = w.aggregate.name, w.args, w.aggregate.type
    may_lack = not keyed or any(v.null is not None for v in args)
    if name == "sum" and not may_lack:
        return _sum(w, sums, None, lambda _: None)
    n = sums.count(*args)
    if name in ("count_star", "count", "regr_count"):
        return lambda found: Vector(kind, (found[n],))

    def lacking(found: Sequence[SecretArray]) -> SecretArray | None:
        return equal(found[n], 0) if may_lack else None

    if name in ("bool_and", "bool_or"):
        true = sums.of(on.bit(args[0].words[0]))
        if name == "bool_and":
            # Of no values this would be true.
            return lambda found: vectors.masked(Vector(kind, (equal(found[true], found[n]),), lacking(found)))
        return lambda found: Vector(kind, (not_equal(found[true], 0),), lacking(found))
    if name in ("sum", "avg"):
        return _sum(w, sums, n, lacking)
    return moment(name, args, sums.rows, sums.of, n)


def _sum(w: Wanted, sums: _Sums, n: int | None, lacking: Callable[[Sequence[SecretArray]], SecretArray | None]) -> Made:
    v = summable(w.args[0])
    total = sums.of(on.bit(v.words[0]))

    def made(found: Sequence[SecretArray]) -> Vector:
        # A sum that is never NULL needs no count.
        return from_sums(
            w.aggregate.name, w.aggregate.type, v, found[total], found[total if n is None else n], lacking(found)
        )

    return made


def summable(v: Vector) -> Vector:
    """The same values over one public denominator, or none: then sums of words are sums of values."""
    return vectors.fixed(v) if v.denominator is not None and vectors.known(v.denominator) is None else v


def from_sums(
    name: str, kind: SqlType, v: Vector, total: SecretArray, count: SecretArray, null: SecretArray | None
) -> Vector:
    """The sum or the mean (`avg`) of what `summable` gives, from the sum of its words and how many are not NULL."""
    divisor = 1 if v.denominator is None else vectors.known(v.denominator)
    assert divisor is not None
    if name == "sum" and v.denominator is None:
        return Vector(kind, (total,), null)
    if name == "sum":
        return vectors.quotient(total, vectors.public(total.program, divisor, INT64, len(total)), v.type.scale, null)
    count = maximum(count, 1)
    if v.type.kind == "double" and v.denominator is None:
        total, divisor = vectors.last_places(total), vectors.UNIT
    return vectors.quotient(total, count if divisor == 1 else multiply(count, divisor), v.type.scale, null)
