"""Collects the rows of an interval of positions from all pieces, in the order of ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import DamagedValueError
from stepml.ml.data.encoding import Encoder
from stepml.ml.data.manifest import Manifest
from stepml.ml.data.objects import ObjectReader
from stepml.ml.data.positions import Buckets, Targets
from stepml.ml.data.remainders import Remainders, places_among
from stepml.ml.data.row_ids import RowIds
from stepml.ml.data.shards import Shard, empty_dense, empty_sparse
from stepml.ml.data.slices import REQUEST_PAIRS, Counts, Slice, slices_of
from stepml.ml.data.split import Interval, ShardKind, check_shard_size, rows_name
from stepml.ml.data.strata import Cuts, Labels, find_cuts
from stepml.ml.data.table_rows import encode_rows
from stepml.ml.matrices import CsrMatrix

# Requests wait for the network, not for the processor.
_THREADS = 8
_REQUEST_BYTES = 8 * 2**20
# Of 60 bytes each.
_BATCH_ROWS = 2**21


def assemble(
    reader: ObjectReader,
    manifest: Manifest,
    interval: Interval,
    kind: ShardKind,
    cuts: Cuts | None = None,
    *,
    request_pairs: int = REQUEST_PAIRS,
    batch_rows: int = _BATCH_ROWS,
) -> Shard:
    """Return the rows at the positions ``interval`` of their order.

    The shard is filled in place in its container, so packing it needs no copy. Additional memory:
    about 60 bytes a row of a batch, and 8 requests.

    Parameters
    ----------
    reader : ObjectReader
        Reads the pieces.
    manifest : Manifest
    interval : Interval
    kind : {"dense", "sparse", "uint8"}
        From `shard_kind`, which refuses impossible kinds.
    cuts : Cuts, optional
        From `cuts_of`, if the interval has quotas; left out: found here.
    request_pairs : int
        Pairs of a sparse piece that one request reads, at most.
    batch_rows : int
        Rows whose places are found at once: those of a stratified order may lie anywhere.

    Raises
    ------
    InvalidDataError
        The shard would need more than 1 GiB.
    DamagedValueError
        A piece does not match the manifest.
    """
    _require_possible(manifest, interval, kind)
    check_shard_size(manifest, kind, interval.n_rows)
    if interval.quotas and cuts is None:
        cuts = cuts_of(reader, manifest, interval.quotas)
    batches = Buckets.around(manifest, interval, cuts, batch_rows)
    with ThreadPoolExecutor(_THREADS) as threads:

        def gathered(batch: Buckets) -> list[_Part]:
            return _parts(threads, reader, manifest, batch, request_pairs)

        first = gathered(batches[0])
        rest = batches[1:]
        encoder = manifest.encoder
        counts = None
        if kind == "sparse":
            counts = np.full(interval.n_rows, 0 if encoder is None else encoder.n_pairs)
            if encoder is None:
                for parts in chain([first], map(gathered, rest)):
                    _count_pairs(parts, counts)
        shard = _empty(manifest, encoder, kind, interval, counts)

        def copy(part: _Part) -> None:
            _copy_part(part, shard, encoder)

        for parts in chain([first], map(gathered, rest)):
            list(threads.map(copy, parts))  # raises the errors of the copies
    return shard


def _require_possible(manifest: Manifest, interval: Interval, kind: ShardKind) -> None:
    if not 0 <= interval.start < interval.stop <= manifest.n_rows:
        raise ValueError(f"{interval} is not within the positions 0 to {manifest.n_rows}")
    if interval.start < sum(interval.quotas) < interval.stop:
        raise ValueError(f"{interval} holds rows both for validation and for training")
    if kind == "sparse" and not manifest.can_be_sparse:
        raise ValueError("dense rows are not made sparse")
    if kind == "uint8" and not manifest.is_bytes:
        raise ValueError("rows with other values are not made bytes")


def _empty(
    manifest: Manifest,
    encoder: Encoder | None,
    kind: ShardKind,
    interval: Interval,
    counts: NDArray[np.int64] | None,
) -> Shard:
    """Return a shard of zeros; a sparse one has ``counts`` pairs in its rows."""
    rows, n_features = rows_name(manifest.fingerprint, interval, kind), manifest.n_features
    fine = manifest.layout.fine if encoder is None else encoder.fine
    weighted = manifest.layout.has_weights
    if counts is not None:
        fine = () if encoder is None else fine
        return empty_sparse(counts, n_features, rows, fine=fine, weighted=weighted)
    as_bytes = kind == "uint8"
    return empty_dense(
        interval.n_rows, n_features, rows, fine=fine, as_bytes=as_bytes, weighted=weighted
    )


def cuts_of(reader: ObjectReader, manifest: Manifest, quotas: Sequence[int]) -> Cuts:
    """Return the last validation row of each label; errors as of `find_cuts`.

    It reads ids and labels of most rows if a label is rare.
    """
    with ThreadPoolExecutor(_THREADS) as threads:

        def load(first: int, behind: int) -> tuple[RowIds, Labels]:
            slices = slices_of(threads, reader, manifest.pieces, first, behind)
            ids, labels = _all_ids(threads, slices), _all_labels(threads, slices)
            order = np.argsort(ids, kind="stable")
            return ids[order], labels[order]

        return find_cuts(manifest, quotas, load)


class _Part(NamedTuple):
    """Some rows of a piece, and the place of each in the shard."""

    rows: Slice
    targets: Targets
    counts: Counts


def _parts(
    threads: Executor, reader: ObjectReader, manifest: Manifest, batch: Buckets, request_pairs: int
) -> list[_Part]:
    """Return the parts of a batch that have rows of the shard."""
    slices = slices_of(threads, reader, manifest.pieces, batch.first, batch.behind, request_pairs)
    ends = list(accumulate(each.n_rows for each in slices))
    own = batch.targets(_all_ids(threads, slices), lambda: _all_labels(threads, slices))
    targets = np.split(own, ends)[:-1]
    found = [each for each in zip(slices, targets, strict=True) if each[1].max() >= 0]
    counts = threads.map(Slice.counts, [rows for rows, _ in found])
    return [_Part(*each, n) for each, n in zip(found, counts, strict=True)]


def _all_ids(threads: Executor, slices: Sequence[Slice]) -> RowIds:
    empty = np.zeros(0, np.uint64)  # of buckets without rows
    return np.concatenate([empty, *threads.map(Slice.ids, slices)])


def _all_labels(threads: Executor, slices: Sequence[Slice]) -> Labels:
    empty = np.zeros(0, np.float32)
    return np.concatenate([empty, *threads.map(Slice.labels, slices)])


def _count_pairs(parts: Sequence[_Part], own_counts: NDArray[np.int64]) -> None:
    for _, targets, counts in parts:
        inside = targets >= 0
        own_counts[targets[inside]] = counts[inside]


def _copy_part(found: _Part, shard: Shard, encoder: Encoder | None) -> None:
    part, targets, counts = found
    labels = part.labels()
    inside = targets >= 0
    shard.y[targets[inside]] = labels[inside]
    if shard.weights is not None:
        shard.weights[targets[inside]] = part.load("weights", part.first, part.behind)[inside]
    if encoder is not None:
        encode_rows(part, targets, shard, encoder)
    elif isinstance(shard.X, CsrMatrix):
        _copy_pairs(part, targets, counts, shard.X)
    elif "X" in part.places:
        _copy_rows(part, targets, "X", shard.X)
        if shard.remainders is not None and "remainders" in part.places:
            _copy_rows(part, targets, "remainders", shard.remainders.values)
    else:
        _spread_pairs(part, targets, counts, shard.X, shard.remainders)


def _copy_rows(part: Slice, targets: Targets, name: str, X: NDArray[np.float32]) -> None:
    step = max(1, _REQUEST_BYTES // (4 * X.shape[1]))
    for first in range(0, part.n_rows, step):
        chosen = targets[first : first + step]
        if chosen.max() < 0:
            continue
        rows = part.load(name, part.first + first, part.first + first + len(chosen))
        inside = chosen >= 0
        X[chosen[inside]] = rows[inside]


def _copy_pairs(part: Slice, targets: Targets, counts: Counts, X: CsrMatrix) -> None:
    starts = np.cumsum(counts, dtype=np.int64) - counts
    shifts = X.indptr[targets] - starts  # from the place in the slice to that in the shard
    for pairs in _pairs(part, targets, counts, X.n_features):
        inside = targets[pairs.rows] >= 0
        places = np.arange(pairs.first, pairs.first + len(pairs.indices)) + shifts[pairs.rows]
        X.indices[places[inside]] = pairs.indices[inside]
        X.values[places[inside]] = pairs.values[inside]


def _spread_pairs(
    part: Slice,
    targets: Targets,
    counts: Counts,
    X: NDArray[np.float32],
    remainders: Remainders | None,
) -> None:
    for pairs in _pairs(part, targets, counts, X.shape[1]):
        rows = targets[pairs.rows]
        inside = rows >= 0
        X[rows[inside], pairs.indices[inside]] = pairs.values[inside]
        if remainders is not None and "remainders" in part.places:
            first = part.pairs[0] + pairs.first
            rest = part.load("remainders", first, first + len(rows))
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


def _pairs(part: Slice, targets: Targets, counts: Counts, n_features: int) -> Iterator[_Pairs]:
    """Yield the pairs of one request after another, without those that have no row of the shard."""
    start, stop = part.pairs
    ends = np.cumsum(counts, dtype=np.int64)
    for first in range(0, stop - start, part.request_pairs):
        behind = min(first + part.request_pairs, stop - start)
        rows = _rows_of_pairs(ends, first, behind)
        if targets[rows].max() < 0:
            continue
        indices = part.load("indices", start + first, start + behind)
        if indices.max() >= n_features:
            raise DamagedValueError(f"an index of the piece {part.piece.key} is damaged")
        values = part.load("values", start + first, start + behind)
        yield _Pairs(first, rows, indices, values)


def _rows_of_pairs(ends: NDArray[np.int64], first: int, behind: int) -> NDArray[np.intp]:
    """Return the row of each pair of ``[first, behind)``; the pairs of rows end at ``ends``."""
    row = np.searchsorted(ends, first, side="right")
    last = np.searchsorted(ends, behind - 1, side="right")
    bounds = np.concatenate(([first], np.minimum(ends[row : last + 1], behind)))
    return np.repeat(np.arange(row, last + 1), np.diff(bounds))
