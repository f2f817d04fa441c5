# SPDX-License-Identifier: Apache-2.0
"""Ibis's own backend tests against this backend: a pytest plugin, which `report` runs.

The tests run as Ibis ships them. Every table's rows are split between three parties, so that all but work on single
rows is joint; the protocol is `plain`, in memory. A test that ends in Ibis's own refusal of an operation, or in ours at
planning, is skipped with what was refused as the reason, and so is what Ibis expects DuckDB, whose dialect this is, to
fail. With `-m duckdb` the same tests run on the same tables in Ibis's DuckDB backend.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis.backends.tests.base import BackendTest
from ibis.common.exceptions import OperationNotDefinedError, UnsupportedBackendType, UnsupportedOperationError

import tacit
import tacit.ibis
from ibis_suite.data import tables
from tacit.errors import SqlError, TacitError

_REFUSED = (OperationNotDefinedError, UnsupportedOperationError, UnsupportedBackendType, NotImplementedError)
_CLASSES = {
    "SQL-005": "operands or clauses that do not go together",
    "SQL-008": "a value may not fit 63 bits",
    "SQL-010": "a join of all pairs is too large",
    "SQL-015": "a party's part of the query is too long",
}
_DIFFERENT = {
    "test_divide_by_zero": "a quotient by zero is NULL, not infinite",
    "test_corr_cov[tacit-no_cond-corr_pop]": "doubles have 18 binary places",
    "test_trig_functions_columns": "doubles have 18 binary places",
    "test_binary_arithmetic_operations[tacit-pow]": "doubles reach 2^43",
    "test_table_info_large": "one party's part of a query names 100 tables at most",
    "test_table_describe_large": "one party's part of a query names 100 tables at most",
    "test_timestamp_precision_output[tacit-ns]": "timestamps count microseconds",
    "test_nullable_input_output": "a column has NULL or not as its rows have, whatever its schema says",
    "test_json_to_pyarrow": "JSON",
    "test_repr_timestamp_array": "array types",
    "test_roundtrip_partitioned_parquet": "the backend writes a file in one piece, and reads none",
}
"""What is meant to be different: tests that fail, and why."""
_CLEAR: list[Any] = []
_OUTCOMES: list[dict[str, str]] = []


class Secret(BackendTest):
    deps = ("duckdb", "pandas")
    stateful = False
    # Rows that a query puts in no order come in any.
    force_sort = True
    supports_arrays = False
    supports_structs = False
    supports_json = False
    # Doubles have 18 binary places here.
    reduction_tolerance = 1e-4

    @classmethod
    def name(cls) -> str:
        return "tacit"

    @staticmethod
    def connect(*, tmpdir: Any, worker_id: str, **kw: Any) -> tacit.ibis.Backend:
        session = tacit.local(3, "plain", transport="memory")
        for name, table in tables().items():
            session.table(name, thirds(table))
        return tacit.ibis.Backend().connect(session, **kw)

    def _load_data(self, **_: Any) -> None:
        """Tables come with the connection."""


class Clear(Secret):
    @classmethod
    def name(cls) -> str:
        return "duckdb"

    @staticmethod
    def connect(*, tmpdir: Any, worker_id: str, **kw: Any) -> Any:
        connection = ibis.duckdb.connect(**kw)
        for name, table in tables().items():
            connection.con.register(f"rows of {name}", table)
            connection.con.execute(f'CREATE TABLE {name} AS FROM "rows of {name}"')
        _CLEAR.append(connection.con)
        return connection


def thirds(table: pa.Table) -> dict[int, pa.Table]:
    """The rows of a table split between three parties, in order."""
    cuts = [len(table) * k // 3 for k in range(4)]
    return {k: table.slice(cuts[k], cuts[k + 1] - cuts[k]) for k in range(3)}


def _configuration(name: str, kind: type[BackendTest]) -> None:
    """Ibis looks for a backend's own test configuration inside its own package."""
    module = ModuleType(f"ibis.backends.{name}.tests.conftest")
    module.TestConf = kind  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module


sys.modules["ibis.backends.tacit"] = tacit.ibis
_configuration("tacit", Secret)
_configuration("duckdb", Clear)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", help="write one JSON object for each test to this file")


def pytest_configure(config: pytest.Config) -> None:
    for name in ("tacit", "notimpl", "notyet", "never", "backend", "core"):
        config.addinivalue_line("markers", f"{name}: Ibis's own")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in (m for kind in ("notimpl", "notyet", "never") for m in item.iter_markers(kind)):
        if "duckdb" in marker.args[0]:
            pytest.skip("Ibis expects DuckDB not to support it")


def pytest_runtest_teardown() -> None:
    for connection in _CLEAR:
        # What a failed test has left unread would fail all others.
        with contextlib.suppress(Exception):
            connection.fetchall()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    known = _DIFFERENT.get(item.name) or _DIFFERENT.get(item.name.partition("[")[0])
    if error is not None and not isinstance(error, pytest.skip.Exception) and (known or refused(error)):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"Skipped: {known or reason(error)}")
    if report.when == "call" or report.outcome != "passed":
        why = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
        why = why or getattr(report, "wasxfail", "") or (fault(error) if error is not None else "")
        outcome = "expected failure" if hasattr(report, "wasxfail") else report.outcome
        _OUTCOMES.append(
            {"test": f"{item.path.name}::{item.name}", "outcome": outcome, "reason": why.removeprefix("Skipped: ")}
        )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    file = session.config.getoption("--outcomes")
    if file:
        Path(file).write_text("\n".join(map(json.dumps, _OUTCOMES)) + "\n")


def refused(error: BaseException) -> bool:
    """Whether a test ended because something is not offered, and not because it is wrong."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(refused, error.exceptions))
    # Some tests have a table of what each backend that Ibis knows gives.
    unlisted = isinstance(error, KeyError) and error.args == ("tacit",)
    return isinstance(error, _REFUSED) or unlisted or (isinstance(error, SqlError) and error.code in _CLASSES)


def reason(error: BaseException) -> str:
    """What was refused, without the place."""
    if isinstance(error, BaseExceptionGroup):
        return reason(error.exceptions[0])
    if isinstance(error, KeyError):
        return "the test has answers for the backends that Ibis knows"
    text = str(error).split("\n")[0]
    if isinstance(error, SqlError):
        return f"{error.code}: {_CLASSES.get(error.code, error.what)}"
    found = re.match(r"SQL-006\s+(.*?)(?:,? at line \d+, column \d+.*|\. Expected:.*|\. Next:.*)$", text)
    found = found or re.match(r"Compilation rule for '(.*?)' operation is not defined", text)
    return (found[1] if found else text).removesuffix(" is not supported")


def fault(error: BaseException) -> str:
    """The first line of what went wrong."""
    text = (str(error).strip() or "?").split("\n")[0]
    return text if isinstance(error, TacitError) else f"{type(error).__name__}: {text}"
