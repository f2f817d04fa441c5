"""AES-128 on shares: the published answers, and any key and blocks against another implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Words, bits, dry_cost, rep3_boxes, run_plain, run_rep3, share
from tacit.engine.drive import lockstep
from tacit.library import aes
from tacit.protocols.blackbox import BlackBox, Cost
from tacit.protocols.shares import Bits


def shared(data: bytes, *shape: int) -> Words:
    """Bytes as single bits, the least significant first."""
    return bits(np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").reshape(shape), 1)


def data_of(values: np.ndarray) -> bytes:
    return np.packbits(values.astype(np.uint8).reshape(-1), bitorder="little").tobytes()


def encrypted(key: Words, blocks: Words, seed: int = 0) -> tuple[bytes, Cost]:
    """What rep3 gives, which plain gives too at no cost, at the cost that dry says."""

    async def program(box: BlackBox, k: Bits, x: Bits) -> Any:
        return await aes.encrypt(box, k, x)

    result, traffic = run_rep3(program, key, blocks, seed=seed)
    assert result.shape == blocks.values.shape
    np.testing.assert_array_equal(run_plain(program, key, blocks), result)
    assert dry_cost(program, key, blocks) == traffic.cost
    return data_of(result), traffic.cost


def known(keys: bytes, blocks: bytes) -> bytes:
    """The same by another implementation, under one key or one for each block."""
    every = [keys[at : at + 16] for at in range(0, len(keys), 16)]
    rows = [blocks[at : at + 16] for at in range(0, len(blocks), 16)]
    every = every * len(rows) if len(every) == 1 else every
    ciphers = [Cipher(algorithms.AES(key), modes.ECB()).encryptor() for key in every]
    return b"".join(cipher.update(row) for cipher, row in zip(ciphers, rows, strict=True))


@pytest.mark.parametrize(
    ("key", "blocks", "answers"),
    [
        # FIPS-197, appendix B and appendix C.1.
        ("2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"),
        ("000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"),
        # SP 800-38A, appendix F.1.1.
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
            "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
            "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"
            "43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4",
        ),
    ],
    ids=["fips-197-b", "fips-197-c1", "sp-800-38a-f11"],
)
def test_the_published_answers(key: str, blocks: str, answers: str) -> None:
    data = bytes.fromhex(blocks)
    assert encrypted(shared(bytes.fromhex(key), 128), shared(data, len(data) // 16, 128))[0].hex() == answers


def test_the_round_keys_are_those_of_fips_197_appendix_a_1() -> None:
    want = [
        "a0fafe1788542cb123a339392a6c7605",
        "f2c295f27a96b9435935807a7359f67f",
        "3d80477d4716fe3e1e237e446d7a883b",
        "ef44a541a8525b7fb671253bdb0bad00",
        "d4d1c6f87c839d87caf2b8bc11f915bc",
        "6d88a37a110b3efddbf98641ca0093fd",
        "4e54f70e5f5fc9f384a64fb24ea6dc4f",
        "ead27321b58dbad2312bf5607f8d292f",
        "ac7766f319fadc2128d12941575c006e",
        "d014f9a8c9ee2589e13f0cc8b6630ca6",
    ]

    async def schedule(box: BlackBox, key: Bits) -> list[Bits]:
        keys = []
        for constant in aes.ROUND_CONSTANTS:
            key = aes._next_key(box, key, await aes._inverse(box, aes._last_column(key)), constant)
            keys.append(key)
        return keys

    keys, _ = run_rep3(schedule, shared(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"), 128))
    assert [data_of(key).hex() for key in keys] == want


def test_the_s_box_is_right_for_every_byte() -> None:
    async def inverses(box: BlackBox, x: Bits) -> Bits:
        return await aes._inverse(box, x)

    result, traffic = run_rep3(inverses, shared(bytes(range(256)), 2048))
    table = data_of(result)
    assert traffic.cost == dry_cost(inverses, shared(bytes(range(256)), 2048)) == Cost(3, 12 * 256)
    products = np.array([times(x, table[x]) for x in range(256)])
    np.testing.assert_array_equal(products, [0, *[1] * 255])
    assert table[0] == 0


def times(x: int, y: int) -> int:
    """The product in GF(2^8): FIPS-197, section 4.2."""
    out = 0
    for k in range(8):
        out ^= (x << k) * (y >> k & 1)
    for k in range(14, 7, -1):
        out ^= (0x11B << (k - 8)) * (out >> k & 1)
    return out


@settings(max_examples=25, deadline=None)
@given(n=st.sampled_from([1, 2, 3, 33, 100]), per_block=st.booleans(), seed=st.integers(0, 2**32))
def test_any_blocks_under_one_key_or_many(n: int, per_block: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks, keys = rng.bytes(16 * n), rng.bytes(16 * (n if per_block else 1))
    key = shared(keys, n, 128) if per_block else shared(keys, 128)

    answer, cost = encrypted(key, shared(blocks, n, 128), seed)

    assert answer == known(keys, blocks)
    # 160 S-boxes for a block and 40 for a key, 12 bytes each; the four bytes of a last key fill a word.
    count = n if per_block else 1
    assert cost == Cost(30, 1920 * n + 480 * (count + count % 2))


def test_a_million_blocks_take_what_was_promised() -> None:
    async def program(box: BlackBox, k: Bits, x: Bits) -> Bits:
        return await aes.encrypt(box, k, x)

    cost = dry_cost(program, bits(np.zeros(128), 1), bits(np.zeros((10**4, 128)), 1))
    assert cost.rounds <= 32
    assert 100 * cost.bytes_total <= 1.95e9


@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (2, 0, 3)], ids=str)
def test_any_shape_of_blocks(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    n = int(np.prod(shape))
    blocks, key = rng.bytes(16 * n), rng.bytes(16)
    answer, cost = encrypted(shared(key, 128), shared(blocks, *shape, 128))
    assert answer == (known(key, blocks) if n else b"")
    assert cost.rounds == (30 if n else 0)


def test_the_shares_of_the_result_are_replicated() -> None:
    boxes = rep3_boxes()
    key, blocks = share(boxes, shared(bytes(16), 128)), share(boxes, shared(bytes(160), 10, 128))
    out = lockstep([aes.encrypt(b, key[b.me], blocks[b.me]) for b in boxes])
    for me in range(3):
        np.testing.assert_array_equal(out[me].parts[1], out[(me + 1) % 3].parts[0])
