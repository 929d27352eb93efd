"""Collects the rows of an interval of positions from all pieces, in the order of ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import DamagedValueError
from stepml.ml.data import arrays
from stepml.ml.data.manifest import (
    Interval,
    Manifest,
    Piece,
    ShardKind,
    check_shard_size,
    rows_name,
)
from stepml.ml.data.objects import ObjectReader
from stepml.ml.data.remainders import Remainders, places_among
from stepml.ml.data.row_ids import N_BUCKETS, RowIds
from stepml.ml.data.shards import Shard, empty_dense, empty_sparse
from stepml.ml.matrices import CsrMatrix

# Requests wait for the network, not for the processor.
_THREADS = 8
_REQUEST_BYTES = 8 * 2**20
# Two requests of 2 MB, and five times as much for the places of the pairs.
_REQUEST_PAIRS = 2**19
# Enough for the header and the one or two indices of 4097 × 8 bytes.
_PREFIX_BYTES = 80 * 1024

_Counts = NDArray[np.uint32]
_Targets = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Slice:
    """The rows of a piece that lie in the buckets of an interval."""

    piece: Piece
    places: dict[str, arrays.ArrayPlace]
    first: int  # row in the piece
    behind: int
    pairs: tuple[int, int]  # first pair and one behind the last; (0, 0) for dense pieces
    request_pairs: int  # pairs in a request, at most

    @property
    def n_rows(self) -> int:
        return self.behind - self.first


def assemble(
    reader: ObjectReader,
    manifest: Manifest,
    interval: Interval,
    kind: ShardKind,
    *,
    request_pairs: int = _REQUEST_PAIRS,
) -> Shard:
    """Return the rows at the positions ``interval`` of the order of ids.

    The shard is filled in place in its container, so packing it needs no copy. Additional memory:
    about 40 bytes a row and 8 requests.

    Parameters
    ----------
    reader : ObjectReader
        Reads the pieces.
    manifest : Manifest
    interval : Interval
    kind : {"dense", "sparse"}
        From `shard_kind`, which refuses impossible kinds.
    request_pairs : int
        Pairs of a sparse piece that one request reads, at most.

    Raises
    ------
    InvalidDataError
        The shard would need more than 1 GiB.
    DamagedValueError
        A piece does not match the manifest.
    """
    if not 0 <= interval.start < interval.stop <= manifest.n_rows:
        raise ValueError(f"{interval} is not within the positions 0 to {manifest.n_rows}")
    if kind == "sparse" and not manifest.layout.is_sparse:
        raise ValueError("dense rows are not made sparse")
    check_shard_size(manifest, kind, interval.n_rows)
    buckets = _Buckets.around(manifest, interval)
    rows = rows_name(manifest.fingerprint, interval, kind)
    with ThreadPoolExecutor(_THREADS) as threads:
        slices = list(
            threads.map(
                lambda piece: _slice(reader, piece, buckets, request_pairs), manifest.pieces
            )
        )
        slices = [each for each in slices if each.n_rows]
        ids = np.concatenate(list(threads.map(lambda each: _ids(reader, each), slices)))
        ends = list(accumulate(each.n_rows for each in slices))
        targets = np.split(_targets(ids, buckets, interval), ends[:-1])
        counts = list(threads.map(lambda each: _counts(reader, each), slices))
        if kind == "sparse":
            own_counts = _counts_in_order(interval.n_rows, targets, counts)
            shard = empty_sparse(own_counts, manifest.n_features, rows)
        else:
            fine = manifest.layout.fine
            shard = empty_dense(interval.n_rows, manifest.n_features, rows, fine=fine)
        # Making the list raises the errors of the copies.
        list(
            threads.map(
                lambda part, to, n: _copy_slice(reader, part, to, n, shard), slices, targets, counts
            )
        )
    return shard


@dataclass(frozen=True, slots=True)
class _Buckets:
    first: int
    behind: int
    position: int  # of the first row of the first bucket
    n_rows: int  # in all of them

    @classmethod
    def around(cls, manifest: Manifest, interval: Interval) -> _Buckets:
        ends = np.array(list(accumulate(manifest.bucket_counts)))
        first = int(np.searchsorted(ends, interval.start, side="right"))
        last = int(np.searchsorted(ends, interval.stop - 1, side="right"))
        position = int(ends[first]) - manifest.bucket_counts[first]
        return cls(first, last + 1, position, int(ends[last]) - position)


def _slice(reader: ObjectReader, piece: Piece, buckets: _Buckets, request_pairs: int) -> _Slice:
    prefix = _read(reader, piece, 0, min(_PREFIX_BYTES, piece.value_bytes))
    found = arrays.header(prefix)
    names_ids = "ids" in found.places and found.places["ids"].shape == (piece.n_rows,)
    if not names_ids or found.value_bytes != piece.value_bytes:
        raise DamagedValueError(f"the piece {piece.key} is not the one that the manifest names")
    first, behind = _index(prefix, found.places["buckets"], buckets)
    pairs = (0, 0)
    if "offsets" in found.places:
        pairs = _index(prefix, found.places["offsets"], buckets)
    return _Slice(piece, found.places, first, behind, pairs, request_pairs)


def _index(prefix: bytes, place: arrays.ArrayPlace, buckets: _Buckets) -> tuple[int, int]:
    starts = np.frombuffer(prefix, place.dtype, N_BUCKETS + 1, place.start)
    return int(starts[buckets.first]), int(starts[buckets.behind])


def _ids(reader: ObjectReader, part: _Slice) -> RowIds:
    return _load(reader, part, "ids", part.first, part.behind)


def _counts(reader: ObjectReader, part: _Slice) -> _Counts:
    """Return the pairs of each row; 0 for dense pieces."""
    if "counts" not in part.places:
        return np.zeros(part.n_rows, np.uint32)
    counts = _load(reader, part, "counts", part.first, part.behind)
    if counts.sum(dtype=np.int64) != part.pairs[1] - part.pairs[0]:
        raise DamagedValueError(f"the index of the piece {part.piece.key} is damaged")
    return counts


def _counts_in_order(
    n_rows: int, targets: Sequence[_Targets], counts: Sequence[_Counts]
) -> NDArray[np.int64]:
    own_counts = np.zeros(n_rows, np.int64)
    for rows, row_counts in zip(targets, counts, strict=True):
        inside = rows >= 0
        own_counts[rows[inside]] = row_counts[inside]
    return own_counts


def _load(reader: ObjectReader, part: _Slice, name: str, first: int, behind: int) -> arrays.Array:
    place = part.places[name]
    start, stop = place.rows(first, behind)
    data = _read(reader, part.piece, start, stop)
    return np.frombuffer(data, place.dtype).reshape(behind - first, *place.shape[1:])


def _read(reader: ObjectReader, piece: Piece, start: int, stop: int) -> bytes:
    data = reader.load_range(piece.key, start, stop)
    if len(data) != stop - start:
        raise DamagedValueError(
            f"the piece {piece.key} ends at byte {start + len(data)} instead of {piece.value_bytes}"
        )
    return data


def _targets(ids: RowIds, buckets: _Buckets, interval: Interval) -> _Targets:
    """Return the place of each loaded row in the shard; -1: it is not in the shard."""
    if len(ids) != buckets.n_rows:
        raise DamagedValueError(
            f"the pieces hold {len(ids)} rows where the manifest says {buckets.n_rows}"
        )
    # Stable: rows with the same id stay in the order of the pieces, which is that of the objects.
    order = np.argsort(ids, kind="stable")
    targets = np.empty(len(ids), np.intp)
    targets[order] = np.arange(len(ids)) + (buckets.position - interval.start)
    targets[(targets < 0) | (targets >= interval.n_rows)] = -1
    return targets


def _copy_slice(
    reader: ObjectReader, part: _Slice, targets: _Targets, counts: _Counts, shard: Shard
) -> None:
    labels = _load(reader, part, "y", part.first, part.behind)
    inside = targets >= 0
    shard.y[targets[inside]] = labels[inside]
    if isinstance(shard.X, CsrMatrix):
        _copy_pairs(reader, part, targets, counts, shard.X)
    elif "X" in part.places:
        _copy_rows(reader, part, targets, "X", shard.X)
        if shard.remainders is not None and "remainders" in part.places:
            _copy_rows(reader, part, targets, "remainders", shard.remainders.values)
    else:
        _spread_pairs(reader, part, targets, counts, shard.X, shard.remainders)


def _copy_rows(
    reader: ObjectReader, part: _Slice, targets: _Targets, name: str, X: NDArray[np.float32]
) -> None:
    step = max(1, _REQUEST_BYTES // (4 * X.shape[1]))
    for first in range(0, part.n_rows, step):
        chosen = targets[first : first + step]
        rows = _load(reader, part, name, part.first + first, part.first + first + len(chosen))
        inside = chosen >= 0
        X[chosen[inside]] = rows[inside]


def _copy_pairs(
    reader: ObjectReader, part: _Slice, targets: _Targets, counts: _Counts, X: CsrMatrix
) -> None:
    starts = np.cumsum(counts, dtype=np.int64) - counts
    shifts = X.indptr[targets] - starts  # from the place in the slice to that in the shard
    for pairs in _pairs(reader, part, counts, X.n_features):
        inside = targets[pairs.rows] >= 0
        places = np.arange(pairs.first, pairs.first + len(pairs.indices)) + shifts[pairs.rows]
        X.indices[places[inside]] = pairs.indices[inside]
        X.values[places[inside]] = pairs.values[inside]


def _spread_pairs(
    reader: ObjectReader,
    part: _Slice,
    targets: _Targets,
    counts: _Counts,
    X: NDArray[np.float32],
    remainders: Remainders | None,
) -> None:
    for pairs in _pairs(reader, part, counts, X.shape[1]):
        rows = targets[pairs.rows]
        inside = rows >= 0
        X[rows[inside], pairs.indices[inside]] = pairs.values[inside]
        if remainders is not None and "remainders" in part.places:
            first = part.pairs[0] + pairs.first
            rest = _load(reader, part, "remainders", first, first + len(rows))
            places, is_fine = places_among(remainders.features, pairs.indices)
            own = inside & is_fine
            remainders.values[rows[own], places[own]] = rest[own]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairs of one request."""

    first: int  # place of the first pair in the slice
    rows: NDArray[np.intp]  # of the slice, of each pair
    indices: NDArray[np.uint32]
    values: NDArray[np.float32]


def _pairs(
    reader: ObjectReader, part: _Slice, counts: _Counts, n_features: int
) -> Iterator[_Pairs]:
    start, stop = part.pairs
    ends = np.cumsum(counts, dtype=np.int64)
    for first in range(0, stop - start, part.request_pairs):
        behind = min(first + part.request_pairs, stop - start)
        indices = _load(reader, part, "indices", start + first, start + behind)
        if indices.max() >= n_features:
            raise DamagedValueError(f"an index of the piece {part.piece.key} is damaged")
        values = _load(reader, part, "values", start + first, start + behind)
        yield _Pairs(first, _rows_of_pairs(ends, first, behind), indices, values)


def _rows_of_pairs(ends: NDArray[np.int64], first: int, behind: int) -> NDArray[np.intp]:
    """Return the row of each pair of ``[first, behind)``; the pairs of rows end at ``ends``."""
    row = np.searchsorted(ends, first, side="right")
    last = np.searchsorted(ends, behind - 1, side="right")
    bounds = np.concatenate(([first], np.minimum(ends[row : last + 1], behind)))
    return np.repeat(np.arange(row, last + 1), np.diff(bounds))
