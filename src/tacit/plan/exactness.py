# SPDX-License-Identifier: Apache-2.0
"""The exactness pass: which truncations must be exact because their low bits become readable.

Cheap truncation rounds up or down according to a comparison of the secret's low bits with a value that one party
knows, so a party that later reads the result's low bits learns one comparison about the secret (Li et al. 2023, ePrint
2023/909). The pass walks back from every `reveal` through the operations that keep low bits readable: linear ones,
changes of shape, choices, products with a public factor, and loops. A product of two secrets, a nonlinear function and
a comparison end the walk after the operation itself. Extra exactness is allowed.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from tacit.plan.nodes import Node, Region
from tacit.plan.ops import keeps_low_bits, truncates


def make_exact(nodes: tuple[Node, ...], read: Set[int] = frozenset()) -> tuple[Node, ...]:
    """The same nodes with `exact=True` on every truncation whose low bits are read, by a reveal or through `read`."""
    return _walk(nodes, read)[0]


def _walk(nodes: tuple[Node, ...], read: Set[int]) -> tuple[tuple[Node, ...], set[int]]:
    """The nodes made exact, and the ids whose low bits are read. Pre-condition: inputs are earlier nodes."""
    seen = set(read)
    carried: dict[int, set[int]] = {}
    out = list(nodes)
    for node in reversed(nodes):
        if node.op == "reveal":
            seen.update(node.inputs)
        if node.op == "repeat":
            body, operands = _loop(node.attrs["body"], carried.get(node.id, set()))
            out[node.id] = replace(node, attrs=node.attrs.replaced(body=body))
            seen.update(node.inputs[k] for k in operands)
        elif node.id in seen and node.op == "result":
            carried.setdefault(node.inputs[0], set()).add(node.attrs["index"])
        elif node.id in seen:
            types = [nodes[i].type for i in node.inputs]
            if truncates(node.op, types, node.attrs):
                out[node.id] = replace(node, attrs=node.attrs.replaced(exact=True))
            if keeps_low_bits(node.op, types, node.attrs):
                seen.update(node.inputs)
    return tuple(out), seen


def _loop(body: Region, read: set[int]) -> tuple[Region, set[int]]:
    """The body made exact when the carried values `read` are read after the loop, and the operands read through it."""
    while True:
        nodes, seen = _walk(body.nodes, {body.outputs[k] for k in read})
        operands = {n.attrs["index"] for n in nodes if n.op == "param" and n.id in seen}
        # A carried value that a trip reads is the output of the trip before.
        more = {k for k in operands if k < len(body.outputs)} - read
        if not more:
            return replace(body, nodes=nodes), operands
        read = read | more
