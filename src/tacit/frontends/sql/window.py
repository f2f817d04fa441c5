# SPDX-License-Identifier: Apache-2.0
"""Window functions: one sort for all of a partition and order, and what each row sees of the rows around it.

Running sums are local but for where they begin anew; what a row takes from the first or last of its partition, or of
its peers, is copied to it in a constant number of rounds (`library.compact`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tacit.errors import SqlError
from tacit.frontends.arithmetic import equal, greater_equal, logical_not, logical_or, maximum, minimum, subtract, where
from tacit.frontends.array import Owner, SecretArray
from tacit.frontends.groups import run_starts, running_all, running_max, running_min, running_sum
from tacit.frontends.operands import astype
from tacit.frontends.shaping import concat, flip, getitem
from tacit.frontends.sql import rows as on
from tacit.frontends.sql import vectors
from tacit.frontends.sql.algebra import Column, WindowCall, WindowFrame
from tacit.frontends.sql.frame import Frame, SortWord, Vector
from tacit.frontends.sql.functions import may_be_empty, place
from tacit.frontends.sql.group import from_sums, summable
from tacit.frontends.sql.types import BIGINT
from tacit.plan import INT64

Given = tuple[Column, WindowCall, tuple[Vector, ...]]
"""A window function with its operands [rows]."""


def windows(
    frame: Frame, partition: Sequence[SortWord], order: Sequence[SortWord], calls: Sequence[Given], program: Owner
) -> Frame:
    """The rows in the order of a partition and an order in it, with the values of functions that share both.

    Rows that are not meant come last. Rows in such an order already stay where they are.

    Raises `SqlError` SQL-006 for functions that cannot be computed on secrets.
    """
    absent: list[SortWord] = [] if frame.present is None else [(logical_not(frame.present), False)]
    # Apart, so that a partition's words end where its order begins.
    parts, within = on.joined([*absent, *partition]), on.joined(order)
    given: dict[Column | tuple[Column, int], Vector] = dict(frame.columns.items())
    given |= {(c, k): v for c, _, args in calls for k, v in enumerate(args)}
    flags = [] if frame.present is None else [frame.present]
    words, stands = [*parts, *within], on.is_grouped(frame.order, partition, order)
    moved, others = given, [*(w for w, _ in words), *flags]
    if not stands:
        moved, others = on.in_order(words, given, *others)
    keys, peers = others[: len(parts)], others[: len(parts) + len(within)]
    first = on.first_row(program, frame.rows)
    sorted_rows = _Rows(
        frame.rows, run_starts(*keys) if keys else first, run_starts(*peers) if peers else first, program
    )
    columns = {c: v for c, v in moved.items() if isinstance(c, Column)}
    by = on.following(frame.order if stands else [*partition, *order], frame.columns, columns)
    for c, call, args in calls:
        columns[c] = sorted_rows.value(call, tuple(moved[c, k] for k in range(len(args))))
    return Frame(frame.rows, columns, others[-1] if flags else None, True, by)


def by_place(call: WindowCall) -> bool:
    """Whether a function tells apart rows that are alike in partition and order."""
    if call.name in ("row_number", "lag", "lead", "first_value", "last_value", "nth_value"):
        return True
    return call.name not in ("rank", "dense_rank") and call.frame not in ("all", "range")


class _Rows:
    """Rows in order, by where partitions and sets of peers start."""

    def __init__(self, rows: int, starts: SecretArray, peers: SecretArray, program: Owner) -> None:
        self.rows, self.starts, self.peers, self.program = rows, starts, peers, program
        self.ends, self.last_peers = on.ends_of(starts), on.ends_of(peers)
        self.ones = on.filled(program, rows, 1, INT64)
        self._outside: dict[int, SecretArray] = {}

    def value(self, call: WindowCall, args: tuple[Vector, ...]) -> Vector:
        """The values of a function in every row."""
        if call.name in ("row_number", "rank", "dense_rank"):
            return Vector(call.type, (self._rank(call.name),))
        if call.name in ("lag", "lead"):
            return self._neighbour(call, args)
        if call.name in ("first_value", "last_value"):
            return self._edge(call, args[0])
        if call.name == "nth_value":
            return self._nth(call, args[0])
        if call.name in ("count", "count_star", "sum", "avg"):
            return self._sum(call, args)
        if call.name in ("min", "max"):
            return self._extreme(call, args[0])
        raise SqlError(
            "SQL-006",
            f"{call.name.upper()} as a window function{place(call.at)} cannot be computed on secret rows",
            expected="row_number, rank, dense_rank, lag, lead, first_value, last_value, nth_value, count, sum, avg, "
            "min or max",
        )

    def _running(self, x: SecretArray) -> SecretArray:
        out: SecretArray = running_sum(self.starts, x)
        return out

    def _rank(self, name: str) -> SecretArray:
        if name == "dense_rank":
            return self._running(on.bit(self.peers))
        number = self._running(self.ones)
        return number if name == "row_number" else on.forward(self.peers, {}, number)[1][0]

    def _beyond(self, steps: int) -> SecretArray:
        """Where the row so many before (or, below zero, after) is not in the same partition, or not there at all."""
        if steps not in self._outside:
            if abs(steps) >= self.rows:
                return on.filled(self.program, self.rows, 1)
            turn = 1 if steps > 0 else -1
            flags, seen = self.starts if steps > 0 else self.ends, 1
            while seen < abs(steps):
                # A partition starts, or ends, on the way: within twice as many rows each time.
                more = min(seen, abs(steps) - seen)
                flags, seen = logical_or(flags, _shifted(flags, turn * more, True)), seen + more
            self._outside[steps] = flags
        return self._outside[steps]

    def _neighbour(self, call: WindowCall, args: tuple[Vector, ...]) -> Vector:
        """The value some rows before (lag) or after (lead), if that is in the same partition."""
        offset = int(call.options[0]) if call.options else 1
        steps = offset if call.name == "lag" else -offset
        v = args[0]
        if steps == 0:
            return v
        there = logical_not(self._beyond(steps))
        shifted = self._moved(v, steps)
        if len(args) == 1:
            return vectors.null_if_absent(shifted, there)
        return vectors.select(there, shifted, args[1])

    def _moved(self, v: Vector, steps: int) -> Vector:
        """The value of the row so many before; any where there is none."""
        steps = steps if abs(steps) < self.rows else 0
        return v.with_arrays(tuple(_shifted(a, steps, False) for a in v.arrays))

    def _edge(self, call: WindowCall, v: Vector) -> Vector:
        if isinstance(call.frame, tuple):
            return self._framed_edge(*call.frame, v, first=call.name == "first_value")
        if call.name == "first_value":
            return on.forward(self.starts, {0: v})[0][0]
        return self._seen(call, {0: v})[0]

    def _nth(self, call: WindowCall, v: Vector) -> Vector:
        """The value of one row of a frame: of the row so many after its first, if it has as many."""
        n = int(call.options[0])
        first = self._edge(replace(call, name="first_value"), self._moved(v, 1 - n))
        count = self._at_end(call, {0: Vector(BIGINT, (self._running(self.ones),))})[0].words[0]
        return vectors.null_if_absent(first, greater_equal(count, n))

    def _framed_edge(self, lo: int | None, hi: int | None, v: Vector, *, first: bool) -> Vector:
        """The first or last value of a frame, NULL where that has no rows."""
        near, outward = (lo, -1) if first else (hi, 1)
        if near is None:
            out = on.forward(self.starts, {0: v})[0][0] if first else on.backward(self.ends, {0: v})[0][0]
        elif near * outward <= 0:
            out = self._moved(v, -near)
        else:
            end = self._framed_edge(None, None, v, first=first)
            out = vectors.select(self._beyond(-near), end, self._moved(v, -near))
        return self._or_null((lo, hi), out)

    def _or_null(self, frame: WindowFrame, v: Vector) -> Vector:
        """NULL where a frame has no rows, because it begins after its partition or ends before it."""
        if may_be_empty(frame):
            lo, hi = frame
            nearest = lo if (lo or 0) > 0 else hi
            assert isinstance(nearest, int)
            v = vectors.null_if_absent(v, logical_not(self._beyond(-nearest)))
        return v

    def _seen(self, call: WindowCall, columns: Mapping[int, Vector]) -> dict[int, Vector]:
        """Running values as the row sees them at the end of its frame."""
        if call.frame == "rows":
            return dict(columns)
        return on.backward(self.ends if call.frame == "all" else self.last_peers, columns)[0]

    def _at_end(self, call: WindowCall, running: Mapping[int, Vector]) -> dict[int, Vector]:
        """By how much running values grow over the row's frame."""
        return self._grown(*call.frame, running) if isinstance(call.frame, tuple) else self._seen(call, running)

    def _sum(self, call: WindowCall, args: tuple[Vector, ...]) -> Vector:
        v = summable(args[0]) if args else None
        here = self.ones if v is None or v.null is None else on.bit(logical_not(v.null))
        running = {0: Vector(BIGINT, (self._running(here),))}
        if v is not None and not call.name.startswith("count"):
            running[1] = Vector(v.type, (self._running(on.bit(v.words[0])),))
        seen = self._at_end(call, running)
        count = seen[0].words[0]
        if v is None or 1 not in seen:
            return Vector(call.type, (count,))
        null = None if v.null is None and not may_be_empty(call.frame) else equal(count, 0)
        return from_sums(call.name, call.type, v, seen[1].words[0], count, null)

    def _grown(self, lo: int | None, hi: int | None, running: Mapping[int, Vector]) -> dict[int, Vector]:
        """By how much running values grow from the first to the last row of a frame."""
        ends = running if hi is not None and hi <= 0 and (lo or 0) <= 1 else on.backward(self.ends, running)[0]

        def until(key: int, v: Vector, offset: int | None) -> SecretArray:
            x = v.words[0]
            if offset == 0:
                return x
            if offset is None:
                return ends[key].words[0]
            end = ends[key].words[0] if offset > 0 else on.filled(self.program, self.rows, 0, x.dtype)
            return where(self._beyond(-offset), end, self._moved(v, -offset).words[0])

        return {
            key: replace(
                v, words=(until(key, v, hi) if lo is None else subtract(until(key, v, hi), until(key, v, lo - 1)),)
            )
            for key, v in running.items()
        }

    def _extreme(self, call: WindowCall, v: Vector) -> Vector:
        x = on.bit(v.words[0])
        if len(v.words) > 1 or v.denominator is not None:
            raise SqlError(
                "SQL-006",
                f"{call.name.upper()} of text as a window function{place(call.at)} cannot be computed on secret rows",
                expected=f"{call.name} of numbers, dates or bools",
                next=f"take {call.name} with GROUP BY and join",
            )
        least = call.name == "min"
        if v.null is not None:
            edge = x.node.type.interval.hi if least else x.node.type.interval.lo
            x = where(v.null, vectors.public(self.program, edge, x.dtype, self.rows), x)
        if isinstance(call.frame, tuple):
            best = self._framed_extreme(*call.frame, x, least=least)
            here = self.ones if v.null is None else on.bit(logical_not(v.null))
            count = self._grown(*call.frame, {0: Vector(BIGINT, (self._running(here),))})[0].words[0]
            none = None if v.null is None and not may_be_empty(call.frame) else equal(count, 0)
            return vectors.masked(Vector(v.type, (astype(best, v.words[0].dtype),), none))
        running = (running_min if least else running_max)(self.starts, x)
        null = None if v.null is None else running_all(self.starts, v.null)
        found = {0: Vector(v.type, (astype(running, v.words[0].dtype),), null)}
        return vectors.masked(self._seen(call, found)[0])

    def _framed_extreme(self, lo: int | None, hi: int | None, x: SecretArray, *, least: bool) -> SecretArray:
        """The least or largest value of a frame; anything where that has no rows."""
        running, better = (running_min, minimum) if least else (running_max, maximum)

        def reach(turn: int, rows: int | None) -> SecretArray:
            """Of the current row and so many more, before it (turn 1) or after it (-1)."""
            if rows is None:
                return running(self.starts, x) if turn > 0 else flip(running(flip(self.ends), flip(x)))
            out, seen, rows = x, 1, min(rows + 1, self.rows)
            while seen < rows:
                more = turn * min(seen, rows - seen)
                # Where no row is so far away, all that there are have been seen.
                out = where(self._beyond(more), out, better(out, _shifted(out, more, False)))
                seen += abs(more)
            return out

        if may_be_empty((lo, hi)):
            turn, near, far = (-1, lo, hi) if (lo or 0) > 0 else (1, hi, lo)
            assert near is not None
            out = reach(turn, None if far is None else abs(far - near))
            return _shifted(out, -near, False) if abs(near) < self.rows else out
        if hi == 0 or lo == 0:
            return reach(1, None if lo is None else -lo) if hi == 0 else reach(-1, hi)
        return better(reach(1, None if lo is None else -lo), reach(-1, hi))


def _shifted(a: SecretArray, steps: int, fill: bool) -> SecretArray:
    """The value some rows before; beyond the first or last row, `fill`. Local."""
    n = len(a)
    edge = on.filled(a.program, abs(steps), int(fill), a.dtype)
    if steps == 0:
        return a
    if steps > 0:
        return concat([edge, getitem(a, slice(0, n - steps))])
    return concat([getitem(a, slice(-steps, n)), edge])
