# SPDX-License-Identifier: Apache-2.0
"""Three hospitals compute statistics and a logistic regression on the union of their patients.

Each party process may read one directory, which holds the file of one hospital. What leaves is what the four reveals
say: how many patients have each diagnosis, per diagnosis the sums and the centred sums of squares of each feature (from
which means and standard deviations follow, and which follow from them: neither tells more than the other), and the
coefficients. The model is trained inside: standardising, sixty steps of gradient descent, everything secret.

The comparison with the pooled table is made by the demo, which plays all three owners; in a real room nobody could.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

import tacit as tc
from tacit.demos import pooled
from tacit.demos.outcome import EXACT, Comparison, Curve, Outcome, Row
from tacit.demos.pooled import Floats
from tacit.demos.settings import Settings, facts, learned, opened
from tacit.demos.stages import Stages

HOSPITALS: Final = ("hospital_a", "hospital_b", "hospital_c")
FILE: Final = "patients.parquet"
DATA: Final = Path(__file__).with_name("data")

UNITS: Final = {
    "mean_radius": -2,
    "mean_texture": -3,
    "mean_perimeter": -5,
    "mean_area": -9,
    "mean_smoothness": 6,
    "mean_compactness": 4,
    "mean_concavity": 3,
    "mean_concave_points": 4,
    "mean_symmetry": 5,
    "mean_fractal_dimension": 7,
    "radius_error": 1,
    "texture_error": 0,
    "perimeter_error": -2,
    "area_error": -6,
    "smoothness_error": 8,
    "compactness_error": 5,
    "concavity_error": 5,
    "concave_points_error": 7,
    "symmetry_error": 6,
    "fractal_dimension_error": 8,
    "worst_radius": -3,
    "worst_texture": -3,
    "worst_perimeter": -6,
    "worst_area": -10,
    "worst_smoothness": 5,
    "worst_compactness": 2,
    "worst_concavity": 2,
    "worst_concave_points": 3,
    "worst_symmetry": 4,
    "worst_fractal_dimension": 5,
}
"""The features, each with the exponent of the power of two that brings it to the order of one: part of the agreed
schema, like a unit of measurement. It gives features of every size the same relative precision in fixed point."""

VALUE_MAX: Final = 8192.0
"""No measurement is larger; each hospital checks its own file against this."""
SCALED_MAX: Final = 16.0
"""Nor is one in its unit of order one: enforced at the owner, in the clear, by `clip`."""
COEFFICIENT_MAX: Final = 32.0

DIFFERENCE_MAX: Final = 1e-3
"""Of means and standard deviations, in standard deviations of the feature."""
COEFFICIENT_DIFFERENCE_MAX: Final = 1e-2
AUC_DIFFERENCE_MAX: Final = 5e-3

PURPOSE: Final = "counts, means, standard deviations and a model of the union"
RESULTS: Final = (
    "number of patients, per diagnosis",
    "sum of each feature, per diagnosis: with the numbers above, the means",
    "sum of squares of each feature about the mean, per diagnosis: the standard deviations",
    "coefficients of the model",
)
DIAGNOSES: Final = ("benign", "malignant")


def run(settings: Settings, stages: Stages) -> Outcome:
    """Compute jointly, then compare."""
    with stages.stage("starting three parties, each with its own file"):
        session = opened(settings, HOSPITALS, [DATA / name for name in HOSPITALS])
    with session:
        with stages.stage("writing the plan that all three will read"):
            results = joint(session)
            plan = session.plan_of(*results, purpose=PURPOSE)
        with stages.stage("computing together: statistics, then sixty steps of training"):
            counts, sums, squares, coefficients = tc.reveal(*results, purpose=PURPOSE)
        how = facts(session, settings, plan, learned(plan, RESULTS))
    with stages.stage("computing the same on the pooled table"):
        tables = [pq.read_table(DATA / name / FILE) for name in HOSPITALS]
        comparisons, curves, notes = compare(tables, counts, sums, squares, coefficients)
    return Outcome(
        name="hospitals",
        title="Three hospitals, one model",
        summary="Counts, means and standard deviations per diagnosis, and a logistic regression on 30 features, "
        f"computed on the union of {sum(len(t) for t in tables)} patients. No row left its hospital in the clear.",
        owners=tuple((name, f"{len(t)} rows of {FILE}") for name, t in zip(HOSPITALS, tables, strict=True)),
        comparisons=comparisons,
        facts=how,
        notes=notes,
        curves=curves,
    )


def joint(session: tc.Session) -> tuple[Any, Any, Any, Any]:
    """The lazy results: counts [2], sums [2, 30], centred sums of squares [2, 30] in units, coefficients [31]."""
    unit = 2.0 ** np.array(list(UNITS.values()))
    raw, scaled, sick = [], [], []
    for party in range(len(HOSPITALS)):
        table = session.load(FILE, party, list(UNITS), range=(0, VALUE_MAX), dtype=tc.fixed(18))
        raw.append(table)
        scaled.append((table * unit).clip(0.0, SCALED_MAX))  # At the owner, in the clear.
        sick.append(session.load(FILE, party=party, columns="diagnosis", range=(0, 1), dtype="int64"))
    x, y = tc.concat(scaled), tc.concat(sick)
    group = tc.stack([1 - y, y])  # [2, n]

    distance = x - x.mean(axis=0)
    squares = distance * distance
    spread = squares.mean(axis=0)
    z = tc.concat([session.constant(np.ones((x.shape[0], 1))), distance * tc.rsqrt(spread)], axis=1)
    return group.sum(axis=1), group @ tc.concat(raw), group @ squares, train(session, z, y)


def train(session: tc.Session, z: Any, y: Any) -> Any:
    """The coefficients: `pooled.logistic_regression`, step by step, on secrets."""
    n, k = z.shape
    penalty = pooled.PENALTY * np.arange(k).clip(0, 1)
    target = y.astype(tc.fixed(18))

    def step(w: Any, velocity: Any) -> tuple[Any, Any]:
        gradient = (z.T @ (tc.sigmoid(z @ w) - target)) * (1 / n) + w * penalty
        velocity = velocity * pooled.MOMENTUM - gradient * pooled.STEP_SIZE
        return w + velocity, velocity

    start = session.constant(np.zeros(k))
    bound = (-COEFFICIENT_MAX, COEFFICIENT_MAX)
    return tc.loop(pooled.STEPS, step, start, start, ranges=[bound, bound])[0]


def compare(
    tables: Sequence[Any], counts: Any, sums: Any, squares: Any, coefficients: Any
) -> tuple[tuple[Comparison, ...], tuple[Curve, ...], tuple[str, ...]]:
    """The joint numbers beside those of the pooled table."""
    x = np.concatenate([np.stack([t[c].to_numpy() for c in UNITS], axis=1) for t in tables])
    y = np.concatenate([t["diagnosis"].to_numpy() for t in tables]).astype(np.float64)
    pooled_mean, pooled_std = x.mean(axis=0), x.std(axis=0)
    mean, std, all_mean, all_std = moments(counts, sums, squares)
    groups = [x[y == d] for d in range(2)]

    z = pooled.standardised(x, pooled_mean, pooled_std)
    reference = pooled.logistic_regression(z, y)
    score = pooled.standardised(x, all_mean, all_std) @ coefficients
    curves = [_curve("joint model", y, score)]
    aucs = [Row("same algorithm in float64", pooled.auc(y, score), pooled.auc(y, z @ reference))]
    notes = [
        "The comparison is made by this demo, which plays all three owners. In a real room nobody holds all rows.",
        "The AUC is measured on the rows the model was trained on; it compares two models, it does not validate one.",
    ]
    independent = _scikit_learn(z, y)
    if independent is None:
        notes.append("scikit-learn is not installed, so the model was not compared with it: pip install 'tacit[demo]'.")
    else:
        aucs.append(Row("LogisticRegression of scikit-learn", pooled.auc(y, score), pooled.auc(y, independent)))
        curves.append(_curve("scikit-learn, pooled", y, independent))

    in_std = "in std of the feature"
    comparisons = (
        Comparison(
            "Patients",
            "a count",
            tuple(Row(name, float(counts[d]), float(len(groups[d]))) for d, name in enumerate(DIAGNOSES)),
            EXACT,
        ),
        Comparison(
            "Means", "float64", _per_group(mean, [g.mean(axis=0) for g in groups], pooled_std), DIFFERENCE_MAX, in_std
        ),
        Comparison(
            "Standard deviations",
            "float64",
            _per_group(std, [g.std(axis=0, ddof=1) for g in groups], pooled_std),
            DIFFERENCE_MAX,
            in_std,
        ),
        Comparison(
            "Coefficients",
            "the same algorithm in float64",
            tuple(
                Row(name, float(a), float(b))
                for name, a, b in zip(["intercept", *map(_words, UNITS)], coefficients, reference, strict=True)
            ),
            COEFFICIENT_DIFFERENCE_MAX,
        ),
        Comparison("Area under the ROC curve", "pooled models", tuple(aucs), AUC_DIFFERENCE_MAX),
    )
    return comparisons, tuple(curves), tuple(notes)


def moments(counts: Any, sums: Any, squares: Any) -> tuple[Floats, Floats, Floats, Floats]:
    """Means [2, 30] and standard deviations (n - 1) [2, 30] per diagnosis, and the union's [30] and (n) [30].

    `squares` are about the union's mean and in units of order one.
    """
    unit = 2.0 ** np.array(list(UNITS.values()))
    n = np.asarray(counts, dtype=np.float64)[:, None]
    mean = np.asarray(sums) / n
    all_mean = np.asarray(sums).sum(axis=0) / n.sum()
    about_own_mean = np.asarray(squares) / unit**2 - n * (mean - all_mean) ** 2
    all_std = np.sqrt(np.asarray(squares).sum(axis=0) / n.sum()) / unit
    return mean, np.sqrt(about_own_mean / (n - 1)), all_mean, all_std


def _per_group(joint: Floats, pooled_groups: Sequence[Floats], scale: Floats) -> tuple[Row, ...]:
    return tuple(
        Row(f"{_words(feature)}, {name}", float(joint[d, k]), float(pooled_groups[d][k]), float(scale[k]))
        for k, feature in enumerate(UNITS)
        for d, name in enumerate(DIAGNOSES)
    )


def _curve(name: str, y: Floats, score: Floats) -> Curve:
    x, height = pooled.roc(y, score)
    return Curve(f"{name}, AUC {pooled.auc(y, score):.4f}", tuple(map(float, x)), tuple(map(float, height)))


def _scikit_learn(z: Floats, y: Floats) -> Floats | None:
    """Scores [n] of scikit-learn's model, or None where it is not installed."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ModuleNotFoundError:
        return None
    model = LogisticRegression(C=1 / (len(y) * pooled.PENALTY), max_iter=1000).fit(z[:, 1:], y)
    return np.asarray(model.decision_function(z[:, 1:]), dtype=np.float64)


def _words(column: str) -> str:
    return column.replace("_", " ")
