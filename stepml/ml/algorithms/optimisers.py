"""Optimisers: how a gradient becomes a step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from stepml.ml.models.base import Floats

Moments = npt.NDArray[np.float32]  # (n_moments, n_parameters)


class Reach(NamedTuple):
    """The step that a gradient of 1 in every batch so far would give: ``length`` times ``scale``.

    A penalty that is applied apart from the gradient has the right weight with this length.
    """

    length: float
    scale: Floats | None = None  # (n_parameters,); None: 1


class Optimiser(Protocol):
    """Turns a gradient into a step; its moments are vectors that depend on earlier gradients."""

    @property
    def n_moments(self) -> int:
        """Number of vectors."""

    def step(self, gradient: Floats, moments: Moments, learning_rate: float, number: int) -> None:
        """Replace ``gradient`` by the step to subtract from the parameters; update ``moments``.

        ``number`` counts, from 1, the steps since the moments were zero.
        """

    def reach(self, moments: Moments, learning_rate: float, number: int) -> Reach:
        """Return the reach of step ``number``, which has updated ``moments``."""


@dataclass(frozen=True, slots=True)
class Sgd:
    """Stochastic gradient descent, with momentum if that is not 0.

    Momentum is heavy-ball (Polyak, 1964), or Nesterov's in the form of Sutskever et al. (2013),
    in which the parameters are those from which the gradient looks ahead.
    """

    momentum: float = 0.0
    nesterov: bool = False

    @property
    def n_moments(self) -> int:
        return 1 if self.momentum else 0

    def step(self, gradient: Floats, moments: Moments, learning_rate: float, number: int) -> None:
        if not self.momentum:
            gradient *= np.float32(learning_rate)
            return
        velocity = moments[0]
        velocity *= np.float32(self.momentum)
        velocity += gradient
        if self.nesterov:
            gradient += np.float32(self.momentum) * velocity
            gradient *= np.float32(learning_rate)
        else:
            np.multiply(velocity, np.float32(learning_rate), out=gradient)

    def reach(self, moments: Moments, learning_rate: float, number: int) -> Reach:
        velocity = (1 - self.momentum**number) / (1 - self.momentum)
        steps = 1 + self.momentum * velocity if self.nesterov else velocity
        return Reach(learning_rate * steps)


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
        correction = self._correction(number)
        np.sqrt(square, out=gradient)
        gradient += np.float32(self.epsilon * correction)
        np.divide(mean, gradient, out=gradient)
        gradient *= np.float32(learning_rate * correction / (1 - self.beta1**number))

    def reach(self, moments: Moments, learning_rate: float, number: int) -> Reach:
        correction = self._correction(number)
        scale = np.sqrt(moments[1])
        scale += np.float32(self.epsilon * correction)
        np.divide(np.float32(correction), scale, out=scale)
        return Reach(learning_rate, scale)

    def _correction(self, number: int) -> float:
        return math.sqrt(1 - self.beta2**number)
