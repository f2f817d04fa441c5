# SPDX-License-Identifier: Apache-2.0
"""Public indices in one normal form, so that equal indexing gives equal plans.

A normalised index is a tuple with, for each axis of the array in order, a non-negative int (pick one, drop the axis)
or a triple `(start, count, step)` (keep `count` elements), and a None wherever a new axis of length 1 goes.
"""

from __future__ import annotations

from operator import index as index_of
from types import EllipsisType
from typing import SupportsIndex, TypeAlias

from tacit.errors import PlanError
from tacit.plan.nodes import Index

IndexItem: TypeAlias = SupportsIndex | slice | EllipsisType | None


def normalise_index(index: IndexItem | tuple[IndexItem, ...], shape: tuple[int, ...]) -> Index:
    """The normal form of a basic NumPy index on an array of that shape.

    Raises `PlanError` PLAN-012 for an index out of range, too many axes, two ellipses, or an item that is no int,
    slice, ellipsis or None.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    used = sum(1 for item in items if item is not None and item is not Ellipsis)
    if used > len(shape) or sum(1 for item in items if item is Ellipsis) > 1:
        raise _bad(f"an index with {used} axes does not fit {len(shape)} dimensions")
    fill: list[IndexItem] = [slice(None)] * (len(shape) - used)
    at = next((k for k, item in enumerate(items) if item is Ellipsis), len(items))
    items[at : at + 1] = fill

    out: list[int | tuple[int, int, int] | None] = []
    axis = 0
    for item in items:
        if item is None:
            out.append(None)
            continue
        size = shape[axis]
        axis += 1
        if isinstance(item, slice):
            picked = range(*item.indices(size))
            out.append(_triple(picked.start, len(picked), picked.step))
        elif isinstance(item, SupportsIndex) and not isinstance(item, bool):
            position = index_of(item)
            if not -size <= position < size:
                raise _bad(f"index {position} is out of range for an axis of length {size}")
            out.append(position % size)
        else:
            raise _bad(f"{type(item).__name__} is no public index")
    return tuple(out)


def numpy_index(index: Index) -> tuple[int | slice | None, ...]:
    """The index in NumPy's own terms."""
    out: list[int | slice | None] = []
    for item in index:
        if isinstance(item, tuple):
            start, count, step = item
            stop = start + count * step
            # A negative stop would count from the end: None is the way to say "down to the first element".
            out.append(slice(start, None if stop < 0 else stop, step))
        else:
            out.append(item)
    return tuple(out)


def indexed_shape(index: Index, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an array of that shape under a normalised index.

    Raises `PlanError` PLAN-012 unless the index is in normal form and within range.
    """
    axes = [item for item in index if item is not None]
    if len(axes) != len(shape):
        raise _bad(f"an index with {len(axes)} axes does not fit {len(shape)} dimensions")
    for item, size in zip(axes, shape, strict=True):
        if isinstance(item, tuple):
            start, count, step = item
            last = start + (count - 1) * step
            inside = count == 0 or (step != 0 and 0 <= start < size and 0 <= last < size)
            if count < 0 or not inside or item != _triple(start, count, step):
                raise _bad(f"the slice {item} is not in normal form for an axis of length {size}")
        elif not 0 <= item < size:
            raise _bad(f"index {item} is out of range for an axis of length {size}")
    return tuple(1 if item is None else item[1] for item in index if not isinstance(item, int))


def _triple(start: int, count: int, step: int) -> tuple[int, int, int]:
    if count == 0:
        return (0, 0, 1)
    return (start, count, step if count > 1 else 1)


def _bad(what: str) -> PlanError:
    return PlanError(
        "PLAN-012",
        what,
        expected="integers, slices, None and at most one ellipsis, within the shape",
        next="use `take` for a list of public positions; positions that are secret need `where` or a sort",
    )
