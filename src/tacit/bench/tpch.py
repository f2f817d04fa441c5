# SPDX-License-Identifier: Apache-2.0
"""The 22 queries of TPC-H over tables that three parties hold, each answer compared with DuckDB's.

The tables come from `tpchgen-cli`. `vertical` gives whole tables to parties: customers with their orders, lines of
orders, parts with their suppliers; `horizontal` deals the rows of every table out in turn. The texts of the queries and
where they come from: queries/README.md.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from tacit import Session
from tacit.errors import InputError, RunError

Split: TypeAlias = Literal["vertical", "horizontal"]

QUERIES: Final = tuple(range(1, 23))
KEYS: Final = {
    "lineitem": ("l_orderkey", "l_linenumber"), "orders": ("o_orderkey",), "customer": ("c_custkey",),
    "part": ("p_partkey",), "supplier": ("s_suppkey",), "partsupp": ("ps_partkey", "ps_suppkey"),
    "nation": ("n_nationkey",), "region": ("r_regionkey",),
}  # fmt: skip
"""The tables and their primary keys."""
OWNER: Final = {"lineitem": 1, "part": 2, "supplier": 2, "partsupp": 2}
"""The party of a table that is split vertically, 0 for the others."""
VALUES: Final = {
    "l_returnflag": "A,N,R", "l_linestatus": "F,O", "o_orderstatus": "F,O,P",
    "o_orderpriority": "1-URGENT,2-HIGH,3-MEDIUM,4-NOT SPECIFIED,5-LOW",
    "l_shipmode": "REG AIR,AIR,RAIL,SHIP,TRUCK,MAIL,FOB",
    "l_shipinstruct": "DELIVER IN PERSON,COLLECT COD,NONE,TAKE BACK RETURN",
    "c_mktsegment": "AUTOMOBILE,BUILDING,FURNITURE,MACHINERY,HOUSEHOLD",
    "p_brand": ",".join(f"Brand#{m}{n}" for m in range(1, 6) for n in range(1, 6)),
    "p_container": ",".join(
        f"{size} {kind}"
        for size in ("SM", "LG", "MED", "JUMBO", "WRAP")
        for kind in ("CASE", "BOX", "BAG", "JAR", "PKG", "PACK", "CAN", "DRUM")
    ),
}  # fmt: skip
"""Values of columns as the specification lists them (clause 4.2.2.13): flags and codes, written as text."""
SCALE: Final = 0.01
"""The scale factor that is measured: 60,000 rows of `lineitem`."""


def text(number: int) -> str:
    """The text of a query."""
    return (Path(__file__).parent / "queries" / f"q{number:02}.sql").read_text(encoding="utf-8")


def generate(scale: float) -> dict[str, Any]:
    """The tables at a scale factor, as Arrow tables. Raises InputError INPUT-212 without `tpchgen-cli`."""
    import pyarrow.parquet

    program = shutil.which("tpchgen-cli", path=str(Path(sys.executable).parent)) or shutil.which("tpchgen-cli")
    if program is None:
        raise InputError(
            "INPUT-212",
            "the tables of TPC-H are made by `tpchgen-cli`, which is not installed",
            next="pip install tpchgen-cli",
        )
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "parquet", "-s", str(scale), "-o", folder], check=True, capture_output=True)
        return {name: _plain(pyarrow.parquet.read_table(Path(folder) / f"{name}.parquet")) for name in KEYS}


def _plain(table: Any) -> Any:
    """The table without views of strings, which not all that read it know."""
    import pyarrow as pa

    kinds = [pa.string() if pa.types.is_string_view(f.type) else f.type for f in table.schema]
    return table.cast(pa.schema(list(zip(table.schema.names, kinds, strict=True))))


def register(session: Session, tables: Mapping[str, Any], split: Split) -> None:
    """Make the tables known to a session, with their keys."""
    for name, table in tables.items():
        if split == "vertical":
            source: Any = {OWNER.get(name, 0): table}
        else:
            source = {party: table.take(list(range(party, len(table), 3))) for party in range(3)}
        values = {c: v.split(",") for c, v in VALUES.items() if c in table.column_names}
        session.table(name, source, unique=[KEYS[name]], values=values)


def oracle(tables: Mapping[str, Any]) -> Any:
    """DuckDB with all the tables."""
    import duckdb

    database = duckdb.connect(config={"threads": 1})
    for name, table in tables.items():
        database.register(name, table)
    return database


def same(rows: Sequence[tuple[Any, ...]], expected: Sequence[tuple[Any, ...]]) -> bool:
    """Whether two answers are alike, in order: exactly, but doubles to 12 digits, since DuckDB's sums of them depend on
    the order of rows.
    """

    def close(x: Any, y: Any) -> bool:
        if isinstance(x, float) and isinstance(y, float):
            return math.isclose(x, y, rel_tol=1e-12)
        # A HUGEINT is a decimal in Arrow, and an integer to DuckDB's own reader.
        return bool((type(x) is type(y) or {type(x), type(y)} == {int, Decimal}) and x == y)

    return len(rows) == len(expected) and all(all(map(close, a, b)) for a, b in zip(rows, expected, strict=True))


def rows_of(table: Any) -> list[tuple[Any, ...]]:
    """The rows of an Arrow table as values of Python."""
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def measure(session: Session, tables: Mapping[str, Any], queries: Sequence[int] = QUERIES) -> Iterator[dict[str, Any]]:
    """Run queries over registered tables, one row of figures for each; n is the number of rows of all tables.

    `seconds` is the wall time from the text to the answer, planning and all; `bytes_max` what the party sent that sent
    most. Raises RunError RUN-210 if an answer is not DuckDB's.
    """
    database = oracle(tables)
    for number in queries:
        query = text(number)
        start = time.perf_counter()
        answer = session.sql(query).reveal()
        seconds = time.perf_counter() - start
        if not same(rows_of(answer.table), rows_of(database.sql(query).to_arrow_table())):
            raise RunError(
                "RUN-210",
                f"query {number} of TPC-H gave another answer than DuckDB",
                expected="the same rows",
                next="report it: it is a defect of tacit",
            )
        report = session.last
        assert report is not None
        yield {
            "task": f"tpch q{number:02}",
            "n": sum(map(len, tables.values())),
            "seconds": seconds,
            "cpu_seconds": report.cpu_seconds,
            "rounds": report.rounds,
            "bytes_total": report.bytes_total,
            "bytes_max": report.execution.bytes_max,
            "max_abs_error": 0.0,
        }
