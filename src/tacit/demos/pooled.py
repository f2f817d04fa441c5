# SPDX-License-Identifier: Apache-2.0
"""The plaintext side of the demos: the same computations in float64 on the pooled table."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS: Final = 60
"""Steps of gradient descent: at these settings coefficients are within 0.005 of the optimum of the demo's data."""
STEP_SIZE: Final = 1.0
MOMENTUM: Final = 0.8
PENALTY: Final = 0.01
"""L2 penalty on coefficients (not the intercept), relative to the mean loss; for scikit-learn C = 1 / (n PENALTY)."""


def standardised(x: Floats, mean: Floats, std: Floats) -> Floats:
    """[n, k] features as [n, 1 + k]: a column of ones, then each feature with mean 0 and standard deviation 1."""
    return np.concatenate([np.ones((len(x), 1)), (x - mean) / std], axis=1)


def logistic_regression(z: Floats, y: Floats) -> Floats:
    """Coefficients [1 + k] by full-batch gradient descent with momentum (Polyak 1964); z as from `standardised`."""
    penalty = PENALTY * np.arange(z.shape[1]).clip(0, 1)
    w = np.zeros(z.shape[1])
    velocity = np.zeros(z.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-(z @ w)))
        gradient = z.T @ (p - y) / len(y) + penalty * w
        velocity = MOMENTUM * velocity - STEP_SIZE * gradient
        w = w + velocity
    return w


def roc(y: Floats, score: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates for all thresholds, both from 0 to 1. Rows with one score make one step."""
    order = np.argsort(-score, kind="stable")
    last = np.r_[np.diff(score[order]) != 0, True]
    positive = np.cumsum(y[order])[last]
    negative = np.cumsum(1 - y[order])[last]
    return np.r_[0, negative / negative[-1]], np.r_[0, positive / positive[-1]]


def auc(y: Floats, score: Floats) -> float:
    """Area under the ROC curve."""
    x, height = roc(y, score)
    return float(np.sum(np.diff(x) * (height[1:] + height[:-1]) / 2))
