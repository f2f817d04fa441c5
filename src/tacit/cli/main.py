# SPDX-License-Identifier: Apache-2.0
"""The command `tacit`. Exit codes: 0 done, 1 a result that does not agree, 2 an error, 130 interrupted."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any, Final

import typer
from rich.console import Console
from typer.core import TyperGroup

import tacit
from tacit.cli.bench import bench
from tacit.cli.demo import demo
from tacit.cli.party import app as party
from tacit.cli.plan import plan
from tacit.cli.sql import sql
from tacit.errors import RunError, TacitError

STOPPED: Final = "RUN-200"


class _Interruptible(TyperGroup):
    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run a command; an interruption becomes an error like any other, once the command has cleaned up."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise RunError(
                "RUN-200",
                "the command was interrupted",
                expected="the command to end by itself",
                next="run it again; every process that it started has ended",
            ) from None


commands = typer.Typer(
    name="tacit",
    help="A confidential clean room: several organisations compute on the union of their private data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    cls=_Interruptible,
)
commands.command()(demo)
commands.command()(bench)
commands.command()(sql)
commands.add_typer(party, name="party")
commands.add_typer(plan, name="plan")


@commands.command()
def version() -> None:
    """Print the version."""
    typer.echo(tacit.__version__)


def app() -> None:
    """Entry point: an error is one paragraph, never a traceback, and every process is stopped before it is shown."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        commands()
    except TacitError as error:
        Console(stderr=True).print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(130 if error.code == STOPPED else 2)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Like Ctrl-C, so that sessions close on the way out.
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
