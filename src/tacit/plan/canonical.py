# SPDX-License-Identifier: Apache-2.0
"""The one byte string of a plan, and the way back from bytes that nobody has to trust.

The bytes are JSON with sorted keys, no spaces, ASCII only, integers only; payloads are base64. Every plan has exactly
one encoding: bytes that decode but are not what `encode` would write are refused. The digest is SHA-256 over a prefix
that no other document of this package uses, followed by the bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from tacit.errors import PlanError
from tacit.plan.attributes import AttrKind
from tacit.plan.nodes import Attrs, Graph, Node, Region
from tacit.plan.ops import spec_of
from tacit.plan.types import DType, Interval, TensorType, parse_home

VERSION: Final = 2
DIGEST_PREFIX: Final = b"tacit plan v2\x00"
BYTES_MAX: Final = 2**24
NODES_MAX: Final = 2**16
DEPTH_MAX: Final = 4
"""Loops in loops."""


def encode(graph: Graph) -> bytes:
    """The canonical bytes. Raises `PlanError` PLAN-015 above 16 MiB: large public data belongs in an input."""
    data = _dump(_graph_to_json(graph))
    if len(data) > BYTES_MAX:
        raise _too_large()
    return data


def decode(data: bytes) -> Graph:
    """The plan of these bytes: well-formed and canonical, not yet verified.

    Raises `PlanError`: PLAN-015 too large, too many nodes or too deep; PLAN-016 malformed; PLAN-017 not canonical;
    or what an unknown type or operation raises.
    """
    if len(data) > BYTES_MAX:
        raise _too_large()
    try:
        document = json.loads(data.decode("ascii"), parse_float=_no_number, parse_constant=_no_number)
        graph = _Decoder().graph(document)
        again = encode(graph)
    except PlanError:
        raise
    except RecursionError:
        raise PlanError("PLAN-015", "the plan is nested too deeply", expected=f"at most {DEPTH_MAX} loops") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, binascii.Error):
        raise _malformed("the plan is malformed") from None
    if again != data:
        raise PlanError(
            "PLAN-017",
            "the plan's bytes are not in canonical form",
            expected="exactly the bytes that `to_bytes` writes",
            next="send the bytes unchanged",
        )
    return graph


def digest(graph: Graph) -> str:
    """SHA-256 of the domain-separated canonical bytes, in hexadecimal."""
    return hashlib.sha256(DIGEST_PREFIX + encode(graph)).hexdigest()


def _dump(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _graph_to_json(g: Graph) -> dict[str, Any]:
    # The usual network goes without saying, so plans for it have the bytes that they had before there were others.
    return {
        "computing": g.computing,
        **({} if g.network == "loopback" else {"network": g.network}),
        "nodes": [_node_to_json(n) for n in g.nodes],
        "outputs": [[label, node] for label, node in g.outputs],
        "parties": list(g.parties),
        "protocol": g.protocol,
        "title": g.title,
        "version": VERSION,
    }


def _node_to_json(n: Node) -> dict[str, Any]:
    schema = spec_of(n.op).schema
    return {
        "attrs": {name: _attr_to_json(schema[name], value) for name, value in n.attrs.items()},
        "id": n.id,
        "inputs": list(n.inputs),
        "op": n.op,
        "types": [_type_to_json(t) for t in n.types],
    }


def _type_to_json(t: TensorType) -> dict[str, Any]:
    return {
        "dtype": str(t.dtype),
        "hi": t.interval.hi,
        "home": str(t.home),
        "lo": t.interval.lo,
        "shape": list(t.shape),
    }


def _attr_to_json(kind: AttrKind, value: Any) -> Any:
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind == "dtype":
        return str(value)
    if kind == "type":
        return _type_to_json(value)
    if kind == "region":
        return {"nodes": [_node_to_json(n) for n in value.nodes], "outputs": list(value.outputs)}
    return value


class _Decoder:
    """Turns parsed JSON into a graph, counting nodes as it goes."""

    def __init__(self) -> None:
        self._nodes = 0

    def graph(self, document: Any) -> Graph:
        network = ["network"] if isinstance(document, dict) and "network" in document else []
        fields = _fields(document, "computing", *network, "nodes", "outputs", "parties", "protocol", "title", "version")
        if fields["version"] != VERSION:
            raise PlanError(
                "PLAN-016",
                "the plan is written in another version of the format",
                expected=f"version {VERSION}",
                next="use the same version of tacit at every party",
            )
        return Graph(
            parties=tuple(_text(p) for p in _list(fields["parties"])),
            computing=_int(fields["computing"]),
            protocol=_text(fields["protocol"]),
            nodes=self._node_list(fields["nodes"], 0),
            outputs=tuple(_output(o) for o in _list(fields["outputs"])),
            title=_text(fields["title"]),
            network=_text(fields.get("network", "loopback")),
        )

    def _node_list(self, items: Any, depth: int) -> tuple[Node, ...]:
        self._nodes += len(_list(items))
        if self._nodes > NODES_MAX or depth > DEPTH_MAX:
            raise PlanError(
                "PLAN-015",
                "the plan has too many nodes or loops in loops",
                expected=f"at most {NODES_MAX} nodes and {DEPTH_MAX} loops in one another",
                next="use loops (`repeat`) in place of repeated nodes",
            )
        return tuple(self._node(item, depth) for item in items)

    def _node(self, item: Any, depth: int) -> Node:
        fields = _fields(item, "attrs", "id", "inputs", "op", "types")
        op = _text(fields["op"])
        schema = spec_of(op).schema
        attrs = _fields(fields["attrs"], *schema)
        return Node(
            id=_int(fields["id"]),
            op=op,
            inputs=_ints(fields["inputs"]),
            attrs=Attrs({name: self._attr(schema[name], value, depth) for name, value in attrs.items()}),
            types=tuple(_type(t) for t in _list(fields["types"])),
        )

    def _attr(self, kind: AttrKind, value: Any, depth: int) -> Any:
        if kind in ("ints", "shape"):
            return _ints(value)
        if kind == "bytes":
            return base64.b64decode(_text(value), validate=True)
        if kind == "dtype":
            return DType.parse(_text(value))
        if kind == "type":
            return _type(value)
        if kind == "index":
            return tuple(_ints(item) if isinstance(item, list) else item for item in _list(value))
        if kind == "region":
            fields = _fields(value, "nodes", "outputs")
            return Region(self._node_list(fields["nodes"], depth + 1), _ints(fields["outputs"]))
        # Scalars are checked against the schema by `verify`; here they only must not be containers.
        if isinstance(value, (list, dict)):
            raise _malformed("an attribute is malformed")
        return value


def _fields(value: Any, *names: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise _malformed("an object has missing or unknown fields")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _malformed("a list is missing")
    return value


def _int(value: Any) -> int:
    if type(value) is not int or abs(value) >= 2**64:
        raise _malformed("an integer of at most 64 bits is missing")
    return value


def _ints(value: Any) -> tuple[int, ...]:
    return tuple(_int(v) for v in _list(value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _malformed("a text is missing")
    return value


def _output(value: Any) -> tuple[str, int]:
    label, node = _list(value)
    return _text(label), _int(node)


def _type(value: Any) -> TensorType:
    t = _fields(value, "dtype", "hi", "home", "lo", "shape")
    return TensorType(
        DType.parse(_text(t["dtype"])),
        _ints(t["shape"]),
        parse_home(_text(t["home"])),
        Interval(_int(t["lo"]), _int(t["hi"])),
    )


def _no_number(_: str) -> NoReturn:
    raise _malformed("a number is no integer")


def _malformed(what: str) -> PlanError:
    return PlanError("PLAN-016", what, expected="bytes written by `to_bytes`", next="send the bytes unchanged")


def _too_large() -> PlanError:
    return PlanError(
        "PLAN-015",
        "the plan's bytes are too large",
        expected=f"at most {BYTES_MAX // 2**20} MiB",
        next="bring large public arrays as an input of a party in place of a constant",
    )
