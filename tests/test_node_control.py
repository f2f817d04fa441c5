# SPDX-License-Identifier: Apache-2.0
"""What a party answers to clients that send the wrong thing, show the wrong certificate, or ask for too much."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.errors import RoomError, RunError, TacitError, TransportError
from tacit.frontends.sql.types import BIGINT
from tacit.node import service
from tacit.node.service import Party as Service
from tacit.plan import BOOL, INT64, DType, Interval, Plan, PlanBuilder
from tacit.plan.canonical import encode
from tacit.plan.nodes import Graph
from tacit.plan.ops import infer_node
from tacit.room import Client, Limits, Party, Room
from tacit.session.client import Parties, PartyLine
from tacit.session.datasets import Datasets, source_of
from tacit.session.line import Line
from tacit.session.messages import VERSION, Message, answer
from tacit.session.session import Session
from tacit.session.sources import HomeQuery, Question, input_source
from tacit.transport import Identity, Listener, connect, make_identity

NAMES = ("a", "b", "c")
LIMITS = Limits(
    silence_s=2.0, connect_timeout_s=5.0, frame_bytes_max=1 << 20, session_bytes_max=1 << 17, elements_max=1 << 14
)


class House:
    """Three parties in threads of this process, and the keys of everybody. b and c have files."""

    def __init__(self, data: Path) -> None:
        self.keys: dict[str, Identity] = {name: make_identity(name) for name in (*NAMES, "owner", "guest", "stranger")}
        listeners = {name: Listener.bind("127.0.0.1", 0, self.keys[name]) for name in NAMES}
        self.room = Room(
            "house",
            "rep3",
            tuple(Party(n, "127.0.0.1", listeners[n].port, self.keys[n].pin) for n in NAMES),
            (Client("owner", self.keys["owner"].pin, ("a", "b")), Client("guest", self.keys["guest"].pin)),
            limits=LIMITS,
        ).check()
        self.data = data
        folders = {"b": data, "c": data}
        self.parties = [Service(self.room, n, self.keys[n], listeners[n], Datasets(folders.get(n), n)) for n in NAMES]
        self.threads = [threading.Thread(target=p.serve) for p in self.parties]
        for thread in self.threads:
            thread.start()

    def dial(self, who: str, party: int = 0) -> Line:
        entry = self.room.parties[party]
        connection = connect(entry.host, entry.port, self.keys[who], entry.pin, 5.0)
        return Line(connection, entry.name, 2.0, 1 << 20)

    def close(self) -> None:
        for party in self.parties:
            party.stop()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("data"))
    yield made
    made.close()


def ask(line: Line, message: Message) -> Message:
    line.send(message)
    return line.recv(lambda: None, 5.0)


def refusal(line: Line, message: Message) -> str:
    reply = ask(line, message)
    assert reply.kind == "error"
    return str(reply.object("error")["code"])


@pytest.fixture
def opened(house: House) -> Iterator[Callable[..., Line]]:
    lines = []

    def dial(who: str, party: int = 0) -> Line:
        line = house.dial(who, party)
        lines.append(line)
        answer(ask(line, Message("open", {"version": VERSION, "room": house.room.digest})), "opened")
        return line

    yield dial
    for line in lines:
        line.close()


def a_plan(parties: tuple[str, ...] = (*NAMES, "owner"), protocol: str = "rep3") -> Plan:
    builder = PlanBuilder(parties, 3, protocol)
    x, y = builder.input(0, "x", INT64, (2,)), builder.input(1, "y", INT64, (2,))
    builder.output("sum", builder.reveal(builder.add("add", [x, y]), "test"))
    return builder.build()


def put(name: str, values: list[int]) -> Message:
    return Message("put", {"name": name, "shape": [len(values)]}, [np.array(values, "<i8").tobytes()])


def test_a_certificate_outside_the_room_is_refused_before_any_request(house: House) -> None:
    with pytest.raises(TransportError, match="TRANSPORT-009"):
        house.dial("stranger")


def test_a_party_with_another_certificate_is_not_believed(house: House) -> None:
    impostor = replace(house.room.parties[1], pin=house.keys["stranger"].pin)

    with pytest.raises(TransportError, match="TRANSPORT-009") as raised:
        PartyLine(house.room, impostor, house.keys["owner"], lambda error: None)

    assert raised.value.party == "b"


def test_a_client_with_another_room_file_is_told(house: House) -> None:
    with pytest.raises(RoomError, match="ROOM-012"):
        Parties(replace(house.room, name="other"), "owner", house.keys["owner"])


def test_a_client_of_another_version_is_told(house: House) -> None:
    line = house.dial("owner")

    assert refusal(line, Message("open", {"version": 99, "room": house.room.digest})) == "RUN-024"


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (Message("run"), "RUN-021"),
        (Message("mesh", {"mesh": "00" * 16}), "RUN-021"),
        (Message("attach", {"token": "00" * 16}), "RUN-025"),
        (Message("attach", {"token": "zz"}), "RUN-022"),
        (Message("open"), "RUN-022"),
    ],
)
def test_a_connection_that_begins_with_anything_else_is_refused(house: House, first: Message, code: str) -> None:
    assert refusal(house.dial("owner"), first) == code


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Message("destroy"), "RUN-021"),
        (Message("describe"), "RUN-022"),
        (Message("describe", {"file": 3}), "RUN-022"),
        (Message("describe", {"file": "x" * 5000}), "RUN-022"),
        (Message("describe", {"file": "x.csv"}), "INPUT-012"),
        (Message("put", {"name": "x", "shape": [(1 << 14) + 1]}, [bytes(8 + (8 << 14))]), "RUN-016"),
        (Message("deal", {"name": "x", "shape": [1]}, [bytes(1 + (1 << 17))]), "RUN-016"),
        (Message("put", {"name": "x", "shape": [2]}, [b"123"]), "RUN-022"),
        (Message("put", {"name": "x", "shape": [-2]}, [b""]), "RUN-022"),
        (Message("put", {"name": "x", "shape": [2**39, 2**39]}, [b""]), "RUN-022"),
        (Message("put", {"name": "x", "shape": [True]}, [bytes(8)]), "RUN-022"),
        (Message("put", {"name": "x", "shape": [1]}), "RUN-022"),
        (Message("deal", {"shape": [1]}, [b"x"]), "RUN-022"),
        (Message("propose"), "RUN-022"),
        (Message("propose", parts=[b"{}"]), "PLAN-016"),
        (Message("run", {"digest": "00" * 32, "run": "00" * 16, "mesh": "00" * 16, "public": True}), "RUN-007"),
        (Message("run", {"digest": "00"}), "RUN-022"),
        (Message("fetch", {"digest": "00" * 32}), "RUN-006"),
    ],
)
def test_a_wrong_request_is_a_named_error_and_the_connection_goes_on(
    opened: Callable[[str], Line], request_: Message, code: str
) -> None:
    line = opened("owner")

    assert refusal(line, request_) == code
    assert ask(line, Message("close")).kind == "done"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\xff\xff\xff\xff{}",
        b"\x02\x00\x00\x00[]",
        b"\x02\x00\x00\x00{}",
        b'\x13\x00\x00\x00{"kind":1,"parts":[]}',
        b'\x16\x00\x00\x00{"kind":"x","parts":[1]}',
        b'\x17\x00\x00\x00{"kind":"x","parts":[-1]}',
        (20000).to_bytes(4, "little") + b"[" * 20000,
        b'\x18\x00\x00\x00{"kind":"x","parts":[NaN]}',
    ],
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(RunError, match="RUN-020"):
        Message.decode(data)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_message_or_a_named_error(data: bytes) -> None:
    try:
        Message.decode(data)
    except TacitError as error:
        assert error.code == "RUN-020"


@settings(max_examples=50)
@given(
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(max_size=5), max_size=3),
    st.lists(st.binary(max_size=9), max_size=3),
)
def test_a_message_is_read_back(fields: dict[str, object], parts: list[bytes]) -> None:
    back = Message.decode(Message("k", fields, parts).encode())

    assert (back.kind, dict(back.fields), [bytes(p) for p in back.parts]) == ("k", fields, parts)


def test_garbage_on_an_open_connection_ends_it_with_a_named_error(opened: Callable[[str], Line]) -> None:
    line = opened("owner")
    line._connection.send(5, bytes(16), 8, b"")  # type: ignore[arg-type]
    line._connection.send(5, bytes(16), 0, b"\xff" * 8)  # type: ignore[arg-type]

    reply = line.recv(lambda: None, 5.0)

    assert reply.object("error")["code"] == "RUN-020"


def test_a_message_above_the_limit_is_refused_before_it_is_read(opened: Callable[[str], Line]) -> None:
    line = opened("owner")
    line._connection.send(5, bytes(16), 1 << 40, b"")  # type: ignore[arg-type]

    reply = line.recv(lambda: None, 5.0)

    assert reply.object("error")["code"] == "TRANSPORT-007"


def test_a_defect_of_a_party_is_named_without_its_message(
    house: House, opened: Callable[[str], Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Datasets, file: str) -> None:
        raise ZeroDivisionError("the value 987654")

    monkeypatch.setattr(Datasets, "describe", fail)
    line = opened("owner")

    reply = ask(line, Message("describe", {"file": "x.csv"}))

    assert reply.object("error")["code"] == "RUN-005"
    assert "987654" not in str(reply.fields)
    assert ask(line, Message("close")).kind == "done"


class Panic(BaseException):
    """What a panic of the Rust core is in Python: no Exception."""


def test_a_panic_at_a_party_ends_the_run_everywhere_by_its_name(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = service.run

    async def run(plan: Plan, me: int, *others: Any) -> Any:
        if me == 1:
            raise Panic("the value 987654")
        return await genuine(plan, me, *others)

    session = Session(Parties(house.room, "owner", house.keys["owner"]))
    try:
        total = session.input(np.array([1]), party="a") + session.input(np.array([2]), party="b")
        with monkeypatch.context() as patched:
            patched.setattr(service, "run", run)
            with pytest.raises(RunError, match="RUN-005") as raised:
                total.reveal()

        assert raised.value.party == "b"
        assert "987654" not in str(raised.value)
        assert total.reveal().tolist() == [3]
    finally:
        session.close()


def test_a_connection_for_which_there_is_no_thread_is_dropped_and_the_party_serves_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "_guard" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    greeting = Message("open", {"version": VERSION, "room": house.room.digest})
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(TransportError, match="TRANSPORT-001"):
            ask(house.dial("owner"), greeting)
    line = house.dial("owner")
    assert ask(line, greeting).kind == "opened"
    line.close()


def test_only_an_operator_hands_a_party_its_inputs(house: House, opened: Callable[[str], Line]) -> None:
    assert refusal(opened("guest"), put("x", [1, 2])) == "ROOM-013"

    session = Session(Parties(house.room, "owner", house.keys["owner"]))
    try:
        session.input(np.array([1]), party="a")
        with pytest.raises(RoomError, match="ROOM-013"):
            session.input(np.array([1]), party="c")
    finally:
        session.close()


@pytest.mark.parametrize(
    "parties", [("a", "c", "b", "owner"), ("a", "b", "x", "owner"), ("a", "b", "c", "nobody"), ("a", "b", "c", "d")]
)
def test_a_plan_for_other_parties_is_refused(opened: Callable[[str], Line], parties: tuple[str, ...]) -> None:
    assert refusal(opened("owner"), Message("propose", parts=[a_plan(parties).to_bytes()])) == "ROOM-010"


def test_a_plan_under_another_protocol_than_the_rooms_is_refused(opened: Callable[[str], Line]) -> None:
    plan = a_plan(protocol="plain")

    assert refusal(opened("owner"), Message("propose", parts=[plan.to_bytes()])) == "ROOM-010"


def test_a_plan_that_leaves_work_to_a_client_is_refused(opened: Callable[[str], Line]) -> None:
    builder = PlanBuilder((*NAMES, "owner"), 3, "rep3")
    builder.output("y", builder.reveal(builder.input(3, "x", INT64, (2,)), "test"))
    plan = builder.build()
    x, share, reveal = plan.nodes
    work = replace(share, op="neg", types=infer_node("neg", [x], share.attrs))
    altered = Graph(plan.parties, 3, "rep3", (x, work, reveal), plan.outputs)

    assert refusal(opened("owner"), Message("propose", parts=[encode(altered)])) == "PLAN-019"


def test_a_plan_with_a_larger_value_than_the_room_allows_is_refused(opened: Callable[[str], Line]) -> None:
    def propose(elements: int) -> Message:
        builder = PlanBuilder((*NAMES, "owner"))
        wide = builder.add("broadcast_to", [builder.constant([1])], shape=(elements,))
        builder.output("y", builder.add("sum", [wide], axis=(0,), keepdims=False))
        return Message("propose", parts=[builder.build().to_bytes()])

    assert refusal(opened("owner"), propose((1 << 14) + 1)) == "RUN-015"
    assert ask(opened("owner"), propose(1 << 14)).kind == "shown"


def test_what_a_session_hands_over_is_bounded_in_all(opened: Callable[[str], Line]) -> None:
    line, half = opened("owner"), [0] * (1 << 13)

    assert ask(line, put("x", half)).kind == "done"
    assert ask(line, put("x", half)).kind == "done"
    assert ask(line, Message("deal", {"name": "y", "shape": [1]}, [bytes(1 << 16)])).kind == "done"
    assert refusal(line, put("z", [1])) == "RUN-016"


def test_a_first_message_is_small(house: House) -> None:
    line = house.dial("owner")
    line._connection.send(5, bytes(16), (1 << 16) + 1, b"")  # type: ignore[arg-type]

    with pytest.raises(TransportError, match="TRANSPORT-001"):
        line.recv(lambda: None, 5.0)


def test_a_session_without_a_lifeline_ends(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "GREETING_S", 0.5)
    line = house.dial("guest")
    hello = ask(line, Message("open", {"version": VERSION, "room": house.room.digest}))
    assert hello.kind == "opened"

    ended = line.recv(lambda: None, 5.0)

    assert ended.object("error")["code"] == "RUN-025"
    assert wait_for(lambda: bytes.fromhex(hello.text("token")) not in house.parties[0]._sessions)


def test_one_client_cannot_take_the_sessions_of_all(house: House, opened: Callable[[str], Line]) -> None:
    assert wait_for(lambda: not house.parties[0]._sessions)
    lines = [opened("guest") for _ in range(service.SESSIONS_PER_CLIENT_MAX)]

    assert refusal(house.dial("guest"), Message("open", {"version": VERSION, "room": house.room.digest})) == "RUN-026"
    opened("owner").close()
    for line in lines:
        line.close()
    assert wait_for(lambda: not house.parties[0]._sessions)


def test_sessions_are_looked_up_under_the_lock(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    party = house.parties[0]
    assert wait_for(lambda: not party._sessions)

    class Locked(dict[bytes, Any]):
        def items(self) -> Any:
            assert party._lock.locked()
            return super().items()

    monkeypatch.setattr(party, "_sessions", Locked())

    assert refusal(house.dial("owner"), Message("attach", {"token": "00" * 16})) == "RUN-025"


# --- what checks alone tell about private values ----------------------------------------------------------------


def ages(low: int, high: int, file: str = "ages.csv", column: str = "age", dtype: DType = INT64) -> Message:
    builder = PlanBuilder((*NAMES, "guest"))
    source = source_of(file, [column], matrix=False)
    private = builder.input(2, "x", dtype, (3,), interval=Interval(low, high), source=source)
    builder.output("x", builder.reveal(builder.add("share", [private]), "test"))
    return Message("propose", parts=[builder.build().to_bytes()])


@pytest.fixture
def guest(house: House, opened: Callable[..., Line]) -> Callable[[Message], str]:
    """What party c says to proposals of a client that does not operate it: a code, or `shown`."""
    (house.data / "ages.csv").write_text("age,height\n20,150\n30,160\n41,170\n")
    house.parties[2].reset_refusals()
    line = opened("guest", 2)

    def said(message: Message) -> str:
        reply = ask(line, message)
        return str(reply.object("error")["code"]) if reply.kind == "error" else reply.kind

    return said


def test_a_client_cannot_search_for_the_largest_value_by_refusals(guest: Callable[[Message], str]) -> None:
    assert [guest(ages(0, high)) for high in (30, 35, 40, 41)] == ["INPUT-007"] * 3 + ["ROOM-019"]


def test_a_client_cannot_search_for_the_largest_value_by_ranges_that_fit(guest: Callable[[Message], str]) -> None:
    answers = [guest(ages(0, high)) for high in (120, 100, 80, 60, 50, 41)]

    assert answers == ["shown"] * 4 + ["ROOM-019"] * 2
    assert guest(ages(0, 60)) == "shown"
    assert guest(ages(-5, 200)) == "shown"


def test_other_names_of_a_file_and_other_sessions_have_no_count_of_their_own(
    house: House, guest: Callable[[Message], str], opened: Callable[..., Line]
) -> None:
    (house.data / "link.csv").unlink(missing_ok=True)
    (house.data / "link.csv").symlink_to("ages.csv")
    for file in ("ages.csv", "./ages.csv", "link.csv"):
        assert guest(ages(0, 40, file)) == "INPUT-007"

    assert refusal(opened("guest", 2), ages(0, 200, "ages.csv")) == "ROOM-019"
    assert guest(ages(0, 200, column="height")) == "ROOM-019"


def test_types_and_missing_values_are_answers_too(house: House, guest: Callable[[Message], str]) -> None:
    (house.data / "ages.csv").write_text("age,height\n20,\n30,a\n41,170\n")
    codes = [guest(ages(0, 200, column="height")), guest(ages(0, 1, dtype=BOOL)), guest(ages(0, 200, column="height"))]

    assert codes == ["INPUT-006", "INPUT-005", "INPUT-006"]
    assert guest(ages(0, 200)) == "ROOM-019"


def test_a_defect_that_values_may_cause_is_an_answer_too(
    guest: Callable[[Message], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise OverflowError

    monkeypatch.setattr("tacit.session.sources.Inputs.read", read)

    assert [guest(ages(0, 40)) for _ in range(4)] == ["RUN-005"] * 3 + ["ROOM-019"]


def test_each_columns_first_range_that_fits_is_free(guest: Callable[[Message], str]) -> None:
    for _ in range(5):
        assert guest(ages(0, 120)) == "shown"
        assert guest(ages(0, 250, column="height")) == "shown"
    assert [guest(ages(0, 40)) for _ in range(4)] == ["INPUT-007"] * 3 + ["ROOM-019"]


def test_a_changed_file_takes_back_what_was_known_of_it(house: House, guest: Callable[[Message], str]) -> None:
    """Otherwise its new largest value could be found from below: each wider range would be free."""
    assert guest(ages(0, 41)) == "shown"
    (house.data / "ages.csv").write_text("age,height\n20,150\n30,160\n99,170\n")

    assert [guest(ages(0, high)) for high in (41, 50, 60, 70, 99)] == ["INPUT-007"] * 3 + ["ROOM-019"] * 2
    house.parties[2].reset_refusals()
    assert guest(ages(0, 99)) == "shown"
    (house.data / "ages.csv").write_text("age,height\n120,150\n130,160\n140,170\n")
    assert guest(ages(110, 150)) == "shown"


def asked(text: str, rows: int, high: int, padded: bool = False) -> Message:
    """A proposal whose input is one column of a query over ages.csv."""
    query = HomeQuery(text, "duckdb", (("ages", "file:ages.csv"),), rows, padded, ((BIGINT, False),))
    builder = PlanBuilder((*NAMES, "guest"))
    private = builder.input(2, "x", INT64, (rows,), interval=Interval(0, high), source=input_source("0.0", query))
    builder.output("x", builder.reveal(builder.add("share", [private]), "test"))
    return Message("propose", parts=[builder.build().to_bytes()])


def test_a_client_cannot_search_by_refused_queries(guest: Callable[[Message], str]) -> None:
    answers = [
        guest(asked("SELECT max(age) FROM ages", 1, 40)),
        guest(asked("SELECT age FROM ages WHERE age > 40", 2, 100)),
        guest(asked("SELECT CAST('x' || age AS INTEGER) FROM ages WHERE age > 40", 3, 100, padded=True)),
        guest(asked("SELECT max(age) FROM ages", 1, 41)),
        guest(ages(0, 41)),
    ]

    assert answers == ["INPUT-007", "SQL-013", "INPUT-020", "ROOM-019", "ROOM-019"]


def test_a_query_of_another_size_than_its_input_is_refused_unread(guest: Callable[[Message], str]) -> None:
    query = HomeQuery("SELECT age FROM ages", "duckdb", (("ages", "file:ages.csv"),), 10**15, True, ((BIGINT, False),))
    builder = PlanBuilder((*NAMES, "guest"))
    private = builder.input(2, "x", INT64, (3,), source=input_source("0.0", query))
    builder.output("x", builder.reveal(builder.add("share", [private]), "test"))

    assert guest(Message("propose", parts=[builder.build().to_bytes()])) == "INPUT-008"


def test_queries_that_fit_are_free_and_stay_so(guest: Callable[[Message], str]) -> None:
    wide = [guest(asked(f"SELECT age + {k} FROM ages", 3, 200)) for k in range(6)]
    narrower = [guest(asked("SELECT age FROM ages", 3, high)) for high in (150, 140, 130, 120, 110)]

    assert wide == ["shown"] * 6
    assert narrower == ["shown"] * 4 + ["ROOM-019"]
    assert guest(asked("SELECT age + 1 FROM ages", 3, 200)) == "shown"


def test_a_client_cannot_search_by_registering_tables(guest: Callable[[Message], str]) -> None:
    def registered(rows: int | None, *unique: str) -> str:
        return guest(
            Message("describe_table", Question("file:ages.csv", rows, (unique,) if unique else ()).to_fields())
        )

    assert [registered(n) for n in (None, 10, 3, 2, 2, 2, 3)] == ["table_description"] * 3 + ["SQL-013"] * 3 + [
        "ROOM-019"
    ]


def test_others_than_the_operator_hand_over_no_tables_and_are_told_no_rows(
    house: House, opened: Callable[..., Line], guest: Callable[[Message], str]
) -> None:
    assert guest(Message("give", {"name": "t", "url": "postgresql://u@127.0.0.1:9/d"})) == "ROOM-013"
    told = ask(opened("guest", 2), Message("describe_table", Question("file:ages.csv", 1).to_fields()))

    assert told.object("error")["code"] == "SQL-013"
    assert "3" not in told.object("error")["what"] + told.object("error")["expected"]


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"name": "t", "url": ""}, [b"no arrow"]),
        ({"name": "t", "url": ""}, []),
        ({"name": 1, "url": ""}, [b""]),
        ({"name": "t"}, [b""]),
    ],
)
def test_a_table_that_is_none_is_refused(
    house: House, opened: Callable[..., Line], fields: dict[str, object], parts: list[bytes]
) -> None:
    assert refusal(opened("owner", 0), Message("give", fields, parts)) in ("INPUT-024", "RUN-022")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"source": 1, "rows": None, "unique": [], "ranges": {}},
        {"source": "file:x.csv", "rows": -1, "unique": [], "ranges": {}},
        {"source": "file:x.csv", "rows": None, "unique": [[]], "ranges": {}},
        {"source": "file:x.csv", "rows": None, "unique": [], "ranges": {"a": [1]}},
    ],
)
def test_a_malformed_question_about_a_table_is_refused(
    house: House, opened: Callable[..., Line], fields: dict[str, object]
) -> None:
    assert refusal(opened("owner", 0), Message("describe_table", fields)) == "INPUT-011"


def test_the_operator_reads_each_refusal_and_resets_the_count(
    house: House, guest: Callable[[Message], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tacit.node")
    for _ in range(4):
        guest(ages(0, 40))
    told = [r.getMessage() for r in caplog.records]

    assert [f"answer {k} of 3" in "\n".join(told) for k in (1, 2, 3, 4)] == [True, True, True, False]
    assert any("row 3" in line for line in told)
    assert any("guest may learn no more about ages.csv" in line for line in told)
    house.parties[2].reset_refusals()
    assert guest(ages(0, 120)) == "shown"


def test_the_operator_reads_who_came_what_they_were_told_and_what_plans_disclose(
    house: House, opened: Callable[..., Line], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tacit.node")
    (house.data / "seen.csv").write_text("age,height\n20,150\n30,160\n")
    line = opened("guest", 2)
    ask(line, Message("describe_table", Question("file:seen.csv").to_fields()))
    plan = a_plan((*NAMES, "guest"))
    ask(line, Message("propose", parts=[plan.to_bytes()]))
    line.close()

    def told() -> list[str]:
        """Of the thread that served this session, as those of other tests may still be ending."""
        mine = next(r.threadName for r in caplog.records if r.getMessage() == "guest opened a session")
        return [r.getMessage() for r in caplog.records if r.threadName == mine]

    deadline = time.monotonic() + 10
    while "is over" not in told()[-1] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert told() == [
        "guest opened a session",
        "guest was told of 'file:seen.csv': 2 rows, columns 'age', 'height'",
        f"guest was shown plan {plan.digest}, which discloses",
        *(f"plan {plan.digest[:16]}: {d}" for d in plan.disclosures()),
        "the session of guest is over: client guest closed the session",
    ], "an end that is nobody's fault takes one line"


def test_a_partys_operator_is_told_every_time(house: House, opened: Callable[..., Line]) -> None:
    (house.data / "ages.csv").write_text("age\n20\n30\n41\n")
    builder = PlanBuilder((*NAMES, "owner"))
    source = source_of("ages.csv", ["age"], matrix=False)
    private = builder.input(1, "x", INT64, (3,), interval=Interval(0, 40), source=source)
    builder.output("x", builder.reveal(builder.add("share", [private]), "test"))
    line = opened("owner", 1)

    for _ in range(5):
        reply = ask(line, Message("propose", parts=[builder.build().to_bytes()]))
        assert reply.object("error")["code"] == "INPUT-007"
        assert "row 3" in reply.object("error")["what"]


def test_a_plan_whose_bytes_were_changed_is_refused(opened: Callable[[str], Line]) -> None:
    data = a_plan().to_bytes()
    wider = data.replace(b'"home":"public"', b'"home":"secret"', 1)
    assert wider != data

    for changed in (wider, data + b" ", data[:-1], data.replace(b"rep3", b"rep4")):
        code = refusal(opened("owner"), Message("propose", parts=[changed]))
        assert code.startswith("PLAN-"), code


def test_inputs_that_were_not_given_or_do_not_fit_are_refused(opened: Callable[[str], Line]) -> None:
    line, propose = opened("owner"), Message("propose", parts=[a_plan().to_bytes()])

    assert refusal(line, propose) == "INPUT-013"
    assert ask(line, put("x", [1, 2, 3])).kind == "done"
    assert refusal(line, propose) == "INPUT-008"
    assert ask(line, put("x", [1, 2**40])).kind == "done"
    assert refusal(line, propose) == "INPUT-007"
    assert ask(line, put("x", [1, 2])).kind == "done"
    shown = ask(line, propose)
    assert shown.text("digest") == a_plan().digest
    assert shown.items("disclosures") == [str(d) for d in a_plan().disclosures()]


def test_a_run_needs_the_lifeline_of_its_client(opened: Callable[[str], Line]) -> None:
    line, plan = opened("owner"), a_plan()
    ask(line, put("x", [1, 2]))
    ask(line, Message("propose", parts=[plan.to_bytes()]))
    fields = {"digest": plan.digest, "run": "00" * 16, "mesh": "00" * 16, "public": True}

    assert refusal(line, Message("run", fields)) == "RUN-025"


def test_a_plan_shown_to_one_client_is_not_run_for_another(opened: Callable[[str], Line]) -> None:
    owner, guest, plan = opened("owner"), opened("guest"), a_plan()
    ask(owner, put("x", [1, 2]))
    ask(owner, Message("propose", parts=[plan.to_bytes()]))
    fields = {"digest": plan.digest, "run": "00" * 16, "mesh": "00" * 16, "public": True}

    assert refusal(guest, Message("run", fields)) == "RUN-007"


def test_parties_that_were_asked_to_run_different_plans_compute_nothing(house: House) -> None:
    """The digests meet in round 0: three parties agree, whatever a client tells them apart."""
    client = Parties(house.room, "owner", house.keys["owner"])
    try:
        plans = []
        for title in ("one", "two"):
            builder = PlanBuilder((*NAMES, "owner"), 3, "rep3", title)
            builder.output("x", builder.reveal(builder.input(0, "x", INT64, (2,)), "test"))
            plans.append(builder.build())
        asked = [plans[0], plans[0], plans[1]]
        client._all([0], [put("x", [1, 2])])
        client._all(range(3), [Message("propose", parts=[p.to_bytes()]) for p in asked])
        run, mesh = os.urandom(16), os.urandom(16).hex()
        requests = [Message("run", {"digest": p.digest, "run": run.hex(), "mesh": mesh, "public": True}) for p in asked]

        with pytest.raises(TacitError, match="PLAN-901"):
            client._all(range(3), requests, None, run)
    finally:
        client.close()


def test_a_client_that_reads_a_plan_differently_runs_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Parties(house.room, "owner", house.keys["owner"]))
    try:
        x = session.input(np.array([1, 2]), party="a")
        shown = Message("shown", {"digest": session.plan_of(x).digest, "disclosures": ["nothing"], "assumptions": []})
        original = Parties._all
        monkeypatch.setattr(
            Parties,
            "_all",
            lambda self, parties, requests, *rest: (
                [shown] * 3 if requests[0].kind == "propose" else original(self, parties, requests, *rest)
            ),
        )
        with pytest.raises(RunError, match="RUN-008"):
            x.reveal()
    finally:
        session.close()


def test_results_for_someone_else_are_kept_for_them_alone(house: House) -> None:
    owner = Session(Parties(house.room, "owner", house.keys["owner"]))
    guest = Session(Parties(house.room, "guest", house.keys["guest"]))
    try:
        x = guest.input(np.array([1, 2])) + guest.input(np.array([3, 4]))
        plan = guest.plan_of(x, to="a")

        assert x.reveal(to="c") is None
        assert x.reveal(to="a") is None
        mine = owner.fetch(plan)["result0"]
        assert mine is not None
        assert mine.tolist() == [4, 6]
        assert guest.fetch(plan)["result0"] is None
    finally:
        owner.close()
        guest.close()


def test_results_of_different_runs_are_not_combined(house: House) -> None:
    guest = Parties(house.room, "guest", house.keys["guest"])
    builder = PlanBuilder((*NAMES, "guest"))
    builder.output("x", builder.reveal(builder.input(3, "x", INT64, (2,)), "test", to=3))
    plan = builder.build()
    try:
        guest.run(plan, {(3, "x"): np.array([3, 4], np.uint64)}, None)
        first = [party._results[plan.digest] for party in house.parties]
        guest.run(plan, {}, None)
        house.parties[1]._results[plan.digest] = first[1]

        with pytest.raises(RunError, match="RUN-017"):
            guest.fetch(plan)
        for party, results in zip(house.parties, first, strict=True):
            party._results[plan.digest] = results
        fetched = guest.fetch(plan)["x"]
        assert fetched is not None
        assert fetched.tolist() == [3, 4]
    finally:
        guest.close()


def test_fetched_public_results_must_agree(house: House) -> None:
    guest = Parties(house.room, "guest", house.keys["guest"])
    builder = PlanBuilder((*NAMES, "guest"))
    builder.output("x", builder.reveal(builder.input(3, "x", INT64, (2,)), "test"))
    plan = builder.build()
    try:
        guest.run(plan, {(3, "x"): np.array([3, 4], np.uint64)}, None)
        kept = house.parties[1]._results[plan.digest]
        house.parties[1]._results[plan.digest] = replace(kept, outputs={"x": np.array([3, 5], np.uint64)})

        with pytest.raises(RunError, match="RUN-009"):
            guest.fetch(plan)
    finally:
        guest.close()


def test_a_second_run_at_a_busy_party_is_refused_not_queued(house: House) -> None:
    party = house.parties[0]
    session = Session(Parties(house.room, "owner", house.keys["owner"]))
    try:
        x = session.input(np.array([1]), party="a") + session.input(np.array([2]), party="b")
        with party._busy, pytest.raises(RunError, match="RUN-004"):
            x.reveal()
        assert x.reveal().tolist() == [3]
    finally:
        session.close()


def test_a_run_without_rounds_ends_when_its_client_goes(house: House) -> None:
    # A loop over public values: more trips than anyone lives, and no message at which to stop.
    builder = PlanBuilder((*NAMES, "owner"))
    five = Interval(0, 5)
    (end,) = builder.repeat(2**31, [builder.constant([1])], lambda b, v: [b.add("clip", [v[0]], lo=0, hi=5)], [five])
    builder.output("end", end)
    plan, ended = builder.build(), []
    guest, owner = (Parties(house.room, who, house.keys[who]) for who in ("guest", "owner"))
    running = threading.Thread(target=lambda: ended.append(caught(lambda: owner.run(plan, {}, None))))
    running.start()
    assert wait_for(lambda: all(party._running is not None for party in house.parties))

    owner.close()
    running.join(10)

    assert not running.is_alive() and isinstance(ended[0], TacitError)
    assert wait_for(lambda: not any(party._busy.locked() for party in house.parties))
    small = PlanBuilder((*NAMES, "guest"))
    small.output("one", small.reveal(small.add("share", [small.constant([1])]), "test"))
    assert guest.run(small.build(), {}, None).outputs["one"] is not None
    guest.close()


def caught(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except TacitError as error:
        return error
    return None


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_a_party_whose_key_is_not_the_rooms_does_not_start(house: House) -> None:
    listener = Listener.bind("127.0.0.1", 0, house.keys["stranger"])
    try:
        with pytest.raises(RoomError, match="ROOM-011"):
            Service(house.room, "a", house.keys["stranger"], listener, Datasets(None, "a"))
    finally:
        listener.close()
