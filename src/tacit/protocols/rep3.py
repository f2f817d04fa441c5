# SPDX-License-Identifier: Apache-2.0
"""Three-party replicated secret sharing over Z_2^64, Z_2 and GF(2^8), semi-honest, one corruption.

Source  : Araki, Furukawa, Lindell, Nof, Ohara 2016 (ePrint 2016/768): sharing and multiplication; Laur, Willemson,
          Zhang 2011 (ISC): shuffle. The two-sided view below follows from the sharing itself.
Model   : semi-honest, honest majority (one of three), private authenticated channels.
Sharing : x = x0 + x1 + x2. Party p holds (x_p, x_{p+1}); part 0 is `a` = x_p, part 1 is `b` = x_{p+1}.
Keys    : one AES key per component: K_j is known to the two parties that hold x_j, that is j and j-1.
Reveals : nothing, except through `reveal` and `for_client`.

The two-sided view. For any x, c = x0 + x1 is known to party 0 and r = x2 to parties 1 and 2. So a function h(c, r) can
be had by letting party 0 hand over masked facts about c that parties 1 and 2 combine with r on their own; the result,
additively shared between 1 and 2, is reshared with one exchange between them. The roles 0, 1, 2 rotate over thirds
of each vector (`sections`), so that links and work stay balanced. In role-relative terms a party in role q holds
(x_q, x_{q+1}) and keys (K_q, K_{q+1}), whatever the rotation.

Bytes are totals over the three parties; n elements; W = ceil(n/64) words of 8 bytes per bit plane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from math import prod
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tacit import kernels
from tacit.protocols.blackbox import DOT, MUL, Bilinear, BlackBox, Cost, LineStep, declared, place_bits
from tacit.protocols.exchange import Buffer, Exchange, Inbox, gather
from tacit.protocols.network import Network
from tacit.protocols.shares import DIGIT, Arith, Bits, Differences, Digits, U64Array, unpack_plane, words_of

Positions: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True)
class Section:
    """One third of a vector, aligned to words of 64 elements. `turn` says which party plays role 0 in it."""

    turn: int
    elements: slice
    words: slice
    n: int
    """Number of elements."""
    w: int
    """Number of 64-bit words of a bit plane."""


@lru_cache(maxsize=1024)
def thirds(n: int) -> tuple[Section, Section, Section]:
    """The thirds of a vector of n elements; those of a short one may be empty."""
    words = words_of(n)
    cuts = [words * turn // 3 for turn in range(4)]
    first, second, third = (
        Section(turn, slice(start, stop), slice(lo, hi), stop - start, hi - lo)
        for turn, (lo, hi) in enumerate(pairwise(cuts))
        for start, stop in [(min(n, 64 * lo), min(n, 64 * hi))]
    )
    return first, second, third


@lru_cache(maxsize=1024)
def sections(n: int) -> tuple[Section, ...]:
    """The non-empty thirds of a vector of n elements."""
    return tuple(s for s in thirds(n) if s.n)


def packed(n: int, bits: int) -> int:
    """Bytes of n values of `bits` bits."""
    return -(-n * bits // 8)


DIGITS = range(3, 9)
"""Widths of digits in bits. Two bits cost more than three in every way; each bit more is about twice the bytes."""


def digits_of(bits: int, digit: int) -> tuple[int, int]:
    """Number of digits of `digit` bits of a `bits`-bit word, and number of planes of their one-hot forms."""
    full, rest = divmod(bits, digit)
    return full + (rest > 0), (2**digit - 1) * full + 2**rest - 1


@lru_cache
def prefix_pairs(n: int) -> list[tuple[list[int], list[int], list[int]]]:
    """Sklansky's prefix network on n positions: per level the positions combined, with what, and those that keep P.

    Source: Sklansky 1960 (IRE Trans. EC-9). ceil(log2(n)) levels; fan-out is free in secret sharing. Positions of the
    lowest block are finished once combined, so only the third list, a subset of the first, needs a new propagate.
    """
    levels = []
    span = 1
    while span < n:
        upper = [i for i in range(n) if i // span % 2 == 1]
        levels.append((upper, [i // span * span - 1 for i in upper], [i for i in upper if i >= 2 * span]))
        span *= 2
    return levels


@lru_cache
def _prefix_rows(n: int) -> list[tuple[Positions, Positions, list[int], int]]:
    """The network on rows g_0 .. g_(n-1), p_0 .. p_(n-1): per level the rows of both factors and of their product, and
    how many of these it is added to; it replaces the others."""
    levels = []
    for upper, lower, keep in prefix_pairs(n):
        low_of = dict(zip(upper, lower, strict=True))
        left = [n + i for i in (*upper, *keep)]
        right = [*lower, *(n + low_of[i] for i in keep)]
        levels.append((np.array(left), np.array(right), [*upper, *(n + i for i in keep)], len(upper)))
    return levels


def _words(raw: memoryview) -> U64Array:
    """A received message as u64, without a copy where it is aligned (a packed message before it may shift it)."""
    words = np.frombuffer(raw, dtype=np.uint64)
    return words if words.flags.aligned else words.copy()


def _flat(x: U64Array) -> U64Array:
    return np.ascontiguousarray(x).reshape(-1)


def _without_padding(planes: U64Array, n: int) -> U64Array:
    """Planes `[width, words]` of n elements with zeros beyond them: whatever was computed there stays a secret."""
    if n % 64:
        planes = planes.copy()
        planes[:, n // 64] &= np.uint64((1 << n % 64) - 1)
    return planes


def _pairs(x: Bits, y: Bits) -> tuple[U64Array, U64Array, U64Array, U64Array]:
    x0, x1, y0, y1 = (np.ascontiguousarray(p) for p in (*x.parts, *y.parts))
    return x0, x1, y0, y1


_NOTHING = np.empty(0, np.uint8)
_ZERO = bytes(8)


def _trunc_cost(n: int, f: int) -> Cost:
    return Cost(2, 8 * n + 3 * packed(n, f)) if n else Cost()


def _carry_tree(digits: int, carried: bool = False, levels_max: int = 64) -> tuple[int, int, int]:
    """Levels, AND planes, and digits left of up to `levels_max` levels of the carry tree over `digits` digits."""
    levels = ands = 0
    while digits > 1 and levels < levels_max:
        pairs = digits // 2
        ands += 2 * pairs - (not carried)
        digits -= pairs
        levels += 1
    return levels, ands, digits


def _quicker(network: Network, cost: Callable[[int], Cost]) -> int:
    """The width of digits with which messages take the least time: the fewer elements, the wider.

    On one machine the widest are more work than the round that they save.
    """
    digits = DIGITS[:-1] if network.name == "loopback" else DIGITS

    def seconds(digit: int) -> float:
        c = cost(digit)
        return network.seconds(c.rounds, c.bytes_total, 3)

    return min(digits, key=seconds)


@lru_cache(maxsize=4096)
def _carry_digit(network: Network, n: int, bits: int) -> int:
    return _quicker(network, lambda digit: _carry_cost_of(n, bits, True, digit))


def _carry_cost(network: Network, n: int, bits: int, top: bool) -> Cost:
    return _carry_cost_of(n, bits, top, _carry_digit(network, n, bits))


def _carry_cost_of(n: int, bits: int, top: bool, digit: int) -> Cost:
    digits, hot = digits_of(bits, digit)
    levels, ands, _ = _carry_tree(digits)
    planes = hot + top + 2 * (2 * digits - 1) + 3 * ands
    return Cost(2 + levels, 8 * words_of(n) * planes) if n else Cost()


@lru_cache(maxsize=4096)
def _precedes_digit(network: Network, n: int, bits: int) -> int:
    return _quicker(network, lambda digit: _precedes_cost_of(n, bits, digit))


def _precedes_cost(network: Network, n: int, bits: int) -> Cost:
    return _precedes_cost_of(n, bits, _precedes_digit(network, n, bits))


def _precedes_cost_of(n: int, bits: int, digit: int) -> Cost:
    digits, hot = digits_of(63, digit)
    below = _carry_cost_of(n, bits, True, digit)
    early, ands, left = _carry_tree(digits, True, below.rounds - 2)
    late, more, _ = _carry_tree(left + 1)
    planes = hot + 1 + 2 * 2 * digits + 3 * (ands + more)
    rounds = max(2 + early, below.rounds) + late
    return Cost(rounds, 8 * words_of(n) * planes + below.bytes_total) if n else Cost()


@lru_cache(maxsize=256)
def _carry_factors(digits: int, missing: int) -> tuple[Positions, Positions]:
    """Of the rows of `Rep3._carry_up` what is multiplied in a level: p of the upper of two digits with g and p of the
    lower, but with no p_0 if that is missing."""
    g = range(0, digits - 1, 2)
    p = [digits - missing + i for i in g]
    return np.array([i + 1 for i in (*p, *p[missing:])]), np.array([*g, *p[missing:]])


@lru_cache(maxsize=256)
def _monomial_factors(products: tuple[tuple[int, int], ...], digits: int) -> tuple[Positions, Positions]:
    """Of planes `[16, digits]` of monomials those of the factors, digit after digit of each product."""
    left, right = (digits * np.array(factor)[:, None] + np.arange(digits) for factor in zip(*products, strict=True))
    return left.reshape(-1), right.reshape(-1)


_PRODUCTS: tuple[tuple[tuple[int, int], ...], ...] = (
    ((1, 2), (4, 8)),
    tuple((low, high) for low in (1, 2, 3) for high in (4, 8, 12)),
)
"""The products, round by round, that make all monomials of the bits of a digit from single ones: bit k of a number says
that bit k is a factor."""


def _digits_cost(b: Bits) -> Cost:
    digits = -(-b.width // DIGIT)
    ands = digits * sum(map(len, _PRODUCTS))
    return Cost(len(_PRODUCTS), 24 * ands * words_of(b.size)) if b.size else Cost()


def _less_cost(digits: int, n: int) -> Cost:
    levels, ands, _ = _carry_tree(digits)
    # What is opened goes to two parties, where all else goes to one.
    return Cost(1 + levels, 24 * words_of(n) * (2 * digits - 1 + ands + 1)) if n else Cost()


def _reveal_cost(x: Arith | Bits, to: int | None) -> Cost:
    words = x.width * words_of(x.size) if isinstance(x, Bits) else x.size
    return Cost(1, (3 if to is None else 1) * 8 * words) if x.size else Cost()


@lru_cache(maxsize=4096)
def _b2a_sent(n: int, width: int) -> int:
    """Bytes that role 0 sends: bit i counts 2^i, so 64 - i bits of its share do."""
    return sum(packed(n, 64 - i) for i in range(width))


def _b2a_cost(n: int, width: int) -> Cost:
    return Cost(2, _b2a_sent(n, width) + 16 * n) if n and width else Cost()


def _exact_cost(network: Network, n: int, f: int) -> Cost:
    carry, bit, trunc = _carry_cost(network, n, f, False), _b2a_cost(n, 1), _trunc_cost(n, f)
    rounds = max(trunc.rounds, carry.rounds + bit.rounds)
    return Cost(rounds, trunc.bytes_total + carry.bytes_total + bit.bytes_total) if n else Cost()


def _with_bit(width: int) -> list[int]:
    """Of `width` bits in digits of `DIGIT`: how many digits have bit 0, bit 1, ..."""
    return [max(-(-(width - j) // DIGIT), 0) for j in range(DIGIT)]


@lru_cache(maxsize=256)
def _selecting(width: int) -> tuple[Positions, Positions]:
    """Of the rows that `Rep3.a2b` has at its end the factors: the carry into a digit, what is below a bit of it."""
    digits, *above = _with_bit(width)
    carries = [d for count in _added(above) for d in range(count)]
    return np.array(carries, np.intp), np.arange(digits - 1, digits - 1 + len(carries))


def _added(above: Sequence[int]) -> list[int]:
    """How many digits there are to which a carry may come, of those with bit 1, bit 2, ..."""
    return [max(count - 1, 0) for count in above]


@lru_cache(maxsize=256)
def _carry_rows(width: int) -> tuple[int, ...]:
    """How many rows of carries there are: out of each digit but the last, and of those that let one through; then the
    same of the lower 1, 2 and 3 bits of each digit that has more, where those of one bit need not say the latter.
    """
    digits, *above = _with_bit(width)
    out = max(digits - 1, 0)
    first, *others = zip(above, _added(above), strict=True)
    return out, max(out - 1, 0), first[0], *(count for pair in others for count in pair)


def _filled(rows: U64Array, count: int) -> U64Array:
    """So many rows, the last ones of zeros."""
    if len(rows) == count:
        return rows
    return np.concatenate([rows, np.zeros((count - len(rows), rows.shape[1]), np.uint64)])


def _lower(hot: U64Array, digits: int) -> tuple[list[U64Array], U64Array]:
    """One-hot forms `[digits, 2^j - 1, words]` of the lower j = 1, 2, ... bits of each digit, and all bits: sums."""
    words = hot.shape[1]
    hots = [_filled(hot, digits * (2**DIGIT - 1)).reshape(digits, -1, words)]
    bits = np.empty((digits, DIGIT, words), np.uint64)
    for j in reversed(range(DIGIT)):
        low, high = hots[0][:, : (1 << j) - 1], hots[0][:, (1 << j) - 1 :]
        np.bitwise_xor.reduce(high, axis=1, out=bits[:, j])
        if j:
            hots.insert(0, low ^ high[:, 1:])
    return hots, bits.reshape(-1, words)


def _carries(hots: Sequence[U64Array], r: U64Array, width: int, first: bool) -> U64Array:
    """This party's shares of the carries of c + r, in the `_carry_rows`."""
    digits, *above = _with_bit(width)
    words = r.shape[1]
    clear = _filled(r, digits * DIGIT).reshape(digits, DIGIT, words)

    def combined(bits: int, count: int) -> list[U64Array]:
        if count < 1:
            return []
        hot, low = hots[bits - 1][:count], np.ascontiguousarray(clear[:count, :bits])
        return [kernels.carry_combine(hot.reshape(-1, words), low.reshape(-1, words), first, False, bits)]

    out_of_bits = hots[0][: above[0], 0] & clear[: above[0], 0]
    within = (rows for bits, count in enumerate(above[1:], 2) for rows in combined(bits, count))
    return np.concatenate([*combined(DIGIT, digits - 1), out_of_bits, *within])


def _a2b_cost(n: int, width: int) -> Cost:
    digits, *above = _with_bit(width)
    levels = prefix_pairs(digits - 1)
    ands = sum(len(upper) + len(keep) for upper, _, keep in levels)
    chosen, shared = sum(_added(above)), sum(_carry_rows(width))
    planes = digits_of(width, DIGIT)[1] + 2 * shared + 3 * (ands + chosen)
    return Cost(1 + (shared > 0) + len(levels) + (chosen > 0), 8 * words_of(n) * planes) if n else Cost()


def _and_cost(b: Bits) -> Cost:
    planes = b.width * words_of(b.size)
    return Cost(1, 24 * planes) if planes else Cost()


def _bilinear_truncate_cost(network: Network, op: Bilinear, x: Arith, y: Arith, f: int, exact: bool) -> Cost:
    n = prod(op.shape(x.shape, y.shape))
    if not n:
        return Cost()
    if exact:
        t = _exact_cost(network, n, f)
        return Cost(1 + t.rounds, 24 * n + t.bytes_total)
    return Cost(3, 24 * n + 3 * packed(n, f))


def _shuffle_cost(rows: Arith, bits: int) -> Cost:
    return Cost(2, 32 * rows.size + 24 * bits * words_of(rows.shape[0])) if rows.size else Cost()


def _line_cost(steps: Sequence[LineStep], n: int, trips: int) -> Cost:
    rounds = size = 0
    for step in steps:
        match step:
            case ("product", _, _, _, int(f)):
                rounds, size = rounds + (3 if f else 1), size + 24 * n + 3 * packed(n, f)
            case ("truncate", _, _, int(f)):
                rounds, size = rounds + 2, size + 8 * n + 3 * packed(n, f)
    return Cost(trips * rounds, trips * size) if n else Cost()


def _lut_cost(n: int, width: int, out_bits: int) -> Cost:
    return Cost(2, 8 * words_of(n) * (2**width - 1 + 2 * out_bits)) if n else Cost()


def _lut_numbers_cost(n: int, hot: int, widths: Sequence[int]) -> Cost:
    numbers = sum(_b2a_cost(n, width).bytes_total for width in widths)
    return Cost(3, 8 * words_of(n) * (hot + 2 * sum(widths)) + numbers) if n else Cost()


class Rep3(BlackBox):
    """One of three parties. `own` is K_me, `following` is K_{me+1}: fresh keys for every run."""

    name: ClassVar[str] = "rep3"
    secure: ClassVar[bool] = True

    def __init__(self, me: int, own: kernels.PrgKey, following: kernels.PrgKey) -> None:
        self.me = me
        self.parties = 3
        self._next = (me + 1) % 3
        self._prev = (me - 1) % 3
        self._own = own
        self._following = following
        self._stream = 0

    def _streams(self, count: int) -> int:
        """Reserve `count` consecutive stream numbers; every party reserves the same ones at the same point."""
        first = self._stream
        self._stream += count
        return first

    def _role(self, section: Section) -> int:
        return (self.me - section.turn) % 3

    def _roles(self, n: int) -> tuple[Section, Section, Section]:
        """The thirds in which this party has role 0, 1 and 2. Role 1 is the next party where this one has role 0."""
        third = thirds(n)
        return third[self.me], third[self._prev], third[self._next]

    async def _swap(
        self, sends: tuple[Sequence[NDArray[Any]], Sequence[NDArray[Any]]], sizes: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """One round: what goes to the next party and to the one before, and as many bytes as come from each."""
        next_size, prev_size = sizes
        outgoing: dict[int, list[Buffer]] = {}
        incoming: dict[int, int] = {}
        for peer, buffers in zip((self._next, self._prev), sends, strict=True):
            filled: list[Buffer] = [b for b in buffers if b.size]
            if filled:
                outgoing[peer] = filled
        if next_size:
            incoming[self._next] = next_size
        if prev_size:
            incoming[self._prev] = prev_size
        inbox = await Exchange(outgoing, incoming)
        return (
            np.frombuffer(inbox[self._next], np.uint8) if next_size else _NOTHING,
            np.frombuffer(inbox[self._prev], np.uint8) if prev_size else _NOTHING,
        )

    # --- local -------------------------------------------------------------------------------------------------

    def _at_zero(self, c: U64Array) -> tuple[U64Array, U64Array]:
        """The sharing of public c whose component 0 is c."""
        zero: U64Array = np.ndarray(c.shape, np.uint64, _ZERO, strides=(0,) * c.ndim)
        return (c if self.me == 0 else zero), (c if self.me == 2 else zero)

    def add_public(self, x: Arith, c: U64Array | int) -> Arith:
        """x + c: added to component 0."""
        c = np.asarray(c if not isinstance(c, int) else np.uint64(c & (2**64 - 1)), dtype=np.uint64)
        a, b = x.parts
        if c.ndim and c.shape != a.shape:
            shape = np.broadcast(a, c).shape
            if shape != a.shape:
                a, b = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
        return Arith(a + c if self.me == 0 else a, b + c if self.me == 2 else b)

    def xor_public(self, x: Bits, planes: U64Array) -> Bits:
        """x ^ c: on component 0."""
        a, b = x.parts
        return Bits(x.shape, a ^ planes if self.me == 0 else a, b ^ planes if self.me == 2 else b)

    def constant(self, c: U64Array) -> Arith:
        """(c, 0, 0)."""
        return Arith(*self._at_zero(np.asarray(c, dtype=np.uint64)))

    def constant_planes(self, shape: tuple[int, ...], planes: U64Array) -> Bits:
        """(c, 0, 0)."""
        return Bits(shape, *self._at_zero(planes))

    def random_bits(self, shape: tuple[int, ...], width: int) -> Bits:
        """Component j is a stream of K_j: no communication."""
        step, words = self._streams(1), words_of(prod(shape))
        a, b = (kernels.prg_words(k, step, width * words) for k in (self._own, self._following))
        return Bits(shape, a.reshape(width, words), b.reshape(width, words))

    def bits_without(self, party: int, width: int) -> tuple[Bits, U64Array | None]:
        """A stream of the key that the two others have in common, as the component which is of that key."""
        step, of = self._streams(1), (party - 1) % 3
        if self.me == party:
            none = np.zeros((width, 1), np.uint64)
            return Bits((1,), none, none), None
        words = kernels.prg_words(self._own if self.me == of else self._following, step, width).reshape(width, 1)
        a, b = (words, np.zeros_like(words)) if self.me == of else (np.zeros_like(words), words)
        return Bits((1,), a, b), words

    # --- input and output --------------------------------------------------------------------------------------

    async def _input(self, owner: int, values: U64Array | None, n: int, boolean: bool) -> tuple[U64Array, U64Array]:
        step = self._streams(1)
        zero = np.zeros(n, dtype=np.uint64)
        if self.me == owner:
            if values is None:
                raise ValueError("the owner of an input must give its values")
            mask = kernels.xor_prg if boolean else kernels.sub_prg
            rest = mask(_flat(values), self._own, step)
            await Exchange({self._next: [rest]}, {})
            return kernels.prg_words(self._own, step, n), rest
        if self.me == (owner + 1) % 3:
            inbox = await Exchange({}, {owner: 8 * n})
            return _words(inbox[owner]), zero
        await Exchange({}, {})
        return zero, kernels.prg_words(self._following, step, n)

    @declared(lambda self, owner, values, shape: Cost(1, 8 * prod(shape)) if prod(shape) else Cost())
    async def input(self, owner: int, values: U64Array | None, shape: tuple[int, ...]) -> Arith:
        """1 round, 8n bytes in total. The owner's message is masked with a stream its receiver does not know."""
        n = prod(shape)
        if n == 0:
            return self.constant(np.zeros(shape, np.uint64))
        a, b = await self._input(owner, values, n, boolean=False)
        return Arith(a.reshape(shape), b.reshape(shape))

    @declared(
        lambda self, owner, values, shape, width: (
            Cost(1, 8 * width * words_of(prod(shape))) if prod(shape) and width else Cost()
        )
    )
    async def input_bits(self, owner: int, values: U64Array | None, shape: tuple[int, ...], width: int) -> Bits:
        """1 round, 8*width*W bytes in total."""
        words = words_of(prod(shape))
        if words * width == 0:
            empty = np.zeros((width, words), np.uint64)
            return Bits(shape, empty, empty)
        planes = None if values is None else kernels.to_planes(_flat(values), width)
        a, b = await self._input(owner, planes, width * words, boolean=True)
        return Bits(shape, a.reshape(width, words), b.reshape(width, words))

    @declared(lambda self, x, to=None: _reveal_cost(x, to))
    async def reveal(self, x: Arith | Bits, to: int | None = None) -> U64Array | None:
        """1 round; every party (or only the one before the receiver) sends the component that the next one lacks."""
        opened = await self._opened(x, to)
        if opened is None or isinstance(x, Arith):
            return opened
        return kernels.from_planes(opened, x.size).reshape(x.shape)

    @declared(lambda self, owner, values, shape: Cost(1, 16 * prod(shape)) if prod(shape) else Cost())
    async def announce(self, owner: int, values: U64Array | None, shape: tuple[int, ...]) -> U64Array:
        """1 round, 16n bytes in total: to each of the others, in the clear."""
        n = prod(shape)
        if n == 0:
            return np.zeros(shape, np.uint64)
        if self.me == owner:
            if values is None:
                raise ValueError("who announces an array must give it")
            data = _flat(values)
            await Exchange({self._next: [data], self._prev: [data]}, {})
            return data.reshape(shape)
        return _words((await Exchange({}, {owner: 8 * n}))[owner]).reshape(shape)

    @declared(lambda self, b: _reveal_cost(b, None))
    async def open_outcomes(self, b: Bits) -> NDArray[np.bool_]:
        """As `reveal`; bits become bytes, not words."""
        opened = await self._opened(b)
        assert opened is not None
        return unpack_plane(opened, b.size).view(np.bool_).reshape(b.shape)

    async def _opened(self, x: Arith | Bits, to: int | None = None) -> U64Array | None:
        """The sum of all components; None to whom it is not opened."""
        await self.check()
        a, b = x.parts
        if x.size == 0:
            return a
        sent = _without_padding(a, x.size) if isinstance(x, Bits) else a
        sends = {self._next: [_flat(sent)]} if to in (None, self._next) else {}
        expects = {self._prev: a.nbytes} if to in (None, self.me) else {}
        inbox = await Exchange(sends, expects)
        if not expects:
            return None
        missing = _words(inbox[self._prev]).reshape(a.shape)
        return np.ascontiguousarray(a ^ b ^ missing) if isinstance(x, Bits) else np.asarray(a + b + missing)

    def for_client(self, x: Arith | Bits) -> U64Array:
        """Component `me` plus a fresh zero share, so that the three messages tell the client only their sum."""
        step = self._streams(1)
        if isinstance(x, Bits):
            planes = np.ascontiguousarray(x.parts[0])
            hidden = kernels.xor_prg(kernels.xor_prg(planes, self._following, step), self._own, step)
            return kernels.from_planes(hidden, x.size).reshape(x.shape)
        masked = kernels.add_prg(kernels.sub_prg(_flat(x.parts[0]), self._following, step), self._own, step)
        return masked.reshape(x.shape)

    @staticmethod
    def combine(shares: Sequence[U64Array], boolean: bool = False) -> U64Array:
        """The sum of the three messages, or their XOR."""
        if boolean:
            return np.asarray(shares[0] ^ shares[1] ^ shares[2])
        return np.asarray(shares[0] + shares[1] + shares[2])

    @staticmethod
    def deal(values: U64Array, seeds: Sequence[bytes]) -> list[bytes]:
        """x0 and x1 are streams of two seeds, x2 is explicit: 16n + 64 bytes in total.

        Party 0 gets both seeds; party 1 the seed of x1 and x2; party 2 x2 and the seed of x0. Only two of the three
        seeds are used.
        """
        x = _flat(values)
        s0, s1 = seeds[0], seeds[1]
        rest = kernels.sub_prg(kernels.sub_prg(x, kernels.PrgKey(s0), 0), kernels.PrgKey(s1), 0).tobytes()
        return [s0 + s1, s1 + rest, s0 + rest]

    def receive(self, message: bytes, shape: tuple[int, ...]) -> Arith:
        """The inverse of `deal` at this party."""
        n = prod(shape)
        if len(message) != (32 if self.me == 0 else 16 + 8 * n):
            raise ValueError("wrong length of a client's message")
        first = kernels.prg_words(kernels.PrgKey(message[:16]), 0, n).reshape(shape)
        if self.me == 0:
            return Arith(first, kernels.prg_words(kernels.PrgKey(message[16:]), 0, n).reshape(shape))
        rest = np.frombuffer(message[16:], dtype=np.uint64).reshape(shape)
        return Arith(first, rest) if self.me == 1 else Arith(rest, first)

    # --- products ----------------------------------------------------------------------------------------------

    def _cross(self, op: Bilinear, x: Arith, y: Arith) -> U64Array:
        """This party's summand of op(x, y) plus a zero share: any split of the nine products x_i*y_j will do.

        In the shape of the result, or flat.

        MUL:    x_p*y_p + x_p*y_{p+1} + x_{p+1}*y_p (Araki et al. 2016).
        MATMUL: role 0 adds (x0 + x1)@(y0 + y1), role 1 x1@y2 + x2@(y1 + y2), role 2 x0@y2 + x2@y0: five products for
                six, each of components that the party holds. Roles rotate over thirds of the depth.
        """
        (x0, x1), (y0, y1) = x.parts, y.parts
        if op is MUL:
            if x0.shape != y0.shape:
                x0, x1, y0, y1 = np.broadcast_arrays(x0, x1, y0, y1)
            x0, x1 = np.ascontiguousarray(x0), np.ascontiguousarray(x1)
            y0, y1 = np.ascontiguousarray(y0), np.ascontiguousarray(y1)
            return kernels.rep3_mul(x0, x1, y0, y1, self._own, self._following, self._streams(1))
        if op is DOT:
            return np.asarray(self._cross(MUL, x, y).sum(axis=0, dtype=np.uint64))
        if x0.ndim == 1:
            x0, x1 = x0[None], x1[None]
        if y0.ndim == 1:
            y0, y1 = y0[:, None], y1[:, None]
        if x0.ndim == y0.ndim == 2:
            return self._matrices(x0, x1, y0, y1, self._streams(1)).reshape(-1)
        batch = np.broadcast_shapes(x0.shape[:-2], y0.shape[:-2])
        parts = [np.broadcast_to(p, batch + p.shape[-2:]) for p in (x0, x1, y0, y1)]
        step = self._streams(prod(batch))
        z = np.empty((prod(batch), x0.shape[-2] * y0.shape[-1]), np.uint64)
        for i, at in enumerate(np.ndindex(batch)):
            a, b, c, d = (p[at] for p in parts)
            z[i] = self._matrices(a, b, c, d, step + i).reshape(-1)
        return z.reshape(-1)

    def _matrices(self, x0: U64Array, x1: U64Array, y0: U64Array, y1: U64Array, step: int) -> U64Array:
        x0, x1 = np.ascontiguousarray(x0), np.ascontiguousarray(x1)
        y0, y1 = np.ascontiguousarray(y0), np.ascontiguousarray(y1)
        return kernels.rep3_matmul(x0, x1, y0, y1, self._own, self._following, step, self.me)

    @declared(
        lambda self, op, x, y: (
            Cost(1, 24 * prod(op.shape(x.shape, y.shape))) if prod(op.shape(x.shape, y.shape)) else Cost()
        )
    )
    async def bilinear(self, op: Bilinear, x: Arith, y: Arith) -> Arith:
        """Araki et al. 2016, protocol 3.1: 1 round, 24 bytes in total per element of the result. Matrices: `_cross`."""
        shape = op.shape(x.shape, y.shape)
        if 0 in shape:
            return self.constant(np.zeros(shape, np.uint64))
        z = self._cross(op, x, y)
        inbox = await Exchange({self._prev: [z]}, {self._next: z.nbytes})
        return Arith(z.reshape(shape), _words(inbox[self._next]).reshape(shape))

    @declared(lambda self, op, x, y, f, exact=False: _bilinear_truncate_cost(self.network, op, x, y, f, exact))
    async def bilinear_truncate(self, op: Bilinear, x: Arith, y: Arith, f: int, exact: bool = False) -> Arith:
        """Product with truncation: 3 rounds, 24 + 3f/8 bytes per element (exact: `truncate` after a product).

        Role 0 needs only z0 + z1 and roles 1, 2 only z2, so the message that would complete the sharing is skipped.
        """
        if exact:
            return await self.truncate(await self.bilinear(op, x, y), f, exact=True)
        shape = op.shape(x.shape, y.shape)
        n = prod(shape)
        if n == 0:
            return self.constant(np.zeros(shape, np.uint64))
        z = self._cross(op, x, y).reshape(-1)
        zero, _, two = (s.elements for s in self._roles(n))
        known = n - (two.stop - two.start)
        sends = [part for part in (z[: zero.start], z[zero.stop :]) if part.size]
        inbox = await Exchange({self._prev: sends} if sends else {}, {self._next: 8 * known} if known else {})
        following = np.empty(n, np.uint64)
        if known:
            received = np.frombuffer(inbox[self._next], np.uint64)
            following[: two.start], following[two.stop :] = received[: two.start], received[two.start :]
        a, b = await self._truncate(z, following, f)
        return Arith(a.reshape(shape), b.reshape(shape))

    @declared(lambda self, steps, carried, registers, trips: _line_cost(steps, registers[0].size, trips))
    async def line(
        self, steps: Sequence[LineStep], carried: Sequence[int], registers: Sequence[Arith], trips: int
    ) -> list[Arith]:
        """The same messages by one native call for each round, where there are elements."""
        shape, n = registers[0].shape, registers[0].size
        if n == 0:
            return await super().line(steps, carried, registers, trips)
        held = [(_flat(x.parts[0]), _flat(x.parts[1])) for x in registers]
        line = kernels.Rep3Line(self.me, n, self._own, self._following, self._stream, held, steps, carried, trips)
        # All at once: whoever shares its rounds draws streams too.
        self._streams(line.streams)
        inbox: Inbox | None = None
        while (messages := line.advance(inbox)) is not None:
            inbox = await Exchange(*messages)
        return [Arith(a.reshape(shape), b.reshape(shape)) for a, b in line.results()]

    @declared(lambda self, x, y: _and_cost(x))
    async def and_(self, x: Bits, y: Bits) -> Bits:
        """Araki et al. 2016 over Z_2: 1 round, 3 bits in total per bit."""
        if x.width == 0 or x.size == 0:
            return x
        return await self._completed(x, kernels.rep3_and(*_pairs(x, y), self._own, self._following, self._streams(1)))

    @declared(lambda self, x, y, squarings=(0, 0): _and_cost(x))
    async def gf256_mul(self, x: Bits, y: Bits, squarings: tuple[int, int] = (0, 0)) -> Bits:
        """Araki et al. 2016 over GF(2^8): 1 round, 3 bytes in total per byte; squaring is local."""
        if x.width == 0 or x.size == 0:
            return x
        step = self._streams(1)
        z = kernels.rep3_gf256_mul(*_pairs(x, y), *squarings, self._own, self._following, step)
        return await self._completed(x, z)

    async def _completed(self, x: Bits, z: U64Array) -> Bits:
        """The sharing whose component `me` is z, in the shape of x: each party sends its own to the one before."""
        inbox = await Exchange({self._prev: [z]}, {self._next: z.nbytes})
        return Bits(x.shape, z, _words(inbox[self._next]).reshape(z.shape))

    # --- truncation --------------------------------------------------------------------------------------------

    async def _truncate(self, a: U64Array, b: U64Array, f: int, exact: bool = False) -> tuple[U64Array, U64Array]:
        """T1 on flat parts. Role 0 reads a and b, role 1 only b, role 2 only a. 2 rounds, 8 + 3f/8 bytes/element.

        With x' = x + 2^62 in [0, 2^63): floor(x'/2^f) = (c >> f) + (r >> f) + carry - w*2^(64-f), where the wrap w is
        the OR of the top bits of c and r. Putting 1 for the carry rounds up with probability (x mod 2^f + 1)/2^f;
        looking at x - 1 makes it (x mod 2^f)/2^f, so that the mean is x/2^f and multiples of 2^f are exact.
        exact=True: looks at x, rounds c to the nearest instead of down, and leaves the carry to the caller.
        """
        _, one, two = self._roles(a.size)
        role_1, role_2 = packed(one.n, f), packed(two.n, f)
        keys = (self._own, self._following, self._streams(9))
        ya, yb, message = kernels.trunc_send(self.me, a, b, f, exact, *keys)
        _, received = await self._swap(([message], []), (0, 8 * one.n + role_1))
        sent = kernels.trunc_exchange(self.me, ya, yb, a, b, received, f, *keys)
        wraps = await self._swap(([sent[0]], [sent[1]]), (role_1, role_2))
        kernels.trunc_finish(self.me, ya, yb, a, b, *sent, *wraps, f)
        return ya, yb

    @declared(lambda self, x, f, exact=False: _exact_cost(self.network, x.size, f) if exact else _trunc_cost(x.size, f))
    async def truncate(self, x: Arith, f: int, exact: bool = False) -> Arith:
        """T1: 2 rounds, 8 + 3f/8 bytes per element. Exact: the carry of the low f bits replaces the constant 1."""
        if x.size == 0:
            return x
        if exact:
            # Half a unit is added to c alone: adding it to x would leave less than the full range to x.
            rounded, carry = await gather(self._truncated(x, f, True), self._carry_arith(x, f, 1 << (f - 1)))
            return self.add_public(rounded + carry, -1)
        return await self._truncated(x, f, False)

    async def _truncated(self, x: Arith, f: int, exact: bool) -> Arith:
        a, b = await self._truncate(_flat(x.parts[0]), _flat(x.parts[1]), f, exact)
        return Arith(a.reshape(x.shape), b.reshape(x.shape))

    async def _carry_arith(self, x: Arith, bits: int, offset: int) -> Arith:
        return await self.b2a(await self._carry(x, bits, top=False, offset=offset))

    # --- resharing from two parties to three -------------------------------------------------------------------

    async def _reshared(self, ys: Sequence[tuple[U64Array, U64Array]]) -> None:
        """The exchange that makes values split between roles 1 and 2 replicated: 1 round, 16n bytes for each of `ys`.

        With the values T and S and streams y0 and y1 of K0 and K1, they exchange T - y1 and S - y0, whose sum is y2. A
        kernel has put all that into the parts but what is received, which is added here.
        """
        _, one, two = self._roles(ys[0][0].size)
        y2 = [yb[one.elements] for _, yb in ys], [ya[two.elements] for ya, _ in ys]
        received = await self._swap(y2, (8 * one.n * len(ys), 8 * two.n * len(ys)))
        for mine, other in zip(y2, received, strict=True):
            for part, rest in zip(mine, other.view(np.uint64).reshape(len(ys), -1), strict=True):
                part += rest

    async def _reshare_bits(self, n: int, planes: int, mine: dict[int, U64Array]) -> tuple[U64Array, U64Array]:
        """The same over Z_2: `mine[turn]` is `[planes, section words]`. 1 round, 16*planes*W bytes."""
        _, one, two = self._roles(n)
        none = np.empty((planes, 0), np.uint64)
        x1, x2 = mine.get(one.turn, none), mine.get(two.turn, none)
        (ya, yb), sent = kernels.reshare_planes(self.me, n, x1, x2, self._own, self._following, self._streams(3))
        sizes = (8 * planes * one.w, 8 * planes * two.w)
        y2 = yb[:, one.words], ya[:, two.words]
        for out, own, received in zip(y2, sent, await self._swap(([sent[0]], [sent[1]]), sizes), strict=True):
            np.bitwise_xor(own, received.view(np.uint64).reshape(own.shape), out=out)
        return ya, yb

    async def _numbers(self, shape: tuple[int, ...], widths: Sequence[int], mine: dict[int, U64Array]) -> Arith:
        """Fields of `widths` bits, `[fields, *shape]`, of words whose planes roles 1 and 2 split as in `_reshare_bits`.

        That and then `b2a`, in 2 rounds instead of 3: what role 0 learns of a resharing are streams, so it need not
        wait for it to send what it sends in `b2a`.
        """
        n, planes = prod(shape), sum(widths)
        keys, step = (self._own, self._following), self._streams(3 + 3 * planes + 3 * len(widths))
        _, one, two = self._roles(n)
        none = np.empty((planes, 0), np.uint64)
        x1, x2 = mine.get(one.turn, none), mine.get(two.turn, none)
        (pa, pb), sent = kernels.reshare_planes(self.me, n, x1, x2, *keys, step)
        starts = [end - width for width, end in zip(widths, accumulate(widths), strict=True)]
        fields = [
            (pa[at : at + width], pb[at : at + width], step + 3 + 3 * at)
            for width, at in zip(widths, starts, strict=True)
        ]
        messages = [kernels.b2a_send(self.me, n, a, b, self._own, first) for a, b, first in fields]
        sizes = [_b2a_sent(one.n, width) for width in widths]
        x1_size, x2_size = (8 * planes * s.w for s in (one, two))
        from_next, from_prev = await self._swap(([sent[0], *messages], [sent[1]]), (x1_size, x2_size + sum(sizes)))
        p2 = pb[:, one.words], pa[:, two.words]
        for out, own, other in zip(p2, sent, (from_next, from_prev[:x2_size]), strict=True):
            np.bitwise_xor(own, _words(other.data).reshape(own.shape), out=out)
        ys, at = [], x2_size
        after = step + 3 + 3 * planes
        for k, ((a, b, first), size) in enumerate(zip(fields, sizes, strict=True)):
            message = from_prev[at : at + size]
            ys.append(kernels.b2a_combine(self.me, n, a, b, message, *keys, first, after + 3 * k))
            at += size
        await self._reshared(ys)
        return Arith(*(np.concatenate(parts).reshape(-1, *shape) for parts in zip(*ys, strict=True)))

    async def _hand_over(self, n: int, planes: int, facts: dict[int, U64Array]) -> dict[int, U64Array]:
        """Role 0 splits Boolean facts of `planes * section words` between roles 1 and 2. 1 round, 8*planes*W bytes.

        Role 2's part is a stream of K0, role 1 is sent the rest. Gives each party its part per section; role 0 gets
        role 1's too, which with its knowledge of the stream makes the pair a replicated sharing with component 2 zero.
        """
        zero, one, two = self._roles(n)
        step = self._streams(3)
        parts: dict[int, U64Array] = {}
        message: NDArray[np.generic] = _NOTHING
        if zero.w:
            message = parts[zero.turn] = kernels.xor_prg(facts[zero.turn], self._own, step + zero.turn)
        if two.w:
            stream = kernels.prg_words(self._following, step + two.turn, planes * two.w)
            parts[two.turn] = stream.reshape(planes, two.w)
        _, received = await self._swap(([message], []), (0, 8 * planes * one.w))
        if one.w:
            parts[one.turn] = _words(received.data).reshape(planes, one.w)
        return parts

    def _known_to_0(self, facts: U64Array, part: U64Array, role: int) -> tuple[U64Array, U64Array]:
        """The replicated parts of a fact that role 0 handed over: components (stream, rest, 0)."""
        zero = np.zeros_like(part)
        return ((facts ^ part, part), (part, zero), (zero, part))[role]

    # --- comparison and bits -----------------------------------------------------------------------------------

    async def _carry(self, x: Arith, bits: int, top: bool, offset: int = 0) -> Bits:
        """The carry of (c + offset mod 2^bits) + (r mod 2^bits).

        With `top`, XORed with bit `bits` of c and of r, which makes it bit `bits` of x + offset.

        Role 0 hands over the one-hot form of each digit of c; roles 1 and 2 pick generate and propagate by their digit
        of r; a binary tree combines them. 2 + ceil(log2(digits)) rounds; for the sign bit of 64-bit values 335 bits in
        total per element with digits of 3 bits, 373 with 4 and a round less. (Joining four digits at a level would not
        save rounds here: a product of three replicated factors takes two.)
        """
        digit = _carry_digit(self.network, x.size, bits)
        rows, sign = await self._carry_digits(x, bits, digit, top, offset)
        carry = (await self._carry_up(rows))[0]
        return carry ^ sign if top else carry

    async def _carry_digits(
        self, x: Arith, bits: int, digit: int, top: bool, offset: int = 0, carried: bool = False
    ) -> tuple[Bits, Bits]:
        """Rows for `_carry_up`, where the lowest digit propagates only if `carried`, and the top bits' XOR."""
        n = x.size
        digits, hot_planes = digits_of(bits, digit)
        planes = hot_planes + top
        known_planes = self._known_planes(x, bits + top, offset)
        facts: dict[int, U64Array] = {}
        for s in sections(n):
            if self._role(s) == 0:
                c = known_planes(s)
                hot = kernels.carry_hot(c[:bits], digit)
                facts[s.turn] = np.concatenate([hot, c[bits:]]) if top else hot
        parts = await self._hand_over(n, planes, facts)

        words = words_of(n)
        sign = [np.zeros((1, words), np.uint64), np.zeros((1, words), np.uint64)]
        mine: dict[int, U64Array] = {}
        for s in sections(n):
            role, part = self._role(s), parts[s.turn]
            if role == 0:
                known = facts[s.turn][hot_planes:]
            else:
                r = known_planes(s)
                known = r[bits:]
                mine[s.turn] = kernels.carry_combine(part[:hot_planes], r[:bits], role == 1, carried, digit)
            if top:
                pa, pb = self._known_to_0(known, part[hot_planes:], role)
                sign[0][:, s.words] = pa ^ known if role == 2 else pa
                sign[1][:, s.words] = pb ^ known if role == 1 else pb
        ga, gb = await self._reshare_bits(n, 2 * digits - 1 + carried, mine)
        return Bits(x.shape, ga, gb), Bits(x.shape, *sign)

    def _known_planes(self, x: Arith, width: int, offset: int) -> Callable[[Section], U64Array]:
        """What this party knows of a section of x, as planes: c + offset in role 0, r in the others."""
        if isinstance(x, Differences):
            column, left, right = x.column, x.left, x.right

            def planes(s: Section) -> U64Array:
                role = self._role(s)
                # Half as many to gather, and the sum is there from the last time.
                part = column.parts[role % 2] if role else column.known
                added = 0 if role else offset
                return kernels.difference_planes(part, left[s.elements], right[s.elements], width, added)

            return planes
        a, b = (_flat(p) for p in x.parts)

        def planes_of(s: Section) -> U64Array:
            role = self._role(s)
            if role:
                return kernels.to_planes((b if role == 1 else a)[s.elements], width)
            c = a[s.elements] + b[s.elements]
            return kernels.to_planes(c + np.uint64(offset) if offset else c, width)

        return planes_of

    async def _carry_up(self, rows: Bits, levels: int = 64) -> Bits:
        """Combine rows g_0 .. g_(m-1), p_0 .. p_(m-1) of m digits, or without p_0, in pairs, up to `levels` levels."""
        while rows.width > 2 and levels:
            levels -= 1
            digits, missing = (rows.width + 1) // 2, rows.width % 2
            pairs = digits // 2
            left = digits - pairs
            own, received = await self._and_rows(rows, *_carry_factors(digits, missing))
            joined = []
            for part, product in zip(rows.parts, (own, received), strict=True):
                out = np.empty((2 * left - missing, part.shape[1]), np.uint64)
                np.bitwise_xor(part[1 : 2 * pairs : 2], product[:pairs], out=out[:pairs])
                out[left : left + pairs - missing] = product[pairs:]
                if left > pairs:
                    out[pairs], out[-1] = part[digits - 1], part[-1]
                joined.append(out)
            rows = Bits(rows.shape, *joined)
        return rows

    async def _and_rows(self, x: Bits, left: Positions, right: Positions) -> tuple[U64Array, U64Array]:
        """The products of some planes of x with others: `and_`, with nothing to put side by side before."""
        x0, x1 = x.parts
        z = kernels.rep3_and_rows(x0, x1, left, right, self._own, self._following, self._streams(1))
        inbox = await Exchange({self._prev: [z]}, {self._next: z.nbytes})
        return z, _words(inbox[self._next]).reshape(z.shape)

    @declared(lambda self, x: _carry_cost(self.network, x.size, 63, True))
    async def msb(self, x: Arith) -> Bits:
        """The sign bit: 7 rounds, 335 bits in total per element; 6 and 373 where a network makes rounds dear."""
        return await self._carry(x, 63, top=True) if x.size else self._no_bits(x.shape, 1)

    @declared(lambda self, high, low, bits: _precedes_cost(self.network, high.size, bits))
    async def precedes(self, high: Arith, low: Arith, bits: int) -> Bits:
        """The sign of high - 1 + (low >= 0), with that bit as the carry in of one tree: one lexicographic comparison.

        The tree of `high` waits for that of `low` only where both have the same number of levels left, so for low
        differences of up to 24 bits it has the 7 rounds of `msb`. 464 bits in total per element for 20 bits.
        """
        if not high.size:
            return self._no_bits(high.shape, 1)
        digit = _precedes_digit(self.network, high.size, bits)
        (rows, sign), (below, below_sign) = await gather(
            self._carry_digits(high, 63, digit, True, 2**64 - 1, carried=True),
            self._carry_digits(low, bits, digit, True),
        )
        levels = _carry_tree(digits_of(bits, digit)[0])[0]
        rows, below = await gather(self._carry_up(rows, levels), self._carry_up(below))
        carry = await self._carry_up(Bits.concat_bits([self.invert(below[0] ^ below_sign), rows]))
        result: Bits = carry[0] ^ sign
        return result

    @declared(lambda self, b: _digits_cost(b))
    async def digits(self, b: Bits) -> Digits:
        """Thermometer codes of 4-bit digits, from the monomials of their bits: 2 rounds, 33 bits in total per digit."""
        n, count = b.size, -(-b.width // DIGIT)
        words = words_of(n)
        monomials = []
        ones = self.constant_planes((n,), np.full((1, words), 2**64 - 1, np.uint64))
        for part, one in zip(b.parts, ones.parts, strict=True):
            padded = np.zeros((DIGIT * count, words), np.uint64)
            padded[: b.width] = part
            rows = np.empty((2**DIGIT, count, words), np.uint64)
            rows[0] = one
            for k in range(DIGIT):
                rows[1 << k] = padded[k::DIGIT]
            monomials.append(rows)
        flat = Bits((n,), *(rows.reshape(-1, words) for rows in monomials))
        for products in _PRODUCTS if n else ():
            both = await self._and_rows(flat, *_monomial_factors(products, count))
            for rows, part in zip(monomials, both, strict=True):
                rows[[x | y for x, y in products]] = part.reshape(len(products), count, words)
        return Digits(count, *(kernels.thermometer_digits(rows, n) for rows in monomials))

    @declared(lambda self, x, left, right: _less_cost(x.count, left.size))
    async def open_less(self, x: Digits, left: Positions, right: Positions) -> NDArray[np.bool_]:
        """Inner products say for each digit which row is less and whether they are equal; a tree combines them.

        The communication of an inner product is that of one AND (Araki et al. 2016), so digits in one-hot and
        thermometer code compare at the price of a bit. The last product is opened at once: its summands go to both
        other parties. Reveals the outcomes. 1 + ceil(log2(digits)) rounds; 219 bits in total per pair of 80-bit rows.
        """
        n = left.size
        if not n:
            return np.zeros(0, np.bool_)
        x0, x1 = x.parts
        z = kernels.rep3_less(x0, x1, x.count, left, right, self._own, self._following, self._streams(1))
        if x.count > 1:
            rows = await self._completed(Bits((n,), z), z)
            rows = await self._carry_up(rows, _carry_tree(x.count)[0] - 1)
            r0, r1 = rows.parts
            upper, lower = _carry_factors(2, 1)
            z = kernels.rep3_and_rows(r0, r1, upper, lower, self._own, self._following, self._streams(1)) ^ r0[1:2]
        await self.check()
        inbox = await Exchange({self._prev: [z], self._next: [z]}, {self._prev: z.nbytes, self._next: z.nbytes})
        opened = z[0] ^ _words(inbox[self._prev]) ^ _words(inbox[self._next])
        return unpack_plane(opened, n).view(np.bool_)

    def _no_bits(self, shape: tuple[int, ...], width: int) -> Bits:
        empty = np.zeros((width, 0), np.uint64)
        return Bits(shape, empty, empty)

    async def _share_c(self, x: Arith, width: int, offset: int) -> Bits:
        """Replicated bits: components 0 and 1 XOR to c, component 2 is r + offset. 1 round, 8*width*W bytes."""
        n = x.size
        a, b = _flat(x.parts[0]), _flat(x.parts[1])
        facts = {
            s.turn: kernels.to_planes(a[s.elements] + b[s.elements], width) for s in sections(n) if self._role(s) == 0
        }
        parts = await self._hand_over(n, width, facts)
        ya, yb = np.empty((width, words_of(n)), np.uint64), np.empty((width, words_of(n)), np.uint64)
        for s in sections(n):
            role, part = self._role(s), parts[s.turn]
            if role == 0:
                pa, pb = facts[s.turn] ^ part, part
            else:
                values = (b if role == 1 else a)[s.elements] + np.uint64(offset & (2**64 - 1))
                r = kernels.to_planes(values, width)
                pa, pb = (part, r) if role == 1 else (r, part)
            ya[:, s.words], yb[:, s.words] = pa, pb
        return Bits(x.shape, ya, yb)

    @declared(lambda self, x: Cost(7, 8 * words_of(x.size) * (64 + 3 * 63)) if x.size else Cost())
    async def is_zero(self, x: Arith) -> Bits:
        """x == 0 exactly when c == -r, that is when c ^ (r - 1) has all bits set: 7 rounds, 253 bits per element."""
        if x.size == 0:
            return self._no_bits(x.shape, 1)
        return await self.all_bits(await self._share_c(x, 64, -1))

    @declared(lambda self, x, width=64: _a2b_cost(x.size, width))
    async def a2b(self, x: Arith, width: int = 64) -> Bits:
        """Add c and r by digits of 4 bits, one-hot: 7 rounds and 715 bits in total per element for 64 bits.

        Role 0 hands over the one-hot form of each digit of c, of which those of its lower bits are sums. So roles 1 and
        2 have shares of each carry within a digit, if none comes in, and of whether one that comes in would get there.
        A Sklansky adder finds those that come in, and one product for each upper bit of a digit adds them.
        """
        n = x.size
        if n == 0:
            return self._no_bits(x.shape, width)
        digits, *above = _with_bit(width)
        known_planes = self._known_planes(x, width, 0)
        facts: dict[int, U64Array] = {}
        clear: dict[int, U64Array] = {}
        for s in sections(n):
            if self._role(s) == 0:
                clear[s.turn] = known_planes(s)
                facts[s.turn] = kernels.carry_hot(clear[s.turn], DIGIT)
        parts = await self._hand_over(n, digits_of(width, DIGIT)[1], facts)
        sums = [np.empty((width, words_of(n)), np.uint64) for _ in range(2)]
        mine: dict[int, U64Array] = {}
        for s in sections(n):
            role = self._role(s)
            hots, c = _lower(parts[s.turn], digits)
            c = c[:width]
            if role == 0:
                pair = clear[s.turn] ^ c, c
            else:
                r = known_planes(s)
                pair = (c, r) if role == 1 else (r, c)
                mine[s.turn] = _carries(hots, r, width, role == 1)
            for out, part in zip(sums, pair, strict=True):
                out[:, s.words] = part
        if width == 1:
            return Bits(x.shape, *sums)
        counts = _carry_rows(width)
        carries = [np.split(g, np.cumsum(counts)[:-1]) for g in await self._reshare_bits(n, sum(counts), mine)]
        # A carry never comes to the lowest digit, so nobody asks for the row of its propagates.
        rows = [np.concatenate([g[0], g[0][:1], g[1]]) for g in carries]
        for left, right, target, added in _prefix_rows(digits - 1):
            both = await self._and_rows(Bits(x.shape, *rows), left, right)
            for part, product in zip(rows, both, strict=True):
                part[target[:added]] ^= product[:added]
                part[target[added:]] = product[added:]
        left, right = _selecting(width)
        added_to = _added(above)
        through = [
            np.concatenate([part[: digits - 1], total[DIGIT::DIGIT][: added_to[0]], *g[4::2]])
            for part, total, g in zip(rows, sums, carries, strict=True)
        ]
        both = await self._and_rows(Bits(x.shape, *through), left, right) if left.size else (through[0][:0],) * 2
        for total, part, g, product in zip(sums, rows, carries, both, strict=True):
            total[DIGIT::DIGIT] ^= part[: digits - 1]
            moved = np.split(product, np.cumsum(added_to)[:-1])
            for j, (within, from_below) in enumerate(zip([g[2], *g[3::2]], moved, strict=True), 1):
                total[j::DIGIT] ^= within
                total[DIGIT + j :: DIGIT] ^= from_below
        return Bits(x.shape, *sums)

    @declared(lambda self, b: _b2a_cost(b.size, b.width))
    async def b2a(self, b: Bits) -> Arith:
        """Words of w bits to ring elements: 2 rounds, (sum over bits i of 64 - i) + 128 bits in total per element.

        Bit i is beta ^ b2 = beta*(1 - 2*b2) + b2 with beta known to role 0 and b2 to roles 1 and 2. Role 0 splits beta
        modulo 2^(64-i), since it will be multiplied by 2^i.
        """
        n, width = b.size, b.width
        if n == 0 or width == 0:
            return self.constant(np.zeros(b.shape, np.uint64))
        pa, pb = (np.ascontiguousarray(p) for p in b.parts)
        step = self._streams(3 * width)
        message = kernels.b2a_send(self.me, n, pa, pb, self._own, step)
        size = _b2a_sent(self._roles(n)[1].n, width)
        _, received = await self._swap(([message], []), (0, size))
        keys = (self._own, self._following, step, self._streams(3))
        ya, yb = kernels.b2a_combine(self.me, n, pa, pb, received, *keys)
        await self._reshared([(ya, yb)])
        return Arith(ya.reshape(b.shape), yb.reshape(b.shape))

    @declared(lambda self, b, x: Cost(2, 32 * x.size) if x.size else Cost())
    async def inject(self, b: Bits, x: Arith) -> Arith:
        """b*x: 2 rounds, 32 bytes in total per element.

        b*x = (b2 + k*beta)(c + r) with k = 1 - 2*b2. Role 0 splits beta*c and beta between roles 1 and 2; all else is
        local to them.
        """
        n = x.size
        if n == 0:
            return x
        pa, pb = (np.ascontiguousarray(p) for p in b.parts)
        x0, x1 = (_flat(p) for p in x.parts)
        step = self._streams(6)
        message = kernels.inject_send(self.me, pa, pb, x0, x1, self._own, step)
        _, received = await self._swap(([message], []), (0, 16 * self._roles(n)[1].n))
        keys = (self._own, self._following, step, self._streams(3))
        ya, yb = kernels.inject_combine(self.me, pa, pb, x0, x1, received, *keys)
        await self._reshared([(ya, yb)])
        return Arith(ya.reshape(x.shape), yb.reshape(x.shape))

    @declared(lambda self, index, table, out_bits: _lut_cost(index.size, index.width, out_bits))
    async def lut(self, index: Bits, table: U64Array, out_bits: int) -> Bits:
        """2 rounds, 2^width - 1 + 2*out_bits bits in total per element.

        Role 0 hands over the one-hot form of its share delta of the index; roles 1 and 2 permute it by theirs.
        """
        n = index.size
        if n == 0:
            return self._no_bits(index.shape, out_bits)
        return Bits(index.shape, *await self._reshare_bits(n, out_bits, await self._looked_up(index, table, out_bits)))

    @declared(lambda self, index, table, widths: _lut_numbers_cost(index.size, 2**index.width - 1, widths))
    async def lut_numbers(self, index: Bits, table: U64Array, widths: Sequence[int]) -> Arith:
        """`lut` and `b2a` of each field in 3 rounds, not 4."""
        n = index.size
        if n == 0:
            return self.constant(np.zeros((len(widths), *index.shape), np.uint64))
        return await self._numbers(index.shape, widths, await self._looked_up(index, table, sum(widths)))

    @declared(lambda self, x, drop, table, widths: _lut_numbers_cost(x.size, table.size, widths))
    async def lut_near(self, x: Arith, drop: int, table: U64Array, widths: Sequence[int]) -> Arith:
        """3 rounds, 2^g + 2*o bits and the `b2a` of the fields in total per element, for 2^g entries of o bits.

        x / 2^drop is (c >> drop) + (r >> drop), and one more if the low bits carry, which is left out. Role 0 hands
        over the one-hot form of its summand modulo 2^g; roles 1 and 2 rotate it by theirs. So no bits are needed.
        """
        n, entries = x.size, table.size
        if n == 0:
            return self.constant(np.zeros((len(widths), *x.shape), np.uint64))
        a, b = (_flat(p) for p in x.parts)
        zero, one, two = self._roles(n)
        facts: dict[int, U64Array] = {}
        if zero.w:
            rows = kernels.hot_rows(a[zero.elements] + b[zero.elements], drop, entries.bit_length() - 1)
            facts[zero.turn] = rows.reshape(-1)
        parts = await self._hand_over(n, entries, facts)
        mine: dict[int, U64Array] = {}
        for s, r in ((one, b), (two, a)):
            if s.w:
                hot = parts[s.turn].reshape(64 * s.w, entries // 64)
                words = kernels.look_up_rows(hot, r[s.elements], drop, table)
                mine[s.turn] = kernels.to_planes(words, sum(widths))
        return await self._numbers(x.shape, widths, mine)

    async def _looked_up(self, index: Bits, table: U64Array, out_bits: int) -> dict[int, U64Array]:
        """The table's entries, split over Z_2 between roles 1 and 2. 1 round."""
        n, width = index.size, index.width
        pa, pb = index.parts
        facts = {
            s.turn: kernels.one_hot(np.ascontiguousarray(pa[:, s.words] ^ pb[:, s.words]))
            for s in sections(n)
            if self._role(s) == 0
        }
        parts = await self._hand_over(n, 2**width - 1, facts)
        mine: dict[int, U64Array] = {}
        for s in sections(n):
            role = self._role(s)
            if role:
                digit = np.ascontiguousarray((pb if role == 1 else pa)[:, s.words])
                mine[s.turn] = kernels.lut_combine(parts[s.turn], digit, table, out_bits, role == 1)
        return mine

    # --- shuffle -----------------------------------------------------------------------------------------------

    @declared(lambda self, rows: _shuffle_cost(rows, 0))
    async def shuffle(self, rows: Arith) -> Arith:
        """Laur, Willemson, Zhang 2011: three permutations, each unknown to one party. 2 rounds, 32 bytes per element.

        pi_j comes from K_j. With c = x0 + x1, r = x2, masks alpha from K0 and beta from K1:
        P0 sends P2 d = pi_1(pi_0(c) - alpha) - beta; P2 sends P1 g = pi_0(r) + alpha; then P1 holds
        T = pi_2(pi_1(g) + beta) and P2 holds S = pi_2(d), and they reshare. Roles do not rotate.
        """
        return (await self._shuffled(rows, 0))[0] if rows.size else rows

    @declared(lambda self, rows: _shuffle_cost(rows, place_bits(rows.shape[0])))
    async def shuffle_places(self, rows: Arith) -> tuple[Arith, Bits]:
        """As `shuffle`, and with it 3 bits for each bit of a place.

        Places are public at first: P0 knows pi_1(pi_0(places)) and sends it to P2 with a Boolean mask from K1. So P1
        needs no message to have the other share, the mask, before both apply pi_2.
        """
        bits = place_bits(rows.shape[0])
        return await self._shuffled(rows, bits) if rows.size else (rows, self._no_bits(rows.shape[:1], bits))

    async def _shuffled(self, rows: Arith, bits: int) -> tuple[Arith, Bits]:
        """The rows in a random order, and so many bits of their places."""
        shape, n, size = rows.shape, rows.shape[0], rows.size
        step = self._streams(6)
        width, words = size // n, words_of(n)
        a, b = (_flat(p).reshape(n, width) for p in rows.parts)
        # Whatever has been used goes at once: of many rows each copy counts.
        del rows

        def permutation(component: int) -> NDArray[np.uint32]:
            key = self._own if component == self.me else self._following
            return kernels.prg_permutation(key, step, n)

        def moved(x: U64Array, order: NDArray[np.uint32]) -> U64Array:
            return kernels.gather(x.reshape(n, -1), order).reshape(-1)

        if self.me == 0:
            mine = a + b
            del a, b
            first, second = permutation(0), permutation(1)
            mine = kernels.sub_prg(moved(mine, first), self._own, step + 1)
            mine = kernels.sub_prg(moved(mine, second), self._following, step + 2)
            masked = [mine]
            if bits:
                places = kernels.to_planes(first.take(second).astype(np.uint64), bits)
                masked.append(kernels.xor_prg(places, self._following, step + 4))
            del mine, first, second
            await Exchange({2: masked}, {})
            del masked
            await Exchange({}, {})
            keys = (self._own, self._following)
            numbers = Arith(*(kernels.prg_words(key, step + 3, size).reshape(shape) for key in keys))
            streams = (kernels.prg_words(key, step + 5, bits * words).reshape(bits, words) for key in keys)
            return numbers, Bits((n,), *streams)
        if self.me == 1:
            del a, b
            mine = moved(_words((await Exchange({}, {2: 8 * size}))[2]), permutation(1))
            mine = kernels.add_prg(mine, self._own, step + 2)
            places = kernels.prg_words(self._own, step + 4, bits * words)
            key, peer = self._own, 2
        else:
            mine = kernels.add_prg(moved(a, permutation(0)), self._following, step + 1)
            del a, b
            received = _words((await Exchange({1: [mine]}, {0: 8 * size + 8 * bits * words}))[0])
            mine, places = received[:size], received[size:]
            key, peer = self._following, 1
        last = permutation(2)
        # A resharing without rotation: party 0 has role 0 throughout.
        mine = kernels.sub_prg(moved(mine, last), key, step + 3)
        masked = [mine]
        if bits:
            places = moved(kernels.from_planes(places.reshape(bits, words), n), last)
            places = kernels.xor_prg(kernels.to_planes(places, bits), key, step + 5)
            masked.append(places)
        del last
        received = _words((await Exchange({peer: masked}, {peer: 8 * (size + bits * words)}))[peer])
        y2, stream = (mine + received[:size]).reshape(shape), kernels.prg_words(key, step + 3, size).reshape(shape)
        b2, mask = places.reshape(-1) ^ received[size:], kernels.prg_words(key, step + 5, bits * words)
        b2, mask = b2.reshape(bits, words), mask.reshape(bits, words)
        if self.me == 1:
            return Arith(stream, y2), Bits((n,), mask, b2)
        return Arith(y2, stream), Bits((n,), b2, mask)
