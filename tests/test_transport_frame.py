# SPDX-License-Identifier: Apache-2.0
"""The frame: one published vector, the same bytes in Rust and Python, and everything else refused."""

import pytest

from tacit import _native
from tacit.errors import TransportError
from tacit.transport.frame import HEADER_BYTES, Header, Kind

# The same bytes stand in crates/transport/src/frame.rs.
VECTOR = bytes.fromhex("5443540101000000000102030405060708090a0b0c0d0e0f08070605040302010000004000000000")
HEADER = Header(Kind.DATA, bytes(range(16)), 0x0102030405060708, 1 << 30)


def test_header_is_the_published_vector_in_both_languages():
    assert HEADER.encode() == VECTOR
    assert _native.frame_header(1, HEADER.session, HEADER.step, HEADER.length) == VECTOR

    assert Header.decode(VECTOR) == HEADER
    assert _native.parse_frame_header(VECTOR) == (1, HEADER.session, HEADER.step, HEADER.length)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_survives_the_round_trip_between_languages(kind):
    header = Header(kind, bytes(16), 2**64 - 1, 2**64 - 1)

    assert _native.parse_frame_header(header.encode()) == (kind, bytes(16), 2**64 - 1, 2**64 - 1)


@pytest.mark.parametrize("at", range(8))
def test_a_changed_byte_of_the_fixed_part_is_malformed_in_both_languages(at):
    bad = bytearray(VECTOR)
    bad[at] ^= 0x80

    with pytest.raises(TransportError, match="TRANSPORT-006"):
        Header.decode(bytes(bad))
    with pytest.raises(_native.LinkFault) as fault:
        _native.parse_frame_header(bytes(bad))
    assert fault.value.args[0] == 6


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES - 1, HEADER_BYTES + 1])
def test_another_length_is_malformed_in_both_languages(size):
    with pytest.raises(TransportError, match="TRANSPORT-006"):
        Header.decode(bytes(size))
    with pytest.raises(_native.LinkFault):
        _native.parse_frame_header(bytes(size))
