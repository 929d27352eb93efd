"""Merges one chunk of the ranks' contributions to an epoch; only for `reduce_scatter`."""

from __future__ import annotations

from lambdas.attempts.costs import Invocation
from lambdas.attempts.fences import Fences
from lambdas.attempts.times import times_of
from lambdas.channels import merger_exchange
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.epochs import epochs_of
from lambdas.job_store import JobStore
from lambdas.logs import log
from stepml.job.packed_times import pack_times
from stepml.job.parts import MOST_RANKS_LISTED
from stepml.job.spec import JobSpec
from stepml.job.step import Step
from stepml.job.stopwatch import timed
from stepml.job.tasks import Merged, MergerTask
from storage import DurableStorage


@handles(MergerTask)
def handler(task: MergerTask, context: LambdaContext) -> Merged:
    return merge_chunk(task, durable())


def merge_chunk(task: MergerTask, storage: DurableStorage) -> Merged:
    """Publish the sum of one chunk; a late copy, whose epoch is over, does nothing.

    Raises
    ------
    MissingContributionError, DamagedValueError
        The channel lost something: the epoch has to be trained again.
    AttemptStoppedError
        The execution has ended.
    """
    invocation = Invocation.begin(storage, task)
    store = JobStore(invocation.storage, task.job_id)
    with invocation.measured():
        if store.report(task.epoch).exists():
            cost_usd = invocation.cost_usd()
            return Merged(cost_usd=cost_usd, merged=cost_usd)
        fences = Fences(store, task)
        fences.look()
        with timed("load"):
            plan = store.training_plan.load()
        exchange = merger_exchange(store, plan, epochs_of(plan.spec).n_chunks)
        with timed("transfer"):
            exchange.merge(Step(task.epoch), task.chunk)
        if fences.comes_too_late():
            exchange.withdraw_sum(Step(task.epoch), task.chunk)
    seconds = round(invocation.seconds, 3)
    log("chunk merged", job_id=task.job_id, epoch=task.epoch, chunk=task.chunk, seconds=seconds)
    return _result(task, invocation, plan.spec)


def _result(task: MergerTask, invocation: Invocation, spec: JobSpec) -> Merged:
    cost_usd = invocation.cost_usd()
    if spec.workers > MOST_RANKS_LISTED:  # each merges a chunk: the state has no room for more
        return Merged(cost_usd=cost_usd, merged=cost_usd)
    times = times_of(invocation, task, "merger", task.chunk, cost_usd)
    packed = pack_times(times, spec.exchange.channel)
    return Merged(cost_usd=cost_usd, merged=(cost_usd, packed))
