# SPDX-License-Identifier: Apache-2.0
"""Sums over groups of rows: runs of equal keys in a sorted column, and small public domains.

A run is given by a flag on its first row; row 0 starts one whatever its flag. Running sums are local, and the sum of a
run is the difference of two of them, so sums and counts take a constant number of rounds and no scan. Sums are right
modulo 2^64 whatever the running sums over all rows do. How many runs there are, and how long, stays secret: results
have n rows, those of the runs first and then zeros.

Source: groups by sorting as in Asharov, Hamada, Kikuchi, Nof, Pinkas, Tomida 2023 (CCS), with differences of running
sums at the boundaries in the place of a scan.
"""

from __future__ import annotations

import numpy as np

from tacit.library import compact
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith, Bits, U64Array


async def run_starts(box: BlackBox, *keys: Arith | Bits) -> Bits:
    """Where a run of equal rows begins: row 0, and where a row differs from the one before in any of the keys `[n]`.

    Nothing is opened. One zero test for each row and key of numbers; with several keys a tree of ANDs.
    """
    n = keys[0].shape[0]
    if not n:
        return box.constant_bits(np.zeros(0, np.uint64), 1)
    same = await box.all_bits(Bits.concat_bits(await gather(*(_same(box, key) for key in keys))))
    return Bits.concat([box.constant_bits(np.ones(1, np.uint64), 1), box.invert(same)])


async def run_ends(box: BlackBox, *keys: Arith | Bits) -> Bits:
    """Where a run of equal rows ends: before each start, and at the last row. The cost of `run_starts`."""
    starts = await run_starts(box, *keys)
    return starts.elements(lambda p: np.roll(p, -1))


async def _same(box: BlackBox, key: Arith | Bits) -> Bits:
    if isinstance(key, Arith):
        return await box.is_zero(key[1:] - key[:-1])
    return box.invert(key.elements(lambda p: p[1:] ^ p[:-1]))


async def run_sums(box: BlackBox, starts: Arith, x: Arith, known: U64Array | None = None) -> Arith:
    """The sums of x `[n, ...]` over each run, then zeros: `[n, ...]`; `starts` is `[n]` of 0 and 1.

    The cost of `compact.compress`, and its opening: one random permutation. `known` as there.
    """
    before = None if known is None else _before_part(known)
    return _sums(await compact.compress(box, _started(box, starts), _before(x), before))


async def aggregate(
    box: BlackBox, starts: Arith, heads: Arith, sums: Arith, known: tuple[U64Array, U64Array]
) -> tuple[Arith, Arith]:
    """For each run the first row of `heads` and the sums of `sums`, `[n, columns]`, then zeros.

    Behind the columns of either stand those of its public ones in `known`. The cost of one `compact.compress`, and its
    opening: one random permutation.
    """
    (firsts, summed), (h, s) = known, (heads.shape[1], sums.shape[1])
    columns = Arith.concat([heads, _before(sums)], axis=1)
    public = np.concatenate([firsts, _before_part(summed)], axis=1)
    done = await compact.compress(box, _started(box, starts), columns, public)
    end = h + s + firsts.shape[1]
    at_heads = Arith.concat([done[:, :h], done[:, h + s : end]], axis=1)
    return at_heads, _sums(Arith.concat([done[:, h : h + s], done[:, end:]], axis=1))


async def running_sum(box: BlackBox, starts: Arith, x: Arith) -> Arith:
    """The running sum of x `[n, ...]` along axis 0, from the start of each run on.

    The cost of `compact.fill_forward`, and its openings: two random permutations.
    """
    if not x.size:
        return x
    before = x.map(lambda p: np.cumsum(p, axis=0, dtype=np.uint64) - p)
    return x + before - await compact.fill_forward(box, _started(box, starts), before)


async def one_hot(box: BlackBox, x: Arith, size: int) -> Arith:
    """For each element of x, which lies in [0, size), a row of `size` zeros with a one at that place: `[..., size]`.

    A table look-up of log2(size) bits, and a bit to a number for all places but one: about 195 (size - 1) bits in
    total an element. Nothing is opened. Pre-condition: `1 <= size <= 64`, the width of a table's entries.
    """
    n, width = x.size, max((size - 1).bit_length(), 1)
    table = np.uint64(1) << np.minimum(np.arange(2**width, dtype=np.uint64), np.uint64(size - 1))
    words = await box.lut(await box.a2b(x.reshape((n,)), width), table, size)
    places = Bits.concat([words[k].reshape((1, n)) for k in range(size - 1)]) if size > 1 else None
    known = box.constant(np.zeros((0, n), np.uint64)) if places is None else await box.b2a(places)
    # One of the places holds, so the last is what is left.
    last = box.add_public(-known.sum(axis=0, keepdims=True), 1)
    return Arith.concat([known, last]).map(lambda p: np.ascontiguousarray(p.T)).reshape((*x.shape, size))


def _started(box: BlackBox, starts: Arith) -> Arith:
    return Arith.concat([box.constant(np.ones(1, np.uint64)), starts[1:]])


def _before(x: Arith) -> Arith:
    """The sum of what comes before each row, less the sum of all: so a zero stands for the end."""
    return x.map(_before_part)


def _before_part(p: U64Array) -> U64Array:
    running = np.cumsum(p, axis=0, dtype=np.uint64)
    return running - p - running[-1:]


def _sums(before: Arith) -> Arith:
    """What comes before the next start, less what comes before this one; after the last start it is zero."""
    return before.map(lambda p: np.diff(p, axis=0, append=np.zeros_like(p[:1])))
