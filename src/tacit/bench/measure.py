# SPDX-License-Identifier: Apache-2.0
"""One bench row: a task in a session, several times, every result checked.

What is measured is one node of the plan, the operation itself, inside a whole run at the parties: its wall time at the
slowest party, its processor time, rounds and bytes at all of them. Inputs come as shares from a client that is no
computing party, and the result goes back to it as shares, so nothing else happens in the node's rounds. Of a task of
several operations the whole run is measured, less the rounds and bytes in which the parties agree on plan and keys.
"""

from __future__ import annotations

from statistics import median
from typing import Any, Final

from tacit import Session
from tacit.bench.tasks import Task
from tacit.demos.outcome import tls_words
from tacit.engine.keys import HELLO_BYTES
from tacit.errors import RunError
from tacit.session import RunReport

PURPOSE: Final = "check of a measurement"


def measure(session: Session, task: Task, n: int, repeat: int, network: str, seed: int) -> dict[str, Any]:
    """Run a task `repeat` times; the row for the JSON list.

    `seconds` is the median over the repetitions of the slowest party's wall time, `cpu_seconds` the median of the
    processor time of all parties together. Raises RunError RUN-210 if a result is wrong.
    """
    inputs = task.inputs(n, seed)
    secrets = [session.input(i.values, range=i.range) for i in inputs]
    result = task.secure(*secrets)
    seconds: list[float] = []
    cpu: list[float] = []
    worst = 0.0
    while True:
        found = result.reveal(to=session.client, purpose=PURPOSE)
        error, within = task.error(found, inputs)
        if not within:
            raise RunError(
                "RUN-210",
                f"bench task {task.name} gave a wrong result: the largest error is {error:.3g}",
                expected=f"at most {task.allowed:.3g}",
                next="report it: it is a defect of tacit",
            )
        worst = max(worst, error)
        report = session.last
        assert report is not None
        wall, processor, rounds, sent = _figures(report, task.op)
        seconds.append(wall)
        cpu.append(processor)
        if len(seconds) >= repeat:
            break
    return {
        "task": task.name,
        "n": n,
        "protocol": session.room.protocol,
        "parties": len(report.by_party),
        "network": network,
        "seconds": median(seconds),
        "seconds_all": seconds,
        "cpu_seconds": median(cpu),
        "bytes_total": sent,
        "rounds": rounds,
        "max_abs_error": worst,
        "tls": tls_words(report.tls),
    }


def _figures(report: RunReport, op: str | None) -> tuple[float, float, int, int]:
    """Wall seconds, processor seconds, rounds and bytes of the first node of an operation, or of all of them."""
    if op is not None:
        node = next(f for f in report.by_node if f.op == op)
        return node.seconds, node.cpu_seconds, node.rounds, node.bytes_total
    parties = len(report.by_party)
    agreement = parties * (parties - 1) * HELLO_BYTES
    return report.seconds, report.cpu_seconds, report.rounds - (parties > 1), report.bytes_total - agreement
