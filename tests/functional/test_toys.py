"""A new storage, model, algorithm or format needs its module and entries in the registries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.local_stack import LocalStack
from tests.support.toys import deploy_tree, product_with_toys

EPOCHS = 4


@pytest.fixture(scope="module")
def toys(local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> LocalStack:
    """A deployed StepML with all toys."""
    tree: Path = tmp_path_factory.mktemp("toys")
    product_with_toys(tree)
    parameters = local_stack.aws.parameters | {"SqliteUrl": f"sqlite:{tree / 'channel.db'}"}
    outputs = deploy_tree(tree, local_stack.endpoint_url, "toys", parameters)
    return LocalStack(local_stack.aws, outputs)


@pytest.fixture(scope="module")
def data(toys: LocalStack) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = X @ [1.0, -2.0, 3.0] + rng.normal(scale=0.1, size=400)
    lines = "".join(",".join(f"{value:.4f}" for value in row) + "\n" for row in np.c_[X, y])
    return {"uri": toys.upload("rows.csv", lines.encode()), "format": "csv"}


@pytest.fixture(scope="module")
def json_data(toys: LocalStack, data: dict[str, Any]) -> dict[str, Any]:
    rows = [line.split(",") for line in toys.read("rows.csv").decode().split()]
    table = [[float(label), *map(float, features)] for *features, label in rows]
    return {"uri": toys.upload("rows.json", json.dumps(table).encode()), "format": "json_rows"}


def job(data: dict[str, Any], **groups: Any) -> dict[str, Any]:
    """Return a small job of choices that exist, but for ``groups``."""
    return {
        "data": data,
        "workers": 2,
        "model": {"name": "linear_regression"},
        "algorithm": {"name": "model_averaging", "batch_size": 50},
        "stop": {"max_epochs": EPOCHS},
    } | groups


@pytest.mark.parametrize("pattern", ["reduce", "async"])
def test_a_job_trains_over_a_new_storage(
    toys: LocalStack, data: dict[str, Any], pattern: str
) -> None:
    exchange = {"channel": "sqlite", "pattern": pattern}
    learns(toys.run(job(data, exchange=exchange)))


def test_a_job_trains_a_new_model(toys: LocalStack, data: dict[str, Any]) -> None:
    ended = toys.run(job(data, model={"name": "median_regression"}))
    learns(ended)
    card = json.loads(toys.read(f"jobs/{ended['name']}/model/model.json"))
    assert card["model"] == "median_regression"


def test_a_job_trains_with_a_new_algorithm(toys: LocalStack, data: dict[str, Any]) -> None:
    learns(toys.run(job(data, algorithm={"name": "full_gradient"})))


def test_a_job_trains_on_a_new_format(toys: LocalStack, json_data: dict[str, Any]) -> None:
    learns(toys.run(job(json_data)))


def test_a_job_trains_with_all_of_them(toys: LocalStack, json_data: dict[str, Any]) -> None:
    groups = {
        "model": {"name": "median_regression"},
        "algorithm": {"name": "full_gradient"},
        "exchange": {"channel": "sqlite", "pattern": "reduce_scatter"},
    }
    learns(toys.run(job(json_data, **groups)))


def learns(ended: dict[str, Any]) -> None:
    assert ended["status"] == "SUCCEEDED", ended
    losses = [epoch["loss"] for epoch in ended["report"]["history"]]
    assert len(losses) == EPOCHS
    assert losses[-1] < losses[0]
