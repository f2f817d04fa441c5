# SPDX-License-Identifier: Apache-2.0
"""Tables in files, through Arrow: reading them as they are, and judging columns value by value.

Apart from datasets.py because only a party that really reads a file has to load Arrow.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
from numpy.typing import NDArray

from tacit.plan import BOOL, FIXED, INT64, DType

ARROW: Final = {"bool": pa.bool_(), "int": pa.int64(), "uint": pa.int64(), "fixed": pa.float64()}
"""The Arrow type through which values of each kind pass."""
_MISSING: Final = ["", "NA", "N/A", "NULL", "null", "None"]


_MONTHS: Final = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DATE: Final = re.compile(rf"\d{{1,2}}\W*({_MONTHS})[a-z]*\W*\d*|({_MONTHS})[a-z]*\W*\d{{1,2}}\W+\d{{2,4}}", re.I)


def read_table(path: Path, types: Mapping[str, Any] | None = None) -> Any:
    """The Arrow table in a file; columns of a CSV file are text, or with `types` these Arrow types, and otherwise what
    all their values are. Raises `UnreadableError`, and `HeaderError` for a CSV file whose first row has no names.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".csv":
            return _csv(path, types)
        if kind in (".parquet", ".pq"):
            table = pyarrow.parquet.ParquetFile(path).read()
        else:
            table = pyarrow.feather.read_table(path, memory_map=False)
        # Lengths, offsets and UTF-8 as they are, not as the file says.
        table.validate(full=True)
        return table
    except (pa.ArrowException, OSError, ValueError) as error:
        # The reason is not repeated: Arrow's messages quote the contents.
        wrong = re.match(r"In CSV column #(\d+): CSV conversion error to", str(error)) if types else None
        column = int(wrong[1]) + 1 if wrong else 0
        raise UnreadableError(0 if wrong or kind != ".csv" else _ragged_row(path), column) from None


class UnreadableError(Exception):
    """A file cannot be read: because of `row` of a CSV file, the first with too few or too many values, or of `column`,
    from 1, where a value has not the type that was asked for; 0 for neither.
    """

    def __init__(self, row: int, column: int = 0) -> None:
        self.row = row
        self.column = column
        super().__init__(row, column)


class HeaderError(Exception):
    """The first row of a CSV file is no header: `fault` says what is wrong with the name of `column`, from 1, without
    quoting it, because it may be a value.
    """

    def __init__(self, column: int, fault: str) -> None:
        self.column = column
        self.fault = fault
        super().__init__(column, fault)


def check_header(names: Sequence[str]) -> None:
    """Refuse names that are rather values: without this, the first row of a file without a header would be published.

    Raises `HeaderError` for a name that is empty, a number, a date or a truth value, or not the only one of its kind.
    """
    for k, name in enumerate(names):
        if not name.strip():
            raise HeaderError(k + 1, "is empty")
        if _is_value(name.strip()):
            raise HeaderError(k + 1, "looks like a value")
        if name in names[:k]:
            raise HeaderError(k + 1, "occurs twice")


def _is_value(text: str) -> bool:
    # Without a letter: numbers, dates, times and amounts in any notation.
    if not any(c.isalpha() for c in text) or text in _MISSING or text.lower() in ("true", "false"):
        return True
    for parse in (float, datetime.fromisoformat):
        with contextlib.suppress(ValueError):
            parse(text)
            return True
    return _DATE.fullmatch(text) is not None


def is_text(column: Any) -> bool:
    """Whether a column holds text."""
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def is_bool(column: Any) -> bool:
    """Whether a column holds bools."""
    return bool(pa.types.is_boolean(column.type))


def as_numpy(column: Any, dtype: DType) -> NDArray[Any]:
    """The values of a column that is `convertible` to the type, without nulls."""
    result: NDArray[Any] = column.cast(ARROW[dtype.kind]).to_numpy()
    return result


def _delimiter(path: Path) -> str:
    """What stands between the names in the first row of a CSV file: of commas, semicolons, tabs and bars the most."""
    with path.open("rb") as file:
        first = re.sub(rb'"[^"]*"', b"", file.readline(1 << 20))
    return max(",;\t|", key=lambda c: first.count(c.encode()))


def _csv(path: Path, types: Mapping[str, Any] | None) -> Any:
    delimiter = _delimiter(path)
    with pyarrow.csv.open_csv(path, parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter)) as reader:
        names = reader.schema.names
    check_header(names)
    if types is None:
        # All columns as text first: type inference would decide by values that we have to judge ourselves.
        types = dict.fromkeys(names, pa.string())
    else:
        # SQL does not tell case in names.
        by_name = {name.lower(): kind for name, kind in types.items()}
        types = {name: by_name[name.lower()] for name in names if name.lower() in by_name}
    convert = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=_MISSING)
    # In a table of one column an empty line is a missing value, in a wider one it is nothing.
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=len(names) > 1)
    table = pyarrow.csv.read_csv(path, convert_options=convert, parse_options=parse)
    if any(pa.types.is_binary(kind) for kind in table.schema.types):
        raise ValueError("text that is not UTF-8")
    return table


def _ragged_row(path: Path) -> int:
    """The number of the first row of a CSV file with too few or too many values, or 0."""
    rows: list[int] = []

    def note(row: Any) -> str:
        rows.append(row.number - 1)  # Arrow counts the header.
        return "skip"

    with contextlib.suppress(pa.ArrowException, OSError, ValueError):
        # Row numbers are known only to a reader on one thread.
        read = pyarrow.csv.ReadOptions(use_threads=False)
        parse = pyarrow.csv.ParseOptions(delimiter=_delimiter(path), invalid_row_handler=note)
        pyarrow.csv.read_csv(path, read_options=read, parse_options=parse)
    return rows[0] if rows else 0


def dtype_of(column: Any) -> DType | None:
    """The type that a column would have in a plan; None where it holds no numbers or bools."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return BOOL
    if pa.types.is_integer(kind):
        return INT64 if kind == pa.uint64() else DType.parse(str(kind))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return FIXED
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None
    for dtype in (INT64, FIXED, BOOL):
        if column.null_count < len(column) and convertible(column, ARROW[dtype.kind]):
            return dtype
    first = next((v for v in column if v.is_valid), None)
    if first is None:
        return None
    value = pa.chunked_array([[first.as_py()]])
    for dtype in (FIXED, BOOL):
        if convertible(value, ARROW[dtype.kind]):
            return dtype
    return None


def convertible(column: Any, target: Any) -> bool:
    """Whether every value of a column is one of the Arrow type `target`, written as text or not."""
    kind = column.type
    if kind == target:
        return True
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (text or (numeric and target != pa.bool_())) or (
        target == pa.int64() and numeric and not pa.types.is_integer(kind)
    ):
        return False
    try:
        # Not safe for floats only in that integers beyond 2^53 round, which the declared range excludes anyway.
        pc.cast(column, target, safe=target != pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def first_row(column: Any, bad: Callable[[Any], bool]) -> int:
    """The number, from 1, of the first row for which `bad([row])` holds, given that it holds for the whole."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        if bad(column.slice(low, middle - low)):
            high = middle
        else:
            low = middle
    return low + 1
