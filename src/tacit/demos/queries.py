# SPDX-License-Identifier: Apache-2.0
"""Demos in SQL: queries over tables that nobody pools, each beside DuckDB's answer on the pooled ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tacit as tc
from tacit.demos.outcome import Facts, Question, Rows
from tacit.demos.settings import Settings, facts, opened
from tacit.demos.stages import Stages
from tacit.plan import Plan


@dataclass(frozen=True)
class Query:
    """A query of a demo. `why` says what it is for, `result` in a few words what its rows tell.

    Where a table has a `min_group`, it groups once and may end with ORDER BY.
    """

    title: str
    why: str
    result: str
    text: str


@dataclass(frozen=True)
class Held:
    """A table of a demo: `file` is its name in the directory of each of its `owners`, who hold different rows.

    Groups of fewer than `min_group` of its rows are left out of results.
    """

    name: str
    file: str
    owners: tuple[str, ...]
    unique: tuple[str | tuple[str, ...], ...] = ()
    min_group: int = 1


def asked(
    settings: Settings, stages: Stages, homes: Mapping[str, Path], tables: Sequence[Held], queries: Sequence[Query]
) -> tuple[tuple[Question, ...], Facts, Pool]:
    """Each query, run by the parties that `homes` has with the directories they may read, and on the pooled tables."""
    pool = Pool({t.name: [homes[owner] / t.file for owner in t.owners] for t in tables})
    with stages.stage(f"starting {', '.join(homes)}, each with files of its own"):
        session = opened(settings, tuple(homes), list(homes.values()))
    with session:
        with stages.stage(f"registering {', '.join(t.name for t in tables)}"):
            registered = [
                session.table(t.name, dict.fromkeys(t.owners, t.file), unique=t.unique, min_group=t.min_group)
                for t in tables
            ]
        min_group = max(t.min_group for t in tables)
        questions = []
        for query in queries:
            with stages.stage(f"asking together: {query.title}"):
                questions.append(answered(session, settings, query, pool, min_group))
    return tuple(questions), together(questions, registered), pool


class Pool:
    """All tables in one database, which only a demo can have: it plays all owners. Its SQL is DuckDB's own."""

    def __init__(self, tables: Mapping[str, Sequence[Path]]) -> None:
        import duckdb

        # One thread is quick enough, and leaves the others to the parties.
        self._database = duckdb.connect(config={"threads": 1})
        for name, files in tables.items():
            self._database.read_parquet([str(file) for file in files]).create_view(name)

    def rows(self, text: str) -> Rows:
        """The rows of a query, in order."""
        return tuple(self._database.sql(text).fetchall())

    def answer(self, query: Query, min_group: int) -> tuple[Rows, int | None]:
        """The rows that may be shown, and how many groups may not; None without such a rule."""
        rows = self.rows(query.text)
        if min_group == 1:
            return rows, None
        groups, mark, order = query.text.partition("\nORDER BY")
        shown = self.rows(f"{groups}\nHAVING count(*) >= {min_group}{mark}{order}")
        return shown, len(rows) - len(shown)


def answered(session: tc.Session, settings: Settings, query: Query, pool: Pool, min_group: int) -> Question:
    """The query run jointly, and on the pooled tables; `min_group` is the largest of its tables."""
    frame = session.sql(query.text)
    plan = frame.plan(purpose=query.title)
    answer = frame.reveal(purpose=query.title)
    pooled, pooled_hidden = pool.answer(query, min_group)
    return Question(
        title=query.title,
        why=query.why,
        sql=query.text,
        columns=frame.names,
        joint=tuple(zip(*(column.to_pylist() for column in answer.table.columns), strict=True)),
        pooled=pooled,
        facts=facts(session, settings, plan, learned(plan, query, min_group)),
        min_group=min_group,
        hidden=answer.hidden_groups,
        pooled_hidden=pooled_hidden,
    )


def learned(plan: Plan, query: Query, min_group: int) -> Iterator[str]:
    """The disclosures of a query's plan in a few words, all of them."""
    rows: dict[str, set[int]] = {}
    opened, shown, told = False, 0, set()
    for d in plan.disclosures():
        if d.kind == "size":
            owner = plan.parties[plan.nodes[d.node].attrs["party"]]
            rows.setdefault(owner, set()).add(d.type.shape[0])
        elif d.kind == "opening":
            opened = True
        elif d.kind == "pattern":
            yield str(d)
        else:
            shown = max(shown, d.type.size)
            told.add(d.audience)
    for owner, counts in rows.items():
        yield f"numbers of rows that {owner} brings: {', '.join(f'{n:,}' for n in sorted(counts))}, to everyone"
    if opened:
        yield (
            "on the way, how randomly shuffled rows compare and where they went: random patterns that do not depend on "
            "the data, to everyone"
        )
    audience = " and ".join(sorted(told))
    number = f" (at most {shown:,} rows, and how many)" if shown > 1 else ""
    yield f"{query.result}{number}, to {audience}"
    if min_group > 1:
        yield f"how many groups have fewer than {min_group} rows, to {audience}"


def together(questions: Sequence[Question], tables: Sequence[Any]) -> Facts:
    """The facts of all runs as those of one; before them, what registering the tables told."""
    first = questions[0].facts
    told = [f"registering {t.name}: {'; '.join(t.disclosed)}; to everyone" for t in tables]
    common = [line for line in first.learned if all(line in q.facts.learned for q in questions)]
    told += [f"each query: {line}" for line in common]
    for k, question in enumerate(questions, start=1):
        told += [f"query {k}: {line}" for line in question.facts.learned if line not in common]
    return Facts(
        protocol=first.protocol,
        network=first.network,
        digest=", ".join(q.facts.digest for q in questions),
        learned=tuple(told),
        disclosures=tuple(d for q in questions for d in q.facts.disclosures),
        assumptions=tuple(dict.fromkeys(a for q in questions for a in q.facts.assumptions)),
        rounds=sum(q.facts.rounds for q in questions),
        bytes_total=sum(q.facts.bytes_total for q in questions),
        seconds=sum(q.facts.seconds for q in questions),
        processes=first.processes,
        tls=first.tls,
        protection=first.protection,
    )
