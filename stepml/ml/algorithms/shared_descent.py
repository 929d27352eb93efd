"""Descent on a model that all ranks share."""

from __future__ import annotations

from stepml.job.algorithm_base import Descent
from stepml.ml.algorithms.base import AsynchronousAlgorithm, LabelledSample
from stepml.ml.algorithms.shrinkage import Shrinkage, extras_ahead, faded, shrunk, unshrunk
from stepml.ml.algorithms.state import State
from stepml.ml.models.base import Array, Floats, LossModel


class SharedDescent(AsynchronousAlgorithm[LossModel]):
    """With a penalty l1, ranks share the parameters before shrinking, to which updates are added.

    Shrunk parameters would depend on the order of updates, and those of a rank on its own rows.
    """

    spec: Descent

    def initial_state(self, model: LossModel, parameters: Floats, sample: LabelledSample) -> State:
        return State(parameters, extras_ahead(self.spec, model, parameters, sample))

    def shared_vector(self, model: LossModel, state: State) -> Array:
        return unshrunk(state.parameters, Shrinkage.of(model.penalty, faded(state.extras)))

    def state_of(self, model: LossModel, vector: Array) -> State:
        return shrunk(vector, model.penalty)
