# SPDX-License-Identifier: Apache-2.0
"""Groups, order and sets of secret rows against DuckDB, by every strategy."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import tacit
from plan_oracle import Oracle
from sql.tables import Tables, column, compare, fresh, ref
from tacit.errors import SqlError
from tacit.frontends.sql.algebra import (
    Aggregate,
    Column,
    Constant,
    Distinct,
    Filter,
    Group,
    Limit,
    Project,
    SetOperation,
    Sort,
    SortKey,
    Values,
)
from tacit.frontends.sql.types import BIGINT, BOOLEAN, DOUBLE, TEXT, decimal
from tacit.plan import Interval

WIDE = Interval(-(10**6), 10**6)


def data(seed: int, rows: int, domain: tuple[int, int] = (-50, 50), *, absent: bool = True, nulls: float = 0.25) -> Any:
    """A table t(k, g, x, y, b, c, s): k of few values, g of many, x without NULL."""
    rng = np.random.default_rng(seed)
    tables = Tables(Oracle())

    def some(lo: int, hi: int, p: float = nulls) -> list[Any]:
        return [None if rng.random() < p else int(v) for v in rng.integers(lo, hi + 1, rows)]

    texts = ["", "a", "ab", "abcdefgh", "abcdefgi", "b", "zürich"]
    given = {
        "k": some(0, 2),
        "g": some(-4, 4),
        "x": some(-9, 9, 0),
        "y": some(-9, 9),
        "b": [None if rng.random() < nulls else bool(v) for v in rng.integers(0, 2, rows)],
        "c": [bool(v) for v in rng.integers(0, 2, rows)],
        "s": [None if rng.random() < nulls else texts[v] for v in rng.integers(0, len(texts), rows)],
    }
    types = {"b": BOOLEAN, "c": BOOLEAN, "s": TEXT, "y": decimal(9, 2)}
    flags = rng.random(rows) < 0.3 if absent else None
    return tables, tables.table("t", given, types=types, domain=domain, absent=flags)


def aggregate(name: str, *args: Any, **more: Any) -> Aggregate:
    kinds = {"avg": DOUBLE, "bool_and": BOOLEAN, "bool_or": BOOLEAN}
    kind = more.pop("kind", None) or kinds.get(name, BIGINT if "count" in name or not args else args[0].type)
    return Aggregate(name, args, kind, not name.startswith("count"), WIDE, **more)


def grouped(source: Any, keys: list[str], aggregates: dict[str, Aggregate]) -> Group:
    return Group(
        source,
        tuple((fresh(k, ref(source, k)), ref(source, k)) for k in keys),
        tuple((fresh(name, a), a) for name, a in aggregates.items()),
    )


LINEAR = {
    "count(*)": lambda t: aggregate("count_star"),
    "count(y)": lambda t: aggregate("count", ref(t, "y")),
    "sum(x)": lambda t: aggregate("sum", ref(t, "x")),
    "sum(y)": lambda t: aggregate("sum", ref(t, "y")),
    "avg(x)": lambda t: aggregate("avg", ref(t, "x")),
    "avg(y)": lambda t: aggregate("avg", ref(t, "y")),
    "bool_and(b)": lambda t: aggregate("bool_and", ref(t, "b")),
    "bool_or(b)": lambda t: aggregate("bool_or", ref(t, "b")),
    "count(*) FILTER (x > g)": lambda t: aggregate("count_star", where=compare("gt", ref(t, "x"), ref(t, "g"))),
    "sum(x) FILTER (x > g)": lambda t: aggregate("sum", ref(t, "x"), where=compare("gt", ref(t, "x"), ref(t, "g"))),
}
ORDERED = {
    "min(x)": lambda t: aggregate("min", ref(t, "x")),
    "max(x)": lambda t: aggregate("max", ref(t, "x")),
    "min(y)": lambda t: aggregate("min", ref(t, "y")),
    "max(y)": lambda t: aggregate("max", ref(t, "y")),
    "min(s)": lambda t: aggregate("min", ref(t, "s")),
    "max(s)": lambda t: aggregate("max", ref(t, "s")),
    "max(b)": lambda t: aggregate("max", ref(t, "b")),
    "count(DISTINCT y)": lambda t: aggregate("count", ref(t, "y"), distinct=True),
    "count(DISTINCT s)": lambda t: aggregate("count", ref(t, "s"), distinct=True),
    "count(DISTINCT (y, s))": lambda t: aggregate("count", ref(t, "y"), ref(t, "s"), distinct=True),
    "count(DISTINCT (y, b)) FILTER (x > g)": lambda t: aggregate(
        "count", ref(t, "y"), ref(t, "b"), distinct=True, where=compare("gt", ref(t, "x"), ref(t, "g"))
    ),
    "sum(DISTINCT y)": lambda t: aggregate("sum", ref(t, "y"), distinct=True),
    "avg(DISTINCT x)": lambda t: aggregate("avg", ref(t, "x"), distinct=True),
    "first(s ORDER BY y DESC NULLS FIRST, x, s)": lambda t: aggregate(
        "first", *(ref(t, k) for k in "syxs"), options=((True, True), (False, False), (False, False))
    ),
    "first(x ORDER BY s, x) FILTER (x > g)": lambda t: aggregate(
        "first",
        *(ref(t, k) for k in "xsx"),
        options=((False, False),) * 2,
        where=compare("gt", ref(t, "x"), ref(t, "g")),
    ),
    "min(x) FILTER (x > g)": lambda t: aggregate("min", ref(t, "x"), where=compare("gt", ref(t, "x"), ref(t, "g"))),
}
MOMENTS = {
    f"{name}(y)": lambda t, name=name: aggregate(name, ref(t, "y"))
    for name in ("var_samp", "var_pop", "stddev_samp", "stddev_pop")
} | {
    f"{name}(y, x)": lambda t, name=name: aggregate(name, ref(t, "y"), ref(t, "x"))
    for name in (
        "covar_samp", "covar_pop", "corr", "regr_slope", "regr_intercept", "regr_r2", "regr_sxx", "regr_syy",
        "regr_sxy", "regr_avgx", "regr_avgy", "regr_count",
    )
}  # fmt: skip
QUANTILES = {
    "median(x)": lambda t: aggregate("median", ref(t, "x"), kind=DOUBLE),
    "median(y)": lambda t: aggregate("median", ref(t, "y")),
    "median(s)": lambda t: aggregate("median", ref(t, "s")),
    "median(b)": lambda t: aggregate("median", ref(t, "b")),
    "quantile_cont(x, 0.3)": lambda t: aggregate("quantile_cont", ref(t, "x"), options=(Decimal("0.3"),), kind=DOUBLE),
    "quantile_cont(y, 0.9)": lambda t: aggregate("quantile_cont", ref(t, "y"), options=(Decimal("0.9"),)),
    "quantile_cont(y, 1)": lambda t: aggregate("quantile_cont", ref(t, "y"), options=(Decimal(1),)),
    "quantile_disc(y, 0.3)": lambda t: aggregate("quantile_disc", ref(t, "y"), options=(Decimal("0.3"),)),
    "quantile_disc(s, 0)": lambda t: aggregate("quantile_disc", ref(t, "s"), options=(Decimal(0),)),
}
SIZES = [1, 2, 7, 60]


@pytest.mark.parametrize("domain", [(-50, 50), (-5_000, 5_000)])
@pytest.mark.parametrize("keys", [[], ["g"], ["k", "b"], ["s"], ["g", "s", "b"]])
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("absent", [False, True])
def test_group(rows: int, keys: list[str], absent: bool, domain: tuple[int, int]) -> None:
    tables, t = data(rows, rows, domain, absent=absent)
    named = ", ".join(keys)
    for functions in (LINEAR, LINEAR | ORDERED):
        relation = grouped(t, keys, {name: make(t) for name, make in functions.items()})
        sql = f"SELECT {', '.join([*keys, *functions])} FROM t" + (f" GROUP BY {named}" if keys else "")
        tables.check(relation, sql.replace("FILTER (", "FILTER (WHERE "))


@pytest.mark.parametrize("keys", [[], ["g"]])
@pytest.mark.parametrize("rows", SIZES)
def test_statistics(rows: int, keys: list[str]) -> None:
    for functions in (MOMENTS, QUANTILES):
        tables, t = data(rows, rows, absent=True)
        made = grouped(t, keys, {name: make(t) for name, make in functions.items()})
        # Where a statistic is undefined, DuckDB gives NaN for some, NULL for others; here it is NULL.
        shown = [
            f"CASE WHEN NOT isnan(({f})::DOUBLE) THEN {f} END" if "regr" in f or "corr" in f else f for f in functions
        ]
        sql = f"SELECT {', '.join([*keys, *shown])} FROM t" + (f" GROUP BY {', '.join(keys)}" if keys else "")
        tables.check(made, sql)


@pytest.mark.parametrize("rows", SIZES)
def test_mode(rows: int) -> None:
    tables, t = data(rows, rows)
    counted = "SELECT g, k, count(k) AS n FROM t GROUP BY GROUPING SETS ((k), (g, k)) HAVING grouping(g) = {}"
    best = f"SELECT *, max(n) OVER (PARTITION BY g) AS most FROM ({counted})"
    for keys in ([], ["g"]):
        named = ", ".join([*keys, "min(k) FILTER (WHERE n = most)"])
        sql = f"SELECT {named} FROM ({best.format(0 if keys else 1)})" + (" GROUP BY g" if keys else "")
        tables.check(grouped(t, keys, {"mode": aggregate("mode", ref(t, "k"))}), sql)


DOUBLES = {
    "avg(x)": 1e-11, "var_samp(x)": 1e-9, "var_pop(y)": 1e-9, "stddev_samp(y)": 1e-6, "covar_pop(y, x)": 1e-9,
    "corr(y, x)": 1e-5, "regr_slope(y, x)": 1e-5, "regr_intercept(y, x)": 1e-5, "regr_avgx(y, x)": 1e-9,
    "regr_r2(y, x)": 1e-5,
}  # fmt: skip


@pytest.mark.parametrize("protocol", ["plain", "rep3"])
@pytest.mark.parametrize("centre", [0.0, 3e5])
def test_statistics_of_large_doubles(protocol: str, centre: float) -> None:
    rng = np.random.default_rng(5)
    x = np.round((centre + rng.normal(0, 1e5, 400)) * 2**18) / 2**18
    y = np.round((2.5 * x + rng.normal(0, 5e4, 400)) * 2**18) / 2**18
    x[:3], y[:3] = x[0], [1.0, 2.0, 1e5]
    table = pa.table({"g": [*[0] * 3, *(k % 2 + 1 for k in range(397))], "x": x, "y": y})
    table = table.append_column("z", pa.array([None if k % 5 == 0 else v for k, v in enumerate(y.tolist())]))
    functions = [*DOUBLES, "var_samp(z)", "avg(z)"]
    # Of the first group x is one value thrice.
    sql = f"SELECT g, {', '.join(functions)} FROM t WHERE g > 0 GROUP BY g ORDER BY g"
    flat = "SELECT var_pop(x), covar_pop(y, x), regr_slope(y, x), corr(y, x) FROM t WHERE g = 0"
    with tacit.local(transport="memory", protocol=protocol) as session:
        session.table("t", {0: table.slice(0, 200), 2: table.slice(200)})
        got = session.sql(sql).reveal().table
        zeros = session.sql(flat.replace("t WHERE", "t GROUP BY g HAVING")).reveal().table.to_pylist()[0]
    want = duckdb.connect().register("t", table).execute(sql).fetchall()
    for k, name in enumerate(functions, 1):
        for mine, theirs in zip(got.column(k).to_pylist(), (row[k] for row in want), strict=True):
            assert mine == pytest.approx(theirs, rel=DOUBLES.get(name, 1e-9), abs=1e-5), name
    assert [v is None or abs(v) < 1e-3 for v in zeros.values()] == [True] * 4


@pytest.mark.parametrize("keys", [["b"], ["k"], ["c", "b"]])
def test_group_by_code(keys: list[str]) -> None:
    tables, t = data(3, 40, (-9, 9), absent=True)
    tables.check(
        grouped(t, keys, {name: make(t) for name, make in LINEAR.items()}),
        f"SELECT {', '.join([*keys, *LINEAR])} FROM t GROUP BY {', '.join(keys)}".replace("FILTER (", "FILTER (WHERE "),
    )


@pytest.mark.parametrize("keys", [["k"], ["k", "s", "b"]])
@pytest.mark.parametrize("rows", SIZES)
def test_distinct(rows: int, keys: list[str]) -> None:
    tables, t = data(5, rows)
    columns = Project(t, tuple((column(t, k), ref(t, k)) for k in keys))
    tables.check(Distinct(columns), f"SELECT DISTINCT {', '.join(keys)} FROM t")


@pytest.mark.parametrize("rows", SIZES)
def test_sort_and_limit(rows: int) -> None:
    tables, t = data(6, rows)
    columns = Project(t, tuple((column(t, k), ref(t, k)) for k in ("s", "b", "x", "y", "g")))
    keys = (
        SortKey(ref(t, "s"), True, False), SortKey(ref(t, "b"), False, True), SortKey(ref(t, "x"), True),
        SortKey(ref(t, "y")), SortKey(ref(t, "g")),
    )  # fmt: skip
    order = "ORDER BY s DESC NULLS LAST, b NULLS FIRST, x DESC, y NULLS LAST, g NULLS LAST"
    tables.check(Sort(columns, keys), f"SELECT s, b, x, y, g FROM t {order}")
    for size, offset in ((3, 0), (4, 2), (None, 1), (100, 0), (0, 0), (2, 100)):
        limit = f"{'' if size is None else f'LIMIT {size}'} OFFSET {offset}"
        tables.check(Limit(Sort(columns, keys), size, offset), f"SELECT s, b, x, y, g FROM t {order} {limit}")
    assert len(tables.rows(Limit(columns, 3, 1))) == len(tables.expected("SELECT * FROM t LIMIT 3 OFFSET 1"))


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("kind", ["union", "intersect", "except"])
@pytest.mark.parametrize("rows", [(1, 1), (9, 5), (5, 30), (40, 30)])
def test_sets(rows: tuple[int, int], kind: Any, every: bool) -> None:
    rng = np.random.default_rng(7)
    tables = Tables(Oracle())
    made = []
    for name, n, party in zip("uv", rows, (0, 1), strict=True):
        texts = ["a", "abcdefgh", ""] if name == "u" else ["a", "b", ""]
        given = {
            "i": [None if rng.random() < 0.3 else int(v) for v in rng.integers(0, 3, n)],
            "s": [None if rng.random() < 0.2 else texts[v] for v in rng.integers(0, 3, n)],
        }
        made.append(tables.table(name, given, types={"s": TEXT}, absent=rng.random(n) < 0.2, party=party))
    columns = tuple(Column(c, column(made[0], c).type, True, column(made[0], c).domain) for c in "is")
    tables.check(
        SetOperation(kind, every, made[0], made[1], columns),
        f"SELECT * FROM u {kind.upper()} {'ALL' if every else ''} SELECT * FROM v",
    )


def test_filter_project_and_values() -> None:
    tables, t = data(8, 30)
    kept = Filter(t, compare("lt", ref(t, "x"), ref(t, "y")))
    tables.check(
        Project(kept, ((column(t, "x"), ref(t, "x")), (column(t, "s"), ref(t, "s")))),
        "SELECT x, s FROM t WHERE x < y * 100",
    )
    names = (Column("a", BIGINT, True, Interval(0, 3)), Column("b", TEXT, True, Interval(0, 9)))
    rows = ((Constant(1, BIGINT), Constant("long text", TEXT)), (Constant(None, BIGINT), Constant(None, TEXT)))
    tables.check(Values(names, rows), "VALUES (1, 'long text'), (NULL, NULL)")
    assert tables.rows(Values(names, ())) == []


def test_tables_without_rows() -> None:
    tables = Tables(Oracle())
    e = tables.table("e", {"a": [], "b": []})
    tables.check(e, "SELECT * FROM e")
    functions = {"count(*)": aggregate("count_star"), "sum(a)": aggregate("sum", ref(e, "a"))}
    tables.check(grouped(e, [], functions), "SELECT count(*), sum(a) FROM e")
    tables.check(grouped(e, ["b"], functions), "SELECT b, count(*), sum(a) FROM e GROUP BY b")
    tables.check(Sort(e, (SortKey(ref(e, "a")),)), "SELECT * FROM e ORDER BY a")


def test_small_groups_are_hidden_and_counted() -> None:
    tables, t = data(9, 60)
    relation = grouped(t, ["g"], {"count(*)": aggregate("count_star")})
    lowered = tables.lower(relation, min_group=5)
    assert sorted(tables.shown(lowered), key=str) == sorted(
        tables.expected("SELECT g, count(*) FROM t GROUP BY g HAVING count(*) >= 5"), key=str
    )
    assert lowered.hidden is not None
    small = tables.expected("SELECT g FROM t GROUP BY g HAVING count(*) < 5")
    assert int(lowered.hidden.reveal()) == len(small) > 0


def test_what_may_not_fit_is_refused_with_its_place() -> None:
    tables = Tables(Oracle())
    t = tables.table("t", {"g": [1, 2], "x": [3, 4]}, domain=(-(2**61), 2**61))
    squares = Aggregate("sum", (ref(t, "x"),), BIGINT, True, WIDE, at=(2, 9))
    assert tables.rows(grouped(t, ["g"], {"a": squares})) == [(1, 3), (2, 4)]
    columns = tuple(Column(c.name, c.type, True, c.domain) for c in t.columns)
    more = SetOperation("union", True, t, SetOperation("union", True, t, t, columns), columns)
    with pytest.raises(SqlError, match=r"SQL-008 .*group at line 2, column 9"):
        tables.lower(grouped(more, ["g"], {"a": replace(squares, args=(ref(more, "x"),))}))
