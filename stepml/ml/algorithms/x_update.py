"""The problem that a rank of ADMM solves alone: the x-update."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stepml.ml import lbfgs
from stepml.ml.algorithms.base import never
from stepml.ml.algorithms.state import RankProgress
from stepml.ml.models.base import Array, Floats, LossModel, Matrix


class PausedError(Exception):
    """The deadline is near; the iteration is not finished."""


class XUpdate:
    """The x-update: f_r(x) + rho/2·‖x − (z − u)‖².

    Descent follows the gradient of the first term. The second term is handled by its proximal
    operator, `pull`, because steps along its gradient would diverge for large rho.
    """

    def __init__(
        self,
        model: LossModel,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        share: float,
        block_rows: int,
    ) -> None:
        self.X, self.y = X, y
        self.must_pause: Callable[[], bool] = never  # called between blocks of rows
        self._model = model
        self._share = share
        self._block_rows = block_rows
        self._anchor: Floats = progress.extras["anchor"]
        self._rho = progress.extras["rho"].item()
        self._buffer = np.empty_like(self._anchor)

    def __len__(self) -> int:
        return len(self.y)

    def loss(self, x: Floats) -> float:
        """Return the sum of losses of the rank's rows."""
        return self.sums(x)[0]

    def sums(self, x: Floats) -> tuple[float, lbfgs.Vector]:
        """Return loss and gradient of the first term, summed over the rank's rows."""
        loss, gradient = 0.0, np.zeros(len(x))
        for start in range(0, len(self), self._block_rows):
            if self.must_pause():
                raise PausedError
            rows = slice(start, start + self._block_rows)
            n = len(self.y[rows])
            loss += n * self._model.gradient(x, self.X[rows], self.y[rows], out=self._buffer)
            gradient += n * self._buffer.astype(np.float64)
        return loss, gradient

    def value_and_gradient(self, x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
        """Return value and gradient over all rows; blocks are summed in float64."""
        away = x - self._anchor
        loss, gradient = self.sums(x.astype(np.float32))
        gradient = self.slope(gradient)
        gradient += self._rho * away
        return self._share * loss / len(self) + 0.5 * self._rho * float(away @ away), gradient

    def slope(self, gradient: lbfgs.Vector) -> lbfgs.Vector:
        """Return the gradient of f_r, given that of the rows' `sums`."""
        return gradient * (self._share / len(self))

    def gradient(self, w: Floats, X: Matrix, y: Array, out: Floats, batch: int, row: int) -> float:
        """Write the first term's gradient on some rows to ``out``; return their mean loss."""
        loss = self._model.gradient(w, X, y, out=out)
        out *= np.float32(self._share)
        return loss

    def pull(self, w: Floats, step: float) -> None:
        """Apply, in place, the proximal operator of ``step`` times the second term."""
        pull = step * self._rho
        w += np.float32(pull) * self._anchor
        w /= np.float32(1 + pull)
