# SPDX-License-Identifier: Apache-2.0
"""Subqueries that read the rows around them, as joins.

What a subquery asks of the outer row is pulled up, out of its filters, into the condition of the join that replaces it;
an aggregate on the way is grouped by the inner side of each equality (Kim 1982), and gives what it gives for no rows
where the left join finds no group (the "COUNT bug" of Kiessling 1984). Where it is no equality, the aggregate is
computed for each of the different values that the outer rows have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from tacit.errors import SqlError
from tacit.frontends.sql.algebra import (
    Aggregate,
    At,
    Call,
    Column,
    Constant,
    Distinct,
    Expr,
    Filter,
    Group,
    Join,
    JoinKind,
    Limit,
    Project,
    Ref,
    Relation,
    SetOperation,
    Sort,
    Values,
    Window,
    conjunction,
    conjuncts,
    optional,
    references,
    sources,
)
from tacit.frontends.sql.bounds import keys_of, rows_of
from tacit.frontends.sql.functions import call, cast, place, substitute, window
from tacit.frontends.sql.small_groups import exposed_inside
from tacit.frontends.sql.types import BIGINT


@dataclass
class Partner:
    """The right side of a join that stands for a subquery: its value is `value`, for a mark its column."""

    kind: JoinKind
    right: Relation
    condition: Expr | None
    value: Expr
    null_aware: bool = False
    at: At = None
    domain: tuple[tuple[Expr, Column], ...] = ()
    """What the right side reads of the outer rows, other than by equality, as columns of its own; `right` is then made
    from the different values that there are.
    """
    over: Callable[[Relation], Relation] | None = None

    def reads(self) -> set[Column]:
        """The columns of the outer rows that the join compares."""
        own = set(self.right.columns)
        parts = (self.condition, *(e for e, _ in self.domain))
        return {c for e in parts if e is not None for c in references(e) if c not in own}

    def join(self, left: Relation) -> Join:
        """The join."""
        if self.over is not None:
            values = Distinct(Project(left, tuple((c, e) for e, c in self.domain)))
            same = (call("not", (call("distinct", (e, Ref(c))),), at=self.at) for e, c in self.domain)
            return Join("left", left, self.over(values), conjunction(tuple(same)), at=self.at)
        mark = self.value.column if self.kind == "mark" and isinstance(self.value, Ref) else None
        return Join(self.kind, left, self.right, self.condition, mark, self.null_aware, self.at)


def free(relation: Relation) -> frozenset[Column]:
    """The columns of rows around it that a relation reads."""
    made: set[Column] = set()
    read: set[Column] = set()
    seen: set[Relation] = set()
    todo = [relation]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        made.update(_made(node))
        for expr in expressions(node):
            read.update(references(expr))
        todo.extend(sources(node))
    return frozenset(read - made)


def _made(relation: Relation) -> Iterator[Column]:
    """The columns that a relation itself makes; one that is only passed on may be the outer row's."""
    match relation:
        case Project():
            yield from (c for c, e in relation.items if e != Ref(c))
        case Group():
            yield from (c for c, e in relation.keys if e != Ref(c))
            yield from (c for c, _ in relation.aggregates)
        case Window():
            yield from (c for c, _ in relation.calls)
        case Join():
            yield from () if relation.mark is None else (relation.mark,)
        case Filter() | Sort() | Limit() | Distinct():
            return
        case _:
            yield from relation.columns


def expressions(relation: Relation) -> Iterator[Expr]:
    """All expressions of a relation, without those of its sources."""
    match relation:
        case Filter():
            yield relation.predicate
        case Project():
            yield from (e for _, e in relation.items)
        case Join():
            yield from () if relation.condition is None else (relation.condition,)
        case Group():
            yield from (e for _, e in relation.keys)
            for _, a in relation.aggregates:
                yield from a.args
                yield from () if a.where is None else (a.where,)
        case Window():
            for _, w in relation.calls:
                yield from (*w.args, *w.partition, *(k.expr for k in w.order))
        case Sort():
            yield from (k.expr for k in relation.keys)


UNSUPPORTED: Final = "SQL-006"
"""The code of every error that something is not supported."""


def unsupported(what: str, at: At, nearest: str) -> SqlError:
    """The error that a construct is not supported."""
    return SqlError("SQL-006", f"{what} is not supported{place(at)}", next=nearest)


def pull(relation: Relation, outer: frozenset[Column], at: At) -> tuple[Relation, tuple[Expr, ...]]:
    """The relation without what it asks of outer columns, and that as conditions on its rows.

    It may have more columns then. Raises `SqlError` SQL-006 where that cannot be separated.
    """
    if not free(relation) & outer:
        return relation, ()
    match relation:
        case Filter():
            source, pulled = pull(relation.source, outer, at)
            stay, go = _split(conjuncts(relation.predicate), outer)
            return _filtered(source, stay), (*pulled, *go)
        case Project():
            source, pulled = pull(relation.source, outer, at)
            if any(outer & set(references(e)) for _, e in relation.items):
                raise _refused("a column computed from the outer row", at)
            have = {c for c, e in relation.items}
            more = dict.fromkeys(c for p in pulled for c in references(p) if c not in outer and c not in have)
            return Project(source, (*relation.items, *((c, Ref(c)) for c in more))), pulled
        case Join(kind="inner"):
            left, from_left = pull(relation.left, outer, at)
            right, from_right = pull(relation.right, outer, at)
            stay, go = _split(conjuncts(relation.condition), outer)
            return Join("inner", left, right, conjunction(stay), at=relation.at), (*from_left, *from_right, *go)
        case Join(kind="left" | "single" | "mark" | "semi" | "anti"):
            asked = set() if relation.condition is None else set(references(relation.condition))
            if asked & outer or free(relation.right) & outer:
                raise _refused("an outer join or subquery inside that reads the outer row too", at)
            left, pulled = pull(relation.left, outer, at)
            join = Join(
                relation.kind, left, relation.right, relation.condition, relation.mark, relation.null_aware, relation.at
            )
            return join, pulled
        case Group() if relation.keys:
            _check_inner(relation, outer, at)
            source, pulled = pull(relation.source, outer, at)
            keys, conditions = _keyed(pulled, outer, at)
            have = {c for c, _ in relation.keys}
            more_keys = tuple(key for key in keys if key[0] not in have)
            return Group(source, (*relation.keys, *more_keys), relation.aggregates), conditions
        case Distinct():
            source, pulled = pull(relation.source, outer, at)
            return Distinct(source), pulled
        case Sort():
            return pull(relation.source, outer, at)
        case Limit():
            return _first(relation, outer, at)
        case Window() if not any(outer & set(references(e)) for e in expressions(relation)):
            # What an outer row sees is a partition.
            source, pulled = pull(relation.source, outer, at)
            own = _partition(pulled, outer, "a window function", at)
            calls = tuple((c, replace(w, partition=(*w.partition, *own))) for c, w in relation.calls)
            return Window(source, calls), pulled
        case Window():
            raise _refused("a window function", at)
        case SetOperation():
            raise _refused(relation.kind.upper(), at)
        case _:
            raise _refused("an aggregate", at)


def _first(relation: Limit, outer: frozenset[Column], at: At) -> tuple[Relation, tuple[Expr, ...]]:
    """LIMIT for each outer row: the first rows of each partition by what equals something of it."""
    keys = relation.source.keys if isinstance(relation.source, Sort) else ()
    if any(outer & set(references(k.expr)) for k in keys):
        raise _refused("ORDER BY a value of the outer row", at)
    source, pulled = pull(relation.source, outer, at)
    partition = _partition(pulled, outer, "LIMIT", at)
    made = window("row_number", (), rows_of(source), partition=partition, order=keys, at=at)
    number = Column("row_number", made.type, made.nullable, made.domain)
    bounds = [("gt", relation.offset)] if relation.offset else []
    bounds += [("le", relation.offset + relation.size)] if relation.size is not None else []
    wanted = tuple(call(name, (Ref(number), Constant(n, BIGINT)), at=at) for name, n in bounds)
    return _filtered(Window(source, ((number, made),)), wanted), pulled


def _partition(pulled: tuple[Expr, ...], outer: frozenset[Column], what: str, at: At) -> tuple[Expr, ...]:
    """The inner sides of equalities with the outer row."""
    pairs = [_sides(p, outer) for p in pulled]
    if not all(pairs):
        raise _refused(f"{what} of rows that are chosen by more than equality with the outer row", at)
    return tuple(dict.fromkeys(pair[0] for pair in pairs if pair))


def exists(relation: Relation, at: At) -> tuple[Relation, Expr | None]:
    """Rows and a condition: EXISTS asks whether some row fulfils it."""
    while True:
        if isinstance(relation, (Sort, Distinct, Project)) or (
            isinstance(relation, Limit) and relation.size != 0 and not relation.offset
        ):
            relation = relation.source
        else:
            break
    if isinstance(relation, Group) and not relation.keys:
        # It has one row whatever there is.
        return Values((), ((),)), None
    outer = free(relation)
    right, pulled = pull(relation, outer, at)
    return right, conjunction(pulled)


def scalar(relation: Relation, at: At, min_group: int = 1) -> Partner:
    """A subquery of one column as a join that gives at most one partner. Groups of fewer than `min_group` rows, or than
    one of their tables asks for, are hidden: what they give is as unknown as what no rows give.

    Raises `SqlError` SQL-009 where it may give more than one row.
    """
    outer = free(relation)
    found = _aggregated(relation, outer, at, min_group) if outer else None
    if found:
        return found
    one = _one_row(relation)
    value: Expr = Ref(optional(relation.columns[0]))
    if isinstance(relation, Project):
        # A cast is left to whoever uses the value, and may not be needed there.
        column, expr = relation.items[0]
        if isinstance(expr, Call) and expr.name == "cast":
            bare = _new(expr.args[0])
            relation = Project(relation.source, ((bare, expr.args[0]),))
            value = call("cast", (Ref(optional(bare)),), column.type, at=expr.at)
    right, pulled = pull(relation, outer, at)
    pairs = (_sides(p, outer) for p in pulled)
    fixed = frozenset(pair[0].column for pair in pairs if pair and isinstance(pair[0], Ref))
    if not one and not any(key <= fixed for key in keys_of(right)):
        raise SqlError(
            "SQL-009", f"the subquery{place(at)} may give more than one row where one value is meant",
            expected="an aggregate, LIMIT 1, or an equality with each column of a unique key",
            next="use min() or max(), or declare the key as unique",
        )  # fmt: skip
    return Partner("single", right, conjunction(pulled), value, at=at)


def _one_row(relation: Relation) -> bool:
    """Whether LIMIT leaves at most one row."""
    while isinstance(relation, (Project, Filter, Sort)):
        relation = relation.source
    return isinstance(relation, Limit) and relation.size is not None and relation.size <= 1


def _aggregated(relation: Relation, outer: frozenset[Column], at: At, min_group: int) -> Partner | None:
    """An aggregate over the rows that belong to an outer row, with expressions and HAVING above it."""
    value: Expr = Ref(relation.columns[0])
    having: list[Expr] = []
    while isinstance(relation, (Project, Filter, Sort)):
        if isinstance(relation, Project):
            values = dict(relation.items)
            value = substitute(value, values)
            having = [substitute(h, values) for h in having]
        elif isinstance(relation, Filter):
            having.append(relation.predicate)
        relation = relation.source
    if not isinstance(relation, Group) or relation.keys:
        return None
    _check_inner(relation, outer, at)
    source, pulled = pull(relation.source, outer, at)
    hidden = bool(exposed_inside(source, min_group))
    values = {c: _of_none(c, a, hidden) for c, a in relation.aggregates}
    value = substitute(value, values)
    if having:
        guard = conjunction(tuple(substitute(h, values) for h in having))
        assert guard is not None
        value = call("case", (guard, value, Constant(None, value.type)), at=at)
    if not all(_sides(p, outer) for p in pulled):
        return _by_values(source, pulled, relation.aggregates, outer, value, at)
    keys, conditions = _keyed(pulled, outer, at)
    return Partner("left", Group(source, keys, relation.aggregates), conjunction(conditions), value, at=at)


def _by_values(
    source: Relation,
    pulled: tuple[Expr, ...],
    aggregates: tuple[tuple[Column, Aggregate], ...],
    outer: frozenset[Column],
    value: Expr,
    at: At,
) -> Partner:
    """An aggregate for each of the different values that it reads of the outer rows (Neumann and Kemper 2015)."""
    read = dict.fromkeys(c for p in pulled for c in references(p) if c in outer)
    own = {c: _new(Ref(c)) for c in read}
    condition = conjunction(tuple(substitute(p, {c: Ref(o) for c, o in own.items()}) for p in pulled))

    def over(values: Relation) -> Relation:
        keys = tuple((c, Ref(c)) for c in own.values())
        return Group(Join("inner", values, source, condition, at=at), keys, aggregates)

    return Partner("left", source, None, value, at=at, domain=tuple((Ref(c), o) for c, o in own.items()), over=over)


def _check_inner(group: Group, outer: frozenset[Column], at: At) -> None:
    if any(outer & set(references(e)) for e in expressions(group)):
        raise _refused("an aggregate or key computed from the outer row", at)


def _of_none(column: Column, aggregate: Aggregate, hidden: bool) -> Expr:
    """An aggregate's value after the left join, as it is for no rows if there was no group, NULL if one was hidden."""
    ref = Ref(optional(column))
    if not hidden and aggregate.name in ("count", "count_star", "regr_count"):
        return call("coalesce", (ref, cast(Constant(0, BIGINT), column.type)))
    return ref


def _split(parts: tuple[Expr, ...], outer: frozenset[Column]) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """Conditions on inner columns alone, and the others."""
    return (
        tuple(p for p in parts if not outer & set(references(p))),
        tuple(p for p in parts if outer & set(references(p))),
    )


def _filtered(source: Relation, parts: tuple[Expr, ...]) -> Relation:
    predicate = conjunction(parts)
    return source if predicate is None else Filter(source, predicate)


def _sides(condition: Expr, outer: frozenset[Column]) -> tuple[Expr, Expr] | None:
    """The inner and the outer side of an equality between them."""
    if isinstance(condition, Call) and condition.name == "eq":
        for inner, other in (condition.args, condition.args[::-1]):
            if set(references(other)) <= outer and not set(references(inner)) & outer:
                return inner, other
    return None


def _keyed(
    pulled: tuple[Expr, ...], outer: frozenset[Column], at: At
) -> tuple[tuple[tuple[Column, Expr], ...], tuple[Expr, ...]]:
    """Keys to group by in place of equalities with outer columns, and those equalities on the keys."""
    keys: dict[Expr, Column] = {}
    conditions: list[Expr] = []
    for condition in pulled:
        sides = _sides(condition, outer)
        if sides is None:
            raise _refused("an aggregate over rows that are chosen by more than equality with the outer row", at)
        inner, other = sides
        if inner not in keys:
            keys[inner] = inner.column if isinstance(inner, Ref) else _new(inner)
        conditions.append(call("eq", (Ref(keys[inner]), other), at=at))
    return tuple((c, e) for e, c in keys.items()), tuple(conditions)


def _new(expr: Expr) -> Column:
    return Column("key", expr.type, expr.nullable, expr.domain)


def _refused(what: str, at: At) -> SqlError:
    return unsupported(
        f"{what}, in a subquery that reads the row around it,", at, "write the subquery as a join with GROUP BY"
    )
