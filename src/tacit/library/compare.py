# SPDX-License-Identifier: Apache-2.0
"""Comparison and choice, right for every pair of signed 64-bit values.

Operands have one shape: broadcasting is the caller's affair. `wraps` says that the difference of the operands may
leave [-2^63, 2^63), which the intervals of a plan decide. Nothing is opened.
"""

from __future__ import annotations

import numpy as np

from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith, Bits


async def less(box: BlackBox, x: Arith, y: Arith, *, wraps: bool) -> Bits:
    """1 where x < y. One sign bit; with `wraps` three in the same rounds and one AND.

    The sign of x - y is right unless it wrapped, which needs x and y of different signs; then the sign of x decides.
    """
    if not wraps:
        return await box.msb(x - y)
    sx, sy, d = await gather(box.msb(x), box.msb(y), box.msb(x - y))
    wrapped: Bits = await box.and_(sx ^ sy, sx ^ d)
    result: Bits = d ^ wrapped
    return result


async def equal(box: BlackBox, x: Arith, y: Arith) -> Bits:
    """1 where x == y."""
    return await box.is_zero(x - y)


async def select(box: BlackBox, condition: Bits, x: Arith, y: Arith) -> Arith:
    """x where the condition holds, else y: one injection."""
    return y + await box.inject(condition, x - y)


async def select_bits(box: BlackBox, condition: Bits, x: Bits, y: Bits) -> Bits:
    """As `select` for Boolean operands of one width: one AND."""
    wide = Bits.concat_bits([condition] * x.width) if x.width != 1 else condition
    return y ^ await box.and_(wide, x ^ y)


async def minimum(box: BlackBox, x: Arith, y: Arith, *, wraps: bool) -> Arith:
    """The smaller of x and y."""
    return await select(box, await less(box, x, y, wraps=wraps), x, y)


async def maximum(box: BlackBox, x: Arith, y: Arith, *, wraps: bool) -> Arith:
    """The larger of x and y."""
    return await select(box, await less(box, x, y, wraps=wraps), y, x)


async def absolute(box: BlackBox, x: Arith) -> Arith:
    """|x| for x > -2^63."""
    return x - await box.inject(await box.msb(x), x << 1)


async def clip(box: BlackBox, x: Arith, lo: int, hi: int, *, wraps: bool) -> Arith:
    """min(max(x, lo), hi) for public lo <= hi: two comparisons in one batch and two injections in one."""
    low = box.constant(np.full(x.shape, lo % 2**64, np.uint64))
    high = box.constant(np.full(x.shape, hi % 2**64, np.uint64))
    outside = await less(box, Arith.stack([x, high]), Arith.stack([low, x]), wraps=wraps)
    # At most one of the two holds, so the corrections add up.
    moved = await box.inject(outside, Arith.stack([low - x, high - x]))
    return x + moved.sum(axis=0)
