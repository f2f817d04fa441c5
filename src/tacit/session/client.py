# SPDX-License-Identifier: Apache-2.0
"""A client's side of a session with party processes: one control connection and one lifeline per party.

Requests to several parties run side by side, one thread each. A run is cancelled at all parties as soon as one of them
fails, the caller is interrupted, or a party stops answering; so a run ends everywhere or nowhere. The client compares
what the parties say about plan and public results before it believes any of them.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from tacit.engine.keys import PROTOCOLS
from tacit.errors import RoomError, RunError, TacitError, TransportError
from tacit.plan import DType, Plan, Private, Public
from tacit.protocols.shares import U64Array
from tacit.room import Party, Room
from tacit.session.datasets import Column, Description
from tacit.session.line import Line
from tacit.session.messages import VERSION, Message, answer, checked_shape
from tacit.session.sources import Question, TableFacts, to_ipc
from tacit.transport import Identity, connect

PONG_FRACTION: Final = 4
"""Pings per allowed silence."""
CANCEL_S: Final = 5.0
"""How long parties have to answer once a run is cancelled."""
WAKE_S: Final = 0.2

OnProgress = Callable[[int], None]


@dataclass(frozen=True)
class PartyFacts:
    """What one party reports of a run: wall and processor seconds, payload bytes sent, process id."""

    name: str
    seconds: float
    cpu_seconds: float
    bytes_sent: int
    pid: int


@dataclass(frozen=True)
class Figures:
    """What something took: seconds of the slowest party, processor seconds of all parties, rounds, payload bytes of all
    parties and those of the party that sent most.
    """

    seconds: float
    cpu_seconds: float
    rounds: int
    bytes_total: int
    bytes_max: int


@dataclass(frozen=True)
class NodeFacts(Figures):
    """What one top-level node of a plan took, all its runs together.

    What independent nodes did in the same rounds counts for each of them; the bytes of a node that ran alone are exact.
    """

    node: int
    op: str


@dataclass(frozen=True)
class Outcome:
    """The result of a run as a client sees it: raw outputs by label (None where it may not read), and its facts."""

    outputs: dict[str, U64Array | None]
    rounds: int
    parties: tuple[PartyFacts, ...]
    execution: Figures
    nodes: tuple[NodeFacts, ...]
    tls: dict[str, str]


class PartyLine:
    """The connections to one party."""

    def __init__(self, room: Room, party: Party, identity: Identity, failed: Callable[[TacitError], None]) -> None:
        self.name = party.name
        self._silence_s = room.limits.silence_s
        self._failed = failed
        self._stop: TacitError | None = None
        self._outbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lifeline: Line | None = None
        self._control = self._dial(room, party, identity)
        try:
            hello = Message("open", {"version": VERSION, "room": room.digest})
            opened = answer(self._ask(hello), "opened")
            self.pid = opened.integer("pid")
            if opened.text("party") != party.name:
                raise RoomError("ROOM-014", f"the party at {party.host}:{party.port} calls itself another name")
            self._lifeline = self._dial(room, party, identity)
            self._lifeline.send(Message("attach", {"token": opened.hex("token", 16).hex()}))
            answer(self._lifeline.recv(lambda: self._stop, self._silence_s), "pong")
        except BaseException:
            self.close()
            raise
        self._thread = threading.Thread(target=self._keep_alive, args=(self._lifeline,), daemon=True)
        self._thread.start()

    def _dial(self, room: Room, party: Party, identity: Identity) -> Line:
        limits = room.limits
        try:
            connection = connect(party.host, party.port, identity, party.pin, limits.connect_timeout_s)
        except TacitError as error:
            raise type(error)(
                error.code, f"{party.name}: {error.what}", expected=error.expected, party=party.name, next=error.next
            ) from None
        return Line(connection, party.name, limits.silence_s, limits.frame_bytes_max + 4096)

    @property
    def tls(self) -> dict[str, str]:
        """What TLS negotiated on the control connection."""
        return self._control.tls

    def ask(self, request: Message, on_progress: OnProgress | None = None) -> Message:
        """The answer to a request, which may be an `error`. Raises what ends the connection."""
        reply = self._ask(request)
        while reply.kind == "progress":
            if on_progress is not None:
                on_progress(reply.integer("step"))
            reply = self._control.recv(lambda: self._stop)
        return reply

    def _ask(self, request: Message) -> Message:
        self._control.send(request)
        return self._control.recv(lambda: self._stop)

    def cancel(self, run: bytes) -> None:
        """Tell the party that its client no longer wants this run. Does not wait."""
        self._outbox.put(Message("cancel", {"run": run.hex()}))

    def _keep_alive(self, lifeline: Line) -> None:
        try:
            while self._stop is None:
                try:
                    message = self._outbox.get(timeout=self._silence_s / PONG_FRACTION)
                except queue.Empty:
                    message = Message("ping")
                if self._stop is None:
                    lifeline.send(message)
                    answer(lifeline.recv(lambda: self._stop, self._silence_s), "pong")
        except TacitError as error:
            if self._stop is None:
                self._stop = error
                self._failed(error)

    def end(self, error: TacitError) -> None:
        """Make every wait on this party end with an error. May be called from any thread."""
        self._stop = self._stop or error
        self._outbox.put(Message("ping"))

    def close(self) -> None:
        """End both connections; the party forgets the session."""
        self.end(_closed())
        if self._thread is not None:
            self._thread.join(self._silence_s)
        for line in (self._lifeline, self._control):
            if line is not None:
                line.close()


class Parties:
    """A session with the parties of a room: what a `Session` runs plans on."""

    def __init__(self, room: Room, client: str, identity: Identity) -> None:
        """Connect to every party. Raises TransportError naming the party, RoomError ROOM-012 for another room file."""
        self.room = room
        self.client = client
        self._lines: list[PartyLine] = []
        self._mesh = os.urandom(16)
        self._broken: TacitError | None = None
        self._asking: list[threading.Thread] = []
        # Parties keep inputs as long as the session; an input's name stands for one array in it.
        self._handed_over: set[tuple[int, str]] = set()
        self._lock = threading.Lock()
        try:
            for party in room.parties:
                self._lines.append(PartyLine(room, party, identity, self._lost))
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the parties, on their own machines."""
        return tuple(line.pid for line in self._lines)

    def _lost(self, error: TacitError) -> None:
        self._broken = self._broken or error

    def describe(self, party: int, file: str) -> Description:
        """Rows and columns of a file of one party. Raises as `Datasets.describe`."""
        with self._lock:
            reply = answer(self._all([party], [Message("describe", {"file": file})])[0], "description")
        columns = []
        for item in reply.items("columns"):
            name, dtype = item if isinstance(item, list) and len(item) == 2 else (None, None)
            if not isinstance(name, str) or not (dtype is None or isinstance(dtype, str)):
                raise RunError("RUN-022", "a description of a file does not fit", party=self._lines[party].name)
            columns.append(Column(name, None if dtype is None else DType.parse(dtype)))
        return Description(reply.integer("rows"), tuple(columns))

    def describe_table(self, party: int, question: Question) -> TableFacts:
        """What a party says about one of its tables. Raises as `Sources.describe`."""
        with self._lock:
            request = Message("describe_table", question.to_fields())
            reply = answer(self._all([party], [request])[0], "table_description")
        try:
            return TableFacts.from_fields(reply.fields)
        except ValueError:
            raise RunError("RUN-022", "a description of a table does not fit", party=self._lines[party].name) from None

    def give(self, party: int, name: str, table: Any) -> None:
        """Hand an Arrow table, or the URL of a database, to a party that this client acts for, for this session."""
        if isinstance(table, str):
            message = Message("give", {"name": name, "url": table})
        else:
            message = Message("give", {"name": name, "url": ""}, [to_ipc(table)])
        with self._lock:
            answer(self._all([party], [message])[0], "done")

    def run(self, plan: Plan, values: dict[tuple[int, str], U64Array], on_progress: OnProgress | None) -> Outcome:
        """Hand over inputs, propose the plan, compare what the parties say, run it, combine the results.

        `values` are raw arrays by (party index of the plan, input name). Raises what the parties agreed on, or RunError
        RUN-008 if they say different things about the plan, RUN-009 about the public results.
        """
        with self._lock:
            everyone = range(len(self._lines))
            self._hand_over(plan, values)
            shown = self._all(everyone, [Message("propose", parts=[plan.to_bytes()])] * len(self._lines))
            self._compare(plan, shown)
            run = os.urandom(16)
            requests = [
                Message(
                    "run", {"digest": plan.digest, "run": run.hex(), "mesh": self._mesh.hex(), "public": index == 0}
                )
                for index in everyone
            ]
            try:
                replies = self._all(everyone, requests, on_progress, run)
            except BaseException:
                # The connections between the parties may be gone: the next run begins with new ones.
                self._mesh = os.urandom(16)
                raise
            return self._outcome(plan, [answer(r, "results") for r in replies])

    def fetch(self, plan: Plan) -> dict[str, U64Array | None]:
        """Outputs of a plan that somebody ran and that this client may read.

        Raises RunError RUN-006 where a party has none, RUN-009 or RUN-017 if what they have does not belong together.
        """
        request = Message("fetch", {"digest": plan.digest})
        with self._lock:
            replies = self._all(range(len(self._lines)), [request] * len(self._lines))
        results = [answer(r, "results") for r in replies]
        _check_same_run(results)
        return self._outputs(plan, results)

    def close(self) -> None:
        """End all connections. Idempotent."""
        self._broken = self._broken or _closed()
        for line in self._lines:
            line.end(_closed())
        for thread in self._asking:
            thread.join(self.room.limits.silence_s)
        for line in self._lines:
            line.close()
        self._lines = []

    # --- parts of a run --------------------------------------------------------------------------------------------

    def _hand_over(self, plan: Plan, values: dict[tuple[int, str], U64Array]) -> None:
        for node in plan.nodes:
            key = (node.attrs.get("party"), node.attrs.get("name"))
            if node.op != "input" or key not in values or key in self._handed_over:
                continue
            party, name = key
            raw = values[party, name]
            fields = {"name": name, "shape": list(raw.shape)}
            if party < plan.computing:
                data = np.ascontiguousarray(raw).astype("<u8", copy=False).tobytes()
                replies = self._all([party], [Message("put", fields, [data])])
            else:
                seeds = [os.urandom(16) for _ in self._lines]
                messages = PROTOCOLS[plan.protocol].deal(raw, seeds)
                replies = self._all(range(len(self._lines)), [Message("deal", fields, [m]) for m in messages])
            for reply in replies:
                answer(reply, "done")
            self._handed_over.add(key)

    def _compare(self, plan: Plan, shown: Sequence[Message]) -> None:
        mine = [str(d) for d in plan.disclosures()]
        for line, reply in zip(self._lines, shown, strict=True):
            theirs = answer(reply, "shown")
            if theirs.text("digest") != plan.digest or theirs.items("disclosures") != mine:
                raise RunError(
                    "RUN-008",
                    f"{line.name} reads the plan differently from this client",
                    expected=f"the digest {plan.digest[:16]}… and the same list of disclosures",
                    party=line.name,
                    next="nothing was run; install the same version of tacit everywhere",
                )

    def _outcome(self, plan: Plan, replies: Sequence[Message]) -> Outcome:
        _check_same_run(replies)
        facts = [
            PartyFacts(line.name, r.number("seconds"), r.number("cpu_seconds"), r.integer("bytes_sent"), line.pid)
            for line, r in zip(self._lines, replies, strict=True)
        ]
        tls = {str(k): str(v) for k, v in replies[0].object("tls").items()} or self._lines[0].tls
        rounds = max(r.integer("rounds") for r in replies)
        execution = join_figures([r.items("execution") for r in replies])
        nodes = join_profiles(plan, [r.items("profile") for r in replies])
        return Outcome(self._outputs(plan, replies), rounds, tuple(facts), execution, nodes, tls)

    def _outputs(self, plan: Plan, replies: Sequence[Message]) -> dict[str, U64Array | None]:
        given: dict[str, dict[int, U64Array]] = {}
        types = {label: plan.nodes[node].type for label, node in plan.outputs}
        for index, reply in enumerate(replies):
            for part, item in enumerate(reply.items("outputs")):
                label = item[0] if isinstance(item, list) and len(item) == 2 else None
                if label not in types or checked_shape(item[1], "results", "outputs") != types[label].shape:
                    raise RunError("RUN-022", "a result does not fit the plan", party=self._lines[index].name)
                given.setdefault(label, {})[index] = reply.array(part, types[label].shape)
        outputs: dict[str, U64Array | None] = {}
        for label, kind in types.items():
            have = given.get(label, {})
            shares = isinstance(kind.home, Private) and kind.home.party >= plan.computing
            if shares and len(have) == len(self._lines):
                parts = [have[i] for i in range(len(self._lines))]
                outputs[label] = PROTOCOLS[plan.protocol].combine(parts, kind.dtype.kind == "bool")
            elif isinstance(kind.home, Public):
                outputs[label] = have.get(0)
            else:
                outputs[label] = None if shares else next(iter(have.values()), None)
        return outputs

    # --- requests to several parties -------------------------------------------------------------------------------

    def _all(
        self,
        parties: Sequence[int],
        requests: Sequence[Message],
        on_progress: OnProgress | None = None,
        run: bytes | None = None,
    ) -> list[Message]:
        """Ask several parties at once; the answers in order. Raises the first error, after all have answered.

        For a run, the first error and every interruption cancel it at all parties.
        """
        # Another thread may close the session, and forget its lines, at any moment; it is broken first.
        lines = self._lines
        if self._broken is not None:
            raise self._broken
        done: dict[int, Message | BaseException] = {}
        wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        for index, request in zip(parties, requests, strict=True):
            step = on_progress if index == parties[0] else None
            target = partial(_ask_into, done, wake, lines[index], index, request, step)
            thread = threading.Thread(target=target, daemon=True)
            self._asking = [t for t in self._asking if t.is_alive()] + [thread]
            thread.start()
        interruption: BaseException | None = None
        deadline = float("inf")
        while len(done) < len(parties):
            # Ctrl-C may arrive anywhere in here; `done` loses nothing by it.
            try:
                with contextlib.suppress(queue.Empty):
                    wake.get(timeout=WAKE_S)
                if deadline == float("inf"):
                    if interruption is not None or any(_failed(d) for d in list(done.values())):
                        deadline = time.monotonic() + CANCEL_S
                        if run is not None:
                            for index in parties:
                                lines[index].cancel(run)
                elif time.monotonic() > deadline:
                    late = ", ".join(lines[i].name for i in parties if i not in done)
                    self._broken = self._broken or RunError(
                        "RUN-010",
                        f"{late} did not confirm the end of the run",
                        expected=f"an answer within {CANCEL_S:g} s",
                        next="open a new session",
                    )
                    break
            except KeyboardInterrupt as error:
                interruption = interruption or error
        if interruption is not None:
            raise interruption
        # What a party answered says more than a connection that ended, a cause more than the cancellation, and what a
        # party says of itself more than what its peers saw of it, should they not have had the time to agree.
        errors: list[tuple[bool, bool, bool, BaseException]] = []
        for result in done.values():
            if isinstance(result, BaseException):
                errors.append((False, True, False, result))
            elif result.kind == "error":
                answered = _carried(result)
                errors.append((answered.code == "RUN-001", False, isinstance(answered, TransportError), answered))
        if errors:
            raise min(errors, key=lambda e: e[:3])[3]
        if len(done) < len(parties) and self._broken is not None:
            raise self._broken
        answers = [done[index] for index in parties]
        return [a for a in answers if isinstance(a, Message)]


def _check_same_run(results: Sequence[Message]) -> None:
    """Shares of different runs would combine to noise, or worse to something in between."""
    if len({r.hex("run", 16) for r in results}) != 1:
        raise RunError(
            "RUN-017",
            "the parties hold results of different runs of this plan",
            expected="results of one run at every party",
            next="run the plan again",
        )
    if len({r.hex("public_sha256", 32) for r in results}) != 1:
        raise RunError(
            "RUN-009",
            "the parties report different public results",
            expected="the same at every party",
            next="do not use the results; look at the parties' logs",
        )


def join_figures(parties: Sequence[list[Any]]) -> Figures:
    """The figures of all parties together from each party's [seconds, cpu seconds, rounds, bytes sent].

    Raises RunError RUN-026 for a list of another form.
    """
    for one in parties:
        if len(one) != 4 or not all(type(v) in (int, float) for v in one):
            raise RunError("RUN-026", "a party's figures are malformed", expected="four numbers")
    seconds, cpu, rounds, sent = zip(*parties, strict=True)
    return Figures(float(max(seconds)), float(sum(cpu)), int(max(rounds)), int(sum(sent)), int(max(sent)))


def join_profiles(plan: Plan, profiles: Sequence[list[Any]]) -> tuple[NodeFacts, ...]:
    """The facts of each node from the parties' lists of [node, seconds, cpu seconds, rounds, bytes sent].

    Raises RunError RUN-026 for a list of another form.
    """
    by_node: dict[int, list[list[Any]]] = {}
    for profile in profiles:
        for entry in profile:
            if not (isinstance(entry, list) and entry and type(entry[0]) is int and 0 <= entry[0] < len(plan.nodes)):
                raise RunError("RUN-026", "a party's profile names no node of the plan", expected="nodes of the plan")
            by_node.setdefault(entry[0], []).append(entry[1:])
    return tuple(
        NodeFacts(**asdict(join_figures(by_node[node])), node=node, op=plan.nodes[node].op) for node in sorted(by_node)
    )


def _ask_into(
    done: dict[int, Message | BaseException],
    wake: queue.SimpleQueue[None],
    line: PartyLine,
    index: int,
    request: Message,
    on_progress: OnProgress | None,
) -> None:
    try:
        done[index] = line.ask(request, on_progress)
    except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
        done[index] = error
    wake.put(None)


def _failed(result: Message | BaseException) -> bool:
    return isinstance(result, BaseException) or result.kind == "error"


def _carried(message: Message) -> TacitError:
    try:
        return TacitError.from_dict(message.object("error"))
    except TacitError as malformed:
        return malformed


def _closed() -> RunError:
    return RunError("RUN-012", "the session is closed", next="open a new one with tacit.local() or tacit.connect()")
