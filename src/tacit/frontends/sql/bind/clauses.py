# SPDX-License-Identifier: Apache-2.0
"""What SELECT and sets of rows share: ORDER BY a position, LIMIT, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql.algebra import Aggregate, At, Column, Constant, Expr, Limit, Relation, WindowCall
from tacit.frontends.sql.bind.expressions import Binder
from tacit.frontends.sql.bind.scope import Scope
from tacit.frontends.sql.constants import fold
from tacit.frontends.sql.decorrelate import Partner, unsupported
from tacit.frontends.sql.functions import place
from tacit.frontends.sql.parse import place_of


@dataclass(frozen=True)
class Bound:
    """A relation and the names of its columns."""

    relation: Relation
    names: tuple[str, ...]


Ctes = Mapping[str, Bound]

KNOWN: Final = frozenset({
    "with_", "distinct", "expressions", "from_", "joins", "where", "group", "having", "qualify", "windows", "order",
    "limit", "offset", "kind", "hint", "this", "expression", "side", "alias", "columns",
})  # fmt: skip
"""The parts of a query that are understood; whatever else there is is refused."""


def fresh(column: Column, name: str | None = None) -> Column:
    """Another column like one."""
    return Column(name or column.name, column.type, column.nullable, column.domain)


def column_of(name: str, expr: Expr) -> Column:
    """A new column for an expression."""
    return Column(name, expr.type, expr.nullable, expr.domain)


def check(node: exp.Expr, known: frozenset[str] = KNOWN) -> None:
    """Refuse a node with a part that is not `known`."""
    for key, value in node.args.items():
        if value and key not in known:
            first = value[0] if isinstance(value, list) else value
            what = {"sample": "TABLESAMPLE", "laterals": "LATERAL", "by_name": "UNION BY NAME", "locks": "FOR UPDATE"}
            raise unsupported(what.get(key, key.strip("_").upper()), place_of(first) or place_of(node), "leave it out")


class Plain:
    """What expressions have around them outside of a SELECT: no groups, no windows."""

    keyed = False
    min_group = 1
    others: frozenset[str] = frozenset()

    def __init__(self, scope: Scope, rows: int) -> None:
        self.scope = scope
        self.rows = self.rows_after = rows
        self.subqueries: dict[exp.Expr, Expr] = {}
        self.inner_subqueries = self.subqueries

    def subquery(self, node: exp.Expr) -> Relation:
        """Refuse a subquery."""
        raise unsupported("a subquery here", place_of(node), "move it to WHERE")

    def attach(self, partner: Partner) -> None:
        """Never asked for, as there are no subqueries."""
        raise AssertionError

    def aggregate(self, made: Aggregate, name: str) -> Expr:
        """Never asked for: its binders allow no aggregates."""
        raise AssertionError

    def window(self, made: WindowCall, name: str) -> Expr:
        """Never asked for: its binders allow no window functions."""
        raise AssertionError

    def grouping(self, keys: Sequence[Expr], at: At) -> Expr:
        """Refuse GROUPING."""
        raise unsupported("GROUPING here", at, "use it in SELECT")

    def named_window(self, name: str, at: At) -> exp.Window:
        """Never asked for: its binders allow no window functions."""
        raise AssertionError


def is_all(node: exp.Expr) -> bool:
    """Whether a node is the word ALL."""
    return isinstance(node, exp.Var) and node.name.upper() == "ALL"


def position_of(node: exp.Expr, count: int, clause: str) -> int | None:
    """The index that a whole number in GROUP BY or ORDER BY means."""
    if not isinstance(node, exp.Literal) or node.is_string or not node.name.isdigit():
        return None
    number = int(node.name)
    if not 1 <= number <= count:
        raise SqlError(
            "SQL-003", f"{clause} {number}{place(place_of(node))} is no column", expected=f"a number from 1 to {count}"
        )
    return number - 1


def limited(node: exp.Expr, relation: Relation) -> Relation:
    """The rows that LIMIT, OFFSET or FETCH of a query leaves."""
    limit, offset = node.args.get("limit"), node.args.get("offset")
    if isinstance(limit, exp.Fetch):
        if limit.args.get("limit_options") is not None and limit.args["limit_options"].args.get("with_ties"):
            raise unsupported("FETCH WITH TIES", place_of(limit), "use QUALIFY RANK() OVER (ORDER BY ...) <= n")
        size = _count(limit.args.get("count"), "FETCH")
    else:
        options = limit.args.get("limit_options") if limit is not None else None
        if options is not None and options.args.get("percent"):
            raise unsupported("LIMIT in percent", place_of(limit), "write a number of rows")
        expression = limit.expression if limit is not None else None
        size = None if expression is None or is_all(expression) else _count(expression, "LIMIT")
    skip = _count(offset.expression, "OFFSET") if offset is not None else 0
    return relation if size is None and not skip else Limit(relation, size, skip or 0)


def _count(node: exp.Expr | None, clause: str) -> int | None:
    """A constant number of rows; NULL is none."""
    if node is None:
        return None
    made = fold(Binder(Plain(Scope([]), 1), clause, subqueries=False).bind(node))
    if isinstance(made, Constant) and made.raw is None:
        return None
    if not isinstance(made, Constant) or made.type.kind != "int" or not isinstance(made.raw, int) or made.raw < 0:
        raise unsupported(f"{clause} by other than a constant", place_of(node), "write a number of rows")
    return made.raw
