# SPDX-License-Identifier: Apache-2.0
"""A progress bar for runs that take longer than two seconds, on a terminal only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tacit.engine.estimate import estimate
from tacit.plan import Plan

PATIENCE_S: Final = 2.0
TITLE_SHOWN: Final = 24
"""Characters of a title, so that everything fits a terminal of 80 columns."""


@contextmanager
def progress_bar(plan: Plan) -> Iterator[Callable[[int], None] | None]:
    """Gives a callback that takes the number of rounds done; None where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[round]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(
        f"running {escape(plan.title[:TITLE_SHOWN] or plan.digest[:12])}", total=None, round="parties prepare"
    )
    # From a thread of its own: the parties may take long before the first round, over their own data.
    timer = threading.Timer(PATIENCE_S, bar.start)
    timer.daemon = True
    timer.start()
    total: int | None = None

    def show(step: int) -> None:
        nonlocal total
        if bar.live.is_started:
            total = estimate(plan).rounds if total is None else total
            bar.update(task, completed=step, total=total, round=f"round {step} of {total}")

    try:
        yield show
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
