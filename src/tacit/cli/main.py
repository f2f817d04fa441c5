# SPDX-License-Identifier: Apache-2.0
"""The command `tacit`. Exit codes: 0 done, 1 a result that does not agree, 2 an error, 130 interrupted."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import typer
from rich.console import Console

import tacit
from tacit.cli.bench import bench
from tacit.cli.demo import demo
from tacit.cli.party import app as party
from tacit.cli.plan import plan
from tacit.errors import TacitError

commands = typer.Typer(
    name="tacit",
    help="A confidential clean room: several organisations compute on the union of their private data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
commands.command()(demo)
commands.command()(bench)
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
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped.", style="red")
        sys.exit(130)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Like Ctrl-C, so that sessions close on the way out.
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
