"""A job's facts as tables, pictures and pages, for notebooks and terminals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from stepml.client.epoch_runs import EpochRun, chosen_attempt
from stepml.client.epochs import attempts_at_epoch
from stepml.client.iterations import Visits
from stepml.client.job_histories import JobHistories
from stepml.client.live import forms_of, in_notebook, show
from stepml.client.run_facts import RunFacts
from stepml.client.run_records import record_of
from stepml.client.tabular import Epochs, Parts
from stepml.client.watching import Sleep, Snapshot, watch
from stepml.reports.courses import axis_named
from stepml.reports.libraries import require_plots

if TYPE_CHECKING:
    from stepml.reports.fragments import Page
    from stepml.reports.run_record import RunRecord
    from stepml.reports.self_showing import Plot


class RunViews(RunFacts):
    """A job that shows itself in notebooks, live while it runs."""

    def watch(
        self, sleep: Sleep = time.sleep, clock: Callable[[], float] = time.monotonic
    ) -> Iterator[Snapshot]:
        """Yield snapshots until the job has ended; the last one is complete."""
        return watch(self, sleep, clock)

    @property
    def epochs(self) -> Epochs:
        """Every attempt at every epoch so far, in the order of their start."""
        return Epochs(self.attempts_at(self.state))

    def epoch(self, epoch: int, attempt: int | None = None) -> EpochRun:
        """Return one attempt at an epoch: its execution, its ranks and their logs.

        Parameters
        ----------
        epoch : int
            From 1.
        attempt : int, optional
            From 1; by default the last one.

        Raises
        ------
        InvalidArgumentError
            There is no such epoch or attempt yet.
        """
        found = attempts_at_epoch(self.connection, self.stack, self.state, epoch)
        return EpochRun(self, chosen_attempt(found, epoch, attempt), len(found))

    @property
    def histories(self) -> JobHistories:
        """The histories of the job's executions: the first one, and those that continue it."""
        return JobHistories(self.connection, self.arn)

    @property
    def visits(self) -> Visits:
        """Every stay of the job's newest execution in a state; see `histories` for a long job's."""
        return Visits(self.histories.newest().whole().visits)

    @property
    def machine(self) -> dict[str, Any]:
        """The definition of the state machine ``train`` when the job's newest execution started."""
        return self.histories.newest().machine

    @property
    def parts(self) -> Parts:
        """The functions of all finished epochs: where their time went, and their traffic."""
        attempts = self.epochs
        functions = self.functions_by_epoch([each.report for each in attempts if each.report])
        return Parts.of(attempts, functions)

    @property
    def record(self) -> RunRecord:
        """Everything that is known of the job; plots, reports and comparisons are made of it."""
        return record_of(self)

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

    # IPython prefers a `__repr__` of a subclass to the methods below.
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _ipython_display_(self) -> None:
        if not in_notebook():
            raise NotImplementedError  # so that IPython asks for other forms
        show(self)

    def _repr_html_(self) -> str:
        return forms_of(self.record)["text/html"]

    def _repr_pretty_(self, printer: Any, is_cycle: bool) -> None:
        """Print a card in IPython's terminal."""
        printer.text(repr(self) if is_cycle else forms_of(self.record)["text/plain"])
