# SPDX-License-Identifier: Apache-2.0
"""What parties send each other in a query depends on public facts alone: sizes and order of all messages are the same
for different rows, for each operator and each of its strategies. And who has some of the rows learns nothing of the
others: all that it gets, whole queries through, is distributed alike whatever they are (`transcripts.leaks`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tacit as tc
from tacit.engine import drive
from tacit.engine.execute import execute
from tacit.session import memory
from tacit.session.session import Session
from transcripts import OPENING_RUNS, leaks

KINDS = ("drawn at random", "all alike", "nothing in common")
CITIES = ["Bern", "Oslo", "Rome", "Wien"]

Message = tuple[int, int, int, int]
"""(exchange, sender, receiver, bytes)."""


def people(kind: str, rng: np.random.Generator) -> pa.Table:
    """30 people of party 0, told apart by `id`."""
    n = 30
    ids = rng.permutation(60)[:n] if kind != "nothing in common" else np.arange(30, 60)
    city = [str(c) for c in rng.choice(CITIES, n)] if kind != "all alike" else ["Bern"] * n
    age = rng.integers(0, 100, n) if kind != "all alike" else np.full(n, 44)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "city": pa.array([None, *city[1:]]),
            "age": pa.array([None, *map(int, age[1:])], pa.int32()),
            "member": pa.array([bool(v) for v in (rng.random(n) < 0.5 if kind != "all alike" else np.ones(n))]),
        }
    )


def visits(kind: str, rng: np.random.Generator, n: int) -> pa.Table:
    """Visits at a party: `who` is a person or none."""
    who = {"drawn at random": rng.integers(0, 60, n), "all alike": np.full(n, 7), "nothing in common": np.arange(n)}
    cost = rng.integers(-2000, 2000, n) if kind != "all alike" else np.full(n, 1250)
    notes = [f"note {v}" for v in (rng.integers(0, 9, n) if kind != "all alike" else np.zeros(n, int))]
    days = rng.integers(0, 700, n) if kind != "all alike" else np.zeros(n, int)
    return pa.table(
        {
            "who": pa.array([None, *map(int, who[kind][1:])], pa.int64()),
            "cost": pa.array([None, *map(int, cost[1:])], pa.int64()),
            "note": pa.array([None, *notes[1:]]),
            "day": pa.array([None, *(date(2020, 1, 1) + timedelta(int(d)) for d in days[1:])], pa.date32()),
            "score": pa.array([None, *(cost[1:] / 7)], pa.float64()),
        }
    )


def cards(kind: str, rng: np.random.Generator) -> pa.Table:
    """Cards of party 1, padded to 40: `id` tells them apart."""
    n = {"drawn at random": 25, "all alike": 40, "nothing in common": 2}[kind]
    ids = rng.permutation(60)[:n]
    return pa.table({"id": pa.array(ids, pa.int64()), "points": pa.array([None, *range(1, n)], pa.int64())})


def few(kind: str, rng: np.random.Generator) -> pa.Table:
    """Three rows of party 2."""
    return pa.table({"k": pa.array([None, *rng.integers(0, 40, 2)], pa.int64()), "least": pa.array([0, 20, 50])})


def registered(kind: str) -> Session:
    """A session with the tables of a kind: the same public facts for each."""
    rng = np.random.default_rng(5)
    s = tc.local(3, transport="memory")
    ids, amounts = (0, 63), (-2048, 2047)
    s.table("people", people(kind, rng), party=0, unique="id", ranges={"id": ids, "age": (0, 120)})
    ranges = {"who": ids, "cost": amounts, "score": amounts, "day": (date(2020, 1, 1), date(2022, 1, 1))}
    s.table("visits", {1: visits(kind, rng, 26), 2: visits(kind, rng, 18)}, ranges=ranges)
    s.table("cards", cards(kind, rng), party=1, unique="id", rows=40, ranges={"id": ids, "points": (0, 63)})
    s.table("few", few(kind, rng), party=2, ranges={"k": ids, "least": (0, 63)})
    return s


@pytest.fixture(scope="module")
def sessions() -> Iterator[list[Session]]:
    made = [registered(kind) for kind in KINDS]
    yield made
    for s in made:
        s.close()


# name: (query, the strategies of its joint operators)
CASES: dict[str, tuple[str, set[str]]] = {
    "filter at home": ("SELECT id, age FROM people WHERE age > 40", set()),
    "filter": (
        "SELECT cost FROM visits v JOIN people p ON v.who = p.id WHERE cost > age", {"sorted, right side unique"}
    ),
    "arithmetic": (
        "SELECT p.id, cost * age + 1, cost // (age + 1), cost / 7, score * 2.5, abs(cost), least(cost, age),"
        " CASE WHEN cost > age THEN 'more' WHEN cost = age THEN NULL ELSE 'less' END, coalesce(cost, age)"
        " FROM visits v JOIN people p ON v.who = p.id",
        {"sorted, right side unique"},
    ),
    "text and dates": (
        "SELECT p.id, note LIKE 'n%3', city = 'Oslo', note < city, year(day), day + age"
        " FROM visits v JOIN people p ON v.who = p.id",
        {"sorted, right side unique"},
    ),
    "inner join, right unique": ("SELECT * FROM visits v JOIN people p ON v.who = p.id", {"sorted, right side unique"}),
    "inner join, left unique": ("SELECT * FROM people p JOIN visits v ON v.who = p.id", {"sorted, left side unique"}),
    "inner join, both unique": ("SELECT * FROM people JOIN cards USING (id)", {"sorted, left side unique"}),
    "join on another condition too": (
        "SELECT * FROM visits v JOIN people p ON v.who = p.id AND cost > age", {"sorted, right side unique"}
    ),
    "left join, right unique": (
        "SELECT * FROM visits v LEFT JOIN people p ON v.who = p.id", {"sorted, right side unique"}
    ),
    "left join, left unique": (
        "SELECT * FROM people p LEFT JOIN visits v ON v.who = p.id", {"sorted, left side unique"}
    ),
    "full join": ("SELECT * FROM people p FULL JOIN visits v ON v.who = p.id", {"sorted, left side unique"}),
    "many to many": ("SELECT k, cost FROM visits JOIN few ON who = k", {"all pairs"}),
    "left join, many to many": ("SELECT k, cost FROM visits LEFT JOIN few ON who = k", {"all pairs"}),
    "full join, many to many": ("SELECT k, cost FROM visits FULL JOIN few ON who = k", {"all pairs"}),
    "aggregated before a join of many with many": (
        "SELECT note, sum(cost) FROM visits JOIN few ON who = k GROUP BY note", {"sorted", "sorted, right side unique"}
    ),
    "joins by one key": (
        "SELECT id, points, cost FROM people JOIN cards USING (id) JOIN visits ON who = id",
        {"sorted, 3 tables at once", "with the one above"},
    ),
    "groups in the order of a join": (
        "SELECT id, sum(cost), count(*) FROM people JOIN visits ON who = id GROUP BY id ORDER BY id",
        {"sorted, left side unique", "in order already"},
    ),
    "groups in the order of a semi join": (
        "SELECT who, sum(cost) FROM visits WHERE who IN (SELECT id FROM people WHERE age > 30) GROUP BY who",
        {"sorted", "in order already"},
    ),
    "windows in the order of groups": (
        "SELECT note, who, lag(s) OVER (PARTITION BY note ORDER BY who), count(*) OVER (PARTITION BY note) "
        "FROM (SELECT note, who, sum(cost) AS s FROM visits GROUP BY note, who)",
        {"sorted"},
    ),
    "cross join": ("SELECT age, least FROM people, few WHERE age > least", {"all pairs"}),
    "semi join": ("SELECT id FROM people WHERE id IN (SELECT who FROM visits)", {"sorted"}),
    "semi join with few": ("SELECT id FROM people WHERE EXISTS (FROM few WHERE k = id)", {"sorted"}),
    "anti join": ("SELECT id FROM people WHERE NOT EXISTS (FROM visits WHERE who = id)", {"sorted"}),
    "not in": ("SELECT who FROM visits WHERE who NOT IN (SELECT id FROM people WHERE age > 30)", {"sorted"}),
    "mark join": ("SELECT id, id IN (SELECT who FROM visits WHERE cost > 0) FROM people", {"sorted"}),
    "mark join knowing NULL": ("SELECT id, age NOT IN (SELECT who FROM visits) FROM people", {"sorted"}),
    "exists with another": (
        "SELECT id FROM people p WHERE EXISTS (FROM visits v WHERE v.who = p.id AND v.cost <> p.age)",
        {"sorted, least and largest of what differs"},
    ),
    "exists with more": (
        "SELECT id FROM people p WHERE EXISTS (FROM visits v WHERE v.who = p.id AND v.cost > p.age)",
        {"sorted, left side unique"},
    ),
    "exists with more, right unique": (
        "SELECT who FROM visits v WHERE NOT EXISTS (FROM people p WHERE v.who = p.id AND v.cost > p.age)",
        {"sorted, right side unique"},
    ),
    "exists without equality": (
        "SELECT id FROM people WHERE EXISTS (FROM few WHERE least > age)", {"all pairs"}
    ),
    "scalar subquery": (
        "SELECT id FROM people WHERE age < (SELECT max(cost) FROM visits)", {"all pairs"}
    ),
    "correlated subquery": (
        "SELECT id, (SELECT sum(cost) FROM visits WHERE who = id) FROM people", {"sorted", "sorted, right side unique"}
    ),
    "aggregates": (
        "SELECT count(*), count(cost), sum(cost), avg(cost), min(cost), max(score), var_samp(cost), bool_or(cost > 0)"
        " FROM visits",
        set(),
    ),
    "aggregates in order": ("SELECT count(DISTINCT who), median(cost), quantile_disc(cost, 0.2) FROM visits", set()),
    "first by an order": (
        "SELECT note, arg_max(cost, day), first(day ORDER BY cost DESC, day) FROM visits GROUP BY note", {"sorted"}
    ),
    "regression": ("SELECT corr(who, month(day)), regr_slope(who, month(day)) FROM visits", set()),
    "groups by sorting": ("SELECT who, count(*), sum(cost), avg(cost) FROM visits GROUP BY who", {"sorted"}),
    "groups by code": (
        "SELECT member, count(*), sum(cost) FROM visits v JOIN people p ON v.who = p.id GROUP BY member",
        {"sorted, right side unique", "one place for each combination of keys"},
    ),
    "groups by text": ("SELECT note, min(cost), max(day), count(DISTINCT who) FROM visits GROUP BY note", {"sorted"}),
    "rollup and having": (
        "SELECT note, who, sum(cost) FROM visits GROUP BY ROLLUP (note, who) HAVING count(*) > 1", {"sorted"}
    ),
    "window": (
        "SELECT who, row_number() OVER w, rank() OVER w, lag(cost) OVER w, sum(cost) OVER w"
        " FROM visits WINDOW w AS (PARTITION BY who ORDER BY cost, day, note, score)",
        set(),
    ),
    "moving window": (
        "SELECT sum(cost) OVER w, max(score) OVER w, last_value(cost) OVER w, ntile(3) OVER w FROM visits"
        " WINDOW w AS (PARTITION BY who ORDER BY cost, day, note, score ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)",
        set(),
    ),
    "window over all": ("SELECT cost, sum(cost) OVER (PARTITION BY note), count(*) OVER () FROM visits", set()),
    "distinct": ("SELECT DISTINCT note, cost FROM visits", {"sorted"}),
    "union": ("SELECT id FROM people UNION SELECT who FROM visits", {"sorted"}),
    "union all": ("SELECT id FROM people UNION ALL SELECT who FROM visits", set()),
    "intersect": ("SELECT id FROM people INTERSECT SELECT who FROM visits", set()),
    "except all": ("SELECT who FROM visits EXCEPT ALL SELECT id FROM people", set()),
    "order": ("SELECT note, cost FROM visits ORDER BY cost DESC NULLS FIRST, note", set()),
    "order and limit": (
        "SELECT note, cost FROM visits ORDER BY cost DESC NULLS FIRST, note LIMIT 5 OFFSET 2", {"the first 7 alone"}
    ),
    "order and limit of what a filter leaves": (
        "SELECT v.who, p.age FROM visits v JOIN people p ON v.who = p.id WHERE cost > age ORDER BY cost, day LIMIT 6",
        {"sorted, right side unique", "the first 6 alone"},
    ),
    "limit": ("SELECT note FROM visits LIMIT 5", set()),
}  # fmt: skip


def transcript(
    session: Session, text: str, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[tc.session.query.Answer, set[str], list[Message]]:
    """The answer to a query, the strategies of its operators, and every message of its run."""
    messages: list[Message] = []

    def recorded(programs: Any, traffic: drive.Traffic) -> Any:
        results = drive.lockstep(programs, traffic, record=True)
        messages.extend((turn, sender, receiver, len(data)) for turn, sender, receiver, data in traffic.messages)
        return results

    monkeypatch.setattr(memory, "lockstep", recorded)
    frame = session.sql(text, **options)
    answer = frame.reveal()
    return answer, {step.strategy for step in frame._lowered.steps} - {""}, messages


def compare(sessions: list[Session], text: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> set[str]:
    """Check that the plan and all messages are the same for each kind of data; the strategies of the query."""
    (first, strategies, messages), *others = (transcript(s, text, monkeypatch, **options) for s in sessions)
    assert messages and sum(size for *_, size in messages) == first.cost.bytes_total
    for answer, _, theirs in others:
        assert answer.digest == first.digest
        assert theirs == messages
    # The data did differ, and so did what was computed of them.
    assert any(not answer.table.equals(first.table) for answer, *_ in others)
    return strategies


@pytest.mark.parametrize("name", CASES)
def test_messages_depend_on_public_facts_alone(
    name: str, sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, strategies = CASES[name]
    assert compare(sessions, text, monkeypatch) == strategies


TAGGED = {
    "inner join, right unique": (
        {"tags of keys opened, right side unique"},
        "SELECT * FROM visits v JOIN people p ON v.who = p.id",
    ),
    "inner join, both unique": (
        {"tags of keys opened, left side unique"},
        "SELECT * FROM people JOIN cards USING (id)",
    ),
    "left join": (
        {"tags of keys opened, right side unique"},
        "SELECT p.id, points FROM people p LEFT JOIN cards c ON p.id = c.id AND points > age",
    ),
    "anti join": (
        {"tags of keys opened, right side unique"},
        "SELECT id, city FROM people WHERE id NOT IN (SELECT id FROM cards)",
    ),
}


@pytest.mark.parametrize("name", TAGGED)
def test_messages_do_not_depend_on_which_rows_match_even_where_that_is_shown(
    name: str, sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategies, text = TAGGED[name]
    assert compare(sessions, text, monkeypatch, reveals="join_size") == strategies


def test_messages_do_not_depend_on_how_many_groups_are_hidden(
    sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "SELECT who, sum(cost) FROM visits GROUP BY who"
    compare(sessions, text, monkeypatch, min_group=3)
    assert len({s.sql(text, min_group=3).reveal().hidden_groups for s in sessions}) > 1


MANY = 3000
"""Rows of which a sort has several levels of batches, whose sizes must leave room for chance."""


def test_messages_of_large_sorts_do_not_depend_on_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for keys in (np.arange(MANY), np.arange(MANY)[::-1], np.full(MANY, 7), np.random.default_rng(3).permutation(MANY)):
        with tc.local(3, transport="memory") as s:
            parts = {p: pa.table({"k": half, "x": half % 100}) for p, half in enumerate(np.split(keys, 2))}
            s.table("t", parts, ranges={"k": (0, 4095), "x": (0, 127)})
            answer, strategies, messages = transcript(s, "SELECT k, sum(x) FROM t GROUP BY k", monkeypatch)
            assert strategies == {"sorted"} and len(answer) == len(set(keys))
            seen.append((answer.digest, messages))
    assert all(other == seen[0] for other in seen)


@pytest.mark.parametrize("limit", [1, 40])
def test_messages_do_not_depend_on_which_rows_come_first(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for keys in (np.arange(MANY), np.arange(MANY)[::-1], np.full(MANY, 8), np.random.default_rng(3).permutation(MANY)):
        with tc.local(3, transport="memory") as s:
            parts = {p: pa.table({"k": half, "x": half % 100}) for p, half in enumerate(np.split(keys, 2))}
            s.table("t", parts, ranges={"k": (0, 2**60), "x": (0, 2**60)})
            answer, strategies, messages = transcript(
                s, f"SELECT k, x FROM t WHERE k % 5 < 3 ORDER BY x DESC, k LIMIT {limit}", monkeypatch
            )
            assert strategies == {f"the first {limit} alone"} and len(answer) == min(limit, sum(keys % 5 < 3))
            seen.append((answer.digest, messages))
    assert all(other == seen[0] for other in seen)


# --- contents ------------------------------------------------------------------------------------------------------

ROWS = {"all alike": ([2, 2, 2], [5, 5, 5]), "in no order": ([3, 1, 3], [9, -4, 0])}
"""Keys and values of party 0."""


def told_apart(text: str, to_client: bool) -> list[str]:
    """What tells the rows of party 0 apart at party 1, which has the others."""
    kinds, plans = {}, []
    for kind, (keys, values) in ROWS.items():
        with tc.local(3, transport="memory") as s:
            ranges = {"k": (0, 7), "v": (-16, 15)}
            parts = {0: pa.table({"k": keys, "v": values}), 1: pa.table({"k": [1, 3], "v": [4, 4]})}
            s.table("t", parts, ranges=ranges)
            s.table("u", pa.table({"k": [1, 3], "w": [4, 7]}), party=1, unique="k", ranges={"k": (0, 7), "w": (0, 7)})
            plans.append(s.sql(text).plan(to=s.client if to_client else None))
            kinds[kind] = [[bound.own for bound in s._backend._bind(plans[-1], {})]]
    assert plans[0].digest == plans[1].digest
    return leaks(lambda box, own: execute(plans[0], box, own), kinds, opens=True, runs=OPENING_RUNS, parties=[1])


@pytest.mark.parametrize(
    "text",
    [
        "SELECT k, sum(v) FROM t GROUP BY k",
        "SELECT k, v FROM t ORDER BY v LIMIT 2",
        "SELECT k, v, w FROM t JOIN u USING (k)",
    ],
    ids=["groups", "order", "join"],
)
def test_all_that_a_party_gets_in_a_query_tells_no_rows_apart(text: str) -> None:
    assert told_apart(text, True) == []


def test_a_result_that_a_party_gets_tells_rows_apart() -> None:
    assert told_apart("SELECT sum(v) FROM t", False)
