"""Functions of order on arrays: what NumPy says, the same by either strategy, and clear refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tacit as tc
from plan_oracle import Oracle
from tacit.engine.estimate import estimate
from tacit.errors import InputError, PlanError, SecretError
from tacit.plan import INT64, PlanBuilder
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.rep3 import Rep3
from test_array_engine import Parties

ULP = 2.0**-18
LO, HI = -(2**63), 2**63 - 1
STRATEGIES = ["network", "shuffle"]
METHODS = ["linear", "lower", "higher", "nearest", "midpoint", "median_unbiased", "inverted_cdf", "weibull", "hazen"]

integers = st.one_of(st.sampled_from([LO, LO + 1, -1, 0, 1, HI]), st.integers(LO, HI), st.integers(-2, 2))
fixed = st.one_of(st.sampled_from([-0.0, 0.0, 0.5, -0.5]), st.integers(-(2**20), 2**20).map(lambda k: k * ULP))
shapes = st.one_of(st.tuples(st.integers(1, 9)), st.tuples(st.integers(1, 5), st.integers(1, 5)))


def arrays(elements: Any, shape: Any = shapes) -> Any:
    def filled(size: tuple[int, ...]) -> Any:
        n = int(np.prod(size))
        return st.lists(elements, min_size=n, max_size=n).map(lambda v: np.array(v).reshape(size))

    return shape.flatmap(filled)


@settings(max_examples=20, deadline=None)
@given(arrays(integers), st.data(), st.booleans(), st.sampled_from(STRATEGIES))
def test_topk_is_the_head_of_a_stable_sort(x: np.ndarray, data: Any, largest: bool, strategy: str) -> None:
    o = Parties("rep3")
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    k = data.draw(st.integers(0, x.shape[axis]))
    a = mixed(o, x)
    values, places = o.program.reveal(tc.topk(a, k, axis=axis, largest=largest, strategy=strategy), None, "t")
    want = np.argsort(~x if largest else x, axis=axis, kind="stable").take(range(k), axis=axis)
    np.testing.assert_array_equal(places, want)
    np.testing.assert_array_equal(values, np.take_along_axis(x, want, axis=axis))


def mixed(o: Oracle, x: np.ndarray) -> Any:
    """A secret array: what two parties have, joined and put back in place."""
    limits = (LO, HI) if x.dtype.kind == "i" else (-8, 8)
    flat = x.reshape(-1)
    half = flat.size // 2
    parts = [o.input(flat[:half], 0, limits), o.input(flat[half:], 1, limits)]
    return tc.reshape(tc.concat(parts), x.shape)


@settings(max_examples=30, deadline=None)
@given(
    arrays(fixed),
    st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.77, 1.0]), max_size=3),
    st.sampled_from(METHODS),
    st.data(),
    st.sampled_from(STRATEGIES),
)
def test_quantiles_are_those_of_numpy(x: np.ndarray, q: list[float], method: str, data: Any, strategy: str) -> None:
    o = Parties("rep3")
    axis = data.draw(st.sampled_from([None, *range(x.ndim)]))
    keepdims = data.draw(st.booleans())
    options = {"axis": axis, "method": method, "keepdims": keepdims}
    a = mixed(o, x)
    outs = [tc.quantile(a, q, strategy=strategy, **options), tc.quantile(a, 0.5, strategy=strategy, **options)]
    for out, chances in zip(o.program.reveal(outs, None, "t"), (q, 0.5), strict=True):
        want = np.quantile(x, chances, **options)
        assert np.shape(out) == want.shape
        allowed = 0 if method in ("lower", "higher", "nearest", "inverted_cdf") else 2 * ULP
        np.testing.assert_allclose(out, want, rtol=0, atol=allowed)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2), (2, 1)])
def test_a_median_is_the_middle_or_the_mean_of_two(axis: Any, strategy: str) -> None:
    o = Parties("rep3")
    x = np.random.default_rng(1).integers(-40, 40, (3, 4, 5))
    outs = [tc.median(mixed_small(o, x), axis=axis, keepdims=k, strategy=strategy) for k in (False, True)]
    for out, keepdims in zip(o.program.reveal(outs, None, "t"), (False, True), strict=True):
        np.testing.assert_array_equal(out, np.median(x, axis=axis, keepdims=keepdims))


def mixed_small(o: Oracle, x: np.ndarray) -> Any:
    return o.input(x, 0, (-40, 40)) + o.input(np.zeros_like(x), 1, (0, 0))


def test_discrete_quantiles_keep_any_int64() -> None:
    o = Parties("rep3")
    x = np.array([LO, HI, 0, HI - 1, 5])
    out = tc.quantile(mixed(o, x), [0.0, 0.6, 1.0], method="lower", strategy="shuffle").reveal()
    np.testing.assert_array_equal(out, np.sort(x)[[0, 2, 4]])


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 8).flatmap(
        lambda n: st.lists(arrays(st.integers(-2, 2), st.just((n,))), min_size=1, max_size=3).map(
            lambda keys: [k.astype(np.int64) for k in keys]
        )
    ),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.sampled_from(STRATEGIES),
)
def test_rows_of_every_type_are_sorted_by_several_keys(
    keys: list[np.ndarray], turns: list[bool], strategy: str
) -> None:
    o = Parties("rep3")
    n, descending = keys[0].size, turns[: len(keys)]
    rng = np.random.default_rng(n)
    rows = [rng.integers(0, 99, (n, 2)), rng.random(n) < 0.5, np.rint(rng.normal(size=(n, 1, 2)) * 2**18) * ULP]
    ks = [o.input(k, i, (-2, 2)) + 0 for i, k in enumerate(keys)]
    ins = [o.input(r, 2, (0, 99)) if r.dtype.kind == "i" else o.input(r, 2) for r in rows]
    order = np.lexsort([~k if d else k for k, d in zip(keys, descending, strict=True)][::-1])
    outs = [*tc.sort_by(ks, *ins, descending=descending, strategy=strategy)]
    outs.append(tc.lexsort(ks[::-1], descending=descending[::-1], strategy=strategy))
    outs += tc.sort_by(ks, *ins, descending=descending, size=n // 3, strategy=strategy)
    wanted = [*(r[order] for r in rows), order, *(r[order[: n // 3]] for r in rows)]
    for out, want in zip(o.program.reveal(outs, None, "t"), wanted, strict=True):
        assert np.asarray(out).dtype == want.dtype
        np.testing.assert_array_equal(out, want)


def test_one_key_and_one_array_need_no_list() -> None:
    o = Parties("rep3")
    x, y = np.array([3, 1, 2, 1]), np.arange(4)
    a = o.input(x, 0, (0, 3)) + o.input(0 * x, 1, (0, 0))
    out = tc.sort_by(a, y, descending=True)
    np.testing.assert_array_equal(out.reveal(), [0, 2, 1, 3])


def test_numpy_functions_of_order_take_secrets() -> None:
    o = Oracle()
    x, y = np.arange(12).reshape(3, 4) % 5, np.arange(12).reshape(3, 4) % 3
    a, b = o.input(x, 0, (0, 9)), o.input(y, 1, (0, 9))
    pairs = [
        (np.median(a, 1), np.median(x, 1)),
        (np.quantile(a, 0.5, axis=0), np.quantile(x, 0.5, axis=0)),
        (np.lexsort((a, b)), np.lexsort((x, y))),
        (np.take_along_axis(b, np.argsort(a, axis=1), axis=1), np.take_along_axis(y, np.argsort(x, 1, "stable"), 1)),
    ]
    for out, want in zip(o.program.reveal([p[0] for p in pairs], None, "t"), (p[1] for p in pairs), strict=True):
        np.testing.assert_array_equal(out, want)


def test_what_cannot_be_ordered_is_refused_when_it_is_written() -> None:
    o = Oracle()
    x, empty = o.input(np.arange(6).reshape(2, 3), 0), o.input(np.zeros((0, 3)), 1)
    order = tc.argsort(x, axis=0)
    for call, error, code in [
        (lambda: tc.topk(x, 4), PlanError, "PLAN-006"),
        (lambda: tc.topk(x, -1), PlanError, "PLAN-006"),
        (lambda: tc.topk(x, x[0, 0]), SecretError, "SECRET-013"),
        (lambda: tc.topk(x, 1, axis=2), InputError, "INPUT-106"),
        (lambda: tc.topk(x, 1, strategy="quick"), PlanError, "PLAN-006"),
        (lambda: tc.median(empty), InputError, "INPUT-108"),
        (lambda: tc.median(empty, axis=0), InputError, "INPUT-108"),
        (lambda: tc.quantile(x, 1.5), InputError, "INPUT-106"),
        (lambda: tc.quantile(x, float("nan")), InputError, "INPUT-106"),
        (lambda: tc.quantile(x, 0.5, method="best"), InputError, "INPUT-106"),
        (lambda: tc.quantile(x, x[0, 0]), SecretError, "SECRET-013"),
        (lambda: tc.lexsort([]), InputError, "INPUT-106"),
        (lambda: tc.lexsort([x, x], descending=[True]), InputError, "INPUT-106"),
        (lambda: tc.lexsort([x, x[0]]), PlanError, "PLAN-005"),
        (lambda: tc.sort_by(x[:, 0]), InputError, "INPUT-106"),
        (lambda: tc.sort_by([], x), InputError, "INPUT-106"),
        (lambda: tc.sort_by(x[0], x[1], size=4), PlanError, "PLAN-006"),
        (lambda: tc.sort_by(x[0], x[1], size=x[0, 0]), SecretError, "SECRET-013"),
        (lambda: tc.sort_by(x, x), PlanError, "PLAN-005"),
        (lambda: tc.sort_by(x[:, 0], x.T), PlanError, "PLAN-005"),
        (lambda: tc.take_along_axis(x, x, axis=0), SecretError, "SECRET-013"),
        (lambda: tc.take_along_axis(x, np.arange(3)), SecretError, "SECRET-013"),
        (lambda: tc.take_along_axis(x, order, axis=1), InputError, "INPUT-106"),
        (lambda: tc.take_along_axis(x, tc.argsort(x[0]), axis=0), InputError, "INPUT-106"),
    ]:
        with pytest.raises(error) as caught:
            call()
        assert caught.value.code == code


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_stands_before_any_element_is_empty(strategy: str) -> None:
    o = Parties("rep3")
    x = o.input(np.arange(6).reshape(2, 3), 0, (0, 9)) + o.input(np.zeros((2, 3), np.int64), 1, (0, 0))
    outs = [
        *tc.topk(x, 0, axis=0, strategy=strategy),
        *tc.topk(x[:, :0], 0, axis=1, strategy=strategy),
        tc.median(x[:0], axis=1, strategy=strategy),
        tc.quantile(x, [], axis=0, strategy=strategy),
        tc.sort_by(x[:0, 0], x[:0], strategy=strategy),
        tc.sort_by(x[:, 0], x, size=0, strategy=strategy),
    ]
    shapes = [np.shape(out) for out in o.program.reveal(outs, None, "t")]
    assert shapes == [(0, 3), (0, 3), (2, 0), (2, 0), (0,), (0, 3), (0, 3), (0, 3)]


@pytest.mark.parametrize("columns", [0, 1])
@pytest.mark.parametrize(
    "op",
    ["sort_by", "first_by", "permute", "aggregate", "compress", "expand", "fill_forward", "run_sums", "running_sum"],
)
def test_what_is_opened_is_listed_and_nothing_is_where_no_row_has_an_element(
    monkeypatch: pytest.MonkeyPatch, op: str, columns: int
) -> None:
    opened: list[str] = []
    for name in ("open_outcomes", "open_less", "open_positions"):
        inner = getattr(Rep3, name)

        async def recorded(box: BlackBox, *x: Any, inner: Any = inner, name: str = name) -> Any:
            opened.append(name)
            return await inner(box, *x)

        monkeypatch.setattr(Rep3, name, recorded)
    b = PlanBuilder(["p0", "p1", "p2"])
    keys = b.add("share", [b.input(0, "keys", INT64, (5,))])
    rows = b.add("share", [b.input(1, "rows", INT64, (5, columns))])
    if op in ("sort_by", "first_by"):
        size = {"size": 2} if op == "first_by" else {}
        (out,) = b.add_several(op, [keys, rows], keys=1, descending=(0,), strategy="shuffle", **size)
    elif op == "permute":
        out = b.add(op, [b.add("argsort", [keys], axis=0, descending=False), rows], axis=0)
    else:
        heads = {"heads": 1} if op == "aggregate" else {}
        (out,) = b.add_several(op, [b.add("lt", [keys, b.constant(2)]), rows], **heads)
    b.output("out", b.reveal(out, "t"))
    plan = b.build()
    listed = sum(d.kind == "opening" for d in plan.disclosures())
    given = {"keys": np.array([3, 1, 2, 1, 0]), "rows": np.ones((5, columns), np.int64)}
    Parties("rep3").run(plan, given)
    assert (listed, bool(opened)) == (columns, bool(columns))


def test_a_plan_says_what_is_ordered_and_how() -> None:
    o = Oracle()
    x, y = o.input(np.arange(5), 0, name="x") + 0, o.input(np.arange(5), 1, name="y")
    outs = [
        tc.median(x),
        tc.median(x[:4] + y[:4]),
        tc.quantile(x, 0.25, method="lower"),
        tc.topk(y, 2)[0],
        tc.topk(y, 2, largest=False)[1],
        tc.sort_by([x, y], y, descending=(False, True)),
        tc.sort_by(y, x, size=3),
        tc.lexsort([x, y]),
        tc.take_along_axis(y, tc.argsort(x)),
    ]
    told = [str(d) for d in o.program.plan(outs, None, "t").disclosures() if d.kind == "reveal"]
    for words, disclosure in zip(
        [
            "the median of (`x` of p0 plus 0)",
            "the mean of (the two middle values of (",
            "the value number 2 in rising order of (`x` of p0 plus 0)",
            "the 2 largest of `y` of p1",
            "the positions of the 2 smallest of `y` of p1",
            "`y` of p1 sorted by (`x` of p0 plus 0); then by `y` of p1, descending",
            "the first 3 of (`x` of p0 plus 0) sorted by `y` of p1",
            "the order sorted by `y` of p1; then by (`x` of p0 plus 0)",
            "`y` of p1 rearranged by (the order of (`x` of p0 plus 0))",
        ],
        told,
        strict=True,
    ):
        assert words in disclosure, disclosure


# --- what opened comparisons may rely on -------------------------------------------------------------------------


def bytes_of(build: Any) -> int:
    o = Oracle()
    n = np.zeros(40, dtype=np.int64)
    x, y = o.input(n, 0, (0, 9)), o.input(n, 1, (0, 9))
    return estimate(o.program.plan(build(tc.add(x, y), y), None, "t")).bytes_total


def test_only_ranges_that_a_sort_depends_on_decide_how_it_compares() -> None:
    plain = bytes_of(lambda x, y: [tc.sort(x, strategy="shuffle"), tc.sum(y)])
    elsewhere = bytes_of(lambda x, y: [tc.sort(x, strategy="shuffle"), tc.sum(y.assume(0, 3))])
    before = bytes_of(lambda x, y: [tc.sort(x.assume(0, 3), strategy="shuffle"), tc.sum(y)])
    assert plain == elsewhere < before
    places, trusted = (
        bytes_of(lambda x, y, f=f: [tc.sort(tc.argsort(f(x)), strategy="shuffle"), tc.sum(y)])
        for f in (lambda x: x, lambda x: x.assume(0, 18))
    )
    assert places == trusted
    kept = bytes_of(lambda x, y: [tc.loop(2, lambda v: tc.sort(v, strategy="shuffle"), x)])
    assumed = bytes_of(lambda x, y: [tc.loop(2, lambda v: tc.sort(v, strategy="shuffle").assume(0, 9), x)])
    assert kept < assumed


@pytest.mark.parametrize("protocol", ["plain", "rep3"])
def test_wrong_assumptions_do_not_spoil_what_is_opened(protocol: str) -> None:
    o = Parties(protocol)
    values = np.array([2**61, -(2**61), 3, 2**61 - 1, 1 - 2**61, 0, 2**60])
    x = (o.input(values, 0, (-(2**61), 2**61)) + 0).assume(0, 3)
    y = x + o.input(np.zeros(7, dtype=np.int64), 1, (0, 3))
    outs = [*tc.topk(y, 3, strategy="shuffle"), tc.lexsort([x, y], strategy="shuffle")]
    top, places, order = o.program.reveal(outs, None, "t")
    np.testing.assert_array_equal(top, np.sort(values)[::-1][:3])
    np.testing.assert_array_equal(places, np.argsort(-values)[:3])
    np.testing.assert_array_equal(order, np.argsort(values))
