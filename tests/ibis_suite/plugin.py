# SPDX-License-Identifier: Apache-2.0
"""Ibis's own backend tests against this backend, a pytest plugin: `pytest --pyargs ibis.backends.tests -p ibis_suite.plugin`.

The tests run as Ibis ships them. Every table's rows are split between three parties, so that all but work on single
rows is joint; the protocol is `plain`, in memory. A test that ends in Ibis's own refusal of an operation is skipped
with the operation's name as the reason, and so is one of what Ibis expects DuckDB, whose dialect this is, to fail.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
from ibis.backends.tests.base import BackendTest
from ibis.common.exceptions import OperationNotDefinedError, UnsupportedBackendType, UnsupportedOperationError

import tacit
import tacit.ibis
from ibis_suite.data import tables
from tacit.errors import TacitError

_REFUSED = (OperationNotDefinedError, UnsupportedOperationError, UnsupportedBackendType)
_OUTCOMES: list[dict[str, str]] = []


class TestConf(BackendTest):
    deps = ("duckdb", "pandas")
    stateful = False
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


def thirds(table: pa.Table) -> dict[int, pa.Table]:
    """The rows of a table split between three parties, in order."""
    cuts = [len(table) * k // 3 for k in range(4)]
    return {k: table.slice(cuts[k], cuts[k + 1] - cuts[k]) for k in range(3)}


# Ibis looks for a backend's own test configuration inside its own package.
_conf = ModuleType("ibis.backends.tacit.tests.conftest")
_conf.TestConf = TestConf  # type: ignore[attr-defined]
sys.modules |= {_conf.__name__: _conf, "ibis.backends.tacit": tacit.ibis}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", help="write one JSON object for each test to this file")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "tacit: tests of this backend")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in (m for kind in ("notimpl", "notyet", "never") for m in item.iter_markers(kind)):
        if "duckdb" in marker.args[0]:
            pytest.skip("Ibis expects DuckDB not to support it")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, _REFUSED):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"Skipped: {reason(error)}")
    if report.when == "call" or report.outcome != "passed":
        why = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
        why = why or getattr(report, "wasxfail", "") or (fault(error) if error is not None else "")
        outcome = "expected failure" if hasattr(report, "wasxfail") else report.outcome
        _OUTCOMES.append({"test": item.nodeid, "outcome": outcome, "reason": why.removeprefix("Skipped: ")})
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    file = session.config.getoption("--outcomes")
    if file:
        Path(file).write_text("\n".join(map(json.dumps, _OUTCOMES)) + "\n")


def reason(error: BaseException) -> str:
    """What was refused, without the place."""
    text = str(error).split("\n")[0]
    found = re.match(r"SQL-006\s+(.*?)(?:,? at line \d+, column \d+.*|\. Expected:.*|\. Next:.*)$", text)
    found = found or re.match(r"(Compilation rule for '.*?' operation is not defined)", text)
    return found[1] if found else text


def fault(error: BaseException) -> str:
    """The first line of what went wrong."""
    text = (str(error).strip() or "?").split("\n")[0]
    return text if isinstance(error, TacitError) else f"{type(error).__name__}: {text}"
