# SPDX-License-Identifier: Apache-2.0
"""The tables of a session: registered with their owners, and read by plans as inputs from the owners' queries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, get_args

from tacit.errors import InputError, SqlError, TacitError
from tacit.frontends.array import SecretArray
from tacit.frontends.graph import record
from tacit.frontends.program import Program
from tacit.frontends.sql.algebra import Column, Home
from tacit.frontends.sql.catalogue import Catalogue, Field, Part, Table
from tacit.frontends.sql.frame import Frame, Vector
from tacit.frontends.sql.types import NULL, TEXT, Dictionary, SqlType, decimal, laid_out, words_of, words_range
from tacit.frontends.sql.vectors import CODES_MAX
from tacit.plan import BOOL, DType, Interval
from tacit.protocols.shares import U64Array
from tacit.session.columns import TEXT_MAX, declared_for, normalised
from tacit.session.datasets import SUFFIXES, Datasets
from tacit.session.engines import Postgres, understood, written
from tacit.session.sources import HomeQuery, Inputs, Question, Sources, TableFacts, file_source, input_source

if TYPE_CHECKING:
    from tacit.session.query import SecretFrame

SOURCE_MAX: Final = 60_000
"""Characters of a home's query; a plan holds no longer source."""
_NAME_MAX: Final = 60

Rows = Literal["exact"] | int
Unique = str | Sequence[str | Sequence[str]]
Across = Literal["assumed", "checked"]


class Owners(Protocol):
    """The parties as registering a table needs them."""

    def describe_table(self, party: int, question: Question) -> TableFacts:
        """What a party says about one of its tables."""

    def give(self, party: int, name: str, table: Any) -> None:
        """Hand a party a table, or the URL of a database."""


@dataclass(frozen=True)
class SqlTable:
    """A registered table: its name in queries, and what registering it has told everybody.

    `schema` has each column's type in DuckDB's dialect; `others` names columns that queries cannot use, because SQL as
    it is here has no type for them.
    """

    table: Table
    parties: tuple[str, ...]
    across: Across = "assumed"

    @property
    def name(self) -> str:
        """Its name in queries."""
        return self.table.name

    @property
    def others(self) -> tuple[str, ...]:
        """Columns that queries cannot use."""
        return self.table.others

    @property
    def rows(self) -> int:
        """The number of rows of all parts, or a bound on it."""
        return self.table.rows

    @property
    def schema(self) -> dict[str, str]:
        """The type of each column."""
        return {f.name: f"{f.type}{'' if f.nullable else ' NOT NULL'}" for f in self.table.fields}

    @property
    def disclosed(self) -> tuple[str, ...]:
        """What became known by registering it, line by line."""
        lines = [
            f"{'a bound on the' if p.padded else 'the'} number of rows of {self.parties[p.party]}: {p.rows}"
            for p in self.table.parts
        ]
        for f in self.table.fields:
            lines.append(f"column {f.name}: {f.type}, {_bounds(f)}{', may be NULL' if f.nullable else ''}")
        lines += [f"column {name}: of a type that queries cannot use" for name in self.others]
        lines += [f"no two rows of a party have the same {', '.join(columns)}" for columns in self.table.unique]
        if len(self.table.parts) > 1:
            found = "checked on shares" if self.across == "checked" else "not checked, but taken on trust"
            lines += [f"{found}: no two parties have the same {', '.join(columns)}" for columns in self.table.unique]
        return tuple(lines)

    def __repr__(self) -> str:
        columns = ", ".join(f"{name} {kind}" for name, kind in self.schema.items())
        others = f"; left out: {', '.join(self.others)}" if self.others else ""
        return f"SqlTable({self.name}: {columns}; {self.rows} rows{others})"


class Relations:
    """The tables of one session. `check_operator(party)` refuses a party that this client does not act for."""

    def __init__(
        self, program: Program[U64Array | None], owners: Owners, check_operator: Callable[[int], None]
    ) -> None:
        self.catalogue: Final = Catalogue()
        self._tables: dict[str, SqlTable] = {}
        self._program = program
        self._owners = owners
        self._check_operator = check_operator
        self._client = program.computing
        # Tables that the client brings itself stay with it: it runs its own part of a query as a party would.
        self._own_tables: dict[str, Any] = {}
        self._own = Sources(Datasets(None, program.parties[-1]), program.parties[-1])
        self._given = 0
        self._databases: dict[tuple[int, str], str] = {}
        self._leaves: dict[tuple[Any, ...], tuple[list[Vector], SecretArray | None]] = {}
        self._named: dict[str, int] = {}

    def add(
        self,
        name: str,
        source: Any,
        party: int | str | None,
        unique: Unique,
        rows: Rows,
        ranges: Mapping[str, Sequence[Any]],
        types: Mapping[str, str],
        values: Mapping[str, Iterable[str]],
        min_group: int,
        across: Across,
        sql: Callable[[str], SecretFrame],
    ) -> SqlTable:
        """Register a table; see `Session.table`. `sql` answers queries over the tables here."""
        if across not in get_args(Across):
            raise _bad("across says nothing that is known", "across='assumed' or across='checked'")
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > _NAME_MAX:
            raise _bad("a table has no proper name", f"1 to {_NAME_MAX} printable characters")
        by_party = isinstance(source, Mapping) and (
            all(map(self._is_party, source)) or any(map(_is_whole_table, source.values()))
        )
        if by_party and party is None and source:
            parts = {self._program.party_index(p): s for p, s in source.items()}
        else:
            parts = {self._client if party is None else self._program.party_index(party): source}
        try:
            listed = [unique] if isinstance(unique, str) else unique
            columns = [(u,) if isinstance(u, str) else tuple(u) for u in listed]
            declared = {column: _declared(column, kind) for column, kind in types.items()}
            dictionaries = {column.lower(): _dictionary(column, texts) for column, texts in values.items()}
            bounds = {column: [_plain(v) for v in span] for column, span in ranges.items()}
            # An owner who knows the values need not tell how long the longest one is.
            bounds |= {column: [0, dictionaries[column.lower()].hi] for column in values}
            if not all(columns) or not all(isinstance(c, str) for u in columns for c in u):
                raise TypeError
        except (TypeError, AttributeError):
            raise _bad(
                "unique, ranges, types or values are not written as they should be",
                "unique='id' or [('order', 'line')], ranges={'age': (0, 130)}, types={'price': 'DECIMAL(15,2)'}",
            ) from None
        bound = None if isinstance(rows, str) and rows == "exact" else whole_number(rows, 0, "rows")
        min_group = whole_number(min_group, 1, "min_group")
        answers: dict[int, tuple[str, TableFacts]] = {}
        for index in sorted(parts):
            where, others = self._place(parts[index], index, declared)
            question = Question(where, bound, tuple(columns), bounds)
            if index == self._client:
                answer = self._own.describe(question, self._own_tables)
            else:
                answer = self._owners.describe_table(index, question)
            answers[index] = (where, replace(answer, others=(*answer.others, *others)))
        agreed = self._agreed({index: answer.fields for index, (_, answer) in answers.items()})
        fields = tuple(_listed(f, dictionaries.get(f.name.lower())) for f in agreed)
        table = Table(
            name,
            fields,
            tuple(Part(p, where, a.rows, bound is not None, a.dialect) for p, (where, a) in answers.items()),
            tuple(_spelled(u, fields) for u in columns),
            min_group,
            tuple(dict.fromkeys(o for _, a in answers.values() for o in a.others)),
        )
        if across == "checked" and len(parts) > 1:
            self._check_across(table, sql)
        self.catalogue.add(table)
        made = SqlTable(table, self._program.parties, across)
        self._tables[name.lower()] = made
        return made

    def _check_across(self, table: Table, sql: Callable[[str], SecretFrame]) -> None:
        """Refuse a table of which two parties have the same key: a query for each, that discloses whether it is so."""
        before = self.catalogue.find(table.name)
        # The bit is about keys that occur, however few.
        self.catalogue.add(replace(table, unique=(), min_group=1))
        try:
            for columns in table.unique:
                keys = [_quoted(c) for c in columns]
                there = " AND ".join(f"{k} IS NOT NULL" for k in keys)
                groups = (
                    f"SELECT 1 FROM {_quoted(table.name)} WHERE {there} GROUP BY {', '.join(keys)} HAVING count(*) > 1"
                )
                answer = sql(f"SELECT count(*) > 0 AS twice FROM ({groups}) AS d").reveal(
                    purpose=f"whether a {', '.join(columns)} occurs twice in {table.name}"
                )
                assert answer.table is not None
                if answer.table["twice"][0].as_py():
                    raise SqlError(
                        "SQL-011",
                        f"two parties have rows with the same {', '.join(columns)}",
                        expected="each combination at most once, as `unique` says",
                        next="remove the duplicates, or register the table without this `unique`",
                    )
        finally:
            self.catalogue.remove(table.name)
            if before is not None:
                self.catalogue.add(before)

    @property
    def tables(self) -> dict[str, SqlTable]:
        """The registered tables by name, as they were named."""
        return {t.name: t for t in self._tables.values()}

    def remove(self, name: str) -> None:
        """Forget a table."""
        self._tables.pop(name.lower(), None)
        self.catalogue.remove(name)

    def _is_party(self, key: Any) -> bool:
        return type(key) is int or key in self._program.parties

    def _place(self, source: Any, party: int, types: Mapping[str, SqlType]) -> tuple[str, tuple[str, ...]]:
        """Where the owner finds a source, after handing it over if this client holds it; and columns left out."""
        if isinstance(source, str | os.PathLike):
            text = os.fspath(source)
            if text.startswith(("postgresql://", "postgres://")):
                return self._database(text, party), ()
            if party == self._client:
                raise InputError(
                    "INPUT-015",
                    "this client is no party that reads files",
                    next="pass a table of your own, or name the party",
                )
            if PurePosixPath(text).suffix.lower() in SUFFIXES:
                return file_source(text, types), ()
            database, _, relation = text.partition(".")
            return f"database:{database}#{relation}", ()
        self._check_operator(party)
        arrow = _well_formed(_as_arrow(source))
        table, others = normalised(arrow, declared_for(arrow.column_names, types, None), _no_such_values)
        self._given += 1
        return f"given:{self._give(party, f't{self._given}', table)}", others

    def _database(self, text: str, party: int) -> str:
        url, mark, relation = text.rpartition("#")
        if not mark or not relation:
            raise _bad("a database is named without a table", "postgresql://…#table, or #schema.table")
        self._check_operator(party)
        key = (party, url)
        if key not in self._databases:
            self._databases[key] = self._give(party, f"d{len(self._databases) + 1}", url)
        return f"given:{self._databases[key]}#{relation}"

    def _give(self, party: int, name: str, table: Any) -> str:
        if party == self._client:
            self._own_tables[name] = Postgres(table) if isinstance(table, str) else table
        else:
            self._owners.give(party, name, table)
        return name

    def _agreed(self, parts: Mapping[int, tuple[Field, ...]]) -> tuple[Field, ...]:
        """The columns of all parts: integers and decimals as wide as the widest, all else alike."""
        (first, fields), *others = parts.items()
        agreed = {f.name.lower(): f for f in fields}
        for party, theirs in others:
            by_name = {f.name.lower(): f for f in theirs}
            for name in [*agreed, *(n for n in by_name if n not in agreed)]:
                mine, other = agreed.get(name), by_name.get(name)
                common = None if mine is None or other is None else _common(mine, other)
                if common is None:
                    have, here = (str(f.type) if f else "no such column" for f in (other, mine))
                    raise SqlError(
                        "SQL-012",
                        f"column {name[:100]!r} is {have} at {self._program.parties[party]}, and {here} at "
                        f"{self._program.parties[first]}",
                        expected="the same columns with the same types in all parts of a table",
                        party=self._program.parties[party],
                        next="convert the column at its owner, or declare its type with types=",
                    )
                agreed[name] = common
        return tuple(agreed.values())

    # --- inputs ----------------------------------------------------------------------------------------------------

    def leaf(self, home: Home) -> Frame:
        """The rows that a home gives, as inputs of plans: the same ones for the same query, so that it makes the same
        plan again. Raises SqlError SQL-015 for a query too long for a plan, SQL-016 for text that is.
        """
        tree = understood(home.query, home.dialect, [name for name, _ in home.sources])
        long = next((c for c in home.columns if c.type == TEXT and c.domain.hi > TEXT_MAX), None)
        if long is not None:
            raise SqlError(
                "SQL-016",
                f"column {long.name[:_NAME_MAX]!r} may have text of {long.domain.hi} bytes",
                expected=f"at most {TEXT_MAX} bytes, where text leaves its owner",
                next="declare a shorter one with ranges=, or let the owner cut it with substring or left",
            )
        columns = tuple((laid_out(c.type, c.domain), c.nullable) for c in home.columns)
        query = HomeQuery(written(tree, home.dialect), home.dialect, home.sources, home.rows, home.padded, columns)
        if len(str(query)) > SOURCE_MAX:
            raise SqlError(
                "SQL-015",
                f"the part of {self._program.parties[home.party]} makes a query of {len(str(query))} characters",
                expected=f"at most {SOURCE_MAX}",
                next="split the query, or let the owner define a view",
            )
        key = (home.party, query, tuple((c.name, c.domain) for c in home.columns))
        if key not in self._leaves:
            label = "+".join(dict.fromkeys(name for name, _ in home.sources))[:_NAME_MAX] or "values"
            inputs = _Inputs(self, home, query, label)
            vectors = [inputs.vector(k, c) for k, c in enumerate(home.columns)]
            present = inputs.array("present", "rows", BOOL, Interval(0, 1)) if home.padded else None
            self._leaves[key] = (vectors, present)
        vectors, present = self._leaves[key]
        return Frame(home.rows, dict(zip(home.columns, vectors, strict=True)), present)

    def free_name(self, name: str) -> str:
        """The name for an input; a number follows where there is one of that name."""
        self._named[name] = self._named.get(name, 0) + 1
        return name if self._named[name] == 1 else f"{name} #{self._named[name]}"

    def own_inputs(self) -> Inputs:
        """What reads the tables that this client brings itself."""
        return self._own.inputs(self._own_tables)


class _Inputs:
    """The inputs of one home."""

    def __init__(self, relations: Relations, home: Home, query: HomeQuery, label: str) -> None:
        self._relations = relations
        self._program = relations._program
        self._home = home
        self._query = query
        self._label = label
        self._own = relations.own_inputs() if home.party == self._program.computing else None

    def vector(self, index: int, column: Column) -> Vector:
        name = "".join(c if c.isprintable() else "?" for c in column.name)[:_NAME_MAX] or f"c{index}"
        domain = column.domain
        kind = laid_out(column.type, domain)
        if column.type != TEXT and (column.nullable or self._home.padded):
            domain = Interval(min(domain.lo, 0), max(domain.hi, 0))
        count = words_of(column.type, column.domain)
        words = tuple(
            self.array(
                f"{index}.{w}",
                name if count == 1 else f"{name} {w + 1}",
                kind.dtype,
                words_range(kind, w) if column.type == TEXT else domain,
            )
            for w in range(count)
        )
        null = self.array(f"{index}.null", f"{name} is null", BOOL, Interval(0, 1)) if column.nullable else None
        return Vector(kind, words, null)

    def array(self, value: str, name: str, dtype: DType, interval: Interval) -> SecretArray:
        source = input_source(value, self._query)
        party, shape = self._home.party, (self._home.rows,)
        raw = None
        if self._own is not None:
            raw, source = self._own.read(source, dtype, interval), ""
        label = self._relations.free_name(f"{self._label}.{name}")
        array = self._program.input(shape, dtype, party, raw, interval=interval, name=label, source=source)
        return array if raw is None else SecretArray(self._program, record("share", array.node))


def whole_number(value: Any, least: int, name: str) -> int:
    """An argument that counts something. Raises InputError INPUT-025."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise _bad(f"{name} is no number of rows", f"a whole number, {least} or more")
    return int(value)


def _is_whole_table(source: Any) -> bool:
    """Whether a value of a mapping is a table, and not a column of one."""
    return isinstance(source, str | os.PathLike) or hasattr(source, "collect_schema") or hasattr(source, "columns")


def _bounds(field: Field) -> str:
    if isinstance(field.domain, Dictionary):
        return f"one of {', '.join(map(repr, field.domain.values))}"
    if field.type == TEXT:
        return f"at most {field.domain.hi} bytes"
    return f"raw values {field.domain.lo} to {field.domain.hi}"


def _as_arrow(source: Any) -> Any:
    """A pandas, Polars or Arrow table, a dataset or a dictionary of columns, as an Arrow table. Raises INPUT-025."""
    import pyarrow as pa
    import pyarrow.dataset

    try:
        if isinstance(source, pa.Table):
            return source
        if isinstance(source, pa.RecordBatch):
            return pa.Table.from_batches([source])
        if isinstance(source, Mapping):
            return pa.table(dict(source))
        if hasattr(source, "to_arrow"):
            return source.to_arrow()
        if hasattr(source, "collect_schema"):  # Polars, lazy
            return source.collect().to_arrow()
        if isinstance(source, pyarrow.dataset.Dataset):
            return source.to_table()
        if hasattr(source, "columns") and hasattr(source, "iloc"):
            return pa.Table.from_pandas(source, preserve_index=False)
        if hasattr(source, "__arrow_c_stream__"):
            return pa.table(source)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, LookupError):
        # The reason is not repeated: it may quote a value.
        column = _first_without_type(source)
        what = "a table" if column is None else f"column {column[:100]!r} of a table"
        raise _bad(
            f"{what} cannot be turned into Arrow",
            "columns of one length with different names, each with values of one type that Arrow has",
        ) from None
    raise _bad(
        f"a {type(source).__name__} is no table", "a pandas, Polars or Arrow table, a file, or a database's table"
    )


def _well_formed(table: Any) -> Any:
    """The Arrow table, if lengths, offsets and UTF-8 are as it says. Raises InputError INPUT-025."""
    import pyarrow as pa

    try:
        table.validate(full=True)
    except pa.ArrowException:
        raise _bad("a table is no well-formed Arrow table", "columns of one length, and text in UTF-8") from None
    return table


def _first_without_type(source: Any) -> str | None:
    """The first column that no Arrow column can be made of, or that is the second of its name."""
    import pyarrow as pa

    seen: set[str] = set()
    for name in source if isinstance(source, Mapping) else getattr(source, "columns", ()):
        try:
            if str(name) in seen:
                return str(name)
            pa.array(source[name])
        except (pa.ArrowException, ValueError, TypeError, OverflowError, LookupError):
            return str(name)
        seen.add(str(name))
    return None


def _bad(what: str, expected: str) -> InputError:
    return InputError("INPUT-025", what, expected=expected, next="see Session.table")


def _no_such_values(column: str, kind: str) -> InputError:
    return InputError(
        "INPUT-005",
        f"column {column!r} has a value that is no {kind}",
        expected=f"values of type {kind} in every row{', to the microsecond' if kind == 'TIMESTAMP' else ''}",
        next="correct the value, or declare another type with types=",
    )


def _declared(column: str, kind: str) -> SqlType:
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    from tacit.frontends.sql.constants import type_of

    try:
        if isinstance(kind, str):
            return type_of(exp.DataType.build(kind, dialect="duckdb"), None)
    except (SqlglotError, TacitError):
        pass
    raise _bad(
        f"column {str(column)[:100]!r} has no type that there is", "types={'price': 'DECIMAL(15,2)'} and the like"
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _dictionary(column: str, values: Iterable[str]) -> Dictionary:
    texts = [] if isinstance(values, str) else list(values)
    good = texts and all(map(_is_text, texts)) and len(set(texts)) <= CODES_MAX
    if not good:
        raise _bad(
            f"column {column[:100]!r} has no list of values that there can be",
            f"values={{'flag': ['A', 'N', 'R']}}, 1 to {CODES_MAX} texts",
        )
    return Dictionary.of(texts)


def _is_text(value: object) -> bool:
    """Whether a value is a text that a plan can hold: no NUL, and nothing that UTF-8 lacks."""
    return isinstance(value, str) and "\0" not in value and value.encode(errors="ignore").decode() == value


def _listed(field: Field, domain: Dictionary | None) -> Field:
    """A column with the values that it is declared to have."""
    if domain is not None and field.type not in (TEXT, NULL):
        raise _bad(f"column {field.name[:100]!r} is {field.type}", "values= for columns of text")
    return field if domain is None or field.type == NULL else replace(field, domain=domain)


def _plain(value: Any) -> Any:
    """An end of a range as it may stand in a message."""
    return value if isinstance(value, int | float) else str(value)


def _spelled(columns: tuple[str, ...], fields: Iterable[Field]) -> tuple[str, ...]:
    """Columns as the table spells them."""
    by_name = {f.name.lower(): f.name for f in fields}
    return tuple(by_name[c.lower()] for c in columns)


def _common(a: Field, b: Field) -> Field | None:
    """The column that holds what both do, or None."""
    kind = _wider(a.type, b.type)
    if kind is None:
        return None
    spans = [_rescaled(f.domain, f.type, kind) for f in (a, b) if f.type != NULL] or [a.domain]
    domain = Interval(min(s.lo for s in spans), max(s.hi for s in spans))
    return Field(a.name, kind, a.nullable or b.nullable, domain)


def _wider(a: SqlType, b: SqlType) -> SqlType | None:
    if a == b or b == NULL:
        return a
    if a == NULL:
        return b
    if a.kind == b.kind == "int":
        if a.signed == b.signed:
            return max(a, b, key=lambda t: t.size)
        unsigned, signed = (a, b) if b.signed else (b, a)
        return SqlType("int", max(signed.size, min(2 * unsigned.size, 64)))
    if a.kind == b.kind == "decimal":
        scale = max(a.scale, b.scale)
        return decimal(max(a.size - a.scale, b.size - b.scale) + scale, scale)
    return None


def _rescaled(domain: Interval, have: SqlType, want: SqlType) -> Interval:
    factor = 10 ** (want.scale - have.scale) if want.kind == "decimal" else 1
    return Interval(domain.lo * factor, domain.hi * factor)
