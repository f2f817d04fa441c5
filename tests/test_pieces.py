"""Large elementwise operations run in pieces: same result, bounded work, cost as estimated."""

from __future__ import annotations

import numpy as np
import pytest

import tacit as tc
from tacit.engine import pieces


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 128)


RNG = np.random.default_rng(3)


@pytest.mark.parametrize("protocol", ["plain", "rep3"])
@pytest.mark.parametrize("shape", [(128,), (129,), (300,), (3, 100), (5, 7, 11)], ids=str)
def test_pieces_give_the_whole(protocol, shape):
    x, y = (RNG.integers(-50, 50, shape) for _ in range(2))
    row = RNG.integers(-5, 5, shape[-1:])
    with tc.local(protocol=protocol, transport="memory") as session:
        a, b = session.input(x, 0, range=(-50, 50)), session.input(y, 1, range=(-50, 50))
        r = session.input(row, 2, range=(-5, 5))
        results = tc.reveal(a * b, a < b, a * r, tc.where(a < r, a, b), (a < b) & (a == r), a * y, abs(a).clip(3, 9))
    below = x < row
    want = [x * y, x < y, x * row, np.where(below, x, y), (x < y) & (x == row), x * y, abs(x).clip(3, 9)]
    for got, expected in zip(results, want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_cost_of_pieces_is_estimated_exactly():
    with tc.local(transport="memory") as session:
        a, b = (session.input(RNG.integers(-9, 9, 1000), p, range=(-9, 9)) for p in (0, 1))
        cost = session.cost(a < b)
        (a < b).reveal()
        assert (cost.rounds, cost.bytes_total) == (session.last.rounds, session.last.bytes_total)
        # Eight pieces, seven rounds each; one round each for keys, inputs and the result.
        assert cost.rounds == 8 * 7 + 3


def test_fixed_point_in_pieces_is_as_accurate():
    x = RNG.uniform(-8, 8, 1000)
    with tc.local(transport="memory") as session:
        a = session.input(x, range=(-8, 8))
        got = tc.sigmoid(a).reveal()
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-x)), atol=2**-16)
