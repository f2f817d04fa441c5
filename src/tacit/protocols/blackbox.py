# SPDX-License-Identifier: Apache-2.0
"""The black box: the small set of primitives on which `library/` writes everything else once.

A protocol implements the primitives marked abstract and overrides the others where it can do them faster. Methods
that communicate are coroutines (see exchange.py) and declare their cost with `@declared`; a test measures real
traffic and asserts that it equals the declaration. All values are elements of Z_2^64 (`Arith`, read as two's
complement where a sign matters) or bit vectors (`Bits`); shapes are public, values are not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from tacit import kernels
from tacit.protocols.exchange import gather
from tacit.protocols.network import NETWORKS, Network
from tacit.protocols.shares import Arith, Bits, Digits, U64Array

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Cost:
    """Communication of one primitive: rounds, and payload bytes sent by all parties together."""

    rounds: int = 0
    bytes_total: int = 0


CostFormula: TypeAlias = Callable[..., Cost]


def declared(formula: CostFormula) -> Callable[[T], T]:
    """Attach to a primitive its cost as a function of the same arguments (of which only shapes are read)."""

    def attach(primitive: T) -> T:
        primitive.cost = formula  # type: ignore[attr-defined]
        return primitive

    return attach


FREE: CostFormula = lambda *_, **__: Cost()  # noqa: E731 - a formula among formulas


def place_bits(n: int) -> int:
    """Bits of the numbers 0 .. n-1, at least one."""
    return max((n - 1).bit_length(), 1)


@dataclass(frozen=True)
class Bilinear:
    """A map that is linear in each of two ring arrays: elementwise product or matrix product."""

    name: str
    apply: Callable[[U64Array, U64Array], U64Array]
    shape: Callable[[tuple[int, ...], tuple[int, ...]], tuple[int, ...]]


def _matmul(x: U64Array, y: U64Array) -> U64Array:
    if x.ndim == 2 and y.ndim == 2:
        return kernels.matmul(np.ascontiguousarray(x), np.ascontiguousarray(y))
    return np.asarray(np.matmul(x, y))


def _matmul_shape(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    batch = np.broadcast_shapes(x[:-2], y[:-2]) if len(x) > 2 or len(y) > 2 else ()
    return (*batch, *x[-2:-1], *(y[-1:] if len(y) > 1 else ()))


MUL = Bilinear("mul", lambda x, y: np.asarray(x * y), lambda x, y: x if x == y else np.broadcast_shapes(x, y))
DOT = Bilinear("dot", lambda x, y: np.asarray((x * y).sum(axis=0, dtype=np.uint64)), lambda x, _: x[1:])
"""Sums over the first axis of elementwise products of one shape."""
MATMUL = Bilinear("matmul", _matmul, _matmul_shape)


LineStep: TypeAlias = tuple[str | int, ...]
"""A step of a line on registers out, x, y: `("combine", out, x, a, y, b)` puts a x + b y into out for public a and b,
`("product", out, x, y, f)` puts x y, truncated by f bits unless f is 0, and `("truncate", out, x, f)` x / 2^f."""


class BlackBox(ABC):
    """One party's end of a protocol. Runs are single-threaded per party; every party runs the same program."""

    name: ClassVar[str]
    secure: ClassVar[bool]

    me: int
    parties: int
    network: Network = NETWORKS["loopback"]
    """What the program is written for. It may decide how to compute, never what is disclosed; the same everywhere."""

    # --- local -------------------------------------------------------------------------------------------------

    @abstractmethod
    def add_public(self, x: Arith, c: U64Array | int) -> Arith:
        """x + c for public ring elements; broadcasts to the larger shape."""

    @abstractmethod
    def xor_public(self, x: Bits, planes: U64Array) -> Bits:
        """x ^ c for public planes `[width, words]`, or `[1, words]`, or `[width, 1]`."""

    @abstractmethod
    def constant(self, c: U64Array) -> Arith:
        """A public array as shares."""

    @abstractmethod
    def constant_planes(self, shape: tuple[int, ...], planes: U64Array) -> Bits:
        """Public planes `[width, words]` as Boolean shares of that shape."""

    def constant_bits(self, c: U64Array, width: int) -> Bits:
        """A public array of `width`-bit words as Boolean shares."""
        words = np.ascontiguousarray(c, dtype=np.uint64).reshape(-1)
        return self.constant_planes(np.shape(c), kernels.to_planes(words, width))

    @abstractmethod
    def random_bits(self, shape: tuple[int, ...], width: int) -> Bits:
        """Uniform secret bits that no party knows. No communication where the protocol has common randomness."""

    @abstractmethod
    def bits_without(self, party: int, width: int) -> tuple[Bits, U64Array | None]:
        """`width` uniform bits that every party but one knows, as shares `[1]`, and as planes `[width, 1]` to those who
        do. No communication.
        """

    def invert(self, x: Bits) -> Bits:
        """Bitwise NOT."""
        return self.xor_public(x, np.full((1, 1), 2**64 - 1, dtype=np.uint64))

    def linear(self, function: Callable[..., U64Array], *values: Bits, width: int) -> Bits:
        """A function of the planes of some values that is linear over GF(2); it gives `width` planes."""
        return values[0].planes(function, *values[1:])

    # --- input and output --------------------------------------------------------------------------------------

    @abstractmethod
    async def input(self, owner: int, values: U64Array | None, shape: tuple[int, ...]) -> Arith:
        """Share an array that party `owner` holds; the others pass None."""

    @abstractmethod
    async def input_bits(self, owner: int, values: U64Array | None, shape: tuple[int, ...], width: int) -> Bits:
        """Share `width`-bit words that party `owner` holds as Boolean shares; the others pass None."""

    @abstractmethod
    async def reveal(self, x: Arith | Bits, to: int | None = None) -> U64Array | None:
        """Open to every party, or to party `to` alone (the others get None). Bits open as u64 words."""

    @abstractmethod
    def for_client(self, x: Arith | Bits) -> U64Array:
        """This party's freshly masked share of x for a client that is no computing party; see `combine`."""

    @staticmethod
    @abstractmethod
    def combine(shares: Sequence[U64Array], boolean: bool = False) -> U64Array:
        """What a client makes of the `for_client` shares from all parties, of `Bits` if `boolean`: the values."""

    @staticmethod
    @abstractmethod
    def deal(values: U64Array, seeds: Sequence[bytes]) -> list[bytes]:
        """A client's shares of u64 values, one message per computing party; `seeds` are fresh 16-byte secrets."""

    @abstractmethod
    def receive(self, message: bytes, shape: tuple[int, ...]) -> Arith:
        """What this party makes of its message from `deal`. Raises ValueError on a wrong length."""

    # --- products ----------------------------------------------------------------------------------------------

    @abstractmethod
    async def bilinear(self, op: Bilinear, x: Arith, y: Arith) -> Arith:
        """op(x, y) mod 2^64."""

    def mul(self, x: Arith, y: Arith) -> Coroutine[Any, Any, Arith]:
        """Elementwise x*y mod 2^64, broadcasting."""
        return self.bilinear(MUL, x, y)

    async def bilinear_truncate(self, op: Bilinear, x: Arith, y: Arith, f: int, exact: bool = False) -> Arith:
        """truncate(op(x, y), f), fused where the protocol can."""
        return await self.truncate(await self.bilinear(op, x, y), f, exact)

    async def line(
        self, steps: Sequence[LineStep], carried: Sequence[int], registers: Sequence[Arith], trips: int
    ) -> list[Arith]:
        """Run elementwise steps on registers of one shape, one after the other, `trips` times, at least once.

        After each trip register k gets what is in register `carried[k]`; the result are these after the last. The cost
        is that of the steps.
        """
        held = list(registers)
        for _ in range(trips):
            for step in steps:
                match step:
                    case ("combine", int(out), int(x), int(a), int(y), int(b)):
                        held[out] = held[x] * a + held[y] * b
                    case ("product", int(out), int(x), int(y), int(f)):
                        product = self.bilinear_truncate(MUL, held[x], held[y], f) if f else self.mul(held[x], held[y])
                        held[out] = await product
                    case ("truncate", int(out), int(x), int(f)):
                        held[out] = await self.truncate(held[x], f)
            held[: len(carried)] = [held[k] for k in carried]
        return held[: len(carried)]

    @abstractmethod
    async def and_(self, x: Bits, y: Bits) -> Bits:
        """Bitwise AND of equal widths."""

    @abstractmethod
    async def gf256_mul(self, x: Bits, y: Bits, squarings: tuple[int, int] = (0, 0)) -> Bits:
        """x^(2^i) * y^(2^j) for squarings (i, j), each at most 7, in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.

        Every eight elements of a plane are one byte, the first the least significant bit; x and y have equal shapes of
        whole bytes. Squaring is linear over GF(2), so it costs nothing.
        """

    # --- conversions -------------------------------------------------------------------------------------------

    @abstractmethod
    async def truncate(self, x: Arith, f: int, exact: bool = False) -> Arith:
        """x / 2^f for signed |x| < 2^62, 1 <= f <= 61.

        exact=False gives floor or floor+1 with mean x / 2^f (so a multiple of 2^f is exact), and may let one party
        relate the rounding to low bits of x once the result is opened (Li et al. 2023, ePrint 2023/909), so it is for
        values that stay inside. exact=True gives floor(x / 2^f + 1/2).
        """

    @abstractmethod
    async def a2b(self, x: Arith, width: int = 64) -> Bits:
        """The low `width` bits of x."""

    @abstractmethod
    async def b2a(self, b: Bits) -> Arith:
        """The unsigned value of words of at most 64 bits as a ring element."""

    async def msb(self, x: Arith) -> Bits:
        """The sign bit of x: 1 where x < 0."""
        return (await self.a2b(x))[63]

    async def is_zero(self, x: Arith) -> Bits:
        """1 where x == 0."""
        return await self.all_bits(self.invert(await self.a2b(x)))

    async def all_bits(self, b: Bits) -> Bits:
        """The AND of all bits of each word: ceil(log2(width)) rounds."""
        while b.width > 1:
            half = b.width // 2
            rest = b[2 * half :]
            b = await self.and_(b[:half], b[half : 2 * half])
            if rest.width:
                b = Bits.concat_bits([b, rest])
        return b

    async def inject(self, b: Bits, x: Arith) -> Arith:
        """b*x for single bits b of the shape of x."""
        return await self.mul(await self.b2a(b), x)

    @abstractmethod
    async def lut(self, index: Bits, table: U64Array, out_bits: int) -> Bits:
        """table[index] for a public table of 2^width entries of `out_bits` bits, 1 <= width <= 9."""

    @abstractmethod
    async def lut_numbers(self, index: Bits, table: U64Array, widths: Sequence[int]) -> Arith:
        """The fields of table[index], `widths` bits each and the lowest first, as ring elements [fields, *shape]."""

    @abstractmethod
    async def lut_near(self, x: Arith, drop: int, table: U64Array, widths: Sequence[int]) -> Arith:
        """The fields of table[i], where i is floor(x / 2^drop) or one less, modulo the 2^g entries; 6 <= g <= 16.

        Which of the two depends on the shares, so the table must give about the same for both; and as with inner
        truncation, what it is must not show in anything that is opened.
        """

    # --- order and checks --------------------------------------------------------------------------------------

    @abstractmethod
    async def shuffle(self, rows: Arith) -> Arith:
        """The rows (axis 0) in a uniformly random order that no party knows."""

    @abstractmethod
    async def shuffle_places(self, rows: Arith) -> tuple[Arith, Bits]:
        """As `shuffle`, for rows that have elements, and of each row the place that it had, in `place_bits` bits."""

    async def precedes(self, high: Arith, low: Arith, bits: int) -> Bits:
        """1 where high < 0, or high == 0 and low < 0: one lexicographic comparison.

        |low| < 2^bits, 1 <= bits <= 62; `high` is a difference that stays in (-2^63, 2^63).
        """
        less, same, low_less = await gather(self.msb(high), self.is_zero(high), self.msb(low))
        result: Bits = less ^ await self.and_(same, low_less)
        return result

    @abstractmethod
    async def digits(self, b: Bits) -> Digits:
        """Flat unsigned words of any width, at least one bit, made ready for comparisons of one with another."""

    async def open_outcomes(self, b: Bits) -> NDArray[np.bool_] | None:
        """Open single bits that say how rows compare which `shuffle` put in an order that nobody knows.

        The caller answers for it that no two rows are equal: then what opens is the pattern of a uniformly random
        permutation, whatever the data. With `open_less`, `open_positions`, and `open_tags` and `announce`, the only
        opening inside the library; a plan lists it. None where nothing is computed and only the cost is of interest.
        """
        opened = await self.reveal(b)
        assert opened is not None
        return np.asarray(opened, dtype=np.bool_)

    @abstractmethod
    async def open_less(self, x: Digits, left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.bool_] | None:
        """Open whether row left[i] is less than row right[i], for flat public positions; what `open_outcomes` says."""

    async def open_positions(self, x: Arith) -> NDArray[np.intp]:
        """Open a permutation of 0 .. n-1 whose entries `shuffle` put in an order that nobody knows: a random one."""
        opened = await self.reveal(x)
        assert opened is not None
        return np.asarray(opened.astype(np.intp))

    async def open_tags(self, x: Arith | Bits, to: int) -> U64Array | None:
        """Open to one party tags of 128 bits as `[n, 2]`, given as that or as words `[n]` of 128 bits: what a
        pseudorandom function gave, under a key which that party does not have, of rows in an order that nobody knows.
        """
        if isinstance(x, Arith):
            return await self.reveal(x, to)
        low, high = await gather(self.reveal(x[:64], to), self.reveal(x[64:], to))
        return None if low is None or high is None else np.stack([low, high], axis=1)

    @abstractmethod
    async def announce(self, owner: int, values: U64Array | None, shape: tuple[int, ...]) -> U64Array:
        """Tell everyone an array that party `owner` holds; the others pass None. In a plan it is listed as `open_tags`
        is, of which it is made.
        """

    async def check(self) -> None:  # noqa: B027 - a no-op is the right default for semi-honest protocols
        """Verify everything computed so far; called before any opening. Semi-honest protocols have nothing to check."""
