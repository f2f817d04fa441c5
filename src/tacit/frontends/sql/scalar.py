# SPDX-License-Identifier: Apache-2.0
"""Expressions on the rows of a frame: from `Expr` to arrays. Nothing is opened.

What a function does follows DuckDB, three-valued logic included. Words stay zero where a value is NULL; inside an
expression they may be anything there, and are masked once, at its end. Division of exact numbers is exact (see
`vectors`): `x / y > 0.2 * avg` is decided without rounding wherever the products fit 62 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from tacit.errors import InputError, PlanError, SqlError
from tacit.frontends.arithmetic import (
    absolute,
    add,
    ceil,
    divide,
    exp,
    floor,
    greater,
    less,
    less_equal,
    log,
    logical_and,
    logical_not,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    sqrt,
    subtract,
    trunc,
    where,
)
from tacit.frontends.array import Owner, SecretArray
from tacit.frontends.operands import apply, astype
from tacit.frontends.reductions import all as all_of
from tacit.frontends.reductions import any as any_of
from tacit.frontends.shaping import reshape, stack
from tacit.frontends.sql import dates, division, patterns
from tacit.frontends.sql.algebra import Call, Constant, Expr, Ref
from tacit.frontends.sql.frame import Frame, Vector
from tacit.frontends.sql.functions import spoken
from tacit.frontends.sql.types import BOOLEAN, DOUBLE, SqlType
from tacit.frontends.sql.vectors import (
    among,
    constant,
    crossed,
    deciding,
    either,
    equal_words,
    exact,
    fits,
    fixed,
    is_equal,
    known,
    less_words,
    magnitude,
    masked,
    null_if_absent,
    over_both,
    product,
    public,
    quotient,
    raws,
    same,
    select,
    sort_words,
    unified,
    units,
    widened,
)
from tacit.plan import BOOL, FIXED, INT64


def evaluate(expr: Expr, frame: Frame) -> Vector:
    """The values of an expression in every row of a frame that has at least one array.

    Raises `SqlError` SQL-006 for a function that only a party's own engine has, SQL-008 where a value has no room.
    """
    rows = _Rows(frame)
    out = rows.value(expr)
    return out if out.null is None or _is_clean(expr) else masked(out)


def holds(predicate: Expr, frame: Frame) -> SecretArray:
    """Where a predicate is true, so neither false nor NULL: bool [rows]."""
    return evaluate(predicate, frame).words[0]


@dataclass
class _Rows:
    """The rows of a frame, and what was computed on them so far."""

    frame: Frame
    memo: dict[Expr, Vector] = field(default_factory=dict)

    @property
    def program(self) -> Owner:
        """The arrays' program."""
        for vector in self.frame.columns.values():
            return vector.words[0].program
        assert self.frame.present is not None
        return self.frame.present.program

    def value(self, expr: Expr) -> Vector:
        """The values of an expression; where they are NULL, words are anything unless they are bools."""
        if isinstance(expr, Ref):
            return self.frame.columns[expr.column]
        if isinstance(expr, Constant):
            return constant(expr.raw, expr.type, self.frame.rows, self.program)
        if expr not in self.memo:
            self.memo[expr] = self._call(expr)
        return self.memo[expr]

    def constant(self, value: int | str | None, type: SqlType) -> Vector:
        """A public value in every row."""
        return constant(value, type, self.frame.rows, self.program)

    def _call(self, call: Call) -> Vector:
        function = _FUNCTIONS.get(call.name)
        if function is None:
            raise unsupported(call, f"{spoken(call.name)} of values that more than one party made")
        args = [self.value(a) for a in call.args]
        try:
            out = function(self, call, args)
        except (PlanError, InputError) as error:
            # Types fit, as binding saw to it: what arrays and plans can refuse here are ranges.
            raise SqlError(
                "SQL-008",
                f"{spoken(call.name)}{_place(call)} may leave the range of its type: {error.what}",
                expected=error.expected,
                next="declare narrower ranges for the columns, or cast to a type with fewer digits",
            ) from error
        if out.type.kind == "bool" and out.null is not None and call.name not in _CLEAN_BOOLS:
            out = masked(out)
        return out


def unsupported(call: Call, what: str, next: str = "") -> SqlError:
    """The error for what cannot be computed on secrets."""
    return SqlError(
        "SQL-006",
        f"{what} is not supported{_place(call)}",
        expected="functions of numbers, dates and flags, comparisons, CASE, IN and LIKE",
        next=next or "compute it on one table alone, for example in a subquery: its owner's engine has every function",
    )


def _place(call: Call) -> str:
    return "" if call.at is None else f" at line {call.at[0]}, column {call.at[1]}"


def _is_clean(expr: Expr) -> bool:
    """Whether words are zero where the value is NULL, as things are."""
    if not isinstance(expr, Call) or expr.type.kind == "bool":
        return True
    return expr.name in _ZERO_TO_ZERO and all(map(_is_clean, expr.args))


# --- logic ------------------------------------------------------------------------------------------------------------


def _and(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    """True where all are, false where any is, else NULL."""
    words = [a.words[0] for a in args]
    if all(a.null is None for a in args):
        return Vector(BOOLEAN, (_all(words),))
    n = len(words)
    # A value is false where NULL, so it is true or NULL where one of the two flags holds.
    possible = [w if a.null is None else logical_xor(w, a.null) for w, a in zip(words, args, strict=True)]
    both = all_of(reshape(stack([*words, *possible]), (2, n, rows.frame.rows)), axis=1)
    return Vector(BOOLEAN, (both[0],), logical_xor(both[0], both[1]))


def _or(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    """True where any is, false where all are, else NULL."""
    words = [a.words[0] for a in args]
    if all(a.null is None for a in args):
        return Vector(BOOLEAN, (any_of(stack(words), axis=0),))
    n = len(words)
    possible = [w if a.null is None else logical_xor(w, a.null) for w, a in zip(words, args, strict=True)]
    some = any_of(reshape(stack([*words, *possible]), (2, n, rows.frame.rows)), axis=1)
    return Vector(BOOLEAN, (some[0],), logical_xor(some[0], some[1]))


def _all(words: list[SecretArray]) -> SecretArray:
    return words[0] if len(words) == 1 else all_of(stack(words), axis=0)


def _not(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    (a,) = args
    word = a.words[0]
    return Vector(BOOLEAN, (logical_not(word if a.null is None else logical_xor(word, a.null)),), a.null)


def _is_null(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    null = args[0].null
    return Vector(BOOLEAN, (public(rows.program, 0, BOOL, rows.frame.rows) if null is None else null,))


# --- comparison -------------------------------------------------------------------------------------------------------


def _comparison(name: str) -> Callable[[_Rows, Call, list[Vector]], Vector]:
    def function(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
        a, b = args
        null = either(a.null, b.null)
        if name in ("eq", "ne"):
            out = equal_words(a, b)
            out = out if name == "eq" else logical_not(out)
        else:
            first, second = (a, b) if name in ("lt", "le") else (b, a)
            out = less_words(first, second, or_equal=name in ("le", "ge"))
        return Vector(BOOLEAN, (out,), null)

    return function


def _distinct(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    a, b = (v if v.null is None or _is_clean(e) else masked(v) for v, e in zip(args, call.args, strict=True))
    return Vector(BOOLEAN, (logical_not(same(a, b)),))


def _in(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    """Equal to any of some constants; NULL where it is to none and there is a NULL among them."""
    x, given = args[0], [e for e in call.args[1:] if not (isinstance(e, Constant) and e.raw is None)]
    without_null = len(given) == len(call.args) - 1
    raw = sorted({e.raw for e in given if isinstance(e, Constant) and isinstance(e.raw, int)})
    if not given:
        out = public(rows.program, 0, BOOL, rows.frame.rows)
    elif x.denominator is not None or x.type.kind == "bool" or not all(isinstance(e, Constant) for e in given):
        out = _any([equal_words(x, rows.value(e)) for e in given])
    elif x.type.values:
        listed = {e.raw for e in given if isinstance(e, Constant)}
        out = among(x, [v in listed for v in x.type.values])
    elif x.type.kind == "text":
        texts = [rows.value(e) for e in given]
        wide, size = max(map(deciding, texts)), max(v.type.size for v in (x, *texts))
        values = [[known(w) or 0 for w in widened(t, size).words] for t in texts]
        columns = [(word, raws(word, [v[k] for v in values])) for k, word in enumerate(widened(x, size).words[:wide])]
        # [words, texts, rows] in one comparison.
        left = stack([reshape(w, (1, rows.frame.rows)) for w, _ in columns])
        out = any_of(all_of(apply("eq", left, stack([c for _, c in columns])), axis=0), axis=0)
    elif len(raw) > 2 and raw[-1] - raw[0] == len(raw) - 1 and not x.words[0].dtype.is_fixed:
        word = x.words[0]
        out = logical_and(less_equal(_raw(word, raw[0]), word), less_equal(word, _raw(word, raw[-1])))
    else:
        word = x.words[0]
        out = any_of(apply("eq", reshape(word, (1, rows.frame.rows)), raws(word, raw)), axis=0)
    null = x.null
    if not without_null:
        null = either(null, logical_not(out))
    return Vector(BOOLEAN, (out,), null)


def _any(flags: list[SecretArray]) -> SecretArray:
    return flags[0] if len(flags) == 1 else any_of(stack(flags), axis=0)


def _raw(x: SecretArray, value: int) -> SecretArray:
    return public(x.program, value, x.dtype, x.shape[0])


def _like(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    pattern, escape, folded = (*call.options, None, False)[:3]
    parts = None if folded else patterns.segments(pattern, escape)
    if parts is None:
        raise unsupported(
            call,
            "ILIKE of text that more than one party made" if folded else "LIKE with `_` on text that is secret",
            "apply it to one table alone, for example in a subquery; on joint text LIKE takes `%` and plain text",
        )
    return Vector(BOOLEAN, (patterns.like(args[0], parts),), args[0].null)


def _has(before: bool, after: bool) -> Callable[[_Rows, Call, list[Vector]], Vector]:
    """Whether a text has a constant one in it, with anything before or after."""

    def function(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
        part = call.args[1]
        if not isinstance(part, Constant):
            raise unsupported(call, f"{call.name.upper()} with a text that is no constant")
        parts = [b""] * before + [str(part.raw or "").encode()] + [b""] * after
        return Vector(BOOLEAN, (patterns.like(args[0], parts),), either(args[0].null, args[1].null))

    return function


# --- choice -----------------------------------------------------------------------------------------------------------


def _case(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    out = args[-1]
    for k in range(len(args) - 3, -1, -2):
        out = select(args[k].words[0], args[k + 1], out)
    return out


def _coalesce(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    out = args[-1]
    for a in reversed(args[:-1]):
        if a.null is None or a.null is out.null:
            out = a
        else:
            null, chosen = a.null, select(a.null, out, replace(a, null=None))
            out = replace(chosen, null=None if out.null is None else logical_and(null, out.null))
    return out


def _extreme(greatest: bool) -> Callable[[_Rows, Call, list[Vector]], Vector]:
    def function(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
        out = args[0]
        for a in args[1:]:
            out = _better(*(unified(out, a) if a.type.kind == "text" else (out, a)), greatest)
        return out

    return function


def _better(a: Vector, b: Vector, greatest: bool) -> Vector:
    """The larger or smaller of two values, or the one that is not NULL."""
    plain = a.null is None and b.null is None and a.denominator is b.denominator is None
    if plain and len(a.words) == len(b.words) == 1 and a.type.kind != "bool":
        return replace(a, words=((maximum if greatest else minimum)(a.words[0], b.words[0]),))
    take_b = less_words(a, b) if greatest else less_words(b, a)
    if b.null is not None:
        take_b = logical_and(take_b, logical_not(b.null))
    if a.null is not None:
        # Where a is NULL b is taken, NULL or not.
        take_b = logical_not(logical_and(logical_not(take_b), logical_not(a.null)))
    out = select(take_b, replace(b, null=None), replace(a, null=None))
    return replace(out, null=logical_and(a.null, b.null) if a.null is not None and b.null is not None else None)


# --- arithmetic -------------------------------------------------------------------------------------------------------


def _sum(sign: int) -> Callable[[_Rows, Call, list[Vector]], Vector]:
    def function(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
        a, b = args
        null = either(a.null, b.null)
        combine = add if sign > 0 else subtract
        if call.type.kind != "double":
            x, y = (_scaled(v, call.type.scale) for v in args)
            return Vector(call.type, (combine(x, y),), null)
        p, q = exact(a), exact(b)
        if p is not None and q is not None:
            sides, over = crossed(p, q), over_both(p, q)
            if sides is not None and over is not None:
                return quotient(combine(*sides[:2]), over, sides[2], null)
        return Vector(DOUBLE, (combine(fixed(a).words[0], fixed(b).words[0]),), null)

    return function


def _mul(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    a, b = args
    null = either(a.null, b.null)
    if call.type.kind != "double":
        x, y = (astype(v.words[0], INT64) for v in args)
        out = Vector(SqlType("decimal", 38, a.type.scale + b.type.scale), (product(x, y),), null)
        return Vector(call.type, (_scaled(out, call.type.scale),), null)
    p, q = exact(a), exact(b)
    if p is not None and q is not None:
        assert p.denominator is not None and q.denominator is not None
        tops = magnitude(p.words[0]) * magnitude(q.words[0]), magnitude(p.denominator) * magnitude(q.denominator)
        if fits(*tops):
            over = product(p.denominator, q.denominator)
            return quotient(product(p.words[0], q.words[0]), over, p.type.scale + q.type.scale, null)
    # A number that is exact goes into fixed point undivided where it is whole.
    x, y = (_whole(v) for v in args)
    return Vector(DOUBLE, (multiply(x, y),), null)


def _whole(v: Vector) -> SecretArray:
    """A number as integers if it is whole, else as fixed point."""
    unit = known(v.denominator) if v.denominator is not None else 1
    whole = v.type.scale == 0 and unit == 1 and not v.words[0].dtype.is_fixed
    return v.words[0] if whole else fixed(v).words[0]


def _div(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    """An exact quotient of exact numbers, else fixed point; NULL where the divisor is zero."""
    a, b = args
    y = b.words[0]
    zero = is_equal(y, 0)
    null = either(either(a.null, b.null), None if known(y) not in (None, 0) else zero)
    p, q = exact(a), exact(b)
    if p is not None and q is not None:
        assert p.denominator is not None and q.denominator is not None
        up, down = 10 ** max(0, q.type.scale - p.type.scale), max(0, p.type.scale - q.type.scale)
        tops = (
            magnitude(p.words[0]) * magnitude(q.denominator) * up,
            max(magnitude(q.words[0]), 1) * magnitude(p.denominator),
        )
        if fits(*tops):
            n = product(product(p.words[0], q.denominator), _raw(p.words[0], up))
            n, size = _positive_divisor(n, q.words[0], zero)
            return quotient(n, product(size, p.denominator), down, null)
    x, d = fixed(a).words[0], fixed(b).words[0]
    d = where(zero, _raw(d, 2**FIXED.f), d) if known(d) is None else d
    if known(d) is not None and known(d) == 0:
        return rows.constant(None, DOUBLE)
    return Vector(DOUBLE, (divide(x, d),), null)


def _positive_divisor(n: SecretArray, d: SecretArray, zero: SecretArray) -> tuple[SecretArray, SecretArray]:
    """The same quotient with a divisor of at least 1: by 1 where it was zero."""
    value = known(d)
    if value is not None:
        return (n if value > 0 else negative(n)), _raw(d, abs(value) or 1)
    if d.node.type.interval.lo >= 1:
        return n, d
    if d.node.type.interval.lo >= 0:
        return n, maximum(d, 1)
    return where(less(d, 0), negative(n), n), maximum(absolute(d), 1)


def _idiv(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    """Of integers without its fraction; of doubles DuckDB's `//` is `/`."""
    if call.type.kind == "double":
        return _div(rows, call, args)
    q, null = _truncated(args)
    return Vector(call.type, (q,), null)


def _mod(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    """With the sign of the dividend; exact also for doubles."""
    if call.type.kind == "double":
        p, q = map(units, args)
        sides = crossed(p, q) if p is not None and q is not None else None
        over = over_both(p, q) if p is not None and q is not None else None
        if sides is None or over is None:
            raise unsupported(call, "a remainder of doubles of such ranges")
        x, y, scale = sides
    else:
        scale, over = call.type.scale, None
        x, y = (_scaled(v, scale) for v in args)
    whole, null = _truncated([replace(v, words=(w,)) for v, w in zip(args, (x, y), strict=True)])
    rest = subtract(x, product(whole, y))
    return Vector(call.type, (rest,), null) if over is None else quotient(rest, over, scale, null)


def _truncated(args: list[Vector]) -> tuple[SecretArray, SecretArray | None]:
    """The quotient of two integers without its fraction, and where it is NULL."""
    a, b = args
    x, y = (astype(v.words[0], INT64) for v in args)
    null = either(a.null, b.null)
    d = known(y)
    if d is not None:
        return (division.truncate_by(x, d), null) if d else (_raw(x, 0), public(x.program, 1, BOOL, x.shape[0]))
    zero = is_equal(y, 0)
    n, size = _positive_divisor(x, y, zero)
    return division.quotient(n, size), either(null, zero)


def _negated(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    return _retyped(replace(args[0], words=(negative(args[0].words[0]),)), call)


def _abs(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    return _retyped(replace(args[0], words=(absolute(args[0].words[0]),)), call)


def _retyped(v: Vector, call: Call) -> Vector:
    """With the type of the call, unless it is an exact quotient, which has its own scale."""
    return v if v.type.kind == "double" else replace(v, type=call.type)


def _sign(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    x = args[0].words[0]
    zero = _raw(x, 0)
    out = subtract(astype(greater(x, zero), INT64), astype(less(x, zero), INT64))
    return _exactly(call, out, args[0].null)


def _exactly(call: Call, whole: SecretArray, null: SecretArray | None) -> Vector:
    """Integers as values of the call's type."""
    if call.type.kind == "double":
        return quotient(whole, _raw(whole, 1), 0, null)
    out = multiply(whole, 10**call.type.scale) if call.type.scale else whole
    return Vector(call.type, (out,), null)


def _floor(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    v = args[0]
    if v.type.kind == "double" and v.denominator is None:
        return Vector(DOUBLE, (floor(v.words[0]),), v.null)
    return _exactly(call, _floored(v, v.words[0]), v.null)


def _ceil(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    v = args[0]
    if v.type.kind == "double" and v.denominator is None:
        return Vector(DOUBLE, (ceil(v.words[0]),), v.null)
    return _exactly(call, negative(_floored(v, negative(v.words[0]))), v.null)


def _trunc(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    v = args[0]
    x = v.words[0]
    if v.type.kind == "double" and v.denominator is None:
        return Vector(DOUBLE, (trunc(x),), v.null)
    d = 1 if v.denominator is None else known(v.denominator)
    if d is not None:
        return _exactly(call, division.truncate_by(x, d * 10**v.type.scale), v.null)
    assert v.denominator is not None
    return _exactly(call, division.quotient(x, multiply(v.denominator, 10**v.type.scale)), v.null)


def _floored(v: Vector, x: SecretArray) -> SecretArray:
    """The floor of x over what v is over."""
    d = 1 if v.denominator is None else known(v.denominator)
    if d is not None:
        return division.floor_by(x, d * 10**v.type.scale)
    assert v.denominator is not None
    over = multiply(v.denominator, 10**v.type.scale)
    if x.node.type.interval.lo >= 0:
        return division.quotient(x, over)
    # Below zero the quotient of what is by almost one divisor lower, without its fraction.
    return division.quotient(where(less(x, 0), subtract(x, subtract(over, 1)), x), over)


def _round(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    """To a number of decimal places, halves away from zero."""
    v, places = args[0], int(call.options[0]) if call.options else 0
    if v.type.kind == "double" and v.denominator is None:
        whole = _away(_scaled_up(v.words[0], places), 10 ** max(-places, 0))
        return quotient(whole, _raw(whole, 1), max(places, 0), v.null)
    if v.denominator is not None and known(v.denominator) != 1:
        up, down = 10 ** max(places - v.type.scale, 0), 10 ** max(v.type.scale - places, 0)
        over = product(v.denominator, _raw(v.denominator, down))
        n, d = multiply(v.words[0], 2 * up), multiply(over, 2)
        # With half a divisor more, away from zero, the quotient without its fraction is the nearest one.
        whole = division.quotient(where(less(n, 0), subtract(n, over), add(n, over)), d)
    else:
        whole = _rescaled(v.words[0], v.type.scale, places)
    if places < 0:
        whole = multiply(whole, 10**-places)
    if call.type.kind == "double":
        return quotient(whole, _raw(whole, 1), max(places, 0), v.null)
    return Vector(call.type, (_rescaled(whole, max(places, 0), call.type.scale),), v.null)


def _scaled_up(x: SecretArray, places: int) -> SecretArray:
    return multiply(x, 10**places) if places > 0 else x


def _away(x: SecretArray, unit: int = 1) -> SecretArray:
    """A fixed-point number to the nearest multiple of a unit, halves away from zero."""
    size = astype(add(absolute(x), _raw(x, unit << x.dtype.f - 1)), INT64)
    if unit > 1:
        size = multiply(division.floor_by(size, unit), unit)
    return where(less(x, 0), negative(size), size)


def _even(x: SecretArray) -> SecretArray:
    """A fixed-point number to the nearest integer, halves to the even one, as DuckDB casts doubles."""
    half = _raw(x, 2 ** (x.dtype.f - 1))
    up = astype(add(x, half), INT64)
    odd = subtract(up, multiply(division.floor_by(up, 2), 2))
    tie = apply("eq", subtract(astype(up, x.dtype), x), half)
    return subtract(up, where(tie, odd, _raw(odd, 0)))


def _rescaled(x: SecretArray, scale: int, wanted: int) -> SecretArray:
    """Raw decimals with another number of places, halves away from zero."""
    if wanted >= scale:
        return x if wanted == scale else multiply(x, 10 ** (wanted - scale))
    return division.round_by(x, 10 ** (scale - wanted))


def _scaled(v: Vector, scale: int) -> SecretArray:
    """The raw values of an exact number with `scale` decimal places."""
    return _rescaled(astype(v.words[0], INT64), v.type.scale, scale)


def _real(name: str) -> Callable[[_Rows, Call, list[Vector]], Vector]:
    """A function of fixed point; NULL where DuckDB raises an error, since an error would disclose something."""

    def function(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
        x, null = fixed(args[0]).words[0], args[0].null
        lo, hi = x.node.type.interval.lo, x.node.type.interval.hi
        if (name == "sqrt" and hi < 0) or (name == "ln" and hi <= 0):
            # Rows that are not meant are zeros, and perhaps there are no others.
            return rows.constant(None, DOUBLE)
        if name == "sqrt" and lo < 0:
            null = either(null, less(x, _raw(x, 0)))
        if name == "ln" and lo <= 0:
            null = either(null, less_equal(x, _raw(x, 0)))
        return Vector(DOUBLE, ({"sqrt": sqrt, "ln": log, "exp": exp}[name](x),), null)

    return function


# --- casts ------------------------------------------------------------------------------------------------------------


def _cast(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    v, to = args[0], call.type
    kind = v.type.kind
    if kind == "null":
        return rows.constant(None, to)
    if kind == to.kind == "text" or v.type == to:
        return v
    x = v.words[0]
    if to.kind == "bool" and kind in ("int", "double", "decimal"):
        return Vector(to, (logical_not(is_equal(x, 0)),), v.null)
    if to.kind == "double" and kind in ("int", "decimal", "bool", "double"):
        return exact(v) or v
    if to.kind in ("int", "decimal") and kind in ("int", "decimal", "bool"):
        return Vector(to, (_scaled(v, to.scale),), v.null)
    if to.kind in ("int", "decimal") and kind == "double":
        return Vector(to, (_from_double(v, to),), v.null)
    if (kind, to.kind) == ("date", "timestamp"):
        return Vector(to, (multiply(x, dates.DAY),), v.null)
    if (kind, to.kind) == ("timestamp", "date"):
        return Vector(to, (division.floor_by(x, dates.DAY),), v.null)
    raise unsupported(call, f"a cast from {v.type} to {to} of values that more than one party made")


def _from_double(v: Vector, to: SqlType) -> SecretArray:
    """To an integer halves go to the even one, to a decimal away from zero, as in DuckDB."""
    if v.denominator is None:
        x = _scaled_up(v.words[0], to.scale)
        return _even(x) if to.kind == "int" else _away(x)
    up, down = 10 ** max(to.scale - v.type.scale, 0), 10 ** max(v.type.scale - to.scale, 0)
    n, d = multiply(v.words[0], 2 * up), multiply(v.denominator, down)
    size = add(absolute(n), d)
    value = known(d) if known(v.denominator) is None else (known(v.denominator) or 1) * down
    twice = multiply(d, 2)
    whole = division.floor_by(size, 2 * value) if value is not None else division.quotient(size, twice)
    if to.kind == "int":
        # Halfway between two integers, and the upper one odd: the lower one.
        tie = apply("eq", product(whole, twice) if value is None else multiply(whole, 2 * value), size)
        odd = subtract(whole, multiply(division.floor_by(whole, 2), 2))
        whole = subtract(whole, where(tie, odd, _raw(odd, 0)))
    return where(less(v.words[0], 0), negative(whole), whole)


# --- dates ------------------------------------------------------------------------------------------------------------


def _days(v: Vector) -> SecretArray:
    return v.words[0] if v.type.kind == "date" else division.floor_by(v.words[0], dates.DAY)


def _date_part(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    v, name = args[0], str(call.options[0])
    if name == "epoch":
        if v.type.kind == "date":
            seconds = multiply(v.words[0], dates.DAY // 10**6)
            return _exactly(call, seconds, v.null)
        return quotient(v.words[0], _raw(v.words[0], 1), 6, v.null)
    if v.type.kind == "timestamp":
        out = dates.part_of_time(name, v.words[0])
    else:
        out = _raw(v.words[0], 0) if name in ("hour", "minute", "second", "millisecond", "microsecond") else None
    if out is None:
        out = dates.part(name, _days(v))
    if out is None:
        raise unsupported(call, f"EXTRACT({name.upper()}) of a secret date")
    return _exactly(call, out, v.null)


def _date_trunc(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    v, name = args[0], str(call.options[0])
    if name in dates.UNITS and name != "day" and v.type.kind == "timestamp":
        unit = dates.UNITS[name]
        return Vector(call.type, (multiply(division.floor_by(v.words[0], unit), unit),), v.null)
    days = _days(v) if name in dates.UNITS else dates.truncated(name, _days(v))
    if days is None:
        raise unsupported(call, f"DATE_TRUNC('{name}') of a secret date")
    return Vector(call.type, (_from_days(days, call.type),), v.null)


def _date_bin(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    return replace(args[0], words=(dates.binned(args[0].words[0], *map(int, call.options)),))


def _from_days(days: SecretArray, type: SqlType) -> SecretArray:
    return multiply(days, dates.DAY) if type.kind == "timestamp" else days


def _add_days(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    a, b = args
    unit = dates.DAY if a.type.kind == "timestamp" else 1
    days = b.words[0] if unit == 1 else multiply(b.words[0], unit)
    return Vector(call.type, (add(a.words[0], days),), either(a.null, b.null))


def _add_micros(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    a, b = args
    return Vector(call.type, (add(a.words[0], b.words[0]),), either(a.null, b.null))


def _add_months(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    v, count = args[0], int(call.options[0])
    days = _days(v)
    later = dates.add_months(days, count)
    if v.type.kind == "timestamp":
        out = add(v.words[0], multiply(subtract(later, days), dates.DAY))
    else:
        out = _from_days(later, call.type)
    return Vector(call.type, (out,), v.null)


def _date_diff(rows: _Rows, call: Call, args: list[Vector]) -> Vector:
    """How many borders of a unit lie between two times; of weeks, how many whole ones."""
    name, null = str(call.options[0]), either(args[0].null, args[1].null)
    if name == "week":
        a, b = map(_days, args)
        return _exactly(call, division.truncate_by(subtract(b, a), 7), null)
    if name in dates.UNITS and name != "day":
        units = dates.UNITS[name]
        a, b = (
            division.floor_by(v.words[0], units)
            if v.type.kind == "timestamp"
            else multiply(v.words[0], dates.DAY // units)
            for v in args
        )
    else:
        count = {
            "day": lambda d: d,
            "month": dates.months,
            "quarter": dates.quarters,
            "year": dates.year,
        }.get(name)
        if count is None:
            raise unsupported(call, f"DATE_DIFF('{name}') of secret dates")
        a, b = (count(_days(v)) for v in args)
    return _exactly(call, subtract(b, a), null)


_FUNCTIONS: Final[dict[str, Callable[[_Rows, Call, list[Vector]], Vector]]] = {
    "and": _and, "or": _or, "not": _not, "is_null": _is_null,
    **{name: _comparison(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "distinct": _distinct, "in": _in,
    "like": _like, "starts_with": _has(False, True), "ends_with": _has(True, False), "contains": _has(True, True),
    "case": _case, "coalesce": _coalesce, "least": _extreme(False), "greatest": _extreme(True),
    "add": _sum(1), "sub": _sum(-1), "mul": _mul, "div": _div, "idiv": _idiv, "mod": _mod,
    "neg": _negated, "abs": _abs, "sign": _sign, "floor": _floor, "ceil": _ceil, "trunc": _trunc, "round": _round,
    "sqrt": _real("sqrt"), "ln": _real("ln"), "exp": _real("exp"),
    "cast": _cast,
    "date_part": _date_part, "date_trunc": _date_trunc, "date_bin": _date_bin, "date_diff": _date_diff,
    "add_days": _add_days, "add_micros": _add_micros, "add_months": _add_months,
}  # fmt: skip
SUPPORTED: Final = frozenset(_FUNCTIONS)
"""The functions that can be computed on secrets."""
_CLEAN_BOOLS: Final = frozenset(["and", "or", "not", "is_null", "distinct"])
_ZERO_TO_ZERO: Final = frozenset(
    ["neg", "abs", "sign", "mul", "round", "floor", "ceil", "cast", "case", "coalesce", "least", "greatest"]
)
"""Functions that give zero where an argument that makes them NULL is zero, or choose one of their arguments."""

__all__ = [
    "SUPPORTED",
    "constant",
    "evaluate",
    "holds",
    "null_if_absent",
    "same",
    "select",
    "sort_words",
]
