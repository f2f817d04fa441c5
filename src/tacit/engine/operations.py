# SPDX-License-Identifier: Apache-2.0
"""Each operation of a plan as calls of the library: one handler for each, in the tables `LOCAL` and `HANDLERS`."""

from __future__ import annotations

import math
import operator
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from tacit.engine.call import Call, Handler, Local, Prepared, Several, Value
from tacit.engine.pieces import in_pieces
from tacit.library import aes, compare, fixed, groups, nonlinear, reduce, scan, select, shuffled, sort
from tacit.library.order import Key
from tacit.plan import numpy_index
from tacit.protocols.blackbox import MATMUL, MUL
from tacit.protocols.exchange import gather
from tacit.protocols.shares import Arith, Bits


def _add(c: Call) -> Callable[[Arith, Arith], Arith]:
    add_public = c.box.add_public
    if c.is_public(0):
        return lambda x, y: add_public(y, x.parts[0])
    if c.is_public(1):
        return lambda x, y: add_public(x, y.parts[0])
    return operator.add


def _sub(c: Call) -> Callable[[Arith, Arith], Arith]:
    add_public = c.box.add_public
    if c.is_public(0):
        return lambda x, y: add_public(-y, x.parts[0])
    if c.is_public(1):
        return lambda x, y: add_public(x, np.negative(y.parts[0]))
    return operator.sub


def _neg(_: Call) -> Callable[[Arith], Arith]:
    return operator.neg


async def _scaled(c: Call, product: Arith) -> Arith:
    """A product with a public operand, multiplied and truncated."""
    product = _times(product, c.attrs["numerator"])
    return await c.box.truncate(product, c.truncated, c.attrs["exact"]) if c.truncated else product


def _factors(c: Call) -> tuple[Arith, Arith]:
    """The operands of a product of secrets, the smaller one multiplied by the numerator."""
    x, y, numerator = c.lifted(0), c.lifted(-1), c.attrs["numerator"]
    if numerator == 1:
        return x, y
    return (_times(x, numerator), y) if x.size <= y.size else (x, _times(y, numerator))


def _times(x: Arith, numerator: int) -> Arith:
    return x if numerator == 1 else x * numerator


def _mul(c: Call) -> Awaitable[Value]:
    if True in c.publics:
        k = c.publics.index(True)
        return _scaled(c, c.arith(1 - k) * c.public(k))
    return fixed.mul(c.box, *_factors(c), c.truncated, c.attrs["exact"])


def _few_products(c: Call) -> Prepared | None:
    """The product of secrets itself where nothing comes before or after it, and there are few of them."""
    few = math.prod(c.type.shape) < c.box.network.least
    alone = few and True not in c.publics and c.attrs["numerator"] == 1 and not c.truncated
    return partial(c.box.bilinear, MUL) if alone else None


def _square(c: Call) -> Awaitable[Value]:
    # Its one operand is both.
    return fixed.mul(c.box, *_factors(c), c.truncated, c.attrs["exact"])


def _matmul(c: Call) -> Awaitable[Value]:
    if c.is_public(0):
        left = c.public(0)
        return _scaled(c, c.arith(1).map(lambda p: MATMUL.apply(left, p)))
    if c.is_public(1):
        right = c.public(1)
        return _scaled(c, c.arith(0).map(lambda p: MATMUL.apply(p, right)))
    return fixed.matmul(c.box, *_factors(c), c.truncated, c.attrs["exact"])


async def _conv2d(c: Call) -> Value:
    stride, padding = c.attrs["stride"], c.attrs["padding"]
    return await fixed.conv2d(
        c.box, *_factors(c), stride=stride, padding=padding, f=c.truncated, exact=c.attrs["exact"]
    )


async def _scale(c: Call) -> Value:
    return await fixed.scale(c.box, c.arith(0), c.attrs["numerator"], c.attrs["shift"], c.attrs["exact"])


async def _div(c: Call) -> Value:
    x, y, f = c.spread(0), c.spread(1), c.type.dtype.f
    return await nonlinear.divide(c.box, x, y, f, bounds=c.bounds(1), dividend=c.bounds(0), exact=c.attrs["exact"])


def _function(name: str) -> Handler:
    function = getattr(nonlinear, name)

    async def call(c: Call) -> Value:
        result: Value = await function(c.box, c.arith(0), c.type.dtype.f, bounds=c.bounds(0), exact=c.attrs["exact"])
        return result

    return call


async def _sigmoid(c: Call) -> Value:
    f, exact = c.type.dtype.f, c.attrs["exact"]
    return await nonlinear.sigmoid(c.box, c.arith(0), f, bounds=c.bounds(0), exact=exact, pending=c.pending)


async def _softmax(c: Call) -> Value:
    return await nonlinear.softmax(c.box, c.arith(0), c.type.dtype.f, bounds=c.bounds(0), exact=c.attrs["exact"])


async def _abs(c: Call) -> Value:
    return await compare.absolute(c.box, c.arith(0))


async def _lt(c: Call) -> Bits:
    return await compare.less(c.box, c.spread(0), c.spread(1), wraps=c.wraps())


async def _gt(c: Call) -> Bits:
    return await compare.less(c.box, c.spread(1), c.spread(0), wraps=c.wraps(1, 0))


async def _le(c: Call) -> Value:
    return c.box.invert(await _gt(c))


async def _ge(c: Call) -> Value:
    return c.box.invert(await _lt(c))


async def _eq(c: Call) -> Bits:
    return await compare.equal(c.box, c.spread(0), c.spread(1))


async def _ne(c: Call) -> Value:
    return c.box.invert(await _eq(c))


async def _and(c: Call) -> Value:
    return await c.box.and_(c.bits(0), c.bits(1))


async def _or(c: Call) -> Value:
    x, y = c.bits(0), c.bits(1)
    return c.box.invert(await c.box.and_(c.box.invert(x), c.box.invert(y)))


def _xor(c: Call) -> Callable[[Bits, Bits], Bits]:
    def call(*values: Bits) -> Bits:
        bits = c.on(values)
        return bits.bits(0) ^ bits.bits(1)

    return call


def _not(c: Call) -> Callable[[Bits], Bits]:
    return lambda x: c.box.invert(c.on((x,)).bits(0))


async def _aes128(c: Call) -> Value:
    return await aes.encrypt(c.box, c.bits(0, c.types[0].shape), c.bits(1))


async def _where(c: Call) -> Value:
    if c.type.dtype.kind == "bool":
        return await compare.select_bits(c.box, c.bits(0), c.bits(1), c.bits(2))
    return await compare.select(c.box, c.bits(0), c.spread(1), c.spread(2))


async def _minimum(c: Call) -> Value:
    return await compare.minimum(c.box, c.spread(0), c.spread(1), wraps=c.wraps())


async def _maximum(c: Call) -> Value:
    return await compare.maximum(c.box, c.spread(0), c.spread(1), wraps=c.wraps())


async def _clip(c: Call) -> Value:
    lo, hi = c.attrs["lo"], c.attrs["hi"]
    least, most = c.bounds(0)
    wraps = max(hi, most) - min(lo, least) >= 2**63
    return await compare.clip(c.box, c.arith(0), lo, hi, wraps=wraps)


def _sum(c: Call) -> Callable[[Arith], Arith]:
    axis, keepdims = c.attrs["axis"], c.attrs["keepdims"]
    return lambda x: x.sum(axis, keepdims)


def _cumsum(c: Call) -> Callable[[Arith], Arith]:
    axis = c.attrs["axis"]
    return lambda x: x.map(lambda p: np.cumsum(p, axis=axis, dtype=np.uint64))


def _extreme(reduction: Callable[..., Awaitable[Arith]]) -> Handler:
    async def call(c: Call) -> Value:
        lo, hi = c.bounds(0)
        value = _reduced_last(c.arith(0), c.attrs["axis"])
        return (await reduction(c.box, value, axis=-1, wraps=hi - lo >= 2**63)).reshape(c.type.shape)

    return call


def _quantifier(reduction: Callable[..., Awaitable[Bits]]) -> Handler:
    async def call(c: Call) -> Value:
        axes = c.attrs["axis"]
        bits = c.bits(0, c.types[0].shape).elements(lambda p: _axes_last(p, axes))
        return (await reduction(c.box, bits, axis=-1)).reshape(c.type.shape)

    return call


def _axes_last(p: Any, axes: tuple[int, ...]) -> Any:
    kept = [k for k in range(p.ndim) if k not in axes]
    moved = p.transpose(*kept, *axes)
    count = int(np.prod([p.shape[k] for k in axes], dtype=np.int64))
    return moved.reshape(*moved.shape[: len(kept)], count)


def _reduced_last(x: Arith, axes: tuple[int, ...]) -> Arith:
    return x.map(lambda p: _axes_last(p, axes))


async def _cast(c: Call) -> Value:
    value, source, target = c.values[0], c.types[0].dtype, c.type.dtype
    if isinstance(value, Bits):
        return value if target.kind == "bool" else await c.box.b2a(value)
    if target.is_fixed and not source.is_fixed:
        return value << target.f
    if source.is_fixed and not target.is_fixed:
        return await fixed.floor(c.box, value, source.f)
    return value


def _rearrangement(arrange: Callable[[Any, Mapping[str, Any]], Any]) -> Local:
    """Operations that move elements without looking at them."""

    def prepare(c: Call) -> Callable[[Value], Value]:
        attrs = c.attrs

        def call(value: Value) -> Value:
            if isinstance(value, Bits):
                return value.elements(lambda p: arrange(p, attrs))
            return value.map(lambda p: np.asarray(arrange(p, attrs)))

        return call

    return prepare


def _join(arith: Callable[..., Arith], stack: bool) -> Local:
    def join(c: Call) -> Value:
        axis = c.attrs["axis"]
        if c.type.dtype.kind != "bool":
            return arith([c.lifted(k) for k in range(len(c.values))], axis)
        items = [c.bits(k, t.shape) for k, t in enumerate(c.types)]
        if stack:
            items = [b.elements(lambda p: np.expand_dims(p, axis)) for b in items]
        return Bits.concat(items, axis)

    return lambda c: lambda *values: join(c.on(values))


def _shuffles(c: Call) -> bool:
    return bool(c.attrs["strategy"] == "shuffle")


def _key(c: Call, k: int, descending: bool) -> Key:
    """Operand k as a key to sort by."""
    return Key(c.lifted(k), c.safe_bounds(k) if _shuffles(c) else c.bounds(k), descending)


def _keys(c: Call, count: int) -> list[Key]:
    return [_key(c, k, bool(c.attrs["descending"][k])) for k in range(count)]


async def _sort(c: Call) -> Value:
    lo, hi = c.bounds(0)
    axis, descending = c.attrs["axis"], c.attrs["descending"]
    if _shuffles(c):
        return await shuffled.sort(c.box, c.arith(0), axis=axis, descending=descending, bounds=c.safe_bounds(0))
    return await sort.sort(c.box, c.arith(0), axis=axis, descending=descending, wraps=hi - lo >= 2**63)


async def _argsort(c: Call) -> Value:
    return await _order(c, [_key(c, 0, c.attrs["descending"])])


async def _lexsort(c: Call) -> Value:
    return await _order(c, _keys(c, len(c.values)))


async def _order(c: Call, keys: list[Key]) -> Arith:
    argsort = shuffled.argsort if _shuffles(c) else sort.argsort
    return await argsort(c.box, keys, axis=c.attrs["axis"])


async def _sort_by(c: Call) -> list[Value]:
    return await _rows_by_keys(c, shuffled.sort_rows if _shuffles(c) else sort.sort_rows)


async def _first_by(c: Call) -> list[Value]:
    first_rows = select.first_rows if _shuffles(c) else sort.first_rows
    return await _rows_by_keys(c, partial(first_rows, count=c.attrs["size"]))


async def _rows_by_keys(c: Call, ordered: Callable[..., Awaitable[list[Arith]]]) -> list[Value]:
    count = c.attrs["keys"]
    bits = [t.dtype.kind == "bool" for t in c.types[count:]]
    payload = list(await gather(*(c.numbers(count + k) for k in range(len(bits)))))
    done = await ordered(c.box, _keys(c, count), payload)
    back = iter(await gather(*(c.box.a2b(x, 1) for x, is_bit in zip(done, bits, strict=True) if is_bit)))
    return [next(back) if is_bit else x for x, is_bit in zip(done, bits, strict=True)]


async def _permute(c: Call) -> Value:
    index, x, axis = c.lifted(0), c.values[1], c.attrs["axis"]
    rows = await c.numbers(1)
    if index.shape == rows.shape:
        out = await shuffled.take_along(c.box, rows, index, axis=axis)
    else:
        out = await shuffled.take(c.box, rows.map(lambda p: np.moveaxis(p, axis, 0)), index)
        out = out.map(lambda p: np.moveaxis(p, 0, axis))
    return await c.box.a2b(out, 1) if isinstance(x, Bits) else out


async def _topk(c: Call) -> list[Value]:
    key, axis, k = _key(c, 0, c.attrs["largest"]), c.attrs["axis"], c.attrs["k"]
    if _shuffles(c):
        return list(await select.select(c.box, key, range(k), axis=axis))
    return list(await sort.first(c.box, key, k, axis=axis))


async def _order_statistics(c: Call) -> Value:
    key, axis, ranks = _key(c, 0, False), c.attrs["axis"], c.attrs["ranks"]
    if _shuffles(c):
        return (await select.select(c.box, key, ranks, axis=axis))[0]
    lo, hi = key.bounds
    return await sort.sort(c.box, key.values, axis=axis, wraps=hi - lo >= 2**63, ranks=ranks)


def _running_extreme(function: Callable[..., Awaitable[Arith]]) -> Handler:
    async def call(c: Call) -> Value:
        lo, hi = c.bounds(1)
        return await function(c.box, c.bits(0, c.types[0].shape), c.lifted(1), wraps=hi - lo >= 2**63)

    return call


def _running_quantifier(function: Callable[..., Awaitable[Bits]]) -> Handler:
    async def call(c: Call) -> Value:
        return await function(c.box, c.bits(0, c.types[0].shape), c.bits(1))

    return call


def _boundaries(function: Callable[..., Awaitable[Bits]]) -> Handler:
    async def call(c: Call) -> Value:
        columns: list[Value] = []
        for k, t in enumerate(c.types):
            shape = (t.shape[0], math.prod(t.shape[1:]))
            if t.dtype.kind == "bool":
                bits = c.bits(k, t.shape).reshape(shape)
                columns += [_column(bits, j) for j in range(shape[1])]
            else:
                rows = c.lifted(k).reshape(shape)
                columns += [rows[:, j] for j in range(shape[1])]
        return await function(c.box, *columns)

    return call


def _column(bits: Bits, j: int) -> Bits:
    return bits.elements(lambda p: p[:, j])


async def _one_hot(c: Call) -> Value:
    return await groups.one_hot(c.box, c.arith(0), c.attrs["size"])


def _assume(_: Call) -> Callable[[Value], Value]:
    return lambda x: x


LOCAL: Final[dict[str, Local]] = {
    "assume": _assume,
    "add": _add,
    "sub": _sub,
    "neg": _neg,
    "logical_xor": _xor,
    "logical_not": _not,
    "sum": _sum,
    "cumsum": _cumsum,
    "reshape": _rearrangement(lambda p, a: p.reshape(a["shape"])),
    "broadcast_to": _rearrangement(lambda p, a: np.broadcast_to(p, a["shape"])),
    "transpose": _rearrangement(lambda p, a: p.transpose(a["axes"])),
    "getitem": _rearrangement(lambda p, a: p[numpy_index(a["index"])]),
    "take": _rearrangement(lambda p, a: np.take(p, np.asarray(a["indices"], dtype=np.int64), axis=a["axis"])),
    "flip": _rearrangement(lambda p, a: np.flip(p, axis=a["axis"])),
    "concat": _join(Arith.concat, stack=False),
    "stack": _join(Arith.stack, stack=True),
}
"""Operations that send nothing."""

FEW: Final[dict[str, Callable[[Call], Prepared | None]]] = {"mul": _few_products}
"""Ways around a handler for calls with few elements, if they need nothing of what it does; else None."""

HANDLERS: Final[dict[str, Handler | Several]] = {
    "mul": in_pieces(_mul),
    "square": in_pieces(_square),
    "matmul": _matmul,
    "conv2d": _conv2d,
    "scale": in_pieces(_scale),
    "div": in_pieces(_div),
    **{name: in_pieces(_function(name)) for name in ("reciprocal", "sqrt", "rsqrt", "exp", "log", "tanh")},
    "sigmoid": in_pieces(_sigmoid),
    "softmax": _softmax,
    "abs": in_pieces(_abs),
    "lt": in_pieces(_lt),
    "le": in_pieces(_le),
    "gt": in_pieces(_gt),
    "ge": in_pieces(_ge),
    "eq": in_pieces(_eq),
    "ne": in_pieces(_ne),
    "logical_and": in_pieces(_and),
    "logical_or": in_pieces(_or),
    "aes128": in_pieces(_aes128, row=128),
    "where": in_pieces(_where),
    "minimum": in_pieces(_minimum),
    "maximum": in_pieces(_maximum),
    "clip": in_pieces(_clip),
    "max": _extreme(reduce.maximum),
    "min": _extreme(reduce.minimum),
    "any": _quantifier(reduce.any_),
    "all": _quantifier(reduce.all_),
    "cast": in_pieces(_cast),
    "sort": _sort,
    "argsort": _argsort,
    "lexsort": _lexsort,
    "sort_by": _sort_by,
    "first_by": _first_by,
    "permute": _permute,
    "topk": _topk,
    "order_statistics": _order_statistics,
    "run_starts": _boundaries(groups.run_starts),
    "run_ends": _boundaries(groups.run_ends),
    "running_max": _running_extreme(scan.maximum),
    "running_min": _running_extreme(scan.minimum),
    "running_any": _running_quantifier(scan.any_),
    "running_all": _running_quantifier(scan.all_),
    "one_hot": _one_hot,
}
