# SPDX-License-Identifier: Apache-2.0
"""One bench row: a task at parties of its own, several times, every result checked.

What is measured is the execution: of a task with one operation the node of the plan that is this operation, of a task
with several the whole plan, of a primitive its coroutine. Wall time at the slowest party, processor time, rounds and
bytes at all of them. Inputs come as shares from a client that is no computing party, and the result goes back to it as
shares. So it is what other engines call the run of a compiled program on shared data: not in it are the agreement on
plan and keys, and the one at the end that all went well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias

import tacit as tc
from tacit import Session
from tacit.bench import tpch
from tacit.bench.primitives import PARTIES, Boxes, MemoryBoxes
from tacit.bench.tasks import Primitive, Task
from tacit.demos.outcome import tls_words
from tacit.errors import RunError
from tacit.session import Figures, RunReport
from tacit.session.local import room_of

PURPOSE: Final = "check of a measurement"

Once: TypeAlias = Callable[[], tuple[Figures, float | None, float, bool]]
"""Runs a task once: what it took, the seconds of the whole run, the largest error, whether the result is right."""


class Bench:
    """Three parties to measure on, all of one protocol, network and transport. Use it in a `with` statement.

    A session, and for primitives, which sessions do not run, parties that run nothing else; both start when they are
    needed.
    """

    def __init__(
        self,
        protocol: str = "rep3",
        network: Literal["loopback", "lan", "wan"] = "loopback",
        transport: Literal["process", "memory"] = "process",
    ) -> None:
        """Raises RoomError for a protocol or network that there is not, before anything starts."""
        room_of([f"party{k}" for k in range(PARTIES)], protocol, "none" if network == "loopback" else network)
        self.protocol = protocol
        self.network = network
        self._transport: Literal["process", "memory"] = transport
        self._session: Session | None = None
        self._boxes: Boxes | MemoryBoxes | None = None

    def measure(self, task: Task, n: int, repeat: int, seed: int) -> dict[str, Any]:
        """Run a task `repeat` times; the row for the JSON list.

        `seconds` is the median over the repetitions of the slowest party's wall time, `cpu_seconds` the median of the
        processor time of all parties together. Raises RunError RUN-210 if a result is wrong.
        """
        once, tls = self._primitive(task, n, seed) if isinstance(task, Primitive) else self._plan(task, n, seed)
        runs: list[Figures] = []
        whole: list[float] = []
        worst = 0.0
        for _ in range(repeat):
            figures, seconds, error, right = once()
            if not right:
                raise RunError(
                    "RUN-210",
                    f"bench task {task.name} gave a wrong result: the largest error is {error:.3g}",
                    expected=f"at most {task.allowed:.3g}",
                    next="report it: it is a defect of tacit",
                )
            worst = max(worst, error)
            runs.append(figures)
            whole += [] if seconds is None else [seconds]
        return {
            "task": task.name,
            "n": n,
            "protocol": self.protocol,
            "parties": PARTIES,
            "network": self.network,
            "seconds": median(r.seconds for r in runs),
            "seconds_all": [r.seconds for r in runs],
            "run_seconds": median(whole) if whole else None,
            "cpu_seconds": median(r.cpu_seconds for r in runs),
            "bytes_total": runs[-1].bytes_total,
            "bytes_max": runs[-1].bytes_max,
            "rounds": runs[-1].rounds,
            "max_abs_error": worst,
            "tls": tls(),
        }

    def _primitive(self, task: Primitive, n: int, seed: int) -> tuple[Once, Callable[[], str]]:
        if self._boxes is None:
            network = None if self.network == "loopback" else self.network
            in_memory = self._transport == "memory"
            self._boxes = MemoryBoxes(self.protocol) if in_memory else Boxes(self.protocol, network)
        boxes = self._boxes

        def once() -> tuple[Figures, None, float, bool]:
            figures, error, right = boxes.run(task, n, seed)
            return figures, None, error, right

        return once, (lambda: tls_words(boxes.tls))

    def tpch(self, split: tpch.Split, scale: float = tpch.SCALE) -> Iterator[dict[str, Any]]:
        """Run the queries of TPC-H once each; their rows for the JSON list. Raises what `tpch` does."""
        tables = tpch.generate(scale)
        with tc.local(protocol=self.protocol, network=self.network, transport=self._transport) as session:
            tpch.register(session, tables, split)
            for row in tpch.measure(session, tables):
                whole = {"parties": PARTIES, "protocol": self.protocol, "network": self.network}
                yield row | whole | {"split": split, "scale": scale, "tls": tls_words(_report(session).tls)}

    def _plan(self, task: Task, n: int, seed: int) -> tuple[Once, Callable[[], str]]:
        if self._session is None:
            self._session = tc.local(protocol=self.protocol, network=self.network, transport=self._transport)
        session = self._session
        inputs = task.inputs(n, seed)
        result = task.secure(*(session.input(i.values, range=i.range) for i in inputs))

        def once() -> tuple[Figures, float, float, bool]:
            error, right = task.error(result.reveal(to=session.client, purpose=PURPOSE), inputs)
            report = _report(session)
            return _figures(report, task.op), report.seconds, error, right

        return once, (lambda: tls_words(_report(session).tls))

    def close(self) -> None:
        """End the parties. Idempotent."""
        session, boxes, self._session, self._boxes = self._session, self._boxes, None, None
        try:
            if session is not None:
                session.close()
        finally:
            if boxes is not None:
                boxes.close()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _report(session: Session) -> RunReport:
    assert session.last is not None
    return session.last


def _figures(report: RunReport, op: str | None) -> Figures:
    """Of the first node of an operation, or of all nodes."""
    return report.execution if op is None else next(f for f in report.by_node if f.op == op)
