# SPDX-License-Identifier: Apache-2.0
"""Constants: literals, what is computed of constants alone, and the types that casts name."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cache
from typing import Any

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql import functions
from tacit.frontends.sql.algebra import At, Call, Constant, Expr
from tacit.frontends.sql.decorrelate import unsupported
from tacit.frontends.sql.functions import DAY, DOUBLE_ONE, cast, place
from tacit.frontends.sql.render import render_expr
from tacit.frontends.sql.types import (
    BIGINT,
    DECIMAL_MAX,
    DOUBLE,
    HUGEINT,
    INTEGER,
    NULL,
    TEXT,
    SqlType,
    decimal,
    parse_type,
)


def integer(value: int) -> Constant:
    """An integer as a literal: of the smallest of DuckDB's three types for literals that holds it."""
    for kind in (INTEGER, BIGINT):
        if -(1 << (kind.size - 1)) <= value < 1 << (kind.size - 1):
            return Constant(value, kind, written=True)
    return Constant(value, HUGEINT, written=True)


def number(text: str, at: At = None) -> Constant:
    """A literal number: an integer, a decimal of its digits, or with an exponent a double."""
    text = text.replace("_", "")
    try:
        if "e" in text.lower():
            raw = round(Fraction(text) * DOUBLE_ONE)
            if abs(raw) > functions.LIMIT or (not raw and Fraction(text)):
                raise SqlError(
                    "SQL-008", f"the constant{place(at)} is out of range for a DOUBLE",
                    expected="a magnitude from 2^-18 to 2^44, since doubles have 18 fractional bits",
                )  # fmt: skip
            return Constant(raw, DOUBLE)
        if "." not in text:
            return integer(int(text))
        whole, _, rest = text.partition(".")
        return Constant(int(whole + rest), decimal(max(1, len(whole) + len(rest)), len(rest)))
    except (ValueError, InvalidOperation):
        raise SqlError("SQL-001", f"{text[:40]!r} is no number{place(at)}") from None


@cache
def _engine() -> Any:
    import duckdb

    return duckdb.connect(config={"enable_external_access": "false", "lock_configuration": "true", "threads": "1"})


def fold(expr: Expr) -> Expr:
    """The expression with constants in place of calls on constants.

    What gives a double stays: as a constant it would be rounded to its 18 fractional bits. DuckDB itself computes the
    others, so that they are what they are there.
    """
    if not isinstance(expr, Call):
        return expr
    args = tuple(fold(a) for a in expr.args)
    if any(a is not b for a, b in zip(args, expr.args, strict=True)):
        expr = functions.with_args(expr, args)
    written = expr.name == "cast" and args[0].type == TEXT and expr.type == DOUBLE
    if (written or expr.name in functions.REALS) and all(isinstance(_uncast(a), Constant) for a in args):
        return _real(expr)
    if expr.type == DOUBLE or not all(isinstance(a, Constant) for a in args) or any(a.type == DOUBLE for a in args):
        return expr
    if expr.name == "add" and expr.type.kind == "int":
        a, b = args
        assert isinstance(a, Constant) and isinstance(b, Constant)
        if isinstance(a.raw, int) and isinstance(b.raw, int):
            return Constant(a.raw + b.raw, expr.type)
    return _computed(expr)


def _uncast(expr: Expr) -> Expr:
    return expr.args[0] if isinstance(expr, Call) and expr.name == "cast" else expr


def _real(expr: Call) -> Expr:
    """A function of constant doubles as DuckDB computes it, exact to all digits; itself where it has no value."""
    import duckdb

    try:
        ((value,),) = _engine().cursor().execute(f"SELECT {render_expr(expr)}").fetchall()
        made = Decimal(repr(value)) if value is not None else None
    except duckdb.Error:
        if expr.name == "cast":
            raise _no_value(expr) from None
        return expr
    if made is None:
        return Constant(None, DOUBLE)
    if not made.is_finite():
        raise unsupported("a number that is NaN or infinite", expr.at, "write NULL")
    if abs(made) >= 10**12:
        return expr
    places = min(17, max(0, -int(made.as_tuple().exponent)), 17 - made.adjusted())
    raw = int(made.scaleb(places).to_integral_value())
    return cast(Constant(raw, decimal(max(len(str(abs(raw))), places, 1), places)), DOUBLE)


def _computed(expr: Call) -> Constant:
    import duckdb

    try:
        ((value,),) = _engine().cursor().execute(f"SELECT {render_expr(expr)}").fetchall()
    except (duckdb.Error, OverflowError, ValueError):
        raise _no_value(expr) from None
    return Constant(raw_value(value, expr.type), expr.type)


def _no_value(expr: Call) -> SqlError:
    return SqlError(
        "SQL-005", f"the constant{place(expr.at)} is no {expr.type}", expected=f"a constant that is a {expr.type}"
    )


def raw_value(value: Any, kind: SqlType) -> int | str | None:
    """The raw value of what DuckDB gives in Python for a value of a type, doubles aside."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return int(value.scaleb(kind.scale))
    if isinstance(value, datetime):
        since = value - datetime(1970, 1, 1)
        return since.days * DAY + since.seconds * 1_000_000 + since.microseconds
    if isinstance(value, date):
        return (value - date(1970, 1, 1)).days
    return int(value)


def type_of(node: exp.DataType, at: At) -> SqlType:
    """The type that a CAST names. Raises `SqlError` SQL-006 for types that there are not."""
    name = node.sql("duckdb").upper()
    name = {
        "INT": "INTEGER", "TEXT": "VARCHAR", "DECIMAL": "DECIMAL(18,3)", "REAL": "DOUBLE", "FLOAT": "DOUBLE",
        "DATETIME": "TIMESTAMP", "INT128": "HUGEINT", "BOOL": "BOOLEAN",
    }.get(name, name)  # fmt: skip
    if name.startswith("DECIMAL(") and "," not in name:
        name = name[:-1] + ",0)"
    kind = parse_type(name.replace(" ", "") if name.startswith("DECIMAL") else name.split("(")[0])
    if kind is None or kind == NULL:
        raise unsupported(
            f"the type {name}", at,
            "use BOOLEAN, an integer type, DECIMAL(p,s), DOUBLE, DATE, TIMESTAMP or VARCHAR",
        )  # fmt: skip
    if kind.kind == "decimal" and not 0 <= kind.scale <= kind.size <= DECIMAL_MAX:
        raise SqlError("SQL-005", f"there is no type {name}{place(at)}", expected="at most 38 digits")
    return kind
