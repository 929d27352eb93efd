"""The state with which the loop over epochs begins, in ``train.asl.json``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lambdas.attempts.workforce import Workforce
from lambdas.epochs import epochs_of
from lambdas.history import epochs_beside
from lambdas.job_store import PartitionPlan
from stepml.job.function_kinds import FUNCTION_KINDS
from stepml.job.spec import JobSpec
from stepml.job.tasks import DataTasks, JobFunctions, JobState, LoopPosition

# An epoch that takes longer has failed: six functions of 15 minutes in a row, and their retries.
EPOCH_TIMEOUT_S = 6 * 3600
MOST_SLICES = 40  # of at most 64 MB of rows


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a deployment and of an execution."""

    concurrency: int  # functions that the account runs at once
    most_epochs: int | None = None  # of one execution; None: as many as its history holds
    function_kinds: Collection[str] = tuple(FUNCTION_KINDS)  # that the deployment has
    runs_own_code: bool = True  # the deployment, of jobs

    def epochs_an_execution(self, map_iterations: int) -> int:
        """Return the epochs of an execution whose Maps have had ``map_iterations`` before."""
        return epochs_beside(map_iterations) if self.most_epochs is None else self.most_epochs


@dataclass(frozen=True, slots=True)
class Start:
    """The start of an execution."""

    job_id: str
    plan: PartitionPlan
    position: LoopPosition  # the epoch that is next
    ranges: Sequence[int] = ()  # range tasks before it
    shards: Sequence[int] = ()  # shards to make before it: ranks, and `keys.VALIDATION`


def loop_state(start: Start, limits: Limits) -> JobState:
    """Return the state of an execution, from its start."""
    spec, epochs = start.plan.spec, epochs_of(start.plan.spec)
    workforce = Workforce(spec.workers, limits.concurrency, epochs.waits_for_all)
    tasks_before = len(start.ranges) + len(start.shards)
    return JobState(
        job_id=start.job_id,
        run=start.plan.run,
        functions=JobFunctions.of(spec, reads_any_column=start.plan.layout.is_general),
        data=DataTasks(ranges=list(start.ranges), shards=list(start.shards)),
        ranks=workforce.ranks,
        groups=workforce.groups,
        ranks_at_once=workforce.ranks_at_once,
        groups_at_once=workforce.groups_at_once,
        chunks=epochs.chunks,
        slices=_slices(spec),
        checks_model=bool(start.shards) and (bool(spec.model.function_kind) or spec.needs_code),
        progress=start.position,
        epoch_timeout_s=EPOCH_TIMEOUT_S,
        handover_epoch=start.position.next_epoch + limits.epochs_an_execution(tasks_before),
    )


def _slices(spec: JobSpec) -> list[int]:
    n_slices = min(spec.workers, MOST_SLICES) if spec.model.is_evaluated_apart else 0
    return list(range(n_slices))
