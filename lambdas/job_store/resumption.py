"""A job that resumes another one: the other job's epochs count as its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lambdas.job_store.entries import Entry
from lambdas.job_store.plans import PartitionPlan
from lambdas.job_store.rank_states import publish_rank_state
from lambdas.job_store.store import JobStore
from stepml.job.errors import InvalidJobError
from stepml.job.spec import JobSpec, ResumeFrom
from storage.parallel import at_once

_MUST_EQUAL = ("data", "model", "algorithm")


@dataclass(frozen=True, slots=True)
class Resumption:
    """The epochs that a job takes over."""

    job_id: str = ""  # the job that trained the last of these epochs
    epochs: int = 0  # that count as this job's
    rank_states_after: int = 0  # the last epoch without rank states to take over
    digest: str = ""  # of the data that these epochs trained on; empty without epochs


def plan_resumption(store: JobStore, spec: JobSpec, *, keeps_rank_state: bool) -> Resumption:
    """Return the epochs that ``spec.resume_from`` asks for, after checking that they can be used.

    Parameters
    ----------
    store : JobStore
        Of the job that resumes.
    spec : JobSpec
    keeps_rank_state : bool
        Whether ranks need their results of the last epoch.

    Raises
    ------
    InvalidJobError
        The other job does not exist, has fewer epochs, trains something else, or has deleted what
        is needed.
    """
    asked = spec.resumed
    if asked is None:
        return Resumption()
    if asked.job == store.job_id:
        raise InvalidJobError(f"resume_from.job: expected another job, got {asked.job!r} itself")
    other = JobStore(store.storage, asked.job)
    before = _plan_of(other)
    _require_alike(before.spec, spec, asked.job)
    epochs = _epochs(asked, spec, other.finished_epochs())
    while before.resumed_epochs > epochs:  # the other job took them over itself: go further back
        other = JobStore(store.storage, before.resumed_from)
        before = other.partition_plan.load()
    if epochs:
        _require_stored(other, epochs, [other.state(epochs)])
    rank_states_after = epochs
    same_world = before.spec.workers == spec.workers
    if keeps_rank_state and same_world and epochs > before.rank_states_after:
        ranks = range(spec.workers)
        _require_stored(other, epochs, [other.rank_state(epochs, rank) for rank in ranks])
        rank_states_after = 0
    return Resumption(other.job_id, epochs, rank_states_after, before.digest if epochs else "")


def take_over(store: JobStore, plan: PartitionPlan) -> None:
    """Copy the objects that a resumed job needs; existing ones stay."""
    last, source = plan.resumed_epochs, JobStore(store.storage, plan.resumed_from)
    if last == 0:
        return
    # One after another, as they may be large.
    source.state(last).copy_to(store.state(last))
    for rank in range(plan.spec.workers if last > plan.rank_states_after else 0):
        publish_rank_state(store, last, rank, source.rank_state(last, rank).load())
    at_once(lambda epoch: source.report(epoch).copy_to(store.report(epoch)), range(1, last + 1))


def _plan_of(other: JobStore) -> PartitionPlan:
    plan = other.partition_plan.find()
    if plan is None:
        raise InvalidJobError(
            f"resume_from.job: expected a job of this stack that has begun, got {other.job_id!r}"
        )
    return plan


def _require_alike(before: JobSpec, spec: JobSpec, job: str) -> None:
    for field in _MUST_EQUAL:
        if getattr(before, field) != getattr(spec, field):
            raise InvalidJobError(
                f"{field}: expected that of resume_from.job {job!r}, whose epochs count as "
                "this job's; workers, exchange and stop may differ"
            )


def _epochs(asked: ResumeFrom, spec: JobSpec, finished: int) -> int:
    epochs = finished if asked.epoch is None else asked.epoch
    if epochs > finished:
        raise InvalidJobError(
            f"resume_from.epoch: expected 0 to {finished}, the finished epochs of job "
            f"{asked.job!r}, got {epochs}"
        )
    if epochs >= spec.stop.max_epochs:
        raise InvalidJobError(
            f"stop.max_epochs: expected more than the {epochs} epochs of job {asked.job!r} that "
            f"count, got {spec.stop.max_epochs}"
        )
    return epochs


def _require_stored(other: JobStore, epoch: int, entries: Sequence[Entry[Any]]) -> None:
    found = other.storage.find_many([each.key for each in entries])
    if missing := [each.key for each in entries if each.key not in found]:
        raise InvalidJobError(
            f"resume_from.epoch: job {other.job_id!r} has deleted a result of epoch {epoch} "
            f"(nothing is stored under {missing[0]}); a job that has ended keeps the rank states "
            "of its last epoch only"
        )
