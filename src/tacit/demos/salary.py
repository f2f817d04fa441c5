# SPDX-License-Identifier: Apache-2.0
"""The example of the README: an average of salaries that nobody tells."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

import tacit as tc
from tacit.demos.outcome import Comparison, Outcome, Row
from tacit.demos.settings import Settings, facts, learned, opened
from tacit.demos.stages import Stages

SALARIES: Final = ([52_000, 61_500], [48_200, 75_000], [58_900, 66_100])
COLLEAGUES: Final = ("ann", "bob", "cem")
PURPOSE: Final = "the average salary"
DIFFERENCE_MAX: Final = 1e-4


def run(settings: Settings, stages: Stages) -> Outcome:
    """Compute jointly, then compare."""
    with stages.stage("starting three parties"):
        session = opened(settings, COLLEAGUES)
    with session:
        with stages.stage("computing the average together"):
            result = joint(session)
            plan = session.plan_of(result, purpose=PURPOSE)
            average = float(result.reveal(purpose=PURPOSE))
        how = facts(session, settings, plan, learned(plan, [PURPOSE]))
    return Outcome(
        name="salary",
        title="What do we earn on average?",
        summary="Three parties bring two salaries each. Only the average leaves.",
        owners=tuple((name, f"{len(values)} salaries") for name, values in zip(COLLEAGUES, SALARIES, strict=True)),
        comparisons=(
            Comparison("Average", "float64", (Row("salary", average, float(np.mean(SALARIES))),), DIFFERENCE_MAX),
        ),
        facts=how,
        notes=("The comparison is made by this demo, which plays all three owners.",),
    )


def joint(session: tc.Session) -> Any:
    """The lazy average: integers are exact, their mean is fixed point."""
    a, b, c = (session.input(np.array(values), party=party) for party, values in enumerate(SALARIES))
    return tc.concat([a, b, c]).mean()
