"""A job's progress, read from its history."""

from __future__ import annotations

import itertools
import json
from typing import Any

from stepml.records.history import PHASES, JobHistory
from tests.support.paths import ROOT

STATE_MACHINE = ROOT / "state_machines" / "train.asl.json"


class History:
    """Writes events in the form of Step Functions."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def add(self, kind: str, **details: Any) -> None:
        self.events.append({"id": next(self._ids), "type": kind, **details})

    def enter(self, kind: str, name: str) -> None:
        self.add(f"{kind}StateEntered", stateEnteredEventDetails={"name": name})


def test_every_state_of_the_state_machine_has_words() -> None:
    states = json.loads(STATE_MACHINE.read_text(encoding="utf-8"))["States"]

    assert set(PHASES) == set(states)


def test_before_the_first_event_a_job_is_starting() -> None:
    assert str(JobHistory().phase) == "starting"


def test_finished_ranges_are_counted() -> None:
    history = History()
    history.enter("Task", "Prepare")
    history.enter("Map", "PartitionData")
    history.add("MapStateStarted", mapStateStartedEventDetails={"length": 3})
    for index in range(2):
        history.enter("Task", "PartitionRange")
        history.add("MapIterationSucceeded", mapIterationSucceededEventDetails={"index": index})
    job = JobHistory()

    job.read(history.events)

    assert str(job.phase) == "partitioning 2/3 ranges"


def test_a_data_set_that_is_partitioned_already_is_told() -> None:
    history = History()
    history.enter("Map", "PartitionData")
    history.add("MapStateStarted", mapStateStartedEventDetails={"length": 0})
    job = JobHistory()

    job.read(history.events)

    assert str(job.phase) == "partitioning: done before"


def test_events_that_come_again_or_backwards_are_counted_once() -> None:
    history = History()
    history.enter("Map", "AssembleShards")
    history.add("MapStateStarted", mapStateStartedEventDetails={"length": 5})
    history.add("MapIterationSucceeded")
    job = JobHistory()

    job.read(reversed(history.events))
    job.read(history.events)

    assert (job.phase.done, job.phase.total) == (1, 5)


def test_a_map_that_a_redrive_enters_again_is_counted_afresh() -> None:
    history = History()
    for _ in range(2):
        history.enter("Map", "PartitionData")
        history.add("MapStateStarted", mapStateStartedEventDetails={"length": 2})
        history.add("MapIterationSucceeded")
    job = JobHistory()

    job.read(history.events)

    assert job.phase.done == 1


def test_reports_of_epochs_are_looked_for_only_once_training_has_begun() -> None:
    history = History()
    job = JobHistory()
    for kind, name in (("Task", "Prepare"), ("Map", "PartitionData"), ("Task", "PlanShards")):
        history.enter(kind, name)
    job.read(history.events)
    assert not job.phase.has_epochs

    history.enter("Task", "RunEpoch")
    job.read(history.events)
    assert job.phase.has_epochs


def failed_epoch(history: History, error: str = "DamagedValueError") -> None:
    lambda_error = {"errorType": error, "errorMessage": "checksum of rank 2"}
    child = {"Error": error, "Cause": json.dumps(lambda_error), "Name": "job-e1-r0-t0"}
    details = {"error": "States.TaskFailed", "cause": json.dumps(child)}
    history.add("TaskFailed", taskFailedEventDetails=details)


def test_an_epoch_that_failed_and_is_tried_again_is_noted_with_its_error() -> None:
    history = History()
    history.enter("Task", "RunEpoch")
    history.add("TaskScheduled")
    failed_epoch(history)
    history.add("TaskScheduled")
    history.add("TaskTimedOut", taskTimedOutEventDetails={"error": "States.Timeout"})
    history.add("TaskScheduled")
    job = JobHistory()

    job.read(history.events)

    assert [task.failure.error for task in job.retried] == ["DamagedValueError", "States.Timeout"]
    assert "job-e1-r0-t0" in job.retried[0].cause
    assert job.last_failed is None


def test_an_epoch_that_failed_last_is_not_tried_again_until_the_job_is_redriven() -> None:
    history = History()
    history.enter("Task", "RunEpoch")
    history.add("TaskScheduled")
    failed_epoch(history)
    history.add("ExecutionFailed")
    job = JobHistory()

    job.read(history.events)
    assert (job.retried, job.ended) == ([], True)
    assert job.last_failed is not None

    history.add("ExecutionRedriven")
    history.add("TaskScheduled")
    job.read(history.events)
    assert (len(job.retried), job.ended) == (1, False)
    assert job.phase.state == "RunEpoch"


def test_a_name_that_was_taken_is_no_attempt() -> None:
    history = History()
    history.enter("Task", "RunEpoch")
    details = {"error": "StepFunctions.ExecutionAlreadyExistsException", "cause": "…"}
    history.add("TaskFailed", taskFailedEventDetails=details)
    history.add("TaskScheduled")
    job = JobHistory()

    job.read(history.events)

    assert job.retried == []


def test_a_map_that_a_redrive_starts_again_has_its_items_once() -> None:
    history = History()
    history.enter("Map", "AssembleShards")
    history.add("MapStateStarted", mapStateStartedEventDetails={"length": 5})
    history.add("MapIterationSucceeded")
    history.add("ExecutionRedriven")
    history.add("MapStateStarted", mapStateStartedEventDetails={"length": 5})
    job = JobHistory()

    job.read(history.events)

    assert (job.phase.done, job.phase.total) == (1, 5)
