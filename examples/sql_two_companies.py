# SPDX-License-Identifier: Apache-2.0
"""An insurer and a garage ask in SQL what repairs cost by age of the car; neither shows its table.

Protected: every row of both tables, and which cars both know. The garage alone learns the answer: per age of at least
ten cars their number and the exact sum and mean of what was paid, and how many ages have fewer. Everyone learns the
numbers of rows, and types and ranges of the columns.
"""

from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa

import tacit as tc

QUERY = """
SELECT age, count(*) AS cars, sum(paid) AS paid, round(avg(paid), 2) AS mean
FROM repairs JOIN insured USING (plate)
WHERE paid >= 50
GROUP BY age
{rule}
ORDER BY age
"""


def tables() -> tuple[pa.Table, pa.Table]:
    """The garage's repairs and the insurer's cars: synthetic, each car once."""
    rng = np.random.default_rng(4)
    insured = pa.table({"plate": rng.permutation(1_000)[:700], "age": rng.integers(0, 16, 700)})
    paid = [Decimal(int(cents)).scaleb(-2) for cents in rng.lognormal(9, 1, 400)]
    return pa.table({"plate": rng.permutation(1_000)[:400], "paid": paid}), insured


def main() -> None:
    repairs, insured = tables()
    with tc.local(["garage", "insurer", "notary"]) as s:
        s.table("repairs", repairs, "garage", unique="plate")
        s.table("insured", insured, "insurer", unique="plate")
        frame = s.sql(QUERY.format(rule=""), min_group=10)
        print(frame.plan("garage").cost("lan"))
        answer = frame.reveal("garage", purpose="what repairs cost by age")
    for row in answer.table.to_pylist():
        print("{age:3} years: {cars:3} cars, {mean:8.2f} each".format_map(row))
    print(f"{answer.hidden_groups} ages have fewer than ten cars")

    # Only an example can check the answer: it has both tables.
    expected = duckdb.sql(QUERY.format(rule="HAVING count(*) >= 10")).fetchall()
    assert [tuple(row.values()) for row in answer.table.to_pylist()] == expected


if __name__ == "__main__":
    main()
