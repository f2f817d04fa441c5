"""Expressions on arrays give what DuckDB gives."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalar_oracle import KINDS, LAYOUTS, MONEY, WORDS, Maker, Rows, check

import tacit as tc
from plan_oracle import Oracle
from tacit.errors import SqlError
from tacit.frontends.sql import dates, division, vectors
from tacit.frontends.sql import functions as f
from tacit.frontends.sql.algebra import Column, Constant, Expr, Ref
from tacit.frontends.sql.frame import Frame, Vector
from tacit.frontends.sql.scalar import SUPPORTED, evaluate, holds
from tacit.frontends.sql.types import BIGINT, BOOLEAN, DATE, DOUBLE, INTEGER, TEXT, TIMESTAMP, decimal
from tacit.plan import INT64, Interval


@pytest.fixture
def o() -> Oracle:
    return Oracle()


def shown(o: Oracle, *arrays: Any) -> list[np.ndarray]:
    return [np.asarray(a) for a in o.program.reveal(list(arrays), None, "test")]


# --- whole expressions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_random_expressions_agree_with_duckdb(kind: str, seed: int) -> None:
    rng = Random(f"{kind}{seed}")
    rows = Rows(rng, rng.choice([0, 1, 7, 40]))
    maker = Maker(rng, rows)
    exprs = [maker.make(kind, rng.randint(1, 3)) for _ in range(3)]
    check(rows, exprs, loose=1e-3 if kind == "double" else 1e-12)


def test_expressions_agree_with_duckdb_under_rep3() -> None:
    with tc.local(transport="memory") as session:
        rng = Random(5)
        rows = Rows(rng, 12, session=session)
        maker = Maker(rng, rows)
        exprs = [maker.make(kind, 2) for kind in KINDS if kind != "double" for _ in range(3)]
        check(rows, exprs, session)
        quotients = [f.apply("div", [ref(rows, "dec", 1), ref(rows, "int", k)]) for k in range(2)]
        check(rows, quotients, session)
        check(rows, [f.apply("mul", [ref(rows, "double", 0), ref(rows, "double", 1)])], session, 1e-3)


def ref(rows: Rows, kind: str, nullable: int) -> Ref:
    return Ref(rows.columns[kind][nullable])


def test_all_functions_that_are_joint_are_here() -> None:
    assert f.JOINT <= SUPPORTED


@pytest.mark.parametrize("a, b", [("int", "int"), ("dec", "int"), ("int", "dec"), ("dec", "dec")])
def test_quotients_are_rounded_once(a: str, b: str) -> None:
    rng = Random(f"{a}{b}")
    rows = Rows(rng, 60, ["int", "dec"])
    x, y, z = ref(rows, a, 1), ref(rows, b, 0), ref(rows, b, 1)
    half = Constant(5, decimal(2, 1))
    exprs = [
        f.apply("div", [x, y]),
        f.apply("div", [x, z]),
        f.apply("div", [x, half]),
        f.apply("mul", [f.apply("div", [x, y]), f.cast(half, DOUBLE)]),
        f.apply("add", [f.apply("div", [x, y]), f.apply("div", [z, y])]),
        f.apply("sub", [f.cast(x, DOUBLE), f.apply("div", [z, y])]),
        f.apply("mul", [f.apply("div", [x, y]), f.apply("div", [z, half])]),
        f.call("neg", [f.apply("div", [x, y])]),
        f.apply("coalesce", [f.apply("div", [x, y]), f.cast(z, DOUBLE)]),
        f.apply("case", [f.apply("lt", [x, z]), f.apply("div", [x, y]), f.apply("div", [z, y])]),
    ]
    check(rows, exprs, loose=1e-15 * 8)


def test_quotients_are_compared_without_rounding(o: Oracle) -> None:
    pairs = [(1, 3), (2, 6), (-1, 3), (0, 5), (7, 1), (333_333, 1_000_000), (1, 2), (-2, 4), (5, 10)]
    both = list(product(pairs, pairs))
    rows = len(both)
    numbers = np.array([[*p, *q] for p, q in both])
    given = [
        Column(name, BIGINT, False, Interval(1, 10**6) if name in "bd" else Interval(-(10**6), 10**6))
        for name in "abcd"
    ]
    arrays = [o.input(numbers[:, k], k % 2, (c.domain.lo, c.domain.hi)) for k, c in enumerate(given)]
    frame = Frame(rows, {c: Vector(BIGINT, (x,)) for c, x in zip(given, arrays, strict=True)})
    a, b, c, d = map(Ref, given)
    x, y = f.apply("div", [a, b]), f.apply("div", [c, d])
    names = ["eq", "ne", "lt", "le", "gt", "ge", "distinct"]
    got = shown(o, *(evaluate(f.apply(name, [x, y]), frame).words[0] for name in names))
    exact = [(Fraction(*p), Fraction(*q)) for p, q in both]
    for name, found in zip(names, got, strict=True):
        method = {"distinct": "__ne__"}.get(name, f"__{name}__")
        assert found.tolist() == [getattr(p, method)(q) for p, q in exact], name
    # 0.2 is two tenths, not the nearest number of 18 bits.
    fifth = f.apply("mul", [f.cast(Constant(2, decimal(1, 1)), DOUBLE), x])
    (found,) = shown(o, holds(f.apply("eq", [fifth, f.apply("div", [a, f.apply("mul", [b, big(5)])])]), frame))
    assert found.all()


def big(value: int) -> Constant:
    return Constant(value, BIGINT)


def test_rounding_and_casts_agree_with_duckdb() -> None:
    rng = Random(9)
    rows = Rows(rng, 80, ["int", "dec", "double"])
    exprs: list[Expr] = []
    for nullable in (0, 1):
        x, d, v = (ref(rows, k, nullable) for k in ("int", "dec", "double"))
        q = f.apply("div", [x, Constant(8, INTEGER)])
        for number in (x, d, v, q):
            exprs += [f.call(name, [number]) for name in ("floor", "ceil", "trunc", "round", "sign", "abs", "neg")]
            exprs += [f.call("round", [number], places) for places in (1, -1, -2)]
            exprs += [f.cast(number, kind) for kind in (INTEGER, BIGINT, BOOLEAN, decimal(12, 1), decimal(12, 3))]
        exprs += [f.apply(name, [v, Constant(3 << 17, DOUBLE)]) for name in ("mod", "idiv", "div")]
    check(rows, exprs, loose=1e-4)


def test_real_functions_are_close_and_null_outside_their_domain(o: Oracle) -> None:
    rows = Rows(Random(3), 50, ["double"])
    x = ref(rows, "double", 1)
    size = f.apply("add", [f.call("abs", [x]), f.cast(Constant(1, INTEGER), DOUBLE)])
    small = f.apply("div", [x, f.cast(Constant(100, INTEGER), DOUBLE)])
    check(rows, [f.call("sqrt", [size]), f.call("ln", [size]), f.call("exp", [small])], loose=1e-3)
    for name in ("sqrt", "ln"):
        null = evaluate(f.call(name, [x]), rows.frame).null
        assert null is not None
        (flags,) = shown(rows.oracle, null)
        values = rows.arrow["double1"].to_pylist()
        assert flags.tolist() == [v is None or v < 0 or (name == "ln" and v == 0) for v in values]


def test_text_is_compared_and_matched_as_in_duckdb() -> None:
    rows = Rows(Random(1), 120, ["text"])
    a, b = ref(rows, "text", 0), ref(rows, "text", 1)
    names = ["eq", "ne", "lt", "le", "gt", "ge", "distinct"]
    exprs: list[Expr] = [f.apply(name, [a, b]) for name in names]
    exprs += [f.apply(name, [b, Constant(text, TEXT)]) for name in names for text in ("", "abc", "abcdefg", "z" * 20)]
    patterns = [
        *("", "%", "%%", "abc", "abc%", "%abc", "%c%", "a%c", "%b%b%", "ab%ab%abc", "abcdefg%", "%h", "a%%c%", "é%"),
        *("%promo%", "%brush%ed", "abcdefgh%", "%abcdefgh", "c%b", "%" + "x" * 30, "ab\\%"),
    ]
    exprs += [f.call("like", [t], p, "\\" if "\\" in p else None, False) for t in (a, b) for p in patterns]
    exprs += [
        f.call(name, [b, Constant(text, TEXT)])
        for name in ("starts_with", "ends_with", "contains")
        for text in ("", "a", "bc", "abcdefg")
    ]
    exprs += [f.apply("in", [b, *(Constant(w, TEXT) for w in (*WORDS[:3], "not there, being long"))])]
    check(rows, exprs)


def test_what_only_an_engine_can_do_is_refused_with_its_place() -> None:
    rows = Rows(Random(1), 2, ["text"])
    text = ref(rows, "text", 0)
    for expr in (
        f.call("upper", [text], at=(3, 14)),
        f.call("like", [text], "a_b", None, False, at=(3, 14)),
        f.call("like", [text], "ab", None, True, at=(3, 14)),
    ):
        with pytest.raises(SqlError, match=r"SQL-006.*line 3, column 14"):
            evaluate(expr, rows.frame)


def test_a_value_without_room_is_refused() -> None:
    o = Oracle()
    wide = Column("w", BIGINT, False, Interval(-(2**61), 2**61))
    frame = Frame(1, {wide: Vector(BIGINT, (o.input(np.array([5]), 0, (-(2**61), 2**61)),))})
    square = f.Call("mul", (Ref(wide), Ref(wide)), BIGINT, False, Interval(0, 25), (), (1, 8))
    with pytest.raises(SqlError, match=r"SQL-008.*\* at line 1, column 8"):
        evaluate(square, frame)


@pytest.mark.parametrize("kind", list(KINDS))
def test_words_are_zero_where_a_value_is_null(kind: str) -> None:
    rng = Random(kind)
    rows = Rows(rng, 30)
    maker = Maker(rng, rows)
    for _ in range(8):
        out = evaluate(maker.make(kind, 2), rows.frame)
        if out.null is not None:
            null, *words = shown(rows.oracle, out.null, *out.words)
            assert not any(w[null].any() for w in words)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_opened_and_the_plan_does_not_depend_on_data(layout: Interval) -> None:
    plans = []
    for seed in (1, 2):
        rows = Rows(Random(seed), 9, layouts=[layout])
        maker = Maker(Random(7), rows)
        vectors_ = [evaluate(maker.make(kind, 2), rows.frame) for kind in KINDS]
        shown(rows.oracle, *(a for v in vectors_ for a in v.arrays))
        plan = rows.oracle.plan
        assert plan is not None
        assert {d.kind for d in plan.disclosures()} == {"size", "reveal"}
        assert not plan.assumptions()
        plans.append(plan.digest)
    assert plans[0] == plans[1]


# --- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lo, hi", [(-26_000, 48_000), (-25_508, 47_540), (8035, 10_591), (-700_000, 200_000)])
def test_the_calendar_agrees_with_duckdb(lo: int, hi: int) -> None:
    rng = Random(lo)
    rows = Rows(rng, 0, ["date"])
    column = Column("d", DATE, False, Interval(lo, hi))
    days = sorted({lo, hi, *(rng.randint(lo, hi) for _ in range(150))})
    days += [d for d in (-719_163 + 1, -1, 0, 58, 59, 11_015, 11_016, 19_781, 19_782, 19_783) if lo <= d <= hi]
    o = rows.oracle
    frame = Frame(len(days), {column: Vector(DATE, (o.input(np.array(days), 0, (lo, hi)),))})
    parts = ["year", "quarter", "month", "week", "day", "doy", "dow", "isodow"]
    units = ["year", "quarter", "month", "week", "day"]
    exprs = [f.call("date_part", [Ref(column)], p) for p in parts]
    exprs += [f.call("date_trunc", [Ref(column)], u) for u in units]
    exprs += [f.call("add_months", [Ref(column)], n) for n in (-1, 1, 12, 13, -48)]
    got = shown(o, *(evaluate(e, frame).words[0] for e in exprs))
    texts = [f"date_part('{p}', d)" for p in parts]
    texts += [f"epoch_us(date_trunc('{u}', d)::timestamp)" for u in units]
    texts += [f"epoch_us(d + to_months({n})) // 86400000000" for n in (-1, 1, 12, 13, -48)]
    with duckdb.connect() as db:
        want = db.execute(
            f"select {', '.join(texts)} from (select (date '1970-01-01' + x::int)::date d from unnest(?) t(x))", [days]
        ).fetchnumpy()
    for found, text, values in zip(got, texts, want.values(), strict=True):
        np.testing.assert_array_equal(found, values, err_msg=text)


def test_one_division_gives_the_year_of_our_time(o: Oracle) -> None:
    x = o.input(np.array([8035]), 0, (8035, 10_591))
    assert dates.year(x).node.type.interval == Interval(1992, 1998)
    dates_of = shown(o, *dates.civil(x))
    assert [int(v[0]) for v in dates_of] == [1992, 1, 1]
    assert TIMESTAMP.dtype == INT64


# --- division ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lo, hi, divisor",
    [
        (0, 1000, 7),
        (-5000, 5000, 365),
        (-(2**22), 2**22, 1461),
        (0, 2**51, dates.DAY),
        (-(2**58), 2**58, 100),
        (0, 2**56 - 1, 2**48),
        (5, 9, 1),
        (-(2**40), 2**40, 10**9),
    ],
)
def test_division_by_a_public_number_is_exact(o: Oracle, lo: int, hi: int, divisor: int) -> None:
    rng = Random(divisor)
    near = [k * divisor + e for k in (-3, -1, 0, 1, 2, hi // divisor) for e in (-1, 0, 1)]
    values = [v for v in (lo, hi, *near, *(rng.randint(lo, hi) for _ in range(50))) if lo <= v <= hi]
    x = o.program.input((len(values),), INT64, 0, np.array(values), interval=Interval(lo, hi))
    floors, ends = shown(o, division.floor_by(x, divisor), division.truncate_by(x, -divisor))
    assert floors.tolist() == [v // divisor for v in values]
    assert ends.tolist() == [-(abs(v) // divisor) * (1 if v > 0 else -1) for v in values]


@pytest.mark.parametrize(
    "top, most, bits, rows", [(2**30, 2**20, 40, 50), (9, 3, 0, 5), (0, 5, 0, 3), (2**45, 2**9, 25, 1100)]
)
def test_long_division_is_exact(o: Oracle, top: int, most: int, bits: int, rows: int) -> None:
    rng = Random(top)
    n = [top, -top, *(rng.randint(-top, top) for _ in range(rows - 2))]
    d = [1, most, *(rng.randint(1, most) for _ in range(rows - 2))]
    x = o.program.input((rows,), INT64, 0, np.array(n), interval=Interval(-top, top))
    y = o.program.input((rows,), INT64, 1, np.array(d), interval=Interval(1, most))
    words = shown(o, *division.digits(x, y, bits))
    got = [
        sum(int(w[k]) << division.WORD_BITS * (len(words) - 1 - i) for i, w in enumerate(words)) for k in range(rows)
    ]
    assert got == [(abs(a) << bits) // b * (1 if a > 0 else -1) for a, b in zip(n, d, strict=True)]
    assert o.plan is not None and not o.plan.assumptions()


def test_a_division_without_room_is_refused(o: Oracle) -> None:
    x = o.program.input((1,), INT64, 0, np.array([1]), interval=Interval(0, 2**61))
    y = o.program.input((1,), INT64, 1, np.array([1]), interval=Interval(1, 2**40))
    with pytest.raises(SqlError, match="SQL-008"):
        division.digits(x, y, 0)


# --- vectors ----------------------------------------------------------------------------------------------------------


def test_sort_keys_of_quotients_are_exact(o: Oracle) -> None:
    values = [Fraction(a, b) for a in (-7, 0, 1, 2, 5, 1000) for b in (1, 2, 3, 997, 1000)]
    n = o.input(np.array([v.numerator for v in values]), 0, (-2000, 2000))
    d = o.input(np.array([v.denominator for v in values]), 1, (1, 1000))
    q = vectors.quotient(n, d, 2, None)
    words = shown(o, *(w for w, _ in vectors.sort_words(q, False, False)))
    keys = list(zip(*(w.tolist() for w in words), strict=True))
    for (v, k), (w, j) in product(zip(values, keys, strict=True), repeat=2):
        assert (v < w) == (k < j)
        assert (v == w) == (k == j)


def test_nulls_are_alike_to_groups_and_not_to_equality(o: Oracle) -> None:
    values, null = np.array([0, 0, 3, 3, 4]), np.array([False, True, False, True, False])
    x = vectors.masked(Vector(INTEGER, (o.input(values, 0, (0, 9)),), o.input(null, 0)))
    y = vectors.masked(Vector(INTEGER, (o.input(values[::-1].copy(), 1, (0, 9)),), o.input(null[::-1].copy(), 1)))
    plain = Vector(INTEGER, (o.input(np.zeros(5, int), 1, (0, 9)),))
    a, b = ([None if n else int(v) for v, n in zip(values[::s], null[::s], strict=True)] for s in (1, -1))
    same, with_plain = shown(o, vectors.same(x, y), vectors.same(x, plain))
    assert same.tolist() == [p == q for p, q in zip(a, b, strict=True)]
    assert with_plain.tolist() == [p == 0 for p in a]
    out = vectors.null_if_absent(x, o.input(values > 2, 2))
    word, flags = shown(o, out.words[0], out.null)
    assert word.tolist() == [0, 0, 3, 0, 4]
    assert flags.tolist() == [True, True, False, True, False]
    assert [d for _, d in vectors.sort_words(x, True, False)] == [False, True]


def test_decimals_of_other_scales_are_rounded_as_in_duckdb() -> None:
    rows = Rows(Random(4), 60, ["dec"])
    x = ref(rows, "dec", 1)
    check(rows, [f.cast(x, decimal(9, s)) for s in (0, 1, 2, 4)] + [f.cast(x, MONEY)])
