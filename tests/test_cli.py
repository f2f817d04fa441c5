# SPDX-License-Identifier: Apache-2.0
"""The command line: what it prints, exit codes, interruption, and the generated pages."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import tacit as tc
from tacit.cli import reference
from tacit.cli.main import commands

DOCS = Path(__file__).parents[1] / "docs"
TACIT = [sys.executable, "-m", "tacit.cli.main"]


def tacit(*arguments, **options):
    return subprocess.run([*TACIT, *arguments], capture_output=True, text=True, timeout=120, check=False, **options)


def invoke(*arguments):
    return CliRunner().invoke(commands, list(arguments))


def test_version_is_that_of_the_package():
    assert invoke("version").output.strip() == tc.__version__


def test_every_command_has_help():
    for arguments in ([], ["demo"], ["bench"], ["party"], ["party", "run"], ["plan"], ["plan", "show"], ["version"]):
        result = invoke(*arguments, "--help")
        assert result.exit_code == 0 and "Usage" in result.output


def test_the_demos_are_listed():
    result = invoke("demo", "--list")
    assert "hospitals" in result.output and "salary" in result.output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["demo", "nothing"], "INPUT-200"),
        (["demo", "--out", "no/such/directory/report.html"], "INPUT-201"),
        (["bench", "--task", "nothing"], "INPUT-210"),
        (["bench", "--json", "no/such/directory/out.json"], "INPUT-211"),
        (["plan", "show", "missing.plan"], "INPUT-220"),
        (["demo", "salary", "--protocol", "nothing"], "ROOM-"),
    ],
)
def test_an_error_is_one_paragraph_on_stderr_with_exit_code_2(arguments, code, tmp_path):
    result = tacit(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith(code)
    assert "Traceback" not in result.stderr and "Expected:" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_option_is_a_usage_error():
    result = tacit("bench", "--network", "moon")
    assert result.returncode == 2 and "Traceback" not in result.stderr


def test_a_plan_is_shown_with_its_digest_and_disclosures(tmp_path):
    with tc.local(transport="memory") as session:
        x = session.input(np.array([1, 2]), party=0) + session.input(np.array([3, 4]), party=1)
        plan = session.plan_of(x, purpose="the sums")
    (tmp_path / "sums.plan").write_bytes(plan.to_bytes())
    result = invoke("plan", "show", str(tmp_path / "sums.plan"))
    assert result.exit_code == 0
    assert plan.digest in result.output and "the sums" in result.output


def test_a_file_that_is_no_plan_is_refused(tmp_path):
    (tmp_path / "x.plan").write_bytes(b"{}")
    result = tacit("plan", "show", str(tmp_path / "x.plan"))
    assert result.returncode == 2 and result.stderr.startswith("PLAN-")


def test_the_demo_as_json_is_json_and_nothing_else_on_stdout(tmp_path):
    result = tacit("demo", "salary", "--json", "--transport", "memory", cwd=tmp_path)
    document = json.loads(result.stdout)
    assert result.returncode == 0 and document["agrees"] is True
    assert re.fullmatch("[0-9a-f]{64}", document["facts"]["digest"])
    assert [p.name for p in tmp_path.iterdir()] == ["tacit-report.html"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_every_process_and_exits_with_130(number, tmp_path):
    command = [
        *TACIT,
        "bench",
        "--task",
        "div",
        "--n",
        "100000",
        "--repeat",
        "1000",
        "--json",
        str(tmp_path / "x.json"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    children: list[int] = []
    deadline = time.monotonic() + 60
    while len(children) < 3 and time.monotonic() < deadline:
        children = [int(c) for c in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and stderr.startswith("RUN-200") and "Traceback" not in stderr
    assert len(children) == 3 and not [c for c in children if _runs(c)]
    assert list(tmp_path.iterdir()) == []


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_generated_pages_are_fresh():
    assert reference.stale(DOCS) == [], "run `make docs`"


def test_a_stale_page_is_noticed_and_written_anew(tmp_path):
    assert reference.main([str(tmp_path)]) == 0
    assert reference.main([str(tmp_path), "--check"]) == 0
    (tmp_path / "cli.md").write_text("old")
    assert reference.main([str(tmp_path), "--check"]) == 1
    assert (tmp_path / "cli.md").read_text() == "old"


def test_every_error_code_in_the_source_is_explained():
    page = reference.errors_page()
    in_source = set()
    for path in reference.SOURCES.rglob("*.py"):
        in_source |= {m[0] for m in re.finditer(rf'(?<="){reference.CODE.pattern}(?=")', path.read_text())}
    rows = dict(re.findall(r"^\| `([A-Z]+-\d{3})` \| (.*?) \|", page, re.MULTILINE))
    assert in_source - {"RUN-000"} <= set(rows)
    assert not [code for code, what in rows.items() if not what.strip() and code != "RUN-000"]
    assert not [what for what in rows.values() if reference.CODE.search(what)], "a list of codes says nothing"
    prefixes = {cls.__name__.removesuffix("Error").upper() for cls in tc.TacitError.__subclasses__()}
    assert {code.partition("-")[0] for code in rows} == prefixes
