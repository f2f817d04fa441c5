# SPDX-License-Identifier: Apache-2.0
"""Relations back to SQL, in the dialect of the engine that holds their tables.

Names in the text depend on the relation alone, so that equal queries have equal texts. Expressions say the types of
what they compute, since engines choose other ones for the same operator, and what an engine may define otherwise
(division by zero, the order of text) is written out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from sqlglot import exp

from tacit.errors import SqlError
from tacit.frontends.sql.algebra import (
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
    Ref,
    Relation,
    Scan,
    SetOperation,
    Sort,
    SortKey,
    Values,
    Window,
    WindowCall,
    conjuncts,
    references,
    sources,
)
from tacit.frontends.sql.functions import DOUBLE_ONE
from tacit.frontends.sql.types import SqlType

Node = exp.Expr
"""A node of a syntax tree."""
DIALECTS: Final = ("duckdb", "postgres")

_EPOCH: Final = date(1970, 1, 1)
_COMPARE: Final[dict[str, type[exp.Expr]]] = {
    "eq": exp.EQ, "ne": exp.NEQ, "lt": exp.LT, "le": exp.LTE, "gt": exp.GT, "ge": exp.GTE, "distinct": exp.NullSafeNEQ,
}  # fmt: skip
_BINARY: Final[dict[str, type[exp.Expr]]] = {
    "add": exp.Add, "sub": exp.Sub, "mul": exp.Mul, "add_days": exp.Add, "bit_and": exp.BitwiseAnd,
    "bit_or": exp.BitwiseOr, "bit_xor": exp.BitwiseXor,
}  # fmt: skip
_PLAIN: Final = frozenset({
    "abs", "sign", "floor", "ceil", "trunc", "sqrt", "exp", "ln", "least", "greatest", "coalesce", "upper", "lower",
    "trim", "ltrim", "rtrim", "length", "replace", "reverse", "starts_with", "contains", "ends_with", "strpos",
    "split_part", "regexp_matches", "regexp_full_match", "make_date", "make_timestamp", "ascii", "md5", "strip_accents",
    "sin", "cos", "tan", "cot", "asin", "acos", "atan", "atan2", "cbrt", "pow", "translate", "levenshtein", "substr",
})  # fmt: skip


def render(relation: Relation, dialect: str, tables: Mapping[str, Sequence[str]]) -> str:
    """The query in a dialect, "duckdb" or "postgres". Its result columns are the relation's, named c0, c1, ...

    `tables` gives the parts of the engine's name for each table, by the table's name.

    Raises `SqlError` SQL-006 for a function that the dialect does not have.
    """
    renderer = _Renderer(dialect, tables, _shared(relation))
    names = [f"c{k}" for k in range(len(relation.columns))]
    query = renderer.statement(relation, names, cast=True)
    for name, body in renderer.bodies.items():
        query = query.with_(name, as_=body, copy=False)
    return str(query.sql(dialect))


def render_expr(expr: Expr, dialect: str = "duckdb") -> str:
    """An expression without columns in a dialect, cast to its type."""
    renderer = _Renderer(dialect, {}, frozenset())
    return str(renderer.cast(renderer.expr(expr, {}), expr.type).sql(dialect))


def _shared(relation: Relation) -> frozenset[Relation]:
    """The relations that are used more than once, tables aside."""
    uses: Counter[Relation] = Counter()
    todo = [relation]
    while todo:
        node = todo.pop()
        uses[node] += 1
        if uses[node] == 1:
            todo.extend(sources(node))
    return frozenset(r for r, n in uses.items() if n > 1 and not isinstance(r, (Scan, Values)))


_UNDEFINED: Final = frozenset(["corr", "regr_slope", "regr_intercept", "regr_r2"])
"""Aggregates that DuckDB says are NaN where a divisor is zero: NULL, as elsewhere and as on secrets."""


@dataclass
class _Block:
    """A FROM clause with its joins and conditions, and what its columns are in it."""

    source: Node | None
    columns: dict[Column, Node]
    joins: list[exp.Join] = field(default_factory=list)
    where: list[Node] = field(default_factory=list)


class _Renderer:
    def __init__(self, dialect: str, tables: Mapping[str, Sequence[str]], shared: frozenset[Relation]) -> None:
        self.dialect = dialect
        self.tables = tables
        self.shared = shared
        self.bodies: dict[str, exp.Query] = {}
        self._made: dict[Relation, tuple[str, list[str]]] = {}
        self._tables = 0

    # --- relations ---

    def statement(self, relation: Relation, names: list[str], cast: bool = False) -> exp.Query:
        """A whole query for a relation, its columns under these names."""
        outputs: list[Expr] = [Ref(c) for c in relation.columns]
        size: int | None = None
        offset = 0
        keys: tuple[SortKey, ...] = ()
        while isinstance(relation, Project) and relation not in self.shared and _renames(relation):
            mapping = dict(relation.items)
            outputs = [mapping[o.column] if isinstance(o, Ref) else o for o in outputs]
            relation = relation.source
        if isinstance(relation, Limit) and relation not in self.shared:
            size, offset, relation = relation.size, relation.offset, relation.source
        if isinstance(relation, Sort) and relation not in self.shared:
            keys, relation = relation.keys, relation.source
        block = self.block(relation)
        items = [self.expr(o, block.columns) for o in outputs]
        if cast:
            items = [self.cast(item, o.type) for item, o in zip(items, outputs, strict=True)]
        query = self.select(block, [exp.alias_(i, n) for i, n in zip(items, names, strict=True)])
        if keys:
            query = query.order_by(*(self.key(k, block.columns) for k in keys), copy=False)
        if size is not None:
            query = query.limit(size, copy=False)
        return query.offset(offset, copy=False) if offset else query

    def select(self, block: _Block, items: list[Node]) -> exp.Select:
        query = exp.select(*(items or [exp.alias_(exp.Literal.number(1), "nothing")]), copy=False)
        if block.source is not None:
            query = query.from_(block.source, copy=False)
        if block.joins:
            query.set("joins", block.joins)
        return query.where(*block.where, copy=False) if block.where else query

    def block(self, relation: Relation) -> _Block:
        """A relation as a FROM clause; what is used more than once becomes a common table expression."""
        if relation in self.shared:
            if relation not in self._made:
                names = self.names(relation)
                self.shared -= {relation}
                body = self.statement(relation, names)
                self.shared |= {relation}
                name = self.table()
                self.bodies[name] = body
                self._made[relation] = name, names
            name, names = self._made[relation]
            alias = self.table()
            source = exp.alias_(exp.to_table(name), alias, table=True)
            return _Block(source, _columns(alias, relation.columns, names))
        made: _Block = getattr(self, f"_{type(relation).__name__.lower()}")(relation)
        return made

    def table(self) -> str:
        self._tables += 1
        return f"t{self._tables}"

    def names(self, relation: Relation) -> list[str]:
        return [f"v{k}" for k in range(1, len(relation.columns) + 1)]

    def derived(self, query: exp.Query, columns: Iterable[Column], names: list[str]) -> _Block:
        """A query as a table of its own."""
        alias = self.table()
        return _Block(query.subquery(alias, copy=False), _columns(alias, columns, names))

    def single(self, block: _Block, columns: tuple[Column, ...]) -> _Block:
        """The block as one table without conditions, to stand at the right of a join."""
        if not block.joins and not block.where and block.source is not None:
            return block
        names = [f"v{k}" for k in range(1, len(columns) + 1)]
        items = [exp.alias_(block.columns[c], n) for c, n in zip(columns, names, strict=True)]
        return self.derived(self.select(block, items), columns, names)

    def _scan(self, relation: Scan) -> _Block:
        alias = self.table()
        parts = reversed(self.tables[relation.table.name])
        names = [exp.to_identifier(p, quoted=True) for p in parts]
        table = exp.Table(**dict(zip(("this", "db", "catalog"), names, strict=False)))
        return _Block(exp.alias_(table, alias, table=True), _columns(alias, relation.columns, list(relation.names)))

    def _values(self, relation: Values) -> _Block:
        if not relation.columns and len(relation.rows) == 1:
            return _Block(None, {})
        names = self.names(relation)
        rows = [
            self.select(
                _Block(None, {}),
                [
                    exp.alias_(self.cast(self.expr(v, {}), c.type), n)
                    for v, c, n in zip(row, relation.columns, names, strict=True)
                ],
            )
            for row in relation.rows or (tuple(Constant(None, c.type) for c in relation.columns),)
        ]
        if not relation.rows:
            rows[0] = rows[0].where(exp.false(), copy=False)
        query: exp.Query = rows[0]
        for row in rows[1:]:
            query = exp.union(query, row, distinct=False, copy=False)
        return self.derived(query, relation.columns, names)

    def _filter(self, relation: Filter) -> _Block:
        block = self.block(relation.source)
        block.where += [self.expr(p, block.columns) for p in conjuncts(relation.predicate)]
        return block

    def _project(self, relation: Project) -> _Block:
        block = self.block(relation.source)
        if _renames(relation):
            return _Block(
                block.source, {c: self.expr(e, block.columns) for c, e in relation.items}, block.joins, block.where
            )
        names = self.names(relation)
        items = [exp.alias_(self.expr(e, block.columns), n) for (_, e), n in zip(relation.items, names, strict=True)]
        return self.derived(self.select(block, items), relation.columns, names)

    def _join(self, relation: Join) -> _Block:
        left, right = self.block(relation.left), self.block(relation.right)
        if relation.kind in ("semi", "anti", "mark"):
            partner = self.partner(relation, left, right)
            if relation.kind == "mark":
                assert relation.mark is not None
                left.columns[relation.mark] = exp.paren(partner)
            else:
                left.where.append(exp.not_(exp.paren(partner)) if relation.kind == "anti" else partner)
            return left
        if left.source is None:
            left = (
                self.single(left, relation.left.columns)
                if left.columns
                else _Block(exp.select(exp.alias_(exp.Literal.number(1), "nothing")).subquery(self.table()), {})
            )
        if relation.kind == "inner":
            right = (
                right if not right.joins and right.source is not None else self.single(right, relation.right.columns)
            )
            left.where += right.where
        else:
            right = self.single(right, relation.right.columns)
            if relation.kind == "full":
                left = self.single(left, relation.left.columns)
        columns = {**left.columns, **right.columns}
        join = exp.Join(this=right.source)
        condition = relation.condition
        if condition is None and relation.kind == "inner":
            join.set("kind", "CROSS")
        else:
            join.set("on", self.expr(condition, columns) if condition is not None else exp.true())
            if relation.kind != "inner":
                join.set("side", "FULL" if relation.kind == "full" else "LEFT")
        return _Block(left.source, columns, [*left.joins, join], left.where)

    def partner(self, relation: Join, left: _Block, right: _Block) -> Node:
        """Whether a left row has a partner: EXISTS, or IN where NULL makes a difference."""
        columns = {**left.columns, **right.columns}
        parts = conjuncts(relation.condition)
        if not relation.null_aware:
            right.where += [self.expr(p, columns) for p in parts]
            return exp.Exists(this=self.select(right, [exp.Literal.number(1)]))
        first = parts[0]
        assert isinstance(first, Call) and first.name == "eq"
        a, b = first.args
        if set(references(a)) & set(relation.right.columns):
            a, b = b, a
        right.where += [self.expr(p, columns) for p in parts[1:]]
        query = self.select(right, [self.expr(b, columns)])
        return exp.In(this=exp.paren(self.expr(a, columns)), query=query.subquery(copy=False))

    def _group(self, relation: Group) -> _Block:
        block = self.block(relation.source)
        names = self.names(relation)
        items = [self.expr(e, block.columns) for _, e in relation.keys]
        items += [self.aggregate(a, block.columns) for _, a in relation.aggregates]
        # Of all rows it is one group, also where nothing of it is wanted.
        named = list(zip(items, names, strict=True)) or [(exp.Count(this=exp.Star()), "n")]
        query = self.select(block, [exp.alias_(i, n) for i, n in named])
        if relation.keys:
            query = query.group_by(*(exp.Literal.number(k + 1) for k in range(len(relation.keys))), copy=False)
        return self.derived(query, relation.columns, names)

    def _window(self, relation: Window) -> _Block:
        block = self.block(relation.source)
        names = self.names(relation)
        items = [block.columns[c] for c in relation.source.columns]
        items += [self.window(w, block.columns) for _, w in relation.calls]
        query = self.select(block, [exp.alias_(i, n) for i, n in zip(items, names, strict=True)])
        return self.derived(query, relation.columns, names)

    def _whole(self, relation: Sort | Limit) -> _Block:
        names = self.names(relation)
        return self.derived(self.statement(relation, names), relation.columns, names)

    _sort = _limit = _whole

    def _distinct(self, relation: Distinct) -> _Block:
        block = self.block(relation.source)
        names = self.names(relation)
        items = [exp.alias_(block.columns[c], n) for c, n in zip(relation.columns, names, strict=True)]
        return self.derived(self.select(block, items).distinct(copy=False), relation.columns, names)

    def _setoperation(self, relation: SetOperation) -> _Block:
        names = self.names(relation)
        make = {"union": exp.union, "intersect": exp.intersect, "except": exp.except_}[relation.kind]
        left, right = (
            # Parentheses keep an ORDER BY or LIMIT of a side to that side.
            exp.select("*").from_(self.statement(side, names).subquery(self.table(), copy=False), copy=False)
            for side in (relation.left, relation.right)
        )
        return self.derived(make(left, right, distinct=not relation.all, copy=False), relation.columns, names)

    def _home(self, relation: Home) -> _Block:
        return self.block(relation.relation)

    # --- expressions ---

    def key(self, key: SortKey, columns: Mapping[Column, Node]) -> exp.Ordered:
        return exp.Ordered(this=self.text(key.expr, columns), desc=key.descending, nulls_first=key.nulls_first)

    def text(self, expr: Expr, columns: Mapping[Column, Node]) -> Node:
        """An expression that is compared: text by its bytes."""
        node = self.expr(expr, columns)
        if self.dialect == "postgres" and expr.type.kind == "text":
            return exp.Collate(this=exp.paren(node), expression=exp.to_identifier("C", quoted=True))
        return node

    def cast(self, node: Node, kind: SqlType) -> Node:
        if kind.kind == "null":
            return node
        name = str(kind)
        if self.dialect == "postgres":
            if name in ("HUGEINT", "UHUGEINT", "UBIGINT"):
                name = "DECIMAL(38,0)"
            elif kind.kind == "int":
                size = max(kind.size, 16) if kind.signed else max(kind.size, 16) * 2 if kind.size > 8 else 16
                name = {16: "SMALLINT", 32: "INTEGER", 64: "BIGINT"}[size]
        return exp.Cast(this=node, to=exp.DataType.build(name, dialect="duckdb"))

    def constant(self, value: Constant) -> Node:
        raw, kind = value.raw, value.type
        if raw is None:
            return self.cast(exp.null(), kind)
        if isinstance(raw, str):
            return exp.Literal.string(raw)
        if kind.kind == "bool":
            return exp.true() if raw else exp.false()
        if kind.kind in ("int", "decimal"):
            digits = str(Decimal(raw).scaleb(-kind.scale)) if kind.kind == "decimal" else str(raw)
            number = exp.Literal.number(digits) if raw >= 0 else exp.paren(exp.Neg(this=exp.Literal.number(digits[1:])))
            natural = kind.kind == "int" and (kind.size == 32 or (kind.size == 64 and abs(raw) >= 1 << 31))
            return number if natural else self.cast(number, kind)
        if kind.kind == "double":
            exact = Fraction(raw, DOUBLE_ONE)
            text = repr(float(exact)) if Fraction(float(exact)) == exact else str(Decimal(raw) / DOUBLE_ONE)
            return self.cast(exp.Literal.string(text), kind)
        return self.cast(exp.Literal.string(_moment(raw, kind)), kind)

    def expr(self, expr: Expr, columns: Mapping[Column, Node]) -> Node:
        """An expression, with columns as they are in the block around it."""
        if isinstance(expr, Ref):
            return columns[expr.column].copy()
        if isinstance(expr, Constant):
            return self.constant(expr)
        args = [self.expr(a, columns) for a in expr.args]
        name = expr.name
        if name in _COMPARE:
            args = [_wrap(self.text(a, columns)) for a in expr.args]
            return _COMPARE[name](this=args[0], expression=args[1])
        if name in ("and", "or"):
            node = _wrap(args[0])
            for a in args[1:]:
                node = (exp.And if name == "and" else exp.Or)(this=node, expression=_wrap(a))
            return node
        if name in _BINARY:
            node = _BINARY[name](this=_wrap(args[0]), expression=_wrap(args[1]))
            # Engines add and multiply in types of their own; only what DuckDB itself chooses can be left out.
            return node if self.dialect == "duckdb" or expr.type.kind != "int" else self.cast(node, expr.type)
        if name in _PLAIN:
            return self.plain(name, args, expr)
        special: Callable[[Call, list[Node]], Node] | None = getattr(self, f"_f_{name}", None)
        if special is None:
            raise AssertionError(f"no text for {name}")
        return special(expr, args)

    def plain(self, name: str, args: list[Node], expr: Call) -> Node:
        if self.dialect == "postgres":
            if name == "contains":
                return exp.GT(this=exp.func("strpos", *args), expression=exp.Literal.number(0))
            if name == "ends_with":
                return exp.EQ(this=exp.func("right", args[0], exp.func("length", args[1])), expression=_wrap(args[1]))
            if name in ("regexp_matches", "regexp_full_match"):
                raise _not_in_postgres(name, "LIKE or ILIKE", "write the pattern with LIKE")
            if name in ("strip_accents", "levenshtein"):
                raise _not_in_postgres(name, "text as it is", "let the owner define a view")
            if name == "substr":
                args = [args[0], *(self.cast(a, SqlType("int", 32)) for a in args[1:])]
            if name in ("least", "greatest") and expr.type.kind == "text":
                args = [self.collated(a) for a in args]
        made = exp.Anonymous(this=name, expressions=args)
        exact = self.dialect == "postgres" and (expr.type.kind in ("int", "decimal", "double"))
        return self.cast(made, expr.type) if exact else made

    def collated(self, node: Node) -> Node:
        return exp.Collate(this=exp.paren(node), expression=exp.to_identifier("C", quoted=True))

    def _f_not(self, expr: Call, args: list[Node]) -> Node:
        return exp.Not(this=_wrap(args[0]))

    def _f_is_null(self, expr: Call, args: list[Node]) -> Node:
        return exp.Is(this=_wrap(args[0]), expression=exp.null())

    def _f_neg(self, expr: Call, args: list[Node]) -> Node:
        return exp.Neg(this=_wrap(args[0]))

    def _f_div(self, expr: Call, args: list[Node]) -> Node:
        double = SqlType("double")
        divisor = exp.func("NULLIF", args[1], exp.Literal.number(0))
        return exp.Div(
            this=self.cast(args[0], double),
            expression=self.cast(divisor, double),
            typed=True,
            safe=self.dialect == "duckdb",
        )

    def _f_idiv(self, expr: Call, args: list[Node]) -> Node:
        divisor = exp.func("NULLIF", args[1], exp.Literal.number(0))
        if self.dialect == "postgres":
            return self.cast(exp.Anonymous(this="div", expressions=[args[0], divisor]), expr.type)
        return exp.IntDiv(this=_wrap(args[0]), expression=divisor)

    def _f_mod(self, expr: Call, args: list[Node]) -> Node:
        divisor = exp.func("NULLIF", args[1], exp.Literal.number(0))
        if self.dialect == "postgres" and expr.type.kind == "double":
            a, b = _wrap(args[0]), divisor
            whole = exp.Anonymous(this="trunc", expressions=[exp.Div(this=a, expression=b, typed=True, safe=True)])
            return exp.Sub(this=a.copy(), expression=exp.Mul(this=b.copy(), expression=whole))
        return exp.Mod(this=_wrap(args[0]), expression=divisor)

    def _f_round(self, expr: Call, args: list[Node]) -> Node:
        digits = expr.options[0] if expr.options else 0
        if self.dialect == "postgres" and expr.args[0].type.kind == "double":
            # It rounds doubles to even, and not to digits.
            args = [exp.Cast(this=args[0], to=exp.DataType.build("DECIMAL", dialect="postgres"))]
        rounded = exp.Anonymous(this="round", expressions=[*args, exp.Literal.number(digits)] if digits else args)
        return self.cast(rounded, expr.type)

    def _f_case(self, expr: Call, args: list[Node]) -> Node:
        ifs = [exp.If(this=c, true=v) for c, v in zip(args[:-1:2], args[1::2], strict=True)]
        return exp.Case(ifs=ifs, default=args[-1])

    def _f_cast(self, expr: Call, args: list[Node]) -> Node:
        return self.cast(args[0], expr.type)

    def _f_in(self, expr: Call, args: list[Node]) -> Node:
        return exp.In(this=_wrap(args[0]), expressions=args[1:])

    def _f_like(self, expr: Call, args: list[Node]) -> Node:
        pattern, escape, insensitive = (*expr.options, None, False)[:3]
        if self.dialect == "postgres" and escape is None:
            pattern = pattern.replace("\\", "\\\\")
        node: Node = (exp.ILike if insensitive else exp.Like)(
            this=_wrap(args[0]), expression=exp.Literal.string(pattern)
        )
        return exp.Escape(this=node, expression=exp.Literal.string(escape)) if escape is not None else node

    def _f_date_part(self, expr: Call, args: list[Node]) -> Node:
        part = exp.Literal.string(expr.options[0])
        node = exp.Anonymous(this="date_part", expressions=[part, args[0]])
        if self.dialect == "postgres":
            if expr.options[0] in ("second", "millisecond"):
                node = exp.Anonymous(this="floor", expressions=[node])
            return self.cast(node, expr.type)
        return node

    def _f_date_trunc(self, expr: Call, args: list[Node]) -> Node:
        return self.cast(
            exp.Anonymous(this="date_trunc", expressions=[exp.Literal.string(expr.options[0]), args[0]]), expr.type
        )

    def _f_add_micros(self, expr: Call, args: list[Node]) -> Node:
        if self.dialect == "postgres":
            span: Node = exp.Mul(this=_wrap(args[1]), expression=self.interval("1 microsecond"))
        else:
            span = exp.Anonymous(this="to_microseconds", expressions=[args[1]])
        return exp.Add(this=_wrap(args[0]), expression=span)

    def _f_add_months(self, expr: Call, args: list[Node]) -> Node:
        months = self.interval(f"{expr.options[0]} months")
        return self.cast(exp.Add(this=_wrap(args[0]), expression=months), expr.type)

    def interval(self, text: str) -> Node:
        return exp.Cast(this=exp.Literal.string(text), to=exp.DataType.build("INTERVAL"))

    def _f_date_diff(self, expr: Call, args: list[Node]) -> Node:
        part = expr.options[0]
        if self.dialect == "duckdb":
            return exp.Anonymous(this="date_diff", expressions=[exp.Literal.string(part), *args])
        a, b = args
        if part in ("year", "quarter", "month"):
            per = {"year": 1, "quarter": 4, "month": 12}[part]

            def count(x: Node) -> Node:
                years = exp.Mul(this=_pg_part("year", x), expression=exp.Literal.number(per))
                return years if per == 1 else exp.Add(this=years, expression=_pg_part(part, x))

            return self.cast(exp.paren(exp.Sub(this=exp.paren(count(b)), expression=exp.paren(count(a)))), expr.type)
        size = {"week": 604800, "day": 86400, "hour": 3600, "minute": 60, "second": 1}[part]

        def start(x: Node) -> Node:
            cut = exp.Anonymous(
                this="date_trunc", expressions=[exp.Literal.string(part), self.cast(x, SqlType("timestamp"))]
            )
            return _pg_part("epoch", cut)

        span = exp.paren(exp.Sub(this=start(b), expression=start(a)))
        return self.cast(exp.Div(this=span, expression=exp.Literal.number(size), typed=True, safe=True), expr.type)

    def _f_date_bin(self, expr: Call, args: list[Node]) -> Node:
        width = self.interval(f"{expr.options[0]} microseconds")
        origin = self.constant(Constant(expr.options[1], expr.type))
        name = "date_bin" if self.dialect == "postgres" else "time_bucket"
        return exp.Anonymous(this=name, expressions=[width, args[0], origin])

    def _f_bit_not(self, expr: Call, args: list[Node]) -> Node:
        return self.cast(exp.BitwiseNot(this=_wrap(args[0])), expr.type)

    def _f_bit_left(self, expr: Call, args: list[Node]) -> Node:
        by = self.cast(args[1], SqlType("int", 32)) if self.dialect == "postgres" else _wrap(args[1])
        kind = exp.BitwiseLeftShift if expr.name == "bit_left" else exp.BitwiseRightShift
        return self.cast(kind(this=_wrap(args[0]), expression=by), expr.type)

    _f_bit_right = _f_bit_left

    def _f_try_cast(self, expr: Call, args: list[Node]) -> Node:
        if self.dialect == "postgres":
            raise _not_in_postgres(expr.name, "CAST", "let the owner define a view")
        return exp.TryCast(this=args[0], to=exp.DataType.build(str(expr.type), dialect="duckdb"))

    def _f_regexp_extract(self, expr: Call, args: list[Node]) -> Node:
        if self.dialect == "postgres":
            raise _not_in_postgres(expr.name, "SUBSTRING", "let the owner define a view")
        pattern, group = expr.options
        return exp.Anonymous(
            this=expr.name, expressions=[args[0], exp.Literal.string(pattern), exp.Literal.number(group)]
        )

    def _f_regexp_replace(self, expr: Call, args: list[Node]) -> Node:
        if self.dialect == "postgres":
            raise _not_in_postgres(expr.name, "REPLACE", "let the owner define a view")
        return exp.Anonymous(this=expr.name, expressions=[args[0], *map(exp.Literal.string, expr.options)])

    def _f_try_strptime(self, expr: Call, args: list[Node]) -> Node:
        if self.dialect == "postgres":
            raise _not_in_postgres(expr.name, "a column of dates", "let the owner define a view")
        return exp.Anonymous(this=expr.name, expressions=[args[0], exp.Literal.string(expr.options[0])])

    def _f_strftime(self, expr: Call, args: list[Node]) -> Node:
        if self.dialect == "postgres":
            codes = {
                "%Y": "YYYY",
                "%m": "MM",
                "%d": "DD",
                "%H": "HH24",
                "%M": "MI",
                "%S": "SS",
                "%j": "DDD",
                "%y": "YY",
            }
            pattern, k = "", 0
            text = expr.options[0]
            while k < len(text):
                if text[k] == "%":
                    if text[k : k + 2] not in codes:
                        raise SqlError(
                            "SQL-006", f"STRFTIME with {text[k : k + 2]} is not supported in PostgreSQL",
                            expected=", ".join(codes),
                        )  # fmt: skip
                    pattern += codes[text[k : k + 2]]
                    k += 2
                else:
                    pattern += f'"{text[k]}"' if text[k].isalpha() else text[k]
                    k += 1
            return exp.Anonymous(this="to_char", expressions=[args[0], exp.Literal.string(pattern)])
        return exp.Anonymous(this="strftime", expressions=[args[0], exp.Literal.string(expr.options[0])])

    def _f_concat(self, expr: Call, args: list[Node]) -> Node:
        node = _wrap(args[0])
        for a in args[1:]:
            node = exp.DPipe(this=node, expression=_wrap(a))
        return node

    def _f_substring(self, expr: Call, args: list[Node]) -> Node:
        start, length = (*expr.options, None)[:2]
        numbers = [exp.Literal.number(n) for n in (start, length) if n is not None]
        return exp.Anonymous(this="substring" if self.dialect == "duckdb" else "substr", expressions=[*args, *numbers])

    def _with_number(self, expr: Call, args: list[Node]) -> Node:
        rest = [exp.Literal.string(o) if isinstance(o, str) else exp.Literal.number(o) for o in expr.options]
        return exp.Anonymous(this=expr.name, expressions=[*args, *rest])

    _f_left = _f_right = _f_lpad = _f_rpad = _f_repeat = _with_number

    # --- aggregates and window functions ---

    def aggregate(self, call: Aggregate, columns: Mapping[Column, Node]) -> Node:
        node = self.function(call, columns)
        if call.where is not None:
            node = exp.Filter(this=node, expression=exp.Where(this=self.expr(call.where, columns)))
        if call.name in ("count", "count_star"):
            return node
        if self.dialect == "duckdb" and call.name in _UNDEFINED:
            node = exp.Nullif(this=node, expression=exp.cast(exp.Literal.string("NaN"), "DOUBLE"))
        return self.cast(node, call.type)

    def function(self, call: Aggregate | WindowCall, columns: Mapping[Column, Node]) -> Node:
        name = call.name
        distinct = isinstance(call, Aggregate) and call.distinct
        if name == "count_star":
            return exp.Count(this=exp.Star())
        args = [self.expr(a, columns) for a in call.args]
        if name == "first":
            if self.dialect == "postgres":
                raise _not_in_postgres(name, "MIN or MAX", "use ROW_NUMBER() and QUALIFY")
            turns = zip(call.args[1:], call.options, strict=True)
            keys = [self.key(SortKey(e, *turn), columns) for e, turn in turns]
            return exp.First(this=exp.Order(this=args[0], expressions=keys))
        if distinct and len(args) > 1:
            args = [exp.Tuple(expressions=args)]
        # Any value will do; engines name that function differently.
        name = "min" if name == "any_value" else name
        if self.dialect == "postgres":
            if name == "mode":
                within = exp.Anonymous(this=name, expressions=[])
                return exp.WithinGroup(this=within, expression=exp.Order(expressions=[exp.Ordered(this=args[0])]))
            if name in ("median", "quantile_cont", "quantile_disc"):
                fraction = call.options[0] if call.options else 0.5
                base = "percentile_disc" if name == "quantile_disc" else "percentile_cont"
                within = exp.Anonymous(this=base, expressions=[exp.Literal.number(str(fraction))])
                return exp.WithinGroup(this=within, expression=exp.Order(expressions=[exp.Ordered(this=args[0])]))
            if name in ("min", "max") and call.args[0].type.kind == "text":
                args = [self.collated(a) for a in args]
            if name in ("min", "max") and call.args[0].type.kind == "bool":
                name = "bool_and" if name == "min" else "bool_or"
            if name == "sum" and call.args[0].type.kind == "bool":
                args = [self.cast(args[0], SqlType("int", 32))]
        elif name in ("quantile_cont", "quantile_disc"):
            args.append(exp.Literal.number(str(call.options[0])))
        if name == "nth_value":
            args.append(exp.Literal.number(call.options[0]))
        if name in ("lag", "lead"):
            args.insert(1, exp.Literal.number(call.options[0] if call.options else 1))
        return exp.Anonymous(this=name, expressions=[exp.Distinct(expressions=args)] if distinct else args)

    def window(self, call: WindowCall, columns: Mapping[Column, Node]) -> Node:
        parts: dict[str, Any] = {"partition_by": [self.text(p, columns) for p in call.partition]}
        if call.order:
            parts["order"] = exp.Order(expressions=[self.key(k, columns) for k in call.order])
        if call.name not in ("row_number", "rank", "dense_rank", "lag", "lead"):
            ends = {"all": (None, None), "rows": (None, 0), "range": (None, 0)}
            lo, hi = call.frame if isinstance(call.frame, tuple) else ends[call.frame]
            (start, start_side), (end, end_side) = _edge(lo, "PRECEDING"), _edge(hi, "FOLLOWING")
            parts["spec"] = exp.WindowSpec(
                kind="RANGE" if call.frame in ("all", "range") else "ROWS",
                start=start, start_side=start_side, end=end, end_side=end_side,
            )  # fmt: skip
        return self.cast(exp.Window(this=self.function(call, columns), over="OVER", **parts), call.type)


def _edge(offset: int | None, side: str) -> tuple[str | Node, str | None]:
    """The start or end of a frame: so many rows after the current one."""
    if not offset:
        return ("CURRENT ROW", None) if offset == 0 else ("UNBOUNDED", side)
    return exp.Literal.number(abs(offset)), "PRECEDING" if offset < 0 else "FOLLOWING"


def _renames(relation: Project) -> bool:
    return all(isinstance(e, Ref) for _, e in relation.items)


def _columns(alias: str, columns: Iterable[Column], names: list[str]) -> dict[Column, Node]:
    return {c: exp.column(exp.to_identifier(n, quoted=True), alias) for c, n in zip(columns, names, strict=True)}


def _wrap(node: Node) -> Node:
    """In parentheses where an operator inside could bind less than the one around."""
    bare = (exp.Column, exp.Literal, exp.Cast, exp.Paren, exp.Boolean, exp.Null, exp.Func, exp.Case, exp.Anonymous)
    return node if isinstance(node, bare) and not isinstance(node, (exp.And, exp.Or)) else exp.paren(node)


def _pg_part(part: str, node: Node) -> Node:
    return exp.Anonymous(this="date_part", expressions=[exp.Literal.string(part), node.copy()])


def _moment(raw: int, kind: SqlType) -> str:
    if kind.kind == "date":
        return (_EPOCH + timedelta(days=raw)).isoformat()
    return (datetime(1970, 1, 1) + timedelta(microseconds=raw)).isoformat(sep=" ")


def _not_in_postgres(name: str, expected: str, instead: str) -> SqlError:
    return SqlError(
        "SQL-006", f"{name.upper()} is not the same in PostgreSQL", expected=expected,
        next=f"{instead}, or load the table into DuckDB",
    )  # fmt: skip
