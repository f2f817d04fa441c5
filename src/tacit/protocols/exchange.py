# SPDX-License-Identifier: Apache-2.0
"""What protocol coroutines await: exchanges of messages.

A protocol has no socket, clock, thread or logger. It is a coroutine whose only `await` is an `Exchange`; whoever
drives it (engine/drive.py) sends what the exchange carries, waits for what it expects, and resumes it. `gather`
runs independent coroutines in the same rounds: their messages travel in one frame per peer. `pipelined` runs them each
for itself, so that one computes while the messages of another travel: it takes exchanges apart into `Post`, which does
not wait, and `Collect`.

Rounds are the messages on the longest chain of which each depends on the one before, so what runs side by side, merged
or pipelined, has the rounds of its longest part. What a driver carries out are exchanges; where nothing is pipelined,
each is a round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Coroutine, Generator, Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np

Buffer: TypeAlias = np.ndarray[Any, Any] | bytes | memoryview
Inbox: TypeAlias = Mapping[int, memoryview]


class Exchange:
    """One round as one party sees it: what it sends, and, to wait for at once, what it expects.

    `sends[p]` are the buffers that go to peer p, in order; `expects[p]` is the number of bytes that come from peer p.
    Awaiting it gives `{p: memoryview}` with exactly `expects[p]` bytes for each p. Both may be empty: the party
    then idles while others talk, and no message moves.
    """

    __slots__ = ("expects", "sends")
    posts: ClassVar = True
    collects: ClassVar = True

    def __init__(self, sends: Mapping[int, Sequence[Buffer]], expects: Mapping[int, int]) -> None:
        self.sends = sends
        self.expects = expects

    def __await__(self) -> Generator[Exchange, Inbox, Inbox]:
        return (yield self)


class Post:
    """The first half of an exchange: send, say what will come, and go on without it.

    `deeper` says whether its messages make the longest chain longer: whether they count as a round.
    """

    __slots__ = ("deeper", "expects", "sends")
    posts: ClassVar = True
    collects: ClassVar = False

    def __init__(self, exchange: Exchange | Post, deeper: bool) -> None:
        self.sends: Mapping[int, Sequence[Buffer]] = exchange.sends
        self.expects: Mapping[int, int] = exchange.expects
        self.deeper = deeper

    def __await__(self) -> Generator[Post, None, None]:
        yield self


class Collect:
    """The second half: awaiting it gives what came for the oldest `Post` that is not collected yet."""

    __slots__ = ()
    posts: ClassVar = False
    collects: ClassVar = True

    def __await__(self) -> Generator[Collect, Inbox, Inbox]:
        return (yield self)


Awaited: TypeAlias = Exchange | Post | Collect
"""What a driver is asked for."""


def nbytes(buffer: Buffer) -> int:
    """The length of a buffer in bytes."""
    return len(buffer) if isinstance(buffer, bytes) else buffer.nbytes


K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class _Lanes(Generic[K]):
    """Coroutines that advance together, their exchanges merged; or each for itself.

    A lane may be pipelined inside: its posts pass through at once, and what comes goes to the lane that posted it.
    Merged exchanges are posted too while such messages are on the way, one at a time, so that lanes stay merged.
    """

    def __init__(self, merged: bool = True) -> None:
        self.results: dict[K, Any] = {}
        self.ends: dict[K, int] = {}
        """The rounds from the start of all lanes to the end of each."""
        self._merged = merged
        self._lanes: dict[K, Coroutine[Any, Any, Any]] = {}
        self._depths: dict[K, int] = {}
        self._longest = 0
        self._pending: dict[K, Exchange] = {}
        self._flight: deque[dict[K, Exchange] | K] = deque()
        self._merged_flies = False

    def __len__(self) -> int:
        return len(self._lanes)

    def start(self, key: K, coroutine: Coroutine[Any, Any, Any], depth: int = 0) -> bool | Exchange | Post:
        """Run a new coroutine up to where it waits, as `advance` does. It builds on `depth` rounds."""
        self._lanes[key] = coroutine
        self._depths[key] = depth
        return self.advance(key, None)

    def advance(self, key: K, inbox: Inbox | None) -> bool | Exchange | Post:
        """Resume a lane: True if it ended, False if it waits; else what `post` has to send first.

        No coroutine of its own, since most steps of small programs neither wait nor send.
        """
        try:
            awaited: Awaited = self._lanes[key].send(inbox)
        except StopIteration as stop:
            self._end(key, stop.value)
            return True
        if type(awaited) is Exchange and self._merged:
            self._pending[key] = awaited
            return False
        return False if isinstance(awaited, Collect) else awaited

    def _end(self, key: K, result: Any) -> None:
        del self._lanes[key]
        self.results[key] = result
        self.ends[key] = self._depths.pop(key)

    async def post(self, key: K, awaited: Exchange | Post) -> bool:
        """Send for a lane at once, and resume it unless it waits for the answer; whether it ended."""
        while True:
            self._flight.append(key)
            await Post(awaited, self._deepen([key], isinstance(awaited, Exchange) or awaited.deeper))
            if isinstance(awaited, Exchange):
                return False
            then = self.advance(key, None)
            if isinstance(then, bool):
                return then
            awaited = then

    def _deepen(self, keys: Iterable[K], deeper: bool = True) -> bool:
        """Note that lanes take a round in common; True if that makes the longest chain longer."""
        depth = max(self._depths[key] for key in keys) + deeper
        for key in keys:
            self._depths[key] = depth
        longer = depth > self._longest
        self._longest = max(self._longest, depth)
        return longer

    async def round(self) -> list[K]:
        """Wait for the next messages and resume who waits for them; the keys of the lanes that ended."""
        exchanges = self._pending
        if exchanges and not self._merged_flies:
            self._pending = {}
            if len(self._lanes) == 1 and not self._flight:
                ((key, exchange),) = exchanges.items()
                if self._depths[key] == self._longest:
                    return [key] if await self._alone(key, exchange) else []
            exchange = _merge(exchanges)
            deeper = self._deepen(exchanges)
            if deeper and not self._flight:
                return await self._resume(exchanges, await exchange)
            self._flight.append(exchanges)
            self._merged_flies = True
            await Post(exchange, deeper)
        oldest = self._flight.popleft()
        inbox = await Collect()
        if isinstance(oldest, dict):
            self._merged_flies = False
            return await self._resume(oldest, inbox)
        ended = self.advance(oldest, inbox)
        return [oldest] if (ended if isinstance(ended, bool) else await self.post(oldest, ended)) else []

    async def _alone(self, key: K, exchange: Exchange) -> bool:
        """The rounds of the only lane, each the longest chain's next, with nothing to merge; as `post`."""
        send = self._lanes[key].send
        while True:
            inbox = await exchange
            self._longest = self._depths[key] = self._longest + 1
            try:
                awaited = send(inbox)
            except StopIteration as stop:
                self._end(key, stop.value)
                return True
            if type(awaited) is not Exchange:
                return await self.post(key, awaited)
            exchange = awaited

    async def _resume(self, exchanges: dict[K, Exchange], inbox: Inbox) -> list[K]:
        at = dict.fromkeys(inbox, 0)
        ended = []
        for key, exchange in exchanges.items():
            part = inbox
            if len(exchanges) > 1:
                part = {peer: inbox[peer][at[peer] : at[peer] + size] for peer, size in exchange.expects.items()}
                for peer, size in exchange.expects.items():
                    at[peer] += size
            then = self.advance(key, part)
            if then if isinstance(then, bool) else await self.post(key, then):
                ended.append(key)
        return ended

    def close(self) -> None:
        for coroutine in self._lanes.values():
            coroutine.close()


def _merge(exchanges: Mapping[Any, Exchange]) -> Exchange:
    if len(exchanges) == 1:
        return next(iter(exchanges.values()))
    sends: dict[int, list[Buffer]] = {}
    expects: dict[int, int] = {}
    for exchange in exchanges.values():
        for peer, buffers in exchange.sends.items():
            sends.setdefault(peer, []).extend(buffers)
        for peer, size in exchange.expects.items():
            expects[peer] = expects.get(peer, 0) + size
    return Exchange(sends, expects)


async def gather(*coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run independent coroutines in lock step, their exchanges merged into shared rounds.

    Costs the rounds of the longest and the bytes of all. The order of the arguments fixes the order of the merged
    buffers and of the streams they draw, so every party must pass the same coroutines in the same order.
    """
    if len(coroutines) == 1:
        return [await coroutines[0]]
    lanes: _Lanes[int] = _Lanes()
    try:
        for index, coroutine in enumerate(coroutines):
            then = lanes.start(index, coroutine)
            if not isinstance(then, bool):
                await lanes.post(index, then)
        while lanes:
            await lanes.round()
    finally:
        lanes.close()
        for coroutine in coroutines:
            coroutine.close()
    return [lanes.results[index] for index in range(len(coroutines))]


async def pipelined(coroutines: Iterable[Coroutine[Any, Any, T]], in_flight: int, *, apart: bool = False) -> list[T]:
    """Run independent coroutines so that each computes while the messages of others travel; results in order.

    At most `in_flight` of them have begun and not ended; the next is taken from `coroutines` when one ends. Costs the
    rounds of the longest and the bytes of all. Messages leave in an order that depends only on the numbers of
    exchanges, so every party must pass the same coroutines in the same order, as for `gather`.

    With `apart` each begins an exchange later than the one before: where all take the same steps, each is then at
    another one, and the large messages of some fill the time that the small ones of others take to arrive.
    """
    lanes: _Lanes[int] = _Lanes(merged=False)
    count = 0
    try:
        for index, coroutine in enumerate(coroutines):
            count += 1
            then = lanes.start(index, coroutine)
            if not isinstance(then, bool):
                await lanes.post(index, then)
            for _ in range(len(lanes) - 1 if apart else 0):
                await lanes.round()
            while len(lanes) >= in_flight:
                await lanes.round()
        while lanes:
            await lanes.round()
    finally:
        lanes.close()
    return [lanes.results[index] for index in range(count)]


class Schedule(Generic[K]):
    """A graph of tasks, prepared once so that running it many times is cheap.

    `tasks[k]` are the predecessors of k, all before k in the order of `tasks`. That order decides the order of starts;
    it must be the same at every party, because it fixes the order of merged buffers and of the streams that tasks draw.
    `local` are tasks that await nothing. `is_line` if the others follow each other: then all may run one by one.
    """

    __slots__ = ("first", "is_line", "successors", "waiting")

    def __init__(self, tasks: Mapping[K, Sequence[K]], local: Collection[K] = ()) -> None:
        depths: dict[K, int] = {}
        for key, predecessors in tasks.items():
            depths[key] = max((depths[k] for k in predecessors), default=0) + (key not in local)
        self.is_line = max(depths.values(), default=0) == len(tasks) - len(local)
        position = {key: i for i, key in enumerate(tasks)}
        self.waiting = {key: len(set(predecessors)) for key, predecessors in tasks.items()}
        self.first = [key for key, count in self.waiting.items() if count == 0]
        self.successors: dict[K, list[K]] = {key: [] for key in tasks}
        for key, predecessors in tasks.items():
            for predecessor in set(predecessors):
                self.successors[predecessor].append(key)
        for keys in self.successors.values():
            keys.sort(key=position.__getitem__)


async def dataflow(schedule: Schedule[K], start: Callable[[K], Coroutine[Any, Any, None] | None]) -> None:
    """Run a graph of tasks: each starts in the round in which the last of its predecessors ends.

    `start(k)` makes the coroutine of task k, which stores its own result, or does all of a task that awaits nothing.
    What may run at the same time shares rounds, so the rounds are those of the longest path.
    """
    waiting = schedule.waiting.copy()
    successors = schedule.successors
    lanes: _Lanes[K] = _Lanes()
    ready = deque(schedule.first)
    depths = dict.fromkeys(schedule.first, 0)

    def release(key: K, end: int) -> None:
        for successor in successors[key]:
            depths[successor] = max(depths.get(successor, 0), end)
            waiting[successor] -= 1
            if waiting[successor] == 0:
                ready.append(successor)

    try:
        while ready or lanes:
            while ready:
                key = ready.popleft()
                task = start(key)
                if task is None:
                    release(key, depths[key])
                    continue
                then = lanes.start(key, task, depths[key])
                if then if isinstance(then, bool) else await lanes.post(key, then):
                    release(key, lanes.ends[key])
            if lanes:
                for key in await lanes.round():
                    release(key, lanes.ends[key])
    finally:
        lanes.close()
