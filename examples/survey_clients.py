# SPDX-License-Identifier: Apache-2.0
"""Somebody who runs no party brings answers to a survey and alone receives the result.

Protected: every answer, also from the three computing parties: the client deals shares, each party gets one.
The client learns: the median of all answers and how many are above it. The parties learn nothing but the number of
answers: results come back as masked shares, which only the client can add up.
"""

import numpy as np

import tacit as tc

ANSWERS = np.array([7, 3, 9, 4, 4, 8, 10, 1, 6, 5, 7])


def main() -> None:
    with tc.local() as s:
        answers = s.input(ANSWERS, range=(0, 10), name="answers")  # no party=: the client keeps it and deals shares
        median = tc.sort(answers)[len(ANSWERS) // 2]  # sorted by a network: the order stays secret
        above = (answers > median).sum()
        result = tc.reveal(median, above, to=s.client, purpose="survey")

        print(*s.last.disclosures, sep="\n")
        print(f"median {result[0]}, {result[1]} answers above it")

        # Recipients are part of the plan: no reveal in it goes to a party.
        assert {d.audience for d in s.last.disclosures if d.kind == "reveal"} == {s.client}

    assert result[0] == np.median(ANSWERS)
    assert result[1] == np.sum(np.median(ANSWERS) < ANSWERS)


if __name__ == "__main__":
    main()
