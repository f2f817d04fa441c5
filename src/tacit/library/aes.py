# SPDX-License-Identifier: Apache-2.0
"""AES-128 (FIPS-197) under a secret key, on secret blocks.

A block is 128 bits: bit j, least significant first, of byte i is element 8 i + j, so the planes of single bits hold the
bytes of the blocks in order. The S-box is x^254 in GF(2^8) and a linear map: squaring is linear, so that four products
in three rounds do (the chain 3, 14 and 15, 254; for the number of products see Rivain, Prouff 2010, ePrint 2010/441).
The S-boxes of the key schedule run beside those of the round before. Nothing is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tacit import kernels
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Bits, U64Array, words_of

ROUND_CONSTANTS: Final = (0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1B, 0x36)

_AFFINE: Final = 0x6363_6363_6363_6363
"""The constant of the S-box in every byte. ShiftRows and MixColumns leave it as it is."""
_FIRST_BYTES: Final = 0x0000_0001_0000_0001


async def encrypt(box: BlackBox, key: Bits, blocks: Bits) -> Bits:
    """The encrypted blocks, `[..., 128]` single bits, under one key `[128]` or one for each block.

    30 rounds and 1,920 bytes per block in total, and as much as for a quarter of a block (480 bytes, 960 for one key
    alone, since whole words travel) per key.
    """
    if not blocks.size:
        return blocks
    state = _linear(lambda p, k: (p.reshape(-1, 2) ^ k.reshape(-1, 2)).reshape(-1), blocks, key)
    for number, constant in enumerate(ROUND_CONSTANTS, start=1):
        inverse, word = await gather(_inverse(box, state), _inverse(box, _last_column(key)))
        key = _next_key(box, key, word, constant)
        mix = number < len(ROUND_CONSTANTS)
        # The constant of the S-box comes with the round key.
        state = _linear(partial(kernels.aes_layer, mix=mix), inverse, _xor(box, key, _AFFINE))
    return state


async def _inverse(box: BlackBox, x: Bits) -> Bits:
    """x^254, the inverse of every byte and 0 for 0: 3 rounds, 12 bytes in total per byte."""
    cube = await box.gf256_mul(x, x, (0, 1))
    fourteenth, fifteenth = await gather(box.gf256_mul(cube, x, (2, 1)), box.gf256_mul(cube, cube, (2, 0)))
    del cube  # Freed before the last round: each of these values is as large as the blocks.
    result: Bits = await box.gf256_mul(fifteenth, fourteenth, (4, 0))
    return result


def _last_column(key: Bits) -> Bits:
    """The last of the four columns of each key."""

    def column(words: U64Array) -> U64Array:
        columns = _columns(words)[:, 3]
        out = np.zeros(words_of(32 * columns.size), np.uint64)
        out.view(np.uint32)[: columns.size] = columns
        return out

    return _linear(column, key, shape=(key.size // 4,))


def _next_key(box: BlackBox, key: Bits, inverse: Bits, constant: int) -> Bits:
    """The next round key, from this one and the inverses of the bytes of its last column."""

    def expanded(key: U64Array, inverse: U64Array) -> U64Array:
        columns = _columns(key)
        word = inverse.view(np.uint32)[: len(columns)]
        turned = (word >> np.uint32(8)) | (word << np.uint32(24))
        # Equal columns, which ShiftRows leaves as they are: what is left of the layer is the S-box and the sum.
        blocks = np.repeat(turned, 4).view(np.uint64)
        sums = np.bitwise_xor.accumulate(columns, axis=1).reshape(-1).view(np.uint64)
        return kernels.aes_layer(blocks, sums, False)

    return _xor(box, _linear(expanded, key, inverse), _AFFINE ^ constant * _FIRST_BYTES)


def _columns(words: U64Array) -> NDArray[np.uint32]:
    return words.view(np.uint32).reshape(-1, 4)


def _xor(box: BlackBox, x: Bits, word: int) -> Bits:
    return box.xor_public(x, np.array([[word]], np.uint64))


def _linear(function: Callable[..., U64Array], *values: Bits, shape: tuple[int, ...] | None = None) -> Bits:
    """A function of the words of some values that is linear over GF(2), in the shape of the first unless given."""
    first, *others = values

    def of_planes(*planes: U64Array) -> U64Array:
        return function(*(np.ascontiguousarray(p).reshape(-1) for p in planes))[None]

    return first.planes(of_planes, *others, shape=shape)
