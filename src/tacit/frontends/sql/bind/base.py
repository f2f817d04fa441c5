# SPDX-License-Identifier: Apache-2.0
"""What binding any expression takes: names, calls, and the errors for what there is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql.algebra import At, Constant, Expr, SortKey
from tacit.frontends.sql.bind.scope import Block
from tacit.frontends.sql.constants import fold
from tacit.frontends.sql.decorrelate import Partner, unsupported
from tacit.frontends.sql.functions import apply, cast, place
from tacit.frontends.sql.parse import place_of
from tacit.frontends.sql.types import BOOLEAN


@dataclass(frozen=True)
class Span:
    """An INTERVAL, which is only ever added to dates; `times` it is so long where that is not a constant."""

    months: int
    days: int
    micros: int
    times: Expr | None = None

    def __neg__(self) -> Span:
        return Span(-self.months, -self.days, -self.micros, self.times)

    def __mul__(self, n: int) -> Span:
        return Span(self.months * n, self.days * n, self.micros * n, self.times)


_NEAREST: Final[dict[str, str]] = {
    "group_concat": "ask for the rows, and join their texts in the result",
    "array_agg": "ask for the rows with ORDER BY",
    "placeholder": "write the value into the text",
    "rand": "queries give the same result each time",
    "current_date": "write the date as a constant",
    "current_timestamp": "write the time as a constant",
    "now": "write the time as a constant",
    "glob": "use LIKE",
    "every": "use BOOL_AND",
    "tuple": "name the columns one by one; rows compare with =, <> and <, and are IN others",
}

_SPOKEN: Final = {"group_concat": "STRING_AGG", "rand": "RANDOM", "placeholder": "a parameter"}
"""What people write, where sqlglot calls it something else."""


@dataclass
class Base:
    """What all that binds expressions of one clause of a query has; `value` knows the kinds of expressions."""

    block: Block
    clause: str
    aggregates: bool = False
    windows: bool = False
    subqueries: bool = True
    aliases: Mapping[str, exp.Expr] = field(default_factory=dict)
    partners: list[Partner] = field(default_factory=list)
    """The joins that subqueries have become, to be made before the expression is computed."""
    within: bool = False
    """Whether this is inside an aggregate, where subqueries belong to the rows and not to their groups."""

    @property
    def known(self) -> dict[exp.Expr, Expr]:
        """The values of subqueries that are bound already."""
        return self.block.inner_subqueries if self.within else self.block.subqueries

    def bind(self, node: exp.Expr) -> Expr:
        """The expression that a node means. Raises `SqlError` with its place."""
        made = self.value(node)
        if isinstance(made, Span):
            raise unsupported("an INTERVAL as a value", place_of(node), "add it to a date or timestamp")
        return made

    def inside(self, clause: str, **given: Any) -> Self:
        """A binder for what stands inside an expression, in which only what is `given` is allowed."""
        return type(self)(self.block, clause, **given)

    def predicate(self, node: exp.Expr) -> Expr:
        """A condition: what it means, as a BOOLEAN."""
        return fold(cast(self.bind(node), BOOLEAN, place_of(node)))

    def call(self, name: str, args: Sequence[Expr], *options: Any, at: At = None) -> Expr:
        """A function of operands cast to fit, computed at once if they are constants."""
        return fold(apply(name, args, *options, at=at))

    def value(self, node: exp.Expr) -> Expr | Span:
        """The expression, or the INTERVAL, that a node means."""
        raise NotImplementedError

    def unknown(self, node: exp.Expr) -> SqlError:
        """The error for a function or construct that there is not."""
        name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key
        if isinstance(node, exp.Func) and not isinstance(node, exp.Anonymous):
            name = node.sql_name().lower()
        nearest = _NEAREST.get(name, _NEAREST.get(node.key, "see the support table in the documentation"))
        return unsupported(f"{_SPOKEN.get(name, name.upper())} in {self.clause}", place_of(node), nearest)

    def _column(self, node: exp.Column) -> Expr:
        at = place_of(node)
        if isinstance(node.this, exp.Star):
            raise unsupported("* inside an expression", at, "name the columns")
        name, table = node.name, node.table
        if node.args.get("db"):
            raise unsupported("a column name of three parts", at, "give the table an alias")
        found = self.block.scope.here(name, table, at)
        if found is not None:
            return found
        # Aliases of this query come before columns of the queries around it.
        if not table and name.lower() in self.aliases:
            rest = {k: v for k, v in self.aliases.items() if k != name.lower()}
            return replace(self, aliases=rest).bind(self.aliases[name.lower()])
        found = self.block.scope.find(name, table, at)
        if found is not None:
            return found
        raise self.missing(name, table, at, quoted=bool(node.this.args.get("quoted")))

    def missing(self, name: str, table: str, at: At, *, quoted: bool = False) -> SqlError:
        """The error that there is no such column, with the nearest names that there are."""
        from difflib import get_close_matches

        names = self.block.scope.names()
        near = get_close_matches(name.lower(), [n.lower() for n in names], 3)
        full = f"{table}.{name}" if table else name
        if name.lower() in self.block.others:
            nearest = "its type is none that queries know: declare one with types=, or convert it at its owner"
        elif near:
            nearest = f"did you mean {' or '.join(near)}?"
        else:
            nearest = f"correct the name; text stands in single quotes: '{name}'" if quoted and not table else ""
        return SqlError(
            "SQL-003", f"there is no column {full!r}{place(at)}",
            expected=f"one of {', '.join(names[:20])}" + (", ..." if len(names) > 20 else "") if names else "",
            next=nearest,
        )  # fmt: skip

    def constant(self, node: exp.Expr, what: str) -> Any:
        """The raw value of a constant."""
        made = fold(self.bind(node))
        if not isinstance(made, Constant) or made.raw is None:
            raise unsupported(f"{what} that is not a constant", place_of(node), "write a constant")
        return made.raw

    def sort_keys(self, order: exp.Order | None) -> list[SortKey]:
        """The keys of an ORDER BY inside OVER."""
        return [self.sort_key(o, self.bind(o.this)) for o in order.expressions] if order is not None else []

    @staticmethod
    def sort_key(node: exp.Ordered, expr: Expr) -> SortKey:
        """A key as its node says: NULLs last unless it says otherwise."""
        return SortKey(expr, bool(node.args.get("desc")), bool(node.args.get("nulls_first")))
