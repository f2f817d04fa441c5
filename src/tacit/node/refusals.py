# SPDX-License-Identifier: Apache-2.0
"""What clients learn about a party's files from checks alone is counted, and ends at a public number.

Whether all values of a column fit a range is an answer about private values, and it costs the asker no run. So a client
that does not operate the party gets, for each of its files, the first range of each column that fits, and after it
`limits.refusals_max` more answers: refusals, and ranges narrower than one that fitted. Fits are counted like refusals,
because few refusals among many fits tell as much. A range that holds one known to fit tells nothing new and is free.

Of queries in SQL every different one counts as a column of each table that it reads: its first range is free, since
planning derives it, and what is refused counts for all of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tacit.errors import RoomError, TacitError
from tacit.plan import DType, Interval
from tacit.protocols.shares import U64Array
from tacit.session.datasets import parse_source
from tacit.session.sources import Inputs, Question, Sources, TableFacts, file_of, file_source, parse_query, split_input

log = logging.getLogger("tacit.node")

TELLING: Final = frozenset({"INPUT-005", "INPUT-006", "INPUT-007", "INPUT-020", "SQL-011", "SQL-012", "SQL-013"})
"""Refusals that depend on values: a wrong type, a missing value or NaN, a value out of range, an error in a query, rows
that occur twice, another type, another number of rows.
"""


@dataclass
class _Told:
    """What one client was told about one table: how many answers, the columns that fitted once, the known ranges."""

    answers: int = 0
    fitted: set[str] = field(default_factory=set)
    known: dict[tuple[str, DType], Interval] = field(default_factory=dict)


@dataclass
class _Ledger:
    """What one client was told, by file. One check at a time, so that none is answered before it is counted."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    files: dict[str, _Told] = field(default_factory=dict)


class Refusals:
    """The ledgers of all clients of one party, in its memory: gone when it is started again."""

    def __init__(self, sources: Sources, party: str, limit: int) -> None:
        self._sources = sources
        self._party = party
        self._limit = limit
        self._lock = threading.Lock()
        self._ledgers: dict[str, _Ledger] = {}

    def reset(self) -> None:
        """Forget what every client was told. May be called from a signal handler."""
        self._ledgers = {}

    def reader(self, client: str, inputs: Inputs) -> CountedInputs:
        """The party's data as this client's requests read it."""
        with self._lock:
            ledger = self._ledgers.setdefault(client, _Ledger())
        return CountedInputs(inputs, self._sources, self._party, client, ledger, self._limit)


class CountedInputs:
    """Reads as `Inputs`, and counts what its client learns by the answers."""

    def __init__(self, inputs: Inputs, sources: Sources, party: str, client: str, ledger: _Ledger, limit: int) -> None:
        """Made by `Refusals.reader`."""
        self._inputs = inputs
        self._sources = sources
        self._party = party
        self._client = client
        self._ledger = ledger
        self._limit = limit

    def describe(self, question: Question) -> TableFacts:
        """As `Inputs.describe`. Raises RoomError ROOM-019 for a table of which its client may learn no more."""
        with self._ledger.lock:
            told = self._told([question.source])
            self._check(told, question.source)
            try:
                return self._inputs.describe(question)
            except Exception as error:
                self._refused(told, question.source, error)
                raise

    def read(self, source: str, dtype: DType, interval: Interval) -> U64Array:
        """As `Inputs.read`. Raises RoomError ROOM-019 for a check whose answer is not known any more to be free."""
        tables, columns = _parts(source)
        what = ", ".join(file_of(table) or table for table in tables)
        with self._ledger.lock:
            told = self._told(tables)
            ranges = [t.known.get((c, dtype)) for t in told for c in columns]
            known = all(r is not None and r in interval for r in ranges)
            if not known:
                self._check(told, what)
            try:
                values = self._inputs.read(source, dtype, interval)
            except Exception as error:
                if known and _tells(error):
                    # The data has changed: nothing is known to fit any more.
                    for one in told:
                        one.known.clear()
                self._refused(told, what, error)
                raise
            if not known:
                for one in told:
                    if not one.fitted.isdisjoint(columns):
                        self._count(one, what, "learned that a narrower range fits")
                    one.fitted.update(columns)
                    for column in columns:
                        old = one.known.get((column, dtype))
                        one.known[column, dtype] = interval if old is None else _common(old, interval)
            return values

    def _told(self, tables: Sequence[str]) -> list[_Told]:
        keys = dict.fromkeys(self._sources.key(table) for table in tables)
        return [self._ledger.files.setdefault(key, _Told()) for key in keys]

    def _check(self, told: Sequence[_Told], what: str) -> None:
        if any(one.answers >= self._limit for one in told):
            log.warning("%s may learn no more about %s: refused", self._client, what)
            raise RoomError(
                "ROOM-019",
                f"client {self._client} may learn no more about the values of {what}",
                expected=f"at most {self._limit} refused or narrower ranges, and any range known to fit",
                party=self._party,
                next="declare a range that fitted before, or ask the party's operator to reset the count",
            )

    def _refused(self, told: Sequence[_Told], what: str, error: Exception) -> None:
        if _tells(error):
            code = error.code if isinstance(error, TacitError) else "a defect"
            for one in told:
                self._count(one, what, f"was refused with {code}")

    def _count(self, told: _Told, file: str, what: str) -> None:
        told.answers += 1
        log.warning("%s %s over %s: answer %d of %d", self._client, what, file, told.answers, self._limit)


def _tells(error: Exception) -> bool:
    """Whether an error may depend on values: of a defect nobody knows."""
    return not isinstance(error, TacitError) or error.code in TELLING


def _parts(source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tables that an input is made from, and what stands for its columns: of a query the whole of it."""
    split = split_input(source)
    if split is not None:
        return tuple(table for _, table in parse_query(split[1]).sources), (source,)
    file, columns, _ = parse_source(source)
    return (file_source(file, {}),), columns


def _common(old: Interval, new: Interval) -> Interval:
    low, high = max(old.lo, new.lo), min(old.hi, new.hi)
    # Apart: the file has changed since the old one fitted.
    return Interval(low, high) if low <= high else new
