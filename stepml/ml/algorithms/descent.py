"""Steps along gradients: learning-rate schedules, clipping, weight decay."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stepml.job import algorithm_base as specs
from stepml.job.spec_base import settled
from stepml.ml.algorithms.optimisers import Adam, Moments, Optimiser, Sgd
from stepml.ml.models.base import Floats, Penalty


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate over time."""

    learning_rate: float
    kind: str = "constant"
    decay: float = 0.0
    warmup_epochs: float = 0.0
    max_epochs: int = 1

    def at(self, epochs: float) -> float:
        """Return the learning rate after ``epochs``, which may be a fraction."""
        rate = self.learning_rate * self._factor(epochs)
        if epochs < self.warmup_epochs:
            rate *= epochs / self.warmup_epochs
        return rate

    def _factor(self, epochs: float) -> float:
        if self.kind == "inverse":
            return 1 / (1 + self.decay * epochs)
        if self.kind == "exponential":
            return math.exp(-self.decay * epochs)
        if self.kind == "cosine":
            return _falling(min(1.0, epochs / self.max_epochs))
        if self.kind == "restarts":  # Loshchilov and Hutter, 2017: from 1 to 0 in every epoch
            return _falling(epochs % 1)
        return 1.0


def _falling(share: float) -> float:
    """Return half a wave of the cosine, from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True, slots=True)
class Descent:
    """Optimiser, schedule, clipping and weight decay of a job."""

    optimiser: Optimiser
    schedule: Schedule
    clip_norm: float | None = None
    weight_decay: float = 0.0

    @classmethod
    def of(cls, fields: specs.Descent, max_epochs: int | None) -> Descent:
        """Return the descent of an algorithm's ``fields`` in a job of ``max_epochs``."""
        kind, momentum = settled(fields.optimiser), settled(fields.momentum)
        schedule = Schedule(
            settled(fields.learning_rate),
            settled(fields.schedule),
            fields.decay,
            fields.warmup_epochs,
            settled(max_epochs),
        )
        optimiser = Adam() if kind == "adam" else Sgd(momentum, fields.nesterov)
        return cls(optimiser, schedule, fields.clip_norm, fields.weight_decay)

    def moments(self, n_trained: int) -> Moments:
        """Return the initial moments of the optimiser."""
        return np.zeros((self.optimiser.n_moments, n_trained), np.float32)

    def step(
        self,
        w: Floats,
        gradient: Floats,
        penalty: Penalty,
        moments: Moments,
        epochs: float,
        number: int,
    ) -> float:
        """Turn ``gradient`` into a step to subtract from ``w``, in place; return its rate.

        That is the learning rate, times the factor by which the gradient was scaled down.

        Parameters
        ----------
        w : array of shape (n_parameters,)
        gradient : array of shape (n_parameters,)
            Of the mean loss at ``w``, without ``penalty``.
        penalty : Penalty
            The step follows the smooth part of it.
        moments : array of shape (n_moments, n_trained)
            Changed in place. Behind the first ``n_trained`` numbers of ``gradient`` are steps
            already.
        epochs : float
            Finished epochs of the job, in the middle of the step; for the schedule.
        number : int
            Steps since the moments were zero, from 1.
        """
        gradient = gradient[: moments.shape[1]]
        factor = self.complete(w, gradient, penalty)
        learning_rate = self.schedule.at(epochs)
        self.optimiser.step(gradient, moments, learning_rate, number)
        if self.weight_decay:  # apart from the moments: Loshchilov and Hutter, 2019
            decay = np.float32(learning_rate * self.weight_decay)
            gradient[: penalty.n_coefficients] += decay * w[: penalty.n_coefficients]
        return learning_rate * factor

    def complete(self, w: Floats, gradient: Floats, penalty: Penalty) -> float:
        """Add the gradient of the penalty to ``gradient`` and clip it, in place.

        Return the factor by which it was scaled down.
        """
        penalty.add_gradient(w, gradient)
        return 1.0 if self.clip_norm is None else _shorten(gradient, self.clip_norm)


def _shorten(gradient: Floats, most: float) -> float:
    norm = math.sqrt(np.einsum("i,i", gradient, gradient, dtype=np.float64))
    if not norm > most:
        return 1.0
    gradient *= np.float32(most / norm)
    return most / norm
