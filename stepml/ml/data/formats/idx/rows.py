"""Rows of idx objects."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import DataNotFoundError, InvalidDataError
from stepml.ml.data.formats.base import RowSource
from stepml.ml.data.formats.idx import header as idx
from stepml.ml.data.formats.ranged_file import RangedFile, buffered
from stepml.ml.data.formats.row_checks import BLOCK_BYTES, RowChecks, rows_per_block
from stepml.ml.data.formats.row_shapes import shape_note
from stepml.ml.data.formats.rows import DenseRows, Skipped
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange

_DAMAGES = (gzip.BadGzipFile, EOFError, zlib.error)


class Records:
    """The records of one idx object, read from first to last.

    Raises
    ------
    InvalidDataError
        The object is not idx, is damaged, or its length does not match its header.
    """

    def __init__(self, reader: ObjectReader, data: DataObject, request_bytes: int) -> None:
        self._reader = reader
        self._data = data
        self._request_bytes = request_bytes
        self.is_compressed = idx.is_compressed(data.name)
        self._file = self._unpacked() if self.is_compressed else self._start()
        try:
            self.header = idx.read_header(self._file, data.key)
        except _DAMAGES as exc:
            raise self._damaged(exc) from exc
        if not self.is_compressed and data.value_bytes != self.header.total_bytes:
            raise InvalidDataError(
                f"s3 object {data.key} has {data.value_bytes} bytes, but its idx header, "
                f"{self.header.shape} of {self.header.dtype}, requires {self.header.total_bytes}"
            )

    @property
    def key(self) -> str:
        """The object's key."""
        return self._data.key

    def _unpacked(self) -> BinaryIO:
        packed = cast(BinaryIO, buffered(self._reader, self._data, self._request_bytes))
        return cast(BinaryIO, gzip.GzipFile(fileobj=packed))

    def _start(self) -> BinaryIO:
        return BytesIO(RangedFile(self._reader, self._data).read(idx.MAX_HEADER_BYTES))

    def select(self, records: range) -> None:
        """Continue with ``records``; only for objects that are not compressed."""
        start, stop = (
            self.header.header_bytes + each * self.header.record_bytes
            for each in (records.start, records.stop)
        )
        file = buffered(self._reader, self._data, self._request_bytes, stop)
        file.seek(start)
        self._file = cast(BinaryIO, file)

    def take(self, n: int) -> NDArray[np.generic]:
        """Return the next ``n`` records, one a row."""
        wanted = n * self.header.record_bytes
        try:
            data = self._file.read(wanted)
        except _DAMAGES as exc:
            raise self._damaged(exc) from exc
        if len(data) < wanted:
            raise InvalidDataError(
                f"s3 object {self._data.key} ends before the last one of its "
                f"{self.header.n_records} records"
            )
        return self.header.values(data)

    def require_end(self) -> None:
        """Refuse content behind the last record; in compressed objects, compare the checksum."""
        try:
            more = self._file.read(1)
        except _DAMAGES as exc:
            raise self._damaged(exc) from exc
        if more:
            raise InvalidDataError(
                f"s3 object {self._data.key} continues behind the {self.header.n_records} records "
                "of its idx header"
            )

    def _damaged(self, exc: Exception) -> InvalidDataError:
        return InvalidDataError(f"s3 object {self._data.key}: {exc}")


class IdxRows(RowSource):
    """Reads images with their labels; objects of labels have no rows.

    The first part of a compressed object reads all of it.
    """

    def __init__(
        self,
        source: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self._block_bytes = block_bytes
        self._source = source
        self._objects = objects
        self._layout = layout
        self._request_bytes = request_bytes
        self._checks = RowChecks(layout, "value {} of the image".format)

    @property
    def skipped(self) -> Skipped:
        return self._checks.skipped

    @property
    def label_names(self) -> tuple[str, ...]:
        return self._checks.label_names

    def read(self, part: ByteRange) -> Iterator[DenseRows]:
        data = self._objects[part.object_index]
        if not idx.is_images(data.name) or (idx.is_compressed(data.name) and part.start > 0):
            return
        images = Records(self._source, data, self._request_bytes)
        labels = self._labels(data)
        require_labels(images, labels)
        self._require_alike(data, images.header)
        if images.is_compressed:
            yield from self._rows(data, images, labels, range(images.header.n_records))
            for each in filter(None, (images, labels)):
                each.require_end()
        else:
            yield from self._from(data, images, labels, images.header.records_of(part))

    def _labels(self, images: DataObject) -> Records | None:
        if not self._layout.has_label:
            return None
        data = labels_object(self._objects, images)
        return Records(self._source, data, self._request_bytes)

    def _require_alike(self, data: DataObject, found: idx.Header) -> None:
        layout = self._layout
        if (found.n_values, found.row_shape) != (layout.n_features, layout.row_shape):
            raise InvalidDataError(
                f"s3 object {data.key} has images of {found.n_values} values"
                f"{shape_note(found.row_shape)}, the first object of {layout.n_features}"
                f"{shape_note(layout.row_shape)}"
            )

    def _from(
        self, data: DataObject, images: Records, labels: Records | None, records: range
    ) -> Iterator[DenseRows]:
        for each in filter(None, (images, labels)):
            each.select(records)
        return self._rows(data, images, labels, records)

    def _rows(
        self, data: DataObject, images: Records, labels: Records | None, records: range
    ) -> Iterator[DenseRows]:
        step = rows_per_block(images.header.n_values, block_bytes=self._block_bytes)
        for first in records[::step]:
            n = min(step, records.stop - first)
            y = np.zeros(n, np.float32) if labels is None else labels.take(n)[:, 0]
            rows = self._checks.dense(data.key, first, y, images.take(n))
            if len(rows.y):
                yield rows


def labels_object(objects: Sequence[DataObject], images: DataObject) -> DataObject:
    """Return the object that has the labels of ``images``.

    Raises
    ------
    DataNotFoundError
        It is not among the ``objects``.
    """
    places = idx.labels_beside(images.key)
    by_key = {each.key: each for each in objects}
    found = next((by_key[key] for key in places if key in by_key), None)
    if found is None:
        raise DataNotFoundError(
            f"s3 object {images.key} has no labels: nothing lies at {' or '.join(places)}"
        )
    return found


def require_labels(images: Records, labels: Records | None) -> None:
    """Refuse labels unless there is one for each image.

    Raises
    ------
    InvalidDataError
        The message has the object of the labels and both numbers.
    """
    n_images = images.header.n_records
    if labels is not None and labels.header.shape != (n_images,):
        found = " × ".join(map(str, labels.header.shape))
        raise InvalidDataError(
            f"s3 object {labels.key} has {found} labels for the {n_images} images of {images.key}"
        )
