# SPDX-License-Identifier: Apache-2.0
"""Ascon-PRFshort: a pseudorandom function of 128 bits under a secret key, on secret values.

One call of the permutation of Ascon (NIST SP 800-232), 12 rounds on IV || key || input, whose last two words plus the
key are the output. Its S-box is of degree two, so that a round takes one round of messages; bits stay bit-sliced, where
a rotation only takes other planes. Nothing is opened.

Source: Dobraunig, Eichlseder, Mendel, Schläffer 2021 (ePrint 2021/1574).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import pipelined
from tacit.protocols.shares import Bits, U64Array

BITS: Final = 128
"""Of the key, of the input and of the output."""
ROUNDS: Final = 12
_IV: Final = 0x8080_4C80_0000_0000
"""Of a key, an input and an output of 128 bits."""
_ROTATIONS: Final = ((19, 28), (61, 39), (1, 6), (10, 17), (7, 41))
_WORD: Final = 64
_STATE: Final = 5 * _WORD
_TURNED: Final = 7 * _WORD
"""The planes of the state and again those of its first two words, so that the words after each are a slice."""
_ONES: Final = np.uint64(2**64 - 1)


def _constant(words: Mapping[int, int]) -> U64Array:
    """Planes `[448, 1]` with some public words, the same for every element."""
    planes = np.zeros((7, _WORD, 1), np.uint64)
    for k in range(7):
        planes[k, :, 0] = [_ONES * np.uint64(words.get(k % 5, 0) >> j & 1) for j in range(_WORD)]
    return planes.reshape(_TURNED, 1)


_ROUND: Final = tuple(0xF0 - 0xF * r for r in range(ROUNDS))
_CONSTANTS: Final = (
    _constant({0: _IV, 2: _ROUND[0]}),
    # With what the S-box of the round before leaves to do: to invert word 2.
    *(_constant({2: c ^ 2**64 - 1}) for c in _ROUND[1:]),
)


async def prf(box: BlackBox, key: Bits, x: Bits) -> Bits:
    """The 128 bits of output for each of `[n]` inputs of at most 128 bits, under one key, `[1]` of 128 bits.

    Bit j of a word of Ascon is plane j of 64, and the first word of key, input and output is their lower half; an input
    of fewer bits has zeros above. 12 rounds; 1,392 bytes for each input in total, of inputs rounded up to 64.
    """
    spans = box.network.spans(x.size)
    # A bit of the key in every place of its plane.
    keys = key.planes(lambda p: -(p[:, :1] & np.uint64(1)))
    if len(spans) == 1:
        return await _prf(box, keys, x)
    done: dict[int, Bits] = {}

    async def piece(start: int, stop: int) -> None:
        part = x.planes(lambda p: p[:, start // 64 : -(-stop // 64)], shape=(stop - start,))
        done[start] = await _prf(box, keys, part)

    await pipelined((piece(*span) for span in spans), box.network.in_flight)
    return Bits.concat([done[start] for start, _ in spans])


async def _prf(box: BlackBox, keys: Bits, x: Bits) -> Bits:
    state = box.linear(_absorbed, x, keys, width=_TURNED)
    for number, constant in enumerate(_CONSTANTS, start=1):
        state = box.linear(_before, box.xor_public(state, constant), width=_TURNED)
        # Of the last round only the words 3 and 4 are wanted, and what they are made from.
        first = 0 if number < ROUNDS else 2 * _WORD
        products = await box.and_(state[first + _WORD : _STATE + _WORD], state[first + 2 * _WORD : _TURNED])
        if number < ROUNDS:
            state = box.linear(_after, products, state, width=_TURNED)
    return box.linear(_output, products, state, keys, width=BITS)


def _absorbed(x: U64Array, keys: U64Array) -> U64Array:
    out = np.zeros((_TURNED, x.shape[1]), np.uint64)
    out[_WORD : _WORD + BITS] = keys
    out[_WORD + BITS : _WORD + BITS + len(x)] = x
    out[_STATE:] = out[: 2 * _WORD]
    return out


def _before(state: U64Array) -> U64Array:
    """The part of the S-box before the products, in place: nobody else has the state."""
    w = state.reshape(7, _WORD, -1)
    w[0] ^= w[4]
    w[4] ^= w[3]
    w[2] ^= w[1]
    w[5] = w[0]
    return state


def _after(products: U64Array, state: U64Array) -> U64Array:
    """The rest of the S-box, without its inversion, and the linear layer."""
    w = (products ^ state[:_STATE]).reshape(5, _WORD, -1)
    w ^= state[2 * _WORD :].reshape(5, _WORD, -1)
    w[1] ^= w[0]
    w[0] ^= w[4]
    w[3] ^= w[2]
    out = np.empty((7, *w.shape[1:]), np.uint64)
    for k in range(5):
        out[k] = _mixed(w[k], k)
    out[5:] = out[:2]
    return out.reshape(_TURNED, -1)


def _output(products: U64Array, state: U64Array, keys: U64Array) -> U64Array:
    w = (products ^ state[2 * _WORD : _STATE]).reshape(3, _WORD, -1)
    w ^= state[4 * _WORD :].reshape(3, _WORD, -1)
    w[1] ^= w[0]
    return np.concatenate([_mixed(w[k], k + 2) for k in (1, 2)]) ^ keys


def _mixed(word: U64Array, k: int) -> U64Array:
    """A word plus itself turned right twice: bit j + turn becomes bit j."""
    out = word.copy()
    for turn in _ROTATIONS[k]:
        out[:-turn] ^= word[turn:]
        out[-turn:] ^= word[:turn]
    return out
