# SPDX-License-Identifier: Apache-2.0
"""The bench: tasks against an oracle of plans, the checks, the rows."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import tacit as tc
from plan_oracle import Oracle
from tacit.bench import tasks
from tacit.bench.measure import measure
from tacit.cli.main import commands
from tacit.errors import InputError, RunError

KEYS = [
    "task",
    "n",
    "protocol",
    "parties",
    "network",
    "seconds",
    "seconds_all",
    "cpu_seconds",
    "bytes_total",
    "rounds",
    "max_abs_error",
    "tls",
]
NAMES = [
    "mul",
    "fixed_mul",
    "dot",
    "matmul",
    "lt",
    "eq",
    "lt_wide",
    "relu",
    "select",
    "sort",
    "sort_network",
    "argsort",
    "topk",
    "median",
    "div",
    "exp",
    "log",
    "sqrt",
    "sigmoid",
    "softmax",
    "gelu",
    "logreg_step",
    "mlp_step",
    "chain",
]
SMALL = 12


def small(task):
    return 6 if task.name in ("matmul", "mlp_step") else SMALL


def test_the_tasks_are_those_that_are_documented():
    assert [t.name for t in tasks.TASKS] == NAMES
    assert tasks.find(["all"]) == list(tasks.TASKS)
    assert [t.name for t in tasks.find(["lt", "mul", "lt"])] == ["lt", "mul"]


def test_an_unknown_task_is_refused_with_the_names_there_are():
    with pytest.raises(InputError, match=r"INPUT-210.*fixed_mul"):
        tasks.find(["mul", "nothing"])


@pytest.mark.parametrize("task", tasks.TASKS, ids=lambda t: t.name)
def test_inputs_come_from_the_seed_and_lie_in_their_range(task):
    first, again, other = (task.inputs(small(task), seed) for seed in (1, 1, 2))
    for a, b, c in zip(first, again, other, strict=True):
        # The one that keeps a result from being rounded for disclosure is the same for every seed.
        constant = np.all(a.values == 1)
        assert np.array_equal(a.values, b.values) and np.array_equal(a.values, c.values) == constant
        assert a.range[0] <= a.values.min() and a.values.max() <= a.range[1]
        if a.values.dtype.kind == "f":
            assert np.array_equal(np.rint(a.values / tasks.UNIT) * tasks.UNIT, a.values)


@pytest.mark.parametrize("task", tasks.TASKS, ids=lambda t: t.name)
def test_the_secure_side_means_what_the_plain_side_says(task):
    inputs = task.inputs(12 if task.name in ("matmul", "mlp_step") else 200, 3)
    oracle = Oracle()
    result = task.secure(*(oracle.input(i.values, party=k % 3, range=i.range) for k, i in enumerate(inputs)))
    assert task.error(result.reveal(), inputs)[1]


@pytest.mark.parametrize("task", tasks.TASKS, ids=lambda t: t.name)
def test_a_wrong_element_is_noticed(task):
    inputs = task.inputs(small(task), 4)
    wrong = np.array(task.plain(*(i.values for i in inputs)))
    element = wrong.reshape(-1)[:1]
    element[:] = ~element if wrong.dtype == bool else element + (1 if wrong.dtype.kind == "i" else 0.5)
    error, within = task.error(wrong, inputs)
    assert not within and error > 0
    assert not task.error(np.zeros((3, 3, 3)), inputs)[1]


def test_a_wrong_result_ends_the_bench():
    task = tasks.find(["mul"])[0]
    broken = tasks.Task("mul", "mul", "", 4, task.make, lambda x, y: x * y + 1, task.plain)
    with tc.local(transport="memory") as session, pytest.raises(RunError, match="RUN-210"):
        measure(session, broken, 4, 1, "loopback", 0)


@pytest.mark.parametrize("protocol", ["rep3", "plain"])
def test_every_task_is_right_in_memory(protocol):
    with tc.local(protocol=protocol, transport="memory") as session:
        for task in tasks.TASKS:
            row = measure(session, task, small(task), 1, "loopback", 5)
            assert list(row) == KEYS and len(row["seconds_all"]) == 1


@pytest.mark.parametrize("transport", ["memory", "process"])
def test_rounds_and_bytes_are_those_of_the_operation(transport):
    with tc.local(transport=transport) as session:
        rows = {name: measure(session, tasks.find([name])[0], 960, 1, "loopback", 0) for name in ("mul", "lt", "eq")}
        inside = measure(session, tasks.find(["fixed_mul"])[0], 960, 1, "loopback", 0)
        chain = measure(session, tasks.find(["chain"])[0], 1, 1, "loopback", 0)
    # Araki et al. 2016: one round, one word from each of three parties per product.
    assert (rows["mul"]["rounds"], rows["mul"]["bytes_total"]) == (1, 24 * 960)
    # 335 and 253 bits an element for a sign and a zero test; 24 bytes and 3 x 18 bits for a truncated product.
    assert (rows["lt"]["rounds"], rows["lt"]["bytes_total"]) == (7, 335 * 960 // 8)
    assert (rows["eq"]["rounds"], rows["eq"]["bytes_total"]) == (7, 253 * 960 // 8)
    assert (inside["rounds"], inside["bytes_total"]) == (3, 24 * 960 + 54 * 960 // 8)
    # A thousand products, each one round, and nothing of the agreement before them.
    assert (chain["rounds"], chain["bytes_total"]) == (1000, 24 * 1000)


def test_the_command_writes_one_json_row_per_task(tmp_path):
    path = tmp_path / "out.json"
    arguments = [
        "bench",
        "--task",
        "lt",
        "--task",
        "mul",
        "--n",
        "64",
        "--repeat",
        "3",
        "--protocol",
        "rep3",
        "--network",
        "loopback",
        "--json",
    ]
    result = CliRunner().invoke(commands, [*arguments, str(path)], catch_exceptions=False)
    rows = json.loads(path.read_text())
    assert result.exit_code == 0
    assert [r["task"] for r in rows] == ["lt", "mul"]
    for row in rows:
        assert list(row) == KEYS
        assert row["n"] == 64 and row["parties"] == 3 and len(row["seconds_all"]) == 3
        assert row["seconds"] == sorted(row["seconds_all"])[1] > 0
        assert row["max_abs_error"] == 0 and "X25519MLKEM768" in row["tls"]
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_a_json_file_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(InputError, match="INPUT-211"):
        CliRunner().invoke(
            commands, ["bench", "--task", "mul", "--json", str(tmp_path / "no" / "x.json")], catch_exceptions=False
        )


def test_the_list_names_every_task():
    result = CliRunner().invoke(commands, ["bench", "--list"])
    assert result.exit_code == 0
    assert all(name in result.output for name in NAMES)


# --- beside other engines -----------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[1]


def script(name):
    """A file of benchmarks/compare, which is no package: runners read it in other environments."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / "compare" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_performance_page_is_what_its_script_writes():
    page = script("page")
    name, result = page.newest()
    stale = "run python benchmarks/compare/page.py"
    assert page.PAGE.read_text() == page.page(name, result), stale
    assert page.PICTURE.read_text() == page.picture(result), stale


def test_an_engine_that_is_wrong_gets_no_ratio():
    page = script("page")
    mine = {"task": "lt", "n": 4, "seconds_all": [2.0, 1.0], "cpu_seconds": 2.0, "bytes_total": 8}
    right = {**mine, "seconds_all": [5.0, 7.0], "wrong": 0.0, "max_abs_error": 0.0, "rounds": 8}
    result = {"tacit": [mine], "engines": {"spu": [right], "mpyc": [{**right, "wrong": 0.25}]}}
    assert "| 5.00 | **5** |" in page.against(result, "spu")
    assert "| 5.00 |  |" in page.against(result, "mpyc") and "25 %" in page.against(result, "mpyc")
    assert page.picture(result).count("<rect") == 1


def test_wrong_elements_of_an_engine_are_counted(tmp_path):
    cases = script("cases")
    cases.save(tmp_path, cases.Case("lt", 4, [np.arange(4)], np.arange(4) < 2))
    cases.save(tmp_path, cases.Case("exp", 2, [np.zeros(2)], np.array([0.5, 100.0])))
    lt, exp = (next(c for c in cases.load(tmp_path) if c.task == name) for name in ("lt", "exp"))
    assert cases.wrong(lt, np.array([1, 1, 0, 1])) == (1.0, 0.25)
    assert cases.wrong(exp, np.array([0.51, 101.0])) == (1.0, 0.0)
    assert cases.wrong(exp, np.array([0.53, 103.0]))[1] == 1.0
    assert cases.wrong(exp, np.array([np.nan, 100.0]))[1] == 0.5
