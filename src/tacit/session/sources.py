# SPDX-License-Identifier: Apache-2.0
"""A party's tables for SQL: what it says about them when they are registered, and its own part of queries.

A source is one text: `file:NAME` with the declared types of columns (`?age=DECIMAL(5,1)`), a file in the data
directory; `database:NAME#TABLE`, a table or view of a Postgres database that the owner configured in `sources.toml` in
the data directory; `given:NAME`, a table, or `given:NAME#TABLE`, one of a database, that a client acting for the party
handed over for its session.

    [warehouse]
    url = "postgresql://reader@db.example/warehouse"
    tables = ["patients", "clinic.visits"]

An input that comes from a query is `query:VALUE#DIALECT:SELECT...#...`: VALUE is `present`, `3.0` (word 0 of column 3)
or `3.null`; the rest is a `HomeQuery`, which all inputs of one query share.
"""

from __future__ import annotations

import re
import tomllib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

import numpy as np

from tacit.errors import InputError, SqlError, TacitError
from tacit.frontends.sql.catalogue import Field
from tacit.frontends.sql.types import BOOLEAN, TEXT, Dictionary, SqlType, laid_out, parse_type, to_arrow
from tacit.plan import BOOL, DType, Interval
from tacit.session.columns import (
    TEXT_MAX,
    declared_domain,
    declared_for,
    encode_column,
    normalised,
    nulls,
    raw_of,
    rounded,
)
from tacit.session.datasets import SUFFIXES, Datasets
from tacit.session.engines import (
    Postgres,
    at_most,
    duckdb_row,
    duckdb_table,
    quoted_relation,
    refused,
    understood,
    with_relations,
    written,
)
from tacit.session.values import U64Array, check_raw

CONFIGURATION: Final = "sources.toml"
KEPT_BYTES: Final = 1 << 30
"""Of tables read from files, the last ones of so many bytes together stay in memory."""
_SAFE: Final = " ()[]{}<>,;:=+-*/'\"!?&|$@^~`_.\\"


@dataclass(frozen=True)
class HomeQuery:
    """A query that a party runs in its own engine: `sources` are (name in the text, source), `columns` the types of its
    result's columns, text as it is laid out, with whether they may be NULL. It has at most `rows` rows, exactly so many
    unless `padded`.
    """

    text: str
    dialect: str
    sources: tuple[tuple[str, str], ...]
    rows: int
    padded: bool
    columns: tuple[tuple[SqlType, bool], ...]

    def __str__(self) -> str:
        """One printable line; `parse_query` is the inverse."""
        text = "".join(c if c.isprintable() and c not in "%#" else quote(c, safe="") for c in self.text)
        pairs = [("at_most" if self.padded else "rows", str(self.rows))]
        pairs += [("column", _column(kind, null)) for kind, null in self.columns]
        pairs += [("from", f"{quote(name, safe=' ')}={source}") for name, source in self.sources]
        return f"{self.dialect}:{text}#{urlencode(pairs, quote_via=quote, safe='(),:?=/')}"


@lru_cache(64)
def parse_query(text: str) -> HomeQuery:
    """The query that a text describes. Raises InputError INPUT-011."""
    head, _, tail = text.partition("#")
    dialect, _, query = head.partition(":")
    try:
        pairs = parse_qsl(tail, strict_parsing=True, max_num_fields=8192)
        by_key: dict[str, list[str]] = {"rows": [], "at_most": [], "column": [], "from": []}
        for key, value in pairs:
            by_key[key].append(value)
        (rows,) = by_key["rows"] + by_key["at_most"]
        columns = tuple(map(_parse_column, by_key["column"]))
        sources = [s.partition("=") for s in by_key["from"]]
        return HomeQuery(
            unquote(query, errors="strict"),
            dialect,
            tuple((unquote(name), source) for name, _, source in sources),
            int(rows),
            bool(by_key["at_most"]),
            columns,
        )
    except (ValueError, KeyError):
        raise _unknown_source() from None


def _column(kind: SqlType, nullable: bool) -> str:
    """A column in words: `BIGINT?` may be NULL, `VARCHAR:9` has at most 9 bytes, `VARCHAR=no,yes` one of two values."""
    layout = "=" + ",".join(quote(v, safe="") for v in kind.values) if kind.values else f":{kind.size}"
    return f"{kind}{layout if kind.kind == 'text' else ''}{'?' if nullable else ''}"


def _parse_column(text: str) -> tuple[SqlType, bool]:
    match = re.fullmatch(r"([A-Z0-9(),]+)(?::(\d{1,9})|=([^?]*))?(\?)?", text)
    kind = parse_type(match[1]) if match else None
    if match is None or kind is None or (kind == TEXT) != (match[2] is not None or match[3] is not None):
        raise ValueError
    if kind == TEXT:
        texts = [unquote(v, errors="strict") for v in match[3].split(",")] if match[3] is not None else []
        kind = laid_out(TEXT, Dictionary.of(texts) if texts else Interval(0, int(match[2])))
        if kind.size > TEXT_MAX or list(kind.values) != texts:
            raise ValueError
    return kind, match[4] is not None


def input_source(value: str, query: HomeQuery) -> str:
    """The source of an input that is one value of a query: `present`, `3.0` or `3.null`."""
    return f"query:{value}#{query}"


def split_input(source: str) -> tuple[str, str] | None:
    """The value and the query's text of such a source; None for another source."""
    if not source.startswith("query:"):
        return None
    value, _, query = source.removeprefix("query:").partition("#")
    return value, query


def rows_of(source: str) -> int | None:
    """The rows of an input that comes from a query; None for another source. Raises InputError INPUT-011."""
    split = split_input(source)
    return None if split is None else parse_query(split[1]).rows


def file_source(file: str, types: Mapping[str, SqlType]) -> str:
    """The source of a file, with the declared types of some of its columns."""
    declared = urlencode([(name, str(kind)) for name, kind in types.items()], quote_via=quote, safe="(),")
    return f"file:{quote(file)}{'?' if declared else ''}{declared}"


def file_of(source: str) -> str | None:
    """The file that a source is, or None."""
    return unquote(source.removeprefix("file:").partition("?")[0]) if source.startswith("file:") else None


Given = Mapping[str, Any]
"""What a client handed over for its session: Arrow tables and `Postgres` databases by name."""


@dataclass(frozen=True)
class Question:
    """What a client asks about a table: see `Session.table`. `rows` is a bound, None to be told their exact number."""

    source: str
    rows: int | None = None
    unique: tuple[tuple[str, ...], ...] = ()
    ranges: Mapping[str, Any] = field(default_factory=dict)

    def to_fields(self) -> dict[str, Any]:
        """As fields of a message."""
        return {
            "source": self.source,
            "rows": self.rows,
            "unique": [list(u) for u in self.unique],
            "ranges": {name: list(bounds) for name, bounds in self.ranges.items()},
        }

    @staticmethod
    def from_fields(fields: Mapping[str, Any]) -> Question:
        """From fields of a message. Raises InputError INPUT-011."""
        source, rows = fields.get("source"), fields.get("rows")
        unique, ranges = fields.get("unique"), fields.get("ranges")
        good = (
            isinstance(source, str)
            and (rows is None or (type(rows) is int and rows >= 0))
            and isinstance(unique, list)
            and all(isinstance(u, list) and u and all(isinstance(c, str) for c in u) for u in unique)
            and isinstance(ranges, dict)
            and all(isinstance(b, list) and len(b) == 2 for b in ranges.values())
        )
        if not good:
            raise _unknown_source()
        assert isinstance(source, str) and isinstance(unique, list) and isinstance(ranges, dict)
        return Question(source, rows, tuple(tuple(u) for u in unique), {n: tuple(b) for n, b in ranges.items()})


@dataclass(frozen=True)
class TableFacts:
    """What a party says about a table: its columns, the names of those that SQL has no type for, the number of rows or
    the bound on it, and the dialect of the engine that runs queries over it.
    """

    fields: tuple[Field, ...]
    others: tuple[str, ...]
    rows: int
    dialect: str

    def to_fields(self) -> dict[str, Any]:
        """As fields of a message."""
        columns = [[f.name, str(f.type), f.nullable, f.domain.lo, f.domain.hi] for f in self.fields]
        return {"rows": self.rows, "dialect": self.dialect, "columns": columns, "others": list(self.others)}

    @staticmethod
    def from_fields(fields: Mapping[str, Any]) -> TableFacts:
        """From fields of a message. Raises ValueError for others."""
        try:
            columns = tuple(
                Field(str(name), _known_type(kind), bool(nullable), Interval(int(lo), int(hi)))
                for name, kind, nullable, lo, hi in fields["columns"]
            )
            return TableFacts(columns, tuple(map(str, fields["others"])), int(fields["rows"]), str(fields["dialect"]))
        except (KeyError, TypeError, TacitError):
            raise ValueError from None


def _known_type(text: Any) -> SqlType:
    kind = parse_type(text) if isinstance(text, str) else None
    if kind is None:
        raise ValueError
    return kind


class Sources:
    """The tables of one party. `party` is its name, for errors."""

    def __init__(self, datasets: Datasets, party: str) -> None:
        self._datasets = datasets
        self._party = party
        self._tables: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def key(self, source: str) -> str:
        """One text for all names of a source."""
        file = file_of(source)
        return source if file is None else f"file:{self._datasets.key(file)}"

    def describe(self, question: Question, given: Given) -> TableFacts:
        """What the party says about a table.

        Raises InputError as `Datasets.describe`, INPUT-004 for an unknown column, INPUT-021 for a source that is not
        configured, INPUT-026 for names of columns that differ in case only or cannot be printed; and SqlError: SQL-011
        duplicates where `unique` says there are none, SQL-013 more rows than the bound.
        """
        found = self._find(question.source, given)
        if isinstance(found, tuple):
            database, relation = found
            columns = database.columns(relation)
            known = [(name, kind) for name, kind in columns if kind is not None]
            others = tuple(name for name, kind in columns if kind is None)
            profile = _Profile("postgres", quoted_relation(relation), lambda text: database.rows(text)[0])
        else:
            table, others = found, self._others(question.source, given)
            known = [(n, _of_arrow(k)) for n, k in zip(table.column_names, table.schema.types, strict=True)]
            profile = _Profile("duckdb", '"t"', lambda text: duckdb_row(text, {"t": table}, self._party))
        names = [name for name, _ in known]
        if not names:
            raise InputError(
                "INPUT-025",
                "a table has no column that SQL has a type for",
                expected="a column of numbers, bools, dates, timestamps or text",
                party=self._party,
                next="convert one, or declare its type with types=, such as TIMESTAMP for times with a zone",
            )
        self._check_names(names, others, question)
        ranges = {name.lower(): bounds for name, bounds in question.ranges.items()}
        rows, fields = profile.fields(known, ranges)
        if question.rows is not None and rows > question.rows:
            raise self._too_many(question.rows, rows)
        for columns_of in question.unique:
            actual = [next(n for n in names if n.lower() == c.lower()) for c in columns_of]
            duplicates = profile.duplicates(actual)
            if duplicates:
                raise SqlError(
                    "SQL-011",
                    f"{duplicates} combinations of {', '.join(actual)} occur more than once",
                    expected="each at most once, as `unique` says",
                    party=self._party,
                    next="remove the duplicates, or register the table without this `unique`",
                )
        dialect = "postgres" if isinstance(found, tuple) else "duckdb"
        return TableFacts(fields, others, rows if question.rows is None else question.rows, dialect)

    def inputs(self, given: Given) -> Inputs:
        """The reader of one proposal's inputs: each query runs once."""
        return Inputs(self, self._datasets, given)

    def run(self, query: HomeQuery, given: Given) -> Any:
        """The Arrow table that a query gives, at most one row more than it may have. Raises InputError INPUT-019 to
        -021, and as `Datasets.describe`.
        """
        tree = at_most(understood(query.text, query.dialect, [n for n, _ in query.sources], self._party), query.rows)
        found = {name: self._find(source, given) for name, source in query.sources}
        databases = {id(f[0]): f[0] for f in found.values() if isinstance(f, tuple)}
        if query.dialect == "postgres":
            if len(databases) != 1 or not all(isinstance(f, tuple) for f in found.values()):
                raise refused("it is for Postgres, and reads tables outside of one database", self._party)
            (database,) = databases.values()
            tree = with_relations(tree, {name: f[1] for name, f in found.items()})
            names = [f"c{k}" for k in range(len(query.columns))]
            kinds = [TEXT if kind.kind == "text" else kind for kind, _ in query.columns]
            return database.table(written(tree, "postgres", self._party), names, kinds)
        tables = {name: _whole(*f) if isinstance(f, tuple) else f for name, f in found.items()}
        return duckdb_table(written(tree, "duckdb", self._party), tables, self._party)

    # --- where tables are ------------------------------------------------------------------------------------------

    def _find(self, source: str, given: Given) -> Any:
        """The Arrow table of a source, or (database, relation)."""
        scheme, _, rest = source.partition(":")
        if scheme == "file":
            return self._file(source)[0]
        name, _, relation = rest.partition("#")
        if scheme == "given":
            found = given.get(name)
            if isinstance(found, Postgres) and relation:
                return found, relation
            if found is not None and not isinstance(found, Postgres):
                return found
        elif scheme == "database":
            database, tables = self._configured().get(name, (None, ()))
            if relation in tables:
                return database, relation
        raise InputError(
            "INPUT-021",
            f"there is no source {rest.replace('#', '.', 1).strip('.')[:100]!r}",
            expected=f"a file ({', '.join(SUFFIXES)}), or DATABASE.TABLE as {CONFIGURATION} in the party's data "
            "directory lists them",
            party=self._party,
            next="correct the name, unpack or convert a file of another kind, or have the operator list the table",
        )

    def _others(self, source: str, given: Given) -> tuple[str, ...]:
        others: tuple[str, ...] = self._file(source)[1] if source.startswith("file:") else ()
        return others

    def _file(self, source: str) -> Any:
        file = file_of(source)
        assert file is not None
        key = (self._datasets.version(file), source)
        if key not in self._tables:
            try:
                pairs = parse_qsl(source.partition("?")[2], keep_blank_values=True, max_num_fields=4096)
                declared = {name: _known_type(kind) for name, kind in pairs}
            except ValueError:
                raise _unknown_source() from None
            raw = self._datasets.table(file, {name: to_arrow(kind) for name, kind in declared.items()})
            declared = declared_for(raw.column_names, declared, self._party)
            self._tables[key] = normalised(raw, declared, self._bad_type)
            while len(self._tables) > 1 and sum(t.nbytes for t, _ in self._tables.values()) > KEPT_BYTES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(key)
        return self._tables[key]

    def _bad_type(self, column: str, kind: str) -> InputError:
        return InputError(
            "INPUT-005",
            f"column {column!r} has a value that is no {kind}",
            expected=f"values of type {kind} in every row",
            party=self._party,
            next="correct the value, or declare another type with types=",
        )

    def _configured(self) -> dict[str, tuple[Postgres, tuple[str, ...]]]:
        path = self._datasets.directory
        if path is None or not (path / CONFIGURATION).is_file():
            return {}
        return configured(path / CONFIGURATION, self._party)

    # --- checks ----------------------------------------------------------------------------------------------------

    def _check_names(self, names: Sequence[str], others: Sequence[str], question: Question) -> None:
        nameless = next((n for n in (*names, *others) if not n.strip() or not n.isprintable()), None)
        if nameless is not None:
            raise InputError(
                "INPUT-026",
                f"a column is named {nameless[:100]!r}",
                expected="names of printable characters",
                party=self._party,
                next="give the column another name",
            )
        lower = [n.lower() for n in names]
        twice = next((n for n in names if lower.count(n.lower()) > 1), None)
        if twice is not None:
            raise InputError(
                "INPUT-026",
                f"there are two columns {twice[:100]!r}, apart from case",
                expected="different names: SQL does not tell case",
                party=self._party,
                next="rename one of them",
            )
        asked = [c for u in question.unique for c in u] + list(question.ranges)
        missing = next((c for c in asked if c.lower() not in lower), None)
        if missing is not None:
            raise InputError(
                "INPUT-004",
                f"{question.source[:100]} has no column {missing[:100]!r}",
                expected=f"one of {', '.join(map(repr, names[:64]))}",
                party=self._party,
                next="correct the column's name",
            )

    def _too_many(self, bound: int, rows: int) -> SqlError:
        return SqlError(
            "SQL-013",
            f"a table has {rows} rows, more than the bound",
            expected=f"at most {bound} rows",
            party=self._party,
            next="register it with a larger bound, rows=",
        )


def to_ipc(table: Any) -> bytes:
    """An Arrow table as a stream of bytes; `from_ipc` is the inverse."""
    import pyarrow as pa
    import pyarrow.ipc

    sink = pa.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def from_ipc(data: Any, party: str) -> Any:
    """The Arrow table in a stream of bytes. Raises InputError INPUT-024 if it is none, or lies about its lengths."""
    import pyarrow as pa
    import pyarrow.ipc

    try:
        with pyarrow.ipc.open_stream(pa.py_buffer(data)) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError):
        raise InputError(
            "INPUT-024",
            "a table that was handed over is no well-formed Arrow stream",
            expected="an Arrow table, as Session.table sends it",
            party=party,
            next="use the same version of tacit on both sides",
        ) from None
    return table


def configured(path: Path, party: str | None = None) -> dict[str, tuple[Postgres, tuple[str, ...]]]:
    """The databases of a file such as the module describes, with the tables that may be read. Raises InputError
    INPUT-023.
    """
    try:
        document = tomllib.loads(path.read_text())
        return {
            name: (_database(str(path.resolve()), entry["url"], party), tuple(map(str, entry["tables"])))
            for name, entry in document.items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        # Nothing of it is repeated: it may hold a password.
        raise InputError(
            "INPUT-023",
            f"{CONFIGURATION} cannot be read",
            expected="for each database a table with `url` and `tables`",
            party=party,
            next="correct the file in the party's data directory",
        ) from None


@lru_cache(256)
def _database(path: str, url: str, party: str | None) -> Postgres:
    # The same object for the same database, so that its tables can be told to be in one.
    return Postgres(url, party)


def _whole(database: Postgres, relation: str) -> Any:
    """A table of a database, for a query that joins it with others."""
    columns = [(name, kind) for name, kind in database.columns(relation) if kind is not None]
    names = ", ".join('"' + n.replace('"', '""') + '"' for n, _ in columns)
    found = database.table(f"SELECT {names} FROM {quoted_relation(relation)}", *zip(*columns, strict=True))
    return normalised(found, dict(columns), lambda name, kind: _unknown_source())[0]


def _values_of(query: HomeQuery, index: int) -> str:
    """What a column of a query's result holds, in words: a column of its table, or an expression; "" if neither is
    easily told.
    """
    from sqlglot import exp

    node = understood(query.text, query.dialect, [name for name, _ in query.sources])
    name = ""
    while isinstance(node, exp.Select):
        items = [i for i in node.expressions if i.alias_or_name == name] if name else node.expressions[index:]
        item = items[0].unalias()
        while isinstance(item, exp.Cast):
            item = item.this
        if not isinstance(item, exp.Column):
            for column in item.find_all(exp.Column):
                column.set("table", None)
            return f"`{item.sql(query.dialect)[:100]}`"
        source = node.args["from_"].this if "from_" in node.args else None
        if not isinstance(source, exp.Subquery) or item.table != source.alias:
            return f"column {item.name!r}"
        node, name = source.this, item.name
    return ""


def _of_table(error: InputError, what: str, named: str) -> InputError:
    """An error in a column of a query, with the column's name, and what to do about a range of a table."""
    outside = error.code == "INPUT-007"
    limits = "every value within ranges= and values=, numbers within 2^62, doubles within 2^44"
    return InputError(
        error.code,
        error.what.replace(what, named),
        expected=limits if outside else error.expected,
        party=error.party,
        next="declare wider ones, correct the value, or scale the column at its owner" if outside else error.next,
    )


def _unknown_source() -> InputError:
    return InputError(
        "INPUT-011",
        "an input names its data in a way that is not understood",
        expected="file:NAME?column=NAME, or file:NAME?columns=NAME&columns=NAME",
    )


def _of_arrow(kind: Any) -> SqlType:
    from tacit.frontends.sql.types import from_arrow

    found = from_arrow(kind)
    assert found is not None
    return found


def _declared(name: str, kind: SqlType, bounds: Any) -> Interval:
    try:
        return declared_domain(bounds, kind)
    except (TypeError, ValueError, ArithmeticError, TacitError):
        raise InputError(
            "INPUT-010",
            f"the range of column {name!r} is not one of its type",
            expected=f"a pair of values of type {kind}, or for text (0, bytes)",
            next="correct ranges=",
        ) from None


class _Profile:
    """What registering a table tells about it, by queries of our own: `row` gives the only row of one."""

    def __init__(self, dialect: str, relation: str, row: Any) -> None:
        self._postgres = dialect == "postgres"
        self._relation = relation
        self._row = row

    def fields(
        self, columns: Sequence[tuple[str, SqlType]], ranges: Mapping[str, Any]
    ) -> tuple[int, tuple[Field, ...]]:
        """The number of rows, and the columns with their declared ranges, by lower-case name, or those of their values,
        rounded outwards. Raises InputError INPUT-010.
        """
        asked = [part for name, kind in columns for part in self._asked(name, kind)]
        rows, *found = self._row(f"SELECT count(*), {', '.join(asked)} FROM {self._relation}")
        fields = []
        for (name, kind), known, low, high in zip(columns, found[::3], found[1::3], found[2::3], strict=True):
            if name.lower() in ranges:
                domain = _declared(name, kind, ranges[name.lower()])
            elif kind.kind == "bool":
                domain = Interval(0, 1)
            elif kind == TEXT:
                domain = rounded(0, high or 0, kind)
            else:
                low, high = (0 if v is None else raw_of(v, kind) for v in (low, high))
                domain = rounded(low, high, kind)
            fields.append(Field(name, kind, known < rows, domain))
        return int(rows), tuple(fields)

    def _asked(self, name: str, kind: SqlType) -> tuple[str, str, str]:
        """Of a column the number of values, the least and the largest; of text the most bytes."""
        column = '"' + name.replace('"', '""') + '"'
        known = f"count({column})"
        if kind.kind in ("bool", "null"):
            return known, "0", "0"
        if kind == TEXT:
            return known, "0", f"max({'octet_length' if self._postgres else 'strlen'}({column}))"
        where = ""
        if kind.kind == "double":
            finite = f"{column} NOT IN ('NaN', 'Infinity', '-Infinity')" if self._postgres else f"isfinite({column})"
            where = f" FILTER (WHERE {finite})"
        return known, f"min({column}){where}", f"max({column}){where}"

    def duplicates(self, columns: Sequence[str]) -> int:
        """How many combinations of values, none of them NULL, occur more than once."""
        quoted = ['"' + c.replace('"', '""') + '"' for c in columns]
        there = " AND ".join(f"{c} IS NOT NULL" for c in quoted)
        groups = f"SELECT 1 FROM {self._relation} WHERE {there} GROUP BY {', '.join(quoted)} HAVING count(*) > 1"
        return int(self._row(f"SELECT count(*) FROM ({groups}) AS d")[0])


class Inputs:
    """A party's data as one proposal reads them: files as `Datasets.read`, and values of queries, each run once."""

    def __init__(self, sources: Sources, datasets: Datasets, given: Given) -> None:
        """Made by `Sources.inputs`."""
        self._sources = sources
        self._datasets = datasets
        self._given = given
        self._results: dict[str, Any] = {}
        self._encoded: dict[tuple[str, int, Interval], tuple[U64Array, ...]] = {}

    def describe(self, question: Question) -> TableFacts:
        """As `Sources.describe`."""
        return self._sources.describe(question, self._given)

    def read(self, source: str, dtype: DType, interval: Interval) -> U64Array:
        """Raw values of an input [rows].

        Raises as `Datasets.read` and `Sources.run`, and SqlError SQL-012 where a query gives other columns than the
        plan says, SQL-013 where it gives another number of rows.
        """
        split = split_input(source)
        if split is None:
            return self._datasets.read(source, dtype, interval)
        value, text = split
        query = parse_query(text)
        result = self._result(text, query)
        raw = np.zeros(query.rows, np.uint64)
        if value == "present":
            kind: SqlType = BOOLEAN
            raw[: len(result)] = 1
        else:
            match = re.fullmatch(r"(\d{1,4})\.(\d{1,4}|null)", value)
            if match is None or int(match[1]) >= len(query.columns):
                raise _unknown_source()
            kind = BOOLEAN if match[2] == "null" else query.columns[int(match[1])][0]
            if match[2] == "null":
                raw[: len(result)] = nulls(result.column(int(match[1])))
            else:
                words = self._column(text, query, int(match[1]), interval)
                if int(match[2]) >= len(words):
                    raise _unknown_source()
                raw[: len(result)] = words[int(match[2])]
        if kind.dtype != dtype and not (kind == BOOLEAN and dtype == BOOL):
            raise _unknown_source()
        check_raw(raw, interval, what="a value of the party's query", party=self._sources._party)
        return raw

    def _result(self, text: str, query: HomeQuery) -> Any:
        if text not in self._results:
            result = self._sources.run(query, self._given)
            if result is None or result.num_columns != len(query.columns):
                raise self._changed("another number of columns", f"{len(query.columns)} columns")
            if len(result) > query.rows or (len(result) < query.rows and not query.padded):
                bound = "at most " if query.padded else ""
                raise SqlError(
                    "SQL-013",
                    f"this party's part of a query has {len(result)} rows or more",
                    expected=f"{bound}{query.rows} rows, as the plan says",
                    party=self._sources._party,
                    next="register the tables again: they may have changed since",
                )
            self._results[text] = result
        return self._results[text]

    def _column(self, text: str, query: HomeQuery, index: int, interval: Interval) -> tuple[U64Array, ...]:
        kind, nullable = query.columns[index]
        if kind.kind == "text":
            interval = Dictionary.of(kind.values) if kind.values else Interval(0, kind.size)
            kind = TEXT
        key = (text, index, interval)
        if key not in self._encoded:
            field = Field(f"c{index}", kind, nullable, interval)
            column = self._result(text, query).column(index)
            what = f"column {index + 1} of this party's query"
            try:
                self._encoded[key] = encode_column(column, field, what=what, party=self._sources._party)
            except InputError as error:
                raise _of_table(error, what, _values_of(query, index) or what) from None
        return self._encoded[key]

    def _changed(self, what: str, expected: str) -> SqlError:
        return SqlError(
            "SQL-012",
            f"this party's part of a query gives {what}",
            expected=f"{expected}, as the plan says",
            party=self._sources._party,
            next="register the tables again: they may have changed since",
        )
