"""Sorting by several keys and order statistics: right, at the cost that dry says, and alike for all data."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import comb, inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import dry_cost, rep3_boxes, run_rep3, share
from tacit.engine.drive import Traffic, lockstep
from tacit.library import order, select, shuffled, sort
from tacit.library.order import Key
from tacit.protocols.plain import Plain
from test_library_shuffled import DATA, FULL, MEDIUM, NARROW, Witness, agrees, draw

LIBRARIES = [sort, shuffled]


async def as_list(results: Any) -> list[Any]:
    return list(await results)


def turned(column: np.ndarray, descending: bool) -> np.ndarray:
    # ~x reverses the order of all int64, the least one included.
    return ~column if descending else column


def keyed(columns: Any, bounds: Any, descending: Any) -> list[Key]:
    return [Key(*parts) for parts in zip(columns, bounds, descending, strict=True)]


# --- several keys ------------------------------------------------------------------------------------------------

MANY = [
    [NARROW, NARROW],
    [NARROW, MEDIUM],
    [FULL, NARROW],
    [NARROW, FULL],
    [FULL, FULL, FULL],
    [NARROW, MEDIUM, MEDIUM, NARROW],
    [(0, 2**40), (-(2**30), 2**30), (0, 2**20)],
]


@pytest.mark.parametrize("library", LIBRARIES, ids=["network", "shuffle"])
@pytest.mark.parametrize("bounds", MANY, ids=len)
@pytest.mark.parametrize("n", [0, 1, 2, 5, 60])
def test_rows_are_sorted_by_several_keys_and_equal_ones_keep_their_order(library: Any, bounds: Any, n: int) -> None:
    few = [draw(n, k, i) if i == len(bounds) - 1 else draw(n, k, i)[:1].repeat(n) for i, k in enumerate(bounds)]
    for seed, columns in enumerate(([draw(n, k, i) for i, k in enumerate(bounds)], few)):
        descending = np.random.default_rng(n + seed).integers(0, 2, len(bounds)).astype(bool)
        want = np.lexsort([turned(c, d) for c, d in zip(columns, descending, strict=True)][::-1])
        agrees(lambda b, *u, d=descending: library.argsort(b, keyed(u, bounds, d)), want, *columns)
        rows, one = draw((n, 2, 2), FULL, 7), draw(n, NARROW, 8)
        agrees(
            lambda b, x, y, *u, d=descending: as_list(library.sort_rows(b, keyed(u, bounds, d), [x, y])),
            [rows[want], one[want]],
            rows,
            one,
            *columns,
        )


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 12).flatmap(
        lambda n: st.lists(st.lists(st.integers(*FULL), min_size=n, max_size=n), min_size=1, max_size=3)
    ),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.integers(0, 2**32),
)
def test_any_int64_sort_lexicographically(columns: list[list[int]], descending: list[bool], seed: int) -> None:
    # Halves of them, so that some keys are equal.
    arrays = [np.array(c, dtype=np.int64) >> (61 * k) for k, c in enumerate(columns)]
    turns = descending[: len(arrays)]
    want = np.lexsort([turned(c, d) for c, d in zip(arrays, turns, strict=True)][::-1])
    for library in LIBRARIES:
        found, _ = run_rep3(
            lambda b, *u, lib=library: lib.argsort(b, keyed(u, [FULL] * len(u), turns)), *arrays, seed=seed
        )
        np.testing.assert_array_equal(found.view(np.int64), want)


@pytest.mark.parametrize(
    ("bounds", "words", "bits"),
    [
        ([(0, 2**40)], 1, 51),
        ([(0, 9), (-5, 4), (0, 2**30)], 1, 47),
        ([MEDIUM], 2, 10),
        ([FULL], 2, 10),
        # With the position behind one of them, or alone: the fewest words, and then the shortest last one.
        ([(0, 2**40), (0, 2**40)], 2, 51),
        ([(0, 2**40), (0, 2**20)], 2, 10),
        ([FULL, (0, 3)], 2, 12),
        ([(0, 3), FULL], 3, 10),
    ],
)
def test_keys_are_joined_into_the_fewest_words(bounds: Any, words: int, bits: int) -> None:
    box = Plain()
    columns = [box.constant(draw(1024, k).view(np.uint64)) for k in bounds]
    keys = [Key(c, k) for c, k in zip(columns, bounds, strict=True)]
    found = order.joined(box, keys, order.positions(box, (1024,)))
    assert (len(found.columns), found.widths[-1]) == (words, bits)
    assert sum(found.wide) == bounds.count(FULL)


def test_keys_that_fit_one_word_cost_as_one_key() -> None:
    x = np.zeros(1000, np.int64)
    one = dry_cost(lambda b, u: shuffled.argsort(b, [Key(u, (0, 2**40))]), x)
    two = dry_cost(lambda b, u: shuffled.argsort(b, [Key(u, (0, 2**20)), Key(u, (0, 2**20))]), x)
    # The column that is shuffled besides is all that comes on top.
    assert two.rounds == one.rounds and two.bytes_total - one.bytes_total == 32 * 1000


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 5)])
def test_permutations_are_applied_along_an_axis(shape: tuple[int, ...]) -> None:
    x = draw(shape, FULL)
    for axis in range(len(shape)):
        index = np.argsort(draw(shape, FULL, axis), axis=axis)
        want = np.take_along_axis(x, index, axis=axis)
        agrees(lambda b, u, p, a=axis: shuffled.take_along(b, u, p, axis=a), want, x, index)


@pytest.mark.parametrize("library", [sort, select], ids=["network", "shuffle"])
@pytest.mark.parametrize("bounds", MANY, ids=len)
@pytest.mark.parametrize("n", [1, 2, 60, 700])
def test_the_first_rows_by_several_keys(library: Any, bounds: Any, n: int) -> None:
    columns = [draw(n, k, i) if i == len(bounds) - 1 else draw(n, k, i)[:3].repeat(n)[:n] for i, k in enumerate(bounds)]
    descending = np.random.default_rng(n).integers(0, 2, len(bounds)).astype(bool)
    rows = draw((n, 2), FULL, 7)
    for count in sorted({0, 1, n // 3, n}) if n < 100 else [5]:
        want = np.lexsort([turned(c, d) for c, d in zip(columns, descending, strict=True)][::-1])[:count]
        agrees(
            lambda b, x, *u, k=count: as_list(library.first_rows(b, keyed(u, bounds, descending), [x, u[-1]], k)),
            [rows[want], columns[-1][want]],
            rows,
            *columns,
        )


@pytest.mark.parametrize("bounds", [[(0, 2**40)], [FULL, FULL, FULL]], ids=len)
def test_few_rows_of_many_cost_less_than_all_and_many_of_few_no_more(bounds: Any) -> None:
    def bytes_of(n: int, count: int) -> int:
        keys = [np.zeros(n, np.int64) for _ in bounds]
        turns = [False] * len(keys)
        cost = dry_cost(lambda b, *u: as_list(select.first_rows(b, keyed(u, bounds, turns), [u[0]], count)), *keys)
        return cost.bytes_total

    assert bytes_of(15_000, 10) < 0.55 * bytes_of(15_000, 15_000)
    assert bytes_of(100, 90) == bytes_of(100, 100)


# --- order statistics --------------------------------------------------------------------------------------------


def some_ranks(n: int) -> list[list[int]]:
    found = [[], [0], [n - 1], [*range(min(n, 5))], [*range(n)], [n // 3, (n - 1) // 2, n // 2]]
    return [sorted({r for r in ranks if 0 <= r < n}) for ranks in found]


@pytest.mark.parametrize("bounds", [NARROW, MEDIUM, FULL], ids=["narrow", "medium", "full"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 130, 700])
def test_order_statistics_agree_with_numpy(n: int, bounds: tuple[int, int]) -> None:
    x = draw(n, bounds, n)
    for k, ranks in enumerate(some_ranks(n)):
        places = np.argsort(turned(x, k % 2 == 1), kind="stable")[ranks]
        key = [bounds, k % 2 == 1]
        agrees(lambda b, u, r=ranks, a=key: as_list(select.select(b, Key(u, *a), r)), [x[places], places], x)


@pytest.mark.parametrize("descending", [False, True])
def test_words_are_shuffled_whole_and_taken_apart_where_that_costs_less(
    descending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = (-(2**49), 2**49)
    x = draw(3000, bounds, 3)
    ranks = [0, 7, 1500, 2999]
    places = np.argsort(turned(x, descending), kind="stable")[ranks]

    def program(b: Any, u: Any) -> Any:
        return as_list(select.select(b, Key(u, bounds, descending), ranks))

    apart = dry_cost(program, x)
    monkeypatch.setattr(select, "COMPACT", 3000)
    agrees(program, [x[places], places], x)
    whole = dry_cost(program, x)
    assert whole.bytes_total < apart.bytes_total - 25 * 3000 and whole.rounds == apart.rounds + 9


@pytest.mark.parametrize("n", [0, 1, 2, 33, 100])
def test_a_pruned_network_finds_the_same(n: int) -> None:
    for k, (ranks, bounds) in enumerate((r, b) for r in some_ranks(n) for b in (NARROW, FULL)):
        x, descending = draw(n, bounds, n), k % 2 == 1
        places = np.argsort(turned(x, descending), kind="stable")
        count, wraps = len(ranks), bounds == FULL
        options = {"descending": descending, "wraps": wraps, "ranks": ranks}
        agrees(lambda b, u, o=options: sort.sort(b, u, **o), x[places[ranks]], x)
        agrees(
            lambda b, u, key=(bounds, descending), c=count: as_list(sort.first(b, Key(u, *key), c)),
            [x[places[:count]], places[:count]],
            x,
        )


def test_a_pruned_network_is_smaller() -> None:
    networks = sort.layers(1000), sort.layers(1000, [500]), sort.tournament(1000, 10), sort.tournament(1000, 1)
    full, middle_one, ten, one = (sum(len(low) for low, _ in network) for network in networks)
    assert one == 999 < ten < full / 3 < middle_one < full
    assert len(networks[2]) < len(networks[0])


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 33, 64, 70])
def test_a_tournament_puts_the_first_elements_in_front(n: int) -> None:
    rows = np.random.default_rng(n).integers(0, 5, (200, n))
    for count in {0, 1, 2, 3, n // 2, n}:
        if count <= n:
            out = rows.copy()
            for low, high in sort.tournament(n, count):
                assert len({*low, *high}) == 2 * len(low) and all(i < j < n for i, j in zip(low, high, strict=True))
                a, b = out[:, low], out[:, high]
                out[:, low], out[:, high] = np.minimum(a, b), np.maximum(a, b)
            np.testing.assert_array_equal(out[:, :count], np.sort(rows, axis=1)[:, :count])


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 5), (300, 2), (0, 3), (3, 0)])
def test_every_line_along_an_axis_is_searched_in_the_same_rounds(shape: tuple[int, ...]) -> None:
    x = draw(shape, NARROW)
    for axis, n in enumerate(shape):
        ranks = [0, n - 1] if n > 1 else [0][:n]
        order_ = np.argsort(x, axis=axis, kind="stable").take(ranks, axis=axis)
        values = np.take_along_axis(x, order_, axis=axis)
        agrees(lambda b, u, a=axis, r=ranks: as_list(select.select(b, Key(u, NARROW), r, axis=a)), [values, order_], x)
        agrees(lambda b, u, a=axis, r=ranks: sort.sort(b, u, wraps=False, axis=a, ranks=r), values, x)
    if x.size:
        sizes = (shape, shape[:1])
        costs = [
            dry_cost(lambda b, u: as_list(select.select(b, Key(u, NARROW), [0], axis=0)), np.zeros(s, int))
            for s in sizes
        ]
        assert costs[0].rounds == costs[1].rounds


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(*FULL), min_size=1, max_size=40), st.data(), st.booleans(), st.integers(0, 2**32))
def test_any_ranks_of_any_int64(values: list[int], data: Any, descending: bool, seed: int) -> None:
    ranks = sorted(data.draw(st.sets(st.integers(0, len(values) - 1))))
    x = np.array(values, dtype=np.int64)
    want = np.argsort(turned(x, descending), kind="stable")[ranks]
    (found, places), _ = run_rep3(lambda b, u: as_list(select.select(b, Key(u, FULL, descending), ranks)), x, seed=seed)
    np.testing.assert_array_equal(found.view(np.int64), x[want])
    np.testing.assert_array_equal(places.view(np.int64), want)


# --- how many comparisons ----------------------------------------------------------------------------------------


def simulate(n: int, ranks: Any, seed: int) -> list[int]:
    """Find the ranks of a random permutation in the clear; the numbers of comparisons by batch."""
    places = np.random.default_rng(seed).permutation(n)
    batches = []

    async def before(left: Any, right: Any) -> Any:
        batches.append(left.size)
        return places[left] < places[right]

    (found,) = lockstep([select.ranked(select._bounded(before, n), n, np.asarray(ranks))])
    np.testing.assert_array_equal(places[found], ranks)
    return batches


CASES = [
    (2, [0]),
    (129, [64]),
    (700, [0, 1, 2]),
    (1000, [500]),
    (2000, [7]),
    (3000, [0, 1500, 2999]),
    (10_000, [4999, 5000]),
    (10_000, [*range(100)]),
    (10_000, [1000, 5000, 9000]),
    (10_000, [*range(4000, 6000)]),
    (15_000, [*range(10)]),
    (100_000, [*range(100)]),
    (100_000, [50_000]),
    (100_000, [99_999]),
]


@pytest.mark.parametrize(("n", "ranks"), CASES)
def test_batches_depend_on_the_length_and_the_ranks_alone(n: int, ranks: list[int]) -> None:
    first, *others = [simulate(n, ranks, seed) for seed in range(max(3, min(60, 200_000 // n)))]
    assert all(batches == first for batches in others)
    cost = select.cost(n, ranks)
    assert sum(first) == cost.comparisons and len(first) <= cost.batches


@pytest.mark.parametrize(
    ("ranks", "comparisons"),
    [
        ([499_999, 500_000], 2.4),
        ([*range(100)], 1.25),
        ([0], 1.15),
        ([900_000], 1.9),
        ([250_000, 500_000, 750_000], 4.6),
    ],
)
def test_a_million_rows_take_a_few_comparisons_each(ranks: list[int], comparisons: float) -> None:
    assert select.cost(10**6, ranks).comparisons < comparisons * 10**6


NARROW_FRAMES: dict[str, Any] = {
    "_slack": lambda gaps, sample: 0.0,
    "_room": lambda n, sample, gaps: max(n // 20, 1),
    "_most": lambda n, sample, first: first * sample // n,
    "_preceding": lambda n, sample, cut: max(cut * n // sample, 20),
}


@pytest.mark.parametrize("what", NARROW_FRAMES)
def test_what_chance_puts_outside_the_frame_is_found_at_more_cost(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    n, ranks = 10_000, [2500, 5000] if what in ("_slack", "_room") else [*range(200)]
    usual = sum(simulate(n, ranks, 0))
    plans = select.plan, select._anywhere, select._first
    with monkeypatch.context() as patch:
        patch.setattr(select, what, NARROW_FRAMES[what])
        for plan in plans:
            plan.cache_clear()
        assert len({tuple(simulate(n, ranks, seed)) for seed in range(5)}) > 1
    for plan in plans:
        plan.cache_clear()
    assert sum(simulate(n, ranks, 0)) == usual


@pytest.mark.parametrize(("n", "sample", "first"), [(100, 16, 3), (1000, 64, 10), (1000, 128, 300), (60, 40, 50)])
def test_what_chance_may_do_to_the_first_rows_is_counted_exactly(n: int, sample: int, first: int) -> None:
    def more_than(cut: int, first: int) -> Fraction:
        ways = sum(comb(first, k) * comb(n - first, sample - k) for k in range(cut + 1, min(first, sample) + 1))
        return Fraction(ways, comb(n, sample))

    most = select._most(n, sample, first)
    assert more_than(most, first) <= select.CHANCE < more_than(most - 1, first)
    for cut in (0, 5, sample - 1):
        room = select._preceding(n, sample, cut)
        assert 1 - more_than(cut, room) <= select.CHANCE and (room == n or 1 - more_than(cut, room - 1) > select.CHANCE)


# --- what is opened and what is seen -----------------------------------------------------------------------------


def seen(program: Any, *columns: np.ndarray, seed: int) -> tuple[bytes, list[Any]]:
    """What a program opens, and the layout of its messages: round, sender, receiver, length."""
    boxes = rep3_boxes(seed, Witness)
    traffic = Traffic()
    shares = [share(boxes, column) for column in columns]
    lockstep([program(b, *(s[b.me] for s in shares)) for b in boxes], traffic, record=True)
    opened_to = {b"".join(o.tobytes() for o in box.seen) for box in boxes}
    assert len(opened_to) == 1
    return opened_to.pop(), [(r, p, q, len(payload)) for r, p, q, payload in traffic.messages]


def middle(bounds: tuple[int, int]) -> Any:
    return lambda b, u: select.select(b, Key(u, bounds), [(u.shape[0] - 1) // 2])


@pytest.fixture
def selects(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rows are selected even where it would take less to sort all."""
    monkeypatch.setattr(select, "sorting", lambda *_: (inf, inf))


def first(bounds: tuple[int, int]) -> Any:
    return lambda b, u: as_list(select.first_rows(b, [Key(u, bounds)], [u], 1))


def two_keys(bounds: tuple[int, int]) -> Any:
    return lambda b, u: shuffled.argsort(b, [Key(u, bounds), Key(u, bounds, True)])


@pytest.mark.usefixtures("selects")
@pytest.mark.parametrize("program", [middle, two_keys, first])
@pytest.mark.parametrize("n", [100, 900, 3000])
def test_the_traffic_is_laid_out_alike_whatever_the_data_and_the_keys_of_the_run(program: Any, n: int) -> None:
    layouts = [seen(program((0, n)), make(n), seed=seed)[1] for seed, make in enumerate(DATA.values())]
    assert all(layout == layouts[0] for layout in layouts)


@pytest.mark.usefixtures("selects")
@pytest.mark.parametrize("program", [middle, two_keys, first])
@pytest.mark.parametrize("bounds", [(0, 600), MEDIUM, FULL], ids=["narrow", "medium", "full"])
def test_equal_keys_open_what_keys_in_order_open(program: Any, bounds: tuple[int, int]) -> None:
    # With the same keys of the run, and so the same permutation: ties are broken by the original position.
    equal, ordered = (seen(program(bounds), DATA[name](600), seed=5)[0] for name in ("equal", "sorted"))
    assert equal == ordered != seen(program(bounds), DATA["equal"](600), seed=6)[0]


@pytest.mark.usefixtures("selects")
@pytest.mark.parametrize("program", [middle, two_keys, first])
@pytest.mark.parametrize("data", DATA)
def test_every_pattern_of_outcomes_is_as_likely_whatever_the_data(program: Any, data: str) -> None:
    runs = 240
    patterns = Counter(seen(program((0, 8)), DATA[data](3), seed=seed)[0] for seed in range(runs))
    assert len(patterns) == 6
    chi2 = sum((count - runs / 6) ** 2 / (runs / 6) for count in patterns.values())
    assert chi2 < 25.7  # one in 10,000 for 5 degrees of freedom


def test_the_shuffled_row_that_is_selected_is_any_one_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "ranked", spy := Spy(select.ranked))
    for data in ("equal", "sorted"):
        spy.found.clear()
        for seed in range(240):
            seen(middle((0, 8)), DATA[data](6), seed=seed)
        rows = Counter(spy.found)
        chi2 = sum((rows[k] - 120) ** 2 / 120 for k in range(6))
        assert sum(rows.values()) == 3 * 240 and chi2 < 3 * 25.7  # each row is counted by all three parties


class Spy:
    """Remembers which rows a selection found."""

    def __init__(self, ranked: Any) -> None:
        self.ranked, self.found = ranked, []

    async def __call__(self, *args: Any) -> Any:
        rows = await self.ranked(*args)
        self.found += rows.tolist()
        return rows
