"""A line of a protocol is its steps one by one, to the last bit; and which loops become one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tacit as tc
from harness import rep3_boxes, rep3_keys, share, u64
from plan_oracle import Oracle
from tacit import kernels
from tacit.engine import execute
from tacit.engine.drive import Traffic, dry_run, lockstep
from tacit.engine.keys import begin
from tacit.engine.line import Line, line_of
from tacit.plan import INT64, Interval, Plan, PlanBuilder, Region, RegionBuilder
from tacit.protocols.blackbox import BlackBox, LineStep
from tacit.protocols.dry import Dry
from tacit.protocols.exchange import gather
from tacit.protocols.rep3 import Rep3
from tacit.protocols.shares import Arith

VALUES = (3 << 18, -(5 << 17), 1 << 18)
"""What registers hold at first; three more are there for results."""
REGISTERS = len(VALUES) + 3
F = 18


@st.composite
def steps(draw: st.DrawFn) -> list[LineStep]:
    register = st.integers(0, REGISTERS - 1)
    word = st.sampled_from([0, 1, 3, 2**64 - 1])
    combine = st.tuples(st.just("combine"), register, register, word, register, word)
    product = st.tuples(st.just("product"), register, register, register, st.sampled_from([0, 1, F, 61]))
    truncate = st.tuples(st.just("truncate"), register, register, st.sampled_from([1, F, 61]))
    return draw(st.lists(st.one_of(combine, product, truncate), max_size=5))


def line(
    run: Any, program: list[LineStep], carried: list[int], shape: tuple[int, ...], trips: int
) -> tuple[list[Any], list[Any], int]:
    """Results at each party, all messages, and the number of streams."""
    boxes = rep3_boxes()
    values = [share(boxes, np.full(shape, value)) for value in (*VALUES, 0, 0, 0)]
    traffic = Traffic()
    programs = [run(box, program, carried, [v[box.me] for v in values], trips) for box in boxes]
    results = lockstep(programs, traffic, record=True)
    parts = [[[p.tolist() for p in x.parts] for x in result] for result in results]
    return parts, traffic.messages, boxes[0]._stream


@settings(max_examples=60, deadline=None)
@given(
    program=steps(),
    carried=st.lists(st.integers(0, REGISTERS - 1), min_size=1, max_size=3),
    shape=st.sampled_from([(), (1,), (2, 3), (64,), (65,), (3, 50), (200,), (0,)]),
    trips=st.integers(1, 3),
)
def test_a_line_sends_and_gives_what_its_steps_do(
    program: list[LineStep], carried: list[int], shape: tuple[int, ...], trips: int
) -> None:
    assert line(Rep3.line, program, carried, shape, trips) == line(BlackBox.line, program, carried, shape, trips)


def test_lines_that_share_rounds_share_no_streams() -> None:
    program: list[LineStep] = [("product", 1, 0, 0, 0), ("product", 1, 1, 0, F)]
    boxes = rep3_boxes()
    x = share(boxes, np.full(70, 1 << 9))
    first = boxes[0]._stream

    async def both(box: Rep3) -> list[Any]:
        zero = box.constant(np.zeros(70, np.uint64))
        return await gather(*(box.line(program, [1], [x[box.me], zero], 2) for _ in range(2)))

    traffic = Traffic()
    results = lockstep([both(box) for box in boxes], traffic, record=True)
    assert boxes[0]._stream - first == 2 * 2 * 11
    # Lanes are independent: as many rounds as one, and no two messages with the same masks.
    assert traffic.rounds == 2 * 4
    for party in results:
        (one,), (other,) = party
        assert one.parts[0].tolist() != other.parts[0].tolist()


def test_a_line_costs_what_its_steps_declare() -> None:
    program: list[LineStep] = [("product", 3, 0, 1, F), ("truncate", 4, 3, 2), ("combine", 3, 4, 1, 0, 1)]
    boxes = rep3_boxes()
    values = [share(boxes, np.full(70, value)) for value in VALUES]
    zeros = np.zeros(70, np.uint64)

    def run(box: BlackBox, shares: list[Arith]) -> Any:
        return box.line(program, [3], [*shares, box.constant(zeros), box.constant(zeros)], 4)

    traffic = Traffic()
    lockstep([run(box, [v[box.me] for v in values]) for box in boxes], traffic)
    dry = Dry(Rep3, 3)
    shares = [dry.constant(u64(np.full(70, v))) for v in VALUES]
    assert dry_run(run(dry, shares)) == traffic.cost == Rep3.line.cost(dry, program, [3], shares, 4)


def test_a_native_line_refuses_what_does_not_fit() -> None:
    keys, x = rep3_keys(), np.zeros(4, np.uint64)

    def make(steps: list[Any], carried: tuple[int, ...] = (0,), n: int = 4, trips: int = 1) -> kernels.Rep3Line:
        return kernels.Rep3Line(0, n, keys[0], keys[1], 0, [(x, x)], steps, carried, trips)

    for wrong in (
        lambda: make([("product", 1, 0, 0, 0)]),
        lambda: make([("product", 0, 0, 1, 0)]),
        lambda: make([("product", 0, 0, 0, 62)]),
        lambda: make([("truncate", 0, 0, 0)]),
        lambda: make([("quotient", 0, 0, 0)]),
        lambda: make([], carried=(1,)),
        lambda: make([], n=5),
        lambda: make([], trips=0),
    ):
        with pytest.raises(ValueError):
            wrong()
    line = make([("product", 0, 0, 0, 0)])
    assert line.advance(None) is not None
    with pytest.raises(ValueError):
        line.advance(None)
    with pytest.raises(ValueError):
        line.advance({1: memoryview(bytes(31))})
    # What was refused may be given again; the end stays the end.
    assert [line.advance({1: memoryview(bytes(32))}) for _ in range(3)] == [None] * 3
    assert "0" not in repr(line)


class Recorded(Oracle):
    """Three parties in this thread, and all that they send."""

    def run(self, plan: Plan, bindings: Mapping[str, np.ndarray]) -> dict[str, Any]:
        owners = {n.attrs["name"]: n.attrs["party"] for n in plan.nodes if n.op == "input"}

        async def party(me: int) -> dict[str, Any]:
            mine = {name: raw.view(np.uint64) for name, raw in bindings.items() if owners[name] == me}
            box = await begin("rep3", me, 3, bytes.fromhex(plan.digest), bytes(16), bytes([me]) * 32)
            return await execute.execute(plan, box, mine)

        traffic = Traffic()
        results = lockstep([party(me) for me in range(3)], traffic, record=True)
        self.messages = traffic.messages
        return results[0]


def test_a_loop_of_few_sums_and_products_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fixed-point numbers, a public constant, captured values: the same messages and result as one by one."""
    found: list[Line | None] = []

    def run(choose: Callable[[Region], Line | None]) -> tuple[Any, Any]:
        def chosen(region: Region) -> Line | None:
            found.append(choose(region))
            return found[-1]

        monkeypatch.setattr(execute, "line_of", chosen)
        engine = Recorded()
        x, y = engine.input(np.full(5, 0.75), 0, (-1, 1)), engine.input(np.full(5, 0.5), 1, (0, 1))
        out = tc.loop(4, lambda v: (1.5 - v * y + x) * v * 0.5, x, ranges=[(-4, 4)])
        # What is disclosed is rounded exactly, so it is not the result of the loop itself.
        return (out * y).reveal().tolist(), engine.messages

    got, messages = run(line_of)
    assert found[0] is not None
    assert (got, messages) == run(lambda _: None)
    want = 0.75
    for _ in range(4):
        want = (1.5 - want * 0.5 + 0.75) * want * 0.5
    np.testing.assert_allclose(got, want * 0.5, atol=2.0**-13)


def _body(step: Any, n: int = 5, kind: str = "int") -> Any:
    o = Oracle()
    values = np.ones(n, np.int64) if kind == "int" else np.full(n, 0.5)
    x, y = o.input(values, 0, (0, 2)), o.input(values, 1, (0, 2))
    plan = o.program.plan([tc.loop(2, lambda v: step(v, y), x, ranges=[(-8, 8)])], None, "result")
    return next(node.attrs["body"] for node in plan.nodes if node.op == "repeat")


def test_what_is_no_line() -> None:
    assert line_of(_body(lambda v, y: v * y - 1)) is not None
    assert line_of(_body(lambda v, y: v * y - 1, n=5000)) is None
    assert line_of(_body(lambda v, y: v + y)) is None
    assert line_of(_body(lambda v, y: v * 0 + (v * y).sum())) is None
    assert line_of(_body(lambda v, y: tc.sigmoid(v) * y, kind="fixed")) is None


def test_what_a_body_captures_and_does_not_use_may_have_any_shape() -> None:
    b = PlanBuilder(["a", "b", "c"])
    shapes = ((5,), (5,), (3, 4))
    x, z, idle = (
        b.add("share", [b.input(k, f"x{k}", INT64, shape, interval=Interval(0, 2))]) for k, shape in enumerate(shapes)
    )

    def body(region: RegionBuilder, carried: list[int]) -> list[int]:
        region.capture(idle)
        return [region.add("assume", [region.add("mul", [carried[0], region.capture(z)])], lo=0, hi=8)]

    b.output("y", b.reveal(b.repeat(3, [x], body, [Interval(0, 8)])[0], "p"))
    inputs = {f"x{k}": np.full(shape, 2, np.int64) for k, shape in enumerate(shapes)}
    assert Recorded().run(b.build(), inputs)["y"].tolist() == [16] * 5


def test_registers_of_a_line_are_named_once() -> None:
    found = line_of(_body(lambda v, y: (v * y - 1) * y))
    assert found is not None
    outs = [step[1] for step in found.steps]
    assert outs == sorted(outs) and all(b == a + 1 for a, b in pairwise(outs))
