"""The states of real executions, their ranks, and the log of a single call."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from stepml.client import Client, EpochRun, History, InvalidArgumentError, InvocationLog, Run
from stepml.records.errors import EndpointUnreachableError, ExecutionNotFoundError
from tests.faults.placements import Fault, Point
from tests.faults.stack import FaultyStack
from tests.support.local_stack import csv_rows
from tests.support.running_aws import eventually

ITEMS = list(range(60))
PLAIN = {"Type": "Pass", "End": True}


@pytest.fixture(scope="module")
def client(local_stack: FaultyStack) -> Client:
    return Client(endpoint_url=local_stack.endpoint_url)


@pytest.fixture(scope="module")
def failed(local_stack: FaultyStack, client: Client, job: dict[str, Any]) -> Run:
    """A job of two ranks whose rank 1 was killed in epoch 1, and failed twice in epoch 2."""
    name = f"traced-{uuid.uuid4().hex[:8]}"
    killed = Fault(Point("executor", 1, 1), "enter", "kill")
    fails = Fault(Point("executor", 2, 1), "enter", "fail", times=2)
    local_stack.place(name, "s3", [killed.planned(), fails.planned()])
    uri = local_stack.upload("data/traced.csv", csv_rows(100))
    small = {**job, "data": {**job["data"], "uri": uri}, "workers": 2, "stop": {"max_epochs": 2}}
    assert local_stack.run(small, name)["status"] == "FAILED"
    return client.find(name)


@pytest.fixture(scope="module")
def epoch(failed: Run) -> EpochRun:
    return failed.epoch(2)


def words(log: InvocationLog) -> str:
    return "\n".join(map(str, log))


def test_a_job_shows_its_states(failed: Run) -> None:
    found = failed.visits
    states = failed.machine["States"]
    assert found[0].state == failed.machine["StartAt"] == "Prepare"
    assert {each.kind for each in found if each.state in states} == {"Task", "Map", "Choice"}
    assert all(each.kind == states[each.state]["Type"] for each in found if each.state in states)
    last = found[-1]
    assert (last.state, last.status, len(last.attempts)) == ("RunEpoch", "FAILED", 2)
    children = [each.child for each in last.attempts]
    assert children == [each.execution.arn for each in failed.epochs if each.epoch == 2]
    assert len(failed.histories.look()) == 1
    rows = found.rows()
    assert [each["state"] for each in rows] == [each.state for each in found]
    assert "RuntimeError" in rows[-1]["error"]
    assert "RunEpoch" in repr(found)


def test_an_epoch_is_its_last_attempt_or_the_one_with_a_number(
    failed: Run, epoch: EpochRun
) -> None:
    assert (epoch.epoch, epoch.attempt.number, epoch.n_attempts) == (2, 2, 2)
    assert epoch.attempt.failure is not None
    assert epoch.attempt.failure.rank == 1
    assert failed.epoch(2, attempt=1).attempt.number == 1
    with pytest.raises(InvalidArgumentError, match="attempt: expected 1 to 2, got 3"):
        failed.epoch(2, attempt=3)
    with pytest.raises(InvalidArgumentError, match="epoch: expected one that has begun, got 7"):
        failed.epoch(7)


def test_an_epoch_shows_its_ranks(epoch: EpochRun) -> None:
    ranks = epoch.iterations
    assert [(each.name, each.status) for each in ranks] == [
        ("rank 0", "ABORTED"),
        ("rank 1", "FAILED"),
    ]
    failure = ranks[1].failure
    assert failure is not None
    assert str(failure) == "RuntimeError: a fault: nobody expects this"
    assert [row["error"] for row in ranks.rows()] == [None, str(failure)]
    assert "rank" in repr(ranks)
    assert epoch.machine["States"]["RunExecutors"]["Type"] == "Map"
    assert {each.state for each in epoch.visits} >= {"CheckData", "RunExecutors", "TrainRank"}


def test_the_log_of_a_failed_rank_is_that_of_its_call(epoch: EpochRun) -> None:
    log = epoch.logs(rank=1)
    request = epoch.iterations[1].attempts[-1].request_id
    assert log.request_id == request is not None
    assert (log.log_group, log.is_cut) == ("/stepml/stepml/executor", False)
    assert log.log_stream
    assert "RuntimeError: a fault: nobody expects this" in words(log)  # of Lambda's runtime
    lines = words(log).splitlines()
    assert f"START RequestId: {request}" in words(log)
    assert lines[-1].partition("REPORT RequestId: ")[2].startswith(str(request))
    assert sum("START RequestId" in each for each in lines) == 1
    assert len(log[-2:]) == 2


def test_each_call_of_a_rank_has_its_own_log(failed: Run) -> None:
    first = failed.epoch(1)
    killed, again = first.logs(1, attempt=1), first.logs(1)
    assert killed.request_id != again.request_id
    assert "Runtime exited" in words(killed) or "Runtime.ExitError" in words(killed)
    assert "rank trained" in words(again)
    assert "rank trained" not in words(killed)
    reduce = next(each for each in first.visits if each.state == "Reduce")
    assert "epoch reduced" in words(first.logs(reduce))
    assert {*first.losses()} == {0, 1}
    with pytest.raises(InvalidArgumentError, match="attempt: expected 1 to 2, got 3"):
        first.logs(1, attempt=3)
    with pytest.raises(InvalidArgumentError, match="rank: expected 0 to 1, got 7"):
        first.logs(7)


def test_a_job_that_is_retried_shows_more(failed: Run, local_stack: FaultyStack) -> None:
    histories = failed.histories
    (before,) = histories.look()
    local_stack.aws.client("stepfunctions").redrive_execution(executionArn=failed.arn)
    local_stack.ended(failed.arn)
    (after,) = histories.look()
    assert after.status == "SUCCEEDED"
    assert after.visits[: len(before.visits)] == before.visits
    trained = [each for each in after.visits if each.state == "RunEpoch"]
    assert [each.status for each in trained] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert failed.epoch(2).attempt.number == 3
    losses = failed.epoch(2).losses()
    assert set(losses) <= {0, 1}
    assert 1 in losses


def test_a_running_call_shows_what_it_has_logged_so_far(
    local_stack: FaultyStack, client: Client, job: dict[str, Any]
) -> None:
    name = f"held-{uuid.uuid4().hex[:8]}"
    uri = local_stack.upload("data/traced.csv", csv_rows(100))
    small = {**job, "data": {**job["data"], "uri": uri}, "workers": 2, "stop": {"max_epochs": 1}}
    with local_stack.holding(name, Point("executor", 1, 0), "leave") as hold:
        arn = local_stack.start(small, name)
        hold.reached()
        epoch = client.find(name).epoch(1)
        rank = epoch.iterations[0]
        assert (rank.status, rank.seconds, rank.attempts[-1].request_id) == ("RUNNING", None, None)
        log = eventually(lambda: epoch.logs(0), bool)
        assert [each.message for each in log][1:] == ["begun", "rank trained"]
        assert {each.request_id for each in log[1:]} == {log.request_id}
        local_stack.aws.client("stepfunctions").stop_execution(executionArn=arn)
        local_stack.ended(epoch.attempt.execution.arn)
        assert epoch.iterations[0].status == "ABORTED"
    assert epoch.look().seen.ended
    eventually(lambda: words(epoch.logs(0)), lambda text: "REPORT" in text)


@pytest.fixture(scope="module")
def long_history(local_stack: FaultyStack) -> Iterator[str]:
    """An execution with some hundred events, in a Map and behind it."""
    inner = {"StartAt": "One", "States": {"One": PLAIN}}
    each = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": inner, "ResultPath": None}
    states = {"Each": {**each, "Next": "Last"}, "Last": PLAIN}
    machine = local_stack.aws.machine({"StartAt": "Each", "States": states})
    arn = local_stack.aws.start(machine, {"items": ITEMS})
    local_stack.ended(arn)
    yield arn


def test_a_long_history_opens_with_its_newest_part(client: Client, long_history: str) -> None:
    history = History(client.connection, long_history, page=100)
    first = history.look()
    assert not first.is_whole
    assert first.last_event > 200
    assert first.ended
    assert first.visits[-1].state == "Last"
    second, third = history.look(), history.look()
    assert len(first.visits) < len(second.visits) < len(third.visits)
    assert third.is_whole
    (around,) = (each for each in third.visits if each.kind == "Map")
    assert around.iterations is not None
    assert around.iterations.succeeded == len(ITEMS)
    inside = [each for each in third.visits if each.state == "One"]
    assert {each.iteration for each in inside} == {*ITEMS}
    assert json.loads(around.input)["items"] == ITEMS
    assert history.look() == third
    assert [each["type"] for each in history.events(third.visits[-1])] == [
        "PassStateEntered",
        "PassStateExited",
    ]


HOOK = "before-call.stepfunctions.GetExecutionHistory"


@contextmanager
def asked(client: Client, refused: int | None = None) -> Iterator[list[dict[str, Any]]]:
    """Record the requests for histories; one of them is refused by its number."""
    requests: list[dict[str, Any]] = []

    def record(params: dict[str, Any], **_: Any) -> None:
        requests.append(json.loads(params["body"]))
        if len(requests) == refused:
            raise EndpointConnectionError(endpoint_url="nowhere")

    events = client.connection.client("stepfunctions").meta.events
    events.register(HOOK, record)
    try:
        yield requests
    finally:
        events.unregister(HOOK, record)


def test_looks_ask_for_little_when_nothing_is_new(client: Client, long_history: str) -> None:
    history = History(client.connection, long_history)
    with asked(client) as requests:
        history.whole()
        history.look()
        history.settled()
    assert [each["maxResults"] for each in requests] == [1000, 10]


def test_a_look_that_is_refused_loses_nothing(client: Client, long_history: str) -> None:
    expected = History(client.connection, long_history).whole()
    history = History(client.connection, long_history, page=30)
    with asked(client, refused=5), pytest.raises(EndpointUnreachableError):
        history.whole()
    assert history.whole() == expected


def test_an_execution_that_does_not_exist_is_named(client: Client, failed: Run) -> None:
    with pytest.raises(ExecutionNotFoundError, match=r"no execution .*:nothing at http"):
        History(client.connection, failed.arn.replace(failed.name, "nothing")).look()
