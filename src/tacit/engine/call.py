# SPDX-License-Identifier: Apache-2.0
"""One operation about to run: its operands, where it runs, and how they are brought to one place and shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from tacit.plan import Attrs, Public, Secret, TensorType, product_shift
from tacit.plan.types import RING_HI, RING_LO
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.shares import Arith, Bits, U64Array, unpack_plane

Value: TypeAlias = Arith | Bits


@dataclass(frozen=True)
class Call:
    """One node about to run: the box it runs on, its operands and their types, its own type and attributes."""

    box: BlackBox
    values: tuple[Value, ...]
    types: tuple[TensorType, ...]
    type: TensorType
    attrs: Attrs
    proven: tuple[bool, ...] = ()
    """Of each operand whether its interval follows from what parties checked: from no `assume`, and from no input that
    a client deals."""
    unfinished: bool = False
    """Whether the truncation of this product is left to its only user."""
    pending: int = 0
    """By how many bits operand 0 is still to be truncated."""

    def on(self, values: tuple[Value, ...]) -> Call:
        """The same node on other operands of the same types; what was found out of it once stays known."""
        call = object.__new__(Call)
        call.__dict__.update(self.__dict__)
        call.__dict__["values"] = values
        return call

    @cached_property
    def publics(self) -> tuple[bool, ...]:
        """Of each operand whether it is a public value among secrets, which linear operations use as it is."""
        return tuple(self.type.home == Secret() and t.home == Public() for t in self.types)

    def is_public(self, k: int) -> bool:
        """Whether operand k is a public value among secrets."""
        return self.publics[k]

    def public(self, k: int) -> U64Array:
        """The clear ring elements of operand k, 0 and 1 if it is boolean. Pre-condition: `is_public(k)`."""
        value = self.values[k]
        if isinstance(value, Bits):
            return unpack_plane(value.parts[0][0], value.size).reshape(value.shape).astype(np.uint64)
        return value.parts[0]

    def arith(self, k: int) -> Arith:
        """Operand k as it is."""
        value = self.values[k]
        assert isinstance(value, Arith)
        return value

    def lifted(self, k: int) -> Arith:
        """Operand k on the box of the node: a public one becomes shares."""
        return self.box.constant(self.public(k)) if self.publics[k] else self.arith(k)

    async def numbers(self, k: int) -> Arith:
        """As `lifted(k)`, of bits as numbers: at no cost where they are public."""
        if isinstance(self.values[k], Bits) and not self.is_public(k):
            return await self.box.b2a(self.bits(k, self.types[k].shape))
        return self.lifted(k)

    def spread(self, k: int, shape: tuple[int, ...] | None = None) -> Arith:
        """`lifted(k)` broadcast to the shape of the result."""
        return self.lifted(k).broadcast_to(self.type.shape if shape is None else shape)

    def bits(self, k: int, shape: tuple[int, ...] | None = None) -> Bits:
        """Boolean operand k on the box of the node, broadcast to the shape of the result."""
        value = self.values[k]
        assert isinstance(value, Bits)
        if self.is_public(k):
            value = self.box.constant_planes(value.shape, value.parts[0])
        target = self.type.shape if shape is None else shape
        return value if value.shape == target else value.elements(lambda p: np.broadcast_to(p, target))

    def bounds(self, k: int) -> tuple[int, int]:
        """The interval of operand k."""
        return self.types[k].interval.lo, self.types[k].interval.hi

    def safe_bounds(self, k: int) -> tuple[int, int]:
        """Bounds of operand k that opened comparisons may rely on: beyond them rows compare in circles, and the pattern
        tells of it.
        """
        return self.bounds(k) if self.proven[k] else (RING_LO, RING_HI)

    def wraps(self, i: int = 0, j: int = 1) -> bool:
        """Whether the difference of two operands may leave the ring."""
        difference = self.types[i].interval - self.types[j].interval
        return difference.lo < -(2**63) or difference.hi >= 2**63

    @cached_property
    def truncated(self) -> int:
        """By how many bits this product is truncated here."""
        return 0 if self.unfinished else product_shift(self.types, self.attrs)


Handler: TypeAlias = Callable[[Call], Awaitable[Value]]
"""What carries out an operation on the box of a call."""

Prepared: TypeAlias = Callable[..., Any]
"""What gives, of the operands, the value of a node or what to await for it."""

Local: TypeAlias = Callable[[Call], Callable[..., Value]]
"""What makes of a call without operands the function of them, for an operation that sends nothing."""

Several: TypeAlias = Callable[[Call], Awaitable[list[Value]]]
"""What carries out one with several results."""
