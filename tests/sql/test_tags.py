# SPDX-License-Identifier: Apache-2.0
"""Joins by tags of keys: only where the query says that it may show which rows match, right as DuckDB is, and telling
what the plan lists and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tacit as tc
from plan_oracle import Oracle
from sql.tables import Tables, compare, ref
from sql.test_operators_join import distinct, values
from tacit.errors import InputError
from tacit.frontends.groups import match_rows
from tacit.frontends.sql.algebra import Column, Join, conjunction
from tacit.frontends.sql.types import BOOLEAN
from tacit.plan import Interval, Private
from tacit.protocols.rep3 import Rep3
from tacit.session.session import Session

SQL = {"inner": "JOIN", "left": "LEFT JOIN", "semi": "SEMI JOIN", "anti": "ANTI JOIN"}


def two(seed: int, sizes: tuple[int, int], *, left: bool, right: bool, clean: bool) -> tuple[Tables, Any, Any]:
    """Tables l(k, j, x) and r(k, j, y) with a key that is unique as asked, and maybe NULLs and rows that are absent."""
    rng = np.random.default_rng(seed)
    tables = Tables(Oracle())
    made = []
    for name, payload, n, unique, party in (("l", "x", sizes[0], left, 0), ("r", "y", sizes[1], right, 1)):
        nulls = 0.0 if clean else 0.2
        data = {
            "k": distinct(rng, n, nulls) if unique else values(rng, n, -4, 4, nulls),
            "j": values(rng, n, 0, 1, nulls),
            payload: values(rng, n, -3, 3),
        }
        absent = None if clean else rng.random(n) < 0.3
        made.append(tables.table(name, data, unique=["k"] if unique else [], party=party, absent=absent))
    return tables, *made


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("sizes", [(1, 3), (2, 9), (12, 40), (40, 12)])
@pytest.mark.parametrize("unique", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("kind", SQL)
def test_joins_agree_with_duckdb(kind: Any, unique: tuple[bool, bool], sizes: tuple[int, int], clean: bool) -> None:
    for residual in (False, True):
        tables, left, right = two(sizes[0], sizes, left=unique[0], right=unique[1], clean=clean)
        equal = (compare("eq", ref(left, "k"), ref(right, "k")),)
        condition = conjunction((*equal, compare("lt", ref(left, "x"), ref(right, "y"))) if residual else equal)
        join = Join(kind, left, right, condition)
        more = " AND l.x < r.y" if residual else ""
        text = f"SELECT * FROM l {SQL[kind]} r ON l.k = r.k{more}"
        tables.check(join, text)
        tables.check(join, text, by_tags={0})
        lowered = tables.lower(join, by_tags={0})
        few = min(sizes) == 1 and kind in ("inner", "left")
        kept = kind == "left" and not unique[1]
        # With another condition, whether there is a partner is asked of a unique right side.
        asked = residual and kind in ("semi", "anti") and not unique[1]
        able = not (few or kept or asked)
        assert lowered.matches == able
        assert any("tags" in step.strategy for step in lowered.steps) == able
        assert tables.lower(join).matches == able
        assert not any("tags" in step.strategy for step in tables.lower(join).steps)


@pytest.mark.parametrize("clean", [True, False])
def test_several_keys_and_marks(clean: bool) -> None:
    tables, left, right = two(3, (30, 25), left=False, right=True, clean=clean)
    both = conjunction(tuple(compare("eq", ref(left, c), ref(right, c)) for c in ("k", "j")))
    tables.check(Join("left", left, right, both), "SELECT * FROM l LEFT JOIN r ON l.k = r.k AND l.j = r.j", by_tags={0})
    mark = Column("m", BOOLEAN, False, Interval(0, 1))
    join = Join("mark", left, right, both, mark=mark)
    tables.check(
        join,
        "SELECT *, EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.j = l.j) FROM l",
        by_tags={0},
    )


# --- sessions -------------------------------------------------------------------------------------------------------

CITIES = ["Bern", "Oslo", "Rome", "Wien"]
PEOPLE = pa.table(
    {
        "id": pa.array([*range(10, 40), None], pa.int64()),
        "name": [f"person {k}" for k in range(31)],
        "city": [CITIES[k % 4] for k in range(31)],
    }
)
VISITS = pa.table(
    {
        "who": pa.array([None if k % 7 == 0 else 8 + k % 13 for k in range(45)], pa.int64()),
        "city": [CITIES[k % 3] for k in range(45)],
        "cost": pa.array(range(45), pa.int64()),
    }
)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with tc.local(3, transport="memory", network="wan") as s:
        s.table("people", PEOPLE, party=0, unique=["id", "name"])
        s.table("visits", VISITS, party=1)
        s.table("spread", {1: VISITS.slice(0, 30), 2: VISITS.slice(30)})
        s.table("own", VISITS)
        s.table("padded", PEOPLE, party=2, unique="id", rows=40)
        yield s


QUERIES = [
    "SELECT name, cost FROM {v} JOIN {p} ON who = id",
    "SELECT v.city, count(*) AS n, sum(cost) AS s FROM {v} v LEFT JOIN {p} p ON who = id GROUP BY ALL",
    "SELECT count(*) AS n FROM {v} v LEFT JOIN {p} p ON who = id AND p.city = v.city WHERE p.id IS NULL",
    "SELECT sum(cost) AS s FROM {v} WHERE who IN (SELECT id FROM {p} WHERE city <> 'Rome')",
    "SELECT sum(cost) AS s FROM {v} v WHERE NOT EXISTS (SELECT 1 FROM {p} p WHERE p.id = v.who AND p.city < v.city)",
    "SELECT p.city, max(total) AS most FROM {p} p JOIN (SELECT who, sum(cost) AS total FROM {v} GROUP BY who) t"
    " ON t.who = p.id GROUP BY p.city",
]


def shown(table: Any) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(map(str, row.values())) for row in table.to_pylist())


@pytest.mark.parametrize("visits", ["visits", "spread", "own"])
@pytest.mark.parametrize("people", ["people", "padded"])
@pytest.mark.parametrize("text", QUERIES)
def test_queries_give_the_same_and_by_default_show_nothing_of_matches(
    session: Session, text: str, people: str, visits: str
) -> None:
    text = text.format(v=visits, p=people)
    ordinary, tagged = session.sql(text), session.sql(text, reveals="join_size")
    want = ordinary.reveal()
    got = tagged.reveal()
    assert shown(got.table) == shown(want.table)
    assert not any(n.op == "match_rows" for n in ordinary.plan().nodes)
    assert not any(d.kind == "pattern" for d in want.disclosures)
    assert any(n.op == "match_rows" for n in tagged.plan().nodes)
    assert [d.kind for d in got.disclosures].count("pattern") == 1
    assert got.digest != want.digest
    # The declared cost is the measured one.
    report = session.last
    assert report is not None
    assert (report.rounds, report.bytes_total) == (got.cost.rounds, got.cost.bytes_total)
    assert got.cost.seconds < want.cost.seconds
    explained = tagged.explain()
    assert "tags of keys opened" in explained
    assert "opens which rows have equal keys" in explained
    assert "tags" not in ordinary.explain()


def test_who_has_the_keys_makes_the_tags_and_shares_none_of_them(session: Session) -> None:
    def homes(visits: str, people: str) -> list[str]:
        plan = session.sql(QUERIES[0].format(v=visits, p=people), reveals="join_size").plan()
        (node,) = [n for n in plan.nodes if n.op == "match_rows"]
        return [str(plan.nodes[node.inputs[k]].type.home) for k in (2, 3)]

    assert homes("visits", "people") == [str(Private(0)), str(Private(1))]
    assert homes("visits", "padded") == [str(Private(2)), str(Private(1))]
    # Rows of two parties and of a client are shared.
    assert homes("spread", "people") == [str(Private(0)), "secret"]
    assert homes("own", "people") == [str(Private(0)), "secret"]


@pytest.mark.parametrize("party", [0, 1, 2])
def test_tables_of_one_party_are_matched_there_and_nothing_opens(party: int) -> None:
    with tc.local(3, transport="memory") as s:
        keys, others = (s.input(np.array(k), party, (0, 9)) for k in ([3, 1, 2, 9], [1, 1, 5, 9, 2]))
        rows, order = s.input(np.array([30, 10, 20, 90]), party, (0, 90)), s.input(np.arange(5), party, (0, 4))
        present = np.array([True, True, False, True])
        found, (brought,), (moved,) = match_rows(
            (s.constant(present), [keys], [rows]), (s.constant(np.ones(5, np.bool_)), [others], [order])
        )
        table = tc.stack([tc.astype(found, "int64"), brought, moved], axis=1)
        assert not [d for d in s.plan_of(table).disclosures() if d.kind == "pattern"]
        want = [[1, 10, 0], [1, 10, 1], [0, 0, 2], [1, 90, 3], [0, 0, 4]]
        assert sorted(table.reveal().tolist(), key=lambda row: row[2]) == want


def test_what_opens_is_what_the_plan_lists(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int, Any]] = []
    for name in ("open_outcomes", "open_less", "open_positions", "open_tags", "announce", "reveal"):
        inner = getattr(Rep3, name)

        async def recorded(box: Rep3, *x: Any, inner: Any = inner, name: str = name) -> Any:
            out = await inner(box, *x)
            if out is not None:
                seen.append((name, box.me, out))
            return out

        monkeypatch.setattr(Rep3, name, recorded)
    text = "SELECT sum(cost) AS s FROM visits JOIN people ON who = id"
    answer = session.sql(text, reveals="join_size").reveal()
    assert Counter(d.kind for d in answer.disclosures if d.kind != "size").keys() == {"pattern", "reveal"}
    told = {name for name, _, _ in seen}
    assert told == {"open_tags", "announce", "reveal"}
    # Tags are for the party without keys alone; everyone learns which rows, in random orders, have a partner.
    tags = [out for name, me, out in seen if name == "open_tags"]
    assert {me for name, me, _ in seen if name == "open_tags"} == {2}
    assert sorted(map(len, tags)) == [31, 45]
    matched = sum(1 for w in VISITS["who"].to_pylist() if w is not None and w >= 10)
    places = [out for name, _, out in seen if name == "announce"]
    assert len(places) == 3
    for out in places:
        assert np.count_nonzero(out) == matched
    repeated = Counter(w for w in VISITS["who"].to_pylist() if w is not None)
    # NULLs are like nothing, so that nobody learns how many there are.
    assert sorted(Counter(map(bytes, tags[0] if len(tags[0]) == 45 else tags[1])).values()) == sorted(
        [*repeated.values(), *[1] * VISITS["who"].null_count]
    )


def test_the_cost_decides() -> None:
    with tc.local(3, transport="memory") as s:
        # Many narrow keys of rows that are shared sort in fewer bytes.
        n = 20_000
        rng = np.random.default_rng(1)
        a = pa.table({"k": rng.permutation(n), "v": np.ones(n, np.int64)})
        b = pa.table({"k": rng.integers(0, n, n), "w": np.ones(n, np.int64)})
        s.table("a", {0: a.slice(0, n // 2), 1: a.slice(n // 2)}, unique="k", ranges={"k": (0, 2**15 - 1)})
        s.table("b", {1: b.slice(0, n // 2), 2: b.slice(n // 2)}, ranges={"k": (0, 2**15 - 1)})
        s.table("c", b, party=2, ranges={"k": (0, 2**15 - 1)})
        s.table("d", a, party=0, unique="k", ranges={"k": (0, 2**15 - 1)})
        slow, quick = (
            "SELECT sum(v + w) AS s FROM a JOIN b USING (k)",
            "SELECT sum(v + w) AS s FROM d JOIN c USING (k)",
        )
        assert "tags" not in s.sql(slow, reveals="join_size").explain()
        assert s.sql(slow, reveals="join_size").plan().digest == s.sql(slow).plan().digest
        both = s.sql(quick, reveals="join_size").plan().cost(), s.sql(quick).plan().cost()
        assert 4 * both[0].bytes_total < both[1].bytes_total
        assert 5 * both[0].rounds < both[1].rounds


def test_several_joins_by_one_key_take_tags_or_one_sort(session: Session) -> None:
    text = (
        "SELECT sum(cost) AS s, count(*) AS n FROM visits v JOIN people p ON v.who = p.id JOIN padded q ON v.who = q.id"
    )
    tagged, ordinary = session.sql(text, reveals="join_size"), session.sql(text)
    assert sum(d.kind == "pattern" for d in tagged.plan().disclosures()) == 2
    assert tagged.plan().cost().seconds < ordinary.plan().cost().seconds
    assert tagged.reveal().table.equals(ordinary.reveal().table)


def test_joins_that_tags_cannot_compute_are_sorted(session: Session) -> None:
    for text in (
        # Many with many, a unique side that is kept, floats, and text that is too long for a tag.
        "SELECT v.cost FROM visits v JOIN spread s ON v.who = s.who",
        "SELECT name, cost FROM people LEFT JOIN visits ON who = id",
        "SELECT name, cost FROM people FULL JOIN visits ON who = id",
        "SELECT name, cost FROM visits v JOIN people p ON p.name = v.city || ' and more than 18 letters'",
    ):
        assert session.sql(text, reveals=["join_size"]).plan().digest == session.sql(text).plan().digest


@pytest.mark.parametrize("reveals", ["rows", ["join_size", "all"], [1]])
def test_nothing_else_can_be_revealed(session: Session, reveals: Any) -> None:
    with pytest.raises(InputError, match="INPUT-028"):
        session.sql("SELECT 1", reveals=reveals)
