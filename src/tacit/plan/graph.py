# SPDX-License-Identifier: Apache-2.0
"""The plan, and the builder that frontends write it with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tacit.errors import PlanError
from tacit.plan import canonical, disclosure, text
from tacit.plan.attributes import check_attrs
from tacit.plan.disclosure import Assumption, Disclosure
from tacit.plan.exactness import make_exact
from tacit.plan.nodes import Attr, Attrs, Graph, Node, Region, live
from tacit.plan.ops import at_home, check_permutation, defaults, infer_node, spec_of, truncates
from tacit.plan.sources import name_once
from tacit.plan.types import (
    BOOL,
    FIXED,
    INT64,
    DType,
    Home,
    Interval,
    Private,
    Secret,
    TensorType,
    default_interval,
    join,
)
from tacit.plan.verify import check_parties, verify, verify_header


@dataclass(frozen=True, repr=False)
class Plan(Graph):
    """What the parties agree on: an immutable dataflow graph.

    `parties` are names, the `computing` ones first, then clients that only bring inputs or receive results. Node ids
    are positions in `nodes`. `outputs` are pairs of a label and the id of a node that somebody may read. `network` is
    what the plan is written for, "loopback", "lan" or "wan": it chooses between ways to compute that disclose the same
    and differ in rounds and bytes.
    """

    def __repr__(self) -> str:
        """One line: `show` has the listing."""
        return f"{type(self).__name__}({self.title!r}; {len(self.nodes)} nodes; {self.digest[:16]})"

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hexadecimal of the domain-separated canonical bytes: what parties compare."""
        return canonical.digest(self)

    def to_bytes(self) -> bytes:
        """The canonical bytes."""
        return canonical.encode(self)

    @staticmethod
    def from_bytes(data: bytes) -> Plan:
        """The plan of these canonical bytes, verified. Raises `PlanError` for any other bytes."""
        graph = canonical.decode(data)
        verify(graph)
        return _plan(graph)

    def disclosures(self) -> tuple[Disclosure, ...]:
        """All that the plan discloses: sizes of inputs, then reveals."""
        return disclosure.disclosures(self)

    def assumptions(self) -> tuple[Assumption, ...]:
        """All ranges that the plan takes on trust."""
        return disclosure.assumptions(self)

    def show(self) -> str:
        """The plan as text for people."""
        return text.show(self)


class _Scope:
    """Where nodes are added: a plan or the body of a loop. Equal nodes are made once."""

    def __init__(self, parties: int, computing: int, inside: bool) -> None:
        self._parties = parties
        self._computing = computing
        self._inside = inside
        self._nodes: list[Node] = []
        self._known: dict[tuple[str, tuple[int, ...], Attrs], int] = {}

    def type(self, value: int) -> TensorType:
        """The type of a node. Raises `PlanError` PLAN-018 for an id that this scope does not have."""
        return self._node(value).type

    def add(self, op: str, inputs: Sequence[int] = (), **attrs: Attr) -> int:
        """Add an operation on earlier nodes and return its id.

        `exact` may be left out: truncation is then exact only where `build` finds that it must be. Others have the
        values of `ops.defaults`. A `share` is put before every private operand that meets a secret or another
        party's value, and before every use of a client's input. Raises `PlanError` as `ops.infer` does, and PLAN-018
        for an operation out of place.
        """
        spec = spec_of(op)
        if spec.scope not in ("both", "body" if self._inside else "top"):
            raise PlanError("PLAN-018", f"`{op}` may not stand {'in' if self._inside else 'outside'} a loop")
        operands = [self._node(i) for i in inputs]
        if op != "share":
            homes = [n.type.home for n in operands]
            mixed = op not in ("reveal", "repeat") and join(homes) == Secret()
            kept = at_home(op, homes, Attrs(attrs)) if mixed else frozenset()
            inputs = [
                self.add("share", [n.id])
                if mixed and k not in kept and isinstance(n.type.home, Private)
                else self._usable(n.id)
                for k, n in enumerate(operands)
            ]
            operands = [self._node(i) for i in inputs]
        attrs = {**defaults(op), **attrs}
        if "exact" in spec.schema and "exact" not in attrs:
            # The typing rule comes first: `truncates` takes well-typed operands.
            strict = Attrs({**attrs, "exact": True})
            infer_node(op, operands, strict)
            attrs["exact"] = not truncates(op, [n.type for n in operands], strict)
        full = Attrs(attrs)
        check_attrs(op, spec.schema, full)
        key = (op, tuple(inputs), full)
        if key not in self._known:
            types = infer_node(op, operands, full)
            node = Node(len(self._nodes), op, tuple(inputs), full, types)
            check_parties(node, self._parties)
            check_permutation(node, self._nodes)
            self._nodes.append(node)
            self._known[key] = node.id
        return self._known[key]

    def add_several(self, op: str, inputs: Sequence[int], **attrs: Attr) -> list[int]:
        """Add an operation with several results and return the ids of these, as `add` does for one."""
        node = self.add(op, inputs, **attrs)
        return [self.add("result", [node], index=k) for k in range(len(self._node(node).types))]

    def constant(self, values: ArrayLike, dtype: DType | None = None) -> int:
        """Add a public array. By default bool stays bool, integers become int64 and floats fixed(18), rounded to the
        nearest multiple of 2^-f.

        Raises `PlanError` PLAN-014 for values that are not finite real numbers or do not fit.
        """
        array = np.asarray(values)
        if array.dtype.kind not in "biuf" or not np.all(np.isfinite(array)):
            raise _bad_constant("finite real numbers or bool")
        if dtype is None:
            dtype = {"b": BOOL, "f": FIXED}.get(array.dtype.kind, INT64)
        if (array.dtype.kind == "f" and not dtype.is_fixed) or (array.dtype.kind == "b") != (dtype == BOOL):
            raise _bad_constant(f"values of type {dtype}")
        # Integers go through Python's exact ones, so that nothing wraps on the way.
        factor = 2**dtype.f
        if array.dtype.kind == "f":
            raw = [round(float(v) * factor) for v in array.flat]
        else:
            raw = [int(v) * factor for v in array.flat]
        if raw and Interval(min(raw), max(raw)) not in dtype.range:
            raise _bad_constant(f"values within the range of {dtype}")
        data = np.array(raw, dtype="<i8").tobytes()
        return self.add("constant", dtype=dtype, shape=array.shape, data=data)

    def repeat(
        self,
        trips: int,
        carried: Sequence[int],
        body: Callable[[RegionBuilder, list[int]], Sequence[int]],
        intervals: Sequence[Interval | None] | None = None,
    ) -> list[int]:
        """Add a loop and return the ids of its carried values after the last trip.

        `body(region, values)` adds nodes to `region`, given the carried values at the start of a trip, and returns
        those of the next trip; values from outside come in by `region.capture`. `intervals` are the raw ranges that
        every trip keeps, by default those of the initial values. The body is called again if it turns out that a
        carried value has a wider home than its initial one, so it should do nothing but add nodes.
        Raises `PlanError` PLAN-013 where a trip changes a type or leaves its range.
        """
        bounds = list(intervals) if intervals is not None else [None] * len(carried)
        if len(bounds) != len(carried):
            raise PlanError("PLAN-013", "`repeat` got another number of intervals than of carried values")
        carried = [self._usable(i) for i in carried]
        start = [self.type(i) for i in carried]
        homes: list[Home] = [t.home for t in start]
        while True:
            region = RegionBuilder(self, self._parties, self._computing)
            params = [
                region.param(replace(t, home=home, interval=bound or t.interval))
                for t, home, bound in zip(start, homes, bounds, strict=True)
            ]
            outputs = list(body(region, params))
            if len(outputs) != len(params):
                raise PlanError(
                    "PLAN-013",
                    f"the body of a loop gave {len(outputs)} values for {len(params)} carried ones",
                    expected="the next value of each carried value",
                )
            wider = [join([home, region.type(o).home]) for home, o in zip(homes, outputs, strict=True)]
            if wider == homes:
                break
            homes = wider
        outputs = [region.at_home(o, home) for o, home in zip(outputs, homes, strict=True)]
        inputs = [self.at_home(i, home) for i, home in zip(carried, homes, strict=True)]
        return self.add_several("repeat", [*inputs, *region.captured], trips=trips, body=region.finish(outputs))

    def at_home(self, value: int, home: Home) -> int:
        """The value itself, or shared where `home` is secret and its own is not."""
        return self.add("share", [value]) if home == Secret() != self.type(value).home else value

    def _usable(self, value: int) -> int:
        """The value itself, or shared where only a client has it: clients run no plan."""
        node = self._node(value)
        home = node.type.home
        at_client = node.op == "input" and isinstance(home, Private) and home.party >= self._computing
        return self.add("share", [value]) if at_client else value

    def _node(self, value: int) -> Node:
        if type(value) is not int or not 0 <= value < len(self._nodes):
            raise PlanError("PLAN-018", "an operand is no node of this plan or loop", expected="an id from `add`")
        return self._nodes[value]


class RegionBuilder(_Scope):
    """Writes the body of a loop; `PlanBuilder.repeat` hands one to its `body`."""

    def __init__(self, outer: _Scope, parties: int, computing: int) -> None:
        super().__init__(parties, computing, inside=True)
        self._outer = outer
        self._params = 0
        self._captured: dict[int, int] = {}

    @property
    def captured(self) -> list[int]:
        """Ids outside of the captured values, in the order of their parameters."""
        return list(self._captured)

    def capture(self, outer: int) -> int:
        """The id inside the loop of a value of the scope around it. A private value that the body will share is
        better shared outside, once: pass `builder.at_home(value, Secret())`.
        """
        outer = self._outer._usable(outer)
        if outer not in self._captured:
            self._captured[outer] = self.param(self._outer.type(outer))
        return self._captured[outer]

    def param(self, type: TensorType) -> int:
        """Add the next parameter. For `repeat` and `capture`."""
        self._params += 1
        return self.add("param", index=self._params - 1, type=type)

    def finish(self, outputs: Sequence[int]) -> Region:
        """The region, without nodes that no output needs."""
        return _without_idle(tuple(self._nodes), tuple(outputs))


class PlanBuilder(_Scope):
    """Writes a plan node by node: types are inferred, and values shared where their homes force it, as nodes are added.

    `parties` are names, the `computing` ones first. Raises `PlanError` PLAN-019 if these do not suit the protocol, or
    if there is no such network.
    """

    def __init__(
        self,
        parties: Sequence[str],
        computing: int = 3,
        protocol: str = "rep3",
        title: str = "",
        network: str = "loopback",
    ) -> None:
        super().__init__(len(parties), computing, inside=False)
        self._header = Graph(tuple(parties), computing, protocol, (), (), title, network)
        verify_header(self._header)
        self._outputs: dict[str, int] = {}

    def input(
        self,
        party: int,
        name: str,
        dtype: DType,
        shape: tuple[int, ...],
        interval: Interval | None = None,
        source: str = "",
    ) -> int:
        """Add an array that `party` brings. `interval` bounds its raw values, by default `default_interval(dtype)`;
        the owner's data is checked against it. `source` tells the owner where to find the data.
        """
        bounds = interval or default_interval(dtype)
        return self.add(
            "input", party=party, name=name, source=source, dtype=dtype, shape=shape, lo=bounds.lo, hi=bounds.hi
        )

    def reveal(self, value: int, purpose: str, to: int | None = None) -> int:
        """Disclose a value to everyone, or to party `to` alone."""
        return self.add("reveal", [value], to=to, purpose=purpose)

    def output(self, label: str, value: int) -> None:
        """Make a value that somebody may read an output. Raises `PlanError` PLAN-019 for a label used before."""
        self._node(value)
        if label in self._outputs:
            raise PlanError("PLAN-019", f"there is an output `{label[:40]}` already", expected="different labels")
        self._outputs[label] = value

    def build(self) -> Plan:
        """The verified plan, with nodes that no output needs left out and truncation exact where low bits get read.

        Raises `PlanError` as `verify` does. The builder can go on afterwards.
        """
        labels, values = tuple(self._outputs), tuple(self._outputs.values())
        region = _without_idle(tuple(self._nodes), values)
        self.numbering = _numbering(self._nodes, values)
        nodes = name_once(make_exact(region.nodes))
        graph = replace(self._header, nodes=nodes, outputs=tuple(zip(labels, region.outputs, strict=True)))
        verify(graph)
        return _plan(graph)


def _plan(graph: Graph) -> Plan:
    fields: dict[str, Any] = {name: getattr(graph, name) for name in Graph.__dataclass_fields__}
    return Plan(**fields)


def _without_idle(nodes: tuple[Node, ...], outputs: tuple[int, ...]) -> Region:
    """The nodes that `outputs` need, and parameters, numbered anew."""
    new = _numbering(nodes, outputs)
    return Region(
        tuple(replace(n, id=new[n.id], inputs=tuple(new[i] for i in n.inputs)) for n in nodes if n.id in new),
        tuple(new[o] for o in outputs),
    )


def _numbering(nodes: Sequence[Node], outputs: tuple[int, ...]) -> dict[int, int]:
    """The new id of each node that `outputs` need, and of parameters."""
    used = live(tuple(nodes), outputs)
    kept = [n.id for n in nodes if n.id in used or n.op == "param"]
    return {old: new for new, old in enumerate(kept)}


def _bad_constant(expected: str) -> PlanError:
    return PlanError("PLAN-014", "a constant does not fit", expected=expected, next="convert or scale the values first")
