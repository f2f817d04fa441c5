# SPDX-License-Identifier: Apache-2.0
"""What protocol coroutines await: one exchange of messages, which is one communication round.

A protocol has no socket, clock, thread or logger. It is a coroutine whose only `await` is an `Exchange`; whoever
drives it (engine/drive.py) sends what the exchange carries, waits for what it expects, and resumes it. `gather`
runs independent coroutines in the same rounds: their messages travel in one frame per peer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

Buffer: TypeAlias = np.ndarray[Any, Any] | bytes | memoryview
Inbox: TypeAlias = Mapping[int, memoryview]


class Exchange:
    """One round as one party sees it.

    `sends[p]` are the buffers that go to peer p, in order; `expects[p]` is the number of bytes that come from peer p.
    Awaiting it gives `{p: memoryview}` with exactly `expects[p]` bytes for each p. Both may be empty: the party
    then idles while others talk, and no message moves.
    """

    __slots__ = ("expects", "sends")

    def __init__(self, sends: Mapping[int, Sequence[Buffer]], expects: Mapping[int, int]) -> None:
        self.sends = sends
        self.expects = expects

    def __await__(self) -> Generator[Exchange, Inbox, Inbox]:
        return (yield self)


def nbytes(buffer: Buffer) -> int:
    """The length of a buffer in bytes."""
    return len(buffer) if isinstance(buffer, bytes) else buffer.nbytes


K = TypeVar("K", bound=Hashable)


class _Lanes(Generic[K]):
    """Coroutines that advance together: one merged exchange per round."""

    def __init__(self) -> None:
        self.pending: dict[K, Exchange] = {}
        self.results: dict[K, Any] = {}
        self._lanes: dict[K, Coroutine[Any, Any, Any]] = {}

    def start(self, key: K, coroutine: Coroutine[Any, Any, Any]) -> bool:
        """Run a new coroutine up to its first exchange; True if it ended without one."""
        self._lanes[key] = coroutine
        return self._advance(key, None)

    def _advance(self, key: K, inbox: Inbox | None) -> bool:
        try:
            self.pending[key] = self._lanes[key].send(inbox)
            return False
        except StopIteration as stop:
            self.pending.pop(key, None)
            del self._lanes[key]
            self.results[key] = stop.value
            return True

    async def round(self) -> list[K]:
        """One exchange with the messages of all lanes; the keys of the lanes that ended."""
        if len(self.pending) == 1:
            ((key, exchange),) = self.pending.items()
            return [key] if self._advance(key, await exchange) else []
        sends: dict[int, list[Buffer]] = {}
        expects: dict[int, int] = {}
        for exchange in self.pending.values():
            for peer, buffers in exchange.sends.items():
                sends.setdefault(peer, []).extend(buffers)
            for peer, size in exchange.expects.items():
                expects[peer] = expects.get(peer, 0) + size
        inbox = await Exchange(sends, expects)
        at = dict.fromkeys(expects, 0)
        ended = []
        for key, exchange in list(self.pending.items()):
            part = {}
            for peer, size in exchange.expects.items():
                part[peer] = inbox[peer][at[peer] : at[peer] + size]
                at[peer] += size
            if self._advance(key, part):
                ended.append(key)
        return ended

    def close(self) -> None:
        for coroutine in self._lanes.values():
            coroutine.close()


async def gather(*coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run independent coroutines in lock step, their exchanges merged into shared rounds.

    Costs the rounds of the longest and the bytes of all. The order of the arguments fixes the order of the merged
    buffers and of the streams they draw, so every party must pass the same coroutines in the same order.
    """
    lanes: _Lanes[int] = _Lanes()
    try:
        for index, coroutine in enumerate(coroutines):
            lanes.start(index, coroutine)
        while lanes.pending:
            await lanes.round()
    finally:
        lanes.close()
        for coroutine in coroutines:
            coroutine.close()
    return [lanes.results[index] for index in range(len(coroutines))]


class Schedule(Generic[K]):
    """A graph of tasks, prepared once so that running it many times is cheap.

    `tasks[k]` are the predecessors of k. The order of `tasks` decides the order of starts; it must be the same at every
    party, because it fixes the order of merged buffers and of the streams that tasks draw.
    """

    __slots__ = ("first", "successors", "waiting")

    def __init__(self, tasks: Mapping[K, Sequence[K]]) -> None:
        position = {key: i for i, key in enumerate(tasks)}
        self.waiting = {key: len(set(predecessors)) for key, predecessors in tasks.items()}
        self.first = [key for key, count in self.waiting.items() if count == 0]
        self.successors: dict[K, list[K]] = {key: [] for key in tasks}
        for key, predecessors in tasks.items():
            for predecessor in set(predecessors):
                self.successors[predecessor].append(key)
        for keys in self.successors.values():
            keys.sort(key=position.__getitem__)


async def dataflow(schedule: Schedule[K], start: Callable[[K], Coroutine[Any, Any, None]]) -> None:
    """Run a graph of tasks: each starts in the round in which the last of its predecessors ends.

    `start(k)` makes the coroutine of task k, which stores its own result. What may run at the same time shares rounds,
    so the rounds are those of the longest path.
    """
    waiting = schedule.waiting.copy()
    successors = schedule.successors
    lanes: _Lanes[K] = _Lanes()
    ready = deque(schedule.first)

    def release(key: K) -> None:
        for successor in successors[key]:
            waiting[successor] -= 1
            if waiting[successor] == 0:
                ready.append(successor)

    try:
        while ready or lanes.pending:
            while ready:
                key = ready.popleft()
                if lanes.start(key, start(key)):
                    release(key)
            if lanes.pending:
                for key in await lanes.round():
                    release(key)
    finally:
        lanes.close()
