# SPDX-License-Identifier: Apache-2.0
"""What a party process keeps of the memory that it freed, what it gives back, and the most that it takes."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tacit.node import memory

PROGRAM = """
from pathlib import Path
import numpy as np
from tacit.node import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

memory.KEPT_BYTES = 16 << 20
assert memory.keep_freed_memory()
large, pin = np.ones(8 << 20), [bytearray(100_000) for _ in range(20)]
held = resident()
del large
kept = resident()
memory.give_back()
print(held - kept, kept - resident())
"""


def test_what_was_freed_stays_until_a_run_has_ended() -> None:
    if platform.libc_ver()[0] != "glibc":
        assert not memory.keep_freed_memory()
        return
    clean = {k: v for k, v in os.environ.items() if k not in memory._CHOSEN}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=clean, capture_output=True, text=True, check=True)
    at_once, at_the_end = (int(word) for word in done.stdout.split())
    assert at_once < 1 << 20
    assert at_the_end > 48 << 20


def test_a_choice_of_the_operator_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert not memory.keep_freed_memory()
    memory.give_back()


@pytest.fixture(scope="module")
def large() -> Any:
    """benchmarks/large.py, which does the same with up to 10^8 elements."""
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "large.py"
    spec = importlib.util.spec_from_file_location("large", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "n"), [("mul", 2_000_000), ("lt", 2_000_000), ("sort", 500_000)])
def test_a_party_takes_less_than_six_times_its_shares(large: Any, name: str, n: int) -> None:
    if platform.libc_ver()[0] != "glibc":
        # Elsewhere memory is not kept, and the kernel may not tell the peak.
        return
    # Operands and result are held, or what was measured is not this.
    assert 1 < large.measure(name, n) < large.BOUND
