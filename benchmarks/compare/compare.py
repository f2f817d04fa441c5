"""Every bench task in tacit and in the engines that are installed: the same inputs, the same machine, checked results.

And some of them in tacit alone, under the networks that its transport emulates. Writes benchmarks/results/DATE.json and
prints tables. `make bench-engines` installs the engines, each in its own environment under .venv-bench; without them
this measures tacit alone. Run: python compare.py [task ...]; with tasks it writes nothing.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from cases import Case, best, floor_of, load, save, write
from loopback import throughput
from rich.console import Console
from rich.table import Table

import tacit as tc
from tacit.bench import tasks
from tacit.bench.measure import Bench
from tacit.bench.tasks import Task
from tacit.demos.outcome import size
from tacit.transport.tls import NETWORKS

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
RESULTS = ROOT / "benchmarks" / "results"
REPEAT = 5
SEED = 0
SIZES = {"matmul": 1024}
"""Sizes other than a task's own."""
LARGER = {"sort": 1_000_000, "groupby": 1_000_000, "join": 1_000_000}
"""Sizes that are measured besides, of ours alone."""
SMALLER: dict[str, dict[str, int]] = {
    "spu": {},
    "crypten": {
        **dict.fromkeys(("lt", "eq", "lt_wide", "relu", "a2b"), 100_000),
        **dict.fromkeys(("div", "exp", "log", "sqrt", "sigmoid", "gelu"), 10_000),
        "softmax": 1000,
    },
    "mpyc": {
        "mul": 100_000,
        "fixed_mul": 10_000,
        "matmul": 64,
        "lt": 1000,
        "eq": 1000,
        "lt_wide": 1000,
        "relu": 1000,
        "select": 100_000,
        "sort": 100,
    },
}
"""The engines, and where one needs minutes at a task's own size, a smaller one. MPyC runs only what is listed."""
MOST_S = 1200
EMULATED: dict[str, int] = {"lan": 3, "wan": 2}
"""The emulated networks, and how often a task runs in each."""
ON_NETWORKS = ("mul", "fixed_mul", "lt", "eq", "relu", "sort", "logreg_step", "mlp_step", "chain")
ALSO: dict[tuple[str, str], tuple[int, ...]] = {("lan", "sort"): (10**6,)}
"""Further sizes: of many rows latency is a smaller part."""
ONCE = "chain"
"""A thousand rounds are alike, and long under `wan`: it runs once."""


def size_of(task: Task, engine: str) -> int | None:
    """The number of elements of a task in an engine, None where it is left out."""
    own = SMALLER[engine].get(task.name)
    return own if own is not None or engine == "mpyc" else SIZES.get(task.name, task.n)


def case_of(task: Task, n: int) -> Case:
    """The inputs of a task and its result in plaintext.

    Left out are the ones that keep a result of ours from being rounded for disclosure: other engines need none.
    """
    values = [i.values for i in task.inputs(n, SEED)]
    return Case(task.name, n, [v for v in values if not np.all(v == 1)], np.asarray(task.plain(*values)))


def ours(chosen: list[tuple[Task, int]]) -> list[dict[str, Any]]:
    """The rows of tacit; a wrong result raises."""
    with Bench() as bench:
        return [{**bench.measure(t, n, REPEAT, SEED), "wrong": 0.0} for t, n in chosen]


def emulated(network: Literal["lan", "wan"], chosen: list[Task]) -> dict[str, Any]:
    """An emulated network, and the rows of tacit under it."""
    latency, rate = NETWORKS[network]
    with Bench(network=network) as bench:
        rows = [
            bench.measure(t, n, 1 if t.name == ONCE else EMULATED[network], SEED)
            for t in chosen
            if t.name in ON_NETWORKS
            for n in (t.n, *ALSO.get((network, t.name), ()))
        ]
    return {"latency_s": latency, "bytes_per_second": rate, "rows": rows}


def python_of(engine: str) -> Path:
    """The interpreter of an engine's environment, which need not exist."""
    return ROOT / ".venv-bench" / engine / "bin" / "python"


def theirs(engine: str, chosen: list[Task], console: Console) -> list[dict[str, Any]]:
    """The rows of an engine, none where it fails."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), Path(name) / "rows.json"
        for task in chosen:
            if n := size_of(task, engine):
                save(folder, case_of(task, n))
        if not load(folder):
            return []
        command = [str(python_of(engine)), str(HERE / f"{engine}_runner.py"), name, str(REPEAT), str(out)]
        command += ["-M3"] if engine == "mpyc" else []
        done = subprocess.run(command, cwd=HERE, timeout=MOST_S, check=False)
        if not out.exists():
            console.print(f"{engine} failed with exit status {done.returncode}")
            return []
        found: list[dict[str, Any]] = json.loads(out.read_text())
    return found


def machine(loopback: float) -> dict[str, Any]:
    """What the numbers depend on."""
    info = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    fields = dict(line.split(":", 1) for line in info if ":" in line)
    flags = next((v.split() for k, v in fields.items() if k.strip() == "flags"), [])
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": next((v.strip() for k, v in fields.items() if k.strip() == "model name"), platform.processor()),
        "avx512": "avx512f" in flags,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "tacit": tc.__version__,
        "commit": commit.stdout.strip(),
        "loopback_bytes_per_second": round(loopback),
        "load_before": round(os.getloadavg()[0], 2),
    }


def kernels() -> dict[str, dict[str, float]]:
    """The rates of the kernels that everything waits for, and what this core could do; none without 512-bit vectors."""
    command = ["cargo", "run", "--release", "--quiet", "--package", "tacit-gemm", "--example", "ceiling"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = (line.split() for line in done.stdout.splitlines())
    return {name: {"rate": float(rate), "ceiling": float(ceiling)} for name, rate, ceiling, _ in found}


def table(result: dict[str, Any]) -> Table:
    """Ours, and the engines beside it with how many times our wall and our processor time they take."""
    engines = result["engines"]
    out = Table(box=None, pad_edge=False)
    out.add_column("task")
    for title in ("n", "seconds", "cpu", "sent", "rounds", "floor", *engines):
        out.add_column(title, justify="right", no_wrap=True)
    for row in result["tacit"]:
        key = row["task"], row["n"]
        floor = row["bytes_total"] / result["machine"]["loopback_bytes_per_second"]
        cells = [
            f"{best(row):.4f}",
            f"{row['cpu_seconds']:.3f}",
            size(row["bytes_total"]),
            str(row["rounds"]),
            f"{floor:.4f}",
        ]
        for rows in engines.values():
            other = next((r for r in rows if (r["task"], r["n"]) == key), None)
            cells.append(versus(row, other) if other else "")
        out.add_row(row["task"], f"{row['n']:,}", *cells)
    return out


def network_table(name: str, network: dict[str, Any]) -> Table:
    """Seconds under an emulated network, and how many times what it needs for the bytes and rounds alone."""
    out = Table(title=name, title_justify="left", box=None, pad_edge=False)
    out.add_column("task")
    for title in ("n", "seconds", "sent by one party", "rounds", "floor", "seconds / floor"):
        out.add_column(title, justify="right", no_wrap=True)
    for row in network["rows"]:
        floor = floor_of(row, network)
        cells = [f"{best(row):.3f}", size(row["bytes_max"]), str(row["rounds"]), f"{floor:.3f}"]
        out.add_row(row["task"], f"{row['n']:,}", *cells, f"{best(row) / floor:.2f}")
    return out


def versus(row: dict[str, Any], other: dict[str, Any]) -> str:
    """Seconds of an engine, and the ratios to ours in wall and processor time."""
    if other["wrong"]:
        return f"{best(other):.3f} s, {100 * other['wrong']:.2g} % wrong"
    return f"{best(other):.3f} s, {best(other) / best(row):.1f}x, cpu {other['cpu_seconds'] / row['cpu_seconds']:.1f}x"


def main(names: list[str]) -> None:
    console = Console(width=200)
    chosen = tasks.find(names or ["all"])
    facts = machine(throughput())
    installed = [e for e in SMALLER if python_of(e).exists()]
    sizes = []
    for task in chosen:
        several = {SIZES.get(task.name, task.n), *(n for e in installed if (n := size_of(task, e)))}
        several |= {LARGER[task.name]} if task.name in LARGER else set()
        sizes += [(task, n) for n in sorted(several, reverse=True)]
    start = time.monotonic()
    rows = ours(sizes)
    networks = {"lan": emulated("lan", chosen), "wan": emulated("wan", chosen)}
    engines = {e: found for e in installed if (found := theirs(e, chosen, console))}
    facts["load_after"] = round(os.getloadavg()[0], 2)
    facts["minutes"] = round((time.monotonic() - start) / 60, 1)
    result = {"machine": facts, "kernels": kernels(), "tacit": rows, "networks": networks, "engines": engines}
    if not names:
        RESULTS.mkdir(exist_ok=True)
        write(result, RESULTS / f"{facts['date']}.json")
    console.print(table(result))
    for name, network in networks.items():
        console.print(network_table(name, network))


if __name__ == "__main__":
    main(sys.argv[1:])
