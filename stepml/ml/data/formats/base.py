"""A data format: how to recognise, cut and read objects that hold rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.rows import DenseRows, Skipped, SparseRows
from stepml.ml.data.formats.samples import (
    SAMPLE_REQUEST_BYTES,
    Sample,
    exact_values,
    first_rows,
    stored_everywhere,
)
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange, Cut
from stepml.ml.data.remainders import fine_columns
from stepml.ml.data.source_format import SourceFormat


class RowSource(ABC):
    """The rows of a data set's objects."""

    @property
    @abstractmethod
    def skipped(self) -> Skipped:
        """The malformed rows that `read` has skipped so far, in all parts."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """By code, the labels that `read` has found so far; empty if labels are numbers."""
        return ()

    @property
    def levels(self) -> Sequence[Sequence[str]]:
        """The levels of each category of the table that `read` has yielded so far, in order."""
        return ()

    @abstractmethod
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

    def labels_beside(self, key: str) -> tuple[str, ...]:
        """Return the keys that the labels of ``key`` may have; none if ``key`` has both."""
        return ()

    def select(self, objects: Sequence[DataObject]) -> tuple[list[DataObject], list[str]]:
        """Return the ``objects`` below a prefix to train on, and notes on the others."""
        return list(objects), []

    def has_labels(self, reader: ObjectReader, objects: Sequence[DataObject]) -> bool:
        """Return whether labels are stored apart from the features, and present."""
        return False

    def cut_of(self, data: DataObject) -> Cut:
        """Return the places at which an object may be cut into byte ranges."""
        return Cut.ANYWHERE

    def cuts_of(self, objects: Sequence[DataObject], layout: Layout) -> list[Cut]:
        """Return the places at which each of ``objects`` may be cut, if they have ``layout``."""
        if not layout.dialect.is_cut:
            return [Cut.NOWHERE] * len(objects)
        return [self.cut_of(each) for each in objects]

    def fine_features(
        self, reader: ObjectReader, objects: Sequence[DataObject], layout: Layout
    ) -> tuple[int, ...]:
        """Return the numbers of raw rows for which float32 is too coarse, by the first rows.

        ``layout`` comes from `complete`.
        """
        candidates: Sequence[int] = range(layout.n_numbers)
        if layout.is_sparse:
            candidates = stored_everywhere(self._first_rows(reader, objects, layout))
        found = self._fine_among(candidates, reader, objects, layout)
        times = () if layout.table is None else layout.table.times
        return tuple(sorted({*found, *times}))

    def _fine_among(
        self,
        candidates: Sequence[int],
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
    ) -> tuple[int, ...]:
        rows = self._first_rows(reader, objects, replace(layout, fine=tuple(candidates)))
        if not rows or not candidates:
            return ()
        if any(each.remainders is None for each in rows):  # the format's own values are float32
            return ()
        found = fine_columns(exact_values(rows, candidates))
        return tuple(candidates[place] for place in found)

    def _first_rows(
        self, reader: ObjectReader, objects: Sequence[DataObject], layout: Layout
    ) -> Sample:
        lenient = replace(layout, on_bad_row="skip", missing="keep")
        source = self.open_rows(reader, objects, lenient, SAMPLE_REQUEST_BYTES)
        numbers = [n for n, each in enumerate(objects) if self.cut_of(each) is not Cut.NO_ROWS]
        return first_rows(source.read, objects, numbers)

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


def layout_without_columns(
    source: SourceFormat,
    n_features: int | None,
    *,
    is_csr: bool = False,
    row_shape: tuple[int, ...] = (),
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
        validates=source.validates,
        validates_after=source.validates_after,
        weight=source.weight,
        row_shape=row_shape,
    )


def require_n_features(data: DataObject, stated: int | None, found: int) -> None:
    """Raise `InvalidDataError` if the job states another number of features than ``found``."""
    if stated not in (None, found):
        raise InvalidDataError(
            f"data.n_features is {stated}, but s3 object {data.key} has {found} features"
        )
