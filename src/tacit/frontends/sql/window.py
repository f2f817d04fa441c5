# SPDX-License-Identifier: Apache-2.0
"""Window functions: one sort for all of a partition and order, and what each row sees of the rows around it.

Running sums are local but for where they begin anew; what a row takes from the first or last of its partition, or of
its peers, is copied to it in a constant number of rounds (`library.compact`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tacit.errors import SqlError
from tacit.frontends.arithmetic import equal, logical_not, where
from tacit.frontends.array import Owner, SecretArray
from tacit.frontends.groups import run_starts, running_all, running_max, running_min, running_sum
from tacit.frontends.operands import astype
from tacit.frontends.reductions import any as any_of
from tacit.frontends.shaping import concat, getitem, stack
from tacit.frontends.sql import rows as on
from tacit.frontends.sql import vectors
from tacit.frontends.sql.algebra import Column, WindowCall
from tacit.frontends.sql.frame import Frame, SortWord, Vector
from tacit.frontends.sql.functions import place
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


class _Rows:
    """Rows in order, by where partitions and sets of peers start."""

    def __init__(self, rows: int, starts: SecretArray, peers: SecretArray, program: Owner) -> None:
        self.rows, self.starts, self.peers, self.program = rows, starts, peers, program
        self.ends, self.last_peers = on.ends_of(starts), on.ends_of(peers)
        self.ones = on.filled(program, rows, 1, INT64)

    def value(self, call: WindowCall, args: tuple[Vector, ...]) -> Vector:
        """The values of a function in every row."""
        if call.name in ("row_number", "rank", "dense_rank"):
            return Vector(call.type, (self._rank(call.name),))
        if call.name in ("lag", "lead"):
            return self._neighbour(call, args)
        if call.name in ("first_value", "last_value"):
            return self._edge(call, args[0])
        if call.name in ("count", "count_star", "sum", "avg"):
            return self._sum(call, args)
        if call.name in ("min", "max"):
            return self._extreme(call, args[0])
        raise SqlError(
            "SQL-006",
            f"{call.name.upper()} as a window function{place(call.at)} cannot be computed on secret rows",
            expected="row_number, rank, dense_rank, lag, lead, first_value, last_value, count, sum, avg, min or max",
        )

    def _running(self, x: SecretArray) -> SecretArray:
        out: SecretArray = running_sum(self.starts, x)
        return out

    def _rank(self, name: str) -> SecretArray:
        if name == "dense_rank":
            return self._running(on.bit(self.peers))
        number = self._running(self.ones)
        return number if name == "row_number" else on.forward(self.peers, {}, number)[1][0]

    def _neighbour(self, call: WindowCall, args: tuple[Vector, ...]) -> Vector:
        """The value some rows before (lag) or after (lead), if that is in the same partition."""
        offset = int(call.options[0]) if call.options else 1
        steps = offset if call.name == "lag" else -offset
        v = args[0]
        if steps == 0:
            return v
        if abs(steps) >= self.rows:
            # No row is that far away.
            beyond, steps = on.filled(self.program, self.rows, 1), 0
        else:
            # Where a partition starts on the way.
            edges = self.starts if steps > 0 else self.ends
            beyond = any_of(stack([_shifted(edges, k, True) for k in _ways(steps)]), axis=0)
        there = logical_not(beyond)
        shifted = v.with_arrays(tuple(_shifted(a, steps, False) for a in v.arrays))
        if len(args) == 1:
            return vectors.null_if_absent(shifted, there)
        return vectors.select(there, shifted, args[1])

    def _edge(self, call: WindowCall, v: Vector) -> Vector:
        if call.name == "first_value":
            return on.forward(self.starts, {0: v})[0][0]
        return self._seen(call, {0: v})[0]

    def _seen(self, call: WindowCall, columns: Mapping[int, Vector]) -> dict[int, Vector]:
        """Running values as the row sees them at the end of its frame."""
        if call.frame == "rows":
            return dict(columns)
        return on.backward(self.ends if call.frame == "all" else self.last_peers, columns)[0]

    def _sum(self, call: WindowCall, args: tuple[Vector, ...]) -> Vector:
        v = summable(args[0]) if args else None
        here = self.ones if v is None or v.null is None else on.bit(logical_not(v.null))
        running = {0: Vector(BIGINT, (self._running(here),))}
        if v is not None and not call.name.startswith("count"):
            running[1] = Vector(v.type, (self._running(on.bit(v.words[0])),))
        seen = self._seen(call, running)
        count = seen[0].words[0]
        if v is None or 1 not in seen:
            return Vector(call.type, (count,))
        null = None if v.null is None else equal(count, 0)
        return from_sums(call.name, call.type, v, seen[1].words[0], count, null)

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
        running = (running_min if least else running_max)(self.starts, x)
        null = None if v.null is None else running_all(self.starts, v.null)
        found = {0: Vector(v.type, (astype(running, v.words[0].dtype),), null)}
        return vectors.masked(self._seen(call, found)[0])


def _shifted(a: SecretArray, steps: int, fill: bool) -> SecretArray:
    """The value some rows before; beyond the first or last row, `fill`. Local."""
    n = len(a)
    edge = on.filled(a.program, abs(steps), int(fill), a.dtype)
    if steps == 0:
        return a
    if steps > 0:
        return concat([edge, getitem(a, slice(0, n - steps))])
    return concat([getitem(a, slice(-steps, n)), edge])


def _ways(steps: int) -> range:
    """How far back the rows are at which a partition may start between a row and the one so many rows before."""
    return range(steps) if steps > 0 else range(0, steps, -1)
