"""Huber regression: squared errors up to ``delta``, beyond it absolute ones."""

from __future__ import annotations

import numpy as np

import stepml


class Huber(stepml.OwnLinearModel):
    """The loss of Huber, 1964; outliers move the model less than with squared errors."""

    convex = True
    most_curvature = 1.0

    def __init__(self, delta: float = 1.35) -> None:
        self.delta = delta

    def losses(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        error = z - y
        slopes = np.clip(error, -self.delta, self.delta)
        return slopes * (error - slopes / 2), slopes
