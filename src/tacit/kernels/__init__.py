# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on buffers, in Rust: pseudorandom streams, Z_2^64, bit planes, GF(2^8), matrices, permutations.

Each function is one pass over its operands, without the GIL, and returns fresh NumPy arrays; only `trunc_exchange` and
`trunc_finish` complete those that `trunc_send` made. None of them communicates. `tests/reference/kernels.py` defines
every bit of every result; all CPU paths give the same bits.

- Elements are uint64, C-contiguous. Elementwise functions take any shape and return that shape; masks are drawn in
  row-major order.
- Packed data is flat uint8: `bits` bits per element, least significant first, no gaps, zero padding at the end.
- Bit planes are uint64 `[planes, words]`: bit i mod 64 of word i // 64 of plane j is bit j of element i.
- In replicated sharing x = x0 + x1 + x2 (or XOR), party p holds components p and p + 1 and shares one key with each
  neighbour: the arguments `x0, x1` and `ka, kb` are those pairs.
- Functions that take `me`, a party 0, 1 or 2, do its part of a step of protocols/rep3.py for all thirds of a vector: it
  has role 0 in third `me`, role 1 in the one before, role 2 in the one after, cyclically. What they take and return as
  `a, b`, `x0, x1` or `y0, y1` are whole vectors; messages are only the thirds that they are about.
- A mask is named by its key and `step`: reusing a step for two masks breaks the secrecy of both.

A wrong dtype raises `TypeError`; a wrong shape, length, range or memory order raises `ValueError`; both name the
argument. Time and memory accesses depend on shapes and public arguments only; `prg_permutation`, `gather`,
`difference_planes`, `rep3_less`, `segment_pairs` and `segment_parts` alone access memory at places, or sort, as an
argument says that their caller knows. A kernel runs in the calling thread alone unless that thread allows more
(`threads`); the bits do not depend on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tacit._native import (
    PrgKey,
    Rep3Line,
    add_prg,
    aes_layer,
    b2a_combine,
    b2a_send,
    carry_combine,
    carry_hot,
    cpu_features,
    difference_planes,
    force_path,
    from_planes,
    gather,
    gf256_mul,
    hot_rows,
    inject_combine,
    inject_send,
    look_up_rows,
    lut_combine,
    matmul,
    one_hot,
    pack,
    prg_permutation,
    prg_words,
    rep3_and,
    rep3_and_rows,
    rep3_gf256_mul,
    rep3_less,
    rep3_matmul,
    rep3_mul,
    reshare_planes,
    segment_pairs,
    segment_parts,
    sub_prg,
    thermometer_digits,
    to_planes,
    trunc_exchange,
    trunc_finish,
    trunc_send,
    unpack,
    use_threads,
    xor_prg,
)

__all__ = [
    "PrgKey",
    "Rep3Line",
    "add_prg",
    "aes_layer",
    "b2a_combine",
    "b2a_send",
    "carry_combine",
    "carry_hot",
    "cpu_features",
    "difference_planes",
    "force_path",
    "from_planes",
    "gather",
    "gf256_mul",
    "hot_rows",
    "inject_combine",
    "inject_send",
    "look_up_rows",
    "lut_combine",
    "matmul",
    "one_hot",
    "pack",
    "prg_permutation",
    "prg_words",
    "rep3_and",
    "rep3_and_rows",
    "rep3_gf256_mul",
    "rep3_less",
    "rep3_matmul",
    "rep3_mul",
    "reshare_planes",
    "segment_pairs",
    "segment_parts",
    "sub_prg",
    "thermometer_digits",
    "threads",
    "to_planes",
    "trunc_exchange",
    "trunc_finish",
    "trunc_send",
    "unpack",
    "use_threads",
    "xor_prg",
]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within it, the kernels that this thread calls may use `count` threads where they have much to do."""
    before = use_threads(count)
    try:
        yield
    finally:
        use_threads(before)
