# SPDX-License-Identifier: Apache-2.0
"""Literals, operators, conditional expressions and casts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql import functions
from tacit.frontends.sql.algebra import At, Call, Constant, Expr
from tacit.frontends.sql.bind.base import Span
from tacit.frontends.sql.bind.dates import Dates
from tacit.frontends.sql.constants import fold, integer, number, type_of
from tacit.frontends.sql.decorrelate import unsupported
from tacit.frontends.sql.functions import DAY, cast, place
from tacit.frontends.sql.parse import place_of, row_of
from tacit.frontends.sql.types import BOOLEAN, DATE, NULL, TEXT, TIMESTAMP

BINARY: Final[dict[type[exp.Expr], str]] = {
    exp.EQ: "eq", exp.NEQ: "ne", exp.LT: "lt", exp.LTE: "le", exp.GT: "gt", exp.GTE: "ge",
    exp.NullSafeNEQ: "distinct", exp.Mul: "mul", exp.Mod: "mod",
}  # fmt: skip


class Operators(Dates):
    """Binds literals, operators, conditional expressions and casts."""

    def _paren(self, node: exp.Paren) -> Expr | Span:
        return self.value(node.this)

    def _literal(self, node: exp.Literal) -> Expr:
        return Constant(node.name, TEXT, written=True) if node.is_string else number(node.name, place_of(node))

    def _boolean(self, node: exp.Boolean) -> Expr:
        return Constant(int(bool(node.this)), BOOLEAN)

    def _null(self, node: exp.Null) -> Expr:
        return Constant(None, NULL)

    def _binary(self, node: exp.Expr) -> Expr:
        at = place_of(node)
        name = BINARY[type(node)]
        if name in functions.COMPARISONS:
            return self.compared(name, node.this, node.expression, at)
        return self.call(name, (self.bind(node.this), self.bind(node.expression)), at=at)

    def compared(self, name: str, left: exp.Expr, right: exp.Expr, at: At) -> Expr:
        """A comparison of values, or of rows of them, (a, b) < (c, d), each a row again if need be.

        As in DuckDB, rows compare from the left, and within a row NULL is a value: it equals NULL, and is greater than
        all others. So no comparison of rows is NULL.
        """
        a, b = row_of(left), row_of(right)
        if a is b is None:
            return self.compare(name, self.bind(left), self.bind(right), at)
        if isinstance(left, exp.Null) or isinstance(right, exp.Null):
            return Constant(1 if name == "distinct" else None, BOOLEAN)
        if a is None or b is None or len(a) != len(b):
            lengths = [len(values) if values else 1 for values in (a, b)]
            raise SqlError(
                "SQL-005", f"{lengths[0]} values are compared with {lengths[1]}{place(at)}",
                expected="rows of as many values",
            )  # fmt: skip
        if name in ("gt", "ge"):
            name, a, b = {"gt": "lt", "ge": "le"}[name], b, a
        pairs = list(zip(a, b, strict=True))
        if name in ("lt", "le"):
            return self.call("or", self.ascending(pairs, name, at), at=at)
        same = self.call("and", [self.same(a, b, at) for a, b in pairs], at=at)
        return same if name == "eq" else self.call("not", (same,), at=at)

    def ascending(self, pairs: Sequence[tuple[exp.Expr, exp.Expr]], name: str, at: At) -> list[Expr]:
        """How a row may come before another: by its first value, or by a later one if all before it are the same."""
        ways: list[Expr] = []
        alike: list[Expr] = []
        for k, (a, b) in enumerate(pairs):
            last = name == "le" and k == len(pairs) - 1
            before = self.call("not", (self.before(b, a, at),), at=at) if last else self.before(a, b, at)
            ways.append(self.call("and", (*alike, before), at=at) if alike else before)
            alike.append(self.same(a, b, at))
        return ways

    def same(self, left: exp.Expr, right: exp.Expr, at: At) -> Expr:
        """Whether two values of rows are the same, NULL being one."""
        equal = self.compared("eq", left, right, at)
        if not equal.nullable:
            return equal
        return self.call("not", (self.compared("distinct", left, right, at),), at=at)

    def before(self, left: exp.Expr, right: exp.Expr, at: At) -> Expr:
        """Whether a value of a row is less than another, NULL being the greatest."""
        less = self.compared("lt", left, right, at)
        if not less.nullable:
            return less
        known, none = self.call("is_null", (self.bind(left),), at=at), self.call("is_null", (self.bind(right),), at=at)
        return self.call("coalesce", (less, self.call("and", (self.call("not", (known,)), none), at=at)), at=at)

    def compare(self, name: str, a: Expr, b: Expr, at: At) -> Expr:
        """A comparison; a date with a constant midnight is compared as a date."""
        made = self.call(name, (a, b), at=at)
        if isinstance(made, Call) and made.args[0].type == TIMESTAMP:
            args = [_as_date(x) for x in made.args]
            if all(args):
                return self.call(name, [x for x in args if x], at=at)
        return made

    def _nullsafeeq(self, node: exp.NullSafeEQ) -> Expr:
        return self.same(node.this, node.expression, place_of(node))

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

    def _in(self, node: exp.In) -> Expr:
        at = place_of(node)
        if node.args.get("unnest") or node.args.get("field"):
            raise unsupported("IN over a list value", at, "write the constants in parentheses")
        if row_of(node.this) is not None:
            parts = [self.compared("eq", node.this, e, at) for e in node.expressions]
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

    def _case(self, node: exp.Case) -> Expr:
        at = place_of(node)
        args: list[Expr] = []
        subject = node.this
        for branch in node.args["ifs"]:
            args.append(self.bind(branch.this) if subject is None else self.compared("eq", subject, branch.this, at))
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


def _as_date(expr: Expr) -> Expr | None:
    """A timestamp that is a midnight for certain, as a date."""
    if isinstance(expr, Call) and expr.name == "cast" and expr.args[0].type == DATE:
        return expr.args[0]
    if isinstance(expr, Constant) and (expr.raw is None or (isinstance(expr.raw, int) and expr.raw % DAY == 0)):
        return Constant(None if expr.raw is None else int(expr.raw) // DAY, DATE)
    return None
