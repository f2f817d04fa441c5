# SPDX-License-Identifier: Apache-2.0
"""Peak memory of party processes on large arrays, beside the size of their shares. Run: python benchmarks/large.py

Three party processes of one session; two of them own an operand each, and the result is opened. The bound is six times
what a party's shares of all operands and of the result take. Arguments are names of rows (`mul-10000000`); none is all.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tacit as tc

BOUND = 6.0
WORDS, BITS = 16.0, 0.25
"""Bytes of one party's share of an element: two components of 8 bytes, or of one bit."""

Task = tuple[int, float, Callable[..., Any], Callable[..., Any]]
"""log2 of the operands' limits, bytes of shares for each element, what parties compute, what it should be."""
# Of a sum: what one party owns, it would sort on its own.
SORT = (lambda x, y: tc.sort(x + y, strategy="shuffle"), lambda x, y: np.sort(x + y))
TASKS: dict[str, Task] = {
    "mul": (30, 3 * WORDS, lambda x, y: x * y, np.multiply),
    "lt": (30, 2 * WORDS + BITS, lambda x, y: x < y, np.less),
    "sort": (30, 3 * WORDS, *SORT),
    "sort_wide": (61, 3 * WORDS, *SORT),
}
ROWS = [("mul", 10**7), ("lt", 10**7), ("sort", 10**6), ("mul", 10**8), ("lt", 10**8)]
ROWS += [("sort_wide", 10**6), ("sort", 10**7), ("sort_wide", 10**7)]


def peak(pid: int) -> int:
    """The most memory that a process ever had resident, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise OSError("the kernel does not tell the peak of resident memory")


def measure(name: str, n: int) -> float:
    """Run one row, check its result, print its peak: how many times the size of a party's shares."""
    bits, per_element, secure, plain = TASKS[name]
    rng = np.random.default_rng(n)
    values = [rng.integers(-(2**bits), 2**bits, n) for _ in range(2)]
    with tc.local() as session:
        idle = max(peak(pid) for pid in session.pids)
        secrets = [session.input(v, party=p, range=(-(2**bits), 2**bits)) for p, v in enumerate(values)]
        began = time.perf_counter()
        result = secure(*secrets).reveal()
        seconds = time.perf_counter() - began
        peaks = [peak(pid) for pid in session.pids]
    assert np.array_equal(result, plain(*values)), f"{name} of {n} is wrong"
    ratios = [(p - idle) / (per_element * n) for p in peaks]
    told = " ".join(f"{p / 1e6:.0f}" for p in peaks)
    print(f"{name}-{n}: {seconds:.1f} s, peak MB {told}, {max(ratios):.2f} times the shares", flush=True)
    return max(ratios)


def main() -> int:
    """The rows asked for; 1 if one is above the bound."""
    chosen = [r for r in ROWS if not sys.argv[1:] or f"{r[0]}-{r[1]}" in sys.argv[1:]]
    return 0 if all([measure(name, n) < BOUND for name, n in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
