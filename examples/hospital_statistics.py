# SPDX-License-Identifier: Apache-2.0
"""Three hospitals compare a treatment on all their patients; each reads its own CSV file.

Protected: every row, and every hospital's own totals. A file is read by its owner's process only.
Everyone learns: the number of patients and the mean recovery time in days, with and without treatment, over all three
hospitals, the spread of all recovery times, and how many rows each file has.
"""

import tempfile
from pathlib import Path

import numpy as np

import tacit as tc

HOSPITALS = ("north", "south", "west")
FILE = "recovery.csv"


def write_tables(root: Path) -> np.ndarray:
    """One directory with one file for each hospital; returns all rows, to check the answer (only an example can)."""
    rng = np.random.default_rng(1)
    every = []
    for name, n in zip(HOSPITALS, (40, 25, 60), strict=True):
        treated = rng.integers(0, 2, n)
        days = np.round(rng.normal(14 - 3 * treated, 2), 1).clip(1, 60)
        (root / name).mkdir()
        lines = ["treated,days", *(f"{t},{d}" for t, d in zip(treated, days, strict=True))]
        (root / name / FILE).write_text("\n".join(lines) + "\n")
        every.append(np.stack([treated, days], axis=1))
    return np.concatenate(every)


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        pooled = write_tables(Path(root))
        with tc.local(HOSPITALS, data={h: Path(root) / h for h in HOSPITALS}) as s:
            treated = tc.concat([s.load(FILE, h, "treated", range=(0, 1)) for h in HOSPITALS])
            days = tc.concat([s.load(FILE, h, "days", range=(0, 60)) for h in HOSPITALS])
            group = tc.stack([1 - treated, treated])  # [2, n], rows of zeros and ones
            count = group.sum(axis=1)
            mean = (group @ days) / count  # a secret division: the sums stay secret
            counts, means, spread = tc.reveal(count, mean, days.std(), purpose="treatment study")

    print(f"without treatment: {counts[0]} patients, {means[0]:.2f} days")
    print(f"with treatment:    {counts[1]} patients, {means[1]:.2f} days; spread of all {spread:.2f} days")

    t, d = pooled.T
    assert counts.tolist() == [np.sum(t == 0), np.sum(t == 1)]
    assert np.allclose(means, [d[t == 0].mean(), d[t == 1].mean()], atol=1e-3)
    assert abs(spread - d.std()) < 1e-3


if __name__ == "__main__":
    main()
