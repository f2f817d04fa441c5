# SPDX-License-Identifier: Apache-2.0
"""Runs under faults: the right result, or the same named error at all honest parties; the same seed, the same run."""

from itertools import product
from types import SimpleNamespace

import pytest

from tacit.errors import InputError
from tacit.transport.simulated import Fault, FaultKind, SimulatedNetwork

PARTIES, STEPS = 3, 4
PARTY_KINDS = (FaultKind.CRASH, FaultKind.FREEZE)


def ring(me):
    """Each party passes on what it has seen; the sizes differ by step and party."""
    total = me + 1
    for step in range(STEPS):
        before, after = (me - 1) % PARTIES, (me + 1) % PARTIES
        sends = {after: [bytes([total % 251]), bytes(step + me)]}
        inbox = yield SimpleNamespace(sends=sends, expects={before: 1 + step + before})
        total += inbox[before][0] * (step + 2)
    return total


async def all_to_all(me):
    """Everyone to everyone, as a coroutine."""

    class Exchange(SimpleNamespace):
        def __await__(self):
            return (yield self)

    peers = [p for p in range(PARTIES) if p != me]
    total = me + 1
    for _ in range(STEPS):
        inbox = await Exchange(sends={p: [bytes([total % 251])] for p in peers}, expects=dict.fromkeys(peers, 1))
        total += sum(view[0] for view in inbox.values())
    return total


def ahead(me):
    """As `all_to_all`, but a step is posted before the one before it is collected."""
    peers = [p for p in range(PARTIES) if p != me]
    total = me + 1

    def post(step):
        sends = {p: [bytes([me, step]), bytes(step)] for p in peers}
        return SimpleNamespace(sends=sends, expects=dict.fromkeys(peers, 2 + step), collects=False)

    yield post(0)
    for step in range(STEPS):
        if step + 1 < STEPS:
            assert (yield post(step + 1)) is None
        inbox = yield SimpleNamespace(posts=False)
        assert all(bytes(view[:2]) == bytes([p, step]) for p, view in inbox.items())
        total += sum(view[0] for view in inbox.values())
    return total


def run(program, seed=0, *faults):
    network = SimulatedNetwork(PARTIES, seed, faults, names=["alice", "bob", "carol"])
    return network.run([program(me) for me in range(PARTIES)]), network


@pytest.mark.parametrize("program", [ring, all_to_all, ahead])
def test_without_faults_every_seed_gives_the_same_results_by_another_schedule(program):
    runs = [run(program, seed) for seed in range(5)]

    assert len({tuple(o.result for o in outcomes) for outcomes, _ in runs}) == 1
    assert all(o.error is None and o.stopped is None for outcomes, _ in runs for o in outcomes)
    assert len({network.trace_hash for _, network in runs}) == 5


SINGLE_FAULTS = [
    Fault(kind, sender, step, None if kind in PARTY_KINDS else (sender + hop) % PARTIES, level, seconds, sent)
    for kind, sender, step in product(FaultKind, range(PARTIES), range(STEPS + 1))
    for hop in ([1] if kind in PARTY_KINDS else [1, 2])
    for level in (["record"] if kind in (*PARTY_KINDS, FaultKind.DELAY) else ["record", "frame"])
    for seconds in ([5.0, 700.0] if kind is FaultKind.DELAY else [0.0])
    for sent in ([0, 1] if kind in PARTY_KINDS else [0])
]


@pytest.mark.parametrize("kind", list(FaultKind))
@pytest.mark.parametrize("program", [ring, all_to_all, ahead])
def test_each_single_fault_ends_in_the_right_result_or_one_named_error(program, kind):
    right, _ = run(program)
    ended = set()
    for fault in (f for f in SINGLE_FAULTS if f.kind is kind):
        outcomes, network = run(program, 7, fault)
        honest = [(o, r) for o, r in zip(outcomes, right, strict=True) if o.stopped is None]
        errors = {str(o.error) for o, _ in honest if o.error is not None}

        if errors:
            assert len(errors) == 1 and all(o.error is not None for o, _ in honest), fault
            error = honest[0][0].error
            ended.add(error.code)
            assert error.party == network.names[fault.sender], fault
        else:
            assert all(o.result == r.result for o, r in honest), fault
    assert ended == EXPECTED[kind]


EXPECTED = {
    FaultKind.DELAY: {"TRANSPORT-012"},
    FaultKind.DROP: {"TRANSPORT-002", "TRANSPORT-004"},
    FaultKind.DUPLICATE: {"TRANSPORT-004", "TRANSPORT-008"},
    FaultKind.REORDER: {"TRANSPORT-004", "TRANSPORT-008"},
    FaultKind.CORRUPT: {"TRANSPORT-006", "TRANSPORT-008"},
    FaultKind.TRUNCATE: {"TRANSPORT-001", "TRANSPORT-003"},
    FaultKind.CRASH: {"TRANSPORT-001"},
    FaultKind.FREEZE: {"TRANSPORT-002"},
}


@pytest.mark.parametrize("kind", list(FaultKind))
def test_the_same_seed_and_faults_give_the_same_trace(kind):
    fault = Fault(kind, 1, 2, None if kind in PARTY_KINDS else 2, seconds=3.0)

    first, again, other = run(ring, 3, fault)[1], run(ring, 3, fault)[1], run(ring, 4, fault)[1]

    assert first.trace_hash == again.trace_hash
    assert first.trace_hash != other.trace_hash
    assert first.now == again.now


@pytest.mark.parametrize(
    "requests",
    [
        [SimpleNamespace(posts=False)],
        [SimpleNamespace(sends={}, expects={}, collects=False), SimpleNamespace(sends={}, expects={})],
        [SimpleNamespace(sends={}, expects={}, collects=False)],
    ],
)
def test_steps_out_of_order_are_refused(requests):
    def program(me):
        yield from requests

    outcomes, _ = run(program)

    assert {o.error.code for o in outcomes} == {"TRANSPORT-013"}


def test_an_error_raised_by_one_party_is_raised_by_all():
    def failing(me):
        yield SimpleNamespace(sends={}, expects={})
        if me == 1:
            raise InputError("INPUT-003", "row 7 is no number", party="bob")
        yield SimpleNamespace(sends={(me + 1) % 3: [b"x"]}, expects={(me - 1) % 3: 1})

    outcomes, _ = run(failing)

    assert {(type(o.error), o.error.code, o.error.party) for o in outcomes} == {(InputError, "INPUT-003", "bob")}


def test_two_failures_end_in_the_one_of_the_earlier_step():
    faults = [Fault(FaultKind.CORRUPT, 0, 1, 1), Fault(FaultKind.CRASH, 2, 2)]

    outcomes, _ = run(ring, 0, *faults)

    assert {o.error.code for o in outcomes if o.error} == {"TRANSPORT-008"}


def test_a_crash_ends_the_run_at_once_and_a_freeze_after_the_silence():
    _, crashed = run(all_to_all, 0, Fault(FaultKind.CRASH, 2, 1))
    _, frozen = run(all_to_all, 0, Fault(FaultKind.FREEZE, 2, 1))

    assert crashed.now < 2.0
    assert 10.0 < frozen.now < 12.0


def test_parties_that_disagree_about_sizes_end_by_name():
    def sizes(me):
        inbox = yield SimpleNamespace(sends={(me + 1) % 3: [bytes(8)]}, expects={(me - 1) % 3: 8 if me else 16})
        return len(inbox)

    outcomes, _ = run(sizes)

    assert {o.error.code for o in outcomes} == {"TRANSPORT-003"}
    assert {o.error.party for o in outcomes} == {"carol"}
