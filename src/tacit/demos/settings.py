# SPDX-License-Identifier: Apache-2.0
"""How a demo runs, and what it says about the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import tacit as tc
from tacit.demos.outcome import Facts, tls_words
from tacit.plan import Plan


@dataclass(frozen=True)
class Settings:
    """Protocol, network ("loopback", or emulated "lan" or "wan") and transport ("process" or "memory")."""

    protocol: str = "rep3"
    network: str = "loopback"
    transport: Literal["process", "memory"] = "process"


def opened(settings: Settings, parties: Sequence[str], data: Sequence[Path] = ()) -> tc.Session:
    """A session on this machine; party k may read below `data[k]` only."""
    return tc.local(parties, settings.protocol, settings.network, settings.transport, data)


def facts(session: tc.Session, settings: Settings, plan: Plan, learned: Iterable[str]) -> Facts:
    """The facts of the session's last run, which was of this plan; `learned` says in a few words what it disclosed."""
    report = session.last
    assert report is not None and report.digest == plan.digest
    network = settings.network + (" (emulated)" if settings.network != "loopback" else "")
    return Facts(
        protocol=f"{settings.protocol}, {len(report.by_party)} parties{_MODEL.get(settings.protocol, '')}",
        network=network if settings.transport == "process" else "none: all parties in one process",
        digest=report.digest,
        learned=tuple(learned),
        disclosures=tuple(map(str, report.disclosures)),
        assumptions=tuple(map(str, plan.assumptions())),
        rounds=report.rounds,
        bytes_total=report.bytes_total,
        seconds=report.seconds,
        processes=tuple((p.name, p.pid) for p in report.by_party),
        tls=tls_words(report.tls),
        protection=_protection(settings),
    )


def learned(plan: Plan, results: Sequence[str]) -> Iterator[str]:
    """The plan's disclosures in a few words: the sizes of each owner's inputs, then the results.

    Pre-condition: one text for each reveal of the plan, in their order.
    """
    sizes: dict[str, list[str]] = {}
    reveals = []
    for d in plan.disclosures():
        if d.kind == "reveal":
            reveals.append(d)
        elif d.kind in ("opening", "pattern"):
            yield str(d)
        else:
            owner = plan.parties[plan.nodes[d.node].attrs["party"]]
            sizes.setdefault(owner, []).append(" x ".join(map(str, d.type.shape)))
    for owner, shapes in sizes.items():
        yield f"numbers of rows and columns of what {owner} brings: {', '.join(shapes)}, to everyone"
    for d, text in zip(reveals, results, strict=True):
        yield f"{text}, to {d.audience}"


def _protection(settings: Settings) -> str:
    if settings.protocol == "plain":
        return "Protocol plain keeps nothing secret: every party computes on all inputs in the clear."
    if settings.transport == "memory":
        return (
            "All parties ran in one process, so nothing was protected from it; between hosts, nothing else is learned."
        )
    return "Nothing else: every other message that a party received is masked."


_MODEL: Final = {"rep3": ", semi-honest, honest majority"}
