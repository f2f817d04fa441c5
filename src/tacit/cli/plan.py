# SPDX-License-Identifier: Apache-2.0
"""`tacit plan`: look at a plan before anyone runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tacit.errors import InputError
from tacit.plan import Plan

plan = typer.Typer(help="Look at plans.", no_args_is_help=True)


@plan.callback()
def _group() -> None:
    """Look at plans."""


@plan.command()
def show(file: Annotated[Path, typer.Argument(help="A plan in canonical bytes, as `Plan.to_bytes` gives.")]) -> None:
    """Verify a plan and print it: digest, parties, disclosures, assumptions, operations."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(
            "INPUT-220",
            f"{file} cannot be read: {error.strerror}",
            expected="a file with a plan in canonical bytes",
            next="write one with `Path(...).write_bytes(session.plan_of(...).to_bytes())`",
        ) from None
    checked = Plan.from_bytes(data)
    typer.echo(f"digest {checked.digest}\n\n{checked.show()}")
