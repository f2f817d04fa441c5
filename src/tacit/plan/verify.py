# SPDX-License-Identifier: Apache-2.0
"""The check that every party makes on every plan it receives, before it looks at anything else.

`verify` trusts nothing that the plan says about itself: it infers each type, home and interval anew and compares.
`verify_matches` then ties the plan to what this party's people were shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tacit.errors import PlanError
from tacit.plan.attributes import is_clean_text
from tacit.plan.canonical import DEPTH_MAX, NODES_MAX, digest, encode
from tacit.plan.disclosure import Disclosure, disclosures, opens
from tacit.plan.exactness import make_exact
from tacit.plan.nodes import Graph, Node, Region, all_nodes, live
from tacit.plan.ops import check_permutation, has_several, infer_node, spec_of
from tacit.plan.types import Private, Secret, TensorType

PARTIES_MAX: Final = 256
REVEALS_MAX: Final = 256

_TOLD: Final = (
    ("PLAN-024", "reveal", "reveals"),
    ("PLAN-024", "opening", "openings"),
    ("PLAN-024", "pattern", "matches"),
    ("PLAN-025", "size", "inputs"),
)

PROTOCOLS: Final[dict[str, range]] = {"plain": range(1, PARTIES_MAX + 1), "rep3": range(3, 4)}
"""Known protocols, with the numbers of computing parties each can have."""

NETWORKS: Final = ("loopback", "lan", "wan")
"""What a plan may be written for: it decides between ways that send less and ways that wait less."""


def verify(graph: Graph) -> None:
    """Check a plan from scratch; returns only if it is sound.

    Raises `PlanError`: PLAN-018 order and use of nodes; PLAN-019 parties, protocol, outputs, names or limits; PLAN-020
    element type or shape; PLAN-021 home; PLAN-022 interval; PLAN-023 exactness; or what `ops.infer` and
    `canonical.encode` raise.
    """
    verify_header(graph)
    seen = _check_nodes(graph.nodes, len(graph.parties), 0)
    if seen > NODES_MAX:
        raise _header(f"the plan has {seen} nodes", f"at most {NODES_MAX}")
    _check_outputs(graph)
    _check_use(graph.nodes, tuple(node for _, node in graph.outputs))
    names = [n.attrs["name"] for n in graph.nodes if n.op == "input"]
    if len(set(names)) < len(names):
        raise _header("two inputs have the same name", "one `input` node for each name in the whole plan")
    _check_clients(graph.nodes, graph.computing)
    if sum(n.op == "reveal" or opens(n) for n, _ in all_nodes(graph.nodes)) > REVEALS_MAX:
        raise _header("the plan has too many reveals and openings for a person to judge", f"at most {REVEALS_MAX}")
    if make_exact(graph.nodes) != graph.nodes:
        raise PlanError(
            "PLAN-023",
            "a truncation whose low bits are revealed is not exact",
            expected="exact=True on every such operation, as the builder sets it",
            next="refuse the plan, and ask its author to build it again",
        )
    encode(graph)


def verify_header(graph: Graph) -> None:
    """Check parties, protocol, title and network. Raises `PlanError` PLAN-019."""
    parties = graph.parties
    if not all(is_clean_text(p) and p.strip() == p != "" for p in parties) or len(set(parties)) < len(parties):
        raise _header("the parties are not named properly", "different, printable, non-empty names")
    if graph.protocol not in PROTOCOLS:
        raise _header(f"there is no protocol {str(graph.protocol)[:40]!r}", f"one of {', '.join(sorted(PROTOCOLS))}")
    computing = PROTOCOLS[graph.protocol]
    if type(graph.computing) is not int or not graph.computing <= len(parties) <= PARTIES_MAX:
        raise _header("the number of parties is wrong", f"at least the computing ones, at most {PARTIES_MAX}")
    if graph.computing not in computing:
        limits = f"{computing[0]}" if len(computing) == 1 else f"{computing[0]} to {computing[-1]}"
        raise _header(f"`{graph.protocol}` has {graph.computing} computing parties", f"{limits} computing parties")
    if graph.network not in NETWORKS:
        raise _header(f"there is no network {str(graph.network)[:40]!r}", f"one of {', '.join(NETWORKS)}")
    if not is_clean_text(graph.title):
        raise _header("the title is not printable", "printable text of at most 500 characters")


def check_parties(node: Node, parties: int) -> None:
    """Check the party that an `input` or `reveal` node names. Raises `PlanError` PLAN-019."""
    named = {"input": "party", "reveal": "to"}.get(node.op)
    party = node.attrs[named] if named else None
    if party is not None and not 0 <= party < parties:
        raise _header(f"`{node.op}` names party {party} of {parties}", f"a party from 0 to {parties - 1}")


def verify_matches(graph: Graph, shown_digest: str, shown: Sequence[Disclosure]) -> None:
    """Check that a verified plan is the one that was shown, with its digest and disclosures.

    Raises `PlanError`: PLAN-024 other reveals or openings; PLAN-025 other inputs (owners, homes, shapes); PLAN-026
    another digest. The most telling difference comes first.
    """
    have = disclosures(graph)
    for code, kind, what in _TOLD:
        if [d for d in have if d.kind == kind] != [d for d in shown if d.kind == kind]:
            raise PlanError(
                code,
                f"the plan's {what} differ from those that were shown",
                expected="the very plan that was shown",
                next="refuse it, and compare `plan.show()` with the text that was shown",
            )
    if digest(graph) != shown_digest:
        raise PlanError(
            "PLAN-026",
            "the plan's digest differs from the one that was shown",
            expected=f"digest {shown_digest[:64]}",
            next="refuse it, and compare `plan.show()` with the text that was shown",
        )


def _check_nodes(nodes: tuple[Node, ...], parties: int, depth: int) -> int:
    """Check every node, inner ones first. Returns their number."""
    if depth > DEPTH_MAX:
        raise _header("too many loops in one another", f"at most {DEPTH_MAX}")
    count = len(nodes)
    for position, node in enumerate(nodes):
        _check_place(node, position, depth)
        if node.op == "repeat":
            body = node.attrs.get("body")
            if not isinstance(body, Region):
                raise _order("a loop has no body")
            count += _check_nodes(body.nodes, parties, depth + 1)
            if not all(type(i) is int and 0 <= i < len(body.nodes) for i in body.outputs):
                raise _order("a loop's output is no node of its body")
            if any(has_several(body.nodes[i]) for i in body.outputs):
                raise _order("a loop's output has several results and is not a `result`")
            _check_use(body.nodes, body.outputs)
        inferred = infer_node(node.op, [nodes[i] for i in node.inputs], node.attrs)
        check_parties(node, parties)
        check_permutation(node, nodes)
        _check_types(node, inferred, parties)
    return count


def _check_clients(nodes: tuple[Node, ...], computing: int) -> None:
    """Check that clients, which run no plan, are left nothing to compute: they bring inputs to be shared at once, and
    receive results that nothing else uses.
    """
    for node in nodes:
        if node.op == "repeat":
            _check_clients(node.attrs["body"].nodes, computing)
        at_client = [h for t in node.types if isinstance(h := t.home, Private) and h.party >= computing]
        if at_client and node.op not in ("input", "reveal"):
            raise _header(f"`{node.op}` (%{node.id}) computes at a client", *_CLIENTS)
        for operand in (nodes[i] for i in node.inputs):
            home = operand.types[0].home
            if not isinstance(home, Private) or home.party < computing:
                continue
            if node.op != "share" or operand.op != "input":
                raise _header(f"`{node.op}` (%{node.id}) uses a value that only a client has", *_CLIENTS)


def _check_place(node: Node, position: int, depth: int) -> None:
    if type(node.id) is not int or node.id != position:
        raise _order(f"the node in place {position} has another number")
    if not all(type(i) is int and 0 <= i < position for i in node.inputs):
        raise _order(f"node %{position} has an operand that does not come before it")
    if spec_of(node.op).scope not in ("both", "body" if depth else "top"):
        raise _order(f"`{node.op}` (%{position}) may not stand {'in a loop' if depth else 'outside a loop'}")


def _check_types(node: Node, inferred: tuple[TensorType, ...], parties: int) -> None:
    if node.types == inferred:
        homes = [t.home for t in node.types]
        if any(isinstance(h, Private) and not 0 <= h.party < parties for h in homes):
            raise _header(f"node %{node.id} lives at a party that does not exist", f"one of {parties} parties")
        return
    # Name the first property that differs: it says what somebody tried.
    if [(t.dtype, t.shape) for t in node.types] != [(t.dtype, t.shape) for t in inferred]:
        code, what = "PLAN-020", "another element type or shape"
    elif [t.home for t in node.types] != [t.home for t in inferred]:
        code, what = "PLAN-021", "another home"
    else:
        code, what = "PLAN-022", "another range"
    raise PlanError(
        code,
        f"node %{node.id} (`{node.op}`) claims {what} than follows from its operands",
        expected=", ".join(map(str, inferred)),
        next="refuse the plan, and ask its author to build it again",
    )


def _check_outputs(graph: Graph) -> None:
    labels = [label for label, _ in graph.outputs]
    if not labels or len(set(labels)) < len(labels):
        raise _header("the outputs are not labelled properly", "at least one output, with different labels")
    for label, node in graph.outputs:
        if not is_clean_text(label) or not label.strip():
            raise _header("an output has no printable label", "printable text of 1 to 500 characters")
        if type(node) is not int or not 0 <= node < len(graph.nodes) or has_several(graph.nodes[node]):
            raise _header(f"output `{label}` is no value of the plan", "a node with one result")
        if graph.nodes[node].type.home == Secret():
            raise _header(
                f"output `{label}` is secret",
                "an output that somebody may read",
                "add a `reveal` with its recipient and purpose",
            )


def _check_use(nodes: tuple[Node, ...], outputs: tuple[int, ...]) -> None:
    used = live(nodes, outputs)
    idle = next((n for n in nodes if n.id not in used and n.op != "param"), None)
    if idle is not None:
        raise _order(f"node %{idle.id} (`{idle.op}`) contributes to no output")


_CLIENTS: Final = (
    "inputs of clients that are shared at once, and results for clients that nothing else uses",
    "share the input, or let a computing party bring it",
)


def _order(what: str) -> PlanError:
    return PlanError(
        "PLAN-018", what, expected="numbered nodes in order of use, all of them needed", next="build the plan again"
    )


def _header(what: str, expected: str, next: str = "") -> PlanError:
    return PlanError("PLAN-019", what, expected=expected, next=next)
