"""What a query discloses, and how it is read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tacit as tc
from plan_oracle import Oracle
from tacit.errors import SqlError
from tacit.frontends.arithmetic import maximum, multiply
from tacit.frontends.array import SecretArray
from tacit.frontends.sql import division, vectors
from tacit.frontends.sql.algebra import Column, Query, Values
from tacit.frontends.sql.frame import Frame, Vector
from tacit.frontends.sql.result import Result, disclosed
from tacit.frontends.sql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    HUGEINT,
    NULL,
    TEXT,
    TIMESTAMP,
    SqlType,
    decimal,
    range_of,
)
from tacit.plan import BOOL, INT64, Interval


@pytest.fixture
def o() -> Oracle:
    return Oracle()


def ints(o: Oracle, values: Sequence[int], lo: int, hi: int, party: int = 0) -> SecretArray:
    return o.program.input((len(values),), INT64, party, np.array(values, np.int64), interval=Interval(lo, hi))


def column(name: str, kind: SqlType, nullable: bool = True) -> Column:
    return Column(name, kind, nullable, range_of(kind))


def result_of(vectors_: dict[Column, Vector], rows: int, present: SecretArray | None = None) -> Result:
    query = Query(Values(tuple(vectors_), ()), tuple(c.name for c in vectors_))
    return disclosed(Frame(rows, vectors_, present), query)


def raws(o: Oracle, result: Result) -> list[np.ndarray]:
    """What a recipient gets: raw elements as a run gives them."""
    outcome = o.run(o.program.plan(result.arrays), o.program.bindings(result.arrays))
    return [outcome[f"result{k}"] for k in range(len(result.arrays))]


def shown(o: Oracle, arrays: list[SecretArray]) -> list[np.ndarray]:
    return [np.asarray(a) for a in o.program.reveal(arrays, None, "test")]


def read(o: Oracle, vectors_: dict[Column, Vector], rows: int, present: SecretArray | None = None) -> Any:
    result = result_of(vectors_, rows, present)
    return result.table(raws(o, result))


def test_all_types_are_read_in_duckdb_s_arrow_types_with_nulls_in_order(o: Oracle) -> None:
    flags = o.input(np.array([True, False, True, True]), 1)
    null = o.input(np.array([False, False, True, False]), 0)
    packed = [vectors.text_words(t, 14) for t in (b"", b"hidden", b"", "häßlich abc".encode())]
    small, byte, money = SqlType("int", 32), SqlType("int", 8, 0, False), decimal(15, 2)
    words: list[tuple[str, SqlType, list[SecretArray], bool]] = [
        ("i", small, [ints(o, [-5, 1, 2, 7], -9, 9)], True),
        ("h", HUGEINT, [ints(o, [2**60, 1, 2, -(2**60)], -(2**61), 2**61)], False),
        ("u", byte, [ints(o, [255, 1, 2, 0], 0, 255)], False),
        ("d", money, [ints(o, [-150, 1, 2, 10**14], -(10**15), 10**15)], True),
        ("x", DOUBLE, [o.input(np.array([0.5, 9.0, 9.0, -2.25]), 0, (-9, 9))], False),
        ("b", BOOLEAN, [o.input(np.array([True, True, True, False]), 0)], True),
        ("t", DATE, [ints(o, [0, 1, 2, 18_000], 0, 20_000)], False),
        ("m", TIMESTAMP, [ints(o, [1, 1, 2, 10**15], 0, 2**51)], False),
        ("s", SqlType("text", 14), [ints(o, [p[k] for p in packed], 0, 2**56 - 1) for k in (0, 1)], True),
    ]
    given = {
        column(name, kind): vectors.masked(Vector(kind, tuple(w), null if nullable else None))
        for name, kind, w, nullable in words
    }
    given[column("n", NULL)] = Vector(NULL, (ints(o, [0] * 4, 0, 0),), o.input(np.ones(4, bool), 0))
    table = read(o, given, 4, flags)
    assert table.schema.types == [
        *(pa.int32(), pa.decimal128(38, 0), pa.uint8(), pa.decimal128(15, 2), pa.float64(), pa.bool_(), pa.date32()),
        *(pa.timestamp("us"), pa.string(), pa.null()),
    ]
    table.validate(full=True)
    assert table.to_pydict() == {
        "i": [-5, None, 7],
        "h": [2**60, 2, -(2**60)],
        "u": [255, 2, 0],
        "d": [Decimal("-1.50"), None, Decimal(10**12)],
        "x": [0.5, 9.0, -2.25],
        "b": [True, None, False],
        "t": [date(1970, 1, 1), date(1970, 1, 3), date(2019, 4, 14)],
        "m": [datetime(1970, 1, 1, 0, 0, 0, 1), datetime(1970, 1, 1, 0, 0, 0, 2), datetime(2001, 9, 9, 1, 46, 40)],
        "s": ["", None, "häßlich abc"],
        "n": [None, None, None],
    }


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(o: Oracle, rows: int) -> None:
    flags = o.input(np.zeros(rows, bool), 1)
    n, d = ints(o, [3] * rows, -9, 9), ints(o, [0] * rows, 0, 9, 1)
    given = {
        column("q", DOUBLE): vectors.quotient(n, d, 1, None),
        column("s", TEXT): Vector(SqlType("text", 7), (ints(o, [5] * rows, 0, 2**56 - 1),)),
    }
    table = read(o, given, rows, flags)
    assert table.to_pydict() == {"q": [], "s": []}
    assert table.schema.types == [pa.float64(), pa.string()]


def test_rows_that_are_not_meant_and_nulls_disclose_nothing(o: Oracle) -> None:
    present, null = np.array([True, False, True, False]), np.array([True, True, False, False])
    flags, missing = o.input(present, 1), o.input(null, 0)
    n, d = ints(o, [7, 11, 13, 17], -20, 20), ints(o, [3, 0, 7, 0], 0, 9, 1)
    given = {
        column("x", BIGINT): vectors.masked(Vector(BIGINT, (n,), missing)),
        column("q", DOUBLE): vectors.masked(vectors.quotient(n, d, 0, missing)),
        column("y", DOUBLE): vectors.quotient(n, d, 0, None),
    }
    result = result_of(given, 4, flags)
    for array, values in zip(result.arrays, raws(o, result), strict=True):
        assert not values.view(np.int64)[~present].any(), array
    table = result.table(raws(o, result))
    assert table.to_pydict() == {"x": [None, 13], "q": [None, 13 / 7], "y": [7 / 3, 13 / 7]}


QUOTIENTS = [
    (1, 3), (-2, 3), (0, 7), (10**9, 1), (-(10**9), 999), (999_999_937, 1000), (1, 1000), (5, 10), (-1, 1000),
    (355, 113),
]  # fmt: skip


@pytest.mark.parametrize("scale", [0, 2])
def test_a_quotient_is_rounded_once_and_only_itself_disclosed(o: Oracle, scale: int) -> None:
    pairs = [*QUOTIENTS, (2, 6), (3, 9)]
    n, d = ints(o, [a for a, _ in pairs], -(10**9), 10**9), ints(o, [b for _, b in pairs], 1, 1000, 1)
    result = result_of({column("q", DOUBLE): vectors.quotient(n, d, scale, None)}, len(pairs))
    values = raws(o, result)
    want = [float(Fraction(a, b) / 10**scale) for a, b in pairs]
    assert result.table(values).column(0).to_pylist() == want
    # 1/3, 2/6 and 3/9 look alike.
    alike = [v.tolist() for v in np.array([v.view(np.int64) for v in values]).T]
    assert alike[0] == alike[-1] == alike[-2]
    assert len({str(a) for a in alike}) == len({Fraction(*p) for p in pairs})
    plan = o.program.plan(result.arrays)
    assert not plan.assumptions()


def test_a_long_quotient_takes_its_bound_from_the_column(o: Oracle) -> None:
    pairs = [(2**45, 2**24), (-(2**45) + 1, 2**23 + 5), (12_345_678_912_345, 2**24 - 1)]
    n, d = ints(o, [a for a, _ in pairs], -(2**45), 2**45), ints(o, [b for _, b in pairs], 1, 2**24, 1)
    mean = Column("q", DOUBLE, False, Interval(-(2**24) << 18, 2**24 << 18))
    result = result_of({mean: vectors.quotient(n, d, 0, None)}, 3)
    assert result.table(raws(o, result)).column(0).to_pylist() == [a / b for a, b in pairs]
    # Without the bound there is no room for multiples of the divisor, and each digit of n takes a step.
    words = shown(o, division.digits(n, d, 48))
    assert [sum(int(w[k]) << 60 * (len(words) - 1 - i) for i, w in enumerate(words)) for k in range(3)] == [
        (abs(a) << 48) // b * (1 if a > 0 else -1) for a, b in pairs
    ]


def test_what_the_recipient_has_anyhow_is_not_divided(o: Oracle) -> None:
    count = ints(o, [3, 0, 7], 0, 9, 1)
    total = ints(o, [10, 0, -5], -100, 100)
    null = o.input(np.array([False, True, False]), 0)
    mean = vectors.quotient(total, maximum(count, 1), 2, null)
    given = {column("c", BIGINT, False): Vector(BIGINT, (count,)), column("m", DOUBLE): mean}
    result = result_of(given, 3)
    assert len(result.arrays) == 3
    assert {a.node.op for a in result.arrays} == {"input"}
    assert result.table(raws(o, result)).to_pydict() == {"c": [3, 0, 7], "m": [10 / 300, None, -5 / 700]}
    # Nor is a part of it.
    part = vectors.quotient(total, multiply(maximum(count, 1), 4), 0, null)
    result = result_of({column("c", BIGINT, False): Vector(BIGINT, (count,)), column("m", DOUBLE): part}, 3)
    assert len(result.arrays) == 3
    assert result.table(raws(o, result)).to_pydict() == {"c": [3, 0, 7], "m": [10 / 12, None, -5 / 28]}
    # A sum and its count disclose their mean already.
    given[column("s", BIGINT)] = Vector(BIGINT, (total,), null)
    assert len(result_of(given, 3).arrays) == 3


def test_a_public_divisor_is_not_divided_by(o: Oracle) -> None:
    n = ints(o, [10, 2**60 + 1, -3], -(2**61), 2**61)
    q = vectors.quotient(n, vectors.public(o.program, 7, INT64, 3), 1, None)
    assert read(o, {column("q", DOUBLE): q}, 3).column(0).to_pylist() == [1 / 7, (2**60 + 1) / 70, -3 / 70]


def test_names_may_repeat_and_a_column_be_used_twice(o: Oracle) -> None:
    c = column("a", BIGINT)
    query = Query(Values((c, c), ()), ("a", "A"))
    result = disclosed(Frame(2, {c: Vector(BIGINT, (ints(o, [1, 2], 0, 9),))}), query)
    assert len(result.arrays) == 1
    table = result.table(raws(o, result))
    assert table.column_names == ["a", "A"]
    assert table.column(1).to_pylist() == [1, 2]


def test_a_value_that_does_not_fit_its_type_is_an_error_as_in_duckdb(o: Oracle) -> None:
    for kind, name in ((SqlType("int", 8), "TINYINT"), (decimal(2, 1), "DECIMAL")):
        with pytest.raises(SqlError, match=rf"SQL-008.*'z'.*{name}"):
            read(o, {column("z", kind): Vector(kind, (ints(o, [300], 0, 999),))}, 1)


def test_what_is_disclosed_has_the_name_of_its_column() -> None:
    with tc.local(protocol="plain", transport="memory") as session:
        rows = pa.table({"ward": [1, 1, 2], "name": ["a", None, "of 2 words"], "cost": [1, None, 3]})
        session.table("visits", {0: rows, 1: rows})
        text = """SELECT ward, ward AS again, name AS "two\nlines", max(name) AS " ", avg(cost) AS m,
            count(*) AS "hidden groups" FROM visits GROUP BY ward, name ORDER BY ward, name"""
        frame = session.sql(text, min_group=2)

        labels = [label for label, _ in frame.plan().outputs]
        answer = frame.reveal()

    assert labels == [
        "rows", "ward", "two?lines is null", "two?lines 1", "two?lines 2", "(no name) is null", "(no name) 1",
        "(no name) 2", "m is null", "m", "hidden groups", "hidden groups #2",
    ]  # fmt: skip
    assert answer.hidden_groups == 0
    assert answer.table.column(2).to_pylist() == ["a", None, "of 2 words"]


def test_results_of_real_parties() -> None:
    rng = Random(1)
    pairs = [(rng.randint(-1000, 1000), rng.randint(1, 50)) for _ in range(9)]
    with tc.local(transport="memory") as session:
        n = session.input(np.array([a for a, _ in pairs]), party=0, range=(-1000, 1000))
        d = session.input(np.array([b for _, b in pairs]), party=1, range=(1, 50))
        null = session.input(np.arange(9) == 4, party=2)
        present = session.input(np.arange(9) != 2, party=2)
        given = {column("q", DOUBLE): vectors.masked(vectors.quotient(n, d, 0, null))}
        result = result_of(given, 9, present)
        values = n.program.reveal(result.arrays, None, "test")
    raw = [v if v.dtype == bool else v.astype(np.int64) for v in values]
    want = [None if k == 4 else a / b for k, (a, b) in enumerate(pairs) if k != 2]
    assert result.table(raw).column(0).to_pylist() == want
    assert BOOL in {a.dtype for a in result.arrays}
