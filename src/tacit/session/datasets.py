# SPDX-License-Identifier: Apache-2.0
"""A party's own files: CSV, Parquet and Arrow tables inside its data directory, read and checked row by row.

An input of a plan names its data by a source such as `file:patients.parquet?column=age` (one column, an array
[rows]) or `file:patients.parquet?columns=age&columns=bmi` (several, [rows, columns]). Only the owner reads the file,
and only inside its data directory. Rows are counted from 1; the header of a CSV file is not counted. An error says
which row is wrong, never what it holds; and it goes to the owner (see `redacted`).
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InputError, TacitError
from tacit.plan import DType, Interval
from tacit.session.values import U64Array, encode

COLUMNS_MAX: Final = 4096
NAME_SHOWN_MAX: Final = 200
SUFFIXES: Final = (".csv", ".parquet", ".pq", ".arrow", ".feather", ".ipc")


@dataclass(frozen=True)
class Column:
    """A column's name and the type it would have in a plan: a `DType`, or None where it holds no numbers or bools."""

    name: str
    dtype: DType | None


@dataclass(frozen=True)
class Description:
    """What a party says about one of its files: the number of rows, and the columns."""

    rows: int
    columns: tuple[Column, ...]


def source_of(file: str, columns: Sequence[str], matrix: bool) -> str:
    """The source text of an input that comes from columns of a file; `parse_source` is the inverse."""
    key = "columns" if matrix else "column"
    return f"file:{quote(file)}?{urlencode([(key, c) for c in columns], quote_via=quote, safe='')}"


def parse_source(source: str) -> tuple[str, tuple[str, ...], bool]:
    """File, columns, and whether they make a matrix, of a source. Raises InputError INPUT-011."""
    try:
        parts = urlsplit(source)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, max_num_fields=COLUMNS_MAX)
    except ValueError:
        parts, pairs = urlsplit(""), []
    keys = {key for key, _ in pairs}
    good = keys == {"columns"} or (keys == {"column"} and len(pairs) == 1)
    if not good or parts.scheme != "file" or parts.netloc or not parts.path:
        raise InputError(
            "INPUT-011",
            "an input names its data in a way that is not understood",
            expected="file:NAME?column=NAME, or file:NAME?columns=NAME&columns=NAME",
        )
    return unquote(parts.path), tuple(value for _, value in pairs), keys == {"columns"}


class Datasets:
    """The files below one directory. `party` is the owner's name, for errors. Nothing outside is ever opened."""

    def __init__(self, directory: str | os.PathLike[str] | None, party: str) -> None:
        self._root = None if directory is None else Path(directory).resolve()
        self._party = party
        self._last: tuple[tuple[Path, int, int], Any] | None = None

    @property
    def directory(self) -> Path | None:
        """The directory, resolved, or None."""
        return self._root

    def describe(self, file: str) -> Description:
        """Rows, column names and types of a file. Raises InputError INPUT-001 to INPUT-003, INPUT-012 and INPUT-017.

        The values of a CSV column count as numbers if its first value is one, so that a wrong value further down is
        reported with its row by `read` instead of turning the column into text.
        """
        from tacit.session import tables

        table = self._table(file)
        columns = [Column(name, tables.dtype_of(table.column(i))) for i, name in enumerate(table.column_names)]
        return Description(table.num_rows, tuple(columns))

    def key(self, file: str) -> str:
        """One text for all names of a file, links and other spellings included. Raises as `describe`."""
        # Some file systems take names for the same that differ in case or in Unicode form.
        return unicodedata.normalize("NFC", str(self._path(file))).casefold()

    def read(self, source: str, dtype: DType, interval: Interval) -> U64Array:
        """Raw values of the columns that a source names: [rows] for `column`, [rows, columns] for `columns`.

        Raises InputError: INPUT-001 no such file, INPUT-002 unreadable, INPUT-003 outside the data directory, INPUT-004
        no such column, INPUT-005 a value of the wrong type, INPUT-006 missing, NaN or infinite, INPUT-007 outside the
        declared range, INPUT-011 a malformed source, INPUT-012 no data directory, INPUT-017 no header in a CSV file.
        """
        file, names, matrix = parse_source(source)
        table = self._table(file)
        columns = []
        for name in names:
            if table.column_names.count(name) != 1:
                raise InputError(
                    "INPUT-004",
                    f"{file} has no column {name!r}" if name not in table.column_names else f"{file} has two {name!r}",
                    expected=f"one of {', '.join(map(repr, table.column_names[:64]))}",
                    party=self._party,
                    next="correct the column's name",
                )
            what = f"column {name!r} of {file}"
            array = self._array(table.column(name), dtype, what)
            columns.append(encode(array, dtype, interval, what=what, party=self._party))
        return np.stack(columns, axis=1) if matrix else columns[0]

    def _array(self, column: Any, dtype: DType, what: str) -> NDArray[Any]:
        from tacit.session import tables

        if column.null_count:
            row = tables.first_row(column, lambda part: part.null_count > 0)
            raise InputError(
                "INPUT-006",
                f"{what} has no value in row {row}",
                expected="a value in every row",
                party=self._party,
                next="remove or fill the missing values",
            )
        target = tables.ARROW[dtype.kind]
        if (dtype.kind != "bool" and tables.is_bool(column)) or not tables.convertible(column, target):
            text = tables.is_text(column)
            row = tables.first_row(column, lambda part: not tables.convertible(part, target)) if text else 0
            raise InputError(
                "INPUT-005",
                f"{what} has a value of the wrong type in row {row}" if row else f"{what} has type {column.type}",
                expected=f"values of type {dtype} in every row",
                party=self._party,
                next="correct the value, or declare another type with dtype=",
            )
        return tables.as_numpy(column, dtype)

    def version(self, file: str) -> tuple[Path, int, int]:
        """What changes when a file does. Raises as `describe`."""
        path = self._path(file)
        try:
            state = path.stat()
        except OSError:
            raise self._absent(file) from None
        return (path, state.st_mtime_ns, state.st_size)

    def table(self, file: str, types: Mapping[str, Any]) -> Any:
        """The Arrow table in a file; columns of a CSV file have these Arrow types, and otherwise what all their values
        are. Raises as `describe`.
        """
        return self._read(file, self._path(file), types)

    def _table(self, file: str) -> Any:
        version = self.version(file)
        if self._last is not None and self._last[0] == version:
            return self._last[1]
        table = self._read(file, version[0], None)
        # The columns of one file are usually asked for one after the other.
        self._last = (version, table)
        return table

    def _read(self, file: str, path: Path, types: Mapping[str, Any] | None) -> Any:
        from tacit.session import tables

        try:
            return tables.read_table(path, types)
        except tables.HeaderError as error:
            raise InputError(
                "INPUT-017",
                f"{file} begins with no header: the name of column {error.column} {error.fault}",
                expected="a first row with a different name for each column, each with a letter in it, and no values",
                party=self._party,
                next="put a row with the names of the columns first, of an index too (pandas leaves its name out)",
            ) from None
        except tables.UnreadableError as error:
            if error.column:
                raise InputError(
                    "INPUT-005",
                    f"column {error.column} of {file} has a value that is not of the type that was declared",
                    expected="values of the declared type in every row, numbers with a decimal point",
                    party=self._party,
                    next="correct the value, or declare another type with types=",
                ) from None
            ragged = f": row {error.row} has too few or too many values" if error.row else ""
            raise InputError(
                "INPUT-002",
                f"{file} cannot be read as {path.suffix[1:]}{ragged}",
                expected="a well-formed file that the party's user may read, CSV in UTF-8",
                party=self._party,
                next="check the file's permissions, and open it with another program",
            ) from None

    def _path(self, file: str) -> Path:
        if self._root is None:
            raise InputError(
                "INPUT-012",
                "this party has no data directory",
                expected="a directory given to the party when it started",
                party=self._party,
                next="start it with --data DIR, or tacit.local(data={party: directory})",
            )
        path: Path | None = None
        # What is not printable would also forge lines of the operator's log.
        if file.isprintable() and file and not os.path.isabs(file):
            try:
                path = (self._root / file).resolve()
            except (OSError, RuntimeError):  # A loop of symbolic links.
                path = None
        if path is None or not path.is_relative_to(self._root):
            raise InputError(
                "INPUT-003",
                "a file outside the data directory was asked for",
                expected="a relative path that stays inside the data directory",
                party=self._party,
                next="name a file below the directory given with --data",
            )
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(
                "INPUT-002", f"{file} is of no known format", expected=", ".join(SUFFIXES), party=self._party
            )
        try:
            there = path.is_file()
        except OSError:  # Among others a name longer than the file system allows.
            there = False
        if not there:
            raise self._absent(file)
        return path

    def _absent(self, file: str) -> InputError:
        shown = file if len(file) <= NAME_SHOWN_MAX else f"{file[:NAME_SHOWN_MAX]}…"
        return InputError(
            "INPUT-001",
            f"there is no file {shown} in the data directory",
            expected="one file with this name, not a directory or a pattern",
            party=self._party,
            next="check the spelling; the path is relative to the directory given with --data",
        )


_ABOUT_THE_REQUEST: Final = ("INPUT-001", "INPUT-003", "INPUT-004", "INPUT-010", "INPUT-011", "INPUT-019", "INPUT-021")
"""No such file, a path outside the directory, no such column or source, a query that is not accepted: they say nothing
but what the client itself has named."""
_ABOUT_ROWS: Final = ("SQL-011", "SQL-012", "SQL-013")
"""Duplicates, another type than before, another number of rows."""


def redacted(error: TacitError) -> TacitError:
    """What others than the owner are told about an error in the owner's data: code, party and what to do."""
    about_data = isinstance(error, InputError) and error.code not in _ABOUT_THE_REQUEST
    if not about_data and error.code not in _ABOUT_ROWS:
        return error
    return type(error)(
        error.code,
        "an input of this party does not fit the plan" if about_data else "a table of this party is not as declared",
        party=error.party,
        next="the party's own log says where; ask its operator",
    )
