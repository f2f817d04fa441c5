# SPDX-License-Identifier: Apache-2.0
"""Where a run spends its time, rounds and bytes: an observer of `execute`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import TypeAlias

from tacit.plan import Node

_Counters: TypeAlias = tuple[float, float, int, int]
"""Wall and processor seconds, rounds and payload bytes at some moment."""


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
        self._open: dict[int, _Counters] = {}
        self._first: _Counters | None = None
        self._last: _Counters | None = None
        self.nodes: dict[int, NodeProfile] = {}

    def began(self, node: Node) -> None:
        """Note the counters."""
        now = self._now()
        self._first = self._first or now
        self._open[id(node)] = now

    def ended(self, node: Node) -> None:
        """Add what has passed since `began`."""
        wall, cpu, rounds, sent = self._open.pop(id(node))
        self._last = now_wall, now_cpu, now_rounds, now_sent = self._now()
        entry = self.nodes.setdefault(id(node), NodeProfile(node.op))
        entry.runs += 1
        entry.seconds += now_wall - wall
        entry.cpu_seconds += now_cpu - cpu
        entry.rounds += now_rounds - rounds
        entry.bytes_sent += now_sent - sent

    def _now(self) -> _Counters:
        return (perf_counter(), process_time(), *self._traffic())

    def execution(self) -> list[float]:
        """[seconds, cpu seconds, rounds, bytes sent] from the beginning of the first node to the end of the last."""
        if self._first is None or self._last is None:
            return [0.0, 0.0, 0, 0]
        return [last - first for first, last in zip(self._first, self._last, strict=True)]

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
