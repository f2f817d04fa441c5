# SPDX-License-Identifier: Apache-2.0
"""Operators on secret shares: the same rows as DuckDB, and traffic that depends on nothing but shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tacit as tc
from sql.tables import Tables, column, compare, fresh, ref
from tacit.frontends.sql.algebra import (
    Aggregate,
    Call,
    Column,
    Distinct,
    Filter,
    Group,
    Join,
    Limit,
    Project,
    Relation,
    SetOperation,
    Sort,
    SortKey,
    Window,
    WindowCall,
)
from tacit.frontends.sql.functions import window
from tacit.frontends.sql.types import BIGINT, BOOLEAN, TEXT
from tacit.plan import Interval

WIDE = Interval(-(10**6), 10**6)
ROWS = {"people": 40, "visits": 60}
KINDS = ("drawn at random", "all alike", "none meant")


def tables(session: Any, kind: str) -> tuple[Tables, Any, Any]:
    """people(id, city) with unique ids and visits(id, cost, note), at two parties; the same shapes for each kind."""
    rng = np.random.default_rng(11)
    made = Tables(session)
    n, m = ROWS["people"], ROWS["visits"]
    absent = {"drawn at random": 0.3, "all alike": 0.0, "none meant": 1.0}[kind]
    alike = kind == "all alike"
    flags = [rng.random(k) < absent for k in (n, m)]

    def some(k: int, hi: int) -> list[Any]:
        return [7 if alike else None if rng.random() < 0.2 else int(v) for v in rng.integers(0, hi, k)]

    # A NULL among rows keeps columns nullable.
    people = {"id": rng.permutation(n).tolist(), "city": [None, *some(n - 1, 4)]}
    visits = {
        "id": [None, *some(m - 1, n)],
        "cost": [None, *some(m - 1, 50)],
        "note": [None, *map(str, some(m - 1, 9))],
    }
    left = made.table("people", people, unique=["id"], absent=flags[0], party=0)
    right = made.table("visits", visits, types={"note": TEXT}, absent=flags[1], party=1)
    return made, left, right


def call(name: str, *args: Any) -> Aggregate:
    return Aggregate(name, args, args[0].type if args else BIGINT, True, WIDE)


def _join(kind: Any, p: Any, v: Any) -> Relation:
    return Join(kind, p, v, compare("eq", ref(p, "id"), ref(v, "id")))


def _grouped(source: Any, key: str, **aggregates: Aggregate) -> Group:
    made = tuple((fresh(name, a), a) for name, a in aggregates.items())
    return Group(source, ((fresh(key, ref(source, key)), ref(source, key)),), made)


def _by_city(p: Any, v: Any) -> Relation:
    return _grouped(_join("inner", p, v), "city", total=call("sum", ref(v, "cost")), n=call("count_star"))


def _by_id(p: Any, v: Any) -> Relation:
    joined = _grouped(_join("inner", p, v), "id", total=call("sum", ref(v, "cost")), n=call("count_star"))
    return Sort(joined, (SortKey(ref(joined, "id")),))


def _window(p: Any, v: Any) -> Relation:
    order = (SortKey(ref(v, "cost")),)
    made = WindowCall("sum", (ref(v, "cost"),), BIGINT, True, WIDE, (ref(v, "note"),), order, "range")
    rank = WindowCall("rank", (), BIGINT, False, WIDE, (ref(v, "note"),), order, "range")
    return Window(v, ((fresh("total", made), made), (fresh("place", rank), rank)))


def _moving(p: Any, v: Any) -> Relation:
    order = [SortKey(ref(v, k)) for k in ("cost", "id", "note")]
    made = [window(name, [ref(v, "cost")], 60, order=order, frame=(-2, 1)) for name in ("sum", "max")]
    return Window(v, tuple((fresh(w.name, w), w) for w in made))


def _first(p: Any, v: Any) -> Relation:
    turns = ((True, False), (False, False))
    args = tuple(ref(v, k) for k in ("id", "cost", "id"))
    return _grouped(v, "note", a=Aggregate("first", args, args[0].type, True, WIDE, options=turns))


def _union(p: Any, v: Any) -> Relation:
    sides = [Project(t, ((column(t, "id"), ref(t, "id")),)) for t in (p, v)]
    return SetOperation("union", False, sides[0], sides[1], (Column("id", BIGINT, True, Interval(-50, 50)),))


def _dear(p: Any, v: Any) -> Relation:
    large = Call("gt", (ref(v, "cost"), ref(v, "id")), BOOLEAN, True, Interval(0, 1))
    keys = (SortKey(ref(v, "cost"), True), SortKey(ref(v, "id")), SortKey(ref(v, "note")))
    return Limit(Sort(Filter(v, large), keys), 5, 1)


CASES = {
    "inner join": (lambda p, v: _join("inner", p, v), "SELECT * FROM people p JOIN visits v ON p.id = v.id"),
    "full join": (lambda p, v: _join("full", p, v), "SELECT * FROM people p FULL JOIN visits v ON p.id = v.id"),
    "semi join": (
        lambda p, v: _join("semi", p, v), "SELECT * FROM people p WHERE EXISTS (FROM visits v WHERE v.id = p.id)"
    ),
    "group": (
        _by_city, "SELECT city, sum(cost), count(*) FROM people p JOIN visits v ON p.id = v.id GROUP BY city"
    ),
    "group in the order of a join": (
        _by_id, "SELECT p.id, sum(cost), count(*) FROM people p JOIN visits v ON p.id = v.id GROUP BY p.id ORDER BY 1"
    ),
    "extremes": (
        lambda p, v: _grouped(v, "note", a=call("min", ref(v, "cost")), b=call("max", ref(v, "id"))),
        "SELECT note, min(cost), max(id) FROM visits GROUP BY note",
    ),
    "median": (
        lambda p, v: _grouped(v, "note", a=call("quantile_disc", ref(v, "cost"))),
        "SELECT note, quantile_disc(cost, 0.5) FROM visits GROUP BY note",
    ),
    "window": (
        _window,
        "SELECT *, sum(cost) OVER w, rank() OVER w FROM visits WINDOW w AS (PARTITION BY note ORDER BY cost)",
    ),
    "moving window": (
        _moving,
        "SELECT *, sum(cost) OVER w, max(cost) OVER w FROM visits"
        " WINDOW w AS (ORDER BY cost, id, note ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)",
    ),
    "first by an order": (
        _first, "SELECT note, first(id ORDER BY cost DESC NULLS LAST, id NULLS LAST) FROM visits GROUP BY note"
    ),
    "distinct": (lambda p, v: Distinct(v), "SELECT DISTINCT * FROM visits"),
    "union": (_union, "SELECT id FROM people UNION SELECT id FROM visits"),
    "order": (
        _dear,
        "SELECT * FROM visits WHERE cost > id ORDER BY cost DESC NULLS LAST, id NULLS LAST, note NULLS LAST"
        " LIMIT 5 OFFSET 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("protocol", ["plain", "rep3"])
def test_operators_on_shares(protocol: str) -> None:
    with tc.local(protocol=protocol, transport="memory") as session:
        made, people, visits = tables(session, KINDS[0])
        for make, sql in CASES.values():
            made.check(make(people, visits), sql)


def test_plans_and_traffic_depend_on_shapes_alone() -> None:
    seen: dict[str, set[Any]] = {name: set() for name in CASES}
    for kind in KINDS:
        for name, (make, sql) in CASES.items():
            with tc.local(transport="memory") as session:
                made, people, visits = tables(session, kind)
                made.check(make(people, visits), sql)
                report = session.last
                assert report is not None
                sent = tuple(p.bytes_sent for p in report.by_party)
                seen[name].add((report.digest, report.rounds, report.bytes_total, sent))
    assert {name: len(found) for name, found in seen.items()} == dict.fromkeys(CASES, 1)
