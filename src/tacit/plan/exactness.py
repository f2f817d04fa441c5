# SPDX-License-Identifier: Apache-2.0
"""The exactness pass: which truncations must be exact because their low bits become readable.

Cheap truncation rounds up or down according to a comparison of the secret's low bits with a value that one party
knows, so a party that later reads the result's low bits learns one comparison about the secret (Li et al. 2023, ePrint
2023/909). The pass walks back from every `reveal` through the operations that keep low bits readable: linear ones,
changes of shape, choices, products with a public factor, and loops. A product of two secrets, a nonlinear function and
a comparison end the walk after the operation itself. Extra exactness is allowed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from tacit.plan.nodes import Node
from tacit.plan.ops import keeps_low_bits, made_from, truncates

Path: TypeAlias = tuple[int, ...]
"""A scope: the ids of the `repeat` nodes around it, from the outermost."""


def make_exact(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The same nodes with `exact=True` on every truncation whose low bits reach a reveal.

    Pre-condition: operands come earlier, and loops fit their operands. Time is linear in the size of the plan: this
    runs on plans that nobody has to trust.
    """
    scopes: dict[Path, tuple[Node, ...]] = {}
    _collect(nodes, (), scopes)
    return _marked((), scopes, _read(scopes))


def _collect(nodes: tuple[Node, ...], path: Path, scopes: dict[Path, tuple[Node, ...]]) -> None:
    scopes[path] = nodes
    for node in nodes:
        if node.op == "repeat":
            _collect(node.attrs["body"].nodes, (*path, node.id), scopes)


def _read(scopes: dict[Path, tuple[Node, ...]]) -> set[tuple[Path, int]]:
    """The values whose low bits can be read off some revealed value."""
    stack: list[tuple[Path, int]] = [((), i) for node in scopes[()] if node.op == "reveal" for i in node.inputs]
    seen = set(stack)
    while stack:
        path, value = stack.pop()
        for found in _behind(path, scopes[path][value], scopes):
            if found not in seen:
                seen.add(found)
                stack.append(found)
    return seen


def _behind(path: Path, node: Node, scopes: dict[Path, tuple[Node, ...]]) -> list[tuple[Path, int]]:
    """The values whose low bits can be read off the low bits of this one."""
    if node.op == "result":
        loop = scopes[path][node.inputs[0]]
        if loop.op != "repeat":
            return [(path, i) for i in made_from(scopes[path], node)]
        return [((*path, loop.id), loop.attrs["body"].outputs[node.attrs["index"]])]
    if node.op == "param":
        outside, index = path[:-1], node.attrs["index"]
        loop = scopes[outside][path[-1]]
        outputs = loop.attrs["body"].outputs
        # What a trip starts from is what the trip before ended with, or the first trip's operand.
        return [(outside, loop.inputs[index]), *((path, o) for o in outputs[index : index + 1])]
    types = [scopes[path][i].type for i in node.inputs]
    return [(path, i) for i in node.inputs] if keeps_low_bits(node.op, types, node.attrs) else []


def _marked(path: Path, scopes: dict[Path, tuple[Node, ...]], read: set[tuple[Path, int]]) -> tuple[Node, ...]:
    nodes = scopes[path]
    out = []
    for node in nodes:
        if node.op == "repeat":
            body = replace(node.attrs["body"], nodes=_marked((*path, node.id), scopes, read))
            node = replace(node, attrs=node.attrs.replaced(body=body))
        elif (path, node.id) in read and truncates(node.op, [nodes[i].type for i in node.inputs], node.attrs):
            node = replace(node, attrs=node.attrs.replaced(exact=True))
        out.append(node)
    return tuple(out)
