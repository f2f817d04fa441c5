# SPDX-License-Identifier: Apache-2.0
"""Order statistics by quickselect on shuffled rows: the rows of some ranks, without sorting the others.

Source: Floyd and Rivest 1975 (CACM 18(3)), with opened comparisons as in `shuffled`. A sorted random sample gives, for
each range of wanted ranks, two of its rows that enclose the range but for chance. All other rows are compared with
these, and only what lies between goes on, to the next such step or to be sorted. What opens is how a uniformly random
permutation compares, which rows of the shuffled order come first among them, and never anything about values.

How many rows are compared in each batch depends on n and the wanted ranks alone. Where chance decides how many rows
there are, there is room for six standard deviations and more, or, for the first ranks, for what the hypergeometric
distribution says; it is filled up with comparisons of a row with itself, and what lies between two rows of the sample
with rows that come after all others, whose comparisons are known. Chance leaves this frame about once in 10^8 steps;
the rows of that step are then sorted, which is right as well and costs more than was declared.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, floor, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tacit.library.order import Key, joined, positions, separated
from tacit.library.shuffled import (
    Before,
    Outcomes,
    Positions,
    comparison,
    course,
    in_pieces,
    mixed,
    moved_by,
    order,
    prepared,
    sort_rows,
    sorting,
    ways,
)
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith

DEVIATIONS: Final = 6
"""Standard deviations that chance may take ..."""
MARGIN: Final = 16
"""... and so many rows of a sample besides, for where the numbers are small."""
CHANCE: Final = 1e-9
"""What chance may leave out where it is counted exactly: for the first ranks."""
BATCH: Final = 2000
"""A batch costs as much as so many comparisons more: about the latency of a local network."""

FEW: Final = 32
"""To take a word apart costs up to so many times as much as to shuffle one, ..."""
COMPACT: Final = 2**15
"""... and nine rounds, which are worth it from so many rows on."""

FIRST: Final = -1
LAST: Final = np.iinfo(np.intp).max
"""The numbers of rows before and after all others; those of rows that only fill up follow the real ones."""


async def select(box: BlackBox, key: Key, ranks: Sequence[int], *, axis: int = -1) -> tuple[Arith, Arith]:
    """(values, original positions) of the elements of some ranks along `axis`, 0 being the first in order.

    `ranks` are different, rising, 0 <= rank < n. Of equal elements the first has the lowest rank. For each line, all
    in the same rounds: what `cost(n, ranks)` says.
    """
    moved = key.values.map(lambda p: np.moveaxis(p, axis, 0))
    n, rest = moved.shape[0], moved.shape[1:]
    lines = moved.reshape((n, moved.size // max(n, 1)))
    wanted = np.asarray(ranks, dtype=np.intp)
    if not wanted.size or n < 2 or not moved.size:
        shape = (wanted.size, *rest)
        return moved[wanted].map(lambda p: np.moveaxis(p, 0, axis)), _zeros(box, np.moveaxis(np.empty(shape), 0, axis))
    found = await gather(*(_line(box, replace(key, values=lines[:, k]), wanted) for k in range(lines.shape[1])))
    both = Arith.stack(found, axis=2).map(lambda p: p.reshape(*p.shape[:2], *rest))
    return both[:, 0].map(lambda p: np.moveaxis(p, 0, axis)), both[:, 1].map(lambda p: np.moveaxis(p, 0, axis))


async def first_rows(box: BlackBox, keys: Sequence[Key], payload: Sequence[Arith], count: int) -> list[Arith]:
    """The first `count` rows of each `[n, ...]` array of `payload` in the order of the keys `[n]`; stable.

    As `shuffled.sort_rows`, with the comparisons that `cost(n, range(count))` says, or those of the sort where these
    take less time.
    """
    n = keys[0].values.shape[0]
    if 0 < count < n:
        work = cost(n, range(count))
        made, plain = ways((work.batches, work.comparisons), n, keys, box.network)

        async def found(columns: list[Arith]) -> Arith:
            rows, before = await prepared(box, keys, columns, made < plain)
            return rows[await ranked(_bounded(in_pieces(before, box.network), n), n, np.arange(count))]

        if min(made, plain) < min(sorting(n, keys, box.network)):
            return await moved_by(found, keys, payload, count)
    return await sort_rows(box, keys, payload, count)


def _zeros(box: BlackBox, like: NDArray[np.float64]) -> Arith:
    return box.constant(np.zeros(like.shape, np.uint64))


async def _line(box: BlackBox, key: Key, ranks: Positions) -> Arith:
    """Rows (value, original position) of the ranks of one column."""
    n = key.values.shape[0]
    words = joined(box, [key], positions(box, (n,)))
    if len(words.columns) > 1 or n < COMPACT or ranks.size * FEW > n:
        rows, words = await mixed(box, [key])
        before = in_pieces(await comparison(box, words), box.network)
        return rows[await ranked(_bounded(before, n), n, ranks)]
    # Half as much to shuffle, and a few words to take apart.
    rows = await box.shuffle(words.columns[0].reshape((n, 1)))
    before = in_pieces(await comparison(box, replace(words, columns=(rows[:, 0],))), box.network)
    found = await ranked(_bounded(before, n), n, ranks)
    return Arith.stack(await separated(box, key, rows[found, 0], (n - 1).bit_length()), axis=1)


def _bounded(before: Before, n: int) -> Before:
    """`before` with rows that come before and after all others: their comparisons are known, and only filled up."""

    async def known(left: Positions, right: Positions) -> Outcomes:
        real = (left >= 0) & (left < n) & (right >= 0) & (right < n)
        outcomes = await before(np.where(real, left, 0), np.where(real, right, 0))
        return None if outcomes is None else np.where(real, outcomes, left < right)

    return known


# --- what is done, by numbers alone ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """Comparisons, and the batches that they come in."""

    comparisons: int
    batches: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.comparisons + other.comparisons, self.batches + other.batches)

    @property
    def weight(self) -> int:
        """Both as one number."""
        return self.comparisons + BATCH * self.batches


@dataclass(frozen=True)
class Turn:
    """Rows that lie in segments `low` to `high` are compared with cut `at`: at most `room` of them."""

    low: int
    high: int
    at: int
    room: int


@dataclass(frozen=True)
class Part:
    """The segment `segment` of at most `room` rows, of which ranks `start` to `start + wanted - 1` are needed."""

    segment: int
    room: int
    start: int
    wanted: int

    @property
    def leads(self) -> bool:
        """Whether the first of all rows are needed."""
        return self.segment == self.start == 0


@dataclass(frozen=True)
class Step:
    """Rows are parted by `cuts`: places in the sorted sample, which is the first `sample` rows. There are none where
    they depend on what was opened before, and then two are meant, around the one part.

    Segment k goes from cut k - 1 on to before cut k. `turns` are the comparisons of all other rows, batch by batch,
    and of the segments those `kept` go on.
    """

    sample: int
    cuts: tuple[int, ...]
    turns: tuple[tuple[Turn, ...], ...]
    kept: tuple[Part, ...]
    cost: Cost


@lru_cache(maxsize=256)
def _sorting(n: int) -> Cost:
    """What `shuffled.order` takes for n rows."""
    c = course(n)
    if c is None:
        return Cost(n * (n - 1) // 2, 1)
    search = Cost((n - c.sample) * sum(2**step - 1 for step in c.steps), len(c.steps))
    return _sorting(c.sample) + search + Cost(c.lanes * sum(c.batches), len(c.batches))


def _slack(gaps: float, sample: int) -> float:
    """By how much a count of about `gaps` of `sample` random rows may differ from what is expected."""
    return DEVIATIONS * sqrt(max(gaps * (sample - gaps) / sample, 0.0)) + MARGIN


def _room(n: int, sample: int, gaps: float) -> int:
    """How many of n rows may lie between two rows of the sample that are `gaps` places apart."""
    return min(n, ceil((gaps + _slack(min(gaps, sample), sample)) * (n / sample)))


def _samples(n: int) -> range:
    """Exponents of the sizes of samples to choose from: about the power 2/3 of n."""
    middle = 2 * n.bit_length() // 3
    return range(max(middle - 1, 5), max(min(middle + 3, n.bit_length() - 1), 0))


@lru_cache(maxsize=256)
def plan(n: int, ranges: tuple[tuple[int, int], ...]) -> Step | None:
    """How ranges [start, stop) of the ranks of n rows are found; None: by sorting all rows."""
    if len(ranges) == 1 and ranges[0][0] == 0:
        return _first(n, ranges[0][1])
    return _cheapest(n, (_known(n, ranges, 2**exponent) for exponent in _samples(n)))


def _cheapest(n: int, steps: Iterable[Step | None]) -> Step | None:
    """The step that takes least, if that is less than to sort all rows."""
    found = [step for step in steps if step is not None and step.cost.weight < _sorting(n).weight]
    return min(found, key=lambda step: step.cost.weight, default=None)


@lru_cache(maxsize=1024)
def _first(n: int, wanted: int) -> Step | None:
    """As `plan`, for the first ranks: few of their rows are in the sample, and their number is counted exactly."""
    return _cheapest(n, (_before_cut(n, wanted, 2**exponent) for exponent in _samples_of_few(n)))


def _samples_of_few(n: int) -> range:
    """Likewise of smaller ones, of which a cut near the beginning is wanted."""
    return range(max(n.bit_length() // 2 - 1, 4), 2 * n.bit_length() // 3 + 1)


def _before_cut(n: int, wanted: int, sample: int) -> Step | None:
    cut = _most(n, sample, wanted)
    room = _preceding(n, sample, cut) if cut < sample else n
    if room > n // 2:
        return None
    return _step(n, sample, (cut,), ((Turn(0, 1, 1, n - sample),),), [Part(0, room, 0, wanted)])


def _most(n: int, sample: int, first: int) -> int:
    """How many of the first rows are in the sample at most, but for `CHANCE`."""
    least, chances = _among(n, sample, first)
    return least + int(np.count_nonzero(np.cumsum(chances[::-1]) > CHANCE * np.cumsum(chances)[-1])) - 1


def _preceding(n: int, sample: int, cut: int) -> int:
    """How many rows come before row `cut` of the sorted sample at most, but for `CHANCE`: of more, the first hold more
    than `cut` rows of the sample.
    """

    def suffices(first: int) -> bool:
        least, chances = _among(n, sample, first)
        total = np.cumsum(chances)
        return cut < least or bool(total[min(cut - least, chances.size - 1)] <= CHANCE * total[-1])

    return bisect_left(range(n), True, key=suffices)


def _among(n: int, sample: int, first: int) -> tuple[int, NDArray[np.float64]]:
    """(least, chances): how likely there are least, least + 1, ... of the first rows in the sample (hypergeometric), up
    to a factor. Taken one term after the other, so that they are the same numbers on every machine.
    """
    least, most = max(0, first + sample - n), min(first, sample)
    mode = min(max((first + 1) * (sample + 1) // (n + 2), least), most)
    k = np.arange(least, most, dtype=np.float64)
    ratios = (first - k) * (sample - k) / ((k + 1) * (n - first - sample + k + 1))
    at = mode - least
    return least, np.concatenate([np.cumprod(1 / ratios[:at][::-1])[::-1], [1.0], np.cumprod(ratios[at:])])


def _known(n: int, ranges: tuple[tuple[int, int], ...], sample: int) -> Step | None:
    merged: list[list[int]] = []
    cuts: list[tuple[int, int]] = []
    for start, stop in ranges:
        first, last = (rank * (sample / n) for rank in (start, stop))
        low, high = floor(first - _slack(first, sample)), ceil(last + _slack(last, sample))
        if merged and low <= cuts[-1][1]:
            merged[-1][1], cuts[-1] = stop, (cuts[-1][0], high)
        else:
            merged.append([start, stop])
            cuts.append((low, high))
    inner = sorted({c for pair in cuts for c in pair if 0 <= c < sample})
    if not inner:
        return None
    edges = [0, *(c + 1 for c in inner), sample + 1]
    turns = _turns(edges, n, sample)
    parts = []
    for (start, stop), (low, high) in zip(merged, cuts, strict=True):
        segment = 0 if low < 0 else inner.index(low) + 1
        room = _room(n, sample, min(high, sample) - max(low, -1))
        parts.append(Part(segment, room, start, stop - start))
    return _step(n, sample, tuple(inner), turns, parts)


@lru_cache(maxsize=256)
def _anywhere(n: int, wanted: int) -> Step | None:
    """As `plan`, for one range of `wanted` ranks that start nobody knows where yet."""
    return _cheapest(n, (_around_cuts(n, wanted, 2**exponent) for exponent in _samples(n)))


def _around_cuts(n: int, wanted: int, sample: int) -> Step | None:
    gaps = wanted * (sample / n) + 2 * _slack(sample / 2, sample) + 2
    room, rest = _room(n, sample, gaps), n - sample
    if room > n // 2:
        return None
    turns = ((Turn(0, 2, 1, rest),), (Turn(1, 2, 2, rest),))
    return _step(n, sample, (), turns, [Part(1, room, 0, wanted)])


def _step(
    n: int, sample: int, cuts: tuple[int, ...], turns: tuple[tuple[Turn, ...], ...], parts: Sequence[Part]
) -> Step:
    cost = _sorting(sample) + Cost(sum(t.room for batch in turns for t in batch), len(turns))
    # Parts share their batches, but who can tell here which.
    for part in parts:
        inner = _inner(part)
        cost += _sorting(part.room) if inner is None else inner.cost
    return Step(sample, cuts, turns, tuple(parts), cost)


def _inner(part: Part) -> Step | None:
    """How the ranks of a part are found among its rows."""
    return (_first if part.leads else _anywhere)(part.room, part.wanted)


def _turns(edges: Sequence[int], n: int, sample: int) -> tuple[tuple[Turn, ...], ...]:
    """A search tree over segments, whose edges are places in the sample: the halves of each turn weigh alike."""
    batches = []
    level = [(0, len(edges) - 2)]
    while level:
        turns, below = [], []
        for low, high in level:
            gaps = edges[high + 1] - edges[low]
            at = min(range(low + 1, high + 1), key=lambda k: abs(edges[low] + edges[high + 1] - 2 * edges[k]))
            room = n - sample if gaps > sample else min(n - sample, _room(n, sample, gaps))
            turns.append(Turn(low, high, at, room))
            below += [(a, b) for a, b in ((low, at - 1), (at, high)) if a < b]
        batches.append(tuple(turns))
        level = below
    return tuple(batches)


# --- doing it ----------------------------------------------------------------------------------------------------


def cost(n: int, ranks: Sequence[int]) -> Cost:
    """What the ranks of one column of n > 1 take; parts that share batches counted one after another."""
    step = plan(n, _ranges(np.asarray(ranks, dtype=np.intp)))
    return _sorting(n) if step is None else step.cost


def _ranges(ranks: Positions) -> tuple[tuple[int, int], ...]:
    """Runs of successive ranks."""
    runs = np.split(ranks, np.flatnonzero(np.diff(ranks) > 1) + 1)
    return tuple((int(run[0]), int(run[-1]) + 1) for run in runs)


async def ranked(before: Before, n: int, ranks: Positions) -> Positions:
    """Which of the rows 0 .. n-1, in random order, have these ranks."""
    rows = np.arange(n)
    step = plan(n, _ranges(ranks))
    if step is None:
        return (await order(before, rows))[ranks]
    found = await _follow(before, rows, step, [part.start for part in step.kept])
    hulls = [(ranks >= part.start) & (ranks < part.start + part.wanted) for part in step.kept]
    pairs = zip(found, step.kept, hulls, strict=True)
    return np.concatenate([some[ranks[hull] - part.start] for some, part, hull in pairs])


async def _range(before: Before, rows: Positions, start: int, part: Part) -> Positions:
    """The rows of a part's successive ranks, of which the first is `start` among these rows, in order."""
    step = _inner(part)
    if step is None:
        return (await order(before, rows))[start : start + part.wanted]
    return (await _follow(before, rows, step, [start]))[0]


async def _follow(before: Before, rows: Positions, step: Step, starts: Sequence[int]) -> list[Positions]:
    """For each part its wanted rows in order, the first of them being of rank `starts[part]` among all rows."""
    sample = await order(before, rows[: step.sample])
    cuts = np.asarray(step.cuts or _around(rows.size, step, starts[0]))
    segment = await _segments(before, rows, sample, cuts, step)

    async def part(k: int) -> Positions:
        p, start = step.kept[k], starts[k]
        if segment is None:
            return await _range(before, rows[: p.room], 0, p)
        skipped = int(np.count_nonzero(segment < p.segment))
        found = rows[segment == p.segment]
        if found.size > p.room or start < skipped or start + p.wanted > skipped + found.size:
            return (await order(before, rows))[start : start + p.wanted]
        return await _range(before, _filled(found, p.room, int(rows.max()) + 1), start - skipped, p)

    return await gather(*(part(k) for k in range(len(starts))))


def _around(n: int, step: Step, start: int) -> tuple[int, int]:
    """Places in the sample that enclose the part's ranks."""
    first, last = (rank * (step.sample / n) for rank in (start, start + step.kept[0].wanted))
    return floor(first - _slack(first, step.sample)), ceil(last + _slack(last, step.sample))


async def _segments(
    before: Before, rows: Positions, sample: Positions, cuts: Positions, step: Step
) -> Positions | None:
    """The segment of each row; None where only the cost is of interest."""
    bounds = np.concatenate([[FIRST], sample, [LAST]])[np.clip(cuts, -1, sample.size) + 1]
    segment = np.empty(rows.size, dtype=np.intp)
    by_number = np.argsort(rows[: sample.size])
    segment[by_number] = np.searchsorted(cuts, np.arange(sample.size), side="right")[np.argsort(sample)]
    others = rows[sample.size :]
    low, high = np.zeros(others.size, dtype=np.intp), np.full(others.size, len(bounds))
    for batch in step.turns:
        members = [np.flatnonzero((low == t.low) & (high == t.high)) for t in batch]
        left, right = [], []
        for turn, mine in zip(batch, members, strict=True):
            idle = np.full(max(turn.room - mine.size, 0), rows[0])
            left += [np.full(mine.size, bounds[turn.at - 1]), idle]
            right += [others[mine], idle]
        outcomes = await before(np.concatenate(left), np.concatenate(right))
        if outcomes is None:
            continue
        done = 0
        for turn, mine in zip(batch, members, strict=True):
            beyond = outcomes[done : done + mine.size]
            low[mine[beyond]], high[mine[~beyond]] = turn.at, turn.at - 1
            done += max(turn.room, mine.size)
    if outcomes is None:
        return None
    segment[sample.size :] = low
    return segment


def _filled(rows: Positions, room: int, last: int) -> Positions:
    """The rows and others that come after all, from number `last` on, spread evenly among them."""
    every = np.concatenate([rows, last + np.arange(room - rows.size)])
    # By multiples of the golden ratio: every stretch has its share, on every machine alike.
    return every[np.argsort(np.arange(room, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15), kind="stable")]
