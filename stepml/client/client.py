"""The client of a deployed StepML: starts jobs, finds them, and uploads what they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepml.client import executions, listing, transfers
from stepml.client.arguments import checked_count, checked_status, checked_text
from stepml.client.callbacks import Callback, checked_callbacks
from stepml.client.choosing import chosen_connection
from stepml.client.connection import Connection
from stepml.client.giving import upload_data
from stepml.client.job_sources import given_job
from stepml.client.listing import JobSummary
from stepml.client.own_code import at_place, require_entry_points, with_own_code
from stepml.client.run import Run
from stepml.client.run_list import Runs
from stepml.client.run_records import find_run
from stepml.client.stack import Stack, find_stack
from stepml.client.transfers import Upload
from stepml.job.job_files import checked_job
from stepml.job.names import DEFAULT_STACK, LATEST, new_name
from stepml.job.parse import parse_job
from stepml.job.spec import JobSpec
from stepml.records.errors import InvalidArgumentError
from stepml.records.execution import Execution

if TYPE_CHECKING:
    from stepml.client.job_findings import JobFindings
    from stepml.packaging.user_code import PackedCode
    from stepml.reports.compared_runs import ComparedRuns


class Client:
    """The jobs of one stack. Several threads may use one.

    Parameters
    ----------
    connection : Connection, optional
        See `stepml.client.connect`. Without one, the next parameters choose an AWS; without them,
        it is the local AWS if one runs, and otherwise that of the person's AWS configuration.
    stack : str
        The CloudFormation stack, looked up at the first use.
    profile, region, endpoint_url : str, optional
        Of AWS, or of another service with its interfaces.
    callbacks : iterable of Callback
        They hear of every run of this client that is waited for; see `stepml.tracking`. They stay
        in their process: a client that is pickled leaves them out.

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
        callbacks: Iterable[Callback] = (),
    ) -> None:
        self.callbacks: tuple[Callback, ...] = checked_callbacks(callbacks)
        if not isinstance(connection, Connection | None):
            raise InvalidArgumentError(
                f"connection: expected one of stepml.client.connect, got {connection!r}; "
                "a stack is given by name: Client(stack=…)"
            )
        self.connection = connection or chosen_connection(endpoint_url, region, profile)
        self.stack_name = checked_text("stack", stack)

    @cached_property
    def stack(self) -> Stack:
        """The deployed stack, or `StackNotFoundError`."""
        return find_stack(self.connection, self.stack_name)

    def run(
        self,
        job: JobSpec | Mapping[str, Any] | str | bytes | Path,
        name: str | None = None,
        *,
        wait: bool = False,
        callbacks: Iterable[Callback] = (),
        code: str | Path | None = None,
    ) -> Run:
        """Start a job.

        Starting a running job again with the same name and text changes nothing.

        Parameters
        ----------
        job : Job, mapping, path, str or bytes
            The job, or its file in JSON, YAML or TOML, or its text.
        name : str, optional
            The job's id. Default: the name of the file, or "job", and the time.
        wait : bool
            Whether to wait until it has ended; see `Run.wait` for errors.
        callbacks : iterable of Callback
            They hear of the run whenever it is waited for, now or later.
        code : str or Path, optional
            The code that ``entry_point`` of the model or algorithm names: a directory, a .zip or
            a .py file. It is copied to the stack's bucket, unless it is there.

        Raises
        ------
        InvalidJobError
            The job, its code or the name is invalid; nothing has started.
        RunNameTakenError
            Another execution has used the name.
        TypeError
            A callback is none.
        """
        hearing = checked_callbacks(callbacks)
        text, stem = given_job(job)
        chosen = new_name(stem) if name is None else checked_text("name", name)
        text = self._with_code(text, chosen, None if code is None else Path(code).expanduser())
        started = executions.start(self.connection, self.stack, text, chosen)
        run = self._run(started, hearing)
        return run.wait() if wait else run

    def check(
        self,
        job: JobSpec | Mapping[str, Any] | str | bytes | Path,
        *,
        code: str | Path | None = None,
    ) -> JobFindings:
        """Return all mistakes of a job, and what it would take its data for; nothing starts.

        At most 16 MB of the data are read, but compressed objects whole.

        Parameters
        ----------
        job, code
            As for `run`.

        Raises
        ------
        InvalidJobError
            It is no file, or no text of a job. Its mistakes are in what is returned.
        """
        from stepml.client.job_findings import findings_in

        path = None if code is None else Path(code).expanduser()
        return findings_in(given_job(job)[0], lambda: self, code=path)

    def find(self, name: str) -> Run:
        """Return the run with this name or ARN; ``latest`` is the newest one.

        Raises
        ------
        ExecutionNotFoundError
            There is no such job.
        """
        run = self.named(name)
        _ = run.state  # raises if there is no such job
        return run

    def named(self, name: str) -> Run:
        """Return the run with this name or ARN, as `find` does, without a look whether it exists.

        Raises
        ------
        ExecutionNotFoundError
            It cannot be a job of this stack, or it is ``latest`` and there is no job.
        """
        if checked_text("name", name) == LATEST:
            return self.latest()
        return self._run(executions.named_execution(self.stack, name))

    def latest(self, status: str | None = None) -> Run:
        """Return the newest run, or the newest one with this status: see `jobs`.

        Raises
        ------
        ExecutionNotFoundError
            There is none.
        """
        return self._run(listing.latest_job(self.connection, self.stack, checked_status(status)))

    def runs(self, status: str | None = None, limit: int = 20) -> Runs:
        """Return the newest runs, newest first; ``status`` and ``limit`` as for `jobs`."""
        found = self.jobs(limit, status)
        return Runs([self.named(each.name) for each in found], found)

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
                each.record if isinstance(each, Run) else find_run(str(each), self.named)
                for each in runs
            ]
        )

    def jobs(self, limit: int = 20, status: str | None = None) -> list[JobSummary]:
        """Return summaries of the newest ``limit`` jobs, newest first.

        Parameters
        ----------
        status : str, optional
            Only those whose execution is ``RUNNING``, ``SUCCEEDED``, ``FAILED``, ``TIMED_OUT`` or
            ``ABORTED``; small letters do as well.
        """
        status, limit = checked_status(status), checked_count("limit", limit, 1)
        return listing.list_jobs(self.connection, self.stack, limit, status)

    def upload(
        self,
        source: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        to: str | None = None,
        force: bool = False,
        on_bytes: Callable[[int], object] | None = None,
    ) -> Upload:
        """Copy data to the stack's bucket, unless the same is there already.

        ``stepml.Data(**upload.data)`` describes them in a job.

        Parameters
        ----------
        source : str, Path, array-like, sparse matrix or table
            A file or folder, which is copied as it is; or rows in memory: numbers of shape
            (n_samples, n_features), a matrix of SciPy, a table of pandas, polars or pyarrow.
        y : array-like of shape (n_samples,), optional
            The labels of rows in memory.
        sample_weight : array-like of shape (n_samples,), optional
            The factor of each row's loss, of rows in memory.
        to : str, optional
            The key of a file, or a folder, which ends with a slash. Default: ``data/`` and the
            name. Rows in memory get a place by their content.
        force : bool
            Whether objects that have another content are replaced.
        on_bytes : callable, optional
            Called with the number of bytes of each sent portion of files, from other threads.

        Raises
        ------
        UploadRefusedError
            There is no such file; or the place is not below ``data/``, or has another content.
        ValueError
            The rows cannot be stored.
        """
        return upload_data(
            self.connection, self.stack, source, y, sample_weight, to, force, on_bytes
        )

    def upload_code(self, code: PackedCode) -> Upload:
        """Copy a person's own code to the stack's bucket; its URI is the field ``code`` of a job.

        Parameters
        ----------
        code : PackedCode
            See `stepml.packaging.user_code.packed_code`.
        """
        return transfers.upload_code(self.connection, self.stack, code)

    def _with_code(self, text: str, name: str, path: Path | None) -> str:
        """Return the text of a job that may start, whose own code has been sent."""
        text, packed = with_own_code(text, path)
        text = checked_job(text, name)
        if packed is None:
            return text
        require_entry_points(packed, parse_job(text))
        return at_place(text, self.upload_code(packed).uri)

    def _run(self, execution: Execution, callbacks: Sequence[Callback] = ()) -> Run:
        hearing = (*self.callbacks, *callbacks)
        return Run(self.connection, self.stack, execution, callbacks=hearing)

    def __getstate__(self) -> dict[str, Any]:
        # A callback may have files, connections and secrets.
        return {**vars(self), "callbacks": ()}

    def __deepcopy__(self, memo: object) -> Client:
        return self  # it has no state of its own, and its callbacks are to hear of all runs

    def __repr__(self) -> str:
        return f"Client({self.stack_name!r} at {self.connection.place})"
