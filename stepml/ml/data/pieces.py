"""A range task: byte ranges → pieces, each with rows sorted by id and an index of buckets.

A piece is a container of arrays (`stepml.ml.data.arrays`):

==============  =====  =========================================================================
``buckets``     u64    (4097,) row at which each bucket of ids starts
``ids``         u64    (n,) ascending
``y``           f32    (n,) labels, or their codes (`LabelCodes`)
``X``           f32    (n, n_features); u8 if the data have bytes                     dense rows
``levels``      u64    (n, n_categories)                                   rows of such a table
``offsets``     u64    (4097,) pair at which each bucket starts                      sparse rows
``counts``      u32    (n,) pairs of each row                                        sparse rows
``indices``     u32    (nnz,) 0-based feature of each pair                           sparse rows
``values``      f32    (nnz,)                                                        sparse rows
``weights``     f32    (n,)                                            if rows have weights
``remainders``  f32    (n, n_fine) of dense rows, (nnz,) of sparse rows         if some are fine
==============  =====  =========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data import arrays
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.formats.base import RowSource
from stepml.ml.data.formats.rows import DenseRows, SparseRows, written_labels
from stepml.ml.data.labels import MAX_LABELS, LabelMoments, count_labels
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import REQUEST_BYTES, DataObject, ObjectReader, ObjectWriter
from stepml.ml.data.piece_statistics import PieceStatistics, RangeResult
from stepml.ml.data.ranges import ByteRange
from stepml.ml.data.remainders import Ends, ends_of, ends_of_piece, merged_ends
from stepml.ml.data.row_ids import (
    N_BUCKETS,
    RowIds,
    buckets,
    in_second_half,
    in_two_halves,
    object_salt,
    row_ids,
)

# Parsed rows in memory; packing needs the same again.
PIECE_BYTES = 64 * 2**20

_Shapes = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]
_U64, _U32, _F32 = np.dtype("<u8"), np.dtype("<u4"), np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class _IdentifiedRows:
    ids: RowIds
    rows: DenseRows | SparseRows
    object_index: int


def write_pieces(
    source: ObjectReader,
    store: ObjectWriter,
    objects: Sequence[DataObject],
    layout: Layout,
    parts: Sequence[ByteRange],
    *,
    seed: int,
    piece_key: Callable[[int], str],
    piece_bytes: int = PIECE_BYTES,
    request_bytes: int = REQUEST_BYTES,
) -> RangeResult:
    """Parse a range task's rows, write them as pieces and return the pieces' statistics.

    Skipped rows do not change the ids of other rows.

    Parameters
    ----------
    source : ObjectReader
        Reads the data.
    store : ObjectWriter
        Stores the pieces.
    objects : sequence of DataObject
        All objects of the data set, in the order that ``parts`` refers to.
    seed : int
        The data's seed; it determines the order of rows.
    piece_key : callable
        Returns the key of the n-th piece of this task, n from 0.
    piece_bytes : int
        Bytes of rows in a piece; about twice as much memory is needed.

    Raises
    ------
    BadRowError
        A row does not parse, and the layout does not skip such rows. The message has the object,
        the line and the content.
    DamagedValueError
        An object changed while it was read.
    """
    statistics: list[PieceStatistics] = []
    data_format = FORMATS[layout.format]
    complete = data_format.complete(source, objects, layout)
    complete = replace(complete, fine=data_format.fine_features(source, objects, complete))
    reader = data_format.open_rows(source, objects, complete, request_bytes)
    rows = _identified_rows(reader, objects, layout, parts, seed)
    for batch in _batches(rows, piece_bytes):
        piece = _write_piece(store, piece_key(len(statistics)), batch, complete)
        known = None if complete == layout else complete
        statistics.append(replace(piece, layout=known, label_names=reader.label_names))
        batch.clear()  # frees its memory before the next batch is read
    return RangeResult(statistics, reader.skipped, reader.levels)


def _write_piece(
    store: ObjectWriter, key: str, batch: Sequence[_IdentifiedRows], layout: Layout
) -> PieceStatistics:
    piece, statistics = _pack(key, batch, layout)
    return replace(statistics, etag=store.put(key, piece).etag)


def _identified_rows(
    rows: RowSource,
    objects: Sequence[DataObject],
    layout: Layout,
    parts: Sequence[ByteRange],
    seed: int,
) -> Iterator[_IdentifiedRows]:
    for part in parts:
        salt = object_salt(objects[part.object_index].name, seed)
        for some in rows.read(part):
            ids = row_ids(some.offsets, salt)
            if layout.names_validation:
                by_object = part.object_index >= layout.first_validation
                ids = in_two_halves(ids, by_object if some.validates is None else some.validates)
            yield _IdentifiedRows(ids, some, part.object_index)


def _batches(rows: Iterable[_IdentifiedRows], piece_bytes: int) -> Iterator[list[_IdentifiedRows]]:
    batch: list[_IdentifiedRows] = []
    batch_bytes = 0
    for each in rows:
        batch.append(each)
        batch_bytes += each.rows.value_bytes
        if batch_bytes >= piece_bytes:
            yield batch
            batch, batch_bytes = [], 0
    if batch:
        yield batch


def _pack(
    key: str, batch: Sequence[_IdentifiedRows], layout: Layout
) -> tuple[bytearray, PieceStatistics]:
    ids = np.concatenate([each.ids for each in batch])
    # Stable: rows of different objects that share an id stay in the order of the objects.
    order = np.argsort(ids, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    bucket_counts = np.bincount(buckets(ids), minlength=N_BUCKETS)
    dense = [each.rows for each in batch if isinstance(each.rows, DenseRows)]
    sparse = [each.rows for each in batch if isinstance(each.rows, SparseRows)]
    packed = _pack_dense(dense, places) if dense else _pack_sparse(sparse, places, bucket_counts)
    np.take(ids, order, out=packed.views["ids"])
    packed.views["buckets"][1:] = np.cumsum(bucket_counts)
    arrays.seal(packed.piece)
    trains = in_second_half(ids) if layout.names_validation else None
    statistics = _statistics(key, batch, packed, bucket_counts, trains)
    return packed.piece, replace(statistics, fine_ends=ends_of_piece(packed.views, layout.fine))


@dataclass(frozen=True, slots=True)
class _Packed:
    piece: bytearray
    views: dict[str, arrays.Array]  # of the piece, writable
    n_features: int
    nnz: int


def _common_shapes(n_rows: int) -> _Shapes:
    # The index comes first: one request reads it together with the header.
    return {"buckets": (_U64, (N_BUCKETS + 1,)), "ids": (_U64, (n_rows,)), "y": (_F32, (n_rows,))}


def _pack_dense(batch: Sequence[DenseRows], places: NDArray[np.intp]) -> _Packed:
    n_features = batch[0].X.shape[1]
    dtype = np.result_type(*(rows.X.dtype for rows in batch))
    shapes = _common_shapes(len(places)) | {"X": (dtype, (len(places), n_features))}
    if batch[0].remainders is not None:
        shapes["remainders"] = (_F32, (len(places), batch[0].remainders.shape[1]))
    if batch[0].levels is not None:
        shapes["levels"] = (_U64, (len(places), batch[0].levels.shape[1]))
    if batch[0].weights is not None:
        shapes["weights"] = (_F32, (len(places),))
    piece, views = arrays.allocate(shapes, {"kind": "dense"})
    first = 0
    for rows in batch:
        place = places[first : first + len(rows.y)]
        views["y"][place] = rows.y
        views["X"][place] = rows.X
        if rows.remainders is not None:
            views["remainders"][place] = rows.remainders
        if rows.levels is not None:
            views["levels"][place] = rows.levels
        if rows.weights is not None:
            views["weights"][place] = rows.weights
        first += len(rows.y)
    return _Packed(piece, views, n_features, len(places) * n_features)


def _pack_sparse(
    batch: Sequence[SparseRows], places: NDArray[np.intp], bucket_counts: NDArray[np.intp]
) -> _Packed:
    nnz = sum(len(rows.values) for rows in batch)
    shapes: _Shapes = {"buckets": (_U64, (N_BUCKETS + 1,)), "offsets": (_U64, (N_BUCKETS + 1,))}
    shapes |= _common_shapes(len(places)) | {
        "counts": (_U32, (len(places),)),
        "indices": (_U32, (nnz,)),
        "values": (_F32, (nnz,)),
    }
    if batch[0].remainders is not None:
        shapes["remainders"] = (_F32, (nnz,))
    if batch[0].weights is not None:
        shapes["weights"] = (_F32, (len(places),))
    piece, views = arrays.allocate(shapes, {"kind": "sparse"})
    views["counts"][places] = np.concatenate([rows.counts for rows in batch])
    row_starts = np.zeros(len(places) + 1, np.intp)
    np.cumsum(views["counts"], out=row_starts[1:])
    views["offsets"][1:] = row_starts[np.cumsum(bucket_counts)]
    first, n_features = 0, 0
    for rows in batch:
        place = places[first : first + len(rows.y)]
        targets = _pair_places(row_starts[place], rows.counts)
        views["y"][place] = rows.y
        views["indices"][targets] = rows.indices
        views["values"][targets] = rows.values
        if rows.remainders is not None:
            views["remainders"][targets] = rows.remainders
        if rows.weights is not None:
            views["weights"][place] = rows.weights
        n_features = max(n_features, int(rows.indices.max(initial=0)) + 1)
        first += len(rows.y)
    return _Packed(piece, views, n_features if nnz else 0, nnz)


def _pair_places(starts: NDArray[np.intp], counts: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Return the place of each pair; the pairs of each row start at ``starts``."""
    own_starts = np.cumsum(counts, dtype=np.intp) - counts
    return np.repeat(starts - own_starts, counts) + np.arange(counts.sum(dtype=np.intp))


def _statistics(
    key: str,
    batch: Sequence[_IdentifiedRows],
    packed: _Packed,
    bucket_counts: NDArray[np.intp],
    trains: NDArray[np.bool_] | None,
) -> PieceStatistics:
    written = np.concatenate([written_labels(each.rows) for each in batch])
    y = np.concatenate([each.rows.y for each in batch])
    labels, counts = count_labels(written, trains)
    are_few = len(labels) <= MAX_LABELS
    return PieceStatistics(
        key=key,
        first=(batch[0].object_index, int(batch[0].rows.offsets[0])),
        n_rows=len(y),
        bucket_counts=tuple(bucket_counts.tolist()),
        labels=tuple(labels.tolist()) if are_few else None,
        label_counts=tuple(counts.tolist()) if are_few else None,
        min_label=float(labels[0]),
        max_label=float(labels[-1]),
        n_features=packed.n_features,
        nnz=packed.nnz,
        value_bytes=len(packed.piece),
        label_moments=LabelMoments.of(written, y, trains),
        missing_values=sum(each.rows.n_missing for each in batch),
        is_bytes="X" in packed.views and packed.views["X"].dtype == np.uint8,
        validation_ends=merged_ends(each.rows.validation_ends for each in batch),
        weight_ends=_weight_ends(packed.views),
        etag="",
    )


def _weight_ends(views: dict[str, arrays.Array]) -> Ends:
    return ends_of(views["weights"].astype(np.float64)) if "weights" in views else None
