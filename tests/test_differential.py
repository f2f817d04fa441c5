"""rep3 and plain agree with NumPy on random programs over shapes, types and extremes: in memory and over processes.

A program is a list of steps drawn by Hypothesis; each step is applied to the secret arrays and to NumPy's alike.
Integers and bools must agree exactly, also at the ends of int64; fixed point within the error its inputs allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tacit as tc

HALF = 2**62 - 1
EDGES = [0, 1, -1, 2, -2, 63, 64, 2**31, -(2**31), HALF, -HALF]
FULL = [*EDGES, 2**63 - 1, -(2**63), 2**63 - 2, -(2**63) + 1]
SHAPES = st.sampled_from([(), (0,), (1,), (3,), (64,), (65,), (2, 0), (2, 3), (4, 1), (2, 2, 2)])

PLACES = {
    "plain in memory": {"protocol": "plain", "transport": "memory"},
    "rep3 in memory": {"protocol": "rep3", "transport": "memory"},
    "plain over processes": {"protocol": "plain", "transport": "process"},
    "rep3 over processes": {"protocol": "rep3", "transport": "process"},
}
EXAMPLES = {"plain in memory": 60, "rep3 in memory": 60, "plain over processes": 20, "rep3 over processes": 30}


@pytest.fixture(scope="module", params=list(PLACES))
def place(request: pytest.FixtureRequest) -> Iterator[tuple[tc.Session, int]]:
    with tc.local(**PLACES[request.param]) as session:
        yield session, EXAMPLES[request.param]


def check(place: tuple[tc.Session, int], strategy: st.SearchStrategy[Any], body: Any) -> None:
    session, examples = place
    relaxed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]

    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=relaxed, database=None)
    @given(strategy)
    def run(case: Any) -> None:
        body(session, case)

    run()


def integer_arrays(values: list[int], low: int, high: int) -> st.SearchStrategy[list[np.ndarray]]:
    element = st.one_of(st.sampled_from(values), st.integers(low, high))

    def pair(shape: tuple[int, ...]) -> st.SearchStrategy[list[np.ndarray]]:
        size = int(np.prod(shape))
        one = st.lists(element, min_size=size, max_size=size).map(lambda v: np.array(v, np.int64).reshape(shape))
        return st.lists(one, min_size=2, max_size=2)

    return SHAPES.flatmap(pair)


def test_comparisons_are_right_for_any_two_int64(place):
    def body(session: tc.Session, arrays: list[np.ndarray]) -> None:
        x, y = arrays
        full = (-(2**63), 2**63 - 1)
        a, b = session.input(x, 0, range=full), session.input(y, 1, range=full)
        got = tc.reveal(a < b, a <= b, a == b, a != b, tc.maximum(a, b), tc.where(a > b, a, b), tc.minimum(a, b))
        big = np.maximum(x, y)
        for value, want in zip(got, [x < y, x <= y, x == y, x != y, big, big, np.minimum(x, y)], strict=True):
            np.testing.assert_array_equal(value, want)

    check(place, integer_arrays(FULL, -(2**63), 2**63 - 1), body)


def test_integer_programs_agree_exactly(place):
    steps = st.lists(
        st.sampled_from(["add", "sub", "neg", "abs", "flip", "sum", "sort", "where", "cumsum", "clip", "max"]),
        min_size=1,
        max_size=5,
    )

    def body(session: tc.Session, case: tuple[list[np.ndarray], list[str]]) -> None:
        (x, y), names = case
        # Small enough for any five steps: the range is declared, so nothing is refused.
        x, y = x % 1000 - 500, y % 1000 - 500
        a, b = session.input(x, 2, range=(-500, 500)), session.input(y, None, range=(-500, 500))
        c, z = a, x
        for name in names:
            c, z = apply(name, c, z, b, y)
        (got,) = tc.reveal(c, a)[:1]
        np.testing.assert_array_equal(got, z)

    check(place, st.tuples(integer_arrays(EDGES, -(2**62), 2**62), steps), body)


def apply(name: str, c: Any, z: np.ndarray, b: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
    same = z.shape == y.shape
    match name:
        case "add":
            return (c + b, z + y) if same else (c + 7, z + 7)
        case "sub":
            return (b - c, y - z) if same else (5 - c, 5 - z)
        case "neg":
            return -c, -z
        case "abs":
            return abs(c), abs(z)
        case "flip" if z.ndim:
            return tc.flip(c, axis=0), np.flip(z, axis=0)
        case "sum" if z.ndim:
            return c.sum(axis=-1), z.sum(axis=-1)
        case "sort" if z.ndim:
            return tc.sort(c, axis=0), np.sort(z, axis=0)
        case "where":
            return tc.where(c > 3, c, -1), np.where(z > 3, z, -1)
        case "cumsum" if z.ndim == 1:
            return tc.cumulative_sum(c), np.cumsum(z)
        case "clip":
            return c.clip(-100, 250), z.clip(-100, 250)
        case "max" if z.ndim and z.shape[0]:
            return c.max(axis=0), z.max(axis=0)
    return c, z


def test_products_of_extreme_integers_agree(place):
    def body(session: tc.Session, arrays: list[np.ndarray]) -> None:
        x, y = (a % (2**31) * np.where(a % 3 == 0, -1, 1) for a in arrays)
        a, b = session.input(x, 0, range=(-(2**31), 2**31)), session.input(y, 1, range=(-(2**31) + 1, 2**31 - 1))
        np.testing.assert_array_equal((a * b).reveal(), x * y)

    check(place, integer_arrays(EDGES, -(2**62), 2**62), body)


def test_fixed_point_agrees_within_its_resolution(place):
    unit = 2.0**-18
    element = st.one_of(
        st.sampled_from([0.0, unit, -unit, 1.0, -1.0, 31.999996185302734, -32.0]), st.floats(-32, 32, allow_nan=False)
    )

    def pair(shape: tuple[int, ...]) -> st.SearchStrategy[list[np.ndarray]]:
        size = int(np.prod(shape))
        one = st.lists(element, min_size=size, max_size=size).map(lambda v: np.array(v, np.float64).reshape(shape))
        return st.lists(one, min_size=2, max_size=2)

    def body(session: tc.Session, arrays: list[np.ndarray]) -> None:
        x, y = arrays
        a, b = session.input(x, 0, range=(-32, 32)), session.input(y, 1, range=(-32, 32))
        product, scaled, small, total = tc.reveal(a * b, (a - b) * 0.125, a * b * b, (a + b).sum())
        np.testing.assert_allclose(product, x * y, rtol=0, atol=36 * unit)
        np.testing.assert_allclose(scaled, (x - y) / 8, rtol=0, atol=2 * unit)
        np.testing.assert_allclose(small, x * y * y, rtol=0, atol=36 * 64 * unit)
        np.testing.assert_allclose(total, (x + y).sum(), rtol=0, atol=(x.size + 1) * unit)

    check(place, SHAPES.flatmap(pair), body)


def test_bools_agree(place):
    def pair(shape: tuple[int, ...]) -> st.SearchStrategy[list[np.ndarray]]:
        size = int(np.prod(shape))
        one = st.lists(st.booleans(), min_size=size, max_size=size).map(lambda v: np.array(v, bool).reshape(shape))
        return st.lists(one, min_size=2, max_size=2)

    def body(session: tc.Session, arrays: list[np.ndarray]) -> None:
        x, y = arrays
        a, b = session.input(x, 0), session.input(y, None)
        got = tc.reveal(a & b, a | b, a ^ b, ~a, a.sum(), tc.any(b), tc.all(a))
        want = [x & y, x | y, x ^ y, ~x, x.sum(), y.any(), x.all()]
        for value, expected in zip(got, want, strict=True):
            np.testing.assert_array_equal(value, expected)

    check(place, SHAPES.flatmap(pair), body)
