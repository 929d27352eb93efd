"""Stopping and retrying jobs against moto's server; redriving, which it lacks, against a double."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stepml.client import (
    Client,
    Connection,
    Execution,
    ExecutionNotFoundError,
    Retried,
    RetryRefusedError,
    Run,
)
from stepml.client.connection import connect
from stepml.client.epochs import finished_epochs
from stepml.client.retry_choices import next_name
from stepml.client.stopping import raise_fence
from stepml.job import keys
from stepml.job.documents import decode, encode
from stepml.job.names import check_job_id
from stepml.job.reports import EndReport, Fence
from stepml.reports.retry_words import retry_sentences, stop_sentences
from tests.support.moto_stack import BUCKET, JOB, JOB_TEXT, MotoStack, epoch_report

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_912, UTC)
LATER = MOMENT + timedelta(milliseconds=1)


@pytest.fixture
def name() -> str:
    return f"run-{uuid.uuid4().hex[:8]}"


def failed_job(stack: MotoStack, name: str, epochs: int = 0, job: str = JOB_TEXT) -> Run:
    """Return a job that has ended FAILED after a number of finished epochs."""
    for epoch in range(1, epochs + 1):
        report = epoch_report(epoch, last=False)
        stack.put(keys.epoch_report(name, epoch), encode(report))
    client = stack.client("failing")
    states = stack.service("stepfunctions")
    run = client.named(name)
    states.start_execution(stateMachineArn=client.stack.train_arn, name=name, input=job)
    while not run.state.ended:
        time.sleep(0.02)
    return run


def stoppable(client: Client) -> Client:
    """Return the client of a server that returns stop times; moto does not."""
    states = client.connection.client("stepfunctions")
    stop: Any = states.stop_execution
    answer = {"stopDate": datetime.now(UTC)}
    vars(states)["stop_execution"] = lambda **request: {**stop(**request), **answer}
    return client


def fence_of(stack: MotoStack, name: str) -> Fence:
    body = stack.service("s3").get_object(Bucket=BUCKET, Key=keys.fence(name))["Body"].read()
    return decode(body, Fence, "fence")


def input_of(run: Run) -> Any:
    return json.loads(run.state.job)


def how(run: Run) -> Retried:
    assert run.retried is not None
    return run.retried


def test_a_stopped_job_has_a_fence_at_the_moment_of_its_end(stack: MotoStack, name: str) -> None:
    client = stoppable(stack.client("endless"))
    run = client.run(JOB_TEXT, name)

    stopped = run.stop()

    assert (stopped.changed, stopped.state.status) == (True, "ABORTED")
    fence = fence_of(stack, name)
    assert (fence.status, fence.execution) == ("ABORTED", name)
    until = datetime.fromisoformat(fence.until)
    assert until.utcoffset() == timedelta(0)
    assert stopped.state.ended_at is not None
    # The machine may be busy between the two; another zone would be hours away.
    assert abs(until - stopped.state.ended_at) < timedelta(minutes=1)


def test_a_job_that_has_ended_is_not_stopped(stack: MotoStack, name: str) -> None:
    stopped = failed_job(stack, name).stop()

    assert (stopped.changed, stopped.state.status) == (False, "FAILED")
    listed = stack.service("s3").list_objects_v2(Bucket=BUCKET, Prefix=keys.fence(name))
    assert listed["KeyCount"] == 0


def test_an_unknown_job_cannot_be_stopped(stack: MotoStack) -> None:
    run = stack.client().named("absent")

    with pytest.raises(ExecutionNotFoundError, match="no run named 'absent'"):
        run.stop()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(MOMENT, LATER, "05.679Z"), (LATER, MOMENT, "05.679Z"), (MOMENT, MOMENT, "05.678Z")],
)
def test_a_fence_is_never_lowered(
    stack: MotoStack, name: str, first: datetime, second: datetime, expected: str
) -> None:
    client = stack.client()

    for moment in (first, second):
        raise_fence(client.connection, client.stack, Execution(name, ""), moment)

    assert fence_of(stack, name).until == f"2026-01-02T03:04:{expected}"


def test_a_damaged_fence_is_replaced(stack: MotoStack, name: str) -> None:
    client = stack.client()
    stack.put(keys.fence(name), b"{}")

    raise_fence(client.connection, client.stack, Execution(name, ""), MOMENT)

    assert fence_of(stack, name).until == "2026-01-02T03:04:05.678Z"


def test_a_fence_that_somebody_raises_meanwhile_is_kept(
    stack: MotoStack, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = stack.client()
    s3 = client.connection.client("s3")
    put, theirs = s3.put_object, encode(Fence(until=LATER.isoformat(), status="x", execution="y"))

    def put_too_late(**request: Any) -> Any:
        stack.put(keys.fence(name), theirs)
        return put(**request)

    monkeypatch.setattr(s3, "put_object", put_too_late)
    raise_fence(client.connection, client.stack, Execution(name, ""), MOMENT)

    assert fence_of(stack, name).execution == "y"


def test_what_cannot_be_redriven_goes_on_in_a_new_execution(stack: MotoStack, name: str) -> None:
    retried = failed_job(stack, name, epochs=3).retry()

    assert (how(retried).how, how(retried).epoch) == ("resumed", 4)
    assert how(retried).reason == "Step Functions cannot redrive it"
    assert retried.name.startswith(f"{name}-again-2")
    expected = {**JOB, "resume_from": {"job": name, "epoch": 3}}
    assert input_of(retried) == expected


def test_a_new_execution_of_a_resumed_job_resumes_that_one(stack: MotoStack, name: str) -> None:
    job = json.dumps({**JOB, "resume_from": "older"})

    retried = failed_job(stack, name, epochs=2, job=job).retry(name=f"{name}-b")

    assert retried.name == f"{name}-b"
    assert input_of(retried)["resume_from"] == {"job": name, "epoch": 2}


@pytest.mark.parametrize("resume_from", [None, "older"])
def test_a_job_of_which_nothing_was_trained_starts_with_the_same_input(
    stack: MotoStack, name: str, resume_from: str | None
) -> None:
    job = {**JOB, "resume_from": resume_from}

    retried = failed_job(stack, name, job=json.dumps(job)).retry()

    assert (how(retried).how, how(retried).epoch) == ("restarted", 1)
    assert input_of(retried) == job


@pytest.mark.parametrize(("epoch", "way"), [(1, "restarted"), (2, "resumed"), (3, "resumed")])
def test_a_job_is_trained_again_from_an_epoch_on(
    stack: MotoStack, name: str, epoch: int, way: str
) -> None:
    run = failed_job(stack, name, epochs=2, job=json.dumps({**JOB, "resume_from": "older"}))

    retried = run.retry(epoch)

    assert (how(retried).how, how(retried).epoch) == (way, epoch)
    resumed = input_of(retried).get("resume_from")
    assert resumed == (None if epoch == 1 else {"job": name, "epoch": epoch - 1})


@pytest.mark.parametrize("epoch", [-1, 0, 4])
def test_an_epoch_out_of_range_is_refused_with_the_range(
    stack: MotoStack, name: str, epoch: int
) -> None:
    run = failed_job(stack, name, epochs=2)

    with pytest.raises(
        RetryRefusedError,
        match=rf"^epoch: expected 1 to 3, as {name} has finished 2 epochs, got {epoch}$",
    ):
        run.retry(epoch)


def test_a_job_that_runs_or_has_succeeded_is_not_retried(stack: MotoStack, name: str) -> None:
    runs, succeeded = stoppable(stack.client("endless")), stack.client()
    run = runs.run(JOB_TEXT, name)
    with pytest.raises(RetryRefusedError, match=f"{name} is running: .* first epoch from 1 to 1$"):
        run.retry()
    run.stop()

    stack.put_epochs(name, 3)
    run = succeeded.run(JOB_TEXT, name)
    while not run.state.ended:
        time.sleep(0.02)
    with pytest.raises(
        RetryRefusedError, match=f"{name} has succeeded: .* first epoch from 1 to 3$"
    ):
        run.retry()


def test_a_running_job_can_be_trained_again_beside_itself(stack: MotoStack, name: str) -> None:
    client = stoppable(stack.client("endless"))
    stack.put_epochs(name, 2)
    run = client.run(JOB_TEXT, name)

    retried = run.retry(epoch=2)

    assert input_of(retried)["resume_from"] == {"job": name, "epoch": 1}
    assert not run.state.ended
    for each in (run, retried):
        each.stop()


@pytest.mark.parametrize("epoch", [None, 1])
def test_a_job_whose_input_is_wrong_is_not_started_again(
    stack: MotoStack, name: str, epoch: int | None
) -> None:
    run = failed_job(stack, name, job="{}")

    with pytest.raises(
        RetryRefusedError, match=r"its job is wrong: data: is required .*stepml run"
    ):
        run.retry(epoch)


@pytest.mark.parametrize("epochs", [0, 1, 2, 3, 4, 7, 8, 9])
def test_all_finished_epochs_are_counted(stack: MotoStack, name: str, epochs: int) -> None:
    if epochs:
        stack.put_epochs(name, epochs)
    client = stack.client()

    assert finished_epochs(client.connection, client.stack, name) == epochs


@pytest.mark.parametrize("name", ["a", "x" * 61, "job-again-20260102-101500"])
def test_the_next_name_can_always_name_a_job(name: str) -> None:
    new = next_name(name)

    check_job_id(new, 100_000)
    assert new.count("-again-") == 1


def test_an_execution_that_goes_on_with_a_job_is_not_a_job(stack: MotoStack, name: str) -> None:
    client = stack.client()
    part = f"{name}-c9-r0-t0"
    continues = {"continues": {"job_id": name, "run": "r", "next_epoch": 9}}
    stack.service("stepfunctions").start_execution(
        stateMachineArn=client.stack.train_arn, name=part, input=json.dumps(continues)
    )

    refusal = f"is a continuation of the run {name}; give that"
    with pytest.raises(ExecutionNotFoundError, match=refusal):
        client.named(part).retry()


@dataclass
class States:
    """A double of Step Functions with one ended job that can be redriven."""

    ended_at: datetime = MOMENT
    definition: str = "{}"  # now; it was started with {}
    status: str = "REDRIVABLE"
    refusal: str = ""  # error code of RedriveExecution
    lag: int = 0  # number of descriptions that still show the state before the redrive
    redrives: int = 0
    error: str = "States.TaskFailed"
    started: list[dict[str, Any]] = field(default_factory=list)

    def describe_execution(self, **_: Any) -> dict[str, Any]:
        is_shown = self.redrives and self.lag <= 0
        self.lag -= bool(self.redrives)
        return {
            "status": "RUNNING" if is_shown else "FAILED",
            "startDate": MOMENT,
            "stopDate": self.ended_at,
            "input": JOB_TEXT,
            "error": self.error,
            "cause": "no such choice",
            "redriveCount": 1 if is_shown else 0,
            "redriveStatus": self.status,
            "redriveStatusReason": "Execution is too old" if self.status != "REDRIVABLE" else "",
        }

    def describe_state_machine_for_execution(self, **_: Any) -> dict[str, Any]:
        return {"definition": "{}"}

    def describe_state_machine(self, **_: Any) -> dict[str, Any]:
        return {"definition": self.definition}

    def redrive_execution(self, **_: Any) -> dict[str, Any]:
        if self.refusal:
            answer: Any = {"Error": {"Code": self.refusal, "Message": "no"}}
            raise ClientError(answer, "RedriveExecution")
        self.redrives += 1
        return {"redriveDate": MOMENT}

    def start_execution(self, **request: Any) -> dict[str, Any]:
        self.started.append(request)
        return {"executionArn": "arn:new"}


def run_of(stack: MotoStack, states: States, name: str) -> Run:
    connection: Connection = connect(stack.endpoint_url)
    connection._clients["stepfunctions"] = states
    return Run(connection, Client(connection).stack, Execution(name, "arn"))


def put_end(stack: MotoStack, name: str, stopped_at: datetime) -> None:
    report = EndReport(
        job_id=name,
        execution_arn="arn",
        status="FAILED",
        error="e",
        cause="c",
        stopped_at=stopped_at.isoformat(timespec="milliseconds"),
        epochs=2,
        kept={},
        contributions=False,
    )
    stack.put(keys.claim(name), b"{}")
    stack.put(keys.ended(name), encode(report))


def test_a_job_that_can_be_redriven_is(stack: MotoStack, name: str) -> None:
    states, pauses = States(lag=2), []
    stack.put_epochs(name, 2, ended=False)
    put_end(stack, name, MOMENT)  # in whole milliseconds, like events

    retried = run_of(stack, states, name).retry(sleep=pauses.append)

    assert (states.redrives, states.started) == (1, [])
    assert (how(retried).how, how(retried).epoch) == ("redriven", 3)
    assert retried.execution == Execution(name, "arn")
    assert len(pauses) == 2  # until the redrive is seen


def test_a_job_whose_epochs_are_all_finished_only_gets_its_model(
    stack: MotoStack, name: str
) -> None:
    stack.put_epochs(name, 2)
    put_end(stack, name, MOMENT)
    redriven = run_of(stack, States(), name).retry(sleep=lambda _: None)
    assert (how(redriven).how, how(redriven).epoch) == ("redriven", None)
    states = States(status="NOT_REDRIVABLE")
    anew = run_of(stack, states, name).retry(sleep=lambda _: None)
    # A job that resumed all epochs would have nothing to train.
    assert (how(anew).how, how(anew).epoch) == ("resumed", 2)


def test_a_job_that_would_be_refused_again_is_not_retried(stack: MotoStack, name: str) -> None:
    states = States(error="InvalidJobError")
    with pytest.raises(RetryRefusedError, match=r"would fail again: InvalidJobError: .* start it"):
        run_of(stack, states, name).retry(sleep=lambda _: None)
    assert (states.redrives, states.started) == (0, [])


@pytest.mark.parametrize("error", ["BadRowError", "BadLabelError", "ValueChangedError"])
def test_a_job_whose_data_were_wrong_looks_at_them_anew(
    stack: MotoStack, name: str, error: str
) -> None:
    """A redrive would keep the description of the data that have been corrected since."""
    states = States(error=error)
    put_end(stack, name, MOMENT)

    retried = run_of(stack, states, name).retry(sleep=lambda _: None)

    assert (how(retried).how, how(retried).epoch) == ("restarted", 1)
    assert how(retried).reason == "its data are looked at anew"
    assert states.redrives == 0
    assert json.loads(states.started[0]["input"]) == JOB


def test_a_job_that_has_read_its_data_is_redriven(stack: MotoStack, name: str) -> None:
    states = States(error="ValueChangedError")
    stack.put_epochs(name, 2, ended=False)
    put_end(stack, name, MOMENT)

    run_of(stack, states, name).retry(sleep=lambda _: None)

    assert states.redrives == 1


def test_a_redrive_waits_for_the_clean_up_of_this_end(stack: MotoStack, name: str) -> None:
    states, waited = States(), 0
    put_end(stack, name, MOMENT - timedelta(hours=1))  # of the previous end

    def sleep(_seconds: float) -> None:
        nonlocal waited
        assert states.redrives == 0
        waited += 1
        if waited == 3:
            put_end(stack, name, MOMENT)

    run_of(stack, states, name).retry(sleep=sleep)

    assert (states.redrives, waited) == (1, 3)


def test_an_epoch_that_ended_while_the_job_was_stopped_is_not_trained_again(
    stack: MotoStack, name: str
) -> None:
    stack.put(keys.epoch_report(name, 1), encode(epoch_report(1, last=False)))
    stack.put(keys.claim(name), b"{}")

    def sleep(_seconds: float) -> None:  # the reducer had begun before the stop
        stack.put(keys.epoch_report(name, 2), encode(epoch_report(2, last=False)))
        put_end(stack, name, MOMENT)

    retried = run_of(stack, States(), name).retry(sleep=sleep)

    assert (how(retried).how, how(retried).epoch) == ("redriven", 3)


def test_a_clean_up_that_never_comes_is_not_waited_for_without_end(
    stack: MotoStack, name: str
) -> None:
    states, pauses = States(), []
    stack.put(keys.claim(name), b"{}")

    run_of(stack, states, name).retry(sleep=pauses.append)

    assert states.redrives == 1
    assert sum(pauses) == pytest.approx(15)


def test_a_job_that_was_refused_is_retried_at_once(stack: MotoStack, name: str) -> None:
    states, pauses = States(), []

    retried = run_of(stack, states, name).retry(sleep=pauses.append)

    assert (states.redrives, how(retried).epoch, pauses) == (1, 1, [])


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        (States(status="NOT_REDRIVABLE"), "Execution is too old"),
        (States(definition='{"StartAt": "Other"}'), "the state machine has changed"),
        (States(refusal="ExecutionNotRedrivable"), "RedriveExecution: ExecutionNotRedrivable: no"),
    ],
)
def test_what_is_no_longer_redrivable_goes_on_anew(
    stack: MotoStack, name: str, states: States, reason: str
) -> None:
    stack.put_epochs(name, 2, ended=False)
    put_end(stack, name, MOMENT)

    retried = run_of(stack, states, name).retry(sleep=lambda _: None)

    assert states.redrives == 0
    assert how(retried).how == "resumed"
    assert how(retried).reason.startswith(reason)
    resumed = json.loads(states.started[0]["input"])["resume_from"]
    assert resumed == {"job": name, "epoch": 2}


def test_a_name_asks_for_a_new_execution(stack: MotoStack, name: str) -> None:
    states = States()

    retried = run_of(stack, states, name).retry(name=f"{name}-b")

    assert states.redrives == 0
    assert how(retried).reason == "another name was requested"


def test_a_plan_says_what_a_retry_will_do_and_does_nothing(stack: MotoStack, name: str) -> None:
    """The same decision as that of the retry, in fields and in words."""
    states = States()
    stack.put_epochs(name, 2, ended=False)
    run = run_of(stack, states, name)
    choices = run.retry_choices

    redriven, again = choices.plan(), choices.plan(epoch=2, name=f"{name}-b")

    assert (redriven.how, redriven.name, redriven.epoch) == ("redriven", name, 3)
    assert retry_sentences(redriven) == [
        "Step Functions resumes the execution, under its name.",
        "It trains from epoch 3 on; epochs 1 to 2 are not trained again.",
    ]
    assert (again.how, again.kept, again.again) == ("resumed", 1, 1)
    assert retry_sentences(again) == [
        f"A new execution starts: {name}-b.",
        "Why a new one: an epoch was given.",
        f"It trains from epoch 2 on; epoch 1 of {name} is not trained again.",
        f"Epoch 2 is trained once more; {name} keeps its own results.",
    ]
    assert (states.redrives, states.started, choices.most) == (0, [], 3)


def test_a_plan_is_refused_like_the_retry(stack: MotoStack, name: str) -> None:
    stack.put_epochs(name, 3)
    run = stack.client().run(JOB_TEXT, name, wait=True)
    refusals = []
    for attempt in (run.retry, run.retry_plan):
        with pytest.raises(RetryRefusedError) as refused:
            attempt()
        refusals.append(str(refused.value))

    assert refusals[0] == refusals[1]
    assert run.retry_plan(epoch=1).again == 3


def test_a_stop_says_what_is_kept_and_that_a_job_has_ended(stack: MotoStack, name: str) -> None:
    stack.put_epochs(name, 2)
    run = stoppable(stack.client("endless")).run(JOB_TEXT, name)

    before = stop_sentences(run.stop_plan())
    beside = retry_sentences(run.retry_plan(epoch=1))
    run.stop()

    assert before[1].startswith("2 finished epochs are kept.")
    assert beside[-1] == f"{name} is running, and goes on: both cost money."
    assert stop_sentences(run.stop_plan()) == [
        f"{name} has already ended: ABORTED; nothing will be changed."
    ]
