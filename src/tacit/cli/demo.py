# SPDX-License-Identifier: Apache-2.0
"""`tacit demo`: whole stories with real data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tacit.cli.bench import Network, Transport, as_transport
from tacit.demos import card, report
from tacit.demos.catalogue import DEMOS, find
from tacit.demos.settings import Settings
from tacit.demos.stages import Stages


def demo(
    name: Annotated[str, typer.Argument(help="Which demo.")] = "hospitals",
    out: Annotated[Path, typer.Option(help="The HTML report to write.")] = Path("tacit-report.html"),
    network: Annotated[Network, typer.Option(help="The network between the parties.")] = Network.LOOPBACK,
    transport: Annotated[Transport, typer.Option(help="One process per party, or all in one.")] = Transport.PROCESS,
    protocol: Annotated[str, typer.Option(help="The protocol.")] = "rep3",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of the card.")] = False,
    list_demos: Annotated[bool, typer.Option("--list", help="List the demos and stop.")] = False,
) -> None:
    """Run a demo: compute together, compare with the pooled plaintext, write a report.

    Exit code 1 if the joint result does not agree with the pooled one.
    """
    console = Console()
    if list_demos:
        table = Table(box=None, show_header=False, pad_edge=False)
        for entry in DEMOS:
            table.add_row(entry.name, entry.summary)
        console.print(table)
        return
    chosen = find(name)
    report.check_target(out)
    stages = Stages(Console(stderr=True) if as_json else console)
    outcome = chosen.run(Settings(protocol, network.value, as_transport(transport)), stages)
    report.write(outcome, out)
    if as_json:
        typer.echo(json.dumps(outcome.to_dict(), indent=2))
    else:
        card.show(outcome, console)
        console.print(f"Report: {out}", highlight=False, markup=False)
    if not outcome.agrees:
        raise typer.Exit(1)
