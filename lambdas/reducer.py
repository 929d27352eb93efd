"""Merges the contributions of an epoch, evaluates the new state and decides whether to go on."""

from __future__ import annotations

from lambdas.costs import Invocation, epoch_usd
from lambdas.documents import Documents
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.epoch_ends import EpochEnd, release, state_at_end
from lambdas.exchanges import chunks_to_merge
from lambdas.fences import look_at_fences
from lambdas.logs import best_effort, log
from lambdas.plans import TrainingPlan
from lambdas.shards import load_shard
from lambdas.states import pack_state, unpack_state
from lambdas.stragglers import attempt_seconds, find_stragglers
from stepml.job import keys
from stepml.job.errors import StorageError
from stepml.job.reports import EpochReport
from stepml.job.tasks import ReducerTask
from stepml.ml.algorithms import Residuals
from stepml.ml.convergence import (
    Spent,
    decide,
    require_finite_losses,
    require_finite_parameters,
    spent_with,
)
from stepml.ml.models import Evaluation
from stepml.ml.models.base import Floats
from storage import DurableStorage


@handles(ReducerTask)
def handler(task: ReducerTask, context: LambdaContext) -> EpochReport:
    return reduce_epoch(task, durable())


def reduce_epoch(task: ReducerTask, storage: DurableStorage) -> EpochReport:
    """Publish the state after ``task.epoch`` and the report about it; done before: return that.

    Raises
    ------
    MissingContributionError, DamagedValueError
        The channel lost something: the epoch has to be done again.
    ReplicasDivergedError
        Ranks that trained in flight ended with different states: likewise.
    TrainingDivergedError
        The loss is not finite.
    AttemptStoppedError
        The execution has ended for which this function works.
    """
    invocation = Invocation.begin(storage)
    storage = invocation.storage
    documents = Documents(storage)
    plan = documents.load(keys.training_plan(task.job_id), TrainingPlan)
    report = documents.find(keys.epoch_report(task.job_id, task.epoch), EpochReport)
    if report is None:
        try:
            report = _reduced(task, plan, invocation)
        except StorageError:
            # Another copy may have reduced the epoch meanwhile, and cleared what this one misses.
            report = documents.find(keys.epoch_report(task.job_id, task.epoch), EpochReport)
            if report is None:
                raise
    with best_effort("delete what was exchanged", job_id=task.job_id, epoch=task.epoch):
        release(task, plan, storage)
    log("epoch reduced", job_id=task.job_id, epoch=task.epoch, loss=report.loss)
    return report


def _reduced(task: ReducerTask, plan: TrainingPlan, invocation: Invocation) -> EpochReport:
    storage = invocation.storage
    look_at_fences(task, storage)
    end = state_at_end(task, plan, storage)
    require_finite_parameters(plan.spec, task.epoch, end.state.parameters)
    look_at_fences(task, storage)  # merging may have taken a while
    key = keys.state(task.job_id, task.epoch)
    state = unpack_state(storage.publish(key, pack_state(end.state, task.epoch)), key)
    evaluation = evaluate(task.job_id, plan, state.parameters, storage)
    losses = {"validation": evaluation.loss, "training": end.training_loss}
    require_finite_losses(plan.spec, task.epoch, **losses)
    return _report(task, plan, evaluation, end, invocation)


def evaluate(
    job_id: str, plan: TrainingPlan, parameters: Floats, storage: DurableStorage
) -> Evaluation:
    """Return how ``parameters`` do on the validation rows."""
    shard = load_shard(job_id, keys.VALIDATION, plan, storage)
    model = plan.model()
    return model.evaluate(parameters, shard.X, model.targets(shard.y))


def _report(
    task: ReducerTask,
    plan: TrainingPlan,
    evaluation: Evaluation,
    end: EpochEnd,
    invocation: Invocation,
) -> EpochReport:
    documents, previous = Documents(invocation.storage), None
    if task.epoch > 1:
        previous = documents.load(keys.epoch_report(task.job_id, task.epoch - 1), EpochReport)
    spent = _spent(task, plan, previous, invocation)
    stop = plan.spec.stop
    verdict = decide(stop, task.epoch, evaluation.loss, previous, end.converged, spent)
    by_rank = sorted(task.executors, key=lambda result: result.rank)
    report = EpochReport(
        epoch=task.epoch,
        decision=verdict.decision,
        reason=verdict.reason,
        next_epoch=task.epoch + 1,
        loss=evaluation.loss,
        metrics=evaluation.metrics,
        training_loss=end.training_loss,
        best_loss=verdict.best_loss,
        epochs_without_improvement=verdict.epochs_without_improvement,
        seconds=spent.epoch_seconds,
        active_seconds=spent.seconds,
        cost_usd=spent.epoch_cost_usd,
        total_cost_usd=spent.cost_usd,
        stragglers=find_stragglers(task.executors),
        called_again=[result.rank for result in by_rank if result.retries],
        executor_seconds=[result.seconds for result in by_rank],
        staleness_mean=end.staleness_mean,
        staleness_max=end.staleness_max,
        lost_updates=end.lost_updates,
        **_residual_fields(end.residuals),
    )
    return documents.publish(keys.epoch_report(task.job_id, task.epoch), report)


def _spent(
    task: ReducerTask, plan: TrainingPlan, previous: EpochReport | None, invocation: Invocation
) -> Spent:
    exchange = plan.spec.exchange
    number_bytes = 2 if exchange.compression == "float16" else 4
    cost_usd = epoch_usd(
        task.executors,
        invocation.cost_usd(),
        len(chunks_to_merge(plan.spec)),
        number_bytes * plan.model().n_parameters,
        exchange.channel,
    )
    return spent_with(previous, attempt_seconds(task, invocation.seconds), cost_usd)


def _residual_fields(residuals: Residuals | None) -> dict[str, float]:
    if residuals is None:
        return {}
    return {
        "primal_residual": residuals.primal,
        "primal_tolerance": residuals.primal_tolerance,
        "dual_residual": residuals.dual,
        "dual_tolerance": residuals.dual_tolerance,
    }
