# SPDX-License-Identifier: Apache-2.0
"""The engines of owners: what a client sends is either understood to be harmless or refused, and both are locked."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from tacit.errors import InputError
from tacit.frontends.sql.types import BIGINT, BOOLEAN, DATE, DOUBLE, TEXT, TIMESTAMP, SqlType, decimal
from tacit.session import engines
from tacit.session.engines import Postgres, duckdb_table, understood, with_relations, written

TABLE = pa.table({"a": [1, 2, None], "s": ["x", "hidden987654", None]})

ANYWHERE = [
    "",
    ";",
    "SELEC",
    "SELECT 1; SELECT 2",
    "SELECT a FROM t; DROP TABLE t",
    "DROP TABLE t",
    "DELETE FROM t",
    "UPDATE t SET a = 1",
    "INSERT INTO t VALUES (1, 'x')",
    "CREATE TABLE u AS SELECT * FROM t",
    "SELECT * INTO u FROM t",
    "WITH x AS (DELETE FROM t RETURNING a) SELECT a FROM x",
    "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT n FROM x",
    "WITH x AS (SELECT a FROM x) SELECT a FROM x",
    "WITH x AS (SELECT a FROM y), y AS (SELECT a FROM t) SELECT a FROM x",
    "SELECT (WITH x AS (SELECT 1) SELECT 1) FROM x",
    "WITH x AS NOT MATERIALIZED (SELECT a FROM t) SELECT a FROM x",
    "SELECT 1 FROM " + ", ".join(f"t AS t{k}" for k in range(101)),
    "SELECT a FROM t WHERE " + "(" * 16 + "a" + " NOT BETWEEN 1 AND 2)" * 16,
    "SELECT " + "nullif(" * 18 + "a" + ", 7)" * 18 + " FROM t",
    "SELECT " + "CASE " * 16 + "a" + " WHEN 1 THEN 1 WHEN 2 THEN 2 END" * 16 + " FROM t",
    "SELECT a + a AS b0" + "".join(f", b{k} + b{k} AS b{k + 1}" for k in range(18)) + " FROM t",
    "SELECT a FROM t FOR UPDATE",
    "SELECT * FROM other",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_user",
    "SELECT * FROM main.t",
    "SELECT (SELECT count(*) FROM pg_settings) FROM t",
    "SELECT a FROM t WHERE a IN (SELECT a FROM other)",
    "SELECT * FROM generate_series(1, 1000000000)",
    "SELECT unnest([1, 2]) FROM t",
    "SELECT a FROM t TABLESAMPLE SYSTEM (10)",
    "SELECT current_user FROM t",
    "SELECT current_setting('data_directory') FROM t",
    "SELECT version() FROM t",
    "SELECT now() FROM t",
    "SELECT random() FROM t",
    "SELECT repeat(s, 1000000000) FROM t",
    "SELECT lpad(s, 1000000000, 'x') FROM t",
    "SELECT sleep(100) FROM t",
    "SELECT string_agg(s, ',') FROM t",
    "SELECT s::json FROM t",
    "SELECT s::regclass FROM t",
    "SELECT ? FROM t",
    "SELECT $1 FROM t",
    "SELECT {} FROM t".format("(" * 3000 + "a" + ")" * 3000),
    "SELECT a FROM t WHERE " + " AND ".join(["(" * 50 + "a = 1" + ")" * 50] * 20) + " AND f(a)",
    "SET threads = 8",
    "EXPLAIN SELECT a FROM t",
    "VALUES (1)",
]
DUCKDB = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_parquet('x.parquet')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'x.csv'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "FROM t SELECT getenv('HOME')",
    "SELECT getenv('HOME') FROM t",
    "SELECT getvariable('x') FROM t",
    "COPY t TO '/tmp/x.csv'",
    "COPY (SELECT a FROM t) TO '/tmp/x.csv'",
    "ATTACH '/tmp/x.db' AS x",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "PIVOT t ON s",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('other')",
    "SELECT * FROM postgres_scan('x', 'y', 'z')",
    "SELECT COLUMNS('.*') FROM t",
    "SELECT list_transform([1], x -> x + 1) FROM t",
    "SELECT t FROM t, LATERAL (SELECT * FROM range(10))",
    "CALL pragma_version()",
    "EXPORT DATABASE '/tmp/x'",
]
POSTGRES = [
    "WITH pg_stats AS (SELECT * FROM pg_stats) SELECT * FROM pg_stats",
    'WITH "PG_STATS" AS (SELECT a FROM t) SELECT * FROM pg_stats',
    "SELECT pg_read_file('/etc/passwd') FROM t",
    "SELECT pg_ls_dir('/') FROM t",
    "SELECT pg_sleep(100) FROM t",
    "SELECT lo_import('/etc/passwd') FROM t",
    "SELECT set_config('statement_timeout', '0', false) FROM t",
    "SELECT dblink('x', 'y') FROM t",
    "SELECT query_to_xml('SELECT 1', true, true, '') FROM t",
    "SELECT pg_terminate_backend(1) FROM t",
    "SELECT ('/etc/passwd'::text).pg_read_file FROM t",
    "SELECT a FROM t WHERE s ~ '(a+)+$'",
    "COPY t TO PROGRAM 'id'",
    "COPY (SELECT a FROM t) TO STDOUT",
    "DO $$ BEGIN END $$",
    "SELECT nextval('s') FROM t",
    "SELECT a FROM ONLY pg_class",
    "SELECT * FROM ROWS FROM (pg_ls_dir('/'))",
    "SELECT 'x'::oid FROM t",
    "LISTEN x",
]


@pytest.mark.parametrize("text", [*ANYWHERE, *DUCKDB])
def test_a_hostile_text_for_duckdb_is_not_understood(text: str) -> None:
    with pytest.raises(InputError, match="INPUT-019"):
        understood(text, "duckdb", ["t"])


@pytest.mark.parametrize("text", [*ANYWHERE, *POSTGRES])
def test_a_hostile_text_for_postgres_is_not_understood(text: str) -> None:
    with pytest.raises(InputError, match="INPUT-019"):
        understood(text, "postgres", ["t"])


def test_another_dialect_is_none_of_ours() -> None:
    with pytest.raises(InputError, match="INPUT-019"):
        understood("SELECT a FROM t", "spark", ["t"])


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/passwd'",
        "COPY t TO '/tmp/tacit-must-not-exist.csv'",
        "ATTACH '/tmp/tacit-must-not-exist.db' AS x",
        "INSTALL httpfs",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
        "SELECT * FROM TABLE",
        "SELECT a / 0, error('hidden987654') FROM t",
        "SELECT CAST(s AS INTEGER) FROM t",
    ],
)
def test_duckdb_itself_is_locked_and_repeats_no_value(text: str) -> None:
    with pytest.raises(InputError, match="INPUT-020") as raised:
        duckdb_table(text, {"t": TABLE}, "clinic")

    assert "hidden" not in str(raised.value) and raised.value.party == "clinic"
    assert not list(Path("/tmp").glob("tacit-must-not-exist*"))


def test_duckdb_ends_a_query_that_takes_too_long_or_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    many = pa.table({"a": range(100_000)})
    monkeypatch.setattr(engines, "TIMEOUT_S", 0.3)
    began = time.monotonic()
    with pytest.raises(InputError, match=r"INPUT-020.*took more"):
        duckdb_table("SELECT count(*) FROM t x, t y WHERE x.a * y.a % 7 = 3", {"t": many})
    assert time.monotonic() - began < 10

    monkeypatch.setattr(engines, "TIMEOUT_S", 60.0)
    monkeypatch.setattr(engines, "_LOCKED", ("memory_limit = '20MB'", *engines._LOCKED[-1:]))
    with pytest.raises(InputError, match=r"INPUT-020.*memory"):
        duckdb_table("SELECT x.a FROM t x, t y ORDER BY x.a * y.a LIMIT 10000000", {"t": many})


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
@pytest.mark.parametrize(
    "text",
    [
        """SELECT "a" AS "c0", COUNT(*) AS "c1" FROM "t" WHERE NOT "s" IS NULL GROUP BY "a" ORDER BY "c0" LIMIT 5""",
        """WITH "x" AS (SELECT "a" FROM "t") SELECT SUM("x"."a") OVER (PARTITION BY "y"."a") FROM "x", "x" AS "y\"""",
        """SELECT CASE WHEN "a" IN (1, 2) THEN CAST("a" AS DECIMAL(9, 2)) ELSE 0.5 END FROM "t" UNION ALL SELECT 1.5""",
        """WITH "x" AS (SELECT 1 AS "n"), "y" AS (SELECT "n" FROM "x") SELECT (SELECT MAX("n") FROM "y") FROM "t\"""",
        """WITH "t" AS (SELECT "a" FROM "t") SELECT "a" FROM "t\"""",
        "SELECT " + ", ".join(f'"t"."a" + {k} AS "a"' for k in range(300)) + ' FROM "t"',
        """SELECT "a" FROM "t" WHERE EXISTS(SELECT 1 FROM "t" AS "u" WHERE "u"."a" = "t"."a") AND "s" LIKE 'x%'""",
    ],
)
def test_ordinary_queries_are_understood_as_they_are(text: str, dialect: str) -> None:
    assert written(understood(text, dialect, ["t"]), dialect) == text


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
def test_a_text_that_is_too_deep_to_be_written_is_refused(dialect: str) -> None:
    with pytest.raises(InputError, match=r"INPUT-019.*clinic"):
        written(understood("SELECT a" + "::int" * 5000 + " FROM t", dialect, ["t"], "clinic"), dialect, "clinic")


def test_names_are_quoted_so_that_none_is_a_keyword() -> None:
    assert (
        written(understood("SELECT User FROM T /* note */", "postgres", ["t"]), "postgres") == 'SELECT "user" FROM "t"'
    )


# --- Postgres -------------------------------------------------------------------------------------------------------

COLUMNS = {
    "id": BIGINT, "name": TEXT, "born": DATE, "seen": TIMESTAMP, "fee": decimal(10, 2), "weight": DOUBLE, "ok": BOOLEAN,
    "age": SqlType("int", 16), "code": TEXT, "address": None,
}  # fmt: skip


def test_columns_of_postgres_have_the_types_of_sql(clinic: str) -> None:
    assert dict(Postgres(clinic).columns("patients")) == COLUMNS
    assert [name for name, _ in Postgres(clinic).columns("ward.dear")] == ["patient", "cost"]


def test_values_of_postgres_come_over_exactly(clinic: str) -> None:
    names = [n for n, kind in COLUMNS.items() if kind is not None]
    tree = understood(f"SELECT {', '.join(names)} FROM p ORDER BY id", "postgres", ["p"])
    text = written(with_relations(tree, {"p": "patients"}), "postgres")

    table = Postgres(clinic).table(text, names, [k for k in COLUMNS.values() if k is not None])

    assert table.column("name").to_pylist() == ["Ada", "", None, 'a "quoted",\nbroken — line']
    assert [str(v) for v in table.column("fee").to_pylist()] == ["12.50", "-0.01", "None", "99999999.99"]
    assert table.column("weight").to_pylist() == [61.25, -3.5, None, 0.0]
    assert table.column("ok").to_pylist() == [True, False, None, True]
    assert [str(v) for v in table.column("born").to_pylist()] == ["1815-12-10", "1906-12-09", "None", "2000-01-01"]
    assert str(table.column("seen")[0]) == "2024-02-29 12:34:56.789000"
    assert [c and c.strip() for c in table.column("code").to_pylist()] == ["ab", None, "wxyz", ""]
    empty = Postgres(clinic).table(f"{text.partition(' ORDER')[0]} WHERE id < 0", names, [BIGINT] * len(names))
    assert empty.num_rows == 0 and empty.column_names == names


@pytest.mark.parametrize("start", ["'(x+x+)+y'", "s", "s || s"])
def test_a_part_of_a_text_is_no_pattern(clinic: str, start: str) -> None:
    text = written(understood(f"SELECT substring(s FROM {start}) AS c FROM t", "postgres", ["t"]), "postgres")
    query = text.replace('FROM "t"', "FROM (SELECT repeat('x', 30) AS s) AS t")

    with pytest.raises(InputError, match=r"INPUT-020.*22P02"):
        Postgres(clinic).table(query, ["c"], [TEXT])
    assert written(understood(text, "postgres", ["t"]), "postgres") == text


def test_a_table_is_itself_inside_an_expression_of_its_name(clinic: str) -> None:
    tree = understood("WITH p AS (SELECT id FROM p WHERE id > 2) SELECT count(*) AS n FROM p", "postgres", ["p"])

    text = written(with_relations(tree, {"p": "patients"}), "postgres")

    assert Postgres(clinic).table(text, ["n"], [BIGINT]).to_pylist() == [{"n": 2}]


def test_text_means_the_same_whatever_the_database_says_of_backslashes(clinic: str) -> None:
    with psycopg.connect(clinic, autocommit=True) as connection:
        connection.execute("ALTER ROLE owner SET standard_conforming_strings = off")
    try:
        tree = understood(r"SELECT '\' AS a, ' FROM patients --' AS b FROM p WHERE id = 1", "postgres", ["p"])
        text = written(with_relations(tree, {"p": "patients"}), "postgres")
        table = Postgres(clinic).table(text, ["a", "b"], [TEXT, TEXT])
    finally:
        with psycopg.connect(clinic, autocommit=True) as connection:
            connection.execute("ALTER ROLE owner RESET standard_conforming_strings")

    assert table.to_pylist() == [{"a": "\\", "b": " FROM patients --"}]


def test_postgres_gives_no_more_than_a_result_may_have(clinic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "RESULT_MAX", 20)

    with pytest.raises(InputError, match=r"INPUT-020.*20 bytes"):
        Postgres(clinic).table("SELECT repeat('x', 30)", ["a"], [TEXT])


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM patients RETURNING id",
        "WITH x AS (DELETE FROM patients RETURNING id) SELECT id FROM x",
        "SELECT 1 / 0",
        "SELECT CAST(word AS integer) FROM secret",
        "SELECT * FROM nowhere",
    ],
)
def test_postgres_itself_only_reads_and_repeats_no_value(clinic: str, text: str) -> None:
    with pytest.raises(InputError, match="INPUT-020") as raised:
        Postgres(clinic, "clinic").table(text, ["a"], [BIGINT])

    assert "hidden" not in str(raised.value) and "nowhere" not in str(raised.value)


def test_postgres_ends_a_query_that_takes_too_long(clinic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_SETTINGS", "-c default_transaction_read_only=on -c statement_timeout=300")

    with pytest.raises(InputError, match=r"INPUT-020.*57014, QueryCanceled"):
        Postgres(clinic).table("SELECT pg_sleep(20)", ["a"], [TEXT])


@pytest.mark.parametrize("url", ["postgresql://owner:swordfish@127.0.0.1:9/none", "mysql://owner:swordfish@db/none"])
def test_a_database_that_is_not_there_is_an_error_without_its_password(url: str) -> None:
    database = Postgres(url, "clinic")

    with pytest.raises(InputError, match=r"INPUT-020.*cannot be asked.*check the URL") as raised:
        database.columns("t")

    assert "swordfish" not in str(raised.value) + repr(database)
