# SPDX-License-Identifier: Apache-2.0
"""Queries as text for people: what is computed where, on how many rows, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tacit.frontends.sql.algebra import (
    Aggregate,
    Constant,
    Distinct,
    Expr,
    Filter,
    Group,
    Home,
    Join,
    Limit,
    Project,
    Ref,
    Relation,
    Scan,
    SetOperation,
    Sort,
    SortKey,
    Stack,
    Values,
    Window,
    WindowCall,
    sources,
)
from tacit.frontends.sql.bounds import rows_of
from tacit.frontends.sql.functions import SIGNS
from tacit.frontends.sql.render import render_expr

SHOWN_MAX: Final = 300
"""Characters of an expression or a home's query in a tree."""


def tree(root: Relation, parties: Sequence[str], notes: Mapping[int, str]) -> list[str]:
    """The lines of a relation's tree, each operator above what it is made from.

    `notes` say more about some relations, by identity. A relation that is used again is named, and shown once.
    """
    lines: list[str] = []
    seen: dict[int, int] = {}
    stack: list[tuple[Relation, str, str]] = [(root, "", "")]
    while stack:
        item, lead, rest = stack.pop()
        again = id(item) in seen
        number = seen.setdefault(id(item), len(seen) + 1)
        if again:
            lines.append(f"{lead}as in [{number}]")
            continue
        note = notes.get(id(item), "")
        lines.append(f"{lead}[{number}] {title(item, parties)}  · {_rows(item)}{' · ' + note if note else ''}")
        lines.extend(f"{rest}    {line}" for line in _details(item, parties))
        inner = sources(item)
        for k in reversed(range(len(inner))):
            last = k == len(inner) - 1
            stack.append((inner[k], rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  ")))
    return lines


def title(item: Relation, parties: Sequence[str]) -> str:
    """What an operator does."""
    match item:
        case Home():
            return f"at {parties[item.party]}, in its own engine"
        case Stack():
            return "rows of several parties, each computed at its home"
        case Scan():
            return f"table {item.table.name}"
        case Values():
            return "constants"
        case Filter():
            return f"where {show(item.predicate)}"
        case Project():
            made = [f"{show(e)} as {c!r}" for c, e in item.items if e != Ref(c)]
            return f"compute {_listed(made)}" if made else f"columns {_listed(repr(c) for c in item.columns)}"
        case Join():
            condition = f" on {show(item.condition)}" if item.condition is not None else ""
            return f"{item.kind} join{' knowing NULL' if item.null_aware else ''}{condition}"
        case Group():
            keys = f" by {_listed(show(e) for _, e in item.keys)}" if item.keys else ""
            return f"aggregate{keys}: {_listed(_aggregate(a) for _, a in item.aggregates) or 'distinct keys'}"
        case Window():
            return f"window {_listed(_window(w) for _, w in item.calls)}"
        case Sort():
            return f"order by {_listed(map(_key, item.keys))}"
        case Limit():
            size = "all" if item.size is None else item.size
            return f"first {size} rows{f' after {item.offset}' if item.offset else ''}"
        case Distinct():
            return "distinct rows"
        case SetOperation():
            return f"{item.kind}{' all' if item.all else ''}"


def show(expr: Expr) -> str:
    """An expression in a line."""
    text = _show(expr)
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"


def _show(expr: Expr) -> str:
    if isinstance(expr, Ref):
        return repr(expr.column)
    if isinstance(expr, Constant):
        return render_expr(expr)
    if expr.name in SIGNS and len(expr.args) > 1:
        return "(" + f" {SIGNS[expr.name]} ".join(map(_show, expr.args)) + ")"
    if expr.name == "cast":
        return f"CAST({_show(expr.args[0])} AS {expr.type})"
    options = [str(o) for o in expr.options if o is not None]
    return f"{expr.name}({', '.join([*map(_show, expr.args), *options])})"


def _aggregate(a: Aggregate) -> str:
    distinct = "distinct " if a.distinct else ""
    where = f" where {show(a.where)}" if a.where is not None else ""
    return f"{a.name}({distinct}{', '.join(map(show, a.args))}){where}"


def _window(w: WindowCall) -> str:
    over = f"partition by {_listed(map(show, w.partition))} " if w.partition else ""
    order = f"order by {_listed(map(_key, w.order))} " if w.order else ""
    return f"{w.name}({', '.join(map(show, w.args))}) over ({(over + order).strip()})"


def _key(key: SortKey) -> str:
    return f"{show(key.expr)}{' desc' if key.descending else ''}{' nulls first' if key.nulls_first else ''}"


def _listed(parts: Iterable[str]) -> str:
    text = ", ".join(parts)
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"


def _rows(item: Relation) -> str:
    rows = rows_of(item)
    exact = isinstance(item, Home) and not item.padded
    return f"{rows:,} row{'' if rows == 1 else 's'}" if exact else f"at most {rows:,} row{'' if rows == 1 else 's'}"


def _details(item: Relation, parties: Sequence[str]) -> list[str]:
    if isinstance(item, Home):
        return [_cut(item.query)]
    if isinstance(item, Stack):
        return [f"{parties[h.party]}, {h.rows:,} rows: {_cut(h.query)}" for h in item.homes]
    return []


def _cut(query: str) -> str:
    return query if len(query) <= SHOWN_MAX else query[:SHOWN_MAX] + "…"
