"""Loops are traced once, stay regions of the plan, and compute what the unrolled body computes."""

from __future__ import annotations

import numpy as np
import pytest

from plan_oracle import Oracle
from tacit.errors import InputError
from tacit.frontends.program import loop
from tacit.plan import FIXED, INT64

DATA = np.array([[0.5, -1.0], [1.5, 0.25], [-0.75, 1.0]])


def test_a_loop_computes_what_its_unrolled_body_computes() -> None:
    o = Oracle()
    x, y = o.input(DATA, 0, (-2, 2)), o.input(np.array([1.0, 0.0, 1.0]), 1, (0, 1))

    def step(w: object) -> object:
        return w - 0.25 * (x.T @ (x @ w - y)) / 3

    w = o.program.loop(5, step, np.zeros(2), ranges=[(-8, 8)])
    got = w.reveal()
    want = np.zeros(2)
    for _ in range(5):
        want = want - 0.25 * (DATA.T @ (DATA @ want - [1, 0, 1])) / 3
    np.testing.assert_allclose(got, want, atol=2.0**-14)
    assert o.plan is not None and sum(n.op == "repeat" for n in o.plan.nodes) == 1
    # The range of the weights is taken on trust, and the plan says so.
    assert len(o.plan.assumptions()) == 1


def test_several_carried_values_and_captured_ones_keep_their_types() -> None:
    o = Oracle()
    x = o.input(np.array([3, 5]), 0, (0, 8))
    total, count = loop(4, lambda t, c: (t + x, c + 1), x, x * 0, ranges=[(0, 64), (0, 9)])
    np.testing.assert_array_equal(total.reveal(), [15, 25])
    np.testing.assert_array_equal(count.reveal(), [4, 4])
    assert total.dtype == count.dtype == INT64


def test_a_body_that_stays_in_its_range_needs_no_assumption() -> None:
    o = Oracle()
    x = o.input(np.array([0.5, 3.0]), 0, (0, 4)) + o.input(np.zeros(2), 1, (0, 4))
    out = loop(10, lambda v: (v * 0.5 + 1).clip(0, 8), x)
    np.testing.assert_allclose(out.reveal(), np.array([0.5, 3.0]) / 1024 + 2 - 2 / 1024, atol=2.0**-16)
    assert o.plan is not None and o.plan.assumptions() == ()


def test_loops_nest() -> None:
    o = Oracle()
    x, y = o.input(np.array([1, 2]), 0, (0, 4)), o.input(np.array([1, 1]), 1, (0, 4))

    def outer(v: object) -> object:
        inner = loop(3, lambda u: u + y + v * 0, v, ranges=[(0, 100)])
        return inner + x

    out = loop(2, outer, x, ranges=[(0, 100)])
    np.testing.assert_array_equal(out.reveal(), [1 + 2 * 4, 2 + 2 * 5])


def test_a_carried_value_takes_the_type_and_home_of_what_follows_it() -> None:
    o = Oracle()
    x = o.input(np.array([1.5]), 0, (0, 2)) + o.input(np.array([1.0]), 1, (0, 2))
    out = o.program.loop(3, lambda v: v + x, np.zeros(1, int), ranges=[(0, 16)])
    assert out.dtype == FIXED
    np.testing.assert_array_equal(out.reveal(), [7.5])


def test_a_private_loop_runs_at_its_owner() -> None:
    o = Oracle()
    x = o.input(np.array([1, 2]), 0, (0, 4))
    out = loop(3, lambda v: v + x, x, ranges=[(0, 16)])
    assert out.home == x.home
    np.testing.assert_array_equal(out.reveal(), [4, 8])


def test_a_loop_that_cannot_be_is_refused() -> None:
    o = Oracle()
    x = o.input(np.array([1, 2]), 0, (0, 4))
    for call in (
        lambda: loop(0, lambda v: v, x),
        lambda: loop(True, lambda v: v, x),
        lambda: loop(2, lambda v: v[:1], x),
        lambda: loop(2, lambda v: (v, v), x),
        lambda: loop(2, lambda v: v, x, ranges=[]),
        lambda: loop(2, lambda v: v, x, ranges=[(0, 1)]),
    ):
        with pytest.raises(InputError, match="INPUT-109"):
            call()
