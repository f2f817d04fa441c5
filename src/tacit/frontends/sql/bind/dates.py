# SPDX-License-Identifier: Apache-2.0
"""Dates, times and INTERVALs."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlglot import exp

from tacit.frontends.sql import dates, functions
from tacit.frontends.sql.algebra import At, Constant, Expr
from tacit.frontends.sql.bind.base import Base, Span
from tacit.frontends.sql.constants import fold, integer
from tacit.frontends.sql.decorrelate import unsupported
from tacit.frontends.sql.functions import DAY, cast
from tacit.frontends.sql.parse import place_of
from tacit.frontends.sql.types import BIGINT, DATE, DOUBLE, NULL, TEXT, TIMESTAMP

UNITS: Final = {
    "year": Span(12, 0, 0), "quarter": Span(3, 0, 0), "month": Span(1, 0, 0), "week": Span(0, 7, 0),
    "day": Span(0, 1, 0), "hour": Span(0, 0, DAY // 24), "minute": Span(0, 0, 60_000_000),
    "second": Span(0, 0, 1_000_000), "millisecond": Span(0, 0, 1000), "microsecond": Span(0, 0, 1),
}  # fmt: skip
PARTS: Final[dict[type[exp.Expr], str]] = {
    exp.Year: "year", exp.Quarter: "quarter", exp.Month: "month", exp.Week: "week", exp.WeekOfYear: "week",
    exp.Day: "day", exp.DayOfMonth: "day", exp.DayOfWeek: "dow", exp.DayOfWeekIso: "isodow", exp.DayOfYear: "doy",
    exp.Hour: "hour", exp.Minute: "minute", exp.Second: "second", exp.TimeToUnix: "epoch",
}  # fmt: skip
_PART_NAMES: Final = {
    "dayofweek": "dow", "weekday": "dow", "dayofyear": "doy", "dayofmonth": "day", "weekofyear": "week",
    "yr": "year", "mon": "month", "hr": "hour", "min": "minute", "sec": "second", "ms": "millisecond",
    "us": "microsecond",
    **{f"{p}s": p for p in functions.PARTS},
}  # fmt: skip


class Dates(Base):
    """Binds dates, times and INTERVALs."""

    def _interval(self, node: exp.Interval) -> Span:
        at = place_of(node)
        unit = node.args.get("unit")
        amount = fold(self.bind(node.this)) if node.this is not None else None
        text = str(amount.raw) if isinstance(amount, Constant) and amount.raw is not None else ""
        if unit is None and len(text.split()) == 2:
            text, name = text.split()
        else:
            name = unit.name if unit is not None else ""
        name = name.lower()
        name = _PART_NAMES.get(name, name.removesuffix("s") if name not in UNITS else name)
        if name in UNITS and amount is not None and amount.type.kind == "int":
            return self.span(name, amount, at)
        try:
            count = int(text)
        except ValueError:
            count, name = 0, ""
        if name not in UNITS:
            raise unsupported("this INTERVAL", at, "write a whole number of one unit, as in INTERVAL '3' MONTH")
        return UNITS[name] * count

    def span(self, name: str, amount: Expr, at: At) -> Span:
        """So many of a unit of time."""
        unit = UNITS[name]
        if isinstance(amount, Constant) and isinstance(amount.raw, int):
            return unit * amount.raw
        if unit.months:
            raise unsupported("an INTERVAL of so many months as a column says", at, "write a constant number")
        return replace(unit, times=amount)

    def _todays(self, node: exp.ToDays) -> Span:
        return self.span("day", fold(self.bind(node.this)), place_of(node))

    def shifted(self, moment: Expr, span: Span, at: At) -> Expr:
        """A date or timestamp plus an INTERVAL: a TIMESTAMP. Months first, the day cut to the month's length."""
        if isinstance(moment, Constant) and moment.type in (TEXT, NULL):
            moment = fold(cast(moment, TIMESTAMP, at))
        if moment.type not in (DATE, TIMESTAMP):
            raise functions.mismatch("+ INTERVAL", (moment,), at)
        if span.times is not None:
            micros = self.call("mul", (cast(span.times, BIGINT, at), integer(span.days * DAY + span.micros)), at=at)
            return self.call("add_micros", (fold(cast(moment, TIMESTAMP, at)), micros), at=at)
        if span.months:
            moment = self.call("add_months", (moment,), span.months, at=at)
        if moment.type == DATE and span.days:
            moment = self.call("add_days", (moment, integer(span.days)), at=at)
            span = Span(0, 0, span.micros)
        moment = fold(cast(moment, TIMESTAMP, at))
        fixed = span.days * DAY + span.micros
        return self.call("add_micros", (moment, integer(fixed)), at=at) if fixed else moment

    def _extract(self, node: exp.Extract) -> Expr:
        return self._part(node.name, node.expression, node)

    def _part(self, part: str, source: exp.Expr, node: exp.Expr) -> Expr:
        at = place_of(node)
        name = _PART_NAMES.get(part.lower(), part.lower())
        if name not in functions.PARTS:
            raise unsupported(f"the part {part!r} of a date", at, f"use one of {', '.join(functions.PARTS)}")
        made = self.call("date_part", (self.moment(source),), name, at=at)
        # DuckDB gives a NULL that it folds the most general type of any part, unless the part's own function is called.
        folded = isinstance(made, Constant) and made.raw is None and type(node) not in PARTS
        return Constant(None, DOUBLE) if folded else made

    def moment(self, node: exp.Expr) -> Expr:
        """A node as a date or timestamp."""
        made = self.bind(node)
        return fold(cast(made, TIMESTAMP, place_of(node))) if made.type == NULL else made

    def _timestamptrunc(self, node: exp.Expr) -> Expr:
        return self.call("date_trunc", (self.moment(node.this),), self.span_name(node), at=place_of(node))

    _datetrunc = _timestamptrunc

    def span_name(self, node: exp.Expr) -> str:
        """The part that DATE_TRUNC or DATE_DIFF names."""
        unit = node.args.get("unit")
        name = unit.name.lower() if unit is not None else ""
        name = _PART_NAMES.get(name, name)
        if name not in functions.SPANS:
            raise unsupported(f"the part {name!r}", place_of(node), f"use one of {', '.join(functions.SPANS)}")
        return name

    def _datediff(self, node: exp.DateDiff) -> Expr:
        at = place_of(node)
        later, earlier = self.moment(node.this), self.moment(node.expression)
        earlier, later = (fold(x) for x in functions.alike((earlier, later), "date_diff", at))
        return self.call("date_diff", (earlier, later), self.span_name(node), at=at)

    def _datefromparts(self, node: exp.DateFromParts) -> Expr:
        return self.call("make_date", [self.bind(node.args[k]) for k in ("year", "month", "day")], at=place_of(node))

    def _lastday(self, node: exp.LastDay) -> Expr:
        at = place_of(node)
        first = cast(self.call("date_trunc", (self.moment(node.this),), "month", at=at), DATE, at)
        return self.call("add_days", (self.call("add_months", (fold(first),), 1, at=at), integer(-1)), at=at)

    def _dayname(self, node: exp.Dayname) -> Expr:
        return self.call("strftime", (self.moment(node.this),), "%A", at=place_of(node))

    def _monthname(self, node: exp.Monthname) -> Expr:
        return self.call("strftime", (self.moment(node.this),), "%B", at=place_of(node))

    def _timestampfromparts(self, node: exp.TimestampFromParts) -> Expr:
        parts = [node.args.get(k) for k in ("year", "month", "day", "hour", "min", "sec")]
        if not all(parts) or node.args.get("zone") is not None:
            raise unsupported("MAKE_TIMESTAMP of these operands", place_of(node), "give it year to second")
        return self.call("make_timestamp", [self.bind(p) for p in parts if p], at=place_of(node))

    def _datebin(self, node: exp.DateBin) -> Expr:
        at = place_of(node)
        span = self.value(node.this)
        width = span.days * DAY + span.micros if isinstance(span, Span) and not (span.months or span.times) else 0
        # sqlglot takes the third operand for something else.
        given = node.args.get("unit")
        origin = self.value(given) if given is not None else Constant(dates.MONDAY, TIMESTAMP)
        start = fold(cast(origin, TIMESTAMP, at)) if not isinstance(origin, Span) else None
        if width <= 0 or not isinstance(start, Constant) or node.args.get("zone"):
            raise unsupported("TIME_BUCKET of this width or origin", at, "give it a constant width of days or less")
        moment = self.moment(node.expression)
        made = self.call("date_bin", (fold(cast(moment, TIMESTAMP, at)),), width, start.raw, at=at)
        return fold(cast(made, moment.type, at))

    def _unixtotime(self, node: exp.UnixToTime) -> Expr:
        scale, at = node.args.get("scale"), place_of(node)
        step = {"3": 1000, "6": 1}.get(scale.name) if scale is not None else None
        if step is None:
            raise unsupported("TO_TIMESTAMP, which has a time zone,", at, "use EPOCH_MS of milliseconds")
        micros = self.call("mul", (cast(self.bind(node.this), BIGINT, at), integer(step)), at=at)
        return self.call("add_micros", (Constant(0, TIMESTAMP), micros), at=at)

    def _timetostr(self, node: exp.TimeToStr) -> Expr:
        pattern = self.constant(node.args["format"], "a format")
        return self.call("strftime", (self.moment(node.this),), str(pattern), at=place_of(node))

    def _dateadd(self, node: exp.Expr) -> Expr:
        made = self.value(node.expression)
        if not isinstance(made, Span):
            raise unsupported("DATE_ADD without an INTERVAL", place_of(node), "write x + INTERVAL '1' DAY")
        return self.shifted(self.bind(node.this), made, place_of(node))
