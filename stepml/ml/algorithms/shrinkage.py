"""The penalty l1 among noisy gradients: a coefficient leaves 0 only if its mean gradient says so.

Proximal gradient descent shrinks the coefficients after each step. But a batch's gradient is noisy,
so that coefficients whose best value is 0 move to and fro around it. Dual averaging (Xiao, 2010)
shrinks the sum of all steps instead, by all their lengths. Its zeros are those of the whole data,
also after a mean over ranks (Yuan, Zaheer and Reddi, 2021), but it forgets nothing. Here the
earlier epochs count half as much in each epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from stepml.job.algorithm_base import Descent
from stepml.job.model_base import ModelSpec
from stepml.job.spec_base import settled
from stepml.ml.algorithms.base import LabelledSample
from stepml.ml.algorithms.optimisers import Reach
from stepml.ml.algorithms.state import Extras, State
from stepml.ml.models.base import Array, Floats, LossModel, Penalty

_SHARE, _THRESHOLD = "l1_share", "l1_threshold"  # names in `RankProgress.extras`
_FADING = 0.8
_STEPS_AHEAD = 1000  # with fewer, batches drive coefficients from 0 that are 0 for all rows
_TINY = np.finfo(np.float32).tiny


@dataclass(slots=True, eq=False)
class Shrinkage:
    """The subgradients of l1 that the steps have used so far.

    Steps are weighted by their lengths. Parameters plus ``threshold * share`` are the parameters
    before shrinking, in units of a `Reach`'s scale.

    Attributes
    ----------
    share : array of shape (n_coefficients,)
        Mean subgradient, as a share of l1: 1 or -1 for a coefficient that is not 0.
    threshold : float
        Sum of the lengths of all steps, times l1.
    """

    share: Floats
    threshold: float

    @classmethod
    def of(cls, penalty: Penalty, extras: Extras) -> Self | None:
        """Return a copy of the shrinkage in ``extras``, or that before any step.

        None: the penalty has no l1.
        """
        if not penalty.l1:
            return None
        return cls.find(extras) or cls(np.zeros(penalty.n_coefficients, np.float32), 0.0)

    @classmethod
    def find(cls, extras: Extras) -> Self | None:
        """Return a copy of the shrinkage in ``extras``, if there is one."""
        if _SHARE not in extras:
            return None
        return cls(extras[_SHARE].copy(), extras[_THRESHOLD].item())

    @classmethod
    def at_minimum(cls, penalty: Penalty, w: Floats, gradient: Floats, length: float) -> Self:
        """Return the shrinkage at a minimum, as if many steps had led there.

        Parameters
        ----------
        penalty : Penalty
        w : array of shape (n_parameters,)
        gradient : array of shape (n_parameters,)
            Of the objective without l1, at ``w``.
        length : float
            Of a step to come.
        """
        coefficients = slice(penalty.n_coefficients)
        inner = np.clip(gradient[coefficients] / -np.float32(penalty.l1), -1, 1)
        share = np.where(w[coefficients] == 0, inner, np.sign(w[coefficients]))
        return cls(share.astype(np.float32), _STEPS_AHEAD * length * penalty.l1)

    def pack(self) -> Extras:
        """Return the arrays for `of`; the next step changes them."""
        return {_SHARE: self.share, _THRESHOLD: np.array([self.threshold], np.float64)}

    def take(self, w: Floats, step: Floats, reach: Reach, l1: float) -> None:
        """Subtract ``step`` from ``w`` and shrink it, in place.

        Parameters
        ----------
        w, step : array of shape (n_parameters,)
        reach : Reach
            Of the step.
        l1 : float
        """
        w -= step
        coefficients = w[: self.share.size]
        scale = np.float32(1) if reach.scale is None else reach.scale[: self.share.size]
        self.share *= scale * np.float32(self.threshold)
        coefficients += self.share
        self.threshold += reach.length * l1
        most = scale * np.float32(self.threshold)
        np.clip(coefficients, -most, most, out=self.share)
        coefficients -= self.share
        self.share /= np.maximum(most, _TINY)


def extras_ahead(
    fields: Descent, model: LossModel, parameters: Floats, sample: LabelledSample
) -> Extras:
    """Return the shrinkage with which descent begins, if that is at the minimum of a ``sample``."""
    penalty = model.penalty
    if not (penalty.l1 and fields.starts_at_sample):
        return {}
    gradient = np.empty_like(parameters)
    model.gradient(parameters, *sample(), out=gradient)
    penalty.add_gradient(parameters, gradient)
    length = settled(fields.learning_rate) / (1 - (fields.momentum or 0.0))
    return Shrinkage.at_minimum(penalty, parameters, gradient, length).pack()


def bytes_per_parameter(spec: ModelSpec) -> int:
    """Return the memory for each parameter of descent; see `Algorithm`."""
    return 56 if spec.l1_factor else 40


def faded(extras: Extras) -> Extras:
    """Return the extras with which an epoch begins: the steps of earlier epochs count less."""
    if _THRESHOLD not in extras:
        return extras
    return {**extras, _THRESHOLD: extras[_THRESHOLD] * _FADING}


def unshrunk(w: Floats, shrinkage: Shrinkage | None) -> Floats:
    """Return parameters as a vector of which sums over ranks are meaningful; see `shrunk`.

    With l1, it consists of the parameters before shrinking and the threshold. The steps must not
    have had a scale.
    """
    if shrinkage is None:
        return w
    vector = np.append(w, np.float32(shrinkage.threshold))
    vector[: shrinkage.share.size] += vector[-1] * shrinkage.share
    return vector


def shrunk(vector: Array, penalty: Penalty) -> State:
    """Return the state of an `unshrunk` vector."""
    if not penalty.l1:
        return State(vector)
    w, most = np.array(vector[:-1]), vector[-1]
    coefficients = w[: penalty.n_coefficients]
    share = np.clip(coefficients, -most, most)
    coefficients -= share
    share /= np.maximum(most, _TINY)
    return State(w, Shrinkage(share, float(most)).pack())
