# SPDX-License-Identifier: Apache-2.0
"""Party processes on this machine, for `tacit.local()`: started together, and gone with whoever started them.

Each process makes its own key and keeps it to itself; the room, with their pins and ports, exists in memory only, so
nothing is written to disk. The pipe to a process's stdin is its tie to us: when it closes, for whatever reason, the
process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

from tacit.errors import RunError, TacitError
from tacit.room import Client, Limits, Party, Room, parse
from tacit.transport import Identity, make_identity

START_S: Final = 60.0
EXIT_S: Final = 10.0
CLIENT: Final = "you"
"""The name of the client in a room on one machine."""
THREADS_MAX: Final = 1024
"""The most threads that a party can be told to compute with."""


class LocalParties:
    """One process per party. `room` and `identity` are what a client needs to connect."""

    def __init__(
        self,
        names: Sequence[str],
        protocol: str,
        network: str,
        directories: Mapping[str, str | os.PathLike[str]],
        limits: Limits,
        threads: int = 1,
    ) -> None:
        """Start the processes and wait until they listen.

        Raises RunError RUN-013 if one does not start, and RoomError for a room that cannot be.
        """
        # A room that cannot be is refused before anything starts.
        room_of(names, protocol, network, limits)
        self._processes: list[subprocess.Popen[str]] = []
        self._logs: list[IO[bytes]] = []
        _alive.add(self)
        try:
            for name in names:
                self._start(name)
            heard = [self._hear(k, name) for k, name in enumerate(names)]
            self.identity: Identity = make_identity(CLIENT)
            ports, pins = [h["port"] for h in heard], [h["pin"] for h in heard]
            self.room = room_of(names, protocol, network, limits, ports, [*pins, self.identity.pin])
            for name, process in zip(names, self._processes, strict=True):
                directory = directories.get(name)
                setup = {
                    "room": self.room.to_toml(),
                    "data": None if directory is None else os.path.abspath(directory),
                    "threads": threads,
                }
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(setup) + "\n")
                    process.stdin.flush()
            for k, name in enumerate(names):
                self._hear(k, name)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids."""
        return tuple(p.pid for p in self._processes)

    def _start(self, name: str) -> None:
        # On disk only if a party writes more than Python's own messages; deleted when closed.
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._logs.append(log)
        self._processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "tacit.node", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        )

    def _hear(self, k: int, name: str) -> dict[str, Any]:
        process = self._processes[k]
        assert process.stdout is not None
        deadline = time.monotonic() + START_S
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not selector.select(0.2):
                if time.monotonic() > deadline:
                    break
            else:
                line = process.stdout.readline()
                if line:
                    document: dict[str, Any] = json.loads(line)
                    return document
        raise RunError(
            "RUN-013",
            f"the process of {name} did not start{self._last_words(k)}",
            expected=f"a party that listens within {START_S:g} s",
            party=name,
            next=f"try `{sys.executable} -m tacit.node {name}` in a terminal",
        )

    def _last_words(self, k: int) -> str:
        log = self._logs[k]
        log.seek(0)
        lines = log.read()[-4096:].decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:300]}" if lines else ""

    def close(self) -> None:
        """End all processes and wait for them. Idempotent."""
        _alive.discard(self)
        processes, self._processes = self._processes, []
        for process in processes:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
        deadline = time.monotonic() + EXIT_S
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()
        for log in self._logs:
            log.close()
        self._logs = []


def room_of(
    names: Sequence[str],
    protocol: str,
    network: str = "none",
    limits: Limits | None = None,
    ports: Sequence[int] | None = None,
    pins: Sequence[str] | None = None,
) -> Room:
    """The room of a session on one machine, checked; its client acts for every party.

    `pins` has one more entry, for the client; without ports and pins, they are placeholders that differ.
    """
    ports = ports or range(1, len(names) + 1)
    pins = pins or [f"{k:064x}" for k in range(len(names) + 1)]
    parties = tuple(Party(n, "127.0.0.1", port, pin) for n, port, pin in zip(names, ports, pins[:-1], strict=True))
    room = Room("local", protocol, parties, (Client(CLIENT, pins[-1], tuple(names)),), network, limits or Limits())
    return parse(room.to_toml(), "the room")


def _close_all() -> None:
    for parties in list(_alive):
        with contextlib.suppress(TacitError, OSError):
            parties.close()


_alive: Final[weakref.WeakSet[LocalParties]] = weakref.WeakSet()
atexit.register(_close_all)
