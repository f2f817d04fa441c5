# SPDX-License-Identifier: Apache-2.0
"""The 22 queries of TPC-H agree with DuckDB, however their tables are split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import tacit
from tacit.bench import tpch


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    found = tpch.generate(0.001)
    # With ten suppliers in all, some supply a part more than once.
    once = "SELECT DISTINCT ON (ps_partkey, ps_suppkey) * FROM partsupp ORDER BY ALL"
    return found | {"partsupp": tpch.oracle(found).sql(once).to_arrow_table()}


@pytest.fixture(scope="module", params=["vertical", "horizontal"])
def session(request: pytest.FixtureRequest, tables: dict[str, Any]) -> Iterator[tacit.Session]:
    with tacit.local(transport="memory", protocol="plain") as made:
        tpch.register(made, tables, request.param)
        yield made


@pytest.mark.parametrize("number", tpch.QUERIES)
def test_query(session: tacit.Session, tables: dict[str, Any], number: int) -> None:
    (row,) = tpch.measure(session, tables, [number])
    assert row["rounds"] > 0


def test_on_shares(tables: dict[str, Any]) -> None:
    """Joins, groups, text, averages and an outer join, computed on shares."""
    with tacit.local(transport="memory", protocol="rep3") as session:
        tpch.register(session, tables, "vertical")
        assert len(list(tpch.measure(session, tables, [3, 8, 13, 22]))) == 4


def test_other_rows_are_not_the_same() -> None:
    assert tpch.same([(1, 0.1 + 0.2)], [(1, 0.3)])
    assert not tpch.same([(1, 2)], [(1, 3)])
    assert not tpch.same([(1,)], [(1,), (1,)])
