# SPDX-License-Identifier: Apache-2.0
"""The demos there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tacit.demos import banks, hospitals, merchant, salary, trial
from tacit.demos.outcome import Outcome
from tacit.demos.settings import Settings
from tacit.demos.stages import Stages
from tacit.errors import InputError


@dataclass(frozen=True)
class Demo:
    """A demo: `run` computes it jointly and in the clear."""

    name: str
    summary: str
    run: Callable[[Settings, Stages], Outcome]


DEMOS: Final = (
    Demo("hospitals", "three hospitals: statistics and a model on the union of their patients", hospitals.run),
    Demo("salary", "three colleagues: their average salary, and no single one", salary.run),
    Demo("banks", "three banks: money that runs through all of them, found in SQL", banks.run),
    Demo("merchant-bank", "a shop and a bank: who buys what, in sums of enough people, in SQL", merchant.run),
    Demo("trial", "three hospitals: counts of rare diseases, where groups are large enough, in SQL", trial.run),
)


def find(name: str) -> Demo:
    """The demo of that name. Raises `InputError` INPUT-200 if there is none."""
    for demo in DEMOS:
        if demo.name == name:
            return demo
    raise InputError(
        "INPUT-200",
        f"there is no demo {name!r}",
        expected=f"one of {', '.join(d.name for d in DEMOS)}",
        next="see `tacit demo --list`",
    )
