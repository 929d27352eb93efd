"""Reads the newest events of an execution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.records.calls import execution_arn_in

Event = Mapping[str, Any]

# The events after the first failed iteration abort the others of its Map, at most 40.
EVENTS = 1000


def newest_events(connection: Connection, arn: str) -> list[Event]:
    """Return the newest events of an execution with their data, the newest first."""
    with translated(connection.endpoint_url):
        answer = connection.client("stepfunctions").get_execution_history(
            executionArn=arn, reverseOrder=True, includeExecutionData=True, maxResults=EVENTS
        )
    return [{**event} for event in answer["events"]]


def child_arn(event: Event) -> str | None:
    """Return the ARN of the execution that a Task started or waited for, or None."""
    submitted = event.get("taskSubmittedEventDetails", {}).get("output", "")
    cause = event.get("taskFailedEventDetails", {}).get("cause", "")
    return execution_arn_in(submitted or cause)
