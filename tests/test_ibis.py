# SPDX-License-Identifier: Apache-2.0
"""The Ibis backend: expressions give what DuckDB gives, and what is not supported says so in Ibis's own words."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import ibis
import pandas as pd
import pytest
from ibis.common.exceptions import OperationNotDefinedError, TableNotFound, UnsupportedOperationError

import tacit
from ibis_suite.report import outcomes
from tacit.errors import SqlError

STAYS = pd.DataFrame({"patient": [1, 2, 3, 4], "ward": ["x", "y", "x", "y"], "days": [4, 9, 2, 5]})
DRUGS = pd.DataFrame({"patient": [2, 3, 3, 9], "drug": ["a", "b", "a", None]})

# Ibis reads an option of pandas that pandas deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")


@pytest.fixture(scope="module")
def session() -> Iterator[tacit.Session]:
    with tacit.local(3, "plain", transport="memory") as session:
        session.table("stays", {0: STAYS[:2], 2: STAYS[2:]})
        session.table("drugs", DRUGS, party=1)
        yield session


@pytest.fixture(scope="module")
def con(session: tacit.Session) -> tacit.ibis.Backend:  # type: ignore[name-defined]
    return ibis.tacit.connect(session)


def test_tables_are_the_sessions(con) -> None:
    assert con.list_tables() == ["drugs", "stays"]
    assert con.list_tables(like="^d") == ["drugs"]
    assert con.tables.drugs.schema() == ibis.schema({"patient": "int64", "drug": "string"})
    with pytest.raises(TableNotFound):
        con.table("wards")


def test_expressions_give_what_duckdb_gives(con) -> None:
    def query(backend: ibis.BaseBackend) -> ibis.Table:
        stays, drugs = backend.table("stays"), backend.table("drugs")
        joined = stays.left_join(drugs, "patient").filter(lambda t: t.days > 2)
        return joined.group_by("ward", "drug").agg(n=joined.count(), days=joined.days.mean()).order_by("ward", "drug")

    clear = duckdb.connect()
    for name, frame in {"stays": STAYS, "drugs": DRUGS}.items():
        clear.register(name, frame)
    expected = clear.sql(con.compile(query(con))).to_arrow_table()

    assert query(con).to_pyarrow().to_pylist() == expected.to_pylist()
    assert query(con).to_polars().to_dicts() == expected.to_pylist()
    assert query(con).execute().days.tolist() == expected["days"].to_pylist()
    assert con.table("stays").days.sum().execute() == 20
    assert con.sql("SELECT ward FROM stays WHERE days > 5").ward.execute().tolist() == ["y"]


def test_explain_runs_nothing(con, session) -> None:
    before = session.last

    text = con.explain(con.table("stays").days.sum())

    assert "discloses:" in text and "cost:" in text
    assert session.last is before


def test_rows_in_memory_are_a_table_of_the_client(con) -> None:
    wards = ibis.memtable({"ward": ["x", "y"], "floor": [1, 2]})

    joined = con.table("stays").join(wards, "ward").order_by("patient")

    assert joined.floor.execute().tolist() == [1, 2, 1, 2]
    assert "of you" in con.explain(joined)
    assert con.create_table("prices", pd.DataFrame({"drug": ["a"], "price": [3]})).price.execute().tolist() == [3]
    con.drop_table("prices")
    assert "prices" not in con.list_tables()
    with pytest.raises(UnsupportedOperationError, match="'lists'"):
        con.create_table("nested", pd.DataFrame({"lists": [[1], [2]]}))


def test_what_is_not_supported_is_named(con) -> None:
    stays = con.table("stays")

    with pytest.raises(UnsupportedOperationError, match=r"SQL-006 .*STRING_AGG.*join their texts"):
        stays.ward.group_concat().execute()
    with pytest.raises(UnsupportedOperationError, match="create_view"):
        con.create_view("v", stays)
    with pytest.raises(UnsupportedOperationError, match="no SELECT"):
        con._safe_raw_sql("DROP TABLE stays").__enter__()
    with pytest.raises(UnsupportedOperationError, match="raw_sql"):
        con.raw_sql("DROP TABLE stays")
    with pytest.raises(OperationNotDefinedError, match="RowID"):
        stays.rowid().execute()
    with pytest.raises(TypeError, match=r"tacit\.connect"):
        ibis.tacit.connect("room.toml")
    with pytest.raises(SqlError, match="SQL-003"):
        con.sql("SELECT nobody FROM stays")


def test_small_groups_are_left_out(session) -> None:
    con = ibis.tacit.connect(session, min_group=3)
    drugs = con.table("drugs")

    with pytest.warns(UserWarning, match="3 groups are left out"):
        result = drugs.group_by("patient").agg(n=drugs.count()).execute()
    assert result.empty
    assert result.attrs["tacit.hidden_groups"] == "3"


def test_temporary_tables_end_with_the_connection(session) -> None:
    con = ibis.tacit.connect(session)
    con.create_table("passing", pd.DataFrame({"a": [1]}), temp=True)

    con.disconnect()

    assert "passing" not in session.tables and "stays" in session.tables


def test_moving_windows_and_times_of_numbers(con) -> None:
    stays = con.table("stays")

    moving = stays.days.mean().over(ibis.window(order_by="patient", preceding=1, following=0))
    shown = stays.mutate(moving=moving, at=stays.days.as_timestamp("s")).order_by("patient").execute()

    assert shown.moving.tolist() == [4.0, 6.5, 5.5, 3.5]
    assert shown["at"].tolist() == [pd.Timestamp(1970, 1, 1, 0, 0, s) for s in (4, 9, 2, 5)]


def test_a_result_for_one_party_is_read_there(session) -> None:
    con = ibis.tacit.connect(session, to=1)

    assert "to party1" in con.explain(con.table("stays").days.sum())
    assert con.table("stays").days.sum().execute() == 20


def test_joins_may_show_which_rows_match() -> None:
    with tacit.local(3, transport="memory", network="wan") as s:
        s.table("people", pd.DataFrame({"id": range(60), "age": range(60)}), party=0, unique="id")
        s.table("visits", pd.DataFrame({"who": range(40, 90)}), party=1)
        con, ordinary = ibis.tacit.connect(s, reveals="join_size"), ibis.tacit.connect(s)
        people, visits = con.table("people"), con.table("visits")
        expr = visits.join(people, visits.who == people.id).age.sum()

        assert "opens which rows have equal keys" in con.explain(expr)
        assert "opens which rows have equal keys" not in ordinary.explain(expr)
        assert con.execute(expr) == sum(range(40, 60))


def test_part_of_ibis_own_suite() -> None:
    chosen = "test_reduction_ops and no_cond or trivial_predicate and inner"
    came = outcomes("tacit", ["test_aggregation", "test_join"], ["-k", chosen, "-n", "0"])

    assert {r["test"]: r["reason"] for r in came if r["outcome"] == "failed"} == {}
    assert sum(r["outcome"] == "passed" for r in came) > 20
