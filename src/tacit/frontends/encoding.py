# SPDX-License-Identifier: Apache-2.0
"""Between NumPy values and raw ring elements: what a value of each element type is as an integer."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InputError
from tacit.plan import BOOL, FIXED, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, DType, Interval


def as_public(value: object) -> NDArray[Any]:
    """A public number, sequence or NumPy array as an array of bool, integers or float64.

    Raises `InputError` INPUT-101 for anything else, INPUT-102 for NaN and infinity, INPUT-103 for an integer beyond
    64 bits. Secret arrays inside `value` raise SECRET-010 by themselves.
    """
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise _not_numbers(value) from error
    if array.dtype.kind == "O" and all(isinstance(v, int) for v in array.flat):
        raise _too_large("int64")
    if array.dtype.kind not in "biuf":
        raise _not_numbers(value)
    if array.dtype.kind != "f":
        return array
    if not np.all(np.isfinite(array)):
        raise InputError(
            "INPUT-102",
            "an array contains NaN or infinity",
            expected="finite numbers",
            next="drop or fill the missing values before they become part of a computation",
        )
    return array.astype(np.float64)


def natural_dtype(array: NDArray[Any]) -> DType:
    """The element type that holds a NumPy array: itself for bool and integers, fixed(18) for floats."""
    if array.dtype.kind == "f":
        return FIXED
    return _FROM_NUMPY.get(array.dtype.name, INT64)


def encode(array: NDArray[Any], dtype: DType) -> NDArray[np.int64]:
    """Raw values: bool as 0 and 1, integers as they are, fixed(f) as round(x * 2^f) with ties to even.

    Pre-condition: `array` comes from `as_public`. Raises `InputError` INPUT-101 for a float array and an integer type,
    and INPUT-103 if a value does not fit `dtype`; the error does not say which one, nor by how much.
    """
    if array.dtype.kind == "f" and not dtype.is_fixed:
        raise InputError(
            "INPUT-101",
            f"numbers with a fraction do not fit {dtype}",
            expected=f"values of type {dtype}",
            next="round them first, or use a fixed-point type",
        )
    if array.size == 0:
        return np.zeros(array.shape, np.int64)
    lo, hi = array.min(), array.max()
    factor = 2**dtype.f
    # Python's exact integers: a NumPy product could wrap on the way to being refused.
    exact = (
        (float(lo) * factor, float(hi) * factor) if array.dtype.kind == "f" else (int(lo) * factor, int(hi) * factor)
    )
    if exact[0] < dtype.range.lo or exact[1] > dtype.range.hi:
        raise _too_large(str(dtype))
    if array.dtype.kind == "f":
        return np.asarray(np.rint(array * float(factor))).astype(np.int64)
    return array.astype(np.int64) * np.int64(factor)


def decode(raw: NDArray[Any], dtype: DType) -> Any:
    """NumPy values of raw u64 or int64 elements: bool, integers of the same width, float64 for fixed point.

    A fixed-point value beyond 2^53 raw is rounded to a float64. Zero-dimensional arrays become NumPy scalars.
    """
    signed = np.ascontiguousarray(raw).view(np.int64).reshape(np.shape(raw))
    if dtype == BOOL:
        values: NDArray[Any] = signed != 0
    elif dtype.is_fixed:
        values = np.ldexp(signed.astype(np.float64), -dtype.f)
    else:
        values = signed.astype(str(dtype))
    return values[()]


def raw_bounds(lo: float, hi: float, dtype: DType) -> Interval:
    """The raw interval of a range given in values, rounded outwards. Raises `InputError` INPUT-103."""
    as_public([lo, hi])
    low, high = floor(Fraction(lo) * 2**dtype.f), ceil(Fraction(hi) * 2**dtype.f)
    if not dtype.range.lo <= min(low, high) <= max(low, high) <= dtype.range.hi:
        raise _too_large(str(dtype))
    return Interval(low, high)


def as_dtype(dtype: object) -> DType:
    """An element type from a `DType`, its name, Python's bool, int or float, or a NumPy type.

    Every floating type means fixed(18). Raises `InputError` INPUT-101 for a type that the ring cannot hold.
    """
    if isinstance(dtype, DType):
        return dtype
    if isinstance(dtype, str) and dtype.startswith("fixed"):
        return DType.parse(dtype)
    try:
        numpy = np.dtype(dtype)  # type: ignore[call-overload]
    except TypeError as error:
        raise _no_dtype() from error
    if numpy.kind == "f":
        return FIXED
    if numpy.name not in _FROM_NUMPY:
        raise _no_dtype()
    return _FROM_NUMPY[numpy.name]


def _no_dtype() -> InputError:
    return InputError(
        "INPUT-101",
        "that is no element type",
        expected=f"{', '.join(_FROM_NUMPY)}, fixed(f), or float, which means {FIXED}",
        next="use int64 in place of uint64: the ring is Z_2^64 under a signed view",
    )


def _not_numbers(value: object) -> InputError:
    return InputError(
        "INPUT-101",
        f"a {type(value).__name__} is no array of numbers",
        expected="bool, integers or floats, of one shape",
        next="encode text and dates as integers first",
    )


def _too_large(dtype: str) -> InputError:
    return InputError(
        "INPUT-103", f"a value does not fit {dtype}", expected=f"values within the range of {dtype}", next="rescale"
    )


_FROM_NUMPY: Final[dict[str, DType]] = {str(d): d for d in (BOOL, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32)}
