# SPDX-License-Identifier: Apache-2.0
"""What expressions find around them: names in scope, and the query that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql.algebra import Aggregate, At, Expr, Relation, WindowCall
from tacit.frontends.sql.decorrelate import Partner
from tacit.frontends.sql.functions import place


@dataclass(frozen=True)
class Item:
    """A name that expressions may use: `table` is what may stand before it, "" for columns merged by USING.

    Hidden items are found with their table's name alone, and a merged one before others without it.
    """

    table: str
    name: str
    expr: Expr
    hidden: bool = False
    merged: bool = False


@dataclass
class Scope:
    """The names that FROM makes, in order, and the scope around the query."""

    items: list[Item]
    outer: Scope | None = None

    def find(self, name: str, table: str, at: At) -> Expr | None:
        """What a name stands for, here or further out. Raises `SqlError` SQL-004 if it may be several things."""
        found = self.here(name, table, at)
        return self.outer.find(name, table, at) if found is None and self.outer else found

    def here(self, name: str, table: str, at: At) -> Expr | None:
        """What a name stands for in this query itself."""
        low, owner = name.lower(), table.lower()
        found = [
            i for i in self.items if i.name.lower() == low and (i.table.lower() == owner if table else not i.hidden)
        ]
        found = [i for i in found if i.merged] or found
        if len(found) > 1:
            raise SqlError(
                "SQL-004", f"{name!r}{place(at)} may be a column of {found[0].table} or of {found[1].table}",
                expected="a name that only one table has", next=f"write {found[0].table}.{name}",
            )  # fmt: skip
        return found[0].expr if found else None

    def names(self) -> list[str]:
        """The names that can be used, for error messages."""
        return list(dict.fromkeys(i.name for i in self.items))


class Block(Protocol):
    """What an expression needs of the query that it stands in."""

    scope: Scope
    rows: int
    """The most rows, before they are grouped."""
    rows_after: int
    """The most rows once they are grouped: those that windows see."""
    keyed: bool
    min_group: int
    others: frozenset[str]
    """Columns of tables, in lower case, that queries cannot use."""
    subqueries: dict[exp.Expr, Expr]
    inner_subqueries: dict[exp.Expr, Expr]

    def subquery(self, node: exp.Expr) -> Relation:
        """Bind a subquery."""

    def attach(self, partner: Partner) -> None:
        """Make a subquery's join with the rows at hand."""

    def aggregate(self, made: Aggregate, name: str) -> Expr:
        """Register an aggregate and give its column."""

    def window(self, made: WindowCall, name: str) -> Expr:
        """Register a window function and give its column."""

    def grouping(self, keys: Sequence[Expr], at: At) -> Expr:
        """The column of GROUPING(keys)."""

    def named_window(self, name: str, at: At) -> exp.Window:
        """What WINDOW defines under a name."""
