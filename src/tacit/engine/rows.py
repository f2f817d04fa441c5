# SPDX-License-Identifier: Apache-2.0
"""Operations with several results: each moves the rows of all its arrays at once, in the table `SEVERAL`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Final, TypeAlias

import numpy as np

from tacit.engine.call import Call, Value
from tacit.library import compact, groups, matching
from tacit.plan import BOOL, Private, Secret, matched_sides, matched_words
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.plain import Plain
from tacit.protocols.shares import Arith, U64Array

Moving: TypeAlias = Callable[[BlackBox, Arith, Arith], Awaitable[Arith]]
"""What is done to rows `[n, columns]`, given flags `[n]`."""
MovingKnown: TypeAlias = Callable[[BlackBox, Arith, Arith, U64Array], Awaitable[Arith]]
"""The same, with public columns behind those of the rows."""


def _moved(move: Moving) -> Callable[[Call], Awaitable[list[Value]]]:
    """All arrays side by side as the columns of one, moved at once, and apart again; bits travel as numbers."""

    async def call(c: Call) -> list[Value]:
        places = range(1, len(c.types))
        flags, *columns = await gather(c.numbers(0), *(_columns(c, k) for k in places))
        rows = await move(c.box, flags, Arith.concat(columns, axis=1))
        return await _apart(c, dict(_split(rows, [(k, x.shape[1]) for k, x in zip(places, columns, strict=True)])))

    return call


def _moved_known(move: MovingKnown) -> Callable[[Call], Awaitable[list[Value]]]:
    """The same where public arrays move at less cost."""

    async def call(c: Call) -> list[Value]:
        flags, (rows, known, order) = await gather(c.numbers(0), _sides(c, range(1, len(c.types))))
        return await _apart(c, dict(_split(await move(c.box, flags, rows, known), order)))

    return call


async def _shuffle(c: Call) -> list[Value]:
    places = range(len(c.types))
    columns = await gather(*(_columns(c, k) for k in places))
    rows = await c.box.shuffle(Arith.concat(columns, axis=1))
    return await _apart(c, dict(_split(rows, [(k, x.shape[1]) for k, x in zip(places, columns, strict=True)])))


async def _match(c: Call) -> list[Value]:
    """Keys without their least values, and the arrays of each table as the columns of one."""
    if isinstance(c.type.home, Private):
        # All at one party: nothing is opened, but an order that others knew would tell where its rows stood.
        c = replace(c, box=Plain(seed=os.urandom(16)))
    sides = matched_sides(range(len(c.types)), c.attrs)
    words = matched_words(*([c.types[k] for k in keys] for _, keys, _ in sides))

    async def table(flag: int, keys: Sequence[int], arrays: Sequence[int]) -> matching.Table:
        homes = [c.types[k].home for k in (flag, *keys)] if c.type.home == Secret() else []
        home = next((h.party for h in homes if isinstance(h, Private)), None)
        # Who has the keys of a table makes its tags itself, and needs nobody for it.
        own = c if home is None else replace(c, box=Plain())
        absent = home not in (None, c.box.me)
        none = c.box.constant(np.zeros((c.types[flag].shape[0], 0), np.uint64))
        rows = Arith.concat([none, *await gather(*(_columns(c, k) for k in arrays))], axis=1)
        if absent:
            return matching.Table(None, [], rows, home)
        everywhere = c.is_public(flag) and c.public(flag).all()
        numbers = await gather(*(own.numbers(k) for k in keys))
        parts = [matching.Word(own.box.add_public(x, -lo), n) for x, (lo, n) in zip(numbers, words, strict=True)]
        return matching.Table(None if everywhere else await own.numbers(flag), parts, rows, home)

    first, second = await gather(*(table(*side) for side in sides))
    found, rows = await matching.match(c.box, first, second, sum(n for _, n in words))
    order = [(k, prod(c.types[k].shape[1:])) for _, _, arrays in sides for k in arrays]
    return [found, *await _apart(c, dict(_split(rows, order)))]


async def _aggregate(c: Call) -> list[Value]:
    heads = c.attrs["heads"] + 1
    flags, first, second = await gather(c.numbers(0), _sides(c, range(1, heads)), _sides(c, range(heads, len(c.types))))
    (firsts, known_firsts, order), (sums, known_sums, then) = first, second
    done = await groups.aggregate(c.box, flags, firsts, sums, (known_firsts, known_sums))
    return await _apart(c, {**dict(_split(done[0], order)), **dict(_split(done[1], then))})


Order: TypeAlias = list[tuple[int, int]]
"""Operands and how many columns each of them is."""


async def _sides(c: Call, places: range) -> tuple[Arith, U64Array, Order]:
    """Operands as the columns of one array, the public ones as those of another, and their order in a row."""
    public = [k for k in places if c.is_public(k)]
    secret = [k for k in places if not c.is_public(k)]
    shares = await gather(*(_columns(c, k) for k in secret))
    known = [_flat(c.public(k)) for k in public]
    order = [(k, x.shape[1]) for k, x in zip([*secret, *public], [*shares, *known], strict=True)]
    n = c.types[0].shape[0]
    none = np.zeros((n, 0), np.uint64)
    rows = Arith.concat(shares, axis=1) if shares else c.box.constant(none)
    return rows, np.concatenate([none, *known], axis=1), order


def _split(rows: Arith, order: Order) -> Iterator[tuple[int, Arith]]:
    """Each operand's columns of the rows that were moved."""
    start = 0
    for k, width in order:
        yield k, rows[:, start : start + width]
        start += width


async def _apart(c: Call, parts: Mapping[int, Arith]) -> list[Value]:
    """The columns of each operand in its own shape, as many rows as there are, and type."""

    async def part(k: int) -> Value:
        t, rows = c.types[k], parts[k]
        x = rows.map(np.ascontiguousarray).reshape((rows.shape[0], *t.shape[1:]))
        return await c.box.a2b(x, 1) if t.dtype == BOOL else x

    return list(await gather(*(part(k) for k in sorted(parts))))


async def _columns(c: Call, k: int) -> Arith:
    """Operand k as numbers in rows `[n, columns]`."""
    x = await c.numbers(k)
    return x.reshape((x.shape[0], prod(x.shape[1:])))


def _flat(x: U64Array) -> U64Array:
    return x.reshape((x.shape[0], prod(x.shape[1:])))


SEVERAL: Final[Mapping[str, Callable[[Call], Awaitable[list[Value]]]]] = {
    "compress": _moved_known(compact.compress),
    "shuffle_rows": _shuffle,
    "match_rows": _match,
    "expand": _moved(compact.expand),
    "fill_forward": _moved(compact.fill_forward),
    "run_sums": _moved_known(groups.run_sums),
    "aggregate": _aggregate,
    "running_sum": _moved(groups.running_sum),
}
