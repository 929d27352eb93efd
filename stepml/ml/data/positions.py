"""The place of rows in the order of a data set, bucket by bucket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import DamagedValueError
from stepml.ml.data.manifest import Manifest
from stepml.ml.data.row_ids import RowIds
from stepml.ml.data.split import Interval
from stepml.ml.data.strata import Cuts, Labels, bucket_batches

Targets = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets in which the rows of an interval lie."""

    interval: Interval
    first: int
    behind: int
    position: int  # of the first row in them that may belong to the interval
    n_rows: int  # in all of them
    cuts: Cuts | None  # only rows on the interval's side of them belong to it

    @classmethod
    def around(
        cls, manifest: Manifest, interval: Interval, cuts: Cuts | None, batch_rows: int
    ) -> list[Buckets]:
        """Return the buckets around an interval; its order has ``cuts`` if it has quotas.

        They are in batches of at most ``batch_rows`` rows, if no bucket has more.
        """
        counts = own = np.array(manifest.bucket_counts)
        before = 0
        if cuts is not None:
            validating = np.array(cuts.bucket_counts)
            own = validating if interval.validates else counts - validating
            before = 0 if interval.validates else sum(interval.quotas)
        ends = before + np.cumsum(own)
        first = int(np.searchsorted(ends, interval.start, side="right"))
        behind = int(np.searchsorted(ends, interval.stop - 1, side="right")) + 1
        return [
            cls(interval, a, b, int(ends[a] - own[a]), int(counts[a:b].sum()), cuts)
            for a, b in bucket_batches(counts[:behind].tolist(), batch_rows, first)
        ]

    def targets(self, ids: RowIds, labels: Callable[[], Labels]) -> Targets:
        """Return the place in the interval of each row of the buckets; -1: it is outside.

        Raises
        ------
        DamagedValueError
            The rows are not as many as the manifest says.
        """
        if len(ids) != self.n_rows:
            raise DamagedValueError(
                f"the pieces hold {len(ids)} rows where the manifest says {self.n_rows}"
            )
        # Stable: rows with one id stay in the order of the pieces, which is that of the objects.
        order = np.argsort(ids, kind="stable")
        if self.cuts is not None:
            validates = self.cuts.do_validate(ids[order], labels()[order])
            order = order[validates == self.interval.validates]
        targets = np.full(len(ids), -1, np.intp)
        targets[order] = np.arange(len(order)) + (self.position - self.interval.start)
        targets[(targets < 0) | (targets >= self.interval.n_rows)] = -1
        return targets
