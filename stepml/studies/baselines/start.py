"""The start of a baseline's training: its last choices, and its first state."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled
from stepml.ml.algorithms import State, build_algorithm
from stepml.ml.choices import rate_is_open, rho_is_open, with_rate, with_rho
from stepml.ml.models import LossModel, Model
from stepml.ml.models.base import Floats
from stepml.ml.models.row_weights import parts_of
from stepml.ml.sample_objective import minimum
from stepml.ml.stopping import with_one_epoch, with_tolerance
from stepml.studies.baselines.preparation import Labelled, Prepared


@dataclass(frozen=True, slots=True)
class Training:
    """A job before its first epoch."""

    spec: JobSpec  # with a value in each open field
    model: Model
    state: State
    shards: tuple[Labelled, ...]  # of each rank
    validation: Labelled
    sample: Labelled
    fall: float | None  # of the objective in sight; None: unknown

    @property
    def shard_rows(self) -> tuple[int, ...]:
        """Rows of each rank."""
        return tuple(len(y) for _, y in self.shards)


def begin_training(job: Prepared) -> Training:
    """Return the start of training; errors as for the job."""
    model, spec = job.model(), job.spec
    untrained = model.first_parameters(
        lambda: (job.sample[0], parts_of(job.sample[1])[1]), spec.data.seed
    )
    parameters, fall = _first(job, model, untrained)
    spec = with_one_epoch(spec, job.asked.stop, fall)
    if isinstance(model, LossModel):
        spec = _with_steps(job, spec, model, parameters)
    spec = with_tolerance(spec, _trivial_loss(job, model, untrained), len(job.validation[1]))
    state = build_algorithm(spec).initial_state(model, parameters, lambda: job.sample)
    return Training(spec, job.model(spec), state, job.shards, job.validation, job.sample, fall)


def _first(job: Prepared, model: Model, untrained: Floats) -> tuple[Floats, float | None]:
    """Return the first parameters, and the fall of the objective in sight from there."""
    if not settled(job.spec.algorithm).starts_at_sample:
        return untrained, None
    assert isinstance(model, LossModel)
    found = minimum(model, job.sample)
    has_all = len(job.sample[1]) == sum(job.shard_rows)
    return found.parameters, found.fall if has_all else None


def _with_steps(job: Prepared, spec: JobSpec, model: LossModel, start: Floats) -> JobSpec:
    if rate_is_open(spec):
        spec = with_rate(spec, model, start, *job.sample)
    if rho_is_open(spec):
        spec = with_rho(spec, model, start, job.sample, sum(job.shard_rows))
    return spec


def _trivial_loss(job: Prepared, model: Model, untrained: Floats) -> float | None:
    """Return the loss of a model that ignores the features, or else of the untrained one."""
    constant = model.constant_parameters(job.facts)
    loss = model.constant_loss(job.facts, job.validation[1])
    if constant is not None or loss is None:
        loss = model.evaluate(untrained if constant is None else constant, *job.validation).loss
    return loss if math.isfinite(loss) else None
