# SPDX-License-Identifier: Apache-2.0
"""Functions of order: sorting by several keys, secret permutations, the largest elements, quantiles.

All take a `strategy` as `sort` does: "network", the default, opens nothing; "shuffle" is far cheaper for thousands of
elements and opens the outcomes of comparisons between randomly shuffled rows, which the plan lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InputError, SecretError
from tacit.frontends.arithmetic import add, subtract
from tacit.frontends.array import Axis, SecretArray
from tacit.frontends.operands import Operand, apply, apply_several, arrays, fixed_point, numbers
from tacit.frontends.reductions import mean
from tacit.frontends.scaling import times
from tacit.frontends.shaping import axes_of, axis_of, permute_dims, refuse_secret, reshape, take

Directions = bool | Sequence[bool]
"""Whether keys are descending: all alike, or each on its own."""


def lexsort(
    keys: Sequence[Operand], /, *, axis: int = -1, descending: Directions = False, strategy: str = "network"
) -> SecretArray:
    """The secret positions that sort along an axis by several keys of one shape, of which, as in NumPy, the last is the
    most significant. Rows that are equal in all keys keep their order.

    Keys are joined into words of 63 bits where their declared ranges leave room, so narrow ranges cost less. Raises
    `InputError` INPUT-106 without keys, or for another number of directions.
    """
    given = _keys(keys)
    turned = _directions(descending, len(given))
    axis = axis_of(axis, given[0].ndim)
    return apply("lexsort", *given[::-1], axis=axis, descending=turned[::-1], strategy=strategy)


def sort_by(
    keys: Operand | Sequence[Operand],
    /,
    *rows: Operand,
    descending: Directions = False,
    size: int | None = None,
    strategy: str = "network",
) -> SecretArray | tuple[SecretArray, ...]:
    """Each of `rows`, `[n, ...]` arrays of any type, in the order of one key `[n]` or several, the first being the most
    significant. Rows that are equal in all keys keep their order.

    Of all these the first `size`, by default all n: few of many take far less than to sort all, as with `topk`. The
    keys are not among the results: give them as rows too where they are needed. One array for one `rows`, else a tuple.
    Raises `InputError` INPUT-106 without keys or rows, or for another number of directions, and `PlanError` PLAN-006
    unless 0 <= size <= n.
    """
    given = _keys(keys if isinstance(keys, (list, tuple)) else [keys])
    if not rows:
        raise InputError("INPUT-106", "sort_by got no rows", expected="at least one array to put in order")
    refuse_secret(size)
    turned = _directions(descending, len(given))
    some = {} if size is None or (size,) == given[0].shape else {"size": int(size)}
    op, together = "first_by" if some else "sort_by", arrays(*given, *rows)
    done = apply_several(op, *together, keys=len(given), descending=turned, strategy=strategy, **some)
    return done[0] if len(done) == 1 else tuple(done)


def take_along_axis(x: Operand, indices: SecretArray, /, *, axis: int = -1) -> SecretArray:
    """The elements along an axis at secret positions, which must be a permutation: the result of `argsort` or `lexsort`
    along the same axis. One position for each element of `x`, or one for each place along the axis: then slices move as
    a whole.

    6 rounds. Opens the positions in randomly shuffled order, a random permutation, which the plan lists. Positions that
    need not be a permutation would open their repetitions: `SecretError` SECRET-013 for any others. Of a permutation
    that comes as data, take the `argsort` of its `argsort`.
    """
    if not isinstance(indices, SecretArray) or indices.node.op not in ("argsort", "lexsort"):
        raise SecretError(
            "SECRET-013",
            "take_along_axis got positions that need not be a permutation",
            expected="the result of `argsort` or `lexsort`",
            next="take the `argsort` of the positions' `argsort`, or `take` elements at public positions",
        )
    a = arrays(x, indices)[0]
    k = axis_of(axis, a.ndim)
    along = indices.node.attrs["axis"]
    if indices.shape not in (a.shape, a.shape[k : k + 1]) or (indices.ndim > 1 and along != k):
        raise InputError(
            "INPUT-106",
            f"positions of shape {indices.shape} along axis {along} do not fit axis {k} of an array of shape {a.shape}",
            expected="one position for each element along the axis, or for each element of the array",
        )
    return apply("permute", indices, a, axis=k)


def topk(
    x: Operand, k: int, /, *, axis: int = -1, largest: bool = True, strategy: str = "network"
) -> tuple[SecretArray, SecretArray]:
    """(values, positions) of the k largest elements along an axis, or smallest, the outermost first; of equal elements
    the first comes first. Both secret.

    With "shuffle" about n + k log2(k) comparisons. Raises `PlanError` PLAN-006 unless 0 <= k <= n.
    """
    refuse_secret(k)
    a = numbers(arrays(x)[0])
    axis = axis_of(axis, a.ndim)
    values, places = apply_several("topk", a, axis=axis, k=int(k), largest=largest, strategy=strategy)
    return values, places


def median(x: Operand, /, *, axis: Axis = None, keepdims: bool = False, strategy: str = "network") -> SecretArray:
    """The middle element over some axes, by default all, as fixed point; of an even number, the mean of the two."""
    return quantile(x, 0.5, axis=axis, keepdims=keepdims, strategy=strategy)


def quantile(
    x: Operand,
    q: Any,
    /,
    *,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
    strategy: str = "network",
) -> SecretArray:
    """The quantiles of public probabilities q, a number or an array, over some axes, by default all.

    `method` is any of NumPy's. "lower", "higher", "nearest" and the others that choose an element keep the element type
    and are exact. "linear" and the others that may lie between two give fixed point, within 2 units in the last place.
    All quantiles are found together. The axes of q come first, as in NumPy. Raises `InputError` INPUT-108 over no
    elements, INPUT-106 for probabilities outside [0, 1] or an unknown method, and `PlanError` PLAN-009 where elements
    have no room as fixed point.
    """
    refuse_secret(q)
    a = numbers(arrays(x)[0])
    axes = axes_of(axis, a.ndim)
    others = tuple(k for k in range(a.ndim) if k not in axes)
    n, rest = prod(a.shape[k] for k in axes), len(others)
    shape = tuple(1 if k in axes else d for k, d in enumerate(a.shape) if keepdims or k not in axes)
    lines = reshape(permute_dims(a, (*others, *axes)), (*(a.shape[k] for k in others), n))
    if n == 0:
        raise InputError("INPUT-108", "a quantile over no elements", expected="at least one element")
    chances = np.asarray(q, dtype=np.float64)
    between = _places(n, chances.reshape(-1), method)
    below, above = np.floor(between).astype(np.int64), np.ceil(between).astype(np.int64)
    ranks = np.unique([below, above])
    found = apply("order_statistics", lines, axis=rest, ranks=tuple(ranks.tolist()), strategy=strategy)
    weights = between - below
    if method not in DISCRETE and chances.size == 1 and weights[0] == 0.5:
        # The usual median: one step, and its words are those of a mean.
        out = mean(found, axis=rest, keepdims=True)
    else:
        out = _picked(found, ranks, below)
        if weights.any():
            rise = subtract(_picked(found, ranks, above), out)
            out = add(fixed_point(out), times(rise, weights))
        elif method not in DISCRETE:
            out = fixed_point(out)
    return reshape(permute_dims(out, (rest, *range(rest))), (*chances.shape, *shape))


def _picked(found: SecretArray, ranks: NDArray[np.int64], wanted: NDArray[np.int64]) -> SecretArray:
    """Of the elements of some ranks, along the last axis, those of the wanted ones."""
    return found if np.array_equal(ranks, wanted) else take(found, np.searchsorted(ranks, wanted), axis=-1)


def _places(n: int, chances: NDArray[np.float64], method: str) -> NDArray[np.float64]:
    """Where quantiles lie among 0 .. n-1, whole numbers being ranks."""
    try:
        # NumPy's own quantiles of the ranks: its methods depend on these alone.
        places = np.quantile(np.arange(n), chances, method=method)  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        raise InputError(
            "INPUT-106",
            "these quantiles are not possible",
            expected="probabilities from 0 to 1, and one of the methods of `numpy.quantile`",
        ) from error
    return np.asarray(places, dtype=np.float64)


def _keys(keys: Sequence[Operand]) -> list[SecretArray]:
    if not len(keys):
        raise InputError("INPUT-106", "a sort got no keys", expected="at least one key")
    return [numbers(a) for a in arrays(*keys)]


def _directions(descending: Directions, keys: int) -> tuple[int, ...]:
    if isinstance(descending, (bool, np.bool)):
        return (int(descending),) * keys
    if len(descending) != keys:
        raise InputError(
            "INPUT-106",
            f"a sort got {len(descending)} directions for {keys} keys",
            expected="one bool for all keys, or one for each",
        )
    return tuple(int(bool(d)) for d in descending)


DISCRETE: Final = frozenset(["lower", "higher", "nearest", "inverted_cdf", "closest_observation"])
"""Methods of `quantile` that always choose an element."""
