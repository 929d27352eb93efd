"""Columns that only the paths of objects have: folders named ``column=value``.

Hive, Spark and ``DataFrame.to_parquet(partition_cols=…)`` write such folders. With
``data.path_columns``, they are columns behind those of the objects. Without it, a job that may mean
one of them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from stepml.job.data import Data
from stepml.job.errors import InvalidDataError
from stepml.job.formats import FORMATS
from stepml.job.spec_base import settled
from stepml.ml.data.objects import DataObject

_FOLDER = re.compile(r"(?P<column>[^=/]+)=(?P<value>[^/]*)")
_MISSING = "__HIVE_DEFAULT_PARTITION__"
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class PathColumn:
    """A column that the paths of a data set's objects have."""

    name: str
    values: tuple[str, ...]  # different ones, in order; empty: missing

    @property
    def telling_values(self) -> tuple[str, ...]:
        """The values that tell the type: words, if there are any."""
        return tuple(each for each in self.values if each and not _is_number(each)) or self.values

    def __str__(self) -> str:
        """Return the column for messages."""
        shown = ", ".join(each or "missing" for each in self.values[:_MOST_NAMED])
        return f"{self.name!r} ({shown}{', …' if len(self.values) > _MOST_NAMED else ''})"


def find_path_columns(objects: Sequence[DataObject]) -> tuple[PathColumn, ...]:
    """Return the columns in the paths of the objects, relative to ``data.uri``.

    Raises
    ------
    InvalidDataError
        Some objects have no such folder.
    """
    return columns_of_paths(objects, list(_folders(objects)))


def columns_of_paths(objects: Sequence[DataObject], names: Sequence[str]) -> tuple[PathColumn, ...]:
    """Return the columns with these names, with their values in the objects' paths."""
    rows = [path_values(each, names) for each in objects]
    columns = zip(names, zip(*rows, strict=True), strict=True)
    return tuple(PathColumn(name, tuple(dict.fromkeys(values))) for name, values in columns)


def path_values(data: DataObject, names: Sequence[str]) -> tuple[str, ...]:
    """Return the values of columns in the path of an object; empty ones are missing.

    Folders above ``data.uri`` count as well: objects for validation have their own.

    Raises
    ------
    InvalidDataError
        There is no folder of one of the columns.
    """
    found = dict(_pairs(data.key))
    lacks = next((name for name in names if name not in found), None)
    if lacks is not None:
        raise InvalidDataError(
            f"s3 object {data.key} is in no folder {lacks}=…, as other objects are; "
            "data.path_columns false leaves such columns out"
        )
    return tuple(found[name] for name in names)


def review_paths(objects: Sequence[DataObject], data: Data) -> list[str]:
    """Return a note on the columns that only the objects' paths have, if there are any.

    Raises
    ------
    InvalidDataError
        ``data.label`` may be one of these columns: they are the last ones, or are not read. Or
        ``data.path_columns`` is set, and there are none.
    """
    folders = _folders(objects)
    if not folders and data.path_columns:
        raise InvalidDataError(
            f"data.path_columns: expected objects in folders such as year=2020/ below {data.uri}, "
            f"got {objects[0].name}"
        )
    if not folders:
        return []
    if data.has_label is not False and FORMATS[settled(data.format)].label == "column":
        _require_clear_label(folders, data)
    if data.path_columns:
        columns = map(str, find_path_columns(objects))
        return [f"columns of the path: {', '.join(columns)}"]
    found = ", ".join(f"{name!r} ({folder})" for name, folder in folders.items())
    return [f"left out, as only the path has it: {found}; data.path_columns true reads it"]


def require_own_names(data: DataObject, names: Sequence[str], path_names: Sequence[str]) -> None:
    """Raise `InvalidDataError` if a column is in an object and in its path."""
    both = next((name for name in path_names if name in names), None)
    if both is not None:
        raise InvalidDataError(
            f"s3 object {data.key}: column {both[:40]!r} is in the object and in its path; set "
            "data.path_columns to false, which leaves out that of the path"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _folders(objects: Sequence[DataObject]) -> dict[str, str]:
    """Return the columns in the objects' paths, each with the first folder of that name."""
    folders = (folder for each in objects for folder in each.name.split("/")[:-1])
    found: dict[str, str] = {}
    for folder in folders:
        if (match := _FOLDER.fullmatch(folder)) is not None:
            found.setdefault(unquote(match["column"]), folder)
    return found


def _pairs(key: str) -> Iterator[tuple[str, str]]:
    for folder in key.split("/")[:-1]:
        if (match := _FOLDER.fullmatch(folder)) is not None:
            value = "" if match["value"] == _MISSING else unquote(match["value"])
            yield unquote(match["column"]), value


def _require_clear_label(folders: dict[str, str], data: Data) -> None:
    if isinstance(data.label, str):
        if data.label in folders and not data.path_columns:
            raise InvalidDataError(
                f"data.label is {data.label!r}, a column that only the path has "
                f"({folders[data.label]}); set data.path_columns to true, which reads it"
            )
    elif data.label is None or data.label < 0:
        raise InvalidDataError(
            "data.label: expected the name of a column, as the last columns may be those of the "
            f"path ({', '.join(folders.values())}); got {data.label!r}"
        )
