# SPDX-License-Identifier: Apache-2.0
"""What docs/sql shows of queries, made by running and planning them: `python -m sql.pages docs/sql` writes it anew.

Pages are written by hand, but for what stands between one of these lines and `<!-- end -->`:

* `<!-- result -->`: the answer to the block of SQL above it;
* `<!-- explain -->`: what `SecretFrame.explain` says of it, `<!-- tree -->`: its first part;
* `<!-- costs -->`: rounds, bytes and openings of the page's queries in `COSTS`, from plans for tables of two sizes;
* `<!-- adds -->`: what expressions add to the cost of a query.

The tables are those of the program in docs/sql/index.md. support.md is generated wholly, by support.py.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

import tacit as tc
from sql import support
from tacit.engine.estimate import CostReport, PricedPlan
from tacit.session.query import SecretFrame
from tacit.session.session import Session

FOLDER: Final = Path(__file__).parents[2] / "docs" / "sql"
SIZES: Final = (1_000, 100_000)
BLOCK: Final = re.compile(r"<!-- (result|explain|tree|costs|adds) -->\n.*?<!-- end -->", re.DOTALL)
SQL: Final = re.compile(r"```sql\n(.*?)```", re.DOTALL)
PROGRAM: Final = re.compile(r"```python\n(.*?)```", re.DOTALL)

COSTS: Final[dict[str, dict[str, str]]] = {
    "joins": {
        "one side unique": "SELECT region, amount FROM sales JOIN customers ON customer = id",
        "one side unique, outer": "SELECT region, amount FROM sales LEFT JOIN customers ON customer = id",
        "both sides unique": "SELECT region, points FROM customers JOIN cards USING (id)",
        "full": "SELECT region, amount FROM sales FULL JOIN customers ON customer = id",
        "semi, anti": "SELECT region FROM customers WHERE id IN (SELECT customer FROM sales)",
        "then aggregated, no side unique":
            "SELECT category, sum(amount) FROM sales JOIN cards ON category = kind GROUP BY category",
    },
    "aggregation": {
        "no keys": "SELECT count(*), sum(amount), avg(amount) FROM sales",
        "least, largest": "SELECT min(amount), max(amount) FROM sales",
        "keys of few values": "SELECT channel, count(*), sum(amount) FROM sales GROUP BY channel",
        "other keys": "SELECT customer, count(*), sum(amount) FROM sales GROUP BY customer",
        "AVG": "SELECT customer, avg(amount) FROM sales GROUP BY customer",
        "AVG beside COUNT": "SELECT customer, count(*), avg(amount) FROM sales GROUP BY customer",
        "MIN, MAX": "SELECT customer, min(amount) FROM sales GROUP BY customer",
        "COUNT(DISTINCT)": "SELECT category, count(DISTINCT customer) FROM sales GROUP BY category",
        "MEDIAN": "SELECT category, median(amount) FROM sales GROUP BY category",
        "VAR": "SELECT category, var_samp(amount) FROM sales GROUP BY category",
    },
    "windows": {
        "ROW_NUMBER": "SELECT amount, row_number() OVER (PARTITION BY customer ORDER BY day) FROM sales",
        "LAG": "SELECT amount - lag(amount) OVER (PARTITION BY customer ORDER BY day) FROM sales",
        "running SUM": "SELECT sum(amount) OVER (PARTITION BY customer ORDER BY day) FROM sales",
        "running MAX": "SELECT max(amount) OVER (PARTITION BY customer ORDER BY day) FROM sales",
        "SUM of the partition": "SELECT amount, sum(amount) OVER (PARTITION BY customer) FROM sales",
    },
    "order": {
        "ORDER BY": "SELECT amount FROM sales ORDER BY amount DESC",
        "ORDER BY, two keys": "SELECT customer, amount FROM sales ORDER BY customer, amount",
        "ORDER BY, LIMIT 10": "SELECT amount FROM sales ORDER BY amount DESC LIMIT 10",
        "LIMIT 10": "SELECT amount FROM sales LIMIT 10",
    },
    "sets": {
        "DISTINCT": "SELECT DISTINCT customer FROM sales",
        "UNION ALL": "SELECT customer FROM sales UNION ALL SELECT id FROM customers",
        "UNION": "SELECT customer FROM sales UNION SELECT id FROM customers",
        "INTERSECT": "SELECT customer FROM sales INTERSECT SELECT id FROM customers",
        "EXCEPT ALL": "SELECT customer FROM sales EXCEPT ALL SELECT id FROM customers",
    },
    "subqueries": {
        "IN": "SELECT id FROM customers WHERE id IN (SELECT customer FROM sales)",
        "NOT EXISTS": "SELECT id FROM customers WHERE NOT EXISTS (FROM sales WHERE customer = id)",
        "EXISTS with <>": "SELECT id FROM customers WHERE EXISTS (FROM sales WHERE customer = id AND amount <> income)",
        "scalar": "SELECT id FROM customers WHERE income > (SELECT avg(amount) FROM sales)",
        "scalar, correlated": "SELECT id, (SELECT sum(amount) FROM sales WHERE customer = id) FROM customers",
    },
    "homes": {
        "one party alone": "SELECT region, avg(income) FROM customers GROUP BY region",
        "filtered at home, then joined":
            "SELECT sum(amount) FROM sales JOIN customers ON customer = id WHERE income > 5000",
        "aggregated at home, then joined":
            "SELECT count(*) FROM customers JOIN (SELECT id AS k, max(points) AS m FROM cards GROUP BY id) ON id = k"
            " WHERE m > income",
    },
    "matching": {
        "size of the intersection": "SELECT count(*) FROM customers SEMI JOIN sales ON customer = id",
        "sum over the intersection": "SELECT sum(amount) FROM sales SEMI JOIN customers ON customer = id",
        "rows of the intersection": "SELECT id, region FROM customers SEMI JOIN sales ON customer = id",
    },
}  # fmt: skip
"""Of each page the queries whose cost it shows."""

ADDS: Final = (
    "amount + income", "amount * income", "amount > income", "amount = income", "income BETWEEN 10 AND amount",
    "CASE WHEN amount > income THEN amount END", "greatest(amount, income)", "amount / (income + 1)",
    "income // (customer + 1)", "round(amount * income)", "year(day + income)", "sqrt(amount)",
)  # fmt: skip
BASE: Final = "SELECT {} FROM sales JOIN customers ON customer = id"

OPENINGS: Final = {
    "comparisons between randomly shuffled rows": "how shuffled rows compare",
    "where a random shuffle puts": "where a shuffle puts rows",
}
"""Words of a disclosure for what an operation opens, and those of the tables."""


def example() -> Session:
    """The session that the program in index.md leaves open."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(program(), names)
    session: Session = names["s"]
    return session


def program() -> str:
    """The first program of docs/sql/index.md, with whose session the others are run."""
    found = PROGRAM.search((FOLDER / "index.md").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


@contextmanager
def sized(rows: int) -> Iterator[Session]:
    """A session with so many rows in each table, for costs: nothing is run."""
    # Both ends of each range occur, so that ranges do not depend on the number of rows but where they are meant to.
    k = np.arange(rows)
    sales = pa.table(
        {
            "customer": k,
            "amount": pa.array(k % 8192, pa.int64()),
            "channel": k % 3,
            "category": [("books", "bread", "shoes", "tools")[j % 4] for j in range(rows)],
            "day": pa.array(18262 + k % 700, pa.int32()).cast(pa.date32()),
        }
    )
    with tc.local(("bank", "north", "south"), transport="memory") as s:
        regions = [f"r{j % 9}" for j in range(rows)]
        s.table("customers", {"id": k, "region": regions, "income": k % 8192}, party="bank", unique="id")
        cards = {"id": k, "points": k % 100, "kind": [("books", "bread")[j % 2] for j in range(rows)]}
        s.table("cards", cards, party="north", unique="id")
        s.table("sales", {"north": sales.slice(0, rows // 2), "south": sales.slice(rows // 2)})
        yield s


# --- blocks ---------------------------------------------------------------------------------------------------------


def result(frame: SecretFrame) -> str:
    """The answer as a table."""
    table = frame.reveal().table
    lines = [f"| {' | '.join(table.column_names)} |", "|" + "---|" * table.num_columns]
    for row in zip(*(c.to_pylist() for c in table.columns), strict=True):
        lines.append(f"| {' | '.join('NULL' if v is None else str(v) for v in row)} |")
    return "\n".join(lines)


def explain(frame: SecretFrame) -> str:
    """The plan in words, without what is a matter of the machine; columns are numbered from 1."""
    numbers: dict[str, str] = {}
    text = re.sub(r", about .*? on loopback", "", frame.explain())
    text = re.sub(r"(?<=\w)#\d+\b", lambda m: numbers.setdefault(m[0], f"#{len(numbers) + 1}"), text)
    return re.sub(r"plan [0-9a-f]+$", "", text).rstrip()


def fenced(text: str) -> str:
    """A block of text."""
    return f"```text\n{text.rstrip()}\n```"


def costs(queries: dict[str, str]) -> str:
    """A row for each query."""
    plans: dict[str, list[PricedPlan]] = {name: [] for name in queries}
    for size in SIZES:
        with sized(size) as s:
            for name, text in queries.items():
                plans[name].append(s.sql(text).plan())
    sizes = [f"{size:,} rows: rounds | kB a row" for size in SIZES]
    lines = [f"| | Query | {' | '.join(sizes)} | opens |", "|---" * (3 + 2 * len(SIZES)) + "|"]
    for name, made in plans.items():
        cells = [f"{c.rounds} | {_kilo(c, n)}" for c, n in zip((p.cost() for p in made), SIZES, strict=True)]
        lines.append(f"| {name} | `{queries[name]}` | {' | '.join(cells)} | {_openings(made[-1])} |")
    return "\n".join(lines)


def adds() -> str:
    """What an expression costs beside a query that has its operands, a row."""
    rows = SIZES[0]
    lines = ["| Expression | rounds | bytes a row |", "|---|---|---|"]
    with sized(rows) as s:
        columns = "customer, amount, income, day"
        base = s.sql(BASE.format(columns)).plan().cost()
        for text in ADDS:
            cost = s.sql(BASE.format(f"{columns}, {text}")).plan().cost()
            more = (cost.bytes_total - base.bytes_total) / rows
            lines.append(f"| `{text}` | {cost.rounds - base.rounds} | {more:,.0f} |")
    return "\n".join(lines)


def _kilo(cost: CostReport, rows: int) -> str:
    return f"{cost.bytes_total / rows / 1000:.2g}" if cost.bytes_total else "0"


def _openings(plan: PricedPlan) -> str:
    found = {
        words for d in plan.disclosures() if d.kind == "opening" for key, words in OPENINGS.items() if key in d.what
    }
    assert bool(found) == any(d.kind == "opening" for d in plan.disclosures())
    return ", ".join(sorted(found)) or "nothing"


def filled(page: Path) -> str:
    """A page with its blocks made anew."""
    text = page.read_text(encoding="utf-8")

    def block(found: re.Match[str]) -> str:
        kind = found[1]
        if kind in ("costs", "adds"):
            made = costs(COSTS[page.stem]) if kind == "costs" else adds()
        else:
            # A session of its own, so that names of inputs do not depend on what was asked before.
            with example() as session:
                frame = session.sql(SQL.findall(text[: found.start()])[-1])
                made = result(frame) if kind == "result" else fenced(explain(frame).partition(_UNTIL[kind])[0])
        return f"<!-- {kind} -->\n{made}\n<!-- end -->"

    return BLOCK.sub(block, text)


_UNTIL: Final = {"tree": "\ncost:", "explain": "\0"}


def pages() -> dict[str, str]:
    """All pages of docs/sql as they should be, by file name."""
    made = {p.name: filled(p) for p in sorted(FOLDER.glob("*.md")) if p.name != "support.md"}
    return made | {"support.md": support.page()}


def main(folder: Path) -> None:
    """Write the pages."""
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
