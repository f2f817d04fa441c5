# SPDX-License-Identifier: Apache-2.0
"""Sessions in memory and over processes: inputs in, results and reports out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tacit.errors import InputError, RoomError, RunError
from tacit.frontends.program import reveal
from tacit.session import Figures, Session, local
from tacit.session.client import join_figures, join_profiles


def is_running(pid: int) -> bool:
    """Whether a process runs; a child that has ended but was not waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    result = []
    for k in range(3):
        folder = tmp_path_factory.mktemp(f"party{k}")
        rows = "".join(f"{10 * k + i},{i / 4},t\n" for i in range(1, 9))
        (folder / "own.csv").write_text("n,x,s\n" + rows)
        bad = "".join(f"{'abc' if i == 7 else i}\n" for i in range(1, 9))
        (folder / "bad.csv").write_text("n\n" + bad)
        result.append(folder)
    return result


@pytest.fixture(scope="module", params=["memory", "process"])
def session(request: pytest.FixtureRequest, folders: list[Path]) -> Iterator[Session]:
    with local(transport=request.param, data=folders) as opened:
        yield opened


def test_everyone_learns_the_sum_of_all_parties(session: Session) -> None:
    arrays = [np.array([1, -2, 3]) * 10**k for k in range(4)]
    secrets = [session.input(a, party=k) for k, a in enumerate(arrays[:3])] + [session.input(arrays[3])]

    total = (secrets[0] + secrets[1] + secrets[2] + secrets[3]).reveal()

    assert total.tolist() == sum(arrays).tolist()


def test_plans_and_reports_are_one_line_where_they_are_printed(session: Session) -> None:
    total = session.input(np.array([1, 2]), party=0).sum() + session.input(np.array([5])).sum()

    plan = session.plan_of(total, purpose="a total")
    total.reveal(purpose="a total")

    assert session.last is not None and session.last.digest == plan.digest
    for text in (repr(plan), repr(session.last)):
        assert plan.digest[:16] in text and len(text) < 150 and text.isprintable()


def test_floats_and_bools_of_parties_and_of_the_client_come_out_right(session: Session) -> None:
    x, y = np.array([[0.5, -1.25], [3.0, 4.0]]), np.array([True, False, True])

    numbers = session.input(x, party="party1") + session.input(2 * x)
    bits = session.input(y, party=2) ^ session.input(np.array([True, True, False]))

    assert np.array_equal(numbers.reveal(), 3 * x)
    assert bits.reveal().tolist() == [False, True, True]


def test_a_client_may_compute_on_nothing_but_its_own_values(session: Session) -> None:
    x, y = session.input(np.array([1, -2])), session.input(np.array([True, False]))

    assert (x + x).reveal().tolist() == [2, -4]
    assert (~y).reveal(to=session.client).tolist() == [False, True]
    assert x.reveal(to=session.client).tolist() == [1, -2]


def test_what_is_revealed_to_one_reader_comes_to_its_operator(session: Session) -> None:
    a, b = session.input(np.array([1, 2]), party=0), session.input(np.array([3, 4]), party=1)

    for reader in (1, "party2", session.client):
        assert (a + b).reveal(to=reader).tolist() == [4, 6]
    assert (session.input(np.array([True, False]), party=0) ^ True).reveal(to=session.client).tolist() == [False, True]


def test_the_report_says_what_was_agreed_and_what_it_cost(session: Session) -> None:
    total = session.input(np.array([5, 6]), party=0) + session.input(np.array([7, 8]), party=1)

    total.reveal(purpose="budget")

    report, cost = session.last, session.cost(total)
    assert report is not None
    assert report.digest == session.plan_of(total, purpose="budget").digest
    assert [d.purpose for d in report.disclosures if d.kind == "reveal"] == ["budget"]
    assert (report.rounds, report.bytes_total) == (cost.rounds, cost.bytes_total)
    assert [p.name for p in report.by_party] == ["party0", "party1", "party2"]
    assert report.seconds > 0
    assert report.cpu_seconds > 0
    assert 0 < report.execution.seconds < report.seconds
    assert report.execution.rounds == report.rounds - 1
    assert report.execution.bytes_total // 3 <= report.execution.bytes_max < report.bytes_total


def test_figures_of_parties_are_joined_and_malformed_ones_refused() -> None:
    assert join_figures([[1.0, 2.0, 3, 40], [1.5, 1.0, 3, 10]]) == Figures(1.5, 3.0, 3, 50, 40)
    for malformed in ([1.0, 2.0, 3], [1.0, 2.0, 3, True], [1.0, 2.0, 3, "4"]):
        with pytest.raises(RunError, match="RUN-026"):
            join_figures([[1.0, 2.0, 3, 40], malformed])


def test_profiles_of_parties_are_joined_by_node_and_malformed_ones_refused(session: Session) -> None:
    plan = session.plan_of(session.input(np.array([1]), party=0) + 1)
    (first, second) = join_profiles(plan, [[[1, 1.0, 2.0, 3, 40], [0, 0.5, 0.5, 0, 0]], [[1, 2.0, 2.0, 3, 50]]])
    assert (first.node, first.op, first.seconds) == (0, plan.nodes[0].op, 0.5)
    assert (second.node, second.seconds, second.cpu_seconds, second.bytes_total, second.bytes_max) == (1, 2, 4, 90, 50)
    for malformed in ([], [len(plan.nodes), 1.0, 2.0, 3, 4], ["1", 1.0, 2.0, 3, 4], [0, 1.0]):
        with pytest.raises(RunError, match="RUN-026"):
            join_profiles(plan, [[malformed]])


def test_parties_are_processes_that_talk_tls_with_a_hybrid_key_exchange() -> None:
    with local() as session:
        (session.input(np.array([1]), party=0) + session.input(np.array([1]), party=1)).reveal()

        assert session.last is not None
        assert session.last.tls["version"] == "TLSv1_3"
        assert session.last.tls["group"] == "X25519MLKEM768"
        assert len({*session.pids, os.getpid()}) == 4
        assert all(is_running(pid) for pid in session.pids)
        pids = session.pids

    assert not any(is_running(pid) for pid in pids)


def test_a_closed_session_refuses_to_run() -> None:
    session = local(transport="memory")
    x = session.input(np.array([1]), party=0)
    session.close()
    session.close()

    with pytest.raises(RunError, match="RUN-012"):
        x.reveal()


def test_columns_of_files_become_arrays(session: Session) -> None:
    one = session.load("own.csv", 0, "n")
    matrix = session.load("own.csv", 1, ["n", "x"])
    narrow = session.load("own.csv", 1, ["n"])
    every = session.load("own.csv", 2)

    assert sorted(every) == ["n", "x"]
    assert matrix.shape == (8, 2)
    assert narrow.shape == (8, 1)
    assert (one + every["n"]).reveal().tolist() == [2 * i + 20 for i in range(1, 9)]
    assert np.array_equal(matrix.reveal()[:, 1], np.arange(1, 9) / 4)
    assert reveal(one, narrow)[1][:, 0].tolist() == list(range(11, 19))


def test_a_wrong_type_in_row_7_is_told_to_the_operator_and_the_session_goes_on(session: Session) -> None:
    bad, good = session.load("bad.csv", 1, "n", dtype="int64"), session.input(np.arange(8), party=0)

    with pytest.raises(InputError, match=r"INPUT-005.*row 7") as raised:
        (bad + good).reveal()

    assert raised.value.party == "party1"
    assert (good + session.input(np.arange(8), party=2)).reveal().tolist() == [2 * i for i in range(8)]


@pytest.mark.parametrize(
    ("file", "columns", "code"),
    [
        ("none.csv", "n", "INPUT-001"),
        ("../own.csv", "n", "INPUT-003"),
        ("own.csv", "age", "INPUT-004"),
        ("own.csv", "s", "INPUT-009"),
        ("own.csv", [], "INPUT-004"),
    ],
)
def test_a_file_or_column_that_is_not_there_is_one_error(session: Session, file: str, columns: str, code: str) -> None:
    with pytest.raises(InputError, match=code):
        session.load(file, 0, columns)


def test_values_of_a_file_outside_the_declared_range_are_refused_by_row(session: Session) -> None:
    x = session.load("own.csv", 0, "n", range=(0, 5))

    with pytest.raises(InputError, match=r"INPUT-007.*row 6"):
        x.reveal()


def test_a_file_that_changes_its_shape_after_the_plan_was_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("v\n1\n2\n")
    with local(transport="memory", data={"party0": tmp_path}) as session:
        x = session.load("x.csv", 0, "v")
        (tmp_path / "x.csv").write_text("v\n1\n2\n3\n")

        with pytest.raises(InputError, match="INPUT-008"):
            x.reveal()


def test_a_bad_array_is_refused_before_it_becomes_an_input(session: Session) -> None:
    for values, options, code in (
        ([1.0, float("nan")], {}, "INPUT-006"),
        ([1.0, float("inf")], {}, "INPUT-006"),
        ([1, 2**40], {}, "INPUT-007.*from -2147483648 to 2147483648"),
        ([1, 2, 7], {"range": (0, 5)}, "INPUT-007"),
        (["a"], {}, "INPUT-009"),
        ([1], {"range": (2, 1)}, "INPUT-010"),
        ([1], {"party": 9}, "INPUT-111"),
        ([1], {"party": "nobody"}, "INPUT-111"),
    ):
        with pytest.raises(InputError, match=code) as raised:
            session.input(np.array(values), **{"party": 0, **options})  # type: ignore[arg-type]
        assert str(2**40) not in str(raised.value)


def test_a_session_that_cannot_be_is_refused_at_once() -> None:
    began = time.monotonic()
    for options, code in (
        ({"parties": 2}, "ROOM-008"),
        ({"parties": 0}, "ROOM-00"),
        ({"parties": ["a b", "c", "d"]}, "ROOM-006"),
        ({"parties": ["a", "b", "a"]}, "ROOM-007.*rename one"),
        ({"parties": "room.toml"}, r"ROOM-015.*tacit\.connect"),
        ({"parties": ["a", "b", "you"]}, "ROOM-007"),
        ({"parties": 2, "transport": "process"}, "ROOM-008"),
        ({"protocol": "magic"}, "ROOM-006"),
        ({"network": "moon"}, "ROOM-015.*no network is 'moon'.*'wan'"),
        ({"transport": "pigeon"}, "ROOM-015.*no transport is 'pigeon'.*'memory'"),
        ({"data": {7: "."}}, "INPUT-111"),
        ({"data": ["/no/such/directory"] * 3}, "INPUT-016"),
    ):
        with pytest.raises((RoomError, InputError), match=code):
            local(**{"transport": "memory", **options})  # type: ignore[arg-type]
    assert time.monotonic() - began < 5


def test_a_party_that_does_not_start_is_named_and_nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")

    with pytest.raises(RunError, match="RUN-013") as raised:
        local()

    assert raised.value.party == "party0"


@pytest.mark.parametrize("transport", ["memory", "process"])
def test_the_plain_protocol_runs_with_one_party_and_with_two(transport: str) -> None:
    for parties in (1, 2):
        with local(parties, protocol="plain", transport=transport) as session:  # type: ignore[arg-type]
            x = session.input(np.array([1, 2]), party=0) + session.input(np.array([3, 4]))
            assert x.reveal().tolist() == [4, 6]


def test_an_emulated_network_is_as_slow_as_it_says() -> None:
    with local(network="wan") as session:
        x = session.input(np.array([1]), party=0) + session.input(np.array([2]), party=1)
        x.reveal()
        x.reveal()

        assert session.last is not None
        assert session.last.seconds > session.last.rounds * 0.02
