"""Finds the error and the rank that made an attempt at an epoch fail.

A rank writes its final error to the bucket. A killed rank cannot; then only the epoch's execution
has an error, and its history shows which iteration of the Map failed first.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.client.newest_events import Event, child_arn, newest_events
from stepml.client.objects import find_document
from stepml.client.stack import Stack
from stepml.job import keys, reports
from stepml.records.errors import ReportUnreadableError, ServiceRefusedError
from stepml.records.failures import Failure, first_failure, one_line
from stepml.records.json_answers import json_object

_RANKS, _GROUPS = "RunExecutors", "RunGroups"  # Maps of epoch.asl.json and ranks.asl.json


@dataclass(frozen=True, slots=True)
class _Child:
    """An execution of an epoch, or of a group of its ranks."""

    arn: str
    name: str
    status: str
    error: str | None
    cause: str | None
    redrives: int
    ranks: list[int]  # of the Map that it runs, by index
    epoch: int | None


def epoch_child(job_id: str, cause: str) -> str | None:
    """Return the name of the epoch's execution in a job's ``cause``, or None."""
    found = re.search(rf"(?<![\w-]){re.escape(job_id)}-e\d+-r\d+-t\d+(?![\w-])", cause)
    return None if found is None else found[0]


def failure_of_attempt(
    connection: Connection, stack: Stack, job_id: str, arn: str
) -> Failure | None:
    """Return the failure of the epoch's execution ``arn``, or None if AWS has no such execution."""
    child = _described(connection, arn)
    if child is None:
        return None
    recorded = _recorded(connection, stack, job_id, child)
    if recorded is not None:
        return recorded
    failure = replace(first_failure(child.status, child.error, child.cause), epoch=child.epoch)
    if failure.rank is not None or child.status != "FAILED":
        return failure
    rank = _failed_rank(connection, child)
    return replace(
        failure, rank=rank, state="" if rank is not None else _failed_state(connection, child)
    )


def _recorded(connection: Connection, stack: Stack, job_id: str, child: _Child) -> Failure | None:
    key = keys.failure(job_id, f"{child.name}.{child.redrives}")
    found: reports.Failure | None = None
    with suppress(ReportUnreadableError):  # then the execution has the only error
        found = find_document(connection, stack.bucket, key, reports.Failure, key)
    if found is None:
        return None
    return Failure(
        found.error,
        one_line(found.message),
        rank=found.rank,
        epoch=found.epoch,
        log_group=found.log_group,
        log_stream=found.log_stream,
        state="" if found.rank is not None else _failed_state(connection, child),
    )


def _failed_rank(connection: Connection, child: _Child) -> int | None:
    """Return the rank whose iteration failed first, in the execution or its group's execution."""
    events = _last_events(connection, child.arn)
    failed = min(
        (event for event in events if event["type"] == "MapIterationFailed"),
        key=lambda event: int(event["id"]),
        default=None,
    )
    if failed is None:
        return None
    details = failed.get("mapIterationFailedEventDetails", {})
    if details.get("name") == _RANKS:
        index = details.get("index", -1)
        return child.ranks[index] if 0 <= index < len(child.ranks) else None
    if details.get("name") != _GROUPS:
        return None
    group = _described(connection, _child_of(failed, events) or "")
    return None if group is None else _failed_rank(connection, group)


def _failed_state(connection: Connection, child: _Child) -> str:
    """Return the name of the Task that failed in an execution."""
    entered = (
        event["stateEnteredEventDetails"]["name"]
        for event in _last_events(connection, child.arn)  # the newest first
        if event["type"] == "TaskStateEntered"
    )
    return next(entered, "")


def _last_events(connection: Connection, arn: str) -> list[Event]:
    """Return the newest events of an execution since its last redrive."""
    events = newest_events(connection, arn)
    return list(takewhile(lambda event: event["type"] != "ExecutionRedriven", events))


def _child_of(failed: Event, events: list[Event]) -> str | None:
    """Return the execution that an iteration waited for, named in the events before its end."""
    by_id = {event["id"]: event for event in events}
    event: Event | None = failed
    for _ in events:
        event = by_id.get(event.get("previousEventId")) if event else None
        if event is None:
            return None
        if found := child_arn(event):
            return found
    return None


def _described(connection: Connection, arn: str) -> _Child | None:
    if not arn:
        return None
    try:
        with translated(connection.endpoint_url):
            found = connection.client("stepfunctions").describe_execution(executionArn=arn)
    except ServiceRefusedError as error:
        if error.code in {"ExecutionDoesNotExist", "InvalidArn"}:
            return None
        raise
    task = _input(found.get("input", ""))
    return _Child(
        arn=arn,
        name=arn.rpartition(":")[2],
        status=found["status"],
        error=found.get("error"),
        cause=found.get("cause"),
        redrives=found.get("redriveCount", 0),
        ranks=[rank for rank in task.get("ranks") or [] if isinstance(rank, int)],
        epoch=task["epoch"] if isinstance(task.get("epoch"), int) else None,
    )


def _input(text: str) -> dict[str, Any]:
    return json_object(text)
