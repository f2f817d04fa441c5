# SPDX-License-Identifier: Apache-2.0
"""AES-128 on bits that nobody sees, as everybody else computes it."""

from __future__ import annotations

import numpy as np

from tacit.errors import InputError
from tacit.frontends.arithmetic import logical_xor
from tacit.frontends.array import SecretArray
from tacit.frontends.operands import Operand, apply, arrays, owner_of, public
from tacit.frontends.shaping import getitem, reshape


def aes128(key: Operand, blocks: Operand, /) -> SecretArray:
    """Blocks of 128 bits, [..., 128] of bool, encrypted by AES-128 under one key, [128], or one for each block.

    The bits of a byte are in a row, the least significant first: `np.unpackbits(data, bitorder="little").astype(bool)`.
    Equal blocks under one key stay equal. 30 rounds, and 1,920 bytes per block between all parties. Raises `PlanError`
    PLAN-004 for what is not bool, PLAN-005 for other shapes.
    """
    return apply("aes128", *arrays(key, blocks))


def aes128_ctr(key: Operand, blocks: Operand, counter: bytes, /) -> SecretArray:
    """Blocks of 128 bits, [n, 128] of bool, encrypted or decrypted by AES-128 in counter mode from a public counter on.

    SP 800-38A: block i is combined with the encryption of `counter` + i, 16 bytes read as a big-endian number modulo
    2^128. A counter may be used once under a key. Bits, costs and errors as in `aes128`; raises `InputError` INPUT-106
    for a counter that is not 16 bytes.
    """
    key_bits, data = arrays(key, blocks)
    if not isinstance(counter, bytes) or len(counter) != 16:
        raise InputError("INPUT-106", "that is no counter of AES", expected="16 bytes")
    if data.ndim != 2:
        raise InputError("INPUT-106", f"counter mode got {data.ndim} dimensions", expected="blocks of shape [n, 128]")
    # Each counter has its upper bits from one table and its lower bits from another, so that the plan stays small.
    n, first = data.shape[0], int.from_bytes(counter, "big")
    split = n.bit_length() // 2
    start, end = first >> split, (first + n >> split) + 1
    upper = _bits([value << split for value in range(start, end)])
    lower = _bits(list(range(1 << split)))
    owner = owner_of([key_bits, data])
    counters = logical_xor(public(owner, upper[:, None]), public(owner, lower[None]))
    skipped = first - (start << split)
    numbers = getitem(reshape(counters, (-1, 128)), slice(skipped, skipped + n))
    return logical_xor(aes128(key_bits, numbers), data)


def _bits(numbers: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    data = b"".join((number % 2**128).to_bytes(16, "big") for number in numbers)
    return np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").reshape(-1, 128).astype(np.bool_)
