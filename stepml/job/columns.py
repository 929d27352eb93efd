"""Settings of a table's columns: which are features, of what type, and how they are prepared."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from stepml.job.spec_base import SpecGroup

MOST_PATTERNS = 10_000

ColumnType = Literal["number", "boolean", "category", "time"]
Encoding = Literal["one_hot", "ordinal", "hash"]
DatePart = Literal["year", "month", "day", "weekday", "dayofyear", "hour", "minute"]
Fill = Literal["fail", "zero", "mean", "median", "most_frequent"]
Rescaling = Literal["none", "standardise", "min_max", "robust"]

Constant = Annotated[float, Meta(ge=-1e300, le=1e300)]
Pattern = Annotated[str, Meta(min_length=1, max_length=1000)]
Patterns = Annotated[list[Pattern], Meta(max_length=MOST_PATTERNS)]

_T = TypeVar("_T")


class Columns(SpecGroup, frozen=True, kw_only=True):
    """The columns of a table that are features; names may be patterns such as ``price_*``."""

    use: Annotated[
        Patterns | None, Meta(description="only these are features; null: all but the label")
    ] = None
    drop: Annotated[Patterns, Meta(description="these are no features")] = msgspec.field(
        default_factory=list
    )
    types: Annotated[
        dict[Pattern, ColumnType],
        Meta(description="the type of columns, by name or pattern; of others it is inferred"),
    ] = msgspec.field(default_factory=dict)
    uninformative: Annotated[
        Literal["keep", "drop"],
        Meta(
            description="columns that say nothing, as they are empty, constant or an identifier: "
            "keep, with a note, or drop"
        ),
    ] = "keep"


def matches(name: str, pattern: str) -> bool:
    """Return whether a column's ``name`` is the ``pattern``, or matches its wildcards."""
    return name == pattern or fnmatchcase(name, pattern)


def value_for(name: str, setting: _T | Mapping[str, _T], default: _T) -> _T:
    """Return the value of a setting for one column.

    Parameters
    ----------
    name : str
    setting : a value for all columns, or values by name or pattern
        The name itself comes first, then the pattern with the most characters that are no
        wildcards. So the order of a JSON object does not matter.
    default : a value
        Of columns that no pattern matches.
    """
    if not isinstance(setting, Mapping):
        return setting
    if name in setting:
        return setting[name]
    found = [each for each in setting if fnmatchcase(name, each)]
    if not found:
        return default
    return setting[max(found, key=lambda each: (len(each) - sum(map(each.count, "*?[]")), each))]
