"""Writes the start of training: the plan, the features' scale, the state of epoch 0.

Before the data are partitioned, it tries the job's own code, and builds its network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import msgspec

from lambdas.attempts.costs import Invocation, preparation_costs
from lambdas.channels import channel_of
from lambdas.entry import handles
from lambdas.environment import Deadline, LambdaContext, bucket, durable, memory_mb
from lambdas.epochs import epochs_of
from lambdas.epochs.reports import evaluate
from lambdas.epochs.slices import evaluation_of_nothing
from lambdas.job_store import JobStore, PartitionPlan, TrainingPlan
from lambdas.job_store.given_objects import OpenBucket
from lambdas.job_store.label_units import label_unit
from lambdas.job_store.moments import load_moments
from lambdas.job_store.network_checks import (
    NetworkFacts,
    check_network_of,
    most_batch_size,
    require_rows_enough,
)
from lambdas.job_store.own_code_checks import check_own_code_of
from lambdas.job_store.preparation import with_preparation
from lambdas.job_store.resumption import require_same_network, take_over
from lambdas.job_store.room import fitted
from lambdas.job_store.samples import load_unscaled_sample
from lambdas.job_store.scales import learnt_scale
from lambdas.job_store.shards import load_shard
from lambdas.job_store.starts import Start
from lambdas.job_store.weights import check_weights
from lambdas.logs import log
from stepml.job import keys
from stepml.job.choices import with_rows
from stepml.job.errors import NotEnoughDataError
from stepml.job.formats import FORMATS
from stepml.job.measures import LOSS
from stepml.job.models import Neural
from stepml.job.prices import PUT_USD
from stepml.job.reports import JobWarning
from stepml.job.spec import JobSpec
from stepml.job.tasks import InitialiseTask, Spent
from stepml.ml.choices import with_pace, with_penalty, with_scaling, with_start
from stepml.ml.data import Manifest, Moments, Shard
from stepml.ml.data.pipeline import Pipeline
from stepml.ml.doubts import (
    doubts_about_classes,
    doubts_about_moments,
    notes_on_features,
    notes_on_left_out,
    require_no_doubts,
)
from stepml.ml.job_scale import mean_row
from stepml.ml.job_shards import split_of
from stepml.ml.models.base import Floats, LabelUnit
from stepml.ml.models.row_weights import targets_on
from stepml.ml.standing import value_of
from stepml.ml.stopping import with_tolerance
from stepml.ml.suitability import MOST_MODEL_BYTES
from storage import DurableStorage

NETWORK_ROWS = 1000  # that a network evaluates before training: 30 s of a ResNet-50


@handles(InitialiseTask)
def handler(task: InitialiseTask, context: LambdaContext) -> Spent:
    invocation = Invocation.begin(durable(), task)
    if task.only_check:
        check_model(task.job_id, invocation.storage, invocation.bucket)
        return invocation.spent()

    initialise(
        *(task.job_id, invocation.storage, Deadline.of(context), invocation.bucket),
        costs=lambda: preparation_costs(task.data, invocation.cost_usd(PUT_USD)),
    )
    return invocation.spent()


def check_model(
    job_id: str,
    storage: DurableStorage,
    open_bucket: OpenBucket = bucket,
    *,
    function_mb: int | None = None,
) -> None:
    """Check a job's own code, or its network and first parameters, before the data are read.

    Errors are those of `initialise`.
    """
    store = JobStore(storage, job_id)
    plan = store.partition_plan.load()
    manifest = store.data_set(plan.digest).find_whole()
    check_own_code_of(store, plan, manifest, MOST_MODEL_BYTES)
    if isinstance(plan.spec.model, Neural):
        facts = check_network_of(store, plan, manifest, function_mb or memory_mb())
        if not plan.resumed_epochs:  # which give the parameters
            check_weights(plan.spec.model, facts.layouts, open_bucket)
    log("model checked", job_id=job_id, data_are_known=manifest is not None)


def initialise(
    job_id: str,
    storage: DurableStorage,
    deadline: Deadline,
    open_bucket: OpenBucket = bucket,
    *,
    most_model_bytes: int = MOST_MODEL_BYTES,
    function_mb: int | None = None,
    costs: Callable[[], dict[str, float]] = dict,
) -> TrainingPlan:
    """Publish training plan, scale and first state; if done before, return the plan.

    ``costs`` returns those of the job so far, by state.

    Raises
    ------
    ExecutorPausedError
        Missing shards took half of the time; the next call makes the others.
    BadLabelError
        The training rows have only one class.
    NotEnoughDataError
        All training rows, or all validation rows, have the weight 0.
    InvalidJobError
        ``model.weights`` does not suit the network.
    InvalidCodeError, ModelTooLargeError
        The job's own code, or its network, does not suit the data, or the functions.
    DoubtfulResultError
        The job is strict, and there are warnings about its data.
    """
    store = JobStore(storage, job_id)
    plan = store.training_plan.find()
    if plan is None:
        room = most_model_bytes, function_mb or memory_mb()
        plan = _initialised(store, deadline, open_bucket, *room)
        plan = store.training_plan.publish(with_preparation(store, plan, costs()))
    require_no_doubts(plan.spec, plan.about.warnings)
    return plan


def _initialised(
    store: JobStore,
    deadline: Deadline,
    open_bucket: OpenBucket,
    most_model_bytes: int,
    function_mb: int,
) -> TrainingPlan:
    partition = store.partition_plan.load()
    manifest = store.data_set(partition.digest).load_manifest()
    check_own_code_of(store, partition, manifest, most_model_bytes)
    network = NetworkFacts([])
    if partition.spec.model.function_kind:
        # Again, now with the number of outputs and the shape of rows. Where CheckModel knew both,
        # this costs a second, and saves a record of what has been checked.
        network = check_network_of(store, partition, manifest, function_mb)
    else:
        partition = fitted(partition, manifest, most_model_bytes)
    known = with_rows(partition.spec, manifest.n_features, manifest.layout.row_shape)
    draft = _plan_of(partition, known, manifest)
    moments = load_moments(store, draft, deadline)
    sample = cache(lambda: load_unscaled_sample(store, draft))
    most_rows = most_batch_size(draft, network, function_mb)
    paced = _paced(store, partition, draft, manifest, sample, most_rows)
    paced = paced.with_network(moments, network.saved_row_bytes).with_weights(moments)
    require_same_network(store, partition, paced)
    scale = learnt_scale(paced, manifest, moments, sample)
    if scale is not None:
        scale = store.scale.publish(scale)
    if FORMATS[manifest.layout.format].label == "column":
        store.pipeline.publish(Pipeline.of(manifest, scale, paced.spec.data))
    notes = [
        *_notes(paced, manifest, moments, sample),
        *notes_on_left_out(manifest.named_features, scale),
    ]
    doubts = _doubts(store, paced, manifest, moments)
    start = Start(store, paced, open_bucket)
    plan = _plan_of(partition, start.with_steps(partition.spec.stop), manifest, paced.label_unit)
    plan = plan.with_rows_of(paced).noting(notes, doubts)
    require_rows_enough(plan)
    epochs_of(plan.spec).require_room(plan, channel_of(store, plan))
    take_over(store, partition)
    _publish_start(store, partition, plan, start)
    plan = _measured(
        store, partition, plan, manifest, mean_row(moments, scale, plan.training_rows), start
    )
    log("model initialised", job_id=store.job_id, parameters=plan.model().n_parameters)
    return plan


def _paced(
    store: JobStore,
    partition: PartitionPlan,
    draft: TrainingPlan,
    manifest: Manifest,
    sample: Callable[[], Shard],
    most_rows: int | None,
) -> TrainingPlan:
    """Return the plan with all choices but those that depend on the first parameters."""
    largest = max(abs(manifest.min_label), abs(manifest.max_label))
    spec = with_scaling(draft.spec, lambda: sample().X, largest, scales_table=manifest.scales_table)
    unit = label_unit(store, partition, spec, lambda: sample().y)
    if spec.model.is_convex:
        spec = with_start(spec, draft.model(), lambda: sample().X, draft.training_rows)
    spec = with_penalty(spec, draft.training_rows, has_levels=manifest.has_levels)
    return _plan_of(partition, with_pace(spec, draft.shard_rows, most_rows), manifest, unit)


def _publish_start(
    store: JobStore, partition: PartitionPlan, plan: TrainingPlan, start: Start
) -> None:
    """Publish the state of epoch 0, unless the job resumes another one."""
    _require_weight(store, plan)
    first = store.state(0)
    if partition.resumed_epochs == 0 and not first.exists():
        epochs = epochs_of(plan.spec)
        first.publish(epochs.first_state(plan.model(), start.parameters, start.rows))
    metric = plan.spec.stop.metric
    if metric != LOSS:  # refused now, not after an epoch
        parameters = store.state(partition.resumed_epochs).load().parameters
        some = evaluate(store, plan, parameters, _rows_before_training(plan))
        known = metric in some.metrics or not plan.spec.model.is_evaluated_apart
        value_of(some if known else evaluation_of_nothing(store, plan), metric)


def _measured(
    store: JobStore,
    partition: PartitionPlan,
    plan: TrainingPlan,
    manifest: Manifest,
    mean_row: Floats,
    start: Start,
) -> TrainingPlan:
    """Return the plan with the losses before training, and the tolerance that suits them."""
    model, facts = plan.model(), start.weighed(plan.facts(manifest, mean_row))
    constant_loss = _loss_of(store, plan, model.constant_parameters(facts))
    if constant_loss is None:
        validation = load_shard(store, plan, keys.VALIDATION)
        constant_loss = model.constant_loss(facts, targets_on(model, validation))
    begins = partition.resumed_epochs == 0
    first_loss = _loss_of(store, plan, start.untrained if begins else None)
    plan = msgspec.structs.replace(
        plan, constant_loss=constant_loss, first_loss=first_loss, start_fall=start.fall
    )
    trivial_loss = first_loss if constant_loss is None else constant_loss
    ending = with_tolerance(plan.spec, trivial_loss, plan.validation_rows, begins=begins)
    return plan.ending_like(ending.stop)


def _require_weight(store: JobStore, plan: TrainingPlan) -> None:
    weights = None if plan.mean_weight is None else load_shard(store, plan, keys.VALIDATION).weights
    if weights is not None and not weights.any():
        raise NotEnoughDataError(
            "data.weight: expected a weight above 0 for some validation row, got 0 for all "
            f"{len(weights):,}"
        )


def _notes(
    plan: TrainingPlan, manifest: Manifest, moments: Moments, sample: Callable[[], Shard]
) -> list[str]:
    """Return notes on features that say nothing; many pixels do not."""
    if plan.spec.model.takes_images:
        return []
    return notes_on_features(manifest.named_features, moments, lambda: sample().X)


def _plan_of(
    partition: PartitionPlan, spec: JobSpec, manifest: Manifest, unit: LabelUnit | None = None
) -> TrainingPlan:
    return TrainingPlan.of(partition, spec, manifest, *split_of(spec, manifest), unit)


def _doubts(
    store: JobStore, plan: TrainingPlan, manifest: Manifest, moments: Moments
) -> list[JobWarning]:
    """Return warnings about features and classes, or raise `BadLabelError`."""
    found = doubts_about_moments(plan.spec, manifest.named_features, moments)
    if not plan.first_training:  # no row is held out
        return found
    held_out = load_shard(store, plan, keys.VALIDATION).y
    return [*doubts_about_classes(plan.spec, plan.model(), manifest, held_out), *found]


def _loss_of(store: JobStore, plan: TrainingPlan, parameters: Floats | None) -> float | None:
    """Return the loss on the validation rows, or None if it is unknown."""
    rows = _rows_before_training(plan)
    loss = math.nan if parameters is None else evaluate(store, plan, parameters, rows).loss
    return loss if math.isfinite(loss) else None


def _rows_before_training(plan: TrainingPlan) -> int | None:
    """Return how many validation rows to evaluate, in this one function; None: all of them."""
    return NETWORK_ROWS if plan.spec.model.is_evaluated_apart else None
