# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS 1.3 between parties, over the Rust core.

Both sides show certificates that the room pins by the SHA-256 of their DER bytes; there is no certificate
authority. The key exchange is X25519MLKEM768 only, so traffic recorded today stays secret from a quantum
computer tomorrow. Two connections per pair of parties: the one that dialled only sends, the one that accepted
only receives. Small messages are read by the thread that waits for them, large ones and heartbeats by Rust threads; all
without the GIL. Waiting is interruptible by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from tacit import _native
from tacit.errors import RoomError, TacitError, TransportError
from tacit.transport.abort import (
    NOBODY,
    Agreed,
    Event,
    Failed,
    GraceOver,
    Heard,
    Lost,
    Message,
    Record,
    Running,
    State,
)
from tacit.transport.abort import step as agree_step
from tacit.transport.base import Buffer, Stats, party_names
from tacit.transport.faults import Cause, transport_error
from tacit.transport.frame import SESSION_BYTES, Kind


@dataclass(frozen=True)
class Limits:
    """Bounds of a session; all parties must use the same. Times in seconds, sizes in bytes."""

    frame_bytes_max: int = 1 << 30
    """Largest message of one round to one peer."""
    early_bytes_max: int = 256 << 20
    """Messages for later steps that are taken from one peer; beyond it the peer has to wait."""
    early_frames_max: int = 1024
    """The number of such messages. A party that only sends in a long loop gets this far ahead, not farther: else its
    next wait would be as long as the others take for all that they have not done yet.
    """
    silence_s: float = 10.0
    """Longest silence of a live peer. Heartbeats come each second, or four times as often as this asks for.
    """
    step_timeout_s: float = 600.0
    """Longest wait for the messages of one step while their senders are alive and come no nearer to it: heartbeats tell
    how far they are.
    """
    grace_s: float = 1.0
    """Longest time to agree on the cause of an abort."""


class Identity:
    """A certificate with its private key; shows and prints nothing of the key."""

    def __init__(self, cert_der: bytes, key_der: bytes) -> None:
        """`key_der` is PKCS#8. Raises TRANSPORT-009 if the two do not belong together."""
        with _named():
            self._native = _native.Identity(cert_der, key_der)
        self.cert_der = cert_der
        self._key_der = key_der

    @property
    def pin(self) -> str:
        """SHA-256 of the certificate's DER bytes, 64 hexadecimal digits: how peers know this identity."""
        return self._native.pin

    def __repr__(self) -> str:
        """Only the type: it holds a private key."""
        return "Identity"

    def __reduce__(self) -> str:
        """Refused."""
        raise TypeError("an identity holds a private key and is not pickled; save it with `save`")

    def save(self, cert_path: Path, key_path: Path) -> None:
        """Write both as PEM; the key's file is readable by its owner only. Refuses to overwrite."""
        cert = x509.load_der_x509_certificate(self.cert_der).public_bytes(serialization.Encoding.PEM)
        key = serialization.load_der_private_key(self._key_der, None).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        for path, data, mode in ((key_path, key, 0o600), (cert_path, cert, 0o644)):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(data)

    @staticmethod
    def load(cert_path: Path, key_path: Path) -> Identity:
        """Read what `save` wrote. Raises ROOM-090 if a file is missing or is no PEM, -091 if others can read
        the key.
        """
        try:
            if os.name == "posix" and key_path.stat().st_mode & 0o077:
                raise RoomError(
                    "ROOM-091",
                    f"the key file {key_path} is open to other users",
                    next=f"chmod 600 {key_path}",
                )
            cert = x509.load_pem_x509_certificate(cert_path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            why = getattr(error, "strerror", None) or "not in that form"
            raise RoomError(
                "ROOM-090",
                f"the certificate {cert_path} or the key {key_path} cannot be read: {why}",
                expected="a PEM certificate and an unencrypted PKCS#8 PEM key",
                next="name the directory that `tacit party keygen` wrote",
            ) from None
        return Identity(cert.public_bytes(serialization.Encoding.DER), _pkcs8(key))


def make_identity(name: str) -> Identity:
    """A new Ed25519 key with a self-signed certificate. `name` is only a label: peers check the pin."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, None)
    )
    return Identity(cert.public_bytes(serialization.Encoding.DER), _pkcs8(key))


def pin_of(cert_der: bytes) -> str:
    """The pin of a certificate: SHA-256 of its DER bytes in hexadecimal."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(cert_der)
    return digest.finalize().hex()


class Connection:
    """A blocking connection to one authenticated peer: one request, one answer at a time."""

    def __init__(self, native: _native.Connection) -> None:
        """Made by `connect` and `Listener.accept`."""
        self._native = native

    @property
    def peer_pin(self) -> str:
        """The pin of the certificate that the peer proved to own."""
        return self._native.peer_pin

    @property
    def tls(self) -> dict[str, str]:
        """What TLS negotiated: `version`, `group`, `cipher`."""
        return self._native.tls

    def send(self, kind: Kind, session: bytes, step: int, payload: bytes) -> None:
        """Send one frame; returns when the network has taken it."""
        with _named():
            self._native.send(int(kind), session, step, payload)

    def recv(self, timeout_s: float, frame_bytes_max: int = 1 << 30) -> tuple[Kind, bytes, int, bytes]:
        """The next frame that is no heartbeat: (kind, session, step, payload).

        Raises TRANSPORT-012 after `timeout_s` (the connection stays usable if nothing of a frame had come),
        -007 for a larger payload than `frame_bytes_max`, -001 when the peer is gone, -006 and -008 for bytes
        that are no frame.
        """
        with _named():
            kind, session, step, payload = self._native.recv(timeout_s, frame_bytes_max)
        return Kind(kind), session, step, payload

    def close(self) -> None:
        """End it; the peer reads what was sent before. Raises TRANSPORT-013 if another thread is using it."""
        with _named():
            self._native.close()


class Listener:
    """A listening socket that hands out authenticated connections. Handshakes run in the background."""

    def __init__(self, native: _native.Listener) -> None:
        """Made by `bind`."""
        self._native = native

    @staticmethod
    def bind(host: str, port: int, identity: Identity) -> Listener:
        """Listen on `host:port`; port 0 takes a free one. Diallers wait until `allow`. Raises
        TRANSPORT-010.
        """
        with _named():
            return Listener(_native.Listener.bind(host, port, identity._native))

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._native.port

    def allow(self, pins: Iterable[str]) -> None:
        """Accept from now on exactly the certificates with these pins."""
        with _named():
            self._native.allow(list(pins))

    def accept(self, timeout_s: float) -> Connection:
        """The next one. Raises TRANSPORT-009 for each dialler that was refused or gave up (listen on), -010 after
        `timeout_s`.
        """
        with _named():
            return Connection(self._native.accept(timeout_s))

    def close(self) -> None:
        """Stop listening."""
        self._native.close()


def connect(host: str, port: int, identity: Identity, peer_pin: str, timeout_s: float) -> Connection:
    """Dial a peer and accept only the certificate `peer_pin`; waits for it to start listening.

    Dials again if the connection ends before the peer has judged the certificate, as a busy peer's does. Raises
    TRANSPORT-009 if either side refuses the other's certificate, before any application byte is sent, and
    TRANSPORT-010 if there is no connection within `timeout_s`.
    """
    with _named():
        return Connection(_native.connect(host, port, identity._native, peer_pin, timeout_s))


NETWORKS = {"lan": (0.0005, 125e6), "wan": (0.020, 12.5e6)}
"""Emulated networks: one-way latency in seconds and the uplink of one party in bytes per second.

LAN: 1 ms round trip, 1 Gbit/s. WAN: 40 ms round trip, 100 Mbit/s.
"""


class TlsTransport:
    """One party's end of a session; see `Transport` for the methods that all transports have."""

    def __init__(
        self,
        me: int,
        session: bytes,
        outgoing: Mapping[int, Connection],
        incoming: Mapping[int, Connection],
        peer_names: Sequence[str] | None = None,
        limits: Limits | None = None,
        network: Literal["lan", "wan"] | None = None,
    ) -> None:
        """Take over the connections: dialled ones to send, accepted ones to receive, by the peer's index.

        `peer_names` are the names of all parties in order. `network` emulates a slower one.
        """
        if set(outgoing) != set(incoming) or me in outgoing:
            raise ValueError("a transport needs one dialled and one accepted connection for each peer")
        self.me = me
        self.parties = len(outgoing) + 1
        self.names = party_names(self.parties, peer_names)
        self.limits = limits or Limits()
        self._step = 0
        self._agreed: TacitError | None = None
        self._cancelled: TacitError | None = None
        self._finished = False
        # The same on every connection: there is one version, group and cipher to choose from.
        self.tls: dict[str, str] = next((c.tls for c in outgoing.values()), {})
        latency_s, bytes_per_second = NETWORKS[network] if network else (None, None)
        with _named():
            self._mesh = _native.Mesh(
                session,
                {peer: connection._native for peer, connection in outgoing.items()},
                {peer: connection._native for peer, connection in incoming.items()},
                frame_bytes_max=self.limits.frame_bytes_max,
                early_bytes_max=self.limits.early_bytes_max,
                early_frames_max=self.limits.early_frames_max,
                silence_s=self.limits.silence_s,
                step_timeout_s=self.limits.step_timeout_s,
                latency_s=latency_s,
                bytes_per_second=bytes_per_second,
            )

    def exchange(
        self, step: int, sends: Mapping[int, Sequence[Buffer]], expects: Mapping[int, int]
    ) -> dict[int, memoryview]:
        """As `Transport.exchange`; Ctrl-C raises KeyboardInterrupt within 0.2 s, after which `abort` should
        follow.
        """
        if self._agreed is not None:
            raise self._agreed
        self._step = step
        try:
            return self._mesh.exchange(step, dict(sends), dict(expects))
        except _native.LinkFault as fault:
            raise self._fail(fault) from None

    def post(self, step: int, sends: Mapping[int, Sequence[Buffer]], expects: Mapping[int, int]) -> None:
        """As `Transport.post`; interruptible like `exchange`."""
        if self._agreed is not None:
            raise self._agreed
        self._step = step
        try:
            self._mesh.post(step, dict(sends), dict(expects))
        except _native.LinkFault as fault:
            raise self._fail(fault) from None

    def collect(self) -> dict[int, memoryview]:
        """As `Transport.collect`; interruptible like `exchange`."""
        if self._agreed is not None:
            raise self._agreed
        try:
            return self._mesh.collect()
        except _native.LinkFault as fault:
            raise self._fail(fault) from None

    def finish(self) -> None:
        """As `Transport.finish`."""
        if self._agreed is not None:
            raise self._agreed
        if self._finished:
            return
        self._step += 1
        try:
            self._mesh.finish()
        except _native.LinkFault as fault:
            raise self._fail(fault) from None
        self._finished = True

    def begin(self, session: bytes) -> None:
        """Enter the next session on the same connections, after `finish` or `abort`; steps count from 0
        again.

        A peer may be faster: its first messages wait. Raises the fault of a link that does not work any more,
        after which the transport has to be closed.
        """
        if not (self._finished or self._agreed):
            raise transport_error(Cause.MISUSE, "a session begins before the one before has ended")
        try:
            self._mesh.begin(session)
        except _native.LinkFault as fault:
            raise self._error(fault) from None
        self._step, self._agreed, self._cancelled, self._finished = 0, None, None, False

    def cancel(self, error: TacitError) -> None:
        """End the session from another thread: the exchange that waits raises the agreed error, as after
        `abort`.
        """
        self._cancelled = error
        self._mesh.cancel()

    def abort(self, error: TacitError) -> TacitError:
        """As `Transport.abort`; takes at most `grace_s`, and ends the session for `begin`."""
        if self._agreed is not None:
            return self._agreed
        if self._finished:
            return error
        culprit = self.names.index(error.party) if error.party in self.names else NOBODY
        return self._agree(self._record(error, culprit))

    def close(self) -> None:
        """As `Transport.close`; joins all threads."""
        self._mesh.close()

    @property
    def stats(self) -> Stats:
        """The counts so far, over all sessions."""
        return Stats(*self._mesh.stats())

    def __enter__(self) -> TlsTransport:
        """As a context manager it closes at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _error(self, fault: _native.LinkFault) -> TacitError:
        number, peer, what, expected = fault.args
        party = None if peer is None else self.names[peer]
        return transport_error(Cause(number), what, expected=expected, party=party)

    def _record(self, error: TacitError, culprit: int) -> Record:
        return Record(self._step, error.code, culprit, self.me, error.to_dict())

    def _fail(self, fault: _native.LinkFault) -> TacitError:
        number, peer, _, _ = fault.args
        if number == _INTERRUPTED and self._cancelled is not None:
            return self.abort(self._cancelled)
        if number == Cause.ABORTED:
            return self._agree(None)
        error = self._error(fault)
        return self._agree(self._record(error, NOBODY if peer is None else peer))

    def _agree(self, own: Record | None) -> TacitError:
        """Run the abort agreement, beginning with this party's own record or with the one that waits to be
        read.
        """
        state: State = Running(self.me, self.parties)
        if own is not None:
            state = self._advance(state, Failed(own))
        deadline = time.monotonic() + self.limits.grace_s
        while not isinstance(state, Agreed):
            event = self._mesh.next_event(max(0.0, deadline - time.monotonic()))
            if event is None:
                if isinstance(state, Running):
                    unknown = transport_error(Cause.ABORTED, "an abort without a record of its cause")
                    state = self._advance(state, Failed(self._record(unknown, NOBODY)))
                state = self._advance(state, GraceOver())
                continue
            peer, data = event
            if data is None:
                state = self._advance(state, Lost(peer))
                continue
            try:
                message = Message.decode(data, self.parties)
            except TacitError as error:
                named = transport_error(Cause.ABORTED, error.what, party=self.names[peer])
                state = self._advance(state, Failed(self._record(named, peer)))
            else:
                state = self._advance(state, Heard(peer, message))
        self._mesh.bye()
        self._agreed = state.record.to_error()
        return self._agreed

    def _advance(self, state: State, event: Event) -> State:
        state, messages = agree_step(state, event)
        for message in messages:
            self._mesh.send_abort(message.record.step, message.encode())
        return state


def connect_mesh(
    me: int,
    identity: Identity,
    listener: Listener,
    addresses: Sequence[tuple[str, int]],
    pins: Sequence[str],
    session: bytes,
    *,
    timeout_s: float = 10.0,
    names: Sequence[str] | None = None,
    limits: Limits | None = None,
    network: Literal["lan", "wan"] | None = None,
) -> TlsTransport:
    """Connect one party with all others: dial each peer's address, accept each peer's dial, and build the
    transport.

    `addresses` and `pins` are those of all parties in order. The first frame of a dialled connection says
    which session and party it is for. Raises TRANSPORT-009 or -010 naming the peer.
    """
    parties = len(addresses)
    called = party_names(parties, names)
    peers = [peer for peer in range(parties) if peer != me]
    listener.allow([pins[peer] for peer in peers])
    deadline = time.monotonic() + timeout_s
    outgoing: dict[int, Connection] = {}
    incoming: dict[int, Connection] = {}
    for peer in peers:
        host, port = addresses[peer]
        with _named(called[peer]):
            native = _native.connect(host, port, identity._native, pins[peer], max(0.0, deadline - time.monotonic()))
            outgoing[peer] = Connection(native)
            outgoing[peer].send(Kind.CONTROL, session, 0, _hello(me))
    while len(incoming) < len(peers):
        missing = set(peers) - set(incoming)
        peer, connection = _accept_peer(listener, session, pins, called, missing, deadline)
        incoming[peer] = connection
    return TlsTransport(me, session, outgoing, incoming, called, limits, network)


def _accept_peer(
    listener: Listener,
    session: bytes,
    pins: Sequence[str],
    names: Sequence[str],
    missing: Collection[int],
    deadline: float,
) -> tuple[int, Connection]:
    """The next missing peer's connection. Strangers that are refused meanwhile do not matter."""
    while True:
        try:
            connection = listener.accept(max(0.0, deadline - time.monotonic()))
            break
        except TransportError as error:
            if time.monotonic() >= deadline:
                party = ", ".join(names[peer] for peer in sorted(missing))
                what = f"has not connected ({error.what})"
                raise transport_error(Cause.UNREACHABLE, what, party=party) from None
    peer = pins.index(connection.peer_pin)
    kind, theirs, _, payload = connection.recv(max(0.0, deadline - time.monotonic()), _HELLO_BYTES_MAX)
    if kind is not Kind.CONTROL or payload != _hello(peer) or peer not in missing:
        raise transport_error(Cause.MALFORMED, "its first frame opens no mesh", party=names[peer])
    if theirs != session:
        raise transport_error(Cause.SESSION, "it opens another session", party=names[peer])
    return peer, connection


def _hello(party: int) -> bytes:
    """The payload of the first frame of a connection for a mesh."""
    return json.dumps({"mesh": party}).encode()


def new_session() -> bytes:
    """A fresh random session identifier."""
    return os.urandom(SESSION_BYTES)


@contextlib.contextmanager
def _named(party: str | None = None) -> Iterator[None]:
    """Turn a fault of the core into the named error."""
    try:
        yield
    except _native.LinkFault as fault:
        number, _, what, expected = fault.args
        raise transport_error(Cause(number or Cause.MISUSE), what, expected=expected, party=party) from None


def _pkcs8(key: object) -> bytes:
    assert hasattr(key, "private_bytes")
    data: bytes = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return data


_INTERRUPTED = 0
_HELLO_BYTES_MAX = 1024
