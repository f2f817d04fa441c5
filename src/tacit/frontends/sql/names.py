# SPDX-License-Identifier: Apache-2.0
"""The names that DuckDB gives to result columns without an alias: its own way of writing their expressions."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

_BINARY: Final[dict[type[exp.Expr], str]] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.IntDiv: "//", exp.Mod: "%", exp.EQ: "=", exp.NEQ: "!=",
    exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=", exp.DPipe: "||", exp.Like: "~~", exp.ILike: "~~*",
    exp.NullSafeNEQ: "IS DISTINCT FROM", exp.NullSafeEQ: "IS NOT DISTINCT FROM", exp.Pow: "**",
}  # fmt: skip
_KEYWORDS: Final = frozenset({
    "substring", "replace", "trim", "left", "right", "nullif", "if", "first", "year", "month", "day", "hour", "minute",
    "second", "quarter", "week", "mode",
})  # fmt: skip
_NAMES: Final[dict[type[exp.Expr], str]] = {
    exp.Stddev: "stddev", exp.StddevPop: "stddev_pop", exp.StddevSamp: "stddev_samp", exp.Variance: "var_samp",
    exp.VariancePop: "var_pop", exp.LogicalAnd: "bool_and", exp.LogicalOr: "bool_or", exp.CovarPop: "covar_pop",
    exp.PercentileCont: "quantile_cont", exp.PercentileDisc: "quantile_disc", exp.StrPosition: "strpos",
    exp.CovarSamp: "covar_samp", exp.CountIf: "count_if",
}  # fmt: skip


def name_of(node: exp.Expr) -> str:
    """The name of the column that an item of SELECT makes."""
    return str(node.alias_or_name) if isinstance(node, (exp.Alias, exp.Column)) else label(node)


def label(node: exp.Expr) -> str:
    """An expression as DuckDB writes it."""
    kind = type(node)
    if isinstance(node, (exp.Paren, exp.IgnoreNulls)):
        return label(node.this)
    if isinstance(node, exp.Column):
        return ".".join(p.name for p in node.parts)
    if isinstance(node, exp.Literal):
        return "'" + node.name.replace("'", "''") + "'" if node.is_string else str(node.this)
    if isinstance(node, exp.Null):
        return "NULL"
    if isinstance(node, exp.Boolean):
        return "true" if node.this else "false"
    if isinstance(node, (exp.And, exp.Or)):
        word = " AND " if isinstance(node, exp.And) else " OR "
        return f"({word.join(label(n) for n in node.flatten())})"
    if kind in _BINARY:
        sign = "!~~" if isinstance(node, exp.Like) and node.args.get("negate") else _BINARY[kind]
        return f"({label(node.this)} {sign} {label(node.expression)})"
    if isinstance(node, exp.Neg):
        inner = label(node.this)
        return f"-{inner}" if isinstance(node.this, exp.Literal) else f"(-({inner}))"
    if isinstance(node, exp.Not):
        if isinstance(node.this, exp.Is) and isinstance(node.this.expression, exp.Null):
            return f"({label(node.this.this)} IS NOT NULL)"
        return f"(NOT {label(node.this)})"
    if isinstance(node, exp.Is):
        return f"({label(node.this)} IS {label(node.expression)})"
    if isinstance(node, exp.Between):
        return f"({label(node.this)} BETWEEN {label(node.args['low'])} AND {label(node.args['high'])})"
    if isinstance(node, exp.In) and not node.args.get("query"):
        return f"({label(node.this)} IN ({', '.join(map(label, node.expressions))}))"
    if isinstance(node, exp.Cast):
        kind_name = node.to.sql("duckdb")
        if node.to.this in (exp.DataType.Type.DATE, exp.DataType.Type.DOUBLE, exp.DataType.Type.BOOLEAN):
            kind_name = {"DATE": "date", "DOUBLE": "double", "BOOLEAN": "bool"}[kind_name]
        kind_name = {"INT": "INTEGER", "TEXT": "VARCHAR"}.get(kind_name, kind_name)
        return f"CAST({label(node.this)} AS {kind_name})"
    if isinstance(node, exp.Case):
        return _case(node)
    if isinstance(node, exp.Coalesce):
        return f"COALESCE({', '.join(map(label, [node.this, *node.expressions]))})"
    if isinstance(node, exp.Extract):
        return f"date_part('{node.name.upper()}', {label(node.expression)})"
    if isinstance(node, exp.Window):
        return _window(node)
    if isinstance(node, exp.Filter):
        return f"{label(node.this)} FILTER (WHERE {label(node.expression.this)})"
    if isinstance(node, exp.Distinct):
        return f"DISTINCT {', '.join(map(label, node.expressions))}"
    if isinstance(node, exp.Subquery):
        return f"({node.this.sql('duckdb')})"
    if isinstance(node, exp.Exists):
        return f"EXISTS({node.this.sql('duckdb')})"
    if isinstance(node, exp.Count) and isinstance(node.this, exp.Star):
        return "count_star()"
    if isinstance(node, exp.Func):
        return _function(node)
    return str(node.sql("duckdb"))


def _function(node: exp.Func) -> str:
    name = node.name if isinstance(node, exp.Anonymous) else _NAMES.get(type(node), node.sql_name().lower())
    keys = [] if isinstance(node, exp.Anonymous) else ["this", *(k for k in node.arg_types if k != "this")]
    values = [v for k in keys for v in _list(node.args.get(k))] if keys else node.expressions
    args = ", ".join(label(v) for v in values if isinstance(v, exp.Expr) and not isinstance(v, exp.Var))
    return f'"{name}"({args})' if name in _KEYWORDS else f"{name}({args})"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _case(node: exp.Case) -> str:
    parts = []
    for branch in node.args["ifs"]:
        condition = label(branch.this) if node.this is None else f"({label(node.this)} = {label(branch.this)})"
        parts.append(f" WHEN ({condition}) THEN ({label(branch.args['true'])})")
    default = node.args.get("default")
    return f"CASE {''.join(parts)} ELSE {label(default) if default is not None else 'NULL'} END"


def _window(node: exp.Window) -> str:
    parts = []
    partition = node.args.get("partition_by")
    if partition:
        parts.append("PARTITION BY " + ", ".join(map(label, partition)))
    order = node.args.get("order")
    if order:
        keys = []
        for key in order.expressions:
            text = label(key.this) + (" DESC" if key.args.get("desc") else "")
            keys.append(text + (" NULLS FIRST" if key.args.get("nulls_first") else ""))
        parts.append("ORDER BY " + ", ".join(keys))
    spec = node.args.get("spec")
    if spec is not None:
        parts.append(str(spec.sql("duckdb")))
    return f"{label(node.this)} OVER ({' '.join(parts)})"
