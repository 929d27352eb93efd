"""The asynchronous exchange: one model that all ranks change in turn.

::

    pull ──► compute ──► [ turn: load ─► apply ─► compare-and-save ] ──► go on with the result

The lease (`comm.lease`) prevents wasted work: without it, four of five updates of a large model by
eight ranks are discarded. The compare-and-save is the fence: an update counts only if no other
came between. Each update counts *exactly* once, as the model states each rank's last update.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from comm.exchange import SharedModelExchange, SharedState, Workers
from comm.lease import FifoLease
from comm.wire import Vector
from stepml.job import keys
from stepml.job.errors import ModelTooLargeError, SharedModelLostError, StorageUnavailableError
from stepml.job.stopwatch import timed
from storage import Storage
from storage.base import Clock, Version, backoff

MOST_BYTES = 4 * 2**20  # ranks transfer all of it in turn: larger models would do little else
_MOST_TRIES = 100


def require_shareable(model_bytes: int) -> None:
    """Raise `ModelTooLargeError` for a model of more than 4 MB."""
    if model_bytes > MOST_BYTES:
        raise ModelTooLargeError(
            f"exchange.pattern async shares models up to {MOST_BYTES} bytes, this one has "
            f"{model_bytes}; use reduce or reduce_scatter"
        )


class SharedModel(SharedModelExchange):
    """One rank's access to the shared model of an epoch.

    Parameters
    ----------
    workers : Workers
    epoch : int
    rank : int
    channel : Storage
    lease_s : float
        Seconds that a rank may take for an update before its turn is over.
    timeout_s : float
        Longest wait for a turn.
    watch : callable, optional
        Called about once a second while this rank waits; raises to end the wait.
    clock : Clock
    """

    def __init__(
        self,
        workers: Workers,
        epoch: int,
        rank: int,
        channel: Storage,
        *,
        lease_s: float = 10.0,
        timeout_s: float = 180.0,
        watch: Callable[[], None] | None = None,
        clock: Clock = time,
    ) -> None:
        self.tries = 0  # attempts at changing the model, in all pushes
        self._workers = workers
        self._rank = rank
        self._epoch = epoch
        self._channel = channel
        self._clock = clock
        self._key = keys.shared_model(workers.prefix, epoch)
        self._lease = FifoLease(workers, epoch, channel, lease_s, timeout_s, watch, clock)

    def create(self, vector: Vector, n_totals: int = 0) -> None:
        require_shareable(vector.nbytes)
        nobody, nothing = np.zeros(self._workers.world_size), np.zeros(n_totals)
        first = SharedState(vector, 0, nobody, nothing, 0, 0)
        self._channel.publish(self._key, first.pack())

    def pull(self) -> SharedState:
        with timed("transfer"):
            return self._load()[0]

    def push(
        self,
        sequence: int,
        pulled: SharedState,
        change: Callable[[Vector], None],
        totals: Sequence[float] = (),
    ) -> SharedState:
        delays = backoff(start_s=0.001, most_s=0.1)
        with timed("transfer"), self._lease.turn():
            for _ in range(_MOST_TRIES):
                now, version = self._load()
                if now.applied[self._rank] >= sequence:
                    return now
                if now.applied[self._rank] < sequence - 1 or now.version < pulled.version:
                    # A rank that began late has created it again from the epoch's start.
                    raise SharedModelLostError(f"the channel has lost updates of {self._key}")
                self.tries += 1
                changed = self._changed(now, sequence, pulled, change, totals)
                try:
                    if self._channel.compare_and_save(self._key, changed.pack(), version):
                        return changed
                except StorageUnavailableError:
                    pass  # the model states whether the update counts
                self._clock.sleep(next(delays))
        raise StorageUnavailableError(f"no update of {self._key} in {_MOST_TRIES} tries")

    def has_lost_updates(self, state: SharedState) -> bool:
        return False

    def release(self) -> None:
        self._channel.delete(self._key)
        self._lease.release()

    def abandon(self) -> None:
        self._channel.clear(keys.epoch_prefix(self._workers.prefix, self._epoch))

    def _changed(
        self,
        now: SharedState,
        sequence: int,
        pulled: SharedState,
        change: Callable[[Vector], None],
        totals: Sequence[float],
    ) -> SharedState:
        vector, applied = np.array(now.vector), np.array(now.applied)
        with timed("merge"):
            change(vector)
        applied[self._rank] = sequence
        staleness = now.version - pulled.version
        return SharedState(
            vector,
            now.version + 1,
            applied,
            now.totals + np.array(totals, np.float64),
            now.staleness_sum + staleness,
            max(now.staleness_max, staleness),
        )

    def _load(self) -> tuple[SharedState, Version]:
        data, version = self._channel.load_version(self._key)
        if data is None:
            raise SharedModelLostError(f"the channel has lost the shared model, {self._key}")
        return SharedState.parse(data, self._key, self._workers.world_size), version
