# SPDX-License-Identifier: Apache-2.0
"""Progress of a demo: what is being done, and how long each stage took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.markup import escape


class Stages:
    """Shows stages on a console: a spinner while one runs on a terminal, a line when it is done."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """Show `what` while the block runs, and its seconds when it ends well."""
        start = perf_counter()
        with self._console.status(escape(what)):
            yield
        self._console.print(f"[green]✓[/] {escape(what)} [dim]{perf_counter() - start:.1f} s[/]", highlight=False)
