"""A job for a page that stays open, against moto's server: what is read, and how often."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from threading import Barrier, Event
from typing import Any

import pytest

from stepml.client import JobLook, JobWatch, Run
from stepml.client.job_events import JobEvents
from stepml.client.pacing import Pacing
from stepml.client.run_records import record_of
from stepml.job import keys
from tests.support.clocks import TickingClock
from tests.support.moto_stack import JOB_TEXT, MotoStack

N_EPOCHS = 18  # more than are read at once
WAIT_S = 60


@pytest.fixture
def name() -> str:
    return f"run-{uuid.uuid4().hex[:8]}"


def paced(run: Run) -> Counter[tuple[str, str]]:
    """Return the requests of a run so far, and from now on."""
    pacing = Pacing({})
    run.connection.pace(pacing)
    return pacing.sent


def make_attempts(stack: MotoStack, name: str, *epochs: int, stack_name: str = "stepml") -> None:
    for epoch in epochs:
        stack.run_child(f"{name}-e{epoch}-r0-t0", stack_name)


def long_run(stack: MotoStack, name: str, n_epochs: int = N_EPOCHS) -> Run:
    run = stack.client("endless").run(JOB_TEXT, name)
    make_attempts(stack, name, *range(1, n_epochs + 1), stack_name="endless")
    stack.put_epochs(name, n_epochs, ended=False)
    return run


def whole(watch: JobWatch) -> list[JobLook]:
    looks = [watch.look(within_s=0)]
    while not looks[-1].is_whole:
        looks.append(watch.look(within_s=0))
    return looks


def stop(run: Run) -> None:
    run.connection.client("stepfunctions").stop_execution(executionArn=run.arn)
    while not run.state.ended:
        time.sleep(0.02)


def test_a_look_at_a_job_with_a_model_is_its_record(stack: MotoStack, name: str) -> None:
    reports = stack.put_epochs(name, 3)
    stack.put_results(name, reports)
    run = stack.client().run(JOB_TEXT, name, wait=True)
    make_attempts(stack, name, 1, 2, 3)

    look = JobWatch(run).look()

    assert look.record == record_of(run)
    assert (look.epochs, look.finished, look.is_whole) == (tuple(reports), 3, True)


def test_a_job_that_has_ended_costs_one_request_and_stays_the_same(
    stack: MotoStack, name: str
) -> None:
    stack.put_results(name, stack.put_epochs(name, 3))
    run = stack.client().run(JOB_TEXT, name, wait=True)
    watch = JobWatch(run)
    first = watch.look()
    requests = paced(run)

    assert watch.look() is first
    assert requests == {("stepfunctions", "DescribeExecution"): 1}


def test_a_long_job_comes_in_parts_the_newest_epochs_first(stack: MotoStack, name: str) -> None:
    run = long_run(stack, name)
    requests = paced(run)

    looks = whole(JobWatch(run, TickingClock(1).monotonic))

    read = [[each.epoch for each in look.epochs] for look in looks]
    assert len(looks) > 1
    assert all(epochs == [*range(N_EPOCHS + 1)][-len(epochs) :] for epochs in read)
    assert all(look.finished == N_EPOCHS for look in looks)
    assert looks[-1].record.epochs == list(looks[-1].epochs)
    n_documents = requests[("s3", "GetObject")]
    assert n_documents <= N_EPOCHS + 4 * len(looks)  # and plans
    stop(run)


def test_a_new_epoch_is_read_alone_and_the_others_stay(stack: MotoStack, name: str) -> None:
    run = long_run(stack, name)
    watch = JobWatch(run)
    before = whole(watch)[-1]
    stack.put_epochs(name, N_EPOCHS + 1, ended=False)
    make_attempts(stack, name, N_EPOCHS + 1, stack_name="endless")
    stop(run)  # an event, as each end of an epoch is one
    requests = paced(run)

    after = watch.look()

    assert after is not before
    assert [each.epoch for each in after.epochs] == [*range(1, N_EPOCHS + 2)]
    for old, same in zip(before.record.attempts, after.record.attempts, strict=False):
        assert same is old
    reports = [key for key in requests if key[0] == "s3"]
    assert requests[("stepfunctions", "ListExecutions")] == 1
    assert sum(requests[key] for key in reports) <= 6


@pytest.mark.parametrize(
    "requests",
    [
        ["stepfunctions.DescribeExecution", "stepfunctions.GetExecutionHistory"],
        ["stepfunctions.ListExecutions", "s3.GetObject"],
    ],
    ids=["state and events", "attempts and report"],
)
def test_a_new_epoch_is_found_by_requests_at_the_same_time(
    stack: MotoStack, name: str, requests: list[str]
) -> None:
    run = long_run(stack, name, 3)
    watch = JobWatch(run)
    whole(watch)
    stack.put_epochs(name, 4, ended=False)
    make_attempts(stack, name, 4, stack_name="endless")
    stop(run)
    both_sent = Barrier(2, timeout=WAIT_S)
    waiting = list(requests)

    def meet(model: Any, **_: Any) -> None:
        if (sent := f"{model.service_model.service_name}.{model.name}") in waiting:
            waiting.remove(sent)
            both_sent.wait()

    for request in requests:
        events = run.connection.client(request.partition(".")[0]).meta.events  # type: ignore[call-overload]
        events.register(f"before-call.{request}", meet)

    assert [each.epoch for each in watch.look().epochs] == [1, 2, 3, 4]
    assert waiting == []


def test_a_report_that_nobody_asks_for_yet_does_not_end_the_look(
    stack: MotoStack, name: str
) -> None:
    run = long_run(stack, name, 3)
    watch = JobWatch(run)
    whole(watch)
    stack.put(keys.epoch_report(name, 4), b"{")
    stop(run)

    assert [each.epoch for each in watch.look().epochs] == [1, 2, 3]


def test_events_of_a_job_that_ends_between_requests_are_complete(
    stack: MotoStack, name: str
) -> None:
    run = stack.client("endless").run(JOB_TEXT, name)
    other = stack.client("endless").find(name)
    has_events = Event()

    def end_after_events(**_: Any) -> None:
        assert has_events.wait(WAIT_S)
        stop(other)

    sent = run.connection.client("stepfunctions").meta.events
    sent.register("after-call.stepfunctions.GetExecutionHistory", lambda **_: has_events.set())
    sent.register_first("before-call.stepfunctions.DescribeExecution", end_after_events)
    events = JobEvents(run)

    assert events.read().ended
    of_all = JobEvents(other)
    of_all.read()
    assert events.position == of_all.position


def test_a_failed_attempt_has_its_reason_and_is_explained_once(stack: MotoStack, name: str) -> None:
    client = stack.client("failing")
    run = client.named(name)
    client.connection.client("stepfunctions").start_execution(
        stateMachineArn=client.stack.train_arn, name=name, input=JOB_TEXT
    )
    items = [{"fails": True}]
    stack.run_child(f"{name}-e1-r0-t0", "failing", epoch=1, ranks=[3], items=items)
    with pytest.raises(Exception, match=name):
        run.wait()
    watch = JobWatch(run)
    look = watch.look()
    requests = paced(run)
    watch.look()

    [attempt] = look.record.attempts
    assert attempt.failure is not None
    assert (attempt.failure.rank, attempt.failure.error) == (3, "Runtime.ExitError")
    assert look.record.failure is not None
    assert requests.total() == 1


def test_a_resumed_job_shows_the_epochs_that_it_has_taken_over(stack: MotoStack, name: str) -> None:
    text = JOB_TEXT[:-1] + ', "resume_from": {"job": "older", "epoch": 2}}'
    run = stack.client("endless").run(text, name)
    stack.put_epochs(name, 3, ended=False)
    make_attempts(stack, name, 3, stack_name="endless")

    look = whole(JobWatch(run))[-1]

    assert [each.epoch for each in look.epochs] == [1, 2, 3]
    assert [each.epoch for each in look.record.attempts] == [3]
    stop(run)


def test_a_report_that_is_missing_does_not_end_the_look(stack: MotoStack, name: str) -> None:
    run = long_run(stack, name, 3)
    stack.service("s3").delete_object(Bucket=run.stack.bucket, Key=keys.epoch_report(name, 2))

    look = whole(JobWatch(run))[-1]

    assert [each.epoch for each in look.epochs] == [1, 3]
    assert [each.report is None for each in look.record.attempts] == [False, True, False]
    stop(run)
