"""Comparison, choice, reductions and sorting: right for every pair of int64, at the cost that dry says."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import bits, dry_cost, run_plain, run_rep3
from tacit.library import compare, reduce, sort
from tacit.library.order import Key

LO, HI = -(2**63), 2**63 - 1
EXTREMES = [LO, LO + 1, -(2**62) - 1, -(2**62), -2, -1, 0, 1, 2, 2**62 - 1, 2**62, HI - 1, HI]
PAIRS = np.array(list(product(EXTREMES, EXTREMES)), dtype=np.int64)

int64 = st.one_of(st.sampled_from(EXTREMES), st.integers(LO, HI))


def agrees(program, expected, *inputs) -> None:
    """rep3 and plain give `expected` (as int64, or as bits), and dry costs what rep3 sent."""
    result, traffic = run_rep3(program, *inputs)
    np.testing.assert_array_equal(result.view(np.int64), np.asarray(expected).astype(np.int64))
    np.testing.assert_array_equal(run_plain(program, *inputs).view(np.int64), np.asarray(expected).astype(np.int64))
    assert dry_cost(program, *inputs) == traffic.cost


def test_order_and_extremes_are_right_for_every_pair_of_the_extremes_of_int64() -> None:
    x, y = PAIRS.T
    agrees(lambda b, u, v: compare.less(b, u, v, wraps=True), x < y, x, y)
    agrees(lambda b, u, v: compare.equal(b, u, v), x == y, x, y)
    agrees(lambda b, u, v: compare.maximum(b, u, v, wraps=True), np.maximum(x, y), x, y)
    agrees(lambda b, u, v: compare.minimum(b, u, v, wraps=True), np.minimum(x, y), x, y)


def test_the_short_way_is_right_while_differences_stay_in_the_ring_and_only_then() -> None:
    x, y = PAIRS.T
    fits = np.array([abs(a - b) < 2**63 for a, b in PAIRS.tolist()])
    agrees(lambda b, u, v: compare.less(b, u, v, wraps=False), (x < y)[fits], x[fits], y[fits])
    wrong = run_plain(lambda b, u, v: compare.less(b, u, v, wraps=False), x[~fits], y[~fits]).astype(bool)
    assert (wrong != (x < y)[~fits]).any()


def test_the_long_way_costs_one_round_more_than_one_sign() -> None:
    x = np.arange(1000)
    short = dry_cost(lambda b, u, v: compare.less(b, u, v, wraps=False), x, x)
    long = dry_cost(lambda b, u, v: compare.less(b, u, v, wraps=True), x, x)
    assert long.rounds == short.rounds + 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(int64, int64, st.booleans()), min_size=1, max_size=70))
def test_choice_takes_one_of_its_operands(rows) -> None:
    x, y = (np.array([row[k] for row in rows], dtype=np.int64) for k in (0, 1))
    c = np.array([row[2] for row in rows])
    agrees(lambda b, k, u, v: compare.select(b, k, u, v), np.where(c, x, y), bits(c, 1), x, y)
    p, q = x & 1, y & 1
    words = (bits(c, 1), bits(p, 1), bits(q, 1))
    agrees(lambda b, k, u, v: compare.select_bits(b, k, u, v), np.where(c, p, q), *words)


def test_a_condition_chooses_between_wide_words() -> None:
    x, y, c = np.array([5, 6, 7]), np.array([9, 10, 11]), np.array([1, 0, 1])
    words = (bits(c, 1), bits(x, 4), bits(y, 4))
    agrees(lambda b, k, u, v: compare.select_bits(b, k, u, v), np.where(c, x, y), *words)


def test_absolute_value_is_right_but_at_the_one_number_that_has_none() -> None:
    x = np.array([v for v in EXTREMES if v != LO], dtype=np.int64)
    agrees(lambda b, u: compare.absolute(b, u), np.abs(x), x)


@pytest.mark.parametrize(("lo", "hi"), [(LO, HI), (LO, LO), (HI, HI), (-5, 7), (0, 0), (-(2**62), 2**62), (1, HI)])
def test_clipping_is_right_for_every_bound_and_value(lo: int, hi: int) -> None:
    x = np.array([*EXTREMES, lo, hi], dtype=np.int64)
    agrees(lambda b, u: compare.clip(b, u, lo, hi, wraps=True), np.clip(x, lo, hi), x)
    near = x[(x > -(2**62)) & (x < 2**62)]
    if lo >= -(2**62) and hi <= 2**62:
        agrees(lambda b, u: compare.clip(b, u, lo, hi, wraps=False), np.clip(near, lo, hi), near)


# --- reductions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axis"), [((1,), 0), ((2,), 0), ((7,), 0), ((3, 5), 0), ((3, 5), 1), ((2, 3, 4), -2)]
)
def test_reductions_agree_with_numpy_along_every_axis(shape: tuple[int, ...], axis: int) -> None:
    rng = np.random.default_rng(len(shape))
    # Few values, so that equal elements meet and the first must win.
    for x in (rng.choice(np.array(EXTREMES), shape), rng.integers(-1, 2, shape)):
        agrees(lambda b, u: reduce.maximum(b, u, axis=axis, wraps=True), x.max(axis), x)
        agrees(lambda b, u: reduce.minimum(b, u, axis=axis, wraps=True), x.min(axis), x)
        agrees(lambda b, u: reduce.argmax(b, u, axis=axis, wraps=True), x.argmax(axis), x)
        agrees(lambda b, u: reduce.argmin(b, u, axis=axis, wraps=True), x.argmin(axis), x)
    for flags in (rng.integers(0, 2, shape), np.ones(shape, dtype=int), np.zeros(shape, dtype=int)):
        agrees(lambda b, u: reduce.any_(b, u, axis=axis), flags.any(axis), bits(flags, 1))
        agrees(lambda b, u: reduce.all_(b, u, axis=axis), flags.all(axis), bits(flags, 1))


def test_nothing_is_all_true_and_not_any() -> None:
    flags = np.zeros((3, 0), dtype=np.int64)
    agrees(lambda b, u: reduce.any_(b, u, axis=1), np.zeros(3), bits(flags, 1))
    agrees(lambda b, u: reduce.all_(b, u, axis=1), np.ones(3), bits(flags, 1))


def test_an_extreme_takes_few_rounds_on_few_lines_and_few_bytes_on_many() -> None:
    for n, rounds in ((1, 0), (2, 8), (3, 9), (10, 12), (16, 12), (100, 23)):
        x = np.zeros(n, dtype=np.int64)
        assert dry_cost(lambda b, u: reduce.maximum(b, u, axis=0, wraps=False), x).rounds == rounds
        assert dry_cost(lambda b, u: reduce.argmax(b, u, axis=0, wraps=False), x).rounds == rounds
    # Of many lines the groups are pairs: as many comparisons and injections as there are losers.
    lines = 1 << 16
    pair = dry_cost(lambda b, u, v: compare.maximum(b, u, v, wraps=False), *[np.zeros(lines, dtype=np.int64)] * 2)
    x = np.zeros((8, lines), dtype=np.int64)
    cost = dry_cost(lambda b, u: reduce.maximum(b, u, axis=0, wraps=False), x)
    assert cost.bytes_total == 7 * pair.bytes_total
    assert cost.rounds == 3 * pair.rounds


# --- sorting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(13))
def test_the_network_sorts_every_vector_of_zeros_and_ones_hence_everything(n: int) -> None:
    # Knuth, TAOCP vol. 3, 5.3.4, theorem Z.
    rows = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    for low, high in sort.layers(n):
        assert len({*low, *high}) == len(low) + len(high) and all(i < j for i, j in zip(low, high, strict=True))
        a, b = rows[:, low], rows[:, high]
        rows[:, low], rows[:, high] = np.minimum(a, b), np.maximum(a, b)
    assert (np.diff(rows, axis=1) >= 0).all()


@pytest.mark.parametrize(("shape", "axis"), [((0,), 0), ((1,), 0), ((2,), 0), ((13,), 0), ((4, 6), 0), ((4, 6), 1)])
@pytest.mark.parametrize("descending", [False, True])
def test_sorting_agrees_with_numpy_and_keeps_the_order_of_equals(shape, axis, descending) -> None:
    rng = np.random.default_rng(len(shape))
    sign = -1 if descending else 1
    for x, bounds in ((rng.choice(np.array(EXTREMES[1:]), shape), None), (rng.integers(-2, 3, shape), (-2, 2))):
        ordered = sign * np.sort(sign * x, axis=axis)
        order = np.argsort(sign * x, axis=axis, kind="stable")
        wraps = bounds is None
        agrees(lambda b, u, w=wraps: sort.sort(b, u, axis=axis, descending=descending, wraps=w), ordered, x)
        for known in {bounds or (LO, HI), (LO, HI)}:
            agrees(lambda b, u, k=known: sort.argsort(b, [Key(u, k, descending)], axis=axis), order, x)


@pytest.mark.parametrize("bounds", [(-(2**59), 2**59 - 1), (-(2**59), 2**59), (LO + 1, HI)])
def test_positions_join_their_elements_exactly_while_both_fit_in_one_number(bounds: tuple[int, int]) -> None:
    lo, hi = bounds
    x = np.array([hi, lo, 0, hi, lo, hi - 1, lo + 1, 0], dtype=np.int64)
    for descending, keys in ((False, x), (True, -x)):
        agrees(
            lambda b, u, d=descending: sort.argsort(b, [Key(u, bounds, d)]),
            np.argsort(keys, kind="stable"),
            x,
        )


def test_known_bounds_make_positions_cheaper() -> None:
    x = np.arange(1000)
    bounds = [(0, 999), (-(2**62), 2**62 - 1), (LO, HI)]
    joined, apart, wide = (dry_cost(lambda b, u, k=k: sort.argsort(b, [Key(u, k)]), x).bytes_total for k in bounds)
    assert 1.8 * joined < apart and 1.5 * apart < wide
