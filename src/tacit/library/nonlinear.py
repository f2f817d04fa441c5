# SPDX-License-Identifier: Apache-2.0
"""Division, roots, exponential, logarithm, sigmoid and tanh of fixed-point numbers, for every raw |x| <= 2^61.

A function normalises its argument (normalise.py), evaluates an iteration or a polynomial on the mantissa with 30
fraction bits, and moves the result back. So an error is a unit or two in the last place, or a small part of the result
where that is more: `accuracy.py` states it, benchmarks/numerics.py measures it. Outside its domain a function gives
the result at the nearest point of the domain: it saturates.

Arguments and results are raw, with f fraction bits, 8 <= f <= 24; another f raises InputError INPUT-601. `bounds` =
(lo, hi) is a proven range of the raw argument: it saves bits, bytes and rounds, of which docs/numerics.md has a table.
`exact=True` rounds the last truncations to nearest, for results that will be opened. Nothing is opened.
Sources: Goldschmidt 1964 (division); Catrina and Saxena 2010 (normalisation); Trefethen 2013 (interpolation).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from tacit.errors import InputError
from tacit.library import approximation, reduce
from tacit.library.normalise import (
    FRACTION,
    RAW_MAX,
    Leading,
    Power,
    binary,
    joined,
    leading,
    mantissa,
    moved,
    parity,
    power_table,
    powers,
    scaled,
    table_powers,
    windows,
)
from tacit.protocols.blackbox import DOT, MUL, BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith, Bits, U64Array

Bounds = tuple[int, int]

# --- division --------------------------------------------------------------------------------------------------


async def reciprocal(box: BlackBox, x: Arith, f: int, *, bounds: Bounds | None = None, exact: bool = False) -> Arith:
    """1/x. 1/0 counts as 1/2^-f, which is 2^f."""
    lo, hi = _checked(f, bounds)
    if hi < 0:
        return -await reciprocal(box, -x, f, bounds=(-hi, -lo), exact=exact)
    top = await leading(box, x, (lo, hi), positive=False)
    hot = top.with_none_at_one()
    # x = m * 2^p raw, so 1/x = (1/m) * 2^(2f - p) raw: the exponents run backwards.
    low = 2 * f - top.last

    async def inverse() -> Arith:
        w: Arith
        _, w, e2 = await _goldschmidt(box, x, top, hot)
        step, e4 = await gather(*(box.bilinear_truncate(MUL, a, e2, FRACTION) for a in (w, e2)))
        w = w + step
        return w + await box.bilinear_truncate(MUL, w, e4, FRACTION, exact and _readable(low, hot.width))

    by, w = await gather(powers(box, hot.planes(lambda p: p[::-1]), low), inverse())
    return await moved(box, w, by, exact)


async def divide(
    box: BlackBox,
    x: Arith,
    y: Arith,
    f: int,
    *,
    bounds: Bounds | None = None,
    dividend: Bounds | None = None,
    exact: bool = False,
) -> Arith:
    """x/y, broadcasting, with `bounds` of y and `dividend`, if known, of x. x/0 counts as x/2^-f, 0/0 as 0.

    Raw quotients from 2^60 in magnitude saturate at 2^61. Both numbers are normalised. The quotient of the mantissas is
    corrected by its exact residual; meanwhile a table turns the difference of the exponents into powers of two.
    """
    lo, hi = _checked(f, bounds)
    shape = np.broadcast_shapes(x.shape, y.shape)
    x, y = x.broadcast_to(shape), y.broadcast_to(shape)
    if hi < 0:
        mirrored = None if dividend is None else (-dividend[1], -dividend[0])
        return await divide(box, -x, -y, f, bounds=(-hi, -lo), dividend=mirrored, exact=exact)
    above, below = await gather(
        leading(box, x, _checked(f, dividend), positive=False), leading(box, y, (lo, hi), positive=False)
    )
    hot = below.with_none_at_one()
    low, count = f + above.first - below.last, above.hot.width + hot.width - 1

    async def numerator() -> list[Arith]:
        whole = await scaled(box, x, above.hot)
        return await gather(*(mantissa(box, whole, above.last, bits) for bits in (FRACTION, FRACTION + 1)))

    async def quotient() -> Arith:
        (n, n_fine), (m, w, e2) = await gather(numerator(), _goldschmidt(box, y, below, hot))
        w = w + await box.bilinear_truncate(MUL, w, e2, FRACTION)
        q = await box.bilinear_truncate(MUL, n, w, FRACTION)
        # w is right to 2^-16, so the residual, which is exact, is small, and w is good enough to divide it.
        rest = await box.truncate((n_fine << FRACTION) - await box.mul(m, q), FRACTION + 1)
        return q + await box.bilinear_truncate(MUL, rest, w, FRACTION, exact and _readable(low, count))

    (by, limit), q = await gather(_exponents(box, above, below, hot, low), quotient())
    result = await moved(box, q, by, exact)
    return result if limit is None else result + limit


async def _goldschmidt(box: BlackBox, y: Arith, top: Leading, hot: Bits) -> tuple[Arith, Arith, Arith]:
    """The mantissa m of y with 31 fraction bits; w = (1 - e^2) / m and e^2, |e| < 0.06, with 30.

    1/m = w0 (1 + e)(1 + e^2)(1 + e^4)... for w0 = C - 15/8 m and e = 1 - m w0. Signed m need only the sign of C.
    """
    whole, negative = await gather(scaled(box, y, hot, top.none), _optional_b2a(box, top.sign))
    # With 30 fraction bits, 2m is m with 31, and m/8 is m with 27.
    m, eighth = await gather(*(mantissa(box, whole, top.last, bits) for bits in (FRACTION + 1, FRACTION - 3)))
    w = eighth - m if negative is None else eighth - m - negative * (2 * _START)
    w = box.add_public(w, _START)
    e = box.add_public(-await box.bilinear_truncate(MUL, m, w, FRACTION + 1), _ONE)
    step, e2 = await gather(*(box.bilinear_truncate(MUL, a, e, FRACTION) for a in (w, e)))
    return m, w + step, e2


async def _exponents(
    box: BlackBox, above: Leading, below: Leading, hot: Bits, low: int
) -> tuple[list[Power], Arith | None]:
    """The powers 2^E of a quotient, E = low + (exponent of x) + (exponent of y, backwards), both from 0.

    Second, what to add where E is beyond 60: +-2^61; None if it cannot be.
    """
    backwards = hot.planes(lambda p: p[::-1])
    high = low + above.hot.width + hot.width - 2
    spans = windows(low, min(high, _HIGHEST))
    if high < -1:
        return [], None
    if hot.width == 1 or above.hot.width == 1:
        # One of the exponents is public. Zero, which has none, needs no power: its mantissa is zero.
        line = above.hot if hot.width == 1 else backwards
        word = line[max(low, -1) - low : _HIGHEST + 1 - low] if spans else line[:0]
        beyond = parity(line, list(range(max(_HIGHEST + 1 - low, 0), line.width))) if high > _HIGHEST else None
    else:
        index = await _sum(box, binary(above.hot), binary(backwards))
        table, size = power_table(spans, low, 2**index.width)
        # One more bit of each entry says that the exponent is too large.
        table[max(_HIGHEST + 1 - low, 0) : max(high + 1 - low, 0)] = 1 << size
        word = await box.lut(index, table, size + (high > _HIGHEST))
        word, beyond = word[:size], word[size] if high > _HIGHEST else None
    by, limit = await gather(table_powers(box, word, spans), _limit(box, beyond, above.sign, below.sign))
    return by, limit


async def _sum(box: BlackBox, x: Bits, y: Bits) -> Bits:
    """x + y by a ripple of carries, one AND and one round per bit: it runs beside a longer computation."""
    none = x[0] ^ x[0]
    width = max(x.width, y.width)
    x, y = (Bits.concat_bits([b, *[none] * (width - b.width)]) for b in (x, y))
    carry, out = none, []
    for i in range(width):
        out.append(x[i] ^ y[i] ^ carry)
        carry = x[i] ^ await box.and_(x[i] ^ y[i], x[i] ^ carry)
    return Bits.concat_bits([*out, carry])


async def _limit(box: BlackBox, beyond: Bits | None, sign_x: Bits | None, sign_y: Bits | None) -> Arith | None:
    """+-2^61 by the sign of the quotient where `beyond`, else 0."""
    if beyond is None:
        return None
    signs = [s for s in (sign_x, sign_y) if s is not None]
    if not signs:
        return await box.b2a(beyond) << 61
    negative = await box.and_(beyond, signs[0] if len(signs) == 1 else signs[0] ^ signs[1])
    # Modulo 8, 1 is 001 and -1 is 111; 61 places up they are 2^61 and -2^61.
    return await box.b2a(Bits.concat_bits([beyond, negative, negative])) << 61


# --- roots and logarithm ---------------------------------------------------------------------------------------


async def sqrt(box: BlackBox, x: Arith, f: int, *, bounds: Bounds | None = None, exact: bool = False) -> Arith:
    """The square root; 0 for x <= 0."""
    top = await leading(box, x, _checked(f, bounds), positive=True)
    # Without an exponent all powers are 0, and so is the result, whatever the mantissa.
    exponents = [p + f for p in range(top.first, top.last + 1)]
    return await _root(box, x, top.hot, None, top.last, exponents, approximation.sqrt_coefficients(FRACTION), exact)


async def rsqrt(box: BlackBox, x: Arith, f: int, *, bounds: Bounds | None = None, exact: bool = False) -> Arith:
    """1 / sqrt(x); x <= 0 counts as 2^-f, which gives 2^(f/2)."""
    top = await leading(box, x, _checked(f, bounds), positive=True)
    exponents = [3 * f - p for p in range(top.first, top.last + 1)]
    hot, coefficients = top.with_none_at_one(), approximation.rsqrt_coefficients(FRACTION)
    return await _root(box, x, hot, top.none, top.last, exponents, coefficients, exact)


async def _root(
    box: BlackBox,
    x: Arith,
    hot: Bits,
    none: Bits | None,
    last: int,
    exponents: list[int],
    coefficients: tuple[int, ...],
    exact: bool,
) -> Arith:
    """P(m) * 2^(e/2) for the mantissa m of x and the exponent e that goes with the hot plane."""
    low = min(e // 2 for e in exponents)
    pairs = joined(hot, [e // 2 - low for e in exponents])
    odd = parity(hot, [i for i, e in enumerate(exponents) if e % 2])

    async def value() -> Arith:
        whole, half = await gather(scaled(box, x, hot, none), box.b2a(odd))
        z = _centred(box, await mantissa(box, whole, last, FRACTION + 2))
        # An odd exponent leaves a factor sqrt 2; carried through the monomials it costs no round.
        t = box.add_public(half * (approximation.constant("sqrt2", FRACTION) - _ONE), _ONE)
        terms = await _scaled_monomials(box, t, z, len(coefficients) - 1)
        return await box.truncate(_combined(terms, coefficients), FRACTION, exact and _readable(low, pairs.width))

    by, v = await gather(powers(box, pairs, low), value())
    return await moved(box, v, by, exact)


async def log(box: BlackBox, x: Arith, f: int, *, bounds: Bounds | None = None, exact: bool = False) -> Arith:
    """The natural logarithm; x <= 0 counts as 2^-f, which gives -f ln 2."""
    top = await leading(box, x, _checked(f, bounds), positive=True)
    hot = top.with_none_at_one()
    # |log| < 37, so 56 fraction bits fit.
    bits = 26

    async def of_mantissa() -> Arith:
        z = _centred(box, await mantissa(box, await scaled(box, x, hot, top.none), top.last, FRACTION + 2))
        coefficients = approximation.log_coefficients(bits)
        terms = await _monomials(box, z, len(coefficients) - 1)
        return box.add_public(_combined(terms, coefficients[1:]), coefficients[0] << FRACTION)

    exponent, value = await gather(box.b2a(binary(hot)), of_mantissa())
    exponent = box.add_public(exponent, top.first - f)
    value = value + exponent * approximation.constant("ln2", FRACTION + bits)
    return await box.truncate(value, FRACTION + bits - f, exact)


# --- exponential -----------------------------------------------------------------------------------------------


def exp_domain(f: int) -> Bounds:
    """Raw arguments between which exp is computed: below it is 0, above it is the value at the upper end.

    The upper end is that of the plan: min(20, (59 - f) ln 2). Integers only, so that every party has the same.
    """
    return -((f + 1) * 693_148 << f) // 1_000_000, (min(20_000_000, (59 - f) * 693_147) << f) // 1_000_000


async def exp(box: BlackBox, x: Arith, f: int, *, bounds: Bounds | None = None, exact: bool = False) -> Arith:
    """exp(x) = 2^n 2^u with x log2(e) = n + u. n comes from cheap truncation, so u is in [-1, 1], not [0, 1]."""
    lo, hi = _checked(f, bounds)
    least, most = exp_domain(f)
    start, end = min(max(lo, least), most), max(min(hi, most), least)
    # As many bits of log2(e) as leave the product within 2^61.
    bits = min(60 - max(abs(start), abs(end)).bit_length(), 60 - f)
    rate = approximation.constant("log2e", bits)
    first, last = start * rate >> (f + bits), (end * rate >> (f + bits)) + 1
    spans = windows(first + f, last + f)
    product = x * rate
    t, n = await gather(box.truncate(product, f + bits - FRACTION), box.truncate(product, f + bits))

    async def fraction() -> Arith:
        coefficients = approximation.exp2_coefficients(FRACTION)
        terms = await _monomials(box, t - (n << FRACTION), len(coefficients) - 1)
        total = box.add_public(_combined(terms, coefficients[1:]), coefficients[0] << FRACTION)
        return await box.truncate(total, FRACTION, exact and spans[-1][1] >= FRACTION)

    async def power_bits() -> Bits:
        width = max((last - first).bit_length(), 1)
        table, size = power_table(spans, first + f, 2**width)
        return await box.lut(await box.a2b(box.add_public(n, -first), width), table, size)

    async def negative(y: Arith, possible: bool) -> Bits | None:
        return await box.msb(y) if possible else None

    async def power() -> tuple[list[Power], Arith | None]:
        word, below, above = await gather(
            power_bits(),
            negative(box.add_public(x, -least), lo < least),
            negative(box.add_public(-x, most), hi > most),
        )
        off = below if above is None else above if below is None else above ^ below
        if off is not None:
            # Outside, n and u are garbage: all powers become 0.
            word = await box.and_(word, Bits.concat_bits([box.invert(off)] * word.width))
        by, over = await gather(table_powers(box, word, spans), _optional_b2a(box, above))
        return by, None if over is None else over * approximation.exp_of(most, f)

    (by, limit), v = await gather(power(), fraction())
    result = await moved(box, v, by, exact)
    return result if limit is None else result + limit


async def _optional_b2a(box: BlackBox, b: Bits | None) -> Arith | None:
    return None if b is None else await box.b2a(b)


# --- sigmoid and tanh ------------------------------------------------------------------------------------------


async def sigmoid(
    box: BlackBox, x: Arith, f: int, *, bounds: Bounds | None = None, exact: bool = False, pending: int = 0
) -> Arith:
    """1 / (1 + exp(-x)); 0 and 1 outside [-16, 16].

    Where `near_cells` says so and unless exact, x may have `pending` fraction bits more than f, of a product that is
    not truncated yet: that then takes no rounds of its own. `bounds` are those of the argument with f.
    """
    _checked(f, bounds)
    centred = await _sigmoid_centred(box, x, f, bounds or _EVERYTHING, 0, exact, pending)
    return box.add_public(centred, 1 << (f - 1))


async def tanh(box: BlackBox, x: Arith, f: int, *, bounds: Bounds | None = None, exact: bool = False) -> Arith:
    """tanh(x) = 2 sigmoid(2x) - 1; -1 and 1 outside [-8, 8]."""
    lo, hi = _checked(f, bounds)
    return await _sigmoid_centred(box, x << 1, f, (2 * lo, 2 * hi), 1, exact)


async def _sigmoid_centred(
    box: BlackBox, y: Arith, f: int, bounds: Bounds, up: int, exact: bool, pending: int = 0
) -> Arith:
    """(sigmoid(y) - 1/2) * 2^up: a quadratic spline with cells of 1/16, by one table."""
    bits = sigmoid_bits(f)
    near = near_cells(box, y.size, f, bounds)

    async def coefficients() -> tuple[Arith, approximation.Spline]:
        if near is not None and not exact:
            # Cells of half the width will do where the one before is as good.
            spline = approximation.sigmoid_spline(near, _CELL + 1, 2, bits)
            return await box.lut_near(y, f - _CELL - 1 + pending, spline.table, spline.widths), spline
        spline = approximation.sigmoid_spline(_CELL + 5, _CELL, 1, bits)
        return await box.lut_numbers(await _sigmoid_cell(box, y, f, bounds), spline.table, spline.widths), spline

    async def powers() -> Arith:
        v = await box.truncate(y, pending) if pending else y
        return Arith.stack([box.constant(np.ones(y.shape, np.uint64)), v, await box.mul(v, v)])

    (fields, spline), right = await gather(coefficients(), powers())
    each = (3, *(1 for _ in y.shape))
    factors, lowest = (terms.reshape(each) for terms in _sigmoid_terms(f, spline.lowest))
    left = box.add_public(fields * factors, lowest)
    total = 2 * f + bits[2]
    return await box.bilinear_truncate(DOT, left, right, total - f - up, exact)


@lru_cache(maxsize=64)
def _sigmoid_terms(f: int, lowest: tuple[int, int, int]) -> tuple[U64Array, U64Array]:
    """What brings the fields of the table to a common scale, and what they are less by, there."""
    bits = sigmoid_bits(f)
    scales = (2 * f + bits[2] - bits[0], f + bits[2] - bits[1], 0)
    terms = [low << scale for low, scale in zip(lowest, scales, strict=True)]
    return np.array([1 << scale for scale in scales], np.uint64), np.array(terms, np.int64).view(np.uint64)


def sigmoid_bits(f: int) -> tuple[int, int, int]:
    """Fraction bits of the spline's coefficients: as many as fit a word."""
    return f + 6, f + 3 if f < 20 else f + 1, min(f, 60 - 2 * f)


def near_cells(box: BlackBox, n: int, f: int, bounds: Bounds) -> int | None:
    """The bits of the number of cells of 1/32 within `bounds`, if a look-up among them all takes less time than to find
    the cell by its bits.
    """
    drop = f - _CELL - 1
    above, below = max(bounds[1], 0) >> drop, -(min(bounds[0], -1) >> drop)
    bits = max(above, below, (16 << (_CELL + 1)) - 1).bit_length() + 1
    most = box.network.seconds(_CELL_ROUNDS, 0, box.parties)
    return bits if bits <= _NEAR_MOST and box.network.seconds(0, n << bits >> 3, box.parties) < most else None


async def _sigmoid_cell(box: BlackBox, y: Arith, f: int, bounds: Bounds) -> Bits:
    """y in cells of 1/16, as a signed number of 9 bits: the first and the last stand for what is beyond."""
    reach = 16 << f
    if bounds[0] >= -reach and bounds[1] < reach:
        return (await box.a2b(y, f + 5))[f - _CELL :]
    # One call for three signs: what a call costs matters where numbers are few.
    signs = Arith.stack([y, box.add_public(y, reach), box.add_public(-y, reach - 1)])
    bits, negative = await gather(box.a2b(y, f + 4), box.msb(signs))
    sign, off = negative.item(0), negative.item(1) ^ negative.item(2)
    cell = bits[f - _CELL :]
    last = box.invert(sign)
    outside = await box.and_(Bits.concat_bits([off] * cell.width), cell ^ last)
    return Bits.concat_bits([cell ^ outside, sign])


# --- softmax ---------------------------------------------------------------------------------------------------


async def softmax(box: BlackBox, x: Arith, f: int, *, bounds: Bounds | None = None, exact: bool = False) -> Arith:
    """exp(x) / sum(exp(x)) over the last axis, whose elements must be at most 2^61 raw apart.

    The largest element of a row is taken off it, so no exponential exceeds 1, and their sum is between 1 and the length
    of the row. It is inverted once a row.
    """
    lo, hi = _checked(f, bounds)
    length = x.shape[-1]
    top = await reduce.maximum(box, x, wraps=hi - lo >= 2**63)
    shifted = x - top.reshape((*top.shape, 1))
    powers = await exp(box, shifted, f, bounds=(max(lo - hi, -RAW_MAX), 0))
    total = powers.sum(axis=-1, keepdims=True)
    if length <= _ROW_SHORT and f <= _F_SHORT:
        inverse, bits = await _reciprocal_of_few(box, total, f, length), FRACTION
    else:
        near = (1 << f) + _SLACK
        inverse, bits = await reciprocal(box, total, f, bounds=(near - 2 * _SLACK, length * near)), f
    return await box.bilinear_truncate(MUL, powers, inverse, bits, exact)


async def _reciprocal_of_few(box: BlackBox, x: Arith, f: int, most: int) -> Arith:
    """1/x for x between 1 and the small number `most`: Goldschmidt's iteration, begun on a line, without comparisons.

    1/x = w (1 + e)(1 + e^2)(1 + e^4)... for any w near 1/x and e = 1 - x w. Gives 30 fraction bits.
    """
    slope, height, steps = approximation.reciprocal_line(most, f, FRACTION)
    w = box.add_public(x * -slope, height)
    # x / 2^p with 30 fraction bits, so that products stay small.
    p = most.bit_length()
    e = box.add_public(-await box.bilinear_truncate(MUL, x << (FRACTION - f - p), w, FRACTION - p), _ONE)
    for _ in range(steps - 1):
        step, e = await gather(*(box.bilinear_truncate(MUL, a, e, FRACTION) for a in (w, e)))
        w = w + step
    return w + await box.bilinear_truncate(MUL, w, e, FRACTION)


# --- polynomials -----------------------------------------------------------------------------------------------


async def _monomials(box: BlackBox, z: Arith, degree: int) -> Arith:
    """z^1 .. z^degree on a new first axis: ceil(log2(degree)) fused products in sequence."""
    known = Arith.stack([z])
    while (count := known.shape[0]) < degree:
        more = known[: min(count, degree - count)]
        known = Arith.concat([known, await box.bilinear_truncate(MUL, more, known[count - 1 :], FRACTION)])
    return known


async def _scaled_monomials(box: BlackBox, t: Arith, z: Arith, degree: int) -> Arith:
    """t z^0 .. t z^degree on a new first axis: floor(log2(degree)) + 1 fused products in sequence."""
    known, power = Arith.stack([t]), z
    while (count := known.shape[0]) <= degree:
        factors = [known[: min(count, degree + 1 - count)]]
        if 2 * count <= degree:
            factors.append(Arith.stack([power]))
        more = await box.bilinear_truncate(MUL, Arith.concat(factors), Arith.stack([power]), FRACTION)
        known = Arith.concat([known, more[: factors[0].shape[0]]])
        power = more[-1]
    return known


def _combined(terms: Arith, coefficients: tuple[int, ...]) -> Arith:
    """The sum of coefficient times term, with the fraction bits of both."""
    total = terms[0] * coefficients[0]
    for k in range(1, len(coefficients)):
        total = total + terms[k] * coefficients[k]
    return total


def _centred(box: BlackBox, m: Arith) -> Arith:
    """z = 4m - 3 in [-1, 1] with 30 fraction bits from m in [1/2, 1] with 32."""
    return box.add_public(m, -3 * _ONE)


def _checked(f: int, bounds: Bounds | None) -> Bounds:
    if not 8 <= f <= 24:
        raise InputError(
            "INPUT-601",
            f"nonlinear functions of fixed({f}) are not offered",
            expected="8 to 24 fraction bits",
            next="cast the argument to fixed(18)",
        )
    return _EVERYTHING if bounds is None else bounds


def _readable(low: int, count: int) -> bool:
    """Whether a result of `powers` can be a mantissa moved up, whose own low bits can then be read."""
    return low + count - 1 >= FRACTION


_ONE: Final = 1 << FRACTION
_EVERYTHING: Final = (-RAW_MAX, RAW_MAX)
_START: Final = round(2.8187 * _ONE)
"""C of w0 = C - 15/8 m: |1 - m w0| < 0.0595 on [1/2, 1]."""
_HIGHEST: Final = 2 * FRACTION
"""The largest exponent of a quotient that is computed: mantissas reach 2, so results reach 2^61."""
_CELL: Final = 4
_CELL_ROUNDS: Final = 7
"""What it takes at least to find a cell by its bits, in rounds."""
_NEAR_MOST: Final = 16
"""The most bits of a look-up without them."""
_ROW_SHORT, _F_SHORT = 16, 20
"""Rows of this length, with fraction bits that leave the slope of a line enough of them, need no normalisation."""
_SLACK: Final = 16
"""Units in the last place by which exp(0) may differ from 1."""
