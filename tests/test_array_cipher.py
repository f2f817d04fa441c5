"""AES on arrays: what other implementations give, in pieces too, and in words that say who learns what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import tacit as tc
from plan_oracle import Oracle
from tacit.errors import InputError, PlanError
from tacit.protocols.network import NETWORKS

RNG = np.random.default_rng(9)
KEY = RNG.bytes(16)


def bits(data: bytes) -> np.ndarray:
    return np.unpackbits(np.frombuffer(data, np.uint8).reshape(-1, 16), axis=1, bitorder="little").astype(bool)


def data_of(values: Any) -> bytes:
    return np.packbits(values, axis=-1, bitorder="little").tobytes()


def known(mode: Any, data: bytes) -> bytes:
    return Cipher(algorithms.AES(KEY), mode).encryptor().update(data)


@pytest.mark.parametrize("protocol", ["plain", "rep3"])
@pytest.mark.parametrize("homes", [(0, 1), (1, 1), (None, 0), (2, None)], ids=str)
def test_blocks_are_encrypted_wherever_key_and_data_live(protocol: str, homes: Any) -> None:
    data = RNG.bytes(16 * 5)
    with tc.local(protocol=protocol, transport="memory") as session:
        key, blocks = (
            values if home is None else session.input(values, home)
            for values, home in zip((bits(KEY)[0], bits(data)), homes, strict=True)
        )
        result = tc.aes128(key, blocks).reveal()
    assert result.dtype == bool and data_of(result) == known(modes.ECB(), data)


@pytest.mark.parametrize("counter", [bytes(16), RNG.bytes(16), b"\xff" * 15 + b"\xfb"], ids=["zero", "any", "wraps"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 64, 100])
def test_counter_mode_is_that_of_another_implementation(counter: bytes, n: int) -> None:
    data = RNG.bytes(16 * n)
    o = Oracle()
    key, blocks = o.input(bits(KEY)[0], 0), o.input(bits(data) if n else np.zeros((0, 128), bool), 1)
    hidden = tc.aes128_ctr(key, blocks, counter)
    assert data_of(hidden.reveal()) == known(modes.CTR(counter), data)
    assert data_of(tc.aes128_ctr(key, hidden, counter).reveal()) == data
    # The counters of n blocks are made from two tables of about the square root of n.
    assert len(o.plan.to_bytes()) < 8000 + 2 * 1024 * (4 * n**0.5 + 8)


@pytest.mark.parametrize("per_block", [False, True])
def test_pieces_of_blocks_give_the_whole(per_block: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "loopback", replace(NETWORKS["loopback"], least=64, most=64))
    data = RNG.bytes(16 * 150)
    keys = np.repeat(bits(KEY), 150, axis=0) if per_block else bits(KEY)[0]
    with tc.local(transport="memory") as session:
        result = tc.aes128(session.input(keys, 0), session.input(bits(data), 1))
        cost = session.cost(result)
        assert data_of(result.reveal()) == known(modes.ECB(), data)
        assert (cost.rounds, cost.bytes_total) == (session.last.rounds, session.last.bytes_total)
        # Pieces add no rounds; one each for keys, inputs and the result.
        assert cost.rounds == 30 + 3


def test_what_is_encrypted_and_under_which_key_is_told() -> None:
    o = Oracle()
    key, blocks = o.input(bits(KEY)[0], 0, name="key"), o.input(bits(RNG.bytes(32)), 1, name="records")
    (told,) = [d.what for d in o.program.plan([tc.aes128(key, blocks)]).disclosures() if d.kind == "reveal"]
    assert told == "`result0`: 2 x 128 yes/no values, `records` of p1 encrypted by AES-128 under the key `key` of p0"


def test_what_is_no_block_key_or_counter_is_refused() -> None:
    o = Oracle()
    key, blocks = o.input(bits(KEY)[0], 0), o.input(bits(bytes(48)), 1)
    with pytest.raises(PlanError, match="PLAN-004"):
        tc.aes128(key, np.zeros((3, 128), np.int64))
    with pytest.raises(PlanError, match="PLAN-005"):
        tc.aes128(key, blocks[:, :64])
    with pytest.raises(PlanError, match="PLAN-005"):
        tc.aes128(blocks[:2], blocks)
    for counter in (bytes(15), 0, "0" * 16):
        with pytest.raises(InputError, match=r"INPUT-106.*16 bytes"):
            tc.aes128_ctr(key, blocks, counter)
    with pytest.raises(InputError, match="INPUT-106"):
        tc.aes128_ctr(key, blocks[0], bytes(16))
