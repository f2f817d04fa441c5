# SPDX-License-Identifier: Apache-2.0
"""A control connection between a client and a party: whole messages, waits that can be ended, bounded times.

Each message is two CONTROL frames: an empty one whose `step` is the length of the message, then the message. Waiting
for the first can go on for days and be ended at any moment without losing anything; once it is here the second must
follow at a minimum rate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from tacit.errors import RunError, TacitError
from tacit.session.messages import Message
from tacit.transport import Cause, Connection, Kind, transport_error

SLICE_S: Final = 0.2
BYTES_PER_S_MIN: Final = 100_000
NO_SESSION: Final = bytes(16)

Stop = Callable[[], TacitError | None]
"""Asked between slices of a wait; the error it returns ends the wait."""


class Line:
    """One end of a control connection. `peer` is the other end's name, for errors.

    One thread at a time sends and receives; another one may `close` it.
    """

    def __init__(self, connection: Connection, peer: str, patience_s: float, bytes_max: int) -> None:
        self._connection = connection
        self._peer = peer
        self._patience_s = patience_s
        self._bytes_max = bytes_max
        self._in_use = threading.Lock()

    def allow(self, bytes_max: int) -> None:
        """Messages of at most this size from now on."""
        self._bytes_max = bytes_max

    @property
    def tls(self) -> dict[str, str]:
        """What TLS negotiated: `version`, `group`, `cipher`."""
        return self._connection.tls

    def send(self, message: Message) -> None:
        """Send a message. Raises TransportError naming the peer, RunError RUN-023 for a message above the limit."""
        data = message.encode()
        if len(data) > self._bytes_max:
            raise RunError(
                "RUN-023",
                f"a message of {len(data)} bytes is too large for the other side",
                expected=f"at most {self._bytes_max} bytes",
                next="raise frame_bytes_max in the room file, or compute on smaller blocks",
            )
        try:
            with self._in_use:
                self._connection.send(Kind.CONTROL, NO_SESSION, len(data), b"")
                self._connection.send(Kind.CONTROL, NO_SESSION, 0, data)
        except TacitError as error:
            raise self._named(error) from None

    def recv(self, stop: Stop, limit_s: float | None = None) -> Message:
        """The next message. Raises what `stop` returns, TRANSPORT-002 if none begins within `limit_s`, RUN-020 for
        bytes that are no message, and TransportError naming the peer.
        """
        waited = 0.0
        while True:
            error = stop()
            if error is not None:
                raise error
            try:
                with self._in_use:
                    kind, _, size, payload = self._connection.recv(SLICE_S, 0)
                break
            except TacitError as fault:
                if fault.code != Cause.TIMEOUT.code:
                    raise self._named(fault) from None
            waited += SLICE_S
            if limit_s is not None and waited >= limit_s:
                raise transport_error(Cause.SILENT, f"no sign of life for {limit_s:g} s", party=self._peer)
        if kind is not Kind.CONTROL or payload:
            raise transport_error(Cause.MALFORMED, "a frame that announces no message", party=self._peer)
        if size > self._bytes_max:
            raise transport_error(
                Cause.FLOOD,
                f"a message of {size} bytes",
                expected=f"at most {self._bytes_max} bytes",
                party=self._peer,
            )
        try:
            with self._in_use:
                kind, _, _, payload = self._connection.recv(self._patience_s + size / BYTES_PER_S_MIN, size)
        except TacitError as fault:
            raise self._named(fault) from None
        if kind is not Kind.CONTROL or len(payload) != size:
            raise transport_error(Cause.LENGTH, "a message of another length than announced", party=self._peer)
        return Message.decode(payload)

    def close(self) -> None:
        """End the connection; the other end reads what was sent before. Waits for a message that is under way."""
        with self._in_use:
            self._connection.close()

    def _named(self, error: TacitError) -> TacitError:
        if error.party is not None:
            return error
        return type(error)(
            error.code, f"{self._peer}: {error.what}", expected=error.expected, party=self._peer, next=error.next
        )
