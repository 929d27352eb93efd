"""Validation rows of each label: their number, and their place in the order of ids.

The first rows of each label validate. So a row's part in the job depends on the ids of all rows
with its label, and is known once the pieces are. The cuts are found from ids and labels, which are
at the start of each piece, by one function for all others (`lambdas.job_store.strata`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import BadLabelError, DamagedValueError, NotEnoughDataError
from stepml.ml.data.labels import MAX_LABELS
from stepml.ml.data.manifest import Manifest
from stepml.ml.data.row_ids import N_BUCKETS, RowIds, buckets

# Two arrays of 12 MB, and five times as much to rank them.
_BATCH_ROWS = 2**20

Labels = NDArray[np.float32]
_Ints = NDArray[np.intp]
_Flags = NDArray[np.bool_]


def quotas_of(manifest: Manifest, fraction: float, most: int) -> tuple[int, ...]:
    """Return the number of validation rows of each label, in ascending order of labels.

    It is the label's share, rounded, but never all of its rows.

    Parameters
    ----------
    fraction : float
        Of the rows of each label, above 0, at most 0.5.
    most : int
        Rows of all labels together, at least 1; a smaller share is taken if there would be more.

    Raises
    ------
    BadLabelError
        There are more than 1,000 labels.
    NotEnoughDataError
        No label has two rows.
    """
    _, counts = labels_and_counts(manifest)
    share = min(fraction, max(0.0, most - len(counts) / 2) / manifest.n_rows)
    quotas = np.minimum(np.floor(share * counts + 0.5).astype(np.intp), counts - 1)
    if not quotas.any():
        quotas[np.argmax(counts)] = 1
    if counts.max() < 2:
        raise NotEnoughDataError("data.stratify: expected two rows of a label, but all differ")
    return tuple(quotas.tolist())


def labels_and_counts(manifest: Manifest) -> tuple[Labels, _Ints]:
    """Return the distinct labels as pieces store them, ascending, and the rows of each."""
    if manifest.labels is None or manifest.label_counts is None:
        raise BadLabelError(
            f"data.stratify: expected at most {MAX_LABELS:,} different labels; is data.label the "
            "right column?"
        )
    labels, own = np.unique(np.array(manifest.labels, np.float32), return_inverse=True)
    counts = np.zeros(len(labels), np.intp)
    np.add.at(counts, own, manifest.label_counts)
    return labels, counts


@dataclass(frozen=True, slots=True)
class Cuts:
    """The last validation row of each label."""

    labels: Labels  # ascending
    buckets: _Ints  # in which it lies
    rows: _Ints  # validation rows of the label in this bucket
    bucket_counts: _Ints  # validation rows of all labels in each bucket

    def do_validate(self, ids: RowIds, y: Labels) -> _Flags:
        """Return which rows validate, given all rows of some buckets in the order of ids."""
        own, bucket = _places(self.labels, y), buckets(ids)
        validates: _Flags = bucket < self.buckets[own]
        at_cut = bucket == self.buckets[own]
        validates[at_cut] = _ranks(own[at_cut]) < self.rows[own[at_cut]]
        return validates


def find_cuts(
    manifest: Manifest,
    quotas: Sequence[int],
    load: Callable[[int, int], tuple[RowIds, Labels]],
    *,
    batch_rows: int = _BATCH_ROWS,
) -> Cuts:
    """Return the last validation row of each label.

    Parameters
    ----------
    quotas : sequence of int
        From `quotas_of`.
    load : callable
        Returns ids and labels of all rows of the buckets ``[first, behind)``, in the order of ids.
    batch_rows : int
        Rows to load at once, if a bucket has no more.

    Raises
    ------
    DamagedValueError
        The pieces have fewer rows of a label than the manifest says, or other labels.
    """
    labels, _ = labels_and_counts(manifest)
    left = np.array(quotas, np.intp)
    last, rows, bucket_counts = np.zeros_like(left), np.zeros_like(left), np.zeros(N_BUCKETS, int)
    for first, behind in bucket_batches(manifest.bucket_counts, batch_rows):
        ids, y = load(first, behind)
        own = _places(labels, y)
        validates = _ranks(own) < left[own]
        own, bucket = own[validates], buckets(ids[validates])
        found = np.bincount(own, minlength=len(labels))
        np.maximum.at(last, own, bucket)
        at_last = np.bincount(own[bucket == last[own]], minlength=len(labels))
        rows = np.where(found > 0, at_last, rows)
        bucket_counts += np.bincount(bucket, minlength=N_BUCKETS)
        left -= found
        if not left.any():
            return Cuts(labels, last, rows, bucket_counts)
    raise DamagedValueError("the pieces have fewer rows of a label than the manifest says")


def bucket_batches(
    bucket_counts: Sequence[int], most_rows: int, first: int = 0
) -> Iterator[tuple[int, int]]:
    """Yield first and last bucket, exclusive, of batches of at most ``most_rows`` rows.

    A bucket that has more is a batch of its own.
    """
    n_rows = 0
    for bucket, count in enumerate(bucket_counts[first:], start=first):
        if bucket > first and n_rows + count > most_rows:
            yield first, bucket
            first, n_rows = bucket, 0
        n_rows += count
    yield first, len(bucket_counts)


def _places(labels: Labels, y: Labels) -> _Ints:
    """Return the place of each label ``y`` among ``labels``."""
    places = np.minimum(np.searchsorted(labels, y), len(labels) - 1)
    if (labels[places] != y).any():
        raise DamagedValueError("a piece has a label that the manifest does not name")
    return places


def _ranks(own: _Ints) -> _Ints:
    """Return the number of earlier elements that are equal to each."""
    order = np.argsort(own, kind="stable")
    ascending = own[order]
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(own)) - np.searchsorted(ascending, ascending)
    return ranks
