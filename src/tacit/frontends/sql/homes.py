# SPDX-License-Identifier: Apache-2.0
"""Homes: which part of a query each party computes alone, as SQL for its own engine.

What touches one party's tables only never becomes secret: the largest such parts of a query turn into `Home`s, and rows
of a table that several parties hold into a `Stack` of them. Left out is what would lose by it: joins whose result may
be larger than their inputs, groups that a rule on small groups has to judge, and results that are computed doubles,
because quotients of what a home sums stay exact if they are formed later. Inside, a home may use them.
"""

from __future__ import annotations

from dataclasses import replace

from tacit.frontends.sql.algebra import (
    Aggregate,
    Call,
    Column,
    Expr,
    Filter,
    Group,
    Home,
    Project,
    Query,
    Ref,
    Relation,
    Scan,
    Stack,
    Window,
    WindowCall,
    relations,
    sources,
    with_sources,
)
from tacit.frontends.sql.bounds import rows_of
from tacit.frontends.sql.catalogue import Part, Table
from tacit.frontends.sql.functions import alone
from tacit.frontends.sql.render import render


def place(query: Query, min_group: int = 1) -> Query:
    """The query with its largest one-party parts as homes. `min_group` above 1, here or of a table, keeps groups of
    rows out of them.
    """
    root = query.relation
    engines: dict[int, tuple[int, str] | None] = {}
    wanted: set[int] = set()
    for item in relations(root):
        inner = {engines[id(s)] for s in sources(item)}
        engine = _engine(item) if isinstance(item, Scan) else inner.pop() if len(inner) == 1 else None
        engines[id(item)] = engine if _may(item, min_group) else None
    done: dict[int, Relation] = {}
    for item in relations(root):
        if engines[id(item)] is not None and _pays(item):
            wanted.add(id(item))
    for item in _outside(root, wanted):
        if id(item) in wanted:
            done[id(item)] = _home(item, _part(item))
        elif _chain(item) is not None:
            done[id(item)] = _stack(item)
        else:
            done[id(item)] = with_sources(item, [done[id(s)] for s in sources(item)])
    return replace(query, relation=done[id(root)])


def _outside(root: Relation, wanted: set[int]) -> list[Relation]:
    """The relations outside homes and the topmost inside, sources first."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        item = stack.pop()
        if id(item) not in seen:
            seen.add(id(item))
            if id(item) not in wanted and _chain(item) is None:
                stack.extend(sources(item))
    return [item for item in relations(root) if id(item) in seen]


def _engine(scan: Scan) -> tuple[int, str] | None:
    """The party and the engine that hold all of a table, or None."""
    if len(scan.table.parts) != 1:
        return None
    part = scan.table.parts[0]
    return part.party, part.dialect if part.dialect == "duckdb" else part.source.split("#")[0]


def _may(item: Relation, min_group: int) -> bool:
    """Whether a home may compute this besides what it is made from."""
    if isinstance(item, Group):
        tables = [r.table for r in relations(item) if isinstance(r, Scan)]
        return max([min_group, *(t.min_group for t in tables)]) == 1
    return not isinstance(item, (Home, Stack))


def _pays(item: Relation) -> bool:
    """Whether what comes out is no more than what goes in, and nothing that was rounded."""
    inside = relations(item)
    rounded: set[Column] = set()
    for r in inside:
        made: list[tuple[Column, Expr | Aggregate | WindowCall]] = []
        if isinstance(r, Project):
            made.extend((c, e) for c, e in r.items if not isinstance(e, Ref) or e.column in rounded)
        elif isinstance(r, Group):
            made.extend(r.aggregates)
        elif isinstance(r, Window):
            made.extend(r.calls)
        rounded.update(c for c, e in made if e.type.kind == "double" and not (isinstance(e, Call) and alone(e)))
    rows = sum(r.table.rows for r in inside if isinstance(r, Scan))
    return rows_of(item) <= max(rows, 64) and not rounded & set(item.columns)


def _home(item: Relation, part: Part) -> Home:
    names: dict[str, str] = {}
    for scan in relations(item):
        if isinstance(scan, Scan):
            names[scan.table.name] = next(p.source for p in scan.table.parts if p.party == part.party)
    padded = part.padded or not all(isinstance(r, (Scan, Project)) for r in relations(item))
    return Home(
        part.party,
        render(item, part.dialect, {name: (name,) for name in names}),
        part.dialect,
        tuple(sorted(names.items())),
        item.columns,
        rows_of(item),
        padded,
        item,
    )


def _chain(item: Relation) -> Scan | None:
    """The scan of a divided table of which this filters and computes on the rows one by one."""
    if not isinstance(item, Scan) and not (isinstance(item, (Filter, Project)) and _plain(item)):
        return None
    while isinstance(item, (Filter, Project)) and _plain(item):
        item = item.source
    return item if isinstance(item, Scan) and len(item.table.parts) > 1 else None


def _plain(item: Filter | Project) -> bool:
    return isinstance(item, Filter) or not any(
        e.type.kind == "double" and not isinstance(e, Ref) and not alone(e) for _, e in item.items
    )


def _stack(item: Relation) -> Stack:
    scan = _chain(item)
    assert scan is not None
    homes = []
    for part in scan.table.parts:
        own: Relation = _of_part(item, scan, replace(scan.table, parts=(part,)))
        home = _home(own, part)
        homes.append(replace(home, relation=own))
    return Stack(tuple(homes), item.columns, item)


def _of_part(item: Relation, scan: Scan, table: Table) -> Relation:
    if item is scan:
        return replace(scan, table=table)
    return with_sources(item, [_of_part(sources(item)[0], scan, table)])


def _part(item: Relation) -> Part:
    """The part of the first table: of all of them the party and the engine are the same, and some may be padded."""
    parts = [p for r in relations(item) if isinstance(r, Scan) for p in r.table.parts]
    return replace(parts[0], padded=any(p.padded for p in parts))
