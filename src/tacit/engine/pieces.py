# SPDX-License-Identifier: Apache-2.0
"""Elementwise operations on large arrays, one piece after the other.

What a protocol computes between its rounds is many times the size of its operands. In pieces this stays bounded, and
small enough for the processor's caches. Rounds multiply by the number of pieces, which is little beside the time that
a piece takes to send, on any network.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Final

import numpy as np

from tacit.engine.call import Call, Handler, Value
from tacit.plan import TensorType
from tacit.protocols.shares import Arith, Bits, words_of

PIECE: Final = 1 << 20
"""Elements of a piece: a multiple of 64, so that bit planes are cut between words."""


def in_pieces(handler: Handler) -> Handler:
    """The same operation, in pieces where its result has more than `PIECE` elements."""

    async def call(c: Call) -> Value:
        n = prod(c.type.shape)
        if n <= PIECE:
            return await handler(c)
        operands = [_spread(v, c.type.shape) for v in c.values]
        whole: Value | None = None
        for start in range(0, n, PIECE):
            stop = min(start + PIECE, n)
            values = tuple(_piece(v, start, stop) for v in operands)
            types = tuple(_typed(t, stop - start) for t in c.types)
            piece = replace(c, values=values, types=types, type=_typed(c.type, stop - start))
            result = await handler(piece)
            if whole is None:
                whole = _empty_like(result, n)
            _put(whole, result, start, stop)
        assert whole is not None
        return whole.reshape(c.type.shape)

    return call


def _typed(t: TensorType, n: int) -> TensorType:
    return replace(t, shape=(n,))


def _spread(value: Value, shape: tuple[int, ...]) -> Value:
    if value.shape == shape:
        return value
    if isinstance(value, Bits):
        return value.elements(lambda p: np.broadcast_to(p, shape))
    return value.broadcast_to(shape)


def _piece(value: Value, start: int, stop: int) -> Value:
    if isinstance(value, Bits):
        words = slice(start // 64, words_of(stop))
        return Bits((stop - start,), *(np.ascontiguousarray(p[:, words]) for p in value.parts))
    # A broadcast operand is copied piece by piece, never as a whole.
    return value.map(lambda p: p.reshape(-1)[start:stop] if p.flags.c_contiguous else p.flat[start:stop])


def _empty_like(piece: Value, n: int) -> Value:
    """Room for n elements such as those of a piece: pieces are put in place as they come, never kept beside."""
    if isinstance(piece, Bits):
        return Bits((n,), *(np.empty((len(p), words_of(n)), np.uint64) for p in piece.parts))
    return Arith(*(np.empty(n, np.uint64) for _ in piece.parts))


def _put(whole: Value, piece: Value, start: int, stop: int) -> None:
    for into, part in zip(whole.parts, piece.parts, strict=True):
        if isinstance(piece, Bits):
            into[:, start // 64 : words_of(stop)] = part
        else:
            into[start:stop] = part
