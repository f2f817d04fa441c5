# SPDX-License-Identifier: Apache-2.0
"""Relations as text for PostgreSQL: the answers of a real server against DuckDB's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import psycopg
import pytest
from test_bind import KEYS, QUERIES, TABLES

from sql_oracle import catalogue, connect, rows_in_order
from tacit.errors import SqlError
from tacit.frontends.sql.bind import bind
from tacit.frontends.sql.catalogue import Catalogue
from tacit.frontends.sql.render import render


@pytest.fixture(scope="module")
def both(postgres: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, Catalogue, psycopg.Connection[Any]]]:
    """The small tables in DuckDB and in PostgreSQL."""
    connection = connect()
    connection.execute(TABLES)
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE SCHEMA small; SET search_path = small; SET TimeZone = 'UTC'")
        server.execute(TABLES.replace("DOUBLE", "DOUBLE PRECISION"))
        yield connection, catalogue(connection, {"u": [("k",)]}), server


def comparable(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows whose numbers compare by value."""
    return rows_in_order([tuple(float(v) if hasattr(v, "quantize") else v for v in row) for row in rows])


@pytest.mark.parametrize("query", QUERIES)
def test_postgres_computes_what_duckdb_computes(
    both: tuple[duckdb.DuckDBPyConnection, Catalogue, psycopg.Connection[Any]], query: str
) -> None:
    connection, tables, server = both
    relation = bind(query, tables).relation
    names = {t.name: f"small.{t.name}" for t in tables.tables.values()}
    try:
        text = render(relation, "postgres", names)
    except SqlError as error:
        assert error.code == "SQL-006" and any(w in query for w in ("regexp", "similar", "~"))
        return
    expected = connection.cursor().sql(query).fetchall()
    assert comparable(server.execute(text.encode()).fetchall()) == comparable(expected), text


def test_equal_queries_have_equal_texts() -> None:
    connection = connect()
    connection.execute(TABLES)
    tables = catalogue(connection, KEYS)
    names = {t.name: t.name for t in tables.tables.values()}
    query = "select a, sum(b) from t where exists (select 1 from u where u.a = t.a) group by a"
    first, second = (render(bind(query, tables).relation, "duckdb", names) for _ in range(2))
    assert first == second
