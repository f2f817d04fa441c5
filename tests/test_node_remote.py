# SPDX-License-Identifier: Apache-2.0
"""Parties started by their organisations from a room file; and what an observer of their network sees."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tacit.cli.party import app
from tacit.errors import RoomError, TacitError, TransportError
from tacit.node.mesh import Mesh
from tacit.node.service import Party as Service
from tacit.room import Client, Limits, Party, Room, load, write
from tacit.session import connect
from tacit.session.client import Parties
from tacit.session.datasets import Datasets
from tacit.session.identity import create_identity, load_identity
from tacit.session.session import Session
from tacit.transport import Listener, make_identity

NAMES = ("north", "south", "west")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def room_file(tmp_path: Path) -> Path:
    pins = {name: create_identity(name, tmp_path / name).pin for name in (*NAMES, "you")}
    parties = tuple(Party(n, "127.0.0.1", free_port(), pins[n]) for n in NAMES)
    room = Room("clinic", "rep3", parties, (Client("you", pins["you"]),), limits=Limits(silence_s=2.0))
    write(room.check(), tmp_path / "room.toml")
    for k, name in enumerate(NAMES):
        (tmp_path / f"{name}-data").mkdir()
        (tmp_path / f"{name}-data" / "own.csv").write_text(f"v\n{k}\n{k + 1}\n")
    return tmp_path / "room.toml"


@pytest.fixture
def processes(room_file: Path) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-c", "from tacit.cli.party import app; app()", "run", "--room", str(room_file)]
    folder = room_file.parent
    started = [
        subprocess.Popen(
            [*command, "--party", n, "--identity", str(folder / n), "--data", str(folder / f"{n}-data")],
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in NAMES
    ]
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_parties_of_a_room_file_compute_on_their_own_files_and_end_on_ctrl_c(
    room_file: Path, processes: list[subprocess.Popen[str]]
) -> None:
    with connect(room_file, identity=room_file.parent / "you") as session:
        columns = [session.load("own.csv", name, "v") for name in NAMES]
        total = columns[0] + columns[1] + columns[2]

        assert total.reveal().tolist() == [3, 6]
        assert session.pids == tuple(p.pid for p in processes)

        processes[1].send_signal(signal.SIGINT)
        assert processes[1].wait(10) == 0
        with pytest.raises(Exception, match=r"RUN-002|TRANSPORT-001"):
            total.reveal()
    for process in (processes[0], processes[2]):
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    log = processes[0].stderr
    assert log is not None
    # Its operator reads what was disclosed; wrapped to the width of a terminal.
    assert "number of rows of" in " ".join(log.read().split())


def test_a_client_that_the_room_does_not_know_is_told_before_it_dials(room_file: Path) -> None:
    create_identity("stranger", room_file.parent / "stranger")

    with pytest.raises(RoomError, match="ROOM-016"):
        connect(room_file, identity=room_file.parent / "stranger")


def test_keygen_writes_a_private_key_that_only_its_owner_reads_and_prints_the_pin(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["keygen", "--name", "north", "--out", str(tmp_path / "id")])

    assert result.exit_code == 0, result.output
    assert load_identity(tmp_path / "id").pin in result.output
    assert os.stat(tmp_path / "id" / "key.pem").st_mode & 0o077 == 0
    again = CliRunner().invoke(app, ["keygen", "--name", "north", "--out", str(tmp_path / "id")])
    assert isinstance(again.exception, RoomError)
    assert again.exception.code == "ROOM-017"


def test_check_shows_a_room_and_refuses_a_wrong_one(room_file: Path) -> None:
    result = CliRunner().invoke(app, ["check", "--room", str(room_file)])
    assert result.exit_code == 0, result.output
    assert load(room_file).digest in result.output

    room_file.write_text(room_file.read_text().replace("rep3", "magic"))
    assert isinstance(CliRunner().invoke(app, ["check", "--room", str(room_file)]).exception, RoomError)


def test_a_party_forgets_what_it_told_clients_at_a_signal(
    room_file: Path, processes: list[subprocess.Popen[str]]
) -> None:
    with connect(room_file, identity=room_file.parent / "you") as session:
        narrow = session.load("own.csv", "south", "v", range=(1, 1))

        def code() -> str:
            with pytest.raises(TacitError) as raised:
                narrow.reveal()
            return raised.value.code

        assert [code() for _ in range(4)] == ["INPUT-007"] * 3 + ["ROOM-019"]
        processes[1].send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 10
        while code() == "ROOM-019":
            assert time.monotonic() < deadline
            time.sleep(0.05)


class Tap:
    """A relay in front of a party that keeps all it relays."""

    def __init__(self, port: int) -> None:
        self.seen: list[bytes] = []
        self._target = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                self._threads.append(threading.Thread(target=self._relay, args=(near,), daemon=True))
                self._threads[-1].start()

    def _relay(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._target)) as far, contextlib.suppress(OSError):
            other = {near: far, far: near}
            while other:
                for source in select.select(list(other), [], [])[0]:
                    data = source.recv(1 << 16)
                    self.seen.append(data)
                    sink = far if source is near else near
                    if data:
                        sink.sendall(data)
                    else:
                        del other[source]
                        sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()


@pytest.mark.parametrize("protocol", ["rep3", "plain"])
def test_the_network_shows_no_input_and_no_frame_header(protocol: str) -> None:
    """With `plain` the parties send each other clear values: only TLS hides them."""
    keys = {name: make_identity(name) for name in (*NAMES, "you")}
    listeners = {name: Listener.bind("127.0.0.1", 0, keys[name]) for name in NAMES}
    taps = [Tap(listeners[name].port) for name in NAMES]
    parties = tuple(Party(n, "127.0.0.1", tap.port, keys[n].pin) for n, tap in zip(NAMES, taps, strict=True))
    room = Room("tapped", protocol, parties, (Client("you", keys["you"].pin, NAMES),)).check()
    services = [Service(room, n, keys[n], listeners[n], Datasets(None, n)) for n in NAMES]
    threads = [threading.Thread(target=s.serve) for s in services]
    for thread in threads:
        thread.start()
    values = [0x1122334455667788 + k for k in range(4)]
    session = Session(Parties(room, "you", keys["you"]))
    try:
        secrets = [
            session.input(np.array([v] * 4), party=p, range=(0, 2**61))
            for v, p in zip(values, (*NAMES, None), strict=True)
        ]
        total = secrets[0] - secrets[1] + secrets[2] - secrets[3]
        assert total.reveal().tolist() == [-2] * 4
    finally:
        session.close()
        for service in services:
            service.stop()
        for thread in threads:
            thread.join(10)
        for tap in taps:
            tap.close()

    seen = b"".join(b"".join(tap.seen) for tap in taps)
    assert len(seen) > 10_000
    assert b"TCT\x01" not in seen
    for value in values:
        assert value.to_bytes(8, "little") not in seen
        assert value.to_bytes(8, "big") not in seen


def test_a_peer_that_accepts_but_never_dials_is_named_in_time(room_file: Path) -> None:
    room, folder = load(room_file), room_file.parent
    room = replace(room, limits=replace(room.limits, connect_timeout_s=1.0))
    keys = {name: load_identity(folder / name) for name in NAMES}
    peers = [Listener.bind(room.parties[k].host, room.parties[k].port, keys[NAMES[k]]) for k in (1, 2)]
    for peer in peers:
        peer.allow([keys["north"].pin])
    began = time.monotonic()
    try:
        with pytest.raises(TransportError, match="TRANSPORT-010") as raised:
            Mesh(room, 0, keys["north"]).transport(os.urandom(16), os.urandom(16), lambda: None)
    finally:
        for peer in peers:
            peer.close()

    assert 0.9 < time.monotonic() - began < 4.0
    assert raised.value.party == "south"


def test_a_party_that_was_stopped_before_the_run_is_named_in_time(room_file: Path) -> None:
    room = load(room_file)
    room = replace(room, limits=replace(room.limits, connect_timeout_s=1.0))
    folder = room_file.parent
    services, threads = [], []
    for name in NAMES:
        entry = room.parties[room.index(name)]
        key = load_identity(folder / name)
        service = Service(room, name, key, Listener.bind(entry.host, entry.port, key), Datasets(None, name))
        services.append(service)
        threads.append(threading.Thread(target=service.serve))
        threads[-1].start()
    session = Session(Parties(room, "you", load_identity(folder / "you")))
    try:
        x = session.input(np.array([1, 2]))
        services[2].stop()
        threads[2].join(10)
        began = time.monotonic()
        with pytest.raises(Exception, match=r"RUN-002|TRANSPORT-0") as raised:
            x.reveal()
        assert time.monotonic() - began < 8.0
        assert getattr(raised.value, "party", "") == "west"
    finally:
        session.close()
        for service in services[:2]:
            service.stop()
        for thread in threads[:2]:
            thread.join(10)


def test_an_identity_that_others_could_read_is_refused(tmp_path: Path) -> None:
    create_identity("north", tmp_path / "id")
    (tmp_path / "id" / "key.pem").chmod(0o644)

    with pytest.raises(RoomError, match="ROOM-091"):
        load_identity(tmp_path / "id")
