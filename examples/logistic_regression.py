# SPDX-License-Identifier: Apache-2.0
"""A bank and an insurer know different things about the same people; a registry knows the outcome. They train a model.

The tables are split by column and already in the same order of people: row i of each is person i.
Protected: every feature, every outcome, and the model in all steps of training but the last.
Everyone learns: the four final coefficients, and the shapes of the tables.
"""

import numpy as np

import tacit as tc

STEPS, RATE, PENALTY = 40, 1.0, 0.01


def synthetic(n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two features at the bank, one at the insurer, a yes or no at the registry."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, 3)).clip(-4, 4)
    chance = 1 / (1 + np.exp(-(x @ [1.5, -1.0, 0.5] + 0.3)))
    return x[:, :2], x[:, 2:], (rng.random(n) < chance).astype(np.int64)


def gradient_descent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The same algorithm in float64 on the pooled table, to compare with."""
    w = np.zeros(x.shape[1])
    for _ in range(STEPS):
        w -= RATE * (x.T @ (1 / (1 + np.exp(-x @ w)) - y) / len(y) + PENALTY * w)
    return w


def main() -> None:
    bank, insurer, outcome = synthetic()
    n = len(outcome)
    with tc.local(["bank", "insurer", "registry"]) as s:
        ones = s.constant(np.ones((n, 1)))
        x = tc.concat([ones, s.input(bank, "bank", range=(-4, 4)), s.input(insurer, "insurer", range=(-4, 4))], axis=1)
        y = s.input(outcome, "registry", range=(0, 1)).astype(tc.fixed())

        def step(w: tc.SecretArray) -> tc.SecretArray:
            return w - RATE * (x.T @ (tc.sigmoid(x @ w) - y) / n + PENALTY * w)

        # The plan holds the loop, not forty copies; that coefficients stay within 8 is listed as its assumption.
        w = tc.loop(STEPS, step, s.constant(np.zeros(4)), ranges=[(-8, 8)])
        print("on a LAN:", s.cost(w, network="lan"))
        joint = w.reveal(purpose="coefficients")

    pooled = gradient_descent(np.concatenate([np.ones((n, 1)), bank, insurer], axis=1), outcome)
    print("joint ", np.round(joint, 4))
    print("pooled", np.round(pooled, 4))
    assert np.allclose(joint, pooled, atol=1e-2)


if __name__ == "__main__":
    main()
