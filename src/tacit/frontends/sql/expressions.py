# SPDX-License-Identifier: Apache-2.0
"""Expressions of the syntax tree to typed expressions over the columns in scope.

Aggregates, window functions and subqueries become columns of their own: the block they stand in collects them, and
computes them where SQL says that they are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cache
from typing import Any, Final, Literal, Protocol

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql import dates, functions
from tacit.frontends.sql.algebra import (
    Aggregate,
    At,
    Call,
    Column,
    Constant,
    Expr,
    Ref,
    Relation,
    SortKey,
    WindowCall,
    WindowFrame,
    conjunction,
)
from tacit.frontends.sql.decorrelate import Partner, exists, pull, scalar, unsupported
from tacit.frontends.sql.decorrelate import free as free_columns
from tacit.frontends.sql.functions import DAY, DOUBLE_ONE, apply, cast, place
from tacit.frontends.sql.parse import place_of
from tacit.frontends.sql.render import render_expr
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
    parse_type,
)
from tacit.plan import Interval

# --- names in scope -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    """A name that expressions may use: `table` is what may stand before it, "" for columns merged by USING.

    Hidden items are found with their table's name alone, and a merged one before others without it.
    """

    table: str
    name: str
    expr: Expr
    hidden: bool = False
    merged: bool = False


@dataclass
class Scope:
    """The names that FROM makes, in order, and the scope around the query."""

    items: list[Item]
    outer: Scope | None = None

    def find(self, name: str, table: str, at: At) -> Expr | None:
        """What a name stands for, here or further out. Raises `SqlError` SQL-004 if it may be several things."""
        found = self.here(name, table, at)
        return self.outer.find(name, table, at) if found is None and self.outer else found

    def here(self, name: str, table: str, at: At) -> Expr | None:
        """What a name stands for in this query itself."""
        low, owner = name.lower(), table.lower()
        found = [
            i for i in self.items if i.name.lower() == low and (i.table.lower() == owner if table else not i.hidden)
        ]
        found = [i for i in found if i.merged] or found
        if len(found) > 1:
            raise SqlError(
                "SQL-004", f"{name!r}{place(at)} may be a column of {found[0].table} or of {found[1].table}",
                expected="a name that only one table has", next=f"write {found[0].table}.{name}",
            )  # fmt: skip
        return found[0].expr if found else None

    def names(self) -> list[str]:
        """The names that can be used, for error messages."""
        return list(dict.fromkeys(i.name for i in self.items))


class Block(Protocol):
    """What an expression needs of the query that it stands in."""

    scope: Scope
    rows: int
    keyed: bool
    subqueries: dict[exp.Expr, Expr]
    inner_subqueries: dict[exp.Expr, Expr]

    def subquery(self, node: exp.Expr) -> Relation:
        """Bind a subquery."""

    def attach(self, partner: Partner) -> None:
        """Make a subquery's join with the rows at hand."""

    def aggregate(self, made: Aggregate, name: str) -> Expr:
        """Register an aggregate and give its column."""

    def window(self, made: WindowCall, name: str) -> Expr:
        """Register a window function and give its column."""

    def grouping(self, keys: Sequence[Expr], at: At) -> Expr:
        """The column of GROUPING(keys)."""

    def named_window(self, name: str, at: At) -> exp.Window:
        """What WINDOW defines under a name."""


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


_UNITS: Final = {
    "year": Span(12, 0, 0), "quarter": Span(3, 0, 0), "month": Span(1, 0, 0), "week": Span(0, 7, 0),
    "day": Span(0, 1, 0), "hour": Span(0, 0, DAY // 24), "minute": Span(0, 0, 60_000_000),
    "second": Span(0, 0, 1_000_000), "millisecond": Span(0, 0, 1000), "microsecond": Span(0, 0, 1),
}  # fmt: skip
_BINARY: Final[dict[type[exp.Expr], str]] = {
    exp.EQ: "eq", exp.NEQ: "ne", exp.LT: "lt", exp.LTE: "le", exp.GT: "gt", exp.GTE: "ge",
    exp.NullSafeNEQ: "distinct", exp.Mul: "mul", exp.Mod: "mod",
}  # fmt: skip
_UNARY: Final[dict[type[exp.Expr], str]] = {
    exp.Sqrt: "sqrt", exp.Exp: "exp", exp.Ln: "ln", exp.Sign: "sign", exp.Floor: "floor", exp.Ceil: "ceil",
    exp.Abs: "abs", exp.Upper: "upper", exp.Lower: "lower", exp.Length: "length", exp.Reverse: "reverse",
    exp.Ascii: "ascii", exp.MD5: "md5", exp.Sin: "sin", exp.Cos: "cos", exp.Tan: "tan", exp.Cot: "cot",
    exp.Asin: "asin", exp.Acos: "acos", exp.Atan: "atan", exp.Cbrt: "cbrt", exp.BitwiseNot: "bit_not",
}  # fmt: skip
_PAIRS: Final[dict[type[exp.Expr], str]] = {
    exp.StartsWith: "starts_with", exp.EndsWith: "ends_with", exp.Contains: "contains",
    exp.Levenshtein: "levenshtein", exp.Atan2: "atan2", exp.BitwiseAnd: "bit_and", exp.BitwiseOr: "bit_or",
    exp.BitwiseXor: "bit_xor", exp.BitwiseLeftShift: "bit_left", exp.BitwiseRightShift: "bit_right",
}  # fmt: skip
_BITWISE: Final = (
    exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot, exp.BitwiseLeftShift, exp.BitwiseRightShift,
)  # fmt: skip
_PARTS: Final[dict[type[exp.Expr], str]] = {
    exp.Year: "year", exp.Quarter: "quarter", exp.Month: "month", exp.Week: "week", exp.WeekOfYear: "week",
    exp.Day: "day", exp.DayOfMonth: "day", exp.DayOfWeek: "dow", exp.DayOfWeekIso: "isodow", exp.DayOfYear: "doy",
    exp.Hour: "hour", exp.Minute: "minute", exp.Second: "second", exp.TimeToUnix: "epoch",
}  # fmt: skip
_PART_NAMES: Final = {
    "dayofweek": "dow", "weekday": "dow", "dayofyear": "doy", "dayofmonth": "day", "weekofyear": "week",
    "yr": "year", "mon": "month", "hr": "hour", "min": "minute", "sec": "second", "ms": "millisecond",
    "us": "microsecond",
    **{f"{p}s": p for p in functions.PARTS},
}  # fmt: skip
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
POWER_MAX: Final = 8
"""The greatest exponent that becomes products."""
_OPERANDS: Final = ("this", "expression", "expressions", "quantile")
"""Where the operands of aggregates stand in their nodes."""
_NAMED_AGGREGATES: Final = {"mean": "avg", **{n: n for n in functions.AGGREGATES if n != "count_star"}}
_WINDOWS: Final[dict[type[exp.Expr], str]] = {
    exp.RowNumber: "row_number", exp.Rank: "rank", exp.DenseRank: "dense_rank", exp.Lag: "lag", exp.Lead: "lead",
    exp.FirstValue: "first_value", exp.LastValue: "last_value",
}  # fmt: skip
_NEAREST: Final[dict[str, str]] = {
    "group_concat": "ask for the rows, and join their texts in the result",
    "array_agg": "ask for the rows with ORDER BY",
    "nth_value": "use ROW_NUMBER() and QUALIFY",
    "rand": "queries give the same result each time",
    "current_date": "write the date as a constant",
    "current_timestamp": "write the time as a constant",
    "now": "write the time as a constant",
    "glob": "use LIKE",
    "every": "use BOOL_AND",
}


def is_aggregate(node: exp.Expr) -> bool:
    """Whether a node is a call of an aggregate function, known or not."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in _NAMED_AGGREGATES
    return isinstance(node, exp.AggFunc) and not isinstance(node, (exp.Grouping, *_WINDOWS))


# --- constants ------------------------------------------------------------------------------------------------------


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


# --- expressions ----------------------------------------------------------------------------------------------------


def one_row(query: exp.Expr) -> bool:
    """Whether a query is an aggregate of all its rows and nothing else: IN is equality with its value."""
    node = query.unnest()
    if not isinstance(node, exp.Select) or len(node.expressions) != 1:
        return False
    if any(node.args.get(k) for k in ("group", "having", "qualify", "limit", "offset", "distinct")):
        return False
    value = node.expressions[0]
    return is_aggregate(value.this if isinstance(value, exp.Alias) else value)


@dataclass
class Binder:
    """Binds the expressions of one clause of a query."""

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

    def predicate(self, node: exp.Expr) -> Expr:
        """A condition: what it means, as a BOOLEAN."""
        return fold(cast(self.bind(node), BOOLEAN, place_of(node)))

    def call(self, name: str, args: Sequence[Expr], *options: Any, at: At = None) -> Expr:
        """A function of operands cast to fit, computed at once if they are constants."""
        return fold(apply(name, args, *options, at=at))

    def value(self, node: exp.Expr) -> Expr | Span:
        """The expression, or the INTERVAL, that a node means."""
        kind = type(node)
        if self.known and node in self.known:
            return self.known[node]
        if kind in _BINARY:
            return self._binary(node)
        if isinstance(node, exp.Window):
            return self._window(node)
        if is_aggregate(node) or isinstance(node, (exp.Filter, exp.WithinGroup, exp.IgnoreNulls)):
            return self._aggregate(node)
        if kind in _WINDOWS:
            raise SqlError(
                "SQL-005", f"{_WINDOWS[kind].upper()}{place(place_of(node))} is a window function",
                expected="OVER (...) after it",
            )  # fmt: skip
        if kind in _UNARY:
            return self._unary(node)
        if kind in _PARTS:
            return self._part(_PARTS[kind], node.this, node)
        if kind in _PAIRS:
            return self._pair(_PAIRS[kind], node)
        method: Callable[[Any], Expr | Span] | None = getattr(self, f"_{node.key}", None)
        if method is None:
            raise self.unknown(node)
        return method(node)

    def unknown(self, node: exp.Expr) -> SqlError:
        """The error for a function or construct that there is not."""
        name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key
        if isinstance(node, exp.Func) and not isinstance(node, exp.Anonymous):
            name = node.sql_name().lower()
        nearest = _NEAREST.get(name, _NEAREST.get(node.key, "see the support table in the documentation"))
        return unsupported(f"{name.upper()} in {self.clause}", place_of(node), nearest)

    # --- names and constants ---

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
        raise self.missing(name, table, at)

    def missing(self, name: str, table: str, at: At) -> SqlError:
        """The error that there is no such column, with the nearest names that there are."""
        from difflib import get_close_matches

        names = self.block.scope.names()
        near = get_close_matches(name.lower(), [n.lower() for n in names], 3)
        full = f"{table}.{name}" if table else name
        return SqlError(
            "SQL-003", f"there is no column {full!r}{place(at)}",
            expected=f"one of {', '.join(names[:20])}" + (", ..." if len(names) > 20 else "") if names else "",
            next=f"did you mean {' or '.join(near)}?" if near else "",
        )  # fmt: skip

    def _paren(self, node: exp.Paren) -> Expr | Span:
        return self.value(node.this)

    def _literal(self, node: exp.Literal) -> Expr:
        return Constant(node.name, TEXT, written=True) if node.is_string else number(node.name, place_of(node))

    def _boolean(self, node: exp.Boolean) -> Expr:
        return Constant(int(bool(node.this)), BOOLEAN)

    def _null(self, node: exp.Null) -> Expr:
        return Constant(None, NULL)

    def _interval(self, node: exp.Interval) -> Span:
        at = place_of(node)
        unit = node.args.get("unit")
        amount = fold(self.bind(node.this)) if node.this is not None else None
        text = str(amount.raw) if isinstance(amount, Constant) and amount.raw is not None else ""
        if unit is None and len(text.split()) == 2:
            text, name = text.split()
        else:
            name = unit.name if unit is not None else ""
        name = name.lower()
        name = _PART_NAMES.get(name, name.removesuffix("s") if name not in _UNITS else name)
        if name in _UNITS and amount is not None and amount.type.kind == "int":
            return self.span(name, amount, at)
        try:
            count = int(text)
        except ValueError:
            count, name = 0, ""
        if name not in _UNITS:
            raise unsupported("this INTERVAL", at, "write a whole number of one unit, as in INTERVAL '3' MONTH")
        return _UNITS[name] * count

    def span(self, name: str, amount: Expr, at: At) -> Span:
        """So many of a unit of time."""
        unit = _UNITS[name]
        if isinstance(amount, Constant) and isinstance(amount.raw, int):
            return unit * amount.raw
        if unit.months:
            raise unsupported("an INTERVAL of so many months as a column says", at, "write a constant number")
        return replace(unit, times=amount)

    def _todays(self, node: exp.ToDays) -> Span:
        return self.span("day", fold(self.bind(node.this)), place_of(node))

    # --- operators ---

    def _binary(self, node: exp.Expr) -> Expr:
        at = place_of(node)
        name = _BINARY[type(node)]
        quantified = node.args["expression"]
        if isinstance(quantified, (exp.Any, exp.All)):
            return self._quantified(node, quantified)
        if isinstance(node.this, exp.Tuple) and isinstance(quantified, exp.Tuple) and name in ("eq", "ne"):
            pairs = list(zip(node.this.expressions, quantified.expressions, strict=False))
            if len(node.this.expressions) != len(quantified.expressions):
                raise SqlError("SQL-005", f"rows of different lengths are compared{place(at)}")
            parts = [self.call("eq", (self.bind(a), self.bind(b)), at=at) for a, b in pairs]
            equal = parts[0] if len(parts) == 1 else self.call("and", parts, at=at)
            return equal if name == "eq" else self.call("not", (equal,), at=at)
        a, b = self.bind(node.this), self.bind(quantified)
        return self.compare(name, a, b, at) if name in functions.COMPARISONS else self.call(name, (a, b), at=at)

    def compare(self, name: str, a: Expr, b: Expr, at: At) -> Expr:
        """A comparison; a date with a constant midnight is compared as a date."""
        made = self.call(name, (a, b), at=at)
        if isinstance(made, Call) and made.args[0].type == TIMESTAMP:
            args = [_as_date(x) for x in made.args]
            if all(args):
                return self.call(name, [x for x in args if x], at=at)
        return made

    def _nullsafeeq(self, node: exp.NullSafeEQ) -> Expr:
        at = place_of(node)
        return self.call(
            "not", (self.compare("distinct", self.bind(node.this), self.bind(node.expression), at),), at=at
        )

    def _and(self, node: exp.And) -> Expr:
        parts = [self.bind(part) for part in node.flatten()]
        return self.call("and", parts, at=place_of(node))

    def _or(self, node: exp.Or) -> Expr:
        parts = [self.bind(part) for part in node.flatten()]
        return self.call("or", parts, at=place_of(node))

    def _not(self, node: exp.Not) -> Expr:
        return self.call("not", (self.bind(node.this),), at=place_of(node))

    def _is(self, node: exp.Is) -> Expr:
        at = place_of(node)
        if isinstance(node.expression, exp.Null):
            return self.call("is_null", (self.bind(node.this),), at=at)
        if isinstance(node.expression, exp.Boolean):
            wanted = Constant(int(bool(node.expression.this)), BOOLEAN)
            same = self.call("distinct", (cast(self.bind(node.this), BOOLEAN, at), wanted), at=at)
            return self.call("not", (same,), at=at)
        raise self.unknown(node)

    def _between(self, node: exp.Between) -> Expr:
        at = place_of(node)
        if node.args.get("symmetric"):
            raise unsupported("BETWEEN SYMMETRIC", at, "use LEAST and GREATEST")
        x, low, high = (self.bind(node.args[k]) for k in ("this", "low", "high"))
        return self.call("and", (self.compare("ge", x, low, at), self.compare("le", x, high, at)), at=at)

    def _neg(self, node: exp.Neg) -> Expr | Span:
        made = self.value(node.this)
        if isinstance(made, Span):
            return -made
        if isinstance(made, Constant) and isinstance(made.raw, int) and made.type.is_numeric:
            return integer(-made.raw) if made.written else Constant(-made.raw, made.type)
        if not made.type.is_numeric and made.type != NULL:
            raise functions.mismatch("-", (made,), place_of(node))
        return self.call("neg", (made,), at=place_of(node))

    def _add(self, node: exp.Add) -> Expr:
        return self._sum(node, "add")

    def _sub(self, node: exp.Sub) -> Expr:
        return self._sum(node, "sub")

    def _sum(self, node: exp.Binary, name: Literal["add", "sub"]) -> Expr:
        at = place_of(node)
        a, b = self.value(node.this), self.value(node.expression)
        if isinstance(a, Span) and name == "add":
            a, b = b, a
        if isinstance(a, Span):
            raise unsupported("arithmetic on an INTERVAL", at, "add it to a date or timestamp")
        if isinstance(b, Span):
            return self.shifted(a, b if name == "add" else -b, at)
        if name == "add" and b.type == DATE and a.type.kind == "int":
            a, b = b, a
        if a.type == DATE and b.type.kind == "int":
            days = b if name == "add" else self.call("neg", (b,), at=at)
            return self.call("add_days", (a, days), at=at)
        if name == "sub" and a.type == b.type == DATE:
            return self.call("date_diff", (b, a), "day", at=at)
        if "timestamp" in (a.type.kind, b.type.kind):
            raise unsupported("a difference of timestamps", at, "use DATE_DIFF('second', a, b)")
        return self.call(name, (a, b), at=at)

    def shifted(self, moment: Expr, span: Span, at: At) -> Expr:
        """A date or timestamp plus an INTERVAL: a TIMESTAMP. Months first, the day cut to the month's length."""
        if isinstance(moment, Constant) and moment.type in (TEXT, NULL):
            moment = fold(cast(moment, TIMESTAMP, at))
        if moment.type not in (DATE, TIMESTAMP):
            raise functions.mismatch("+ INTERVAL", (moment,), at)
        if span.times is not None:
            micros = self.call("mul", (cast(span.times, BIGINT, at), integer(span.days * DAY + span.micros)), at=at)
            return self.call("add_micros", (fold(cast(moment, TIMESTAMP, at)), micros), at=at)
        if span.months:
            moment = self.call("add_months", (moment,), span.months, at=at)
        if moment.type == DATE and span.days:
            moment = self.call("add_days", (moment, integer(span.days)), at=at)
            span = Span(0, 0, span.micros)
        moment = fold(cast(moment, TIMESTAMP, at))
        fixed = span.days * DAY + span.micros
        return self.call("add_micros", (moment, integer(fixed)), at=at) if fixed else moment

    def _div(self, node: exp.Div) -> Expr:
        return self.call("div", (self.bind(node.this), self.bind(node.expression)), at=place_of(node))

    def _intdiv(self, node: exp.IntDiv) -> Expr:
        a, b = self.bind(node.this), self.bind(node.expression)
        whole = {a.type.kind, b.type.kind} <= {"int", "null"}
        return self.call("idiv" if whole else "div", (a, b), at=place_of(node))

    def _dpipe(self, node: exp.DPipe) -> Expr:
        at = place_of(node)
        parts = [self.bind(part) for part in node.flatten()]
        if any(p.type == NULL for p in parts):
            return Constant(None, NULL)
        return self.call("concat", [fold(cast(p, TEXT, at)) for p in parts], at=at)

    def text(self, node: exp.Expr, at: At) -> Expr:
        """A node as text."""
        return fold(cast(self.bind(node), TEXT, at))

    # --- conditional expressions ---

    def _case(self, node: exp.Case) -> Expr:
        at = place_of(node)
        args: list[Expr] = []
        subject = self.bind(node.this) if node.this is not None else None
        for branch in node.args["ifs"]:
            condition = self.bind(branch.this)
            args.append(condition if subject is None else self.compare("eq", subject, condition, at))
            args.append(self.bind(branch.args["true"]))
        default = node.args.get("default")
        args.append(self.bind(default) if default is not None else Constant(None, NULL))
        return self.call("case", args, at=at)

    def _if(self, node: exp.If) -> Expr:
        otherwise = node.args.get("false")
        last = self.bind(otherwise) if otherwise is not None else Constant(None, NULL)
        return self.call("case", (self.bind(node.this), self.bind(node.args["true"]), last), at=place_of(node))

    def _coalesce(self, node: exp.Coalesce) -> Expr:
        return self.call("coalesce", [self.bind(n) for n in (node.this, *node.expressions)], at=place_of(node))

    def _nullif(self, node: exp.Nullif) -> Expr:
        at = place_of(node)
        a, b = self.bind(node.this), self.bind(node.expression)
        return self.call("case", (self.compare("eq", a, b, at), Constant(None, NULL), a), at=at)

    def _greatest(self, node: exp.Greatest) -> Expr:
        return self.call("greatest", [self.bind(n) for n in (node.this, *node.expressions)], at=place_of(node))

    def _least(self, node: exp.Least) -> Expr:
        return self.call("least", [self.bind(n) for n in (node.this, *node.expressions)], at=place_of(node))

    def _cast(self, node: exp.Cast) -> Expr:
        at = place_of(node)
        kind = type_of(node.to, at)
        return fold(cast(self.bind(node.this), kind, at))

    def _trycast(self, node: exp.TryCast) -> Expr:
        made, kind, at = self.bind(node.this), type_of(node.to, place_of(node)), place_of(node)
        # Only what is written as text may be no value of the type.
        return self.call("try_cast", (made,), kind, at=at) if made.type == TEXT else fold(cast(made, kind, at))

    def _typeof(self, node: exp.Typeof) -> Expr:
        kind = self.bind(node.this).type
        return Constant('"NULL"' if kind == NULL else str(kind), TEXT)

    # --- numbers, text, dates ---

    def _unary(self, node: exp.Expr) -> Expr:
        at = place_of(node)
        name = _UNARY[type(node)]
        if any(v for k, v in node.args.items() if k != "this" and isinstance(v, exp.Expr)):
            raise unsupported(f"{name.upper()} with further operands", at, "give it one operand")
        if isinstance(node, _BITWISE):
            self.check_bits(node)
        made = self.bind(node.this)
        if name in ("floor", "ceil") and made.type.kind == "int":
            return self.call("cast", (made,), DOUBLE, at=at)
        return self.call(name, (made,), at=at)

    def _pow(self, node: exp.Pow) -> Expr:
        at = place_of(node)
        base, power = self.bind(node.this), fold(self.bind(node.expression))
        value = power.raw if isinstance(power, Constant) and power.type.is_numeric else None
        exponent = Decimal(value) / functions.unit(power.type) if isinstance(value, int) else Decimal(0)
        if exponent == Decimal("0.5"):
            return self.call("sqrt", (base,), at=at)
        if exponent not in range(1, POWER_MAX + 1):
            return self.call("pow", (base, power), at=at)
        factor = cast(base, HUGEINT, at) if base.type.kind in ("int", "bool") else base
        made = factor
        for _ in range(int(exponent) - 1):
            made = self.call("mul", (made, factor), at=at)
        return fold(cast(made, DOUBLE, at))

    def _log(self, node: exp.Log) -> Expr:
        at = place_of(node)
        base, x = (node.this, node.expression) if node.args.get("expression") else (number("10"), node.this)
        parts = [x, base]
        return self.call(
            "div", [self.call("ln", (p if isinstance(p, Constant) else self.bind(p),)) for p in parts], at=at
        )

    def _radians(self, node: exp.Radians) -> Expr:
        return self.call("div", (self.real(node.this), _DEGREES), at=place_of(node))

    def _degrees(self, node: exp.Degrees) -> Expr:
        return self.call("mul", (self.real(node.this), _DEGREES), at=place_of(node))

    def _pi(self, node: exp.Pi) -> Expr:
        return _PI

    def real(self, node: exp.Expr) -> Expr:
        """A node as a double."""
        return cast(self.bind(node), DOUBLE, place_of(node))

    def _isnan(self, node: exp.IsNan) -> Expr:
        """False: no number is NaN or infinite here."""
        made = self.real(node.this)
        never = Constant(0, BOOLEAN)
        if not made.nullable:
            return never
        null = self.call("is_null", (made,))
        return self.call("case", (null, Constant(None, BOOLEAN), never), at=place_of(node))

    _isinf = _isnan

    def _round(self, node: exp.Round) -> Expr:
        return self._digits("round", node)

    def _trunc(self, node: exp.Trunc) -> Expr:
        if node.args.get("decimals") is not None:
            raise unsupported("TRUNC to digits", place_of(node), "use ROUND or FLOOR")
        return self.call("trunc", (self.bind(node.this),), at=place_of(node))

    def _digits(self, name: str, node: exp.Expr) -> Expr:
        digits = node.args.get("decimals")
        count = self.constant(digits, "the number of digits") if digits is not None else 0
        return self.call(name, (self.bind(node.this),), int(count), at=place_of(node))

    def constant(self, node: exp.Expr, what: str) -> Any:
        """The raw value of a constant."""
        made = fold(self.bind(node))
        if not isinstance(made, Constant) or made.raw is None:
            raise unsupported(f"{what} that is not a constant", place_of(node), "write a constant")
        return made.raw

    def _like(self, node: exp.Like) -> Expr:
        return self.like(node, None)

    def _ilike(self, node: exp.ILike) -> Expr:
        return self.like(node, None)

    def _escape(self, node: exp.Escape) -> Expr:
        return self.like(node.this, str(self.constant(node.expression, "an ESCAPE")))

    def like(self, node: exp.Expr, escape: str | None) -> Expr:
        """LIKE and ILIKE with a constant pattern; without wildcards LIKE is an equality."""
        at = place_of(node)
        if isinstance(node.args["expression"], (exp.Any, exp.All)):
            raise unsupported("LIKE ANY", at, "write OR between the patterns")
        pattern = self.constant(node.args["expression"], "a LIKE pattern")
        subject = self.bind(node.this)
        insensitive = isinstance(node, exp.ILike)
        if not insensitive and escape is None and not set(str(pattern)) & set("%_"):
            made = self.call("eq", (subject, Constant(str(pattern), TEXT)), at=at)
        else:
            made = self.call("like", (subject,), str(pattern), escape, insensitive, at=at)
        return self.call("not", (made,), at=at) if node.args.get("negate") else made

    def _concat(self, node: exp.Concat) -> Expr:
        at = place_of(node)
        return self.call("concat", [self.not_null(n, at) for n in node.expressions], at=at)

    def not_null(self, node: exp.Expr, at: At) -> Expr:
        """A text, empty where it is NULL."""
        made = self.text(node, at)
        return self.call("coalesce", (made, Constant("", TEXT)), at=at) if made.nullable else made

    def _substring(self, node: exp.Substring) -> Expr:
        start, length = node.args.get("start"), node.args.get("length")
        given = [fold(self.bind(n)) if n is not None else None for n in (start or exp.Literal.number(1), length)]
        made, known = self.bind(node.this), [n.raw for n in given if isinstance(n, Constant)]
        if len(known) == sum(n is not None for n in given) and None not in known:
            return self.call("substring", (made,), *known, at=place_of(node))
        return self.call("substr", [made, *(n for n in given if n is not None)], at=place_of(node))

    def _arrayslice(self, node: exp.ArraySlice) -> Expr:
        """Part of a text, from one place to another; both count from 1."""
        made, at = self.bind(node.this), place_of(node)
        ends = [fold(self.bind(node.args[k])) if node.args.get(k) is not None else None for k in ("start", "end")]
        if made.type != TEXT or None in ends or any(e.type.kind != "int" or e.domain.lo < 0 for e in ends if e):
            raise unsupported("ARRAY_SLICE of this", at, "use SUBSTRING")
        low, high = (self.call("greatest", (e, integer(1 - k))) for k, e in enumerate(ends) if e)
        size = self.call("greatest", (self.call("add", (self.call("sub", (high, low)), integer(1))), integer(0)))
        if isinstance(low, Constant) and isinstance(size, Constant):
            return self.call("substring", (made,), low.raw, size.raw, at=at)
        return self.call("substr", (made, low, size), at=at)

    def _left(self, node: exp.Left) -> Expr:
        return self._side("left", node)

    def _right(self, node: exp.Right) -> Expr:
        return self._side("right", node)

    def _side(self, name: str, node: exp.Binary | exp.Func) -> Expr:
        count = self.constant(node.args["expression"], f"a length of {name.upper()}")
        return self.call(name, (self.bind(node.this),), count, at=place_of(node))

    def _trim(self, node: exp.Trim) -> Expr:
        name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
        args = [self.bind(node.this), *([self.bind(node.expression)] if node.args.get("expression") else [])]
        return self.call(name, args, at=place_of(node))

    def _replace(self, node: exp.Replace) -> Expr:
        args = [self.bind(node.args[k]) for k in ("this", "expression", "replacement")]
        return self.call("replace", args, at=place_of(node))

    def _strposition(self, node: exp.StrPosition) -> Expr:
        return self.call("strpos", (self.bind(node.this), self.bind(node.args["substr"])), at=place_of(node))

    def _regexplike(self, node: exp.RegexpLike) -> Expr:
        return self._pattern("regexp_matches", node, node.args.get("flag"))

    def _regexpfullmatch(self, node: exp.RegexpFullMatch) -> Expr:
        return self._pattern("regexp_full_match", node, node.args.get("options"))

    def _similarto(self, node: exp.SimilarTo) -> Expr:
        return self._pattern("regexp_full_match", node, None)

    def _pattern(self, name: str, node: exp.Expr, options: exp.Expr | None) -> Expr:
        at = place_of(node)
        flags = str(self.constant(options, "options of a pattern")) if options is not None else ""
        if not set(flags) <= set("cis"):
            raise unsupported(f"the option {flags!r} of a pattern", at, "use 'i', 's' or 'c'")
        flags = flags.replace("c", "")
        pattern = self.bind(node.args["expression"])
        if flags:
            pattern = Constant(f"(?{flags})" + str(self.constant(node.args["expression"], "a pattern")), TEXT)
        return self.call(name, (self.bind(node.this), pattern), at=at)

    def _regexpreplace(self, node: exp.RegexpReplace) -> Expr:
        given = [node.args.get(k) for k in ("expression", "replacement", "modifiers")]
        pattern, replacement, modifiers = (
            str(self.constant(n, "a part of REGEXP_REPLACE")) if n is not None else "" for n in given
        )
        options = [pattern, replacement, *([modifiers] if modifiers else [])]
        return self.call("regexp_replace", (self.bind(node.this),), *options, at=place_of(node))

    def _pair(self, name: str, node: exp.Expr) -> Expr:
        if isinstance(node, _BITWISE):
            self.check_bits(node)
        return self.call(name, (self.bind(node.this), self.bind(node.args["expression"])), at=place_of(node))

    @staticmethod
    def check_bits(node: exp.Expr) -> None:
        """Refuse bitwise operators side by side: DuckDB has one precedence for all of them."""
        beside = [node.parent, node.this, node.args.get("expression")]
        if any(isinstance(n, _BITWISE) for n in beside) or (
            isinstance(node, exp.BitwiseNot) and isinstance(node.parent, exp.Binary)
        ):
            raise unsupported("a bitwise operator beside another operator", place_of(node), "put it in parentheses")

    def _pad(self, node: exp.Pad) -> Expr:
        fill = node.args.get("fill_pattern")
        count = self.constant(node.args["expression"], "a length")
        with_ = self.constant(fill, "a filling") if fill is not None else " "
        return self.call("lpad" if node.args.get("is_left") else "rpad", (self.bind(node.this),), count, with_)

    def _repeat(self, node: exp.Repeat) -> Expr:
        made, times = self.bind(node.this), fold(self.bind(node.args["times"]))
        if isinstance(times, Constant) and isinstance(times.raw, int):
            return self.call("repeat", (made,), times.raw)
        if times.domain.hi > _MOST_TIMES:
            raise unsupported("REPEAT of more than 1000 times", place_of(node), "write LEAST(n, 1000)")
        # At most so many times, and then cut.
        most = self.call("repeat", (made,), max(0, times.domain.hi))
        size = self.call("mul", (self.call("length", (made,)), self.call("greatest", (times, integer(0)))))
        return self.call("substr", (most, integer(1), size), at=place_of(node))

    def _regexpextract(self, node: exp.RegexpExtract) -> Expr:
        group = node.args.get("group")
        pattern = str(self.constant(node.expression, "a pattern"))
        options = (pattern, self.constant(group, "a group") if group is not None else 0)
        if node.args.get("parameters") is not None:
            raise unsupported("REGEXP_EXTRACT with options", place_of(node), "write (?i) in the pattern")
        return self.call("regexp_extract", (self.bind(node.this),), *options, at=place_of(node))

    def _translate(self, node: exp.Translate) -> Expr:
        return self.call("translate", [self.bind(node.args[k]) for k in ("this", "from_", "to")], at=place_of(node))

    def _splitpart(self, node: exp.SplitPart) -> Expr:
        args = [self.bind(node.args[k]) for k in ("this", "delimiter", "part_index")]
        return self.call("split_part", args, at=place_of(node))

    def _extract(self, node: exp.Extract) -> Expr:
        return self._part(node.name, node.expression, node)

    def _part(self, part: str, source: exp.Expr, node: exp.Expr) -> Expr:
        at = place_of(node)
        name = _PART_NAMES.get(part.lower(), part.lower())
        if name not in functions.PARTS:
            raise unsupported(f"the part {part!r} of a date", at, f"use one of {', '.join(functions.PARTS)}")
        made = self.call("date_part", (self.moment(source),), name, at=at)
        # DuckDB gives a NULL that it folds the most general type of any part, unless the part's own function is called.
        folded = isinstance(made, Constant) and made.raw is None and type(node) not in _PARTS
        return Constant(None, DOUBLE) if folded else made

    def moment(self, node: exp.Expr) -> Expr:
        """A node as a date or timestamp."""
        made = self.bind(node)
        return fold(cast(made, TIMESTAMP, place_of(node))) if made.type == NULL else made

    def _timestamptrunc(self, node: exp.Expr) -> Expr:
        return self.call("date_trunc", (self.moment(node.this),), self.span_name(node), at=place_of(node))

    _datetrunc = _timestamptrunc

    def span_name(self, node: exp.Expr) -> str:
        """The part that DATE_TRUNC or DATE_DIFF names."""
        unit = node.args.get("unit")
        name = unit.name.lower() if unit is not None else ""
        name = _PART_NAMES.get(name, name)
        if name not in functions.SPANS:
            raise unsupported(f"the part {name!r}", place_of(node), f"use one of {', '.join(functions.SPANS)}")
        return name

    def _datediff(self, node: exp.DateDiff) -> Expr:
        at = place_of(node)
        later, earlier = self.moment(node.this), self.moment(node.expression)
        earlier, later = (fold(x) for x in functions.alike((earlier, later), "date_diff", at))
        return self.call("date_diff", (earlier, later), self.span_name(node), at=at)

    def _datefromparts(self, node: exp.DateFromParts) -> Expr:
        return self.call("make_date", [self.bind(node.args[k]) for k in ("year", "month", "day")], at=place_of(node))

    def _lastday(self, node: exp.LastDay) -> Expr:
        at = place_of(node)
        first = cast(self.call("date_trunc", (self.moment(node.this),), "month", at=at), DATE, at)
        return self.call("add_days", (self.call("add_months", (fold(first),), 1, at=at), integer(-1)), at=at)

    def _dayname(self, node: exp.Dayname) -> Expr:
        return self.call("strftime", (self.moment(node.this),), "%A", at=place_of(node))

    def _monthname(self, node: exp.Monthname) -> Expr:
        return self.call("strftime", (self.moment(node.this),), "%B", at=place_of(node))

    def _timestampfromparts(self, node: exp.TimestampFromParts) -> Expr:
        parts = [node.args.get(k) for k in ("year", "month", "day", "hour", "min", "sec")]
        if not all(parts) or node.args.get("zone") is not None:
            raise unsupported("MAKE_TIMESTAMP of these operands", place_of(node), "give it year to second")
        return self.call("make_timestamp", [self.bind(p) for p in parts if p], at=place_of(node))

    def _datebin(self, node: exp.DateBin) -> Expr:
        at = place_of(node)
        span = self.value(node.this)
        width = span.days * DAY + span.micros if isinstance(span, Span) and not (span.months or span.times) else 0
        # sqlglot takes the third operand for something else.
        given = node.args.get("unit")
        origin = self.value(given) if given is not None else Constant(dates.MONDAY, TIMESTAMP)
        start = fold(cast(origin, TIMESTAMP, at)) if not isinstance(origin, Span) else None
        if width <= 0 or not isinstance(start, Constant) or node.args.get("zone"):
            raise unsupported("TIME_BUCKET of this width or origin", at, "give it a constant width of days or less")
        moment = self.moment(node.expression)
        made = self.call("date_bin", (fold(cast(moment, TIMESTAMP, at)),), width, start.raw, at=at)
        return fold(cast(made, moment.type, at))

    def _unixtotime(self, node: exp.UnixToTime) -> Expr:
        scale, at = node.args.get("scale"), place_of(node)
        step = {"3": 1000, "6": 1}.get(scale.name) if scale is not None else None
        if step is None:
            raise unsupported("TO_TIMESTAMP, which has a time zone,", at, "use EPOCH_MS of milliseconds")
        micros = self.call("mul", (cast(self.bind(node.this), BIGINT, at), integer(step)), at=at)
        return self.call("add_micros", (Constant(0, TIMESTAMP), micros), at=at)

    def _timetostr(self, node: exp.TimeToStr) -> Expr:
        pattern = self.constant(node.args["format"], "a format")
        return self.call("strftime", (self.moment(node.this),), str(pattern), at=place_of(node))

    def _dateadd(self, node: exp.Expr) -> Expr:
        made = self.value(node.expression)
        if not isinstance(made, Span):
            raise unsupported("DATE_ADD without an INTERVAL", place_of(node), "write x + INTERVAL '1' DAY")
        return self.shifted(self.bind(node.this), made, place_of(node))

    def _anonymous(self, node: exp.Anonymous) -> Expr | Span:
        name = node.name.lower()
        at = place_of(node)
        if name.startswith("to_") and name[3:-1] in _UNITS and len(node.expressions) == 1:
            return self.span(name[3:-1], fold(self.bind(node.expressions[0])), at)
        if name in ("date_part", "datepart") and len(node.expressions) == 2:
            return self._part(str(self.constant(node.expressions[0], "a part")), node.expressions[1], node)
        if name in ("prefix", "suffix") and len(node.expressions) == 2:
            args = [self.bind(n) for n in node.expressions]
            return self.call("starts_with" if name == "prefix" else "ends_with", args, at=at)
        if (
            name in ("weekday", "isodow", "dayofyear", "isoyear", "millisecond", "microsecond")
            and len(node.expressions) == 1
        ):
            return self._part(name, node.expressions[0], node)
        if name == "strip_accents" and len(node.expressions) == 1:
            return self.call(name, (self.bind(node.expressions[0]),), at=at)
        if name == "try_strptime" and len(node.expressions) == 2:
            pattern = str(self.constant(node.expressions[1], "a format"))
            return self.call(name, (self.bind(node.expressions[0]),), pattern, at=at)
        raise self.unknown(node)

    # --- subqueries ---

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

    def _in(self, node: exp.In) -> Expr:
        at = place_of(node)
        query = node.args.get("query")
        if query is not None and one_row(query):
            return self.bind(exp.EQ(this=node.this.copy(), expression=query.copy()))
        if query is not None:
            return self.joined(node, self.membership(node.this, query, at, "mark"))
        if node.args.get("unnest") or node.args.get("field"):
            raise unsupported("IN over a list value", at, "write the constants in parentheses")
        if isinstance(node.this, exp.Tuple):
            rows = [exp.EQ(this=node.this.copy(), expression=e.copy()) for e in node.expressions]
            parts = [self.bind(r) for r in rows]
            return parts[0] if len(parts) == 1 else self.call("or", parts, at=at)
        args = [self.bind(n) for n in (node.this, *node.expressions)]
        if all(isinstance(a, Constant) for a in map(fold, args[1:])):
            made = self.call("in", args, at=at)
            return self._in_dates(made, at)
        parts = [self.compare("eq", args[0], a, at) for a in args[1:]]
        return parts[0] if len(parts) == 1 else self.call("or", parts, at=at)

    def _in_dates(self, made: Expr, at: At) -> Expr:
        if isinstance(made, Call) and made.args[0].type == TIMESTAMP:
            args = [_as_date(x) for x in made.args]
            if all(args):
                return self.call("in", [x for x in args if x], at=at)
        return made

    def _quantified(self, node: exp.Expr, quantified: exp.Any | exp.All) -> Expr:
        at = place_of(node)
        query = quantified.this
        if isinstance(node, exp.EQ) and isinstance(quantified, exp.Any):
            return self.joined(node, self.membership(node.this, query, at, "mark"))
        if isinstance(node, exp.NEQ) and isinstance(quantified, exp.All):
            return self.call("not", (self.joined(node, self.membership(node.this, query, at, "mark")),), at=at)
        raise unsupported("this comparison with ANY or ALL", at, "compare with a subquery that takes MIN or MAX")

    # --- aggregates and window functions ---

    def _aggregate(self, node: exp.Expr) -> Expr:
        at = place_of(node)
        if not self.aggregates:
            raise SqlError(
                "SQL-005", f"an aggregate cannot stand in {self.clause}{place(at)}",
                expected="aggregates in SELECT, HAVING, QUALIFY or ORDER BY, none inside another",
                next="compute it in a subquery first",
            )  # fmt: skip
        inner = Binder(self.block, "an aggregate", subqueries=self.subqueries, within=True)
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
        inner = Binder(self.block, "GROUPING", subqueries=False, aliases=self.aliases)
        return self.block.grouping([inner.bind(n) for n in node.expressions], place_of(node))

    def _window(self, node: exp.Window) -> Expr:
        at = place_of(node)
        if not self.windows:
            raise SqlError(
                "SQL-005", f"a window function cannot stand in {self.clause}{place(at)}",
                expected="window functions in SELECT, QUALIFY or ORDER BY, none inside another",
                next="compute it in a subquery first",
            )  # fmt: skip
        inner = Binder(
            self.block, "a window function", self.aggregates, False, self.subqueries, self.aliases, self.partners
        )
        spec = node
        if node.args.get("alias") is not None and not node.args.get("partition_by") and not node.args.get("order"):
            spec = self.block.named_window(node.alias, at)
        partition = [inner.bind(n) for n in spec.args.get("partition_by") or ()]
        order = inner.sort_keys(spec.args.get("order"))
        frame = self.frame(spec, bool(order), at)
        if isinstance(node.this, (exp.PercentRank, exp.CumeDist, exp.Ntile)):
            return self.distribution(node.this, partition, order, at)
        name, args, options = inner.window_function(node.this, at)
        if name in (*functions.RANKS, "lag", "lead"):
            frame = "all"
            if not order and name != "row_number":
                raise SqlError("SQL-005", f"{name.upper()}{place(at)} needs an order", expected="OVER (ORDER BY ...)")
        made = functions.window(
            name, args, self.block.rows, partition=partition, order=order, frame=frame, options=options, at=at
        )
        return self.block.window(made, name)

    def distribution(self, node: exp.Expr, partition: Sequence[Expr], order: Sequence[SortKey], at: At) -> Expr:
        """PERCENT_RANK, CUME_DIST and NTILE, from the number of a row or its peers and how many rows there are."""

        def number(name: str, frame: WindowFrame) -> Expr:
            made = functions.window(name, (), self.block.rows, partition=partition, order=order, frame=frame, at=at)
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
        if type(node) in _WINDOWS:
            name = _WINDOWS[type(node)]
            if name in functions.RANKS:
                return name, [], ()
            args = [self.bind(node.this)]
            if name not in ("lag", "lead"):
                return name, args, ()
            offset = node.args.get("offset")
            count = self.constant(offset, "an offset") if offset is not None else 1
            default = node.args.get("default")
            if default is not None:
                args.append(fold(cast(self.bind(default), args[0].type, at)))
            return name, args, (count,)
        if isinstance(node, exp.IgnoreNulls) and not isinstance(node.this, exp.AnyValue):
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

    def frame(self, node: exp.Window, ordered: bool, at: At) -> WindowFrame:
        """The frame that a window names."""
        spec = node.args.get("spec")
        if spec is None:
            return "range" if ordered else "all"
        rows = str(spec.args.get("kind") or "RANGE").upper() == "ROWS"
        lo = self.offset(spec.args.get("start"), spec.args.get("start_side"), at)
        hi = self.offset(spec.args.get("end") or "CURRENT ROW", spec.args.get("end_side"), at)
        plain = not spec.args.get("exclude") and (lo is None or hi is None or lo <= hi)
        if plain and lo is hi is None:
            return "all"
        if plain and rows:
            return "rows" if (lo, hi) == (None, 0) else (lo, hi)
        if plain and (lo, hi) == (None, 0):
            return "range" if ordered else "all"
        raise unsupported(
            "this window frame", at, "use ROWS BETWEEN ... AND ..., or RANGE UNBOUNDED PRECEDING; not EXCLUDE"
        )

    def offset(self, end: exp.Expr | str, side: str | None, at: At) -> int | None:
        """How many rows after the current one a frame ends; None at the end of the partition."""
        if isinstance(end, str):
            return None if end == "UNBOUNDED" else 0
        count = self.constant(exp.cast(end, "BIGINT"), "an offset of a window frame")
        if not isinstance(count, int) or count < 0:
            raise SqlError("SQL-005", f"a window frame{place(at)} is so many rows long", expected="a number from 0")
        return count if str(side).upper() == "FOLLOWING" else -count

    def sort_keys(self, order: exp.Order | None) -> list[SortKey]:
        """The keys of an ORDER BY inside OVER."""
        return [self.sort_key(o, self.bind(o.this)) for o in order.expressions] if order is not None else []

    @staticmethod
    def sort_key(node: exp.Ordered, expr: Expr) -> SortKey:
        """A key as its node says: NULLs last unless it says otherwise."""
        return SortKey(expr, bool(node.args.get("desc")), bool(node.args.get("nulls_first")))


_MOST_TIMES: Final = 1000
_DEGREES: Final = cast(Constant(57295779513082321, decimal(17, 15)), DOUBLE)
"""180 / pi."""
_PI: Final = cast(Constant(31415926535897932, decimal(17, 16)), DOUBLE)


def _mark(nullable: bool) -> Column:
    return Column("mark", BOOLEAN, nullable, Interval(0, 1))


def _as_date(expr: Expr) -> Expr | None:
    """A timestamp that is a midnight for certain, as a date."""
    if isinstance(expr, Call) and expr.name == "cast" and expr.args[0].type == DATE:
        return expr.args[0]
    if isinstance(expr, Constant) and (expr.raw is None or (isinstance(expr.raw, int) and expr.raw % DAY == 0)):
        return Constant(None if expr.raw is None else int(expr.raw) // DAY, DATE)
    return None
