"""What a person can ask of a deployed StepML: start jobs, look at them, fetch their results."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from stepml.client import epochs, logs, transfers
from stepml.client.connection import Connection, translated
from stepml.client.errors import (
    ExecutionNotFoundError,
    RunNameTakenError,
    ServiceRefusedError,
)
from stepml.client.execution import EpochAttempt, Execution, ExecutionState
from stepml.client.logs import LogLine
from stepml.client.stack import DEFAULT_STACK, Stack, find_stack
from stepml.client.transfers import Upload
from stepml.job.names import MAX_NAME, check_job_id
from stepml.job.parse import parse_job
from stepml.job.reports import EpochReport, JobReport

_NAME = re.compile(rf"[0-9A-Za-z_-]{{1,{MAX_NAME}}}")
_EXECUTION_ARN = re.compile(r"(?P<machine>arn:[^:]+:states:.+?):(?P<name>[^:]+)")
# Events a page: the most that AWS gives at once for a first look, then a few epochs' worth.
HISTORY_PAGE, RECENT_PAGE = 1000, 100


class Client:
    """The jobs of one stack.

    Parameters
    ----------
    connection : Connection
        See `stepml.client.connect`.
    stack_name : str
        The CloudFormation stack; looked up when it is first needed.

    Every method raises `AccessError` if the services cannot be reached or refuse.
    """

    def __init__(self, connection: Connection, stack_name: str = DEFAULT_STACK) -> None:
        self.connection = connection
        self.stack_name = stack_name

    @cached_property
    def stack(self) -> Stack:
        """The deployed stack, or `StackNotFoundError`."""
        return find_stack(self.connection, self.stack_name)

    def start(self, job: bytes | str, name: str) -> Execution:
        """Start the job that the JSON text ``job`` states; ``name`` becomes its id.

        Starting the same job by the same name again, while it runs, changes nothing.

        Raises
        ------
        InvalidJobError
            The job or the name is wrong; nothing has started.
        RunNameTakenError
            Another execution had the name before.
        """
        check_job_id(name, parse_job(job).stop.max_epochs)
        text = job.decode() if isinstance(job, bytes) else job
        try:
            with translated(self.connection.endpoint_url):
                answer = self._states.start_execution(
                    stateMachineArn=self.stack.train_arn, name=name, input=text
                )
        except ServiceRefusedError as error:
            if error.code == "ExecutionAlreadyExists":
                raise RunNameTakenError(
                    f"a run named {name!r} exists already; choose another name"
                ) from error
            raise
        return Execution(name, answer["executionArn"])

    def execution(self, name_or_arn: str) -> Execution:
        """Return the execution with this name or ARN; whether it exists is not looked at.

        Raises
        ------
        ExecutionNotFoundError
            It cannot be a job of this stack.
        """
        of_machine = self.stack.train_arn.replace(":stateMachine:", ":execution:")
        arn = _EXECUTION_ARN.fullmatch(name_or_arn)
        if arn is not None and arn["machine"] == of_machine:
            return Execution(arn["name"], name_or_arn)
        if not _NAME.fullmatch(name_or_arn):
            raise ExecutionNotFoundError(
                f"{name_or_arn!r} is neither a run's name nor an ARN that starts with {of_machine}"
            )
        return Execution(name_or_arn, f"{of_machine}:{name_or_arn}")

    def describe(self, execution: Execution) -> ExecutionState:
        """Return how the execution is doing, or raise `ExecutionNotFoundError`."""
        try:
            with translated(self.connection.endpoint_url):
                found = self._states.describe_execution(executionArn=execution.arn)
        except ServiceRefusedError as error:
            if error.code in {"ExecutionDoesNotExist", "InvalidArn"}:
                raise ExecutionNotFoundError(
                    f"no run named {execution.name!r} at {self.connection.place} "
                    f"(stack {self.stack_name!r})"
                ) from error
            raise
        return ExecutionState(
            execution=execution,
            status=found["status"],
            started_at=found["startDate"],
            ended_at=found.get("stopDate"),
            job=found.get("input", ""),
            error=found.get("error"),
            cause=found.get("cause"),
        )

    def events_after(self, execution: Execution, event_id: int) -> list[dict[str, Any]]:
        """Return the execution's events with a larger id than ``event_id``, in any order."""
        found: list[dict[str, Any]] = []
        pages = self._states.get_paginator("get_execution_history")
        with translated(self.connection.endpoint_url):
            for page in pages.paginate(
                executionArn=execution.arn,
                reverseOrder=True,  # the new ones are on the first page
                includeExecutionData=False,
                maxResults=RECENT_PAGE if event_id else HISTORY_PAGE,
            ):
                events: list[Any] = list(page["events"])
                found += [event for event in events if event["id"] > event_id]
                if any(event["id"] <= event_id for event in events):
                    break
        return found

    def epoch_report(self, execution: Execution, epoch: int) -> EpochReport | None:
        """Return an epoch's report, or None if there is none yet."""
        return epochs.epoch_report(self.connection, self.stack, execution.name, epoch)

    def report(self, execution: Execution) -> JobReport | None:
        """Return the final report, or None if there is none (yet)."""
        return epochs.job_report(self.connection, self.stack, execution.name)

    def epochs(self, execution: Execution) -> list[EpochAttempt]:
        """Return every attempt at every epoch so far."""
        return epochs.attempts(self.connection, self.stack, self.describe(execution))

    def logs(self, execution: Execution, rank: int | None = None) -> list[LogLine]:
        """Return what the job's functions logged, of one rank or of all, oldest first."""
        return logs.read_logs(self.connection, self.stack, self.describe(execution), rank)

    def follow_logs(
        self,
        execution: Execution,
        rank: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[LogLine]:
        """Yield what the job's functions log, until the job has ended."""
        return logs.follow_logs(
            self.connection, self.stack, lambda: self.describe(execution), sleep, rank
        )

    def download(self, execution: Execution, directory: Path) -> dict[str, Path]:
        """Copy the job's model, its card and its report to ``directory``; return their paths."""
        return transfers.download_results(self.connection, self.stack, execution.name, directory)

    def upload(
        self, path: Path, key: str, on_bytes: Callable[[int], object] | None = None
    ) -> Upload:
        """Copy a file to the stack's bucket, unless one of the same size is there."""
        return transfers.upload(self.connection, self.stack, path, key, on_bytes)

    @property
    def _states(self) -> Any:
        return self.connection.client("stepfunctions")
