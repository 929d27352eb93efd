"""Rows of npz objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.base import RowSource
from stepml.ml.data.formats.npz.archive import Archive, ArrayStream, Contents
from stepml.ml.data.formats.row_checks import BLOCK_BYTES, Pairs, RowChecks, rows_per_block
from stepml.ml.data.formats.row_shapes import shape_note
from stepml.ml.data.formats.rows import MAX_ROW_BYTES, DenseRows, Skipped, SparseRows
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import ByteRange

# Of one row.
_MOST_PAIRS = MAX_ROW_BYTES // 8


@dataclass(frozen=True, slots=True)
class CsrBlocks:
    """The sizes of reads and blocks of a CSR matrix."""

    rows: int = 8192  # entries of indptr in one read
    pairs: int = BLOCK_BYTES // 8  # of a block


class NpzRows(RowSource):
    """Reads whole objects, because each array is stored in one piece."""

    def __init__(
        self,
        source: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int,
        csr_blocks: CsrBlocks,
    ) -> None:
        self._source = source
        self._objects = objects
        self._layout = layout
        self._request_bytes = request_bytes
        self._csr_blocks = csr_blocks
        self._checks = RowChecks(layout)

    @property
    def skipped(self) -> Skipped:
        return self._checks.skipped

    @property
    def label_names(self) -> tuple[str, ...]:
        return self._checks.label_names

    def read(self, part: ByteRange) -> Iterator[DenseRows | SparseRows]:
        if part.start > 0:  # belongs to the part that starts the object
            return
        data = self._objects[part.object_index]
        archive = Archive(self._source, data, self._request_bytes)
        weight = None if self._layout.weight is None else str(self._layout.weight)
        contents = archive.contents(has_label=self._layout.has_label, weight=weight)
        self._require_alike(data, contents)
        labels = self._open_labels(archive, contents.y) if self._layout.has_label else None
        weights = None if weight is None else archive.open(weight)
        read = self._sparse if contents.is_csr else self._dense
        for rows in read(data, archive, contents, labels, weights):
            if len(rows.y):
                yield rows

    def _open_labels(self, archive: Archive, name: str) -> ArrayStream:
        labels, kind = archive.open(name), self._layout.label_kind
        if (labels.dtype.kind in "US") != (kind == "text"):
            expected = "text" if kind == "text" else "numbers"
            raise InvalidDataError(
                f"{archive.title(name)} has type {labels.dtype}; expected are {expected}, as the "
                "other labels of the data are"
            )
        return labels

    def _require_alike(self, data: DataObject, found: Contents) -> None:
        kinds = {False: "dense", True: "CSR"}
        layout = self._layout
        expected = (layout.is_sparse, layout.n_features, layout.row_shape)
        if (found.is_csr, found.n_features, found.row_shape) != expected:
            raise InvalidDataError(
                f"s3 object {data.key} has {found.n_features} features"
                f"{shape_note(found.row_shape)}, {kinds[found.is_csr]}; the first object has "
                f"{layout.n_features}{shape_note(layout.row_shape)}, {kinds[layout.is_sparse]}"
            )

    def _dense(
        self,
        data: DataObject,
        archive: Archive,
        contents: Contents,
        labels: ArrayStream | None,
        weights: ArrayStream | None,
    ) -> Iterator[DenseRows]:
        X = archive.open(contents.X)
        step = rows_per_block(contents.n_features, X.dtype.itemsize)
        for first in range(0, contents.n_rows, step):
            n = min(step, contents.n_rows - first)
            rows = X.take(n).reshape(n, contents.n_features)
            y, own = self._take_labels(labels, n), None if weights is None else weights.take(n)
            yield self._checks.dense(data.key, first, y, rows, weights=own)

    def _sparse(
        self,
        data: DataObject,
        archive: Archive,
        contents: Contents,
        labels: ArrayStream | None,
        weights: ArrayStream | None,
    ) -> Iterator[SparseRows]:
        indices, values = archive.open("indices"), archive.open("data")
        first = 0
        for counts in _counts(archive, contents, values.shape[0], self._csr_blocks):
            y = self._take_labels(labels, len(counts))
            n = int(counts.sum())
            pairs = Pairs(counts, indices.take(n), values.take(n))
            own = None if weights is None else weights.take(len(counts))
            yield self._checks.sparse(data.key, first, y, pairs, own)
            first += len(counts)

    def _take_labels(self, labels: ArrayStream | None, n: int) -> NDArray[np.generic]:
        if labels is None:
            return np.zeros(n, np.float32)
        return self._checks.labels(_decoded(labels.take(n).reshape(n)))


def _counts(
    archive: Archive, contents: Contents, n_pairs: int, sizes: CsrBlocks
) -> Iterator[NDArray[np.intp]]:
    """Yield the number of pairs of each row, for a block of rows at a time."""
    stream = archive.open("indptr")
    behind = int(stream.take(1)[0])
    if behind:
        raise InvalidDataError(f"{archive.title('indptr')} starts with {behind} instead of 0")
    for first in range(0, contents.n_rows, sizes.rows):
        ends = stream.take(min(sizes.rows, contents.n_rows - first)).astype(np.int64)
        counts = np.diff(ends, prepend=behind)
        behind = int(ends[-1])
        _require_counts(archive, first, counts, contents)
        if behind > n_pairs:
            break
        yield from _blocks(counts, sizes.pairs)
    if behind != n_pairs:
        raise InvalidDataError(
            f"{archive.title('indptr')} ends with {behind}, but there are {n_pairs} values"
        )


def _require_counts(
    archive: Archive, first: int, counts: NDArray[np.intp], contents: Contents
) -> None:
    most = min(contents.n_features, _MOST_PAIRS)
    wrong = np.flatnonzero((counts < 0) | (counts > most))
    if len(wrong):
        raise InvalidDataError(
            f"{archive.title('indptr')} says that row {first + wrong[0]} has {counts[wrong[0]]} "
            f"values; 0 to {most} are possible"
        )


def _blocks(counts: NDArray[np.intp], n_pairs: int) -> Iterator[NDArray[np.intp]]:
    """Yield the counts of blocks of about ``n_pairs`` pairs."""
    block = (np.cumsum(counts) - counts) // n_pairs
    cuts = chain([0], np.flatnonzero(np.diff(block)) + 1, [len(counts)])
    for first, stop in pairwise(cuts):
        yield counts[first:stop]


def _decoded(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels that are bytes as text, and any other bytes in it as ``\\xff``."""
    return (
        np.strings.decode(labels, "utf-8", "backslashreplace")
        if labels.dtype.kind == "S"
        else labels
    )
