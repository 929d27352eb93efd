"""Checks a job, claims its id, plans byte ranges and ranks; writes once everything is checked.

An execution that continues a job, because another one's history is full, begins here as well.
"""

from __future__ import annotations

import os

from msgspec.structs import replace

from lambdas.attempts.costs import Invocation
from lambdas.channels import Channels, JobChannel
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.epochs import epochs_of
from lambdas.epochs.loop import Limits, Start, loop_state
from lambdas.job_store import Claim, JobStore, PartitionPlan
from lambdas.job_store.code import store_code
from lambdas.job_store.given_objects import OpenBucket
from lambdas.job_store.resumption import plan_resumption, with_choices_of_resumed
from lambdas.job_store.weights import require_weights
from lambdas.logs import log
from stepml.job import keys
from stepml.job.channels import CHANNELS, refuse_unconfigured
from stepml.job.choices import (
    choices_between,
    with_algorithm,
    with_format,
    with_index_base,
    with_rows,
)
from stepml.job.concurrency import refuse_too_wide
from stepml.job.errors import InvalidTaskError, NotAvailableError, StorageUnavailableError
from stepml.job.function_kinds import refuse_missing_functions, refuse_own_code
from stepml.job.names import check_job_id
from stepml.job.parse import parse_job, require_no_contradiction
from stepml.job.places import bucket_and_key
from stepml.job.tasks import Continued, JobState, LoopPosition, PrepareTask
from stepml.ml.data import guess_format, note_on_format, plan_data
from stepml.ml.label_checks import require_labels_suit
from storage import DurableStorage
from storage.factory import BUCKET_VARIABLE

CONCURRENCY_VARIABLE = "STEPML_CONCURRENCY"  # functions at once; set by templates/template.yaml
KINDS_VARIABLE = "STEPML_FUNCTION_KINDS"  # of functions that exist, separated by commas; as above
OWN_CODE_VARIABLE = "STEPML_OWN_CODE"  # on or off; as above
HANDOVER_VARIABLE = "STEPML_EPOCHS_AN_EXECUTION"  # optional: fewer than fit


@handles(PrepareTask)
def handler(task: PrepareTask, context: LambdaContext) -> JobState:
    handover = os.environ.get(HANDOVER_VARIABLE)
    limits = Limits(
        int(os.environ[CONCURRENCY_VARIABLE]),
        int(handover) if handover else None,
        os.environ[KINDS_VARIABLE].split(","),
        os.environ[OWN_CODE_VARIABLE] == "on",
    )
    invocation = Invocation.begin(durable(), task)
    storage, own_bucket = invocation.storage, os.environ[BUCKET_VARIABLE]
    channels = Channels.of_deployment(storage)
    state = prepare(task, storage, invocation.bucket, channels, limits, own_bucket)
    return replace(state, data=replace(state.data, spent_usd=invocation.cost_usd()))


def prepare(
    task: PrepareTask,
    storage: DurableStorage,
    open_bucket: OpenBucket,
    channels: Channels,
    limits: Limits,
    own_bucket: str,
) -> JobState:
    """Begin a job, or continue one, and return the state of its execution.

    Parameters
    ----------
    task : PrepareTask
    storage : DurableStorage
    open_bucket : callable
        Returns the objects of a bucket.
    channels : Channels
    limits : Limits
    own_bucket : str
        The name of the stack's bucket, in which places without a bucket are.

    Raises
    ------
    InvalidJobError, InvalidDataError
        The job or the data are wrong; nothing has been written.
    NotAvailableError
        This deployment runs no code of jobs, or lacks the job's functions, its channel or the
        concurrency, or the channel is a read-only replica.
    StorageUnavailableError, StorageDeniedError
        The channel cannot be reached, or refuses the functions.
    JobIdTakenError
        Another execution owns the id.
    InvalidTaskError
        The other execution, which this one continues, has begun another job.
    """
    continued = Continued.of_input(task.job)
    if continued is None:
        start = _begin(task, storage, open_bucket, channels, limits, own_bucket)
    else:
        start = _continue(continued, storage)
    return loop_state(start, limits)


def _begin(
    task: PrepareTask,
    storage: DurableStorage,
    open_bucket: OpenBucket,
    channels: Channels,
    limits: Limits,
    own_bucket: str,
) -> Start:
    asked = parse_job(task.job).in_bucket(own_bucket)
    store = JobStore(storage, task.job_id)
    check_job_id(task.job_id, asked.stop.most_epochs)
    refuse_missing_functions(asked.model, limits.function_kinds)
    refuse_own_code(asked, is_allowed=limits.runs_own_code)
    given = with_choices_of_resumed(store, asked)
    spec = with_algorithm(given, concurrency=limits.concurrency)
    epochs = epochs_of(spec)
    if epochs.waits_for_all:
        refuse_too_wide(spec, limits.concurrency)
    run = Claim(task.execution_arn, task.started_at).run
    refuse_unconfigured(spec.exchange.channel, channels.configured)
    _require_answer(channels.of_job(task.job_id, run, spec))
    resumed = plan_resumption(store, spec, keeps_rank_state=epochs.keeps_rank_state)
    bucket_name, path = bucket_and_key(spec.data.uri)
    source = open_bucket(bucket_name)
    found = given.data.format or guess_format(source, path, given.data, own_bucket)
    given, notes = resumed.shared(with_format(given, found), asked)
    require_no_contradiction(given)
    if not resumed.epochs:  # which give the parameters
        require_weights(spec.model.weights_uri, open_bucket)
    data = plan_data(source, path, given.data, own_bucket, has_classes=given.model.has_classes)
    require_labels_suit(given, data.layout)
    resumed.require_same_data(data.objects, data.layout)
    given = with_index_base(given, data.layout.zero_based)
    given = with_rows(given, data.layout.n_features, data.layout.row_shape)
    spec = with_algorithm(given, data.layout.n_features, limits.concurrency)
    plan = PartitionPlan(
        spec=spec,
        run=run,
        digest=data.digest,
        bucket=bucket_name,
        objects=data.objects,
        layout=data.layout,
        tasks=data.tasks,
        notes=[*note_on_format(asked.data, found), *notes, *data.notes],
        choices=choices_between(asked, spec),
        code=store_code(spec.code, storage, open_bucket),
        resumed_from=resumed.job_id,
        resumed_epochs=resumed.epochs,
        rank_states_after=resumed.rank_states_after,
    )
    return _claim(task, store, plan)


def _require_answer(channel: JobChannel) -> None:
    """Try the channel; errors as of `prepare`.

    A server that is still a replica after the retries of the storage is a wrong address, no
    fail-over. So no Task tries it again.
    """
    try:
        channel.require_answer()
    except StorageUnavailableError as error:
        if not error.is_read_only:
            raise
        name = channel.spec.exchange.channel
        raise NotAvailableError(
            f"exchange.channel {name!r}: the server of this deployment is a read-only replica; "
            f"the stack's parameter {CHANNELS[name].parameter} must have the address of the "
            f"primary ({error})"
        ) from error


def _claim(task: PrepareTask, store: JobStore, plan: PartitionPlan) -> Start:
    plan = store.begin(task.execution_arn, task.started_at, plan)
    is_partitioned = store.data_set(plan.digest).find_whole() is not None
    log(
        "job prepared",
        job_id=task.job_id,
        dataset=plan.digest,
        ranges=len(plan.tasks),
        partitioned_before=is_partitioned,
    )
    done = plan.resumed_epochs
    return Start(
        task.job_id,
        plan,
        LoopPosition(epoch=done, decision="continue", next_epoch=done + 1),
        ranges=() if is_partitioned else range(len(plan.tasks)),
        shards=(keys.VALIDATION, *range(plan.spec.workers)),
    )


def _continue(continued: Continued, storage: DurableStorage) -> Start:
    """Return the start behind all epochs that are finished by now.

    An execution that is redriven starts another one in the place of one that may have come
    further.
    """
    store = JobStore(storage, continued.job_id)
    plan = store.partition_plan.load()
    if plan.run != continued.run:
        raise InvalidTaskError(
            f"continues.run: expected {plan.run!r}, that of job {continued.job_id!r}, "
            f"got {continued.run!r}"
        )
    done = store.finished_epochs(continued.next_epoch - 1)
    last = store.report(done).load()
    log("job goes on", job_id=continued.job_id, epoch=last.next_epoch)
    position = LoopPosition(epoch=done, decision=last.decision, next_epoch=last.next_epoch)
    return Start(continued.job_id, plan, position)
