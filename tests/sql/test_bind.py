# SPDX-License-Identifier: Apache-2.0
"""Binding against DuckDB: what a bound query computes, its types and its names."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from sql_oracle import catalogue, check, connect
from sql_random import Queries
from tacit.bench import tpch as benchmark
from tacit.errors import SqlError
from tacit.frontends.sql.algebra import Call, Constant, Filter, Group, Join, Project, Relation, sources
from tacit.frontends.sql.bind import bind
from tacit.frontends.sql.bounds import keys_of, rows_of
from tacit.frontends.sql.catalogue import Catalogue, Field, Part, Table
from tacit.frontends.sql.types import BIGINT, TEXT, decimal
from tacit.plan import Interval

HERE = Path(__file__).parent
QUERIES = [q for q in (HERE / "queries.sql").read_text().splitlines() if not q.startswith("--")]
TABLES = """
CREATE TABLE t(a INT, b BIGINT, c DECIMAL(12,2), s VARCHAR, d DATE, p BOOLEAN, f DOUBLE, ts TIMESTAMP);
INSERT INTO t VALUES
    (1, 10, 1.50, 'x', '2020-01-01', true, 0.5, '2020-01-01 10:00:00'),
    (2, NULL, 2.25, 'y', '2020-03-31', false, 1.25, '2021-05-05 00:00:00'),
    (2, 20, NULL, 'xy', NULL, NULL, NULL, NULL),
    (NULL, 5, 0.00, NULL, '1999-12-31', true, -2.5, '1999-12-31 23:59:59'),
    (3, 7, -7.75, '', '2021-02-28', false, 0.0, '2020-02-29 12:30:15'),
    (3, 7, -7.75, '', '2021-02-28', false, 0.0, '2020-02-29 12:30:15');
CREATE TABLE u(a INT, k INT, v DECIMAL(8,3), s VARCHAR);
INSERT INTO u VALUES (1, 1, 1.5, 'x'), (2, 2, 2.5, 'y'), (2, 3, NULL, 'z'), (NULL, 4, 4.0, 'x'), (4, 5, 0.125, NULL);
CREATE TABLE e(a INT, b INT);
"""


@pytest.fixture(scope="module")
def small() -> tuple[duckdb.DuckDBPyConnection, Catalogue]:
    connection = connect()
    connection.execute(TABLES)
    return connection, catalogue(connection, {"u": [("k",)]})


@pytest.fixture(scope="module")
def tpch() -> tuple[duckdb.DuckDBPyConnection, Catalogue]:
    connection = connect()
    for name, rows in benchmark.generate(benchmark.SCALE).items():
        connection.register("rows", rows)
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM rows")
    return connection, catalogue(connection, {name: [key] for name, key in benchmark.KEYS.items()})


@pytest.mark.parametrize("query", QUERIES)
def test_a_bound_query_gives_what_duckdb_gives(small: tuple[duckdb.DuckDBPyConnection, Catalogue], query: str) -> None:
    # A name that DuckDB makes of a whole subquery, of an INTERVAL or of a synonym is not imitated.
    plain = not any(w in query.lower().split(" from ")[0] for w in ("(select", "interval", "variance", "substr("))
    odd = any(
        w in query.lower()
        for w in ("window w", "exists", "with y", "ltrim", "::text", "position", "filter (where b > 5) over")
    )
    check(*small, query, names=plain and not odd)


@pytest.mark.parametrize("seed", range(0, 200, 10))
def test_random_queries_give_what_duckdb_gives(small: tuple[duckdb.DuckDBPyConnection, Catalogue], seed: int) -> None:
    for one in range(seed, seed + 10):
        check(*small, Queries(one).query(), names=False)


@pytest.mark.parametrize("number", range(1, 23))
def test_the_queries_of_tpch_give_what_duckdb_gives(
    tpch: tuple[duckdb.DuckDBPyConnection, Catalogue], number: int
) -> None:
    check(*tpch, benchmark.text(number))


REFUSED = [
    # The text, its code, and words of the message.
    ("select", "SQL-001", "names no columns"),
    ("select a from", "SQL-001", "line 1"),
    ("select 1; select 2", "SQL-001", "2 statements"),
    ("select a from nowhere", "SQL-002", "'nowhere' at line 1, column 15"),
    ("select x.a from t", "SQL-003", "'x.a'"),
    ("select t.* , z.* from t", "SQL-002", "'z'"),
    ("select a from tt", "SQL-002", "did you mean t?"),
    ("select b,\n  aa from t", "SQL-003", "line 2, column 3"),
    ("select a from t group by 4", "SQL-003", "GROUP BY 4"),
    ("select a from t order by 2", "SQL-003", "from 1 to 1"),
    ("select sum(a) over w from t", "SQL-003", "window 'w'"),
    ("select * from t join u using (b)", "SQL-003", "USING"),
    ("select * exclude (zz) from t", "SQL-003", "'zz'"),
    ('select a from t where s = "x y"', "SQL-003", "single quotes: 'x y'"),
    ("select a from t, u", "SQL-004", "column of t or of u"),
    ("with q as (select 1), Q as (select 2) select * from q", "SQL-004", "two queries of WITH"),
    ("select 1 from t, t", "SQL-004", "two tables"),
    ("select a + s from t", "SQL-005", "(INTEGER, VARCHAR)"),
    ("select * from t where s > 1", "SQL-005", "line 1, column 23"),
    ("select sum(s) from t", "SQL-005", "SUM"),
    ("select sum(sum(a)) from t", "SQL-005", "aggregate"),
    ("select a from t where sum(a) > 1", "SQL-005", "WHERE"),
    ("select a from t where row_number() over () = 1", "SQL-005", "window function"),
    ("select row_number() from t", "SQL-005", "OVER"),
    ("select rank() over () from t", "SQL-005", "needs an order"),
    ("select b from t group by a", "SQL-005", "neither grouped nor aggregated"),
    ("select * from t having count(*) > 1", "SQL-005", "neither grouped"),
    ("select a from t union select s from u", "SQL-005", "UNION"),
    ("select a from t union select a, k from u", "SQL-005", "1 columns on one side and 2"),
    ("select date '2020-02-31'", "SQL-005", "no DATE"),
    ("select 'abc'::int", "SQL-005", "no INTEGER"),
    ("select cast(d as int) from t", "SQL-005", "cannot be cast"),
    ("select (select a, k from u)", "SQL-005", "2 columns"),
    ("select a in (select a, k from u) from t", "SQL-005", "1 with 2"),
    ("select quantile_cont(a, 1.5) from t", "SQL-005", "fraction"),
    ("select quantile_cont(a, b) from t", "SQL-005", "fraction"),
    ("values (1), (2, 3)", "SQL-005", "differ in length"),
    ("insert into t values (1)", "SQL-006", "INSERT"),
    ("select a from t union by name select a from u", "SQL-006", "BY NAME"),
    ("select a from t limit (select 1)", "SQL-006", ""),
    ("select a from t limit 10 percent", "SQL-006", "percent"),
    ("select distinct on (a) a, b from t qualify rank() over (order by b) = 1", "SQL-006", "DISTINCT ON"),
    ("select distinct a from t order by b", "SQL-006", "ORDER BY"),
    ("select * from t asof join u on t.a > u.a", "SQL-006", "ASOF"),
    ("select * from t tablesample 10 percent", "SQL-006", "TABLESAMPLE"),
    ("select * from t, lateral (select 1) x", "SQL-006", "LATERAL"),
    ("select * from t, unnest([1]) x", "SQL-006", "UNNEST"),
    ("select * from read_csv('/etc/passwd')", "SQL-006", "register the file"),
    ("select * from 'x.parquet'", "SQL-002", ""),
    ("with recursive r as (select 1 union all select * from r) select * from r", "SQL-006", "RECURSIVE"),
    ("select a from t for update", "SQL-006", "FOR UPDATE"),
    ("select ~a + 1 from t", "SQL-006", "parentheses"),
    ("select a & 1 | 2 from t", "SQL-006", "parentheses"),
    ("select first(a) from t", "SQL-006", "ORDER BY"),
    ("select repeat(s, b + 5000) from t", "SQL-006", "LEAST"),
    ("select string_agg(s, ',') from t", "SQL-006", "STRING_AGG"),
    ("select nope(a) from t", "SQL-006", "NOPE"),
    ("select a from t where a = s", "SQL-005", "= does not take"),
    ("select ? from t", "SQL-006", "a parameter in SELECT"),
    ("explain select a from t", "SQL-006", "explain()"),
    ("show tables", "SQL-006", "session.tables"),
    ("select random()", "SQL-006", "same result"),
    ("select s like s from t", "SQL-006", "pattern"),
    ("select ts - ts from t", "SQL-006", "DATE_DIFF"),
    ("select interval '1' day", "SQL-006", "INTERVAL"),
    ("select d + interval (a) month from t", "SQL-006", "constant number"),
    ("select to_timestamp(a) from t", "SQL-006", "EPOCH_MS"),
    ("select time_bucket(interval 1 month, d) from t", "SQL-006", "width"),
    ("select max((a, b)) from t", "SQL-006", "MAX"),
    ("select (a, b) from t", "SQL-006", "rows compare"),
    ("select (a, b) < (1, 2, 3) from t", "SQL-005", "2 values are compared with 3"),
    ("select (a, b) = b from t", "SQL-005", "2 values are compared with 1"),
    ("select nth_value(a, b) over (order by a) from t", "SQL-006", "line 1, column 21"),
    ("select percent_rank() over () from t", "SQL-005", "order"),
    ("select sum(a) over (order by a range between 1 preceding and current row) from t", "SQL-006", "column 46"),
    ("select sum(a) over (order by d range interval 1 day preceding) from t", "SQL-006", "join the table with itself"),
    ("select sum(a) over (order by a groups 1 preceding) from t", "SQL-006", "GROUPS with an offset"),
    ("select sum(a) over (order by a rows 1 preceding exclude ties) from t", "SQL-006", "EXCLUDE"),
    ("select first_value(a) over (order by a range between current row and current row) from t", "SQL-006", "ROWS"),
    ("select sum(a) over (order by a rows between b preceding and current row) from t", "SQL-006", "constant"),
    ("select sum(a) over (order by a rows between 2 following and 1 following) from t", "SQL-006", "frame"),
    ("select median(a) over () from t", "SQL-006", "MEDIAN"),
    ("select sum(distinct a) over () from t", "SQL-006", "DISTINCT"),
    ("select last_value(a ignore nulls) over (order by b) from t", "SQL-006", "IGNORE NULLS"),
    ("select a > all (select a from u) from t", "SQL-006", "ANY or ALL"),
    ("select (a, b) in (select a, k, s from u) from t", "SQL-005", "2 with 3"),
    ("select * from t left join u on (t.a, u.a) in (select a, b from e)", "SQL-006", "reads both sides"),
    ("select * from t left join u on exists (select 1 from e where e.a > t.a + u.a)", "SQL-006", "reads both sides"),
    ("select (select u.k from u where u.a > t.a order by k limit 1) from t", "SQL-006", "LIMIT"),
    ("select a in (select row_number() over () from u where u.a > t.a) from t", "SQL-006", "window function"),
    ("select (select max(u.k + t.a) from u where u.a = t.a) from t", "SQL-006", "outer row"),
    ("select (select t.a) from t", "SQL-006", "outer row"),
    ("select a in (select max(k) from u where u.s = t.s having max(k) > 1) from t", "SQL-006", "an aggregate"),
    ("select a from t where d < current_date", "SQL-006", "as a constant"),
    ("select min(a, 2) from t", "SQL-006", "MIN"),
    ("select 1e300", "SQL-008", "DOUBLE"),
    ("select 1e-10", "SQL-008", "DOUBLE"),
    ("select cast(a as blob) from t", "SQL-006", "type"),
    ("select [1, 2]", "SQL-006", ""),
    ("select (select k from u)", "SQL-009", "line 1"),
    ("select a, (select k from u where u.a = t.a) from t", "SQL-009", "more than one row"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "code", "words"), REFUSED)
def test_what_is_wrong_or_not_supported_is_refused_with_its_place(
    small: tuple[duckdb.DuckDBPyConnection, Catalogue], query: str, code: str, words: str
) -> None:
    with pytest.raises(SqlError) as refused:
        bind(query, small[1])
    assert refused.value.code == code, str(refused.value)
    assert words in str(refused.value)


def numbers(rows: int, hi: int) -> Catalogue:
    fields = (Field("k", BIGINT, False, Interval(0, rows)), Field("x", BIGINT, False, Interval(0, hi)))
    return Catalogue(
        {"big": Table("big", (*fields, Field("s", TEXT, False, Interval(0, 9))), (Part(0, "big", rows),), (("k",),))}
    )


def test_a_sum_that_may_overflow_is_refused_with_its_bound() -> None:
    bind("select sum(x) from big", numbers(1 << 10, 1 << 52))
    with pytest.raises(SqlError, match=rf"SUM at line 1, column 8 may reach {(1 << 12) * (1 << 52)} units") as refused:
        bind("select sum(x) from big", numbers(1 << 12, 1 << 52))
    assert refused.value.code == "SQL-008"
    with pytest.raises(SqlError, match="SQL-008"):
        bind("select x * x from big", numbers(1, 1 << 32))


def test_unique_keys_bound_the_rows_of_joins() -> None:
    tables = numbers(1 << 10, 1 << 50)
    one = bind("select sum(a.x) from big a, big b where a.x = b.k", tables).relation
    assert rows_of(one) == 1
    with pytest.raises(SqlError, match="SQL-008"):
        bind("select sum(a.x) from big a, big b where a.x = b.x", tables)
    assert rows_of(bind("select * from big a, big b, big c where a.x = b.k and c.k = 5", tables).relation) == 1 << 10
    # As TPC-H's Q19 writes it, the equality stands in each alternative.
    either = "select * from big a, big b where (a.x = b.k and a.x < 3) or (b.k = a.x and b.x > 5 and a.x = b.k)"
    assert rows_of(bind(either, tables).relation) == 1 << 10
    assert rows_of(bind(either.replace("and a.x = b.k", ""), tables).relation) == 1 << 20
    assert rows_of(bind("select x % 3 m, count(*) from big group by m", tables).relation) == 3
    grouped = bind("select s, count(*) from big group by s", tables).relation
    assert frozenset([frozenset(grouped.columns[:1])]) == keys_of(grouped)
    first = "select s, x from big qualify row_number() over (partition by s order by x) = 1"
    assert rows_of(bind(f"select * from big a join ({first}) b on a.s = b.s", tables).relation) == 1 << 10
    second = bind(first.replace("by s order", "by s, x % 2 order"), tables).relation
    assert not any(key <= set(second.columns) for key in keys_of(second))


def relations(relation: Relation) -> list[Relation]:
    found = {relation: None}
    for source in sources(relation):
        found |= dict.fromkeys(relations(source))
    return list(found)


def test_a_common_table_expression_is_bound_once() -> None:
    query = "with x as (select k, sum(x) y from big group by k) select * from x a, x b where a.k = b.k"
    tree = relations(bind(query, numbers(10, 10)).relation)
    assert sum(isinstance(r, Group) for r in tree) == 1


def test_subqueries_become_the_joins_that_they_are(
    small: tuple[duckdb.DuckDBPyConnection, Catalogue],
) -> None:
    def kinds(query: str) -> list[tuple[str, bool]]:
        tree = relations(bind(query, small[1]).relation)
        return [(r.kind, r.null_aware) for r in tree if isinstance(r, Join)]

    assert kinds("select * from t where exists (select 1 from u where u.a = t.a)") == [("semi", False)]
    assert kinds("select * from t where not (not exists (select 1 from u))") == [("semi", False)]
    assert kinds("select * from t where a not in (select a from u)") == [("anti", True)]
    assert kinds("select * from t where a in (select a from u) or a = 1") == [("mark", True)]
    assert kinds("select * from t where a = (select max(a) from u)") == [("single", False)]
    assert kinds("select * from t where a = (select max(a) from u where u.s = t.s)") == [("left", False)]
    correlated = bind("select 1 from t where exists (select 1 from u where u.a = t.a and u.v <> t.c)", small[1])
    join = next(r for r in relations(correlated.relation) if isinstance(r, Join))
    assert isinstance(join.condition, Call) and [c.name for c in join.condition.args if isinstance(c, Call)] == [
        "eq",
        "ne",
    ]


def test_constants_are_folded_and_dates_stay_dates(small: tuple[duckdb.DuckDBPyConnection, Catalogue]) -> None:
    bound = bind("select 1 from t where d < date '1994-01-31' + interval '1' month", small[1])
    where = next(r for r in relations(bound.relation) if isinstance(r, Filter))
    assert isinstance(where.predicate, Call)
    constant = where.predicate.args[1]
    assert isinstance(constant, Constant) and str(constant.type) == "DATE" and constant.raw == 8824
    # An exact factor of a mean stays exact.
    bound = bind("select 0.2 * avg(c) from t", small[1])
    value = bound.relation.items[0][1] if isinstance(bound.relation, Project) else None
    assert isinstance(value, Call) and isinstance(value.args[0], Call)
    assert value.args[0].args == (Constant(2, decimal(2, 1)),)


def test_bounds_of_text_hold_for_every_character() -> None:
    characters = [chr(k) for k in range(1, 0x20000) if not 0xD800 <= k < 0xE000]
    tables = Catalogue()
    tables.add(Table("t", (Field("c", TEXT, False, Interval(0, 2)),), (Part(0, "t", 1),)))
    connection = connect()
    connection.execute("CREATE TABLE t(c VARCHAR)")
    connection.execute("INSERT INTO t SELECT unnest(?)", [[c for c in characters if len(c.encode()) == 2]])

    for expression in ("lower(c)", "upper(c)", "strip_accents(c)", "regexp_replace(c, '.', '<\\0>', 'g')"):
        (column,) = bind(f"SELECT {expression} FROM t", tables).relation.columns
        ((longest,),) = connection.execute(f"SELECT max(strlen({expression})) FROM t").fetchall()
        assert longest <= column.domain.hi
