"""Asynchronous training: ranks that change one shared model in turn, die and return."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from comm import SharedState
from lambdas.channels import channel_of
from stepml.job import keys
from stepml.job.errors import (
    ExecutorPausedError,
    MissingContributionError,
    ModelTooLargeError,
    SharedModelLostError,
)
from stepml.job.tasks import ExecutorTask
from tests.support.jobs import Job

N_BATCHES = 4  # of each rank, in batches of 16 of its 60 rows
WORKERS = 3
SHARED: dict[str, Any] = {
    "algorithm": {"name": "gradient_averaging", "batch_size": 16, "learning_rate": 0.5},
    "exchange": {"pattern": "async"},
}


def shared_job(job_id: str = "job") -> Job:
    job = Job(job_id, **SHARED)
    job.initialised()
    return job


def applied(job: Job) -> list[float]:
    """Return the number of each rank's last update in the shared model."""
    return [float(last) for last in shared_state(job).applied]


def shared_state(job: Job) -> SharedState:
    task = ExecutorTask(rank=0, **job.attempt(1))
    return channel_of(job.store, job.training_plan()).shared(task, 0, N_BATCHES).pull()


def seconds_left(job: Job) -> float:
    """Return rank 1's remaining time: little after it has made two updates."""
    try:
        return 10.0 if applied(job)[1] >= 2 else 900.0
    except SharedModelLostError:  # not made yet
        return 900.0


def test_an_asynchronous_job_learns_and_leaves_nothing() -> None:
    job = shared_job()
    first, second = job.epoch(1), job.epoch(2)
    assert second.loss < first.loss < np.log(2)
    assert first.training_loss < np.log(2)
    assert first.staleness_mean is not None
    assert first.staleness_max is not None
    assert 0 <= first.staleness_mean <= first.staleness_max < WORKERS * N_BATCHES
    assert [*job.storage.list(job.exchanged())] == []


def test_one_rank_alone_does_plain_sgd() -> None:
    """The update is computed on the model that it changes, so nothing is stale."""
    spec = {"workers": 1, "exchange": {"pattern": "async"}}
    algorithm = {"name": "gradient_averaging", "batch_size": 50}
    alone = Job("alone", algorithm=algorithm, **spec)
    together = Job("together", algorithm=algorithm, workers=1)
    for job in (alone, together):
        job.initialised()
        job.epoch(1)
    assert alone.state_bits(1) == together.state_bits(1)


def test_with_l1_one_rank_alone_has_the_same_zeros() -> None:
    """The shared vector has the parameters before shrinking, and one number more."""
    model = {"name": "logistic_regression", "l1": 0.05}
    algorithm = {"name": "gradient_averaging", "batch_size": 10, "learning_rate": 0.5}
    jobs = [
        Job(name, algorithm=algorithm, model=model, workers=1, exchange=exchange)
        for name, exchange in (("alone", {"pattern": "async"}), ("together", {}))
    ]
    for job in jobs:
        job.initialised()
        job.epoch(1)
        job.epoch(2)
    alone, together = (job.store.state(2).load() for job in jobs)
    assert alone.parameters == pytest.approx(together.parameters, abs=1e-5)
    assert (alone.parameters == 0).tolist() == (together.parameters == 0).tolist()
    assert 0 < np.count_nonzero(together.parameters == 0) < 4
    shares = [state.extras["l1_share"] for state in (alone, together)]
    assert shares[0] == pytest.approx(shares[1], abs=1e-4)


def test_synchronous_reports_say_nothing_of_staleness() -> None:
    job = Job()
    job.initialised()
    assert job.epoch(1).staleness_mean is None


def test_a_rank_that_is_repeated_counts_once() -> None:
    job = shared_job()
    job.execute_all(1)
    before = shared_state(job)
    job.execute_all(1)
    after = shared_state(job)
    assert after.version == before.version == WORKERS * N_BATCHES
    assert after.vector.tobytes() == before.vector.tobytes()
    job.reduce(1)


def test_a_rank_that_pauses_goes_on_where_it_stopped() -> None:
    job = shared_job()
    with pytest.raises(ExecutorPausedError, match="rank 1 paused"):
        job.execute(1, 1, lambda: seconds_left(job))
    assert applied(job) == [0, 2, 0]
    with pytest.raises(MissingContributionError, match="the end of epoch 1 from rank 0, 1, 2"):
        job.reduce(1)
    job.execute_all(1)
    assert applied(job) == [N_BATCHES] * WORKERS
    job.reduce(1)


def test_a_lost_model_fails_the_epoch_which_starts_again() -> None:
    job = shared_job()
    job.execute(1, 0)
    job.storage.clear(job.exchanged())
    with pytest.raises(SharedModelLostError):
        job.reduce(1)
    job.retries = 1
    job.epoch(1)


@pytest.mark.parametrize("redrives", [0, 1])
def test_a_lost_model_is_not_made_again_as_its_ranks_may_have_left(redrives: int) -> None:
    job = shared_job()
    job.execute(1, 0)
    job.storage.clear(job.exchanged())
    job.redrives = redrives
    for rank in range(WORKERS):
        with pytest.raises(SharedModelLostError):
            job.execute(1, rank)
    job.redrives, job.retries = 0, 1
    job.epoch(1)
    job.finalise(1)
    assert [*job.storage.list(keys.shared_model_marks_prefix("job"))] == []


def test_models_that_are_too_large_are_refused_before_training() -> None:
    data = {"uri": "s3://data/rows.libsvm", "format": "libsvm", "n_features": 2**20}
    job = Job(data=data, **SHARED)
    job.data.save("rows.libsvm", b"1 1:2\n0 2:1\n" * 20)
    with pytest.raises(ModelTooLargeError, match=r"to 4194304 bytes, this one has 4194308; use"):
        job.initialised()
