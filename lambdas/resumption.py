"""A job that goes on where another one was: whose epochs count as its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lambdas.documents import Documents
from lambdas.own_states import OwnStates
from lambdas.plans import PartitionPlan
from lambdas.states import unpack_state
from stepml.job import keys
from stepml.job.documents import decode
from stepml.job.errors import InvalidJobError
from stepml.job.reports import EpochReport
from stepml.job.spec import JobSpec, ResumeFrom
from stepml.ml.algorithms import OrchestratedAlgorithm, build_algorithm
from storage import DurableStorage
from storage.parallel import at_once

_AT_ONCE = 256  # reports that are asked for together
_MUST_EQUAL = ("data", "model", "algorithm")


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a job takes over."""

    job_id: str = ""  # of the job that has trained the last of these epochs
    epochs: int = 0  # that count as its own
    own_states_after: int = 0  # the last epoch of which it takes over no states of ranks
    digest: str = ""  # of the data that those epochs learnt from

    def require_same_data(self, digest: str) -> None:
        """Raise `InvalidJobError` if the data are others by now."""
        if self.epochs and digest != self.digest:
            raise InvalidJobError(
                f"data.uri: what lies there is not what job {self.job_id!r} has learnt from; its "
                "epochs cannot count as this job's"
            )


def finished_epochs(storage: DurableStorage, job_id: str, after: int = 0) -> int:
    """Return how many epochs of a job are finished, ``after`` of which are known to be."""
    while True:
        names = [keys.epoch_report(job_id, after + n) for n in range(1, _AT_ONCE + 1)]
        found = storage.find_many(names)
        in_a_row = next((n for n, name in enumerate(names) if name not in found), _AT_ONCE)
        after += in_a_row
        if in_a_row < _AT_ONCE:
            return after


def plan_resumption(job_id: str, spec: JobSpec, storage: DurableStorage) -> Resumption:
    """Return what ``spec.resume_from`` means, once it is clear that it can be done.

    Raises
    ------
    InvalidJobError
        There is no such job or not so many epochs, it learns something else, or it has not kept
        what is needed.
    """
    asked = spec.resumed
    if asked is None:
        return Resumption()
    if asked.job == job_id:
        raise InvalidJobError(f"resume_from.job: expected another job, got {asked.job!r} itself")
    documents = Documents(storage)
    before = documents.find(keys.partition_plan(asked.job), PartitionPlan)
    if before is None:
        raise InvalidJobError(
            f"resume_from.job: expected a job of this stack that has begun, got {asked.job!r}"
        )
    for group in _MUST_EQUAL:
        if getattr(before.spec, group) != getattr(spec, group):
            raise InvalidJobError(
                f"{group}: expected that of resume_from.job {asked.job!r}, whose epochs count as "
                "this job's; workers, exchange and stop may differ"
            )
    epochs = _epochs(asked, spec, finished_epochs(storage, asked.job))
    job = asked.job
    while before.resumed_epochs > epochs:  # it had taken them over itself: from there
        job = before.resumed_from
        before = documents.load(keys.partition_plan(job), PartitionPlan)
    if epochs:
        _require_kept(job, epochs, [keys.state(job, epochs)], storage)
    own_states_after = epochs
    if _takes_over_own_states(before, spec, epochs):
        own = [keys.own_state(job, epochs, rank) for rank in range(spec.workers)]
        _require_kept(job, epochs, own, storage)
        own_states_after = 0
    return Resumption(job, epochs, own_states_after, before.digest)


def _epochs(asked: ResumeFrom, spec: JobSpec, finished: int) -> int:
    epochs = finished if asked.epoch is None else asked.epoch
    if epochs > finished:
        raise InvalidJobError(
            f"resume_from.epoch: expected 0 to {finished}, the epochs that job {asked.job!r} has "
            f"finished, got {epochs}"
        )
    if epochs >= spec.stop.max_epochs:
        raise InvalidJobError(
            f"stop.max_epochs: expected more than the {epochs} epochs of job {asked.job!r} that "
            f"count, got {spec.stop.max_epochs}"
        )
    return epochs


def _takes_over_own_states(before: PartitionPlan, spec: JobSpec, epochs: int) -> bool:
    """Return whether ranks go on with what those of the other job ended their last epoch with."""
    algorithm = build_algorithm(spec)
    keeps = isinstance(algorithm, OrchestratedAlgorithm) and algorithm.keeps_rank_state
    return keeps and before.spec.workers == spec.workers and epochs > before.own_states_after


def _require_kept(job: str, epoch: int, names: list[str], storage: DurableStorage) -> None:
    found = storage.find_many(names)
    if missing := [name for name in names if name not in found]:
        raise InvalidJobError(
            f"resume_from.epoch: job {job!r} has not kept what epoch {epoch} ended with (nothing "
            f"is stored under {missing[0]}); of what is a rank's own, a job that has ended keeps "
            "only its last epoch's"
        )


def take_over(plan: PartitionPlan, job_id: str, storage: DurableStorage) -> None:
    """Copy what a resumed job needs of the other one; what is there already stays."""
    last, source = plan.resumed_epochs, plan.resumed_from
    if last == 0:
        return
    # One after another, as they may be large; what is damaged there must not become this job's.
    original = keys.state(source, last)
    state = storage.load(original)
    unpack_state(state, original)
    storage.publish(keys.state(job_id, last), state)
    for rank in range(plan.spec.workers if last > plan.own_states_after else 0):
        own = OwnStates(storage, source, rank).load(last)
        OwnStates(storage, job_id, rank).publish(last, own)
    at_once(lambda names: _copy_report(*names, storage), [*_reports(source, job_id, last)])


def _reports(source: str, target: str, epochs: int) -> Iterator[tuple[str, str]]:
    for epoch in range(1, epochs + 1):
        yield keys.epoch_report(source, epoch), keys.epoch_report(target, epoch)


def _copy_report(source: str, target: str, storage: DurableStorage) -> None:
    report = storage.load(source)
    decode(report, EpochReport, source)
    storage.publish(target, report)
