"""What the fixed-point functions should give: mpmath at 120 bits, the points where they are tried, and rounding models.

`tests/test_library_nonlinear.py` tries few points, `benchmarks/numerics.py` 10^5, against the same promises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

from tacit.library import fixed, nonlinear
from tacit.protocols.plain import Plain
from tacit.protocols.shares import Arith

RAW_MAX = 2**61


class Coins(Plain):
    """The plain protocol with the cheap truncation of a secure one: a coin with mean x / 2^f, or always down or up."""

    def __init__(self, mode: str, seed: int = 0) -> None:
        super().__init__()
        self._mode = mode
        self._rng = np.random.default_rng(seed)

    async def truncate(self, x: Arith, f: int, exact: bool = False) -> Arith:
        if exact:
            return await super().truncate(x, f, True)
        raw = x.parts[0].view(np.int64)
        floor, low = raw >> np.int64(f), raw & np.int64((1 << f) - 1)
        threshold = {
            "coin": self._rng.integers(0, 1 << f, raw.shape),
            "down": np.int64((1 << f) - 1),
            "up": np.int64(0),
        }[self._mode]
        return Arith((floor + (low > threshold)).view(np.uint64))


def rounding_boxes() -> list[Plain]:
    """Nearest, a coin, always down, always up: what a protocol does lies between the last two."""
    return [Plain(), Coins("coin"), Coins("down"), Coins("up")]


def special_points() -> list[int]:
    """Zero, every power of two and its neighbours, of both signs, up to the largest raw value."""
    powers = {2**k + d for k in range(62) for d in (-1, 0, 1)}
    return sorted({s * v for v in powers for s in (1, -1) if v <= RAW_MAX})


def points(f: int, n: int, seed: int = 0) -> np.ndarray:
    """n raw arguments: the special ones, magnitudes spread evenly over the exponents, and the neighbourhood of zero."""
    rng = np.random.default_rng([seed, f])
    special = np.array(special_points(), dtype=np.int64)
    rest = max(n - special.size, 0)
    wide = (2.0 ** rng.uniform(0, 61, rest - rest // 2)).astype(np.int64) * rng.choice([-1, 1], rest - rest // 2)
    near = rng.uniform(-24 * 2.0**f, 24 * 2.0**f, rest // 2).astype(np.int64)
    return np.concatenate([special, wide, near])


@dataclass(frozen=True)
class Case:
    """`program(box, *shares, f, exact)`, its raw inputs, and the true raw result of each row as an mpmath number."""

    name: str
    inputs: Callable[[int, int], list[np.ndarray]]
    program: Callable[..., Any]
    truth: Callable[..., Any]


def _unary(name: str, function: Callable[[Any], Any], nearest: Callable[[int, int], int]) -> Case:
    """A function of one argument; `nearest(raw, f)` is the point of the domain that an argument counts as."""
    program = getattr(nonlinear, name)
    return Case(
        name,
        lambda f, n: [points(f, n)],
        lambda box, x, f, exact: program(box, x, f, exact=exact),
        lambda f, x: function(mpmath.mpf(nearest(x, f)) / 2**f) * 2**f,
    )


def _exp(f: int, x: int) -> Any:
    least, most = nonlinear.exp_domain(f)
    return mpmath.mpf(0) if x < least else mpmath.exp(mpmath.mpf(min(x, most)) / 2**f) * 2**f


def _quotient(f: int, x: int, y: int) -> Any:
    true = mpmath.mpf(x << f) / (y or 1)
    limit = mpmath.mpf(2) ** 61
    return true if abs(true) < 2**60 else mpmath.sign(true) * limit


def _pairs(f: int, n: int) -> list[np.ndarray]:
    rng = np.random.default_rng([5, f])
    x = points(f, n)
    ends = np.array([0, 1, -1, 2**f, -(2**f), RAW_MAX, -RAW_MAX, RAW_MAX - 1], dtype=np.int64)
    x[: ends.size**2], y = np.repeat(ends, ends.size), rng.permutation(points(f, n, 1))
    y[: ends.size**2] = np.tile(ends, ends.size)
    true = np.abs(x.astype(np.longdouble)) * 2.0**f / np.maximum(np.abs(y.astype(np.longdouble)), 1)
    keep = (true < 2.0**60) | (true > 2.0**61 * 1.001)
    return [x[keep], y[keep]]


def _factors(f: int, n: int) -> list[np.ndarray]:
    x, y = points(f, n), np.random.default_rng([6, f]).permutation(points(f, n, 1))
    keep = np.abs(x.astype(np.float64) * y.astype(np.float64)) < 2.0**61.9
    return [x[keep], y[keep]]


def _roots(f: int, n: int) -> list[np.ndarray]:
    x = points(f, n)
    return [x[np.abs(x) < 2**31]]


CASES = {
    case.name: case
    for case in (
        Case(
            "mul", _factors, lambda box, x, y, f, exact: fixed.mul(box, x, y, f, exact), lambda f, x, y: _over(x * y, f)
        ),
        Case("square", _roots, lambda box, x, f, exact: fixed.square(box, x, f, exact), lambda f, x: _over(x * x, f)),
        Case(
            "scale",
            lambda f, n: [points(f, n)[np.abs(points(f, n)) < 2**50]],
            lambda box, x, f, exact: fixed.scale(box, x, -1365, 12, exact),
            lambda f, x: _over(-1365 * x, 12),
        ),
        Case("divide", _pairs, lambda box, x, y, f, exact: nonlinear.divide(box, x, y, f, exact=exact), _quotient),
        _unary("reciprocal", lambda v: 1 / v, lambda x, f: x or 1),
        _unary("sqrt", mpmath.sqrt, lambda x, f: max(x, 0)),
        _unary("rsqrt", lambda v: 1 / mpmath.sqrt(v), lambda x, f: max(x, 1)),
        _unary("log", mpmath.log, lambda x, f: max(x, 1)),
        Case("exp", lambda f, n: [points(f, n)], lambda box, x, f, exact: nonlinear.exp(box, x, f, exact=exact), _exp),
        _unary("sigmoid", lambda v: 1 / (1 + mpmath.exp(-v)), lambda x, f: _within(x, 64 << f)),
        _unary("tanh", mpmath.tanh, lambda x, f: _within(x, 64 << f)),
    )
}
"""By name in `tacit.library.accuracy.BOUNDS`. Where sigmoid and tanh are constant to 120 bits, so is their argument."""


def _over(x: int, shift: int) -> Any:
    return mpmath.mpf(x) / 2**shift


def _within(x: int, limit: int) -> int:
    return max(-limit, min(limit, x))


def truths(case: Case, f: int, inputs: list[np.ndarray]) -> np.ndarray:
    """The true raw results as long doubles."""
    with mpmath.workprec(120):
        out = []
        for row in zip(*(x.tolist() for x in inputs), strict=True):
            value = case.truth(f, *row)
            high = float(value)
            out.append((high, float(value - high)))
    pairs = np.array(out, dtype=np.longdouble).reshape(-1, 2)
    return pairs[:, 0] + pairs[:, 1]


def errors(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """|result - truth| in units of the last place."""
    return np.abs(result.view(np.int64).astype(np.longdouble) - truth).astype(np.float64)
