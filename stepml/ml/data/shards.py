"""Shards: the rows of an interval of positions, gathered from all pieces in the order of ids."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import DamagedValueError
from stepml.ml.data import arrays
from stepml.ml.data.manifest import Interval, Manifest, Piece, check_dense_size
from stepml.ml.data.objects import Buffer, ObjectReader
from stepml.ml.data.row_ids import N_BUCKETS, RowIds

# Requests wait for the network, not for the processor.
_THREADS = 8
_REQUEST_BYTES = 8 * 2**20
# Holds the header and the one or two indices of 4097 × 8 bytes.
_PREFIX_BYTES = 80 * 1024


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows of one rank, or those that validate."""

    X: NDArray[np.float32]  # (n_samples, n_features), C-contiguous
    y: NDArray[np.float32]  # (n_samples,)
    packed: Buffer | None = None  # the container that X and y are views of, if they are


@dataclass(frozen=True, slots=True)
class _Slice:
    """The rows of a piece that lie in the buckets of an interval."""

    piece: Piece
    places: dict[str, arrays.ArrayPlace]
    first: int  # row in the piece
    behind: int
    pairs: tuple[int, int]  # first pair and the one behind the last; (0, 0) of dense pieces

    @property
    def n_rows(self) -> int:
        return self.behind - self.first


def assemble(reader: ObjectReader, manifest: Manifest, interval: Interval) -> Shard:
    """Return the rows at the positions ``interval`` of the order of ids.

    The shard is filled in place in its container, so packing it costs no copy. Beside it, about
    32 bytes a row and 8 requests of 8 MB are held.

    Raises
    ------
    InvalidDataError
        If the shard would take more than 1 GiB.
    DamagedValueError
        If a piece is not what the manifest says.
    """
    if not 0 <= interval.start < interval.stop <= manifest.n_rows:
        raise ValueError(f"{interval} is no part of the positions 0 to {manifest.n_rows}")
    check_dense_size(interval.n_rows, manifest.n_features)
    buckets = _Buckets.around(manifest, interval)
    with ThreadPoolExecutor(_THREADS) as threads:
        slices = list(threads.map(lambda piece: _slice(reader, piece, buckets), manifest.pieces))
        slices = [each for each in slices if each.n_rows]
        ids = np.concatenate(list(threads.map(lambda each: _ids(reader, each), slices)))
        targets = _targets(ids, buckets, interval)
        shard = _zeros(interval.n_rows, manifest.n_features)
        ends = list(accumulate(each.n_rows for each in slices))
        rows = np.split(targets, ends[:-1])
        # The list raises what a copy raised.
        list(threads.map(lambda part, to: _copy_slice(reader, part, to, shard), slices, rows))
    return shard


def pack_shard(shard: Shard) -> Buffer:
    """Return the shard as a container of arrays; a copy only if it is not in one yet."""
    return arrays.pack({"X": shard.X, "y": shard.y}) if shard.packed is None else shard.packed


def unpack_shard(data: Buffer) -> Shard:
    """Return the shard that `pack_shard` wrote: read-only views of ``data``.

    Raises
    ------
    DamagedValueError
        If ``data`` is no packed shard.
    """
    views = arrays.unpack_named(data, ("X", "y"))
    return Shard(views["X"], views["y"], data)


def _zeros(n_rows: int, n_features: int) -> Shard:
    dtype = np.dtype(np.float32)
    shapes = {"X": (dtype, (n_rows, n_features)), "y": (dtype, (n_rows,))}
    packed, views = arrays.allocate(shapes, {})
    return Shard(views["X"], views["y"], packed)


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


def _slice(reader: ObjectReader, piece: Piece, buckets: _Buckets) -> _Slice:
    prefix = _read(reader, piece, 0, min(_PREFIX_BYTES, piece.value_bytes))
    found = arrays.header(prefix)
    names_ids = "ids" in found.places and found.places["ids"].shape == (piece.n_rows,)
    if not names_ids or found.value_bytes != piece.value_bytes:
        raise DamagedValueError(f"the piece {piece.key} is not the one that the manifest names")
    first, behind = _index(prefix, found.places["buckets"], buckets)
    pairs = (0, 0)
    if "offsets" in found.places:
        pairs = _index(prefix, found.places["offsets"], buckets)
    return _Slice(piece, found.places, first, behind, pairs)


def _index(prefix: bytes, place: arrays.ArrayPlace, buckets: _Buckets) -> tuple[int, int]:
    starts = np.frombuffer(prefix, place.dtype, N_BUCKETS + 1, place.start)
    return int(starts[buckets.first]), int(starts[buckets.behind])


def _ids(reader: ObjectReader, part: _Slice) -> RowIds:
    return _load(reader, part, "ids", part.first, part.behind)


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


def _targets(ids: RowIds, buckets: _Buckets, interval: Interval) -> NDArray[np.intp]:
    """Return the row of the shard that each loaded row becomes; out of its bounds: none."""
    if len(ids) != buckets.n_rows:
        raise DamagedValueError(
            f"the pieces hold {len(ids)} rows where the manifest says {buckets.n_rows}"
        )
    # Stable: rows that share an id stay in the order of the pieces, which is that of the objects.
    order = np.argsort(ids, kind="stable")
    targets = np.empty(len(ids), np.intp)
    targets[order] = np.arange(len(ids)) + (buckets.position - interval.start)
    return targets


def _copy_slice(
    reader: ObjectReader, part: _Slice, targets: NDArray[np.intp], shard: Shard
) -> None:
    labels = _load(reader, part, "y", part.first, part.behind)
    inside = (targets >= 0) & (targets < len(shard.y))
    shard.y[targets[inside]] = labels[inside]
    copy = _copy_rows if "X" in part.places else _copy_pairs
    copy(reader, part, np.where(inside, targets, -1), shard.X)


def _copy_rows(
    reader: ObjectReader, part: _Slice, targets: NDArray[np.intp], X: NDArray[np.float32]
) -> None:
    step = max(1, _REQUEST_BYTES // (4 * X.shape[1]))
    for first in range(0, part.n_rows, step):
        chosen = targets[first : first + step]
        rows = _load(reader, part, "X", part.first + first, part.first + first + len(chosen))
        inside = chosen >= 0
        X[chosen[inside]] = rows[inside]


def _copy_pairs(
    reader: ObjectReader, part: _Slice, targets: NDArray[np.intp], X: NDArray[np.float32]
) -> None:
    counts = _load(reader, part, "counts", part.first, part.behind)
    rows = np.repeat(targets, counts)
    start, stop = part.pairs
    if len(rows) != stop - start:
        raise DamagedValueError(f"the index of the piece {part.piece.key} is damaged")
    step = _REQUEST_BYTES // 8
    for first in range(start, stop, step):
        behind = min(first + step, stop)
        indices = _load(reader, part, "indices", first, behind)
        values = _load(reader, part, "values", first, behind)
        chosen = rows[first - start : behind - start]
        inside = chosen >= 0
        X[chosen[inside], indices[inside]] = values[inside]
