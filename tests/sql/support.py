# SPDX-License-Identifier: Apache-2.0
"""What of SQL is supported: each construct with an example, which test_support.py runs beside DuckDB.

pages.py writes the list as docs/sql/support.md. An example is a query over the tables below, or an
expression over their columns. It runs twice: over rows of several parties, so that it is computed on secrets, and over
tables of one party, whose own engine computes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

import duckdb
import pyarrow as pa

import tacit as tc
from sql_oracle import connect
from tacit.errors import SqlError
from tacit.session.session import Session

TABLES: Final = """
CREATE TABLE t(g INT, a INT, b BIGINT, c DECIMAL(8,2), f DOUBLE, p BOOLEAN, s VARCHAR, d DATE, ts TIMESTAMP);
INSERT INTO t VALUES
    (1, 1, 10, 1.50, 0.5, true, 'x', '2020-01-01', '2020-01-01 10:00:00'),
    (2, 2, NULL, 2.25, 1.25, false, 'yes', '2020-03-31', '2021-05-05 00:00:00'),
    (2, 2, 20, NULL, NULL, NULL, 'yard', NULL, NULL),
    (3, NULL, 5, 0.00, -2.5, true, NULL, '1999-12-31', '1999-12-31 23:59:59'),
    (4, 3, 7, -7.75, 0.0, false, '', '2021-02-28', '2020-02-29 12:30:15'),
    (4, 3, 7, -7.75, 0.0, false, '', '2021-02-28', '2020-02-29 12:30:15');
CREATE TABLE u(k INT, a INT, v DECIMAL(6,2), s VARCHAR);
INSERT INTO u VALUES (1, 1, 1.50, 'x'), (2, 2, 2.50, 'yes'), (3, 2, NULL, 'z'),
    (4, NULL, 4.00, 'x'), (5, 4, 0.25, NULL);
"""
SPLIT: Final = 3
"""Rows of `t` that the first of its two owners has."""
SHOWN: Final = (
    "t(g INT, a INT, b BIGINT, c DECIMAL(8,2), f DOUBLE, p BOOLEAN, s VARCHAR, d DATE, ts TIMESTAMP)",
    "u(k INT PRIMARY KEY, a INT, v DECIMAL(6,2), s VARCHAR)",
)
MIXED: Final = (
    "WITH m AS (SELECT g, min(a) AS a, max(b) AS b, sum(c)::DECIMAL(8,2) AS c, min(f) AS f, bool_and(p) AS p,"
    " min(s) AS s, max(d) AS d, max(ts) AS ts FROM t GROUP BY g) SELECT g, {} AS r FROM m"
)
"""How an expression is run: over values of groups, because what is made of one party's rows alone is made by it."""


class Construct(NamedTuple):
    """A construct with an example, and the codes of the errors with which it is refused; none where it is supported."""

    name: str
    example: str
    secret: str = ""
    owner: str = ""


Section = tuple[Construct, ...]
C = Construct

CLAUSES: Final[Mapping[str, Section]] = {
    "Queries": (
        C("all columns", "SELECT * FROM t"),
        C("FROM first", "FROM t"),
        C("columns, aliases, expressions", "SELECT a, b AS z, a + b FROM t"),
        C("EXCLUDE, REPLACE, RENAME", "SELECT * EXCLUDE (c, f) REPLACE (a + 1 AS a) RENAME (b AS z) FROM t"),
        C("an alias used by its neighbours", "SELECT a AS x, x + 1 AS y FROM t"),
        C("WHERE", "SELECT a FROM t WHERE b > 5 AND NOT p"),
        C("derived table", "SELECT q.n FROM (SELECT a, b FROM t) AS q(m, n) WHERE m > 1"),
        C("common table expressions",
          "WITH r AS (SELECT a, sum(c) AS x FROM t GROUP BY a) SELECT * FROM r WHERE x > 1"),
        C("recursive common table expressions",
          "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r",
          "SQL-006", "SQL-006"),
        C("VALUES", "SELECT v.x FROM (VALUES (1, 'a'), (2, NULL)) v(x, y), t WHERE x = a"),
        C("QUALIFY", "SELECT a, b FROM t QUALIFY row_number() OVER (PARTITION BY a ORDER BY b) = 1"),
        C("TABLESAMPLE", "SELECT a FROM t TABLESAMPLE 10 PERCENT", "SQL-006", "SQL-006"),
        C("PIVOT", "PIVOT t ON p USING sum(c)", "SQL-006", "SQL-006"),
        C("table functions", "SELECT * FROM range(3)", "SQL-006", "SQL-006"),
        C("other statements", "CREATE TABLE z AS SELECT * FROM t", "SQL-006", "SQL-006"),
    ),
    "Joins": (
        C("inner join", "SELECT * FROM t JOIN u ON t.a = u.k"),
        C("several keys", "SELECT * FROM t JOIN u ON t.a = u.a AND t.s = u.s"),
        C("keys that are expressions", "SELECT t.b, u.v FROM t JOIN u ON t.a + 1 = u.k"),
        C("duplicates on both sides", "SELECT t.b, u.v FROM t JOIN u ON t.a = u.a"),
        C("further conditions", "SELECT t.b, u.v FROM t JOIN u ON t.a = u.k AND t.c > u.v"),
        C("left, right and full join", "SELECT t.b, u.v FROM t FULL JOIN u ON t.a = u.k"),
        C("USING, NATURAL", "SELECT * FROM t LEFT JOIN u USING (a, s)"),
        C("comma and CROSS JOIN", "SELECT t.b, u.v FROM t, u WHERE t.a = u.k"),
        C("conditions without equality", "SELECT t.b, u.v FROM t JOIN u ON t.c < u.v"),
        C("semi and anti join", "SELECT * FROM t ANTI JOIN u ON t.a = u.a"),
        C("a table with itself", "SELECT x.b, y.b FROM t x JOIN t y ON x.a = y.a AND x.b < y.b"),
        C("ASOF JOIN", "SELECT t.b FROM t ASOF JOIN u ON t.a >= u.k", "SQL-006", "SQL-006"),
        C("POSITIONAL JOIN", "SELECT t.b FROM t POSITIONAL JOIN u", "SQL-006", "SQL-006"),
        C("LATERAL", "SELECT * FROM t, LATERAL (SELECT t.a + 1) x", "SQL-006", "SQL-006"),
    ),
    "Subqueries": (
        C("scalar", "SELECT a FROM t WHERE c < (SELECT max(v) FROM u)"),
        C("scalar, correlated", "SELECT a, (SELECT count(*) FROM u WHERE u.a = t.a) AS n FROM t"),
        C("IN, NOT IN", "SELECT a FROM t WHERE a NOT IN (SELECT k FROM u WHERE v > 1)"),
        C("IN of several columns", "SELECT a FROM t WHERE (a, s) IN (SELECT a, s FROM u)"),
        C("NOT IN of several columns", "SELECT a FROM t WHERE (a, b) NOT IN (SELECT a, k FROM u)"),
        C("IN as a value", "SELECT b, a IN (SELECT a FROM u) FROM t"),
        C("IN of several columns as a value", "SELECT b, (a, s) IN (SELECT a, s FROM u) AS r FROM t"),
        C("EXISTS, NOT EXISTS", "SELECT a FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.a = t.a AND u.k <> t.b)"),
        C("EXISTS with a comparison", "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.v > t.c)"),
        C("= ANY, <> ALL", "SELECT a FROM t WHERE a = ANY (SELECT k FROM u)"),
        C("in HAVING", "SELECT a, sum(c) FROM t GROUP BY a HAVING sum(c) > (SELECT min(v) FROM u)"),
        C("in an aggregate", "SELECT sum(b + (SELECT max(k) FROM u)) FROM t"),
        C("in a window function", "SELECT b, rank() OVER (ORDER BY b + (SELECT max(k) FROM u)) FROM t"),
        C("in ON", "SELECT t.b, u.v FROM t LEFT JOIN u ON t.a = u.k AND EXISTS (SELECT 1 FROM t w WHERE w.c = u.v)"),
        C("IN an aggregate, correlated", "SELECT b FROM t WHERE a IN (SELECT max(k) FROM u WHERE u.a = t.a)"),
        C("other comparisons with ALL", "SELECT a FROM t WHERE a > ALL (SELECT k FROM u)", "SQL-006", "SQL-006"),
        C("correlated, with LIMIT", "SELECT (SELECT k FROM u WHERE u.a = t.a ORDER BY k LIMIT 1) AS k FROM t"),
        C("a value that may be several rows", "SELECT a, (SELECT v FROM u WHERE u.a = t.a) FROM t",
          "SQL-009", "SQL-009"),
    ),
    "Groups and aggregates": (
        C("GROUP BY, names, numbers, ALL", "SELECT a, p, count(*) FROM t GROUP BY ALL"),
        C("GROUP BY ALL, subqueries among the keys",
          "SELECT (SELECT count(*) FROM u WHERE u.a = t.a) AS n, count(*) FROM t GROUP BY ALL"),
        C("GROUP BY expressions", "SELECT a % 2 AS m, count(*) FROM t GROUP BY m"),
        C("HAVING", "SELECT a, sum(b) FROM t GROUP BY a HAVING count(*) > 1"),
        C("ROLLUP, CUBE, GROUPING SETS", "SELECT a, p, grouping(a, p), sum(c) FROM t GROUP BY ROLLUP (a, p)"),
        C("ROLLUP over a join", "SELECT t.p, u.k, count(*) FROM t JOIN u ON t.a = u.k GROUP BY ROLLUP (t.p, u.k)"),
        C("COUNT(*), COUNT", "SELECT count(*), count(a), count_if(p) FROM t"),
        C("SUM, AVG", "SELECT sum(b), avg(b), sum(c), avg(c) FROM t"),
        C("SUM, AVG of DOUBLE", "SELECT sum(f), avg(f) FROM t"),
        C("MIN, MAX of any type", "SELECT min(a), max(c), min(s), max(d), min(ts), max(p) FROM t"),
        C("DISTINCT", "SELECT count(DISTINCT a), sum(DISTINCT c) FROM t"),
        C("DISTINCT of several columns", "SELECT p, count(DISTINCT (a, b)) AS n FROM t GROUP BY p"),
        C("FILTER", "SELECT sum(b) FILTER (WHERE p) FROM t"),
        C("VAR, STDDEV", "SELECT var_samp(b), var_pop(b), stddev_samp(c), stddev_pop(c) FROM t"),
        C("MEDIAN", "SELECT p, median(b) FROM t GROUP BY p"),
        C("QUANTILE_CONT, QUANTILE_DISC", "SELECT quantile_cont(b, 0.25), quantile_disc(c, 0.5) FROM t"),
        C("PERCENTILE ... WITHIN GROUP", "SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY b) FROM t"),
        C("CORR, COVAR", "SELECT corr(a, b), covar_pop(a, b), covar_samp(a, b) FROM t"),
        C("REGR", "SELECT regr_slope(a, b), regr_intercept(a, b), regr_r2(a, b), regr_count(a, b) FROM t"),
        C("BOOL_AND, BOOL_OR", "SELECT bool_and(p), bool_or(p) FROM t"),
        C("ANY_VALUE", "SELECT g, any_value(a) FROM t GROUP BY g"),
        C("STRING_AGG, LIST", "SELECT string_agg(s, ',') FROM t", "SQL-006", "SQL-006"),
        C("ARG_MIN, ARG_MAX", "SELECT p, arg_max(g, c), arg_min(b, g) FROM t WHERE a IS NOT NULL GROUP BY p"),
        C("FIRST, LAST by an order", "SELECT a, first(s ORDER BY b DESC, g) AS x, last(d ORDER BY g, b) AS y FROM t"
          " GROUP BY a"),
        C("FIRST without an order", "SELECT first(a) FROM t", "SQL-006", "SQL-006"),
        C("APPROX_COUNT_DISTINCT, exactly", "SELECT approx_count_distinct(a) FROM t"),
        C("MODE", "SELECT p, mode(s) AS x FROM t GROUP BY p"),
        C("BIT_AND, KURTOSIS and others", "SELECT kurtosis(a) FROM t", "SQL-006", "SQL-006"),
    ),
    "Window functions": (
        C("ROW_NUMBER, RANK, DENSE_RANK", "SELECT b, rank() OVER (PARTITION BY p ORDER BY b) FROM t"),
        C("LAG, LEAD", "SELECT k, lag(v) OVER (ORDER BY k), lead(v, 2, 0) OVER (ORDER BY k) FROM u JOIN t ON k = g"),
        C("FIRST_VALUE, LAST_VALUE", "SELECT b, first_value(b) OVER (PARTITION BY p ORDER BY b) FROM t"),
        C("running SUM, AVG, COUNT, MIN, MAX",
          "SELECT b, sum(b) OVER w AS x, avg(b) OVER w AS y FROM t WINDOW w AS (ORDER BY b)"),
        C("of whole partitions", "SELECT b, sum(b) OVER (PARTITION BY p), count(*) OVER () FROM t"),
        C("ROWS UNBOUNDED PRECEDING",
          "SELECT b, sum(b) OVER (ORDER BY b, d ROWS UNBOUNDED PRECEDING) FROM t WHERE b > 7 OR a = 1"),
        C("over groups", "SELECT a, rank() OVER (ORDER BY count(*) DESC) FROM t GROUP BY a"),
        C("ROWS BETWEEN: moving SUM, AVG, COUNT, MIN, MAX",
          "SELECT k, sum(v) OVER w AS x, avg(v) OVER w AS y, min(v) OVER w AS l, max(k) OVER w AS h FROM u"
          " JOIN t ON k = g WINDOW w AS (ORDER BY k, b ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)"),
        C("NTILE, PERCENT_RANK, CUME_DIST",
          "SELECT k, ntile(2) OVER w AS n, percent_rank() OVER w AS p, cume_dist() OVER w AS c FROM u"
          " JOIN t ON k = g WINDOW w AS (ORDER BY k, b)"),
        C("BOOL_AND, BOOL_OR", "SELECT b, bool_or(p) OVER (ORDER BY b) FROM t"),
        C("RANGE from or up to the current row",
          "SELECT b, sum(b) OVER (ORDER BY a RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS x FROM t"),
        C("RANGE with an offset",
          "SELECT sum(b) OVER (ORDER BY a RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
          "SQL-006", "SQL-006"),
        C("EXCLUDE", "SELECT sum(b) OVER (ORDER BY a ROWS 1 PRECEDING EXCLUDE TIES) FROM t", "SQL-006", "SQL-006"),
        C("NTH_VALUE", "SELECT b, nth_value(b, 2) OVER (PARTITION BY p ORDER BY b) AS x FROM t"),
        C("IGNORE NULLS", "SELECT last_value(b IGNORE NULLS) OVER (ORDER BY d) FROM t", "SQL-006", "SQL-006"),
    ),
    "Order, limits and sets of rows": (
        C("ORDER BY, NULLS FIRST", "SELECT b, a FROM t ORDER BY b DESC NULLS FIRST, a"),
        C("ORDER BY what is not selected", "SELECT b FROM t WHERE b > 7 ORDER BY c, b"),
        C("LIMIT, OFFSET", "SELECT b FROM t ORDER BY b LIMIT 2 OFFSET 1"),
        C("LIMIT that is computed", "SELECT b FROM t LIMIT (SELECT 1)", "SQL-006", "SQL-006"),
        C("DISTINCT", "SELECT DISTINCT a, p FROM t"),
        C("DISTINCT ON", "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b DESC"),
        C("UNION, UNION ALL", "SELECT a FROM t UNION SELECT k FROM u"),
        C("INTERSECT, INTERSECT ALL", "SELECT a FROM t INTERSECT ALL SELECT a FROM u"),
        C("EXCEPT, EXCEPT ALL", "SELECT a FROM t EXCEPT ALL SELECT a FROM u"),
        C("UNION BY NAME", "SELECT a FROM t UNION BY NAME SELECT a FROM u", "SQL-006", "SQL-006"),
    ),
}  # fmt: skip

EXPRESSIONS: Final[Mapping[str, Section]] = {
    "Logic and comparisons": (
        C("AND, OR, NOT", "p AND a > 1 OR NOT p"),
        C("=, <>, <, <=, >, >=", "a < b"),
        C("text, dates and times compared", "s >= 'y' OR d < '2020-02-01' OR ts > d"),
        C("rows compared", "(a, b) >= (2, NULL) OR (a, s) = (1, 'x')"),
        C("IS NULL, IS TRUE", "b IS NOT NULL AND p IS NOT FALSE"),
        C("IS DISTINCT FROM", "a IS DISTINCT FROM b"),
        C("BETWEEN", "a BETWEEN 1 AND b"),
        C("IN", "a IN (1, 3, NULL)"),
        C("IN of several columns", "(a, b) IN ((2, NULL), (3, 7))"),
        C("CASE", "CASE WHEN a = 1 THEN 'one' WHEN p THEN s END"),
        C("COALESCE, NULLIF, IFNULL, IF", "coalesce(nullif(a, 2), b)"),
        C("LEAST, GREATEST", "greatest(a, b, 3)"),
    ),
    "Numbers": (
        C("+, -, *", "a * b - c + 1"),
        C("/, exact", "c / a"),
        C("//, %", "b // a + b % 3"),
        C("division by zero is NULL", "b / (a - a)"),
        C("ABS, SIGN", "abs(c) + sign(c)"),
        C("ROUND, FLOOR, CEIL, TRUNC", "round(c, 1) + floor(c)"),
        C("SQRT, EXP, LN", "sqrt(b + 1.0) + exp(f) + ln(b + 1)"),
        C("LOG, LOG2, LOG10", "log2(b + 1) + log(3, b)"),
        C("RADIANS, DEGREES, PI", "degrees(a) + radians(b) + pi()"),
        C("ISNAN, ISINF: never", "isnan(f) OR isinf(f)"),
        C("POWER, a constant from 1 to 8 or 0.5", "power(a, 2) + a ** 3"),
        C("POWER otherwise, CBRT", "pow(a, 1.5) + cbrt(b)", "SQL-006"),
        C("SIN, COS, TAN, COT, ASIN, ACOS, ATAN, ATAN2", "sin(f) + atan2(a, b)", "SQL-006"),
        C("&, |, XOR, ~, <<, >>", "(a & 2) + (b | 1) + xor(a, b) + (~a) + (a << 1) + (b >> 1)", "SQL-006"),
        C("RANDOM", "random()", "SQL-006", "SQL-006"),
        C("CAST between numbers", "c::INT + f::DECIMAL(8,2) + p::INT"),
        C("CAST to text", "a::VARCHAR", "SQL-006"),
        C("CAST from text", "length(s)::VARCHAR::INT", "SQL-006"),
        C("TRY_CAST", "try_cast(s AS INT)", "SQL-006"),
        C("TYPEOF", "typeof(a + b)"),
    ),
    "Dates and times": (
        C("EXTRACT, YEAR, MONTH, DAY", "extract(year FROM d) + month(d)"),
        C("QUARTER, WEEK, DAYOFWEEK, DAYOFYEAR", "quarter(d) + week(d) + dayofweek(d) + dayofyear(d)"),
        C("HOUR, MINUTE, SECOND, EPOCH", "hour(ts) + minute(ts)"),
        C("date and days", "d + a"),
        C("difference of dates", "d - date '2020-01-01'"),
        C("INTERVAL", "d + INTERVAL '1' MONTH"),
        C("INTERVAL of hours", "ts - INTERVAL '90' MINUTE"),
        C("MILLISECOND, MICROSECOND, ISOYEAR", "extract(microsecond FROM ts) + isoyear(d)"),
        C("INTERVAL that is computed", "d + INTERVAL (a) DAY"),
        C("INTERVAL of so many months as a column says", "d + INTERVAL (a) MONTH", "SQL-006", "SQL-006"),
        C("TIME_BUCKET", "time_bucket(INTERVAL '3' DAY, ts, timestamp '2001-02-03 04:05:06')"),
        C("difference of times", "ts - ts", "SQL-006", "SQL-006"),
        C("DATE_TRUNC", "date_trunc('month', d)"),
        C("DATE_DIFF", "date_diff('month', d, ts)"),
        C("MAKE_DATE, MAKE_TIMESTAMP", "make_timestamp(2020, a, 1, 2, 3, 4.5)", "SQL-006"),
        C("EPOCH_MS and MAKE_TIMESTAMP of a number", "date_diff('second', epoch_ms(b), make_timestamp(b))"),
        C("LAST_DAY", "last_day(d)"),
        C("STRFTIME, DAYNAME, MONTHNAME", "strftime(d, '%Y-%m')", "SQL-006"),
        C("DATE and TIMESTAMP cast", "ts::DATE"),
    ),
    "Text": (
        C("LIKE, ILIKE", "s LIKE 'y%s'"),
        C("||, CONCAT", "s || '!'", "SQL-006"),
        C("UPPER, LOWER", "upper(s)", "SQL-006"),
        C("LENGTH", "length(s)", "SQL-006"),
        C("SUBSTRING, LEFT, RIGHT", "substring(s, 1, 2)", "SQL-006"),
        C("TRIM, LTRIM, RTRIM", "trim(s)", "SQL-006"),
        C("REPLACE, REVERSE", "replace(s, 'y', 'z')", "SQL-006"),
        C("STRPOS, CONTAINS, STARTS_WITH", "contains(s, 'y')"),
        C("STRIP_ACCENTS", "strip_accents(s)", "SQL-006"),
        C("SUBSTRING from a place that is computed", "substring(s, a, 2)", "SQL-006"),
        C("LPAD, RPAD, REPEAT", "lpad(s, 5, '-')", "SQL-006"),
        C("REPEAT as often as a column says", "repeat(s, g)", "SQL-006"),
        C("TRANSLATE, LEVENSHTEIN", "levenshtein(translate(s, 'xy', 'ab'), 'yard')", "SQL-006"),
        C("SPLIT_PART", "split_part(s, 'e', 1)", "SQL-006"),
        C("REGEXP_MATCHES, REGEXP_FULL_MATCH, SIMILAR TO", "regexp_full_match(s, 'Y.*', 'i')", "SQL-006"),
        C("REGEXP_EXTRACT", "regexp_extract(s, '(y)(.)', 2)", "SQL-006"),
        C("REGEXP_REPLACE", "regexp_replace(s, '[aeiou]+', '-', 'g')", "SQL-006"),
        C("TRY_STRPTIME", "try_strptime(s, '%Y-%m-%d')", "SQL-006"),
        C("SHA256, MD5", "md5(s)", "SQL-006"),
        C("patterns that are columns", "s LIKE s", "SQL-006", "SQL-006"),
    ),
}  # fmt: skip


@contextmanager
def spread(protocol: str = "plain") -> Iterator[Session]:
    """A session where every example mixes parties: two of them have rows of `t`, the third has `u`."""
    tables = oracle_tables()
    with tc.local(3, protocol=protocol, transport="memory") as s:
        s.table("t", {0: tables["t"].slice(0, SPLIT), 1: tables["t"].slice(SPLIT)})
        s.table("u", tables["u"], party=2, unique="k")
        yield s


@contextmanager
def owned(protocol: str = "plain") -> Iterator[Session]:
    """A session where one party has all tables."""
    tables = oracle_tables()
    with tc.local(3, protocol=protocol, transport="memory") as s:
        s.table("t", tables["t"], party=0)
        s.table("u", tables["u"], party=0, unique="k")
        yield s


def oracle() -> duckdb.DuckDBPyConnection:
    """DuckDB with the tables."""
    connection = connect()
    connection.execute(TABLES)
    return connection


def oracle_tables() -> dict[str, pa.Table]:
    """The tables in Arrow."""
    with oracle() as connection:
        return {name: connection.table(name).to_arrow_table() for name in ("t", "u")}


def queries() -> Iterator[tuple[Construct, str]]:
    """Every construct with the text that is run for it."""
    for section in CLAUSES.values():
        for construct in section:
            yield construct, construct.example
    for section in EXPRESSIONS.values():
        for construct in section:
            yield construct, MIXED.format(construct.example)


# --- the page -------------------------------------------------------------------------------------------------------


def page() -> str:
    """docs/sql/support.md."""
    lines = [
        "<!-- Generated by `make docs`; do not edit. -->",
        "# What of SQL is supported\n",
        "Each example runs as a test, beside DuckDB, over these tables:\n",
        "```sql",
        *SHOWN,
        "```\n",
        "*On secrets*: over rows of several parties, or values made of them. *At the owner*: what touches one party's",
        "tables alone, which its own engine computes. What is not supported is refused when the query is planned, with",
        "its place in the text.",
    ]
    with spread() as joint, owned() as alone:
        for part, form in ((CLAUSES, "{}"), (EXPRESSIONS, MIXED)):
            for title, section in part.items():
                lines += [f"\n## {title}\n", "| | Example | On secrets | At the owner |", "|---|---|---|---|"]
                for c in section:
                    text = form.format(c.example)
                    secret, owner = _answer(joint, text, c.secret), _answer(alone, text, c.owner)
                    owner = "no" if owner == secret != "yes" else owner
                    lines.append(f"| {_cell(c.name)} | `{_cell(c.example)}` | {secret} | {owner} |")
    return "\n".join([*lines, ""])


def _answer(session: Session, text: str, code: str) -> str:
    if not code:
        return "yes"
    try:
        session.sql(text)
    except SqlError as error:
        return "no" if error.next.startswith(_TELLS_NOTHING) else f"no: {_cell(error.next)}"
    raise AssertionError(f"{text} is supported")


_TELLS_NOTHING: Final = ("compute it on one table alone", "see the support table")
"""The beginnings of advice that the table itself gives."""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
