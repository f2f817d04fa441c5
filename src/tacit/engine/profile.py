# SPDX-License-Identifier: Apache-2.0
"""Where a run spends its time, rounds and bytes: an observer of `execute`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, process_time

from tacit.plan import Node


@dataclass
class NodeProfile:
    """One node at one party, all runs of it added up.

    Seconds and rounds count while the node was active, so what independent nodes share is counted for each of them.
    """

    op: str
    runs: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    rounds: int = 0
    bytes_sent: int = 0


class Profile:
    """Collects a `NodeProfile` for every top-level node id of a plan.

    `traffic()` gives the rounds and payload bytes that this party has sent so far in the run.
    """

    def __init__(self, traffic: Callable[[], tuple[int, int]]) -> None:
        self._traffic = traffic
        self._open: dict[int, tuple[float, float, int, int]] = {}
        self.nodes: dict[int, NodeProfile] = {}

    def began(self, node: Node) -> None:
        """Note the counters."""
        self._open[id(node)] = (perf_counter(), process_time(), *self._traffic())

    def ended(self, node: Node) -> None:
        """Add what has passed since `began`."""
        wall, cpu, rounds, sent = self._open.pop(id(node))
        now_rounds, now_sent = self._traffic()
        entry = self.nodes.setdefault(id(node), NodeProfile(node.op))
        entry.runs += 1
        entry.seconds += perf_counter() - wall
        entry.cpu_seconds += process_time() - cpu
        entry.rounds += now_rounds - rounds
        entry.bytes_sent += now_sent - sent

    def of(self, nodes: tuple[Node, ...]) -> dict[int, NodeProfile]:
        """By node id, for the nodes of a plan's top level."""
        return {node.id: self.nodes[id(node)] for node in nodes if id(node) in self.nodes}

    def trip(self) -> None:
        """Nothing to note: a loop counts as one node."""

    def rows(self, nodes: tuple[Node, ...]) -> list[list[float]]:
        """[node id, seconds, cpu seconds, rounds, bytes sent] of each top-level node: to cross a process boundary."""
        return [
            [key, entry.seconds, entry.cpu_seconds, entry.rounds, entry.bytes_sent]
            for key, entry in self.of(nodes).items()
        ]
