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
from typing import Final

import numpy as np
from numpy.typing import NDArray

Function = Callable[[Decimal], Decimal]

DIGITS: Final = 50
"""Decimal digits of the computations; results are rounded to at most 19."""

CELLS_LOG2: Final = 8
"""The spline has 2^8 cells, the widest look-up table of the black box."""


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
def sigmoid_spline(cell: int, bits: tuple[int, int, int]) -> tuple[NDArray[np.uint64], tuple[int, int, int]]:
    """The table of sigmoid(y) - 1/2 for y >= 0 in 256 cells of width 2^-cell, and the widths of its three fields.

    With d = y - (middle of the cell), the value is a0 + a1*d - a2*d^2. A word holds a0, a1, a2, lowest first, scaled by
    2^bits[0], 2^bits[1], 2^bits[2]. The last cell is the constant 1/2: it also stands for everything beyond.
    Interpolates in the Chebyshev points of the cell: for cell = 4 the error is 1.6e-7 and the rounding of the fields.
    """
    with localcontext() as context:
        context.prec = DIGITS
        h = Decimal(2) ** -cell
        d = h / 2 * Decimal(3).sqrt() / 2
        rows = []
        for k in range(2**CELLS_LOG2 - 1):
            middle = (k + Decimal(1) / 2) * h
            below, at, above = (_sigmoid(middle + step) - Decimal(1) / 2 for step in (-d, Decimal(0), d))
            curve = (2 * at - above - below) / (2 * d * d)
            a2 = _rounded(curve, bits[2])
            # What rounding takes from a2*d^2 is, in the middle, returned to a0.
            a0 = at - (curve - a2 / Decimal(2) ** bits[2]) * h * h / 8
            rows.append((_rounded(a0, bits[0]), _rounded((above - below) / (2 * d), bits[1]), a2))
        rows.append((2 ** (bits[0] - 1), 0, 0))
        w0, w1, w2 = (max(row[i] for row in rows).bit_length() for i in range(3))
        table = np.array([a0 | a1 << w0 | a2 << (w0 + w1) for a0, a1, a2 in rows], dtype=np.uint64)
        return table, (w0, w1, w2)


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
