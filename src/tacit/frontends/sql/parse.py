# SPDX-License-Identifier: Apache-2.0
"""The text of a query to its syntax tree, within limits that are checked before it is parsed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlglot import errors, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.tokenizer_core import Token, TokenType

from tacit.errors import SqlError
from tacit.frontends.sql.algebra import At

MAX_BYTES: Final = 1 << 20
"""The longest text, in bytes of UTF-8."""
MAX_TOKENS: Final = 50_000
MAX_NESTING: Final = 24
"""How deep parentheses, CASE, and runs of NOT and signs may nest together: the parser recurses on each."""
MAX_DEPTH: Final = 100
"""The depth of the syntax tree, which long chains of operators other than AND and OR reach too."""

_FIRST: Final = (TokenType.SELECT, TokenType.WITH, TokenType.FROM, TokenType.VALUES, TokenType.L_PAREN)
_ROWS: Final = "ask for rows with SELECT; tables are registered in the session"
_TABLES: Final = "look at session.tables, which has the columns of each table and their types"
_INSTEAD: Final = {
    "EXPLAIN": "call explain() on what session.sql(...) gives, or use `tacit sql --explain`",
    **dict.fromkeys(("DESCRIBE", "SHOW", "SUMMARIZE"), _TABLES),
}
"""What there is in place of other statements."""
_PREFIXES: Final = (TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE)
_OPENING: Final = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE)
_CLOSING: Final = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END)


def parse(text: str | bytes) -> exp.Expr:
    """The syntax tree of one SELECT statement in DuckDB's dialect.

    Raises `SqlError`: SQL-001 for what is no statement or not UTF-8, SQL-006 for other statements, SQL-007 for a text
    that is too long or nested too deeply.
    """
    text = _decoded(text)
    try:
        tokens = DuckDB().tokenize(text)
        _check_tokens(tokens)
        trees = [t for t in DuckDB().parser().parse(tokens, text) if t is not None]
    except errors.ParseError as error:
        raise _syntax(error) from None
    except errors.TokenError:
        raise SqlError(
            "SQL-001", "the text cannot be read as SQL: a quoted text, name or comment does not end",
            expected="SQL in DuckDB's dialect",
        ) from None  # fmt: skip
    except RecursionError:
        raise _too_deep(None) from None
    if len(trees) != 1:
        raise SqlError("SQL-001", f"the text holds {len(trees)} statements", expected="one SELECT statement")
    tree = trees[0]
    if not isinstance(tree, (exp.Query, exp.Values)):
        raise SqlError("SQL-001", "the text is an expression, not a statement", expected="one SELECT statement")
    _check_depth(tree)
    return tree


def place_of(node: Any) -> At:
    """Where a node begins, as well as its tokens tell: None if none of them knows."""
    if not isinstance(node, exp.Expr):
        return None
    places = [n.meta for n in node.walk() if n.meta and "start" in n.meta]
    if not places:
        return None
    first = min(places, key=lambda m: int(m["start"]))
    return int(first["line"]), max(1, int(first["col"]) - (int(first["end"]) - int(first["start"])))


def row_of(node: exp.Expr) -> list[exp.Expr] | None:
    """The values of a row, (a, b) or ROW(a, b); None of what is no row."""
    node = node.unnest()
    named = isinstance(node, exp.Anonymous) and node.name.lower() == "row"
    return list(node.expressions) if named or isinstance(node, exp.Tuple) else None


def words(at: At) -> str:
    """A place in words, to follow what is there."""
    return f" at line {at[0]}, column {at[1]}" if at else ""


def _decoded(text: str | bytes) -> str:
    size = len(text)
    if size <= MAX_BYTES:
        try:
            text = text.decode() if isinstance(text, bytes) else text
            size = len(text.encode())
        except UnicodeError:
            raise SqlError("SQL-001", "the text of the query is not UTF-8", expected="UTF-8") from None
    if size > MAX_BYTES:
        raise SqlError(
            "SQL-007", f"the text of the query has {size} bytes", expected=f"at most {MAX_BYTES}",
            next="put long lists of values into a table",
        )  # fmt: skip
    assert isinstance(text, str)
    return text


def _check_tokens(tokens: list[Token]) -> None:
    if len(tokens) > MAX_TOKENS:
        raise SqlError(
            "SQL-007", f"the query has {len(tokens)} words and signs", expected=f"at most {MAX_TOKENS}",
            next="put long lists of values into a table",
        )  # fmt: skip
    if tokens and tokens[0].token_type not in (*_FIRST, TokenType.SEMICOLON):
        raise SqlError(
            "SQL-006", f"{tokens[0].text[:40].upper()} is not supported{words(_place(tokens[0]))}",
            expected="a SELECT statement", next=_INSTEAD.get(tokens[0].text.upper(), _ROWS),
        )  # fmt: skip
    depth = run = 0
    for token in tokens:
        run = run + 1 if token.token_type in _PREFIXES else 0
        if token.token_type in _OPENING:
            depth += 1
        elif token.token_type in _CLOSING:
            depth -= 1
        if depth + run > MAX_NESTING:
            raise _too_deep(_place(token))


def _check_depth(tree: exp.Expr) -> None:
    level: list[exp.Expr] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise _too_deep(place_of(level[0]))


def _place(token: Token) -> At:
    return token.line, max(1, token.col - (token.end - token.start))


def _children(node: exp.Expr) -> Iterator[exp.Expr]:
    """Its children; those of a chain of AND or of OR are all its links."""
    if isinstance(node, (exp.And, exp.Or)):
        return node.flatten(unnest=False)
    return node.iter_expressions()


def _too_deep(at: At) -> SqlError:
    return SqlError(
        "SQL-007", f"the query is nested too deeply{words(at)}",
        expected=f"at most {MAX_NESTING} levels of parentheses and {MAX_DEPTH} operators in a chain",
        next="give parts of it names, WITH name AS (...); write lists of values with IN",
    )  # fmt: skip


def _syntax(error: errors.ParseError) -> SqlError:
    detail = error.errors[0] if error.errors else {}
    at = (int(detail["line"]), int(detail["col"])) if detail.get("line") else None
    near = detail.get("highlight")
    return SqlError(
        "SQL-001", f"the text cannot be read as SQL{words(at)}" + (f", near {str(near)[:40]!r}" if near else ""),
        expected="SQL in DuckDB's dialect",
    )  # fmt: skip
