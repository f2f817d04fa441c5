# SPDX-License-Identifier: Apache-2.0
"""One party's run of a plan: each node becomes a call of the library on the box that its home asks for.

Secret nodes run on the protocol; public nodes run at every party and private ones at their owner, both on the plain
protocol. Nodes run as a dataflow (`exchange.dataflow`): what does not depend on each other shares rounds. The order
depends on the plan alone, never on values.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np

from tacit.engine.call import Call, Handler, Prepared, Several, Value
from tacit.engine.line import line_of
from tacit.engine.operations import FEW, HANDLERS, LOCAL
from tacit.engine.rows import SEVERAL
from tacit.errors import RunError
from tacit.library import nonlinear
from tacit.plan import Node, Plan, Private, Public, Secret, TensorType, constant_array, product_shift
from tacit.plan.trust import proven
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import Schedule, dataflow
from tacit.protocols.network import NETWORKS
from tacit.protocols.plain import Plain
from tacit.protocols.shares import Arith, Bits, U64Array, pack_plane, unpack_plane


class Observer(Protocol):
    """Told when each top-level node begins and ends, and of each trip of a loop; see profile.py."""

    def began(self, node: Node) -> None:
        """The node is about to run."""

    def ended(self, node: Node) -> None:
        """The node has its value."""

    def trip(self) -> None:
        """A trip of a loop is about to run; raise to end the run here, where no message may come to do so."""


async def execute(
    plan: Plan,
    box: BlackBox,
    inputs: Mapping[str, U64Array | Arith],
    observer: Observer | None = None,
    one_by_one: bool = False,
) -> dict[str, U64Array | None]:
    """Run a verified plan as party `box.me`; `one_by_one`, its nodes share no rounds, and do not overlap.

    `inputs` maps the names of input nodes to raw u64 arrays for what this party owns, and to `Arith` for what a client
    dealt to the parties. Gives, for each output, its raw u64 elements (bools as 0 and 1), or None if it is not for this
    party. An output for a client is this party's masked share of it (`BlackBox.for_client`).

    Communicates what the plan's cost says; discloses what its reveal nodes say. Raises RunError RUN-910 if an input is
    missing, and whatever the transport raises.
    """
    box.network = NETWORKS[plan.network]
    run = _Execution(plan, box, inputs, observer, one_by_one)
    block = run.prepared(plan.nodes, {node for _, node in plan.outputs}, proven(plan.nodes, plan.computing))
    await run.block(block, run.values, observer)
    return {label: run.output(node) for label, node in plan.outputs}


_Step: TypeAlias = tuple[int, Prepared, tuple[int, ...], bool, list[int]]
"""A node of a line: its id, what carries it out, its operands, whether it sends nothing, and the operands that nobody
needs after it."""


class _Block:
    """The nodes of a plan or of a loop's body, prepared once however often they run."""

    def __init__(self, nodes: Sequence[Node], keep: set[int], proven: frozenset[int]) -> None:
        self.proven = proven
        self.calls: dict[int, Prepared] = {}
        """What gives the value of a node, or what to await for it."""
        self.nodes = {node.id: node for node in nodes}
        self.types = {node.id: tuple(self.nodes[i].type for i in node.inputs) for node in nodes}
        given = {node.id: node.attrs["index"] for node in nodes if node.op == "param"}
        self.given = sorted(given, key=given.__getitem__)
        tasks = {node.id: [i for i in node.inputs if i not in given] for node in nodes if node.id not in given}
        self.at_once = {i for i in tasks if self.nodes[i].op in LOCAL or self.nodes[i].op in _AT_ONCE}
        self.schedule = Schedule(tasks, self.at_once | {i for i in tasks if _in_the_clear(self.nodes[i])})
        self.operands = {node.id: tuple(set(node.inputs)) for node in nodes}
        self.uses: dict[int, int] = {}
        for operands in self.operands.values():
            for operand in operands:
                self.uses[operand] = self.uses.get(operand, 0) + 1
        for node_id in keep:
            # One use more than there are: it is never forgotten.
            self.uses[node_id] = self.uses.get(node_id, 0) + 1
        users = {operand: node for node in nodes for operand in node.inputs}
        self.only_user = {operand: node for operand, node in users.items() if self.uses[operand] == 1}
        self.order = list(tasks)
        self.keep = keep

    def line(self) -> list[_Step] | None:
        """The nodes one by one, if none has to wait for another's rounds. Pre-condition: the calls are there."""
        if not self.schedule.is_line:
            return None
        last = {operand: key for key in self.order for operand in self.operands[key] if operand not in self.keep}
        return [
            (
                key,
                self.calls[key],
                self.nodes[key].inputs,
                key in self.at_once,
                [i for i in self.operands[key] if last.get(i) == key],
            )
            for key in self.order
        ]


_AT_ONCE = {"input", "constant", "result"}
"""Operations of no box that send nothing."""


def _in_the_clear(node: Node) -> bool:
    """Whether it runs on the plain protocol, which sends nothing."""
    return not isinstance(node.type.home, Secret) and node.op not in ("reveal", "repeat")


class _Execution:
    def __init__(
        self,
        plan: Plan,
        box: BlackBox,
        inputs: Mapping[str, U64Array | Arith],
        observer: Observer | None,
        one_by_one: bool,
    ) -> None:
        self._plan = plan
        self._one_by_one = one_by_one
        self._box = box
        self._plain = Plain()
        self._inputs = inputs
        self._observer = observer
        self.values: dict[int, Any] = {}

    def output(self, node: int) -> U64Array | None:
        value = self.values[node]
        if isinstance(value, Bits):
            clear = unpack_plane(value.parts[0][0], value.size).reshape(value.shape)
            return np.asarray(clear.astype(np.uint64))
        return value.parts[0] if isinstance(value, Arith) else value

    def prepared(self, nodes: Sequence[Node], keep: set[int], proven: frozenset[int]) -> _Block:
        """A block with all that can be found out before any of its nodes runs."""
        block = _Block(nodes, keep, proven)
        block.calls.update((key, self._prepared(block, block.nodes[key])) for key in block.order)
        return block

    async def block(self, block: _Block, values: dict[int, Any], observer: Observer | None = None) -> None:
        """Run the nodes of a block, all but the parameters, whose values are given; forget what only they needed."""
        uses = block.uses.copy()

        def start(key: int) -> Coroutine[Any, Any, None] | None:
            if key not in block.at_once:
                return run(key)
            if observer is not None:
                observer.began(block.nodes[key])
            values[key] = block.calls[key](*[values[i] for i in block.nodes[key].inputs])
            ended(key)
            return None

        async def run(key: int) -> None:
            if observer is not None:
                observer.began(block.nodes[key])
            values[key] = await block.calls[key](*[values[i] for i in block.nodes[key].inputs])
            ended(key)

        def ended(key: int) -> None:
            if observer is not None:
                observer.ended(block.nodes[key])
            for operand in block.operands[key]:
                uses[operand] -= 1
                if not uses[operand]:
                    del values[operand]

        if not self._one_by_one:
            return await dataflow(block.schedule, start)
        for key in block.order:
            task = start(key)
            if task is not None:
                await task

    async def _line(self, line: list[_Step], values: dict[int, Any]) -> None:
        """As `block`, for one that is a line."""
        for key, call, inputs, at_once, last in line:
            value = call(*[values[i] for i in inputs])
            values[key] = value if at_once else await value
            for operand in last:
                del values[operand]

    def _box_for(self, node: Node) -> BlackBox | None:
        """Where a node runs as seen from here; None if it is another party's affair."""
        home = node.type.home
        if isinstance(home, Secret):
            return self._box
        return None if isinstance(home, Private) and home.party != self._box.me else self._plain

    def _prepared(self, block: _Block, node: Node) -> Prepared:
        """What carries out a node, given its operands."""
        match node.op:
            case "input":
                return lambda: self._input(node)
            case "constant":
                constant = self._as_value(constant_array(node.attrs).view(np.uint64), node.type)
                return lambda: constant
            case "result":
                index = node.attrs["index"]
                return lambda several: None if several is None else several[index]
            case "share":
                return lambda value: self._share(value, block.types[node.id][0])
            case "reveal":
                return lambda value: self._reveal(node, value, block.types[node.id][0])
            case "repeat":
                return self._prepared_loop(node, node.id in block.proven)
        box = self._box_for(node)
        if box is None:
            return _nothing_at_once if node.id in block.at_once else _nothing
        sound = tuple(i in block.proven for i in node.inputs)
        user = block.only_user.get(node.id)
        unfinished = user is not None and self._leaves(block, node, user) > 0
        pending = self._leaves(block, block.nodes[node.inputs[0]], node) if node.op == "sigmoid" else 0
        call = Call(box, (), block.types[node.id], node.type, node.attrs, sound, unfinished, pending)
        if node.op in LOCAL:
            return LOCAL[node.op](call)
        # Found out once for all trips of a loop.
        _ = call.publics, "shift" in node.attrs and call.truncated
        few = FEW[node.op](call) if node.op in FEW and not unfinished else None
        if few is not None:
            return few
        handler: Handler | Several = SEVERAL[node.op] if node.op in SEVERAL else HANDLERS[node.op]
        return lambda *values: handler(call.on(values))

    def _leaves(self, block: _Block, product: Node, user: Node) -> int:
        """By how many bits a product is left to its only user to be truncated, while that looks at the high bits."""
        if product.op not in ("mul", "square", "matmul") or user.op != "sigmoid" or product.id not in block.only_user:
            return 0
        secret = isinstance(product.type.home, Secret) and not product.attrs["exact"] and not user.attrs["exact"]
        type, bounds = product.type, (product.type.interval.lo, product.type.interval.hi)
        if not secret or nonlinear.near_cells(self._box, prod(type.shape), type.dtype.f, bounds) is None:
            return 0
        bits = product_shift(block.types[product.id], product.attrs)
        return bits if type.dtype.f + bits < 64 else 0

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

    async def _share(self, value: Value | None, given: TensorType) -> Value:
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
            value = await self._share(value, given)
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

    def _prepared_loop(self, node: Node, sound: bool) -> Prepared:
        """What runs the body a public number of times; the parties run it in step."""
        region, trips = node.attrs["body"], node.attrs["trips"]
        body = self.prepared(region.nodes, set(region.outputs), proven(region.nodes, self._plan.computing, sound))
        line = body.line()
        small = line_of(region) if line is not None and trips else None
        if small is not None:
            return lambda *operands: small.run(self._box, operands, trips)

        async def call(*operands: Any) -> list[Any]:
            carried, captured = list(operands[: len(region.outputs)]), operands[len(region.outputs) :]
            for _ in range(trips):
                if self._observer is not None:
                    self._observer.trip()
                values = dict(zip(body.given, [*carried, *captured], strict=True))
                await (self.block(body, values) if line is None else self._line(line, values))
                carried = [values[k] for k in region.outputs]
            return carried

        return call


async def _nothing(*_: Any) -> None:
    """The value of a node that is another party's affair."""


def _nothing_at_once(*_: Any) -> None:
    """The same where nothing is awaited."""
