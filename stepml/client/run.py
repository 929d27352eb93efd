"""One job of a stack, as an object with all that a person asks of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from stepml.client.epoch_list import Epochs
from stepml.client.libraries import require_plots
from stepml.client.live import html_of, in_notebook, show, shown_live, unseen
from stepml.client.run_records import record_of
from stepml.client.watching import Snapshot, watch
from stepml.records.errors import RunFailedError
from stepml.records.execution import SUCCEEDED, Execution, ExecutionState
from stepml.reports.courses import axis_named

if TYPE_CHECKING:
    from stepml.client.client import Client
    from stepml.client.logs import LogLine
    from stepml.client.stopping import Stopped
    from stepml.job.reports import JobReport
    from stepml.records.failures import Failure
    from stepml.reports.fragments import Page
    from stepml.reports.run_record import RunRecord
    from stepml.reports.self_showing import Plot
    from stepml.trained_model import TrainedModel


class Run:
    """A job of a stack, which runs or has ended; see `Client.run` and `Client.find`.

    Every property asks AWS anew.
    """

    def __init__(self, client: Client, execution: Execution) -> None:
        self.client = client
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
        """The state of the execution."""
        return self.client.describe(self.execution)

    @property
    def status(self) -> str:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE, as AWS names them."""
        return self.state.status

    def wait(
        self,
        timeout_s: float | None = None,
        *,
        check: bool = True,
        on_snapshot: Callable[[Snapshot], object] | None = None,
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
        show : bool
            Whether a notebook shows the progress.

        Raises
        ------
        TimeoutError
            The job has not ended after ``timeout_s`` seconds.
        RunFailedError
            It failed, ran out of time or was stopped.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with shown_live(self) if show else nullcontext(unseen) as look:
            for snapshot in self.watch():
                look(snapshot)
                if on_snapshot is not None:
                    on_snapshot(snapshot)
                is_late = deadline is not None and time.monotonic() > deadline
                if is_late and not snapshot.state.ended:
                    raise TimeoutError(f"{self.name} has not ended after {timeout_s:g} seconds")
        if check and (failure := self.failure) is not None:
            raise RunFailedError(self.name, failure)
        return self

    def watch(self) -> Iterator[Snapshot]:
        """Yield snapshots until the job has ended; the last one is complete."""
        return watch(self.client, self.execution)

    @property
    def epochs(self) -> Epochs:
        """Every attempt at every epoch so far, in the order of their start."""
        return Epochs(self.client.epochs(self.execution))

    @property
    def result(self) -> JobReport | None:
        """The report of a job that has ended with a model, or None."""
        return self.client.report(self.execution)

    @property
    def record(self) -> RunRecord:
        """Everything that is known of the job; plots, reports and comparisons are made of it."""
        return record_of(self.client, self.execution)

    @property
    def failure(self) -> Failure | None:
        """The failure that ended the job, with rank and log group; None if there is none."""
        return self.client.failure(self.execution)

    @property
    def cost(self) -> float | None:
        """The estimated US dollars so far; None before the first epoch has ended."""
        return self.record.cost_usd

    def plot(self, by: str = "epoch") -> Plot:
        """Return a figure of loss, metrics and time of ranks; a notebook shows it.

        Parameters
        ----------
        by : str
            ``epoch``, ``second`` (of training) or ``dollar``: the effort below the curves.

        Raises
        ------
        LibraryMissingError
            matplotlib is not installed.
        """
        axis = axis_named(by)
        require_plots()
        from stepml.reports.run_plot import run_figure

        return run_figure(self.record, axis)

    def report(self) -> Page:
        """Return the report as a page of HTML: notebooks show it, `Page.save` writes it."""
        from stepml.reports.fragments import Page  # which needs the library for templates
        from stepml.reports.run_page import run_page

        return Page(run_page(self.record), f"report on {self.name}")

    def logs(self, rank: int | None = None) -> list[LogLine]:
        """Return the log lines of the job's functions, of one rank or all, oldest first."""
        return self.client.logs(self.execution, rank)

    def model(self) -> TrainedModel:
        """Return the trained model.

        Raises
        ------
        RunFailedError
            The job has ended without one.
        """
        return self._model

    @cached_property
    def _model(self) -> TrainedModel:
        from stepml.model_loading import load_model  # which needs NumPy

        if self.status != SUCCEEDED:
            self.wait()
        with TemporaryDirectory() as directory:
            self.download(Path(directory))
            return load_model(directory)

    def predict(self, X: Any) -> Any:
        """Return the model's prediction for each row; see `TrainedModel.predict`."""
        return self.model().predict(X)

    def download(self, directory: Path) -> dict[str, Path]:
        """Copy the model, its card, report and history to ``directory``; return their paths."""
        return self.client.download(self.execution, directory)

    def retry(self, epoch: int | None = None, name: str | None = None) -> Run:
        """Resume the job, or train it again from an epoch; see `Client.retry`."""
        return Run(self.client, self.client.retry(self.execution, epoch, name).execution)

    def stop(self, cause: str = "by stepml.Run") -> Stopped:
        """Stop the job; it can be resumed: see `retry`."""
        return self.client.stop(self.execution, cause)

    def __repr__(self) -> str:
        return f"Run({self.name!r})"

    def _ipython_display_(self) -> None:
        if not in_notebook():
            raise NotImplementedError  # so that IPython asks for other forms
        show(self)

    def _repr_html_(self) -> str:
        return html_of(self.record)
