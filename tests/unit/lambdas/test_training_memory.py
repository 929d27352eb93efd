"""The memory of executors that train a network: foretold, refused, and left free."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lambdas.environment import Deadline
from lambdas.initialise import check_model, initialise
from lambdas.job_store.shards import ShardCache, load_shard, warm_shards
from lambdas.job_store.training_memory import MIB, StepRows, TrainingMemory
from stepml.job.errors import ModelTooLargeError
from stepml.job.parse import parse_job
from stepml.job.spec_base import settled
from stepml.ml.data import Shard
from tests.support.jobs import Job
from tests.support.torch import torch  # noqa: F401 - skips where it is absent

# 80 KB of activations a row, and parameters of half a MB.
WIDE = {"name": "neural", "network": {"name": "mlp", "hidden": [20_000]}}
GRADIENTS = {"name": "gradient_averaging", "learning_rate": 0.1, "batch_size": 20}
MODELS = {"name": "model_averaging", "learning_rate": 0.1, "batch_size": 20}
FEW_MB = 458  # for about 17 rows, if there are 10 classes: before the data are read
LONG = Deadline(lambda: 900.0)


def job(algorithm: dict[str, Any] | None, **fields: Any) -> Job:
    return Job(**{"model": WIDE, "algorithm": algorithm} | fields)


def initialised(one: Job, function_mb: int) -> Any:
    for step in (one.partitioned, one.assemble):
        step()
    return initialise("job", one.storage, LONG, lambda name: one.data, function_mb=function_mb)


def memory(rows: int | None = None, shard_mb: int = 0, **fields: Any) -> TrainingMemory:
    """Return the memory of ResNet-50 on images of 32 × 32 pixels."""
    exchange = {
        "channel": fields.pop("channel", "redis"),
        "pattern": fields.pop("pattern", "reduce"),
    }
    algorithm = {"name": "gradient_averaging", "learning_rate": 0.1, "batch_size": 4} | fields
    spec = parse_job(
        {
            "data": {"uri": "s3://data/images.npz", "format": "npz"},
            "workers": 2,
            "model": {"name": "neural", "network": "resnet50"},
            "algorithm": algorithm,
            "exchange": exchange,
        }
    )
    return TrainingMemory(spec, 25_600_000, 25_600_000, StepRows(rows, shard_mb * MIB))


def test_a_batch_that_does_not_fit_is_refused_before_the_data_are_read() -> None:
    one = job(GRADIENTS)
    one.prepare()
    expected = (
        r"^algorithm.batch_size: expected at most 9, or algorithm.accumulate of at least 2, got "
        r"20; training takes about 459 MB, and a function has 458 MB \(the stack's "
        r"parameter ExecutorMemory\): 450 MB for Python and torch, "
        r"7 MB for 6 vectors of 300,010 parameters, 3 MB for the activations of 18 rows$"
    )
    with pytest.raises(ModelTooLargeError, match=expected):
        check_model("job", one.storage, function_mb=FEW_MB)
    check_model("job", one.storage, function_mb=FEW_MB + 5)


def test_accumulated_parts_fit() -> None:
    one = job(GRADIENTS | {"accumulate": 2})
    one.prepare()
    check_model("job", one.storage, function_mb=FEW_MB)


def test_models_that_are_averaged_have_no_parts() -> None:
    one = job(MODELS)
    one.prepare()
    with pytest.raises(ModelTooLargeError, match=r"expected at most \d+, got 20; training"):
        check_model("job", one.storage, function_mb=FEW_MB - 2)


def test_a_batch_of_more_rows_than_a_rank_has_needs_the_memory_of_these() -> None:
    """The rank has 60; the size of the data tells only that it has 20 or more."""
    one = job(GRADIENTS | {"batch_size": 10**6})
    one.prepare()
    check_model("job", one.storage, function_mb=FEW_MB + 1)
    with pytest.raises(ModelTooLargeError, match=r"got 1,000,000; .* the activations of 60 rows"):
        initialised(one, 458)
    assert initialised(job(GRADIENTS | {"batch_size": 10**6}), 470).spec.algorithm.accumulate == 1


def test_rows_of_an_unknown_shape_are_refused_before_training() -> None:
    one = job(GRADIENTS, data={"uri": "s3://data/rows.svm", "format": "libsvm"})
    one.data.save("rows.svm", b"1 1:2 2:3\n0 1:1 4:2\n" * 50)
    with pytest.raises(ModelTooLargeError, match=r"^algorithm.batch_size: expected at most \d+, "):
        initialised(one, FEW_MB - 4)


def test_a_network_that_fits_with_no_batch_is_refused() -> None:
    one = job(GRADIENTS)
    one.prepare()
    expected = (
        "^model: expected a network that fits with a batch of 2 rows; .* Use a smaller network$"
    )
    with pytest.raises(ModelTooLargeError, match=expected):
        check_model("job", one.storage, function_mb=452)


def test_a_chosen_batch_fits() -> None:
    sizes = []
    for function_mb in (1024, 454):
        one = Job(chooses=True, model=WIDE, data={"uri": "s3://data/rows.csv", "format": "csv"})
        del one.spec["algorithm"]
        plan = initialised(one, function_mb)
        sizes.append(settled(plan.spec.algorithm).batch_size)
        TrainingMemory.of(plan).require(function_mb)
    assert 0 < sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"optimiser": "sgd", "momentum": 0.0}, 6),
        ({"optimiser": "sgd", "momentum": 0.9}, 7),
        ({"optimiser": "adam"}, 8),
        ({"optimiser": "adam", "channel": "s3"}, 8),
        ({"optimiser": "adam", "pattern": "async", "channel": "parameter_server"}, 8),
        ({"name": "model_averaging", "optimiser": "adam"}, 5),
        ({"name": "model_averaging", "optimiser": "adam", "channel": "s3"}, 5),
    ],
)
def test_vectors_depend_on_optimiser_and_exchange(fields: dict[str, Any], expected: int) -> None:
    assert memory(**fields).n_vectors == expected


def test_resnet_50_fits_into_a_function_with_small_batches() -> None:
    memory(optimiser="adam", channel="s3").require(3008)
    with pytest.raises(
        ModelTooLargeError, match=r"or algorithm.accumulate of at least \d+, got 512"
    ):
        memory(batch_size=512, optimiser="sgd").require(3008)
    parts = memory(batch_size=512, accumulate=11, optimiser="sgd")
    parts.require(3008)
    assert parts.most_batch_size(3008) >= 512


def test_rows_count_as_well() -> None:
    memory(rows=1000, shard_mb=1000).require(3008)
    with pytest.raises(ModelTooLargeError, match=r"3,000 MB for the rows .* or more workers$"):
        memory(rows=1000, shard_mb=3000).require(3008)


def shard(n_bytes: int) -> Shard:
    return Shard(np.zeros((1, n_bytes // 4), np.float32), np.zeros(1, np.float32))


def test_a_cache_makes_more_room_than_usual() -> None:
    cache = ShardCache(10_000)
    for name in "ab":
        cache.put(name, shard(4000))
    cache.make_room(0, most_bytes=5000)
    assert cache.get("a") is None
    assert cache.get("b") is not None


def test_shards_of_other_jobs_leave_the_memory_that_training_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = job(GRADIENTS)
    one.initialised()
    plan = one.training_plan()
    for function_mb, stays in ((1024, True), (FEW_MB - 3, False)):
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", str(function_mb))
        warm_shards.put("of another job", shard(5 * MIB))
        for _ in range(2):  # cold and warm
            assert len(load_shard(one.store, plan, 0).y) == 60
        assert (warm_shards.get("of another job") is not None) == stays
