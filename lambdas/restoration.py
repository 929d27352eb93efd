"""Finds the parts of partitioned data that must be made again."""

from __future__ import annotations

from lambdas.history import iterations_again
from lambdas.job_store import JobStore, PartitionPlan
from lambdas.logs import log
from stepml.job.errors import DataSetDamagedError
from stepml.job.tasks import DataTasks, PartitionTask
from stepml.ml.data import Manifest
from stepml.ml.job_shards import kind_of
from storage import DurableStorage

MOST_TIMES = 3  # that an execution makes damaged data again, after its start and each redrive


def find_damage(task: PartitionTask, plan: PartitionPlan, storage: DurableStorage) -> DataTasks:
    """Return the ranges to parse and the shards to assemble; parse and assemble nothing.

    If only the manifest is missing or damaged, it is made from the summaries of the ranges.

    Raises
    ------
    DataSetDamagedError
        This was done several times.
    """
    store = JobStore(storage, task.job_id)
    if task.epoch is not None and not _failed_for_damage(store, task.epoch):
        return DataTasks()
    data_set = store.data_set(plan.digest)
    if task.times >= MOST_TIMES * (1 + task.redrives):
        raise DataSetDamagedError(
            f"datasets/{plan.digest}/ was damaged again after it had been made {task.times} times"
        )
    whole = data_set.find_whole()
    ranges = [] if whole else data_set.damaged_ranges(len(plan.tasks))
    if whole is None and not ranges:
        whole = data_set.publish(plan)
    shards = _missing_shards(task, plan, store, whole or data_set.manifest.find_whole())
    log("damage found", job_id=task.job_id, ranges=len(ranges), shards=len(shards))
    return DataTasks(ranges=ranges, shards=shards, times=task.times + 1)


def _failed_for_damage(store: JobStore, epoch: int) -> bool:
    damaged = DataSetDamagedError.__name__
    return any(each.error == damaged for each in store.failures(epoch))


def _missing_shards(
    task: PartitionTask, plan: PartitionPlan, store: JobStore, manifest: Manifest | None
) -> list[int]:
    """Return the shards that are not stored, as many as the history has room for."""
    missing: list[int] = task.shards
    if missing and manifest is not None:
        kind = kind_of(plan.spec, manifest)
        missing = store.shards(plan.digest, plan.spec, kind).missing(missing)
    # Readers make the others.
    room = iterations_again(len(plan.tasks) + plan.spec.workers + 1)
    return missing[: room if task.times == 0 else 0]
