# SPDX-License-Identifier: Apache-2.0
"""Subqueries in expressions, each a join with the rows around it."""

from __future__ import annotations

from typing import Literal

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql.algebra import At, Column, Constant, Expr, Ref, Relation, conjunction
from tacit.frontends.sql.bind.aggregates import is_aggregate
from tacit.frontends.sql.bind.operators import Operators
from tacit.frontends.sql.decorrelate import Partner, exists, pull, scalar, unsupported
from tacit.frontends.sql.decorrelate import free as free_columns
from tacit.frontends.sql.functions import place
from tacit.frontends.sql.parse import place_of, row_of
from tacit.frontends.sql.types import BOOLEAN
from tacit.plan import Interval


def one_row(query: exp.Expr) -> bool:
    """Whether a query is an aggregate of all its rows and nothing else: IN is equality with its value."""
    node = query.unnest()
    if not isinstance(node, exp.Select) or len(node.expressions) != 1:
        return False
    if any(node.args.get(k) for k in ("group", "having", "qualify", "limit", "offset", "distinct")):
        return False
    value = node.expressions[0]
    return is_aggregate(value.this if isinstance(value, exp.Alias) else value)


class Subqueries(Operators):
    """Binds subqueries."""

    def check_subquery(self, node: exp.Expr) -> None:
        """Refuse a subquery where there is none allowed."""
        if not self.subqueries:
            raise unsupported(f"a subquery in {self.clause}", place_of(node), "move it to WHERE or WITH")

    def _subquery(self, node: exp.Expr) -> Expr:
        self.check_subquery(node)
        at = place_of(node)
        relation = self.block.subquery(node)
        if len(relation.columns) != 1:
            raise SqlError(
                "SQL-005", f"the subquery{place(at)} has {len(relation.columns)} columns", expected="one column"
            )
        return self.joined(node, scalar(relation, at, self.block.min_group))

    def joined(self, node: exp.Expr, partner: Partner) -> Expr:
        """The value of a subquery, which is computed once however often it is written."""
        self.partners.append(partner)
        self.known[node] = partner.value
        return partner.value

    _select = _subquery

    def _exists(self, node: exp.Exists) -> Expr:
        return self.joined(node, self.existence(node, "mark"))

    def existence(self, node: exp.Exists, kind: Literal["mark", "semi", "anti"]) -> Partner:
        """EXISTS as a join."""
        self.check_subquery(node)
        at = place_of(node)
        right, condition = exists(self.block.subquery(node.this), at)
        return Partner(kind, right, condition, Ref(_mark(False)), at=at)

    def membership(self, subject: exp.Expr, query: exp.Expr, at: At, kind: Literal["semi", "anti"]) -> Partner:
        """IN (subquery) as a join. Of rows too NULL is unknown here, as in DuckDB, other than where they compare."""
        right, equal, pulled = self.matched(subject, query, at)
        aware = kind == "anti" and len(equal) == 1
        if kind == "anti" and not aware:
            # What may be equal is not known to be in none.
            equal = self.possible(equal, at)
        return Partner(kind, right, conjunction((*equal, *pulled)), Ref(_mark(False)), aware, at)

    def contained(self, node: exp.Expr, query: exp.Expr) -> Expr:
        """The value of an IN (subquery)."""
        at = place_of(node)
        right, equal, pulled = self.matched(node.this, query, at)
        nullable = any(e.nullable for e in equal)
        if len(equal) == 1 or not nullable:
            condition = conjunction((*equal, *pulled))
            return self.joined(node, Partner("mark", right, condition, Ref(_mark(nullable)), len(equal) == 1, at))
        known, possible = (
            Partner("mark", right, conjunction((*parts, *pulled)), Ref(_mark(False)), at=at)
            for parts in (equal, self.possible(equal, at))
        )
        self.partners += [known, possible]
        yes, unknown, no = (Constant(raw, BOOLEAN) for raw in (1, None, 0))
        self.known[node] = self.call("case", (known.value, yes, possible.value, unknown, no), at=at)
        return self.known[node]

    def matched(
        self, subject: exp.Expr, query: exp.Expr, at: At
    ) -> tuple[Relation, tuple[Expr, ...], tuple[Expr, ...]]:
        """(the rows of a subquery, how a value or row is equal to one of them, what they ask of the rows around)."""
        self.check_subquery(query)
        subjects = row_of(subject) or [subject]
        relation = self.block.subquery(query)
        columns = relation.columns
        if len(columns) != len(subjects):
            raise SqlError(
                "SQL-005", f"IN{place(at)} compares {len(subjects)} with {len(columns)} columns",
                expected="as many columns in the subquery",
            )  # fmt: skip
        right, pulled = pull(relation, free_columns(relation), at)
        equal = tuple(self.call("eq", (self.bind(s), Ref(c)), at=at) for s, c in zip(subjects, columns, strict=True))
        return right, equal, pulled

    def possible(self, conditions: tuple[Expr, ...], at: At) -> tuple[Expr, ...]:
        """Conditions that also hold where they are unknown."""
        yes = Constant(1, BOOLEAN)
        return tuple(self.call("coalesce", (c, yes), at=at) if c.nullable else c for c in conditions)

    def _binary(self, node: exp.Expr) -> Expr:
        right = node.args["expression"]
        return self._quantified(node, right) if isinstance(right, (exp.Any, exp.All)) else super()._binary(node)

    def _in(self, node: exp.In) -> Expr:
        query = node.args.get("query")
        if query is None:
            return super()._in(node)
        if one_row(query):
            return self.bind(exp.EQ(this=node.this.copy(), expression=query.copy()))
        return self.contained(node, query)

    def _quantified(self, node: exp.Expr, quantified: exp.Any | exp.All) -> Expr:
        if isinstance(node, exp.EQ) and isinstance(quantified, exp.Any):
            return self.contained(node, quantified.this)
        if isinstance(node, exp.NEQ) and isinstance(quantified, exp.All):
            return self.call("not", (self.contained(node, quantified.this),), at=place_of(node))
        raise unsupported(
            "this comparison with ANY or ALL", place_of(node), "compare with a subquery that takes MIN or MAX"
        )


def _mark(nullable: bool) -> Column:
    return Column("mark", BOOLEAN, nullable, Interval(0, 1))
