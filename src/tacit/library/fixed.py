# SPDX-License-Identifier: Apache-2.0
"""Fixed-point arithmetic: products with one truncation, scaling by public constants, convolution.

A fixed-point number x is the ring element x * 2^f. `f` is the number of bits by which a product is truncated; 0 means
integers. `exact` asks for correct rounding, for results that will be opened; see `BlackBox.truncate`. The raw product
must stay below 2^62, which the intervals of a plan guarantee.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import numpy as np

from tacit.protocols.blackbox import MATMUL, MUL, Bilinear, BlackBox
from tacit.protocols.shares import Arith, U64Array


def _product(box: BlackBox, op: Bilinear, x: Arith, y: Arith, f: int, exact: bool) -> Coroutine[Any, Any, Arith]:
    return box.bilinear_truncate(op, x, y, f, exact) if f else box.bilinear(op, x, y)


def mul(box: BlackBox, x: Arith, y: Arith, f: int, exact: bool = False) -> Coroutine[Any, Any, Arith]:
    """x * y elementwise, broadcasting."""
    return _product(box, MUL, x, y, f, exact)


def square(box: BlackBox, x: Arith, f: int, exact: bool = False) -> Coroutine[Any, Any, Arith]:
    """x * x."""
    return _product(box, MUL, x, x, f, exact)


def matmul(box: BlackBox, x: Arith, y: Arith, f: int, exact: bool = False) -> Coroutine[Any, Any, Arith]:
    """The matrix product as NumPy's `matmul`, with one truncation for each element of the result."""
    return _product(box, MATMUL, x, y, f, exact)


async def scale(box: BlackBox, x: Arith, numerator: int, shift: int, exact: bool = False) -> Arith:
    """x * numerator / 2^shift for public integers: local but for the truncation."""
    product = x * numerator
    return await box.truncate(product, shift, exact) if shift else product


async def floor(box: BlackBox, x: Arith, f: int) -> Arith:
    """floor(x / 2^f) as an integer, exactly."""
    # floor(x / 2^f) = round((x - 2^(f-1)) / 2^f) where a tie rounds up, as exact truncation does.
    return await box.truncate(box.add_public(x, -(1 << (f - 1))), f, exact=True)


async def conv2d(
    box: BlackBox,
    x: Arith,
    w: Arith,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    f: int,
    exact: bool = False,
) -> Arith:
    """Cross-correlation of images [N, C, H, W] with kernels [O, C, KH, KW], zero padded; [N, O, OH, OW].

    Patches are gathered locally (a linear map), then it is one matrix product: the cost of one truncated product for
    each element of the result.
    """
    n, out = x.shape[0], w.shape[0]
    kernel = (w.shape[2], w.shape[3])
    columns = x.map(lambda p: _patches(p, kernel, stride, padding))
    height = (x.shape[2] + 2 * padding[0] - kernel[0]) // stride[0] + 1
    width = (x.shape[3] + 2 * padding[1] - kernel[1]) // stride[1] + 1
    weights = w.map(lambda p: np.ascontiguousarray(p.reshape(out, -1).T))
    product = await matmul(box, columns, weights, f, exact)
    return product.map(lambda p: p.reshape(n, height, width, out).transpose(0, 3, 1, 2))


def _patches(p: U64Array, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> U64Array:
    """[N, C, H, W] -> [N * OH * OW, C * KH * KW]."""
    (ph, pw), (sh, sw) = padding, stride
    padded = np.pad(p, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))[:, :, ::sh, ::sw]
    n, c, oh, ow = windows.shape[:4]
    return np.ascontiguousarray(windows.transpose(0, 2, 3, 1, 4, 5)).reshape(n * oh * ow, c * kernel[0] * kernel[1])
