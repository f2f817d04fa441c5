# SPDX-License-Identifier: Apache-2.0
"""Three hospitals count patients with rare diseases together, and compare the arms of a trial.

No hospital has enough of them to say anything; together they have, and what is still too small stays hidden: groups of
fewer than eleven patients are left out, and only how many such groups there are becomes known. Which hospital a patient
is in is no column of the table, so no result can tell.

The tables are synthetic and made here, from a fixed seed.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tacit.demos.outcome import Outcome
from tacit.demos.queries import Held, Pool, Query, asked
from tacit.demos.settings import Settings
from tacit.demos.stages import Stages

HOSPITALS: Final = ("coast_hospital", "hill_hospital", "town_hospital")
MIN_GROUP: Final = 11
PATIENTS: Final = Held("patients", "patients.parquet", HOSPITALS, min_group=MIN_GROUP)
ROWS: Final = (1_900, 2_600, 1_500)
DISEASES: Final = ("Fabry", "Gaucher", "Niemann-Pick", "Pompe", "Wilson", "other")
SHARES: Final = (0.02, 0.012, 0.003, 0.008, 0.015, 0.942)

QUERIES: Final = (
    Query(
        "Who could take part",
        "Adults with sound kidneys who are not in the trial yet, by disease.",
        "per disease with at least 11 such patients: how many, and their mean age",
        """\
SELECT disease, count(*) AS patients, round(avg(age), 1) AS mean_age
FROM patients
WHERE disease <> 'other' AND arm IS NULL AND age BETWEEN 18 AND 70 AND kidney >= 45
GROUP BY disease
ORDER BY disease""",
    ),
    Query(
        "What the treatment does",
        "Responders and mean change of the marker in each arm, by disease. A change that was not measured is NULL.",
        "per disease and arm with at least 11 patients: how many, how many responded and were measured, and the mean "
        "change",
        """\
SELECT disease, arm, count(*) AS patients, count(*) FILTER (responded) AS responders,
       count(change) AS measured, round(avg(change), 2) AS mean_change
FROM patients
WHERE arm IS NOT NULL
GROUP BY disease, arm
ORDER BY disease, arm""",
    ),
    Query(
        "Who has side effects",
        "All diseases together, by arm, sex and age.",
        "per arm, sex and group of age with at least 11 patients: how many, and how many had side effects",
        """\
SELECT arm, sex, CASE WHEN age < 40 THEN 'below 40' ELSE '40 and above' END AS years,
       count(*) AS patients, sum(side_effects) AS with_side_effects
FROM patients
WHERE arm IS NOT NULL
GROUP BY arm, sex, years
ORDER BY arm, sex, years""",
    ),
)


def tables() -> list[pa.Table]:
    """The patients of each hospital."""
    rng = np.random.default_rng(11)
    return [_patients(rng, rows) for rows in ROWS]


def _patients(rng: np.random.Generator, n: int) -> pa.Table:
    disease = rng.choice(len(DISEASES), n, p=SHARES)
    rare = disease < len(DISEASES) - 1
    enrolled = rare & (rng.random(n) < 0.5)
    treated = rng.random(n) < 0.5
    change = np.round(rng.normal(-4 * treated - 1, 6), 1)
    return pa.table(
        {
            "disease": np.array(DISEASES)[disease],
            "age": rng.integers(5, 90, n),
            "sex": rng.choice(["f", "m"], n),
            "kidney": rng.integers(20, 120, n),
            "arm": pa.array(np.where(treated, "treatment", "placebo"), mask=~enrolled),
            "responded": pa.array(change < -4, mask=~enrolled),
            "change": pa.array(change, mask=~enrolled | (rng.random(n) < 0.1)).cast(pa.decimal128(5, 1)),
            "side_effects": pa.array((rng.random(n) < 0.1 + 0.15 * treated).astype(np.int64), mask=~enrolled),
        }
    )


def run(settings: Settings, stages: Stages) -> Outcome:
    """Compute jointly, then compare."""
    with TemporaryDirectory() as root:
        homes = {hospital: Path(root) / hospital for hospital in HOSPITALS}
        for home, patients in zip(homes.values(), tables(), strict=True):
            home.mkdir()
            pq.write_table(patients, home / PATIENTS.file)
        questions, facts, _ = asked(settings, stages, homes, [PATIENTS], QUERIES)
        own = [Pool({PATIENTS.name: [home / PATIENTS.file]}) for home in homes.values()]
        alone = [sum(len(pool.answer(query, MIN_GROUP)[0]) for query in QUERIES) for pool in own]
    return Outcome(
        name="trial",
        title="Rare diseases in three hospitals",
        summary=f"Counts and means over {sum(ROWS):,} patients of three hospitals. Groups of fewer than {MIN_GROUP} "
        "patients stay hidden, and how many there were is told.",
        owners=tuple((name, f"{n:,} patients, in {PATIENTS.file}") for name, n in zip(HOSPITALS, ROWS, strict=True)),
        comparisons=(),
        facts=facts,
        notes=(
            "The tables are synthetic, made by this demo from a fixed seed; it plays all three hospitals.",
            f"By the same rule the hospitals could show {', '.join(map(str, alone[:-1]))} and {alone[-1]} of these "
            f"groups alone; together they show {sum(len(q.joint) for q in questions)}.",
        ),
        questions=questions,
    )
