# SPDX-License-Identifier: Apache-2.0
"""Rewriting of bound queries: the same answer from work that is cheaper, or that one party can do at home.

Rows are padded to public bounds, so a filter does not make anything smaller; what counts is how many rows joins have,
that one side of a join is unique, and how much happens before anything becomes secret. In order: averages become sums
and counts, which are exact; filters move to the relations that they are about, and inner joins are ordered anew; a join
of many with many below an aggregation aggregates one side first (Yan and Larson 1994), so that its product is never
made; expressions over one party's columns are computed there; columns that nobody reads are dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from tacit.frontends.sql import functions
from tacit.frontends.sql.algebra import (
    ALIKE,
    Aggregate,
    Call,
    Column,
    Constant,
    Distinct,
    Expr,
    Filter,
    Group,
    Join,
    Limit,
    Project,
    Query,
    Ref,
    Relation,
    Scan,
    SetOperation,
    Sort,
    Values,
    Window,
    conjunction,
    conjuncts,
    equi_keys,
    expressions,
    optional,
    references,
    relations,
    sources,
    substitute,
    with_expressions,
    with_sources,
)
from tacit.frontends.sql.bounds import bare, decided, equivalents, keys_of, leaves_of, parties_of, partners, rows_of
from tacit.frontends.sql.constants import fold
from tacit.frontends.sql.types import BIGINT, BOOLEAN, words_of
from tacit.plan import Interval


def rewrite(query: Query, min_group: int = 1) -> Query:
    """The query rewritten; its result's columns are the same ones. `min_group` above 1, here or of a table, judges
    the groups that the query asks for, so that these are not made in two steps, nor joined with rows afterwards.
    """
    relation = _each(query.relation, _split_averages)
    relation = _Filters(relation).run()
    tables = [r.table for r in relations(relation) if isinstance(r, Scan)]
    free = max([min_group, *(t.min_group for t in tables)]) == 1
    if free:
        relation = _each(relation, _aggregate_first)
        relation = _each(relation, _numbers_first)
    relation = _each(relation, lambda r: _fewer_keys(r, free))
    relation = _Hoist(relation).run()
    return replace(query, relation=_prune(relation))


def _each(root: Relation, change: Callable[[Relation], Relation]) -> Relation:
    """All relations changed, sources first; what is shared stays shared."""
    done: dict[int, Relation] = {}
    for item in relations(root):
        done[id(item)] = change(with_sources(item, [done[id(s)] for s in sources(item)]))
    return done[id(root)]


def _passing(columns: Iterable[Column]) -> tuple[tuple[Column, Expr], ...]:
    return tuple((c, Ref(c)) for c in columns)


def _column(name: str, expr: Expr | Aggregate) -> Column:
    return Column(name, expr.type, expr.nullable, expr.domain)


# --- averages -------------------------------------------------------------------------------------------------------


def _split_averages(item: Relation) -> Relation:
    """A group with averages of exact numbers as one with sums and counts, and their quotients above it."""
    if isinstance(item, Group) and isinstance(item.source, Project):
        inner = dict(item.source.items)
        merged = with_expressions(item, lambda e: substitute(e, inner))
        assert isinstance(merged, Group)
        item = replace(merged, source=item.source.source)
    if not isinstance(item, Group) or not any(_is_exact_average(a) for _, a in item.aggregates):
        return item
    rows, keys = rows_of(item.source), item.keys
    parts: dict[Aggregate, Column] = {}

    def part(name: str, a: Aggregate) -> Column:
        made = functions.aggregate(name, a.args, rows, keyed=bool(keys), distinct=a.distinct, where=a.where, at=a.at)
        made = _counted(made)
        return parts.setdefault(made, _column(name, made))

    kept: list[tuple[Column, Aggregate]] = []
    items: list[tuple[Column, Expr]] = list(_passing(c for c, _ in item.keys))
    for column, a in item.aggregates:
        if _is_exact_average(a):
            quotient = functions.apply("div", (Ref(part("sum", a)), Ref(part("count", a))), at=a.at)
            items.append((column, quotient))
        else:
            kept.append((column, _counted(a)))
            items.append((column, Ref(column)))
    known = {a: c for c, a in kept}
    again = {c: Ref(known[a]) for a, c in parts.items() if a in known}
    aggregates = (*kept, *((c, a) for a, c in parts.items() if a not in known))
    return Project(replace(item, aggregates=aggregates), tuple((c, substitute(e, again)) for c, e in items))


def _counted(a: Aggregate) -> Aggregate:
    """A count of what is never NULL as one of rows."""
    if a.name == "count" and not a.distinct and not a.args[0].nullable:
        return replace(a, name="count_star", args=())
    return a


def _is_exact_average(a: Aggregate) -> bool:
    return a.name == "avg" and a.args[0].type.kind in ("int", "decimal")


# --- filters and the order of joins ---------------------------------------------------------------------------------


class _Filters:
    """Moves filters down, and orders inner joins. What is shared keeps the rows that any of its readers asks for."""

    def __init__(self, root: Relation) -> None:
        self._root = root
        uses = Counter(id(s) for item in relations(root) for s in sources(item))
        self._shared = {key for key, n in uses.items() if n > 1}
        self._done: dict[int, Relation] = {}
        self._alive: list[Relation] = []
        self._asked: dict[int, list[tuple[Expr, ...]]] = {}
        self._common: dict[int, tuple[Expr, ...]] = {}
        self._tables = _Tables()

    def run(self) -> Relation:
        while True:
            out = self._push(self._root, ())
            # What readers ask for is known once all are seen; what is shared within may be asked for more then.
            asked = {id(i): self._tables.asked_by_any(i, self._asked[id(i)]) for i in self._alive}
            common = {key: predicates for key, predicates in asked.items() if predicates}
            if common == self._common:
                return out
            self._done, self._alive, self._asked, self._common = {}, [], {}, common

    def _push(self, item: Relation, predicates: tuple[Expr, ...]) -> Relation:
        """The relation with only those rows for which all predicates hold."""
        if id(item) not in self._shared:
            return self._into(item, predicates)
        common = self._common.get(id(item), ())
        self._asked.setdefault(id(item), []).append(predicates)
        if id(item) not in self._done:
            self._alive.append(item)
            self._done[id(item)] = self._into(item, common)
        return _filtered(self._done[id(item)], _without(predicates, common))

    def _into(self, item: Relation, predicates: tuple[Expr, ...]) -> Relation:
        if isinstance(item, Filter):
            return self._push(item.source, (*predicates, *conjuncts(_factored(item.predicate))))
        if isinstance(item, Project):
            values = dict(item.items)
            return replace(item, source=self._push(item.source, tuple(substitute(p, values) for p in predicates)))
        if isinstance(item, Join):
            return self._join(item, predicates)
        if isinstance(item, Group):
            keys = dict(item.keys)
            below = _about(predicates, keys) if keys else ()
            source = self._push(item.source, tuple(substitute(p, keys) for p in below))
            return _filtered(replace(item, source=source), _without(predicates, below))
        if isinstance(item, Window):
            partitions = [bare(w.partition) for _, w in item.calls]
            below = _about(predicates, frozenset.intersection(*partitions) if partitions else ())
            return _filtered(replace(item, source=self._push(item.source, below)), _without(predicates, below))
        if isinstance(item, (Distinct, Sort)):
            return replace(item, source=self._push(item.source, predicates))
        if isinstance(item, SetOperation):
            sides = []
            for side in (item.left, item.right):
                values = {c: Ref(s) for c, s in zip(item.columns, side.columns, strict=True)}
                sides.append(self._push(side, tuple(substitute(p, values) for p in predicates)))
            return replace(item, left=sides[0], right=sides[1])
        if isinstance(item, Limit):
            return _filtered(replace(item, source=self._push(item.source, ())), predicates)
        return _filtered(item, predicates)

    def _join(self, item: Join, predicates: tuple[Expr, ...]) -> Relation:
        left, right = set(item.left.columns), set(item.right.columns)
        if item.kind == "left" and any(_rejects_null(p, right - left) for p in predicates):
            item = replace(item, kind="inner")
        if item.kind == "inner":
            return self._cluster(item, predicates)
        if item.kind == "mark" and item.mark is not None:
            for p in predicates:
                wanted = p == Ref(item.mark)
                if wanted or (isinstance(p, Call) and p.name == "not" and p.args[0] == Ref(item.mark)):
                    rest = tuple(q for q in predicates if q is not p)
                    if not any(item.mark in references(q) for q in rest):
                        narrow = replace(item, kind="semi" if wanted else "anti", mark=None)
                        if wanted:
                            narrow = replace(narrow, null_aware=False)
                        return self._without_mark(self._join(narrow, rest), item.mark, wanted)
        condition = conjuncts(None if item.condition is None else _factored(item.condition))
        # The first conjunct of a comparison that knows NULL is the comparison itself.
        fixed = condition[:1] if item.null_aware else ()
        loose = condition[len(fixed) :]
        to_left: tuple[Expr, ...] = ()
        to_right: tuple[Expr, ...] = ()
        if item.kind != "full":
            to_left = _about(predicates, left)
            to_right = tuple(p for p in _about(loose, right) if any(True for _ in references(p)))
        kept = _without(loose, to_right)
        if item.kind == "semi":
            own = tuple(p for p in _about(kept, left) if any(True for _ in references(p)))
            to_left, kept = (*to_left, *own), _without(kept, own)
        joined = replace(
            item,
            left=self._push(item.left, to_left),
            right=self._push(item.right, to_right),
            condition=conjunction((*fixed, *kept)),
        )
        return _filtered(_sunk(joined), _without(predicates, to_left))

    @staticmethod
    def _without_mark(relation: Relation, mark: Column, value: bool) -> Relation:
        """Whoever reads the mark above finds what the filter left of it."""
        constant = Constant(int(value), BOOLEAN)
        return Project(relation, (*_passing(relation.columns), (mark, constant)))

    def _cluster(self, item: Join, predicates: tuple[Expr, ...]) -> Relation:
        """A nest of inner joins: its leaves, each with the filters that are about it alone, joined in a good order."""
        leaves: list[Relation] = []
        parts = list(predicates)
        stack: list[Relation] = [item]
        while stack:
            top = stack.pop()
            free = top is item or id(top) not in self._shared
            if free and isinstance(top, Join) and top.kind == "inner":
                parts.extend(conjuncts(None if top.condition is None else _factored(top.condition)))
                stack.extend((top.right, top.left))
            elif free and isinstance(top, Filter):
                parts.extend(conjuncts(_factored(top.predicate)))
                stack.append(top.source)
            elif free and isinstance(top, Project) and all(e == Ref(c) for c, e in top.items):
                stack.append(top.source)
            else:
                leaves.append(top)
        parts = list(dict.fromkeys(parts))
        classes = _classes(parts)
        filters: dict[int, list[Expr]] = {}
        for k, leaf in enumerate(leaves):
            own = set(leaf.columns)
            mine = list(_about(tuple(parts), own))
            parts = [p for p in parts if p not in mine]
            mine.extend(i for p in parts if (i := _implied(p, own)) is not None)
            for members in classes:
                here = [c for c in members if c in own]
                mine.extend(_equal(here[0], c) for c in here[1:])
            filters[k] = list(dict.fromkeys(mine))
        pushed = [self._push(leaf, tuple(filters[k])) for k, leaf in enumerate(leaves)]
        return _Order(pushed, parts, classes).run()


class _Order:
    """Joins relations two by two, the cheapest pair first (Fegaras 1998)."""

    def __init__(self, leaves: Sequence[Relation], parts: Sequence[Expr], classes: Sequence[list[Column]]) -> None:
        self._items = list(leaves)
        self._parts = [p for p in parts if not _is_equality(p)]
        self._classes = classes

    def run(self) -> Relation:
        while len(self._items) > 1:
            pairs = [(a, b) for k, a in enumerate(self._items) for b in self._items[k + 1 :]]
            joined = min((self._joined(a, b) for a, b in pairs), key=self._cost)
            self._items = [i for i in self._items if i is not joined.left and i is not joined.right]
            self._items.append(joined)
            used = conjuncts(joined.condition)
            self._parts = [p for p in self._parts if p not in used]
        return _filtered(self._items[0], tuple(self._parts))

    def _joined(self, a: Relation, b: Relation) -> Join:
        left, right = set(a.columns), set(b.columns)
        equal = []
        for members in self._classes:
            x, y = next((c for c in members if c in left), None), next((c for c in members if c in right), None)
            if x is not None and y is not None:
                equal.append(_equal(x, y))
        both = _about(tuple(self._parts), left | right)
        return Join("inner", a, b, conjunction((*equal, *both)))

    def _cost(self, join: Join) -> tuple[bool, int, int]:
        rows = rows_of(join)
        inputs = [rows_of(join.left), rows_of(join.right)]
        linked = bool(equi_keys(join)[0])
        at_home = len(parties_of(join)) == 1 and rows <= max(inputs)
        return (not linked and rows > max(inputs), 0 if at_home else sum(inputs) + rows, rows)


class _Tables:
    """What is told from the rows of one table alone: a filter on it moves there."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}

    def asked_by_any(self, item: Relation, asked: Sequence[tuple[Expr, ...]]) -> tuple[Expr, ...]:
        """What holds in all rows of a relation that somebody asks for: what everybody does, and of the alternatives
        what can be told from the rows of one table. More would only be computed once more.
        """
        ways = [conjunction(predicates) for predicates in asked]
        if None in ways:
            return ()
        parts = conjuncts(_factored(_either([w for w in ways if w is not None])))
        common = tuple(p for p in parts if all(p in conjuncts(w) for w in ways))
        found: list[Expr] = []
        for part in _without(parts, common):
            tables: dict[int, set[Column]] = {}
            for column in references(part):
                tables.setdefault(self._of(item, Ref(column)), set()).add(column)
            found += [p for table, own in tables.items() if table and (p := _implied(part, own)) is not None]
        return (*common, *found)

    def _of(self, item: Relation, expr: Expr) -> int:
        """The number of the table that an expression is about, 0 if there is no one such."""
        key = id(item), expr
        if key not in self._known:
            self._known[key] = self._find(item, expr)
        return self._known[key]

    def _find(self, item: Relation, expr: Expr) -> int:
        read = set(references(expr))
        match item:
            case Scan():
                return self._number(id(item)) if read else 0
            case Filter() | Sort() | Distinct():
                return self._of(item.source, expr)
            case Project():
                return self._of(item.source, substitute(expr, dict(item.items)))
            case Group() if read <= dict(item.keys).keys():
                return self._of(item.source, substitute(expr, dict(item.keys)))
            case Join():
                sides = {"inner": sources(item), "full": ()}.get(item.kind, (item.left,))
                side = next((s for s in sides if read <= set(s.columns)), None)
                return 0 if side is None else self._of(side, expr)
            case SetOperation():
                values = [{c: Ref(s) for c, s in zip(item.columns, x.columns, strict=True)} for x in sources(item)]
                both = [self._of(x, substitute(expr, v)) for x, v in zip(sources(item), values, strict=True)]
                return self._number(tuple(both)) if all(both) else 0
        return 0

    def _number(self, table: Hashable) -> int:
        return self._known.setdefault(table, len(self._known) + 1)


def _filtered(item: Relation, predicates: tuple[Expr, ...]) -> Relation:
    predicate = conjunction(predicates)
    return item if predicate is None else Filter(item, predicate)


def _about(predicates: tuple[Expr, ...], columns: Iterable[Column]) -> tuple[Expr, ...]:
    known = set(columns)
    return tuple(p for p in predicates if set(references(p)) <= known)


def _without(predicates: tuple[Expr, ...], others: tuple[Expr, ...]) -> tuple[Expr, ...]:
    return tuple(p for p in predicates if p not in others)


def _factored(predicate: Expr) -> Expr:
    """A predicate with what all alternatives of a disjunction share taken out of it."""
    if not isinstance(predicate, Call):
        return predicate
    if predicate.name == "and":
        return conjunction(tuple(q for p in predicate.args for q in conjuncts(_factored(p)))) or predicate
    if predicate.name != "or":
        return predicate
    ways = [conjuncts(_factored(w)) for w in predicate.args]
    common = tuple(p for p in dict.fromkeys(ways[0]) if all(p in w for w in ways[1:]))
    if not common:
        return predicate
    rest = [conjunction(_without(w, common)) for w in ways]
    alternatives = [r for r in rest if r is not None]
    either = (_either(alternatives),) if len(alternatives) == len(rest) else ()
    return conjunction((*common, *either)) or predicate


def _either(parts: Sequence[Expr]) -> Expr:
    if len(parts) == 1:
        return parts[0]
    return Call("or", tuple(parts), BOOLEAN, any(p.nullable for p in parts), Interval(0, 1))


def _implied(predicate: Expr, columns: set[Column]) -> Expr | None:
    """What a disjunction says about these columns alone."""
    if not isinstance(predicate, Call) or predicate.name != "or":
        return None
    own = [conjunction(_about(conjuncts(way), columns)) for way in predicate.args]
    found = [o for o in own if o is not None and any(True for _ in references(o))]
    return _either(found) if len(found) == len(own) else None


def _is_equality(predicate: Expr) -> bool:
    if not isinstance(predicate, Call) or predicate.name != "eq":
        return False
    a, b = predicate.args
    return isinstance(a, Ref) and isinstance(b, Ref) and a.type == b.type


def _equal(a: Column, b: Column) -> Expr:
    return Call("eq", (Ref(a), Ref(b)), BOOLEAN, a.nullable or b.nullable, Interval(0, 1))


def _classes(parts: Iterable[Expr]) -> list[list[Column]]:
    """Columns that some predicates make equal."""
    classes: list[list[Column]] = []
    for p in parts:
        if _is_equality(p):
            members = list(dict.fromkeys(references(p)))
            touched = [c for c in classes if any(m in c for m in members)]
            classes = [c for c in classes if c not in touched]
            classes.append(list(dict.fromkeys([c for t in touched for c in t] + members)))
    return classes


_STRICT: Final = functions.SCALARS - {
    *("and", "or", "not", "is_null", "distinct", "case", "coalesce", "least", "greatest"),
}  # fmt: skip
"""Functions that are NULL where an argument is."""


def _rejects_null(predicate: Expr, columns: set[Column]) -> bool:
    """Whether a predicate cannot be true where all these columns are NULL, as far as is easily seen."""
    if isinstance(predicate, Ref):
        return predicate.column in columns
    if not isinstance(predicate, Call):
        return False
    if predicate.name == "not":
        inner = predicate.args[0]
        if isinstance(inner, Call) and inner.name == "is_null":
            return _is_null_of(inner.args[0], columns)
        return _rejects_null(inner, columns) if _is_strict(inner) else False
    if predicate.name == "and":
        return any(_rejects_null(p, columns) for p in predicate.args)
    if predicate.name == "or":
        return all(_rejects_null(p, columns) for p in predicate.args)
    return _is_null_of(predicate, columns)


def _is_strict(expr: Expr) -> bool:
    return isinstance(expr, Ref) or (isinstance(expr, Call) and expr.name in _STRICT)


def _is_null_of(expr: Expr, columns: set[Column]) -> bool:
    """Whether an expression is NULL where all these columns are."""
    if isinstance(expr, Ref):
        return expr.column in columns
    return isinstance(expr, Call) and expr.name in _STRICT and any(_is_null_of(a, columns) for a in expr.args)


def _sunk(join: Join) -> Relation:
    """A semijoin moved to the relation among its left side's that it is about: fewer rows, and perhaps at home. What
    one party joins at home is not taken apart for another's rows.
    """
    if join.kind not in ("semi", "anti") or join.condition is None:
        return join
    read = set(references(join.condition)) & set(join.left.columns)
    side = join.left
    at_home = len(parties_of(side)) == 1 and rows_of(side) <= max(map(rows_of, sources(side)), default=0)
    if isinstance(side, Join) and not (at_home and parties_of(side) != parties_of(join.right)):
        if side.kind != "full" and read <= set(side.left.columns):
            return replace(side, left=_sunk(replace(join, left=side.left)))
        if side.kind == "inner" and read <= set(side.right.columns):
            return replace(side, right=_sunk(replace(join, left=side.right)))
    return join


# --- aggregation before a join of many with many ----------------------------------------------------------------------


def _aggregate_first(item: Relation) -> Relation:
    if not isinstance(item, Group) or not isinstance(item.source, Join) or item.source.kind != "inner":
        return item
    join = item.source
    if any(partners(join)):
        return item
    pairs, rest = equi_keys(join)
    if rest or not pairs:
        return item
    for turned in (False, True):
        done = _aggregate_side(item, join, tuple((b, a) if turned else (a, b) for a, b in pairs), turned)
        if done is not None:
            return done
    return item


def _aggregate_side(item: Group, join: Join, pairs: tuple[tuple[Expr, Expr], ...], turned: bool) -> Relation | None:
    """The group with one side of its join (the right one, or if `turned` the left one) aggregated by the keys first."""
    kept, side = (join.right, join.left) if turned else (join.left, join.right)
    own = set(side.columns)
    keys = [(_column("key", b), b) for _, b in pairs]
    matching: dict[Column, Expr] = {b.column: a for a, b in pairs if isinstance(b, Ref)}
    group_keys = tuple((c, substitute(e, matching)) for c, e in item.keys)
    if any(set(references(e)) & own for _, e in group_keys):
        return None
    if any(not _divisible(a, own) for _, a in item.aggregates):
        return None
    rows = rows_of(side)
    counted = functions.aggregate("count_star", (), rows)
    number = _column("count", counted)
    inner: list[tuple[Column, Aggregate]] = [(number, counted)]
    outer: list[tuple[Column, Aggregate]] = []
    items: list[tuple[Column, Expr]] = list(_passing(c for c, _ in group_keys))
    groups = rows_of(kept)
    zero = Constant(0, BIGINT)
    for column, a in item.aggregates:
        about_side = bool(_read(a) & own)
        name = "sum" if a.name in ("count", "count_star") else a.name
        arg: Expr
        if about_side:
            # Grouped by the join's keys here, then once more above.
            partial = replace(a, domain=functions.aggregate(a.name, a.args, rows, where=a.where).domain)
            inner_column = _column(a.name, partial)
            inner.append((inner_column, partial))
            arg, where = Ref(inner_column), None
        elif a.name in ("min", "max"):
            arg, where = a.args[0], a.where
        elif a.name == "sum":
            summed = a.args[0] if a.args[0].type.is_numeric else functions.cast(a.args[0], BIGINT, a.at)
            arg, where = functions.apply("mul", (summed, Ref(number)), at=a.at), a.where
        elif a.name == "count":
            null = functions.call("is_null", a.args)
            arg, where = functions.apply("case", (null, zero, Ref(number))), a.where
        else:
            arg, where = Ref(number), a.where
        made = functions.aggregate(name, (arg,), groups, keyed=bool(group_keys), where=where, at=a.at)
        total = Column(column.name, made.type, made.nullable, made.domain)
        outer.append((total, made))
        value: Expr = Ref(total)
        if a.name in ("count", "count_star"):
            value = functions.apply("coalesce", (value, zero))
        items.append((column, _typed(value, column)))
    first = Group(side, tuple(keys), tuple(inner))
    condition = conjunction(
        tuple(
            Call("eq", (a, Ref(c)), BOOLEAN, a.nullable or c.nullable, Interval(0, 1))
            for (a, _), (c, _) in zip(pairs, keys, strict=True)
        )
    )
    joined = Join("inner", first, kept, condition) if turned else Join("inner", kept, first, condition)
    return Project(Group(joined, group_keys, tuple(outer)), tuple(items))


def _divisible(a: Aggregate, side: set[Column]) -> bool:
    read = _read(a)
    if a.distinct or a.name not in ("sum", "count", "count_star", "min", "max"):
        return a.name in ("min", "max") and (read <= side or not read & side)
    return read <= side or not read & side


def _read(a: Aggregate) -> set[Column]:
    exprs = [*a.args, *([a.where] if a.where is not None else [])]
    return {c for e in exprs for c in references(e)}


def _typed(value: Expr, column: Column) -> Expr:
    return value if value.type == column.type else functions.cast(value, column.type)


# --- keys that other keys decide --------------------------------------------------------------------------------------

LATE_WORDS: Final = 3
"""From so many words on, columns that keys decide are fetched after the aggregation, not carried through it."""


def _fewer_keys(item: Relation, may_join: bool) -> Relation:
    """A group without keys that the others decide: these are one value of the group then, and no sort reads them. They
    may also be joined to the groups, where that is allowed.
    """
    if not isinstance(item, Group) or len(item.keys) < 2:
        return item
    kept = list(item.keys)
    # Text is dear to sort by, numbers are cheap: the dearest goes first.
    for pair in sorted(item.keys, key=lambda k: -k[1].domain.hi if k[1].type.kind == "text" else 0):
        rest = [k for k in kept if k is not pair]
        if rest and isinstance(pair[1], Ref) and pair[1].column in decided(item.source, bare(e for _, e in rest)):
            kept = rest
    dropped = {c: e for c, e in item.keys if (c, e) not in kept}
    if not dropped:
        return item
    keys = tuple(k for k in item.keys if k in kept)
    late = _fetched_late(item, keys, dropped) if may_join else None
    if late is not None:
        return late
    rows = rows_of(item.source)
    values = tuple(
        (c, replace(functions.aggregate("any_value", (e,), rows), options=(ALIKE,))) for c, e in dropped.items()
    )
    return Project(Group(item.source, keys, (*values, *item.aggregates)), _passing(item.columns))


def _fetched_late(
    item: Group, keys: tuple[tuple[Column, Expr], ...], dropped: Mapping[Column, Expr], least: int = LATE_WORDS
) -> Relation | None:
    """The group by `keys` alone, joined with the relations that they find the others in, where these have at least so
    many words.
    """
    known = frozenset(e.column for _, e in keys if isinstance(e, Ref))
    homes = decided(item.source, known)
    same = equivalents(item.source)
    # What equals a column that is found may stand for it.
    wide = {
        e.column: next((t for t in (e.column, *same.get(e.column, ())) if t in _columns(homes.get(e.column))), None)
        for e in dropped.values()
        if isinstance(e, Ref)
    }
    if sum(words_of(c.type, c.domain) for c in wide) < least:
        return None
    fresh = {e.column: Column(c.name, c.type, c.nullable, c.domain) for c, e in keys if isinstance(e, Ref)}
    found = _way_to([c for c in wide.values() if c is not None], fresh, homes, same)
    if found is None or None in wide.values():
        return None
    leaves, equal = found
    inner = tuple((fresh[e.column] if isinstance(e, Ref) else c, e) for c, e in keys)
    joined = _Order([Group(item.source, inner, item.aggregates), *map(_copied, leaves)], (), _classes(equal)).run()
    stands = {**fresh, **{c: t for c, t in wide.items() if t is not None}}
    out = [(c, Ref(stands[e.column] if isinstance(e, Ref) else c)) for c, e in item.keys]
    return Project(joined, (*out, *_passing(c for c, _ in item.aggregates)))


def _way_to(
    wanted: Iterable[Column],
    fresh: Mapping[Column, Column],
    homes: Mapping[Column, Relation | None],
    same: Mapping[Column, frozenset[Column]],
) -> tuple[list[Relation], list[Expr]] | None:
    """The relations that some columns are in and those on the way to them from columns that are known (and stand for
    others as `fresh` says), with the equalities that lead there. None where there is no way over base relations.
    """
    leaves: list[Relation] = []
    equal: list[Expr] = []
    todo = list(wanted)
    while todo:
        leaf = homes.get(todo.pop())
        if leaf is None or not _is_base(leaf):
            return None
        if any(leaf is x for x in leaves):
            continue
        leaves.append(leaf)
        link = next((k for k in keys_of(leaf) if all(c in homes and homes[c] is not leaf for c in k)), None)
        if link is None:
            return None
        for c in link:
            twins = [c, *same.get(c, ())]
            start = next((fresh[t] for t in twins if t in fresh), None)
            via = start or next((t for t in twins if t in _columns(homes.get(t)) and homes[t] is not leaf), None)
            if via is None:
                return None
            equal.append(_equal(via, c))
            todo.extend([via] if start is None else [])
    return leaves, equal


# --- numbers that stand for text --------------------------------------------------------------------------------------

FEWER_ROWS: Final = 4
"""By how many times a relation has fewer rows than what it was joined to, so that it pays to aggregate twice."""


def _numbers_first(item: Relation) -> Relation:
    """A group by text that a number tells apart: by the number first, then the few groups that remain by the text."""
    if not isinstance(item, Group) or any(a.distinct or a.name not in _MERGED for _, a in item.aggregates):
        return item
    numbers = {c: _number_of(item.source, e.column) for c, e in item.keys if isinstance(e, Ref)}
    if not any(numbers.values()):
        return item
    again = {c: Column(c.name, c.type, c.nullable, c.domain) for c in item.columns}
    rest = {c: e for c, e in item.keys if numbers.get(c) is None}
    keys = [(again[c], e) for c, e in rest.items()]
    keys += [(Column(n.name, n.type, n.nullable, n.domain), Ref(n)) for n in dict.fromkeys(numbers.values()) if n]
    partial = tuple((again[c], a) for c, a in item.aggregates)
    dropped = {again[c]: e for c, e in item.keys if c not in rest}
    first = Group(item.source, (*keys, *dropped.items()), partial)
    fetched = _fetched_late(first, tuple(keys), dropped, least=1)
    if fetched is None or FEWER_ROWS * rows_of(fetched) > rows_of(item.source):
        return item
    totals: list[tuple[Column, Aggregate]] = []
    items: list[tuple[Column, Expr]] = list(_passing(c for c, _ in item.keys))
    for column, a in item.aggregates:
        part = again[column]
        if part.domain.magnitude * rows_of(fetched) >= _SUM_MAX:
            return item
        made = functions.aggregate(_MERGED[a.name], (Ref(part),), rows_of(fetched), at=a.at)
        total = _column(column.name, made)
        totals.append((total, made))
        value: Expr = Ref(total)
        if a.name in ("count", "count_star"):
            value = functions.apply("coalesce", (value, Constant(0, BIGINT)))
        items.append((column, _typed(value, column)))
    return Project(Group(fetched, tuple((c, Ref(again[c])) for c, _ in item.keys), tuple(totals)), tuple(items))


_MERGED: Final = {"sum": "sum", "count": "sum", "count_star": "sum", "min": "min", "max": "max"}
"""How aggregates of parts of a group become that of the group."""
_SUM_MAX: Final = 2**62


def _number_of(source: Relation, column: Column) -> Column | None:
    """A number that tells apart the rows of the relation that a text comes from, where the source has it."""
    if words_of(column.type, column.domain) < 2:
        return None
    leaf = next((x for x in leaves_of(source) if column in x.columns), None)
    if leaf is None or leaf is source or not _is_base(leaf):
        return None
    same = equivalents(source)
    for key in sorted(keys_of(leaf), key=lambda k: sorted(c.id for c in k)):
        for c in key if len(key) == 1 else ():
            for twin in (c, *sorted(same.get(c, ()), key=lambda t: t.id)):
                if twin.type.kind == "int" and not twin.nullable and twin in source.columns:
                    return twin
    return None


def _columns(item: Relation | None) -> tuple[Column, ...]:
    return () if item is None else item.columns


def _is_base(item: Relation) -> bool:
    """Whether a relation is rows of a table, filtered and computed on one by one: cheap to read again."""
    while isinstance(item, (Filter, Project)):
        item = item.source
    return isinstance(item, Scan)


def _copied(item: Relation) -> Relation:
    """The same rows once more: what is shared is a wall for other rewriting."""
    return replace(item) if isinstance(item, Scan) else with_sources(item, [_copied(s) for s in sources(item)])


# --- expressions at home ----------------------------------------------------------------------------------------------


PARTS_MAX: Final = 64
"""Up to so many parts of a conjunction are put together by who can compute them."""


class _Hoist:
    """Computes expressions where one party has all that they read, before it is shared."""

    def __init__(self, root: Relation) -> None:
        self._root = root
        uses = Counter(id(s) for item in relations(root) for s in sources(item))
        self._shared = {key for key, n in uses.items() if n > 1}

    def run(self) -> Relation:
        done: dict[int, Relation] = {}
        for item in relations(self._root):
            new = self._relieved(with_sources(item, [done[id(s)] for s in sources(item)]))
            if id(item) in self._shared:
                self._shared.add(id(new))
            done[id(item)] = new
        return done[id(self._root)]

    def _relieved(self, item: Relation) -> Relation:
        """A relation that reads ready columns where its sources can compute what it would."""
        home = len(parties_of(item)) < 2 or self._is_chain(item)
        if home and not isinstance(item, (Project, Group, Window, Sort)):
            return item
        worth = functions.alone if home else self._worth
        sides = list(sources(item))
        placed: dict[Expr, Column] = {}

        def change(expr: Expr) -> Expr:
            if not isinstance(expr, Call):
                return expr
            if expr in placed:
                return Ref(placed[expr])
            if worth(expr) and any(True for _ in references(expr)):
                for k, side in enumerate(sides):
                    found = self._place(side, expr)
                    if found is not None:
                        sides[k], placed[expr] = found
                        return Ref(placed[expr])
            args = tuple(change(a) for a in (expr.args if home else self._together(expr, sides)))
            return expr if args == expr.args else replace(expr, args=args)

        new = with_expressions(item, change)
        if home and not placed:
            return item
        lowered = with_sources(new, sides)
        # Who reads all columns of a relation, as DISTINCT does, must not meet new ones.
        return _narrowed(lowered, set(item.columns), item.columns)

    def _together(self, expr: Call, sides: Sequence[Relation]) -> tuple[Expr, ...]:
        """The parts of a conjunction or disjunction, those that one party can compute as one."""
        if expr.name not in ("and", "or") or len(expr.args) > PARTS_MAX:
            return expr.args
        found: list[Expr] = []
        for arg in expr.args:
            for k, other in enumerate(found):
                parts = other.args if isinstance(other, Call) and other.name == expr.name else (other,)
                both = replace(expr, args=(*parts, arg), nullable=any(p.nullable for p in (*parts, arg)))
                if any(True for _ in references(arg)) and any(self._place(side, both) for side in sides):
                    found[k] = both
                    break
            else:
                found.append(arg)
        return tuple(found)

    @staticmethod
    def _worth(expr: Call) -> bool:
        # Doubles stay exact quotients as long as nobody rounds them: homes give only those that others cannot make.
        return expr.type.kind not in ("double", "null") or functions.alone(expr)

    def _place(self, item: Relation, expr: Expr) -> tuple[Relation, Column] | None:
        """The relation with the value of an expression as one more column, if a party can compute it alone."""
        if not set(references(expr)) <= set(item.columns) or id(item) in self._shared:
            return None
        if not any(True for _ in references(expr)):
            expr = fold(expr)
        if isinstance(expr, Constant) or len(parties_of(item)) == 1 or self._is_chain(item):
            column = _column("e", expr)
            return Project(item, (*_passing(item.columns), (column, expr))), column
        if isinstance(item, Join):
            whole = [item.kind != "full", item.kind == "inner"]
            for k, side in enumerate(sources(item)):
                # What is NULL without its row may be missing with it.
                found = self._place(side, expr) if whole[k] or _is_null_of(expr, set(side.columns)) else None
                if found is not None:
                    new = [item.left, item.right]
                    new[k] = found[0]
                    return with_sources(item, new), found[1] if whole[k] else optional(found[1])
            return None
        if isinstance(item, SetOperation):
            return self._place_in_all(item, expr) if item.kind == "union" and item.all else None
        if isinstance(item, Group) and item.keys:
            found = self._place(item.source, substitute(expr, dict(item.keys)))
            if found is None or not set(references(expr)) <= dict(item.keys).keys():
                return None
            same = functions.aggregate("any_value", (Ref(found[1]),), rows_of(item.source))
            column = _column("e", same)
            return replace(item, source=found[0], aggregates=(*item.aggregates, (column, same))), column
        if isinstance(item, Project):
            values = dict(item.items)
            found = self._place(item.source, substitute(expr, values))
            if found is None:
                return None
            return Project(found[0], (*item.items, (found[1], Ref(found[1])))), found[1]
        if isinstance(item, (Filter, Window, Sort, Limit)):
            found = self._place(item.source, expr)
            return None if found is None else (with_sources(item, [found[0]]), found[1])
        return None

    def _place_in_all(self, item: SetOperation, expr: Expr) -> tuple[Relation, Column] | None:
        """UNION ALL with the value of an expression from each side."""
        sides = []
        for side in sources(item):
            values = {c: Ref(s) for c, s in zip(item.columns, side.columns, strict=True)}
            found = self._place(side, substitute(expr, values))
            if found is None:
                return None
            sides.append(Project(found[0], _passing((*side.columns, found[1]))))
        column = _column("e", expr)
        return replace(item, left=sides[0], right=sides[1], columns=(*item.columns, column)), column

    @staticmethod
    def _is_chain(item: Relation) -> bool:
        """Whether rows of one table are filtered and computed on one by one: each party does it to its own."""
        while isinstance(item, (Filter, Project)):
            item = item.source
        return isinstance(item, Scan)


# --- columns that nobody reads ----------------------------------------------------------------------------------------


def _prune(root: Relation) -> Relation:
    order = relations(root)
    needed: dict[int, set[Column]] = {id(item): set() for item in order}
    needed[id(root)] = set(root.columns)
    for item in reversed(order):
        wanted = needed[id(item)]
        for source, read in zip(sources(item), _reads(item, wanted), strict=True):
            needed[id(source)] |= read
    done: dict[int, Relation] = {}
    for item in order:
        narrow = [done[id(s)] for s in sources(item)]
        if isinstance(item, (Join, Group, Window, Sort)):
            narrow = [_narrowed(done[id(s)], needed[id(s)]) for s in sources(item)]
        if isinstance(item, SetOperation):
            places = _places(item, needed[id(item)])
            sides = [(s, tuple(s.columns[k] for k in places)) for s in sources(item)]
            narrow = [_narrowed(done[id(s)], set(columns), columns) for s, columns in sides]
        done[id(item)] = _kept(with_sources(item, narrow), needed[id(item)])
    return _narrowed(done[id(root)], set(root.columns), root.columns)


def _reads(item: Relation, wanted: set[Column]) -> list[set[Column]]:
    """Of each source, the columns that a relation needs so that somebody can read `wanted` of its own."""
    inner = [set(s.columns) for s in sources(item)]
    if isinstance(item, Distinct):
        return inner
    if isinstance(item, SetOperation):
        return [{s.columns[k] for k in _places(item, wanted)} for s in (item.left, item.right)]
    kept = _kept(item, wanted)
    read = {c for e in expressions(kept) for c in references(e)}
    if not isinstance(item, (Project, Group)):
        read |= wanted
    return [read & own or set(_first(s.columns)) for own, s in zip(inner, sources(item), strict=True)]


def _places(item: SetOperation, wanted: set[Column]) -> list[int]:
    """The places of the columns that a set operation has to keep: all, where rows are compared."""
    if item.kind == "union" and item.all:
        return [k for k, c in enumerate(item.columns) if c in wanted] or [0]
    return list(range(len(item.columns)))


def _kept(item: Relation, wanted: set[Column]) -> Relation:
    """A relation without what it makes for nobody."""
    if isinstance(item, Scan):
        pairs = [(n, c) for n, c in zip(item.names, item.columns, strict=True) if c in wanted]
        pairs = pairs or [(item.names[0], item.columns[0])]
        return replace(item, names=tuple(n for n, _ in pairs), columns=tuple(c for _, c in pairs))
    if isinstance(item, Values):
        places = [k for k, c in enumerate(item.columns) if c in wanted] or [0][: len(item.columns)]
        rows = tuple(tuple(row[k] for k in places) for row in item.rows)
        return replace(item, columns=tuple(item.columns[k] for k in places), rows=rows)
    if isinstance(item, Project):
        items = tuple((c, e) for c, e in item.items if c in wanted) or item.items[:1]
        return replace(item, items=items)
    if isinstance(item, Group):
        aggregates = tuple((c, a) for c, a in item.aggregates if c in wanted)
        if not item.keys and not aggregates:
            aggregates = item.aggregates[:1]
        return replace(item, aggregates=aggregates)
    if isinstance(item, Window):
        return replace(item, calls=tuple((c, w) for c, w in item.calls if c in wanted))
    if isinstance(item, SetOperation):
        return replace(item, columns=tuple(item.columns[k] for k in _places(item, wanted)))
    return item


def _narrowed(item: Relation, wanted: set[Column], order: tuple[Column, ...] | None = None) -> Relation:
    """A relation with these columns only."""
    columns = order or tuple(c for c in item.columns if c in wanted) or _first(item.columns)
    return item if columns == item.columns else Project(item, _passing(columns))


def _first(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    return columns[:1]
