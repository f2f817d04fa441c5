"""An interpreter of plans in NumPy, independent of engine, library and protocols: what a plan means.

It works on raw values in int64 and checks on the way that every value lies within its declared interval, so that it
also tests the intervals. Truncation is the floor.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tacit.frontends.encoding import as_public, encode, natural_dtype, raw_bounds
from tacit.frontends.program import Program
from tacit.plan import Node, Plan, Public, constant_array, matched_sides, numpy_index, product_shift

COMPARE = {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
COMPARE |= {"eq": np.equal, "ne": np.not_equal, "logical_xor": np.not_equal}
SIMPLE: dict[str, Any] = {
    **COMPARE,
    "add": np.add,
    "sub": np.subtract,
    "neg": np.negative,
    "abs": np.abs,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "logical_and": np.bitwise_and,
    "logical_or": np.bitwise_or,
    "logical_not": lambda x: 1 - x,
    "where": lambda c, x, y: np.where(c != 0, x, y),
    "share": lambda x: x,
    "reveal": lambda x: x,
    "assume": lambda x: x,
}
PRODUCTS: dict[str, Any] = {"mul": np.multiply, "square": np.square, "matmul": np.matmul}
REDUCE = {"sum": np.sum, "max": np.max, "min": np.min, "any": np.any, "all": np.all}
RUNNING = {"running_max": np.maximum, "running_min": np.minimum}
RUNNING |= {"running_any": np.maximum, "running_all": np.minimum}
FUNCTIONS: dict[str, Any] = {
    "exp": lambda x, f: np.exp(np.clip(x, -f * np.log(2), min(20, (59 - f) * np.log(2)))),
    "log": lambda x, f: np.log(np.maximum(x, 2.0**-f)),
    "sqrt": lambda x, f: np.sqrt(np.maximum(x, 0)),
    "rsqrt": lambda x, f: 1 / np.sqrt(np.maximum(x, 2.0**-f)),
    "sigmoid": lambda x, f: 1 / (1 + np.exp(-np.clip(x, -40, 40))),
    "tanh": lambda x, f: np.tanh(x),
    "reciprocal": lambda x, f: 1 / x,
}


class Oracle:
    """Runs plans with inputs bound by name, and keeps the last plan."""

    def __init__(self, parties: int = 3) -> None:
        self.program: Program[np.ndarray] = Program([f"p{k}" for k in range(parties)], parties, "rep3", self.run)
        self.plan: Plan | None = None

    def input(
        self, values: Any, party: int = 0, range: tuple[float, float] | None = None, name: str | None = None
    ) -> Any:
        """An input array as a session makes it."""
        array = as_public(values)
        dtype = natural_dtype(array)
        interval = None if range is None else raw_bounds(*range, dtype)
        return self.program.input(array.shape, dtype, party, encode(array, dtype), interval=interval, name=name)

    def run(self, plan: Plan, bindings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.plan = Plan.from_bytes(plan.to_bytes())
        values: dict[int, Any] = {}
        for node in self.plan.nodes:
            values[node.id] = evaluate(node, values, self.plan.nodes, bindings)
        return {label: values[i].view(np.uint64) for label, i in plan.outputs}


def evaluate(node: Node, values: Mapping[int, Any], nodes: tuple[Node, ...], bindings: Mapping[str, np.ndarray]) -> Any:
    args = [values[i] for i in node.inputs]
    if node.op == "repeat":
        return repeat(node, args)
    if node.op in ("sort_by", "first_by", "topk"):
        return several(node, args)
    if node.op == "result":
        out = args[0][node.attrs["index"]]
    elif node.op == "input":
        out = bindings[node.attrs["name"]]
    elif node.op == "constant":
        out = constant_array(node.attrs)
    elif node.op == "aggregate":
        flags, *columns = args
        heads = node.attrs["heads"]
        starts = np.concatenate([np.ones_like(flags[:1]), flags[1:]]) != 0
        return [compress(starts, x) for x in columns[:heads]] + [run_sums(starts, x) for x in columns[heads:]]
    elif node.op == "shuffle_rows":
        return [x[::-1] for x in args]
    elif node.op == "match_rows":
        return match_rows(node, args)
    elif node.op in SEVERAL:
        flags, *columns = args
        return [SEVERAL[node.op](flags != 0, x) for x in columns]
    else:
        out = compute(node, args, [nodes[i].type for i in node.inputs])
    out = np.asarray(out, dtype=np.int64)
    assert out.shape == node.type.shape, (node, out.shape)
    interval = node.type.interval
    assert out.size == 0 or interval.lo <= out.min() <= out.max() <= interval.hi, (node, out)
    return out


def repeat(node: Node, args: list[Any]) -> list[Any]:
    body = node.attrs["body"]
    carried = args[: len(body.outputs)]
    for _ in range(node.attrs["trips"]):
        values: dict[int, Any] = {}
        given = [*carried, *args[len(body.outputs) :]]
        for inner in body.nodes:
            if inner.op == "param":
                values[inner.id] = given[inner.attrs["index"]]
            else:
                values[inner.id] = evaluate(inner, values, body.nodes, {})
        carried = [values[k] for k in body.outputs]
    return carried


def compute(node: Node, args: list[Any], types: list[Any]) -> Any:
    op, attrs, f = node.op, node.attrs, node.type.dtype.f
    if op in SIMPLE:
        return SIMPLE[op](*args)
    if op in PRODUCTS:
        return PRODUCTS[op](*args) * np.int64(attrs["numerator"]) >> product_shift(types, attrs)
    if op == "scale":
        return (args[0] * np.int64(attrs["numerator"])) >> attrs["shift"]
    if op == "div":
        return np.rint(args[0] / args[1] * 2**f)
    if op == "softmax":
        e = np.exp((args[0] - args[0].max(axis=-1, keepdims=True)) / 2**f)
        return np.rint(e / e.sum(axis=-1, keepdims=True) * 2**f)
    if op in FUNCTIONS:
        return np.rint(FUNCTIONS[op](args[0] / 2**f, f) * 2**f)
    if op == "aes128":
        return encrypted(*args)
    if op in REDUCE:
        return REDUCE[op](args[0], axis=attrs["axis"], keepdims=attrs["keepdims"])
    if op == "cast":
        x, old, new = args[0], types[0].dtype, attrs["dtype"]
        return x << new.f if new.is_fixed else x >> old.f
    if op in ("sort", "argsort"):
        x = -args[0] if attrs["descending"] else args[0]
        if op == "argsort":
            return np.argsort(x, axis=attrs["axis"], kind="stable")
        return np.sort(x, axis=attrs["axis"]) * (-1 if attrs["descending"] else 1)
    if op == "lexsort":
        return lexsort(args, attrs["descending"], attrs["axis"])
    if op in ("run_starts", "run_ends"):
        differ = [(x[1:] != x[:-1]).any(axis=tuple(range(1, x.ndim))) for x in args]
        edge = [np.ones(min(len(args[0]), 1), bool)]
        changes = [np.logical_or.reduce(differ)]
        return np.concatenate(edge + changes if op == "run_starts" else changes + edge)
    if op == "one_hot":
        return np.eye(attrs["size"], dtype=np.int64)[args[0]]
    if op in RUNNING:
        return by_run(RUNNING[op])(*args)
    return rearrange(op, attrs, args)


def encrypted(key: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """AES-128, bits least significant first."""
    flat = blocks.reshape(-1, 128)
    keys, data = (
        np.packbits(v.astype(np.uint8), axis=-1, bitorder="little") for v in (np.broadcast_to(key, blocks.shape), flat)
    )
    rows = [
        Cipher(algorithms.AES(k.tobytes()), modes.ECB()).encryptor().update(d.tobytes())
        for k, d in zip(keys.reshape(-1, 16), data, strict=True)
    ]
    out = np.frombuffer(b"".join(rows), np.uint8)
    return np.unpackbits(out, bitorder="little").reshape(blocks.shape)


def several(node: Node, args: list[Any]) -> list[Any]:
    attrs = node.attrs
    if node.op in ("sort_by", "first_by"):
        order = lexsort(args[: attrs["keys"]], attrs["descending"], 0)[: attrs.get("size")]
        return [x[order] for x in args[attrs["keys"] :]]
    order = np.argsort(~args[0] if attrs["largest"] else args[0], axis=attrs["axis"], kind="stable")
    first = np.take(order, np.arange(attrs["k"]), axis=attrs["axis"])
    return [np.take_along_axis(args[0], first, axis=attrs["axis"]), first]


def lexsort(keys: list[Any], descending: tuple[int, ...], axis: int) -> Any:
    return np.lexsort([~k if d else k for k, d in zip(keys, descending, strict=True)][::-1], axis=axis)


def rearrange(op: str, attrs: Any, args: list[Any]) -> Any:
    x = args[0]
    match op:
        case "clip":
            return np.clip(x, attrs["lo"], attrs["hi"])
        case "cumsum":
            return np.cumsum(x, axis=attrs["axis"])
        case "reshape":
            return x.reshape(attrs["shape"])
        case "broadcast_to":
            return np.broadcast_to(x, attrs["shape"])
        case "transpose":
            return x.transpose(attrs["axes"])
        case "getitem":
            return x[numpy_index(attrs["index"])]
        case "take":
            return np.take(x, np.array(attrs["indices"], np.int64), axis=attrs["axis"])
        case "concat":
            return np.concatenate(args, axis=attrs["axis"])
        case "stack":
            return np.stack(args, axis=attrs["axis"])
        case "flip":
            return np.flip(x, axis=attrs["axis"])
        case "order_statistics":
            return np.take(np.sort(x, axis=attrs["axis"]), np.array(attrs["ranks"], np.int64), axis=attrs["axis"])
        case "permute":
            index, rows = args
            if index.shape == rows.shape:
                return np.take_along_axis(rows, index, axis=attrs["axis"])
            return np.take(rows, index, axis=attrs["axis"])
    raise AssertionError(op)


def runs(starts: Any) -> list[slice]:
    at = [i for i in range(len(starts)) if starts[i] or i == 0]
    return [slice(i, j) for i, j in pairwise([*at, len(starts)])]


def by_run(ufunc: Any) -> Any:
    def function(starts: Any, x: Any) -> Any:
        return np.concatenate([np.empty_like(x[:0]), *(ufunc.accumulate(x[run], axis=0) for run in runs(starts))])

    return function


def compress(flags: Any, x: Any) -> Any:
    return np.concatenate([x[flags], np.zeros_like(x[~flags])])


def expand(flags: Any, x: Any) -> Any:
    out = np.zeros((len(flags), *x.shape[1:]), np.int64)
    at = np.flatnonzero(flags)[: len(x)]
    out[at] = x[: len(at)]
    return out


def fill_forward(flags: Any, x: Any) -> Any:
    latest = np.maximum.accumulate(np.where(flags, np.arange(1, len(x) + 1), 0))
    return np.concatenate([np.zeros_like(x[:1]), x])[latest]


def run_sums(starts: Any, x: Any) -> Any:
    out = np.zeros_like(x)
    for k, run in enumerate(runs(starts)):
        out[k] = x[run].sum(axis=0)
    return out


def match_rows(node: Node, args: list[Any]) -> list[Any]:
    """In the reverse order."""
    (flags, keys, rows), (others, other_keys, other_rows) = matched_sides(args, node.attrs)
    places = {row: k for k, row in enumerate(zip(*keys, strict=True)) if flags[k]}
    found = [places.get(row, -1) if others[k] else -1 for k, row in enumerate(zip(*other_keys, strict=True))]
    partner = np.array(found[::-1])
    brought = [np.concatenate([np.zeros_like(x[:1]), x])[partner + 1] for x in rows]
    return [(partner >= 0).astype(np.int64), *brought, *(x[::-1] for x in other_rows)]


SEVERAL: dict[str, Any] = {
    "compress": compress,
    "expand": expand,
    "fill_forward": fill_forward,
    "run_sums": run_sums,
    "running_sum": by_run(np.add),
}
"""Operations with several results: what each does to one array."""


def multiplications(plan: Plan) -> list[Node]:
    """The nodes that multiply two secrets, which is what costs."""
    secret = [n for n in plan.nodes if n.op in (*PRODUCTS, "conv2d", "div")]
    return [n for n in secret if all(plan.nodes[i].type.home != Public() for i in n.inputs)]
