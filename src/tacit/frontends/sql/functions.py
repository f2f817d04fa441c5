# SPDX-License-Identifier: Apache-2.0
"""The functions of SQL: the type, NULL and bounds of what they give, as DuckDB defines them.

`call`, `aggregate` and `window` make an expression from operands that fit; `apply` first makes them fit, by the casts
that DuckDB would insert. An exact number becomes a double by a cast that is never folded into a constant: 0.2 is then
still 2/10 where it meets an exact quotient. An integer keeps the type that DuckDB gives it even where its bounds are
wider: values are exact in between, and only a result that does not fit its type is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import reduce
from math import ceil, exp, floor, isqrt, log
from typing import Any, Final, TypeAlias, TypeGuard

from tacit.errors import SqlError
from tacit.frontends.sql.algebra import (
    Aggregate,
    At,
    Call,
    Column,
    Constant,
    Expr,
    Ref,
    SortKey,
    WindowCall,
    WindowFrame,
    references,
)  # fmt: skip
from tacit.frontends.sql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DECIMAL_MAX,
    DOUBLE,
    HUGEINT,
    INTEGER,
    NULL,
    TEXT,
    TIMESTAMP,
    SqlType,
    decimal,
    range_of,
)  # fmt: skip
from tacit.plan import Interval

JOINT: Final = frozenset({
    "eq", "ne", "lt", "le", "gt", "ge", "distinct", "and", "or", "not", "is_null", "add", "sub", "mul", "neg", "div",
    "idiv", "mod", "abs", "sign", "round", "floor", "ceil", "trunc", "sqrt", "exp", "ln", "least", "greatest", "case",
    "coalesce", "cast", "in", "date_part", "date_trunc", "add_days", "add_micros", "add_months", "date_diff",
})  # fmt: skip
"""The functions that can be computed on secrets; the others run at the owner of their operands."""

COMPARISONS: Final = frozenset(["eq", "ne", "lt", "le", "gt", "ge", "distinct"])
AGGREGATES: Final = frozenset({
    "count_star", "count", "sum", "avg", "min", "max", "var_samp", "var_pop", "stddev_samp", "stddev_pop", "median",
    "quantile_cont", "quantile_disc", "corr", "covar_samp", "covar_pop", "regr_slope", "regr_intercept", "regr_r2",
    "regr_count", "regr_avgx", "regr_avgy", "regr_sxx", "regr_syy", "regr_sxy", "bool_and", "bool_or", "any_value",
    "first", "mode",
})  # fmt: skip
REALS: Final = frozenset({
    "sqrt", "exp", "ln", "sin", "cos", "tan", "cot", "asin", "acos", "atan", "atan2", "cbrt", "pow",
})  # fmt: skip
"""Functions of doubles."""
RANKS: Final = frozenset(["row_number", "rank", "dense_rank"])
OFFSETS: Final = frozenset(["lag", "lead", "first_value", "last_value", "nth_value"])

DOUBLE_ONE: Final = 1 << 18
"""The raw value of 1.0."""
DAY: Final = 86_400_000_000
"""Microseconds in a day."""
LIMIT: Final = 1 << 62
"""The magnitude that raw values must not exceed."""

_BIT: Final = Interval(0, 1)
_DIGITS: Final = {8: 3, 16: 5, 32: 10, 64: 19, 128: DECIMAL_MAX}
_Typed: TypeAlias = tuple[SqlType, bool, Interval]
_Args: TypeAlias = tuple[Expr, ...]


SIGNS: Final = {
    "eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "and": "AND", "or": "OR", "add": "+",
    "sub": "-", "mul": "*", "div": "/", "idiv": "//", "mod": "%", "concat": "||",
}  # fmt: skip
"""How operators between operands are written."""


def spoken(name: str) -> str:
    """What people call a function or operator."""
    return SIGNS.get(name, name.upper())


def place(at: At) -> str:
    """A place in the text in words."""
    return f" at line {at[0]}, column {at[1]}" if at else ""


def mismatch(what: str, args: Sequence[Expr], at: At) -> SqlError:
    """The error that a function or operator does not take operands of such types."""
    types = ", ".join(str(a.type) for a in args)
    return SqlError(
        "SQL-005", f"{what} does not take ({types}){place(at)}", expected="operands of types that go together",
        next="write an explicit CAST",
    )  # fmt: skip


def _no_cast(expr: Expr, kind: SqlType, at: At) -> SqlError:
    condition = kind == BOOLEAN
    return SqlError(
        "SQL-005", f"{expr.type} cannot be cast to {kind}{place(at)}",
        expected="a condition, or a number, of which 0 is false" if condition else "types that go together",
        next="compare it with a value, or write IS NOT NULL" if condition else "",
    )  # fmt: skip


# --- types ----------------------------------------------------------------------------------------------------------


def as_decimal(kind: SqlType) -> SqlType:
    """The decimal type that holds all values of an exact number."""
    if kind.kind == "decimal":
        return kind
    return decimal(20 if kind.size == 64 and not kind.signed else _DIGITS[kind.size], 0)


def common(a: Expr, b: Expr, *, compared: bool = False) -> SqlType | None:
    """The type in which two operands can be `compared` or stand for each other; None if there is none.

    A constant that is written out, not computed, takes the other's type: an integer if it fits, a text any.
    """
    for x, y in ((a, b), (b, a)):
        fits_it = x.type.kind == "text" or (y.type.kind == "int" and x.domain in _span(y.type))
        if _is_written(x) and not _is_written(y) and y.type != NULL and fits_it:
            return y.type
    return common_type(a.type, b.type, compared=compared)


def _is_written(expr: Expr) -> bool:
    return isinstance(expr, Constant) and expr.written


def _span(kind: SqlType) -> Interval:
    bits = kind.size - kind.signed
    return Interval(-(1 << bits) if kind.signed else 0, (1 << bits) - 1)


def common_type(a: SqlType, b: SqlType, *, compared: bool = False) -> SqlType | None:
    """The type to which DuckDB casts both; None if there is none. Nothing is lost by that but digits after the point
    of decimals with more than 38 of them, and those only where values are not just `compared`.
    """
    if a == b or b.kind == "null":
        return a
    if a.kind == "null":
        return b
    kinds = {a.kind, b.kind}
    if kinds == {"bool", "int"}:
        return a if a.kind == "int" else b
    if kinds == {"int"}:
        if a.signed == b.signed:
            return a if a.size >= b.size else b
        unsigned = b if a.signed else a
        signed = a if a.signed else b
        return SqlType("int", max(signed.size, min(128, 2 * unsigned.size)))
    if kinds <= {"int", "decimal"}:
        x, y = as_decimal(a), as_decimal(b)
        scale = max(x.scale, y.scale)
        if HUGEINT in (a, b):
            return decimal(DECIMAL_MAX, scale)
        whole = max(x.size - x.scale, y.size - y.scale)
        return decimal(whole + scale, scale if compared else min(scale, DECIMAL_MAX - whole))
    if kinds <= {"int", "decimal", "double"}:
        return DOUBLE
    if kinds == {"date", "timestamp"}:
        return TIMESTAMP
    return None


def _sum_type(a: SqlType, b: SqlType) -> SqlType:
    """The type of a + b and a - b of numbers."""
    if "double" in (a.kind, b.kind):
        return DOUBLE
    kind = common_type(a, b)
    assert kind is not None
    if kind.kind == "int":
        return kind
    x, y = as_decimal(a), as_decimal(b)
    scale = max(x.scale, y.scale)
    return decimal(max(x.size - x.scale, y.size - y.scale) + scale + 1, scale)


def _product_type(a: SqlType, b: SqlType) -> SqlType:
    if "double" in (a.kind, b.kind):
        return DOUBLE
    if a.kind == b.kind == "int":
        kind = common_type(a, b)
        assert kind is not None
        return kind
    x, y = as_decimal(a), as_decimal(b)
    if x.scale + y.scale > DECIMAL_MAX:
        raise SqlError("SQL-005", f"a product of {a} and {b} has more than {DECIMAL_MAX} digits after the point")
    width, scale = x.size + y.size, x.scale + y.scale
    # DuckDB keeps a product in 64 bits, 18 digits, if its operands are.
    return decimal(18 if width > 18 and max(x.size, y.size, scale) <= 18 else width, scale)


# --- bounds ---------------------------------------------------------------------------------------------------------


def unit(kind: SqlType) -> int:
    """The raw value of one."""
    return DOUBLE_ONE if kind.kind == "double" else 10**kind.scale


def rescaled(domain: Interval, source: SqlType, target: SqlType) -> Interval:
    """Bounds of raw values after a cast between numbers, dates and timestamps."""
    if source.kind == "date" and target.kind == "timestamp":
        return domain.scale(DAY)
    if source.kind == "timestamp" and target.kind == "date":
        return Interval(domain.lo // DAY, domain.hi // DAY)
    up, down = unit(target), unit(source)
    return Interval(domain.lo * up // down, -(-domain.hi * up // down))


def _hull(args: Sequence[Expr]) -> Interval:
    known = [a.domain for a in args if not (isinstance(a, Constant) and a.raw is None)]
    return reduce(lambda x, y: x | y, known) if known else Interval(0, 0)


def _clamped(lo: int, hi: int) -> Interval:
    return Interval(max(-LIMIT, min(LIMIT, lo)), max(-LIMIT, min(LIMIT, hi)))


def fits(what: str, domain: Interval, at: At) -> Interval:
    """The bounds, if raw values within them fit the ring. Raises `SqlError` SQL-008 with the bound otherwise."""
    if domain.magnitude > LIMIT:
        raise SqlError(
            "SQL-008", f"{what}{place(at)} may reach {domain.magnitude} units of its last digit",
            expected="at most 2^62",
            next="declare narrower ranges or, for a join, unique= keys; filter first, or cast to fewer digits",
        )  # fmt: skip
    return domain


# --- scalar functions -----------------------------------------------------------------------------------------------


def call(name: str, args: Sequence[Expr], *options: Any, at: At = None) -> Call:
    """A scalar function of operands that fit (`apply` makes them fit).

    The target of a cast is its option here, and the type of the call. Raises `SqlError` SQL-005 if the types do not
    go together, SQL-008 if the value may not fit the ring.
    """
    args = tuple(args)
    try:
        kind, nullable, domain = _RULES[name](args, options)
    except _OperandsError:
        raise _no_cast(args[0], options[0], at) if name == "cast" else mismatch(spoken(name), args, at) from None
    if name in ("cast", "try_cast"):
        # A cast may be taken off again where only its value matters; `check` looks at those that stay.
        return Call(name, args, kind, nullable, domain, (), at)
    return Call(name, args, kind, nullable, fits(spoken(name), domain, at), options, at)


def check(expr: Expr) -> None:
    """Raises `SqlError` SQL-008 if a value within an expression may not fit the ring."""
    if isinstance(expr, Call):
        for arg in expr.args:
            check(arg)
        fits(name_in_words(expr), expr.domain, expr.at)


def alone(expr: Expr) -> bool:
    """Whether this is a double that only its owner's engine can make: then it comes as it is there, rounded."""
    if not isinstance(expr, Call) or expr.type != DOUBLE:
        return False
    return expr.name not in JOINT or (expr.name == "cast" and expr.args[0].type == TEXT)


def name_in_words(expr: Call) -> str:
    """What a call is called in messages."""
    return f"CAST to {expr.type}" if expr.name == "cast" else spoken(expr.name)


def cast(expr: Expr, kind: SqlType, at: At = None) -> Expr:
    """The expression as another type; itself where it has that type already, a constant where it is one and exact."""
    if isinstance(expr, Constant) and expr.written:
        expr = replace(expr, written=False)
    if expr.type == kind:
        return expr
    if isinstance(expr, Constant):
        if expr.raw is None:
            return Constant(None, kind)
        if isinstance(expr.raw, int):
            if kind.kind in ("int", "decimal") and expr.type.kind in ("int", "decimal", "bool"):
                raw, rest = divmod(expr.raw * unit(kind), unit(expr.type))
                if not rest:
                    return Constant(raw, kind)
            if expr.type == DATE and kind == TIMESTAMP:
                return Constant(expr.raw * DAY, kind)
    return call("cast", (expr,), kind, at=at)


def apply(name: str, args: Sequence[Expr], *options: Any, at: At = None) -> Call:
    """`call` with operands cast as DuckDB casts them."""
    args = tuple(args)
    if name in COMPARISONS or name == "in":
        args = alike(args, name, at, compared=True)
        args = alike(tuple(map(_bare, args)), name, at, compared=True)
    elif name in ("least", "greatest", "coalesce"):
        args = alike(args, name, at)
    elif name == "case":
        last, *values = alike((args[-1], *args[1::2]), name, at)
        conditions = (cast(c, BOOLEAN, at) for c in args[:-1:2])
        args = (*(x for pair in zip(conditions, values, strict=True) for x in pair), last)
    elif name in ("and", "or", "not"):
        args = tuple(cast(a, BOOLEAN, at) for a in args)
    elif name in ("add", "sub", "mod", "idiv", "bit_and", "bit_or", "bit_xor", "bit_left", "bit_right"):
        args = _numbers(name, args, at)
    elif name == "div":
        args = tuple(map(_bare, _numbers(name, args, at)))
    elif name == "mul":
        args = _numbers(name, args, at)
        product = call(name, [_bare(a) if isinstance(a, Constant) else a for a in args], at=at)
        kind = _product_type(args[0].type, args[1].type)
        return product if product.type == kind else call("cast", (product,), kind, at=at)
    elif name == "round" and args[0].type.kind == "int" and not args[0].type.signed:
        args = (cast(args[0], BIGINT if args[0].type.size < BIGINT.size else HUGEINT, at),)
    elif name in REALS:
        args = tuple(cast(a, DOUBLE, at) for a in args)
    return call(name, args, *options, at=at)


def _bare(expr: Expr) -> Expr:
    """An exact number without casts that keep its value; a constant as if written, without zeros at its end."""
    while isinstance(expr, Call) and expr.name == "cast" and expr.type.kind in ("int", "decimal"):
        inner = expr.args[0]
        if inner.type.kind not in ("int", "decimal") or inner.type.scale > expr.type.scale:
            break
        expr = inner
    if isinstance(expr, Constant) and expr.type.kind == "decimal" and isinstance(expr.raw, int):
        raw, kind = expr.raw, expr.type
        while kind.scale and raw % 10 == 0:
            raw, kind = raw // 10, decimal(max(1, kind.size - 1), kind.scale - 1)
        return Constant(raw, kind)
    return replace(expr, written=True) if isinstance(expr, Constant) and expr.type.kind == "int" else expr


def alike(args: _Args, what: str, at: At, *, compared: bool = False) -> _Args:
    """The operands cast to one type, see `common`. Raises `SqlError` SQL-005 if there is none."""
    kind = reduce(lambda k, a: _both(k, a, args, what, at, compared), args[1:], args[0])
    return tuple(cast(a, kind.type, at) for a in args)


def _both(a: Expr, b: Expr, args: _Args, what: str, at: At, compared: bool) -> Expr:
    kind = common(a, b, compared=compared)
    if kind is None:
        raise mismatch(spoken(what), args, at)
    # What stands for the operands so far adapts to nothing any more.
    return next((x for x in (a, b) if x.type == kind and not _is_written(x)), replace_type(a, kind))


def replace_type(expr: Expr, kind: SqlType) -> Expr:
    """A stand-in of another type, for finding common types."""
    return Call("cast", (expr,), kind, expr.nullable, range_of(kind))


def _numbers(name: str, args: _Args, at: At) -> _Args:
    a, b = args
    if NULL in (a.type, b.type):
        other = next((x.type for x in args if x.type.kind in ("int", "double")), BIGINT)
        a, b = (Constant(None, other) if x.type == NULL else x for x in args)
    if not (a.type.is_numeric and b.type.is_numeric):
        raise mismatch(spoken(name), args, at)
    if "double" in (a.type.kind, b.type.kind) or (name == "idiv" and "decimal" in (a.type.kind, b.type.kind)):
        return cast(a, DOUBLE, at), cast(b, DOUBLE, at)
    if a.type.kind == b.type.kind == "int":
        kind = common(a, b)
        assert kind is not None
        if kind not in (a.type, b.type) and kind.size < BIGINT.size:
            # A signed and an unsigned type meet in the only one for which no overload is nearer.
            kind = BIGINT
        return cast(a, kind, at), cast(b, kind, at)
    if name in ("mul", "div"):
        return a, b
    kind = _sum_type(a.type, b.type) if name != "mod" else _modulus_type(a.type, b.type)
    if kind is None:
        return cast(a, DOUBLE, at), cast(b, DOUBLE, at)
    return _scaled(a, kind, at), _scaled(b, kind, at)


def _modulus_type(a: SqlType, b: SqlType) -> SqlType | None:
    """The type of a remainder of exact numbers; None where that has too many digits, and DuckDB takes doubles."""
    x, y = as_decimal(a), as_decimal(b)
    scale, whole = max(x.scale, y.scale), max(x.size - x.scale, y.size - y.scale)
    return decimal(scale + whole, scale) if scale + whole <= DECIMAL_MAX else None


def _scaled(a: Expr, kind: SqlType, at: At) -> Expr:
    """An exact number with the digits after the point of a sum, and no more before it than it has."""
    own = as_decimal(a.type)
    return cast(a, decimal(min(own.size - own.scale + kind.scale, kind.size), kind.scale), at)


class _OperandsError(Exception):
    """Operands do not have the types that a rule wants."""


def _any_null(args: _Args) -> bool:
    return any(a.nullable for a in args)


def _need(condition: bool) -> None:
    if not condition:
        raise _OperandsError


def _comparison(args: _Args, options: tuple[Any, ...]) -> _Typed:
    _need(len({a.type.kind for a in args} - {"null"}) <= 1)
    return BOOLEAN, _any_null(args), _BIT


def _logic(args: _Args, options: tuple[Any, ...]) -> _Typed:
    _need(all(a.type.kind in ("bool", "null") for a in args))
    return BOOLEAN, _any_null(args), _BIT


def _never_null(args: _Args, options: tuple[Any, ...]) -> _Typed:
    return BOOLEAN, False, _BIT


def _add(args: _Args, options: tuple[Any, ...]) -> _Typed:
    a, b = args
    _need(a.type.is_numeric and b.type.is_numeric)
    return _sum_type(a.type, b.type), _any_null(args), a.domain + b.domain


def _sub(args: _Args, options: tuple[Any, ...]) -> _Typed:
    kind, nullable, _ = _add(args, options)
    return kind, nullable, args[0].domain - args[1].domain


def _mul(args: _Args, options: tuple[Any, ...]) -> _Typed:
    a, b = args
    _need(a.type.is_numeric and b.type.is_numeric)
    product = a.domain * b.domain if a != b else a.domain.square()
    kind = _product_type(a.type, b.type)
    if kind == DOUBLE:
        product = Interval(product.lo // DOUBLE_ONE, -(-product.hi // DOUBLE_ONE))
    return kind, _any_null(args), product


def _same(domain: Callable[[Interval], Interval]) -> Callable[[_Args, tuple[Any, ...]], _Typed]:
    def rule(args: _Args, options: tuple[Any, ...]) -> _Typed:
        _need(args[0].type.is_numeric)
        return args[0].type, args[0].nullable, domain(args[0].domain)

    return rule


def _div(args: _Args, options: tuple[Any, ...]) -> _Typed:
    """A quotient's bounds are clamped: what is disclosed is a quotient of sums, and those bounds say nothing of it."""
    a, b = args
    _need(a.type.is_numeric and b.type.is_numeric)
    ends = [y for y in (b.domain.lo, b.domain.hi, -1, 1) if y and b.domain.lo <= y <= b.domain.hi] or [1]
    up, down = unit(b.type) * DOUBLE_ONE, unit(a.type)
    values = [x * up // (y * down) for x in (a.domain.lo, a.domain.hi) for y in ends]
    return DOUBLE, _any_null(args) or 0 in range(b.domain.lo, b.domain.hi + 1), _clamped(min(values), max(values) + 1)


def _idiv(args: _Args, options: tuple[Any, ...]) -> _Typed:
    a, b = args
    _need(a.type.is_numeric and b.type.is_numeric)
    kind = common_type(a.type, b.type)
    assert kind is not None
    top = a.domain.magnitude * (DOUBLE_ONE if kind == DOUBLE else 1)
    low = 0 if a.domain.lo >= 0 and b.domain.lo >= 0 else -top
    return kind, _any_null(args) or _zero(b), _clamped(low, top)


def _mod(args: _Args, options: tuple[Any, ...]) -> _Typed:
    a, b = args
    _need(a.type.is_numeric and b.type.is_numeric)
    kind = common_type(a.type, b.type)
    assert kind is not None
    top = min(a.domain.magnitude, max(0, b.domain.magnitude - 1))
    return kind, _any_null(args) or _zero(b), Interval(-top if a.domain.lo < 0 else 0, top if a.domain.hi > 0 else 0)


def _zero(expr: Expr) -> bool:
    return expr.domain.lo <= 0 <= expr.domain.hi


def _sign(args: _Args, options: tuple[Any, ...]) -> _Typed:
    _need(args[0].type.is_numeric)
    lo, hi = ((end > 0) - (end < 0) for end in (args[0].domain.lo, args[0].domain.hi))
    return SqlType("int", 8), args[0].nullable, Interval(lo, hi)


def _round(args: _Args, options: tuple[Any, ...]) -> _Typed:
    a = args[0]
    _need(a.type.is_numeric)
    digits = options[0] if options else 0
    if a.type.kind == "decimal":
        scale = min(a.type.scale, max(0, digits))
        # Of whole numbers, DuckDB leaves room for what rounding carries.
        kind = decimal(a.type.size + (digits < 0 and not a.type.scale), scale)
        step = 10 ** (scale - digits) if digits < 0 else 1
        domain = rescaled(a.domain, a.type, kind)
        return (
            kind,
            a.nullable,
            Interval((domain.lo // step - 1) * step if step > 1 else domain.lo, -(-domain.hi // step) * step),
        )
    step = 10 ** max(0, -digits) * unit(a.type) if digits <= 0 else unit(a.type)
    return a.type, a.nullable, Interval(a.domain.lo // step * step, -(-a.domain.hi // step) * step)


def _whole(args: _Args, options: tuple[Any, ...]) -> _Typed:
    """Floor, ceil and trunc: of a decimal without digits after the point, of other numbers a double."""
    a = args[0]
    _need(a.type.is_numeric)
    kind = decimal(a.type.size, 0) if a.type.kind == "decimal" else DOUBLE
    one, down = unit(kind), unit(a.type)
    return kind, a.nullable, Interval(a.domain.lo // down * one, -(-a.domain.hi // down) * one)


def _trunc(args: _Args, options: tuple[Any, ...]) -> _Typed:
    kind, nullable, domain = _whole(args, options)
    return (kind, nullable, domain) if args[0].type.kind != "int" else (args[0].type, nullable, args[0].domain)


def _sqrt(args: _Args, options: tuple[Any, ...]) -> _Typed:
    return DOUBLE, args[0].nullable, Interval(0, isqrt(max(0, args[0].domain.hi) * DOUBLE_ONE) + 1)


def _exp(args: _Args, options: tuple[Any, ...]) -> _Typed:
    hi = args[0].domain.hi / DOUBLE_ONE
    return DOUBLE, args[0].nullable, Interval(0, ceil(exp(min(hi, 64)) * DOUBLE_ONE) + 1)


def _ln(args: _Args, options: tuple[Any, ...]) -> _Typed:
    lo, hi = (log(max(1, v) / DOUBLE_ONE) * DOUBLE_ONE for v in (args[0].domain.lo, args[0].domain.hi))
    return DOUBLE, args[0].nullable, Interval(floor(lo) - 1, ceil(hi) + 1)


def _real(domain: Interval | None = None) -> Callable[[_Args, tuple[Any, ...]], _Typed]:
    """A function of doubles at their owner. Without bounds it is the owner who is told what does not fit."""

    def rule(args: _Args, options: tuple[Any, ...]) -> _Typed:
        _need(all(a.type.is_numeric for a in args))
        return DOUBLE, _any_null(args), domain or range_of(DOUBLE)

    return rule


def _cbrt(args: _Args, options: tuple[Any, ...]) -> _Typed:
    top = max(args[0].domain.magnitude, DOUBLE_ONE)
    return _real(Interval(-top, top))(args, options)


def _pow(args: _Args, options: tuple[Any, ...]) -> _Typed:
    base, power = (a.domain.magnitude / DOUBLE_ONE for a in args)
    if args[1].domain.lo < 0 or power * log(max(base, 1)) > log(2) * 42:
        return _real()(args, options)
    top = ceil(max(base, 1) ** power * DOUBLE_ONE) + 1
    return _real(Interval(0 if args[0].domain.lo >= 0 else -top, top))(args, options)


def _bits(args: _Args, options: tuple[Any, ...]) -> _Typed:
    """Of integers in one type; bits of numbers that are not negative make such numbers."""
    _need(all(a.type.kind == "int" for a in args))
    kind = args[0].type
    top = (1 << max(a.domain.hi.bit_length() for a in args)) - 1
    known = all(a.domain.lo >= 0 for a in args)
    return kind, _any_null(args), Interval(0, top) if known else range_of(kind)


def _other_bits(args: _Args, options: tuple[Any, ...]) -> _Typed:
    _need(all(a.type.kind == "int" for a in args))
    return args[0].type, _any_null(args), range_of(args[0].type)


def _first_known(args: _Args, options: tuple[Any, ...]) -> _Typed:
    """Coalesce, least and greatest: NULL only if all operands are."""
    return args[0].type, all(a.nullable for a in args), _hull(args)


def _least(args: _Args, options: tuple[Any, ...]) -> _Typed:
    kind, nullable, hull = _first_known(args, options)
    never = [a.domain.hi for a in args if not a.nullable]
    return kind, nullable, hull if kind.kind == "text" else Interval(hull.lo, min(never, default=hull.hi))


def _greatest(args: _Args, options: tuple[Any, ...]) -> _Typed:
    kind, nullable, hull = _first_known(args, options)
    never = [a.domain.lo for a in args if not a.nullable]
    return kind, nullable, hull if kind.kind == "text" else Interval(max(never, default=hull.lo), hull.hi)


def _case(args: _Args, options: tuple[Any, ...]) -> _Typed:
    values = (*args[1::2], args[-1])
    return values[0].type, _any_null(values), _hull(values)


def _cast(args: _Args, options: tuple[Any, ...]) -> _Typed:
    a, kind = args[0], options[0]
    return kind, a.nullable, _cast_domain(a, kind)


def _cast_domain(a: Expr, kind: SqlType) -> Interval:
    source = a.type
    if source.kind == "null":
        return Interval(0, 0)
    if kind.kind == "text":
        if source.kind == "text":
            return a.domain
        width = max(len(str(a.domain.lo)), len(str(a.domain.hi)), source.scale + 1) + (2 if source.scale else 0)
        return Interval(1, {"bool": 5, "date": 13, "timestamp": 29, "double": 24}.get(source.kind, width))
    if source.kind == "text":
        return range_of(kind)
    if kind.kind == "bool":
        _need(source.is_numeric or source.kind == "bool")
        return _BIT
    dates = {"date", "timestamp"}
    _need((source.kind in dates) == (kind.kind in dates))
    if source.kind == "bool":
        return a.domain.scale(unit(kind))
    return rescaled(a.domain, source, kind)


def _text(*wanted: str) -> Callable[[_Args], None]:
    def check(args: _Args) -> None:
        _need(all(a.type.kind in (w, "null") for a, w in zip(args, wanted, strict=True)))

    return check


def _text_to(
    kind: SqlType, size: Callable[[_Args, tuple[Any, ...]], Interval]
) -> Callable[[_Args, tuple[Any, ...]], _Typed]:
    """A function of texts (and integers) to `kind`, NULL if an operand is."""

    def rule(args: _Args, options: tuple[Any, ...]) -> _Typed:
        _need(args[0].type.kind in ("text", "null") and all(a.type.kind in ("text", "int", "null") for a in args))
        return kind, _any_null(args), size(args, options)

    return rule


def _shorter(args: _Args, options: tuple[Any, ...]) -> Interval:
    return Interval(0, args[0].domain.hi)


def _substring(args: _Args, options: tuple[Any, ...]) -> Interval:
    length = options[1] if len(options) > 1 else None
    return Interval(0, args[0].domain.hi if length is None else min(args[0].domain.hi, 4 * abs(length)))


def _side(args: _Args, options: tuple[Any, ...]) -> Interval:
    n = options[0]
    return Interval(0, min(args[0].domain.hi, 4 * n) if n >= 0 else args[0].domain.hi)


def _pad(args: _Args, options: tuple[Any, ...]) -> Interval:
    return Interval(0, 4 * max(0, options[0]))


def _replaced(args: _Args, options: tuple[Any, ...]) -> Interval:
    return Interval(0, args[0].domain.hi * max(1, args[2].domain.hi))


def _pattern_replaced(args: _Args, options: tuple[Any, ...]) -> Interval:
    # Each character, and the end, may become the replacement; a backslash in it may bring back all that was matched.
    size, text = args[0].domain.hi, options[1]
    return Interval(0, size * (1 + text.count("\\")) + (size + 1) * len(text.encode()))


def _moment_of(args: _Args, options: tuple[Any, ...]) -> _Typed:
    _need(args[0].type.kind in ("text", "null"))
    return TIMESTAMP, True, range_of(TIMESTAMP)


def _date_part(args: _Args, options: tuple[Any, ...]) -> _Typed:
    a, part = args[0], options[0]
    _need(a.type.kind in ("date", "timestamp"))
    if part == "epoch":
        seconds = rescaled(a.domain, a.type, TIMESTAMP)
        return DOUBLE, a.nullable, Interval(*(v * DOUBLE_ONE // 1_000_000 for v in (seconds.lo, seconds.hi)))
    domain = PARTS[part]
    if part in ("year", "isoyear"):
        days = rescaled(a.domain, a.type, DATE)
        more = part == "isoyear"
        domain = Interval(year(days.lo) - more, year(days.hi) + more)
    return BIGINT, a.nullable, domain


def year(days: int) -> int:
    """The year of a date given as days since 1970-01-01; years beyond 1 to 9999 are bounded generously."""
    try:
        return (date(1970, 1, 1) + timedelta(days)).year
    except OverflowError:
        return 1970 + days // 365 if days < 0 else 1970 + -(-days // 365)


PARTS: Final = {
    "year": Interval(-300_000, 300_000), "quarter": Interval(1, 4), "month": Interval(1, 12), "week": Interval(1, 53),
    "day": Interval(1, 31), "doy": Interval(1, 366), "dow": Interval(0, 6), "isodow": Interval(1, 7),
    "hour": Interval(0, 23), "minute": Interval(0, 59), "second": Interval(0, 59), "epoch": Interval(0, 0),
    "millisecond": Interval(0, 59_999), "microsecond": Interval(0, 59_999_999), "isoyear": Interval(-300_001, 300_001),
}  # fmt: skip
"""The parts that `date_part` knows, with their bounds."""
SPANS: Final = {
    "year": 366 * DAY, "quarter": 92 * DAY, "month": 31 * DAY, "week": 7 * DAY, "day": DAY, "hour": DAY // 24,
    "minute": 60_000_000, "second": 1_000_000, "millisecond": 1000, "microsecond": 1,
}  # fmt: skip
"""The parts that `date_trunc` and `date_diff` know, with their greatest lengths in microseconds."""
_SHORTEST: Final = {"year": 365 * DAY, "quarter": 90 * DAY, "month": 28 * DAY}
"""The least lengths of those that differ in length."""


def _date_trunc(args: _Args, options: tuple[Any, ...]) -> _Typed:
    _need(args[0].type.kind in ("date", "timestamp"))
    domain = rescaled(args[0].domain, args[0].type, TIMESTAMP)
    return TIMESTAMP, args[0].nullable, Interval(domain.lo - SPANS[options[0]], domain.hi)


def _date_bin(args: _Args, options: tuple[Any, ...]) -> _Typed:
    _need(args[0].type == TIMESTAMP)
    return TIMESTAMP, args[0].nullable, Interval(args[0].domain.lo - options[0], args[0].domain.hi)


def _add_days(args: _Args, options: tuple[Any, ...]) -> _Typed:
    a, n = args
    _need(a.type.kind == "date" and n.type.kind == "int")
    return a.type, _any_null(args), a.domain + n.domain


def _add_micros(args: _Args, options: tuple[Any, ...]) -> _Typed:
    a, n = args
    _need(a.type.kind == "timestamp" and n.type.kind == "int")
    return a.type, _any_null(args), a.domain + n.domain


def _add_months(args: _Args, options: tuple[Any, ...]) -> _Typed:
    a, n = args[0], options[0]
    _need(a.type.kind in ("date", "timestamp"))
    day = 1 if a.type.kind == "date" else DAY
    return (
        a.type,
        a.nullable,
        Interval(a.domain.lo + min(28 * n, 31 * n) * day - day, a.domain.hi + max(28 * n, 31 * n) * day),
    )


def _date_diff(args: _Args, options: tuple[Any, ...]) -> _Typed:
    a, b = args
    _need(a.type == b.type and a.type.kind in ("date", "timestamp"))
    span = rescaled(b.domain, b.type, TIMESTAMP) - rescaled(a.domain, a.type, TIMESTAMP)
    # Between two times are fewer borders of long units than of short ones.
    lengths = SPANS[options[0]], _SHORTEST.get(options[0], SPANS[options[0]])
    least, most = min(span.lo // n for n in lengths), max(-(-span.hi // n) for n in lengths)
    return BIGINT, _any_null(args), Interval(least - 1, most + 1)


def _make_date(args: _Args, options: tuple[Any, ...]) -> _Typed:
    _need(all(a.type.kind == "int" for a in args))
    return DATE, _any_null(args), range_of(DATE)


def _make_timestamp(args: _Args, options: tuple[Any, ...]) -> _Typed:
    _need(all(a.type.kind == "int" for a in args[:5]) and args[5].type.is_numeric)
    return TIMESTAMP, _any_null(args), range_of(TIMESTAMP)


def _try_cast(args: _Args, options: tuple[Any, ...]) -> _Typed:
    kind, _, domain = _cast(args, options)
    return kind, True, domain


def _predicate(args: _Args, options: tuple[Any, ...]) -> _Typed:
    _need(all(a.type.kind in ("text", "null") for a in args))
    return BOOLEAN, _any_null(args), _BIT


def _format(args: _Args, options: tuple[Any, ...]) -> _Typed:
    _need(args[0].type.kind in ("date", "timestamp"))
    return TEXT, args[0].nullable, Interval(0, 64 + 4 * len(options[0]))


_RULES: Final[dict[str, Callable[[_Args, tuple[Any, ...]], _Typed]]] = {
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "in"), _comparison),
    "distinct": _never_null, "is_null": _never_null, "and": _logic, "or": _logic, "not": _logic,
    "add": _add, "sub": _sub, "mul": _mul, "neg": _same(lambda d: -d), "abs": _same(abs), "div": _div, "idiv": _idiv,
    "mod": _mod, "sign": _sign, "round": _round, "floor": _whole, "ceil": _whole, "trunc": _trunc, "sqrt": _sqrt,
    "exp": _exp, "ln": _ln, "least": _least, "greatest": _greatest, "coalesce": _first_known, "case": _case,
    "cast": _cast, "date_part": _date_part, "date_trunc": _date_trunc, "add_days": _add_days,
    "add_micros": _add_micros, "add_months": _add_months, "date_diff": _date_diff, "make_date": _make_date,
    "date_bin": _date_bin, "make_timestamp": _make_timestamp, "try_cast": _try_cast,
    **dict.fromkeys(("sin", "cos"), _real(Interval(-DOUBLE_ONE, DOUBLE_ONE))),
    **dict.fromkeys(("asin", "acos", "atan", "atan2"), _real(Interval(-4 * DOUBLE_ONE, 4 * DOUBLE_ONE))),
    **dict.fromkeys(("tan", "cot"), _real()), "cbrt": _cbrt, "pow": _pow,
    **dict.fromkeys(("bit_and", "bit_or", "bit_xor"), _bits),
    **dict.fromkeys(("bit_not", "bit_left", "bit_right"), _other_bits),
    "strftime": _format, "like": _predicate, "starts_with": _predicate, "ends_with": _predicate,
    "contains": _predicate, "regexp_matches": _predicate, "regexp_full_match": _predicate,
    "concat": _text_to(TEXT, lambda args, _: reduce(lambda x, y: x + y, (a.domain for a in args))),
    "substring": _text_to(TEXT, _substring), "left": _text_to(TEXT, _side), "right": _text_to(TEXT, _side),
    **dict.fromkeys(("trim", "ltrim", "rtrim", "split_part"), _text_to(TEXT, _shorter)),
    # Some letters of two bytes, such as ɐ and Ⱥ, take three in the other case.
    **dict.fromkeys(("upper", "lower"), _text_to(TEXT, lambda args, _: Interval(0, 3 * args[0].domain.hi // 2))),
    # Seven signs take four bytes instead of three without their accents; their owner is told that they are too long.
    **dict.fromkeys(("reverse", "strip_accents"), _text_to(TEXT, _shorter)),
    "replace": _text_to(TEXT, _replaced), "regexp_replace": _text_to(TEXT, _pattern_replaced),
    "try_strptime": _moment_of,
    "lpad": _text_to(TEXT, _pad), "rpad": _text_to(TEXT, _pad),
    "repeat": _text_to(TEXT, lambda args, options: Interval(0, args[0].domain.hi * max(0, options[0]))),
    **dict.fromkeys(("regexp_extract", "substr"), _text_to(TEXT, _shorter)),
    # Each character may become the one of the most bytes among those that stand for others.
    "translate": _text_to(TEXT, lambda args, _: Interval(0, args[0].domain.hi * max(1, min(4, args[2].domain.hi)))),
    "levenshtein": _text_to(BIGINT, lambda args, _: Interval(0, max(a.domain.hi for a in args))),
    "length": _text_to(BIGINT, _shorter), "strpos": _text_to(BIGINT, _shorter),
    "ascii": _text_to(INTEGER, lambda args, _: Interval(0, 0x10FFFF)),
    "md5": _text_to(TEXT, lambda args, _: Interval(32, 32)),
}  # fmt: skip
SCALARS: Final = frozenset(_RULES)
"""The names that `call` knows."""


# --- aggregates and window functions --------------------------------------------------------------------------------


def aggregate(
    name: str,
    args: Sequence[Expr],
    rows: int,
    *,
    keyed: bool = True,
    distinct: bool = False,
    where: Expr | None = None,
    options: tuple[Any, ...] = (),
    at: At = None,
) -> Aggregate:
    """An aggregate over groups of at most `rows` rows; without keys (`keyed` false) a group may be empty.

    Raises `SqlError` SQL-005 if the function does not take such operands, SQL-008 if a sum may not fit the ring.
    """
    args = tuple(args)
    try:
        kind, may_lack, domain = _aggregate(name, args, max(rows, 1))
    except _OperandsError:
        raise mismatch(name.upper(), args, at) from None
    empty = not keyed or where is not None
    nullable = name not in _COUNTS and (may_lack or empty or _any_null(args))
    return Aggregate(name, args, kind, nullable, fits(name.upper(), domain, at), distinct, where, options, at)


_COUNTS: Final = ("count_star", "count", "regr_count")


def _aggregate(name: str, args: _Args, rows: int) -> tuple[SqlType, bool, Interval]:
    """Type, whether NULL is possible even if there are operands that are not, and bounds."""
    if name in ("count_star", "count"):
        return BIGINT, False, Interval(0, rows)
    if name in ("bool_and", "bool_or"):
        _need(args[0].type.kind in ("bool", "null"))
        return BOOLEAN, False, _BIT
    a = args[0]
    if name in ("min", "max", "any_value", "first", "mode", "quantile_disc"):
        return a.type, False, a.domain
    if name in ("median", "quantile_cont"):
        if a.type.kind == "text":
            _need(name == "median")
        kind = DOUBLE if a.type.kind == "int" else TIMESTAMP if a.type.kind == "date" else a.type
        return kind, False, rescaled(a.domain, a.type, kind) if kind != a.type else a.domain
    if name == "sum":
        _need(a.type.is_numeric or a.type.kind in ("bool", "null"))
        kind = a.type if a.type.kind == "double" else HUGEINT
        if a.type.kind == "decimal":
            kind = decimal(DECIMAL_MAX, a.type.scale)
        return kind, False, Interval(min(a.domain.lo, a.domain.lo * rows), max(a.domain.hi, a.domain.hi * rows))
    _need(all(x.type.is_numeric for x in args))
    means = [rescaled(x.domain, x.type, DOUBLE) for x in args]
    if name == "avg":
        return DOUBLE, False, means[0]
    spans = [m.hi - m.lo for m in means]
    if name in ("stddev_samp", "stddev_pop"):
        return DOUBLE, name.endswith("samp"), Interval(0, spans[0])
    if name in ("var_samp", "var_pop"):
        return DOUBLE, name.endswith("samp"), Interval(0, spans[0] ** 2 // (2 * DOUBLE_ONE) + 1)
    if name == "corr":
        return DOUBLE, True, Interval(-DOUBLE_ONE, DOUBLE_ONE)
    if name == "regr_r2":
        return DOUBLE, True, Interval(0, DOUBLE_ONE)
    if name == "regr_count":
        return SqlType("int", 32, 0, False), False, Interval(0, rows)
    if name in ("regr_avgx", "regr_avgy"):
        return DOUBLE, False, means[name == "regr_avgx"]
    if name in ("regr_slope", "regr_intercept"):
        return DOUBLE, True, range_of(DOUBLE)
    factors = {"regr_sxx": (1, 1), "regr_syy": (0, 0)}.get(name, (0, 1))
    # Of two numbers at the ends of a span it is half its square, of more it is less (Popoviciu 1935).
    top = spans[factors[0]] * spans[factors[1]] // (2 * DOUBLE_ONE) + 1
    if name.startswith("regr"):
        top *= rows
    return DOUBLE, name == "covar_samp", Interval(-top if factors == (0, 1) else 0, top)


def window(
    name: str,
    args: Sequence[Expr],
    rows: int,
    *,
    partition: Sequence[Expr] = (),
    order: Sequence[SortKey] = (),
    frame: WindowFrame = "all",
    options: tuple[Any, ...] = (),
    at: At = None,
) -> WindowCall:
    """A window function over partitions of at most `rows` rows.

    The option of lag and lead is their offset; a second operand is what they give where there is no such row. That of
    nth_value is which row of the frame, from 1.
    """
    args = tuple(args)
    if name in RANKS:
        kind, nullable, domain = BIGINT, False, Interval(1, max(1, rows))
    elif name in OFFSETS:
        kind, domain = args[0].type, _hull(args)
        beyond = name in ("lag", "lead", "nth_value")
        nullable = args[0].nullable or (beyond and (len(args) == 1 or args[1].nullable))
    else:
        made = aggregate(name, args, rows, at=at)
        kind, nullable, domain = made.type, made.nullable, made.domain
    nullable |= may_be_empty(frame) and name not in (*RANKS, *_COUNTS)
    return WindowCall(name, args, kind, nullable, domain, tuple(partition), tuple(order), frame, options, at)


def may_be_empty(frame: WindowFrame) -> TypeGuard[tuple[int | None, int | None]]:
    """Whether a frame may have no rows, because the current one is not in it."""
    return isinstance(frame, tuple) and ((frame[0] or 0) > 0 or (frame[1] or 0) < 0)


# --- rebuilding -----------------------------------------------------------------------------------------------------


def with_args(expr: Call, args: Sequence[Expr]) -> Call:
    """The same function of other operands of the same types, its NULLs and bounds derived anew."""
    options = (expr.type,) if expr.name in ("cast", "try_cast") else expr.options
    return call(expr.name, args, *options, at=expr.at)


def substitute(expr: Expr, values: Mapping[Column, Expr]) -> Expr:
    """The expression with other expressions in place of columns."""
    if isinstance(expr, Ref):
        return values.get(expr.column, expr)
    if isinstance(expr, Constant) or not any(c in values for c in references(expr)):
        return expr
    return with_args(expr, [substitute(a, values) for a in expr.args])
