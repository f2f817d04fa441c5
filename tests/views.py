"""What one party sees of a protocol, and statistics that find what it should not be able to see.

Method (protocols.md calls it view uniformity): many independent instances of a primitive run in one vector. Row i of a
party's view is instance i of each third of the vector: the bits of its own input shares and of every message it
received. In a semi-honest protocol on secret sharing each message is a fresh mask to its receiver, so the messages
must be uniform and independent of each other, of the receiver's shares, and of the inputs; that they are of what it can
compute of its keys is what `transcripts.py` looks at. `suspicions` gives a sentence for everything that contradicts
this; seeds are fixed, so it is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import Words, rep3_keys, u64
from tacit import kernels
from tacit.engine.drive import lockstep
from tacit.protocols.exchange import Awaited, Collect
from tacit.protocols.rep3 import Rep3
from tacit.protocols.shares import Arith, Bits, Digits

ROWS = 2048
"""Instances per third. More than the bits of any view, so that linear relations between bits cannot be chance."""

SIGMAS = 7.0
"""Beyond this many standard deviations a statistic is suspicious: 1e-12 for one, below 1e-6 for all tests of a view."""

BITS_OF_BYTE = np.arange(256)[:, None] >> np.arange(8) & 1

BitMatrix = NDArray[np.uint8]  # [rows, bits] of 0 and 1
Program = Callable[..., Coroutine[Any, Any, Any]]


@dataclass
class View:
    """What party `me` holds (`own`) and got (`got`)."""

    me: int
    own: list[BitMatrix] = field(default_factory=list)
    got: list[BitMatrix] = field(default_factory=list)
    raw: list[NDArray[Any]] = field(default_factory=list)
    layout: list[tuple[Any, ...]] = field(default_factory=list)

    def bits(self) -> BitMatrix:
        return np.concatenate([*self.own, *self.got], axis=1)


# --- collecting views -------------------------------------------------------------------------------------------


def deal(item: Any, rng: np.random.Generator, rest: int = 2) -> list[Any]:
    """Uniform replicated shares of an array, of `Words` or of clear `Digits`, one for each party.

    Component `rest` makes up for the others. A list has what each party owns, and stays as it is.
    """
    match item:
        case list():
            return item
        case Words(values, width):
            clear = kernels.to_planes(u64(values).reshape(-1), width)
            x, y, made = *_random(rng, clear.shape), partial(Bits, values.shape)
        case Digits():
            (clear,) = item.parts
            x, y, made = *_random(rng, clear.shape), partial(Digits, item.count)
        case _:
            clear = u64(item)
            x, y, made = *_random(rng, clear.shape), Arith
    parts = [x, y, clear - x - y if made is Arith else clear ^ x ^ y]
    return [made(parts[(p - rest - 1) % 3], parts[(p - rest) % 3]) for p in range(3)]


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint64]:
    """Two arrays of that shape."""
    return rng.integers(0, 2**64 - 1, (2, *shape), dtype=np.uint64, endpoint=True)


async def _tap(program: Coroutine[Any, Any, Any], log: list[Any]) -> Any:
    """The program itself; `log` gets a copy of what each of its exchanges sends."""
    inbox = None
    while True:
        try:
            awaited: Awaited = program.send(inbox)
        except StopIteration as stop:
            return stop.value
        if not isinstance(awaited, Collect):
            sends = awaited.sends.items()
            log.append([(peer, [p for b in buffers for p in _split(np.array(b))]) for peer, buffers in sends])
        inbox = await awaited


def collect(program: Program, inputs: Sequence[Any], protocol: type[Rep3] = Rep3, seed: int = 0) -> list[View]:
    """Run once on fresh keys and shares; the views of the three parties. Inputs are vectors of 3 * ROWS elements."""
    keys = rep3_keys(seed)
    boxes = [protocol(me, keys[me], keys[(me + 1) % 3]) for me in range(3)]
    dealt = [deal(item, np.random.default_rng([seed, 7, i])) for i, item in enumerate(inputs)]
    logs: list[list[Any]] = [[] for _ in boxes]
    lockstep([_tap(program(b, *(d[b.me] for d in dealt)), log) for b, log in zip(boxes, logs, strict=True)])

    views = [View(me) for me in range(3)]
    for view in views:
        for share in (d[view.me] for d in dealt):
            # A matrix that all instances share, such as the weights of a product, is no part of an instance.
            if share.shape[:1] == (3 * ROWS,):
                view.own += [b for part in share.parts for b in fields(part, isinstance(share, Bits))]
    for turn, exchanges in enumerate(zip(*logs, strict=True)):
        for sender, sends in enumerate(exchanges):
            for receiver, buffers in sends:
                for buffer in buffers:
                    views[receiver].got += fields(buffer)
                    views[receiver].raw.append(buffer)
                    views[receiver].layout.append((turn, sender, buffer.dtype, buffer.shape))
    return views


def _split(buffer: NDArray[Any]) -> list[NDArray[Any]]:
    """A message of packed elements as one buffer per field of an instance: f bits, 64 + f bits, or 64, 63, ... bits."""
    if buffer.dtype != np.uint8:
        return [buffer]
    bits = 8 * buffer.size // ROWS
    widths = [bits] if bits <= 64 else [64, bits - 64] if bits <= 128 else []
    while (rest := bits - sum(widths)) > 0:
        widths.append(min(64 - len(widths), rest))
    ends = np.cumsum(widths) * (ROWS // 8)
    parts = np.split(buffer, ends[:-1])
    return [p.view(np.uint64) if width == 64 else p for p, width in zip(parts, widths, strict=True)]


def fields(buffer: NDArray[Any], planes: bool | None = None) -> list[BitMatrix]:
    """A message as [ROWS, bits], one per third of the vector that it covers.

    Three forms travel: ring elements of a third or of the whole vector, bit planes of either, packed elements of a
    third.
    """
    words = 3 * ROWS // 64
    if buffer.dtype == np.uint8:
        return [np.unpackbits(buffer, bitorder="little").reshape(ROWS, -1)]
    if planes is None:
        planes = buffer.ndim == 2 or buffer.size % ROWS != 0
    if planes:
        per_third = buffer.reshape(-1, words) if buffer.ndim == 1 else buffer
        flat = np.unpackbits(np.ascontiguousarray(per_third).view(np.uint8), axis=1, bitorder="little")
        # Of bytes an instance has several bits side by side.
        beside = max(1, flat.shape[1] // (3 * ROWS))
        bits = flat.reshape(len(flat), -1, beside).transpose(1, 0, 2).reshape(-1, len(flat) * beside)
        return [bits[at : at + ROWS].copy() for at in range(0, len(bits), ROWS)]
    thirds = 1 if buffer.size % (3 * ROWS) else 3
    rows = np.ascontiguousarray(buffer).reshape(thirds, ROWS, -1)
    return [np.unpackbits(third.view(np.uint8), axis=1, bitorder="little") for third in rows]


# --- statistics -------------------------------------------------------------------------------------------------


def _sigmas(chi2: NDArray[np.float64], dof: Any) -> NDArray[np.float64]:
    """A chi-square statistic as standard deviations. Wilson and Hilferty 1931 (PNAS 17:684)."""
    v = 2 / (9 * np.asarray(dof, dtype=float))
    return ((chi2 / dof) ** (1 / 3) - (1 - v)) / np.sqrt(v)


def byte_counts(matrix: BitMatrix) -> list[NDArray[np.int64]]:
    """[positions, values] histograms: of each group of 8 bit columns, and of a narrower last group."""
    whole = matrix.shape[1] // 8 * 8
    out = []
    for part in (matrix[:, :whole], matrix[:, whole:]):
        if part.shape[1]:
            values = np.packbits(part, axis=1, bitorder="little").astype(np.int64)
            positions, size = values.shape[1], 1 << min(8, part.shape[1])
            cells = values + size * np.arange(positions)
            out.append(np.bincount(cells.reshape(-1), minlength=size * positions).reshape(positions, size))
    return out


def not_uniform(matrix: BitMatrix) -> float:
    """Each bit and each byte position against uniform: the largest deviation, in standard deviations."""
    ones = matrix.sum(axis=0, dtype=np.int64)
    return max(_worst_ones(ones, len(matrix)), *(_worst_counts(counts) for counts in byte_counts(matrix)))


def words_not_uniform(values: NDArray[np.uint64]) -> float:
    """`not_uniform` of the 64 bits and 8 bytes of numbers."""
    cells = values.view(np.uint8).reshape(-1, 8) + 256 * np.arange(8)
    counts = np.bincount(cells.reshape(-1), minlength=2048).reshape(8, 256)
    return max(_worst_ones(counts @ BITS_OF_BYTE, len(values)), _worst_counts(counts))


def _worst_ones(ones: NDArray[np.int64], rows: int) -> float:
    return float(np.abs(2 * ones - rows).max(initial=0) / np.sqrt(rows))


def _worst_counts(counts: NDArray[np.int64]) -> float:
    expected = counts[0].sum() / counts.shape[1]
    chi2 = ((counts - expected) ** 2 / expected).sum(axis=1)
    return float(_sigmas(chi2, counts.shape[1] - 1).max())


def not_alike(a: BitMatrix, b: BitMatrix) -> float:
    """Two-sample chi-square of each byte position: the largest, in standard deviations."""
    worst = 0.0
    for p, q in zip(byte_counts(a), byte_counts(b), strict=True):
        chi2 = ((p - q) ** 2 / np.maximum(p + q, 1)).sum(axis=1)
        worst = max(worst, float(_sigmas(chi2, np.maximum((p + q > 0).sum(axis=1) - 1, 1)).max()))
    return worst


def numbers(matrices: Sequence[BitMatrix]) -> list[NDArray[np.uint64]]:
    """The fields of 64 bits, and the 64-bit pieces of longer rows, as numbers."""
    out = []
    for matrix in matrices:
        for at in range(0, matrix.shape[1] - 63, 64):
            out.append(np.packbits(matrix[:, at : at + 64], axis=1, bitorder="little").view(np.uint64)[:, 0])
    return out


def worst_pair(got: Sequence[BitMatrix], own: Sequence[BitMatrix]) -> float:
    """Uniformity of XOR, difference and sum of each message with each other message and each own share."""
    messages, shares = numbers(got), numbers(own)
    worst = 0.0
    for i, a in enumerate(messages):
        for b in (*messages[:i], *shares):
            worst = max(worst, *(words_not_uniform(v) for v in (a ^ b, a - b, a + b)))
    return worst


def worst_overlay(raw: Sequence[NDArray[Any]]) -> float:
    """As `worst_pair` for messages laid over each other word by word, in whatever form each one is.

    Finds a stream that masks elements in one message and bit planes in another.
    """
    words = [b.reshape(-1) for b in raw if b.dtype == np.uint64 and b.size >= ROWS]
    worst = 0.0
    for i, a in enumerate(words):
        for b in words[:i]:
            size = min(a.size, b.size)
            worst = max(worst, *(words_not_uniform(op(a[:size], b[:size])) for op in (np.bitwise_xor, np.add)))
    return worst


def worst_correlation(got: BitMatrix, all_bits: BitMatrix) -> float:
    """The largest correlation of a message bit with any other bit of the view, in standard deviations."""
    x, y = (2 * m.astype(np.float32) - 1 for m in (got, all_bits))
    r = np.abs(x.T @ y) / np.sqrt(len(x))
    offset = all_bits.shape[1] - got.shape[1]
    r[np.arange(got.shape[1]), offset + np.arange(got.shape[1])] = 0
    return float(r.max(initial=0.0))


def linear_relations(matrix: BitMatrix) -> int:
    """How many columns are XORs of others or constant: columns plus the constant, less their rank over Z_2."""
    columns = np.packbits(np.concatenate([np.ones((len(matrix), 1), np.uint8), matrix], axis=1), axis=0).T
    rows = np.ascontiguousarray(columns).view(np.uint64)
    rank = 0
    for k in range(len(rows)):
        nonzero = np.flatnonzero(rows[k])
        if not nonzero.size:
            continue
        rank += 1
        word = nonzero[0]
        bit = rows[k, word] & (~rows[k, word] + np.uint64(1))
        later = k + 1 + np.flatnonzero(rows[k + 1 :, word] & bit)
        rows[later] ^= rows[k]
    return len(rows) - rank


def classifier_advantage(a: BitMatrix, b: BitMatrix, steps: int = 10) -> float:
    """Train a logistic classifier on half of two sets of views; how far it beats a coin on the other half.

    In standard deviations of the number of right answers of a coin.
    """
    half = len(a) // 2
    x = 2 * np.concatenate([a[:half], b[:half]]).astype(np.float32) - 1
    test = 2 * np.concatenate([a[half:], b[half:]]).astype(np.float32) - 1
    y = np.repeat(np.float32([0, 1]), half)
    weights, bias = np.zeros(x.shape[1], np.float32), 0.0
    rate = 8.0 / x.shape[1]
    for _ in range(steps):
        error = y - 1 / (1 + np.exp(-(x @ weights + bias)))
        weights += rate * (x.T @ error) / len(x) * 4
        bias += rate * float(error.mean())
    right = ((test @ weights + bias > 0) == (np.repeat([0, 1], len(a) - half) == 1)).sum()
    return float(abs(right - len(test) / 2) / np.sqrt(len(test) / 4))


# --- the verdict ------------------------------------------------------------------------------------------------


def suspicions(
    program_a: Program,
    inputs_a: Sequence[Any],
    program_b: Program,
    inputs_b: Sequence[Any],
    protocol: type[Rep3] = Rep3,
) -> list[str]:
    """What contradicts that a party's messages are fresh uniform masks, for two adversarial inputs; empty if nothing.

    The two programs are the same, unless a program has its inputs built in.
    """
    found = []
    runs = [collect(program_a, inputs_a, protocol, 0), collect(program_b, inputs_b, protocol, 1)]
    for a, b in zip(*runs, strict=True):
        if a.layout != b.layout:
            found.append(f"party {a.me}: number, order or length of messages depends on the inputs")
            continue
        if not a.got:
            continue
        got_a, got_b = (np.concatenate(v.got, axis=1) for v in (a, b))
        checks = {
            "a message differs between the inputs": not_alike(got_a, got_b),
            "a classifier tells the inputs apart": classifier_advantage(a.bits(), b.bits()),
        }
        for view, got in ((a, got_a), (b, got_b)):
            relations = linear_relations(view.bits())
            for what, sigmas in (
                ("a message is not uniform", not_uniform(got)),
                ("two messages, or a message and a share, are related", worst_pair(view.got, view.own)),
                ("two messages share a stream", worst_overlay(view.raw)),
                ("two bits of the view are correlated", worst_correlation(got, view.bits())),
                ("bits of the view are linearly related", np.inf if relations else 0.0),
            ):
                checks[what] = max(checks.get(what, 0.0), sigmas)
        found += [f"party {a.me}: {what} ({sigmas:.1f} sigma)" for what, sigmas in checks.items() if sigmas > SIGMAS]
    return found
