# SPDX-License-Identifier: Apache-2.0
"""The backend: what Ibis asks of one, on a session.

Ibis compiles an expression to SQL of DuckDB's dialect, `Session.sql` plans that text, and executing it reveals the
result. So whatever a query discloses and costs, the expression does; `explain` says both before anything runs. A
table that Ibis holds in memory becomes a table of this client, which nobody else sees.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir
from ibis.backends import NoExampleLoader, NoUrl
from ibis.backends.sql import SQLBackend
from ibis.common.exceptions import TableNotFound, UnsupportedOperationError
from ibis.formats.pandas import PandasData
from ibis.formats.pyarrow import PyArrowData
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

import tacit
from tacit.errors import SqlError
from tacit.frontends.sql.decorrelate import UNSUPPORTED
from tacit.frontends.sql.types import from_arrow
from tacit.ibis.compiler import compiler
from tacit.session.query import Answer, SecretFrame
from tacit.session.session import Session


class Tacit(DuckDB):
    """The dialect under this backend's name: DuckDB's."""


class Backend(SQLBackend, NoUrl, NoExampleLoader):  # type: ignore[misc]  # Ibis's classes have no types.
    """An Ibis connection on a session.

    What SQL over secret rows has not, raises Ibis's `UnsupportedOperationError` with the construct's name, before
    anything is sent; other faults of a query raise SqlError. Nothing can be written: tables are registered with
    `Session.table` by those who own them, or by `create_table` from rows that this client holds.
    """

    name = "tacit"
    compiler = compiler
    supports_python_udfs = False

    def do_connect(
        self,
        session: Session,
        *,
        to: int | str | None = None,
        min_group: int = 1,
        reveals: str | Iterable[str] = (),
    ) -> None:
        """Connect to a session.

        Executed expressions are revealed to everyone, or to the party or client `to` alone; `min_group` is the fewest
        rows that a disclosed group may have, and `reveals` what may be disclosed besides, see `Session.sql`. The
        session stays its owner's: `disconnect` leaves it open.
        """
        if not isinstance(session, Session):
            raise TypeError(f"connect takes what tacit.local() or tacit.connect() gives, not {type(session).__name__}")
        self.con = session
        self.to = to
        self.min_group = min_group
        self.reveals = reveals if isinstance(reveals, str) else tuple(reveals)
        self._temporary: set[str] = set()

    def disconnect(self) -> None:
        """Forget temporary tables; the session is not ours to end."""
        for name in self._temporary & self.con.tables.keys():
            self.con.forget(name)

    @classmethod
    def from_connection(cls, session: Session, /, **kwargs: Any) -> Backend:
        """As `connect`."""
        backend = cls()
        backend.do_connect(session, **kwargs)
        return backend

    @property
    def version(self) -> str:
        """The version of tacit."""
        return tacit.__version__

    def list_catalogs(self, *, like: str | None = None) -> list[str]:
        """Not supported: tables have names of one part."""
        raise _unsupported("a catalog", "a session's tables have names of one part")

    def list_databases(self, *, like: str | None = None, catalog: str | None = None) -> list[str]:
        """Not supported: tables have names of one part."""
        raise _unsupported("a database", "a session's tables have names of one part")

    # --- tables ----------------------------------------------------------------------------------------------------

    def list_tables(self, *, like: str | None = None, database: tuple[str, str] | str | None = None) -> list[str]:
        """The names of the session's tables, those of them that match a regular expression `like`."""
        names: list[str] = self._filter_with_like(list(self.con.tables), like)
        return names

    def get_schema(self, name: str, *, catalog: str | None = None, database: str | None = None) -> sch.Schema:
        """Names and types of a table's columns. Raises Ibis's TableNotFound."""
        table = self.con.tables.get(name)
        if table is None or catalog is not None or database is not None:
            raise TableNotFound(name)
        return _schema(table.schema.items())

    def create_table(
        self,
        name: str,
        /,
        obj: Any | None = None,
        *,
        schema: Any | None = None,
        database: str | None = None,
        temp: bool = False,
        overwrite: bool = False,
    ) -> ir.Table:
        """Register rows that this client holds (pandas, Polars, Arrow, or an Ibis table in memory) as its own table,
        until `disconnect` if it is `temp`.
        """
        if obj is None:
            if schema is None:
                raise ValueError("create_table needs rows or a schema")
            obj = ibis.schema(schema).to_pyarrow().empty_table()
        op = (obj if isinstance(obj, ir.Table) else ibis.memtable(obj, schema=schema)).op()
        if not isinstance(op, ops.InMemoryTable):
            raise _unsupported("create_table from an expression", "execute it, and register what it gives")
        if name in self.con.tables and not overwrite:
            raise ValueError(f"there is a table {name} already; pass overwrite=True to replace it")
        self._register(name, op)
        if temp:
            self._temporary.add(name)
        return self.table(name)

    def drop_table(self, name: str, /, *, database: tuple[str, str] | str | None = None, force: bool = False) -> None:
        """Let the session forget a table; its rows stay where they are."""
        if name in self.con.tables:
            self.con.forget(name)
        elif not force:
            raise TableNotFound(name)

    def create_view(
        self, name: str, /, obj: ir.Table, *, database: str | None = None, overwrite: bool = False
    ) -> ir.Table:
        """Not supported: an Ibis expression is its own view."""
        raise _unsupported("create_view", "keep the expression in a variable")

    def drop_view(self, name: str, /, *, database: str | None = None, force: bool = False) -> None:
        """Not supported: there are no views."""
        raise _unsupported("drop_view", "keep the expression in a variable")

    def insert(self, name: str, /, obj: Any, *, database: str | None = None, overwrite: bool = False) -> None:
        """Not supported: tables are not written to."""
        raise _unsupported("insert", "let the owner change its table, and register it again")

    def upsert(self, name: str, /, obj: Any, on: str, *, database: str | None = None) -> None:
        """Not supported: tables are not written to."""
        raise _unsupported("upsert", "let the owner change its table, and register it again")

    def truncate_table(self, name: str, /, *, database: str | tuple[str, str] | None = None) -> None:
        """Not supported: tables are not written to."""
        raise _unsupported("truncate_table", "let the owner change its table, and register it again")

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        if op.name not in self.con.tables:
            self._register(op.name, op)

    def _register(self, name: str, op: ops.InMemoryTable) -> None:
        rows = op.data.to_pyarrow(op.schema)
        for field in rows.schema:
            if from_arrow(field.type) is None:
                raise _unsupported(f"column {field.name!r} of type {field.type}", "leave it out")
        self.con.table(name, rows)

    def _make_memtable_finalizer(self, name: str) -> Callable[[], None]:
        return partial(self.drop_table, name, force=True)

    def _register_udfs(self, expr: ir.Expr) -> None:
        for node in expr.op().find(ops.ScalarUDF):
            raise _unsupported(f"the function {node.__func_name__}", "let the owner compute it as a column of a view")

    def _get_schema_using_query(self, query: str) -> sch.Schema:
        return _schema(self._frame(query).schema)

    # --- running ---------------------------------------------------------------------------------------------------

    def frame(self, expr: ir.Expr, /, *, params: Mapping[ir.Scalar, Any] | None = None) -> SecretFrame:
        """The expression as a secret frame, whose `plan` and `reveal` say more than a data frame can."""
        self._run_pre_execute_hooks(expr)
        return self._frame(self.compile(expr.as_table(), params=params))

    def explain(self, expr: ir.Expr, /, *, network: str | None = None) -> str:
        """What executing the expression would do, cost and disclose; nothing is run."""
        return self.frame(expr).explain(self.to, network)

    def execute(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Reveal the expression as a pandas DataFrame, Series or scalar.

        `attrs` of the first two have the plan's digest, its cost, and how many groups were left out as too small.
        """
        import pandas as pd

        table = self._answer(expr, params, limit).table
        # Columns with NULL pass as objects: pandas would turn them into floats.
        columns = {
            n: c.to_pylist() if c.null_count else c.to_pandas()
            for n, c in zip(table.column_names, table.columns, strict=True)
        }
        result = PandasData.convert_table(pd.DataFrame(columns), expr.as_table().schema())
        made = expr.__pandas_result__(result)
        if isinstance(made, pd.DataFrame | pd.Series):
            made.attrs |= {k.decode(): v.decode() for k, v in table.schema.metadata.items() if k.startswith(b"tacit.")}
        return made

    def to_pyarrow(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Reveal the expression as a PyArrow table, column or scalar."""
        return expr.__pyarrow_result__(self._answer(expr, params, limit).table, data_mapper=PyArrowData)

    def to_pyarrow_batches(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        chunk_size: int = 1_000_000,
        **kwargs: Any,
    ) -> Any:
        """Reveal the expression as record batches of at most `chunk_size` rows; all of them are there at once."""
        result = self.to_pyarrow(expr.as_table(), params=params, limit=limit)
        return result.to_reader(max_chunksize=chunk_size)

    def _answer(self, expr: ir.Expr, params: Mapping[ir.Scalar, Any] | None, limit: int | str | None) -> Answer:
        self._run_pre_execute_hooks(expr)
        answer = self._frame(self.compile(expr.as_table(), params=params, limit=limit)).reveal(self.to)
        if answer.table is None:
            raise UnsupportedOperationError(f"the result went to {self.to} alone; read it there")
        if answer.hidden_groups:
            warnings.warn(f"{answer.hidden_groups} groups are left out because they are too small", stacklevel=3)
        return answer

    def _frame(self, query: str) -> SecretFrame:
        with _refusals():
            return self.con.sql(query, min_group=self.min_group, reveals=self.reveals)

    def raw_sql(self, query: str | exp.Expr, **kwargs: Any) -> Any:
        """Not supported: there is no cursor."""
        raise _unsupported("raw_sql", "use sql, or Session.sql")

    @contextmanager
    def _safe_raw_sql(self, query: str | exp.Expr, *args: Any, **kwargs: Any) -> Iterator[Any]:
        # What Ibis hands over here are statements that write.
        raise _unsupported("a statement that is no SELECT", "query tables that their owners registered")
        yield


@contextmanager
def _refusals() -> Iterator[None]:
    """What SQL has not, in Ibis's own words."""
    try:
        yield
    except SqlError as error:
        if error.code == UNSUPPORTED:
            raise UnsupportedOperationError(str(error)) from error
        raise


def _unsupported(what: str, instead: str) -> UnsupportedOperationError:
    return UnsupportedOperationError(f"{what} is not supported over secret tables; {instead}")


def _schema(columns: Iterable[tuple[str, str]]) -> sch.Schema:
    """Ibis's types for columns named with a type in DuckDB's dialect."""
    return sch.Schema(
        {name: compiler.type_mapper.from_string(kind.removesuffix(" NOT NULL")) for name, kind in columns}
    )
