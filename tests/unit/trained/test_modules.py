"""Trained models as torch modules, and their files in the hands of other programs."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.torch import load as load_safetensors
from sklearn.base import clone, is_classifier, is_regressor

from stepml.job.errors import InvalidNetworkError, NotAvailableError
from stepml.job.models import Neural
from stepml.job.networks import Mlp, Resnet18
from stepml.ml.artifact import Artifact
from stepml.ml.data import feature_moments, scale_of
from stepml.ml.matrices import Floats
from stepml.ml.models import ChannelScale, LabelUnit, NeuralNetwork, build_model
from stepml.ml.neural.bound import BoundNetwork
from stepml.ml.neural.losses import loss_named
from stepml.trained_model import TrainedModel
from tests.support.artifacts import JOB_DATA, example
from tests.support.torch import torch

RNG = np.random.default_rng(4)
ROWS = RNG.normal(3, 2, (20, 6)).astype(np.float32)
IMAGES = RNG.integers(0, 256, (20, 1, 6, 5)).astype(np.uint8)
CHANNELS = ChannelScale((120.0,), (70.0,))
MLP = Mlp(hidden=(4,))


def artifact(
    spec: Neural,
    n_features: int = 6,
    labels: tuple[float, ...] = (1.0, 2.0, 7.0),
    *,
    scales: bool = False,
    missing: str = "fail",
    **shape: Any,
) -> Artifact:
    model = build_model(spec, n_features, labels, **shape)
    assert isinstance(model, NeuralNetwork)
    w = model.first_parameters(lambda: pytest.fail("no sample is needed"), 3)
    n = model.n_trained
    rows, out = RNG.integers(0, 256, (20, n_features)).astype(np.float32), np.empty_like(w)
    for _ in range(60 if len(w) > n else 0):  # until the statistics are about those of the rows
        model.gradient(w, rows, model.targets(np.resize(labels, 20)), out)
        w[n:] -= out[n:]
    card = {
        "model": "neural",
        "n_features": n_features,
        **model.describe(),
        "label": "",
        "features": [],
        "standardised": scales,
        "job": {"data": JOB_DATA | {"missing": missing}, "model": msgspec.to_builtins(spec)},
        "job_id": "job",
        "epoch": 3,
        "metrics": {},
        "versions": {},
    }
    scale = scale_of(feature_moments(ROWS)) if scales else None
    return Artifact.unpack(*Artifact(model, w, scale, card).pack())


def outputs(model: TrainedModel, X: Any) -> Floats:
    with torch.inference_mode():
        found: Floats = model.module()(torch.from_numpy(X)).numpy()
    return found


@pytest.mark.parametrize("scales", [True, False])
def test_a_module_decides_like_the_model(scales: bool) -> None:
    model = TrainedModel(artifact(Neural(network=MLP), scales=scales))
    assert np.abs(outputs(model, ROWS) - model.decision_function(ROWS)).max() < 1e-5
    module = model.module()
    assert not module.training
    assert [name for name, _ in module.named_children()] == ["preparation", "network"]


@pytest.mark.parametrize("shape", [(20, 1, 6, 5), (20, 6, 5), (20, 30)])
def test_images_are_normalised_in_the_module(shape: tuple[int, ...]) -> None:
    spec = Neural(network=Resnet18(width=4), input_shape=(6, 5))
    model = TrainedModel(artifact(spec, 30, channels=CHANNELS))
    X = IMAGES.reshape(shape)
    found = outputs(model, X)
    assert found.std(axis=0).min() > 0.01
    assert np.allclose(found, model.decision_function(X), rtol=1e-5, atol=1e-5)


def test_of_two_classes_the_outputs_are_values_of_each_or_of_the_second() -> None:
    both = TrainedModel(artifact(Neural(network=MLP), labels=(1.0, 2.0)))
    found = outputs(both, ROWS)
    assert np.abs(found[:, 1] - found[:, 0] - both.decision_function(ROWS)).max() < 1e-5
    spec = Neural(network=MLP, loss="binary_cross_entropy")
    one = TrainedModel(artifact(spec, labels=(1.0, 2.0)))
    assert np.abs(outputs(one, ROWS)[:, 0] - one.decision_function(ROWS)).max() < 1e-5


def test_a_module_predicts_numbers_in_the_unit_of_the_data() -> None:
    spec = Neural(network=MLP, loss="mean_squared_error")
    model = TrainedModel(artifact(spec, label_unit=LabelUnit(500.0, 64.0), scales=True))
    assert np.allclose(outputs(model, ROWS)[:, 0], model.predict(ROWS), rtol=1e-5)


@pytest.mark.parametrize("missing", ["zero", "mean"])
def test_missing_values_are_filled_in_as_the_job_did(missing: str) -> None:
    model = TrainedModel(artifact(Neural(network=MLP), scales=True, missing=missing))
    X = ROWS.copy()
    X[::3, 1] = np.nan
    assert np.abs(outputs(model, X) - model.decision_function(X)).max() < 1e-5


def test_without_a_replacement_a_missing_value_makes_no_decision() -> None:
    X = ROWS.copy()
    X[3, 1] = np.nan
    found = outputs(TrainedModel(artifact(Neural(network=MLP), scales=True)), X)
    assert np.isnan(found).all(axis=1).tolist() == [row == 3 for row in range(20)]


@pytest.mark.parametrize("prepared", ["", "dense", "sparse"])
@pytest.mark.parametrize("kind", ["logistic, lesser label", "softmax", "svm", "linear"])
def test_linear_models_are_modules_as_well(kind: str, prepared: str) -> None:
    it = example(kind, prepared=prepared)
    model = TrainedModel(it.artifact)
    expected = model.predict(it.X) if kind == "linear" else model.decision_function(it.X)
    found = outputs(model, it.X).reshape(expected.shape)
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_model_of_clusters_has_no_module() -> None:
    model = TrainedModel(example("kmeans").artifact)
    assert not hasattr(model, "module")
    with pytest.raises(AttributeError, match=r"a kmeans has no module: only networks and linear"):
        model.module()


def test_each_module_has_tensors_of_its_own() -> None:
    model = TrainedModel(artifact(Neural(network=MLP)))
    before = model.decision_function(ROWS)
    with torch.no_grad():
        for tensor in model.module().parameters():
            tensor.zero_()
    assert np.array_equal(model.decision_function(ROWS), before)
    assert np.abs(outputs(model, ROWS) - before).max() < 1e-5


def test_the_file_fits_the_bare_network_in_any_program() -> None:
    spec = Neural(network=Resnet18(width=4), input_shape=(6, 5))
    made = artifact(spec, 30)
    network = TrainedModel(made).module().get_submodule("network")
    found = load_safetensors(made.pack()[0])
    fresh = NeuralNetwork.bound.func(made.model).module
    fresh.load_state_dict(found)
    x = torch.from_numpy(IMAGES.astype(np.float32))
    with torch.inference_mode():
        assert torch.equal(fresh.eval()(x), network(x))


def test_a_tensor_may_begin_like_the_arrays_of_the_scale() -> None:
    class Network(torch.nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.register_parameter(name, torch.nn.Parameter(torch.ones(2, 3)))

    def bound(name: str) -> BoundNetwork:
        return BoundNetwork(Network(name), loss_named("cross_entropy"), (3,))

    layout = bound("feature_extractor").layout
    made = artifact(Neural(network=MLP), scales=True)
    made.model._layout = layout  # type: ignore[attr-defined]
    card = {**made.card, **made.model.describe()}
    packed = Artifact(made.model, np.arange(6, dtype=np.float32), made.scale, card).pack()
    found = Artifact.unpack(*packed)
    assert found.parameters.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.scale is not None
    with pytest.raises(InvalidNetworkError, match="parameter feature_mean: expected another name"):
        bound("feature_mean")


@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared_error"])
def test_scikit_learn_takes_a_network_for_what_it_is(loss: Any) -> None:
    model = TrainedModel(artifact(Neural(network=MLP, loss=loss), scales=True))
    assert (is_classifier(model), is_regressor(model)) == (loss[0] == "c", loss[0] == "m")
    assert model.n_features_in_ == 6
    expected = model.predict(ROWS)
    assert model.score(ROWS, expected) == 1
    for other in (clone(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(other.predict(ROWS), expected)
    assert repr(model) == "<neural of 6 features, job 'job'>"
    assert hasattr(model, "predict_proba") == (loss == "cross_entropy")
    if loss == "cross_entropy":
        likely = model.predict_proba(ROWS)
        assert np.allclose(likely.sum(axis=1), 1)
        assert np.allclose(np.exp(model.predict_log_proba(ROWS)), likely)


def test_without_torch_the_card_is_read_and_predictions_name_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = artifact(Neural(network=MLP)).pack()
    monkeypatch.setitem(sys.modules, "torch", None)
    model = TrainedModel(Artifact.unpack(*packed))
    assert model.card["network"]["trained"][0]["name"] == "1.weight"
    for ask in (lambda: model.predict(ROWS), model.module):
        with pytest.raises(NotAvailableError, match=r"needs torch, .* run .*pip install .*torch"):
            ask()


def test_code_that_makes_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\ndef network(n_outputs, width=5):\n"
        "    return nn.Sequential(nn.Linear(6, width), nn.Linear(width, n_outputs))\n"
    )
    model = TrainedModel(artifact(Neural(entry_point="own:network"), code=tmp_path))
    network = model._model
    assert isinstance(network, NeuralNetwork)
    with pytest.raises(InvalidNetworkError, match="code of your own"):
        model.module()
    network.code = tmp_path
    assert np.abs(outputs(model, ROWS) - model.decision_function(ROWS)).max() < 1e-5
    network.spec = msgspec.structs.replace(network.spec, options={"width": 4})
    with pytest.raises(
        InvalidNetworkError, match=r"tensor 0.weight: expected .* \(5, 6\), got \(4"
    ):
        model.module()
