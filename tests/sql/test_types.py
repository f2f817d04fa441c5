# SPDX-License-Identifier: Apache-2.0
"""The types of expressions are DuckDB's: every form with every pair of kinds of operands, bound and not computed."""

from __future__ import annotations

from collections import Counter
from itertools import product

import duckdb
import pytest

from sql_oracle import catalogue, connect
from tacit.errors import SqlError
from tacit.frontends.sql.bind import bind

TABLE = (
    "CREATE TABLE t(a TINYINT, n USMALLINT, i INTEGER, l BIGINT, d DECIMAL(9,2), x DOUBLE, p BOOLEAN, y DATE, "
    "z TIMESTAMP, s TEXT)"
)
OPERANDS = (
    *("5", "-5", "-(300)", "5000000000", "1.5", "(1 + 1)", "CAST(5 AS INTEGER)", "CAST(5 AS TINYINT)"),
    *("CAST(NULL AS INTEGER)", "CASE WHEN FALSE THEN TIMESTAMP '1997-08-07' END", "TRUE", "'5'"),
    *("DATE '1997-01-01'", "CAST(1.5 AS DOUBLE)", "a", "n", "i", "l", "d", "x", "p", "y", "z", "s"),
)
PAIRS = (
    *("CASE WHEN p THEN {} ELSE {} END", "coalesce({}, {})", "nullif({}, {})", "CASE {} WHEN {} THEN 1 END"),
    *("{} + {}", "{} - {}", "{} * {}", "{} // {}", "{} || {}", "{} IN ({}, 3)", "greatest({}, {})"),
)
SINGLES = (
    *("-{}", "abs({})", "sign({})", "round({}, 1)", "floor({})", "trunc({})", "EXTRACT(month FROM {})", "year({})"),
    *(
        "date_trunc('month', {})",
        "{} + INTERVAL 1 DAY",
        "sum({})",
        "avg({})",
        "min({})",
        "median({})",
        "sum({}) OVER ()",
    ),
    *("quantile_cont({}, 0.5)", "count({})", "date_diff('day', {}, y)", "lag({}, 1, 3) OVER (ORDER BY i)", "{} + NULL"),
)
TRIPLES = ("CASE WHEN p THEN {} WHEN p THEN {} ELSE {} END", "coalesce({}, {}, {})")
FEW = ("5", "300", "1.5", "CAST(5 AS TINYINT)", "NULL", "a", "l", "d")


def queries(forms: tuple[str, ...], operands: tuple[str, ...], count: int) -> list[str]:
    return [f"SELECT {form.format(*chosen)} FROM t" for form in forms for chosen in product(operands, repeat=count)]


@pytest.mark.parametrize(
    ("made", "shared"),
    [(queries(PAIRS, OPERANDS, 2), 3000), (queries(SINGLES, OPERANDS, 1), 250), (queries(TRIPLES, FEW, 3), 1000)],
    ids=["pairs", "singles", "triples"],
)
def test_types_are_duckdb_s(made: list[str], shared: int) -> None:
    database = connect()
    database.execute(TABLE)
    tables = catalogue(database, {})
    counts: Counter[str] = Counter()
    for query in made:
        try:
            expected = database.execute(f"DESCRIBE {query}").fetchall()[0][1]
            found = str(bind(query, tables).relation.columns[0].type)
        except (duckdb.Error, SqlError) as error:
            counts[type(error).__name__] += 1
            continue
        # A decimal and a bare NULL have no common function in DuckDB, which takes the NULL for the answer.
        assert found == expected or expected == '"NULL"', query
        counts["same"] += 1
    assert counts["same"] >= shared, counts
