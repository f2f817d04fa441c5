# SPDX-License-Identifier: Apache-2.0
"""What is known of a relation without its data: how many rows it has at most, and which columns tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from math import prod
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from tacit.frontends.sql.algebra import (
    Call,
    Column,
    Constant,
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
    Stack,
    Values,
    Window,
    conjuncts,
    equi_keys,
    references,
    relations,
    sources,
)
from tacit.frontends.sql.functions import year
from tacit.frontends.sql.types import TEXT_WORD, Dictionary, SqlType
from tacit.plan import Interval

Keys = frozenset[frozenset[Column]]
"""Sets of columns of which no two rows agree, NULLs aside; the empty set says that there is at most one row."""

Choice: TypeAlias = Interval | frozenset[str]
Choices: TypeAlias = Mapping[Column, Choice]

_ONE: Keys = frozenset([frozenset()])
_MOST_KEYS = 16

_rows: WeakKeyDictionary[Relation, int] = WeakKeyDictionary()
_keys: WeakKeyDictionary[Relation, Keys] = WeakKeyDictionary()
_choices: WeakKeyDictionary[Relation, Choices] = WeakKeyDictionary()
_parties: WeakKeyDictionary[Relation, frozenset[int]] = WeakKeyDictionary()


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
        case Home() | Stack():
            return relation.rows
        case Values():
            return len(relation.rows)
        case Filter() | Join(kind="inner"):
            return _joined(relation)
        case Join(kind="semi" | "anti" | "mark" | "single"):
            return rows_of(relation.left)
        case Join():
            left, right = rows_of(relation.left), rows_of(relation.right)
            at_most_one, at_most_one_left = partners(relation)
            if relation.kind == "left" and at_most_one:
                return left
            if at_most_one or at_most_one_left:
                return left + right
            return left * right + left + (right if relation.kind == "full" else 0)
        case Group(keys=()):
            return 1
        case Group():
            return min(rows_of(relation.source), _combinations(relation.source, [e for _, e in relation.keys]))
        case Distinct():
            return min(rows_of(relation.source), _combinations(relation.source, [Ref(c) for c in relation.columns]))
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


def _combinations(source: Relation, keys: list[Expr]) -> int:
    """How many combinations of keys there can be: of what comes from one leaf no more than this has rows."""
    same, leaves = equivalents(source), sorted(leaves_of(source), key=rows_of)
    parts: dict[int, list[Expr]] = {}
    for k in keys:
        columns = [{c, *same.get(c, ())} for c in references(k)]
        inside = (n for n, leaf in enumerate(leaves) if all(c & set(leaf.columns) for c in columns))
        parts.setdefault(next(inside, -1), []).append(k)
    values = {n: prod(_values(k, choices_of(source)) for k in p) for n, p in parts.items()}
    return prod(v if n < 0 else min(v, rows_of(leaves[n])) for n, v in values.items())


def _values(key: Expr, choices: Choices) -> int:
    """How many values there can be; of text longer than a word nobody counts on."""
    left = _choice(key, choices)
    if isinstance(left, frozenset):
        return len(left)
    if isinstance(left, Dictionary):
        return len(left.values) + key.nullable
    if key.type.kind == "text":
        return int(256 ** min(key.domain.hi, TEXT_WORD)) + key.nullable
    return left.hi - left.lo + 1 + key.nullable


def choices_of(relation: Relation) -> Choices:
    """Of some columns the values that filters and inner joins leave: text as a set, and all else as an interval."""
    if relation in _choices:
        return _choices[relation]
    found: dict[Column, Choice] = {}
    match relation:
        case Filter() | Join(kind="inner"):
            for source in sources(relation):
                found.update(choices_of(source))
            condition = relation.predicate if isinstance(relation, Filter) else relation.condition
            for part in conjuncts(condition):
                for column, choice in _told(part, found).items():
                    found[column] = choice
        case Project():
            inner = choices_of(relation.source)
            found = {c: _choice(e, inner) for c, e in relation.items if not isinstance(e, Constant)}
        case Home() | Stack():
            found.update(choices_of(relation.relation))
        case Join(kind="left" | "semi" | "anti" | "mark" | "single"):
            found.update(choices_of(relation.left))
        case Window() | Sort() | Limit() | Distinct():
            found.update(choices_of(relation.source))
        case _:
            pass
    _choices[relation] = found
    return found


def _choice(expr: Expr, choices: Choices) -> Choice:
    """The values that an expression can have."""
    if isinstance(expr, Ref):
        return choices.get(expr.column, expr.domain)
    if isinstance(expr, Call) and expr.name == "date_part" and expr.options[0] == "year":
        days = _choice(expr.args[0], choices)
        if expr.args[0].type.kind == "date" and isinstance(days, Interval):
            return Interval(year(days.lo), year(days.hi))
    return expr.domain


def _told(predicate: Expr, before: Choices) -> dict[Column, Choice]:
    """What a predicate leaves of its columns' values where it is true."""
    if not isinstance(predicate, Call):
        return {}
    if predicate.name == "or":
        ways = [_told(way, before) for way in predicate.args]
        shared = ways[0].keys() & set.intersection(*(set(w) for w in ways))
        return {c: reduce(_either, (w[c] for w in ways)) for c in shared}
    if predicate.name == "and":
        out: dict[Column, Choice] = {}
        for part in predicate.args:
            out.update(_told(part, {**before, **out}))
        return out
    x, *rest = predicate.args or (predicate,)
    name = predicate.name
    if len(rest) == 1 and isinstance(x, Constant):
        x, rest, name = rest[0], [x], _TURNED.get(name, "")
    if not isinstance(x, Ref) or any(not isinstance(c, Constant) or c.type.kind != x.type.kind for c in rest):
        return {}
    values = [c.raw for c in rest if isinstance(c, Constant)]
    if name in ("eq", "in") and all(isinstance(v, str) for v in values):
        return {x.column: frozenset(v for v in values if isinstance(v, str))}
    had, raws = _choice(x, before), [v for v in values if isinstance(v, int)]
    if len(raws) != len(values) or not raws or not isinstance(had, Interval):
        return {}
    # A double may lie between two raw values.
    step = x.type.kind != "double"
    lo = min(raws) + (step and name == "gt") if name in ("eq", "in", "ge", "gt") else had.lo
    hi = max(raws) - (step and name == "lt") if name in ("eq", "in", "le", "lt") else had.hi
    lo, hi = max(had.lo, lo), min(had.hi, hi)
    # What cannot be at all is left to the filter.
    return {x.column: Interval(lo, hi)} if lo <= hi and all(c.type == x.type for c in rest) else {}


_TURNED: Final = {"eq": "eq", "lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}


def _either(a: Choice, b: Choice) -> Choice:
    if isinstance(a, Interval) and isinstance(b, Interval):
        return a | b
    assert isinstance(a, frozenset) and isinstance(b, frozenset)
    return a | b


def _flat(relation: Relation) -> tuple[list[Relation], list[Expr]]:
    """The relations that filters and inner joins put together, and all their conditions."""
    if isinstance(relation, Filter):
        leaves, conditions = _flat(relation.source)
        return leaves, [*conditions, *_certain(relation.predicate)]
    if isinstance(relation, Join) and relation.kind == "inner":
        left, right = _flat(relation.left), _flat(relation.right)
        return [*left[0], *right[0]], [*left[1], *right[1], *_certain(relation.condition)]
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


def _certain(predicate: Expr | None) -> list[Expr]:
    """What holds wherever a predicate does: its conjuncts, and what all alternatives of a disjunction share."""
    found: list[Expr] = []
    for part in conjuncts(predicate):
        found.append(part)
        if isinstance(part, Call) and part.name == "or":
            first, *others = map(_certain, part.args)
            found += [p for p in first if all(p in other for other in others)]
    return found


def _carried(source: Relation, renamed: dict[Column, Column]) -> Keys:
    """The unique columns of a relation of which some are passed on, others perhaps in what equals them."""
    keys = keys_of(source)
    if any(not k <= renamed.keys() for k in keys):
        for column, others in equivalents(source).items():
            found = next((c for c in sorted(others, key=lambda c: c.id) if c in renamed), None)
            if found is not None:
                renamed.setdefault(column, renamed[found])
    return frozenset(frozenset(renamed[c] for c in k) for k in keys if k <= renamed.keys())


def partners(join: Join) -> tuple[bool, bool]:
    """Whether a left row has at most one partner by the equalities of the condition, and whether a right row has."""
    pairs, _ = equi_keys(join)
    left, right = bare(a for a, _ in pairs), bare(b for _, b in pairs)
    return is_unique(join.right, right), is_unique(join.left, left)


def bare(exprs: Iterable[Expr]) -> frozenset[Column]:
    """The columns among some expressions, whatever wider type they are cast to."""
    found = set()
    for expr in exprs:
        while isinstance(expr, Call) and expr.name == "cast" and _widens(expr.args[0].type, expr.type):
            expr = expr.args[0]
        if isinstance(expr, Ref):
            found.add(expr.column)
    return frozenset(found)


def _widens(a: SqlType, b: SqlType) -> bool:
    """Whether different values of one type stay different in another."""
    exact = a.kind in ("int", "decimal") and b.kind in ("int", "decimal") and a.scale <= b.scale
    return exact or a.kind == b.kind == "text"


def is_unique(relation: Relation, columns: frozenset[Column]) -> bool:
    """Whether no two rows agree in all these columns, NULLs aside."""
    keys = keys_of(relation)
    if any(k <= columns for k in keys):
        return True
    same = equivalents(relation)
    wider = columns.union(*(same.get(c, frozenset()) for c in columns))
    return any(k <= wider for k in keys)


def decided(relation: Relation, columns: frozenset[Column]) -> dict[Column, Relation | None]:
    """The columns whose values follow from those of `columns`, each with the leaf that unique columns find it in: None
    for `columns` themselves and what equals them. See `links`.
    """
    found: dict[Column, Relation | None] = dict.fromkeys(columns)
    same = equivalents(relation)
    for c in columns:
        found.update(dict.fromkeys(same.get(c, ())))
    rest = leaves_of(relation)
    while True:
        # Rows in which a unique column is NULL need not agree; in what an equality has let through there are none.
        sure = {c for c in found if not c.nullable or c in same}
        leaf = next((x for x in rest if any(k <= sure for k in keys_of(x))), None)
        if leaf is None:
            return found
        rest.remove(leaf)
        for c in leaf.columns:
            for d in (c, *same.get(c, ())):
                found.setdefault(d, leaf)


def leaves_of(relation: Relation) -> list[Relation]:
    """What inner joins and filters put together, or keep as the side that they never leave out."""
    leaves: list[Relation] = []
    stack = [relation]
    while stack:
        item = stack.pop()
        match item:
            case Join(kind="inner"):
                stack.extend((item.right, item.left))
            case Join(kind="left" | "semi" | "anti" | "mark" | "single"):
                stack.append(item.left)
            case Filter(source=Join()):
                stack.append(item.source)
            case Project() if all(e == Ref(c) for c, e in item.items):
                stack.append(item.source)
            case _:
                leaves.append(item)
    return leaves


def parties_of(relation: Relation) -> frozenset[int]:
    """The parties whose rows a relation is made from."""
    if relation not in _parties:
        for item in relations(relation):
            match item:
                case Scan():
                    own = frozenset(p.party for p in item.table.parts)
                case Home():
                    own = frozenset([item.party])
                case Stack():
                    own = frozenset(h.party for h in item.homes)
                case _:
                    own = frozenset()
            _parties[item] = own.union(*(_parties[s] for s in sources(item)))
    return _parties[relation]


def equivalents(relation: Relation) -> dict[Column, frozenset[Column]]:
    """For each column the ones that equal it in every row, as filters and inner joins ask."""
    classes: dict[Column, frozenset[Column]] = {}
    stack = [relation]
    while stack:
        item = stack.pop()
        match item:
            case Filter():
                conditions = conjuncts(item.predicate)
            case Join(kind="inner"):
                conditions = conjuncts(item.condition)
            case _:
                conditions = ()
        for condition in conditions:
            if isinstance(condition, Call) and condition.name == "eq":
                a, b = condition.args
                if isinstance(a, Ref) and isinstance(b, Ref):
                    union = classes.get(a.column, frozenset([a.column])) | classes.get(b.column, frozenset([b.column]))
                    classes.update(dict.fromkeys(union, union))
        match item:
            case Join(kind="full") | Group() | SetOperation():
                pass
            case Join():
                stack.extend((item.left, item.right) if item.kind == "inner" else (item.left,))
            case Home() | Stack():
                stack.append(item.relation)
            case _:
                stack.extend(sources(item))
    return classes


def _unique(relation: Relation) -> Keys:
    match relation:
        case Scan():
            columns = {n.lower(): c for n, c in zip(relation.names, relation.columns, strict=True)}
            keys = [[columns.get(n.lower()) for n in names] for names in relation.table.unique]
            found = frozenset(frozenset(c for c in key if c) for key in keys if all(key))
            return _ONE if relation.table.rows <= 1 else found
        case Home() | Stack():
            return _carried(relation.relation, {c: c for c in relation.columns})
        case Values():
            return _ONE if len(relation.rows) <= 1 else frozenset()
        case Filter():
            fixed = frozenset(c for c, by in _equalities(list(conjuncts(relation.predicate))) if not by)
            return frozenset(k - fixed for k in keys_of(relation.source))
        case Project():
            return _carried(relation.source, {e.column: c for c, e in relation.items if isinstance(e, Ref)})
        case Join(kind="semi" | "anti" | "mark" | "single"):
            return keys_of(relation.left)
        case Join(kind="inner" | "left"):
            left, right = keys_of(relation.left), keys_of(relation.right)
            found = frozenset(a | b for a in left for b in right)
            at_most_one, at_most_one_left = partners(relation)
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
        case Sort() | Limit():
            return keys_of(relation.source)
        case Window():
            # Rows of one partition have different numbers.
            numbered = (
                {e.column for e in w.partition if isinstance(e, Ref)} | {c}
                for c, w in relation.calls
                if w.name == "row_number" and all(isinstance(e, Ref) for e in w.partition)
            )
            return keys_of(relation.source).union(map(frozenset, numbered))
        case SetOperation(all=False):
            return frozenset([frozenset(relation.columns)])
        case _:
            return frozenset()
