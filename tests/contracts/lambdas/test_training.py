"""A job's result has the same bits on every channel, in every pattern."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambdas.channels.server import ServerChannel
from lambdas.channels.storage import open_storage_channel
from lambdas.epochs import epochs_of
from ps_server.protocol.addresses import TOKEN_VARIABLE, URL_VARIABLE
from ps_server.protocol.calls import JobSettings
from stepml.job.errors import NotEnoughServerMemoryError
from tests.contracts.conftest import close_clients
from tests.support.jobs import Job
from tests.support.parameter_servers import ParameterServerProcess, parameter_server
from tests.support.torch_reason import NEEDS_TORCH

WIDE = 40_000  # features: gradients of 160 KB are cut into chunks
# Contributions grow with the square of the width.
WIDTHS = {"least_squares": 200, "network": 64}


@cache
def rows_of(n_features: int) -> bytes:
    rng = np.random.default_rng(0)
    return b"".join(
        b"%d 1:%.3f %d:1.5 %d:%.3f\n"
        % (rng.integers(2), rng.normal(), rng.integers(2, n_features), n_features, rng.normal())
        for _ in range(40)
    )


# By the subject of the test: a job's model, algorithm and data.
GRADIENTS = {"name": "gradient_averaging", "batch_size": 6}
LEARNERS: dict[str, dict[str, Any]] = {
    "gradient_averaging": {"algorithm": GRADIENTS},
    "adam": {"algorithm": GRADIENTS | {"optimiser": "adam"}},
    "model_averaging": {"algorithm": {"name": "model_averaging", "batch_size": 6}},
    "admm": {"algorithm": {"name": "admm", "local_iterations": 3}},
    "expectation_maximisation": {
        "algorithm": {"name": "expectation_maximisation"},
        "model": {"name": "kmeans", "n_clusters": 3},
    },
    "least_squares": {
        "algorithm": {"name": "least_squares"},
        "model": {"name": "linear_regression", "l2": 0.1},
    },
    "network": {  # with statistics of batches, and vectors that are cut
        "algorithm": GRADIENTS | {"optimiser": "adam", "learning_rate": 0.01},
        "model": {
            "name": "neural",
            "network": {"name": "mobilenet", "width": 0.2, "depth": 0, "dropout": 0.1},
            "input_shape": [8, 8],
        },
    },
}
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason=NEEDS_TORCH)
EVERY = [pytest.param(each, marks=needs_torch) if each == "network" else each for each in LEARNERS]


def trained(
    channel: str,
    pattern: str,
    learner: str,
    matrix: str = "auto",
    workers: int = 3,
    **exchange: Any,
) -> tuple[Job, bytes]:
    """Return a job after two epochs, and the bits of its state."""
    job = Job(
        data={"uri": "s3://data/rows.libsvm", "format": "libsvm", "matrix": matrix},
        exchange={"channel": channel, "pattern": pattern, **exchange},
        workers=workers,
        **LEARNERS[learner],
    )
    job.data.save("rows.libsvm", rows_of(WIDTHS.get(learner, WIDE)))
    job.initialised()
    job.epoch(1)
    job.epoch(2)
    return job, job.state_bits(2)


@cache
def expected(learner: str) -> bytes:
    return trained("s3", "reduce", learner)[1]


@pytest.mark.parametrize("pattern", ["reduce", "reduce_scatter"])
@pytest.mark.parametrize("learner", EVERY)
def test_channel_and_pattern_change_no_bit(configured: str, pattern: str, learner: str) -> None:
    job, bits = trained(configured, pattern, learner)
    assert bits == expected(learner)
    job.finalise(2)
    channel = open_storage_channel(configured, job.storage)
    assert [*channel.list("jobs/job/exchange/")] == []


@pytest.mark.parametrize("learner", EVERY)
def test_a_parameter_server_changes_no_bit(server: ParameterServerProcess, learner: str) -> None:
    job, bits = trained("parameter_server", "reduce", learner)
    assert bits == expected(learner)
    with server.client() as client:
        assert not client.statistics().jobs[0].steps  # every epoch was released
        job.finalise(2)
        assert client.statistics().jobs == ()


def test_a_job_with_nothing_chosen_by_hand_begins_on_a_parameter_server(
    server: ParameterServerProcess,
) -> None:
    exchange = {"channel": "parameter_server"}
    job = Job(algorithm={"name": "admm"}, exchange=exchange, stop={}, chooses=True)
    job.initialised()
    job.epoch(1)
    report = job.store.report(1).load()
    assert (report.decision, report.reason[:32]) == (
        "converged",
        "training began at the minimum: t",
    )


@pytest.mark.parametrize("learner", ["gradient_averaging", "model_averaging", EVERY[-1]])
def test_float16_is_the_same_on_a_parameter_server(
    server: ParameterServerProcess, learner: str
) -> None:
    settings = {"compression": "float16"}
    _, bits = trained("parameter_server", "reduce", learner, **settings)
    assert bits == trained("s3", "reduce", learner, **settings)[1] != expected(learner)


@pytest.mark.parametrize("staleness", [None, 0, 2])
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("on_server", [False, True])
def test_asynchronous_jobs_learn_on_a_parameter_server(
    server: ParameterServerProcess, optimiser: str, on_server: bool, staleness: int | None
) -> None:
    job = Job(
        algorithm={
            "name": "gradient_averaging",
            "batch_size": 16,
            "optimiser": optimiser,
            "learning_rate": {"sgd": 0.5, "adam": 0.05}[optimiser],
        },
        model={"name": "logistic_regression", "l2": 0.001},
        exchange={
            "channel": "parameter_server",
            "pattern": "async",
            "max_staleness": staleness,
            "server_update": optimiser if on_server else "none",
        },
    )
    job.initialised()
    first, second = job.epoch(1), job.epoch(2)
    assert second.loss < first.loss < np.log(2)
    assert first.staleness_max is not None
    assert first.lost_updates is None
    if staleness is not None:  # the lead of each of the two others, and of this one
        assert first.staleness_max <= 2 * (2 * staleness + 1)
    with server.client() as client:
        assert client.statistics().jobs == ()


def test_models_are_averaged_asynchronously_on_a_parameter_server(
    server: ParameterServerProcess,
) -> None:
    job = Job(
        algorithm={"name": "model_averaging", "batch_size": 16, "local_epochs": 3},
        exchange={"channel": "parameter_server", "pattern": "async", "max_staleness": 1},
    )
    job.initialised()
    first, second = job.epoch(1), job.epoch(2)
    assert second.loss < first.loss < np.log(2)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_server_takes_the_steps_that_a_rank_alone_would(
    server: ParameterServerProcess, optimiser: str
) -> None:
    algorithm = {
        "name": "gradient_averaging",
        "batch_size": 50,
        "optimiser": optimiser,
        "clip_norm": 0.3,
        "schedule": "cosine",
    }
    if optimiser == "sgd":
        algorithm |= {"momentum": 0.9, "nesterov": True}
    model = {"name": "logistic_regression", "l2": 0.01}
    exchange = {
        "channel": "parameter_server",
        "pattern": "async",
        "server_update": optimiser,
    }
    alone = Job("alone", algorithm=algorithm, model=model, workers=1)
    served = Job("served", algorithm=algorithm, model=model, workers=1, exchange=exchange)
    for job in (alone, served):
        job.initialised()
        job.epoch(1)
    assert served.state_bits(1) == alone.state_bits(1)


def test_models_of_more_than_four_megabytes_are_shared(server: ParameterServerProcess) -> None:
    job = Job(
        data={"uri": "s3://data/rows.libsvm", "format": "libsvm", "n_features": 2**20 + 1},
        algorithm={"name": "gradient_averaging", "batch_size": 20},
        exchange={"channel": "parameter_server", "pattern": "async"},
        workers=2,
    )
    job.data.save("rows.libsvm", rows_of(WIDE))
    job.initialised()
    assert job.epoch(1).staleness_max is not None


def test_a_job_that_has_no_room_is_refused_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with parameter_server(tmp_path, memory_mb=1) as small:
        monkeypatch.setenv(URL_VARIABLE, small.url("thrift"))
        monkeypatch.setenv(TOKEN_VARIABLE, small.token)
        with pytest.raises(NotEnoughServerMemoryError, match=r"needs \d+ bytes of the server's"):
            trained("parameter_server", "reduce", "gradient_averaging", workers=8)
        with small.client() as client:
            assert client.statistics().jobs == ()
        close_clients()


@pytest.mark.parametrize("learner", EVERY)
def test_what_is_asked_for_is_what_ranks_register(
    server: ParameterServerProcess, learner: str
) -> None:
    job = Job(
        data={"uri": "s3://data/rows.libsvm", "format": "libsvm"},
        exchange={"channel": "parameter_server"},
        **LEARNERS[learner],
    )
    job.data.save("rows.libsvm", rows_of(WIDTHS.get(learner, WIDE)))
    job.initialised()
    job.execute_all(1)
    plan, asked = job.training_plan(), list[JobSettings]()

    class Asking(ServerChannel):
        def _require_room(self, settings: JobSettings) -> None:
            asked.append(settings)

    epochs_of(plan.spec).require_room(plan, Asking(plan.spec, job.exchanged(), start_s=10.0))
    with server.client() as client:
        registered = client.register(job.exchanged(), *asked)
    assert not registered.is_new


@pytest.mark.parametrize("learner", EVERY)
def test_sparse_rows_are_learnt_as_dense_ones_are(learner: str) -> None:
    """Equal except for the order of additions."""
    both = [trained("s3", "reduce", learner, matrix)[1] for matrix in ("sparse", "dense")]
    sparse, dense = (np.frombuffer(bits, np.float32) for bits in both)
    np.testing.assert_allclose(sparse, dense, rtol=0, atol=1e-4)
