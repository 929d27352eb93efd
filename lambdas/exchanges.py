"""Joins what a job asks for with the exchange that does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Self

from comm import (
    InFlight,
    InFlightExchange,
    Orchestrated,
    OrchestratedExchange,
    SharedModel,
    SharedModelExchange,
    Workers,
    in_flight_chunks,
)
from lambdas import parameter_server
from lambdas.costs import BilledStorage
from lambdas.plans import PartitionPlan, TrainingPlan
from ps_server.client.exchange import ServerInFlight, ServerOrchestrated
from ps_server.client.jobs import JobClient, nothing
from ps_server.client.shared_model import ServerSharedModel
from stepml.job import keys
from stepml.job.channels import CHANNELS, DURABLE, configured_channels
from stepml.job.spec import JobSpec
from stepml.job.tasks import ExecutorTask, ReducerTask
from stepml.ml.algorithms import OrchestratedAlgorithm, build_algorithm
from storage import DurableStorage, Storage, open_channel

# A wait outlasts the restart of a lone peer, which backs off, starts cold, reads its shard and
# replays what it has missed. Before a rank's first exchange its peers may all be doing that, and
# some may not have been started yet: Lambda adds functions gradually.
WAIT_S = 180.0
FIRST_WAIT_S = 420.0

kept = cache(open_channel)  # warm functions keep their connections


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of this deployment."""

    configured: tuple[str, ...]  # names, as in exchange.channel
    open: Callable[[str], Storage]  # those that are storages

    @classmethod
    def of_deployment(cls, storage: DurableStorage) -> Self:
        """Return the channels that the environment names; s3 is the durable store itself."""
        return cls(configured_channels(), lambda name: open_kept(name, storage))

    def require_answer(self, name: str, key: str) -> None:
        """Raise what the first exchange through a channel would fail of, when it asks for a key."""
        if name == parameter_server.CHANNEL:
            parameter_server.require_answer()
        else:
            self.open(name).find_many([key])


def open_kept(name: str, storage: DurableStorage) -> Storage:
    """Return the channel called ``name``; the durable store serves as the channel s3.

    A channel that is paid by the request goes on the bill of ``storage``, if that keeps one.
    """
    if name == DURABLE:
        return storage
    tariff = CHANNELS[name].tariff
    if tariff is not None and isinstance(storage, BilledStorage):
        return storage.beside(kept(name), tariff)
    return kept(name)


def chunks_to_merge(spec: JobSpec) -> list[int]:
    """Return the chunks that functions of their own merge, once the ranks have contributed."""
    contributed = isinstance(build_algorithm(spec), OrchestratedAlgorithm)
    scattered = spec.exchange.pattern == "reduce_scatter"
    return list(range(spec.workers)) if contributed and scattered else []


def open_orchestrated(
    job_id: str,
    plan: TrainingPlan,
    storage: DurableStorage,
    watch: Callable[[], None] = nothing,
) -> OrchestratedExchange:
    """Return the exchange of a job whose ranks contribute and come back."""
    workers, exchange = _workers(job_id, plan), plan.spec.exchange
    if exchange.channel == parameter_server.CHANNEL:
        client = parameter_server.kept_client()
        return ServerOrchestrated(workers, client, compression=exchange.compression, watch=watch)
    return open_mergeable(job_id, plan, storage)


def open_mergeable(job_id: str, plan: TrainingPlan, storage: DurableStorage) -> Orchestrated:
    """Return the exchange whose contributions functions merge: that over a storage."""
    exchange = plan.spec.exchange
    return Orchestrated(
        _workers(job_id, plan),
        open_kept(exchange.channel, storage),
        chunks=len(chunks_to_merge(plan.spec)) or 1,
        compression=exchange.compression,
    )


def open_in_flight(
    task: ExecutorTask | ReducerTask,
    rank: int,
    plan: TrainingPlan,
    storage: DurableStorage,
    watch: Callable[[], None] = nothing,
) -> InFlightExchange:
    """Return the exchange of an attempt whose ranks wait for each other; ``watch`` may end a wait.

    Its `timeout_s` is that of the first wait, to be lowered after it.
    """
    exchange, workers = plan.spec.exchange, _workers(task.job_id, plan)
    frontier = keys.frontier(workers.prefix, task.attempt, task.epoch)
    if exchange.channel == parameter_server.CHANNEL:
        return ServerInFlight(
            workers,
            rank,
            parameter_server.kept_client(),
            compression=exchange.compression,
            timeout_s=FIRST_WAIT_S,
            attempt=frontier,
            watch=watch,
        )
    channel = open_kept(exchange.channel, storage)
    gradient_bytes = 4 * plan.model().n_parameters  # float32
    return InFlight(
        workers,
        rank,
        channel,
        chunks=in_flight_chunks(exchange.pattern, plan.spec.workers, gradient_bytes, channel),
        compression=exchange.compression,
        timeout_s=FIRST_WAIT_S,
        frontier=frontier,
        watch=watch,
    )


def open_shared(
    task: ExecutorTask | ReducerTask,
    rank: int,
    plan: TrainingPlan,
    storage: DurableStorage,
    watch: Callable[[], None] = nothing,
) -> SharedModelExchange:
    """Return the model that ranks share in this attempt; ``watch`` may end a wait."""
    exchange = plan.spec.exchange
    prefix = keys.attempt_prefix(keys.exchange_prefix(task.job_id, plan.run), task.attempt)
    workers = Workers(prefix, plan.spec.workers)
    if exchange.channel == parameter_server.CHANNEL:
        return ServerSharedModel(
            workers,
            task.epoch,
            rank,
            parameter_server.kept_client(),
            max_staleness=exchange.max_staleness,
            server_update=parameter_server.server_update(plan),
            timeout_s=WAIT_S,
            watch=watch,
        )
    channel = open_kept(exchange.channel, storage)
    return SharedModel(workers, task.epoch, rank, channel, timeout_s=WAIT_S, watch=watch)


def clear_exchange(
    job_id: str, plan: PartitionPlan | TrainingPlan, storage: DurableStorage
) -> None:
    """Delete all that the ranks of this run have exchanged."""
    prefix, channel = keys.exchange_prefix(job_id, plan.run), plan.spec.exchange.channel
    if channel == parameter_server.CHANNEL:
        _server_job(prefix).delete()
    else:
        open_kept(channel, storage).clear(prefix)


def clear_attempt(job_id: str, attempt: str, plan: PartitionPlan, storage: DurableStorage) -> None:
    """Delete what ranks have shared in one attempt at an epoch and with no other."""
    prefix, channel = keys.exchange_prefix(job_id, plan.run), plan.spec.exchange.channel
    if channel == parameter_server.CHANNEL:
        _server_job(keys.attempt_prefix(prefix, attempt)).delete()
    else:
        open_kept(channel, storage).clear(keys.attempt_prefix(prefix, attempt))


def clear_epoch(job_id: str, epoch: int, plan: TrainingPlan, storage: DurableStorage) -> None:
    """Delete what the ranks of this run have exchanged in an epoch."""
    prefix, channel = keys.exchange_prefix(job_id, plan.run), plan.spec.exchange.channel
    if channel == parameter_server.CHANNEL:
        _server_job(prefix).reset(epoch)
    else:
        open_kept(channel, storage).clear(keys.epoch_prefix(prefix, epoch))


def keep_contributions(
    job_id: str, epoch: int, plan: PartitionPlan, storage: DurableStorage
) -> None:
    """Delete all that was exchanged but what ranks have contributed to ``epoch``."""
    prefix, channel = keys.exchange_prefix(job_id, plan.run), plan.spec.exchange.channel
    if channel == parameter_server.CHANNEL:
        return  # there is nothing else: an epoch that is over has been let go of
    storage_channel = open_kept(channel, storage)
    kept_prefix = keys.contributions_prefix(prefix, epoch)
    keys_there = storage_channel.list(prefix)
    storage_channel.delete_many([key for key in keys_there if not key.startswith(kept_prefix)])


def _server_job(prefix: str) -> JobClient:
    return JobClient(parameter_server.kept_client(), prefix)


def _workers(job_id: str, plan: TrainingPlan) -> Workers:
    return Workers(keys.exchange_prefix(job_id, plan.run), plan.spec.workers)
