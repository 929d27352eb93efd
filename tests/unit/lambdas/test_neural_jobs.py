"""Jobs of neural networks, step by step: evaluation in slices, pauses, copies, channels."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import pytest

from lambdas.environment import Deadline
from lambdas.executor import evaluate_epoch
from lambdas.job_store.network_checks import require_steps_of_gradients
from lambdas.job_store.shards import load_shard
from lambdas.reducer import merge_epoch
from stepml.job import keys
from stepml.job.errors import ExecutorPausedError, InvalidJobError, KeyNotFoundError
from stepml.job.spec import Exchange
from stepml.job.tasks import EvaluationTask, ExecutorResult, ReducerTask
from stepml.ml.models import NetworkLayout
from tests.support.jobs import Job, csv_rows
from tests.support.torch import torch

MODEL = {"name": "neural", "network": {"name": "mlp", "hidden": [8], "dropout": 0.2}}
GRADIENTS = {"algorithm": {"name": "gradient_averaging", "learning_rate": 0.05, "batch_size": 20}}
MODELS = {"algorithm": {"name": "model_averaging", "learning_rate": 0.05, "batch_size": 20}}
# With statistics of batches, and random changes: images of 2 × 2 pixels.
CONVOLUTIONS = {
    "name": "neural",
    "network": {"name": "resnet18", "width": 4},
    "input_shape": [1, 2, 2],
    "augment": {"crop": 1, "flip": True},
}


def initialised(job_id: str = "job", **fields: Any) -> Job:
    job = Job(job_id, **({"model": MODEL} | fields))
    job.initialised()
    return job


@pytest.fixture(params=[GRADIENTS, MODELS], ids=["gradients", "models"])
def fields(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


@pytest.fixture(params=[MODEL, CONVOLUTIONS], ids=["mlp", "resnet"])
def model(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def called_once(job: Job, epoch: int) -> list[ExecutorResult | None]:
    """Call all ranks, whose time is up as soon as they have begun; those that pause have None."""

    def execute(rank: int) -> ExecutorResult | None:
        seconds = iter((900.0,))
        try:
            return job.execute(epoch, rank, lambda: next(seconds, 10.0))
        except ExecutorPausedError:
            return None

    with ThreadPoolExecutor(3) as threads:
        return list(threads.map(execute, range(3)))


def test_a_job_learns_and_tells_its_metrics(fields: dict[str, Any]) -> None:
    job = initialised(**fields)
    reports = [job.epoch(number) for number in range(1, 4)]
    assert reports[-1].training_loss < reports[0].training_loss
    assert {"accuracy", "precision", "recall", "f1"} <= set(reports[-1].metrics)
    report = job.finalise(3)
    assert report.versions["torch"] == torch.__version__
    right = sum(row[number] for number, row in enumerate(report.confusion_matrix))
    rows = sum(map(sum, report.confusion_matrix))
    assert report.metrics["accuracy"] == pytest.approx(right / rows)


def test_the_reducer_does_without_torch(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = initialised(**fields)
    results = job.execute_all(1)
    assert job.state is not None
    task = ReducerTask(executors=results, n_slices=3, **job.attempt(1))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "torch", None)  # its import fails
        merge_epoch(task, job.storage)
    for each in job.state.slices:
        evaluation = EvaluationTask(slice=each, n_slices=3, **job.attempt(1))
        evaluate_epoch(evaluation, job.storage, Deadline(lambda: 900.0))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "torch", None)
        assert job.reduce(1, results).epoch == 1


def test_slices_are_evaluated_once_and_their_number_does_not_matter(fields: dict[str, Any]) -> None:
    losses = []
    for slices in ([0], [0, 1, 2, 3, 4]):
        job = initialised(**fields)
        results = job.execute_all(1)
        job.evaluate(1, results, slices)
        first = job.storage.load(keys.tally("job", 1, 0))
        job.evaluate(1, results, slices)  # copies of all functions
        assert job.storage.load(keys.tally("job", 1, 0)) == first
        losses.append(job.reduce(1, results).loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_an_epoch_whose_slices_are_missing_is_not_reported(fields: dict[str, Any]) -> None:
    job = initialised(**fields)
    results = job.execute_all(1)
    job.evaluate(1, results, [0, 1])
    job.storage.delete(keys.tally("job", 1, 1))
    with pytest.raises(KeyNotFoundError, match="tallies/000001"):
        job.reduce(1, results)
    assert not job.store.report(1).exists()
    job.evaluate(1, results, [0, 1])  # by another attempt
    assert job.reduce(1, results).epoch == 1


def test_pauses_change_no_bit(fields: dict[str, Any], model: dict[str, Any]) -> None:
    """The deadline comes after every batch; generators of random draws go on by name."""
    whole = initialised(model=model, **fields)
    paused = initialised(model=model, **fields)
    n_pauses = 0
    for number in (1, 2):
        whole.epoch(number)
        while True:
            results = called_once(paused, number)
            if None not in results:
                break
            n_pauses += 1
        assert paused.state is not None
        whole_results = [each for each in results if each is not None]
        paused.evaluate(number, whole_results, paused.state.slices)
        paused.reduce(number, whole_results)
    assert n_pauses > 0
    assert whole.state_bits(2) == paused.state_bits(2)


def test_dropout_differs_between_ranks_and_epochs_not_between_runs(fields: dict[str, Any]) -> None:
    first, again = initialised(**fields), initialised(**fields)
    torch.manual_seed(3)
    first.epoch(1)
    torch.manual_seed(4)
    again.epoch(1)
    assert first.state_bits(1) == again.state_bits(1)


def test_a_server_takes_no_steps_of_statistics() -> None:
    plan = initialised(model=CONVOLUTIONS, **GRADIENTS).training_plan()
    assert plan.network is not None
    exchange = Exchange(channel="parameter_server", pattern="async", server_update="sgd")
    spec = msgspec.structs.replace(plan.spec, exchange=exchange)
    with pytest.raises(InvalidJobError, match=r"such as '1\.running_mean'; expected 'none'"):
        require_steps_of_gradients(spec, plan.network)
    require_steps_of_gradients(spec, NetworkLayout(plan.network.trained))
    require_steps_of_gradients(plan.spec, plan.network)


def test_statistics_are_kept_in_the_state(fields: dict[str, Any]) -> None:
    job = initialised(model=CONVOLUTIONS, **fields)
    plan = job.training_plan()
    assert plan.network is not None
    n = plan.network.n_trained
    before = job.store.state(0).load().parameters[n:].copy()
    job.epoch(1)
    after = job.store.state(1).load().parameters[n:]
    assert not np.array_equal(before, after)
    named = plan.model().arrays(job.store.state(1).load().parameters)
    assert (named["1.running_var"] > 0).all()


@pytest.mark.parametrize("labels", [np.arange(1500), np.arange(1500) % 3, np.ones(1500)])
def test_a_network_learns_numbers_that_are_no_classes(labels: Any) -> None:
    X = np.random.default_rng(0).normal(size=(1500, 2))
    model = MODEL | {"loss": "mean_squared_error"}
    job = Job(model=model, **GRADIENTS)
    rows = (f"{a:.4f},{b:.4f},{label:g}\n" for (a, b), label in zip(X, labels, strict=True))
    job.data.save("rows.csv", "".join(rows).encode())
    job.initialised()
    about = job.training_plan().about
    assert [each.code for each in about.warnings] == (
        ["labels_constant"] if labels.min() == labels.max() else []
    )
    assert about.classes == []
    assert {"rmse", "mae"} <= set(job.epoch(1).metrics)


def test_before_training_one_function_evaluates_at_most_a_thousand_rows() -> None:
    data = {"uri": "s3://data/rows.csv", "format": "csv"}
    job = Job(model=MODEL, data=data | {"validation": {"uri": "s3://data/later.csv"}})
    job.data.save("later.csv", csv_rows(1500, seed=1))
    job.initialised()
    plan = job.training_plan()
    shard, model = load_shard(job.store, plan, keys.VALIDATION), plan.model()
    first = job.store.state(0).load().parameters
    assert len(shard.y) == 1500
    some = model.evaluate(first, shard.X[:1000], model.targets(shard.y[:1000])).loss
    assert plan.first_loss == pytest.approx(some, rel=1e-6)
    assert plan.first_loss != model.evaluate(first, shard.X, model.targets(shard.y)).loss
