"""Metrics in the log, in CloudWatch's embedded format."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest

from lambdas.metrics import NAMESPACE, STACK_VARIABLE, UNITS
from stepml.job.json_logs import JsonFormatter
from stepml.packaging.sources import template_path
from tests.support.jobs import Job


@pytest.fixture
def log() -> Iterator[StringIO]:
    """The functions' log."""
    stream, logger = StringIO(), logging.getLogger("stepml")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def measured(log: StringIO) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in lines if line["message"] == "measured"]


def run(job: Job, epochs: int) -> Any:
    job.initialised()
    for number in range(1, epochs + 1):
        job.epoch(number)
    return job.finalise(epochs)


def test_a_stack_with_a_dashboard_measures_each_epoch_once(
    monkeypatch: pytest.MonkeyPatch, log: StringIO
) -> None:
    monkeypatch.setenv(STACK_VARIABLE, "mine")
    report = run(Job(stop={"max_epochs": 2}), 2)
    lines = measured(log)
    assert len(lines) == 3  # the last one is Finalise's
    for line in lines:
        declared = line["_aws"]
        assert 0 <= 1000 * time.time() - declared["Timestamp"] < 600_000
        (directive,) = declared["CloudWatchMetrics"]
        assert (directive["Namespace"], directive["Dimensions"]) == (NAMESPACE, [["Stack"]])
        assert line["Stack"] == "mine"
        for metric in directive["Metrics"]:
            assert metric["Unit"] == UNITS[metric["Name"]]
            assert isinstance(line[metric["Name"]], float)
    assert [line["Loss"] for line in lines[:2]] == [each.loss for each in report.history]
    assert sum(line["CostUsd"] for line in lines) == pytest.approx(report.cost_usd)


def test_a_copy_that_comes_late_measures_nothing(
    monkeypatch: pytest.MonkeyPatch, log: StringIO
) -> None:
    monkeypatch.setenv(STACK_VARIABLE, "mine")
    job = Job(stop={"max_epochs": 1})
    run(job, 1)
    before = measured(log)
    job.reduce(1)
    job.finalise(1)
    assert measured(log) == before


def test_a_stack_without_a_dashboard_measures_nothing(
    monkeypatch: pytest.MonkeyPatch, log: StringIO
) -> None:
    monkeypatch.setenv(STACK_VARIABLE, "")
    run(Job(stop={"max_epochs": 1}), 1)
    assert measured(log) == []


def test_the_dashboard_shows_what_is_measured() -> None:
    template = template_path().read_text()
    assert set(re.findall(rf'\["{NAMESPACE}", "(\w+)"', template)) == set(UNITS)
    assert f"takes {['no', 'one', 'two', 'three'][len(UNITS)]} metrics" in template
