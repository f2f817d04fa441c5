# SPDX-License-Identifier: Apache-2.0
"""A differential fuzzer: random tables and random queries, answered by a session and by DuckDB over the pooled tables.

`make fuzz-sql` runs many cases, and reduces those that fail. Whatever DuckDB refuses is drawn again, so a case is valid
by construction. Queries say nothing that SQL leaves open: rows are compared as a multiset unless the query orders them
by all of its columns, and window functions order by all that they see.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import repeat
from multiprocessing import get_context
from typing import Any, Final, Literal

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

import tacit
from tacit.errors import InputError, SqlError, TacitError

GROUP: Final = 8
"""Seeds that share their tables, so that registering them is paid once."""
RENEW: Final = 200
"""Cases after which a session is replaced by a new one."""
ALLOWED: Final = frozenset(["SQL-006", "SQL-008", "SQL-010", "SQL-015"])
"""Refusals that say what is not supported, or has no room: counted, not failures."""
REFUSED_MAX: Final = 0.15

Verdict = Literal["same", "refused", "differs", "crash"]


@dataclass(frozen=True, eq=False)
class Held:
    """A table: all its rows, and of each row the party that holds it."""

    name: str
    rows: pa.Table
    owner: tuple[int, ...]
    unique: tuple[str, ...] = ()
    bound: int | None = None
    parties: tuple[int, ...] = ()
    """Who has a part, of no rows perhaps, besides the owners of rows."""
    layouts: Mapping[str, int | tuple[str, ...]] = field(default_factory=dict)
    """Of columns of text the most bytes, or all values, as they are declared."""

    def register(self, session: Any) -> None:
        """Make the table known to a session."""
        session.table(
            self.name,
            self.parts(),
            unique=list(self.unique),
            rows=self.bound or "exact",
            ranges={c: (0, n) for c, n in self.layouts.items() if isinstance(n, int)},
            values={c: v for c, v in self.layouts.items() if isinstance(v, tuple)},
        )

    def parts(self) -> dict[int, pa.Table]:
        """The rows of each party; of party 0 if there is none."""
        parties = sorted({*self.owner, *self.parties}) or [0]
        return {p: self.rows.filter(pa.array([o == p for o in self.owner], pa.bool_())) for p in parties}

    def without(self, row: int) -> Held:
        """The table with a row less."""
        kept = [k for k in range(len(self.owner)) if k != row]
        return replace(self, rows=self.rows.take(pa.array(kept, pa.int64())), owner=tuple(self.owner[k] for k in kept))


@dataclass(frozen=True)
class Case:
    """Tables and a query over them; `ordered` if its rows have an order."""

    tables: tuple[Held, ...]
    query: str
    ordered: bool = False


# --- tables ---------------------------------------------------------------------------------------------------------

_TYPES: Final = {
    "int": (pa.int32(), pa.int64(), pa.int32(), pa.int16(), pa.int8(), pa.uint16()),
    "decimal": (pa.decimal128(9, 2), pa.decimal128(15, 2), pa.decimal128(5, 1), pa.decimal128(10, 4)),
    "double": (pa.float64(),),
    "bool": (pa.bool_(),),
    "date": (pa.date32(),),
    "timestamp": (pa.timestamp("us"),),
    "text": (pa.string(),),
}
_NAMES: Final = {"int": "INTEGER", "decimal": "DECIMAL(9,2)", "text": "VARCHAR", "bool": "BOOLEAN"} | {
    kind: kind.upper() for kind in ("double", "date", "timestamp")
}
_WORDS: Final = (
    "",
    "a",
    "b",
    "ab",
    "Ab",
    "abc",
    "b a",
    "zebra",
    "élan",
    "a%b",
    "x_y",
    "unfathomable",
    "straße",
    "日本",
    "a😀b",
)
_DAY: Final = date(1996, 2, 27)


def _value(rng: random.Random, kind: str, arrow: Any) -> Any:
    if kind == "int":
        number = rng.choice((rng.randint(-3, 3), rng.randint(0, 5), rng.randint(-60, 60)))
        return abs(number) if arrow == pa.uint16() else number
    if kind == "decimal":
        return Decimal(rng.choice((rng.randint(-40, 40), rng.randint(-3000, 3000)))).scaleb(-arrow.scale)
    if kind == "double":
        # Dyadic, so that sums and products of a few are exact in either arithmetic.
        return rng.choice((rng.randint(-8, 8) / 4, rng.randint(-400, 400) / 8))
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "date":
        return _DAY + timedelta(rng.choice((rng.randint(-2, 4), rng.randint(-900, 900))))
    if kind == "timestamp":
        day = _value(rng, "date", None)
        return datetime(day.year, day.month, day.day) + timedelta(seconds=rng.choice((0, 3600, rng.randint(0, 86399))))
    return rng.choice(_WORDS)


@lru_cache(4)
def tables(seed: int) -> tuple[Held, ...]:
    """One to three tables of a few rows: NULLs, duplicates, keys, parts, some of them empty or padded."""
    rng = random.Random(f"tables {seed}")
    made = []
    for name in ("t", "u", "v")[: rng.choice((2, 3, 3))]:
        count = rng.choice((0, 1, 3, 5, 7, 9, 12))
        kinds = ["int", rng.choice(("int", "text", "int")), *rng.choices(sorted(_TYPES), k=rng.randint(2, 4))]
        if rng.random() < 0.7:
            kinds += ["text", "date", "decimal"][: rng.randint(1, 3)]
        keyed = rng.random() < 0.5
        columns, fields = [], []
        for k, kind in enumerate(kinds):
            arrow = rng.choice(_TYPES[kind])
            key = keyed and k == 0
            missing = 0.0 if key else rng.choice((0.0, 0.15, 0.4, 1.0 if rng.random() < 0.1 else 0.2))
            values = [None if rng.random() < missing else _value(rng, kind, arrow) for _ in range(count)]
            if key:
                values = rng.sample(range(0 if arrow == pa.uint16() else -4, 14), count)
            columns.append(pa.array(values, arrow))
            fields.append(f"{'k' if k == 0 else 'abcdefghij'[k]}{'' if rng.random() < 0.3 else k}")
        split = rng.choice(("one", "one", "two", "three"))
        parties = {"one": [rng.randrange(3)], "two": rng.sample(range(3), 2), "three": [0, 1, 2]}[split]
        owner = tuple(rng.choice(parties) for _ in range(count))
        bound = 14 if rng.random() < 0.2 else None
        unique = (fields[0],) if keyed and rng.random() < 0.7 else ()
        held = tuple(parties) if rng.random() < 0.5 else ()
        table = Held(name, pa.table(columns, names=fields), owner, unique, bound, held)
        made.append(replace(table, layouts=_layouts(random.Random(f"layouts {seed} {name}"), table.rows)))
    return tuple(made)


def _layouts(rng: random.Random, rows: pa.Table) -> dict[str, int | tuple[str, ...]]:
    """Layouts that fit what columns of text hold."""
    out: dict[str, int | tuple[str, ...]] = {}
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if pa.types.is_string(column.type) and rng.random() < 0.6:
            there = {v for v in column.to_pylist() if v is not None}
            more = rng.sample(_WORDS, rng.randint(1, len(_WORDS)))
            out[name] = rng.choice((max(len(v.encode()) for v in _WORDS), tuple({*there, *more})))
    return out


# --- queries --------------------------------------------------------------------------------------------------------

_KINDS: Final = tuple(_TYPES)
_REAL: Final = "real"
"""A double that is rounded differently here and there: shown, and not compared or grouped by."""


def _kind(arrow: Any) -> str:
    for kind, names in _TYPES.items():
        if arrow in names:
            return kind
    raise AssertionError(arrow)


Columns = list[tuple[str, str]]
"""Names, as they may be written, and kinds."""


@dataclass
class _Maker:
    """Draws one query."""

    rng: random.Random
    tables: Sequence[Held]
    ctes: dict[str, Columns] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    """Queries that have to be valid on their own: DuckDB does not look into those of WITH that nobody uses."""
    serial: int = 0
    subqueries: int = 2

    def alias(self) -> str:
        self.serial += 1
        return f"r{self.serial}"

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def pick(self, *options: Any) -> Any:
        return self.rng.choice(options)

    # --- expressions: `scope` is what names may be used, `joint` that text functions have no home ---

    def constant(self, kind: str) -> str:
        if kind not in ("date", "timestamp") and self.chance(0.04):
            return f"CAST(NULL AS {_NAMES[kind]})"
        if kind == "int":
            return str(self.pick(0, 1, 2, 3, -1, 10, self.rng.randint(-60, 60)))
        if kind == "decimal":
            return self.pick("0.5", "1.25", "-2.00", "10.0", f"{self.rng.randint(-300, 300) / 10}")
        if kind == "double":
            return f"CAST({self.rng.randint(-40, 40) / 4} AS DOUBLE)"
        if kind == "bool":
            return self.pick("TRUE", "FALSE")
        if kind == "date":
            return f"DATE '{_value(self.rng, 'date', None)}'"
        if kind == "timestamp":
            return f"TIMESTAMP '{_value(self.rng, 'timestamp', None)}'"
        return "'" + self.rng.choice(_WORDS) + "'"

    def column(self, scope: Columns, kind: str) -> str | None:
        names = [n for n, k in scope if k == kind]
        return self.rng.choice(names) if names else None

    def expr(self, scope: Columns, kind: str, depth: int = 2) -> str:
        """An expression of a kind."""
        column = self.column(scope, kind)
        if depth <= 0 or self.chance(0.45):
            return column if column and self.chance(0.85) else self.constant(kind)
        letter = self.pick("'a'", "'b'", "'ab'", "''")
        e: Callable[..., str] = lambda k=kind: self.expr(scope, k, depth - 1)  # noqa: E731
        general = [
            lambda: f"CASE WHEN {e('bool')} THEN {e()} ELSE {e()} END",
            lambda: f"CASE WHEN {e('bool')} THEN {e()} END",
            lambda: f"COALESCE({e()}, {e()})",
            lambda: f"NULLIF({e()}, {e()})",
        ]
        if self.subqueries > 0 and self.chance(0.06) and kind != "bool":
            self.subqueries -= 1
            made = self.scalar(scope, kind)
            if made:
                return made
        own: dict[str, list[Callable[[], str]]] = {
            "int": [
                lambda: f"({e()} {self.pick('+', '-', '*')} {e()})",
                lambda: f"({e()} {self.pick('//', '%')} {e()})",
                lambda: f"{self.pick('abs', 'sign', '-')}({e()})",
                lambda: f"{self.pick('greatest', 'least')}({e()}, {e()})",
                lambda: (
                    f"EXTRACT({self.pick('year', 'month', 'day', 'quarter', 'dow', 'doy', 'week', 'isodow', 'hour')}"
                    f" FROM {e(self.pick('date', 'timestamp'))})"
                ),
                lambda: f"date_diff('{self.pick('hour', 'second', 'week')}', {e('timestamp')}, {e('timestamp')})",
                lambda: f"({e('date')} - {e('date')})",
                lambda: f"length({self.column(scope, 'text') or self.constant('text')})",
                lambda: f"strpos({self.column(scope, 'text') or self.constant('text')}, {letter})",
                lambda: f"date_diff('{self.pick('day', 'month', 'year')}', {e('date')}, {e('date')})",
                lambda: f"CAST({e(self.pick('bool', 'decimal', 'int', 'double'))} AS {self.pick('INTEGER', 'BIGINT')})",
                lambda: f"CASE {e()} WHEN {self.constant(kind)} THEN {e()} WHEN 2 THEN 5 ELSE {e()} END",
            ],
            "decimal": [
                lambda: f"({e()} {self.pick('+', '-')} {e()})",
                lambda: f"({e()} * {e(self.pick('int', 'decimal'))})",
                lambda: f"({e()} + {e('int')})",
                lambda: f"abs({e()})",
                lambda: f"round({e()}, {self.pick(0, 1, 2)})",
                lambda: f"CAST({e(self.pick('int', 'decimal'))} AS DECIMAL({self.pick('9,2', '15,3', '12,1')}))",
            ],
            "double": [
                lambda: f"({e()} {self.pick('+', '-')} {e(self.pick('double', 'int'))})",
                lambda: f"{self.pick('abs', 'floor', 'ceil', '-')}({e()})",
                lambda: f"({e()} * {self.pick('2', '0.5', '-1')})",
                lambda: f"CAST({e('int')} AS DOUBLE)",
            ],
            "bool": [
                *[lambda: self.comparison(scope, depth)] * 5,
                lambda: f"({e()} {self.pick('AND', 'OR')} {e()})",
                lambda: f"({e()} {self.pick('AND', 'OR')} {e()} {self.pick('AND', 'OR')} {e()})",
                lambda: f"(NOT {e()})",
                lambda: f"({self.expr(scope, self.any(scope), depth - 1)} IS {self.pick('', 'NOT ')}NULL)",
            ],
            "date": [
                lambda: f"({e()} {self.pick('+', '-')} {self.rng.randint(0, 40)})",
                lambda: (
                    f"CAST({e()} {self.pick('+', '-')} INTERVAL '{self.rng.randint(0, 14)}' "
                    f"{self.pick('DAY', 'MONTH', 'YEAR')} AS DATE)"
                ),
                lambda: f"CAST(date_trunc('{self.pick('month', 'year', 'quarter', 'week')}', {e()}) AS DATE)",
                lambda: f"CAST({e('timestamp')} AS DATE)",
                lambda: f"{self.pick('greatest', 'least')}({e()}, {e()})",
                lambda: f"last_day({e(self.pick('date', 'timestamp'))})",
            ],
            "timestamp": [
                lambda: (
                    f"({e()} {self.pick('+', '-')} INTERVAL '{self.rng.randint(0, 14)}' "
                    f"{self.pick('DAY', 'MONTH', 'HOUR')})"
                ),
                lambda: f"date_trunc('{self.pick('hour', 'day', 'month')}', {e()})",
                lambda: f"CAST({e('date')} AS TIMESTAMP)",
            ],
            "text": [
                lambda: f"{self.pick('upper', 'lower', 'trim')}({column or self.constant(kind)})",
                lambda: f"substring({column or self.constant(kind)}, {self.pick(1, 2)}, {self.pick(1, 2, 3)})",
                lambda: f"({column or self.constant(kind)} || {self.constant(kind)})",
                lambda: f"concat({column or self.constant(kind)}, {self.constant(kind)})",
                lambda: f"{self.pick('left', 'right')}({column or self.constant(kind)}, {self.pick(1, 2, -1)})",
                lambda: f"replace({column or self.constant(kind)}, 'a', {letter})",
                lambda: f"{self.pick('reverse', 'ltrim', 'rtrim')}({column or self.constant(kind)})",
            ],
        }
        return self.rng.choice(general + own[kind] * (2 if kind != "text" else 1))()

    def real(self, scope: Columns, depth: int = 1) -> str:
        """A double that is rounded differently here and there."""
        number = self.pick("int", "decimal", "int", "double")
        x, y = self.expr(scope, number, depth), self.expr(scope, self.pick("int", "decimal", "double"), depth)
        return self.pick(f"({x} / {y})", f"sqrt(abs({x}))", f"exp(({x}) / 100)", f"ln(abs({x}) + 1)", f"power({x}, 2)")

    def any(self, scope: Columns) -> str:
        """A kind that the scope has."""
        return self.rng.choice([k for _, k in scope if k != _REAL] or ["int"])

    def comparison(self, scope: Columns, depth: int) -> str:
        kind = self.any(scope)
        x = self.expr(scope, kind, depth - 1)
        y = self.expr(scope, kind, depth - 1)
        operator = self.pick("=", "<>", "<", "<=", ">", ">=", "=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
        choices = [f"({x} {operator} {y})"] * 3
        choices.append(f"({x} {self.pick('', 'NOT ')}BETWEEN {y} AND {self.expr(scope, kind, depth - 1)})")
        listed = ", ".join(self.constant(kind) for _ in range(self.rng.randint(1, 4)))
        choices.append(f"({x} {self.pick('', 'NOT ')}IN ({listed}))")
        if kind == "text":
            column = self.column(scope, kind) or "''"
            pattern = self.pick("a%", "%b", "%a%", "_b%", "", "a_b", "%", "Z%", "a%b%")
            choices = [*choices[:2], f"({column} {self.pick('', 'NOT ')}{self.pick('LIKE', 'ILIKE')} '{pattern}')"]
            test = self.pick("starts_with", "contains", "suffix", "regexp_matches", "regexp_full_match")
            choices.append(f"{test}({column}, '{self.pick('a', 'b', 'ab')}')")
        if kind in ("int", "decimal"):
            choices.append(f"({x} {self.pick('<', '>=')} {self.expr(scope, self.pick('int', 'decimal'), 0)})")
            if self.chance(0.3):
                choices.append(f"(({x} / {y}) {self.pick('<', '>')} {self.constant(kind)})")
        if self.subqueries > 0 and self.chance(0.35):
            self.subqueries -= 1
            return self.subquery_test(scope, kind, x)
        return self.rng.choice(choices)

    def inner(self, scope: Columns) -> tuple[str, Columns, str]:
        """FROM of a subquery, its columns, and its WHERE, correlated or not."""
        source, inner = self.relation(allow_subquery=False)
        conditions = []
        correlated = self.chance(0.6)
        if correlated:
            pairs = [(a, b) for a, k in inner for b, j in scope if k == j and k != _REAL]
            if pairs:
                a, b = self.rng.choice(pairs)
                conditions.append(f"{a} = {b}")
        if self.chance(0.4):
            conditions.append(self.expr(inner, "bool", 1))
        return source, inner, f" WHERE {' AND '.join(conditions)}" if conditions else ""

    def scalar(self, scope: Columns, kind: str) -> str | None:
        """A scalar subquery of a kind, if a table has it."""
        source, inner, where = self.inner(scope)
        column = self.column(inner, kind)
        return f"(SELECT {self.pick('max', 'min')}({column}) FROM {source}{where})" if column else None

    def subquery_test(self, scope: Columns, kind: str, x: str) -> str:
        """EXISTS, IN or a comparison with a scalar subquery."""
        source, inner, where = self.inner(scope)
        same = [a for a, k in inner if k == kind]
        form = self.pick("exists", "in", "scalar", "scalar")
        if form == "exists" or not same:
            return f"({self.pick('', 'NOT ')}EXISTS (SELECT {self.pick('1', '*')} FROM {source}{where}))"
        column = self.rng.choice(same)
        if form == "in":
            test = self.pick("IN", "IN", "NOT IN", "NOT IN", "= ANY", "<> ALL")
            return f"({x} {test} (SELECT {column} FROM {source}{where}))"
        if kind in ("int", "decimal", "double"):
            what = self.pick("max", "min", "sum", "avg", "count")
            return f"({x} {self.pick('<', '>', '=', '<=')} (SELECT {what}({column}) FROM {source}{where}))"
        what = self.pick("max", "min") if kind != "bool" else "bool_or"
        return f"({x} {self.pick('=', '<>')} (SELECT {what}({column}) FROM {source}{where}))"

    # --- FROM ---

    def relation(self, *, allow_subquery: bool = True, depth: int = 1) -> tuple[str, Columns]:
        """A table, a name of WITH or a subquery, under an alias of its own."""
        alias = self.alias()
        if allow_subquery and depth > 0 and self.chance(0.2):
            text, columns, _ = self.query(depth - 1)
            return f"({text}) AS {alias}", [(f"{alias}.{n}", k) for n, k in columns]
        if self.ctes and self.chance(0.5):
            name = self.rng.choice(list(self.ctes))
            return f"{name} AS {alias}", [(f"{alias}.{n}", k) for n, k in self.ctes[name]]
        if self.chance(0.03):
            kinds = self.rng.choices(("int", "text", "decimal", "bool"), k=2)
            rows = ", ".join(f"({', '.join(self.constant(k) for k in kinds)})" for _ in range(self.pick(1, 2, 3)))
            return f"(VALUES {rows}) AS {alias}(k, b)", [(f"{alias}.{n}", k) for n, k in zip("kb", kinds, strict=True)]
        table = self.rng.choice(self.tables)
        columns = [(f.name, _kind(f.type)) for f in table.rows.schema]
        return f"{table.name} AS {alias}", [(f"{alias}.{n}", k) for n, k in columns]

    def on(self, left: Columns, right: Columns) -> str:
        pairs = [(a, b) for a, k in left for b, j in right if k == j and k not in (_REAL, "bool")]
        pairs = [p for p in pairs if ".k" in p[0] and ".k" in p[1]] * 3 + pairs
        if not pairs or self.chance(0.05):
            return self.expr(left + right, "bool", 1)
        parts = [" = ".join(self.rng.choice(pairs))]
        if self.chance(0.25):
            parts.append(" = ".join(self.rng.choice(pairs)))
        if self.chance(0.2):
            parts.append(self.expr(left + right, "bool", 1))
        if self.chance(0.04):
            return " OR ".join(parts)
        return " AND ".join(parts)

    def from_(self, depth: int) -> tuple[str, Columns, list[str]]:
        """FROM: its text, the names in scope, and conditions for WHERE."""
        text, scope = self.relation(depth=depth)
        conditions: list[str] = []
        for _ in range(self.pick(0, 0, 1, 1, 1, 2)):
            other, columns = self.relation(depth=depth)
            kind = self.pick("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN", ",", "X")
            names = {(n.rpartition(".")[2], k) for n, k in scope}
            shared = [c for c in ((n.rpartition(".")[2], k) for n, k in columns) if c in names]
            if shared and kind.endswith("JOIN") and self.chance(0.12):
                chosen = self.rng.sample(shared, self.pick(1, 1, min(2, len(shared))))
                text += f" {kind} {other} USING ({', '.join(n for n, _ in chosen)})"
                scope = scope + (chosen if kind not in ("SEMI JOIN", "ANTI JOIN") else [])
            elif kind == "X":
                text += f" CROSS JOIN {other}"
            elif kind == ",":
                text += f", {other}"
                conditions.append(self.on(scope, columns))
            else:
                text += f" {kind} {other} ON {self.on(scope, columns)}"
            if kind not in ("SEMI JOIN", "ANTI JOIN"):
                scope = scope + columns
            if kind in (",",):
                break
        return text, scope, conditions

    # --- SELECT ---

    def aggregate(self, scope: Columns) -> tuple[str, str]:
        """An aggregate and its kind."""
        number = self.pick("int", "decimal", "double")
        x = self.expr(scope, number, 1)
        kind = self.any(scope)
        y = self.expr(scope, kind, 1)
        made: tuple[str, str] = self.pick(
            ("count(*)", "int"),
            (f"count({y})", "int"),
            (f"count(DISTINCT {y})", "int"),
            (f"sum({x})", number),
            (f"sum({x})", number),
            (f"avg({x})", _REAL),
            (f"avg({x})", _REAL),
            (f"{self.pick('min', 'max')}({y})", kind),
            (f"{self.pick('min', 'max')}({y})", kind),
            (f"{self.pick('var_samp', 'var_pop', 'stddev_samp', 'stddev_pop', 'stddev')}({x})", _REAL),
            (f"median({x})", _REAL),
            (f"quantile_disc({x}, {self.pick('0.25', '0.5', '0.9')})", number),
            (f"quantile_cont({x}, {self.pick('0.25', '0.5', '0.9')})", _REAL),
            (f"{self.pick('corr', 'covar_samp', 'covar_pop', 'regr_slope', 'regr_intercept', 'regr_r2', 'regr_avgx')}"
             f"({x}, {self.expr(scope, 'int', 1)})", _REAL),
            (f"regr_{self.pick('avgy', 'sxx', 'syy', 'sxy')}({x}, {self.expr(scope, 'int', 1)})", _REAL),
            (f"percentile_{self.pick('cont', 'disc')}(0.25) WITHIN GROUP (ORDER BY {x})", _REAL),
            (f"count_if({self.expr(scope, 'bool', 1)})", "int"),
            (f"regr_count({x}, {self.expr(scope, 'int', 1)})", "int"),
            (f"{self.pick('bool_and', 'bool_or')}({self.expr(scope, 'bool', 1)})", "bool"),
            (f"sum(DISTINCT {x})", number),
        )  # fmt: skip
        if self.chance(0.12):
            return f"{made[0]} FILTER (WHERE {self.expr(scope, 'bool', 1)})", made[1]
        return made

    def window(self, scope: Columns) -> tuple[str, str]:
        """A window function and its kind."""
        usable = [(n, k) for n, k in scope if k != _REAL]
        if not usable:
            return "count(*) OVER ()", "int"
        partition = self.rng.sample(usable, min(len(usable), self.pick(0, 1, 1, 2)))
        # All columns: rows that tie are then alike, and any order of them gives the same.
        order = self.rng.sample(usable, len(usable))
        keys = ", ".join(self.key(n) for n, _ in order)
        part = f"PARTITION BY {', '.join(n for n, _ in partition)} " if partition else ""
        over = f"OVER ({part}ORDER BY {keys})"
        loose = f"OVER ({part}ORDER BY {self.key(order[0][0])})"
        ends = self.pick(
            "1 PRECEDING", "BETWEEN 2 PRECEDING AND CURRENT ROW", "BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            "BETWEEN CURRENT ROW AND 2 FOLLOWING", "BETWEEN 3 PRECEDING AND 1 PRECEDING",
        )  # fmt: skip
        moving = f"OVER ({part}ORDER BY {keys} ROWS {ends})"
        kind = self.any(scope)
        x = self.expr(scope, kind, 1)
        number = self.pick("int", "decimal", "double")
        y = self.expr(scope, number, 1)
        made: tuple[str, str] = self.pick(
            (f"row_number() {over}", "int"),
            (f"rank() {loose}", "int"),
            (f"dense_rank() {loose}", "int"),
            (f"{self.pick('lag', 'lead')}({x}) {over}", kind),
            (f"{self.pick('lag', 'lead')}({x}, {self.pick(1, 2)}, {self.constant(kind)}) {over}", kind),
            (f"{self.pick('first_value', 'last_value')}({x}) {over}", kind),
            (f"sum({y}) {loose}", number),
            (f"sum({y}) OVER ({part.strip()})", number),
            (f"sum({y}) OVER ({part}ORDER BY {keys} ROWS UNBOUNDED PRECEDING)", number),
            (f"avg({y}) {self.pick(over, loose)}", _REAL),
            (f"count({x}) {loose}", "int"),
            (f"count(*) OVER ({part.strip()})", "int"),
            (f"{self.pick('sum', 'min', 'max')}({y}) {moving}", number),
            (f"avg({y}) {moving}", _REAL),
            (f"count({self.pick('*', x)}) {moving}", "int"),
            (f"{self.pick('percent_rank', 'cume_dist')}() {loose}", _REAL),
            (f"{self.pick('bool_or', 'bool_and')}({self.expr(scope, 'bool', 1)}) {self.pick(over, loose)}", "bool"),
            (f"{self.pick('min', 'max')}({x}) {self.pick(over, loose, f'OVER ({part.strip()})')}", kind),
        )
        return made

    def key(self, text: str) -> str:
        return text + self.pick("", "", " DESC", " NULLS FIRST", " DESC NULLS LAST", " DESC NULLS FIRST")

    def query(
        self, depth: int = 1, *, shape: Sequence[str] | None = None, top: bool = False
    ) -> tuple[str, Columns, bool]:
        """A query, its columns, and whether it orders its rows; `shape` are kinds that its columns must have."""
        if depth > 0 and self.chance(0.12):
            left, columns, _ = self.select(0, shape=shape)
            if any(k == _REAL for _, k in columns):
                return left, columns, False
            right, _, _ = self.select(0, shape=[k for _, k in columns])
            word = self.pick("UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL", "UNION ALL")
            text = f"{left} {word} {right}"
            if self.chance(0.2):
                third, _, _ = self.select(0, shape=[k for _, k in columns])
                text += f" {self.pick('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT')} {third}"
            return self.ordered(text, columns, top)
        text, columns, _ = self.select(depth, shape=shape, top=top)
        return self.ordered(text, columns, top)

    def ordered(self, text: str, columns: Columns, top: bool) -> tuple[str, Columns, bool]:
        if not columns or any(k == _REAL for _, k in columns) or not self.chance(0.35):
            return text, columns, False
        places = self.rng.sample(range(len(columns)), len(columns))
        text += " ORDER BY " + ", ".join(self.key(self.pick(str(p + 1), columns[p][0])) for p in places)
        if self.chance(0.5) or not top:
            text += f" LIMIT {self.pick(0, 1, 2, 3, 5)}" + (f" OFFSET {self.pick(1, 2)}" if self.chance(0.3) else "")
        return text, columns, True

    def select(self, depth: int, *, shape: Sequence[str] | None = None, top: bool = False) -> tuple[str, Columns, bool]:
        """SELECT without ORDER BY."""
        source, scope, conditions = self.from_(depth)
        if self.chance(0.5):
            conditions.append(self.expr(scope, "bool", 2))
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        mode = self.pick("plain", "plain", "group", "group", "group", "window", "distinct", "all")
        if shape is not None:
            items = [(self.expr(scope, k, 1), k) for k in shape]
            return self.written("SELECT", items, f" FROM {source}{where}", False)
        if top and scope and self.chance(0.04):
            return f"SELECT * FROM {source}{where}", [], False
        if mode == "group":
            return self.grouped(source, scope, where, top)
        if mode == "window" and scope:
            items = self.items(scope, self.pick(1, 2)) + [self.window(scope) for _ in range(self.pick(1, 2))]
            tail = f" FROM {source}{where}"
            if self.chance(0.15):
                made, kind = self.window(scope)
                if kind == "int":
                    tail += f" QUALIFY {made} <= {self.pick(1, 2, 3)}"
            return self.written("SELECT", items, tail, top)
        items = self.items(scope, self.rng.randint(1, 4))
        if mode == "distinct":
            return self.written(
                "SELECT DISTINCT", [i for i in items if i[1] != _REAL] or items[:1], f" FROM {source}{where}", top
            )
        return self.written("SELECT", items, f" FROM {source}{where}", top)

    def items(self, scope: Columns, count: int) -> list[tuple[str, str]]:
        made = []
        for k in range(count):
            if k and self.chance(0.1):
                made.append((self.real(scope), _REAL))
            else:
                kind = self.any(scope)
                made.append((self.expr(scope, kind, self.pick(0, 1, 2)), kind))
        return made

    def written(self, word: str, items: list[tuple[str, str]], tail: str, top: bool) -> tuple[str, Columns, bool]:
        parts, columns = [], []
        for k, (text, kind) in enumerate(items):
            parts.append(text if top and "SELECT" not in text and self.chance(0.03) else f"{text} AS c{k}")
            columns.append((f"c{k}", kind))
        return f"{word} {', '.join(parts)}{tail}", columns, False

    def grouped(self, source: str, scope: Columns, where: str, top: bool) -> tuple[str, Columns, bool]:
        """SELECT with GROUP BY, or aggregates of all rows."""
        keys = []
        for _ in range(self.pick(0, 1, 1, 1, 2, 2, 3)):
            kind = self.any(scope)
            left, self.subqueries = self.subqueries, 0
            text = self.expr(scope, kind, self.pick(0, 0, 0, 1))
            self.subqueries = left
            if not any(c in text for c in ".") or text.startswith(("'", "DATE", "TIMESTAMP", "CAST(")):
                continue  # A constant, which means a position.
            keys.append((text, kind))
        aggregates = [self.aggregate(scope) for _ in range(self.rng.randint(1, 3))]
        items = [k for k in keys if self.chance(0.85)] + aggregates
        if self.chance(0.2):
            usable = [a for a in aggregates if a[1] in ("int", "decimal")]
            if usable:
                a = self.rng.choice(usable)
                items.append((f"({a[0]} {self.pick('+', '*')} {self.pick(2, 3)})", a[1]))
                items.append(self.pick(("rank()", "int"), (f"sum({a[0]})", a[1])))
                items[-1] = (f"{items[-1][0]} OVER (ORDER BY {a[0]})", items[-1][1])
        tail = f" FROM {source}{where}"
        if keys:
            listed = ", ".join(k for k, _ in keys)
            style = self.pick("plain", "plain", "plain", "plain", "all", "rollup", "cube", "sets")
            if style == "all":
                tail += " GROUP BY ALL"
            elif style == "plain":
                tail += f" GROUP BY {listed}"
            elif style == "sets":
                tail += f" GROUP BY GROUPING SETS (({listed}), ({keys[0][0]}), ())"
            else:
                tail += f" GROUP BY {style.upper()} ({listed})"
                if self.chance(0.3) and all(t.startswith("r") and " " not in t for t, _ in keys):
                    items.append((f"GROUPING({keys[0][0]})", "int"))
        if self.chance(0.25):
            made, kind = self.aggregate(scope)
            if made.startswith(("corr", "regr_slope", "regr_intercept", "regr_r2")):
                # Not a number, in DuckDB, where nothing varies: that is not NULL there, and NULL here.
                tail += " HAVING count(*) > 1"
            elif kind == _REAL:
                tail += f" HAVING {made} IS NOT NULL"
            elif kind == "bool":
                tail += f" HAVING {made}"
            else:
                tail += f" HAVING {made} {self.pick('>', '<', '<>')} {self.constant(kind)}"
        return self.written("SELECT", items, tail, top)

    def statement(self) -> tuple[str, bool]:
        """A whole query, perhaps with WITH."""
        heads: list[str] = []
        for name in ("w", "y")[: self.pick(0, 0, 0, 0, 0, 0, 1, 2)]:
            text, columns, _ = self.query(0)
            self.parts.append(f"WITH {', '.join(heads)} {text}" if heads else text)
            columns = [c for c in columns if c[1] != _REAL]
            if columns:
                self.ctes[name] = columns
                heads.append(f"{name} AS ({text})")
        text, _, ordered = self.query(1, top=True)
        return f"WITH {', '.join(heads)} {text}" if heads else text, ordered


def case(seed: int) -> Case:
    """The case of a seed: the first query that DuckDB takes."""
    held = tables(seed // GROUP)
    pooled = pool(held)
    for attempt in itertools.count():
        maker = _Maker(random.Random(f"query {seed} {attempt}"), held)
        text, ordered = maker.statement()
        try:
            for part in (*maker.parts, text):
                pooled.execute(part).fetchall()
        except duckdb.Error:
            continue
        return Case(held, text, ordered)
    raise AssertionError


@lru_cache(4)
def pool(held: tuple[Held, ...]) -> Any:
    """DuckDB with all rows of the tables."""
    database = duckdb.connect(config={"threads": 1})
    # Division by zero is NULL: an error would tell that there is a zero, and fixed point has no infinity.
    database.execute("SET ieee_floating_point_ops = false; SET error_on_division_by_zero = false")
    for table in held:
        database.register(f"{table.name}_rows", table.rows)
        database.execute(f"CREATE TABLE {table.name} AS SELECT * FROM {table.name}_rows")
    return database


# --- comparison -----------------------------------------------------------------------------------------------------


class Bench:
    """A session that answers cases, replaced now and then because a session remembers all its tables."""

    def __init__(self, protocol: str = "plain") -> None:
        self.protocol = protocol
        self._session: Any = None
        self._used = 0
        self._held: tuple[Held, ...] = ()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.__exit__(None, None, None)

    def session(self, held: tuple[Held, ...]) -> Any:
        """A session with these tables."""
        self._used += 1
        if self._session is None or self._used > RENEW:
            self.__exit__()
            self._session, self._used, self._held = tacit.local(transport="memory", protocol=self.protocol), 0, ()
            self._session.__enter__()
        if held is not self._held:
            for table in held:
                table.register(self._session)
            self._held = held
        return self._session

    def check(self, case: Case) -> tuple[Verdict, str]:
        """What comes of a case, and in words what is wrong."""
        pooled = pool(case.tables)
        described = pooled.execute(f"DESCRIBE {case.query}").fetchall()
        expected = pooled.sql(case.query).to_arrow_table()
        try:
            session = self.session(case.tables)
            frame = session.sql(case.query)
            table = frame.reveal().table
        except SqlError as error:
            return ("refused" if error.code in ALLOWED else "crash"), f"{error.code} {error.what}"
        except InputError as error:
            # An owner computes narrow integers for all its rows, also for those that the answer does not have.
            return "refused" if "OutOfRange" in str(error) else "crash", f"{error.code} {error.what}"
        except TacitError as error:
            return "crash", f"{type(error).__name__} {error}"
        except Exception as error:  # noqa: BLE001 (whatever it is, it is reported)
            last = traceback.extract_tb(error.__traceback__)[-1]
            return "crash", f"{type(error).__name__} {error} in {last.filename.rpartition('/')[2]}:{last.lineno}"
        schema = [(str(n), str(k).strip('"')) for n, k, *_ in described]
        if [_loose(n) for n, _ in schema] != [_loose(n) for n in frame.names]:
            return "differs", f"names {list(frame.names)}, not {[n for n, _ in schema]}"
        if [k for _, k in schema] != [k for _, k in frame.schema]:
            return "differs", f"types {[k for _, k in frame.schema]}, not {[k for _, k in schema]}"
        if table.schema.types != expected.schema.types:
            return "differs", f"arrow types {table.schema.types}, not {expected.schema.types}"
        rows, wanted = (list(zip(*(c.to_pylist() for c in t.columns), strict=True)) for t in (table, expected))
        if alike(rows, wanted, case.ordered):
            return "same", ""
        return "differs", f"rows {rows}, not {wanted}"


def alike(rows: list[Any], expected: list[Any], ordered: bool) -> bool:
    """Whether two answers are the same, as multisets unless they have an order."""
    if len(rows) != len(expected):
        return False
    expected = [tuple(map(_plain, row)) for row in expected]
    if not ordered:
        rows, expected = sorted(rows, key=_order), sorted(expected, key=_order)
    return all(all(map(_close, a, b)) for a, b in zip(rows, expected, strict=True))


def _order(row: tuple[Any, ...]) -> tuple[str, ...]:
    # Doubles last and rounded: they may differ in their last places. Where they are tells them from NULL.
    exact = ["double" if isinstance(x, float) else repr(x) for x in row]
    return (*exact, *(f"{x + 0.0:.2f}" for x in row if isinstance(x, float)))


def _plain(x: Any) -> Any:
    """Without correlations and slopes that there are not: fixed point has no value for that, and says NULL."""
    return None if isinstance(x, float) and math.isnan(x) else x


def _loose(name: str) -> str:
    """A name but for what DuckDB repeats as it was typed: case, and an order that is the default."""
    return name.lower().replace(" nulls last", "").replace(" asc", "")


def _close(x: Any, y: Any) -> bool:
    if isinstance(x, float) and isinstance(y, float):
        # 18 fractional bits, less what squares and quotients of them lose.
        return x == y or math.isclose(x, y, rel_tol=1e-9, abs_tol=2**-12)
    return type(x) is type(y) and x == y


# --- reduction ------------------------------------------------------------------------------------------------------


def reduce(bench: Bench, failing: Case, verdict: Verdict, what: str) -> Case:
    """A smaller case that fails in the same way: clauses, expressions and rows are left out while it does."""

    def fails(candidate: Case) -> bool:
        try:
            found, words = bench.check(candidate)
        except (duckdb.Error, ValueError):
            return False
        return found == verdict and words.split()[:1] == what.split()[:1]

    tree = sqlglot.parse_one(failing.query, read="duckdb")
    best = replace(failing, query=tree.sql("duckdb"), ordered=False)
    if not fails(best):
        return failing
    while smaller := next((c for c in _smaller(best) if len(c.query) < len(best.query) and fails(c)), None):
        best = smaller
    used = {t.name for t in sqlglot.parse_one(best.query, read="duckdb").find_all(exp.Table)}
    best = replace(best, tables=tuple(t for t in best.tables if t.name in used))
    for table in best.tables:
        for row in reversed(range(len(table.owner))):
            now = next(t for t in best.tables if t.name == table.name)
            less = replace(best, tables=tuple(t.without(row) if t is now else t for t in best.tables))
            best = less if fails(less) else best
    return best


def _smaller(best: Case) -> Iterator[Case]:
    tree = sqlglot.parse_one(best.query, read="duckdb")
    count = len(list(tree.walk()))
    for at in range(count):
        for variant in range(8):
            copy = tree.copy()
            node = list(copy.walk())[at]
            children = [c for c in node.iter_expressions() if isinstance(c, exp.Expression)]
            if variant == 0 and node.parent is not None:
                node.pop()
            elif 0 < variant <= len(children) and node.parent is not None:
                node.replace(children[variant - 1].copy())
            elif 0 < variant <= len(children) and isinstance(children[variant - 1], exp.Query):
                copy = children[variant - 1].copy()
            else:
                continue
            try:
                yield replace(best, query=copy.sql("duckdb"))
            except (sqlglot.errors.SqlglotError, AttributeError, LookupError, TypeError, ValueError):
                continue  # A tree with a hole that has no text.


# --- many cases -----------------------------------------------------------------------------------------------------


@dataclass
class Summary:
    """What came of many cases."""

    counts: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, Verdict, str]] = field(default_factory=list)

    @property
    def refused(self) -> float:
        """The share of cases that were refused."""
        return self.counts["refused"] / max(1, sum(self.counts.values()))

    def add(self, other: Summary) -> None:
        """Take in what came of further cases."""
        self.counts += other.counts
        self.refusals += other.refusals
        self.failures += other.failures


def run(seeds: Sequence[int], protocol: str) -> Summary:
    """Check the cases of all seeds."""
    out = Summary()
    with Bench(protocol) as bench:
        for seed in seeds:
            drawn = case(seed)
            verdict, what = bench.check(drawn)
            out.counts[verdict] += 1
            if verdict == "refused":
                out.refusals[re.sub(r"[0-9]+.*", "", what[7:])] += 1
            elif verdict != "same":
                out.failures.append((seed, verdict, what))
    return out


BLOCK: Final = 100
"""Seeds that a process checks before it tells how far it is."""


def run_all(seeds: Sequence[int], protocol: str, jobs: int) -> Summary:
    """`run` in so many processes, telling how far they are."""
    out = Summary()
    blocks = [seeds[k : k + BLOCK] for k in range(0, len(seeds), BLOCK)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done, made in enumerate(pool.map(run, blocks, repeat(protocol)), start=1):
            out.add(made)
            say(f"{done} of {len(blocks)} blocks: {dict(out.counts)}")
            for seed, verdict, what in made.failures:
                say(f"seed {seed}: {verdict}: {what[:300]}")
    return out


def show(case: Case) -> str:
    """A case as text."""
    lines = [
        f"{t.name}: {t.rows.to_pydict()} {[str(k) for k in t.rows.schema.types]} owner={t.owner} unique={t.unique} "
        f"bound={t.bound} parties={t.parties} layouts={t.layouts}"
        for t in case.tables
    ]
    return "\n".join([*lines, case.query])


def say(text: str) -> None:
    """Write a line at once, so that long runs can be watched."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:1000", help="FIRST:END")
    parser.add_argument("--protocol", default="plain", choices=["plain", "rep3"])
    parser.add_argument("--only", default="", help="seeds to check, with commas")
    parser.add_argument("--no-reduce", action="store_true", help="show failures as they are")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    first, end = map(int, options.seeds.split(":"))
    seeds = [int(s) for s in options.only.split(",")] if options.only else range(first, end)
    out = run_all(seeds, options.protocol, options.jobs)
    with Bench(options.protocol) as bench:
        for seed, verdict, what in out.failures:
            drawn = case(seed)
            smaller = drawn if options.no_reduce else reduce(bench, drawn, verdict, what)
            say(f"--- seed {seed}: {verdict}: {bench.check(smaller)[1] or what}\n{show(smaller)}\n")
    for what, count in out.refusals.most_common(12):
        say(f"{count:5} {what}")
    say(str(dict(out.counts)) + f", {100 * out.refused:.1f} % refused")
    return 1 if out.failures or out.refused > REFUSED_MAX else 0


if __name__ == "__main__":
    sys.exit(main())
