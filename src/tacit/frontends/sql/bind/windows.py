# SPDX-License-Identifier: Apache-2.0
"""Window functions: the query that they stand in computes them, as columns of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql import functions
from tacit.frontends.sql.algebra import At, Constant, Expr, SortKey, WindowFrame
from tacit.frontends.sql.bind.aggregates import WINDOWS, Aggregates, is_aggregate
from tacit.frontends.sql.constants import fold, integer
from tacit.frontends.sql.decorrelate import unsupported
from tacit.frontends.sql.functions import cast, place
from tacit.frontends.sql.parse import place_of
from tacit.frontends.sql.types import DOUBLE, INTEGER, NULL


class Windows(Aggregates):
    """Binds calls of window functions."""

    def _window(self, node: exp.Window) -> Expr:
        at = place_of(node)
        if not self.windows:
            raise SqlError(
                "SQL-005", f"a window function cannot stand in {self.clause}{place(at)}",
                expected="window functions in SELECT, QUALIFY or ORDER BY, none inside another",
                next="compute it in a subquery first",
            )  # fmt: skip
        inner = self.inside(
            "a window function", aggregates=self.aggregates, subqueries=self.subqueries, aliases=self.aliases,
            partners=self.partners,
        )  # fmt: skip
        spec = node
        if node.args.get("alias") is not None and not node.args.get("partition_by") and not node.args.get("order"):
            spec = self.block.named_window(node.alias, at)
        partition = [inner.bind(n) for n in spec.args.get("partition_by") or ()]
        order = inner.sort_keys(spec.args.get("order"))
        lo, hi, by_rows = self.frame(spec, at)
        if isinstance(node.this, (exp.PercentRank, exp.CumeDist, exp.Ntile)):
            return self.distribution(node.this, partition, order, at)
        name, args, options = inner.window_function(node.this, at)
        frame: WindowFrame = "all"
        if name in (*functions.RANKS, "lag", "lead"):
            if not order and name != "row_number":
                raise SqlError("SQL-005", f"{name.upper()}{place(at)} needs an order", expected="OVER (ORDER BY ...)")
        elif by_rows:
            frame = "all" if lo is hi is None else "rows" if (lo, hi) == (None, 0) else (lo, hi)
        elif order and lo == 0:
            if name in functions.OFFSETS:
                raise unsupported(f"{name.upper()} of this window frame", at, "use ROWS BETWEEN ... AND ...")
            # From the first peer on: up to the last one, in the opposite order; of peers alone, a part for each.
            if hi is None:
                frame, order = "range", [SortKey(k.expr, not k.descending, not k.nulls_first) for k in order]
            else:
                partition, order = [*partition, *(k.expr for k in order)], []
        elif order and hi == 0:
            frame = "range"
        made = functions.window(
            name, args, self.block.rows_after, partition=partition, order=order, frame=frame, options=options, at=at
        )
        return self.block.window(made, name)

    def distribution(self, node: exp.Expr, partition: Sequence[Expr], order: Sequence[SortKey], at: At) -> Expr:
        """PERCENT_RANK, CUME_DIST and NTILE, from the number of a row or its peers and how many rows there are."""

        def number(name: str, frame: WindowFrame) -> Expr:
            made = functions.window(
                name, (), self.block.rows_after, partition=partition, order=order, frame=frame, at=at
            )
            return self.block.window(made, name)

        def less(a: Expr, b: Expr) -> Expr:
            return self.call("sub", (a, b), at=at)

        one, rows = integer(1), number("count_star", "all")
        if not order:
            raise SqlError("SQL-005", f"{node.key.upper()}{place(at)} needs an order", expected="OVER (ORDER BY ...)")
        if isinstance(node, exp.CumeDist):
            return self.call("div", (number("count_star", "range"), rows), at=at)
        if isinstance(node, exp.PercentRank):
            share = self.call("div", (less(number("rank", "all"), one), less(rows, one)), at=at)
            return self.call("coalesce", (share, cast(integer(0), DOUBLE)), at=at)
        parts = integer(self.constant(node.this, "a number of parts"))
        before = less(number("row_number", "all"), one)
        size, rest = (self.call(name, (rows, parts), at=at) for name in ("idiv", "mod"))
        # The first `rest` parts have one row more.
        larger = self.call("add", (size, one), at=at)
        many = self.call("mul", (rest, larger), at=at)
        first = self.call("idiv", (before, larger), at=at)
        later = self.call("add", (self.call("idiv", (less(before, many), size), at=at), rest), at=at)
        part = self.call("case", (self.call("lt", (before, many), at=at), first, later), at=at)
        return self.call("add", (part, one), at=at)

    def window_function(self, node: exp.Expr, at: At) -> tuple[str, list[Expr], tuple[Any, ...]]:
        """Name, operands and constants of the function before OVER."""
        if type(node) in WINDOWS:
            name = WINDOWS[type(node)]
            if name in functions.RANKS:
                return name, [], ()
            args = [self.bind(node.this)]
            if name == "nth_value":
                which = self.constant(exp.cast(node.args["offset"], "BIGINT"), "a number of a row")
                # There is no row before the first.
                return name, args if which > 0 else [Constant(None, args[0].type)], (max(which, 1),)
            if name not in ("lag", "lead"):
                return name, args, ()
            offset = node.args.get("offset")
            count = self.constant(offset, "an offset") if offset is not None else 1
            default = node.args.get("default")
            if default is not None:
                args.append(fold(cast(self.bind(default), args[0].type, at)))
            return name, args, (count,)
        # The parser says so of any aggregate around ANY_VALUE as well.
        if isinstance(node, exp.IgnoreNulls) and type(node.this) in WINDOWS:
            raise unsupported("IGNORE NULLS", at, "filter the NULLs out first")
        if not (is_aggregate(node) or isinstance(node, (exp.Filter, exp.IgnoreNulls))):
            raise self.unknown(node)
        name, args, options, distinct, where = self.function(node, at)
        name = {"bool_or": "max", "bool_and": "min"}.get(name, name)
        if distinct or name not in ("sum", "avg", "count", "count_star", "min", "max"):
            raise unsupported(
                f"{'DISTINCT ' if distinct else ''}{name.upper()} as a window function", at,
                "use SUM, AVG, COUNT, MIN or MAX, or join with a GROUP BY",
            )  # fmt: skip
        if where is not None:
            value = args[0] if args else Constant(1, INTEGER)
            args = [self.call("case", (where, value, Constant(None, NULL)), at=at)]
            name = "count" if name == "count_star" else name
        return name, args, options

    def frame(self, node: exp.Window, at: At) -> tuple[int | None, int | None, bool]:
        """(its first row, its last one, counted from the current one, None at the end of the partition, whether peers
        are rows of their own) of the frame that a window names.
        """
        spec = node.args.get("spec")
        if spec is None:
            return None, 0, False
        if spec.args.get("exclude"):
            raise unsupported("EXCLUDE in a window frame", at, "leave it out, and subtract what it would exclude")
        start, end, word = spec.args.get("start"), spec.args.get("end") or "CURRENT ROW", spec.args.get("kind")
        word = str(word or "RANGE").upper()
        offsets = [e for e in (start, end) if isinstance(e, exp.Expr)]
        if word != "ROWS" and offsets:
            raise unsupported(
                f"{word} with an offset in a window frame", place_of(offsets[0]) or at,
                "use ROWS with a number of rows, or join the table with itself on that range and GROUP BY",
            )  # fmt: skip
        lo, hi = self.offset(start, spec.args.get("start_side"), at), self.offset(end, spec.args.get("end_side"), at)
        if lo is not None and hi is not None and lo > hi:
            raise unsupported("a window frame that ends before it begins", at, "turn its ends round")
        return lo, hi, word == "ROWS"

    def offset(self, end: exp.Expr | str, side: str | None, at: At) -> int | None:
        """How many rows after the current one a frame ends; None at the end of the partition."""
        if isinstance(end, str):
            return None if end == "UNBOUNDED" else 0
        count = self.constant(exp.cast(end, "BIGINT"), "an offset of a window frame")
        if not isinstance(count, int) or count < 0:
            raise SqlError("SQL-005", f"a window frame{place(at)} is so many rows long", expected="a number from 0")
        return count if str(side).upper() == "FOLLOWING" else -count
