"""Descent on a model that all ranks share."""

from __future__ import annotations

from stepml.ml.algorithms.base import AsynchronousAlgorithm
from stepml.ml.algorithms.shrinkage import Shrinkage, faded, shrunk, unshrunk
from stepml.ml.algorithms.state import State
from stepml.ml.models.base import Array, LossModel


class SharedDescent(AsynchronousAlgorithm[LossModel]):
    """With a penalty l1, ranks share the parameters before shrinking, to which updates are added.

    Shrunk parameters would depend on the order of updates, and those of a rank on its own rows.
    """

    def shared_vector(self, model: LossModel, state: State) -> Array:
        return unshrunk(state.parameters, Shrinkage.of(model.penalty, faded(state.extras)))

    def state_of(self, model: LossModel, vector: Array) -> State:
        return shrunk(vector, model.penalty)
