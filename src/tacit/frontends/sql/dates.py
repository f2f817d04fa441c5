# SPDX-License-Identifier: Apache-2.0
"""The calendar on secret days and microseconds since 1970, by exact divisions with public divisors.

Years begin in March inside, so that the leap day is their last (Neri and Schneider 2021, "Euclidean affine functions
and their application to calendar algorithms"). Where the range of dates lies between 1900-03-01 and 2100-02-28, as it
mostly does, every fourth year is a leap year and the divisions by centuries fall away.
"""

from __future__ import annotations

from typing import Final

from tacit.frontends.arithmetic import add, greater_equal, less, less_equal, multiply, negative, subtract
from tacit.frontends.array import SecretArray
from tacit.frontends.operands import astype
from tacit.frontends.sql.division import floor_by
from tacit.plan import INT64

DAY: Final = 86_400_000_000
"""Microseconds of a day."""
MONDAY: Final = 10_959 * DAY
"""2000-01-03, at which bins of microseconds start."""
UNITS: Final = {
    "day": DAY,
    "hour": DAY // 24,
    "minute": 60_000_000,
    "second": 10**6,
    "millisecond": 1000,
    "microsecond": 1,
}
"""Microseconds of what timestamps are truncated to and counted in."""

_TO_MARCH_0: Final = 719_468
"""Days from 0000-03-01 to 1970-01-01."""
_CENTURY: Final = 36_524
_1900, _2100 = -25_508, 47_541
"""1900-03-01 and 2100-03-01."""
_1901: Final = -25_202
_2101: Final = 47_847
"""1901-01-01 and 2101-01-01."""


def year(days: SecretArray) -> SecretArray:
    """The year of a day: one division from 1901 to 2100, else as `civil`."""
    bounds = days.node.type.interval
    if _1901 <= bounds.lo and bounds.hi < _2101:
        # Four years from 1901 on have 365, 365, 365 and 366 days.
        return add(floor_by(add(multiply(subtract(days, _1901), 4), 3), 1461), 1901)
    return civil(days)[0]


def civil(days: SecretArray) -> tuple[SecretArray, SecretArray, SecretArray]:
    """Year, month and day of the month."""
    bounds = days.node.type.interval
    z = add(days, _TO_MARCH_0)
    base: SecretArray | int
    if _1900 <= bounds.lo and bounds.hi < _2100:
        base, of_century = 1900, subtract(z, 19 * _CENTURY + 4)
    else:
        century = floor_by(add(multiply(z, 4), 3), 4 * _CENTURY + 1)
        base = multiply(century, 100)
        of_century = subtract(subtract(z, multiply(century, _CENTURY)), floor_by(century, 4))
    years = floor_by(add(multiply(of_century, 4), 3), 1461)
    of_year = subtract(subtract(of_century, multiply(years, 365)), floor_by(years, 4))
    scaled = add(multiply(of_year, 2141), 197_913)
    month = floor_by(scaled, 2**16)
    day = add(floor_by(subtract(scaled, multiply(month, 2**16)), 2141), 1)
    late = astype(greater_equal(of_year, 306), INT64)
    return add(add(years, base), late), subtract(month, multiply(late, 12)), day


def days_of(year: SecretArray, month: SecretArray | int, day: SecretArray | int) -> SecretArray:
    """The day of a date: the inverse of `civil`."""
    if isinstance(month, int):
        shifted, months = (year, month) if month > 2 else (subtract(year, 1), month + 12)
        of_year: SecretArray | int = (979 * months - 2919) // 32
    else:
        early = astype(less_equal(month, 2), INT64)
        shifted = subtract(year, early)
        of_year = floor_by(subtract(multiply(add(month, multiply(early, 12)), 979), 2919), 32)
    bounds = shifted.node.type.interval
    leaps = floor_by(shifted, 4)
    if bounds.lo >= 1900 and bounds.hi < 2100:
        leaps = subtract(leaps, 15)
    else:
        centuries = floor_by(shifted, 100)
        leaps = add(subtract(leaps, centuries), floor_by(centuries, 4))
    total = add(add(multiply(shifted, 365), leaps), of_year)
    return subtract(add(total, day), _TO_MARCH_0 + 1)


def weekday(days: SecretArray) -> SecretArray:
    """0 on Mondays to 6 on Sundays."""
    shifted = add(days, 3)
    return subtract(shifted, multiply(floor_by(shifted, 7), 7))


def monday(days: SecretArray) -> SecretArray:
    """The Monday of a day's week."""
    return subtract(multiply(floor_by(add(days, 3), 7), 7), 3)


def part(name: str, days: SecretArray) -> SecretArray | None:
    """What EXTRACT takes from a day; None for what only a time has."""
    match name:
        case "year":
            return year(days)
        case "month" | "day":
            return civil(days)[1 if name == "month" else 2]
        case "quarter":
            return _quarter(civil(days)[1])
        case "dow":
            shifted = add(days, 4)
            return subtract(shifted, multiply(floor_by(shifted, 7), 7))
        case "isodow":
            return add(weekday(days), 1)
        case "doy":
            return add(subtract(days, days_of(year(days), 1, 1)), 1)
        case "isoyear":
            return year(add(monday(days), 3))
        case "week":
            thursday = add(monday(days), 3)
            return add(floor_by(subtract(thursday, days_of(year(thursday), 1, 1)), 7), 1)
    return None


def part_of_time(name: str, x: SecretArray) -> SecretArray | None:
    """What EXTRACT takes from the time of day of microseconds; None for anything else."""
    match name:
        case "hour":
            return _within(x, UNITS["hour"], UNITS["day"])
        case "minute":
            return _within(x, UNITS["minute"], UNITS["hour"])
        case "second":
            return _within(x, UNITS["second"], UNITS["minute"])
        case "millisecond":
            return _within(x, UNITS["millisecond"], UNITS["minute"])
        case "microsecond":
            return _within(x, 1, UNITS["minute"])
    return None


def truncated(name: str, days: SecretArray) -> SecretArray | None:
    """The first day of a day's year, quarter, month or week; None for anything else."""
    match name:
        case "year":
            return days_of(year(days), 1, 1)
        case "quarter":
            y, m, _ = civil(days)
            return days_of(y, subtract(multiply(_quarter(m), 3), 2), 1)
        case "month":
            return add(subtract(days, civil(days)[2]), 1)
        case "week":
            return monday(days)
        case "day":
            return days
    return None


def binned(x: SecretArray, width: int, origin: int) -> SecretArray:
    """The start of the bin that x lies in, of bins so wide, one of which starts at the origin."""
    shift = origin % width
    return add(multiply(floor_by(subtract(x, shift), width), width), shift)


def add_months(days: SecretArray, months: int) -> SecretArray:
    """The same day of the month some months later, or its last day where that month is shorter."""
    y, m, d = civil(days)
    total = add(add(multiply(y, 12), m), months - 1)
    later = floor_by(total, 12)
    if months % 12 == 0:
        later, month = add(y, months // 12), m
    else:
        month = add(subtract(total, multiply(later, 12)), 1)
    first = days_of(later, month, 1)
    # 31 days, less one in four months, less two or three in February.
    short = _short_month(month, later)
    excess = subtract(subtract(d, 31), negative(short))
    over = multiply(astype(less(0, excess), INT64), excess)
    return subtract(subtract(add(first, d), 1), over)


def _short_month(month: SecretArray, year: SecretArray) -> SecretArray:
    """By how many days a month is shorter than 31."""
    next_month = days_of(add(year, floor_by(month, 12)), add(subtract(month, multiply(floor_by(month, 12), 12)), 1), 1)
    return subtract(31, subtract(next_month, days_of(year, month, 1)))


def months(days: SecretArray) -> SecretArray:
    """Months since the year 0."""
    y, m, _ = civil(days)
    return add(multiply(y, 12), m)


def quarters(days: SecretArray) -> SecretArray:
    """Quarters since the year 0."""
    y, m, _ = civil(days)
    return add(multiply(y, 4), _quarter(m))


def _quarter(month: SecretArray) -> SecretArray:
    return floor_by(add(month, 2), 3)


def _within(x: SecretArray, unit: int, larger: int) -> SecretArray:
    """How many units x is after the last multiple of a larger one."""
    return subtract(floor_by(x, unit), multiply(floor_by(x, larger), larger // unit))
