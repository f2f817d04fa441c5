# SPDX-License-Identifier: Apache-2.0
"""What running a plan tells to whom, in plain words, and what the plan takes on trust.

The list is complete by construction: only a `reveal` node widens a home, shapes are public, a sort or a selection by
the strategy "shuffle" opens how shuffled rows compare, what moves rows by a secret permutation opens where a shuffle
puts them, what matches rows opens which of the shuffled ones have equal keys, and everything else a party sees is
masked. What the plan itself says (constants, numbers of trips, names) is public to its readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tacit.plan.attributes import STR_MAX
from tacit.plan.nodes import Graph, Node, all_nodes
from tacit.plan.ops import (
    MATCH_OPENS,
    MOVES,
    MOVES_OPEN,
    PERMUTATION_OPENS,
    SELECTION_OPENS,
    SELECTIONS,
    SORT_STRATEGIES,
    made_from,
    matched_sides,
)
from tacit.plan.sources import reference
from tacit.plan.types import BOOL, Interval, Secret, TensorType
from tacit.plan.words import NAME_MAX, PARTS_MAX, Reader, input_name, listing, quoted

SOURCE_SHOWN: Final = 160
"""Characters of a source that a disclosure shows; the plan's text has it in full."""
TEXT_SHOWN: Final = 2000
"""Likewise of a text by which a party computes an input."""


@dataclass(frozen=True)
class Disclosure:
    """One thing that becomes known.

    `kind` is `reveal` (values), `size` (the shape of an input), `opening` (what an operation opens on its way, which is
    random whatever the data) or `pattern` (what one opens that depends on the data: which rows match). `to` is a
    party's index, or None for everyone; `audience` is its name, or `everyone`. `node` is the id of the `reveal`,
    `input` or opening node, in its own region. `type` is the type of what is disclosed; of a `size` only the shape is,
    and of an `opening` or a `pattern` it is that of the node's result, which stays secret.
    """

    kind: Literal["reveal", "size", "opening", "pattern"]
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
    """Every disclosure: the shapes of the inputs, then what operations open, then the reveals, in the plan's order."""
    reader = Reader(graph.nodes, graph.parties)
    labels: dict[int, list[str]] = {}
    for label, value in graph.outputs:
        labels.setdefault(value, []).append(label)
    sizes, reveals = [], []
    for node in graph.nodes:
        if node.op == "input":
            words, size = _size_words(node.type.shape)
            what = f"{words} of {input_name(node, graph.parties, STR_MAX)}{_origin(node)}: {size}"
            sizes.append(Disclosure("size", what, None, "everyone", "", node.id, node.type))
        elif node.op == "reveal":
            to = node.attrs["to"]
            audience = "everyone" if to is None else graph.parties[to]
            what = _reveal_words(graph, reader, node, labels.get(node.id, []))
            reveals.append(Disclosure("reveal", what, to, audience, node.attrs["purpose"], node.id, node.type))
    return (*sizes, *_openings(graph, reader), *reveals)


def opens(node: Node) -> bool:
    """Whether an operation other than `reveal` opens something: a sort of secrets by comparisons of shuffled rows, a
    secret permutation of them, or which of them match.
    """
    if node.type.home != Secret() or not _opening(node):
        return False
    if node.op == "match_rows":
        return True
    if node.op in SELECTIONS:
        return any(t.size > 0 for t in node.types)
    return any(t.size > 0 and t.shape[node.attrs.get("axis", 0)] > 1 for t in node.types)


def _opening(node: Node) -> str:
    """What the operation opens if its operands are secret and of more than one row."""
    if node.op == "permute":
        return PERMUTATION_OPENS
    if node.op == "match_rows":
        return MATCH_OPENS
    if node.op in MOVES:
        return MOVES_OPEN
    strategy = node.attrs.get("strategy", "network")
    if strategy == "network":
        return ""
    return SELECTION_OPENS if node.op in SELECTIONS else SORT_STRATEGIES[strategy]


def _openings(graph: Graph, reader: Reader) -> list[Disclosure]:
    inside = {id(node) for node in graph.nodes}
    found = []
    for node, times in all_nodes(graph.nodes):
        if opens(node):
            how = _opening(node)
            kind: Literal["opening", "pattern"] = "opening"
            # Flags come before the rows that are moved; of several keys the first names the sort.
            named = [node.inputs[node.op == "permute" or node.op in MOVES]]
            if node.op == "match_rows":
                kind, named = "pattern", [own[0] for _, own, _ in matched_sides(node.inputs, node.attrs)]
            if id(node) in inside:
                what = f"{node.op} of {' and '.join(map(reader.describe, named))} (%{node.id})"
            else:
                what = f"{node.op} of a value in a loop (%{node.id}), in each of {times} trips"
            found.append(Disclosure(kind, f"{what}: {how}", None, "everyone", "", node.id, node.type))
    return found


def assumptions(graph: Graph) -> tuple[Assumption, ...]:
    """Every `assume` of the plan, those in loops included."""
    reader = Reader(graph.nodes, graph.parties)
    found = []
    for node, times in all_nodes(graph.nodes):
        if node.op == "assume":
            unit = 2.0**node.type.dtype.f
            interval = node.type.interval
            where = "a value in a loop" if times > 1 else reader.describe(node.inputs[0])
            found.append(Assumption(f"{where} (%{node.id})", interval, (interval.lo / unit, interval.hi / unit), times))
    return tuple(found)


def sources(graph: Graph, node_id: int) -> tuple[Node, ...]:
    """The `input` nodes that a node depends on, in order."""
    seen, stack = {node_id}, [node_id]
    while stack:
        for i in made_from(graph.nodes, graph.nodes[stack.pop()]):
            if i not in seen:
                seen.add(i)
                stack.append(i)
    return tuple(graph.nodes[i] for i in sorted(seen) if graph.nodes[i].op == "input")


def _origin(node: Node) -> str:
    """What the owner will read, not what the author calls it."""
    head, shared, text = node.attrs["source"].partition("#")
    if not shared:
        return f" (from {quoted(head, SOURCE_SHOWN)})" if head else ""
    at = reference(node.attrs["source"])
    rest = f"as `%{at}`" if at is not None else f"by `{quoted(text, TEXT_SHOWN)}`"
    return f" (from {quoted(head, SOURCE_SHOWN)}, which the party computes {rest})"


def _reveal_words(graph: Graph, reader: Reader, node: Node, labels: list[str]) -> str:
    label = ", ".join(f"`{quoted(name, NAME_MAX)}`" for name in labels) + ": " if labels else ""
    words = reader.describe(node.id)
    names = [input_name(n, graph.parties) for n in sources(graph, node.id)]
    # Names are unique in a plan, and quotes in them are replaced, so a name that is found is meant.
    if names and all(name in words for name in names):
        return f"{label}{_amount(node.type)}, {words}"
    origin = listing(names[:PARTS_MAX], len(names)) if names else "public values only"
    return f"{label}{_amount(node.type)}, {words}; computed from {origin}"


def _amount(t: TensorType) -> str:
    answer = "yes/no value" if t.dtype == BOOL else "value"
    if not t.shape:
        return f"one {answer}"
    return f"{' x '.join(map(str, t.shape))} {answer}{'' if t.size == 1 else 's'}"


def _size_words(shape: tuple[int, ...]) -> tuple[str, str]:
    if not shape:
        return "shape", "one value"
    if len(shape) == 1:
        return "number of rows", str(shape[0])
    return "numbers of rows and columns" if len(shape) == 2 else "shape", " x ".join(map(str, shape))
