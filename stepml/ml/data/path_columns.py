"""Columns that only the paths of objects have: folders named ``column=value``.

Hive, Spark and ``DataFrame.to_parquet(partition_cols=…)`` write such folders. Readers of objects do
not see these columns, so a job that may mean one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stepml.job.errors import InvalidDataError
from stepml.job.formats import FORMATS
from stepml.job.spec import Data
from stepml.job.spec_base import settled
from stepml.ml.data.objects import DataObject

_FOLDER = re.compile(r"(?P<column>[^=/]+)=[^/]*")


def review_paths(objects: Sequence[DataObject], data: Data) -> list[str]:
    """Return a note on the columns that only the objects' paths have, if there are any.

    Raises
    ------
    InvalidDataError
        ``data.label`` is one of these columns, or may be, as they are the last ones.
    """
    columns = _path_columns(objects)
    if not columns:
        return []
    if data.has_label is not False and FORMATS[settled(data.format)].label == "column":
        _require_label_in_objects(columns, data)
    found = ", ".join(f"{name!r} ({folder})" for name, folder in columns.items())
    return [f"left out, as only the path has it: {found}"]


def _path_columns(objects: Sequence[DataObject]) -> dict[str, str]:
    """Return the columns in the objects' paths, each with the first folder of that name."""
    folders = (folder for each in objects for folder in each.name.split("/")[:-1])
    found: dict[str, str] = {}
    for folder in folders:
        if (match := _FOLDER.fullmatch(folder)) is not None:
            found.setdefault(match["column"], folder)
    return found


def _require_label_in_objects(columns: dict[str, str], data: Data) -> None:
    if isinstance(data.label, str) and data.label in columns:
        raise InvalidDataError(
            f"data.label is {data.label!r}, a column that only the path has "
            f"({columns[data.label]}) and that is not read; write it into the objects"
        )
    if data.label is None or (isinstance(data.label, int) and data.label < 0):
        raise InvalidDataError(
            f"data.label: expected the name of a column, as the last columns may be those of the "
            f"path ({', '.join(columns.values())}), which are not read; got {data.label!r}"
        )
