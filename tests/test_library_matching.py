# SPDX-License-Identifier: Apache-2.0
"""Tags of keys and rows matched by them: the published answers, right rows, at the cost that dry says, and nothing
opened but which rows are equal.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Words, bits, dry_cost, rep3_boxes, run, run_plain, run_rep3, u64
from tacit.errors import RunError
from tacit.library import ascon, matching
from tacit.protocols.blackbox import BlackBox, Cost
from tacit.protocols.rep3 import Rep3
from tacit.protocols.shares import Arith, Bits


def agrees(program: Any, *inputs: Any, seed: int = 0) -> Any:
    """What rep3 gives, at the cost that dry says."""
    result, traffic = run_rep3(program, *inputs, seed=seed)
    assert dry_cost(program, *inputs) == traffic.cost
    return result, traffic.cost


# --- Ascon-PRFshort -------------------------------------------------------------------------------------------------


def words(data: bytes) -> list[Words]:
    """The two words of each 16 bytes."""
    both = np.frombuffer(data, ">u8").reshape(-1, 2).astype(np.uint64)
    return [bits(both[:, k], 64) for k in (0, 1)]


async def _prf(box: BlackBox, *x: Bits) -> list[Bits]:
    out = await ascon.prf(box, Bits.concat_bits(x[:2]), Bits.concat_bits(x[2:]))
    return [out[:64], out[64:]]


def tags(key: bytes, data: bytes) -> tuple[bytes, Cost]:
    given = [*words(key), *words(data)]
    found, cost = agrees(_prf, *given)
    for a, b in zip(found, run_plain(_prf, *given), strict=True):
        np.testing.assert_array_equal(a, b)
    return np.stack(found, axis=1).astype(">u8").tobytes(), cost


def test_the_published_answer() -> None:
    # The last of the designers' answers for messages of 0 to 16 bytes.
    data = bytes(range(16))
    assert tags(data, data)[0].hex() == "bd03ea334bebefc4d7ddaef4b1df1485"


def reference(key: bytes, data: bytes) -> bytes:
    """Ascon-PRFshort on two words at a time, by the specification's equations."""
    mask = 2**64 - 1

    def turned(x: int, by: int) -> int:
        return (x >> by | x << (64 - by)) & mask

    k, m = (np.frombuffer(b, ">u8").astype(object) for b in (key, data))
    x = [0x80804C8000000000, int(k[0]), int(k[1]), int(m[0]), int(m[1])]
    for number in range(12):
        x[2] ^= 0xF0 - 0xF * number
        x[0] ^= x[4]
        x[4] ^= x[3]
        x[2] ^= x[1]
        x = [x[i] ^ (~x[(i + 1) % 5] & x[(i + 2) % 5] & mask) for i in range(5)]
        x[1] ^= x[0]
        x[0] ^= x[4]
        x[3] ^= x[2]
        x[2] ^= mask
        turns = ((19, 28), (61, 39), (1, 6), (10, 17), (7, 41))
        x = [w ^ turned(w, a) ^ turned(w, b) for w, (a, b) in zip(x, turns, strict=True)]
    return b"".join(int(w ^ int(own)).to_bytes(8) for w, own in zip(x[3:], k, strict=True))


@settings(max_examples=20, deadline=None)
@given(n=st.sampled_from([1, 2, 63, 64, 65, 200]), seed=st.integers(0, 2**32))
def test_any_inputs(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    key, data = rng.bytes(16), rng.bytes(16 * n)
    found, cost = tags(key, data)
    assert found == b"".join(reference(key, data[at : at + 16]) for at in range(0, 16 * n, 16))
    assert cost == Cost(12, 1392 * 64 * -(-n // 64))


def test_pieces_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    key, data = rng.bytes(16), rng.bytes(16 * 500)
    whole = tags(key, data)
    monkeypatch.setattr("tacit.protocols.network.Network.spans", lambda self, n: [(0, 64), (64, 384), (384, n)])
    assert tags(key, data) == whole


# --- matching -------------------------------------------------------------------------------------------------------


def table(rng: np.random.Generator, keys: np.ndarray, columns: int, flags: bool) -> list[np.ndarray]:
    n = len(keys)
    held = [rng.integers(0, 2, n)] if flags else []
    return [*held, keys & 0xFFFFFFFF, keys >> 32, rng.integers(-5, 5, (n, columns))]


def program(flags: tuple[bool, bool], key_bits: tuple[int, int] = (32, 31)) -> Any:
    async def match(box: BlackBox, *x: Arith) -> list[Any]:
        tables, rest = [], list(x)
        for has in flags:
            held = rest.pop(0) if has else None
            keys = [matching.Word(rest.pop(0), n) for n in key_bits]
            tables.append(matching.Table(held, keys, rest.pop(0)))
        return list(await matching.match(box, *tables, sum(key_bits)))

    return match


def expected(first: list[np.ndarray], second: list[np.ndarray], flags: tuple[bool, bool]) -> Counter[tuple[int, ...]]:
    (*held, a, b, x), (*other, c, d, y) = first, second
    known = {(int(p), int(q)): row for k, (p, q, row) in enumerate(zip(a, b, x, strict=True)) if not held or held[0][k]}
    rows: Counter[tuple[int, ...]] = Counter()
    for k in range(len(c)):
        partner = known.get((int(c[k]), int(d[k]))) if not other or other[0][k] else None
        brought = np.zeros(x.shape[1], np.int64) if partner is None else partner
        rows[(int(partner is not None), *map(int, brought), *map(int, y[k]))] += 1
    return rows


@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("sizes", [(1, 1), (1, 70), (70, 1), (40, 90), (130, 100)])
@pytest.mark.parametrize("columns", [(0, 0), (2, 1)])
def test_matched_rows(sizes: tuple[int, int], flags: tuple[bool, bool], columns: tuple[int, int]) -> None:
    rng = np.random.default_rng(sizes)
    keys = rng.permutation(200)[: sizes[0]] * 0x3_0000_0007
    other = rng.integers(0, 200, sizes[1]) * 0x3_0000_0007
    first, second = table(rng, keys, columns[0], flags[0]), table(rng, other, columns[1], flags[1])
    inputs = [u64(x) for x in (*first, *second)]
    (found, rows), _ = agrees(program(flags), *inputs)
    plain = run_plain(program(flags), *inputs)
    want = expected(first, second, flags)
    for f, r in ((found, rows), plain):
        assert Counter((int(a), *map(int, row)) for a, row in zip(f, r.view(np.int64), strict=True)) == want


@pytest.mark.parametrize("flags", [False, True])
@pytest.mark.parametrize("homes", [(0, 1), (2, 0), (1, 1), (1, None), (None, 2), (None, None)])
def test_tags_made_at_home_are_like_those_made_on_shares(homes: tuple[int | None, int | None], flags: bool) -> None:
    rng = np.random.default_rng(7)
    keys = rng.permutation(100)[:64] * 0x3_0000_0007
    tables = [table(rng, k, 2, flags) for k in (keys, rng.integers(0, 100, 128) * 0x3_0000_0007)]

    async def match(box: BlackBox, *rows: Arith) -> list[Any]:
        made = []
        for home, own, x in zip(homes, tables, rows, strict=True):
            *held, a, b, _ = (Arith(u64(v)) for v in own)
            if home is None:
                # A sharing of public values does for what is computed of it.
                *held, a, b = (box.constant(v.parts[0]) for v in (*held, a, b))
            words = [matching.Word(a, 32), matching.Word(b, 31)] if home in (None, box.me) else []
            made.append(matching.Table(held[0] if held and words else None, words, x, home))
        return list(await matching.match(box, *made, 63))

    inputs = [u64(own[-1]) for own in tables]
    (found, rows), cost = agrees(match, *inputs)
    assert Counter((int(f), *map(int, r)) for f, r in zip(found, rows.view(np.int64), strict=True)) == expected(
        *tables, (flags, flags)
    )
    if None not in homes:
        # Tags of 16 bytes are shared, shuffled and opened, with two columns beside them; the viewer tells all where
        # the partners are; five columns are shuffled again, of which one becomes bits.
        each = 16 + 32 * (2 + 2) + 16
        assert cost.bytes_total == each * (64 + 128) + (16 + 32 * 5) * 128 + 128 // 8
        assert cost.rounds == 8
    else:
        assert cost.rounds <= 27 + 2 * flags
        rows_shared = sum(n for n, home in zip((64, 128), homes, strict=True) if home is None)
        assert 1500 * rows_shared < cost.bytes_total < 1800 * rows_shared + 400 * 192


class Seen(Rep3):
    """A party that keeps the tags it sees."""

    tags: list[np.ndarray]

    async def open_tags(self, x: Any, to: int) -> Any:
        opened = await super().open_tags(x, to)
        if opened is not None:
            self.tags.append(opened)
        return opened


def seen_by_one(
    first: list[np.ndarray], second: list[np.ndarray], flags: tuple[bool, bool], seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What one party sees, and no other: the tags of both tables; and the result."""
    boxes = rep3_boxes(seed, Seen)
    for box in boxes:
        box.tags = []
    result, _ = run(boxes, program(flags), *(u64(x) for x in (*first, *second)))
    assert [len(box.tags) for box in boxes] == [2, 0, 0]
    return boxes[0].tags, result


def pattern(tags: list[np.ndarray]) -> Counter[tuple[int, int]]:
    """How often tags are there: (times in the first table, times in the second) and of how many tags that is true."""
    one, other = (Counter(map(bytes, t)) for t in tags)
    return Counter((one[t], other[t]) for t in one.keys() | other.keys())


def test_what_opens_tells_which_rows_are_equal_and_rows_without_a_flag_are_like_no_other() -> None:
    rng = np.random.default_rng(2)
    first = [np.array([1, 1, 0, 0]), np.array([7, 8, 9, 9]), np.zeros(4, np.int64), rng.integers(0, 9, (4, 1))]
    second = [np.array([1, 1, 1, 0, 0, 1]), np.array([7, 7, 9, 7, 9, 3]), np.zeros(6, np.int64), np.zeros((6, 1), int)]
    found, _ = seen_by_one(first, second, (True, True), 1)
    # Two rows of the second match one of the first; of the others, those without a flag included, none is like any.
    assert pattern(found) == Counter({(1, 2): 1, (1, 0): 3, (0, 1): 4})


def test_tags_are_the_same_pattern_for_other_keys_and_are_new_in_every_run() -> None:
    rng = np.random.default_rng(3)
    keys = rng.choice(2**31, 50, replace=False)
    other = keys[rng.integers(0, 50, 80)]
    seen: list[bytes] = []
    counted = set()
    for seed, turn in ((1, 0), (2, 0), (3, 2**31)):
        first, second = (table(np.random.default_rng(4), (k + turn) << 20, 1, False) for k in (keys, other))
        found, _ = seen_by_one(first, second, (False, False), seed)
        counted.add(frozenset(pattern(found).items()))
        seen += [bytes(t) for part in found for t in part]
    assert len(counted) == 1
    # 50 keys in each of three runs, none alike.
    assert len(set(seen)) == 150
    ones = np.unpackbits(np.frombuffer(b"".join(set(seen)), np.uint8)).mean()
    assert abs(ones - 0.5) < 0.02


def test_where_the_rows_of_a_match_stand_is_new_in_every_run_and_no_place_of_the_result_tells_of_it() -> None:
    keys = np.arange(4)
    tables = [[keys, np.zeros(4, int), keys[:, None]] for _ in range(2)]
    places: Counter[tuple[int, int]] = Counter()
    orders = set()
    for seed in range(200):
        found, (_, rows) = seen_by_one(*tables, (False, False), seed)
        orders.add(tuple(int(v) for v in rows[:, 0]))
        # Among the opened rows of the second table, which stands where the result has row 0?
        places[(int(rows[0, 0]), int(matching.partners(*found)[0]))] += 1
    assert len(orders) == 24
    assert len(places) == 16
    assert max(places.values()) < 35


def test_partners_of_tags_with_a_word_in_common() -> None:
    first = np.array([[5, 1], [5, 3], [5, 2], [9, 9]], np.uint64)
    second = np.array([[5, 2], [5, 9], [9, 9], [0, 0], [5, 3]], np.uint64)
    assert matching.partners(first, second).tolist() == [3, 0, 4, 0, 2]


@pytest.mark.parametrize("place", [5, 2**63, 2**64 - 1])
def test_places_that_no_row_has_are_refused(place: int) -> None:
    class Wrong(Rep3):
        async def announce(self, owner: int, values: Any, shape: tuple[int, ...]) -> Any:
            return await super().announce(owner, None if values is None else np.full(shape, place, np.uint64), shape)

    rng = np.random.default_rng(1)
    tables = [table(rng, np.arange(n), 1, False) for n in (4, 6)]
    with pytest.raises(RunError, match="RUN-018"):
        run(rep3_boxes(0, Wrong), program((False, False)), *(u64(x) for own in tables for x in own))
