# SPDX-License-Identifier: Apache-2.0
"""Bound queries: relations over typed columns, each column with its own identity.

Binding gives every column that a relation makes a fresh id, so that an expression means the same wherever rewriting
moves it. Relations are immutable and may be shared: a common table expression used twice is one object, and is computed
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from typing import Any, Final, Literal, TypeAlias

from tacit.frontends.sql.catalogue import Table
from tacit.frontends.sql.types import BOOLEAN, SqlType
from tacit.plan import Interval

At: TypeAlias = tuple[int, int] | None
"""A place in the query's text: line and column, both from 1."""

_ids: Final = count()


@dataclass(frozen=True)
class Column:
    """A column of some relation: equal to another if they have the same id. `domain` bounds its raw values where they
    are not NULL (of text, the number of bytes).
    """

    name: str = field(compare=False)
    type: SqlType = field(compare=False)
    nullable: bool = field(compare=False)
    domain: Interval = field(compare=False)
    id: int = field(default_factory=lambda: next(_ids))

    def __repr__(self) -> str:
        return f"{self.name}#{self.id}"


# --- expressions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ref:
    """The value of a column in the row at hand."""

    column: Column

    @property
    def type(self) -> SqlType:
        """The column's."""
        return self.column.type

    @property
    def nullable(self) -> bool:
        """The column's."""
        return self.column.nullable

    @property
    def domain(self) -> Interval:
        """The column's."""
        return self.column.domain


@dataclass(frozen=True)
class Constant:
    """A constant: `raw` is its raw value, for text a `str`, or None for NULL. An integer that is `written` out as such,
    not computed or cast, takes the type of what it meets.
    """

    raw: int | str | None
    type: SqlType
    written: bool = field(default=False, compare=False)

    @property
    def nullable(self) -> bool:
        """Whether it is NULL."""
        return self.raw is None

    @property
    def domain(self) -> Interval:
        """The value alone; of text its number of bytes."""
        n = len(self.raw.encode()) if isinstance(self.raw, str) else self.raw or 0
        return Interval(n, n)


@dataclass(frozen=True)
class Call:
    """A scalar function; `functions.call` makes it with its type and domain, and lists the names. `options` are what
    has to be constant, such as the pattern of LIKE or the part of EXTRACT.
    """

    name: str
    args: tuple[Expr, ...]
    type: SqlType
    nullable: bool
    domain: Interval
    options: tuple[Any, ...] = ()
    at: At = field(default=None, compare=False)


Expr: TypeAlias = Ref | Constant | Call


ALIKE: Final = "alike"
"""An option of any_value: all rows of a group agree in it, NULL or not."""


@dataclass(frozen=True)
class Aggregate:
    """An aggregate function over a group: `distinct` and `where` (FILTER) say of which rows. `options` are constants,
    such as the fractions of a quantile. A distinct count of several operands counts the rows that they make.
    """

    name: str
    args: tuple[Expr, ...]
    type: SqlType
    nullable: bool
    domain: Interval
    distinct: bool = False
    where: Expr | None = None
    options: tuple[Any, ...] = ()
    at: At = field(default=None, compare=False)


@dataclass(frozen=True)
class SortKey:
    """A key of ORDER BY."""

    expr: Expr
    descending: bool = False
    nulls_first: bool = False


WindowFrame: TypeAlias = Literal["all", "rows", "range"] | tuple[int | None, int | None]


@dataclass(frozen=True)
class WindowCall:
    """A window function: an aggregate, or row_number, rank, dense_rank, lag, lead, first_value, last_value, nth_value.

    `frame` is "all" (the whole partition), "rows" or "range" (from its start to the current row, or to the last of its
    peers), or the first and last row of it, counted from the current row; None is the end of the partition.
    """

    name: str
    args: tuple[Expr, ...]
    type: SqlType
    nullable: bool
    domain: Interval
    partition: tuple[Expr, ...] = ()
    order: tuple[SortKey, ...] = ()
    frame: WindowFrame = "all"
    options: tuple[Any, ...] = ()
    at: At = field(default=None, compare=False)


# --- relations ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Scan:
    """All rows of a table: `columns` stand for `names` of its fields, in this order."""

    table: Table
    names: tuple[str, ...]
    columns: tuple[Column, ...]


@dataclass(frozen=True, eq=False)
class Values:
    """Rows of constants."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Constant, ...], ...]


@dataclass(frozen=True, eq=False)
class Filter:
    """The rows for which the predicate is true."""

    source: Relation
    predicate: Expr

    @property
    def columns(self) -> tuple[Column, ...]:
        """The source's."""
        return self.source.columns


@dataclass(frozen=True, eq=False)
class Project:
    """Each row of the source as new values; a column that is passed on keeps its identity: (c, Ref(c))."""

    source: Relation
    items: tuple[tuple[Column, Expr], ...]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """One for each item."""
        return tuple(c for c, _ in self.items)


JoinKind: TypeAlias = Literal["inner", "left", "full", "semi", "anti", "mark", "single"]


@dataclass(frozen=True, eq=False)
class Join:
    """Pairs of rows for which the condition is true; None is always true. A right join is a left one turned round.

    `semi` and `anti` give the left rows that have or lack a partner; `mark` gives all left rows and whether they have
    one as column `mark`. With `null_aware` (IN and NOT IN; the condition's first conjunct is the comparison with the
    subquery's column) the mark is NULL as SQL's IN is, and `anti` leaves out those rows too. `single` is a left join
    whose right side has at most one partner for each row: a scalar subquery.
    """

    kind: JoinKind
    left: Relation
    right: Relation
    condition: Expr | None
    mark: Column | None = None
    null_aware: bool = False
    at: At = None

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """As the kind says; those of a side that may be missing are nullable."""
        if self.kind in ("semi", "anti"):
            return self.left.columns
        if self.kind == "mark":
            assert self.mark is not None
            return (*self.left.columns, self.mark)
        left = self.left.columns
        right = self.right.columns
        if self.kind == "full":
            left = tuple(map(optional, left))
        if self.kind != "inner":
            right = tuple(map(optional, right))
        return (*left, *right)


@dataclass(frozen=True, eq=False)
class Group:
    """One row for each different combination of the keys (NULLs are alike); without keys one row in any case."""

    source: Relation
    keys: tuple[tuple[Column, Expr], ...]
    aggregates: tuple[tuple[Column, Aggregate], ...]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Keys, then aggregates."""
        return tuple(c for c, _ in (*self.keys, *self.aggregates))


@dataclass(frozen=True, eq=False)
class Window:
    """Each row with the values of window functions besides."""

    source: Relation
    calls: tuple[tuple[Column, WindowCall], ...]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The source's, then one for each function."""
        return (*self.source.columns, *(c for c, _ in self.calls))


@dataclass(frozen=True, eq=False)
class Sort:
    """The rows in an order; rows that are equal in all keys are in any."""

    source: Relation
    keys: tuple[SortKey, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The source's."""
        return self.source.columns


@dataclass(frozen=True, eq=False)
class Limit:
    """`size` rows (None: all) after the first `offset`."""

    source: Relation
    size: int | None
    offset: int = 0

    @property
    def columns(self) -> tuple[Column, ...]:
        """The source's."""
        return self.source.columns


@dataclass(frozen=True, eq=False)
class Distinct:
    """Each different row once."""

    source: Relation

    @property
    def columns(self) -> tuple[Column, ...]:
        """The source's."""
        return self.source.columns


@dataclass(frozen=True, eq=False)
class SetOperation:
    """Union, intersection or difference, by position: both sides have the types of `columns`; `all` keeps duplicates
    as SQL counts them.
    """

    kind: Literal["union", "intersect", "except"]
    all: bool
    left: Relation
    right: Relation
    columns: tuple[Column, ...]


@dataclass(frozen=True, eq=False)
class Home:
    """What one party computes in its own engine on its own tables: made by `homes`, never by binding.

    `query` is the text in the engine's dialect, with one result column for each of `columns`, in this order, named c0,
    c1, ...; `sources` says where each table name in it is. There are at most `rows` rows, and exactly so many if not
    `padded`. `relation` is what was compiled, for explanations.
    """

    party: int
    query: str
    dialect: str
    sources: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    rows: int
    padded: bool
    relation: Relation


@dataclass(frozen=True, eq=False)
class Stack:
    """The rows of a table that several parties hold, each part computed at its home: all homes have `columns`."""

    homes: tuple[Home, ...]
    columns: tuple[Column, ...]
    relation: Relation

    @property
    def rows(self) -> int:
        """At most so many rows in all."""
        return sum(h.rows for h in self.homes)


Relation: TypeAlias = (
    Scan | Values | Filter | Project | Join | Group | Window | Sort | Limit | Distinct | SetOperation | Home | Stack
)


@dataclass(frozen=True)
class Query:
    """A bound query: `names` are those of the result's columns, which may repeat."""

    relation: Relation
    names: tuple[str, ...]


# --- walking --------------------------------------------------------------------------------------------------------


def optional(column: Column) -> Column:
    """The same column where its rows may be missing."""
    if column.nullable:
        return column
    return Column(column.name, column.type, True, column.domain, column.id)


def sources(relation: Relation) -> tuple[Relation, ...]:
    """The relations that one is made from."""
    if isinstance(relation, (Scan, Values, Home, Stack)):
        return ()
    if isinstance(relation, (Join, SetOperation)):
        return (relation.left, relation.right)
    return (relation.source,)


def with_sources(relation: Relation, new: Sequence[Relation]) -> Relation:
    """The same relation made from others, which must have the columns that it reads."""
    if all(a is b for a, b in zip(sources(relation), new, strict=True)):
        return relation
    if isinstance(relation, (Join, SetOperation)):
        return replace(relation, left=new[0], right=new[1])
    assert not isinstance(relation, (Scan, Values, Home, Stack))
    return replace(relation, source=new[0])


def relations(*roots: Relation) -> list[Relation]:
    """All relations that some are made from, each once, sources first."""
    seen: set[int] = set()
    out: list[Relation] = []
    stack: list[tuple[Relation, bool]] = [(r, False) for r in reversed(roots)]
    while stack:
        item, done = stack.pop()
        if done:
            out.append(item)
        elif id(item) not in seen:
            seen.add(id(item))
            stack.append((item, True))
            stack.extend((s, False) for s in reversed(sources(item)))
    return out


def expressions(relation: Relation) -> Iterator[Expr]:
    """The expressions that a relation itself evaluates, on the columns of its sources."""
    if isinstance(relation, Filter):
        yield relation.predicate
    elif isinstance(relation, Project):
        yield from (e for _, e in relation.items)
    elif isinstance(relation, Join):
        if relation.condition is not None:
            yield relation.condition
    elif isinstance(relation, Group):
        yield from (e for _, e in relation.keys)
        for _, a in relation.aggregates:
            yield from a.args
            if a.where is not None:
                yield a.where
    elif isinstance(relation, Window):
        for _, w in relation.calls:
            yield from (*w.args, *w.partition, *(k.expr for k in w.order))
    elif isinstance(relation, Sort):
        yield from (k.expr for k in relation.keys)


def with_expressions(relation: Relation, change: Callable[[Expr], Expr]) -> Relation:
    """The same relation with each expression that `expressions` lists changed."""
    if isinstance(relation, Filter):
        return replace(relation, predicate=change(relation.predicate))
    if isinstance(relation, Project):
        return replace(relation, items=tuple((c, change(e)) for c, e in relation.items))
    if isinstance(relation, Join) and relation.condition is not None:
        return replace(relation, condition=change(relation.condition))
    if isinstance(relation, Group):
        aggregates = tuple(
            (c, replace(a, args=tuple(map(change, a.args)), where=None if a.where is None else change(a.where)))
            for c, a in relation.aggregates
        )
        return replace(relation, keys=tuple((c, change(e)) for c, e in relation.keys), aggregates=aggregates)
    if isinstance(relation, Window):
        calls = tuple(
            (
                c,
                replace(
                    w,
                    args=tuple(map(change, w.args)),
                    partition=tuple(map(change, w.partition)),
                    order=tuple(replace(k, expr=change(k.expr)) for k in w.order),
                ),
            )
            for c, w in relation.calls
        )
        return replace(relation, calls=calls)
    if isinstance(relation, Sort):
        return replace(relation, keys=tuple(replace(k, expr=change(k.expr)) for k in relation.keys))
    return relation


def substitute(expr: Expr, values: Mapping[Column, Expr]) -> Expr:
    """The expression with columns replaced by expressions."""
    if isinstance(expr, Ref):
        return values.get(expr.column, expr)
    if isinstance(expr, Call):
        args = tuple(substitute(a, values) for a in expr.args)
        return expr if all(a is b for a, b in zip(args, expr.args, strict=True)) else replace(expr, args=args)
    return expr


def references(expr: Expr) -> Iterator[Column]:
    """The columns that an expression reads."""
    if isinstance(expr, Ref):
        yield expr.column
    elif isinstance(expr, Call):
        for arg in expr.args:
            yield from references(arg)


def conjuncts(predicate: Expr | None) -> tuple[Expr, ...]:
    """The parts of a conjunction."""
    if predicate is None:
        return ()
    if isinstance(predicate, Call) and predicate.name == "and":
        return tuple(part for arg in predicate.args for part in conjuncts(arg))
    return (predicate,)


def conjunction(parts: tuple[Expr, ...]) -> Expr | None:
    """The conjunction of some predicates; None of none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return Call("and", parts, BOOLEAN, any(p.nullable for p in parts), Interval(0, 1))


def equi_keys(join: Join) -> tuple[tuple[tuple[Expr, Expr], ...], tuple[Expr, ...]]:
    """The pairs (left, right) that a join's condition asks to be equal, and the rest of its conjuncts."""
    left, right = set(join.left.columns), set(join.right.columns)
    pairs: list[tuple[Expr, Expr]] = []
    rest: list[Expr] = []
    for part in conjuncts(join.condition):
        if isinstance(part, Call) and part.name == "eq":
            a, b = part.args
            in_a, in_b = set(references(a)), set(references(b))
            if in_a and in_b and in_a <= left and in_b <= right:
                pairs.append((a, b))
                continue
            if in_a and in_b and in_a <= right and in_b <= left:
                pairs.append((b, a))
                continue
        rest.append(part)
    return tuple(pairs), tuple(rest)
