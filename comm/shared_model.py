"""The asynchronous exchange: one model that all ranks change in turn.

::

    pull ──► compute ──► [ turn: load ─► apply ─► compare-and-save ] ──► go on with the result

The lease (`comm.lease`) keeps ranks from computing what would be thrown away: without it, four of
five updates of a large model by eight ranks are. The compare-and-save is the fence: an update
counts only if nobody else's came between. That each update counts *exactly* once is written in the
model itself, which says up to which update of each rank it has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comm.exchange import Group
from comm.lease import FifoLease
from comm.wire import Message, Vector, decode, encode
from stepml.job import keys
from stepml.job.errors import ModelTooLargeError, SharedModelLostError, StorageUnavailableError
from storage import Storage
from storage.base import Buffer, Clock, Version, backoff

MOST_BYTES = 4 * 2**20  # ranks move all of it in turn: larger models would spend their time so
_MOST_TRIES = 100

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SharedState:
    """The shared model at one moment.

    Attributes
    ----------
    vector : array of shape (n,)
        The parameters; read-only.
    version : int
        Updates that it consists of.
    applied : array of shape (world_size,)
        The last update of each rank that it has.
    totals : array of shape (k,)
        Sums over all updates of what their ranks tell with them, such as losses and rows.
    staleness_sum, staleness_max : int
        Of all updates: how many others came between a rank's pull and its push.
    """

    vector: Vector
    version: int
    applied: Floats
    totals: Floats
    staleness_sum: int
    staleness_max: int

    @property
    def staleness_mean(self) -> float:
        """Of all updates."""
        return self.staleness_sum / max(1, self.version)

    @classmethod
    def parse(cls, data: Buffer, name: str, world_size: int) -> SharedState:
        """Return the state in ``data``, or raise `DamagedValueError`."""
        message = decode(data, name)
        head, applied, totals = np.split(message.trailer, [3, 3 + world_size])
        version, staleness_sum, staleness_max = (int(each) for each in head)
        return cls(message.vector, version, applied, totals, staleness_sum, staleness_max)

    def pack(self) -> memoryview:
        head = [self.version, self.staleness_sum, self.staleness_max]
        return encode(Message(self.vector, np.concatenate([head, self.applied, self.totals])))


def require_shareable(model_bytes: int) -> None:
    """Raise `ModelTooLargeError` for a model of more than 4 MB."""
    if model_bytes > MOST_BYTES:
        raise ModelTooLargeError(
            f"exchange.pattern async shares models up to {MOST_BYTES} bytes, this one has "
            f"{model_bytes}; use reduce or reduce_scatter"
        )


class SharedModel:
    """One rank's access to the shared model of an epoch.

    Parameters
    ----------
    group : Group
    epoch : int
    rank : int
    channel : Storage
    lease_s : float
        Seconds that a rank may take for an update before others pass it over.
    timeout_s : float
        Longest wait for a turn.
    watch : callable, optional
        Called about once a second while this rank waits; raises to end the wait.
    clock : Clock
    """

    def __init__(
        self,
        group: Group,
        epoch: int,
        rank: int,
        channel: Storage,
        *,
        lease_s: float = 10.0,
        timeout_s: float = 180.0,
        watch: Callable[[], None] | None = None,
        clock: Clock = time,
    ) -> None:
        self.tries = 0  # of all pushes: loads of the model for a change
        self._group = group
        self._rank = rank
        self._epoch = epoch
        self._channel = channel
        self._clock = clock
        self._key = keys.shared_model(group.prefix, epoch)
        self._lease = FifoLease(group, epoch, channel, lease_s, timeout_s, watch, clock)

    def create(self, vector: Vector, n_totals: int = 0) -> None:
        """Make ``vector`` the shared model, unless there is one.

        Parameters
        ----------
        vector : array of shape (n,)
        n_totals : int
            How many numbers every update tells.

        Raises
        ------
        ModelTooLargeError
            It has more than 4 MB.
        """
        require_shareable(vector.nbytes)
        nobody, nothing = np.zeros(self._group.world_size), np.zeros(n_totals)
        first = SharedState(vector, 0, nobody, nothing, 0, 0)
        self._channel.publish(self._key, first.pack())

    def pull(self) -> SharedState:
        """Return the model as it is now, or raise `SharedModelLostError`."""
        return self._load()[0]

    def push(
        self,
        sequence: int,
        pulled: SharedState,
        change: Callable[[Vector], None],
        told: Sequence[float] = (),
    ) -> SharedState:
        """Apply one update and return the model with it; a repetition changes nothing.

        Parameters
        ----------
        sequence : int
            This rank's number of the update, from 1 on.
        pulled : SharedState
            What the update was computed from.
        change : callable
            Changes the vector that it gets; called again if another rank was faster.
        told : sequence of float
            Added to the totals, once.

        Raises
        ------
        SharedModelLostError
            The channel has lost the model: nobody makes it again from an older copy, which would
            lose the others' updates in silence.
        """
        delays = backoff(start_s=0.001, most_s=0.1)
        with self._lease.turn():
            for _ in range(_MOST_TRIES):
                now, version = self._load()
                if now.applied[self._rank] >= sequence:
                    return now
                if now.applied[self._rank] < sequence - 1 or now.version < pulled.version:
                    # A rank that began late has made it again from the epoch's start.
                    raise SharedModelLostError(f"the channel has lost updates of {self._key}")
                self.tries += 1
                changed = self._changed(now, sequence, pulled, change, told)
                try:
                    if self._channel.compare_and_save(self._key, changed.pack(), version):
                        return changed
                except StorageUnavailableError:
                    pass  # whether it counted stands in the model
                self._clock.sleep(next(delays))
        raise StorageUnavailableError(f"no update of {self._key} in {_MOST_TRIES} tries")

    def release(self) -> None:
        """Delete what the epoch left, once no rank can need it again."""
        self._channel.delete(self._key)
        self._lease.release()

    def abandon(self) -> None:
        """Delete whatever the epoch has left, as it ends in the middle: that takes a list."""
        self._channel.clear(keys.epoch_prefix(self._group.prefix, self._epoch))

    def _changed(
        self,
        now: SharedState,
        sequence: int,
        pulled: SharedState,
        change: Callable[[Vector], None],
        told: Sequence[float],
    ) -> SharedState:
        vector, applied = np.array(now.vector), np.array(now.applied)
        change(vector)
        applied[self._rank] = sequence
        staleness = now.version - pulled.version
        return SharedState(
            vector,
            now.version + 1,
            applied,
            now.totals + np.array(told, np.float64),
            now.staleness_sum + staleness,
            max(now.staleness_max, staleness),
        )

    def _load(self) -> tuple[SharedState, Version]:
        data, version = self._channel.load_version(self._key)
        if data is None:
            raise SharedModelLostError(f"the channel has lost the shared model, {self._key}")
        return SharedState.parse(data, self._key, self._group.world_size), version
