# SPDX-License-Identifier: Apache-2.0
"""`tacit sql`: a query from a file, over tables of parties that their organisations started."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tacit.cli.main import commands
from tacit.cli.sql import _shown
from tacit.errors import TacitError
from tacit.room import Client, Party, Room, write
from tacit.session.identity import create_identity

NAMES = ("north", "south", "west")
TABLES = """
[visits]
sources = { north = "visits.csv", south = "ward.clinic.visits" }
types = { cost = "DECIMAL(9,2)" }

[wards]
source = "wards.csv"
party = "west"
unique = "id"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Path]:
    """A room with three party processes and their data, one of them a database's."""
    import psycopg

    made = tmp_path_factory.mktemp("room")
    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE SCHEMA clinic; CREATE TABLE clinic.visits (ward bigint, cost numeric(9,2))")
        connection.execute("INSERT INTO clinic.visits VALUES (1, 10.25), (2, NULL), (2, 0.50)")
    folders = {**{n: n for n in (*NAMES, "board")}, "you": "identity"}
    pins = {name: create_identity(name, made / folder).pin for name, folder in folders.items()}
    ports = []
    for _ in NAMES:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    parties = tuple(Party(n, "127.0.0.1", port, pins[n]) for n, port in zip(NAMES, ports, strict=True))
    clients = (Client("you", pins["you"]), Client("board", pins["board"], ("west",)))
    write(Room("clinic", "rep3", parties, clients).check(), made / "room.toml")
    for name in NAMES:
        (made / f"{name}-data").mkdir()
    (made / "north-data" / "visits.csv").write_text("ward,cost\n1,1.5\n1,2.25\n3,7\n")
    (made / "south-data" / "sources.toml").write_text(f'[ward]\nurl = "{postgres}"\ntables = ["clinic.visits"]\n')
    (made / "west-data" / "wards.csv").write_text("id,name\n1,east\n2,west\n3,attic\n")
    (made / "tables.toml").write_text(TABLES)
    (made / "query.sql").write_text(
        "SELECT name, count(*) AS n, sum(cost) AS total FROM visits JOIN wards ON ward = id GROUP BY name ORDER BY name"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tacit.cli.main", "party", "run", "--room", str(made / "room.toml"),
             "--party", n, "--identity", str(made / n), "--data", str(made / f"{n}-data")],
            stderr=subprocess.DEVNULL, env={**os.environ},
        )
        for n in NAMES
    ]  # fmt: skip
    yield made
    for process in started:
        process.terminate()
        process.wait()


def run(folder: Path, *arguments: str) -> Any:
    found = CliRunner().invoke(
        commands, ["sql", str(folder / "query.sql"), "--room", str(folder / "room.toml"), *arguments]
    )
    if isinstance(found.exception, TacitError):
        raise found.exception
    assert found.exit_code == 0, found.output
    return found


def test_a_result_is_printed_or_written(folder: Path, tmp_path: Path) -> None:
    printed = " ".join(run(folder).output.split())

    for row in (("attic", "1", "7.00"), ("east", "3", "14.00"), ("west", "2", "0.50")):
        assert " │ ".join(row) in printed
    assert "3 rows; " in printed and "plan " in printed
    for suffix, read in (
        ("parquet", pyarrow.parquet.read_table), ("csv", pyarrow.csv.read_csv), ("arrow", pyarrow.feather.read_table)
    ):  # fmt: skip
        run(folder, "--output", str(tmp_path / f"out.{suffix}"))
        assert read(tmp_path / f"out.{suffix}").column("n").to_pylist() == [1, 3, 2]


def test_explaining_shows_every_party_its_text_and_runs_nothing(folder: Path) -> None:
    text = run(folder, "--explain").output

    assert "at west, in its own engine" in text and "discloses:" in text
    assert 'FROM "visits"' in text and "postgres:SELECT" in text


def test_matches_are_shown_only_where_that_is_asked_for(folder: Path) -> None:
    pattern = "opens which rows have equal keys"
    assert pattern not in run(folder, "--explain").output
    assert pattern in run(folder, "--reveals", "join_size", "--explain").output
    printed = " ".join(run(folder, "--reveals", "join_size").output.split())
    assert "east │ 3 │ 14.00" in printed
    found = CliRunner().invoke(
        commands, ["sql", str(folder / "query.sql"), "--room", str(folder / "room.toml"), "--reveals", "everything"]
    )
    assert isinstance(found.exception, TacitError) and found.exception.code == "INPUT-028"


def test_a_result_for_one_party_is_not_shown_to_the_client(folder: Path) -> None:
    text = run(folder, "--to", "west", "--min-group", "2").output

    assert "east" not in text and "for west" in text


def test_who_acts_for_a_party_gets_its_table(folder: Path) -> None:
    digest = run(folder, "--to", "west", "--min-group", "2").output.split()[-1]
    arguments = ["--to", "west", "--identity", str(folder / "board"), "--fetch-from"]

    text = run(folder, *arguments, "you", "--min-group", "2").output

    assert "east │ 3 │ 14.00" in " ".join(text.split()) and "attic" not in text
    assert "2 rows, 1 groups hidden" in text and text.split()[-1] == digest
    assert "for west" in run(folder, "--to", "west", "--fetch-from", "you", "--min-group", "2").output
    # Another query, and one that this client ran itself: nobody did.
    for asked in (["you", "--min-group", "3"], ["board", "--min-group", "2"]):
        with pytest.raises(TacitError, match="RUN-006"):
            run(folder, *arguments, *asked)


@pytest.mark.parametrize(
    ("tables", "arguments", "code"),
    [
        (TABLES, ["--output", "x.xlsx"], "INPUT-222"),
        (TABLES, ["--output", "nowhere/x.csv"], "INPUT-222"),
        (TABLES, ["--tables", "missing.toml"], "INPUT-221"),
        ("[visits]\nsource = 'x.csv'\nparty = 'north'\nunique = 5", [], "INPUT-025"),
        ("[visits]\nsource = 'x.csv'\nparty = 'north'\nmin_group = '11'", [], "INPUT-025"),
        ("[visits", [], "INPUT-223"),
        ("[visits]\nsource = 'x.csv'", [], "INPUT-223"),
        ("[visits]\nsource = 'x.csv'\nparty = 'north'\nsources = {}", [], "INPUT-223"),
        ("[visits]\nsource = 'x.csv'\nparty = 'north'\ncolour = 'red'", [], "INPUT-223"),
        ("visits = 1", [], "INPUT-223"),
        ("[visits]\nsource = 'x.csv'\nparty = 'north'", [], "INPUT-001"),
        (TABLES, [], "SQL-003"),
        ("[visits]\nsource = 'visits.csv'\nparty = 'north'", [], "SQL-002"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_error(
    folder: Path, tmp_path: Path, tables: str, arguments: list[str], code: str
) -> None:
    (tmp_path / "tables.toml").write_text(tables)
    if code == "SQL-003":
        (tmp_path / "query.sql").write_text("SELECT colour FROM visits, wards")
    query = tmp_path / "query.sql" if code == "SQL-003" else folder / "query.sql"
    arguments = arguments if "--tables" in arguments else [*arguments, "--tables", str(tmp_path / "tables.toml")]

    found = CliRunner().invoke(commands, ["sql", str(query), "--room", str(folder / "room.toml"), *arguments])

    assert isinstance(found.exception, TacitError), found.output
    assert found.exception.code == code
    if "colour" in tables:
        assert "unknown key 'colour'" in str(found.exception)


def test_a_result_that_cannot_be_written_is_shown(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(table: pa.Table, file: Path) -> None:
        Path(file).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pyarrow.csv, "write_csv", full)
    arguments = ["--room", str(folder / "room.toml"), "--output", str(tmp_path / "out.csv")]

    found = CliRunner().invoke(commands, ["sql", str(folder / "query.sql"), *arguments])

    assert isinstance(found.exception, TacitError) and found.exception.code == "INPUT-222"
    assert "east" in found.output, "what is disclosed shall not be lost"
    assert list(tmp_path.iterdir()) == []


def test_values_of_others_are_shown_as_they_are() -> None:
    console = Console(width=80, force_terminal=False, file=io.StringIO())

    console.print(_shown(pa.table({"[red]a[/]": ["[/bold]", "x\x1b[2Jy", None], "b": [1, 2, 3]})))

    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[/bold]" in text and "[red]a[/]" in text and "NULL" in text and "\x1b" not in text
