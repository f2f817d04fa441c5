# SPDX-License-Identifier: Apache-2.0
"""One SELECT: its clauses, in the order in which SQL computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, compress, product
from typing import Protocol

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
    Project,
    Ref,
    Relation,
    SetOperation,
    Sort,
    SortKey,
    Values,
    Window,
    WindowCall,
    conjunction,
    optional,
    references,
)
from tacit.frontends.sql.bind.clauses import Bound, Ctes, check, column_of, fresh, is_all, limited, position_of
from tacit.frontends.sql.bind.expressions import Binder
from tacit.frontends.sql.bind.scope import Item, Scope
from tacit.frontends.sql.bind.subqueries import one_row
from tacit.frontends.sql.bounds import rows_of
from tacit.frontends.sql.decorrelate import Partner, unsupported
from tacit.frontends.sql.functions import place
from tacit.frontends.sql.names import name_of
from tacit.frontends.sql.parse import place_of
from tacit.frontends.sql.types import BIGINT
from tacit.plan import Interval


class Queries(Protocol):
    """What a SELECT needs of the queries that it stands among."""

    min_group: int
    others: frozenset[str]

    def query(self, node: exp.Expr, outer: Scope | None, ctes: Ctes) -> Bound:
        """Bind a query."""

    def joined(
        self, node: exp.Expr, joins: Sequence[exp.Join], outer: Scope | None, ctes: Ctes
    ) -> tuple[Relation, list[Item]]:
        """Bind FROM."""


class Select:
    """One SELECT."""

    def __init__(self, queries: Queries, node: exp.Select, outer: Scope | None, ctes: Ctes) -> None:
        self.queries = queries
        self.node = node
        self.ctes = ctes
        self.outer = outer
        self.relation: Relation = Values((), ((),))
        self.scope = Scope([], outer)
        self.rows = 1
        self.rows_after = 1
        self.keyed = False
        self.min_group = queries.min_group
        self.others = queries.others
        self.aggregates: dict[Aggregate, Column] = {}
        self.windows: dict[WindowCall, Column] = {}
        self.groupings: dict[tuple[Expr, ...], Column] = {}
        self.subqueries: dict[exp.Expr, Expr] = {}
        """The values of subqueries that are bound already."""
        self.inner_subqueries: dict[exp.Expr, Expr] = {}
        """Those inside aggregates, which belong to rows."""
        self.before: list[Partner] = []
        """The joins of subqueries in the keys of groups."""
        self.own: set[Column] = set()
        """Columns that were made after the groups: aggregates, windows, marks and subqueries."""
        self.grouped: dict[Expr, Column] | None = None
        """What stands for the expressions of GROUP BY once rows are grouped."""

    # --- what expressions ask of their block ---

    def subquery(self, node: exp.Expr) -> Relation:
        """A subquery, which sees the names of this query."""
        return self.queries.query(node, self.scope, self.ctes).relation

    def aggregate(self, made: Aggregate, name: str) -> Expr:
        """The column of an aggregate, one for all that are the same."""
        if made not in self.aggregates:
            self.aggregates[made] = Column(name, made.type, made.nullable, made.domain)
        return Ref(self.aggregates[made])

    def window(self, made: WindowCall, name: str) -> Expr:
        """The column of a window function, one for all that are the same."""
        if made not in self.windows:
            self.windows[made] = Column(name, made.type, made.nullable, made.domain)
        return Ref(self.windows[made])

    def grouping(self, keys: Sequence[Expr], at: At) -> Expr:
        """The column of GROUPING(keys)."""
        column = Column("grouping", BIGINT, False, Interval(0, (1 << len(keys)) - 1))
        return Ref(self.groupings.setdefault(tuple(keys), column))

    def named_window(self, name: str, at: At) -> exp.Window:
        """What WINDOW of this query defines under a name. Raises `SqlError` SQL-003 if it is nothing."""
        for window in self.node.args.get("windows") or ():
            if window.name.lower() == name.lower():
                found: exp.Window = window
                return found
        raise SqlError("SQL-003", f"there is no window {name!r}{place(at)}", expected="WINDOW name AS (...)")

    # --- the clauses in order ---

    def bound(self) -> Bound:
        """The relation of the whole SELECT."""
        node = self.node
        check(node)
        if not node.expressions:
            raise SqlError("SQL-001", f"SELECT{place(place_of(node))} names no columns", expected="columns or *")
        self.from_()
        where = node.args.get("where")
        if where is not None:
            self.where(where.this)
        items = self.items()
        aliases = {n.alias.lower(): n.this for n, _ in items if isinstance(n, exp.Alias)}
        sets = self.group_keys(items, aliases)
        # A row is in a group of each set, and where there is none, there may be a group of none.
        self.rows_after = max(self.rows, 1) * len(sets or [[]])
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
            before = _needed(later, keys)
            # What is the same for all rows is nothing to group by.
            same = {c for p in before if not p.reads() for c in references(p.value)}
            # Nothing of a row to group by, and nothing to compute of a group: rows stay.
            if self.aggregates or any(c not in same for e in keys for c in references(e)):
                sets, later = [keys], [p for p in later if p not in before]
                for partner in before:
                    self.attach(partner)
                self.before += before
        if sets is not None or self.aggregates or having:
            self.group(sets if sets is not None else [[]])
            read = [*(e for _, e in values), *(c for _, c in conditions), chosen, firsts, *(k.expr for k in order)]
            read += [e for w in self.windows for e in (*w.args, *w.partition, *(k.expr for k in w.order))]
            self.join_again([self.over(e) for e in read if e is not None])
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

    def join_again(self, read: Sequence[Expr]) -> None:
        """Make the joins of subqueries that keys were computed from once more, with the groups, if these read them."""
        columns = {c for e in read for c in references(e)}
        for partner in self.before:
            if columns & set(references(partner.value)) - set(self.relation.columns):
                self.attach(partner)

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
        check(clause, frozenset(["expressions"]))

        def key(node: exp.Expr) -> Expr:
            position = position_of(node, len(items), "GROUP BY")
            if position is not None:
                item, expr = items[position]
                if expr is not None:
                    return expr
                node = item.this if isinstance(item, exp.Alias) else item
            partners: list[Partner] = []
            made = Binder(self, "GROUP BY", aliases=aliases, partners=partners).bind(node)
            for partner in partners:
                self.attach(partner)
            self.before += partners
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
            columns = {e: e.column if isinstance(e, Ref) else column_of("key", e) for e in keys}
            self.relation = Group(self.relation, tuple((c, e) for e, c in columns.items()), tuple(calls))
            zeros = tuple((c, Constant(0, BIGINT)) for c in self.groupings.values())
            if zeros:
                passed = tuple((c, Ref(c)) for c in self.relation.columns)
                self.relation = Project(self.relation, (*passed, *zeros))
            self.grouped = columns
            return
        made = [self.grouping_set(keys, chosen) for chosen in sets]
        relation = made[0]
        outputs = [optional(column_of("key", e)) for e in keys]
        outputs += [*(c for c, _ in calls), *self.groupings.values()]
        for k, part in enumerate(made[1:]):
            last = k == len(made) - 2
            columns_ = outputs if last else [fresh(c) for c in outputs]
            relation = SetOperation("union", True, relation, part, tuple(columns_))
        self.relation = relation
        self.grouped = dict(zip(keys, outputs, strict=False))

    def grouping_set(self, keys: list[Expr], chosen: list[Expr]) -> Relation:
        """The groups by some of the keys, NULL for the others."""
        columns = {e: column_of("key", e) for e in chosen}
        calls = tuple((fresh(c), a) for a, c in self.aggregates.items())
        group = Group(self.relation, tuple((c, e) for e, c in columns.items()), calls)
        items: list[tuple[Column, Expr]] = []
        for e in keys:
            value: Expr = Ref(columns[e]) if e in columns else Constant(None, e.type)
            items.append((columns[e] if e in columns else optional(column_of("key", e)), value))
        items += [(c, Ref(c)) for c, _ in calls]
        for wanted in self.groupings:
            bits = sum((e not in columns) << k for k, e in enumerate(reversed(wanted)))
            number = Constant(bits, BIGINT)
            items.append((column_of("grouping", number), number))
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
        places = [position_of(n, len(values), "DISTINCT ON") for n in nodes]
        keys = [make().bind(n) if p is None else values[p][1] for n, p in zip(nodes, places, strict=True)]
        number = self.window(
            functions.window("row_number", [], self.rows_after, partition=keys, order=order), "row_number"
        )
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
            if is_all(inner):
                keys += [Binder.sort_key(item, e) for _, e in values]
                continue
            position = position_of(inner, len(values), "ORDER BY")
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
            column = expr.column if isinstance(expr, Ref) and expr.column not in seen else column_of(name, expr)
            seen.add(column)
            outputs.append((column, expr))
        by_expr = {e: c for c, e in reversed(outputs)}
        hidden: list[tuple[Column, Expr]] = []
        keys: list[SortKey] = []
        for key in order:
            if isinstance(key.expr, Constant):
                continue
            if key.expr not in by_expr:
                by_expr[key.expr] = key.expr.column if isinstance(key.expr, Ref) else column_of("key", key.expr)
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
        relation = limited(self.node, relation)
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


def _needed(partners: Sequence[Partner], exprs: Sequence[Expr]) -> list[Partner]:
    """The joins that expressions read, by themselves or by what these joins read."""
    columns = {c for e in exprs for c in references(e)}
    out: list[Partner] = []
    for partner in reversed(partners):
        if columns & set(references(partner.value)):
            columns |= partner.reads()
            out.insert(0, partner)
    return out


def _before(aliases: Mapping[str, exp.Expr], item: exp.Expr) -> Mapping[str, exp.Expr]:
    """The aliases of the items before one."""
    out: dict[str, exp.Expr] = {}
    for name, node in aliases.items():
        if isinstance(item, exp.Alias) and node is item.this:
            break
        out[name] = node
    return out
