# SPDX-License-Identifier: Apache-2.0
"""Rules of rewriting: what each makes of a query, where it leaves it alone, and that the answer stays."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest

from sql_oracle import catalogue, connect, rows_in_order
from tacit.frontends.sql.algebra import (
    Call,
    Filter,
    Group,
    Join,
    Relation,
    Scan,
    conjuncts,
    references,
    relations,
)
from tacit.frontends.sql.bind import bind
from tacit.frontends.sql.bounds import Choice, choices_of, parties_of, rows_of
from tacit.frontends.sql.catalogue import Catalogue
from tacit.frontends.sql.render import render
from tacit.frontends.sql.rewrite import rewrite
from tacit.plan import Interval

TABLES = """
CREATE TABLE shops AS SELECT i AS id, concat('shop number ', i % 7) AS name, chr(CAST(97 + i % 3 AS INT)) AS kind,
    i * 3 AS size FROM range(10) r(i);
CREATE TABLE sales AS SELECT i AS id, (i * 7) % 12 AS shop, (i * 13) % 11 AS amount, (i % 5) AS item,
    DATE '2020-01-01' + CAST(i * 40 AS INT) AS day FROM range(90) r(i);
CREATE TABLE items AS SELECT i AS id, i * 2 AS price, chr(CAST(65 + i AS INT)) AS code FROM range(5) r(i);
"""
PARTIES = {"shops": 0, "sales": 1, "items": 2}


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    connection = connect()
    connection.execute(TABLES)
    return connection


@pytest.fixture(scope="module")
def tables(database: duckdb.DuckDBPyConnection) -> Catalogue:
    """shops at party 0, sales at party 1, items at party 2."""
    found = Catalogue()
    for table in catalogue(database, {name: [("id",)] for name in PARTIES}).tables.values():
        parts = tuple(replace(p, party=PARTIES[table.name]) for p in table.parts)
        found.add(replace(table, parts=parts))
    return found


def rewritten(query: str, tables: Catalogue, database: duckdb.DuckDBPyConnection) -> Relation:
    """A query after all rules, which still gives DuckDB's answer."""
    relation = rewrite(bind(query, tables)).relation
    text = render(relation, "duckdb", {name: (name,) for name in PARTIES})
    assert rows_in_order(database.sql(text).fetchall()) == rows_in_order(database.sql(query).fetchall())
    return relation


# --- filters above what is shared -----------------------------------------------------------------------------------


def filters(relation: Relation) -> list[tuple[bool, list[str]]]:
    """Of each filter whether it stands on a table, and the columns that it reads."""
    found = [r for r in relations(relation) if isinstance(r, Filter)]
    return [(isinstance(f.source, Scan), sorted({c.name for c in references(f.predicate)})) for f in found]


JOINED = "FROM sales JOIN shops ON sales.shop = shops.id"
SHARED = f"WITH s AS (SELECT item, kind, size, amount {JOINED}) "
GROUPS = f"WITH s AS (SELECT item, kind, sum(amount) AS a {JOINED} GROUP BY ALL) "


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # Everybody asks for it.
        (f"{SHARED} SELECT count(*), (SELECT sum(size) FROM s WHERE item = 2) FROM s WHERE item = 2", [["item"]]),
        # Everybody asks for something else of one table; each still asks for its own.
        (
            f"{GROUPS} SELECT x.a, y.a FROM s x, s y WHERE x.kind = y.kind AND x.item = 1 AND y.item = 2",
            [["item"]],
        ),
        # Of both, and of something that only groups have.
        (
            f"{GROUPS} SELECT kind FROM s WHERE item = 1 AND kind = 'a' AND a > 3"
            " UNION ALL SELECT kind FROM s WHERE item = 3 AND kind < 'c'",
            [["item"], ["kind"]],
        ),
        # In what is shared within what is shared.
        (
            "WITH t AS (SELECT item, kind FROM sales, shops WHERE shop = shops.id), s AS (SELECT * FROM t)"
            " SELECT a.kind FROM s a, s b, t c WHERE a.kind < b.kind AND a.item = 4 AND b.item = 4 AND c.item < 2",
            [["item"]],
        ),
        # Somebody asks for all rows, or for what no one table tells.
        (f"{SHARED} SELECT count(*), (SELECT sum(size) FROM s WHERE item = 2) FROM s", []),
        (
            f"{SHARED} SELECT count(*), (SELECT sum(size) FROM s WHERE item > size) FROM s WHERE item = amount + size",
            [],
        ),
        # Another row would be the first.
        (
            "WITH s AS (SELECT * FROM sales ORDER BY id LIMIT 9)"
            " SELECT count(*), (SELECT max(id) FROM s WHERE item = 1) FROM s WHERE item = 1",
            [],
        ),
        (
            "WITH s AS (SELECT item, row_number() OVER (ORDER BY id) AS n FROM sales)"
            " SELECT count(*), (SELECT max(n) FROM s WHERE item = 1) FROM s WHERE item = 1",
            [],
        ),
    ],
)
def test_what_all_readers_of_a_relation_ask_for_moves_to_its_tables(
    query: str, expected: list[list[str]], tables: Catalogue, database: duckdb.DuckDBPyConnection
) -> None:
    found = filters(rewritten(query, tables, database))
    assert sorted(columns for on_table, columns in found if on_table) == expected


def test_what_moves_into_a_shared_relation_is_not_asked_again(
    tables: Catalogue, database: duckdb.DuckDBPyConnection
) -> None:
    query = f"{SHARED} SELECT sum(size), (SELECT sum(amount) FROM s WHERE item = 2) FROM s WHERE item = 2"
    assert filters(rewritten(query, tables, database)) == [(True, ["item"])]


def test_what_is_shared_many_times_over_is_looked_at_once(tables: Catalogue) -> None:
    # Twice as many paths with each level.
    levels = ", ".join(f"s{k} AS (FROM s{k - 1} UNION ALL FROM s{k - 1})" for k in range(1, 25))
    query = (
        f"WITH s0 AS (SELECT item, kind {JOINED}), {levels} SELECT count(*) FROM s24 a, s24 b"
        " WHERE a.kind < b.kind AND a.item = 1 AND b.item = 2"
    )
    found = filters(rewrite(bind(query, tables)).relation)
    assert [columns for on_table, columns in found if on_table] == [["item"]]


# --- numbers that stand for text --------------------------------------------------------------------------------------


def keys(relation: Relation) -> list[list[str]]:
    """The types of the keys of each group, the first to be computed first."""
    return [[e.type.kind for _, e in r.keys] for r in relations(relation) if isinstance(r, Group)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"SELECT name, sum(amount), count(*), min(amount) {JOINED} GROUP BY name", [["int"], ["text"]]),
        (f"SELECT name, amount > 5 AS b, max(amount) {JOINED} GROUP BY ALL", [["int", "bool"], ["text", "bool"]]),
        # One word of text is no dearer than a number.
        (f"SELECT kind, sum(amount) {JOINED} GROUP BY kind", [["text"]]),
        # Different values of parts are not those of the whole.
        (f"SELECT name, count(DISTINCT amount) {JOINED} GROUP BY name", [["text"]]),
        (f"SELECT name, median(amount) {JOINED} GROUP BY name", [["text"]]),
        # Shops and days together are not fewer than the rows that there are.
        (f"SELECT name, day, sum(amount) {JOINED} GROUP BY name, day", [["text", "date"]]),
        # At its home nothing tells a name apart but itself.
        ("SELECT name, sum(size) FROM shops GROUP BY name", [["text"]]),
    ],
)
def test_groups_by_text_are_made_by_numbers_first(
    query: str, expected: list[list[str]], tables: Catalogue, database: duckdb.DuckDBPyConnection
) -> None:
    found = keys(rewritten(query, tables, database))
    assert [sorted(k) for k in found] == [sorted(k) for k in expected]


# --- what filters leave -----------------------------------------------------------------------------------------------


def choices(query: str, tables: Catalogue) -> dict[str, Choice]:
    """By name what is known of the columns of a query."""
    relation = bind(query, tables).relation
    return {c.name: choice for c, choice in choices_of(relation).items() if c in relation.columns}


@pytest.mark.parametrize(
    ("where", "column", "expected"),
    [
        ("amount = 3", "amount", Interval(3, 3)),
        ("4 < amount", "amount", Interval(5, 10)),
        ("amount < 4", "amount", Interval(0, 3)),
        ("amount BETWEEN 2 AND 6 AND amount >= 4", "amount", Interval(4, 6)),
        ("amount IN (9, 2, 5)", "amount", Interval(2, 9)),
        ("amount = 2 OR amount = 7", "amount", Interval(2, 7)),
        ("kind = 'b'", "kind", frozenset("b")),
        ("kind IN ('a', 'c')", "kind", frozenset("ac")),
        ("(kind = 'a' AND amount = 1) OR (kind = 'b' AND amount = 4)", "kind", frozenset("ab")),
        ("(kind = 'a' AND amount = 1) OR (kind = 'b' AND amount = 4)", "amount", Interval(1, 4)),
    ],
)
def test_filters_tell_what_values_there_can_be(where: str, column: str, expected: Choice, tables: Catalogue) -> None:
    assert choices(f"SELECT * {JOINED} WHERE {where}", tables)[column] == expected


@pytest.mark.parametrize(
    "where",
    ["amount = 3 OR kind = 'a'", "NOT amount = 3", "amount + 1 = 3", "amount = item", "amount = 77", "amount <> 3"],
)
def test_what_a_filter_does_not_tell_is_not_believed(where: str, tables: Catalogue) -> None:
    found = choices(f"SELECT * {JOINED} WHERE {where}", tables).get("amount", Interval(0, 10))
    assert found == Interval(0, 10)


def test_choices_bound_groups_and_pass_joins(tables: Catalogue) -> None:
    def rows(query: str) -> int:
        return rows_of(bind(query, tables).relation)

    in_part = "day BETWEEN DATE '2021-03-01' AND DATE '2022-02-01'"
    assert rows(f"SELECT kind, count(*) {JOINED} WHERE kind IN ('a', 'b') GROUP BY kind") == 2
    assert rows(f"SELECT item, kind, count(*) {JOINED} WHERE item < 2 AND kind = 'a' GROUP BY ALL") == 2
    assert rows(f"SELECT year(day) y, count(*) FROM sales WHERE {in_part} GROUP BY y") == 2
    # What an outer join adds has not passed the filter of its right side.
    left = "FROM sales LEFT JOIN (SELECT * FROM shops WHERE kind = 'a') s ON shop = s.id"
    assert rows(f"SELECT kind, count(*) {left} GROUP BY kind") > 1
    assert rows(f"SELECT item, count(*) {left} WHERE item = 1 GROUP BY item") == 1


# --- what one party can compute ---------------------------------------------------------------------------------------


def conditions(relation: Relation) -> list[tuple[int, ...]]:
    """Of each part of a condition over several parties' columns, how many columns it reads."""
    owners = {c: parties_of(r) for r in relations(relation) if isinstance(r, Scan) for c in r.columns}
    assert owners
    joint = [r for r in relations(relation) if len(parties_of(r)) > 1]
    parts: list[Call] = []
    for r in joint:
        predicate = r.predicate if isinstance(r, Filter) else r.condition if isinstance(r, Join) else None
        parts += [p for p in conjuncts(predicate) if isinstance(p, Call) and p.name == "or"]
    return [tuple(len(set(references(way))) for way in p.args) for p in parts]


def test_parts_of_a_condition_that_one_party_has_are_one_column(
    tables: Catalogue, database: duckdb.DuckDBPyConnection
) -> None:
    # Of either way three comparisons are the seller's, and one is the shop's.
    ways = [
        f"(amount > {k} AND kind = '{kind}' AND item <> {k} AND day > DATE '2020-05-0{k}')"
        for k, kind in ((1, "a"), (2, "b"))
    ]
    query = f"SELECT sales.id {JOINED} WHERE {' OR '.join(ways)}"
    assert conditions(rewritten(query, tables, database)) == [(2, 2)]
    # Comparisons between the parties' own columns stay as they are.
    query = f"SELECT sales.id {JOINED} WHERE (amount > size AND item = 1) OR (item > size AND item = 2)"
    assert conditions(rewritten(query, tables, database)) == [(3, 3)]
