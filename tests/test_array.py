"""Arrays compute what NumPy computes: every function against its namesake, on an independent interpreter of plans."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan_oracle import Oracle, multiplications
from tacit.errors import InputError, PlanError, SecretError
from tacit.frontends.program import reveal
from tacit.plan import BOOL, FIXED, INT32, INT64, Private, Public, Secret

RNG = np.random.default_rng(7)
INTS = RNG.integers(-50, 50, size=(4, 5))
FLOATS = RNG.normal(size=(4, 5)) * 3
BOOLS = RNG.random((4, 5)) < 0.4
ULP = 2.0**-18


@pytest.fixture
def o() -> Oracle:
    return Oracle()


def close(got: Any, want: Any, ulps: float = 2.0) -> None:
    np.testing.assert_allclose(got, want, rtol=0, atol=ulps * ULP)


UNARY = {
    "abs": np.abs,
    "negative": np.negative,
    "positive": lambda x: x,
    "square": np.square,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("values", [INTS, FLOATS], ids=["int", "float"])
def test_functions_of_one_argument_agree_with_numpy(o: Oracle, name: str, values: Any) -> None:
    x = o.input(values, range=(-64, 64))
    got = getattr(o.program.namespace, name)(x)
    exact = np.rint(values * 2**18) / 2**18 if values.dtype.kind == "f" else values
    close(got.reveal(), UNARY[name](exact), 1)
    assert got.dtype == (INT64 if values.dtype.kind == "i" else FIXED)


CURVES = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: x**-0.5,
    "reciprocal": lambda x: 1 / x,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("name", CURVES)
def test_curves_agree_with_numpy_for_fixed_and_integer_arguments(o: Oracle, name: str) -> None:
    for values in (np.array([0.5, 1.0, 2.25, 7.0]), np.array([1, 2, 7])):
        x = o.input(values, range=(1 / 4, 8) if values.dtype.kind == "f" else (1, 8))
        close(getattr(o.program.namespace, name)(x).reveal(), CURVES[name](values), 1)


BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
}


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("left", [INTS, FLOATS], ids=["int", "float"])
@pytest.mark.parametrize("right", [INTS[0], FLOATS[:, :1], 3, 2.5], ids=["int", "float", "3", "2.5"])
@pytest.mark.parametrize("public", ["neither", "left", "right"])
def test_functions_of_two_arguments_agree_with_numpy(o: Oracle, name: str, left: Any, right: Any, public: str) -> None:
    def exact(x: Any) -> Any:
        return np.rint(np.asarray(x) * 2**18) / 2**18 if np.asarray(x).dtype.kind == "f" else np.asarray(x)

    x = left if public == "left" else o.input(left, 0, (-64, 64))
    y = right if public == "right" else o.input(right, 1, (-64, 64))
    got = getattr(o.program.namespace, name)(x, y).reveal()
    if name == "multiply":
        # A public factor is used as it is, not as the nearest fixed-point number.
        close(got, (left if public == "left" else exact(left)) * (right if public == "right" else exact(right)))
    else:
        np.testing.assert_array_equal(got, BINARY[name](exact(left), exact(right)))


def test_operators_take_public_numbers_and_arrays_on_both_sides(o: Oracle) -> None:
    x = o.input(INTS, range=(-64, 64))
    for got, want in [
        (x + 1, INTS + 1),
        (1 + x, INTS + 1),
        (INTS - x, INTS * 0),
        (10 - x, 10 - INTS),
        (x * np.int64(3), INTS * 3),
        (INTS * x, INTS * INTS),
        (-x, -INTS),
        (+x, INTS),
        (abs(x), abs(INTS)),
        (x**2, INTS**2),
        (x**3, INTS**3),
        (x**0, INTS**0),
        (x // 7, INTS // 7),
        (x % 7, INTS % 7),
        (x // -3, INTS // -3),
        (x % -3, INTS % -3),
        (x // np.array([1, 2, 3, 5, 1000]), INTS // np.array([1, 2, 3, 5, 1000])),
        (x > 3, INTS > 3),
        (INTS[0] > x, INTS[0] > INTS),
        ((x > 3) & (x < 9), (INTS > 3) & (INTS < 9)),
        ((x > 3) | (x < -9), (INTS > 3) | (INTS < -9)),
        ((x > 3) ^ (x < 9), (INTS > 3) ^ (INTS < 9)),
        (~(x > 3), ~(INTS > 3)),
        (BOOLS & (x > 3), BOOLS & (INTS > 3)),
        (x @ INTS.T, INTS @ INTS.T),
        (INTS.T @ x, INTS.T @ INTS),
        (x.T @ x, INTS.T @ INTS),
    ]:
        np.testing.assert_array_equal(got.reveal(), want)


def test_division_is_fixed_point_and_accurate_for_public_divisors(o: Oracle) -> None:
    x, y = o.input(INTS), o.input(FLOATS)
    close((x / 7).reveal(), INTS / 7)
    close((x / np.arange(1, 6)).reveal(), INTS / np.arange(1, 6))
    close((y / 1000.0).reveal(), FLOATS / 1000, 3)
    close((1 / o.input(np.array([0.5, 3.0]), range=(0.25, 4))).reveal(), [2, 1 / 3])
    close((x / o.input(np.full((4, 5), 3), 1, (1, 8))).reveal(), INTS / 3, 3)
    close((y // 0.75).reveal(), FLOATS // 0.75)
    with pytest.raises(InputError, match="INPUT-107"):
        _ = x / 0


def test_integers_floor_divide_exactly_at_every_multiple(o: Oracle) -> None:
    values = np.concatenate([np.arange(-40, 40), 2**31 - np.arange(5), -(2**31) + np.arange(5)])
    for divisor in (1, 2, 3, 7, 10, 999_983, 2**31 - 1, -5):
        np.testing.assert_array_equal((o.input(values) // divisor).reveal(), values // divisor)
    with pytest.raises(InputError, match="INPUT-105"):
        _ = o.input(values) // 2**40


def test_bool_is_counted_multiplied_and_chosen_with(o: Oracle) -> None:
    b, x = o.input(BOOLS), o.input(INTS)
    np.testing.assert_array_equal(b.sum(axis=0).reveal(), BOOLS.sum(axis=0))
    np.testing.assert_array_equal((b * x).reveal(), BOOLS * INTS)
    np.testing.assert_array_equal((x * BOOLS).reveal(), BOOLS * INTS)
    np.testing.assert_array_equal((b + 1).reveal(), BOOLS + 1)
    np.testing.assert_array_equal((b == True).reveal(), BOOLS)  # noqa: E712 (an elementwise comparison)
    np.testing.assert_array_equal((b != BOOLS).reveal(), BOOLS & False)
    close(b.mean().reveal(), BOOLS.mean())
    assert b.dtype == BOOL and (b + b).dtype == INT64


def test_where_chooses_by_secret_and_by_public_conditions(o: Oracle) -> None:
    xp = o.program.namespace
    x, y = o.input(INTS), o.input(FLOATS, 1)
    np.testing.assert_array_equal(xp.where(x > 3, x, -1).reveal(), np.where(INTS > 3, INTS, -1))
    np.testing.assert_array_equal(xp.where(BOOLS, x, 0).reveal(), np.where(BOOLS, INTS, 0))
    np.testing.assert_array_equal(xp.where(x > 0, x > 5, BOOLS).reveal(), np.where(INTS > 0, INTS > 5, BOOLS))
    np.testing.assert_array_equal(xp.where(x > 0, 1, 2).reveal(), np.where(INTS > 0, 1, 2))
    close(xp.where(x > 3, x, y).reveal(), np.where(INTS > 3, INTS, FLOATS))
    close(xp.where(BOOLS, y, 0.5).reveal(), np.where(BOOLS, FLOATS, 0.5))


REDUCTIONS = ["sum", "mean", "var", "std", "min", "max", "any", "all"]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), (0, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_agree_with_numpy(o: Oracle, name: str, axis: Any, keepdims: bool) -> None:
    for values in (RNG.integers(-3, 9, (2, 3, 4)), RNG.normal(size=(2, 3, 4))):
        got = getattr(o.input(values, range=(-16, 16)), name)(axis=axis, keepdims=keepdims)
        want = getattr(values, name)(axis=axis, keepdims=keepdims)
        assert got.shape == want.shape
        close(got.reveal(), want, 24)


def test_products_and_positions_agree_with_numpy(o: Oracle) -> None:
    xp = o.program.namespace
    small = RNG.integers(-3, 4, (3, 5))
    x = o.input(small, range=(-4, 4))
    np.testing.assert_array_equal(x.prod(axis=1).reveal(), small.prod(axis=1))
    np.testing.assert_array_equal(x.prod(axis=0, keepdims=True).reveal(), small.prod(axis=0, keepdims=True))
    for axis in (None, 0, 1):
        np.testing.assert_array_equal(x.argmax(axis=axis).reveal(), small.argmax(axis=axis))
        np.testing.assert_array_equal(x.argmin(axis=axis).reveal(), small.argmin(axis=axis))
    np.testing.assert_array_equal(xp.cumulative_sum(x, axis=1).reveal(), small.cumsum(axis=1))
    want = np.concatenate([np.zeros((3, 1), int), small.cumsum(axis=1)], axis=1)
    np.testing.assert_array_equal(xp.cumulative_sum(x, axis=1, include_initial=True).reveal(), want)
    assert xp.count_nonzero(x).reveal() == np.count_nonzero(small)


def test_a_way_to_sort_that_opens_something_is_asked_for_and_listed(o: Oracle) -> None:
    xp = o.program.namespace
    x = o.input(INTS) + o.input(INTS, 1)
    xp.sort(x).reveal()
    assert o.plan is not None and not [d for d in o.plan.disclosures() if d.kind == "opening"]
    np.testing.assert_array_equal(xp.sort(x, strategy="shuffle").reveal(), np.sort(2 * INTS))
    order = xp.argsort(x, axis=0, strategy="shuffle").reveal()
    np.testing.assert_array_equal(order, np.argsort(INTS, axis=0, kind="stable"))
    (line,) = [str(d) for d in o.plan.disclosures() if d.kind == "opening"]
    assert (
        line.startswith("argsort of `input0` of p0 plus `input1` of p1 (%")
        and "opens the outcomes of comparisons between randomly shuffled" in line
    )
    assert line.endswith("a random pattern that does not depend on the data, to everyone")
    with pytest.raises(PlanError, match="PLAN-006"):
        xp.sort(x, strategy="quick")


def test_sorting_agrees_with_numpy(o: Oracle) -> None:
    xp = o.program.namespace
    x = o.input(INTS)
    np.testing.assert_array_equal(xp.sort(x).reveal(), np.sort(INTS))
    np.testing.assert_array_equal(xp.sort(x, axis=0, descending=True).reveal(), -np.sort(-INTS, axis=0))
    np.testing.assert_array_equal(xp.argsort(x, axis=0).reveal(), np.argsort(INTS, axis=0, kind="stable"))


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(1, 3),
        (slice(None), 2),
        (..., 1),
        (None, slice(None, None, -1)),
        (1, 2),
        np.int64(2),
        np.array([3, 0, 0]),
        [1, 2],
        (slice(None), np.array([4, 4, -1])),
        (np.array([0, 1]), np.array([2, 3])),
        BOOLS,
        np.array([True, False, True, True]),
        (slice(None), np.array([True, False, True, True, False])),
        (np.array([[0, 1], [2, 3]]), slice(1, 4)),
        (..., np.array([0, 2])),
        (None, np.array([1, 3])),
        np.array([], int),
    ],
    ids=repr,
)
def test_public_indices_pick_what_numpy_picks(o: Oracle, index: Any) -> None:
    np.testing.assert_array_equal(o.input(INTS)[index].reveal(), INTS[index])


def test_rearranging_agrees_with_numpy(o: Oracle) -> None:
    xp = o.program.namespace
    values = np.arange(24).reshape(2, 3, 4)
    x, y = o.input(values, range=(-32, 32)), o.input(-values, 1, (-32, 32))
    for got, want in [
        (x.reshape(6, -1), values.reshape(6, -1)),
        (x.reshape((24,)), values.reshape(24)),
        (x.flatten(), values.ravel()),
        (x.T, values.T),
        (x.mT, np.swapaxes(values, 1, 2)),
        (x.transpose(1, 0, 2), values.transpose(1, 0, 2)),
        (xp.permute_dims(x, (2, 0, 1)), values.transpose(2, 0, 1)),
        (xp.moveaxis(x, 0, -1), np.moveaxis(values, 0, -1)),
        (xp.expand_dims(x, axis=1), np.expand_dims(values, 1)),
        (xp.expand_dims(x, axis=(0, -1)), np.expand_dims(values, (0, -1))),
        (xp.squeeze(x[:1], axis=0), values[0]),
        (x[:1].squeeze(), values[0]),
        (xp.broadcast_to(x[0, 0], (5, 4)), np.broadcast_to(values[0, 0], (5, 4))),
        (xp.broadcast_arrays(x, 1)[1], np.ones_like(values)),
        (xp.flip(x), np.flip(values)),
        (xp.flip(x, axis=(0, 2)), np.flip(values, axis=(0, 2))),
        (xp.roll(x, 5), np.roll(values, 5)),
        (xp.roll(x, (1, -1), axis=(1, 2)), np.roll(values, (1, -1), axis=(1, 2))),
        (xp.repeat(x, 2, axis=1), np.repeat(values, 2, axis=1)),
        (xp.concat([x, y]), np.concatenate([values, -values])),
        (xp.concat([x, y, values], axis=-1), np.concatenate([values, -values, values], axis=-1)),
        (xp.concat([x, y], axis=None), np.concatenate([values, -values], axis=None)),
        (xp.stack([x, y], axis=-1), np.stack([values, -values], axis=-1)),
        (xp.unstack(x, axis=1)[2], values[:, 2]),
        (xp.take(x, np.array([[0, 2], [1, 1]]), axis=1), np.take(values, [[0, 2], [1, 1]], axis=1)),
        (xp.diff(x, axis=1), np.diff(values, axis=1)),
        (xp.tril(x), np.tril(values)),
        (xp.triu(x, k=1), np.triu(values, 1)),
        (xp.tensordot(x, y, axes=([1], [1])), np.tensordot(values, -values, axes=([1], [1]))),
        (xp.tensordot(x, INTS[:4], axes=1), np.tensordot(values, INTS[:4], axes=1)),
        (xp.vecdot(x, y), np.sum(values * -values, axis=-1)),
        (xp.vecdot(x, y, axis=0), np.sum(values * -values, axis=0)),
    ]:
        np.testing.assert_array_equal(got.reveal(), want)
    assert [row.shape for row in x] == [(3, 4), (3, 4)]


def test_mixed_types_join_to_the_wider_kind(o: Oracle) -> None:
    xp = o.program.namespace
    joined = xp.concat([o.input(INTS[0]), o.input(FLOATS[0], 1), BOOLS[0]])
    close(joined.reveal(), np.concatenate([INTS[0], FLOATS[0], BOOLS[0]]))
    assert o.input(INTS.astype(np.int32)).dtype == INT32
    assert xp.astype(o.input(FLOATS), int).dtype == INT64
    np.testing.assert_array_equal(o.input(FLOATS).astype(int).reveal(), np.floor(FLOATS))
    np.testing.assert_array_equal(o.input(INTS).astype(bool).reveal(), INTS != 0)


def test_clip_and_assume_narrow_the_range(o: Oracle) -> None:
    x = o.input(FLOATS)
    assert x.clip(-1, 2).range == (-1, 2)
    close(x.clip(-1, 2).reveal(), FLOATS.clip(-1, 2))
    close(x.clip(max=0.5).reveal(), FLOATS.clip(max=0.5))
    np.testing.assert_array_equal(o.input(INTS).clip(-3, INTS[0]).reveal(), np.clip(INTS, -3, INTS[0]))
    assert x.assume(-100, 100).range == (-100, 100)
    x.assume(-100, 100).reveal()
    assert o.plan is not None and len(o.plan.assumptions()) == 1


def test_creation_makes_public_arrays(o: Oracle) -> None:
    xp = o.program.namespace
    x = o.input(INTS)
    assert xp.zeros((2, 3)).home == Public() and xp.zeros(3).dtype == FIXED and xp.zeros(3, dtype=int).dtype == INT64
    np.testing.assert_array_equal((xp.ones_like(x) + x).reveal(), INTS + 1)
    np.testing.assert_array_equal((xp.arange(5) + x).reveal(), INTS + np.arange(5))
    np.testing.assert_array_equal((xp.eye(4, dtype=int) @ x).reveal(), INTS)
    close((xp.linspace(0, 1, 5) + x).reveal(), INTS + np.linspace(0, 1, 5))
    np.testing.assert_array_equal(xp.full((2,), 7).reveal(), [7, 7])
    many = xp.ones((3, 10**4), dtype=int) + xp.full(10**4, 2) + x[0, 0]
    np.testing.assert_array_equal(many.reveal(), np.full((3, 10**4), 3 + INTS[0, 0]))
    assert o.plan is not None and len(o.plan.to_bytes()) < 10**4
    assert xp.asarray(x) is x and xp.asarray([1.5]).dtype == FIXED


def test_a_value_is_private_until_it_meets_another_partys(o: Oracle) -> None:
    a, b = o.input(INTS, 0), o.input(INTS, 1)
    assert a.home == Private(0) and (a * a + 1).home == Private(0) and (a + b).home == Secret()
    assert (a.sum() + b.sum()).reveal() == 2 * INTS.sum()
    assert o.plan is not None
    # Each party sums its own rows in the clear, so only the sums are shared.
    assert [n.type.shape for n in o.plan.nodes if n.op == "share"] == [(), ()]


def test_products_with_public_numbers_need_no_multiplication_protocol(o: Oracle) -> None:
    a, b = o.input(FLOATS, 0, (-64, 64)), o.input(INTS, 1, (-64, 64))
    secret = a + b
    (
        secret * 0.3
        + o.program.constant(0.7) * secret
        + secret / 7
        + secret * FLOATS
        + secret @ FLOATS.T[:, :1]
        - 2 * secret
    ).mean().reveal()
    assert o.plan is not None and multiplications(o.plan) == []
    (secret * secret).reveal()
    assert len(multiplications(o.plan)) == 1


def test_several_arrays_are_disclosed_in_one_plan(o: Oracle) -> None:
    x = o.input(INTS, 0) + o.input(INTS, 1)
    total, mean = reveal(x.sum(), x.mean(), purpose="totals")
    assert total == 2 * INTS.sum()
    close(mean, 2 * INTS.mean())
    assert o.plan is not None and len(o.plan.outputs) == 2
    assert {d.purpose for d in o.plan.disclosures() if d.purpose} >= {"totals"}


def test_equal_programs_give_the_same_digest_and_only_what_is_needed() -> None:
    digests = []
    for unrelated in (False, True):
        o = Oracle()
        x, y = o.input(INTS, 0, name="x"), o.input(FLOATS, 1, name="y")
        if unrelated:
            _ = (x * y).exp() if hasattr(x, "exp") else o.program.namespace.tanh(x)
        (x + y).mean().reveal()
        assert o.plan is not None
        digests.append(o.plan.digest)
    assert digests[0] == digests[1]


def test_reveal_to_one_party_makes_a_private_output(o: Oracle) -> None:
    x = o.input(INTS, 0) + o.input(INTS, 1)
    x.sum().reveal(to="p2")
    assert o.plan is not None and o.plan.nodes[o.plan.outputs[0][1]].type.home == Private(2)
    o.input(INTS, 1).reveal(to=1)
    assert all(n.op != "reveal" for n in o.plan.nodes)
    with pytest.raises(InputError, match="INPUT-111"):
        x.reveal(to="nobody")


def test_data_that_no_array_needs_any_more_is_freed(o: Oracle) -> None:
    data = o.input(INTS)
    kept = weakref.ref(data.node)
    total = data.sum()
    del data
    gc.collect()
    assert kept() is not None and total.reveal() == INTS.sum()
    del total
    gc.collect()
    assert kept() is None


def test_a_long_chain_of_operations_is_no_problem(o: Oracle) -> None:
    x = o.input(np.array([1]), range=(0, 2))
    for _ in range(3000):
        x = x + 1
    assert x.reveal() == [3001]


@pytest.mark.parametrize(
    ("use", "code"),
    [
        (lambda o, x: x + np.array([np.nan]), "INPUT-102"),
        (lambda o, x: x + "one", "INPUT-101"),
        (lambda o, x: x == None, "INPUT-101"),  # noqa: E711 (the mistake under test)
        (lambda o, x: x + 2**70, "INPUT-103"),
        (lambda o, x: x + 2**63, "INPUT-103"),
        (lambda o, x: x * [[1], [2, 3]], "INPUT-101"),
        (lambda o, x: x + Oracle().input(INTS), "INPUT-104"),
        (lambda o, x: x.sum(axis=2), "INPUT-106"),
        (lambda o, x: x.sum(axis=(0, 0)), "INPUT-106"),
        (lambda o, x: x**x, "INPUT-106"),
        (lambda o, x: x**1.7, "INPUT-106"),
        (lambda o, x: x // x, "INPUT-106"),
        (lambda o, x: x[:0].mean(), "INPUT-108"),
        (lambda o, x: x[:1, :1].var(correction=1), "INPUT-108"),
        (lambda o, x: x[10], "PLAN-012"),
        (lambda o, x: x[[10]], "INPUT-106"),
        (lambda o, x: x[1.5], "INPUT-106"),
        (lambda o, x: x + np.ones((3, 3)), "PLAN-005"),
        (lambda o, x: x.reshape(7, 7), "PLAN-005"),
        (lambda o, x: x & x, "PLAN-004"),
        (lambda o, x: x**9, "PLAN-009"),
        (lambda o, x: x.astype("complex128"), "INPUT-101"),
        (lambda o, x: x.__array_namespace__(api_version="2099.01"), "INPUT-106"),
        (lambda o, x: o.program.input((1,), INT64, 7, np.zeros(1)), "INPUT-111"),
        (lambda o, x: [o.input(INTS, name="same") for _ in "ab"], "INPUT-110"),
    ],
)
def test_mistakes_get_one_error_with_a_stable_code(o: Oracle, use: Any, code: str) -> None:
    with pytest.raises((InputError, PlanError, SecretError)) as caught:
        use(o, o.input(INTS))
    assert caught.value.code == code and caught.value.expected


# --- random programs -------------------------------------------------------------------------------------------

small = st.integers(-8, 8)
arrays = st.lists(small, min_size=3, max_size=3).map(np.array)


@st.composite
def expressions(draw: Any, depth: int = 4) -> Any:
    """A function of two arrays of three elements, and of the namespace, that keeps three elements."""
    if depth == 0 or draw(st.booleans()):
        kind = draw(st.sampled_from(["x", "y", "constant"]))
        constant = draw(st.one_of(small, arrays, st.sampled_from([0.5, 1.25, -0.375])))
        return {"x": lambda x, y, m: x, "y": lambda x, y, m: y, "constant": lambda x, y, m: constant}[kind]
    left, right = draw(expressions(depth=depth - 1)), draw(expressions(depth=depth - 1))
    op = draw(st.sampled_from(["+", "-", "*", "where", "min", "max", "sort", "index", "abs", "sum", "cumsum"]))

    def run(x: Any, y: Any, m: Any) -> Any:
        a, b = left(x, y, m), right(x, y, m)
        match op:
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * b
            case "where":
                return m["where"](x > 0, a, b)
            case "min":
                return m["minimum"](a, x) + b
            case "max":
                return m["maximum"](y, a) - b
            case "sort":
                return m["sort"](x - y) + a * b
            case "index":
                return (x + a)[::-1] + b
            case "abs":
                return abs(x - a) + b
            case "sum":
                return (y + a).sum() + b
        return m["cumsum"](x + a) + b

    return run


@settings(max_examples=60, deadline=None)
@given(expressions(), arrays, arrays)
def test_random_expressions_agree_with_numpy(expression: Any, left: Any, right: Any) -> None:
    o = Oracle()
    xp = o.program.namespace
    ours = {"where": xp.where, "minimum": xp.minimum, "maximum": xp.maximum, "sort": xp.sort}
    numpy = {"where": np.where, "minimum": np.minimum, "maximum": np.maximum, "sort": np.sort}
    x, y = o.input(left, 0, (-8, 8)), o.input(right, 1, (-8, 8))
    want = expression(left, right, numpy | {"cumsum": np.cumsum})
    try:
        result = expression(x, y, ours | {"cumsum": xp.cumulative_sum}) + x * 0
    except PlanError as error:
        assert error.code == "PLAN-009"
        return
    got = result.reveal()
    # Eighths are exact in fixed(18), and so are their products up to this depth.
    np.testing.assert_allclose(got, want + left * 0, rtol=0, atol=2**-12 if result.dtype == FIXED else 0)
