"""A job's facts as tables, pictures and pages, for notebooks and terminals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

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
