# SPDX-License-Identifier: Apache-2.0
"""The frame of every transport that leaves the process: 40 header bytes, then the payload.

    offset  bytes  field
         0      4  magic and version: "TCT" 0x01
         4      1  kind: 1 DATA, 2 ABORT, 3 HEARTBEAT, 4 BYE, 5 CONTROL
         5      3  zero
         8     16  session identifier
        24      8  step, little endian
        32      8  payload length in bytes, little endian

`crates/transport/src/frame.rs` is the same in Rust; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from tacit.transport.faults import Cause, transport_error


class Kind(IntEnum):
    """What a frame is for."""

    DATA = 1
    """One party's message of one round."""
    ABORT = 2
    """The sender gave up; the payload is the JSON of its record of the cause (see `abort.py`)."""
    HEARTBEAT = 3
    """Nothing but a sign of life."""
    BYE = 4
    """The sender has finished this session."""
    CONTROL = 5
    """Requests and answers outside sessions."""


HEADER_BYTES = 40
"""Length of a header."""

SESSION_BYTES = 16
"""Length of a session identifier."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before a payload. `length` is in bytes."""

    kind: Kind
    session: bytes
    step: int
    length: int

    def encode(self) -> bytes:
        """The 40 bytes."""
        return _LAYOUT.pack(_MAGIC, self.kind, b"\0\0\0", self.session, self.step, self.length)

    @staticmethod
    def decode(data: bytes) -> Header:
        """Read 40 bytes; the inverse of `encode`. Anything else raises TRANSPORT-006."""
        if len(data) != HEADER_BYTES:
            raise transport_error(Cause.MALFORMED, "a short frame header", expected="40 bytes")
        magic, kind, reserved, session, step, length = _LAYOUT.unpack(data)
        if magic != _MAGIC or reserved != b"\0\0\0" or kind not in _KINDS:
            raise transport_error(Cause.MALFORMED, "no frame header", expected="a frame of version 1")
        return Header(Kind(kind), session, step, length)


_MAGIC = b"TCT\x01"
_KINDS = frozenset(Kind)
_LAYOUT = Struct("<4sB3s16sQQ")
assert _LAYOUT.size == HEADER_BYTES
