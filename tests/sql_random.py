# SPDX-License-Identifier: Apache-2.0
"""Random queries over the small tables of `sql/test_bind.py`: well-typed, with subqueries, joins, groups and sets."""

from __future__ import annotations

import random
from typing import Final, TypeAlias

COLUMNS: Final = {
    "t": {"number": ["a", "b"], "decimal": ["c"], "text": ["s"], "all": ["a", "b", "c", "s", "d", "p"]},
    "u": {"number": ["a", "k"], "decimal": ["v"], "text": ["s"], "all": ["a", "k", "v", "s"]},
}
From: TypeAlias = list[tuple[str, str]]
"""Aliases and their tables."""


class Queries:
    """Draws queries from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._names = 0

    def query(self) -> str:
        """A whole query."""
        x = self._random.random()
        if x < 0.75:
            return self._select()
        if x < 0.85:
            (left, left_names), (right, right_names) = self._from(), self._from()
            kind = self._pick("union", "union all", "intersect", "except", "intersect all", "except all")
            first, second = self._column(left_names, "number"), self._column(right_names, "number")
            return f"select {first} from {left} {kind} select {second} from {right}"
        return f"select count(*) from ({self._select()}) z"

    def _pick(self, *choices: str) -> str:
        return self._random.choice(choices)

    def _alias(self) -> str:
        self._names += 1
        return f"x{self._names}"

    def _column(self, names: From, kind: str) -> str:
        return self._pick(*(f"{alias}.{c}" for alias, table in names for c in COLUMNS[table][kind]))

    def _number(self, names: From, depth: int) -> str:
        def deeper() -> str:
            return self._number(names, depth - 1)

        x = self._random.random()
        if depth <= 0 or x < 0.35:
            return self._column(names, "number")
        if x < 0.45:
            return str(self._random.randint(-2, 9))
        if x < 0.55:
            return self._column(names, "decimal")
        if x < 0.6:
            return self._pick("0.5", "2.25")
        if x < 0.7:
            return f"({deeper()} {self._pick('+', '-', '*')} {deeper()})"
        if x < 0.75:
            return f"case when {self._predicate(names, depth - 1)} then {deeper()} else {deeper()} end"
        if x < 0.9:
            return f"{self._pick('coalesce', 'nullif', 'greatest', 'least')}({deeper()}, {deeper()})"
        if x < 0.96:
            return self._scalar(names, depth - 1)
        return f"length({self._column(names, 'text')})"

    def _scalar(self, names: From, depth: int) -> str:
        table, alias = self._pick("t", "u"), self._alias()
        column = self._column([(alias, table)], "number")
        shape = self._pick("count(*)", "max({})", "min({})", "sum({})", "coalesce(sum({}), 0)", "count(*) + 1")
        having = " having count(*) > 0" if self._random.random() < 0.1 else ""
        return f"(select {shape.format(column)} from {table} {alias}{self._where(names, alias, table, depth)}{having})"

    def _where(self, names: From, alias: str, table: str, depth: int) -> str:
        """Conditions of a subquery, of which the first may read the outer row."""
        parts = []
        if self._random.random() < 0.75:
            kind = self._pick("number", "number", "number", "text")
            inner = f"{alias}.{self._pick(*COLUMNS[table][kind])}"
            parts.append(f"{inner} {self._pick('=', '=', '=', '<', '<>')} {self._column(names, kind)}")
        if self._random.random() < 0.5:
            parts.append(self._predicate([(alias, table)], depth))
        return " where " + " and ".join(parts) if parts else ""

    def _predicate(self, names: From, depth: int) -> str:
        def number(less: int = 1) -> str:
            return self._number(names, depth - less)

        x = self._random.random()
        if depth <= 0 or x < 0.3:
            return f"{number()} {self._pick('=', '<', '>', '<=', '>=', '<>')} {number()}"
        if x < 0.4:
            word = self._pick("and", "or")
            return f"({self._predicate(names, depth - 1)} {word} {self._predicate(names, depth - 1)})"
        if x < 0.45:
            return f"not ({self._predicate(names, depth - 1)})"
        negation = self._pick("", "not ")
        if x < 0.5:
            return f"{self._column(names, self._pick('number', 'text'))} is {negation}null"
        if x < 0.55:
            return f"{number()} {negation}between {number()} and {number()}"
        if x < 0.62:
            return f"{number()} {negation}in (1, 2{self._pick('', ', null', ', 7')})"
        if x < 0.67:
            return f"{self._column(names, 'text')} {negation}like '{self._pick('x%', '%y', '_', 'x')}'"
        if x < 0.75:
            return f"{number(depth)} is {negation}distinct from {number(depth)}"
        table, alias = self._pick("t", "u"), self._alias()
        where = self._where(names, alias, table, depth - 1)
        if self._random.random() < 0.5:
            return f"{negation}exists (select 1 from {table} {alias}{where})"
        column = self._column([(alias, table)], "number")
        return f"{number(depth)} {negation}in (select {column} from {table} {alias}{where})"

    def _from(self) -> tuple[str, From]:
        names: From = []
        text = ""
        for _ in range(self._random.choice([1, 1, 1, 2, 2, 3])):
            table, alias = self._pick("t", "u"), self._alias()
            names.append((alias, table))
            if not text:
                text = f"{table} {alias}"
                continue
            # A comma last, since what follows one could not name what stands before it.
            kind = self._pick("join", "left join", "right join", "full join", "join")
            on = f"{self._column(names[-1:], 'number')} = {self._column(names[:-1], 'number')}"
            if kind != "full join" and self._random.random() < 0.3:
                on += f" and {self._column(names[-1:], 'number')} <> {self._column(names[:-1], 'number')}"
            text += f" {kind} {table} {alias} on {on}"
        if len(names) < 3 and self._random.random() < 0.2:
            names.append((self._alias(), "u"))
            text += f", u {names[-1][0]}"
        return text, names

    def _select(self) -> str:
        source, names = self._from()
        where = f" where {self._predicate(names, 2)}" if self._random.random() < 0.6 else ""
        if self._random.random() < 0.45:
            items = [self._number(names, 2) for _ in range(self._random.randint(1, 3))]
            if self._random.random() < 0.2:
                everything = ", ".join(f"{alias}.{c}" for alias, table in names for c in COLUMNS[table]["all"])
                partition = self._pick("", f"partition by {self._column(names, 'number')}")
                items[-1] = f"{self._pick('row_number', 'rank')}() over ({partition} order by {everything})"
            return f"select {self._pick('', '', 'distinct ')}{', '.join(items)} from {source}{where}"
        return self._grouped(source, names, where)

    def _grouped(self, source: str, names: From, where: str) -> str:
        draws = [self._number(names, 1) for _ in range(self._random.randint(0, 2))]
        keys = [k for k in draws if not k.lstrip("-").replace(".", "").isdigit()]
        items = list(keys)
        for _ in range(self._random.randint(1, 2)):
            operand = self._number(names, 1)
            shape = self._pick("count(*)", "sum({})", "min({})", "max({})", "count(distinct {})", "avg({})")
            item = "count(*)" if "select" in operand else shape.format(operand)
            if "distinct" not in item and self._random.random() < 0.15:
                item += f" filter (where {self._column(names, 'number')} > 1)"
            items.append(item + (" + 1" if self._random.random() < 0.15 else ""))
        listed = ", ".join(keys)
        if keys and self._random.random() < 0.15:
            listed = f"rollup({listed})"
        group = f" group by {listed}" if keys else ""
        having = ""
        if self._random.random() < 0.3:
            total = f"sum({self._column(names, 'number')}) > 3"
            having = f" having {self._pick('count(*) > 1', total)}"
        return f"select {', '.join(items)} from {source}{where}{group}{having}"
