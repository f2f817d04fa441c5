# SPDX-License-Identifier: Apache-2.0
"""Relations to array programs: the joint part of a query, on rows whose number is public and whose content is not.

A row that a query leaves out stays where it is, with a flag that it is not meant; how many are meant stays secret, and
operators bound their results by what is public. What moves rows opens random permutations and how shuffled rows
compare, which do not depend on the data; nothing else is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Final

from tacit.errors import InputError, PlanError, SqlError
from tacit.frontends.arithmetic import greater_equal, logical_and, logical_not, logical_or
from tacit.frontends.array import Owner, SecretArray
from tacit.frontends.operands import public
from tacit.frontends.reductions import any as any_of
from tacit.frontends.reductions import sum as sum_of
from tacit.frontends.shaping import broadcast_to, reshape
from tacit.frontends.sql import group as groups
from tacit.frontends.sql import join as joins
from tacit.frontends.sql import order, vectors, window
from tacit.frontends.sql import rows as on
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
    Home,
    Join,
    Limit,
    Project,
    Query,
    Ref,
    Relation,
    Scan,
    SetOperation,
    Sort,
    SortKey,
    Stack,
    Values,
    Window,
    WindowCall,
    conjunction,
    conjuncts,
    equi_keys,
    references,
    relations,
    sources,
)
from tacit.frontends.sql.bounds import bare, is_unique, partners, rows_of
from tacit.frontends.sql.frame import Frame, SortWord, Vector
from tacit.frontends.sql.functions import place
from tacit.frontends.sql.scalar import evaluate, holds
from tacit.frontends.sql.small_groups import judged, ruled
from tacit.frontends.sql.types import BOOLEAN
from tacit.plan import BOOL, OUT_OF_RANGE, Interval

_NO_ROOM: Final = OUT_OF_RANGE | {"INPUT-105"}
PAIRS: Final = 1 << 22
"""Elements, rows times words, that a table of all pairs may have."""
SORT: Final = 40_000
"""The rounds of a join by sorting, in words that could be moved meanwhile."""
ELEMENTS: Final = 1 << 30
"""Elements that any table may have."""


@dataclass(frozen=True)
class Step:
    """How a relation is computed: `rows` is the public number of rows, the records from `first` to before `last` are
    its own.
    """

    relation: Relation
    strategy: str
    rows: int
    first: int
    last: int


@dataclass(frozen=True)
class Lowered:
    """A query as arrays: `frame` has the rows of the result, those that are meant first.

    `hidden` [] is the number of groups that were left out because they are too small, None where there is no such rule.
    `steps` are in the order of computation. `matches` is the number of joins that tags of keys could compute.
    """

    frame: Frame
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    hidden: SecretArray | None
    steps: tuple[Step, ...]
    matches: int


def lower(
    query: Query,
    program: Owner,
    leaf: Callable[[Home], Frame],
    *,
    min_group: int = 1,
    by_tags: Container[int] = frozenset(),
) -> Lowered:
    """The array program of a query whose one-party parts are at their homes.

    `leaf` gives the rows that a home brings. Groups of fewer than `min_group` rows, or than one of their tables asks
    for, are left out and counted. The result's rows are in the order that the query asks for, and where it asks for
    none in one that says nothing else about them. Of the joins that tags of keys could compute, those numbered in
    `by_tags` are, which opens which rows match; no other.

    Raises `SqlError` SQL-006 for what cannot be computed on secrets, SQL-008 for sums that may not fit, SQL-010 for
    tables that would be too large.
    """
    top = query.relation
    while isinstance(top, (Limit, Project)):
        top = top.source
    least, wishes = judged(query.relation, min_group), order.wishes(query.relation)
    uses = Counter(id(s) for item in relations(query.relation) for s in sources(item))
    shared = frozenset(key for key, n in uses.items() if n > 1)
    wanted = order.wanted(query.relation, shared)
    lowering = _Lowering(
        program, leaf, least, top, query.relation.columns, wishes, wanted, shared, by_tags, ruled(query.relation)
    )
    for relation in relations(query.relation):
        lowering.compute(relation)
    frame = lowering.result(query.relation)
    hidden = reduce(lambda a, b: a + b, lowering.hidden) if lowering.hidden else None
    return Lowered(frame, query.relation.columns, query.names, hidden, tuple(lowering.steps), lowering.matches)


@dataclass
class _Lowering:
    program: Owner
    leaf: Callable[[Home], Frame]
    least: Mapping[int, int]
    top: Relation
    shown: tuple[Column, ...]
    wishes: Mapping[int, tuple[SortKey, ...]]
    wanted: Mapping[int, int]
    shared: frozenset[int]
    by_tags: Container[int]
    ruled: Container[int]
    matches: int = 0
    frames: dict[int, Frame] = field(default_factory=dict)
    traces: dict[int, order.Trace] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    hidden: list[SecretArray] = field(default_factory=list)
    strategy: str = ""

    def compute(self, relation: Relation) -> None:
        """Record a relation whose sources are recorded."""
        first = self._serial()
        self.strategy = ""
        try:
            frame = self._frame(relation)
        except (PlanError, InputError) as error:
            if error.code not in _NO_ROOM:
                raise
            at = next((a.at for _, a in relation.aggregates if a.at), None) if isinstance(relation, Group) else None
            raise overflow(f"{type(relation).__name__.lower()}{place(at)}", error) from error
        frame = on.at_least_one(frame, self.program)
        bound = max(1, rows_of(relation))
        if bound < frame.rows and (frame.compact or joins.KEEP_ROWS * bound <= frame.rows):
            frame = on.compact(frame, bound)
        _refuse_beyond(ELEMENTS, frame.rows, _words(frame), relation)
        known = on.following(frame.order, frame.columns, frame.columns)
        frame = replace(frame, order=known, firsts=frame.firsts if len(known) == len(frame.order) else None)
        self.frames[id(relation)] = frame
        before = (self.traces[id(s)] for s in sources(relation))
        # What tags have matched is in a random order.
        self.traces[id(relation)] = frozenset() if self.strategy in _TAGS else order.trace(relation, before)
        self.steps.append(Step(relation, self.strategy, frame.rows, first, self._serial()))

    def result(self, relation: Relation) -> Frame:
        """The rows of a relation as a result: those that are meant first, and in no order but the one asked for."""
        frame = self.frames[id(relation)]
        frame = replace(frame, columns={c: frame.columns[c] for c in relation.columns})
        if not isinstance(self.top, Sort) and order.tells(self.traces[id(relation)], relation.columns):
            frame = order.shuffled(frame)
        return on.compact(frame)

    def _serial(self) -> int:
        return public(self.program, 0).node.serial

    def _frame(self, relation: Relation) -> Frame:
        made = [self.frames[id(s)] for s in sources(relation)]
        if isinstance(relation, Home):
            return self.leaf(relation)
        if isinstance(relation, Stack):
            return self._stack(relation)
        if isinstance(relation, Scan):
            raise AssertionError("a table is brought by its homes")
        if isinstance(relation, Values):
            return self._values(relation)
        if isinstance(relation, Filter):
            return self._filter(relation, made[0])
        if isinstance(relation, Project):
            return self._project(relation, made[0])
        if isinstance(relation, Join):
            return _sure(relation, self._join(relation, made[0], made[1]))
        if isinstance(relation, Group):
            return self._group(relation, made[0])
        if isinstance(relation, Distinct):
            return self._distinct(made[0], rows_of(relation), self.wishes.get(id(relation), ()))
        if isinstance(relation, SetOperation):
            return self._set(relation, made[0], made[1])
        if isinstance(relation, Sort):
            return self._sort(relation, made[0])
        if isinstance(relation, Limit):
            return self._limit(relation, made[0])
        return self._window(relation, made[0])

    # --- sources ----------------------------------------------------------------------------------------------

    def _stack(self, relation: Stack) -> Frame:
        parts = [self.leaf(h) for h in relation.homes]
        parts = [on.at_least_one(p, self.program) for p in parts]
        named = [
            replace(p, columns={c: p.columns[own] for c, own in zip(relation.columns, h.columns, strict=True)})
            for p, h in zip(parts, relation.homes, strict=True)
        ]
        out = reduce(lambda a, b: order.union(a, b, relation.columns, self.program), named)
        return out

    def _values(self, relation: Values) -> Frame:
        n = len(relation.rows)
        columns = {}
        for k, column in enumerate(relation.columns):
            cells = [self._constant(Constant(row[k].raw, column.type), 1) for row in relation.rows]
            columns[column] = reduce(on.stacked, cells) if cells else self._constant(Constant(None, column.type), 0)
        return Frame(n, columns)

    def _constant(self, value: Constant, rows: int) -> Vector:
        return vectors.constant(value.raw, value.type, rows, self.program)

    def _value(self, expr: Expr, frame: Frame) -> Vector:
        # A table need not have columns; expressions need an array to know their program from.
        if isinstance(expr, Constant):
            return self._constant(expr, frame.rows)
        if not frame.columns and frame.present is None:
            frame = replace(frame, present=on.filled(self.program, frame.rows, True))
        return evaluate(expr, frame)

    def _holds(self, predicate: Expr, frame: Frame) -> SecretArray:
        if isinstance(predicate, Constant):
            return on.filled(self.program, frame.rows, bool(predicate.raw))
        return holds(predicate, frame)

    # --- row by row -------------------------------------------------------------------------------------------

    def _filter(self, relation: Filter, source: Frame) -> Frame:
        present = on.both(source.present, self._holds(relation.predicate, source))
        return source.meaning(present)

    def _project(self, relation: Project, source: Frame) -> Frame:
        columns = {c: self._value(e, source) for c, e in relation.items}
        return replace(source, columns=columns)

    # --- joins ------------------------------------------------------------------------------------------------

    def _join(self, relation: Join, left: Frame, right: Frame) -> Frame:
        keys, rest = equi_keys(relation)
        keys, together = order.arranged(keys, self.wishes.get(id(relation), ()))
        pairs = [_unified(self._value(a, left), self._value(b, right)) for a, b in keys]
        condition = conjunction(rest)
        residual = None if condition is None else (lambda frame: self._holds(condition, frame))
        unique_right, unique_left = partners(relation) if pairs else (False, False)
        unique_right |= bool(pairs) and relation.kind == "single"
        if relation.kind in ("semi", "anti", "mark"):
            return self._existence(relation, left, right, pairs, rest, residual, (unique_left, unique_right))
        keep_left, keep_right = relation.kind != "inner", relation.kind == "full"
        few = min(left.rows, right.rows) == 1
        if unique_right and not few:
            # Of two unique sides the smaller one brings its columns to the other.
            turned = unique_left and left.rows < right.rows and relation.kind == "inner"
        else:
            turned = True
        by_one = (unique_right or unique_left) and not few
        side, kept, keep = ("left", keep_left, keep_right) if turned else ("right", keep_right, keep_left)
        if by_one and not kept and self._tags(relation, pairs, side):
            if not turned:
                pairs, left, right = [(b, a) for a, b in pairs], right, left
            return joins.by_tags(left, right, pairs, keep_other=keep, residual=residual).frame
        if relation.kind == "inner" and not few and (chained := self._chained(relation, together)):
            return chained
        if by_one:
            self.strategy = f"sorted, {side} side unique"
            both = unique_left and unique_right
            if not turned:
                return joins.with_unique(
                    right, left, [(b, a) for a, b in pairs],
                    keep_unique=keep_right, keep_other=keep_left, one_to_one=both, together=together,
                    residual=residual,
                ).frame  # fmt: skip
            return joins.with_unique(
                left, right, pairs, keep_unique=keep_left, keep_other=keep_right, one_to_one=both, together=together,
                residual=residual,
            ).frame  # fmt: skip
        self.strategy = "all pairs"
        frame = self._pairs(relation, left, right, relation.condition)
        if not keep_left:
            return frame
        return joins.outer_pairs(left, right, frame, self.program, keep_left=True, keep_right=keep_right)

    def _tags(self, relation: Join, pairs: joins.Pairs, unique: str) -> bool:
        """Whether tags of its keys compute a join one side of which is unique; if so, that is its strategy. Never where
        a table has a rule on small groups: how many rows match, and how often, would not obey it.
        """
        if id(relation) in self.ruled or not joins.has_tags(pairs):
            return False
        self.matches += 1
        if self.matches - 1 not in self.by_tags:
            return False
        self.strategy = f"{_BY_TAGS}, {unique} side unique"
        return True

    def _chained(self, relation: Join, together: bool) -> Frame | None:
        """Joins of several tables by the same keys in one sort, where that moves less than one after the other."""
        leaves, several = order.chain(relation, self.shared)
        unique = [is_unique(leaf, bare(own)) for leaf, own in leaves]
        frames = [self.frames[id(leaf)] for leaf, _ in leaves]
        if len(leaves) < 3 or unique.count(False) > 1 or any(f.rows == 1 for f in frames):
            return None
        sides = [(f, [self._value(e, f) for e in own]) for f, (_, own) in zip(frames, leaves, strict=True)]
        kinds = {tuple((v.type, v.denominator) for v in own) for _, own in sides}
        words = sum(len(v.arrays) for v in sides[0][1])
        apart = sum(_weight([self.frames[id(s)] for s in sources(j)], words) for j in several)
        if _weight(frames, words) > apart or len(kinds) > 1 or any(d is not None for kind in kinds for _, d in kind):
            return None
        last = unique.index(False) if False in unique else max(range(len(sides)), key=lambda k: frames[k].rows)
        uniques = [side for k, side in enumerate(sides) if k != last]
        self.strategy = f"sorted, {len(leaves)} tables at once"
        inner = {id(j) for j in several}
        self.steps = [replace(s, strategy="with the one above") if id(s.relation) in inner else s for s in self.steps]
        frame = joins.with_each(uniques, sides[last], one_to_one=all(unique), together=together)
        return replace(frame, columns={c: frame.columns[c] for c in relation.columns})

    def _pairs(self, relation: Join, left: Frame, right: Frame, condition: Expr | None) -> Frame:
        """All pairs for which a condition holds."""
        _refuse_beyond(PAIRS, left.rows * right.rows, _words(left) + _words(right), relation)
        frame = joins.all_pairs(left, right)
        if condition is not None:
            frame = replace(frame, present=on.both(frame.present, self._holds(condition, frame)))
        return frame

    def _existence(
        self,
        relation: Join,
        left: Frame,
        right: Frame,
        pairs: Sequence[tuple[Vector, Vector]],
        rest: Sequence[Expr],
        residual: joins.Residual,
        unique: tuple[bool, bool],
    ) -> Frame:
        """Semi, anti and mark joins: the left rows by whether they have a partner."""
        keep = _KEEP.get(relation.kind)
        if relation.null_aware and any(e.nullable for e in _compared(relation)):
            if len(pairs) == 1 and not rest:
                return self._null_aware(relation, left, right, pairs[0])
        elif pairs and (residual is None or unique[1]) and any(unique) and self._tags(relation, pairs, _side(unique)):
            turned = [(b, a) for a, b in pairs]
            needed = right if residual is not None else replace(right, columns={})
            done = joins.by_tags(needed, left, turned, keep_other=True, residual=residual)
            frame = replace(done.frame, columns={c: done.frame.columns[c] for c in left.columns})
            if keep is not None:
                frame = frame.meaning(keep(done.matched, frame.present))
            return _marked(relation, frame, done.matched)
        elif pairs and residual is None:
            self.strategy = "sorted"
            done = joins.partners(left, right, pairs, keep)
            return _marked(relation, done.frame, done.matched)
        elif pairs and keep is not None and (differ := self._differing(rest, left, right)):
            self.strategy = "sorted, least and largest of what differs"
            return joins.other_partners(left, right, pairs, differ, keep).frame
        elif unique[1]:
            self.strategy = "sorted, right side unique"
            turned = [(b, a) for a, b in pairs]
            done = joins.with_unique(right, left, turned, keep_other=True, residual=residual)
            frame = replace(done.frame, columns={c: done.frame.columns[c] for c in left.columns})
            if keep is not None:
                frame = frame.meaning(keep(done.matched, frame.present))
            return _marked(relation, frame, done.matched)
        elif unique[0]:
            self.strategy = "sorted, left side unique"
            done = joins.with_unique(left, right, pairs, keep_unique=True, residual=residual)
            assert done.met is not None and done.alone is not None
            present = {"semi": done.met, "anti": done.alone, "mark": logical_or(done.met, done.alone)}[relation.kind]
            columns = {c: done.frame.columns[c] for c in left.columns}
            return _marked(relation, Frame(done.frame.rows, columns, present), done.met)
        self.strategy = "all pairs"
        frame = self._pairs(relation, left, right, None)
        shape = (left.rows, right.rows)
        parts = conjuncts(relation.condition)
        asked = frame.present
        tied = conjunction(parts[1:]) if relation.null_aware else None
        if tied is not None:
            # What ties the subquery to a row decides what IN looks at; only a comparison with that can be unknown.
            asked, parts = on.both(asked, self._holds(tied, frame)), parts[:1]
        value = self._value(conjunction(parts) or Constant(1, BOOLEAN), frame)

        def anywhere(*flags: SecretArray | None) -> SecretArray:
            return any_of(reshape(on.known(on.both(asked, *flags), frame.rows, self.program), shape), axis=1)

        found = anywhere(value.words[0], on.not_null([value]))
        unknown = anywhere(value.null) if relation.null_aware and value.null is not None else None
        return self._judged(relation, left, found, unknown)

    def _null_aware(self, relation: Join, left: Frame, right: Frame, pair: tuple[Vector, Vector]) -> Frame:
        """IN and NOT IN of one column: what has no partner is unknown where either side may be NULL."""
        a, b = pair
        self.strategy = "sorted"
        null = Column("null", BOOLEAN, False, Interval(0, 1))
        flag = on.inverse(on.not_null([a]), left.rows, self.program)
        given = replace(left, columns=left.columns | {null: Vector(BOOLEAN, (flag,))})
        done = joins.partners(given, right, [pair], None)
        columns = dict(done.frame.columns)
        lacks = columns.pop(null).words[0]
        size = (done.frame.rows,)
        unknown = None
        if b.null is not None:
            some = any_of(on.both(right.present, b.null))
            unknown = broadcast_to(reshape(some, (1,)), size)
        if a.null is not None:
            asked = any_of(on.known(right.present, right.rows, self.program))
            unknown = vectors.either(unknown, logical_and(lacks, broadcast_to(reshape(asked, (1,)), size)))
        return self._judged(relation, replace(done.frame, columns=columns), done.matched, unknown)

    def _judged(self, relation: Join, frame: Frame, found: SecretArray, unknown: SecretArray | None) -> Frame:
        """The left rows once it is known which of them have a partner, and of which that is unknown if not."""
        if relation.kind == "mark":
            return _marked(relation, frame, found, unknown)
        if relation.kind == "anti" and unknown is not None:
            found = logical_or(found, unknown)
        return frame.meaning(_KEEP[relation.kind](found, frame.present))

    def _differing(self, rest: Sequence[Expr], left: Frame, right: Frame) -> tuple[Vector, Vector] | None:
        """The two sides of a condition that one column of each is not equal."""
        if len(rest) != 1 or not isinstance(rest[0], Call) or rest[0].name != "ne":
            return None
        for a, b in (rest[0].args, rest[0].args[::-1]):
            if set(references(a)) <= left.columns.keys() and set(references(b)) <= right.columns.keys():
                return _unified(self._value(a, left), self._value(b, right))
        return None

    # --- groups -----------------------------------------------------------------------------------------------

    def _group(self, relation: Group, source: Frame) -> Frame:
        values: dict[Expr, Vector] = {}
        for _, a in relation.aggregates:
            if a.name == "first" or (a.name == "any_value" and ALIKE not in a.options):
                by = [*(e for _, e in relation.keys), *a.args[1:]]
                source = self._untold(relation.source, self.traces[id(relation.source)], source, by)

        def value(expr: Expr) -> Vector:
            if expr not in values:
                values[expr] = self._value(expr, source)
            return values[expr]

        keys = {c: value(e) for c, e in relation.keys}
        fixed = {c: keys.pop(c) for c, e in relation.keys if isinstance(e, Constant)}
        wanted = [self._wanted(c, a, value, source) for c, a in relation.aggregates]
        if relation.keys and not keys:
            # Constants alone: one group, if there are any rows.
            column = next(iter(fixed))
            keys = {column: fixed.pop(column)}
        least = self.least.get(id(relation), 1)
        asked = order.orderings(self.wishes.get(id(relation), ()), keys)
        frame, sizes, self.strategy = groups.group(
            source, keys, wanted, self.program, most=rows_of(relation), counted=least > 1, order=asked
        )
        if least > 1 and sizes is not None:
            large = greater_equal(sizes, least)
            small = logical_and(on.known(frame.present, frame.rows, self.program), logical_not(large))
            self.hidden.append(sum_of(small))
            frame = frame.meaning(on.both(frame.present, large))
        columns = frame.columns | {
            c: self._constant(e, frame.rows) for c, e in relation.keys if c in fixed and isinstance(e, Constant)
        }
        return replace(frame, columns={c: columns[c] for c in relation.columns})

    def _wanted(
        self, column: Column, aggregate: Aggregate, value: Callable[[Expr], Vector], source: Frame
    ) -> groups.Wanted:
        args = tuple(value(a) for a in aggregate.args)
        if aggregate.name == "first":
            first, *keys = args
            turns = zip(keys, aggregate.options, strict=True)
            order = [
                w for v, (descending, nulls_first) in turns for w in vectors.sort_words(v, descending, nulls_first)
            ]
            if aggregate.where is not None:
                flag = self._holds(aggregate.where, source)
                first, order = vectors.null_if_absent(first, flag), [(logical_not(flag), False), *order]
            return groups.Wanted(column, aggregate, (first,), tuple(order))
        if aggregate.distinct and len(args) > 1:
            order = [w for v in args for w in vectors.sort_words(v, False, False)]
            row = Vector(BOOLEAN, (on.filled(self.program, source.rows, 1, BOOL),))
            if aggregate.where is not None:
                flag = self._holds(aggregate.where, source)
                row, order = vectors.null_if_absent(row, flag), [(logical_not(flag), False), *order]
            return groups.Wanted(column, aggregate, (row,), tuple(order))
        if aggregate.where is not None:
            flag = self._holds(aggregate.where, source)
            # Rows that are left out are NULL to the aggregate; COUNT(*) counts true flags.
            args = tuple(vectors.null_if_absent(v, flag) for v in args) or (
                Vector(BOOLEAN, (flag,), logical_not(flag)),
            )
        return groups.Wanted(column, aggregate, args)

    def _distinct(self, source: Frame, most: int, wish: Sequence[SortKey]) -> Frame:
        if not source.columns:
            raise AssertionError("a relation has columns")
        asked = order.orderings(wish, source.columns)
        frame, _, self.strategy = groups.group(source, source.columns, [], self.program, most=most, order=asked)
        return frame

    def _set(self, relation: SetOperation, left: Frame, right: Frame) -> Frame:
        left, right = (
            replace(f, columns={c: f.columns[c] for c in s.columns})
            for f, s in ((left, relation.left), (right, relation.right))
        )
        if relation.kind != "union":
            return order.matched(relation, left, right, self.program)
        both = order.union(left, right, relation.columns, self.program)
        return both if relation.all else self._distinct(both, rows_of(relation), self.wishes.get(id(relation), ()))

    # --- order ------------------------------------------------------------------------------------------------

    def _sort(self, relation: Sort, source: Frame) -> Frame:
        keys = relation.keys
        by = [k.expr for k in keys]
        # Rows alike in all that is shown are in any order.
        if relation is not self.top or not bare(by) >= {c for c in relation.columns if c in self.shown}:
            source = self._untold(relation.source, self.traces[id(relation.source)], source, by)
        words = self._words(order.needed(relation), source)
        size = self.wanted.get(id(relation), source.rows)
        if on.is_sorted(source.order, words):
            self.strategy = "in order already"
            return on.compact(source, size)
        if size < source.rows:
            self.strategy = f"the first {size} alone"
        return order.ordered(source, words, size)

    def _untold(self, relation: Relation, told: order.Trace, frame: Frame, by: Sequence[Expr]) -> Frame:
        """Rows of a relation to show, number or take the first of, in an order that tells no more than what is shown
        where `by` leaves rows alike.
        """
        # NULLs may repeat in a unique column.
        alone = is_unique(relation, bare(by)) and not any(e.nullable for e in by)
        if alone or not order.tells(told, {*self.shown, *bare(by)}):
            return frame
        return order.shuffled(frame)

    def _limit(self, relation: Limit, source: Frame) -> Frame:
        if not _is_sorted(relation.source) and order.tells(self.traces[id(relation.source)], self.shown):
            # Which rows there are must not tell more than what they are.
            source = order.shuffled(source)
        return order.limited(source, relation.size, relation.offset)

    def _words(self, keys: Iterable[SortKey], source: Frame) -> list[SortWord]:
        return [
            word
            for k in keys
            if not isinstance(k.expr, Constant)
            for word in vectors.sort_words(self._value(k.expr, source), k.descending, k.nulls_first)
        ]

    def _window(self, relation: Window, source: Frame) -> Frame:
        alike: dict[tuple[tuple[Expr, ...], tuple[SortKey, ...]], list[tuple[Column, WindowCall]]] = {}
        for column, call in relation.calls:
            alike.setdefault((call.partition, call.order), []).append((column, call))
        frame = source
        done: list[tuple[Column, WindowCall]] = []
        # Rows in the order of most keys are in that of the first of them as well.
        for (partition, keys), calls in sorted(alike.items(), key=lambda a: -len(a[0][0]) - len(a[0][1])):
            by = self._words(map(SortKey, partition), frame), self._words(keys, frame)
            if any(window.by_place(call) for _, call in calls):
                told = order.trace(replace(relation, calls=tuple(done)), [self.traces[id(relation.source)]])
                kept = self._untold(relation.source, told, frame, [*partition, *(k.expr for k in keys)])
                if kept is not frame:
                    frame, by = kept, (self._words(map(SortKey, partition), kept), self._words(keys, kept))
            done += calls
            if on.is_grouped(frame.order, *by):
                frame = on.compact(frame)
                by = self._words(map(SortKey, partition), frame), self._words(keys, frame)
            given = [(c, call, tuple(self._value(a, frame) for a in call.args)) for c, call in calls]
            frame = window.windows(frame, *by, given, self.program)
        return frame


_BY_TAGS: Final = "tags of keys opened"
_TAGS: Final = frozenset(f"{_BY_TAGS}, {side} side unique" for side in ("left", "right"))


def _side(unique: tuple[bool, bool]) -> str:
    return "right" if unique[1] else "left"


_KEEP: Final[dict[str, Callable[[SecretArray, on.Flag], on.Flag]]] = {
    "semi": lambda found, present: on.both(present, found),
    "anti": lambda found, present: on.both(present, logical_not(found)),
}
"""Of (has a partner, is meant), which left rows a join gives; a mark join gives all."""


def _sure(relation: Join, frame: Frame) -> Frame:
    """The rows of a join: where it keeps none without a partner, what is joined by is not NULL."""
    equal = {e.column for pair in equi_keys(relation)[0] for e in pair if isinstance(e, Ref)}
    if relation.kind not in ("inner", "semi"):
        return frame
    columns = {c: replace(v, null=None) if c in equal else v for c, v in frame.columns.items()}
    return replace(frame, columns=columns)


def _compared(relation: Join) -> tuple[Expr, ...]:
    """The operands of the comparison that IN stands for."""
    first = conjuncts(relation.condition)[0]
    return first.args if isinstance(first, Call) else (first,)


def _marked(relation: Join, frame: Frame, found: SecretArray, unknown: SecretArray | None = None) -> Frame:
    """The left rows with the column of a mark join."""
    if relation.mark is None:
        return frame
    null = None if unknown is None else logical_and(unknown, logical_not(found))
    return replace(frame, columns=frame.columns | {relation.mark: Vector(BOOLEAN, (found,), null)})


def _unified(a: Vector, b: Vector) -> tuple[Vector, Vector]:
    # Keys are equal where their words are, so a quotient by a secret is none.
    x, y = vectors.unified(a, b)
    return (x, y) if x.denominator is None else (vectors.fixed(x), vectors.fixed(y))


def _is_sorted(relation: Relation) -> bool:
    """Whether rows are in an order that the query asks for."""
    while isinstance(relation, (Filter, Limit, Project)):
        relation = relation.source
    return isinstance(relation, Sort)


def _weight(tables: Sequence[Frame], keys: int) -> int:
    """About what a join of tables by so many words of keys takes, in words that are moved, where the largest is the one
    that is not unique: what a row itself sends, what is brought to rows, and what is carried along.
    """
    own = [max(_words(f) - 1 - keys, 0) for f in sorted(tables, key=lambda f: f.rows)]
    return SORT + sum(f.rows for f in tables) * (5 + sum(2 + w for w in own[:-1]) + keys + sum(own))


def _words(frame: Frame) -> int:
    return sum(len(v.arrays) for v in frame.columns.values()) + 1


def _refuse_beyond(limit: int, rows: int, words: int, relation: Relation) -> None:
    if rows * words <= limit:
        return
    what = f"the join{place(relation.at)}" if isinstance(relation, Join) else "an intermediate table"
    raise SqlError(
        "SQL-010",
        f"{what} would have {rows} rows of {words} words, {rows * words * 8 / 2**30:.1f} GiB at each party",
        expected=f"at most {limit} elements",
        next="declare unique= keys on one side of the join, aggregate that side before it, or filter first",
    )


def overflow(what: str, error: PlanError | InputError) -> SqlError:
    """What the plan's own check of ranges says of a part of a query; its bounds are public."""
    return SqlError(
        "SQL-008",
        f"{what} may leave the range of secret numbers: {error.what}",
        expected=error.expected,
        next="declare narrower ranges, filter or aggregate first, or cast to fewer digits",
    )
