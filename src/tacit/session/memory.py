# SPDX-License-Identifier: Apache-2.0
"""All parties of a session in this process and this thread, round by round: for tests and for looking inside.

It runs the code that party processes run, on the same plans with the same checks; only processes and TLS are missing,
so it protects nothing from whoever runs it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from tacit.engine.drive import Traffic, lockstep
from tacit.engine.keys import PROTOCOLS
from tacit.engine.profile import Profile
from tacit.plan import Plan, Private
from tacit.protocols.shares import U64Array
from tacit.session.client import OnProgress, Outcome, PartyFacts, join_figures, join_profiles
from tacit.session.datasets import Datasets, Description
from tacit.session.engines import Postgres
from tacit.session.local import CLIENT, room_of
from tacit.session.party import Bound, Dealt, bind, check_room, run
from tacit.session.sources import Question, Sources, TableFacts

_NO_TLS: Final = {"version": "none", "group": "none", "cipher": "none"}


class MemoryParties:
    """The same methods as `Parties`, without connections."""

    def __init__(self, names: Sequence[str], protocol: str, directories: Mapping[str, str | os.PathLike[str]]) -> None:
        """Raises RoomError for a room that cannot be."""
        self.client = CLIENT
        self.room = room_of(names, protocol)
        self._datasets = [Datasets(directories.get(name), name) for name in names]
        self._sources = [Sources(d, name) for d, name in zip(self._datasets, names, strict=True)]
        self._given: list[dict[str, Any]] = [{} for _ in names]

    @property
    def pids(self) -> tuple[int, ...]:
        """This process, once for each party."""
        return (os.getpid(),) * len(self._datasets)

    def describe(self, party: int, file: str) -> Description:
        """As `Parties.describe`."""
        return self._datasets[party].describe(file)

    def describe_table(self, party: int, question: Question) -> TableFacts:
        """As `Parties.describe_table`."""
        return self._sources[party].describe(question, self._given[party])

    def give(self, party: int, name: str, table: Any) -> None:
        """As `Parties.give`."""
        self._given[party][name] = Postgres(table, self.room.party_names[party]) if isinstance(table, str) else table

    def run(self, plan: Plan, values: dict[tuple[int, str], U64Array], on_progress: OnProgress | None) -> Outcome:
        """As `Parties.run`. Seconds are those of all parties together."""
        parties = range(plan.computing)
        bounds = self._bind(plan, values)
        session, traffic = os.urandom(16), Traffic()
        wall, cpu = time.perf_counter(), time.process_time()
        profiles = [Profile(partial(_traffic, traffic, me)) for me in parties]
        results = lockstep(
            [run(plan, me, session, os.urandom(32), bounds[me], profiles[me]) for me in parties], traffic
        )
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        outputs: dict[str, U64Array | None] = {}
        for label, node in plan.outputs:
            kind = plan.nodes[node].type
            home = kind.home
            have = [r[label] for r in results]
            given = [h for h in have if h is not None]
            shares = isinstance(home, Private) and home.party >= plan.computing
            outputs[label] = PROTOCOLS[plan.protocol].combine(given, kind.dtype.kind == "bool") if shares else given[0]
        facts = [
            PartyFacts(name, seconds, cpu_seconds / len(parties), traffic.bytes_sent.get(me, 0), os.getpid())
            for me, name in enumerate(self.room.party_names)
        ]
        nodes = join_profiles(plan, [p.rows(plan.nodes) for p in profiles])
        execution = join_figures([p.execution() for p in profiles])
        return Outcome(outputs, traffic.rounds, tuple(facts), execution, nodes, dict(_NO_TLS))

    def _bind(self, plan: Plan, values: dict[tuple[int, str], U64Array]) -> list[Bound]:
        parties = range(plan.computing)
        # As a party would receive it: from bytes, verified.
        received = Plan.from_bytes(plan.to_bytes())
        check_room(received, self.room)
        dealt: list[dict[str, Dealt]] = [{} for _ in parties]
        for (party, name), raw in values.items():
            if party >= plan.computing:
                messages = PROTOCOLS[plan.protocol].deal(raw, [os.urandom(16) for _ in parties])
                for me, message in enumerate(messages):
                    dealt[me][name] = Dealt(message, raw.shape)
        put = [{name: raw for (party, name), raw in values.items() if party == me} for me in parties]
        readers = [self._sources[me].inputs(self._given[me]) for me in parties]
        return [bind(received, me, self.client, readers[me], put[me], dealt[me]) for me in parties]

    def fetch(self, plan: Plan) -> dict[str, U64Array | None]:
        """There is no other client whose runs could be asked for: nothing."""
        return {label: None for label, _ in plan.outputs}

    def close(self) -> None:
        """Nothing to end."""


def _traffic(traffic: Traffic, me: int) -> tuple[int, int]:
    return traffic.rounds, traffic.bytes_sent.get(me, 0)
