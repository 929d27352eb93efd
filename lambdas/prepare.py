"""Checks a job, claims its id, plans byte ranges and ranks; writes once all is checked.

An execution that goes on with a job, because another one's history is full, begins here as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec
import xxhash

from lambdas.documents import Documents
from lambdas.entry import handles
from lambdas.environment import LambdaContext, bucket, durable
from lambdas.exchanges import Channels, chunks_to_merge
from lambdas.logs import log
from lambdas.plans import Claim, PartitionPlan
from lambdas.resumption import Resumption, finished_epochs, plan_resumption
from lambdas.workforce import Workforce, refuse_too_wide, waits_for_all
from stepml.job import keys
from stepml.job.availability import refuse_unconfigured
from stepml.job.errors import InvalidTaskError, JobIdTakenError
from stepml.job.names import check_job_id
from stepml.job.parse import parse_job
from stepml.job.reports import EpochReport
from stepml.job.spec import JobSpec
from stepml.job.step import Step
from stepml.job.tasks import Continued, JobFunctions, JobState, LoopPosition, PrepareTask
from stepml.ml.data import plan_data
from storage import DurableStorage

# An epoch that takes longer has failed: six functions of 15 minutes in a row, and their retries.
EPOCH_TIMEOUT_S = 6 * 3600
# Step Functions ends an execution at 25,000 events. Some are left for redrives, and each epoch has
# twice the events that it needs, so that all of them may be retried.
HISTORY_EVENTS = 24_000
EVENTS_AN_EPOCH = 18
EVENTS_AN_ITERATION = 8  # of a Map; a few of them may be retried
CONCURRENCY_VARIABLE = "STEPML_CONCURRENCY"  # functions at once; set by templates/template.yaml
HANDOVER_VARIABLE = "STEPML_EPOCHS_AN_EXECUTION"  # optional: fewer than fit

OpenBucket = Callable[[str], DurableStorage]


@handles(PrepareTask)
def handler(task: PrepareTask, context: LambdaContext) -> JobState:
    concurrency = int(os.environ[CONCURRENCY_VARIABLE])
    continued = Continued.of_input(task.job)
    if continued is not None:
        return go_on(continued, durable(), concurrency)
    return prepare(task, durable(), bucket, Channels.of_deployment(durable()), concurrency)


def prepare(
    task: PrepareTask,
    storage: DurableStorage,
    open_bucket: OpenBucket,
    channels: Channels,
    concurrency: int,
) -> JobState:
    """Check the job, claim its id and return what the state machine needs to run it.

    Parameters
    ----------
    task : PrepareTask
    storage : DurableStorage
    open_bucket : callable
        Returns the objects of a bucket.
    channels : Channels
    concurrency : int
        Functions that the account runs at once.

    Raises
    ------
    InvalidJobError, InvalidDataError
        The job or the data are wrong; nothing has been written.
    NotAvailableError
        This deployment does not have the job's channel, or not the concurrency.
    StorageUnavailableError, StorageDeniedError
        The channel cannot be reached, or refuses the functions.
    JobIdTakenError
        Another execution owns the id.
    """
    spec = parse_job(task.job)
    check_job_id(task.job_id, spec.stop.max_epochs)
    refuse_too_wide(spec, concurrency)
    run = run_name(task.execution_arn, task.started_at)
    check_channel(spec, keys.exchange_prefix(task.job_id, run), channels)
    resumption = plan_resumption(task.job_id, spec, storage)
    plan = plan_partition(spec, run, open_bucket, resumption)
    resumption.require_same_data(plan.digest)
    documents = Documents(storage)
    _claim(task, documents)
    storage.publish(keys.spec(task.job_id), msgspec.json.encode(spec))  # can be started again
    plan = documents.publish(keys.partition_plan(task.job_id), plan)
    partitioned = storage.describe(keys.manifest(plan.digest)) is not None
    log(
        "job prepared",
        job_id=task.job_id,
        dataset=plan.digest,
        ranges=len(plan.tasks),
        partitioned_before=partitioned,
    )
    done = plan.resumed_epochs
    progress = LoopPosition(epoch=done, decision="continue", next_epoch=done + 1)
    ranges = [] if partitioned else list(range(len(plan.tasks)))
    shards = [keys.VALIDATION, *range(spec.workers)]
    return job_state(task.job_id, plan, concurrency, progress, ranges, shards)


def go_on(continued: Continued, storage: DurableStorage, concurrency: int) -> JobState:
    """Return what the state machine needs to run the rest of a job.

    Of its epochs, those that are finished by now count: an execution that is redriven starts
    another one in the place of one that may have come further.

    Raises
    ------
    InvalidTaskError
        It is not the job that the other execution has begun.
    """
    documents = Documents(storage)
    plan = documents.load(keys.partition_plan(continued.job_id), PartitionPlan)
    if plan.run != continued.run:
        raise InvalidTaskError(
            f"continues.run: expected {plan.run!r}, that of job {continued.job_id!r}, "
            f"got {continued.run!r}"
        )
    done = finished_epochs(storage, continued.job_id, continued.next_epoch - 1)
    last = documents.load(keys.epoch_report(continued.job_id, done), EpochReport)
    progress = LoopPosition(epoch=done, decision=last.decision, next_epoch=last.next_epoch)
    log("job goes on", job_id=continued.job_id, epoch=last.next_epoch)
    return job_state(continued.job_id, plan, concurrency, progress, ranges=[], shards=[])


def job_state(
    job_id: str,
    plan: PartitionPlan,
    concurrency: int,
    progress: LoopPosition,
    ranges: list[int],
    shards: list[int],
) -> JobState:
    """Return the state with which ``train.asl.json`` begins."""
    spec = plan.spec
    workforce = Workforce(spec.workers, concurrency, waits_for_all(spec))
    return JobState(
        job_id=job_id,
        run=plan.run,
        functions=JobFunctions.of(spec),
        ranges=ranges,
        shards=shards,
        ranks=workforce.ranks,
        groups=workforce.groups,
        ranks_at_once=workforce.ranks_at_once,
        groups_at_once=workforce.groups_at_once,
        chunks=chunks_to_merge(spec),
        progress=progress,
        epoch_timeout_s=EPOCH_TIMEOUT_S,
        handover_epoch=progress.next_epoch + epochs_an_execution(len(ranges) + len(shards)),
    )


def epochs_an_execution(map_iterations: int) -> int:
    """Return how many epochs fit into the history of one execution, begun with so many tasks."""
    asked = os.environ.get(HANDOVER_VARIABLE)
    if asked:
        return int(asked)
    return (HISTORY_EVENTS - map_iterations * EVENTS_AN_ITERATION) // EVENTS_AN_EPOCH


def run_name(execution_arn: str, started_at: str) -> str:
    """Return what tells this run from every other of its job id, for its keys in the channel."""
    return xxhash.xxh3_64_hexdigest(f"{execution_arn} {started_at}".encode())


def check_channel(spec: JobSpec, prefix: str, channels: Channels) -> None:
    """Raise now what the first exchange would fail of: no such service here, or no answer."""
    name = spec.exchange.channel
    refuse_unconfigured(name, channels.configured)
    channels.require_answer(name, keys.aggregate(prefix, Step(1), 0))


def plan_partition(
    spec: JobSpec, run: str, open_bucket: OpenBucket, resumption: Resumption
) -> PartitionPlan:
    """Return how the data of ``spec`` are cut, from a look at their names and first lines."""
    bucket_name, _, path = spec.data.uri.removeprefix("s3://").partition("/")
    planned = plan_data(open_bucket(bucket_name), path, spec.data)
    return PartitionPlan(
        spec=spec,
        run=run,
        digest=planned.digest,
        bucket=bucket_name,
        objects=planned.objects,
        layout=planned.layout,
        tasks=planned.tasks,
        resumed_from=resumption.job_id,
        resumed_epochs=resumption.epochs,
        own_states_after=resumption.own_states_after,
    )


def _claim(task: PrepareTask, documents: Documents) -> None:
    mine = Claim(task.execution_arn, task.started_at)
    owner = documents.publish(keys.claim(task.job_id), mine)
    if owner != mine:
        raise JobIdTakenError(
            f"run name {task.job_id!r} is taken by {owner.execution_arn}, started at "
            f"{owner.started_at}, whose objects are still stored; choose another name"
        )
