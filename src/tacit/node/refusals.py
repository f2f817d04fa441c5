# SPDX-License-Identifier: Apache-2.0
"""What clients learn about a party's files from checks alone is counted, and ends at a public number.

Whether all values of a column fit a range is an answer about private values, and it costs the asker no run. So a client
that does not operate the party gets, for each of its files, the first range of each column that fits, and after it
`limits.refusals_max` more answers: refusals, and ranges narrower than one that fitted. Fits are counted like refusals,
because few refusals among many fits tell as much. A range that holds one known to fit tells nothing new and is free.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Final

from tacit.errors import InputError, RoomError
from tacit.plan import DType, Interval
from tacit.protocols.shares import U64Array
from tacit.session.datasets import Datasets, parse_source

log = logging.getLogger("tacit.node")

TELLING: Final = frozenset({"INPUT-005", "INPUT-006", "INPUT-007"})
"""Refusals that depend on values: a wrong type, a missing value or NaN, a value out of range."""


@dataclass
class _Told:
    """What one client was told about one file: how many answers, the columns that fitted once, the known ranges."""

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

    def __init__(self, datasets: Datasets, party: str, limit: int) -> None:
        self._datasets = datasets
        self._party = party
        self._limit = limit
        self._lock = threading.Lock()
        self._ledgers: dict[str, _Ledger] = {}

    def reset(self) -> None:
        """Forget what every client was told. May be called from a signal handler."""
        self._ledgers = {}

    def reader(self, client: str) -> CountedReader:
        """The party's files as this client's proposals read them."""
        with self._lock:
            ledger = self._ledgers.setdefault(client, _Ledger())
        return CountedReader(self._datasets, self._party, client, ledger, self._limit)


class CountedReader:
    """Reads files as `Datasets.read`, and counts what its client learns by the answers."""

    def __init__(self, datasets: Datasets, party: str, client: str, ledger: _Ledger, limit: int) -> None:
        """Made by `Refusals.reader`."""
        self._datasets = datasets
        self._party = party
        self._client = client
        self._ledger = ledger
        self._limit = limit

    def read(self, source: str, dtype: DType, interval: Interval) -> U64Array:
        """As `Datasets.read`. Raises RoomError ROOM-019 for a check whose answer is not known any more to be free."""
        file, columns, _ = parse_source(source)
        with self._ledger.lock:
            told = self._ledger.files.setdefault(self._datasets.key(file), _Told())
            ranges = [told.known.get((c, dtype)) for c in columns]
            known = all(r is not None and r in interval for r in ranges)
            if told.answers >= self._limit and not known:
                log.warning("%s may learn no more about %s: refused", self._client, file)
                raise RoomError(
                    "ROOM-019",
                    f"client {self._client} may learn no more about the values of {file}",
                    expected=f"at most {self._limit} refused or narrower ranges, and any range known to fit",
                    party=self._party,
                    next="declare a range that fitted before, or ask the party's operator to reset the count",
                )
            try:
                values = self._datasets.read(source, dtype, interval)
            except InputError as error:
                if error.code in TELLING:
                    if known:
                        # The file has changed: nothing is known to fit any more.
                        told.known.clear()
                    self._count(told, file, f"was refused with {error.code}")
                raise
            if not known:
                if not told.fitted.isdisjoint(columns):
                    self._count(told, file, "learned that a narrower range fits")
                told.fitted.update(columns)
                for column, old in zip(columns, ranges, strict=True):
                    told.known[column, dtype] = interval if old is None else _common(old, interval)
            return values

    def _count(self, told: _Told, file: str, what: str) -> None:
        told.answers += 1
        log.warning("%s %s over %s: answer %d of %d", self._client, what, file, told.answers, self._limit)


def _common(old: Interval, new: Interval) -> Interval:
    low, high = max(old.lo, new.lo), min(old.hi, new.hi)
    # Apart: the file has changed since the old one fitted.
    return Interval(low, high) if low <= high else new
