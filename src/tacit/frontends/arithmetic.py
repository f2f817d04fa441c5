# SPDX-License-Identifier: Apache-2.0
"""Elementwise functions: arithmetic, comparison, logic, choice."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InputError
from tacit.frontends.array import SecretArray
from tacit.frontends.encoding import as_public, raw_bounds
from tacit.frontends.operands import (
    Operand,
    apply,
    arrays,
    astype,
    common,
    fixed_point,
    numbers,
    owner_of,
    public,
    values_of,
)
from tacit.frontends.scaling import scaled_matrix, times
from tacit.plan import BOOL, FIXED, INT64, fixed
from tacit.plan.types import F_MAX

POWER_MAX: Final = 64


def add(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 + x2. Local."""
    return apply("add", *common(x1, x2))


def subtract(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 - x2. Local."""
    return apply("sub", *common(x1, x2))


def multiply(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 * x2.

    With public integers local; with other public numbers a truncation, accurate to 2 units in the last place
    (`scaling.times`). A bool factor chooses between the other factor and zero.
    """
    for secret, other in ((x1, x2), (x2, x1)):
        values = values_of(other) if isinstance(secret, SecretArray) else None
        if values is not None:
            return _times_public(secret, values)
    x, y = arrays(x1, x2)
    if (x.dtype == BOOL) != (y.dtype == BOOL):
        condition, kept = (x, y) if x.dtype == BOOL else (y, x)
        return apply("where", condition, kept, public(kept.program, 0, kept.dtype))
    # int times fixed needs no truncation, so neither operand is cast.
    return apply("mul", numbers(x), numbers(y))


def divide(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 / x2 as fixed point. By public numbers this is a product, accurate to 2 units in the last place.

    Raises `InputError` INPUT-107 for a public divisor that is zero. A secret divisor's range should stay away from
    zero: the result's range follows from it.
    """
    values = values_of(x2) if isinstance(x1, SecretArray) else None
    if values is not None:
        _no_zero(values)
        x = numbers(x1)
        return times(x, Fraction(1) / _exact(values) if values.ndim == 0 else 1.0 / values.astype(np.float64))
    if not isinstance(x1, SecretArray) and np.ndim(x1) == 0 and x1 == 1:
        return reciprocal(x2)
    return apply("div", *(fixed_point(a) for a in common(x1, x2)))


def floor_divide(x1: Operand, x2: Operand, /) -> SecretArray:
    """The floor of x1 / x2, as an integer for integers; exact for integers and a public divisor.

    Raises `InputError` INPUT-106 for integers and a secret divisor, INPUT-107 for a public divisor that is zero.
    """
    values = values_of(x2) if isinstance(x1, SecretArray) else None
    if values is None and all(not t.dtype.is_fixed for t in arrays(x1, x2)):
        raise InputError(
            "INPUT-106",
            "integers cannot be floor-divided by a secret",
            expected="a public divisor",
            next="use `/`, which gives fixed point",
        )
    if values is None or values.dtype.kind == "f" or x1.dtype.is_fixed:
        return floor(divide(x1, x2))
    _no_zero(values)
    # A quotient that is no integer lies at least 1/d below the next one. With units of less than 1/(8 d), an offset of
    # three units (above the error of `times`) never reaches it, and the floor is exact.
    d = int(max(np.max(values, initial=1), -np.min(values, initial=-1)))
    if d.bit_length() + 3 > F_MAX or (values.ndim and x1.node.type.interval.magnitude >= 2**48):
        raise InputError(
            "INPUT-105",
            "this integer division cannot be exact",
            expected=f"a divisor below 2^{F_MAX - 3}, and dividends below 2^48 where there are several divisors",
            next="use `/`, which gives fixed point",
        )
    precise = fixed(d.bit_length() + 3)
    quotient = times(numbers(x1), Fraction(1) / _exact(values) if values.ndim == 0 else 1.0 / values, precise)
    offset = public(quotient.program, 3.0 * 2.0**-precise.f, precise)
    return apply("cast", apply("add", quotient, offset), dtype=INT64)


def remainder(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 - x2 * floor(x1 / x2): the sign follows the divisor. As `floor_divide`."""
    return subtract(x1, multiply(floor_divide(x1, x2), x2))


def power(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 to a small public integer power, by repeated squaring; 0.5 is the square root.

    Raises `InputError` INPUT-106 for any other exponent.
    """
    values = None if isinstance(x2, SecretArray) else as_public(x2)
    exponent = values.item() if values is not None and values.ndim == 0 else None
    if exponent == 0.5:
        return sqrt(x1)
    if exponent is None or exponent != int(exponent) or abs(exponent) > POWER_MAX or not isinstance(x1, SecretArray):
        raise InputError(
            "INPUT-106",
            "this power is not offered",
            expected=f"a public integer exponent from -{POWER_MAX} to {POWER_MAX}, or 0.5",
            next="use `exp(y * log(x))` for positive x",
        )
    x, n = numbers(x1), abs(int(exponent))
    if n == 0:
        return add(multiply(x, 0), 1)
    out: SecretArray | None = None
    while n:
        if n & 1:
            out = x if out is None else multiply(out, x)
        n >>= 1
        if n:
            x = square(x)
    assert out is not None
    return reciprocal(out) if exponent < 0 else out


def square(x: Operand, /) -> SecretArray:
    """x * x, with a range that knows it is not negative."""
    return apply("square", numbers(arrays(x)[0]))


def matmul(x1: Operand, x2: Operand, /) -> SecretArray:
    """The matrix product, with one truncation at most; none with integers; local with public integers.

    A public matrix with fractions is used as precisely as the range allows.
    """
    for secret, other, swapped in ((x1, x2, False), (x2, x1, True)):
        values = values_of(other) if isinstance(secret, SecretArray) else None
        if values is not None and values.dtype.kind == "f" and values.ndim and secret.ndim:
            return _matmul_public(numbers(secret), values, swapped)
    return apply("matmul", *(numbers(a) for a in arrays(x1, x2)))


def conv2d(
    x: Operand, w: Operand, /, *, stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0
) -> SecretArray:
    """Cross-correlation of images [N, C, H, W] with kernels [O, C, KH, KW], zero padded: [N, O, OH, OW].

    One product with one truncation at most for each element of the result, whatever the size of the kernels.
    Not in the standard.
    """
    a, b = (numbers(a) for a in arrays(x, w))
    return apply("conv2d", a, b, stride=_pair(stride), padding=_pair(padding))


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def negative(x: Operand, /) -> SecretArray:
    """-x. Local."""
    return apply("neg", numbers(arrays(x)[0]))


def positive(x: Operand, /) -> SecretArray:
    """x."""
    return numbers(arrays(x)[0])


def absolute(x: Operand, /) -> SecretArray:
    """|x|."""
    return apply("abs", numbers(arrays(x)[0]))


def sign(x: Operand, /) -> SecretArray:
    """-1, 0 or 1, of the type of x."""
    a = numbers(arrays(x)[0])
    return astype(subtract(greater(a, 0), less(a, 0)), a.dtype if a.dtype.is_fixed else INT64)


def floor(x: Operand, /) -> SecretArray:
    """The largest integer that is at most x, of the type of x."""
    a = numbers(arrays(x)[0])
    return astype(apply("cast", a, dtype=INT64), a.dtype) if a.dtype.is_fixed else a


def ceil(x: Operand, /) -> SecretArray:
    """The smallest integer that is at least x, of the type of x."""
    return negative(floor(negative(x)))


def trunc(x: Operand, /) -> SecretArray:
    """x without its fraction, of the type of x."""
    a = numbers(arrays(x)[0])
    return where(less(a, 0), ceil(a), floor(a)) if a.dtype.is_fixed else a


def reciprocal(x: Operand, /) -> SecretArray:
    """1 / x, fixed point."""
    return apply("reciprocal", fixed_point(arrays(x)[0]))


def sqrt(x: Operand, /) -> SecretArray:
    """The square root, fixed point; 0 below zero."""
    return apply("sqrt", fixed_point(arrays(x)[0]))


def rsqrt(x: Operand, /) -> SecretArray:
    """1 / sqrt(x), fixed point: cheaper than the two apart."""
    return apply("rsqrt", fixed_point(arrays(x)[0]))


def exp(x: Operand, /) -> SecretArray:
    """The exponential function, fixed point."""
    return apply("exp", fixed_point(arrays(x)[0]))


def log(x: Operand, /) -> SecretArray:
    """The natural logarithm, fixed point."""
    return apply("log", fixed_point(arrays(x)[0]))


def sigmoid(x: Operand, /) -> SecretArray:
    """1 / (1 + exp(-x)), fixed point."""
    return apply("sigmoid", fixed_point(arrays(x)[0]))


def tanh(x: Operand, /) -> SecretArray:
    """The hyperbolic tangent, fixed point."""
    return apply("tanh", fixed_point(arrays(x)[0]))


def less(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 < x2, a secret bool; right for any two values."""
    return apply("lt", *common(*_whole(x1, x2)))


def less_equal(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 <= x2, a secret bool; right for any two values."""
    return apply("le", *common(*_whole(x1, x2)))


def greater(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 > x2, a secret bool; right for any two values."""
    return apply("gt", *common(*_whole(x1, x2)))


def greater_equal(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 >= x2, a secret bool; right for any two values."""
    return apply("ge", *common(*_whole(x1, x2)))


def equal(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 == x2, a secret bool. Fixed point compares to the last bit."""
    return logical_not(not_equal(x1, x2)) if _all_bool(x1, x2) else apply("eq", *common(*_whole(x1, x2)))


def not_equal(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 != x2, a secret bool. Fixed point compares to the last bit."""
    return logical_xor(x1, x2) if _all_bool(x1, x2) else apply("ne", *common(*_whole(x1, x2)))


def logical_and(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 and x2, for bool."""
    return apply("logical_and", *arrays(x1, x2))


def logical_or(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 or x2, for bool."""
    return apply("logical_or", *arrays(x1, x2))


def logical_xor(x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 or x2 but not both, for bool."""
    return apply("logical_xor", *arrays(x1, x2))


def logical_not(x: Operand, /) -> SecretArray:
    """Not x, for bool. Local."""
    return apply("logical_not", arrays(x)[0])


def where(condition: Operand, x1: Operand, x2: Operand, /) -> SecretArray:
    """x1 where the condition holds, x2 elsewhere: how to choose by a secret. Local for a public condition."""
    owner = owner_of([condition, x1, x2])
    branches = [b if isinstance(b, SecretArray) else public(owner, b) for b in (x1, x2)]
    bools = all(b.dtype == BOOL for b in branches)
    if not bools:
        branches = common(*((x1, x2) if any(isinstance(b, SecretArray) for b in (x1, x2)) else branches))
    if isinstance(condition, SecretArray):
        return apply("where", astype(condition, BOOL), *branches)
    known = as_public(condition) != 0
    if bools:
        return apply("where", public(owner, known), *branches)
    chosen = known.astype(np.int64)
    return add(multiply(branches[0], chosen), multiply(branches[1], 1 - chosen))


def minimum(x1: Operand, x2: Operand, /) -> SecretArray:
    """The smaller of x1 and x2, elementwise."""
    return apply("minimum", *common(x1, x2))


def maximum(x1: Operand, x2: Operand, /) -> SecretArray:
    """The larger of x1 and x2, elementwise."""
    return apply("maximum", *common(x1, x2))


def clip(x: Operand, /, min: Any = None, max: Any = None) -> SecretArray:
    """Elements below `min` become `min`, those above `max` become `max`; the range of the result narrows so."""
    a = numbers(arrays(x)[0])
    scalars = all(b is None or (not isinstance(b, SecretArray) and np.ndim(b) == 0) for b in (min, max))
    if min is not None and max is not None and scalars and min <= max:
        floats = not a.dtype.is_fixed and any(b != int(b) for b in (min, max))
        a = fixed_point(a) if floats else a
        bounds = raw_bounds(min, max, a.dtype)
        return apply("clip", a, lo=bounds.lo, hi=bounds.hi)
    a = a if min is None else maximum(a, min)
    return a if max is None else minimum(a, max)


def assume(x: Operand, lo: float, hi: float, /) -> SecretArray:
    """x, taken to lie in [lo, hi] without a check: listed among the plan's assumptions."""
    a = numbers(arrays(x)[0])
    bounds = raw_bounds(lo, hi, a.dtype)
    return apply("assume", a, lo=bounds.lo, hi=bounds.hi)


def _times_public(x: SecretArray, values: NDArray[Any]) -> SecretArray:
    if values.dtype.kind in "biu":
        if values.dtype.kind == "b":
            values = values.astype(np.int64)
        return apply("mul", numbers(x), public(x.program, values))
    return times(numbers(x), _exact(values) if values.ndim == 0 else values)


def _exact(values: NDArray[Any]) -> Fraction:
    return Fraction(values.item())


def _matmul_public(x: SecretArray, values: NDArray[np.float64], swapped: bool) -> SecretArray:
    """x @ values, or values @ x."""
    if not x.dtype.is_fixed:
        # The integers themselves as raw values, see `scaling.times`.
        x, values = apply("mul", x, public(x.program, 2.0**-FIXED.f, FIXED)), np.ldexp(values, FIXED.f)
    terms = values.shape[-1] if swapped else x.shape[-1]
    whole, shift = scaled_matrix(values, x.node.type.interval.magnitude, terms)
    matrix = public(x.program, whole)
    product = apply("matmul", matrix, x) if swapped else apply("matmul", x, matrix)
    return apply("scale", product, numerator=1, shift=shift) if shift else product


def _no_zero(values: NDArray[Any]) -> None:
    if np.any(values == 0):
        raise InputError("INPUT-107", "division by a public zero", expected="a divisor other than zero")


def _all_bool(x1: Operand, x2: Operand) -> bool:
    return all(a.dtype == BOOL for a in arrays(x1, x2))


def _whole(x1: Operand, x2: Operand) -> tuple[Operand, Operand]:
    """Public floats without fraction as integers, where they meet secret integers: a comparison then needs no cast."""

    def whole(x: Operand, other: Operand) -> Operand:
        if isinstance(x, SecretArray) or not isinstance(other, SecretArray) or other.dtype.is_fixed:
            return x
        values = values_of(x)
        assert values is not None
        exact = values.dtype.kind == "f" and not np.any(values % 1.0) and bool(np.all(np.abs(values) < 2.0**62))
        return values.astype(np.int64) if exact else values

    return whole(x1, x2), whole(x2, x1)
