# SPDX-License-Identifier: Apache-2.0
"""What a demo ends with: joint numbers beside pooled ones, and the facts of the run that gave the joint ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

EXACT: Final = 0.0

Rows = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Row:
    """One quantity, computed jointly and from the pooled plaintext. Differences are measured in units of `scale`."""

    label: str
    joint: float
    pooled: float
    scale: float = 1.0

    @property
    def difference(self) -> float:
        """Distance between the two, in units of `scale`."""
        return abs(self.joint - self.pooled) / self.scale


@dataclass(frozen=True)
class Comparison:
    """Quantities of one kind. `limit` is the largest difference the demo accepts, `unit` says in what."""

    title: str
    against: str
    rows: tuple[Row, ...]
    limit: float
    unit: str = ""
    headline: int = 4

    @property
    def largest(self) -> float:
        """The largest difference of all rows."""
        return max(row.difference for row in self.rows)

    @property
    def agrees(self) -> bool:
        """Whether every row is within the limit (a NaN is not)."""
        return all(row.difference <= self.limit for row in self.rows)


@dataclass(frozen=True)
class Curve:
    """A named polyline in the unit square, such as a ROC curve."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Facts:
    """How the joint numbers came about. `learned` is the list of disclosures in a few words, `disclosures` as the plan
    states it. `seconds` is the run alone; `processes` are operating-system process ids by
    party; `tls` is version and key-exchange group, or says that there was no wire; `protection` says what, besides the
    disclosures, the parties could see.
    """

    protocol: str
    network: str
    digest: str
    learned: tuple[str, ...]
    disclosures: tuple[str, ...]
    assumptions: tuple[str, ...]
    rounds: int
    bytes_total: int
    seconds: float
    processes: tuple[tuple[str, int], ...]
    tls: str
    protection: str


@dataclass(frozen=True)
class Question:
    """A query, the rows that it gave jointly, and those of one database with all tables.

    `hidden` is how many groups of fewer than `min_group` rows were left out, None without such a rule; `pooled_hidden`
    how many should have been. `facts` are of its run.
    """

    title: str
    why: str
    sql: str
    columns: tuple[str, ...]
    joint: Rows
    pooled: Rows
    facts: Facts
    min_group: int = 1
    hidden: int | None = None
    pooled_hidden: int | None = None

    @property
    def agrees(self) -> bool:
        """Whether every value and the order of the rows are the same."""
        return (self.joint, self.hidden) == (self.pooled, self.pooled_hidden)

    @property
    def found(self) -> str:
        """How much the result holds, in words."""
        rows = f"{len(self.joint):,} row{'' if len(self.joint) == 1 else 's'}"
        if self.hidden is None:
            return rows
        groups = f"{self.hidden:,} group{'' if self.hidden == 1 else 's'}"
        return f"{rows}, {groups} of fewer than {self.min_group} hidden"


@dataclass(frozen=True)
class Outcome:
    """A finished demo: `card` and `report` show it, `to_dict` is its JSON."""

    name: str
    title: str
    summary: str
    owners: tuple[tuple[str, str], ...]
    comparisons: tuple[Comparison, ...]
    facts: Facts
    notes: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()
    questions: tuple[Question, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether every comparison is within its limit, and every query gave what the pooled tables do."""
        return all(c.agrees for c in self.comparisons) and all(q.agrees for q in self.questions)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        facts = self.facts
        return {
            "demo": self.name,
            "title": self.title,
            "agrees": self.agrees,
            "owners": dict(self.owners),
            "comparisons": [
                {
                    "title": c.title,
                    "against": c.against,
                    "largest_difference": c.largest,
                    "limit": c.limit,
                    "unit": c.unit,
                    "agrees": c.agrees,
                    "rows": [{"label": r.label, "joint": r.joint, "pooled": r.pooled} for r in c.rows],
                }
                for c in self.comparisons
            ],
            "questions": [
                {
                    "title": q.title,
                    "sql": q.sql,
                    "columns": list(q.columns),
                    "rows": [list(map(cell, row)) for row in q.joint],
                    "agrees": q.agrees,
                    "hidden_groups": q.hidden,
                    "digest": q.facts.digest,
                }
                for q in self.questions
            ],
            "facts": {
                "protocol": facts.protocol,
                "network": facts.network,
                "digest": facts.digest,
                "disclosures": list(facts.disclosures),
                "assumptions": list(facts.assumptions),
                "rounds": facts.rounds,
                "bytes_total": facts.bytes_total,
                "seconds": facts.seconds,
                "processes": dict(facts.processes),
                "tls": facts.tls,
                "protection": facts.protection,
            },
            "notes": list(self.notes),
        }


def cell(value: Any) -> str:
    """A value of a table for people; NULL is empty, and whole numbers are left alone, as they may be names."""
    if value is None:
        return ""
    return number(value) if isinstance(value, float) else str(value)


def number(value: float, digits: int = 6) -> str:
    """A number for people: whole ones with thousands separators, others with `digits` significant digits."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.{digits}g}" if 1e-4 <= abs(value) < 1e9 else f"{value:.3g}"


def tls_words(tls: Mapping[str, str]) -> str:
    """Version and key-exchange group of what TLS negotiated; `none` where there was no wire."""
    if tls["version"] == "none":
        return "none"
    return f"{tls['version'].replace('TLSv', 'TLS ').replace('_', '.')}, {tls['group']}"


def size(count: int) -> str:
    """A number of bytes for people, in decimal units."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count} bytes"
