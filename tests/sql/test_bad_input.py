# SPDX-License-Identifier: Apache-2.0
"""Bad queries and tables through a session: one clear error each, and nothing is computed or sent before it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pytest

import tacit as tc
from sql_oracle import connect
from tacit.errors import TacitError
from tacit.session import memory
from tacit.session.session import Session

SECRET = "hidden987654"
NUMBER = 987654
LONGEST = 700
"""Characters of an error."""

VISITS = {
    0: pa.table({"id": [1, NUMBER, 3], "cost": pa.array([5, None, 7], pa.int64()), "note": [SECRET, "x", None]}),
    1: pa.table({"id": [4, 5, 6], "cost": pa.array([0, 0, NUMBER], pa.int64()), "note": ["", "y", "x"]}),
}
PEOPLE = pa.table({"id": [1, 2, NUMBER], "born": pa.array([0, 1, None], pa.date32()), "name": [SECRET, "y", "z"]})
ROWS = 4000
WIDE = pa.table({"k": [k % 9 for k in range(ROWS)], "x": [k * 2**40 for k in range(ROWS)]})


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session whose parties must not compute anything."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("parties were asked to compute")

    monkeypatch.setattr(memory, "run", refuse)
    monkeypatch.setattr(memory, "lockstep", refuse)
    with tc.local(3, transport="memory", data={0: tmp_path}) as s:
        s.table("visits", VISITS, unique="id")
        s.table("people", PEOPLE, party=2, unique="id")
        s.table("wide", WIDE, party=0)
        s.table("other", WIDE, party=1)
        yield s


def refused(call: Any) -> TacitError:
    """The error that a call ends in: short, with a code and what to do or what was expected, and without any value."""
    with pytest.raises(TacitError) as raised:
        call()
    error = raised.value
    text = str(error)
    assert error.code in text
    assert error.expected or error.next, text
    assert "\n" not in text and len(text) < LONGEST
    assert SECRET not in text and str(NUMBER) not in text
    return error


QUERIES: dict[str, tuple[Any, str, str]] = {
    "unknown table": ("SELECT * FROM vists", "SQL-002", "'vists' at line 1, column 15"),
    "unknown table on a later line": ("SELECT *\nFROM visits\nJOIN peple USING (id)", "SQL-002", "line 3, column 6"),
    "unknown column": ("SELECT price FROM visits", "SQL-003", "'price' at line 1, column 8"),
    "unknown column of a table": ("SELECT v.name FROM visits v", "SQL-003", "column 8"),
    "ambiguous name": ("SELECT id FROM visits, people", "SQL-004", "visits or of people"),
    "one name for two tables": ("SELECT 1 FROM visits x, people x", "SQL-004", "'x'"),
    "text and number": ("SELECT cost + note FROM visits", "SQL-005", "(BIGINT, VARCHAR)"),
    "date and number": ("SELECT sum(born) FROM people", "SQL-005", "SUM"),
    "condition that is none": ("SELECT * FROM people WHERE NOT born", "SQL-005", "DATE cannot be cast to BOOLEAN"),
    "not grouped": ("SELECT note, cost FROM visits GROUP BY note", "SQL-005", "'cost'"),
    "constant of another type": ("SELECT DATE '2020-02-31'", "SQL-005", "no DATE"),
    "no SQL": ("SELEC 1", "SQL-006", "SELEC"),
    "unfinished": ("SELECT (1", "SQL-001", "read as SQL"),
    "unfinished text": ("SELECT 'a", "SQL-001", "does not end"),
    "two statements": ("SELECT 1; SELECT 2", "SQL-001", "2 statements"),
    "nothing": ("", "SQL-001", "0 statements"),
    "bytes that are no UTF-8": (b"SELECT '\xff'", "SQL-001", "UTF-8"),
    "text that is no UTF-8": ("SELECT '\ud800'", "SQL-001", "UTF-8"),
    "10 MB": ("SELECT " + "1," * 5_000_000 + "1", "SQL-007", "bytes"),
    "10,000 parentheses": ("SELECT " + "(" * 10_000 + "1" + ")" * 10_000, "SQL-007", "nested too deeply"),
    "10,000 subqueries": ("SELECT " + "(SELECT " * 10_000 + "1" + ")" * 10_000, "SQL-007", "nested too deeply"),
    "10,000 terms": ("SELECT cost" + " + cost" * 10_000 + " FROM visits", "SQL-007", "nested too deeply"),
    "sum that may overflow": (
        "SELECT sum(x) FROM (SELECT x FROM wide UNION ALL SELECT x * 2 FROM other)", "SQL-008", "may reach"
    ),
    "product that may overflow": ("SELECT sum(w.x * o.x) FROM wide w, other o", "SQL-008", "may reach"),
    "several rows for one value": ("SELECT (SELECT cost FROM visits)", "SQL-009", "more than one row"),
    "too many pairs": ("SELECT w.x, o.x FROM wide w JOIN other o ON w.k = o.k", "SQL-010", f"{ROWS * ROWS} rows"),
    "not supported": ("SELECT string_agg(note, ',') FROM visits", "SQL-006", "line 1, column"),
    "not supported on secrets": (
        "SELECT upper(CASE WHEN v.cost > 1 THEN v.note ELSE p.name END) FROM visits v JOIN people p USING (id)",
        "SQL-006",
        "UPPER",
    ),
    "files of the host": ("SELECT * FROM read_csv('/etc/passwd')", "SQL-006", "register the file"),
    "another statement": ("DROP TABLE visits", "SQL-006", "DROP"),
}  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
def test_a_bad_query_is_refused_before_anything_is_computed(session: Session, name: str) -> None:
    text, code, words = QUERIES[name]
    start = time.process_time()

    error = refused(lambda: session.sql(text))

    assert error.code == code, str(error)
    assert words in str(error), str(error)
    assert time.process_time() - start < 10


def test_the_session_of_these_tests_would_notice_a_run(session: Session) -> None:
    with pytest.raises(AssertionError, match="asked to compute"):
        session.sql("SELECT sum(cost) FROM visits").reveal()


def test_the_bound_of_a_sum_and_the_size_of_a_table_are_named(session: Session) -> None:
    text = str(refused(lambda: session.sql("SELECT sum(w.x) FROM wide w, other o, people")))
    # 2^52 - 1 is the range of x as registered; a table of all pairs has so many rows.
    assert f"SUM at line 1, column 8 may reach {(2**52 - 1) * ROWS * ROWS * 3} units" in text
    text = str(refused(lambda: session.sql("SELECT w.k FROM wide w JOIN other o ON w.k = o.k AND w.x < o.x")))
    assert "GiB" in text and "unique=" in text


def test_duplicate_keys_are_refused_with_their_count_by_their_owner(session: Session) -> None:
    twice = pa.table({"k": [NUMBER, NUMBER, 1, 1, 2], "s": [SECRET] * 5})

    error = refused(lambda: session.table("twice", twice, party=1, unique="k"))

    assert (error.code, error.party) == ("SQL-011", session.parties[1])
    assert "2" in error.what
    refused(lambda: session.sql("SELECT * FROM twice"))


@pytest.mark.parametrize("kind", ["half", "offsets", "not utf-8"])
def test_files_that_lie_are_refused_by_their_owner(session: Session, tmp_path: Path, kind: str) -> None:
    file = tmp_path / ("t.csv" if kind == "not utf-8" else "t.arrow")
    if kind == "not utf-8":
        file.write_bytes(f"a,s\n1,{SECRET}\n2,".encode() + b"\xff\xfe\n")
    elif kind == "half":
        pyarrow.feather.write_feather(pa.table({"s": [f"{SECRET}{k}" for k in range(1000)]}), file)
        file.write_bytes(file.read_bytes()[:-4000])
    else:
        offsets = pa.py_buffer(bytes([0, 0, 0, 0, 99, 0, 0, 0, 3, 0, 0, 0]))
        lying = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"abc")])
        pyarrow.feather.write_feather(pa.table({"s": lying}), file, compression="uncompressed")

    error = refused(lambda: session.table("t", file.name, party=0))

    assert (error.code, error.party) == ("INPUT-002", session.parties[0])


def test_parts_that_do_not_agree_are_named(session: Session) -> None:
    parts = {0: pa.table({"a": [1]}), 2: pa.table({"a": ["x"]})}

    error = refused(lambda: session.table("t", parts))

    assert error.code == "SQL-012"
    assert all(word in str(error) for word in ("'a'", "BIGINT", "VARCHAR", session.parties[2])), str(error)


DIVISIONS = "SELECT id, cost / (id - id), cost // (id - id), cost % (id - id), 1 / 0, 7 // 0 FROM visits"


@pytest.mark.parametrize("protocol", ["plain", "rep3"])
def test_division_by_zero_is_null_as_in_duckdb(protocol: str) -> None:
    with tc.local(3, protocol=protocol, transport="memory") as s:
        s.table("visits", VISITS)
        got = s.sql(DIVISIONS + " ORDER BY id").reveal().table
    with connect() as connection:
        connection.register("visits", pa.concat_tables(VISITS.values()))
        want = connection.execute(DIVISIONS + " ORDER BY id").fetchall()
    assert len(want) == 6 and list(zip(*(c.to_pylist() for c in got.columns), strict=True)) == want
