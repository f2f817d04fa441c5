"""Compaction, runs, groups and scans: right, at the cost that dry says, and alike for all data."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Words, bits, dry_cost, rep3_boxes, run_plain, run_rep3, share
from plan_oracle import by_run, compress, expand, fill_forward, run_sums
from tacit.engine.drive import Traffic, lockstep
from tacit.library import compact, groups, scan
from tacit.protocols.exchange import gather
from tacit.protocols.rep3 import Rep3

LO, HI = -(2**63), 2**63 - 1
int64 = st.one_of(st.sampled_from([LO, LO + 1, -1, 0, 1, HI - 1, HI]), st.integers(LO, HI))


def agrees(program: Any, expected: Any, *inputs: Any) -> None:
    """rep3 and plain give `expected`, and dry costs what rep3 sent."""
    result, traffic = run_rep3(program, *inputs)
    want = expected if isinstance(expected, list) else [expected]
    for got in (result, run_plain(program, *inputs)):
        for a, b in zip(got if isinstance(got, list) else [got], want, strict=True):
            np.testing.assert_array_equal(a.view(np.int64), np.asarray(b).astype(np.int64))
    assert dry_cost(program, *inputs) == traffic.cost


def flags_of(kind: str, n: int) -> np.ndarray:
    random = np.random.default_rng(n).integers(0, 2, n).astype(bool)
    return {"none": random & False, "all": random | True, "random": random, "first": np.arange(n) == 0}[kind]


def words(n: int, *more: int) -> np.ndarray:
    rng = np.random.default_rng([n, *more])
    edges = np.array([LO, HI, -1, 0])
    return np.where(rng.random((n, *more)) < 0.3, rng.choice(edges, (n, *more)), rng.integers(LO, HI, (n, *more)))


ROWS = pytest.mark.parametrize("shape", [(0,), (1,), (2, 3), (7,), (40, 2, 2), (520, 1), (5, 0)], ids=str)
FLAGS = pytest.mark.parametrize("kind", ["none", "all", "random", "first"])


# --- compaction ------------------------------------------------------------------------------------------------


@ROWS
@FLAGS
def test_rows_come_together_and_go_back(shape: tuple[int, ...], kind: str) -> None:
    f, x = flags_of(kind, shape[0]), words(*shape)
    agrees(lambda b, g, u: compact.compress(b, g, u), compress(f, x), f, x)
    agrees(lambda b, g, u: compact.expand(b, g, u), expand(f, x), f, x)
    agrees(lambda b, g, u: compact.expand(b, g, u), expand(f, x[: shape[0] // 2]), f, x[: shape[0] // 2])
    agrees(lambda b, g, u: compact.fill_forward(b, g, u), fill_forward(f, x), f, x)


def test_the_cost_of_compaction_is_what_its_docstrings_say() -> None:
    n = 960
    for function, rounds, fixed, word in (
        (compact.compress, 4, 640, 448),
        (compact.expand, 8, 1344, 448),
        (compact.fill_forward, 7, 1344, 704),
    ):
        for width in (1, 3):
            cost = dry_cost(lambda b, g, u, r=function: r(b, g, u), np.zeros(n), np.zeros((n, width)))
            assert (cost.rounds, cost.bytes_total * 8) == (rounds, n * (fixed + width * word)), function


@ROWS
@FLAGS
def test_public_columns_move_along(shape: tuple[int, ...], kind: str) -> None:
    n = shape[0]
    f, x, known = flags_of(kind, n), words(n, 2), words(n, 3).view(np.uint64)
    for columns in (0, 2):
        rows = x[:, :columns]
        want = compress(f, np.concatenate([rows, known.view(np.int64)], axis=1))
        agrees(lambda b, g, u: compact.compress(b, g, u, known), want, f, rows)


def test_a_public_column_takes_no_product() -> None:
    n = 960
    known = np.zeros((n, 3), np.uint64)
    costs = [
        dry_cost(lambda b, g, u, k=k: compact.compress(b, g, u, k), np.zeros(n), np.zeros((n, 1)))
        for k in (known[:, :0], known)
    ]
    assert costs[1].rounds == costs[0].rounds
    assert (costs[1].bytes_total - costs[0].bytes_total) * 8 == n * 3 * 256


# --- runs and groups -------------------------------------------------------------------------------------------


@ROWS
@FLAGS
def test_sums_of_runs_are_right_modulo_2_to_the_64(shape: tuple[int, ...], kind: str) -> None:
    f, x = flags_of(kind, shape[0]), words(*shape)
    agrees(lambda b, g, u: groups.run_sums(b, g, u), run_sums(f, x), f, x)
    agrees(lambda b, g, u: groups.running_sum(b, g, u), by_run(np.add)(f, x), f, x)


@ROWS
@FLAGS
def test_aggregates_are_the_heads_and_sums_of_runs(shape: tuple[int, ...], kind: str) -> None:
    n = shape[0]
    f, heads, sums = flags_of(kind, n), words(n, 2), words(n, 1)
    known = words(n, 1), words(n, 2)
    starts = f | (np.arange(n) == 0)
    want = [
        compress(starts, np.concatenate([heads, known[0]], axis=1)),
        run_sums(starts, np.concatenate([sums, known[1]], axis=1)),
    ]
    public = known[0].view(np.uint64), known[1].view(np.uint64)
    agrees(lambda b, g, u, v: _listed(groups.aggregate(b, g, u, v, public)), want, f, heads, sums)


@pytest.mark.parametrize("n", [0, 1, 2, 65])
@pytest.mark.parametrize("keys", [1, 2, 3])
def test_runs_start_where_any_key_changes(n: int, keys: int) -> None:
    columns = [np.random.default_rng([n, k]).choice([LO, 0, HI], n) for k in range(keys)]
    table = np.stack(columns, axis=1)
    want = np.concatenate([np.ones(min(n, 1), bool), (table[1:] != table[:-1]).any(axis=1)])
    flags = bits((columns[0] == 0).astype(np.int64), 1)
    agrees(lambda b, *k: groups.run_starts(b, *k), want, *columns)
    agrees(lambda b, *k: groups.run_starts(b, *k), want, *columns, flags)
    agrees(lambda b, *k: groups.run_ends(b, *k), np.roll(want, -1), *columns)


async def _listed(results: Any) -> list[Any]:
    return list(await results)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 31, 64])
def test_every_place_of_a_small_domain_has_its_code(size: int) -> None:
    x = np.arange(size)[::-1].reshape(-1, 1).copy()
    agrees(lambda b, u: groups.one_hot(b, u, size), np.eye(size, dtype=int)[x], x)
    agrees(lambda b, u: groups.one_hot(b, u, size), np.zeros((0, size)), x[:0, 0])


# --- scans -----------------------------------------------------------------------------------------------------

SCANS = {"maximum": (scan.maximum, np.maximum), "minimum": (scan.minimum, np.minimum)}
QUANTIFIERS = {"any": (scan.any_, np.maximum), "all": (scan.all_, np.minimum)}


@ROWS
@FLAGS
@pytest.mark.parametrize("name", SCANS)
def test_running_extremes_begin_anew_in_each_run(shape: tuple[int, ...], kind: str, name: str) -> None:
    f, x = flags_of(kind, shape[0]), words(*shape)
    function, ufunc = SCANS[name]
    agrees(lambda b, g, u: function(b, g, u, wraps=True), by_run(ufunc)(f, x), bits(f, 1), x)
    near = x >> 2
    agrees(lambda b, g, u: function(b, g, u, wraps=False), by_run(ufunc)(f, near), bits(f, 1), near)


@ROWS
@FLAGS
@pytest.mark.parametrize("name", QUANTIFIERS)
def test_running_quantifiers_begin_anew_in_each_run(shape: tuple[int, ...], kind: str, name: str) -> None:
    f, x = flags_of(kind, shape[0]), words(*shape) & 1
    function, ufunc = QUANTIFIERS[name]
    agrees(lambda b, g, u: function(b, g, u), by_run(ufunc)(f, x), bits(f, 1), bits(x, 1))


@pytest.mark.parametrize("n", [*range(20), 255, 256, 257, 258, 511, 512, 513, 514, 1000, 4097])
def test_scans_join_every_row_to_all_before_it_with_few_joins_in_few_levels(n: int) -> None:
    levels: list[int] = []

    async def program(box: Any, first: Any, last: Any) -> Any:
        async def join(left: Any, right: Any) -> Any:
            levels.append(right[0].shape[0])
            gap, _ = await gather(box.reveal(right[0] - left[1]), box.reveal(left[0]))
            assert (gap == 1).all()
            return [left[0], right[1]]

        return list(await scan.scan([first, last], join))

    place = np.arange(n)
    for got, want in zip(run_plain(program, place, place), (np.zeros(n), place), strict=True):
        np.testing.assert_array_equal(got, want)
    log = max(n - 1, 0).bit_length()
    assert sum(levels) <= (n * log / 2 if n <= scan.SHALLOW else 2 * n + 4 * scan.SHALLOW)
    assert len(levels) <= (log if n <= scan.SHALLOW else 2 * log - 8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), int64), min_size=1, max_size=30), st.integers(0, 2**32))
def test_any_int64_in_any_runs_whatever_the_order_that_chance_gives(rows: list[Any], seed: int) -> None:
    f, x = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=np.int64)
    for program, want, flags in (
        (compact.compress, compress(f, x), f),
        (compact.expand, expand(f, x), f),
        (compact.fill_forward, fill_forward(f, x), f),
        (groups.run_sums, run_sums(f, x), f),
        (groups.running_sum, by_run(np.add)(f, x), f),
        (_maximum, by_run(np.maximum)(f, x), bits(f, 1)),
    ):
        got, _ = run_rep3(lambda b, g, u, p=program: p(b, g, u), flags, x, seed=seed)
        np.testing.assert_array_equal(got.view(np.int64), want)


async def _maximum(box: Any, starts: Any, x: Any) -> Any:
    return await scan.maximum(box, starts, x, wraps=True)


# --- what is opened and what is seen ---------------------------------------------------------------------------


class Witness(Rep3):
    """Remembers which permutations were opened."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen: list[tuple[int, ...]] = []

    async def open_positions(self, x: Any) -> Any:
        opened = await super().open_positions(x)
        self.seen.append(tuple(opened.tolist()))
        return opened


def seen(program: Any, inputs: list[Any], seed: int) -> tuple[list[tuple[int, ...]], list[Any]]:
    """The permutations that a program opens, and the layout of its messages: round, sender, receiver, length."""
    boxes = rep3_boxes(seed, Witness)
    traffic = Traffic()
    shares = [share(boxes, item) for item in inputs]
    runs = [program(b, *(s[k] for s in shares)) for k, b in enumerate(boxes)]
    lockstep(runs, traffic, record=True)
    assert all(box.seen == boxes[0].seen for box in boxes)
    return boxes[0].seen, [(r, p, q, len(payload)) for r, p, q, payload in traffic.messages]


MOVES = {
    "compress": (compact.compress, 1),
    "expand": (compact.expand, 2),
    "fill_forward": (compact.fill_forward, 2),
    "run_sums": (groups.run_sums, 1),
    "running_sum": (groups.running_sum, 2),
}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("data", [[0, 0, 0], [1, 1, 1], [0, 1, 0]], ids=["none", "all", "one"])
def test_every_permutation_is_opened_as_often_whatever_the_flags(name: str, data: list[int]) -> None:
    program, count = MOVES[name]
    patterns: list[Counter[Any]] = [Counter() for _ in range(count)]
    joint: Counter[Any] = Counter()
    runs = 360
    for seed in range(runs):
        opened, _ = seen(program, [np.array(data), np.array(data) * 5], seed)
        assert len(opened) == count
        for pattern, found in zip(patterns, opened, strict=True):
            pattern[found] += 1
        joint[tuple(opened)] += 1
    for pattern in patterns:
        assert len(pattern) == 6
        assert sum((c - runs / 6) ** 2 / (runs / 6) for c in pattern.values()) < 25.7  # one in 10,000, 5 degrees
    if count == 2:
        # Nor do the two tell each other: 36 pairs, one in 10,000 for 35 degrees.
        assert sum((joint[pair] - runs / 36) ** 2 / (runs / 36) for pair in joint) + (36 - len(joint)) * 10 < 78


SCANNED: dict[str, Any] = {
    "maximum": lambda b, g, u, k: scan.maximum(b, g, u, wraps=False),
    "any": lambda b, g, u, k: scan.any_(b, g, g),
    "starts": lambda b, g, u, k: groups.run_starts(b, k, u),
    "one-hot": lambda b, g, u, k: groups.one_hot(b, k, 5),
}


@pytest.mark.parametrize("name", [*MOVES, *SCANNED])
def test_the_traffic_is_laid_out_alike_whatever_the_data(name: str) -> None:
    layouts = []
    for seed, (f, x) in enumerate(
        [(np.zeros(300), np.zeros(300)), (np.ones(300), np.arange(300)), (np.arange(300) % 2, -np.ones(300))]
    ):
        f, x = f.astype(np.int64), x.astype(np.int64)
        program = SCANNED[name] if name in SCANNED else lambda b, g, u, k: MOVES[name][0](b, k, u)
        opened, layout = seen(program, [Words(f.astype(np.uint64), 1), x, f], seed)
        assert len(opened) == (0 if name in SCANNED else MOVES[name][1])
        layouts.append(layout)
    assert layouts[0] == layouts[1] == layouts[2]
