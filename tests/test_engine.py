"""A plan runs the same under rep3 and plain, costs what was estimated, and gives each party only what is its own."""

from __future__ import annotations

import numpy as np
import pytest

from tacit.engine.drive import Traffic, lockstep
from tacit.engine.estimate import estimate
from tacit.engine.execute import execute
from tacit.engine.keys import HELLO_BYTES, begin
from tacit.engine.profile import Profile
from tacit.errors import PlanError, RunError
from tacit.plan import FIXED, INT64, Interval, Plan, PlanBuilder, Secret
from tacit.protocols.plain import Plain
from tacit.protocols.rep3 import Rep3

RNG = np.random.default_rng(7)
X, Y = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))
Z, C = RNG.integers(-9, 9, 5), RNG.integers(-9, 9, 5)
SMALL = Interval(-(2**22), 2**22)
SESSION = bytes(16)


def raw(values):
    values = np.asarray(values)
    return (np.round(values * 2**18) if values.dtype.kind == "f" else values).astype(np.int64).view(np.uint64)


def real(values):
    return values.view(np.int64) / 2**18


def mixed_plan(protocol: str) -> Plan:
    b = PlanBuilder(["a", "b", "c", "client"], 3, protocol)
    x, y = b.input(0, "x", FIXED, (5, 3), SMALL), b.input(1, "y", FIXED, (5, 3), SMALL)
    z, client = b.input(2, "z", INT64, (5,)), b.input(3, "cl", INT64, (5,))
    total = b.add("sum", [b.add("mul", [x, y])], axis=(0,), keepdims=False)
    below = b.add("lt", [x, y])
    least = b.add("where", [below, x, y])
    gram = b.add("matmul", [b.add("transpose", [x], axes=(1, 0)), y])
    both = b.add("add", [z, client])
    order = b.add("sort", [both], axis=0, descending=False)
    (halved,) = b.repeat(
        4,
        [b.add("sum", [least], axis=(0,), keepdims=False)],
        lambda r, v: [
            r.add("scale", [r.add("sub", [v[0], r.capture(b.at_home(total, Secret()))])], numerator=1, shift=2)
        ],
        [Interval(-(2**45), 2**45)],
    )
    for label, value, to in (
        ("total", total, None),
        ("least", least, 1),
        ("gram", gram, None),
        ("twice", b.add("add", [x, x]), None),
        ("both", both, 3),
        ("order", order, None),
        ("below", below, None),
        ("halved", halved, None),
    ):
        b.output(label, b.reveal(value, "test", to))
    return b.build()


def run(plan: Plan, protocol: str, inputs=None, observers=(None, None, None)):
    dealer = Rep3 if protocol == "rep3" else Plain
    messages = dealer.deal(raw(C), [bytes([i]) * 16 for i in range(3)])
    mine = [{"x": raw(X)}, {"y": raw(Y)}, {"z": raw(Z)}] if inputs is None else inputs

    async def party(me: int):
        box = await begin(protocol, me, 3, bytes.fromhex(plan.digest), SESSION, bytes([me]) * 32)
        return await execute(plan, box, {**mine[me], "cl": box.receive(messages[me], (5,))}, observers[me])

    traffic = Traffic()
    return lockstep([party(me) for me in range(3)], traffic), traffic


@pytest.mark.parametrize("protocol", ["rep3", "plain"])
def test_every_kind_of_home_and_output_gives_the_plaintext_result(protocol):
    results, _ = run(mixed_plan(protocol), protocol)
    first = results[0]

    np.testing.assert_allclose(real(first["total"]), (X * Y).sum(0), atol=1e-4)
    np.testing.assert_allclose(real(first["gram"]), X.T @ Y, atol=1e-4)
    np.testing.assert_allclose(real(first["twice"]), 2 * X, atol=1e-5)
    np.testing.assert_array_equal(first["order"].view(np.int64), np.sort(Z + C))
    np.testing.assert_array_equal(first["below"], X < Y)
    value = np.minimum(X, Y).sum(0)
    for _ in range(4):
        value = (value - (X * Y).sum(0)) / 4
    np.testing.assert_allclose(real(first["halved"]), value, atol=1e-3)
    combine = Rep3.combine if protocol == "rep3" else Plain.combine
    np.testing.assert_array_equal(combine([r["both"] for r in results]).view(np.int64), Z + C)


def test_a_result_for_one_party_reaches_that_party_only():
    results, _ = run(mixed_plan("rep3"), "rep3")

    np.testing.assert_allclose(real(results[1]["least"]), np.minimum(X, Y), atol=1e-5)
    assert results[0]["least"] is None and results[2]["least"] is None


@pytest.mark.parametrize("protocol", ["rep3", "plain"])
def test_the_estimate_is_the_measured_cost(protocol):
    plan = mixed_plan(protocol)
    _, traffic = run(plan, protocol)
    report = estimate(plan)

    if protocol == "rep3":
        assert (report.rounds, report.bytes_total) == (traffic.rounds, traffic.bytes_total)
    assert estimate(plan, "wan").seconds > report.seconds


def test_independent_operations_share_rounds():
    def rounds(count: int) -> int:
        b = PlanBuilder(["a", "b", "c"], 3, "rep3")
        for k in range(count):
            x = b.input(k % 3, f"x{k}", INT64, (4,), Interval(-9, 9))
            b.output(
                str(k), b.reveal(b.add("lt", [x, b.input((k + 1) % 3, f"y{k}", INT64, (4,), Interval(-9, 9))]), "t")
            )
        return estimate(b.build()).rounds

    assert rounds(1) == rounds(5)


def sigmoid_plan(shared: bool = False, squared: bool = True) -> Plan:
    """The square of sigmoid(x y), with x y having another user if `shared`; without the square the sigmoid is exact."""
    b = PlanBuilder(["a", "b", "c", "client"], 3, "rep3")
    x, y = b.input(0, "x", FIXED, (5, 3), SMALL), b.input(1, "y", FIXED, (5, 3), SMALL)
    product = b.add("mul", [x, y])
    gate = b.add("sigmoid", [product])
    for label, value in [("gate", gate), *([("product", product)] if shared else [])]:
        b.output(label, b.reveal(b.add("square", [value]) if squared else value, "test", None))
    b.output("cl", b.reveal(b.input(3, "cl", INT64, (5,)), "test", 3))
    return b.build()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("squared", [False, True])
def test_a_product_is_truncated_while_its_only_user_looks_at_its_high_bits(shared: bool, squared: bool):
    plan = sigmoid_plan(shared, squared)
    results, traffic = run(plan, "rep3")

    gate = 1 / (1 + np.exp(-X * Y))
    np.testing.assert_allclose(real(results[0]["gate"]), gate**2 if squared else gate, atol=3 * 2.0**-18)
    if shared:
        product = (X * Y) ** 2 if squared else X * Y
        np.testing.assert_allclose(real(results[0]["product"]), product, atol=1e-4)
    assert (estimate(plan).rounds, estimate(plan).bytes_total) == (traffic.rounds, traffic.bytes_total)


def test_only_a_product_with_one_user_is_left_to_it_and_only_where_nothing_shows_it():
    alone, shared = (estimate(sigmoid_plan(shared)) for shared in (False, True))

    assert alone.rounds == shared.rounds - 2
    assert {op.op for op in alone.by_op} >= {"lut_near", "truncate"}
    assert "lut_near" not in {op.op for op in estimate(sigmoid_plan(squared=False)).by_op}


def test_parties_with_different_plans_stop_before_computing():
    async def hello(me: int):
        return await begin("rep3", me, 3, bytes([me == 2]) * 32, SESSION, bytes([me]) * 32)

    with pytest.raises(PlanError, match="PLAN-901"):
        lockstep([hello(me) for me in range(3)])


def test_parties_in_different_sessions_stop_before_computing():
    async def hello(me: int):
        return await begin("rep3", me, 3, bytes(32), bytes([me == 1]) * 16, bytes([me]) * 32)

    with pytest.raises(PlanError, match="PLAN-902"):
        lockstep([hello(me) for me in range(3)])


def test_a_protocol_that_needs_three_parties_is_refused_with_two():
    with pytest.raises(PlanError, match="PLAN-903"):
        lockstep([begin("rep3", me, 2, bytes(32), SESSION, bytes(32)) for me in range(2)])


def test_a_missing_input_is_named_with_its_party():
    with pytest.raises(RunError, match=r"RUN-910.*`y`.*b"):
        run(mixed_plan("rep3"), "rep3", inputs=[{"x": raw(X)}, {}, {"z": raw(Z)}])


def test_the_profile_names_each_operation_with_its_rounds():
    b = PlanBuilder(["a", "b", "c"], 3, "rep3")
    x, y = (b.input(p, "xy"[p], INT64, (64,), Interval(-9, 9)) for p in (0, 1))
    b.output("lt", b.reveal(b.add("lt", [x, y]), "t"))
    plan = b.build()
    traffic = Traffic()
    profile = Profile(lambda: (traffic.rounds, traffic.bytes_sent.get(0, 0)))
    values = raw(np.arange(64) % 5)

    async def party(me: int):
        box = await begin("rep3", me, 3, bytes.fromhex(plan.digest), SESSION, bytes([me]) * 32)
        own = {0: {"x": values}, 1: {"y": values}}.get(me, {})
        return await execute(plan, box, own, profile if me == 0 else None)

    lockstep([party(me) for me in range(3)], traffic)
    by_op = {entry.op: entry for entry in profile.of(plan.nodes).values()}
    assert by_op["lt"].rounds == 6
    assert by_op["reveal"].rounds == 1
    seconds, cpu, rounds, sent = profile.execution()
    # All but the round in which the parties agreed on plan and keys.
    assert (rounds, sent) == (traffic.rounds - 1, traffic.bytes_sent[0] - 2 * HELLO_BYTES)
    assert seconds >= max(e.seconds for e in by_op.values()) and cpu >= 0


def test_a_profile_of_nothing_is_nothing():
    assert Profile(lambda: (5, 7)).execution() == [0, 0, 0, 0]
