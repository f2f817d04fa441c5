# SPDX-License-Identifier: Apache-2.0
"""Drivers: what turns the exchanges of protocol coroutines into messages.

`drive` runs one party over a transport; `lockstep` runs all parties in this thread, round by round, and counts;
`dry_run` runs a coroutine of the dry protocol and only counts. The same coroutines run under each.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tacit.errors import RunError
from tacit.protocols.blackbox import Cost
from tacit.protocols.exchange import Buffer, Exchange, nbytes

T = TypeVar("T")


class Exchanger(Protocol):
    """The one method that a driver needs of a transport; see transport/base.py."""

    def exchange(
        self, step: int, sends: Mapping[int, Sequence[Buffer]], expects: Mapping[int, int]
    ) -> Mapping[int, Any]:
        """Send to each peer the concatenation of its buffers; return exactly `expects[p]` bytes from each p."""


def drive(
    program: Coroutine[Any, Any, T],
    transport: Exchanger,
    first_step: int = 0,
    progress: Callable[[int], None] | None = None,
) -> T:
    """Run one party's coroutine to its end over a transport. Raises what the transport or the program raises.

    `progress(step)` is called once per round.
    """
    step = first_step
    inbox: Mapping[int, memoryview] | None = None
    try:
        while True:
            try:
                exchange: Exchange = program.send(inbox)
            except StopIteration as stop:
                result: T = stop.value
                return result
            received = transport.exchange(step, exchange.sends, exchange.expects)
            inbox = {peer: memoryview(data) for peer, data in received.items()}
            step += 1
            if progress is not None:
                progress(step)
    finally:
        program.close()


@dataclass
class Traffic:
    """What a run sent: rounds, bytes by sender, and, if asked for, every message."""

    rounds: int = 0
    bytes_sent: dict[int, int] = field(default_factory=dict)
    messages: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    """(round, sender, receiver, payload) in order, when recorded."""

    @property
    def bytes_total(self) -> int:
        """Payload bytes sent by all parties together."""
        return sum(self.bytes_sent.values())

    @property
    def cost(self) -> Cost:
        """Rounds and bytes in the form protocols declare them."""
        return Cost(self.rounds, self.bytes_total)


def lockstep(
    programs: Sequence[Coroutine[Any, Any, T]], traffic: Traffic | None = None, record: bool = False
) -> list[T]:
    """Run every party's coroutine in this thread, one round at a time; the results in the order of the parties.

    Raises RunError RUN-901 if the parties disagree on what is sent or on how many rounds there are: a defect of the
    program, not of a peer.
    """
    traffic = traffic if traffic is not None else Traffic()
    inboxes: list[Mapping[int, memoryview] | None] = [None] * len(programs)
    results: list[Any] = [None] * len(programs)
    try:
        while True:
            pending: dict[int, Exchange] = {}
            for me, program in enumerate(programs):
                try:
                    pending[me] = program.send(inboxes[me])
                except StopIteration as stop:
                    results[me] = stop.value
            if not pending:
                return results
            if len(pending) != len(programs):
                raise _disagreement(traffic.rounds, "some parties have finished and others have not")
            mail: dict[tuple[int, int], bytes] = {}
            for me, exchange in pending.items():
                for peer, buffers in exchange.sends.items():
                    payload = b"".join(b if isinstance(b, bytes) else b.tobytes() for b in buffers)
                    mail[me, peer] = payload
                    traffic.bytes_sent[me] = traffic.bytes_sent.get(me, 0) + len(payload)
                    if record:
                        traffic.messages.append((traffic.rounds, me, peer, payload))
            for me, exchange in pending.items():
                inbox = {}
                for peer, size in exchange.expects.items():
                    data = mail.pop((peer, me), b"")
                    if len(data) != size:
                        raise _disagreement(
                            traffic.rounds, f"party {me} expects {size} bytes from {peer}, not {len(data)}"
                        )
                    inbox[peer] = memoryview(data)
                inboxes[me] = inbox
            if any(mail.values()):
                raise _disagreement(traffic.rounds, "a message was sent that nobody expects")
            traffic.rounds += 1
    finally:
        for program in programs:
            program.close()


def _disagreement(step: int, what: str) -> RunError:
    return RunError("RUN-901", f"in round {step} {what}", next="report this: it is a defect of tacit")


def dry_run(program: Coroutine[Any, Any, Any]) -> Cost:
    """Rounds and total bytes of a coroutine of the dry protocol."""
    rounds = total = 0
    inbox: Mapping[int, memoryview] | None = None
    while True:
        try:
            exchange: Exchange = program.send(inbox)
        except StopIteration:
            return Cost(rounds, total)
        total += sum(nbytes(b) for buffers in exchange.sends.values() for b in buffers)
        rounds += 1
        inbox = {}
