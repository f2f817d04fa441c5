# SPDX-License-Identifier: Apache-2.0
"""Sorting with a fixed network: nothing is opened, so nothing but the public length decides what happens.

Source: Batcher 1968, odd-even merge sort; for n elements ceil(log2 n) * (ceil(log2 n) + 1) / 2 layers. All compare-
exchanges of a layer are one comparison and one choice in a batch.
"""

from __future__ import annotations

import numpy as np

from tacit.library import compare
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith, Bits


def layers(n: int) -> list[tuple[list[int], list[int]]]:
    """Batcher's network on n positions: per layer the lower and upper positions that are compared."""
    out = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            low: list[int] = []
            for j in range(k % p, n - k, 2 * k):
                low += [i + j for i in range(min(k, n - j - k)) if (i + j) // (2 * p) == (i + j + k) // (2 * p)]
            out.append((low, [i + k for i in low]))
            k //= 2
        p *= 2
    return out


async def sort(box: BlackBox, x: Arith, *, axis: int = -1, descending: bool = False, wraps: bool) -> Arith:
    """The elements along `axis` in order."""
    rows = x.map(lambda p: np.moveaxis(p, axis, 0))
    for low, high in layers(rows.shape[0]):
        a, b = rows[low], rows[high]
        swap = await _out_of_order(box, a, b, descending, wraps)
        moved = await box.inject(swap, b - a)
        rows = _place(rows, low, high, a + moved, b - moved)
    return rows.map(lambda p: np.moveaxis(p, 0, axis))


async def argsort(
    box: BlackBox,
    x: Arith,
    *,
    axis: int = -1,
    descending: bool = False,
    wraps: bool,
    bounds: tuple[int, int] | None = None,
) -> Arith:
    """The positions that sort along `axis`, stable: equal elements keep their order, whichever the direction.

    With `bounds` (lo, hi) of x such that an element and its position fit in one number, that number is sorted, at the
    cost of `sort` and a conversion. Otherwise the network exchanges (element, position) pairs and compares positions
    where elements are equal.
    """
    keys = x.map(lambda p: np.moveaxis(p, axis, 0))
    n = keys.shape[0]
    start = np.broadcast_to(np.arange(n, dtype=np.uint64).reshape(n, *[1] * (len(keys.shape) - 1)), keys.shape)
    index = box.constant(np.ascontiguousarray(start))
    bits = max(n - 1, 0).bit_length()
    if bounds is not None and bits and (bounds[1] - bounds[0] + 1) << bits <= 2**63:
        rank = box.add_public(-keys, bounds[1]) if descending else box.add_public(keys, -bounds[0])
        joined = await sort(box, (rank << bits) + index, axis=0, wraps=False)
        index = await box.b2a(await box.a2b(joined, bits))
    else:
        index = await _order(box, keys, index, descending, wraps)
    return index.map(lambda p: np.moveaxis(p, 0, axis))


async def _order(box: BlackBox, keys: Arith, index: Arith, descending: bool, wraps: bool) -> Arith:
    for low, high in layers(keys.shape[0]):
        a, b, i, j = keys[low], keys[high], index[low], index[high]
        swap = await _out_of_order(box, a, b, descending, wraps, (i, j))
        both = Arith.stack([b - a, j - i])
        moved = await box.inject(swap.elements(lambda p: np.stack([p, p])), both)
        keys = _place(keys, low, high, a + moved[0], b - moved[0])
        index = _place(index, low, high, i + moved[1], j - moved[1])
    return index


async def _out_of_order(
    box: BlackBox, a: Arith, b: Arith, descending: bool, wraps: bool, ties: tuple[Arith, Arith] | None = None
) -> Bits:
    """1 where the pair must be exchanged: b before a in the wanted order."""
    first, second = (a, b) if descending else (b, a)
    if ties is None:
        return await compare.less(box, first, second, wraps=wraps)
    i, j = ties
    before, same, later = await gather(
        compare.less(box, first, second, wraps=wraps),
        compare.equal(box, a, b),
        compare.less(box, j, i, wraps=False),
    )
    exchange: Bits = before ^ await box.and_(same, later)
    return exchange


def _place(rows: Arith, low: list[int], high: list[int], at_low: Arith, at_high: Arith) -> Arith:
    # A rearrangement by a public index, which every protocol's shares allow.
    n = rows.shape[0]
    source = np.arange(n)
    source[low], source[high] = n + np.arange(len(low)), n + len(low) + np.arange(len(high))
    return Arith.concat([rows, at_low, at_high])[source]
