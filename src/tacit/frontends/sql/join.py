# SPDX-License-Identifier: Apache-2.0
"""Joins of secret tables: how many rows match, and which, stays secret.

Where one side's keys are unique, both sides are put on top of each other and sorted by key, so that a row of the unique
side heads its partners; what the heads bring is copied to their runs in a constant number of rounds, and the rows of
the other side are brought together. Where the query may show which of the shuffled rows have equal keys, tags of the
keys do without the sort. Whether there is any partner at all needs no unique keys. Without either, all pairs are
formed, which only small tables have room for.

Source: sort-merge joins with a copy of heads as in Asharov, Hamada, Kikuchi, Nof, Pinkas, Tomida 2023 (CCS), the copy
by differences of neighbouring heads (`library.compact`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

from tacit.frontends.arithmetic import equal, logical_and, logical_not, logical_or, multiply, subtract
from tacit.frontends.array import Owner, SecretArray
from tacit.frontends.graph import Record
from tacit.frontends.groups import match_rows, running_any
from tacit.frontends.reductions import all as all_of
from tacit.frontends.reductions import any as any_of
from tacit.frontends.shaping import concat, flip, getitem, reshape, stack
from tacit.frontends.sql import rows as on
from tacit.frontends.sql.algebra import Column
from tacit.frontends.sql.frame import Frame, SortWord, Vector
from tacit.frontends.sql.rows import Flag
from tacit.frontends.sql.vectors import null_if_absent, same
from tacit.plan import MATCH_BITS, matched_words

Residual = Callable[[Frame], SecretArray] | None
"""Of a table of pairs, those for which what a join asks besides equal keys is true."""

Pairs = Sequence[tuple[Vector, Vector]]
"""Keys that have to be equal: of each the left values and the right ones."""

KEEP_ROWS: Final = 4
"""A side that is so many times smaller than the other leaves its rows among the result's: to bring the others together
costs more than these do later on."""
EACH: Final = 24
"""Up to so many rows are compared with every row of the other table, where only whether any fits is asked."""


# --- one side unique ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Joined:
    """Pairs of rows, and rows without a partner. `matched`: where a row of the other side has its partner beside it;
    if rows of the unique side are kept, `met` and `alone`: where there is one that had any partner, or none.
    """

    frame: Frame
    matched: SecretArray
    met: SecretArray | None = None
    alone: SecretArray | None = None


def with_unique(
    unique: Frame,
    other: Frame,
    pairs: Pairs,
    *,
    keep_unique: bool = False,
    keep_other: bool = False,
    one_to_one: bool = False,
    together: bool = False,
    residual: Residual = None,
) -> Joined:
    """Pairs of rows with equal keys, where those of `unique`, the first of each pair of `pairs`, are unique.

    A side's rows without partner are kept or not, with NULLs in the other's columns. If its keys are unique too, the
    join is `one_to_one`. As many rows as `other` has, or both together; all parties send about 1.5 kB for each of both.
    An inner join for whoever groups its rows by the keys leaves them where they are, `together` with all others.
    """
    program = pairs[0][0].words[0].program
    n, m = unique.rows, other.rows
    no_null = on.not_null(b for _, b in pairs)
    heads = on.both(unique.present, on.not_null(a for a, _ in pairs))
    fits = on.both(other.present, no_null)
    top, bottom = _halves(program, n, m)
    flags = {"upper": top(None)}
    flags |= {"head": top(heads)} if heads is not None else {}
    flags |= {"fits": bottom(fits)} if fits is not None else {}
    flags |= {"unique": top(unique.present)} if keep_unique and unique.present is not None else {}
    flags |= {"other": bottom(other.present)} if keep_other and other.present is not None else {}
    together = together and not (keep_unique or keep_other or residual is not None)
    order: list[SortWord] = []
    if heads is not None or (together and fits is not None):
        # Within a run: its head, rows that may match it, and last what has no key that counts.
        last = multiply(on.bit(on.inverse(heads, n, program)), 2)
        order.append((concat([last, 1 + on.bit(on.inverse(fits, m, program))]), False))
    sides = [([a for a, _ in pairs], unique.columns), ([b for _, b in pairs], other.columns)]
    starts, words, columns, keys, flags = _merged(sides, order, flags)
    lower = logical_not(flags["upper"])
    flags = {"head": flags["upper"], "unique": flags["upper"], "fits": lower, "other": lower} | flags

    # Rows of the unique side that are no heads see themselves where they are kept.
    sources = logical_or(starts, flags["upper"]) if keep_unique and heads is not None else starts
    # A key needs not be brought to where it is equal.
    brought, (head,) = on.forward(sources, {c: columns[c] for c in unique.columns if c not in keys}, flags["head"])
    columns |= brought
    matched = logical_and(head, flags["fits"])
    rows, present, compact = n + m, matched if not keep_other else flags["other"], False
    firsts = None
    if together:
        firsts = _behind(flags["upper"], matched)
    elif not keep_unique and KEEP_ROWS * n > m:
        rows = min(n, m) if one_to_one and not keep_other else m
        before = columns
        columns, others, present = on.kept(present, rows, columns, *([matched] if keep_other else []))
        matched, compact, words = others[0] if keep_other else present, True, on.following(words, before, columns)
    met = alone = None
    if residual is not None:
        matched = logical_and(matched, residual(Frame(rows, columns)))
        if not keep_other:
            present, compact = matched, False
    if keep_unique:
        met = logical_and(flags["upper"], _any_in_run(starts, matched))
        alone = logical_and(flags["unique"], logical_not(met))
        present = logical_or(present, alone)
        for c in other.columns:
            columns[c] = null_if_absent(columns[c], lower) if c in keys else _missing(columns[c], lower)
    if keep_other:
        there = logical_or(matched, flags["upper"]) if keep_unique else matched
        # What is brought to a row with a key is its partner, or zeros.
        zeros = residual is None and no_null is None
        for c in unique.columns:
            clean = zeros and c not in keys
            columns[c] = _missing(columns[c], there) if clean else null_if_absent(columns[c], there)
    ordered = {c: columns[c] for c in (*unique.columns, *other.columns)}
    return Joined(Frame(rows, ordered, present, compact, words, firsts), matched, met, alone)


Side = tuple[Frame, Sequence[Vector]]
"""A table, and its keys."""


def with_each(uniques: Sequence[Side], other: Side, *, one_to_one: bool = False, together: bool = False) -> Frame:
    """The rows of a table that have a partner in each of several others, whose keys are unique, with all their columns:
    inner joins by the same keys in one sort. `one_to_one` and `together` as in `with_unique`.
    """
    sides = [*uniques, other]
    program, count, total = other[1][0].words[0].program, len(uniques), sum(f.rows for f, _ in sides)
    ranks, flags, above = [], {}, 0
    for k, (frame, own) in enumerate(sides):
        counts = on.known(on.both(frame.present, on.not_null(own)), frame.rows, program)
        # Within a run: heads, rows that may match them, and last what has no key that counts.
        ranks.append(subtract(count + 1, multiply(on.bit(counts), count + 1 - k)))
        flags[str(k)] = on.amid(counts, above, total - above - frame.rows)
        above += frame.rows
    tables = [(own, frame.columns) for frame, own in sides]
    starts, words, columns, keys, flags = _merged(tables, [(concat(ranks), False)], flags)
    present = flags[str(count)]
    for k, (frame, _) in enumerate(uniques):
        # A key needs not be brought to where it is equal.
        given = {c: columns[c] for c in frame.columns if c not in keys}
        brought, (head,) = on.forward(logical_or(starts, flags[str(k)]), given, flags[str(k)])
        columns |= brought
        present = logical_and(present, head)
    # No row that is meant has a key that is NULL.
    columns = {c: replace(v, null=None) if c in keys else v for c, v in columns.items()}
    if together:
        return Frame(total, columns, present, order=words, firsts=_behind(flags[str(count - 1)], present))
    if KEEP_ROWS * (total - other[0].rows) <= other[0].rows:
        return Frame(total, columns, present, order=words)
    size = min(f.rows for f, _ in sides) if one_to_one else other[0].rows
    moved, _, present = on.kept(present, size, columns)
    return Frame(size, moved, present, True, on.following(words, columns, moved))


def _behind(heads: SecretArray, matched: SecretArray) -> SecretArray:
    """The first of the rows behind each head that match it."""
    before = concat([on.filled(heads.program, 1, False), getitem(heads, slice(0, len(heads) - 1))])
    return logical_and(matched, before)


def _any_in_run(starts: SecretArray, flag: SecretArray) -> SecretArray:
    """On the first row of each run whether a flag holds on any of its rows."""
    return flip(running_any(flip(on.ends_of(starts)), flip(flag)))


def _missing(v: Vector, there: SecretArray) -> Vector:
    return replace(v, null=on.either(v.null, logical_not(there)))


def _halves(program: Owner, n: int, m: int) -> tuple[Callable[[Flag], SecretArray], Callable[[Flag], SecretArray]]:
    """Flags of the first n of n + m rows, and of the m others, which hold nowhere else."""

    def top(flag: Flag) -> SecretArray:
        return concat([on.known(flag, n, program), on.filled(program, m, False)])

    def bottom(flag: Flag) -> SecretArray:
        return concat([on.filled(program, n, False), on.known(flag, m, program)])

    return top, bottom


def _merged(
    sides: Sequence[tuple[Sequence[Vector], Mapping[Column, Vector]]],
    order: Sequence[SortWord],
    flags: Mapping[str, SecretArray],
) -> tuple[SecretArray, tuple[SortWord, ...], dict[Column, Vector], frozenset[Column], dict[str, SecretArray]]:
    """Tables, (keys, columns), on top of each other in the order of keys, then of `order`; equal rows keep theirs, so
    that those of the first table come first: (where runs of equal keys start, the words of the keys, columns, which
    of them are keys, flags).

    A column that is a key has other tables' keys in their rows, any other column zeros.
    """
    keys = {k: reduce(on.stacked, column) for k, column in enumerate(zip(*(own for own, _ in sides), strict=True))}
    given: dict[Column | int, Vector] = dict(keys.items())
    alike: dict[Column, int] = {}
    total, above = len(keys[0].words[0]), 0
    for own, columns in sides:
        places, rows = {_nodes(v): k for k, v in enumerate(own)}, len(own[0].words[0])
        for c, v in columns.items():
            if _nodes(v) in places:
                alike[c] = places[_nodes(v)]
            else:
                given[c] = v.with_arrays(tuple(on.amid(a, above, total - above - rows) for a in v.arrays))
        above += rows
    words = [(w, False) for v in keys.values() for w in v.words]
    moved, others = on.in_order([*words, *order], given, *flags.values())
    words = [(w, False) for k in keys for w in moved[k].words]
    starts = on.starts_of([w for w, _ in words])
    out = {}
    for c, v in (item for _, columns in sides for item in columns.items()):
        out[c] = moved[c] if c not in alike else moved[alike[c]]
        if v.null is None:
            # Where this one's row is meant, the key that is equal is not NULL either.
            out[c] = replace(out[c], null=None)
    return starts, tuple(words), out, frozenset(alike), dict(zip(flags, others, strict=True))


def _nodes(v: Vector) -> tuple[Record, ...]:
    return tuple(a.node for a in v.arrays)


# --- by tags of keys ------------------------------------------------------------------------------------------------


def has_tags(pairs: Pairs) -> bool:
    """Whether rows can be matched by tags of these keys: integers that fit one tag."""
    left, right = ([w.node.type for pair in pairs for w in pair[side].words] for side in (0, 1))
    if len(left) != len(right) or any(t.dtype.is_fixed for t in (*left, *right)):
        return False
    return sum(bits for _, bits in matched_words(left, right)) <= MATCH_BITS


def by_tags(
    unique: Frame, other: Frame, pairs: Pairs, *, keep_other: bool = False, residual: Residual = None
) -> Joined:
    """As `with_unique` without rows of the unique side that have no partner, in a random order: opens which rows have
    equal keys. As many rows as `other` has; pre-condition: `has_tags`.
    """
    program = pairs[0][0].words[0].program
    alike = {_nodes(a): k for k, (a, _) in enumerate(pairs)}
    # A key needs not be brought to where it is equal.
    keys = {c: alike[_nodes(v)] for c, v in unique.columns.items() if _nodes(v) in alike}
    held = on.both(unique.present, on.not_null(a for a, _ in pairs))
    fits = on.both(other.present, on.not_null(b for _, b in pairs))
    own: dict[Column | int, Vector] = dict(other.columns.items())
    own |= {k: replace(pairs[k][1], null=None) for k in keys.values()}
    given, put = on.apart({c: v for c, v in unique.columns.items() if c not in keys})
    mine, put_own = on.apart(own, *([other.present] if keep_other and other.present is not None else []))
    words = [[w for pair in pairs for w in pair[side].words] for side in (0, 1)]
    found, brought, moved = match_rows(
        (on.known(held, unique.rows, program), words[0], given), (on.known(fits, other.rows, program), words[1], mine)
    )
    kept, flags = put_own(moved, other.rows)
    columns: dict[Column, Vector] = {c: kept[c] for c in other.columns} | put(brought, other.rows)[0]
    columns |= {c: replace(unique.columns[c], words=kept[k].words, null=None) for c, k in keys.items()}
    matched = found if residual is None else logical_and(found, residual(Frame(other.rows, columns)))
    nodes = {a.node for a in given}
    for c, v in unique.columns.items() if keep_other else ():
        # What is brought to a row without a partner is zero.
        clean = residual is None and c not in keys and nodes.issuperset(_nodes(v))
        columns[c] = _missing(columns[c], matched) if clean else null_if_absent(columns[c], matched)
    ordered = {c: columns[c] for c in (*unique.columns, *other.columns)}
    present = matched if not keep_other else flags[0] if flags else None
    return Joined(Frame(other.rows, ordered, present), matched)


# --- whether there is a partner -------------------------------------------------------------------------------------


def partners(left: Frame, right: Frame, pairs: Pairs, keep: Callable[[SecretArray, Flag], Flag] | None) -> Joined:
    """The left rows, and which of them have a partner among the right ones.

    `keep` says of (has a partner, is meant) which rows are; None keeps all that were.
    """
    if right.rows <= EACH:
        found = any_of(_equal_pairs(left, right, pairs), axis=1)
        present = None if keep is None else keep(found, left.present)
        return Joined(left if keep is None else left.meaning(present), found)
    program = pairs[0][0].words[0].program
    n, m = right.rows, left.rows
    top, bottom = _halves(program, n, m)
    no_null = on.not_null(a for a, _ in pairs)
    flags = {"right": top(on.both(right.present, on.not_null(b for _, b in pairs))), "present": bottom(left.present)}
    flags["left"] = flags["present"] if no_null is None else bottom(on.both(left.present, no_null))
    sides = [([b for _, b in pairs], {}), ([a for a, _ in pairs], left.columns)]
    starts, words, columns, _, flags = _merged(sides, [], flags)
    found = logical_and(running_any(starts, flags["right"]), flags["left"])
    return _settled(left, right, columns, words, found, flags["present"], keep)


def other_partners(
    left: Frame, right: Frame, pairs: Pairs, differ: tuple[Vector, Vector], keep: Callable[[SecretArray, Flag], Flag]
) -> Joined:
    """As `partners`, where a partner has another value than the left row in `differ`.

    There is one with another value exactly if the least or the largest value among the partners is another.
    """
    program = pairs[0][0].words[0].program
    n, m = right.rows, left.rows
    top, bottom = _halves(program, n, m)
    a, b = differ
    valid = on.both(right.present, on.not_null([*(y for _, y in pairs), b]))
    flags = {
        "right": top(valid),
        "left": bottom(on.both(left.present, on.not_null([*(x for x, _ in pairs), a]))),
        "present": bottom(left.present),
    }
    both = on.stacked(b, a)
    flags |= {f"word {k}": w for k, w in enumerate(both.words)}
    order = [(logical_not(flags["right"]), False), *((w, False) for w in both.words)]
    sides = [([y for _, y in pairs], {}), ([x for x, _ in pairs], left.columns)]
    starts, keys, columns, _, flags = _merged(sides, order, flags)
    value = replace(both, words=tuple(flags[f"word {k}"] for k in range(len(both.words))), null=None)
    least = on.forward(starts, {0: value})[0][0]
    most = on.forward(flags["right"], {0: value})[0][0]
    seen = logical_and(running_any(starts, flags["right"]), flags["left"])
    alike = logical_and(same(least, value), same(most, value))
    found = logical_and(seen, logical_not(alike))
    return _settled(left, right, columns, keys, found, flags["present"], keep)


def _settled(
    left: Frame,
    right: Frame,
    columns: dict[Column, Vector],
    words: Sequence[SortWord],
    found: SecretArray,
    present: SecretArray,
    keep: Callable[[SecretArray, Flag], Flag] | None,
) -> Joined:
    """The left rows alone, unless the right ones among them are so few that they may stay."""
    kept = on.known(present if keep is None else keep(found, present), len(present), present.program)
    if KEEP_ROWS * right.rows <= left.rows:
        order = on.following(words, columns, columns)
        return Joined(Frame(len(present), columns, kept, order=order), found)
    moved, others, kept = on.kept(kept, left.rows, columns, *([found] if keep is None else []))
    frame = Frame(left.rows, moved, kept, True, on.following(words, columns, moved))
    return Joined(frame, others[0] if keep is None else kept)


def _equal_pairs(left: Frame, right: Frame, pairs: Pairs) -> SecretArray:
    """[left rows, right rows]: where both are meant and agree in all keys."""
    n, m = left.rows, right.rows
    found: list[SecretArray] = []
    for a, b in pairs:
        for x, y in zip(a.words, b.words, strict=True):
            found.append(equal(reshape(x, (n, 1)), reshape(y, (1, m))))
    for flag, shape in (
        (on.both(left.present, on.not_null(a for a, _ in pairs)), (n, 1)),
        (on.both(right.present, on.not_null(b for _, b in pairs)), (1, m)),
    ):
        if flag is not None:
            found.append(on.grid(flag, shape, (n, m)))
    return found[0] if len(found) == 1 else all_of(stack(found), axis=0)


# --- all pairs ------------------------------------------------------------------------------------------------------


def all_pairs(left: Frame, right: Frame) -> Frame:
    """Every row of one table with every row of the other. Local but for a product of flags."""
    n, m = left.rows, right.rows
    columns = {c: on.each_with_all(v, m) for c, v in left.columns.items()}
    columns |= {c: on.all_with_each(v, n) for c, v in right.columns.items()}
    present = on.both(
        None if left.present is None else on.spread(left.present, m, inner=True),
        None if right.present is None else on.spread(right.present, n, inner=False),
    )
    return Frame(n * m, columns, present)


def outer_pairs(
    left: Frame, right: Frame, matched: Frame, program: Owner, *, keep_left: bool, keep_right: bool
) -> Frame:
    """Pairs that match, of all there are, and the rows of a side that have no partner, with NULLs on the other side."""
    n, m = left.rows, right.rows
    found = on.known(matched.present, n * m, program)
    if keep_left and not keep_right and m == 1:
        columns = {**left.columns, **{c: null_if_absent(matched.columns[c], found) for c in right.columns}}
        return Frame(n, columns, left.present)
    grid = reshape(found, (n, m))
    columns, flags = matched.columns, [found]
    sides = ((keep_left, left, right, 1), (keep_right, right, left, 0))
    for _, side, missing, axis in (s for s in sides if s[0]):
        alone = on.both(side.present, logical_not(any_of(grid, axis=axis)))
        flags.append(on.known(alone, side.rows, program))
        nothing = on.filled(program, side.rows, True)
        columns = {
            c: on.stacked(v, side.columns[c])
            if c in side.columns
            else on.stacked(v, on.nulls(missing.columns[c], side.rows, nothing))
            for c, v in columns.items()
        }
    return Frame(sum(len(f) for f in flags), columns, concat(flags))
