"""Columns that are copied beside the predictions, as the data have them."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from stepml.cli.errors import BadInputError
from stepml.cli.prediction_files import Column
from stepml.cli.prediction_source import Source
from stepml.job.formats import FORMATS as FACTS
from stepml.job.suggestions import did_you_mean
from stepml.ml.data import DataObject, Layout
from stepml.ml.data.formats.arrow import import_arrow
from stepml.ml.data.formats.columns import names_shown
from stepml.ml.data.formats.ranged_file import RangedFile
from stepml.ml.data.formats.text.fields import rows_of
from stepml.ml.data.formats.text.lines import place_of
from stepml.ml.data.formats.text.text_lines import TextLines
from stepml.ml.data.path_columns import path_values
from stepml.ml.data.ranges import ByteRange


class KeptColumns(ABC):
    """Some columns of a data set, read beside its rows and in their order.

    Parameters
    ----------
    source : Source
    layout : Layout
    names : sequence of str
        The names or indices of the columns.

    Raises
    ------
    BadInputError
        One is no column.
    """

    def __init__(self, source: Source, layout: Layout, names: Sequence[str]) -> None:
        self._source = source
        self._layout = layout
        self._places = {name: column_index(name, layout, "--keep") for name in names}

    @abstractmethod
    def of_object(self, data: DataObject) -> ObjectColumns:
        """Return the columns of one object."""


class ObjectColumns(ABC):
    """The columns of one object, from its first row on."""

    @abstractmethod
    def take(self, n_rows: int) -> dict[str, Column]:
        """Return the columns of the next ``n_rows`` rows."""


class NoColumns(KeptColumns, ObjectColumns):
    """No columns are copied."""

    def __init__(self) -> None:
        pass

    def of_object(self, data: DataObject) -> ObjectColumns:
        return self

    def take(self, n_rows: int) -> dict[str, Column]:
        return {}


class TextColumns(KeptColumns):
    """Columns of text, to the letter."""

    def of_object(self, data: DataObject) -> ObjectColumns:
        return _TextObject(list(self._places), self._cells(data))

    def _cells(self, data: DataObject) -> Iterator[list[str]]:
        """Yield the cells of each row, in the order of the names."""
        objects = self._source.objects
        lines = TextLines(self._source.reader, objects, self._layout)
        for block in lines.read(ByteRange(objects.index(data), 0, data.value_bytes)):
            places = [place_of(column, block.places) for column in self._places.values()]
            text = io.StringIO(block.text.decode("utf-8", "surrogateescape"), newline="")
            for row in filter(None, rows_of(text, self._layout.delimiter)):
                yield [row[place] for place in places]


class _TextObject(ObjectColumns):
    def __init__(self, names: Sequence[str], rows: Iterator[list[str]]) -> None:
        self._names = names
        self._rows = rows

    def take(self, n_rows: int) -> dict[str, Column]:
        rows = list(islice(self._rows, n_rows))
        return {name: [row[place] for row in rows] for place, name in enumerate(self._names)}


class ParquetColumns(KeptColumns):
    """Columns of Parquet, of any type, also those of an index; columns of the path are text."""

    def __init__(self, source: Source, layout: Layout, names: Sequence[str]) -> None:
        _, parquet = import_arrow("parquet", "Parquet")
        stored = parquet.read_schema(RangedFile(source.reader, source.objects[0])).names
        others = [name for name in names if name not in stored]
        super().__init__(source, layout, others)
        places = self._places
        self._names = {
            name: layout.column_names[places[name]] if name in places else name for name in names
        }

    def of_object(self, data: DataObject) -> ObjectColumns:
        _, parquet = import_arrow("parquet", "Parquet")
        names = self._names
        path = self._layout.path_names
        values = dict(zip(path, path_values(data, path), strict=True))
        own = list({name for name in names.values() if name not in values})
        file = parquet.ParquetFile(RangedFile(self._source.reader, data))
        return _ParquetObject(names, file.iter_batches(columns=own), values)


class _ParquetObject(ObjectColumns):
    def __init__(self, names: dict[str, str], batches: Iterator[Any], path: dict[str, str]) -> None:
        self._names = names  # by title
        self._batches = batches
        self._path = path  # values of the columns that only the path has
        self._batch: Any = None  # the rows that are not taken yet

    def take(self, n_rows: int) -> dict[str, Column]:
        own = self._taken(n_rows)
        return {
            title: [self._path[name] or None] * n_rows if name in self._path else own[name]
            for title, name in self._names.items()
        }

    def _taken(self, n_rows: int) -> dict[str, Any]:
        pyarrow, _ = import_arrow("parquet", "Parquet")
        taken: list[Any] = []
        while n_rows:
            if self._batch is None or not len(self._batch):
                self._batch = next(self._batches)
            taken.append(self._batch.slice(0, n_rows))
            self._batch = self._batch.slice(n_rows)
            n_rows -= len(taken[-1])
        table = pyarrow.Table.from_batches(taken)
        return {name: table[name].combine_chunks() for name in table.column_names}


def kept_columns(source: Source, layout: Layout, names: Sequence[str]) -> KeptColumns:
    """Return the columns with these names or indices.

    Raises
    ------
    BadInputError
        The format has no columns, or one is no column.
    """
    if not names:
        return NoColumns()
    facts = FACTS[layout.format]
    if facts.label != "column":
        raise BadInputError(f"--keep: {layout.format} has no columns to choose from")
    kind = TextColumns if facts.has_header else ParquetColumns
    return kind(source, layout, names)


def column_index(name: str, layout: Layout, option: str) -> int:
    """Return the 0-based place of a column that an ``option`` names, or gives by its index.

    Raises
    ------
    BadInputError
        There is no such column.
    """
    names, n_columns = layout.column_names, layout.n_columns
    if names.count(name) == 1:
        return names.index(name)
    try:
        index = int(name)
    except ValueError:
        known = f"one of {names_shown(names)}" if names else "an index: there is no header"
        hint = did_you_mean(name, names)
        raise BadInputError(f"{option}: expected {known}; got {name!r}{hint}") from None
    if not -n_columns <= index < n_columns:
        raise BadInputError(
            f"{option}: expected 0 to {n_columns - 1}, or -{n_columns} to -1 from the end, "
            f"got {index}"
        )
    return index % n_columns
