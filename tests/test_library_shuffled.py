"""Sorting by opened comparisons of shuffled rows: right, at the cost that dry says, and alike for all data."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import dry_cost, opened, rep3_boxes, run_plain, run_rep3, share, u64
from tacit.engine.drive import Traffic, lockstep
from tacit.errors import RunError, SecretError
from tacit.library import shuffled
from tacit.library.order import Key, joined, positions
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.network import NETWORKS
from tacit.protocols.rep3 import Rep3
from tacit.protocols.shares import Arith, Bits, Column, Differences, Digits

LO, HI = -(2**63), 2**63 - 1
EXTREMES = [LO, LO + 1, -(2**62), -1, 0, 1, 2**62, HI - 1, HI]
NARROW, MEDIUM, FULL = (-3, 3), (-(2**62), 2**62 - 1), (LO, HI)


def agrees(program: Any, expected: Any, *inputs: Any) -> None:
    """rep3 and plain give `expected`, and dry costs what rep3 sent."""
    result, traffic = run_rep3(program, *inputs)
    want = expected if isinstance(expected, list) else [expected]
    plain = run_plain(program, *inputs)
    for got in (result, plain):
        for a, b in zip(got if isinstance(got, list) else [got], want, strict=True):
            np.testing.assert_array_equal(a.view(np.int64), b)
    assert dry_cost(program, *inputs) == traffic.cost


def draw(n: int | tuple[int, ...], bounds: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.integers(*bounds, n, dtype=np.int64, endpoint=True)
    edges = np.array([v for v in (*bounds, bounds[0] + 1, 0) if bounds[0] <= v <= bounds[1]], dtype=np.int64)
    return np.where(rng.integers(0, 2, n) == 1, edges[rng.integers(0, edges.size, n)], values)


def order_of(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    # ~x reverses the order of all int64, the least one included.
    return np.argsort(~x if descending else x, axis=axis, kind="stable")


# --- sorting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [NARROW, MEDIUM, FULL], ids=["narrow", "medium", "full"])
@pytest.mark.parametrize("n", [0, 1, 2, 5, 128, 129, 700])
@pytest.mark.parametrize("descending", [False, True])
def test_sorting_agrees_with_numpy_and_keeps_the_order_of_equals(n: int, bounds: Any, descending: bool) -> None:
    x = draw(n, bounds, n)
    order = order_of(x, 0, descending)
    agrees(lambda b, u: shuffled.sort(b, u, axis=0, descending=descending, bounds=bounds), x[order], x)
    agrees(lambda b, u: shuffled.argsort(b, [Key(u, bounds, descending)]), order, x)


@pytest.mark.parametrize("n", [5000, 40_000])
def test_many_rows_are_sorted(n: int) -> None:
    x = draw(n, MEDIUM)
    agrees(lambda b, u: shuffled.argsort(b, [Key(u, MEDIUM)]), order_of(x, 0, False), x)


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 5), (0, 3), (3, 0)])
def test_every_line_along_an_axis_is_sorted_in_the_same_rounds(shape: tuple[int, ...]) -> None:
    x = draw(shape, NARROW)
    for axis in range(len(shape)):
        agrees(lambda b, u, a=axis: shuffled.sort(b, u, axis=a, bounds=NARROW), np.sort(x, axis=axis), x)
        agrees(
            lambda b, u, a=axis: shuffled.argsort(b, [Key(u, NARROW, True)], axis=a),
            order_of(x, axis, True),
            x,
        )
    if x.size:
        rounds = {
            dry_cost(lambda b, u: shuffled.sort(b, u, axis=0, bounds=NARROW), np.zeros(s, int)).rounds
            for s in (shape, shape[:1])
        }
        assert len(rounds) == 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from(EXTREMES), st.integers(LO, HI)), min_size=1, max_size=40),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_any_int64_are_sorted_whatever_the_order_that_chance_gives(
    values: list[int], descending: bool, seed: int
) -> None:
    x = np.array(values, dtype=np.int64)
    order, _ = run_rep3(lambda b, u: shuffled.argsort(b, [Key(u, FULL, descending)]), x, seed=seed)
    np.testing.assert_array_equal(order.view(np.int64), order_of(x, 0, descending))


@pytest.mark.parametrize("shape", [(200,), (200, 3), (200, 2, 2), (1, 2), (0, 2)])
def test_rows_move_with_their_keys(shape: tuple[int, ...]) -> None:
    keys, rows = draw(shape[0], NARROW), draw(shape, FULL, 1)
    order = order_of(keys, 0, False)
    agrees(lambda b, k, r: _list(shuffled.sort_by(b, k, r, bounds=NARROW)), [keys[order], rows[order]], keys, rows)


async def _list(pair: Any) -> list[Any]:
    return list(await pair)


def test_bounds_make_comparisons_cheaper() -> None:
    x = np.zeros(1000, np.int64)
    costs = [dry_cost(lambda b, u, k=k: shuffled.sort(b, u, bounds=k), x) for k in (NARROW, MEDIUM, FULL)]
    assert costs == sorted(costs, key=lambda c: (c.bytes_total, c.rounds))
    assert costs[0].rounds <= costs[1].rounds <= costs[2].rounds


def test_a_million_keys_take_under_400_rounds_and_1400_megabytes() -> None:
    x = np.broadcast_to(np.int64(0), (10**6,))
    for bounds, megabytes in (((0, 2**40), 1000), (MEDIUM, 1300), (FULL, 1350)):
        cost = dry_cost(lambda b, u, k=bounds: shuffled.sort(b, u, bounds=k), x)
        assert cost.rounds < 400 and cost.bytes_total < megabytes * 10**6


@pytest.mark.parametrize("n", [0, 1, 2, 65, 300])
def test_shuffled_rows_come_with_the_places_they_had(n: int) -> None:
    x = draw((n, 2), FULL)

    async def program(box: BlackBox, rows: Arith) -> Arith:
        rows, places = await box.shuffle_places(rows)
        assert places.shape == (n,) and places.width == max((n - 1).bit_length(), 1)
        return Arith.concat([rows, (await box.b2a(places)).reshape((n, 1))], axis=1)

    mixed, traffic = run_rep3(program, x)
    for rows in (mixed, run_plain(program, x)):
        places = rows[:, 2].astype(np.intp)
        np.testing.assert_array_equal(np.sort(places), np.arange(n))
        np.testing.assert_array_equal(rows[:, :2].view(np.int64), x[places])
    assert dry_cost(program, x) == traffic.cost


# --- what is opened and what is seen ---------------------------------------------------------------------------


class Witness(Rep3):
    """Remembers what was opened."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen: list[np.ndarray] = []

    async def open_outcomes(self, b: Bits) -> Any:
        self.seen.append(await super().open_outcomes(b))
        return self.seen[-1]

    async def open_less(self, *rows: Any) -> Any:
        self.seen.append(await super().open_less(*rows))
        return self.seen[-1]


def seen(x: np.ndarray, bounds: tuple[int, int], seed: int) -> tuple[bytes, list[Any]]:
    """What a sort opens, and the layout of its messages: round, sender, receiver, length."""
    boxes = rep3_boxes(seed, Witness)
    traffic = Traffic()
    shares = share(boxes, x)
    lockstep([shuffled.sort(b, s, bounds=bounds) for b, s in zip(boxes, shares, strict=True)], traffic, record=True)
    opened_to = {b"".join(o.tobytes() for o in box.seen) for box in boxes}
    assert len(opened_to) == 1
    return opened_to.pop(), [(r, p, q, len(payload)) for r, p, q, payload in traffic.messages]


DATA = {
    "equal": lambda n: np.zeros(n, np.int64),
    "sorted": lambda n: np.arange(n),
    "reversed": lambda n: np.arange(n)[::-1].copy(),
    "few values": lambda n: np.arange(n) % 3,
    "random": lambda n: np.random.default_rng(0).integers(0, n, n),
}


@pytest.mark.parametrize("n", [100, 900, 5000])
def test_the_traffic_is_laid_out_alike_whatever_the_data_and_the_keys_of_the_run(n: int) -> None:
    layouts = [seen(make(n), (0, n), seed)[1] for seed, make in enumerate(DATA.values())]
    assert all(layout == layouts[0] for layout in layouts)


@pytest.mark.parametrize("bounds", [(0, 400), MEDIUM, FULL], ids=["narrow", "medium", "full"])
def test_equal_keys_open_what_keys_in_order_open(bounds: tuple[int, int]) -> None:
    # With the same keys of the run, and so the same permutation: ties are broken by the original position.
    for n in (9, 400):
        equal, ordered = (seen(DATA[name](n), bounds, 5)[0] for name in ("equal", "sorted"))
        assert equal == ordered != seen(DATA["equal"](n), bounds, 6)[0]


@pytest.mark.parametrize("data", DATA)
def test_every_pattern_of_outcomes_is_as_likely_whatever_the_data(data: str) -> None:
    runs = 240
    patterns = Counter(seen(DATA[data](3), (0, 8), seed)[0] for seed in range(runs))
    assert len(patterns) == 6
    chi2 = sum((count - runs / 6) ** 2 / (runs / 6) for count in patterns.values())
    assert chi2 < 25.7  # one in 10,000 for 5 degrees of freedom


def test_ties_broken_by_the_shuffled_position_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def shuffled_position(box: BlackBox, keys: Any, index: Any) -> Any:
        return joined(box, keys, positions(box, index.shape))

    monkeypatch.setattr(shuffled, "joined", shuffled_position)
    patterns = {seen(DATA["equal"](3), (0, 8), seed)[0] for seed in range(30)}
    assert len(patterns) == 1


# --- the course ------------------------------------------------------------------------------------------------


def simulate(n: int, seed: int, network: str = "loopback", lanes: bool = False) -> list[int]:
    """Sort a random permutation in the clear; the numbers of comparisons by batch, of one lane after the other."""
    ranks = np.random.default_rng(seed).permutation(n)
    batches = []

    async def before(left: Any, right: Any) -> Any:
        batches.append(left.size)
        return ranks[left] < ranks[right]

    model = NETWORKS[network] if lanes else replace(NETWORKS[network], least=2**30, most=2**30)
    (order,) = lockstep([shuffled.order(before, np.arange(n), model)])
    np.testing.assert_array_equal(ranks[order], np.arange(n))
    return batches


@pytest.mark.parametrize("n", [*range(2, 20), 127, 128, 129, 130, 255, 1000, 4095, 4096, 32768, 131_072])
def test_batches_depend_on_the_length_alone(n: int) -> None:
    first, *others = [simulate(n, seed) for seed in range(max(2, min(100, 100_000 // n)))]
    assert all(batches == first for batches in others)


@pytest.mark.parametrize("n", [70_000, 100_000])
def test_batches_of_lanes_depend_on_the_length_alone(n: int) -> None:
    lanes = {m: shuffled.course(m, NETWORKS["lan"]).lanes for m in (20_000, 70_000, 100_000, 10**6)}
    assert list(lanes.values()) == [1, 4, 4, 8] and shuffled.course(10**6).lanes == 4
    first, *others = [simulate(n, seed, "lan", lanes=True) for seed in range(20)]
    assert all(batches == first for batches in others)


@pytest.mark.parametrize("network", ["lan", "wan"])
@pytest.mark.parametrize("n", [2, 128, 129, 200, 500, 1000, 1025, 3000, 10_000, 100_000])
def test_a_course_for_a_network_depends_on_the_length_alone_and_takes_less_time(n: int, network: str) -> None:
    def seconds(batches: list[int]) -> float:
        return sum(NETWORKS[network].seconds(6, 27 * batch, 3) for batch in batches)

    first, *others = [simulate(n, seed, network) for seed in range(max(2, min(50, 50_000 // n)))]
    assert all(batches == first for batches in others)
    assert seconds(first) <= seconds(simulate(n, 0))


def test_rows_that_chance_leaves_over_are_sorted_in_further_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = shuffled.course(1000)
    short = shuffled.Course(usual.sample, usual.steps, usual.leaf, (3, 100))
    monkeypatch.setattr(shuffled, "course", lambda n, network: short if n > shuffled.ALL_PAIRS else None)
    assert len(simulate(1000, 0)) > 4


# --- secret permutations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0,), (1, 2), (2,), (50,), (50, 3), (50, 2, 2)])
def test_secret_permutations_are_applied_and_inverted(shape: tuple[int, ...]) -> None:
    n = shape[0]
    rows, permutation = draw(shape, FULL), np.random.default_rng(n).permutation(n)
    moved = np.empty_like(rows)
    moved[permutation] = rows
    agrees(lambda b, p, r: shuffled.scatter(b, p, r), moved, permutation, rows)
    agrees(lambda b, p, r: shuffled.take(b, r, p), rows[permutation], permutation, rows)
    agrees(lambda b, p: shuffled.invert(b, p), np.argsort(permutation), permutation)


def test_applying_a_permutation_opens_a_random_one() -> None:
    class Watched(Rep3):
        seen: Any = None

        async def open_positions(self, x: Any) -> Any:
            self.seen = await super().open_positions(x)
            return self.seen

    patterns = Counter()
    for seed in range(300):
        boxes = rep3_boxes(seed, Watched)
        parts = share(boxes, np.arange(3))
        results = lockstep([shuffled.invert(b, s) for b, s in zip(boxes, parts, strict=True)])
        np.testing.assert_array_equal(opened(boxes, results), u64([0, 1, 2]))
        patterns[tuple(boxes[0].seen.tolist())] += 1
    assert len(patterns) == 6 and sum((c - 50) ** 2 / 50 for c in patterns.values()) < 25.7


@pytest.mark.parametrize("place", [0, 5, -1, LO])
def test_places_that_are_no_permutation_are_refused(place: int) -> None:
    class Wrong(Rep3):
        async def open_positions(self, x: Any) -> Any:
            opened = await super().open_positions(x)
            return np.where(opened == 3, place, opened)

    boxes = rep3_boxes(0, Wrong)
    parts, rows = share(boxes, np.arange(5)), share(boxes, np.arange(5))
    with pytest.raises(RunError, match="RUN-018"):
        lockstep([shuffled.scatter(b, p, r) for b, p, r in zip(boxes, parts, rows, strict=True)])


@pytest.mark.parametrize("look", [pickle.dumps, copy.copy, np.asarray, bool])
def test_rows_to_compare_show_nothing_of_their_shares(look: Any) -> None:
    column = Column(Arith(u64([7, 8]), u64([9, 10])))
    digits = Digits(1, u64([[7], [8]]), u64([[9], [10]]))
    for value in (column, Differences(column, np.array([0]), np.array([1])), digits):
        assert repr(value) in ("Column", "Arith(shape=(1,))", "Digits(rows=2, count=1)")
        with pytest.raises(SecretError, match="SECRET-001"):
            look(value)
