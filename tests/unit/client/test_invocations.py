"""The log of one invocation is cut out of the stream that it shares with others."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stepml.client.invocations import InvocationLog, function_of, invocation_log, rank_losses
from stepml.client.log_lines import LogLine
from stepml.records.visits import Attempt
from tests.support.moto_stack import MotoStack

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
BEFORE, MINE, AFTER = (str(uuid.UUID(int=each)) for each in (1, 2, 3))
TASK = {"job_id": "job", "epoch": 2, "rank": 1, "retries": 0, "entered_at": "2026-01-01T00:00:00Z"}


def begun(request: str, **changed: Any) -> str:
    line = {"level": "INFO", "message": "begun", "task": TASK | changed, "request_id": request}
    return json.dumps(line)


def call(request: str, *lines: str, **changed: Any) -> list[str]:
    """Return the lines of a call, with those of Lambda about it."""
    start, end = f"START RequestId: {request} Version: 7\n", f"END RequestId: {request}\n"
    report = f"REPORT RequestId: {request}\tDuration: 3.00 ms\tBilled Duration: 4 ms\n"
    return [start, begun(request, **changed), *lines, end, report]


def attempt(request_id: str | None = MINE, **changed: Any) -> Attempt:
    """Return a call of three seconds, from two seconds after `NOW`."""
    return Attempt(
        number=1,
        status="FAILED" if request_id else "TIMED_OUT",
        started_at=NOW + timedelta(seconds=2),
        ended_at=NOW + timedelta(seconds=5),
        function="arn:aws:lambda:us-east-1:1:function:stepml-executor:7",
        parameters=json.dumps({"FunctionName": "x", "Payload": TASK | changed}),
        request_id=request_id,
    )


Read = Callable[..., InvocationLog]


@pytest.fixture
def group(stack: MotoStack) -> str:
    name = "/stepml/stepml/executor"
    logs = stack.service("logs")
    for each in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
        logs.delete_log_group(logGroupName=each["logGroupName"])
    logs.create_log_group(logGroupName=name)
    return name


@pytest.fixture
def write(stack: MotoStack, group: str) -> Callable[[Sequence[str]], str]:
    def write(lines: Sequence[str]) -> str:
        """Write lines to a new stream, from two seconds after `NOW`, ten in a second."""
        logs, stream = stack.service("logs"), f"2026/01/01/[7]{uuid.uuid4().hex}"
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        begin = int(NOW.timestamp() * 1000) + 2000
        events = [
            {"timestamp": begin + 100 * number, "message": line}
            for number, line in enumerate(lines)
        ]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        return stream

    return write


@pytest.fixture
def read(stack: MotoStack) -> Read:
    client = stack.client()

    def read(call: Attempt, **options: Any) -> InvocationLog:
        return invocation_log(client.connection, client.stack, call, **options)

    return read


def messages(lines: Sequence[LogLine]) -> list[str]:
    return [each.message.split(" RequestId")[0] for each in lines]


def test_a_call_has_its_own_lines_those_of_libraries_and_those_of_lambda(
    write: Callable[[Sequence[str]], str], read: Read, group: str
) -> None:
    own = json.dumps({"level": "INFO", "message": "rank trained", "request_id": MINE, "loss": 1.5})
    stream = write([*call(BEFORE, "other"), *call(MINE, "a print", own), *call(AFTER, "other")])
    write(call(str(uuid.UUID(int=9)), "of another sandbox", rank=0))
    log = read(attempt())
    assert messages(log) == ["START", "begun", "a print", "rank trained", "END", "REPORT"]
    assert (log.log_group, log.log_stream, log.request_id) == (group, stream, MINE)
    assert not log.is_cut
    assert log[3].fields == {"loss": 1.5}
    assert isinstance(log[1:3], InvocationLog)
    assert log[1:3].log_stream == stream


def test_the_start_of_a_sandbox_belongs_to_its_first_call(
    write: Callable[[Sequence[str]], str], read: Read
) -> None:
    write(["INIT_START Runtime Version: python:3.12\n", "a warning\n", *call(MINE), *call(AFTER)])
    assert messages(read(attempt())) == [
        "INIT_START Runtime Version: python:3.12",
        "a warning",
        "START",
        "begun",
        "END",
        "REPORT",
    ]
    assert messages(read(attempt(AFTER))) == ["START", "begun", "END", "REPORT"]


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_call_that_the_history_does_not_name_is_found_by_its_task(
    write: Callable[[Sequence[str]], str], read: Read, has_ended: bool
) -> None:
    """As long as it runs, or if Step Functions gave it up."""
    lines = [*call(BEFORE, entered_at="earlier"), *call(MINE, "a print")]
    write(lines if has_ended else lines[:-2])
    log = read(attempt(None))
    assert log.request_id == MINE
    assert messages(log) == ["START", "begun", "a print", "END", "REPORT"][: 5 if has_ended else 3]


def test_what_has_logged_nothing_has_no_lines(
    write: Callable[[Sequence[str]], str], read: Read, stack: MotoStack, group: str
) -> None:
    write(call(BEFORE, rank=0))
    assert (len(read(attempt(None))), read(attempt(None)).log_group) == (0, group)
    assert (len(read(attempt())), read(attempt()).request_id) == (0, MINE)
    child = Attempt(1, "RUNNING", NOW, None, child="arn:aws:states:us-east-1:1:execution:x:y")
    assert len(read(child)) == 0
    stack.service("logs").delete_log_group(logGroupName=group)
    assert len(read(attempt())) == 0


def test_the_last_lines_of_a_long_log_are_shown(
    write: Callable[[Sequence[str]], str], read: Read
) -> None:
    write(call(MINE, *(f"line {number}" for number in range(9))))
    log = read(attempt(), most=4)
    assert messages(log) == ["line 7", "line 8", "END", "REPORT"]
    assert log.is_cut


def test_losses_are_those_of_the_calls_that_have_contributed(
    write: Callable[[Sequence[str]], str], stack: MotoStack
) -> None:
    def trained(request: str, rank: int, loss: float) -> str:
        fields = {"job_id": "job", "epoch": 2, "rank": rank, "request_id": request, "loss": loss}
        return json.dumps({"level": "INFO", "message": "rank trained", **fields})

    write([*call(BEFORE, trained(BEFORE, 1, 9.0)), *call(MINE, trained(MINE, 1, 1.5))])
    own = [json.dumps({"loss": 0.5}), json.dumps({"request_id": [MINE], "rank": 1, "loss": 0.5})]
    write(call(AFTER, trained(AFTER, 2, 2.5), *own))  # own code writes such lines
    client = stack.client()
    calls = [attempt(MINE), attempt(AFTER, rank=2)]
    assert rank_losses(client.connection, client.stack, calls) == {1: 1.5, 2: 2.5}


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("stepml-executor", "executor"),
        ("stepml-executor-torch:d1", "executor-torch"),
        ("arn:aws:lambda:us-east-1:1:function:stepml-plan-shards:d1", "plan-shards"),
        (None, None),
    ],
)
def test_a_function_is_known_by_any_name(
    stack: MotoStack, called: str | None, name: str | None
) -> None:
    assert function_of(stack.client().stack, called) == name
