"""Dates and times as numbers: seconds since 1970 in UTC, and their parts."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats64 = NDArray[np.float64]
Integers = NDArray[np.int64]

_DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"\d{4}([-/])\d\d\1\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?( ?(Z|UTC|[+-]\d\d(:?\d\d)?))?)?"
)
_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0


@lru_cache(maxsize=2**14)  # a column's blocks often have the same times
def seconds_of(text: str) -> float:
    """Return a date or time as seconds since 1970; NaN if ``text`` is none.

    It is ISO 8601, such as ``2020-01-31``, ``2020-01-31 12:30`` or ``2020-01-31T12:30:05.5+01:00``;
    slashes may separate the date. Without an offset it is in UTC.
    """
    if _ISO.fullmatch(text) is None:
        return math.nan
    iso = text.replace("/", "-").replace(" UTC", "Z").replace("UTC", "Z").replace(",", ".")
    head, blank, zone = iso.rpartition(" ")
    if blank and zone[:1] in "+-Z":
        iso = head + zone
    try:
        time = datetime.fromisoformat(iso)
    except ValueError:  # such as a thirteenth month
        return math.nan
    passed = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    return passed.days * _DAY_S + passed.seconds + passed.microseconds / 1e6


def part_of(seconds: Floats64, part: str) -> Floats64:
    """Return one part of times as a number; NaN where the time is missing.

    Parameters
    ----------
    seconds : array
        Since 1970-01-01 in UTC, negative before.
    part : {"year", "month", "day", "weekday", "dayofyear", "hour", "minute"}
        Month, day and day of the year count from 1, weekdays from 0, which is Monday.
    """
    missing = np.isnan(seconds)
    whole = np.floor(np.where(missing, 0, seconds)).astype(np.int64)
    found = _PARTS[part](whole).astype(np.float64)
    found[missing] = np.nan
    return found


def _year(seconds: Integers) -> Integers:
    years: Integers = _months(seconds).astype("datetime64[Y]").astype(np.int64)
    return years + 1970


def _month(seconds: Integers) -> Integers:
    return _months(seconds).astype(np.int64) % 12 + 1


def _day(seconds: Integers) -> Integers:
    days: Integers = (_dates(seconds) - _months(seconds).astype("datetime64[D]")).astype(np.int64)
    return days + 1


def _dayofyear(seconds: Integers) -> Integers:
    dates = _dates(seconds)
    first = dates.astype("datetime64[Y]").astype("datetime64[D]")
    days: Integers = (dates - first).astype(np.int64)
    return days + 1


def _weekday(seconds: Integers) -> Integers:
    return (seconds // _DAY_S + _FIRST_WEEKDAY) % 7


def _hour(seconds: Integers) -> Integers:
    return seconds % _DAY_S // 3600


def _minute(seconds: Integers) -> Integers:
    return seconds % 3600 // 60


def _dates(seconds: Integers) -> NDArray[np.datetime64]:
    return (seconds // _DAY_S).astype("datetime64[D]")


def _months(seconds: Integers) -> NDArray[np.datetime64]:
    return _dates(seconds).astype("datetime64[M]")


_PARTS = {
    "year": _year,
    "month": _month,
    "day": _day,
    "weekday": _weekday,
    "dayofyear": _dayofyear,
    "hour": _hour,
    "minute": _minute,
}
