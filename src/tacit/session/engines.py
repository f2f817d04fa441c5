# SPDX-License-Identifier: Apache-2.0
"""Engines at home: one party's own part of a query, run over its own tables in DuckDB or Postgres.

The text comes from another organisation's client, so nothing of it is trusted. It is parsed, and only a single SELECT
made of known constructs and functions over the declared tables passes; what runs is not the text but what was
understood of it, written anew. DuckDB runs in memory with every way to files, extensions, settings and Python variables
locked; Postgres in a transaction that can only read. Both stop running after `TIMEOUT_S`, DuckDB between blocks of
2,048 rows; planning stops for nobody, so texts that grow when they are planned are refused. Errors never repeat what
engines say, because that quotes values.
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tacit.errors import InputError
from tacit.frontends.sql.types import SqlType, to_arrow
from tacit.session.columns import TEXT_MAX

if TYPE_CHECKING:
    from sqlglot import exp

DIALECTS: Final = ("duckdb", "postgres")
TIMEOUT_S: Final = 120.0
MEMORY: Final = "2GB"
"""What DuckDB may use for one query, besides the tables themselves."""
RESULT_MAX: Final = 1 << 31
"""Bytes of a result of Postgres, as text."""
TABLES_MAX: Final = 100
"""Tables in one text: the time to plan a join grows faster than their number, and nothing stops planning."""
COPIES_MAX: Final = 10_000
"""Parts that an engine adds to one text when it writes out what stands for several copies of an operand."""
CONNECT_S: Final = 10

_RELATIONS: Final = (
    "Select From Join Where Group Having Qualify Order Ordered Limit Offset Subquery CTE With TableAlias Alias Table "
    "Values Tuple Union Intersect Except Distinct Cube Rollup GroupingSets"
)
_EXPRESSIONS: Final = (
    "Column Identifier Literal Boolean Null Star Paren And Or Not EQ NEQ GT GTE LT LTE NullSafeEQ NullSafeNEQ Is "
    "Between In Like ILike Escape Case If Cast TryCast DataType DataTypeParam Interval Var Window WindowSpec Exists "
    "Filter WithinGroup Add Sub Mul Div IntDiv Mod Neg DPipe Collate"
)
_SCALARS: Final = (
    "Abs Sign Round Floor Ceil Trunc Sqrt Exp Ln Log Pow Greatest Least Coalesce Nullif IsNan IsInf Extract Year Month "
    "Day Quarter Week DayOfWeek DayOfWeekIso DayOfMonth DayOfYear Hour Minute Second DateTrunc TimestampTrunc DateAdd "
    "DateSub DateDiff DateFromParts TsOrDsToDate TimestampAdd TimestampSub TimestampDiff TimeToUnix LastDay Concat "
    "ConcatWs Substring Upper Lower Initcap Trim Replace Length ByteLength StrPosition Left Right Reverse StartsWith "
    "EndsWith Contains SplitPart Ascii Unicode Chr TimeToStr Pad Repeat MD5 Sin Cos Tan Cot Asin Acos Atan Atan2 Cbrt "
    "BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitwiseLeftShift BitwiseRightShift TimestampFromParts DateBin "
    "Levenshtein Translate"
)
_AGGREGATES: Final = (
    "Count CountIf Sum Avg Min Max Variance VariancePop Stddev StddevSamp StddevPop Median PercentileCont "
    "PercentileDisc Quantile Corr CovarSamp CovarPop RegrSlope RegrIntercept RegrR2 RegrCount RegrAvgx RegrAvgy "
    "RegrSxx RegrSyy RegrSxy LogicalAnd LogicalOr AnyValue First Mode IgnoreNulls ArgMax ArgMin RowNumber Rank "
    "DenseRank PercentRank CumeDist Ntile Lag Lead FirstValue LastValue NthValue Grouping"
)
_ALLOWED: Final = frozenset(re.findall(r"\w+", f"{_RELATIONS} {_EXPRESSIONS} {_SCALARS} {_AGGREGATES}"))
_BY_NAME: Final = frozenset(
    re.findall(
        r"\w+",
        "strlen octet_length fdiv strip_accents nfc_normalize epoch_us btrim div trunc round floor date_part "
        "date_trunc date_diff date_bin make_date make_timestamp to_char to_microseconds strpos try_strptime",
    )
)
"""Functions that sqlglot knows only by their name."""
_LINEAR: Final = frozenset({"RegexpLike", "RegexpFullMatch", "RegexpReplace", "RegexpExtract"})
"""Patterns that DuckDB matches in linear time, and Postgres does not."""
_TYPES: Final = frozenset(
    re.findall(
        r"\w+",
        "BOOLEAN TINYINT SMALLINT INT BIGINT INT128 UTINYINT USMALLINT UINT UBIGINT UINT128 DECIMAL FLOAT DOUBLE DATE "
        "TIMESTAMP TIMESTAMPNTZ CHAR VARCHAR TEXT INTERVAL",
    )
)


def understood(text: str, dialect: str, tables: Sequence[str], party: str | None = None) -> exp.Expr:
    """The one SELECT that a text is, every name in it quoted. Raises InputError INPUT-019 for anything else: another
    statement, a table that is not among `tables`, a construct or function that is not known to be harmless.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    if dialect not in DIALECTS:
        raise refused("it is written for no engine that there is", party, f"one of {', '.join(DIALECTS)}")
    try:
        statements = sqlglot.parse(text, read=dialect)
    except (SqlglotError, RecursionError):
        raise refused(f"it cannot be read as {dialect}", party) from None
    tree = statements[0] if len(statements) == 1 else None
    if not isinstance(tree, exp.Select | exp.SetOperation):
        raise refused("it is not one SELECT", party)
    known = {t.lower() for t in tables}
    try:
        for node in list(tree.walk()):
            if isinstance(node, exp.Identifier) and not node.quoted:
                # So that no name is taken for a keyword, such as `user`.
                name = node.name.lower() if dialect == "postgres" else node.name
                node.replace(exp.to_identifier(name, quoted=True))
            elif isinstance(node, exp.Substring) and dialect == "postgres":
                # From a text on it would match a pattern.
                for place in ("start", "length"):
                    if node.args.get(place) is not None:
                        node.set(place, exp.cast(node.args[place], "INT"))
        read = 0
        for node in tree.walk():
            _check(node, known, dialect, party)
            read += isinstance(node, exp.Table)
        if read > TABLES_MAX:
            raise refused(f"it names {read} tables", party, f"at most {TABLES_MAX} tables in one query")
        if _copies(tree) > COPIES_MAX:
            raise refused("it repeats parts of itself in parts of itself", party, f"at most {COPIES_MAX} copies")
    except RecursionError:
        raise refused("it is nested too deeply", party) from None
    return tree


def written(tree: exp.Expr, dialect: str, party: str | None = None) -> str:
    """The text of a query that was `understood`, on one line, without comments. Raises InputError INPUT-019."""
    try:
        return tree.sql(dialect=dialect, comments=False)
    except RecursionError:
        raise refused("it is nested too deeply", party) from None


def _is_common(table: exp.Table, dialect: str) -> bool:
    """Whether a name stands for a common table expression: an earlier one of the same WITH, or one of a query around.
    Elsewhere the engine would take it for a table, such as one of its own catalogue.
    """
    from sqlglot import exp

    def spelled(name: str) -> str:
        return name if dialect == "postgres" else name.lower()

    node: exp.Expr | None = table
    inside = None
    while node is not None:
        if isinstance(node, exp.CTE):
            inside = node
        elif isinstance(node, exp.Query) and node.args.get("with_"):
            for expression in node.args["with_"].expressions:
                if expression is inside:
                    break
                if spelled(expression.alias) == spelled(table.name):
                    return True
        node = node.parent
    return False


def _copies(tree: exp.Expr) -> int:
    """How many parts a query has for an engine besides those of its text, or more than `COPIES_MAX`: NULLIF, BETWEEN, a
    CASE of a value and an order stand for several copies of their operand, and a name that SELECT gives for another one
    of what it names. So 300 characters may be millions of parts.
    """
    from sqlglot import exp

    # Of each part: its copies, the SELECT around it, and what that and those around it make of it under a name.
    seen: dict[int, tuple[int, int, tuple[tuple[int, str], ...]]] = {}
    named: dict[tuple[int, str], int] = {}
    total = 0
    for node in tree.walk(bfs=False):
        count, select, names = seen.get(id(node.parent), (1, 0, ()))
        if node.arg_key == "this":
            if isinstance(node.parent, exp.Between | exp.Nullif):
                count *= 2
            elif isinstance(node.parent, exp.Ordered):
                count *= 3
            elif isinstance(node.parent, exp.Case):
                count *= max(1, len(node.parent.args["ifs"]))
        if isinstance(node, exp.Select):
            select = id(node)
        elif isinstance(node, exp.Alias) and isinstance(node.parent, exp.Select):
            names = (*names, (select, node.alias.lower()))
        elif isinstance(node, exp.Column) and not node.table:
            count *= named.get((select, node.name.lower()), 1)
        seen[id(node)] = (count, select, names)
        for name in names:
            named[name] = named.get(name, 0) + count
        total += count - 1
        if total > COPIES_MAX:
            break
    return total


def _check(node: exp.Expr, tables: set[str], dialect: str, party: str | None) -> None:
    from sqlglot import exp

    kind = type(node).__name__
    if isinstance(node, exp.Anonymous):
        if node.name.lower() not in _BY_NAME:
            raise refused(f"it calls the function {node.name[:40]!r}", party)
    elif kind not in _ALLOWED and not (kind in _LINEAR and dialect == "duckdb"):
        raise refused(f"it uses {kind}", party)
    elif isinstance(node, exp.Pad | exp.Repeat):
        size = node.args.get("expression" if isinstance(node, exp.Pad) else "times")
        if not isinstance(size, exp.Literal) or size.is_string or float(size.name) > TEXT_MAX:
            raise refused(f"it makes text of more than {TEXT_MAX} bytes", party)
    elif isinstance(node, exp.Table):
        inside = isinstance(node.this, exp.Identifier) and not node.args.get("db") and not node.args.get("catalog")
        if not inside or not (node.name.lower() in tables or _is_common(node, dialect)):
            raise refused("it reads something else than its tables", party)
    elif isinstance(node, exp.Column) and (node.args.get("db") or node.args.get("catalog")):
        raise refused("it names a column with a schema", party)
    elif isinstance(node, exp.DataType) and getattr(node.this, "name", None) not in _TYPES:
        raise refused("it names a type that has no place here", party)
    elif isinstance(node, exp.With) and node.args.get("recursive"):
        raise refused("it is recursive", party)
    elif isinstance(node, exp.CTE) and node.args.get("materialized") is False:
        # Written out at each use, a chain of them doubles with every link.
        raise refused("it says NOT MATERIALIZED", party)
    elif isinstance(node, exp.Var) and not node.name.replace("_", "").isalnum():
        raise refused("it has a keyword that is none", party)


def refused(why: str, party: str | None, expected: str = "") -> InputError:
    """The error for a query that is not one that an owner's engine runs."""
    return InputError(
        "INPUT-019",
        f"a query for this party's engine is not accepted: {why}",
        expected=expected or "one SELECT over the tables it names, of the functions in session/engines.py",
        party=party,
        next="let the session write the queries, by `sql`",
    )


def _failed(why: str, party: str | None) -> InputError:
    return InputError(
        "INPUT-020",
        f"this party's engine could not run its part of a query: {why}",
        expected=f"a result within {TIMEOUT_S:g} s and {MEMORY} of memory, without errors in any row",
        party=party,
        next="look at the query in the plan, and run it on a copy of the data",
    )


def at_most(tree: exp.Expr, rows: int) -> exp.Expr:
    """The query, cut off after one row more than there may be: so a wrong bound costs no more memory."""
    from sqlglot import exp

    source = tree.copy()
    assert isinstance(source, exp.Query)
    return exp.select("*").from_(source.subquery(exp.to_identifier("q", quoted=True))).limit(rows + 1)


# --- DuckDB ---------------------------------------------------------------------------------------------------------


def duckdb_table(text: str, tables: Mapping[str, Any], party: str | None = None) -> Any:
    """The Arrow table that a SELECT gives over Arrow tables by name. Raises InputError INPUT-020."""
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 1})
    try:
        for name, table in tables.items():
            connection.register(name, table)
        for setting in _LOCKED:
            connection.execute(f"SET {setting}")
        with _deadline(connection.interrupt):
            relation = connection.sql(text)
            return None if relation is None else relation.to_arrow_table()
    except duckdb.InterruptException:
        raise _failed(f"it took more than {TIMEOUT_S:g} s", party) from None
    except duckdb.OutOfMemoryException:
        raise _failed(f"it needs more than {MEMORY} of memory", party) from None
    except duckdb.Error as error:
        # Its message may quote values; its kind does not.
        raise _failed(type(error).__name__, party) from None
    finally:
        connection.close()


def duckdb_row(text: str, tables: Mapping[str, Any], party: str | None = None) -> tuple[Any, ...]:
    """The first row that a SELECT gives, as Python's values. Raises InputError INPUT-020."""
    try:
        return tuple(column[0].as_py() for column in duckdb_table(text, tables, party).columns)
    except (OverflowError, ValueError):
        raise _failed("a date is outside the years 1 to 9999", party) from None


_LOCKED: Final = (
    "enable_external_access = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "allow_community_extensions = false",
    "python_enable_replacements = false",
    "python_scan_all_frames = false",
    "max_temp_directory_size = '0KiB'",
    f"memory_limit = '{MEMORY}'",
    "TimeZone = 'UTC'",
    "lock_configuration = true",
)


@contextlib.contextmanager
def _deadline(interrupt: Any) -> Iterator[None]:
    timer = threading.Timer(TIMEOUT_S, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


# --- Postgres -------------------------------------------------------------------------------------------------------


class Postgres:
    """A database of the party's: `url` with its credentials stays in this process."""

    def __init__(self, url: str, party: str | None = None) -> None:
        self._url = url
        self._party = party

    def __repr__(self) -> str:
        return "Postgres(…)"

    def columns(self, relation: str) -> list[tuple[str, SqlType | None]]:
        """Names and types of the columns of a table or view; None for a type that has no counterpart."""
        query = f"SELECT * FROM {quoted_relation(relation)} LIMIT 0"
        with self._cursor() as cursor:
            cursor.execute(query)
            return [(d.name, _type_of(d)) for d in cursor.description or ()]

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        """The rows of a query of our own."""
        with self._cursor() as cursor:
            cursor.execute(text)
            return list(cursor.fetchall())

    def table(self, text: str, names: Sequence[str], types: Sequence[SqlType]) -> Any:
        """The Arrow table, with these names and types, that a SELECT gives. Raises InputError INPUT-020."""
        import pyarrow as pa
        import pyarrow.csv

        # COPY in CSV tells NULL (nothing) from the empty text (quoted), and is by far the fastest way out.
        data = io.BytesIO()
        with self._cursor() as cursor, cursor.copy(f"COPY ({text}) TO STDOUT WITH (FORMAT csv)") as copy:
            for block in copy:
                data.write(block)
                if data.tell() > RESULT_MAX:
                    raise _failed(f"its result is longer than {RESULT_MAX} bytes", self._party)
        schema = {name: _read_as(kind) for name, kind in zip(names, types, strict=True)}
        if not data.tell():
            return pa.table({name: pa.array([], kind) for name, kind in schema.items()})
        data.seek(0)
        try:
            return pyarrow.csv.read_csv(
                data,
                read_options=pyarrow.csv.ReadOptions(column_names=list(names), use_threads=False),
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=schema,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    true_values=["t"],
                    false_values=["f"],
                ),
            )
        except (pa.ArrowException, ValueError):
            raise _failed("a value does not have the type that the plan says", self._party) from None

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Any]:
        try:
            import psycopg
        except ImportError:
            raise InputError(
                "INPUT-022",
                "this party reads a Postgres database, and psycopg is not installed",
                expected="the package psycopg",
                party=self._party,
                next="pip install 'tacit[postgres]'",
            ) from None
        try:
            with psycopg.connect(
                self._url,
                connect_timeout=CONNECT_S,
                options=_SETTINGS,
                client_encoding="UTF8",
            ) as connection:
                connection.read_only = True
                with connection.cursor() as cursor:
                    yield cursor
        except psycopg.Error as error:
            # Of its words only the class of the error is no data: its five characters, and what psycopg calls it.
            if error.sqlstate:
                raise _failed(f"Postgres: {error.sqlstate}, {type(error).__name__}", self._party) from None
            raise InputError(
                "INPUT-020",
                "this party's database cannot be asked",
                expected="a Postgres server that answers at the URL, with the role that it names",
                party=self._party,
                next="have the party's operator check the URL, the role and the server",
            ) from None


_SETTINGS: Final = (
    "-c default_transaction_read_only=on -c standard_conforming_strings=on -c search_path=pg_catalog -c datestyle=ISO"
    " -c timezone=UTC -c bytea_output=hex -c extra_float_digits=1 -c lock_timeout=10000"
    f" -c statement_timeout={int(TIMEOUT_S * 1000)}"
)


def quoted_relation(relation: str) -> str:
    """`schema.table` or `table` (of the schema public) with both names quoted."""
    schema, dot, name = relation.rpartition(".")
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema if dot else "public", name))


def with_relations(tree: exp.Expr, relations: Mapping[str, str]) -> exp.Expr:
    """The query with each table's name replaced by the relation of the database that it stands for."""
    from sqlglot import exp

    tree = tree.copy()
    by_name = {name.lower(): relation for name, relation in relations.items()}
    for table in list(tree.find_all(exp.Table)):
        if not _is_common(table, "postgres"):
            schema, dot, name = by_name[table.name.lower()].rpartition(".")
            if not table.args.get("alias"):
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
            table.set("this", exp.to_identifier(name, quoted=True))
            table.set("db", exp.to_identifier(schema if dot else "public", quoted=True))
    return tree


def _read_as(kind: SqlType) -> Any:
    import pyarrow as pa

    return pa.decimal128(38, kind.scale) if kind.kind == "decimal" else to_arrow(kind)


def _type_of(column: Any) -> SqlType | None:
    """The type of a column as psycopg describes it; text stands for what is written as text anyway."""
    from tacit.frontends.sql import types as t

    simple = {16: t.BOOLEAN, 20: t.BIGINT, 21: SqlType("int", 16), 23: t.INTEGER, 25: t.TEXT, 700: t.DOUBLE,
              701: t.DOUBLE, 1042: t.TEXT, 1043: t.TEXT, 1082: t.DATE, 1114: t.TIMESTAMP}  # fmt: skip
    if column.type_code == 1700:
        # Without a declared precision, digits have no bound.
        return None if column.precision is None or column.scale < 0 else t.decimal(column.precision, column.scale)
    return simple.get(column.type_code)
