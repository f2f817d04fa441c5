# SPDX-License-Identifier: Apache-2.0
"""What planning writes for owners is understood by them, and means the same once it is written anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

import tacit as tc
from tacit.frontends.sql.algebra import Home, relations
from tacit.frontends.sql.bind import bind
from tacit.frontends.sql.functions import SCALARS
from tacit.frontends.sql.homes import place
from tacit.frontends.sql.rewrite import rewrite
from tacit.session.engines import Postgres, duckdb_table, understood, with_relations, written
from tacit.session.session import Session

ROWS = (
    "(1, 12.50, 'Ada L.', '1815-12-10', '2024-02-29 12:34:56.789', true, 36),"
    "(2, -0.01, '', '1906-12-09', NULL, false, -7),"
    "(3, NULL, NULL, NULL, '1969-12-31 23:59:59', NULL, NULL),"
    "(4, 99999.99, 'it''s a%b_c\\d ÄÖ', '2000-01-31', '2000-01-01', true, 0)"
)
EXPRESSIONS = [
    "n = 36", "n <> 36", "n < 0", "n <= 0", "n > 0", "n >= 0", "n IS DISTINCT FROM 36", "n IN (36, 0)",
    "ok AND n > 0", "ok OR n > 0", "NOT ok", "n IS NULL", "n BETWEEN -7 AND 0", "s < 'b'", "s IN ('', 'x')",
    "n + 1", "n - 1", "n * 3", "-n", "n // 7", "n % 5", "fee + 1.5", "fee * n", "abs(n)", "sign(n)", "sign(fee)",
    "round(fee, 1)", "floor(fee)", "ceil(fee)", "trunc(fee)", "least(n, 5)", "greatest(n, id)", "least(s, 'B')",
    "coalesce(n, 5)", "CASE WHEN n > 0 THEN 1 WHEN n < 0 THEN 2 ELSE 3 END", "CAST(n AS BIGINT)", "CAST(s AS VARCHAR)",
    "CAST(fee AS INTEGER)", "CAST(n AS DECIMAL(9,2))", "nullif(n, 0)",
    "year(born)", "extract(month FROM born)", "extract(quarter FROM born)", "extract(doy FROM born)", "isodow(born)",
    "extract(week FROM born)", "dayofweek(born)", "extract(hour FROM seen)", "extract(minute FROM seen)",
    "extract(second FROM seen)", "epoch(seen)", "date_trunc('month', born)", "date_trunc('hour', seen)", "born + 5",
    "born + INTERVAL 1 MONTH", "born - INTERVAL 2 YEAR", "seen + INTERVAL 90 MINUTE", "seen - INTERVAL 1 DAY",
    "date_diff('month', born, DATE '2020-02-29')", "date_diff('day', born, DATE '2020-02-29')",
    "date_diff('year', born, DATE '2020-02-29')", "make_date(2020, 2, id)", "strftime(born, '%Y-%m-%d')",
    "s LIKE 'A%'", "s NOT LIKE '%s a%'", "s LIKE '%!%b!_%' ESCAPE '!'", "s ILIKE 'ada%'", "s LIKE '%\\d%'",
    "starts_with(s, 'it')", "ends_with(s, 'L.')", "contains(s, 'a')", "s || '-' || s", "concat(s, '!')",
    "substring(s, 2, 3)", "substring(s, 2)", "left(s, 2)", "right(s, 2)", "trim(s)", "ltrim(s)", "rtrim(s)",
    "upper(s)", "lower(s)", "reverse(s)", "replace(s, 'a', 'xy')", "lpad(s, 5, '*')", "rpad(s, 5, '*')",
    "repeat(s, 2)", "split_part(s, ' ', 2)", "length(s)", "strpos(s, 'a')", "ascii(s)", "md5(s)",
    "n & 12", "n | 12", "xor(n, 12)", "~n", "id << n % 3 + 2", "n >> 2", "translate(s, 'ab', 'xy')",
    "substring(s, id, 2)", "repeat(s, id)", "make_timestamp(2020, 2, id, 3, 4, 5.25)",
    "time_bucket(INTERVAL 6 HOUR, seen)", "extract(millisecond FROM seen)", "extract(microsecond FROM seen)",
    "extract(isoyear FROM born)", "seen + INTERVAL (id) HOUR",
]  # fmt: skip
DUCKDB_ONLY = [
    "regexp_matches(s, 'A.*L')", "regexp_full_match(s, 'A.*', 'i')", "regexp_replace(s, '[aeiou]', '-', 'g')",
    "strip_accents(s)", "try_strptime(s, '%Y-%m-%d')", "try_cast(s AS INTEGER)", "levenshtein(s, 'Ada')",
    "regexp_extract(s, '(A)(d)', 2)",
]  # fmt: skip
DOUBLES = [
    "sin(n)", "cos(n)", "tan(n)", "cot(n + 0.5)", "asin(n / 100)", "acos(n / 100)", "atan(n)", "atan2(n, id)",
    "cbrt(n)", "pow(abs(n), id - 2)",
    "fee / n", "sqrt(abs(n))", "exp(n / 10)", "ln(id)",
]  # fmt: skip
QUERIES = [
    "SELECT ok, count(*), count(n), sum(n), sum(fee), min(s), max(s), min(fee), count(DISTINCT s) FROM t GROUP BY ok",
    "SELECT ok, count(*) FILTER (WHERE n > 0), bool_and(n > 0), bool_or(n > 0) FROM t GROUP BY ok HAVING count(*) > 1",
    "SELECT DISTINCT ok, n > 0 FROM t",
    "SELECT id FROM t ORDER BY s DESC NULLS FIRST, id LIMIT 3 OFFSET 1",
    "SELECT id FROM t UNION ALL SELECT n FROM t",
    "SELECT id FROM t EXCEPT SELECT n + 1 FROM t",
    "SELECT a.id, b.s FROM t a JOIN t b ON a.id = b.id LEFT JOIN t c ON c.id = a.n WHERE c.id IS NULL",
    "SELECT id FROM t WHERE id IN (SELECT id FROM t WHERE ok) AND NOT EXISTS (SELECT 1 FROM t u WHERE u.n = t.id)",
    "SELECT id, n NOT IN (SELECT id FROM t) FROM t",
    "SELECT id, row_number() OVER (PARTITION BY ok ORDER BY id), sum(n) OVER (ORDER BY id), lag(n) OVER (ORDER BY id) "
    "FROM t",
    "SELECT id, rank() OVER (ORDER BY ok), max(s) OVER (PARTITION BY ok) FROM t",
    "WITH x AS (SELECT ok, sum(n) AS m FROM t GROUP BY ok) SELECT a.ok, b.m FROM x a JOIN x b ON a.ok = b.ok",
]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Session]:
    import duckdb

    folder: Path = tmp_path_factory.mktemp("data")
    columns = "id INTEGER, fee DECIMAL(9,2), s VARCHAR, born DATE, seen TIMESTAMP, ok BOOLEAN, n INTEGER"
    with duckdb.connect() as db:
        db.execute(f"CREATE TABLE t ({columns}); INSERT INTO t VALUES {ROWS}")
        db.execute(f"COPY t TO '{folder / 't.parquet'}'")
    with psycopg.connect(postgres) as connection:
        connection.execute(f"CREATE TABLE home_t ({columns}); INSERT INTO home_t VALUES {ROWS}")
    with tc.local(1, transport="memory", protocol="plain", data={0: folder}) as made:
        made.table("duck", "t.parquet", party=0, unique="id")
        made.table("post", f"{postgres}#home_t", party=0, unique="id")
        yield made


def sql(text: str, table: str) -> str:
    """A query over the one table, which it calls t."""
    return re.sub(r"(FROM|JOIN) t\b( [abcu]\b)?", lambda m: f"{m[1]} {table} AS{m[2] or ' t'}", text)


def check(session: Session, text: str, table: str, postgres: str) -> None:
    """Every home's query gives the same as the client wrote it and as the owner understands it."""
    query = place(rewrite(bind(sql(text, table), session._relations.catalogue)))
    found = [item for item in relations(query.relation) if isinstance(item, Home)]
    assert found
    for home in found:
        tree = understood(home.query, home.dialect, [name for name, _ in home.sources])
        if home.dialect == "postgres":
            run: Any = Postgres(postgres).rows
            ours = home.query.replace('"post"', '"public"."home_t"')
            theirs = written(with_relations(tree, {"post": "home_t"}), "postgres")
        else:
            run = partial(in_duckdb, session._backend._sources[0]._find(home.sources[0][1], {}))  # type: ignore[attr-defined]
            ours, theirs = home.query, written(tree, "duckdb")
        assert sorted(map(str, run(ours))) == sorted(map(str, run(theirs)))
        session._relations.leaf(home)


def in_duckdb(table: Any, text: str) -> list[tuple[Any, ...]]:
    return list(zip(*(c.to_pylist() for c in duckdb_table(text, {"duck": table}).columns), strict=True))


@pytest.mark.parametrize("text", [*EXPRESSIONS, *DUCKDB_ONLY])
def test_expressions_mean_the_same_in_duckdb(session: Session, postgres: str, text: str) -> None:
    check(session, f"SELECT id, {text} AS x FROM t", "duck", postgres)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expressions_mean_the_same_in_postgres(session: Session, postgres: str, text: str) -> None:
    check(session, f"SELECT id, {text} AS x FROM t", "post", postgres)


@pytest.mark.parametrize("table", ["duck", "post"])
@pytest.mark.parametrize("text", [*QUERIES, *(f"SELECT id FROM t WHERE {e} > 0.25" for e in DOUBLES)])
def test_queries_mean_the_same(session: Session, postgres: str, text: str, table: str) -> None:
    check(session, text, table, postgres)


def test_every_function_is_among_the_examples() -> None:
    text = " ".join([*EXPRESSIONS, *DUCKDB_ONLY, *DOUBLES])
    symbols = re.findall(
        r"\w+",
        "eq ne lt le gt ge distinct and or not is_null add sub mul neg div idiv mod in like case cast date_part "
        "add_days add_months add_micros bit_and bit_or bit_xor bit_not bit_left bit_right date_bin substr",
    )
    assert not {name for name in SCALARS - {*symbols} if f"{name}(" not in text}
