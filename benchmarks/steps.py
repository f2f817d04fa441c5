# SPDX-License-Identifier: Apache-2.0
"""What Python costs per protocol step: a chain of 1000 products of one element, three parties in lockstep.

With one element the arithmetic is nothing, so the time is that of the coroutines, the driver and the calls into the
kernels. Run: python benchmarks/steps.py [repetitions]
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np

from tacit import kernels
from tacit.engine.drive import lockstep
from tacit.protocols.rep3 import Rep3
from tacit.protocols.shares import Arith

STEPS = 1000
BASE = 3


async def chain(box: Rep3, x: Arith) -> Arith:
    """x^(STEPS + 1) by one product per round."""
    power = x
    for _ in range(STEPS):
        power = await box.mul(power, x)
    return power


def once() -> float:
    """Microseconds per step of one party. Raises SystemExit if the power is wrong."""
    keys = [kernels.PrgKey(bytes([j + 1]) * 16) for j in range(3)]
    boxes = [Rep3(me, keys[me], keys[(me + 1) % 3]) for me in range(3)]
    base = np.array([BASE], dtype=np.uint64)
    shares = lockstep([box.input(0, base if box.me == 0 else None, (1,)) for box in boxes])

    start = perf_counter()
    powers = lockstep([chain(box, x) for box, x in zip(boxes, shares, strict=True)])
    seconds = perf_counter() - start

    for opened in lockstep([box.reveal(x) for box, x in zip(boxes, powers, strict=True)]):
        if opened is None or int(opened[0]) != pow(BASE, STEPS + 1, 2**64):
            raise SystemExit("steps: the result is wrong")
    return seconds * 1e6 / (3 * STEPS)


def main(repeat: int = 7) -> None:
    """Print the median and the extremes."""
    times = sorted(once() for _ in range(repeat))
    print(
        f"{times[len(times) // 2]:.1f} us per party and step "
        f"(median of {repeat}; {times[0]:.1f} to {times[-1]:.1f}; mul of one element, result checked)"
    )


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:2]))
