"""The client of a deployed StepML: starts jobs, watches them, downloads their results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepml.client import (
    epochs,
    executions,
    listing,
    logs,
    rank_times,
    retrying,
    stopping,
    stored,
    transfers,
)
from stepml.client.choosing import chosen_connection
from stepml.client.connection import Connection
from stepml.client.continuations import newest_continuation
from stepml.client.job_sources import given_job, given_json
from stepml.client.listing import JobSummary
from stepml.client.logs import LogLine
from stepml.client.retrying import Retried
from stepml.client.run import Run
from stepml.client.run_list import Runs
from stepml.client.run_records import find_run
from stepml.client.stack import Stack, find_stack
from stepml.client.stopping import Stopped
from stepml.client.stored import Stored
from stepml.client.transfers import Upload
from stepml.job import keys
from stepml.job.job_files import checked_job
from stepml.job.names import DEFAULT_STACK, LATEST, new_name
from stepml.job.parts import FunctionTimes
from stepml.job.reports import DatasetFacts, EpochReport, JobReport
from stepml.job.spec import JobSpec
from stepml.records.execution import EpochAttempt, Execution, ExecutionState
from stepml.records.failures import Failure

if TYPE_CHECKING:
    from stepml.packaging.user_code import PackedCode
    from stepml.reports.compared_runs import ComparedRuns


class Client:
    """The jobs of one stack.

    Parameters
    ----------
    connection : Connection, optional
        See `stepml.client.connect`. Without one, the next parameters choose an AWS; without them,
        it is the local AWS if one runs, and otherwise that of the person's AWS configuration.
    stack : str
        The CloudFormation stack, looked up at the first use.
    profile, region, endpoint_url : str, optional
        Of AWS, or of another service with its interfaces.

    Every method raises `AccessError` if the services cannot be reached or refuse.
    """

    def __init__(
        self,
        connection: Connection | None = None,
        stack: str = DEFAULT_STACK,
        *,
        profile: str | None = None,
        region: str | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        if connection is None:
            connection = chosen_connection(endpoint_url, region, profile)
        self.connection = connection
        self.stack_name = stack

    def run(
        self,
        job: JobSpec | Mapping[str, Any] | str | Path,
        name: str | None = None,
        *,
        wait: bool = False,
    ) -> Run:
        """Start a job.

        Parameters
        ----------
        job : JobSpec, mapping, path or str
            The job, or its file in JSON, YAML or TOML, or its text.
        name : str, optional
            The job's id. Default: the name of the file, or "job", and the time.
        wait : bool
            Whether to wait until it has ended; see `Run.wait` for errors.

        Raises
        ------
        InvalidJobError
            The job or the name is invalid; nothing has started.
        RunNameTakenError
            Another execution has used the name.
        """
        text, stem = given_job(job)
        run = Run(self, self.start(text, name if name is not None else new_name(stem)))
        return run.wait() if wait else run

    def find(self, name: str) -> Run:
        """Return the run with this name or ARN; ``latest`` is the newest one.

        Raises
        ------
        ExecutionNotFoundError
            There is no such job.
        """
        execution = self.execution(name)
        self.describe(execution)
        return Run(self, execution)

    def runs(self, status: str | None = None, limit: int = 20) -> Runs:
        """Return the newest runs, newest first; ``status`` and ``limit`` as for `jobs`."""
        jobs = self.jobs(limit, status)
        return Runs([Run(self, self.execution(each.name)) for each in jobs], jobs)

    def compare(self, *runs: Run | str | Path) -> ComparedRuns:
        """Return runs side by side; speed-ups refer to the first.

        Parameters
        ----------
        runs : Run, str or Path
            Runs, their names or ARNs, ``latest``, or directories of results.

        Raises
        ------
        ExecutionNotFoundError
            There is no such run.
        """
        from stepml.reports.compared_runs import ComparedRuns

        return ComparedRuns(
            [
                each.record if isinstance(each, Run) else find_run(str(each), lambda: self)
                for each in runs
            ]
        )

    @cached_property
    def stack(self) -> Stack:
        """The deployed stack, or `StackNotFoundError`."""
        return find_stack(self.connection, self.stack_name)

    def start(self, job: Mapping[str, Any] | bytes | str, name: str) -> Execution:
        """Start a job; ``name`` becomes its id.

        Starting a running job again with the same name and text changes nothing.

        Parameters
        ----------
        job : mapping, bytes or str
            The job, its JSON text, or the content of its file in JSON, YAML or TOML.

        Raises
        ------
        InvalidJobError
            The job or the name is invalid; nothing has started.
        RunNameTakenError
            Another execution has used the name.
        """
        text = checked_job(given_json(job), name)
        return executions.start(self.connection, self.stack, text, name)

    def execution(self, name_or_arn: str) -> Execution:
        """Return the execution with this name or ARN, without checking that it exists.

        ``latest`` is the newest job of the stack.

        Raises
        ------
        ExecutionNotFoundError
            It cannot be a job of this stack, or the stack has no job yet.
        """
        if name_or_arn == LATEST:
            return self.latest()
        return executions.named_execution(self.stack, name_or_arn)

    def latest(self, status: str | None = None) -> Execution:
        """Return the newest job, or the newest one with this status: see `jobs`.

        Raises
        ------
        ExecutionNotFoundError
            There is none.
        """
        return listing.latest_job(self.connection, self.stack, status)

    def describe(self, execution: Execution) -> ExecutionState:
        """Return the state of the execution.

        Raises
        ------
        ExecutionNotFoundError
            There is none, or it continues another job.
        """
        return listing.describe_job(self.connection, self.stack, execution)

    def stop(
        self,
        execution: Execution,
        cause: str = "by stepml.client",
        sleep: Callable[[float], None] = time.sleep,
    ) -> Stopped:
        """Stop a job: its executions at once, its functions at their next batch or wait.

        A job that has ended does not change. A stopped job can be resumed: see `retry`.

        Parameters
        ----------
        cause : str
            The person or program that stops it; DescribeExecution shows it.

        Raises
        ------
        ExecutionNotFoundError
            There is no such job.
        """
        return stopping.stop(
            self.connection, self.stack, lambda: self.describe(execution), cause, sleep
        )

    def retry(
        self,
        execution: Execution,
        epoch: int | None = None,
        name: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Retried:
        """Resume a job that failed, timed out or was stopped, or train it again from an epoch.

        Finished epochs are not trained again. If Step Functions can redrive the execution, it
        does; otherwise a new execution takes over what the job has finished.

        Parameters
        ----------
        epoch : int, optional
            The first epoch to train again, from 1 to one after the last finished one. This
            always starts a new execution; the job may also be running or have succeeded.
        name : str, optional
            Name of the new execution. Defaults to the job's name and the time. A name without an
            epoch starts a new execution as well.

        Raises
        ------
        RetryRefusedError
            No epoch is given and the job is running or has succeeded; or it has fewer epochs; or
            its input is invalid, so that it would fail again.
        ExecutionNotFoundError
            There is no such job.
        RunNameTakenError
            Another execution has used the new name.
        """
        return retrying.retry(self.connection, self.stack, execution, epoch, name, sleep)

    def failure(self, execution: Execution) -> Failure | None:
        """Return the failure that ended the job, with rank and log group, or None.

        The error that the failed rank wrote takes precedence over that in Step Functions.
        """
        return self.failure_of(self.describe(execution))

    def failure_of(self, state: ExecutionState) -> Failure | None:
        """Return the failure of a job in this state; None if it is running or has succeeded."""
        return epochs.job_failure(self.connection, self.stack, state)

    def failure_of_attempt(self, execution: Execution, child: str) -> Failure | None:
        """Return the failure of an epoch's execution named ``child``; None if it is unknown."""
        return epochs.child_failure(self.connection, self.stack, execution.name, child)

    def newest_continuation(self, state: ExecutionState) -> Execution | None:
        """Return the newest execution that continues a long job, or None."""
        return newest_continuation(self.connection, self.stack, state)

    def events_after(self, execution: Execution, event_id: int) -> list[dict[str, Any]]:
        """Return the execution's events with a larger id than ``event_id``, in any order."""
        return executions.events_after(self.connection, execution, event_id)

    def epoch_report(self, execution: Execution, epoch: int) -> EpochReport | None:
        """Return an epoch's report, or None if there is none yet."""
        return epochs.epoch_report(self.connection, self.stack, execution.name, epoch)

    def functions_of(self, execution: Execution, epoch: int) -> list[FunctionTimes]:
        """Return the times of the functions of an epoch; none if they are unknown."""
        return rank_times.epoch_functions(self.connection, self.stack, execution.name, epoch)

    def functions_by_epoch(
        self, execution: Execution, reports: Sequence[EpochReport]
    ) -> dict[int, list[FunctionTimes]]:
        """Return `functions_of` of several epochs, read at once if the reports do not have them."""
        return rank_times.functions_by_epoch(self.connection, self.stack, execution.name, reports)

    def dataset_facts(self, execution: Execution) -> DatasetFacts | None:
        """Return the job's understanding of its data, or None before they are partitioned."""
        return epochs.dataset_facts(self.connection, self.stack, execution.name)

    def report(self, execution: Execution) -> JobReport | None:
        """Return the final report, or None if there is none yet."""
        return epochs.job_report(self.connection, self.stack, execution.name)

    def epochs(self, execution: Execution) -> list[EpochAttempt]:
        """Return every attempt at every epoch so far."""
        return self.attempts_at(self.describe(execution))

    def attempts_at(
        self, state: ExecutionState, final: JobReport | None = None
    ) -> list[EpochAttempt]:
        """Return every attempt at every epoch of a job in this state.

        ``final`` is its final report, if that is known already.
        """
        return epochs.attempts(self.connection, self.stack, state, final)

    def planned(self, execution: Execution) -> JobSpec | None:
        """Return the job with all that has been chosen so far, or None before it is planned."""
        return epochs.planned_job(self.connection, self.stack, execution.name)

    def jobs(self, limit: int = 20, status: str | None = None) -> list[JobSummary]:
        """Return the newest ``limit`` jobs, newest first.

        Parameters
        ----------
        status : str, optional
            Only those whose execution is ``RUNNING``, ``SUCCEEDED``, ``FAILED``, ``TIMED_OUT`` or
            ``ABORTED``.
        """
        return listing.list_jobs(self.connection, self.stack, limit, status)

    def left_by(self, execution: Execution) -> Stored:
        """Return the objects that a job has in the bucket; others may name its data set."""
        place = keys.job_prefix(execution.name)
        return stored.stored(self.connection, self.stack.bucket, place)

    def logs(self, execution: Execution, rank: int | None = None) -> list[LogLine]:
        """Return the log lines of the job's functions, of one rank or all, oldest first."""
        return logs.read_logs(self.connection, self.stack, self.describe(execution), rank)

    def follow_logs(
        self,
        execution: Execution,
        rank: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[LogLine]:
        """Yield new log lines of the job's functions until the job has ended."""
        return logs.follow_logs(
            self.connection, self.stack, lambda: self.describe(execution), sleep, rank
        )

    def download(self, execution: Execution, directory: Path) -> dict[str, Path]:
        """Copy the job's model, its card, report and history to ``directory``; return their paths.

        Raises
        ------
        OSError
            ``directory`` cannot be written; nothing has changed there.
        """
        return transfers.download_results(self.connection, self.stack, execution.name, directory)

    def upload(
        self, path: Path, key: str, on_bytes: Callable[[int], object] | None = None
    ) -> Upload:
        """Copy a file to the stack's bucket, unless its content is there already."""
        return transfers.upload(self.connection, self.stack, path, key, on_bytes)

    def upload_code(self, code: PackedCode) -> Upload:
        """Copy a user's own network to the stack's bucket; its URI is the field ``code`` of a job.

        Parameters
        ----------
        code : PackedCode
            See `stepml.packaging.user_code.packed_code`.
        """
        return transfers.upload_code(self.connection, self.stack, code)
