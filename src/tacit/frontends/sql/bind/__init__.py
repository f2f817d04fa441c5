# SPDX-License-Identifier: Apache-2.0
"""The syntax tree to relations over typed columns.

    queries -> select -> expressions

`queries` binds WITH, FROM and sets of rows, `select` the clauses of one SELECT, `expressions` what stands in a clause:
`operators`, `scalars` (functions of numbers and text), `dates`, `aggregates`, `windows` and `subqueries`. `scope` is
what names mean there.
"""

from tacit.frontends.sql.bind.queries import bind

__all__ = ["bind"]
