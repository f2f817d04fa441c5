# SPDX-License-Identifier: Apache-2.0
"""The bench: tasks against an oracle of plans, the checks, the rows."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from harness import dry_cost, run_plain
from plan_oracle import Oracle
from tacit.bench import tasks
from tacit.bench.measure import Bench
from tacit.bench.primitives import Boxes
from tacit.cli.main import commands
from tacit.errors import InputError, RoomError, RunError

KEYS = [
    "task",
    "n",
    "protocol",
    "parties",
    "network",
    "seconds",
    "seconds_all",
    "run_seconds",
    "cpu_seconds",
    "bytes_total",
    "bytes_max",
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
    "a2b",
    "shuffle",
    "sort",
    "sort_network",
    "argsort",
    "groupby",
    "join",
    "aes",
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
    if isinstance(task, tasks.Primitive):
        opened = run_plain(task.secure, *(i.values for i in inputs))
        assert task.error(task.settle(opened.view(np.int64)), inputs)[1]
        return
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
    with Bench(transport="memory") as bench, pytest.raises(RunError, match="RUN-210"):
        bench.measure(broken, 4, 1, 0)


def test_a_wrong_result_of_a_primitive_ends_the_bench():
    task = tasks.find(["shuffle"])[0]
    broken = replace(task, secure=lambda box, x: box.shuffle(box.add_public(x, 1)))
    with Bench(transport="memory") as bench, pytest.raises(RunError, match="RUN-210"):
        bench.measure(broken, 4, 1, 0)


@pytest.mark.parametrize("protocol", ["rep3", "plain"])
def test_every_task_is_right_in_memory(protocol):
    with Bench(protocol, transport="memory") as bench:
        for task in tasks.TASKS:
            row = bench.measure(task, small(task), 1, 5)
            assert list(row) == KEYS and len(row["seconds_all"]) == 1
            assert (row["run_seconds"] is None) == isinstance(task, tasks.Primitive)


@pytest.mark.parametrize("transport", ["memory", "process"])
def test_rounds_and_bytes_are_those_of_the_operation(transport):
    with Bench(transport=transport) as bench:
        names = ("mul", "lt", "eq", "a2b", "shuffle")
        rows = {name: bench.measure(tasks.find([name])[0], 960, 1, 0) for name in names}
        inside = bench.measure(tasks.find(["fixed_mul"])[0], 960, 1, 0)
        chain = bench.measure(tasks.find(["chain"])[0], 1, 1, 0)
    assert rows["mul"]["tls"].startswith("TLS 1.3" if transport == "process" else "none")
    assert {row["tls"] for row in rows.values()} == {rows["mul"]["tls"]}
    # Araki et al. 2016: one round, one word from each of three parties per product.
    assert (rows["mul"]["rounds"], rows["mul"]["bytes_total"]) == (1, 24 * 960)
    # 373 and 253 bits an element for a sign and a zero test; 24 bytes and 3 x 18 bits for a truncated product.
    assert (rows["lt"]["rounds"], rows["lt"]["bytes_total"]) == (6, 373 * 960 // 8)
    assert (rows["eq"]["rounds"], rows["eq"]["bytes_total"]) == (7, 253 * 960 // 8)
    assert (inside["rounds"], inside["bytes_total"]) == (3, 24 * 960 + 54 * 960 // 8)
    for name in ("a2b", "shuffle"):
        cost = dry_cost(tasks.find([name])[0].secure, np.zeros(960, dtype=np.int64))
        assert (rows[name]["rounds"], rows[name]["bytes_total"]) == (cost.rounds, cost.bytes_total)
    # Products load the uplinks evenly. In a shuffle one party sends a half.
    assert (rows["mul"]["bytes_max"], rows["shuffle"]["bytes_max"]) == (8 * 960, 16 * 960)
    # A thousand products, each one round, and nothing of the agreement before them.
    assert (chain["rounds"], chain["bytes_total"]) == (1000, 24 * 1000)


def test_a_protocol_that_does_not_exist_is_refused_before_anything_starts():
    with pytest.raises(RoomError):
        Bench("nothing")


def test_a_process_of_the_bench_that_ends_is_noticed_and_none_stays():
    boxes = Boxes("rep3")
    processes = boxes._processes
    try:
        processes[1].kill()
        with pytest.raises(RunError, match="RUN-211"):
            boxes.run(tasks.find(["a2b"])[0], 8, 0)
    finally:
        boxes.close()
    assert not any(p.is_alive() for p in processes)


def test_the_execution_of_a_plan_is_within_its_run():
    with Bench() as bench:
        row = bench.measure(tasks.find(["logreg_step"])[0], 8, 3, 0)
    assert 0 < row["seconds"] < row["run_seconds"]


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


COMPARE = ROOT / "benchmarks" / "compare"


@pytest.fixture
def script(monkeypatch):
    """A file of benchmarks/compare, which is no package: runners read it in other environments."""
    monkeypatch.syspath_prepend(COMPARE)

    def load(name):
        spec = importlib.util.spec_from_file_location(name, COMPARE / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_the_performance_page_is_what_its_script_writes(script):
    page = script("page")
    name, result = page.newest()
    stale = "run python benchmarks/compare/page.py"
    assert page.PAGE.read_text() == page.page(name, result), stale
    for path, text in page.pictures(result).items():
        assert path.read_text() == text, stale


def row_of(task="lt", n=4, **facts):
    row = {
        "task": task,
        "n": n,
        "seconds": 1.0,
        "seconds_all": [2.0, 1.0],
        "run_seconds": 1.5,
        "cpu_seconds": 2.0,
        "bytes_total": 8,
        "bytes_max": 4,
        "rounds": 8,
        "max_abs_error": 0.0,
        "wrong": 0.0,
    }
    return {**row, **facts}


def test_an_engine_that_is_wrong_gets_no_ratio(script):
    page = script("page")
    right = row_of(seconds_all=[5.0, 7.0], cpu_seconds=6.0)
    machine = {"loopback_bytes_per_second": 1e9}
    result = {"machine": machine, "tacit": [row_of()], "engines": {"spu": [right], "mpyc": [{**right, "wrong": 0.25}]}}
    assert "| 5.00 | **5** |" in page.against(result, "spu")
    assert "| 5.00 |  |" in page.against(result, "mpyc") and "25 %" in page.against(result, "mpyc")
    assert "| **5** (3) | 25 % wrong |" in page.ours(result)
    assert page.picture(result, "engines").count("<rect") == 1


def test_the_floor_of_a_network_is_its_bytes_or_its_rounds(script):
    page = script("page")
    slow = {"latency_s": 0.02, "bytes_per_second": 100.0}
    bytes_count, rounds_count = row_of(bytes_max=50, rounds=2), row_of("sort", bytes_max=1, rounds=100)
    result = {"networks": {"wan": {**slow, "rows": [bytes_count, rounds_count]}}}
    shown = page.networks(result)
    assert "| 0.5000 | **2.00** |" in shown and "| 2.00 | **0.50** |" in shown
    assert page.picture(result, "networks").count("<rect") == 2


def test_every_task_is_on_the_page_once(script):
    page = script("page")
    rows = [row_of(t.name) for t in tasks.TASKS] + [row_of("new")]
    shown = [r["task"] for _, some in page.grouped(rows) for r in some]
    assert sorted(shown) == sorted(r["task"] for r in rows)


def test_quoted_figures_stand_beside_the_same_task_only(script):
    page = script("page")
    assert page.quoted({"tacit": [row_of("lt", 1000)]}) == ""
    shown = page.quoted({"tacit": [row_of("lt", 1_000_000, bytes_total=42_000_000), row_of("mlp_step", 128)]})
    assert "| 115 MB | 42 MB | 2.74 |  | 8 |" in shown and "| 229 | 8 |" in shown
    assert "| 2.4 kB | 1.6 kB | 1.5 | 60 | 8 |" in page.quoted({"tacit": [row_of("aes", 10, bytes_total=16_000)]})


def test_runs_go_on_while_they_are_quick(script):
    enough = script("cases").enough
    assert not enough([9.0, 9.0], 5) and enough([9.0, 9.0, 9.0], 5)
    assert not enough([0.1] * 4, 5) and enough([0.1] * 5, 5) and enough([0.1], 1)


def test_wrong_elements_of_an_engine_are_counted(script, tmp_path):
    cases = script("cases")
    cases.save(tmp_path, cases.Case("lt", 4, [np.arange(4)], np.arange(4) < 2))
    cases.save(tmp_path, cases.Case("exp", 2, [np.zeros(2)], np.array([0.5, 100.0])))
    lt, exp = (next(c for c in cases.load(tmp_path) if c.task == name) for name in ("lt", "exp"))
    assert cases.wrong(lt, np.array([1, 1, 0, 1])) == (1.0, 0.25)
    assert cases.wrong(exp, np.array([0.51, 101.0])) == (1.0, 0.0)
    assert cases.wrong(exp, np.array([0.53, 103.0]))[1] == 1.0
    assert cases.wrong(exp, np.array([np.nan, 100.0]))[1] == 0.5
