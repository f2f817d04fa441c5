# SPDX-License-Identifier: Apache-2.0
"""DuckDB beside the front end: a catalogue of its tables, and one query in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from tacit.frontends.sql.bind import bind
from tacit.frontends.sql.catalogue import Catalogue, Field, Part, Table
from tacit.frontends.sql.constants import raw_value
from tacit.frontends.sql.functions import DOUBLE_ONE
from tacit.frontends.sql.render import render
from tacit.frontends.sql.types import parse_type
from tacit.plan import Interval

Unique = Mapping[str, Sequence[tuple[str, ...]]]


def connect() -> duckdb.DuckDBPyConnection:
    """DuckDB with one thread, where division by zero gives NULL as it does here."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET ieee_floating_point_ops = false; SET error_on_division_by_zero = false")
    return connection


def catalogue(connection: duckdb.DuckDBPyConnection, unique: Unique | None = None) -> Catalogue:
    """The tables of a connection, with the ranges that their values have."""
    found = Catalogue()
    names = "SELECT table_name FROM information_schema.tables ORDER BY 1"
    for (name,) in connection.execute(names).fetchall():
        ((rows,),) = connection.execute(f'SELECT count(*) FROM "{name}"').fetchall()
        fields = []
        for column, text, *_ in connection.execute(f'DESCRIBE "{name}"').fetchall():
            kind = parse_type(text)
            assert kind is not None, text
            value = f'strlen("{column}")' if kind.kind == "text" else f'"{column}"'
            query = f'SELECT min({value}), max({value}), count(*) FILTER ({value} IS NULL) FROM "{name}"'
            ((lo, hi, nulls),) = connection.execute(query).fetchall()
            if lo is None:
                domain = Interval(0, 0)
            elif kind.kind == "double":
                domain = Interval(int(lo * DOUBLE_ONE) - 1, int(hi * DOUBLE_ONE) + 1)
            else:
                domain = Interval(*(v if kind.kind == "text" else raw_value(v, kind) for v in (lo, hi)))
            fields.append(Field(column, kind, nulls > 0, domain))
        keys = tuple((unique or {}).get(name, ()))
        found.add(Table(name, tuple(fields), (Part(0, name, rows),), keys))
    return found


def rows_in_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows as they compare: doubles to 9 digits, and in an order of their own."""

    def shown(value: Any) -> tuple[bool, str]:
        return value is None, f"{value:.9g}" if isinstance(value, float) else str(value)

    return sorted(tuple(map(shown, row)) for row in rows)


def check(connection: duckdb.DuckDBPyConnection, tables: Catalogue, query: str, names: bool = True) -> None:
    """A query bound and rendered gives DuckDB's own answer, types and names."""
    bound = bind(query, tables)
    text = render(bound.relation, "duckdb", {t.name: (t.name,) for t in tables.tables.values()})
    expected, ours = connection.cursor().sql(query), connection.cursor().sql(text)
    assert ours.columns == [f"c{k}" for k in range(len(bound.names))]
    kinds = [str(t).replace('"', "") for t in expected.types]
    assert [str(c.type) for c in bound.relation.columns] == kinds
    assert [str(t).replace('"', "") for t in ours.types] == kinds
    assert rows_in_order(ours.fetchall()) == rows_in_order(expected.fetchall()), text
    if names:
        assert list(bound.names) == expected.columns
