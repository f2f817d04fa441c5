# SPDX-License-Identifier: Apache-2.0
"""All that one party gets in many runs that differ only in what it does not hold, and what tells inputs apart by that.

This is the definition of security against one semi-honest party, as a test. The party's two keys and its shares of the
inputs stay; each run draws anew the key that it lacks, and the component that it lacks is what the inputs leave. Then
whatever it gets, each message, each value that is opened to it and its shares of the result, must be distributed alike
for all inputs; and where nothing is opened, its messages must be uniform. A mask that the party knows is a constant
here and hides nothing; two messages under one mask have a constant difference; so a first and a second moment find what
leaks: the mean of every bit, and of the XOR of bits of any two words. What differs is put into words.

A bit of a run is independent of those of other runs, so for whatever distribution a mean deviates by z standard
deviations of a fair coin with a probability of at most 2 exp(-z^2 / 2) (Hoeffding 1963), and the limits are set such
that all statistics of a verdict together exceed them with a probability of at most `CHANCE`. Seeds are fixed, so this
is about what a change of the code may do.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import rep3_keys
from tacit import kernels
from tacit.engine.drive import Traffic, lockstep
from tacit.protocols.rep3 import Rep3
from tacit.protocols.shares import Arith, Bits, Digits
from views import deal

Program = Callable[..., Coroutine[Any, Any, Any]]

CHANCE = 1e-12
"""The probability that a verdict blames what is secure: below 1e-9 for a suite with fewer than 1,000 verdicts."""

PAIRS = 1536
"""Of so many bits of a transcript, or fewer, all pairs are looked at: the lowest ones of each word."""

OPENING_RUNS = 224
"""So many runs tell what is constant for some inputs and uniform for others: at 10.6 standard deviations."""

OPENINGS = ("reveal", "open_outcomes", "open_less", "open_positions", "open_tags", "announce")
"""The primitives after which a party knows a value."""


class _Witness:
    """A party that keeps what is opened to it."""

    seen: list[Any]


def _witnessed(name: str) -> Any:
    async def opening(self: Any, *args: Any, **options: Any) -> Any:
        value = await getattr(super(_Witness, self), name)(*args, **options)
        self.seen.append(value)
        return value

    return opening


for _name in OPENINGS:
    setattr(_Witness, _name, _witnessed(_name))


@dataclass(frozen=True)
class Transcripts:
    """What a party got: `[runs, bits]` of its messages and of what it knows in the end, and the layout of either."""

    layout: list[tuple[int, ...]]
    messages: NDArray[np.uint8]
    known: NDArray[np.uint8]

    def bits(self, known: bool = True) -> NDArray[np.uint8]:
        """All bits, of messages alone unless `known`."""
        return np.concatenate([self.messages, self.known], axis=1) if known else self.messages

    def low(self, known: bool = True) -> NDArray[np.intp]:
        """Which bits are the lowest ones of words."""
        sizes = [row[-1] for row in self.layout if known or len(row) > 1]
        starts = np.cumsum([0, *sizes])
        words = np.concatenate([np.arange(at, at + size, 8) for at, size in zip(starts, sizes, strict=False)])
        words = words[:: -(-len(words) // PAIRS)]
        return (8 * words[:, None] + np.arange(min(8, PAIRS // len(words)))).reshape(-1)


def transcripts(
    program: Program, inputs: Sequence[Any], me: int, runs: int, seed: int, protocol: type[Rep3] = Rep3
) -> Transcripts | None:
    """Run so many times with secrets of the others by `seed`. None if chance decides how much is sent."""
    kind = type("Witness", (_Witness, protocol), {})
    lacks, rng = (me + 2) % 3, np.random.default_rng([me, seed])
    keys = rep3_keys(me)
    dealt = [deal(item, np.random.default_rng([me, i]), lacks) for i, item in enumerate(inputs)]
    layouts, got, knows = [], [], []
    for _ in range(runs):
        keys[lacks] = kernels.PrgKey(rng.bytes(16))
        boxes = [kind(p, keys[p], keys[(p + 1) % 3]) for p in range(3)]
        for box in boxes:
            box.seen = []
        traffic = Traffic()
        results = lockstep([program(b, *(d[b.me] for d in dealt)) for b in boxes], traffic, record=True)
        mine = [(turn, p, data) for turn, p, receiver, data in traffic.messages if receiver == me]
        known = [*_arrays(boxes[me].seen), *_arrays(results[me])]
        layouts.append([(turn, p, len(data)) for turn, p, data in mine] + [(len(k),) for k in known])
        got.append(b"".join(data for *_, data in mine))
        knows.append(b"".join(known))
    if any(layout != layouts[0] for layout in layouts):
        return None
    return Transcripts(layouts[0], _unpacked(got), _unpacked(knows))


def _arrays(value: Any) -> Iterator[bytes]:
    """The arrays of a result, and of the shares in it."""
    if isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _arrays(item)
    elif isinstance(value, Arith | Bits | Digits):
        yield from _arrays(value.parts)
    elif value is not None:
        array = np.asarray(value)
        yield (np.packbits(array, bitorder="little") if array.dtype == np.bool_ else array).tobytes()


def _unpacked(rows: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1), axis=1, bitorder="little")


# --- the verdict ------------------------------------------------------------------------------------------------


Moments = tuple[NDArray[np.float64], NDArray[np.float32]]


def moments(bits: NDArray[np.uint8], low: NDArray[np.intp]) -> Moments:
    """How many more ones than zeros a bit, and the XOR of two `low` bits, has: in standard deviations of a coin."""
    few = 2 * bits[:, low].astype(np.float32) - 1
    products = few.T @ few / np.float32(sqrt(len(bits)))
    return (2 * bits.sum(axis=0, dtype=np.int64) - len(bits)) / sqrt(len(bits)), products[np.triu_indices(len(low), 1)]


def leaks(
    program: Program,
    kinds: Mapping[str, Sequence[Any]],
    *,
    opens: bool = False,
    runs: int = 128,
    protocol: type[Rep3] = Rep3,
    parties: Sequence[int] = range(3),
) -> list[str]:
    """What tells kinds of inputs apart, or, unless the program `opens` something, is not uniform: of the first party
    where there is such a thing.

    What is constant in each of two kinds is told apart by 60 runs, what is constant in one and uniform in the other by
    `OPENING_RUNS`.
    """
    for me in parties:
        seen: dict[str, Transcripts] = {}
        for seed, (kind, inputs) in enumerate(kinds.items()):
            made = transcripts(program, inputs, me, runs, seed, protocol)
            if made is None:
                return [f"party {me}: number, order or size of messages differ from run to run for {kind}"]
            seen[kind] = made
        if found := _verdict(seen, opens):
            return [f"party {me}: {what}" for what in found]
    return []


def _verdict(seen: Mapping[str, Transcripts], opens: bool) -> list[str]:
    (name, first), *others = seen.items()
    different = [kind for kind, t in others if t.layout != first.layout]
    if different:
        return [f"number, order or size of messages tell {', '.join(different)} from {name}"]
    if not first.layout:
        return []
    tests: list[tuple[str, Moments]] = []
    if not opens and first.messages.size:
        low = first.low(known=False)
        tests += [(f"{kind} from uniform", moments(t.bits(False), low)) for kind, t in seen.items()]
    low = first.low()
    whole = [(kind, moments(t.bits(), low)) for kind, t in seen.items()]
    for kind, sums in whole[1:]:
        apart = [(a - b) / sqrt(2) for a, b in zip(sums, whole[0][1], strict=True)]
        tests.append((f"{kind} from {name}", (apart[0], apart[1])))
    # For each party.
    count = 3 * sum(statistics.size for _, sums in tests for statistics in sums)
    limit = sqrt(2 * log(2 * count / CHANCE))
    return [
        f"{what} tell {kinds} ({worst:.1f} sigma, limit {limit:.1f})"
        for kinds, sums in tests
        for what, statistics in zip(("bits", "pairs of bits"), sums, strict=True)
        if (worst := float(np.abs(statistics).max(initial=0))) > limit
    ]
