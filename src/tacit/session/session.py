# SPDX-License-Identifier: Apache-2.0
"""What users hold: arrays go in, a plan is agreed on and run, results and a report come out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tacit.engine.estimate import CostReport, PricedPlan
from tacit.errors import InputError, RoomError, RunError
from tacit.frontends.array import SecretArray
from tacit.frontends.encoding import as_dtype
from tacit.frontends.graph import record
from tacit.frontends.program import Program
from tacit.plan import Disclosure, DType, Plan, default_interval
from tacit.protocols.shares import U64Array
from tacit.room import NETWORKS, Limits, Room, load
from tacit.session.client import Figures, NodeFacts, OnProgress, Outcome, Parties, PartyFacts
from tacit.session.datasets import Description, source_of
from tacit.session.identity import load_identity
from tacit.session.local import THREADS_MAX, LocalParties
from tacit.session.memory import MemoryParties
from tacit.session.progress import progress_bar
from tacit.session.relations import Across, Relations, Rows, SqlTable, Unique
from tacit.session.sources import Question, TableFacts
from tacit.session.values import encode, infer_dtype, interval_of

if TYPE_CHECKING:
    from tacit.session.matching import Keys, Matching, Steps
    from tacit.session.query import SecretFrame

Directories = Mapping[int | str, str | os.PathLike[str]] | Sequence[str | os.PathLike[str]]


class Backend(Protocol):
    """The parties of a session: processes (`client.Parties`) or in memory (`memory.MemoryParties`)."""

    room: Room
    client: str

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the parties."""

    def describe(self, party: int, file: str) -> Description:
        """What a party says about one of its files."""

    def describe_table(self, party: int, question: Question) -> TableFacts:
        """What a party says about one of its tables."""

    def give(self, party: int, name: str, table: Any) -> None:
        """Hand a party a table, or the URL of a database."""

    def run(self, plan: Plan, values: dict[tuple[int, str], U64Array], on_progress: OnProgress | None) -> Outcome:
        """Agree on a plan and run it."""

    def fetch(self, plan: Plan) -> dict[str, U64Array | None]:
        """What this client may read of an earlier run."""

    def close(self) -> None:
        """End all connections."""


@dataclass(frozen=True, repr=False)
class RunReport:
    """What a run did: which plan, who learned what, what it cost.

    `bytes_total` are payload bytes of all computing parties, `seconds` those of the slowest; `by_party` has each
    party's wall and processor seconds, bytes sent and process id. `execution` is the part of it in which the plan ran,
    after the parties agreed on plan and keys and before they agree that all went well; `by_node` the same for each node
    of the plan. `tls` is what the parties negotiated: `version`, `group`, `cipher`.
    """

    digest: str
    disclosures: tuple[Disclosure, ...]
    rounds: int
    bytes_total: int
    seconds: float
    by_party: tuple[PartyFacts, ...]
    execution: Figures
    by_node: tuple[NodeFacts, ...]
    tls: Mapping[str, str]

    def __repr__(self) -> str:
        done = f"{self.rounds:,} rounds, {self.bytes_total:,} bytes, {self.seconds:.3g} s"
        return f"RunReport({done}, {len(self.disclosures)} disclosures; plan {self.digest[:16]})"

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of all parties together."""
        return sum(p.cpu_seconds for p in self.by_party)


class Session:
    """An open session with the parties of a room; made by `local` or `connect`. Use it in a `with` statement.

    `last` is the report of the last run, None before it. A session is used by one thread at a time.
    """

    def __init__(self, backend: Backend, owned: LocalParties | None = None, network: str | None = None) -> None:
        self._backend = backend
        self._owned = owned
        self._closed = False
        self.last: RunReport | None = None
        room = backend.room
        self._program: Program[U64Array | None] = Program(
            (*room.party_names, backend.client),
            len(room.parties),
            room.protocol,
            self._run,
            network or _real(room.network),
        )
        self._relations = Relations(self._program, backend, self._check_operator)

    # --- inputs ----------------------------------------------------------------------------------------------------

    def input(
        self,
        array: ArrayLike,
        party: int | str | None = None,
        range: Sequence[float] | None = None,
        dtype: DType | str | type | None = None,
        name: str | None = None,
    ) -> SecretArray:
        """An array as an input of `party`, by index or name, whose operator this client is; without `party` this client
        keeps it: it sends each computing party a share, and none of them sees it.

        bool stays bool, integers become int64 and floats fixed(18), unless `dtype` says otherwise. `range=(lo, hi)` are
        public bounds, by default +-2^31 for int64 and +-2^12 for floats; smaller ones make computing faster.
        Raises InputError: INPUT-005, -006 or -007 for a value of the wrong type, NaN or infinite, or outside the range;
        INPUT-009 for arrays that are no numbers; INPUT-010 for an impossible range; INPUT-111 for an unknown party; and
        RoomError ROOM-013 for a party whose operator this client is not.
        """
        index = len(self._backend.room.parties) if party is None else self._party(party)
        self._check_operator(index)
        values = np.asarray(array)
        element = infer_dtype(values) if dtype is None else as_dtype(dtype)
        interval = interval_of(element, range)
        what = f"input {name!r}" if name else "the input"
        raw = encode(values, element, interval, what=what, party=self._program.parties[index])
        array_in = self._program.input(values.shape, element, index, raw, interval=interval, name=name)
        if party is not None and index < len(self._backend.room.parties):
            return array_in
        # A client computes nothing: what it brings is shared from the start.
        return SecretArray(self._program, record("share", array_in.node))

    @overload
    def load(
        self,
        file: str,
        party: int | str,
        columns: str | Sequence[str],
        range: Sequence[float] | None = None,
        dtype: DType | str | type | None = None,
    ) -> SecretArray: ...

    @overload
    def load(
        self,
        file: str,
        party: int | str,
        columns: None = None,
        range: Sequence[float] | None = None,
        dtype: DType | str | type | None = None,
    ) -> dict[str, SecretArray]: ...

    def load(
        self,
        file: str,
        party: int | str,
        columns: str | Sequence[str] | None = None,
        range: Sequence[float] | None = None,
        dtype: DType | str | type | None = None,
    ) -> SecretArray | dict[str, SecretArray]:
        """Columns of a file that `party` reads from its own data directory; nobody else sees the file.

        One column name gives an array [rows], a list of names an array [rows, columns]; without `columns` the result is
        a dictionary of all columns that hold numbers or bools. The number of rows becomes known to everyone. Types come
        from the file (floats as fixed(18), mixed integers and floats of one array as fixed(18)) unless `dtype` is
        given; every value must lie in `range`. Values are checked by their owner when a plan is proposed.

        Raises InputError: INPUT-001 to -004 for a missing or unreadable file, a path outside the directory or a
        missing column; INPUT-009 for a column of text; INPUT-010 and -111 as `input`.
        """
        index = self._party(party)
        if index == len(self._backend.room.parties):
            raise InputError(
                "INPUT-015", "this client is no party that reads files", next="pass arrays of your own to Session.input"
            )
        found = self._backend.describe(index, file)
        if columns is None:
            every = [c.name for c in found.columns if c.dtype is not None]
            return {c: self._columns(found, file, index, [c], True, range, dtype) for c in every}
        if isinstance(columns, str):
            return self._columns(found, file, index, [columns], True, range, dtype)
        return self._columns(found, file, index, list(columns), False, range, dtype)

    def _columns(
        self,
        found: Description,
        file: str,
        party: int,
        names: list[str],
        single: bool,
        range: Sequence[float] | None,
        dtype: DType | str | type | None,
    ) -> SecretArray:
        owner = self._program.parties[party]
        known = {c.name: c.dtype for c in found.columns}
        missing = next((n for n in names if n not in known), None)
        if missing is not None or not names:
            raise InputError(
                "INPUT-004",
                f"{file} has no column {missing!r}" if names else "no column was asked for",
                expected=f"one of {', '.join(map(repr, known))}",
                party=owner,
                next="correct the column's name",
            )
        types = []
        for name in names:
            kind = known[name]
            if kind is None:
                raise InputError(
                    "INPUT-009",
                    f"column {name!r} of {file} holds neither numbers nor bools",
                    expected="a column of numbers or bools",
                    party=owner,
                    next="encode text and dates as integers in the file first",
                )
            types.append(kind)
        element = as_dtype(dtype) if dtype is not None else _common(types)
        interval = default_interval(element) if range is None else interval_of(element, range)
        shape = (found.rows,) if single else (found.rows, len(names))
        source = source_of(file, names, matrix=not single)
        name = self._name(file, names)
        return self._program.input(shape, element, party, None, interval=interval, name=name, source=source)

    def _name(self, file: str, columns: list[str]) -> str:
        """What a disclosure calls columns of a file; a number follows where they are loaded again, or queried."""
        stem = PurePosixPath(file).stem
        return self._relations.free_name(
            f"{stem}.{columns[0]}" if len(columns) == 1 else f"{len(columns)} columns of {stem}"
        )

    def table(
        self,
        name: str,
        source: Any,
        party: int | str | None = None,
        *,
        unique: Unique = (),
        rows: Rows = "exact",
        ranges: Mapping[str, Sequence[Any]] | None = None,
        types: Mapping[str, str] | None = None,
        values: Mapping[str, Iterable[str]] | None = None,
        min_group: int = 1,
        across: Across = "assumed",
    ) -> SqlTable:
        """Register a table under its name in queries; nothing of its rows leaves its owner for that.

        `source` is a file in the data directory of `party` (CSV, Parquet or Arrow); `"warehouse.patients"`, a table of
        a Postgres database that the party's operator configured in `sources.toml` there; or, from a client that acts
        for the party, a pandas, Polars or Arrow table, an Arrow dataset (as of a directory of Parquet files), or a
        database's table as `postgresql://...#schema.table`. A mapping from parties to sources is a table of which each
        has some rows. A table without a party is this client's own.

        Columns are integers, decimals, floats (18 binary places are kept), bools, dates, timestamps and text; others
        are left out. `types` declares those of columns of a CSV file, `{"price": "DECIMAL(15,2)"}`; else its values
        decide. All parts must have the same columns, integers and decimals of any width.

        What registering tells everybody, and `SqlTable.disclosed` lists: names and types of columns; which of them have
        a NULL; of each column a range, `ranges={"age": (0, 130)}` or else that of its values rounded outwards to powers
        of two, and of text the length of the longest in whole groups of 7 bytes, or `ranges={"code": (0, 3)}`, the most
        bytes; of each part the number of rows, or, with a number as `rows`, only that there are at most so many.
        Whether declared ranges hold is checked when a query reads the column.

        `values={"flag": ["A", "N", "R"]}` lists all the values that a column of text can have, for everybody to see:
        it travels as narrow codes, its groups are counted without a sort, and LIKE costs an equality. The list is
        never taken from the data; a value that is not in it is refused when a query reads the column.

        `unique` are columns, or tuples of columns, of which no two rows have the same values; queries become much
        faster by it. Each part is checked by its owner. That no two parties have the same key is believed, and where it
        is wrong, results are; with `across="checked"` it is computed at once, on shares of the keys: one sort of them,
        and one bit for all to see, whether two parties have the same.
        `min_group` is the fewest rows of this table that a disclosed group may have.

        Raises InputError INPUT-001 to -005, -010, -012, -015, -017, and -020 to -026 for sources and their columns;
        RoomError ROOM-013 for a party that this client does not act for; SqlError SQL-011 for duplicates of which
        `unique` says that there are none, SQL-012 where parts do not agree, SQL-013 for more rows than the bound.
        """
        return self._relations.add(
            name, source, party, unique, rows, ranges or {}, types or {}, values or {}, min_group, across, self.sql
        )

    @property
    def tables(self) -> Mapping[str, SqlTable]:
        """The registered tables by name."""
        return self._relations.tables

    def forget(self, name: str) -> None:
        """Take a table off this session; its rows stay where they are. Nothing, if there is none of that name."""
        self._relations.remove(name)

    def sql(self, text: str, *, min_group: int = 1, reveals: str | Iterable[str] = ()) -> SecretFrame:
        """A query over registered tables in DuckDB's dialect, bound and planned; `reveal` runs it.

        What touches one party's tables only is computed by that party's own engine; the rest on shares of rows whose
        number is public. `min_group` is the fewest rows that a disclosed group may have; smaller ones are left out, and
        `Answer.hidden_groups` says how many.
        `reveals="join_size"` lets a join one side of which has unique keys show which rows, in random orders, have
        equal keys, so how many match and how often keys repeat, where that is quicker; the plan then lists it. Raises
        SqlError, before anything is sent, and InputError INPUT-028 for anything else as `reveals`.
        """
        # Here, so that whoever writes no SQL need not load what reads it.
        from tacit.session.query import SecretFrame

        return SecretFrame(self._program, self._relations, self.fetch, text, min_group, reveals)

    def psi(
        self, *tables: str, on: Keys, normalise: Steps | None = None, reveals: str | Iterable[str] = ()
    ) -> Matching:
        """Match two or three registered tables by key (private set intersection): of the result, `size()`, `sum(table,
        column)` and `rows(table)` are queries, and `reveal` discloses only what that query shows.

        `on` are the columns of the key, `["email", "born"]`, or for each table its own, `{"bank": "mail", "shop":
        "email"}`. `normalise` names what owners do to a column first, in order: `trim`, `lower`, `accents` (none are
        kept), `spaces` (one at a time), `letters` (and digits only), `digits` (only), and at last a date's format, as
        in `{"email": ("trim", "lower"), "bank.born": "%d/%m/%Y"}`; text that is no such date, or of which nothing is
        left, matches nothing. Keys are compared exactly: there are no false matches. `reveals` as in `sql`.

        Raises InputError INPUT-027 for tables or keys that do not go together, and what `sql` raises.
        """
        from tacit.session.matching import match

        return match(tables, on, normalise or {}, partial(self.sql, reveals=reveals))

    def constant(self, array: ArrayLike, dtype: DType | str | type | None = None) -> SecretArray:
        """A public array, written into the plan for all to read. Raises InputError INPUT-101 to -103."""
        return self._program.constant(array, dtype)

    # --- plans -----------------------------------------------------------------------------------------------------

    def plan_of(self, *arrays: SecretArray, to: int | str | None = None, purpose: str = "result") -> PricedPlan:
        """The plan that `reveal` of these arrays would propose; nothing is run. `plan.cost(network)` prices it."""
        return PricedPlan.of(self._program.plan(arrays, to, purpose))

    def cost(self, *arrays: SecretArray, network: str | None = None) -> CostReport:
        """What revealing these arrays would cost: exact rounds and bytes, estimated seconds.

        `network` is "loopback", "lan" or "wan"; by default that of the session. Raises PlanError PLAN-904.
        """
        return self.plan_of(*arrays).cost(network)

    def fetch(self, plan: Plan) -> dict[str, U64Array | None]:
        """Raw outputs of a plan that somebody ran and that this client may read, by label. Of a query,
        `SecretFrame.fetch` makes a table of them. Raises RunError RUN-006 where a party holds none.
        """
        return self._backend.fetch(plan)

    @property
    def parties(self) -> tuple[str, ...]:
        """Names of the computing parties."""
        return self._backend.room.party_names

    @property
    def client(self) -> str:
        """The name of this client; `reveal(to=session.client)` discloses to it alone."""
        return self._backend.client

    @property
    def room(self) -> Room:
        """The room of this session."""
        return self._backend.room

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the parties, each on its own machine."""
        return self._backend.pids

    def _party(self, party: int | str) -> int:
        return self._program.party_index(party)

    def _check_operator(self, index: int) -> None:
        room = self._backend.room
        if index >= len(room.parties):
            return
        me = room.client(self._backend.client)
        name = room.parties[index].name
        if me is None or name not in me.acts_for:
            raise RoomError(
                "ROOM-013",
                f"client {self._backend.client} may not hand inputs to {name}",
                expected=f"a client whose `acts_for` lists {name}",
                party=name,
                next="let the party read its own file with Session.load, or have its operator change the room file",
            )

    def _run(self, plan: Plan, bindings: Mapping[str, U64Array | None]) -> Mapping[str, NDArray[Any] | None]:
        if self._closed:
            raise RunError("RUN-012", "the session is closed", next="open a new one with tacit.local() or connect()")
        values: dict[tuple[int, str], U64Array] = {}
        for node in plan.nodes:
            if node.op == "input":
                raw = bindings[node.attrs["name"]]
                if raw is not None:
                    values[node.attrs["party"], node.attrs["name"]] = raw
        with progress_bar(plan) as on_progress:
            outcome = self._backend.run(plan, values, on_progress)
        self.last = RunReport(
            plan.digest,
            plan.disclosures(),
            outcome.rounds,
            sum(p.bytes_sent for p in outcome.parties),
            max(p.seconds for p in outcome.parties),
            outcome.parties,
            outcome.execution,
            outcome.nodes,
            outcome.tls,
        )
        return outcome.outputs

    # --- the end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the session, and the party processes that it started. Idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            self._backend.close()
        finally:
            if self._owned is not None:
                self._owned.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"Session({self.room.protocol} between {', '.join(self.parties)}; {state})"


def local(
    parties: int | Sequence[str] = 3,
    protocol: str = "rep3",
    network: str | None = None,
    transport: Literal["process", "memory"] = "process",
    data: Directories | None = None,
    limits: Limits | None = None,
    threads: int = 1,
) -> Session:
    """A session whose parties are processes on this machine, connected by mutual TLS over loopback.

    `parties` is their number, or their names. `network="lan"` or `"wan"` emulates that network between them, and plans
    are written for it. `data` gives parties (by index or name, or all in order) the directory that `Session.load` may
    read from.
    `transport="memory"` runs all parties in this process instead, without TLS, for tests. `limits` are the times and
    sizes after which a run ends with an error. `threads` is how many of them each party process computes with; results
    do not depend on it. The processes end with the session, or with this process.

    Raises RoomError for a room that cannot be, RunError RUN-013 if a process does not start,
    InputError INPUT-018 for a number of threads that cannot be.
    """
    if isinstance(parties, str):
        raise RoomError(
            "ROOM-015",
            "the parties of a local session are one text",
            expected="their number, or a list of their names",
            next="write tacit.local(['a', 'b', 'c']), or tacit.connect(...) for a room file",
        )
    names = [f"party{k}" for k in range(parties)] if isinstance(parties, int) else list(parties)
    directories = _directories(names, data)
    emulated = "none" if network in (None, "loopback") else str(network)
    if emulated not in NETWORKS or transport not in ("process", "memory"):
        known = emulated in NETWORKS
        raise RoomError(
            "ROOM-015",
            f"no transport is {str(transport)[:40]!r}" if known else f"no network is {str(network)[:40]!r}",
            expected="transport 'process' or 'memory'" if known else "network None, 'lan' or 'wan'",
        )
    if type(threads) is not int or not 1 <= threads <= THREADS_MAX:
        raise InputError(
            "INPUT-018",
            "threads is no number of threads",
            expected=f"an integer from 1 to {THREADS_MAX}",
        )
    if transport == "memory":
        return Session(MemoryParties(names, protocol, directories), network=_real(emulated))
    owned = LocalParties(names, protocol, emulated, directories, limits or Limits(), threads)
    try:
        return Session(Parties(owned.room, owned.room.clients[0].name, owned.identity), owned)
    except BaseException:
        owned.close()
        raise


def connect(
    room: str | os.PathLike[str] | Room,
    identity: str | os.PathLike[str] | None = None,
    network: Literal["loopback", "lan", "wan"] | None = None,
) -> Session:
    """A session with the parties of a room file, each started by its organisation with `tacit party run`.

    `identity` is the directory that `tacit party keygen` wrote for this client, by default the directory `identity`
    beside the room file. `network` says what lies between the parties, for plans that wait less or send less; by
    default what the room emulates. Raises RoomError: as `room.load`;
    ROOM-016 if the room has no client with this certificate; ROOM-012 where a party has another room file. Raises
    TransportError naming a party that cannot be reached or shows another certificate.
    """
    document = room if isinstance(room, Room) else load(room)
    if identity is None:
        identity = "identity" if isinstance(room, Room) else Path(room).parent / "identity"
    key = load_identity(identity)
    client = next((c.name for c in document.clients if c.pin == key.pin), None)
    if client is None:
        raise RoomError(
            "ROOM-016",
            f"room {document.name!r} has no client with the certificate in {os.fspath(identity)}",
            expected=f"one of the clients {', '.join(c.name for c in document.clients)}",
            next="add the pin that `tacit party keygen` printed to every copy of the room file",
        )
    return Session(Parties(document, client, key), network=network)


def _real(emulated: str) -> str:
    """The network that a room emulates as plans name it."""
    return "loopback" if emulated == "none" else emulated


def _directories(names: Sequence[str], data: Directories | None) -> dict[str, str | os.PathLike[str]]:
    if data is None:
        return {}
    if isinstance(data, str | os.PathLike):
        entries: dict[int | str, str | os.PathLike[str]] = dict.fromkeys(range(len(names)), data)
    else:
        entries = dict(data) if isinstance(data, Mapping) else dict(enumerate(data))
    result = {}
    for party, directory in entries.items():
        known = party in names if isinstance(party, str) else 0 <= party < len(names)
        if not known:
            raise InputError(
                "INPUT-111",
                f"there is no party {str(party)[:40]!r}",
                expected=f"0 to {len(names) - 1}, or one of {', '.join(names)}",
            )
        if not os.path.isdir(directory):
            raise InputError(
                "INPUT-016",
                f"{os.fspath(directory)} is no directory",
                expected="a directory with the party's files",
                party=party if isinstance(party, str) else names[party],
                next="create it, or correct data=",
            )
        result[party if isinstance(party, str) else names[party]] = directory
    return result


def _common(types: Sequence[DType]) -> DType:
    """The type of an array of columns: one kind, or fixed point for integers among floats."""
    if all(t == types[0] for t in types):
        return types[0]
    fixed = next((t for t in types if t.is_fixed), None)
    if fixed is not None:
        return fixed
    return as_dtype("int64")
