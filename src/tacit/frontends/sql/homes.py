# SPDX-License-Identifier: Apache-2.0
"""Homes: which part of a query each party computes alone, as SQL for its own engine.

What touches one party's tables only never becomes secret: the largest such parts of a query turn into `Home`s, and rows
of a table that several parties hold into a `Stack` of them. Left out is what would lose by it: joins whose result may
be larger than their inputs, quotients and other doubles, which joint arithmetic keeps exact, and groups that a rule on
small groups has to judge.
"""

from __future__ import annotations

from dataclasses import replace

from tacit.frontends.sql.algebra import (
    Filter,
    Group,
    Home,
    Join,
    Project,
    Query,
    Ref,
    Relation,
    Scan,
    Stack,
    Values,
    Window,
    relations,
    sources,
    with_sources,
)
from tacit.frontends.sql.bounds import rows_of
from tacit.frontends.sql.catalogue import Part, Table
from tacit.frontends.sql.render import render


def place(query: Query, min_group: int = 1) -> Query:
    """The query with its largest one-party parts as homes. `min_group` above 1, here or of a table, keeps groups of
    rows out of them.
    """
    root = query.relation
    alone = {id(item): _engine(item) for item in relations(root) if isinstance(item, Scan)}
    able: set[int] = set()
    order = relations(root)
    for item in order:
        inner = sources(item)
        if all(id(s) in able for s in inner) and _fits(item, min_group):
            engines = {alone[id(s)] for s in inner if alone[id(s)] is not None}
            if not isinstance(item, Scan):
                alone[id(item)] = engines.pop() if len(engines) == 1 else None
            if len(engines) < 2 and (alone[id(item)] is not None or isinstance(item, Values)):
                able.add(id(item))
        alone.setdefault(id(item), None)
    done: dict[int, Relation] = {}

    def placed(item: Relation) -> Relation:
        if id(item) not in done:
            if alone[id(item)] is not None and id(item) in able:
                done[id(item)] = _home(item, _part(item))
            elif _chain(item) is not None:
                done[id(item)] = _stack(item)
            else:
                done[id(item)] = with_sources(item, [placed(s) for s in sources(item)])
        return done[id(item)]

    # Sources first, so that deep queries need no deep recursion.
    wanted = _needed(root, able)
    for item in order:
        if id(item) in wanted:
            placed(item)
    return replace(query, relation=placed(root))


def _needed(root: Relation, able: set[int]) -> set[int]:
    """The relations outside homes, and the topmost inside."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        item = stack.pop()
        if id(item) not in seen:
            seen.add(id(item))
            if id(item) not in able and _chain(item) is None:
                stack.extend(sources(item))
    return seen


def _engine(scan: Scan) -> tuple[int, str] | None:
    """The party and the engine that hold all of a table, or None."""
    if len(scan.table.parts) != 1:
        return None
    part = scan.table.parts[0]
    return part.party, part.dialect if part.dialect == "duckdb" else part.source.split("#")[0]


def _fits(item: Relation, min_group: int) -> bool:
    """Whether a home may compute this, given that it has what it is made from."""
    if isinstance(item, Join) and item.kind in ("inner", "left", "full"):
        inputs = rows_of(item.left) + rows_of(item.right)
        return rows_of(item) <= max(inputs, 64)
    if isinstance(item, Project):
        return not any(e.type.kind == "double" and not isinstance(e, Ref) for _, e in item.items)
    if isinstance(item, Group):
        tables = [r.table for r in relations(item) if isinstance(r, Scan)]
        small = max([min_group, *(t.min_group for t in tables)])
        return small == 1 and not any(a.type.kind == "double" for _, a in item.aggregates)
    if isinstance(item, Window):
        return not any(w.type.kind == "double" for _, w in item.calls)
    return not isinstance(item, (Home, Stack))


def _home(item: Relation, part: Part) -> Home:
    names: dict[str, str] = {}
    for scan in relations(item):
        if isinstance(scan, Scan):
            names[scan.table.name] = next(p.source for p in scan.table.parts if p.party == part.party)
    padded = part.padded or not all(isinstance(r, (Scan, Project)) for r in relations(item))
    return Home(
        part.party,
        render(item, part.dialect, {name: name for name in names}),
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
        e.type.kind == "double" and not isinstance(e, Ref) for _, e in item.items
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
