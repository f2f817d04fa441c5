# SPDX-License-Identifier: Apache-2.0
"""Window functions on secret rows against DuckDB."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from plan_oracle import Oracle
from sql.tables import Tables, fresh, ref
from tacit.errors import SqlError
from tacit.frontends.sql.algebra import Constant, SortKey, Window, WindowCall
from tacit.frontends.sql.functions import window
from tacit.frontends.sql.types import BIGINT, DOUBLE, TEXT
from tacit.plan import Interval

WIDE = Interval(-(10**6), 10**6)


def data(rows: int, absent: bool) -> Any:
    """A table t(g, o, y, s), in which (g, o) tells rows apart where they are meant."""
    rng = np.random.default_rng(rows)
    tables = Tables(Oracle())
    given = {
        "g": [None if rng.random() < 0.2 else int(v) for v in rng.integers(0, 3, rows)],
        "o": rng.permutation(rows).tolist(),
        "r": [None if rng.random() < 0.2 else int(v) for v in rng.integers(0, 4, rows)],
        "y": [None if rng.random() < 0.3 else int(v) for v in rng.integers(-9, 10, rows)],
        "s": [None if rng.random() < 0.3 else str(v) for v in rng.integers(0, 10**9, rows)],
    }
    flags = rng.random(rows) < 0.3 if absent else None
    return tables, tables.table("t", given, types={"s": TEXT}, domain=(-99, 99), absent=flags)


CALLS = [
    ("row_number()", "row_number", [], "o", "rows", ()),
    ("rank()", "rank", [], "r", "rows", ()),
    ("dense_rank()", "dense_rank", [], "r", "rows", ()),
    ("lag(y)", "lag", ["y"], "o", "rows", (1,)),
    ("lead(s, 2)", "lead", ["s"], "o", "rows", (2,)),
    ("lag(y, 3, 7)", "lag", ["y", 7], "o", "rows", (3,)),
    ("lead(y, 100)", "lead", ["y"], "o", "rows", (100,)),
    ("lag(y, -1)", "lag", ["y"], "o", "rows", (-1,)),
    ("lag(y, 0)", "lag", ["y"], "o", "rows", (0,)),
    ("first_value(s)", "first_value", ["s"], "o", "range", ()),
    ("last_value(y)", "last_value", ["y"], "o", "range", ()),
    ("nth_value(s, 2)", "nth_value", ["s"], "o", "range", (2,)),
    ("nth_value(y, 100)", "nth_value", ["y"], "o", "range", (100,)),
    ("sum(y)", "sum", ["y"], "o", "range", ()),
    ("sum(o)", "sum", ["o"], "r", "range", ()),
    ("count(y)", "count", ["y"], "r", "range", ()),
    ("count(*)", "count_star", [], "r", "range", ()),
    ("avg(y)", "avg", ["y"], "r", "range", ()),
    ("min(y)", "min", ["y"], "r", "range", ()),
    ("max(o)", "max", ["o"], "o", "range", ()),
    ("sum(y)", "sum", ["y"], None, "all", ()),
    ("avg(o)", "avg", ["o"], None, "all", ()),
    ("max(y)", "max", ["y"], None, "all", ()),
]


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("parts", [[], ["g"]])
@pytest.mark.parametrize("rows", [1, 2, 30])
def test_window(rows: int, parts: list[str], absent: bool) -> None:
    tables, t = data(rows, absent)
    calls, shown = [], []
    for text, name, args, order, frame, options in CALLS:
        operands = tuple(ref(t, a) if isinstance(a, str) else Constant(a, BIGINT) for a in args)
        kind = DOUBLE if name == "avg" else operands[0].type if operands else BIGINT
        keys = (SortKey(ref(t, order)),) if order else ()
        made = WindowCall(
            name, operands, kind, True, WIDE, tuple(ref(t, p) for p in parts), keys, frame, options
        )  # fmt: skip
        calls.append((fresh(f"w{len(calls)}", made), made))
        over = [f"PARTITION BY {', '.join(parts)}"] if parts else []
        over += [f"ORDER BY {order} NULLS LAST"] if order else []
        shown.append(f"{text} OVER ({' '.join(over)})")
    # DuckDB orders what is asked for, so the comparison is of rows in any order.
    got = tables.rows(Window(t, tuple(calls)))
    expected = tables.expected(f"SELECT *, {', '.join(shown)} FROM t")
    key = lambda row: row[1]  # noqa: E731
    rounded = [[round(x, 3) if isinstance(x, float) else x for x in row] for row in sorted(got, key=key)]
    assert rounded == [[round(x, 3) if isinstance(x, float) else x for x in row] for row in sorted(expected, key=key)]


FRAMES = [
    (-2, 1), (-1, 0), (0, 0), (0, 3), (None, 2), (-3, None), (None, -1), (2, None), (-4, -2), (1, 3), (2, 2), (-50, 50),
    (-3, -3), (0, None),
]  # fmt: skip
FRAMED = [
    ("sum(y)", "sum", "y"), ("count(y)", "count", "y"), ("avg(o)", "avg", "o"), ("min(y)", "min", "y"),
    ("max(o)", "max", "o"), ("first_value(s)", "first_value", "s"), ("last_value(y)", "last_value", "y"),
    ("nth_value(s, 2)", "nth_value", "s", 2), ("nth_value(y, 3)", "nth_value", "y", 3),
]  # fmt: skip


def edge(offset: int | None, side: str) -> str:
    if offset is None:
        return f"UNBOUNDED {side}"
    return f"{abs(offset)} {'PRECEDING' if offset < 0 else 'FOLLOWING'}" if offset else "CURRENT ROW"


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("rows", [1, 3, 24])
def test_frames_of_rows(rows: int, frame: tuple[int | None, int | None]) -> None:
    tables, t = data(rows, absent=rows == 24)
    spec = f"ORDER BY o ROWS BETWEEN {edge(frame[0], 'PRECEDING')} AND {edge(frame[1], 'FOLLOWING')}"
    calls, shown = [], []
    parts, order = [ref(t, "g")], [SortKey(ref(t, "o"))]
    for text, name, column, *which in FRAMED:
        args = [ref(t, str(column))]
        made = window(name, args, rows, partition=parts, order=order, frame=frame, options=tuple(which))
        calls.append((fresh(f"w{len(calls)}", made), made))
        shown.append(f"{text} OVER (PARTITION BY g {spec})")
    got = sorted(tables.rows(Window(t, tuple(calls))), key=lambda row: row[1])
    expected = sorted(tables.expected(f"SELECT *, {', '.join(shown)} FROM t"), key=lambda row: row[1])
    assert got == [pytest.approx(row, abs=1e-5) for row in expected]


def test_what_is_not_offered_is_named() -> None:
    tables, t = data(5, False)
    for name, column in (("median", "y"), ("min", "s")):
        made = WindowCall(name, (ref(t, column),), ref(t, column).type, True, WIDE, at=(3, 7))
        with pytest.raises(SqlError, match=rf"SQL-006 .*{name.upper()}.*line 3, column 7"):
            tables.lower(Window(t, ((fresh("w", made), made),)))
