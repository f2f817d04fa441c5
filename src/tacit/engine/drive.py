# SPDX-License-Identifier: Apache-2.0
"""Drivers: what turns the exchanges of protocol coroutines into messages.

`drive` runs one party over a transport; `lockstep` runs all parties in this thread, round by round, and counts;
`dry_run` runs a coroutine of the dry protocol and only counts. The same coroutines run under each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tacit.errors import RunError
from tacit.protocols.blackbox import Cost
from tacit.protocols.exchange import Awaited, Buffer, Collect, Exchange, Inbox, Post, nbytes

T = TypeVar("T")


class Exchanger(Protocol):
    """What a driver needs of a transport; see transport/base.py."""

    def exchange(self, step: int, sends: Mapping[int, Sequence[Buffer]], expects: Mapping[int, int]) -> Inbox:
        """Send to each peer the concatenation of its buffers; return exactly `expects[p]` bytes from each p."""

    def post(self, step: int, sends: Mapping[int, Sequence[Buffer]], expects: Mapping[int, int]) -> None:
        """The first half of `exchange`: send."""

    def collect(self) -> Inbox:
        """The second half, for the oldest step that was posted and not collected."""


@dataclass
class Traffic:
    """What a run sent: rounds, exchanges, bytes by sender, and, if asked for, every message.

    `rounds` are the messages on the longest chain of which each depends on the one before: how often the latency of the
    network is paid. Pipelined messages do not wait for each other, so `exchanges` may be more.
    """

    rounds: int = 0
    exchanges: int = 0
    bytes_sent: dict[int, int] = field(default_factory=dict)
    messages: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    """(exchange, sender, receiver, payload) in order, when recorded."""

    @property
    def bytes_total(self) -> int:
        """Payload bytes sent by all parties together."""
        return sum(self.bytes_sent.values())

    @property
    def cost(self) -> Cost:
        """Rounds and bytes in the form protocols declare them."""
        return Cost(self.rounds, self.bytes_total)

    def count(self, awaited: Exchange | Post) -> None:
        """Add an exchange, and the round that it may be."""
        self.exchanges += 1
        self.rounds += isinstance(awaited, Exchange) or awaited.deeper

    def add(self, sender: int, size: int) -> None:
        """Add bytes that a party sends."""
        self.bytes_sent[sender] = self.bytes_sent.get(sender, 0) + size


def drive(
    program: Coroutine[Any, Any, T],
    transport: Exchanger,
    first_step: int = 0,
    progress: Callable[[int], None] | None = None,
    traffic: Traffic | None = None,
) -> T:
    """Run one party's coroutine to its end over a transport. Raises what the transport or the program raises.

    `progress(step)` is called after each wait for messages. `traffic` counts rounds and exchanges; what was sent, the
    transport knows better.
    """
    traffic = traffic if traffic is not None else Traffic()
    step = first_step
    inbox: Inbox | None = None
    try:
        while True:
            try:
                awaited: Awaited = program.send(inbox)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if isinstance(awaited, Collect):
                inbox = transport.collect()
            else:
                traffic.count(awaited)
                step += 1
                if isinstance(awaited, Post):
                    transport.post(step - 1, awaited.sends, awaited.expects)
                    inbox = None
                    continue
                inbox = transport.exchange(step - 1, awaited.sends, awaited.expects)
            if progress is not None:
                progress(step)
    finally:
        program.close()


def lockstep(
    programs: Sequence[Coroutine[Any, Any, T]], traffic: Traffic | None = None, record: bool = False
) -> list[T]:
    """Run every party's coroutine in this thread, one exchange at a time; the results in the order of the parties.

    Raises RunError RUN-901 if the parties disagree on what is sent or on how many exchanges there are: a defect of the
    program, not of a peer.
    """
    traffic = traffic if traffic is not None else Traffic()
    parties = range(len(programs))
    posted: deque[list[Inbox]] = deque()
    inboxes: Sequence[Inbox | None] = [None for _ in parties]
    results: list[Any] = [None for _ in parties]
    try:
        while True:
            awaited: list[Awaited] = []
            for me, program in enumerate(programs):
                try:
                    awaited.append(program.send(inboxes[me]))
                except StopIteration as stop:
                    results[me] = stop.value
            if not awaited:
                return results
            if len(awaited) != len(programs):
                raise _disagreement(traffic, "some parties have finished and others have not")
            exchanges = [a for a in awaited if not isinstance(a, Collect)]
            if len({(type(a), isinstance(a, Post) and a.deeper) for a in awaited}) != 1:
                raise _disagreement(traffic, "some parties wait and others do not")
            if exchanges:
                posted.append(_deliver(exchanges, traffic, record))
                traffic.count(exchanges[0])
            inboxes = [None for _ in parties] if isinstance(awaited[0], Post) else posted.popleft()
    finally:
        for program in programs:
            program.close()


def _deliver(exchanges: Sequence[Exchange | Post], traffic: Traffic, record: bool) -> list[Inbox]:
    """What each party finds of what all send. Raises as `lockstep`."""
    mail: dict[tuple[int, int], bytes] = {}
    for me, exchange in enumerate(exchanges):
        for peer, buffers in exchange.sends.items():
            payload = b"".join(b if isinstance(b, bytes) else b.tobytes() for b in buffers)
            mail[me, peer] = payload
            traffic.add(me, len(payload))
            if record:
                traffic.messages.append((traffic.exchanges, me, peer, payload))
    inboxes: list[Inbox] = []
    for me, exchange in enumerate(exchanges):
        inbox = {}
        for peer, size in exchange.expects.items():
            data = mail.pop((peer, me), b"")
            if len(data) != size:
                raise _disagreement(traffic, f"party {me} expects {size} bytes from {peer}, not {len(data)}")
            inbox[peer] = memoryview(data)
        inboxes.append(inbox)
    if any(mail.values()):
        raise _disagreement(traffic, "a message was sent that nobody expects")
    return inboxes


def _disagreement(traffic: Traffic, what: str) -> RunError:
    return RunError("RUN-901", f"in exchange {traffic.exchanges} {what}", next="report this: it is a defect of tacit")


def dry_run(program: Coroutine[Any, Any, Any], traffic: Traffic | None = None) -> Cost:
    """Rounds and total bytes of a coroutine of the dry protocol."""
    traffic = traffic if traffic is not None else Traffic()
    inbox: Inbox | None = None
    while True:
        try:
            awaited: Awaited = program.send(inbox)
        except StopIteration:
            return traffic.cost
        if isinstance(awaited, Collect):
            inbox = {}
            continue
        traffic.count(awaited)
        for buffers in awaited.sends.values():
            traffic.add(0, sum(nbytes(b) for b in buffers))
        inbox = {} if isinstance(awaited, Exchange) else None
