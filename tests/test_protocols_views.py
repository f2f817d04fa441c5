"""A party learns nothing from the messages of rep3, and the test that says so finds planted leaks."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from harness import bits, opened, rep3_boxes, rep3_keys, share, u64
from tacit import kernels
from tacit.engine.drive import Traffic, lockstep
from tacit.library import aes
from tacit.protocols import rep3
from tacit.protocols.blackbox import MATMUL, MUL, Bilinear, BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.network import NETWORKS
from tacit.protocols.rep3 import Rep3
from tacit.protocols.shares import Arith, Bits, U64Array
from views import (
    ROWS,
    SIGMAS,
    collect,
    deal,
    fields,
    linear_relations,
    not_uniform,
    suspicions,
    worst_pair,
)

N = 3 * ROWS
LOW, HIGH = -(2**63), 2**63 - 1


def const(value: int) -> np.ndarray:
    return np.full(N, value, dtype=np.int64)


def word(value: int, width: int) -> Any:
    return bits(const(value), width)


def octets(value: int) -> Any:
    """The bits of eight equal bytes in each instance."""
    return bits(np.tile(value >> np.arange(8) & 1, (N, 8)), 1)


def matrix(value: int, columns: int = 4) -> np.ndarray:
    return np.full((N, columns), value, dtype=np.int64)


TABLE = np.arange(32, dtype=np.uint64) ** np.uint64(3)
WIDE = np.arange(512, dtype=np.uint64) * np.uint64(77) % np.uint64(256)
WEIGHTS = np.arange(4, dtype=np.int64).reshape(4, 1) - 1


async def _two_products(box: BlackBox, x: Any, y: Any) -> Any:
    return await gather(box.mul(x, y), box.mul(y, y))


async def _order(box: BlackBox, x: Any) -> Any:
    """Equal rows, so that what opens is the same for all inputs."""
    rows, places = await box.digits(x), np.arange(x.size)
    await box.open_less(rows, places, np.roll(places, 1))
    return x


async def _two_byte_products(box: BlackBox, x: Any, y: Any) -> Any:
    return await gather(box.gf256_mul(x, y), box.gf256_mul(x, y))


async def _shuffled_places(box: BlackBox, x: Any) -> Any:
    """The places in the shuffled order, unopened, tell nothing of the rows; nor do the rows."""
    return list(await box.shuffle_places(x.reshape((x.size, 1))))


def _far(box: BlackBox) -> BlackBox:
    box.network = NETWORKS["wan"]
    return box


# name -> (program, inputs a, inputs b)
CASES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "mul": (lambda b, x, y: b.mul(x, y), [const(0), const(0)], [const(LOW), const(-1)]),
    "two-products": (_two_products, [const(0), const(0)], [const(HIGH), const(-1)]),
    "matmul": (lambda b, x, y: b.bilinear(MATMUL, x, y), [matrix(0), WEIGHTS], [matrix(HIGH), WEIGHTS]),
    "matmul-truncate": (
        lambda b, x, y: b.bilinear_truncate(MATMUL, x, y, 18), [matrix(0), WEIGHTS], [matrix(-(2**50)), WEIGHTS],
    ),
    "bilinear-truncate": (
        lambda b, x, y: b.bilinear_truncate(MUL, x, y, 18), [const(0), const(0)], [const(2**30), const(-(2**31))],
    ),
    "bilinear-truncate-exact": (
        lambda b, x, y: b.bilinear_truncate(MUL, x, y, 18, True), [const(0), const(0)], [const(2**30), const(-3)],
    ),
    "truncate": (lambda b, x: b.truncate(x, 18), [const(0)], [const(2**62 - 1)]),
    "truncate-1": (lambda b, x: b.truncate(x, 1), [const(0)], [const(-(2**62) + 1)]),
    "truncate-61": (lambda b, x: b.truncate(x, 61), [const(0)], [const(-(2**62) + 1)]),
    "truncate-exact": (lambda b, x: b.truncate(x, 18, True), [const(0)], [const(2**61 - 1)]),
    "and": (lambda b, x, y: b.and_(x, y), [word(0, 9), word(0, 9)], [word(511, 9), word(341, 9)]),
    "gf256_mul": (lambda b, x, y: b.gf256_mul(x, y), [octets(0), octets(0)], [octets(255), octets(83)]),
    "two-byte-products": (_two_byte_products, [octets(0), octets(0)], [octets(255), octets(83)]),
    "gf256_mul-cube": (lambda b, x: b.gf256_mul(x, x, (0, 1)), [octets(0)], [octets(83)]),
    "aes-inverse": (lambda b, x: aes._inverse(b, x), [octets(0)], [octets(83)]),
    "a2b": (lambda b, x: b.a2b(x), [const(0)], [const(-1)]),
    "a2b-7": (lambda b, x: b.a2b(x, 7), [const(0)], [const(LOW + 85)]),
    "b2a": (lambda b, x: b.b2a(x), [word(0, 1)], [word(1, 1)]),
    "b2a-8": (lambda b, x: b.b2a(x), [word(0, 8)], [word(255, 8)]),
    "msb": (lambda b, x: b.msb(x), [const(0)], [const(LOW)]),
    "msb-far": (lambda b, x: _far(b).msb(x), [const(0)], [const(LOW)]),
    "precedes": (lambda b, x, y: b.precedes(x, y, 20), [const(0), const(0)], [const(HIGH), const(-1)]),
    "precedes-far": (lambda b, x, y: _far(b).precedes(x, y, 20), [const(0), const(0)], [const(HIGH), const(-1)]),
    "is_zero": (lambda b, x: b.is_zero(x), [const(0)], [const(-1)]),
    "all_bits": (lambda b, x: b.all_bits(x), [word(0, 9)], [word(511, 9)]),
    "inject": (lambda b, c, x: b.inject(c, x), [word(0, 1), const(0)], [word(1, 1), const(LOW + 1)]),
    "lut": (lambda b, i: b.lut(i, TABLE, 17), [word(0, 5)], [word(31, 5)]),
    "lut-9": (lambda b, i: b.lut(i, WIDE, 8), [word(0, 9)], [word(511, 9)]),
    "lut_numbers": (lambda b, i: b.lut_numbers(i, TABLE, (4, 13)), [word(0, 5)], [word(31, 5)]),
    "lut_near": (lambda b, x: b.lut_near(x, 20, WIDE, (5, 3)), [const(0)], [const(HIGH)]),
    "open-less": (_order, [word(0, 9)], [word(341, 9)]),
    "shuffle": (lambda b, x: b.shuffle(x), [const(0)], [const(HIGH)]),
    "shuffle_places": (_shuffled_places, [const(0)], [const(HIGH)]),
}  # fmt: skip


def input_of(owner: int, value: int, width: int | None = None) -> Any:
    """A program in which party `owner` inputs the value in every instance."""

    def program(box: BlackBox) -> Any:
        values = u64(const(value)) if box.me == owner else None
        return box.input(owner, values, (N,)) if width is None else box.input_bits(owner, values, (N,), width)

    return program


@pytest.mark.parametrize("name", CASES)
def test_what_a_party_sees_does_not_depend_on_the_inputs(name: str) -> None:
    program, a, b = CASES[name]
    assert suspicions(program, a, program, b) == []


@pytest.mark.parametrize("owner", [0, 1, 2])
@pytest.mark.parametrize("width", [None, 13])
def test_an_input_is_hidden_from_the_other_parties(owner: int, width: Any) -> None:
    assert suspicions(input_of(owner, 0, width), [], input_of(owner, -1, width), []) == []


# --- planted leaks: the same function must find them --------------------------------------------------------------


class OneStream(Rep3):
    """Every mask is drawn from the same stream: the masks of two steps are equal."""

    def _streams(self, count: int) -> int:
        self._stream = 6
        return 0


class NoMask(Rep3):
    """The summands of a product are sent as they are."""

    def _cross(self, op: Bilinear, x: Arith, y: Arith) -> U64Array:
        self._streams(1)
        (x0, x1), (y0, y1) = x.parts, y.parts
        return np.ascontiguousarray(op.apply(x0, y0 + y1) + op.apply(x1, y0)).reshape(-1)


def planted(name: str, protocol: type[Rep3]) -> list[str]:
    program, a, b = CASES[name]
    return suspicions(program, a, program, b, protocol)


@pytest.mark.parametrize("name", ["two-products", "a2b-7", "open-less"])
def test_a_reused_mask_is_found(name: str) -> None:
    assert planted(name, OneStream)


def test_a_missing_mask_is_found() -> None:
    found = planted("mul", NoMask)
    assert [f for f in found if "not uniform" in f]


def _inject_unmasked(me: int, *arguments: Any) -> Any:
    """`inject_send` with its masks taken off again."""
    *_, key, step = arguments
    message = INJECT_SEND(me, *arguments).view(np.uint64).reshape(2, -1)
    masks = [kernels.prg_words(key, step + 2 * me + i, message.shape[1]) for i in range(2)]
    return (message + np.stack(masks)).view(np.uint8).reshape(-1)


INJECT_SEND = kernels.inject_send
UNMASKED = {
    "inject": ("inject_send", _inject_unmasked),
    "lut": ("xor_prg", lambda x, key, step: x),
    "lut_near": ("xor_prg", lambda x, key, step: x),
}


@pytest.mark.parametrize("name", UNMASKED)
def test_a_handed_over_fact_without_a_mask_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rep3.kernels, *UNMASKED[name])
    assert planted(name, Rep3)


def test_a_message_whose_length_depends_on_the_input_is_found() -> None:
    program, (x, w), _ = CASES["matmul"]
    found = suspicions(program, [x, w], program, [x, np.concatenate([w, w], axis=1)])
    assert len(found) == 3
    assert all("length of messages" in f for f in found)


def test_linear_relations_are_counted() -> None:
    rng = np.random.default_rng(1)
    m = rng.integers(0, 2, (ROWS, 300), dtype=np.uint8)
    related = np.concatenate([m, m[:, :1] ^ m[:, 7:8] ^ m[:, 299:], np.ones((ROWS, 1), np.uint8)], axis=1)
    assert linear_relations(m) == 0
    assert linear_relations(related) == 2


# --- openings and clients ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [None, 0, 1, 2])
@pytest.mark.parametrize("item", [const(-5), word(5, 9)], ids=["arith", "bits"])
def test_an_opening_sends_only_what_value_and_own_shares_determine(to: Any, item: Any) -> None:
    views = collect(lambda b, x: b.reveal(x, to), [item])

    for view in views:
        if to not in (None, view.me):
            assert view.raw == []
            continue
        x0, x1 = deal(item, np.random.default_rng([0, 7, 0]))[view.me].parts
        (message,) = view.raw
        if isinstance(item, np.ndarray):
            np.testing.assert_array_equal(message, u64(item) - x0 - x1)
        else:
            clear = kernels.to_planes(item.values, item.width)
            np.testing.assert_array_equal(message.reshape(x0.shape), clear ^ x0 ^ x1)


@pytest.mark.parametrize("name", ["a2b", "msb", "is_zero", "and", "gf256_mul", "all_bits", "lut", "lut-9"])
def test_the_padding_of_opened_bits_does_not_depend_on_the_inputs(name: str) -> None:
    """Openings send whole words: what lies beyond the last element must be public."""
    program, *pair = CASES[name]
    paddings = []
    count = 24 if name == "gf256_mul" else 3
    for inputs in pair:
        few = [bits(i.values.reshape(-1)[:count], i.width) if hasattr(i, "width") else i[:count] for i in inputs]
        boxes = rep3_boxes()
        dealt = [share(boxes, item) for item in few]
        out = lockstep([program(b, *(d[b.me] for d in dealt)) for b in boxes])
        words = out[0].parts[0] ^ out[0].parts[1] ^ out[1].parts[1]
        paddings.append(words >> np.uint64(count))

    np.testing.assert_array_equal(*paddings)


@pytest.mark.parametrize("to", [None, 0, 1, 2])
def test_an_opening_of_bits_sends_nothing_of_what_lies_beyond_the_last_element(to: int | None) -> None:
    """Where a secret key was at work, as in tags of keys, that is not public: it is the tag of a key of zeros."""
    rng = np.random.default_rng(1)
    components = rng.integers(0, 2**64, (3, 2, 2), dtype=np.uint64)
    boxes = rep3_boxes()
    traffic = Traffic()
    x = [Bits((70,), components[me], components[(me + 1) % 3]) for me in range(3)]
    given = lockstep([box.reveal(x[box.me], to) for box in boxes], traffic, record=True)
    sent = [np.frombuffer(payload, np.uint64).reshape(2, 2) for _, _, _, payload in traffic.messages]
    assert len(sent) == (3 if to is None else 1)
    assert all(not (words[:, 1] >> np.uint64(6)).any() and words.any() for words in sent)
    want = kernels.from_planes(np.bitwise_xor.reduce(components), 70)
    assert all((out is not None) == (to in (None, me)) for me, out in enumerate(given))
    assert all(np.array_equal(out, want) for out in given if out is not None)


def test_a_computing_party_learns_nothing_from_what_a_client_deals() -> None:
    messages = Rep3.deal(u64(const(-1)), [bytes([i + 1]) * 16 for i in range(3)])

    for me in (1, 2):
        shares = rep3_boxes()[me].receive(messages[me], (N,))
        assert max(not_uniform(m) for part in shares.parts for m in fields(part)) < SIGMAS
        assert worst_pair(fields(shares.parts[0]), fields(shares.parts[1])) < SIGMAS
    assert len(messages[0]) == 32


def test_a_client_learns_only_the_sum_of_what_it_gets() -> None:
    boxes = rep3_boxes()
    zeros = u64(const(0))
    # The worst sharing: all components zero, so that only the fresh masks hide them.
    got = [box.for_client(Arith(zeros, zeros)) for box in boxes]

    np.testing.assert_array_equal(Rep3.combine(got), zeros)
    for i in range(3):
        a, b = fields(got[i]), fields(got[(i + 1) % 3])
        assert max(not_uniform(m) for m in a) < SIGMAS
        assert worst_pair(a, b) < SIGMAS


# --- truncation and shuffle: the distribution of what they do -----------------------------------------------------


@pytest.mark.parametrize("f", [1, 3, 4])
@pytest.mark.parametrize("high", [0, 12345, -98765, -(2**50)])
def test_truncation_rounds_up_for_exactly_the_right_share_of_masks(f: int, high: int) -> None:
    """All low parts of x with all low parts of c, in each third: x mod 2^f of every 2^f masks round up."""
    size = 1 << f
    low_x, low_c = (g.reshape(-1) for g in np.meshgrid(np.arange(size), np.arange(size), indexing="ij"))
    # Padded to whole words, so that the thirds are equal.
    third = -(-size * size // 64) * 64
    low_x, low_c = (np.resize(v, third) for v in (low_x, low_c))
    x = u64(np.tile(low_x + high * size, 3))
    rng = np.random.default_rng(f)
    parts = [np.empty(3 * third, np.uint64) for _ in range(3)]
    for s in rep3.sections(3 * third):
        c = u64(low_c) + (rng.integers(0, 2**60, third, dtype=np.uint64) << np.uint64(f))
        first = rng.integers(0, 2**63, third, dtype=np.uint64)
        for role, value in enumerate((first, c - first, x[s.elements] - c)):
            parts[(s.turn + role) % 3][s.elements] = value
    boxes = rep3_boxes()
    shares = [Arith(parts[p], parts[(p + 1) % 3]) for p in range(3)]

    result = opened(boxes, lockstep([b.truncate(shares[b.me], f) for b in boxes]))

    up = (result.view(np.int64) - high).reshape(3, third)[:, : size * size].reshape(3, size, size)
    assert set(np.unique(up)) <= {0, 1}
    np.testing.assert_array_equal(up.sum(axis=2), np.tile(np.arange(size), (3, 1)))


def test_truncation_at_18_bits_has_the_mean_of_the_quotient() -> None:
    boxes = rep3_boxes()
    rng = np.random.default_rng(5)
    x = rng.integers(-(2**40), 2**40, 30_000)

    shares = deal(x, rng)
    result = opened(boxes, lockstep([b.truncate(shares[b.me], 18) for b in boxes])).view(np.int64)

    low = (x & (2**18 - 1)) / 2**18
    deviation = (result - (x >> 18) - low).sum()
    assert abs(deviation) < 5 * np.sqrt((low * (1 - low)).sum())


@pytest.mark.parametrize("places", [False, True])
def test_every_order_of_a_shuffle_is_equally_likely(places: bool) -> None:
    boxes = rep3_boxes()
    shares = share(boxes, np.arange(3))
    counts = dict.fromkeys(permutations(range(3)), 0)
    for _ in range(600):
        if places:
            bits = [numbers for _, numbers in lockstep([b.shuffle_places(shares[b.me]) for b in boxes])]
            planes = bits[0].parts[0] ^ bits[0].parts[1] ^ bits[1].parts[1]
            values = kernels.from_planes(planes, 3)
        else:
            outputs = lockstep([b.shuffle(shares[b.me]) for b in boxes])
            values = outputs[0].parts[0] + outputs[0].parts[1] + outputs[1].parts[1]
        counts[tuple(int(v) for v in values)] += 1
    # chi-square with 5 degrees of freedom: 30 has probability 1.5e-5
    assert sum((c - 100) ** 2 / 100 for c in counts.values()) < 30


@pytest.mark.parametrize("me", [0, 1, 2])
def test_the_order_of_a_shuffle_is_independent_of_the_permutations_a_party_knows(me: int) -> None:
    boxes = rep3_boxes(me)
    keys = rep3_keys(me)
    shares = share(boxes, np.arange(2))
    counts = np.zeros((2, 2, 2))
    for _ in range(400):
        step = boxes[0]._stream
        outputs = lockstep([b.shuffle(shares[b.me]) for b in boxes])
        order = outputs[0].parts[0] + outputs[0].parts[1] + outputs[1].parts[1]
        known = [int(kernels.prg_permutation(keys[(me + i) % 3], step, 2)[0]) for i in range(2)]
        counts[known[0], known[1], int(order[0])] += 1
    # chi-square with 7 degrees of freedom: 35 has probability 1e-5
    assert ((counts - 50) ** 2 / 50).sum() < 35
