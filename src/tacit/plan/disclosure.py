# SPDX-License-Identifier: Apache-2.0
"""What running a plan tells to whom, in plain words, and what the plan takes on trust.

The list is complete by construction: only a `reveal` node widens a home, shapes are public, and everything else a
party sees is masked. What the plan itself says (constants, numbers of trips, names) is public to its readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tacit.plan.nodes import Graph, Node, all_nodes
from tacit.plan.ops import OPS
from tacit.plan.types import Interval, TensorType

WORDS_DEPTH: Final = 3
NAMES_MAX: Final = 6


@dataclass(frozen=True)
class Disclosure:
    """One thing that becomes known.

    `kind` is `reveal` (values) or `size` (the shape of an input). `to` is a party's index, or None for everyone;
    `audience` is its name, or `everyone`. `node` is the id of the `reveal` or `input` node. `type` is the type of what
    is disclosed; of a `size` only the shape is.
    """

    kind: Literal["reveal", "size"]
    what: str
    to: int | None
    audience: str
    purpose: str
    node: int
    type: TensorType

    def __str__(self) -> str:
        """One line, such as `number of rows of `x` of hospital0: 190, to everyone`."""
        purpose = f", for: {self.purpose}" if self.purpose else ""
        return f"{self.what}, to {self.audience}{purpose}"


@dataclass(frozen=True)
class Assumption:
    """A range that the plan takes on trust: if it is wrong, results may be wrong, without notice.

    `interval` is in raw values, `real` in the value's own unit; `times` counts the trips of the loops around the node.
    """

    what: str
    interval: Interval
    real: tuple[float, float]
    times: int

    def __str__(self) -> str:
        """One line."""
        times = f", in each of {self.times} trips" if self.times > 1 else ""
        return f"{self.what} is assumed to lie in [{self.real[0]:g}, {self.real[1]:g}]{times}"


def disclosures(graph: Graph) -> tuple[Disclosure, ...]:
    """Every disclosure: the shapes of the inputs first, then the reveals, each in the order of the plan."""
    reader = _Reader(graph)
    labels: dict[int, list[str]] = {}
    for label, value in graph.outputs:
        labels.setdefault(value, []).append(label)
    sizes, reveals = [], []
    for node in graph.nodes:
        if node.op == "input":
            what = f"{_size_words(node.type.shape)[0]} of {_name(graph, node)}: {_size_words(node.type.shape)[1]}"
            sizes.append(Disclosure("size", what, None, "everyone", "", node.id, node.type))
        elif node.op == "reveal":
            to = node.attrs["to"]
            audience = "everyone" if to is None else graph.parties[to]
            what = _reveal_words(reader, node, labels.get(node.id, []))
            reveals.append(Disclosure("reveal", what, to, audience, node.attrs["purpose"], node.id, node.type))
    return (*sizes, *reveals)


def assumptions(graph: Graph) -> tuple[Assumption, ...]:
    """Every `assume` of the plan, those in loops included."""
    reader = _Reader(graph)
    found = []
    for node, times in all_nodes(graph.nodes):
        if node.op == "assume":
            unit = 2.0**node.type.dtype.f
            interval = node.type.interval
            where = "a value in a loop" if times > 1 else reader.words(node.inputs[0])
            found.append(Assumption(f"{where} (%{node.id})", interval, (interval.lo / unit, interval.hi / unit), times))
    return tuple(found)


def sources(graph: Graph, node_id: int) -> tuple[Node, ...]:
    """The `input` nodes that a node depends on, in order."""
    seen, stack = {node_id}, [node_id]
    while stack:
        for i in graph.nodes[stack.pop()].inputs:
            if i not in seen:
                seen.add(i)
                stack.append(i)
    return tuple(graph.nodes[i] for i in sorted(seen) if graph.nodes[i].op == "input")


def _reveal_words(reader: _Reader, node: Node, labels: list[str]) -> str:
    graph = reader.graph
    label = ", ".join(f"`{name}`" for name in labels) + ": " if labels else ""
    shape = node.type.shape
    amount = f"an array {list(shape)} of {node.type.dtype}" if shape else f"one {node.type.dtype} value"
    names = [_name(graph, n) for n in sources(graph, node.id)]
    origin = _listing(names[:NAMES_MAX], len(names)) if names else "public values only"
    return f"{label}{amount}, {reader.words(node.id)}; computed from {origin}"


class _Reader:
    """Puts the nodes of one plan in words."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        # For each node the one that computes its value, rather than pass it on with another shape, type or home. Done
        # once, because a hostile plan could make every look-up walk a chain as long as the plan.
        self._computing: list[Node] = []
        for node in graph.nodes:
            self._computing.append(self._computing[node.inputs[0]] if OPS[node.op].words == "{0}" else node)

    def words(self, node_id: int, depth: int = WORDS_DEPTH) -> str:
        """What a top-level node computes, down to `depth` operations."""
        node = self._computing[node_id]
        template = OPS[node.op].words
        if node.op == "input":
            return _name(self.graph, node)
        if not node.inputs:
            return template
        if depth == 0:
            return "a computed value"
        parts = [self._part(i, depth - 1) for i in node.inputs[:NAMES_MAX]]
        return template.format(*parts, all=_listing(parts, len(node.inputs)))

    def _part(self, node_id: int, depth: int) -> str:
        """The words of an operand, in parentheses where it would be unclear how far they reach."""
        text = self.words(node_id, depth)
        return f"({text})" if depth and self._computing[node_id].inputs else text


def _name(graph: Graph, node: Node) -> str:
    return OPS["input"].words.format(name=node.attrs["name"], party=graph.parties[node.attrs["party"]])


def _size_words(shape: tuple[int, ...]) -> tuple[str, str]:
    if not shape:
        return "shape", "one value"
    if len(shape) == 1:
        return "number of rows", str(shape[0])
    return "numbers of rows and columns" if len(shape) == 2 else "shape", " x ".join(map(str, shape))


def _listing(parts: list[str], total: int) -> str:
    unique = list(dict.fromkeys(parts))
    if total > len(parts):
        unique.append(f"{total - len(parts)} more")
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} and {unique[-1]}"
