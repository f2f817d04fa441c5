# SPDX-License-Identifier: Apache-2.0
"""Reductions along an axis by a tree, nothing opened.

Largest and smallest elements are found in a tournament: in each group of a level all pairs are compared at once. Large
groups save rounds, small ones comparisons, so a level takes as large ones as its bytes allow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np

from tacit.library import compare
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith, Bits


async def maximum(box: BlackBox, x: Arith, axis: int = -1, *, wraps: bool) -> Arith:
    """The largest element along `axis`, which must not be empty. `wraps` as in compare.py."""
    (value,) = await _tournament(box, [_first(x, axis)], wraps, lambda a, b: compare.less(box, a, b, wraps=wraps))
    return value


async def minimum(box: BlackBox, x: Arith, axis: int = -1, *, wraps: bool) -> Arith:
    """The smallest element along `axis`, which must not be empty."""
    (value,) = await _tournament(box, [_first(x, axis)], wraps, lambda a, b: compare.less(box, b, a, wraps=wraps))
    return value


async def argmax(box: BlackBox, x: Arith, axis: int = -1, *, wraps: bool) -> Arith:
    """The position along `axis` of the largest element, the first of equals. As `maximum`, with another injection."""
    columns = _numbered(box, _first(x, axis))
    return (await _tournament(box, columns, wraps, lambda a, b: compare.less(box, a, b, wraps=wraps)))[1]


async def argmin(box: BlackBox, x: Arith, axis: int = -1, *, wraps: bool) -> Arith:
    """The position along `axis` of the smallest element, the first of equals."""
    columns = _numbered(box, _first(x, axis))
    return (await _tournament(box, columns, wraps, lambda a, b: compare.less(box, b, a, wraps=wraps)))[1]


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


async def _tournament(
    box: BlackBox, columns: list[Arith], wraps: bool, worse: Callable[[Arith, Arith], Awaitable[Bits]]
) -> list[Arith]:
    """Of arrays `[n, ...]` the entries where the first one is best along its first axis: the first of equals.

    `worse(a, b)` is 1 where b is strictly better.
    """
    while (n := columns[0].shape[0]) > 1:
        size = _group(n, columns[0].size // n, wraps)
        cut = n - n % size
        groups = [[c[:cut].reshape((n // size, size, *c.shape[1:])) for c in columns]]
        if cut < n:
            groups.append([c[cut:].reshape((1, n - cut, *c.shape[1:])) for c in columns])
        best = await gather(*(_best(box, group, worse) for group in groups))
        columns = [Arith.concat(parts) for parts in zip(*best, strict=True)]
    return [c[0] for c in columns]


async def _best(box: BlackBox, columns: list[Arith], worse: Callable[[Arith, Arith], Awaitable[Bits]]) -> list[Arith]:
    """Of groups `[count, size, ...]` the best entries, `[count, ...]`."""
    size = columns[0].shape[1]
    if size == 1:
        return [c[:, 0] for c in columns]
    left, right = np.triu_indices(size, 1)
    wins = await worse(columns[0][:, left], columns[0][:, right])
    if size > 2:
        # Entry k is the best if it is better than each before it, and none after it is better than it.
        pair = np.zeros((size, size), np.intp)
        pair[left, right] = pair[right, left] = np.arange(left.size)
        others = np.array([[j for j in range(size) if j != k] for k in range(1, size)])
        rows = np.arange(1, size)[:, None]
        beaten = wins.elements(lambda p: p[:, pair[rows, others]])
        tail = (1,) * (len(columns[0].shape) - 2)
        after = np.broadcast_to((others > rows).reshape(1, size - 1, size - 1, *tail), beaten.shape)
        wins = await all_(box, beaten ^ box.constant_bits(np.ascontiguousarray(after, np.uint64), 1), axis=2)
    # At most one of those after the first wins, so the steps from the first to it add up.
    steps = await gather(*(box.inject(wins, c[:, 1:] - c[:, :1]) for c in columns))
    return [c[:, 0] + step.sum(axis=1) for c, step in zip(columns, steps, strict=True)]


@lru_cache(maxsize=1024)
def _group(n: int, lines: int, wraps: bool) -> int:
    """The size of the groups in which the best of n, on so many lines at once, is found at the least cost."""
    return min(range(2, min(n, _GROUP_MAX) + 1), key=lambda size: _cost(n, size, lines, wraps))


@lru_cache(maxsize=4096)
def _cost(n: int, size: int, lines: int, wraps: bool) -> int:
    """Bytes and rounds, in bytes, of a tournament of n that begins with groups of this size."""
    rest = n % size
    pairs = n // size * (size * (size - 1) // 2) + rest * (rest - 1) // 2
    rounds = 9 + wraps + (size - 2).bit_length()
    cost = rounds * _ROUND_BYTES + lines * (pairs * (126 if wraps else 42) + 32 * (n - n // size))
    left = -(-n // size)
    return cost + min((_cost(left, s, lines, wraps) for s in range(2, min(left, _GROUP_MAX) + 1)), default=0)


def _first(x: Arith, axis: int) -> Arith:
    return x.map(lambda p: np.moveaxis(p, axis, 0))


def _numbered(box: BlackBox, x: Arith) -> list[Arith]:
    """Elements and their positions along the first axis."""
    start = np.arange(x.shape[0], dtype=np.uint64).reshape(-1, *[1] * (len(x.shape) - 1))
    return [x, box.constant(np.ascontiguousarray(np.broadcast_to(start, x.shape)))]


def _slice(x: Bits, axis: int, start: int, stop: int) -> Bits:
    def cut(p: Any) -> Any:
        return np.moveaxis(np.moveaxis(p, axis, 0)[start:stop], 0, axis)

    return x.elements(cut)


_GROUP_MAX: Final = 16
_ROUND_BYTES: Final = 1 << 16
"""How many bytes a round may cost: about what a LAN carries meanwhile, and less than a WAN does."""
