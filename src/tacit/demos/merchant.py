# SPDX-License-Identifier: Apache-2.0
"""A shop learns what kinds of customers buy what; its bank knows the customers, the shop what they bought.

Both name a customer by the same hash of an e-mail address, which neither shows to the other. What leaves are sums per
segment of customers, of no fewer than twenty each. A third party without data computes with them.

The tables are synthetic and made here, from a fixed seed.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tacit.demos.outcome import Outcome
from tacit.demos.queries import Held, Query, asked
from tacit.demos.settings import Settings
from tacit.demos.stages import Stages

SHOP, BANK, NOTARY = PARTIES = ("shop", "bank", "notary")
MIN_GROUP: Final = 20
PURCHASES: Final = Held("purchases", "purchases.parquet", (SHOP,), (("person", "category"),), MIN_GROUP)
CUSTOMERS: Final = Held("customers", "customers.parquet", (BANK,), ("person",))

PEOPLE: Final = 6_000
CUSTOMERS_SHARE: Final = 0.5
BUYERS_SHARE: Final = 0.4
CATEGORIES: Final = ("books", "garden", "sports", "travel")
SEGMENTS: Final = ("student", "family", "professional", "retired", "private banking")
SEGMENT_SHARES: Final = (0.2, 0.32, 0.3, 0.165, 0.015)
REGIONS: Final = ("coast", "hills", "plain")
BANDS: Final = ("below 30k", "30k to 60k", "above 60k")

QUERIES: Final = (
    Query(
        "How many customers both have",
        "What a campaign could reach at most.",
        "how many customers both have, and what they spent",
        """\
SELECT count(DISTINCT person) AS customers, sum(spent) AS spent
FROM purchases JOIN customers USING (person)""",
    ),
    Query(
        "What each segment spends on what",
        "The shop knows what was bought, the bank by whom. Each row of the shop is one person and one category, so a "
        "group counts people.",
        "per segment and category of at least 20 people: how many, their sum and their mean",
        """\
SELECT segment, category, count(*) AS people, sum(spent) AS spent, round(avg(spent), 2) AS mean
FROM purchases JOIN customers USING (person)
GROUP BY segment, category
ORDER BY segment, category""",
    ),
    Query(
        "Who travels",
        "One category, by region and income.",
        "per region and band of income of at least 20 people: how many travel, and what they spend",
        """\
SELECT region, income, count(*) AS people, sum(spent) AS spent
FROM purchases JOIN customers USING (person)
WHERE category = 'travel'
GROUP BY region, income
ORDER BY region, income""",
    ),
)


def tables() -> tuple[pa.Table, pa.Table]:
    """The shop's purchases of a quarter, one row per person and category, and the bank's customers."""
    rng = np.random.default_rng(20)
    people = np.array([hashlib.sha256(f"person{k}@example.org".encode()).hexdigest()[:14] for k in range(PEOPLE)])
    segment = rng.choice(len(SEGMENTS), PEOPLE, p=SEGMENT_SHARES)
    customers = np.flatnonzero(rng.random(PEOPLE) < CUSTOMERS_SHARE)
    bank = pa.table(
        {
            "person": people[customers],
            "segment": np.array(SEGMENTS)[segment[customers]],
            "region": rng.choice(REGIONS, len(customers), p=(0.6, 0.35, 0.05)),
            "income": np.array(BANDS)[np.clip(segment[customers] // 2 + rng.integers(-1, 2, len(customers)), 0, 2)],
        }
    )
    buys = (rng.random((PEOPLE, 1)) < BUYERS_SHARE) & (rng.random((PEOPLE, len(CATEGORIES))) < 0.45)
    who, what = np.nonzero(buys)
    cents = np.round(rng.lognormal(7.5 + 0.3 * segment[who] + 0.4 * what, 0.8)).astype(np.int64)
    shop = pa.table(
        {
            "person": people[who],
            "category": np.array(CATEGORIES)[what],
            "spent": pa.array([Decimal(c).scaleb(-2) for c in cents.tolist()], pa.decimal128(9, 2)),
        }
    )
    return shop, bank


def run(settings: Settings, stages: Stages) -> Outcome:
    """Compute jointly, then compare."""
    shop, bank = tables()
    with TemporaryDirectory() as root:
        homes = {party: Path(root) / party for party in PARTIES}
        for home in homes.values():
            home.mkdir()
        pq.write_table(shop, homes[SHOP] / PURCHASES.file)
        pq.write_table(bank, homes[BANK] / CUSTOMERS.file)
        questions, facts, _ = asked(settings, stages, homes, [PURCHASES, CUSTOMERS], QUERIES)
    return Outcome(
        name="merchant-bank",
        title="What a bank's customers buy in a shop",
        summary="A shop's purchases and a bank's customers, joined by a hash that neither shows. Sums per group of at "
        f"least {MIN_GROUP} people leave: no purchase, no customer, and not who is in both.",
        owners=(
            (SHOP, f"{shop.num_rows:,} rows: person, category, spent"),
            (BANK, f"{bank.num_rows:,} rows: person, segment, region, income"),
            (NOTARY, "no rows; it computes with the two"),
        ),
        comparisons=(),
        facts=facts,
        notes=(
            "The tables are synthetic, made by this demo from a fixed seed; it plays all three parties.",
            f"A group of fewer than {MIN_GROUP} people is left out, and everyone learns how many were. What several "
            "queries tell together, no rule on single groups can bound.",
        ),
        questions=questions,
    )
