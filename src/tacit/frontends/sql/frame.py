# SPDX-License-Identifier: Apache-2.0
"""Columns and tables of secret (or private, or public) rows: what relations become when they are lowered to arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tacit.frontends.array import SecretArray
from tacit.frontends.sql.algebra import Column
from tacit.frontends.sql.types import SqlType


@dataclass(frozen=True)
class Vector:
    """The values of a column: `words` are arrays [rows], one, or for text as many as its bytes need (see `types`).

    `null` is a bool array that holds where the value is NULL, or None if it never is; words are zero there. A double
    that is an exact quotient has its `denominator`, never zero: the value is words[0] / (denominator * 10^type.scale),
    with words[0] an integer.
    """

    type: SqlType
    words: tuple[SecretArray, ...]
    null: SecretArray | None = None
    denominator: SecretArray | None = None

    @property
    def arrays(self) -> tuple[SecretArray, ...]:
        """All arrays: words, then the denominator and the flags of NULL if there are."""
        return (*self.words, *(a for a in (self.denominator, self.null) if a is not None))

    def with_arrays(self, arrays: tuple[SecretArray, ...]) -> Vector:
        """The same kind of vector made of other arrays, as `arrays` lists them."""
        n = len(self.words)
        rest = list(arrays[n:])
        denominator = rest.pop(0) if self.denominator is not None else None
        null = rest.pop(0) if self.null is not None else None
        return replace(self, words=tuple(arrays[:n]), null=null, denominator=denominator)


@dataclass(frozen=True)
class Frame:
    """Rows of a relation: `rows` is public. `present` holds where a row is meant; None: everywhere. Rows that are not
    meant hold anything.

    `compact`: rows that are meant come before those that are not.
    """

    rows: int
    columns: dict[Column, Vector]
    present: SecretArray | None = None
    compact: bool = False
