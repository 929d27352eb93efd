"""Own code of the job that fails on purpose, for the pictures of the console."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

import stepml

EPOCH, RANK = 4, 2


class Careless(stepml.OwnAlgorithm):
    """Gradient descent whose steps become too large."""

    def step(self, task: stepml.Task, w: np.ndarray, X: Any, y: np.ndarray) -> float:
        loss, gradient = task.gradient(w, X, y)
        w -= 0.5 * gradient
        # StepML tries the code in another function before the job starts.
        is_training = "executor" in os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        if is_training and task.epoch == EPOCH and task.rank == RANK:
            print(f"step {task.step} of {task.n_steps}: loss {loss:.4f}")
            raise FloatingPointError("the step is too large: the loss is no number")
        return loss
