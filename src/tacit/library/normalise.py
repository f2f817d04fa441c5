# SPDX-License-Identifier: Apache-2.0
"""Leading bits and powers of two: from a secret number to a mantissa in [1/2, 1] and back.

Source: the normalisation of Catrina and Saxena 2010 (FC 2010, section 3.4): bits, prefix OR, one-hot of the leading
one, and that word reversed as a ring element is the power of two to multiply by. Everything that an interval says in
advance is left out: bits above it, exponents below it, the sign, the case of zero.

A number x has exponent p where 2^(p-1) <= |x| <= 2^p. For negative x it is that of the one's complement -x - 1 = ~x,
whose bits cost nothing, so -2^k has exponent k and 2^k has k + 1: hence mantissas closed at both ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tacit.protocols.blackbox import MUL, BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith, Bits, U64Array

FRACTION: Final = 30
"""Fraction bits of mantissas and of what is computed from them: products of two stay within 2^62."""

RAW_MAX: Final = 2**61
"""The largest magnitude of an argument, as in the plan."""


@dataclass(frozen=True)
class Leading:
    """The exponents of an array: plane i of `hot` is 1 where the exponent is first + i, and last = first + width - 1.

    `none` is 1 where there is no exponent: at zero, and at negative numbers if they were to be left out; None where the
    interval excludes that. `sign` is 1 at negative numbers; None where there are none.
    """

    hot: Bits
    first: int
    last: int
    none: Bits | None
    sign: Bits | None

    def with_none_at_one(self) -> Bits:
        """`hot` with what has no exponent put where the number 1 is."""
        if self.none is None:
            return self.hot
        at = 1 - self.first
        return Bits.concat_bits([self.hot[:at], self.hot[at] ^ self.none, self.hot[at + 1 :]])


async def leading(box: BlackBox, x: Arith, bounds: tuple[int, int], *, positive: bool) -> Leading:
    """The exponents of x within `bounds`; with `positive`, negative x have none.

    One `a2b` of as many bits as the bounds need, then ceil(log2(number of exponents)) rounds of AND. Nothing if the
    bounds leave one exponent.
    """
    lo, hi = max(bounds[0], -RAW_MAX), min(bounds[1], RAW_MAX)
    signed, hi = lo < 0, max(hi, 0)
    largest = max(hi, 1) if positive else max(hi, -lo, 1)
    last = max((largest - 1).bit_length(), 1)
    first = min(lo.bit_length(), last) if lo > 0 else 0 if signed and not positive else 1
    if lo > 0 and first == last:
        return Leading(box.constant_bits(np.ones(x.shape, dtype=np.uint64), 1), first, last, None, None)

    # hi = 2^last is the one number whose leading bit is above the others; it takes the place of the bit below.
    above = hi.bit_length() == last + 1
    width = max(hi.bit_length(), (-lo - 1).bit_length() if signed else 0) + signed
    bits = await box.a2b(x, max(width, last + signed))
    sign = bits[width - 1] if signed else None
    digits = bits[:last]
    if above:
        digits = Bits.concat_bits([bits[: last - 1], bits[last - 1] ^ bits[last]])

    if sign is None:
        # The lowest possible exponent needs no look: it is what is left.
        seen = await _from_above(box, digits[first:] if lo > 0 else digits)
        if lo > 0:
            rest = box.invert(seen[0])
            return Leading(Bits.concat_bits([rest, _changes(seen)]), first, last, None, None)
        return Leading(_changes(seen), first, last, box.invert(seen[0]), None)
    if positive:
        # A sign bit on top makes every bit below it seen already.
        seen = await _from_above(box, Bits.concat_bits([digits, sign]))
        return Leading(_changes(seen)[:-1], first, last, box.invert(seen[0] ^ sign), sign)
    # 2|x| - 1 has the bits of ~x and a 1 below them, so that -1 has a leading bit and 0 has none.
    flipped = digits ^ sign
    if above:
        # Two planes were joined, so the sign cancelled in the top one; negative numbers do not reach that bit.
        flipped = Bits.concat_bits([digits[: last - 1] ^ sign, bits[last - 1] ^ bits[last]])
    seen = await _from_above(box, Bits.concat_bits([sign, flipped]))
    return Leading(_changes(seen), first, last, box.invert(seen[0]), sign)


async def _from_above(box: BlackBox, b: Bits) -> Bits:
    """Bit i of the result is the OR of bits i and above: Sklansky's network, ceil(log2(width)) rounds."""
    n = b.width
    span = 1
    while span < n:
        upper = [n - 1 - i for i in range(n) if i // span % 2]
        lower = [n - 1 - (i // span * span - 1) for i in range(n) if i // span % 2]
        right = _pick(b, lower)
        both = await box.and_(_pick(b, upper), right)
        b = b ^ _put(both ^ right, upper, n)
        span *= 2
    return b


def _changes(seen: Bits) -> Bits:
    """The leading one from the prefix OR: each bit differs from the one above only there."""
    return Bits.concat_bits([seen[:-1] ^ seen[1:], seen[-1]])


def _pick(b: Bits, rows: list[int]) -> Bits:
    return b.planes(lambda p: p[rows])


def _put(b: Bits, rows: list[int], width: int) -> Bits:
    def scatter(p: U64Array) -> U64Array:
        out = np.zeros((width, p.shape[1]), dtype=np.uint64)
        out[rows] = p
        return out

    return b.planes(scatter)


def joined(hot: Bits, groups: list[int]) -> Bits:
    """Plane g of the result is the XOR of the planes i of `hot` with groups[i] = g, for g up to the largest. Local."""
    return Bits.concat_bits(
        [parity(hot, [i for i, group in enumerate(groups) if group == g]) for g in range(max(groups) + 1)]
    )


def parity(hot: Bits, rows: list[int]) -> Bits:
    """The XOR of some planes, which is their OR where one plane at most is 1; zero for no rows."""
    return hot.planes(lambda p: np.bitwise_xor.reduce(p[np.asarray(rows, dtype=np.intp)], axis=0)[None])


def binary(hot: Bits) -> Bits:
    """The index of the hot plane in binary; zero where none is. Local."""
    n = hot.width
    bits = max((n - 1).bit_length(), 1)
    return Bits.concat_bits([parity(hot, [i for i in range(n) if i >> j & 1]) for j in range(bits)])


async def scaled(box: BlackBox, x: Arith, hot: Bits, none: Bits | None = None) -> Arith:
    """x * 2^(last - p): |x| moved up to [2^(last-1), 2^last], and 0 where no plane is hot. One `b2a`, one product.

    With `none`, x counts as 1 there: one `inject` in the rounds of the `b2a`.
    """

    async def factor() -> Arith | None:
        return await box.b2a(hot.planes(lambda p: p[::-1])) if hot.width > 1 else None

    async def filled() -> Arith:
        return x if none is None else x + await box.inject(none, box.add_public(-x, 1))

    power, x = await gather(factor(), filled())
    return x if power is None else await box.mul(x, power)


async def mantissa(box: BlackBox, scaled: Arith, last: int, bits: int) -> Arith:
    """scaled / 2^last with `bits` fraction bits. One truncation, or nothing where a shift up does."""
    return await box.truncate(scaled, last - bits) if last > bits else scaled << (bits - last)


@dataclass(frozen=True)
class Power:
    """A secret power of two: 2^(E - base) for exponents E of a window, and 0 elsewhere."""

    value: Arith
    base: int


def windows(low: int, high: int) -> list[tuple[int, int]]:
    """Ranges of exponents in each of which v * 2^(E - start), for |v| <= 2^31, stays within 2^61.

    Exponents E below -1 are dropped: v * 2^(E - FRACTION) is then less than half a unit.
    """
    low = max(low, -1)
    # From FRACTION on a product is not truncated, so that one window may not contain both kinds.
    cuts = [low, *([low + FRACTION + 1] if low + FRACTION < high else []), high + 1]
    return [(a, b - 1) for a, b in pairwise(cuts) if b > a]


def power_table(spans: list[tuple[int, int]], low: int, entries: int) -> tuple[NDArray[np.uint64], int]:
    """A look-up table by exponent - low: for each window, side by side, the one-hot form of the exponent in it.

    Second, the bits of an entry. Exponents in no window have the entry 0.
    """
    table, at = np.zeros(entries, dtype=np.uint64), 0
    for a, b in spans:
        for e in range(a, b + 1):
            table[e - low] = 1 << (at + e - a)
        at += b - a + 1
    return table, at


async def table_powers(box: BlackBox, word: Bits, spans: list[tuple[int, int]]) -> list[Power]:
    """The powers of two from an entry of `power_table`: one `b2a` for each window."""
    ends = list(accumulate(b - a + 1 for a, b in spans))
    cuts = [word[end - (b - a + 1) : end] for end, (a, b) in zip(ends, spans, strict=True)]
    values = await gather(*(box.b2a(cut) for cut in cuts))
    return [Power(value, a) for value, (a, _) in zip(values, spans, strict=True)]


async def powers(box: BlackBox, hot: Bits, low: int) -> list[Power]:
    """Plane i of `hot` says that the exponent is low + i: the powers of two, one `b2a` for each window."""
    spans = windows(low, low + hot.width - 1)
    if not spans:
        return []
    return await table_powers(box, hot[spans[0][0] - low : spans[-1][1] - low + 1], spans)


async def moved(box: BlackBox, v: Arith, by: list[Power], exact: bool) -> Arith:
    """v * 2^(E - FRACTION) for |v| <= 2^31: one fused product for each window, in the same rounds; 0 outside of all."""

    async def part(power: Power) -> Arith:
        shift = FRACTION - power.base
        if shift > 0:
            return await box.bilinear_truncate(MUL, v, power.value, shift, exact)
        return await box.mul(v, power.value) << -shift

    parts = await gather(*(part(power) for power in by))
    total = v * 0
    for other in parts:
        total = total + other
    return total
