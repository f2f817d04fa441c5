# SPDX-License-Identifier: Apache-2.0
"""Sorting that opens the outcomes of comparisons between shuffled rows, and secret permutations.

Source: Hamada, Kikuchi, Ikarashi, Chida, Takahashi 2012 (ICISC): shuffle, then sort by comparisons that are opened.
The rows are put in an order that no party knows, together with their original positions; ties are broken by that
position, so no two rows are equal. What opens is then how a uniformly random permutation compares, whatever the data:
equal, sorted and random keys look the same, and the sort is stable. (The shuffled position would not do: with equal
keys alone it would open the identity.)

How many rows are compared in each batch depends on n alone: searches among a sorted sample take a fixed number of
comparisons, and the quicksort of what lies between is cut to batches of a size fixed beforehand. What does not fit
waits for the next batch, and what is missing is filled up with comparisons of a row with itself. So the traffic tells
nothing, and its cost is known before. Batches have room for ten and more standard deviations of what chance may ask
for (seen: 9.6 to 20); if that should ever not do, further batches follow, and the cost exceeds the declared one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, inf, sqrt
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tacit import kernels
from tacit.errors import RunError
from tacit.library.order import Key, Words, joined, positions
from tacit.library.order import before as compared
from tacit.library.order import digits as digits_of
from tacit.protocols.blackbox import BlackBox, place_bits
from tacit.protocols.exchange import gather, pipelined
from tacit.protocols.network import NETWORKS, Network
from tacit.protocols.shares import Arith, Bits, Column, Differences, Digits

Positions: TypeAlias = NDArray[np.intp]
Outcomes: TypeAlias = NDArray[np.bool_] | None
Before: TypeAlias = Callable[[Positions, Positions], Coroutine[Any, Any, Outcomes]]
"""Which rows of the first list come before their partners of the second, opened to everyone; None: only the cost."""

ALL_PAIRS: Final = 128
"""Up to so many rows every pair is compared, in one batch."""
ALL_PAIRS_MAX: Final = 1024
"""Up to so many, where the network makes it quicker."""
LANES: Final = 8
"""Up to so many lanes go side by side. More would hold much at once."""


# --- sorting ---------------------------------------------------------------------------------------------------


async def sort(box: BlackBox, x: Arith, *, axis: int = -1, descending: bool = False, bounds: tuple[int, int]) -> Arith:
    """The elements along `axis` in order. `bounds` are limits of x; narrow ones make comparisons cheaper.

    About log2(n) + 2 comparisons per element in about 2 log2(n) batches: `docs/sorting.md` has the numbers.
    """
    return await _lines([x], axis, lambda x: _sorted(box, Key(x, bounds, descending)))


async def argsort(box: BlackBox, keys: Sequence[Key], *, axis: int = -1) -> Arith:
    """The positions that sort along `axis` by keys of one shape, the first being the most significant; stable.

    At the cost of `sort` of keys of as many bits as all keys have together.
    """
    return await _lines([key.values for key in keys], axis, lambda *columns: _argsorted(box, _at(keys, columns)))


async def sort_by(
    box: BlackBox, keys: Arith, rows: Arith, *, descending: bool = False, bounds: tuple[int, int]
) -> tuple[Arith, Arith]:
    """(keys in order, rows in the order of their keys) for keys `[n]` and rows `[n, ...]`; stable.

    As `sort`, and one more shuffled column for each element of a row.
    """
    n = keys.shape[0]
    width = rows.size // max(n, 1)
    done = await _by_keys(box, [Key(keys, bounds, descending)], [rows.reshape((n, width))])
    return done[:, 0], done[:, 1 : 1 + width].reshape(rows.shape)


async def sort_rows(
    box: BlackBox, keys: Sequence[Key], payload: Sequence[Arith], count: int | None = None
) -> list[Arith]:
    """Each `[n, ...]` array of `payload` with its rows in the order of the keys `[n]`, or the first `count`; stable.

    As `argsort`, and one more shuffled column for each element of a row, but none for a key itself.
    """
    return await moved_by(lambda columns: _by_keys(box, keys, columns), keys, payload, count)


async def moved_by(
    by: Callable[[list[Arith]], Coroutine[Any, Any, Arith]],
    keys: Sequence[Key],
    payload: Sequence[Arith],
    count: int | None = None,
) -> list[Arith]:
    """The first `count` rows of each array of `payload` once `by` has put rows (keys ..., payload ...) in order, given
    those columns of the payload that are no keys.
    """
    n = keys[0].values.shape[0]
    count = n if count is None else count
    if not count or not any(p.size for p in payload):
        # Nothing is moved, so nothing is opened.
        return [p[:count] for p in payload]
    # A key that is wanted too has its column already.
    columns = {id(key.values): slice(k, k + 1) for k, key in enumerate(keys)}
    moved = [p for p in payload if id(p) not in columns]
    done = (await by([p.reshape((n, p.size // n)) for p in moved]))[:count]
    start = len(keys)
    for p in moved:
        columns[id(p)] = slice(start, start + p.size // n)
        start = columns[id(p)].stop
    return [done[:, columns[id(p)]].reshape((count, *p.shape[1:])) for p in payload]


async def _sorted(box: BlackBox, key: Key) -> Arith:
    return await _by_keys(box, [key], at=0)


async def _argsorted(box: BlackBox, keys: Sequence[Key]) -> Arith:
    return await _by_keys(box, keys, at=-1, places=True)


def _at(keys: Sequence[Key], columns: Sequence[Arith]) -> list[Key]:
    return [replace(key, values=column) for key, column in zip(keys, columns, strict=True)]


async def _lines(arrays: Sequence[Arith], axis: int, line: Callable[..., Coroutine[Any, Any, Arith]]) -> Arith:
    """Of each line along `axis` of arrays of one shape what `line` makes of it, all in the same rounds."""
    moved = [x.map(lambda p: np.moveaxis(p, axis, 0)) for x in arrays]
    n, rest = moved[0].shape[0], moved[0].shape[1:]
    lines = [x.reshape((n, x.size // max(n, 1))) for x in moved]
    if not arrays[0].size:
        return arrays[0]
    done = await gather(*(line(*(x[:, k] for x in lines)) for k in range(lines[0].shape[1])))
    out = Arith.stack(done, axis=1)
    return out.reshape((out.shape[0], *rest)).map(lambda p: np.moveaxis(p, 0, axis))


async def mixed(box: BlackBox, keys: Sequence[Key], payload: Sequence[Arith] = ()) -> tuple[Arith, Words]:
    """Rows (keys ..., payload ..., original position) in a random order, and what they compare by: n > 1 keys `[n]`."""
    rows = await box.shuffle(_rows(box, keys, payload, True))
    return rows, joined(box, _of_rows(keys, rows), rows[:, -1])


def _rows(box: BlackBox, keys: Sequence[Key], payload: Sequence[Arith], places: bool) -> Arith:
    """Rows (keys ..., payload ..., position if asked for) as they come."""
    n = keys[0].values.shape[0]
    columns = [*(key.values.reshape((n, 1)) for key in keys), *payload]
    return Arith.concat([*columns, positions(box, (n, 1))] if places else columns, axis=1)


def _of_rows(keys: Sequence[Key], rows: Arith) -> list[Key]:
    return [replace(key, values=rows[:, k]) for k, key in enumerate(keys)]


async def _by_keys(
    box: BlackBox,
    keys: Sequence[Key],
    payload: Sequence[Arith] = (),
    at: int | slice = slice(None),
    places: bool = False,
) -> Arith:
    """Rows (keys ..., payload ..., original position if asked for) in order, or what stands `at` some place of each."""
    n = keys[0].values.shape[0]
    if n < 2:
        return _rows(box, keys, payload, True)[:, at]
    made, plain = sorting(n, keys, box.network)
    rows, before = await prepared(box, keys, payload, made < plain, places)
    placed = await order(before, np.arange(n), box.network)
    del before  # It holds what was compared.
    return rows[:, at][placed]


async def prepared(
    box: BlackBox, keys: Sequence[Key], payload: Sequence[Arith], ready: bool, places: bool = False
) -> tuple[Arith, Before]:
    """Rows (keys ..., payload ...) in a random order, with their original position behind them if it is asked for, and
    how they compare: made `ready`, or as numbers, which brings the position in any case.
    """
    if not ready:
        rows, words = await mixed(box, keys, payload)
        return rows, await comparison(box, words)
    # What is compared bit by bit needs the position as bits alone, which are less to move than a number.
    rows, numbers = await box.shuffle_places(_rows(box, keys, payload, places))
    return rows, await readied(box, joined(box, _of_rows(keys, rows), None), numbers)


async def comparison(box: BlackBox, words: Words) -> Before:
    """How shuffled rows compare by their words, of which the original position is a part."""
    columns = [Column(word) for word in words.columns]
    wide = [word for word, is_wide in zip(words.columns, words.wide, strict=True) if is_wide]
    signs = await gather(*(box.msb(column) for column in wide))

    async def before(left: Positions, right: Positions) -> Outcomes:
        differences = [Differences(column, left, right) for column in columns]
        sides = [(_of(bits, left), _of(bits, right)) for bits in signs]
        return await box.open_outcomes(await compared(box, words, differences, sides))

    return before


async def readied(box: BlackBox, words: Words, places: Bits) -> Before:
    """The same, and then by original position, for rows compared so often that digits of all that are worth making."""
    n = words.columns[0].shape[0]
    spans = replace(box.network, most=min(box.network.most, READY_PIECE)).spans(n)
    if len(spans) < 2:
        return _Readied(box, await digits_of(box, words, places))
    whole: list[Digits] = []

    async def fill(a: int, b: int) -> None:
        # Written where they belong at once: digits are the largest thing that a sort holds.
        some = replace(words, columns=tuple(c[a:b] for c in words.columns))
        made = await digits_of(box, some, places.piece(a, b))
        if not whole:
            whole.append(Digits.room(n, made))
        whole[0].put(a, made)

    await pipelined((fill(a, b) for a, b in spans), box.network.in_flight)
    return _Readied(box, whole[0])


class _Readied:
    """How rows compare by digits."""

    def __init__(self, box: BlackBox, digits: Digits) -> None:
        self._box = box
        self._digits = digits

    async def __call__(self, left: Positions, right: Positions) -> Outcomes:
        return await self._box.open_less(self._digits, left, right)

    def arranged(self, rows: Positions) -> _Readied:
        """The same of these rows, in this order; all of them are put in order in place."""
        if rows.size < len(self._digits):
            return _Readied(self._box, self._digits[rows])
        self._digits.arrange(rows)
        return self


def in_pieces(before: Before, network: Network) -> Before:
    """The same comparisons, of which one piece is computed while the messages of another travel."""

    async def compare(left: Positions, right: Positions) -> Outcomes:
        spans = network.spans(left.size)
        if len(spans) == 1:
            return await before(left, right)
        done = await pipelined((before(left[a:b], right[a:b]) for a, b in spans), network.in_flight)
        outcomes = [part for part in done if part is not None]
        return np.concatenate(outcomes) if outcomes else None

    return compare


async def _of(bits: Bits, positions: Positions) -> Bits:
    return bits.elements(lambda p: p[positions])


# --- the order of rows by opened comparisons -------------------------------------------------------------------


@dataclass(frozen=True)
class Course:
    """How n rows are sorted; it depends on n and the network alone.

    The sorted first `sample` = 2^k - 1 rows divide the others, by a search of `steps` bits at a time; batches of
    `batches` comparisons then sort what lies between, where segments of up to `leaf` rows are done by all pairs. Both
    are done in `lanes`, each for itself: `batches` are those of one lane. Up to `LANES` of them go side by side, each
    at another round of a batch, so that something large is always on the way.
    """

    sample: int
    steps: tuple[int, ...]
    leaf: int
    batches: tuple[int, ...]
    lanes: int = 1

    def in_flight(self, network: Network) -> int:
        """How many lanes go side by side."""
        return self.lanes if self.lanes <= LANES else network.in_flight


_COURSES: Final = tuple(
    (mean, step, leaf, rest)
    for mean in (48, 24)
    for step in (1, 2, 3, 4, 5)
    for leaf, rest in ((7, 1 / 16), (10, 1), (12, 2), (24, 8), (40, 20))
)
"""What there is to choose from: twice the least rows per pivot, bits at a time, leaf, comparisons per row at the
end."""
_COMPARISON: Final = (9, 0.7)
"""Rounds of a batch, and bytes of each comparison in it for each bit of the rows' words, about ..."""
_TWO_WORDS: Final = 126
_LONG: Final = (15, 1.4)
"""... of more bits than that more words, each for itself, ..."""
_READY: Final = (6, 0.34)
"""... and of rows that were made ready, ..."""
_READYING: Final = (9, 2.3)
"""... which takes that, once for each row."""
_BITS: Final = 80
"""Bits that courses are weighed with."""
READY_PIECE: Final = 2**16
"""Digits are made of so many rows at a time: on the way they take twice the memory that they take in the end."""
READY_MAX: Final = 2**21
"""Of so many rows the digits would take more memory than all else: 80 bytes a row at each party."""


@lru_cache(maxsize=64)
def course(n: int, network: Network = NETWORKS["loopback"]) -> Course | None:
    """The course for n rows, None for all pairs: fewer comparisons when they are many, fewer rounds when few."""
    if n <= ALL_PAIRS:
        return None
    lanes = len(network.spans(n))
    courses = [_course(n, *row, lanes) for row in _COURSES]
    best = min(courses, key=lambda c: _seconds(n, c, network))
    return best if n > ALL_PAIRS_MAX or _seconds(n, best, network) < _seconds(n, None, network) else None


@lru_cache(maxsize=1024)
def _course(n: int, mean: int, step: int, leaf: int, rest: float, lanes: int) -> Course:
    bits = (n // mean).bit_length()
    steps = tuple(min(step, bits - at) for at in range(0, bits, step))
    return Course(2**bits - 1, steps, leaf, _batches(n, 2**bits - 1, leaf, rest * n, lanes), lanes)


def _seconds(n: int, plan: Course | None, network: Network) -> float:
    """What the messages of a course take, those for its sample included."""
    return _taken(_work(n, plan, network), _READY, _BITS, network)


def _taken(work: tuple[int, int], cost: tuple[int, float], bits: int, network: Network) -> float:
    (batches, comparisons), (rounds, size) = work, cost
    return network.seconds(rounds * batches, round(size * bits * comparisons), 3)


def _work(n: int, plan: Course | None, network: Network) -> tuple[int, int]:
    """Batches and comparisons of a course, those for its sample included."""
    if plan is None:
        return 1, n * (n - 1) // 2
    batches, comparisons = _work(plan.sample, course(plan.sample, network), network)
    found = [((1 << bits) - 1) * (n - plan.sample) for bits in plan.steps]
    return batches + len(found) + len(plan.batches), comparisons + sum(found) + plan.lanes * sum(plan.batches)


def sorting(n: int, keys: Sequence[Key], network: Network) -> tuple[float, float]:
    """What sorting n rows takes, as `ways`."""
    return ways(_work(n, course(n, network), network), n, keys, network)


def ways(work: tuple[int, int], n: int, keys: Sequence[Key], network: Network) -> tuple[float, float]:
    """The seconds that so many batches and comparisons of n rows take, about: with rows made ready, and without."""
    bits = sum(key.bits for key in keys) + place_bits(n)
    once = _taken((1, n), _READYING, bits, network)
    made = once + _taken(work, _READY, bits, network) if n < READY_MAX else inf
    return made, _taken(work, _COMPARISON if bits <= _TWO_WORDS else _LONG, bits, network)


@lru_cache(maxsize=1024)
def _batches(n: int, sample: int, leaf: int, rest: float, lanes: int) -> tuple[int, ...]:
    """Numbers of comparisons that the segments between `sample` sorted rows of n need, batch by batch, in each lane.

    Expected numbers, with room for chance. Sums are taken one term after the other, so that they are the same numbers
    on every machine. Once all pairs of what is left are at most `rest`, they are one last batch.
    """
    size = np.arange(min(n - sample, 40 * (n // sample) + 40) + 1, dtype=np.float64)
    # Between two neighbours of a random sample lie m other rows with P(m+1) / P(m) = (n - sample - m) / (n - m - 1).
    ratio = (n - sample - size[:-1]) / (n - size[:-1] - 1)
    many = (sample + 1) / lanes * (sample / n) * np.concatenate([[1.0], np.cumprod(ratio)])
    pairs = size * (size - 1) / 2
    out: list[int] = []
    while True:
        large = np.where(size > leaf, many, 0.0)
        last = _sum(large * pairs) <= rest / lanes
        cost = np.where(size > leaf, pairs if last else size - 1, pairs)
        out.append(ceil(_sum(many * cost) + (8 if last else 3) * sqrt(_sum(many * cost * cost)) + 64))
        if last:
            return tuple(out)
        # A random row parts m rows into k and m-1-k, each k alike.
        above = np.cumsum((large / np.maximum(size, 1))[::-1])[::-1]
        many = 2 * np.concatenate([above[1:], [0.0]])


def _sum(x: NDArray[np.float64]) -> float:
    total: float = np.cumsum(x)[-1].item()
    return total


async def order(before: Before, rows: Positions, network: Network = NETWORKS["loopback"]) -> Positions:
    """The rows, which are in random order, in their true order. The traffic is set by their number and the network."""
    n = rows.size
    plan = course(n, network)
    if plan is None:
        return await _all_pairs(in_pieces(before, network), rows)
    pivots = await order(before, rows[: plan.sample], network)
    rest = rows[plan.sample :]
    # In lanes that each go their own way: none waits for the others at the end of a batch.
    compare = before if plan.lanes > 1 else in_pieces(before, network)
    parts = (_search(compare, pivots, part, plan.steps) for part in np.array_split(rest, plan.lanes))
    bucket = np.concatenate(await pipelined(parts, plan.in_flight(network), apart=True))
    sizes = np.bincount(bucket, minlength=plan.sample + 1)
    starts = np.concatenate([[0], np.cumsum(sizes[:-1] + 1)])
    out = np.empty(n, dtype=rows.dtype)
    out[starts[1:] - 1] = pivots
    grouped = np.argsort(bucket.astype(np.uint16 if plan.sample < 2**16 else np.uint32), kind="stable")
    out[np.arange(rest.size, dtype=rows.dtype) + bucket[grouped]] = rest[grouped]
    del rows, rest, pivots, bucket, grouped
    if isinstance(before, _Readied):
        # What is compared from now on lies close together.
        places = np.arange(n)
        compare = before.arranged(out)
        compare = compare if plan.lanes > 1 else in_pieces(compare, network)
    else:
        places = out
    # About as many rows in each lane.
    cuts = np.searchsorted(np.cumsum(sizes), (n - plan.sample) * np.arange(1, plan.lanes) // plan.lanes)
    segments = zip(np.split(starts, cuts), np.split(sizes, cuts), strict=True)
    lanes = (_finish(compare, places, *some, plan) for some in segments)
    await pipelined(lanes, plan.in_flight(network), apart=True)
    return out if places is out else out[places]


async def _search(before: Before, pivots: Positions, rows: Positions, steps: tuple[int, ...]) -> Positions:
    """How many of the 2^k - 1 sorted pivots come before each row."""
    found = np.zeros(rows.size, dtype=rows.dtype)
    span = pivots.size + 1
    for bits in steps:
        ways = 1 << bits
        span //= ways
        at = span * np.arange(1, ways)[:, None] - 1 + found
        outcomes = await before(pivots.take(at.reshape(-1)), np.tile(rows, ways - 1))
        if outcomes is not None:
            found += span * _sums(outcomes.reshape(at.shape))
    return found


def _sums(outcomes: NDArray[np.bool_]) -> NDArray[np.intp]:
    """How many there are in each column of fewer than 2^16: summed narrow, row by row."""
    narrow = np.uint8 if outcomes.shape[0] < 2**8 else np.uint16
    sums: NDArray[np.intp] = outcomes.view(np.uint8).sum(axis=0, dtype=narrow).astype(np.intp)
    return sums


async def _finish(before: Before, out: Positions, starts: Positions, sizes: Positions, plan: Course) -> None:
    """Sort each segment of `out` in place: quicksort with a random pivot, all pairs where segments are small."""
    batch = 0
    while batch < len(plan.batches) or (sizes > 1).any():
        last = batch >= len(plan.batches) - 1
        room = plan.batches[min(batch, len(plan.batches) - 1)]
        batch += 1
        # The large ones first: they need the batches that follow.
        large = (sizes > plan.leaf) & (not last)
        turn = np.concatenate([np.flatnonzero(large), np.flatnonzero(~large & (sizes > 1))])
        starts, sizes, large = starts[turn], sizes[turn], large[turn]
        used = np.cumsum(np.where(large, sizes - 1, sizes * (sizes - 1) // 2))
        now = int(np.searchsorted(used, room, side="right"))
        if batch > len(plan.batches):
            now = max(now, 1)
        parted = int(np.count_nonzero(large[:now]))
        starts, sizes = await _batch(before, out, starts, sizes, parted, now, room)


async def _batch(
    before: Before, out: Positions, starts: Positions, sizes: Positions, parted: int, now: int, room: int
) -> tuple[Positions, Positions]:
    """Part the first segments, sort the next up to `now`, in one batch of `room` comparisons; what is left."""
    some = starts[:now], sizes[:now], parted
    outcomes = await before(*kernels.segment_pairs(out, *some, room))
    if outcomes is None:
        return starts[:0], sizes[:0]
    less = kernels.segment_parts(out, *some, outcomes)
    first = starts[:parted]
    more = sizes[:parted] - 1 - less
    return np.concatenate([first, first + less + 1, starts[now:]]), np.concatenate([less, more, sizes[now:]])


async def _all_pairs(before: Before, rows: Positions) -> Positions:
    """The rows in order."""
    ordered = rows.copy()
    await _batch(before, ordered, np.zeros(1, np.intp), np.array([rows.size]), 0, 1, 0)
    return ordered


# --- secret permutations ---------------------------------------------------------------------------------------


async def invert(box: BlackBox, permutation: Arith) -> Arith:
    """The inverse of a secret permutation of 0 .. n-1, such as `argsort` gives: the position of each entry."""
    n = permutation.shape[0]
    return await scatter(box, permutation, box.constant(np.arange(n, dtype=np.uint64)))


async def scatter(box: BlackBox, permutation: Arith, rows: Arith) -> Arith:
    """Row i moved to position permutation[i], for a secret permutation of 0 .. n-1 and rows `[n, ...]`.

    Both are shuffled alike, and the shuffled permutation, which is a random one, is opened. 3 rounds. What is no
    permutation would open its repetitions: this is for the results of `argsort` and `invert` alone.
    """
    n = permutation.shape[0]
    if n < 2 or not rows.size:
        return rows
    flat = rows.reshape((n, rows.size // n))
    return (await placed(box, Arith.concat([permutation.reshape((n, 1)), flat], axis=1))).reshape(rows.shape)


async def placed(box: BlackBox, rows: Arith) -> Arith:
    """The same for rows `[n, 1 + columns]` that begin with where they go, without that.

    Raises RunError RUN-018 if what is opened is no permutation.
    """
    n = rows.shape[0]
    if n < 2 or rows.shape[1] < 2:
        return rows[:, 1:]
    mixed = await box.shuffle(rows)
    order = await box.open_positions(mixed[:, 0])
    back = np.full(n, n, dtype=np.uint32)
    if ((order >= 0) & (order < n)).all():
        back[order] = np.arange(n, dtype=np.uint32)
    if (back == n).any():
        raise RunError(
            "RUN-018",
            "what was opened as the places of shuffled rows is no permutation",
            expected=f"each place from 0 to {n - 1} once",
            next="one of the parties deviates or has a defect: install the same version of tacit everywhere",
        )
    return mixed.map(lambda p: kernels.gather(p, back, 1))


async def take(box: BlackBox, rows: Arith, permutation: Arith) -> Arith:
    """Row permutation[i] at position i, for a secret permutation: two `scatter`s, 6 rounds. None if rows are empty."""
    if not rows.size:
        return rows
    return await scatter(box, await invert(box, permutation), rows)


async def take_along(box: BlackBox, x: Arith, permutations: Arith, *, axis: int = -1) -> Arith:
    """As `take`, for each line along `axis` on its own, all in the same rounds; both of one shape."""
    return await _lines([x, permutations], axis, lambda rows, permutation: take(box, rows, permutation))
