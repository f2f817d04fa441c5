# SPDX-License-Identifier: Apache-2.0
"""Public arrays of a program: NumPy makes them, the program holds them as constants."""

from __future__ import annotations

from math import prod
from typing import Any, Final

import numpy as np

from tacit.errors import InputError
from tacit.frontends.array import Owner, SecretArray
from tacit.frontends.encoding import as_dtype
from tacit.frontends.operands import astype, public
from tacit.frontends.shaping import broadcast_to

HELD: Final = 4096
"""Equal elements that are held one by one: what is held is known at once, and can be an index."""


class Creation:
    """The standard's creation functions, bound to one program."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def _make(self, values: Any, dtype: object) -> SecretArray:
        return public(self._owner, values, None if dtype is None else as_dtype(dtype))

    def _full(self, shape: int | tuple[int, ...], value: Any, dtype: object) -> SecretArray:
        """One value in every place, which the plan holds once where there are many."""
        if prod(shape if isinstance(shape, tuple) else (shape,)) <= HELD:
            return self._make(np.full(shape, value), dtype)
        return broadcast_to(self._make(np.asarray(value), dtype), shape if isinstance(shape, tuple) else (shape,))

    def asarray(
        self, obj: Any, /, *, dtype: object = None, device: str | None = None, copy: bool | None = None
    ) -> SecretArray:
        """A public array of these values; a secret array stays as it is, with its type changed if `dtype` is given."""
        if isinstance(obj, SecretArray):
            if obj.program is not self._owner:
                raise InputError("INPUT-104", "this array belongs to another session", expected="an array of this one")
            return obj if dtype is None else astype(obj, as_dtype(dtype))
        return self._make(obj, dtype)

    def zeros(self, shape: int | tuple[int, ...], *, dtype: object = float, device: str | None = None) -> SecretArray:
        """A public array of zeros."""
        return self._full(shape, 0, dtype)

    def ones(self, shape: int | tuple[int, ...], *, dtype: object = float, device: str | None = None) -> SecretArray:
        """A public array of ones."""
        return self._full(shape, 1, dtype)

    def full(
        self, shape: int | tuple[int, ...], fill_value: float, *, dtype: object = None, device: str | None = None
    ) -> SecretArray:
        """A public array of one value."""
        return self._full(shape, fill_value, dtype)

    def zeros_like(self, x: SecretArray, /, *, dtype: object = None, device: str | None = None) -> SecretArray:
        """Public zeros of the shape and type of x."""
        return self.zeros(x.shape, dtype=dtype or x.dtype)

    def ones_like(self, x: SecretArray, /, *, dtype: object = None, device: str | None = None) -> SecretArray:
        """Public ones of the shape and type of x."""
        return self.ones(x.shape, dtype=dtype or x.dtype)

    def full_like(
        self, x: SecretArray, /, fill_value: float, *, dtype: object = None, device: str | None = None
    ) -> SecretArray:
        """A public value in the shape and type of x."""
        return self._full(x.shape, fill_value, dtype or x.dtype)

    def arange(
        self,
        start: float,
        /,
        stop: float | None = None,
        step: float = 1,
        *,
        dtype: object = None,
        device: str | None = None,
    ) -> SecretArray:
        """Public evenly spaced values from `start` up to, not including, `stop`."""
        values = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
        return self._make(values, dtype)

    def linspace(
        self,
        start: float,
        stop: float,
        /,
        num: int,
        *,
        dtype: object = None,
        device: str | None = None,
        endpoint: bool = True,
    ) -> SecretArray:
        """`num` public evenly spaced values from `start` to `stop`."""
        return self._make(np.linspace(start, stop, num, endpoint=endpoint), dtype)

    def eye(
        self,
        n_rows: int,
        n_cols: int | None = None,
        /,
        *,
        k: int = 0,
        dtype: object = float,
        device: str | None = None,
    ) -> SecretArray:
        """A public matrix with ones on diagonal k and zeros elsewhere."""
        return self._make(np.eye(n_rows, n_cols, k, dtype=np.int64), dtype)
