"""The time and the cost of a job before its first epoch."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from lambdas.environment import seconds_since
from lambdas.job_store.plans import TrainingPlan
from lambdas.job_store.store import JobStore
from stepml.job.reports import Preparation

_DIGITS = 8  # of a dollar


def with_preparation(
    store: JobStore, plan: TrainingPlan, costs: Mapping[str, float]
) -> TrainingPlan:
    """Return ``plan`` with the time since the job's start, and the ``costs`` by state."""
    claim = store.claim.find_whole()  # without it, only the time is unknown
    seconds = 0.0 if claim is None else seconds_since(claim.started_at)
    return replace(
        plan,
        preparation=Preparation(seconds, dict(costs)),
        preparation_usd=round(sum(costs.values()), _DIGITS),
    )
