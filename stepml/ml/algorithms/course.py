"""The course of ADMM so far: the sizes to which residuals are compared, and the objective."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from stepml.ml.algorithms.optimality import fall_in_sight
from stepml.ml.algorithms.state import Sums
from stepml.ml.models.base import Array, Floats, LossModel, Matrix

_WINDOW = 5  # epochs in which the objective must rest if the loss is not smooth
# Beside the objective, to which a fall is compared, and the duals of a job that starts ahead: where
# they end at 0, nothing would ever be small.
_SHARE_OF_FIRST = 1e-3
# Relative. Where losses grow linearly, the gradient and curvature tell of a small part of the way
# back only; smaller rises may be noise.
_RISE = 0.01
_LEAST_SAID = 1e-4  # of falls, in words


@dataclass(frozen=True, slots=True)
class Course:
    """The largest sizes so far, and the objective of the first and the last consensuses."""

    parameters: float = 0.0  # norm of all ranks' x, or of as many z
    dual: float = 0.0  # norm of all ranks' rho·u, or of the dual residual
    objectives: tuple[float, ...] = ()  # the first one, then the last ones, the newest last

    @classmethod
    def of(cls, numbers: Sums) -> Self:
        """Return the course as which `numbers` were stored."""
        parameters, dual, *objectives = numbers.tolist()
        return cls(parameters, dual, tuple(objectives))

    @classmethod
    def from_untrained(cls, model: LossModel, X: Matrix, y: Array) -> Self:
        """Return the course of a job that starts ahead, with sizes of the untrained model.

        They are those on a sample. At the start, gradient and objective may be 0.
        """
        w = model.initial_parameters()
        gradient = np.empty_like(w)
        objective = model.gradient(w, X, y, out=gradient) + model.penalty.value(w)
        size = float(np.linalg.norm(gradient))
        return cls(dual=_largest(0.0, _SHARE_OF_FIRST * size), objectives=(objective,))

    @property
    def numbers(self) -> Sums:
        """The course as an array, for the state."""
        return np.array([self.parameters, self.dual, *self.objectives])

    def through(self, parameters: float, dual: float, objective: float) -> Course:
        """Return the course with one more consensus; sizes that are not finite do not count."""
        first = self.objectives[:1] or (objective,)
        recent = (*self.objectives[1:], objective)[-_WINDOW - 1 :]
        return replace(
            self,
            parameters=_largest(self.parameters, parameters),
            dual=_largest(self.dual, dual),
            objectives=(*first, *recent),
        )

    def relative_fall(self, model: LossModel, z: Floats, sums: Sums) -> float | None:
        """Return the fall of the objective that is in sight, relative to its size.

        Of losses that are not smooth, it is the change in the last epochs; None: there are too
        few.

        Parameters
        ----------
        model : LossModel
        z : array of shape (n_parameters,)
            The last consensus of the course.
        sums : array
            All ranks' `rank_sums` there.
        """
        recent = self.objectives[1:]
        if len(sums) > 1:
            fall = fall_in_sight(model, z, sums)
            risen = recent[-1] - min(recent)
            if risen > _RISE * abs(recent[-1]):
                fall = max(fall, risen)
        elif len(recent) > _WINDOW:
            fall = abs(recent[0] - recent[-1])
        else:
            return None
        return self.relative(fall)

    def relative(self, fall: float) -> float | None:
        """Return a fall relative to the size of the objective; None if that is not finite."""
        size = abs(self.objectives[-1]) + _SHARE_OF_FIRST * abs(self.objectives[0])
        if not (math.isfinite(fall) and math.isfinite(size)):
            return None
        return fall / size if size else 0.0


def rest_in_words(fall: float | None, *, is_smooth: bool) -> str:
    """Return the part of the way that is left by the `Course.relative_fall`."""
    if fall is None:
        return "it is not known yet how far the objective can fall"
    if not is_smooth:
        return f"the objective changed by {_percent(fall)} in the last {_WINDOW} epochs"
    return f"the objective can fall by {_percent(fall)}"


def _percent(share: float) -> str:
    if share >= 1:
        return "a multiple of itself"
    return f"about {100 * share:.2g}%" if share >= _LEAST_SAID else f"less than {_LEAST_SAID:.2%}"


def _largest(a: float, b: float) -> float:
    return max(a, b) if math.isfinite(b) else a
