# SPDX-License-Identifier: Apache-2.0
"""Queries of the syntax tree to relations: names get their meaning, subqueries become joins.

A query is bound in the order in which SQL computes it: FROM, WHERE, groups, HAVING, windows, QUALIFY, SELECT, DISTINCT,
ORDER BY, LIMIT. Conditions stay where they are written; `rewrite` moves them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, compress, product
from typing import Any, Final

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql import functions
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
    Query,
    Ref,
    Relation,
    Scan,
    SetOperation,
    Sort,
    SortKey,
    Values,
    Window,
    WindowCall,
    conjunction,
    optional,
    references,
    sources,
)
from tacit.frontends.sql.bounds import rows_of
from tacit.frontends.sql.catalogue import Catalogue
from tacit.frontends.sql.decorrelate import Partner, expressions, unsupported
from tacit.frontends.sql.expressions import Binder, Item, Scope, fold, one_row
from tacit.frontends.sql.functions import cast, place, substitute
from tacit.frontends.sql.names import name_of
from tacit.frontends.sql.parse import parse, place_of
from tacit.frontends.sql.types import BIGINT
from tacit.plan import Interval


def bind(query: str | bytes | exp.Expr, catalogue: Catalogue) -> Query:
    """The meaning of a query over the tables of a catalogue.

    Raises `SqlError`: SQL-001 to SQL-009, each with its place in the text, see docs/errors.md.
    """
    if not isinstance(query, str | bytes | exp.Expr):
        raise SqlError("SQL-001", f"a {type(query).__name__} is no SQL", expected="a text, one SELECT statement")
    tree = parse(query) if isinstance(query, str | bytes) else query
    try:
        bound = _Queries(catalogue).query(tree, None, {})
    except RecursionError:
        raise SqlError(
            "SQL-007", "the query is nested too deeply", next="give parts of it names, WITH name AS (...)"
        ) from None
    _check_bounds(bound.relation)
    return Query(bound.relation, bound.names)


def _check_bounds(relation: Relation) -> None:
    """Refuse a query in which a value may not fit the ring."""
    seen: set[Relation] = set()
    todo = [relation]
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            for expr in expressions(node):
                functions.check(expr)
            todo.extend(sources(node))


@dataclass(frozen=True)
class Bound:
    """A relation and the names of its columns."""

    relation: Relation
    names: tuple[str, ...]


_Ctes = Mapping[str, Bound]

_KNOWN: Final = frozenset({
    "with_", "distinct", "expressions", "from_", "joins", "where", "group", "having", "qualify", "windows", "order",
    "limit", "offset", "kind", "hint", "this", "expression", "side", "alias", "columns",
})  # fmt: skip
"""The parts of a query that are understood; whatever else there is is refused."""
_SIDES: Final[Mapping[str, JoinKind]] = {"LEFT": "left", "RIGHT": "left", "FULL": "full"}


def _fresh(column: Column, name: str | None = None) -> Column:
    return Column(name or column.name, column.type, column.nullable, column.domain)


def _column(name: str, expr: Expr) -> Column:
    return Column(name, expr.type, expr.nullable, expr.domain)


def _check(node: exp.Expr, known: frozenset[str] = _KNOWN) -> None:
    for key, value in node.args.items():
        if value and key not in known:
            first = value[0] if isinstance(value, list) else value
            what = {"sample": "TABLESAMPLE", "laterals": "LATERAL", "by_name": "UNION BY NAME", "locks": "FOR UPDATE"}
            raise unsupported(what.get(key, key.strip("_").upper()), place_of(first) or place_of(node), "leave it out")


class _Queries:
    """Binds queries over one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def query(self, node: exp.Expr, outer: Scope | None, ctes: _Ctes) -> Bound:
        """Any query, with its WITH, ORDER BY and LIMIT."""
        ctes = self.with_(node, outer, ctes)
        if isinstance(node, exp.Select):
            return _Select(self, node, outer, ctes).bound()
        if isinstance(node, (exp.Subquery, exp.Paren)):
            _check(node)
            return self.ordered(node, self.query(node.this, outer, ctes))
        if isinstance(node, exp.SetOperation):
            _check(node, _KNOWN)
            return self.ordered(node, self.set_operation(node, outer, ctes))
        if isinstance(node, exp.Values):
            return self.values(node, outer)
        if isinstance(node, exp.Table):
            return _Select(self, exp.select("*").from_(node), outer, ctes).bound()
        raise unsupported(node.key.upper(), place_of(node), "write a SELECT")

    def with_(self, node: exp.Expr, outer: Scope | None, ctes: _Ctes) -> _Ctes:
        """The common table expressions that a query sees, each bound once."""
        clause = node.args.get("with_")
        if clause is None:
            return ctes
        found = dict(ctes)
        for cte in clause.expressions:
            name = cte.alias.lower()
            if clause.args.get("recursive") and any(
                t.name.lower() == name and not t.args.get("db") for t in cte.this.find_all(exp.Table)
            ):
                raise unsupported("WITH RECURSIVE", place_of(cte), "write each step as a query of its own")
            bound = self.query(cte.this, outer, found)
            found[name] = Bound(bound.relation, _renamed(bound.names, cte.args.get("alias"), cte))
        return found

    def ordered(self, node: exp.Expr, bound: Bound) -> Bound:
        """ORDER BY and LIMIT of a query in parentheses or of a set operation: by names and positions of columns."""
        relation = bound.relation
        scope = Scope([Item("", n, Ref(c)) for n, c in zip(bound.names, relation.columns, strict=True)])
        order = node.args.get("order")
        if order is not None:
            binder = Binder(_Plain(scope, rows_of(relation)), "ORDER BY of this query", subqueries=False)
            keys = []
            for item in order.expressions:
                if _is_all(item.this):
                    keys += [Binder.sort_key(item, Ref(c)) for c in relation.columns]
                    continue
                position = _position(item.this, len(relation.columns), "ORDER BY")
                expr = Ref(relation.columns[position]) if position is not None else binder.bind(item.this)
                keys.append(Binder.sort_key(item, expr))
            relation = Sort(relation, tuple(keys))
        return Bound(_limited(node, relation), bound.names)

    def set_operation(self, node: exp.SetOperation, outer: Scope | None, ctes: _Ctes) -> Bound:
        """UNION, INTERSECT and EXCEPT."""
        at = place_of(node)
        left, right = self.query(node.this, outer, ctes), self.query(node.expression, outer, ctes)
        a, b = left.relation.columns, right.relation.columns
        word = node.key.upper()
        if len(a) != len(b):
            raise SqlError(
                "SQL-005", f"{word}{place(at)} has {len(a)} columns on one side and {len(b)} on the other",
                expected="as many on both",
            )  # fmt: skip
        kinds = []
        for x, y in zip(a, b, strict=True):
            kind = functions.common_type(x.type, y.type)
            if kind is None:
                raise functions.mismatch(word, (Ref(x), Ref(y)), at)
            kinds.append(kind)
        sides = [
            _cast_all(side.relation, [cast(Ref(c), k, at) for c, k in zip(side.relation.columns, kinds, strict=True)])
            for side in (left, right)
        ]
        columns = []
        for x, y in zip(sides[0].columns, sides[1].columns, strict=True):
            nullable = x.nullable if word == "EXCEPT" else x.nullable or y.nullable
            columns.append(Column(x.name, x.type, nullable, _hull(x, y) if word == "UNION" else x.domain))
        kind_name: Any = word.lower()
        every = node.args.get("distinct") is False
        return Bound(SetOperation(kind_name, every, sides[0], sides[1], tuple(columns)), left.names)

    def values(self, node: exp.Values, outer: Scope | None) -> Bound:
        """Rows of constants: VALUES."""
        binder = Binder(_Plain(Scope([], outer), 1), "VALUES", subqueries=False)
        rows = [
            [fold(binder.bind(e)) for e in (row.expressions if isinstance(row, exp.Tuple) else [row])]
            for row in node.expressions
        ]
        if len({len(row) for row in rows}) != 1:
            raise SqlError("SQL-005", f"the rows of VALUES{place(place_of(node))} differ in length")
        columns, table = [], []
        for k, cells in enumerate(zip(*rows, strict=True)):
            alike = [fold(c) for c in functions.alike(cells, "VALUES", place_of(node))]
            if not all(isinstance(c, Constant) for c in alike):
                raise unsupported("an expression in VALUES", place_of(node), "write constants")
            known = [c.domain for c in alike if not c.nullable]
            domain = Interval(min(d.lo for d in known), max(d.hi for d in known)) if known else Interval(0, 0)
            columns.append(Column(f"col{k}", alike[0].type, any(c.nullable for c in alike), domain))
            table.append([c for c in alike if isinstance(c, Constant)])
        relation = Values(tuple(columns), tuple(zip(*table, strict=True)))
        names = tuple(c.name for c in columns)
        return Bound(relation, _renamed(names, node.args.get("alias"), node))

    # --- FROM ---

    def source(self, node: exp.Expr, outer: Scope | None, ctes: _Ctes) -> tuple[Relation, list[Item]]:
        """A table, subquery or VALUES of FROM, with the joins that belong to it."""
        if isinstance(node, exp.Table):
            relation, items = self.table(node, ctes)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            relation, items = self.source(node.this, outer, ctes)
            if node.alias:
                names = _renamed(tuple(i.name for i in items if not i.hidden), node.args.get("alias"), node)
                visible = [i for i in items if not i.hidden]
                items = [Item(node.alias, n, i.expr) for n, i in zip(names, visible, strict=True)]
        elif isinstance(node, exp.Subquery):
            _check(node, _KNOWN)
            bound = self.query(node, outer, ctes)
            names = _renamed(_distinct_names(bound.names), node.args.get("alias"), node)
            relation = bound.relation
            items = [Item(node.alias, n, Ref(c)) for n, c in zip(names, relation.columns, strict=True)]
        elif isinstance(node, exp.Values):
            bound = self.values(node, outer)
            relation = bound.relation
            items = [Item(node.alias, n, Ref(c)) for n, c in zip(bound.names, relation.columns, strict=True)]
        else:
            raise unsupported(f"{node.key.upper()} in FROM", place_of(node), "use a table, a subquery or VALUES")
        for join in node.args.get("joins") or ():
            relation, items = self.join(relation, items, join, outer, ctes)
        return relation, items

    def joined(
        self, node: exp.Expr, joins: Sequence[exp.Join], outer: Scope | None, ctes: _Ctes
    ) -> tuple[Relation, list[Item]]:
        """FROM: a comma binds less than a join, which matters only where a join keeps or drops rows of one side."""
        starts = [k for k, j in enumerate(joins) if _is_comma(j)]
        for start in reversed(starts):
            if any(j.args.get("side") or j.args.get("kind") in ("SEMI", "ANTI") for j in joins[start + 1 :]):
                left, items = self.joined(node, joins[:start], outer, ctes)
                right, right_items = self.joined(joins[start].this, joins[start + 1 :], outer, ctes)
                _check_owners(items, right_items, place_of(joins[start]))
                return Join("inner", left, right, None), [*items, *right_items]
        relation, items = self.source(node, outer, ctes)
        for join in joins:
            relation, items = self.join(relation, items, join, outer, ctes)
        return relation, items

    def table(self, node: exp.Table, ctes: _Ctes) -> tuple[Relation, list[Item]]:
        """A table of the catalogue or a common table expression, each time with columns of its own."""
        _check(node, frozenset(["this", "alias", "joins", "db", "catalog"]))
        at = place_of(node)
        if not isinstance(node.this, exp.Identifier):
            raise unsupported(
                f"{node.this.key.upper()} in FROM", at, "register the file as a table, session.table(...)"
            )
        name = node.name
        alias = node.alias or name
        cte = ctes.get(name.lower()) if not node.args.get("db") else None
        if cte is not None:
            columns = tuple(_fresh(c) for c in cte.relation.columns)
            pairs = zip(columns, cte.relation.columns, strict=True)
            relation: Relation = Project(cte.relation, tuple((new, Ref(old)) for new, old in pairs))
            names = _distinct_names(cte.names)
        else:
            full = ".".join(p.name for p in node.parts)
            table = self.catalogue.find(full)
            if table is None:
                raise self.no_table(full, at, ctes)
            columns = tuple(Column(f.name, f.type, f.nullable, f.domain) for f in table.fields)
            names = tuple(f.name for f in table.fields)
            relation = Scan(table, names, columns)
        names = _renamed(names, node.args.get("alias"), node)
        return relation, [Item(alias, n, Ref(c)) for n, c in zip(names, columns, strict=True)]

    def no_table(self, name: str, at: At, ctes: _Ctes) -> SqlError:
        """The error that there is no such table."""
        from difflib import get_close_matches

        known = [t.name for t in self.catalogue.tables.values()] + list(ctes)
        near = get_close_matches(name.lower(), [k.lower() for k in known], 3)
        return SqlError(
            "SQL-002", f"there is no table {name!r}{place(at)}",
            expected=f"one of {', '.join(known[:20])}" if known else "a table of this session",
            next=f"did you mean {' or '.join(near)}?" if near else "register it with session.table(...)",
        )  # fmt: skip

    def join(
        self, left: Relation, items: list[Item], node: exp.Join, outer: Scope | None, ctes: _Ctes
    ) -> tuple[Relation, list[Item]]:
        """One more table of FROM."""
        _check(node, frozenset(["this", "side", "kind", "on", "using", "method", "hint", "joins", "global_"]))
        at = place_of(node)
        right, right_items = self.source(node.this, outer, ctes)
        _check_owners(items, right_items, at)
        method, side, word = (str(node.args.get(k) or "").upper() for k in ("method", "side", "kind"))
        if method not in ("", "NATURAL") or word not in ("", "INNER", "OUTER", "CROSS", "SEMI", "ANTI"):
            raise unsupported(f"{method or word} JOIN", at, "use INNER, LEFT, RIGHT, FULL, CROSS, SEMI or ANTI JOIN")
        shared = [n.name for n in node.args.get("using") or ()]
        if method == "NATURAL":
            names = {i.name.lower() for i in right_items if not i.hidden}
            shared = [i.name for i in items if not i.hidden and i.name.lower() in names]
            if not shared:
                raise SqlError("SQL-005", f"NATURAL JOIN{place(at)} finds no column that both sides have")
        both = Scope([*items, *right_items], outer)
        parts: list[Expr] = []
        merged: list[tuple[str, Expr, Expr]] = []
        for name in shared:
            a = Scope(items).find(name, "", at)
            b = Scope(right_items).find(name, "", at)
            if a is None or b is None:
                raise SqlError("SQL-003", f"there is no column {name!r} on one side of USING{place(at)}")
            parts.append(fold(functions.apply("eq", (a, b), at=at)))
            merged.append((name, a, b))
        on = node.args.get("on")
        later = _On(self, both, ctes, left, right)
        if on is not None:
            parts += later.conditions(on, outer_join=bool(side) or word in ("SEMI", "ANTI"))
            left, right = later.left, later.right
        elif not shared and word != "CROSS" and (side or word in ("SEMI", "ANTI", "INNER")):
            raise SqlError("SQL-001", f"{side or word} JOIN{place(at)} has no condition", expected="ON or USING")
        condition = conjunction(tuple(parts))
        if word in ("SEMI", "ANTI"):
            return Join("semi" if word == "SEMI" else "anti", left, right, condition, at=at), items
        kind = _SIDES.get(side, "inner")
        if side in ("RIGHT", "FULL"):
            items = _nullable(items, left)
        if side in ("LEFT", "FULL"):
            right_items = _nullable(right_items, right)
        first, second = (right, left) if side == "RIGHT" else (left, right)
        relation = later.finished(Join(kind, first, second, condition, at=at))
        return relation, _merged(items, right_items, shared, side, at)


def _is_comma(node: exp.Join) -> bool:
    return not any(node.args.get(k) for k in ("side", "kind", "on", "using", "method"))


def _check_owners(items: list[Item], more: list[Item], at: At) -> None:
    owners = {i.table.lower() for i in items if i.table}
    twice = next((i.table for i in more if i.table.lower() in owners), None)
    if twice:
        raise SqlError(
            "SQL-004", f"two tables are called {twice!r}{place(at)}", expected="a different alias for each",
            next=f"write {twice} AS another_name",
        )  # fmt: skip


def _nullable(items: list[Item], relation: Relation) -> list[Item]:
    """The items where rows of their side may be missing."""
    values: dict[Column, Expr] = {c: Ref(optional(c)) for c in relation.columns}
    return [replace(i, expr=substitute(i.expr, values)) for i in items]


def _merged(items: list[Item], right: list[Item], shared: list[str], side: str, at: At) -> list[Item]:
    """The names after a join; those of USING stand for one column, which has the value of the side that is there."""
    names = {n.lower() for n in shared}
    partners = {i.name.lower(): i.expr for i in right if not i.hidden}
    out: list[Item] = []
    for item in items:
        low = item.name.lower()
        if item.hidden or low not in names:
            out.append(item)
            continue
        mine, other = item.expr, partners[low]
        if side == "RIGHT":
            value = other
        elif side == "FULL":
            value = functions.apply("coalesce", (mine, other), at=at)
        else:
            value = mine
        out += [Item("", item.name, value, merged=True), replace(item, hidden=True, merged=False)]
    return out + [replace(i, hidden=True) if i.name.lower() in names and not i.hidden else i for i in right]


class _Plain:
    """What expressions have around them outside of a SELECT: no groups, no windows."""

    keyed = False

    def __init__(self, scope: Scope, rows: int) -> None:
        self.scope = scope
        self.rows = rows
        self.subqueries: dict[exp.Expr, Expr] = {}
        self.inner_subqueries = self.subqueries

    def subquery(self, node: exp.Expr) -> Relation:
        raise unsupported("a subquery here", place_of(node), "move it to WHERE")

    def attach(self, partner: Partner) -> None:
        raise AssertionError

    def aggregate(self, made: Aggregate, name: str) -> Expr:
        raise AssertionError

    def window(self, made: WindowCall, name: str) -> Expr:
        raise AssertionError

    def grouping(self, keys: Sequence[Expr], at: At) -> Expr:
        raise unsupported("GROUPING here", at, "use it in SELECT")

    def named_window(self, name: str, at: At) -> exp.Window:
        raise AssertionError


class _On(_Plain):
    """The condition of a join: its subqueries are joined to the side that they read, before the join; what reads both
    sides of an inner join, after it.
    """

    def __init__(self, queries: _Queries, scope: Scope, ctes: _Ctes, left: Relation, right: Relation) -> None:
        super().__init__(scope, rows_of(left) * rows_of(right))
        self.queries = queries
        self.ctes = ctes
        self.left = left
        self.right = right
        self.after: list[Partner] = []
        self.filters: list[Expr] = []

    def subquery(self, node: exp.Expr) -> Relation:
        return self.queries.query(node, self.scope, self.ctes).relation

    def conditions(self, node: exp.Expr, *, outer_join: bool) -> list[Expr]:
        """The conjuncts that the join itself tests."""
        parts = node.unnest().flatten() if isinstance(node.unnest(), exp.And) else [node]
        out: list[Expr] = []
        for part in parts:
            binder = Binder(self, "ON")
            condition = binder.predicate(part)
            for partner in binder.partners:
                self.place(partner, outer_join, place_of(part))
            joined = {c for p in self.after for c in references(p.value)}
            (out if joined.isdisjoint(references(condition)) else self.filters).append(condition)
        return out

    def place(self, partner: Partner, outer_join: bool, at: At) -> None:
        """Join a subquery to the side that it reads."""
        read = partner.reads()
        if read.isdisjoint(self.right.columns):
            self.left = partner.join(self.left)
        elif read.isdisjoint(self.left.columns):
            self.right = partner.join(self.right)
        elif not outer_join:
            self.after.append(partner)
        else:
            raise unsupported("a subquery in ON of an outer join that reads both sides", at, "use an inner join")

    def finished(self, relation: Relation) -> Relation:
        """The join with what comes after it."""
        for partner in self.after:
            relation = partner.join(relation)
        predicate = conjunction(tuple(self.filters))
        return relation if predicate is None else Filter(relation, predicate)


class _Select:
    """One SELECT."""

    def __init__(self, queries: _Queries, node: exp.Select, outer: Scope | None, ctes: _Ctes) -> None:
        self.queries = queries
        self.node = node
        self.ctes = ctes
        self.outer = outer
        self.relation: Relation = Values((), ((),))
        self.scope = Scope([], outer)
        self.rows = 1
        self.keyed = False
        self.aggregates: dict[Aggregate, Column] = {}
        self.windows: dict[WindowCall, Column] = {}
        self.groupings: dict[tuple[Expr, ...], Column] = {}
        self.subqueries: dict[exp.Expr, Expr] = {}
        """The values of subqueries that are bound already."""
        self.inner_subqueries: dict[exp.Expr, Expr] = {}
        """Those inside aggregates, which belong to rows."""
        self.own: set[Column] = set()
        """Columns that were made after the groups: aggregates, windows, marks and subqueries."""
        self.grouped: dict[Expr, Column] | None = None
        """What stands for the expressions of GROUP BY once rows are grouped."""

    # --- what expressions ask of their block ---

    def subquery(self, node: exp.Expr) -> Relation:
        return self.queries.query(node, self.scope, self.ctes).relation

    def aggregate(self, made: Aggregate, name: str) -> Expr:
        if made not in self.aggregates:
            self.aggregates[made] = Column(name, made.type, made.nullable, made.domain)
        return Ref(self.aggregates[made])

    def window(self, made: WindowCall, name: str) -> Expr:
        if made not in self.windows:
            self.windows[made] = Column(name, made.type, made.nullable, made.domain)
        return Ref(self.windows[made])

    def grouping(self, keys: Sequence[Expr], at: At) -> Expr:
        column = Column("grouping", BIGINT, False, Interval(0, (1 << len(keys)) - 1))
        return Ref(self.groupings.setdefault(tuple(keys), column))

    def named_window(self, name: str, at: At) -> exp.Window:
        for window in self.node.args.get("windows") or ():
            if window.name.lower() == name.lower():
                found: exp.Window = window
                return found
        raise SqlError("SQL-003", f"there is no window {name!r}{place(at)}", expected="WINDOW name AS (...)")

    # --- the clauses in order ---

    def bound(self) -> Bound:
        """The relation of the whole SELECT."""
        node = self.node
        _check(node)
        if not node.expressions:
            raise SqlError("SQL-001", f"SELECT{place(place_of(node))} names no columns", expected="columns or *")
        self.from_()
        where = node.args.get("where")
        if where is not None:
            self.where(where.this)
        items = self.items()
        aliases = {n.alias.lower(): n.this for n, _ in items if isinstance(n, exp.Alias)}
        sets = self.group_keys(items, aliases)
        bind = partial(Binder, self, aggregates=True, windows=True)
        later: list[Partner] = []
        values: list[tuple[str, Expr]] = []
        for item, expr in items:
            if expr is None:
                inner = item.this if isinstance(item, exp.Alias) else item
                expr = bind("SELECT", aliases=_before(aliases, item), partners=later).bind(inner)
            values.append((self.name(item), expr))
        qualify = node.args.get("qualify")
        chosen = bind("QUALIFY", aliases=aliases, partners=later).predicate(qualify.this) if qualify else None
        make = partial(bind, "ORDER BY", aliases=aliases, partners=later)
        order = self.order(values, make)
        firsts = self.first_of_each(values, order, make)
        having = node.args.get("having")
        # HAVING alone makes one group of all rows.
        conditions = self.split(having.this, partial(bind, "HAVING", windows=False, aliases=aliases)) if having else []
        if node.args.get("group") and node.args["group"].args.get("all"):
            keys = [e for _, e in values if not self.computed(e)]
            # Nothing of a row to group by, and nothing to compute of a group: rows stay.
            sets = [keys] if self.aggregates or any(True for e in keys for _ in references(e)) else None
        if sets is not None or self.aggregates or having:
            self.group(sets if sets is not None else [[]])
        named = {c for p in later for c in references(p.value)}
        if any(c is not None and named & set(references(c)) for _, c in conditions):
            # HAVING reads a subquery of SELECT by its alias.
            conditions = [(later, None), *conditions]
            later = []
        for partners, condition in [*conditions, (later, None)]:
            self.apply(partners, condition)
        values = [(n, self.over(e)) for n, e in values]
        if self.windows:
            calls = tuple((c, self.over_window(w)) for w, c in self.windows.items())
            self.relation = Window(self.relation, calls)
        for condition in (chosen, firsts):
            if condition is not None:
                self.relation = Filter(self.relation, self.over(condition))
        return self.finish(values, [replace(k, expr=self.over(k.expr)) for k in order])

    def from_(self) -> None:
        """FROM and its joins, in the order written."""
        clause = self.node.args.get("from_")
        joins = self.node.args.get("joins") or ()
        if clause is not None:
            self.relation, items = self.queries.joined(clause.this, joins, self.outer, self.ctes)
            self.scope = Scope(items, self.outer)
        self.rows = rows_of(self.relation)

    def where(self, node: exp.Expr) -> None:
        """WHERE: what needs no subquery first, in one filter."""
        aliases = {n.alias.lower(): n.this for n in self.node.expressions if isinstance(n, exp.Alias)}
        parts = self.split(node, lambda **more: Binder(self, "WHERE", aliases=aliases, **more))
        plain = conjunction(tuple(c for partners, c in parts if c is not None and not partners))
        if plain is not None:
            self.relation = Filter(self.relation, plain)
        for partners, condition in parts:
            if partners:
                self.apply(partners, condition)
        self.rows = rows_of(self.relation)
        # What WHERE computed for each row is not there any more once rows are grouped.
        self.subqueries.clear()

    def split(self, node: exp.Expr, make: Callable[..., Binder]) -> list[tuple[list[Partner], Expr | None]]:
        """The conjuncts of a condition, each with the joins that it needs; EXISTS and IN are joins alone."""
        node = node.unnest()
        parts = list(node.flatten()) if isinstance(node, exp.And) else [node]
        out: list[tuple[list[Partner], Expr | None]] = []
        for part in parts:
            part = part.unnest()
            if isinstance(part, exp.And):
                out += self.split(part, make)
                continue
            binder = make(partners=[])
            found = self.conjunct(part, binder)
            if found is None:
                condition = binder.predicate(part)
                out.append((binder.partners, condition))
            else:
                out.append(([*binder.partners, found], None))
        return out

    def conjunct(self, node: exp.Expr, binder: Binder) -> Partner | None:
        """A semi or anti join for EXISTS or IN that is a condition of its own."""
        positive = True
        while isinstance(node, (exp.Not, exp.Paren)):
            positive ^= isinstance(node, exp.Not)
            node = node.this
        at = place_of(node)
        if isinstance(node, exp.Exists):
            return binder.existence(node, "semi" if positive else "anti")
        if isinstance(node, exp.In) and node.args.get("query") is not None and not one_row(node.args["query"]):
            return binder.membership(node.this, node.args["query"], at, "semi" if positive else "anti")
        if isinstance(node, exp.EQ) and isinstance(node.expression, exp.Any):
            return binder.membership(node.this, node.expression.this, at, "semi" if positive else "anti")
        if isinstance(node, exp.NEQ) and isinstance(node.expression, exp.All):
            return binder.membership(node.this, node.expression.this, at, "anti" if positive else "semi")
        return None

    def apply(self, partners: list[Partner], condition: Expr | None) -> None:
        """Attach joins, then filter."""
        for partner in partners:
            self.attach(partner)
        if condition is not None:
            self.relation = Filter(self.relation, self.over(condition))

    def attach(self, partner: Partner) -> None:
        """Make a subquery's join with the rows at hand."""
        if partner.condition is not None:
            known = set(partner.right.columns)
            partner = replace(partner, condition=self.over(partner.condition, known))
        partner = replace(partner, domain=tuple((self.over(e), c) for e, c in partner.domain))
        join = partner.join(self.relation)
        self.own.update(join.columns)
        self.relation = join

    def items(self) -> list[tuple[exp.Expr, Expr | None]]:
        """The items of SELECT, with * written out."""
        out: list[tuple[exp.Expr, Expr | None]] = []
        for node in self.node.expressions:
            star = node if isinstance(node, exp.Star) else node.this if isinstance(node, exp.Column) else None
            if not isinstance(star, exp.Star):
                out.append((node, None))
                continue
            table = node.table if isinstance(node, exp.Column) else ""
            out += self.star(star, table, place_of(node))
        return out

    def name(self, node: exp.Expr) -> str:
        """The name of an item: of a column the one that its table gives it, however it is spelled here."""
        if isinstance(node, exp.Column):
            owner, low = node.table.lower(), node.name.lower()
            for item in self.scope.items:
                if item.name.lower() == low and (item.table.lower() == owner or not owner):
                    return item.name
        return name_of(node)

    def star(self, star: exp.Star, table: str, at: At) -> list[tuple[exp.Expr, Expr | None]]:
        """The columns that * or t.* stands for."""
        found = [i for i in self.scope.items if (i.table.lower() == table.lower() if table else not i.hidden)]
        if table and not found:
            raise SqlError("SQL-002", f"there is no table {table!r}{place(at)}", expected="a table of FROM")
        if not self.scope.items:
            raise SqlError("SQL-005", f"*{place(at)} has no table", expected="a FROM clause")
        left_out = {e.name.lower() for e in star.args.get("except_") or star.args.get("except") or ()}
        replaced = {e.alias.lower(): e.this for e in star.args.get("replace") or ()}
        renamed = {e.this.name.lower(): e.alias for e in star.args.get("rename") or ()}
        known = {i.name.lower() for i in found}
        for name in (*left_out, *replaced, *renamed):
            if name not in known:
                raise SqlError("SQL-003", f"*{place(at)} has no column {name!r}", expected=", ".join(sorted(known)))
        out: list[tuple[exp.Expr, Expr | None]] = []
        for item in found:
            low = item.name.lower()
            if low in left_out:
                continue
            shown = renamed.get(low, item.name)
            label = exp.alias_(exp.column(item.name, quoted=True), shown, quoted=True)
            if low in replaced:
                out.append((exp.alias_(replaced[low], item.name, quoted=True), None))
            else:
                out.append((label, item.expr))
        return out

    # --- groups ---

    def group_keys(
        self, items: list[tuple[exp.Expr, Expr | None]], aliases: Mapping[str, exp.Expr]
    ) -> list[list[Expr]] | None:
        """The grouping sets; None without GROUP BY, and for GROUP BY ALL, which needs the items first."""
        clause = self.node.args.get("group")
        if clause is None or clause.args.get("all"):
            return None
        _check(clause, frozenset(["expressions"]))

        def key(node: exp.Expr) -> Expr:
            position = _position(node, len(items), "GROUP BY")
            if position is not None:
                item, expr = items[position]
                if expr is not None:
                    return expr
                node = item.this if isinstance(item, exp.Alias) else item
            partners: list[Partner] = []
            made = Binder(self, "GROUP BY", aliases=aliases, partners=partners).bind(node)
            for partner in partners:
                self.attach(partner)
            return made

        def sets(node: exp.Expr) -> list[list[Expr]]:
            parts = node.expressions
            if isinstance(node, exp.Rollup):
                units = [unit(p) for p in parts]
                return [list(chain(*units[:k])) for k in range(len(units), -1, -1)]
            if isinstance(node, exp.Cube):
                units = [unit(p) for p in parts]
                chosen = product((True, False), repeat=len(units))
                return [list(chain(*compress(units, choice))) for choice in chosen]
            if isinstance(node, exp.GroupingSets):
                return [s for p in parts for s in sets(p)]
            return [unit(node)]

        def unit(node: exp.Expr) -> list[Expr]:
            node = node.unnest() if isinstance(node, exp.Paren) else node
            return [key(n) for n in node.expressions] if isinstance(node, exp.Tuple) else [key(node)]

        combined = [list(dict.fromkeys(chain(*choice))) for choice in product(*(sets(n) for n in clause.expressions))]
        if len(combined) > 64:
            raise unsupported(f"{len(combined)} grouping sets", place_of(clause), "name at most 64 in GROUPING SETS")
        self.keyed = all(combined)
        return combined

    def computed(self, expr: Expr) -> bool:
        """Whether an expression holds an aggregate or window function."""
        own = {*self.aggregates.values(), *self.windows.values(), *self.groupings.values()}
        return not own.isdisjoint(references(expr))

    def group(self, sets: list[list[Expr]]) -> None:
        """Group the rows, once for each set of keys."""
        keys = list(dict.fromkeys(e for s in sets for e in s))
        calls = [(c, a) for a, c in self.aggregates.items()]
        self.own = {*self.aggregates.values(), *self.windows.values(), *self.groupings.values()}
        if len(sets) == 1:
            columns = {e: e.column if isinstance(e, Ref) else _column("key", e) for e in keys}
            self.relation = Group(self.relation, tuple((c, e) for e, c in columns.items()), tuple(calls))
            zeros = tuple((c, Constant(0, BIGINT)) for c in self.groupings.values())
            if zeros:
                passed = tuple((c, Ref(c)) for c in self.relation.columns)
                self.relation = Project(self.relation, (*passed, *zeros))
            self.grouped = columns
            return
        made = [self.grouping_set(keys, chosen) for chosen in sets]
        relation = made[0]
        outputs = [optional(_column("key", e)) for e in keys]
        outputs += [*(c for c, _ in calls), *self.groupings.values()]
        for k, part in enumerate(made[1:]):
            last = k == len(made) - 2
            columns_ = outputs if last else [_fresh(c) for c in outputs]
            relation = SetOperation("union", True, relation, part, tuple(columns_))
        self.relation = relation
        self.grouped = dict(zip(keys, outputs, strict=False))

    def grouping_set(self, keys: list[Expr], chosen: list[Expr]) -> Relation:
        """The groups by some of the keys, NULL for the others."""
        columns = {e: _column("key", e) for e in chosen}
        calls = tuple((_fresh(c), a) for a, c in self.aggregates.items())
        group = Group(self.relation, tuple((c, e) for e, c in columns.items()), calls)
        items: list[tuple[Column, Expr]] = []
        for e in keys:
            value: Expr = Ref(columns[e]) if e in columns else Constant(None, e.type)
            items.append((columns[e] if e in columns else optional(_column("key", e)), value))
        items += [(c, Ref(c)) for c, _ in calls]
        for wanted in self.groupings:
            bits = sum((e not in columns) << k for k, e in enumerate(reversed(wanted)))
            number = Constant(bits, BIGINT)
            items.append((_column("grouping", number), number))
        return Project(group, tuple(items))

    def over(self, expr: Expr, known: set[Column] | None = None) -> Expr:
        """An expression over the groups, where there are groups: keys by their columns."""
        if self.grouped is None:
            return expr
        if expr in self.grouped:
            return Ref(self.grouped[expr])
        if isinstance(expr, Ref):
            inside = expr.column in self._before_groups()
            if not inside or expr.column in self.own or (known and expr.column in known):
                return expr
            raise SqlError(
                "SQL-005", f"column {expr.column.name!r} is neither grouped nor aggregated",
                expected="a column of GROUP BY, or an aggregate",
                next=f"add it to GROUP BY, or write ANY_VALUE({expr.column.name})",
            )  # fmt: skip
        if isinstance(expr, Constant):
            return expr
        args = [self.over(a, known) for a in expr.args]
        return functions.with_args(expr, args) if args != list(expr.args) else expr

    def _before_groups(self) -> set[Column]:
        return {c for i in self.scope.items for c in references(i.expr)}

    def over_window(self, call: WindowCall) -> WindowCall:
        """A window function over the groups."""
        if self.grouped is None:
            return call
        return replace(
            call,
            args=tuple(self.over(a) for a in call.args),
            partition=tuple(self.over(p) for p in call.partition),
            order=tuple(replace(k, expr=self.over(k.expr)) for k in call.order),
        )

    # --- SELECT, DISTINCT, ORDER BY, LIMIT ---

    def first_of_each(
        self, values: list[tuple[str, Expr]], order: list[SortKey], make: Callable[[], Binder]
    ) -> Expr | None:
        """DISTINCT ON as a condition: the first row, in the query's order, for each combination of some values."""
        clause = self.node.args.get("distinct")
        on = clause.args.get("on") if clause is not None else None
        if on is None:
            return None
        if self.node.args.get("qualify"):
            raise unsupported("DISTINCT ON with QUALIFY", place_of(clause), "put one of them into a subquery")
        nodes = on.expressions if isinstance(on, exp.Tuple) else [on]
        places = [_position(n, len(values), "DISTINCT ON") for n in nodes]
        keys = [make().bind(n) if p is None else values[p][1] for n, p in zip(nodes, places, strict=True)]
        number = self.window(functions.window("row_number", [], self.rows, partition=keys, order=order), "row_number")
        return functions.apply("eq", (number, Constant(1, BIGINT)))

    def order(self, values: list[tuple[str, Expr]], make: Callable[[], Binder]) -> list[SortKey]:
        """The keys of ORDER BY: positions and names of items first, then expressions."""
        clause = self.node.args.get("order")
        if clause is None:
            return []
        named: dict[str, Expr] = {}
        for node, (name, expr) in zip(self.items(), values, strict=True):
            if isinstance(node[0], exp.Alias):
                named.setdefault(name.lower(), expr)
        keys: list[SortKey] = []
        for item in clause.expressions:
            inner = item.this
            if _is_all(inner):
                keys += [Binder.sort_key(item, e) for _, e in values]
                continue
            position = _position(inner, len(values), "ORDER BY")
            if position is not None:
                expr = values[position][1]
            elif isinstance(inner, exp.Column) and not inner.table and inner.name.lower() in named:
                expr = named[inner.name.lower()]
            else:
                expr = make().bind(inner)
            keys.append(Binder.sort_key(item, expr))
        return keys

    def finish(self, values: list[tuple[str, Expr]], order: list[SortKey]) -> Bound:
        """The items as columns, without duplicates and in order if that is asked for."""
        outputs: list[tuple[Column, Expr]] = []
        seen: set[Column] = set()
        for name, expr in values:
            column = expr.column if isinstance(expr, Ref) and expr.column not in seen else _column(name, expr)
            seen.add(column)
            outputs.append((column, expr))
        by_expr = {e: c for c, e in reversed(outputs)}
        hidden: list[tuple[Column, Expr]] = []
        keys: list[SortKey] = []
        for key in order:
            if isinstance(key.expr, Constant):
                continue
            if key.expr not in by_expr:
                by_expr[key.expr] = key.expr.column if isinstance(key.expr, Ref) else _column("key", key.expr)
                hidden.append((by_expr[key.expr], key.expr))
            keys.append(replace(key, expr=Ref(by_expr[key.expr])))
        distinct = self.node.args.get("distinct")
        every = distinct is None or distinct.args.get("on") is not None
        relation: Relation = Project(self.relation, (*outputs, *(hidden if every else ())))
        if not every:
            relation = Distinct(relation)
            if hidden:
                shown = {e: c for c, e in outputs}
                passed = tuple((c, Ref(c)) for c, _ in outputs)
                relation = Project(relation, (*passed, *((c, self.shown(e, shown)) for c, e in hidden)))
        if keys:
            relation = Sort(relation, tuple(keys))
        relation = _limited(self.node, relation)
        if hidden:
            relation = Project(relation, tuple((c, Ref(c)) for c, _ in outputs))
        return Bound(relation, tuple(n for n, _ in values))

    def shown(self, expr: Expr, columns: Mapping[Expr, Column]) -> Expr:
        """An expression of what SELECT DISTINCT shows."""
        if expr in columns:
            return Ref(columns[expr])
        if isinstance(expr, Ref):
            raise unsupported(
                "ORDER BY what SELECT DISTINCT does not show", place_of(self.node.args["order"]), "add it to SELECT"
            )
        return (
            functions.with_args(expr, [self.shown(a, columns) for a in expr.args]) if isinstance(expr, Call) else expr
        )


def _before(aliases: Mapping[str, exp.Expr], item: exp.Expr) -> Mapping[str, exp.Expr]:
    """The aliases of the items before one."""
    out: dict[str, exp.Expr] = {}
    for name, node in aliases.items():
        if isinstance(item, exp.Alias) and node is item.this:
            break
        out[name] = node
    return out


def _is_all(node: exp.Expr) -> bool:
    return isinstance(node, exp.Var) and node.name.upper() == "ALL"


def _position(node: exp.Expr, count: int, clause: str) -> int | None:
    """The index that a whole number in GROUP BY or ORDER BY means."""
    if not isinstance(node, exp.Literal) or node.is_string or not node.name.isdigit():
        return None
    number = int(node.name)
    if not 1 <= number <= count:
        raise SqlError(
            "SQL-003", f"{clause} {number}{place(place_of(node))} is no column", expected=f"a number from 1 to {count}"
        )
    return number - 1


def _limited(node: exp.Expr, relation: Relation) -> Relation:
    limit, offset = node.args.get("limit"), node.args.get("offset")
    if isinstance(limit, exp.Fetch):
        if limit.args.get("limit_options") is not None and limit.args["limit_options"].args.get("with_ties"):
            raise unsupported("FETCH WITH TIES", place_of(limit), "use QUALIFY RANK() OVER (ORDER BY ...) <= n")
        size = _count(limit.args.get("count"), "FETCH")
    else:
        options = limit.args.get("limit_options") if limit is not None else None
        if options is not None and options.args.get("percent"):
            raise unsupported("LIMIT in percent", place_of(limit), "write a number of rows")
        expression = limit.expression if limit is not None else None
        size = None if expression is None or _is_all(expression) else _count(expression, "LIMIT")
    skip = _count(offset.expression, "OFFSET") if offset is not None else 0
    return relation if size is None and not skip else Limit(relation, size, skip or 0)


def _count(node: exp.Expr | None, clause: str) -> int | None:
    """A constant number of rows; NULL is none."""
    if node is None:
        return None
    made = fold(Binder(_Plain(Scope([]), 1), clause, subqueries=False).bind(node))
    if isinstance(made, Constant) and made.raw is None:
        return None
    if not isinstance(made, Constant) or made.type.kind != "int" or not isinstance(made.raw, int) or made.raw < 0:
        raise unsupported(f"{clause} by other than a constant", place_of(node), "write a number of rows")
    return made.raw


def _renamed(names: tuple[str, ...], alias: Any, node: exp.Expr) -> tuple[str, ...]:
    """The names after an alias with a list of columns."""
    columns = [c.name for c in (alias.args.get("columns") or ())] if isinstance(alias, exp.TableAlias) else []
    if len(columns) > len(names):
        raise SqlError(
            "SQL-005", f"{len(columns)} names are given to {len(names)} columns{place(place_of(node))}",
            expected="at most as many names as columns",
        )  # fmt: skip
    return (*columns, *names[len(columns) :])


def _distinct_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names by which a query's columns can be used around it: DuckDB numbers those that repeat."""
    counts: dict[str, int] = {}
    out: list[str] = []
    for name in names:
        n = counts.get(name.lower(), 0)
        counts[name.lower()] = n + 1
        out.append(f"{name}_{n}" if n else name)
    return tuple(out)


def _cast_all(relation: Relation, values: list[Expr]) -> Relation:
    """The relation with its columns cast; itself if they are already."""
    if all(isinstance(v, Ref) for v in values):
        return relation
    items = tuple(
        (v.column if isinstance(v, Ref) else _column(c.name, v), v)
        for c, v in zip(relation.columns, values, strict=True)
    )
    return Project(relation, items)


def _hull(a: Column, b: Column) -> Interval:
    """Bounds of either column; a column of NULLs has none of its own."""
    return a.domain | b.domain
