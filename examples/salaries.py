# SPDX-License-Identifier: Apache-2.0
"""Six people learn their average salary, and nobody learns a salary.

Protected: every salary. Each of three parties splits its own into shares, so no party ever holds another one's.
Everyone learns: the average, and how many salaries each party brought.
Nobody is protected from the average itself: of two people it would tell each the other's salary.
"""

import numpy as np

import tacit as tc

SALARIES = [[52_000, 61_500], [48_200, 75_000], [58_900, 66_100]]


def main() -> None:
    with tc.local() as s:
        shared = [s.input(np.array(own), party=p, range=(0, 500_000)) for p, own in enumerate(SALARIES)]
        mean = tc.concat(shared).mean()

        plan = s.plan_of(mean, purpose="average salary")
        print("Before anything runs, the plan says what it would disclose:")
        print(*plan.disclosures(), sep="\n")

        average = mean.reveal(purpose="average salary")
        print(f"\naverage {average:,.2f}")

    assert abs(average - np.mean(SALARIES)) < 0.01


if __name__ == "__main__":
    main()
