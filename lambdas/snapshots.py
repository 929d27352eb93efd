"""Snapshots of an epoch that is exchanged in flight: where a rank that is called again begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lambdas.states import pack_progress, unpack_progress
from stepml.job import keys
from stepml.job.errors import DamagedValueError, StorageUnavailableError
from stepml.ml.algorithms import RankProgress
from storage import DurableStorage
from storage.base import Buffer, Clock

INTERVAL_S = 30.0  # at most so much is replayed, many times faster than it was trained
# Aggregates that lie in the channel until the next snapshot; beside them those of one before.
MAX_REPLAY_BYTES = 256 * 2**20
_MAX_CONFLICTS = 10  # only a second copy of rank 0 saves at the same time


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshot of one epoch."""

    storage: DurableStorage
    job_id: str
    epoch: int

    @property
    def key(self) -> str:
        """Where it is."""
        return keys.snapshot(self.job_id, self.epoch)

    def load(self) -> RankProgress | None:
        """Return the snapshot, or None if there is none that can be read."""
        return whole_progress(self.storage.load_many([self.key]).get(self.key))

    def save(self, progress: RankProgress) -> None:
        """Replace the snapshot, unless it is further: a late copy of rank 0 takes nothing back."""
        data = pack_progress(progress)
        for _ in range(_MAX_CONFLICTS):
            stored, version = self.storage.load_version(self.key)
            earlier = whole_progress(stored)
            if earlier is not None and earlier.batches_done >= progress.batches_done:
                return
            if self.storage.compare_and_save(self.key, data, version):
                self._delete_if_over()
                return
        raise StorageUnavailableError(f"{self.key} is replaced faster than it can be compared")

    def _delete_if_over(self) -> None:
        # A late copy of rank 0: whoever ended the epoch says so before the snapshot is deleted.
        if self.storage.find_many([keys.epoch_report(self.job_id, self.epoch)]):
            self.delete()

    def delete(self) -> None:
        """Delete the snapshot."""
        self.storage.delete(self.key)


def whole_progress(data: Buffer | None) -> RankProgress | None:
    """Return the progress in ``data``; damaged, it is as good as absent: only time is lost."""
    try:
        return None if data is None else unpack_progress(data)
    except DamagedValueError:
        return None


class SnapshotKeeper:
    """Saves a snapshot now and then, and lets go of the aggregates that nobody will replay.

    Those up to the snapshot *before* the one just saved: a rank may have just loaded that one.

    Parameters
    ----------
    snapshots : Snapshots
    forget : callable
        Takes numbers of batches whose aggregates are needed no more.
    batches_done : int
        Where the rank begins.
    clock : Clock
    """

    def __init__(
        self,
        snapshots: Snapshots,
        forget: Callable[[Iterable[int]], None],
        batches_done: int,
        clock: Clock = time,
    ) -> None:
        self._snapshots = snapshots
        self._forget = forget
        self._clock = clock
        self._saved_at = clock.monotonic()
        self._before_last = self._last = batches_done

    def after_step(self, progress: RankProgress) -> None:
        """Save a snapshot if it is time to."""
        replay_bytes = (progress.batches_done - self._last) * progress.parameters.nbytes
        waited_s = self._clock.monotonic() - self._saved_at
        if replay_bytes > MAX_REPLAY_BYTES or waited_s >= INTERVAL_S:
            self.save(progress)

    def save(self, progress: RankProgress) -> None:
        """Save a snapshot; the same progress a second time changes nothing."""
        if progress.batches_done == self._last:
            return  # its aggregate may still be on its way to others
        self._snapshots.save(progress)
        if self._last > self._before_last:
            self._forget(range(self._before_last + 1, self._last + 1))
        self._before_last, self._last = self._last, progress.batches_done
        self._saved_at = self._clock.monotonic()
