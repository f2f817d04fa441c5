# SPDX-License-Identifier: Apache-2.0
"""`tacit party`: keys, room files, and one organisation's party process."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from tacit.errors import RoomError
from tacit.node.memory import keep_freed_memory
from tacit.node.service import Party
from tacit.room import load
from tacit.session.datasets import Datasets
from tacit.session.identity import create_identity, load_identity
from tacit.session.local import THREADS_MAX
from tacit.transport import Listener

app = typer.Typer(help="Run one organisation's party; make its key; check a room file.", no_args_is_help=True)

RoomFile = Annotated[Path, typer.Option("--room", help="The room file, the same at every organisation.")]


@app.command()
def keygen(
    name: Annotated[str, typer.Option("--name", help="A label for the certificate.")],
    out: Annotated[Path, typer.Option("--out", help="The directory for cert.pem and key.pem.")],
) -> None:
    """Make a key and a certificate, and print the pin that goes into the room file."""
    identity = create_identity(name, out)
    Console().out(f'pin = "{identity.pin}"')


@app.command()
def check(room: RoomFile) -> None:
    """Check a room file and show what it says."""
    document = load(room)
    table = Table("name", "role", "address", "pin", title=f"{document.name}: {document.protocol}")
    for party in document.parties:
        table.add_row(party.name, "party", f"{party.host}:{party.port}", f"{party.pin[:16]}…")
    for client in document.clients:
        role = f"client, acts for {', '.join(client.acts_for)}" if client.acts_for else "client"
        table.add_row(client.name, role, "", f"{client.pin[:16]}…")
    console = Console()
    console.print(table)
    console.out(f"digest {document.digest}")


@app.command()
def run(
    room: RoomFile,
    party: Annotated[str, typer.Option("--party", help="Which party of the room this is.")],
    identity: Annotated[Path, typer.Option("--identity", help="The directory that `keygen` wrote.")],
    data: Annotated[Path | None, typer.Option("--data", help="The directory with this party's files.")] = None,
    bind: Annotated[str, typer.Option("--bind", help="The address to listen on; by default that of the room.")] = "",
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=THREADS_MAX, help="Threads that a run of this party computes with.")
    ] = 1,
) -> None:
    """Run a party until Ctrl-C or SIGTERM. Its log, on standard error, is for its operator.

    SIGUSR1 resets what clients were told about the party's files (`refusals_max` of the room).
    """
    keep_freed_memory()
    document = load(room)
    entry = document.parties[document.index(party)]
    if data is not None and not data.is_dir():
        raise RoomError(
            "ROOM-018",
            f"{data} is no directory",
            expected="a directory with this party's files",
            party=party,
            next="create it, or correct --data",
        )
    _log_to_stderr()
    key = load_identity(identity)
    listener = Listener.bind(bind or entry.host, entry.port, key)
    service = Party(document, party, key, listener, Datasets(data, party), threads)

    def stop(number: int, _: object) -> None:
        service.stop("its operator stopped it")

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda *_: service.reset_refusals())
    try:
        service.serve()
    finally:
        listener.close()


def _log_to_stderr() -> None:
    """One line for each event where a file or a service manager reads it; wrapped and coloured on a terminal."""
    console = Console(stderr=True)
    if console.is_terminal:
        handler: logging.Handler = RichHandler(console=console, show_path=False, markup=False)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
