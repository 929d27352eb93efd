"""The room of a channel is checked with a contribution like those of the ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from comm import Message
from lambdas.epochs import epochs_of
from tests.support.jobs import Job

LOGISTIC = {"name": "logistic_regression"}
SOFTMAX = {"name": "softmax_regression"}


class Channel:
    """A channel that looks at the contribution."""

    found: Message

    def require_room_for_sums(self, contribution: Callable[[], Message]) -> None:
        self.found = contribution()


@pytest.mark.parametrize("start", ["zero", "sample"])
@pytest.mark.parametrize("model", [LOGISTIC, SOFTMAX, {"name": "svm"}], ids=lambda m: m["name"])
@pytest.mark.parametrize("algorithm", ["admm", "model_averaging"])
def test_it_has_the_shape_of_a_contribution(
    algorithm: str, model: dict[str, Any], start: str
) -> None:
    job = Job(chooses=True, model=model, algorithm={"name": algorithm, "start": start})
    job.initialised()
    plan, channel = job.training_plan(), Channel()
    epochs = epochs_of(plan.spec)
    epochs.require_room(plan, channel)  # type: ignore[arg-type]
    assert channel.found.shape == epochs.algorithm.contribution_shape(plan.model())
