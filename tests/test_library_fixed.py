"""Products, scaling, floor and convolution against Python integers, at the cost that dry says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import dry_cost, run_plain, run_rep3
from tacit.library import fixed
from tacit.library.accuracy import BOUNDS


def convolution(x: np.ndarray, w: np.ndarray, stride: tuple[int, int], padding: tuple[int, int]) -> np.ndarray:
    """The definition, in Python integers."""
    (sh, sw), (ph, pw) = stride, padding
    padded = np.pad(x.astype(object), ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    n, o, kh, kw = x.shape[0], *w.shape[:1], *w.shape[2:]
    oh, ow = (padded.shape[2] - kh) // sh + 1, (padded.shape[3] - kw) // sw + 1
    out = np.zeros((n, o, oh, ow), dtype=object)
    for i in range(oh):
        for j in range(ow):
            patch = padded[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw]
            out[:, :, i, j] = (patch[:, None] * w.astype(object)[None]).sum(axis=(2, 3, 4))
    return out


def within(program: Any, exact_result: np.ndarray, f: int, exact: bool, *inputs: np.ndarray) -> None:
    """rep3 and plain are as close to a rational result / 2^f as promised, and dry costs what rep3 sent."""
    result, traffic = run_rep3(program, *inputs)
    promise = (BOUNDS["mul"].units - (0.5 if exact else 0)) * 2**f if f else 0
    for got in (result, run_plain(program, *inputs)):
        off = np.abs(got.view(np.int64).astype(object) * 2**f - exact_result)
        assert (off <= promise).all()
    assert result.shape == exact_result.shape
    assert dry_cost(program, *inputs) == traffic.cost


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("f", [0, 8, 18, 24])
def test_products_are_rounded_as_promised(f: int, exact: bool) -> None:
    rng = np.random.default_rng(f)
    x, y = rng.integers(-(2**30), 2**30, (5, 40)), rng.integers(-(2**30), 2**30, (40,))
    a, b = x.astype(object), y.astype(object)
    within(lambda box, u, v: fixed.mul(box, u, v, f, exact), a * b, f, exact, x, y)
    within(lambda box, u: fixed.square(box, u, f, exact), a * a, f, exact, x)
    half = y[:, None] >> 5
    within(lambda box, u, v: fixed.matmul(box, u, v, f, exact), a @ half.astype(object), f, exact, x, half)


@pytest.mark.parametrize(
    "shapes", [((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2)), ((2, 3, 4), (4, 5)), ((3, 0), (0, 2))]
)
def test_matrix_products_have_numpys_shapes(shapes) -> None:
    rng = np.random.default_rng(1)
    x, y = (rng.integers(-(2**20), 2**20, shape) for shape in shapes)
    expected = np.asarray(np.matmul(x, y)).astype(object)
    within(lambda box, u, v: fixed.matmul(box, u, v, 0), expected, 0, False, x, y)
    within(lambda box, u, v: fixed.matmul(box, u, v, 18), expected, 18, False, x, y)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
def test_convolution_is_its_definition(stride: tuple[int, int], padding: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    x, w = rng.integers(-(2**25), 2**25, (2, 3, 6, 5)), rng.integers(-(2**25), 2**25, (4, 3, 3, 2))
    expected = convolution(x, w, stride, padding)
    for f, exact in ((0, False), (18, False), (18, True)):

        def program(box, u, v, f=f, exact=exact):
            return fixed.conv2d(box, u, v, stride=stride, padding=padding, f=f, exact=exact)

        within(program, expected, f, exact, x, w)


def test_convolution_costs_only_by_the_size_of_its_result() -> None:
    x, w = np.zeros((2, 3, 8, 8), dtype=np.int64), np.zeros((4, 3, 3, 3), dtype=np.int64)
    conv = dry_cost(lambda box, u, v: fixed.conv2d(box, u, v, stride=(1, 1), padding=(1, 1), f=18), x, w)
    flat = np.zeros(2 * 4 * 8 * 8, dtype=np.int64)
    assert conv == dry_cost(lambda box, u, v: fixed.mul(box, u, v, 18), flat, flat)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20),
    st.integers(-(2**20), 2**20),
    st.integers(0, 61),
    st.booleans(),
)
def test_scaling_by_a_public_fraction_rounds_once(values: list[int], numerator: int, shift: int, exact: bool) -> None:
    x = np.array(values)
    expected = x.astype(object) * numerator
    within(lambda box, u: fixed.scale(box, u, numerator, shift, exact), expected, shift, exact, x)


@pytest.mark.parametrize("f", [1, 8, 18, 40])
def test_floor_is_exact_and_goes_down_for_negative_numbers(f: int) -> None:
    edge = [k * 2**f + d for k in (-3, -1, 0, 1, 2**20) for d in (-1, 0, 1)]
    x = np.array([*edge, 2**61, -(2**61)], dtype=np.int64)
    result, traffic = run_rep3(lambda box, u: fixed.floor(box, u, f), x)
    np.testing.assert_array_equal(result.view(np.int64), x >> f)
    assert dry_cost(lambda box, u: fixed.floor(box, u, f), x) == traffic.cost
