# SPDX-License-Identifier: Apache-2.0
"""Which ranges follow from what parties check, and which rest on trust: on an `assume`, or on what a client deals."""

from __future__ import annotations

from collections.abc import Sequence

from tacit.plan.nodes import Node, all_nodes


def proven(nodes: Sequence[Node], computing: int, params: bool = True) -> frozenset[int]:
    """Ids of the nodes whose range follows from checked ones alone. `params`: whether those of the parameters do.

    Of a loop all carried values count as proven if all its operands are and nothing is assumed inside, else none.
    """
    found: set[int] = set()
    for node in nodes:
        match node.op:
            case "assume":
                holds = False
            case "input":
                holds = node.attrs["party"] < computing
            case "param":
                holds = params
            case "repeat":
                inside = all_nodes(node.attrs["body"].nodes)
                holds = found.issuperset(node.inputs) and not any(n.op == "assume" for n, _ in inside)
            case "argsort" | "lexsort":
                # Positions are a permutation whatever the elements are.
                holds = True
            case _:
                holds = found.issuperset(node.inputs)
        if holds:
            found.add(node.id)
    return frozenset(found)
