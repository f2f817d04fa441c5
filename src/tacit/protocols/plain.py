# SPDX-License-Identifier: Apache-2.0
"""The protocol in the clear: every party holds every value.

It gives no secrecy between its parties. It is the oracle of the differential tests, evaluates what is public or
private to one party, and is the body of the enclave back-end. With more than one party, `input` sends the values to
all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tacit import kernels
from tacit.protocols.blackbox import FREE, Bilinear, BlackBox, Cost, declared, place_bits
from tacit.protocols.exchange import Exchange
from tacit.protocols.shares import DIGIT, Arith, Bits, Digits, U64Array


def _contiguous(x: U64Array) -> U64Array:
    return np.ascontiguousarray(x).reshape(-1)


def bits_of(values: U64Array, width: int) -> Bits:
    """Clear words as a single-component `Bits`."""
    values = np.asarray(values)
    return Bits(values.shape, kernels.to_planes(_contiguous(values), width))


def words_of_bits(b: Bits) -> U64Array:
    """The clear words of a single-component `Bits`, in its shape."""
    return kernels.from_planes(np.ascontiguousarray(b.parts[0]), b.size).reshape(b.shape)


def _fields(words: U64Array, widths: Sequence[int]) -> Arith:
    """Fields of clear words, the lowest first, on a new first axis."""
    ends = accumulate(widths)
    return Arith(np.stack([words >> np.uint64(e - w) & np.uint64(2**w - 1) for w, e in zip(widths, ends, strict=True)]))


class Plain(BlackBox):
    """`parties` replicas of the clear value. No security between them; 8 bytes per element and peer at inputs."""

    name: ClassVar[str] = "plain"
    secure: ClassVar[bool] = False

    def __init__(self, me: int = 0, parties: int = 1, seed: bytes = bytes(16)) -> None:
        self.me = me
        self.parties = parties
        self._key = kernels.PrgKey(seed)
        self._step = 0

    def _next_step(self) -> int:
        self._step += 1
        return self._step

    def add_public(self, x: Arith, c: U64Array | int) -> Arith:
        """x + c."""
        return x + self.constant(np.asarray(c if not isinstance(c, int) else np.uint64(c & (2**64 - 1))))

    def xor_public(self, x: Bits, planes: U64Array) -> Bits:
        """x ^ c."""
        return x.planes(lambda p: p ^ planes)

    def constant(self, c: U64Array) -> Arith:
        """The array itself."""
        return Arith(np.asarray(c, dtype=np.uint64))

    def constant_planes(self, shape: tuple[int, ...], planes: U64Array) -> Bits:
        """The planes themselves."""
        return Bits(shape, planes)

    def random_bits(self, shape: tuple[int, ...], width: int) -> Bits:
        """Uniform bits from the common seed."""
        words = -(-prod(shape) // 64)
        return Bits(shape, kernels.prg_words(self._key, self._next_step(), width * words).reshape(width, words))

    def bits_without(self, party: int, width: int) -> tuple[Bits, U64Array | None]:
        """Uniform bits from the common seed, which everyone has."""
        bits = self.random_bits((1,), width)
        return bits, bits.parts[0]

    @declared(
        lambda self, owner, values, shape: (
            Cost(1, 8 * prod(shape) * (self.parties - 1)) if prod(shape) and self.parties > 1 else Cost()
        )
    )
    async def input(self, owner: int, values: U64Array | None, shape: tuple[int, ...]) -> Arith:
        """The owner sends the values to every other party, in the clear."""
        if self.parties == 1 or prod(shape) == 0:
            return Arith(np.zeros(shape, np.uint64) if values is None else np.asarray(values).reshape(shape))
        if owner == self.me:
            assert values is not None
            data = _contiguous(values)
            await Exchange({p: [data] for p in range(self.parties) if p != self.me}, {})
            return Arith(data.reshape(shape))
        inbox = await Exchange({}, {owner: 8 * prod(shape)})
        return Arith(np.frombuffer(inbox[owner], dtype=np.uint64).reshape(shape))

    @declared(
        lambda self, owner, values, shape, width: (
            Cost(1, 8 * prod(shape) * (self.parties - 1)) if prod(shape) and self.parties > 1 else Cost()
        )
    )
    async def input_bits(self, owner: int, values: U64Array | None, shape: tuple[int, ...], width: int) -> Bits:
        """As `input`; each word travels as 8 bytes."""
        return bits_of((await self.input(owner, values, shape)).parts[0], width)

    @declared(
        lambda self, owner, values, shape: (
            Cost(1, 8 * prod(shape) * (self.parties - 1)) if prod(shape) and self.parties > 1 else Cost()
        )
    )
    async def announce(self, owner: int, values: U64Array | None, shape: tuple[int, ...]) -> U64Array:
        """As `input`."""
        return (await self.input(owner, values, shape)).parts[0]

    @declared(FREE)
    async def reveal(self, x: Arith | Bits, to: int | None = None) -> U64Array | None:
        """Every party holds it already; `to` only decides who is given it."""
        if to is not None and to != self.me:
            return None
        return words_of_bits(x) if isinstance(x, Bits) else x.parts[0]

    def for_client(self, x: Arith | Bits) -> U64Array:
        """The values."""
        return words_of_bits(x) if isinstance(x, Bits) else x.parts[0]

    @staticmethod
    def combine(shares: Sequence[U64Array], boolean: bool = False) -> U64Array:
        """Any of the equal replicas."""
        return shares[0]

    @staticmethod
    def deal(values: U64Array, seeds: Sequence[bytes]) -> list[bytes]:
        """The same values for every party; as many as there are seeds."""
        return [_contiguous(values).tobytes() for _ in seeds]

    def receive(self, message: bytes, shape: tuple[int, ...]) -> Arith:
        """The values."""
        if len(message) != 8 * prod(shape):
            raise ValueError("wrong length of a client's message")
        return Arith(np.frombuffer(message, dtype=np.uint64).reshape(shape))

    @declared(FREE)
    async def bilinear(self, op: Bilinear, x: Arith, y: Arith) -> Arith:
        """op on clear values."""
        return Arith(op.apply(x.parts[0], y.parts[0]))

    @declared(FREE)
    async def and_(self, x: Bits, y: Bits) -> Bits:
        """AND of clear bits."""
        return Bits(x.shape, x.parts[0] & y.parts[0])

    @declared(FREE)
    async def gf256_mul(self, x: Bits, y: Bits, squarings: tuple[int, int] = (0, 0)) -> Bits:
        """Products of clear bytes."""
        a, b = (np.ascontiguousarray(v.parts[0]) for v in (x, y))
        return Bits(x.shape, kernels.gf256_mul(a, b, *squarings))

    @declared(FREE)
    async def truncate(self, x: Arith, f: int, exact: bool = False) -> Arith:
        """floor(x / 2^f + 1/2), which is inside what either mode of a secure protocol may give."""
        half = np.uint64(1 << (f - 1))
        return Arith(((x.parts[0] + half).view(np.int64) >> np.int64(f)).view(np.uint64))

    @declared(FREE)
    async def a2b(self, x: Arith, width: int = 64) -> Bits:
        """The low bits."""
        return bits_of(x.parts[0], width)

    @declared(FREE)
    async def b2a(self, b: Bits) -> Arith:
        """The word as a number."""
        return Arith(words_of_bits(b))

    @declared(FREE)
    async def lut(self, index: Bits, table: U64Array, out_bits: int) -> Bits:
        """A table look-up."""
        return bits_of(np.asarray(table)[words_of_bits(index)], out_bits)

    @declared(FREE)
    async def lut_numbers(self, index: Bits, table: U64Array, widths: Sequence[int]) -> Arith:
        """A table look-up, taken apart."""
        return _fields(np.asarray(table)[words_of_bits(index)], widths)

    @declared(FREE)
    async def lut_near(self, x: Arith, drop: int, table: U64Array, widths: Sequence[int]) -> Arith:
        """At floor(x / 2^drop), which is one of the two."""
        return _fields(table[(x.parts[0] >> np.uint64(drop)) & np.uint64(table.size - 1)], widths)

    @declared(FREE)
    async def shuffle(self, rows: Arith) -> Arith:
        """A permutation from the common seed."""
        return (await self.shuffle_places(rows))[0]

    @declared(FREE)
    async def shuffle_places(self, rows: Arith) -> tuple[Arith, Bits]:
        """A permutation from the common seed, and that itself."""
        n = rows.shape[0]
        perm = kernels.prg_permutation(self._key, self._next_step(), n)
        return rows[perm], Bits((n,), kernels.to_planes(perm.astype(np.uint64), place_bits(n)))

    @declared(FREE)
    async def digits(self, b: Bits) -> Digits:
        """The words themselves, 64 bits at a time, the most significant first."""
        starts = range(0, b.width, 64)
        words = [words_of_bits(b[start : start + 64]) for start in reversed(starts)]
        return Digits(-(-b.width // DIGIT), np.stack(words, axis=1))

    @declared(FREE)
    async def open_less(self, x: Digits, left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.bool_]:
        """A comparison of clear words."""
        (words,) = x.parts
        less = np.zeros(left.shape, np.bool_)
        for column in reversed(words.T):
            one, other = column[left], column[right]
            less = (one < other) | ((one == other) & less)
        return less
