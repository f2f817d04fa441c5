# SPDX-License-Identifier: Apache-2.0
"""Elementwise operations on large arrays in pieces, which follow each other through the network."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from tacit.engine.call import Call, Handler, Value
from tacit.protocols.exchange import pipelined
from tacit.protocols.shares import Arith, Bits, U64Array, words_of


def in_pieces(handler: Handler, row: int = 1) -> Handler:
    """The same operation, in pieces where its result is large, of whole rows of `row` elements.

    Where a row has several elements, an operand of one row goes to every piece as it is.
    """

    def call(c: Call) -> Awaitable[Value]:
        n = prod(c.type.shape) // row
        if n < c.box.network.least:
            return handler(c)
        spans = c.box.network.spans(n)
        return handler(c) if len(spans) == 1 else pieces(c, spans)

    async def pieces(c: Call, spans: Sequence[tuple[int, int]]) -> Value:
        common = [row > 1 and v.size == row for v in c.values]
        operands = [v if one else _spread(v, c.type.shape) for v, one in zip(c.values, common, strict=True)]
        whole = _Whole(c.type.shape)

        async def piece(start: int, stop: int) -> None:
            shape = (stop - start,) if row == 1 else (stop - start, row)
            values, types = list(c.values), list(c.types)
            for k, one in enumerate(common):
                if not one:
                    values[k] = _piece(operands[k], row * start, row * stop).reshape(shape)
                    types[k] = replace(types[k], shape=shape)
            part = replace(c, values=tuple(values), types=tuple(types), type=replace(c.type, shape=shape))
            whole.put(row * start, await handler(part))

        await pipelined((piece(*span) for span in spans), c.box.network.in_flight)
        return whole.value()

    return call


def _spread(value: Value, shape: tuple[int, ...]) -> Value:
    if value.shape == shape:
        return value
    if isinstance(value, Bits):
        return value.elements(lambda p: np.broadcast_to(p, shape))
    return value.broadcast_to(shape)


def _piece(value: Value, start: int, stop: int) -> Value:
    if isinstance(value, Bits):
        return value.piece(start, stop)
    # A broadcast operand is copied piece by piece, never as a whole.
    return value.map(lambda p: p.reshape(-1)[start:stop] if p.flags.c_contiguous else p.flat[start:stop])


class _Whole:
    """A result that is put together as its pieces come, so that none of them is kept."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._width: int | None = None
        self._parts: list[U64Array] = []

    def put(self, start: int, piece: Value) -> None:
        n = prod(self._shape)
        if not self._parts:
            self._width = piece.width if isinstance(piece, Bits) else None
            size = (n,) if self._width is None else (self._width, words_of(n))
            self._parts = [np.empty(size, np.uint64) for _ in piece.parts]
        at = start if self._width is None else start // 64
        for whole, part in zip(self._parts, piece.parts, strict=True):
            if self._width is None:
                whole[at : at + part.size] = part.reshape(-1)
            else:
                whole[:, at : at + part.shape[1]] = part

    def value(self) -> Value:
        if self._width is not None:
            return Bits(self._shape, *self._parts)
        return Arith(*(part.reshape(self._shape) for part in self._parts))
