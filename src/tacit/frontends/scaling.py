# SPDX-License-Identifier: Apache-2.0
"""Products with public real numbers, accurate to two units in the last place of the result.

A public factor c rounded to the secret's f fraction bits would cost up to |x| * 2^-(f+1): x * 0.001 would be wrong in
the fourth digit. Instead c is written in digits of t bits, c = A + B1 2^-t + B2 2^-2t + ..., with t as large as the
range of x allows, and x * c is summed from the last digit up, with one truncation by t bits a digit (Horner's rule).
Products with the integer digits are local. Mostly there is one digit, so one truncation.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InputError
from tacit.frontends.array import SecretArray
from tacit.frontends.graph import raw_constant
from tacit.frontends.operands import apply
from tacit.plan import FIXED, DType

Factor: TypeAlias = Fraction | NDArray[np.float64]
"""One exact number, or an array of them."""

Digit: TypeAlias = int | NDArray[np.int64]

ROOM_BITS: Final = 61
"""Raw values and products stay within 2^61, see `plan.types`."""
DIGITS_MAX: Final = 16


def times(x: SecretArray, factor: Factor, dtype: DType = FIXED) -> SecretArray:
    """x * factor as fixed point, for an integer or fixed x of bounded range. `dtype` is the result's for an integer x.

    Error: 2 units in the last place. 2 or 3 rounds for each truncation of a secret, none where the factor is an
    integer. Raises `InputError` INPUT-105 where the range of x leaves no room, and `PlanError` PLAN-009 where that of
    the result does.
    """
    if not x.dtype.is_fixed:
        # Read the integer x as the raw value of a fixed-point number: a product with 2^-f, without truncation.
        x, factor = apply("mul", x, _raw(x, 1, dtype)), _shift(factor, dtype.f)
    reach = max(x.node.type.interval.magnitude, 1)
    if reach * _top(factor) >= 2.0**ROOM_BITS:
        raise InputError(
            "INPUT-105",
            "a product with a public number would leave the range of fixed point",
            expected="results within 2^61 raw, that is 2^43 for fixed(18)",
            next="declare a smaller range= on the inputs, or rescale",
        )
    bits = _exact_bits(factor)
    if bits is not None and reach * _magnitude(_shift(factor, bits)) < 2**ROOM_BITS:
        return _truncate(x, _digit(_shift(factor, bits)), bits)
    small = -_log2(factor) - 1
    if _digits(reach) > 2 and small > 0 and 1 + _digits(reach >> small) < _digits(reach):
        # The low bits of x do not reach the result: drop them first, at the price of half a unit.
        x, factor = apply("scale", x, numerator=1, shift=small), _shift(factor, small)
        reach = max(x.node.type.interval.magnitude, 1)
    return _horner(x, factor, reach)


def scaled_matrix(values: NDArray[np.float64], reach: int, terms: int) -> tuple[NDArray[np.int64], int]:
    """A public matrix as integers and a shift, for products with secrets of raw magnitude `reach` summed over `terms`.

    The shift is as large as the range of the products allows, but not beyond what float64 and the result can use.
    """
    top = _top(values)
    exact = _exact_bits(values)
    shift = exact if exact is not None else max(reach, 1).bit_length() + max(terms, 1).bit_length()
    while shift > 0 and max(reach, 1) * max(terms, 1) * (top * 2.0**shift + 1) >= 2**ROOM_BITS:
        shift -= 1
    return np.asarray(np.rint(np.ldexp(values, shift))).astype(np.int64), shift


def _horner(x: SecretArray, factor: Factor, reach: int) -> SecretArray:
    width = _digit_bits(reach)
    count = _digits(reach)
    if count > DIGITS_MAX:
        raise InputError(
            "INPUT-105",
            "the range of an array is too wide for an accurate product with a public number",
            expected="values within 2^56 raw, that is 2^38 for fixed(18)",
            next="declare a smaller range= on the inputs, or narrow the array with `clip`",
        )
    whole, rest = _split(factor)
    digits = []
    for k in range(count):
        rest = _shift(rest, width)
        digit, rest = _split(rest)
        if k == count - 1:
            digit = digit + _rounded(rest)
        digits.append(digit)
    total = x
    for k, digit in enumerate(reversed(digits)):
        summed = apply("add", total, _truncate(x, digit, 0)) if k else None
        total = _truncate(x, digit, width) if summed is None else _truncate(summed, 1, width)
    return total if _is_zero(whole) else apply("add", _truncate(x, whole, 0), total)


def _digit_bits(reach: int) -> int:
    # Horner's sum is within reach * 2^t + reach, which must stay within the room.
    return max(ROOM_BITS - (reach - 1).bit_length() - 1, 1)


def _digits(reach: int) -> int:
    # An error of c below 1 / (2 * reach) costs less than half a unit of x * c.
    return max(-(-(reach - 1).bit_length() // _digit_bits(reach)), 1)


def _truncate(x: SecretArray, digit: Digit, shift: int) -> SecretArray:
    """x * digit / 2^shift; local if shift is 0."""
    if isinstance(digit, int):
        return x if digit == 1 and shift == 0 else apply("scale", x, numerator=digit, shift=shift)
    product = apply("mul", x, SecretArray(x.program, raw_constant(digit, _INT64)))
    return apply("scale", product, numerator=1, shift=shift) if shift else product


def _raw(x: SecretArray, value: int, dtype: DType) -> SecretArray:
    return SecretArray(x.program, raw_constant(np.asarray(value, np.int64), dtype))


def _shift(c: Factor, bits: int) -> Factor:
    if isinstance(c, Fraction):
        return c * (1 << bits) if bits >= 0 else c / (1 << -bits)
    return np.asarray(np.ldexp(c, bits))


def _split(c: Factor) -> tuple[Digit, Factor]:
    """The integer part, towards zero, and the rest."""
    if isinstance(c, Fraction):
        return int(c), c - int(c)
    whole = np.trunc(c)
    return whole.astype(np.int64), np.asarray(c - whole)


def _rounded(c: Factor) -> Any:
    return round(c) if isinstance(c, Fraction) else np.rint(c).astype(np.int64)


def _digit(c: Factor) -> Digit:
    return _split(c)[0]


def _magnitude(c: Factor) -> int:
    return abs(int(c)) if isinstance(c, Fraction) else int(np.max(np.abs(c), initial=0.0))


def _is_zero(c: Digit) -> bool:
    return c == 0 if isinstance(c, int) else not np.any(c)


def _top(c: Factor) -> float:
    return float(abs(c)) if isinstance(c, Fraction) else float(np.max(np.abs(c), initial=0.0))


def _log2(c: Factor) -> int:
    """The smallest k with |c| < 2^k for every element; 0 if all are zero."""
    return int(np.frexp(_top(c))[1])


def _exact_bits(c: Factor) -> int | None:
    """The fewest fraction bits that hold every element exactly, if at most 40."""
    if isinstance(c, Fraction):
        bits = c.denominator.bit_length() - 1
        return bits if c.denominator == 1 << bits and bits <= 40 else None
    if np.any(np.ldexp(c, 40) % 1.0):
        return None
    for bits in range(41):
        if not np.any(np.ldexp(c, bits) % 1.0):
            return bits
    return None


_INT64: Final = DType("int", 64)
