# SPDX-License-Identifier: Apache-2.0
"""`tacit sql`: run a query over the tables of a room's parties."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tacit.errors import InputError
from tacit.session import Session, connect

ROWS_SHOWN: Final = 100
OUTPUTS: Final = (".parquet", ".csv", ".arrow")
_KEYS: Final = frozenset(
    {"source", "sources", "party", "unique", "rows", "ranges", "types", "values", "min_group", "across"}
)


def sql(
    query: Annotated[Path, typer.Argument(help="A file with one SELECT in DuckDB's dialect.")],
    room: Annotated[Path, typer.Option("--room", help="The room file, the same at every organisation.")],
    tables: Annotated[
        Path | None, typer.Option("--tables", help="The tables; by default `tables.toml` beside the room file.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option("--identity", help="This client's key; by default `identity` beside the room file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="A file for the result: .parquet, .csv or .arrow.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Who alone learns the result; by default everyone.")] = None,
    fetch_from: Annotated[
        str | None, typer.Option("--fetch-from", help="Run nothing: the result of this query as this client ran it.")
    ] = None,
    min_group: Annotated[int, typer.Option("--min-group", min=1, help="The fewest rows of a disclosed group.")] = 1,
    reveals: Annotated[
        list[str] | None,
        typer.Option("--reveals", help="What may be disclosed besides, where it is quicker: join_size."),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show what would be done and disclosed; run nothing.")] = (
        False
    ),
) -> None:
    """Run a query over tables that nobody pools, and print the result.

    The tables file has one section for each table, named as in the query:

    \b
        [visits]
        sources = { north = "visits.parquet", south = "warehouse.visits" }
        unique = ["id"]
        rows = 10000
        ranges = { age = [0, 130] }

    or `source` and `party` for a table of one party; `types`, `values`, `min_group` and `across` as in Session.table.
    """
    if output is not None and output.suffix not in OUTPUTS:
        raise InputError(
            "INPUT-222",
            f"{output} is of no known format",
            expected=f"a name that ends in {', '.join(OUTPUTS)}",
            next="correct --output",
        )
    if output is not None and not output.resolve().parent.is_dir():
        # Found here, not after everything has been disclosed.
        raise _unwritable(output)
    text = _read(query, "put the query into a file, and name it")
    described = _described(tables or room.parent / "tables.toml")
    console = Console()
    with connect(room, identity) as session:
        with Console(stderr=True).status("") as status:
            for name, entry in described.items():
                status.update(f"asking for table {escape(name)}")
                _register(session, name, entry)
            status.update("planning the query")
            frame = session.sql(text, min_group=min_group, reveals=reveals or ())
        if explain:
            console.out(frame.explain(to), highlight=False)
            return
        answer = frame.reveal(to) if fetch_from is None else frame.fetch(fetch_from, to)
    if answer.table is not None and output is not None:
        try:
            _write(answer.table, output)
        except InputError:
            # It is disclosed already, and shall not be lost.
            console.print(_shown(answer.table))
            raise
    elif answer.table is not None:
        console.print(_shown(answer.table))
    hidden = "" if answer.hidden_groups is None else f", {answer.hidden_groups} groups hidden"
    whose = f"for {to}" if answer.table is None else f"{len(answer)} rows"
    console.out(f"{whose}{hidden}; {answer.cost}; plan {answer.digest}", highlight=False)


def _read(file: Path, advice: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise InputError(
            "INPUT-221",
            f"{file} cannot be read",
            expected="a file with text in UTF-8",
            next=advice,
        ) from None


def _described(file: Path) -> dict[str, dict[str, Any]]:
    try:
        document = tomllib.loads(_read(file, "describe the tables as `tacit sql --help` shows, or name --tables"))
    except tomllib.TOMLDecodeError as error:
        raise _bad_tables(file, f"it is no TOML: {error}") from None
    for name, entry in document.items():
        if not isinstance(entry, dict):
            raise _bad_tables(file, f"{name[:100]!r} is no section")
        unknown = next((key for key in entry if key not in _KEYS), None)
        if unknown is not None:
            raise _bad_tables(file, f"section {name[:100]!r} has the unknown key {unknown[:100]!r}")
        if ("sources" in entry) == ("source" in entry) or ("party" in entry) != ("source" in entry):
            raise _bad_tables(file, f"section {name[:100]!r} needs either `source` and `party`, or `sources`")
    return document


def _bad_tables(file: Path, why: str) -> InputError:
    return InputError(
        "INPUT-223",
        f"{file} does not describe tables: {why}",
        expected=f"sections with some of {', '.join(sorted(_KEYS))}",
        next="see `tacit sql --help`",
    )


def _register(session: Session, name: str, entry: Mapping[str, Any]) -> None:
    options = {key: value for key, value in entry.items() if key not in ("source", "sources", "party")}
    session.table(name, entry.get("source", entry.get("sources")), entry.get("party"), **options)


def _write(table: Any, output: Path) -> None:
    import pyarrow.csv
    import pyarrow.feather
    import pyarrow.parquet

    draft = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        if output.suffix == ".parquet":
            pyarrow.parquet.write_table(table, draft)
        elif output.suffix == ".csv":
            pyarrow.csv.write_csv(table, draft)
        else:
            pyarrow.feather.write_feather(table, str(draft))
        draft.replace(output)
    except OSError:
        draft.unlink(missing_ok=True)
        raise _unwritable(output) from None


def _unwritable(output: Path) -> InputError:
    return InputError(
        "INPUT-222",
        f"{output} cannot be written",
        expected="a name in a directory that there is, which this user may write to",
        next="correct --output",
    )


def _cell(value: Any) -> Text:
    """A value as it is: what other organisations have written is neither markup nor orders to a terminal."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value)))


def _shown(table: Any) -> Table:
    shown = Table()
    for name in table.column_names:
        shown.add_column(_cell(name))
    for row in zip(*(c.to_pylist() for c in table.slice(0, ROWS_SHOWN).columns), strict=True):
        shown.add_row(*("NULL" if value is None else _cell(value) for value in row))
    if table.num_rows > ROWS_SHOWN:
        shown.caption = f"{table.num_rows - ROWS_SHOWN} more rows: use --output"
    return shown
