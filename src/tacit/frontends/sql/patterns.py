# SPDX-License-Identifier: Apache-2.0
"""LIKE on secret text: its words are cut between bytes by exact shifts, and pieces compared with those of the pattern.

A piece within a word is one difference of two shifts of the word, so all pieces at all places are one comparison.
"""

from __future__ import annotations

import re

from tacit.frontends.arithmetic import equal, logical_and, multiply, subtract
from tacit.frontends.array import SecretArray
from tacit.frontends.groups import running_any
from tacit.frontends.reductions import all as all_of
from tacit.frontends.reductions import any as any_of
from tacit.frontends.shaping import getitem, stack
from tacit.frontends.sql import vectors
from tacit.frontends.sql.division import floor_by
from tacit.frontends.sql.frame import Vector
from tacit.frontends.sql.types import TEXT_WORD
from tacit.plan import BOOL


def segments(pattern: str, escape: str | None) -> list[bytes] | None:
    """The texts between the `%` of a pattern; None if it has a `_`, which stands for a character of unknown width."""
    parts = [""]
    k = 0
    while k < len(pattern):
        c = pattern[k]
        if escape and c == escape and k + 1 < len(pattern):
            k += 1
            parts[-1] += pattern[k]
        elif c == "%":
            parts.append("")
        elif c == "_":
            return None
        else:
            parts[-1] += c
        k += 1
    return [p.encode() for p in parts]


def like(text: Vector, parts: list[bytes]) -> SecretArray:
    """Whether a text is made of `parts` with anything between them, whatever where it is NULL."""
    rows, program = text.words[0].shape[0], text.words[0].program
    if text.type.values:
        pattern = re.compile(b".*".join(map(re.escape, parts)), re.DOTALL)
        return vectors.among(text, [pattern.fullmatch(v.encode()) is not None for v in text.type.values])
    width = text.type.size
    if len(parts) == 1:
        return vectors.equal_words(text, vectors.constant(parts[0].decode(), text.type, rows, program))
    first, *middle, last = parts
    middle = [m for m in middle if m]
    if sum(map(len, parts)) > width:
        return vectors.public(program, 0, BOOL, rows)
    cuts = _Cuts(text)
    # Where each segment may begin, by what comes before and after it.
    out: SecretArray | None = cuts.found(first, [0])[0] if first else None
    begin, left = len(first), sum(map(len, middle))
    reached: SecretArray | None = None
    for k, segment in enumerate(middle):
        places = list(range(begin, width - left - len(last) + 1))
        flags = cuts.found(segment, places)
        if reached is not None:
            flags = logical_and(flags, reached)
        left -= len(segment)
        begin += len(segment)
        if k < len(middle) - 1 or last:
            reached = _so_far(flags)
        else:
            reached = None
            out = _both(out, any_of(flags, axis=0))
    if last:
        places = list(range(begin, width - len(last) + 1))
        flags = cuts.found(last, places, ends=True)
        if reached is not None:
            flags = logical_and(flags, reached)
        out = _both(out, any_of(flags, axis=0))
    return vectors.public(program, 1, BOOL, rows) if out is None else out


class _Cuts:
    """The words of a text, shifted to end after each of their bytes."""

    def __init__(self, text: Vector) -> None:
        self.words = text.words
        self.width = text.type.size
        self._shifts: dict[tuple[int, int], SecretArray] = {}

    def found(self, segment: bytes, places: list[int], ends: bool = False) -> SecretArray:
        """For each place whether the segment stands there: flags [places, rows]. With `ends` the text ends after it."""
        pieces: list[SecretArray] = []
        wanted: list[int] = []
        bounds = []
        for place in places:
            text = segment + b"\0" if ends and place + len(segment) < self.width else segment
            start = len(pieces)
            at = 0
            while at < len(text):
                word, byte = divmod(place + at, TEXT_WORD)
                size = min(TEXT_WORD - byte, len(text) - at)
                pieces.append(self._piece(word, byte, size))
                wanted.append(int.from_bytes(text[at : at + size]))
                at += size
            bounds.append((start, len(pieces)))
        alike = equal(stack(pieces), vectors.raws(pieces[0], wanted))
        return stack([all_of(getitem(alike, slice(a, b)), axis=0) for a, b in bounds])

    def _piece(self, word: int, byte: int, size: int) -> SecretArray:
        """`size` bytes of a word as one number."""
        upto = self._shift(word, byte + size)
        return subtract(upto, multiply(self._shift(word, byte), 256**size)) if byte else upto

    def _shift(self, word: int, size: int) -> SecretArray:
        """The first `size` bytes of a word."""
        if (word, size) not in self._shifts:
            whole = min(TEXT_WORD, self.width - word * TEXT_WORD)
            self._shifts[word, size] = floor_by(self.words[word], 256 ** (whole - size))
        return self._shifts[word, size]


def _so_far(flags: SecretArray) -> SecretArray:
    """Whether any flag holds up to each row."""
    return running_any(vectors.public(flags.program, 0, BOOL, flags.shape[0]), flags)


def _both(a: SecretArray | None, b: SecretArray) -> SecretArray:
    return b if a is None else logical_and(a, b)
