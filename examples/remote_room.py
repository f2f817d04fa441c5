# SPDX-License-Identifier: Apache-2.0
"""A room of three party processes and a client, as three organisations would set it up, but on one machine.

Protected: every age. A party reads only its own --data directory; the client sends a plan and no data.
Everyone learns: the mean age, and how many ages each party has. All that is written lies in a temporary directory.
"""

import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import tacit as tc

AGES = {"north": [34, 71, 58], "south": [45, 29], "west": [62, 80, 41, 37]}
TACIT = [sys.executable, "-m", "tacit.cli.main"]  # the command `tacit`


def keygen(root: Path, name: str) -> str:
    """Make a key; gives the line with its pin, as `tacit party keygen` prints it."""
    return subprocess.check_output([*TACIT, "party", "keygen", "--name", name, "--out", name], cwd=root, text=True)


def write_room(root: Path) -> None:
    """Keys, data and the room file. In life each organisation does its part on its own host."""
    room = 'format = 1\nname = "clinics"\nprotocol = "rep3"\n'
    with ExitStack() as probes:
        for name, ages in AGES.items():
            (root / f"{name}-data").mkdir()
            (root / f"{name}-data" / "patients.csv").write_text("\n".join(["age", *map(str, ages)]) + "\n")
            probe = probes.enter_context(socket.create_server(("127.0.0.1", 0)))  # a free port
            address = f'host = "127.0.0.1"\nport = {probe.getsockname()[1]}'
            room += f'[[parties]]\nname = "{name}"\n{address}\n{keygen(root, name)}'
    (root / "room.toml").write_text(f'{room}[[clients]]\nname = "analyst"\n{keygen(root, "analyst")}')


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        root = Path(directory)
        write_room(root)
        for name in AGES:
            command = [*TACIT, "party", "run", "--room", "room.toml", "--party", name]
            process = subprocess.Popen([*command, "--identity", name, "--data", f"{name}-data"], cwd=root)
            stack.enter_context(process)  # waits for it,
            stack.callback(process.terminate)  # after this
        with tc.connect(root / "room.toml", identity=root / "analyst") as s:
            ages = [s.load("patients.csv", party, "age", range=(0, 120)) for party in s.parties]
            mean = tc.concat(ages).mean().reveal(purpose="mean age")
    print(f"mean age {mean:.2f}")
    every = [age for ages in AGES.values() for age in ages]
    assert abs(mean - sum(every) / len(every)) < 1e-3


if __name__ == "__main__":
    main()
