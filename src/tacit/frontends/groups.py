# SPDX-License-Identifier: Apache-2.0
"""Functions on rows: compaction, runs of equal keys and what is summed over them, small public domains.

Shapes are public, so a result whose true length is secret has a public one: its rows come first, and zeros fill it up.
A flag for each row of the result says which are meant. A run of rows starts at row 0 and wherever its flag holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tacit.errors import InputError
from tacit.frontends.arithmetic import matmul
from tacit.frontends.array import SecretArray
from tacit.frontends.graph import record
from tacit.frontends.operands import Operand, apply, apply_several, arrays, astype, numbers, public
from tacit.frontends.reductions import sort, sum
from tacit.frontends.shaping import broadcast_to, getitem, matrix_transpose, refuse_secret, reshape
from tacit.plan import BOOL, Secret


def compress(flags: Operand, /, *rows: Operand, size: int | None = None) -> tuple[SecretArray, ...]:
    """The rows of each array where a flag holds, in order and then zeros, and last a flag for each row of the result.

    `size` is the public length of the result, by default that of `flags`; what does not fit is left out. All arrays
    move at once. Opens a random order of rows, which the plan lists; how many flags hold stays secret. 7 rounds; of all
    parties together 160 bytes a row, 56 for each word of it after the first, and 32 for each public one.
    """
    given = arrays(flags, *rows)
    held = astype(given[0], BOOL)
    n = _length(size, held)
    moved = apply_several("compress", held, *given[1:], _everywhere(True, held))
    return tuple(_cut(x, n) for x in moved)


def expand(flags: Operand, /, *rows: Operand) -> Any:
    """Row k of each array at the k-th place where a flag holds, and zeros elsewhere: what `compress` was made from.

    One array gives one, several give a tuple. They may have fewer rows than there are flags. Opens two random orders of
    rows, which the plan lists.
    """
    given = arrays(flags, *rows)
    return _one(apply_several("expand", astype(given[0], BOOL), *given[1:]))


def shuffle_rows(*rows: Operand) -> Any:
    """The rows of each array in a random order that no party knows, the same for all of them. Opens nothing.

    One array gives one, several give a tuple. What is private is shared first. 2 rounds, and 2 more with bools; of all
    parties together 32 bytes for each word of a row.
    """
    given = [
        SecretArray(a.program, record("share", a.node)) if a.node.type.home != Secret() else a for a in arrays(*rows)
    ]
    return _one(apply_several("shuffle_rows", *given))


def match_rows(
    first: tuple[Operand, Sequence[Operand], Sequence[Operand]],
    second: tuple[Operand, Sequence[Operand], Sequence[Operand]],
    /,
) -> tuple[SecretArray, list[SecretArray], list[SecretArray]]:
    """For each row of a second table whether a row of a first one has the same keys, the arrays of that row, zeros if
    there is none, and those of the second. In a random order, the same for all of them.

    Tables are (flags, keys, arrays); rows without a flag match nothing, and keys of the others are unique in the first
    table. Keys are integers or bool, of at most 126 bits by their ranges. Opens which rows, in random orders, have
    equal keys, which the plan lists: how many match, and how often keys repeat. Some 26 rounds; of all parties together
    1.6 kB for each row of either, 32 bytes for each word of it, and again for each word of the result.
    """
    (flags, keys, rows), (others, other_keys, other_rows) = first, second
    given = arrays(flags, others, *keys, *other_keys, *rows, *other_rows)
    found, *moved = apply_several("match_rows", *given, keys=len(keys), first=len(rows))
    return found, moved[: len(rows)], moved[len(rows) :]


def fill_forward(flags: Operand, /, *rows: Operand) -> Any:
    """Each row of each array replaced by the latest one, itself included, where a flag holds; zeros before the first.

    With flags at the heads of groups this copies each head to its group, in 9 rounds whatever the length. One array
    gives one, several give a tuple. Opens two random orders of rows, which the plan lists.
    """
    given = arrays(flags, *rows)
    return _one(apply_several("fill_forward", astype(given[0], BOOL), *given[1:]))


def run_starts(*keys: Operand) -> SecretArray:
    """A flag on the first row of each run: where a row differs from the one before in any of the keys.

    Opens nothing. Keys are arrays with one row for each row, of one or more columns.
    """
    return apply("run_starts", *arrays(*keys))


def run_ends(*keys: Operand) -> SecretArray:
    """A flag on the last row of each run of equal keys, as `run_starts`."""
    return apply("run_ends", *arrays(*keys))


def run_sums(starts: Operand, /, *rows: Operand, size: int | None = None) -> Any:
    """The sums of each array over each run, in order and then zeros; `size` as in `compress`.

    One array gives one, several give a tuple. The range of the result is that of a sum over all rows. The cost and the
    opening of `compress`.
    """
    given = arrays(starts, *rows)
    n = _length(size, given[0])
    sums = apply_several("run_sums", astype(given[0], BOOL), *(numbers(x) for x in given[1:]))
    return _one([_cut(x, n) for x in sums])


def run_lengths(starts: Operand, /, *, size: int | None = None) -> SecretArray:
    """The number of rows in each run, in order and then zeros; `size` as in `compress`. At the cost of `run_sums`."""
    flags = arrays(starts)[0]
    out: SecretArray = run_sums(flags, _everywhere(1, flags), size=size)
    return out


def aggregate(
    starts: Operand, heads: Sequence[Operand], sums: Sequence[Operand], /, *, size: int | None = None
) -> tuple[tuple[SecretArray, ...], tuple[SecretArray, ...], SecretArray]:
    """A row for each run, in order and then zeros: the first row of each of `heads`, the sums of each of `sums`, and a
    flag for each row of the result; `size` as in `compress`.

    A public array costs little: 1 among the `sums` counts rows. The cost and the opening of one `compress`.
    """
    given = arrays(starts, *heads, *sums)
    flags, count = astype(given[0], BOOL), len(heads)
    n = _length(size, flags)
    first = (*given[1 : 1 + count], _everywhere(True, flags))
    summed = [numbers(_rows(x, flags)) for x in given[1 + count :]]
    done = [_cut(x, n) for x in apply_several("aggregate", flags, *first, *summed, heads=count + 1)]
    return tuple(done[:count]), tuple(done[count + 1 :]), done[count]


def running_sum(starts: Operand, /, *rows: Operand) -> Any:
    """The running sum of each array along axis 0, begun anew in each run. The cost and openings of `fill_forward`.

    One array gives one, several give a tuple.
    """
    given = arrays(starts, *rows)
    return _one(apply_several("running_sum", astype(given[0], BOOL), *(numbers(x) for x in given[1:])))


def running_max(starts: Operand, x: Operand, /) -> SecretArray:
    """The largest element so far along axis 0, begun anew in each run. Opens nothing.

    A scan: about 2n comparisons and choices in 2 log2(n) levels of some ten rounds; half the levels up to 256 rows.
    """
    flags, a = arrays(starts, x)
    return apply("running_max", astype(flags, BOOL), numbers(a))


def running_min(starts: Operand, x: Operand, /) -> SecretArray:
    """The smallest element so far along axis 0, begun anew in each run; as `running_max`."""
    flags, a = arrays(starts, x)
    return apply("running_min", astype(flags, BOOL), numbers(a))


def running_any(starts: Operand, x: Operand, /) -> SecretArray:
    """Whether any element so far along axis 0 is true or not zero, begun anew in each run. Opens nothing."""
    flags, a = arrays(starts, x)
    return apply("running_any", astype(flags, BOOL), astype(a, BOOL))


def running_all(starts: Operand, x: Operand, /) -> SecretArray:
    """Whether all elements so far along axis 0 are true or not zero, begun anew in each run. Opens nothing."""
    flags, a = arrays(starts, x)
    return apply("running_all", astype(flags, BOOL), astype(a, BOOL))


def unique_padded(
    x: Operand, /, *, size: int | None = None, strategy: str = "network"
) -> tuple[SecretArray, SecretArray, SecretArray]:
    """The different elements in order, how many there are of each, and which of the results are meant.

    `size` as in `compress`, `strategy` as in `sort`. Opens random orders of rows besides, which the plan lists.
    """
    ordered = sort(reshape(x, (-1,)), strategy=strategy)
    (values,), (counts,), valid = aggregate(run_starts(ordered), [ordered], [1], size=size)
    return values, counts, valid


def one_hot(x: Operand, /, num_classes: int) -> SecretArray:
    """For each element, an integer in [0, num_classes), a row of zeros with a one at that place, along a new last axis.

    At most 64 places. Opens nothing. Of all parties together about 25 bytes for each element and place.
    """
    refuse_secret(num_classes)
    return apply("one_hot", numbers(arrays(x)[0]), size=int(num_classes))


def bincount(x: Operand, /, length: int) -> SecretArray:
    """How often each of 0 to length - 1 occurs among all elements, which must lie in that range; as `one_hot`."""
    return sum(one_hot(reshape(x, (-1,)), length), axis=0)


def segment_sum(x: Operand, segment_ids: Operand, /, num_segments: int) -> SecretArray:
    """The sums of the rows of x with each segment id, an integer in [0, num_segments): `[num_segments, ...]`.

    For a small public number of segments, up to 64: a `one_hot` code and one matrix product, without a sort. Opens
    nothing.
    """
    data, ids = arrays(x, segment_ids)
    if ids.ndim != 1 or data.shape[:1] != ids.shape:
        raise InputError("INPUT-106", "segment_sum got ids that do not fit the rows", expected="one id for each row")
    rows = reshape(numbers(data), (len(ids), prod(data.shape[1:])))
    sums = matmul(matrix_transpose(one_hot(ids, num_segments)), rows)
    return reshape(sums, (num_segments, *data.shape[1:]))


def _length(size: int | None, flags: SecretArray) -> int:
    refuse_secret(size)
    n = flags.shape[0] if flags.ndim == 1 else -1
    length = n if size is None else int(size)
    if not 0 <= length <= n:
        raise InputError("INPUT-106", "these rows have no such length", expected="flags [n], and a size from 0 to n")
    return length


def _cut(x: SecretArray, n: int) -> SecretArray:
    return x if len(x) == n else getitem(x, slice(0, n))


def _one(items: Sequence[SecretArray]) -> Any:
    return items[0] if len(items) == 1 else tuple(items)


def _rows(x: SecretArray, flags: SecretArray) -> SecretArray:
    """A row for each flag: one number counts for all."""
    return x if x.ndim else broadcast_to(x, flags.shape)


def _everywhere(value: int, beside: SecretArray) -> SecretArray:
    """A public value in every row, which the plan holds once."""
    return broadcast_to(public(beside.program, value), beside.shape)
