"""Random rows and typed expressions on them, computed on arrays and by DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from plan_oracle import Oracle
from tacit.frontends.sql import functions as f
from tacit.frontends.sql.algebra import Call, Column, Constant, Expr, Project, Query, Ref, Scan
from tacit.frontends.sql.catalogue import Field, Part, Table
from tacit.frontends.sql.frame import Frame, Vector
from tacit.frontends.sql.render import render
from tacit.frontends.sql.result import disclosed
from tacit.frontends.sql.scalar import evaluate
from tacit.frontends.sql.types import (
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    TEXT,
    TIMESTAMP,
    Dictionary,
    SqlType,
    decimal,
    laid_out,
    to_arrow,
    words_of,
    words_range,
)
from tacit.frontends.sql.vectors import text_words
from tacit.plan import BOOL, Interval

EPOCH = datetime(1970, 1, 1)
BYTES = 14
"""The longest text."""
WORDS = ["", "a", "b", "ab", "abc", "abcdefg", "abcdefgh", "abcabcabc", "promo brushed", "zz", "é", "ab%", "bcd", "cab"]
LAYOUTS = [Interval(0, BYTES), Interval(0, BYTES - 1), Interval(0, BYTES + 3), Dictionary.of(WORDS)]
"""Ways to lay text out: whole words, a narrower last one, codes."""
MONEY = decimal(9, 2)
KINDS: dict[str, tuple[SqlType, Interval]] = {
    "int": (INTEGER, Interval(-1000, 1000)),
    "dec": (MONEY, Interval(-100_000, 100_000)),
    "double": (DOUBLE, Interval(-(2**26), 2**26)),
    "bool": (BOOLEAN, Interval(0, 1)),
    "date": (DATE, Interval(-26_000, 48_000)),
    "ts": (TIMESTAMP, Interval(-(2**50), 2**52)),
    "text": (TEXT, Interval(0, BYTES)),
}


def raw_value(kind: str, rng: Random) -> int | str:
    lo, hi = KINDS[kind][1].lo, KINDS[kind][1].hi
    if kind == "text":
        return rng.choice(WORDS)
    if kind == "double":
        return rng.randint(-256, 256) << 14
    edge = rng.random()
    if edge < 0.1:
        return rng.choice([lo, hi])
    if edge < 0.4 and kind in ("int", "dec"):
        return rng.choice([-250, -50, -5, -1, 0, 1, 2, 5, 50, 250, 1250 if kind == "dec" else 15])
    return rng.randint(lo, hi)


def python_value(raw: int | str | None, kind: SqlType) -> Any:
    if raw is None or isinstance(raw, str):
        return raw
    return {
        "bool": lambda: bool(raw),
        "int": lambda: raw,
        "decimal": lambda: Decimal(raw).scaleb(-kind.scale),
        "double": lambda: raw / 2**18,
        "date": lambda: date(1970, 1, 1) + timedelta(raw),
        "timestamp": lambda: EPOCH + timedelta(microseconds=raw),
    }[kind.kind]()


class Rows:
    """A table of random rows: two columns of each type, the second with NULLs; for DuckDB, and as a frame of arrays of
    two owners."""

    def __init__(
        self,
        rng: Random,
        rows: int,
        kinds: Sequence[str] = tuple(KINDS),
        session: Any = None,
        layouts: Sequence[Interval] = LAYOUTS,
    ) -> None:
        self.rows, self.oracle = rows, Oracle()
        self.columns: dict[str, list[Column]] = {}
        fields, values, vectors = [], [], {}
        for kind in kinds:
            type_, domain = KINDS[kind]
            for nullable in (False, True):
                domain = rng.choice(layouts) if kind == "text" else domain
                column = Column(f"{kind}{int(nullable)}", type_, nullable, domain)
                raws = [None if nullable and rng.random() < 0.3 else raw_value(kind, rng) for _ in range(rows)]
                self.columns.setdefault(kind, []).append(column)
                fields.append(Field(column.name, type_, nullable, domain))
                values.append(pa.array([python_value(r, type_) for r in raws], to_arrow(type_)))
                vectors[column] = self.vector(raws, column, len(vectors) % 2, session)
        self.table = Table("t", tuple(fields), (Part(0, "t", rows),))
        self.scan = Scan(self.table, tuple(x.name for x in fields), tuple(vectors))
        self.arrow = pa.table(values, names=[x.name for x in fields])
        self.frame = Frame(rows, vectors)

    def vector(self, raws: Sequence[Any], column: Column, party: int, session: Any) -> Vector:
        dtype = column.type.dtype

        def array(values: list[int], dtype: Any, interval: Interval) -> Any:
            data = np.array(values, np.int64)
            if session is not None:
                whole = data.astype(bool) if dtype == BOOL else data / 2.0**18 if dtype.is_fixed else data
                scale = 2.0**dtype.f
                span = None if dtype == BOOL else (interval.lo / scale, interval.hi / scale)
                return session.input(whole, party=party, range=span)
            return self.oracle.program.input((len(values),), dtype, party, data, interval=interval)

        kind = laid_out(column.type, column.domain)
        if kind.values:
            words: Any = (array([kind.values.index(r) if r else 0 for r in raws], dtype, words_range(kind, 0)),)
        elif kind.kind == "text":
            packed = [text_words((r or "").encode(), kind.size) for r in raws]
            count = words_of(column.type, column.domain)
            words = tuple(array([p[k] for p in packed], dtype, words_range(kind, k)) for k in range(count))
        else:
            words = (array([r or 0 for r in raws], dtype, column.domain | Interval(0, 0)),)
        null = array([r is None for r in raws], BOOL, Interval(0, 1)) if column.nullable else None
        return Vector(kind, words, null)

    def ours(self, exprs: Sequence[Expr], session: Any = None) -> tuple[Any, Project]:
        """What the expressions give on arrays, and the relation they make."""
        items = tuple((Column(f"x{k}", e.type, e.nullable, e.domain), e) for k, e in enumerate(exprs))
        relation = Project(self.scan, items)
        frame = Frame(self.rows, {c: evaluate(e, self.frame) for c, e in items})
        result = disclosed(frame, Query(relation, tuple(c.name for c, _ in items)))
        program = self.oracle.program if session is None else result.arrays[0].program
        values = program.reveal(result.arrays, None, "test")
        raws = [
            np.rint(v * 2.0**18).astype(np.int64) if a.dtype.is_fixed else np.asarray(v)
            for v, a in zip(values, result.arrays, strict=True)
        ]
        return result.table([r if r.dtype.kind == "b" else r.astype(np.int64) for r in raws]), relation

    def theirs(self, relation: Project) -> Any:
        with duckdb.connect() as db:
            db.register("t", self.arrow)
            return db.sql(render(relation, "duckdb", {"t": ("t",)})).to_arrow_table()


def check(rows: Rows, exprs: Sequence[Expr], session: Any = None, loose: float = 1e-12) -> None:
    """Both give the same, in the same types; doubles within a relative (below 1, absolute) distance."""
    ours, relation = rows.ours(exprs, session)
    theirs = rows.theirs(relation)
    for k, expr in enumerate(exprs):
        got, want = ours.column(k).to_pylist(), theirs.column(k).to_pylist()
        text = render(Project(rows.scan, relation.items[k : k + 1]), "duckdb", {"t": ("t",)})
        assert ours.column(k).type == to_arrow(expr.type), text
        for g, w, row in zip(got, want, rows.arrow.to_pylist(), strict=True):
            same = g == w
            if isinstance(g, float) and isinstance(w, float):
                same = abs(g - w) <= loose * max(1.0, abs(w))
            assert same, (text, row, g, w)


class Maker:
    """Random expressions of a kind on the columns of `rows`."""

    def __init__(self, rng: Random, rows: Rows) -> None:
        self.rng, self.rows = rng, rows

    def leaf(self, kind: str) -> Expr:
        if self.rng.random() < 0.7:
            return Ref(self.rng.choice(self.rows.columns[kind]))
        if self.rng.random() < 0.1:
            return Constant(None, KINDS[kind][0])
        return Constant(raw_value(kind, self.rng), KINDS[kind][0])

    def make(self, kind: str, depth: int) -> Expr:
        if depth == 0:
            return self.leaf(kind)
        make = lambda k: self.make(k, depth - 1)  # noqa: E731
        options: list[Any] = [
            lambda: f.apply("case", [make("bool"), make(kind), make(kind)]),
            lambda: f.apply("coalesce", [make(kind), make(kind)]),
        ]
        if kind != "double":
            options += [lambda: f.apply(self.rng.choice(["least", "greatest"]), [make(kind), make(kind), make(kind)])]
        options += getattr(self, f"_{kind}")(make)
        return self.rng.choice(options)()

    def _bool(self, make: Any) -> list[Any]:
        kind = self.rng.choice(["int", "dec", "bool", "date", "ts", "text"])
        compare = self.rng.choice(["eq", "ne", "lt", "le", "gt", "ge", "distinct"])
        constants = [Constant(raw_value(kind, self.rng), KINDS[kind][0]) for _ in range(self.rng.randint(1, 4))]
        if self.rng.random() < 0.2:
            constants.append(Constant(None, KINDS[kind][0]))
        parts = ["%", "a", "ab", "abc", "%", "c", "é", "bcd"]
        pattern = "".join(self.rng.choice(parts) for _ in range(self.rng.randint(1, 4)))
        return [
            lambda: f.apply(compare, [make(kind), make(kind)]),
            lambda: f.apply(compare, [make(kind), make(kind)]),
            lambda: f.apply(self.rng.choice(["and", "or"]), [make("bool") for _ in range(self.rng.randint(2, 3))]),
            lambda: f.apply("not", [make("bool")]),
            lambda: f.apply("is_null", [make(kind)]),
            lambda: f.apply("in", [make(kind), *constants]),
            lambda: f.call("like", [make("text")], pattern, None, False),
            lambda: f.cast(make(self.rng.choice(["int", "dec"])), BOOLEAN),
        ]

    def _int(self, make: Any) -> list[Any]:
        part = self.rng.choice(["year", "quarter", "month", "week", "day", "doy", "dow", "isodow"])
        time = self.rng.choice(["hour", "minute", "second", "year", "month", "week"])
        unit = self.rng.choice(["day", "week", "month", "quarter", "year"])
        small = Constant(self.rng.choice([-7, -1, 1, 2, 10]), INTEGER)
        as_int = lambda e: f.cast(e, INTEGER)  # noqa: E731
        return [
            lambda: f.apply(self.rng.choice(["add", "sub"]), [Ref(self.rows.columns["int"][0]), make("int")]),
            lambda: f.apply("mul", [Ref(self.rows.columns["int"][1]), small]),
            lambda: f.apply(self.rng.choice(["idiv", "mod"]), [make("int"), self.leaf("int")]),
            lambda: f.apply(self.rng.choice(["idiv", "mod"]), [make("int"), small]),
            lambda: f.call(self.rng.choice(["neg", "abs"]), [make("int")]),
            lambda: as_int(f.call("sign", [make(self.rng.choice(["int", "dec"]))])),
            lambda: as_int(make("bool")),
            lambda: f.call("round", [Ref(self.rows.columns["int"][1])], -1),
            lambda: as_int(f.call("date_part", [make("date")], part)),
            lambda: as_int(f.call("date_part", [make("ts")], time)),
            lambda: as_int(f.call("date_diff", [make("date"), make("date")], unit)),
            lambda: f.cast(f.call("date_diff", [make("ts"), make("ts")], self.rng.choice([unit, "hour"])), INTEGER),
        ]

    def _dec(self, make: Any) -> list[Any]:
        digits = self.rng.choice([0, 1, -1])
        money = lambda e: f.cast(e, decimal(12, 2))  # noqa: E731
        column = lambda: Ref(self.rng.choice(self.rows.columns["dec"]))  # noqa: E731
        factor = Constant(self.rng.choice([-15, 5, 107]), decimal(3, 2))
        return [
            lambda: money(f.apply(self.rng.choice(["add", "sub"]), [column(), make("int")])),
            lambda: money(f.apply("mul", [column(), factor])),
            lambda: money(f.call("round", [column()], digits)),
            lambda: money(f.call(self.rng.choice(["neg", "abs", "floor", "ceil"]), [column()])),
            lambda: money(f.apply("mod", [column(), self.leaf("dec")])),
            lambda: f.cast(make("int"), decimal(12, 2)),
        ]

    def _double(self, make: Any) -> list[Any]:
        return [
            lambda: f.apply(self.rng.choice(["add", "sub"]), [self.leaf("double"), make("double")]),
            lambda: f.apply("mul", [self.leaf("double"), self.leaf("double")]),
            lambda: f.call(self.rng.choice(["neg", "abs", "floor", "ceil", "round"]), [self.leaf("double")]),
            lambda: f.cast(make("int"), DOUBLE),
        ]

    def _date(self, make: Any) -> list[Any]:
        column = lambda: Ref(self.rng.choice(self.rows.columns["date"]))  # noqa: E731
        unit = self.rng.choice(["year", "quarter", "month", "week", "day"])
        return [
            lambda: f.call("add_days", [column(), Ref(self.rng.choice(self.rows.columns["int"]))]),
            lambda: f.call("add_months", [column()], self.rng.choice([-25, -12, -1, 0, 1, 5, 12, 36])),
            lambda: f.cast(f.call("date_trunc", [column()], unit), DATE),
            lambda: f.cast(make("ts"), DATE),
        ]

    def _ts(self, make: Any) -> list[Any]:
        column = lambda: Ref(self.rng.choice(self.rows.columns["ts"]))  # noqa: E731
        unit = self.rng.choice(["year", "month", "week", "day", "hour", "minute", "second"])
        return [
            lambda: f.call("date_trunc", [column()], unit),
            lambda: f.call("add_months", [column()], self.rng.choice([-13, 1, 12])),
            lambda: f.call("add_micros", [column(), Ref(self.rng.choice(self.rows.columns["int"]))]),
            lambda: f.cast(make("date"), TIMESTAMP),
        ]

    def _text(self, make: Any) -> list[Any]:
        return []


__all__ = ["Call", "Maker", "Rows", "check"]
