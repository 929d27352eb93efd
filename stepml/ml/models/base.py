"""What an algorithm needs to know of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a model does on some rows."""

    loss: float  # mean per row, without penalty
    accuracy: float  # share of rows whose class is right


class Model(Protocol):
    """A model with all its parameters in one float32 vector ``w`` of shape (n_parameters,)."""

    @property
    def n_parameters(self) -> int: ...

    def initial_parameters(self) -> Floats:
        """Return the parameters that all ranks start from."""

    def targets(self, labels: Floats) -> Floats:
        """Return what is learnt from ``labels`` (n_samples,), as they stand in the data."""

    def gradient(self, w: Floats, X: Floats, y: Floats, out: Floats) -> float:
        """Write the gradient of mean loss plus penalty to ``out``; return the mean loss.

        Parameters
        ----------
        w, out : array of shape (n_parameters,)
        X : array of shape (n_samples, n_features)
        y : array of shape (n_samples,), from `targets`
        """

    def evaluate(self, w: Floats, X: Floats, y: Floats) -> Evaluation:
        """Return loss and accuracy on rows ``X`` with targets ``y``."""

    def arrays(self, w: Floats) -> dict[str, Array]:
        """Return the parameters by their usual names, for the model artifact."""

    def describe(self) -> dict[str, Any]:
        """Return what else a prediction needs to know, for the model artifact."""
