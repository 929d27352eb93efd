"""The channel of a job over a storage: ranks and functions merge, and look for values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from comm import (
    InFlight,
    InFlightExchange,
    Message,
    Orchestrated,
    SharedModel,
    SharedModelExchange,
    chunking_of,
    require_shareable,
)
from comm.exchange import watch_nothing
from lambdas.attempts.costs import BilledStorage
from lambdas.attempts.fences import Attempted
from lambdas.attempts.timing import STANDARD
from lambdas.channels.base import GoesOn, JobChannel, OnWait, never
from stepml.job import keys
from stepml.job.channels import CHANNELS, DURABLE
from stepml.job.errors import StorageUnavailableError
from stepml.ml.models.base import Floats
from storage import DurableStorage, Storage, open_channel
from storage.timed import TimedStorage

cached_channel = cache(open_channel)  # warm functions reuse their connections


@dataclass(frozen=True, slots=True)
class StorageChannel(JobChannel):
    """The exchanges of `comm`.

    Attributes
    ----------
    open : callable
        Returns the storage; called only where it is used, as not every function reaches it.
    """

    open: Callable[[], Storage]

    @property
    def storage(self) -> Storage:
        """The storage through which the ranks exchange."""
        return TimedStorage(self.open())

    def orchestrated(self, chunks: int = 1, *, watch: OnWait = watch_nothing) -> Orchestrated:
        compression = self.spec.exchange.compression
        return Orchestrated(self.workers, self.storage, chunks=chunks, compression=compression)

    def in_flight(
        self,
        task: Attempted,
        rank: int,
        n_parameters: int,
        *,
        watch: OnWait = watch_nothing,
    ) -> InFlightExchange:
        exchange, world_size = self.spec.exchange, self.spec.workers
        gradient_bytes = 4 * n_parameters  # float32
        return InFlight(
            self.workers,
            rank,
            self.storage,
            chunking=chunking_of(exchange.pattern, world_size, gradient_bytes, self.storage),
            compression=exchange.compression,
            frontier=keys.frontier(self.prefix, task.attempt, task.epoch),
            watch=watch,
        )

    def shared(
        self,
        task: Attempted,
        rank: int,
        n_updates: int,
        *,
        timeout_s: float = STANDARD.wait_s,
        watch: OnWait = watch_nothing,
    ) -> SharedModelExchange:
        workers = self.workers_of(task.attempt)
        return SharedModel(
            workers, task.epoch, rank, self.storage, timeout_s=timeout_s, watch=watch
        )

    def clear(self, goes_on: GoesOn = never) -> None:
        if not goes_on():
            self.storage.clear(self.prefix)
            self.storage.delete(keys.probe(self.prefix))  # of a caller that was killed

    def clear_attempt(self, attempt: str) -> None:
        self.storage.clear(keys.attempt_prefix(self.prefix, attempt))

    def clear_epoch(self, epoch: int) -> None:
        self.storage.clear(keys.epoch_prefix(self.prefix, epoch))

    def keep_contributions(self, epoch: int, goes_on: GoesOn = never) -> None:
        kept = keys.contributions_prefix(self.prefix, epoch)
        unused = [key for key in self.storage.list(self.prefix) if not key.startswith(kept)]
        if not goes_on():  # listing may have taken a while
            self.storage.delete_many(unused)

    def require_answer(self) -> None:
        key, value, storage = keys.probe(self.prefix), b"StepML tries this channel", self.storage
        storage.find_many([key])
        storage.save(key, value)
        found = storage.load_many([key]).get(key, b"")
        storage.delete(key)
        if bytes(found) != value:  # or another copy of the caller has just deleted it
            service = CHANNELS[self.spec.exchange.channel].service
            raise StorageUnavailableError(f"{service} does not keep what was written: {key}")

    def require_room_for_sums(self, contribution: Callable[[], Message]) -> None:
        """Do nothing: storages have no limit that depends on the job."""

    def require_room_for_model(self, parameters: Floats, n_totals: int, n_updates: int) -> None:
        require_shareable(parameters.nbytes)


def open_storage_channel(name: str, durable: DurableStorage) -> Storage:
    """Return the channel called ``name``; ``durable`` serves as the channel s3.

    It is metered if ``durable`` is.
    """
    if name == DURABLE:
        return durable
    if isinstance(durable, BilledStorage):
        return durable.beside(name, cached_channel(name), CHANNELS[name].tariff)
    return cached_channel(name)
