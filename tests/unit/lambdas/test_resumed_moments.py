"""A synchronous job that resumes an asynchronous one, whose ranks had moments of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.jobs import Job

RATE = 0.01


def job_of(job_id: str, before: Job | None = None, **fields: Any) -> Job:
    algorithm = {"name": "gradient_averaging", "learning_rate": RATE, "batch_size": 100} | fields
    resumed = {} if before is None else {"resume_from": before.job_id}
    pattern = "async" if before is None else "reduce"
    job = Job(
        job_id,
        None if before is None else before.storage,
        algorithm=algorithm,
        exchange={"channel": "s3", "pattern": pattern},
        stop={"max_epochs": 5},
        **resumed,
    )
    job.initialised()
    return job


@pytest.mark.parametrize(
    "fields", [{"optimiser": "adam"}, {"momentum": 0.9}, {}], ids=["adam", "momentum", "sgd"]
)
def test_moments_begin_with_the_first_synchronous_epoch(fields: dict[str, Any]) -> None:
    """An epoch is one step here; Adam's are about as long as the rate, if their number is right."""
    first = job_of("first", **fields)
    for epoch in (1, 2):
        first.epoch(epoch)
    job = job_of("next", first, **fields)
    steps = []
    for epoch in (3, 4):
        job.epoch(epoch)
        before, after = (job.store.state(each).load().parameters for each in (epoch - 1, epoch))
        steps.append(np.abs(after - before).max())
    assert all(step > 0 for step in steps)
    if "optimiser" in fields:
        assert steps == pytest.approx([RATE, RATE], rel=0.05)
    again = job_of("again", job, **fields)
    for each in (job, again):
        each.epoch(5)
    assert job.state_bits(5) == again.state_bits(5)
