# SPDX-License-Identifier: Apache-2.0
"""Sorting with a fixed network: nothing is opened, so nothing but the public length decides what happens.

Source: Batcher 1968, odd-even merge sort; for n elements ceil(log2 n) * (ceil(log2 n) + 1) / 2 layers. All compare-
exchanges of a layer are one comparison and one choice in a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from tacit.library import compare
from tacit.library.order import Key, Words, before, joined, positions
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.shares import Arith, Bits


def layers(n: int, wanted: Iterable[int] | None = None) -> list[tuple[list[int], list[int]]]:
    """Batcher's network on n positions: per layer the lower and upper positions that are compared.

    With `wanted`, only what decides about these positions of the result.
    """
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
    return out if wanted is None else _deciding(out, set(wanted))


def tournament(n: int, count: int) -> list[tuple[list[int], list[int]]]:
    """A network that puts the first `count` of n elements in order at the front: blocks are sorted, and of two blocks
    the smaller half goes on, bitonic, and is merged. About n log2(count)^2 / 2 exchanges.
    """
    size = 1 << max(count - 1, 0).bit_length()
    if 2 * size > n:
        return layers(n, range(count))
    out = []
    starts = range(0, n, size)
    for low, high in layers(size):
        inside = [(s + i, s + j) for s in starts for i, j in zip(low, high, strict=True) if s + j < n]
        out.append(([i for i, _ in inside], [j for _, j in inside]))
    while len(starts) > 1:
        winners = starts[: len(starts) // 2 * 2 : 2]
        # The last block may be short: what it lacks comes after everything.
        other = [w + (starts[1] - starts[0]) + size - 1 for w in winners]
        halves = [(w + i, o - i) for w, o in zip(winners, other, strict=True) for i in range(size) if o - i < n]
        out.append(([i for i, _ in halves], [j for _, j in halves]))
        step = size // 2
        while step:
            low = [w + i for w in winners for i in range(size) if not i & step]
            out.append((low, [i + step for i in low]))
            step //= 2
        starts = starts[::2]
    return _deciding(out, set(range(count)))


def _deciding(network: list[tuple[list[int], list[int]]], wanted: set[int]) -> list[tuple[list[int], list[int]]]:
    out = []
    for low, high in reversed(network):
        pairs = [(i, j) for i, j in zip(low, high, strict=True) if i in wanted or j in wanted]
        wanted.update(*pairs)
        if pairs:
            out.append(([i for i, _ in pairs], [j for _, j in pairs]))
    return out[::-1]


async def sort(
    box: BlackBox,
    x: Arith,
    *,
    axis: int = -1,
    descending: bool = False,
    wraps: bool,
    ranks: Sequence[int] | None = None,
) -> Arith:
    """The elements along `axis` in order; of these only the ones at `ranks`, if given, by a smaller network."""
    rows = x.map(lambda p: np.moveaxis(p, axis, 0))
    for low, high in layers(rows.shape[0], ranks):
        a, b = rows[low], rows[high]
        swap = await compare.less(box, a, b, wraps=wraps) if descending else await compare.less(box, b, a, wraps=wraps)
        moved = await box.inject(swap, b - a)
        rows = _place(rows, low, high, a + moved, b - moved)
    if ranks is not None:
        rows = rows[list(ranks)]
    return rows.map(lambda p: np.moveaxis(p, 0, axis))


async def argsort(box: BlackBox, keys: Sequence[Key], *, axis: int = -1) -> Arith:
    """The positions that sort along `axis` by keys of one shape, the first being the most significant; stable.

    If the keys and the position fit one word of 63 bits: at the cost of `sort` and a conversion. Otherwise an exchange
    takes an injection for each word that they fill (`order.joined`), and one for the position.
    """
    columns = [key.values.map(lambda p: np.moveaxis(p, axis, 0)) for key in keys]
    index = positions(box, columns[0].shape)
    words = joined(box, [replace(key, values=column) for key, column in zip(keys, columns, strict=True)], index)
    if len(words.columns) > 1:
        (out,) = await _exchanged(box, words, [index])
    else:
        ordered = await sort(box, words.columns[0], axis=0, wraps=False)
        out = await box.b2a(await box.a2b(ordered, max((index.shape[0] - 1).bit_length(), 1)))
    return out.map(lambda p: np.moveaxis(p, 0, axis))


async def sort_rows(box: BlackBox, keys: Sequence[Key], payload: Sequence[Arith]) -> list[Arith]:
    """Each `[n, ...]` array of `payload` with its rows in the order of the keys `[n]`; stable.

    As `argsort`, with an injection for each element of a row in place of the position's.
    """
    return await _exchanged(box, joined(box, keys, positions(box, keys[0].values.shape)), payload)


async def first_rows(box: BlackBox, keys: Sequence[Key], payload: Sequence[Arith], count: int) -> list[Arith]:
    """The first `count` rows of each `[n, ...]` array of `payload` in the order of the keys `[n]`; stable."""
    n = keys[0].values.shape[0]
    done = await _exchanged(box, joined(box, keys, positions(box, (n,))), payload, tournament(n, count))
    return [x[:count] for x in done]


async def first(box: BlackBox, key: Key, count: int, *, axis: int = -1) -> tuple[Arith, Arith]:
    """(values, positions) of the first `count` elements along `axis` in the order of the key; stable."""
    moved = replace(key, values=key.values.map(lambda p: np.moveaxis(p, axis, 0)))
    index = positions(box, moved.values.shape)
    network = tournament(index.shape[0], count)
    found = await _exchanged(box, joined(box, [moved], index), [moved.values, index], network)
    values, places = (x[:count].map(lambda p: np.moveaxis(p, 0, axis)) for x in found)
    return values, places


async def _exchanged(
    box: BlackBox, words: Words, payload: Sequence[Arith], network: list[tuple[list[int], list[int]]] | None = None
) -> list[Arith]:
    """The payload `[n, ..., ...]` in the order of the words `[n, ...]`."""
    shape = words.columns[0].shape
    count = len(words.columns)
    flat = [x.reshape((*shape, prod(x.shape[len(shape) :]))) for x in payload]
    rows = Arith.concat([*(w.reshape((*shape, 1)) for w in words.columns), *flat], axis=-1)
    for low, high in layers(shape[0]) if network is None else network:
        a, b = rows[low], rows[high]
        difference = b - a
        signs = [(box.msb(b[..., k]), box.msb(a[..., k])) for k in range(count) if words.wide[k]]
        swap = await before(box, words, [difference[..., k] for k in range(count)], signs)
        moved = await box.inject(_repeated(swap, difference.shape), difference)
        rows = _place(rows, low, high, a + moved, b - moved)
    out, start = [], count
    for part, given in zip(flat, payload, strict=True):
        out.append(rows[..., start : start + part.shape[-1]].reshape(given.shape))
        start += part.shape[-1]
    return out


def _repeated(bits: Bits, shape: tuple[int, ...]) -> Bits:
    return bits.elements(lambda p: np.broadcast_to(p[..., None], shape))


def _place(rows: Arith, low: list[int], high: list[int], at_low: Arith, at_high: Arith) -> Arith:
    # A rearrangement by a public index, which every protocol's shares allow.
    n = rows.shape[0]
    source = np.arange(n)
    source[low], source[high] = n + np.arange(len(low)), n + len(low) + np.arange(len(high))
    return Arith.concat([rows, at_low, at_high])[source]
