# SPDX-License-Identifier: Apache-2.0
"""Order, limits, and tables as sets of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from tacit.frontends.arithmetic import greater, logical_and, logical_not
from tacit.frontends.array import Owner
from tacit.frontends.groups import run_starts, running_any, running_sum, shuffle_rows
from tacit.frontends.shaping import concat
from tacit.frontends.sql import rows as on
from tacit.frontends.sql import vectors
from tacit.frontends.sql.algebra import (
    Column,
    Distinct,
    Expr,
    Filter,
    Group,
    Join,
    Limit,
    Project,
    Ref,
    Relation,
    SetOperation,
    Sort,
    SortKey,
    Stack,
    Window,
    equi_keys,
    relations,
    substitute,
)
from tacit.frontends.sql.bounds import bare, is_unique
from tacit.frontends.sql.frame import Frame, SortWord
from tacit.frontends.sql.group import Ordering, by_value


def ordered(frame: Frame, words: Sequence[SortWord], size: int | None = None) -> Frame:
    """The rows that are meant in an order, then the others; of all these the first `size`."""
    flags = [] if frame.present is None else [frame.present]
    rows = frame.rows if size is None else min(size, frame.rows)
    keys = [*((logical_not(f), False) for f in flags), *words]
    columns, others = on.in_order(keys, frame.columns, *flags, size=rows if rows < frame.rows else None)
    order = on.following(words, frame.columns, columns)
    return Frame(rows, columns, others[0] if flags else None, True, order)


def shuffled(frame: Frame) -> Frame:
    """The same rows in a random order that nobody knows."""
    flags = [] if frame.present is None else [frame.present]
    columns, rest = on.moved(lambda rows: on.several(shuffle_rows(*rows)), frame.columns, *flags)
    return Frame(frame.rows, columns, rest[0] if rest else None, frame.present is None)


# --- orders that nobody has to make ---------------------------------------------------------------------------------


Both: TypeAlias = tuple[Expr, Expr]
"""The left and the right side of an equality."""


def needed(sort: Sort) -> tuple[SortKey, ...]:
    """The keys of a sort, without those that come after keys that tell all rows apart."""
    for k in range(1, len(sort.keys)):
        first = [key.expr for key in sort.keys[:k]]
        if is_unique(sort.source, bare(first)) and not any(e.nullable for e in first):
            return sort.keys[:k]
    return sort.keys


def wanted(root: Relation, shared: Collection[int]) -> dict[int, int]:
    """Of sorts, by identity, how many of the first rows anybody reads, where a limit says so. What is `shared`, by
    identity, others may read too.
    """
    out = {}
    for item in relations(root):
        if isinstance(item, Limit) and item.size is not None:
            source = item.source
            while isinstance(source, Project) and id(source) not in shared:
                source = source.source
            if isinstance(source, Sort) and id(source) not in shared:
                out[id(source)] = max(1, item.offset + item.size)
    return out


def wishes(root: Relation) -> dict[int, tuple[SortKey, ...]]:
    """Of relations, by identity, the order in which who reads their rows would have to sort them otherwise."""
    out: dict[int, tuple[SortKey, ...]] = {}
    for item in reversed(relations(root)):
        match item:
            case Sort():
                keys = needed(item)
            case Group():
                keys = () if any(by_value(a) for _, a in item.aggregates) else tuple(SortKey(e) for _, e in item.keys)
            case Distinct():
                keys = tuple(SortKey(Ref(c)) for c in item.columns)
            case Window():
                orders = [(*map(SortKey, w.partition), *w.order) for _, w in item.calls]
                keys = max(orders, key=len, default=())
            case Project():
                values = dict(item.items)
                keys = tuple(replace(k, expr=substitute(k.expr, values)) for k in out.get(id(item), ()))
            case Filter() | Limit():
                keys = out.get(id(item), ())
            case _:
                continue
        out.setdefault(id(item.source), keys)
    return out


def arranged(pairs: tuple[Both, ...], wish: Sequence[SortKey]) -> tuple[tuple[Both, ...], bool]:
    """The pairs of keys of a join in the order of a wish, and whether their order is all that it asks for."""
    found = [next((p for p in pairs if k.expr in p), None) for k in wish]
    order = tuple(dict.fromkeys(p for p in found if p is not None))
    whole = None not in found and len(order) == len(pairs) and not any(k.descending for k in wish)
    return (order, True) if whole else (pairs, False)


def chain(join: Join, shared: Collection[int]) -> tuple[list[tuple[Relation, tuple[Expr, ...]]], list[Join]]:
    """(the relations that inner joins put together by the same keys, each with its keys; these joins): nothing where a
    join asks for more. What is `shared`, by identity, is not taken apart.
    """
    pairs, rest = equi_keys(join)
    if join.kind != "inner" or rest or not pairs:
        return [], []
    found, joins = [], [join]
    for side, keys in zip((join.left, join.right), zip(*pairs, strict=True), strict=True):
        inner = side
        while isinstance(inner, Project) and id(inner) not in shared and all(e == Ref(c) for c, e in inner.items):
            inner = inner.source
        parts, more = chain(inner, shared) if isinstance(inner, Join) and id(inner) not in shared else ([], [])
        places = [next((k for own in parts for k, e in enumerate(own[1]) if e == key), -1) for key in keys]
        if parts and sorted(places) == list(range(len(parts[0][1]))):
            found += [(leaf, tuple(own[p] for p in places)) for leaf, own in parts]
            joins += more
        else:
            found.append((side, keys))
    return found, joins


def orderings(wish: Iterable[SortKey], keys: Collection[Column]) -> list[Ordering]:
    """The part of a wish that is about the keys of a group."""
    out = []
    for k in wish:
        if not isinstance(k.expr, Ref) or k.expr.column not in keys:
            break
        out.append((k.expr.column, k.descending, k.nulls_first))
    return out


# --- what an order tells --------------------------------------------------------------------------------------------

Trace = frozenset[frozenset[Column]]
"""What the order of rows may tell: values of which rows are a function, of each value all columns that hold it. The
empty set stands for a value that no column holds."""


_UNTOLD: Final[Trace] = frozenset([frozenset()])


def trace(relation: Relation, before: Iterable[Trace]) -> Trace:
    """What the order of a relation's rows tells beyond the place that its owner gave them."""
    found = frozenset[frozenset[Column]]().union(*before)
    if isinstance(relation, Stack):
        # Whose row it is: numbers of rows are public, so that places would tell.
        return _UNTOLD
    if isinstance(relation, Project):
        names: dict[Column, set[Column]] = {}
        for c, e in relation.items:
            if isinstance(e, Ref):
                names.setdefault(e.column, set()).add(c)
        return frozenset(a.union(*(names.get(c, ()) for c in a)) for a in found)
    if isinstance(relation, (Group, Distinct, SetOperation)):
        if isinstance(relation, SetOperation) and (relation.kind, relation.all) == ("union", True):
            return _UNTOLD
        keys = [c for c, _ in relation.keys] if isinstance(relation, Group) else relation.columns
        return frozenset(frozenset([c]) for c in keys)
    if isinstance(relation, Join):
        return found | {frozenset(_columns(pair)) for pair in equi_keys(relation)[0]}
    if isinstance(relation, Sort):
        return found | {frozenset(_columns([k.expr])) for k in relation.keys}
    if isinstance(relation, Window):
        keyed = [e for _, w in relation.calls for e in (*w.partition, *(k.expr for k in w.order))]
        return found | {frozenset(_columns([e])) for e in keyed}
    return found


def _columns(exprs: Iterable[Expr]) -> list[Column]:
    return [e.column for e in exprs if isinstance(e, Ref)]


def tells(found: Trace, shown: Collection[Column]) -> bool:
    """Whether an order tells more than some columns, which are disclosed, do."""
    return any(not alike & set(shown) for alike in found)


# --- tables as sets -------------------------------------------------------------------------------------------------


def limited(frame: Frame, size: int | None, offset: int) -> Frame:
    """`size` rows after the first `offset` of those that are meant."""
    stop = frame.rows if size is None else min(frame.rows, offset + size)
    whole = on.compact(frame, stop)
    return on.first(whole, stop, min(offset, stop))


def union(left: Frame, right: Frame, columns: Sequence[Column], program: Owner) -> Frame:
    """The rows of both tables."""
    present = None
    if left.present is not None or right.present is not None:
        present = concat([on.known(f.present, f.rows, program) for f in (left, right)])
    upper, lower = left.columns.values(), right.columns.values()
    both = {c: on.stacked(a, b) for c, a, b in zip(columns, upper, lower, strict=True)}
    return Frame(left.rows + right.rows, both, present)


def matched(operation: SetOperation, left: Frame, right: Frame, program: Owner) -> Frame:
    """The left rows that the right table has as well (intersect), or has not (except), each once or as often as SQL
    counts them: rows are sorted, the right ones before the left ones that they are like.
    """
    both = union(right, left, operation.columns, program)
    is_right = concat([on.known(right.present, right.rows, program), on.filled(program, left.rows, 0)])
    is_left = concat([on.filled(program, right.rows, 0), on.known(left.present, left.rows, program)])
    words = on.joined([w for v in both.columns.values() for w in vectors.sort_words(v, False, False)])
    # Rows that are not meant come last in their run, so that they are not between others.
    last = [] if both.present is None else [(logical_not(both.present), False)]
    columns, (is_right, is_left, *keys) = on.in_order(
        [*words, *last], both.columns, is_right, is_left, *(w for w, _ in words)
    )
    intersect = operation.kind == "intersect"
    starts = run_starts(*keys)
    if operation.all:
        # The k-th left row of a run has its partner among the right ones if there are so many.
        number, partners = running_sum(starts, on.bit(is_left), on.bit(is_right))
        beyond = greater(number, partners)
        present = logical_and(is_left, logical_not(beyond) if intersect else beyond)
    else:
        seen = running_any(starts, is_right)
        once = logical_and(is_left, run_starts(*keys, is_left))
        present = logical_and(once, seen if intersect else logical_not(seen))
    size = min(left.rows, right.rows) if intersect else left.rows
    return on.compact(Frame(both.rows, columns, present), size)
