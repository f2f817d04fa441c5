# SPDX-License-Identifier: Apache-2.0
"""Operations with several results: each moves the rows of all its arrays at once, in the table `SEVERAL`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from math import prod
from typing import Final, TypeAlias

import numpy as np

from tacit.engine.call import Call, Value
from tacit.library import compact, groups
from tacit.plan import BOOL
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith, Bits, unpack_plane

Moving: TypeAlias = Callable[[BlackBox, Arith, Arith], Awaitable[Arith]]
"""What is done to rows `[n, columns]`, given flags `[n]`."""


def _moved(move: Moving) -> Callable[[Call], Awaitable[list[Value]]]:
    """All arrays side by side as the columns of one, moved at once, and apart again; bits travel as numbers."""

    async def call(c: Call) -> list[Value]:
        box = c.box
        boolean = [k for k in range(1, len(c.types)) if c.types[k].dtype == BOOL]
        flags, *numbers = await gather(_number(c, 0), *(_number(c, k) for k in boolean))
        known = dict(zip(boolean, numbers, strict=True))
        columns = [_columns(known[k] if k in known else c.lifted(k)) for k in range(1, len(c.types))]
        rows = await move(box, flags, Arith.concat(columns, axis=1))
        ends = np.cumsum([column.shape[1] for column in columns]).tolist()
        parts: list[Value] = []
        for end, column, t in zip(ends, columns, c.types[1:], strict=True):
            part = rows[:, end - column.shape[1] : end]
            parts.append(part.map(np.ascontiguousarray).reshape((rows.shape[0], *t.shape[1:])))
        back = await gather(*(box.a2b(_arith(parts[k - 1]), 1) for k in boolean))
        for k, bits in zip(boolean, back, strict=True):
            parts[k - 1] = bits
        return parts

    return call


async def _number(c: Call, k: int) -> Arith:
    """Boolean operand k as numbers, at no cost where it is public."""
    value = c.values[k]
    if c.is_public(k) and isinstance(value, Bits):
        return c.box.constant(unpack_plane(value.parts[0][0], value.size).reshape(value.shape).astype(np.uint64))
    return await c.box.b2a(c.bits(k, c.types[k].shape))


def _columns(x: Arith) -> Arith:
    return x.reshape((x.shape[0], prod(x.shape[1:])))


def _arith(value: Value) -> Arith:
    assert not isinstance(value, Bits)
    return value


SEVERAL: Final[Mapping[str, Callable[[Call], Awaitable[list[Value]]]]] = {
    "compress": _moved(compact.compress),
    "expand": _moved(compact.expand),
    "fill_forward": _moved(compact.fill_forward),
    "run_sums": _moved(groups.run_sums),
    "running_sum": _moved(groups.running_sum),
}
