# SPDX-License-Identifier: Apache-2.0
"""The connections between the parties of a room: one transport, built on demand and used for run after run.

Of each pair of parties, each dials the other and then only sends on that connection. The first message names the mesh;
its identifier comes from the client with each run, so that the parties agree on whether they go on with the connections
they have or begin anew after a failure.
"""

from __future__ import annotations

import gc
import threading
import time
from typing import Final

from tacit.errors import TacitError
from tacit.room import Room
from tacit.session.line import Line, Stop
from tacit.session.messages import Message
from tacit.transport import Cause, Connection, Identity, Limits, TlsTransport, connect, transport_error

OFFERS_MAX: Final = 4
"""Connections of one peer that wait for a run to take them; a further one replaces the oldest."""
DIAL_S: Final = 3.0


class Mesh:
    """This party's connections to its peers."""

    def __init__(self, room: Room, me: int, identity: Identity) -> None:
        self._room = room
        self._me = me
        self._identity = identity
        self._offers: dict[int, list[tuple[bytes, Connection]]] = {p: [] for p in range(len(room.parties)) if p != me}
        self._arrived = threading.Condition()
        self._current: tuple[bytes, TlsTransport] | None = None
        self._dropped = False
        self.tls: dict[str, str] = {}

    def offer(self, peer: int, mesh: bytes, connection: Connection) -> None:
        """Keep a connection that a peer dialled until a run asks for that mesh."""
        with self._arrived:
            offers = self._offers[peer]
            offers.append((mesh, connection))
            stale = [offers.pop(0)] if len(offers) > OFFERS_MAX else []
            self._arrived.notify_all()
        for _, old in stale:
            old.close()

    def transport(self, mesh: bytes, session: bytes, stop: Stop) -> TlsTransport:
        """The transport of this mesh, at the beginning of a session; builds it if it is not the current one.

        Raises what `stop` returns, TransportError TRANSPORT-009 or -010 naming the peer, or the fault of a link that
        no longer works.
        """
        if self._current is not None and self._current[0] == mesh:
            transport = self._current[1]
            try:
                transport.begin(session)
            except TacitError:
                self.drop()
                raise
            return transport
        self.drop()
        if self._dropped:
            # Errors of a run that failed refer to their frames and these to them, and so to sockets.
            gc.collect()
            self._dropped = False
        transport = self._build(mesh, session, stop)
        self._current = (mesh, transport)
        return transport

    def drop(self) -> None:
        """Close the current transport, if there is one: after a failure, or at the end."""
        current, self._current = self._current, None
        if current is not None:
            current[1].close()
            self._dropped = True

    def _build(self, mesh: bytes, session: bytes, stop: Stop) -> TlsTransport:
        limits = self._room.limits
        deadline = time.monotonic() + limits.connect_timeout_s
        outgoing: dict[int, Connection] = {}
        incoming: dict[int, Connection] = {}
        try:
            for peer in self._offers:
                outgoing[peer] = self._dial(peer, mesh, deadline, stop)
                self.tls = outgoing[peer].tls
            with self._arrived:
                while missing := [p for p in self._offers if p not in incoming]:
                    for peer in missing:
                        incoming.update((peer, c) for m, c in self._offers[peer] if m == mesh)
                        self._offers[peer] = [offer for offer in self._offers[peer] if offer[0] != mesh]
                    error = stop()
                    if error is not None:
                        raise error
                    if len(incoming) < len(self._offers):
                        if time.monotonic() > deadline:
                            name = self._room.parties[next(p for p in missing if p not in incoming)].name
                            raise transport_error(
                                Cause.UNREACHABLE, f"did not dial within {limits.connect_timeout_s:g} s", party=name
                            )
                        self._arrived.wait(0.1)
            return TlsTransport(
                self._me,
                session,
                outgoing,
                incoming,
                self._room.party_names,
                Limits(
                    frame_bytes_max=limits.frame_bytes_max,
                    silence_s=limits.silence_s,
                    step_timeout_s=limits.step_timeout_s,
                ),
                None if self._room.network == "none" else self._room.network,  # type: ignore[arg-type]
            )
        except BaseException:
            for connection in (*outgoing.values(), *incoming.values()):
                connection.close()
            raise

    def _dial(self, peer: int, mesh: bytes, deadline: float, stop: Stop) -> Connection:
        party = self._room.parties[peer]
        while True:
            error = stop()
            if error is not None:
                raise error
            left = deadline - time.monotonic()
            try:
                connection = connect(party.host, party.port, self._identity, party.pin, min(DIAL_S, max(left, 0.05)))
                line = Line(connection, party.name, DIAL_S, 1 << 16)
                line.send(Message("mesh", {"mesh": mesh.hex()}))
                return connection
            except TacitError as fault:
                if fault.code != Cause.UNREACHABLE.code or left <= DIAL_S:
                    raise type(fault)(
                        fault.code,
                        f"{party.name}: {fault.what}",
                        expected=fault.expected,
                        party=party.name,
                        next=fault.next,
                    ) from None
