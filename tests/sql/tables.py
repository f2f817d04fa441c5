# SPDX-License-Identifier: Apache-2.0
"""Small tables for tests of operators: the same rows as secret frames and in DuckDB, which says what is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np

from tacit.frontends.program import reveal
from tacit.frontends.sql import vectors
from tacit.frontends.sql.algebra import Call, Column, Expr, Home, Limit, Query, Ref, Relation, Scan, Sort
from tacit.frontends.sql.catalogue import Part, Table
from tacit.frontends.sql.frame import Frame, Vector
from tacit.frontends.sql.lower import Lowered, lower
from tacit.frontends.sql.types import BIGINT, BOOLEAN, SqlType, bytes_of, laid_out, words_range
from tacit.plan import Interval


class Tables:
    """Tables at parties of a session, or of an oracle with the same `input` and `program`."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.program = getattr(session, "program", None) or session._program
        self.db = duckdb.connect()
        self.frames: dict[int, Frame] = {}
        self.serial = 0

    def table(
        self,
        name: str,
        data: dict[str, Sequence[Any]],
        *,
        types: dict[str, SqlType] | None = None,
        domain: tuple[int, int] = (-50, 50),
        unique: Sequence[str] = (),
        absent: Sequence[bool] | None = None,
        party: int = 0,
    ) -> Home:
        """A table of integers (or the given types), some rows of which may be absent; NULL is None."""
        rows = len(next(iter(data.values())))
        kinds = {c: (types or {}).get(c, BIGINT) for c in data}
        meant = [k for k in range(rows) if absent is None or not absent[k]]
        listed = ", ".join(f"{c} {t}" for c, t in kinds.items())
        self.db.execute(f"CREATE TABLE {name} ({listed})")
        for k in meant:
            row = [None if v[k] is None else _sql(v[k], kinds[c]) for c, v in data.items()]
            self.db.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(data))})", row)
        columns = {}
        for c, values in data.items():
            kind = kinds[c]
            bound = (
                Interval(0, 1) if kind.kind == "bool" else Interval(0, 10) if kind.kind == "text" else Interval(*domain)
            )
            nullable = any(v is None for v in values)
            columns[c] = Column(c, kind, nullable, bound)
        frame = Frame(
            rows,
            {columns[c]: self._vector(columns[c], values, party) for c, values in data.items()},
            None if absent is None else self._input(~np.asarray(absent, bool), party),
        )
        scan = Scan(
            Table(name, (), (Part(party, name, rows),), (tuple(unique),) if unique else ()),
            tuple(data),
            tuple(columns.values()),
        )
        home = Home(party, "", "duckdb", (), scan.columns, rows, absent is not None, scan)
        self.frames[id(home)] = frame
        return home

    def _vector(self, column: Column, values: Sequence[Any], party: int) -> Vector:
        null = self._input(np.array([v is None for v in values], bool), party) if column.nullable else None
        kind = column.type
        if kind.kind == "text":
            kind = laid_out(kind, column.domain)
            rows = [vectors.text_words((v or "").encode(), kind.size) for v in values]
            ranges = [words_range(kind, k) for k in range(len(bytes_of(kind)))]
            words = [
                self._input(np.array([r[k] for r in rows], np.int64), party, (i.lo, i.hi)) for k, i in enumerate(ranges)
            ]
            return Vector(kind, tuple(words), null)
        if kind.kind == "bool":
            return Vector(kind, (self._input(np.array([bool(v) for v in values], bool), party),), null)
        whole = np.array([v or 0 for v in values], np.int64)
        return Vector(kind, (self._input(whole, party, (column.domain.lo, column.domain.hi)),), null)

    def _input(self, values: Any, party: int, range: tuple[int, int] | None = None) -> Any:
        self.serial += 1
        return self.session.input(values, party=party, range=range, name=f"x{self.serial}")

    def lower(self, relation: Relation, **options: Any) -> Lowered:
        """The array program of a relation."""
        return lower(Query(relation, tuple(c.name for c in relation.columns)), self.program, self._leaf, **options)

    def _leaf(self, home: Home) -> Frame:
        return self.frames[id(home)]

    def rows(self, relation: Relation, **options: Any) -> list[tuple[Any, ...]]:
        """The rows of a relation in order, computed on secrets; decimals and exact quotients as floats."""
        return self.shown(self.lower(relation, **options))

    def shown(self, lowered: Lowered) -> list[tuple[Any, ...]]:
        """The rows of a result in order."""
        frame = lowered.frame
        given = [a for v in frame.columns.values() for a in v.arrays]
        given += [] if frame.present is None else [frame.present]
        shown = reveal(*given)
        arrays = list(shown if isinstance(shown, tuple) else (shown,))
        present = np.ones(frame.rows, bool) if frame.present is None else arrays.pop()
        assert list(present) == sorted(present, reverse=True), "rows that are meant come first"
        columns = []
        for c in lowered.columns:
            v = frame.columns[c]
            own, arrays = arrays[: len(v.arrays)], arrays[len(v.arrays) :]
            columns.append(_values(v, own, present))
        return [tuple(column[k] for column in columns) for k in range(frame.rows) if present[k]]

    def expected(self, sql: str) -> list[tuple[Any, ...]]:
        """What DuckDB says."""
        return [tuple(_plain(x) for x in row) for row in self.db.execute(sql).fetchall()]

    def check(self, relation: Relation, sql: str, **options: Any) -> None:
        """Compare rows as a multiset, or in order if the relation has one."""
        got, expected = self.rows(relation, **options), self.expected(sql)
        if not isinstance(relation, (Sort, Limit)):
            got, expected = sorted(got, key=_order), sorted(expected, key=_order)
        assert len(got) == len(expected)
        for row, right in zip(got, expected, strict=True):
            assert all(map(_alike, row, right)), (row, right)


def _values(v: Vector, arrays: list[Any], present: Any) -> list[Any]:
    words = [np.atleast_1d(a) for a in arrays[: len(v.words)]]
    rest = list(map(np.atleast_1d, arrays[len(v.words) :]))
    denominator = rest.pop(0) if v.denominator is not None else None
    null = rest.pop(0) if v.null is not None else np.zeros(len(words[0]), bool)
    out: list[Any] = []
    for k in range(len(words[0])):
        if not present[k]:
            out.append(None)
        elif null[k]:
            assert all(w[k] == 0 for w in words), "words of NULL are zero"
            out.append(None)
        elif v.type.kind == "text":
            parts = [int(w[k]).to_bytes(n) for w, n in zip(words, bytes_of(v.type), strict=True)]
            out.append(b"".join(parts).rstrip(b"\0").decode())
        elif denominator is not None:
            out.append(int(words[0][k]) / (int(denominator[k]) * 10**v.type.scale))
        elif v.type.kind == "decimal":
            out.append(int(words[0][k]) / 10**v.type.scale)
        else:
            out.append(words[0][k].item())
    return out


def _sql(raw: Any, kind: SqlType) -> Any:
    return Decimal(raw).scaleb(-kind.scale) if kind.kind == "decimal" else raw


def _plain(x: Any) -> Any:
    return float(x) if type(x).__name__ == "Decimal" else x


def _order(row: tuple[Any, ...]) -> tuple[str, ...]:
    exact = [str(x) for x in row if not isinstance(x, float)]
    return (*exact, *(f"{x:.2f}" for x in row if isinstance(x, float)))


def _alike(x: Any, y: Any) -> bool:
    return math.isclose(x, y, rel_tol=1e-4, abs_tol=1e-3) if isinstance(y, float) and x is not None else x == y


def column(relation: Relation, name: str) -> Column:
    """The column of that name."""
    return next(c for c in relation.columns if c.name == name)


def ref(relation: Relation, name: str) -> Ref:
    """A reference to the column of that name."""
    return Ref(column(relation, name))


def compare(name: str, a: Expr, b: Expr) -> Call:
    """A comparison."""
    return Call(name, (a, b), BOOLEAN, a.nullable or b.nullable, Interval(0, 1))


def fresh(name: str, like: Any) -> Column:
    """A new column of the type of an expression or aggregate."""
    return Column(name, like.type, like.nullable, like.domain)


__all__ = ["Tables", "column", "compare", "fresh", "ref"]
