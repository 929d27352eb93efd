"""The columns of a table: their names, and the label's column."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stepml.job.errors import InvalidDataError
from stepml.job.suggestions import did_you_mean
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.objects import DataObject


class Columns(Protocol):
    """The columns that are no features, as a job has them."""

    @property
    def label(self) -> str | int | None: ...
    @property
    def has_label(self) -> bool: ...
    @property
    def validates(self) -> str | int | None: ...
    @property
    def weight(self) -> str | int | None: ...


@dataclass(frozen=True, slots=True)
class Roles:
    """The 0-based columns that are no features; -1: there is none."""

    label: int
    validation: int  # says which rows validate
    weight: int  # of the row's loss

    @property
    def count(self) -> int:
        """The number of these columns."""
        return sum(each >= 0 for each in (self.label, self.validation, self.weight))


def other_columns(data: DataObject, names: Sequence[str], n_columns: int, asked: Columns) -> Roles:
    """Return the columns that are no features; ``names`` are those of the columns, if any.

    Raises
    ------
    InvalidDataError
        One is not a column, or the name of several, or two are the same.
    """
    settings: dict[str, str | int | None] = {
        "data.validation.column": asked.validates,
        "data.weight": asked.weight,
    }
    validates, weight = (
        -1 if column is None else _column_at(data, names, n_columns, column, field)
        for field, column in settings.items()
    )
    label = -1
    if asked.has_label:
        last = n_columns - 1
        label = _column_at(data, names, n_columns, last if asked.label is None else asked.label)
    for field, found in zip(settings, (validates, weight), strict=True):
        if label >= 0 and label == found:
            is_last = " (the last one)" * (asked.label is None)
            raise InvalidDataError(
                f"data.label: expected another column than that of {field}, "
                f"{settings[field]!r}, got {asked.label!r}{is_last}"
            )
    if weight >= 0 and weight == validates:
        raise InvalidDataError(
            "data.weight: expected another column than that of data.validation.column, "
            f"{asked.validates!r}, got {asked.weight!r}"
        )
    return Roles(label, validates, weight)


def _column_at(
    data: DataObject,
    names: Sequence[str],
    n_columns: int,
    column: str | int,
    field: str = "data.label",
) -> int:
    if isinstance(column, str):
        if not names:
            raise InvalidDataError(
                f"{field} is {column!r}, but s3 object {data.key} has no header; "
                f"name the column by its index, 0 to {n_columns - 1}"
            )
        return _named_column(data, names, column, field)
    if not -n_columns <= column < n_columns:
        raise InvalidDataError(
            f"{field} is {column}, but s3 object {data.key} has {n_columns} columns: "
            f"allowed are 0 to {n_columns - 1}, or -{n_columns} to -1 from the end"
        )
    return column % n_columns


def _named_column(data: DataObject, names: Sequence[str], label: str, field: str) -> int:
    # Letters with accents are one character or two, depending on the program.
    normal = [unicodedata.normalize("NFC", name) for name in names]
    wanted = unicodedata.normalize("NFC", label)
    if wanted not in normal:
        raise InvalidDataError(
            f"{field} is {label!r}, which is none of the columns of s3 object {data.key}"
            f"{did_you_mean(label, names)}: {names_shown(names)}"
        )
    if normal.count(wanted) > 1:
        raise InvalidDataError(
            f"{field} is {label!r}, the name of {normal.count(wanted)} columns of s3 object "
            f"{data.key}: name the column by its index"
        )
    return normal.index(wanted)


def names_shown(names: Sequence[str], most: int = 20) -> str:
    """Return the names of columns for a message: of many, the first and the last ones."""
    if len(names) > most:
        half = most // 2
        names = [*names[:half], "…", *names[-half:]]
    return ", ".join(shortened(name.encode(), 40) for name in names)


def require_different_names(data: DataObject, names: Sequence[str]) -> None:
    """Raise `InvalidDataError` if two columns have the same name."""
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidDataError(f"s3 object {data.key}: two columns are named {twice[:40]!r}")


def places_of_columns(
    data: DataObject, found: Sequence[str], expected: Sequence[str], what: str
) -> list[int] | None:
    """Return the place of each expected column in an object; None: they are in order.

    Raises
    ------
    InvalidDataError
        The object has other columns than the data set's first one. The message has the object, the
        names that differ, and ``what`` was compared.
    """
    if tuple(found) == tuple(expected):
        return None
    require_different_names(data, found)
    lacks = [name for name in expected if name not in found]
    more = [name for name in found if name not in expected]
    if lacks or more:
        differs = [
            *([f"it lacks {names_shown(lacks)}"] if lacks else []),
            *([f"only it has {names_shown(more)}"] if more else []),
        ]
        raise InvalidDataError(
            f"s3 object {data.key}: {what} of the first object: {' and '.join(differs)}"
        )
    return [found.index(name) for name in expected]
