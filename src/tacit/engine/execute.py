# SPDX-License-Identifier: Apache-2.0
"""One party's run of a plan: each node becomes a call of the library on the box that its home asks for.

Secret nodes run on the protocol; public nodes run at every party and private ones at their owner, both on the plain
protocol. Nodes run as a dataflow (`exchange.dataflow`): what does not depend on each other shares rounds. The order
depends on the plan alone, never on values.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from tacit.errors import RunError
from tacit.library import compare, fixed, nonlinear, reduce, shuffled, sort
from tacit.plan import Node, Plan, Private, Public, Secret, TensorType, constant_array, numpy_index
from tacit.plan.nodes import all_nodes
from tacit.protocols.blackbox import MATMUL, BlackBox
from tacit.protocols.exchange import Schedule, dataflow
from tacit.protocols.plain import Plain
from tacit.protocols.shares import Arith, Bits, U64Array, pack_plane, unpack_plane

Value: TypeAlias = Arith | Bits


class Observer(Protocol):
    """Told when each top-level node begins and ends, and of each trip of a loop; see profile.py."""

    def began(self, node: Node) -> None:
        """The node is about to run."""

    def ended(self, node: Node) -> None:
        """The node has its value."""

    def trip(self) -> None:
        """A trip of a loop is about to run; raise to end the run here, where no message may come to do so."""


@dataclass(frozen=True)
class Call:
    """One node about to run: the box it runs on, its operands and their types, its own type and attributes."""

    box: BlackBox
    values: tuple[Value, ...]
    types: tuple[TensorType, ...]
    type: TensorType
    attrs: Mapping[str, Any]
    proven: bool = True
    """Whether every interval follows from what parties checked: no `assume`, and no input that a client deals."""

    def is_public(self, k: int) -> bool:
        """Whether operand k is a public value among secrets, which linear operations use as it is."""
        return self.type.home == Secret() and self.types[k].home == Public()

    def public(self, k: int) -> U64Array:
        """The clear ring elements of operand k. Pre-condition: `is_public(k)`, not bool."""
        return self.arith(k).parts[0]

    def arith(self, k: int) -> Arith:
        """Operand k as it is."""
        value = self.values[k]
        assert isinstance(value, Arith)
        return value

    def lifted(self, k: int) -> Arith:
        """Operand k on the box of the node: a public one becomes shares."""
        return self.box.constant(self.public(k)) if self.is_public(k) else self.arith(k)

    def spread(self, k: int, shape: tuple[int, ...] | None = None) -> Arith:
        """`lifted(k)` broadcast to the shape of the result."""
        return self.lifted(k).broadcast_to(self.type.shape if shape is None else shape)

    def bits(self, k: int, shape: tuple[int, ...] | None = None) -> Bits:
        """Boolean operand k on the box of the node, broadcast to the shape of the result."""
        value = self.values[k]
        assert isinstance(value, Bits)
        if self.is_public(k):
            clear = unpack_plane(value.parts[0][0], value.size).reshape(value.shape)
            value = self.box.constant_bits(clear.astype(np.uint64), 1)
        target = self.type.shape if shape is None else shape
        return value if value.shape == target else value.elements(lambda p: np.broadcast_to(p, target))

    def bounds(self, k: int) -> tuple[int, int]:
        """The interval of operand k."""
        return self.types[k].interval.lo, self.types[k].interval.hi

    def wraps(self, i: int = 0, j: int = 1) -> bool:
        """Whether the difference of two operands may leave the ring."""
        difference = self.types[i].interval - self.types[j].interval
        return difference.lo < -(2**63) or difference.hi >= 2**63

    @property
    def f(self) -> int:
        """Fraction bits to truncate after a product: those of the result if every operand is fixed, else 0."""
        return self.type.dtype.f if all(t.dtype.is_fixed for t in self.types) else 0


Handler: TypeAlias = Callable[[Call], Awaitable[Value]]


async def execute(
    plan: Plan,
    box: BlackBox,
    inputs: Mapping[str, U64Array | Arith],
    observer: Observer | None = None,
) -> dict[str, U64Array | None]:
    """Run a verified plan as party `box.me`.

    `inputs` maps the names of input nodes to raw u64 arrays for what this party owns, and to `Arith` for what a client
    dealt to the parties. Gives, for each output, its raw u64 elements (bools as 0 and 1), or None if it is not for this
    party. An output for a client is this party's masked share of it (`BlackBox.for_client`).

    Communicates what the plan's cost says; discloses what its reveal nodes say. Raises RunError RUN-910 if an input is
    missing, and whatever the transport raises.
    """
    run = _Execution(plan, box, inputs, observer)
    await run.block(_Block(plan.nodes, {node for _, node in plan.outputs}), run.values, observer)
    return {label: run.output(node) for label, node in plan.outputs}


class _Block:
    """The nodes of a plan or of a loop's body, prepared once however often they run."""

    def __init__(self, nodes: Sequence[Node], keep: set[int]) -> None:
        self.nodes = {node.id: node for node in nodes}
        self.types = {node.id: tuple(self.nodes[i].type for i in node.inputs) for node in nodes}
        self.schedule = Schedule({node.id: node.inputs for node in nodes})
        self.operands = {node.id: tuple(set(node.inputs)) for node in nodes}
        self.uses: dict[int, int] = {}
        for operands in self.operands.values():
            for operand in operands:
                self.uses[operand] = self.uses.get(operand, 0) + 1
        for node_id in keep:
            # One use more than there are: it is never forgotten.
            self.uses[node_id] = self.uses.get(node_id, 0) + 1


class _Execution:
    def __init__(
        self,
        plan: Plan,
        box: BlackBox,
        inputs: Mapping[str, U64Array | Arith],
        observer: Observer | None,
    ) -> None:
        self._plan = plan
        self._box = box
        self._plain = Plain()
        self._inputs = inputs
        self._observer = observer
        self._bodies: dict[int, _Block] = {}
        self._proven = not any(
            node.op == "assume" or (node.op == "input" and node.attrs["party"] >= plan.computing)
            for node, _ in all_nodes(plan.nodes)
        )
        self.values: dict[int, Any] = {}

    def output(self, node: int) -> U64Array | None:
        value = self.values[node]
        if isinstance(value, Bits):
            clear = unpack_plane(value.parts[0][0], value.size).reshape(value.shape)
            return np.asarray(clear.astype(np.uint64))
        return value.parts[0] if isinstance(value, Arith) else value

    async def block(self, block: _Block, values: dict[int, Any], observer: Observer | None = None) -> None:
        """Run the nodes of a block that have no value yet; forget what only they needed."""
        uses = block.uses.copy()

        async def run(key: int) -> None:
            if observer is not None:
                observer.began(block.nodes[key])
            if key not in values:
                values[key] = await self._node(block.nodes[key], values, block.types[key])
            if observer is not None:
                observer.ended(block.nodes[key])
            for operand in block.operands[key]:
                uses[operand] -= 1
                if not uses[operand]:
                    del values[operand]

        await dataflow(block.schedule, run)

    def _box_for(self, node: Node) -> BlackBox | None:
        """Where a node runs as seen from here; None if it is another party's affair."""
        home = node.type.home
        if isinstance(home, Secret):
            return self._box
        return None if isinstance(home, Private) and home.party != self._box.me else self._plain

    async def _node(self, node: Node, values: dict[int, Any], types: tuple[TensorType, ...]) -> Any:
        match node.op:
            case "input":
                return self._input(node)
            case "constant":
                return self._as_value(constant_array(node.attrs).view(np.uint64), node.type)
            case "share":
                return await self._share(node, values[node.inputs[0]], types[0])
            case "reveal":
                return await self._reveal(node, values[node.inputs[0]], types[0])
            case "repeat":
                return await self._repeat(node, [values[i] for i in node.inputs])
            case "result":
                return values[node.inputs[0]][node.attrs["index"]]
        box = self._box_for(node)
        if box is None:
            return None
        operands = tuple(values[i] for i in node.inputs)
        return await _HANDLERS[node.op](Call(box, operands, types, node.type, node.attrs, self._proven))

    def _as_value(self, raw: U64Array, type: TensorType) -> Value:
        if type.dtype.kind == "bool":
            return Bits(type.shape, pack_plane(raw.astype(np.uint8).reshape(-1))[None])
        return Arith(raw)

    def _input(self, node: Node) -> Value | Arith | None:
        name, party = node.attrs["name"], node.attrs["party"]
        dealt = party >= self._plan.computing
        if party != self._box.me and not dealt:
            return None
        if name not in self._inputs:
            if self._box.name == "dry":
                return self._box.constant(np.zeros(node.type.shape, np.uint64))
            raise RunError(
                "RUN-910",
                f"input `{name}` was not given",
                expected="an array for every input of the plan",
                party=self._plan.parties[self._box.me],
                next="bind the input before running the plan",
            )
        given = self._inputs[name]
        return given if isinstance(given, Arith) else self._as_value(given, node.type)

    async def _share(self, node: Node, value: Value | None, given: TensorType) -> Value:
        box, shape = self._box, given.shape
        boolean = given.dtype.kind == "bool"
        if isinstance(given.home, Public):
            raw = self._raw(value)
            assert raw is not None
            return box.constant_bits(raw, 1) if boolean else box.constant(raw)
        assert isinstance(given.home, Private)
        if given.home.party >= self._plan.computing:
            assert isinstance(value, Arith)
            return await box.a2b(value, 1) if boolean else value
        raw = self._raw(value)
        if boolean:
            return await box.input_bits(given.home.party, raw, shape, 1)
        return await box.input(given.home.party, raw, shape)

    async def _reveal(self, node: Node, value: Value | None, given: TensorType) -> Value | U64Array | None:
        to: int | None = node.attrs["to"]
        if isinstance(given.home, Private):
            # One party's own value: it passes through a sharing, so that only the recipients learn it.
            value = await self._share(node, value, given)
        assert value is not None
        if to is not None and to >= self._plan.computing:
            await self._box.check()
            return self._box.for_client(value)
        raw = await self._box.reveal(value, to)
        return None if raw is None else self._as_value(raw, node.type)

    def _raw(self, value: Value | None) -> U64Array | None:
        if isinstance(value, Bits):
            return unpack_plane(value.parts[0][0], value.size).reshape(value.shape).astype(np.uint64)
        return None if value is None else value.parts[0]

    async def _repeat(self, node: Node, operands: list[Any]) -> list[Any]:
        """Run the body a public number of times; the parties run it in step."""
        region = node.attrs["body"]
        if id(region) not in self._bodies:
            self._bodies[id(region)] = _Block(region.nodes, set(region.outputs))
        body = self._bodies[id(region)]
        params = {n.attrs["index"]: n.id for n in region.nodes if n.op == "param"}
        carried, captured = operands[: len(region.outputs)], operands[len(region.outputs) :]
        for _ in range(node.attrs["trips"]):
            if self._observer is not None:
                self._observer.trip()
            values = {params[k]: v for k, v in enumerate([*carried, *captured])}
            await self.block(body, values)
            carried = [values[k] for k in region.outputs]
        return carried


# --- one handler for each operation ----------------------------------------------------------------------------


async def _add(c: Call) -> Value:
    if c.is_public(0):
        return c.box.add_public(c.arith(1), c.public(0))
    if c.is_public(1):
        return c.box.add_public(c.arith(0), c.public(1))
    return c.arith(0) + c.arith(1)


async def _sub(c: Call) -> Value:
    if c.is_public(0):
        return c.box.add_public(-c.arith(1), c.public(0))
    if c.is_public(1):
        return c.box.add_public(c.arith(0), np.negative(c.public(1)))
    return c.arith(0) - c.arith(1)


async def _neg(c: Call) -> Value:
    return -c.arith(0)


async def _scaled(c: Call, product: Arith) -> Arith:
    return await c.box.truncate(product, c.f, c.attrs["exact"]) if c.f else product


async def _mul(c: Call) -> Value:
    for k in (0, 1):
        if c.is_public(k):
            return await _scaled(c, c.arith(1 - k) * c.public(k))
    return await fixed.mul(c.box, c.arith(0), c.arith(1), c.f, c.attrs["exact"])


async def _square(c: Call) -> Value:
    return await fixed.square(c.box, c.arith(0), c.f, c.attrs["exact"])


async def _matmul(c: Call) -> Value:
    if c.is_public(0):
        left = c.public(0)
        return await _scaled(c, c.arith(1).map(lambda p: MATMUL.apply(left, p)))
    if c.is_public(1):
        right = c.public(1)
        return await _scaled(c, c.arith(0).map(lambda p: MATMUL.apply(p, right)))
    return await fixed.matmul(c.box, c.arith(0), c.arith(1), c.f, c.attrs["exact"])


async def _conv2d(c: Call) -> Value:
    stride, padding = c.attrs["stride"], c.attrs["padding"]
    return await fixed.conv2d(
        c.box, c.lifted(0), c.lifted(1), stride=stride, padding=padding, f=c.f, exact=c.attrs["exact"]
    )


async def _scale(c: Call) -> Value:
    return await fixed.scale(c.box, c.arith(0), c.attrs["numerator"], c.attrs["shift"], c.attrs["exact"])


async def _div(c: Call) -> Value:
    x, y, f = c.spread(0), c.spread(1), c.type.dtype.f
    return await nonlinear.divide(c.box, x, y, f, bounds=c.bounds(1), dividend=c.bounds(0), exact=c.attrs["exact"])


def _function(name: str) -> Handler:
    function = getattr(nonlinear, name)

    async def call(c: Call) -> Value:
        result: Value = await function(c.box, c.arith(0), c.type.dtype.f, bounds=c.bounds(0), exact=c.attrs["exact"])
        return result

    return call


async def _abs(c: Call) -> Value:
    return await compare.absolute(c.box, c.arith(0))


async def _lt(c: Call) -> Bits:
    return await compare.less(c.box, c.spread(0), c.spread(1), wraps=c.wraps())


async def _gt(c: Call) -> Bits:
    return await compare.less(c.box, c.spread(1), c.spread(0), wraps=c.wraps(1, 0))


async def _le(c: Call) -> Value:
    return c.box.invert(await _gt(c))


async def _ge(c: Call) -> Value:
    return c.box.invert(await _lt(c))


async def _eq(c: Call) -> Bits:
    return await compare.equal(c.box, c.spread(0), c.spread(1))


async def _ne(c: Call) -> Value:
    return c.box.invert(await _eq(c))


async def _and(c: Call) -> Value:
    return await c.box.and_(c.bits(0), c.bits(1))


async def _or(c: Call) -> Value:
    x, y = c.bits(0), c.bits(1)
    return c.box.invert(await c.box.and_(c.box.invert(x), c.box.invert(y)))


async def _xor(c: Call) -> Value:
    return c.bits(0) ^ c.bits(1)


async def _not(c: Call) -> Value:
    return c.box.invert(c.bits(0))


async def _where(c: Call) -> Value:
    if c.type.dtype.kind == "bool":
        return await compare.select_bits(c.box, c.bits(0), c.bits(1), c.bits(2))
    return await compare.select(c.box, c.bits(0), c.spread(1), c.spread(2))


async def _minimum(c: Call) -> Value:
    return await compare.minimum(c.box, c.spread(0), c.spread(1), wraps=c.wraps())


async def _maximum(c: Call) -> Value:
    return await compare.maximum(c.box, c.spread(0), c.spread(1), wraps=c.wraps())


async def _clip(c: Call) -> Value:
    lo, hi = c.attrs["lo"], c.attrs["hi"]
    least, most = c.bounds(0)
    wraps = max(hi, most) - min(lo, least) >= 2**63
    return await compare.clip(c.box, c.arith(0), lo, hi, wraps=wraps)


async def _sum(c: Call) -> Value:
    return c.arith(0).sum(c.attrs["axis"], c.attrs["keepdims"])


async def _cumsum(c: Call) -> Value:
    axis = c.attrs["axis"]
    return c.arith(0).map(lambda p: np.cumsum(p, axis=axis, dtype=np.uint64))


def _extreme(reduction: Callable[..., Awaitable[Arith]]) -> Handler:
    async def call(c: Call) -> Value:
        lo, hi = c.bounds(0)
        value = _reduced_last(c.arith(0), c.attrs["axis"])
        return (await reduction(c.box, value, axis=-1, wraps=hi - lo >= 2**63)).reshape(c.type.shape)

    return call


def _quantifier(reduction: Callable[..., Awaitable[Bits]]) -> Handler:
    async def call(c: Call) -> Value:
        axes = c.attrs["axis"]
        bits = c.bits(0, c.types[0].shape).elements(lambda p: _axes_last(p, axes))
        return (await reduction(c.box, bits, axis=-1)).reshape(c.type.shape)

    return call


def _axes_last(p: Any, axes: tuple[int, ...]) -> Any:
    kept = [k for k in range(p.ndim) if k not in axes]
    moved = p.transpose(*kept, *axes)
    count = int(np.prod([p.shape[k] for k in axes], dtype=np.int64))
    return moved.reshape(*moved.shape[: len(kept)], count)


def _reduced_last(x: Arith, axes: tuple[int, ...]) -> Arith:
    return x.map(lambda p: _axes_last(p, axes))


async def _cast(c: Call) -> Value:
    value, source, target = c.values[0], c.types[0].dtype, c.type.dtype
    if isinstance(value, Bits):
        return value if target.kind == "bool" else await c.box.b2a(value)
    if target.is_fixed and not source.is_fixed:
        return value << target.f
    if source.is_fixed and not target.is_fixed:
        return await fixed.floor(c.box, value, source.f)
    return value


def _rearrangement(arrange: Callable[[Any, Mapping[str, Any]], Any]) -> Handler:
    """Handlers of operations that move elements without looking at them."""

    async def call(c: Call) -> Value:
        value = c.values[0]
        if isinstance(value, Bits):
            return value.elements(lambda p: arrange(p, c.attrs))
        return value.map(lambda p: np.asarray(arrange(p, c.attrs)))

    return call


def _join(arith: Callable[..., Arith], stack: bool) -> Handler:
    async def call(c: Call) -> Value:
        axis = c.attrs["axis"]
        if c.type.dtype.kind != "bool":
            return arith([c.lifted(k) for k in range(len(c.values))], axis)
        items = [c.bits(k, t.shape) for k, t in enumerate(c.types)]
        if stack:
            items = [b.elements(lambda p: np.expand_dims(p, axis)) for b in items]
        return Bits.concat(items, axis)

    return call


def _safe_bounds(c: Call) -> tuple[int, int]:
    """Bounds that opened comparisons may rely on: beyond them rows compare in circles, and the pattern tells of it."""
    return c.bounds(0) if c.proven else (-(2**63), 2**63 - 1)


async def _sort(c: Call) -> Value:
    lo, hi = c.bounds(0)
    axis, descending = c.attrs["axis"], c.attrs["descending"]
    if c.attrs["strategy"] == "shuffle":
        return await shuffled.sort(c.box, c.arith(0), axis=axis, descending=descending, bounds=_safe_bounds(c))
    return await sort.sort(c.box, c.arith(0), axis=axis, descending=descending, wraps=hi - lo >= 2**63)


async def _argsort(c: Call) -> Value:
    lo, hi = c.bounds(0)
    axis, descending = c.attrs["axis"], c.attrs["descending"]
    if c.attrs["strategy"] == "shuffle":
        return await shuffled.argsort(c.box, c.arith(0), axis=axis, descending=descending, bounds=_safe_bounds(c))
    wraps = hi - lo >= 2**63
    return await sort.argsort(c.box, c.arith(0), axis=axis, descending=descending, wraps=wraps, bounds=(lo, hi))


async def _assume(c: Call) -> Value:
    return c.values[0]


_HANDLERS: Final[dict[str, Handler]] = {
    "assume": _assume,
    "add": _add,
    "sub": _sub,
    "neg": _neg,
    "mul": _mul,
    "square": _square,
    "matmul": _matmul,
    "conv2d": _conv2d,
    "scale": _scale,
    "div": _div,
    **{name: _function(name) for name in ("reciprocal", "sqrt", "rsqrt", "exp", "log", "sigmoid", "tanh")},
    "abs": _abs,
    "lt": _lt,
    "le": _le,
    "gt": _gt,
    "ge": _ge,
    "eq": _eq,
    "ne": _ne,
    "logical_and": _and,
    "logical_or": _or,
    "logical_xor": _xor,
    "logical_not": _not,
    "where": _where,
    "minimum": _minimum,
    "maximum": _maximum,
    "clip": _clip,
    "sum": _sum,
    "cumsum": _cumsum,
    "max": _extreme(reduce.maximum),
    "min": _extreme(reduce.minimum),
    "any": _quantifier(reduce.any_),
    "all": _quantifier(reduce.all_),
    "cast": _cast,
    "reshape": _rearrangement(lambda p, a: p.reshape(a["shape"])),
    "broadcast_to": _rearrangement(lambda p, a: np.broadcast_to(p, a["shape"])),
    "transpose": _rearrangement(lambda p, a: p.transpose(a["axes"])),
    "getitem": _rearrangement(lambda p, a: p[numpy_index(a["index"])]),
    "take": _rearrangement(lambda p, a: np.take(p, np.asarray(a["indices"], dtype=np.int64), axis=a["axis"])),
    "flip": _rearrangement(lambda p, a: np.flip(p, axis=a["axis"])),
    "concat": _join(Arith.concat, stack=False),
    "stack": _join(Arith.stack, stack=True),
    "sort": _sort,
    "argsort": _argsort,
}
