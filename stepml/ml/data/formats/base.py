"""A data format: how to recognise, cut and read objects that hold rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.rows import DenseRows, Skipped, SparseRows
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange, Cut
from stepml.ml.data.remainders import fine_columns, stored_everywhere
from stepml.ml.data.source_format import SourceFormat

_SAMPLE_BYTES = 64 * 1024
_SAMPLED_OBJECTS = 3  # at most; the first one with rows is enough


class RowSource(Protocol):
    """The rows of a data set's objects.

    Attributes
    ----------
    skipped : Skipped
        The malformed rows that `read` has skipped so far, in all parts.
    """

    @property
    def skipped(self) -> Skipped: ...

    def read(self, part: ByteRange) -> Iterator[DenseRows | SparseRows]:
        """Yield the rows of ``part`` in blocks of at least one row, in bounded memory.

        A row belongs to the part in which it begins, so the parts of an object yield each row
        once.

        Raises
        ------
        BadRowError
            A row is malformed, and such rows are not skipped. The message has the object, the place
            and the content.
        InvalidDataError
            The object differs from the data set's first one.
        DamagedValueError
            The object changed while it was read.
        """
        ...


class DataFormat(ABC):
    """A way to write rows into objects.

    Attributes
    ----------
    name : str
        The name in a job's ``data.format``.
    endings : tuple of str
        The endings of file names, in lower case.
    """

    name: str
    endings: tuple[str, ...] = ()

    @abstractmethod
    def sniff(
        self, reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
    ) -> Layout:
        """Return the layout of the rows, from the starts of ``objects``.

        Parameters
        ----------
        reader : ObjectReader
        objects : sequence of DataObject
            The objects that are not empty; at least one.
        source : SourceFormat

        Raises
        ------
        EmptyDataError
            There are no rows.
        InvalidDataError
            The objects do not have this format, or do not match ``source``.
        """

    @abstractmethod
    def open_rows(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int,
    ) -> RowSource:
        """Return a reader of the rows of ``objects``.

        ``layout`` comes from `complete`. One request reads about ``request_bytes``.
        """

    def review(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        source: SourceFormat,
    ) -> list[str]:
        """Return notes on facts that `sniff` inferred, although ``source`` leaves them open.

        Raises
        ------
        InvalidDataError
            A fact is ambiguous. The message has the field that decides it.
        """
        return []

    def matches(self, name: str) -> bool:
        """Return whether a file called ``name`` has this format."""
        return name.lower().endswith(self.endings)

    def labels_beside(self, key: str) -> str | None:
        """Return the key of the object with the labels of ``key``; None: ``key`` has both."""
        return None

    def has_labels(self, reader: ObjectReader, objects: Sequence[DataObject]) -> bool:
        """Return whether labels are stored apart from the features, and present."""
        return False

    def cut_of(self, data: DataObject) -> Cut:
        """Return the places at which an object may be cut into byte ranges."""
        return Cut.ANYWHERE

    def fine_features(
        self, reader: ObjectReader, objects: Sequence[DataObject], layout: Layout
    ) -> tuple[int, ...]:
        """Return the features for which float32 is too coarse, judged by the first rows.

        ``layout`` comes from `complete`.
        """
        candidates: Sequence[int] = range(layout.n_features or 0)
        if layout.is_sparse:
            rows = self._first_rows(reader, objects, layout)
            if not isinstance(rows, SparseRows):
                return ()
            candidates = stored_everywhere(rows.indices, len(rows.y))
        rows = self._first_rows(reader, objects, replace(layout, fine=tuple(candidates)))
        if rows is None or rows.remainders is None:
            return ()
        found = fine_columns(_exact(rows, rows.remainders, candidates))
        return tuple(candidates[place] for place in found)

    def _first_rows(
        self, reader: ObjectReader, objects: Sequence[DataObject], layout: Layout
    ) -> DenseRows | SparseRows | None:
        lenient = replace(layout, on_bad_row="skip", missing="mean")
        source = self.open_rows(reader, objects, lenient, _SAMPLE_BYTES)
        for number, data in enumerate(objects[:_SAMPLED_OBJECTS]):
            part = ByteRange(number, 0, min(data.value_bytes, _SAMPLE_BYTES))
            for rows in source.read(part):
                return rows
        return None

    def complete(
        self, reader: ObjectReader, objects: Sequence[DataObject], layout: Layout
    ) -> Layout:
        """Return ``layout`` with the facts that only range tasks can find.

        Raises
        ------
        NotAvailableError
            The library that reads the format is not installed.
        InvalidDataError
            The columns do not match the layout.
        """
        return layout


def _exact(
    rows: DenseRows | SparseRows, remainders: NDArray[np.float32], features: Sequence[int]
) -> NDArray[np.float64]:
    """Return the values of ``features``, which have remainders, (n_rows, n_features)."""
    if isinstance(rows, DenseRows):
        return np.add(rows.X, remainders, dtype=np.float64)
    values = np.add(rows.values, remainders, dtype=np.float64)
    return values[np.isin(rows.indices, features)].reshape(len(rows.y), len(features))


def layout_without_columns(
    source: SourceFormat, n_features: int | None, *, is_csr: bool = False
) -> Layout:
    """Return the layout of rows whose features and labels are not columns of text."""
    return Layout(
        format=source.format,
        delimiter="",
        n_columns=0,
        label_column=0 if source.has_label else -1,
        header=False,
        column_names=(),
        n_features=n_features,
        missing=source.missing,
        on_bad_row=source.on_bad_row,
        is_csr=is_csr,
    )


def require_n_features(data: DataObject, stated: int | None, found: int) -> None:
    """Raise `InvalidDataError` if the job states another number of features than ``found``."""
    if stated not in (None, found):
        raise InvalidDataError(
            f"data.n_features is {stated}, but s3 object {data.key} has {found} features"
        )
