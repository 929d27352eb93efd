"""Decides what the columns of a table become: from their types, and what the job says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stepml.job.columns import matches, value_for
from stepml.job.errors import InvalidDataError
from stepml.job.spec_base import listed
from stepml.job.suggestions import did_you_mean
from stepml.ml.data.objects import DataObject
from stepml.ml.data.table import Table, TableColumn, TableSettings

_T = TypeVar("_T")

# The fills that a category can have; those for all columns that it cannot have count for others.
_OF_CATEGORIES = ("fail", "zero", "most_frequent")
_OF_HASHES = ("fail", "zero")


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column as its first rows, or the object's schema, show it."""

    kind: str  # number, boolean, category or time
    are_numbers: bool = False  # its cells are numbers; matters if the job makes it a category


FactsOf = Callable[[int, bool], ColumnFacts]
"""Returns the facts about a column, given its index, and whether the job says its type."""


def plan_table(
    data: DataObject,
    names: Mapping[int, str],
    settings: TableSettings,
    facts_of: FactsOf,
    label: str = "",
) -> Table | None:
    """Return the table of feature columns; None if all are plain numbers, treated alike.

    Parameters
    ----------
    data : DataObject
        For messages.
    names : mapping
        The name of each column that is not the label and does not say which rows validate, by its
        index; empty names without a header.
    settings : TableSettings
    facts_of : callable
        Called for the columns that are used.
    label : str
        The name of the label's column, whose type the job may say as well; `settings.use` may
        have it, too.

    Raises
    ------
    InvalidDataError
        A name or pattern matches no column, or no column is left.
    """
    _require_known(data, list(names.values()), settings, label)
    used = [column for column, name in names.items() if _is_used(name, settings)]
    if not used:
        raise InvalidDataError(
            f"s3 object {data.key}: data.columns leaves no column for a feature; its columns are "
            f"{', '.join(names.values())}"
        )
    columns = tuple(_planned(column, names[column], settings, facts_of) for column in used)
    kept = set(used)
    dropped = tuple(name for column, name in names.items() if column not in kept)
    table = Table(columns, dropped, settings.unknown_levels, settings.drops_uninformative)
    return None if _is_plain(table, settings) else table


def _is_plain(table: Table, settings: TableSettings) -> bool:
    are_numbers = all(each.kind == "number" and not each.indicator for each in table.columns)
    are_alike = not isinstance(settings.missing, tuple)
    return are_numbers and are_alike and not table.dropped


def _is_used(name: str, settings: TableSettings) -> bool:
    is_chosen = settings.use is None or any(matches(name, each) for each in settings.use)
    return is_chosen and not any(matches(name, each) for each in settings.drop)


def _planned(column: int, name: str, settings: TableSettings, facts_of: FactsOf) -> TableColumn:
    given = value_for(name, dict(settings.types), "")
    facts = facts_of(column, bool(given))
    kind = given or facts.kind
    is_category = kind == "category"
    encode = value_for(name, _by_name(settings.encode), "one_hot") if is_category else ""
    return TableColumn(
        name=name,
        column=column,
        kind=kind,
        encode=encode,
        width=settings.hash_width if encode == "hash" else 0,
        parts=settings.parts if kind == "time" else (),
        missing=_missing(name, encode, settings),
        indicator=_has_indicator(name, settings.indicator),
        are_numbers=is_category and facts.are_numbers,
    )


def _missing(name: str, encode: str, settings: TableSettings) -> str | float:
    """Return the treatment of a missing value; by default the mean, or a level of its own.

    ``encode`` is that of a category.
    """
    setting = _by_name(settings.missing)
    asked = value_for(name, setting, None)
    if not encode:
        return "mean" if asked is None else asked
    allowed = _OF_HASHES if encode == "hash" else _OF_CATEGORIES
    if asked is not None and asked in allowed:
        return asked
    if isinstance(setting, dict) and name in setting:
        raise InvalidDataError(
            f"data.missing: {name!r} is a category, whose encoding is {encode!r}: expected "
            f"{listed(allowed)} (without a setting, missing values are a level of their own), got "
            f"{asked!r}"
        )
    return "level"


def _has_indicator(name: str, setting: bool | tuple[str, ...]) -> bool:
    if isinstance(setting, bool):
        return setting
    return any(matches(name, each) for each in setting)


def _by_name(setting: _T | tuple[tuple[str, _T], ...]) -> _T | dict[str, _T]:
    return dict(setting) if isinstance(setting, tuple) else setting


def asked_label_kind(label: str, settings: TableSettings) -> str | None:
    """Return the kind of the labels that a job gives to their column, or None; patterns are not it.

    Raises
    ------
    InvalidDataError
        It is a time.
    """
    asked = dict(settings.types).get(label) if label else None
    if asked == "time":
        raise InvalidDataError(
            f"data.columns.types: expected number, boolean or category for the label, {label!r}, "
            f"got {asked!r}"
        )
    return "text" if asked == "category" else asked


def _require_known(
    data: DataObject, names: Sequence[str], settings: TableSettings, label: str
) -> None:
    """Refuse names and patterns of the job that match no column: they are mistakes."""
    fields: dict[str, Sequence[str]] = {
        "data.columns.use": [name for name in settings.use or () if name != label],
        "data.columns.drop": settings.drop,
        "data.columns.types": [name for name, _ in settings.types if name != label],
    }
    for field, setting in (("data.encode", settings.encode), ("data.missing", settings.missing)):
        if isinstance(setting, tuple):
            fields[field] = [str(name) for name, _ in setting]
    if isinstance(settings.indicator, tuple):
        fields["data.missing_indicator"] = settings.indicator
    for field, patterns in fields.items():
        for pattern in patterns:
            if not any(matches(name, pattern) for name in names):
                raise _unknown(data, field, pattern, names)


def _unknown(data: DataObject, field: str, pattern: str, names: Sequence[str]) -> InvalidDataError:
    if not any(names):
        return InvalidDataError(
            f"{field}: s3 object {data.key} has no header, so its columns have no names; "
            f"got {pattern!r}"
        )
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return InvalidDataError(
        f"{field}: expected columns of features of s3 object {data.key} ({shown}); "
        f"got {pattern!r}{did_you_mean(pattern, names)}"
    )
