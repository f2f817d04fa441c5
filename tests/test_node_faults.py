# SPDX-License-Identifier: Apache-2.0
"""What ends a run ends it everywhere, in time, with one named error; and no process stays."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

import tacit as tc
from tacit.errors import RunError, TransportError
from tacit.frontends.array import SecretArray
from tacit.room import Limits
from tacit.session import Session, local
from test_session import is_running

LIMITS = Limits(silence_s=1.0, connect_timeout_s=10.0)
ROUNDS = 400
"""Over the emulated WAN at least 8 s: nothing here waits that long."""


def long_run(session: Session) -> SecretArray:
    """A chain of ANDs, one round each."""
    x = session.input(np.array([True, False]), party=0)
    y = session.input(np.array([True, True]), party=1)
    z = session.input(np.array([False, True]), party=2)
    for _ in range(ROUNDS):
        x = (x & y) ^ z
    return x


def after(seconds: float, act: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    return timer


def wait_until_gone(pids: list[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "a party process is still there"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "code", "seconds"),
    [
        (signal.SIGKILL, "TRANSPORT-001", 4.0),
        (signal.SIGSTOP, "TRANSPORT-002", 9.0),
        (signal.SIGTERM, "RUN-002", 4.0),
    ],
)
def test_a_party_that_dies_freezes_or_is_stopped_ends_the_run_and_is_named(
    number: signal.Signals, code: str, seconds: float
) -> None:
    with local(network="wan", limits=LIMITS) as session:
        pids = list(session.pids)
        x = long_run(session)
        after(1.0, lambda: os.kill(pids[1], number))
        began = time.monotonic()

        with pytest.raises((TransportError, RunError)) as raised:
            x.reveal()

        assert time.monotonic() - began < 1.0 + seconds
        assert raised.value.code == code
        assert raised.value.party == "party1"
        assert session.last is None
        if number == signal.SIGSTOP:
            os.kill(pids[1], signal.SIGCONT)
    wait_until_gone(pids, 1.0)


@pytest.mark.parametrize(("victim", "step"), [(0, 1), (1, 9), (2, 20)])
def test_a_party_killed_in_the_middle_of_a_sort_ends_it_everywhere(victim: int, step: int) -> None:
    with local(network="wan", limits=LIMITS) as session:
        pids = list(session.pids)
        x, y = (session.input(np.arange(3000)[::-1], party=p, range=(0, 3000)) for p in range(2))
        result = tc.sort(x + y, strategy="shuffle")
        plan, values = session.plan_of(result), session._program.bindings([result])
        put = {(k, name): raw for k, (name, raw) in enumerate(sorted(values.items())) if raw is not None}
        killed = []

        def kill(at: int) -> None:
            if at >= step and not killed:
                killed.append(at)
                os.kill(pids[victim], signal.SIGKILL)

        with pytest.raises(TransportError, match="TRANSPORT-001") as raised:
            session._backend.run(plan, put, kill)

        assert killed
        assert raised.value.party == f"party{victim}"
    wait_until_gone(pids, 1.0)


def test_an_interrupted_run_ends_everywhere_and_the_session_goes_on() -> None:
    with local(network="wan", limits=LIMITS) as session:
        x = long_run(session)
        after(1.0, _thread.interrupt_main)
        began = time.monotonic()

        with pytest.raises(KeyboardInterrupt):
            x.reveal()

        assert time.monotonic() - began < 4.0
        total = session.input(np.array([1]), party=0) + session.input(np.array([2]), party=1)
        assert total.reveal().tolist() == [3]


def test_runs_that_failed_leave_no_connection_behind() -> None:
    with local(network="wan", limits=LIMITS) as session:
        total = session.input(np.array([1]), party=0) + session.input(np.array([2]), party=1)
        total.reveal()

        def open_files() -> list[int]:
            return [len(os.listdir(f"/proc/{pid}/fd")) for pid in session.pids]

        before, x = open_files(), long_run(session)
        for _ in range(3):
            after(0.5, _thread.interrupt_main)
            with pytest.raises(KeyboardInterrupt):
                x.reveal()
        total.reveal()

        # Those of one run are ten.
        assert max(now - then for now, then in zip(open_files(), before, strict=True)) < 5


def test_progress_is_reported_while_a_run_lasts() -> None:
    with local(network="wan") as session:
        x = session.input(np.array([True, False]), party=0)
        y = session.input(np.array([True, True]), party=1)
        for _ in range(60):
            x = x & y
        plan, values, steps = session.plan_of(x), session._program.bindings([x]), []

        outcome = session._backend.run(
            plan,
            {(k, name): raw for k, (name, raw) in enumerate(sorted(values.items())) if raw is not None},
            steps.append,
        )

    assert len(steps) >= 3
    assert steps == sorted(set(steps))
    assert steps[-1] <= outcome.rounds


CLIENT = """
import numpy as np, sys
sys.path.insert(0, {tests!r})
from test_node_faults import LIMITS, long_run
from tacit.session import local
session = local(network="wan", limits=LIMITS)
print(*session.pids, flush=True)
long_run(session).reveal()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_parties_of_a_client_that_is_gone_end_without_it(number: signal.Signals) -> None:
    script = CLIENT.format(tests=os.path.dirname(__file__))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        pids = [int(pid) for pid in client.stdout.readline().split()]
        assert len(pids) == 3
        time.sleep(1.0)
        client.send_signal(number)
        client.wait(10)
        wait_until_gone(pids, 6.0)
        if number == signal.SIGINT:
            assert "KeyboardInterrupt" in client.stderr.read()


def test_a_frozen_client_ends_its_run_and_the_party_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with local(network="wan", limits=LIMITS) as session:
        x = long_run(session)
        # From here on no ping is sent: what a frozen process looks like to the parties.
        monkeypatch.setattr("tacit.session.client.PONG_FRACTION", 0.01)
        began = time.monotonic()

        with pytest.raises(RunError, match="RUN-003"):
            x.reveal()

        assert time.monotonic() - began < 5.0


def test_a_client_that_exits_without_closing_leaves_no_process_and_no_message() -> None:
    script = "import numpy as np\nfrom tacit.session import local\ns = local()\nprint(*s.pids)\n"
    script += "(s.input(np.array([1]), party=0) + s.input(np.array([1]), party=1)).reveal()\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0
    assert done.stderr == ""
    wait_until_gone([int(pid) for pid in done.stdout.split()], 2.0)
