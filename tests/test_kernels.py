"""The native kernels give the bits of the reference on every path of this CPU and refuse what does not fit."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import kernels as ref
from tacit import kernels

SIZES = (0, 1, 63, 64, 65, 511, 512, 513, 1000, 4097)
BITS = (1, 2, 7, 8, 18, 31, 32, 33, 61, 63, 64)
KEY_A, KEY_B = bytes(range(16)), bytes(range(100, 116))
A, B = kernels.PrgKey(KEY_A), kernels.PrgKey(KEY_B)
REF_A, REF_B = ref.PrgKey(KEY_A), ref.PrgKey(KEY_B)
STEP = 0x0123_4567_89AB_CDEF


def available_paths() -> list[str]:
    """The paths that this CPU can be forced to."""
    found = []
    for name in ("portable", "avx2", "avx512"):
        try:
            kernels.force_path(name)
        except ValueError:
            continue
        found.append(name)
    kernels.force_path(None)
    return found


@pytest.fixture(params=available_paths())
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    kernels.force_path(request.param)
    yield request.param
    kernels.force_path(None)


def words(*shape: int, seed: int = 1) -> np.ndarray:
    """Uniform words with some extremes among them."""
    rng = np.random.default_rng([seed, *shape])
    x = rng.integers(0, 2**64, size=shape, dtype=np.uint64)
    flat = x.reshape(-1)
    for i, extreme in enumerate((0, 2**64 - 1, 1 << 63, (1 << 63) - 1)):
        flat[i::17] = extreme
    return x


def same(result: Any, expected: Any) -> None:
    """Equal arrays, or tuples of them, to the last bit, in shape, dtype and memory order."""
    if isinstance(expected, tuple):
        assert len(result) == len(expected)
        for r, e in zip(result, expected, strict=True):
            same(r, e)
        return
    assert result.dtype == expected.dtype
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, expected, strict=True)


# --- same bits as the reference -------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES)
def test_streams_are_aes_ctr_at_every_offset(path: str, n: int) -> None:
    for offset in (0, 1, 2, 63, 64, 129):
        same(kernels.prg_words(A, STEP, n, offset), ref.prg_words(REF_A, STEP, n, offset))
    same(kernels.prg_words(A, 0, n), ref.prg_words(REF_A, 0, n))
    same(kernels.prg_words(A, 2**64 - 1, n), ref.prg_words(REF_A, 2**64 - 1, n))


@pytest.mark.parametrize("n", SIZES)
def test_elementwise_kernels_match_the_reference(path: str, n: int) -> None:
    x0, x1, y0, y1 = (words(n, seed=s) for s in range(4))

    same(kernels.rep3_mul(x0, x1, y0, y1, A, B, STEP), ref.rep3_mul(x0, x1, y0, y1, REF_A, REF_B, STEP))
    same(kernels.rep3_and(x0, x1, y0, y1, A, B, STEP), ref.rep3_and(x0, x1, y0, y1, REF_A, REF_B, STEP))
    same(kernels.add_prg(x0, A, STEP), ref.add_prg(x0, REF_A, STEP))
    same(kernels.sub_prg(x0, A, STEP), ref.sub_prg(x0, REF_A, STEP))
    same(kernels.xor_prg(x0, A, STEP), ref.xor_prg(x0, REF_A, STEP))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("i", "j"), [(0, 0), (0, 1), (2, 1), (4, 0), (7, 7)])
def test_products_of_bytes_match_the_reference(path: str, n: int, i: int, j: int) -> None:
    x0, x1, y0, y1 = (words(n, seed=s) for s in range(4))

    same(kernels.gf256_mul(x0, y0, i, j), ref.gf256_mul(x0, y0, i, j))
    expected = ref.rep3_gf256_mul(x0, x1, y0, y1, i, j, REF_A, REF_B, STEP)
    same(kernels.rep3_gf256_mul(x0, x1, y0, y1, i, j, A, B, STEP), expected)
    # One operand in both places, as a cube has it.
    same(
        kernels.rep3_gf256_mul(x0, x1, x0, x1, i, j, A, B, 1), ref.rep3_gf256_mul(x0, x1, x0, x1, i, j, REF_A, REF_B, 1)
    )


@pytest.mark.parametrize("n", [0, 2, 4, 6, 8, 10, 16, 510, 512, 514, 1026, 4098])
@pytest.mark.parametrize("mix", [False, True])
def test_layers_of_aes_match_the_reference(path: str, n: int, mix: bool) -> None:
    x, keys = words(n, seed=1), words(n, seed=2)

    same(kernels.aes_layer(x, keys, mix), ref.aes_layer(x, keys, mix))
    same(kernels.aes_layer(x, words(2), mix), ref.aes_layer(x, words(2), mix))


@pytest.mark.parametrize("shape", [(), (0, 5), (3, 70), (2, 3, 4)])
def test_elementwise_kernels_keep_any_shape_and_draw_masks_in_row_major_order(
    path: str, shape: tuple[int, ...]
) -> None:
    x0, x1, y0, y1 = (words(*shape, seed=s) for s in range(4))
    flat = [v.reshape(-1) for v in (x0, x1, y0, y1)]

    same(kernels.rep3_and(x0, x1, y0, y1, A, B, 3), ref.rep3_and(x0, x1, y0, y1, REF_A, REF_B, 3))
    same(kernels.xor_prg(x0, A, 3), ref.xor_prg(x0, REF_A, 3))
    if shape:
        same(kernels.gf256_mul(x0, y0, 1, 2), ref.gf256_mul(x0, y0, 1, 2))
        product = ref.rep3_gf256_mul(x0, x1, y0, y1, 1, 2, REF_A, REF_B, 3)
        same(kernels.rep3_gf256_mul(x0, x1, y0, y1, 1, 2, A, B, 3), product)
    same(kernels.rep3_mul(x0, x1, y0, y1, A, B, 3), ref.rep3_mul(*flat, REF_A, REF_B, 3).reshape(shape))
    same(kernels.add_prg(x0, A, 3), ref.add_prg(flat[0], REF_A, 3).reshape(shape))
    same(kernels.sub_prg(x0, A, 3), ref.sub_prg(flat[0], REF_A, 3).reshape(shape))


@pytest.mark.parametrize(
    ("m", "k", "n"),
    [
        (0, 3, 4),
        (3, 0, 4),
        (3, 4, 0),
        (1, 1, 1),
        (1, 1000, 1),
        (1, 300, 17),
        (4, 129, 33),
        (5, 127, 1),
        (5, 1, 5),
        (12, 128, 16),
        (13, 64, 17),
        (13, 65, 15),
        (33, 40, 20),
        (97, 700, 530),
        (100, 257, 31),
        (193, 130, 40),
        (7, 9, 1030),
    ],
)
def test_matrix_products_match_the_reference(path: str, m: int, k: int, n: int) -> None:
    x0, x1, y0, y1 = words(m, k, seed=1), words(m, k, seed=2), words(k, n, seed=3), words(k, n, seed=4)

    same(kernels.matmul(x0, y0), ref.matmul(x0, y0))
    for me in range(3):
        expected = ref.rep3_matmul(x0, x1, y0, y1, REF_A, REF_B, STEP, me)
        for count in (1, 3):
            with kernels.threads(count):
                same(kernels.rep3_matmul(x0, x1, y0, y1, A, B, STEP, me), expected)


@pytest.mark.parametrize("k", [1, 2, 31, 32, 33, 100])
def test_the_parts_of_a_replicated_product_add_up_to_it(k: int) -> None:
    x, y = ([words(*shape, seed=s) for s in range(3)] for shape in ((7, k), (k, 18)))

    keys = [A, B, kernels.PrgKey(bytes(16))]
    parts = [kernels.rep3_matmul(x[p], x[p - 2], y[p], y[p - 2], keys[p], keys[p - 2], 5, p) for p in range(3)]

    np.testing.assert_array_equal(sum(parts), sum(x) @ sum(y))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("bits", BITS)
def test_planes_and_packing_match_the_reference_and_invert(path: str, n: int, bits: int) -> None:
    x = words(n)
    low = x & np.uint64((1 << bits) - 1)

    planes = kernels.to_planes(x, bits)
    same(planes, ref.to_planes(x, bits))
    same(kernels.from_planes(planes, n), low)
    data = kernels.pack(x, bits)
    same(data, ref.pack(x, bits))
    same(kernels.unpack(data, n, bits), low)


@pytest.mark.parametrize("n", SIZES)
def test_planes_with_junk_beyond_the_end_and_unused_words_are_read_as_the_reference_reads_them(
    path: str, n: int
) -> None:
    for bits in (1, 9, 64):
        planes = words(bits, -(-n // 64) + 11)
        same(kernels.from_planes(planes, n), ref.from_planes(planes, n))
        assert not (kernels.from_planes(planes, n) >> np.uint64(bits - 1) >> np.uint64(1)).any()


def test_a_number_of_no_bits_has_no_planes_and_reads_as_zero(path: str) -> None:
    same(kernels.to_planes(words(65), 0), np.zeros((0, 2), dtype=np.uint64))
    same(kernels.from_planes(np.zeros((0, 2), dtype=np.uint64), 65), np.zeros(65, dtype=np.uint64))


def test_padding_bits_of_packed_data_are_ignored(path: str) -> None:
    data = np.array([0xFF], dtype=np.uint8)
    same(kernels.unpack(data, 1, 3), np.array([7], dtype=np.uint64))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("g", [1, 2, 3, 5, 8, 9])
def test_one_hot_and_look_up_match_the_reference(path: str, n: int, g: int) -> None:
    w = -(-n // 64)
    planes, digit, hot = words(g, w, seed=1), words(g, w, seed=2), words(2**g - 1, w, seed=3)

    same(kernels.one_hot(planes), ref.one_hot(planes))
    for out_bits in (1, 13, 64):
        table = words(2**g, seed=out_bits)
        for first in (False, True):
            expected = ref.lut_combine(hot, digit, table, out_bits, first)
            same(kernels.lut_combine(hot, digit, table, out_bits, first), expected)


def test_look_up_reconstructs_the_table(path: str) -> None:
    delta, digit, table = words(4, 3, seed=1), words(4, 3, seed=2), words(16, seed=3)
    share = words(15, 3, seed=4)
    other = kernels.one_hot(delta) ^ share

    out = kernels.lut_combine(share, digit, table, 64, True) ^ kernels.lut_combine(other, digit, table, 64, False)

    index = kernels.from_planes(delta ^ digit, 192)
    same(kernels.from_planes(out, 192), table[index])


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 130])
@pytest.mark.parametrize(("g", "drop"), [(6, 0), (7, 63), (9, 13), (11, 40)])
def test_rows_and_their_look_up_match_the_reference(path: str, n: int, g: int, drop: int) -> None:
    c, r, table = words(n, seed=1), words(n, seed=2), words(2**g, seed=3)
    # Entries that are alike in whole words, of two kinds, and some in which only one differs.
    table[2 ** (g - 1) :] = table[-1]
    table[: 2 ** (g - 2)] = table[0]
    table[5] += np.uint64(1)

    rows = kernels.hot_rows(c, drop, g)
    same(rows, ref.hot_rows(c, drop, g))
    share = words(*rows.shape, seed=4)
    parts = [kernels.look_up_rows(hot, r, drop, table) for hot in (share, rows ^ share)]
    same(parts[0], ref.look_up_rows(share, r, drop, table))
    index = ((c >> np.uint64(drop)) + (r >> np.uint64(drop))) & np.uint64(2**g - 1)
    same(parts[0] ^ parts[1], table[index])


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 18, 63, 64])
@pytest.mark.parametrize("digit", [1, 2, 3, 4, 5, 8])
def test_carry_kernels_match_the_reference(path: str, n: int, bits: int, digit: int) -> None:
    planes, r = words(bits, -(-n // 64), seed=1), words(bits, -(-n // 64), seed=2)

    hot = kernels.carry_hot(planes, digit)
    same(hot, ref.carry_hot(planes, digit))
    for first in (False, True):
        for carried in (False, True):
            want = ref.carry_combine(hot, r, first, carried, digit)
            same(kernels.carry_combine(hot, r, first, carried, digit), want)


def test_digits_have_three_bits_unless_said_otherwise(path: str) -> None:
    planes, r = words(64, 3, seed=1), words(64, 3, seed=2)

    hot = kernels.carry_hot(planes)
    same(hot, ref.carry_hot(planes, 3))
    same(kernels.carry_combine(hot, r, True), ref.carry_combine(hot, r, True, False, 3))


KEYS = [kernels.PrgKey(bytes([j]) * 16) for j in range(3)]
REF_KEYS = [ref.PrgKey(bytes([j]) * 16) for j in range(3)]


def pairs(parts: list[Any]) -> list[tuple[Any, Any]]:
    """What each of three parties holds of three components."""
    return [(parts[me], parts[(me + 1) % 3]) for me in range(3)]


def replicated(y: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The value of a replicated sharing, asserted to be one."""
    for me in range(3):
        np.testing.assert_array_equal(y[me][1], y[(me + 1) % 3][0])
    return y[0][0] + y[1][0] + y[2][0]


def completed(y: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """A resharing after its exchange: component 2 is what roles 1 and 2 sent each other, added up."""
    n = y[0][0].size
    for turn in range(3):
        one, two, e = (turn + 1) % 3, (turn + 2) % 3, ref.third(turn, 0, n)[1]
        total = y[one][1][e] + y[two][0][e]
        y[one][1][e] = y[two][0][e] = total
    return y


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("f", [1, 2, 18, 32, 33, 61])
def test_truncation_matches_the_reference_at_every_party_and_is_right(path: str, n: int, exact: bool, f: int) -> None:
    x = np.random.default_rng(n).integers(-(2**62) + 1, 2**62, size=n, dtype=np.int64)
    x0, x1 = words(n, seed=1), words(n, seed=2)
    held, keys, ref_keys = pairs([x0, x1, x.view(np.uint64) - x0 - x1]), pairs(KEYS), pairs(REF_KEYS)

    results, expected = ([], [])
    for me in range(3):
        results.append(kernels.trunc_send(me, *held[me], f, exact, *keys[me], STEP))
        expected.append(ref.trunc_send(me, *held[me], f, exact, *ref_keys[me], STEP))
        e = ref.third(me, 0, n)[1]
        same(results[me][2], expected[me][2])
        for part, want in zip(results[me][:2], expected[me][:2], strict=True):
            same(part[e], want[e])
    y, z = ([r[:2] for r in rs] for rs in (results, expected))
    messages = [r[2] for r in results]
    sent = [kernels.trunc_exchange(me, *y[me], *held[me], messages[me - 1], f, *keys[me], STEP) for me in range(3)]
    for me in range(3):
        same(sent[me], ref.trunc_exchange(me, *z[me], *held[me], messages[me - 1], f, *ref_keys[me], STEP))
    for me in range(3):
        arrived = sent[(me + 1) % 3][1], sent[me - 1][0]
        kernels.trunc_finish(me, *y[me], *held[me], *sent[me], *arrived, f)
        ref.trunc_finish(me, *z[me], *held[me], *sent[me], *arrived, f)
        same(y[me], z[me])

    result = replicated(y).view(np.int64)
    # Exact: one more than floor or floor + 1 of c rounded to the nearest, before the carry of the low bits is added.
    assert np.isin(result - (x >> f), (0, 1, 2) if exact else (0, 1)).all()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("width", [1, 2, 31, 64])
def test_words_of_bits_become_numbers_as_in_the_reference(path: str, n: int, width: int) -> None:
    planes = [words(width, -(-n // 64), seed=s) for s in range(3)]
    held, keys, ref_keys = pairs(planes), pairs(KEYS), pairs(REF_KEYS)

    messages = [kernels.b2a_send(me, n, *held[me], keys[me][0], STEP) for me in range(3)]
    y = []
    for me in range(3):
        same(messages[me], ref.b2a_send(me, n, *held[me], ref_keys[me][0], STEP))
        y.append(kernels.b2a_combine(me, n, *held[me], messages[me - 1], *keys[me], STEP, 5))
        same(y[me], ref.b2a_combine(me, n, *held[me], messages[me - 1], *ref_keys[me], STEP, 5))

    value = ref.from_planes(planes[0] ^ planes[1] ^ planes[2], n)
    np.testing.assert_array_equal(replicated(completed(y)), value)


@pytest.mark.parametrize("n", SIZES)
def test_a_bit_times_a_number_matches_the_reference(path: str, n: int) -> None:
    planes, parts = ([words(*shape, seed=s) for s in range(3)] for shape in ((1, -(-n // 64)), (n,)))
    bits, held, keys, ref_keys = pairs(planes), pairs(parts), pairs(KEYS), pairs(REF_KEYS)

    messages = [kernels.inject_send(me, *bits[me], *held[me], keys[me][0], STEP) for me in range(3)]
    y = []
    for me in range(3):
        same(messages[me], ref.inject_send(me, *bits[me], *held[me], ref_keys[me][0], STEP))
        y.append(kernels.inject_combine(me, *bits[me], *held[me], messages[me - 1], *keys[me], STEP, 5))
        same(y[me], ref.inject_combine(me, *bits[me], *held[me], messages[me - 1], *ref_keys[me], STEP, 5))

    bit, x = ref.from_planes(planes[0] ^ planes[1] ^ planes[2], n), parts[0] + parts[1] + parts[2]
    np.testing.assert_array_equal(replicated(completed(y)), bit * x)


@pytest.mark.parametrize("n", [*SIZES, 3 * 64 * 600])
@pytest.mark.parametrize("planes", [1, 7])
def test_planes_are_reshared_as_in_the_reference(path: str, n: int, planes: int) -> None:
    for me in range(3):
        one, two = (ref.third(me, role, n)[2] for role in (1, 2))
        x1, x2 = (words(planes, w.stop - w.start, seed=s) for s, w in ((1, one), (2, two)))
        (y0, y1), messages = kernels.reshare_planes(me, n, x1, x2, A, B, STEP)
        y0[:, two], y1[:, one] = 0, 0
        same(((y0, y1), messages), ref.reshare_planes(me, n, x1, x2, REF_A, REF_B, STEP))


@pytest.mark.parametrize("n", [*SIZES, 2, 3, 20_000])
def test_permutations_match_the_reference(path: str, n: int) -> None:
    perm = kernels.prg_permutation(A, STEP, n)

    same(perm, ref.prg_permutation(REF_A, STEP, n))
    same(np.sort(perm), np.arange(n, dtype=np.uint32))
    for columns in (1, 2, 3, 7, 8):
        x = words(n * columns).reshape(n, columns)
        for first in {0, 1, columns - 1, columns}:
            same(kernels.gather(x, perm, first), ref.gather(x, perm, first))
    same(kernels.gather(x, perm[: n // 2]), x[perm[: n // 2]])


@pytest.mark.parametrize("offset", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("n", [*SIZES, 2, 3])
def test_differences_of_gathered_elements_match_the_reference(path: str, n: int, offset: int) -> None:
    x = words(77)
    left, right = (words(n, seed=s).astype(np.intp) % 77 for s in (1, 2))

    for bits in (0, 1, 18, 64):
        planes = kernels.difference_planes(x, left, right, bits, offset)
        same(planes, ref.difference_planes(x, left, right, bits, offset))


@pytest.mark.parametrize("n", [*SIZES, 2, 3, 5000])
@pytest.mark.parametrize("digits", [1, 4, 5, 20, 32, 33, 70])
def test_rows_of_digits_and_their_comparisons_match_the_reference(path: str, n: int, digits: int) -> None:
    monomials = words(16, digits, -(-n // 64))
    if n < 5000 or digits == 20:
        same(kernels.thermometer_digits(monomials, n), ref.thermometer_digits(monomials, n))
        x0, x1 = (words(77, -(-digits // 4), seed=s) for s in (1, 2))
        left, right = (words(n, seed=s).astype(np.intp) % 77 for s in (3, 4))
        places = digits, left, right
        same(kernels.rep3_less(x0, x1, *places, A, B, STEP), ref.rep3_less(x0, x1, *places, REF_A, REF_B, STEP))


@pytest.mark.parametrize("room", [0, 2000])
@pytest.mark.parametrize("sizes", [[], [1], [2], [5, 1, 4], [1, 30, 17, 2, 40, 3]])
def test_a_batch_of_a_quicksort_matches_the_reference_and_puts_in_order(sizes: list[int], room: int) -> None:
    rng = np.random.default_rng(len(sizes))
    many = np.array(sizes, np.intp)[::-1].copy()
    starts = np.cumsum(many + 3) - many
    for parted in range(len(sizes) + 1):
        rows = rng.permutation(300)
        some = starts, many, parted
        left, right = kernels.segment_pairs(rows, *some, room)
        same((left, right), ref.segment_pairs(rows, *some, room))
        moved = rows.copy()
        less = kernels.segment_parts(moved, *some, left < right)
        same((moved, less), ref.segment_parts(rows, *some, left < right))
        for k, (start, size) in enumerate(zip(starts, many, strict=True)):
            segment = moved[start : start + size]
            if k < parted:
                below = segment < rows[start]
                assert below[: less[k]].all() and segment[less[k]] == rows[start] and not below[less[k] :].any()
            else:
                np.testing.assert_array_equal(segment, np.sort(segment))


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("width", [0, 1, 7, 600])
def test_products_of_rows_match_the_reference(path: str, width: int, count: int) -> None:
    x0, x1 = (words(9, width, seed=s) for s in (1, 2))
    left, right = (words(count, seed=s).astype(np.intp) % 9 for s in (3, 4))
    places = left, right
    same(kernels.rep3_and_rows(x0, x1, *places, A, B, STEP), ref.rep3_and_rows(x0, x1, *places, REF_A, REF_B, STEP))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_shapes_match_the_reference_on_every_path(data: st.DataObject) -> None:
    n, bits, f = (data.draw(st.integers(*r), label=k) for k, r in (("n", (0, 1400)), ("bits", (1, 64)), ("f", (1, 61))))
    m, k, c = (data.draw(st.integers(0, 40), label=name) for name in "mkc")
    x0, x1, y0, y1 = (words(n, seed=s) for s in range(4))
    p0, p1, q0, q1 = words(m, k, seed=1), words(m, k, seed=2), words(k, c, seed=3), words(k, c, seed=4)
    planes = words(bits, -(-n // 64))
    for name in available_paths():
        kernels.force_path(name)
        try:
            same(kernels.rep3_mul(x0, x1, y0, y1, A, B, n), ref.rep3_mul(x0, x1, y0, y1, REF_A, REF_B, n))
            same(
                kernels.trunc_send(0, x0, x1, f, True, A, B, n)[2],
                ref.trunc_send(0, x0, x1, f, True, REF_A, REF_B, n)[2],
            )
            expected = ref.rep3_matmul(p0, p1, q0, q1, REF_A, REF_B, 1, n % 3)
            same(kernels.rep3_matmul(p0, p1, q0, q1, A, B, 1, n % 3), expected)
            same(kernels.to_planes(x0, bits), ref.to_planes(x0, bits))
            same(kernels.from_planes(planes, n), ref.from_planes(planes, n))
            same(kernels.pack(x0, bits), ref.pack(x0, bits))
            same(kernels.unpack(kernels.pack(x0, bits), n, bits), x0 & np.uint64((1 << bits) - 1))
            same(kernels.carry_hot(planes), ref.carry_hot(planes))
        finally:
            kernels.force_path(None)


# --- same bits on every path and with any number of threads -----------------------------------------

N = 140_001
"""Enough for three threads, in no whole number of anything."""
W = -(-N // 64)


def changed(call: Callable[..., Any], me: int, *rest: Any) -> tuple[Any, ...]:
    """What a kernel returns, and what it makes of its arguments y0 and y1."""
    y = words(N, seed=8), words(N, seed=9)
    return call(me, *y, *rest), *y


def a_line() -> list[Any]:
    """The first messages of a line that has a step of every kind."""
    x, steps = words(999), [("combine", 1, 0, 3, 0, 5), ("product", 1, 1, 0, 0), ("truncate", 1, 1, 9)]
    line = kernels.Rep3Line(0, 999, A, B, 3, [(x, x), (x, x)], steps, (0,), 1)
    product, _ = line.advance(None)
    truncated, _ = line.advance({1: x.tobytes()})
    return [*product.values(), *truncated.values()]


def calls() -> dict[str, Callable[[], Any]]:
    """A call of every kernel, large enough for all its loops and threads; what they take is made once."""
    x0, x1, y0, y1 = (words(N, seed=s) for s in range(4))
    planes, hot, rows = words(9, W), words(511, 77), words(9, W)
    left, right = (words(N, seed=s).astype(np.intp) % 9 for s in (1, 2))
    places, sizes = np.arange(N), np.array([4001, 30, 200, 7], np.intp)
    starts = np.cumsum(sizes)
    perm = np.random.default_rng(1).permutation(N).astype(np.uint32)
    raw = words(5 * N).view(np.uint8)
    n1, n2 = (e.stop - e.start for e in (ref.third(1, role, N)[1] for role in (1, 2)))
    s1, s2 = (raw[: -(-n * 18 // 8)].copy() for n in (n1, n2))
    b2a = raw[: sum(-(-n1 * (64 - i) // 8) for i in range(9))].copy()
    inject, truncate, packed = (raw[:size].copy() for size in (16 * n1, 8 * n1 + s1.size, -(-N * 18 // 8)))
    thirds = [words(9, -(-n // 64), seed=n) for n in (n1, n2)]
    return {
        "Rep3Line": a_line,
        "add_prg": lambda: kernels.add_prg(x0, A, STEP),
        "aes_layer": lambda: kernels.aes_layer(x0[1:], y0[1:], True),
        "b2a_combine": lambda: kernels.b2a_combine(1, N, planes, rows, b2a, A, B, STEP, 5),
        "b2a_send": lambda: kernels.b2a_send(1, N, planes, rows, A, STEP),
        "carry_combine": lambda: kernels.carry_combine(kernels.carry_hot(planes, 4), rows, True, True, 4),
        "carry_hot": lambda: kernels.carry_hot(planes, 5),
        "difference_planes": lambda: kernels.difference_planes(x0, left, right, 33, 7),
        "from_planes": lambda: kernels.from_planes(planes, N),
        "gather": lambda: [kernels.gather(x0[: N // c * c].reshape(-1, c), perm % (N // c)) for c in (1, 2, 6, 7)],
        "gf256_mul": lambda: kernels.gf256_mul(x0, y0, 3, 1),
        "hot_rows": lambda: kernels.hot_rows(x0[:999], 13, 9),
        "inject_combine": lambda: kernels.inject_combine(1, planes[:1], rows[:1], x0, x1, inject, A, B, STEP, 5),
        "inject_send": lambda: kernels.inject_send(1, planes[:1], rows[:1], x0, x1, A, STEP),
        "look_up_rows": lambda: kernels.look_up_rows(kernels.hot_rows(x0[:999], 13, 9), x1[:999], 13, y0[:512]),
        "lut_combine": lambda: kernels.lut_combine(hot, rows[:, :77].copy(), y0[:512], 41, True),
        "matmul": lambda: kernels.matmul(x0[:21_000].reshape(300, 70), y0[:3500].reshape(70, 50)),
        "one_hot": lambda: kernels.one_hot(planes),
        "pack": lambda: [kernels.pack(x0, bits) for bits in (1, 7, 18, 63)],
        "prg_permutation": lambda: kernels.prg_permutation(A, STEP, N),
        "prg_words": lambda: kernels.prg_words(A, STEP, N, 5),
        "rep3_and": lambda: kernels.rep3_and(x0, x1, y0, y1, A, B, STEP),
        "rep3_and_rows": lambda: kernels.rep3_and_rows(planes, rows, left[:99], right[:99], A, B, STEP),
        "rep3_gf256_mul": lambda: kernels.rep3_gf256_mul(x0, x1, y0, y1, 2, 1, A, B, STEP),
        "rep3_less": lambda: kernels.rep3_less(planes[:, :9].copy(), rows[:, :9].copy(), 35, left, right, A, B, STEP),
        "rep3_matmul": lambda: kernels.rep3_matmul(
            *(x[:21_000].reshape(300, 70) for x in (x0, x1)), *(y[:3500].reshape(70, 50) for y in (y0, y1)), A, B, 1, 1
        ),
        "rep3_mul": lambda: kernels.rep3_mul(x0, x1, y0, y1, A, B, STEP),
        "reshare_planes": lambda: kernels.reshare_planes(1, N, *thirds, A, B, STEP)[1],
        "segment_pairs": lambda: kernels.segment_pairs(places, starts, sizes, 2, 50_000),
        "segment_parts": lambda: kernels.segment_parts(places.copy(), starts, sizes, 2, x0[:50_000] % 2 == 0),
        "sub_prg": lambda: kernels.sub_prg(x0, A, STEP),
        "thermometer_digits": lambda: kernels.thermometer_digits(words(16, 5, W), N),
        "to_planes": lambda: kernels.to_planes(x0, 41),
        "trunc_exchange": lambda: changed(kernels.trunc_exchange, 1, x0, x1, truncate, 18, A, B, STEP),
        "trunc_finish": lambda: changed(kernels.trunc_finish, 1, x0, x1, s1, s2, s1[::-1].copy(), s2[::-1].copy(), 18),
        "trunc_send": lambda: kernels.trunc_send(1, x0, x1, 18, True, A, B, STEP)[2],
        "unpack": lambda: kernels.unpack(packed, N, 18),
        "xor_prg": lambda: kernels.xor_prg(x0, A, STEP),
    }


CALLS = calls()
NO_KERNELS = {"PrgKey", "cpu_features", "force_path", "threads", "use_threads"}


def test_every_kernel_is_called_on_every_path() -> None:
    assert set(CALLS) | NO_KERNELS == set(kernels.__all__)


@pytest.mark.parametrize("name", sorted(set(kernels.__all__) - NO_KERNELS))
def test_no_path_and_no_number_of_threads_changes_a_bit(name: str) -> None:
    def flat(result: Any) -> list[bytes]:
        if isinstance(result, list | tuple):
            return [b for part in result for b in flat(part)]
        return [] if result is None else [bytes(result)]

    found = {}
    for path in available_paths():
        for count in (1, 2, 3, 7):
            kernels.force_path(path)
            try:
                with kernels.threads(count):
                    found[path, count] = flat(CALLS[name]())
            finally:
                kernels.force_path(None)
    expected = found["portable", 1]
    assert any(expected)
    assert [key for key, result in found.items() if result != expected] == []


THREADS = """
import numpy as np
from tacit import kernels

x, key = np.ones((300, 1000), np.uint64), kernels.PrgKey(bytes(16))
calls = [lambda: kernels.add_prg(x, key, 1), lambda: kernels.matmul(x, x.reshape(1000, 300))]
alone = [call() for call in calls]
with kernels.threads(7):
    for call, expected in zip(calls, alone):
        np.testing.assert_array_equal(call(), expected)
"""


def test_where_no_more_threads_can_be_had_the_calling_one_does_all() -> None:
    # No stack of such a size can be had.
    env = {**os.environ, "RUST_MIN_STACK": str(2**60)}
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, env=env, timeout=60, check=False)

    assert done.returncode == 0, done.stderr


def test_threads_are_allowed_for_a_while_and_to_the_calling_thread_alone() -> None:
    with kernels.threads(5):
        with kernels.threads(2):
            assert kernels.use_threads(3) == 2
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(kernels.use_threads, 9).result() == 1
        assert kernels.use_threads(5) == 5
    assert kernels.use_threads(1) == 1


# --- results, inputs and keys ---------------------------------------------------------------------


def test_results_are_fresh_and_inputs_are_left_alone(path: str) -> None:
    x, perm = words(100), np.arange(100, dtype=np.uint32)
    before = x.copy()
    x.flags.writeable = False

    results = [
        kernels.add_prg(x, A, 1),
        kernels.to_planes(x, 64),
        kernels.gather(x.reshape(50, 2), perm[:50]),
        kernels.difference_planes(x, perm.astype(np.intp), perm.astype(np.intp), 64, 0),
        kernels.pack(x, 64),
    ]

    for result in results:
        assert result.flags.writeable
        assert result.flags.owndata
        assert not np.shares_memory(result, x)
    same(x, before)


def test_the_same_array_may_be_given_twice(path: str) -> None:
    x = words(70)
    same(kernels.rep3_mul(x, x, x, x, A, A, 0), ref.rep3_mul(x, x, x, x, REF_A, REF_A, 0))


def test_a_key_shows_nothing_and_cannot_be_copied() -> None:
    assert repr(A) == str(A) == "PrgKey"
    for attempt in (lambda: pickle.dumps(A), lambda: copy.copy(A), lambda: copy.deepcopy(A)):
        with pytest.raises(TypeError, match="PrgKey"):
            attempt()
    assert not hasattr(A, "__dict__")


def test_a_key_needs_exactly_16_bytes() -> None:
    for wrong in (b"", bytes(15), bytes(17), bytes(32)):
        with pytest.raises(ValueError, match="16 bytes"):
            kernels.PrgKey(wrong)


def test_cpu_features_are_sorted_names() -> None:
    features = kernels.cpu_features()
    assert features == sorted(features)
    assert all(isinstance(name, str) for name in features)


def test_public_names_are_sorted_documented_and_native() -> None:
    assert kernels.__all__ == sorted(kernels.__all__)
    for name in kernels.__all__:
        assert getattr(kernels, name).__doc__, name


# --- what does not fit ----------------------------------------------------------------------------

X, X2, T = words(64), words(3, 64), words(8)
BYTES, PERM = np.zeros(144, dtype=np.uint8), np.arange(4, dtype=np.uint32)
PLACES = PERM.astype(np.intp)
HOT = words(7, 64)
READ_ONLY = words(64)
READ_ONLY.flags.writeable = False
UNALIGNED = np.frombuffer(bytes(8 * 64 + 1), dtype=np.uint8)[1:].view(np.uint64)

WRONG: dict[str, tuple[Callable[[], object], Any, str]] = {
    "a list": (lambda: kernels.add_prg([1, 2], A, 0), TypeError, "x must"),
    "signed": (lambda: kernels.add_prg(X.view(np.int64), A, 0), TypeError, "x must"),
    "big-endian": (lambda: kernels.add_prg(X.astype(">u8"), A, 0), TypeError, "x must"),
    "strided": (lambda: kernels.add_prg(words(64)[::2], A, 0), ValueError, "x must be C-contiguous"),
    "column-major": (
        lambda: kernels.xor_prg(np.asfortranarray(X2), A, 0),
        ValueError,
        "x must be C-contiguous",
    ),
    "unaligned": (lambda: kernels.add_prg(UNALIGNED, A, 0), ValueError, "aligned"),
    "no key": (lambda: kernels.add_prg(X, KEY_A, 0), TypeError, "key must be a PrgKey"),
    "negative step": (lambda: kernels.add_prg(X, A, -1), ValueError, "step"),
    "huge step": (lambda: kernels.add_prg(X, A, 2**64), ValueError, "step"),
    "fractional step": (lambda: kernels.add_prg(X, A, 1.5), TypeError, "step"),
    "negative n": (lambda: kernels.prg_words(A, 0, -1), ValueError, "n must"),
    "stream end": (lambda: kernels.prg_words(A, 0, 2, 2**64 - 1), ValueError, "offset"),
    "too large": (lambda: kernels.prg_words(A, 0, 2**60), (MemoryError, ValueError), "."),
    "mul lengths": (lambda: kernels.rep3_mul(X, X, X, X[:1], A, B, 0), ValueError, "y1 must have shape"),
    "and shapes": (lambda: kernels.rep3_and(X2, X, X2, X2, A, B, 0), ValueError, "x1 must have shape"),
    "byte shapes": (lambda: kernels.gf256_mul(X, X2, 0, 0), ValueError, "y must have shape"),
    "byte parts": (lambda: kernels.rep3_gf256_mul(X, X, X, X[:1], 0, 0, A, B, 0), ValueError, "y1 must have shape"),
    "squarings": (lambda: kernels.gf256_mul(X, X, 0, 8), ValueError, "j must"),
    "minus one squaring": (lambda: kernels.rep3_gf256_mul(X, X, X, X, -1, 0, A, B, 0), ValueError, "i must"),
    "half a block": (lambda: kernels.aes_layer(X[:3], X[:2], True), ValueError, "x must"),
    "rows of blocks": (lambda: kernels.aes_layer(X2, X[:2], True), ValueError, "x must have 1"),
    "keys": (lambda: kernels.aes_layer(X, X[:4], True), ValueError, "key must have shape"),
    "mix": (lambda: kernels.aes_layer(X, X, 2), TypeError, "mix"),
    "mul dtype": (lambda: kernels.rep3_mul(X, X, PERM, X, A, B, 0), TypeError, "y0 must"),
    "mul key": (lambda: kernels.rep3_mul(X, X, X, X, A, None, 0), TypeError, "kb must"),
    "flat factor": (lambda: kernels.matmul(X, X2), ValueError, "x must have 2"),
    "inner sizes": (lambda: kernels.matmul(X2, X2), ValueError, "y must have 64 rows"),
    "share sizes": (lambda: kernels.rep3_matmul(X2, X2, words(64, 2), X2, A, B, 0, 0), ValueError, "y1 must"),
    "no party": (
        lambda: kernels.rep3_matmul(X2, X2, words(64, 2), words(64, 2), A, B, 0, 3),
        ValueError,
        "me must",
    ),
    "no threads": (lambda: kernels.use_threads(0), ValueError, "count must"),
    "product too large": (
        lambda: kernels.matmul(np.empty((2**40, 0), np.uint64), np.empty((0, 2**40), np.uint64)),
        (MemoryError, ValueError),
        ".",
    ),
    "planes of a matrix": (lambda: kernels.to_planes(X2, 3), ValueError, "x must have 1"),
    "minus one plane": (lambda: kernels.to_planes(X, -1), ValueError, "bits"),
    "65 planes": (lambda: kernels.to_planes(X, 65), ValueError, "bits"),
    "flat planes": (lambda: kernels.from_planes(X, 3), ValueError, "planes must have 2"),
    "planes too short": (lambda: kernels.from_planes(X2[:, :1].copy(), 65), ValueError, "n must"),
    "from 65 planes": (lambda: kernels.from_planes(words(65, 1), 1), ValueError, "planes"),
    "pack 0": (lambda: kernels.pack(X, 0), ValueError, "bits"),
    "pack 65": (lambda: kernels.pack(X, 65), ValueError, "bits"),
    "unpack short": (lambda: kernels.unpack(BYTES, 65, 18), ValueError, "data"),
    "unpack long": (lambda: kernels.unpack(BYTES, 63, 18), ValueError, "data"),
    "unpack words": (lambda: kernels.unpack(X, 64, 18), TypeError, "data must"),
    "unpack overflow": (lambda: kernels.unpack(BYTES, 2**62, 64), ValueError, "data"),
    "no digit": (lambda: kernels.one_hot(words(0, 3)), ValueError, "planes"),
    "digit of 10 bits": (lambda: kernels.one_hot(words(10, 3)), ValueError, "planes"),
    "hot rows": (lambda: kernels.lut_combine(HOT[:6], X2, T, 1, True), ValueError, "hot must have shape"),
    "table length": (lambda: kernels.lut_combine(HOT, X2, T[:7], 1, True), ValueError, "table"),
    "no out bits": (lambda: kernels.lut_combine(HOT, X2, T, 0, True), ValueError, "out_bits"),
    "first": (lambda: kernels.lut_combine(HOT, X2, T, 1, "yes"), TypeError, "first"),
    "carry of nothing": (lambda: kernels.carry_hot(words(0, 3)), ValueError, "planes"),
    "carry rows": (lambda: kernels.carry_combine(HOT, words(4, 64), True), ValueError, "hot must have shape"),
    "wide digits": (lambda: kernels.carry_hot(words(4, 3), 9), ValueError, "digit must"),
    "digits of nothing": (lambda: kernels.carry_combine(HOT, words(3, 64), True, False, 0), ValueError, "digit must"),
    "rows of 5 bits": (lambda: kernels.hot_rows(X, 0, 5), ValueError, "g must"),
    "rows of 17 bits": (lambda: kernels.hot_rows(X, 0, 17), ValueError, "g must"),
    "nothing left": (lambda: kernels.hot_rows(X, 64, 6), ValueError, "drop must"),
    "rows of a matrix": (lambda: kernels.hot_rows(X2, 0, 6), ValueError, "x must have 1"),
    "rows to look up": (lambda: kernels.look_up_rows(X2, X, 0, words(64)), ValueError, "hot must have shape"),
    "entries": (lambda: kernels.look_up_rows(X2, X, 0, words(65)), ValueError, "table must"),
    "f = 0": (lambda: kernels.trunc_send(0, X, X, 0, True, A, B, 0), ValueError, "f must"),
    "f = 62": (lambda: kernels.trunc_send(0, X, X, 62, True, A, B, 0), ValueError, "f must"),
    "no such party": (lambda: kernels.trunc_send(3, X, X, 18, True, A, B, 0), ValueError, "me must"),
    "truncated matrix": (lambda: kernels.trunc_send(0, X2, X2, 18, True, A, B, 0), ValueError, "x0 must have 1"),
    "last steps": (lambda: kernels.trunc_send(0, X, X, 18, True, A, B, 2**64 - 8), ValueError, "step"),
    "a1 and t length": (
        lambda: kernels.trunc_exchange(2, X.copy(), X.copy(), X, X, BYTES[:-1], 18, A, B, 0),
        ValueError,
        "received",
    ),
    "y shape": (lambda: kernels.trunc_exchange(2, X[:9], X, X, X, BYTES, 18, A, B, 0), ValueError, "y0 must"),
    "y given twice": (
        lambda: kernels.trunc_exchange(2, X, X, X, X, np.zeros(0, np.uint8), 18, A, B, 0),
        ValueError,
        "y0 must",
    ),
    "y not writable": (
        lambda: kernels.trunc_exchange(1, READ_ONLY, X.copy(), X, X, np.zeros(0, np.uint8), 18, A, B, 0),
        ValueError,
        "y0 must be writable",
    ),
    "wrap length": (
        lambda: kernels.trunc_finish(0, X.copy(), X.copy(), X, X, BYTES[:0], BYTES[:0], BYTES, BYTES, 18),
        ValueError,
        "s1|r1|s2|r2",
    ),
    "words of bits": (lambda: kernels.b2a_send(0, 65, X2, X2, A, 0), ValueError, "a must have shape"),
    "65 bits": (lambda: kernels.b2a_send(0, 64, words(65, 1), words(65, 1), A, 0), ValueError, "a must have shape"),
    "b2a message": (lambda: kernels.b2a_combine(0, 4096, HOT, HOT, BYTES, A, B, 0, 0), ValueError, "received"),
    "b2a steps": (lambda: kernels.b2a_send(0, 4096, HOT, HOT, A, 2**64 - 20), ValueError, "step"),
    "two bits": (lambda: kernels.inject_send(0, X2[:2], X2[:2], X, X, A, 0), ValueError, "a must have shape"),
    "inject message": (
        lambda: kernels.inject_combine(1, X[None, :1], X[None, :1], X, X, BYTES, A, B, 0, 0),
        ValueError,
        "received",
    ),
    "resharing": (lambda: kernels.reshare_planes(0, 4096, X2, X2, A, B, 0), ValueError, "x1 must have shape"),
    "permutation too long": (lambda: kernels.prg_permutation(A, 0, 2**32), ValueError, "n must"),
    "row": (lambda: kernels.gather(X2[:3], PERM), ValueError, "perm must"),
    "row of nothing": (lambda: kernels.gather(X2[:0], PERM), ValueError, "perm must"),
    "flat rows": (lambda: kernels.gather(X, PERM), ValueError, "x must have 2"),
    "first column": (lambda: kernels.gather(X2, PERM, X2.shape[1] + 1), ValueError, "first must"),
    "perm dtype": (lambda: kernels.gather(X2, PERM.astype(np.int64)), TypeError, "perm must"),
    "left": (lambda: kernels.difference_planes(X[:3], PLACES, PLACES % 3, 64, 0), ValueError, "left and right must"),
    "right": (
        lambda: kernels.difference_planes(X[:3], PLACES % 3, -1 - PLACES, 64, 0),
        ValueError,
        "left and right must",
    ),
    "sides": (lambda: kernels.difference_planes(X, PLACES, PLACES[1:], 64, 0), ValueError, "right must have shape"),
    "side dtype": (lambda: kernels.difference_planes(X, PERM, PLACES, 64, 0), TypeError, "left must"),
    "65 planes of differences": (lambda: kernels.difference_planes(X, PLACES, PLACES, 65, 0), ValueError, "bits"),
    "monomials": (lambda: kernels.thermometer_digits(X2[None], 64), ValueError, "monomials must have shape"),
    "no digits": (lambda: kernels.rep3_less(X2, X2, 0, PLACES, PLACES, A, B, 0), ValueError, "digits"),
    "digits": (lambda: kernels.rep3_less(X2, X2, 1, PLACES, PLACES, A, B, 0), ValueError, "x0 must have shape"),
    "row of digits": (
        lambda: kernels.rep3_less(X2[:, :1].copy(), X2[:, :1].copy(), 4, PLACES, -1 - PLACES, A, B, 0),
        ValueError,
        "left and right must",
    ),
    "segment beyond the end": (
        lambda: kernels.segment_pairs(PLACES, PLACES[1:2], PLACES[-1:] + 1, 0, 0),
        ValueError,
        "ran",
    ),
    "segment before the start": (
        lambda: kernels.segment_pairs(PLACES, PLACES[1:2] - 2, PLACES[1:2], 0, 0),
        ValueError,
        "r",
    ),
    "segments": (lambda: kernels.segment_pairs(PLACES, PLACES, PLACES[1:], 0, 0), ValueError, "sizes must have shape"),
    "parted": (lambda: kernels.segment_pairs(PLACES, PLACES[:1], PLACES[:1], 2, 0), ValueError, "parted"),
    "outcomes": (
        lambda: kernels.segment_parts(PLACES.copy(), PLACES[:1], PLACES[2:3], 0, np.zeros(0, np.bool_)),
        ValueError,
        "outcomes must",
    ),
    "row of planes": (
        lambda: kernels.rep3_and_rows(X2, X2, PLACES, -1 - PLACES, A, B, 0),
        ValueError,
        "left and right",
    ),
    "path": (lambda: kernels.force_path("sse9"), ValueError, "name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused_by_name(case: str) -> None:
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()
