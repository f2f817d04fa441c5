"""Products with public numbers, means and variances are as accurate as they say, or refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from plan_oracle import Oracle
from tacit.errors import InputError, PlanError

ULP = Fraction(1, 2**18)
RNG = np.random.default_rng(3)


def error_in_ulps(got: Any, want: list[Fraction]) -> Fraction:
    return max(abs(Fraction(float(g)) - w) / ULP for g, w in zip(np.ravel(got), want, strict=True))


factors = st.one_of(
    st.floats(-1e6, 1e6, allow_nan=False, allow_subnormal=False),
    st.floats(-1.0, 1.0, allow_nan=False, allow_subnormal=False),
    st.sampled_from([0.0, 0.1, 0.5, -0.25, 3.0, 1 / 3, 1e-5, 2.0**-30, 1 - 2.0**-30]),
)


@settings(max_examples=150, deadline=None)
@given(factor=factors, bits=st.integers(1, 31), data=st.data(), array=st.booleans())
def test_products_with_public_numbers_are_within_two_units(factor: float, bits: int, data: Any, array: bool) -> None:
    """GIVEN integers of some declared range, WHEN multiplied by any float, THEN the error is at most 2 ulp."""
    assume(abs(factor) * 2**bits < 2**34)  # so that float64 holds the result
    o = Oracle()
    values = np.array([data.draw(st.integers(-(2**bits), 2**bits)) for _ in range(3)])
    x = o.input(values, range=(-(2**bits), 2**bits))
    got = (x * (np.full(3, factor) if array else factor)).reveal()
    assert error_in_ulps(got, [Fraction(int(v)) * Fraction(factor) for v in values]) <= 2


@settings(max_examples=80, deadline=None)
@given(factor=factors, bits=st.integers(1, 18), data=st.data())
def test_products_of_fixed_point_with_public_numbers_are_within_two_units(factor: float, bits: int, data: Any) -> None:
    o = Oracle()
    values = np.array([data.draw(st.integers(-(2 ** (bits + 18)), 2 ** (bits + 18))) for _ in range(3)])
    x = o.input(values / 2**18, range=(-(2**bits), 2**bits))
    got = (x * factor).reveal()
    assert error_in_ulps(got, [Fraction(int(v), 2**18) * Fraction(factor) for v in values]) <= 2


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100, 4097])
@pytest.mark.parametrize("bits", [4, 17, 31])
def test_means_of_integers_are_within_two_units(n: int, bits: int) -> None:
    values = RNG.integers(-(2**bits), 2**bits, n, endpoint=True)
    got = Oracle().input(values, range=(-(2**bits), 2**bits)).mean().reveal()
    assert error_in_ulps(got, [Fraction(sum(map(int, values)), n)]) <= 2


def test_means_of_millions_of_values_with_the_default_range_are_accurate() -> None:
    for values in (RNG.integers(0, 10**6, 10**6), np.rint(RNG.normal(size=10**6) * 2**24) / 2**18):
        got = Oracle().input(values).mean().reveal()
        exact = Fraction(int(np.sum(values * 2**18).astype(object)), 10**6 * 2**18)
        assert error_in_ulps(got, [exact]) <= 2


def test_a_mean_costs_few_truncations() -> None:
    o = Oracle()
    for values, range_, most in [
        (RNG.normal(size=1000), (-8, 8), 1),
        (RNG.normal(size=1000), None, 2),
        (RNG.integers(0, 90, 1000), (0, 120), 1),
        (np.array([52_000, 61_500]), None, 2),
    ]:
        o.input(values, range=range_).mean().reveal()
        assert o.plan is not None
        assert sum(n.op == "scale" and n.attrs["shift"] > 0 for n in o.plan.nodes) <= most


def scalings(o: Oracle) -> tuple[int, list[tuple[int, int]]]:
    """How many nodes of the plan truncate after a product, and numerator and shift of its products."""
    assert o.plan is not None
    products = [n.attrs for n in o.plan.nodes if n.op in ("mul", "square", "matmul")]
    scales = sum(n.op == "scale" and n.attrs["shift"] > 0 for n in o.plan.nodes)
    return scales, [(a["numerator"], a["shift"]) for a in products]


def test_a_product_and_its_scaling_are_truncated_once() -> None:
    x, w = RNG.uniform(-1, 1, (7, 50)), RNG.uniform(-1, 1, 50)
    for factor in (2.0**-10, 0.01, -0.01):
        for product in (lambda a, b: a @ b, lambda a, b: a * b, lambda a, b: (a + b) ** 2):
            o = Oracle()
            a, b = o.input(x, range=(-1, 1)), o.input(w, party=1, range=(-1, 1))
            got = (factor * product(a, b)).reveal()
            left, ((numerator, shift),) = scalings(o)
            assert left == 0
            assert abs(numerator / 2**shift - factor) < 2.0**-18
            np.testing.assert_allclose(got, factor * product(x, w), rtol=0, atol=(2 + 50 * abs(factor)) * 2.0**-18)


def test_a_product_that_is_used_again_or_has_no_room_is_not_scaled_with_another() -> None:
    x = RNG.uniform(-1, 1, 9)
    o = Oracle()
    a = o.input(x, range=(-1, 1)) + o.input(x, party=1, range=(-1, 1))
    square = a * a
    (square + square * 0.125).reveal()
    assert scalings(o) == (1, [(1, 0)])
    o = Oracle()
    a, b = (o.input(x, party=k, range=(-(2.0**11), 2.0**11)) for k in (0, 1))
    (a * b * 0.3).reveal()
    assert scalings(o)[1] == [(1, 0)]


@pytest.mark.parametrize("correction", [0, 1])
def test_variances_of_integers_of_moderate_range_are_within_two_units(correction: int) -> None:
    for n, bits in [(2, 4), (50, 7), (569, 12), (1000, 15)]:
        values = RNG.integers(-(2**bits), 2**bits, n)
        got = Oracle().input(values, range=(-(2**bits), 2**bits)).var(correction=correction).reveal()
        mean = Fraction(sum(map(int, values)), n)
        exact = sum(((int(v) - mean) ** 2 for v in values), Fraction(0)) / (n - correction)
        assert error_in_ulps(got, [exact]) <= 2


def test_variances_of_wide_integers_and_of_fixed_point_are_relatively_accurate() -> None:
    o = Oracle()
    for values, range_ in [
        (RNG.integers(20_000, 200_000, 10_000), (0, 2**18)),
        (RNG.normal(50_000, 9_000, 1000).astype(int), (0, 2**20)),
        (RNG.normal(size=1000) * 300, None),
        (RNG.normal(size=569) * 0.02 + 0.1, (-8, 8)),
        (RNG.normal(size=569) * 2000 + 800, (0, 8192)),
    ]:
        x = o.input(np.clip(values, *range_) if range_ else values, range=range_)
        reference = np.clip(values, *range_) if range_ else values
        np.testing.assert_allclose(x.var().reveal(), reference.var(), rtol=1e-5, atol=2**-17)
        np.testing.assert_allclose(x.std().reveal(), reference.std(), rtol=1e-5, atol=2**-17)


def test_the_deviation_of_narrow_data_is_better_than_the_root_of_its_variance() -> None:
    values = RNG.normal(size=500) * 0.004 + 0.02
    x = Oracle().input(values, range=(-1, 1))
    assert abs(x.std().reveal() - values.std()) < 2**-17 < abs(np.sqrt(x.var().reveal()) - values.std())


def test_a_range_without_room_is_refused_with_what_to_do() -> None:
    o = Oracle()
    wide = o.input(np.array([1, 2, 3]))
    for use in (
        wide.var,
        lambda: (wide * wide) * 0.1,
        lambda: wide * 1e9,
        lambda: o.input(np.ones(9)) * 1e300,
        lambda: o.input(np.ones(9)) @ np.full(9, 1e300),
    ):
        with pytest.raises((InputError, PlanError)) as caught:
            use()
        assert caught.value.code in ("INPUT-105", "PLAN-009") and "range" in caught.value.next


def test_products_with_public_matrices_are_as_accurate_as_the_range_allows() -> None:
    o = Oracle()
    values, weights = RNG.normal(size=(20, 30)) * 100, RNG.normal(size=(30, 4)) / 1000
    exact = np.rint(values * 2**18) / 2**18
    x = o.input(values, range=(-1024, 1024))
    np.testing.assert_allclose((x @ weights).reveal(), exact @ weights, rtol=0, atol=2 * 2.0**-18)
    np.testing.assert_allclose((weights.T @ x.T).reveal(), weights.T @ exact.T, rtol=0, atol=2 * 2.0**-18)
    counts = RNG.integers(0, 50, (20, 30))
    np.testing.assert_allclose((o.input(counts, range=(0, 64)) @ weights).reveal(), counts @ weights, atol=2 * 2.0**-18)
