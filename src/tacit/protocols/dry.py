# SPDX-License-Identifier: Apache-2.0
"""A protocol that moves no data: it pays what another protocol declares, on zeros of the right shape.

Running the library's own coroutines on it gives the exact rounds and bytes of a plan before anything is signed,
including how `gather` merges rounds, because it is the same program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tacit.protocols.blackbox import Bilinear, BlackBox, Cost, place_bits
from tacit.protocols.exchange import Exchange
from tacit.protocols.shares import DIGIT, Arith, Bits, Digits, U64Array, words_of

_ZERO = np.uint64(0)


def _arith(shape: tuple[int, ...]) -> Arith:
    return Arith(np.broadcast_to(_ZERO, shape))


def _bits(shape: tuple[int, ...], width: int) -> Bits:
    return Bits(shape, np.broadcast_to(_ZERO, (width, words_of(prod(shape)))))


class Dry(BlackBox):
    """Stands for one party of `protocol`; each exchange carries the bytes that all parties together would send."""

    name: ClassVar[str] = "dry"
    secure: ClassVar[bool] = False

    def __init__(self, protocol: type[BlackBox], parties: int) -> None:
        self.me = 0
        self.parties = parties
        self.protocol = protocol
        self.network = protocol.network
        self.calls: list[tuple[str, Cost]] = []

    def declared_cost(self, primitive: str, *args: Any, **kwargs: Any) -> Cost | None:
        """What the protocol declares for a primitive, or None if it inherits the generic composition."""
        method = getattr(self.protocol, primitive)
        if not hasattr(method, "cost"):
            return None
        cost: Cost = method.cost(self, *args, **kwargs)
        return cost

    async def _pay(self, primitive: str, *args: Any) -> bool:
        cost = self.declared_cost(primitive, *args)
        if cost is None:
            return False
        self.calls.append((primitive, cost))
        for i in range(cost.rounds):
            carried = np.broadcast_to(np.uint8(0), cost.bytes_total if i == 0 else 0)
            await Exchange({self.me: [carried]}, {})
        return True

    def add_public(self, x: Arith, c: U64Array | int) -> Arith:
        """Only the shape changes."""
        return _arith(np.broadcast_shapes(x.shape, np.shape(c)))

    def xor_public(self, x: Bits, planes: U64Array) -> Bits:
        """Nothing changes."""
        return x

    def constant(self, c: U64Array) -> Arith:
        """Zeros of its shape."""
        return _arith(np.shape(c))

    def constant_planes(self, shape: tuple[int, ...], planes: U64Array) -> Bits:
        """Zeros of its shape."""
        return _bits(shape, len(planes))

    def random_bits(self, shape: tuple[int, ...], width: int) -> Bits:
        """Zeros: randomness is free where the protocol says so."""
        return _bits(shape, width)

    def bits_without(self, party: int, width: int) -> tuple[Bits, U64Array | None]:
        """Zeros that nobody need know."""
        return _bits((1,), width), None

    def linear(self, function: Callable[..., U64Array], *values: Bits, width: int) -> Bits:
        """Zeros."""
        return _bits(values[0].shape, width)

    async def input(self, owner: int, values: U64Array | None, shape: tuple[int, ...]) -> Arith:
        """Pays for an input."""
        await self._pay("input", owner, values, shape)
        return _arith(shape)

    async def input_bits(self, owner: int, values: U64Array | None, shape: tuple[int, ...], width: int) -> Bits:
        """Pays for a Boolean input."""
        await self._pay("input_bits", owner, values, shape, width)
        return _bits(shape, width)

    async def reveal(self, x: Arith | Bits, to: int | None = None) -> U64Array | None:
        """Pays for an opening."""
        await self._pay("reveal", x, to)
        return np.zeros(x.shape, np.uint64)

    def for_client(self, x: Arith | Bits) -> U64Array:
        """Zeros."""
        return np.zeros(x.shape, np.uint64)

    @staticmethod
    def combine(shares: Sequence[U64Array], boolean: bool = False) -> U64Array:
        """Zeros."""
        return shares[0]

    @staticmethod
    def deal(values: U64Array, seeds: Sequence[bytes]) -> list[bytes]:
        """Nothing to deal."""
        return [b"" for _ in seeds]

    def receive(self, message: bytes, shape: tuple[int, ...]) -> Arith:
        """Zeros."""
        return _arith(shape)

    async def bilinear(self, op: Bilinear, x: Arith, y: Arith) -> Arith:
        """Pays for a product."""
        await self._pay("bilinear", op, x, y)
        return _arith(op.shape(x.shape, y.shape))

    async def bilinear_truncate(self, op: Bilinear, x: Arith, y: Arith, f: int, exact: bool = False) -> Arith:
        """Pays for a product with truncation."""
        if not await self._pay("bilinear_truncate", op, x, y, f, exact):
            return await super().bilinear_truncate(op, x, y, f, exact)
        return _arith(op.shape(x.shape, y.shape))

    async def and_(self, x: Bits, y: Bits) -> Bits:
        """Pays for an AND."""
        await self._pay("and_", x, y)
        return x

    async def gf256_mul(self, x: Bits, y: Bits, squarings: tuple[int, int] = (0, 0)) -> Bits:
        """Pays for a product of bytes."""
        await self._pay("gf256_mul", x, y, squarings)
        return x

    async def truncate(self, x: Arith, f: int, exact: bool = False) -> Arith:
        """Pays for a truncation."""
        await self._pay("truncate", x, f, exact)
        return x

    async def a2b(self, x: Arith, width: int = 64) -> Bits:
        """Pays for a decomposition."""
        await self._pay("a2b", x, width)
        return _bits(x.shape, width)

    async def b2a(self, b: Bits) -> Arith:
        """Pays for a composition."""
        await self._pay("b2a", b)
        return _arith(b.shape)

    async def msb(self, x: Arith) -> Bits:
        """Pays for a sign bit."""
        return _bits(x.shape, 1) if await self._pay("msb", x) else await super().msb(x)

    async def is_zero(self, x: Arith) -> Bits:
        """Pays for a zero test."""
        return _bits(x.shape, 1) if await self._pay("is_zero", x) else await super().is_zero(x)

    async def inject(self, b: Bits, x: Arith) -> Arith:
        """Pays for a product of a bit and an element."""
        return x if await self._pay("inject", b, x) else await super().inject(b, x)

    async def lut(self, index: Bits, table: U64Array, out_bits: int) -> Bits:
        """Pays for a table look-up."""
        await self._pay("lut", index, table, out_bits)
        return _bits(index.shape, out_bits)

    async def lut_numbers(self, index: Bits, table: U64Array, widths: Sequence[int]) -> Arith:
        """Pays for a table look-up whose fields become numbers."""
        await self._pay("lut_numbers", index, table, widths)
        return _arith((len(widths), *index.shape))

    async def lut_near(self, x: Arith, drop: int, table: U64Array, widths: Sequence[int]) -> Arith:
        """Pays for a table look-up at a sum."""
        await self._pay("lut_near", x, drop, table, widths)
        return _arith((len(widths), *x.shape))

    async def shuffle(self, rows: Arith) -> Arith:
        """Pays for a shuffle."""
        await self._pay("shuffle", rows)
        return rows

    async def shuffle_places(self, rows: Arith) -> tuple[Arith, Bits]:
        """Pays for a shuffle with places."""
        await self._pay("shuffle_places", rows)
        return rows, _bits(rows.shape[:1], place_bits(rows.shape[0]))

    async def precedes(self, high: Arith, low: Arith, bits: int) -> Bits:
        """Pays for a lexicographic comparison."""
        if await self._pay("precedes", high, low, bits):
            return _bits(high.shape, 1)
        return await super().precedes(high, low, bits)

    async def digits(self, b: Bits) -> Digits:
        """Pays for digits."""
        await self._pay("digits", b)
        return Digits(-(-b.width // DIGIT), np.broadcast_to(_ZERO, b.shape))

    async def open_outcomes(self, b: Bits) -> None:
        """Pays; there are no outcomes."""
        await self._pay("reveal", b, None)

    async def open_less(self, x: Digits, left: NDArray[np.intp], right: NDArray[np.intp]) -> None:
        """Pays; there are no outcomes."""
        await self._pay("open_less", x, left, right)

    async def announce(self, owner: int, values: U64Array | None, shape: tuple[int, ...]) -> U64Array:
        """Pays; zeros."""
        await self._pay("announce", owner, values, shape)
        return np.zeros(shape, np.uint64)

    async def open_positions(self, x: Arith) -> NDArray[np.intp]:
        """Pays; the identity."""
        await self._pay("reveal", x, None)
        return np.arange(x.size).reshape(x.shape)
