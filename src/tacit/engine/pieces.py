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
from tacit.protocols.shares import Arith, Bits

PIECE: Final = 1 << 20
"""Elements, or rows, of a piece: a multiple of 64, so that bit planes are cut between words."""


def in_pieces(handler: Handler, row: int = 1) -> Handler:
    """The same operation, in pieces where its result has more than `PIECE` rows of `row` elements.

    Where a row has several elements, an operand of one row goes to every piece as it is.
    """

    async def call(c: Call) -> Value:
        n = prod(c.type.shape) // row
        if n <= PIECE:
            return await handler(c)
        whole = [row > 1 and v.size == row for v in c.values]
        operands = [v if w else _spread(v, c.type.shape) for v, w in zip(c.values, whole, strict=True)]
        pieces = []
        for start in range(0, n, PIECE):
            stop = min(start + PIECE, n)
            shape = (stop - start,) if row == 1 else (stop - start, row)
            values, types = [], []
            for v, t, w in zip(operands, c.types, whole, strict=True):
                values.append(v if w else _piece(v, row * start, row * stop).reshape(shape))
                types.append(t if w else replace(t, shape=shape))
            piece = replace(c, values=tuple(values), types=tuple(types), type=replace(c.type, shape=shape))
            pieces.append(await handler(piece))
        return _joined(pieces, c.type.shape)

    return call


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


def _joined(pieces: list[Value], shape: tuple[int, ...]) -> Value:
    bits = [p for p in pieces if isinstance(p, Bits)]
    if bits:
        parts = zip(*(p.parts for p in bits), strict=True)
        return Bits(shape, *(np.concatenate(planes, axis=1) for planes in parts))
    return Arith.concat([p.reshape((-1,)) for p in pieces if isinstance(p, Arith)]).reshape(shape)
