"""The fence, and the clean-up after an execution that has ended."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lambdas.attempts.ended import EndedExecution
from lambdas.attempts.fences import raise_fence
from lambdas.cleanup import clean_up
from lambdas.job_store import JobStore
from lambdas.job_store.entries import Entry
from lambdas.job_store.rank_states import publish_rank_state
from stepml.job import keys
from stepml.job.documents import decode, encode
from stepml.job.errors import AttemptStoppedError, DamagedValueError, InvalidTaskError
from stepml.job.reports import Fence
from storage.testing.memory import MemoryStorage
from tests.support.jobs import PATIENT, DurableWrapper, Job, contents

START_MS = 1_767_323_045_678  # STARTED_AT of the job
LATER = "2026-01-02T03:04:06.000Z"
EARLIER = "2026-01-02T03:04:05.000Z"
ALGORITHMS = ("model_averaging", "admm", "gradient_averaging")


def fence(until: str = LATER) -> Fence:
    return Fence(until=until, status="ABORTED", execution="job")


def ended(status: str = "FAILED", **fields: Any) -> EndedExecution:
    settings: dict[str, Any] = {
        "execution_arn": "arn:1",
        "name": "job",
        "status": status,
        "start_date": START_MS,
        "stop_date": START_MS + 1000,
        "input": "{}",
    }
    return EndedExecution(**settings | fields)


def child_input(job: Job, **fields: Any) -> str:
    plan = job.partition_plan()
    return json.dumps({"job_id": "job", "run": plan.run, "epoch": 1} | fields)


def settle() -> None:
    """No function needs to see the fence here."""


def attempt_fence(job: Job, epoch: int = 2) -> Entry[Fence]:
    return job.store.attempt_fence(job.attempt(epoch)["attempt"])


def trained(algorithm: str = "model_averaging", **spec: Any) -> Job:
    batches = {} if algorithm == "admm" else {"batch_size": 20}
    job = Job(algorithm={"name": algorithm} | batches, **spec)
    job.initialised()
    job.epoch(1)
    return job


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_of_an_attempt_behind_the_fence_is_promoted(algorithm: str) -> None:
    job = trained(algorithm)
    results = job.execute_all(2)
    raise_fence(job.store.fence, fence())
    with pytest.raises(AttemptStoppedError, match=r"job ended \(ABORTED\) at 2026-01-02T03:04:06"):
        job.execute(2, 0)
    with pytest.raises(AttemptStoppedError):
        job.reduce(2, results)
    assert keys.state("job", 2) not in contents(job.storage)
    assert keys.epoch_report("job", 2) not in contents(job.storage)
    assert not [*job.storage.list(keys.failures_prefix("job"))]  # it is not a rank's failure


def test_a_merger_behind_the_fence_adds_nothing() -> None:
    job = trained(exchange={"pattern": "reduce_scatter"})
    job.execute_all(2)
    raise_fence(job.store.fence, fence())
    with pytest.raises(AttemptStoppedError):
        job.merge(2, [0])


def test_an_attempt_after_the_fence_goes_on() -> None:
    job = trained()
    raise_fence(job.store.fence, fence(EARLIER))
    job.epoch(2)


@pytest.mark.parametrize("of", ["job", "attempt"])
@pytest.mark.parametrize("damaged", [b"", b"damaged", b'{"until": "2026-01-02T03:04:06Z"}'])
def test_a_damaged_fence_ends_nothing_and_is_replaced(of: str, damaged: bytes) -> None:
    """Nobody can repair it, and the job has to go on."""
    job = trained()
    entry = job.store.fence if of == "job" else attempt_fence(job)
    job.storage.save(entry.key, damaged)
    results = job.execute_all(2)
    raise_fence(entry, fence())
    with pytest.raises(AttemptStoppedError):
        job.reduce(2, results)


def test_an_epoch_that_was_redriven_by_itself_is_past_the_fence_of_its_job() -> None:
    """The epoch reports its first start time, which is before the job's end."""
    job = trained()
    raise_fence(job.store.fence, fence())
    job.redrives = 1
    job.execute_all(2)
    child = {"name": "job-e2-r0-t0", "input": child_input(job)}
    clean_up(ended("ABORTED", **child, redrive_count=1), job.storage, "bucket", settle)
    with pytest.raises(AttemptStoppedError):
        job.execute(2, 0)
    job.redrives = 2
    job.epoch(2)


def test_a_fence_is_never_taken_back() -> None:
    entry = JobStore(MemoryStorage(), "job").fence
    raise_fence(entry, fence(LATER))
    assert raise_fence(entry, fence(EARLIER)).until == LATER
    assert entry.load().until == LATER


def test_what_a_function_fails_of_whose_execution_has_ended_is_no_failure() -> None:
    job = trained()
    job.storage.save(keys.state("job", 1), b"damaged")
    with pytest.raises(DamagedValueError):
        job.execute(2, 0)
    failure = keys.failure("job", job.attempt(2)["attempt"])
    job.storage.delete(failure)
    job.redrives = 1
    raise_fence(attempt_fence(job), fence())
    with pytest.raises(AttemptStoppedError):
        job.execute(2, 0)
    assert not [*job.storage.list(keys.failures_prefix("job"))]


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_behind_a_job_the_channel_is_cleared_but_for_what_a_redrive_can_use(
    algorithm: str, status: str
) -> None:
    job = trained(algorithm)
    results = job.execute_all(2)
    prefix = job.exchanged()
    assert [*job.storage.list(prefix)]
    clean_up(ended(status), job.storage, "bucket", settle)
    report = job.store.end_report.load()
    keeps = status != "ABORTED" and algorithm != "gradient_averaging"
    assert (report.status, report.epochs, report.contributions) == (status, 1, keeps)
    assert len([*job.storage.list(prefix)]) == (3 if keeps else 0)
    # After a redrive, ranks that had contributed do not train again.
    job.redrives = 1
    again = job.execute_all(2)
    assert len(again) == len(results)
    job.reduce(2, again)
    whole = trained(algorithm)
    whole.epoch(2)
    assert job.state_bits(2) == whole.state_bits(2)
    job.finalise(2)
    assert keys.ended("job") not in contents(job.storage)


def test_everything_that_is_left_is_listed_as_kept() -> None:
    job = trained("admm")
    job.execute_all(2)
    clean_up(ended("ABORTED"), job.storage, "bucket", settle)
    kept = job.store.end_report.load().kept
    left = list(job.storage.list("jobs/job/"))
    assert not [key for key in left if not f"s3://bucket/{key}".startswith(tuple(kept))]
    job.redrives = 1
    job.execute_all(2)
    report = (job.reduce(2), job.finalise(2))[1]
    left = list(job.storage.list("jobs/job/"))
    assert not [key for key in left if not f"s3://bucket/{key}".startswith(tuple(report.kept))]


def test_an_epoch_that_failed_is_fenced_alone_and_its_contributions_stay() -> None:
    job = trained()
    job.execute_all(2)
    before = [*job.storage.list(job.exchanged())]
    child = {"name": "job-e2-r0-t0", "input": child_input(job)}
    clean_up(ended(**child), job.storage, "bucket", settle)
    assert attempt_fence(job).load().execution == "job-e2-r0-t0"
    assert keys.fence("job") not in contents(job.storage)
    assert [*job.storage.list(job.exchanged())] == before
    assert keys.ended("job") not in contents(job.storage)
    with pytest.raises(AttemptStoppedError):
        job.reduce(2)
    job.retries = 1  # begun at the same moment, but unrelated
    job.epoch(2)


def test_a_rank_that_is_stopped_saves_how_far_it_is() -> None:
    job = trained("model_averaging", stop={"max_epochs": 3})
    job.timing = replace(PATIENT, watch_interval_s=0.0)
    looks = iter([False, True])

    class Stopping(DurableWrapper):
        def load_many(self, wanted: Any) -> Any:
            if keys.epoch_report("job", 2) in wanted and len(wanted) == 3 and next(looks):
                raise_fence(job.store.fence, fence())
            return super().load_many(wanted)

    with pytest.raises(AttemptStoppedError):
        job.execute(2, 1, storage=Stopping(job.storage))
    assert keys.progress("job", 2, 1) in contents(job.storage)
    job.redrives = 1
    job.epoch(2)
    whole = trained("model_averaging", stop={"max_epochs": 3})
    whole.epoch(2)
    assert job.state_bits(2) == whole.state_bits(2)


def test_what_comes_after_the_end_of_a_job_is_taken_back() -> None:
    """The fence is set and the channel cleared between a rank's last check and its write."""
    job = trained()

    class Late(DurableWrapper):
        def publish_many(self, values: Any) -> Any:
            if any("/exchange/" in key for key in values):
                clean_up(ended("ABORTED"), job.storage, "bucket", settle)
            return super().publish_many(values)

    job.execute(2, 1, storage=Late(job.storage))
    assert not [*job.storage.list(job.exchanged())]


def test_a_continuation_that_failed_leaves_the_rest_to_its_job() -> None:
    job = trained()
    plan = job.partition_plan()
    before = contents(job.storage)
    given = {"continues": {"job_id": "job", "run": plan.run, "next_epoch": 2}}
    clean_up(ended(name="job-c2-r0-t0", input=json.dumps(given)), job.storage, "bucket", settle)
    assert contents(job.storage) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"execution_arn": "arn:other"},  # refused, as the name was taken
        {"start_date": START_MS - 2000},  # had the same name once
        {"name": "nobody"},
        {"name": "job-e1-r0-t0", "input": '{"job_id": "job", "run": "another", "epoch": 1}'},
        {"name": "job-e1-r0-t0", "input": '{"job_id": "nobody", "run": "r", "epoch": 1}'},
        {"name": "job-e1-r0-t0", "input": None},  # too long for the notice
    ],
    ids=["other job", "earlier run", "unknown", "child of another", "child of none", "no input"],
)
def test_the_end_of_another_execution_changes_nothing(fields: dict[str, Any]) -> None:
    job = trained()
    job.execute_all(2)
    before = contents(job.storage)
    clean_up(ended(**fields), job.storage, "bucket", settle)
    assert contents(job.storage) == before


def test_a_notice_about_a_job_that_has_come_through_changes_no_result() -> None:
    job = trained()
    job.epoch(2)
    job.finalise(2)
    before = contents(job.storage)
    clean_up(ended("FAILED"), job.storage, "bucket", settle)
    after = contents(job.storage)
    assert after.pop(keys.fence("job"))
    assert after == before


def test_the_notice_is_read_as_eventbridge_writes_it() -> None:
    detail = {
        "executionArn": "arn:aws:states:us-east-1:123456789012:execution:stepml-train:job",
        "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:stepml-train",
        "name": "job",
        "status": "FAILED",
        "startDate": START_MS,
        "stopDate": START_MS + 1000,
        "input": None,
        "inputDetails": {"included": False},
        "output": None,
        "outputDetails": None,
        "error": "States.TaskFailed",
        "cause": "…",
        "redriveCount": None,
        "redriveStatus": "REDRIVABLE",
    }
    notice = {"detail-type": "…", "source": "aws.states", "detail": detail}
    assert EndedExecution.of_notice(notice).stopped_at == "2026-01-02T03:04:06.678Z"
    with pytest.raises(InvalidTaskError, match=r"EndedExecution: .*status"):
        EndedExecution.of_notice({"detail": {"executionArn": "a", "name": "b"}})


def test_documents_notice_every_changed_byte() -> None:
    data = bytearray(encode(fence()))
    assert json.loads(data)["until"] == LATER  # plain JSON for other readers
    for place in range(len(data)):
        changed = data.copy()
        changed[place] ^= 1
        with pytest.raises(DamagedValueError, match=r"^where: "):
            decode(changed, Fence, "where")


def test_a_damaged_document_names_its_key() -> None:
    job = trained()
    key = keys.training_plan("job")
    plan = bytes(job.storage.load(key))
    job.storage.save(key, plan.replace(b'"n_features":4', b'"n_features":5'))
    with pytest.raises(DamagedValueError, match=key):
        job.execute(2, 0)
    assert job.store.report(7).find() is None


def test_a_late_copy_takes_back_its_own_state_only_when_the_job_has_ended() -> None:
    """Until then, other copies may have continued from it."""
    job = trained("admm")
    store = job.store
    first = store.rank_state(1, 0).load()
    publish_rank_state(store, 1, 0, {name: array + 1 for name, array in first.items()})
    stored = store.rank_state(1, 0).load()
    assert all((stored[name] == array).all() for name, array in first.items())
    job.epoch(2)
    job.finalise(2)
    publish_rank_state(store, 1, 0, first)
    publish_rank_state(store, 2, 0, first)
    assert not store.rank_state(1, 0).exists()
    assert store.rank_state(2, 0).exists()  # those of the last epoch remain
