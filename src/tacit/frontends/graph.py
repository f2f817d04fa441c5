# SPDX-License-Identifier: Apache-2.0
"""The graph that a front end records while the user writes: the nodes of plans to be, freed when nobody needs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tacit.errors import PlanError
from tacit.frontends.encoding import encode
from tacit.plan import (
    OPS,
    Attr,
    Attrs,
    DType,
    PlanBuilder,
    Private,
    Public,
    RegionBuilder,
    Secret,
    TensorType,
    constant_array,
    defaults,
    infer,
    infer_results,
    join,
)

_serials: Final = count()


class Record:
    """One recorded operation: like `plan.Node`, but it refers to its inputs themselves, so that what nobody uses any
    more is freed. Immutable; compared by identity. `serial` rises with creation, so inputs have lower ones.
    """

    __slots__ = ("__weakref__", "attrs", "inputs", "op", "serial", "type")

    def __init__(self, op: str, inputs: tuple[Record, ...], attrs: Mapping[str, Any], type: TensorType) -> None:
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.type = type
        self.serial = next(_serials)

    def __repr__(self) -> str:
        return f"Record({self.op}: {self.type})"


class Loop:
    """A recorded loop: `params` and then `outer` stand for the operands inside the body, `outputs` are the next carried
    values. A `repeat` record has it as its attribute `loop`.
    """

    __slots__ = ("bounds", "outer", "outputs", "params", "trips")

    def __init__(
        self, trips: int, params: Sequence[Record], outer: Sequence[Record], outputs: Sequence[Record]
    ) -> None:
        self.trips = trips
        self.params = tuple(params)
        self.outer = tuple(outer)
        self.outputs = tuple(outputs)


def record(op: str, *inputs: Record, **attrs: Attr) -> Record:
    """Record one operation of the plan language; `exact` is left to the plan builder.

    Raises `PlanError` as the plan's typing rules do: where the user's line is, not when the plan is built.
    """
    exact = {"exact": True} if "exact" in OPS[op].schema else {}
    full = Attrs({**defaults(op), **attrs, **exact})
    return Record(op, inputs, attrs, infer(op, _operands(inputs), full))


def record_several(op: str, *inputs: Record, **attrs: Attr) -> list[Record]:
    """Record one operation with several results, as `record` does; the results."""
    types = infer_results(op, _operands(inputs), Attrs(attrs))
    node = Record(op, inputs, attrs, types[0])
    return [Record("result", (node,), {"index": k}, t) for k, t in enumerate(types)]


def _operands(inputs: Sequence[Record]) -> list[TensorType]:
    types = [i.type for i in inputs]
    if join(t.home for t in types) == Secret():
        # The builder will put a `share` in front of these.
        types = [_at(t, Secret()) if isinstance(t.home, Private) else t for t in types]
    return types


def constant(values: NDArray[Any], dtype: DType) -> Record:
    """A public array; pre-condition: `values` comes from `encoding.as_public`. Raises `InputError` INPUT-101, -103."""
    return raw_constant(encode(values, dtype), dtype)


def raw_constant(raw: NDArray[np.int64], dtype: DType) -> Record:
    """A public array given by its raw values."""
    raw = np.asarray(raw, dtype="<i8")
    return record("constant", dtype=dtype, shape=raw.shape, data=raw.tobytes())


def constant_values(x: Record) -> NDArray[np.int64] | None:
    """The raw values of a constant, or None if `x` is none."""
    return constant_array(Attrs(x.attrs)) if x.op == "constant" else None


def is_public(x: Record) -> bool:
    """Whether everyone may read the value."""
    return x.type.home == Public()


def needed(outputs: Iterable[Record], stop: Iterable[Record] = ()) -> list[Record]:
    """All records that the outputs depend on, inputs first, in the order of creation; nothing beyond `stop`."""
    seen = set(stop)
    out: list[Record] = []
    stack = list(outputs)
    while stack:
        item = stack.pop()
        if item not in seen:
            seen.add(item)
            out.append(item)
            stack.extend(item.inputs)
    return sorted(out, key=lambda r: r.serial)


def close(trips: int, params: Sequence[Record], outputs: Sequence[Record]) -> tuple[Loop, list[Record]]:
    """The loop with these parameters and outputs, and the values that its body uses from outside.

    What does not depend on a parameter stays outside, constants included: it is computed once.
    """
    inside = set(params)
    body = needed(outputs, stop=params)
    for item in body:
        if any(i in inside for i in item.inputs):
            inside.add(item)
    used = {i for item in body if item in inside for i in item.inputs} | set(outputs)
    outer = sorted(used - inside, key=lambda r: r.serial)
    return Loop(trips, params, outer, outputs), outer


def loop_results(loop: Loop, operands: Sequence[Record]) -> list[Record]:
    """The carried values after the last trip, given the operands: initial values, then values from outside."""
    repeat = Record("repeat", tuple(operands), {"loop": loop}, loop.params[0].type)
    return [Record("result", (repeat,), {"index": k}, param.type) for k, param in enumerate(loop.params)]


def write(
    scope: PlanBuilder | RegionBuilder, outputs: Sequence[Record], ids: dict[Record, list[int]] | None = None
) -> list[int]:
    """Write what the outputs need into a builder and return their ids there; `ids` gets those of all that is written:
    of each record its values, several for some operations.
    """
    return _write(scope, outputs, {} if ids is None else ids)


def _write(scope: PlanBuilder | RegionBuilder, outputs: Sequence[Record], ids: dict[Record, list[int]]) -> list[int]:
    """As `write`, where `ids` holds what is written already: of each record its values, several for some operations."""
    items = needed(outputs, stop=ids)
    uses = Counter([*outputs, *(i for item in items for i in item.inputs)])
    merged = {i.inputs[0]: i for i in items if i.inputs and uses[i.inputs[0]] == 1 and _truncate_together(i)}
    for item in items:
        if item in merged:
            continue
        operands = [ids[i][0] for i in item.inputs if i not in merged]
        if item.op == "repeat":
            ids[item] = _write_loop(scope, item, operands)
        elif item.op == "result":
            ids[item] = [ids[item.inputs[0]][item.attrs["index"]]]
        elif OPS[item.op].several:
            ids[item] = scope.add_several(item.op, operands, **item.attrs)
        elif operands or not item.inputs:
            ids[item] = [scope.add(item.op, operands, **item.attrs)]
        else:
            product = item.inputs[0]
            ids[item] = [scope.add(product.op, [ids[i][0] for i in product.inputs], **_both(item))]
    return [ids[o][0] for o in outputs]


def _truncate_together(item: Record) -> bool:
    """Whether this scales down a product of secrets that has the room to be truncated only once, after both."""
    if item.op != "scale" or not item.attrs["shift"] or item.type.home != Secret():
        return False
    product = item.inputs[0]
    if "shift" not in OPS[product.op].schema or product.op == "scale":
        return False
    try:
        infer(product.op, [_at(i.type, Secret()) for i in product.inputs], Attrs({**_both(item), "exact": True}))
    except PlanError:
        return False
    return True


def _both(item: Record) -> dict[str, Any]:
    """The attributes of a product that does what its scaling would do after it."""
    product = {**defaults(item.inputs[0].op), **item.inputs[0].attrs}
    numerator, shift = (item.attrs[name] for name in ("numerator", "shift"))
    return {**product, "numerator": product["numerator"] * numerator, "shift": product["shift"] + shift}


def _write_loop(scope: PlanBuilder | RegionBuilder, item: Record, operands: list[int]) -> list[int]:
    loop: Loop = item.attrs["loop"]
    carried, outer = operands[: len(loop.params)], operands[len(loop.params) :]
    if any(p.type.home == Secret() for p in loop.params):
        # What the body shares is better shared outside, once.
        outer = [scope.at_home(i, Secret()) if isinstance(scope.type(i).home, Private) else i for i in outer]

    def body(region: RegionBuilder, values: list[int]) -> list[int]:
        inner = {param: [value] for param, value in zip(loop.params, values, strict=True)}
        inner.update((o, [region.capture(i)]) for o, i in zip(loop.outer, outer, strict=True))
        return _write(region, loop.outputs, inner)

    return scope.repeat(loop.trips, carried, body, [p.type.interval for p in loop.params])


def _at(t: TensorType, home: Secret | Public | Private) -> TensorType:
    return TensorType(t.dtype, t.shape, home, t.interval)
