# SPDX-License-Identifier: Apache-2.0
"""Relations as text for PostgreSQL: the answers of a real server against DuckDB's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import psycopg
import pytest
from test_bind import QUERIES, TABLES

from sql_oracle import catalogue, connect, rows_in_order
from sql_random import Queries
from tacit.bench import tpch as benchmark
from tacit.errors import SqlError
from tacit.frontends.sql.bind import bind
from tacit.frontends.sql.catalogue import Catalogue
from tacit.frontends.sql.render import render
from tacit.session.engines import understood, written


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
    agree(both, query)


@pytest.mark.parametrize("seed", range(1000, 1100, 10))
def test_postgres_computes_random_queries_as_duckdb_does(
    both: tuple[duckdb.DuckDBPyConnection, Catalogue, psycopg.Connection[Any]], seed: int
) -> None:
    for one in range(seed, seed + 10):
        agree(both, Queries(one).query())


def agree(both: tuple[duckdb.DuckDBPyConnection, Catalogue, psycopg.Connection[Any]], query: str) -> None:
    """The two give the same rows, unless the text cannot be had in PostgreSQL."""
    connection, tables, server = both
    relation = bind(query, tables).relation
    names = {t.name: ("small", t.name) for t in tables.tables.values()}
    try:
        text = render(relation, "postgres", names)
    except SqlError as error:
        assert error.code == "SQL-006" and any(w in query for w in ("regexp", "similar", "~", "strptime"))
        return
    expected = connection.cursor().sql(query).fetchall()
    assert comparable(server.execute(text.encode()).fetchall()) == comparable(expected), text


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
def test_parties_accept_what_is_rendered_and_write_it_alike(dialect: str) -> None:
    connection = connect()
    connection.execute(TABLES)
    tables = catalogue(connection, {"u": [("k",)]})
    for query in QUERIES:
        if dialect == "postgres" and any(w in query for w in ("regexp", "strptime")):
            continue
        text = render(bind(query, tables).relation, dialect, {t: (t,) for t in tables.tables})
        again = written(understood(text, dialect, list(tables.tables)), dialect)
        if dialect == "duckdb":
            mine, theirs = (connection.cursor().sql(t).fetchall() for t in (text, again))
            assert rows_in_order(mine) == rows_in_order(theirs), query


def test_equal_queries_have_equal_texts() -> None:
    connection = connect()
    connection.execute(TABLES)
    tables = catalogue(connection, {name: [key] for name, key in benchmark.KEYS.items()})
    names = {t.name: (t.name,) for t in tables.tables.values()}
    query = "select a, sum(b) from t where exists (select 1 from u where u.a = t.a) group by a"
    first, second = (render(bind(query, tables).relation, "duckdb", names) for _ in range(2))
    assert first == second
