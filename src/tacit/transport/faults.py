# SPDX-License-Identifier: Apache-2.0
"""The distinguishable faults of a link, one stable code each.

TRANSPORT-001   CLOSED        the peer closed the connection, or its process died
TRANSPORT-002   SILENT        not even a heartbeat came for `silence_s`: frozen, or cut off
TRANSPORT-003   LENGTH        a message has another length than the plan says
TRANSPORT-004   STEP          a message for a step that is past, skipped, or in which its sender is silent
TRANSPORT-005   SESSION       a message of another session
TRANSPORT-006   MALFORMED     bytes that are no frame of this version, or a kind that has no place here
TRANSPORT-007   FLOOD         more, or larger, than a peer may have under way
TRANSPORT-008   CORRUPTED     a record failed its authentication: changed, cut, repeated or reordered
TRANSPORT-009   REFUSED       the TLS handshake was refused: certificate not pinned, other version or group
TRANSPORT-010   UNREACHABLE   no connection within the allowed time
TRANSPORT-011   ABORTED       a peer reported an abort without a readable record of its cause
TRANSPORT-012   TIMEOUT       the peer is alive, but its message did not come within `step_timeout_s`
TRANSPORT-013   MISUSE        this party asked for what no peer can grant, like a message over the limit
"""

from __future__ import annotations

from enum import IntEnum

from tacit.errors import TransportError


class Cause(IntEnum):
    """Which fault; the value is the last part of the code. The table is in the module's docstring."""

    CLOSED = 1
    SILENT = 2
    LENGTH = 3
    STEP = 4
    SESSION = 5
    MALFORMED = 6
    FLOOD = 7
    CORRUPTED = 8
    REFUSED = 9
    UNREACHABLE = 10
    ABORTED = 11
    TIMEOUT = 12
    MISUSE = 13

    @property
    def code(self) -> str:
        """The stable code, as `TRANSPORT-003`."""
        return f"TRANSPORT-{self.value:03d}"


def transport_error(cause: Cause, what: str, *, expected: str = "", party: str | None = None) -> TransportError:
    """The error for a fault seen at `party`. `what` and `expected` name lengths and steps, never contents."""
    subject = what if party is None else f"{party}: {what}"
    return TransportError(cause.code, subject, expected=expected, party=party, next=_NEXT[cause])


_SAME_PLAN = "make sure that all parties run the same version of tacit and the same plan"
_NEXT = {
    Cause.CLOSED: "look in that party's log for why it ended, start it again, and repeat the run in a new session",
    Cause.SILENT: "check that its host runs and the network between the parties is up, and repeat the run",
    Cause.LENGTH: _SAME_PLAN,
    Cause.STEP: _SAME_PLAN,
    Cause.SESSION: "make sure that no party still runs an earlier session, and repeat the run",
    Cause.MALFORMED: "make sure that all parties run the same version of tacit",
    Cause.FLOOD: "raise the limits at all parties if the plan really needs it; otherwise ask that party",
    Cause.CORRUPTED: "check the network path for a device that changes traffic, and repeat the run",
    Cause.REFUSED: "compare the certificate pins in the room file of both parties",
    Cause.UNREACHABLE: "check host and port in the room file, that the other party runs, and that an own port is free",
    Cause.ABORTED: "look at that party's log for the cause",
    Cause.TIMEOUT: "look at that party's log, or allow a longer `step_timeout_s`",
    Cause.MISUSE: "report this with the plan: it is an error in tacit or in its use",
}
