# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS over loopback: what arrives, what is refused, and how every fault ends at every party."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from harness import rep3_boxes, share
from tacit.engine.drive import Traffic, drive, lockstep
from tacit.errors import InputError, RoomError, RunError, TacitError, TransportError
from tacit.transport import (
    Connection,
    Hub,
    Identity,
    Kind,
    Limits,
    Listener,
    TlsTransport,
    connect,
    connect_mesh,
    make_identity,
    new_session,
    pin_of,
)
from tacit.transport.frame import Header

NAMES = ["alice", "bob", "carol"]
IDENTITIES = [make_identity(name) for name in NAMES]
PINS = [identity.pin for identity in IDENTITIES]
QUICK = Limits(silence_s=1.0, step_timeout_s=2.0, grace_s=0.5)
SESSION = bytes(range(16))


def together(*calls):
    """Run all calls at the same time; returns their results, or the exceptions they raised."""

    def settled(call):
        try:
            return call()
        except BaseException as error:  # noqa: BLE001
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(settled, calls))


def joined(*calls):
    """As `together`, for calls that must not fail."""
    results = together(*calls)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@contextlib.contextmanager
def meshes(parties=3, limits=QUICK, network=None):
    """The transports of all parties, in one process."""
    listeners = [Listener.bind("127.0.0.1", 0, IDENTITIES[i]) for i in range(parties)]
    addresses = [("127.0.0.1", listener.port) for listener in listeners]

    def join(me):
        return connect_mesh(
            me,
            IDENTITIES[me],
            listeners[me],
            addresses,
            PINS[:parties],
            SESSION,
            names=NAMES[:parties],
            limits=limits,
            network=network,
        )

    ends = joined(*(lambda me=me: join(me) for me in range(parties)))
    try:
        yield ends
    finally:
        for end in ends:
            end.close()
        for listener in listeners:
            listener.close()


def ring(end, steps=range(3), size=100):
    """Pass an array around; returns what came."""
    before, after = (end.me - 1) % end.parties, (end.me + 1) % end.parties
    for step in steps:
        message = np.full(size, end.me + step, np.uint8)
        inbox = end.exchange(step, {after: [message]}, {before: size})
        assert bytes(inbox[before]) == bytes([before + step]) * size
    return inbox


@contextlib.contextmanager
def villain(limits=QUICK):
    """Honest transports of alice and bob, and carol's bare connections to both."""
    listeners = [Listener.bind("127.0.0.1", 0, identity) for identity in IDENTITIES]
    addresses = [("127.0.0.1", listener.port) for listener in listeners]
    outgoing, incoming = {}, {}

    def join(me):
        return connect_mesh(me, IDENTITIES[me], listeners[me], addresses, PINS, SESSION, names=NAMES, limits=limits)

    def carol():
        listeners[2].allow(PINS)
        for peer in (0, 1):
            outgoing[peer] = connect(*addresses[peer], IDENTITIES[2], PINS[peer], 5)
            outgoing[peer].send(Kind.CONTROL, SESSION, 0, json.dumps({"mesh": 2}).encode())
        for _ in (0, 1):
            connection = listeners[2].accept(5)
            incoming[PINS.index(connection.peer_pin)] = connection

    alice, bob, _ = joined(lambda: join(0), lambda: join(1), carol)
    try:
        yield (alice, bob), outgoing
    finally:
        for closing in (alice, bob, *outgoing.values(), *incoming.values(), *listeners):
            closing.close()


def all_to_all(end, steps=range(3), size=8):
    peers = [p for p in range(3) if p != end.me]
    for step in steps:
        end.exchange(step, {p: [bytes(size)] for p in peers}, dict.fromkeys(peers, size))
    end.finish()


def raised_by_all(results, code, party, within=None, since=None):
    assert all(isinstance(r, TacitError) for r in results), results
    assert {(r.code, r.party) for r in results} == {(code, party)}
    assert len({str(r) for r in results}) == 1
    if within is not None:
        assert time.monotonic() - since < within


# What arrives.


def test_messages_of_every_size_arrive_whole():
    rng = np.random.default_rng(1)
    sizes = [0, 1, 39, 40, 16_383, 16_384, 16_385, 65_495, 65_496, 65_497, 300_001, 1 << 20, 8 << 20]
    with meshes(2) as ends:
        for step, size in enumerate(sizes):
            message = rng.integers(0, 256, size, np.uint8)
            pieces = [message[: size // 3], message[size // 3 :].tobytes()]

            one, two = together(
                lambda step=step, size=size, p=pieces: ends[0].exchange(step, {1: p}, {1: size}),
                lambda step=step, size=size, m=message: ends[1].exchange(step, {0: [m]}, {0: size}),
            )

            assert bytes(one[1]) == bytes(two[0]) == message.tobytes()
        traffic = ends[0].stats
    assert traffic.payload_bytes_sent == traffic.payload_bytes_received == sum(sizes)
    assert traffic.frames == traffic.rounds == len(sizes) - 1
    assert sum(sizes) < traffic.wire_bytes_sent < 1.01 * sum(sizes) + 2000


@pytest.mark.parametrize("rows", [4, 400])
def test_arrays_of_any_shape_type_and_order_travel_in_c_order(rows):
    # Small ones are copied, large ones are not.
    words = np.arange(3 * rows, dtype=np.uint64).reshape(3, rows)
    octets = words.astype(np.uint8)
    unaligned = np.frombuffer(bytes(range(33)), np.uint64, offset=1, count=4)
    arrays = [words, words.T, words[:, ::-2], words.astype(">u8"), unaligned, octets, octets.T, np.full((), 7, "u4")]
    with meshes(2) as ends:
        sends = [*arrays, np.zeros((0, 3)), b"", bytearray(b"x"), memoryview(b"y")]
        expected = b"".join(array.tobytes() for array in arrays) + b"xy"

        _, inbox = together(
            lambda: ends[0].exchange(0, {1: sends}, {}), lambda: ends[1].exchange(0, {}, {0: len(expected)})
        )

    assert bytes(inbox[0]) == expected


def test_counts_are_those_of_the_memory_transport():
    def program(end):
        for step, size in enumerate([8, 0, 1000]):
            post, peers = [bytes(size)], [p for p in range(3) if p != end.me]
            yield step, dict.fromkeys(peers, post), dict.fromkeys(peers, size)

    hub = Hub(3)
    for rounds in zip(*(program(hub.endpoint(i)) for i in range(3)), strict=True):
        for me, request in enumerate(rounds):
            hub.endpoint(me).post(*request)
        for me in range(3):
            hub.endpoint(me).collect()
    with meshes() as ends:
        together(*(lambda end=end: [end.exchange(*request) for request in program(end)] for end in ends))
        for end in ends:
            counted, on_wire = hub.endpoint(end.me).stats, end.stats
            on_wire.wire_bytes_sent = 0
            assert on_wire == counted


def test_all_parties_may_send_large_messages_first():
    with meshes(limits=Limits(silence_s=5.0, early_bytes_max=1 << 16)) as ends:
        results = together(*(lambda end=end: all_to_all(end, size=4 << 20) for end in ends))

    assert results == [None, None, None]


def test_all_parties_may_post_several_large_steps_before_they_collect_any():
    with meshes(limits=Limits(silence_s=5.0, early_bytes_max=1 << 16)) as ends:

        def run(end):
            peers, size = [p for p in range(3) if p != end.me], 1 << 20
            messages = [np.full(size + step, 3 * step + end.me, np.uint8) for step in range(4)]
            for step, message in enumerate(messages):
                end.post(step, {p: [message] for p in peers}, dict.fromkeys(peers, size + step))
            for step in range(4):
                inbox = end.collect()
                assert all(bytes(inbox[p]) == bytes([3 * step + p]) * (size + step) for p in peers)
            end.finish()
            return end.stats.rounds

        assert together(*(lambda end=end: run(end) for end in ends)) == [4, 4, 4]


def test_small_messages_beyond_what_sockets_hold_may_be_posted_before_any_is_collected():
    steps, size = 20_000, 1000
    with meshes(2, Limits(silence_s=5.0, early_bytes_max=1 << 16)) as ends:

        def run(end):
            peer = 1 - end.me
            for step in range(steps):
                end.post(step, {peer: [bytes([step % 251]) * size]}, {peer: size})
            return all(bytes(end.collect()[peer][:1]) == bytes([step % 251]) for step in range(steps))

        assert joined(*(lambda end=end: run(end) for end in ends)) == [True, True]


@pytest.mark.parametrize("pause_s", [0, 0.001, 0.005, 0.02])
def test_rounds_of_changing_size_and_pace_arrive(pause_s):
    # Across the borders at which reading changes hands: small and large steps, at once and after a pause.
    sizes = [8, 8, 200_000, 8, 1, 70_000, 60_000, 8, 8, 2_000_000, 8] * 3
    with meshes(limits=Limits(silence_s=5.0)) as ends:

        def run(end):
            peers = [p for p in range(3) if p != end.me]
            for step, size in enumerate(sizes):
                message = np.full(size, step + end.me, np.uint8)
                inbox = end.exchange(step, {p: [message] for p in peers}, dict.fromkeys(peers, size))
                assert all(np.all(np.frombuffer(inbox[p], np.uint8) == step + p) for p in peers)
                if (step + end.me) % 3 == 0:
                    time.sleep(pause_s)
            end.finish()
            return "done"

        assert joined(*(lambda end=end: run(end) for end in ends)) == ["done"] * 3


@pytest.mark.parametrize("early", [{"early_bytes_max": 1 << 16}, {"early_frames_max": 2}])
@pytest.mark.parametrize("network", [None, "lan"])
def test_random_steps_with_several_outstanding_arrive_whole_and_in_order(network, early):
    rng = np.random.default_rng(7)
    steps = 300
    # Many small messages, some that are none, some larger than a socket's buffers.
    sizes = (10 ** rng.uniform(0, [[3], [3], [6]], (3, steps)) * (rng.random((3, steps)) < 0.9)).astype(int)
    hops = rng.integers(1, 3, steps)
    windows = rng.integers(1, 9, (3, steps))

    def message(me, step):
        return np.random.default_rng([me, step]).integers(0, 256, sizes[me, step], np.uint8)

    def run(end):
        posted = 0
        for step in range(steps):
            while posted < min(steps, step + windows[end.me, step]):
                before, after = (end.me - hops[posted]) % 3, (end.me + hops[posted]) % 3
                end.post(posted, {int(after): [message(end.me, posted)]}, {int(before): int(sizes[before, posted])})
                posted += 1
            ((peer, view),) = end.collect().items()
            assert bytes(view) == message(peer, step).tobytes()
        end.finish()
        return end.stats

    with meshes(limits=Limits(silence_s=5.0, **early), network=network) as ends:
        results = joined(*(lambda end=end: run(end) for end in ends))
    for me, stats in enumerate(results):
        assert stats.payload_bytes_sent == sizes[me].sum()
        assert stats.frames == (sizes[me] > 0).sum()


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
    with meshes(2) as ends:
        end = ends[0]
        end.exchange(0, {}, {})

        with pytest.raises(TransportError, match=f"TRANSPORT-013.*{what}"):
            misuse(end)


def test_a_party_may_run_ahead_of_a_slow_one_as_far_as_the_bound_and_then_waits():
    steps, size = 40, 100_000
    with meshes(2, Limits(silence_s=5.0, early_bytes_max=4 * size)) as ends:
        started = threading.Event()

        def fast():
            started.set()
            for step in range(steps):
                ends[0].exchange(step, {1: [bytes([step]) * size]}, {})

        def slow():
            started.wait()
            time.sleep(0.2)
            return [bytes(ends[1].exchange(step, {}, {0: size})[0][:1]) for step in range(steps)]

        _, seen = together(fast, slow)

    assert seen == [bytes([step]) for step in range(steps)]


@pytest.mark.parametrize(("network", "trips"), [(None, 2000), ("lan", 200)])
def test_a_loop_in_which_one_party_only_sends_is_that_of_lockstep_to_the_last_bit(network, trips):
    # Role 0 of a truncation waits for nobody; here it may be 16 messages ahead.
    def programs():
        boxes = rep3_boxes()
        x, none = share(boxes, np.array([1 << 40, -7, 12345])), share(boxes, np.zeros(3))
        steps = [("truncate", 1, 0, 1)]
        return [box.line(steps, [1], [x[box.me], none[box.me]], trips) for box in boxes]

    def parts(results):
        return [[part.tolist() for part in result[0].parts] for result in results]

    traffic = Traffic()
    expected = parts(lockstep(programs(), traffic))
    with meshes(limits=Limits(silence_s=5.0, early_frames_max=16), network=network) as ends:

        def run(end, program):
            result = drive(program, end)
            end.finish()
            return result

        runs = zip(ends, programs(), strict=True)
        assert parts(joined(*(lambda end=end, p=program: run(end, p) for end, program in runs))) == expected
        assert {end.me: end.stats.payload_bytes_sent for end in ends} == traffic.bytes_sent
    assert traffic.rounds == 2 * trips


@pytest.mark.parametrize("size", [0, 30_000_000])
def test_a_party_far_ahead_waits_for_longer_than_a_step_may_take_while_its_peer_comes_nearer(size):
    # It waits for a message, or for the socket to take its own, which is early and not the first.
    limits = Limits(silence_s=2.0, step_timeout_s=2.0, grace_s=0.2, early_frames_max=1)
    steps = 40
    with meshes(2, limits) as ends:
        begun = threading.Event()

        def ahead():
            ends[0].exchange(steps, {1: [b"first"]}, {})
            begin = time.monotonic()
            begun.set()
            message = ends[0].exchange(steps + 1, {1: [bytes(size)]}, {1: 8})[1]
            return bytes(message), time.monotonic() - begin

        def behind():
            begun.wait()
            for step in range(steps):
                ends[1].exchange(step, {}, {})
                time.sleep(0.08)
            ends[1].exchange(steps, {}, {0: 5})
            return len(ends[1].exchange(steps + 1, {0: [bytes(range(8))]}, {0: size})[0])

        (message, waited), received = joined(ahead, behind)

    assert message == bytes(range(8)) and received == size
    assert waited > limits.step_timeout_s


@pytest.mark.parametrize("network", [None, "lan"])
def test_a_party_far_ahead_of_one_that_stands_still_waits_for_it_and_then_names_it(network):
    limits = Limits(silence_s=5.0, step_timeout_s=1.0, grace_s=0.2, early_frames_max=16)
    with meshes(2, limits, network) as ends, pytest.raises(TransportError) as raised:
        # More than any socket holds.
        for step in range(100_000):
            ends[0].exchange(step, {1: [bytes(1000)]}, {})

    assert (raised.value.code, raised.value.party) == ("TRANSPORT-012", "bob")
    assert "did not take the message" in raised.value.what


def test_a_transport_serves_several_sessions_even_if_one_party_is_faster():
    with meshes() as ends:

        def sessions(end):
            for number in range(3):
                all_to_all(end)
                if end.me == 1:
                    time.sleep(0.05)
                end.begin(bytes([number + 1]) * 16)
            return "done"

        assert together(*(lambda end=end: sessions(end) for end in ends)) == ["done"] * 3


def test_a_transport_serves_the_next_session_after_an_abort():
    with meshes() as ends:

        def session(end):
            if end.me == 1:
                return end.abort(InputError("INPUT-003", "no such column", party="bob"))
            with pytest.raises(InputError) as raised:
                all_to_all(end)
            return raised.value

        raised_by_all(together(*(lambda end=end: session(end) for end in ends)), "INPUT-003", "bob")

        for end in ends:
            end.begin(bytes(16))
        assert together(*(lambda end=end: all_to_all(end) for end in ends)) == [None] * 3


@pytest.mark.parametrize(("network", "rtt", "rate"), [("lan", 0.001, 125e6), ("wan", 0.040, 12.5e6)])
def test_an_emulated_network_has_its_latency_and_rate(network, rtt, rate):
    rounds, size = 5, 250_000
    with meshes(2, network=network) as ends:
        begin = time.monotonic()
        together(*(lambda end=end: ring(end, range(rounds)) for end in ends))
        small = time.monotonic() - begin
        together(*(lambda end=end: ring(end, range(rounds, rounds + 2), size) for end in ends))
        large = time.monotonic() - begin - small

    assert rounds * rtt / 2 <= small < rounds * rtt / 2 + 0.25
    assert 2 * (rtt / 2 + size / rate) <= large < 2 * (rtt / 2 + size / rate) + 0.25


# Who may talk.


def test_tls_is_1_3_with_the_hybrid_group_and_both_sides_know_each_other():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])
        client = connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 5)
        server = listener.accept(5)

        for side in (client, server):
            assert side.tls["version"] == "TLSv1_3"
            assert side.tls["group"] == "X25519MLKEM768"
        assert (client.peer_pin, server.peer_pin) == (PINS[0], PINS[1])

        client.send(Kind.CONTROL, SESSION, 3, b"question")
        assert server.recv(5) == (Kind.CONTROL, SESSION, 3, b"question")
        server.send(Kind.CONTROL, SESSION, 4, b"x" * 1_000_000)
        assert client.recv(5) == (Kind.CONTROL, SESSION, 4, b"x" * 1_000_000)
        client.close()
        with pytest.raises(TransportError, match="TRANSPORT-001"):
            server.recv(5)
        server.close()


def test_a_client_without_a_pinned_certificate_is_refused_before_any_application_byte():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])

        with pytest.raises(TransportError, match="TRANSPORT-009"):
            connect("127.0.0.1", listener.port, IDENTITIES[2], PINS[0], 5)
        with pytest.raises(TransportError, match="TRANSPORT-009"):
            listener.accept(5)

        friend = connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 5)
        assert listener.accept(5).peer_pin == PINS[1]
        friend.close()


def test_a_server_without_the_pinned_certificate_is_refused_before_any_application_byte():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])

        with pytest.raises(TransportError, match=r"TRANSPORT-009.*not pinned"):
            connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[2], 5)
        with pytest.raises(TransportError, match="TRANSPORT-009"):
            listener.accept(5)


def test_nobody_is_accepted_before_pins_are_allowed():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        with pytest.raises(TransportError, match="TRANSPORT-010"):
            connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 0.3)
        listener.allow([])
        with pytest.raises(TransportError, match="TRANSPORT-009"):
            connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 5)


def test_a_dialler_that_says_nothing_does_not_hold_up_the_others():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])
        with socket.create_connection(("127.0.0.1", listener.port)):
            client = connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 5)
            assert listener.accept(5).peer_pin == PINS[1]
            client.close()


def idle(port, count, source="127.0.0.1"):
    """Connections that never say anything."""
    with contextlib.ExitStack() as kept:
        for _ in range(count):
            kept.enter_context(socket.create_connection(("127.0.0.1", port), source_address=(source, 0)))
        return kept.pop_all()


def test_diallers_of_one_host_do_not_keep_out_those_of_another():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])
        with idle(listener.port, 80, source="127.0.0.2"):
            client = connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 3)
            assert listener.accept(5).peer_pin == PINS[1]
            client.close()


def test_a_dialler_that_is_dropped_dials_again():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])
        with idle(listener.port, 40), pytest.raises(TransportError, match="TRANSPORT-010"):
            connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 0.5)
        crowd = idle(listener.port, 40)
        timer = threading.Timer(0.5, crowd.close)
        timer.start()

        client = connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 5)

        assert client.peer_pin == PINS[0]
        client.close()
        timer.join()


def test_a_reset_during_the_handshake_is_the_diallers_failure_not_the_listeners():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])
        with socket.create_connection(("127.0.0.1", listener.port)) as stranger:
            stranger.sendall(b"\x16\x03\x01")
            time.sleep(0.05)
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        with pytest.raises(TransportError, match="TRANSPORT-009"):
            listener.accept(5)


def test_closing_a_connection_that_another_thread_uses_is_a_named_error():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])
        client = connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 5)
        reader = threading.Thread(target=lambda: together(lambda: client.recv(1.0)))
        reader.start()
        time.sleep(0.2)

        with pytest.raises(TransportError, match="TRANSPORT-013"):
            client.close()

        reader.join()
        client.close()


def test_garbage_instead_of_a_handshake_is_refused():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])
        with socket.create_connection(("127.0.0.1", listener.port)) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

            with pytest.raises(TransportError, match="TRANSPORT-009"):
                listener.accept(5)


def test_an_address_where_nobody_listens_is_unreachable_within_the_time():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        begin = time.monotonic()

        with pytest.raises(TransportError, match="TRANSPORT-010"):
            connect("127.0.0.1", bound.getsockname()[1], IDENTITIES[0], PINS[1], 0.3)

        assert 0.3 <= time.monotonic() - begin < 1.0


def test_accept_gives_up_after_its_time():
    listener = Listener.bind("127.0.0.1", 0, IDENTITIES[0])
    with contextlib.closing(listener), pytest.raises(TransportError, match="TRANSPORT-010"):
        listener.accept(0.1)


def test_a_control_connection_survives_a_wait_without_an_answer_but_not_too_large_a_message():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])
        client = connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 5)
        server = listener.accept(5)

        with pytest.raises(TransportError, match="TRANSPORT-012"):
            server.recv(0.1)
        client.send(Kind.CONTROL, SESSION, 0, b"late")
        assert server.recv(5)[3] == b"late"
        client.send(Kind.CONTROL, SESSION, 0, bytes(101))
        with pytest.raises(TransportError, match="TRANSPORT-007"):
            server.recv(5, 100)
        with pytest.raises(TransportError, match="TRANSPORT-001"):
            server.recv(5)
        client.close()


# Identities.


def test_an_identity_survives_its_files_and_the_key_file_is_private(tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    IDENTITIES[0].save(cert, key)

    loaded = Identity.load(cert, key)

    assert loaded.pin == PINS[0] == pin_of(loaded.cert_der)
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        IDENTITIES[0].save(cert, key)


def test_a_key_file_open_to_others_a_missing_one_and_a_broken_one_are_refused(tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    IDENTITIES[0].save(cert, key)

    key.chmod(0o644)
    with pytest.raises(RoomError, match="ROOM-091"):
        Identity.load(cert, key)
    key.chmod(0o600)
    key.write_text("no key")
    with pytest.raises(RoomError, match="ROOM-090"):
        Identity.load(cert, key)
    with pytest.raises(RoomError, match="ROOM-090"):
        Identity.load(tmp_path / "none.pem", key)


def test_a_key_of_another_certificate_is_refused_and_an_identity_shows_nothing():
    with pytest.raises(TransportError, match="TRANSPORT-009"):
        Identity(IDENTITIES[0].cert_der, IDENTITIES[1]._key_der)
    with pytest.raises(TransportError, match="TRANSPORT-009"):
        Identity(IDENTITIES[0].cert_der, b"no key")
    assert repr(IDENTITIES[0]) == "Identity"
    with pytest.raises(TypeError):
        IDENTITIES[0].__reduce__()


# Faults of one party, seen by all others.


def data(step=0, size=8, session=SESSION, kind=Kind.DATA):
    return Header(kind, session, step, size).encode() + bytes(size)


BAD_BYTES = {
    "wrong length": (data(size=9), "TRANSPORT-003"),
    "empty message": (data(size=0), "TRANSPORT-003"),
    "wrong step": (data(step=1), "TRANSPORT-004"),
    "same step twice": (data() + data(), "TRANSPORT-004"),
    "wrong session": (data(session=bytes(16)), "TRANSPORT-005"),
    "ends before its message": (data(0, 0, kind=Kind.BYE), "TRANSPORT-004"),
    "unknown kind": (data().replace(b"TCT\x01\x01", b"TCT\x01\x09"), "TRANSPORT-006"),
    "other version": (data().replace(b"TCT\x01", b"TCT\x02"), "TRANSPORT-006"),
    "control frame": (data(kind=Kind.CONTROL), "TRANSPORT-006"),
    "garbage": (bytes(range(256)) * 10, "TRANSPORT-006"),
    "frame larger than allowed": (data(size=0)[:32] + (2**31).to_bytes(8, "little"), "TRANSPORT-007"),
    "largest length": (data(size=0)[:32] + b"\xff" * 8, "TRANSPORT-007"),
    "flood of heartbeats": (data(0, 0, kind=Kind.HEARTBEAT) * 1000, "TRANSPORT-007"),
    "flood of aborts": (data(0, 2**16 + 1, kind=Kind.ABORT), "TRANSPORT-007"),
    "abort without a record": (data(0, 5, kind=Kind.ABORT), "TRANSPORT-011"),
}


@pytest.mark.parametrize("bad", BAD_BYTES)
def test_a_party_that_sends_bad_bytes_is_named_by_all(bad):
    what, code = BAD_BYTES[bad]
    with villain() as (honest, to):
        to[1].send(Kind.DATA, SESSION, 0, bytes(8))
        to[0]._native.send_bytes(what)
        begin = time.monotonic()

        results = together(*(lambda end=end: all_to_all(end) for end in honest))

        raised_by_all(results, code, "carol", within=1.9, since=begin)


BAD_BYTES_OF_LATER_STEPS = {
    "wrong length of the second": (data() + data(1, 9), "TRANSPORT-003"),
    "second before the first": (data(1), "TRANSPORT-004"),
    "second skipped": (data() + data(2), "TRANSPORT-004"),
    "step that was never announced": (data() + data(1) + data(2) + data(3), "TRANSPORT-004"),
    "first twice": (data() + data(), "TRANSPORT-004"),
    "ends between the two": (data() + data(1, 0, kind=Kind.BYE), "TRANSPORT-004"),
    "other session": (data() + data(1, session=bytes(16)), "TRANSPORT-005"),
}


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("bad", BAD_BYTES_OF_LATER_STEPS)
def test_every_outstanding_step_is_judged(bad, early):
    what, code = BAD_BYTES_OF_LATER_STEPS[bad]
    with villain() as (honest, to):

        def strike():
            to[0]._native.send_bytes(what)
            for step in range(5):
                to[1].send(Kind.DATA, SESSION, step, bytes(8))

        def run(end):
            if early:
                time.sleep(0.2)
            # Steps 0, 1, 2 and 4 are announced, and of carol's step 3 everyone knows that there is none.
            for step in (0, 1, 2, 4):
                end.post(step, {}, {2: 8} if end.me == 0 or step < 3 else {})
            for _ in range(4):
                end.collect()
            raise AssertionError("nothing was wrong")

        def outcome(end):
            try:
                return run(end)
            except TransportError as error:
                return error

        results = together(lambda: outcome(honest[0]), strike)

        assert (results[0].code, results[0].party) == (code, "carol"), results


def test_what_is_announced_survives_the_late_end_of_the_session_before():
    with villain() as (honest, to):
        later = bytes(16)
        to[0].send(Kind.ABORT, SESSION, 0, b"{}")
        with pytest.raises(TransportError, match="TRANSPORT-011"):
            honest[0].exchange(0, {}, {2: 8})
        honest[0].begin(later)
        honest[0].post(0, {}, {2: 8})
        honest[0].post(1, {}, {2: 4})
        to[0]._native.send_bytes(data(0, 0, kind=Kind.BYE) + data(0, 8, later) + data(1, 4, later))

        assert [len(honest[0].collect()[2]) for _ in range(2)] == [8, 4]


def test_a_message_after_the_end_of_its_session_is_of_no_session():
    with villain() as (honest, to):
        to[0]._native.send_bytes(data(0, 0, kind=Kind.BYE) + data(1))

        def late(end):
            time.sleep(0.2)
            end.exchange(0, {}, {1 - end.me: 8})

        raised_by_all(together(*(lambda end=end: late(end) for end in honest)), "TRANSPORT-005", "carol")


def test_early_messages_beyond_the_bound_wait_and_are_judged_in_their_turn():
    limits = Limits(silence_s=1.0, step_timeout_s=2.0, grace_s=0.5, early_frames_max=100)
    with villain(limits) as (honest, to):
        for peer in (0, 1):
            to[peer]._native.send_bytes(b"".join(data(step) for step in range(500)) + data(501))
        time.sleep(0.2)

        results = together(*(lambda end=end: all_to_all(end, range(502)) for end in honest))

    raised_by_all(results, "TRANSPORT-004", "carol")
    assert "step 501" in results[0].what


def test_messages_of_a_past_session_without_end_do_not_stop_the_clock():
    frame = data(step=2**40, size=1)
    at = frame.index((2**40).to_bytes(8, "little"))
    frames = np.frombuffer(bytearray(frame * 100_000), np.uint8).reshape(-1, len(frame))
    steps = frames[:, at : at + 8].view("<u8")[:, 0]
    steps[:] = np.arange(1, steps.size + 1)
    over = threading.Event()

    def flood(connection):
        with contextlib.suppress(TacitError):
            while not over.is_set():
                connection._native.send_bytes(frames.tobytes())
                steps[:] += steps.size

    def wait(alice):
        try:
            alice.begin(bytes(16))
            begin = time.monotonic()
            with pytest.raises(TransportError) as raised:
                alice.exchange(0, {}, {1: 8})
            return raised.value.code, time.monotonic() - begin
        finally:
            over.set()
            alice.close()

    with villain(Limits(silence_s=1.0, step_timeout_s=0.5, grace_s=0.3)) as ((alice, _), to):
        alice.abort(InputError("INPUT-002", "no such file", party="alice"))
        timer = threading.Timer(8, over.set)
        timer.start()
        (code, took), _ = together(lambda: wait(alice), lambda: flood(to[0]))
        timer.cancel()

    assert code == "TRANSPORT-012"
    assert took < 3


def test_a_party_that_is_alive_but_sends_no_message_runs_into_the_timeout():
    limits = Limits(silence_s=1.0, step_timeout_s=0.5, grace_s=0.3)
    with villain(limits) as (honest, to):
        stop = threading.Event()

        def beat():
            while not stop.wait(0.2):
                for connection in to.values():
                    connection.send(Kind.HEARTBEAT, SESSION, 0, b"")

        beating = threading.Thread(target=beat)
        beating.start()
        begin = time.monotonic()
        results = together(*(lambda end=end: all_to_all(end) for end in honest))
        raised_by_all(results, "TRANSPORT-012", "carol", within=1.5, since=begin)
        stop.set()
        beating.join()


def test_a_party_without_heartbeats_is_silent():
    with villain() as (honest, _):
        begin = time.monotonic()
        results = together(*(lambda end=end: all_to_all(end) for end in honest))
        raised_by_all(results, "TRANSPORT-002", "carol", within=2.4, since=begin)


def test_a_party_is_silent_even_while_the_others_have_much_to_say_to_each_other():
    with villain() as (honest, _):
        begin = time.monotonic()

        def chat(end):
            peer = 1 - end.me
            for step in range(10**9):
                end.exchange(step, {peer: [bytes(8)]}, {peer: 8})

        results = together(*(lambda end=end: chat(end) for end in honest))
        raised_by_all(results, "TRANSPORT-002", "carol", within=2.4, since=begin)


def test_an_abort_is_heard_while_the_others_have_much_to_say_to_each_other():
    with meshes() as ends:

        def run(end):
            if end.me == 2:
                time.sleep(0.2)
                return end.abort(InputError("INPUT-002", "no such file", party="carol"))
            for step in range(10**9):
                end.exchange(step, {1 - end.me: [bytes(8)]}, {1 - end.me: 8})

        begin = time.monotonic()
        results = together(*(lambda end=end: run(end) for end in ends))
        raised_by_all(results, "INPUT-002", "carol", within=1.2, since=begin)


def test_a_party_that_closes_in_the_middle_of_a_frame_is_named_by_all():
    with villain() as (honest, to):
        to[0]._native.send_bytes(data(size=8)[:-1])
        for connection in to.values():
            connection.close()
        begin = time.monotonic()
        results = together(*(lambda end=end: all_to_all(end) for end in honest))
        raised_by_all(results, "TRANSPORT-001", "carol", within=1.0, since=begin)


def test_an_input_error_at_one_party_is_the_error_of_all():
    with meshes() as ends:

        def run(end):
            if end.me == 1:
                raise end.abort(InputError("INPUT-007", "row 7 is no number", party="bob", next="mend it"))
            all_to_all(end)

        raised_by_all(together(*(lambda end=end: run(end) for end in ends)), "INPUT-007", "bob")


def test_an_abort_is_the_same_for_later_calls():
    with meshes(2) as ends:
        error = RunError("RUN-001", "cancelled")

        first, _ = together(lambda: ends[0].abort(error), lambda: ring(ends[1]))

        assert ends[0].abort(RunError("RUN-002", "other")) is first
        for end in ends:
            with pytest.raises(RunError, match="RUN-001"):
                end.exchange(9, {}, {})
            with pytest.raises(RunError, match="RUN-001"):
                end.finish()


def test_no_party_finishes_while_another_fails():
    with meshes() as ends:

        def run(end):
            ring(end)
            if end.me == 2:
                raise end.abort(InputError("INPUT-001", "the result cannot be written", party="carol"))
            end.finish()

        raised_by_all(together(*(lambda end=end: run(end) for end in ends)), "INPUT-001", "carol")


def test_a_peer_that_leaves_after_it_finished_is_no_fault():
    with meshes() as ends:

        def run(end):
            ring(end)
            end.finish()
            if end.me == 0:
                end.close()
            return "done"

        assert together(*(lambda end=end: run(end) for end in ends)) == ["done"] * 3


def test_a_party_that_crashes_after_its_last_message_takes_no_result_away():
    with villain() as (honest, to):
        for connection in to.values():
            connection.send(Kind.DATA, SESSION, 0, bytes(8))
        received = threading.Barrier(3)

        def run(end):
            end.exchange(0, {p: [bytes(8)] for p in range(3) if p != end.me}, {p: 8 for p in range(3) if p != end.me})
            received.wait()
            if end.me == 1:
                time.sleep(0.3)
            end.finish()
            return "done"

        def crash():
            received.wait()
            for connection in to.values():
                connection.close()

        assert together(*(lambda end=end: run(end) for end in honest), crash) == ["done", "done", None]


@pytest.mark.parametrize("early", [{"early_bytes_max": 1000}, {"early_frames_max": 1}])
def test_an_abort_is_heard_behind_messages_that_nobody_reads(early):
    limits = Limits(silence_s=2.0, step_timeout_s=5.0, grace_s=1.0, **early)
    with meshes(3, limits) as ends:

        def run(end):
            if end.me == 0:
                for step in range(1, 6):
                    end.exchange(step, {1: [bytes(900)]}, {})
                return end.abort(InputError("INPUT-002", "no such file", party="alice"))
            return end.exchange(0, {}, {2: 8} if end.me == 1 else {0: 8})

        begin = time.monotonic()
        results = together(*(lambda end=end: run(end) for end in ends))

        raised_by_all(results, "INPUT-002", "alice", within=0.9, since=begin)


def test_a_message_over_the_limit_is_refused_at_its_sender():
    with meshes(2, Limits(silence_s=1.0, grace_s=0.3, frame_bytes_max=1000)) as ends:
        results = together(
            lambda: ends[0].exchange(0, {1: [bytes(1001)]}, {}), lambda: ends[1].exchange(0, {}, {0: 1000})
        )

    assert {r.code for r in results} == {"TRANSPORT-013"}


def test_another_thread_can_cancel_a_waiting_exchange_on_all_parties():
    with meshes() as ends:
        timer = threading.Timer(0.1, lambda: ends[0].cancel(RunError("RUN-010", "cancelled by the user")))
        timer.start()
        begin = time.monotonic()

        results = together(
            lambda: ends[0].exchange(0, {}, {1: 8}),
            lambda: ends[1].exchange(0, {}, {2: 8}),
            lambda: ends[2].exchange(0, {}, {0: 8}),
        )

        raised_by_all(results, "RUN-010", None, within=1.0, since=begin)


def test_ctrl_c_interrupts_a_waiting_exchange():
    with meshes(2, Limits(silence_s=5.0)) as ends:
        pressed = []

        def press():
            pressed.append(time.monotonic())
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        timer = threading.Timer(0.1, press)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            ends[0].exchange(0, {}, {1: 8})

        assert time.monotonic() - pressed[0] < 0.2
        timer.join()


# Faults of the network path, below TLS.


class Relay:
    """Passes bytes between a dialler and `port`; `spoil` may change what the dialler sends, or end it (None)."""

    def __init__(self, port):
        self.target = port
        self.spoil = lambda chunk: chunk
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        self.threads = [threading.Thread(target=self.run)]
        self.threads[0].start()

    def run(self):
        with contextlib.suppress(OSError), self.listener:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.target))
            self.sockets = [near, far]
            self.threads.append(threading.Thread(target=self.copy, args=(far, near, lambda chunk: chunk)))
            self.threads[1].start()
            self.copy(near, far, lambda chunk: self.spoil(chunk))

    def copy(self, source, sink, spoil):
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 16):
                chunk = spoil(chunk)
                if chunk is None:
                    break
                sink.sendall(chunk)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for each in self.sockets:
            each.close()


SPOILS = {
    "a flipped bit": (lambda chunk: chunk[:-1] + bytes([chunk[-1] ^ 1]), "TRANSPORT-008"),
    "a repeated record": (lambda chunk: chunk + chunk, "TRANSPORT-008"),
    "garbage": (lambda chunk: b"\x00garbage" * 100, "TRANSPORT-008"),
    "a cut record": (lambda chunk: chunk[:-1], "TRANSPORT-002"),
    "a lost record": (lambda chunk: b"", "TRANSPORT-002"),
    "a cut connection": (lambda chunk: None, "TRANSPORT-001"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_spoiled_network_path_is_named_by_all(spoil):
    change, code = SPOILS[spoil]
    listeners = [Listener.bind("127.0.0.1", 0, identity) for identity in IDENTITIES]
    addresses = [("127.0.0.1", listener.port) for listener in listeners]
    relay = Relay(listeners[0].port)
    seen_by_carol = [("127.0.0.1", relay.port), *addresses[1:]]

    def join(me):
        known = seen_by_carol if me == 2 else addresses
        return connect_mesh(me, IDENTITIES[me], listeners[me], known, PINS, SESSION, names=NAMES, limits=QUICK)

    ends = joined(*(lambda me=me: join(me) for me in range(3)))
    together(*(lambda end=end: ring(end) for end in ends))
    # From now on nothing of carol reaches alice unharmed; whatever is cut or lost stays so.
    relay.spoil = change if "record" not in spoil or spoil == "a repeated record" else once(change)
    begin = time.monotonic()

    results = together(*(lambda end=end: (ring(end, range(3, 6)), end.finish()) for end in ends))

    raised_by_all(results, code, "carol", within=2.4, since=begin)
    for closing in (*ends, *listeners, relay):
        closing.close()


def test_nothing_of_a_message_or_of_a_frame_header_is_readable_on_the_wire():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])
        relay, seen = Relay(listener.port), []
        relay.spoil = lambda chunk: seen.append(chunk) or chunk
        secret = os.urandom(8) * 10_000
        client = connect("127.0.0.1", relay.port, IDENTITIES[1], PINS[0], 5)
        server = listener.accept(5)

        client.send(Kind.DATA, SESSION, 0, secret)
        assert server.recv(5)[3] == secret

        wire = b"".join(seen)
        assert len(wire) > len(secret)
        assert secret[:8] not in wire
        assert SESSION not in wire
        assert b"TCT\x01" not in wire
        assert IDENTITIES[1].cert_der not in wire
        client.close()
        server.close()
        relay.close()


def once(change):
    """Spoil the first chunk and hold back all others, as TCP does behind a lost segment."""
    chunks = []

    def spoil(chunk):
        chunks.append(chunk)
        return change(chunk) if len(chunks) == 1 else b""

    return spoil


# Real processes.


PARTY = """
import sys, json
from pathlib import Path
from tacit.transport import *
me, where, ports, peer_pins, session = json.loads(sys.argv[1])
identity = Identity.load(Path(where, "cert.pem"), Path(where, "key.pem"))
listener = Listener.bind("127.0.0.1", ports[me], identity)
end = connect_mesh(me, identity, listener, [("127.0.0.1", p) for p in ports], peer_pins, bytes.fromhex(session),
                   limits=Limits(silence_s=1.0, step_timeout_s=2.0, grace_s=0.5), names=["alice", "bob", "carol"])
print("joined", flush=True)
step = 0
while True:
    end.exchange(step, {0: [bytes(8)], 1: [bytes(8)]}, {0: 8, 1: 8})
    step += 1
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return bound.getsockname()[1]


@pytest.mark.parametrize(
    ("number", "code", "within"),
    [(signal.SIGKILL, "TRANSPORT-001", 1.0), (signal.SIGSTOP, "TRANSPORT-002", 2.5)],
)
def test_a_process_that_is_killed_or_stopped_in_the_middle_is_named_by_all(tmp_path, number, code, within):
    IDENTITIES[2].save(tmp_path / "cert.pem", tmp_path / "key.pem")
    session = new_session()
    listeners = [Listener.bind("127.0.0.1", 0, identity) for identity in IDENTITIES[:2]]
    ports = [listeners[0].port, listeners[1].port, free_port()]
    arguments = json.dumps([2, str(tmp_path), ports, PINS, session.hex()])
    process = subprocess.Popen([sys.executable, "-c", PARTY, arguments], stdout=subprocess.PIPE)

    def join(me):
        addresses = [("127.0.0.1", port) for port in ports]
        return connect_mesh(me, IDENTITIES[me], listeners[me], addresses, PINS, session, names=NAMES, limits=QUICK)

    ends = joined(lambda: join(0), lambda: join(1))
    assert process.stdout.readline() == b"joined\n"
    struck = []

    def strike():
        struck.append(time.monotonic())
        os.kill(process.pid, number)

    timer = threading.Timer(0.2, strike)
    timer.start()

    def run(end):
        all_to_all(end, range(10**9))

    try:
        results = together(*(lambda end=end: run(end) for end in ends))
        raised_by_all(results, code, "carol", within=within, since=struck[0])
    finally:
        timer.join()
        process.kill()
        process.wait()
        process.stdout.close()
        for closing in (*ends, *listeners):
            closing.close()


def test_a_party_busy_in_python_for_longer_than_the_silence_is_alive():
    with meshes(2, Limits(silence_s=0.5, step_timeout_s=10)) as ends:

        def busy(end):
            if end.me == 0:
                until = time.monotonic() + 1.2
                while time.monotonic() < until:
                    sum(range(1000))
            ring(end)
            return "done"

        assert together(*(lambda end=end: busy(end) for end in ends)) == ["done", "done"]


# Misuse.


def test_a_connection_can_belong_to_one_transport_only():
    with contextlib.closing(Listener.bind("127.0.0.1", 0, IDENTITIES[0])) as listener:
        listener.allow([PINS[1]])
        client = connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 5)
        other = connect("127.0.0.1", listener.port, IDENTITIES[1], PINS[0], 5)
        assert isinstance(client, Connection)
        end = TlsTransport(0, SESSION, {1: client}, {1: other}, NAMES[:2], QUICK)

        with pytest.raises(TransportError, match="TRANSPORT-013"):
            client.send(Kind.CONTROL, SESSION, 0, b"")
        with pytest.raises(TransportError, match="TRANSPORT-013"):
            TlsTransport(0, SESSION, {1: client}, {1: other}, NAMES[:2], QUICK)
        end.close()
        end.close()
        with pytest.raises(TransportError, match="TRANSPORT-013"):
            end.exchange(0, {}, {1: 8})


@pytest.mark.parametrize("pin", ["", "ab", "zz" * 32, "é" * 32])
def test_a_pin_that_is_no_digest_is_refused(pin):
    with pytest.raises(ValueError, match="pin"):
        connect("127.0.0.1", 1, IDENTITIES[0], pin, 0.1)
