# SPDX-License-Identifier: Apache-2.0
"""Reductions along an axis by a balanced tree: ceil(log2(n)) levels, nothing opened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from tacit.library import compare
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith, Bits


async def maximum(box: BlackBox, x: Arith, axis: int = -1, *, wraps: bool) -> Arith:
    """The largest element along `axis`, which must not be empty. Each level is one comparison and one choice."""
    return await _arith_tree(x, axis, lambda a, b: compare.maximum(box, a, b, wraps=wraps))


async def minimum(box: BlackBox, x: Arith, axis: int = -1, *, wraps: bool) -> Arith:
    """The smallest element along `axis`, which must not be empty."""
    return await _arith_tree(x, axis, lambda a, b: compare.minimum(box, a, b, wraps=wraps))


async def argmax(box: BlackBox, x: Arith, axis: int = -1, *, wraps: bool) -> Arith:
    """The position along `axis` of the largest element, the first of equals. As `maximum`, with one more injection."""
    return await _position(box, x, axis, lambda first, second: compare.less(box, first, second, wraps=wraps))


async def argmin(box: BlackBox, x: Arith, axis: int = -1, *, wraps: bool) -> Arith:
    """The position along `axis` of the smallest element, the first of equals."""
    return await _position(box, x, axis, lambda first, second: compare.less(box, second, first, wraps=wraps))


async def all_(box: BlackBox, x: Bits, axis: int = -1) -> Bits:
    """Whether every element along `axis` holds; true where there are none. One AND a level."""
    size = x.shape[axis]
    if size == 0:
        shape = tuple(d for k, d in enumerate(x.shape) if k != axis % len(x.shape))
        return box.constant_bits(np.ones(shape, np.uint64), 1)
    while size > 1:
        half = size // 2
        first, second = _slice(x, axis, 0, half), _slice(x, axis, half, 2 * half)
        joined = await box.and_(first, second)
        x = Bits.concat([joined, _slice(x, axis, 2 * half, size)], axis) if size % 2 else joined
        size -= half
    return x.elements(lambda p: np.take(p, 0, axis=axis))


async def any_(box: BlackBox, x: Bits, axis: int = -1) -> Bits:
    """Whether some element along `axis` holds; false where there are none."""
    return box.invert(await all_(box, box.invert(x), axis))


async def _arith_tree(x: Arith, axis: int, join: Callable[[Arith, Arith], Awaitable[Arith]]) -> Arith:
    x = x.map(lambda p: np.moveaxis(p, axis, 0))
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        joined = await join(x[:half], x[half : 2 * half])
        x = Arith.concat([joined, x[2 * half :]]) if x.shape[0] % 2 else joined
    return x[0]


async def _position(box: BlackBox, x: Arith, axis: int, worse: Callable[[Arith, Arith], Awaitable[Bits]]) -> Arith:
    x = x.map(lambda p: np.moveaxis(p, axis, 0))
    n = x.shape[0]
    start = np.arange(n, dtype=np.uint64).reshape(n, *[1] * (len(x.shape) - 1))
    index = box.constant(np.ascontiguousarray(np.broadcast_to(start, x.shape)))
    while (n := x.shape[0]) > 1:
        # Neighbours, in order: a later element must be strictly better to win.
        pairs = [(a[0 : n - 1 : 2], a[1::2]) for a in (x, index)]
        later = await worse(*pairs[0])
        moves = await gather(*(box.inject(later, second - first) for first, second in pairs))
        x, index = (
            Arith.concat([first + move, a[n - n % 2 :]])
            for a, (first, _), move in zip((x, index), pairs, moves, strict=True)
        )
    return index[0]


def _slice(x: Bits, axis: int, start: int, stop: int) -> Bits:
    def cut(p: Any) -> Any:
        return np.moveaxis(np.moveaxis(p, axis, 0)[start:stop], 0, axis)

    return x.elements(cut)
