# SPDX-License-Identifier: Apache-2.0
"""Joins of secret tables against DuckDB, by every strategy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from plan_oracle import Oracle
from sql.tables import Tables, column, compare, ref
from tacit.errors import SqlError
from tacit.frontends.sql.algebra import Column, Join, Limit, Project, Sort, SortKey, conjunction
from tacit.frontends.sql.types import BOOLEAN
from tacit.plan import Interval


def values(rng: np.random.Generator, n: int, lo: int, hi: int, nulls: float = 0.2) -> list[Any]:
    return [None if rng.random() < nulls else int(v) for v in rng.integers(lo, hi + 1, n)]


def distinct(rng: np.random.Generator, n: int, nulls: float = 0.2) -> list[Any]:
    return [None if rng.random() < nulls else int(v) for v in rng.permutation(np.arange(-n, n))[:n]]


def two(
    seed: int, n: int, m: int, *, left: bool, right: bool, absent: bool = True, nulls: float = 0.2
) -> tuple[Tables, Any, Any]:
    """Tables l(k, x) and r(k, y), whose key is unique as asked."""
    rng = np.random.default_rng(seed)
    tables = Tables(Oracle())
    made = []
    for name, payload, rows, unique, party in (("l", "x", n, left, 0), ("r", "y", m, right, 1)):
        keys = distinct(rng, rows, nulls) if unique else values(rng, rows, -4, 4, nulls)
        made.append(
            tables.table(
                name,
                {"k": keys, payload: values(rng, rows, -3, 3)},
                unique=["k"] if unique else [],
                party=party,
                absent=rng.random(rows) < 0.3 if absent else None,
            )
        )
    return tables, *made


SIZES = [(1, 1), (2, 9), (7, 40), (40, 7)]
SQL = {"inner": "JOIN", "left": "LEFT JOIN", "full": "FULL JOIN"}


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("unique", [(True, False), (False, True), (True, True), (False, False)])
@pytest.mark.parametrize("kind", ["inner", "left", "full"])
def test_join(kind: Any, unique: tuple[bool, bool], sizes: tuple[int, int], absent: bool) -> None:
    for residual in (False, True):
        tables, left, right = two(1, *sizes, left=unique[0], right=unique[1], absent=absent, nulls=0.2 * absent)
        condition = compare("eq", ref(left, "k"), ref(right, "k"))
        if residual:
            condition = conjunction((condition, compare("lt", ref(left, "x"), ref(right, "y"))))
        more = " AND l.x < r.y" if residual else ""
        tables.check(Join(kind, left, right, condition), f"SELECT * FROM l {SQL[kind]} r ON l.k = r.k{more}")


@pytest.mark.parametrize("sizes", [(1, 1), (9, 2), (5, 30), (30, 40)])
@pytest.mark.parametrize("residual", ["", "ne", "lt"])
@pytest.mark.parametrize("unique", [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("kind", ["semi", "anti", "mark"])
def test_existence(kind: Any, unique: tuple[bool, bool], residual: str, sizes: tuple[int, int]) -> None:
    tables, left, right = two(2, *sizes, left=unique[0], right=unique[1])
    condition = compare("eq", ref(left, "k"), ref(right, "k"))
    more = ""
    if residual:
        condition = conjunction((condition, compare(residual, ref(left, "x"), ref(right, "y"))))
        more = f" AND l.x {'<>' if residual == 'ne' else '<'} r.y"
    mark = Column("mark", BOOLEAN, False, Interval(0, 1)) if kind == "mark" else None
    exists = f"EXISTS (SELECT 1 FROM r WHERE l.k = r.k{more})"
    sql = {
        "semi": f"SELECT * FROM l WHERE {exists}",
        "anti": f"SELECT * FROM l WHERE NOT {exists}",
        "mark": f"SELECT *, {exists} FROM l",
    }
    tables.check(Join(kind, left, right, condition, mark), sql[kind])


@pytest.mark.parametrize("nulls", [0.0, 0.3])
@pytest.mark.parametrize("sizes", [*SIZES, (30, 40)])
@pytest.mark.parametrize("kind", ["anti", "mark"])
def test_in_with_nulls(kind: Any, sizes: tuple[int, int], nulls: float) -> None:
    tables, left, right = two(3, *sizes, left=False, right=False, nulls=nulls)
    condition = compare("eq", ref(left, "k"), ref(right, "k"))
    mark = Column("mark", BOOLEAN, True, Interval(0, 1)) if kind == "mark" else None
    sql = (
        "SELECT * FROM l WHERE k NOT IN (SELECT k FROM r)"
        if kind == "anti"
        else "SELECT *, k IN (SELECT k FROM r) FROM l"
    )
    tables.check(Join(kind, left, right, condition, mark, null_aware=True), sql)


def test_scalar_subquery_and_cross_join() -> None:
    tables, left, right = two(4, 9, 12, left=False, right=True)
    single = Join("single", left, right, compare("eq", ref(left, "k"), ref(right, "k")))
    tables.check(single, "SELECT l.*, r.* FROM l LEFT JOIN r ON l.k = r.k")
    tables.check(Join("inner", left, right, None), "SELECT * FROM l, r")


def test_rows_are_in_no_order_that_tells_more_than_they_show() -> None:
    tables, left, right = two(5, 12, 20, left=True, right=False)
    joined = Join("inner", left, right, compare("eq", ref(left, "k"), ref(right, "k")))
    shown = Project(joined, tuple((column(joined, c), ref(joined, c)) for c in "xy"))
    # Keys are not shown: rows come in the order of what is, not of the keys by which they were joined.
    rows = [tuple((v is None, v or 0) for v in row) for row in tables.rows(shown)]
    assert rows == sorted(rows)
    # Rows that are equal in what the query orders by are no exception.
    by_y = Project(Sort(joined, (SortKey(ref(joined, "y")),)), shown.items)
    rows = [tuple((v is None, v or 0) for v in row) for row in tables.rows(by_y)]
    assert rows == sorted(rows, key=lambda row: row[::-1])
    assert tables.rows(Limit(shown, 3)) == tables.rows(shown)[:3]


def test_a_product_that_is_too_large_is_refused_before_anything_is_computed() -> None:
    tables = Tables(Oracle())
    left, right = (
        tables.table(name, {"k": [0] * 3000, "x": [0] * 3000}, party=party) for party, name in enumerate("lr")
    )
    joined = Join("inner", left, right, compare("eq", ref(left, "k"), ref(right, "k")), at=(1, 20))
    with pytest.raises(SqlError, match=r"SQL-010 .*line 1, column 20 would have 9000000 rows of 6 words"):
        tables.lower(joined)
