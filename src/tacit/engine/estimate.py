# SPDX-License-Identifier: Apache-2.0
"""What a plan will cost: exact rounds and bytes from the protocols' declarations, and an estimate of the time.

The plan runs on `protocols/dry.py`, which pays what the real protocol declares; so the numbers are exact, the merging
of independent rounds included. Seconds are a model: latency, bandwidth and a measured rate of local work.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

from tacit.engine.drive import Traffic, dry_run
from tacit.engine.execute import execute
from tacit.engine.keys import HELLO_BYTES, PROTOCOLS
from tacit.errors import PlanError
from tacit.plan import Node, Plan
from tacit.protocols.dry import Dry
from tacit.protocols.network import NETWORKS

WORK_S_PER_BYTE: Final = 2.5e-9
"""Local work per byte that all parties send, on one core per party: measured over the bench tasks."""
WORK_S_PER_EXCHANGE: Final = 60e-6
"""Work per exchange that does not depend on sizes: dispatch and framing."""


@dataclass(frozen=True)
class OpCost:
    """What one kind of operation costs on its own in a plan: number of runs, rounds if nothing merged, bytes."""

    op: str
    runs: int
    rounds: int
    bytes_total: int


@dataclass(frozen=True, repr=False)
class PricedPlan(Plan):
    """A plan that also tells what it costs: what a session hands out."""

    def cost(self, network: str | None = None) -> CostReport:
        """Exact rounds and bytes; estimated seconds on "loopback", "lan" or "wan", by default what the plan is written
        for. Raises PlanError PLAN-904.
        """
        return estimate(self, network)

    @staticmethod
    def of(plan: Plan) -> PricedPlan:
        """The same plan with the same digest."""
        return PricedPlan(*(getattr(plan, field.name) for field in fields(plan)))


@dataclass(frozen=True)
class CostReport:
    """Exact `rounds` and payload `bytes_total` over all parties, start of the run included; estimated `seconds`."""

    rounds: int
    bytes_total: int
    seconds: float
    network: str
    by_op: tuple[OpCost, ...]

    def __str__(self) -> str:
        """One line; `by_op` says which primitives the cost comes from."""
        return f"{self.rounds:,} rounds, {self.bytes_total:,} bytes, about {self.seconds:.2g} s on {self.network}"


def estimate(plan: Plan, network: str | None = None) -> CostReport:
    """The cost of a plan under its own protocol, with seconds on any network, by default its own.

    Raises PlanError PLAN-904 for an unknown protocol or network.
    """
    network = plan.network if network is None else network
    for what, name, known in (("protocol", plan.protocol, set(PROTOCOLS)), ("network", network, set(NETWORKS))):
        if name not in known:
            raise PlanError("PLAN-904", f"there is no {what} {name!r}", expected=f"one of {', '.join(sorted(known))}")
    parties = plan.computing
    meter = _Meter(PROTOCOLS[plan.protocol], parties)
    traffic = Traffic()
    total = dry_run(execute(plan, meter, {}), traffic)
    hello = parties * (parties - 1) * HELLO_BYTES
    rounds, size = total.rounds + (parties > 1), total.bytes_total + hello
    moving = NETWORKS[network].seconds(rounds, size, parties)
    seconds = moving + (traffic.exchanges + 1) * WORK_S_PER_EXCHANGE + size * WORK_S_PER_BYTE
    return CostReport(rounds, size, seconds, network, meter.by_op())


def bytes_by_node(plan: Plan) -> dict[int, int]:
    """Payload bytes over all parties that each top-level node of a plan sends, those that send any."""
    meter = _Meter(PROTOCOLS[plan.protocol], plan.computing)
    bill = _Bill(meter)
    dry_run(execute(plan, meter, {}, bill, one_by_one=True))
    return {node: size for node, size in bill.paid.items() if size}


class _Bill:
    """An observer of nodes that run one by one: what each of them paid."""

    def __init__(self, meter: _Meter) -> None:
        self._meter = meter
        self._since = 0
        self.paid: dict[int, int] = {}

    def began(self, node: Node) -> None:
        """What is paid from now on is its."""
        self._since = len(self._meter.calls)

    def ended(self, node: Node) -> None:
        """Add up."""
        self.paid[node.id] = sum(cost.bytes_total for _, cost in self._meter.calls[self._since :])

    def trip(self) -> None:
        """Trips belong to their loop."""


class _Meter(Dry):
    """A dry protocol at no party in particular, which also adds up what each primitive cost."""

    def __init__(self, protocol: Any, parties: int) -> None:
        super().__init__(protocol, parties)
        self.me = -1

    def by_op(self) -> tuple[OpCost, ...]:
        totals: dict[str, list[int]] = {}
        for primitive, cost in self.calls:
            entry = totals.setdefault(primitive, [0, 0, 0])
            entry[0] += 1
            entry[1] += cost.rounds
            entry[2] += cost.bytes_total
        ordered = sorted(totals.items(), key=lambda item: -item[1][2])
        return tuple(OpCost(name, *entry) for name, entry in ordered)
