# SPDX-License-Identifier: Apache-2.0
"""A whole run under faults, in one thread, from one seed: discrete events on a simulated clock.

Frames are the real frame bytes, sealed per link with AES-128-GCM under a record counter as TLS 1.3 does it,
so a change, a cut, a repetition or a reordering below the record layer is found as TLS finds it. The same
kinds of fault at the level of frames, after the record layer has passed them, test the checks above it.
Delays of messages are drawn from the seed; a run with the same seed, faults and parties gives the same
`trace_hash`.

A party is a coroutine or generator that yields exchanges, objects with `sends: {peer: [buffers]}` and
`expects: {peer: bytes}`, and is resumed with `{peer: memoryview}`; the network numbers the steps. One with
`collects = False` is only posted (resumed with None); one with `posts = False` only collects the oldest posted step.
A failing party raises a `TacitError`, and the network runs the abort agreement for it.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Protocol, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tacit.errors import TacitError
from tacit.transport import abort
from tacit.transport.base import Buffer, concatenate, party_names
from tacit.transport.faults import Cause, transport_error
from tacit.transport.frame import HEADER_BYTES, SESSION_BYTES, Header, Kind


class FaultKind(Enum):
    """What can be done to one message, or to one party."""

    DELAY = "delay"
    """The message is sent `seconds` later; its sender stays alive."""
    DROP = "drop"
    """The record is lost for good: its link delivers nothing more, not even heartbeats."""
    DUPLICATE = "duplicate"
    """The message comes twice."""
    REORDER = "reorder"
    """The message comes after the next one of its link."""
    CORRUPT = "corrupt"
    """A bit is flipped: of the record, or (level "frame") of the header's kind."""
    TRUNCATE = "truncate"
    """The link ends in the middle of the record, or (level "frame") the message is one byte shorter."""
    CRASH = "crash"
    """The sender's process dies at this step, after `sent` of its messages have left."""
    FREEZE = "freeze"
    """The sender's process stops at this step, after `sent` of its messages have left; its connections stand.
    """


@dataclass(frozen=True)
class Fault:
    """One fault: at `step`, on the message from `sender` to `receiver`, or to the party `sender`.

    `level` is "record" (below the record layer) or "frame" (above it). The BYE frame counts as the message of
    the step after the last.
    """

    kind: FaultKind
    sender: int
    step: int
    receiver: int | None = None
    level: str = "record"
    seconds: float = 0.0
    sent: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a party ended: with `result`, with the agreed `error`, or, if it was crashed or frozen, with
    `stopped`.
    """

    result: Any = None
    error: TacitError | None = None
    stopped: FaultKind | None = None


class ExchangeRequest(Protocol):
    """What a party yields; `posts` and `collects` may be missing and are then true."""

    sends: Mapping[int, Sequence[Buffer]]
    expects: Mapping[int, int]
    posts: bool
    collects: bool


PartyProgram: TypeAlias = Generator[Any, Any, Any] | Coroutine[Any, Any, Any]


@dataclass(frozen=True)
class Clock:
    """Simulated times in seconds; the defaults are those of the TLS transport."""

    latency_s: float = 0.001
    jitter_s: float = 0.002
    silence_s: float = 10.0
    heartbeat_s: float = 1.0
    step_timeout_s: float = 600.0
    grace_s: float = 1.0


class SimulatedNetwork:
    """The parties' links, their faults and the clock. `run` once."""

    def __init__(
        self,
        parties: int,
        seed: int,
        faults: Sequence[Fault] = (),
        *,
        names: Sequence[str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`faults` are planned by sender, receiver and step; a later one for the same message wins."""
        self.parties = parties
        self.names = party_names(parties, names)
        self.clock = clock or Clock()
        self.now = 0.0
        self.session = hashlib.sha256(b"tacit simulated session %d" % seed).digest()[:SESSION_BYTES]
        self._random = random.Random(seed)
        self._faults = {(fault.sender, fault.receiver, fault.step): fault for fault in faults}
        self._trace = hashlib.sha256()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = 0
        self._links = {
            (i, j): _Link(AESGCM(hashlib.sha256(b"%d %d %d" % (seed, i, j)).digest()[:16]))
            for i in range(parties)
            for j in range(parties)
            if i != j
        }
        self._nodes: list[_Node] = []

    @property
    def trace_hash(self) -> str:
        """SHA-256, in hexadecimal, over every delivered record, loss and decision with its time."""
        return self._trace.hexdigest()

    def run(self, programs: Sequence[PartyProgram]) -> list[Outcome]:
        """Drive all parties to their ends; returns one outcome per party, in order."""
        if len(programs) != self.parties or self._nodes:
            raise ValueError("a simulated network runs once, with one program per party")
        self._nodes = [_Node(self, me, program) for me, program in enumerate(programs)]
        for node in self._nodes:
            self.at(0.0, node.advance)
        while self._queue and not all(node.done for node in self._nodes):
            self.now, _, action = heapq.heappop(self._queue)
            action()
        return [node.outcome() for node in self._nodes]

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something `delay_s` simulated seconds from now; ties keep their order."""
        self._ticket += 1
        heapq.heappush(self._queue, (self.now + delay_s, self._ticket, action))

    def note(self, *event: object) -> None:
        """Add an event to the trace."""
        self._trace.update(repr((round(self.now, 9), *event)).encode())

    def fault(self, sender: int, receiver: int | None, step: int) -> Fault | None:
        """The fault planned for a message (or for a party, with no receiver), if any."""
        return self._faults.get((sender, receiver, step))

    def send(self, sender: int, receiver: int, header: Header, payload: bytes = b"") -> None:
        """Give a frame to a link, and let the planned fault happen to it."""
        link = self._links[sender, receiver]
        fault = self.fault(sender, receiver, header.step) if header.kind in (Kind.DATA, Kind.BYE) else None
        if fault is None:
            self._transmit(link, sender, receiver, link.seal(header.encode() + payload))
        elif fault.kind is FaultKind.DELAY:
            link.held_until = max(link.held_until, self.now + fault.seconds)
            self._transmit(link, sender, receiver, link.seal(header.encode() + payload))
        elif fault.level == "frame":
            self._damage_frame(link, fault.kind, sender, receiver, header, payload)
        else:
            self._damage_record(link, fault.kind, sender, receiver, header.encode() + payload)

    def _damage_frame(
        self, link: _Link, kind: FaultKind, sender: int, receiver: int, header: Header, payload: bytes
    ) -> None:
        frames = [header.encode() + payload]
        if kind is FaultKind.DUPLICATE:
            frames *= 2
        elif kind is FaultKind.CORRUPT:
            frames = [frames[0][:4] + bytes([frames[0][4] ^ 0x80]) + frames[0][5:]]
        elif kind is FaultKind.TRUNCATE and payload:
            short = Header(header.kind, header.session, header.step, header.length - 1)
            frames = [short.encode() + payload[:-1]]
        elif kind is FaultKind.DROP:
            frames = []
        elif kind is FaultKind.REORDER:
            link.behind, frames = frames[0], []
        for frame in frames:
            self._transmit(link, sender, receiver, link.seal(frame))

    def _damage_record(self, link: _Link, kind: FaultKind, sender: int, receiver: int, frame: bytes) -> None:
        record = link.seal(frame)
        if kind is FaultKind.CORRUPT:
            at = self._random.randrange(len(record))
            record = record[:at] + bytes([record[at] ^ 1 << self._random.randrange(8)]) + record[at + 1 :]
            self._transmit(link, sender, receiver, record)
        elif kind is FaultKind.DUPLICATE:
            self._transmit(link, sender, receiver, record)
            self._transmit(link, sender, receiver, record)
        elif kind is FaultKind.REORDER:
            # The next record of the link, at the latest its next heartbeat, overtakes this one.
            link.overtaken = record
            self.at(self.clock.heartbeat_s, lambda: self._transmit(link, sender, receiver, link.seal(b"")))
        elif kind is FaultKind.TRUNCATE:
            self._arrive(
                link,
                lambda: self._nodes[receiver].lose(sender, Cause.CLOSED, "closed in the middle of a frame"),
            )
            link.cut = True
        elif kind is FaultKind.DROP:
            link.cut = True
            self.at(self.clock.silence_s, lambda: self._nodes[receiver].lose(sender, Cause.SILENT, self.silent()))

    def silent(self) -> str:
        """The words for a silent peer."""
        return f"silent for {self.clock.silence_s} s, not even a heartbeat"

    def _transmit(self, link: _Link, sender: int, receiver: int, record: bytes) -> None:
        if link.cut:
            return
        records = [record]
        if link.behind is not None:
            records.append(link.seal(link.behind))
            link.behind = None
        if link.overtaken is not None:
            records.append(link.overtaken)
            link.overtaken = None
        for each in records:
            self._arrive(link, partial(self._nodes[receiver].receive, sender, each))

    def _arrive(self, link: _Link, action: Callable[[], None]) -> None:
        """Do something at the far end when it gets there: links keep their order, like TCP."""
        when = self.now + self.clock.latency_s + self._random.random() * self.clock.jitter_s
        link.last = max(when, link.held_until, link.last)
        self.at(link.last - self.now, action)

    def stop(self, party: int, kind: FaultKind) -> None:
        """A party crashes or freezes: its peers notice the end of its streams, or its silence."""
        self.note("stop", party, kind.value)
        for peer in range(self.parties):
            if peer == party:
                continue
            lose = self._nodes[peer].lose
            if kind is FaultKind.FREEZE:
                self.at(self.clock.silence_s, partial(lose, party, Cause.SILENT, self.silent()))
            elif not self._links[party, peer].cut:
                self._arrive(self._links[party, peer], partial(lose, party, Cause.CLOSED, "closed the connection"))


@dataclass
class _Link:
    """One direction between two parties: keys and counters of both ends, and what the network does to it."""

    aead: AESGCM
    sealed: int = 0
    opened: int = 0
    last: float = 0.0
    held_until: float = 0.0
    cut: bool = False
    behind: bytes | None = None
    overtaken: bytes | None = None

    def seal(self, frame: bytes) -> bytes:
        """One record; the counter is the nonce, as in TLS 1.3."""
        self.sealed += 1
        return self.aead.encrypt(self.sealed.to_bytes(12, "big"), frame, None)

    def open(self, record: bytes) -> bytes:
        """The frame of the next record in order. Raises InvalidTag."""
        self.opened += 1
        return self.aead.decrypt(self.opened.to_bytes(12, "big"), record, None)


@dataclass
class _Mailbox:
    """What has come from one peer, and what is awaited of it: (step, bytes) of steps that are posted and not
    collected. The message at the same place in `frames` is the awaited one, and every further message is early.
    """

    awaited: deque[tuple[int, int]] = field(default_factory=deque)
    frames: deque[tuple[int, bytes]] = field(default_factory=deque)
    last_step: int = -1
    ended: bool = False
    broken: bool = False

    def lacks(self, step: int) -> bool:
        """Whether the message awaited at `step`, the oldest one, has not come."""
        return not self.frames and bool(self.awaited) and self.awaited[0][0] == step


class _Node:
    """One party: its program, its mailboxes and its abort agreement. The checks are those of the TLS
    transport.
    """

    def __init__(self, network: SimulatedNetwork, me: int, program: PartyProgram) -> None:
        self.network = network
        self.me = me
        self.program = program
        self.step = -1
        self.outstanding: deque[tuple[int, Mapping[int, int]]] = deque()
        self.waiting = False
        self.mail = {peer: _Mailbox() for peer in range(network.parties) if peer != me}
        self.agreement: abort.State = abort.Running(me, network.parties)
        self.inbox: dict[int, memoryview] | None = None
        self.closing = False
        self.finished = False
        self.result: Any = None
        self.stopped: FaultKind | None = None

    @property
    def done(self) -> bool:
        """Whether this party has reached its end."""
        return self.finished or self.stopped is not None or isinstance(self.agreement, abort.Agreed)

    @property
    def busy(self) -> bool:
        """Whether this party is still computing: neither ended nor agreeing on an end."""
        return not self.done and isinstance(self.agreement, abort.Running)

    def outcome(self) -> Outcome:
        """How it ended; a party that never did has been left waiting, which a test should see."""
        if self.stopped is not None:
            return Outcome(stopped=self.stopped)
        if isinstance(self.agreement, abort.Agreed):
            return Outcome(error=self.agreement.record.to_error())
        if self.finished:
            return Outcome(result=self.result)
        raise AssertionError(f"party {self.me} neither finished nor failed")

    def advance(self) -> None:
        """Resume the program with what came, as far as it gets without waiting."""
        while self.busy and not self.closing:
            inbox, self.inbox = self.inbox, None
            try:
                request: ExchangeRequest = self.program.send(inbox)
            except StopIteration as stop:
                self.result = stop.value
                self._close()
                return
            except TacitError as error:
                self.fail(error, abort.NOBODY)
                return
            posts, collects = getattr(request, "posts", True), getattr(request, "collects", True)
            if not self._in_order(posts, collects) or (posts and not self._post(request)):
                return
            if collects:
                self.waiting = True
                step = self.outstanding[0][0]
                if not self._collect():
                    self.network.at(self.network.clock.step_timeout_s, partial(self._late, step))
                    return

    def _in_order(self, posts: bool, collects: bool) -> bool:
        """Whether a request makes sense after what is posted; otherwise this party fails."""
        if not posts and not self.outstanding:
            self.fail(transport_error(Cause.MISUSE, "no step is posted"), abort.NOBODY)
        elif posts and collects and self.outstanding:
            what = f"step {self.outstanding[0][0]} is posted and not collected"
            self.fail(transport_error(Cause.MISUSE, what), abort.NOBODY)
        return self.busy

    def _post(self, request: ExchangeRequest) -> bool:
        self.step += 1
        self.outstanding.append((self.step, request.expects))
        for peer, size in request.expects.items():
            if size:
                self.mail[peer].awaited.append((self.step, size))
        messages = [(peer, concatenate(buffers)) for peer, buffers in request.sends.items()]
        if not self._send([(peer, Kind.DATA, message) for peer, message in messages if message]):
            return False
        for peer, mailbox in self.mail.items():
            new = bool(mailbox.awaited) and mailbox.awaited[-1][0] == self.step
            place = len(mailbox.awaited) - new
            if place < len(mailbox.frames) and not self._due(peer, place, *mailbox.frames[place]):
                return False
        return True

    def _send(self, messages: list[tuple[int, Kind, bytes]]) -> bool:
        """Send the frames of this step; false if the party was stopped on the way."""
        network = self.network
        planned = network.fault(self.me, None, self.step)
        for sent, (peer, kind, message) in enumerate(messages):
            if planned is not None and planned.sent == sent:
                break
            network.send(self.me, peer, Header(kind, network.session, self.step, len(message)), message)
        if planned is None:
            return True
        self.stopped = planned.kind
        self.program.close()
        network.stop(self.me, planned.kind)
        return False

    def _close(self) -> None:
        self.step += 1
        if self.outstanding:
            what = f"step {self.outstanding[0][0]} is posted and not collected"
            self.fail(transport_error(Cause.MISUSE, what), abort.NOBODY)
            return
        self.closing = True
        if self._send([(peer, Kind.BYE, b"") for peer in self.mail]):
            # Twice: a peer that waits for its last message must be able to give up, and say so, first.
            self.network.at(2 * self.network.clock.step_timeout_s, partial(self._late, self.step))
            self._finish()

    def _finish(self) -> None:
        if self.closing and self.busy and all(m.ended or m.broken for m in self.mail.values()):
            self.finished = True
            self.network.note("finished", self.me)

    def _collect(self) -> bool:
        """Take the messages of the oldest posted step, if all are here."""
        step, expects = self.outstanding[0]
        if any(mailbox.lacks(step) for mailbox in self.mail.values()):
            return False
        self.outstanding.popleft()
        self.inbox = {}
        for peer, size in expects.items():
            message = b""
            if size:
                self.mail[peer].awaited.popleft()
                _, message = self.mail[peer].frames.popleft()
            self.inbox[peer] = memoryview(message)
        self.waiting = False
        return True

    def _late(self, step: int) -> None:
        if not self.busy:
            return
        if self.closing:
            if step == self.step:
                for mailbox in self.mail.values():
                    mailbox.broken = True
                self._finish()
            return
        if not self.waiting or step != self.outstanding[0][0]:
            return
        missing = next(peer for peer, mailbox in self.mail.items() if mailbox.lacks(step))
        self._fault(Cause.TIMEOUT, missing, f"alive, but no message for step {step} in time")

    def receive(self, peer: int, record: bytes) -> None:
        """A record came."""
        if self.done or self.mail[peer].broken:
            return
        network = self.network
        network.note("record", peer, self.me, hashlib.sha256(record).hexdigest())
        try:
            frame = network._links[peer, self.me].open(record)
        except InvalidTag:
            self.lose(peer, Cause.CORRUPTED, "a TLS record failed its authentication")
            return
        if not frame:
            return
        try:
            header = Header.decode(frame[:HEADER_BYTES])
        except TacitError as error:
            self.lose(peer, Cause.MALFORMED, error.what)
            return
        self._frame(peer, header, frame[HEADER_BYTES:])

    def _frame(self, peer: int, header: Header, payload: bytes) -> None:
        mailbox = self.mail[peer]
        if header.session != self.network.session or mailbox.ended:
            self.lose(peer, Cause.SESSION, "a frame of another session")
        elif header.kind is Kind.BYE:
            mailbox.ended = True
            place = len(mailbox.frames)
            if place < len(mailbox.awaited) and self.busy:
                step, _ = mailbox.awaited[place]
                self._fault(Cause.STEP, peer, f"it ended the session before its message of step {step}")
            self._finish()
        elif header.kind is Kind.ABORT:
            try:
                event: abort.Event = abort.Heard(peer, abort.Message.decode(payload, self.network.parties))
            except TacitError as error:
                event = abort.Failed(self._record(error, peer))
            self._agree(event)
        elif header.step <= mailbox.last_step:
            self.lose(peer, Cause.STEP, f"a second message for step {header.step}")
        else:
            mailbox.last_step = header.step
            if self._due(peer, len(mailbox.frames), header.step, payload):
                mailbox.frames.append((header.step, payload))
                if self.busy and self.waiting and self._collect():
                    self.advance()

    def _due(self, peer: int, place: int, step: int, payload: bytes) -> bool:
        """Whether the message at this place is the awaited one, or early; otherwise the fault is reported."""
        awaited = self.mail[peer].awaited
        if place >= len(awaited) and step > self.step:
            return True
        if place >= len(awaited) or step != awaited[place][0]:
            self.lose(peer, Cause.STEP, f"a message for step {step}")
            return False
        if len(payload) != awaited[place][1]:
            self.lose(peer, Cause.LENGTH, f"a message of {len(payload)} bytes for step {step}")
            return False
        return True

    def lose(self, peer: int, cause: Cause, what: str) -> None:
        """The link from a peer does not work any more: a failure, unless one of the two has finished."""
        mailbox = self.mail[peer]
        if self.done or mailbox.broken:
            return
        mailbox.broken = True
        self.network.note("lost", peer, self.me, cause.code)
        if self.busy and not self.closing and not (mailbox.ended and cause in (Cause.CLOSED, Cause.SILENT)):
            self._fault(cause, peer, what)
        self._agree(abort.Lost(peer))
        self._finish()

    def fail(self, error: TacitError, culprit: int) -> None:
        """This party fails by itself."""
        self._agree(abort.Failed(self._record(error, culprit)))

    def _fault(self, cause: Cause, peer: int, what: str) -> None:
        self.fail(transport_error(cause, what, party=self.network.names[peer]), peer)

    def _record(self, error: TacitError, culprit: int) -> abort.Record:
        return abort.Record(max(self.step, 0), error.code, culprit, self.me, error.to_dict())

    def _agree(self, event: abort.Event) -> None:
        if self.done:
            return
        before = self.agreement
        self.agreement, messages = abort.step(before, event)
        for message in messages:
            payload = message.encode()
            header = Header(Kind.ABORT, self.network.session, message.record.step, len(payload))
            for peer in self.mail:
                self.network.send(self.me, peer, header, payload)
        if isinstance(before, abort.Running) and not isinstance(self.agreement, abort.Running):
            self.program.close()
            self.network.at(self.network.clock.grace_s, lambda: self._agree(abort.GraceOver()))
        if isinstance(self.agreement, abort.Agreed):
            self.network.note("agreed", self.me, self.agreement.record.rank)
