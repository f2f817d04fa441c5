# SPDX-License-Identifier: Apache-2.0
"""What planning says of an expression's values holds: their bounds, and whether one may be NULL, for columns whose
ranges are tight, on either side of zero and around it. Whatever takes fewer rows, or shorter numbers, relies on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import product

import duckdb
import pyarrow as pa
import pytest

import tacit as tc
from sql_oracle import catalogue, connect
from tacit.errors import SqlError
from tacit.frontends.sql.bind import bind
from tacit.frontends.sql.constants import raw_value
from tacit.frontends.sql.functions import DOUBLE_ONE

ROWS = {
    # i, n, u, d, f, x, y, w, z, s, p, k
    "above zero": [
        "(1000, 3, 60000, 999.99, 0.995, 2.5, '1990-01-01', '2020-01-31', '1995-12-31 23:59:59.999999', 'aaa', true)",
        "(1007, 7, 65535, 998.49, 0.949, 3.125, '1991-12-31', '2021-03-31', '1996-02-29 12:00:00', 'ɐß', true)",
        "(1003, 5, 60009, 998.50, 0.950, 2.75, '1990-02-28', '2020-12-30', '1996-03-01 00:00:00', 'éz', true)",
    ],
    "below zero": [
        "(-2147483648, -3, 0, -999.99, -0.005, -2.5, '1590-01-31', '1960-02-29', '1969-12-31 23:59:59.999', '', false)",
        "(-2147483001, -11, 1, -998.50, -0.995, -0.5, '1600-02-29', '1960-12-31', '1900-02-28 01:02:03.4', 'a', false)",
    ],
    "around zero": [
        "(-1, -128, 7, 0.50, 0.500, 0.5, '0001-01-01', '1970-01-01', '0001-01-01 00:00:00', 'Ⱥ', true)",
        "(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        "(2147483647, 127, 0, -0.50, -0.499, -1000, '9999-12-31', '1969-12-31', '9999-12-31 23:59:59', 'İa', false)",
        "(0, 0, 3, 0.00, 0.000, 0, '1970-01-01', '2000-02-29', '1970-01-01 00:00:00', 'zz', NULL)",
    ],
}
NUMBERS = ("i", "n", "u", "d", "f", "x")
TIMES = ("y", "w", "z")
UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond")
FORMS = [
    *(f"{a} {op} {b}" for a, op, b in product(NUMBERS, ("+", "-", "*", "/", "//", "%"), (*NUMBERS, "-3", "0.25"))),
    *(f"{f}({a}, {b})" for f, a, b in product(("least", "greatest", "coalesce", "nullif"), NUMBERS, NUMBERS)),
    *(f"{f}({a})" for f, a in product(("-", "abs", "sign", "floor", "ceil", "trunc", "round", "cbrt"), NUMBERS)),
    *(f"round({a}, {n})" for a, n in product((*NUMBERS, "i / n", "x / 3"), (-2, -1, 1, 2))),
    *(f"CAST({a} AS {t})" for a, t in product(NUMBERS, ("BIGINT", "DECIMAL(18,1)", "DOUBLE", "BOOLEAN", "VARCHAR"))),
    *(f"CASE WHEN p THEN {a} END" for a in NUMBERS),
    *(f"{a} {op} {b}" for op, a, b in product(("&", "|"), ("i", "n", "u"), ("i", "u"))),
    *(f"EXTRACT({u} FROM {t})" for u, t in product((*UNITS, "doy", "dow", "isodow", "isoyear", "epoch"), TIMES)),
    *(f"date_trunc('{u}', {t})" for u, t in product(UNITS, ("w", "z"))),
    *(f"date_diff('{u}', {a}, {b})" for u, a, b in product(UNITS, (*TIMES, "DATE '1950-06-15'"), TIMES)),
    *(f"w + INTERVAL '{n}' {u}" for n, u in product((-13, -12, -1, 1, 11, 12, 25), ("DAY", "MONTH", "YEAR"))),
    *(f"last_day({t})" for t in ("w",)),
    *(f"{f}(s)" for f in ("upper", "lower", "reverse", "strip_accents", "length", "ascii", "md5")),
    *("s || s", "left(s, 1)", "right(s, -1)", "lpad(s, 5, 'é')", "rpad(s, 1, 'é')", "repeat(s, 3)", "substring(s, 2)"),
    *("replace(s, 'a', 'ééé')", "regexp_replace(s, '', 'é', 'g')", "regexp_replace(s, '(.*)', '\\1\\1\\1')"),
    *("translate(s, 'az', 'éß')", "translate(s, 'a', '')", "levenshtein(s, 'abc')", "strpos(s, 'a')"),
]
AGGREGATES = [
    *(f"{f}({a})" for f, a in product(("sum", "avg", "min", "max", "median", "var_samp", "stddev_pop"), NUMBERS)),
    *(f"sum(DISTINCT {a}) FILTER (WHERE p)" for a in NUMBERS),
    *(
        f"{f}({a}, {b})"
        for f, a, b in product(("covar_samp", "corr", "regr_sxy", "regr_sxx", "regr_avgy", "regr_r2"), "dfx", "nx")
    ),
    *(f"{f}({t})" for f, t in product(("min", "max", "median", "mode"), TIMES)),
    "count_if(p)",
]
WINDOWS = [
    f"{f} OVER ({w})"
    for f, w in product(
        (
            "sum(n)",
            "avg(d)",
            "min(i)",
            "lag(n)",
            "lead(n, 1, 50)",
            "first_value(x)",
            "last_value(n)",
            "count(s)",
            "rank()",
        ),
        ("ORDER BY n", "PARTITION BY p ORDER BY n", "ORDER BY n ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING"),
    )
]


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    made = connect()
    for k, rows in enumerate(ROWS.values()):
        made.execute(
            f"CREATE TABLE t{k}(i INTEGER, n TINYINT, u USMALLINT, d DECIMAL(7,2), f DECIMAL(4,3), x DOUBLE, y DATE, "
            f"w DATE, z TIMESTAMP, s TEXT, p BOOLEAN); INSERT INTO t{k} VALUES {', '.join(rows)}"
        )
    yield made
    made.close()


@pytest.mark.parametrize("number", range(len(ROWS)), ids=list(ROWS))
@pytest.mark.parametrize(
    ("forms", "rest", "least"),
    [
        (FORMS, "", 550),
        (AGGREGATES, "", 85),
        (AGGREGATES, "GROUP BY p", 85),
        (AGGREGATES, "WHERE n > 200", 85),
        (WINDOWS, "", 25),
    ],
    ids=["expressions", "aggregates", "groups", "no rows", "windows"],
)
def test_bounds_and_nulls_are_as_planned(
    database: duckdb.DuckDBPyConnection, number: int, forms: list[str], rest: str, least: int
) -> None:
    tables = catalogue(database)
    held = 0
    for form in forms:
        query = f"SELECT {form} FROM t{number} {rest}"
        try:
            values = database.execute(query).fetchall()
            (column,) = bind(query, tables).relation.columns
        except (duckdb.Error, SqlError):
            continue
        kind, domain = column.type, column.domain
        for (value,) in values:
            # Where DuckDB says NaN of a correlation, it is NULL here.
            if value is None or value != value:
                assert column.nullable, query
            elif kind.kind == "double":
                # Two units in the last place for what is rounded here and there.
                assert domain.lo - 2 <= value * DOUBLE_ONE <= domain.hi + 2, query
            else:
                raw = len(value.encode()) if kind.kind == "text" else raw_value(value, kind)
                assert domain.lo <= raw <= domain.hi, query
        held += 1
    assert held >= least


def test_groups_by_the_years_between_two_dates_are_all_there() -> None:
    days = [date(1991, 12, 31), date(1990, 1, 1), date(1990, 1, 2)]
    later = [date(2020, 1, 31), date(2020, 2, 1), date(2023, 12, 31)]
    with tc.local(3, transport="memory", protocol="plain") as s:
        s.table("a", pa.table({"k": [1, 2, 3], "born": days}), party=0, unique="k", ranges={"born": (days[1], days[0])})
        s.table(
            "b", pa.table({"k": [1, 2, 3], "seen": later}), party=1, unique="k", ranges={"seen": (later[0], later[2])}
        )
        joint = "SELECT date_diff('year', born, seen) AS years FROM a JOIN b USING (k) LIMIT 9"
        few = s.sql(f"SELECT years, count(*) AS n FROM ({joint}) WHERE years <= 30 GROUP BY years ORDER BY years")
        own = s.sql("SELECT date_diff('month', born, DATE '2020-01-01') AS c FROM a")

        assert few.reveal().table.to_pydict() == {"years": [29, 30], "n": [1, 1]}
        assert sorted(own.reveal().table["c"].to_pylist()) == [337, 360, 360]
