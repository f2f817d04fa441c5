# SPDX-License-Identifier: Apache-2.0
"""Loops over few numbers as programs that a protocol runs by itself: `BlackBox.line`.

Where the rounds of a body all follow each other and its nodes are sums, differences and products of few elements, what
it takes to call each of them is most of a round. What becomes of a node depends on types, so it is found out once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Final

import numpy as np

from tacit.engine.call import Value
from tacit.plan import Node, Public, Region, Secret, TensorType, constant_array, product_shift
from tacit.protocols.blackbox import BlackBox, LineStep
from tacit.protocols.shares import Arith, U64Array

FEW: Final = 4096
"""The most elements; of more, arithmetic is more than the calls."""


@dataclass
class Line:
    """A loop's body: its registers are the parameters, then the constants, then the results of steps."""

    shape: tuple[int, ...]
    params: list[TensorType]
    constants: list[U64Array] = field(default_factory=list)
    steps: list[LineStep] = field(default_factory=list)
    carried: list[int] = field(default_factory=list)
    results: int = 0

    async def run(self, box: BlackBox, operands: Sequence[Value], trips: int) -> list[Arith]:
        """The carried values after so many trips, at least one. Rounds and bytes are those of the steps."""
        registers = []
        for type, value in zip(self.params, operands, strict=True):
            assert isinstance(value, Arith)
            shares = box.constant(value.parts[0]) if type.home == Public() else value
            registers.append(shares.broadcast_to(self.shape))
        registers += [box.constant(np.broadcast_to(c, self.shape)) for c in self.constants]
        nothing = box.constant(np.zeros(self.shape, np.uint64))
        registers += [nothing] * self.results
        return await box.line(self.steps, self.carried, registers, trips)


def line_of(region: Region) -> Line | None:
    """The line of a body whose rounds all follow each other; None if it is none, or of too many elements."""
    nodes = {node.id: node for node in region.nodes}
    shape = nodes[region.outputs[0]].type.shape
    params = sorted((n for n in region.nodes if n.op == "param"), key=lambda n: n.attrs["index"])
    steps = [n for n in region.nodes if n.op not in ("param", "constant")]
    constants = [n for n in region.nodes if n.op == "constant"]
    known = all(n.type.dtype.kind != "bool" and n.type.home in (Secret(), Public()) for n in (*params, *constants))
    fits = all(n.type.home == Secret() and n.type.shape == shape and n.type.dtype.kind != "bool" for n in steps)
    outer = [*params[: len(region.outputs)], *(nodes[k] for k in region.outputs)]
    carried = all(n.type.shape == shape and n.type.home == Secret() for n in outer)
    # A captured value that nothing uses may have any shape.
    used = {i for n in steps for i in n.inputs}.issuperset(p.id for p in params[len(region.outputs) :])
    if not (known and fits and carried and used and 0 < prod(shape) <= FEW):
        return None
    line = Line(shape, [p.type for p in params])
    line.constants = [constant_array(n.attrs).view(np.uint64) for n in constants]
    registers = {n.id: k for k, n in enumerate((*params, *constants))}
    for node in steps:
        operands = [nodes[i] for i in node.inputs]
        register = _add(line, len(params) + len(constants), node, operands, [registers[i] for i in node.inputs])
        if register is None:
            return None
        registers[node.id] = register
    line.carried = [registers[k] for k in region.outputs]
    # What sends nothing at all would run with nobody to end it.
    return line if any(step[0] != "combine" for step in line.steps) else None


def _add(line: Line, first: int, node: Node, operands: Sequence[Node], at: Sequence[int]) -> int | None:
    """Add the steps of a node; the register that has its result, None if it is no part of a line."""

    def step(name: str, *arguments: int) -> int:
        out = first + line.results
        line.steps.append((name, out, *arguments))
        line.results += 1
        return out

    secret = all(operand.type.home == Secret() for operand in operands)
    match node.op:
        case "assume":
            return at[0]
        case "add":
            return step("combine", at[0], 1, at[1], 1)
        case "sub":
            return step("combine", at[0], 1, at[1], 2**64 - 1)
        case "neg":
            return step("combine", at[0], 2**64 - 1, at[0], 0)
        case "mul" | "square" | "scale" if secret:
            product = node.op != "scale"
            shift = product_shift([o.type for o in operands], node.attrs) if product else node.attrs["shift"]
            if shift and node.attrs["exact"]:
                return None
            x = at[0]
            if node.attrs["numerator"] != 1:
                x = step("combine", x, node.attrs["numerator"] % 2**64, x, 0)
            if product:
                return step("product", x, at[-1], shift)
            return step("truncate", x, shift) if shift else x
    return None
