# SPDX-License-Identifier: Apache-2.0
"""`python -m tacit.node NAME`: a party of a session that lives on one machine; `tacit.local()` starts it.

It makes its own key, which never leaves the process, and takes a free port. On stdout it writes one JSON line {port,
pin}; on stdin it reads one JSON line {room, data, threads} with the text of the room file, then writes the line
{ready}. When stdin ends, because its parent closed it or died, the party ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any, Final

from tacit.errors import TacitError
from tacit.node.memory import keep_freed_memory
from tacit.node.service import Party
from tacit.room import parse
from tacit.session.datasets import Datasets
from tacit.transport import Listener, make_identity

EXIT_S: Final = 8.0


def main() -> int:
    """Run the party; the exit status."""
    name = sys.argv[1]
    keep_freed_memory()
    # The parent decides when the session ends; Ctrl-C in its terminal reaches this process too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    identity = make_identity(name)
    listener = Listener.bind("127.0.0.1", 0, identity)
    _say({"port": listener.port, "pin": identity.pin})
    line = sys.stdin.readline()
    if not line:
        return 0
    setup = json.loads(line)
    party = Party(parse(setup["room"]), name, identity, listener, Datasets(setup["data"], name), setup["threads"])

    def terminate(*_: object) -> None:
        party.stop("its process was asked to terminate")

    signal.signal(signal.SIGTERM, terminate)
    threading.Thread(target=_until_parent_leaves, args=(party,), daemon=True).start()
    _say({"ready": True})
    party.serve()
    return 0


def _until_parent_leaves(party: Party) -> None:
    sys.stdin.read()
    party.stop("its session was closed")
    # A run that does not end, say in a long local computation, must not keep the process alive.
    timer = threading.Timer(EXIT_S, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        status = main()
    except TacitError as error:
        sys.stderr.write(f"{error}\n")
        status = 2
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that still wait on a connection are of no use any more, and must not meet a half-ended interpreter.
    os._exit(status)
