# SPDX-License-Identifier: Apache-2.0
"""What protocol coroutines await: one exchange of messages, which is one communication round.

A protocol has no socket, clock, thread or logger. It is a coroutine whose only `await` is an `Exchange`; whoever
drives it (engine/drive.py) sends what the exchange carries, waits for what it expects, and resumes it. `gather`
runs independent coroutines in the same rounds: their messages travel in one frame per peer.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Mapping, Sequence
from typing import Any, TypeAlias

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


async def gather(*coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run independent coroutines in lock step, their exchanges merged into shared rounds.

    Costs the rounds of the longest and the bytes of all. The order of the arguments fixes the order of the merged
    buffers and of the streams they draw, so every party must pass the same coroutines in the same order.
    """
    results: list[Any] = [None] * len(coroutines)
    pending: dict[int, Exchange] = {}

    def advance(index: int, inbox: Inbox | None) -> None:
        try:
            pending[index] = coroutines[index].send(inbox)
        except StopIteration as stop:
            results[index] = stop.value
            pending.pop(index, None)

    try:
        for index in range(len(coroutines)):
            advance(index, None)
        while pending:
            if len(pending) == 1:
                ((index, exchange),) = pending.items()
                advance(index, await exchange)
                continue
            sends: dict[int, list[Buffer]] = {}
            expects: dict[int, int] = {}
            for exchange in pending.values():
                for peer, buffers in exchange.sends.items():
                    sends.setdefault(peer, []).extend(buffers)
                for peer, size in exchange.expects.items():
                    expects[peer] = expects.get(peer, 0) + size
            inbox = await Exchange(sends, expects)
            at = dict.fromkeys(expects, 0)
            for index, exchange in list(pending.items()):
                part = {}
                for peer, size in exchange.expects.items():
                    part[peer] = inbox[peer][at[peer] : at[peer] + size]
                    at[peer] += size
                advance(index, part)
    finally:
        for coroutine in coroutines:
            coroutine.close()
    return results
