# SPDX-License-Identifier: Apache-2.0
"""The progress bar of a run: shown on a terminal, and only if the run takes long."""

from __future__ import annotations

import io
import sys
import time

import pytest

from tacit.engine.estimate import estimate
from tacit.plan import INT64, Interval, PlanBuilder
from tacit.session import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


PLAN = PlanBuilder(("a", "b", "c", "you"), 3, "rep3", title="SELECT [bold] FROM t" + 200 * "x")
x, y = (PLAN.input(p, f"x{p}", INT64, (2,), interval=Interval(0, 9)) for p in (0, 1))
PLAN.output("sum", PLAN.reveal(PLAN.add("add", [x, y]), "test"))


def shown(monkeypatch: pytest.MonkeyPatch, patience_s: float, steps: list[int]) -> str:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "PATIENCE_S", patience_s)
    with progress.progress_bar(PLAN.build()) as show:
        assert show is not None
        deadline = time.monotonic() + 10
        while patience_s < 1 and "parties prepare" not in terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        for step in steps:
            show(step)
    return terminal.getvalue()


def test_parties_that_take_long_to_begin_are_seen_to_and_rounds_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, 0.0, [1])

    assert "running SELECT [bold] FROM t" in text and "parties prepare" in text
    assert f"round 1 of {estimate(PLAN.build()).rounds}" in text, "80 columns are enough"


def test_a_short_run_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 600.0, [1]) == ""


def test_no_terminal_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.progress_bar(PLAN.build()) as show:
        assert show is None
