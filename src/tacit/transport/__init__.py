# SPDX-License-Identifier: Apache-2.0
"""What moves bytes between the parties of a run: TLS between processes, memory within one, or a simulated
network.
"""

from tacit.transport.base import Buffer, Stats, Transport
from tacit.transport.faults import Cause, transport_error
from tacit.transport.frame import Kind
from tacit.transport.memory import Hub, MemoryTransport
from tacit.transport.tls import (
    Connection,
    Identity,
    Limits,
    Listener,
    TlsTransport,
    connect,
    connect_mesh,
    make_identity,
    new_session,
    pin_of,
)

__all__ = [
    "Buffer",
    "Cause",
    "Connection",
    "Hub",
    "Identity",
    "Kind",
    "Limits",
    "Listener",
    "MemoryTransport",
    "Stats",
    "TlsTransport",
    "Transport",
    "connect",
    "connect_mesh",
    "make_identity",
    "new_session",
    "pin_of",
    "transport_error",
]
