# SPDX-License-Identifier: Apache-2.0
"""Domains and result bounds of the nonlinear fixed-point functions.

Bounds are computed in integers only: a float would make two parties with different math libraries disagree about
the types of the same plan. They are therefore loose by up to a factor of two, and they leave room for the
approximation error of `library/`, which guarantees results inside them. An argument outside the domain counts as
the nearest point of the domain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, isqrt
from typing import Final

from tacit.errors import PlanError
from tacit.plan.types import FIXED_MAX, Interval


@dataclass(frozen=True)
class FunctionBound:
    """`domain(f)` is in raw values; `image(x, f)` bounds the exact results for x inside the domain; `words` names the
    domain for people."""

    words: str
    domain: Callable[[int], Interval]
    image: Callable[[Interval, int], Interval]

    def result(self, name: str, x: Interval, f: int) -> Interval:
        """Raw bounds of the function on x, approximation error included.

        Raises `PlanError` PLAN-011 if x lies outside the domain altogether.
        """
        domain = self.domain(f)
        if x.hi < domain.lo or x.lo > domain.hi:
            raise outside(name, self.words)
        return _with_error(self.image(x.clip(domain), f))


def quotient(x: Interval, y: Interval, f: int, name: str = "div") -> Interval:
    """Raw bounds of x / y, approximation error included; a divisor may come as close to zero as 2^-f.

    Raises `PlanError` PLAN-011 if y is always zero.
    """
    if y == Interval(0, 0):
        raise outside(name, "a divisor other than zero")
    top = x.scale(2**f)
    ends = [Fraction(n, d) for n in (top.lo, top.hi) for d in _divisors(y)]
    return _with_error(Interval(floor(min(ends)), ceil(max(ends))))


def outside(name: str, words: str) -> PlanError:
    """The error for an argument that cannot be in a function's domain."""
    return PlanError(
        "PLAN-011",
        f"the argument of `{name}` is outside its domain for every value in its range",
        expected=words,
        next="check the ranges of the inputs",
    )


def _divisors(y: Interval) -> list[int]:
    # A quotient is monotonic in the divisor on each side of zero, so the ends of each side bound it.
    ends = []
    if y.hi > 0:
        ends += [max(y.lo, 1), y.hi]
    if y.lo < 0:
        ends += [min(y.hi, -1), y.lo]
    return ends


def _with_error(x: Interval) -> Interval:
    # 2^-6 relative and 16 units in the last place: far above any approximation that library/ ships.
    return Interval(x.lo - (abs(x.lo) >> 6) - 16, x.hi + (abs(x.hi) >> 6) + 16)


def _exp_domain(f: int) -> Interval:
    # Below -ln(2^f) the result is less than one unit in the last place. Above, raw results stay within 2^60.
    return Interval(-_LN2_UP * f * 2**f // _MILLION, min(20 * _MILLION, (59 - f) * _LN2_DOWN) * 2**f // _MILLION)


def _exp_image(x: Interval, f: int) -> Interval:
    # exp(x) = 2^(x log2 e): round the exponent outwards to an integer.
    def exponent(raw: int, up: bool) -> int:
        rate = _LOG2E_UP if up == (raw > 0) else _LOG2E_DOWN
        numerator, denominator = raw * rate, _MILLION << f
        return -(-numerator // denominator) if up else numerator // denominator

    low, high = exponent(x.lo, False) + f, exponent(x.hi, True) + f
    return Interval(2**low if low >= 0 else 0, 2 ** max(high, 0))


def _log_image(x: Interval, f: int) -> Interval:
    def log(power: int, up: bool) -> int:
        rate = _LN2_UP if up == (power > 0) else _LN2_DOWN
        scaled = (power * rate) << f
        return -(-scaled // _MILLION) if up else scaled // _MILLION

    return Interval(log(x.lo.bit_length() - 1 - f, False), log(x.hi.bit_length() - f, True))


def _reciprocal_image(x: Interval, f: int) -> Interval:
    return quotient(Interval(2**f, 2**f), x, f, "reciprocal")


def _unit(low: int) -> Callable[[Interval, int], Interval]:
    return lambda _, f: Interval(low * 2**f, 2**f)


def _anything(_: int) -> Interval:
    return Interval(-FIXED_MAX, FIXED_MAX)


_MILLION: Final = 1_000_000
_LN2_DOWN, _LN2_UP = 693_147, 693_148
_LOG2E_DOWN, _LOG2E_UP = 1_442_695, 1_442_696

FUNCTION_BOUNDS: Final[dict[str, FunctionBound]] = {
    "exp": FunctionBound("x in [-ln(2^f), min(20, (59 - f) ln 2)]", _exp_domain, _exp_image),
    "log": FunctionBound("x >= 2^-f", lambda _: Interval(1, FIXED_MAX), _log_image),
    "reciprocal": FunctionBound("x other than zero", _anything, _reciprocal_image),
    "rsqrt": FunctionBound(
        "x >= 2^-f",
        lambda _: Interval(1, FIXED_MAX),
        lambda x, f: Interval(isqrt(2 ** (3 * f) // x.hi), isqrt(2 ** (3 * f) // x.lo) + 1),
    ),
    "sigmoid": FunctionBound("any x", _anything, _unit(0)),
    "softmax": FunctionBound("rows of which no two elements are 2^61 raw apart", _anything, _unit(0)),
    "sqrt": FunctionBound(
        "x >= 0",
        lambda _: Interval(0, FIXED_MAX),
        lambda x, f: Interval(isqrt(x.lo << f), isqrt(x.hi << f) + 1),
    ),
    "tanh": FunctionBound("any x", _anything, _unit(-1)),
}
"""Domain and image of each function of one fixed-point argument, softmax of rows included."""
