"""MPyC: Shamir shares over a prime field between three processes over loopback, one of them corrupt at most.

Timed is the operation on secret arrays. Run in MPyC's environment: python mpyc_runner.py CASES REPEAT OUT -M3
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, enough, load, row, write
from mpyc.runtime import mpc

INTEGER = mpc.SecInt(64)
FIXED = mpc.SecFxp(64, 18)

TASKS: dict[str, Callable[..., Any]] = {
    "mul": lambda x, y: x * y,
    "fixed_mul": lambda x, y: x * y,
    "matmul": lambda x, y: x @ y,
    "lt": lambda x, y: x < y,
    "eq": lambda x, y: x == y,
    "lt_wide": lambda x, y: x < y,
    "relu": lambda x: (x >= 0) * x,
    "select": lambda c, x, y: c * (x - y) + y,
    "sort": lambda x: mpc.np_sort(x),
}


def sent() -> int:
    """Payload bytes that this party has sent."""
    return sum(p.protocol.nbytes_sent for p in mpc.parties if p.pid != mpc.pid)


def secret(x: np.ndarray) -> Any:
    kind = FIXED if x.dtype == np.float64 else INTEGER
    values = x if kind is FIXED else x.astype(np.int64).astype(object)
    return mpc.input(kind.array(values), senders=0)


async def measure(case: Case, repeat: int) -> dict[str, Any]:
    inputs = [secret(x) for x in case.inputs]
    facts: list[list[tuple[float, float, int]]] = []
    while not enough([max(wall for wall, _, _ in run) for run in facts], repeat):
        await mpc.gather(inputs)
        await mpc.barrier()
        before, wall, busy = sent(), time.perf_counter(), time.process_time()
        result = TASKS[case.task](*inputs)
        await mpc.gather(result)
        mine = (time.perf_counter() - wall, time.process_time() - busy, sent() - before)
        facts.append(await mpc.transfer(mine))
    walls = [max(wall for wall, _, _ in run) for run in facts]
    busy_all = [sum(cpu for _, cpu, _ in run) for run in facts]
    found = np.asarray(await mpc.output(result))
    name = f"MPyC {version('mpyc')}, Shamir, m=3"
    return row(case, name, walls, busy_all, sum(n for _, _, n in facts[-1]), None, found)


async def main(folder: str, repeat: str, out: str) -> None:
    await mpc.start()
    rows = []
    for case in load(Path(folder)):
        if case.task in TASKS:
            rows.append(await measure(case, int(repeat)))
            if mpc.pid == 0:
                print(
                    case.task,
                    rows[-1]["seconds"],
                    rows[-1]["wrong"],
                    rows[-1]["max_abs_error"],
                    rows[-1]["bytes_total"],
                    flush=True,
                )
    await mpc.shutdown()
    if mpc.pid == 0:
        write(rows, Path(out))


if __name__ == "__main__":
    mpc.run(main(*sys.argv[1:4]))
