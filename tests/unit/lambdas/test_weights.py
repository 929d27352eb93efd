"""Networks that begin with parameters of the user's, or go on from another job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambdas.initialise import check_model
from lambdas.job_store.given_objects import GivenObject
from stepml.job.errors import InvalidJobError
from stepml.ml.data import arrays
from stepml.ml.models import NeuralNetwork
from stepml.ml.neural.layout import Array
from tests.support.jobs import Job
from tests.support.own_code import archive
from tests.support.torch import torch
from tests.unit.lambdas.test_neural_jobs import CONVOLUTIONS, GRADIENTS

URI = "s3://data/own.safetensors"
MLP = {"name": "neural", "network": {"name": "mlp", "hidden": [5]}}


def job(tensors: dict[str, Any] | bytes | None, model: Any = MLP, **fields: Any) -> Job:
    made = Job(model={**model, "weights": URI, **fields}, **GRADIENTS)
    if tensors is not None:
        content = tensors if isinstance(tensors, bytes) else bytes(arrays.pack(tensors))
        made.data.save("own.safetensors", content)
    return made


def tensors_of(job: Job, epoch: int) -> dict[str, Array]:
    model = job.training_plan().model()
    assert isinstance(model, NeuralNetwork)
    return model.arrays(job.store.state(epoch).load().parameters)


def check(job: Job) -> None:
    """Check the network and the file before the data are read."""
    job.prepare()
    check_model("job", job.storage, lambda name: job.data)


def initialise(job: Job) -> None:
    job.partitioned()
    job.assemble()
    job.initialise()


def drawn(model: Any = MLP) -> dict[str, Array]:
    plain = Job(model=model, **GRADIENTS)
    plain.initialised()
    return tensors_of(plain, 0)


def initial(tensors: dict[str, Any], model: Any = MLP, **fields: Any) -> dict[str, Array]:
    made = job(tensors, model, **fields)
    made.initialised()
    return tensors_of(made, 0)


def equal(a: dict[str, Array], b: dict[str, Array]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def own(model: Any = MLP) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    return {
        name: rng.random(array.shape).astype(np.float32) for name, array in drawn(model).items()
    }


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_training_begins_with_the_tensors_of_the_file(kind: Any) -> None:
    given = {name: array.astype(kind) for name, array in own().items()}
    expected = {name: array.astype(np.float32) for name, array in given.items()}
    assert equal(initial(given), expected)


def test_statistics_of_batches_are_taken_over_and_their_counters_left_out() -> None:
    given = own(CONVOLUTIONS)
    assert any(name.endswith("running_var") for name in given)
    more = {"any.num_batches_tracked": np.array(3, np.int64)}
    assert equal(initial({**given, **more}, CONVOLUTIONS), given)


def test_a_model_of_another_job_is_such_a_file() -> None:
    """Also one whose rows were scaled: the new job has a scale of its own."""
    first = Job(model=MLP, **GRADIENTS)
    first.initialised()
    first.epoch(1)
    first.finalise(1)
    packed = first.storage.load("jobs/job/model/model.safetensors")
    assert "feature_mean" in arrays.unpack(packed)[0]
    assert equal(initial(arrays.unpack(packed)[0]), tensors_of(first, 1))


def test_a_new_last_layer_is_drawn() -> None:
    given = own()
    last = [name for name in given if name.startswith("3.")]
    assert len(last) == 2
    other = {name: np.ones((7, 5), np.float32) if name in last else given[name] for name in given}
    for tensors in (other, {name: given[name] for name in given if name not in last}):
        expected = {name: drawn()[name] if name in last else given[name] for name in given}
        assert equal(initial(tensors, reset=["3"]), expected)
        assert equal(initial(tensors, reset=last), expected)


def test_each_mismatch_is_named_before_the_data_are_read() -> None:
    given = own()
    first, *rest = given
    tensors = {name: given[name] for name in rest[1:]} | {
        "head.weight": np.ones(3, np.float32),
        first: np.ones((2, 2), np.float32),
        rest[-1]: np.ones(given[rest[-1]].shape, np.int64),
    }
    with pytest.raises(InvalidJobError) as caught:
        check(job(tensors))
    assert str(caught.value) == (
        f"model.weights: the tensors are not those of the network; missing: {rest[0]}; unexpected: "
        f"head.weight; of another shape: {first} (expected (5, 4), got (2, 2)); no floats: "
        f"{rest[-1]} (int64). To draw some instead, such as a new last layer, name them in "
        "model.reset"
    )


def test_of_many_long_names_some_are_shown_in_part() -> None:
    tensors = {f"{number}{'x' * 5000}": np.ones(3, np.float32) for number in range(20)}
    with pytest.raises(InvalidJobError, match=r"unexpected: 0x+…x+, .* and 15 more") as caught:
        check(job(own() | tensors))
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("n_classes", [2, 7])
def test_the_number_of_classes_is_compared_once_the_data_are_read(n_classes: int) -> None:
    last = {"3.weight": np.ones((n_classes, 5), np.float32), "3.bias": np.ones(n_classes)}
    made = job(own() | last)
    check(made)
    if n_classes == 2:
        initialise(made)
        return
    with pytest.raises(InvalidJobError, match=r"3.weight \(expected \(2, 5\), got \(7, 5\)\)"):
        initialise(made)


def test_what_does_not_depend_on_the_classes_is_compared_before() -> None:
    with pytest.raises(InvalidJobError, match=r"3.weight \(expected \(any, 5\), got \(2, 6\)\)"):
        check(job(own() | {"3.weight": np.ones((2, 6), np.float32)}))


ONE_NUMBER = """
from torch import nn

def network(input_shape, n_outputs):
    assert n_outputs in NUMBERS
    return nn.Linear(*input_shape, n_outputs)
"""


def test_a_network_for_one_number_of_classes_is_compared_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check before the data guesses 10 classes."""
    source = ONE_NUMBER.replace("NUMBERS", "(2, 10)")
    own = {"name": "neural", "entry_point": "net:network"}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = job({"weight": np.ones((2, 3)), "bias": np.ones(2)}, own)
    made.spec["code"] = "s3://data/own.zip"
    made.data.save("own.zip", archive({"net.py": source}))
    check(made)
    with pytest.raises(InvalidJobError, match=r"weight \(expected \(2, 4\), got \(2, 3\)\)"):
        initialise(made)


def with_value(value: float) -> dict[str, Array]:
    return own() | {"1.bias": np.full(5, value)}


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no file": (b"PK a zip of some weights", {}, "expected a safetensors file of float16"),
    "bfloat16": (
        arrays.pack({"a": np.zeros(3, np.float16)}).replace(b'"F16"', b'"BF16"'),
        {},
        "expected a safetensors file of float16",
    ),
    "not finite": (lambda: with_value(np.nan), {}, "expected finite numbers .* in 1.bias"),
    "too large": (lambda: with_value(1e300), {}, "expected finite numbers .* in 1.bias"),
    "unknown reset": (own, {"reset": ["fc"]}, r"model.reset: .* \(1.weight, .*\), got 'fc'"),
}


@pytest.mark.parametrize(("tensors", "fields", "message"), WRONG.values(), ids=WRONG)
def test_unsuitable_files_are_refused(tensors: Any, fields: Any, message: str) -> None:
    made = job(bytes(tensors) if isinstance(tensors, bytes | bytearray) else tensors(), **fields)
    with pytest.raises(InvalidJobError, match=message):
        check(made)


def test_a_file_that_is_absent_or_too_large_is_refused_at_the_door() -> None:
    with pytest.raises(InvalidJobError, match=f"model.weights: nothing lies at {URI}"):
        job(None).prepare()
    made = job(own())
    with pytest.raises(InvalidJobError, match=r"weights: expected a file of at most 9 bytes, got"):
        GivenObject("model.weights", URI, "a file", 9).require(lambda name: made.data)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weights": "own.pt"}, "model.weights"),
        ({"weights": "s3://data/own.pt"}, "model.weights"),
        ({"weights": None, "reset": ["3"]}, "model.reset: .* model.weights, which is not set"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidJobError, match=message):
        job(own(), **fields).prepare()


def test_torch_writes_such_files() -> None:
    from safetensors.torch import save

    from stepml.job.networks import Resnet18
    from stepml.ml.neural.networks import build_network

    network = build_network(Resnet18(width=4), (1, 2, 2), 2)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.fill_(0.25)
    made = job(save(network.state_dict()), CONVOLUTIONS)
    made.initialised()
    found = tensors_of(made, 0)
    assert all((found[name] == 0.25).all() for name, _ in network.named_parameters())
