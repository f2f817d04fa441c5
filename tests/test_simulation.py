"""A whole session in the simulator: same seed, same run; every single fault ends right, or the same at all.

The session is the real one: keys are agreed, the plan is executed, results are opened. What is simulated is the
clock, the network and the parties' processes. Failure: an honest party ends with a wrong result, with no ending, or
with another error than the other honest parties. Not a failure: a run that a fault stops, as long as everyone says so.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tacit.engine.estimate import estimate
from tacit.engine.execute import execute
from tacit.engine.keys import begin
from tacit.errors import InputError
from tacit.plan import INT64, Interval, Plan, PlanBuilder
from tacit.protocols.network import NETWORKS
from tacit.transport.simulated import Fault, FaultKind, SimulatedNetwork

# Powers of distinct primes: any result that mixes up or loses a contribution is recognisable.
INPUTS = [np.array([2, 3, 5]), np.array([7, 11, -13]), np.array([17, -19, 23])]
SESSION = bytes(range(16))
KINDS = [
    (kind, level)
    for kind in FaultKind
    for level in (("record", "frame") if kind in (FaultKind.CORRUPT, FaultKind.TRUNCATE) else ("record",))
]
FRAMES_TOO = [(kind, "frame") for kind in (FaultKind.DUPLICATE, FaultKind.REORDER)]


def workload() -> Plan:
    b = PlanBuilder(["north", "south", "west"], 3, "rep3")
    x, y, z = (b.input(p, "xyz"[p], INT64, (3,), Interval(-99, 99)) for p in range(3))
    b.output("product", b.reveal(b.add("mul", [x, y]), "test"))
    b.output("below", b.reveal(b.add("lt", [y, z]), "test"))
    b.output("mine", b.reveal(b.add("add", [x, z]), "test", 1))
    return b.build()


PLAN = workload()
X, Y, Z = INPUTS


def parties(plan=PLAN, inputs=INPUTS):
    async def party(me: int):
        box = await begin("rep3", me, 3, bytes.fromhex(plan.digest), SESSION, bytes([me]) * 32)
        return await execute(plan, box, {"xyz"[me]: inputs[me].astype(np.int64).view(np.uint64)})

    return [party(me) for me in range(3)]


def simulate(seed: int, *faults: Fault, plan=PLAN, inputs=INPUTS):
    network = SimulatedNetwork(3, seed, list(faults), names=PLAN.parties)
    return network.run(parties(plan, inputs)), network.trace_hash


def right(me: int, result) -> bool:
    mine = result["mine"]
    return (
        (result["product"].view(np.int64) == X * Y).all()
        and (result["below"] == (Y < Z)).all()
        and ((mine is None) if me != 1 else (mine.view(np.int64) == X + Z).all())
    )


def verdict(outcomes, faulty: int | None, right=right) -> str | None:
    """None if all is well, else what went wrong."""
    honest = [(me, o) for me, o in enumerate(outcomes) if me != faulty]
    errors = set()
    for me, outcome in honest:
        if outcome.error is not None:
            errors.add((outcome.error.code, outcome.error.party, str(outcome.error)))
        elif outcome.result is None:
            return f"party {me} has no ending"
        elif not right(me, outcome.result):
            return f"party {me} has a wrong result"
    if len(errors) > 1:
        return f"parties disagree: {sorted(errors)}"
    if errors and any(o.error is None for _, o in honest):
        # Only at the very end may some parties have finished when another one fails.
        return f"some parties ended with a result, others with {sorted(errors)}"
    return None


def test_without_faults_every_party_has_the_right_result():
    outcomes, _ = simulate(1)
    assert verdict(outcomes, None) is None
    assert all(o.error is None for o in outcomes)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_seed_gives_the_same_run(seed):
    fault = Fault(FaultKind.DELAY, 0, 3, 1, seconds=2.0)
    assert simulate(seed, fault)[1] == simulate(seed, fault)[1]
    assert simulate(seed, fault)[1] != simulate(seed + 1, fault)[1]


@pytest.mark.parametrize(("kind", "level"), KINDS + FRAMES_TOO, ids=lambda v: getattr(v, "value", v))
def test_a_single_fault_at_any_round_ends_right_or_the_same_everywhere(kind, level):
    party_fault = kind in (FaultKind.CRASH, FaultKind.FREEZE)
    failures, stopped = [], 0
    for step in range(estimate(PLAN).rounds):
        for sender in range(3):
            for receiver in [None] if party_fault else [p for p in range(3) if p != sender]:
                for sent in (0, 1, 2) if party_fault else (0,):
                    fault = Fault(kind, sender, step, receiver, level=level, seconds=1.5, sent=sent)
                    outcomes, _ = simulate(step, fault)
                    wrong = verdict(outcomes, sender if party_fault else None)
                    stopped += any(o.error is not None for o in outcomes)
                    if wrong:
                        failures.append(f"{fault}: {wrong}")
    assert not failures, "\n".join(failures[:20])
    # The test must be able to fail: all kinds but the harmless ones do stop runs.
    assert (stopped == 0) == (kind is FaultKind.DELAY)


@pytest.mark.parametrize(("kind", "level"), KINDS + FRAMES_TOO, ids=lambda v: getattr(v, "value", v))
def test_a_single_fault_while_pieces_are_in_flight_ends_right_or_the_same_everywhere(kind, level, monkeypatch):
    monkeypatch.setitem(NETWORKS, "loopback", replace(NETWORKS["loopback"], least=64, most=64, in_flight=3))
    b = PlanBuilder(PLAN.parties, 3, "rep3")
    x, y = (b.input(p, "xy"[p], INT64, (300,), Interval(-99, 99)) for p in range(2))
    b.output("product", b.reveal(b.add("mul", [x, y]), "test"))
    plan, inputs = b.build(), [np.tile(values, 100) for values in INPUTS]

    def right(me: int, result) -> bool:
        return (result["product"].view(np.int64) == inputs[0] * inputs[1]).all()

    party_fault = kind in (FaultKind.CRASH, FaultKind.FREEZE)
    failures, stopped = [], 0
    # Agreement, inputs, five pieces, opening.
    for step in range(8):
        for sender in range(3):
            for receiver in [None] if party_fault else [p for p in range(3) if p != sender]:
                fault = Fault(kind, sender, step, receiver, level=level, seconds=1.5)
                outcomes, _ = simulate(step, fault, plan=plan, inputs=inputs)
                wrong = verdict(outcomes, sender if party_fault else None, right)
                stopped += any(o.error is not None for o in outcomes)
                if wrong:
                    failures.append(f"{fault}: {wrong}")
    assert not failures, "\n".join(failures[:20])
    assert (stopped == 0) == (kind is FaultKind.DELAY)


def test_an_error_at_one_party_is_the_error_of_all():
    programs = parties()
    programs[1].close()

    async def failing(me: int):
        await begin("rep3", me, 3, bytes.fromhex(PLAN.digest), SESSION, bytes([me]) * 32)
        raise InputError("INPUT-001", "the file is missing", party="south", next="look for it")

    programs[1] = failing(1)
    outcomes = SimulatedNetwork(3, 5, [], names=PLAN.parties).run(programs)
    assert {(o.error.code, o.error.party) for o in outcomes} == {("INPUT-001", "south")}


def sort_of(n: int) -> Plan:
    b = PlanBuilder(["north", "south", "west"], 3, "rep3")
    x, y = (b.input(p, "xy"[p], INT64, (n,), Interval(-99, 99)) for p in range(2))
    b.output(
        "sorted", b.reveal(b.add("sort", [b.add("add", [x, y])], axis=0, descending=False, strategy="shuffle"), "test")
    )
    return b.build()


def test_a_party_that_dies_in_any_round_of_a_sort_ends_it_everywhere():
    plan = sort_of(200)
    values = np.random.default_rng(2).integers(-99, 99, 200)

    async def party(me: int):
        box = await begin("rep3", me, 3, bytes.fromhex(plan.digest), SESSION, bytes([me]) * 32)
        own = {"xyz"[me]: values.view(np.uint64)} if me < 2 else {}
        return await execute(plan, box, own)

    def outcomes(*faults: Fault):
        network = SimulatedNetwork(3, 1, list(faults), names=plan.parties)
        return network.run([party(me) for me in range(3)])

    for outcome in outcomes():
        assert (outcome.result["sorted"].view(np.int64) == np.sort(2 * values)).all()
    rounds = estimate(plan).rounds
    assert rounds > 10
    for step in range(rounds):
        dead = step % 3
        ends = outcomes(Fault(FaultKind.CRASH, dead, step, None))
        told = [o.error for me, o in enumerate(ends) if me != dead]
        if step == rounds - 1 and None in told:
            continue  # It had already sent what the others were waiting for.
        assert len({(e.code, e.party) for e in told}) == 1, step
        assert told[0].party == plan.parties[dead], step
