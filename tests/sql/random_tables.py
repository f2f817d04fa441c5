# SPDX-License-Identifier: Apache-2.0
"""Random tables: few rows, of one to three parties, with NULLs, duplicates and keys."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Literal

import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Held:
    """A table: all its rows, and of each row the party that holds it."""

    name: str
    rows: pa.Table
    owner: tuple[int, ...]
    unique: tuple[str | tuple[str, ...], ...] = ()
    bound: int | None = None
    parties: tuple[int, ...] = ()
    """Who has a part, of no rows perhaps, besides the owners of rows."""
    layouts: Mapping[str, int | tuple[str, ...] | tuple[int, int]] = field(default_factory=dict)
    """What is declared of columns: of text the most bytes, or all values; of integers the least and the largest."""
    across: Literal["assumed", "checked"] = "assumed"
    """Whether it is checked on shares that keys are unique across parties."""
    min_group: int = 1

    def register(self, session: Any) -> None:
        """Make the table known to a session."""
        session.table(
            self.name,
            self.parts(),
            unique=list(self.unique),
            rows=self.bound or "exact",
            ranges={c: (0, n) if isinstance(n, int) else n for c, n in self.layouts.items() if not _words(n)},
            values={c: v for c, v in self.layouts.items() if _words(v)},
            across=self.across,
            min_group=self.min_group,
        )

    def parts(self) -> dict[int, pa.Table]:
        """The rows of each party; of party 0 if there is none."""
        parties = sorted({*self.owner, *self.parties}) or [0]
        return {p: self.rows.filter(pa.array([o == p for o in self.owner], pa.bool_())) for p in parties}

    def without(self, row: int) -> Held:
        """The table with a row less."""
        kept = [k for k in range(len(self.owner)) if k != row]
        return replace(self, rows=self.rows.take(pa.array(kept, pa.int64())), owner=tuple(self.owner[k] for k in kept))

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns of integers, no two rows of which agree and none of which is NULL."""
        columns = zip(self.rows.column_names, self.rows.columns, strict=True)
        return tuple(n for n, c in columns if kind_of(c.type) == "int" and len({*c.to_pylist(), None}) == len(c) + 1)


def _words(layout: Any) -> bool:
    return isinstance(layout, tuple) and all(isinstance(x, str) for x in layout)


TYPES: Final = {
    "int": (pa.int32(), pa.int64(), pa.int32(), pa.int16(), pa.int8(), pa.uint16()),
    "decimal": (pa.decimal128(9, 2), pa.decimal128(15, 2), pa.decimal128(5, 1), pa.decimal128(10, 4)),
    "double": (pa.float64(),),
    "bool": (pa.bool_(),),
    "date": (pa.date32(),),
    "timestamp": (pa.timestamp("us"),),
    "text": (pa.string(),),
}
WORDS: Final = (
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


def value(rng: random.Random, kind: str, arrow: Any) -> Any:
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
        day = value(rng, "date", None)
        return datetime(day.year, day.month, day.day) + timedelta(seconds=rng.choice((0, 3600, rng.randint(0, 86399))))
    return rng.choice(WORDS)


@lru_cache(4)
def tables(seed: int) -> tuple[Held, ...]:
    """One to three tables of a few rows: NULLs, duplicates, keys, parts, some of them empty or padded."""
    rng = random.Random(f"tables {seed}")
    made = []
    for name in ("t", "u", "v")[: rng.choice((2, 3, 3))]:
        count = rng.choice((0, 1, 3, 5, 7, 9, 12))
        kinds = ["int", rng.choice(("int", "text", "int")), *rng.choices(sorted(TYPES), k=rng.randint(2, 4))]
        if rng.random() < 0.7:
            kinds += ["text", "date", "decimal"][: rng.randint(1, 3)]
        keyed = rng.random() < 0.5
        columns, fields = [], []
        for k, kind in enumerate(kinds):
            arrow = rng.choice(TYPES[kind])
            key = keyed and k == 0
            missing = 0.0 if key else rng.choice((0.0, 0.15, 0.4, 1.0 if rng.random() < 0.1 else 0.2))
            values = [None if rng.random() < missing else value(rng, kind, arrow) for _ in range(count)]
            if key:
                values = rng.sample(range(0 if arrow == pa.uint16() else -4, 14), count)
            columns.append(pa.array(values, arrow))
            fields.append(f"{'k' if k == 0 else 'abcdefghij'[k]}{'' if rng.random() < 0.3 else k}")
        split = rng.choice(("one", "one", "two", "three"))
        parties = {"one": [rng.randrange(3)], "two": rng.sample(range(3), 2), "three": [0, 1, 2]}[split]
        owner = tuple(rng.choice(parties) for _ in range(count))
        bound = 14 if rng.random() < 0.2 else None
        unique: tuple[str | tuple[str, ...], ...] = (fields[0],) if keyed and rng.random() < 0.7 else ()
        held = tuple(parties) if rng.random() < 0.5 else ()
        made.append(Held(name, pa.table(columns, names=fields), owner, unique, bound, held))
    more = random.Random(f"declared {seed}")
    min_group = more.choice((2, 3)) if more.random() < 0.08 else 1
    return tuple(replace(_declared(more, table), min_group=min_group) for table in made)


def _declared(rng: random.Random, table: Held) -> Held:
    """The table with layouts that fit what it holds, and perhaps a key of two columns or one that is checked."""
    layouts: dict[str, int | tuple[str, ...] | tuple[int, int]] = {}
    for name, column in zip(table.rows.column_names, table.rows.columns, strict=True):
        there = {v for v in column.to_pylist() if v is not None}
        if pa.types.is_string(column.type) and rng.random() < 0.6:
            more = rng.sample(WORDS, rng.randint(1, len(WORDS)))
            layouts[name] = rng.choice((max(len(v.encode()) for v in WORDS), tuple(sorted({*there, *more}))))
        elif pa.types.is_integer(column.type) and rng.random() < 0.3:
            least, largest = min(there, default=0), max(there, default=0)
            layouts[name] = (least - rng.choice((0, 1, 40)), largest + rng.choice((0, 1, 40)))
    unique = table.unique
    if not unique and rng.random() < 0.3:
        names = table.rows.column_names[:2]
        pairs = [p for p in zip(*(table.rows[n].to_pylist() for n in names), strict=True) if None not in p]
        unique = (tuple(names),) if len({*pairs}) == len(pairs) else ()
    across: Literal["assumed", "checked"] = "checked" if unique and rng.random() < 0.25 else "assumed"
    return replace(table, layouts=layouts, unique=unique, across=across)


def kind_of(arrow: Any) -> str:
    """The kind of a column."""
    return next(kind for kind, types in TYPES.items() if arrow in types)
