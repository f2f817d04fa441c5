# SPDX-License-Identifier: Apache-2.0
"""The rule on small groups: what is hidden and counted, and what is refused because the rule could not hold."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

import tacit as tc
from tacit.errors import SqlError

PEOPLE = pd.DataFrame({"id": range(8), "town": list("aaaabbbc"), "age": [30, 31, 32, 33, 40, 41, 42, 50]})
VISITS = pd.DataFrame({"person": [0, 0, 0, 0, 4, 5], "cost": [1, 2, 3, 4, 5, 6]})
TOWNS = pd.DataFrame({"name": list("abc"), "region": ["north", "north", "south"]})


@pytest.fixture(scope="module", params=["plain", "rep3"])
def session(request: pytest.FixtureRequest) -> Iterator[tc.Session]:
    with tc.local(transport="memory", protocol=request.param) as s:
        s.table("people", PEOPLE, party=0, unique=["id"], min_group=3)
        s.table("visits", VISITS, party=1)
        s.table("towns", TOWNS, party=2, unique=["name"])
        yield s


def rows(session: tc.Session, text: str, min_group: int = 1) -> tuple[list[dict[str, object]], int | None]:
    answer = session.sql(text, min_group=min_group).reveal()
    return answer.table.to_pylist(), answer.hidden_groups


def test_groups_that_are_too_small_are_left_out_and_counted(session: tc.Session) -> None:
    found, hidden = rows(session, "SELECT town, count(*) AS n, avg(age) AS a FROM people GROUP BY town ORDER BY town")
    assert found == [{"town": "a", "n": 4, "a": 31.5}, {"town": "b", "n": 3, "a": 41.0}]
    assert hidden == 1


def test_a_query_may_ask_for_more_and_no_table_for_less(session: tc.Session) -> None:
    text = "SELECT town, count(*) AS n FROM people GROUP BY town"
    assert rows(session, text, min_group=4) == ([{"town": "a", "n": 4}], 2)
    assert rows(session, text, min_group=2) == rows(session, text)
    assert rows(session, "SELECT person, count(*) AS n FROM visits GROUP BY person", min_group=2) == (
        [{"person": 0, "n": 4}],
        2,
    )


def test_what_a_query_asks_for_counts_the_rows_that_it_groups(session: tc.Session) -> None:
    text = "SELECT region, count(*) AS n FROM towns, visits GROUP BY region ORDER BY region"
    assert rows(session, text, min_group=7) == ([{"region": "north", "n": 12}], 1)


def test_rewriting_judges_no_group_that_the_query_has_not(session: tc.Session) -> None:
    # Many with many, aggregated before the join or after: groups of one visit are in the sum.
    text = "SELECT sum(a.cost) AS s FROM visits AS a JOIN visits AS b ON a.person = b.person"
    assert rows(session, text, min_group=2) == ([{"s": 51}], 0)
    # Names that a key decides may be fetched after the aggregation: they are no rows alone.
    text = "SELECT id, town, age, count(*) AS n FROM people JOIN visits ON id = person GROUP BY id, town, age"
    with pytest.raises(SqlError, match="SQL-014"):
        session.sql(text)
    text = "SELECT name, region, count(*) AS n FROM towns, visits GROUP BY name, region ORDER BY name"
    assert rows(session, text, min_group=6)[0] == [
        {"name": n, "region": r, "n": 6} for n, r in zip("abc", ["north", "north", "south"], strict=True)
    ]


def test_an_aggregate_of_everything_is_a_group_too(session: tc.Session) -> None:
    assert rows(session, "SELECT sum(age) AS s FROM people WHERE age < 33") == ([{"s": 93}], 0)
    assert rows(session, "SELECT sum(age) AS s FROM people WHERE age > 45") == ([], 1)
    assert rows(session, "SELECT count(*) AS n FROM people WHERE age > 99") == ([], 1)


def test_what_is_made_of_large_groups_is_free(session: tc.Session) -> None:
    text = "SELECT count(*) AS n, max(c) AS m FROM (SELECT town, count(*) AS c FROM people GROUP BY town) AS t"
    assert rows(session, text) == ([{"n": 2, "m": 4}], 1)


def test_a_count_that_finds_no_group_is_unknown(session: tc.Session) -> None:
    # None, or too few: town c has one of them, town d nobody.
    count = "(SELECT count(*) FROM people WHERE town = name)"
    text = f"SELECT name, {count} AS n, 2 * {count} + 1 AS m FROM (SELECT * FROM towns UNION ALL SELECT 'd', 'south')"
    found, hidden = rows(session, f"{text} ORDER BY name")
    assert found[:1] == [{"name": "a", "n": 4, "m": 9}]
    assert found[2:] == [{"name": "c", "n": None, "m": None}, {"name": "d", "n": None, "m": None}]
    assert hidden == 1
    assert rows(session, f"SELECT name FROM towns WHERE {count} = 0") == ([], 1)
    # Of a table without such a rule it is known.
    text = "SELECT name, (SELECT count(*) FROM visits WHERE cost > 4 AND region = 'south') n FROM towns ORDER BY name"
    assert [row["n"] for row in rows(session, text)[0]] == [0, 0, 2]


def test_a_join_that_repeats_no_row_counts_rows(session: tc.Session) -> None:
    text = "SELECT region, count(*) AS n FROM people JOIN towns ON town = name GROUP BY region ORDER BY region"
    assert rows(session, text) == ([{"region": "north", "n": 7}], 1)
    text = "SELECT count(*) AS n FROM people WHERE id IN (SELECT person FROM visits)"
    assert rows(session, text) == ([{"n": 3}], 0)


def test_no_tags_show_which_rows_of_such_a_table_match(session: tc.Session) -> None:
    text = "SELECT count(*) AS n FROM people WHERE id IN (SELECT person FROM visits)"
    assert not any(d.kind == "pattern" for d in session.sql(text, reveals="join_size").plan().disclosures())
    lowered = session.sql(text)._lowered
    assert lowered.matches == 0
    # Rows of others, and groups that are large enough, may.
    for text in (
        "SELECT count(*) AS n FROM visits JOIN towns ON cost = length(name)",
        "SELECT count(*) AS n FROM towns JOIN (SELECT town, count(*) AS n FROM people GROUP BY town) ON town = name",
    ):
        assert session.sql(text)._lowered.matches == 1


@pytest.mark.parametrize(
    "text",
    [
        "SELECT age FROM people",
        "SELECT DISTINCT town FROM people",
        "SELECT age FROM people ORDER BY age LIMIT 1",
        "SELECT person FROM visits WHERE person IN (SELECT id FROM people)",
        "SELECT age, count(*) OVER () AS n FROM people",
        "SELECT age FROM people UNION ALL SELECT cost FROM visits",
        "SELECT town, n FROM people JOIN (SELECT town AS t, count(*) AS n FROM people GROUP BY town) AS q ON town = t",
        "SELECT town, sum(cost) AS s FROM people JOIN visits ON id = person GROUP BY town",
        "SELECT count(*) FROM people, towns",
        # Who is not among them is told by who is left.
        "SELECT person FROM visits WHERE person NOT IN (SELECT id FROM people)",
        # Groups with rows of others: one person among them would not be seen.
        "SELECT region, sum(age) AS s FROM towns LEFT JOIN people ON name = town GROUP BY region",
        "SELECT region, sum(age) AS s FROM people FULL JOIN towns ON name = town GROUP BY region",
        "SELECT sum(x) AS s FROM (SELECT age AS x FROM people UNION ALL SELECT cost FROM visits) AS u",
        "SELECT person IN (SELECT id FROM people) AS known, count(*) AS n FROM visits GROUP BY known",
    ],
)
def test_rows_alone_or_not_counted_are_refused_and_nothing_runs(session: tc.Session, text: str) -> None:
    session.last = None
    with pytest.raises(SqlError, match="SQL-014"):
        session.sql(text)
    assert session.last is None
