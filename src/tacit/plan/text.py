# SPDX-License-Identifier: Apache-2.0
"""The readable listing of a plan: one line for each node, then what it discloses and assumes."""

from __future__ import annotations

from typing import Any

from tacit.plan.disclosure import assumptions, disclosures
from tacit.plan.nodes import Graph, Node
from tacit.plan.ops import constant_array, truncates
from tacit.plan.words import quoted

LONGEST = 8
"""So many elements of a tuple or a constant are shown."""


def show(graph: Graph) -> str:
    """The whole plan as text, such as `%3 = mul %1 %2 : fixed(18)[128, 30] secret |x| <= 2^9 exact`.

    `exact` marks the truncations of secrets that round to the nearest whatever the low bits are.
    """
    roles = [f"{k} {name}{'' if k < graph.computing else ' (client)'}" for k, name in enumerate(graph.parties)]
    where = "" if graph.network == "loopback" else f" on a {graph.network}"
    lines = [f"plan {graph.title}".rstrip(), f"protocol {graph.protocol}{where}, parties: {', '.join(roles)}", ""]
    lines += _node_lines(graph.nodes, "")
    lines += [f"output {label} = %{node}" for label, node in graph.outputs]
    lines += ["", "discloses"]
    lines += [f"  {d}" for d in disclosures(graph)] or ["  nothing"]
    lines += ["", "assumes, without checking"]
    lines += [f"  {a}" for a in assumptions(graph)] or ["  nothing"]
    return "\n".join(lines) + "\n"


def _node_lines(nodes: tuple[Node, ...], indent: str) -> list[str]:
    lines = []
    for node in nodes:
        head = " ".join([f"{indent}%{node.id} =", node.op, *(f"%{i}" for i in node.inputs)])
        attrs = "".join(
            f" {name}={_value(value)}" for name, value in node.attrs.items() if not (name in _HIDDEN or value == "")
        )
        types = ", ".join(map(str, node.types))
        if node.op == "constant":
            attrs = f" {_elements(node)}"
        lines.append(f"{head}{attrs} : {types}{_exact(node, nodes)}")
        if node.op == "repeat":
            body = node.attrs["body"]
            lines += _node_lines(body.nodes, indent + "    ")
            lines.append(f"{indent}    next {' '.join(f'%{i}' for i in body.outputs)}")
    return lines


def _exact(node: Node, nodes: tuple[Node, ...]) -> str:
    exact = node.attrs.get("exact", False) and truncates(node.op, [nodes[i].type for i in node.inputs], node.attrs)
    return " exact" if exact else ""


def _elements(constant: Node) -> str:
    """The first elements of a constant, in its own unit."""
    t = constant.type
    raw = constant_array(constant.attrs).reshape(-1)[:LONGEST].tolist()
    values = [f"{r / 2**t.dtype.f:g}" for r in raw] if t.dtype.is_fixed else [str(r) for r in raw]
    return f"({', '.join(values)}{', …' if t.size > LONGEST else ''})"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        text = ", ".join(map(str, value[:LONGEST]))
        return f"({text}{f', … {len(value)} in all' if len(value) > LONGEST else ''})"
    if isinstance(value, str):
        return f"`{quoted(value)}`"
    return str(value)


# Attributes that the type on the same line repeats, or that have lines of their own.
_HIDDEN = frozenset({"body", "dtype", "exact", "shape", "type"})
