"""The channels of jobs: over a storage, or over a parameter server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self

from comm import Orchestrated
from lambdas.channels.base import JobChannel
from lambdas.channels.server import ServerChannel
from lambdas.channels.storage import StorageChannel, open_storage_channel
from lambdas.job_store import JobStore
from stepml.job import keys
from stepml.job.channels import CHANNELS, configured_channels
from stepml.job.spec import JobSpec
from storage import DurableStorage, Storage

__all__ = ["Channels", "JobChannel", "Plan", "channel_of", "merger_exchange"]


class Plan(Protocol):
    """A plan of a job, which says how its ranks exchange."""

    @property
    def spec(self) -> JobSpec: ...
    @property
    def run(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of this deployment."""

    configured: tuple[str, ...]  # names, as in exchange.channel
    open: Callable[[str], Storage]  # those that are storages
    server_start_s: float = 10.0  # longest wait for a parameter server that may be starting

    @classmethod
    def of_deployment(cls, durable: DurableStorage) -> Self:
        """Return the channels that the environment names."""
        return cls(configured_channels(), partial(open_storage_channel, durable=durable))

    def of_job(self, job_id: str, run: str, spec: JobSpec) -> JobChannel:
        """Return the channel of one run of a job."""
        prefix, name = keys.exchange_prefix(job_id, run), spec.exchange.channel
        if CHANNELS[name].merges:
            return ServerChannel(spec, prefix, self.server_start_s)
        return StorageChannel(spec, prefix, partial(self.open, name))


def merger_exchange(store: JobStore, plan: Plan, chunks: int) -> Orchestrated:
    """Return the exchange of a merger. It is over a storage: a parameter server has no mergers."""
    prefix = keys.exchange_prefix(store.job_id, plan.run)
    channel = partial(open_storage_channel, plan.spec.exchange.channel, store.storage)
    return StorageChannel(plan.spec, prefix, channel).orchestrated(chunks)


def channel_of(store: JobStore, plan: Plan) -> JobChannel:
    """Return the channel of the job that ``plan`` describes."""
    return Channels.of_deployment(store.storage).of_job(store.job_id, plan.run, plan.spec)
