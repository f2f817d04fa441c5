# SPDX-License-Identifier: Apache-2.0
"""Moments and quantiles of groups: what sums of products, or places in a sorted run, give.

Moments of integers and decimals come from n * sum(x * y) - sum(x) * sum(y), exactly, as long as that fits the ring.
Values count from the middle of their declared range. Doubles and wider ranges are split, x = h * 2^s + l: sums of
products of the parts fit two words, and moving h to a centre near the mean of its group, which has to be no exact one,
takes away what would cancel (Chan, Golub, LeVeque 1983). What is left has an error of some 2^-18, and 2^-26 of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final, Protocol

from tacit.frontends.arithmetic import (
    add,
    divide,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    multiply,
    sqrt,
    subtract,
    where,
)
from tacit.frontends.array import SecretArray
from tacit.frontends.graph import Record
from tacit.frontends.operands import apply, astype
from tacit.frontends.scaling import times
from tacit.frontends.sql import division, vectors
from tacit.frontends.sql import rows as on
from tacit.frontends.sql.frame import Vector
from tacit.frontends.sql.functions import DAY
from tacit.frontends.sql.rows import Flag
from tacit.frontends.sql.types import DOUBLE, SqlType
from tacit.plan import FIXED, INT64

Y, X = 0, 1
_PRODUCTS: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    **dict.fromkeys(("var_samp", "var_pop", "stddev_samp", "stddev_pop", "regr_syy"), ((Y, Y),)),
    **dict.fromkeys(("covar_samp", "covar_pop", "regr_sxy"), ((Y, X),)),
    **dict.fromkeys(("corr", "regr_r2"), ((Y, Y), (Y, X), (X, X))),
    **dict.fromkeys(("regr_slope", "regr_intercept"), ((Y, X), (X, X))),
    "regr_sxx": ((X, X),), "regr_avgx": (), "regr_avgy": (),
}  # fmt: skip
MOMENTS: Final = frozenset(_PRODUCTS)
"""Aggregates of one operand or two, y and then x, that follow from sums and sums of products."""
_EXACT: Final = 2**61
"""What exact moments may reach."""
_SQUARES: Final = 2**57
"""What sums of squares of high parts may reach."""
_SUMS: Final = 2**40
"""Up to so much, sums of products have room in fixed point."""
_LAST: Final = Fraction(1, vectors.UNIT)
_ROOM: Final = 56
"""Bits of operands of a long division."""
_LEAST: Final = 2.0**-8
"""Of doubles of small ranges the least variance times n below a slope: a smaller one counts as this."""
_STEEPEST: Final = 2**40
"""Slopes of doubles beyond this count as this."""

Ask = Callable[[SecretArray], int]
"""Asks for the sum of an array over each group; its place among the sums."""
Made = Callable[[Sequence[SecretArray]], Vector]
"""An aggregate from the sums that were asked for."""


# --- moments --------------------------------------------------------------------------------------------------------


class _Moments:
    """Sums of values and products over groups, as far as one statistic needs them."""

    def __init__(self, name: str, args: Sequence[Vector], rows: int, ask: Ask, n: int) -> None:
        self.n = n
        self.middles = [_middle(v) for v in args]
        reach = max(vectors.magnitude(v.words[0]) + abs(m) for v, m in zip(args, self.middles, strict=True))
        self.exact = rows * rows * reach * reach < _EXACT
        self.exact &= all(v.type.kind in ("int", "decimal") and v.denominator is None for v in args)
        self.small = self.exact and reach * reach < _EXACT >> FIXED.f
        if not self.exact:
            self.parts = [_Parts(vectors.fixed(v).words[0], rows, ask) for v in args]
            self.crossed = {(i, j): _Crossed(self.parts[i], self.parts[j], ask) for i, j in _PRODUCTS[name]}
            return
        xs = [_from(v, m) for v, m in zip(args, self.middles, strict=True)]
        self.scales = [v.type.scale for v in args]
        self.totals = [ask(x) for x in xs]
        products = {(i, j): multiply(xs[i], xs[j]) for i, j in _PRODUCTS[name]}
        self.products = {ij: ask(x) for ij, x in products.items()}

    def count(self, found: Sequence[SecretArray], less: int = 0) -> SecretArray:
        """The number of rows, less some, but at least one."""
        return maximum(subtract(found[self.n], less) if less else found[self.n], 1)

    def mean(self, found: Sequence[SecretArray], i: int) -> SecretArray:
        """As fixed point."""
        if not self.exact:
            return self.parts[i].mean(found, self.count(found))
        total, count = found[self.totals[i]], self.count(found)
        if self.middles[i]:
            total = add(total, multiply(found[self.n], self.middles[i]))
        return vectors.fixed(vectors.quotient(total, count, self.scales[i], None)).words[0]

    def _slope(self, found: Sequence[SecretArray]) -> tuple[SecretArray, SecretArray]:
        """Integers whose quotient is the slope."""
        v = self.slope(found) if self.exact else None
        if v is not None and v.denominator is not None:
            return v.words[0], multiply(v.denominator, 10**v.type.scale)
        return vectors.last_places(self._spreads(found)[0]), vectors.last_places(self._spreads(found)[1])

    def _spreads(self, found: Sequence[SecretArray]) -> tuple[SecretArray, SecretArray]:
        """The covariance and the variance of x, or the same multiple of both."""
        over = "sum" if self.exact or all(self.crossed[ij].sums for ij in ((Y, X), (X, X))) else "pop"
        return self.spread(found, Y, X, over).words[0], self.spread(found, X, X, over).words[0]

    def slope(self, found: Sequence[SecretArray]) -> Vector:
        """The covariance over the variance of x."""
        xy, xx = self._spreads(found)
        if not self.exact and vectors.magnitude(xy) < FIXED.range.hi * _LEAST:
            return Vector(DOUBLE, (divide(xy, maximum(xx, _LEAST)),))
        if not self.exact:
            return Vector(DOUBLE, (_over(xy, xx, _STEEPEST),))
        # Both are over the same n.
        up = self.scales[X] - self.scales[Y]
        numerator = multiply(xy, 10**up) if up > 0 else xy
        return vectors.quotient(numerator, maximum(xx, 1), max(0, -up), None)

    def intercept(self, found: Sequence[SecretArray]) -> Vector:
        """The mean of y less the slope times the mean of x."""
        if not self.exact or not self.small:
            mean = self.mean(found, X)
            steepest = min(2**22, _STEEPEST * vectors.UNIT // (vectors.magnitude(mean) + 1))
            # The slope with as many bits again, and the mean in two parts: products with integers have more room.
            n, d = self._slope(found)
            raw = _divided(n, d, 2 * FIXED.f, steepest)
            high = division.floor_by(raw, vectors.UNIT)
            low = apply("clip", subtract(raw, multiply(high, vectors.UNIT)), lo=0, hi=vectors.UNIT - 1)
            whole = astype(mean, INT64)
            rest = subtract(mean, astype(whole, FIXED)).clip(0, 1)
            more = times(multiply(vectors.from_last_places(low), mean), Fraction(1, vectors.UNIT))
            rise = add(
                add(multiply(vectors.from_last_places(high), whole), multiply(vectors.from_last_places(high), rest)),
                more,
            )
            return Vector(DOUBLE, (subtract(self.mean(found, Y), rise),))
        xy, xx = (self.spread(found, i, X, "sum").words[0] for i in (Y, X))
        y, x = (add(found[self.totals[i]], multiply(found[self.n], self.middles[i])) for i in (Y, X))
        numerator = subtract(multiply(y, xx), multiply(xy, x))
        return vectors.quotient(numerator, maximum(multiply(self.count(found), xx), 1), self.scales[Y], None)

    def spread(self, found: Sequence[SecretArray], i: int, j: int, over: str = "pop") -> Vector:
        """The sum of products of distances from the means: over n, over n - 1 (`samp`), or as it is (`sum`)."""
        count = self.count(found)
        if not self.exact:
            divisor = None if over == "sum" else self.count(found, less=1) if over == "samp" else count
            return Vector(DOUBLE, (self.crossed[i, j].spread(found, count, divisor),))
        product, x, y = (found[k] for k in (self.products[i, j], self.totals[i], self.totals[j]))
        numerator = subtract(multiply(found[self.n], product), multiply(x, y))
        divisor = {"pop": lambda: multiply(count, count), "sum": lambda: count}.get(
            over, lambda: multiply(count, self.count(found, less=1))
        )()
        return vectors.quotient(numerator, divisor, self.scales[i] + self.scales[j], None)


class _Parts:
    """Fixed point as h * 2^shift + l, with h an integer and |l| at most half of 2^shift, and their sums over groups."""

    def __init__(self, x: SecretArray, rows: int, ask: Ask) -> None:
        self.rows = rows
        bounds = x.node.type.interval
        self.span = (max(bounds.hi, 0) - min(bounds.lo, 0)) // vectors.UNIT + 1
        most = bounds.magnitude // vectors.UNIT + 1
        self.shift = next(s for s in range(1, FIXED.f) if rows * ((most >> s) + 1) ** 2 <= _SQUARES or s == FIXED.f - 1)
        half = 1 << self.shift - 1
        self.h = division.floor_by(astype(add(x, half), INT64), 1 << self.shift)
        # The bounds of a difference cannot tell what `clip` proves.
        self.l = subtract(x, astype(multiply(self.h, 1 << self.shift), FIXED)).clip(-half, half)
        self.high, self.low = ask(self.h), ask(self.l)
        self._centred: dict[Record, tuple[SecretArray, SecretArray]] = {}

    def centre(self, found: Sequence[SecretArray], count: SecretArray) -> tuple[SecretArray, SecretArray]:
        """(an integer c near the mean of h, the sum of distances of h from it)."""
        total = found[self.high]
        if total.node not in self._centred:
            inside = self.h.node.type.interval
            c = astype(divide(total, count).clip(inside.lo, inside.hi), INT64)
            rest = apply("clip", subtract(total, multiply(count, c)), lo=-2 * self.rows, hi=2 * self.rows)
            self._centred[total.node] = (c, rest)
        return self._centred[total.node]

    def away(self, found: Sequence[SecretArray], count: SecretArray, divisor: SecretArray | None) -> SecretArray:
        """The sum of distances from c * 2^shift, or that divided by something near the count."""
        rest = self.centre(found, count)[1]
        total = add(astype(multiply(rest, 1 << self.shift), FIXED), found[self.low])
        reach = 4 << self.shift
        return total if divisor is None else divide(total, divisor).clip(-reach, reach)

    def mean(self, found: Sequence[SecretArray], count: SecretArray) -> SecretArray:
        """The mean."""
        c = self.centre(found, count)[0]
        return add(astype(multiply(c, 1 << self.shift), FIXED), self.away(found, count, count))


class _Crossed:
    """Sums of products of the parts of two operands."""

    def __init__(self, a: _Parts, b: _Parts, ask: Ask) -> None:
        self.a, self.b = a, b
        self.highs, self.lows = ask(multiply(a.h, b.h)), ask(multiply(a.l, b.l))
        self.mixed = ask(multiply(a.h, b.l))
        self.other = self.mixed if a is b else ask(multiply(b.h, a.l))
        # No two numbers within a span vary more than at its ends (Popoviciu 1935), but for what the centres are off.
        self.cap = a.span * b.span // 4 + (a.span + b.span) * (4 << max(a.shift, b.shift))
        self.sums = a.rows * self.cap < _SUMS

    def spread(self, found: Sequence[SecretArray], count: SecretArray, divisor: SecretArray | None) -> SecretArray:
        """The sum of products of distances from the means, or that over a divisor, as fixed point."""
        a, b = self.a, self.b
        (c, rest), (d, _) = (p.centre(found, count) for p in (a, b))
        highs = subtract(subtract(found[self.highs], multiply(c, found[b.high])), multiply(d, rest))
        mixed = subtract(found[self.mixed], multiply(c, found[b.low]))
        other = subtract(found[self.other], multiply(d, found[a.low]))
        lows = add(add(multiply(mixed, 1 << a.shift), multiply(other, 1 << b.shift)), found[self.lows])
        weight = a.shift + b.shift
        # Over n - 1 it is at most twice what it is over n.
        cap = self.cap * (a.rows if divisor is None else 1 if divisor is count else 2)
        if divisor is None:
            within = (cap >> weight) + 1
            high = astype(multiply(apply("clip", highs, lo=-within, hi=within), 1 << weight), FIXED)
        else:
            raw = division.quotient(highs, divisor, FIXED.f + weight, bound=(cap >> weight) + 1)
            high = vectors.from_last_places(apply("clip", raw, lo=-cap * vectors.UNIT, hi=cap * vectors.UNIT))
            lows = divide(lows, divisor)
        near = multiply(a.away(found, count, count), b.away(found, count, divisor))
        value = subtract(add(high, lows), near)
        return value.clip(0 if a is b else -cap, cap)


def moment(name: str, args: tuple[Vector, ...], rows: int, ask: Ask, n: int) -> Made:
    """A statistic of the rows where no operand is NULL, of which place n of the sums is the number. NULL of too few
    rows, and where its divisor is zero.
    """
    if len(args) == 2:
        flags = [on.not_null([v]) for v in args]
        args = tuple(v if f is None else vectors.null_if_absent(v, f) for v, f in zip(args, flags[::-1], strict=True))
    moments = _Moments(name, args, rows, ask, n)

    def made(found: Sequence[SecretArray]) -> Vector:
        null = less(found[n], 2 if name.endswith("samp") else 1)
        value, undefined = _statistic(name, moments, found)
        missing = null if undefined is None else logical_or(null, undefined)
        return vectors.masked(replace(value, null=missing))

    return made


def _statistic(name: str, m: _Moments, found: Sequence[SecretArray]) -> tuple[Vector, SecretArray | None]:
    """The value of a statistic, and where its divisor is zero."""

    def fixed(i: int, j: int) -> SecretArray:
        v = m.spread(found, i, j)
        # Where all of them have the same scale it does not matter, and small numbers are less precise.
        return vectors.fixed(replace(v, type=DOUBLE) if m.small else v).words[0]

    family, _, which = name.partition("_")
    if family in ("var", "covar"):
        return m.spread(found, Y, X if family == "covar" else Y, which), None
    if family == "stddev":
        return Vector(DOUBLE, (_root(vectors.fixed(m.spread(found, Y, Y, which)).words[0]),)), None
    if which in ("sxx", "sxy", "syy"):
        return m.spread(found, *_PRODUCTS[name][0], "sum"), None
    if which in ("avgx", "avgy"):
        return Vector(DOUBLE, (m.mean(found, X if which == "avgx" else Y),)), None
    if which in ("slope", "intercept"):
        flat = less_equal(m.spread(found, X, X).words[0], 0)
        return m.slope(found) if which == "slope" else m.intercept(found), flat
    xx, xy, yy = fixed(X, X), fixed(Y, X), fixed(Y, Y)
    flat, level = less_equal(xx, 0), less_equal(yy, 0)
    a, b = _root(xx), _root(yy)
    if vectors.magnitude(a) * vectors.magnitude(b) < 1 << _ROOM + FIXED.f:
        corr = _over(xy, multiply(a, b), 1)
    else:
        corr = _over(_over(xy, a, vectors.magnitude(b) // vectors.UNIT + 1), b, 1)
    if which == "r2":
        # A constant y is explained wholly.
        return Vector(DOUBLE, (where(level, 1, multiply(corr, corr)),)), flat
    return Vector(DOUBLE, (corr,)), logical_or(flat, level)


def _over(x: SecretArray, y: SecretArray, bound: int) -> SecretArray:
    """x / y for fixed point, y >= 0, cut off at a bound; anything where y is zero."""
    return vectors.from_last_places(_divided(vectors.last_places(x), vectors.last_places(y), FIXED.f, bound))


def _divided(n: SecretArray, d: SecretArray, bits: int, bound: int) -> SecretArray:
    """n / d in units of 2^-bits, cut off at a bound; anything where d is zero."""
    # Long division has no more room; what is lost is about what such large operands are off.
    spare = max(0, max(map(vectors.magnitude, (n, d))).bit_length() - _ROOM)
    n, d = (division.floor_by(a, 1 << spare) for a in (n, d))
    raw = division.quotient(n, maximum(d, 1), bits, bound=2 * bound)
    return apply("clip", raw, lo=-bound << bits, hi=bound << bits)


def _root(x: SecretArray) -> SecretArray:
    """The square root, of large numbers without their last places."""
    spare = max(0, -(-(vectors.magnitude(x).bit_length() - _ROOM) // 2))
    if spare:
        x = vectors.from_last_places(division.floor_by(vectors.last_places(x), 4**spare))
    return multiply(sqrt(x), 1 << spare) if spare else sqrt(x)


def _middle(v: Vector) -> int:
    interval = v.words[0].node.type.interval
    return 0 if v.type.kind == "double" else (interval.lo + interval.hi) // 2


def _from(v: Vector, middle: int) -> SecretArray:
    """Distances from a public value; zero stays where a value is NULL."""
    x = v.words[0]
    if not middle:
        return x
    return subtract(x, middle if v.null is None else multiply(on.bit(logical_not(v.null)), middle))


# --- quantiles ------------------------------------------------------------------------------------------------------


class Places(Protocol):
    """Runs of rows in the order of a value, NULL last."""

    starts: SecretArray

    def places(self, here: Flag) -> tuple[SecretArray, SecretArray]:
        """(number of each row in its run, from 0; how many rows of the run are `here`)."""

    def at(self, flag: SecretArray, v: Vector) -> Vector:
        """The value on the one row of each run where a flag holds."""


def quantile(name: str, kind: SqlType, v: Vector, fraction: Fraction, runs: Places) -> Vector:
    """The value at a fraction of each run: of the row by which so many have been seen (`quantile_disc`), or between
    the two rows around that place, as DuckDB does: decimals are cut off, times rounded.
    """
    a, b = fraction.as_integer_ratio()
    here = on.not_null([v])
    number, count = runs.places(here)

    def row(flag: SecretArray) -> SecretArray:
        # Of NULLs alone it is the first one.
        if v.null is None:
            return flag
        return logical_xor(logical_and(flag, logical_not(v.null)), logical_and(runs.starts, v.null))

    if name == "quantile_disc" or v.type.kind in ("text", "bool"):
        # Row i of n, from 0: i < a n / b <= i + 1, and the first row if that is none.
        rest = subtract(multiply(count, a), multiply(number, b))
        return runs.at(row(logical_and(greater(rest, 0), less_equal(rest, b))) if a else runs.starts, v)
    # The place is a (n - 1) / b, which is `rest` b-ths beyond row i.
    v = vectors.fixed(v) if v.denominator is not None else v
    rest = subtract(multiply(subtract(count, 1), a), multiply(number, b))
    at = row(logical_and(greater_equal(rest, 0), less(rest, b)))
    below = runs.at(at, replace(v, words=(*v.words, rest)))
    low, weight = below.words
    if b == 1:
        return _between(kind, v, low, 1, below.null)
    high = runs.at(row(logical_and(greater(rest, -b), less_equal(rest, 0))), v).words[0]
    rise = multiply(subtract(high, low), weight.clip(0, b - 1))
    if v.type.kind == "double":
        return _between(kind, v, add(low, times(rise, Fraction(1, b))), 1, below.null)
    return _between(kind, v, add(multiply(low, b), rise), b, below.null)


def _between(kind: SqlType, v: Vector, x: SecretArray, b: int, null: Flag) -> Vector:
    """x / b as a value of a type, where x is of the type of v."""
    if kind.kind == "double" and v.type.kind != "double":
        out = vectors.quotient(x, vectors.public(x.program, b, INT64, len(x)), v.type.scale, null)
    elif kind.kind == "timestamp":
        x = multiply(x, DAY) if v.type.kind == "date" else x
        out = Vector(kind, (x if b == 1 else division.round_by(multiply(x, 2), 2 * b),), null)
    else:
        out = Vector(kind, (x if b == 1 else division.truncate_by(x, b),), null)
    return out if null is None else vectors.masked(out)
