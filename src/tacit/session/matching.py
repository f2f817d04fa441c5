# SPDX-License-Identifier: Apache-2.0
"""Matching the rows of two or three tables by key: private set intersection as queries of the relational algebra.

What is disclosed is what the query shows and nothing else: of the size the number, of the sum the number, of rows the
rows to whom they are revealed. Costs and disclosures come out of the plan as of any query. Keys are made alike by their
owners, in their own engines, before anything is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tacit.errors import InputError
from tacit.session.query import SecretFrame

Keys = str | Sequence[str] | Mapping[str, str | Sequence[str]]
Steps = Mapping[str, str | Sequence[str]]

STEPS: Final[Mapping[str, str]] = {
    "trim": "trim({})",
    "lower": "lower({})",
    "accents": "strip_accents({})",
    "spaces": "trim(regexp_replace({}, '\\s+', ' ', 'g'))",
    "letters": "regexp_replace({}, '[^\\pL\\pN]', '', 'g')",
    "digits": "regexp_replace({}, '[^0-9]', '', 'g')",
}
"""What owners can do to a key before it is compared, by name; a format with % makes text a date."""


@dataclass(frozen=True)
class Matching:
    """Tables matched by key: `size`, `sum` and `rows` are queries, of which nothing is disclosed before `reveal`.

    A key is the values of one or several columns. It is in common if every table has a row with it; a row with a NULL
    in its key matches nothing, as in SQL. `keys` has for each table the expressions of its key.
    """

    keys: Mapping[str, tuple[str, ...]]
    query: Callable[[str], SecretFrame]

    def size(self) -> SecretFrame:
        """How many different keys all tables have in common, as `size`: duplicates count once."""
        common = " INTERSECT ".join(map(self._distinct, self.keys))
        return self.query(f"SELECT count(*) AS size FROM ({common}) AS matched")

    def sum(self, table: str, column: str) -> SecretFrame:
        """The sum of a column of `table` over its rows whose key all other tables have, as `sum`; 0 if there are none.

        Each row counts once, however many rows of the others have its key; the number of rows is not disclosed.
        """
        return self.query(f"SELECT coalesce(sum({_name(column)}), 0) AS sum {self._matched(table)}")

    def rows(self, table: str, columns: Sequence[str] | None = None) -> SecretFrame:
        """The rows of `table` whose key all other tables have, each as often as it is there; all columns, or these.

        `.reveal(to=...)` names the recipient. Of three tables, who in the others has the key stays secret.
        """
        shown = ", ".join(map(_name, columns)) if columns is not None else "*"
        return self.query(f"SELECT {shown} {self._matched(table)}")

    @property
    def _width(self) -> int:
        return len(next(iter(self.keys.values())))

    def _distinct(self, table: str) -> str:
        made = ", ".join(f"{e} AS k{k}" for k, e in enumerate(self._of(table)))
        there = " AND ".join(f"k{k} IS NOT NULL" for k in range(self._width))
        return f"SELECT DISTINCT * FROM (SELECT {made} FROM {_name(table)}) AS keys WHERE {there}"

    def _matched(self, table: str) -> str:
        mine = self._of(table)
        others = [t for t in self.keys if t != table]
        partners = []
        for k, other in enumerate(others):
            same = " AND ".join(f"o{k}.k{i} = {e}" for i, e in enumerate(mine))
            partners.append(f"EXISTS (SELECT 1 FROM ({self._distinct(other)}) AS o{k} WHERE {same})")
        return f"FROM {_name(table)} WHERE {' AND '.join(partners)}"

    def _of(self, table: str) -> tuple[str, ...]:
        if table not in self.keys:
            raise _bad(f"table {str(table)[:60]!r} is not matched", f"one of {', '.join(self.keys)}")
        return self.keys[table]


def match(tables: Sequence[str], on: Keys, normalise: Steps, query: Callable[[str], SecretFrame]) -> Matching:
    """The matching of tables, see `Session.psi`. Raises InputError INPUT-027 for tables or keys that do not go
    together.
    """
    if not all(isinstance(t, str) for t in tables):
        raise _bad("a table that is to be matched has no name", "names of registered tables")
    if not isinstance(on, Mapping | Sequence) or not isinstance(normalise, Mapping):
        raise _bad("on or normalise are not written as they should be", "on=['email'], normalise={'email': 'lower'}")
    if not 2 <= len(tables) <= 3 or len(set(tables)) < len(tables):
        raise _bad(f"{len(set(tables))} different tables are to be matched", "two or three, each once")
    columns: dict[str, tuple[str, ...]] = {}
    for table in tables:
        given = on.get(table, ()) if isinstance(on, Mapping) else on
        columns[table] = (given,) if isinstance(given, str) else tuple(given)
    if len({len(c) for c in columns.values()}) != 1 or not columns[tables[0]]:
        raise _bad("the tables do not have keys of as many columns", "on= with the same number of columns of each")
    named = {f"{t}.{c}" for t, cs in columns.items() for c in cs} | {c for cs in columns.values() for c in cs}
    unknown = next((n for n in normalise if n not in named), None)
    if unknown is not None:
        raise _bad(f"{str(unknown)[:60]!r} is no column of a key", f"one of {', '.join(sorted(named))}")
    keys = {}
    for table, names in columns.items():
        steps = [normalise.get(f"{table}.{c}", normalise.get(c, ())) for c in names]
        keys[table] = tuple(_normalised(table, c, s) for c, s in zip(names, steps, strict=True))
    return Matching(keys, query)


def _normalised(table: str, column: str, steps: str | Sequence[str]) -> str:
    text = f"{_name(table)}.{_name(column)}"
    steps = (steps,) if isinstance(steps, str) else tuple(steps)
    for k, step in enumerate(steps):
        if "%" in step and k == len(steps) - 1:
            return f"CAST(try_strptime({text}, {_text(step)}) AS DATE)"
        if step not in STEPS:
            raise _bad(
                f"{str(step)[:60]!r} is no way to make a key alike",
                f"{', '.join(STEPS)}, or at last a date's format such as '%d/%m/%Y'",
            )
        text = STEPS[step].format(text)
    # What has nothing left is no key: else all telephone numbers without a digit would be the same.
    return f"nullif({text}, '')" if steps else text


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _bad(what: str, expected: str) -> InputError:
    return InputError("INPUT-027", what, expected=expected, next="see Session.psi")
