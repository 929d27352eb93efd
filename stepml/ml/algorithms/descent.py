"""Steps along gradients: optimisers, learning-rate schedules, clipping."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stepml.job import algorithms as specs
from stepml.job.spec_base import settled
from stepml.ml.models.base import Floats

Moments = npt.NDArray[np.float32]  # (n_moments, n_parameters)


class Regulariser(Protocol):
    """The penalty beside the loss."""

    def add_gradient(self, w: Floats, out: Floats) -> None:
        """Add the gradient at ``w`` of the smooth part to ``out``."""

    def shrink(self, w: Floats, step: float) -> None:
        """Apply, in place, the proximal operator of ``step`` times the other part."""


class Optimiser(Protocol):
    """Turns a gradient into a step; its moments are vectors that depend on earlier gradients."""

    @property
    def n_moments(self) -> int:
        """Number of vectors."""

    def step(self, gradient: Floats, moments: Moments, learning_rate: float, number: int) -> None:
        """Replace ``gradient`` by the step to subtract from the parameters; update ``moments``.

        ``number`` counts, from 1, the steps since the moments were zero.
        """


@dataclass(frozen=True, slots=True)
class Sgd:
    """Stochastic gradient descent, with heavy-ball momentum (Polyak, 1964) if that is not 0."""

    momentum: float = 0.0

    @property
    def n_moments(self) -> int:
        return 1 if self.momentum else 0

    def step(self, gradient: Floats, moments: Moments, learning_rate: float, number: int) -> None:
        if self.momentum:
            velocity = moments[0]
            velocity *= np.float32(self.momentum)
            velocity += gradient
            np.multiply(velocity, np.float32(learning_rate), out=gradient)
        else:
            gradient *= np.float32(learning_rate)


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam (Kingma and Ba, 2015, algorithm 1)."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    @property
    def n_moments(self) -> int:
        return 2

    def step(self, gradient: Floats, moments: Moments, learning_rate: float, number: int) -> None:
        mean, square = moments
        mean *= np.float32(self.beta1)
        mean += np.float32(1 - self.beta1) * gradient
        square *= np.float32(self.beta2)
        np.multiply(gradient, gradient, out=gradient)
        gradient *= np.float32(1 - self.beta2)
        square += gradient
        # Each bias correction is a factor, which saves a pass over the parameters.
        correction = math.sqrt(1 - self.beta2**number)
        np.sqrt(square, out=gradient)
        gradient += np.float32(self.epsilon * correction)
        np.divide(mean, gradient, out=gradient)
        gradient *= np.float32(learning_rate * correction / (1 - self.beta1**number))


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
    """Optimiser, schedule and clipping of a job."""

    optimiser: Optimiser
    schedule: Schedule
    clip_norm: float | None = None

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
        optimiser = Adam() if kind == "adam" else Sgd(momentum)
        return cls(optimiser, schedule, fields.clip_norm)

    def moments(self, n_parameters: int) -> Moments:
        """Return the initial moments of the optimiser."""
        return np.zeros((self.optimiser.n_moments, n_parameters), np.float32)

    def step(
        self,
        w: Floats,
        gradient: Floats,
        penalty: Regulariser,
        moments: Moments,
        epochs: float,
        number: int,
    ) -> float:
        """Turn ``gradient`` into a step for `take`, in place; return the learning rate.

        Parameters
        ----------
        w : array of shape (n_parameters,)
        gradient : array of shape (n_parameters,)
            Of the mean loss at ``w``, without ``penalty``.
        penalty : Regulariser
        moments : array of shape (n_moments, n_parameters)
            Changed in place.
        epochs : float
            Finished epochs of the job, in the middle of the step; for the schedule.
        number : int
            Steps since the moments were zero, from 1.
        """
        self.complete(w, gradient, penalty)
        learning_rate = self.schedule.at(epochs)
        self.optimiser.step(gradient, moments, learning_rate, number)
        return learning_rate

    def complete(self, w: Floats, gradient: Floats, penalty: Regulariser) -> None:
        """Add the gradient of the penalty to ``gradient`` and clip it, in place."""
        penalty.add_gradient(w, gradient)
        if self.clip_norm is not None:
            _shorten(gradient, self.clip_norm)


def take(w: Floats, step: Floats, penalty: Regulariser, learning_rate: float) -> None:
    """Subtract a step from ``w`` and shrink, in place."""
    w -= step
    penalty.shrink(w, learning_rate)


def _shorten(gradient: Floats, most: float) -> None:
    norm = math.sqrt(np.einsum("i,i", gradient, gradient, dtype=np.float64))
    if norm > most:
        gradient *= np.float32(most / norm)
