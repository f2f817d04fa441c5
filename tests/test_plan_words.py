# SPDX-License-Identifier: Apache-2.0
"""Disclosures in words: they say what is computed, in terms that a data owner knows, and nothing that is not so."""

import time

import numpy as np
import pytest

from plan_oracle import Oracle, evaluate
from tacit.plan import FIXED, INT64, Interval, PlanBuilder
from tacit.plan.words import WORDS_MAX, Reader

TOGETHER = "(`X0` of p0, `X1` of p1 and `X2` of p2 together)"


class Data:
    """Arrays of three parties, joined."""

    def __init__(self):
        self.o = o = Oracle()
        self.ns = ns = o.program.namespace

        def joined(name, values, range):
            return ns.concat([o.input(values, party=k, range=range, name=f"{name}{k}") for k in (0, 1, 2)])

        rng = np.random.default_rng(5)
        self.X = joined("X", rng.normal(size=(10, 3)), (-4, 4))
        self.y = joined("y", rng.random(10), (0, 1))
        self.age = joined("age", rng.integers(0, 99, 4), (0, 120))
        self.wide = joined("wide", rng.integers(0, 99999, 100), (-(2**20), 2**20))
        self.a, self.b = (o.input([1.0, 2.5], party=k, name=name) for k, name in ((0, "a"), (1, "b")))

    def logistic(self):
        def step(w):
            return w - (self.X.T @ (self.ns.sigmoid(self.X @ w) - self.y)) * (0.5 / 30)

        return self.o.program.loop(30, step, np.zeros(3), ranges=[(-16, 16)])


@pytest.fixture
def d():
    return Data()


def told(d, array):
    """The words of the one reveal."""
    plan = d.o.program.plan([array])
    (found,) = [x.what for x in plan.disclosures() if x.kind == "reveal"]
    return found.removeprefix("`result0`: ")


AGE = "(`age0` of p0, `age1` of p1 and `age2` of p2 together)"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: d.X.mean(), f"one value, the mean of {TOGETHER}"),
        (lambda d: d.X.mean(axis=0), f"3 values, the mean of {TOGETHER} along axis 0"),
        (lambda d: d.X.T.mean(axis=0), f"30 values, the mean of {TOGETHER} along axis 1"),
        (lambda d: d.X.reshape((15, 6)).mean(axis=0), f"6 values, the mean of {TOGETHER} over 15 values each"),
        (lambda d: d.age.mean(), f"one value, the mean of {AGE}"),
        (lambda d: d.wide.mean(), f"one value, the mean of {AGE.replace('age', 'wide')}"),
        (lambda d: d.X.var(), f"one value, the variance of {TOGETHER}"),
        (lambda d: d.X.var(axis=0, correction=1), f"3 values, the sample variance of {TOGETHER} along axis 0"),
        (lambda d: d.age.var(), f"one value, the variance of {AGE}"),
        (lambda d: d.age.std(correction=1), f"one value, the sample standard deviation of {AGE}"),
        (lambda d: d.wide.var(), f"one value, the variance of {AGE.replace('age', 'wide')}"),
        (lambda d: d.X.std(axis=0), f"3 values, the standard deviation of {TOGETHER} along axis 0"),
        (lambda d: d.X.std(axis=1), f"30 values, the standard deviation of {TOGETHER} along axis 1"),
        (lambda d: d.X - d.X.mean(axis=0), f"30 x 3 values, {TOGETHER} minus its mean along axis 0"),
        (lambda d: d.ns.square(d.y - d.y.mean()).mean(), "one value, the variance of " + TOGETHER.replace("X", "y")),
        (lambda d: d.ns.sum(d.age >= 50), "one value, the number of cases where " + AGE + " is at least 50"),
        (lambda d: d.ns.mean(d.age >= 50), "one value, the fraction of cases where " + AGE + " is at least 50"),
        (lambda d: d.ns.any(d.age > 99), f"one yes/no value, whether anywhere {AGE} is greater than 99"),
        (
            lambda d: d.a.mean() > d.b.mean(),
            "one yes/no value, whether (the mean of `a` of p0) is greater than (the mean of `b` of p1)",
        ),
        (lambda d: d.a * 0.0123 + d.b, "2 values, (`a` of p0 times 0.0123) plus `b` of p1"),
        (lambda d: (d.a + d.b) * -3, "2 values, (`a` of p0 plus `b` of p1) times -3"),
        (lambda d: (d.a + d.b) / -3, "2 values, minus (`a` of p0 plus `b` of p1) divided by 3"),
        (lambda d: d.ns.sum(d.a + d.b), "one value, the sum of (`a` of p0 plus `b` of p1)"),
        (lambda d: (d.a + d.b)[1:], "1 value, 1 of the 2 values of (`a` of p0 plus `b` of p1)"),
        (lambda d: d.ns.clip(d.a + d.b, 0, 1.5), "2 values, (`a` of p0 plus `b` of p1) kept within 0 and 1.5"),
        (
            lambda d: d.ns.where(d.a < d.b, d.a, 0),
            "2 values, `a` of p0 where (`a` of p0 is less than `b` of p1), else 0",
        ),
        (
            lambda d: d.X.T @ d.y,
            f"3 values, ({TOGETHER} transposed) matrix-times {TOGETHER.replace('X', 'y')}",
        ),
        (
            lambda d: (d.X - d.X.mean(axis=0)) / d.X.std(axis=0),
            "30 x 3 values, (A minus its mean along axis 0) divided by (the standard deviation of A along axis 0), "
            f"where A is {TOGETHER[1:-1]}",
        ),
        (
            Data.logistic,
            "3 values, the last value of a loop that starts from 0 and 30 times sets it to (the value so far minus "
            "(((A transposed) matrix-times ((the sigmoid of (A matrix-times the value so far)) minus "
            f"{TOGETHER.replace('X', 'y')})) divided by 60)), where A is {TOGETHER[1:-1]}",
        ),
    ],
)
def test_statistics_read_as_what_they_are(d, make, words):
    assert told(d, make(d)) == words


def plan_with(make, shape=(4, 4), dtype=FIXED, interval=None):
    """The words for what `make(builder, x)` gives, of a shared x."""
    b = PlanBuilder(["p0", "p1", "p2"])
    x = b.add("share", [b.input(0, "x", dtype, shape, interval or Interval(-(2**20), 2**20))])
    b.output("y", b.reveal(make(b, x), "p"))
    plan = b.build()
    return next(d.what for d in plan.disclosures() if d.kind == "reveal").partition(", ")[2], plan


def total(b, x, axis, keepdims=False):
    return b.add("sum", [x], axis=axis, keepdims=keepdims)


def quarter(b, x):
    return b.add("scale", [x], numerator=1, shift=2)


NO_VARIANCE = [
    # Rows' means, laid beside the columns.
    (FIXED, lambda b, x: b.add("sub", [x, quarter(b, total(b, x, (1,)))])),
    # The mean of something else, and another share of the sum.
    (FIXED, lambda b, x: b.add("sub", [x, quarter(b, total(b, b.add("abs", [x]), (0,)))])),
    (FIXED, lambda b, x: b.add("sub", [x, b.add("scale", [total(b, x, (0,))], numerator=1, shift=1)])),
    (FIXED, lambda b, x: b.add("add", [x, quarter(b, total(b, x, (0,)))])),
    # Squares of the distances along one axis, summed along the other.
    (FIXED, lambda b, x: total(b, b.add("square", [b.add("sub", [x, quarter(b, total(b, x, (0,)))])]), (1,))),
    # n sum(x^2) - sum(x)^2 without the second square, with another in its place, with another n.
    (INT64, lambda b, x: b.add("sub", [squares(b, x, 4), total(b, x, (0,))])),
    (INT64, lambda b, x: b.add("sub", [squares(b, x, 4), b.add("abs", [total(b, x, (0,))])])),
    (INT64, lambda b, x: b.add("sub", [squares(b, x, 3), b.add("square", [total(b, x, (0,))])])),
    (INT64, lambda b, x: b.add("sub", [squares(b, x, 4), b.add("square", [total(b, x, (0,))], numerator=2)])),
    # Minus a variance, though the signs of both terms multiply to one.
    (
        INT64,
        lambda b, x: b.add("sub", [squares(b, x, 4, numerator=-1), b.add("square", [total(b, x, (0,))], numerator=-1)]),
    ),
    # Of fixed-point numbers, whose roundings may be all that remains.
    (FIXED, lambda b, x: b.add("sub", [squares(b, x, 4), b.add("square", [total(b, x, (0,))])])),
]


def squares(b, x, times, numerator=1):
    return b.add("mul", [total(b, b.add("square", [x], numerator=numerator), (0,)), b.constant(times)])


@pytest.mark.parametrize(("dtype", "make"), NO_VARIANCE)
def test_what_is_no_variance_is_not_called_one(dtype, make):
    words, _ = plan_with(make, dtype=dtype, interval=Interval(-(2**18), 2**18))
    # The one that is centred on the first axis may say so, but its squares are summed along the other.
    assert "variance" not in words
    assert "squared distances" not in words
    centred = "the sum of (the square of (`x` of p0 minus its mean along axis 0))"
    assert "its mean" not in words or words.startswith(centred)


def test_the_squared_distances_of_integers_are_recognised_from_sums():
    words, _ = plan_with(
        lambda b, x: b.add("sub", [squares(b, x, 4), b.add("square", [total(b, x, (0,))])]),
        dtype=INT64,
        interval=Interval(-9, 9),
    )
    assert words == "(the sum of the squared distances of `x` of p0 from their mean along axis 0) times 4"


def test_a_value_and_its_transpose_are_not_twice_the_value():
    words, _ = plan_with(lambda b, x: b.add("add", [x, b.add("transpose", [x], axes=(1, 0))]))
    assert words == "`x` of p0 plus (`x` of p0 transposed)"


def test_multiples_of_one_value_add_up():
    def make(b, x):
        return b.add("sub", [b.add("mul", [x, b.constant(5)]), b.add("neg", [b.add("add", [x, x])])])

    assert plan_with(make)[0] == "`x` of p0 times 7"


def test_a_repeated_value_is_not_its_sum():
    words, _ = plan_with(lambda b, x: total(b, b.add("broadcast_to", [x], shape=(6, 4, 4)), (0,)))
    assert words == "the sum of (`x` of p0 repeated) along axis 0"


def test_rounding_that_is_magnified_is_not_passed_over():
    def make(b, x):
        return b.add("scale", [b.add("scale", [x], numerator=1, shift=16)], numerator=2**16, shift=0)

    assert plan_with(make)[0] == "(`x` of p0 divided by 65536) times 65536"


def halved(b, x, shifts):
    for shift in shifts:
        x = b.add("scale", [x], numerator=1, shift=shift)
    return x


def test_roundings_that_remain_where_values_cancel_are_not_passed_over():
    def make(b, x):
        noise = b.add("sub", [halved(b, x, [2]), halved(b, x, [1, 1])])
        return b.add("scale", [noise], numerator=2**16, shift=0)

    assert plan_with(make)[0] == "((`x` of p0 divided by 4) minus (`x` of p0 divided by 4)) times 65536"


def test_many_roundings_are_not_passed_over():
    def make(b, x):
        terms = [halved(b, x, [k]) for k in range(1, 6)]
        out = terms[0]
        for term in terms[1:]:
            out = b.add("add", [out, term])
        return out

    assert plan_with(make)[0] == "(`x` of p0 times 0.9375) plus (`x` of p0 divided by 32)"


def test_a_table_of_sums_of_variances_is_not_twice_the_variance():
    def make(b, x):
        mean = quarter(b, total(b, x, (1,), keepdims=True))
        spread = total(b, b.add("square", [b.add("sub", [x, mean])]), (1,))
        return b.add("add", [spread, b.add("reshape", [spread], shape=(4, 1))])

    words, _ = plan_with(make, interval=Interval(-(2**18), 2**18))
    assert words.count("the sum of the squared distances of `x` of p0 from their mean along axis 1") == 2
    assert " plus " in words


def test_a_floor_is_told():
    words, _ = plan_with(lambda b, x: b.add("cast", [x], dtype=INT64))
    assert words == "`x` of p0 rounded down"


def test_an_assumed_range_makes_no_constant():
    def make(b, x):
        return b.add("mul", [x, b.add("assume", [x], lo=2**18, hi=2**18)])

    assert plan_with(make)[0] == "`x` of p0 times `x` of p0"


@pytest.mark.parametrize(
    ("numerator", "shift", "words"),
    [
        (round(2**30 / 7), 30, "`x` of p0 divided by 7"),
        (-(2**4), 0, "`x` of p0 times -16"),
        (1, 0, "`x` of p0"),
        (-1, 0, "minus `x` of p0"),
        (0, 0, "`x` of p0 times 0"),
        # 1/7 to 2^-15 only.
        (round(2**30 / 7 * (1 + 2**-15)), 30, "`x` of p0 times 0.14286"),
        (3, 3, "`x` of p0 times 0.375"),
        (2**20 + 2**6, 20, "`x` of p0 times 1.00006"),
    ],
)
def test_factors_are_told_to_within_their_precision(numerator, shift, words):
    got, _ = plan_with(lambda b, x: b.add("scale", [x], numerator=numerator, shift=shift))
    assert got == words


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda b, x: b.add("square", [x], numerator=3, shift=4), "(the square of `x` of p0) times 0.1875"),
        (lambda b, x: b.add("mul", [x, x], shift=10), "(`x` of p0 times `x` of p0) divided by 1024"),
        (lambda b, x: b.add("mul", [x, b.constant(3)], numerator=5, shift=1), "`x` of p0 times 7.5"),
        # Of eight roundings something may remain.
        (
            lambda b, x: b.add("scale", [b.add("square", [x], shift=3)], numerator=8),
            "((the square of `x` of p0) divided by 8) times 8",
        ),
        (
            lambda b, x: b.add("add", [b.add("square", [x], shift=1), b.add("square", [x], shift=1)]),
            "the square of `x` of p0",
        ),
    ],
)
def test_the_factor_of_a_product_is_told(make, words):
    assert plan_with(make)[0] == words


def test_a_name_cannot_pose_as_words():
    b = PlanBuilder(["p0", "p1", "p2"])
    x = b.input(0, "a` of p0 divided by 9; the mean of `b", FIXED, (3,))
    b.output("the mean`", b.reveal(x, "p"))
    (_, reveal) = b.build().disclosures()
    assert reveal.what == "`the mean'`: 3 values, `a' of p0 divided by 9; the mean of 'b (%0)` of p0"


def test_sources_that_the_words_leave_out_are_listed():
    b = PlanBuilder(["p0", "p1", "p2"])
    parts = [b.input(k % 3, f"x{k}", FIXED, (2,)) for k in range(9)]
    b.output("y", b.reveal(b.add("concat", parts, axis=0), "p"))
    text = b.build().disclosures()[-1].what
    assert "and 3 more together; computed from `x0` of p0" in text


def test_a_loop_over_several_values_names_the_one():
    b = PlanBuilder(["p0", "p1", "p2"])
    x = b.add("share", [b.input(0, "x", INT64, (), Interval(0, 9))])
    u, _ = b.repeat(5, [x, b.constant(1)], lambda r, c: [r.add("minimum", [c[0], c[1]]), c[0]], [Interval(0, 9)] * 2)
    b.output("u", b.reveal(u, "p"))
    assert b.build().disclosures()[-1].what == (
        "`u`: one value, the last value 1 of 2 of a loop that starts from `x` of p0 and 5 times sets it to "
        "(the smaller of value 1 so far and value 2 so far)"
    )


@pytest.mark.parametrize("op", ["mul", "add", "concat"])
def test_words_of_a_hostile_plan_are_short_and_quick(op):
    b = PlanBuilder(["p0", "p1", "p2"])
    x = b.add("share", [b.input(0, "x" * 400, INT64, (1,), Interval(0, 1))])
    reveals = []
    for k in range(4000):
        more = {"axis": 0} if op == "concat" else {}
        x = b.add(op, [x, b.add("add", [x, b.constant([k % 7])])], **more)
        x = b.add("clip", [b.add("getitem", [x], index=((0, 1, 1),))], lo=0, hi=1)
        if k % 40 == 0:
            reveals.append(b.reveal(x, "p"))
    for k, r in enumerate(reveals):
        b.output(f"y{k}", r)
    plan = b.build()
    start = time.process_time()
    found = plan.disclosures()
    assert time.process_time() - start < 10
    assert max(len(d.what) for d in found if d.kind == "reveal") < WORDS_MAX + 150


def test_factors_of_a_hostile_chain_stay_small():
    b = PlanBuilder(["p0", "p1", "p2"])
    x = b.add("share", [b.input(0, "x", FIXED, (1,), Interval(0, 0))])
    for _ in range(5000):
        x = b.add("scale", [x], numerator=2**60 - 1, shift=0)
    b.output("y", b.reveal(x, "p"))
    plan = b.build()
    start = time.process_time()
    plan.disclosures()
    assert time.process_time() - start < 5


# --- what is read as a multiple is one -------------------------------------------------------------------------------


def values_of(plan, bindings):
    values = {}
    for node in plan.nodes:
        values[node.id] = evaluate(node, values, plan.nodes, bindings)
    return [v / 2**n.type.dtype.f for v, n in zip(values.values(), plan.nodes, strict=True)]


def meant(base, values):
    x = values[base.node]
    if base.kind == "value":
        return x
    centred = x - x.mean(axis=base.axes, keepdims=True)
    if base.kind == "centred":
        return centred
    spread = np.square(centred).sum(axis=base.axes)
    n = np.prod([x.shape[k] for k in base.axes])
    return spread if base.kind == "spread" else np.sqrt(spread / (n - base.less))


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (lambda d: d.X.mean(axis=0), {"value"}),
        (lambda d: d.wide.mean(), {"value"}),
        (lambda d: d.X.var(axis=1), {"value", "centred", "spread"}),
        (lambda d: d.X.var(axis=0), {"value", "centred", "spread"}),
        (lambda d: d.age.var(), {"value", "spread"}),
        (lambda d: d.wide.var(correction=1), {"value", "centred", "spread"}),
        (lambda d: d.X.std(axis=0), {"value", "centred", "spread", "deviation"}),
        (lambda d: d.age.std(correction=1), {"value", "spread", "deviation"}),
        (lambda d: (d.X - d.X.mean(axis=0)) * 3 - d.X * 2.7, {"value", "centred"}),
    ],
)
def test_every_node_is_the_multiple_that_it_is_read_as(d, make, kinds):
    captured = {}

    def run(plan, bindings):
        captured["plan"], captured["values"] = plan, values_of(plan, bindings)
        return {label: np.zeros(plan.nodes[i].type.shape, np.uint64) for label, i in plan.outputs}

    d.o.program._run = run
    make(d).reveal()
    plan, values = captured["plan"], captured["values"]
    reader = Reader(plan.nodes, plan.parties)
    for node, linear, value in zip(plan.nodes, reader._linear, values, strict=True):
        want = float(linear.factor) * meant(linear.base, values).reshape(-1)
        got = value.reshape(-1)
        # Of squares and roots the rounding comes on top, relative to the values.
        slack = 0 if linear.base.kind == "value" else 2.0**-10 * np.abs(want).max(initial=1)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=float(linear.error) + slack + 1e-9, err_msg=str(node))
    assert {linear.base.kind for linear in reader._linear} == kinds


def test_inputs_whose_names_look_the_same_are_told_apart():
    b = PlanBuilder(["p0", "p1", "p2"])
    prefix = "blood pressure at admission, first measurement of the day, "
    x, y = (b.input(p, prefix + name, INT64, (3,)) for p, name in ((0, "systolic"), (1, "HIV status")))
    b.output("r", b.reveal(b.add("sub", [x, y]), "test"))
    (line,) = [d.what for d in b.build().disclosures() if d.kind == "reveal"]

    first, second = (part for part in line.split(" minus "))
    assert "(%0)" in first and "(%1)" in second and "p0" in line and "p1" in line
