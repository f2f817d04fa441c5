# SPDX-License-Identifier: Apache-2.0
"""Running single primitives of the black box, which arrays do not reach, to measure them.

Three processes with a key each and mutual TLS between them, as in a session; but they run a coroutine where parties of
a session run plans, and all of them know its inputs, from the seed. Good for measuring, and for nothing else.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from tacit.bench.tasks import Primitive, find
from tacit.engine.drive import Traffic, drive, lockstep
from tacit.engine.keys import begin
from tacit.errors import RunError
from tacit.node.memory import keep_freed_memory
from tacit.protocols.exchange import Exchange
from tacit.session.client import Figures, join_figures
from tacit.transport import Listener, TlsTransport, connect_mesh, make_identity, new_session

Counts: TypeAlias = Callable[[], tuple[int, int]]
"""Rounds, and payload bytes sent, so far."""
Network: TypeAlias = Literal["lan", "wan"] | None
Found: TypeAlias = tuple[list[float], float, bool]
"""[seconds, cpu seconds, rounds, bytes sent] of one party, the largest error, whether the result is right."""

PARTIES: Final = 3
CONNECT_S: Final = 60.0
EXIT_S: Final = 10.0
DIGEST: Final = bytes(32)
"""There is no plan to agree on."""


async def run(task: Primitive, n: int, seed: int, me: int, protocol: str, session: bytes, counts: Counts) -> Found:
    """One party's run: agree on keys, share the inputs, wait for each other; the primitive; open and compare.

    Only the primitive is measured.
    """
    box = await begin(protocol, me, PARTIES, DIGEST, session, os.urandom(32))
    inputs = task.inputs(n, seed)
    shares = []
    for k, given in enumerate(inputs):
        raw = np.ascontiguousarray(given.values).view(np.uint64)
        shares.append(await box.input(k % PARTIES, raw if me == k % PARTIES else None, raw.shape))
    peers = [p for p in range(PARTIES) if p != me]
    await Exchange({p: [b"\0"] for p in peers}, dict.fromkeys(peers, 1))
    before = (perf_counter(), process_time(), *counts())
    result = await task.secure(box, *shares)
    after = (perf_counter(), process_time(), *counts())
    opened = await box.reveal(result)
    assert opened is not None
    error, right = task.error(task.settle(opened.view(np.int64)), inputs)
    return [b - a for a, b in zip(before, after, strict=True)], error, right


class MemoryBoxes:
    """The parties of a primitive in this thread, without TLS."""

    tls: Final[dict[str, str]] = {"version": "none", "group": "none", "cipher": "none"}

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol

    def run(self, task: Primitive, n: int, seed: int) -> tuple[Figures, float, bool]:
        """As `Boxes.run`. Seconds are those of all parties together."""
        session, traffic = new_session(), Traffic()
        counts = [partial(_traffic, traffic, me) for me in range(PARTIES)]
        parties = range(PARTIES)
        return _joined(
            lockstep([run(task, n, seed, me, self._protocol, session, counts[me]) for me in parties], traffic)
        )

    def close(self) -> None:
        """Nothing to end."""


class Boxes:
    """The parties of a primitive as processes."""

    def __init__(self, protocol: str, network: Network = None) -> None:
        """Start them and connect them. Raises RunError RUN-211 if one does not start."""
        context = get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        try:
            for me in range(PARTIES):
                here, there = context.Pipe()
                process = context.Process(target=_party, args=(there, me, protocol, network), daemon=True)
                process.start()
                there.close()
                self._pipes.append(here)
                self._processes.append(process)
            heard = [self._hear(me) for me in range(PARTIES)]
            ports, pins = [port for port, _ in heard], [pin for _, pin in heard]
            self._ask(new_session(), ports, pins)
            connected = [self._hear(me) for me in range(PARTIES)]
            self.tls: dict[str, str] = connected[0]
        except BaseException:
            self.close()
            raise

    def run(self, task: Primitive, n: int, seed: int) -> tuple[Figures, float, bool]:
        """What a primitive took, the largest error of its result, and whether that is right."""
        self._ask(new_session(), task.name, n, seed)
        return _joined([self._hear(me) for me in range(PARTIES)])

    def _ask(self, *job: Any) -> None:
        for pipe in self._pipes:
            with contextlib.suppress(BrokenPipeError):
                pipe.send(job)

    def _hear(self, me: int) -> Any:
        with contextlib.suppress(EOFError, ConnectionError):
            return self._pipes[me].recv()
        raise RunError("RUN-211", f"a process of the bench ended, that of party {me}", next="look at what it wrote")

    def close(self) -> None:
        """End the processes. Idempotent."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(EXIT_S)
            if process.is_alive():
                process.kill()
        self._pipes, self._processes = [], []


def _party(pipe: Connection, me: int, protocol: str, network: Network) -> None:
    """A process: say where it listens, hear where the others do, run what comes until the pipe ends."""
    # The parent decides when it ends; Ctrl-C in its terminal reaches this process too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    identity = make_identity(f"party {me}")
    listener = Listener.bind("127.0.0.1", 0, identity)
    with contextlib.suppress(EOFError):
        pipe.send((listener.port, identity.pin))
        session, ports, pins = pipe.recv()
        addresses = [("127.0.0.1", port) for port in ports]
        with connect_mesh(
            me, identity, listener, addresses, pins, session, timeout_s=CONNECT_S, network=network
        ) as transport:
            transport.finish()
            pipe.send(transport.tls)
            while True:
                session, name, n, seed = pipe.recv()
                (task,) = find([name])
                assert isinstance(task, Primitive)
                transport.begin(session)
                found = drive(run(task, n, seed, me, protocol, session, partial(_sent, transport)), transport)
                transport.finish()
                pipe.send(found)


def _traffic(traffic: Traffic, me: int) -> tuple[int, int]:
    return traffic.rounds, traffic.bytes_sent.get(me, 0)


def _sent(transport: TlsTransport) -> tuple[int, int]:
    stats = transport.stats
    return stats.rounds, stats.payload_bytes_sent


def _joined(found: Sequence[Found]) -> tuple[Figures, float, bool]:
    figures, errors, right = zip(*found, strict=True)
    return join_figures(figures), max(errors), all(right)
