# SPDX-License-Identifier: Apache-2.0
"""One party's service: who may connect, what a client may ask, and the one run at a time.

Each connection is authenticated by its pinned certificate and begins with one message: `mesh` from a peer, `open` (a
client's control connection) or `attach` (the lifeline of an open session) from a client. On the control connection:

    describe  {file}                       -> description {rows, columns}
    describe_table {source, ...}           -> table_description {rows, columns, ...}
    put       {name, shape} + array        -> done          only from a client that acts for this party
    give      {name, url} + Arrow stream   -> done          likewise: a table, or a database by its URL
    deal      {name, shape} + message      -> done          the client's shares of an input of its own
    propose   {} + plan                    -> shown {digest, disclosures, assumptions}
    run       {digest, run, mesh, public}  -> progress {step}..., results {outputs, ...} + arrays
    fetch     {digest}                     -> results       of an earlier run, what this client may read
    close     {}                           -> done

A plan runs only if this party has checked it and shown its client what it discloses, on the same connection. The
lifeline carries `ping` and `cancel {run}`, each answered by `pong`; when it falls silent, the client's run ends. What
goes wrong in a request is answered by `error`, and the connection goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tacit import kernels
from tacit.engine.drive import Traffic, drive
from tacit.engine.profile import Profile
from tacit.errors import InputError, RoomError, RunError, SqlError, TacitError
from tacit.node.memory import give_back
from tacit.node.mesh import Mesh
from tacit.node.refusals import CountedInputs, Refusals
from tacit.plan import Node, Plan, Public
from tacit.protocols.shares import U64Array
from tacit.room import Client, Room
from tacit.session.datasets import Datasets, redacted
from tacit.session.engines import Postgres
from tacit.session.line import Line
from tacit.session.messages import VERSION, Message, error_message, unknown
from tacit.session.party import Bound, Dealt, bind, check_room, may_read, run
from tacit.session.sources import Inputs, Question, Sources, from_ipc
from tacit.transport import Cause, Connection, Identity, Listener

log = logging.getLogger("tacit.node")

GREETING_S: Final = 10.0
"""How long a connection may take for its first message, and a session for its lifeline."""
GREETING_BYTES_MAX: Final = 1 << 16
SESSIONS_MAX: Final = 64
SESSIONS_PER_CLIENT_MAX: Final = 8
PROPOSALS_MAX: Final = 16
INPUTS_MAX: Final = 4096
TABLES_MAX: Final = 256
RESULTS_MAX: Final = 16
COLUMNS_SHOWN: Final = 64
PROGRESS_S: Final = 0.2


@dataclass(frozen=True)
class _Results:
    plan: Plan
    run: bytes
    outputs: dict[str, U64Array | None]


@dataclass
class _Session:
    """An open session of a client: what it handed over, and the plans it was shown.

    `ended` says why it is over; `cancelled` is the run that its client no longer wants.
    """

    client: Client
    token: bytes
    attached: bool = False
    opened: float = field(default_factory=time.monotonic)
    ended: TacitError | None = None
    cancelled: bytes = b""
    put: dict[str, U64Array] = field(default_factory=dict)
    dealt: dict[str, Dealt] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    proposals: OrderedDict[str, tuple[Plan, Bound]] = field(default_factory=OrderedDict)

    def bytes_beside(self, name: str) -> int:
        """What it handed over, without the input of this name."""
        put = sum(array.nbytes for key, array in self.put.items() if key != name)
        put += sum(getattr(table, "nbytes", 0) for key, table in self.given.items() if key != name)
        return put + sum(len(dealt.message) for key, dealt in self.dealt.items() if key != name)


class _Watched(Profile):
    """A profile of a run that ends before its next node once there is a reason to stop it.

    The transport ends a run that waits for a peer. A loop over public values waits for nobody, and may have more trips
    than anyone can wait for.
    """

    def __init__(self, traffic: Callable[[], tuple[int, int]], stop: Callable[[], TacitError | None]) -> None:
        super().__init__(traffic)
        self._stop = stop

    def began(self, node: Node) -> None:
        """Note the counters. Raises what `stop` returns."""
        self.trip()
        super().began(node)

    def trip(self) -> None:
        """Raises what `stop` returns."""
        error = self._stop()
        if error is not None:
            raise error


class Party:
    """A running party. `serve` blocks until `stop`; connections are served by threads of their own."""

    def __init__(
        self, room: Room, name: str, identity: Identity, listener: Listener, datasets: Datasets, threads: int = 1
    ) -> None:
        """`threads` is how many of them a run may compute with.

        Raises RoomError ROOM-009 for a name, ROOM-011 for an identity, that is not the room's.
        """
        self._me = room.index(name)
        self._room = room
        self._name = name
        if room.parties[self._me].pin != identity.pin:
            raise RoomError(
                "ROOM-011",
                f"the certificate of {name!r} is not the one in the room file",
                expected=f"the certificate with pin {room.parties[self._me].pin}",
                party=name,
                next="name the right --identity directory, or put the new pin into every copy of the room file",
            )
        self._listener = listener
        self._datasets = datasets
        self._compute_threads = threads
        self._sources = Sources(datasets, name)
        self._refusals = Refusals(self._sources, name, room.limits.refusals_max)
        self._mesh = Mesh(room, self._me, identity)
        self._stopping: TacitError | None = None
        self._busy = threading.Lock()
        self._running: tuple[_Session, Callable[[TacitError], None]] | None = None
        self._sessions: dict[bytes, _Session] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._results: OrderedDict[str, _Results] = OrderedDict()
        listener.allow([p.pin for p in room.parties if p.name != name] + [c.pin for c in room.clients])

    def stop(self, why: str = "its operator stopped it") -> None:
        """End the current run on every party, then `serve`. May be called from any thread or signal handler."""
        self._stopping = RunError(
            "RUN-002",
            f"{self._name}: {why}",
            expected="every party until the run ends",
            party=self._name,
            next="start the party again, and repeat the run",
        )

    def reset_refusals(self) -> None:
        """Let clients learn as much about this party's files as at its start. May be called from a signal handler."""
        self._refusals.reset()
        log.info("%s counts refusals from nothing again", self._name)

    def serve(self) -> None:
        """Accept connections until `stop`; returns when the current run has ended everywhere it can."""
        log.info("%s listens on port %d", self._name, self._listener.port)
        while self._stopping is None:
            try:
                connection = self._listener.accept(SLICE_S)
            except TacitError as error:
                if error.code == Cause.REFUSED.code:
                    log.warning("refused a connection: %s", error)
                elif error.code != Cause.UNREACHABLE.code:
                    log.error("the listener failed: %s", error)
                    break
                continue
            thread = threading.Thread(target=self._guard, args=(connection,), daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # The system has no thread to give: to dial again costs less than to end every run here.
                log.error("a connection was dropped: %s", error)
                connection.close()
                continue
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        if self._stopping is None:
            self.stop("its listener failed")
        assert self._stopping is not None
        self._cancel(None, self._stopping)
        self._listener.close()
        # Each thread tells its client why, the run's thread its peers too.
        deadline = time.monotonic() + STOP_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._mesh.drop()

    # --- connections -----------------------------------------------------------------------------------------------

    def _guard(self, connection: Connection) -> None:
        """Serve a connection; whatever happens ends this connection only."""
        owner = self._room.pins.get(connection.peer_pin, "an unknown certificate")
        try:
            kept = self._greet(connection, owner)
        except TacitError as error:
            kept = False
            log.info("the connection of %s ended: %s", owner, error)
        except BaseException:  # A panic of the Rust core is no Exception.
            kept = False
            log.exception("a defect while serving %s", owner)
        if not kept:
            connection.close()

    def _greet(self, connection: Connection, name: str) -> bool:
        """Read the first message and serve what it asks for; True if a mesh keeps the connection."""
        line = Line(connection, name, GREETING_S, GREETING_BYTES_MAX)
        first = line.recv(lambda: self._stopping, GREETING_S)
        client = self._room.client(name)
        if first.kind == "mesh" and client is None:
            self._mesh.offer(self._room.index(name), first.hex("mesh", 16), connection)
            return True
        try:
            if first.kind == "open" and client is not None:
                session = self._open(first, client)
                line.allow(self._room.limits.frame_bytes_max + 4096)
                self._control(line, session)
            elif first.kind == "attach" and client is not None:
                self._lifeline(line, first, client)
            else:
                raise unknown(first.kind, "open or attach from a client, mesh from a party")
        except TacitError as error:
            if error is not self._stopping:
                log.info("%s: %s", name, error)
            line.send(error_message(error))
        return False

    def _open(self, first: Message, client: Client) -> _Session:
        if first.integer("version") != VERSION:
            raise RunError(
                "RUN-024",
                f"{self._name} speaks version {VERSION} of the control protocol",
                expected=f"version {VERSION}",
                party=self._name,
                next="install the same version of tacit on both sides",
            )
        if first.text("room") != self._room.digest:
            raise RoomError(
                "ROOM-012",
                f"{client.name} and {self._name} have different room files",
                expected=f"the room with digest {self._room.digest[:16]}…",
                party=self._name,
                next="copy one room file to everybody",
            )
        session = _Session(client, os.urandom(16))
        with self._lock:
            if len(self._sessions) >= SESSIONS_MAX:
                raise self._full("sessions", SESSIONS_MAX)
            if sum(s.client is client for s in self._sessions.values()) >= SESSIONS_PER_CLIENT_MAX:
                raise self._full(f"sessions of client {client.name}", SESSIONS_PER_CLIENT_MAX)
            self._sessions[session.token] = session
        return session

    def _lifeline(self, line: Line, first: Message, client: Client) -> None:
        token = first.hex("token", 16)
        with self._lock:
            session = next((s for t, s in self._sessions.items() if hmac.compare_digest(t, token)), None)
            if session is None or session.client is not client or session.attached:
                raise RunError("RUN-025", "a lifeline was attached to no open session", party=self._name)
            session.attached = True
        line.send(Message("pong"))
        try:
            while session.ended is None:
                message = line.recv(lambda: self._stopping or session.ended, self._room.limits.silence_s)
                if message.kind == "cancel":
                    session.cancelled = message.hex("run", 16)
                    self._cancel(session, self._cancelled_by(session))
                elif message.kind != "ping":
                    raise unknown(message.kind, "ping or cancel")
                line.send(Message("pong"))
        except TacitError as error:
            if session.ended is None and self._stopping is None and error.code != Cause.CLOSED.code:
                log.info("the lifeline of %s ended: %s", client.name, error)
        finally:
            if session.ended is None:
                session.ended = self._stopping or RunError(
                    "RUN-003",
                    f"client {client.name} is gone",
                    expected="the client's process until the run ends",
                    party=self._name,
                    next="open a new session",
                )
                self._cancel(session, session.ended)

    def _cancelled_by(self, session: _Session) -> RunError:
        return RunError("RUN-001", f"client {session.client.name} cancelled the run", next="run it again if you like")

    def _cancel(self, session: _Session | None, error: TacitError) -> None:
        """End the current run, or that of one session, if there is one."""
        running = self._running
        if running is not None and (session is None or running[0] is session):
            running[1](error)

    # --- requests --------------------------------------------------------------------------------------------------

    def _control(self, line: Line, session: _Session) -> None:
        answer = Message(
            "opened",
            {"token": session.token.hex(), "party": self._name, "pid": os.getpid(), "version": VERSION},
        )
        client = session.client.name
        log.info("%s opened a session", client)
        try:
            line.send(answer)
            while True:
                request = line.recv(lambda: self._stopping or session.ended or self._unattached(session))
                try:
                    line.send(self._answer(line, session, request))
                except (InputError, SqlError) as error:
                    log.warning("%s: %s", client, error)
                    acts = self._name in session.client.acts_for
                    line.send(error_message(error if acts else redacted(error)))
                except TacitError as error:
                    log.warning("%s: %s", client, error)
                    line.send(error_message(error))
                except BaseException as error:
                    log.exception("a defect while answering %s", client)
                    line.send(error_message(self._defect(error)))
                if request.kind == "close":
                    return
        except TacitError as error:
            if error is session.ended:
                with contextlib.suppress(TacitError):
                    line.send(error_message(error))
            elif error.code != Cause.CLOSED.code:  # Clients take no other leave.
                raise
        finally:
            closed = RunError("RUN-003", f"client {session.client.name} closed the session")
            session.ended = self._stopping or session.ended or closed
            self._cancel(session, session.ended)
            with self._lock:
                self._sessions.pop(session.token, None)
            log.info("the session of %s is over: %s", client, session.ended.what)

    def _unattached(self, session: _Session) -> RunError | None:
        # Only the lifeline shows that a client still lives.
        if session.attached or time.monotonic() - session.opened < GREETING_S:
            return None
        return RunError(
            "RUN-025",
            "no lifeline was attached to the session",
            expected=f"one within {GREETING_S:g} s",
            party=self._name,
            next="open a new session",
        )

    def _answer(self, line: Line, session: _Session, request: Message) -> Message:
        match request.kind:
            case "describe":
                found = self._datasets.describe(request.text("file"))
                self._told(session, request.text("file"), found.rows, [c.name for c in found.columns])
                columns = [[c.name, str(c.dtype) if c.dtype else None] for c in found.columns]
                return Message("description", {"rows": found.rows, "columns": columns})
            case "describe_table":
                asked = Question.from_fields(request.fields)
                answer = self._inputs(session).describe(asked)
                self._told(session, asked.source, answer.rows, [f.name for f in answer.fields])
                return Message("table_description", answer.to_fields())
            case "give":
                self._operator(session)
                self._give(session, request)
            case "put":
                self._operator(session)
                self._room_for_input(session, request)
                session.put[request.text("name", 500)] = request.array(0, request.shape())
            case "deal":
                self._room_for_input(session, request)
                session.dealt[request.text("name", 500)] = Dealt(bytes(request.part()), request.shape())
            case "propose":
                return self._propose(session, request)
            case "run":
                return self._run(line, session, request)
            case "fetch":
                return self._fetch(session, request)
            case "close":
                pass
            case _:
                raise unknown(request.kind, "a request that node/service.py lists")
        return Message("done")

    def _told(self, session: _Session, source: str, rows: int, columns: list[str]) -> None:
        """Note what a client was told of a file or table."""
        listed = ", ".join(map(repr, columns[:COLUMNS_SHOWN])) + (", ..." if len(columns) > COLUMNS_SHOWN else "")
        log.info("%s was told of %r: %d rows, columns %s", session.client.name, source, rows, listed)

    def _operator(self, session: _Session) -> None:
        if self._name not in session.client.acts_for:
            raise RoomError(
                "ROOM-013",
                f"client {session.client.name} may not hand inputs to {self._name}",
                expected=f"a client whose `acts_for` lists {self._name}",
                party=self._name,
                next="let the party read its own file, or have its operator change the room file",
            )

    def _room_for_input(self, session: _Session, request: Message) -> None:
        name = request.text("name", 500)
        if len(session.put) + len(session.dealt) >= INPUTS_MAX and not (name in session.put or name in session.dealt):
            raise self._full("inputs of one session", INPUTS_MAX)
        limit = self._room.limits.session_bytes_max
        if session.bytes_beside(name) + len(request.part()) > limit:
            raise RunError(
                "RUN-016",
                f"client {session.client.name} handed too much data to {self._name} in one session",
                expected=f"at most {limit} bytes in all",
                party=self._name,
                next="open a new session, or raise session_bytes_max in the room file",
            )

    def _full(self, what: str, limit: int) -> RunError:
        return RunError("RUN-026", f"too many {what} at {self._name}", expected=f"at most {limit}", party=self._name)

    def _inputs(self, session: _Session) -> Inputs | CountedInputs:
        """This party's data for one request of a client."""
        inputs = self._sources.inputs(session.given)
        operator = self._name in session.client.acts_for
        return inputs if operator else self._refusals.reader(session.client.name, inputs)

    def _give(self, session: _Session, request: Message) -> None:
        name, url = request.text("name", 100), request.text("url")
        if len(session.given) >= TABLES_MAX and name not in session.given:
            raise self._full("tables of one session", TABLES_MAX)
        if url:
            session.given[name] = Postgres(url, self._name)
            return
        self._room_for_input(session, request)
        session.given[name] = from_ipc(bytes(request.part()), self._name)

    def _propose(self, session: _Session, request: Message) -> Message:
        plan = Plan.from_bytes(bytes(request.part()))
        check_room(plan, self._room)
        client = session.client
        bound = bind(plan, self._me, client.name, self._inputs(session), session.put, session.dealt)
        session.proposals[plan.digest] = (plan, bound)
        while len(session.proposals) > PROPOSALS_MAX:
            session.proposals.popitem(last=False)
        shown = [str(d) for d in plan.disclosures()]
        log.info("%s was shown plan %s, which discloses", session.client.name, plan.digest)
        for line in shown:
            log.info("plan %s: %s", plan.digest[:16], line)
        assumed = [str(a) for a in plan.assumptions()]
        return Message("shown", {"digest": plan.digest, "disclosures": shown, "assumptions": assumed})

    def _run(self, line: Line, session: _Session, request: Message) -> Message:
        digest = request.hex("digest", 32).hex()
        if digest not in session.proposals:
            raise RunError(
                "RUN-007",
                f"{self._name} was asked to run a plan that it has not shown to {session.client.name}",
                expected="a plan that was proposed in this session",
                party=self._name,
                next="propose the plan first",
            )
        if not session.attached:
            raise RunError("RUN-025", "a run needs the session's lifeline", party=self._name)
        run_id, mesh, public = request.hex("run", 16), request.hex("mesh", 16), request.flag("public")
        if not self._busy.acquire(blocking=False):
            raise RunError(
                "RUN-004",
                f"{self._name} is busy with another run",
                expected="one run at a time",
                party=self._name,
                next="try again when it is over",
            )
        try:
            plan, bound = session.proposals.pop(digest)
            return self._run_now(line, session, plan, bound, run_id, mesh, public)
        finally:
            self._running = None
            give_back()
            self._busy.release()

    def _run_now(
        self, line: Line, session: _Session, plan: Plan, bound: Bound, run_id: bytes, mesh: bytes, public: bool
    ) -> Message:
        wall, cpu = time.perf_counter(), time.process_time()
        log.info("%s runs plan %s", session.client.name, plan.digest)

        def stop() -> TacitError | None:
            cancelled = self._cancelled_by(session) if session.cancelled == run_id else None
            return self._stopping or session.ended or cancelled

        transport = self._mesh.transport(mesh, run_id, stop)
        sent_before = transport.stats.payload_bytes_sent
        self._running = (session, transport.cancel)
        told = 0.0

        def progress(step: int) -> None:
            nonlocal told
            error = stop()
            if error is not None:
                raise error
            if time.perf_counter() - told > PROGRESS_S:
                told = time.perf_counter()
                line.send(Message("progress", {"step": step}))

        traffic = Traffic()
        profile = _Watched(lambda: (traffic.rounds, transport.stats.payload_bytes_sent), stop)
        try:
            program = run(plan, self._me, run_id, os.urandom(32), bound, profile)
            with kernels.threads(self._compute_threads):
                outputs = drive(program, transport, progress=progress, traffic=traffic)
            transport.finish()
        except TacitError as error:
            agreed = transport.abort(error)
            self._mesh.drop()
            raise agreed from None
        except BaseException as error:
            log.exception("a defect while running plan %s", plan.digest)
            agreed = transport.abort(self._defect(error))
            self._mesh.drop()
            raise agreed from None
        self._results[plan.digest] = _Results(plan, run_id, outputs)
        while len(self._results) > RESULTS_MAX:
            self._results.popitem(last=False)
        facts = {
            "run": run_id.hex(),
            "rounds": traffic.rounds,
            "bytes_sent": transport.stats.payload_bytes_sent - sent_before,
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "execution": profile.execution(),
            "profile": profile.rows(plan.nodes),
            "tls": self._mesh.tls,
        }
        log.info("plan %s ended after %.3f s", plan.digest, facts["seconds"])
        return self._readable(plan, outputs, session.client, public, facts)

    def _defect(self, error: BaseException) -> RunError:
        # Its message stays in the operator's log: it may quote data.
        return RunError(
            "RUN-005",
            f"{self._name} failed with {type(error).__name__}",
            party=self._name,
            next="look at that party's log, and report it: it is a defect of tacit",
        )

    def _fetch(self, session: _Session, request: Message) -> Message:
        digest = request.hex("digest", 32).hex()
        if digest not in self._results:
            raise RunError(
                "RUN-006",
                f"{self._name} holds no results of this plan",
                expected=f"one of the last {RESULTS_MAX} plans it ran",
                party=self._name,
                next="run the plan again",
            )
        kept = self._results[digest]
        return self._readable(kept.plan, kept.outputs, session.client, True, {"run": kept.run.hex()})

    def _readable(
        self,
        plan: Plan,
        outputs: dict[str, U64Array | None],
        client: Client,
        public: bool,
        facts: dict[str, object],
    ) -> Message:
        """What a client may read of the outputs: public ones in full (or only their hash), and its own."""
        entries, parts, common = [], [], hashlib.sha256()
        for label, node in plan.outputs:
            value = outputs[label]
            is_public = plan.nodes[node].type.home == Public()
            if value is None or not may_read(plan, label, self._room, client.name):
                continue
            data = np.ascontiguousarray(value).astype("<u8", copy=False).tobytes()
            if is_public:
                common.update(data)
                if not public:
                    continue
            entries.append([label, list(value.shape)])
            parts.append(data)
        fields = {**facts, "digest": plan.digest, "outputs": entries, "public_sha256": common.hexdigest()}
        return Message("results", fields, parts)


SLICE_S: Final = 0.2
STOP_S: Final = 5.0
