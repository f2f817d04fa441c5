# SPDX-License-Identifier: Apache-2.0
"""Types, homes and intervals of the plan."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.errors import PlanError
from tacit.plan import (
    BOOL,
    FIXED,
    INT8,
    INT32,
    INT64,
    UINT8,
    UINT16,
    UINT32,
    DType,
    Interval,
    Private,
    Public,
    Secret,
    TensorType,
    default_interval,
    fixed,
    join,
)
from tacit.plan.types import parse_home, promote

small = st.integers(-40, 40)
intervals = st.tuples(small, small).map(lambda p: Interval(min(p), max(p)))


@pytest.mark.parametrize("dtype", [BOOL, INT8, INT32, INT64, UINT8, UINT32, FIXED, fixed(1), fixed(40)])
def test_dtype_name_parses_back(dtype):
    assert DType.parse(str(dtype)) == dtype


@pytest.mark.parametrize("name", ["uint64", "fixed(0)", "fixed(41)", "fixed(018)", "int7", "fixed", "float64", ""])
def test_unknown_dtype_is_refused(name):
    with pytest.raises(PlanError) as e:
        DType.parse(name)
    assert e.value.code == "PLAN-001"


@pytest.mark.parametrize("home", [Public(), Private(0), Private(12), Secret()])
def test_home_name_parses_back(home):
    assert parse_home(str(home)) == home


@pytest.mark.parametrize("name", ["private(-1)", "private(01)", "Secret", "private()"])
def test_unknown_home_is_refused(name):
    with pytest.raises(PlanError, match="PLAN-002"):
        parse_home(name)


@pytest.mark.parametrize(
    ("homes", "joined"),
    [
        ([], Public()),
        ([Public(), Public()], Public()),
        ([Public(), Private(1)], Private(1)),
        ([Private(1), Private(1)], Private(1)),
        ([Private(1), Private(2)], Secret()),
        ([Secret(), Public()], Secret()),
        ([Secret(), Private(0)], Secret()),
    ],
)
def test_join_of_homes(homes, joined):
    assert join(homes) == joined


@pytest.mark.parametrize(
    ("dtypes", "wide"),
    [
        ([INT8, INT8], INT8),
        ([INT8, INT32], INT32),
        ([UINT8, UINT16], UINT16),
        ([UINT32, INT8], INT64),
        ([UINT8, INT8], DType("int", 16)),
        ([FIXED, FIXED], FIXED),
        ([BOOL, BOOL], BOOL),
    ],
)
def test_promotion_gives_the_smallest_type_that_holds_both(dtypes, wide):
    assert promote(dtypes, "where") == wide


def test_promotion_refuses_mixed_kinds():
    with pytest.raises(PlanError, match="PLAN-004"):
        promote([INT64, FIXED], "where")
    with pytest.raises(PlanError, match="PLAN-004"):
        promote([fixed(16), FIXED], "where")


def test_default_intervals():
    assert default_interval(INT64) == Interval(-(2**31), 2**31)
    assert default_interval(FIXED) == Interval(-(2**30), 2**30)
    assert default_interval(UINT8) == Interval(0, 255)
    assert default_interval(BOOL) == Interval(0, 1)


def test_empty_interval_is_refused():
    with pytest.raises(PlanError, match="PLAN-003"):
        Interval(1, 0)


@given(intervals, intervals, st.data())
@settings(max_examples=150)
def test_interval_arithmetic_contains_every_result_and_is_tight(x, y, data):
    a = data.draw(st.integers(x.lo, x.hi))
    b = data.draw(st.integers(y.lo, y.hi))
    grid = [(i, j) for i in range(x.lo, x.hi + 1) for j in (y.lo, y.hi, b)]
    cases = {
        "add": (x + y, lambda i, j: i + j),
        "sub": (x - y, lambda i, j: i - j),
        "neg": (-x, lambda i, j: -i),
        "mul": (x * y, lambda i, j: i * j),
        "scale": (x.scale(b), lambda i, j: i * b),
        "square": (x.square(), lambda i, j: i * i),
        "abs": (abs(x), lambda i, j: abs(i)),
        "min": (x.minimum(y), min),
        "max": (x.maximum(y), max),
        "clip": (x.clip(y), lambda i, j: min(max(i, y.lo), y.hi)),
        "shift": (x.truncate(2), lambda i, j: i >> 2),
    }
    for name, (bound, function) in cases.items():
        results = [function(i, j) for i, j in [*grid, (a, b)]]
        assert bound.lo <= min(results), name
        assert max(results) <= bound.hi, name
        if name not in ("shift",):
            assert (bound.lo, bound.hi) == (min(results), max(results)), name
    assert Interval(a, a) in x | y


@given(st.integers(-(2**62), 2**62), st.integers(1, 61))
def test_both_roundings_of_a_truncation_lie_in_its_range(x, bits):
    bounds = Interval(x, x).truncate(bits)
    nearest = (x + (1 << (bits - 1))) >> bits
    assert Interval(nearest, nearest) in bounds
    assert bounds == Interval(x >> bits, (x >> bits) + 1)


def test_inexact_truncation_may_round_up():
    assert Interval(0, 7).truncate(2) == Interval(0, 2)


@pytest.mark.parametrize("shape", [(-1,), (2**41,), (2**20, 2**21), (1,) * 17, (0, 2**50)])
def test_impossible_shape_is_refused(shape):
    with pytest.raises(PlanError, match="PLAN-005"):
        TensorType(INT64, shape, Public(), Interval(0, 0))


def test_interval_outside_the_dtype_is_refused():
    with pytest.raises(PlanError, match="PLAN-003"):
        TensorType(INT8, (1,), Public(), Interval(0, 128))


def test_type_reads_like_a_line_of_the_plan():
    t = TensorType(FIXED, (128, 30), Secret(), Interval(-(2**27), 5))
    assert str(t) == "fixed(18)[128, 30] secret |x| <= 2^9"
    assert str(TensorType(BOOL, (), Private(1), Interval(0, 1))) == "bool[] private(1)"


def test_range_of_a_type_equals_numpys():
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"):
        info = np.iinfo(name)
        assert DType.parse(name).range == Interval(int(info.min), int(info.max))
