# SPDX-License-Identifier: Apache-2.0
"""The support table tells the truth: each example agrees with DuckDB, or is refused as the table says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from sql import pages, support
from tacit.errors import SqlError
from tacit.frontends.sql.algebra import Home
from tacit.session.session import Session

QUERIES = [pytest.param(c, text, id=f"{c.name}-{c.example[:30]}") for c, text in support.queries()]


@pytest.fixture(scope="module")
def oracle() -> Iterator[duckdb.DuckDBPyConnection]:
    with support.oracle() as connection:
        yield connection


@pytest.fixture(scope="module")
def spread() -> Iterator[Session]:
    with support.spread() as session:
        yield session


@pytest.fixture(scope="module")
def owned() -> Iterator[Session]:
    with support.owned() as session:
        yield session


@pytest.mark.parametrize(("construct", "text"), QUERIES)
def test_over_rows_of_several_parties(
    construct: support.Construct, text: str, spread: Session, oracle: duckdb.DuckDBPyConnection
) -> None:
    check(spread, oracle, text, construct.secret)
    # One party alone must not have computed it, or the table would not speak of secrets.
    assert construct.secret or not isinstance(spread.sql(text)._query.relation, Home)


@pytest.mark.parametrize(("construct", "text"), QUERIES)
def test_over_tables_of_one_party(
    construct: support.Construct, text: str, owned: Session, oracle: duckdb.DuckDBPyConnection
) -> None:
    check(owned, oracle, text, construct.owner)


def test_each_example_has_one_answer(oracle: duckdb.DuckDBPyConnection) -> None:
    """Rows that tie come in a random order, so an example whose answer they decide would agree only now and then."""
    with support.oracle() as turned:
        for name in ("t", "u"):
            turned.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM {name} ORDER BY rowid DESC")
        asked = [text for construct, text in support.queries() if not (construct.secret and construct.owner)]
        answers = [[list(map(place, rows(c.sql(text).fetchall(), text))) for text in asked] for c in (oracle, turned)]
    assert [text for text, one, other in zip(asked, *answers, strict=True) if one != other] == []


def check(session: Session, oracle: duckdb.DuckDBPyConnection, text: str, code: str) -> None:
    """A query is refused with the code, or gives the names, types and rows that DuckDB gives."""
    if code:
        with pytest.raises(SqlError) as refused:
            session.sql(text)
        assert refused.value.code == code, str(refused.value)
        return
    expected = oracle.sql(text)
    frame = session.sql(text)
    assert frame.names == tuple(expected.columns)
    assert [kind for _, kind in frame.schema] == [str(t) for t in expected.types]
    table = frame.reveal().table
    got = rows(list(zip(*(c.to_pylist() for c in table.columns), strict=True)), text)
    want = rows(expected.fetchall(), text)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert all(map(alike, a, b)), (a, b)


def rows(found: list[tuple[Any, ...]], text: str) -> list[tuple[Any, ...]]:
    """Rows as they compare: in the order that the query asks for, or in one of ours."""
    return found if "ORDER BY" in text.rpartition(")")[2] else sorted(found, key=place)


def place(row: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row)


def alike(x: Any, y: Any) -> bool:
    """Floats are fixed point here, with 18 binary places."""
    return x == y or (isinstance(x, float) and isinstance(y, float) and math.isclose(x, y, rel_tol=1e-4, abs_tol=1e-4))


def test_the_pages_are_not_stale() -> None:
    made = pages.pages()
    assert len(made) > 10
    assert [name for name, text in made.items() if (pages.FOLDER / name).read_text(encoding="utf-8") != text] == []
