"""A job whose functions are updated while it runs: values of another version are made again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from comm import Workers
from comm.wire import Message, decode, encode
from stepml.job.errors import DamagedValueError, ExecutorPausedError
from stepml.job.step import Step
from stepml.ml.algorithms import Extras
from tests.support.jobs import Job

WORLD = 3


def admm_job(pattern: str, job_id: str = "job") -> Job:
    """Return an initialised job."""
    exchange = {"channel": "s3", "pattern": pattern}
    job = Job(job_id, algorithm={"name": "admm"}, exchange=exchange, stop={"max_epochs": 3})
    job.initialised()
    return job


def older(found: Extras) -> dict[str, Any]:
    """Return a rank's arrays as of a version without sums at the consensus."""
    return {name: array for name, array in found.items() if name != "at_z"}


def make_older(job: Job, epoch: int, rank: int) -> None:
    """Change what a rank left in an epoch."""
    chunks = WORLD if job.spec["exchange"]["pattern"] == "reduce_scatter" else 1
    for chunk in range(chunks):
        key = Workers(job.exchanged(), WORLD).contribution(Step(epoch), rank, chunk)
        message = decode(job.storage.load(key), key)
        job.storage.save(key, encode(Message(message.vector, message.trailer[:5])))
    entry = job.store.rank_state(epoch, rank)
    entry.save(older(entry.load()))


def finished(job: Job, epoch: int) -> bytes:
    """Make another attempt at an epoch, and return the bits of its state."""
    job.retries += 1
    job.epoch(epoch)
    return job.state_bits(epoch)


@pytest.mark.parametrize("pattern", ["reduce", "reduce_scatter"])
@pytest.mark.parametrize("ranks", [[1], [0, 1, 2]])
def test_contributions_of_another_version_are_made_again(pattern: str, ranks: list[int]) -> None:
    undisturbed = admm_job(pattern)
    bits = [undisturbed.epoch(epoch) and undisturbed.state_bits(epoch) for epoch in (1, 2)]
    job = admm_job(pattern)
    job.epoch(1)
    job.execute_all(2)
    for rank in ranks:
        make_older(job, 2, rank)
    with pytest.raises(DamagedValueError, match="another version of StepML"):
        if pattern == "reduce_scatter":
            job.merge(2, range(WORLD))
        job.reduce(2)
    assert [job.state_bits(1), finished(job, 2)] == bits


def test_ranks_states_of_another_version_are_used() -> None:
    """The epoch before was trained by it; its ranks' own models are the same."""
    undisturbed, job = admm_job("reduce"), admm_job("reduce")
    for each in (undisturbed, job):
        each.epoch(1)
    for rank in range(WORLD):
        entry = job.store.rank_state(1, rank)
        entry.save(older(entry.load()))
    assert finished(job, 2) == finished(undisturbed, 2)


def test_a_damaged_result_of_a_rank_is_made_again() -> None:
    undisturbed, job = admm_job("reduce"), admm_job("reduce")
    for rank in range(WORLD - 1):
        job.execute(1, rank)
    key = job.store.rank_state(1, 0).key
    job.storage.save(key, job.storage.load(key)[:-9])
    job.storage.clear(job.exchanged())
    assert finished(job, 1) == finished(undisturbed, 1)


def test_the_progress_of_another_version_is_made_again() -> None:
    undisturbed, job = admm_job("reduce"), admm_job("reduce")
    out_of_time = iter([100.0] + [1.0] * 100)
    with pytest.raises(ExecutorPausedError):
        job.execute(1, 0, out_of_time.__next__)
    entry = job.store.progress(1, 0)
    progress = entry.load()
    assert progress.batches_done
    entry.save(replace(progress, extras=older(progress.extras)))
    assert finished(job, 1) == finished(undisturbed, 1)


@pytest.mark.parametrize("algorithm", ["model_averaging", "least_squares"])
def test_sums_of_another_shape_are_refused_by_name(algorithm: str) -> None:
    """Before parameters were shrunk together, ranks contributed one number less."""
    model = {"name": "linear_regression", "l1": 0.01 if algorithm == "model_averaging" else 0}
    job = Job(algorithm={"name": algorithm}, model=model)
    job.initialised()
    job.execute_all(1)
    for rank in range(WORLD):
        key = Workers(job.exchanged(), WORLD).contribution(Step(1), rank, 0)
        message = decode(job.storage.load(key), key)
        job.storage.save(key, encode(Message(message.vector[:-1], message.trailer)))
    with pytest.raises(DamagedValueError, match=r"another version of StepML .* epoch 1"):
        job.reduce(1)
    job.retries += 1
    assert np.isfinite(job.epoch(1).loss)
