"""Histories become visits: those that jobs have left, and those that only AWS writes so."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepml.records.open_visits import Event
from stepml.records.tracing import Tracer, enclosing_maps
from stepml.records.visits import Iterations, Visit
from tests.support.histories import BEGIN, Written, recorded, recorded_names
from tests.support.paths import ROOT

NAMES = recorded_names()


def traced(events: list[Event]) -> Tracer:
    tracer = Tracer()
    tracer.read(events)
    return tracer


def visits(events: list[Event], state: str = "") -> list[Visit]:
    return [each for each in traced(events).visits if state in ("", each.state)]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.integers(1, 40), st.booleans())
def test_events_in_any_portions_give_the_same_visits(
    name: str, size: int, newest_first: bool
) -> None:
    events = recorded(name)
    portions = [events[at : at + size] for at in range(0, len(events), size)]
    tracer = Tracer()
    for portion in reversed(portions) if newest_first else portions:
        assert tracer.read(portion)
        assert not tracer.read(portion)  # again
        assert tracer.is_whole or newest_first
    assert tracer.is_whole
    assert tracer.visits == traced(events).visits


@pytest.mark.parametrize("name", NAMES)
def test_every_event_of_a_job_belongs_to_one_state(name: str) -> None:
    events, tracer = recorded(name), traced(recorded(name))
    placed = [event["id"] for visit in tracer.visits for event in tracer.events(visit)]
    of_the_execution = [each["id"] for each in events if each["type"].startswith("Execution")]
    assert sorted([*placed, *of_the_execution]) == [each["id"] for each in events]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_goes_on_in_an_execution_that_has_ended(name: str) -> None:
    tracer = traced(recorded(name))
    assert tracer.status != "RUNNING"
    for visit in tracer.visits:
        assert visit.status != "RUNNING"
        assert visit.left_at is not None
        assert visit.seconds is not None
        assert all(each.ended_at is not None for each in visit.attempts)
        assert visit.iterations is None or visit.iterations.running == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_newest_events_give_the_newest_visits(name: str) -> None:
    events = recorded(name)
    whole = {each.first_event: each for each in traced(events).visits}
    half = len(events) // 2
    found = visits(events[half:])
    assert found
    assert {each.state for each in found} <= {each.state for each in whole.values()}
    assert [each.first_event for each in found] == [each for each in whole if each > half]
    for each in found:
        known = whole[each.first_event]
        if name != "failed_epoch":  # whose Map is cut: its ranks seem to end with the execution
            calls = [replace(attempt, redrive=0) for attempt in known.attempts]
            assert [replace(attempt, redrive=0) for attempt in each.attempts] == calls


def test_a_rank_that_was_killed_has_two_calls() -> None:
    (rank,) = (
        each for each in visits(recorded("retried_rank"), "TrainRank") if each.iteration == 0
    )
    assert rank.status == "SUCCEEDED"
    assert [each.status for each in rank.attempts] == ["FAILED", "SUCCEEDED"]
    first, second = rank.attempts
    assert (first.number, first.error) == (1, "Runtime.ExitError")
    assert (first.function, second.function) == ("stepml-executor", "stepml-executor")
    assert json.loads(second.parameters)["Payload"]["rank"] == 0
    assert first.request_id != second.request_id
    assert None not in (first.request_id, second.request_id)
    assert rank.error is None  # it is over


def test_a_rank_that_fails_aborts_the_others() -> None:
    found = visits(recorded("failed_epoch"))
    ranks = {each.iteration: each for each in found if each.state == "TrainRank"}
    (around,) = (each for each in found if each.state == "RunExecutors")
    assert {index: each.status for index, each in ranks.items()} == {0: "ABORTED", 1: "FAILED"}
    assert ranks[1].error == around.error == "RuntimeError"
    assert ranks[1].cause is not None
    assert "nobody expects this" in ranks[1].cause
    assert around.iterations == Iterations(2, failed=1, aborted=1)
    assert {each.map_event for each in ranks.values()} == {around.first_event}


def test_a_stopped_execution_has_states_that_were_aborted() -> None:
    found = visits(recorded("stopped_epoch"))
    assert [each.status for each in found] == ["SUCCEEDED", *["ABORTED"] * 3]
    assert all(each.error is None for each in found)


def test_a_redrive_enters_the_failed_state_again() -> None:
    epochs = visits(recorded("redriven_job"), "RunEpoch")
    assert [each.status for each in epochs] == ["SUCCEEDED", "FAILED", "SUCCEEDED", "SUCCEEDED"]
    children = [attempt.child or "" for each in epochs for attempt in each.attempts]
    assert [each.rpartition(":")[2] for each in children] == [
        "failed-e1-r0-t0",
        "failed-e2-r0-t0",
        "failed-e2-r0-t1",
        "failed-e2-r1-t0",
        "failed-e3-r1-t0",
    ]
    assert [attempt.redrive for each in epochs for attempt in each.attempts] == [0, 0, 0, 1, 1]


def test_a_map_that_was_redriven_counts_its_iterations_anew() -> None:
    first, again = visits(recorded("redriven_map"), "AssembleShards")
    assert first.iterations is not None
    assert (first.status, first.iterations.waiting) == ("FAILED", 1)
    assert again.iterations == Iterations(3, succeeded=3)


def test_an_error_that_is_caught_is_no_failure() -> None:
    found = visits(recorded("caught_error"))
    (caught,) = (each for each in found if each.status == "CAUGHT")
    assert (caught.state, caught.error) == ("CheckData", "RuntimeError")
    assert caught.output is not None
    assert [each.state for each in found][:3] == ["IsWide?", "CheckData", "IsWide?"]


def test_a_group_that_was_retried_has_two_executions() -> None:
    groups = visits(recorded("epoch_in_groups"), "RunGroup")
    assert [len(each.attempts) for each in groups] == [1, 2]
    children = [attempt.child for each in groups for attempt in each.attempts]
    assert len({*children}) == 3
    assert None not in children


def test_a_long_job_says_which_execution_continues_it() -> None:
    last = visits(recorded("continued_job"))[-1]
    assert last.state == "ContinueJob"
    assert (last.attempts[-1].child or "").endswith(":long-c2-r0-t0")


def test_a_state_that_is_taken_up_again_without_being_entered_goes_on() -> None:
    """AWS documents no order of a redrive's events, so both are understood."""
    history = Written()
    history.add("ExecutionStarted")
    history.add("TaskStateEntered", 0, name="Work", input="{}")
    history.add("ExecutionFailed", history.failed_call(), error="BoomError")
    history.add("ExecutionRedriven", redriveCount=1)
    history.add("TaskScheduled", resource="invoke", parameters='{"FunctionName": "app-work"}')
    (visit,) = visits(history.events)
    assert (visit.status, visit.left_at, visit.error) == ("RUNNING", None, None)
    assert [(each.status, each.redrive) for each in visit.attempts] == [
        ("FAILED", 0),
        ("RUNNING", 1),
    ]
    history.add("TaskSucceeded", output='{"Payload": {}, "SdkResponseMetadata": {}}')
    history.add("TaskStateExited", name="Work", output="{}")
    history.add("ExecutionSucceeded")
    (visit,) = visits(history.events)
    assert visit.status == "SUCCEEDED"


def failed_map() -> tuple[Written, int]:
    """Return a history whose Map has failed, with a third iteration that had succeeded."""
    history = Written()
    history.add("ExecutionStarted")
    history.add("MapStateEntered", 0, name="Each", input="{}")
    started = history.add("MapStateStarted", length=3)
    history.add("MapIterationStarted", started, name="Each", index=2)
    history.add("PassStateEntered", name="One", input="{}")
    history.add("PassStateExited", name="One", output="{}")
    history.add("MapIterationSucceeded", name="Each", index=2)
    for index in (0, 1):
        history.add("MapIterationStarted", started, name="Each", index=index)
        history.add("TaskStateEntered", name="One", input="{}")
    failed = history.failed_call()
    history.add("TaskStateAborted", 9)
    history.add("MapIterationAborted", name="Each", index=0)
    history.add("MapIterationFailed", failed, name="Each", index=1)
    history.add("MapStateFailed")
    history.add("ExecutionFailed", error="BoomError")
    return history, started


def test_states_that_aws_aborts_by_name_are_aborted() -> None:
    history, _ = failed_map()
    around, done, aborted, failed = visits(history.events)
    assert [each.status for each in (done, aborted, failed)] == ["SUCCEEDED", "ABORTED", "FAILED"]
    assert around.iterations == Iterations(3, succeeded=1, failed=1, aborted=1)
    assert around.error == failed.error == "BoomError"


@pytest.mark.parametrize("enters", [True, False], ids=["entered again", "taken up again"])
def test_a_redriven_map_keeps_the_iterations_that_had_succeeded(enters: bool) -> None:
    history, started = failed_map()
    redriven = history.add("ExecutionRedriven", redriveCount=1)
    if enters:
        history.add("MapStateEntered", redriven, name="Each", input="{}")
        started = history.add("MapStateStarted", length=3)
    history.add("MapIterationStarted", started, name="Each", index=1)
    history.add("TaskStateEntered", name="One", input="{}")
    around = visits(history.events, "Each")[-1]
    assert around.status == "RUNNING"
    assert around.iterations == Iterations(3, running=1, succeeded=1)


def test_maps_in_maps_end_with_the_outer_one() -> None:
    history = Written()
    history.add("ExecutionStarted")
    history.add("MapStateEntered", 0, name="Outer", input="{}")
    history.add("MapStateStarted", length=1)
    history.add("MapIterationStarted", name="Outer", index=0)
    history.add("MapStateEntered", name="Inner", input="{}")
    history.add("MapStateStarted", length=2)
    history.add("MapIterationStarted", name="Inner", index=1)
    history.add("WaitStateEntered", name="Rest", input="{}")
    outer, inner, rest = visits(history.events)
    assert (inner.iteration, inner.map_event) == (0, outer.first_event)
    assert (rest.iteration, rest.map_event) == (1, inner.first_event)
    history.add("ExecutionTimedOut", 0, error="States.Timeout")
    outer, inner, rest = visits(history.events)
    assert (outer.status, outer.error) == ("TIMED_OUT", "States.Timeout")
    assert {inner.status, rest.status} == {"ABORTED"}
    assert inner.iterations == Iterations(2, aborted=1)


def test_a_call_that_takes_too_long_times_out() -> None:
    history = Written()
    history.add("ExecutionStarted")
    history.add("TaskStateEntered", 0, name="Work", input="{}")
    history.add("TaskScheduled", resource="invoke", parameters='{"FunctionName": "app-work"}')
    history.add("TaskStarted")
    history.add("TaskTimedOut", error="States.Timeout", cause="")
    (waiting,) = visits(history.events)
    assert (waiting.status, waiting.attempts[0].status) == ("RUNNING", "TIMED_OUT")  # or retried
    history.add("ExecutionFailed", error="States.Timeout")
    (visit,) = visits(history.events)
    assert (visit.status, visit.error) == ("TIMED_OUT", "States.Timeout")
    assert visit.entered_at > BEGIN


@pytest.mark.parametrize(
    ("cause", "request_id"),
    [
        ('{"errorType": "E", "requestId": "0f0f0f0f-0000-4000-8000-000000000001"}', True),
        (
            '{"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: '
            '0f0f0f0f-0000-4000-8000-000000000001 Error: Task timed out after 3.00 seconds"}',
            True,
        ),
        (
            '{"errorMessage": "2026-01-01T00:00:00.000Z 0f0f0f0f-0000-4000-8000-000000000001 '
            'Task timed out after 3.00 seconds"}',
            True,
        ),
        ("Rate exceeded (Service: AWSLambda; Status Code: 429)", False),
        ('{"requestId": 7}', False),
        ("", False),
    ],
)
def test_the_request_of_a_failed_call_is_found(cause: str, request_id: bool) -> None:
    history = Written()
    history.add("ExecutionStarted")
    history.add("TaskStateEntered", 0, name="Work", input="{}")
    history.failed_call(cause=cause)
    (visit,) = visits(history.events)
    found = visit.attempts[0].request_id
    assert found == ("0f0f0f0f-0000-4000-8000-000000000001" if request_id else None)


def test_an_unchanged_visit_is_the_same_object() -> None:
    events, tracer = recorded("redriven_job"), Tracer()
    tracer.read(events[:60])
    before = tracer.visits
    tracer.read(events[60:61])
    after = tracer.visits
    assert sum(one is not other for one, other in zip(before, after, strict=False)) <= 1


def test_the_maps_around_states_are_those_of_the_machines() -> None:
    epoch = json.loads((ROOT / "state_machines" / "epoch.asl.json").read_text())
    around = enclosing_maps(epoch)
    assert around["TrainRank"] == "RunExecutors"
    assert around["RunGroup"] == "RunGroups"
    assert "Reduce" not in around
