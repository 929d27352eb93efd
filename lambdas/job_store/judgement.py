"""The doubts about a trained model, which its report has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lambdas.job_store import JobStore, TrainingPlan
from lambdas.job_store.samples import SampleSize, load_labelled_sample
from lambdas.job_store.shards import load_shard
from lambdas.logs import log
from stepml.job import keys
from stepml.job.errors import DataSetDamagedError
from stepml.job.reports import EpochReport, JobWarning
from stepml.job.spec import Stop
from stepml.job.spec_base import settled
from stepml.job.tasks import Decision
from stepml.ml.convergence import end_of
from stepml.ml.doubts import Decisions, Training, doubts_about_model, without_consequences
from stepml.ml.models import LossModel, Model
from stepml.ml.models.base import Floats, WithClasses
from stepml.ml.models.confusion import Totals
from stepml.ml.models.row_weights import targets_on
from stepml.ml.sample_objective import Rows
from stepml.ml.second_opinion import Better, better_model

# Of the loss of a model that ignores the features; a loss near 0 may be a rounding error.
_LEAST_FALL = 1e-3
_SAMPLE = SampleSize(usual_bytes=4 * 2**20, usual_rows=50_000)


def model_doubts(
    store: JobStore,
    plan: TrainingPlan,
    history: Sequence[EpochReport],
    kept: EpochReport,
    validated: Totals | None = None,
) -> list[JobWarning]:
    """Return warnings about the job's model.

    Parameters
    ----------
    store : JobStore
    plan : TrainingPlan
    history : sequence of EpochReport
        Of all epochs.
    kept : EpochReport
        Of the epoch whose model is the job's.
    validated : Totals, optional
        The validation rows of each class.
    """
    judged = _Judged(store, plan, kept.epoch)
    better, decisions, ended_by = None, None, end_of(plan.spec.stop, history[-1])
    try:
        if validated is not None:
            decisions = _decisions(judged, validated)
        if ended_by not in ("target_loss", "target"):  # otherwise nobody asks for more
            better = _better(judged)
    except DataSetDamagedError as error:  # a job at its end does not need the data any more
        log("no second opinion", job_id=store.job_id, error=str(error))
    training = Training(
        loss=kept.loss,
        losses=[report.loss for report in history],
        ended_by=ended_by,
        training_loss=history[-1].training_loss,
        validation_rows=plan.validation_rows,
        constant_loss=plan.constant_loss,
        first_loss=plan.first_loss,
        better=better,
        empty_clusters=history[-1].empty_clusters or 0,
        decisions=decisions,
    )
    return without_consequences(doubts_about_model(plan.spec, training), plan.about.warnings)


def honest_end(stop: Stop, last: EpochReport, doubts: Sequence[JobWarning]) -> tuple[Decision, str]:
    """Return decision and reason of a job: a plateau far from the minimum is not convergence."""
    can_fall = any(warning.code == "not_converged" for warning in doubts)
    if can_fall and end_of(stop, last) in ("tolerance", "algorithm"):
        return "finished", f"{last.reason}, but the loss can still fall"
    return last.decision, last.reason


@dataclass(frozen=True)
class _Judged:
    """The model of an epoch, and the rows on which it is judged."""

    store: JobStore
    plan: TrainingPlan
    epoch: int

    @cached_property
    def model(self) -> Model:
        return self.plan.model()

    @cached_property
    def parameters(self) -> Floats:
        return self.store.state(self.epoch).load().parameters

    @cached_property
    def sample(self) -> Rows:
        """A sample of the training rows."""
        rows = load_labelled_sample(self.store, self.plan, _SAMPLE)
        return rows.X, targets_on(self.model, rows)

    @cached_property
    def validation(self) -> Rows:
        shard = load_shard(self.store, self.plan, keys.VALIDATION)
        return shard.X, targets_on(self.model, shard)


def _decisions(judged: _Judged, validated: Totals) -> Decisions:
    model = judged.model
    assert isinstance(model, WithClasses)
    sample = model.confusion(judged.parameters, *judged.sample)
    return Decisions.of(model, validated, Totals.of(sample))


def _better(judged: _Judged) -> Better | None:
    plan, model = judged.plan, judged.model
    is_convex = plan.spec.model.is_convex  # otherwise no solver is better for sure
    if not (isinstance(model, LossModel) and is_convex) or settled(plan.spec.algorithm).is_exact:
        return None
    return better_model(
        model,
        judged.parameters,
        judged.sample,
        judged.validation,
        _LEAST_FALL * abs(plan.constant_loss or plan.first_loss or 0.0),
    )
