"""Merges one chunk of what the ranks contributed to an epoch; only for `reduce_scatter`."""

from __future__ import annotations

from lambdas.documents import Documents
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.exchanges import open_mergeable
from lambdas.fences import comes_too_late, look_at_fences
from lambdas.logs import log
from lambdas.plans import TrainingPlan
from stepml.job import keys
from stepml.job.step import Step
from stepml.job.tasks import MergerTask
from storage import DurableStorage


@handles(MergerTask)
def handler(task: MergerTask, context: LambdaContext) -> None:
    merge_chunk(task, durable())


def merge_chunk(task: MergerTask, storage: DurableStorage) -> None:
    """Publish the sum of one chunk; a late copy, whose epoch is over, does nothing.

    Raises
    ------
    MissingContributionError, DamagedValueError
        The channel lost something: the epoch has to be done again.
    AttemptStoppedError
        The execution has ended for which this function works.
    """
    if storage.find_many([keys.epoch_report(task.job_id, task.epoch)]):
        return
    look_at_fences(task, storage)
    plan = Documents(storage).load(keys.training_plan(task.job_id), TrainingPlan)
    exchange = open_mergeable(task.job_id, plan, storage)
    exchange.merge(Step(task.epoch), task.chunk)
    if comes_too_late(task, task.epoch, storage):
        exchange.withdraw_sum(Step(task.epoch), task.chunk)
    log("chunk merged", job_id=task.job_id, epoch=task.epoch, chunk=task.chunk)
