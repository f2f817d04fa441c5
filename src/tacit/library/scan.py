# SPDX-License-Identifier: Apache-2.0
"""Scans along axis 0 with any associative operator, begun anew at the first row of each run. Nothing is opened.

Source: Brent, Kung 1982 down to 256 rows: half the rows are left after two joins for each pair of them; then Sklansky
1960: ceil(log2 n) levels of n/2 joins. In all about 2n joins in about 2 log2(n) - 8 levels. Runs are part of the
operator, as in Blelloch 1990: a pair (whether no run starts, value). Sums need no scan (`groups.running_sum`), and
neither does the latest row of some kind (`compact.fill_forward`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tacit.library import compare
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith, Bits

Shares: TypeAlias = Arith | Bits
Values: TypeAlias = Sequence[Shares]
Join: TypeAlias = Callable[[Values, Values], Awaitable[Values]]
Positions: TypeAlias = NDArray[np.intp]

SHALLOW: Final = 256
"""Up to so many rows fewer levels count, beyond it fewer joins."""


async def scan(values: Values, join: Join) -> Values:
    """Row i of each of `values`, `[n, ...]`, becomes rows 0 to i joined, for an associative `join` of whole rows."""
    n = values[0].shape[0]
    if n <= SHALLOW:
        return await _sklansky(values, join)
    pairs = await join(_rows(values, slice(0, n - 1, 2)), _rows(values, slice(1, n, 2)))
    odd = await scan(pairs, join)
    even = await join(_rows(odd, slice(0, (n - 1) // 2)), _rows(values, slice(2, n, 2)))
    place = np.arange(n)
    source = np.where(place % 2, 1 + place // 2, n // 2 + place // 2)
    source[0] = 0
    return _rows(_joined([_rows(values, slice(0, 1)), odd, even]), source)


async def _sklansky(values: Values, join: Join) -> Values:
    """As `scan`: at each level the second half of each block, of 2, 4, 8 ... rows, takes the last of the first half."""
    n = values[0].shape[0]
    place = np.arange(n)
    for k in range(max(n - 1, 0).bit_length()):
        right = place[place >> k & 1 == 1]
        new = await join(_rows(values, (right >> k << k) - 1), _rows(values, right))
        source = place.copy()
        source[right] = n + np.arange(right.size)
        values = _rows(_joined([values, new]), source)
    return values


async def maximum(box: BlackBox, starts: Bits, x: Arith, *, wraps: bool) -> Arith:
    """The largest of x `[n, ...]` from the start of the run, `starts` `[n]`, up to each row.

    Per level a comparison, an AND and a choice. `wraps` as in `compare`.
    """
    return await _extreme(box, starts, x, lambda first, second: compare.less(box, first, second, wraps=wraps))


async def minimum(box: BlackBox, starts: Bits, x: Arith, *, wraps: bool) -> Arith:
    """The smallest of x from the start of the run up to each row; as `maximum`."""
    return await _extreme(box, starts, x, lambda first, second: compare.less(box, second, first, wraps=wraps))


async def any_(box: BlackBox, starts: Bits, x: Bits) -> Bits:
    """Whether x `[n, ...]` holds anywhere from the start of the run up to each row. Per level two ANDs in one round."""
    if not x.size:
        return x
    # A row passes on what comes before where it neither starts a run nor holds.
    passes = await box.and_(_widened(box.invert(starts), x.shape), box.invert(x))

    async def join(left: Values, right: Values) -> Values:
        (p1, x1), (p2, x2) = _bits(left), _bits(right)
        through, both = await gather(box.and_(p2, x1), box.and_(p2, p1))
        return both, x2 ^ through

    return _bits(await scan([passes, x], join))[1]


async def all_(box: BlackBox, starts: Bits, x: Bits) -> Bits:
    """Whether x holds everywhere from the start of the run up to each row; as `any_`."""
    return box.invert(await any_(box, starts, box.invert(x)))


async def _extreme(
    box: BlackBox, starts: Bits, x: Arith, worse: Callable[[Arith, Arith], Coroutine[Any, Any, Bits]]
) -> Arith:
    if not x.size:
        return x

    async def join(left: Values, right: Values) -> Values:
        (p1, x1), (p2, x2) = left, right
        assert isinstance(p1, Bits) and isinstance(p2, Bits) and isinstance(x1, Arith) and isinstance(x2, Arith)
        later, both = await gather(worse(x1, x2), box.and_(p2, p1))
        # The earlier one stays where no run starts between, and the later is no better.
        stays = await box.and_(_widened(p2, x2.shape), box.invert(later))
        return both, x2 + await box.inject(stays, x1 - x2)

    done = (await scan([box.invert(starts), x], join))[1]
    assert isinstance(done, Arith)
    return done


def _bits(values: Values) -> list[Bits]:
    return [v for v in values if isinstance(v, Bits)]


def _widened(flags: Bits, shape: tuple[int, ...]) -> Bits:
    """A flag for each row as one for each of its elements."""
    if flags.shape == shape:
        return flags
    return flags.elements(lambda p: np.broadcast_to(p.reshape(-1, *[1] * (len(shape) - 1)), shape))


def _rows(values: Values, at: Positions | slice) -> Values:
    # A rearrangement by a public index, which every protocol's shares allow.
    return [v[at] if isinstance(v, Arith) else v.elements(lambda p: p[at]) for v in values]


def _joined(items: Sequence[Values]) -> Values:
    """Each of the values of all items one below the other."""
    out: list[Shares] = []
    for column in zip(*items, strict=True):
        numbers = [v for v in column if isinstance(v, Arith)]
        out.append(Arith.concat(numbers) if numbers else Bits.concat(_bits(column)))
    return out
