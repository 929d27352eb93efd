"""``stepml export``: the file gives a runtime of ONNX the model's own decisions."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from stepml.cli.app import app
from stepml.job.models import Neural
from stepml.job.networks import Mobilenet, Resnet18
from stepml.ml.artifact import Artifact
from stepml.ml.class_names import ClassNames
from stepml.ml.matrices import Floats
from stepml.ml.models import BinarySvm, LabelUnit, SoftmaxRegression
from stepml.trained_model import TrainedModel
from tests.support.artifacts import example, write
from tests.support.torch import torch  # noqa: F401 - skips where it is absent
from tests.unit.trained.test_modules import CHANNELS, IMAGES, MLP, ROWS, artifact

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: make install-dev")


@cache
def models() -> dict[str, Artifact]:
    return {
        "mlp": artifact(Neural(network=MLP), scales=True, missing="mean"),
        "images": artifact(
            Neural(network=Mobilenet(width=0.1, depth=0), input_shape=(6, 5)), 30, channels=CHANNELS
        ),
        "residual images": artifact(
            Neural(network=Resnet18(width=4), input_shape=(6, 5)), 30, channels=CHANNELS
        ),
        "numbers": artifact(
            Neural(network=MLP, loss="mean_squared_error"), label_unit=LabelUnit(500.0, 64.0)
        ),
    }


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stdout + result.stderr


def outputs(file: Path, X: Any) -> Floats:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["rows"]
    found: Floats = session.run(["outputs"], {"rows": X})[0]
    return found


@pytest.mark.parametrize("name", ["mlp", "images", "residual images", "numbers"])
def test_a_runtime_decides_like_the_model(name: str, tmp_path: Path) -> None:
    made = models()[name]
    file = tmp_path / "model.onnx"
    told = run(write(made, tmp_path / "model"), "--onnx", file)
    assert f"{file.stat().st_size:,} bytes" in told.replace("\n", "")
    model = TrainedModel(made)
    X = IMAGES.astype(np.float32) if name.endswith("images") else ROWS.copy()
    if name == "mlp":
        X[3, 1] = np.nan  # filled in by the graph
    ask = model.predict if name == "numbers" else model.decision_function
    assert ask(X).std(axis=0).min() > 0.01
    for n_rows in (1, 3, 20):
        expected = ask(X[:n_rows])
        found = outputs(file, X[:n_rows]).reshape(expected.shape)
        assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_linear_models_are_exported_as_well(tmp_path: Path) -> None:
    it = example("softmax", prepared="dense")
    file = tmp_path / "model.onnx"
    assert "rows n × 4, float32" in run(write(it.artifact, tmp_path / "m"), "--onnx", file)
    expected = TrainedModel(it.artifact).decision_function(it.X)
    assert np.allclose(outputs(file, it.X), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "outputs_of"), [("softmax", ["a b", "c", "d"]), ("svm", ["c"]), ("linear", None)]
)
def test_outputs_are_named(kind: str, outputs_of: list[str] | None, tmp_path: Path) -> None:
    it = example(kind)
    names = ClassNames("text", ("a b", "c", "d")[: 3 if kind == "softmax" else 2])
    model: Any = {
        "softmax": SoftmaxRegression(4, (0.0, 1.0, 2.0), names=names),
        "svm": BinarySvm(4, 1.0, 0.0, names=names),
        "linear": it.artifact.model,
    }[kind]
    made = replace(it.artifact, model=model, card={**it.artifact.card, **model.describe()})
    file = tmp_path / "model.onnx"
    told = run(write(made, tmp_path / "m"), "--onnx", file)
    metadata = onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map
    assert ("above 0 for c, below 0 for a b" in told) == (kind == "svm")
    if outputs_of is None:
        assert "classes" not in metadata
        return
    assert json.loads(metadata["outputs"]) == TrainedModel(made).module().classes == outputs_of
    assert json.loads(metadata["classes"]) == list(names.names)


def test_what_cannot_be_exported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.onnx"
    clusters = write(example("kmeans").artifact, tmp_path / "kmeans")
    assert "kmeans has no form in ONNX" in run(clusters, "--onnx", file, code=2)
    assert "no model at" in run(tmp_path / "none", "--onnx", file, code=2)
    network = write(models()["mlp"], tmp_path / "mlp")
    assert "there is no directory" in run(network, "--onnx", tmp_path / "a" / "b", code=2)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    told = run(network, "--onnx", file, code=2)
    assert "ONNX needs onnxscript, which is not installed: run" in told
    assert not file.exists()
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "needs torch, which is not installed: run" in run(network, "--onnx", file, code=2)
    assert {each.name for each in tmp_path.iterdir()} == {"kmeans", "mlp"}


BRANCHES = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(6, 3)

    def forward(self, x):
        return self.one(x) if x.sum() > 0 else self.one(-x)

def network():
    return Net()
"""


def test_a_network_that_branches_on_values_is_refused(tmp_path: Path) -> None:
    code = tmp_path / "own.py"
    code.write_text(BRANCHES)
    made = artifact(Neural(entry_point="own:network"), code=tmp_path)
    arguments = (write(made, tmp_path / "model"), "--onnx", tmp_path / "model.onnx")
    assert "code of your own" in run(*arguments, code=2)
    told = run(*arguments, "--code", code, code=2)
    assert "InvalidNetworkError: the network cannot be written as ONNX: " in told
    assert not (tmp_path / "model.onnx").exists()
