# SPDX-License-Identifier: Apache-2.0
"""The names that DuckDB gives to result columns without an alias: its own way of writing their expressions."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from tacit.frontends.sql.parse import row_of

_BINARY: Final[dict[type[exp.Expr], str]] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.IntDiv: "//", exp.Mod: "%", exp.EQ: "=", exp.NEQ: "!=",
    exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=", exp.DPipe: "||", exp.Like: "~~", exp.ILike: "~~*",
    exp.NullSafeNEQ: "IS DISTINCT FROM", exp.NullSafeEQ: "IS NOT DISTINCT FROM", exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|", exp.BitwiseLeftShift: "<<", exp.BitwiseRightShift: ">>",
}  # fmt: skip
_KEYWORDS: Final = frozenset({
    "substring", "replace", "trim", "left", "right", "nullif", "if", "first", "year", "month", "day", "hour", "minute",
    "second", "quarter", "week", "mode", "last", "millisecond", "microsecond",
})  # fmt: skip
_NAMES: Final[dict[type[exp.Expr], str]] = {
    exp.Stddev: "stddev", exp.StddevPop: "stddev_pop", exp.StddevSamp: "stddev_samp", exp.Variance: "var_samp",
    exp.VariancePop: "var_pop", exp.LogicalAnd: "bool_and", exp.LogicalOr: "bool_or", exp.CovarPop: "covar_pop",
    exp.PercentileCont: "quantile_cont", exp.PercentileDisc: "quantile_disc", exp.StrPosition: "strpos",
    exp.CovarSamp: "covar_samp", exp.CountIf: "count_if", exp.Grouping: "GROUPING", exp.DayOfWeek: "dayofweek",
    exp.DayOfYear: "dayofyear", exp.TimeToStr: "strftime", exp.TimeToUnix: "epoch", exp.DateFromParts: "make_date",
    exp.TimestampFromParts: "make_timestamp", exp.DateBin: "time_bucket",
    exp.ApproxDistinct: "approx_count_distinct", exp.IsNan: "isnan", exp.IsInf: "isinf", exp.BitwiseXor: "xor",
}  # fmt: skip
_PARTS: Final = {
    **{n + s: n for n in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "QUARTER", "WEEK") for s in ("", "S")},
    **{n + s: n + "S" for n in ("MILLISECOND", "MICROSECOND") for s in ("", "S")},
}
"""Parts of dates that are words of DuckDB's grammar, as it writes them; others stay as they are typed."""
_TYPES: Final = {
    "INT": "INTEGER", "TEXT": "VARCHAR", "REAL": "FLOAT", "INT128": "HUGEINT", "DATE": "date", "DOUBLE": "double",
}  # fmt: skip
"""DuckDB's names of types where sqlglot has others; it writes those that are not in its grammar as they are typed."""


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
        return f"({word.join(label(n) for n in _parts(node))})"
    if kind in _BINARY:
        sign = ("!" if isinstance(node, (exp.Like, exp.ILike)) and node.args.get("negate") else "") + _BINARY[kind]
        return f"({label(node.this)} {sign} {label(node.expression)})"
    row = row_of(node)
    if row is not None and not isinstance(node, exp.Paren):
        return f'"row"({", ".join(map(label, row))})'
    if isinstance(node, exp.Neg):
        inner, number = label(node.this), node.this.unnest()
        while isinstance(number, exp.Neg):
            number = number.this.unnest()
        if isinstance(number, exp.Literal) and not number.is_string:
            return inner[1:] if inner.startswith("-") else f"-{inner}"
        return f"(-({inner}))"
    if isinstance(node, exp.Not):
        if isinstance(node.this, exp.Is) and isinstance(node.this.expression, exp.Null):
            return f"({label(node.this.this)} IS NOT NULL)"
        if isinstance(node.this, exp.Is):
            return label(node.this).replace(" IS NOT DISTINCT FROM ", " IS DISTINCT FROM ")
        return f"(NOT {label(node.this)})"
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Boolean):
        return f"(CAST({label(node.this)} AS BOOLEAN) IS NOT DISTINCT FROM {label(node.expression)})"
    if isinstance(node, exp.Is):
        return f"({label(node.this)} IS {label(node.expression)})"
    if isinstance(node, exp.Between):
        return f"({label(node.this)} BETWEEN {label(node.args['low'])} AND {label(node.args['high'])})"
    if isinstance(node, exp.In) and isinstance(node.args.get("query"), exp.Subquery):
        return f"({label(node.this)} = ANY({node.args['query'].this.sql('duckdb', normalize_functions='lower')}))"
    if isinstance(node, exp.In) and not node.args.get("query"):
        return f"({label(node.this)} IN ({', '.join(map(label, node.expressions))}))"
    if isinstance(node, exp.BitwiseNot):
        return f"(~({label(node.this)}))"
    if isinstance(node, exp.Order):
        return f"{label(node.this)} ORDER BY {_order(node)}"
    if isinstance(node, exp.Log):
        base = node.this.name if node.args.get("expression") and node.this.name in ("2", "10") else ""
        return f"log{base}({label(node.expression)})" if base else _function(node)
    if isinstance(node, exp.Cast):
        kind_name = node.to.sql("duckdb")
        kind_name = _TYPES.get(kind_name, kind_name)
        return f"{'TRY_' if isinstance(node, exp.TryCast) else ''}CAST({label(node.this)} AS {kind_name})"
    if isinstance(node, exp.Case):
        return _case(node)
    if isinstance(node, exp.Coalesce):
        return f"COALESCE({', '.join(map(label, [node.this, *node.expressions]))})"
    if isinstance(node, exp.Extract):
        return f"date_part('{_PARTS.get(node.name.upper(), node.name)}', {label(node.expression)})"
    if isinstance(node, exp.TimestampTrunc):
        return f"date_trunc('{_unit(node)}', {label(node.this)})"
    if isinstance(node, exp.DateDiff):
        return f"date_diff('{_unit(node)}', {label(node.expression)}, {label(node.this)})"
    if isinstance(node, exp.Interval):
        return _interval(node)
    if isinstance(node, exp.Escape):
        name = "not_like_escape" if node.this.args.get("negate") else "like_escape"
        return f"{name}({label(node.this.this)}, {label(node.this.expression)}, {label(node.expression)})"
    if isinstance(node, exp.WithinGroup):
        name = "quantile_disc" if isinstance(node.this, exp.PercentileDisc) else "quantile_cont"
        return f"{name}({label(node.this.this)} ORDER BY {_order(node.expression)})"
    if isinstance(node, exp.Window):
        return _window(node)
    if isinstance(node, exp.Filter):
        return f"{label(node.this)} FILTER (WHERE {label(node.expression.this)})"
    if isinstance(node, exp.Distinct):
        return f"DISTINCT {', '.join(map(label, node.expressions))}"
    if isinstance(node, exp.Subquery):
        return f"({node.this.sql('duckdb', normalize_functions='lower')})"
    if isinstance(node, exp.Exists):
        return f"EXISTS({node.this.sql('duckdb', normalize_functions='lower')})"
    if isinstance(node, exp.Count) and isinstance(node.this, exp.Star):
        return "count_star()"
    if isinstance(node, (exp.RegexpLike, exp.SimilarTo)):
        name = "regexp_matches" if isinstance(node, exp.RegexpLike) else "regexp_full_match"
        given = [node.this, node.expression, *([node.args["flag"]] if node.args.get("flag") else [])]
        return f"{name}({', '.join(map(label, given))})"
    if isinstance(node, exp.Func):
        return _function(node)
    return str(node.sql("duckdb"))


def _parts(node: exp.And | exp.Or) -> list[exp.Expr]:
    """What a conjunction or disjunction joins, through parentheses."""
    out: list[exp.Expr] = []
    for side in (node.this, node.expression):
        inner = side.unnest()
        out.extend(_parts(inner) if type(inner) is type(node) else [inner])
    return out


def _function(node: exp.Func) -> str:
    if isinstance(node, exp.UnixToTime):
        return f"{'make_timestamp' if node.text('scale') == '6' else 'epoch_ms'}({label(node.this)})"
    name = node.name if isinstance(node, exp.Anonymous) else _NAMES.get(type(node), node.sql_name().lower())
    if isinstance(node, exp.Trim):
        name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(node.text("position"), name)
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
    if node.args.get("order"):
        parts.append("ORDER BY " + _order(node.args["order"]))
    spec = node.args.get("spec")
    frame = "" if spec is None else str(spec.sql("duckdb")).upper()
    if frame and frame != "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW":
        parts.append(frame)
    name = label(node.this)
    return f"{'count()' if name == 'count_star()' else name} OVER ({' '.join(parts)})"


def _order(node: exp.Expr) -> str:
    keys = []
    for key in node.expressions:
        text = label(key.this) + (" DESC" if key.args.get("desc") else "")
        keys.append(text + (" NULLS FIRST" if key.args.get("nulls_first") else ""))
    return ", ".join(keys)


def _interval(node: exp.Interval) -> str:
    unit = _unit(node).removesuffix("s")
    kind = "BIGINT" if unit in ("hour", "minute", "millisecond", "microsecond") else "INTEGER"
    return f"to_{unit}s(CAST(trunc(CAST({label(node.this)} AS DOUBLE)) AS {kind}))"


def _unit(node: exp.Expr) -> str:
    unit = node.args.get("unit")
    return unit.name.lower() if isinstance(unit, exp.Expr) else "day"
