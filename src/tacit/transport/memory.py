# SPDX-License-Identifier: Apache-2.0
"""All parties in one process and one thread: messages are queues, and nothing ever waits.

The driver lets every party `post` its messages of a step, then lets every party `collect` them; several steps may
be posted before the first is collected. Bytes and rounds are counted exactly as on a wire, so declared costs are tested
here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from tacit.errors import TacitError
from tacit.transport.base import Buffer, Stats, concatenate, party_names
from tacit.transport.faults import Cause, transport_error


class Hub:
    """The queues between `parties` endpoints; `names` are used in errors."""

    def __init__(self, parties: int, names: Sequence[str] | None = None) -> None:
        """Empty queues. Raises ValueError on a wrong number of names."""
        self.parties = parties
        self.names = party_names(parties, names)
        self._queues: dict[tuple[int, int], deque[tuple[int, bytes]]] = {
            (sender, receiver): deque()
            for sender in range(parties)
            for receiver in range(parties)
            if sender != receiver
        }
        self._failure: TacitError | None = None
        self._endpoints = [MemoryTransport(self, index) for index in range(parties)]

    def endpoint(self, index: int) -> MemoryTransport:
        """The transport of one party."""
        return self._endpoints[index]


class MemoryTransport:
    """One party's end of a `Hub`."""

    def __init__(self, hub: Hub, me: int) -> None:
        """Made by `Hub`."""
        self.me = me
        self.parties = hub.parties
        self._hub = hub
        self._stats = Stats()
        self._step = -1
        self._outstanding: deque[tuple[int, bool, Mapping[int, int]]] = deque()

    def exchange(
        self, step: int, sends: Mapping[int, Sequence[Buffer]], expects: Mapping[int, int]
    ) -> dict[int, memoryview]:
        """As `Transport.exchange`. What it expects must have been posted already, or TRANSPORT-012 is raised
        at once.
        """
        if self._outstanding:
            raise self._misused(f"step {self._outstanding[0][0]} is posted and not collected")
        self.post(step, sends, expects)
        return self.collect()

    def post(self, step: int, sends: Mapping[int, Sequence[Buffer]], expects: Mapping[int, int]) -> None:
        """As `Transport.post`: put copies of this party's messages of a step into the queues."""
        self._check()
        if step <= self._step:
            raise self._misused(f"step {step} is past")
        self._step = step
        messages = [(peer, message) for peer, buffers in sends.items() if (message := concatenate(buffers))]
        for peer, message in messages:
            self._hub._queues[self.me, peer].append((step, message))
            self._stats.frames += 1
            self._stats.payload_bytes_sent += len(message)
        self._outstanding.append((step, bool(messages), dict(expects)))

    def collect(self) -> dict[int, memoryview]:
        """As `Transport.collect`: take the messages of the oldest posted step, which must be there.

        Raises TRANSPORT-012 for a missing message, -003 for another length, -004 for a message that nobody expects, and
        -013 if no step is posted.
        """
        self._check()
        if not self._outstanding:
            raise self._misused("no step is posted")
        step, counts, expects = self._outstanding.popleft()
        inbox: dict[int, memoryview] = {}
        for peer in range(self.parties):
            if peer == self.me:
                continue
            queue, size = self._hub._queues[peer, self.me], expects.get(peer, 0)
            if size == 0:
                if peer in expects:
                    inbox[peer] = memoryview(b"")
                if queue and queue[0][0] <= step:
                    what = f"a message for step {queue[0][0]}"
                    raise self._failed(Cause.STEP, peer, what, f"none from it at step {step}")
                continue
            counts = True
            if not queue:
                raise self._failed(Cause.TIMEOUT, peer, f"no message for step {step}", f"{size} bytes")
            sent, message = queue.popleft()
            if sent != step:
                raise self._failed(Cause.STEP, peer, f"a message for step {sent}", f"a message for step {step}")
            if len(message) != size:
                what = f"a message of {len(message)} bytes for step {step}"
                raise self._failed(Cause.LENGTH, peer, what, f"{size} bytes")
            self._stats.payload_bytes_received += size
            inbox[peer] = memoryview(message)
        self._stats.rounds += counts
        return inbox

    def abort(self, error: TacitError) -> TacitError:
        """As `Transport.abort`; in one thread the first failure is the cause, and every endpoint raises it
        from now on.
        """
        if self._hub._failure is None:
            self._hub._failure = error
        return self._hub._failure

    def finish(self) -> None:
        """As `Transport.finish`, without waiting."""
        self._check()
        if self._outstanding:
            raise self._misused(f"step {self._outstanding[0][0]} is posted and not collected")

    def close(self) -> None:
        """Nothing to free."""

    @property
    def stats(self) -> Stats:
        """The counts so far."""
        return self._stats

    def _check(self) -> None:
        if self._hub._failure is not None:
            raise self._hub._failure

    def _misused(self, what: str) -> TacitError:
        return self.abort(transport_error(Cause.MISUSE, what))

    def _failed(self, cause: Cause, peer: int, what: str, expected: str) -> TacitError:
        return self.abort(transport_error(cause, what, expected=expected, party=self._hub.names[peer]))
