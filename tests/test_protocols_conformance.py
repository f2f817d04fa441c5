"""Every primitive of the black box: right result, and declared = dry = measured cost.

A new protocol is put in `PROTOCOLS`, a new primitive in `CASES`; a test fails for a primitive without a case.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import (
    FarRep3,
    bits,
    dry_cost,
    opened,
    plain_boxes,
    rep3_boxes,
    run,
    run_rep3,
    share,
    u64,
)
from reference import kernels as ref
from tacit.engine.drive import Traffic, dry_run, lockstep
from tacit.errors import RunError, SecretError
from tacit.protocols.blackbox import MATMUL, MUL, BlackBox, Cost
from tacit.protocols.dry import Dry
from tacit.protocols.exchange import Exchange, Schedule, dataflow, gather, pipelined
from tacit.protocols.plain import Plain
from tacit.protocols.rep3 import Rep3
from tacit.protocols.shares import Bits, Column, Differences

EXTREMES = [0, 1, -1, 2, 2**62 - 1, -(2**62), 2**63 - 1, -(2**63), 2**32, -(2**32) + 1]
RING = 2**64
SHAPES = [(), (0,), (1,), (7,), (64,), (65,), (2, 0, 3), (3, 5), (1, 1, 1), (2, 3, 40), (200,)]

PROTOCOLS: dict[str, tuple[type[BlackBox], Callable[[], list[Any]]]] = {
    "rep3": (Rep3, rep3_boxes),
    "rep3-far": (FarRep3, lambda: rep3_boxes(0, FarRep3)),
    "plain": (Plain, lambda: plain_boxes(1)),
    "plain-of-three": (Plain, lambda: plain_boxes(3)),
}


# --- cases ------------------------------------------------------------------------------------------------------


Draw = Callable[..., Any]  # draw(shape, low, high) -> int64 array that has the extremes of [low, high]


@dataclass(frozen=True)
class Case:
    """One way to call a primitive. `expected` gives the clear result as Python integers mod 2^64."""

    primitive: str
    inputs: Callable[[Draw, tuple[int, ...]], list[Any]]
    program: Callable[..., Any]
    expected: Callable[..., Any]
    label: str = ""
    within: int = 0
    """How far above `expected` a result may be, in units of the last place."""
    permuted: bool = False
    owned: bool = False
    """The primitive is an input, or an opening to one party: `program` opens nothing more."""

    @property
    def name(self) -> str:
        return self.primitive + (f"-{self.label}" if self.label else "")


def signed(values: np.ndarray) -> np.ndarray:
    """u64 as Python integers in two's complement, so that the oracle never wraps by accident."""
    return np.asarray(values).astype(np.uint64).view(np.int64).astype(object)


def any_values(draw: Draw, shape: tuple[int, ...], count: int) -> list[Any]:
    return [draw(shape, -(2**63), 2**63 - 1) for _ in range(count)]


def words(draw: Draw, shape: tuple[int, ...], width: int) -> Any:
    return bits(u64(draw(shape, 0, 2**width - 1) if width < 64 else draw(shape, -(2**63), 2**63 - 1)), width)


def halves_up(x: Any, f: int) -> Any:
    return (x + (1 << (f - 1))) >> f


def table_of(width: int, out_bits: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 2**out_bits, 2**width, dtype=np.uint64)


def byte_product(x: np.ndarray, y: np.ndarray, squarings: tuple[int, int]) -> np.ndarray:
    """Products in GF(2^8) of the bytes along the last axis."""
    a, b = (np.packbits(v.astype(np.uint8), axis=-1, bitorder="little") for v in (x, y))
    for _ in range(squarings[0]):
        a = ref.gf256_product(a, a)
    for _ in range(squarings[1]):
        b = ref.gf256_product(b, b)
    return np.unpackbits(ref.gf256_product(a, b), axis=-1, bitorder="little").astype(np.uint64)


def truncate_case(f: int, exact: bool) -> Case:
    return Case(
        "truncate",
        lambda draw, s: [draw(s, -(2**62) + 1, 2**62 - 1)],
        lambda box, x: box.truncate(x, f, exact),
        lambda x: halves_up(signed(x), f) if exact else signed(x) >> f,
        f"{'exact-' if exact else ''}{f}",
        within=0 if exact else 1,
    )


def fused_case(f: int, exact: bool) -> Case:
    return Case(
        "bilinear_truncate",
        lambda draw, s: [draw(s, -(2**30), 2**30), draw(s, -(2**31), 2**31 - 1)],
        lambda box, x, y: box.bilinear_truncate(MUL, x, y, f, exact),
        lambda x, y: halves_up(signed(x) * signed(y), f) if exact else signed(x) * signed(y) >> f,
        f"{'exact-' if exact else ''}{f}",
        within=0 if exact else 1,
    )


def lut_case(width: int, out_bits: int) -> Case:
    table = table_of(width, out_bits)
    return Case(
        "lut",
        lambda draw, s: [words(draw, s, width)],
        lambda box, i: box.lut(i, table, out_bits),
        lambda i: table[i.astype(np.int64)],
        f"{width}-{out_bits}",
    )


def fields_of(entries: Any, widths: tuple[int, ...]) -> Any:
    """Words taken apart into numbers, the lowest bits first, on a new first axis."""
    entries, fields = np.asarray(entries, dtype=np.uint64), []
    for width in widths:
        fields.append(entries & np.uint64(2**width - 1))
        entries = entries >> np.uint64(width)
    return np.stack(fields)


def lut_numbers_case(width: int, widths: tuple[int, ...]) -> Case:
    table = table_of(width, sum(widths))
    return Case(
        "lut_numbers",
        lambda draw, s: [words(draw, s, width)],
        lambda box, i: box.lut_numbers(i, table, widths),
        lambda i: fields_of(table[i.astype(np.int64)], widths),
        f"{width}-{len(widths)}",
    )


def lut_near_case(drop: int, bits: int, widths: tuple[int, ...], table: np.ndarray | None = None) -> Case:
    """Any table where no bits are left out; else one in which the entry before is one less but at 0."""
    entries = table_of(bits, sum(widths)) if table is None else table
    least = 1 if drop else -(2 ** (bits - 1))
    return Case(
        "lut_near",
        lambda draw, s: [draw(s, least << drop, (least + 2**bits - 1 - bool(drop)) << drop)],
        lambda box, x: box.lut_near(x, drop, entries, widths),
        lambda x: fields_of(entries[np.asarray(signed(x) >> drop, np.int64) - bool(drop)], widths),
        f"{bits}-of-{drop}",
        within=int(drop > 0),
    )


async def _input(box: BlackBox, owner: int, x: np.ndarray) -> Any:
    return await box.input(owner, x if box.me == owner else None, x.shape)


async def _rows_of(shuffled: Any) -> Any:
    rows, _ = await shuffled
    return rows


async def _input_bits(box: BlackBox, owner: int, x: np.ndarray, width: int) -> Any:
    return await box.input_bits(owner, x if box.me == owner else None, x.shape, width)


CASES = [
    Case("mul", lambda d, s: any_values(d, s, 2), lambda b, x, y: b.mul(x, y), lambda x, y: signed(x) * signed(y)),
    Case(
        "mul",
        lambda d, s: [d((3, *s), -(2**63), 2**63 - 1), d((3, *(1 for _ in s)), -(2**63), 2**63 - 1)],
        lambda b, x, y: b.mul(x, y),
        lambda x, y: signed(x) * signed(y),
        "broadcast",
    ),
    Case(
        "bilinear",
        lambda d, s: any_values(d, s, 2),
        lambda b, x, y: b.bilinear(MUL, x, y),
        lambda x, y: signed(x) * signed(y),
    ),
    *(fused_case(f, exact) for f in (1, 18) for exact in (False, True)),
    *(truncate_case(f, exact) for f in (1, 18, 40, 61) for exact in (False, True)),
    *(
        Case(
            "and_",
            lambda d, s, w=w: [words(d, s, w), words(d, s, w)],
            lambda b, x, y: b.and_(x, y),
            lambda x, y: x & y,
            str(w),
        )
        for w in (1, 9, 64)
    ),
    *(
        Case(
            "a2b",
            lambda d, s: any_values(d, s, 1),
            lambda b, x, w=w: b.a2b(x, w),
            lambda x, w=w: signed(x) % 2**w,
            str(w),
        )
        for w in (1, 2, 7, 64)
    ),
    *(
        Case("b2a", lambda d, s, w=w: [words(d, s, w)], lambda b, x: b.b2a(x), lambda x: x, str(w))
        for w in (1, 5, 63, 64)
    ),
    Case("msb", lambda d, s: any_values(d, s, 1), lambda b, x: b.msb(x), lambda x: x >> np.uint64(63)),
    Case("is_zero", lambda d, s: [d(s, -2, 2)], lambda b, x: b.is_zero(x), lambda x: x == 0),
    Case("is_zero", lambda d, s: any_values(d, s, 1), lambda b, x: b.is_zero(x), lambda x: x == 0, "extremes"),
    *(
        Case(
            "all_bits",
            lambda d, s, w=w: [words(d, s, w)],
            lambda b, x: b.all_bits(x),
            lambda x, w=w: x == 2**w - 1,
            str(w),
        )
        for w in (1, 2, 3, 64)
    ),
    Case(
        "inject",
        lambda d, s: [words(d, s, 1), *any_values(d, s, 1)],
        lambda b, c, x: b.inject(c, x),
        lambda c, x: signed(c) * signed(x),
    ),
    *(
        Case(
            "precedes",
            lambda d, s, w=w: [
                np.where(d(s, 0, 1) == 1, d(s, -1, 1), d(s, -(2**63) + 1, 2**63 - 1)),
                d(s, -(2**w) + 1, 2**w - 1),
            ],
            lambda b, x, y, w=w: b.precedes(x, y, w),
            lambda x, y: (signed(x) < 0) | ((signed(x) == 0) & (signed(y) < 0)),
            str(w),
        )
        for w in (1, 7, 20, 32, 62)
    ),
    *(lut_case(width, out_bits) for width, out_bits in ((1, 1), (3, 5), (5, 17), (8, 64), (9, 7))),
    *(lut_numbers_case(width, widths) for width, widths in ((1, (1,)), (5, (7, 1, 9)), (9, (25, 19, 15)))),
    *(lut_near_case(0, bits, widths) for bits, widths in ((6, (13,)), (9, (30, 3, 31)))),
    *(lut_near_case(drop, bits, (bits,), np.arange(2**bits, dtype=np.uint64)) for drop, bits in ((13, 7), (40, 8))),
    Case(
        "shuffle", lambda d, s: any_values(d, (*s, 2), 1), lambda b, x: b.shuffle(x), lambda x: signed(x), permuted=True
    ),
    Case(
        "shuffle_places",
        lambda d, s: any_values(d, (*s, 2), 1),
        lambda b, x: _rows_of(b.shuffle_places(x)),
        lambda x: signed(x),
        permuted=True,
    ),
    *(
        Case(
            "input",
            lambda d, s: any_values(d, s, 1),
            lambda b, x, p=p: _input(b, p % b.parties, x),
            lambda x: x,
            f"of-{p}",
            owned=True,
        )
        for p in range(3)
    ),
    *(
        Case(
            "input_bits",
            lambda d, s: [words(d, s, 13).values],
            lambda b, x, p=p: _input_bits(b, p % b.parties, x, 13),
            lambda x: x,
            f"of-{p}",
            owned=True,
        )
        for p in range(3)
    ),
]

for squarings in ((0, 0), (0, 1), (2, 1), (4, 0), (7, 7)):
    CASES.append(
        Case(
            "gf256_mul",
            lambda d, s: [words(d, (*s, 8), 1), words(d, (*s, 8), 1)],
            lambda b, x, y, q=squarings: b.gf256_mul(x, y, q),
            lambda x, y, q=squarings: byte_product(x, y, q),
            "-".join(map(str, squarings)),
        )
    )

REVEALS = [(width, to) for width in (None, 1, 64) for to in (None, 0, 1, 2)]


def drawer(seed: int) -> Draw:
    """Values of a range, half of them from its extremes."""
    rng = np.random.default_rng(seed)

    def draw(shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
        values = rng.integers(low, high, shape, dtype=np.int64, endpoint=True)
        edges = np.array([v for v in (*EXTREMES, low, high, low + 1, high - 1) if low <= v <= high], dtype=np.int64)
        return np.where(rng.integers(0, 2, shape) == 1, edges[rng.integers(0, len(edges), shape)], values)

    return draw


def clear(item: Any) -> np.ndarray:
    return item.values if hasattr(item, "values") else u64(item)


def shape_for(case: Case, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape if shape or not case.permuted else (1,)


def check_case(boxes: list[Any], protocol: type[BlackBox], case: Case, shape: tuple[int, ...], seed: int) -> None:
    """The one test of a primitive: result against Python integers, and three costs against each other."""
    inputs = case.inputs(drawer(seed), shape_for(case, shape))
    if case.owned:
        values = clear(inputs[0])

        async def program(box: BlackBox) -> Any:
            return await case.program(box, values)

        result, traffic = run(boxes, program)
        declared = dry_cost(program, protocol=protocol, parties=len(boxes))
    else:
        result, traffic = run(boxes, case.program, *inputs)
        declared = dry_cost(case.program, *inputs, protocol=protocol, parties=len(boxes))

    want = np.asarray(case.expected(*(clear(i) for i in inputs)))
    assert result.dtype == np.uint64
    assert result.shape == want.shape
    got = np.sort(signed(result), axis=0) if case.permuted else signed(result)
    want = np.sort(want, axis=0) if case.permuted else want
    off = np.array([(int(g) - int(w)) % RING for g, w in zip(got.reshape(-1), want.reshape(-1), strict=True)])
    assert all(0 <= o <= case.within for o in off), f"wrong at {np.flatnonzero(off > case.within)[:5]}"
    assert traffic.cost == declared, f"measured {traffic.cost}, declared {declared}"


# --- results and costs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("n", [1, 64, 1000])
def test_primitive_gives_the_plain_result_at_the_declared_cost(protocol: str, case: Case, n: int) -> None:
    kind, make = PROTOCOLS[protocol]
    check_case(make(), kind, case, (n,), seed=n)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@settings(max_examples=6, deadline=None)
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**32))
def test_primitive_is_right_for_any_shape_and_extreme(case: Case, shape: tuple[int, ...], seed: int) -> None:
    check_case(rep3_boxes(seed), Rep3, case, shape, seed)
    check_case(rep3_boxes(seed, FarRep3), FarRep3, case, shape, seed)
    check_case(plain_boxes(), Plain, case, shape, seed)


@pytest.mark.parametrize("shapes", [
    ((1, 1), (1, 1)), ((8, 8), (8, 8)), ((20, 50), (50, 7)), ((3, 0), (0, 4)), ((0, 3), (3, 2)), ((5,), (5,)),
    ((3, 4), (4,)), ((4,), (4, 3)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("fused", [False, True])
def test_matrix_product_gives_the_plain_result_at_the_declared_cost(protocol: str, shapes: Any, fused: bool) -> None:
    kind, make = PROTOCOLS[protocol]
    low, high = (-(2**27), 2**27) if fused else (-(2**63), 2**63 - 1)
    x, y = (drawer(i)(shape, low, high) for i, shape in enumerate(shapes))

    async def program(box: BlackBox, a: Any, b: Any) -> Any:
        return await (box.bilinear_truncate(MATMUL, a, b, 18) if fused else box.bilinear(MATMUL, a, b))

    result, traffic = run(make(), program, x, y)

    exact = np.asarray(np.matmul(x.astype(object), y.astype(object)) if 0 not in (*x.shape, *y.shape) else x @ y)
    off = np.asarray((signed(result) - (exact.astype(object) >> (18 if fused else 0))) % RING)
    assert result.shape == exact.shape
    assert (off <= fused).all()
    assert traffic.cost == dry_cost(program, x, y, protocol=kind, parties=len(make()))


@pytest.mark.parametrize(
    ("protocol", "width", "to"),
    [(p, width, to) for p in PROTOCOLS for width, to in REVEALS if to is None or to < len(PROTOCOLS[p][1]())],
)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (64,), (1000,), (3, 5)], ids=str)
def test_reveal_gives_the_value_to_its_receivers_alone(protocol: str, width: Any, to: Any, shape: Any) -> None:
    kind, make = PROTOCOLS[protocol]
    boxes = make()
    item = drawer(1)(shape, -(2**63), 2**63 - 1) if width is None else words(drawer(1), shape, width)
    shares = share(boxes, item)
    traffic = Traffic()

    results = lockstep([box.reveal(shares[box.me], to) for box in boxes], traffic)

    for box, result in zip(boxes, results, strict=True):
        if to in (None, box.me):
            np.testing.assert_array_equal(result, clear(item))
        elif prod(shape):
            assert result is None
    assert traffic.cost == dry_cost(lambda box, x: box.reveal(x, to), item, protocol=kind, parties=len(boxes))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_sort_opens_is_open_to_everyone_at_the_cost_of_a_reveal(protocol: str) -> None:
    kind, make = PROTOCOLS[protocol]
    for item, method, want in (
        (bits([1, 0, 0, 1, 1], 1), "open_outcomes", [True, False, False, True, True]),
        (u64([2, 0, 1]), "open_positions", [2, 0, 1]),
    ):
        boxes, traffic = make(), Traffic()
        shares = share(boxes, item)
        for seen in lockstep([getattr(b, method)(x) for b, x in zip(boxes, shares, strict=True)], traffic):
            assert seen.tolist() == want
        for paid in (method, "reveal"):
            cost = dry_cost(lambda b, x, m=paid: getattr(b, m)(x), item, protocol=kind, parties=len(boxes))
            assert cost == traffic.cost


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("to", [0, 2])
def test_tags_open_to_one_party_which_tells_all_what_it_finds(protocol: str, to: int) -> None:
    kind, make = PROTOCOLS[protocol]
    tags = np.random.default_rng(to).integers(0, 2**63, (70, 2)).astype(np.uint64)

    async def program(box: BlackBox, *x: Any) -> Any:
        words = Bits.concat_bits(x[1:])
        return [await box.open_tags(x[0], to), await box.open_tags(words, to)]

    async def told(box: BlackBox) -> Any:
        return await box.announce(to, tags if box.me == to else None, tags.shape)

    boxes, traffic = make(), Traffic()
    if to >= len(boxes):
        return
    items = [u64(tags), *(bits(tags[:, k], 64) for k in (0, 1))]
    shares = [share(boxes, item) for item in items]
    results = lockstep([program(b, *(s[b.me] for s in shares)) for b in boxes], traffic)
    for box, found in zip(boxes, results, strict=True):
        for seen in found:
            if box.me == to:
                np.testing.assert_array_equal(seen, tags)
            elif issubclass(kind, Rep3):
                assert seen is None
    assert traffic.cost == dry_cost(program, *items, protocol=kind, parties=len(boxes))
    traffic = Traffic()
    for seen in lockstep([told(b) for b in boxes], traffic):
        np.testing.assert_array_equal(seen, tags)
    assert traffic.cost == dry_cost(told, protocol=kind, parties=len(boxes))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("party", [0, 1, 2])
def test_bits_that_all_but_one_party_know(protocol: str, party: int) -> None:
    kind, make = PROTOCOLS[protocol]
    boxes = make()
    made = [b.bits_without(party, 128) for b in boxes]
    known = [k for _, k in made]
    if issubclass(kind, Rep3):
        assert known[party] is None
        # Its shares tell it nothing: they are all zeros.
        assert not any(part.any() for part in made[party][0].parts)
    others = [k & np.uint64(1) for k in known if k is not None]
    assert len(others) == len(boxes) - issubclass(kind, Rep3)
    planes = [opened(boxes, [bits[64 * h : 64 * h + 64] for bits, _ in made]) for h in (0, 1)]
    values = [int(w[0]) >> j & 1 for w in planes for j in range(64)]
    for k in others:
        assert k[:, 0].tolist() == values
    assert 30 < sum(values) < 98
    again = [b.bits_without(party, 128)[1] for b in boxes]
    assert not any(np.array_equal(a, b) for a, b in zip(again, known, strict=True) if a is not None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("n", [1, 3, 64, 200, 700])
@pytest.mark.parametrize("width", [1, 4, 5, 17, 63, 80, 143])
def test_rows_compare_by_their_digits_as_numbers_do(protocol: str, width: int, n: int) -> None:
    kind, make = PROTOCOLS[protocol]
    rng = np.random.default_rng(n + width)
    # Words of 63 bits, the lowest first, that often are equal.
    widths = [min(63, width - at) for at in range(0, width, 63)]
    columns = [np.minimum(rng.integers(0, 2**w, n), rng.integers(0, 2**w, n) % 3) for w in widths]
    columns[-1][::2] = rng.integers(0, 2 ** widths[-1], columns[-1][::2].size)
    numbers = [sum(int(v) << 63 * k for k, v in enumerate(row)) for row in zip(*columns, strict=True)]
    left, right = rng.integers(0, n, (2, 2 * n + 1))
    items = [bits(u64(column), w) for column, w in zip(columns, widths, strict=True)]

    async def program(box: BlackBox, *words: Any) -> Any:
        rows = await box.digits(Bits.concat_bits(words))
        empty = await box.open_less(rows, left[:0], right[:0])
        assert empty is None or empty.shape == (0,)
        return await box.open_less(rows, left, right)

    boxes, traffic = make(), Traffic()
    shares = [share(boxes, item) for item in items]
    for found in lockstep([program(b, *(s[b.me] for s in shares)) for b in boxes], traffic):
        assert found.dtype == np.bool_
        assert found.tolist() == [numbers[i] < numbers[j] for i, j in zip(left, right, strict=True)]
    assert traffic.cost == dry_cost(program, *items, protocol=kind, parties=len(boxes))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_check_of_a_semi_honest_protocol_costs_nothing(protocol: str) -> None:
    traffic = Traffic()
    lockstep([box.check() for box in PROTOCOLS[protocol][1]()], traffic)
    assert traffic.cost == Cost()


COROUTINES = [name for name, method in vars(BlackBox).items() if inspect.iscoroutinefunction(method)]


def test_every_primitive_of_the_black_box_has_a_case() -> None:
    apart = {"reveal", "check", "open_outcomes", "open_positions", "digits", "open_less", "open_tags", "announce"}
    # `line` is made of others, and tests/test_line.py compares it with them.
    tested = {case.primitive for case in CASES} | apart | {"line"}
    # `mul` hands out the coroutine of `bilinear`.
    assert {*COROUTINES, "mul"} == tested


@pytest.mark.parametrize("protocol", [Rep3, Plain])
@pytest.mark.parametrize("name", COROUTINES)
def test_every_primitive_declares_its_cost_or_inherits_a_composition(protocol: type[BlackBox], name: str) -> None:
    inherited = getattr(protocol, name) is getattr(BlackBox, name)
    assert inherited != hasattr(getattr(protocol, name), "cost")


def test_what_dry_pays_is_the_declaration_of_the_primitive_called() -> None:
    box = Dry(Rep3, 3)
    x = box.constant(np.zeros(1000, np.uint64))

    paid = dry_run(box.msb(x))

    assert box.calls == [("msb", paid)]
    assert paid == Cost(6, 8 * 16 * 373)


@pytest.mark.parametrize(
    ("protocol", "n", "bits"),
    [
        (Rep3, 64, 373), (FarRep3, 64, 1976), (Rep3, 6400, 373), (FarRep3, 6400, 373), (Rep3, 10**6, 335),
        (FarRep3, 10**6, 335),
    ],
)  # fmt: skip
def test_digits_are_wider_the_shorter_the_vector_and_the_dearer_a_round(protocol: Any, n: int, bits: int) -> None:
    box = Dry(protocol, 3)

    assert dry_run(box.msb(box.constant(np.zeros(n, np.uint64)))) == Cost(
        {335: 7, 373: 6, 1976: 5}[bits], n // 8 * bits
    )


@pytest.mark.parametrize("protocol", [Rep3, FarRep3])
def test_the_carry_of_a_short_vector_takes_two_levels(protocol: Any) -> None:
    box = Dry(protocol, 3)

    assert dry_run(box.truncate(box.constant(np.zeros(128, np.uint64)), 28, True)).rounds == 6


# --- local operations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (65,), (3, 5)], ids=str)
def test_linear_operations_act_on_the_values(protocol: str, shape: Any) -> None:
    x, y = (drawer(i)(shape, -(2**63), 2**63 - 1) for i in range(2))

    async def program(b: BlackBox, x_: Any, y_: Any) -> Any:
        plus = b.add_public(x_, u64(y))
        return [x_ + y_, x_ - y_, -x_, x_ * u64(y), x_ * -3, x_ << 5, plus, b.add_public(x_, -7), b.constant(u64(y))]

    results, traffic = run(PROTOCOLS[protocol][1](), program, x, y)

    a, b = signed(u64(x)), signed(u64(y))
    for result, want in zip(results, [a + b, a - b, -a, a * b, a * -3, a * 32, a + b, a - 7, b], strict=True):
        np.testing.assert_array_equal(result, u64(np.asarray(want, dtype=object)))
    assert traffic.cost == Cost()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("width", [1, 9, 64])
@pytest.mark.parametrize("shape", [(), (1,), (65,), (3, 5)], ids=str)
def test_xor_invert_and_constants_act_on_the_bits(protocol: str, width: int, shape: Any) -> None:
    x, y = (words(drawer(i), shape, width) for i in range(2))

    async def program(b: BlackBox, x_: Any, y_: Any) -> Any:
        return [x_ ^ y_, b.invert(x_), b.constant_bits(y.values, width) ^ x_, x_[0], x_[-1]]

    results, traffic = run(PROTOCOLS[protocol][1](), program, x, y)

    a, b, ones = x.values, y.values, np.uint64(2**width - 1)
    for result, want in zip(
        results, [a ^ b, a ^ ones, a ^ b, a & np.uint64(1), a >> np.uint64(width - 1)], strict=True
    ):
        np.testing.assert_array_equal(result, want)
    assert traffic.cost == Cost()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_random_bits_are_new_at_each_call_and_cost_nothing(protocol: str) -> None:
    async def program(b: BlackBox) -> Any:
        return [b.random_bits((4096,), 3), b.random_bits((4096,), 3)]

    (first, second), traffic = run(PROTOCOLS[protocol][1](), program)

    assert traffic.cost == Cost()
    assert (first < 8).all()
    assert not (first == second).all()
    counts = np.bincount(first.astype(int), minlength=8)
    assert abs(counts - 512).max() < 6 * np.sqrt(512)


def test_shares_refuse_every_way_to_look_at_them() -> None:
    (x, *_), (b, *_) = share(rep3_boxes(), np.arange(3)), share(rep3_boxes(), bits([1], 1))
    for value in (x, b):
        for look in (bool, int, float, list, hash, np.asarray):
            with pytest.raises(SecretError, match="SECRET-001"):
                look(value)
        assert "[" not in repr(value)


# --- clients ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (65,), (3, 5)], ids=str)
def test_a_client_deals_and_combines_what_it_dealt(protocol: str, shape: Any) -> None:
    boxes = PROTOCOLS[protocol][1]()
    values = u64(drawer(3)(shape, -(2**63), 2**63 - 1))
    seeds = [bytes([i + 1]) * 16 for i in range(len(boxes))]

    messages = type(boxes[0]).deal(values, seeds)
    shares = [box.receive(messages[box.me], shape) for box in boxes]
    back = type(boxes[0]).combine([box.for_client(x) for box, x in zip(boxes, shares, strict=True)])
    low = lockstep([box.a2b(x, 1) for box, x in zip(boxes, shares, strict=True)])
    bits_back = type(boxes[0]).combine([box.for_client(b) for box, b in zip(boxes, low, strict=True)], boolean=True)

    np.testing.assert_array_equal(bits_back, values & np.uint64(1))
    np.testing.assert_array_equal(opened(boxes, lockstep([_same(x) for x in shares])), values)
    np.testing.assert_array_equal(back, values)


async def _same(x: Any) -> Any:
    return x


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "change", [lambda m: m[:-1], lambda m: m + b"\0", lambda m: b""], ids=["short", "long", "none"]
)
def test_a_clients_message_of_a_wrong_length_is_refused(protocol: str, change: Any) -> None:
    boxes = PROTOCOLS[protocol][1]()
    messages = type(boxes[0]).deal(u64(np.arange(5)), [bytes(16)] * len(boxes))
    for box in boxes:
        with pytest.raises(ValueError, match="length"):
            box.receive(change(messages[box.me]), (5,))


def test_what_a_client_gets_tells_it_only_the_sum() -> None:
    """Each party's message is masked anew: the same sharing sent twice gives different messages of one sum."""
    boxes = rep3_boxes()
    shares = share(boxes, np.arange(1000))

    first, second = ([box.for_client(shares[box.me]) for box in boxes] for _ in range(2))

    for a, b, x in zip(first, second, shares, strict=True):
        assert (a != b).all()
        assert (a != x.parts[0]).all()
    np.testing.assert_array_equal(Rep3.combine(first), Rep3.combine(second))


# --- determinism and freshness ----------------------------------------------------------------------------------


def transcript(case: Case, keys: int, n: int = 100) -> tuple[list[Any], list[Any]]:
    """(messages, output shares) of one run on fixed input shares."""
    boxes = rep3_boxes(keys)
    dealers = rep3_boxes(99)
    inputs = case.inputs(drawer(5), (n,))
    traffic = Traffic()
    if case.owned:
        outputs = lockstep([case.program(b, clear(inputs[0])) for b in boxes], traffic, record=True)
    else:
        shares = [share(dealers, item) for item in inputs]
        outputs = lockstep([case.program(b, *(s[b.me] for s in shares)) for b in boxes], traffic, record=True)
    return traffic.messages, outputs


# all_bits of one bit hands its argument back.
COMMUNICATING = [case for case in CASES if case.name != "all_bits-1"]


@pytest.mark.parametrize("case", COMMUNICATING, ids=lambda case: case.name)
def test_the_same_keys_give_the_same_transcript_and_other_keys_another(case: Case) -> None:
    first, again, other = (transcript(case, keys)[0] for keys in (1, 1, 2))

    assert first == again
    assert [(r, s, t, len(m)) for r, s, t, m in first] == [(r, s, t, len(m)) for r, s, t, m in other]
    for (*_, a), (*_, b) in zip(first, other, strict=True):
        assert a != b


@pytest.mark.parametrize("case", COMMUNICATING, ids=lambda case: case.name)
def test_output_shares_are_fresh_and_replicated(case: Case) -> None:
    first, second = (transcript(case, keys)[1] for keys in (1, 2))

    for outputs in (first, second):
        for me in range(3):
            np.testing.assert_array_equal(outputs[me].parts[1], outputs[(me + 1) % 3].parts[0])
    if case.owned:
        return  # One of the three components of an input is zero by design.
    for me in range(3):
        for a, b in zip(first[me].parts, second[me].parts, strict=True):
            # Truncation and decomposition keep bits of r = x2, which its two holders know anyhow, in component 2.
            keeps_r = case.primitive in ("truncate", "a2b")
            assert (a != b).any() if keeps_r else (a != b).mean() > 0.99


# --- gather and dataflow ----------------------------------------------------------------------------------------


def test_gather_costs_the_rounds_of_the_longest_and_the_bytes_of_all() -> None:
    x = drawer(1)((100,), -(2**61), 2**61)
    parts = [lambda b, v: b.mul(v, v), lambda b, v: b.msb(v), lambda b, v: b.truncate(v, 18)]
    costs = [dry_cost(part, x) for part in parts]

    async def together(b: BlackBox, v: Any) -> Any:
        return await gather(*(part(b, v) for part in parts))

    (product, sign, _), traffic = run_rep3(together, x)

    assert traffic.cost == Cost(max(c.rounds for c in costs), sum(c.bytes_total for c in costs))
    assert traffic.cost == dry_cost(together, x)
    np.testing.assert_array_equal(product, u64(x) * u64(x))
    np.testing.assert_array_equal(sign, u64(x) >> np.uint64(63))


def test_nested_gathers_share_rounds() -> None:
    x = drawer(2)((70,), -(2**61), 2**61)

    async def twice(b: BlackBox, v: Any) -> Any:
        return await b.mul(await b.mul(v, v), v)

    async def nested(b: BlackBox, v: Any) -> Any:
        (low, (high, bit)), cube = await gather(gather(b.mul(v, v), gather(twice(b, v), b.msb(v))), twice(b, v))
        return [low, high, bit, cube]

    (low, high, bit, cube), traffic = run_rep3(nested, x)

    v = u64(x)
    for got, want in ((low, v * v), (high, v * v * v), (bit, v >> np.uint64(63)), (cube, v * v * v)):
        np.testing.assert_array_equal(got, want)
    single = {name: dry_cost(p, x) for name, p in (("twice", twice), ("msb", lambda b, w: b.msb(w)))}
    assert traffic.rounds == single["msb"].rounds
    assert traffic.bytes_total == 24 * 70 + 2 * single["twice"].bytes_total + single["msb"].bytes_total
    assert traffic.cost == dry_cost(nested, x)


def test_gather_of_nothing_and_of_local_work_takes_no_round() -> None:
    async def local(b: BlackBox, v: Any) -> Any:
        assert await gather() == []
        return (await gather(_same(v), _same(v + v)))[1]

    result, traffic = run_rep3(local, [1, 2])

    assert traffic.cost == Cost()
    np.testing.assert_array_equal(result, [2, 4])


@pytest.mark.parametrize("fails_in", [0, 1])
def test_a_coroutine_that_raises_in_gather_closes_its_siblings(fails_in: int) -> None:
    closed = []

    async def sibling(name: str) -> None:
        try:
            while True:
                await Exchange({}, {})
        finally:
            closed.append(name)

    async def fails() -> None:
        for _ in range(fails_in):
            await Exchange({}, {})
        raise ZeroDivisionError

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # An un-awaited coroutine would warn.
        with pytest.raises(ZeroDivisionError):
            lockstep([gather(sibling("started"), fails(), sibling("later"))])

    assert closed == (["started", "later"] if fails_in else ["started"])


def test_dataflow_takes_the_rounds_of_the_longest_path() -> None:
    x = drawer(4)((10,), -(2**61), 2**61)

    async def graph(b: BlackBox, v: Any) -> Any:
        done: dict[str, Any] = {"x": v}

        async def task(key: str) -> None:
            left, right = {"a": "xx", "b": "ax", "c": "xx", "d": "bc"}[key]
            done[key] = await b.mul(done[left], done[right])

        await dataflow(Schedule({"a": [], "b": ["a"], "c": [], "d": ["b", "c"]}), task)
        return done["d"]

    result, traffic = run_rep3(graph, x)

    v = u64(x)
    np.testing.assert_array_equal(result, v * v * v * (v * v))
    assert traffic.cost == Cost(3, 4 * 24 * 10)


def test_a_schedule_is_a_line_if_nothing_can_share_a_round() -> None:
    tasks = {"a": [], "sum": ["a"], "b": ["sum"], "c": ["a"], "d": ["b", "c"]}

    assert Schedule({key: tasks[key] for key in ("a", "sum", "b")}, {"sum"}).is_line
    assert Schedule({"one": [], "another": []}, {"one"}).is_line
    assert not Schedule({"one": [], "another": []}).is_line
    assert not Schedule(tasks, {"sum"}).is_line
    assert Schedule(tasks, {"sum", "c"}).is_line
    assert Schedule({}).is_line


def test_dataflow_releases_what_waits_for_tasks_that_await_nothing() -> None:
    order: list[str] = []

    def start(key: str) -> Any:
        async def task() -> None:
            await Exchange({}, {})
            order.append(key)

        if key != "sum":
            return task()
        order.append(key)
        return None

    traffic = Traffic()
    lockstep([dataflow(Schedule({"a": [], "b": [], "sum": ["a"], "c": ["sum"], "d": ["b"]}, {"sum"}), start)], traffic)

    assert order[:2] == ["a", "b"]
    assert sorted(order[2:]) == ["c", "d", "sum"]
    assert order.index("sum") < order.index("c")
    assert traffic.rounds == 2


def test_the_only_lane_may_take_its_exchanges_apart() -> None:
    async def lane() -> list[int]:
        sizes = []
        for k in range(3):
            sizes.append(len(await Exchange({}, {})) + k)
        return sizes + await pipelined([_sized(k) for k in range(2)], 2)

    traffic = Traffic()
    (result,) = lockstep([gather(lane())], traffic)

    assert result == [[0, 1, 2, 0, 1]]
    assert traffic.rounds == 4
    assert traffic.exchanges == 5


async def _sized(k: int) -> int:
    return len(await Exchange({}, {})) + k


# --- the lockstep driver refuses programs that disagree ---------------------------------------------------------


async def _talk(rounds: int, sends: dict[int, list[bytes]], expects: dict[int, int]) -> None:
    for _ in range(rounds):
        await Exchange(sends, expects)


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        ((1, {1: [b"abc"]}, {}), (1, {}, {0: 4}), "party 1 expects 4 bytes from 0, not 3"),
        ((1, {1: [b"abc"]}, {}), (1, {}, {}), "a message was sent that nobody expects"),
        ((2, {}, {}), (1, {}, {}), "some parties have finished"),
    ],
    ids=["length", "unexpected", "rounds"],
)
def test_lockstep_names_a_disagreement(first: Any, second: Any, cause: str) -> None:
    with pytest.raises(RunError, match=cause) as caught:
        lockstep([_talk(*first), _talk(*second)])
    assert caught.value.code == "RUN-901"


@pytest.mark.parametrize("n", [0, 1, 63, 64, 200, 1500])
def test_differences_compare_as_they_do_when_they_are_formed(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.integers(-3, 3, (2, 50))
    values[0, ::7] = 2**62
    left, right = rng.integers(0, 50, (2, n))

    async def program(box: BlackBox, high: Any, low: Any) -> Any:
        gaps = [Differences(Column(x), left, right) for x in (high, low)]
        assert [gap.shape for gap in gaps] == [(n,)] * 2
        return await gather(
            box.msb(gaps[0]), box.precedes(*gaps, 20), box.is_zero(gaps[0]), box.precedes(*(g[:] for g in gaps), 20)
        )

    high, low = values[:, left] - values[:, right]
    expected = [high < 0, np.where(high == 0, low < 0, high < 0), high == 0]
    for boxes in (rep3_boxes(), plain_boxes()):
        (sign, less, same, formed), _ = run(boxes, program, u64(values[0]), u64(values[1]))
        for found, wanted in zip((sign, less, same, formed), [*expected, expected[1]], strict=True):
            np.testing.assert_array_equal(found, wanted.astype(np.uint64))
