"""Joins what a job asks for with the exchange that does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Self

from comm import Group, InFlight, Orchestrated, SharedModel, in_flight_chunks
from lambdas.costs import BilledStorage
from lambdas.plans import TrainingPlan
from stepml.job import keys
from stepml.job.spec import JobSpec
from stepml.job.tasks import ExecutorTask, ReducerTask
from stepml.ml.algorithms import OrchestratedAlgorithm, build_algorithm
from storage import DurableStorage, Storage, open_channel
from storage.factory import configured_channels

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
    open: Callable[[str], Storage]

    @classmethod
    def of_deployment(cls, storage: DurableStorage) -> Self:
        """Return the channels that the environment names; s3 is the durable store itself."""
        return cls(configured_channels(), lambda name: open_kept(name, storage))


def open_kept(name: str, storage: DurableStorage) -> Storage:
    """Return the channel called ``name``; the durable store serves as the channel s3.

    A channel that is paid by the request goes on the bill of ``storage``, if that keeps one.
    """
    if name == "s3":
        return storage
    if name == "dynamodb" and isinstance(storage, BilledStorage):
        return storage.beside(kept(name))
    return kept(name)


def chunks_to_merge(spec: JobSpec) -> list[int]:
    """Return the chunks that functions of their own merge, once the ranks have contributed."""
    contributed = isinstance(build_algorithm(spec), OrchestratedAlgorithm)
    scattered = spec.exchange.pattern == "reduce_scatter"
    return list(range(spec.workers)) if contributed and scattered else []


def open_orchestrated(job_id: str, plan: TrainingPlan, storage: DurableStorage) -> Orchestrated:
    """Return the exchange of a job whose ranks contribute and come back."""
    return Orchestrated(
        _group(job_id, plan),
        open_kept(plan.spec.exchange.channel, storage),
        chunks=len(chunks_to_merge(plan.spec)) or 1,
        compression=plan.spec.exchange.compression,
    )


def open_in_flight(
    task: ExecutorTask | ReducerTask,
    rank: int,
    plan: TrainingPlan,
    storage: DurableStorage,
    watch: Callable[[], None] | None = None,
) -> InFlight:
    """Return the exchange of an attempt whose ranks wait for each other; ``watch`` may end a wait.

    Its `timeout_s` is that of the first wait, to be lowered after it.
    """
    exchange = plan.spec.exchange
    channel = open_kept(exchange.channel, storage)
    gradient_bytes = 4 * plan.model().n_parameters  # float32
    group = _group(task.job_id, plan)
    return InFlight(
        group,
        rank,
        channel,
        chunks=in_flight_chunks(exchange.pattern, plan.spec.workers, gradient_bytes, channel),
        compression=exchange.compression,
        timeout_s=FIRST_WAIT_S,
        frontier=keys.frontier(group.prefix, task.attempt, task.epoch),
        watch=watch,
    )


def open_shared(
    task: ExecutorTask | ReducerTask,
    rank: int,
    plan: TrainingPlan,
    storage: DurableStorage,
    watch: Callable[[], None] | None = None,
) -> SharedModel:
    """Return the model that ranks change in turn in this attempt; ``watch`` may end a wait."""
    prefix = keys.attempt_prefix(keys.exchange_prefix(task.job_id, plan.run), task.attempt)
    channel = open_kept(plan.spec.exchange.channel, storage)
    group = Group(prefix, plan.spec.workers)
    return SharedModel(group, task.epoch, rank, channel, timeout_s=WAIT_S, watch=watch)


def _group(job_id: str, plan: TrainingPlan) -> Group:
    return Group(keys.exchange_prefix(job_id, plan.run), plan.spec.workers)
