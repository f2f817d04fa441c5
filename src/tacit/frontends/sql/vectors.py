# SPDX-License-Identifier: Apache-2.0
"""Vectors: constants, choice, equality, order, and doubles that are exact quotients.

A double is fixed point, or an exact quotient: `Vector.denominator` says which. Sums, products and comparisons of
quotients stay exact as long as they fit the ring; what else is done with one turns it into fixed point (`fixed`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tacit.frontends.arithmetic import (
    add,
    divide,
    equal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    matmul,
    maximum,
    multiply,
    subtract,
)
from tacit.frontends.array import Owner, SecretArray
from tacit.frontends.graph import constant_values, raw_constant
from tacit.frontends.groups import one_hot
from tacit.frontends.operands import apply, astype
from tacit.frontends.reductions import all as all_of
from tacit.frontends.reductions import any as any_of
from tacit.frontends.reductions import sum as sum_of
from tacit.frontends.scaling import times
from tacit.frontends.shaping import broadcast_to, getitem, reshape, stack
from tacit.frontends.sql import division
from tacit.frontends.sql.frame import Vector
from tacit.frontends.sql.types import DOUBLE, TEXT_WORD, Dictionary, SqlType, bytes_of, laid_out
from tacit.plan import BOOL, FIXED, INT64, DType

UNIT: Final = 2**FIXED.f
"""The raw value of 1 in a double's fixed point."""
_EXACT_MAX: Final = 2**62
"""Numerators and denominators that exact arithmetic on quotients may reach."""
HOT_MAX: Final = 64
"""Places of one row of zeros with a one."""
CODES_MAX: Final = HOT_MAX**2
"""Values that a dictionary may have."""


# --- constants ------------------------------------------------------------------------------------------------------


def public(owner: Owner, raw: int, dtype: DType, rows: int) -> SecretArray:
    """The array [rows] of one public raw value."""
    return broadcast_to(SecretArray(owner, raw_constant(np.asarray(raw, np.int64), dtype)), (rows,))


def known(x: SecretArray) -> int | None:
    """The raw value of every element of `x` where `public` made it, else None."""
    node = x.node.inputs[0] if x.node.op == "broadcast_to" else x.node
    values = constant_values(node)
    return int(values.reshape(-1)[0]) if values is not None and values.size == 1 else None


def constant(value: int | str | None, type: SqlType, rows: int, program: Owner) -> Vector:
    """A public value in every one of `rows` rows: its raw value, a text, or None for NULL."""
    null = public(program, 1, BOOL, rows) if value is None else None
    if type.kind == "text":
        text = str(value or "").encode()
        type = SqlType("text", max(1, len(text)))
        return Vector(type, tuple(public(program, w, INT64, rows) for w in text_words(text, type.size)), null)
    return Vector(type, (public(program, int(value or 0), type.dtype, rows),), null)


def text_words(text: bytes, size: int) -> list[int]:
    """UTF-8 bytes in words that hold `size` bytes; see `types`."""
    padded = text.ljust(size, b"\0")
    return [int.from_bytes(padded[k : k + TEXT_WORD]) for k in range(0, size, TEXT_WORD)]


# --- NULL -----------------------------------------------------------------------------------------------------------


def either(a: SecretArray | None, b: SecretArray | None) -> SecretArray | None:
    """Where one of two flags holds; None never holds."""
    if a is None or b is None or a is b:
        return a if b is None else b
    return logical_or(a, b)


def zero_where(flag: SecretArray | None, x: SecretArray) -> SecretArray:
    """x, and zero where the flag holds. One product."""
    if flag is None:
        return x
    if x.dtype == BOOL:
        return logical_and(x, logical_not(flag))
    return apply("where", flag, public(x.program, 0, x.dtype, x.shape[0]), x)


def masked(v: Vector) -> Vector:
    """v with words that are zero where it is NULL, whatever they are there now."""
    return replace(v, words=tuple(zero_where(v.null, w) for w in v.words))


def null_if_absent(v: Vector, flag: SecretArray) -> Vector:
    """v where the flag holds, NULL elsewhere."""
    absent = logical_not(flag)
    return replace(v, words=tuple(zero_where(absent, w) for w in v.words), null=either(v.null, absent))


# --- doubles ----------------------------------------------------------------------------------------------------------


def quotient(numerator: SecretArray, denominator: SecretArray, scale: int, null: SecretArray | None) -> Vector:
    """numerator / (denominator * 10^scale) as a double, exactly; the denominator is positive."""
    return Vector(SqlType("double", 0, scale), (numerator,), null, denominator)


def exact(v: Vector) -> Vector | None:
    """A number as an exact quotient: as it is, or over 1; None for fixed point that is no constant."""
    if v.denominator is not None:
        return v
    x = v.words[0]
    if v.type.kind == "double":
        raw = known(x)
        if raw is None:
            return None
        value = Fraction(raw, UNIT)
        numerator, denominator = (public(x.program, n, INT64, x.shape[0]) for n in value.as_integer_ratio())
        return quotient(numerator, denominator, 0, v.null)
    return quotient(astype(x, INT64), public(x.program, 1, INT64, x.shape[0]), v.type.scale, v.null)


def units(v: Vector) -> Vector | None:
    """A number as an exact quotient, fixed point as that of its units: an exact truncation. None where |v| may reach
    2^25, which has no room.
    """
    x = v.words[0]
    if exact(v) is not None or magnitude(x) * UNIT >= FIXED.range.hi:
        return exact(v)
    whole = astype(multiply(x, UNIT), INT64)
    return quotient(whole, public(x.program, UNIT, INT64, x.shape[0]), 0, v.null)


def fixed(v: Vector) -> Vector:
    """A number as fixed point with 18 fractional bits, within some units in the last place.

    A quotient by a secret is divided in fixed point, or digit by digit where it has no room there.
    """
    if v.type.kind == "double" and v.denominator is None:
        return v
    x, d, unit = v.words[0], v.denominator, 10**v.type.scale
    # Rows that are not meant may have any divisor, also a public zero.
    n = 1 if d is None else known(d)
    whole = known(x)
    if n is not None and whole is not None:
        value = public(x.program, round(Fraction(whole, max(n, 1) * unit) * UNIT), FIXED, x.shape[0])
    elif n is not None:
        value = times(astype(x, INT64), Fraction(1, max(n, 1) * unit))
    else:
        assert d is not None
        d = d if d.node.type.interval.lo >= 1 else maximum(d, 1)
        if max(magnitude(x), magnitude(d)) * UNIT < FIXED.range.hi:
            value = divide(x, d)
            value = times(value, Fraction(1, unit)) if unit > 1 else value
        else:
            value = from_last_places(division.quotient(x, multiply(d, unit), FIXED.f))
    return Vector(DOUBLE, (value,), v.null)


def last_places(x: SecretArray) -> SecretArray:
    """Fixed point in units of its last place, an integer: exact truncations of the whole and of the fraction."""
    if magnitude(x) * UNIT < FIXED.range.hi:
        return astype(multiply(x, UNIT), INT64)
    whole = astype(x, INT64)
    rest = subtract(x, astype(whole, FIXED)).clip(0, 1)
    return add(multiply(whole, UNIT), astype(multiply(rest, UNIT), INT64))


def from_last_places(x: SecretArray) -> SecretArray:
    """An integer, units of the last place, as fixed point. Local."""
    return apply("mul", x, SecretArray(x.program, raw_constant(np.asarray(1, np.int64), FIXED)))


def rescaled(v: Vector, scale: int) -> Vector:
    """An exact quotient with its numerator for a larger scale."""
    factor = 10 ** (scale - v.type.scale)
    return v if factor == 1 else replace(v, type=replace(v.type, scale=scale), words=(multiply(v.words[0], factor),))


def fits(*bounds: int) -> bool:
    """Whether numbers so large stay inside what exact arithmetic allows."""
    return all(b < _EXACT_MAX for b in bounds)


def magnitude(x: SecretArray) -> int:
    """The largest absolute raw value that x may have."""
    return x.node.type.interval.magnitude


def crossed(a: Vector, b: Vector) -> tuple[SecretArray, SecretArray, int] | None:
    """Numerators of two exact quotients over the product of their denominators, or over the one that they share, and
    their common scale; None where they have no room.
    """
    assert a.denominator is not None and b.denominator is not None
    scale = max(a.type.scale, b.type.scale)
    sides = []
    for v, other in ((a, b.denominator), (b, a.denominator)):
        up = 10 ** (scale - v.type.scale)
        over = 1 if _shared(a, b) else magnitude(other)
        if not fits(magnitude(v.words[0]) * up * over):
            return None
        x = v.words[0] if up == 1 else multiply(v.words[0], up)
        sides.append(x if over == 1 else product(x, other))
    return sides[0], sides[1], scale


def _shared(a: Vector, b: Vector) -> bool:
    """Whether two quotients have one denominator."""
    assert a.denominator is not None and b.denominator is not None
    value = known(a.denominator)
    return a.denominator is b.denominator or (value is not None and value == known(b.denominator))


def over_both(a: Vector, b: Vector) -> SecretArray | None:
    """The denominator that `crossed` puts numerators over, if it has room."""
    assert a.denominator is not None and b.denominator is not None
    if _shared(a, b):
        return a.denominator
    if not fits(magnitude(a.denominator) * magnitude(b.denominator)):
        return None
    return product(a.denominator, b.denominator)


def product(x: SecretArray, y: SecretArray) -> SecretArray:
    """x * y, local where one of them is known."""
    for one, other in ((x, y), (y, x)):
        n = known(one)
        if n is not None and not one.dtype.is_fixed and other.dtype != BOOL:
            return other if n == 1 else multiply(other, n)
    return multiply(x, y)


def unified(a: Vector, b: Vector) -> tuple[Vector, Vector]:
    """Two vectors of one type with words that mean the same: as many of text, one representation of doubles."""
    if a.type.kind == "null":
        a = replace(constant(None, b.type, a.words[0].shape[0], a.words[0].program), null=a.null)
    if b.type.kind == "null":
        b = replace(constant(None, a.type, b.words[0].shape[0], b.words[0].program), null=b.null)
    if a.denominator is not None or b.denominator is not None:
        x, y = exact(a), exact(b)
        scale = max(a.type.scale, b.type.scale) if x is None or y is None else max(x.type.scale, y.type.scale)
        if (
            x is not None
            and y is not None
            and fits(*(magnitude(v.words[0]) * 10 ** (scale - v.type.scale) for v in (x, y)))
        ):
            return rescaled(x, scale), rescaled(y, scale)
        return fixed(a), fixed(b)
    return _alike(a, b) if a.type.kind == "text" else (a, b)


# --- text -----------------------------------------------------------------------------------------------------------


def _alike(a: Vector, b: Vector) -> tuple[Vector, Vector]:
    """Two texts laid out in the same way: codes of one dictionary, or words of as many bytes."""
    if a.type == b.type:
        return a, b
    if a.type.values or b.type.values:
        given = [_spellings(v) for v in (a, b)]
        if given[0] is not None and given[1] is not None:
            both = Dictionary.of({*given[0], *given[1]}).values
            if len(both) <= CODES_MAX:
                return _coded(a, given[0], both), _coded(b, given[1], both)
        a, b = spelled(a), spelled(b)
    size = max(a.type.size, b.type.size)
    return widened(a, size), widened(b, size)


def widened(v: Vector, size: int) -> Vector:
    """A text in words that hold at least as many bytes. Local."""
    have = v.type.size
    if have == size:
        return v
    words = list(v.words)
    room = min(size, len(words) * TEXT_WORD) - have
    program, rows = words[0].program, words[0].shape[0]
    if room:
        last = known(words[-1])
        words[-1] = multiply(words[-1], 256**room) if last is None else public(program, last * 256**room, INT64, rows)
    zero = public(program, 0, INT64, rows)
    words += [zero] * (-(-size // TEXT_WORD) - len(words))
    return replace(v, type=SqlType("text", size), words=tuple(words))


def _spellings(v: Vector) -> tuple[str, ...] | None:
    """The values that a text can have: those of its dictionary, or of a constant; none of NULL."""
    if v.type.values:
        return v.type.values
    if v.null is not None and known(v.null) == 1:
        return ()
    words = [known(w) for w in v.words]
    if None in words:
        return None
    parts = [(w or 0).to_bytes(n) for w, n in zip(words, bytes_of(v.type), strict=True)]
    return (b"".join(parts).rstrip(b"\0").decode(),)


def _coded(v: Vector, have: tuple[str, ...], values: tuple[str, ...]) -> Vector:
    """A text as codes of a larger dictionary."""
    kind = laid_out(v.type, Dictionary.of(values))
    if v.type == kind:
        return v
    places = [values.index(h) for h in have]
    if v.type.values:
        made = replace(v, type=kind, words=tuple(_looked_up(v.words[0], [places])))
        # NULL has the code of the first value, too.
        return masked(made) if places[0] else made
    code = public(v.words[0].program, places[0] if places else 0, INT64, v.words[0].shape[0])
    return replace(v, type=kind, words=(code,))


def spelled(v: Vector) -> Vector:
    """A text in words of its bytes, no longer in codes."""
    if not v.type.values:
        return v
    tables = zip(*(text_words(t.encode(), v.type.size) for t in v.type.values), strict=True)
    words = _looked_up(v.words[0], [list(t) for t in tables])
    return masked(replace(v, type=SqlType("text", v.type.size), words=tuple(words)))


def _looked_up(code: SecretArray, tables: Sequence[Sequence[int]]) -> list[SecretArray]:
    """For each table its entry at a code: the code in digits as rows of zeros with a one, and products with the public
    tables, which are local but for that with the high digits.
    """
    n = len(tables[0])
    width, rows = min(n, HOT_MAX), -(-n // HOT_MAX)
    first = division.floor_by(code, HOT_MAX) if rows > 1 else None
    last = code if first is None else subtract(code, multiply(first, HOT_MAX))
    # `clip` proves ranges to the plan here and below, which bounds of sums and differences cannot.
    low = one_hot(apply("clip", last, lo=0, hi=width - 1), width)
    picked = []
    for table in tables:
        entries = np.zeros(rows * width, np.int64)
        entries[:n] = table
        columns = raw_constant(np.ascontiguousarray(entries.reshape(rows, width).T), INT64)
        part = matmul(low, SecretArray(code.program, columns))
        if first is not None:
            part = sum_of(multiply(one_hot(first, rows), part), axis=1)
        picked.append(reshape(part, (len(code),)))
    return [apply("clip", p, lo=min(t), hi=max(t)) for p, t in zip(picked, tables, strict=True)]


def among(v: Vector, keep: Sequence[bool]) -> SecretArray:
    """Where the code of a text is one of those to keep."""
    code = v.words[0]
    if all(keep) or not any(keep):
        return public(code.program, int(all(keep)), BOOL, code.shape[0])
    turned = 2 * sum(keep) > len(keep)
    wanted = [k for k, kept in enumerate(keep) if kept != turned]
    found = any_of(equal(reshape(code, (1, len(code))), raws(code, wanted)), axis=0)
    return logical_not(found) if turned else found


# --- choice, equality, order ------------------------------------------------------------------------------------------


def select(flag: SecretArray, a: Vector, b: Vector) -> Vector:
    """a where the flag holds, b elsewhere: one product for each word."""
    a, b = unified(a, b)
    rows = flag.shape[0]
    null = None
    if a.null is not None or b.null is not None:
        never = public(flag.program, 0, BOOL, rows)
        nulls = [never if v.null is None else v.null for v in (a, b)]
        null = a.null if a.null is b.null else apply("where", flag, *nulls)
    denominator = a.denominator
    if a.denominator is not None and b.denominator is not None and not _shared(a, b):
        denominator = apply("where", flag, a.denominator, b.denominator)
    words = tuple(x if x is y else apply("where", flag, x, y) for x, y in zip(a.words, b.words, strict=True))
    return Vector(a.type, words, null, denominator)


def same(a: Vector, b: Vector) -> SecretArray:
    """Whether two values are alike as GROUP BY sees them: NULL is like NULL. Words of NULL have to be zero."""
    out = equal_words(a, b)
    if a.null is None and b.null is None:
        return out
    if a.null is None or b.null is None:
        null = b.null if a.null is None else a.null
        assert null is not None
        return logical_and(out, logical_not(null))
    return logical_and(out, logical_not(logical_xor(a.null, b.null)))


def equal_words(a: Vector, b: Vector) -> SecretArray:
    """Whether two values are equal, whatever where one is NULL. The words of text in one comparison."""
    x, y = comparable(a, b)
    if len(x) == 1:
        return equal(x[0], y[0])
    return all_of(equal(stack(x), stack(y)), axis=0)


def less_words(a: Vector, b: Vector, *, or_equal: bool = False) -> SecretArray:
    """Whether a < b, or a <= b, whatever where one is NULL. The words of text in one comparison and a tree of ANDs."""
    x, y = comparable(a, b)
    if a.type.kind == "bool":
        # Of two bits, a < b is "not a and b".
        first, second = (y[0], x[0]) if or_equal else (x[0], y[0])
        out = logical_and(logical_not(first), second)
        return logical_not(out) if or_equal else out
    last = (less_equal if or_equal else less)(x[-1], y[-1])
    if len(x) == 1:
        return last
    before, alike = less(stack(x[:-1]), stack(y[:-1])), equal(stack(x[:-1]), stack(y[:-1]))
    n = len(x) - 1
    pairs = [(getitem(before, k), getitem(alike, k)) for k in range(n)]
    while len(pairs) > 1:
        joined = [
            (logical_xor(p, logical_and(e, q)), logical_and(e, f))
            for (p, e), (q, f) in zip(pairs[::2], pairs[1::2], strict=False)
        ]
        pairs = joined + pairs[len(pairs) & ~1 :]
    (p, e) = pairs[0]
    return logical_xor(p, logical_and(e, last))


def comparable(a: Vector, b: Vector) -> tuple[Sequence[SecretArray], Sequence[SecretArray]]:
    """Words whose order and equality are those of the values. Quotients are multiplied crosswise where that fits,
    else compared as fixed point.
    """
    if a.denominator is None and b.denominator is None:
        between = _between(a, b)
        if between is not None:
            return between
        count = min(deciding(a), deciding(b))
        a, b = unified(a, b)
        return a.words[:count], b.words[:count]
    x, y = exact(a), exact(b)
    got = crossed(x, y) if x is not None and y is not None else None
    return (fixed(a).words, fixed(b).words) if got is None else (got[:1], got[1:2])


def _between(a: Vector, b: Vector) -> tuple[list[SecretArray], list[SecretArray]] | None:
    """Words to compare a text in codes with a constant that its dictionary lacks: even numbers with an odd one."""
    for x, y in ((a, b), (b, a)):
        text = _spellings(y) if x.type.values and not y.type.values else None
        if text and text[0] not in x.type.values:
            place = public(y.words[0].program, 2 * bisect_left(x.type.values, text[0]) - 1, INT64, y.words[0].shape[0])
            pair = ([multiply(x.words[0], 2)], [place])
            return pair if x is a else pair[::-1]
    return None


def deciding(v: Vector) -> int:
    """How many words decide how a text compares with v: where v ends, a text that is equal so far ends as well, or its
    next word is not zero.
    """
    last = known(v.words[-1])
    return len(v.words) + (v.type.size % TEXT_WORD == 0 and (last is None or last % 256 != 0))


def sort_words(v: Vector, descending: bool, nulls_first: bool) -> list[tuple[SecretArray, bool]]:
    """Keys for `sort_by`, the most significant first, each with whether it descends: of a nullable value where it is
    NULL, then its words. A quotient by a secret is divided, with enough bits to tell it from any other.
    """
    keys = [(v.null, nulls_first)] if v.null is not None else []
    if v.denominator is None:
        return [*keys, *((w, descending) for w in v.words)]
    d = known(v.denominator)
    if d is not None:
        return [*keys, (v.words[0], descending)]
    # Two different quotients are further apart than 1 / D^2.
    places = division.digits(v.words[0], v.denominator, 2 * magnitude(v.denominator).bit_length())
    return [*keys, *((w, descending) for w in places)]


def is_equal(a: SecretArray, raw: int) -> SecretArray:
    """Whether a has a public raw value."""
    return equal(a, public(a.program, raw, a.dtype, a.shape[0]))


def raws(a: SecretArray, values: Sequence[int]) -> SecretArray:
    """Public raw values [n, 1] of the element type of a, to meet a [rows]."""
    column: NDArray[np.int64] = np.asarray(values, np.int64).reshape(-1, 1)
    return SecretArray(a.program, raw_constant(column, a.dtype))
