# SPDX-License-Identifier: Apache-2.0
"""Functions that rearrange elements: shapes, indexing, joining. All local; indices are always public."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InputError, SecretError
from tacit.frontends.arithmetic import subtract, where
from tacit.frontends.array import Axis, SecretArray
from tacit.frontends.operands import Operand, apply, arrays, common, owner_of, public
from tacit.plan import BOOL, normalise_index


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Axes as different non-negative integers in rising order; None means all. Raises `InputError` INPUT-106."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(sorted(ordered_axes((axis,) if _is_int(axis) else axis, ndim)))


def axis_of(axis: int, ndim: int) -> int:
    """One axis as a non-negative integer. Raises `InputError` INPUT-106."""
    return ordered_axes((axis,), ndim)[0]


def ordered_axes(axes: Any, ndim: int) -> tuple[int, ...]:
    """Different axes as non-negative integers, in the order given. Raises `InputError` INPUT-106."""
    refuse_secret(axes)
    out = tuple(int(a) % ndim if _is_int(a) and -ndim <= a < ndim else -1 for a in axes)
    if -1 in out or len(set(out)) != len(out):
        raise InputError(
            "INPUT-106",
            f"the axes {str(axes)[:60]} do not fit an array with {ndim} dimensions",
            expected=f"different integers from {-ndim} to {ndim - 1}" if ndim else "no axis",
        )
    return out


def refuse_secret(arguments: object) -> None:
    """Raise `SecretError` SECRET-013 if a secret is given where shapes, axes or positions are: these are public."""
    items = arguments if isinstance(arguments, (tuple, list)) else (arguments,)
    if any(isinstance(a, SecretArray) for a in items):
        raise SecretError(
            "SECRET-013",
            "a secret was used as a position, an axis or a shape",
            expected="public integers",
            next="choose elements by a secret with `where`, or with `sort` and a public position",
        )


def reshape(x: Operand, /, shape: int | tuple[int, ...], *, copy: bool | None = None) -> SecretArray:
    """The same elements in another shape; one length may be -1, and then follows from the others."""
    a = arrays(x)[0]
    refuse_secret(shape)
    lengths = tuple(int(d) for d in (shape if isinstance(shape, (tuple, list)) else (shape,)))
    if lengths.count(-1) == 1:
        known = prod(d for d in lengths if d != -1)
        lengths = tuple((a.size // known if known else 0) if d == -1 else d for d in lengths)
    return a if lengths == a.shape else apply("reshape", a, shape=lengths)


def permute_dims(x: Operand, /, axes: tuple[int, ...] | None = None) -> SecretArray:
    """The axes in the given order, by default reversed."""
    a = arrays(x)[0]
    order = tuple(reversed(range(a.ndim))) if axes is None else ordered_axes(axes, a.ndim)
    return a if order == tuple(range(a.ndim)) else apply("transpose", a, axes=order)


def matrix_transpose(x: Operand, /) -> SecretArray:
    """The last two axes swapped."""
    a = arrays(x)[0]
    last = (axis_of(-1, a.ndim), axis_of(-2, a.ndim)) if a.ndim > 1 else ordered_axes((-1, -2), a.ndim)
    return permute_dims(a, (*range(a.ndim - 2), *last))


def moveaxis(x: Operand, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> SecretArray:
    """The axes of `source` at the positions of `destination`, the others in order."""
    a = arrays(x)[0]
    here = ordered_axes((source,) if _is_int(source) else source, a.ndim)
    there = ordered_axes((destination,) if _is_int(destination) else destination, a.ndim)
    if len(here) != len(there):
        raise InputError("INPUT-106", "moveaxis got lists of different lengths", expected="as many targets as sources")
    order = [k for k in range(a.ndim) if k not in here]
    for target, axis in sorted(zip(there, here, strict=True)):
        order.insert(target, axis)
    return permute_dims(a, tuple(order))


def expand_dims(x: Operand, /, axis: int | tuple[int, ...] = 0) -> SecretArray:
    """With new axes of length 1 at the given positions of the result."""
    a = arrays(x)[0]
    new = (axis,) if _is_int(axis) else tuple(axis)  # type: ignore[arg-type]
    at = ordered_axes(new, a.ndim + len(new))
    rest = iter(a.shape)
    return reshape(a, tuple(1 if k in at else next(rest) for k in range(a.ndim + len(new))))


def squeeze(x: Operand, /, axis: int | tuple[int, ...] | None = None) -> SecretArray:
    """Without the given axes, which must have length 1; by default without all such axes."""
    a = arrays(x)[0]
    gone = tuple(k for k, d in enumerate(a.shape) if d == 1) if axis is None else axes_of(axis, a.ndim)
    if any(a.shape[k] != 1 for k in gone):
        raise InputError("INPUT-106", "squeeze got an axis that is longer than 1", expected="axes of length 1")
    return reshape(a, tuple(d for k, d in enumerate(a.shape) if k not in gone))


def broadcast_to(x: Operand, /, shape: tuple[int, ...]) -> SecretArray:
    """Repeated along axes of length 1 and along new first axes."""
    refuse_secret(shape)
    a = arrays(x)[0]
    lengths = tuple(int(d) for d in shape)
    return a if lengths == a.shape else apply("broadcast_to", a, shape=lengths)


def broadcast_arrays(*operands: Operand) -> list[SecretArray]:
    """The arrays in their common shape."""
    items = arrays(*operands)
    try:
        shape = np.broadcast_shapes(*(a.shape for a in items))
    except ValueError as error:
        raise InputError(
            "INPUT-106", "these shapes do not broadcast", expected="lengths that are equal or 1 along each axis"
        ) from error
    return [broadcast_to(a, shape) for a in items]


def flip(x: Operand, /, *, axis: Axis = None) -> SecretArray:
    """Reversed along some axes, by default all."""
    a = arrays(x)[0]
    for k in axes_of(axis, a.ndim):
        a = apply("flip", a, axis=k)
    return a


def roll(x: Operand, /, shift: int | tuple[int, ...], *, axis: Axis = None) -> SecretArray:
    """Moved by a public number of positions, what leaves at one end coming in at the other."""
    a = arrays(x)[0]
    refuse_secret(shift)
    if axis is None:
        return reshape(roll(reshape(a, (-1,)), shift, axis=0), a.shape)
    axes = ordered_axes((axis,) if _is_int(axis) else axis, a.ndim)
    shifts = (shift,) * len(axes) if isinstance(shift, int) else shift
    for k, by in zip(axes, shifts, strict=True):
        n = a.shape[k]
        if n and by % n:
            a = take(a, (np.arange(n) - by) % n, axis=k)
    return a


def repeat(x: Operand, repeats: int, /, *, axis: int | None = None) -> SecretArray:
    """Each element a public number of times."""
    refuse_secret(repeats)
    a = reshape(x, (-1,)) if axis is None else arrays(x)[0]
    k = axis_of(0 if axis is None else axis, a.ndim)
    return take(a, np.repeat(np.arange(a.shape[k]), repeats), axis=k)


def concat(operands: Iterable[Operand], /, *, axis: int | None = 0) -> SecretArray:
    """Joined along an axis; along one axis of all elements if `axis` is None."""
    items = _joinable(operands)
    if axis is None:
        items, axis = [reshape(a, (-1,)) for a in items], 0
    return apply("concat", *items, axis=axis_of(axis, items[0].ndim))


def stack(operands: Iterable[Operand], /, *, axis: int = 0) -> SecretArray:
    """Joined along a new axis."""
    items = _joinable(operands)
    return apply("stack", *items, axis=axis_of(axis, items[0].ndim + 1))


def unstack(x: Operand, /, *, axis: int = 0) -> tuple[SecretArray, ...]:
    """The parts along an axis, without that axis."""
    a = arrays(x)[0]
    k = axis_of(axis, a.ndim)
    index: tuple[slice, ...] = (slice(None),) * k
    return tuple(getitem(a, (*index, i)) for i in range(a.shape[k]))


def take(x: Operand, indices: Any, /, *, axis: int | None = None) -> SecretArray:
    """Elements at public positions along an axis, by default of the flattened array."""
    refuse_secret(indices)
    a = reshape(x, (-1,)) if axis is None else arrays(x)[0]
    k = axis_of(0 if axis is None else axis, a.ndim)
    positions = _positions(indices, a.shape[k])
    flat = apply("take", a, indices=tuple(positions.ravel().tolist()), axis=k)
    return reshape(flat, (*a.shape[:k], *positions.shape, *a.shape[k + 1 :]))


def diff(x: Operand, /, *, axis: int = -1, n: int = 1) -> SecretArray:
    """Differences of neighbours along an axis, n times."""
    a = arrays(x)[0]
    index: tuple[slice, ...] = (slice(None),) * axis_of(axis, a.ndim)
    for _ in range(n):
        a = subtract(getitem(a, (*index, slice(1, None))), getitem(a, (*index, slice(None, -1))))
    return a


def tril(x: Operand, /, *, k: int = 0) -> SecretArray:
    """The lower triangle of each matrix: zero above diagonal k."""
    return _triangle(x, lambda shape: np.tri(shape[-2], shape[-1], k, dtype=bool))


def triu(x: Operand, /, *, k: int = 0) -> SecretArray:
    """The upper triangle of each matrix: zero below diagonal k."""
    return _triangle(x, lambda shape: ~np.tri(shape[-2], shape[-1], k - 1, dtype=bool))


def getitem(x: SecretArray, index: Any, /) -> SecretArray:
    """x[index] for a public index: integers, slices, ellipsis, None, and arrays of integers or bool, as in NumPy.

    Raises `SecretError` SECRET-013 for a secret index, `PlanError` PLAN-012 for one out of range.
    """
    items = index if isinstance(index, tuple) else (index,)
    refuse_secret(items)
    items = tuple(int(i) if _is_int(i) else i for i in items)
    if all(i is None or (isinstance(i, (int, slice, EllipsisType)) and not isinstance(i, bool)) for i in items):
        return apply("getitem", x, index=normalise_index(items, x.shape))
    given = [np.asarray(i) if isinstance(i, (list, bool, np.ndarray, np.bool)) else None for i in items]
    plain = [k for k, i in enumerate(items) if not (isinstance(i, slice) and i == slice(None)) and i is not Ellipsis]
    if len(plain) == 1 and all(i is not Ellipsis for i in items[: plain[0]]):
        at, one = plain[0], given[plain[0]]
        if one is not None and (
            one.dtype.kind in "iu" or (one.dtype.kind == "b" and one.shape == x.shape[at : at + 1])
        ):
            return take(x, one, axis=at)
    # NumPy's own indexing of the positions settles every other case.
    try:
        positions = np.arange(x.size).reshape(x.shape)[items]
    except (IndexError, TypeError, ValueError) as error:
        raise InputError(
            "INPUT-106",
            f"this index does not fit an array of shape {x.shape}",
            expected="public integers, slices, None, ellipsis, or arrays of integers or bool within the shape",
        ) from error
    return take(x, positions)


def _triangle(x: Operand, mask: Any) -> SecretArray:
    a = arrays(x)[0]
    ordered_axes((-2, -1), a.ndim)
    return where(mask(a.shape), a, public(a.program, False if a.dtype == BOOL else 0, a.dtype))


def _joinable(operands: Iterable[Operand]) -> list[SecretArray]:
    items = list(operands)
    owner_of(items)
    shapes = {a.dtype for a in arrays(*items)}
    return arrays(*items) if len(shapes) == 1 else common(*items)


def _positions(indices: Any, n: int) -> NDArray[np.int64]:
    positions = np.asarray(indices)
    if positions.dtype.kind == "b" and positions.shape == (n,):
        positions = np.flatnonzero(positions)
    empty = positions.size == 0
    if not empty and (positions.dtype.kind not in "iu" or positions.min() < -n or positions.max() >= n):
        raise InputError(
            "INPUT-106",
            f"some positions do not fit an axis of length {n}",
            expected=f"integers from {-n} to {n - 1}, or one bool for each element",
        )
    return positions.astype(np.int64) % n if not empty else positions.astype(np.int64)


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
