# SPDX-License-Identifier: Apache-2.0
"""Expressions of the syntax tree to typed expressions over the columns in scope.

Aggregates, window functions and subqueries become columns of their own: the block they stand in collects them, and
computes them where SQL says that they are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql.algebra import Expr
from tacit.frontends.sql.bind.aggregates import WINDOWS, is_aggregate
from tacit.frontends.sql.bind.base import Span
from tacit.frontends.sql.bind.dates import PARTS
from tacit.frontends.sql.bind.operators import BINARY
from tacit.frontends.sql.bind.scalars import PAIRS, UNARY, Scalars
from tacit.frontends.sql.bind.subqueries import Subqueries
from tacit.frontends.sql.bind.windows import Windows
from tacit.frontends.sql.functions import place
from tacit.frontends.sql.parse import place_of


class Binder(Scalars, Subqueries, Windows):
    """Binds the expressions of one clause of a query."""

    def value(self, node: exp.Expr) -> Expr | Span:
        """The expression, or the INTERVAL, that a node means."""
        kind = type(node)
        if self.known and node in self.known:
            return self.known[node]
        if kind in BINARY:
            return self._binary(node)
        if isinstance(node, exp.Window):
            return self._window(node)
        if is_aggregate(node) or isinstance(node, (exp.Filter, exp.WithinGroup, exp.IgnoreNulls)):
            return self._aggregate(node)
        if kind in WINDOWS:
            raise SqlError(
                "SQL-005", f"{WINDOWS[kind].upper()}{place(place_of(node))} is a window function",
                expected="OVER (...) after it",
            )  # fmt: skip
        if kind in UNARY:
            return self._unary(node)
        if kind in PARTS:
            return self._part(PARTS[kind], node.this, node)
        if kind in PAIRS:
            return self._pair(PAIRS[kind], node)
        method: Callable[[Any], Expr | Span] | None = getattr(self, f"_{node.key}", None)
        if method is None:
            raise self.unknown(node)
        return method(node)
