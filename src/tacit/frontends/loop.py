# SPDX-License-Identifier: Apache-2.0
"""Loops with a public number of trips: the body is traced once and becomes a region of the plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tacit.errors import InputError
from tacit.frontends.array import Owner, SecretArray
from tacit.frontends.encoding import raw_bounds
from tacit.frontends.graph import Record, close, loop_results, record
from tacit.frontends.operands import Operand, apply, arrays, astype, owner_of, public
from tacit.plan import DType, Home, Interval, TensorType, join


def loop(
    trips: int,
    body: Callable[..., Any],
    *carried: Operand,
    ranges: Sequence[tuple[float, float] | None] | None = None,
) -> SecretArray | tuple[SecretArray, ...]:
    """Apply `body` a public number of times to the carried values, and give their last values.

    `body` takes the carried values and returns the next ones, of the same shapes; it may use arrays from outside, and
    is traced rather than run, so it must not reveal and must do the same in every trip. `ranges` gives for each carried
    value bounds that hold in every trip (None: those of its initial value). What the body returns is taken to lie
    within them; where the plan cannot prove this, it lists it as an assumption.

    One carried value gives one array, several give a tuple. Raises `InputError` INPUT-109 where trips, ranges or what
    the body returns do not fit.
    """
    return repeat_body(owner_of(carried), trips, body, carried, ranges)


def repeat_body(
    owner: Owner,
    trips: int,
    body: Callable[..., Any],
    carried: Sequence[Operand],
    ranges: Sequence[tuple[float, float] | None] | None,
) -> SecretArray | tuple[SecretArray, ...]:
    """`loop` for a known owner."""
    if not isinstance(trips, int) or isinstance(trips, bool) or not 1 <= trips < 2**31:
        raise _unfit("a loop got a wrong number of trips", "a public integer from 1 to 2^31 - 1")
    declared = list(ranges) if ranges is not None else [None] * len(carried)
    if not carried or len(declared) != len(carried):
        raise _unfit("a loop got carried values and ranges that do not match", "one range, or None, for each value")
    values = [v if isinstance(v, SecretArray) else public(owner, v) for v in carried]
    while True:
        bounds = [_bounds(v, d) for v, d in zip(values, declared, strict=True)]
        homes = [v.home for v in values]
        while True:
            params = [_param(v, h, b) for v, h, b in zip(values, homes, bounds, strict=True)]
            got = body(*(SecretArray(owner, p) for p in params))
            outputs = arrays(SecretArray(owner, params[0]), *(got if isinstance(got, (tuple, list)) else (got,)))[1:]
            if [o.shape for o in outputs] != [v.shape for v in values]:
                raise _unfit(
                    f"the body of a loop returns shapes {[o.shape for o in outputs]}",
                    f"those of the carried values, {[v.shape for v in values]}",
                )
            wider = [join([h, o.home]) for h, o in zip(homes, outputs, strict=True)]
            if wider == homes:
                break
            homes = wider
        dtypes = [_joint(v.dtype, o.dtype) for v, o in zip(values, outputs, strict=True)]
        if dtypes == [v.dtype for v in values]:
            break
        values = [astype(v, d) for v, d in zip(values, dtypes, strict=True)]
    ends = [_within(astype(o, v.dtype), b) for o, v, b in zip(outputs, values, bounds, strict=True)]
    region, outer = close(trips, params, [e.node for e in ends])
    results = [SecretArray(owner, r) for r in loop_results(region, [*(v.node for v in values), *outer])]
    return results[0] if len(results) == 1 else tuple(results)


def _bounds(value: SecretArray, declared: tuple[float, float] | None) -> Interval:
    initial = value.node.type.interval
    if declared is None:
        return initial
    bounds = raw_bounds(*declared, value.dtype)
    if initial not in bounds:
        raise _unfit(
            "a carried value starts outside the range declared for the loop",
            "a range that holds before the first trip",
            "declare a wider one, or narrow the initial value with `clip`",
        )
    return bounds


def _param(value: SecretArray, home: Home, bounds: Interval) -> Record:
    type_ = TensorType(value.dtype, value.shape, home, bounds)
    # The index is the builder's affair: a parameter of an inner loop never meets one of an outer loop.
    return record("param", index=0, type=type_)


def _within(value: SecretArray, bounds: Interval) -> SecretArray:
    if value.node.type.interval in bounds:
        return value
    return apply("assume", value, lo=bounds.lo, hi=bounds.hi)


def _joint(carried: DType, next_: DType) -> DType:
    """The type that holds both what comes in and what goes out."""
    if carried == next_ or carried.is_fixed:
        return carried
    if next_.is_fixed or carried.kind == "bool":
        return next_
    return DType("int", 64)


def _unfit(what: str, expected: str, next: str = "") -> InputError:
    return InputError("INPUT-109", what, expected=expected, next=next)
