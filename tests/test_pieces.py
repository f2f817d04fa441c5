"""Large elementwise operations run in pieces: same result, bounded work, cost as estimated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tacit as tc
from tacit.engine.drive import Traffic, lockstep
from tacit.plan import Plan
from tacit.protocols.exchange import Exchange, gather, pipelined
from tacit.protocols.network import NETWORKS


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "loopback", replace(NETWORKS["loopback"], least=128, most=128))


RNG = np.random.default_rng(3)


@pytest.mark.parametrize("protocol", ["plain", "rep3"])
@pytest.mark.parametrize("shape", [(128,), (129,), (300,), (3, 100), (5, 7, 11)], ids=str)
def test_pieces_give_the_whole(protocol, shape):
    x, y = (RNG.integers(-50, 50, shape) for _ in range(2))
    row = RNG.integers(-5, 5, shape[-1:])
    with tc.local(protocol=protocol, transport="memory") as session:
        a, b = session.input(x, 0, range=(-50, 50)), session.input(y, 1, range=(-50, 50))
        r = session.input(row, 2, range=(-5, 5))
        results = tc.reveal(a * b, a < b, a * r, tc.where(a < r, a, b), (a < b) & (a == r), a * y, abs(a).clip(3, 9))
    below = x < row
    want = [x * y, x < y, x * row, np.where(below, x, y), (x < y) & (x == row), x * y, abs(x).clip(3, 9)]
    for got, expected in zip(results, want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_cost_of_pieces_is_estimated_exactly():
    with tc.local(transport="memory") as session:
        a, b = (session.input(RNG.integers(-9, 9, 1000), p, range=(-9, 9)) for p in (0, 1))
        cost = session.cost(a < b)
        (a < b).reveal()
        assert (cost.rounds, cost.bytes_total) == (session.last.rounds, session.last.bytes_total)
        # The pieces do not wait for each other: six rounds; one each for keys, inputs and the result.
        assert cost.rounds == 6 + 3


def test_pieces_keep_operations_beside_them_in_the_same_rounds():
    with tc.local(transport="memory") as session:
        a, b = (session.input(RNG.integers(-9, 9, 1000), p, range=(-9, 9)) for p in (0, 1))
        c = session.input(RNG.integers(-9, 9, 10), 2, range=(-9, 9))
        apart = [session.cost(x) for x in (a < b, a * b, c < 3)]
        together = session.cost(a < b, a * b, c < 3)
        got = tc.reveal(a < b, a * b, c < 3)
        assert (together.rounds, together.bytes_total) == (session.last.rounds, session.last.bytes_total)
        assert together.rounds == max(cost.rounds for cost in apart)
        assert got[2].shape == (10,)


@pytest.mark.parametrize("network", ["lan", "wan"])
def test_a_plan_for_a_network_says_so_and_costs_what_is_measured_there(network):
    x, y = RNG.integers(-(2**40), 2**40, 1000), RNG.integers(-(2**40), 2**40, 1000)
    with tc.local(transport="memory", network=network) as session, tc.local(transport="memory") as usual:
        results = []
        for s in (session, usual):
            a, b = (s.input(v, p, range=(-(2**40), 2**40)) for p, v in enumerate((x, y)))
            out = [a < b, tc.sort(a, strategy="shuffle")]
            plan = s.plan_of(*out)
            results.append((plan, s.cost(*out), tc.reveal(*out), s.last))
    (plan, cost, got, last), (other, otherwise, *_) = results
    assert plan.network == network and f"on a {network}" in plan.show()
    assert Plan.from_bytes(plan.to_bytes()).digest == plan.digest != other.digest
    assert plan.disclosures() == other.disclosures()
    assert (cost.rounds, cost.bytes_total) == (last.rounds, last.bytes_total)
    assert cost.seconds < other.cost(network).seconds and cost.rounds <= otherwise.rounds
    np.testing.assert_array_equal(got[0], x < y)
    np.testing.assert_array_equal(got[1], np.sort(x))


def test_pieces_follow_each_other_over_tls():
    x = RNG.integers(-9, 9, 300_001)
    with tc.local(network="lan") as session:
        a = session.input(x, 0, range=(-9, 9))
        out = [a * a, a < 0]
        got = tc.reveal(*out)
        cost = session.cost(*out)
        assert (cost.rounds, cost.bytes_total) == (session.last.rounds, session.last.bytes_total)
    np.testing.assert_array_equal(got[0], x * x)
    np.testing.assert_array_equal(got[1], x < 0)


# --- pipelined lanes ------------------------------------------------------------------------------------------------


async def lane(count, log=None, name="", size=1):
    """`count` exchanges of a party with itself."""
    for k in range(count):
        if log is not None:
            log.append(f"{name}{k}")
        inbox = await Exchange({0: [name.encode() + bytes(size)]}, {0: len(name) + size})
        assert bytes(inbox[0]).startswith(name.encode())
    return count


def test_pipelined_lanes_start_before_the_first_has_ended_and_keep_their_order():
    log = []
    traffic = Traffic()

    async def program():
        return await pipelined((lane(n, log, name) for n, name in ((2, "a"), (1, "b"), (3, "c"), (0, "d"))), 2)

    (results,) = lockstep([program()], traffic)
    assert results == [2, 1, 3, 0]
    assert log == ["a0", "b0", "a1", "c0", "c1", "c2"]
    assert (traffic.rounds, traffic.exchanges, traffic.bytes_total) == (3, 6, 12)


def test_lanes_apart_are_each_at_another_exchange():
    log = []
    traffic = Traffic()

    async def program():
        return await pipelined((lane(3, log, name) for name in "abc"), 3, apart=True)

    (results,) = lockstep([program()], traffic)
    assert results == [3, 3, 3]
    assert log == ["a0", "b0", "a1", "c0", "b1", "a2", "c1", "b2", "c2"]
    assert (traffic.rounds, traffic.exchanges) == (3, 9)


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_nested_and_merged_pipelines_have_the_rounds_of_the_longest_chain(in_flight):
    async def inner(n):
        await lane(1)
        return sum(await pipelined((lane(k) for k in (n, 1, n)), in_flight))

    async def program():
        before = await lane(2)
        both = await gather(inner(3), pipelined((inner(2), inner(1), lane(2)), in_flight), lane(5))
        return [before, both, await lane(1)]

    traffic = Traffic()
    (result,) = lockstep([program()], traffic)
    assert result == [2, [7, [5, 3, 2], 5], 1]
    # Two, then the five of the longest of those side by side, then one.
    assert traffic.rounds == 2 + 5 + 1
    assert traffic.bytes_total == 2 + 8 + (6 + 4 + 2) + 5 + 1


def test_a_lane_that_fails_closes_the_others():
    closed = []

    async def other():
        try:
            await lane(9)
        finally:
            closed.append(True)

    async def fails():
        await lane(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lockstep([pipelined([other(), fails()], 2)])
    assert closed == [True]


def test_fixed_point_in_pieces_is_as_accurate():
    x = RNG.uniform(-8, 8, 1000)
    with tc.local(transport="memory") as session:
        a = session.input(x, range=(-8, 8))
        got = tc.sigmoid(a).reveal()
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-x)), atol=2**-16)
