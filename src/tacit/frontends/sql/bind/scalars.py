# SPDX-License-Identifier: Apache-2.0
"""Scalar functions of numbers and text."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from sqlglot import exp

from tacit.frontends.sql import functions
from tacit.frontends.sql.algebra import At, Constant, Expr
from tacit.frontends.sql.bind.base import Span
from tacit.frontends.sql.bind.dates import UNITS, Dates
from tacit.frontends.sql.constants import fold, integer, number
from tacit.frontends.sql.decorrelate import unsupported
from tacit.frontends.sql.functions import cast
from tacit.frontends.sql.parse import place_of
from tacit.frontends.sql.types import BOOLEAN, DOUBLE, HUGEINT, TEXT, decimal

UNARY: Final[dict[type[exp.Expr], str]] = {
    exp.Sqrt: "sqrt", exp.Exp: "exp", exp.Ln: "ln", exp.Sign: "sign", exp.Floor: "floor", exp.Ceil: "ceil",
    exp.Abs: "abs", exp.Upper: "upper", exp.Lower: "lower", exp.Length: "length", exp.Reverse: "reverse",
    exp.Ascii: "ascii", exp.MD5: "md5", exp.Sin: "sin", exp.Cos: "cos", exp.Tan: "tan", exp.Cot: "cot",
    exp.Asin: "asin", exp.Acos: "acos", exp.Atan: "atan", exp.Cbrt: "cbrt", exp.BitwiseNot: "bit_not",
}  # fmt: skip
PAIRS: Final[dict[type[exp.Expr], str]] = {
    exp.StartsWith: "starts_with", exp.EndsWith: "ends_with", exp.Contains: "contains",
    exp.Levenshtein: "levenshtein", exp.Atan2: "atan2", exp.BitwiseAnd: "bit_and", exp.BitwiseOr: "bit_or",
    exp.BitwiseXor: "bit_xor", exp.BitwiseLeftShift: "bit_left", exp.BitwiseRightShift: "bit_right",
}  # fmt: skip
_BITWISE: Final = (
    exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot, exp.BitwiseLeftShift, exp.BitwiseRightShift,
)  # fmt: skip
_POWER_MAX: Final = 8
"""The greatest exponent that becomes products."""
_MOST_TIMES: Final = 1000
_DEGREES: Final = cast(Constant(57295779513082321, decimal(17, 15)), DOUBLE)
"""180 / pi."""
_PI: Final = cast(Constant(31415926535897932, decimal(17, 16)), DOUBLE)


class Scalars(Dates):
    """Binds calls of scalar functions."""

    def _unary(self, node: exp.Expr) -> Expr:
        at = place_of(node)
        name = UNARY[type(node)]
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
        if exponent not in range(1, _POWER_MAX + 1):
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

    def text(self, node: exp.Expr, at: At) -> Expr:
        """A node as text."""
        return fold(cast(self.bind(node), TEXT, at))

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

    def _anonymous(self, node: exp.Anonymous) -> Expr | Span:
        name = node.name.lower()
        at = place_of(node)
        if name.startswith("to_") and name[3:-1] in UNITS and len(node.expressions) == 1:
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
