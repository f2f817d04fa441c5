# SPDX-License-Identifier: Apache-2.0
"""Operands: turning what a user passed into arrays of one program and one element type.

Promotion is the standard's within a kind. Between kinds: bool becomes int64, and integers become fixed point where
they meet a number with a fraction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InputError, SecretError
from tacit.frontends.array import Owner, SecretArray
from tacit.frontends.encoding import as_public, decode, natural_dtype
from tacit.frontends.graph import constant, constant_values, record, record_several
from tacit.plan import BOOL, FIXED, INT64, Attr, DType

Operand: TypeAlias = Any
"""A SecretArray, or a public number, sequence or NumPy array."""


def owner_of(operands: Iterable[object]) -> Owner:
    """The one program of the secret operands.

    Raises `InputError` INPUT-104 if they are of different programs, SECRET-015 if there is none.
    """
    owners = {id(x.program): x.program for x in operands if isinstance(x, SecretArray)}
    if len(owners) > 1:
        raise InputError(
            "INPUT-104",
            "these arrays belong to different sessions",
            expected="arrays of one session",
            next="reveal one of them, or bring both inputs into one session",
        )
    if not owners:
        raise SecretError(
            "SECRET-015",
            "none of the operands is a secret array",
            expected="at least one array of a session",
            next="use NumPy for what is public, or `session.constant(...)`",
        )
    return next(iter(owners.values()))


def apply(op: str, *operands: SecretArray, **attrs: Attr) -> SecretArray:
    """The result of one operation of the plan language. Raises `PlanError` as its typing rule does."""
    return SecretArray(operands[0].program, record(op, *(x.node for x in operands), **attrs))


def apply_several(op: str, *operands: SecretArray, **attrs: Attr) -> list[SecretArray]:
    """The results of one operation of the plan language with several. Raises `PlanError` as its typing rule does."""
    owner = operands[0].program
    return [SecretArray(owner, r) for r in record_several(op, *(x.node for x in operands), **attrs)]


def public(owner: Owner, values: object, dtype: DType | None = None) -> SecretArray:
    """A constant array; the type is the values' own unless given. Raises `InputError` INPUT-101 to -103."""
    array = as_public(values)
    return SecretArray(owner, constant(array, dtype or natural_dtype(array)))


def values_of(x: Operand) -> NDArray[Any] | None:
    """The NumPy values of a public operand that is known now, or None for a secret or one to be computed."""
    if not isinstance(x, SecretArray):
        return as_public(x)
    raw = constant_values(x.node)
    if raw is None:
        return None
    return np.asarray(decode(raw, x.dtype))


def arrays(*operands: Operand) -> list[SecretArray]:
    """The operands as arrays, each of its own type."""
    owner = owner_of(operands)
    return [x if isinstance(x, SecretArray) else public(owner, x) for x in operands]


def common(*operands: Operand) -> list[SecretArray]:
    """The operands as arrays of one kind: all integers, or all fixed point with one f; bool as integers.

    Public operands take the fixed type of the secret ones. Raises `InputError` INPUT-101 to -104, and `PlanError`
    PLAN-009 if an integer's range does not fit fixed point.
    """
    owner = owner_of(operands)
    known = [x if isinstance(x, SecretArray) else as_public(x) for x in operands]
    kinds = [x.dtype if isinstance(x, SecretArray) else natural_dtype(x) for x in known]
    own = [k for k, x in zip(kinds, known, strict=True) if isinstance(x, SecretArray) and k.is_fixed]
    target = own[0] if own else FIXED if any(k.is_fixed for k in kinds) else INT64
    return [_as_kind(owner, x, target) for x in known]


def _as_kind(owner: Owner, x: SecretArray | NDArray[Any], target: DType) -> SecretArray:
    if isinstance(x, SecretArray):
        return astype(x, target) if target.is_fixed or x.dtype == BOOL else x
    values = x.astype(np.int64) if x.dtype.kind == "b" else x
    return public(owner, values, target if target.is_fixed else None)


def astype(x: SecretArray, dtype: DType) -> SecretArray:
    """Another element type: bool to 0 and 1, integers to fixed exactly, fixed to integers by floor, to bool by != 0.

    Between fixed types of different f raises `PlanError` PLAN-004. Raises PLAN-009 if the range does not fit.
    """
    if x.dtype == dtype:
        return x
    if x.dtype == BOOL and dtype.is_fixed:
        x = apply("cast", x, dtype=INT64)
    if dtype == BOOL:
        return apply("ne", x, public(x.program, 0, x.dtype))
    return apply("cast", x, dtype=dtype)


def numbers(x: SecretArray) -> SecretArray:
    """bool as int64; numbers as they are."""
    return astype(x, INT64) if x.dtype == BOOL else x


def fixed_point(x: SecretArray) -> SecretArray:
    """Fixed point as it is, everything else as fixed(18)."""
    return x if x.dtype.is_fixed else astype(x, FIXED)
