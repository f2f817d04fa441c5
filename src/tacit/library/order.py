# SPDX-License-Identifier: Apache-2.0
"""How rows compare by several keys: the first key that differs decides, and of equal rows their position does.

Consecutive keys are joined into one word where their ranges leave room, so that one comparison settles them; words are
compared all at once, and equalities say which of the outcomes counts. Nothing is opened here.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np

from tacit.protocols.blackbox import BlackBox, place_bits
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith, Bits, Digits

Signs: TypeAlias = Coroutine[Any, Any, Bits]

WORD: Final = 2**63
"""Differences of values from fewer than so many keep their sign."""
_SIGN: Final = np.where(np.arange(64) == 63, np.uint64(2**64 - 1), np.uint64(0))[:, None]
"""Planes of the sign bit."""
LOW_WORD: Final = 2**62
"""As many may stand in a word behind another."""


@dataclass(frozen=True)
class Key:
    """A column to sort by. `bounds` are limits of its values: beyond them rows may compare in circles."""

    values: Arith
    bounds: tuple[int, int]
    descending: bool = False

    @property
    def bits(self) -> int:
        """What its values take."""
        lo, hi = self.bounds
        return (hi - lo).bit_length()


@dataclass(frozen=True)
class Words:
    """Rows as words that compare as they do, the first being the most significant, all ascending.

    Each has so many bits: 0 <= word < 2^width, or any int64 where the width is 64.
    """

    columns: tuple[Arith, ...]
    widths: tuple[int, ...]

    @property
    def wide(self) -> tuple[bool, ...]:
        """Of which words differences may leave the ring."""
        return tuple(width > 63 for width in self.widths)


def positions(box: BlackBox, shape: tuple[int, ...]) -> Arith:
    """Of each element its place along axis 0."""
    places = np.arange(shape[0], dtype=np.uint64).reshape(shape[0], *[1] * (len(shape) - 1))
    return box.constant(np.ascontiguousarray(np.broadcast_to(places, shape)))


def joined(box: BlackBox, keys: Sequence[Key], position: Arith | None) -> Words:
    """Keys, the most significant first, and a position along axis 0, if any, as the fewest words that can be. Local."""
    columns, bounds = [], []
    for key in keys:
        lo, hi = key.bounds
        # ~x turns the order of all int64 around, the least one included.
        columns.append(box.add_public(-key.values, -1 % 2**64) if key.descending else key.values)
        bounds.append((~hi, ~lo) if key.descending else (lo, hi))
    if position is not None:
        columns.append(position)
        bounds.append((0, 2 ** place_bits(position.shape[0]) - 1))
    widths = [hi - lo + 1 for lo, hi in bounds]
    groups = _groups(widths, WORD)
    if len(groups) > 1 and position is not None:
        groups = _groups(widths, LOW_WORD)
        alone = _groups(widths[:-1], LOW_WORD)
        if len(alone) < len(groups):
            # A word more in any case: the shorter it is, the cheaper.
            groups = [*alone, range(len(keys), len(keys) + 1)]
    words = []
    for group in groups:
        first, *rest = group
        word = columns[first]
        if widths[first] <= WORD:
            word = _from_zero(box, word, bounds[first][0])
        for k in rest:
            word = word * widths[k]
            word = word + _from_zero(box, columns[k], bounds[k][0])
        words.append(word)
    sizes = [prod(widths[k] for k in group) for group in groups]
    return Words(tuple(words), tuple(max((size - 1).bit_length(), 1) for size in sizes))


async def separated(box: BlackBox, key: Key, words: Arith, bits: int) -> tuple[Arith, Arith]:
    """(values, positions) from single words that one key and positions of that many bits were joined to."""
    planes = await box.a2b(words, 63)
    places, ranks = await gather(box.b2a(planes[:bits]), box.b2a(planes[bits:]))
    lo, hi = key.bounds
    return box.add_public(-ranks, hi % 2**64) if key.descending else box.add_public(ranks, lo % 2**64), places


def _from_zero(box: BlackBox, x: Arith, lo: int) -> Arith:
    return box.add_public(x, -lo % 2**64) if lo else x


def _groups(widths: Sequence[int], room: int) -> list[range]:
    """Consecutive columns that fit one word each, from the last one on."""
    groups: list[range] = []
    end = len(widths)
    while end:
        start = end - 1
        while start and prod(widths[start - 1 : end]) <= room:
            start -= 1
        groups.insert(0, range(start, end))
        end = start
    return groups


async def before(
    box: BlackBox, words: Words, differences: Sequence[Arith], signs: Sequence[tuple[Signs, Signs]]
) -> Bits:
    """1 where a row comes before another, by the `differences` of their words.

    For each wide word `signs` gives the sign bits of both rows' words. One sign bit if there is one word; one
    lexicographic comparison if there are two; for each word more a sign bit, an equality and an AND, and for each wide
    word an AND, the ANDs one after another.
    """
    count = len(differences)
    if count == 1:
        return await box.msb(differences[0])
    wide = [k for k in range(count) if words.wide[k]]
    found = await gather(
        *(box.msb(differences[k]) for k in range(count - 2)),
        box.precedes(differences[-2], differences[-1], words.widths[-1]),
        *(box.is_zero(differences[k]) for k in range(count - 2)),
        *(sign for pair in signs for sign in pair),
    )
    less: list[Bits] = found[: count - 1]
    equal = found[count - 1 : 2 * count - 3]
    sides = found[2 * count - 3 :]
    fixed = await gather(
        *(_unwrapped(box, less[k], sides[2 * i], sides[2 * i + 1]) for i, k in enumerate(wide)),
    )
    for k, bit in zip(wide, fixed, strict=True):
        less[k] = bit
    result = less[-1]
    for k in reversed(range(count - 2)):
        result = less[k] ^ await box.and_(equal[k], result)
    return result


async def digits(box: BlackBox, words: Words, places: Bits) -> Digits:
    """The words of each row and then its place as one number of all their bits, made ready for comparisons."""
    pairs = zip(words.columns, words.widths, strict=True)
    planes = await gather(*(box.a2b(column, width) for column, width in pairs))
    for k, wide in enumerate(words.wide):
        if wide:
            # Signed: with the sign turned around they are in order as unsigned numbers are.
            planes[k] = box.xor_public(planes[k], _SIGN)
    return await box.digits(Bits.concat_bits([places, *planes[::-1]]))


async def _unwrapped(box: BlackBox, less: Bits, sign: Bits, other: Bits) -> Bits:
    # The difference can have wrapped only between values of different signs, and then the sign decides.
    fixed: Bits = less ^ await box.and_(sign ^ other, sign ^ less)
    return fixed
