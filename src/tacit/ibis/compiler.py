# SPDX-License-Identifier: Apache-2.0
"""Ibis operations as SQL: as for DuckDB, but for what has no time zone here, and for what only one machine knows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
from ibis.backends.sql.compilers.duckdb import DuckDBCompiler
from sqlglot import exp

_MICROS = {"s": 1_000_000, "ms": 1000, "us": 1}


class Compiler(DuckDBCompiler):  # type: ignore[misc]  # Ibis's classes have no types.
    """Ibis's compiler for DuckDB. The time of day is the client's, when it compiles an expression."""

    __slots__ = ()
    UNSUPPORTED_OPS = (ops.RowID,)

    def visit_TimestampFromUNIX(self, op: Any, *, arg: Any, unit: Any) -> Any:  # noqa: N802 (Ibis's name)
        """A number of seconds, or of parts of one, since 1970."""
        return self._since_1970(arg, _MICROS[unit.short]) if unit.short in _MICROS else self.visit_Undefined(op)

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:  # noqa: N802 (Ibis's name)
        """A number becomes the time so many seconds after 1970."""
        if to.is_timestamp() and to.timezone is None and op.arg.dtype.is_numeric():
            return self._since_1970(arg, _MICROS["s"])
        return super().visit_Cast(op, arg=arg, to=to)

    def _since_1970(self, arg: Any, micros: int) -> Any:
        return self.f.make_timestamp(self.cast(exp.paren(arg) * micros if micros > 1 else arg, dt.int64))

    def visit_TimestampNow(self, op: Any) -> Any:  # noqa: N802 (Ibis's name)
        """The time in UTC."""
        return self.cast(exp.convert(datetime.now(UTC).replace(tzinfo=None).isoformat(" ")), dt.timestamp)

    def visit_DateNow(self, op: Any) -> Any:  # noqa: N802 (Ibis's name)
        """The date in UTC."""
        return self.cast(exp.convert(datetime.now(UTC).date().isoformat()), dt.date)


compiler = Compiler()
