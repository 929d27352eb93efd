"""One local AWS with one deployed application for all tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.deployment import deploy
from tests.support.paths import APPLICATION
from tests.support.running_aws import RunningAws, running_aws


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAws]:
    with running_aws(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(scope="session")
def outputs(aws: RunningAws) -> dict[str, str]:
    """The outputs of the application's stack ``app``."""
    return deploy(aws.endpoint_url, APPLICATION / "template.yaml", stack_name="app")
