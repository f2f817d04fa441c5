# SPDX-License-Identifier: Apache-2.0
"""Moments and quantiles of groups: what sums of products, or places in a sorted run, give.

Moments of integers and decimals come from n * sum(x * y) - sum(x) * sum(y), exactly, as long as that fits the ring;
doubles and wider ranges take fixed point. Values count from the middle of their declared range.
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
from tacit.frontends.operands import astype
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
_LEAST: Final = 2.0**-8
"""Of doubles, the least variance times n that a slope may have below it: a smaller one counts as this."""

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
            args, self.middles = [vectors.fixed(v) for v in args], [0] * len(args)
        xs = [_from(v, m) for v, m in zip(args, self.middles, strict=True)]
        self.scales = [v.type.scale for v in args]
        self.totals = [ask(x) for x in xs]
        products = {(i, j): multiply(xs[i], xs[j]) for i, j in _PRODUCTS[name]}
        self.products = {ij: ask(x) for ij, x in products.items()}
        summed = [*zip(self.totals, xs, strict=True), *((self.products[ij], x) for ij, x in products.items())]
        self.within = {k: x.node.type.interval for k, x in summed}

    def count(self, found: Sequence[SecretArray], less: int = 0) -> SecretArray:
        """The number of rows, less some, but at least one."""
        return maximum(subtract(found[self.n], less) if less else found[self.n], 1)

    def mean(self, found: Sequence[SecretArray], i: int) -> SecretArray:
        """As fixed point."""
        total, count = found[self.totals[i]], self.count(found)
        if not self.exact:
            return self._average(found, self.totals[i])
        if self.middles[i]:
            total = add(total, multiply(found[self.n], self.middles[i]))
        return vectors.fixed(vectors.quotient(total, count, self.scales[i], None)).words[0]

    def _average(self, found: Sequence[SecretArray], k: int) -> SecretArray:
        # Within the range of what it is the mean of, zero for NULL included.
        lo, hi = min(self.within[k].lo, 0), max(self.within[k].hi, 0)
        return divide(found[k], self.count(found)).clip(lo / vectors.UNIT, hi / vectors.UNIT)

    def slope(self, found: Sequence[SecretArray]) -> Vector:
        """The covariance over the variance of x."""
        xy, xx = self.spread(found, Y, X, "sum"), self.spread(found, X, X, "sum")
        if not self.exact:
            return Vector(DOUBLE, (divide(xy.words[0], maximum(xx.words[0], _LEAST)),))
        # Both are over the same n.
        up = self.scales[X] - self.scales[Y]
        numerator = multiply(xy.words[0], 10**up) if up > 0 else xy.words[0]
        return vectors.quotient(numerator, maximum(xx.words[0], 1), max(0, -up), None)

    def intercept(self, found: Sequence[SecretArray]) -> Vector:
        """The mean of y less the slope times the mean of x."""
        if not self.exact:
            rise = multiply(self.slope(found).words[0], self.mean(found, X))
            return Vector(DOUBLE, (subtract(self.mean(found, Y), rise),))
        xy, xx = (self.spread(found, i, X, "sum").words[0] for i in (Y, X))
        y, x = (add(found[self.totals[i]], multiply(found[self.n], self.middles[i])) for i in (Y, X))
        numerator = subtract(multiply(y, xx), multiply(xy, x))
        return vectors.quotient(numerator, maximum(multiply(self.count(found), xx), 1), self.scales[Y], None)

    def spread(self, found: Sequence[SecretArray], i: int, j: int, over: str = "pop") -> Vector:
        """The sum of products of distances from the means: over n, over n - 1 (`samp`), or as it is (`sum`)."""
        product, x, y = (found[k] for k in (self.products[i, j], self.totals[i], self.totals[j]))
        count = self.count(found)
        if self.exact:
            numerator = subtract(multiply(found[self.n], product), multiply(x, y))
            divisor = {"pop": lambda: multiply(count, count), "sum": lambda: count}.get(
                over, lambda: multiply(count, self.count(found, less=1))
            )()
            return vectors.quotient(numerator, divisor, self.scales[i] + self.scales[j], None)
        value = subtract(self._average(found, self.products[i, j]), multiply(self.mean(found, i), self.mean(found, j)))
        if over != "pop":
            value = multiply(value, found[self.n])
        return Vector(DOUBLE, (divide(value, self.count(found, less=1)) if over == "samp" else value,))


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
        return Vector(DOUBLE, (sqrt(vectors.fixed(m.spread(found, Y, Y, which)).words[0]),)), None
    if which in ("sxx", "sxy", "syy"):
        return m.spread(found, *next(iter(m.products)), "sum"), None
    if which in ("avgx", "avgy"):
        return Vector(DOUBLE, (m.mean(found, X if which == "avgx" else Y),)), None
    if which in ("slope", "intercept"):
        flat = less_equal(m.spread(found, X, X).words[0], 0)
        return m.slope(found) if which == "slope" else m.intercept(found), flat
    xx, xy, yy = fixed(X, X), fixed(Y, X), fixed(Y, Y)
    flat, level = less_equal(xx, 0), less_equal(yy, 0)
    corr = _ratio(xy, multiply(sqrt(xx), sqrt(yy)))
    if which == "r2":
        # A constant y is explained wholly.
        return Vector(DOUBLE, (where(level, 1, multiply(corr, corr)),)), flat
    return Vector(DOUBLE, (corr,)), logical_or(flat, level)


def _ratio(x: SecretArray, y: SecretArray) -> SecretArray:
    """x / y for fixed point within -1 and 1, y >= 0; anything where y is zero."""
    n, d = (astype(multiply(a, vectors.UNIT), INT64) for a in (x, y))
    raw = division.quotient(n, maximum(d, 1), FIXED.f, bound=2).clip(-vectors.UNIT, vectors.UNIT)
    return times(raw, Fraction(1, vectors.UNIT))


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
