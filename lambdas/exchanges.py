"""Joins what a job asks for with the exchange that does it."""

from __future__ import annotations

from comm import Exchange, Group, OrchestratedReduce
from lambdas.plans import TrainingPlan
from storage import DurableStorage, open_channel


def open_exchange(job_id: str, plan: TrainingPlan, storage: DurableStorage) -> Exchange:
    """Return the exchange that the job asks for."""
    channel = plan.spec.exchange.channel
    group = Group(job_id, plan.spec.workers)
    return OrchestratedReduce(group, storage if channel == "s3" else open_channel(channel))
