# SPDX-License-Identifier: Apache-2.0
"""The operations of a plan: for each its attributes, its typing rule, and what it does in plain words.

A typing rule gives the result's element type, shape (NumPy's broadcasting) and interval. Three rules hold for every
operation and are applied here once:

- Home. Operands are all public or private to one party (then the operation runs there, in the clear), or all public
  or secret. A `share` node stands wherever a private value becomes secret, but for keys of `match_rows` (`at_home`).
- Range. Integers stay in the signed 64-bit range, fixed-point values within 2^61 raw, and fixed-point products before
  truncation, summed over the inner dimension, within 2^62: so no result ever wraps.
- Exactness. A secret fixed-point product is truncated to the floor or to floor + 1, and which of the two depends on the
  low bits of the secret (Li et al. 2023, ePrint 2023/909). `exact=True` costs more and always rounds to the nearest:
  floor(x / 2^f + 1/2), which is the floor or floor + 1 too, so one range holds for both.

Arithmetic on integers of any width gives int64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Final, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from tacit.errors import PlanError
from tacit.plan.attributes import AttrKind, check_attrs
from tacit.plan.functions import FUNCTION_BOUNDS, quotient
from tacit.plan.indexing import indexed_shape
from tacit.plan.nodes import Attr, Attrs, Node, Region
from tacit.plan.types import (
    BOOL,
    FIXED_MAX,
    INT64,
    PRODUCT_MAX,
    RING_HI,
    RING_LO,
    DType,
    Home,
    Interval,
    Private,
    Public,
    Secret,
    TensorType,
    join,
    power_of_two,
    promote,
)

TRIPS_MAX: Final = 2**31
FUNCTION_F: Final = range(8, 25)
"""Fraction bits for which `library/` promises the errors of division and of the functions."""
_FUNCTION_TYPES: Final = "a fixed(f) value with 8 <= f <= 24"
ONE_HOT_MAX: Final = 64
"""Places of a one-hot code: from there on a sort is cheaper."""
SHIFT_MAX: Final = 61
"""Truncation drops at most this many bits."""

Types: TypeAlias = Sequence[TensorType]
T = TypeVar("T")
Result: TypeAlias = tuple[DType, tuple[int, ...], Interval]
"""What a typing rule gives, once for each result; the home follows from the operands'."""


@dataclass(frozen=True)
class OpSpec:
    """One operation.

    `arity` is the number of operands, None for one or more. `words` describes the result, with `{0}`, `{1}`, ... for
    the operands and `{all}` for their list. `scope` says where it may stand. `low_bits` says when the low bits of an
    operand can be read off the result, see exactness.py. An operation with `several` results has a type for each, and
    `result` nodes pick them apart; in the words of one that moves rows, `{0}` is the flags and `{1}` the rows moved.
    """

    name: str
    arity: int | None
    doc: str
    words: str
    rule: Callable[[Types, Attrs], Result | list[Result]]
    schema: Mapping[str, AttrKind] = field(default_factory=dict)
    scope: Literal["top", "body", "both"] = "both"
    low_bits: Literal["kept", "linear", "hidden"] = "kept"
    several: bool = False


def spec_of(op: str) -> OpSpec:
    """The operation of that name. Raises `PlanError` PLAN-007."""
    if op not in OPS:
        raise PlanError(
            "PLAN-007", f"there is no operation named {str(op)[:40]!r}", expected=f"one of {', '.join(sorted(OPS))}"
        )
    return OPS[op]


def defaults(op: str) -> dict[str, Attr]:
    """The attributes of an operation that whoever writes a plan may leave out, except `exact`."""
    return {name: value for name, value in _DEFAULTS.items() if name in OPS[op].schema}


def infer(op: str, types: Types, attrs: Attrs) -> TensorType:
    """The type of the only result, or of the first of several; see `infer_results`."""
    return infer_results(op, types, attrs)[0]


def infer_results(op: str, types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
    """The types of the results of one operation on operands of these types (all but `repeat` and `result`).

    Raises `PlanError`: PLAN-004 element types, PLAN-005 shapes, PLAN-006 attributes, PLAN-007 unknown operation,
    PLAN-008 number of operands, PLAN-009 range, PLAN-010 homes, PLAN-011 domain, PLAN-012 index.
    """
    spec = spec_of(op)
    check_attrs(op, spec.schema, attrs)
    if len(types) != spec.arity and not (spec.arity is None and types):
        raise PlanError(
            "PLAN-008",
            f"`{op}` got {len(types)} operands",
            expected="one or more operands" if spec.arity is None else f"{spec.arity} operands",
        )
    if op == "param":
        return (attrs["type"],)
    found = spec.rule(types, attrs)
    results = found if isinstance(found, list) else [found]
    for dtype, _, interval in results:
        _check_range(op, dtype, interval)
    home = _home(op, types, attrs)
    out = tuple(TensorType(dtype, shape, home, interval) for dtype, shape, interval in results)
    if "exact" in spec.schema and not attrs["exact"] and not truncates(op, types, attrs):
        raise PlanError(
            "PLAN-006", f"`{op}` is marked inexact, yet it truncates no secret", expected="exact=True in this place"
        )
    return out


def infer_node(op: str, inputs: Sequence[Node], attrs: Attrs) -> tuple[TensorType, ...]:
    """The types of the results of an operation on the given nodes, one for each.

    Raises `PlanError` as `infer_results` and `infer_repeat` do.
    """
    if op == "result":
        check_attrs(op, OPS[op].schema, attrs)
        if len(inputs) != 1 or not has_several(inputs[0]) or not 0 <= attrs["index"] < len(inputs[0].types):
            raise _region("`result` names no result", "an operation with several results and the position of one")
        return (inputs[0].types[attrs["index"]],)
    if any(has_several(node) for node in inputs):
        raise _region(f"`{op}` uses an operation with several results directly", "a `result` node for each one used")
    types = [node.type for node in inputs]
    return infer_repeat(types, attrs) if op == "repeat" else infer_results(op, types, attrs)


def has_several(node: Node) -> bool:
    """Whether only `result` nodes can use this one."""
    return spec_of(node.op).several


def made_from(nodes: Sequence[Node], node: Node) -> tuple[int, ...]:
    """The operands that a value comes from: of rows that are moved, the flags and these rows."""
    if node.op != "result" or nodes[node.inputs[0]].op not in MOVES | {"shuffle_rows", "match_rows"}:
        return node.inputs
    operands = nodes[node.inputs[0]].inputs
    if nodes[node.inputs[0]].op == "match_rows":
        return _matched_from(operands, nodes[node.inputs[0]].attrs, node.attrs["index"])
    if nodes[node.inputs[0]].op == "shuffle_rows":
        return (operands[node.attrs["index"]],)
    return operands[0], operands[1 + node.attrs["index"]]


def _matched_from(operands: tuple[int, ...], attrs: Attrs, index: int) -> tuple[int, ...]:
    """Which operands of a `match_rows` its result comes from: an array of the second table is only put in order."""
    start, first = 2 + 2 * attrs["keys"], attrs["first"]
    own = operands[start + index - 1 : start + index] if index else ()
    return own if index > first else (*operands[:start], *own)


def check_permutation(node: Node, nodes: Sequence[Node]) -> None:
    """Check that what a `permute` opens in random order is a permutation whatever the data: what `argsort` or `lexsort`
    gave, maybe in the clear at one party. Raises `PlanError` PLAN-012.
    """
    if node.op != "permute":
        return
    index = nodes[node.inputs[0]]
    if index.op == "share":
        index = nodes[index.inputs[0]]
    along = node.attrs["axis"] if len(index.type.shape) > 1 else 0
    if index.op not in ("argsort", "lexsort") or index.attrs["axis"] != along:
        raise PlanError(
            "PLAN-012",
            f"`permute` got positions that `{index.op}` computes",
            expected="the result of `argsort` or `lexsort` along the same axis, which is a permutation for certain",
            next="take the `argsort` of the positions' `argsort`, which is the same permutation if they are one; inside"
            " a loop, sort inside",
        )


def infer_repeat(types: Types, attrs: Attrs) -> tuple[TensorType, ...]:
    """The types of the carried values of a `repeat` whose body is already checked in itself.

    Raises `PlanError` PLAN-013 where the body does not fit the operands, or the carried values do not keep their type.
    """
    check_attrs("repeat", OPS["repeat"].schema, attrs)
    body: Region = attrs["body"]
    if not 1 <= attrs["trips"] <= TRIPS_MAX:
        raise _region("the number of trips is out of range", "1 to 2^31 trips")
    params = sorted((n for n in body.nodes if n.op == "param"), key=lambda n: int(n.attrs["index"]))
    carried = len(body.outputs)
    if [n.attrs["index"] for n in params] != list(range(len(types))) or not 1 <= carried <= len(types):
        raise _region(
            f"the body has {len(params)} parameters and {carried} outputs for {len(types)} operands",
            "one parameter for each operand, numbered from 0, and one output for each carried value",
        )
    by_id = {n.id: n for n in body.nodes}
    for k, (param, given) in enumerate(zip(params, types, strict=True)):
        want = param.type
        if k >= carried:
            if given != want:
                raise _region(f"captured value {k - carried} is {given} outside and {want} inside", "the same type")
            continue
        out = by_id[body.outputs[k]].type
        for where, t in (("starts", given), ("ends", out)):
            if (t.dtype, t.shape) != (want.dtype, want.shape):
                raise _region(
                    f"carried value {k} {where} as {t.dtype}{list(t.shape)}, but is {want.dtype}{list(want.shape)}",
                    "the same element type and shape in every trip",
                )
            # Public values may start a private computation as they are; secrets take a `share`, which costs a round.
            if t.home != want.home and not (t.home == Public() and want.home != Secret()):
                raise _region(f"carried value {k} {where} {t.home}, but is {want.home}", "one home in every trip")
            if t.interval not in want.interval:
                raise _region(
                    f"carried value {k} {where} with |x| up to 2^{power_of_two(t.interval.magnitude)} raw, beyond its "
                    f"declared 2^{power_of_two(want.interval.magnitude)}",
                    "a range that every trip keeps",
                    "declare a wider range for it, or end the body with `clip` (checked) or `assume` (listed)",
                )
    return tuple(p.type for p in params[:carried])


def truncates(op: str, types: Types, attrs: Attrs) -> bool:
    """Whether the operation has a choice between exact and cheaper truncation: a secret fixed-point result that was
    scaled down. Pre-condition: the operands pass the typing rule.
    """
    if "exact" not in OPS[op].schema or join(t.home for t in types) != Secret():
        return False
    if "shift" in attrs:
        return (attrs["shift"] if op == "scale" else product_shift(types, attrs)) > 0
    return all(t.dtype.is_fixed for t in types)


def keeps_low_bits(op: str, types: Types, attrs: Attrs) -> bool:
    """Whether the low bits of the operands can be read off the result; see exactness.py."""
    low_bits = OPS[op].low_bits
    if low_bits == "linear" and truncates(op, types, attrs) and all(t.dtype.is_fixed for t in types):
        return any(t.home != Secret() for t in types)
    return low_bits != "hidden"


def constant_array(attrs: Attrs) -> NDArray[np.int64]:
    """The payload of a `constant` node: raw values, little endian in the plan, of the node's shape.

    Raises `PlanError` PLAN-014 if the payload does not fit the shape.
    """
    shape: tuple[int, ...] = attrs["shape"]
    data: bytes = attrs["data"]
    if len(data) != 8 * prod(shape):
        raise PlanError("PLAN-014", "a constant's payload does not fit its shape", expected="8 bytes per element")
    return np.frombuffer(data, dtype="<i8").reshape(shape).astype(np.int64, copy=False)


# --- rules that hold for every operation -----------------------------------------------------------------------


def _home(op: str, types: Types, attrs: Attrs) -> Public | Private | Secret:
    if op == "input":
        return Private(attrs["party"])
    if op == "share":
        if types[0].home == Secret():
            raise PlanError("PLAN-010", "`share` got a value that is already secret", next="use the value as it is")
        return Secret()
    if op == "reveal":
        to = attrs["to"]
        home = types[0].home
        target = Public() if to is None else Private(to)
        if home in (Public(), target):
            raise PlanError(
                "PLAN-010",
                f"`reveal` got a value that is already {home}",
                expected="a value that the recipient cannot read yet",
                next="use the value as it is",
            )
        return target
    homes = [t.home for t in types]
    home = join(homes)
    kept = at_home(op, homes, attrs)
    if home == Secret() and any(isinstance(h, Private) and k not in kept for k, h in enumerate(homes)):
        raise PlanError(
            "PLAN-010",
            f"`{op}` mixes values that live at {', '.join(map(str, homes))}",
            expected="operands that are public or private to one party, or public or secret",
            next="put a `share` node before each private operand",
        )
    return home


def _check_range(op: str, dtype: DType, interval: Interval) -> None:
    if dtype.is_fixed:
        limit = Interval(-FIXED_MAX, FIXED_MAX)
        words = f"2^61 raw, that is 2^{61 - dtype.f}"
        reach = f"2^{power_of_two(interval.magnitude)} raw, that is 2^{power_of_two(interval.magnitude) - dtype.f}"
    else:
        limit, words = Interval(RING_LO, RING_HI), "-2^63 to 2^63 - 1"
        reach = f"2^{power_of_two(interval.magnitude)}"
    if interval not in limit:
        raise _range_error(op, reach, words)


def _range_error(op: str, reach: str, limit: str) -> PlanError:
    return PlanError(
        "PLAN-009",
        f"`{op}` could reach {reach}, and a result that wraps around would be garbage",
        expected=f"results within {limit}",
        next="declare a smaller range= on the inputs, rescale, narrow an operand with `clip`, `maximum` or `minimum`,"
        " or state what you know with `assume`",
    )


def _check_product(op: str, dtype: DType, product: Interval) -> None:
    if product.magnitude >= PRODUCT_MAX:
        raise _range_error(
            op,
            f"2^{power_of_two(product.magnitude)} raw before truncation",
            f"2^62 raw before truncation, that is 2^{62 - 2 * dtype.f} for {dtype} operands",
        )


def _type_error(op: str, types: Types, expected: str, next: str = "add a `cast` first") -> PlanError:
    got = ", ".join(str(t.dtype) for t in types)
    return PlanError("PLAN-004", f"`{op}` got operands of types {got}", expected=expected, next=next)


def _shape_error(op: str, what: str, expected: str) -> PlanError:
    return PlanError("PLAN-005", f"`{op}` {what}", expected=expected)


def _region(what: str, expected: str, next: str = "") -> PlanError:
    return PlanError("PLAN-013", f"`repeat`: {what}", expected=expected, next=next)


def _broadcast(op: str, types: Types) -> tuple[int, ...]:
    # Not numpy.broadcast_shapes: it fails on sizes that NumPy cannot index, and its messages name no operation.
    shape: list[int] = []
    for k in range(1, max((len(t.shape) for t in types), default=0) + 1):
        sizes = {t.shape[-k] for t in types if len(t.shape) >= k} - {1}
        if len(sizes) > 1:
            shapes = ", ".join(str(list(t.shape)) for t in types)
            raise _shape_error(op, f"got shapes {shapes}", "sizes that are equal or 1 along each axis")
        shape.append(sizes.pop() if sizes else 1)
    return tuple(reversed(shape))


def _short(values: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, values[:8]))}{', …' if len(values) > 8 else ''}]"


def _axis(op: str, axis: int, ndim: int) -> int:
    if not 0 <= axis < ndim:
        raise _shape_error(op, f"got axis {axis} for {ndim} dimensions", "an axis from 0 to the last one")
    return axis


def _axes(op: str, axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    for axis in axes:
        _axis(op, axis, ndim)
    if list(axes) != sorted(set(axes)):
        raise _shape_error(op, f"got axes {_short(axes)}", "different axes in rising order")
    return axes


def _numeric(op: str, types: Types) -> DType:
    """The element type of arithmetic without products: int64, or the operands' common fixed type."""
    if all(t.dtype.is_int for t in types):
        return INT64
    if all(t.dtype.is_fixed and t.dtype == types[0].dtype for t in types):
        return types[0].dtype
    raise _type_error(op, types, "integers, or fixed with the same f")


def _hull(intervals: Sequence[Interval]) -> Interval:
    out = intervals[0]
    for interval in intervals[1:]:
        out = out | interval
    return out


# --- typing rules: leaves and homes ----------------------------------------------------------------------------


def _input(_: Types, attrs: Attrs) -> Result:
    return attrs["dtype"], attrs["shape"], Interval(attrs["lo"], attrs["hi"])


def _constant(_: Types, attrs: Attrs) -> Result:
    values = constant_array(attrs)
    bounds = Interval(int(values.min()), int(values.max())) if values.size else Interval(0, 0)
    return attrs["dtype"], attrs["shape"], bounds


def _same(types: Types, _: Attrs) -> Result:
    return types[0].dtype, types[0].shape, types[0].interval


def _assume(types: Types, attrs: Attrs) -> Result:
    x, told = types[0], Interval(attrs["lo"], attrs["hi"])
    if told.hi < x.interval.lo or told.lo > x.interval.hi:
        raise PlanError(
            "PLAN-009",
            "`assume` states a range that the value cannot have",
            expected="a range that meets the known one",
            next="compare it with the ranges of the inputs; bounds are raw, that is times 2^f",
        )
    return x.dtype, x.shape, Interval(max(told.lo, x.interval.lo), min(told.hi, x.interval.hi))


# --- typing rules: arithmetic ----------------------------------------------------------------------------------


def _linear(op: str, bounds: Callable[[Interval, Interval], Interval]) -> Callable[[Types, Attrs], Result]:
    def rule(types: Types, _: Attrs) -> Result:
        x, y = types
        return _numeric(op, types), _broadcast(op, types), bounds(x.interval, y.interval)

    return rule


def _unary(op: str, bounds: Callable[[Interval], Interval]) -> Callable[[Types, Attrs], Result]:
    def rule(types: Types, _: Attrs) -> Result:
        return _numeric(op, types), types[0].shape, bounds(types[0].interval)

    return rule


def product_shift(types: Types, attrs: Attrs) -> int:
    """By how many bits a product is truncated: `shift`, and the fraction bits of one of two fixed operands."""
    shift: int = attrs["shift"]
    return shift + (types[0].dtype.f if all(t.dtype.is_fixed for t in types) else 0)


def _product(op: str, types: Types, attrs: Attrs, product: Interval) -> tuple[DType, Interval]:
    """Element type and bounds of a product whose raw value, before any truncation, is within `product`."""
    fixed = [t.dtype for t in types if t.dtype.is_fixed]
    if not all(t.dtype.is_int or t.dtype in fixed[:1] for t in types):
        raise _type_error(op, types, "integers, or fixed with the same f, or one of each")
    bits = product_shift(types, attrs)
    if not 0 <= attrs["shift"] <= bits <= SHIFT_MAX or not (fixed or attrs["shift"] == 0):
        raise PlanError(
            "PLAN-006", f"attribute `shift` of `{op}` is out of range", expected=f"0 to {SHIFT_MAX}, 0 for integers"
        )
    product = product.scale(attrs["numerator"])
    if not fixed:
        return INT64, product
    if bits:
        _check_product(op, fixed[0], product)
    return fixed[0], product.truncate(bits)


def _mul(types: Types, attrs: Attrs) -> Result:
    x, y = types
    dtype, interval = _product("mul", types, attrs, x.interval * y.interval)
    return dtype, _broadcast("mul", types), interval


def _square(types: Types, attrs: Attrs) -> Result:
    dtype, interval = _product("square", types, attrs, types[0].interval.square())
    return dtype, types[0].shape, interval


def _matmul(types: Types, attrs: Attrs) -> Result:
    x, y = types
    if not x.shape or not y.shape or x.shape[-1] != y.shape[-2 if len(y.shape) > 1 else 0]:
        raise _shape_error(
            "matmul",
            f"got shapes {list(x.shape)} and {list(y.shape)}",
            "at least one dimension each, and as many columns as the other has rows",
        )
    batch = _broadcast("matmul", [_with_shape(t, t.shape[:-2]) for t in types])
    shape = (*batch, *x.shape[-2:-1], *(y.shape[-1:] if len(y.shape) > 1 else ()))
    dtype, interval = _product("matmul", types, attrs, (x.interval * y.interval).sum_of(x.shape[-1]))
    return dtype, shape, interval


def _conv2d(types: Types, attrs: Attrs) -> Result:
    x, w = types
    stride, padding = attrs["stride"], attrs["padding"]
    if len(x.shape) != 4 or len(w.shape) != 4 or x.shape[1] != w.shape[1]:
        raise _shape_error(
            "conv2d", f"got shapes {list(x.shape)} and {list(w.shape)}", "[N, C, H, W] and [O, C, KH, KW], same C"
        )
    if len(stride) != 2 or len(padding) != 2 or min(stride) < 1 or min(padding) < 0:
        raise _shape_error("conv2d", "got a wrong stride or padding", "two strides >= 1 and two paddings >= 0")
    spare = [x.shape[k + 2] + 2 * padding[k] - w.shape[k + 2] for k in (0, 1)]
    if min(spare) < 0 or min(w.shape[2:]) < 1:
        raise _shape_error("conv2d", "has a kernel that does not fit the padded image", "1 <= kernel <= image")
    shape = (x.shape[0], w.shape[0], spare[0] // stride[0] + 1, spare[1] // stride[1] + 1)
    # Padding puts zeros in the place of some products.
    term = (x.interval * w.interval) | Interval(0, 0)
    dtype, interval = _product("conv2d", types, attrs, term.sum_of(prod(w.shape[1:])))
    return dtype, shape, interval


def _scale(types: Types, attrs: Attrs) -> Result:
    x, shift = types[0], attrs["shift"]
    if not x.dtype.is_fixed:
        raise _type_error("scale", types, "a fixed-point value", "use `mul` for integers")
    if not 0 <= shift <= SHIFT_MAX:
        raise PlanError("PLAN-006", "attribute `shift` of `scale` is out of range", expected=f"0 to {SHIFT_MAX}")
    product = x.interval.scale(attrs["numerator"])
    if shift:
        _check_product("scale", x.dtype, product)
    return x.dtype, x.shape, product.truncate(shift)


def _div(types: Types, _: Attrs) -> Result:
    x, y = types
    dtype = _numeric("div", types)
    if not dtype.is_fixed or dtype.f not in FUNCTION_F:
        raise _type_error("div", types, _FUNCTION_TYPES)
    interval = quotient(x.interval, y.interval, dtype.f)
    if interval.magnitude > FIXED_MAX:
        raise PlanError(
            "PLAN-009",
            f"`div` could reach 2^{power_of_two(interval.magnitude) - dtype.f}, because its divisor can come so close"
            " to zero",
            expected=f"quotients within 2^{61 - dtype.f}",
            next="keep the divisor away from zero with `maximum`, or state a bound with `assume`",
        )
    return dtype, _broadcast("div", types), interval


def _function(name: str) -> Callable[[Types, Attrs], Result]:
    def rule(types: Types, _: Attrs) -> Result:
        x = types[0]
        if not x.dtype.is_fixed or x.dtype.f not in FUNCTION_F:
            raise _type_error(name, types, _FUNCTION_TYPES)
        return x.dtype, x.shape, FUNCTION_BOUNDS[name].result(name, x.interval, x.dtype.f)

    return rule


def _softmax(types: Types, attrs: Attrs) -> Result:
    (x,) = types
    result = _function("softmax")(types, attrs)
    if not x.shape or not x.shape[-1]:
        raise _shape_error("softmax", f"got the shape {list(x.shape)}", "at least one element in each row")
    if x.interval.hi - x.interval.lo > FIXED_MAX:
        raise _range_error(
            "softmax", f"2^{power_of_two(x.interval.hi - x.interval.lo)} raw between elements", "2^61 raw at most"
        )
    return result


# --- typing rules: comparison, logic, choice -------------------------------------------------------------------

_BIT: Final = Interval(0, 1)
_ZERO: Final = Interval(0, 0)


def _compare(op: str) -> Callable[[Types, Attrs], Result]:
    def rule(types: Types, _: Attrs) -> Result:
        _numeric(op, types)
        return BOOL, _broadcast(op, types), _BIT

    return rule


def _logic(op: str) -> Callable[[Types, Attrs], Result]:
    def rule(types: Types, _: Attrs) -> Result:
        if any(t.dtype != BOOL for t in types):
            raise _type_error(op, types, "bool", "compare first, for example with `ne`")
        return BOOL, _broadcast(op, types), _BIT

    return rule


def _where(types: Types, _: Attrs) -> Result:
    cond, x, y = types
    if cond.dtype != BOOL:
        raise _type_error("where", types, "a bool condition", "compare first, for example with `ne`")
    return promote([x.dtype, y.dtype], "where"), _broadcast("where", types), x.interval | y.interval


def _aes128(types: Types, _: Attrs) -> Result:
    if any(t.dtype != BOOL for t in types):
        raise _type_error("aes128", types, "bool", "give the bits of bytes, the least significant first")
    key, blocks = (t.shape for t in types)
    if blocks[-1:] != (128,) or key not in ((128,), blocks):
        raise _shape_error(
            "aes128", f"got a key {list(key)} and blocks {list(blocks)}", "blocks [..., 128], and one key or as many"
        )
    return BOOL, blocks, _BIT


def _choice(op: str, bounds: Callable[[Interval, Interval], Interval]) -> Callable[[Types, Attrs], Result]:
    def rule(types: Types, _: Attrs) -> Result:
        _numeric(op, types)
        x, y = types
        return promote([x.dtype, y.dtype], op), _broadcast(op, types), bounds(x.interval, y.interval)

    return rule


def _clip(types: Types, attrs: Attrs) -> Result:
    _numeric("clip", types)
    x = types[0]
    return x.dtype, x.shape, x.interval.clip(Interval(attrs["lo"], attrs["hi"]))


# --- typing rules: reductions ----------------------------------------------------------------------------------


def _reduced(op: str, x: TensorType, attrs: Attrs) -> tuple[tuple[int, ...], int]:
    """The shape after reducing over `axis`, and the number of elements in each reduction."""
    axes = _axes(op, attrs["axis"], len(x.shape))
    if attrs["keepdims"]:
        shape = tuple(1 if k in axes else d for k, d in enumerate(x.shape))
    else:
        shape = tuple(d for k, d in enumerate(x.shape) if k not in axes)
    return shape, prod(x.shape[k] for k in axes)


def _sum(types: Types, attrs: Attrs) -> Result:
    dtype = _numeric("sum", types)
    shape, n = _reduced("sum", types[0], attrs)
    return dtype, shape, types[0].interval.sum_of(n)


def _cumsum(types: Types, attrs: Attrs) -> Result:
    x = types[0]
    n = x.shape[_axis("cumsum", attrs["axis"], len(x.shape))]
    return _numeric("cumsum", types), x.shape, x.interval | x.interval.sum_of(n)


def _extreme(op: str) -> Callable[[Types, Attrs], Result]:
    def rule(types: Types, attrs: Attrs) -> Result:
        _numeric(op, types)
        shape, n = _reduced(op, types[0], attrs)
        if n == 0:
            raise _shape_error(op, "reduces over no elements", "at least one element")
        return types[0].dtype, shape, types[0].interval

    return rule


def _quantifier(op: str) -> Callable[[Types, Attrs], Result]:
    logic = _logic(op)

    def rule(types: Types, attrs: Attrs) -> Result:
        logic(types, attrs)
        return BOOL, _reduced(op, types[0], attrs)[0], _BIT

    return rule


# --- typing rules: rows and runs of them -----------------------------------------------------------------------


def _rows(op: str, types: Types, *, fewer: bool = False) -> tuple[int, Types]:
    """The number of flags, the first operand, and the arrays beside it, which have as many rows (or `fewer`)."""
    flags, *columns = types
    if not columns:
        raise PlanError("PLAN-008", f"`{op}` got no rows", expected="flags, then one or more arrays of rows")
    if flags.dtype != BOOL:
        raise _type_error(op, types, "bool flags first", "compare first, for example with `ne`")
    n = flags.shape[0] if len(flags.shape) == 1 else -1
    lengths = {x.shape[0] if x.shape else -1 for x in columns}
    if len(lengths) > 1 or not (lengths == {n} or (fewer and 0 <= min(lengths) < n)):
        shapes = ", ".join(str(list(t.shape)) for t in types)
        raise _shape_error(
            op, f"got shapes {shapes}", f"one flag for each row{', or fewer rows than flags' if fewer else ''}"
        )
    return n, columns


def _boundaries(op: str) -> Callable[[Types, Attrs], Result]:
    def rule(types: Types, _: Attrs) -> Result:
        for t in types:
            if t.dtype != BOOL:
                _numeric(op, [t])
        lengths = {t.shape[:1] for t in types}
        if len(lengths) > 1 or () in lengths or any(0 in t.shape[1:] for t in types):
            shapes = ", ".join(str(list(t.shape)) for t in types)
            raise _shape_error(op, f"got shapes {shapes}", "keys with equally many rows, of at least one column")
        return BOOL, lengths.pop(), _BIT

    return rule


def _compress(types: Types, _: Attrs) -> list[Result]:
    columns = _rows("compress", types)[1]
    return [(x.dtype, x.shape, x.interval | _ZERO) for x in columns]


def _shuffle_rows(types: Types, _: Attrs) -> list[Result]:
    if not types:
        raise PlanError("PLAN-008", "`shuffle_rows` got no rows", expected="one or more arrays of rows")
    if len({t.shape[:1] for t in types}) > 1 or not types[0].shape:
        shapes = ", ".join(str(list(t.shape)) for t in types)
        raise _shape_error("shuffle_rows", f"got shapes {shapes}", "arrays with equally many rows")
    return [(x.dtype, x.shape, x.interval) for x in types]


def _expand(types: Types, _: Attrs) -> list[Result]:
    n, columns = _rows("expand", types, fewer=True)
    return [(x.dtype, (n, *x.shape[1:]), x.interval | _ZERO) for x in columns]


def _fill_forward(types: Types, _: Attrs) -> list[Result]:
    columns = _rows("fill_forward", types)[1]
    return [(x.dtype, x.shape, x.interval | _ZERO) for x in columns]


def _run_sums(types: Types, _: Attrs) -> list[Result]:
    n, columns = _rows("run_sums", types)
    return [(_numeric("run_sums", [x]), x.shape, x.interval | x.interval.sum_of(n) | _ZERO) for x in columns]


def _aggregate(types: Types, attrs: Attrs) -> list[Result]:
    n, columns = _rows("aggregate", types)
    heads = attrs["heads"]
    if not 0 <= heads <= len(columns):
        raise PlanError(
            "PLAN-006",
            "attribute `heads` of `aggregate` is out of range",
            expected="as many arrays as are taken at the heads of runs, of those beside the flags",
        )
    first = [(x.dtype, x.shape, x.interval | _ZERO) for x in columns[:heads]]
    summed = columns[heads:]
    sums = [(_numeric("aggregate", [x]), x.shape, x.interval | x.interval.sum_of(n) | _ZERO) for x in summed]
    return [*first, *sums]


def _match_rows(types: Types, attrs: Attrs) -> list[Result]:
    keys, first = attrs["keys"], attrs["first"]
    if keys < 1 or first < 0 or 2 + 2 * keys + first > len(types):
        raise PlanError(
            "PLAN-006",
            "attribute `keys` or `first` of `match_rows` is out of range",
            expected="two flags, as many keys of each table, then arrays of the first table and of the second",
        )
    sides = matched_sides(types, attrs)
    for flags, own, _ in sides:
        if flags.dtype != BOOL or any(not (t.dtype.is_int or t.dtype == BOOL) for t in own):
            raise _type_error("match_rows", types, "bool flags, and keys of integers or bool")
    for flags, own, payload in sides:
        if any(t.shape != flags.shape for t in own) or any(t.shape[:1] != flags.shape for t in payload):
            shapes = ", ".join(str(list(t.shape)) for t in types)
            raise _shape_error("match_rows", f"got shapes {shapes}", "a flag, keys and a row of arrays for each row")
        if len(flags.shape) != 1 or not flags.shape[0]:
            raise _shape_error("match_rows", f"got flags of shape {list(flags.shape)}", "one or more rows each")
    bits = sum(width for _, width in matched_words(sides[0][1], sides[1][1]))
    if bits > MATCH_BITS:
        raise PlanError(
            "PLAN-011",
            f"`match_rows` got keys of {bits} bits together",
            expected=f"at most {MATCH_BITS} bits by their ranges",
            next="declare narrower ranges, or sort both tables by their keys",
        )
    (_, _, left), (flags, _, right) = sides
    found: Result = (BOOL, flags.shape, _BIT)
    brought: list[Result] = [(x.dtype, flags.shape + x.shape[1:], x.interval | _ZERO) for x in left]
    return [found, *brought, *((x.dtype, x.shape, x.interval) for x in right)]


MATCH_BITS: Final = 126
"""Bits of a key that fit what a tag is made from, beside two that tell rows apart that match nothing."""


def matched_sides(operands: Sequence[T], attrs: Attrs) -> tuple[tuple[T, Sequence[T], Sequence[T]], ...]:
    """Of the operands of a `match_rows` for each table (flags, keys, arrays)."""
    keys, first = attrs["keys"], attrs["first"]
    start = 2 + 2 * keys
    return (
        (operands[0], operands[2 : 2 + keys], operands[start : start + first]),
        (operands[1], operands[2 + keys : start], operands[start + first :]),
    )


def at_home(op: str, homes: Sequence[Home], attrs: Attrs) -> frozenset[int]:
    """Which private operands an operation on secrets takes as they are, where others have to be shared.

    A table whose flags and keys one party has, whoever has the other: that party makes its tags itself.
    """
    if op != "match_rows":
        return frozenset()
    found: set[int] = set()
    for flags, keys, _ in matched_sides(range(len(homes)), attrs):
        own = [flags, *keys]
        if isinstance(join(homes[k] for k in own), Private):
            found.update(k for k in own if isinstance(homes[k], Private))
    return frozenset(found)


def matched_words(left: Types, right: Types) -> list[tuple[int, int]]:
    """Of each key of two tables the least value that either may have, and the bits of what exceeds it."""
    bounds = [a.interval | b.interval for a, b in zip(left, right, strict=True)]
    return [(b.lo, max((b.hi - b.lo).bit_length(), 1)) for b in bounds]


def _running_sum(types: Types, _: Attrs) -> list[Result]:
    n, columns = _rows("running_sum", types)
    return [(_numeric("running_sum", [x]), x.shape, x.interval | x.interval.sum_of(n)) for x in columns]


def _running(op: str, bits: bool) -> Callable[[Types, Attrs], Result]:
    def rule(types: Types, _: Attrs) -> Result:
        _rows(op, types)
        x = types[1]
        if bits and x.dtype != BOOL:
            raise _type_error(op, types, "bool", "compare first, for example with `ne`")
        if not bits:
            _numeric(op, [x])
        return x.dtype, x.shape, x.interval

    return rule


def _one_hot(types: Types, attrs: Attrs) -> Result:
    x, size = types[0], attrs["size"]
    if not 1 <= size <= ONE_HOT_MAX:
        raise PlanError(
            "PLAN-006", "attribute `size` of `one_hot` is out of range", expected=f"1 to {ONE_HOT_MAX} places"
        )
    if not x.dtype.is_int:
        raise _type_error("one_hot", types, "integers")
    if x.interval not in Interval(0, size - 1):
        raise PlanError(
            "PLAN-011",
            f"`one_hot` with {size} places got values from {x.interval.lo} to {x.interval.hi}",
            expected=f"a range within 0 to {size - 1}",
            next="declare it with range= on the inputs, or keep the values within it with `clip`",
        )
    return INT64, (*x.shape, size), _BIT


# --- typing rules: types and shapes ----------------------------------------------------------------------------


def _cast(types: Types, attrs: Attrs) -> Result:
    x, to = types[0], attrs["dtype"]
    if x.dtype == to or (to.is_int and (x.dtype.is_int or x.dtype == BOOL)):
        interval = x.interval
    elif to.is_fixed and x.dtype.is_int:
        interval = x.interval.scale(2**to.f)
    elif to.is_int and x.dtype.is_fixed:
        interval = Interval(x.interval.lo >> x.dtype.f, x.interval.hi >> x.dtype.f)
    else:
        raise _type_error(
            "cast",
            types,
            f"a type that can become {to}: bool and fixed to integers, integers to fixed",
            "go through int64, or compare with `ne` to get a bool",
        )
    if interval not in to.range:
        raise _range_error(
            "cast", f"2^{power_of_two(interval.magnitude)} raw", f"{to}: raw {to.range.lo} to {to.range.hi}"
        )
    return to, x.shape, interval


def _with_shape(x: TensorType, shape: tuple[int, ...]) -> TensorType:
    return TensorType(x.dtype, shape, x.home, x.interval)


def _reshape(types: Types, attrs: Attrs) -> Result:
    x, shape = types[0], attrs["shape"]
    if prod(shape) != x.size:
        raise _shape_error("reshape", f"goes from {list(x.shape)} to {list(shape)}", "as many elements as before")
    return x.dtype, shape, x.interval


def _broadcast_to(types: Types, attrs: Attrs) -> Result:
    x, shape = types[0], attrs["shape"]
    if _broadcast("broadcast_to", [x, _with_shape(x, shape)]) != shape:
        raise _shape_error("broadcast_to", f"goes from {list(x.shape)} to {list(shape)}", "axes that grow from 1")
    return x.dtype, shape, x.interval


def _transpose(types: Types, attrs: Attrs) -> Result:
    x, axes = types[0], attrs["axes"]
    if sorted(axes) != list(range(len(x.shape))):
        raise _shape_error("transpose", f"got axes {_short(axes)} for {len(x.shape)} dimensions", "each axis once")
    return x.dtype, tuple(x.shape[k] for k in axes), x.interval


def _getitem(types: Types, attrs: Attrs) -> Result:
    x = types[0]
    return x.dtype, indexed_shape(attrs["index"], x.shape), x.interval


def _take(types: Types, attrs: Attrs) -> Result:
    x, indices = types[0], attrs["indices"]
    axis = _axis("take", attrs["axis"], len(x.shape))
    if indices and not 0 <= min(indices) <= max(indices) < x.shape[axis]:
        raise _shape_error("take", f"has positions outside axis {axis}", f"positions 0 to {x.shape[axis] - 1}")
    return x.dtype, (*x.shape[:axis], len(indices), *x.shape[axis + 1 :]), x.interval


def _joined(op: str, types: Types) -> tuple[DType, Interval]:
    return promote([t.dtype for t in types], op), _hull([t.interval for t in types])


def _concat(types: Types, attrs: Attrs) -> Result:
    dtype, interval = _joined("concat", types)
    axis = _axis("concat", attrs["axis"], len(types[0].shape))
    others = {(len(t.shape), t.shape[:axis], t.shape[axis + 1 :]) for t in types}
    if len(others) > 1:
        shapes = ", ".join(str(list(t.shape)) for t in types)
        raise _shape_error("concat", f"got shapes {shapes}", f"equal sizes along every axis but {axis}")
    first = types[0].shape
    return dtype, (*first[:axis], sum(t.shape[axis] for t in types), *first[axis + 1 :]), interval


def _stack(types: Types, attrs: Attrs) -> Result:
    dtype, interval = _joined("stack", types)
    first = types[0].shape
    axis = _axis("stack", attrs["axis"], len(first) + 1)
    if any(t.shape != first for t in types):
        raise _shape_error("stack", "got different shapes", "equal shapes")
    return dtype, (*first[:axis], len(types), *first[axis:]), interval


def _flip(types: Types, attrs: Attrs) -> Result:
    _axis("flip", attrs["axis"], len(types[0].shape))
    return _same(types, attrs)


def _ordered(op: str, types: Types, attrs: Attrs) -> int:
    _numeric(op, types)
    _known_strategy(op, attrs)
    return types[0].shape[_axis(op, attrs["axis"], len(types[0].shape))]


def _known_strategy(op: str, attrs: Attrs) -> None:
    if attrs["strategy"] not in SORT_STRATEGIES:
        raise PlanError(
            "PLAN-006",
            f"attribute `strategy` of `{op}` is unknown",
            expected=", ".join(f"{name} ({what})" for name, what in SORT_STRATEGIES.items()),
        )


def _sort(types: Types, attrs: Attrs) -> Result:
    _ordered("sort", types, attrs)
    return _same(types, attrs)


def _argsort(types: Types, attrs: Attrs) -> Result:
    n = _ordered("argsort", types, attrs)
    return INT64, types[0].shape, Interval(0, max(n - 1, 0))


def _lexsort(types: Types, attrs: Attrs) -> Result:
    axis = _axis("lexsort", attrs["axis"], len(types[0].shape))
    for t in types:
        _ordered("lexsort", [t], attrs)
    _same_shape("lexsort", types)
    _directions("lexsort", attrs, len(types))
    return INT64, types[0].shape, Interval(0, max(types[0].shape[axis] - 1, 0))


def _sort_by(types: Types, attrs: Attrs) -> list[Result]:
    return [_same([t], attrs) for t in _rows_by_keys("sort_by", types, attrs)]


def _first_by(types: Types, attrs: Attrs) -> list[Result]:
    rows = _rows_by_keys("first_by", types, attrs)
    n, size = types[0].shape[0], attrs["size"]
    if not 0 <= size <= n:
        raise PlanError(
            "PLAN-006", f"attribute `size` of `first_by` is out of range, for {n} rows", expected=f"0 to {n}"
        )
    return [(t.dtype, (size, *t.shape[1:]), t.interval) for t in rows]


def _rows_by_keys(op: str, types: Types, attrs: Attrs) -> Types:
    """The rows behind the keys that they are to be ordered by."""
    count = attrs["keys"]
    if not 1 <= count < len(types):
        raise PlanError(
            "PLAN-006",
            f"attribute `keys` of `{op}` is out of range",
            expected="one or more keys, then other operands",
        )
    keys, payload = types[:count], types[count:]
    for t in keys:
        _numeric(op, [t])
    _known_strategy(op, attrs)
    _same_shape(op, keys)
    _directions(op, attrs, count)
    if len(keys[0].shape) != 1 or any(t.shape[:1] != keys[0].shape for t in payload):
        shapes = ", ".join(str(list(t.shape)) for t in types)
        raise _shape_error(op, f"got shapes {shapes}", "keys with one axis, and a row for each key")
    return payload


def _permute(types: Types, attrs: Attrs) -> Result:
    index, x = types
    axis = _axis("permute", attrs["axis"], len(x.shape))
    if index.shape not in (x.shape, x.shape[axis : axis + 1]):
        raise _shape_error(
            "permute",
            f"got positions of shape {list(index.shape)} for axis {axis} of {list(x.shape)}",
            "one position for each element along the axis, or for each element",
        )
    return _same([x], attrs)


def _topk(types: Types, attrs: Attrs) -> list[Result]:
    n = _ordered("topk", types, attrs)
    x, axis, k = types[0], attrs["axis"], attrs["k"]
    if not 0 <= k <= n:
        raise PlanError("PLAN-006", f"attribute `k` of `topk` is out of range, for {n} elements", expected=f"0 to {n}")
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    return [(x.dtype, shape, x.interval), (INT64, shape, Interval(0, max(n - 1, 0)))]


def _order_statistics(types: Types, attrs: Attrs) -> Result:
    n = _ordered("order_statistics", types, attrs)
    x, axis, ranks = types[0], attrs["axis"], attrs["ranks"]
    if list(ranks) != sorted(set(ranks)) or (ranks and not 0 <= ranks[0] <= ranks[-1] < n):
        raise PlanError(
            "PLAN-006",
            "attribute `ranks` of `order_statistics` is malformed",
            expected=f"different ranks from 0 to {n - 1}, in rising order" if n else "no ranks: there are no elements",
        )
    return x.dtype, (*x.shape[:axis], len(ranks), *x.shape[axis + 1 :]), x.interval


def _same_shape(op: str, types: Types) -> None:
    if len({t.shape for t in types}) > 1:
        raise _shape_error(op, f"got keys of shapes {', '.join(str(list(t.shape)) for t in types)}", "one shape")


def _directions(op: str, attrs: Attrs, keys: int) -> None:
    if len(attrs["descending"]) != keys or not set(attrs["descending"]) <= {0, 1}:
        raise PlanError(
            "PLAN-006", f"attribute `descending` of `{op}` is malformed", expected="0 or 1 for each key: 1 to turn it"
        )


def _structural(_: Types, __: Attrs) -> Result:
    raise PlanError("PLAN-007", "`param`, `repeat` and `result` have no typing rule of their own")


# --- the table -------------------------------------------------------------------------------------------------

SORT_STRATEGIES: Final[dict[str, str]] = {
    "network": "opens nothing",
    "shuffle": "opens the outcomes of comparisons between randomly shuffled rows, ties broken by their original "
    "position: a random pattern that does not depend on the data",
}
"""Ways to sort, with what each opens: a choice that discloses more must be in the plan before it is signed."""

SELECTION_OPENS: Final = (
    SORT_STRATEGIES["shuffle"] + "; it shows which of the shuffled rows are selected, and nothing of their values"
)
SELECTIONS: Final = frozenset({"first_by", "order_statistics", "topk"})
"""Operations that find some rows, and need not sort all."""
PERMUTATION_OPENS: Final = "opens the positions in randomly shuffled order: a random permutation whatever they are"
"""What else is opened, in the same words as the ways to sort."""
MATCH_OPENS: Final = (
    "opens which rows have equal keys, both tables in a random order that nobody knows: how many rows match, and how "
    "often each key is there"
)
"""The only opening that depends on the data: nothing of the keys themselves, nor of rows whose flag does not hold."""
MOVES: Final = frozenset({"aggregate", "compress", "expand", "fill_forward", "run_sums", "running_sum"})
"""Operations that move secret rows by a secret permutation."""

MOVES_OPEN: Final = "opens where a random shuffle puts its rows: a random pattern that does not depend on the data"

_ORDER: Final[dict[str, AttrKind]] = {"axis": "int", "descending": "bool", "strategy": "str"}
_REDUCE: Final[dict[str, AttrKind]] = {"axis": "ints", "keepdims": "bool"}
_EXACT: Final[dict[str, AttrKind]] = {"exact": "bool"}
_PRODUCT: Final[dict[str, AttrKind]] = {"numerator": "int", "shift": "int", **_EXACT}
_DEFAULTS: Final[dict[str, Attr]] = {"numerator": 1, "shift": 0, "strategy": "network"}

_SPECS: Final = (
    # leaves and homes
    OpSpec(
        "input",
        0,
        "An array that one party brings, checked by that party against type, shape and range.",
        "`{name}` of {party}",
        _input,
        {
            "party": "int",
            "name": "text",
            "source": "str",
            "dtype": "dtype",
            "shape": "shape",
            "lo": "int",
            "hi": "int",
        },
        scope="top",
    ),
    OpSpec(
        "constant",
        0,
        "A public array written in the plan.",
        "a constant",
        _constant,
        {"dtype": "dtype", "shape": "shape", "data": "bytes"},
    ),
    OpSpec("share", 1, "Share a value among the computing parties, so that nobody can read it.", "{0}", _same),
    OpSpec(
        "reveal",
        1,
        "Disclose a value to one party, or to everyone: the only way to a wider home.",
        "{0}",
        _same,
        {"to": "party", "purpose": "text"},
        scope="top",
    ),
    OpSpec(
        "assume",
        1,
        "Narrow the known range of a value without checking it; listed as an assumption of the plan.",
        "{0}",
        _assume,
        {"lo": "int", "hi": "int"},
    ),
    # arithmetic
    OpSpec("add", 2, "x + y.", "{0} plus {1}", _linear("add", lambda x, y: x + y)),
    OpSpec("sub", 2, "x - y.", "{0} minus {1}", _linear("sub", lambda x, y: x - y)),
    OpSpec("neg", 1, "-x.", "minus {0}", _unary("neg", lambda x: -x)),
    OpSpec("mul", 2, "x * y * numerator / 2^shift, elementwise.", "{0} times {1}", _mul, _PRODUCT, low_bits="linear"),
    OpSpec("square", 1, "x * x * numerator / 2^shift.", "the square of {0}", _square, _PRODUCT, low_bits="linear"),
    OpSpec(
        "matmul",
        2,
        "The matrix product * numerator / 2^shift, with one truncation.",
        "{0} matrix-times {1}",
        _matmul,
        _PRODUCT,
        low_bits="linear",
    ),
    OpSpec(
        "conv2d",
        2,
        "Two-dimensional cross-correlation of images [N, C, H, W] with kernels [O, C, KH, KW], * numerator / 2^shift.",
        "{0} convolved with {1}",
        _conv2d,
        {"stride": "ints", "padding": "ints", **_PRODUCT},
        low_bits="linear",
    ),
    OpSpec(
        "scale",
        1,
        "x * numerator / 2^shift for a fixed-point x: a product with a public real constant.",
        "{0} scaled",
        _scale,
        _PRODUCT,
    ),
    OpSpec("div", 2, "x / y, fixed point.", "{0} divided by {1}", _div, _EXACT, low_bits="linear"),
    *(
        OpSpec(
            name,
            1,
            f"{name}(x), fixed point, for {FUNCTION_BOUNDS[name].words}.",
            words,
            _function(name),
            _EXACT,
            low_bits="hidden",
        )
        for name, words in (
            ("reciprocal", "1 divided by {0}"),
            ("sqrt", "the square root of {0}"),
            ("rsqrt", "1 divided by the square root of {0}"),
            ("exp", "the exponential of {0}"),
            ("log", "the logarithm of {0}"),
            ("sigmoid", "the sigmoid of {0}"),
            ("tanh", "the hyperbolic tangent of {0}"),
        )
    ),
    OpSpec(
        "softmax",
        1,
        "exp(x) / sum(exp(x)) over the last axis, fixed point.",
        "the softmax of {0}",
        _softmax,
        _EXACT,
        low_bits="hidden",
    ),
    OpSpec("abs", 1, "|x|.", "the absolute value of {0}", _unary("abs", abs)),
    # comparison, logic, choice: right for any two values of the type, also where x - y would wrap
    *(
        OpSpec(name, 2, f"x {sign} y.", f"whether {{0}} {words} {{1}}", _compare(name), low_bits="hidden")
        for name, sign, words in (
            ("lt", "<", "is less than"),
            ("le", "<=", "is at most"),
            ("gt", ">", "is greater than"),
            ("ge", ">=", "is at least"),
            ("eq", "==", "equals"),
            ("ne", "!=", "differs from"),
        )
    ),
    OpSpec("logical_and", 2, "x and y.", "whether {0} and {1}", _logic("logical_and")),
    OpSpec("logical_or", 2, "x or y.", "whether {0} or {1}", _logic("logical_or")),
    OpSpec("logical_xor", 2, "x or y, not both.", "whether one of {0} and {1}, not both", _logic("logical_xor")),
    OpSpec("logical_not", 1, "not x.", "whether not {0}", _logic("logical_not")),
    OpSpec("where", 3, "x where the condition holds, y elsewhere.", "{1} where {0}, else {2}", _where),
    OpSpec("minimum", 2, "The smaller of x and y.", "the smaller of {0} and {1}", _choice("minimum", Interval.minimum)),
    OpSpec("maximum", 2, "The larger of x and y.", "the larger of {0} and {1}", _choice("maximum", Interval.maximum)),
    OpSpec(
        "clip",
        1,
        "min(max(x, lo), hi) for raw lo and hi.",
        "{0} kept within {lo} and {hi}",
        _clip,
        {"lo": "int", "hi": "int"},
    ),
    OpSpec(
        "aes128",
        2,
        "Blocks of 128 bits encrypted by AES-128 under a key; bit j, least significant first, of byte i is element "
        "8 i + j.",
        "{1} encrypted by AES-128 under the key {0}",
        _aes128,
        low_bits="hidden",
    ),
    # reductions
    OpSpec("sum", 1, "The sum over some axes.", "the sum of {0}", _sum, _REDUCE),
    OpSpec("cumsum", 1, "The running sum along one axis.", "the running sum of {0}", _cumsum, {"axis": "int"}),
    OpSpec("max", 1, "The largest element over some axes.", "the maximum of {0}", _extreme("max"), _REDUCE),
    OpSpec("min", 1, "The smallest element over some axes.", "the minimum of {0}", _extreme("min"), _REDUCE),
    OpSpec("any", 1, "Whether any element holds, over some axes.", "whether anywhere {0}", _quantifier("any"), _REDUCE),
    OpSpec(
        "all", 1, "Whether all elements hold, over some axes.", "whether everywhere {0}", _quantifier("all"), _REDUCE
    ),
    # rows and runs of them: flags `[n]` come first, then arrays `[n, ...]`; a run starts at row 0 and at each flag
    *(
        OpSpec(
            name,
            None,
            f"Whether a row differs from the one {side} in any of the keys, or is the {edge}.",
            f"whether {{all}} differs from the row {side}",
            _boundaries(name),
            low_bits="hidden",
        )
        for name, side, edge in (("run_starts", "before", "first"), ("run_ends", "after", "last"))
    ),
    OpSpec(
        "compress",
        None,
        "The rows of each array where the flag holds, in order, then zeros.",
        "the rows of {1} where {0}, then zeros",
        _compress,
        several=True,
    ),
    OpSpec(
        "shuffle_rows",
        None,
        "The rows of all arrays in one random order, which no party knows where they are secret.",
        "{0} in a random order",
        _shuffle_rows,
        several=True,
    ),
    OpSpec(
        "match_rows",
        None,
        "For each row of a second table whether a row of a first one, whose keys are unique, has equal keys; the "
        "arrays of that row, zeros where there is none; the arrays of the second. In one random order, which no party "
        "knows where they are secret. Operands are the flags of both tables, without which a row matches nothing, "
        "their keys, their arrays.",
        "whether rows have equal keys in {all}",
        _match_rows,
        {"keys": "int", "first": "int"},
        low_bits="hidden",
        several=True,
    ),
    OpSpec(
        "expand",
        None,
        "Row k of each array at the k-th place where the flag holds, zeros elsewhere.",
        "the rows of {1} at the places where {0}",
        _expand,
        several=True,
    ),
    OpSpec(
        "fill_forward",
        None,
        "For each row of each array the latest one where the flag holds, zeros before the first.",
        "{1} at the latest place where {0}",
        _fill_forward,
        several=True,
    ),
    OpSpec(
        "run_sums",
        None,
        "The sums of each array over each run of rows, then zeros.",
        "the sums of {1} over runs that start where {0}",
        _run_sums,
        several=True,
    ),
    OpSpec(
        "aggregate",
        None,
        "For each run the first row of each of the first `heads` arrays, the sums of the others, then zeros.",
        "the sums of {1} over runs that start where {0}",
        _aggregate,
        {"heads": "int"},
        several=True,
    ),
    OpSpec(
        "running_sum",
        None,
        "The running sums of each array, begun anew in each run of rows.",
        "the running sum of {1} over runs that start where {0}",
        _running_sum,
        several=True,
    ),
    *(
        OpSpec(
            name,
            2,
            f"{what} so far in each run of rows.",
            f"{words} over runs that start where {{0}}",
            _running(name, bits),
        )
        for name, bits, what, words in (
            ("running_max", False, "The largest element", "the running maximum of {1}"),
            ("running_min", False, "The smallest element", "the running minimum of {1}"),
            ("running_any", True, "Whether any element holds", "whether up to here anywhere {1}"),
            ("running_all", True, "Whether all elements hold", "whether up to here everywhere {1}"),
        )
    ),
    OpSpec(
        "one_hot",
        1,
        "A row of zeros with a one at the place that the element names.",
        "the one-hot code of {0}",
        _one_hot,
        {"size": "int"},
        low_bits="hidden",
    ),
    # types and shapes
    OpSpec(
        "cast",
        1,
        "Change the element type: bool and integers keep their value, integers become fixed exactly, fixed becomes an "
        "integer by an exact floor.",
        "{0} rounded down",
        _cast,
        {"dtype": "dtype"},
    ),
    OpSpec("reshape", 1, "The same elements in another shape.", "{0}", _reshape, {"shape": "shape"}),
    OpSpec("broadcast_to", 1, "Repeat along axes of length 1.", "{0} repeated", _broadcast_to, {"shape": "shape"}),
    OpSpec("transpose", 1, "Reorder the axes.", "{0} transposed", _transpose, {"axes": "ints"}),
    OpSpec(
        "getitem", 1, "Elements at a public index.", "{size} of the {total} values of {0}", _getitem, {"index": "index"}
    ),
    OpSpec(
        "take",
        1,
        "Elements at public positions along one axis.",
        "values picked from {0}",
        _take,
        {"indices": "ints", "axis": "int"},
    ),
    OpSpec("concat", None, "Join along an axis.", "{all} together", _concat, {"axis": "int"}),
    OpSpec("stack", None, "Join along a new axis.", "{all} together", _stack, {"axis": "int"}),
    OpSpec("flip", 1, "Reverse along one axis.", "{0}", _flip, {"axis": "int"}),
    OpSpec("sort", 1, "Sort along one axis.", "{0} sorted", _sort, _ORDER),
    OpSpec(
        "argsort", 1, "The positions that sort along one axis.", "the order of {0}", _argsort, _ORDER, low_bits="hidden"
    ),
    OpSpec(
        "lexsort",
        None,
        "The positions that sort along one axis by several keys, of which the first is the most significant.",
        "the order sorted by {all}",
        _lexsort,
        {"axis": "int", "descending": "ints", "strategy": "str"},
        low_bits="hidden",
    ),
    OpSpec(
        "sort_by",
        None,
        "Rows in the order of one or several keys; operands are the keys, the most significant first, then the rows.",
        "rows sorted by {all}",
        _sort_by,
        {"descending": "ints", "keys": "int", "strategy": "str"},
        several=True,
    ),
    OpSpec(
        "first_by",
        None,
        "The first rows in the order of one or several keys; operands as those of `sort_by`.",
        "the first rows sorted by {all}",
        _first_by,
        {"descending": "ints", "keys": "int", "size": "int", "strategy": "str"},
        several=True,
    ),
    OpSpec(
        "permute",
        2,
        "Elements along one axis at secret positions, which are a permutation.",
        "{1} rearranged by {0}",
        _permute,
        {"axis": "int"},
    ),
    OpSpec(
        "topk",
        1,
        "The k largest or smallest elements along one axis, the outermost first, and their positions.",
        "the {k} {extreme} of {0}",
        _topk,
        {"axis": "int", "k": "int", "largest": "bool", "strategy": "str"},
        several=True,
    ),
    OpSpec(
        "order_statistics",
        1,
        "The elements of some ranks along one axis: 0 is the smallest.",
        "{0}",
        _order_statistics,
        {"axis": "int", "ranks": "ints", "strategy": "str"},
    ),
    # regions
    OpSpec(
        "repeat",
        None,
        "Run a body a public number of times; operands are the carried values, then the captured ones.",
        "the outcome of a loop over {all}",
        _structural,
        {"trips": "int", "body": "region"},
        several=True,
    ),
    OpSpec(
        "result",
        1,
        "One of several results: of a `repeat`, a carried value after the last trip.",
        "{0}",
        _structural,
        {"index": "int"},
    ),
    OpSpec(
        "param",
        0,
        "An operand of the `repeat`, inside its body.",
        "a loop value",
        _structural,
        {"index": "int", "type": "type"},
        scope="body",
    ),
)

OPS: Final[dict[str, OpSpec]] = {spec.name: spec for spec in _SPECS}
"""Every operation, by name."""
