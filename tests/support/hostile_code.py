"""Own code of a job whose second epoch fails, with a message and log lines that attack pages."""

import os
from typing import Any

import stepml

IMAGE = '"><img src=x onerror="window.isForged = true">'
SCRIPT = "<script>window.isForged = true</script>"
CONTROL = "\x1b[31m\x00\u202e\x07"  # colour, zero, right to left, bell
LINE_BYTES = 1_000_000


class Hostile(stepml.OwnAlgorithm):
    """Steps downhill, until it attacks."""

    def step(self, task: stepml.Task, w: Any, X: Any, y: Any) -> float:
        loss, gradient = task.gradient(w, X, y)
        w -= 0.1 * gradient
        # Before the first epoch, StepML tries the code in another function.
        if task.epoch < 2 or not os.environ["AWS_LAMBDA_FUNCTION_NAME"].endswith("executor"):
            return loss
        print(f"{IMAGE}{SCRIPT}{CONTROL}")
        print("long " + "x" * LINE_BYTES + IMAGE)
        raise ValueError(f"{IMAGE}{SCRIPT}{CONTROL} end of the message")
