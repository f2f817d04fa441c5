# SPDX-License-Identifier: Apache-2.0
"""Between the values people have and the ring elements parties compute on.

A raw value is a u64 under the signed view: an integer as it is, a bool as 0 or 1, a `fixed(f)` number x as
round(x * 2^f), ties to even. Every value is checked against the declared range before it is shared, because the plan's
proof that nothing wraps starts from that range.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InputError
from tacit.plan.types import BOOL, FIXED, INT64, DType, Interval, default_interval

U64Array = NDArray[np.uint64]

DTYPES_TEXT: Final = "an array of bools, integers or floats"


def infer_dtype(array: NDArray[Any]) -> DType:
    """The plan's type for a NumPy array: bool, int64 for all integers, fixed(18) for floats. Raises INPUT-009."""
    kind = array.dtype.kind
    if kind == "b":
        return BOOL
    if kind in "iu":
        return INT64
    if kind == "f":
        return FIXED
    raise InputError(
        "INPUT-009",
        f"values of type {array.dtype} cannot be shared",
        expected=DTYPES_TEXT,
        next="encode text and dates as integers first",
    )


def interval_of(dtype: DType, range: Sequence[float] | None) -> Interval:
    """The raw interval of a range (lo, hi) in real values, or the type's default. Raises InputError INPUT-010.

    The ends are rounded outwards to raw values.
    """
    if range is None:
        return default_interval(dtype)
    try:
        low, high = range
        good = isfinite(low) and isfinite(high) and low <= high
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise InputError("INPUT-010", "range= is not a pair of finite numbers", expected="range=(lo, hi) with lo <= hi")
    # Fractions: an int64 end is exact, where a float would round.
    scale = 2**dtype.f
    lowest, highest = (Fraction(end) * scale for end in (low, high))
    interval = (lowest.__floor__(), highest.__ceil__())
    if interval[0] < dtype.range.lo or interval[1] > dtype.range.hi:
        raise InputError(
            "INPUT-010",
            f"range= is wider than {dtype} can hold",
            expected=f"from {dtype.range.lo / scale:.6g} to {dtype.range.hi / scale:.6g}",
        )
    return Interval(*interval)


def encode(
    array: NDArray[Any], dtype: DType, interval: Interval, *, what: str = "the input", party: str | None = None
) -> U64Array:
    """Raw values of an array, each checked. `what` and `party` name the input in errors; rows count from 1.

    Raises InputError: INPUT-005 the array's type does not fit `dtype`, INPUT-006 a value is NaN or infinite,
    INPUT-007 a value is outside the range. The error names the row, never the value or how far off it is.
    """
    array = np.asarray(array)
    lo, hi = (f"{end / 2**dtype.f:.15g}" if dtype.is_fixed else str(end) for end in (interval.lo, interval.hi))
    within = f"every value from {lo} to {hi}"
    if dtype.is_fixed:
        if array.dtype.kind not in "fiub":
            raise _wrong_type(array, dtype, what, party)
        if array.dtype.kind == "f":
            _refuse(~np.isfinite(array), "INPUT-006", "NaN or infinite", "finite numbers", what, party, _CLEAN)
        scaled = np.rint(array.astype(np.float64) * 2.0**dtype.f)
        # Beyond 2^62 the conversion to int64 is undefined; such values are outside every interval.
        _outside(np.abs(scaled) > 2.0**62, what, party, within)
        raw = scaled.astype(np.int64)
    elif array.dtype.kind == "b" or (dtype.is_int and array.dtype.kind in "iu"):
        if array.dtype == np.uint64:
            _outside(array > np.uint64(2**63 - 1), what, party, within)
        raw = array.astype(np.int64)
    else:
        raise _wrong_type(array, dtype, what, party)
    _outside((raw < interval.lo) | (raw > interval.hi), what, party, within)
    return np.ascontiguousarray(raw).view(np.uint64).reshape(array.shape)


def check_raw(raw: U64Array, interval: Interval, *, what: str, party: str | None) -> None:
    """Check values that are raw already. Raises InputError INPUT-007."""
    signed = raw.view(np.int64)
    _outside((signed < interval.lo) | (signed > interval.hi), what, party)


_CLEAN: Final = "remove or fill these values at their owner"


def _wrong_type(array: NDArray[Any], dtype: DType, what: str, party: str | None) -> InputError:
    return InputError(
        "INPUT-005",
        f"{what} holds {array.dtype} values where {dtype} was declared",
        expected=f"values of type {dtype}",
        party=party,
        next="convert the values, or declare their type with dtype=",
    )


def _outside(
    bad: NDArray[np.bool_], what: str, party: str | None, expected: str = "every value within the range"
) -> None:
    advice = "declare a wider range= for this input, or correct the value"
    _refuse(bad, "INPUT-007", "outside the declared range", expected, what, party, advice)


def _refuse(
    bad: NDArray[np.bool_], code: str, fault: str, expected: str, what: str, party: str | None, advice: str
) -> None:
    bad = np.asarray(bad)
    if not bad.any():
        return
    place = ""
    if bad.ndim:
        row = int(np.argmax(bad.reshape(bad.shape[0], -1).any(axis=1)))
        place = f" in row {row + 1}"
    raise InputError(code, f"{what} has a value{place} that is {fault}", expected=expected, party=party, next=advice)
