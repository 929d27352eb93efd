"""The start of training: the first parameters, and the steps that suit them."""

from __future__ import annotations

from functools import cached_property

from lambdas.job_store.given_objects import OpenBucket
from lambdas.job_store.plans import TrainingPlan
from lambdas.job_store.samples import load_labelled_sample
from lambdas.job_store.store import JobStore
from lambdas.job_store.weights import first_parameters
from stepml.job.models import Neural
from stepml.job.spec import JobSpec, Stop
from stepml.job.spec_base import settled
from stepml.ml.choices import rate_is_open, rho_is_open, with_rate, with_rho
from stepml.ml.data import Shard
from stepml.ml.matrices import Floats, Matrix
from stepml.ml.models import NeuralNetwork
from stepml.ml.models.base import Array, DataFacts, LossModel
from stepml.ml.models.row_weights import facts_by_weight, targets_on
from stepml.ml.sample_objective import Minimum, minimum
from stepml.ml.stopping import with_one_epoch


class Start:
    """The start of a job, which depends on a sample of its training rows.

    The sample is loaded only if something depends on it.

    Parameters
    ----------
    store : JobStore
        With the scale of the features.
    plan : TrainingPlan
        With a value of ``algorithm.start``, if the algorithm has that field.
    open_bucket : callable
        Returns the bucket with the user's own first parameters.
    """

    def __init__(self, store: JobStore, plan: TrainingPlan, open_bucket: OpenBucket) -> None:
        self._store = store
        self._open_bucket = open_bucket
        self._plan = plan
        self._model = plan.model()

    @cached_property
    def untrained(self) -> Floats:
        """The parameters of a model that has learnt nothing."""
        return self._model.first_parameters(self._sample_rows, self._plan.spec.data.seed)

    @cached_property
    def parameters(self) -> Floats:
        """The parameters before the first epoch."""
        if not settled(self._plan.spec.algorithm).starts_at_sample:
            return self._given(self.untrained)
        return self._minimum.parameters

    @property
    def fall(self) -> float | None:
        """The fall of the objective of all training rows that is in sight, relative to it.

        None: it is unknown, because the sample has only some of them.
        """
        if not settled(self._plan.spec.algorithm).starts_at_sample:
            return None
        has_all = len(self._sample.y) == self._plan.training_rows
        return self._minimum.fall if has_all else None

    @cached_property
    def _minimum(self) -> Minimum:
        assert isinstance(self._model, LossModel)
        return minimum(self._model, self.rows())

    def rows(self) -> tuple[Matrix, Array]:
        """Return features and targets of the sample."""
        return self._sample.X, targets_on(self._model, self._sample)

    def weighed(self, facts: DataFacts) -> DataFacts:
        """Return facts about all rows, or, if these have weights, about those of the sample."""
        if self._plan.mean_weight is None:
            return facts
        return facts_by_weight(facts, self._sample.X, self._sample.y, self._sample.weights)

    def with_steps(self, asked: Stop) -> JobSpec:
        """Return the job with a learning rate or rho, if it needs one, and the epochs it needs.

        ``asked`` is `JobSpec.stop` as the job has it.
        """
        model = self._model
        if not isinstance(model, LossModel):
            return self._plan.spec
        spec = with_one_epoch(self._plan.spec, asked, self.fall)
        if rate_is_open(spec):
            spec = with_rate(spec, model, self.parameters, *self.rows())
        if not rho_is_open(spec):
            return spec
        return with_rho(spec, model, self.parameters, self.rows(), self._plan.training_rows)

    def _sample_rows(self) -> tuple[Matrix, Floats | None]:
        return self._sample.X, self._sample.weights

    def _given(self, drawn: Floats) -> Floats:
        spec = self._plan.spec.model
        if not isinstance(spec, Neural):
            return drawn
        assert isinstance(self._model, NeuralNetwork)
        return first_parameters(self._model, spec, drawn, self._open_bucket)

    @cached_property
    def _sample(self) -> Shard:
        return load_labelled_sample(self._store, self._plan)
