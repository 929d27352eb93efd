"""Snapshots of an epoch that is exchanged in flight: a rank that is called again starts there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lambdas.job_store.entries import Entry
from lambdas.job_store.store import JobStore
from stepml.job.errors import DamagedValueError
from stepml.job.stopwatch import timed
from stepml.ml.algorithms import RankProgress
from storage.base import Buffer, Clock

# Aggregates that stay in the channel until the next snapshot; those of the last one stay as well.
MAX_REPLAY_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of one epoch: the latest one on the way, and the last one.

    The last one has a key of its own, so that one look shows whether the epoch's end is durable.
    """

    store: JobStore
    epoch: int

    @property
    def keys(self) -> list[str]:
        """The keys of both, to be loaded together with others."""
        return [self._last.key, self._latest.key]

    def load(self) -> RankProgress | None:
        """Return the furthest snapshot, or None.

        Without the latest one, only time is lost: if it is damaged, it counts as absent.

        Raises
        ------
        DamagedValueError
            The last one is damaged, and deleted now. Ranks may have left because it was there, so
            the epoch has to be trained again.
        """
        return self.read(self.store.storage.load_many(self.keys))

    def read(self, found: Mapping[str, Buffer]) -> RankProgress | None:
        """Like `load`, from the result of loading several keys together."""
        try:
            last = self._last.read(found)
        except DamagedValueError:
            self._last.delete()
            raise
        return last or self._latest.read_whole(found)

    def versions(self) -> tuple[str | None, ...]:
        """Return an ETag for each, None for an absent one; they change with the snapshots."""
        found = [self.store.storage.describe(key) for key in self.keys]
        return tuple(None if each is None else each.etag for each in found)

    def has_last(self) -> bool:
        """Return whether the end of the epoch is durable."""
        return self._last.exists()

    def save(self, progress: RankProgress) -> None:
        """Replace an earlier snapshot; a later one stays, as this may be a late copy of rank 0."""

        def is_further(stored: RankProgress) -> bool:
            return stored.batches_done >= progress.batches_done

        entry = self._last if progress.finished else self._latest
        with timed("snapshot"):
            if entry.replace(progress, unless=is_further) is progress:
                self._delete_if_over()

    def delete(self) -> None:
        """Delete both."""
        self.store.storage.delete_many(self.keys)

    def _delete_if_over(self) -> None:
        # For a late copy of rank 0: the reducer publishes the report before it deletes snapshots.
        if self.store.report(self.epoch).exists():
            self.delete()

    @property
    def _latest(self) -> Entry[RankProgress]:
        return self.store.snapshot(self.epoch)

    @property
    def _last(self) -> Entry[RankProgress]:
        return self.store.last_snapshot(self.epoch)


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
