# SPDX-License-Identifier: Apache-2.0
"""Compaction: bringing the rows where a secret flag holds together, and back, without opening how many they are.

Where a row goes follows from running sums of the flags, which are local, and one product; it is a permutation, which is
applied like any secret one (`shuffled.scatter`): rows and destinations are shuffled alike, and the shuffled
destinations, which are a uniformly random permutation whatever the flags, are opened. So every routine here opens
random permutations and nothing else, in a number of rounds that does not depend on n.

Source: Laur, Willemson, Zhang 2011 (ISC) for the shuffle; the destinations are one pass of a stable radix sort by a
bit, as in Asharov et al. 2022 (ePrint 2022/1595).
"""

from __future__ import annotations

import numpy as np

from tacit.library import shuffled
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.shares import Arith, U64Array


async def compress(box: BlackBox, flags: Arith, rows: Arith, known: U64Array | None = None) -> Arith:
    """The rows `[n, ...]` where `flags`, `[n]` of 0 and 1, holds, in order; then zeros up to n rows.

    Public columns `known`, `[n, m]`, move along behind those of rows `[n, columns]`. Opens one random permutation. 4
    rounds; in total 640 bits a row, 448 for each word of it and 256 for each of `known`.
    """
    if known is None:
        if not rows.size:
            return rows
        return (await shuffled.placed(box, await _partition(box, flags, _flat(rows), first=True))).reshape(rows.shape)
    if not rows.size and not known.size:
        return Arith.concat([rows, box.constant(known)], axis=1)
    columns = await _partition(box, flags, rows, first=True)
    kept = flags.reshape((flags.shape[0], 1)) * known
    return await shuffled.placed(box, Arith.concat([columns, kept], axis=1))


async def expand(box: BlackBox, flags: Arith, rows: Arith) -> Arith:
    """The inverse of `compress`: row k of `[m, ...]`, m <= n, where the k-th flag of `[n]` holds; zeros elsewhere.

    Opens two random permutations. 8 rounds; in total 1,344 bits a row, and 448 for each word of it.
    """
    n, shape = flags.shape[0], (flags.shape[0], *rows.shape[1:])
    columns = _flat(rows)
    if not n or not columns.shape[1]:
        return box.constant(np.zeros(shape, np.uint64))
    padding = box.constant(np.zeros((n - rows.shape[0], columns.shape[1]), np.uint64))
    destination = await _partition(box, flags, columns[:0].reshape((n, 0)), first=True)
    placed = await shuffled.take(box, Arith.concat([columns, padding]), destination[:, 0])
    return (await box.mul(flags.reshape((n, 1)), placed)).reshape(shape)


async def fill_forward(box: BlackBox, flags: Arith, rows: Arith) -> Arith:
    """Each row `[n, ...]` replaced by the latest one, itself included, where `flags` holds; zeros before the first.

    The rows that hold come together; what is carried back to their places is by how much each differs from the one
    before, and the running sum of that is the row itself. Opens two random permutations. 7 rounds, where a scan takes
    log2(n) levels; in total 1,344 bits a row, and 704 for each word of it.
    """
    if not rows.size:
        return rows
    n = rows.shape[0]
    # The rows that hold come last, so the first of them follows zeros.
    columns = await _partition(box, flags, _flat(rows), first=False)
    origin = box.constant(np.arange(n, dtype=np.uint64).reshape(n, 1))
    moved = await shuffled.placed(box, Arith.concat([columns, origin], axis=1))
    back, kept = moved[:, -1:], moved[:, :-1]
    steps = kept.map(lambda p: np.diff(p, axis=0, prepend=np.zeros_like(p[:1])))
    del columns, moved, kept
    returned = await shuffled.placed(box, Arith.concat([back, steps], axis=1))
    return returned.map(_running).reshape(rows.shape)


async def _partition(box: BlackBox, flags: Arith, columns: Arith, *, first: bool) -> Arith:
    """Where each row goes if those with a flag come first (or last), either kind in order, and behind it the row times
    its flag. One product in all: 192 bits a row, and as much for each column.
    """
    n = flags.shape[0]
    place = np.arange(n, dtype=np.uint64)
    before = flags.map(_running) - flags
    count = flags.sum(keepdims=True).broadcast_to((n,))
    if first:
        held, other = before, box.add_public(count - before, place)
    else:
        held, other = box.add_public(before - count, n), box.add_public(-before, place)
    factors = Arith.concat([(held - other).reshape((n, 1)), columns], axis=1)
    product = await box.mul(flags.reshape((n, 1)), factors)
    return Arith.concat([(other + product[:, 0]).reshape((n, 1)), product[:, 1:]], axis=1)


def _flat(rows: Arith) -> Arith:
    n = rows.shape[0]
    width = int(np.prod(rows.shape[1:], dtype=np.int64))
    return rows.reshape((n, width))


def _running(p: U64Array) -> U64Array:
    return np.cumsum(p, axis=0, dtype=np.uint64)
