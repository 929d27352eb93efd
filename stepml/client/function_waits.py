"""Finds out whether a job waits for functions, which other jobs of the account use."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress

from stepml.client.connection import Connection, translated
from stepml.client.continuations import job_name
from stepml.client.newest_events import Event, child_arn, newest_events
from stepml.client.stack import Stack
from stepml.records.errors import ServiceRefusedError

LOOK_S = 10.0  # without progress until the first look, and between two looks
LEVELS = 3  # of executions: the job, its epoch, groups of ranks
MAX_NAMED_JOBS = 2
MOST_CHILDREN = 3  # that are looked at; groups of ranks wait alike
# Lambda has no function for a Task, or a rank has returned its function as its peers have none.
_NO_FUNCTION = frozenset({"Lambda.TooManyRequestsException", "WaitTimeoutError"})


class FunctionWait:
    """Looks now and then whether a job without progress waits for functions.

    Parameters
    ----------
    connection : Connection
    stack : Stack
    job_id : str
    clock : callable, optional
        Returns the time in seconds.
    """

    def __init__(
        self,
        connection: Connection,
        stack: Stack,
        job_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._stack = stack
        self._job_id = job_id
        self._clock = clock
        self._progress: Hashable = None
        self._looked_at = clock()
        self._others: tuple[str, ...] | None = None

    def others(self, arn: str, progress: Hashable) -> tuple[str, ...] | None:
        """Return the other running jobs of the stack if the job waits for functions, or None.

        Parameters
        ----------
        arn : str
            The newest execution of the job.
        progress : hashable
            Anything that differs after every progress of the job.
        """
        now = self._clock()
        if progress != self._progress:
            self._progress, self._looked_at, self._others = progress, now, None
        elif now - self._looked_at >= LOOK_S:
            self._looked_at = now
            with suppress(ServiceRefusedError):  # the job can be watched without this
                self._others = self._look(arn)
        return self._others

    def _look(self, arn: str) -> tuple[str, ...] | None:
        if not waits_for_functions(self._connection, arn):
            return None
        return tuple(other_jobs(self._connection, self._stack, self._job_id))


def waits_for_functions(connection: Connection, arn: str, levels: int = LEVELS) -> bool:
    """Return whether a Task of the execution ``arn``, or of its children, waits for a function."""
    last = _last_of_branches(newest_events(connection, arn))
    if any(_lacks_function(event) for event in last):
        return True
    children = [child for event in last if (child := child_arn(event))] if levels > 1 else []
    return any(
        waits_for_functions(connection, child, levels - 1) for child in children[:MOST_CHILDREN]
    )


def other_jobs(connection: Connection, stack: Stack, job_id: str) -> list[str]:
    """Return the names of the jobs of the stack that are running beside ``job_id``."""
    pages = connection.client("stepfunctions").get_paginator("list_executions")
    with translated(connection.endpoint_url):
        names = [
            job_name(execution["name"])
            for page in pages.paginate(stateMachineArn=stack.train_arn, statusFilter="RUNNING")
            for execution in page["executions"]
        ]
    return [name for name in dict.fromkeys(names) if name != job_id]


def _last_of_branches(events: list[Event]) -> list[Event]:
    """Return the events that no other event follows, one for each running branch of a Map."""
    followed = {event.get("previousEventId") for event in events}
    return [event for event in events if event["id"] not in followed]


def _lacks_function(event: Event) -> bool:
    # A failed Task that nothing follows is about to be retried.
    is_failed = event["type"] == "TaskFailed"
    return is_failed and event.get("taskFailedEventDetails", {}).get("error") in _NO_FUNCTION


def wait_text(others: Sequence[str]) -> str:
    """Return a sentence on the wait for functions beside ``others``, the other running jobs."""
    if not others:
        return "waiting for functions: all that the account may run are in use"
    more = ", …" if len(others) > MAX_NAMED_JOBS else ""
    noun, verb = ("job", "runs") if len(others) == 1 else ("jobs", "run")
    return f"waiting for functions: {noun} {', '.join(others[:MAX_NAMED_JOBS])}{more} {verb}"
