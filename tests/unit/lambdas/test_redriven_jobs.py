"""A job is redriven while its earlier part is cleaned up, or has a function that still works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from lambdas.attempts.ended import EndedExecution
from lambdas.attempts.fences import raise_fence
from lambdas.cleanup import clean_up
from stepml.job import keys
from stepml.job.errors import AttemptStoppedError
from stepml.job.reports import Fence
from stepml.job.step import Step
from tests.support.jobs import PATIENT, DurableWrapper, Job, contents

START_MS = 1_767_323_045_678  # STARTED_AT of the job
STOPPED_AT = "2026-01-02T03:04:06.678Z"
REDRIVEN_AT = "2026-01-02T03:04:07.000Z"
ALGORITHMS = ("model_averaging", "admm", "gradient_averaging")
STATUSES = ("FAILED", "TIMED_OUT", "ABORTED")


def ended(status: str = "FAILED") -> EndedExecution:
    return EndedExecution(
        execution_arn="arn:1",
        name="job",
        status=status,
        start_date=START_MS,
        stop_date=START_MS + 1000,
        input="{}",
    )


def trained(algorithm: str = "model_averaging") -> Job:
    batches = {} if algorithm == "admm" else {"batch_size": 20}
    job = Job(algorithm={"name": algorithm} | batches)
    job.timing = replace(PATIENT, watch_interval_s=0.0)
    job.initialised()
    job.epoch(1)
    return job


def redriven(job: Job) -> Job:
    """Return the job as the functions of its redrive see it."""
    again = Job(job.job_id, job.storage, **job.spec)
    again.data, again.timing = job.data, job.timing
    again.job_redrives, again.started_at = 1, REDRIVEN_AT
    return again


def nothing() -> None:
    """No function needs to see the fence here."""


def require_same_end(job: Job, algorithm: str = "model_averaging") -> None:
    """Train to the end: no bit differs, and nothing is left."""
    job.reduce(2, job.execute_all(2))
    undisturbed = trained(algorithm)
    undisturbed.epoch(2)
    assert job.state_bits(2) == undisturbed.state_bits(2)
    job.finalise(2)
    assert not [*job.storage.list(job.exchanged())]
    assert keys.ended("job") not in contents(job.storage)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_late_notice_touches_nothing_of_a_job_that_goes_on(algorithm: str, status: str) -> None:
    again = redriven(trained(algorithm))
    again.execute_all(2)
    before = contents(again.storage)
    assert [*again.storage.list(again.exchanged())]
    clean_up(ended(status), again.storage, "bucket", nothing)
    after = contents(again.storage)
    assert after.pop(keys.fence("job"))  # for the functions of the earlier part
    assert after == before
    require_same_end(again, algorithm)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_job_that_is_redriven_while_it_is_cleaned_up_goes_on(algorithm: str, status: str) -> None:
    again = redriven(trained(algorithm))
    clean_up(ended(status), again.storage, "bucket", lambda: again.execute_all(2).clear())
    assert [*again.storage.list(again.exchanged())]
    require_same_end(again, algorithm)


class Listing(DurableWrapper):
    """Calls ``then`` when the exchanged values have been listed for their deletion."""

    def __init__(self, job: Job, then: Callable[[], object]) -> None:
        super().__init__(job.storage)
        self.then: Callable[[], object] | None = then

    def list(self, prefix: str) -> Iterator[str]:
        found = [*super().list(prefix)]
        then, self.then = self.then, None
        if then is not None and "/exchange/" in prefix:
            then()
        return iter(found)


def test_clean_up_asks_again_after_it_has_listed() -> None:
    job = trained()
    job.execute(2, 0)
    contribution = keys.contribution(job.exchanged(), Step(1), 0, 0)
    job.storage.save(contribution, b"of an earlier epoch, which a failed epoch does not need")
    again = redriven(job)
    clean_up(ended(), Listing(job, lambda: again.execute(2, 1)), "bucket", nothing)
    assert contribution in contents(job.storage)  # until the job's end
    assert keys.ended("job") not in contents(job.storage)
    require_same_end(again)


def test_a_job_that_ends_again_is_cleaned_up() -> None:
    again = redriven(trained())
    again.execute_all(2)
    later = msgspec.structs.replace(ended("ABORTED"), stop_date=START_MS + 5000, redrive_count=1)
    clean_up(later, again.storage, "bucket", nothing)
    assert not [*again.storage.list(again.exchanged())]
    assert again.store.end_report.load().status == "ABORTED"
    with pytest.raises(AttemptStoppedError):
        again.execute(2, 0)


class Late(DurableWrapper):
    """A rank of the earlier part that calls ``then`` before one of its operations."""

    def __init__(self, job: Job, operation: str, then: Callable[[], object]) -> None:
        super().__init__(job.storage)
        self.operation = operation
        self.then = then

    def publish_many(self, values: Any) -> Any:
        self._pause("publish_many", values)
        return super().publish_many(values)

    def delete_many(self, names: Any) -> None:
        self._pause("delete_many", names)
        super().delete_many(names)

    def _pause(self, operation: str, names: Any) -> None:
        if operation == self.operation and any("/exchange/" in name for name in names):
            self.operation = ""
            self.then()


def fence(job: Job) -> None:
    raise_fence(job.store.fence, Fence(until=STOPPED_AT, status="ABORTED", execution="job"))


def test_a_late_rank_leaves_the_contribution_of_the_redriven_one() -> None:
    job = trained()
    again = redriven(job)

    def end_and_go_on() -> None:
        fence(job)
        again.execute(2, 1)

    job.execute(2, 1, storage=Late(job, "publish_many", end_and_go_on))
    assert [*job.storage.list(job.exchanged())]
    require_same_end(again)


def test_a_late_rank_gives_back_a_contribution_that_the_redriven_one_has_seen() -> None:
    job = trained()
    again = redriven(job)
    seen: list[str] = []

    def go_on() -> None:
        """Between the late rank's look at the fence and its withdrawal."""
        again.execute(2, 1)
        seen.extend(job.storage.list(job.exchanged()))

    class Stopped(Late):
        def publish_many(self, values: Any) -> Any:
            fence(job)
            return super().publish_many(values)

    job.execute(2, 1, storage=Stopped(job, "delete_many", go_on))
    assert len(seen) == 1  # so the redriven rank has not trained
    assert [*job.storage.list(job.exchanged())] == seen
    again.reduce(2, [again.execute(2, rank) for rank in (0, 2)] + [again.execute(2, 1)])
    require_same_end(again)


def test_a_rank_that_finds_its_attempt_over_leaves_no_sign() -> None:
    job = trained()
    fence(job)
    job.retries = 1
    with pytest.raises(AttemptStoppedError):
        job.execute(2, 0)
    assert not job.store.resumed.exists()


def test_the_first_attempt_of_a_job_leaves_no_sign() -> None:
    job = trained()
    job.epoch(2)
    assert not job.store.resumed.exists()


def test_a_continuation_that_counts_from_zero_leaves_a_sign_behind_a_fence() -> None:
    job = trained()
    fence(job)
    job.started_at = REDRIVEN_AT
    job.execute(2, 0)
    assert job.store.resumed.load().at == REDRIVEN_AT


def test_an_epoch_that_was_redriven_alone_is_not_cleaned_up_behind_its_job() -> None:
    job = trained()
    job.execute(2, 0)
    clean_up(ended("ABORTED"), job.storage, "bucket", nothing)
    job.redrives = 1
    job.execute_all(2)
    before = [*job.storage.list(job.exchanged())]
    clean_up(ended("ABORTED"), job.storage, "bucket", nothing)  # delivered twice
    assert [*job.storage.list(job.exchanged())] == before
    job.reduce(2)


@pytest.mark.parametrize("lost", [keys.partition_plan, keys.claim])
@pytest.mark.parametrize("value", [b"noise", None])
def test_a_job_whose_plan_or_claim_is_lost_is_cleaned_up(
    lost: Callable[[str], str], value: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPML_BUCKET", "bucket")  # the channel s3 is configured
    job = trained()
    job.execute_all(2)
    prefix = job.exchanged()
    job.storage.delete(lost("job"))
    if value is not None:
        job.storage.save(lost("job"), value)
    given = msgspec.json.encode(job.spec).decode()
    notice = msgspec.structs.replace(ended("ABORTED"), input=given)
    clean_up(notice, job.storage, "bucket", nothing)
    assert not [*job.storage.list(prefix)]
