"""The clean-up behind a job, on every channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from lambdas.attempts.ended import EndedExecution
from lambdas.channels import channel_of
from lambdas.channels.storage import open_storage_channel
from lambdas.cleanup import clean_up
from stepml.job import keys
from tests.contracts.conftest import SERVICES
from tests.support.jobs import Job
from tests.support.parameter_servers import ParameterServerProcess

START_MS = 1_767_323_045_678  # STARTED_AT of the job
REDRIVEN_AT = "2026-01-02T03:04:07.000Z"
Names = Callable[[], list[str]]


def job_on(channel: str, algorithm: str = "model_averaging", **exchange: Any) -> Job:
    job = Job(
        algorithm={"name": algorithm, "batch_size": 20}, exchange={"channel": channel} | exchange
    )
    job.initialised()
    job.epoch(1)
    return job


def ended(job: Job, status: str, **fields: Any) -> EndedExecution:
    settings: dict[str, Any] = {
        "execution_arn": "arn:1",
        "name": job.job_id,
        "status": status,
        "start_date": START_MS,
        "stop_date": START_MS + 1000,
        "input": msgspec.json.encode(job.spec).decode(),
    }
    return EndedExecution(**settings | fields)


def nothing() -> None:
    """No function needs to see the fence here."""


def require_cleared_once_its_objects_are_lost(job: Job, left: Names, **notice: Any) -> None:
    assert left()
    for key in [*job.storage.list("")]:
        if "/exchange/" not in key:  # the channel s3: written by a rank that still works
            job.storage.delete(key)
    clean_up(ended(job, "FAILED", error="KeyNotFoundError", **notice), job.storage, "b", nothing)
    assert left() == []


def require_untouched_while_it_goes_on(job: Job, left: Names) -> None:
    job.job_redrives, job.started_at = 1, REDRIVEN_AT
    results = job.execute_all(2)
    before = left()
    assert before
    clean_up(ended(job, "ABORTED"), job.storage, "b", nothing)
    assert left() == before
    job.reduce(2, results)
    job.finalise(2)
    assert left() == []


def names_on(job: Job, channel: str) -> Names:
    prefix = keys.exchange_prefix(job.job_id, job.training_plan().run)
    return lambda: sorted(open_storage_channel(channel, job.storage).list(prefix))


@pytest.mark.parametrize("off_ms", [0, -1, 1])
def test_a_job_whose_bucket_was_emptied_leaves_nothing_on_its_channel(
    configured: str, off_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SERVICES["s3"].variable, "bucket")
    job = job_on(configured)
    job.execute_all(2)
    start_ms = START_MS + off_ms  # the notice may round it in another way
    require_cleared_once_its_objects_are_lost(job, names_on(job, configured), start_date=start_ms)


def test_a_job_whose_bucket_was_emptied_leaves_nothing_on_a_parameter_server(
    server: ParameterServerProcess,
) -> None:
    job = job_on("parameter_server")
    job.execute_all(2)
    require_cleared_once_its_objects_are_lost(job, lambda: names_of(server))


def test_a_job_that_goes_on_is_not_cleared(configured: str) -> None:
    job = job_on(configured)
    require_untouched_while_it_goes_on(job, names_on(job, configured))


def test_a_job_that_goes_on_keeps_its_values_on_a_parameter_server(
    server: ParameterServerProcess,
) -> None:
    job = job_on("parameter_server")
    require_untouched_while_it_goes_on(job, lambda: names_of(server))


@pytest.mark.parametrize(
    "error", ["InvalidJobError", "DataNotFoundError", "StorageUnavailableError"]
)
def test_a_job_that_was_refused_has_nothing_to_clear(configured: str, error: str) -> None:
    """Clearing scans the whole channel, and some services charge for that."""
    job = job_on(configured)
    left = names_on(job, configured)
    job.execute_all(2)
    before = left()
    job.storage.delete(keys.claim("job"))
    clean_up(ended(job, "FAILED", error=error), job.storage, "b", nothing)
    assert left() == before
    channel_of(job.store, job.training_plan()).clear()


def names_of(server: ParameterServerProcess) -> list[str]:
    with server.client() as client:
        return [each.job for each in client.statistics().jobs]
