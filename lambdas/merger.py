"""Merges one chunk of the ranks' contributions to an epoch; only for `reduce_scatter`."""

from __future__ import annotations

from lambdas.attempts.costs import Invocation
from lambdas.attempts.fences import Fences
from lambdas.channels import merger_exchange
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.epochs import epochs_of
from lambdas.job_store import JobStore
from lambdas.logs import log
from stepml.job.step import Step
from stepml.job.tasks import MergerTask, Spent
from storage import DurableStorage


@handles(MergerTask)
def handler(task: MergerTask, context: LambdaContext) -> Spent:
    invocation = Invocation.begin(durable(), task)
    merge_chunk(task, invocation.storage)
    return invocation.spent()


def merge_chunk(task: MergerTask, storage: DurableStorage) -> None:
    """Publish the sum of one chunk; a late copy, whose epoch is over, does nothing.

    Raises
    ------
    MissingContributionError, DamagedValueError
        The channel lost something: the epoch has to be trained again.
    AttemptStoppedError
        The execution has ended.
    """
    store = JobStore(storage, task.job_id)
    if store.report(task.epoch).exists():
        return
    fences = Fences(store, task)
    fences.look()
    plan = store.training_plan.load()
    exchange = merger_exchange(store, plan, epochs_of(plan.spec).n_chunks)
    exchange.merge(Step(task.epoch), task.chunk)
    if fences.comes_too_late():
        exchange.withdraw_sum(Step(task.epoch), task.chunk)
    log("chunk merged", job_id=task.job_id, epoch=task.epoch, chunk=task.chunk)
