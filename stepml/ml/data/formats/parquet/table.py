"""Parquet tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepml.job.errors import InvalidDataError, StepMLError
from stepml.ml.data.formats.arrow import import_arrow
from stepml.ml.data.formats.columns import require_different_names
from stepml.ml.data.formats.parquet.footers import require_readable
from stepml.ml.data.formats.ranged_file import RangedFile
from stepml.ml.data.objects import REQUEST_BYTES, DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange
from stepml.ml.data.remainders import Bounds

MAGIC = b"PAR1"

# The columns of a row group are read in parallel; each reads ahead by its share of this.
_AHEAD_BYTES = 64 * 2**20
_LEAST_AHEAD_BYTES = 64 * 2**10
# Names of the columns of an index, as pandas writes it.
_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a table."""

    first: int  # row in the object
    columns: Mapping[str, Any]  # of pyarrow, by name


class Table:
    """The rows of one parquet object.

    Raises
    ------
    NotAvailableError
        pyarrow is not installed.
    InvalidDataError
        The object is not parquet, is damaged, or has columns that are not numbers.
    """

    def __init__(
        self, reader: ObjectReader, data: DataObject, request_bytes: int = REQUEST_BYTES
    ) -> None:
        pyarrow, parquet = import_arrow("parquet", "data.format 'parquet'")
        self._data = data
        self._errors = (pyarrow.ArrowException, OSError, ValueError)
        self._reader = reader
        self._request_bytes = request_bytes
        self._parquet = parquet
        with self.damages_named():
            self._metadata = parquet.read_metadata(RangedFile(reader, data))
            schema = self._metadata.schema.to_arrow_schema()
        require_readable(data, self._metadata)
        require_different_names(data, schema.names)
        self.types = pyarrow.types
        self.column_types: dict[str, Any] = {field.name: field.type for field in schema}
        self.column_names: tuple[str, ...] = tuple(schema.names)
        index = _index_columns(schema)
        self.index_names = [
            name for name in schema.names if name in index or _INDEX.fullmatch(name)
        ]

    @property
    def n_rows(self) -> int:
        """The number of rows, as the footer has it."""
        return int(self._metadata.num_rows)

    def bounds(self) -> Bounds:
        """Return the bounds of each column, in the row groups of which the footer has them."""
        groups = [self._metadata.row_group(n) for n in range(self._metadata.num_row_groups)]
        pairs = np.full((max(1, len(groups)), len(self.column_names), 2), np.nan)
        for group, found in zip(groups, pairs, strict=False):
            for place in range(len(found)):
                statistics = group.column(place).statistics
                if statistics is not None and statistics.has_min_max:
                    ends = statistics.min, statistics.max
                    if all(isinstance(end, (int, float)) for end in ends):  # not of float16
                        found[place] = ends
        return Bounds(np.fmin.reduce(pairs[..., 0]), np.fmax.reduce(pairs[..., 1]))

    def batches(self, part: ByteRange, n_rows: int, names: Sequence[str]) -> Iterator[Batch]:
        """Yield the rows of the row groups that begin in ``part``, at most ``n_rows`` at a time.

        Only the columns with these ``names`` are read.
        """
        first = 0
        for number in range(self._metadata.num_row_groups):
            group = self._metadata.row_group(number)
            if group.num_rows and part.start <= self._start(group, number) < part.stop:
                yield from self._batches(number, first, n_rows, names)
            first += group.num_rows

    def _start(self, group: Any, number: int) -> int:
        columns = (group.column(index) for index in range(group.num_columns))
        start = min(
            min(filter(None, (each.dictionary_page_offset, each.data_page_offset)), default=0)
            for each in columns
        )
        # A start out of bounds is in no range: its rows would be missing without an error.
        if not 0 < start < self._data.value_bytes:
            raise InvalidDataError(
                f"s3 object {self._data.key}: row group {number} starts at byte {start} of "
                f"{self._data.value_bytes}"
            )
        return start

    def _batches(
        self, number: int, first: int, n_rows: int, names: Sequence[str]
    ) -> Iterator[Batch]:
        share = _AHEAD_BYTES // len(names)
        with self.damages_named():
            file = self._parquet.ParquetFile(
                RangedFile(self._reader, self._data),
                metadata=self._metadata,
                buffer_size=max(_LEAST_AHEAD_BYTES, min(share, self._request_bytes)),
                pre_buffer=False,  # it would hold the whole row group
                page_checksum_verification=True,
            )
            batches = file.iter_batches(
                n_rows, row_groups=[number], columns=list(names), use_threads=False
            )
        behind = first + self._metadata.row_group(number).num_rows
        while True:
            with self.damages_named():
                batch = next(batches, None)
            if batch is None:
                break
            yield Batch(first, dict(zip(batch.schema.names, batch.columns, strict=True)))
            first += batch.num_rows
        if first != behind:
            raise InvalidDataError(
                f"s3 object {self._data.key}: row group {number} lacks {behind - first} rows"
            )

    @contextmanager
    def damages_named(self) -> Iterator[None]:
        """Turn errors of pyarrow into `InvalidDataError`, which names the object."""
        try:
            yield
        except StepMLError:
            raise
        except self._errors as exc:
            problem = " ".join(str(exc).split())  # Arrow's messages have several lines
            raise InvalidDataError(f"s3 object {self._data.key}: {problem}") from exc


def _index_columns(schema: Any) -> set[str]:
    """Return the names of the index's columns in the metadata that pandas wrote, if any."""
    try:
        stored = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
    except (ValueError, LookupError, TypeError):
        return set()
    # A range is described by an object instead of a name, and has no column.
    return {each for each in stored if isinstance(each, str)} if isinstance(stored, list) else set()
