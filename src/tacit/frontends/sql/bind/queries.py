# SPDX-License-Identifier: Apache-2.0
"""Queries of the syntax tree to relations: names get their meaning, subqueries become joins.

A query is bound in the order in which SQL computes it: FROM, WHERE, groups, HAVING, windows, QUALIFY, SELECT, DISTINCT,
ORDER BY, LIMIT. Conditions stay where they are written; `rewrite` moves them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql import functions
from tacit.frontends.sql.algebra import (
    At,
    Column,
    Constant,
    Expr,
    Filter,
    Join,
    JoinKind,
    Project,
    Query,
    Ref,
    Relation,
    Scan,
    SetOperation,
    Sort,
    Values,
    conjunction,
    optional,
    references,
    sources,
)
from tacit.frontends.sql.bind.clauses import (
    KNOWN,
    Bound,
    Ctes,
    Plain,
    check,
    column_of,
    fresh,
    is_all,
    limited,
    position_of,
)
from tacit.frontends.sql.bind.expressions import Binder
from tacit.frontends.sql.bind.scope import Item, Scope
from tacit.frontends.sql.bind.select import Select
from tacit.frontends.sql.bounds import rows_of
from tacit.frontends.sql.catalogue import Catalogue
from tacit.frontends.sql.constants import fold
from tacit.frontends.sql.decorrelate import Partner, expressions, unsupported
from tacit.frontends.sql.functions import cast, place, substitute
from tacit.frontends.sql.parse import parse, place_of
from tacit.plan import Interval


def bind(query: str | bytes | exp.Expr, catalogue: Catalogue, min_group: int = 1) -> Query:
    """The meaning of a query over the tables of a catalogue.

    Where `min_group` above 1, here or of a table, may hide a group, a count that finds none is NULL and not 0.

    Raises `SqlError`: SQL-001 to SQL-009, each with its place in the text, see docs/errors.md.
    """
    if not isinstance(query, str | bytes | exp.Expr):
        raise SqlError("SQL-001", f"a {type(query).__name__} is no SQL", expected="a text, one SELECT statement")
    tree = parse(query) if isinstance(query, str | bytes) else query
    try:
        bound = _Queries(catalogue, min_group).query(tree, None, {})
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


_SIDES: Final[Mapping[str, JoinKind]] = {"LEFT": "left", "RIGHT": "left", "FULL": "full"}


class _Queries:
    """Binds queries over one catalogue."""

    def __init__(self, catalogue: Catalogue, min_group: int) -> None:
        self.catalogue = catalogue
        self.min_group = min_group
        self.others = frozenset(name.lower() for t in catalogue.tables.values() for name in t.others)

    def query(self, node: exp.Expr, outer: Scope | None, ctes: Ctes) -> Bound:
        """Any query, with its WITH, ORDER BY and LIMIT."""
        ctes = self.with_(node, outer, ctes)
        if isinstance(node, exp.Select):
            return Select(self, node, outer, ctes).bound()
        if isinstance(node, (exp.Subquery, exp.Paren)):
            check(node)
            return self.ordered(node, self.query(node.this, outer, ctes))
        if isinstance(node, exp.SetOperation):
            check(node, KNOWN)
            return self.ordered(node, self.set_operation(node, outer, ctes))
        if isinstance(node, exp.Values):
            return self.values(node, outer)
        if isinstance(node, exp.Table):
            return Select(self, exp.select("*").from_(node), outer, ctes).bound()
        raise unsupported(node.key.upper(), place_of(node), "write a SELECT")

    def with_(self, node: exp.Expr, outer: Scope | None, ctes: Ctes) -> Ctes:
        """The common table expressions that a query sees, each bound once."""
        clause = node.args.get("with_")
        if clause is None:
            return ctes
        found = dict(ctes)
        for k, cte in enumerate(clause.expressions):
            name = cte.alias.lower()
            if any(name == c.alias.lower() for c in clause.expressions[:k]):
                raise SqlError(
                    "SQL-004", f"two queries of WITH are called {cte.alias!r}{place(place_of(cte))}",
                    expected="a different name for each",
                )  # fmt: skip
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
            binder = Binder(Plain(scope, rows_of(relation)), "ORDER BY of this query", subqueries=False)
            keys = []
            for item in order.expressions:
                if is_all(item.this):
                    keys += [Binder.sort_key(item, Ref(c)) for c in relation.columns]
                    continue
                position = position_of(item.this, len(relation.columns), "ORDER BY")
                expr = Ref(relation.columns[position]) if position is not None else binder.bind(item.this)
                keys.append(Binder.sort_key(item, expr))
            relation = Sort(relation, tuple(keys))
        return Bound(limited(node, relation), bound.names)

    def set_operation(self, node: exp.SetOperation, outer: Scope | None, ctes: Ctes) -> Bound:
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
        binder = Binder(Plain(Scope([], outer), 1), "VALUES", subqueries=False)
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

    def source(self, node: exp.Expr, outer: Scope | None, ctes: Ctes) -> tuple[Relation, list[Item]]:
        """A table, subquery or VALUES of FROM, with the joins that belong to it."""
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Values):
            # So it is parsed within parentheses.
            values = node.this.copy()
            values.set("alias", node.args.get("alias"))
            relation, items = self.source(values, outer, ctes)
        elif isinstance(node, exp.Table):
            relation, items = self.table(node, ctes)
        elif isinstance(node, exp.Subquery) and _is_source(node.this):
            relation, items = self.source(node.this, outer, ctes)
            if node.alias:
                names = _renamed(tuple(i.name for i in items if not i.hidden), node.args.get("alias"), node)
                visible = [i for i in items if not i.hidden]
                items = [Item(node.alias, n, i.expr) for n, i in zip(names, visible, strict=True)]
        elif isinstance(node, exp.Subquery):
            check(node, KNOWN)
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
        self, node: exp.Expr, joins: Sequence[exp.Join], outer: Scope | None, ctes: Ctes
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

    def table(self, node: exp.Table, ctes: Ctes) -> tuple[Relation, list[Item]]:
        """A table of the catalogue or a common table expression, each time with columns of its own."""
        check(node, frozenset(["this", "alias", "joins", "db", "catalog"]))
        at = place_of(node)
        if not isinstance(node.this, exp.Identifier):
            called = node.this.sql_name() if isinstance(node.this, exp.Func) else node.this.key.upper()
            raise unsupported(f"{called} in FROM", at, "register the file as a table, session.table(...)")
        name = node.name
        alias = node.alias or name
        cte = ctes.get(name.lower()) if not node.args.get("db") else None
        if cte is not None:
            columns = tuple(fresh(c) for c in cte.relation.columns)
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

    def no_table(self, name: str, at: At, ctes: Ctes) -> SqlError:
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
        self, left: Relation, items: list[Item], node: exp.Join, outer: Scope | None, ctes: Ctes
    ) -> tuple[Relation, list[Item]]:
        """One more table of FROM."""
        check(node, frozenset(["this", "side", "kind", "on", "using", "method", "hint", "joins", "global_"]))
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


def _is_source(node: exp.Expr) -> bool:
    """Whether what stands in parentheses is something of FROM, perhaps with joins, and no query."""
    named = bool(node.args.get("alias") or node.args.get("joins"))
    return isinstance(node, exp.Table) or (isinstance(node, exp.Subquery) and named)


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


class _On(Plain):
    """The condition of a join: its subqueries are joined to the side that they read, before the join; what reads both
    sides of an inner join, after it.
    """

    def __init__(self, queries: _Queries, scope: Scope, ctes: Ctes, left: Relation, right: Relation) -> None:
        super().__init__(scope, rows_of(left) * rows_of(right))
        self.queries = queries
        self.min_group = queries.min_group
        self.others = queries.others
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
        (v.column if isinstance(v, Ref) else column_of(c.name, v), v)
        for c, v in zip(relation.columns, values, strict=True)
    )
    return Project(relation, items)


def _hull(a: Column, b: Column) -> Interval:
    """Bounds of either column; a column of NULLs has none of its own."""
    return a.domain | b.domain
