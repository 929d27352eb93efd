"""The places that stratified validation rows have: found once, for all functions of a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import msgspec
import numpy as np
import xxhash

from lambdas.job_store.entries import document
from stepml.job import data_keys
from stepml.ml.data import Cuts, Interval, Manifest
from storage import DurableStorage


class Strata(msgspec.Struct, frozen=True):
    """The last validation row of each label, as a document."""

    rows: str  # the fingerprint of all rows
    labels: list[float]
    buckets: list[int]
    rows_at_cut: list[int]
    bucket_counts: list[int]

    @classmethod
    def of(cls, manifest: Manifest, cuts: Cuts) -> Self:
        """Return the document of ``cuts``."""
        arrays = (cuts.labels, cuts.buckets, cuts.rows, cuts.bucket_counts)
        return cls(manifest.fingerprint, *(array.tolist() for array in arrays))

    @property
    def cuts(self) -> Cuts:
        """The cuts in the document."""
        places = (self.buckets, self.rows_at_cut, self.bucket_counts)
        return Cuts(
            np.array(self.labels, np.float32), *(np.array(each, np.intp) for each in places)
        )


def cuts_for(
    storage: DurableStorage, manifest: Manifest, interval: Interval, find: Callable[[], Cuts]
) -> Cuts | None:
    """Return the cuts of an interval's order; None: it has no quotas.

    ``find`` is called if they are not stored, or damaged.
    """
    if not interval.quotas:
        return None
    name = xxhash.xxh3_64_hexdigest(repr(interval.quotas).encode())
    entry = document(storage, data_keys.strata(manifest.digest, name), Strata)
    found = entry.find_whole()
    if found is None or found.rows != manifest.fingerprint:
        found = Strata.of(manifest, find())
        entry.save(found)  # others write the same
    return found.cuts
