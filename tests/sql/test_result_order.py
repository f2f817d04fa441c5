# SPDX-License-Identifier: Apache-2.0
"""The order of a result's rows tells nothing that their values do not: not whose a row is, nor where it stood."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

import tacit as tc

N = 40


@pytest.fixture(scope="module")
def session() -> Iterator[tc.Session]:
    with tc.local(transport="memory") as s:
        parts = {p: pa.table({"x": np.arange(p * N, p * N + N), "k": np.arange(N) % 2}) for p in range(3)}
        s.table("divided", parts)
        s.table("paired", parts[0], party=1, unique="x")
        s.table("keyed", parts, unique="x")
        s.table("one", parts[0], party=0)
        s.table("other", parts[1], party=1)
        yield s


@pytest.mark.parametrize(
    "text",
    [
        "SELECT x FROM divided",
        "SELECT x + 1 AS x FROM divided WHERE x % 3 = 0",
        "SELECT x FROM divided LIMIT 60",
        "SELECT x FROM one UNION ALL SELECT x FROM other",
        "SELECT x FROM divided ORDER BY k",
    ],
)
def test_whose_a_row_is_does_not_show_in_its_place(session: tc.Session, text: str) -> None:
    query = session.sql(text)
    assert any(node.op == "shuffle_rows" for node in query.plan().nodes)
    first, second = (query.reveal().table.column("x").to_pylist() for _ in range(2))
    assert first != sorted(first) and first != second
    if "LIMIT" not in text:
        assert sorted(first) == sorted(second)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT row_number() OVER () AS n, x FROM divided ORDER BY n",
        "SELECT lag(x) OVER (ORDER BY k) AS n, x FROM divided ORDER BY x",
        "SELECT last_value(x) OVER (ORDER BY k) AS n, x FROM divided ORDER BY x",
        "SELECT sum(x) OVER (PARTITION BY k ORDER BY k ROWS 2 PRECEDING) AS n, x FROM divided ORDER BY x",
        "SELECT x AS n, x FROM divided QUALIFY row_number() OVER (PARTITION BY k) <= 10 ORDER BY x",
        "SELECT DISTINCT ON (x % 10) x AS n, x FROM divided ORDER BY x % 10",
        "SELECT first(x ORDER BY k) AS n, x % 10 AS x FROM divided GROUP BY x % 10 ORDER BY 2",
        "SELECT sum(x) AS n FROM (SELECT x FROM divided ORDER BY k LIMIT 10)",
        "SELECT any_value(x) AS n, x % 10 AS x FROM divided GROUP BY x % 10 ORDER BY 2",
    ],
)
def test_whose_a_row_is_does_not_show_in_what_falls_somehow(session: tc.Session, text: str) -> None:
    query = session.sql(text)
    first, second = (query.reveal().table.to_pydict() for _ in range(2))
    assert first != second


def test_a_window_tells_nothing_of_the_order_of_another(session: tc.Session) -> None:
    text = (
        "SELECT count(*) OVER (PARTITION BY p.k) AS n, row_number() OVER () AS m, one.x FROM one JOIN paired AS p"
        " ON one.x = p.x ORDER BY m"
    )
    assert len({tuple(session.sql(text).reveal().table["x"].to_pylist()) for _ in range(2)}) == 2


@pytest.mark.parametrize(
    "text",
    [
        "SELECT x FROM one",
        "SELECT x FROM divided ORDER BY x",
        "SELECT sum(x) FROM divided",
        "SELECT x, rank() OVER (ORDER BY k) AS n, sum(x) OVER (PARTITION BY k) AS s FROM divided ORDER BY x, n, s",
        "SELECT lag(x) OVER (ORDER BY k) AS n, k, x FROM one ORDER BY x",
        "SELECT row_number() OVER (ORDER BY x) AS n, k FROM keyed ORDER BY n, k",
        "SELECT k, first(x ORDER BY x) AS n FROM keyed GROUP BY k",
    ],
)
def test_nothing_is_shuffled_where_places_tell_nothing(session: tc.Session, text: str) -> None:
    assert not any(node.op == "shuffle_rows" for node in session.sql(text).plan().nodes)
