# SPDX-License-Identifier: Apache-2.0
"""The parts of a plan as immutable data: attributes, nodes, regions, and the graph itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

from tacit.plan.types import DType, TensorType

Index: TypeAlias = tuple[int | tuple[int, int, int] | None, ...]
"""A normalised index, see `ops.normalise_index`."""

Attr: TypeAlias = Union[int, str, bool, bytes, DType, TensorType, "Region", Index, tuple[int, ...], None]
"""One attribute of a node; the operation's schema says which."""


class Attrs(Mapping[str, Any]):
    """Immutable, hashable attributes of a node: a mapping from name to `Attr`, in the order of names."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Attr] | None = None) -> None:
        self._items: dict[str, Attr] = dict(sorted((items or {}).items()))

    def __getitem__(self, name: str) -> Any:
        """The attribute of that name; KeyError if the operation has none."""
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        """Names in order."""
        return iter(self._items)

    def __len__(self) -> int:
        """Number of attributes."""
        return len(self._items)

    def __hash__(self) -> int:
        """By contents."""
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        """As a dictionary."""
        return f"Attrs({self._items!r})"

    def replaced(self, **changes: Attr) -> Attrs:
        """A copy with some attributes changed."""
        return Attrs({**self._items, **changes})


@dataclass(frozen=True)
class Node:
    """One operation: `id` is its position in the graph, `inputs` are ids of earlier nodes.

    `types` has one entry, except for an operation with several results, which `result` nodes pick apart: a `repeat` has
    one for each carried value.
    """

    id: int
    op: str
    inputs: tuple[int, ...]
    attrs: Attrs
    types: tuple[TensorType, ...]

    @property
    def type(self) -> TensorType:
        """The type of the value (of several: of the first)."""
        return self.types[0]


@dataclass(frozen=True)
class Region:
    """The body of a `repeat`. Its `param` nodes stand for the inputs of the `repeat`: first the carried values, then
    the captured ones. `outputs[k]` is the node whose value becomes carried value k of the next trip.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """The contents of a plan; see `Plan` for the meaning of the fields."""

    parties: tuple[str, ...]
    computing: int
    protocol: str
    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, int], ...]
    title: str = ""
    network: str = "loopback"


def all_nodes(nodes: tuple[Node, ...], trips: int = 1) -> Iterator[tuple[Node, int]]:
    """Every node, those of regions included, with the number of times it runs."""
    for node in nodes:
        yield node, trips
        if node.op == "repeat":
            yield from all_nodes(node.attrs["body"].nodes, trips * node.attrs["trips"])


def live(nodes: tuple[Node, ...], outputs: tuple[int, ...]) -> set[int]:
    """Ids of the nodes that some output needs. Pre-condition: inputs are earlier nodes."""
    needed = set(outputs)
    for node in reversed(nodes):
        if node.id in needed:
            needed.update(node.inputs)
    return needed
