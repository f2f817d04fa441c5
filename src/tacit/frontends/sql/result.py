# SPDX-License-Identifier: Apache-2.0
"""Results: which arrays a query discloses, and how they become an Arrow table at the recipient.

Rows that are not meant are zero in every array, and so is what is NULL. An exact quotient n / d is disclosed as just
enough bits to tell it from every other quotient with such a divisor (two of them are further apart than 1 / D^2), so
its recipient learns the quotient, correctly rounded, and nothing else. Where the recipient has d anyhow, n says the
same, and no division is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tacit.errors import SqlError
from tacit.frontends.arithmetic import maximum, where
from tacit.frontends.array import SecretArray
from tacit.frontends.graph import Record
from tacit.frontends.operands import apply
from tacit.frontends.sql import division
from tacit.frontends.sql.algebra import Column, Query
from tacit.frontends.sql.frame import Frame, Vector
from tacit.frontends.sql.types import SqlType, bytes_of, to_arrow
from tacit.frontends.sql.vectors import known, magnitude, public, zero_where
from tacit.plan import FIXED

Raw: TypeAlias = NDArray[np.int64]
Read: TypeAlias = Callable[[Sequence[Raw]], list[NDArray[Any]]]
"""From all disclosed arrays to the words of a column; of an exact quotient, to its values as float64."""


NAME_MAX: Final = 40


@dataclass
class Result:
    """The arrays that a query discloses, of `rows` rows, under names that say of which column they are, and how to read
    them.
    """

    query: Query
    rows: int
    arrays: list[SecretArray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    _present: int | None = None
    _nulls: dict[Column, int] = field(default_factory=dict)
    _reads: dict[Column, Read] = field(default_factory=dict)
    _places: dict[Record, int] = field(default_factory=dict)

    def table(self, raws: Sequence[NDArray[Any]]) -> Any:
        """The Arrow table of the rows that are meant, in order, from the raw values of `arrays`: 64-bit integers, bools
        also as such.

        Raises `SqlError` SQL-008 where a value does not fit the column's type, as DuckDB does.
        """
        import pyarrow as pa

        values = [np.asarray(r).astype(np.int64) if r.dtype.kind == "b" else np.asarray(r).view(np.int64) for r in raws]
        kept = np.ones(self.rows, bool) if self._present is None else values[self._present] != 0
        columns = []
        for column in self.query.relation.columns:
            at = self._nulls.get(column)
            null = np.zeros(self.rows, bool) if at is None else values[at] != 0
            try:
                columns.append(_arrow(self._reads[column](values), null, kept, column.type))
            except pa.ArrowInvalid:
                raise SqlError(
                    "SQL-008",
                    f"a value in column {column.name!r} of the result does not fit {column.type}",
                    expected=f"values within the range of {column.type}",
                    next="cast to a larger type in the query",
                ) from None
        return pa.Table.from_arrays(columns, names=list(self.query.names))

    def disclose(self, array: SecretArray, name: str) -> int:
        """The place of an array among those that are disclosed. One that is already keeps its name, and a name that is
        taken gets a number.
        """
        if array.node not in self._places:
            self._places[array.node] = len(self.arrays)
            self.arrays.append(array)
            numbered = (f"{name} #{k}" if k > 1 else name for k in count(1))
            self.names.append(next(n for n in numbered if n not in self.names))
        return self._places[array.node]


def disclosed(frame: Frame, query: Query) -> Result:
    """What to reveal for the result of a query whose rows are in `frame`, in the order in which they are meant.

    Raises `SqlError` SQL-008 where a quotient has no room to be found.
    """
    out = Result(query, frame.rows)
    absent = None if frame.present is None else apply("logical_not", frame.present)
    if frame.present is not None:
        out._present = out.disclose(frame.present, "rows")
    hidden: dict[Record, SecretArray] = {}

    def shown(x: SecretArray, name: str) -> int:
        if x.node not in hidden:
            hidden[x.node] = zero_where(absent, x)
        return out.disclose(hidden[x.node], name)

    vectors = [frame.columns[c] for c in query.relation.columns]
    plain = {v.words[0].node for v in vectors if v.type.kind in ("int", "decimal") and v.null is None}
    for column, v, alias in zip(query.relation.columns, vectors, query.names, strict=True):
        if column in out._reads:
            continue
        name = "".join(c if c.isprintable() else "?" for c in alias[:NAME_MAX]).strip() or "(no name)"
        if v.null is not None:
            out._nulls[column] = shown(v.null, f"{name} is null")
        if v.denominator is None:
            places = [shown(w, part) for w, part in zip(v.words, parts(name, len(v.words)), strict=True)]
            out._reads[column] = _bytes(places, v.type) if column.type.kind == "text" else _words(places)
        else:
            out._reads[column] = _quotient(out, column, name, v, absent, shown, plain)
    return out


def parts(name: str, words: int) -> list[str]:
    """The names of the words of a column."""
    return [name] if words == 1 else [f"{name} {k + 1}" for k in range(words)]


def _words(places: Sequence[int]) -> Read:
    return lambda raws: [raws[p] for p in places]


def _bytes(places: Sequence[int], kind: SqlType) -> Read:
    """The bytes of text, [rows, bytes], filled up with zeros."""
    if kind.values:
        spelled = [np.frombuffer(v.encode().ljust(kind.size, b"\0"), np.uint8) for v in kind.values]
        return lambda raws: [np.stack(spelled)[raws[places[0]]]]
    sizes = bytes_of(kind)

    def read(raws: Sequence[Raw]) -> list[NDArray[np.uint8]]:
        words = [
            raws[p].astype(">i8").view(np.uint8).reshape(-1, 8)[:, 8 - n :] for p, n in zip(places, sizes, strict=True)
        ]
        return [np.concatenate(words, axis=1)]

    return read


def _quotient(
    out: Result,
    column: Column,
    name: str,
    v: Vector,
    absent: SecretArray | None,
    shown: Callable[[SecretArray, str], int],
    plain: set[Record],
) -> Read:
    assert v.denominator is not None
    n, d, unit = v.words[0], v.denominator, 10**v.type.scale
    whole = known(d)
    if whole is not None:
        place = shown(n, name)
        return lambda raws: [_ratio(raws[place], np.full(out.rows, max(whole, 1)), unit)]
    number, least, factor = _count(d)
    if number.node in plain:
        top, bottom = shown(n, f"{name} numerator"), shown(number, f"{name} denominator")
        return lambda raws: [_ratio(raws[top], np.maximum(raws[bottom], least), factor * unit)]
    # A public factor of the divisor needs no long division.
    d, unit = maximum(number, least), factor * unit
    n = zero_where(absent, n)
    if absent is not None:
        d = where(absent, public(d.program, 1, d.dtype, out.rows), d)
    if d.node.type.interval.lo < 1:
        d = maximum(d, 1)
    largest = d.node.type.interval.hi
    bits = 2 * largest.bit_length()
    words = division.digits(n, d, bits, _bound(column, unit, magnitude(n), largest))
    places = [out.disclose(w, part) for w, part in zip(words, parts(name, len(words)), strict=True)]

    def read(raws: Sequence[Raw]) -> list[NDArray[np.float64]]:
        found = []
        for row in zip(*(raws[p] for p in places), strict=True):
            total = 0
            for word in row:
                total = (total << division.WORD_BITS) + int(word)
            # The only quotient with such a divisor that begins with these bits: nearest to their middle.
            middle = Fraction(2 * abs(total) + 1, 2 << bits).limit_denominator(largest) if total else Fraction(0)
            found.append(float((middle if total > 0 else -middle) / unit))
        return [np.array(found, np.float64)]

    return read


def _ratio(n: Raw, d: Raw, unit: int) -> NDArray[np.float64]:
    """n / (d * unit), rounded once."""
    if n.size and max(abs(n).max(), int(d.max()) * unit) < 2**53:
        return np.asarray(n / (d * unit), np.float64)
    # Python's division of integers is correctly rounded, whatever their size.
    return np.array([int(x) / (int(y) * unit) for x, y in zip(n, d, strict=True)], np.float64)


def _count(d: SecretArray) -> tuple[SecretArray, int, int]:
    """(x, least, factor): a divisor as factor * max(x, least) of public ones, as far as it is made so; (d, 1, 1) if
    not.
    """
    factor = least = 1
    for op in ("mul", "maximum"):
        parts = [SecretArray(d.program, i) for i in d.node.inputs] if d.node.op == op else []
        for x, other in (parts, parts[::-1]) if parts else ():
            value = known(x)
            if value is not None and value > 0:
                d = other
                factor, least = (value, least) if op == "mul" else (factor, value)
                break
    return d, least, factor


def _bound(column: Column, unit: int, top: int, largest: int) -> int | None:
    """A bound on the quotient of words from the column's domain, where the range of the words alone has no room."""
    if (largest << top.bit_length() + division.DIGIT_MAX) < 2**62:
        return None
    whole: int = column.domain.magnitude * unit // 2**FIXED.f + 1
    return min(top, whole)


# --- to Arrow ---------------------------------------------------------------------------------------------------------


def _arrow(values: Sequence[NDArray[Any]], null: NDArray[np.bool], kept: NDArray[np.bool], kind: SqlType) -> Any:
    """The Arrow array of a type, of the rows that are kept."""
    import pyarrow as pa

    missing = null[kept]
    words = [w[kept] for w in values]
    target = to_arrow(kind)
    if kind.kind == "null":
        return pa.nulls(len(missing))
    if kind.kind == "text":
        return _text(words[0], missing)
    if pa.types.is_decimal(target):
        if target.precision < 19 and np.any(np.abs(words[0]) >= 10**target.precision):
            raise pa.ArrowInvalid("a decimal has too many digits")
        pairs = np.stack([words[0], words[0] >> 63], axis=1)
        return pa.Array.from_buffers(target, len(missing), [_validity(missing), pa.py_buffer(pairs.tobytes())])
    if kind.kind == "double":
        x = words[0]
        return pa.array(x if x.dtype.kind == "f" else np.ldexp(x.astype(np.float64), -FIXED.f), target, mask=missing)
    if kind.kind == "bool":
        return pa.array(words[0] != 0, target, mask=missing)
    if kind.kind == "date":
        return pa.array(words[0].astype(np.int32), pa.int32(), mask=missing).cast(target)
    return pa.array(words[0], pa.int64(), mask=missing).cast(target)


def _text(data: NDArray[np.uint8], missing: NDArray[np.bool]) -> Any:
    import pyarrow as pa

    n = len(missing)
    data = np.where(missing[:, None], np.uint8(0), data)
    used = data != 0
    offsets = np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(np.int64)
    buffers = [_validity(missing), pa.py_buffer(offsets.tobytes()), pa.py_buffer(data[used].tobytes())]
    return pa.Array.from_buffers(pa.large_string(), n, buffers).cast(pa.string())


def _validity(missing: NDArray[np.bool]) -> Any:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(~missing, bitorder="little").tobytes()) if missing.any() else None
