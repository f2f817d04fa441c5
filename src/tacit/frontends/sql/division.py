# SPDX-License-Identifier: Apache-2.0
"""Exact division of integers: by a public divisor in one truncation, by a secret one digit by digit."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from tacit.errors import SqlError
from tacit.frontends.arithmetic import (
    absolute,
    add,
    floor_divide,
    greater_equal,
    less,
    multiply,
    negative,
    subtract,
)
from tacit.frontends.array import SecretArray
from tacit.frontends.graph import raw_constant
from tacit.frontends.loop import loop
from tacit.frontends.operands import apply, astype, public
from tacit.frontends.reductions import sum as sum_of
from tacit.frontends.shaping import broadcast_to, concat, stack
from tacit.plan import INT64, fixed
from tacit.plan.types import F_MAX, FIXED_MAX

DIGIT_MAX: Final = 4
"""Bits of a quotient that one step of long division finds at most: with b bits, 2^b - 1 comparisons a row."""
SMALL: Final = 1024
"""Up to so many rows, rounds are dearer than comparisons, and steps find `DIGIT_MAX` bits, else two."""
STEPS_MAX: Final = 8
"""Steps of long division that a plan writes out one by one."""
WORD_BITS: Final = 60
"""Bits of a quotient in one word."""


def floor_by(x: SecretArray, divisor: int) -> SecretArray:
    """floor(x / divisor) of integers for a public positive divisor: one product with a public number, one exact
    truncation; more only where the range of x is beyond some 30 bits.
    """
    if divisor == 1:
        return x
    bounds = x.node.type.interval
    below = bounds.lo // divisor
    shifted = subtract(x, below * divisor) if below else x
    reach = bounds.hi - below * divisor
    twos = min((divisor & -divisor).bit_length() - 1, F_MAX)
    for bits in range(1, F_MAX + 1):
        # With m = ceil(2^bits / divisor) and e = m * divisor - 2^bits, the error x * e / (divisor * 2^bits) of x * m /
        # 2^bits does not reach the next integer if x * e < 2^bits (Granlund and Montgomery 1994).
        m = -(-(1 << bits) // divisor)
        if reach * m < FIXED_MAX and reach * (m * divisor - (1 << bits)) < 1 << bits:
            raw = SecretArray(x.program, raw_constant(np.asarray(m, np.int64), fixed(bits)))
            quotient = astype(apply("mul", shifted, raw), INT64)
            break
    else:
        if twos and divisor != 1 << twos:
            quotient = floor_by(floor_by(shifted, 1 << twos), divisor >> twos)
        elif reach < 2**48 and divisor < 2 ** (F_MAX - 3):
            quotient = floor_divide(shifted, divisor)
        else:
            quotient = _digits(shifted, _constant(x, divisor), 0, None)[0]
    return add(quotient, below) if below else quotient


def round_by(x: SecretArray, divisor: int) -> SecretArray:
    """x / divisor to the nearest integer, halves away from zero, for a public even divisor."""
    assert divisor % 2 == 0
    half = add(x, divisor // 2)
    return floor_by(half if x.node.type.interval.lo >= 0 else subtract(half, less(x, 0)), divisor)


def truncate_by(x: SecretArray, divisor: int) -> SecretArray:
    """x / divisor without its fraction, for a public divisor other than zero."""
    size = abs(divisor)
    if x.node.type.interval.lo >= 0 or size == 1:
        quotient = floor_by(x, size)
    else:
        # Towards zero: below it, the floor of x + size - 1.
        quotient = floor_by(add(x, multiply(astype(less(x, 0), INT64), size - 1)), size)
    return quotient if divisor > 0 else negative(quotient)


def digits(n: SecretArray, d: SecretArray, bits: int, bound: int | None = None) -> list[SecretArray]:
    """n * 2^bits / d without its fraction, for d >= 1, in words of `WORD_BITS` bits, the most significant first; each
    word has the sign of n.

    `bound` is a public one on |n / d|, by default that of the ranges. Restoring division: each step finds some bits by
    comparing the remainder with the multiples of the divisor, whatever the values. Opens nothing; a step of b bits has
    about 13 rounds and 2^b - 1 comparisons a row. Raises `SqlError` SQL-008 where a remainder has no room.
    """
    below = less(n, 0) if n.node.type.interval.lo < 0 else None
    words = _digits(n if below is None else absolute(n), d, bits, bound)
    return words if below is None else [apply("where", below, negative(w), w) for w in words]


def quotient(n: SecretArray, d: SecretArray, bits: int = 0, bound: int | None = None) -> SecretArray:
    """As `digits`, for a result that fits one integer; beyond the bound it is anything."""
    total, *rest = digits(n, d, bits, bound)
    for k, word in enumerate(rest):
        if bound is not None:
            most = (bound << bits) >> WORD_BITS * (len(rest) - k)
            total = apply("clip", total, lo=-most, hi=most)
        total = add(multiply(total, 1 << WORD_BITS), word)
    return total


def _digits(n: SecretArray, d: SecretArray, bits: int, bound: int | None) -> list[SecretArray]:
    top, most = n.node.type.interval.hi, d.node.type.interval.hi
    largest = top // max(d.node.type.interval.lo, 1)
    whole = min(largest, largest if bound is None else bound).bit_length()
    for width in (DIGIT_MAX, 2, 1) if n.size <= SMALL else (2, 1):
        steps = max(1, -(-(whole + bits) // width))
        lead = steps * width - bits
        reach = max(top, most << lead)
        if reach << width < 2**63:
            break
    else:
        return _schoolbook(n, d, bits)
    nothing = broadcast_to(public(n.program, 0), (steps, *n.shape))
    return _restoring(n, nothing, multiply(d, 1 << lead), width, reach)


def _schoolbook(n: SecretArray, d: SecretArray, bits: int) -> list[SecretArray]:
    """As `_digits` where a multiple of the divisor has no room: the digits of n come down one by one."""
    top, most = n.node.type.interval.hi, d.node.type.interval.hi
    widths = [w for w in (DIGIT_MAX, 2, 1) if most << w < 2**62 and bits % w == 0 and (w <= 2 or n.size <= SMALL)]
    if not widths or top >= FIXED_MAX:
        raise SqlError(
            "SQL-008",
            f"an exact quotient of numbers up to {top} by numbers up to {most} has no room",
            expected="both below 2^61",
            next="aggregate fewer rows, or narrower columns",
        )
    width = widths[0]
    count = max(1, -(-top.bit_length() // width))
    heads = [n, *(floor_by(n, 1 << width * k) for k in range(1, count))]
    own = [subtract(a, multiply(b, 1 << width)) for a, b in pairwise(heads)] + heads[-1:]
    places = [apply("clip", x, lo=0, hi=(1 << width) - 1) for x in reversed(own)]
    rest = broadcast_to(public(n.program, 0), n.shape)
    return _restoring(rest, stack(places + [rest] * (bits // width)), d, width, most)


def _restoring(rest: SecretArray, coming: SecretArray, step: SecretArray, width: int, reach: int) -> list[SecretArray]:
    """The digits of a quotient by `step`, as words: digits of the dividend leave a queue at one end, and those of the
    quotient enter it at the other. Remainders are within `reach`.
    """
    multiples = apply("mul", apply("reshape", step, shape=(1, *step.shape)), _column(step, range(1, 1 << width)))

    def advance(rest: SecretArray, queue: SecretArray, steps: int) -> tuple[SecretArray, SecretArray]:
        found = []
        for k in range(steps):
            shifted = add(multiply(rest, 1 << width), queue[k])
            found.append(sum_of(greater_equal(shifted, multiples), axis=0))
            rest = subtract(shifted, multiply(found[-1], step))
        # Long division leaves nothing else; `clip` proves it to the plan, which would list an assumption otherwise.
        return apply("clip", rest, lo=0, hi=reach), concat([queue[steps:], stack(found)])

    total, at_once = coming.shape[0], _unchecked(step.node.type.interval.hi, width, reach)
    trips = -(-total // at_once) - 1
    rest, found = advance(rest, coming, total - trips * at_once)
    if trips:
        ranges = [(0, reach), (0, (1 << width) - 1)]
        rest, found = loop(trips, lambda rest, queue: advance(rest, queue, at_once), rest, found, ranges=ranges)
    per_word = WORD_BITS // width
    parts = [found[max(0, end - per_word) : end] for end in reversed(range(total, 0, -per_word))]
    return [_number(p, width) for p in parts]


def _unchecked(step: int, width: int, reach: int) -> int:
    """How many steps of long division leave a remainder that fits as far as bounds alone tell, at least one."""
    lo, hi = 0, reach
    for steps in range(STEPS_MAX):
        lo, hi = (lo << width) - ((1 << width) - 1) * step, ((hi + 1) << width) - 1
        if max(-lo, hi) >= 2**62:
            return max(steps, 1)
    return STEPS_MAX


def _constant(x: SecretArray, value: int) -> SecretArray:
    one = SecretArray(x.program, raw_constant(np.asarray(value, np.int64), INT64))
    return apply("broadcast_to", one, shape=x.shape)


def _column(x: SecretArray, values: range) -> SecretArray:
    return SecretArray(x.program, raw_constant(np.asarray(values, np.int64).reshape(-1, 1), INT64))


def _number(places: SecretArray, width: int) -> SecretArray:
    """The numbers whose digits are the rows, the most significant first, with exact bounds."""
    n = places.shape[0]
    if n == 1:
        return places[0]
    low = 1 << (n - 1).bit_length() - 1
    if low * 2 == n:
        while places.shape[0] > 1:
            places = add(multiply(places[::2], 1 << width), places[1::2])
            width *= 2
        return places[0]
    return add(multiply(_number(places[: n - low], width), 1 << width * low), _number(places[n - low :], width))
