# SPDX-License-Identifier: Apache-2.0
"""The types of a plan: what a value is, who may read it, and how large it can get.

All numbers live in Z_2^64 under a signed view. A `fixed(f)` number x is the integer x * 2^f; that integer is called
its raw value, and every interval is in raw values. `uint64` is not offered: its upper half has no place in the signed
view, and a value that changes sign by changing its type is the kind of surprise this package refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, Literal, TypeAlias

from tacit.errors import PlanError

RING_LO: Final = -(2**63)
RING_HI: Final = 2**63 - 1
FIXED_MAX: Final = 2**61
"""Largest raw magnitude of a fixed-point value."""
PRODUCT_MAX: Final = 2**62
"""Raw products before truncation stay strictly below this: truncation needs two slack bits."""
F_MAX: Final = 40
NDIM_MAX: Final = 16
ELEMENTS_MAX: Final = 2**40

OUT_OF_RANGE: Final = frozenset(["PLAN-003", "PLAN-009", "PLAN-011"])
"""Codes of errors which say that a value might not fit."""

Kind: TypeAlias = Literal["bool", "int", "uint", "fixed"]


@dataclass(frozen=True)
class DType:
    """An element type: `bool`, `int8..int64`, `uint8..uint32` or `fixed(f)` with 1 <= f <= 40 fractional bits.

    Raises `PlanError` PLAN-001 for any other combination.
    """

    kind: Kind
    bits: int
    f: int = 0

    def __post_init__(self) -> None:
        """Refuse what the ring cannot hold."""
        if self.kind == "fixed":
            good = self.bits == 64 and 1 <= self.f <= F_MAX
        else:
            good = self.f == 0 and self.bits in _BITS.get(self.kind, ())
        if not good:
            raise PlanError(
                "PLAN-001",
                f"there is no type of kind {self.kind!r} with {self.bits} bits and f = {self.f}",
                expected=_DTYPES,
                next="use int64 in place of uint64: the ring is Z_2^64 under a signed view",
            )

    @property
    def is_int(self) -> bool:
        """Whether this is a signed or unsigned integer type."""
        return self.kind in ("int", "uint")

    @property
    def is_fixed(self) -> bool:
        """Whether this is a fixed-point type."""
        return self.kind == "fixed"

    @property
    def range(self) -> Interval:
        """All raw values the type can hold."""
        if self.kind == "bool":
            return Interval(0, 1)
        if self.kind == "fixed":
            return Interval(-FIXED_MAX, FIXED_MAX)
        if self.kind == "uint":
            return Interval(0, 2**self.bits - 1)
        return Interval(-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1)

    def __str__(self) -> str:
        """The name, such as `int64` or `fixed(18)`; `DType.parse` is the inverse."""
        if self.kind == "fixed":
            return f"fixed({self.f})"
        return "bool" if self.kind == "bool" else f"{self.kind}{self.bits}"

    @staticmethod
    def parse(text: str) -> DType:
        """The type of that name. Raises `PlanError` PLAN-001."""
        match = re.fullmatch(r"fixed\(([1-9][0-9]?)\)", text)
        if match:
            return fixed(int(match[1]))
        if text in _NAMED:
            return _NAMED[text]
        raise PlanError("PLAN-001", f"there is no type named {text[:40]!r}", expected=_DTYPES)


def fixed(f: int = 18) -> DType:
    """The fixed-point type with f fractional bits: resolution 2^-f. Raises `PlanError` PLAN-001 unless 1 <= f <= 40."""
    return DType("fixed", 64, f)


def promote(dtypes: Sequence[DType], op: str) -> DType:
    """The smallest type that holds every value of `dtypes`. Raises `PlanError` PLAN-004 for a mixture of kinds."""
    first = dtypes[0]
    if all(d == first for d in dtypes):
        return first
    if all(d.is_int for d in dtypes):
        signed = max((d.bits for d in dtypes if d.kind == "int"), default=0)
        unsigned = max((d.bits for d in dtypes if d.kind == "uint"), default=0)
        if not signed:
            return DType("uint", unsigned)
        # A signed type holds every uintN only with more than N bits; N <= 32, so 64 is always enough.
        return DType("int", max(signed, 2 * unsigned))
    raise PlanError(
        "PLAN-004",
        f"`{op}` got operands of types {', '.join(map(str, dtypes))}",
        expected="one kind: all bool, all integers, or all fixed with the same f",
        next="add a `cast` to a common type first",
    )


# --- homes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Public:
    """Everyone may read the value."""

    def __str__(self) -> str:
        """`public`."""
        return "public"


@dataclass(frozen=True)
class Private:
    """Party `party` (an index into `plan.parties`) alone may read the value."""

    party: int

    def __str__(self) -> str:
        """`private(1)`."""
        return f"private({self.party})"


@dataclass(frozen=True)
class Secret:
    """Nobody may read the value: it is shared among the computing parties."""

    def __str__(self) -> str:
        """`secret`."""
        return "secret"


Home: TypeAlias = Public | Private | Secret


def join(homes: Iterable[Home]) -> Home:
    """The home of what is computed from values at `homes`.

    All public: public. Public values and those of one party p: private(p). Anything else: secret.
    """
    narrow = {h for h in homes if h != Public()}
    if not narrow:
        return Public()
    return narrow.pop() if len(narrow) == 1 else Secret()


def parse_home(text: str) -> Home:
    """The home whose `str` is `text`. Raises `PlanError` PLAN-002."""
    if text == "public":
        return Public()
    if text == "secret":
        return Secret()
    match = re.fullmatch(r"private\((0|[1-9][0-9]{0,4})\)", text)
    if match:
        return Private(int(match[1]))
    raise PlanError("PLAN-002", f"there is no home named {text[:40]!r}", expected="public, private(<party>) or secret")


# --- intervals ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """Inclusive bounds on the raw values of a tensor, in exact Python integers (so bounds themselves never wrap).

    Raises `PlanError` PLAN-003 if `lo > hi`.
    """

    lo: int
    hi: int

    def __post_init__(self) -> None:
        """Refuse an empty interval."""
        if self.lo > self.hi:
            raise PlanError("PLAN-003", f"the range [{self.lo}, {self.hi}] is empty", expected="lo <= hi")

    @property
    def magnitude(self) -> int:
        """The largest absolute value."""
        return max(abs(self.lo), abs(self.hi))

    def __contains__(self, other: Interval) -> bool:
        """Whether every value of `other` is in this interval."""
        return self.lo <= other.lo and other.hi <= self.hi

    def __add__(self, other: Interval) -> Interval:
        """Bounds of x + y."""
        return Interval(self.lo + other.lo, self.hi + other.hi)

    def __sub__(self, other: Interval) -> Interval:
        """Bounds of x - y."""
        return Interval(self.lo - other.hi, self.hi - other.lo)

    def __neg__(self) -> Interval:
        """Bounds of -x."""
        return Interval(-self.hi, -self.lo)

    def __mul__(self, other: Interval) -> Interval:
        """Bounds of x * y for unrelated x and y."""
        corners = (self.lo * other.lo, self.lo * other.hi, self.hi * other.lo, self.hi * other.hi)
        return Interval(min(corners), max(corners))

    def scale(self, factor: int) -> Interval:
        """Bounds of factor * x, and so of the sum of `factor` values if `factor >= 0`."""
        return self * Interval(factor, factor)

    def sum_of(self, n: int) -> Interval:
        """Bounds of the sum of n values, n >= 0."""
        return self.scale(n)

    def square(self) -> Interval:
        """Bounds of x * x."""
        magnitude = abs(self)
        return Interval(magnitude.lo**2, magnitude.hi**2)

    def __abs__(self) -> Interval:
        """Bounds of |x|."""
        low = 0 if self.lo <= 0 <= self.hi else min(abs(self.lo), abs(self.hi))
        return Interval(low, self.magnitude)

    def __or__(self, other: Interval) -> Interval:
        """The union's hull: bounds of a value that is either x or y."""
        return Interval(min(self.lo, other.lo), max(self.hi, other.hi))

    def minimum(self, other: Interval) -> Interval:
        """Bounds of min(x, y)."""
        return Interval(min(self.lo, other.lo), min(self.hi, other.hi))

    def maximum(self, other: Interval) -> Interval:
        """Bounds of max(x, y)."""
        return Interval(max(self.lo, other.lo), max(self.hi, other.hi))

    def clip(self, other: Interval) -> Interval:
        """Bounds of min(max(x, other.lo), other.hi): values outside `other` move to its nearer end."""
        return self.maximum(Interval(other.lo, other.lo)).minimum(Interval(other.hi, other.hi))

    def truncate(self, bits: int) -> Interval:
        """Bounds of x / 2^bits after truncation, exact (to the nearest) or not: both give the floor or floor + 1."""
        return Interval(self.lo >> bits, (self.hi >> bits) + 1) if bits else self


def default_interval(dtype: DType) -> Interval:
    """The range an input has unless its owner declares one.

    int64: +-2^31; fixed(f): +-2^12, that is +-2^(12+f) raw; every smaller type: all it can hold.
    """
    if dtype.is_fixed:
        return Interval(-(2 ** (12 + dtype.f)), 2 ** (12 + dtype.f))
    return Interval(-(2**31), 2**31) if dtype == INT64 else dtype.range


@dataclass(frozen=True)
class TensorType:
    """The static type of a value: element type, public shape, home, and bounds on the raw values.

    Raises `PlanError` PLAN-005 for a shape with a negative dimension, more than 16 dimensions or more than 2^40
    elements, and PLAN-003 for bounds that the element type cannot hold.
    """

    dtype: DType
    shape: tuple[int, ...]
    home: Home
    interval: Interval

    def __post_init__(self) -> None:
        """Refuse shapes out of bounds and intervals outside the element type."""
        # The product comes last: of a hostile shape it could be astronomic.
        small = len(self.shape) <= NDIM_MAX and all(0 <= d <= ELEMENTS_MAX for d in self.shape)
        if not small or prod(self.shape) > ELEMENTS_MAX:
            raise PlanError(
                "PLAN-005",
                f"the shape {_shape_text(self.shape)} is not possible",
                expected=f"at most {NDIM_MAX} dimensions, none negative, and at most 2^40 elements",
                next="compute on smaller blocks",
            )
        if self.interval not in self.dtype.range:
            raise PlanError(
                "PLAN-003",
                f"the range [{self.interval.lo}, {self.interval.hi}] does not fit {self.dtype}",
                expected=f"raw values within [{self.dtype.range.lo}, {self.dtype.range.hi}]",
                next="declare a smaller range, or use a wider type",
            )

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def __str__(self) -> str:
        """`fixed(18)[128, 30] secret |x| <= 2^9`."""
        return f"{self.dtype}[{', '.join(map(str, self.shape))}] {self.home}{_bound_text(self)}"


def power_of_two(magnitude: int) -> int:
    """The smallest k >= 0 with magnitude <= 2^k."""
    return (magnitude - 1).bit_length() if magnitude > 1 else 0


def _bound_text(t: TensorType) -> str:
    if t.dtype == BOOL:
        return ""
    magnitude = t.interval.magnitude
    return f" |x| <= 2^{power_of_two(magnitude) - t.dtype.f}" if magnitude else " x = 0"


def _shape_text(shape: tuple[int, ...]) -> str:
    text = ", ".join(str(d) if abs(d) < 2**64 else "…" for d in shape[:NDIM_MAX])
    return f"[{text}{', …' if len(shape) > NDIM_MAX else ''}]"


_BITS: Final[dict[str, tuple[int, ...]]] = {"bool": (1,), "int": (8, 16, 32, 64), "uint": (8, 16, 32)}
_DTYPES: Final = "bool, int8, int16, int32, int64, uint8, uint16, uint32, or fixed(f) with 1 <= f <= 40"

BOOL: Final = DType("bool", 1)
INT8: Final = DType("int", 8)
INT16: Final = DType("int", 16)
INT32: Final = DType("int", 32)
INT64: Final = DType("int", 64)
UINT8: Final = DType("uint", 8)
UINT16: Final = DType("uint", 16)
UINT32: Final = DType("uint", 32)
FIXED: Final = fixed(18)

_NAMED: Final = {str(d): d for d in (BOOL, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32)}
