"""One job of a stack, as an object with all that a person asks of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from stepml.client import retrying, stopping, transfers
from stepml.client.arns import connection_of, train_execution
from stepml.client.callbacks import Callback, Notifier, checked_callbacks
from stepml.client.connection import Connection
from stepml.client.live import shown_live, unseen
from stepml.client.objects import ABSENT
from stepml.client.retry_choices import RetryChoices, retry_choices
from stepml.client.run_views import RunViews
from stepml.client.stack import Stack, find_stack
from stepml.client.stopping import Stopped
from stepml.client.watching import Sleep, Snapshot, sleep_within, until_ended
from stepml.records.errors import RunFailedError, ServiceRefusedError
from stepml.records.execution import SUCCEEDED, Execution
from stepml.records.retry_plan import Retried, RetryPlan, StopPlan

if TYPE_CHECKING:
    from stepml.trained_model import TrainedModel


class Run(RunViews):
    """A job of a stack, which runs or has ended; see `Client.run`, `Client.find` and `from_arn`.

    Every property asks AWS anew. ``await run`` waits as `wait` does, and blocks no event loop.

    Attributes
    ----------
    connection : Connection
    stack : Stack
    execution : Execution
        The execution of the state machine ``train``.
    retried : Retried or None
        How it was resumed, if `retry` has returned it.
    callbacks : tuple of Callback
        They hear of the run whenever it is waited for.
    """

    def __init__(
        self,
        connection: Connection,
        stack: Stack,
        execution: Execution,
        retried: Retried | None = None,
        callbacks: Iterable[Callback] = (),
    ) -> None:
        super().__init__(connection, stack, execution)
        self.retried = retried
        self.callbacks: tuple[Callback, ...] = checked_callbacks(callbacks)

    @classmethod
    def from_arn(
        cls,
        arn: str,
        *,
        profile: str | None = None,
        endpoint_url: str | None = None,
        connection: Connection | None = None,
    ) -> Run:
        """Return the run with this ARN; the ARN names the region and the stack.

        Parameters
        ----------
        arn : str
            Of an execution of a state machine ``<stack>-train``.
        profile, endpoint_url : str, optional
            As for `Client`. Without them, an ARN of the local AWS is looked up there.
        connection : Connection, optional
            Takes the place of all of these.

        Raises
        ------
        ExecutionNotFoundError
            It is no such ARN, or there is no such job.
        AccessError
            The account cannot be used, or has no such stack.
        """
        found = train_execution(arn)
        if connection is None:
            connection = connection_of(found, endpoint_url, profile)
        run = cls(connection, find_stack(connection, found.stack), found.execution)
        _ = run.state  # raises if there is no such job
        return run

    def wait(
        self,
        timeout_s: float | None = None,
        *,
        check: bool = True,
        on_snapshot: Callable[[Snapshot], object] | None = None,
        callbacks: Iterable[Callback] = (),
        show: bool = True,
    ) -> Run:
        """Wait until the job has ended, and return this run.

        A notebook shows its progress meanwhile.

        Parameters
        ----------
        timeout_s : float, optional
            The job goes on after a time-out.
        check : bool
            Whether a job that ends without a model raises `RunFailedError`.
        on_snapshot : callable, optional
            Called with every `Snapshot` of the job.
        callbacks : iterable of Callback
            They hear of this wait, beside those of the run.
        show : bool
            Whether a notebook shows the progress.

        Raises
        ------
        TimeoutError
            The job has not ended after ``timeout_s`` seconds.
        RunFailedError
            It failed, ran out of time or was stopped.
        """
        notify = Notifier(self, (*self.callbacks, *checked_callbacks(callbacks)))
        with shown_live(self) if show else nullcontext(unseen) as look:
            for snapshot in self.watch(sleep_within(timeout_s, self.name)):
                look(snapshot)
                notify(snapshot)
                if on_snapshot is not None:
                    on_snapshot(snapshot)
        return self._checked() if check else self

    def __await__(self) -> Generator[Any, None, Run]:
        return self._ended().__await__()

    async def _ended(self) -> Run:
        from asyncio import to_thread

        notify = Notifier(self, self.callbacks)
        with shown_live(self) as look:

            def show(snapshot: Snapshot) -> None:
                look(snapshot)
                notify(snapshot)

            await until_ended(self, show)
        return await to_thread(self._checked)

    def _checked(self) -> Run:
        failure = self.failure
        if failure is not None:
            raise RunFailedError(self.name, failure)
        return self

    def model(self, code: str | Path | None = None) -> TrainedModel:
        """Return the trained model, after waiting for the end of the job.

        Parameters
        ----------
        code : str or Path, optional
            As of `load_model`: the code of a network or model of one's own, which then runs here.

        Raises
        ------
        RunFailedError
            The job has ended without one.
        """
        return self._model if code is None else self._loaded(code)

    @cached_property
    def _model(self) -> TrainedModel:
        return self._loaded(None)

    def _loaded(self, code: str | Path | None) -> TrainedModel:
        from stepml.model_loading import load_model  # which needs NumPy

        if self.status != SUCCEEDED:
            self.wait()
        with TemporaryDirectory() as directory:
            self.download(Path(directory))
            return load_model(directory, code=code)

    def predict(self, X: Any, code: str | Path | None = None) -> Any:
        """Return the model's prediction for each row; see `TrainedModel.predict`.

        ``code`` is that of `model`.
        """
        return self.model(code).predict(X)

    def download(self, directory: str | Path) -> dict[str, Path]:
        """Copy the job's model, its card, report and history to ``directory``; return their paths.

        Raises
        ------
        RunFailedError
            The job has ended without a model.
        ServiceRefusedError
            It has no model yet, or its results have been deleted.
        OSError
            ``directory`` cannot be written; nothing has changed there.
        """
        place = Path(directory)
        try:
            return transfers.download_results(self.connection, self.stack, self.name, place)
        except ServiceRefusedError as error:
            if error.code not in ABSENT:
                raise
            state = self._checked().state
            why = "its results are deleted" if state.ended else "it is running"
            raise ServiceRefusedError(error.code, f"{self.name} has no model: {why}") from error

    def retry(
        self, epoch: int | None = None, name: str | None = None, sleep: Sleep = time.sleep
    ) -> Run:
        """Resume a job that failed, timed out or was stopped, or train it again from an epoch.

        Finished epochs are not trained again. If Step Functions can redrive the execution, it
        does; otherwise a new execution takes over what the job has finished. The returned run
        has the execution that trains now, and says in ``retried`` how and why.

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
        retried = retrying.retry(self.connection, self.stack, self.execution, epoch, name, sleep)
        return Run(self.connection, self.stack, retried.execution, retried, self.callbacks)

    def retry_plan(self, epoch: int | None = None, name: str | None = None) -> RetryPlan:
        """Return the plan of `retry` with these arguments; nothing is done.

        Raises
        ------
        RetryRefusedError
            It would be refused; the message is the same.
        ExecutionNotFoundError
            There is no such job.
        """
        return self.retry_choices.plan(epoch, name)

    @property
    def retry_choices(self) -> RetryChoices:
        """The plans of all retries: `RetryChoices.plan` makes one without a request."""
        return retry_choices(self.connection, self.stack, self.execution)

    def stop_plan(self) -> StopPlan:
        """Return the plan of `stop`; nothing is done."""
        return stopping.stop_plan(self.connection, self.stack, self.state)

    def stop(self, cause: str = "by stepml.Run", sleep: Sleep = time.sleep) -> Stopped:
        """Stop the job: its executions at once, its functions at their next batch or wait.

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
        return stopping.stop(self.connection, self.stack, lambda: self.state, cause, sleep)

    def __eq__(self, other: object) -> bool:
        return self.arn == other.arn if isinstance(other, Run) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.arn)
