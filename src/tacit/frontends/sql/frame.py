# SPDX-License-Identifier: Apache-2.0
"""Columns and tables of secret (or private, or public) rows: what relations become when they are lowered to arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from tacit.frontends.array import SecretArray
from tacit.frontends.sql.algebra import Column
from tacit.frontends.sql.types import SqlType

SortWord: TypeAlias = tuple[SecretArray, bool]
"""A column to sort by, and whether it is descending."""


@dataclass(frozen=True)
class Vector:
    """The values of a column: `words` are arrays [rows], one, or for text as many as its bytes need (see `types`), and
    its type says how it is laid out in them.

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

    `compact`: rows that are meant come before those that are not. `order`: words of columns, each with whether it
    descends, that rows are sorted by; those that are not meant are too, unless no row that is meant comes after them.
    `firsts`: where it is known, the first row that is meant of each run of rows that agree in all of `order`; row 0 is
    none of them.
    """

    rows: int
    columns: dict[Column, Vector]
    present: SecretArray | None = None
    compact: bool = False
    order: tuple[SortWord, ...] = ()
    firsts: SecretArray | None = None

    def meaning(self, present: SecretArray | None) -> Frame:
        """The same rows, of which only these are meant."""
        return replace(self, present=present, compact=False, firsts=None)
