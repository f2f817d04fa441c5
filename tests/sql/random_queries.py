# SPDX-License-Identifier: Apache-2.0
"""Random queries over random tables, drawn from a grammar of what the support table lists.

A query says nothing that SQL leaves open: what depends on an order orders by all that it sees, so that rows that tie
are alike. Of a seed's grammar some features are off, drawn anew for each (swarm testing, Groce and others 2012): what
features do together shows better where others do not crowd them out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sql.random_tables import TYPES, WORDS, Held, kind_of, value

REAL: Final = "real"
"""A double that is rounded differently here and there: shown, and not compared or grouped by."""
LEAST: Final = "(0 = 0)"
"""The place in HAVING of the condition that a smallest size of groups is."""
FEATURES: Final = (
    *(kind for kind in TYPES if kind not in ("int", "bool")),
    "aliases", "bits", "case", "comma", "derived", "distinct", "distinct on", "expression keys", "extremes", "filter",
    "first", "frames", "from first", "grouping sets", "having", "joins of joins", "limits", "lists", "named windows",
    "natural", "orders", "other joins", "outer joins", "outer rows", "parts of dates", "patterns", "qualify",
    "quantiles", "row values", "same table", "sets", "stars", "statistics", "subqueries", "text functions", "using",
    "values", "wide windows", "windows", "with",
)  # fmt: skip
ONE_VALUE: Final = ("any_value(", "mode(")
"""Aggregates that are drawn where a group has one value."""
NEVER: Final = "never"
"""A feature that is always off."""
_NAMES: Final = {"int": "INTEGER", "decimal": "DECIMAL(9,2)", "text": "VARCHAR", "bool": "BOOLEAN"} | {
    kind: kind.upper() for kind in ("double", "date", "timestamp")
}

Columns = list[tuple[str, str]]
"""Names, as they may be written, and kinds."""
Drawn = tuple[str, str]
"""An expression and its kind."""


def swarm(rng: random.Random) -> frozenset[str]:
    """The features that are on: all, or so many."""
    share = rng.choice((0.5, 0.8, 1.0))
    return frozenset(name for name in FEATURES if rng.random() < share)


@dataclass
class Maker:
    """Draws one query."""

    rng: random.Random
    tables: Sequence[Held]
    features: frozenset[str] = frozenset(FEATURES)
    small: bool = False
    """Whether the query is one of groups of the tables' own rows, as a smallest size of them wants it."""
    ctes: dict[str, Columns] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    """Queries that have to be valid on their own: DuckDB does not look into those of WITH that nobody uses."""
    groups: str = ""
    """The groups of a `small` query, where all that are small are counted."""
    named: dict[str, str] | None = None
    """Windows that the query at hand names."""
    serial: int = 0
    subqueries: int = 2

    def alias(self) -> str:
        self.serial += 1
        return f"r{self.serial}"

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def has(self, feature: str, p: float) -> bool:
        """Whether to draw a feature: never where it is off."""
        return self.chance(p) and feature in self.features

    def pick(self, *options: Any) -> Any:
        return self.rng.choice(options)

    def draw(self, options: Sequence[tuple[str, Callable[[], Any]]]) -> Any:
        """What one of the options makes; those whose features are off are none."""
        return self.rng.choice([make for feature, make in options if not feature or feature in self.features])()

    # --- expressions: `scope` is what names may be used ---

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
            return f"DATE '{value(self.rng, 'date', None)}'"
        if kind == "timestamp":
            return f"TIMESTAMP '{value(self.rng, 'timestamp', None)}'"
        return "'" + self.rng.choice(WORDS) + "'"

    def column(self, scope: Columns, kind: str) -> str | None:
        names = [n for n, k in scope if k == kind]
        return self.rng.choice(names) if names else None

    def expr(self, scope: Columns, kind: str, depth: int = 2) -> str:
        """An expression of a kind."""
        column = self.column(scope, kind)
        if depth <= 0 or self.chance(0.45):
            if column and self.chance(0.9):
                return column
            known = [n for n, k in scope if k != REAL]
            # A condition that tells rows apart, rather than one that is folded.
            return f"({self.rng.choice(known)} IS NOT NULL)" if kind == "bool" and known else self.constant(kind)
        if self.subqueries > 0 and kind != "bool" and self.has("subqueries", 0.06):
            self.subqueries -= 1
            made = self.scalar(scope, kind)
            if made:
                return made
        general, own = self.general(scope, kind, depth), self.own(scope, kind, depth)
        return self.draw(general + own * (2 if kind != "text" else 1))

    def general(self, scope: Columns, kind: str, depth: int) -> list[tuple[str, Callable[[], str]]]:
        """What makes an expression of any kind."""
        e: Callable[..., str] = lambda k=kind: self.expr(scope, k, depth - 1)  # noqa: E731
        return [
            ("case", lambda: f"CASE WHEN {e('bool')} THEN {e()} ELSE {e()} END"),
            ("case", lambda: f"CASE WHEN {e('bool')} THEN {e()} END"),
            ("", lambda: f"COALESCE({e()}, {e()})"),
            ("", lambda: f"NULLIF({e()}, {e()})"),
            ("case", lambda: self.pick(f"if({e('bool')}, {e()}, {e()})", f"ifnull({e()}, {e()})")),
        ]

    def own(self, scope: Columns, kind: str, depth: int) -> list[tuple[str, Callable[[], str]]]:
        """What makes an expression of this kind."""
        e: Callable[..., str] = lambda k=kind: self.expr(scope, k, depth - 1)  # noqa: E731
        c: Callable[..., str] = lambda k=kind: self.column(scope, k) or self.constant(k)  # noqa: E731
        there = {k for _, k in scope}
        several: Callable[[], str] = lambda: ", ".join(e() for _ in range(self.pick(2, 2, 3)))  # noqa: E731
        letter = self.pick("'a'", "'b'", "'ab'", "''")
        when = [k for k in ("date", "timestamp") if k in there]
        days, times, parts, words = (
            feature if kinds & there else NEVER
            for feature, kinds in (
                ("date", {"date"}),
                ("timestamp", {"timestamp"}),
                ("parts of dates", {*when}),
                ("text functions", {"text"}),
            )
        )
        if kind == "int":
            return [
                ("", lambda: f"({e()} {self.pick('+', '-', '*')} {e()})"),
                ("", lambda: f"({e()} {self.pick('//', '%')} {e()})"),
                ("", lambda: f"{self.pick('abs', 'sign', '-')}({e()})"),
                ("", lambda: f"{self.pick('greatest', 'least')}({several()})"),
                ("", lambda: f"CAST({e(self.pick('bool', self.number(scope)))} "
                    f"AS {self.pick('INTEGER', 'BIGINT', 'SMALLINT')})"),
                ("case", lambda: f"CASE {e()} WHEN {self.constant(kind)} THEN {e()} WHEN 2 THEN 5 ELSE {e()} END"),
                (days, lambda: f"({e('date')} - {e('date')})"),
                (days, lambda: f"date_diff('{self.pick('day', 'month', 'year')}', {e('date')}, {e('date')})"),
                (times, lambda: f"date_diff('{self.pick('hour', 'second', 'week', 'minute', 'quarter')}', "
                    f"{e('timestamp')}, {e('timestamp')})"),
                (parts, lambda: f"EXTRACT({self.pick('year', 'month', 'day', 'quarter', 'dow', 'doy')} "
                    f"FROM {e(self.rng.choice(when))})"),
                (parts, lambda: f"EXTRACT({self.pick('week', 'isodow', 'isoyear', 'hour', 'minute')} "
                    f"FROM {e(self.rng.choice(when))})"),
                (parts, lambda: f"EXTRACT({self.pick('second', 'millisecond', 'microsecond')} "
                    f"FROM {e(when[-1])})"),
                (words, lambda: f"length({c('text')})"),
                (words, lambda: f"strpos({c('text')}, {letter})"),
                ("bits", lambda: f"({c()} {self.pick('&', '|', '<<', '>>')} {self.pick(1, 2, 5)})"),
            ]  # fmt: skip
        if kind == "decimal":
            return [
                ("", lambda: f"({e()} {self.pick('+', '-')} {e()})"),
                ("", lambda: f"({e()} * {e(self.pick('int', 'decimal'))})"),
                ("", lambda: f"({e()} + {e('int')})"),
                ("", lambda: f"({e()} % {self.pick('2', '0.5', c('int'))})"),
                ("", lambda: f"{self.pick('abs', 'floor', 'ceil', 'trunc', '-')}({e()})"),
                ("", lambda: f"round({e()}, {self.pick(0, 1, 2, -1)})"),
                ("", lambda: f"{self.pick('greatest', 'least')}({several()})"),
                ("", lambda: f"CAST({e(self.pick('int', 'decimal', 'double'))} "
                    f"AS DECIMAL({self.pick('9,2', '15,3', '12,1')}))"),
            ]  # fmt: skip
        if kind == "double":
            return [
                ("", lambda: f"({e()} {self.pick('+', '-')} {e(self.pick('double', 'int'))})"),
                ("", lambda: f"{self.pick('abs', 'floor', 'ceil', 'trunc', '-')}({e()})"),
                ("", lambda: f"({e()} * {self.pick('2', '0.5', '-1', c())})"),
                ("", lambda: f"{self.pick('greatest', 'least')}({several()})"),
                ("", lambda: f"CAST({e('int')} AS DOUBLE)"),
            ]
        if kind == "bool":
            return [
                *[("", lambda: self.comparison(scope, depth))] * 5,
                ("", lambda: f"({e()} {self.pick('AND', 'OR')} {e()})"),
                ("", lambda: f"({e()} {self.pick('AND', 'OR')} {e()} {self.pick('AND', 'OR')} {e()})"),
                ("", lambda: f"(NOT {e()})"),
                ("", lambda: f"({self.expr(scope, self.any(scope), depth - 1)} IS {self.pick('', 'NOT ')}NULL)"),
                ("", lambda: f"({e()} IS {self.pick('', 'NOT ')}{self.pick('TRUE', 'FALSE')})"),
                ("row values", lambda: self.rows_compared(scope)),
            ]
        unit = self.pick("month", "year", "quarter", "week")
        if kind == "date":
            return [
                ("", lambda: f"({e()} {self.pick('+', '-')} {self.rng.randint(0, 40)})"),
                ("", lambda: f"({e()} + {c('int')})"),
                ("", lambda: f"CAST({e()} {self.pick('+', '-')} INTERVAL '{self.rng.randint(0, 14)}' "
                    f"{self.pick('DAY', 'MONTH', 'YEAR')} AS DATE)"),
                ("", lambda: f"CAST({e()} + INTERVAL ({c('int')}) DAY AS DATE)"),
                ("", lambda: f"CAST(date_trunc('{unit}', {e()}) AS DATE)"),
                ("", lambda: f"{self.pick('greatest', 'least')}({several()})"),
                ("", lambda: f"last_day({e(self.pick('date', 'timestamp'))})"),
                ("timestamp", lambda: f"CAST({e('timestamp')} AS DATE)"),
                ("", lambda: f"CAST(time_bucket(INTERVAL '{self.pick(3, 7)}' DAY, {e()}) AS DATE)"),
            ]  # fmt: skip
        if kind == "timestamp":
            return [
                ("", lambda: f"({e()} {self.pick('+', '-')} INTERVAL '{self.rng.randint(0, 14)}' "
                    f"{self.pick('DAY', 'MONTH', 'HOUR', 'MINUTE')})"),
                ("", lambda: f"({e()} - INTERVAL ({c('int')}) {self.pick('HOUR', 'SECOND')})"),
                ("", lambda: f"date_trunc('{self.pick('hour', 'day', 'month', 'minute', unit)}', {e()})"),
                ("", lambda: f"time_bucket(INTERVAL '{self.pick(6, 90)}' {self.pick('HOUR', 'MINUTE')}, {e()})"),
                ("", lambda: f"{self.pick('greatest', 'least')}({several()})"),
                ("date", lambda: f"CAST({e('date')} AS TIMESTAMP)"),
            ]  # fmt: skip
        return [
            ("", lambda: f"{self.pick('greatest', 'least')}({several()})"),
            ("text functions", lambda: f"{self.pick('upper', 'lower', 'trim')}({c()})"),
            ("text functions", lambda: f"substring({c()}, {self.pick(1, 2)}, {self.pick(1, 2, 3)})"),
            ("text functions", lambda: f"({c()} || {self.constant(kind)})"),
            ("text functions", lambda: f"concat({c()}, {self.constant(kind)})"),
            ("text functions", lambda: f"{self.pick('left', 'right')}({c()}, {self.pick(1, 2, -1)})"),
            ("text functions", lambda: f"replace({c()}, 'a', {letter})"),
            ("text functions", lambda: f"{self.pick('reverse', 'ltrim', 'rtrim')}({c()})"),
            ("text functions", lambda: self.pick(f"lpad({c()}, 4, '-')", f"repeat({c()}, 2)")),
            ("text functions", lambda: self.pick(f"split_part({c()}, 'b', 1)", f"translate({c()}, 'ab', 'xy')")),
            ("text functions", lambda: f"CAST({c('int')} AS VARCHAR)"),
            ("text functions", lambda: f"{self.pick('dayname', 'monthname')}({c('date')})"),
            ("text functions", lambda: f"strftime({c('date')}, '%Y-%m')"),
        ]  # fmt: skip

    def real(self, scope: Columns, depth: int = 1) -> str:
        """A double that is rounded differently here and there."""
        number = self.number(scope)
        x, y = self.expr(scope, number, depth), self.expr(scope, self.number(scope), depth)
        return self.pick(
            f"({x} / {y})", f"sqrt(abs({x}))", f"exp(({x}) / 100)", f"ln(abs({x}) + 1)", f"power({x}, 2)",
            f"log2(abs({x}) + 1)", f"log10(abs({x}) + 1)", f"({x} / {y} + 1)", f"radians({x})",
        )  # fmt: skip

    def number(self, scope: Columns) -> str:
        """A kind of numbers that the scope has."""
        return self.rng.choice([k for _, k in scope if k in ("int", "decimal", "double")] or ["int"])

    def any(self, scope: Columns) -> str:
        """A kind that the scope has."""
        return self.rng.choice([k for _, k in scope if k != REAL] or ["int"])

    def operator(self) -> str:
        return self.pick("=", "<>", "<", "<=", ">", ">=", "=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")

    def comparison(self, scope: Columns, depth: int) -> str:
        kind = self.any(scope)
        x = self.expr(scope, kind, depth - 1)
        y = self.expr(scope, kind, depth - 1)
        if self.subqueries > 0 and self.has("subqueries", 0.35):
            self.subqueries -= 1
            return self.subquery_test(scope, kind, x)
        choices = [f"({x} {self.operator()} {y})"] * 3
        choices.append(f"({x} {self.pick('', 'NOT ')}BETWEEN {y} AND {self.expr(scope, kind, depth - 1)})")
        if "lists" in self.features:
            listed = ", ".join(self.constant(kind) for _ in range(self.rng.randint(1, 4)))
            choices.append(f"({x} {self.pick('', 'NOT ')}IN ({listed}))")
            choices.append(f"({x} {self.pick('', 'NOT ')}IN ({y}, {self.constant(kind)}))")
        if kind == "text" and "patterns" in self.features:
            column = self.column(scope, kind) or "''"
            pattern = self.pick("a%", "%b", "%a%", "_b%", "", "a_b", "%", "Z%", "a%b%", "%a%b", "__", "_%")
            choices = [*choices[:2], f"({column} {self.pick('', 'NOT ')}LIKE '{pattern}')"]
            pattern = self.pick("a!%%", "%!_%", "%!%b", "x!__", "%!!%", "a!%b")
            choices.append(f"({column} {self.pick('', 'NOT ')}LIKE '{pattern}' ESCAPE '!')")
            test = self.pick("starts_with", "contains", "suffix")
            choices.append(f"{test}({column}, '{self.pick('a', 'b', 'ab')}')")
            if self.has("text functions", 0.5):
                choices.append(f"({column} {self.pick('', 'NOT ')}ILIKE '{self.pick('A%', '%B', '_b%')}')")
                test = self.pick("regexp_matches", "regexp_full_match")
                choices.append(f"{test}({column}, '{self.pick('a', 'b', 'ab')}')")
        if kind in ("int", "decimal"):
            choices.append(f"({x} {self.pick('<', '>=')} {self.expr(scope, self.pick('int', 'decimal'), 0)})")
            if self.chance(0.3):
                choices.append(f"(({x} / {y}) {self.pick('<', '>')} {self.constant(kind)})")
        return self.rng.choice(choices)

    def rows_compared(self, scope: Columns) -> str:
        """A comparison of row values."""
        kinds = [self.any(scope) for _ in range(self.pick(2, 2, 3))]
        rows = [", ".join(self.expr(scope, k, 0) for k in kinds) for _ in range(3)]
        if self.chance(0.5):
            return f"(({rows[0]}) {self.pick('=', '<>', '=')} ({rows[1]}))"
        return f"(({rows[0]}) {self.pick('', 'NOT ')}IN (({rows[1]}), ({rows[2]})))"

    # --- subqueries ---

    def inner(self, scope: Columns) -> tuple[str, Columns, str]:
        """FROM of a subquery, its columns, and its WHERE, correlated or not."""
        source, inner = self.relation(allow_subquery=False)
        conditions = []
        pairs = [(a, b) for a, k in inner for b, j in scope if k == j and k != REAL]
        for p in (0.6, 0.15):
            if pairs and self.has("outer rows", p):
                a, b = self.rng.choice(pairs)
                operator = self.pick("<", ">", "<>", "<=", "IS NOT DISTINCT FROM") if self.chance(0.25) else "="
                conditions.append(f"{a} {operator} {b}")
        if self.chance(0.4):
            conditions.append(self.expr(inner, "bool", 1))
        return source, inner, f" WHERE {' AND '.join(conditions)}" if conditions else ""

    def scalar(self, scope: Columns, kind: str) -> str | None:
        """A scalar subquery of a kind, if a table has it."""
        source, inner, where = self.inner(scope)
        column = self.column(inner, kind)
        if kind == "int" and self.chance(0.3):
            return f"(SELECT {self.pick('count(*)', f'count({column})', 'count(*) + 1')} FROM {source}{where})"
        if not column:
            return None
        if self.has("limits", 0.2):
            return f"(SELECT {column} FROM {source}{where} ORDER BY {self.total(inner)} LIMIT 1)"
        what = self.pick("max", "min", "sum") if kind in ("int", "decimal", "double") else self.pick("max", "min")
        having = f" HAVING count(*) {self.pick('>', '<')} 1" if self.has("having", 0.1) else ""
        return f"(SELECT {what}({column}) FROM {source}{where}{having})"

    def subquery_test(self, scope: Columns, kind: str, x: str) -> str:
        """EXISTS, IN or a comparison with a scalar subquery."""
        source, inner, where = self.inner(scope)
        same = [a for a, k in inner if k == kind]
        form = self.pick("exists", "exists", "in", "in", "scalar", "scalar", "row")
        if form == "exists" or not same:
            group = ""
            if self.has("having", 0.15):
                group = f" GROUP BY {inner[0][0]} HAVING count(*) > {self.pick(0, 1)}"
            shown = "1" if group else self.pick("1", "*")
            return f"({self.pick('', 'NOT ')}EXISTS (SELECT {shown} FROM {source}{where}{group}))"
        column = self.rng.choice(same)
        others = [(a, b) for a, k in inner for b, j in scope if k == j and k != REAL]
        if form == "row" and others and "row values" in self.features:
            a, b = self.rng.choice(others)
            return f"(({x}, {b}) {self.pick('IN', 'NOT IN')} (SELECT {column}, {a} FROM {source}{where}))"
        if form in ("in", "row"):
            test = self.pick("IN", "IN", "NOT IN", "NOT IN", "= ANY", "<> ALL")
            tail = where
            if self.has("extremes", 0.15):
                column = f"{self.pick('max', 'min')}({column})"
                tail += f" GROUP BY {self.rng.choice(inner)[0]}" if self.chance(0.5) else ""
            elif self.has("limits", 0.12):
                tail += f" ORDER BY {self.total(inner)} LIMIT {self.pick(1, 2, 3)}"
            elif self.has("sets", 0.1):
                tail += f" {self.pick('UNION', 'UNION ALL', 'EXCEPT')} SELECT {self.constant(kind)}"
            return f"({x} {test} (SELECT {column} FROM {source}{tail}))"
        if kind in ("int", "decimal", "double"):
            what = self.pick("max", "min", "sum", "avg", "count")
            return f"({x} {self.pick('<', '>', '=', '<=')} (SELECT {what}({column}) FROM {source}{where}))"
        what = self.pick("max", "min") if kind != "bool" else "bool_or"
        return f"({x} {self.pick('=', '<>')} (SELECT {what}({column}) FROM {source}{where}))"

    # --- FROM ---

    def relation(self, *, allow_subquery: bool = True, depth: int = 1) -> tuple[str, Columns]:
        """A table, a name of WITH or a subquery, under an alias of its own."""
        alias = self.alias()
        if allow_subquery and depth > 0 and self.has("derived", 0.2):
            head = ""
            if not self.ctes and self.has("with", 0.15):
                text, columns, _ = self.query(0)
                self.parts.append(text)
                self.ctes["q"] = [c for c in columns if c[1] != REAL]
                head = f"WITH q AS ({text}) "
            text, columns, _ = self.query(depth - 1)
            if head:
                del self.ctes["q"]
                text = head + text
            if self.has("aliases", 0.25) and columns:
                renamed = [(f"m{k}", kind) for k, (_, kind) in enumerate(columns)]
                return f"({text}) AS {alias}({', '.join(n for n, _ in renamed)})", _of(alias, renamed)
            return f"({text}) AS {alias}", _of(alias, columns)
        if self.ctes and self.chance(0.5):
            name = self.rng.choice(list(self.ctes))
            return f"{name} AS {alias}", _of(alias, self.ctes[name])
        if not self.small and self.has("values", 0.04):
            kinds = self.rng.choices(("int", "text", "decimal", "bool", "date"), k=2)
            rows = ", ".join(f"({', '.join(self.constant(k) for k in kinds)})" for _ in range(self.pick(1, 2, 3)))
            return f"(VALUES {rows}) AS {alias}(k, b)", _of(alias, list(zip("kb", kinds, strict=True)))
        table = self.rng.choice(self.tables[:1] if self.has("same table", 0.2) else self.tables)
        return f"{table.name} AS {alias}", _of(alias, [(f.name, self.seen(f.type)) for f in table.rows.schema])

    def seen(self, arrow: Any) -> str:
        """The kind of a column, or one that nothing is made of where that is off."""
        kind = kind_of(arrow)
        return kind if kind in self.features or kind not in FEATURES else REAL

    def on(self, left: Columns, right: Columns) -> str:
        pairs = [(a, b) for a, k in left for b, j in right if k == j and k not in (REAL, "bool")]
        pairs = [p for p in pairs if ".k" in p[0] and ".k" in p[1]] * 3 + pairs
        if not pairs or self.chance(0.05):
            return self.expr(left + right, "bool", 1)
        parts = [" = ".join(self.rng.choice(pairs))]
        if self.has("expression keys", 0.12):
            kind = self.any(left)
            parts = [f"{self.expr(left, kind, 1)} = {self.expr(right, kind, 1)}"]
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
        alone = self.small and any(t.min_group > 1 for t in self.tables)
        for _ in range(self.pick(0, 0, 1, 1, 1, 2) if not alone else 0):
            other, columns = self.relation(depth=depth)
            if self.has("joins of joins", 0.08):
                third, more = self.relation(allow_subquery=False)
                other = f"({other} {self.pick('JOIN', 'LEFT JOIN')} {third} ON {self.on(columns, more)})"
                columns = columns + more
            kind: str = self.draw([
                *[("", lambda: "JOIN")] * 2,
                *[("outer joins", lambda: self.pick("LEFT JOIN", "RIGHT JOIN", "FULL JOIN"))] * 3,
                *[("other joins", lambda: self.pick("SEMI JOIN", "ANTI JOIN"))] * 2,
                ("comma", lambda: ","),
                ("comma", lambda: "CROSS JOIN"),
            ])  # fmt: skip
            names = {(n.rpartition(".")[2], k) for n, k in scope}
            shared = [c for c in ((n.rpartition(".")[2], k) for n, k in columns) if c in names and c[1] != REAL]
            kept = kind not in ("SEMI JOIN", "ANTI JOIN")
            natural = {n for n, _ in names} & {n.rpartition(".")[2] for n, _ in columns}
            if shared and kind not in (",", "CROSS JOIN") and self.has("using", 0.12):
                chosen = self.rng.sample(shared, self.pick(1, 1, min(2, len(shared))))
                text += f" {kind} {other} USING ({', '.join(n for n, _ in chosen)})"
                scope = scope + (chosen if kept else [])
            elif natural and natural == {n for n, _ in shared} and kept and self.has("natural", 0.25):
                text += f" NATURAL {kind if kind.endswith(' JOIN') and kind != 'CROSS JOIN' else 'JOIN'} {other}"
                scope = scope + shared
            elif kind == "CROSS JOIN":
                text += f" CROSS JOIN {other}"
            elif kind == ",":
                text += f", {other}"
                conditions.append(self.on(scope, columns))
            else:
                text += f" {kind} {other} ON {self.on(scope, columns)}"
            if kept:
                scope = scope + columns
            if kind == ",":
                break
        return text, scope, conditions

    def keys(self, scope: Columns) -> list[str]:
        """Names that tell rows apart, if these are the rows of one table."""
        names = {n.partition(".")[0]: n for n, _ in scope}
        if len(names) != 1:
            return []
        # Any table with these columns will do: what it calls its key is a key wherever it stands alone.
        columns = [n.rpartition(".")[2] for n, _ in scope]
        found = [t for t in self.tables if t.rows.column_names == columns]
        return [n for n, _ in scope if len(found) == 1 and n.rpartition(".")[2] in found[0].keys]

    # --- SELECT ---

    def aggregate(self, scope: Columns, keys: Sequence[Drawn] = ()) -> Drawn:
        """An aggregate and its kind; `keys` are what is grouped by."""
        number = self.number(scope)
        e: Callable[[str], str] = lambda k: self.expr(scope, k, 1)  # noqa: E731
        kind = self.any(scope)
        quantile = self.pick("0.25", "0.5", "0.9")
        made: Drawn = self.draw([
            ("", lambda: ("count(*)", "int")),
            ("", lambda: (f"count({e(kind)})", "int")),
            *[("", lambda: (f"sum({e(number)})", number))] * 2,
            *[("", lambda: (f"avg({e(number)})", REAL))] * 2,
            *[("", lambda: (f"{self.pick('min', 'max')}({e(kind)})", kind))] * 2,
            ("distinct", lambda: (f"count(DISTINCT {e(kind)})", "int")),
            ("distinct", lambda: (f"sum(DISTINCT {e(number)})", number)),
            ("distinct", lambda: (f"avg(DISTINCT {e('int')})", REAL)),
            ("", lambda: (f"count_if({e('bool')})", "int")),
            ("", lambda: (f"{self.pick('bool_and', 'bool_or')}({e('bool')})", "bool")),
            ("statistics", lambda: (f"{self.pick('var_samp', 'var_pop', 'stddev_samp', 'stddev_pop', 'stddev')}"
                f"({e(number)})", REAL)),
            ("statistics", lambda: (f"{self.pick('corr', 'covar_samp', 'covar_pop')}({e(number)}, {e('int')})", REAL)),
            ("statistics", lambda: (f"regr_{self.pick('slope', 'intercept', 'r2')}({e(number)}, {e('int')})", REAL)),
            ("statistics", lambda: (f"regr_{self.pick('avgx', 'avgy', 'sxx', 'syy', 'sxy')}({e(number)}, {e('int')})",
                REAL)),
            ("statistics", lambda: (f"regr_count({e(number)}, {e('int')})", "int")),
            ("quantiles", lambda: (f"median({e(number)})", REAL)),
            ("quantiles", lambda: (f"quantile_disc({e(kind)}, {quantile})", kind)),
            ("quantiles", lambda: (f"quantile_cont({e(number)}, {quantile})", REAL)),
            ("quantiles", lambda: (f"percentile_{self.pick('cont', 'disc')}({quantile}) WITHIN GROUP "
                f"(ORDER BY {e(number)})", REAL)),
            *[("first", lambda: (f"{self.pick('first', 'last')}({e(kind)} ORDER BY {self.total(scope)})", kind))] * 2,
            *[("extremes", lambda: self.extreme(scope, kind))] * 2,
            ("extremes", lambda: self.only(keys)),
            ("extremes", lambda: (f"mode(CASE WHEN {e('bool')} THEN {self.constant(kind)} END)", kind)),
            ("", lambda: (f"sum({e('bool')})", "int")),
        ])  # fmt: skip
        if self.has("filter", 0.12):
            return f"{made[0]} FILTER (WHERE {self.expr(scope, 'bool', 1)})", made[1]
        return made

    def extreme(self, scope: Columns, kind: str) -> Drawn:
        """ARG_MIN or ARG_MAX, where rows that tie have the same: by a key, or of what it is by."""
        word = self.pick("arg_min", "arg_max")
        by = self.keys(scope)
        if by and self.chance(0.7):
            return f"{word}({self.expr(scope, kind, 1)}, {self.rng.choice(by)})", kind
        usable = [(n, k) for n, k in scope if k != REAL]
        if not usable:
            return "max(1)", "int"
        one = self.rng.choice(usable)
        return f"{word}({self.expr([one], one[1], 1)}, {one[0]})", one[1]

    def only(self, keys: Sequence[Drawn]) -> Drawn:
        """The only value that there is in a group."""
        text, kind = self.rng.choice(keys) if keys else ("1", "int")
        return f"{self.pick('any_value', 'mode')}({text})", kind

    def total(self, scope: Columns) -> str:
        """An order by all columns: rows that tie in it are alike, and any order of them gives the same."""
        usable = [n for n, k in scope if k != REAL]
        return ", ".join(self.key(n) for n in self.rng.sample(usable, len(usable))) or "1"

    def over(self, partition: str, order: str = "", frame: str = "") -> str:
        """OVER, perhaps by a name."""
        text = " ".join(x for x in (partition, order and f"ORDER BY {order}", frame) if x)
        if self.named is None:
            return f"OVER ({text})"
        name = self.named.setdefault(text, f"w{len(self.named)}")
        return f"OVER {name}"

    def window(self, scope: Columns) -> tuple[str, str, bool]:
        """A window function, its kind, and whether it tells apart rows that tie."""
        usable = [(n, k) for n, k in scope if k != REAL]
        if not usable:
            return "count(*) OVER ()", "int", False
        parts = ", ".join(n for n, _ in self.rng.sample(usable, min(len(usable), self.pick(0, 1, 1, 2))))
        part = f"PARTITION BY {parts}" if parts else ""
        keys = self.total(scope)
        total = self.over(part, keys)
        loose = self.over(part, self.key(self.rng.choice(usable)[0]))
        whole = self.over(part)
        rows = self.pick(
            "1 PRECEDING", "BETWEEN 2 PRECEDING AND CURRENT ROW", "BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            "BETWEEN CURRENT ROW AND 2 FOLLOWING", "BETWEEN 3 PRECEDING AND 1 PRECEDING", "UNBOUNDED PRECEDING",
            "BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING", "BETWEEN 1 PRECEDING AND UNBOUNDED FOLLOWING",
            "BETWEEN 1 FOLLOWING AND 2 FOLLOWING", "BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
        )  # fmt: skip
        moving = self.over(part, keys, f"ROWS {rows}")
        wide = self.over(part, self.key(self.rng.choice(usable)[0]), self.pick(
            "RANGE UNBOUNDED PRECEDING", "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
            "RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
            "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
        ))  # fmt: skip
        kind = self.any(scope)
        x = self.expr(scope, kind, 1)
        number = self.number(scope)
        y = self.expr(scope, number, 1)
        other, test = self.constant(kind), self.expr(scope, "bool", 1)
        some = f" FILTER (WHERE {test})" if self.has("filter", 0.1) else ""
        made: tuple[str, str, bool] = self.draw([
            ("", lambda: (f"row_number() {total}", "int", True)),
            ("", lambda: (f"rank() {loose}", "int", False)),
            ("", lambda: (f"dense_rank() {loose}", "int", False)),
            ("", lambda: (f"{self.pick('lag', 'lead')}({x}) {total}", kind, True)),
            ("", lambda: (f"{self.pick('lag', 'lead')}({x}, {self.pick(1, 2)}, {other}) {total}", kind, True)),
            ("", lambda: (f"{self.pick('first_value', 'last_value')}({x}) {total}", kind, False)),
            ("", lambda: (f"sum({y}){some} {loose}", number, False)),
            ("", lambda: (f"{self.pick('sum', 'max')}({y}){some} {whole}", number, False)),
            ("", lambda: (f"avg({y}) {self.pick(total, loose)}", REAL, False)),
            ("", lambda: (f"count({x}){some} {loose}", "int", False)),
            ("", lambda: (f"count(*){some} {whole}", "int", False)),
            ("", lambda: (f"{self.pick('min', 'max')}({x}) {self.pick(total, loose, whole)}", kind, False)),
            ("wide windows", lambda: (f"{self.pick('sum', 'min', 'max')}({y}){some} {wide}", number, False)),
            ("wide windows", lambda: (f"count({x}) {wide}", "int", False)),
            ("wide windows", lambda: (f"ntile({self.pick(1, 2, 3, 20)}) {total}", "int", True)),
            ("wide windows", lambda: (f"{self.pick('percent_rank', 'cume_dist')}() {loose}", REAL, False)),
            ("wide windows", lambda: (f"{self.pick('bool_or', 'bool_and')}({test}) {loose}", "bool", False)),
            ("frames", lambda: (f"{self.pick('sum', 'min', 'max')}({y}){some} {moving}", number, True)),
            ("frames", lambda: (f"avg({y}) {moving}", REAL, True)),
            ("frames", lambda: (f"count({self.pick('*', x)}) {moving}", "int", True)),
            ("frames", lambda: (f"{self.pick('first_value', 'last_value')}({x}) {moving}", kind, True)),
        ])  # fmt: skip
        if made[1] == "int" and self.has("aliases", 0.15):
            return f"({made[0]} {self.pick('+', '*', '-')} {self.expr(scope, 'int', 0)})", *made[1:]
        return made

    def windows(self, scope: Columns) -> tuple[list[Drawn], str]:
        """Window functions of a query, and WINDOW and QUALIFY."""
        self.named = {} if self.has("named windows", 0.3) else None
        drawn = [self.window(scope) for _ in range(self.pick(1, 2))]
        qualify = ""
        if self.has("qualify", 0.2):
            made = self.window(scope)
            if made[1] == "int":
                qualify = f" QUALIFY {made[0]} {self.pick('<=', '=', '>')} {self.pick(1, 2, 3)}"
                drawn.append(made)
        apart = [d for d in drawn if d[2]]
        if len(apart) > 1 and not self.keys(scope):
            # Rows that tie would have to tie in one order for all of these functions.
            drawn, qualify = [d for d in drawn if not d[2]] or drawn[:1], ""
        named, self.named = self.named, None
        used = " ".join(text for text, *_ in drawn)
        listed = [f"{n} AS ({text})" for text, n in (named or {}).items() if re.search(rf"OVER {n}\b", used)]
        tail = f" WINDOW {', '.join(listed)}" if listed else ""
        if qualify:
            drawn.pop()
        return [d[:2] for d in drawn], tail + qualify

    def key(self, text: str) -> str:
        return text + self.pick("", "", " DESC", " NULLS FIRST", " DESC NULLS LAST", " DESC NULLS FIRST")

    def query(self, depth: int = 1, *, top: bool = False) -> tuple[str, Columns, bool]:
        """A query, its columns, and whether it orders its rows."""
        if depth > 0 and not self.small and self.has("sets", 0.15):
            return self.set_of_rows(top)
        text, columns, closed = self.select(depth, top=top)
        if closed:
            return text + (f" LIMIT {self.pick(1, 2, 3)}" if self.has("limits", 0.3) else ""), columns, True
        return self.ordered(text, columns, top, plain="SELECT DISTINCT" not in text)

    def set_of_rows(self, top: bool) -> tuple[str, Columns, bool]:
        """UNION, INTERSECT or EXCEPT."""
        left, columns, closed = self.select(0)
        if closed or any(k == REAL for _, k in columns):
            return left, columns, closed
        # Integers beside decimals are decimals.
        columns = [(n, "decimal" if k == "int" and self.has("decimal", 0.1) else k) for n, k in columns]
        right, _, _ = self.select(0, shape=[k for _, k in columns])
        if self.has("limits", 0.15):
            left, right = (f"({self.ordered(text, columns, False)[0]})" for text in (left, right))
        word = self.pick("UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL", "UNION ALL")
        text = f"{left} {word} {right}"
        if self.chance(0.2):
            third, _, _ = self.select(0, shape=[k for _, k in columns])
            text += f" {self.pick('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT')} {third}"
        return self.ordered(text, columns, top, plain=False)

    def ordered(self, text: str, columns: Columns, top: bool, plain: bool = False) -> tuple[str, Columns, bool]:
        """The query in an order by all its columns; by more besides if it is `plain`."""
        if not columns or any(k == REAL for _, k in columns) or not self.has("orders", 0.35):
            return text, columns, False
        places = self.rng.sample(range(len(columns)), len(columns))
        keys = [self.key(self.pick(str(p + 1), columns[p][0])) for p in places]
        numbers = [(n, k) for n, k in columns if k == "int"]
        if plain and numbers and self.chance(0.15):
            keys.insert(0, self.key(f"{self.pick('abs', '-')}({self.rng.choice(numbers)[0]})"))
        text += f" ORDER BY {'ALL' if self.chance(0.08) else ', '.join(keys)}"
        if "limits" in self.features and (self.chance(0.5) or not top):
            text += f" LIMIT {self.pick(0, 1, 2, 3, 5)}" + (f" OFFSET {self.pick(1, 2)}" if self.chance(0.3) else "")
        return text, columns, True

    def select(self, depth: int, *, shape: Sequence[str] | None = None, top: bool = False) -> tuple[str, Columns, bool]:
        """SELECT, its columns, and whether it has its ORDER BY; `shape` are kinds that its columns must have."""
        source, scope, conditions = self.from_(depth)
        if self.chance(0.5):
            conditions.append(self.expr(scope, "bool", 2))
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        if shape is not None:
            return self.written("SELECT", [(self.expr(scope, k, 1), k) for k in shape], source, where, False)
        if self.small:
            return self.grouped(source, scope, where, top)
        if top and scope and self.has("stars", 0.06):
            return f"SELECT {self.star(source, scope)} FROM {source}{where}", [], False
        mode = self.draw([
            *[("", lambda: "plain")] * 3, *[("", lambda: "group")] * 3, ("distinct", lambda: "distinct"),
            *[("windows", lambda: "window")] * 2, ("distinct on", lambda: "first"),
        ])  # fmt: skip
        if mode == "group":
            return self.grouped(source, scope, where, top)
        if mode == "window" and scope:
            items = self.items(scope, self.pick(1, 2))
            made, tail = self.windows(scope)
            return self.written("SELECT", items + made, source, where + tail, top)
        items = self.items(scope, self.rng.randint(1, 4))
        if mode == "distinct":
            return self.written("SELECT DISTINCT", [i for i in items if i[1] != REAL] or items[:1], source, where, top)
        usable = [n for n, k in scope if k != REAL]
        if mode == "first" and usable:
            chosen = self.rng.sample(usable, self.pick(1, min(2, len(usable))))
            order = ", ".join([*map(self.key, chosen), self.total(scope)])
            word = f"SELECT DISTINCT ON ({', '.join(chosen)})"
            return *self.written(word, items, source, f"{where} ORDER BY {order}", False)[:2], True
        return self.written("SELECT", items, source, where, top)

    def star(self, source: str, scope: Columns) -> str:
        """All columns, or all but some."""
        names = [n.rpartition(".")[2] for n, _ in scope]
        one = self.rng.choice(names)
        if names.count(one) > 1 or len(names) < 2:
            return "*"
        return self.pick("*", f"* EXCLUDE ({one})", f"* RENAME ({one} AS other)", f"* REPLACE (1 AS {one})",
                         f"{scope[0][0].partition('.')[0]}.*" if "." in scope[0][0] else "*")  # fmt: skip

    def items(self, scope: Columns, count: int) -> list[Drawn]:
        made: list[Drawn] = []
        for k in range(count):
            if k and self.chance(0.1):
                made.append((self.real(scope), REAL))
                continue
            # Neighbours are used by their names.
            near = [(f"z{j}", kind) for j, (_, kind) in enumerate(made) if kind != REAL]
            near = [(n, kind) for n, kind in near if not any(c.endswith(f".{n}") for c, _ in scope)]
            seen = scope + near * 2 if near and self.has("aliases", 0.15) else scope
            kind = self.any(scope)
            # A subquery sees no names of its neighbours.
            left = self.subqueries
            self.subqueries = left if seen is scope else 0
            made.append((self.expr(seen, kind, self.pick(0, 1, 2)), kind))
            self.subqueries = self.subqueries if seen is scope else left
        return made

    def written(self, word: str, items: list[Drawn], source: str, tail: str, top: bool) -> tuple[str, Columns, bool]:
        parts, columns = [], []
        for k, (text, kind) in enumerate(items):
            # Of windows by a name and of rows DuckDB's names are of its own.
            plain = not any(x in text for x in ("SELECT", "OVER w", "((", "), ("))
            parts.append(text if top and plain and self.chance(0.03) else f"{text} AS z{k}")
            columns.append((f"z{k}", kind))
        # VALUES that come first and are joined are not understood by the parser.
        if not self.small and not source.startswith("(VALUES") and self.has("from first", 0.02):
            return f"FROM {source} {word} {', '.join(parts)}{tail}", columns, False
        return f"{word} {', '.join(parts)} FROM {source}{tail}", columns, False

    def grouped(self, source: str, scope: Columns, where: str, top: bool) -> tuple[str, Columns, bool]:
        """SELECT with GROUP BY, or aggregates of all rows."""
        keys: list[Drawn] = []
        for _ in range(self.pick(0, 1, 1, 1, 2, 2, 3)):
            kind = self.any(scope)
            left, self.subqueries = self.subqueries, 0
            text = self.expr(scope, kind, self.pick(0, 0, 0, 1))
            self.subqueries = left
            if any(n in text for n, _ in scope):  # Else a constant, which means a position.
                keys.append((text, kind))
        aggregates = [self.aggregate(scope, keys) for _ in range(self.rng.randint(1, 3))]
        shown = [k for k in keys if self.chance(0.85)]
        items = shown + aggregates
        style = self.group_style(keys)
        if style not in ("plain", "all") or (style == "all" and len(shown) < len(keys)):
            # Groups that a key is left out of have several of its values.
            aggregates = [("count(*)", "int") if a.startswith(ONE_VALUE) else (a, kind) for a, kind in aggregates]
            items = shown + aggregates
        if self.has("windows", 0.2):
            items += self.over_groups(keys if style == "plain" else [], aggregates)
        tail = where
        if keys:
            listed = [k for k, _ in keys]
            if style == "plain" and self.has("aliases", 0.2):
                taken = {n.rpartition(".")[2] for n, _ in scope}
                places = {k: place for place, (k, _) in enumerate(shown) if f"z{place}" not in taken}
                listed = [self.pick(f"z{places[k]}", str(places[k] + 1)) if k in places else k for k in listed]
            tail += f" GROUP BY {self.group_keys(style, listed)}"
            if style in ("rollup", "cube", "sets", "mixed") and self.chance(0.4):
                chosen = self.rng.sample(listed, self.pick(1, len(listed)))
                items.append((f"GROUPING({', '.join(chosen)})", "int"))
        # GROUP BY ALL takes what HAVING reads of rows for a key, in DuckDB.
        having = self.having(
            scope, shown if style == "all" else keys, [(len(shown) + k, a) for k, a in enumerate(aggregates)]
        )
        text, columns, closed = self.written("SELECT", items, source, tail, top)
        if self.small:
            # Of groups that HAVING leaves out too it may not be seen that they are small.
            self.groups = "" if having else f"{text} HAVING {LEAST}"
            having = f"{LEAST} AND ({having})" if having else LEAST
        return text + (f" HAVING {having}" if having else ""), columns, closed

    def group_style(self, keys: Columns) -> str:
        style: str = self.draw([
            *[("", lambda: "plain")] * 4, ("", lambda: "all"),
            *[("grouping sets", lambda: self.pick("rollup", "cube", "sets", "mixed"))] * 3,
        ])  # fmt: skip
        return style if len({k for k, _ in keys}) == len(keys) else "plain"

    def group_keys(self, style: str, keys: list[str]) -> str:
        listed = ", ".join(keys)
        if style == "plain":
            return listed
        if style == "all":
            return "ALL"
        if style == "mixed" and len(keys) > 1:
            return f"{keys[0]}, {self.pick('ROLLUP', 'CUBE')} ({', '.join(keys[1:])})"
        if style == "sets":
            subsets = [self.rng.sample(keys, self.rng.randint(0, len(keys))) for _ in range(self.pick(1, 2))]
            sets = [f"({', '.join(s)})" for s in subsets]
            return f"GROUPING SETS (({listed}), {', '.join(dict.fromkeys(sets))})"
        return f"{'CUBE' if style == 'cube' else 'ROLLUP'} ({listed})"

    def over_groups(self, keys: Columns, aggregates: list[Drawn]) -> list[Drawn]:
        """Window functions over groups; in the order of keys, if each group has its own."""
        usable = [a for a in aggregates if a[1] in ("int", "decimal")]
        if not usable:
            return []
        text, kind = self.rng.choice(usable)
        over = f"OVER (ORDER BY {self.key(text)})"
        made = [(f"({text} {self.pick('+', '*')} {self.pick(2, 3)})", kind)]
        made.append(self.pick((f"rank() {over}", "int"), (f"sum({text}) {over}", kind), (f"max({text}) OVER ()", kind)))
        if keys and self.chance(0.5):
            over = f"OVER (ORDER BY {', '.join(self.key(k) for k, _ in keys)})"
            made.append(self.pick((f"row_number() {over}", "int"), (f"lag({text}) {over}", kind)))
        return made

    def having(self, scope: Columns, keys: Columns, places: list[tuple[int, Drawn]]) -> str:
        """A condition on groups, or none."""
        if not self.has("having", 0.3):
            return ""
        place, (made, kind) = self.rng.choice(places)
        hidden = any(n.endswith(f".z{place}") for n, _ in scope)
        if kind in ("int", "decimal") and not hidden and self.has("aliases", 0.15):
            return f"z{place} {self.pick('>', '<', '<>')} {self.constant(kind)}"
        if keys and self.chance(0.2):
            made, kind = self.rng.choice(keys)
            return f"{made} {self.pick('>', '<', '<>')} {self.constant(kind)}"
        made, kind = self.aggregate(scope, keys)
        if made.startswith(ONE_VALUE):
            return "count(*) > 1"
        if made.startswith(("corr", "regr_slope", "regr_intercept", "regr_r2")):
            # Not a number, in DuckDB, where nothing varies: that is not NULL there, and NULL here.
            return "count(*) > 1"
        if kind == REAL:
            return f"{made} IS NOT NULL"
        if kind == "bool":
            return made
        return f"{made} {self.pick('>', '<', '<>')} {self.constant(kind)}"

    # --- whole queries ---

    def statement(self) -> tuple[str, bool]:
        """A whole query, perhaps with WITH."""
        if self.small:
            self.subqueries = 0
            text, columns, ordered = self.query(0, top=True)
            usable = [(n, k) for n, k in _of("g", columns) if k != REAL]
            if usable and not ordered and self.has("derived", 0.3):
                where = f" WHERE {self.expr(usable, 'bool', 1)}"
                text, _, _ = self.written("SELECT", self.items(usable, 2), f"({text}) AS g", where, True)
                self.groups = ""
            return text, ordered
        heads: list[str] = []
        for name in ("w", "y", "x")[: self.pick(0, 0, 0, 0, 0, 1, 2, 3) if "with" in self.features else 0]:
            text, columns, _ = self.query(self.pick(0, 0, 1))
            self.parts.append(f"WITH {', '.join(heads)} {text}" if heads else text)
            named = ""
            if columns and self.chance(0.15):
                columns = [(f"n{k}", kind) for k, (_, kind) in enumerate(columns)]
                named = f"({', '.join(n for n, _ in columns)})"
            columns = [c for c in columns if c[1] != REAL]
            if columns:
                self.ctes[name] = columns
                heads.append(f"{name}{named} AS ({text})")
        text, _, ordered = self.query(1, top=True)
        return f"WITH {', '.join(heads)} {text}" if heads else text, ordered


def _of(alias: str, columns: Columns) -> Columns:
    return [(f"{alias}.{n}", k) for n, k in columns]
