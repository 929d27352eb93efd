"""The columns of a table: their names, and the label's column."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from stepml.job.errors import InvalidDataError
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
        if label not in names:
            raise InvalidDataError(
                f"data.label is {label!r}, which is none of the columns of s3 object {data.key}: "
                + shortened(", ".join(names).encode(), 400)
            )
        if names.count(label) > 1:
            raise InvalidDataError(
                f"data.label is {label!r}, the name of {names.count(label)} columns of s3 object "
                f"{data.key}: name the label's column by its index"
            )
        return names.index(label)
    column = n_columns - 1 if label is None else label
    if not -n_columns <= column < n_columns:
        raise InvalidDataError(
            f"data.label is {label}, but s3 object {data.key} has {n_columns} columns: "
            f"allowed are 0 to {n_columns - 1}, or -{n_columns} to -1 from the end"
        )
    return column % n_columns


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
