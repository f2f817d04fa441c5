# SPDX-License-Identifier: Apache-2.0
"""The first round of every run: the parties check that they run the same plan and agree on fresh keys.

Each party sends each peer, over their authenticated channel, the plan's digest, the session id and a 32-byte
contribution made for that peer alone. The key of a pair is HKDF-SHA256 (RFC 5869) of both contributions, bound to
session, plan and pair; neither side chooses it alone, and the third party sees neither contribution.
"""

from __future__ import annotations

import hashlib
import hmac

from tacit import kernels
from tacit.errors import PlanError
from tacit.protocols.blackbox import BlackBox
from tacit.protocols.exchange import Exchange, Inbox
from tacit.protocols.plain import Plain
from tacit.protocols.rep3 import Rep3

DIGEST_BYTES = 32
SESSION_BYTES = 16
SECRET_BYTES = 32
HELLO_BYTES = DIGEST_BYTES + SESSION_BYTES + SECRET_BYTES

PROTOCOLS: dict[str, type[BlackBox]] = {"plain": Plain, "rep3": Rep3}
"""The protocols a plan may name."""


def hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256, RFC 5869, for at most 255*32 bytes."""
    key = hmac.digest(salt, secret, hashlib.sha256)
    out, block = b"", b""
    for i in range(-(-length // 32)):
        block = hmac.digest(key, block + info + bytes([i + 1]), hashlib.sha256)
        out += block
    return out[:length]


async def begin(protocol: str, me: int, parties: int, digest: bytes, session: bytes, secret: bytes) -> BlackBox:
    """Check digest and session with every peer and set up this party's end of the protocol. One round.

    Pre-conditions: `len(digest) == 32`, `len(session) == 16`, `len(secret) == 32`, secret fresh from the operating
    system for every run. Sends 80 bytes to each peer. Discloses nothing beyond what is in the plan.

    Raises PlanError PLAN-901 where a peer runs another plan, PLAN-902 another session, PLAN-903 if the protocol
    does not run with this number of parties.
    """
    if protocol not in PROTOCOLS or (protocol == "rep3" and parties != 3) or not 0 <= me < parties:
        raise PlanError(
            "PLAN-903",
            f"protocol {protocol!r} does not run with {parties} computing parties",
            expected="rep3 with 3 parties, or plain",
        )
    mine = {p: hkdf(session, secret, b"tacit/contribution" + bytes([me, p]), 32) for p in range(parties) if p != me}
    theirs: Inbox = {}
    if parties > 1:
        theirs = await Exchange({p: [digest + session + c] for p, c in mine.items()}, dict.fromkeys(mine, HELLO_BYTES))
    for peer, hello in sorted(theirs.items()):
        if hello[:DIGEST_BYTES] != digest:
            raise PlanError(
                "PLAN-901",
                "two parties were asked to run different plans",
                expected=f"the plan with digest {digest.hex()[:16]}…",
                party=f"party {peer}",
                next="nothing was computed; propose one plan to all parties again",
            )
        if hello[DIGEST_BYTES : DIGEST_BYTES + SESSION_BYTES] != session:
            raise PlanError(
                "PLAN-902",
                "two parties are in different sessions",
                expected="one session id at all parties",
                party=f"party {peer}",
                next="open a new session",
            )

    def pair_key(low: int, high: int) -> kernels.PrgKey:
        peer = high if low == me else low
        other = bytes(theirs[peer][-SECRET_BYTES:])
        first, second = (mine[peer], other) if low == me else (other, mine[peer])
        info = b"tacit/pair" + bytes([low, high]) + digest
        return kernels.PrgKey(hkdf(session, first + second, info, 16))

    if protocol == "plain":
        # No secrecy is claimed between plain parties: the seed only has to be common.
        return Plain(me, parties, hkdf(session, digest, b"tacit/plain", 16))
    # K_j belongs to component j, which parties j-1 and j hold.
    return Rep3(me, pair_key((me - 1) % 3, me), pair_key(me, (me + 1) % 3))
