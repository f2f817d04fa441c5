# SPDX-License-Identifier: Apache-2.0
"""Rows of secret tables as a whole: moving all columns alike, putting them in order, on top of or beside each other.

What moves rows opens random permutations only, which the plan lists; a sort opens how randomly shuffled rows compare,
which does not depend on the data either (`ordering`, `groups`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Final, TypeVar

import numpy as np

from tacit.frontends.arithmetic import add, logical_and, logical_not, logical_or, multiply, subtract
from tacit.frontends.array import Owner, SecretArray
from tacit.frontends.graph import Record
from tacit.frontends.groups import aggregate, compress, fill_forward, run_starts
from tacit.frontends.operands import numbers, public
from tacit.frontends.ordering import sort_by
from tacit.frontends.shaping import broadcast_to, concat, flip, getitem, reshape
from tacit.frontends.sql import vectors
from tacit.frontends.sql.frame import Frame, SortWord, Vector
from tacit.plan import BOOL, INT64, DType

Key = TypeVar("Key", bound=Hashable)

Flag = SecretArray | None
"""Bools [rows]; None: true in every row."""

WORD: Final = 2**62
"""As many values fit a word that keys are joined to, so that differences of two keep their sign."""


# --- flags ----------------------------------------------------------------------------------------------------------


def both(*flags: Flag) -> Flag:
    """The conjunction of flags; None if it holds in every row."""
    known = [f for f in flags if f is not None and not (_uniform(f) and vectors.known(f))]
    out = known[0] if known else None
    for flag in known[1:]:
        assert out is not None
        out = logical_and(out, flag)
    return out


def either(*flags: SecretArray | None) -> SecretArray | None:
    """The disjunction of flags, where None is false in every row, such as those of NULL."""
    known = [f for f in flags if f is not None]
    out = known[0] if known else None
    for flag in known[1:]:
        assert out is not None
        out = logical_or(out, flag)
    return out


def inverse(flag: Flag, rows: int, program: Owner) -> SecretArray:
    """Where a flag does not hold."""
    return filled(program, rows, False) if flag is None else logical_not(flag)


def known(flag: Flag, rows: int, program: Owner) -> SecretArray:
    """A flag as an array."""
    return filled(program, rows, True) if flag is None else flag


def not_null(vectors: Iterable[Vector]) -> Flag:
    """Where none of some values is NULL."""
    nulls = either(*(v.null for v in vectors))
    return None if nulls is None else logical_not(nulls)


def filled(program: Owner, rows: int, value: int, dtype: DType = BOOL) -> SecretArray:
    """A public raw value in every row, which the plan holds once."""
    return vectors.public(program, int(value), dtype, rows)


# --- all columns alike ----------------------------------------------------------------------------------------------


def moved(
    by: Callable[[list[SecretArray]], Sequence[SecretArray]], columns: Mapping[Key, Vector], *others: SecretArray
) -> tuple[dict[Key, Vector], list[SecretArray]]:
    """Columns and other arrays after `by` has moved the rows of all of them at once, each different array only once."""
    distinct, put = apart(columns, *others)
    done = list(by(distinct)) if distinct else []
    return put(done, len(done[0]) if done else None)


def apart(
    columns: Mapping[Key, Vector], *others: SecretArray
) -> tuple[
    list[SecretArray],
    Callable[[Sequence[SecretArray], int | None], tuple[dict[Key, Vector], list[SecretArray]]],
]:
    """The different arrays among columns and others that rows differ in; and what makes the same columns and others of
    what stands for these, of so many rows.
    """
    given = [a for v in columns.values() for a in v.arrays] + list(others)
    places: dict[Record, int] = {}
    distinct: list[SecretArray] = []
    for a in given:
        if a.node not in places and not _uniform(a):
            places[a.node] = len(distinct)
            distinct.append(a)

    def put(done: Sequence[SecretArray], rows: int | None) -> tuple[dict[Key, Vector], list[SecretArray]]:
        out = iter(
            done[places[a.node]] if a.node in places else a if rows is None else broadcast_to(_value(a), (rows,))
            for a in given
        )
        vectors = {k: v.with_arrays(tuple(next(out) for _ in v.arrays)) for k, v in columns.items()}
        return vectors, list(out)

    return distinct, put


def _uniform(a: SecretArray) -> bool:
    """Whether all rows hold the same public value, so that moving them changes nothing."""
    return a.node.op == "broadcast_to" and a.node.inputs[0].op == "constant" and not a.node.inputs[0].type.shape


def _value(a: SecretArray) -> SecretArray:
    return SecretArray(a.program, a.node.inputs[0])


def in_order(
    words: Sequence[SortWord], columns: Mapping[Key, Vector], *others: SecretArray, size: int | None = None
) -> tuple[dict[Key, Vector], list[SecretArray]]:
    """Columns and other arrays with their rows in the order of some words, the first being the most significant, or the
    first `size` of these; of equal rows the first comes first.
    """
    keys, (rows, put) = joined(words), apart(columns, *others)
    if not rows:
        return put([], size)
    if keys:
        turned = [descending for _, descending in keys]
        rows = list(several(sort_by([k for k, _ in keys], *rows, descending=turned, size=size, strategy="shuffle")))
    else:
        rows = [getitem(x, slice(0, size)) for x in rows]
    return put(rows, len(rows[0]))


def kept(
    flags: SecretArray, size: int, columns: Mapping[Key, Vector], *others: SecretArray
) -> tuple[dict[Key, Vector], list[SecretArray], SecretArray]:
    """The rows where a flag holds, in order, and then zeros, `size` in all; and which are meant."""
    valid: list[SecretArray] = []

    def by(rows: list[SecretArray]) -> Sequence[SecretArray]:
        *done, last = compress(flags, *rows, size=size)
        valid.append(last)
        return done

    given = [*others, *(a for v in columns.values() for a in v.arrays)]
    # The flags themselves are moved where nothing else is.
    vectors, rest = moved(by, columns, *others, *([flags] if all(map(_uniform, given)) else []))
    return vectors, rest[: len(others)], valid[0]


def reduced(
    starts: SecretArray, size: int, columns: Mapping[Key, Vector], sums: Sequence[SecretArray], *others: SecretArray
) -> tuple[dict[Key, Vector], list[SecretArray], SecretArray, list[SecretArray]]:
    """A row for each run, in order and then zeros, `size` in all: (the first of columns and of other arrays, which are
    meant, the sums of arrays).
    """
    made: list[tuple[SecretArray, tuple[SecretArray, ...]]] = []

    def by(rows: list[SecretArray]) -> Sequence[SecretArray]:
        heads, found, valid = aggregate(starts, rows, sums, size=size)
        made.append((valid, found))
        return heads

    # The flags themselves are moved where nothing else is.
    alone = all(_uniform(a) for a in (*others, *(a for v in columns.values() for a in v.arrays)))
    vectors, rest = moved(by, columns, *others, *((starts,) if alone else ()))
    ((valid, found),) = made
    return vectors, rest[: len(others)], valid, list(found)


def forward(
    flags: SecretArray, columns: Mapping[Key, Vector], *others: SecretArray
) -> tuple[dict[Key, Vector], list[SecretArray]]:
    """Each row replaced by the latest one, itself included, where a flag holds; zeros before the first."""
    return moved(lambda rows: several(fill_forward(flags, *rows)), columns, *others)


def backward(
    flags: SecretArray, columns: Mapping[Key, Vector], *others: SecretArray
) -> tuple[dict[Key, Vector], list[SecretArray]]:
    """Each row replaced by the next one, itself included, where a flag holds; zeros after the last."""

    def by(rows: list[SecretArray]) -> Sequence[SecretArray]:
        return [flip(x) for x in several(fill_forward(flip(flags), *map(flip, rows)))]

    return moved(by, columns, *others)


def several(arrays: SecretArray | tuple[SecretArray, ...]) -> tuple[SecretArray, ...]:
    """What gives one array for one and a tuple for several, as a tuple."""
    return arrays if isinstance(arrays, tuple) else (arrays,)


def compact(frame: Frame, size: int | None = None) -> Frame:
    """The same rows with those that are meant first, in their order; `size` is a bound on their number."""
    rows = frame.rows if size is None else min(size, frame.rows)
    # A flag that all rows share says that all are meant, or none.
    if frame.present is None or frame.compact or _uniform(frame.present):
        part = first(frame, rows)
        return Frame(rows, part.columns, part.present, True, part.order)
    columns, _, present = kept(frame.present, rows, frame.columns)
    return Frame(rows, columns, present, True, following(frame.order, frame.columns, columns))


def first(frame: Frame, stop: int, start: int = 0) -> Frame:
    """Rows from `start` up to, not including, `stop`."""
    if (start, stop) == (0, frame.rows):
        return frame

    parts: dict[Record, SecretArray] = {}

    def part(a: SecretArray) -> SecretArray:
        if a.node not in parts:
            parts[a.node] = getitem(a, slice(start, stop))
        return parts[a.node]

    columns = {c: v.with_arrays(tuple(map(part, v.arrays))) for c, v in frame.columns.items()}
    present = None if frame.present is None else part(frame.present)
    order = following(frame.order, frame.columns, columns)
    return Frame(stop - start, columns, present, frame.compact, order)


# --- the order that rows have ---------------------------------------------------------------------------------------


def following(
    order: Iterable[SortWord], before: Mapping[Key, Vector], after: Mapping[Key, Vector]
) -> tuple[SortWord, ...]:
    """An order by words of columns in the words that these have become, as far as they are still there."""
    both = [(v, after[c]) for c, v in before.items() if c in after]
    held = {a.node: b for v, w in both for a, b in zip(v.arrays, w.arrays, strict=True)}
    return tuple((held[w.node], d) for w, d in takewhile(lambda word: word[0].node in held, order))


def is_sorted(order: Sequence[SortWord], words: Sequence[SortWord]) -> bool:
    """Whether rows in an order are sorted by these words."""
    return [(w.node, d) for w, d in order[: len(words)]] == [(w.node, d) for w, d in words]


def is_together(order: Sequence[SortWord], words: Sequence[SortWord]) -> bool:
    """Whether rows in an order that agree in all these words stand together."""
    wanted = {w.node for w, _ in words}
    return bool(wanted) and {w.node for w, _ in order[: len(wanted)]} == wanted


def is_grouped(order: Sequence[SortWord], parts: Sequence[SortWord], words: Sequence[SortWord]) -> bool:
    """Whether rows in an order that agree in all of `parts` stand together, and there in the order of `words`."""
    rest = order[len({w.node for w, _ in parts}) :]
    return bool(order) and (not parts or is_together(order, parts)) and is_sorted(rest, words)


# --- words to sort and compare by -----------------------------------------------------------------------------------


def joined(words: Sequence[SortWord]) -> list[SortWord]:
    """The fewest words that sort as the given ones do, and that agree where all of those do. Local but for bools."""
    out: list[SortWord] = []
    for array, descending in words:
        x = numbers(array)
        interval = x.node.type.interval
        width = interval.hi - interval.lo + 1
        if out and not x.dtype.is_fixed and not out[-1][0].dtype.is_fixed:
            before, turned = out[-1]
            last = before.node.type.interval
            if (last.hi - last.lo + 1) * width <= WORD:
                high = subtract(last.hi, before) if turned else _from_zero(before)
                low = subtract(interval.hi, x) if descending else _from_zero(x)
                out[-1] = (add(multiply(high, width), low), False)
                continue
        out.append((x, descending))
    return out


def _from_zero(x: SecretArray) -> SecretArray:
    lo = x.node.type.interval.lo
    return subtract(x, lo) if lo else x


def starts_of(words: Sequence[SecretArray]) -> SecretArray:
    """Where runs of rows with equal words begin."""
    return run_starts(*words)


def ends_of(starts: SecretArray) -> SecretArray:
    """Where the runs end that start at some rows. Local."""
    return concat([getitem(starts, slice(1, None)), filled(starts.program, 1, True)])


# --- on top of each other -------------------------------------------------------------------------------------------


def stacked(a: Vector, b: Vector) -> Vector:
    """The values of `a` and then those of `b`, of one type."""
    a, b = vectors.unified(a, b)
    n, m = len(a.words[0]), len(b.words[0])
    program = a.words[0].program
    null = denominator = None
    if a.null is not None or b.null is not None:
        null = concat([filled(program, k, 0) if v.null is None else v.null for v, k in ((a, n), (b, m))])
    if a.denominator is not None and b.denominator is not None:
        denominator = concat([a.denominator, b.denominator])
    return Vector(a.type, tuple(concat(pair) for pair in zip(a.words, b.words, strict=True)), null, denominator)


def amid(a: SecretArray, before: int, after: int) -> SecretArray:
    """An array with rows of zeros before and after it."""
    zeros = [filled(a.program, rows, 0, a.dtype) for rows in (before, after)]
    return concat([part for part in (zeros[0], a, zeros[1]) if len(part)])


# --- beside each other ----------------------------------------------------------------------------------------------


def each_with_all(v: Vector, times: int) -> Vector:
    """Each value `times` times in a row. Local."""
    return v.with_arrays(tuple(spread(a, times, inner=True) for a in v.arrays))


def all_with_each(v: Vector, times: int) -> Vector:
    """All values, `times` times over. Local."""
    return v.with_arrays(tuple(spread(a, times, inner=False) for a in v.arrays))


def spread(a: SecretArray, times: int, *, inner: bool) -> SecretArray:
    """Each element `times` times in a row, or all of them so many times over. Local."""
    n = len(a)
    if _uniform(a):
        return broadcast_to(_value(a), (n * times,))
    if times == 1:
        return a
    shape = (n, times) if inner else (times, n)
    return reshape(broadcast_to(reshape(a, (n, 1) if inner else (1, n)), shape), (n * times,))


def at_least_one(frame: Frame, program: Owner) -> Frame:
    """A table without rows as one row that is not meant, so that no operator meets an empty array."""
    if frame.rows:
        return frame

    def nothing(a: SecretArray) -> SecretArray:
        return filled(program, 1, 0, a.dtype)

    columns = {c: v.with_arrays(tuple(map(nothing, v.arrays))) for c, v in frame.columns.items()}
    return Frame(1, columns, public(program, np.zeros(1, bool)))


def first_row(program: Owner, rows: int) -> SecretArray:
    """A public flag on the first row."""
    return public(program, np.arange(rows) == 0)


def bit(x: SecretArray) -> SecretArray:
    """A bool as an integer."""
    return numbers(x)


def grid(a: SecretArray, shape: tuple[int, int], size: tuple[int, int]) -> SecretArray:
    """Elements as rows or columns of a matrix, repeated along the other axis. Local."""
    return broadcast_to(reshape(a, shape), size)


def nulls(like: Vector, rows: int, flags: SecretArray) -> Vector:
    """NULL in so many rows, in words as `like` has them."""
    program = flags.program
    words = tuple(filled(program, rows, 0, a.dtype) for a in like.words)
    denominator = None if like.denominator is None else filled(program, rows, 1, INT64)
    return Vector(like.type, words, flags, denominator)
