"""Logistic regression for two classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from stepml.job.errors import BadLabelError
from stepml.job.spec import LogisticRegression as Spec
from stepml.ml.models.base import Array, Evaluation, Floats

_BLOCK = 16_384  # rows evaluated at once: their intermediate arrays stay in the cache


class LogisticRegression:
    """Log-loss with an L2 penalty; the last parameter is the intercept, which is not penalised.

    Parameters
    ----------
    n_features : int
    positive : float
        The label of the positive class; all other labels are negative.
    l2 : float
        Factor of ‖coefficients‖²/2 beside the mean loss.
    """

    def __init__(self, n_features: int, positive: float, l2: float = 0.0) -> None:
        self.n_features = n_features
        self.positive = positive
        self._l2 = np.float32(l2)

    @classmethod
    def from_spec(cls, spec: Spec, n_features: int, labels: Sequence[float]) -> Self:
        """Return the model for data with these distinct ``labels``, or raise `BadLabelError`."""
        return cls(n_features, _positive_class(spec.positive_class, labels), spec.l2)

    @property
    def n_parameters(self) -> int:
        return self.n_features + 1

    def initial_parameters(self) -> Floats:
        return np.zeros(self.n_parameters, np.float32)

    def targets(self, labels: Floats) -> Floats:
        targets: Floats = (labels == np.float32(self.positive)).astype(np.float32)
        return targets

    def gradient(self, w: Floats, X: Floats, y: Floats, out: Floats) -> float:
        coefficients = w[:-1]
        z = X @ coefficients
        z += w[-1]
        probabilities, loss = _probabilities_and_loss(z, y)
        residuals = np.subtract(probabilities, y, out=probabilities)
        residuals /= np.float32(len(y))
        np.matmul(residuals, X, out=out[:-1])
        out[-1] = residuals.sum()
        if self._l2:
            out[:-1] += self._l2 * coefficients
        return loss / len(y)

    def evaluate(self, w: Floats, X: Floats, y: Floats) -> Evaluation:
        loss, right = 0.0, 0
        for start in range(0, len(y), _BLOCK):
            rows = slice(start, start + _BLOCK)
            z = X[rows] @ w[:-1] + w[-1]
            loss += _probabilities_and_loss(z, y[rows])[1]
            right += int(np.count_nonzero((z > 0) == (y[rows] > 0)))
        return Evaluation(loss / len(y), right / len(y))

    def arrays(self, w: Floats) -> dict[str, Array]:
        return {"coefficients": w[:-1], "intercept": w[-1:]}

    def describe(self) -> dict[str, Any]:
        return {"positive_class": self.positive}


def _probabilities_and_loss(z: Floats, y: Floats) -> tuple[Floats, float]:
    """Return the probabilities of class 1 and the summed log-loss; exact for any finite ``z``."""
    decay = np.exp(-np.abs(z))  # in (0, 1]: never overflows
    loss = np.maximum(z, 0) - z * y + np.log1p(decay)
    probabilities = np.where(z >= 0, np.float32(1), decay) / (1 + decay)
    return probabilities, float(loss.sum(dtype=np.float64))


def _positive_class(asked: float | None, labels: Sequence[float]) -> float:
    shown = ", ".join(f"{label:g}" for label in labels[:20])
    if len(labels) < 2:
        raise BadLabelError(f"logistic_regression needs two labels; the data have only: {shown}")
    if asked is not None:
        if float(np.float32(asked)) not in labels:  # labels are stored as float32
            raise BadLabelError(
                f"model.positive_class: expected a label of the data ({shown}), got {asked:g}"
            )
        return asked
    if len(labels) > 2:
        raise BadLabelError(
            f"logistic_regression needs two labels, the data have {len(labels)} ({shown}); "
            "set model.positive_class to learn one of them against the rest"
        )
    return max(labels)
