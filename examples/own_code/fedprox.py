"""FedProx: local steps that are pulled back to the common model (Li et al., 2020)."""

from __future__ import annotations

from typing import Any

import numpy as np

import stepml


class FedProx(stepml.OwnAlgorithm):
    """Each rank minimises its loss plus ``mu / 2 · ‖w - start‖²``; the results are averaged.

    With ``momentum``, the common model moves on by a share of its last move (Hsu et al., 2019).
    """

    def __init__(self, mu: float = 0.1, learning_rate: float = 0.1, momentum: float = 0.0) -> None:
        self.mu, self.learning_rate, self.momentum = mu, learning_rate, momentum

    def step(self, task: stepml.Task, w: np.ndarray, X: Any, y: np.ndarray) -> float:
        loss, gradient = task.gradient(w, X, y)
        gradient += self.mu * (w - task.start)
        w -= self.learning_rate * gradient
        return loss

    def shared(self, n_parameters: int) -> dict[str, np.ndarray]:
        return {"velocity": np.zeros(n_parameters, np.float32)}

    def merge(self, task: stepml.Merge, mean: np.ndarray) -> np.ndarray:
        velocity = task.shared["velocity"]
        velocity *= self.momentum
        velocity += mean - task.before
        return task.before + velocity
