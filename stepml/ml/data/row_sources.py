"""Where rows come from: one class for each way in which objects hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from stepml.ml.data.formats.idx import is_compressed, is_images
from stepml.ml.data.formats.rows import DenseRows, Skipped, SparseRows
from stepml.ml.data.idx_rows import IdxRows
from stepml.ml.data.layout import Layout
from stepml.ml.data.npz_rows import NpzRows
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.parquet_rows import ParquetRows, with_columns
from stepml.ml.data.ranges import ByteRange, Cut
from stepml.ml.data.text_rows import TextRows


class RowSource(Protocol):
    """The rows of a data set's objects.

    Attributes
    ----------
    skipped : Skipped
        The rows that `read` has left out so far, of all parts: where the layout says so, the
        others do not miss those that do not parse.
    """

    @property
    def skipped(self) -> Skipped: ...

    def read(self, part: ByteRange) -> Iterator[DenseRows | SparseRows]:
        """Yield the rows that belong to ``part``, some at a time and in bounded memory.

        A row belongs to the part in which it begins, so the parts of a cut object have all rows
        once. None of what is yielded is empty.

        Raises
        ------
        BadRowError
            For the first row that is none, unless such rows are skipped; names the object, the
            place and the content.
        InvalidDataError
            If the object is not like the data set's first one.
        DamagedValueError
            If the object changed while it was read.
        """
        ...


def open_rows(
    source: ObjectReader, objects: Sequence[DataObject], layout: Layout, request_bytes: int
) -> RowSource:
    """Return what reads the rows of ``objects``, which are written as ``layout`` says."""
    if layout.format == "parquet":
        return ParquetRows(source, objects, layout)
    if layout.format == "npz":
        return NpzRows(source, objects, layout, request_bytes)
    if layout.format == "idx":
        return IdxRows(source, objects, layout, request_bytes)
    return TextRows(source, objects, layout, request_bytes)


def completed(source: ObjectReader, objects: Sequence[DataObject], layout: Layout) -> Layout:
    """Return ``layout`` with what only range tasks find out: the columns of parquet objects.

    Raises
    ------
    NotAvailableError
        If what reads the format is not installed.
    InvalidDataError
        If the columns are not what the layout says.
    """
    return with_columns(source, objects, layout) if layout.format == "parquet" else layout


def cut_of(data: DataObject, layout: Layout) -> Cut:
    """Return how an object of the data set may be cut into byte ranges."""
    if layout.format == "idx" and not is_images(data.name):
        return Cut.NO_ROWS
    if layout.format == "npz" or (layout.format == "idx" and is_compressed(data.name)):
        return Cut.NOWHERE
    return Cut.ANYWHERE
