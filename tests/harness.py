"""Run a program of the black box under rep3, plain and dry, all in this thread.

A program is `async def f(box, *shares)`; it gives an `Arith`, a `Bits` or a list of them. Its inputs are u64 (or int64)
arrays, or `bits(values, width)` for words that are to be shared as `Bits`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import numpy as np

from tacit import kernels
from tacit.engine.drive import Traffic, dry_run, lockstep
from tacit.protocols.blackbox import BlackBox, Cost
from tacit.protocols.dry import Dry
from tacit.protocols.network import NETWORKS
from tacit.protocols.plain import Plain
from tacit.protocols.rep3 import Rep3

Program = Callable[..., Coroutine[Any, Any, Any]]


class Words(NamedTuple):
    """Values to be shared as `Bits` of `width` planes."""

    values: np.ndarray
    width: int


def bits(values: Any, width: int) -> Words:
    return Words(u64(values), width)


def u64(values: Any) -> np.ndarray:
    """Python integers or an integer array as ring elements."""
    array = np.asarray(values)
    if array.dtype == object:
        return np.array([int(v) % 2**64 for v in array.reshape(-1)], dtype=np.uint64).reshape(array.shape)
    return array.astype(np.int64).view(np.uint64) if array.dtype != np.uint64 else array


def rep3_keys(seed: int = 0) -> list[kernels.PrgKey]:
    """K_0, K_1, K_2 of a run, from a seed."""
    return [kernels.PrgKey(np.random.default_rng([seed, j]).bytes(16)) for j in range(3)]


def rep3_boxes(seed: int = 0, protocol: type[Rep3] = Rep3) -> list[Rep3]:
    """Three parties with common keys."""
    keys = rep3_keys(seed)
    return [protocol(me, keys[me], keys[(me + 1) % 3]) for me in range(3)]


class FarRep3(Rep3):
    """A party of a plan that is written for a slow network."""

    network = NETWORKS["wan"]


def plain_boxes(parties: int = 1) -> list[Plain]:
    return [Plain(me, parties) for me in range(parties)]


async def _input(box: BlackBox, owner: int, item: Any) -> Any:
    values, width = item if isinstance(item, Words) else (u64(item), None)
    mine = values if box.me == owner and not isinstance(box, Dry) else None
    if width is None:
        return await box.input(owner, mine, values.shape)
    return await box.input_bits(owner, mine, values.shape, width)


def share(boxes: Sequence[BlackBox], item: Any, owner: int = 0) -> list[Any]:
    """Every party's share of an input of party `owner`."""
    return lockstep([_input(box, owner, item) for box in boxes])


async def _open(box: BlackBox, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [await _open(box, v) for v in value]
    return await box.reveal(value)


def opened(boxes: Sequence[BlackBox], values: Sequence[Any]) -> Any:
    """The clear values of every party's shares; asserts that the parties agree."""
    first, *others = lockstep([_open(box, value) for box, value in zip(boxes, values, strict=True)])
    for other in others:
        for a, b in zip(*(([x] if not isinstance(x, list) else x) for x in (first, other)), strict=True):
            np.testing.assert_array_equal(a, b)
    return first


def run(boxes: Sequence[BlackBox], program: Program, *inputs: Any) -> tuple[Any, Traffic]:
    """(clear result, traffic of the program alone without inputs and openings)."""
    shares = [share(boxes, item, owner=i % len(boxes)) for i, item in enumerate(inputs)]
    traffic = Traffic()
    results = lockstep([program(box, *(s[box.me] for s in shares)) for box in boxes], traffic)
    return opened(boxes, results), traffic


def run_rep3(program: Program, *inputs: Any, seed: int = 0) -> tuple[Any, Traffic]:
    """`run` on three rep3 parties."""
    return run(rep3_boxes(seed), program, *inputs)


def run_plain(program: Program, *inputs: Any, parties: int = 1) -> Any:
    """The result of the program in the clear."""
    return run(plain_boxes(parties), program, *inputs)[0]


def _dry_input(box: Dry, item: Any) -> Any:
    coroutine = _input(box, 0, item)
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


def dry_cost(program: Program, *inputs: Any, protocol: type[BlackBox] = Rep3, parties: int = 3) -> Cost:
    """What the program costs by declaration, without its inputs and openings."""
    box = Dry(protocol, parties)
    return dry_run(program(box, *(_dry_input(box, item) for item in inputs)))
