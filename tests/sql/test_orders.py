# SPDX-License-Identifier: Apache-2.0
"""Operators that want rows in one order sort them once, and answer as DuckDB does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import tacit as tc

N, M = 60, 150


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    """people(id, city, band), labs and tests(id, value) with unique ids, visits(id, day, cost, note)."""
    rng = np.random.default_rng(5)

    def some(n: int, hi: int, nulls: float = 0.1) -> pa.Array:
        return pa.array([None if rng.random() < nulls else int(v) for v in rng.integers(0, hi, n)], pa.int64())

    people = {"id": pa.array(rng.permutation(N) * 1000), "city": some(N, 90), "band": some(N, 400)}
    visits = {
        "id": pa.array([None if v is None else v * 1000 for v in some(M, N + 20).to_pylist()], pa.int64()),
        "day": pa.array(rng.permutation(M)),
        "cost": some(M, 500),
        "note": pa.array([f"note {v}" for v in rng.integers(0, 40, M)]),
    }
    made = {"people": people, "visits": visits}
    for name, rows in (("labs", 2 * N), ("tests", N // 2)):
        ids = (rng.permutation(2 * rows)[: rows - 1] * 1000).tolist()
        made[name] = {"id": pa.array([None, *ids]), "value": some(rows, 50)}
    return {name: pa.table(columns) for name, columns in made.items()}


@pytest.fixture(scope="module", params=["vertical", "horizontal"])
def session(request: pytest.FixtureRequest, tables: dict[str, pa.Table]) -> Iterator[tc.Session]:
    with tc.local(transport="memory", protocol="plain") as made:
        for k, (name, table) in enumerate(tables.items()):
            parts = {(k + k // 3) % 3: table}
            if request.param == "horizontal":
                parts = {p: table.take(list(range(p, len(table), 3))) for p in range(3)}
            made.table(name, parts, unique=[] if name == "visits" else ["id"])
        yield made


EACH = "FROM people p JOIN labs l ON p.id = l.id JOIN visits v ON p.id = v.id"
JOIN = "FROM people p JOIN visits v ON p.id = v.id"
CASES = {
    "a join and groups by its key": (
        f"SELECT p.id, sum(cost) AS s, count(*) AS n, count(cost) AS c, avg(day) AS a {JOIN} GROUP BY p.id", 1
    ),
    "groups by the other table's key": (f"SELECT v.id, sum(day * p.band) AS s {JOIN} GROUP BY v.id ORDER BY v.id", 1),
    "a join, groups by its key and more that it decides": (
        f"SELECT p.id, p.city, max(p.id) AS m, sum(cost) AS s {JOIN} GROUP BY p.id, p.city", 2
    ),
    "a filter between join and groups": (
        f"SELECT p.id, sum(cost) AS s {JOIN} WHERE v.cost > p.band GROUP BY p.id ORDER BY 1", 1
    ),
    "an outer join and groups by the key that it keeps": (
        "SELECT p.id, sum(cost) AS s, count(cost) AS n FROM people p LEFT JOIN visits v ON p.id = v.id GROUP BY p.id", 1
    ),
    "a join in the order of its key": (f"SELECT p.id, day, cost {JOIN} WHERE day > 3 ORDER BY p.id, day", 2),
    "a semi join in the order of its key": (
        "SELECT id, city FROM people p WHERE EXISTS (FROM visits v WHERE v.id = p.id AND v.cost > 9) ORDER BY id", 1
    ),
    "groups in order": (f"SELECT city, band, sum(cost) AS s {JOIN} GROUP BY band, city ORDER BY city, band", 2),
    "groups in another direction": (
        f"SELECT city, band, sum(cost) AS s {JOIN} GROUP BY band, city "
        "ORDER BY city DESC NULLS FIRST, band NULLS FIRST", 2
    ),
    "groups in the order of something else": (
        f"SELECT city, sum(cost) AS s {JOIN} GROUP BY city ORDER BY s, city", 3
    ),
    "groups of groups": (
        "SELECT city, count(*) AS n FROM "
        f"(SELECT city, band, sum(day) AS s {JOIN} GROUP BY city, band ORDER BY city, band) GROUP BY city ORDER BY 1", 2
    ),
    "three tables by one key": (f"SELECT p.id, v.id AS other, city, value, day, cost, note {EACH}", 1),
    "three tables, filtered": (f"SELECT l.id, city, value, note {EACH} WHERE p.band > 100 AND l.value + day > 9", 2),
    "three tables and groups by their key": (
        f"SELECT l.id, value, sum(cost) AS s {EACH} GROUP BY ALL ORDER BY l.id", 1
    ),
    "three tables, two keys": (
        "SELECT p.id, a.value, b.value AS v FROM people p JOIN labs a ON p.id = a.id JOIN labs b ON p.band = b.id", 2
    ),
    "three unique tables": (
        "SELECT p.id, p.city, l.value, q.value AS v FROM people p JOIN labs l ON p.id = l.id "
        "JOIN tests q ON q.id = l.id ORDER BY p.id", 1
    ),
    "different rows in order": (f"SELECT DISTINCT city, band {JOIN} ORDER BY band DESC, city", 2),
    "windows of one order": (
        "SELECT day, sum(cost) OVER (PARTITION BY v.id ORDER BY day) AS s, count(*) OVER (PARTITION BY v.id) AS n "
        f"{JOIN} WHERE p.band > v.cost", 2
    ),
    "windows over a join in its order": (f"SELECT day, count(*) OVER (PARTITION BY v.id) AS n {JOIN}", 1),
    "windows that nobody reads": (
        f"SELECT day FROM (SELECT day, lag(cost) OVER (ORDER BY day) AS s {JOIN}) ORDER BY day", 2
    ),
    "windows over groups": (
        "SELECT city, band, s, row_number() OVER (PARTITION BY city ORDER BY band) AS k "
        f"FROM (SELECT city, band, sum(day) AS s {JOIN} GROUP BY city, band)", 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rows_are_sorted_once(session: tc.Session, tables: dict[str, pa.Table], name: str) -> None:
    text, sorts = CASES[name]
    frame = session.sql(text)
    database = duckdb.connect()
    for table, rows in tables.items():
        database.register(table, rows)
    ours = [tuple(row.values()) for row in frame.reveal().table.to_pylist()]
    expected = database.execute(text).fetchall()
    assert ours == expected if "ORDER BY" in text and "OVER" not in text else Counter(ours) == Counter(expected)
    assert Counter(node.op for node in frame.plan().nodes)["sort_by"] == sorts
