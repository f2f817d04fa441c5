"""The fixed-point functions keep the promises of accuracy.py however truncations round, at their declared cost."""

from __future__ import annotations

import hashlib
import inspect
from functools import partial
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness import dry_cost, run, run_plain, run_rep3
from reference.functions import CASES, RAW_MAX, Case, errors, points, rounding_boxes, truths
from tacit.errors import InputError
from tacit.library import approximation, fixed, nonlinear, normalise
from tacit.library.accuracy import BOUNDS
from tacit.library.normalise import FRACTION, leading, windows
from tacit.plan.functions import FUNCTION_BOUNDS
from tacit.protocols.network import NETWORKS

CURVES = ("reciprocal", "sqrt", "rsqrt", "exp", "log", "sigmoid", "tanh")
LOOPBACK = NETWORKS["loopback"]
DEFAULT = 2**30
"""The raw range of a fixed(18) input for which none was declared: +-2^12."""


def allowed(name: str, truth: np.ndarray, f: int, exact: bool = False) -> np.ndarray:
    """The promised error in units of the last place."""
    bound = BOUNDS[name]
    return np.array([bound.allowed(float(t) / 2.0**f, f, exact) * 2.0**f for t in truth])


def assert_promise(case: Case, result: np.ndarray, inputs: list[np.ndarray], f: int, exact: bool = False) -> None:
    truth = truths(case, f, inputs)
    excess = errors(result, truth) - allowed(case.name, truth, f, exact)
    worst = int(np.argmax(excess))
    assert excess[worst] <= 1e-9, (case.name, f, [int(x[worst]) for x in inputs], float(excess[worst]))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("f", [8, 18, 24])
@pytest.mark.parametrize("name", CASES)
def test_errors_stay_within_the_promise_over_the_whole_range_however_truncations_round(
    name: str, f: int, exact: bool
) -> None:
    case = CASES[name]
    inputs = case.inputs(f, 1500)
    for box in rounding_boxes():
        result, _ = run([box], lambda b, *s: case.program(b, *s, f, exact), *inputs)
        assert_promise(case, result, inputs, f, exact)


@pytest.mark.parametrize("name", CASES)
def test_rep3_keeps_the_promise_at_the_cost_that_dry_says(name: str) -> None:
    case = CASES[name]
    for f, exact in ((18, False), (18, True), (24, False)):
        inputs = case.inputs(f, 600)

        def program(box, *shares, f=f, exact=exact):
            return case.program(box, *shares, f, exact)

        result, traffic = run_rep3(program, *inputs)
        assert_promise(case, result, inputs, f, exact)
        assert dry_cost(program, *inputs) == traffic.cost


def test_a_tampered_approximation_breaks_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    right = approximation.exp2_coefficients(FRACTION)
    wrong = (*right[:4], right[4] + (right[4] >> 12), *right[5:])
    monkeypatch.setattr(approximation, "exp2_coefficients", lambda bits: wrong)
    inputs = CASES["exp"].inputs(18, 1500)

    result = run_plain(lambda b, x: nonlinear.exp(b, x, 18), *inputs)

    with pytest.raises(AssertionError):
        assert_promise(CASES["exp"], result, inputs, 18)


@st.composite
def intervals(draw: st.DrawFn) -> tuple[int, int]:
    """Raw intervals of every size and place, often with an end at zero or at a power of two."""
    end = st.one_of(
        st.integers(-RAW_MAX, RAW_MAX),
        st.builds(lambda k, s, d: s * 2**k + d, st.integers(0, 60), st.sampled_from([1, -1]), st.integers(-1, 1)),
        st.sampled_from([0, 1, -1, RAW_MAX, -RAW_MAX]),
    )
    lo, hi = sorted((draw(end), draw(end)))
    return lo, hi


def inside(lo: int, hi: int, n: int = 60) -> np.ndarray:
    """Points of an interval: its ends, powers of two, magnitudes of every size, and uniform ones."""
    rng = np.random.default_rng([lo % 2**63, hi % 2**63])
    spread = points(18, 400 + n)
    spread = np.concatenate([[lo, hi], rng.integers(lo, hi, n, endpoint=True), spread])
    return np.unique(spread[(spread >= lo) & (spread <= hi)])


@pytest.mark.parametrize("name", CURVES)
@settings(max_examples=30, deadline=None)
@given(bounds=intervals(), f=st.sampled_from([8, 18, 24]), exact=st.booleans())
@example(bounds=(-1, 0), f=8, exact=False)
def test_known_bounds_change_the_cost_and_not_the_promise(name, bounds, f, exact) -> None:
    x = inside(*bounds)
    function = getattr(nonlinear, name)

    def program(box, v):
        return function(box, v, f, bounds=bounds, exact=exact)

    for box in rounding_boxes()[1:]:
        result, _ = run([box], program, x)
        assert_promise(CASES[name], result, [x], f, exact)
    result, traffic = run_rep3(program, x)
    assert_promise(CASES[name], result, [x], f, exact)
    assert dry_cost(program, x) == traffic.cost
    everything = dry_cost(lambda b, v: function(b, v, f, exact=exact), x)
    took, whole = (LOOPBACK.seconds(c.rounds, c.bytes_total, 3) for c in (traffic, everything))
    assert took <= whole and traffic.rounds <= everything.rounds


@settings(max_examples=60, deadline=None)
@given(bounds=intervals(), dividend=intervals(), f=st.sampled_from([8, 18, 24]), exact=st.booleans())
@example(bounds=(0, 0), dividend=(2**37, 2**37 + 1), f=24, exact=False)
@example(bounds=(-1, 0), dividend=(0, 1), f=18, exact=False)
def test_division_keeps_its_promise_for_any_known_bounds(bounds, dividend, f, exact) -> None:
    y, x = inside(*bounds), inside(*dividend)
    n = max(x.size, y.size)
    x, y = np.resize(x, n), np.random.default_rng(f).permutation(np.resize(y, n))
    true = np.abs(x.astype(np.longdouble)) * 2.0**f / np.maximum(np.abs(y.astype(np.longdouble)), 1)
    x[(true >= 2.0**60) & (true <= 2.0**61 * 1.001)] = np.clip(0, *dividend)
    keep = np.abs(x.astype(np.longdouble)) * 2.0**f / np.maximum(np.abs(y.astype(np.longdouble)), 1) < 2.0**60
    keep |= true > 2.0**61 * 1.001
    x, y = x[keep], y[keep]
    if not x.size:
        return

    def program(box, u, v):
        return nonlinear.divide(box, u, v, f, bounds=bounds, dividend=dividend, exact=exact)

    result, traffic = run_rep3(program, x, y)
    assert_promise(CASES["divide"], result, [x, y], f, exact)
    assert_promise(CASES["divide"], run_plain(program, x, y), [x, y], f, exact)
    assert dry_cost(program, x, y) == traffic.cost


@pytest.mark.parametrize("name", [*CURVES, "divide"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (65,), (2, 3)])
def test_every_shape_is_kept(name: str, shape: tuple[int, ...]) -> None:
    x = np.full(shape, 3 << 18)
    arguments = [x, x] if name == "divide" else [x]

    def program(box, *shares):
        return getattr(nonlinear, name)(box, *shares, 18)

    result, traffic = run_rep3(program, *arguments)
    assert result.shape == shape
    assert dry_cost(program, *arguments) == traffic.cost


def test_division_broadcasts_and_is_exact_where_the_quotient_is() -> None:
    x, y = np.array([[6], [-9]]) << 18, np.array([3, 2, -1]) << 18
    result, _ = run_rep3(lambda b, u, v: nonlinear.divide(b, u, v, 18, exact=True), x, y)
    np.testing.assert_array_equal(result.view(np.int64), (np.array([[2, 3, -6], [-3, -4.5, 9]]) * 2**18).astype(int))


def test_outside_their_domains_functions_saturate_as_documented() -> None:
    f = 18
    one = 1 << f
    least, most = nonlinear.exp_domain(f)
    expected = {
        "reciprocal": {0: 1 << (2 * f)},
        "sqrt": {0: 0, -1: 0, -RAW_MAX: 0},
        "rsqrt": {0: 1 << (f + f // 2), -5: 1 << (f + f // 2), -RAW_MAX: 1 << (f + f // 2)},
        "log": {x: int(mpmath.nint(-f * mpmath.log(2) * one)) for x in (0, -1, -RAW_MAX)},
        "exp": {
            least - 1: 0,
            -RAW_MAX: 0,
            most + 1: approximation.exp_of(most, f),
            RAW_MAX: approximation.exp_of(most, f),
        },
        "sigmoid": {-16 * one - 1: 0, -RAW_MAX: 0, 16 * one: one, RAW_MAX: one},
        "tanh": {-8 * one - 1: -one, -RAW_MAX: -one, 8 * one: one, RAW_MAX: one},
    }
    for name, table in expected.items():
        x = np.array(list(table), dtype=np.int64)
        result, _ = run_rep3(lambda b, v, name=name: getattr(nonlinear, name)(b, v, f, exact=True), x)
        wanted = np.array(list(table.values()), dtype=np.int64)
        np.testing.assert_allclose(result.view(np.int64), wanted, rtol=2.0**-27, atol=0, err_msg=name)


def test_cheap_results_are_unbiased() -> None:
    x = np.full(20_000, 11 << 16)
    for name, true in (("reciprocal", 4 / 11), ("sqrt", 2.75**0.5), ("sigmoid", 1 / (1 + np.exp(-2.75)))):
        result, _ = run_rep3(lambda b, v, name=name: getattr(nonlinear, name)(b, v, 18), x)
        mean = result.view(np.int64).mean()
        # One coin has a deviation of half a unit at most: 5 of the mean's are 0.02; the rest is the approximation.
        assert abs(mean - true * 2**18) < 0.08, name


@pytest.mark.parametrize("f", [7, 25, 40])
def test_other_fraction_bits_are_refused_with_a_way_out(f: int) -> None:
    for name in CURVES:
        with pytest.raises(InputError, match=r"INPUT-601.*cast"):
            run_plain(lambda b, v, name=name: getattr(nonlinear, name)(b, v, f), np.array([1]))


def test_the_domain_of_exp_ends_where_the_plan_says() -> None:
    for f in range(8, 25):
        assert nonlinear.exp_domain(f)[1] == FUNCTION_BOUNDS["exp"].domain(f).hi
        assert nonlinear.exp_domain(f)[0] < FUNCTION_BOUNDS["exp"].domain(f).lo


def test_every_function_of_the_library_has_a_promise_and_a_case() -> None:
    def functions(module):
        return {n for n, v in vars(module).items() if inspect.iscoroutinefunction(v) and not n.startswith("_")}

    imported = functions(normalise) | {"gather"}
    # The error of a softmax depends on the length of the row; its own tests have it.
    offered = functions(nonlinear) - imported - {"softmax"}
    # Plain functions that hand out the coroutine of a product.
    products = {"mul", "square", "matmul"}
    assert offered | products | functions(fixed) - {"floor", "gather"} == set(BOUNDS)
    assert set(CASES) == set(BOUNDS) - {"matmul", "conv2d"}


# --- softmax ---------------------------------------------------------------------------------------------------


def _rows(f: int, length: int) -> np.ndarray:
    """Random rows, and those that are hardest: equal, far apart, one above all others, at the ends of the range."""
    rng = np.random.default_rng([f, length])
    x = rng.uniform(-8, 8, (64, length)) * 2.0**f
    x[0], x[1], x[2] = 0, np.linspace(-(2.0**59), 2.0**59, length), -(2.0**59)
    x[2, 0] = 2.0**59
    x[3] = np.linspace(0, 2, length)
    return np.rint(x).astype(np.int64)


def _assert_softmax(result: np.ndarray, x: np.ndarray, f: int) -> None:
    power = np.exp((x - x.max(axis=-1, keepdims=True)) / np.longdouble(2**f))
    true = power / power.sum(axis=-1, keepdims=True) * 2**f
    assert np.max(np.abs(result.view(np.int64) - true)) <= 3 + x.shape[-1]
    assert result.view(np.int64).min() >= 0


@pytest.mark.parametrize("f", [8, 18, 20, 24])
@pytest.mark.parametrize("length", [1, 2, 3, 10, 16, 17, 100])
def test_softmax_is_right_however_truncations_round(f: int, length: int) -> None:
    x = _rows(f, length)
    for box in rounding_boxes():
        result, _ = run([box], lambda b, u: nonlinear.softmax(b, u, f, bounds=(-(2**59), 2**59)), x)
        _assert_softmax(result, x, f)


def test_softmax_under_rep3_costs_what_dry_says_and_few_rounds() -> None:
    for shape in ((4, 10), (3, 2, 5), (2, 30)):
        x = _rows(18, shape[-1])[: int(np.prod(shape[:-1]))].reshape(shape)
        for exact in (False, True):
            program = partial(_softmax, exact)
            result, traffic = run_rep3(program, x)
            _assert_softmax(result, x, 18)
            assert traffic.cost == dry_cost(program, x)
    assert dry_cost(partial(_softmax, False), np.zeros((128, 10), np.int64)).rounds == 49


async def _softmax(exact: bool, box, x):
    return await nonlinear.softmax(box, x, 18, bounds=(-(2**59), 2**59), exact=exact)


def test_the_line_that_begins_a_reciprocal_leads_to_it_in_the_steps_it_says() -> None:
    for most in range(1, 17):
        for f in (8, 18, 20):
            slope, height, steps = approximation.reciprocal_line(most, f, FRACTION)
            x = np.linspace(1, most, 1001)
            error = 1 - x * (height / 2.0**FRACTION - x * slope / 2.0 ** (FRACTION - f))
            assert np.max(np.abs(error)) ** (2**steps) <= 2.0 ** -(f + 2)


# --- tables and normalisation ----------------------------------------------------------------------------------


def test_tables_are_the_same_bits_everywhere() -> None:
    digest = hashlib.sha256()
    for name in ("exp2", "log", "sqrt", "rsqrt"):
        digest.update(repr(getattr(approximation, f"{name}_coefficients")(FRACTION)).encode())
    for f in (8, 18, 24):
        for cells in ((9, 4, 1), (13, 5, 2)):
            spline = approximation.sigmoid_spline(*cells, nonlinear.sigmoid_bits(f))
            digest.update(spline.table.tobytes() + bytes(spline.widths) + repr(spline.lowest).encode())
        digest.update(repr(approximation.exp_of(nonlinear.exp_domain(f)[1], f)).encode())
    digest.update(repr([approximation.constant(n, 56) for n in ("ln2", "log2e", "sqrt2")]).encode())
    assert digest.hexdigest() == GOLDEN


def test_an_interpolant_of_a_polynomial_is_that_polynomial() -> None:
    assert approximation.chebyshev(lambda z: 3 - z + 5 * z * z * z, 4, 20) == (3 << 20, -1 << 20, 0, 5 << 20, 0)


def test_a_word_of_the_sigmoid_table_fits_for_every_fraction() -> None:
    for f in range(8, 25):
        for cells in ((9, 4, 1), (10, 5, 2)):
            spline = approximation.sigmoid_spline(*cells, nonlinear.sigmoid_bits(f))
            assert sum(spline.widths) <= 64 and len(spline.table) == 2 ** cells[0]


@settings(max_examples=80, deadline=None)
@given(bounds=intervals(), positive=st.booleans())
def test_the_exponent_is_that_of_the_mantissa(bounds: tuple[int, int], positive: bool) -> None:
    lo, hi = bounds
    if not positive and hi <= 0:
        return
    x = inside(lo, hi)
    limits = {}

    async def program(box, v):
        top = await leading(box, v, bounds, positive=positive)
        limits["first"], limits["last"] = top.first, top.last
        flags = [box.constant_bits(np.zeros(v.shape, np.uint64), 1) if b is None else b for b in (top.none, top.sign)]
        return [top.hot, *flags]

    (hot, none, sign), _ = run_rep3(program, x)
    for value, word, nothing, negative in zip(x.tolist(), hot.tolist(), none.tolist(), sign.tolist(), strict=True):
        missing = value <= 0 if positive else value == 0
        assert nothing == missing and negative == (value < 0)
        assert word.bit_count() == (not missing)
        if not missing:
            p = limits["first"] + word.bit_length() - 1
            assert 2**p <= 2 * abs(value) and abs(value) <= 2**p and p <= limits["last"]


def test_windows_cover_every_exponent_once_and_fit() -> None:
    for low in range(-40, 61):
        for high in range(low, 61):
            found = windows(low, high)
            assert [e for a, b in found for e in range(a, b + 1)] == list(range(max(low, -1), high + 1))
            assert all(b - a <= FRACTION for a, b in found)
            assert all(b <= c[0] for (_, b), c in pairwise(found))


GOLDEN = "05a353ba486f0bda39caa15f91f487ac1a93b55e4db77648da1aba88a252cf08"
