# SPDX-License-Identifier: Apache-2.0
"""Queries of a session: SQL in, a secret frame, and what is disclosed of it as an Arrow table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import numpy as np

from tacit.engine.estimate import CostReport, PricedPlan, bytes_by_node
from tacit.errors import InputError, PlanError
from tacit.frontends.graph import Record
from tacit.frontends.program import Program, Results
from tacit.frontends.sql.bind import bind
from tacit.frontends.sql.explain import tree
from tacit.frontends.sql.homes import place
from tacit.frontends.sql.lower import lower, overflow
from tacit.frontends.sql.result import disclosed
from tacit.frontends.sql.rewrite import rewrite
from tacit.plan import OUT_OF_RANGE, Disclosure, Plan
from tacit.protocols.shares import U64Array
from tacit.session.relations import Relations, whole_number

TITLE_MAX: Final = 200


REVEALS: Final = {"join_size": "which shuffled rows of the tables of a join have equal keys"}
"""What queries may disclose beyond their results where that is quicker."""


@dataclass(frozen=True)
class Answer:
    """The result of a query: `table` is a PyArrow table, or None at a client that it is not for.

    `hidden_groups` is how many groups were left out because they are too small, None where no such rule applied.
    """

    table: Any
    digest: str
    disclosures: tuple[Disclosure, ...]
    cost: CostReport
    hidden_groups: int | None

    def to_arrow(self) -> Any:
        """The PyArrow table; its metadata has `tacit.digest`, `tacit.rounds`, `tacit.bytes`, `tacit.hidden_groups`."""
        return self.table

    def to_pandas(self) -> Any:
        """As a pandas data frame. Integers and truth values with NULLs have pandas' own types for that, `Int64` and the
        like: as floats, large ones would not be exact. Raises InputError INPUT-029 for a result of others.
        """
        import pandas
        import pyarrow as pa

        own = {
            **{pa.int8(): "Int8", pa.int16(): "Int16", pa.int32(): "Int32", pa.int64(): "Int64"},
            **{pa.uint8(): "UInt8", pa.uint16(): "UInt16", pa.uint32(): "UInt32", pa.uint64(): "UInt64"},
            pa.bool_(): "boolean",
        }
        frame = self._own().to_pandas()
        for k, column in enumerate(self.table.columns):
            if column.null_count and column.type in own:
                kind = pandas.api.types.pandas_dtype(own[column.type])
                frame.isetitem(k, kind.__from_arrow__(column))
        return frame

    def to_polars(self) -> Any:
        """As a Polars data frame, whose columns need different names: of two `id` the second becomes `id_1`. Raises
        InputError INPUT-029 for a result of others.
        """
        import polars

        table = self._own()
        return polars.from_arrow(table.rename_columns(_different(table.column_names)))

    def _own(self) -> Any:
        if self.table is None:
            raise InputError(
                "INPUT-029",
                "the result of this query is not for this client",
                expected="a result for everyone, for this client, or for a party that it acts for",
                next="reveal it to session.client, or look at it with a client of the party that it is for",
            )
        return self.table

    def __len__(self) -> int:
        return 0 if self.table is None else int(self.table.num_rows)

    def __repr__(self) -> str:
        hidden = f", {self.hidden_groups} groups hidden" if self.hidden_groups else ""
        shape = "not for this client" if self.table is None else f"{len(self)} rows, {self.table.num_columns} columns"
        return f"Answer({shape}{hidden}; plan {self.digest[:16]})"


class SecretFrame:
    """A query that is bound and planned, and of which nothing is disclosed before `reveal`.

    `names` are its columns, `schema` their types in DuckDB's dialect.
    """

    def __init__(
        self,
        program: Program[U64Array | None],
        relations: Relations,
        fetch: Callable[[Plan], Results],
        text: str,
        min_group: int = 1,
        reveals: str | Iterable[str] = (),
    ) -> None:
        allowed = _allowed(reveals)
        self.text = text
        self._program = program
        self._fetch = fetch
        min_group = whole_number(min_group, 1, "min_group")
        self._query = place(rewrite(bind(text, relations.catalogue, min_group), min_group), min_group)
        self._compile(relations, min_group, frozenset())
        if "join_size" in allowed:
            self._match(relations, min_group)

    def _compile(self, relations: Relations, min_group: int, by_tags: frozenset[int]) -> None:
        """Make the query an array program, with these of its joins by tags of keys."""
        try:
            self._lowered = lower(self._query, self._program, relations.leaf, min_group=min_group, by_tags=by_tags)
            self._result = disclosed(self._lowered.frame, self._query)
            hidden = self._lowered.hidden
            self._hidden = None if hidden is None else self._result.disclose(hidden, "hidden groups")
        except PlanError as error:
            if error.code not in OUT_OF_RANGE:
                raise
            # What lowering puts between two steps, such as a sum of squares, may need more room than their results.
            raise overflow("a value on the way to the result", error) from None

    def _match(self, relations: Relations, min_group: int) -> None:
        """Let tags of keys compute those joins that are quicker for it, by the exact cost of the whole query: from all
        of them or none on, each is tried the other way.
        """
        count = self._lowered.matches
        best: frozenset[int] = frozenset()
        cost = {best: self.plan().cost().seconds}
        made = best
        for number in range(-1, count):
            trial = frozenset(range(count)) if number < 0 else best ^ {number}
            if trial not in cost:
                self._compile(relations, min_group, trial)
                cost[trial], made = self.plan().cost().seconds, trial
                best = min(best, trial, key=cost.__getitem__)
        if made != best:
            self._compile(relations, min_group, best)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, which may repeat."""
        return self._query.names

    @property
    def schema(self) -> tuple[tuple[str, str], ...]:
        """Name and type of each column."""
        return tuple((n, str(c.type)) for n, c in zip(self.names, self._query.relation.columns, strict=True))

    def plan(
        self, to: int | str | None = None, purpose: str = "result", *, places: dict[Record, int] | None = None
    ) -> PricedPlan:
        """The plan that `reveal` would propose; nothing is run."""
        title = " ".join(self.text.split())
        title = title if len(title) <= TITLE_MAX else title[: TITLE_MAX - 1] + "…"
        return PricedPlan.of(self._program.plan(self._result.arrays, to, purpose, title, self._result.names, places))

    def _notes(self, paid: Mapping[int, int], places: Mapping[Record, int]) -> tuple[dict[int, str], int]:
        """Of each relation how it is computed, and the bytes that it sends; and the bytes that none of them does."""
        rest = sum(paid.values())
        owners: dict[int, int] = {}
        # A node that several steps would make is made once, by the first.
        for record, node in sorted(places.items(), key=lambda item: -item[0].serial):
            owners[node] = record.serial
        notes = {}
        for step in self._lowered.steps:
            size = sum(paid.get(node, 0) for node, serial in owners.items() if step.first <= serial < step.last)
            rest -= size
            parts = [step.strategy, f"{size:,} bytes" if size else ""]
            notes[id(step.relation)] = " · ".join(p for p in parts if p)
        return notes, rest

    def explain(self, to: int | str | None = None, network: str | None = None) -> str:
        """What `reveal` would do, as text: the tree of operators with homes, rows and strategies, the exact cost, and
        every disclosure.
        """
        places: dict[Record, int] = {}
        plan = self.plan(to, places=places)
        paid = bytes_by_node(plan)
        notes, rest = self._notes(paid, places)
        lines = tree(self._query.relation, self._program.parties, notes)
        shown = "\n".join(f"  - {d}" for d in plan.disclosures())
        return "\n".join(
            [
                *lines,
                "",
                f"cost: {plan.cost(network)}; {rest:,} of the bytes share inputs and disclose",
                "",
                "discloses:",
                shown,
                "",
                f"plan {plan.digest}",
            ]
        )

    def reveal(self, to: int | str | None = None, purpose: str = "result") -> Answer:
        """Run the query and disclose its result, to everyone or to one party or client.

        Raises what the owners' engines and `Session.run` raise, before anything is disclosed; RunError where a party
        fails.
        """
        plan = self.plan(to, purpose)
        return self._answer(plan, self._program.run(plan, self._result.arrays))

    def fetch(self, by: str | None = None, to: int | str | None = None, purpose: str = "result") -> Answer:
        """The result of a run of this query that another client proposed, `by` its name in the room, or this client
        itself; nothing is run or disclosed.

        It is the same query if it is the same plan: the same text, tables and declarations, disclosed to the same ones
        for the same purpose. A client that acts for the party of `reveal(to=party)` gets the table by it. Raises
        RunError RUN-006 where a party holds no such result any more: each keeps those of its last 16 plans.
        """
        plan = self.plan(to, purpose)
        if by is not None:
            plan = PricedPlan.of(replace(plan, parties=(*plan.parties[: plan.computing], by)))
        return self._answer(plan, self._fetch(plan))

    def _answer(self, plan: PricedPlan, outcome: Results) -> Answer:
        raws = [outcome[name] for name in self._result.names]
        cost = plan.cost()
        if any(raw is None for raw in raws):
            return Answer(None, plan.digest, plan.disclosures(), cost, None)
        values = [np.asarray(raw) for raw in raws]
        hidden = None if self._hidden is None else int(values[self._hidden])
        facts = {"digest": plan.digest, "rounds": cost.rounds, "bytes": cost.bytes_total, "hidden_groups": hidden}
        metadata = {f"tacit.{name}": str(value) for name, value in facts.items() if value is not None}
        table = self._result.table(values).replace_schema_metadata(metadata)
        return Answer(table, plan.digest, plan.disclosures(), cost, hidden)

    def __repr__(self) -> str:
        columns = ", ".join(f"{name} {kind}" for name, kind in self.schema)
        return f"SecretFrame({columns}; at most {self._lowered.frame.rows} rows)"


def _different(names: Iterable[str]) -> list[str]:
    """Names of columns, those that repeat with a number, as DuckDB gives them to data frames."""
    out: list[str] = []
    for name in names:
        numbered = (f"{name}_{k}" if k else name for k in count())
        out.append(next(n for n in numbered if n not in out))
    return out


def _allowed(reveals: str | Iterable[str]) -> frozenset[str]:
    """What a query may disclose beyond its result. Raises InputError INPUT-028 for anything unknown."""
    words = [reveals] if isinstance(reveals, str) else list(reveals)
    unknown = next((w for w in words if w not in REVEALS), None)
    if unknown is not None:
        raise InputError(
            "INPUT-028",
            f"a query cannot reveal {str(unknown)[:60]!r}",
            expected="; ".join(f"{word!r}: {what}" for word, what in REVEALS.items()),
            next="correct reveals=, or leave it out: then nothing but the result is disclosed",
        )
    return frozenset(words)
