# SPDX-License-Identifier: Apache-2.0
"""Aggregate functions: the query that they stand in computes them, as columns of its groups."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql import functions
from tacit.frontends.sql.algebra import Aggregate, At, Constant, Expr, SortKey, conjunction
from tacit.frontends.sql.bind.base import Base
from tacit.frontends.sql.constants import fold
from tacit.frontends.sql.decorrelate import unsupported
from tacit.frontends.sql.functions import cast, place
from tacit.frontends.sql.parse import place_of, row_of
from tacit.frontends.sql.types import INTEGER

_AGGREGATES: Final[dict[type[exp.Expr], str]] = {
    exp.Count: "count", exp.Sum: "sum", exp.Avg: "avg", exp.Min: "min", exp.Max: "max", exp.AnyValue: "any_value",
    exp.Variance: "var_samp", exp.VariancePop: "var_pop", exp.Stddev: "stddev_samp", exp.StddevSamp: "stddev_samp",
    exp.StddevPop: "stddev_pop", exp.Median: "median", exp.Quantile: "quantile_disc",
    exp.PercentileCont: "quantile_cont", exp.PercentileDisc: "quantile_disc", exp.LogicalAnd: "bool_and",
    exp.LogicalOr: "bool_or", exp.CountIf: "count_if", exp.Corr: "corr", exp.CovarSamp: "covar_samp",
    exp.CovarPop: "covar_pop", exp.RegrSlope: "regr_slope", exp.RegrIntercept: "regr_intercept", exp.RegrR2: "regr_r2",
    exp.RegrCount: "regr_count", exp.RegrAvgx: "regr_avgx", exp.RegrAvgy: "regr_avgy", exp.RegrSxx: "regr_sxx",
    exp.RegrSyy: "regr_syy", exp.RegrSxy: "regr_sxy", exp.ApproxDistinct: "count", exp.ApproxQuantile: "quantile_cont",
    exp.Mode: "mode",
}  # fmt: skip
_OPERANDS: Final = ("this", "expression", "expressions", "quantile")
"""Where the operands of aggregates stand in their nodes."""
_NAMED_AGGREGATES: Final = {"mean": "avg", **{n: n for n in functions.AGGREGATES if n != "count_star"}}
WINDOWS: Final[dict[type[exp.Expr], str]] = {
    exp.RowNumber: "row_number", exp.Rank: "rank", exp.DenseRank: "dense_rank", exp.Lag: "lag", exp.Lead: "lead",
    exp.FirstValue: "first_value", exp.LastValue: "last_value", exp.NthValue: "nth_value",
}  # fmt: skip
"""What stands before OVER alone, though sqlglot takes it for an aggregate."""


def is_aggregate(node: exp.Expr) -> bool:
    """Whether a node is a call of an aggregate function, known or not."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in _NAMED_AGGREGATES
    return isinstance(node, exp.AggFunc) and not isinstance(node, (exp.Grouping, *WINDOWS))


class Aggregates(Base):
    """Binds calls of aggregate functions."""

    def _aggregate(self, node: exp.Expr) -> Expr:
        at = place_of(node)
        if not self.aggregates:
            raise SqlError(
                "SQL-005", f"an aggregate cannot stand in {self.clause}{place(at)}",
                expected="aggregates in SELECT, HAVING, QUALIFY or ORDER BY, none inside another",
                next="compute it in a subquery first",
            )  # fmt: skip
        inner = self.inside("an aggregate", subqueries=self.subqueries, within=True)
        made = inner.aggregate(node, at)
        for partner in inner.partners:
            self.block.attach(partner)
        return self.block.aggregate(made, made.name)

    def aggregate(self, node: exp.Expr, at: At) -> Aggregate:
        """The aggregate that a node calls."""
        name, args, options, distinct, where = self.function(node, at)
        if where is not None and isinstance(where, Constant) and where.raw == 1:
            where = None
        return functions.aggregate(
            name, args, self.block.rows, keyed=self.block.keyed, distinct=distinct, where=where, options=options, at=at
        )

    def function(self, node: exp.Expr, at: At) -> tuple[str, list[Expr], tuple[Any, ...], bool, Expr | None]:
        """Name, operands, constants, DISTINCT and FILTER of an aggregate call."""
        where: Expr | None = None
        if isinstance(node, exp.Filter):
            where = self.predicate(node.expression.this)
            node = node.this
        if isinstance(node, (exp.First, exp.Last, exp.ArgMin, exp.ArgMax)):
            return self.first(node, where, at)
        fraction: exp.Expr | None = None
        called = node.this if isinstance(node, exp.WithinGroup | exp.IgnoreNulls) else node
        name = (
            _NAMED_AGGREGATES.get(called.name.lower(), "")
            if isinstance(called, exp.Anonymous)
            else _AGGREGATES.get(type(called), "")
        )
        if not name:
            raise self.unknown(called)
        if isinstance(node, exp.WithinGroup):
            keys = node.expression.expressions
            if len(keys) != 1:
                raise unsupported("WITHIN GROUP by several columns", at, "order by one")
            node, fraction = node.this, node.this.this
            operands = [keys[0].this]
            descending = bool(keys[0].args.get("desc"))
        else:
            descending = False
            if isinstance(node, exp.IgnoreNulls):
                node = node.this
            operands = node.expressions if isinstance(node, exp.Anonymous) else [node.this]
            for key in ("expression", "quantile"):
                if isinstance(node.args.get(key), exp.Expr):
                    operands = [*operands, node.args[key]]
            if any(isinstance(v, exp.Expr) and k not in _OPERANDS for k, v in node.args.items()):
                raise unsupported(f"{node.key.upper()} with such operands", at, "give it one operand")
            if node.args.get("expressions") and not isinstance(node, exp.Anonymous):
                operands = [*operands, *node.expressions]
        if isinstance(node, exp.ApproxDistinct):
            operands = [exp.Distinct(expressions=operands)]
        if operands and isinstance(operands[0], exp.Order):
            operands = [operands[0].this, *operands[1:]]
        distinct = bool(operands) and isinstance(operands[0], exp.Distinct)
        if distinct:
            operands = [*operands[0].expressions, *operands[1:]]
        if name == "count" and (not operands or operands[0] is None or isinstance(operands[0], exp.Star)):
            return "count_star", [], (), False, where
        row = row_of(operands[0]) if name == "count" and len(operands) == 1 else None
        if row and len(row) > 1:
            # No row is NULL, not one of NULLs either.
            if not distinct:
                return "count_star", [], (), False, where
            return name, [self.bind(n) for n in row], (), True, where
        options: tuple[Any, ...] = ()
        if name in ("quantile_cont", "quantile_disc"):
            if fraction is None and len(operands) == 2:
                fraction = operands.pop()
            options = (self.fraction(fraction, descending, at),)
        wanted = 2 if name in ("corr",) or name.startswith(("regr_", "covar_")) else 1
        if len(operands) != wanted or any(isinstance(o, exp.Tuple) for o in operands):
            raise unsupported(
                f"{name.upper()} of {max(len(operands), 2)} expressions",
                at,
                f"give it {wanted}; put the rest in GROUP BY",
            )
        args = [self.bind(o) for o in operands]
        if name == "count_if":
            # As in DuckDB: of no rows, and of NULLs alone, it is NULL.
            return "sum", [fold(cast(args[0], INTEGER, at))], (), distinct, where
        if name == "count" and distinct is False and not args[0].nullable:
            return "count_star", [], (), False, where
        return name, args, options, distinct, where

    def first(
        self, node: exp.Expr, where: Expr | None, at: At
    ) -> tuple[str, list[Expr], tuple[Any, ...], bool, Expr | None]:
        """FIRST and LAST by an order, and ARG_MIN and ARG_MAX: the first row by it, or by its inverse."""
        if isinstance(node, (exp.ArgMin, exp.ArgMax)):
            if node.args.get("count") is not None:
                raise unsupported(f"{node.sql_name()} of several rows", at, "use ROW_NUMBER() and QUALIFY")
            value, by = self.bind(node.this), self.bind(node.expression)
            keys = [SortKey(by, isinstance(node, exp.ArgMax), False)]
            # Rows with a NULL do not count.
            flags = [self.call("not", (self.call("is_null", (e,)),)) for e in (value, by) if e.nullable]
            where = conjunction((*([] if where is None else [where]), *flags))
        else:
            if not isinstance(node.this, exp.Order):
                raise unsupported(
                    f"{node.key.upper()} without an order", at, "write FIRST(x ORDER BY y), or ANY_VALUE, MIN or MAX"
                )
            value, keys = self.bind(node.this.this), self.sort_keys(node.this)
            if isinstance(node, exp.Last):
                keys = [SortKey(k.expr, not k.descending, not k.nulls_first) for k in keys]
        turns = tuple((k.descending, k.nulls_first) for k in keys)
        return "first", [value, *(k.expr for k in keys)], turns, False, where

    def fraction(self, node: exp.Expr | None, descending: bool, at: At) -> Decimal:
        """The fraction of a quantile, a constant from 0 to 1."""
        made = fold(self.bind(node)) if node is not None else None
        if isinstance(made, Constant) and isinstance(made.raw, int) and made.type.is_numeric:
            value = Decimal(made.raw) / functions.unit(made.type)
            if 0 <= value <= 1:
                return (1 - value if descending else value).normalize()
        raise SqlError("SQL-005", f"a quantile{place(at)} needs a constant fraction", expected="a number from 0 to 1")

    def _grouping(self, node: exp.Grouping) -> Expr:
        inner = self.inside("GROUPING", subqueries=False, aliases=self.aliases)
        return self.block.grouping([inner.bind(n) for n in node.expressions], place_of(node))
