"""Linear models: predictions depend on coefficients · features + intercept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from stepml.ml.matrices import Floats64, mean_squares, product, transposed_product
from stepml.ml.models.base import (
    Array,
    DataFacts,
    Evaluation,
    Floats,
    LossModel,
    Matrix,
    Penalty,
)
from stepml.ml.models.row_weights import parts_of, total_weight

_FEW = 64  # outputs; up to here NumPy is much faster output by output than row by row
# Limits of a block, so that intermediate arrays are small: rows, and decision values.
_BLOCK_ROWS, _BLOCK_VALUES = 2**14, 2**20


class LinearModel(LossModel):
    """A model with ``n_outputs`` decision values per row, each linear in the features.

    Its parameters are the coefficients, (n_features, n_outputs) row by row, and then the
    intercepts, (n_outputs,), which have no penalty. With one output, arrays of decision values
    are (n_samples,), with more (n_samples, n_outputs).

    Parameters
    ----------
    n_features, n_outputs : int
    l1, l2 : float
        Factors of the `Penalty`.

    Attributes
    ----------
    most_curvature : float or None
        Bound of the second derivative of a row's loss by a decision value. None: the loss is not
        smooth, or no bound is known.
    """

    most_curvature: float | None = None

    def __init__(
        self, n_features: int, n_outputs: int = 1, *, l1: float = 0.0, l2: float = 0.0
    ) -> None:
        self.n_features = n_features
        self.n_outputs = n_outputs
        self.penalty = Penalty(l1, l2, n_features * n_outputs)
        # Parameters are summed for each block, so it has at least as many decision values.
        most = max(_BLOCK_VALUES, self.n_parameters) // n_outputs
        self._block_rows = min(_BLOCK_ROWS, most)

    @property
    def n_parameters(self) -> int:
        return (self.n_features + 1) * self.n_outputs

    def initial_parameters(self) -> Floats:
        return np.zeros(self.n_parameters, np.float32)

    def constant_parameters(self, facts: DataFacts) -> Floats | None:
        decision = self._constant_decision(facts)
        if decision is None or not np.isfinite(decision).all():
            return None
        w = self.initial_parameters()
        w[-self.n_outputs :] = decision
        return w

    def gradient(self, w: Floats, X: Matrix, y: Array, out: Floats) -> float:
        with _quiet():
            if len(y) > self._block_rows:
                loss = self._sum_by_block(w, X, y, out)
            else:
                loss = self._sum(w, X, y, out)
                out *= np.float32(1 / len(y))  # cheaper than dividing all rows
        return loss / len(y)

    @property
    def has_curvature(self) -> bool:
        return self.most_curvature is not None

    def curvature(self, X: Matrix, y: Array) -> Floats64 | None:
        if self.most_curvature is None:
            return None
        targets, weights = parts_of(y)
        # The intercept's factor is 1 in every row.
        squares = np.append(mean_squares(X, weights), total_weight(y) / len(y))
        return self.most_curvature * self._mean_weight(targets) * np.repeat(squares, self.n_outputs)

    def evaluate(self, w: Floats, X: Matrix, y: Array) -> Evaluation:
        loss, outcomes, total = 0.0, [], total_weight(y)
        if not total:  # nothing counts
            return Evaluation(0.0)
        with _quiet():
            for rows in self._blocks(len(y)):
                z = self.decision(w, X[rows])
                outcomes.append(self._outcome(z))
                loss += self._differentiate(z, *parts_of(y[rows]))
            metrics = self._metrics(np.concatenate(outcomes), *parts_of(y))
        return Evaluation(loss / total, metrics)

    def predict(self, w: Floats, X: Matrix) -> Array:
        return self._named(self._outcomes(w, X))

    def _outcomes(self, w: Floats, X: Matrix) -> Array:
        outcomes = [self._outcome(self.decision(w, X[rows])) for rows in self._blocks(len(X))]
        return np.concatenate(outcomes) if outcomes else np.zeros(0, np.float32)

    def decision(self, w: Floats, X: Matrix) -> Floats:
        """Return the decision values of rows ``X``, (n_samples,) or (n_samples, n_outputs)."""
        coefficients, intercepts = self._split(w)
        z = product(X, coefficients)
        if 1 < self.n_outputs <= _FEW:
            z = np.asfortranarray(z)
        z += intercepts
        return z

    def scores(self, w: Floats, X: Matrix) -> Floats:
        """Return the scores behind `predict`, (n_samples,) or (n_samples, n_outputs)."""
        return self.decision(w, X)

    def arrays(self, w: Floats) -> dict[str, Array]:
        coefficients, intercepts = self._split(w)
        return {"coefficients": np.ascontiguousarray(coefficients.T), "intercept": intercepts}

    def parameters(self, arrays: Mapping[str, Array]) -> Floats:
        parts = arrays["coefficients"].T.ravel(), arrays["intercept"]
        return np.concatenate(parts, dtype=np.float32)

    def _sum(self, w: Floats, X: Matrix, y: Array, out: Floats) -> float:
        """Write the gradient of the summed loss to ``out``; return that loss."""
        coefficients, intercepts = self._split(out)
        z = self.decision(w, X)
        loss = self._differentiate(z, *parts_of(y))
        transposed_product(X, z, coefficients)
        intercepts[...] = np.add.reduce(z, axis=0)
        return loss

    def _sum_by_block(self, w: Floats, X: Matrix, y: Array, out: Floats) -> float:
        """Write the gradient of the mean loss to ``out``; return the summed loss."""
        loss, total = 0.0, np.zeros(len(out), np.float64)
        for rows in self._blocks(len(y)):
            loss += self._sum(w, X[rows], y[rows], out)
            total += out
        np.multiply(total, 1 / len(y), out=out, casting="same_kind")
        return loss

    def _blocks(self, n_rows: int) -> Iterator[slice]:
        size = self._block_rows
        return (slice(start, start + size) for start in range(0, n_rows, size))

    def _split(self, w: Floats) -> tuple[Floats, Floats]:
        """Return views of the coefficients and the intercepts in ``w``."""
        if self.n_outputs == 1:
            return w[:-1], w[-1:]
        coefficients = w[: -self.n_outputs].reshape(self.n_features, self.n_outputs)
        return coefficients, w[-self.n_outputs :]

    def _mean_weight(self, y: Array) -> float:
        """Return the mean factor of the rows' losses."""
        return 1.0

    def _constant_decision(self, facts: DataFacts) -> Any:
        """Return the best decision values, (n_outputs,), that are the same for all rows."""
        return None

    @abstractmethod
    def _differentiate(self, z: Floats, y: Array, weights: Floats | None) -> float:
        """Return the summed loss at decision values ``z``; replace ``z`` by its derivatives.

        Each row's loss is multiplied by its weight, if rows have any.
        """

    @abstractmethod
    def _outcome(self, z: Floats) -> Array:
        """Return the input of metrics and predictions, (n_samples,); not a view of ``z``."""

    @abstractmethod
    def _metrics(self, outcomes: Array, y: Array, weights: Floats | None) -> dict[str, float]:
        """Return the metrics of rows with these outcomes and targets, by their weights."""

    @abstractmethod
    def _named(self, outcomes: Array) -> Array:
        """Return the labels of the outcomes."""


def _quiet() -> np.errstate:
    """Suppress NumPy's warnings: the loss shows that a model has diverged."""
    return np.errstate(over="ignore", invalid="ignore")
