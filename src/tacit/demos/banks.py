# SPDX-License-Identifier: Apache-2.0
"""Three banks find payment patterns that run through all of them and that none sees alone.

The payments are those of the AMLSim sample; each account is with one of three banks, and each bank holds the payments
that leave its own accounts, so that every payment has one owner. The queries ask for accounts that collect small
amounts from many senders at other banks, and for money that comes back after two and after three payments, each from
one bank to another: three such payments touch all three banks, and no bank holds more than one of them.

To look for all paths of three payments would pair many with many. Here the second is the largest that its sender made
in the month, so each payment has at most one continuation, and the third is looked up by sender and receiver.

The sample says which accounts its simulator flagged. That is no input: it only shows, afterwards, that what the queries
find is worth finding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tacit.demos.outcome import Outcome, Rows
from tacit.demos.queries import Held, Pool, Query, asked
from tacit.demos.settings import Settings
from tacit.demos.stages import Stages

BANKS: Final = ("north_bank", "south_bank", "west_bank")
FILE: Final = "payments.parquet"
DATA: Final = Path(__file__).with_name("data") / "amlsim"
PAYMENTS: Final = Held("payments", FILE, BANKS)

FAN_IN: Final = Query(
    "Accounts that collect small amounts from several banks",
    "Many senders, amounts that nobody looks at, one receiver at another bank: each bank sees its own senders only.",
    "the accounts found, each with its number of senders and payments and the sum",
    """\
SELECT receiver, count(DISTINCT sender) AS senders, count(*) AS payments, sum(amount) AS total
FROM payments
WHERE amount < 100 AND to_bank <> bank
GROUP BY receiver
HAVING count(DISTINCT sender) >= 3
ORDER BY total DESC, receiver
LIMIT 100""",
)

BACK_AND_FORTH: Final = Query(
    "Money that comes straight back from another bank",
    "One bank holds the way there, another the way back. Both lie within ten days.",
    "the pairs of accounts found, with the first day of each direction and the sum of all payments between them",
    """\
SELECT *
FROM (SELECT least(sender, receiver) AS a, greatest(sender, receiver) AS b,
             min(CASE WHEN sender < receiver THEN day END) AS a_to_b,
             min(CASE WHEN sender > receiver THEN day END) AS b_to_a,
             sum(amount) AS total
      FROM payments
      WHERE to_bank <> bank
      GROUP BY ALL)
WHERE abs(a_to_b - b_to_a) <= 10
ORDER BY total DESC, a, b
LIMIT 100""",
)

ROUND_TRIP: Final = Query(
    "Money that comes back by way of three banks",
    "The second payment is the largest its sender made in the month, the third closes the circle. Each of the three "
    "leaves another bank.",
    "the circles of three accounts found, each with the number of ways and their sum",
    """\
WITH abroad AS (SELECT sender, receiver, amount, day, day // 30 AS month
                FROM payments
                WHERE to_bank <> bank),
onward AS (SELECT sender, receiver, amount, month
           FROM abroad
           QUALIFY row_number() OVER (PARTITION BY sender, month ORDER BY amount DESC, receiver) = 1),
closing AS (SELECT sender, receiver, sum(amount) AS amount, max(day) AS last
            FROM abroad
            GROUP BY sender, receiver)
SELECT one.sender AS a, one.receiver AS b, two.receiver AS c, count(*) AS ways,
       sum(one.amount + two.amount + three.amount) AS total
FROM abroad AS one
JOIN onward AS two ON two.sender = one.receiver AND two.month = one.month
JOIN closing AS three ON three.sender = two.receiver AND three.receiver = one.sender
WHERE three.last >= one.day
GROUP BY ALL
ORDER BY total DESC, a, b, c
LIMIT 100""",
)

QUERIES: Final = (FAN_IN, BACK_AND_FORTH, ROUND_TRIP)
_ACCOUNTS: Final = (1, 2, 3)
"""How many of the first columns of each result are accounts."""


def run(settings: Settings, stages: Stages) -> Outcome:
    """Compute jointly, then compare."""
    questions, facts, pool = asked(settings, stages, {b: DATA / b for b in BANKS}, [PAYMENTS], QUERIES)
    held: dict[str, int] = dict(pool.rows("SELECT bank, count(*) FROM payments GROUP BY bank"))
    return Outcome(
        name="banks",
        title="Money that runs through three banks",
        summary=f"Three questions in SQL about {sum(held.values()):,} payments, each of which one bank alone can see.",
        owners=tuple((bank, f"{held[bank]:,} payments that left its accounts, in {FILE}") for bank in BANKS),
        comparisons=(),
        facts=facts,
        notes=notes(pool, [q.joint for q in questions]),
        questions=questions,
    )


def notes(pool: Pool, results: list[Rows]) -> tuple[str, ...]:
    """What the results are worth: how many of the accounts were flagged, and how many one bank alone could find."""
    flagged = {account for (account,) in Pool({"flagged": [DATA / "flagged.parquet"]}).rows("FROM flagged")}
    every: set[int] = set()
    lines = [
        "The comparison is made by this demo, which plays all three owners. In a real room nobody holds all payments.",
        "Every payment has one owner here, the sender's bank. In reality the receiver's bank knows it too; a query "
        "would then count the sender's copy only.",
    ]
    for query, rows, accounts in zip(QUERIES, results, _ACCOUNTS, strict=True):
        found = {account for row in rows for account in row[:accounts]}
        every |= found
        lines.append(f"{query.title}: {len(found & flagged)} of {len(found)} accounts are flagged in the sample.")
    own = FAN_IN.text.replace("GROUP BY receiver", "GROUP BY receiver, bank")
    alone = {row[0] for row in pool.rows(own)}
    lines.append(f"Of the {len(results[0])} collecting accounts, {len(alone)} have as many senders at one bank.")
    lines.append(
        f"Together that is {len(every & flagged)} of the {len(flagged):,} accounts that the simulator flagged: three "
        "narrow questions, few false alarms, no complete search."
    )
    return tuple(lines)
