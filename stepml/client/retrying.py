"""Resumes a job that has ended, or trains it again from an epoch; see `retry_choices`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from stepml.client.connection import Connection, translated
from stepml.client.executions import describe, start
from stepml.client.objects import find_document, is_there
from stepml.client.retry_choices import RetryChoices, counted_again, retry_choices
from stepml.client.stack import Stack
from stepml.job import keys
from stepml.job.job_files import checked_job
from stepml.job.reports import EndReport
from stepml.records.errors import ReportUnreadableError, ServiceRefusedError
from stepml.records.execution import Execution, ExecutionState
from stepml.records.retry_plan import Retried, RetryPlan

CLEANUP_S = 15.0  # EventBridge invokes the clean-up within seconds
SETTLING_S = 10.0  # DescribeExecution may lag behind RedriveExecution

Sleep = Callable[[float], None]


def retry(
    connection: Connection,
    stack: Stack,
    execution: Execution,
    epoch: int | None,
    name: str | None,
    sleep: Sleep = time.sleep,
) -> Retried:
    """Resume a job after its finished epochs, or train it again from ``epoch``."""
    choices = retry_choices(connection, stack, execution)
    plan = choices.plan(epoch, name)
    retrier = _Retrier(connection, stack, choices.state, sleep)
    return retrier.redrive(choices) if plan.how == "redriven" else retrier.start(choices, plan)


@dataclass(frozen=True, slots=True)
class _Retrier:
    connection: Connection
    stack: Stack
    state: ExecutionState  # of the job when the retry was requested
    sleep: Sleep

    def start(self, choices: RetryChoices, plan: RetryPlan) -> Retried:
        text = checked_job(json.dumps(choices.document(plan)), plan.name)
        execution = start(self.connection, self.stack, text, plan.name)
        return Retried(execution, plan.how, plan.epoch, plan.reason)

    def redrive(self, choices: RetryChoices) -> Retried:
        self._await_cleanup()
        # The epoch that ended when the job was stopped may be finished.
        choices = counted_again(self.connection, self.stack, choices)
        reason = self._refusal()
        if reason:
            return self.start(choices, choices.anew(None, reason))
        self._await_redriven()
        return Retried(self.state.execution, "redriven", choices.plan().epoch, "")

    def _refusal(self) -> str:
        """Redrive the execution; return the reason if AWS refuses, else ""."""
        try:
            with translated(self.connection.endpoint_url):
                self.connection.client("stepfunctions").redrive_execution(
                    executionArn=self.state.execution.arn
                )
        except ServiceRefusedError as error:
            if error.code != "ExecutionNotRedrivable":
                raise
            return str(error)
        return ""

    def _await_cleanup(self) -> None:
        """Wait for the clean-up of the ended attempt, which would disturb the new one."""
        claim = keys.claim(self.state.execution.name)
        if not is_there(self.connection, self.stack.bucket, claim):
            return  # refused before it began, so nothing needs cleaning
        for _ in range(int(CLEANUP_S / self.connection.poll_s)):
            if self._is_cleaned_up():
                return
            self.sleep(self.connection.poll_s)

    def _is_cleaned_up(self) -> bool:
        key = keys.ended(self.state.execution.name)
        try:
            found = find_document(self.connection, self.stack.bucket, key, EndReport, key)
            if found is None or self.state.ended_at is None:
                return False
            ended_at = _to_milliseconds(self.state.ended_at)
            return datetime.fromisoformat(found.stopped_at) >= ended_at
        except (ReportUnreadableError, ValueError):
            return False

    def _await_redriven(self) -> None:
        """Wait until the state before the redrive has gone: watching would end with it."""
        for _ in range(int(SETTLING_S / self.connection.poll_s)):
            now = describe(self.connection, self.stack.name, self.state.execution)
            if not now.ended or now.redrives > self.state.redrives:
                return
            self.sleep(self.connection.poll_s)


def _to_milliseconds(moment: datetime) -> datetime:
    # Events have whole milliseconds.
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
