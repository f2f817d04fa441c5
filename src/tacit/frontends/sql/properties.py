# SPDX-License-Identifier: Apache-2.0
"""What can be known of a relation without its data: at most how many rows, which columns are unique, whose it is."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from tacit.frontends.sql.algebra import (
    Call,
    Column,
    Distinct,
    Expr,
    Filter,
    Group,
    Home,
    Join,
    Limit,
    Project,
    Ref,
    Relation,
    Scan,
    SetOperation,
    Stack,
    Values,
    conjuncts,
    equi_keys,
    relations,
    sources,
)
from tacit.frontends.sql.types import TEXT_WORD

Unique = frozenset[frozenset[Column]]
"""Sets of columns of which no two rows agree, NULLs aside; the empty set says that there is at most one row."""


class Properties:
    """Properties of relations, each worked out once."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}
        self._unique: dict[int, Unique] = {}
        self._parties: dict[int, frozenset[int]] = {}
        # Results are kept by identity, so what they belong to has to stay alive.
        self._alive: dict[int, Relation] = {}

    def rows(self, relation: Relation) -> int:
        """A public bound on the number of rows."""
        for item in relations(relation):
            if id(item) not in self._rows:
                self._alive[id(item)] = item
                self._rows[id(item)] = self._bound(item)
        return self._rows[id(relation)]

    def unique(self, relation: Relation) -> Unique:
        """Sets of columns that are unique for certain, or as a table declares."""
        for item in relations(relation):
            if id(item) not in self._unique:
                self._alive[id(item)] = item
                self._unique[id(item)] = self._find_unique(item)
        return self._unique[id(relation)]

    def parties(self, relation: Relation) -> frozenset[int]:
        """The parties whose rows the relation is made from."""
        for item in relations(relation):
            if id(item) not in self._parties:
                self._alive[id(item)] = item
                own = frozenset(p.party for p in item.table.parts) if isinstance(item, Scan) else frozenset()
                if isinstance(item, Home):
                    own = frozenset([item.party])
                if isinstance(item, Stack):
                    own = frozenset(h.party for h in item.homes)
                self._parties[id(item)] = own.union(*(self._parties[id(s)] for s in sources(item)))
        return self._parties[id(relation)]

    def is_unique(self, relation: Relation, columns: Iterable[Column]) -> bool:
        """Whether no two rows agree in all these columns, NULLs aside."""
        wanted = set(columns)
        if any(u <= wanted for u in self.unique(relation)):
            return True
        same = equivalents(relation)
        wider = {c for w in wanted for c in same.get(w, (w,))}
        return any(u <= wider for u in self.unique(relation))

    def sides(self, join: Join) -> tuple[bool, bool]:
        """Whether the left and the right side have each key of a join's equalities at most once."""
        pairs, _ = equi_keys(join)
        left, right = plain(a for a, _ in pairs), plain(b for _, b in pairs)
        return self.is_unique(join.left, left), self.is_unique(join.right, right)

    def _bound(self, item: Relation) -> int:
        inner = [self._rows[id(s)] for s in sources(item)]
        if isinstance(item, (Home, Stack)):
            return item.rows
        if isinstance(item, Scan):
            return item.table.rows
        if isinstance(item, Values):
            return len(item.rows)
        if isinstance(item, Join):
            if item.kind in ("semi", "anti", "mark", "single"):
                return inner[0]
            left, right = self.sides(item)
            bound = min(inner[1] if left else prod(inner), inner[0] if right else prod(inner))
            if item.kind == "inner":
                return bound
            if item.kind == "left":
                return inner[0] if right else bound + inner[0]
            return bound + inner[0] + inner[1]
        if isinstance(item, Group):
            return min(inner[0], combinations(e for _, e in item.keys)) if item.keys else 1
        if isinstance(item, Distinct):
            return min(inner[0], combinations(Ref(c) for c in item.columns))
        if isinstance(item, SetOperation):
            return sum(inner) if item.kind == "union" else min(inner) if item.kind == "intersect" else inner[0]
        if isinstance(item, Limit):
            rest = max(inner[0] - item.offset, 0)
            return rest if item.size is None else min(rest, item.size)
        return inner[0]

    def _find_unique(self, item: Relation) -> Unique:
        inner = [self._unique[id(s)] for s in sources(item)]
        one = frozenset([frozenset[Column]()])
        if self.rows(item) <= 1:
            return one
        if isinstance(item, Scan):
            place = dict(zip(item.names, item.columns, strict=True))
            return frozenset(frozenset(place[n] for n in u) for u in item.table.unique if set(u) <= place.keys())
        if isinstance(item, (Home, Stack)):
            return _kept(self.unique(item.relation), item.columns)
        if isinstance(item, Project):
            moved = {e.column: c for c, e in item.items if isinstance(e, Ref)}
            return frozenset(frozenset(moved[c] for c in u) for u in inner[0] if u <= moved.keys())
        if isinstance(item, Join):
            if item.kind in ("semi", "anti", "mark", "single"):
                return inner[0]
            left, right = self.sides(item)
            kept = (inner[0] if right and item.kind != "full" else frozenset()) | (
                inner[1] if left and item.kind == "inner" else frozenset()
            )
            return kept or frozenset(a | b for a in inner[0] for b in inner[1] if item.kind == "inner")
        if isinstance(item, Group):
            return frozenset([frozenset(c for c, _ in item.keys)])
        if isinstance(item, Distinct):
            return inner[0] | {frozenset(item.columns)}
        if isinstance(item, SetOperation):
            if item.kind == "union":
                return frozenset() if item.all else frozenset([frozenset(item.columns)])
            moved = dict(zip(item.left.columns, item.columns, strict=True))
            return frozenset(frozenset(moved[c] for c in u) for u in inner[0])
        return inner[0] if inner else frozenset()


def plain(exprs: Iterable[Expr]) -> set[Column]:
    """The columns among some expressions."""
    return {e.column for e in exprs if isinstance(e, Ref)}


def combinations(keys: Iterable[Expr]) -> int:
    """How many different combinations of values, NULL among them, some keys can have by their domains."""
    sizes = 1
    for key in keys:
        if key.type.kind == "text":
            # Text of at most hi bytes: fewer than 256^hi + 1 values, and nobody counts further than a word.
            values = 256 ** min(key.domain.hi, TEXT_WORD) if key.domain.hi else 1
        else:
            values = key.domain.hi - key.domain.lo + 1
        sizes *= values + key.nullable
    return sizes


def equivalents(relation: Relation) -> dict[Column, set[Column]]:
    """For each column the ones that equal it in every row, as filters and inner joins ask."""
    classes: dict[Column, set[Column]] = {}

    def note(predicate: Expr | None) -> None:
        for part in conjuncts(predicate):
            if isinstance(part, Call) and part.name == "eq":
                a, b = part.args
                if isinstance(a, Ref) and isinstance(b, Ref):
                    union = classes.get(a.column, {a.column}) | classes.get(b.column, {b.column})
                    for c in union:
                        classes[c] = union

    stack = [relation]
    while stack:
        item = stack.pop()
        if isinstance(item, Filter):
            note(item.predicate)
            stack.append(item.source)
        elif isinstance(item, Join):
            if item.kind == "inner":
                note(item.condition)
                stack.append(item.right)
            if item.kind != "full":
                stack.append(item.left)
        elif isinstance(item, (Home, Stack)):
            stack.append(item.relation)
        elif not isinstance(item, (Group, SetOperation)):
            stack.extend(sources(item))
    return classes


def _kept(unique: Unique, columns: tuple[Column, ...]) -> Unique:
    return frozenset(u for u in unique if u <= set(columns))
