"""The columns of a table: their names, and the label's column."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

from stepml.job.errors import InvalidDataError
from stepml.job.explanations import did_you_mean
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.objects import DataObject


def label_column(
    data: DataObject, names: Sequence[str], n_columns: int, label: str | int | None
) -> int:
    """Return the 0-based index of the label's column, given the columns' ``names``, if any.

    Raises
    ------
    InvalidDataError
        ``label`` is not a column, or the name of several columns.
    """
    if isinstance(label, str):
        if not names:
            raise InvalidDataError(
                f"data.label is {label!r}, but s3 object {data.key} has no header; "
                f"name the label's column by its index, 0 to {n_columns - 1}"
            )
        return _named_column(data, names, label)
    column = n_columns - 1 if label is None else label
    if not -n_columns <= column < n_columns:
        raise InvalidDataError(
            f"data.label is {label}, but s3 object {data.key} has {n_columns} columns: "
            f"allowed are 0 to {n_columns - 1}, or -{n_columns} to -1 from the end"
        )
    return column % n_columns


def _named_column(data: DataObject, names: Sequence[str], label: str) -> int:
    # Letters with accents are one character or two, depending on the program.
    normal = [unicodedata.normalize("NFC", name) for name in names]
    wanted = unicodedata.normalize("NFC", label)
    if wanted not in normal:
        raise InvalidDataError(
            f"data.label is {label!r}, which is none of the columns of s3 object {data.key}"
            f"{did_you_mean(label, names)}: {names_shown(names)}"
        )
    if normal.count(wanted) > 1:
        raise InvalidDataError(
            f"data.label is {label!r}, the name of {normal.count(wanted)} columns of s3 object "
            f"{data.key}: name the label's column by its index"
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


def require_same_names(
    data: DataObject, found: Sequence[str], expected: Sequence[str], what: str
) -> None:
    """Refuse an object whose columns differ from those of the data set's first object.

    Raises
    ------
    InvalidDataError
        The message has the object, the first different column, and ``what`` was compared.
    """
    pairs = zip_longest(found, expected, fillvalue="")
    for column, (name, other) in enumerate(pairs, start=1):
        if name != other:
            raise InvalidDataError(
                f"s3 object {data.key}: {what} of the first object: "
                f"column {column} is {name[:40]!r} instead of {other[:40]!r}"
            )
