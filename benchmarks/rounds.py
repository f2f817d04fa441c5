# SPDX-License-Identifier: Apache-2.0
"""What a small round costs: a chain of 1000 products of one element over mutual TLS, beside a bare TCP ping-pong.

Three processes on this machine. A round is the same in all that is measured: each party sends to a neighbour in the
ring, and waits for what comes from the other one. Bare: 64 bytes over plain TCP, about what a frame has, by blocking
calls and without any check. Chain: the products of the protocol, 8 bytes in a frame over TLS. Plan: the same as a loop
of a plan, by the whole engine. They take turns in one run, so that whatever else the machine does slows down all.
Run: python benchmarks/rounds.py [repetitions]
"""

from __future__ import annotations

import multiprocessing as mp
import socket
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from statistics import median
from time import perf_counter, process_time

import numpy as np

import tacit as tc
from tacit import kernels
from tacit.engine.drive import drive
from tacit.engine.execute import execute
from tacit.plan import Plan
from tacit.protocols.rep3 import Rep3
from tacit.protocols.shares import Arith
from tacit.transport import Identity, Listener, TlsTransport, connect_mesh, make_identity, new_session

ROUNDS = 1000
BASE = 3
MESSAGE = 64
PARTIES = 3
Times = tuple[float, float]
"""Wall time and processor time of one party for all rounds, in seconds."""


async def chain(box: Rep3, x: Arith) -> Arith:
    """x^(ROUNDS + 1) by one product per round."""
    power = x
    for _ in range(ROUNDS):
        power = await box.mul(power, x)
    return power


def timed(work: Callable[[], None], barrier: Barrier) -> Times:
    """Run it at all parties at the same time."""
    barrier.wait()
    wall, cpu = perf_counter(), process_time()
    work()
    return perf_counter() - wall, process_time() - cpu


def ping_pong(before: socket.socket, after: socket.socket) -> None:
    """Send to the one, receive from the other."""
    message, buffer = bytes(MESSAGE), bytearray(MESSAGE)
    for _ in range(ROUNDS):
        after.sendall(message)
        if before.recv_into(buffer, MESSAGE, socket.MSG_WAITALL) != MESSAGE:
            raise SystemExit("rounds: the bare ring broke")


def products(end: TlsTransport, box: Rep3, step: int, barrier: Barrier) -> tuple[int, Times]:
    """The chain, its inputs and its check; the next step. Raises SystemExit if the power is wrong."""
    base = np.array([BASE], dtype=np.uint64)
    x = drive(box.input(0, base if box.me == 0 else None, (1,)), end, step)
    powers: list[Arith] = []
    times = timed(lambda: powers.append(drive(chain(box, x), end, step + 1)), barrier)
    opened = drive(box.reveal(powers[0]), end, step + 1 + ROUNDS)
    if opened is None or int(opened[0]) != pow(BASE, ROUNDS + 1, 2**64):
        raise SystemExit("rounds: the result is wrong")
    return step + 2 + ROUNDS, times


def loop_plan() -> Plan:
    """ROUNDS times v = 1 - v * y on bits of two parties."""
    with tc.local(transport="memory") as session:
        x, y = (session.input(np.ones(1, np.int64), party=p, range=(0, 1), name="xy"[p]) for p in (0, 1))
        return session.plan_of(tc.loop(ROUNDS, lambda v: 1 - v * y, x))


def looped(end: TlsTransport, box: Rep3, step: int, plan: Plan, barrier: Barrier) -> tuple[int, Times]:
    """The plan, with its two inputs and the opening; the next step. Raises SystemExit if the result is wrong."""
    inputs = {"xy"[box.me]: np.ones(1, np.uint64)} if box.me < 2 else {}
    opened: list[list[int]] = []

    def run() -> None:
        outputs = drive(execute(plan, box, inputs), end, step)
        opened.extend(v.tolist() for v in outputs.values() if v is not None)

    times = timed(run, barrier)
    if opened != [[1]]:
        raise SystemExit("rounds: the result of the plan is wrong")
    return step + 4 + ROUNDS, times


def party(
    me: int, identity: tuple[bytes, bytes], pins: list[str], session: bytes, pipe: Connection, barrier: Barrier
) -> None:
    """One party's process: `repeat` comes through the pipe, and the times of both go back."""
    listener = Listener.bind("127.0.0.1", 0, Identity(*identity))
    with socket.create_server(("127.0.0.1", 0)) as server:
        pipe.send((listener.port, server.getsockname()[1]))
        repeat, ports = pipe.recv()
        after = socket.create_connection(("127.0.0.1", ports[(me + 1) % PARTIES][1]))
        before, _ = server.accept()
    for each in (before, after):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    addresses = [("127.0.0.1", port) for port, _ in ports]
    keys = [kernels.PrgKey(bytes([j + 1]) * 16) for j in range(PARTIES)]
    box = Rep3(me, keys[me], keys[(me + 1) % PARTIES])
    step, plan = 0, loop_plan()
    times = []
    with connect_mesh(me, Identity(*identity), listener, addresses, pins, session) as end:
        for _ in range(repeat):
            bare = timed(lambda: ping_pong(before, after), barrier)
            step, chained = products(end, box, step, barrier)
            step, planned = looped(end, box, step, plan, barrier)
            times.append((bare, chained, planned))
        end.finish()
    pipe.send(times)


def main(repeat: int = 7) -> None:
    """Print what a round takes in each: the median over the repetitions, and its ratio to the bare one."""
    context = mp.get_context("spawn")
    identities = [make_identity(f"party {me}") for me in range(PARTIES)]
    barrier, session = context.Barrier(PARTIES), new_session()
    pins = [identity.pin for identity in identities]
    pipes, processes = [], []
    for me, identity in enumerate(identities):
        near, far = context.Pipe()
        secret = (identity.cert_der, identity._key_der)
        processes.append(context.Process(target=party, args=(me, secret, pins, session, far, barrier), daemon=True))
        processes[-1].start()
        pipes.append(near)
    ports = [pipe.recv() for pipe in pipes]
    for pipe in pipes:
        pipe.send((repeat, ports))
    results = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()

    def microseconds(which: int, clock: int) -> list[float]:
        """Per round and repetition: of the slowest party, or the mean of the parties' processor times."""
        each = [[times[turn][which][clock] * 1e6 / ROUNDS for times in results] for turn in range(repeat)]
        return [max(values) if clock == 0 else sum(values) / PARTIES for values in each]

    bare = microseconds(0, 0)
    for which, name in enumerate(("bare TCP", "mTLS chain", "mTLS plan")):
        wall, cpu = microseconds(which, 0), microseconds(which, 1)
        ratios = [b / a for a, b in zip(bare, wall, strict=True)]
        print(
            f"{name:<10} {median(wall):6.1f} us a round ({min(wall):.1f} to {max(wall):.1f}), "
            f"{median(cpu):5.1f} us of CPU per party and round ({min(cpu):.1f} to {max(cpu):.1f}), "
            f"{median(ratios):5.2f} times bare ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:2]))
