# SPDX-License-Identifier: Apache-2.0
"""Between columns of Arrow tables and the words of plans, as frontends/sql/types.py lays them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InputError
from tacit.frontends.sql.catalogue import Field
from tacit.frontends.sql.types import (
    TEXT,
    TEXT_WORD,
    Dictionary,
    SqlType,
    bytes_of,
    from_arrow,
    laid_out,
    range_of,
    to_arrow,
    words_of,
)
from tacit.plan import BOOL, FIXED, INT64, Interval
from tacit.session.values import U64Array, check_raw, encode

TEXT_MAX: Final = 4096
"""Bytes of the longest text that a plan can hold."""
_EPOCH: Final = datetime(1970, 1, 1)


def nulls(column: Any) -> U64Array:
    """Where an Arrow column is NULL, as 0 and 1 [rows]."""
    flags: U64Array = column.is_null().to_numpy(zero_copy_only=False).astype(np.uint64)
    return flags


def encode_column(column: Any, field: Field, *, what: str, party: str | None) -> tuple[U64Array, ...]:
    """The words of an Arrow column, raw arrays [rows], zero where the value is NULL. `what` and `party` name it in
    errors; rows count from 1.

    Raises InputError: INPUT-005 the column has another type than the field, or text with a NUL byte; INPUT-006 NULL
    where the field has none, NaN or infinite; INPUT-007 a value outside the field's domain, or a longer text.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = field.type
    if not len(column) or kind.kind == "null":
        return (np.zeros(len(column), np.uint64),) * words_of(kind, field.domain)
    if column.null_count and not field.nullable:
        raise InputError(
            "INPUT-006",
            f"{what} has no value in row {int(np.argmax(nulls(column))) + 1}",
            expected="a value in every row",
            party=party,
            next="register the table again, or remove or fill the missing values",
        )
    try:
        target = to_arrow(kind)
        wide = pa.types.is_decimal(target)
        values = column.cast(pa.decimal128(38, kind.scale) if wide else target)
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        if isinstance(field.domain, Dictionary):
            return (_codes(values, field.domain, what, party),)
        if kind.kind == "text":
            return _text_words(values, field.domain, what, party)
        if wide:
            # At most 38 digits; those that fit 63 bits are all that a plan can hold.
            raw = _decimal_raw(values, kind.scale)
        elif kind.kind in ("date", "timestamp"):
            raw = values.cast(pa.int32() if kind.kind == "date" else pa.int64()).cast(pa.int64())
        else:
            raw = values
        filled = pc.fill_null(raw, False if kind.kind == "bool" else 0).to_numpy(zero_copy_only=False)
    except (pa.ArrowException, ValueError):
        raise InputError(
            "INPUT-005",
            f"{what} holds {from_arrow(column.type) or column.type} values where {kind} was declared",
            expected=f"values of type {kind} that fit 63 bits",
            party=party,
            next="register the table again: its types may have changed",
        ) from None
    dtype = {"bool": BOOL, "double": FIXED}.get(kind.kind, INT64)
    return (encode(filled, dtype, field.domain, what=what, party=party),)


def _decimal_raw(values: Any, scale: int) -> Any:
    """Decimals times 10^scale as int64. Raises ArrowInvalid where one does not fit."""
    import pyarrow as pa

    # A decimal is a little-endian 128-bit integer; one that fits has only copies of its sign above.
    words = np.frombuffer(values.buffers()[1], dtype="<i8") if len(values) else np.zeros(0, np.int64)
    pairs = words.reshape(-1, 2)[values.offset : values.offset + len(values)]
    valid = ~values.is_null().to_numpy(zero_copy_only=False)
    if np.any((pairs[:, 1] != pairs[:, 0] >> 63) & valid):
        raise pa.ArrowInvalid("a decimal does not fit")
    return pa.array(np.where(valid, pairs[:, 0], 0))


def _codes(values: Any, domain: Dictionary, what: str, party: str | None) -> U64Array:
    """The places of texts in a dictionary."""
    import pyarrow as pa
    import pyarrow.compute as pc

    places = pc.index_in(values, value_set=pa.array(domain.values, pa.string()))
    missing = pc.and_(pc.is_null(places), pc.is_valid(values))
    codes = pc.fill_null(pc.if_else(missing, -1, places), 0).cast(pa.int64()).to_numpy(zero_copy_only=False)
    raw = np.ascontiguousarray(codes).view(np.uint64)
    check_raw(raw, Interval(0, len(domain.values) - 1), what=what, party=party)
    return raw


def _text_words(values: Any, domain: Interval, what: str, party: str | None) -> tuple[U64Array, ...]:
    import pyarrow as pa
    import pyarrow.compute as pc

    filled = pc.fill_null(values, "").cast(pa.large_binary())
    sizes = bytes_of(laid_out(TEXT, domain))
    n, width = len(filled), sum(sizes)
    lengths = pc.binary_length(filled).to_numpy(zero_copy_only=False).astype(np.int64)
    check_raw(lengths.astype(np.uint64), Interval(0, domain.hi), what=f"the length of {what}", party=party)
    offsets = np.frombuffer(filled.buffers()[1], dtype="<i8")[filled.offset : filled.offset + n + 1]
    data = filled.buffers()[2]
    flat = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, np.uint8)
    matrix = np.zeros((n, width), np.uint8)
    used = flat[offsets[0] : offsets[-1]]
    if not used.all():
        raise InputError(
            "INPUT-005",
            f"{what} has text with a NUL byte",
            expected="text without NUL bytes",
            party=party,
            next="clean the text at its owner",
        )
    matrix[np.arange(width) < lengths[:, None]] = used
    return tuple(_numbers(matrix[:, TEXT_WORD * k :][:, :size]) for k, size in enumerate(sizes))


def _numbers(columns: NDArray[np.uint8]) -> U64Array:
    """Rows of at most 8 bytes as numbers, the first byte the most significant."""
    padded = np.zeros((len(columns), 8), np.uint8)
    padded[:, 8 - columns.shape[1] :] = columns
    numbers: U64Array = padded.view(">u8")[:, 0].astype(np.uint64)
    return numbers


# --- domains --------------------------------------------------------------------------------------------------------


def raw_of(value: Any, kind: SqlType) -> int:
    """A Python value as a raw one. Raises TypeError or ValueError for one of another type."""
    if kind.kind == "date":
        day = date.fromisoformat(value) if isinstance(value, str) else value
        return (day - _EPOCH.date()).days
    if kind.kind == "timestamp":
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        since = moment - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    exact = Decimal(value) if not isinstance(value, float) else Decimal(repr(value))
    if kind.kind == "double":
        return round(exact * 2**18)
    return int((exact.scaleb(kind.scale)).to_integral_value("ROUND_HALF_EVEN"))


def declared_domain(bounds: Any, kind: SqlType) -> Interval:
    """The raw interval of a declared range: (lo, hi) in the column's own values; of text (0, bytes)."""
    lo, hi = bounds
    interval = Interval(0, int(hi)) if kind.kind == "text" else Interval(raw_of(lo, kind), raw_of(hi, kind))
    return interval


def rounded(lo: int, hi: int, kind: SqlType) -> Interval:
    """An interval that says less: its ends rounded outwards to powers of two, the length of text to whole words."""
    if kind.kind == "text":
        return Interval(0, max(1, -(-hi // TEXT_WORD)) * TEXT_WORD)
    low = 0 if lo >= 0 else -(1 << (-lo - 1).bit_length())
    high = (1 << hi.bit_length()) - 1 if hi > 0 else 0
    limits = range_of(kind)
    return Interval(max(low, limits.lo), min(high, limits.hi))


def declared_for(names: Sequence[str], declared: Mapping[str, SqlType], party: str | None) -> dict[str, SqlType]:
    """Declared types by the names of columns as a table spells them. Raises InputError INPUT-004 for others."""
    spelled = {n.lower(): n for n in names}
    missing = next((n for n in declared if n.lower() not in spelled), None)
    if missing is not None:
        raise InputError(
            "INPUT-004",
            f"there is no column {missing[:100]!r} to have a declared type",
            expected=f"one of {', '.join(map(repr, names[:64]))}",
            party=party,
            next="correct the name in types=",
        )
    return {spelled[n.lower()]: kind for n, kind in declared.items()}


def normalised(
    table: Any, declared: Mapping[str, SqlType], bad: Callable[[str, str], Exception]
) -> tuple[Any, tuple[str, ...]]:
    """The columns of a table that SQL has types for, in the Arrow types of `types.to_arrow`; and the names of others.

    `declared` gives types by column. What `bad(column, type)` makes is raised where values do not have them.
    """
    import pyarrow as pa

    columns, names, others = [], [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = declared.get(name) or from_arrow(column.type)
        if kind is None:
            others.append(name)
            continue
        try:
            target = to_arrow(kind)
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            columns.append(column if column.type == target else column.cast(target))
        except (pa.ArrowException, ValueError):
            raise bad(name, str(kind)) from None
        names.append(name)
    return pa.table(columns, names=names), tuple(others)
