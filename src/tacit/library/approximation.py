# SPDX-License-Identifier: Apache-2.0
"""Public tables of the nonlinear functions: Chebyshev interpolants and a quadratic spline, as integers.

Every party builds them for itself and all must get the same bits, so they are computed in `decimal`, whose
arithmetic, `exp`, `ln` and `sqrt` are correctly rounded by specification; floats of two C libraries may differ.
Source: Trefethen, Approximation Theory and Approximation Practice (2013), chapters 3 and 4: the interpolant in the
Chebyshev points is within a small factor of the best polynomial of its degree.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Function = Callable[[Decimal], Decimal]

DIGITS: Final = 50
"""Decimal digits of the computations; results are rounded to at most 19."""


class Spline(NamedTuple):
    """A table of coefficients: fields of words, lowest first, of `widths` bits, each the coefficient less `lowest`."""

    table: NDArray[np.uint64]
    widths: tuple[int, int, int]
    lowest: tuple[int, int, int]


def chebyshev(function: Function, degree: int, bits: int) -> tuple[int, ...]:
    """The interpolant of `function` in the Chebyshev points of [-1, 1]: monomial coefficients, c_0 first, times 2^bits.

    Each coefficient is rounded to nearest.
    """
    with localcontext() as context:
        context.prec = DIGITS
        n = degree + 1
        points = [_cos(_PI * (2 * k + 1) / (2 * n)) for k in range(n)]
        values = [function(x) for x in points]
        total = [Decimal(0)] * n
        # T_j at the points, and T_j as monomial coefficients, both by T_{j+1} = 2 x T_j - T_{j-1}.
        at, before = [Decimal(1)] * n, list(points)
        t, previous = [1] + [0] * degree, [0, 1] + [0] * degree
        for j in range(n):
            weight = sum((v * a for v, a in zip(values, at, strict=True)), Decimal(0)) * (1 if j == 0 else 2) / n
            total = [c + weight * m for c, m in zip(total, t, strict=True)]
            at, before = [2 * x * a - b for x, a, b in zip(points, at, before, strict=True)], at
            t, previous = [2 * a - b for a, b in zip([0, *t[:-1]], previous[:n], strict=True)], t
        return tuple(_rounded(c, bits) for c in total)


@cache
def exp2_coefficients(bits: int) -> tuple[int, ...]:
    """2^z on [-1, 1], degree 8: relative error 2^-30."""
    return chebyshev(lambda z: (z * _LN2).exp(), 8, bits)


@cache
def log_coefficients(bits: int) -> tuple[int, ...]:
    """ln((3 + z) / 4) on [-1, 1], degree 10: error 2^-30."""
    return chebyshev(lambda z: ((3 + z) / 4).ln(), 10, bits)


@cache
def sqrt_coefficients(bits: int) -> tuple[int, ...]:
    """sqrt((3 + z) / 4) on [-1, 1], degree 7: relative error 2^-24.9."""
    return chebyshev(lambda z: ((3 + z) / 4).sqrt(), 7, bits)


@cache
def rsqrt_coefficients(bits: int) -> tuple[int, ...]:
    """1 / sqrt((3 + z) / 4) on [-1, 1], degree 10: relative error 2^-29."""
    return chebyshev(lambda z: 1 / ((3 + z) / 4).sqrt(), 10, bits)


@cache
def reciprocal_line(most: int, f: int, bits: int) -> tuple[int, int, int]:
    """A line w = height - slope x near 1/x on [1, most], and how often to square e = 1 - x w until it is nothing.

    The slope times 2^(bits - f), the height times 2^bits. On the best line, by Chebyshev's T_2, |e| is at most
    1 / T_2(c) with c = (most + 1) / (most - 1). Nothing is less than a quarter of a unit with f fraction bits.
    """
    with localcontext() as context:
        context.prec = DIGITS
        if most == 1:
            return 0, 1 << bits, 1
        width = Decimal(most - 1)
        centre = (most + 1) / width
        peak = 2 * centre * centre - 1
        slope = _rounded(8 / (width * width * peak), bits - f)
        height = _rounded(8 * centre / (width * peak), bits)
        a, b = slope / Decimal(2 ** (bits - f)), height / Decimal(2**bits)
        # e is a parabola: its largest values are at the ends and in the middle.
        error = max(abs(1 - x * (b - a * x)) for x in (Decimal(1), b / (2 * a), Decimal(most)))
        steps = 1
        while error ** (2**steps) > Decimal(2) ** -(f + 2):
            steps += 1
        return slope, height, steps


@cache
def sigmoid_spline(cells: int, cell: int, reach: int, bits: tuple[int, int, int]) -> Spline:
    """sigmoid(y) - 1/2 as b0 + b1*y + b2*y^2 on 2^cells cells; cell j, a signed number, begins at j 2^-cell.

    Each is right up to `reach` times its width, 2^-cell: with 2, the cell before will do too. Where that ends at 16 or
    beyond, or begins at -16 or below, it is the constant 1/2 or -1/2. The coefficients are rounded to bits[0], bits[1]
    and bits[2] fraction bits, and each makes up in the middle of the cell for the rounding of the next. Interpolates in
    the Chebyshev points: for a width of 1/16 the error is 1.6e-7 and the rounding.
    """
    most = 16 << cell
    rows = np.zeros((2**cells, 3), np.int64)
    rows[:, 0] = 1 << (bits[0] - 1)
    rows[2 ** (cells - 1) :, 0] *= -1
    with localcontext() as context:
        context.prec = DIGITS
        half = Decimal(reach) / 2 ** (cell + 1)
        d = half * Decimal(3).sqrt() / 2
        # The function is odd, so every cell above the middle is one below it too.
        for j in range(-(reach // 2), most - reach):
            middle = Decimal(j) / 2**cell + half
            below, at, above = (_sigmoid(middle + step) - Decimal(1) / 2 for step in (-d, Decimal(0), d))
            curve = (above + below - 2 * at) / (2 * d * d)
            b2 = _rounded(curve, bits[2])
            left = curve - Decimal(b2) / 2 ** bits[2]
            b1 = _rounded((above - below) / (2 * d) - 2 * middle * (curve - left), bits[1])
            # What rounding takes from the square is, in the middle, returned by half.
            line = at + left * half * half / 2 - middle * middle * (curve - left)
            b0 = _rounded(line - middle * b1 / 2 ** bits[1], bits[0])
            rows[j], rows[-j - reach] = (b0, b1, b2), (-b0, b1, -b2)
    lowest = rows.min(axis=0)
    fields = (rows - lowest).astype(np.uint64)
    widths = tuple(int(most).bit_length() for most in fields.max(axis=0))
    table = fields[:, 0] | fields[:, 1] << np.uint64(widths[0]) | fields[:, 2] << np.uint64(widths[0] + widths[1])
    return Spline(table, (widths[0], widths[1], widths[2]), (int(lowest[0]), int(lowest[1]), int(lowest[2])))


@cache
def constant(name: str, bits: int) -> int:
    """`ln2`, `log2e` or `sqrt2` times 2^bits, rounded to nearest."""
    with localcontext() as context:
        context.prec = DIGITS
        value = {"ln2": _LN2, "log2e": 1 / _LN2, "sqrt2": Decimal(2).sqrt()}[name]
        return _rounded(value, bits)


@cache
def exp_of(raw: int, f: int) -> int:
    """exp(raw / 2^f) times 2^f, rounded to nearest."""
    with localcontext() as context:
        context.prec = DIGITS
        return _rounded((Decimal(raw) / Decimal(2) ** f).exp(), f)


def _rounded(x: Decimal, bits: int) -> int:
    return int((x * Decimal(2) ** bits).to_integral_value())


def _sigmoid(y: Decimal) -> Decimal:
    return 1 / (1 + (-y).exp())


def _cos(x: Decimal) -> Decimal:
    # The Taylor series: |x| <= pi needs 30 terms for 50 digits.
    term = total = Decimal(1)
    for k in range(1, 35):
        term *= -x * x / ((2 * k - 1) * 2 * k)
        total += term
    return total


_PI: Final = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
_LN2: Final = Decimal("0.69314718055994530941723212145817656807550013436025525412068001")
