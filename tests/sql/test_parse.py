# SPDX-License-Identifier: Apache-2.0
"""Limits on the text of a query, and its refusals before it is parsed."""

from __future__ import annotations

import time

import pytest

from tacit.errors import SqlError
from tacit.frontends.sql.parse import MAX_BYTES, MAX_NESTING, parse, place_of

DEEP = {
    "parentheses": "SELECT " + "(" * 10_000 + "1" + ")" * 10_000,
    "subqueries": "SELECT " + "(SELECT " * 10_000 + "1" + ")" * 10_000,
    "functions": "SELECT " + "abs(" * 10_000 + "1" + ")" * 10_000,
    "cases": "SELECT " + "CASE WHEN a THEN " * 10_000 + "1" + " END" * 10_000,
    "nots": "SELECT " + "NOT " * 10_000 + "a",
    "signs": "SELECT " + "- " * 10_000 + "a",
    "sums": "SELECT 1" + " + 1" * 10_000,
    "unions": "SELECT 1" + " UNION SELECT 1" * 10_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_ten_thousand_levels_are_refused_and_quickly(name: str) -> None:
    start = time.process_time()
    with pytest.raises(SqlError) as refused:
        parse(DEEP[name])
    assert refused.value.code == "SQL-007"
    assert "line 1, column" in str(refused.value) or name == "cases"
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    "query",
    [
        "SELECT " + "abs(" * (MAX_NESTING - 1) + "1" + ")" * (MAX_NESTING - 1),
        "SELECT * FROM " + "(SELECT * FROM " * MAX_NESTING + "t" + ")" * MAX_NESTING,
        "SELECT " + "CASE WHEN a THEN " * MAX_NESTING + "1" + " END" * MAX_NESTING,
        "SELECT a" + " AND b" * 5_000,
        "SELECT a IN (" + ", ".join(map(str, range(10_000))) + ")",
        "SELECT 1" + " + 1" * 90,
    ],
)
def test_what_is_within_the_limits_is_parsed(query: str) -> None:
    parse(query)


def test_ten_megabytes_are_refused_by_their_size_alone() -> None:
    start = time.process_time()
    for text in ("x" * 10_000_000, b"\xff" * 10_000_000, "é" * (MAX_BYTES // 2 + 1)):
        with pytest.raises(SqlError, match=r"SQL-007.*bytes"):
            parse(text)
    assert time.process_time() - start < 1
    with pytest.raises(SqlError, match="words and signs"):
        parse("SELECT 1" + ",1" * 100_000)


@pytest.mark.parametrize("text", [b"SELECT '\xff'", "SELECT '\ud800'"])
def test_what_is_not_utf8_is_refused(text: str | bytes) -> None:
    with pytest.raises(SqlError, match=r"SQL-001.*UTF-8"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "SQL-001"),
        (";", "SQL-001"),
        ("SELECT 1; SELECT 2", "SQL-001"),
        ("SELECT 'a", "SQL-001"),
        ('SELECT "a', "SQL-001"),
        ("SELECT /* a", "SQL-001"),
        ("SELECT (1", "SQL-001"),
        ("SELECT 1 FROM t WHERE", "SQL-001"),
        ("SELECT a b c", "SQL-001"),
        ("DROP TABLE t", "SQL-006"),
        ("EXPLAIN SELECT 1", "SQL-006"),
        ("ATTACH 'x'", "SQL-006"),
        ("COPY t TO 'x'", "SQL-006"),
        ("hello", "SQL-006"),
    ],
)
def test_what_is_no_select_is_refused(text: str, code: str) -> None:
    with pytest.raises(SqlError) as refused:
        parse(text)
    assert refused.value.code == code, str(refused.value)


def test_places_are_those_of_the_first_token() -> None:
    tree = parse(b"SELECT a,\n   bcd + 1\nFROM t")
    assert [place_of(e) for e in tree.expressions] == [(1, 8), (2, 4)]
