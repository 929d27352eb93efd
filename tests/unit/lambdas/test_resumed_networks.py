"""Jobs of networks that go on from another job: same bits, or fine-tuning."""

from __future__ import annotations

from typing import Any

import pytest

from lambdas.initialise import check_model
from stepml.job.errors import InvalidJobError
from stepml.ml.algorithms.gradient_averaging import MOMENTS
from tests.support.jobs import Job
from tests.support.own_code import archive
from tests.support.torch import torch  # noqa: F401 - skips where it is absent
from tests.unit.lambdas.test_neural_jobs import CONVOLUTIONS, GRADIENTS, MODEL, MODELS

ADAM = {"algorithm": {**GRADIENTS["algorithm"], "optimiser": "adam", "learning_rate": 0.01}}


def source(**fields: Any) -> Job:
    job = Job("first", **({"model": MODEL, "stop": {"max_epochs": 3}} | fields))
    job.initialised()
    for epoch in (1, 2):
        job.epoch(epoch)
    return job


def resumed(first: Job, **fields: Any) -> Job:
    job = Job("next", first.storage, **first.spec | {"resume_from": "first"} | fields)
    job.data = first.data
    return job


def changed(first: Job, group: str, **fields: Any) -> dict[str, Any]:
    return {group: {**first.spec[group], **fields}}


@pytest.mark.parametrize("model", [MODEL, CONVOLUTIONS], ids=["mlp", "resnet"])
@pytest.mark.parametrize("fields", [ADAM, MODELS], ids=["gradients", "models"])
def test_a_resumed_job_comes_to_the_bits_of_a_whole_one(
    fields: dict[str, Any], model: dict[str, Any]
) -> None:
    first = source(model=model, **fields)
    job = resumed(first)
    job.initialised()
    for each in (first, job):
        each.epoch(3)
    assert job.state_bits(3) == first.state_bits(3)
    moments = [each.store.state(3).load().extras.get(MOMENTS) for each in (first, job)]
    if fields is ADAM:
        assert moments[0] is not None and moments[0].any()
        assert moments[0].tobytes() == moments[1].tobytes()
    assert [each.epoch for each in job.finalise(3).history] == [1, 2, 3]


@pytest.mark.parametrize(
    ("fields", "workers"), [(ADAM, 2), (MODELS, 5)], ids=["gradients", "models"]
)
def test_a_job_goes_on_with_other_workers_and_another_pattern(
    fields: dict[str, Any], workers: int
) -> None:
    first = source(model=CONVOLUTIONS, **fields)
    job = resumed(first, workers=workers, exchange={"channel": "s3", "pattern": "reduce_scatter"})
    job.initialised()
    taken = job.store.state(2).load()
    assert taken.parameters.tobytes() == first.state_bits(2)
    if fields is ADAM:
        assert taken.extras[MOMENTS].any()
    losses = [each.epoch(3).loss for each in (first, job)]
    assert losses[1] == pytest.approx(losses[0], rel=0.2)


def test_a_network_is_fine_tuned_with_other_steps() -> None:
    first = source(**ADAM)
    slow = resumed(
        first,
        **changed(first, "algorithm", learning_rate=1e-9, schedule="constant", batch_size=30),
        **changed(first, "model", label_smoothing=0.1),
    )
    slow.initialised()
    slow.epoch(3)
    before, after = (slow.store.state(epoch).load().parameters for epoch in (2, 3))
    assert 0 < abs(after - before).max() < 1e-6


DIFFERENCES: dict[str, tuple[dict[str, Any], str]] = {
    "network": ({"network": {"name": "mlp", "hidden": [9], "dropout": 0.2}}, r"model.network: exp"),
    "loss": ({"loss": "binary_cross_entropy"}, r"model.loss: expected that of resume_from.job"),
    "shape": ({"input_shape": [2, 2]}, r"model.input_shape: expected"),
}


@pytest.mark.parametrize(("fields", "message"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_another_network_is_refused_by_its_field(fields: dict[str, Any], message: str) -> None:
    first = source(**ADAM)
    job = resumed(first, **changed(first, "model", **fields))
    with pytest.raises(InvalidJobError, match=message):
        job.prepare()


def test_first_parameters_other_than_those_of_the_resumed_job_are_refused() -> None:
    first = source(**ADAM)
    uri = {"weights": "s3://data/own.safetensors"}
    message = (
        r"model.weights: has no effect with resume_from, as job 'first' gives the parameters; "
        r"expected null, or weights and reset of that job, got 's3://data/own.safetensors'"
    )
    with pytest.raises(InvalidJobError, match=message):
        resumed(first, **changed(first, "model", **uri)).prepare()
    from_the_start = resumed(
        first, **changed(first, "model", **uri), resume_from={"job": "first", "epoch": 0}
    )
    with pytest.raises(InvalidJobError, match=r"^model.weights: nothing lies at"):
        from_the_start.prepare()


def test_a_job_that_began_with_weights_is_resumed_without_their_file() -> None:
    drawn = source(**ADAM)
    drawn.finalise(2)
    model = {**MODEL, "weights": "s3://data/own.safetensors"}
    first = Job("first", model=model, stop={"max_epochs": 3}, **ADAM)
    first.data.save("own.safetensors", drawn.storage.load("jobs/first/model/model.safetensors"))
    first.initialised()
    first.epoch(1)
    first.data.delete("own.safetensors")
    for fields in ({}, changed(first, "model", weights=None)):
        job = resumed(first, **fields)
        job.prepare()
        check_model("next", job.storage, lambda name: first.data)
        job.storage.clear("jobs/next/")


def test_another_optimiser_is_refused() -> None:
    first = source(**ADAM)
    job = resumed(first, **changed(first, "algorithm", optimiser="sgd", momentum=0.9))
    message = r"algorithm.optimiser: expected .* may differ; of algorithm also learning_rate, "
    with pytest.raises(InvalidJobError, match=message):
        job.prepare()


def test_code_that_makes_another_network_is_refused() -> None:
    made = "from torch import nn\ndef network(n_outputs):\n    return nn.Sequential(*{})\n"
    one, other = "[nn.Linear(4, n_outputs)]", "[nn.Linear(4, 3), nn.Linear(3, n_outputs)]"
    first = Job("first", model={"name": "neural", "entry_point": "own:network"}, **ADAM)
    first.spec |= {"code": "s3://data/own.zip", "stop": {"max_epochs": 3}}
    first.data.save("own.zip", archive({"own.py": made.format(one)}))
    first.initialised()
    first.epoch(1)
    first.data.save("own.zip", archive({"own.py": made.format(other)}))
    job = resumed(first)
    job.partitioned()
    job.assemble()
    with pytest.raises(
        InvalidJobError, match=r"code: .*job 'first', got one that differs in 0.weight, 0"
    ):
        job.initialise()
