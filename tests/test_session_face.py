# SPDX-License-Identifier: Apache-2.0
"""What `import tacit as tc` offers."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import tacit as tc
from tacit.frontends.namespace import FUNCTIONS


def test_every_function_on_arrays_is_offered_under_its_name() -> None:
    for name, function in FUNCTIONS.items():
        if name not in ("getitem", "can_cast", "finfo", "iinfo", "isdtype", "result_type"):
            assert getattr(tc, name) is function, name
            assert name in tc.__all__


def test_every_public_name_exists_and_is_documented() -> None:
    for name in tc.__all__:
        assert inspect.getdoc(getattr(tc, name)), name


@pytest.mark.parametrize("transport", ["memory", "process"])
def test_the_example_on_the_first_page_gives_the_mean(transport: str) -> None:
    with tc.local(transport=transport) as s:  # type: ignore[arg-type]
        a = s.input(np.array([52_000, 61_500]), party=0)
        b = s.input(np.array([48_200, 75_000]), party=1)
        c = s.input(np.array([58_900, 66_100]), party=2)
        everyone = tc.concat([a, b, c])

        assert everyone.mean().reveal() == pytest.approx(361_700 / 6, abs=1e-3)
        assert "everyone" in s.plan_of(everyone.mean()).show()
        assert s.cost(everyone.mean(), network="wan").rounds > 0


def test_a_plan_says_what_it_discloses_and_costs_before_it_runs() -> None:
    with tc.local(transport="memory") as session:
        x, y = session.input(np.arange(64), 0, range=(0, 99)), session.input(np.arange(64)[::-1], 1, range=(0, 99))
        plan = session.plan_of(x < y)
        (x < y).reveal()

        assert session.last is not None and plan.digest == session.last.digest
        assert (plan.cost().rounds, plan.cost().bytes_total) == (session.last.rounds, session.last.bytes_total)
        assert plan.cost(network="wan").seconds > plan.cost("lan").seconds
        assert [d.kind for d in plan.disclosures()] == ["size", "size", "reveal"]
