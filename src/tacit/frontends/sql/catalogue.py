# SPDX-License-Identifier: Apache-2.0
"""What is publicly known of tables: their schema, who holds which rows, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tacit.frontends.sql.types import SqlType
from tacit.plan import Interval


@dataclass(frozen=True)
class Field:
    """A column of a table: `domain` bounds its raw values (of text, the bytes), see `types`."""

    name: str
    type: SqlType
    nullable: bool
    domain: Interval


@dataclass(frozen=True)
class Part:
    """The rows of a table that one party holds.

    `source` says where, to the party's own engine; `dialect` is sqlglot's name of that engine's SQL. `rows` is public:
    their number, or if `padded` a bound on it.
    """

    party: int
    source: str
    rows: int
    padded: bool = False
    dialect: str = "duckdb"


@dataclass(frozen=True)
class Table:
    """A table under its name in queries. `unique` lists sets of columns of which no two rows agree, NULLs aside, over
    all parts together. No group of fewer than `min_group` of its rows may be disclosed. `others` names columns that
    queries cannot use, because SQL as it is here has no type for them.
    """

    name: str
    fields: tuple[Field, ...]
    parts: tuple[Part, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    min_group: int = 1
    others: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """The number of rows of all parts, or a bound on it."""
        return sum(p.rows for p in self.parts)


@dataclass
class Catalogue:
    """The tables of a session by lower-case name: SQL names are compared without regard to case."""

    tables: dict[str, Table] = field(default_factory=dict)

    def find(self, name: str) -> Table | None:
        """The table of that name."""
        return self.tables.get(name.lower())

    def add(self, table: Table) -> None:
        """Add or replace a table."""
        self.tables[table.name.lower()] = table

    def remove(self, name: str) -> None:
        """Take a table out; nothing, if there is none."""
        self.tables.pop(name.lower(), None)

    @property
    def schema(self) -> Mapping[str, Mapping[str, str]]:
        """Names and types of columns by table, as sqlglot wants them."""
        return {t.name: {f.name: str(f.type) for f in t.fields} for t in self.tables.values()}
