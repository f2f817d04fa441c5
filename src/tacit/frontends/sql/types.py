# SPDX-License-Identifier: Apache-2.0
"""The types of SQL, and how their values become ring elements.

A value of each type but text is one integer, its raw value: an integer itself, a decimal times 10^scale, a double as
fixed point with 18 fractional bits, a date as days and a timestamp as microseconds since 1970, a bool as 0 or 1. Text
is UTF-8, its bytes in words of `TEXT_WORD`, the last of what is left, the first byte the most significant, filled up
with zeros: so words compare as the bytes do, which is the order that DuckDB sorts text in. Text with a NUL byte is
refused at its owner. Where all values are publicly known (a `Dictionary`) text is one word, its place among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from tacit.plan import BOOL, FIXED, INT64, DType, Interval

Kind: TypeAlias = Literal["null", "bool", "int", "decimal", "double", "date", "timestamp", "text"]

TEXT_WORD: Final = 7
"""Bytes of text in a word: 56 bits, so that a word and its comparisons stay inside the ring's signed view."""
DECIMAL_MAX: Final = 38
"""Digits that a decimal type may name; its values have to fit 63 bits all the same, which planning proves."""


@dataclass(frozen=True)
class SqlType:
    """A type: `size` is the bits of an integer (128 for DuckDB's HUGEINT, which its sums of integers have) or the
    digits of a decimal, of which `scale` are after the point. `signed` holds for all but unsigned integers.

    Of text that is laid out in words, `size` is the bytes that they hold, and `values` what its codes
    stand for, if it has codes.
    """

    kind: Kind
    size: int = 0
    scale: int = 0
    signed: bool = True
    values: tuple[str, ...] = ()

    @property
    def is_numeric(self) -> bool:
        """Whether values are numbers."""
        return self.kind in ("int", "decimal", "double")

    @property
    def dtype(self) -> DType:
        """The element type of words in a plan."""
        return BOOL if self.kind == "bool" else FIXED if self.kind == "double" else INT64

    def __str__(self) -> str:
        """The name in DuckDB's dialect; `parse_type` is the inverse."""
        if self.kind == "decimal":
            return f"DECIMAL({self.size},{self.scale})"
        if self.kind == "int":
            return ("" if self.signed else "U") + _INTEGERS[self.size]
        return _NAMES[self.kind]


_INTEGERS: Final = {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT", 128: "HUGEINT"}
_NAMES: Final = {
    "null": "NULL", "bool": "BOOLEAN", "double": "DOUBLE", "date": "DATE", "timestamp": "TIMESTAMP", "text": "VARCHAR",
}  # fmt: skip

NULL: Final = SqlType("null")
BOOLEAN: Final = SqlType("bool")
INTEGER: Final = SqlType("int", 32)
BIGINT: Final = SqlType("int", 64)
HUGEINT: Final = SqlType("int", 128)
DOUBLE: Final = SqlType("double")
DATE: Final = SqlType("date")
TIMESTAMP: Final = SqlType("timestamp")
TEXT: Final = SqlType("text")


def decimal(precision: int, scale: int) -> SqlType:
    """DECIMAL(precision, scale), at most 38 digits."""
    return SqlType("decimal", min(precision, DECIMAL_MAX), scale)


def parse_type(text: str) -> SqlType | None:
    """The type that `str` names, or None."""
    match = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", text)
    if match:
        return decimal(int(match[1]), int(match[2]))
    return _PARSED.get(text)


_PARSED: Final = {
    **{str(t): t for t in (NULL, BOOLEAN, DOUBLE, DATE, TIMESTAMP, TEXT)},
    **{str(t): t for t in (SqlType("int", size, 0, signed) for size in _INTEGERS for signed in (True, False))},
}


def range_of(kind: SqlType) -> Interval:
    """The raw values that a type can hold as far as they fit: what is assumed of a column whose range is not known.

    For text, numbers of bytes.
    """
    if kind.kind == "bool":
        return Interval(0, 1)
    if kind.kind == "int" and kind.size < 64:
        return (
            Interval(0, 2**kind.size - 1)
            if not kind.signed
            else Interval(-(2 ** (kind.size - 1)), 2 ** (kind.size - 1) - 1)
        )
    if kind.kind == "decimal":
        top = min(10**kind.size - 1, 2**62)
        return Interval(-top, top)
    if kind.kind == "date":
        return Interval(-(2**22), 2**22)
    if kind.kind == "text":
        return Interval(0, 256)
    if kind.kind == "null":
        return Interval(0, 0)
    return Interval(-(2**61), 2**61)


@dataclass(frozen=True)
class Dictionary(Interval):
    """The domain of text of which all values are publicly known, in order: its bytes, as of any text, and the values.

    What is computed from such a domain is an interval alone.
    """

    values: tuple[str, ...] = ()

    @staticmethod
    def of(values: Iterable[str]) -> Dictionary:
        """That of some values, at least one."""
        ordered = tuple(sorted(set(values)))
        return Dictionary(0, max(len(v.encode()) for v in ordered), ordered)


def laid_out(kind: SqlType, domain: Interval) -> SqlType:
    """The type with how text of such a domain is laid out in words."""
    if kind.kind != "text":
        return kind
    return SqlType("text", max(1, domain.hi), values=domain.values if isinstance(domain, Dictionary) else ())


def words_of(kind: SqlType, domain: Interval) -> int:
    """How many words hold a value: one, and for text of at most `domain.hi` bytes as many as those need."""
    return len(bytes_of(laid_out(kind, domain))) if kind.kind == "text" else 1


def bytes_of(kind: SqlType) -> tuple[int, ...]:
    """The bytes in each word of text that is laid out; of codes, none."""
    if kind.values:
        return (0,)
    whole, rest = divmod(kind.size, TEXT_WORD)
    return (TEXT_WORD,) * whole + (rest,) * (rest > 0)


def words_range(kind: SqlType, word: int) -> Interval:
    """The range of a word of text that is laid out."""
    return Interval(0, (len(kind.values) or 256 ** bytes_of(kind)[word]) - 1)


def from_arrow(kind: Any) -> SqlType | None:
    """The type of an Arrow column, or None where there is none."""
    import pyarrow as pa

    t = pa.types
    if t.is_dictionary(kind):
        return from_arrow(kind.value_type)
    if t.is_null(kind):
        return NULL
    if t.is_boolean(kind):
        return BOOLEAN
    if t.is_integer(kind):
        return SqlType("int", kind.bit_width, 0, t.is_signed_integer(kind))
    if t.is_decimal(kind):
        return decimal(kind.precision, kind.scale) if kind.scale >= 0 else None
    if t.is_floating(kind):
        return DOUBLE
    if t.is_date(kind):
        return DATE
    if t.is_timestamp(kind):
        return TIMESTAMP if kind.tz is None else None
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return TEXT
    return None


def to_arrow(kind: SqlType) -> Any:
    """The Arrow type that a result column of the type has in DuckDB: Arrow has no HUGEINT, so it is a decimal."""
    import pyarrow as pa

    if kind.kind == "int":
        name = f"{'' if kind.signed else 'u'}int{kind.size}"
        return pa.decimal128(DECIMAL_MAX, 0) if kind.size > 64 else getattr(pa, name)()
    if kind.kind == "decimal":
        return pa.decimal128(kind.size, kind.scale)
    return {
        "null": pa.null(), "bool": pa.bool_(), "double": pa.float64(), "date": pa.date32(),
        "timestamp": pa.timestamp("us"), "text": pa.string(),
    }[kind.kind]  # fmt: skip
