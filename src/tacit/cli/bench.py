# SPDX-License-Identifier: Apache-2.0
"""`tacit bench`: what operations cost on this machine."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tacit.bench import tasks
from tacit.bench.measure import Bench
from tacit.demos.outcome import size
from tacit.errors import InputError

N_MAX = 10**8
TPCH = "tpch"
"""Not one of `all`: it takes minutes."""


class Network(StrEnum):
    """Networks between the parties; `lan` and `wan` are emulated on loopback."""

    LOOPBACK = "loopback"
    LAN = "lan"
    WAN = "wan"


class Transport(StrEnum):
    """Where the parties run: one process each, or all in this one (which protects nothing; for tests)."""

    PROCESS = "process"
    MEMORY = "memory"


class Split(StrEnum):
    """How the tables of TPC-H are shared out: whole ones, or every third row of each."""

    VERTICAL = "vertical"
    HORIZONTAL = "horizontal"


def bench(
    task: Annotated[
        list[str] | None, typer.Option(help="A task, `all`, or `tpch`, which is not among them. May be repeated.")
    ] = None,
    n: Annotated[
        int | None, typer.Option(min=1, max=N_MAX, help="Number of elements (matmul: side); default: each task's own.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="The protocol.")] = "rep3",
    network: Annotated[Network, typer.Option(help="The network between the parties.")] = Network.LOOPBACK,
    transport: Annotated[Transport, typer.Option(help="One process per party, or all in one.")] = Transport.PROCESS,
    split: Annotated[Split, typer.Option(help="Who holds the tables of `tpch`.")] = Split.VERTICAL,
    repeat: Annotated[int, typer.Option(min=1, max=1000, help="Runs of each task; the median counts.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the inputs.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the rows to this file.")] = None,
    list_tasks: Annotated[bool, typer.Option("--list", help="List the tasks and stop.")] = False,
) -> None:
    """Measure operations on this machine, each result checked against plaintext.

    Timed is the operation at the parties. Before it they agree on plan and keys and have shares of the inputs; the
    result is opened after it.
    """
    console = Console()
    if list_tasks:
        console.print(_list())
        return
    names = task or ["all"]
    chosen = tasks.find([name for name in names if name != TPCH])
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise _unwritable(json_file)
    rows = []
    with (
        Bench(protocol, as_network(network), as_transport(transport)) as parties,
        Console(stderr=True).status("") as status,
    ):
        for t in chosen:
            status.update(f"measuring {t.name}")
            rows.append(parties.measure(t, n or t.n, repeat, seed))
        if TPCH in names:
            status.update("measuring the queries of TPC-H")
            rows += parties.tpch("vertical" if split is Split.VERTICAL else "horizontal")
    if json_file is not None:
        _write(rows, json_file)
    console.print(_table(rows))


def as_network(choice: Network) -> Literal["loopback", "lan", "wan"]:
    """The choice as `Bench` takes it."""
    return "loopback" if choice is Network.LOOPBACK else "lan" if choice is Network.LAN else "wan"


def as_transport(choice: Transport) -> Literal["process", "memory"]:
    """The choice as `tacit.local` takes it."""
    return "memory" if choice is Transport.MEMORY else "process"


def _list() -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("task", "what"):
        table.add_column(title)
    table.add_column("n", justify="right")
    for t in tasks.TASKS:
        table.add_row(t.name, escape(t.what), f"{t.n:,}")
    table.add_row(TPCH, "the 22 queries of TPC-H at scale factor 0.01, once each, minutes", "86,805")
    return table


def _table(rows: list[dict[str, Any]]) -> Table:
    first = rows[0]
    table = Table(
        title=f"{first['protocol']}, {first['parties']} parties, {first['network']}, {escape(str(first['tls']))}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("task")
    for title in ("n", "seconds", "cpu seconds", "rounds", "sent in all", "largest error"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["task"],
            f"{row['n']:,}",
            f"{row['seconds']:.4f}",
            f"{row['cpu_seconds']:.3f}",
            str(row["rounds"]),
            size(row["bytes_total"]),
            f"{row['max_abs_error']:.1e}" if row["max_abs_error"] else "0",
        )
    return table


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise _unwritable(path) from None


def _unwritable(path: Path) -> InputError:
    return InputError(
        "INPUT-211",
        f"the file {path} cannot be written",
        expected="a path in a directory that exists and that you may write to",
        next="choose another path with --json",
    )
