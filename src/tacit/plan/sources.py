# SPDX-License-Identifier: Apache-2.0
"""Where inputs come from: long texts that several of a party's inputs share stand in a plan once.

A source is a name for the owner alone, such as `file:patients.csv?column=age`. What follows a `#` in it is shared: the
first input of a party with a certain text has it in full, later ones have `#%7`, the number of that input's node.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tacit.plan.nodes import Node

_REFERENCE: Final = re.compile(r"%(\d{1,9})")


def name_once(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes with each shared text in full only at its first input."""
    first: dict[tuple[int, str], int] = {}
    out = []
    for node in nodes:
        head, mark, shared = node.attrs["source"].partition("#") if node.op == "input" else ("", "", "")
        if mark:
            at = first.setdefault((node.attrs["party"], shared), node.id)
            if at != node.id and len(shared) > len(f"%{at}"):
                node = replace(node, attrs=node.attrs.replaced(source=f"{head}#%{at}"))
        out.append(node)
    return tuple(out)


def reference(source: str) -> int | None:
    """The number of the node that has the rest of a source, if it is elsewhere."""
    match = _REFERENCE.fullmatch(source.partition("#")[2])
    return int(match[1]) if match else None


def full_source(nodes: Sequence[Node], node: Node) -> str:
    """The source of an input in full. A reference to anything but an earlier input of the same party stays."""
    source: str = node.attrs["source"]
    at = reference(source)
    if at is None or at >= node.id or nodes[at].op != "input" or nodes[at].attrs["party"] != node.attrs["party"]:
        return source
    head, mark, _ = source.partition("#")
    return f"{head}{mark}{nodes[at].attrs['source'].partition('#')[2]}"
