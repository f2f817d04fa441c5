"""The native kernels give the bits of the reference on every path of this CPU and refuse what does not fit."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
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


@pytest.mark.parametrize("shape", [(), (0, 5), (3, 70), (2, 3, 4)])
def test_elementwise_kernels_keep_any_shape_and_draw_masks_in_row_major_order(
    path: str, shape: tuple[int, ...]
) -> None:
    x0, x1, y0, y1 = (words(*shape, seed=s) for s in range(4))
    flat = [v.reshape(-1) for v in (x0, x1, y0, y1)]

    same(kernels.rep3_and(x0, x1, y0, y1, A, B, 3), ref.rep3_and(x0, x1, y0, y1, REF_A, REF_B, 3))
    same(kernels.xor_prg(x0, A, 3), ref.xor_prg(x0, REF_A, 3))
    same(kernels.rep3_mul(x0, x1, y0, y1, A, B, 3), ref.rep3_mul(*flat, REF_A, REF_B, 3).reshape(shape))
    same(kernels.add_prg(x0, A, 3), ref.add_prg(flat[0], REF_A, 3).reshape(shape))
    same(kernels.sub_prg(x0, A, 3), ref.sub_prg(flat[0], REF_A, 3).reshape(shape))
    a1, t, z0, z1 = ref.trunc_0(flat[0], flat[1], 18, REF_A, REF_B, 3)
    expected = (a1.reshape(shape), t, z0.reshape(shape), z1.reshape(shape))
    same(kernels.trunc_0(x0, x1, 18, A, B, 3), expected)


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
        (100, 257, 31),
        (193, 130, 40),
        (7, 9, 1030),
    ],
)
def test_matrix_products_match_the_reference(path: str, m: int, k: int, n: int) -> None:
    x0, x1, y0, y1 = words(m, k, seed=1), words(m, k, seed=2), words(k, n, seed=3), words(k, n, seed=4)

    same(kernels.matmul(x0, y0), ref.matmul(x0, y0))
    expected = ref.rep3_matmul(x0, x1, y0, y1, REF_A, REF_B, STEP)
    same(kernels.rep3_matmul(x0, x1, y0, y1, A, B, STEP), expected)


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
@pytest.mark.parametrize("g", [1, 2, 3, 5, 8])
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


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 18, 63, 64])
@pytest.mark.parametrize("digit", [1, 2, 3, 4])
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


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("f", [1, 2, 18, 32, 33, 61])
def test_truncation_matches_the_reference_in_every_role_and_is_right(path: str, n: int, f: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.integers(-(2**62) + 1, 2**62, size=n, dtype=np.int64)
    x0, x1 = words(n, seed=1), words(n, seed=2)
    r = x.view(np.uint64) - x0 - x1

    a1, t, y0, y1 = zero = kernels.trunc_0(x0, x1, f, A, B, STEP)
    same(zero, ref.trunc_0(x0, x1, f, REF_A, REF_B, STEP))
    m1, z1 = one = kernels.trunc_1(r, a1, t, f, B, STEP)
    same(one, ref.trunc_1(r, a1, t, f, REF_B, STEP))
    m2, z0 = two = kernels.trunc_2(r, f, A, STEP)
    same(two, ref.trunc_2(r, f, REF_A, STEP))
    y2 = kernels.trunc_finish(r, m1, m2, f)
    same(y2, ref.trunc_finish(r, m1, m2, f))

    same(z0, y0)
    same(z1, y1)
    same(kernels.trunc_finish(r, m2, m1, f), y2)
    error = (y0 + y1 + y2).view(np.int64) - (x >> f)
    assert np.isin(error, (0, 1)).all()


@pytest.mark.parametrize("n", [*SIZES, 2, 3, 20_000])
def test_permutations_match_the_reference(path: str, n: int) -> None:
    perm = kernels.prg_permutation(A, STEP, n)

    same(perm, ref.prg_permutation(REF_A, STEP, n))
    same(np.sort(perm), np.arange(n, dtype=np.uint32))
    x = words(n)
    same(kernels.gather(x, perm), ref.gather(x, perm))
    same(kernels.gather(x, perm[: n // 2]), x[perm[: n // 2]])


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
            same(kernels.trunc_0(x0, x1, f, A, B, n), ref.trunc_0(x0, x1, f, REF_A, REF_B, n))
            same(kernels.rep3_matmul(p0, p1, q0, q1, A, B, 1), ref.rep3_matmul(p0, p1, q0, q1, REF_A, REF_B, 1))
            same(kernels.to_planes(x0, bits), ref.to_planes(x0, bits))
            same(kernels.from_planes(planes, n), ref.from_planes(planes, n))
            same(kernels.pack(x0, bits), ref.pack(x0, bits))
            same(kernels.unpack(kernels.pack(x0, bits), n, bits), x0 & np.uint64((1 << bits) - 1))
            same(kernels.carry_hot(planes), ref.carry_hot(planes))
        finally:
            kernels.force_path(None)


# --- results, inputs and keys ---------------------------------------------------------------------


def test_results_are_fresh_and_inputs_are_left_alone(path: str) -> None:
    x, perm = words(100), np.arange(100, dtype=np.uint32)
    before = x.copy()
    x.flags.writeable = False

    results = [
        kernels.add_prg(x, A, 1),
        kernels.to_planes(x, 64),
        kernels.gather(x, perm),
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
HOT = words(7, 64)
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
    "mul dtype": (lambda: kernels.rep3_mul(X, X, PERM, X, A, B, 0), TypeError, "y0 must"),
    "mul key": (lambda: kernels.rep3_mul(X, X, X, X, A, None, 0), TypeError, "kb must"),
    "flat factor": (lambda: kernels.matmul(X, X2), ValueError, "x must have 2"),
    "inner sizes": (lambda: kernels.matmul(X2, X2), ValueError, "y must have 64 rows"),
    "share sizes": (lambda: kernels.rep3_matmul(X2, X2, words(64, 2), X2, A, B, 0), ValueError, "y1 must"),
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
    "digit of 9 bits": (lambda: kernels.one_hot(words(9, 3)), ValueError, "planes"),
    "hot rows": (lambda: kernels.lut_combine(HOT[:6], X2, T, 1, True), ValueError, "hot must have shape"),
    "table length": (lambda: kernels.lut_combine(HOT, X2, T[:7], 1, True), ValueError, "table"),
    "no out bits": (lambda: kernels.lut_combine(HOT, X2, T, 0, True), ValueError, "out_bits"),
    "first": (lambda: kernels.lut_combine(HOT, X2, T, 1, "yes"), TypeError, "first"),
    "carry of nothing": (lambda: kernels.carry_hot(words(0, 3)), ValueError, "planes"),
    "carry rows": (lambda: kernels.carry_combine(HOT, words(4, 64), True), ValueError, "hot must have shape"),
    "wide digits": (lambda: kernels.carry_hot(words(4, 3), 5), ValueError, "digit must"),
    "digits of nothing": (lambda: kernels.carry_combine(HOT, words(3, 64), True, False, 0), ValueError, "digit must"),
    "f = 0": (lambda: kernels.trunc_0(X, X, 0, A, B, 0), ValueError, "f must"),
    "f = 62": (lambda: kernels.trunc_2(X, 62, A, 0), ValueError, "f must"),
    "last steps": (lambda: kernels.trunc_2(X, 18, A, 2**64 - 2), ValueError, "step"),
    "t length": (lambda: kernels.trunc_1(X, X, BYTES[:-1], 18, B, 0), ValueError, "t_packed"),
    "message length": (lambda: kernels.trunc_finish(X, BYTES, BYTES[1:], 18), ValueError, "received"),
    "a1 shape": (lambda: kernels.trunc_1(X, X2, BYTES, 18, B, 0), ValueError, "a1 must"),
    "permutation too long": (lambda: kernels.prg_permutation(A, 0, 2**32), ValueError, "n must"),
    "index": (lambda: kernels.gather(X[:3], PERM), ValueError, "perm must"),
    "index of nothing": (lambda: kernels.gather(X[:0], PERM), ValueError, "perm must"),
    "perm dtype": (lambda: kernels.gather(X, PERM.astype(np.int64)), TypeError, "perm must"),
    "path": (lambda: kernels.force_path("sse9"), ValueError, "name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused_by_name(case: str) -> None:
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()
