"""Snapshots of an epoch that is exchanged in flight: a rank that is called again starts there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lambdas.job_store.entries import Entry
from lambdas.job_store.store import JobStore
from stepml.ml.algorithms import RankProgress
from storage.base import Clock

# Aggregates that stay in the channel until the next snapshot; those of the last one stay as well.
MAX_REPLAY_BYTES = 256 * 2**20
_MAX_CONFLICTS = 10  # only a second copy of rank 0 saves at the same time


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshot of one epoch."""

    store: JobStore
    epoch: int

    def load(self) -> RankProgress | None:
        """Return the snapshot, or None if it is absent or damaged: only time is lost."""
        return self._entry.read_whole(self.store.storage.load_many([self._entry.key]))

    def save(self, progress: RankProgress) -> None:
        """Replace an earlier snapshot; a later one stays, as this may be a late copy of rank 0."""

        def is_further(stored: RankProgress) -> bool:
            return stored.batches_done >= progress.batches_done

        if self._entry.replace(progress, unless=is_further) is progress:
            self._delete_if_over()

    def delete(self) -> None:
        """Delete the snapshot."""
        self._entry.delete()

    def _delete_if_over(self) -> None:
        # For a late copy of rank 0: the reducer publishes the report before it deletes snapshots.
        if self.store.report(self.epoch).exists():
            self.delete()

    @property
    def _entry(self) -> Entry[RankProgress]:
        return self.store.snapshot(self.epoch)


class SnapshotKeeper:
    """Saves a snapshot now and then, and deletes the aggregates that nobody will replay.

    Aggregates up to the *previous* snapshot are deleted: a rank may have just loaded that one.

    Parameters
    ----------
    snapshots : Snapshots
    forget : callable
        Takes the batches whose aggregates are not needed any more.
    batches_done : int
        Batches before the rank's first step.
    interval_s : float
        Longest time between two snapshots.
    clock : Clock
    """

    def __init__(
        self,
        snapshots: Snapshots,
        forget: Callable[[Iterable[int]], None],
        batches_done: int,
        *,
        interval_s: float,
        clock: Clock = time,
    ) -> None:
        self._snapshots = snapshots
        self._forget = forget
        self._interval_s = interval_s
        self._clock = clock
        self._saved_at = clock.monotonic()
        self._before_last = self._last = batches_done

    def after_step(self, progress: RankProgress) -> None:
        """Save a snapshot if it is time to."""
        replay_bytes = (progress.batches_done - self._last) * progress.parameters.nbytes
        waited_s = self._clock.monotonic() - self._saved_at
        if replay_bytes > MAX_REPLAY_BYTES or waited_s >= self._interval_s:
            self.save(progress)

    def save(self, progress: RankProgress) -> None:
        """Save a snapshot; the same progress a second time changes nothing."""
        if progress.batches_done == self._last:
            return  # other ranks may still be waiting for its aggregate
        self._snapshots.save(progress)
        if self._last > self._before_last:
            self._forget(range(self._before_last + 1, self._last + 1))
        self._before_last, self._last = self._last, progress.batches_done
        self._saved_at = self._clock.monotonic()
