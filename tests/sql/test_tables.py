# SPDX-License-Identifier: Apache-2.0
"""Tables of a session: what owners say about them, and what their queries give to plans."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tacit as tc
from tacit.errors import InputError, SqlError, TacitError
from tacit.frontends.program import reveal
from tacit.frontends.sql.algebra import Column, Home, Scan
from tacit.frontends.sql.catalogue import Field, Table
from tacit.frontends.sql.frame import Frame, Vector
from tacit.frontends.sql.types import BIGINT, TEXT, TEXT_WORD, Dictionary, SqlType, bytes_of, laid_out, parse_type
from tacit.plan import Interval, Plan
from tacit.session.columns import encode_column, rounded
from tacit.session.relations import SqlTable
from tacit.session.session import Session
from tacit.session.sources import HomeQuery, input_source, parse_query, split_input

SECRET = "hidden987654"

PEOPLE = pa.table(
    {
        "id": pa.array([1, 2, 3, 4], pa.int64()),
        "fee": pa.array([Decimal("12.50"), None, Decimal("-0.01"), Decimal("99999999.99")], pa.decimal128(10, 2)),
        "name": ["Ada", "", None, "a longer name — with a dash"],
        "born": [date(1815, 12, 10), date(1906, 12, 9), None, date(2000, 1, 1)],
        "seen": [datetime(2024, 2, 29, 12, 34, 56, 789000), None, datetime(1969, 12, 31, 23, 59), datetime(2000, 1, 1)],
        "ok": [True, None, False, True],
        "weight": [61.25, -3.5, None, 0.0],
        "small": pa.array([1, 2, None, -4], pa.int8()),
    }
)  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> dict[int, Path]:
    made = {party: tmp_path / f"party{party}" for party in range(3)}
    for folder in made.values():
        folder.mkdir()
    return made


@pytest.fixture
def session(folders: dict[int, Path]) -> Iterator[Session]:
    with tc.local(3, transport="memory", data=folders) as s:
        yield s


def scan(table: SqlTable, party: int, query: str = "", padded: bool | None = None, rows: int | None = None) -> Home:
    """What one party computes: by default all its rows as they are."""
    part = next(p for p in table.table.parts if p.party == party)
    columns = tuple(Column(f.name, f.type, f.nullable, f.domain) for f in table.table.fields)
    listed = ", ".join(f'"{f.name}" AS c{k}' for k, f in enumerate(table.table.fields))
    return Home(
        party,
        query or f'SELECT {listed} FROM "{table.name}"',
        part.dialect,
        ((table.name, part.source),),
        columns,
        part.rows if rows is None else rows,
        part.padded if padded is None else padded,
        Scan(Table(table.name, table.table.fields, (part,), table.table.unique), tuple(table.schema), columns),
    )


def value(vector: Vector, row: int, arrays: dict[Any, Any]) -> Any:
    """A value in a row, from the disclosed words."""
    if vector.null is not None and arrays[vector.null][row]:
        assert all(arrays[w][row] == 0 for w in vector.words)
        return None
    words = [arrays[w][row] for w in vector.words]
    match vector.type.kind:
        case "text":
            if vector.type.values:
                return vector.type.values[words[0]]
            data = b"".join(int(w).to_bytes(n) for w, n in zip(words, bytes_of(vector.type), strict=True))
            return data.rstrip(b"\0").decode()
        case "decimal":
            return Decimal(int(words[0])).scaleb(-vector.type.scale)
        case "date":
            return date.fromordinal(int(words[0]) + date(1970, 1, 1).toordinal())
        case "timestamp":
            return pa.scalar(int(words[0]), pa.timestamp("us")).as_py()
        case "null":
            return None
    return words[0].item()


def rows_of(frame: Frame) -> list[tuple[Any, ...]]:
    """The rows of a frame that are meant, disclosed."""
    arrays = [a for v in frame.columns.values() for a in v.arrays]
    arrays += [frame.present] if frame.present is not None else []
    shown = dict(zip(arrays, reveal(*arrays) if len(arrays) > 1 else [reveal(*arrays)], strict=True))
    there = range(frame.rows) if frame.present is None else [k for k in range(frame.rows) if shown[frame.present][k]]
    return [tuple(value(v, k, shown) for v in frame.columns.values()) for k in there]


def contents(session: Session, table: SqlTable) -> list[tuple[Any, ...]]:
    return [row for p in table.table.parts for row in rows_of(session._relations.leaf(scan(table, p.party)))]


def expected(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(c.to_pylist() for c in table.columns), strict=True))


# --- every kind of source -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["arrow", "polars", "pandas", "parquet", "feather", "csv"])
def test_every_source_gives_the_same_rows(session: Session, folders: dict[int, Path], kind: str) -> None:
    source: Any = PEOPLE
    types = {}
    match kind:
        case "polars":
            source = pl.from_arrow(PEOPLE)
        case "pandas":
            source = PEOPLE.to_pandas(types_mapper=pd.ArrowDtype)
        case "parquet":
            pyarrow.parquet.write_table(PEOPLE, folders[1] / "people.parquet")
            source = "people.parquet"
        case "feather":
            pyarrow.feather.write_feather(PEOPLE, folders[1] / "people.arrow")
            source = Path("people.arrow")
        case "csv":
            # In a CSV file the empty text is a missing value.
            lines = [",".join("" if v is None else str(v) for v in row) for row in expected(PEOPLE)]
            (folders[1] / "people.csv").write_text("\n".join([",".join(PEOPLE.column_names), *lines]) + "\n")
            source = "people.csv"
            types = {"fee": "DECIMAL(10,2)", "small": "TINYINT", "weight": "DOUBLE"}

    table = session.table("people", source, party=1, types=types)

    assert [f.type for f in table.table.fields] == [
        parse_type(t)
        for t in ("BIGINT", "DECIMAL(10,2)", "VARCHAR", "DATE", "TIMESTAMP", "BOOLEAN", "DOUBLE", "TINYINT")
    ]
    assert [f.nullable for f in table.table.fields] == [False] + [True] * 7
    assert table.rows == 4
    wanted = expected(PEOPLE)
    if kind == "csv":
        wanted[1] = (*wanted[1][:2], None, *wanted[1][3:])
    assert contents(session, table) == wanted


@pytest.mark.parametrize("configured", [False, True])
def test_tables_and_views_of_postgres_are_read(
    session: Session, folders: dict[int, Path], clinic: str, configured: bool
) -> None:
    if configured:
        (folders[2] / "sources.toml").write_text(f'[wh]\nurl = "{clinic}"\ntables = ["patients", "ward.dear"]\n')
    first, second = ("wh.patients", "wh.ward.dear") if configured else (f"{clinic}#patients", f"{clinic}#ward.dear")

    patients = session.table("patients", first, party=2, unique="id")
    dear = session.table("dear", second, party=2)

    assert patients.others == ("address",)
    rows = contents(session, patients)
    assert rows[0][:5] == (1, "Ada", date(1815, 12, 10), datetime(2024, 2, 29, 12, 34, 56, 789000), Decimal("12.50"))
    assert rows[1][1:4] == ("", date(1906, 12, 9), None)
    assert rows[3][1] == 'a "quoted",\nbroken — line'
    assert sorted(contents(session, dear)) == sorted((k % 4 + 1, k) for k in range(11, 21))
    joined = Home(
        2, 'SELECT p."id" AS c0, SUM(d."cost") AS c1 FROM "patients" AS p JOIN "dear" AS d ON d."patient" = p."id" '
        'GROUP BY 1 ORDER BY 1', "postgres",
        tuple((t.name, t.table.parts[0].source) for t in (patients, dear)),
        (Column("id", BIGINT, False, Interval(0, 7)), Column("s", BIGINT, True, Interval(0, 1023))), 4, True,
        scan(patients, 2).relation,
    )  # fmt: skip
    assert rows_of(session._relations.leaf(joined)) == [(1, 48), (2, 30), (3, 32), (4, 45)]
    assert "swordfish" not in str(session.plan_of(*session._relations.leaf(joined).columns[joined.columns[0]].arrays))


def test_duckdb_joins_a_database_with_a_file_of_the_same_owner(
    session: Session, folders: dict[int, Path], clinic: str
) -> None:
    (folders[0] / "extra.csv").write_text("patient,kind\n1,a\n3,b\n")
    patients = session.table("patients", f"{clinic}#patients", party=0)
    extra = session.table("extra", "extra.csv", party=0)
    home = Home(
        0, 'SELECT p."name" AS c0, e."kind" AS c1 FROM "patients" AS p JOIN "extra" AS e ON e."patient" = p."id"',
        "duckdb", tuple((t.name, t.table.parts[0].source) for t in (patients, extra)),
        (Column("name", TEXT, True, Interval(0, 28)), Column("kind", TEXT, False, Interval(0, 7))), 8, True,
        scan(extra, 0).relation,
    )  # fmt: skip

    assert sorted(rows_of(session._relations.leaf(home)), key=str) == [("Ada", "a"), (None, "b")]


def test_a_table_of_the_client_stays_with_it(session: Session) -> None:
    table = session.table("mine", {"a": [3, 1, 2], "s": ["x", None, "zz"]})

    assert table.table.parts[0].party == 3
    assert contents(session, table) == [(3, "x"), (1, None), (2, "zz")]
    frame = session._relations.leaf(scan(table, 3))
    assert "SELECT" not in session.plan_of(frame.columns[next(iter(frame.columns))].words[0]).show()


# --- what is agreed and disclosed -----------------------------------------------------------------------------------


def test_parts_of_a_table_are_as_wide_as_the_widest(session: Session) -> None:
    small = pa.table({"Id": pa.array([1, 200], pa.uint8()), "fee": pa.array([Decimal("1.5")] * 2, pa.decimal128(3, 1))})
    large = pa.table({"id": pa.array([-70000], pa.int32()), "FEE": pa.array([Decimal("-2.25")], pa.decimal128(12, 2))})

    table = session.table("bills", {0: small, 2: large}, unique=["ID"])

    assert table.schema == {"Id": "INTEGER NOT NULL", "fee": "DECIMAL(12,2) NOT NULL"}
    assert [f.domain for f in table.table.fields] == [Interval(-131072, 255), Interval(-256, 150)]
    assert table.table.unique == (("Id",),)
    assert [p.rows for p in table.table.parts] == [2, 1]
    assert "not checked, but taken on trust: no two parties have the same Id" in table.disclosed


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"id": ["x"]}, ["'id'", "VARCHAR", "BIGINT"]),
        ({"id": [1.5]}, ["'id'", "DOUBLE", "BIGINT"]),
        ({"key": [1]}, ["'id'", "no such column", "BIGINT"]),
        ({"id": [1], "more": [1]}, ["'more'", "no such column", "BIGINT"]),
    ],
)
def test_parts_that_disagree_are_named(session: Session, other: dict[str, list[Any]], words: list[str]) -> None:
    with pytest.raises(SqlError, match="SQL-012") as raised:
        session.table("t", {0: {"id": [1, 2]}, 1: other})

    assert all(word in str(raised.value) for word in [*words, "party0", "party1"])


def test_registering_tells_ranges_rounded_outwards(session: Session) -> None:
    table = session.table("people", PEOPLE, party=0)
    domains = {f.name: (f.domain.lo, f.domain.hi) for f in table.table.fields}

    assert domains["id"] == (0, 7)
    assert domains["small"] == (-4, 3)
    assert domains["name"] == (0, 35)
    assert domains["ok"] == (0, 1)
    assert domains["born"] == (-65536, 16383)
    assert domains["weight"] == (-(2**20), 2**24 - 1)
    assert "the number of rows of party0: 4" in table.disclosed
    assert "column name: VARCHAR, at most 35 bytes, may be NULL" in table.disclosed
    assert "12" not in " ".join(line for line in table.disclosed if "fee" in line)


FLAGS = {"flag": ["R", None, "A", "R"], "n": [1, 2, 3, 4]}


def test_a_column_of_declared_values_is_a_code(session: Session) -> None:
    table = session.table("f", {0: FLAGS, 1: FLAGS}, values={"Flag": ["R", "N", "A"]})

    assert "column flag: VARCHAR, one of 'A', 'N', 'R', may be NULL" in table.disclosed
    frame = session.sql(
        "SELECT flag, sum(n) AS n FROM f WHERE flag LIKE 'R%' OR flag < 'B' GROUP BY flag ORDER BY flag"
    )
    assert frame.reveal().table.to_pylist() == [{"flag": "A", "n": 6}, {"flag": "R", "n": 10}]
    inputs = [n.type for n in frame.plan().nodes if n.op == "input"]
    assert Interval(0, 2) in [t.interval for t in inputs]


def test_codes_of_other_values_and_plain_text_meet(session: Session) -> None:
    session.table("f", {0: FLAGS, 1: FLAGS}, values={"flag": ["A", "R"]})
    session.table("g", {"flag": ["A", "N"]}, party=1, values={"flag": [f"v{k:03}" for k in range(200)] + ["A", "N"]})
    session.table("h", {"flag": ["R", "long name"]}, party=2)

    text = "SELECT f.flag, n, {0}.flag AS other FROM f {1} JOIN {0} ON f.flag = {0}.flag ORDER BY 1, 2, 3"
    both = session.sql(text.format("g", "LEFT")).reveal().table
    assert both["other"].to_pylist() == ["A", "A", *[None] * 6]
    plain = session.sql(text.format("h", "INNER")).reveal().table
    assert plain["n"].to_pylist() == [1, 1, 4, 4]
    union = (
        session.sql("SELECT flag FROM f UNION SELECT flag FROM g UNION SELECT flag FROM h ORDER BY 1").reveal().table
    )
    assert union["flag"].to_pylist() == ["A", "N", "R", "long name", None]


def test_null_is_null_whatever_stands_first_in_a_list(session: Session) -> None:
    session.table("f", {0: FLAGS, 1: FLAGS}, values={"flag": ["A", "N", "R"]})
    session.table("g", {"flag": ["B", None]}, party=2, values={"flag": ["0", "B"]})
    session.table("h", {"flag": ["word", None]}, party=2)
    missing = sum(v is None for v in FLAGS["flag"])

    for other in ("g", "h"):
        answer = session.sql(f"SELECT flag FROM f UNION SELECT flag FROM {other}").reveal().table
        assert answer["flag"].to_pylist().count(None) == 1
        answer = session.sql(f"SELECT flag FROM f EXCEPT SELECT flag FROM {other}").reveal().table
        assert None not in answer["flag"].to_pylist()
        text = f"SELECT count(*) AS n FROM f JOIN {other} AS o ON f.flag IS NOT DISTINCT FROM o.flag"
        assert session.sql(text).reveal().table["n"].to_pylist() == [2 * missing]


def test_a_value_that_is_not_declared_is_refused_at_its_owner(session: Session) -> None:
    session.table("f", {0: FLAGS, 1: FLAGS}, values={"flag": ["A", "N"]})

    with pytest.raises(InputError, match="INPUT-007") as raised:
        session.sql("SELECT flag, count(*) FROM f GROUP BY flag").reveal()

    assert "party0" in str(raised.value) and "'R'" not in str(raised.value)


@pytest.mark.parametrize(
    "values", [{"flag": []}, {"flag": "ANR"}, {"flag": ["A\0"]}, {"flag": ["\ud800"]}, {"flag": [1]}, {"n": ["A"]}]
)
def test_a_list_of_values_is_one(session: Session, values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="INPUT-025"):
        session.table("f", FLAGS, party=0, values=values)


def test_keys_of_all_parts_are_checked_together(session: Session) -> None:
    parts = {0: {"k": [1, 2, None]}, 1: {"k": [3, None, None]}}
    table = session.table("keyed", parts, unique="k", across="checked", min_group=5)

    assert "checked on shares: no two parties have the same k" in table.disclosed
    assert session.last is not None
    assert table.table.unique == (("k",),) and table.table.min_group == 5
    with pytest.raises(SqlError, match="SQL-011"):
        session.table("keyed", {**parts, 2: {"k": [2]}}, unique="k", across="checked")
    assert session.tables["keyed"] is table
    assert session.sql("SELECT count(k) AS n FROM keyed", min_group=1).names == ("n",)
    with pytest.raises(InputError, match="INPUT-025"):
        session.table("keyed", parts, unique="k", across="maybe")  # type: ignore[arg-type]


def test_declared_ranges_are_in_the_columns_own_values(session: Session, folders: dict[int, Path]) -> None:
    ranges = {
        "fee": (-1, "100000000.5"),
        "born": (date(1800, 1, 1), "2020-12-31"),
        "name": (0, 40),
        "weight": (-100, 100),
    }
    table = session.table("people", PEOPLE, party=0, ranges=ranges)
    domains = {f.name: (f.domain.lo, f.domain.hi) for f in table.table.fields}

    assert domains["fee"] == (-100, 10_000_000_050)
    assert domains["born"] == ((date(1800, 1, 1) - date(1970, 1, 1)).days, (date(2020, 12, 31) - date(1970, 1, 1)).days)
    assert domains["name"] == (0, 40)
    assert domains["weight"] == (-100 * 2**18, 100 * 2**18)
    assert contents(session, table) == expected(PEOPLE)

    narrow = session.table("narrow", PEOPLE, party=0, ranges={"weight": (0, 60)})
    with pytest.raises(InputError, match=r"INPUT-007.*row 1"):
        contents(session, narrow)
    short = session.table("short", PEOPLE, party=0, ranges={"name": (0, 10)})
    with pytest.raises(InputError, match="INPUT-007"):
        contents(session, short)


@given(st.integers(-(2**61), 2**61), st.integers(0, 2**61))
def test_rounding_outwards_holds_and_tells_only_the_number_of_digits(low: int, more: int) -> None:
    high = min(low + more, 2**61)
    wide = rounded(low, high, BIGINT)

    assert Interval(low, high) in wide
    assert all(end in (0, -(2**61), 2**61) or (end + (end > 0)) & (abs(end + (end > 0)) - 1) == 0 for end in (wide.hi,))
    assert wide.lo == 0 or (-wide.lo) & (-wide.lo - 1) == 0


def test_rows_may_be_padded_to_a_bound(session: Session) -> None:
    table = session.table("people", {0: PEOPLE, 1: PEOPLE.slice(0, 2)}, rows=5)

    assert [(p.rows, p.padded) for p in table.table.parts] == [(5, True), (5, True)]
    assert not any("4" in line for line in table.disclosed if "rows" in line)
    assert contents(session, table) == expected(PEOPLE) + expected(PEOPLE.slice(0, 2))
    frame = session._relations.leaf(scan(table, 1))
    assert frame.rows == 5 and frame.present is not None
    for vector in frame.columns.values():
        for word in vector.arrays:
            assert not any(reveal(word)[2:])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"rows": 3}, "SQL-013"),
        ({"rows": -1}, "INPUT-025"),
        ({"rows": 1.5}, "INPUT-025"),
        ({"unique": "ok"}, "SQL-011"),
        ({"unique": [("ok", "small"), "age"]}, "INPUT-004"),
        ({"ranges": {"age": (0, 1)}}, "INPUT-004"),
        ({"ranges": {"fee": ("x", 1)}}, "INPUT-010"),
        ({"ranges": {"fee": (2, 1)}}, "INPUT-010"),
        ({"types": {"fee": "MONEY"}}, "INPUT-025"),
        ({"types": "INTEGER"}, "INPUT-025"),
        ({"ranges": {"fee": 5}}, "INPUT-025"),
        ({"ranges": [1]}, "INPUT-025"),
        ({"unique": 5}, "INPUT-025"),
        ({"unique": [5]}, "INPUT-025"),
        ({"unique": [()]}, "INPUT-025"),
        ({"rows": True}, "INPUT-025"),
        ({"min_group": 0}, "INPUT-025"),
        ({"min_group": "11"}, "INPUT-025"),
        ({"min_group": 2.5}, "INPUT-025"),
        ({"types": {"name": "INTEGER"}}, "INPUT-005"),
        ({"types": {"nome": "VARCHAR"}}, "INPUT-004"),
        ({"party": 7}, "INPUT-111"),
    ],
)
def test_what_does_not_fit_a_table_is_refused(session: Session, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(TacitError, match=code) as raised:
        session.table("people", PEOPLE, **{"party": 0, **arguments})

    assert "Ada" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ({"a": [1], "b": [1, "x"]}, "column 'b'"),
        ({"a": [1], "b": [2**70]}, "column 'b'"),
        ({"a": [1], "b": [1, 2]}, "a table cannot"),
        (pd.DataFrame({"a": [1], "b": [1j]}), "column 'b'"),
        (pd.DataFrame({"a": [1, 2], "b": pd.arrays.SparseArray([0, 1])}), "column 'b'"),
        (pd.DataFrame([[1, 2]], columns=["b", "b"]), "column 'b'"),
        (pd.Series([1, 2], name="a"), "a table cannot"),
    ],
)
def test_what_arrow_cannot_hold_is_refused_by_its_column(session: Session, source: Any, what: str) -> None:
    with pytest.raises(InputError, match=f"INPUT-025.*{what}"):
        session.table("t", source, party=0)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[2J"])
def test_a_column_needs_a_name_that_can_be_printed(session: Session, name: str) -> None:
    with pytest.raises(InputError, match="INPUT-026"):
        session.table("t", {"a": [1], name: [2]}, party=0)


def test_parts_at_a_party_that_is_none_are_no_columns(session: Session) -> None:
    with pytest.raises(TacitError, match=r"INPUT-111.*sud"):
        session.table("t", {"party0": PEOPLE, "sud": PEOPLE})


def test_numbers_of_rows_may_be_those_of_numpy(session: Session) -> None:
    table = session.table("t", {"a": [1, 2]}, party=0, rows=np.int64(5), min_group=np.int64(2))

    assert table.rows == 5 and type(table.table.rows) is int and type(table.table.min_group) is int


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("int", "INTEGER"),
        ("int8", "BIGINT"),
        ("numeric(9, 2)", "DECIMAL(9,2)"),
        ("text", "VARCHAR"),
        ("bool", "BOOLEAN"),
    ],
)
def test_declared_types_have_the_names_of_the_dialect(session: Session, name: str, kind: str) -> None:
    assert session.table("t", {"a": ["1", "0"]}, party=0, types={"a": name}).schema == {"a": f"{kind} NOT NULL"}


def test_a_value_in_a_file_that_is_not_of_the_declared_type_is_found_by_its_column(
    session: Session, folders: dict[int, Path]
) -> None:
    (folders[1] / "t.csv").write_text(f"a;b\n1;2,5\n2;{SECRET}\n")

    with pytest.raises(InputError, match=r"INPUT-005.*column 2 of t\.csv") as raised:
        session.table("t", "t.csv", party=1, types={"b": "DOUBLE"})

    assert SECRET not in str(raised.value)
    assert session.table("t", "t.csv", party=1).schema["b"] == "VARCHAR NOT NULL"


def test_declared_types_are_those_of_columns_without_regard_to_case(session: Session, folders: dict[int, Path]) -> None:
    (folders[0] / "t.csv").write_text("Zip,n\n01234,1\n")

    for source in ("t.csv", {"Zip": ["01234"], "n": [1]}):
        session.table("t", source, party=0, types={"zip": "VARCHAR", "N": "SMALLINT"})
        assert session.sql("SELECT * FROM t").reveal().table.to_pylist() == [{"Zip": "01234", "n": 1}]
        with pytest.raises(InputError, match=r"INPUT-004.*'plz'"):
            session.table("t", source, party=0, types={"plz": "VARCHAR"})


def test_columns_left_out_and_keys_are_on_the_list(session: Session) -> None:
    table = session.table("t", {"id": [1, 2], "at": pa.array([1, 2], pa.time32("s"))}, party=0, unique="id")

    assert table.others == ("at",) and "left out: at" in repr(table)
    assert "column at: of a type that queries cannot use" in table.disclosed
    assert "no two rows of a party have the same id" in table.disclosed


@pytest.mark.parametrize("text", [None, 5, ["SELECT 1"]])
def test_a_query_is_a_text(session: Session, text: Any) -> None:
    with pytest.raises(SqlError, match="SQL-001"):
        session.sql(text)


@pytest.mark.parametrize("least", [0, "11", 2.5, None])
def test_a_smallest_group_is_a_number(session: Session, least: Any) -> None:
    session.table("t", {"a": [1, 2]}, party=0)
    with pytest.raises(InputError, match="INPUT-025"):
        session.sql("SELECT count(*) FROM t", min_group=least)


def test_nulls_are_no_duplicates(session: Session) -> None:
    table = session.table("t", {"a": [1, None, None], "b": [1, 1, 2]}, party=0, unique=["a", ("a", "b"), ("B", "A")])

    assert table.table.unique == (("a",), ("a", "b"), ("b", "a"))
    with pytest.raises(SqlError, match=r"SQL-011.*1 combinations"):
        session.table("t", {"a": [1, 1, 2], "b": [1, 1, 2]}, party=0, unique=[("a", "b")])


@pytest.mark.parametrize(
    ("source", "party", "code"),
    [
        ("none.csv", 0, "INPUT-001"),
        ("../x.csv", 0, "INPUT-003"),
        ("x.csv", None, "INPUT-015"),
        ("warehouse.patients", 0, "INPUT-021"),
        ("nothing", 0, "INPUT-021.*'nothing'"),
        ("visits.csv.gz", 0, "INPUT-021.*'visits.csv.gz'.*unpack"),
        ("postgresql://a@b/c", 0, "INPUT-025"),
        (object(), 0, "INPUT-025"),
        ({"a": [1, "x"]}, 0, "INPUT-025"),
        ({"a": [1], "A": [2]}, 0, "INPUT-026"),
        ({}, 0, "INPUT-025"),
        ({"a": pa.array([[1]])}, 0, "INPUT-025"),
    ],
)
def test_a_source_that_is_none_is_refused(session: Session, source: Any, party: int | None, code: str) -> None:
    with pytest.raises(TacitError, match=code):
        session.table("t", source, party=party)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 61])
def test_a_name_that_is_none_is_refused(session: Session, name: str) -> None:
    with pytest.raises(InputError, match="INPUT-025"):
        session.table(name, PEOPLE, party=0)


@pytest.mark.parametrize("name", ["order", "Straße 5", 'a"b', "x.y", "pg_tables", "a;b--c", "#%7&=?", "é" * 60])
def test_any_other_name_is_one(session: Session, name: str) -> None:
    table = session.table(name, {'sel"ect, ': [1, 2], "FROM#%0": ["x", None]}, party=0)
    quoted = name.replace('"', '""')
    home = scan(table, 0, f'SELECT "sel""ect, " AS c0, "FROM#%0" AS c1 FROM "{quoted}"')

    assert rows_of(session._relations.leaf(home)) == [(1, "x"), (2, None)]
    assert session.sql(f'SELECT count(*) AS n FROM "{quoted}"').reveal().table["n"].to_pylist() == [2]


def test_text_that_is_too_long_stays_with_its_owner(session: Session) -> None:
    table = session.table("t", {"a": [1], "s": ["x" * 5000]}, party=0)

    with pytest.raises(SqlError, match="SQL-016"):
        session._relations.leaf(scan(table, 0))


def test_only_listed_tables_of_a_database_are_read(session: Session, folders: dict[int, Path], clinic: str) -> None:
    (folders[0] / "sources.toml").write_text(f'[wh]\nurl = "{clinic}"\ntables = ["patients"]\n')

    session.table("p", "wh.patients", party=0)
    for other in ("wh.secret", "wh.public.patients", "wh.patients x", 'wh.patients"', "wh."):
        with pytest.raises(InputError, match="INPUT-021"):
            session.table("q", other, party=0)
    (folders[0] / "sources.toml").write_text('[wh]\nurl = "postgresql://u:swordfish@h/d"\n')
    with pytest.raises(InputError, match="INPUT-023") as raised:
        session.table("q", "wh.patients", party=0)
    assert "swordfish" not in str(raised.value)


# --- files that lie, change or are broken ---------------------------------------------------------------------------


def test_a_file_that_changed_since_it_was_registered_ends_the_proposal(
    session: Session, folders: dict[int, Path]
) -> None:
    file = folders[0] / "t.csv"
    file.write_text("a,s\n1,x\n2,y\n")
    table = session.table("t", "t.csv", party=0)
    padded = session.table("p", "t.csv", party=0, rows=3)
    assert contents(session, table) == [(1, "x"), (2, "y")]

    for text, code in (
        ("a,s\n1,x\n2,y\n3,z\n", "SQL-013"),
        ("a,s\n1,x\n", "SQL-013"),
        ("a,s\n1,x\n5,y\n", "INPUT-007"),
        ("a,s\n1,x\n,y\n", "INPUT-006"),
        (f"a,s\n1,x\n{SECRET},y\n", "INPUT-005"),
        (f"a,s\n1,x\n2,{SECRET * 3}\n", "INPUT-007"),
        ("b,s\n1,x\n2,y\n", "INPUT-020"),
    ):
        file.write_text(text)
        with pytest.raises(TacitError, match=code) as raised:
            contents(session, table)
        assert SECRET not in str(raised.value)
    file.write_text("a,s\n1,x\n2,y\n3,z\n")
    assert contents(session, padded) == [(1, "x"), (2, "y"), (3, "z")]
    file.write_text("a,s\n" + "1,x\n" * 4)
    with pytest.raises(SqlError, match="SQL-013"):
        contents(session, padded)


def test_an_arrow_file_that_lies_about_its_length_is_refused(session: Session, folders: dict[int, Path]) -> None:
    for name, write in (("t.arrow", pyarrow.feather.write_feather), ("t.parquet", pyarrow.parquet.write_table)):
        write(pa.table({"a": range(1000), "s": [f"{SECRET}{k}" for k in range(1000)]}), folders[0] / name)
        data = (folders[0] / name).read_bytes()
        (folders[0] / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError, match="INPUT-002"):
            session.table("t", name, party=0)
    # Offsets that point outside of the text.
    bad = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(bytes([0, 0, 0, 0, 99, 0, 0, 0, 3, 0, 0, 0])), pa.py_buffer(b"abc")]
    )
    pyarrow.feather.write_feather(pa.table({"s": bad}), folders[0] / "t.arrow", compression="uncompressed")
    with pytest.raises(InputError, match="INPUT-002"):
        session.table("t", "t.arrow", party=0)
    latin = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(bytes([0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0])), pa.py_buffer(b"\xff\xfe")]
    )
    for column in (bad, latin):
        with pytest.raises(InputError, match=r"INPUT-025.*well-formed"):
            session.table("t", pa.table({"s": column}), party=0)


def test_a_date_that_python_lacks_is_refused_by_its_owner(session: Session) -> None:
    days = pa.array([0, 2**22, -(2**30)], pa.int32()).cast(pa.date32())
    for column in (days, days[:2], pa.array([2**61], pa.timestamp("us"))):
        with pytest.raises(InputError, match=r"INPUT-020.*years 1 to 9999") as raised:
            session.table("t", pa.table({"y": column}), party=0)
        assert raised.value.party == session.parties[0]


@pytest.mark.parametrize("where", ["middle", "start"])
def test_a_csv_file_that_is_not_utf8_is_refused(session: Session, folders: dict[int, Path], where: str) -> None:
    text = f"a,s\n1,{SECRET}\n2,y\n".encode()
    (folders[0] / "t.csv").write_bytes(text.replace(b"y", b"\xff\xfe") if where == "middle" else b"\xff" + text)

    with pytest.raises(InputError, match="INPUT-002") as raised:
        session.table("t", "t.csv", party=0)

    assert SECRET not in str(raised.value)


def test_text_with_a_nul_and_floats_that_are_no_numbers_are_refused(session: Session) -> None:
    table = session.table("t", {"s": ["x", "a\0b"]}, party=0)
    with pytest.raises(InputError, match="INPUT-005"):
        contents(session, table)
    table = session.table("u", pa.table({"x": pa.array([1.0, float("nan"), float("inf")])}), party=0)
    assert table.table.fields[0].domain == Interval(0, 2**19 - 1)
    with pytest.raises(InputError, match=r"INPUT-006.*column 'x' has a value in row 2"):
        contents(session, table)


@pytest.mark.parametrize(
    ("values", "query", "words"),
    [
        ([1, 2**63 - 1], "SELECT x FROM big", "column 'x' has a value in row 2"),
        ([1.0, 1e30], "SELECT x FROM big", "column 'x' has a value in row 2"),
        ([5, 6], "SELECT sum(x) FROM narrow", '`SUM("x")` has a value in row 1'),
        ([5, 6], "SELECT x AS other FROM narrow WHERE NOT x IS NULL", "column 'x' has a value in row 1"),
        ([5, 6], "SELECT x + 7 AS y FROM narrow", '`"x" + CAST(7 AS BIGINT)` has'),
    ],
)  # fmt: skip
def test_a_value_outside_of_its_range_is_found_by_its_column(
    session: Session, values: list[Any], query: str, words: str
) -> None:
    session.table("big", {"x": values}, party=0)
    session.table("narrow", {"x": values}, party=0, ranges={"x": (0, 1)})

    with pytest.raises(InputError, match="INPUT-007") as raised:
        session.sql(query).reveal()

    assert words in str(raised.value) and "ranges=" in raised.value.expected, str(raised.value)


def test_a_lazy_frame_and_a_dataset_are_tables(session: Session, tmp_path: Path) -> None:
    for name, part in (("1.parquet", PEOPLE.slice(0, 1)), ("2.parquet", PEOPLE.slice(1))):
        pyarrow.parquet.write_table(part, tmp_path / name)
    dataset = pyarrow.dataset.dataset([str(tmp_path / n) for n in ("1.parquet", "2.parquet")])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lazy = session.table("lazy", {0: pl.from_arrow(PEOPLE).lazy()})
    files = session.table("files", dataset, party=1)

    assert contents(session, files) == contents(session, lazy) == expected(PEOPLE)


def test_a_file_may_be_queried_and_loaded(session: Session, folders: dict[int, Path]) -> None:
    (folders[0] / "visits.csv").write_text("ward,cost\n1,5\n2,7\n")
    session.table("visits", "visits.csv", party=0)

    total = session.sql("SELECT sum(cost) AS total FROM visits WHERE ward > 0").reveal().table["total"][0].as_py()
    arrays = session.load("visits.csv", 0)
    frame = session.sql("SELECT ward, cost FROM visits").reveal()

    assert total == 12 == arrays["cost"].sum().reveal() and len(frame) == 2


def test_a_result_for_others_is_no_data_frame(session: Session) -> None:
    session.table("t", {"id": [1]}, party=0)
    answer = replace(session.sql("SELECT id FROM t").reveal(), table=None)

    for convert in (answer.to_pandas, answer.to_polars):
        with pytest.raises(InputError, match=r"INPUT-029.*session\.client"):
            convert()


def test_columns_of_one_name_are_numbered_for_polars(session: Session) -> None:
    session.table("t", {"id": [1], "id_1": [2]}, party=0)
    frame = session.sql("SELECT id, id_1, id, 5 AS id FROM t").reveal().to_polars()

    assert frame.to_dict(as_series=False) == {"id": [1], "id_1": [2], "id_2": [1], "id_3": [5]}


def test_columns_without_a_type_are_left_out(session: Session) -> None:
    odd = pa.table({"a": [1], "b": pa.array([[1]]), "c": [b"x"], "d": pa.array([0], pa.time32("s"))})

    table = session.table("t", odd, party=0)

    assert (list(table.schema), table.others) == (["a"], ("b", "c", "d"))
    with pytest.raises(SqlError, match=r"SQL-003.*'B'.*declare one with types="):
        session.sql("SELECT a FROM t WHERE B IS NULL")
    with pytest.raises(InputError, match=r"INPUT-025.*types=, such as TIMESTAMP"):
        session.table("t", {"at": pa.array([0], pa.timestamp("us", "UTC"))}, party=0)


def test_empty_tables_are_tables(session: Session) -> None:
    table = session.table("t", PEOPLE.slice(0, 0), party=0)

    assert (table.rows, contents(session, table)) == (0, [])
    padded = session.table("u", PEOPLE.slice(0, 0), party=0, rows=2)
    assert contents(session, padded) == []


# --- what a plan says -----------------------------------------------------------------------------------------------


def test_the_text_of_a_query_stands_once_in_a_plan_and_in_its_disclosures(session: Session) -> None:
    table = session.table("people", PEOPLE, party=1, rows=6)
    frame = session._relations.leaf(scan(table, 1))
    arrays = [a for v in frame.columns.values() for a in v.arrays]

    plan = session.plan_of(*arrays)

    assert plan.to_bytes().count(b"SELECT") == 1
    shown = [str(d) for d in plan.disclosures() if d.kind == "size"]
    assert len(shown) == len(arrays)
    assert [k for k, line in enumerate(shown) if 'SELECT "id" AS "c0"' in line and "at_most=6" in line] == [0]
    assert all("which the party computes as `%0`" in line for line in shown[1:])
    assert Plan.from_bytes(plan.to_bytes()).digest == plan.digest
    # Without the first column the text moves to the next one.
    assert session.plan_of(*arrays[1:]).to_bytes().count(b"SELECT") == 1


def text_type(*values: str) -> SqlType:
    return laid_out(TEXT, Dictionary.of(values) if values else Interval(0, 9))


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.lists(st.tuples(st.text("abc#=&?%+", min_size=1), st.text("f:/#=&?% é", min_size=1)), max_size=3),
    st.booleans(),
    st.lists(st.text("a,=?:#%é ", max_size=5), max_size=3),
)
def test_a_query_is_read_back_from_its_source(
    text: str, sources: list[tuple[str, str]], padded: bool, values: list[str]
) -> None:
    query = HomeQuery(
        text, "duckdb", tuple(sources), 7, padded, ((text_type(*values), True), (SqlType("decimal", 5, 2), False))
    )
    source = input_source("1.0", query)

    assert source.isprintable()
    assert split_input(source) == ("1.0", str(query))
    assert parse_query(str(query)) == query


@pytest.mark.parametrize(
    "text",
    [
        "",
        "duckdb:SELECT 1",
        "duckdb:x#rows=x",
        "duckdb:x#rows=1&at_most=2",
        "duckdb:x#rows=1&column=JSON",
        "#%7",
        "duckdb:x#rows=1&column=VARCHAR:5000",
        "duckdb:x#rows=1&column=VARCHAR=b,a",
        "duckdb:x#rows=1&column=BIGINT=1",
    ],
)
def test_any_other_query_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="INPUT-011"):
        parse_query(text)


@given(st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))))
def test_words_of_text_hold_it_and_sort_as_its_bytes_do(texts: list[str | None]) -> None:
    column = pa.chunked_array([pa.array(texts, pa.string())])

    words = encode_column(column, Field("s", TEXT, True, Interval(0, 84)), what="s", party=None)

    rows = list(zip(*(w.tolist() for w in words), strict=True))
    assert [b"".join(w.to_bytes(TEXT_WORD, "big") for w in row).rstrip(b"\0") for row in rows] == [
        (t or "").encode() for t in texts
    ]
    assert sorted(range(len(texts)), key=lambda k: rows[k]) == sorted(
        range(len(texts)), key=lambda k: (texts[k] or "").encode()
    )


# --- parties as processes -------------------------------------------------------------------------------------------


def test_party_processes_read_files_databases_and_what_the_client_hands_over(
    folders: dict[int, Path], clinic: str
) -> None:
    pyarrow.parquet.write_table(PEOPLE, folders[0] / "people.parquet")
    with tc.local(3, data=folders) as session:
        table = session.table("people", {0: "people.parquet", 1: PEOPLE.slice(1, 2)}, rows=5)
        patients = session.table("patients", f"{clinic}#patients", party=2)
        mine = session.table("mine", {"a": [1, 2]})

        assert contents(session, table) == expected(PEOPLE) + expected(PEOPLE.slice(1, 2))
        assert [row[1] for row in contents(session, patients)][:3] == ["Ada", "", None]
        assert contents(session, mine) == [(1,), (2,)]
        with pytest.raises(SqlError, match=r"SQL-011.*1 combinations"):
            session.table("u", PEOPLE, party=1, unique="ok")


def test_a_table_is_forgotten_under_any_spelling_of_its_name() -> None:
    with tc.local(3, "plain", transport="memory") as session:
        session.table("Stays", {"days": [1, 2]}, party=0)
        session.table("stays", {"days": [3]}, party=0)
        assert list(session.tables) == ["stays"]

        session.forget("STAYS")

        assert not session.tables
        with pytest.raises(SqlError, match="SQL-002"):
            session.sql("SELECT days FROM stays")


def test_whole_numbers_with_nulls_stay_exact_in_pandas(session: Session) -> None:
    big = 2**60 + 1
    session.table("t", {"i": [big, None], "b": [True, None], "k": [1, 2]}, party=0)

    frame = session.sql("SELECT i, b, k, i FROM t ORDER BY k").reveal().to_pandas()

    assert [str(kind) for kind in frame.dtypes] == ["Int64", "boolean", "int64", "Int64"]
    assert frame.iloc[0, 0] == frame.iloc[0, 3] == big and frame.iloc[1, 0] is pd.NA and frame.iloc[0, 1]
