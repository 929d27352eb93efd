"""Images as the input of trained networks, in Python and on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from stepml.job.models import Neural
from stepml.job.networks import Augmentation, Mlp
from stepml.ml.artifact import Artifact
from stepml.ml.models import ChannelScale, build_model
from stepml.trained_model import TrainedModel
from tests.support.artifacts import JOB_DATA, write
from tests.support.torch import torch  # noqa: F401 - skips where it is absent
from tests.unit.cli.test_predict import predicted, refused
from tests.unit.ml.data.test_idx import idx

RNG = np.random.default_rng(6)
GREY = RNG.integers(0, 256, (30, 6, 5)).astype(np.uint8)
COLOURS = RNG.integers(0, 256, (30, 3, 6, 5)).astype(np.uint8)


def artifact(shape: tuple[int, ...], n_classes: int = 3) -> Artifact:
    n_channels = shape[0] if len(shape) == 3 else 1
    spec = Neural(
        network=Mlp(hidden=(4,)), input_shape=shape, augment=Augmentation(crop=1, flip=True)
    )
    channels = ChannelScale((120.0,) * n_channels, (70.0,) * n_channels)
    n_features = int(np.prod(shape))
    model = build_model(spec, n_features, [*map(float, range(n_classes))], channels=channels)
    parameters = RNG.normal(size=model.n_parameters).astype(np.float32)
    job = {"data": JOB_DATA | {"format": "npz"}, "model": msgspec.to_builtins(spec)}
    card = {
        "model": "neural",
        "n_features": n_features,
        **model.describe(),
        "label": "",
        "features": [],
        "standardised": False,
        "job": job,
        "job_id": "job",
        "epoch": 3,
        "metrics": {},
        "versions": {},
    }
    return Artifact.unpack(*Artifact(model, parameters, None, card).pack())


@pytest.mark.parametrize(("shape", "X"), [((6, 5), GREY), ((1, 6, 5), GREY), ((3, 6, 5), COLOURS)])
def test_images_are_predicted_in_every_shape(shape: tuple[int, ...], X: Any) -> None:
    model = TrainedModel(artifact(shape))
    expected = model.predict(X.reshape(30, -1))
    assert len(set(expected.tolist())) > 1
    shapes = [X, X.astype(np.float64), X.tolist(), X.reshape(30, *(1, *shape)[-3:])]
    for each in shapes:
        assert np.array_equal(model.predict(each), expected)
    assert model.predict(X[:0]).shape == (0,)
    assert np.array_equal(model.predict_proba(X), model.predict_proba(X.reshape(30, -1)))
    assert model.score(X, expected) == 1


REFUSED: dict[str, tuple[tuple[int, ...], Any, str]] = {
    "one image": ((6, 5), GREY[0], r"or \(n_samples, 6, 5\), got \(6, 5\); one image is X\[np.new"),
    "turned": (
        (6, 5),
        GREY.reshape(30, 5, 6),
        r"expected X of shape \(n_samples, 30\) or \(n_samples, 1, 6, 5\) or \(n_samples, 6, 5\), "
        r"got \(30, 5, 6\)$",
    ),
    "channels last": (
        (3, 6, 5),
        np.moveaxis(COLOURS, 1, 3),
        r"expected X of shape \(n_samples, 90\) or \(n_samples, 3, 6, 5\), got \(30, 6, 5, 3\)$",
    ),
    "too few values": ((6, 5), GREY.reshape(30, 30)[:, 1:], r"got \(30, 29\)$"),
    "not of images": ((30,), GREY, r"expected X of shape \(n_samples, n_features\), got \(30, 6"),
}


@pytest.mark.parametrize(("shape", "X", "message"), REFUSED.values(), ids=REFUSED)
def test_other_shapes_are_refused(shape: tuple[int, ...], X: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainedModel(artifact(shape)).predict(X)


@pytest.mark.parametrize("format_name", ["npz", "idx"])
def test_files_of_images_are_predicted(format_name: str, tmp_path: Path) -> None:
    made = artifact((6, 5))
    expected = TrainedModel(made).predict(GREY)
    file = tmp_path / ("rows.npz" if format_name == "npz" else "x-images-idx3-ubyte")
    if format_name == "npz":
        np.savez(file, X=GREY, y=expected)
    else:
        file.write_bytes(idx(GREY))
        (tmp_path / "x-labels-idx1-ubyte").write_bytes(idx(expected))
    rows, stderr = predicted(write(made, tmp_path / "model"), file)
    assert [float(row[0]) for row in rows[1:]] == expected.tolist()
    assert "accuracy 1.0000" in stderr


def test_files_of_other_images_are_refused(tmp_path: Path) -> None:
    model = write(artifact((6, 5)), tmp_path / "model")
    np.savez(tmp_path / "turned.npz", X=GREY.reshape(30, 5, 6))
    message = refused(model, tmp_path / "turned.npz")
    assert "the model takes images of 1 × 6 × 5, the data have 5 × 6" in message
    np.savez(tmp_path / "one.npz", X=GREY[0])
    assert "30 features, the data have 5; one image is X of shape (1, 1, 6, 5)" in " ".join(
        refused(model, tmp_path / "one.npz").split()
    )
    np.savez(tmp_path / "rows.npz", X=GREY.reshape(30, 30))
    assert len(predicted(model, tmp_path / "rows.npz")[0]) == 31


def test_the_class_of_a_row_is_looked_for_among_five(tmp_path: Path) -> None:
    made = artifact((6, 5), n_classes=8)
    y = RNG.integers(0, 9, 30).astype(np.float64)  # 8 is unknown to the model
    np.savez(tmp_path / "rows.npz", X=GREY, y=y)
    known = TrainedModel(made).decision_function(GREY)
    scores = np.c_[known, np.full(30, known.min() - 1)]
    expected = top_k_accuracy_score(y, scores, k=5, labels=range(9))
    assert 0.1 < expected < 0.9
    stderr = predicted(write(made, tmp_path / "model"), tmp_path / "rows.npz")[1]
    assert f"top5_accuracy {expected:.4f}\n" in stderr
