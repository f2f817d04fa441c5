# SPDX-License-Identifier: Apache-2.0
"""A progress bar for runs that take longer than two seconds, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tacit.engine.estimate import estimate
from tacit.plan import Plan

PATIENCE_S: Final = 2.0


@contextmanager
def progress_bar(plan: Plan) -> Iterator[Callable[[int], None] | None]:
    """Gives a callback that takes the number of rounds done; None where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("running {task.description}"),
        BarColumn(),
        TextColumn("round {task.completed:.0f} of {task.total:.0f}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    began = time.monotonic()
    task = None

    def show(step: int) -> None:
        nonlocal task
        if task is None:
            if time.monotonic() - began < PATIENCE_S:
                return
            task = bar.add_task(plan.title or plan.digest[:12], total=estimate(plan).rounds)
            bar.start()
        bar.update(task, completed=step)

    try:
        yield show
    finally:
        if task is not None:
            bar.stop()
