# SPDX-License-Identifier: Apache-2.0
"""A differential fuzzer: random tables and random queries, answered by a session and by DuckDB over the pooled tables.

`make fuzz-sql` runs many cases, and reduces those that fail. Whatever DuckDB refuses is drawn again, so a case is valid
by construction. Rows are compared as a multiset unless the query orders them by all of its columns.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import repeat
from multiprocessing import get_context
from typing import Any, Final, Literal

import duckdb
import sqlglot
from sqlglot import exp

import tacit
from sql.random_queries import LEAST, Maker, swarm
from sql.random_tables import Held, tables
from tacit.errors import InputError, SqlError, TacitError

GROUP: Final = 8
"""Seeds that share their tables, so that registering them is paid once."""
RENEW: Final = 200
"""Cases after which a session is replaced by a new one."""
ALLOWED: Final = frozenset(["SQL-006", "SQL-008", "SQL-010", "SQL-014", "SQL-015"])
"""Refusals that say what is not supported, or has no room: counted, not failures."""
REFUSED_MAX: Final = 0.15

Verdict = Literal["same", "refused", "differs", "crash"]


@dataclass(frozen=True)
class Case:
    """Tables and a query over them; `ordered` if its rows have an order."""

    tables: tuple[Held, ...]
    query: str
    ordered: bool = False
    reveals: tuple[str, ...] = ()
    min_group: int = 1
    groups: str = ""
    """The groups of which small ones are hidden, with a place for the condition that says so."""

    @property
    def least(self) -> int:
        """The fewest rows of a group that is shown."""
        return max([self.min_group, *(t.min_group for t in self.tables)])


def case(seed: int) -> Case:
    """The case of a seed: the first query that DuckDB takes."""
    held = tables(seed // GROUP)
    pooled = pool(held)
    rng = random.Random(f"features {seed}")
    features = swarm(rng)
    reveals = ("join_size",) if rng.random() < 0.3 else ()
    min_group = max(rng.choice((2, 2, 3, 4)) if rng.random() < 0.08 else 1, *(t.min_group for t in held))
    for attempt in itertools.count():
        maker = Maker(random.Random(f"query {seed} {attempt}"), held, features, min_group > 1)
        text, ordered = maker.statement()
        try:
            for part in (*maker.parts, text):
                pooled.execute(part).fetchall()
        except duckdb.Error:
            continue
        return Case(held, text, ordered, reveals, min_group, maker.groups)
    raise AssertionError


@lru_cache(4)
def pool(held: tuple[Held, ...]) -> Any:
    """DuckDB with all rows of the tables."""
    database = duckdb.connect(config={"threads": 1})
    # Division by zero is NULL: an error would tell that there is a zero, and fixed point has no infinity.
    database.execute("SET ieee_floating_point_ops = false; SET error_on_division_by_zero = false")
    for table in held:
        database.register(f"{table.name}_rows", table.rows)
        database.execute(f"CREATE TABLE {table.name} AS SELECT * FROM {table.name}_rows")
    return database


# --- comparison -----------------------------------------------------------------------------------------------------


class Bench:
    """A session that answers cases, replaced now and then because a session remembers all its tables."""

    def __init__(self, protocol: str = "plain") -> None:
        self.protocol = protocol
        self._session: Any = None
        self._used = 0
        self._held: tuple[Held, ...] = ()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.__exit__(None, None, None)

    def session(self, held: tuple[Held, ...]) -> Any:
        """A session with these tables."""
        self._used += 1
        if self._session is None or self._used > RENEW:
            self.__exit__()
            self._session, self._used, self._held = tacit.local(transport="memory", protocol=self.protocol), 0, ()
            self._session.__enter__()
        if held is not self._held:
            for table in held:
                table.register(self._session)
            self._held = held
        return self._session

    def check(self, case: Case) -> tuple[Verdict, str]:
        """What comes of a case, and in words what is wrong."""
        pooled = pool(case.tables)
        described = pooled.execute(f"DESCRIBE {case.query}").fetchall()
        query, small = case.query, 0
        if case.least > 1:
            query = _with(query, f"(count(*) >= {case.least})")
        if case.groups:
            groups = _with(case.groups, f"(count(*) < {case.least})")
            [(small,)] = pooled.execute(f"SELECT count(*) FROM ({groups})").fetchall()
        expected = pooled.sql(query).to_arrow_table()
        try:
            session = self.session(case.tables)
            frame = session.sql(case.query, reveals=case.reveals, min_group=case.min_group)
            answer = frame.reveal()
            table = answer.table
        except SqlError as error:
            return ("refused" if error.code in ALLOWED else "crash"), f"{error.code} {error.what}"
        except InputError as error:
            # An owner computes narrow integers for all its rows, also for those that the answer does not have.
            return "refused" if "OutOfRange" in str(error) else "crash", f"{error.code} {error.what}"
        except TacitError as error:
            return "crash", f"{type(error).__name__} {error}"
        except Exception as error:  # noqa: BLE001 (whatever it is, it is reported)
            last = traceback.extract_tb(error.__traceback__)[-1]
            return "crash", f"{type(error).__name__} {error} in {last.filename.rpartition('/')[2]}:{last.lineno}"
        schema = [(str(n), str(k).strip('"')) for n, k, *_ in described]
        if [_loose(n) for n, _ in schema] != [_loose(n) for n in frame.names]:
            return "differs", f"names {list(frame.names)}, not {[n for n, _ in schema]}"
        if [k for _, k in schema] != [k for _, k in frame.schema]:
            return "differs", f"types {[k for _, k in frame.schema]}, not {[k for _, k in schema]}"
        if table.schema.types != expected.schema.types:
            return "differs", f"arrow types {table.schema.types}, not {expected.schema.types}"
        rows, wanted = (list(zip(*(c.to_pylist() for c in t.columns), strict=True)) for t in (table, expected))
        if not alike(rows, wanted, case.ordered):
            return "differs", f"rows {rows}, not {wanted}"
        if case.groups and answer.hidden_groups != small:
            return "differs", f"hidden groups {answer.hidden_groups}, not {small}"
        return "same", ""


def _with(query: str, condition: str) -> str:
    """A query with a condition on groups in its place."""
    if LEAST not in query:
        raise ValueError("no place for the condition")
    return query.replace(LEAST, condition)


def alike(rows: list[Any], expected: list[Any], ordered: bool) -> bool:
    """Whether two answers are the same, as multisets unless they have an order."""
    if len(rows) != len(expected):
        return False
    expected = [tuple(map(_plain, row)) for row in expected]
    if not ordered:
        rows, expected = sorted(rows, key=_order), sorted(expected, key=_order)
    return all(all(map(_close, a, b)) for a, b in zip(rows, expected, strict=True))


def _order(row: tuple[Any, ...]) -> tuple[list[str], list[str], list[float]]:
    # Doubles last and rounded: they may differ in their last places. Where they are tells them from NULL. Of those that
    # look the same, the nearest meet.
    exact = ["double" if isinstance(x, float) else repr(x) for x in row]
    doubles = [x for x in row if isinstance(x, float)]
    return exact, [f"{x + 0.0:.2f}" for x in doubles], doubles


def _plain(x: Any) -> Any:
    """Without correlations and slopes that there are not: fixed point has no value for that, and says NULL."""
    return None if isinstance(x, float) and math.isnan(x) else x


def _loose(name: str) -> str:
    """A name but for what DuckDB repeats as it was typed: case, and an order that is the default."""
    return name.lower().replace(" nulls last", "").replace(" asc", "")


def _close(x: Any, y: Any) -> bool:
    if isinstance(x, float) and isinstance(y, float):
        # 18 fractional bits, less what squares and quotients of them lose.
        return x == y or math.isclose(x, y, rel_tol=1e-9, abs_tol=2**-12)
    return type(x) is type(y) and x == y


# --- reduction ------------------------------------------------------------------------------------------------------


def reduce(bench: Bench, failing: Case, verdict: Verdict, what: str) -> Case:
    """A smaller case that fails in the same way: clauses, expressions and rows are left out while it does."""

    def fails(candidate: Case) -> bool:
        try:
            found, words = bench.check(candidate)
        except (duckdb.Error, ValueError):
            return False
        return found == verdict and words.split()[:1] == what.split()[:1]

    tree = sqlglot.parse_one(failing.query, read="duckdb")
    best = replace(failing, query=tree.sql("duckdb"), ordered=False)
    if not fails(best):
        return failing
    while smaller := next((c for c in _smaller(best) if len(c.query) < len(best.query) and fails(c)), None):
        best = smaller
    used = {t.name for t in sqlglot.parse_one(best.query, read="duckdb").find_all(exp.Table)}
    best = replace(best, tables=tuple(t for t in best.tables if t.name in used))
    for table in best.tables:
        for row in reversed(range(len(table.owner))):
            now = next(t for t in best.tables if t.name == table.name)
            less = replace(best, tables=tuple(t.without(row) if t is now else t for t in best.tables))
            best = less if fails(less) else best
    return best


def _smaller(best: Case) -> Iterator[Case]:
    tree = sqlglot.parse_one(best.query, read="duckdb")
    count = len(list(tree.walk()))
    for at in range(count):
        for variant in range(8):
            copy = tree.copy()
            node = list(copy.walk())[at]
            children = [c for c in node.iter_expressions() if isinstance(c, exp.Expression)]
            if variant == 0 and node.parent is not None:
                node.pop()
            elif 0 < variant <= len(children) and node.parent is not None:
                node.replace(children[variant - 1].copy())
            elif 0 < variant <= len(children) and isinstance(children[variant - 1], exp.Query):
                copy = children[variant - 1].copy()
            else:
                continue
            try:
                yield replace(best, query=copy.sql("duckdb"))
            except (sqlglot.errors.SqlglotError, AttributeError, LookupError, TypeError, ValueError):
                continue  # A tree with a hole that has no text.


# --- many cases -----------------------------------------------------------------------------------------------------


@dataclass
class Summary:
    """What came of many cases."""

    counts: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, Verdict, str]] = field(default_factory=list)

    @property
    def refused(self) -> float:
        """The share of cases that were refused."""
        return self.counts["refused"] / max(1, sum(self.counts.values()))

    def add(self, other: Summary) -> None:
        """Take in what came of further cases."""
        self.counts += other.counts
        self.refusals += other.refusals
        self.failures += other.failures


def run(seeds: Sequence[int], protocol: str) -> Summary:
    """Check the cases of all seeds."""
    out = Summary()
    with Bench(protocol) as bench:
        for seed in seeds:
            drawn = case(seed)
            verdict, what = bench.check(drawn)
            out.counts[verdict] += 1
            if verdict == "refused":
                out.refusals[re.sub(r"[0-9]+.*", "", what[7:])] += 1
            elif verdict != "same":
                out.failures.append((seed, verdict, what))
    return out


BLOCK: Final = 100
"""Seeds that a process checks before it tells how far it is."""


def run_all(seeds: Sequence[int], protocol: str, jobs: int) -> Summary:
    """`run` in so many processes, telling how far they are."""
    out = Summary()
    blocks = [seeds[k : k + BLOCK] for k in range(0, len(seeds), BLOCK)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done, made in enumerate(pool.map(run, blocks, repeat(protocol)), start=1):
            out.add(made)
            say(f"{done} of {len(blocks)} blocks: {dict(out.counts)}")
            for seed, verdict, what in made.failures:
                say(f"seed {seed}: {verdict}: {what[:300]}")
    return out


def show(case: Case) -> str:
    """A case as text."""
    lines = [
        f"{t.name}: {t.rows.to_pydict()} {[str(k) for k in t.rows.schema.types]} owner={t.owner} unique={t.unique} "
        f"bound={t.bound} parties={t.parties} layouts={t.layouts} across={t.across} min_group={t.min_group}"
        for t in case.tables
    ]
    return "\n".join([*lines, f"reveals={case.reveals} min_group={case.min_group}", case.query])


def say(text: str) -> None:
    """Write a line at once, so that long runs can be watched."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:1000", help="FIRST:END")
    parser.add_argument("--protocol", default="plain", choices=["plain", "rep3"])
    parser.add_argument("--only", default="", help="seeds to check, with commas")
    parser.add_argument("--no-reduce", action="store_true", help="show failures as they are")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    first, end = map(int, options.seeds.split(":"))
    seeds = [int(s) for s in options.only.split(",")] if options.only else range(first, end)
    out = run_all(seeds, options.protocol, options.jobs)
    with Bench(options.protocol) as bench:
        for seed, verdict, what in out.failures:
            drawn = case(seed)
            smaller = drawn if options.no_reduce else reduce(bench, drawn, verdict, what)
            say(f"--- seed {seed}: {verdict}: {bench.check(smaller)[1] or what}\n{show(smaller)}\n")
    for what, count in out.refusals.most_common(12):
        say(f"{count:5} {what}")
    say(str(dict(out.counts)) + f", {100 * out.refused:.1f} % refused")
    return 1 if out.failures or out.refused > REFUSED_MAX else 0


if __name__ == "__main__":
    sys.exit(main())
