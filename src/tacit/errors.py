# SPDX-License-Identifier: Apache-2.0
"""Every error of tacit, with its stable code.

    TacitError
    ├── InputError        INPUT-…      a value, file, column or shape given by a user or a data owner
    ├── SecretError       SECRET-…     a secret was used where only a plain value makes sense
    ├── PlanError         PLAN-…       a plan that cannot be built, verified or agreed on
    ├── RoomError         ROOM-…       a room file, certificate, role or party that does not fit
    ├── TransportError    TRANSPORT-…  a peer or a link: dead, silent, flooding, malformed, unknown
    ├── RunError          RUN-…        a run that ended before its result: cancelled, refused, failed
    └── SqlError          SQL-…        a query or table that is wrong, or that cannot be computed as asked

An error says what happened, what was expected, at which party, and what to do. It never carries a secret, not
even how close a refused value was to the limit: an error message is an output channel.
"""

from __future__ import annotations

from typing import Any


class TacitError(Exception):
    """The base of all errors raised on purpose.

    `code` is stable and documented in docs/errors.md. `party` is the name of the party where it happened (or that
    caused it), or None where there is none. `next` says what to do.
    """

    def __init__(self, code: str, what: str, *, expected: str = "", party: str | None = None, next: str = "") -> None:
        self.code = code
        self.what = what
        self.expected = expected
        self.party = party
        self.next = next
        super().__init__(str(self))

    def __str__(self) -> str:
        """One paragraph: code, what happened, expected, party, what to do."""
        parts = [f"{self.code}  {self.what}"]
        if self.expected:
            parts.append(f"Expected: {self.expected}")
        if self.party is not None:
            parts.append(f"At: {self.party}.")
        if self.next:
            parts.append(f"Next: {self.next}")
        return " ".join(p if p.endswith((".", "?", "!")) else p + "." for p in parts)

    def to_dict(self) -> dict[str, Any]:
        """The error as plain data, to cross a process boundary; `from_dict` is the inverse."""
        return {
            "type": type(self).__name__,
            "code": self.code,
            "what": self.what,
            "expected": self.expected,
            "party": self.party,
            "next": self.next,
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> TacitError:
        """Rebuild the error that `to_dict` described; an unknown type becomes a `RunError`."""
        cls = _BY_NAME.get(str(data.get("type")), RunError)
        party = data.get("party")
        return cls(
            str(data.get("code", "RUN-000")),
            str(data.get("what", "")),
            expected=str(data.get("expected", "")),
            party=None if party is None else str(party),
            next=str(data.get("next", "")),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by value, for process pools."""
        return (TacitError.from_dict, (self.to_dict(),))


class InputError(TacitError):
    """A value, file, column or shape given by a user or a data owner does not fit. Codes INPUT-…."""


class SecretError(TacitError):
    """A secret was used where only a plain value makes sense. Codes SECRET-…."""


class PlanError(TacitError):
    """A plan that cannot be built, verified or agreed on. Codes PLAN-…."""


class RoomError(TacitError):
    """A room file, certificate, role or party that does not fit. Codes ROOM-…."""


class TransportError(TacitError):
    """A peer or a link failed: dead, silent, flooding, malformed, unknown. Codes TRANSPORT-…."""


class RunError(TacitError):
    """A run ended before its result: cancelled, refused, failed. Codes RUN-…."""


class SqlError(TacitError):
    """A query or table that is wrong, or that cannot be computed as asked. Codes SQL-…."""


_BY_NAME: dict[str, type[TacitError]] = {
    cls.__name__: cls for cls in (InputError, SecretError, PlanError, RoomError, TransportError, RunError, SqlError)
}
