"""The whole product on one machine: the real template, machines and handlers on a local AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from stepml.job import keys
from tests.faults.stack import FaultyStack, deploy_faulty
from tests.support.local_stack import LocalStack, csv_rows
from tests.support.running_aws import running_aws

if TYPE_CHECKING:  # the browser is loaded only for tests that use it
    from playwright.sync_api import Browser

    from tests.support.console import RunningConsole, Size, Tab


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium; its loop would be in the way of other modules' loops."""
    from tests.support.console import chromium

    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def console(
    local_stack: FaultyStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningConsole]:
    """The console of the deployed StepML."""
    from tests.support.console import running_console

    with running_console(local_stack.endpoint_url, tmp_path_factory.mktemp("console")) as started:
        yield started


@pytest.fixture
def size() -> Size:
    """The size of `tab`: that of a laptop, unless a test has others as parameters."""
    from tests.support.console import WIDE

    return WIDE


@pytest.fixture
def tab(browser: Browser, console: RunningConsole, size: Size) -> Iterator[Tab]:
    """A tab of a person who has not been here before."""
    from tests.support.console import opened_tab

    with opened_tab(browser, console, size) as opened:
        yield opened


@pytest.fixture(scope="module")
def ended_job(local_stack: FaultyStack, job: dict[str, Any]) -> str:
    """The name of a job that has ended well."""
    return str(local_stack.run(job)["name"])
