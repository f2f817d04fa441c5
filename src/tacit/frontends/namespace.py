# SPDX-License-Identifier: Apache-2.0
"""The array API namespace of a program: `xp = x.__array_namespace__()`.

It follows the Python array API standard (version 2024.12) as far as secrecy allows. `MISSING` names what is left out
of the standard, with the reason; docs/arrays.md is checked against both.
"""

from __future__ import annotations

from collections.abc import Callable
from math import e, inf, nan, pi
from typing import Any, Final

from tacit.errors import InputError
from tacit.frontends import arithmetic, cipher, groups, ordering, reductions, shaping
from tacit.frontends.array import API_VERSION, Owner, SecretArray
from tacit.frontends.creation import Creation
from tacit.frontends.encoding import as_dtype
from tacit.frontends.operands import astype as cast
from tacit.plan import BOOL, FIXED, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, DType


class FloatInfo:
    """What `finfo` tells of a fixed-point type: `bits`, `eps` (the resolution, 2^-f), `min`, `max`."""

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype
        self.bits = dtype.bits
        self.eps = self.smallest_normal = 2.0**-dtype.f
        self.min, self.max = dtype.range.lo / 2**dtype.f, dtype.range.hi / 2**dtype.f


class IntInfo:
    """What `iinfo` tells of an integer type: `bits`, `min`, `max`."""

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype
        self.bits = dtype.bits
        self.min, self.max = dtype.range.lo, dtype.range.hi


def astype(x: SecretArray, dtype: object, /, *, copy: bool = True, device: str | None = None) -> SecretArray:
    """Another element type; fixed point becomes an integer by floor, and bool by being other than zero.

    Raises `InputError` INPUT-101 for what is no element type, `PlanError` if the range of x does not fit.
    """
    return cast(x, as_dtype(dtype))


def isdtype(dtype: DType, kind: object) -> bool:
    """Whether an element type is of a kind, given as a type, the standard's name of a kind, or a tuple of these.

    Fixed point counts as "real floating".
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, DType):
        return dtype == kind
    if kind not in _KINDS:
        raise InputError("INPUT-106", "that is no kind of element types", expected=", ".join(_KINDS))
    return dtype.kind in _KINDS[str(kind)]


def result_type(*operands: object) -> DType:
    """The element type of arithmetic on these arrays, types and numbers: fixed point if any is, otherwise int64."""
    dtypes = [x.dtype if isinstance(x, SecretArray) else as_dtype(type(x) if _is_number(x) else x) for x in operands]
    if all(d == BOOL for d in dtypes):
        return BOOL
    return next((d for d in dtypes if d.is_fixed), INT64)


def can_cast(from_: SecretArray | DType, to: DType, /) -> bool:
    """Whether every value of one type is a value of the other."""
    given = from_.dtype if isinstance(from_, SecretArray) else from_
    if given in (to, BOOL):
        return True
    if to.is_fixed:
        return given.is_int and given.bits + to.f <= 61
    return given.is_int and to.is_int and given.range in to.range


def finfo(type: DType | SecretArray, /) -> FloatInfo:
    """Limits of a fixed-point type."""
    return FloatInfo(type.dtype if isinstance(type, SecretArray) else type)


def iinfo(type: DType | SecretArray, /) -> IntInfo:
    """Limits of an integer type."""
    return IntInfo(type.dtype if isinstance(type, SecretArray) else type)


class Info:
    """The standard's inspection of a namespace: what `__array_namespace_info__()` gives."""

    def capabilities(self) -> dict[str, bool | int | None]:
        """No boolean indexing by secrets and no shapes that depend on them; at most 16 dimensions."""
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 16}

    def default_device(self) -> str:
        """`parties`."""
        return "parties"

    def devices(self) -> list[str]:
        """`parties` alone."""
        return ["parties"]

    def default_dtypes(self, *, device: str | None = None) -> dict[str, DType]:
        """fixed(18) for numbers with a fraction, int64 for integers."""
        return {"real floating": FIXED, "integral": INT64, "indexing": INT64}

    def dtypes(self, *, device: str | None = None, kind: object = None) -> dict[str, DType]:
        """The element types by name."""
        return {name: d for name, d in _DTYPES.items() if kind is None or isdtype(d, kind)}


class Namespace:
    """The functions on arrays of one program, as attributes; see docs/arrays.md for the list."""

    __array_api_version__: Final = API_VERSION
    pi, e, inf, nan, newaxis = pi, e, inf, nan, None

    def __init__(self, owner: Owner) -> None:
        creation = Creation(owner)
        self._names: dict[str, Any] = {
            **FUNCTIONS,
            **{name: getattr(creation, name) for name in CREATION},
            **{"bool" if d == BOOL else name.split("(")[0]: d for name, d in _DTYPES.items()},
        }

    def __getattr__(self, name: str) -> Any:
        names = self.__dict__.get("_names", {})
        if name in names:
            return names[name]
        why = MISSING.get(name, "no such function in the array API standard, nor here")
        raise AttributeError(f"`{name}` is not offered on secrets: {why}")

    def __dir__(self) -> list[str]:
        return sorted([*self._names, "pi", "e", "inf", "nan", "newaxis"])

    def __repr__(self) -> str:
        return f"<array API namespace of tacit, {API_VERSION}>"

    def __array_namespace_info__(self) -> Info:
        """Capabilities, devices and element types."""
        return Info()


def _is_number(x: object) -> bool:
    return isinstance(x, (bool, int, float))


def _table(module: Any, names: str) -> dict[str, Callable[..., Any]]:
    return {name: getattr(module, name) for name in names.split()}


def _why(names: str, reason: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


CREATION: Final = (
    "arange",
    "asarray",
    "eye",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
)
"""Functions that make public arrays."""

FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    **_table(
        arithmetic,
        "add assume ceil clip conv2d divide equal exp floor floor_divide greater greater_equal less less_equal log"
        " logical_and logical_not logical_or logical_xor matmul maximum minimum multiply negative not_equal positive"
        " reciprocal remainder rsqrt sigmoid sign sqrt square subtract tanh trunc where",
    ),
    **_table(ordering, "lexsort median quantile sort_by take_along_axis topk"),
    **_table(
        reductions,
        "all any argmax argmin argsort count_nonzero cumulative_sum max mean min prod softmax sort std sum"
        " tensordot var vecdot",
    ),
    **_table(
        groups,
        "aggregate bincount compress expand fill_forward one_hot run_ends run_lengths run_starts run_sums running_all"
        " running_any running_max running_min running_sum segment_sum shuffle_rows unique_padded",
    ),
    **_table(
        shaping,
        "broadcast_arrays broadcast_to concat diff expand_dims flip getitem matrix_transpose moveaxis permute_dims"
        " repeat reshape roll squeeze stack take tril triu unstack",
    ),
    **_table(cipher, "aes128 aes128_ctr"),
    "abs": arithmetic.absolute,
    "pow": arithmetic.power,
    "astype": astype,
    "can_cast": can_cast,
    "finfo": finfo,
    "iinfo": iinfo,
    "isdtype": isdtype,
    "result_type": result_type,
}
"""Functions on arrays of any program, by their names in the namespace."""

EXTRA: Final = (
    "aes128",
    "aes128_ctr",
    "aggregate",
    "assume",
    "bincount",
    "compress",
    "conv2d",
    "expand",
    "fill_forward",
    "fixed",
    "getitem",
    "lexsort",
    "median",
    "one_hot",
    "quantile",
    "rsqrt",
    "run_ends",
    "run_lengths",
    "run_starts",
    "run_sums",
    "running_all",
    "running_any",
    "running_max",
    "running_min",
    "running_sum",
    "segment_sum",
    "shuffle_rows",
    "sigmoid",
    "softmax",
    "sort_by",
    "topk",
    "unique_padded",
)
"""Names beyond the standard (`getitem` is what `x[index]` calls)."""

_BITWISE: Final = "the bits of a secret integer are costly to reach; on bool use the logical functions"
_SHAPE: Final = "the shape of the result would disclose something about the elements"
_POSITION: Final = "it takes secret positions, and positions are public here"
_FUNCTION: Final = "no secure algorithm is built in yet"
_FLOAT: Final = "fixed point has no NaN, infinity, signed zero or neighbouring floats"
_COMPLEX: Final = "there are no complex numbers"

MISSING: Final[dict[str, str]] = {
    **_why("bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor", _BITWISE),
    **_why("nonzero unique_all unique_counts unique_inverse unique_values", _SHAPE),
    **_why("searchsorted", _POSITION),
    **_why(
        "acos acosh asin asinh atan atan2 atanh cos cosh expm1 hypot log10 log1p log2 logaddexp sin sinh tan", _FUNCTION
    ),
    **_why("copysign isfinite isinf isnan nextafter signbit", _FLOAT),
    **_why("complex64 complex128 conj imag real", _COMPLEX),
    "cumulative_prod": "products leave the range after a few elements",
    "empty": "use `zeros`: uninitialised memory has no place here",
    "empty_like": "use `zeros_like`: uninitialised memory has no place here",
    "float32": "use `fixed`: numbers with a fraction are fixed point",
    "float64": "use `fixed`: numbers with a fraction are fixed point",
    "from_dlpack": "use `asarray` with a NumPy array",
    "meshgrid": "use `broadcast_arrays`",
    "round": "use `floor(x + 0.5)`: ties to even would need another comparison",
    "tile": "use `concat`",
    "uint64": "use `int64`: the ring is Z_2^64 under a signed view",
}
"""What the standard has and the namespace has not, with the reason."""

_DTYPES: Final = {str(d): d for d in (BOOL, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, FIXED)}

_KINDS: Final = {
    "bool": ("bool",),
    "signed integer": ("int",),
    "unsigned integer": ("uint",),
    "integral": ("int", "uint"),
    "real floating": ("fixed",),
    "complex floating": (),
    "numeric": ("int", "uint", "fixed"),
}
