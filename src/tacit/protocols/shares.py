# SPDX-License-Identifier: Apache-2.0
"""One party's shares: containers that can be computed with linearly and never looked at.

`Arith` holds ring elements of Z_2^64, `Bits` holds bit planes over Z_2. Both are tuples of components of the same
shape; what the components mean is the protocol's affair (one for `plain`, two for `rep3`). Every linear operation
acts on each component alike, so it is written here once for all protocols. Adding a public constant is not linear
in this sense and lives on the black box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tacit.errors import SecretError

U64Array: TypeAlias = NDArray[np.uint64]
Public: TypeAlias = U64Array | int


def _u64(value: Public) -> U64Array | np.uint64:
    return np.uint64(value & (2**64 - 1)) if isinstance(value, int) else value


class _Shares:
    """What `Arith` and `Bits` share: no way to look at the contents."""

    __slots__ = ()

    def _refuse(self, *_: object) -> NoReturn:
        raise SecretError(
            "SECRET-001",
            "a share was used where a plain value is needed",
            expected="an operation of the black box",
            next="open it with a reveal node of the plan",
        )

    __bool__ = __int__ = __float__ = __index__ = __iter__ = __hash__ = _refuse
    __reduce__ = __getstate__ = __array__ = _refuse


class Arith(_Shares):
    """Shares of an array over Z_2^64; `parts` are u64 arrays of one shape."""

    __slots__ = ("parts",)

    def __init__(self, *parts: U64Array) -> None:
        for p in parts:
            if type(p) is not np.ndarray:
                # NumPy turns 0-d results into scalars, whose arithmetic warns when it wraps.
                parts = tuple(np.asarray(q) for q in parts)
                break
        self.parts = parts

    @property
    def shape(self) -> tuple[int, ...]:
        """The public shape."""
        return self.parts[0].shape

    @property
    def size(self) -> int:
        """The public number of elements."""
        return self.parts[0].size

    def __repr__(self) -> str:
        return f"Arith(shape={self.shape})"

    def map(self, linear: Callable[[U64Array], U64Array]) -> Arith:
        """Apply a function that is linear over Z_2^64 (reshape, take, sum, cumsum, ...) to each component."""
        return Arith(*[linear(p) for p in self.parts])

    def __add__(self, other: Arith) -> Arith:
        return Arith(*[a + b for a, b in zip(self.parts, other.parts, strict=True)])

    def __sub__(self, other: Arith) -> Arith:
        return Arith(*[a - b for a, b in zip(self.parts, other.parts, strict=True)])

    def __neg__(self) -> Arith:
        return self.map(np.negative)

    def __mul__(self, public: Public) -> Arith:
        """Multiply by public ring elements, broadcasting."""
        factor = _u64(public)
        return Arith(*(p * factor for p in self.parts))

    def __lshift__(self, bits: int) -> Arith:
        return self.map(lambda p: p << np.uint64(bits))

    def __getitem__(self, index: Any) -> Arith:
        """Public static indexing, as NumPy."""
        if isinstance(index, np.ndarray) and index.dtype.kind == "i":
            # The same, and up to eight times as fast where there are many rows.
            return self.map(lambda p: p.take(index, axis=0))
        return self.map(lambda p: np.asarray(p[index]))

    def reshape(self, shape: tuple[int, ...]) -> Arith:
        """The same elements in another shape."""
        return self.map(lambda p: p.reshape(shape))

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Arith:
        """Sum mod 2^64 over public axes."""
        return self.map(lambda p: np.asarray(p.sum(axis=axis, keepdims=keepdims, dtype=np.uint64)))

    def broadcast_to(self, shape: tuple[int, ...]) -> Arith:
        """NumPy broadcasting, as a view."""
        return self.map(lambda p: np.broadcast_to(p, shape))

    @staticmethod
    def concat(items: Sequence[Arith], axis: int = 0) -> Arith:
        """Join along an existing axis."""
        return Arith(*(np.concatenate(parts, axis=axis) for parts in zip(*(i.parts for i in items), strict=True)))

    @staticmethod
    def stack(items: Sequence[Arith], axis: int = 0) -> Arith:
        """Join along a new axis."""
        each = zip(*(i.parts for i in items), strict=True)
        # In front, that is an array of arrays; `np.stack` takes several times as long over few elements.
        return Arith(*(np.array(parts) if axis == 0 else np.stack(parts, axis=axis) for parts in each))


class Column(_Shares):
    """Flat x, of which rows are compared again and again."""

    def __init__(self, x: Arith) -> None:
        self.parts = tuple(np.ascontiguousarray(p) for p in x.parts)

    def __repr__(self) -> str:
        return "Column"

    @cached_property
    def known(self) -> U64Array:
        """The sum of all parts that this party holds."""
        return np.asarray(sum(self.parts[1:], self.parts[0]))


class Differences(Arith):
    """x[left] - x[right] for public positions, formed when its parts are asked for.

    A protocol that needs only some of them, or bits of their sum, takes these from `column` itself.
    """

    def __init__(self, column: Column, left: NDArray[np.intp], right: NDArray[np.intp]) -> None:
        self.column, self.left, self.right = column, left, right

    @cached_property
    def parts(self) -> tuple[U64Array, ...]:  # type: ignore[override]
        """The differences themselves."""
        return tuple(p.take(self.left) - p.take(self.right) for p in self.column.parts)

    @property
    def shape(self) -> tuple[int, ...]:
        """The public shape."""
        return self.left.shape

    @property
    def size(self) -> int:
        """The public number of elements."""
        return self.left.size


DIGIT: Final = 4
"""Bits of a digit."""


class Digits(_Shares):
    """Rows whose bits are cut into `count` digits, to be compared again and again.

    Each part is a `[rows, words]` array: shares of the digits in thermometer code, four to a word, or whatever a
    protocol compares by.
    """

    def __init__(self, count: int, *parts: U64Array) -> None:
        self.count = count
        self.parts = parts

    def __repr__(self) -> str:
        return f"Digits(rows={len(self.parts[0])}, count={self.count})"

    def __getitem__(self, rows: NDArray[np.intp]) -> Digits:
        """Rows at public positions."""
        return Digits(self.count, *(part.take(rows, axis=0) for part in self.parts))

    def __len__(self) -> int:
        return len(self.parts[0])

    @staticmethod
    def room(n: int, like: Digits) -> Digits:
        """n rows yet to be `put`, of the kind of these."""
        return Digits(like.count, *(np.empty((n, *part.shape[1:]), part.dtype) for part in like.parts))

    def put(self, start: int, rows: Digits) -> None:
        """Write rows from place `start` on."""
        for whole, part in zip(self.parts, rows.parts, strict=True):
            whole[start : start + len(part)] = part

    def arrange(self, rows: NDArray[np.intp]) -> None:
        """Put all rows in this order in place, one part after the other so that no two copies of all are held."""
        parts, self.parts = list(self.parts), ()
        for k in range(len(parts)):
            parts[k] = parts[k].take(rows, axis=0)
        self.parts = tuple(parts)


class Bits(_Shares):
    """Shares of an array of `width`-bit words over Z_2, bit-sliced.

    Each part is a `[width, words]` u64 array, words = ceil(size/64): bit i%64 of word i//64 of plane j is bit j
    (least significant first) of element i in row-major order of `shape`. Bits beyond `size` are arbitrary.
    """

    __slots__ = ("parts", "shape")

    def __init__(self, shape: tuple[int, ...], *parts: U64Array) -> None:
        self.shape = shape
        self.parts = parts

    @property
    def size(self) -> int:
        """The public number of elements."""
        return prod(self.shape)

    @property
    def width(self) -> int:
        """Bits per element."""
        return int(self.parts[0].shape[0])

    def __repr__(self) -> str:
        return f"Bits(shape={self.shape}, width={self.width})"

    def planes(self, linear: Callable[..., U64Array], *others: Bits, shape: tuple[int, ...] | None = None) -> Bits:
        """Apply a function that is linear over Z_2 to each `[width, words]` component, of this value and of others.

        The shape stays unless given.
        """
        parts = zip(self.parts, *(other.parts for other in others), strict=True)
        return Bits(self.shape if shape is None else shape, *(linear(*p) for p in parts))

    def __getitem__(self, bits: slice | int) -> Bits:
        """Select bit positions: `b[0]` the lowest bit, `b[8:16]` a byte."""
        if isinstance(bits, int):
            bits = slice(bits, bits + 1) if bits != -1 else slice(-1, None)
        return Bits(self.shape, *[p[bits] for p in self.parts])

    def __xor__(self, other: Bits) -> Bits:
        """Elementwise XOR; widths 1 broadcast."""
        return Bits(self.shape, *(a ^ b for a, b in zip(self.parts, other.parts, strict=True)))

    def mask(self, public: U64Array) -> Bits:
        """AND with public planes `[width or 1, words]`."""
        return self.planes(lambda p: p & public)

    def reshape(self, shape: tuple[int, ...]) -> Bits:
        """The same elements in another shape."""
        return Bits(shape, *self.parts)

    def piece(self, start: int, stop: int) -> Bits:
        """Elements `start` to `stop` in row-major order, flat; `start` begins a word."""
        words = slice(start // 64, words_of(stop))
        return Bits((stop - start,), *(np.ascontiguousarray(p[:, words]) for p in self.parts))

    def item(self, k: int) -> Bits:
        """Entry k along the first axis; without taking words apart where it begins and ends with one."""
        rest = self.shape[1:]
        words, part = divmod(prod(rest), 64)
        if part:
            return self.elements(lambda p: p[k])
        return Bits(rest, *[np.ascontiguousarray(p[:, k * words : (k + 1) * words]) for p in self.parts])

    def elements(self, linear: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Bits:
        """Apply a rearrangement (index, transpose, broadcast, repeat ...) to the elements.

        The function gets each plane as a u8 array of `shape` holding 0 or 1 and returns another arrangement of it.
        """
        shape: tuple[int, ...] | None = None
        parts = []
        for part in self.parts:
            rows = []
            for plane in part:
                out = np.asarray(linear(unpack_plane(plane, self.size).reshape(self.shape)))
                shape = out.shape
                rows.append(pack_plane(out.reshape(-1)))
            parts.append(np.stack(rows) if rows else part)
        return Bits(self.shape if shape is None else shape, *parts)

    @staticmethod
    def concat_bits(items: Sequence[Bits]) -> Bits:
        """Join words of several widths into wider words, the first item lowest."""
        return Bits(items[0].shape, *(np.concatenate(parts) for parts in zip(*(i.parts for i in items), strict=True)))

    @staticmethod
    def concat(items: Sequence[Bits], axis: int = 0) -> Bits:
        """Join elements along an existing axis; all of one width."""
        width = items[0].width
        if axis == 0 and not any(i.size % 64 for i in items[:-1]):
            # One after the other, words and all.
            whole = (sum(i.shape[0] for i in items), *items[0].shape[1:])
            words = zip(*(i.parts for i in items), strict=True)
            return Bits(whole, *(np.concatenate(parts, axis=1) for parts in words))
        shape: tuple[int, ...] = ()
        parts = []
        for component in range(len(items[0].parts)):
            rows = []
            for j in range(width):
                planes = [unpack_plane(i.parts[component][j], i.size).reshape(i.shape) for i in items]
                out = np.concatenate(planes, axis=axis)
                shape = out.shape
                rows.append(pack_plane(out.reshape(-1)))
            parts.append(np.stack(rows))
        return Bits(shape, *parts)


def words_of(n: int) -> int:
    """Number of 64-bit words that hold n bits."""
    return -(-n // 64)


def unpack_plane(plane: U64Array, n: int) -> NDArray[np.uint8]:
    """[words] u64 -> [n] u8 of 0 and 1."""
    return np.unpackbits(np.ascontiguousarray(plane).view(np.uint8), bitorder="little")[:n]


def pack_plane(bits: NDArray[np.uint8]) -> U64Array:
    """[n] u8 of 0 and 1 -> [words] u64, zero padded."""
    out = np.zeros(8 * words_of(bits.size), dtype=np.uint8)
    packed = np.packbits(bits, bitorder="little")
    out[: packed.size] = packed
    return out.view(np.uint64)
