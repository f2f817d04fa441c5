# SPDX-License-Identifier: Apache-2.0
"""Queries that were once answered wrongly or not at all, most of them found by the fuzzer and reduced."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from sql.fuzz import Bench, Case, Held

T = pa.table(
    {
        "k": pa.array([1, 2, 2, None, 5], pa.int32()),
        "i": pa.array([3, None, -7, 0, 12], pa.int64()),
        "s": pa.array([1, 0, None, -2, 3], pa.int16()),
        "d": pa.array(
            [Decimal("1.25"), None, Decimal("-3.00"), Decimal("0.05"), Decimal("7.40")], pa.decimal128(15, 2)
        ),
        "x": pa.array([0.5, None, -2.25, 0.0, 8.0], pa.float64()),
        "g": pa.array(["a", "b", None, "a", ""], pa.string()),
        "o": pa.array([True, False, None, True, True], pa.bool_()),
        "y": pa.array([date(1996, 2, 29), None, date(1994, 1, 8), date(1996, 3, 1), date(1998, 12, 31)], pa.date32()),
        "z": pa.array([datetime(1996, 2, 28, 19, 10), None, None, datetime(1997, 1, 1), datetime(1996, 2, 28)]),
    }
)
U = pa.table(
    {
        "k": pa.array([2, 1, 5, 6], pa.int32()),
        "e": pa.array([10, None, -1, 4], pa.int32()),
        "h": pa.array(["b", "a", None, "zebra"], pa.string()),
    }
)
TABLES = (
    Held("t", T, (0, 1, 1, 2, 0)),
    Held("u", U, (2, 2, 2, 2), ("k",)),
    Held("one", T, (1, 1, 1, 1, 1)),
    Held("none", T.slice(0, 0), (), (), 14),
    Held("coded", U, (0, 1, 2, 0), (), None, (), {"h": ("a", "b", "zebra")}),
)

QUERIES = {
    "a frame of so many rows as a fraction rounds to": "SELECT k, i, sum(s) OVER (ORDER BY k, i ROWS 0.6 "
    "PRECEDING) AS c FROM t",
    "rollup over a join that its branches share": "SELECT count(*) FROM t CROSS JOIN u GROUP BY ROLLUP (h)",
    "rollup over a join of a join": "WITH w AS (SELECT e FROM u, t) SELECT 2.5 AS c FROM w, t GROUP BY ROLLUP (g)",
    "any_value at a home": "SELECT c FROM (SELECT 29 AS c FROM one GROUP BY k, g, 0.5)",
    "bounds of sign": "SELECT sign(CASE WHEN FALSE THEN i END) AS c FROM t",
    "average of no rows below a subquery": "SELECT k FROM t WHERE (SELECT avg(k) FROM none) > 1 OR k = 5",
    "average of no rows as a condition": "SELECT count(k) OVER () AS c FROM one WHERE (SELECT avg(k) FROM none)",
    "sum of a join with no rows": "SELECT sum(e), count(e) FROM u JOIN none ON u.k = none.k",
    "slope whose bounds say nothing": "SELECT regr_slope(2.75, i) AS c FROM one GROUP BY CUBE (g)",
    "quotients of rows that are not meant": "SELECT u.k FROM u SEMI JOIN (SELECT CAST(t.i AS DOUBLE) AS c FROM t, none "
    "LIMIT 0) AS r ON e = r.c",
    "a set of wide decimals": "SELECT sum(d * 0.5), 1 FROM t EXCEPT ALL SELECT 2.00, k FROM t",
    "case of wide decimals": "SELECT CASE WHEN k > 1 THEN sum(d) ELSE 1.255 END AS c FROM t GROUP BY k",
    "wide decimals compared": "SELECT sum(d) = 1.255, sum(d) > 1.245 FROM t GROUP BY k",
    "sum of a product that is held to 18 digits": "SELECT d * d + 3, d * d - d, d + d + d FROM t",
    "a folded constant keeps its type": "SELECT least(s, date_diff('day', DATE '1996-03-02', DATE '1996-02-27')), "
    "greatest(k, EXTRACT(dow FROM DATE '1996-02-28')), least(s, 4), greatest(k, 5000000000) FROM t",
    "a number below an ungrouped HAVING": "SELECT avg(EXTRACT(isodow FROM z)) FROM one "
    "WHERE CASE WHEN (SELECT bool_or(o) FROM none) THEN o END",
    "NOT IN whose correlation is unknown": "SELECT k FROM t WHERE g NOT IN (SELECT h FROM u WHERE u.e > t.s)",
    "NOT IN that is its own correlation": "SELECT k FROM t WHERE NOT g IN (SELECT h FROM u WHERE h = g)",
    "IN whose correlation is unknown, shown": "SELECT k, g IN (SELECT h FROM u WHERE u.e > t.s) AS c FROM t",
    "no correlation at a home": "SELECT corr(s, s), regr_r2(s, s), regr_intercept(s, 1) FROM one GROUP BY k",
    "a cast constant does not adapt": "SELECT CASE WHEN 10 THEN CAST(2.00 AS INT) ELSE sign(k) END, "
    "s + CAST(1 AS INT) FROM t",
    "the type of a part of a folded NULL": "SELECT EXTRACT(month FROM CASE WHEN FALSE THEN DATE '1997-08-07' END), "
    "year(CAST(NULL AS DATE)) FROM t",
    "the name of a cast to BOOLEAN": "SELECT sum(CASE WHEN CAST(NULL AS BOOLEAN) THEN k ELSE -(-k) END) "
    "OVER (ORDER BY k ROWS UNBOUNDED PRECEDING), -(-5) FROM t",
    "sums of integers are wide": "SELECT sum(i), sum(s) OVER (), sum(i) + 1 FROM t GROUP BY s",
    "subqueries in aggregates": "SELECT g, sum(CASE WHEN EXISTS (SELECT 1 FROM u WHERE u.k = t.k) THEN i END) AS c, "
    "count(*) FILTER (WHERE i > (SELECT max(e) FROM u)) AS d FROM t GROUP BY g HAVING sum((SELECT max(e) FROM u)) > 0",
    "a subquery in an aggregate and over its groups": "SELECT k, max((SELECT e FROM u WHERE u.k = t.k)) AS c, "
    "(SELECT max(e) FROM u WHERE u.k = t.k) AS d FROM t GROUP BY k",
    "a subquery in a window function": "SELECT k, "
    "sum(count(*)) OVER (ORDER BY (SELECT max(e) FROM u WHERE u.k = t.k), k) AS c FROM t GROUP BY k",
    "subqueries in ON": "SELECT t.k, u.e FROM t JOIN u ON t.i IN (SELECT e FROM u) "
    "AND t.k < (SELECT max(i) FROM one WHERE one.k = t.k AND one.s = u.k)",
    "subqueries in ON of outer joins": "SELECT t.k, u.e FROM t FULL JOIN u ON t.k = u.k "
    "AND t.i < (SELECT max(e) FROM u) LEFT JOIN one ON one.k = u.k AND EXISTS (SELECT 1 FROM t AS v WHERE v.k = one.i)",
    "text of the optional side": "SELECT upper(h) || 'x', e + 1 > 0 FROM u FULL JOIN one ON u.k = one.k",
    "text of a union and of a key": "SELECT lower(h), count(*) FROM "
    "(SELECT k, h FROM u UNION ALL SELECT k, g FROM t) AS r JOIN t USING (k) GROUP BY h",
    "text of a key of some groups": "SELECT upper(h) || '!' AS c FROM (SELECT h FROM u JOIN t USING (k) GROUP BY h "
    "UNION ALL SELECT NULL FROM u JOIN t USING (k))",
    "frames that move with their row": "SELECT i, "
    "avg(d) OVER (PARTITION BY g ORDER BY i, k ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS a, "
    "max(d) OVER (ORDER BY i, k ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING) AS b, "
    "count(*) OVER (ORDER BY i, k ROWS 2 PRECEDING) AS n, "
    "sum(x) OVER (ORDER BY i, k ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS s FROM t",
    "a frame over groups": "SELECT k, avg(count(*)) OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS c "
    "FROM t GROUP BY k",
    "relative ranks": "SELECT percent_rank() OVER (ORDER BY k), cume_dist() OVER (PARTITION BY g ORDER BY k DESC), "
    "bool_or(k > 1) OVER (PARTITION BY g) FROM t",
    "frames of peers": "SELECT k, g, sum(s) OVER (ORDER BY g RANGE BETWEEN CURRENT ROW AND CURRENT ROW) AS a, "
    "avg(i) OVER (PARTITION BY o ORDER BY g DESC, k > 1 RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS b, "
    "max(d) OVER (ORDER BY k DESC NULLS FIRST GROUPS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS c, "
    "count(*) OVER (RANGE BETWEEN CURRENT ROW AND CURRENT ROW) AS n, "
    "rank() OVER (ORDER BY g RANGE BETWEEN CURRENT ROW AND CURRENT ROW) AS r FROM t",
    "the second of a frame": "SELECT i, nth_value(g, 2) OVER (ORDER BY i, k) AS a, "
    "nth_value(k, 0) OVER (ORDER BY i) AS z, "
    "nth_value(x, 3) OVER (PARTITION BY o ORDER BY i, k ROWS BETWEEN 1 PRECEDING AND UNBOUNDED FOLLOWING) AS b FROM t",
    "different rows counted": "SELECT g, count(DISTINCT (k, o)) AS a, count(DISTINCT (k, i)) FILTER (WHERE o) AS b, "
    "count((s, d)) AS c, count(DISTINCT o) AS d FROM t GROUP BY ROLLUP (g)",
    "different rows of all": "SELECT count(DISTINCT (t.g, u.h)), count(DISTINCT ROW(t.o, u.e, 1)) AS b FROM t JOIN u "
    "ON t.k <> u.k",
    "COUNT_IF of nothing": "SELECT count_if(o), count_if(k > 1) FILTER (WHERE k > 9), "
    "(SELECT count_if(o) FROM none) AS c FROM t GROUP BY g",
    "a column of USING comes before others": "SELECT k, t.k AS c FROM t JOIN u USING (k) LEFT JOIN one ON one.k = u.e",
    "a column of two USINGs": "SELECT k, u.k AS c, t.k AS d FROM t FULL JOIN u USING (k) RIGHT JOIN one USING (k)",
    "the first of each": "SELECT DISTINCT ON (g, k > 1) g, i FROM t ORDER BY g, k > 1, i DESC",
    "the first of each group": "SELECT DISTINCT ON (1) g, sum(i) AS c FROM t GROUP BY g, k "
    "ORDER BY g, c NULLS FIRST LIMIT 2",
    "NULL beside text that is spelled out": "SELECT c, count(*) FROM (SELECT h AS c FROM coded "
    "UNION ALL SELECT g FROM t) AS r GROUP BY c",
    "NULL beside other codes": "SELECT DISTINCT c FROM (SELECT h AS c FROM coded UNION ALL SELECT '' FROM t "
    "UNION ALL SELECT NULL FROM t) AS r",
    "groups of rows that are all meant": "SELECT DISTINCT b FROM (VALUES (1, 10.0), (2, 10.0), (3, 2.0)) AS r(a, b) "
    "WHERE TRUE",
    "groups of rows of which none is meant": "SELECT g, count(*) FROM t WHERE FALSE GROUP BY g UNION ALL "
    "SELECT DISTINCT 'x', 1 FROM t WHERE FALSE",
    "constants alone group": "SELECT 2.00, 10.0, 'x' FROM t GROUP BY 1, 2, 3",
    "nothing to group by": "SELECT 2.00, 10.0, 'x' FROM t GROUP BY ALL",
    "nothing to group by, nothing to read": "SELECT 2.00, 10.0 GROUP BY ALL",
    "a subquery alone is nothing to group by": "SELECT (SELECT max(e) FROM u) AS m, 5 IN (SELECT k FROM u) AS n FROM t "
    "GROUP BY ALL",
    "a subquery among what GROUP BY ALL groups by": "SELECT g, k > (SELECT max(k) FROM u WHERE u.h = t.g) AS m, "
    "count(*) > (SELECT min(k) FROM u) AS n, (SELECT min(k) FROM u) + 1 AS o FROM t GROUP BY ALL",
    "a subquery of which a key is made, beside the groups": "SELECT (SELECT max(e) FROM u) * count(*) AS c FROM t "
    "GROUP BY (SELECT max(e) FROM u) + 1 HAVING sum(i) < (SELECT max(e) FROM u)",
    "rows equal where both are NULL": "SELECT x.k, y.k, (x.i, x.g) = (y.i, y.g) AS a, (x.i, x.g) <> (y.i, y.g) AS b, "
    "(x.d, x.o) IS NOT DISTINCT FROM (y.d, y.o) AS c FROM t AS x, t AS y",
    "rows in order, NULL the greatest": "SELECT x.k, y.k, (x.o, x.i) < (y.o, y.i) AS a, (x.o, x.i) <= (y.o, y.i) AS b, "
    "(x.g, (x.s, x.d)) > (y.g, (y.s, y.d)) AS c, (x.k, x.x) >= (y.k, y.x) AS d FROM t AS x, t AS y",
    "a row among constants": "SELECT k, (k, i) IN ((2, NULL), (5, 12)) AS a, (k, i) NOT IN ((2, NULL), (1, 4)) AS b, "
    "(k, s) IN ((5, 3), NULL) AS c FROM t WHERE CASE (k, g) WHEN (2, 'b') THEN FALSE ELSE TRUE END",
    "joins of equal rows": "SELECT t.k, u.e FROM t LEFT JOIN u ON (t.k, t.g) = (u.k, u.h)",
    "a row in a subquery, unknown where NULL": "SELECT k, (k, g) IN (SELECT k, h FROM u) AS a, "
    "(s, i) NOT IN (SELECT k, e FROM u) AS b, (k, k) = ANY (SELECT k, k FROM u) AS c FROM t",
    "a row in no subquery": "SELECT k FROM t WHERE (k, g) NOT IN (SELECT k, h FROM u) "
    "AND (s, i) <> ALL (SELECT k, e FROM u WHERE e > 0)",
    "a disjunction of a disjunction": "SELECT o OR (k > 1 OR (o AND o)) FROM t",
    "names of trims": "SELECT ltrim(g), rtrim(g), trim(g), trim(LEADING FROM g) FROM one",
    "a constant in no row": "SELECT 'a' AS c WHERE FALSE",
    "powers": "SELECT k ** 2 AS a, d ** 2 AS b, x ** 2 AS c, (s * s) ** 0.5 AS d, avg(s ** 3) OVER () AS e FROM t",
    "days of months": "SELECT last_day(y), last_day(z) FROM t",
    "names of days and months": "SELECT dayname(y), monthname(z) FROM one",
    "patterns with options": "SELECT regexp_matches(g, '^A', 'i'), regexp_full_match(g, 'A|b', 'i') FROM t "
    "WHERE g SIMILAR TO 'a'",
    "constants with a type": "SELECT CAST(NULL AS INTEGER) % s, -CAST(TRUE AS BIGINT), -CAST(1 AS TINYINT) FROM t",
    "LIMIT of what belongs to an outer row": "SELECT s, (SELECT e FROM u WHERE k = t.k "
    "ORDER BY e DESC LIMIT 1) AS c FROM t",
    "LIMIT and OFFSET of what belongs to an outer row": "SELECT k, d FROM one AS o WHERE d IN "
    "(SELECT d FROM t WHERE t.k = o.k ORDER BY d, s, i LIMIT 1 OFFSET 1)",
    "a sum of the first rows of an outer row": "SELECT k, (SELECT sum(d) FROM (SELECT d FROM t WHERE t.k = u.k "
    "ORDER BY d LIMIT 2) AS x) AS c FROM u",
    "a row number of what belongs to an outer row": "SELECT k FROM u WHERE 1 IN (SELECT x FROM "
    "(SELECT row_number() OVER (ORDER BY d) AS x FROM t WHERE t.k = u.k) AS r)",
    "IN and NOT IN an aggregate": "SELECT k, k IN (SELECT max(k) FROM u WHERE u.e > t.s) AS a, "
    "k NOT IN (SELECT min(k) FROM u WHERE h = t.g) AS b FROM t WHERE k IN (SELECT max(k) FROM u WHERE u.k = t.k)",
    "subqueries in an aggregate": "SELECT g, sum((SELECT max(e) FROM u WHERE u.k = t.k)) AS a, "
    "(SELECT max(e) FROM u) AS b, count(*) FILTER (WHERE k IN (SELECT k FROM u)) AS c FROM t GROUP BY g "
    "HAVING count((SELECT max(e) FROM u)) > 0",
    "a join in parentheses that begins with a subquery": "SELECT x.k, y.e FROM t AS x JOIN ((SELECT k, e FROM u) AS y "
    "JOIN t AS z ON y.k = z.k) ON x.k = z.k",
    "a join in parentheses that begins with VALUES": "SELECT a, z.i FROM ((VALUES (1, 2), (5, 3)) AS y(a, b) "
    "JOIN t AS z ON y.a = z.k)",
    "logarithms where there is no row": "SELECT ln(abs(r.s) + 1) AS a, sqrt(r.s - 4) AS b FROM t RIGHT JOIN none AS r "
    "ON t.k = r.k",
    "types of bits": "SELECT s & 5 AS a, s | k AS b, i | NULL AS c, xor(k, s) AS d, max(s & 1) OVER () AS e FROM one",
    "an aggregate of ANY_VALUE over groups": "SELECT max(any_value(k)) OVER () AS a, "
    "sum(any_value(k)) OVER (ORDER BY k) AS b FROM t GROUP BY k",
    "names of parts of dates": "SELECT EXTRACT(microsecond FROM z), EXTRACT(Dow FROM z), EXTRACT(years FROM z), "
    "EXTRACT(week FROM y), date_part('doy', y) FROM t",
    "windows over the groups of more sets than rows": "SELECT k, rank() OVER (ORDER BY k, i) AS a, row_number() OVER "
    "(ORDER BY k, i, GROUPING(i)) AS b, count(*) OVER () AS c FROM one GROUP BY GROUPING SETS ((k), (i), (k, i), ())",
    "a group of all rows of which nothing is wanted": "SELECT count(*) AS a, count(k) AS b FROM (SELECT k FROM one "
    "GROUP BY ROLLUP (k)) AS x, (SELECT 1 AS o FROM t HAVING TRUE) AS y",
    "a group of no rows of which nothing is wanted": "SELECT k FROM none GROUP BY GROUPING SETS ((k), ())",
    "windows over a group of no row": "SELECT rank() OVER (ORDER BY count(*)) AS a FROM none",
    "remainders of too many digits": "SELECT d % 3::HUGEINT AS a, sum(d) % sum(i) AS b, d % 3::BIGINT AS c FROM t "
    "GROUP BY d",
    "room for what rounding carries": "SELECT round(round(d), -1) AS a, round(d, -1) AS b, "
    "round(round(d), 1) AS c FROM t",
    "the name of a frame that is the default": "SELECT count(k) OVER (ORDER BY k DESC NULLS FIRST RANGE BETWEEN "
    "UNBOUNDED PRECEDING AND CURRENT ROW) FROM t",
    "a sum of flags, one side of the join aggregated first": "SELECT x.k, sum(x.o) AS a, sum(x.i IS NULL) AS b "
    "FROM t AS x JOIN t AS y ON x.k = y.k GROUP BY x.k",
}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


@pytest.mark.parametrize("name", QUERIES)
def test_regression(bench: Bench, name: str) -> None:
    """Names, types and rows are DuckDB's."""
    assert bench.check(Case(TABLES, QUERIES[name])) == ("same", "")


def test_an_aggregate_that_leaves_fixed_point_is_refused_as_such(bench: Bench) -> None:
    text = "SELECT covar_pop(0 * one.k, i >> 1) FROM one JOIN u USING (k)"
    verdict, what = bench.check(Case(TABLES, text))
    assert verdict == "refused" and what.startswith("SQL-008")
