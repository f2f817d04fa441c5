# SPDX-License-Identifier: Apache-2.0
"""SecretArray: an array that can be computed with and never looked at.

It is lazy: an operation records a node of a plan, and only `reveal` runs one. Shape, element type and home are public;
elements are not, and whatever would need them in the clear raises SECRET-010. As in the Python array API standard, an
operator or method is the function of that name in the array's namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, ClassVar, Final, NoReturn, Protocol

from tacit.errors import InputError, SecretError
from tacit.frontends.graph import Record
from tacit.plan import DType, Home

API_VERSION: Final = "2024.12"
"""The version of the array API standard that the namespace follows."""


class Owner(Protocol):
    """What an array needs of the program that it belongs to."""

    @property
    def namespace(self) -> Any:
        """The functions on this program's arrays."""

    def reveal(self, arrays: Sequence[SecretArray], to: int | str | None, purpose: str) -> list[Any]:
        """Run one plan that discloses these arrays to everyone, or to one party; their NumPy values."""


class SecretArray:
    """A lazy array whose elements only a `reveal` can show.

    Made by `Program.input` and `Program.constant` (of a session: `Session.input`, `load`, `constant`) and by
    computing. Immutable, hashed by identity.
    """

    __slots__ = ("__weakref__", "node", "program")

    __array_priority__: ClassVar[float] = 1000.0

    def __init__(self, program: Owner, node: Record) -> None:
        self.program = program
        self.node = node

    # --- what is public ---------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The public shape."""
        return self.node.type.shape

    @property
    def dtype(self) -> DType:
        """The element type, such as `int64` or `fixed(18)`."""
        return self.node.type.dtype

    @property
    def home(self) -> Home:
        """Where the elements may be read: public, private(p), or secret."""
        return self.node.type.home

    @property
    def range(self) -> tuple[float, float]:
        """Public bounds on the elements: those declared at the inputs, carried through the computation."""
        interval, scale = self.node.type.interval, 2**self.dtype.f
        if scale == 1:
            return interval.lo, interval.hi
        return interval.lo / scale, interval.hi / scale

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def device(self) -> str:
        """Where the array is computed, for the array API standard; there is one choice."""
        return "parties"

    def to_device(self, device: str, /, *, stream: None = None) -> SecretArray:
        """The array itself. Raises `InputError` INPUT-106 for a device other than "parties"."""
        if device != "parties" or stream is not None:
            raise InputError("INPUT-106", f"there is no device {str(device)[:40]!r}", expected="'parties'")
        return self

    def __len__(self) -> int:
        if not self.shape:
            raise InputError("INPUT-106", "len() of an array without axes", expected="at least one axis")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"SecretArray({self.dtype}, shape={self.shape}, {self.home})"

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The functions on arrays of this program, named as in the Python array API standard."""
        if api_version is not None and api_version > API_VERSION:
            raise InputError("INPUT-106", "this version of the array API is not supported", expected=API_VERSION)
        return self.program.namespace

    # --- disclosing -------------------------------------------------------------------------------------------

    def reveal(self, to: int | str | None = None, purpose: str = "result") -> Any:
        """Run the plan that discloses this array, and give its NumPy value (a scalar for shape `()`).

        `to` is the index or name of the only party that shall learn it, None for everyone; where that party is not
        served by this session the value is None. `purpose` is what the parties read in the disclosure list.
        Fixed point becomes float64, exactly up to 2^53 raw; integers and bool are exact.
        """
        return self.program.reveal([self], to, purpose)[0]

    # --- what a secret refuses --------------------------------------------------------------------------------

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise SecretError(
            "SECRET-010",
            "a secret was used where a plain value is needed",
            expected="an operation on secrets",
            next="choose with `where(condition, x, y)`, or disclose with `.reveal()`",
        )

    def __format__(self, spec: str) -> str:
        return repr(self) if not spec else self._refuse()

    __bool__ = __int__ = __float__ = __complex__ = __index__ = _refuse
    __array__ = __dlpack__ = __dlpack_device__ = __round__ = __trunc__ = __floor__ = __ceil__ = _refuse
    tolist = tobytes = item = _refuse

    def _no_pickle(self, *_: object) -> NoReturn:
        raise SecretError(
            "SECRET-011",
            "a secret array cannot be pickled",
            expected="use within its own session",
            next="send the plan instead, or disclose with `.reveal()`",
        )

    __reduce__ = __reduce_ex__ = __getstate__ = _no_pickle

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise SecretError(
            "SECRET-012",
            "secret arrays are immutable",
            expected="a new array",
            next="build it with `where` or `concat`",
        )

    def __copy__(self) -> SecretArray:
        return self

    def __deepcopy__(self, memo: object) -> SecretArray:
        return self

    # --- operators and methods: functions of the namespace ----------------------------------------------------

    def _call(self, name: str, *args: object, **kwargs: object) -> SecretArray:
        out: SecretArray = getattr(self.program.namespace, name)(*args, **kwargs)
        return out

    def __add__(self, other: object) -> SecretArray:
        return self._call("add", self, other)

    def __radd__(self, other: object) -> SecretArray:
        return self._call("add", other, self)

    def __sub__(self, other: object) -> SecretArray:
        return self._call("subtract", self, other)

    def __rsub__(self, other: object) -> SecretArray:
        return self._call("subtract", other, self)

    def __mul__(self, other: object) -> SecretArray:
        return self._call("multiply", self, other)

    def __rmul__(self, other: object) -> SecretArray:
        return self._call("multiply", other, self)

    def __truediv__(self, other: object) -> SecretArray:
        return self._call("divide", self, other)

    def __rtruediv__(self, other: object) -> SecretArray:
        return self._call("divide", other, self)

    def __floordiv__(self, other: object) -> SecretArray:
        return self._call("floor_divide", self, other)

    def __rfloordiv__(self, other: object) -> SecretArray:
        return self._call("floor_divide", other, self)

    def __mod__(self, other: object) -> SecretArray:
        return self._call("remainder", self, other)

    def __rmod__(self, other: object) -> SecretArray:
        return self._call("remainder", other, self)

    def __pow__(self, other: object) -> SecretArray:
        return self._call("pow", self, other)

    def __rpow__(self, other: object) -> SecretArray:
        return self._call("pow", other, self)

    def __matmul__(self, other: object) -> SecretArray:
        return self._call("matmul", self, other)

    def __rmatmul__(self, other: object) -> SecretArray:
        return self._call("matmul", other, self)

    def __neg__(self) -> SecretArray:
        return self._call("negative", self)

    def __pos__(self) -> SecretArray:
        return self._call("positive", self)

    def __abs__(self) -> SecretArray:
        return self._call("abs", self)

    def __invert__(self) -> SecretArray:
        return self._call("logical_not", self)

    def __and__(self, other: object) -> SecretArray:
        return self._call("logical_and", self, other)

    def __or__(self, other: object) -> SecretArray:
        return self._call("logical_or", self, other)

    def __xor__(self, other: object) -> SecretArray:
        return self._call("logical_xor", self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __lt__(self, other: object) -> SecretArray:
        return self._call("less", self, other)

    def __le__(self, other: object) -> SecretArray:
        return self._call("less_equal", self, other)

    def __gt__(self, other: object) -> SecretArray:
        return self._call("greater", self, other)

    def __ge__(self, other: object) -> SecretArray:
        return self._call("greater_equal", self, other)

    def __eq__(self, other: object) -> SecretArray:  # type: ignore[override]
        return self._call("equal", self, other)

    def __ne__(self, other: object) -> SecretArray:  # type: ignore[override]
        return self._call("not_equal", self, other)

    def __hash__(self) -> int:
        return id(self)

    def __contains__(self, value: object) -> NoReturn:
        self._refuse()

    def __getitem__(self, index: object) -> SecretArray:
        return self._call("getitem", self, index)

    def __iter__(self) -> Iterator[SecretArray]:
        return (self[k] for k in range(len(self)))

    @property
    def T(self) -> SecretArray:  # noqa: N802 (the standard's name)
        """The axes in reverse order."""
        return self._call("permute_dims", self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> SecretArray:  # noqa: N802 (the standard's name)
        """The last two axes swapped."""
        return self._call("matrix_transpose", self)

    def reshape(self, *shape: int | tuple[int, ...]) -> SecretArray:
        """The same elements in another shape, as one tuple or as several integers; one of them may be -1."""
        return self._call("reshape", self, shape[0] if len(shape) == 1 else shape)

    def flatten(self) -> SecretArray:
        """All elements along one axis, the last axis fastest."""
        return self._call("reshape", self, (-1,))

    def transpose(self, *axes: int | tuple[int, ...]) -> SecretArray:
        """The axes in the given order, by default reversed."""
        order = axes[0] if len(axes) == 1 and isinstance(axes[0], tuple) else axes
        return self._call("permute_dims", self, order) if axes else self.T

    def squeeze(self, axis: int | tuple[int, ...] | None = None) -> SecretArray:
        """Without axes of length 1: the given ones, by default all."""
        ones = tuple(k for k, d in enumerate(self.shape) if d == 1)
        return self._call("squeeze", self, axis=ones if axis is None else axis)

    def astype(self, dtype: object) -> SecretArray:
        """Another element type; fixed point becomes an integer by floor."""
        return self._call("astype", self, dtype)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> SecretArray:
        """The sum over some axes, by default all. Local."""
        return self._call("sum", self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> SecretArray:
        """The arithmetic mean, fixed point."""
        return self._call("mean", self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> SecretArray:
        """The variance: squared distances from the mean over n - correction."""
        return self._call("var", self, axis=axis, correction=correction, keepdims=keepdims)

    def std(self, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> SecretArray:
        """The standard deviation."""
        return self._call("std", self, axis=axis, correction=correction, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> SecretArray:
        """The smallest element."""
        return self._call("min", self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> SecretArray:
        """The largest element."""
        return self._call("max", self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> SecretArray:
        """The product."""
        return self._call("prod", self, axis=axis, keepdims=keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> SecretArray:
        """Whether any element is true or not zero."""
        return self._call("any", self, axis=axis, keepdims=keepdims)

    def all(self, axis: Axis = None, keepdims: bool = False) -> SecretArray:
        """Whether all elements are true or not zero."""
        return self._call("all", self, axis=axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> SecretArray:
        """The secret position of the first largest element."""
        return self._call("argmax", self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> SecretArray:
        """The secret position of the first smallest element."""
        return self._call("argmin", self, axis=axis, keepdims=keepdims)

    def clip(self, min: float | None = None, max: float | None = None) -> SecretArray:
        """Elements below `min` become `min`, those above `max` become `max`; the range narrows accordingly."""
        return self._call("clip", self, min, max)

    def assume(self, lo: float, hi: float) -> SecretArray:
        """The same values, taken to lie in [lo, hi] without a check. The plan lists this as an assumption.

        If it does not hold, later results may be garbage; `clip` is the checked way.
        """
        return self._call("assume", self, lo, hi)

    # --- NumPy ------------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: object, **kwargs: object) -> SecretArray:
        """NumPy's elementwise functions, such as `np.add(x, 1)` or `numpy_array + x`: lazily, or SECRET-014."""
        name = UFUNCS.get(ufunc.__name__)
        if method != "__call__" or kwargs or name is None:
            raise _not_offered(f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method}")
        return self._call(name, *inputs)

    def __array_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> Any:
        """NumPy's other functions, such as `np.where` or `np.concatenate`: lazily, or SECRET-014."""
        if func.__name__ in _PUBLIC_FACTS and len(args) == 1 and not kwargs:
            return getattr(args[0], func.__name__)
        name = FUNCTIONS.get(func.__name__)
        if name is None:
            raise _not_offered(f"np.{func.__name__}")
        renamed = {_KEYWORDS.get(k, k): v for k, v in kwargs.items()}
        if name in _AXIS_SECOND and len(args) == 2:
            args, renamed = args[:1], {"axis": args[1], **renamed}
        try:
            return getattr(self.program.namespace, name)(*args, **renamed)
        except TypeError as error:
            raise _not_offered(f"np.{func.__name__} with these arguments") from error


Axis = int | tuple[int, ...] | None
"""One axis, several, or None for all."""


def _not_offered(what: str) -> SecretError:
    return SecretError(
        "SECRET-014",
        f"{what} is not offered on secrets",
        expected="a function listed in docs/arrays.md",
        next="use the functions of `x.__array_namespace__()`",
    )


UFUNCS: Final[dict[str, str]] = {
    **{
        name: name
        for name in (
            "add",
            "subtract",
            "multiply",
            "divide",
            "floor_divide",
            "remainder",
            "negative",
            "positive",
            "square",
            "reciprocal",
            "sqrt",
            "exp",
            "log",
            "tanh",
            "sign",
            "floor",
            "ceil",
            "trunc",
            "less",
            "less_equal",
            "greater",
            "greater_equal",
            "equal",
            "not_equal",
            "logical_and",
            "logical_or",
            "logical_xor",
            "logical_not",
            "maximum",
            "minimum",
            "matmul",
            "vecdot",
        )
    },
    "absolute": "abs",
    "fabs": "abs",
    "power": "pow",
    "float_power": "pow",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "invert": "logical_not",
}
"""NumPy's universal functions that secrets take, with their names in the namespace."""

FUNCTIONS: Final[dict[str, str]] = {
    **{
        name: name
        for name in (
            "where",
            "stack",
            "reshape",
            "squeeze",
            "expand_dims",
            "broadcast_to",
            "flip",
            "roll",
            "repeat",
            "take",
            "moveaxis",
            "sum",
            "prod",
            "mean",
            "var",
            "std",
            "any",
            "all",
            "argmax",
            "argmin",
            "clip",
            "sort",
            "argsort",
            "lexsort",
            "median",
            "quantile",
            "take_along_axis",
            "diff",
            "tril",
            "triu",
            "tensordot",
            "astype",
        )
    },
    "concatenate": "concat",
    "transpose": "permute_dims",
    "amin": "min",
    "amax": "max",
    "min": "min",
    "max": "max",
    "cumsum": "cumulative_sum",
}
"""NumPy's other functions that secrets take, with their names in the namespace."""

_PUBLIC_FACTS: Final = ("shape", "ndim", "size")

# Where NumPy takes the axis as second argument by position, and the standard by keyword only.
_AXIS_SECOND: Final = frozenset(
    [
        "all",
        "any",
        "argmax",
        "argmin",
        "argsort",
        "concat",
        "cumulative_sum",
        "flip",
        "max",
        "mean",
        "median",
        "min",
        "prod",
        "sort",
        "stack",
        "std",
        "sum",
        "var",
    ]
)

_KEYWORDS: Final = {"ddof": "correction", "a_min": "min", "a_max": "max"}
