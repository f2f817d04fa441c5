"""What the engines are given, and what they give back; read by every runner in its own environment.

A case is a file TASK.npz with the inputs `x0`, `x1`, ... and the plaintext result `expected`. A runner writes a list of
rows with the keys of `tacit bench --json`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

TOLERANCE = 0.02
"""How far from plaintext a fixed-point element may be, relative where it is larger than one."""

QUICK_S = 1.5


class Case(NamedTuple):
    """One task with its inputs and its result."""

    task: str
    n: int
    inputs: list[np.ndarray]
    expected: np.ndarray


def save(folder: Path, case: Case) -> None:
    """Write a case for the runners."""
    arrays = {f"x{k}": x for k, x in enumerate(case.inputs)}
    np.savez(folder / f"{case.task}.npz", n=case.n, expected=case.expected, **arrays)


def load(folder: Path) -> list[Case]:
    """Every case of a folder."""
    out = []
    for path in sorted(folder.glob("*.npz"), key=lambda p: p.stat().st_mtime_ns):
        with np.load(path) as file:
            inputs = [file[f"x{k}"] for k in range(len(file.files) - 2)]
            out.append(Case(path.stem, int(file["n"]), inputs, file["expected"]))
    return out


def wrong(case: Case, result: Any) -> tuple[float, float]:
    """Largest absolute error of a result, and the part of the elements that is wrong."""
    found = np.asarray(result)
    if found.shape != case.expected.shape:
        raise ValueError(f"{case.task}: a result of shape {found.shape} instead of {case.expected.shape}")
    if case.expected.dtype.kind != "f":
        differ = found.astype(case.expected.dtype) != case.expected
        error = np.abs(found.astype(np.float64) - case.expected.astype(np.float64))
        return float(error[differ].max(initial=0)), float(np.mean(differ))
    error = np.abs(found - case.expected)
    # Also what is no number at all.
    near = error <= TOLERANCE * np.maximum(1, np.abs(case.expected))
    return float(error.max(initial=0)), float(1 - np.mean(near))


def enough(seconds: Sequence[float], repeat: int) -> bool:
    """Whether a task has run often enough: three times, and up to `repeat` times while that is quick."""
    return len(seconds) >= repeat or (len(seconds) >= 3 and sum(seconds) > QUICK_S)


def row(
    case: Case,
    engine: str,
    seconds: Sequence[float],
    cpu: Sequence[float],
    sent: int | None,
    rounds: int | None,
    result: Any,
) -> dict[str, Any]:
    """A row for the list, with the part of wrong elements as `wrong`."""
    error, share = wrong(case, result)
    return {
        "task": case.task,
        "n": case.n,
        "protocol": engine,
        "parties": 3,
        "network": "loopback",
        "seconds": median(seconds),
        "seconds_all": list(seconds),
        "cpu_seconds": median(cpu),
        "bytes_total": sent,
        "rounds": rounds,
        "max_abs_error": error,
        "tls": "none",
        "wrong": share,
    }


def best(row: dict[str, Any]) -> float:
    """The shortest of the wall times: the least disturbed."""
    return float(min(row["seconds_all"]))


def floor_of(row: dict[str, Any], network: dict[str, Any]) -> float:
    """What a network takes at least: the bytes over the uplink of the party that sends most, or the rounds."""
    return max(row["bytes_max"] / network["bytes_per_second"], row["rounds"] * network["latency_s"])


def write(document: Any, path: Path) -> None:
    """Write JSON so that a reader sees all of it or none."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(document, indent=1) + "\n")
    draft.replace(path)
