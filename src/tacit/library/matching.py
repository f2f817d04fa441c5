# SPDX-License-Identifier: Apache-2.0
"""Rows of two tables side by side by equal keys, at the price of showing which of the shuffled rows are equal.

A pseudorandom function makes a tag of each row's keys. Both tables are put in an order that nobody knows, and the tags
are opened to one party, which does not have the key of the function; it tells the others, who do but see no tag, which
are equal: that is all. Rows without a flag get tags of their own. Rows are brought beside their partners in the clear,
and the result is shuffled again, so that no place in it tells of a match. Who owns the keys of a table in the clear
makes its tags at home; of others they are made on shares. Tags of different keys agree with probability 2^-128 for each
pair of rows.

Source: Mohassel, Rindal, Rosulek 2020 (CCS, ePrint 2019/518), with Ascon-PRFshort in the place of LowMC; the
party that matches without the key is the server of Kamara, Mohassel, Raykova, Sadeghian 2014 (FC).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tacit import kernels
from tacit.errors import RunError
from tacit.library import ascon
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.plain import Plain
from tacit.protocols.shares import Arith, Bits, U64Array, words_of


class Word(NamedTuple):
    """A part of a key: 0 <= values < 2^bits, `[n]`, bits at most 64."""

    values: Arith
    bits: int


@dataclass(frozen=True)
class Table:
    """Shares of `rows` `[n, columns]` with `keys`; only those match where `flags`, `[n]` of 0 and 1, hold; None: all.

    If party `home` has the keys and flags, they are values of the box `Plain` there, and not given elsewhere.
    """

    flags: Arith | None
    keys: Sequence[Word]
    rows: Arith
    home: int | None = None


async def match(box: BlackBox, first: Table, second: Table, bits: int) -> tuple[Bits, Arith]:
    """For each of the m rows of `second` whether one of `first` has the same key, of `bits` in all, at most 126; and
    rows `[m, columns]`, those of that one, or zeros, and then its own. In a random order that nobody knows.

    Keys of `first` that match are unique: of several one is taken. Opens which shuffled rows have equal keys. In total
    96 bytes a row of either table whose keys are at home, about 1,600 with keys of 64 bits where they are shared; 16 a
    row of `second`; 32 for each column of both, and again for each column of the result and one more. 10 rounds with
    all keys at home, else 27 with keys of 64 bits, and 2 more with flags. Raises RunError RUN-018 if the party that
    matches announces rows that do not exist.
    """
    tables = (first, second)
    # Somebody who makes no tags at home: only the two others have the key.
    viewer = next((p for p in range(box.parties) if p not in (first.home, second.home)), 0)
    key, known = box.bits_without(viewer, ascon.BITS)
    size = max(bits, *((t.rows.shape[0] - 1).bit_length() for t in tables))
    (seen, one), (others, other) = await gather(
        *(_tagged(box, t, size, k, viewer, key, known) for k, t in enumerate(tables))
    )
    places = None if seen is None or others is None else partners(seen, others)
    # The place of the partner, 0 if there is none.
    partner = await box.announce(viewer, places, (other.shape[0],))
    if (partner > one.shape[0]).any():
        raise RunError(
            "RUN-018",
            "a party announced partners of rows that do not exist",
            expected=f"places from 0 to {one.shape[0]}",
            party=f"party {viewer}",
            next="look at that party's log, and install the same version of tacit everywhere",
        )
    found = (partner > 0).astype(np.uint64)[:, None]
    brought = one[np.maximum(partner.astype(np.intp) - 1, 0)] * found
    done = await box.shuffle(Arith.concat([box.constant(found), brought, other], axis=1))
    return await box.a2b(done[:, 0], 1), done[:, 1:]


def partners(first: U64Array, second: U64Array) -> U64Array:
    """For each tag `[m, 2]` the place, from 1 on, of an equal one among `[n, 2]`; 0 if there is none."""
    order = np.lexsort((first[:, 1], first[:, 0]))
    sorted_ = first[order]
    at = np.searchsorted(sorted_[:, 0], second[:, 0])
    while True:
        place = np.minimum(at, len(sorted_) - 1)
        alike = (at < len(sorted_)) & (sorted_[place, 0] == second[:, 0])
        found = alike & (sorted_[place, 1] == second[:, 1])
        pending = alike & ~found
        if not pending.any():
            return np.where(found, order[place] + 1, 0).astype(np.uint64)
        at += pending


async def _tagged(
    box: BlackBox, table: Table, size: int, number: int, viewer: int, key: Bits, known: U64Array | None
) -> tuple[U64Array | None, Arith]:
    """(tags `[n, 2]`, None to all but the viewer, rows), in an order that nobody knows."""
    n = table.rows.shape[0]
    if table.home is not None:
        made = None
        if table.home == box.me and known is not None:
            plain = Plain()
            tags = await ascon.prf(plain, plain.constant_planes((1,), known), await _blocks(plain, table, size, number))
            made = await plain.open_tags(tags, plain.me)
        rows = await box.shuffle(Arith.concat([await box.input(table.home, made, (n, 2)), table.rows], axis=1))
        return await box.open_tags(rows[:, :2], viewer), rows[:, 2:]
    columns = [w.values.reshape((n, 1)) for w in table.keys]
    columns += [] if table.flags is None else [table.flags.reshape((n, 1))]
    rows = await box.shuffle(Arith.concat([*columns, table.rows], axis=1))
    count = len(table.keys)
    keys = [Word(rows[:, k], w.bits) for k, w in enumerate(table.keys)]
    moved = Table(None if table.flags is None else rows[:, count], keys, rows[:, len(columns) :])
    tagged = await ascon.prf(box, key, await _blocks(box, moved, size, number))
    return await box.open_tags(tagged, viewer), moved.rows


async def _blocks(box: BlackBox, table: Table, size: int, number: int) -> Bits:
    """What tags are made from: `size` bits of the key and two zeros, or, of a row that matches nothing, its place, a
    one, and the number of its table.
    """
    n = table.rows.shape[0]
    parts = await gather(*(box.a2b(w.values, w.bits) for w in table.keys))
    key = Bits.concat_bits([*parts, _zeros(box, n, size - sum(p.width for p in parts))])
    if table.flags is None:
        return key
    flag = await box.a2b(table.flags, 1)
    places = np.zeros((size, words_of(n)), np.uint64)
    bits = max((n - 1).bit_length(), 1)
    places[:bits] = kernels.to_planes(np.arange(n, dtype=np.uint64), bits)[:size]
    chosen = await box.and_(flag.planes(lambda p: np.repeat(p, size, axis=0)), box.xor_public(key, places))
    absent = box.invert(flag)
    return Bits.concat_bits([box.xor_public(chosen, places), absent, absent if number else _zeros(box, n, 1)])


def _zeros(box: BlackBox, n: int, width: int) -> Bits:
    return box.constant_planes((n,), np.zeros((width, words_of(n)), np.uint64))
