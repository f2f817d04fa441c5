# SPDX-License-Identifier: Apache-2.0
"""All that a party gets, given all that it holds, is uniform, or tells no inputs apart where something is opened.

The claim of each primitive, and of sorts, selections, moves and matchings, which open what does not depend on data; and
that what would be a leak is found (`transcripts.leaks`).
"""

from __future__ import annotations

import inspect
from math import inf
from typing import Any

import numpy as np
import pytest

from harness import Words, bits, rep3_boxes, share, u64
from tacit import kernels
from tacit.engine.drive import lockstep
from tacit.library import compact, groups, matching, select, shuffled
from tacit.library import sort as network
from tacit.library.order import Key, joined, positions
from tacit.protocols import rep3
from tacit.protocols.blackbox import DOT, BlackBox
from tacit.protocols.rep3 import Rep3
from tacit.protocols.shares import Arith, Digits
from test_protocols_views import CASES, HIGH, LOW, N, OneStream
from transcripts import OPENING_RUNS, leaks
from views import deal

FEW = 136
"""Two words of bits and an eighth of one: every party has every role, words are padded, packed bytes are not."""


def few(item: Any) -> Any:
    """The first instances of an input of `CASES`; weights belong to no instance."""
    if isinstance(item, Words):
        return bits(item.values[:FEW], item.width)
    return item[:FEW] if len(item) == N else item


def const(value: int) -> np.ndarray:
    return np.full(FEW, value, dtype=np.int64)


async def _line(box: BlackBox, x: Arith, y: Arith) -> Any:
    steps = [("product", 1, 0, 1, 0), ("product", 0, 1, 1, 18), ("combine", 1, 0, 3, 1, 5), ("truncate", 0, 0, 4)]
    return await box.line(steps, [1, 0], [x, y], 2)


ROWS = [u64([7, 7, 7]), u64([LOW, HIGH, 0])]
"""Few, so that what is only moved is not uniform in any place."""


def codes(value: int) -> Digits:
    """Rows of clear digits."""
    boxes = rep3_boxes()
    made = lockstep([b.digits(s) for b, s in zip(boxes, share(boxes, bits(const(value), 9)), strict=True)])
    return Digits(made[0].count, np.bitwise_xor.reduce([x.parts[0] for x in made]))


# name -> (program, inputs a, inputs b), where nothing is opened
CLOSED: dict[str, tuple[Any, list[Any], list[Any]]] = {
    **{k: (program, [*map(few, a)], [*map(few, b)]) for k, (program, a, b) in CASES.items() if k != "open-less"},
    "dot": (lambda b, x, y: b.bilinear(DOT, x, y), [const(0), const(0)], [const(LOW), const(-1)]),
    "line": (_line, [const(0), const(0)], [const(2**30), const(-3)]),
    "digits": (lambda b, x: b.digits(x), [bits(const(0), 9)], [bits(const(341), 9)]),
    "network sort": (lambda b, x: network.sort(b, x, wraps=True), [u64([7, 7])], [u64([HIGH, LOW])]),
    **{name: (CASES[name][0], ROWS[:1], ROWS[1:]) for name in ("shuffle", "shuffle_places")},
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_messages_are_uniform_to_who_holds_all_but_one_key(name: str) -> None:
    program, a, b = CLOSED[name]
    assert leaks(program, {"a": a, "b": b}) == []


# --- what opens something: the same for all data -------------------------------------------------------------------


def keys(*values: int) -> dict[str, list[np.ndarray]]:
    """Equal keys, sorted ones, and ones in no order with ties."""
    n = len(values)
    return {"equal": [np.full(n, 3)], "sorted": [np.arange(n)], "in no order": [np.array(values)]}


def sorting(*bounds: int) -> Any:
    return lambda b, x: shuffled.sort(b, x, bounds=(bounds[0], bounds[1]))


def flags(more: list[int] | None = None) -> dict[str, list[Any]]:
    values = {"none": [0, 0, 0], "all": [1, 1, 1], "one": [0, 1, 0]}
    return {kind: [np.array(f), np.array(f) * 5 if more is None else np.array(more)] for kind, f in values.items()}


def permutations(*rows: int) -> dict[str, list[np.ndarray]]:
    orders = {"as it is": [0, 1, 2], "reversed": [2, 1, 0], "turned": [1, 2, 0]}
    return {kind: [np.array(order), np.array(rows) * k] for k, (kind, order) in enumerate(orders.items())}


async def _match(box: BlackBox, x: Arith, y: Arith) -> Any:
    """Rows of two tables by key, of which party 0 has made the tags of the first: so its keys are no secret to it."""
    keys = Arith(u64([[5], [9]]))
    first = matching.Table(None, [matching.Word(keys[:, 0], 20)] if box.me == 0 else [], x, 0)
    return list(await matching.match(box, first, matching.Table(None, [matching.Word(y[:, 0], 20)], y), 20))


async def _less(box: BlackBox, x: Digits) -> None:
    await box.open_less(x, np.arange(FEW), np.roll(np.arange(FEW), 1))


# name -> (program, kinds of inputs)
OPENED: dict[str, tuple[Any, dict[str, list[Any]]]] = {
    "sort": (sorting(0, 7), keys(5, 1, 1)),
    "sort of wide keys": (sorting(LOW, HIGH), keys(HIGH, LOW, LOW)),
    "sort by digits": (sorting(0, 7), keys(5, 1, 1)),
    "quicksort": (sorting(0, 7), keys(5, 1, 1, 4, 1)),
    "select": (lambda b, x: select.select(b, Key(x, (0, 7)), [1]), keys(5, 1, 1)),
    "first rows": (lambda b, x: select.first_rows(b, [Key(x, (0, 7))], [x], 1), keys(5, 1, 1)),
    "compress": (compact.compress, flags()),
    "expand": (compact.expand, flags()),
    "fill_forward": (compact.fill_forward, flags()),
    "run_sums": (groups.run_sums, flags()),
    "running_sum": (groups.running_sum, flags([1, -1, HIGH])),
    "scatter": (shuffled.scatter, permutations(1, 2, 3)),
    "take": (lambda b, p, x: shuffled.take(b, x, p), permutations(1, 2, 3)),
    "match": (
        _match, {"small": [u64([[5], [9]]), u64([[9], [3]])], "large": [u64([[5], [9]]), u64([[700_000], [5]])]},
    ),
    "open_less": (_less, {"low": [codes(0)], "high": [codes(341)]}),
}  # fmt: skip


@pytest.fixture
def course(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has few rows sorted as many are, where the name of the test says so."""
    name = request.getfixturevalue("name")
    if name == "sort by digits":
        monkeypatch.setattr(shuffled, "sorting", lambda n, keys, network: (0.0, 1.0))
    if name == "first rows":
        monkeypatch.setattr(select, "sorting", lambda n, keys, network: (inf, inf))
    if name == "quicksort":
        # One row of five divides the others; whatever the segments, these batches suffice.
        quick = shuffled.Course(1, (1,), 1, (3, 3))
        monkeypatch.setattr(shuffled, "course", lambda n, network: quick if n == 5 else None)


@pytest.mark.usefixtures("course")
@pytest.mark.parametrize("name", OPENED)
def test_transcripts_tell_no_inputs_apart(name: str) -> None:
    program, kinds = OPENED[name]
    # Party 1 sees the tags, and party 0 has the keys.
    assert leaks(program, kinds, opens=True, runs=OPENING_RUNS, parties=(1,) if name == "match" else range(3)) == []


class Noted:
    """A box that keeps the names of what is asked of it."""

    def __init__(self, box: Any, names: set[str]) -> None:
        vars(self).update(_box=box, _names=names)

    def __getattr__(self, name: str) -> Any:
        self._names.add(name)
        return getattr(self._box, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._box, name, value)


def test_no_primitive_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is that of the classes: what is a coroutine, or declares a cost."""
    sends = {name for name, method in vars(BlackBox).items() if inspect.iscoroutinefunction(method)} - {"check"}
    sends |= {name for name in dir(Rep3) if hasattr(getattr(Rep3, name), "cost")}
    # What tests/test_protocols_views.py looks at, owner by owner and receiver by receiver.
    called = {"input", "input_bits", "reveal"}
    programs = [(program, inputs) for program, inputs, _ in CLOSED.values()]
    programs += [(program, next(iter(kinds.values()))) for program, kinds in OPENED.values()]
    for ready in (False, True):
        monkeypatch.setattr(shuffled, "sorting", lambda n, keys, network, ready=ready: (not ready, ready))
        for program, inputs in programs:
            boxes = rep3_boxes()
            shares = [deal(item, np.random.default_rng(1)) for item in inputs]
            lockstep([program(Noted(b, called), *(s[b.me] for s in shares)) for b in boxes])
    assert sends - called == set()


# --- planted leaks: the same function must find them --------------------------------------------------------------


def planted(name: str, **options: Any) -> list[str]:
    if name in CLOSED:
        program, a, b = CLOSED[name]
        return leaks(program, {"a": a, "b": b}, **options)
    program, kinds = OPENED[name]
    return leaks(program, kinds, opens=True, runs=OPENING_RUNS, **options)


MASKED = {
    "rep3_mul": "mul",
    "rep3_and": "and",
    "rep3_gf256_mul": "gf256_mul",
    "rep3_and_rows": "digits",
    "rep3_less": "open_less",
}


@pytest.mark.parametrize("known", [False, True], ids=["none", "known"])
@pytest.mark.parametrize("kernel", MASKED)
def test_a_missing_mask_and_one_that_the_receiver_knows_are_found(
    kernel: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, mask = getattr(kernels, kernel), kernels.add_prg if kernel == "rep3_mul" else kernels.xor_prg

    def leaking(*arguments: Any) -> Any:
        *operands, own, _, step = arguments
        # A zero share of two equal keys is zero.
        unmasked = real(*operands, own, own, step)
        return mask(unmasked, own, step) if known else unmasked

    monkeypatch.setattr(rep3.kernels, kernel, leaking)
    assert planted(MASKED[kernel], parties=[0])


@pytest.mark.parametrize(
    "name",
    [
        "two-products",
        "two-byte-products",
        "aes-inverse",
        "is_zero",
        "all_bits",
        "msb",
        "precedes",
        "a2b",
        "a2b-7",
        "b2a-8",
        "inject",
        "lut",
        "lut_numbers",
        "truncate-exact",
        "digits",
    ],
)
def test_streams_that_two_steps_draw_are_found(name: str) -> None:
    assert planted(name, protocol=OneStream)


def silent(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has everyone take a stream for zeros."""
    for name in ("add_prg", "sub_prg", "xor_prg"):
        real = getattr(kernels, name)
        monkeypatch.setattr(
            rep3.kernels, name, lambda x, key, at, real=real: np.array(x) if at == step else real(x, key, at)
        )
    real = kernels.prg_words
    monkeypatch.setattr(rep3.kernels, "prg_words", lambda key, at, n: real(key, at, n) * np.uint64(at != step))


@pytest.mark.parametrize("step", range(1, 6))
def test_each_mask_of_a_shuffle_is_needed(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    silent(step, monkeypatch)
    assert planted("shuffle_places")


def test_who_knows_the_order_of_shuffled_rows_tells_inputs_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without its mask what party 2 sends to party 1 is shares that party 1 has, in the order that it should not know.
    # That alone is the same for all inputs; with the outcomes that open later it tells the order of the keys.
    silent(1, monkeypatch)
    (found,) = planted("sort", parties=[1])
    assert "pairs of bits tell in no order from equal" in found


class Positions(Rep3):
    """Shows everyone where shuffled rows come from."""

    async def shuffle(self, rows: Arith) -> Arith:
        rows = await super().shuffle(rows)
        await self.reveal(rows[:, -1])
        return rows


def test_an_opening_too_much_is_found() -> None:
    assert planted("sort", protocol=Positions, parties=[0])


class Whisper(Rep3):
    """Sends a bit of what it holds where there is padding."""

    async def _completed(self, x: Any, z: Any) -> Any:
        low = (x.parts[0] ^ x.parts[1])[0, 0] << np.uint64(63)
        z[-1, -1] = z[-1, -1] & np.uint64(2**63 - 1) | low
        return await super()._completed(x, z)


def test_a_bit_in_the_padding_is_found() -> None:
    assert planted("and", protocol=Whisper)


def test_ties_broken_by_the_shuffled_position_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def shuffled_position(box: BlackBox, keys: Any, index: Any) -> Any:
        return joined(box, keys, positions(box, index.shape))

    monkeypatch.setattr(shuffled, "joined", shuffled_position)
    assert planted("sort", parties=[0])


@pytest.mark.usefixtures("course")
@pytest.mark.parametrize("name", ["quicksort"])
def test_batches_that_are_not_filled_up_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = kernels.segment_pairs
    monkeypatch.setattr(shuffled.kernels, "segment_pairs", lambda *segments: real(*segments[:-1], 0))
    (found,) = planted(name, parties=[0])
    assert "differ from run to run" in found


def test_a_message_whose_length_depends_on_the_input_is_found() -> None:
    async def rows_with_a_bit(box: BlackBox, x: Arith) -> Arith:
        which = np.flatnonzero(await box.reveal(x))
        return await box.mul(x[which], x[which])

    (found,) = leaks(rows_with_a_bit, {"none": [u64([0, 0])], "one": [u64([0, 1])]}, opens=True, runs=1)
    assert "size of messages tell one from none" in found
