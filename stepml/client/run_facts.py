"""All that AWS has of one job, each fact read when it is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from stepml.client import epochs, listing, logs, rank_times, stored
from stepml.client.connection import Connection
from stepml.client.invocations import MOST_LINES, InvocationLog, invocation_log
from stepml.client.log_lines import LogLine, LogLines
from stepml.client.stack import Stack
from stepml.client.stored import Stored
from stepml.job import keys
from stepml.job.parts import FunctionTimes
from stepml.job.reports import DatasetFacts, EpochReport, JobReport
from stepml.job.spec import JobSpec
from stepml.records.execution import EpochAttempt, Execution, ExecutionState
from stepml.records.failures import Failure
from stepml.records.visits import Attempt


class RunFacts:
    """The facts of a job.

    Parameters
    ----------
    connection : Connection
    stack : Stack
        The stack of the job.
    execution : Execution

    All that is read raises `AccessError` if the services cannot be reached or refuse.
    """

    def __init__(self, connection: Connection, stack: Stack, execution: Execution) -> None:
        self.connection = connection
        self.stack = stack
        self.execution = execution

    @property
    def name(self) -> str:
        """The job's id."""
        return self.execution.name

    @property
    def arn(self) -> str:
        """The ARN of the execution."""
        return self.execution.arn

    @property
    def state(self) -> ExecutionState:
        """The state of the execution, or `ExecutionNotFoundError`."""
        return listing.describe_job(self.connection, self.stack, self.execution)

    @property
    def status(self) -> str:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE, as AWS names them."""
        return self.state.status

    @property
    def result(self) -> JobReport | None:
        """The report of a job that has ended with a model, or None."""
        return epochs.job_report(self.connection, self.stack, self.name)

    @property
    def failure(self) -> Failure | None:
        """The failure that ended the job, with rank and log group; None if there is none.

        The error that the failed rank wrote takes precedence over that in Step Functions.
        """
        return self.failure_of(self.state)

    @property
    def planned(self) -> JobSpec | None:
        """The job with all that has been chosen so far, or None before it is planned."""
        return epochs.planned_job(self.connection, self.stack, self.name)

    @property
    def dataset(self) -> DatasetFacts | None:
        """The job's understanding of its data, or None before they are partitioned."""
        return epochs.dataset_facts(self.connection, self.stack, self.name)

    @property
    def stored(self) -> Stored:
        """The objects that the job has in the bucket; others may name its data set."""
        return stored.stored(self.connection, self.stack.bucket, keys.job_prefix(self.name))

    def failure_of(self, state: ExecutionState) -> Failure | None:
        """Return the failure of the job in this state; None if it is running or has succeeded."""
        return epochs.job_failure(self.connection, self.stack, state)

    def attempts_at(
        self, state: ExecutionState, final: JobReport | None = None
    ) -> list[EpochAttempt]:
        """Return every attempt at every epoch of the job in this state.

        ``final`` is its final report, if that is known already.
        """
        return epochs.attempts(self.connection, self.stack, state, final)

    def epoch_report(self, epoch: int) -> EpochReport | None:
        """Return an epoch's report, or None if there is none yet."""
        return epochs.epoch_report(self.connection, self.stack, self.name, epoch)

    def functions_of(self, epoch: int) -> list[FunctionTimes]:
        """Return the times of the functions of an epoch; none if they are unknown."""
        return rank_times.epoch_functions(self.connection, self.stack, self.name, epoch)

    def functions_by_epoch(self, reports: Sequence[EpochReport]) -> dict[int, list[FunctionTimes]]:
        """Return `functions_of` of several epochs, read at once if the reports do not have them."""
        return rank_times.functions_by_epoch(self.connection, self.stack, self.name, reports)

    def logs(self, rank: int | None = None) -> LogLines:
        """Return the log lines of the job's functions, of one rank or all, oldest first.

        Raises
        ------
        InvalidArgumentError
            The job has no such rank.
        """
        state = self.state
        logs.require_rank(rank, state.job)
        return LogLines(logs.read_logs(self.connection, self.stack, state, rank))

    def invocation_log(self, attempt: Attempt, most: int = MOST_LINES) -> InvocationLog:
        """Return the log of one call of a function, with Lambda's lines about it.

        Parameters
        ----------
        attempt : Attempt
            Of a `Visit`, such as those in `Run.visits`.
        most : int
            The number of lines; the first ones are left out.
        """
        return invocation_log(self.connection, self.stack, attempt, most)

    def follow_logs(
        self, rank: int | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[LogLine]:
        """Yield new log lines of the job's functions until the job has ended; see `logs`."""
        logs.require_rank(rank, self.state.job)
        return logs.follow_logs(self.connection, self.stack, lambda: self.state, sleep, rank)
