# SPDX-License-Identifier: Apache-2.0
"""Functions over axes: sums, moments, extremes, sorting."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import prod as product_of
from typing import Any, Final

import numpy as np

from tacit.errors import InputError
from tacit.frontends.arithmetic import equal, matmul, multiply, sqrt, square, subtract, where
from tacit.frontends.array import Axis, SecretArray
from tacit.frontends.operands import Operand, apply, arrays, astype, fixed_point, numbers, public
from tacit.frontends.scaling import times
from tacit.frontends.shaping import axes_of, axis_of, concat, expand_dims, getitem, moveaxis, permute_dims, reshape
from tacit.plan import BOOL, FIXED, INT64


def sum(x: Operand, /, *, axis: Axis = None, keepdims: bool = False) -> SecretArray:
    """The sum over some axes, by default all; the number of true elements of a bool array. Local."""
    a = numbers(arrays(x)[0])
    return apply("sum", a, axis=axes_of(axis, a.ndim), keepdims=keepdims)


def cumulative_sum(x: Operand, /, *, axis: int | None = None, include_initial: bool = False) -> SecretArray:
    """The running sum along an axis, optionally with a zero before it. Local."""
    a = numbers(arrays(x)[0])
    if axis is None and a.ndim > 1:
        raise InputError("INPUT-106", "cumulative_sum needs an axis here", expected="axis= for more than one dimension")
    k = axis_of(0 if axis is None else axis, a.ndim)
    out = apply("cumsum", a, axis=k)
    if not include_initial:
        return out
    zeros = public(a.program, np.zeros((*a.shape[:k], 1, *a.shape[k + 1 :]), np.int64), out.dtype)
    return concat([zeros, out], axis=k)


def prod(x: Operand, /, *, axis: Axis = None, keepdims: bool = False) -> SecretArray:
    """The product over some axes, by default all, in a tree. Needs a narrow range: products grow fast."""
    a = numbers(arrays(x)[0])
    axes = axes_of(axis, a.ndim)
    rows = _last(a, axes)
    if rows.shape[-1] == 0:
        rows = public(a.program, np.ones((*rows.shape[:-1], 1), np.int64), rows.dtype)
    while (n := rows.shape[-1]) > 1:
        half = n // 2
        pairs = multiply(getitem(rows, (..., slice(0, half))), getitem(rows, (..., slice(half, 2 * half))))
        odd = getitem(rows, (..., slice(2 * half, n)))
        rows = concat([pairs, astype(odd, pairs.dtype)], axis=-1) if n % 2 else pairs
    return _kept(rows, a, axes, keepdims)


def mean(x: Operand, /, *, axis: Axis = None, keepdims: bool = False) -> SecretArray:
    """The arithmetic mean as fixed point, within 2 units in the last place of the exact one.

    The sum is exact; it is then scaled by 1/n. Raises `InputError` INPUT-108 over no elements, INPUT-105 if the range
    leaves no room.
    """
    a = numbers(arrays(x)[0])
    n = _count(a, axis)
    return times(sum(a, axis=axis, keepdims=keepdims), Fraction(1, n))


def var(x: Operand, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> SecretArray:
    """The variance, fixed point: the squared distances from the mean, summed, over n - correction.

    Integers of a moderate range: exact up to the last division, from n * sum(d^2) - sum(d)^2 with d = x - c, where c is
    the middle of the declared range. A wide range: two passes, centred on the mean, with distances rounded to
    units of 2^-j, with the largest j for which the squares fit.
    Raises `InputError` INPUT-108 if n <= correction, INPUT-105 if the range leaves no room at all.
    """
    return _spread(x, axis, correction, keepdims, gain=0)[0]


def std(x: Operand, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> SecretArray:
    """The standard deviation: the square root of `var`.

    The root of a small variance magnifies its error, so the variance is computed 4^k times as large where the range
    leaves room for it, and the root then divided by 2^k.
    """
    variance, gain = _spread(x, axis, correction, keepdims, GAIN_MAX)
    return times(sqrt(variance), Fraction(1, 2**gain))


def max(x: Operand, /, *, axis: Axis = None, keepdims: bool = False) -> SecretArray:
    """The largest element over some axes, by default all."""
    a = numbers(arrays(x)[0])
    _count(a, axis)
    return apply("max", a, axis=axes_of(axis, a.ndim), keepdims=keepdims)


def min(x: Operand, /, *, axis: Axis = None, keepdims: bool = False) -> SecretArray:
    """The smallest element over some axes, by default all."""
    a = numbers(arrays(x)[0])
    _count(a, axis)
    return apply("min", a, axis=axes_of(axis, a.ndim), keepdims=keepdims)


def softmax(x: Operand, /, *, axis: int = -1) -> SecretArray:
    """exp(x) / sum(exp(x)) along an axis, fixed point, within 3 units in the last place and 1 for each of the elements
    there, rarely more than 5 in all: cheaper and closer than the parts.
    """
    rows = apply("softmax", moveaxis(fixed_point(arrays(x)[0]), axis, -1))
    return moveaxis(rows, -1, axis)


def any(x: Operand, /, *, axis: Axis = None, keepdims: bool = False) -> SecretArray:
    """Whether any element is true, or not zero."""
    a = astype(arrays(x)[0], BOOL)
    return apply("any", a, axis=axes_of(axis, a.ndim), keepdims=keepdims)


def all(x: Operand, /, *, axis: Axis = None, keepdims: bool = False) -> SecretArray:
    """Whether all elements are true, or not zero."""
    a = astype(arrays(x)[0], BOOL)
    return apply("all", a, axis=axes_of(axis, a.ndim), keepdims=keepdims)


def count_nonzero(x: Operand, /, *, axis: Axis = None, keepdims: bool = False) -> SecretArray:
    """The number of elements that are not zero."""
    return sum(astype(arrays(x)[0], BOOL), axis=axis, keepdims=keepdims)


def argmax(x: Operand, /, *, axis: int | None = None, keepdims: bool = False) -> SecretArray:
    """The position of the first largest element, as a secret integer."""
    return _position(x, axis, keepdims, max)


def argmin(x: Operand, /, *, axis: int | None = None, keepdims: bool = False) -> SecretArray:
    """The position of the first smallest element, as a secret integer."""
    return _position(x, axis, keepdims, min)


def sort(
    x: Operand, /, *, axis: int = -1, descending: bool = False, stable: bool = True, strategy: str = "network"
) -> SecretArray:
    """Sorted along an axis. The default `strategy`, a network, discloses nothing; `"shuffle"` is far cheaper for
    thousands of elements and opens the outcomes of comparisons between randomly shuffled rows, a random pattern
    whatever the data, which the plan lists.
    """
    a = numbers(arrays(x)[0])
    return apply("sort", a, axis=axis_of(axis, a.ndim), descending=descending, strategy=strategy)


def argsort(
    x: Operand, /, *, axis: int = -1, descending: bool = False, stable: bool = True, strategy: str = "network"
) -> SecretArray:
    """The secret positions that sort along an axis; equal elements keep their order. `strategy` as in `sort`."""
    a = numbers(arrays(x)[0])
    return apply("argsort", a, axis=axis_of(axis, a.ndim), descending=descending, strategy=strategy)


def vecdot(x1: Operand, x2: Operand, /, *, axis: int = -1) -> SecretArray:
    """The sum of products along an axis, with one truncation at most."""
    x, y = arrays(x1, x2)
    moved = []
    for k, a in enumerate((x, y)):
        order = axis_of(axis, a.ndim)
        a = permute_dims(a, (*(i for i in range(a.ndim) if i != order), order))
        moved.append(expand_dims(a, axis=-2 if k == 0 else -1))
    out = matmul(*moved)
    return reshape(out, out.shape[:-2])


def tensordot(x1: Operand, x2: Operand, /, *, axes: Any = 2) -> SecretArray:
    """The sum of products over some axes of each array: one matrix product."""
    x, y = arrays(x1, x2)
    if isinstance(axes, int):
        left, right = tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))
    else:
        left, right = (tuple(a) if isinstance(a, (tuple, list)) else (a,) for a in axes)
    left, right = tuple(axis_of(a, x.ndim) for a in left), tuple(axis_of(a, y.ndim) for a in right)
    keep_x = tuple(k for k in range(x.ndim) if k not in left)
    keep_y = tuple(k for k in range(y.ndim) if k not in right)
    if tuple(x.shape[k] for k in left) != tuple(y.shape[k] for k in right):
        raise InputError("INPUT-106", "tensordot got axes of different lengths", expected="equal lengths, pair by pair")
    terms = product_of(x.shape[k] for k in left)
    rows = reshape(permute_dims(x, (*keep_x, *left)), (product_of(x.shape[k] for k in keep_x), terms))
    columns = reshape(permute_dims(y, (*right, *keep_y)), (terms, product_of(y.shape[k] for k in keep_y)))
    return reshape(matmul(rows, columns), (*(x.shape[k] for k in keep_x), *(y.shape[k] for k in keep_y)))


def _position(x: Operand, axis: int | None, keepdims: bool, extreme: Callable[..., SecretArray]) -> SecretArray:
    a = numbers(arrays(x)[0])
    rows = reshape(a, (-1,)) if axis is None else a
    k = axis_of(0 if axis is None else axis, rows.ndim)
    n = rows.shape[k]
    places = np.arange(n).reshape([n if i == k else 1 for i in range(rows.ndim)])
    found = where(equal(rows, extreme(rows, axis=k, keepdims=True)), places, n - 1)
    out = min(found, axis=k, keepdims=keepdims)
    return reshape(out, (1,) * a.ndim) if axis is None and keepdims else out


def _count(a: SecretArray, axis: Axis) -> int:
    n = product_of(a.shape[k] for k in axes_of(axis, a.ndim))
    if n == 0:
        raise InputError("INPUT-108", "a reduction over no elements", expected="at least one element")
    return n


def _last(a: SecretArray, axes: tuple[int, ...]) -> SecretArray:
    """The reduced axes joined into one, at the end."""
    rest = tuple(k for k in range(a.ndim) if k not in axes)
    moved = permute_dims(a, (*rest, *axes))
    return reshape(moved, (*(a.shape[k] for k in rest), product_of(a.shape[k] for k in axes)))


def _kept(rows: SecretArray, a: SecretArray, axes: tuple[int, ...], keepdims: bool) -> SecretArray:
    """Undo `_last` after a reduction to length 1."""
    shape = tuple(1 if k in axes else d for k, d in enumerate(a.shape))
    return reshape(rows, shape if keepdims else tuple(d for k, d in enumerate(shape) if k not in axes))


def _squares(d: SecretArray) -> SecretArray:
    """The sum of squares along the last axis, which becomes 1: one product, so one truncation at most."""
    rows = expand_dims(d, axis=-2)
    out = matmul(rows, permute_dims(rows, (*range(rows.ndim - 2), rows.ndim - 1, rows.ndim - 2)))
    return reshape(out, (*d.shape[:-1], 1))


def _spread(x: Operand, axis: Axis, correction: float, keepdims: bool, gain: int) -> tuple[SecretArray, int]:
    """The variance times 4^k, and k, which is at most `gain`."""
    a = numbers(arrays(x)[0])
    axes = axes_of(axis, a.ndim)
    n = _count(a, axis)
    degrees = n - Fraction(correction)
    if degrees <= 0:
        raise InputError("INPUT-108", "a variance over too few elements", expected="more elements than `correction`")
    rows = _last(a, axes)
    if a.dtype.is_fixed:
        spread, gain = _variance_fixed(rows, n, degrees, gain)
    else:
        while gain and (a.node.type.interval.magnitude << gain) >= 2**15:
            gain -= 1
        exact = _variance_exact(rows, n, 4**gain / degrees)
        spread = _variance_centred(rows, n, 4**gain / degrees) if exact is None else exact
    return _kept(spread, a, axes, keepdims), gain


def _variance_exact(rows: SecretArray, n: int, factor: Fraction) -> SecretArray | None:
    interval = rows.node.type.interval
    half = (interval.hi - interval.lo + 1) // 2
    if 2 * n * n * half * half >= 2**_SUMS_BITS:
        return None
    d = subtract(rows, (interval.lo + interval.hi) // 2)
    total = sum(d, axis=-1, keepdims=True)
    return times(subtract(multiply(_squares(d), n), square(total)), factor / n, FIXED)


def _variance_centred(rows: SecretArray, n: int, factor: Fraction) -> SecretArray:
    interval = rows.node.type.interval
    width = (interval.hi - interval.lo).bit_length() + 1
    j = (_SUMS_BITS - n.bit_length()) // 2 - width
    if j < 0:
        raise InputError(
            "INPUT-105",
            "the range of an integer array is too wide for its variance",
            expected=f"values within a range of 2^{width + j - 1} for {n} elements",
            next="declare a smaller range= on the inputs, narrow the array with `clip`, or rescale it as fixed point",
        )
    j = _smaller(j, FIXED.f)
    centre = mean(rows, axis=-1, keepdims=True)
    middle = apply("cast", apply("scale", centre, numerator=2**j, shift=0), dtype=INT64)
    return times(_squares(subtract(multiply(rows, 2**j), middle)), factor / 4**j, FIXED)


def _variance_fixed(rows: SecretArray, n: int, degrees: Fraction, gain: int) -> tuple[SecretArray, int]:
    d = subtract(rows, mean(rows, axis=-1, keepdims=True))
    reach = d.node.type.interval.magnitude
    drop = 0
    while n * ((reach >> drop) + 1) ** 2 >= 2**_SQUARES_BITS:
        drop += 1
    if drop >= d.dtype.f:
        raise InputError(
            "INPUT-105",
            "the range of an array is too wide for its variance",
            expected="distances whose squares fit fixed point",
            next="declare a smaller range= on the inputs, or narrow the array with `clip`",
        )
    while gain and n * ((reach << gain) + 1) ** 2 >= 2**_SQUARES_BITS:
        gain -= 1
    if drop or gain:
        d = apply("scale", d, numerator=2**gain, shift=drop)
    return times(_squares(d), Fraction(4**drop) / degrees), gain


def _smaller(x: int, y: int) -> int:
    return x if x < y else y


GAIN_MAX: Final = 8
"""Binary digits that `std` may gain over the root of `var`."""

_SQUARES_BITS: Final = 61
"""Sums of squares stay below 2^61, as every raw product before truncation."""

_SUMS_BITS: Final = 56
"""Sums of squares of integers stay below 2^56, so that `times` has room to divide them."""
