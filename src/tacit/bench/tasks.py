# SPDX-License-Identifier: Apache-2.0
"""The bench tasks: random inputs from a seed, the operation on secrets, the same in plaintext, the error allowed.

Inputs of fixed-point tasks are multiples of 2^-18, so plaintext starts from exactly what the parties hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

import tacit as tc
from tacit.errors import InputError

Array: TypeAlias = NDArray[Any]

UNIT: Final = 2.0**-18
"""One unit in the last place of fixed(18)."""


@dataclass(frozen=True)
class Input:
    """One input array: its values, and the public range that is declared for them."""

    values: Array
    range: tuple[float, float]


@dataclass(frozen=True)
class Task:
    """One operation to measure.

    `op` is the operation of the plan whose first node is measured: all else only brings inputs and checks the result.
    It is None for a task of several operations, of which all are measured. `make(n, rng)` gives the inputs; n is the
    number of elements, the side of matrices, or the number of rows. `allowed` is the largest absolute error of an
    element; zero for what is exact.
    """

    name: str
    op: str | None
    what: str
    n: int
    make: Callable[[int, np.random.Generator], Sequence[Input]]
    secure: Callable[..., Any]
    plain: Callable[..., Array]
    allowed: float = 0.0

    def inputs(self, n: int, seed: int) -> Sequence[Input]:
        """The inputs for a size and a seed."""
        return self.make(n, np.random.default_rng(seed))

    def error(self, result: Array, inputs: Sequence[Input]) -> tuple[float, bool]:
        """Largest absolute error of a result, and whether every element is within what is allowed."""
        exact = np.asarray(self.plain(*(i.values for i in inputs)))
        found = np.asarray(result)
        if found.shape != exact.shape:
            return float("inf"), False
        if np.array_equal(found, exact):
            return 0.0, True
        if exact.dtype.kind in "iu" and found.dtype.kind in "iu":
            # Not through float64, which would round what is compared.
            worst = int(np.max(np.abs(found.astype(object) - exact.astype(object)), initial=0))
            return float(worst), worst == 0
        distance = np.abs(found.astype(np.float64) - exact.astype(np.float64))
        return float(distance.max(initial=0.0)), bool(np.all(distance <= self.allowed))


@dataclass(frozen=True)
class Primitive(Task):
    """A primitive of the black box that arrays do not reach.

    `secure(box, *shares)` is a coroutine on shares of the inputs, `Arith`. `settle` is applied to its opened result,
    int64, before that is compared with `plain`.
    """

    settle: Callable[[Array], Array] = np.asarray


def find(names: Sequence[str]) -> list[Task]:
    """The tasks of these names, `all` for every one. Raises `InputError` INPUT-210."""
    known = {t.name: t for t in TASKS}
    if "all" in names:
        return list(TASKS)
    for name in names:
        if name not in known:
            raise InputError(
                "INPUT-210",
                f"there is no bench task {name[:40]!r}",
                expected=f"one of {', '.join(known)}, or all",
                next="see `tacit bench --list`",
            )
    return [known[name] for name in dict.fromkeys(names)]


def _integers(bound: int, count: int = 2) -> Callable[[int, np.random.Generator], list[Input]]:
    def make(n: int, rng: np.random.Generator) -> list[Input]:
        return [Input(rng.integers(-bound, bound, n, endpoint=True), (-bound, bound)) for _ in range(count)]

    return make


def _fixed(*ranges: tuple[float, float], square: bool = False) -> Callable[[int, np.random.Generator], list[Input]]:
    def make(n: int, rng: np.random.Generator) -> list[Input]:
        shape = (n, n) if square else (n,)
        return [_uniform(rng, lo, hi, shape) for lo, hi in ranges]

    return make


def _rows(width: int, lo: float, hi: float) -> Callable[[int, np.random.Generator], list[Input]]:
    def make(n: int, rng: np.random.Generator) -> list[Input]:
        return [_uniform(rng, lo, hi, (n, width))]

    return make


def _uniform(rng: np.random.Generator, lo: float, hi: float, shape: tuple[int, ...]) -> Input:
    return Input(_grid(rng.uniform(lo, hi, shape), lo, hi), (lo, hi))


def _grid(values: Array, lo: float, hi: float) -> Array:
    return np.asarray(np.clip(np.rint(values / UNIT), np.ceil(lo / UNIT), np.floor(hi / UNIT)) * UNIT)


def _half_equal(n: int, rng: np.random.Generator) -> list[Input]:
    bound = 2**62 - 1
    x = rng.integers(-bound, bound, n, endpoint=True)
    y = np.where(rng.integers(0, 2, n) == 1, x, rng.integers(-bound, bound, n, endpoint=True))
    return [Input(x, (-bound, bound)), Input(y, (-bound, bound))]


def _any(count: int) -> Callable[[int, np.random.Generator], list[Input]]:
    def make(n: int, rng: np.random.Generator) -> list[Input]:
        lo, hi = -(2**63), 2**63 - 1
        return [Input(rng.integers(lo, hi, n, endpoint=True), (lo, hi)) for _ in range(count)]

    return make


def _choices(n: int, rng: np.random.Generator) -> list[Input]:
    return [Input(rng.integers(0, 2, n) == 1, (0, 1)), *_integers(2**62 - 1)(n, rng)]


def _blocks(n: int, rng: np.random.Generator) -> list[Input]:
    """A key and n blocks, as bits."""
    return [Input(rng.integers(0, 2, shape, np.uint8) == 1, (0, 1)) for shape in ((128,), (n, 128))]


def _plain_aes(key: Array, blocks: Array) -> Array:
    packed = np.packbits(blocks, axis=1, bitorder="little")
    # Block by block, each on its own: this is what the operation means.
    cipher = Cipher(algorithms.AES(np.packbits(key, bitorder="little").tobytes()), modes.ECB()).encryptor()
    data = np.frombuffer(cipher.update(packed.tobytes()), np.uint8).reshape(packed.shape)
    return np.asarray(np.unpackbits(data, axis=1, bitorder="little") == 1)


# --- compositions ------------------------------------------------------------------------------------------------

RATE: Final = 0.125
"""The learning rate of the training steps."""
LAYERS: Final = ((784, 128), (128, 128), (128, 10))
"""The shapes of the weights of the network; it has no biases."""
LARGEST: Final = 100
"""How many elements the task `topk` asks for."""
TRIPS: Final = 1000
"""The length of the chain of products."""


def _plain_softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


WIDE: Final = 2**62 - 1
"""The limit of keys of tables."""


def _spread(ids: Array, many: int) -> Input:
    """Keys all over the range, one for each of so many numbers."""
    return Input(ids * (WIDE // many) - WIDE // 2, (-WIDE, WIDE))


def _keyed(n: int, rng: np.random.Generator) -> list[Input]:
    many = n // 4 + 1
    return [_spread(rng.integers(0, many, n), many), Input(rng.integers(0, 10**6, n), (0, 10**6))]


def _sums_by_key(keys: Any, x: Any) -> Any:
    keys, x = tc.sort_by(keys, keys, x, strategy="shuffle")
    (keys,), (sums,), meant = tc.aggregate(tc.run_starts(keys), [keys], [x])
    return tc.stack([keys, sums, meant], axis=1)


def _plain_sums_by_key(keys: Array, x: Array) -> Array:
    different, group = np.unique(keys, return_inverse=True)
    out = np.zeros((len(keys), 3), np.int64)
    out[: len(different), 0], out[: len(different), 2] = different, 1
    np.add.at(out[:, 1], group, x)
    return out


def _two_tables(n: int, rng: np.random.Generator) -> list[Input]:
    many = 2 * n
    keys = [_spread(rng.permutation(many)[:n], many), _spread(rng.integers(0, many, n), many)]
    columns = [Input(rng.integers(0, 10**9, n), (0, 10**9)) for _ in keys]
    return [keys[0], columns[0], keys[1], columns[1]]


def _join(keys: Any, x: Any, other_keys: Any, y: Any) -> Any:
    """The rows of the second table whose key the first one has, beside its row: in the order of their keys."""
    full = keys.__array_namespace__().full
    first = tc.concat([full(len(keys), True), full(len(other_keys), False)])
    # Rows of equal keys keep their order, so that of the first table leads them.
    both = tc.concat([keys, other_keys])
    key, first, value = tc.sort_by(both, both, first, tc.concat([x, y]), strategy="shuffle")
    led, found = tc.fill_forward(tc.run_starts(key), first, value)
    return tc.stack(tc.compress(led & ~first, key, found, value, size=len(other_keys)), axis=1)


def _plain_join(keys: Array, x: Array, other_keys: Array, y: Array) -> Array:
    row = {key: k for k, key in enumerate(keys.tolist())}
    order = [k for k in np.argsort(other_keys, kind="stable").tolist() if other_keys[k] in row]
    found = [row[key] for key in other_keys[order].tolist()]
    out = np.zeros((len(other_keys), 4), np.int64)
    out[: len(order)] = np.stack([other_keys[order], x[found], y[order], np.ones(len(order), np.int64)], axis=1)
    return out


def _gelu(xp: Any, x: Any) -> Any:
    """By tanh (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1 + xp.tanh(0.7978845608 * (x + 0.044715 * (x * x * x))))


def _regression(n: int, rng: np.random.Generator) -> list[Input]:
    """Rows, labels, weights."""
    labels = Input(rng.integers(0, 2, n).astype(float), (0, 1))
    return [_uniform(rng, -1, 1, (n, 100)), labels, _uniform(rng, -1, 1, (100,))]


def _regression_step(sigmoid: Callable[[Any], Any], x: Any, y: Any, w: Any) -> Any:
    return w - (RATE / x.shape[0]) * (x.T @ (sigmoid(x @ w) - y))


def _plain_sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _network(n: int, rng: np.random.Generator) -> list[Input]:
    """Rows, labels as one of ten, and the weights of each layer."""
    labels = Input(np.eye(10)[rng.integers(0, 10, n)], (0, 1))
    weights = [_uniform(rng, -bound, bound, shape) for shape in LAYERS for bound in [2 / shape[0] ** 0.5]]
    return [_uniform(rng, 0, 1, (n, LAYERS[0][0])), labels, *weights]


def _network_step(xp: Any, softmax: Callable[[Any], Any], x: Any, y: Any, *weights: Any) -> Any:
    """One step of gradient descent on the cross-entropy; the next weights, all in one row."""
    layers, gates = [x], []
    for w in weights[:-1]:
        z = layers[-1] @ w
        gates.append(z > 0)
        layers.append(xp.where(gates[-1], z, 0))
    error = softmax(layers[-1] @ weights[-1]) - y
    steps: list[Any] = []
    for k in reversed(range(len(weights))):
        gradient = layers[k].T @ error
        steps.insert(0, (weights[k] - (RATE / x.shape[0]) * gradient).reshape(-1))
        if k:
            error = xp.where(gates[k - 1], error @ weights[k].T, 0)
    return xp.concat(steps)


def _plain_topk(x: Array) -> Array:
    places = np.argsort(-x, kind="stable")[:LARGEST]
    return np.concatenate([x[places], places])


def _inside(
    name: str,
    op: str,
    what: str,
    n: int,
    make: Callable[[int, np.random.Generator], Sequence[Input]],
    function: Callable[..., Any],
    plain: Callable[..., Array],
    allowed: float,
) -> Task:
    """A fixed-point operation as it is inside a longer computation.

    A result that is disclosed is rounded exactly, which costs more. So the result is multiplied by a secret one before
    it is disclosed for the check.
    """

    def with_one(n: int, rng: np.random.Generator) -> list[Input]:
        inputs = list(make(n, rng))
        shape = np.shape(plain(*(i.values for i in inputs)))
        return [*inputs, Input(np.ones(shape), (1, 1))]

    return Task(
        name,
        op,
        what,
        n,
        with_one,
        lambda *xs: function(*xs[:-1]) * xs[-1],
        lambda *xs: plain(*xs[:-1]),
        allowed + UNIT,
    )


TASKS: Final = (
    Task("mul", "mul", "product of int64, exact", 1_000_000, _integers(2**30), lambda x, y: x * y, lambda x, y: x * y),
    _inside(
        "fixed_mul",
        "mul",
        "product of fixed(18), truncated",
        1_000_000,
        _fixed((-1024, 1024), (-1024, 1024)),
        lambda x, y: x * y,
        lambda x, y: x * y,
        2 * UNIT,
    ),
    _inside(
        "dot",
        "matmul",
        "inner product of two vectors of fixed(18)",
        1_000_000,
        _fixed((-1, 1), (-1, 1)),
        lambda x, y: tc.vecdot(x, y),
        lambda x, y: np.asarray(x @ y),
        2 * UNIT,
    ),
    _inside(
        "matmul",
        "matmul",
        "product of two n x n matrices of fixed(18)",
        256,
        _fixed((-8, 8), (-8, 8), square=True),
        lambda x, y: x @ y,
        lambda x, y: x @ y,
        2 * UNIT,
    ),
    Task("lt", "lt", "x < y of int64", 1_000_000, _integers(2**62 - 1), lambda x, y: x < y, lambda x, y: x < y),
    Task(
        "eq",
        "eq",
        "x == y of int64, half of them equal",
        1_000_000,
        _half_equal,
        lambda x, y: x == y,
        lambda x, y: x == y,
    ),
    Task(
        "lt_wide",
        "lt",
        "x < y of any two int64",
        1_000_000,
        _any(2),
        lambda x, y: x < y,
        lambda x, y: x < y,
    ),
    Task(
        "relu",
        "maximum",
        "max(x, 0) of int64",
        1_000_000,
        _integers(2**62 - 1, 1),
        lambda x: tc.maximum(x, 0),
        lambda x: np.maximum(x, 0),
    ),
    Task(
        "select",
        "where",
        "x or y of int64 by a secret bit",
        1_000_000,
        _choices,
        tc.where,
        np.where,
    ),
    Primitive(
        "a2b",
        None,
        "all 64 bits of any int64",
        1_000_000,
        _any(1),
        lambda box, x: box.a2b(x),
        np.asarray,
    ),
    Primitive(
        "shuffle",
        None,
        "rows of any int64 in an order that nobody knows",
        1_000_000,
        _any(1),
        lambda box, x: box.shuffle(x),
        np.sort,
        settle=np.sort,
    ),
    Task(
        "sort",
        "sort",
        "int64, ascending, by opened comparisons of shuffled rows",
        100_000,
        _integers(2**62 - 1, 1),
        lambda x: tc.sort(x, strategy="shuffle"),
        np.sort,
    ),
    Task("sort_network", "sort", "int64, ascending, nothing opened", 10_000, _integers(2**62 - 1, 1), tc.sort, np.sort),
    Task(
        "argsort",
        "argsort",
        "positions that sort int64, stable, by opened comparisons of shuffled rows",
        100_000,
        _integers(2**62 - 1, 1),
        lambda x: tc.argsort(x, strategy="shuffle"),
        lambda x: np.argsort(x, kind="stable"),
    ),
    Task(
        "groupby",
        None,
        "the sum of a column for each of up to n / 4 different int64 keys",
        100_000,
        _keyed,
        _sums_by_key,
        _plain_sums_by_key,
    ),
    Task(
        "join",
        None,
        "two tables of n rows on an int64 key that is unique in the first, a column from each",
        100_000,
        _two_tables,
        _join,
        _plain_join,
    ),
    Task("aes", "aes128", "AES-128 of blocks under one key", 100_000, _blocks, tc.aes128, _plain_aes),
    Task(
        "topk",
        "topk",
        f"the {LARGEST} largest int64 and their positions",
        1_000_000,
        _integers(2**30, 1),
        lambda x: tc.concat(tc.topk(x, min(LARGEST, x.size), strategy="shuffle")),
        _plain_topk,
    ),
    Task(
        "median",
        "order_statistics",
        "the median of int64, of an even number the mean of the two middle ones",
        1_000_000,
        _integers(2**30, 1),
        lambda x: tc.median(x, strategy="shuffle"),
        lambda x: np.asarray(np.median(x)),
    ),
    _inside(
        "div",
        "div",
        "x / y of fixed(18), y from 0.5",
        100_000,
        _fixed((-1024, 1024), (0.5, 1024)),
        lambda x, y: x / y,
        lambda x, y: x / y,
        4 * UNIT,
    ),
    _inside("exp", "exp", "exp(x) of fixed(18) in [-8, 8]", 100_000, _fixed((-8, 8)), tc.exp, np.exp, 8 * UNIT),
    _inside(
        "log", "log", "log(x) of fixed(18) in [0.01, 1024]", 100_000, _fixed((0.01, 1024)), tc.log, np.log, 2 * UNIT
    ),
    _inside(
        "sqrt", "sqrt", "sqrt(x) of fixed(18) in [0, 1024]", 100_000, _fixed((0, 1024)), tc.sqrt, np.sqrt, 2 * UNIT
    ),
    _inside(
        "sigmoid",
        "sigmoid",
        "sigmoid(x) of fixed(18) in [-16, 16]",
        100_000,
        _fixed((-16, 16)),
        tc.sigmoid,
        _plain_sigmoid,
        2 * UNIT,
    ),
    Task(
        "softmax",
        None,
        "softmax of rows of ten fixed(18) in [-8, 8]",
        10_000,
        _rows(10, -8, 8),
        tc.softmax,
        _plain_softmax,
        8 * UNIT,
    ),
    Task(
        "gelu",
        None,
        "gelu(x) of fixed(18) in [-8, 8], by tanh",
        100_000,
        _fixed((-8, 8)),
        lambda x: _gelu(tc, x),
        lambda x: np.asarray(_gelu(np, x)),
        24 * UNIT,
    ),
    Task(
        "logreg_step",
        None,
        "logistic regression: one gradient step on a batch of 100 features",
        128,
        _regression,
        lambda *xs: _regression_step(tc.sigmoid, *xs),
        lambda *xs: np.asarray(_regression_step(_plain_sigmoid, *xs)),
        4 * UNIT,
    ),
    Task(
        "mlp_step",
        None,
        "network 784-128-128-10: one gradient step on a batch",
        128,
        _network,
        lambda *xs: _network_step(tc, tc.softmax, *xs),
        lambda *xs: np.asarray(_network_step(np, _plain_softmax, *xs)),
        2.0**-12,
    ),
    Task(
        "chain",
        None,
        f"{TRIPS:,} products, each of the one before",
        8,
        lambda n, rng: [Input(rng.integers(0, 2, n), (0, 1)) for _ in range(2)],
        lambda x, y: tc.loop(TRIPS, lambda v: 1 - v * y, x),
        lambda x, y: np.where(y == 1, x, 1),
    ),
)
"""Every task, in the order of `--list`."""
