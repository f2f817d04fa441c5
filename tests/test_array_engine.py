"""Arrays on the real engine: what the interpreter of plans says is what the protocols compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from plan_oracle import Oracle
from tacit.engine.drive import lockstep
from tacit.engine.execute import execute
from tacit.engine.keys import begin
from tacit.frontends.array import SecretArray
from tacit.frontends.loop import loop
from tacit.plan import Plan

RNG = np.random.default_rng(11)
A, B = RNG.integers(-50, 50, (6, 4)), RNG.integers(-50, 50, (6, 4))
X, Y = RNG.normal(size=(6, 4)), RNG.normal(size=(6, 4)) * 3
M = RNG.random((6, 4)) < 0.5
ULP = 2.0**-18


class Parties(Oracle):
    """Three parties in this thread."""

    def __init__(self, protocol: str) -> None:
        super().__init__()
        self.protocol = protocol
        self.program.protocol = protocol

    def run(self, plan: Plan, bindings: Mapping[str, np.ndarray]) -> dict[str, Any]:
        owners = {n.attrs["name"]: n.attrs["party"] for n in plan.nodes if n.op == "input"}

        async def party(me: int) -> dict[str, Any]:
            mine = {name: raw.view(np.uint64) for name, raw in bindings.items() if owners[name] == me}
            box = await begin(self.protocol, me, 3, bytes.fromhex(plan.digest), bytes(16), bytes([me]) * 32)
            return await execute(plan, box, mine)

        results = lockstep([party(me) for me in range(3)])
        return {label: next(r[label] for r in results if r[label] is not None) for label, _ in plan.outputs}


def ordered(xp: Any, a: SecretArray, b: SecretArray, m: SecretArray, strategy: str) -> list[SecretArray]:
    how = {"strategy": strategy}
    c = a + b
    return [
        xp.lexsort([a, c % 3], axis=0, descending=[True, False], **how),
        *xp.sort_by([c[:, 0] % 2, a[:, 1]], b, m, c[:, 2], descending=(False, True), **how),
        xp.sort_by([c[:, 0] % 2, a[:, 1]], c, descending=(False, True), size=1, **how),
        *xp.topk(c, 2, axis=1, **how),
        *xp.topk(c % 4, 3, axis=0, largest=False, **how),
        xp.quantile(c, [0.1, 0.6], axis=0, method="higher", **how),
        xp.take_along_axis(b, xp.argsort(c, axis=1, **how), axis=1),
        xp.take_along_axis(m, xp.argsort(a[0], **how), axis=1),
    ]


def integers(o: Oracle) -> list[SecretArray]:
    """Exact under every protocol."""
    xp = o.program.namespace
    a, b, m = o.input(A, 0, (-64, 64)), o.input(B, 1, (-64, 64)), o.input(M, 2)
    c = a + b
    return [
        c * 3 - A,
        c * a,
        c @ B.T,
        a.T @ b,
        c > b,
        (c == a) | m & ~(b < 3),
        xp.where(m, a, b),
        xp.where(M, c, 7),
        m * c,
        m.sum(axis=0),
        c.max(axis=1),
        c.argmin(axis=0),
        xp.sort(c, axis=0),
        xp.argsort(c, axis=0, descending=True),
        xp.sort(c, axis=1, strategy="shuffle"),
        xp.argsort(c.reshape((-1,)) % 3, descending=True, strategy="shuffle"),
        *(out for strategy in ("network", "shuffle") for out in ordered(xp, a, b, m, strategy)),
        xp.concat([a, B, b])[[0, -1, 7]],
        xp.roll(xp.flip(c, axis=0), 2, axis=1),
        c // 7,
        c % 7,
        c.clip(-10, 20),
        (c > 90).any(axis=1),
        m.all(),
        abs(c) + xp.sign(c),
        xp.cumulative_sum(c, axis=1),
        loop(3, lambda v: (v + b).clip(-200, 200), a * 1, ranges=[(-200, 200)]),
        *rows(xp, a, b, m),
    ]


def rows(xp: Any, a: SecretArray, b: SecretArray, m: SecretArray) -> list[SecretArray]:
    """Compaction, runs and groups."""
    keys, flags = ((a + b)[:, 0] % 3).clip(0, 2), m[:, 1]
    starts, ends = xp.run_starts(keys), xp.run_ends(keys, m[:, :2], b[:, :1] > 0)
    few = xp.compress(flags, a, m, keys > 1, size=4)
    heads, sums, meant = xp.aggregate(starts, [keys, m, ends, M], [a, b[:, 1], m[:, 0], 1, A[:, 0]], size=5)
    return [
        starts,
        ends,
        *few,
        xp.compress(M[:, 0], a[:, 1])[0],
        *xp.expand(flags, few[0], few[1]),
        *xp.fill_forward(flags, a, m),
        *xp.run_sums(starts, a, m, b[:, 1], size=5),
        xp.run_lengths(flags),
        *heads,
        *sums,
        meant,
        *xp.aggregate(flags, [], [1])[1],
        *xp.running_sum(starts, a, b),
        xp.running_max(starts, a),
        xp.running_min(flags, b[:, 2]),
        xp.running_any(starts, m),
        xp.running_all(starts, m[:, 0]),
        *xp.unique_padded(keys),
        *xp.unique_padded(a[:, :2] % 4, size=5, strategy="shuffle"),
        xp.segment_sum(a, keys, 3),
        xp.bincount(keys, 4),
        loop(2, lambda v: xp.fill_forward(v > 0, v) - 1, keys, ranges=[(-9, 9)]),
    ]


def numbers(o: Oracle) -> list[SecretArray]:
    """Within a few units in the last place of the interpreter's floor."""
    xp = o.program.namespace
    x, y, a = o.input(X, 0, (-8, 8)), o.input(Y, 1, (-16, 16)), o.input(A, 2, (-64, 64))
    z = x + y
    return [
        z * x,
        z * 0.3,
        z / 7,
        a / 7 + z,
        a * x,
        z * Y,
        z @ Y.T / 4,
        x.T @ y,
        xp.vecdot(x, y),
        z.mean(),
        a.mean(axis=0),
        xp.median(a + 0, axis=1, strategy="shuffle"),
        xp.quantile(z, [0.2, 0.5], axis=0, keepdims=True, strategy="shuffle"),
        z.var(axis=0),
        a.var(),
        z.sum(axis=1) * 1e-3,
        xp.maximum(z, 0.25),
        xp.where(z > 0, x, a),
        xp.floor(x + y),
        z.clip(-1, 1.5),
        loop(4, lambda w: w * 0.5 + x[0], z[0] * 1, ranges=[(-64, 64)]),
    ]


def curves(o: Oracle) -> list[SecretArray]:
    """Within the errors that docs/numerics.md publishes."""
    xp = o.program.namespace
    x, a = o.input(np.abs(X) + 0.5, 0, (0.5, 8)) + o.input(np.abs(Y), 1, (0, 16)), o.input(A, 1, (-64, 64))
    return [
        x.std(axis=0),
        a.std(),
        xp.sqrt(x),
        xp.rsqrt(x),
        1 / x,
        a / x,
        xp.log(x),
        xp.exp(-x),
        xp.sigmoid(x - 3),
        xp.tanh(x - 3),
        x**-2,
    ]


@pytest.mark.parametrize("protocol", ["plain", "rep3"])
@pytest.mark.parametrize(("program", "ulps"), [(integers, 0), (numbers, 4), (curves, 64)])
def test_the_engine_computes_what_the_plan_means(
    protocol: str, program: Callable[[Oracle], list[SecretArray]], ulps: int
) -> None:
    meant, computed = (o.program.reveal(program(o), None, "test") for o in (Oracle(), Parties(protocol)))
    for k, (want, got) in enumerate(zip(meant, computed, strict=True)):
        assert np.asarray(got).dtype == np.asarray(want).dtype
        np.testing.assert_allclose(got, want, rtol=0, atol=ulps * ULP, err_msg=f"output {k}")


@pytest.mark.parametrize("protocol", ["plain", "rep3"])
def test_convolution_is_that_of_the_definition(protocol: str) -> None:
    o = Parties(protocol)
    image, kernel = RNG.integers(-9, 9, (2, 3, 6, 5)), RNG.integers(-9, 9, (4, 3, 3, 2))
    x, w = o.input(image, 0, (-9, 9)), o.input(kernel, 1, (-9, 9))
    got = o.program.namespace.conv2d(x, w, stride=(2, 1), padding=(1, 0)).reveal()

    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (0, 0)))
    want = np.zeros((2, 4, 3, 4), np.int64)
    for i in range(3):
        for j in range(4):
            patch = padded[:, :, 2 * i : 2 * i + 3, j : j + 2]
            want[:, :, i, j] = np.einsum("nckl,ockl->no", patch, kernel)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("protocol", ["plain", "rep3"])
def test_comparisons_are_opened_only_in_a_true_order_even_if_an_assumption_is_wrong(protocol: str) -> None:
    o = Parties(protocol)
    xp = o.program.namespace
    values = np.array([2**61, -(2**61), 3, 2**61 - 1, 1 - 2**61, 0, 2**60])
    x = xp.assume(o.input(values, 0, (-(2**61), 2**61)) + 0, 0, 3)
    y = o.input(np.zeros(7, dtype=np.int64), 1, (0, 3))
    (got,) = o.program.reveal([xp.sort(x + y, strategy="shuffle")], None, "test")
    np.testing.assert_array_equal(got, np.sort(values))
