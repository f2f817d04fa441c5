# SPDX-License-Identifier: Apache-2.0
"""The rule on small groups: rows of a table leave only in aggregates of at least so many of them.

It is the first aggregation above a table's rows that is judged, by how many rows it has: what is computed from groups
that are large enough may be disclosed. What a query asks for counts the rows that it groups; what a table asks for
counts the table's rows, so what is below must not repeat one, nor add others: to it a row of an outer join that found
no partner is another. The rule is about groups that are small by chance; it does
not recognise an expression that singles a row out on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tacit.errors import SqlError
from tacit.frontends.sql.algebra import Group, Home, Join, Relation, Scan, SetOperation, Stack, relations, sources
from tacit.frontends.sql.bounds import partners

Exposed = Mapping[str, tuple[int, bool]]
"""Tables whose rows a relation has: the fewest that a group of them may have, and whether counting its rows counts
theirs."""


def judged(root: Relation, min_group: int) -> dict[int, int]:
    """For each aggregation, by identity, how many rows a group must have: those that need more than one.

    Raises `SqlError` SQL-014 where rows of a table with such a rule would be disclosed one by one, or a group's rows do
    not tell how many it has of them.
    """
    least: dict[int, int] = {}
    exposed: dict[int, Exposed] = {}
    for item in relations(root):
        exposed[id(item)] = found = _exposed(item, [exposed[id(s)] for s in sources(item)], min_group)
        if isinstance(item, Group) and found:
            for name, (fewest, once) in found.items():
                if not once:
                    raise SqlError(
                        "SQL-014",
                        f"how many rows of {name!r} a group has cannot be told from the rows that it groups, and "
                        f"groups of fewer than {fewest} stay hidden",
                        expected="below the aggregation no join that repeats a row of that table, and no outer join "
                        "or UNION that adds others",
                        next="declare unique= keys of the tables it is joined with, or aggregate it first",
                    )
            least[id(item)] = max(fewest for fewest, _ in found.values())
            exposed[id(item)] = {}
    for name, (fewest, _) in exposed[id(root)].items():
        raise SqlError(
            "SQL-014",
            f"the query discloses rows of {name!r} one by one",
            expected=f"aggregates of at least {fewest} rows",
            next="aggregate them with GROUP BY, COUNT or SUM",
        )
    return least


def ruled(root: Relation) -> frozenset[int]:
    """The relations, by identity, that have rows of tables that have such a rule themselves."""
    found: set[int] = set()
    for item in relations(root):
        if isinstance(item, (Home, Stack)):
            has = any(s.table.min_group > 1 for s in _scans(item))
        else:
            has = any(id(s) in found for s in sources(item)) and not isinstance(item, Group)
        if has:
            found.add(id(item))
    return frozenset(found)


def _exposed(item: Relation, inner: list[Exposed], min_group: int) -> Exposed:
    if isinstance(item, Scan):
        fewest = max(item.table.min_group, min_group)
        return {item.table.name: (fewest, True)} if fewest > 1 else {}
    if isinstance(item, (Home, Stack)):
        # Homes aggregate nothing that has such a rule.
        return exposed_inside(item.relation, min_group)
    strict = {r.table.name for r in _scans(item) if r.table.min_group > 1}

    def counted(side: Exposed, exactly: bool) -> Exposed:
        return {name: (fewest, once and (exactly or name not in strict)) for name, (fewest, once) in side.items()}

    if isinstance(item, SetOperation):
        return _merged([counted(side, item.kind != "union") for side in inner])
    if not isinstance(item, Join):
        return _merged(inner)
    left, right = inner
    once_left, once_right = partners(item)
    if item.kind == "anti":
        # Rows that are left out tell who is on the right all the same, but no group has rows of it.
        return _merged([left, {name: (fewest, True) for name, (fewest, _) in right.items()}])
    if item.kind == "semi":
        return _merged([left, counted(right, once_right)])
    if item.kind == "mark":
        return _merged([left, counted(right, False)])
    left = counted(left, once_left and item.kind != "full")
    return _merged([left, counted(right, once_right and item.kind == "inner")])


def _scans(relation: Relation) -> Iterator[Scan]:
    """The tables that a relation is made from."""
    for item in relations(relation):
        if isinstance(item, Scan):
            yield item
        elif isinstance(item, (Home, Stack)):
            yield from _scans(item.relation)


def exposed_inside(relation: Relation, min_group: int) -> Exposed:
    """The tables with such a rule whose rows a relation has, other than in groups that are large enough."""
    exposed: dict[int, Exposed] = {}
    for item in relations(relation):
        exposed[id(item)] = _exposed(item, [exposed[id(s)] for s in sources(item)], min_group)
    return exposed[id(relation)]


def _merged(parts: list[Exposed]) -> Exposed:
    out: dict[str, tuple[int, bool]] = {}
    for part in parts:
        for name, (fewest, once) in part.items():
            before = out.get(name, (fewest, True))
            out[name] = (max(before[0], fewest), before[1] and once)
    return out
