"""Networks in whole jobs: Fashion-MNIST by its example, resumed jobs, weights of the user's own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load

from stepml.job import keys
from tests.support.local_stack import LocalStack, csv_rows
from tests.support.paths import ROOT
from tests.support.torch import torch  # noqa: F401 - skips where it is absent

Bytes = npt.NDArray[np.uint8]

EXAMPLE = ROOT / "examples" / "fashion_mlp_gradient.json"
FASHION = Path("/usr/share/datasets/fashion-mnist")  # of the Debian package dataset-fashion-mnist
TRAINING_ROWS, TEST_ROWS = 2560, 300
SIDE, N_CLASSES = 28, 10


def fashion(part: str, n_rows: int) -> tuple[Bytes, Bytes]:
    """Return the first images and labels of a part; like ones if the package is not installed."""
    if not FASHION.exists():
        return drawn(part, n_rows)
    images = unpacked(FASHION / f"{part}-images-idx3-ubyte.gz", 16 + n_rows * SIDE**2)[16:]
    labels = unpacked(FASHION / f"{part}-labels-idx1-ubyte.gz", 8 + n_rows)[8:]
    return images.reshape(n_rows, SIDE, SIDE), labels


def unpacked(path: Path, n_bytes: int) -> Bytes:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(n_bytes), np.uint8)


def drawn(part: str, n_rows: int) -> tuple[Bytes, Bytes]:
    """Return images that each differ from their class's image in many pixels."""
    usual = np.random.default_rng(0).integers(0, 256, (N_CLASSES, SIDE, SIDE))
    rng = np.random.default_rng(len(part))
    labels = rng.integers(0, N_CLASSES, n_rows).astype(np.uint8)
    noise = rng.integers(0, 256, (n_rows, SIDE, SIDE))
    return ((usual[labels] + 3 * noise) // 4).astype(np.uint8), labels


def idx(array: Bytes) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


def test_the_quick_example_learns_fashion(local_stack: LocalStack) -> None:
    """A part of its images and epochs; all have the accuracy in docs/neural.md."""
    job: dict[str, Any] = json.loads(EXAMPLE.read_bytes()) | {"stop": {"max_epochs": 3}}
    places = {
        "train": (job["data"]["uri"], TRAINING_ROWS),
        "t10k": (job["data"]["validation"]["uri"], TEST_ROWS),
    }
    for part, (uri, n_rows) in places.items():
        images, labels = fashion(part, n_rows)
        for what, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            local_stack.upload(f"{uri}{part}-{what}", idx(array))
    ended = local_stack.run(job, chooses=True)
    assert ended["status"] == "SUCCEEDED", ended
    report = ended["report"]
    rows = report["dataset"]["training_rows"], report["dataset"]["validation_rows"]
    assert rows == (TRAINING_ROWS, TEST_ROWS)
    assert report["metrics"]["accuracy"] > 0.6
    assert len(report["metrics"]) > 1


@pytest.fixture(scope="module")
def network_job(local_stack: LocalStack) -> dict[str, Any]:
    uri = local_stack.upload("data/networks.csv", csv_rows(120, 4))
    return {
        "data": {"uri": uri, "format": "csv", "label": "label", "standardise": True},
        "workers": 2,
        "model": {"name": "neural", "network": {"name": "mlp", "hidden": [8]}},
        "algorithm": {
            "name": "gradient_averaging",
            "optimiser": "adam",
            "learning_rate": 0.01,
            "batch_size": 27,
        },
        "stop": {"max_epochs": 2},
    }


@pytest.fixture(scope="module")
def trained(local_stack: LocalStack, network_job: dict[str, Any]) -> str:
    """The name of a trained network's job."""
    ended = local_stack.run(network_job)
    assert ended["status"] == "SUCCEEDED", ended
    return str(ended["name"])


def tensors(local_stack: LocalStack, name: str) -> dict[str, npt.NDArray[Any]]:
    return load(local_stack.read(keys.model(name)))


def test_a_network_goes_on_with_other_workers_channel_and_rate(
    local_stack: LocalStack, network_job: dict[str, Any], trained: str
) -> None:
    """With a tiny rate, the third epoch changes next to nothing: it began at the second's end."""
    algorithm = network_job["algorithm"] | {"learning_rate": 1e-9}
    ended = local_stack.run(
        network_job
        | {"resume_from": trained, "workers": 3, "algorithm": algorithm}
        | {"exchange": {"channel": "redis", "pattern": "reduce_scatter"}}
        | {"stop": {"max_epochs": 3}}
    )
    assert ended["status"] == "SUCCEEDED", ended
    assert ended["report"]["epochs"] == 3
    before, after = (tensors(local_stack, name) for name in (trained, ended["name"]))
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name] == pytest.approx(tensor, abs=1e-6)


def test_weights_of_the_users_own_begin_a_job_or_are_refused_by_name(
    local_stack: LocalStack, network_job: dict[str, Any], trained: str
) -> None:
    model = network_job["model"] | {"weights": f"s3://{local_stack.bucket}/{keys.model(trained)}"}
    algorithm = network_job["algorithm"] | {"learning_rate": 1e-9}
    tuned = network_job | {"algorithm": algorithm, "stop": {"max_epochs": 1}}
    ended = local_stack.run(tuned | {"model": model})
    assert ended["status"] == "SUCCEEDED", ended
    given, found = (tensors(local_stack, name) for name in (trained, ended["name"]))
    for name in ("1.weight", "3.weight"):
        assert found[name] == pytest.approx(given[name], abs=1e-6)
    wider = model | {"network": {"name": "mlp", "hidden": [9]}}
    refused = local_stack.run(tuned | {"model": wider})
    assert (refused["status"], refused["error"]) == ("FAILED", "InvalidJobError")
    assert "1.weight (expected (9, 4), got (8, 4))" in refused["cause"]
