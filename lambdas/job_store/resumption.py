"""A job that resumes another one: the other job's epochs count as its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lambdas.job_store.entries import Entry
from lambdas.job_store.plans import PartitionPlan, TrainingPlan
from lambdas.job_store.rank_states import publish_rank_state
from lambdas.job_store.store import JobStore
from stepml.job.choices import inherited
from stepml.job.errors import InvalidJobError
from stepml.job.measures import LOSS
from stepml.job.models import Neural
from stepml.job.spec import JobSpec, ResumeFrom
from stepml.ml.choices import note_on_batch, with_shared_batch
from stepml.ml.data import DataObject, Layout
from stepml.ml.standing import best_epoch
from storage.parallel import at_once

_MUST_EQUAL = ("data", "model", "algorithm")


@dataclass(frozen=True, slots=True)
class Resumption:
    """The epochs that a job takes over."""

    job_id: str = ""  # the job that trained the last of these epochs
    epochs: int = 0  # that count as this job's
    rank_states_after: int = 0  # the last epoch without rank states to take over
    data: PartitionPlan | None = None  # that these epochs trained on; None without epochs
    before: JobSpec | None = None  # the resumed job, with what was chosen for it

    def shared(self, spec: JobSpec, asked: JobSpec) -> tuple[JobSpec, list[str]]:
        """Return the job with the batches of the resumed one, shared by its workers, and notes.

        ``asked`` is the job as it was given.
        """
        if self.before is None:
            return spec, []
        spec = with_shared_batch(spec, asked, self.before)
        return spec, note_on_batch(spec, self.before)

    def require_same_data(self, objects: list[DataObject], layout: Layout) -> None:
        """Refuse data other than those of the epochs.

        The version that partitioned them, and so their digest, may be another one.

        Raises
        ------
        InvalidJobError
            An object has changed, or its columns are read in another way.
        """
        if self.data is None:
            return
        if _contents(self.data.objects) != _contents(objects):
            raise InvalidJobError(
                f"data.uri: the data are not those on which job {self.job_id!r} trained; its "
                "epochs cannot count as this job's"
            )
        if differences := _differences(self.data.layout, layout):
            raise InvalidJobError(
                f"resume_from.job: job {self.job_id!r} was started by a version of StepML that "
                f"reads these data in another way ({differences}); its "
                "epochs cannot count as this job's"
            )


def with_choices_of_resumed(store: JobStore, spec: JobSpec) -> JobSpec:
    """Return ``spec`` with the choices that were made for the job that it resumes, if any."""
    if spec.resumed is None:
        return spec
    other = JobStore(store.storage, spec.resumed.job)
    before = other.training_plan.find() or other.partition_plan.find()
    return spec if before is None else inherited(spec, before.spec)


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
    chosen = other.training_plan.find()
    known = before.spec if chosen is None else chosen.spec
    _require_alike(known, inherited(spec, known), asked.job)
    epochs = _epochs(asked, spec, other.finished_epochs())
    while before.resumed_epochs > epochs:  # the other job took them over itself: go further back
        other = JobStore(store.storage, before.resumed_from)
        before = other.partition_plan.load()
    if epochs:
        _require_no_weights(known, spec, asked.job)
        _require_stored(other, epochs, [other.state(epochs)])
        _require_measured(other, spec.stop.metric, epochs)
        if spec.stop.keep == "best":
            _require_best_state(other, spec, epochs)
    rank_states_after = epochs
    same_world = before.spec.workers == spec.workers
    if keeps_rank_state and same_world and epochs > before.rank_states_after:
        ranks = range(spec.workers)
        _require_stored(other, epochs, [other.rank_state(epochs, rank) for rank in ranks])
        rank_states_after = 0
    return Resumption(other.job_id, epochs, rank_states_after, before if epochs else None, known)


def require_same_network(store: JobStore, partition: PartitionPlan, plan: TrainingPlan) -> None:
    """Refuse a model other than that of the epochs, as other code of the user's may make it.

    Raises
    ------
    InvalidJobError
        A network's tensors have other names or shapes, or another model has more parameters, or
        fewer.
    """
    if not partition.resumed_epochs:
        return
    if plan.network is None:
        _require_same_size(store, partition, plan)
        return
    before = JobStore(store.storage, partition.resumed_from).training_plan.find()
    if before is None or before.network is None or before.network == plan.network:
        return
    old, new = ((*each.trained, *each.rest) for each in (before.network, plan.network))
    others = [each.name for each in new if each not in old]
    others += [each.name for each in old if each not in new]
    raise InvalidJobError(
        f"code: expected the network of resume_from.job {partition.resumed_from!r}, got one that "
        f"differs in {', '.join(list(dict.fromkeys(others))[:5]) or 'the order of its tensors'}"
    )


def _require_same_size(store: JobStore, partition: PartitionPlan, plan: TrainingPlan) -> None:
    if not plan.spec.model.needs_code:
        return
    last = JobStore(store.storage, partition.resumed_from).state(partition.resumed_epochs)
    before, now = last.load().parameters.size, plan.model().n_parameters
    if before != now:
        raise InvalidJobError(
            f"code: expected the {before:,} parameters of resume_from.job "
            f"{partition.resumed_from!r}, got a model with {now:,}"
        )


def take_over(store: JobStore, plan: PartitionPlan) -> None:
    """Copy the objects that a resumed job needs; existing ones stay."""
    last, source = plan.resumed_epochs, JobStore(store.storage, plan.resumed_from)
    if last == 0:
        return
    # One after another, as they may be large.
    source.state(last).copy_to(store.state(last))
    if plan.spec.stop.keep == "best":
        best = best_epoch(plan.spec.stop, source.reports(last))
        _holder(source, best).state(best).copy_to(store.state(best))
    for rank in range(plan.spec.workers if last > plan.rank_states_after else 0):
        publish_rank_state(store, last, rank, source.rank_state(last, rank).load())
    at_once(lambda epoch: source.report(epoch).copy_to(store.report(epoch)), range(1, last + 1))


def _require_measured(other: JobStore, measure: str, epochs: int) -> None:
    """Refuse a measure that is unknown of an epoch, as of those of earlier versions."""
    for report in other.reports(epochs) if measure != LOSS else ():
        if measure not in report.metrics:
            known = ", ".join([LOSS, *report.metrics])
            raise InvalidJobError(
                f"stop.metric: epoch {report.epoch} of job {other.job_id!r}, which counts as this "
                f"job's, has no {measure} in its report; expected one of {known}, or a "
                f"resume_from.epoch below {report.epoch}; got {measure!r}"
            )


def _require_best_state(other: JobStore, spec: JobSpec, epochs: int) -> None:
    best = best_epoch(spec.stop, other.reports(epochs))
    holder = _holder(other, best)
    _require_stored(holder, best, [holder.state(best)])


def _holder(store: JobStore, epoch: int) -> JobStore:
    """Return the job that trained ``epoch``: this one, or one whose epochs count as its own."""
    plan = store.partition_plan.load()
    while plan.resumed_epochs >= epoch and not store.state(epoch).exists():
        store = JobStore(store.storage, plan.resumed_from)
        plan = store.partition_plan.load()
    return store


def _contents(objects: list[DataObject]) -> list[tuple[str, int, str]]:
    return [(each.name, each.value_bytes, each.etag) for each in objects]


def _differences(before: Layout, layout: Layout) -> str:
    """Return the differences that matter to a model.

    The precision of its features does not, and the shape of rows follows from the objects. The
    job's own settings, which are the same, were no part of a layout once.
    """
    idle = {
        name: getattr(before, name) for name in ("fine", "row_shape", "settings", "has_classes")
    }
    if before.missing == "mean" and layout.missing == "keep":  # another name for the same
        idle["missing"] = before.missing
    now = asdict(replace(layout, **idle))
    return ", ".join(
        f"{name}: {value!r} then, {now[name]!r} now"
        for name, value in asdict(before).items()
        if value != now[name]
    )


def _plan_of(other: JobStore) -> PartitionPlan:
    plan = other.partition_plan.find()
    if plan is None:
        raise InvalidJobError(
            f"resume_from.job: expected a job of this stack that has begun, got {other.job_id!r}"
        )
    return plan


def _require_alike(before: JobSpec, spec: JobSpec, job: str) -> None:
    free = spec.model.free_fields
    for field in _MUST_EQUAL:
        if name := _difference(field, getattr(before, field), getattr(spec, field), free):
            own = [each.partition(".")[2] for each in free if each.startswith(f"{field}.")]
            more = f"; of {field} also {', '.join(own)}" if own else ""
            raise InvalidJobError(
                f"{name}: expected that of resume_from.job {job!r}, whose epochs count as "
                f"this job's; workers, exchange and stop may differ{more}"
            )


def _require_no_weights(before: JobSpec, spec: JobSpec, job: str) -> None:
    """Refuse first parameters other than those with which the epochs began."""
    now, then = spec.model, before.model
    if not isinstance(now, Neural) or not isinstance(then, Neural) or now.weights is None:
        return
    if (now.weights, now.reset) != (then.weights, then.reset):
        raise InvalidJobError(
            f"model.weights: has no effect with resume_from, as job {job!r} gives the parameters; "
            f"expected null, or weights and reset of that job, got {now.weights!r}"
        )


def _difference(field: str, before: Any, now: Any, free: Sequence[str]) -> str:
    """Return the path of a difference between two groups of a job, or "" if all else is free."""
    if type(before) is not type(now):
        return field
    paths = {f"{field}.{name}": name for name in now.__struct_fields__}
    return next(
        (
            path
            for path, name in paths.items()
            if path not in free and getattr(before, name) != getattr(now, name)
        ),
        "",
    )


def _epochs(asked: ResumeFrom, spec: JobSpec, finished: int) -> int:
    epochs = finished if asked.epoch is None else asked.epoch
    if epochs > finished:
        raise InvalidJobError(
            f"resume_from.epoch: expected 0 to {finished}, the finished epochs of job "
            f"{asked.job!r}, got {epochs}"
        )
    if spec.stop.max_epochs is not None and epochs >= spec.stop.max_epochs:
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
