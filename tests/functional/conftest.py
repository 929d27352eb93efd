"""The whole product on one machine: the real template, machines and handlers on a local AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stepml.job import keys
from tests.faults.stack import FaultyStack, deploy_faulty
from tests.support.local_stack import LocalStack, csv_rows
from tests.support.running_aws import running_aws


@pytest.fixture(scope="session")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStack]:
    """A deployed StepML. Its jobs meet no fault, but a test may hold one at a place."""
    with running_aws(tmp_path_factory.mktemp("state")) as aws:
        yield deploy_faulty(aws, tmp_path_factory.mktemp("stack"))


Reference = Callable[..., bytes]


@pytest.fixture(scope="session")
def undisturbed(local_stack: LocalStack) -> Reference:
    """The model of a job over another channel, in the simplest pattern; trained once."""
    known: dict[str, bytes] = {}

    def model(wanted: dict[str, Any], channel: str = "s3") -> bytes:
        plain = wanted | {"exchange": {"channel": channel}}
        text = json.dumps(plain, sort_keys=True)
        if text not in known:
            ended = local_stack.run(plain)
            assert ended["status"] == "SUCCEEDED", ended
            known[text] = local_stack.read(keys.model(ended["name"]))
        return known[text]

    return model


@pytest.fixture(scope="session")
def job(local_stack: LocalStack) -> dict[str, Any]:
    """A small job that runs."""
    uri = local_stack.upload("data/small.csv", csv_rows())
    return {
        "data": {"uri": uri, "format": "csv", "label": "label", "standardise": True},
        "workers": 4,
        "model": {"name": "logistic_regression"},
        "algorithm": {"name": "model_averaging", "learning_rate": 0.5, "batch_size": 50},
        "stop": {"max_epochs": 3},
    }
