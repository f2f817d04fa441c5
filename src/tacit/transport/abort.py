# SPDX-License-Identifier: Apache-2.0
"""Abort agreement: after any failure, all honest parties end with the same named error.

A party that fails writes a record of the cause and tells all its peers. A party that hears of an abort, and
has not failed itself, adopts the record it heard. Every party then relays whatever improves what it told
before, and takes the least record by (step, code, culprit, reporter). The earliest step is the root cause: a
party that is stuck at a step has sent nothing for later steps, so failures at later steps can only be
consequences.

Every party contributes exactly one record, its own or the first it heard, and each message carries the least
of all records its sender knows together with the set of parties behind it. So a party may stop as soon as
everyone has contributed, or is lost to it and to every peer it still hears; otherwise it stops when the grace
time is over.

This is agreement among parties that follow the protocol, over links of which some may be broken. A party that
lies about a cause can be believed; it cannot make others continue.

Sans-I/O: `step(state, event) -> (state, messages)`; each message goes to every peer that can be reached.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from tacit.errors import TacitError
from tacit.transport.faults import Cause, transport_error

NOBODY = -1
"""The culprit of a failure that no party caused by its messages, like a cancelled run."""

RECORD_BYTES_MAX = 64 * 1024
"""Largest encoded message; the Rust transport refuses larger ones."""


@dataclass(frozen=True)
class Record:
    """One party's account of why the run ended."""

    step: int
    code: str
    culprit: int
    reporter: int
    error: Mapping[str, Any] = field(compare=False)

    @property
    def rank(self) -> tuple[int, str, int, int]:
        """The order in which all parties take the least."""
        return (self.step, self.code, self.culprit, self.reporter)

    def to_error(self) -> TacitError:
        """The error that this record describes."""
        return TacitError.from_dict(dict(self.error))


@dataclass(frozen=True)
class Message:
    """What parties tell each other: the least record, who contributed to it, and who cannot be heard."""

    record: Record
    heard: frozenset[int]
    lost: frozenset[int]

    def encode(self) -> bytes:
        """JSON in UTF-8, of at most `RECORD_BYTES_MAX` bytes: long texts are cut."""
        record = self.record
        texts = {key: None if text is None else str(text)[:_TEXT_MAX] for key, text in record.error.items()}
        return json.dumps(
            {
                "step": record.step,
                "culprit": record.culprit,
                "reporter": record.reporter,
                "error": texts,
                "heard": sorted(self.heard),
                "lost": sorted(self.lost),
            }
        ).encode()

    @staticmethod
    def decode(data: bytes, parties: int) -> Message:
        """Read what a peer sent. Raises TRANSPORT-011 if it is not a message; control characters are
        replaced.
        """
        try:
            fields = json.loads(data)
            error = {key: _text(fields["error"][key]) for key in _ERROR_KEYS}
            step, culprit, reporter = (_index(fields[key], low, high) for key, low, high in _bounds(parties))
            heard, lost = (
                frozenset(_index(party, 0, parties - 1) for party in fields[key]) for key in ("heard", "lost")
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            raise _unreadable() from None
        code = error["code"] or ""
        if not _CODE.fullmatch(code) or error["type"] is None:
            raise _unreadable()
        return Message(Record(step, code, culprit, reporter, error), heard, lost)


# States.


@dataclass(frozen=True)
class Running:
    """Nobody has failed as far as this party knows; `lost` are the peers it hears no more."""

    me: int
    parties: int
    lost: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Agreeing:
    """A failure is known; `told` is what this party said last, `claims` are the peers' latest sets of lost
    parties.
    """

    me: int
    parties: int
    told: Message
    claims: Mapping[int, frozenset[int]]


@dataclass(frozen=True)
class Agreed:
    """The end: the record of the cause."""

    record: Record


State: TypeAlias = Running | Agreeing | Agreed


# Events.


@dataclass(frozen=True)
class Failed:
    """This party failed by itself."""

    record: Record


@dataclass(frozen=True)
class Heard:
    """A peer's message came."""

    peer: int
    message: Message


@dataclass(frozen=True)
class Lost:
    """Nothing more will come from this peer."""

    peer: int


@dataclass(frozen=True)
class GraceOver:
    """The time that was allowed for agreeing is over."""


Event: TypeAlias = Failed | Heard | Lost | GraceOver


def step(state: State, event: Event) -> tuple[State, list[Message]]:
    """One event in; the next state, and the messages for every reachable peer, out. Total: no pair is an
    error.
    """
    match state, event:
        case Agreed(), _:
            return state, []
        case Running(), GraceOver():
            return state, []
        case Running(), Lost(peer):
            return replace(state, lost=state.lost | {peer}), []
        case Running(me, parties, lost), Failed(record):
            return _settle(Agreeing(me, parties, Message(record, frozenset({me}), lost), {}), tell=True)
        case Running(me, parties, lost), Heard(peer, message):
            told = Message(message.record, message.heard | {me, peer}, lost)
            return _settle(Agreeing(me, parties, told, {peer: message.lost}), tell=True)
        case Agreeing(), Failed():
            # This party has contributed already; what fails now is a consequence.
            return state, []
        case Agreeing(), Heard(peer, message):
            record = min(state.told.record, message.record, key=lambda r: r.rank)
            told = Message(record, state.told.heard | message.heard | {peer}, state.told.lost)
            claims = {**state.claims, peer: message.lost}
            return _settle(replace(state, told=told, claims=claims), tell=told != state.told)
        case Agreeing(), Lost(peer):
            told = replace(state.told, lost=state.told.lost | {peer})
            return _settle(replace(state, told=told), tell=told != state.told)
        case Agreeing(), GraceOver():
            return Agreed(state.told.record), []
    raise AssertionError("unreachable: the match is total")


def _settle(state: Agreeing, *, tell: bool) -> tuple[State, list[Message]]:
    """Stop if everyone has contributed or is lost to all that can be heard."""
    messages = [state.told] if tell else []
    heard, lost = state.told.heard, state.told.lost
    live = [peer for peer in range(state.parties) if peer != state.me and peer not in lost]
    for party in range(state.parties):
        if party in heard:
            continue
        if party not in lost or any(party not in state.claims.get(peer, frozenset()) for peer in live):
            return state, messages
    return Agreed(state.told.record), messages


def _unreadable() -> TacitError:
    return transport_error(Cause.ABORTED, "an abort without a readable record of its cause")


def _bounds(parties: int) -> list[tuple[str, int, int]]:
    return [("step", 0, 2**64 - 1), ("culprit", NOBODY, parties - 1), ("reporter", 0, parties - 1)]


def _index(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError("out of range")
    return value


def _text(value: Any) -> str | None:
    """A peer's text as it may be shown on a terminal."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError("no text")
    return "".join(c if c.isprintable() else " " for c in value[:_TEXT_MAX])


_ERROR_KEYS = ("type", "code", "what", "expected", "party", "next")
_CODE = re.compile(r"[A-Z]{2,16}-[0-9]{3}")
_TEXT_MAX = 1500
