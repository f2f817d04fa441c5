# SPDX-License-Identifier: Apache-2.0
"""The one seam between a protocol and whatever moves its bytes.

A run is lock-step: every party numbers its rounds 0, 1, 2, ... within a session; in each round it sends at
most one message to each peer, and expects a message of a known length from some peers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tacit.errors import TacitError

Buffer: TypeAlias = np.ndarray[Any, Any] | bytes | bytearray | memoryview
"""What can be sent: an array of any shape, or bytes; its bytes travel in C order."""


@dataclass(slots=True)
class Stats:
    """Exact counts of one party's traffic since its transport was built.

    `rounds` are the collected steps in which it sent or expected anything, `frames` the DATA frames it sent. Bytes
    sent on the wire include headers, record protection and heartbeats; for a transport without a wire they
    are 0.
    """

    rounds: int = 0
    frames: int = 0
    payload_bytes_sent: int = 0
    payload_bytes_received: int = 0
    wire_bytes_sent: int = 0


class Transport(Protocol):
    """One party's end. A party's index is `me`; its peers are the other indices below `parties`."""

    me: int
    parties: int

    def exchange(
        self, step: int, sends: Mapping[int, Sequence[Buffer]], expects: Mapping[int, int]
    ) -> dict[int, memoryview]:
        """One whole round: `post`, then `collect`. No other step may be outstanding. The buffers may be changed
        as soon as it returns.
        """
        ...

    def post(self, step: int, sends: Mapping[int, Sequence[Buffer]], expects: Mapping[int, int]) -> None:
        """Send to each peer of `sends` the concatenation of its buffers, and announce one message from each peer
        of `expects`, of exactly that many bytes. Empty messages do not travel; an expected length of 0 gives an
        empty view.

        Steps increase within a session; several may be posted before the first is collected. The buffers may not be
        changed before `collect` has returned the step. Never waits for a peer to collect, so it does not deadlock
        when all parties post large messages first; a party that is far ahead waits for its peers to post. Any failure
        raises the error that all honest parties agreed on.
        """
        ...

    def collect(self) -> dict[int, memoryview]:
        """Wait for and return the messages of the oldest step that is posted and not collected. Raises as `post`
        does.
        """
        ...

    def abort(self, error: TacitError) -> TacitError:
        """End the session on every party with a failure of this one; returns the error that all agreed on."""
        ...

    def finish(self) -> None:
        """End the session successfully: returns when every peer has finished too, and raises the agreed error
        if one of them failed. Only after it may a party hand out its result, so that no party has one while
        another has an error. One one-way latency; not counted as a round.
        """
        ...

    def close(self) -> None:
        """Free everything. Closing without `finish` or `abort` is what a crash looks like to the peers."""
        ...

    @property
    def stats(self) -> Stats:
        """The counts so far."""
        ...


def as_bytes(buffer: Buffer) -> NDArray[np.uint8]:
    """The bytes of a buffer in C order, as a flat u8 array; copied only if they are not contiguous."""
    if isinstance(buffer, np.ndarray):
        return np.ascontiguousarray(buffer).reshape(-1).view(np.uint8)
    return np.frombuffer(buffer, dtype=np.uint8)


def concatenate(buffers: Iterable[Buffer]) -> bytes:
    """A copy of the bytes of all buffers."""
    return b"".join(as_bytes(buffer).data for buffer in buffers)


def party_names(parties: int, names: Sequence[str] | None) -> tuple[str, ...]:
    """The names that errors use; `party 0`, `party 1`, ... if none are given. Raises ValueError on a wrong
    count.
    """
    if names is None:
        return tuple(f"party {index}" for index in range(parties))
    if len(names) != parties:
        raise ValueError(f"{len(names)} names for {parties} parties")
    return tuple(names)
