# SPDX-License-Identifier: Apache-2.0
"""Subqueries in expressions, each a join with the rows around it."""

from __future__ import annotations

from typing import Literal

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql.algebra import At, Column, Expr, Ref, conjunction
from tacit.frontends.sql.bind.aggregates import is_aggregate
from tacit.frontends.sql.bind.operators import Operators
from tacit.frontends.sql.decorrelate import Partner, exists, pull, scalar, unsupported
from tacit.frontends.sql.decorrelate import free as free_columns
from tacit.frontends.sql.functions import place
from tacit.frontends.sql.parse import place_of
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
        return self.joined(node, scalar(relation, at))

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

    def membership(self, subject: exp.Expr, query: exp.Expr, at: At, kind: Literal["mark", "semi", "anti"]) -> Partner:
        """IN (subquery) as a join."""
        self.check_subquery(query)
        subjects = subject.expressions if isinstance(subject, exp.Tuple) else [subject]
        if len(subjects) > 1 and kind != "semi":
            raise unsupported("IN for rows of several columns, other than as a condition of its own,", at, "use EXISTS")
        relation = self.block.subquery(query)
        if len(relation.columns) != len(subjects):
            raise SqlError(
                "SQL-005", f"IN{place(at)} compares {len(subjects)} with {len(relation.columns)} columns",
                expected="as many columns in the subquery",
            )  # fmt: skip
        columns = relation.columns
        right, pulled = pull(relation, free_columns(relation), at)
        equal = tuple(self.call("eq", (self.bind(s), Ref(c)), at=at) for s, c in zip(subjects, columns, strict=True))
        condition = conjunction((*equal, *pulled))
        aware = kind != "semi"
        return Partner(kind, right, condition, Ref(_mark(any(e.nullable for e in equal))), aware, at)

    def _binary(self, node: exp.Expr) -> Expr:
        right = node.args["expression"]
        return self._quantified(node, right) if isinstance(right, (exp.Any, exp.All)) else super()._binary(node)

    def _in(self, node: exp.In) -> Expr:
        query = node.args.get("query")
        if query is None:
            return super()._in(node)
        if one_row(query):
            return self.bind(exp.EQ(this=node.this.copy(), expression=query.copy()))
        return self.joined(node, self.membership(node.this, query, place_of(node), "mark"))

    def _quantified(self, node: exp.Expr, quantified: exp.Any | exp.All) -> Expr:
        at = place_of(node)
        query = quantified.this
        if isinstance(node, exp.EQ) and isinstance(quantified, exp.Any):
            return self.joined(node, self.membership(node.this, query, at, "mark"))
        if isinstance(node, exp.NEQ) and isinstance(quantified, exp.All):
            return self.call("not", (self.joined(node, self.membership(node.this, query, at, "mark")),), at=at)
        raise unsupported("this comparison with ANY or ALL", at, "compare with a subquery that takes MIN or MAX")


def _mark(nullable: bool) -> Column:
    return Column("mark", BOOLEAN, nullable, Interval(0, 1))
