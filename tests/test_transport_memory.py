# SPDX-License-Identifier: Apache-2.0
"""The in-process transport: exact counts, and never a wait."""

import numpy as np
import pytest

from tacit.errors import InputError, TransportError
from tacit.transport import Hub


def test_messages_arrive_as_the_concatenation_of_their_buffers():
    hub = Hub(3)
    hub.endpoint(0).post(0, {1: [np.arange(4, dtype=np.uint64).reshape(2, 2), b"xy"], 2: [memoryview(b"z")]}, {})

    inbox = hub.endpoint(1).exchange(0, {}, {0: 34, 2: 0})

    assert bytes(inbox[0]) == np.arange(4, dtype="<u8").tobytes() + b"xy"
    assert bytes(inbox[2]) == b""


def test_an_array_that_is_not_contiguous_travels_in_c_order():
    hub = Hub(2)
    array = np.arange(12, dtype=np.uint16).reshape(3, 4).T

    hub.endpoint(0).post(0, {1: [array]}, {})

    assert bytes(hub.endpoint(1).exchange(0, {}, {0: 24})[0]) == array.tobytes()


def test_several_steps_may_be_posted_and_are_collected_in_order():
    hub = Hub(2)
    for step in range(3):
        hub.endpoint(0).post(2 * step, {1: [bytes([step])] if step != 1 else []}, {1: step})
        hub.endpoint(1).post(2 * step, {0: [bytes(step)]}, {0: 1 if step != 1 else 0})

    assert [bytes(hub.endpoint(1).collect()[0]) for _ in range(3)] == [b"\0", b"", b"\2"]
    assert [len(hub.endpoint(0).collect()[1]) for _ in range(3)] == [0, 1, 2]
    assert hub.endpoint(0).stats.rounds == 3


@pytest.mark.parametrize(
    ("misuse", "what"),
    [
        (lambda end: end.collect(), "no step is posted"),
        (lambda end: end.post(0, {}, {}), "step 0 is past"),
        (lambda end: (end.post(1, {}, {}), end.exchange(2, {}, {})), "step 1 is posted and not collected"),
        (lambda end: (end.post(1, {}, {}), end.finish()), "step 1 is posted and not collected"),
    ],
)
def test_steps_out_of_order_are_refused(misuse, what):
    end = Hub(2).endpoint(0)
    end.exchange(0, {}, {})

    with pytest.raises(TransportError, match=f"TRANSPORT-013.*{what}"):
        misuse(end)


def test_rounds_frames_and_bytes_are_counted_exactly():
    hub = Hub(3)
    ends = [hub.endpoint(i) for i in range(3)]
    for round_, size in enumerate([8, 0, 24]):
        for me, end in enumerate(ends):
            end.post(round_, {(me + 1) % 3: [bytes(size)]}, {(me - 1) % 3: size})
        for end in ends:
            end.collect()

    for end in ends:
        assert (end.stats.rounds, end.stats.frames) == (2, 2)
        assert (end.stats.payload_bytes_sent, end.stats.payload_bytes_received) == (32, 32)
        assert end.stats.wire_bytes_sent == 0


@pytest.mark.parametrize(
    ("post", "expects", "code"),
    [
        (None, {0: 4}, "TRANSPORT-012"),
        ((0, b"abc"), {0: 4}, "TRANSPORT-003"),
        ((1, b"abcd"), {0: 4}, "TRANSPORT-004"),
        ((0, b"abcd"), {}, "TRANSPORT-004"),
    ],
)
def test_a_message_that_is_not_the_expected_one_is_named_at_once(post, expects, code):
    hub = Hub(2, ["alice", "bob"])
    if post:
        hub.endpoint(0).post(post[0], {1: [post[1]]}, {})

    with pytest.raises(TransportError, match=code) as raised:
        hub.endpoint(1).exchange(0, {}, expects)

    assert raised.value.party == "alice"


def test_after_an_abort_every_endpoint_raises_its_error():
    hub = Hub(3)
    error = InputError("INPUT-003", "no such column")

    assert hub.endpoint(1).abort(error) is error

    for index in range(3):
        with pytest.raises(InputError, match="INPUT-003"):
            hub.endpoint(index).exchange(0, {}, {})
        with pytest.raises(InputError, match="INPUT-003"):
            hub.endpoint(index).finish()
    assert hub.endpoint(0).abort(TransportError("TRANSPORT-001", "later")) is error


def test_an_idle_exchange_moves_nothing():
    hub = Hub(2)

    assert hub.endpoint(0).exchange(0, {}, {}) == {}
    assert hub.endpoint(0).exchange(1, {1: []}, {1: 0}) == {1: b""}
    hub.endpoint(0).finish()
    assert hub.endpoint(0).stats.rounds == 0
