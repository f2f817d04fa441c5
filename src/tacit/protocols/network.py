# SPDX-License-Identifier: Apache-2.0
"""What lies between the parties, as far as it decides how to compute: a model, the same at every party."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final


@dataclass(frozen=True)
class Network:
    """A network between the computing parties: one-way latency in seconds, bytes per second that each party sends.

    Where each element is for itself, they are worked on in pieces of `least` to `most` of them, and `in_flight` pieces
    follow each other: while the messages of one travel, the next is computed. So what a protocol needs between its
    rounds stays small. Smaller pieces than that cost more work, for each exchange, than they save.
    """

    name: str
    latency_s: float
    bytes_per_s: float
    least: int
    most: int
    in_flight: int

    def spans(self, n: int) -> list[tuple[int, int]]:
        """The pieces of n elements, (start, stop), about equal; cut between the words of bit planes."""
        count = max(1, min(self.in_flight, n // self.least), -(-n // self.most))
        words = -(-n // 64)
        cuts = [min(n, 64 * (words * k // count)) for k in range(count + 1)]
        return list(pairwise(cuts))

    def seconds(self, rounds: int, bytes_total: int, parties: int) -> float:
        """What messages take, computing aside: rounds after each other, bytes spread over all parties."""
        return rounds * self.latency_s + bytes_total / max(parties, 1) / self.bytes_per_s


NETWORKS: Final[dict[str, Network]] = {
    "loopback": Network("loopback", 80e-6, 0.5e9, least=1 << 18, most=1 << 18, in_flight=3),
    "lan": Network("lan", 0.5e-3, 125e6, least=1 << 14, most=1 << 17, in_flight=4),
    "wan": Network("wan", 20e-3, 12.5e6, least=1 << 14, most=1 << 18, in_flight=4),
}
"""`lan` is 1 ms round trip at 1 Gbit/s, `wan` is 40 ms at 100 Mbit/s; on `loopback` three parties share the machine."""
