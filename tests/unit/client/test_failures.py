"""Failures parsed from ``error`` and ``cause`` of failed executions, in all their forms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepml.cli.attempts import resumed_job
from stepml.client.attempt_failures import epoch_child
from stepml.client.continuations import continued_job
from stepml.records.failures import first_failure
from stepml.reports.epoch_limits import given_epochs

AWS_CAUSE_LIMIT = 32_768  # characters
BAD_ROW = "data/x.csv, line 17: column 3 is not a number: 'abc'"


def lambda_cause(error: str = "BadRowError", message: str = BAD_ROW, **more: Any) -> str:
    stack_trace = ['  File "/var/task/lambdas/partition.py", line 12, in handler\n    "…"\n']
    return json.dumps(
        {"errorMessage": message, "errorType": error, "requestId": "1-2", "stackTrace": stack_trace}
        | more
    )


def child_cause(error: str | None, cause: str | None, status: str = "FAILED") -> str:
    described: dict[str, Any] = {
        "ExecutionArn": "arn:aws:states:us-east-1:123456789012:execution:stepml-epoch:x-e1-r0-t0",
        "Input": json.dumps({"job_id": "x", "epoch": 1}),
        "Name": "x-e1-r0-t0",
        "Status": status,
    }
    if error is not None:
        described["Error"] = error
    if cause is not None:
        described["Cause"] = cause
    return json.dumps(described)


def test_the_error_of_a_function_is_named_with_its_message() -> None:
    assert str(first_failure("FAILED", "BadRowError", lambda_cause())) == f"BadRowError: {BAD_ROW}"


def test_the_error_inside_a_child_execution_is_found() -> None:
    cause = child_cause("BadRowError", lambda_cause())

    assert str(first_failure("FAILED", "States.TaskFailed", cause)) == f"BadRowError: {BAD_ROW}"


def test_the_error_inside_a_child_of_a_child_is_found() -> None:
    cause = child_cause("States.TaskFailed", child_cause("BadRowError", lambda_cause()))

    assert str(first_failure("FAILED", "States.TaskFailed", cause)) == f"BadRowError: {BAD_ROW}"


def test_a_cause_in_small_letters_is_read_as_well() -> None:
    cause = json.dumps({"status": "FAILED", "error": "BadRowError", "cause": lambda_cause()})

    assert first_failure("FAILED", "States.TaskFailed", cause).error == "BadRowError"


def test_a_cause_that_is_an_object_instead_of_text_is_read_as_well() -> None:
    cause = json.dumps({"Error": "BadRowError", "Cause": json.loads(lambda_cause())})

    assert str(first_failure("FAILED", "States.TaskFailed", cause)) == f"BadRowError: {BAD_ROW}"


@pytest.mark.parametrize("nested", [1, 2, 3])
def test_the_error_is_recovered_from_a_cause_that_was_cut_off(nested: int) -> None:
    cause = lambda_cause(stackTrace=["  File …\n" * 20_000])
    for _ in range(nested):
        cause = child_cause("BadRowError" if nested == 1 else "States.TaskFailed", cause)
    cut = cause[:AWS_CAUSE_LIMIT]

    assert str(first_failure("FAILED", "States.TaskFailed", cut)) == f"BadRowError: {BAD_ROW}"


def test_what_is_left_of_a_message_that_was_cut_off_is_shown() -> None:
    cause = child_cause("BadRowError", lambda_cause(message="a" * 40_000))[:AWS_CAUSE_LIMIT]

    failure = first_failure("FAILED", "States.TaskFailed", cause)

    assert failure.message.startswith("aaa")
    assert set(failure.message) == {"a"}


@given(
    message=st.text(max_size=60).map(lambda text: "x" + text),
    nested=st.integers(0, 3),
    cut=st.integers(0, 2_000),
)
def test_wherever_a_cause_is_cut_off_a_failure_is_one_line(
    message: str, nested: int, cut: int
) -> None:
    cause = lambda_cause(message=message)
    for _ in range(nested):
        cause = child_cause("States.TaskFailed", cause)

    failure = first_failure("FAILED", "States.TaskFailed", cause[:cut])

    assert failure.error
    assert "\n" not in str(failure)


@given(message=st.text(min_size=1, max_size=60), nested=st.integers(0, 3))
def test_any_message_survives_the_way_through_its_wrappers(message: str, nested: int) -> None:
    cause = lambda_cause(message="got " + message)
    for _ in range(nested):
        cause = child_cause("States.TaskFailed", cause)

    failure = first_failure("FAILED", "States.TaskFailed", cause)

    assert failure.error == "BadRowError"
    # A message that is JSON with an error is parsed; none of our messages begins like that.
    assert failure.message == " ".join(("got " + message).split())


def test_a_crashed_function_is_told_by_the_platforms_own_name() -> None:
    message = "RequestId: 1-2 Error: Runtime exited with error: exit status 1"
    cause = child_cause("Runtime.ExitError", lambda_cause("Runtime.ExitError", message))

    failure = first_failure("FAILED", "States.TaskFailed", cause)

    assert str(failure) == f"Runtime.ExitError: {message}"


def test_a_timed_out_function_is_told() -> None:
    cause = child_cause("States.Timeout", None)

    assert first_failure("FAILED", "States.TaskFailed", cause).error == "States.Timeout"


def test_a_child_without_an_error_is_told_by_its_status() -> None:
    cause = child_cause(None, None, status="TIMED_OUT")

    failure = first_failure("FAILED", "States.TaskFailed", cause)

    assert str(failure) == "States.Timeout: x-e1-r0-t0: it exceeded its time limit"


def test_text_that_is_not_json_is_the_message() -> None:
    cause = "An error occurred while executing the state 'Prepare': the JSONPath '$.x' is missing"

    assert first_failure("FAILED", "States.Runtime", cause).message == cause


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("FAILED", "ExecutionFailed: no reason was given"),
        ("TIMED_OUT", "States.Timeout: it exceeded its time limit"),
        ("ABORTED", "ExecutionAborted: it was stopped"),
    ],
)
def test_an_execution_that_says_nothing_is_told_by_its_status(status: str, expected: str) -> None:
    assert str(first_failure(status)) == expected


def test_who_stopped_an_execution_may_say_why() -> None:
    assert str(first_failure("ABORTED", "TooExpensive", "enough")) == "TooExpensive: enough"


@pytest.mark.parametrize(
    "cause",
    [
        *("[]", "null", '"text"', "{}", "{", '{"Cause":', "\\", '{"errorM'),
        *("[" * 100_000, '{"Cause":' * 100_000),
    ],
)
def test_odd_causes_are_no_obstacle(cause: str) -> None:
    assert first_failure("FAILED", "SomeError", cause).error == "SomeError"


def test_a_message_of_many_lines_becomes_one() -> None:
    failure = first_failure("FAILED", "E", lambda_cause("E", "first\n  second\n"))

    assert failure.message == "first second"


def test_a_cause_that_nests_without_end_is_given_up() -> None:
    cause = "{}"
    for _ in range(12):
        cause = json.dumps({"Error": "States.TaskFailed", "Cause": cause})
        if len(cause) > 1_000_000:
            break

    assert first_failure("FAILED", "States.TaskFailed", cause).error


def test_what_a_peer_says_is_the_failed_ranks_own_error() -> None:
    cause = child_cause(
        "PeerFailedError", lambda_cause("PeerFailedError", f"rank 2 failed: BadRowError: {BAD_ROW}")
    )

    failure = first_failure("FAILED", "States.TaskFailed", cause)

    assert (failure.rank, failure.with_rank) == (2, f"rank 2: BadRowError: {BAD_ROW}")


@pytest.mark.parametrize("nested", [1, 2])
def test_the_epoch_that_failed_is_found_wherever_it_stands(nested: int) -> None:
    cause = child_cause("BadRowError", lambda_cause())
    for _ in range(nested - 1):
        cause = json.dumps({"Error": "States.TaskFailed", "Cause": cause})

    assert epoch_child("x", cause) == "x-e1-r0-t0"
    assert epoch_child("x", cause[: cause.index("-t0") + 3]) == "x-e1-r0-t0"


@pytest.mark.parametrize("cause", ["", "{}", "x-e1-r0", "xx-e1-r0-t0", "a-x-e1-r0-t0"])
def test_the_epoch_of_another_job_is_not_taken(cause: str) -> None:
    assert epoch_child("x", cause) is None


@pytest.mark.parametrize("text", ["", "null", "[]", "[" * 100_000, '{"continues":' * 100_000])
def test_an_odd_input_is_no_job(text: str) -> None:
    assert continued_job(text) is None
    assert given_epochs(text) is None
    assert resumed_job(text) == "None"
