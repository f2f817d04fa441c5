# SPDX-License-Identifier: Apache-2.0
"""Building a plan: sharing, loops, exactness, disclosures and text."""

import dataclasses
import pickle

import numpy as np
import pytest

import tacit.plan
from tacit.errors import PlanError
from tacit.plan import (
    BOOL,
    FIXED,
    INT8,
    INT64,
    Interval,
    Plan,
    PlanBuilder,
    Private,
    Public,
    Secret,
    constant_array,
    fixed,
    full_source,
    verify,
)

NAMES = ["hospital0", "hospital1", "hospital2"]


def builder(*more):
    return PlanBuilder([*NAMES, *more])


def column(b, party, name=None, n=4, dtype=FIXED):
    return b.input(party, name or f"x{party}", dtype, (n,))


def ops(plan):
    return [n.op for n in plan.nodes]


def exact(plan, op):
    return [n.attrs["exact"] for n in plan.nodes if n.op == op]


# --- the package ---------------------------------------------------------------------------------------------------


def test_public_names_exist_and_are_documented():
    assert len(set(tacit.plan.__all__)) == len(tacit.plan.__all__)
    for name in tacit.plan.__all__:
        value = getattr(tacit.plan, name)
        if callable(value) and isinstance(value, type):
            assert value.__doc__, name


# --- sharing -------------------------------------------------------------------------------------------------------


def test_values_of_two_owners_are_shared_where_they_meet():
    b = builder()
    x, y = column(b, 0), column(b, 1)
    total = b.add("add", [x, y])
    assert b.type(total).home == Secret()
    b.output("total", b.reveal(total, "the total"))
    assert ops(b.build()) == ["input", "input", "share", "share", "add", "reveal"]


def test_a_private_value_is_shared_once():
    b = builder()
    x, y = column(b, 0), column(b, 1)
    b.output("a", b.reveal(b.add("add", [x, y]), "p"))
    b.output("b", b.reveal(b.add("sub", [x, y]), "p"))
    assert ops(b.build()).count("share") == 2


def test_work_on_one_owners_values_stays_with_the_owner():
    b = builder()
    x = column(b, 1)
    y = b.add("add", [b.add("square", [x]), b.constant(np.ones(4))])
    assert b.type(y).home == Private(1)
    b.output("y", b.reveal(y, "p"))
    assert "share" not in ops(b.build())


def test_public_values_meet_secrets_without_a_share():
    b = builder()
    s = b.add("share", [column(b, 0)])
    b.output("y", b.reveal(b.add("add", [s, b.constant([1.0, 2, 3, 4])]), "p"))
    assert ops(b.build()).count("share") == 1


def test_a_client_may_bring_an_input_and_receive_a_result():
    b = builder("analyst")
    r = b.reveal(b.add("add", [column(b, 3), column(b, 0)]), "their own sum", to=3)
    assert b.type(r).home == Private(3)
    b.output("sum", r)
    assert [d.audience for d in b.build().disclosures()] == ["everyone", "everyone", "analyst"]


@pytest.mark.parametrize(
    "use",
    [
        lambda b, x: b.add("square", [x]),
        lambda b, x: b.add("add", [x, x]),
        lambda b, x: x,
        lambda b, x: b.repeat(2, [x], lambda r, c: [r.add("clip", c, lo=0, hi=1)])[0],
        lambda b, x: b.repeat(
            2,
            [b.constant(np.zeros(4))],
            lambda r, c: [r.add("maximum", [c[0], r.capture(x)])],
            [Interval(-(2**31), 2**31)],
        )[0],
    ],
)
def test_a_clients_input_is_shared_before_anything_else(use):
    b = builder("analyst")
    b.output("y", b.reveal(use(b, column(b, 3)), "p"))
    plan = b.build()
    (x,) = (n for n in plan.nodes if n.op == "input")
    assert [n.op for n in plan.nodes if x.id in n.inputs] == ["share"]


@pytest.mark.parametrize(
    "use",
    [
        lambda b, r: b.add("neg", [r]),
        lambda b, r: b.reveal(b.add("share", [r]), "p"),
        lambda b, r: b.reveal(r, "p"),
    ],
)
def test_nothing_is_computed_from_what_a_client_receives(use):
    b = builder("analyst")
    received = b.reveal(b.add("add", [column(b, 0), column(b, 1)]), "p", to=3)
    b.output("y", use(b, received))
    with pytest.raises(PlanError, match=r"PLAN-019.*client"):
        b.build()


def test_nodes_that_no_output_needs_are_left_out():
    b = builder()
    x = column(b, 0)
    b.reveal(column(b, 1, "unused"), "forgotten")
    b.output("x", b.reveal(x, "p"))
    plan = b.build()
    assert ops(plan) == ["input", "reveal"]
    assert [n.id for n in plan.nodes] == [0, 1]


def test_equal_nodes_are_made_once():
    b = builder()
    x = b.add("share", [column(b, 0)])
    assert b.add("neg", [x]) == b.add("neg", [x])
    assert b.constant(3) == b.constant(3) != b.constant(3.0)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda b: b.input(3, "x", FIXED, (1,)), "PLAN-019"),
        (lambda b: b.input(-1, "x", FIXED, (1,)), "PLAN-019"),
        (lambda b: b.input(0, "", FIXED, (1,)), "PLAN-006"),
        (lambda b: b.input(0, "x", INT8, (1,), Interval(0, 200)), "PLAN-003"),
        (lambda b: b.input(0, "x", FIXED, (-1,)), "PLAN-006"),
        (lambda b: b.reveal(column(b, 0), "p", to=9), "PLAN-019"),
        (lambda b: b.reveal(column(b, 0), ""), "PLAN-006"),
        (lambda b: b.add("neg", [7]), "PLAN-018"),
        (lambda b: b.add("param", index=0, type=b.type(column(b, 0))), "PLAN-018"),
        (lambda b: b.build(), "PLAN-019"),
        (lambda b: PlanBuilder(["a", "b"]), "PLAN-019"),
        (lambda b: PlanBuilder(["a", "b", "b"]), "PLAN-019"),
        (lambda b: PlanBuilder(NAMES, 3, "magic"), "PLAN-019"),
        (lambda b: PlanBuilder([*NAMES, "d"], 4), "PLAN-019"),
    ],
)
def test_builder_refuses(make, code):
    with pytest.raises(PlanError) as e:
        make(builder())
    assert e.value.code == code


def test_a_secret_output_is_refused():
    b = builder()
    b.output("y", b.add("share", [column(b, 0)]))
    with pytest.raises(PlanError, match=r"PLAN-019.*secret.*reveal"):
        b.build()


@pytest.mark.parametrize("party", [0, 1])
def test_inputs_of_a_plan_have_different_names_whoever_brings_them(party):
    b = builder()
    b.output("y", b.reveal(b.add("concat", [column(b, 0, "x", 1), column(b, party, "x", 2)], axis=0), "p"))
    with pytest.raises(PlanError, match=r"PLAN-019.*same name"):
        b.build()


# --- constants -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype", "kind", "raw"),
    [
        ([True, False], None, BOOL, [1, 0]),
        ([-5, 2**62], None, INT64, [-5, 2**62]),
        ([1, 2], INT8, INT8, [1, 2]),
        ([0.5, -1.25], None, FIXED, [2**17, -5 * 2**16]),
        ([3], fixed(4), fixed(4), [48]),
        (2.0**-19 * 3, None, FIXED, 2),
        (np.zeros((0, 2)), None, FIXED, np.zeros((0, 2))),
    ],
)
def test_constant_holds_raw_values(values, dtype, kind, raw):
    b = builder()
    c = b.constant(values, dtype)
    assert b.type(c).dtype == kind
    np.testing.assert_array_equal(constant_array(b._nodes[c].attrs), raw)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([np.nan], None),
        ([np.inf], None),
        ([1.5], INT64),
        ([300], INT8),
        ([2.0**50], None),
        (["a"], None),
        ([1], BOOL),
        (np.array([2**63], dtype=np.uint64), None),
        ([1j], None),
    ],
)
def test_constant_that_does_not_fit_is_refused(values, dtype):
    with pytest.raises(PlanError) as e:
        builder().constant(values, dtype)
    assert e.value.code == "PLAN-014"


# --- exactness -----------------------------------------------------------------------------------------------------


def secret(b, name="x"):
    return b.add("share", [b.input(0, name, FIXED, (4,), Interval(-(2**20), 2**20))])


def test_a_revealed_product_is_exact_and_one_that_feeds_a_product_is_not():
    b = builder()
    x = secret(b)
    inner = b.add("mul", [x, x])
    b.output("y", b.reveal(b.add("mul", [inner, x]), "p"))
    assert exact(b.build(), "mul") == [False, True]


@pytest.mark.parametrize(
    "through",
    [
        lambda b, y: b.add("sum", [y], axis=(0,), keepdims=False),
        lambda b, y: b.add("add", [y, b.constant(1.0)]),
        lambda b, y: b.add("scale", [y], numerator=3, shift=2),
        lambda b, y: b.add("mul", [y, b.constant(1.5)]),
        lambda b, y: b.add("div", [y, b.constant(3.0)]),
        lambda b, y: b.add("mul", [y, b.constant(7)]),
        lambda b, y: b.add("where", [b.add("lt", [y, b.constant(0.0)]), y, b.constant(0.0)]),
        lambda b, y: b.add("sort", [y], axis=0, descending=False),
        lambda b, y: b.add("maximum", [y, b.constant(0.0)]),
        lambda b, y: b.add("reshape", [b.add("neg", [y])], shape=(2, 2)),
        lambda b, y: b.add("add", [b.add("share", [b.reveal(y, "q", to=1)]), secret(b, "z")]),
    ],
)
def test_truncation_is_exact_where_low_bits_reach_a_reveal(through):
    b = builder()
    x = secret(b)
    b.output("y", b.reveal(through(b, b.add("square", [x])), "p"))
    assert exact(b.build(), "square") == [True]


@pytest.mark.parametrize(
    "through",
    [
        lambda b, y: b.add("lt", [y, b.constant(0.0)]),
        lambda b, y: b.add("exp", [y]),
        lambda b, y: b.add("mul", [y, secret(b, "z")]),
        lambda b, y: b.add("argsort", [y], axis=0, descending=True),
    ],
)
def test_truncation_stays_cheap_where_low_bits_are_lost(through):
    b = builder()
    b.output("y", b.reveal(through(b, b.add("square", [secret(b)])), "p"))
    assert exact(b.build(), "square") == [False]


def test_exact_may_be_asked_for():
    b = builder()
    y = b.add("square", [secret(b)], exact=True)
    b.output("y", b.reveal(b.add("exp", [y]), "p"))
    assert exact(b.build(), "square") == [True]


# --- loops ---------------------------------------------------------------------------------------------------------

LIMIT = Interval(-(2**22), 2**22)


def training(trips=30, purpose="the model"):
    """Logistic regression on the rows of two hospitals: a plan with a loop that captures and assumes."""
    b = PlanBuilder(NAMES, title="training")
    X = b.add("concat", [b.input(p, f"X{p}", FIXED, (n, 3)) for p, n in ((0, 190), (1, 200))], axis=0)
    y = b.add("concat", [b.input(p, f"y{p}", FIXED, (n,), Interval(0, 2**18)) for p, n in ((0, 190), (1, 200))], axis=0)

    def body(region, carried):
        (w,) = carried
        rows, labels = region.capture(X), region.capture(y)
        p = region.add("sigmoid", [region.add("matmul", [rows, w])])
        columns = region.add("transpose", [rows], axes=(1, 0))
        gradient = region.add("matmul", [columns, region.add("sub", [p, labels])])
        step = region.add("scale", [gradient], numerator=1, shift=10)
        return [region.add("assume", [region.add("sub", [w, step])], lo=LIMIT.lo, hi=LIMIT.hi)]

    (w,) = b.repeat(trips, [b.constant(np.zeros(3))], body, [LIMIT])
    b.output("weights", b.reveal(w, purpose, to=2))
    return b.build()


def body_of(plan):
    return next(n.attrs["body"] for n in plan.nodes if n.op == "repeat")


def test_loop_starts_from_a_share_because_its_body_makes_a_secret():
    plan = training()
    loop = next(n for n in plan.nodes if n.op == "repeat")
    assert plan.nodes[loop.inputs[0]].op == "share"
    assert loop.types[0].home == Secret()
    assert loop.types[0].interval == LIMIT
    assert len(loop.inputs) == 3


def test_low_bits_of_a_carried_value_make_the_truncation_in_the_loop_exact():
    flags = {
        n.op: [m.attrs["exact"] for m in body_of(training()).nodes if m.op == n.op]
        for n in body_of(training()).nodes
        if "exact" in n.attrs
    }
    assert flags == {"matmul": [False, True], "sigmoid": [False], "scale": [True]}


def test_exactness_reaches_through_one_carried_value_to_another():
    b = builder()
    x = secret(b)

    def body(region, carried):
        _, v = carried
        return [v, region.add("clip", [region.add("square", [v])], lo=-(2**18), hi=2**18)]

    start = b.add("clip", [b.add("square", [x])], lo=-(2**18), hi=2**18)
    u, _ = b.repeat(3, [start, start], body, [Interval(-(2**18), 2**18)] * 2)
    b.output("u", b.reveal(u, "p"))
    plan = b.build()
    assert [n.attrs["exact"] for n in body_of(plan).nodes if n.op == "square"] == [True]
    # After one trip the second carried value is revealed as it came in.
    assert exact(plan, "square") == [True]


def test_exactness_takes_time_linear_in_the_plan():
    # A chain of carried values in nested loops: a pass that repeats itself until nothing changes would take c^3 walks.
    b = builder()
    count = 60
    x = [b.add("share", [b.input(0, f"x{k}", FIXED, (), Interval(-9, 9))]) for k in range(count)]

    def rotate(depth):
        if depth == 0:
            return lambda r, c: [*c[1:], r.add("clip", [r.add("square", [c[0]])], lo=-9, hi=9)]
        return lambda r, c: r.repeat(2, c, rotate(depth - 1), [Interval(-9, 9)] * count)

    results = b.repeat(2, x, rotate(2), [Interval(-9, 9)] * count)
    b.output("y", b.reveal(results[0], "p"))
    inner = body_of(b.build())
    while any(n.op == "repeat" for n in inner.nodes):
        inner = next(n.attrs["body"] for n in inner.nodes if n.op == "repeat")
    assert [n.attrs["exact"] for n in inner.nodes if n.op == "square"] == [True]


def test_loops_in_loops():
    b = builder()
    x = b.add("share", [b.input(0, "x", INT64, (), Interval(0, 1))])

    def inner(region, carried):
        grown = region.add("add", [carried[0], region.capture(0)])
        return [region.add("clip", [grown], lo=0, hi=100)]

    def outer(region, carried):
        captured = region.capture(x)
        assert captured == 1

        def body(r, c):
            return [r.add("clip", [r.add("add", [c[0], r.capture(captured)])], lo=0, hi=100)]

        return region.repeat(5, carried, body)

    (y,) = b.repeat(4, [b.constant(0)], outer, [Interval(0, 100)])
    b.output("y", b.reveal(y, "p"))
    plan = b.build()
    assert Plan.from_bytes(plan.to_bytes()) == plan
    assert "repeat" in [n.op for n in body_of(plan).nodes]


def test_a_loop_of_private_values_runs_at_their_owner():
    b = builder()
    x = b.input(1, "x", INT64, (), Interval(0, 9))
    (y,) = b.repeat(
        2,
        [b.constant(0)],
        lambda r, c: [r.add("minimum", [r.add("add", [c[0], r.capture(x)]), r.constant(50)])],
        [Interval(0, 50)],
    )
    assert b.type(y).home == Private(1)
    b.output("y", b.reveal(y, "p"))
    assert "share" not in ops(b.build())


@pytest.mark.parametrize(
    ("trips", "body", "words"),
    [
        (3, lambda r, c: [r.add("add", [c[0], r.constant(1)])], "beyond its declared"),
        (3, lambda r, c: [r.add("cast", [c[0]], dtype=FIXED)], "carried value 0 ends as"),
        (3, lambda r, c: [r.add("reshape", [c[0]], shape=(4, 1))], "carried value 0 ends as"),
        (3, lambda r, c: [], "gave 0 values for 1"),
        (0, lambda r, c: c, "trips"),
        (2**31 + 1, lambda r, c: c, "trips"),
    ],
)
def test_a_loop_that_does_not_keep_its_types_is_refused(trips, body, words):
    b = builder()
    x = b.add("share", [b.input(0, "x", INT64, (4,))])
    with pytest.raises(PlanError, match=words) as e:
        b.repeat(trips, [x], body)
    assert e.value.code == "PLAN-013"


@pytest.mark.parametrize("op", ["reveal", "input"])
def test_a_loop_may_not_reveal_or_read(op):
    b = builder()
    x = b.add("share", [column(b, 0)])
    with pytest.raises(PlanError, match="may not stand in a loop"):
        b.repeat(2, [x], lambda r, c: [r.add(op, c, to=None, purpose="p")])


def test_a_loop_is_used_through_its_results():
    b = builder()
    x = b.add("share", [column(b, 0)])
    b.repeat(2, [x], lambda r, c: c)
    loop = next(n.id for n in b._nodes if n.op == "repeat")
    with pytest.raises(PlanError, match="result"):
        b.add("neg", [loop])
    with pytest.raises(PlanError, match="PLAN-013"):
        b.add("result", [loop], index=1)


# --- what the plan tells -------------------------------------------------------------------------------------------


def test_every_reveal_and_every_input_size_is_disclosed():
    plan = training()
    lines = [str(d) for d in plan.disclosures()]
    assert lines[:2] == [
        "numbers of rows and columns of `X0` of hospital0: 190 x 3, to everyone",
        "numbers of rows and columns of `X1` of hospital1: 200 x 3, to everyone",
    ]
    assert lines[2] == "number of rows of `y0` of hospital0: 190, to everyone"
    assert len(lines) == 5
    assert lines[4].startswith("`weights`: 3 values, the last value of a loop that starts from 0 and 30 times")
    assert "`y1` of hospital1" in lines[4]
    assert lines[4].endswith("to hospital2, for: the model")


def sorting(strategy, op="sort", n=4):
    b = builder()
    x = b.add("add", [column(b, 0, n=n), column(b, 1, n=n)])
    more = {} if strategy is None else {"strategy": strategy}
    b.output("y", b.reveal(b.add(op, [x], axis=0, descending=False, **more), "p"))
    return b.build()


@pytest.mark.parametrize("op", ["sort", "argsort"])
def test_a_sort_that_opens_comparisons_is_disclosed_and_is_never_the_default(op):
    plan = sorting("shuffle", op)
    (opening,) = [d for d in plan.disclosures() if d.kind == "opening"]
    assert (opening.to, opening.audience, plan.nodes[opening.node].op) == (None, "everyone", op)
    assert str(opening) == (
        f"{op} of `x0` of hospital0 plus `x1` of hospital1 (%{opening.node}): opens the outcomes of comparisons "
        "between randomly shuffled rows, ties broken by their original position: a random pattern that does not "
        "depend on the data, to everyone"
    )
    assert str(opening) in plan.show()
    for other in (sorting(None, op), sorting("network", op), sorting("shuffle", op, n=1)):
        assert not [d for d in other.disclosures() if d.kind == "opening"]


def test_a_sort_of_what_a_party_has_in_the_clear_opens_nothing():
    b = builder()
    ordered = b.add("sort", [column(b, 0)], axis=0, descending=False, strategy="shuffle")
    b.output("y", b.reveal(b.add("add", [ordered, column(b, 1)]), "p"))
    assert not [d for d in b.build().disclosures() if d.kind == "opening"]


def test_an_opening_in_a_loop_is_disclosed_with_its_number_of_trips():
    b = builder()
    x = b.add("add", [column(b, 0), column(b, 1)])
    start = b.add("clip", [x], lo=-(2**18), hi=2**18)
    (out,) = b.repeat(7, [start], lambda r, c: [r.add("sort", c, axis=0, descending=True, strategy="shuffle")])
    b.output("y", b.reveal(out, "p"))
    (opening,) = [str(d) for d in b.build().disclosures() if d.kind == "opening"]
    assert opening.startswith("sort of a value in a loop (%") and ", in each of 7 trips: opens the" in opening


@pytest.mark.parametrize(
    ("op", "attrs"),
    [
        ("lexsort", {"axis": 0, "descending": (0, 1)}),
        ("sort_by", {"keys": 1, "descending": (1,)}),
        ("first_by", {"keys": 1, "descending": (1,), "size": 1}),
        ("topk", {"axis": 0, "k": 2, "largest": True}),
        ("order_statistics", {"axis": 0, "ranks": (1, 2)}),
    ],
)
def test_every_operation_of_order_discloses_what_it_opens(op, attrs):
    def openings(strategy, **more):
        b = builder()
        xs = [b.add("add", [column(b, 0), column(b, 1)]), b.add("neg", [column(b, 0)])]
        add = b.add_several if op in ("sort_by", "first_by", "topk") else lambda *a, **k: [b.add(*a, **k)]
        out = add(op, xs[: 1 if op in ("topk", "order_statistics") else 2], **{**attrs, **more}, **strategy)
        b.output("y", b.reveal(out[-1], "p"))
        return [str(d) for d in b.build().disclosures() if d.kind == "opening"]

    (opening,) = openings({"strategy": "shuffle"})
    assert opening.startswith(f"{op} of `x0` of hospital0 plus `x1` of hospital1 (%")
    assert "a random pattern that does not depend on the data" in opening
    assert ("which of the shuffled rows are selected" in opening) == (op in ("first_by", "topk", "order_statistics"))
    assert openings({}) == openings({"strategy": "network"}) == []


def permuted(order, *, axis=0, times=1):
    b = builder()
    x, y = column(b, 0), b.add("add", [column(b, 1), column(b, 2)])
    index = order(b, x, y)
    for _ in range(times):
        y = b.add("permute", [index, y], axis=axis)
    b.output("y", b.reveal(y, "p"))
    return b.build()


ASCENDING = {"axis": 0, "descending": False}


def test_a_secret_permutation_is_applied_in_random_order_and_disclosed():
    plan = permuted(lambda b, x, y: b.add("argsort", [y], **ASCENDING), times=2)
    openings = [str(d) for d in plan.disclosures() if d.kind == "opening"]
    assert len(openings) == 2
    assert openings[0].startswith("permute of `x1` of hospital1 plus `x2` of hospital2 (%")
    assert openings[0].endswith(
        "opens the positions in randomly shuffled order: a random permutation whatever they are, to everyone"
    )
    # One party's own order is a permutation too, of which others learn nothing.
    permuted(lambda b, x, y: b.add("argsort", [x], **ASCENDING))


@pytest.mark.parametrize(
    "order",
    [
        lambda b, x, y: y,
        lambda b, x, y: x,
        lambda b, x, y: b.add("flip", [b.add("argsort", [y], **ASCENDING)], axis=0),
        lambda b, x, y: b.constant(np.arange(4)),
    ],
)
def test_what_need_not_be_a_permutation_is_not_applied_as_one(order):
    with pytest.raises(PlanError) as error:
        permuted(order)
    assert error.value.code == "PLAN-012"


def test_verify_refuses_a_permutation_that_a_builder_would_not_write():
    plan = permuted(lambda b, x, y: b.add("argsort", [y], **ASCENDING))
    at = next(n.id for n in plan.nodes if n.op == "permute")
    other = dataclasses.replace(plan.nodes[at], inputs=(plan.nodes[at].inputs[1], plan.nodes[at].inputs[1]))
    with pytest.raises(PlanError) as error:
        verify(dataclasses.replace(plan, nodes=(*plan.nodes[:at], other, *plan.nodes[at + 1 :])))
    assert error.value.code == "PLAN-012"


def test_only_results_stand_for_an_operation_with_several():
    b = builder()
    both = b.add("topk", [column(b, 0)], axis=0, k=2, largest=True)
    with pytest.raises(PlanError) as error:
        b.add("neg", [both])
    assert error.value.code == "PLAN-013"
    with pytest.raises(PlanError):
        b.add("result", [both], index=2)
    with pytest.raises(PlanError):
        b.add("result", [column(b, 0)], index=0)


def test_a_reveal_that_is_no_output_is_disclosed_too():
    b = builder()
    opened = b.reveal(b.add("add", [column(b, 0), column(b, 1)]), "an intermediate", to=1)
    b.output("y", b.reveal(b.add("neg", [opened]), "the end"))
    assert [d.purpose for d in b.build().disclosures() if d.kind == "reveal"] == ["an intermediate", "the end"]


def test_disclosure_says_what_is_computed():
    b = builder()
    total = b.add("sum", [b.add("concat", [column(b, p) for p in range(3)], axis=0)], axis=(0,), keepdims=False)
    b.output("mean", b.reveal(b.add("div", [total, b.constant(12.0)]), "p"))
    text = str(b.build().disclosures()[-1])
    together = "(`x0` of hospital0, `x1` of hospital1 and `x2` of hospital2 together)"
    assert text == f"`mean`: one value, the mean of {together}, to everyone, for: p"


def test_words_of_a_disclosure_say_how_far_each_operation_reaches():
    b = builder()
    x, y = column(b, 0), column(b, 1)
    three = b.constant(3)
    b.output("all", b.reveal(b.add("mul", [b.add("add", [x, y]), three]), "p"))
    b.output("one", b.reveal(b.add("add", [x, b.add("mul", [y, three])]), "p"))
    every, one = (d.what for d in b.build().disclosures() if d.kind == "reveal")
    assert "(`x0` of hospital0 plus `x1` of hospital1) times 3" in every
    assert "`x0` of hospital0 plus (`x1` of hospital1 times 3)" in one


def test_assumptions_in_loops_count_their_trips():
    (a,) = training(trips=7).assumptions()
    assert a.times == 7
    assert a.real == (-16.0, 16.0)
    assert str(a) == "a value in a loop (%10) is assumed to lie in [-16, 16], in each of 7 trips"


def test_words_of_a_long_chain_and_of_many_parts_stay_short():
    b = PlanBuilder(NAMES)
    parts = [column(b, k % 3, f"x{k}", n=1) for k in range(60)]
    y = b.add("concat", parts, axis=0)
    for _ in range(3000):
        y = b.add("neg", [b.add("flip", [y], axis=0)])
    b.output("y", b.reveal(y, "p"))
    assert len(str(b.build().disclosures()[-1])) < 500


def test_text_form_shows_each_node_loops_disclosures_and_assumptions():
    text = training().show()
    assert "plan training\nprotocol rep3, parties: 0 hospital0, 1 hospital1, 2 hospital2\n" in text
    assert "%4 = concat %2 %3 axis=0 : fixed(18)[390, 3] secret |x| <= 2^12" in text
    assert "    %8 = scale %7 numerator=1 shift=10 : fixed(18)[3] secret |x| <= 2^11 exact" in text
    assert "    next %10" in text
    assert "output weights = %" in text
    assert text.index("discloses") < text.index("assumes, without checking\n  a value in a loop (%10)")


def test_text_form_keeps_constants_short_and_shows_sources_and_that_nothing_is_assumed():
    b = builder()
    x = b.input(0, "x`", FIXED, (9,), source="rows.parquet")
    b.output("y", b.reveal(b.add("add", [x, b.constant(np.arange(9) / 8)]), "p"))
    text = b.build().show()
    assert "source=`rows.parquet`" in text
    assert "name=`x'`" in text
    assert "constant (0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, …) : fixed(18)[9] public" in text
    assert text.endswith("assumes, without checking\n  nothing\n")


def test_text_form_names_clients():
    b = builder("analyst")
    b.output("x", b.reveal(column(b, 0), "p", to=3))
    assert "3 analyst (client)" in b.build().show()


def test_a_plan_cannot_be_changed():
    plan = training()
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.title = "other"
    with pytest.raises(TypeError):
        plan.nodes[0].attrs["party"] = 2


def test_a_plan_can_be_pickled():
    plan = training()
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_building_twice_gives_the_same_plan():
    assert training().digest == training().digest != training(trips=31).digest
    verify(training())
    assert Public() != Secret()


# --- sources -------------------------------------------------------------------------------------------------------


def sourced(*inputs):
    """The inputs of a plan with these (party, source)."""
    b = builder()
    for k, (party, source) in enumerate(inputs):
        b.output(f"y{k}", b.reveal(b.input(party, f"x{k}", INT64, (2,), source=source), "p"))
    return [n for n in b.build().nodes if n.op == "input"]


def test_a_text_that_inputs_of_a_party_share_stands_once():
    text = "SELECT a, b FROM t"
    given = [(0, f"a#{text}"), (0, f"b#{text}"), (1, f"a#{text}"), (0, "file:x?column=a"), (0, "c#ab"), (0, "d#ab")]
    nodes = sourced(*given)

    assert [n.attrs["source"] for n in nodes] == [f"a#{text}", "b#%0", f"a#{text}", "file:x?column=a", "c#ab", "d#ab"]
    whole = {n.id: n for n in nodes}
    listing = [whole.get(k) for k in range(max(whole) + 1)]
    assert [full_source(listing, n) for n in nodes] == [source for _, source in given]


@pytest.mark.parametrize("reference", ["%1", "%2", "%3", "%99", "%-1", "%0x"])
def test_a_reference_to_anything_but_an_earlier_input_of_the_party_is_none(reference):
    b = builder()
    x = b.input(0, "x", INT64, (2,), source="a#text of party 0")
    y = b.add("neg", [x])
    z = b.input(1, "z", INT64, (2,), source=f"b#{reference}")
    b.output("y", b.reveal(y, "p"))
    b.output("z", b.reveal(z, "p"))
    plan = b.build()
    mine = next(n for n in plan.nodes if n.attrs.get("name") == "z")

    assert full_source(plan.nodes, mine) == f"b#{reference}"
    assert full_source(plan.nodes, dataclasses.replace(mine, attrs=mine.attrs.replaced(source="b#%0"))) == "b#%0"
