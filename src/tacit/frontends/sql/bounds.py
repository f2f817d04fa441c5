# SPDX-License-Identifier: Apache-2.0
"""What is known of a relation without its data: how many rows it has at most, and which columns tell them apart."""

from __future__ import annotations

from math import prod
from weakref import WeakKeyDictionary

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
    Sort,
    Values,
    Window,
    conjuncts,
    equi_keys,
    references,
)

Keys = frozenset[frozenset[Column]]
"""Sets of columns of which no two rows agree, NULLs aside; the empty set says that there is at most one row."""

_ONE: Keys = frozenset([frozenset()])
_MOST_KEYS = 16

_rows: WeakKeyDictionary[Relation, int] = WeakKeyDictionary()
_keys: WeakKeyDictionary[Relation, Keys] = WeakKeyDictionary()


def rows_of(relation: Relation) -> int:
    """The most rows that a relation can have, from the rows of its tables, unique keys and domains."""
    if relation not in _rows:
        _rows[relation] = _count(relation)
    return _rows[relation]


def keys_of(relation: Relation) -> Keys:
    """Sets of columns that are unique in a relation."""
    if relation not in _keys:
        keys = _unique(relation)
        _keys[relation] = _ONE if frozenset() in keys else frozenset(sorted(keys, key=len)[:_MOST_KEYS])
    return _keys[relation]


def _count(relation: Relation) -> int:
    match relation:
        case Scan():
            return relation.table.rows
        case Home():
            return relation.rows
        case Values():
            return len(relation.rows)
        case Filter() | Join(kind="inner"):
            return _joined(relation)
        case Join(kind="semi" | "anti" | "mark" | "single"):
            return rows_of(relation.left)
        case Join():
            left, right = rows_of(relation.left), rows_of(relation.right)
            at_most_one, at_most_one_left = _partners(relation)
            if relation.kind == "left":
                return left if at_most_one else left * max(1, right)
            return left + right if at_most_one or at_most_one_left else left * right + left + right
        case Group(keys=()):
            return 1
        case Group():
            return min(rows_of(relation.source), _values([e for _, e in relation.keys]))
        case Distinct():
            return min(rows_of(relation.source), _values([Ref(c) for c in relation.columns]))
        case Limit(size=int(size)):
            return min(size, rows_of(relation.source))
        case SetOperation(kind="union"):
            return rows_of(relation.left) + rows_of(relation.right)
        case SetOperation(kind="intersect"):
            return min(rows_of(relation.left), rows_of(relation.right))
        case SetOperation():
            return rows_of(relation.left)
        case _:
            return rows_of(relation.source)


def _values(keys: list[Expr]) -> int:
    """How many combinations of values there can be."""
    if any(k.type.kind == "text" for k in keys):
        return 1 << 62
    return prod(k.domain.hi - k.domain.lo + 1 + k.nullable for k in keys)


def _flat(relation: Relation) -> tuple[list[Relation], list[Expr]]:
    """The relations that filters and inner joins put together, and all their conditions."""
    if isinstance(relation, Filter):
        leaves, conditions = _flat(relation.source)
        return leaves, [*conditions, *conjuncts(relation.predicate)]
    if isinstance(relation, Join) and relation.kind == "inner":
        left, right = _flat(relation.left), _flat(relation.right)
        return [*left[0], *right[0]], [*left[1], *right[1], *conjuncts(relation.condition)]
    return [relation], []


def _equalities(conditions: list[Expr]) -> list[tuple[Column, frozenset[Column]]]:
    """The columns that are set by the values of other columns, or by constants."""
    found: list[tuple[Column, frozenset[Column]]] = []
    for condition in conditions:
        if isinstance(condition, Call) and condition.name == "eq":
            a, b = condition.args
            for x, y in ((a, b), (b, a)):
                if isinstance(x, Ref):
                    found.append((x.column, frozenset(references(y))))
    return found


def _joined(relation: Relation) -> int:
    """From each leaf in turn: what has a unique key among columns that are known adds no rows."""
    leaves, conditions = _flat(relation)
    equalities = _equalities(conditions)

    def closure(known: frozenset[Column]) -> frozenset[Column]:
        while True:
            more = {c for c, by in equalities if by <= known and c not in known}
            if not more:
                return known
            known |= more

    best: int | None = None
    for start in leaves:
        total, known, rest = 1, frozenset[Column](), [start, *(leaf for leaf in leaves if leaf is not start)]
        while rest:
            known = closure(known)
            free = [leaf for leaf in rest if any(k <= known for k in keys_of(leaf))]
            taken = free[0] if free else rest[0] if len(rest) == len(leaves) else min(rest, key=rows_of)
            if not free:
                total *= rows_of(taken)
            known |= set(taken.columns)
            rest.remove(taken)
        best = total if best is None else min(best, total)
    assert best is not None
    return best


def _partners(join: Join) -> tuple[bool, bool]:
    """Whether a left row has at most one partner, and whether a right row has."""
    pairs, _ = equi_keys(join)
    left = frozenset(a.column for a, _ in pairs if isinstance(a, Ref))
    right = frozenset(b.column for _, b in pairs if isinstance(b, Ref))
    return any(k <= right for k in keys_of(join.right)), any(k <= left for k in keys_of(join.left))


def _unique(relation: Relation) -> Keys:
    match relation:
        case Scan():
            columns = {n.lower(): c for n, c in zip(relation.names, relation.columns, strict=True)}
            keys = [[columns.get(n.lower()) for n in names] for names in relation.table.unique]
            found = frozenset(frozenset(c for c in key if c) for key in keys if all(key))
            return _ONE if relation.table.rows <= 1 else found
        case Home():
            return keys_of(relation.relation)
        case Values():
            return _ONE if len(relation.rows) <= 1 else frozenset()
        case Filter():
            fixed = frozenset(c for c, by in _equalities(list(conjuncts(relation.predicate))) if not by)
            return frozenset(k - fixed for k in keys_of(relation.source))
        case Project():
            renamed: dict[Column, Column] = {e.column: c for c, e in relation.items if isinstance(e, Ref)}
            return frozenset(
                frozenset(renamed[c] for c in key) for key in keys_of(relation.source) if key <= renamed.keys()
            )
        case Join(kind="semi" | "anti" | "mark" | "single"):
            return keys_of(relation.left)
        case Join(kind="inner" | "left"):
            left, right = keys_of(relation.left), keys_of(relation.right)
            found = frozenset(a | b for a in left for b in right)
            at_most_one, at_most_one_left = _partners(relation)
            found |= left if at_most_one else frozenset()
            return found | right if at_most_one_left and relation.kind == "inner" else found
        case Group(keys=()):
            return _ONE
        case Group():
            return frozenset([frozenset(c for c, _ in relation.keys)])
        case Distinct():
            return keys_of(relation.source) | {frozenset(relation.columns)}
        case Limit(size=0 | 1):
            return _ONE
        case Sort() | Limit() | Window():
            return keys_of(relation.source)
        case SetOperation(all=False):
            return frozenset([frozenset(relation.columns)])
        case _:
            return frozenset()
