"""The functions of an epoch over time: where each rank spent its seconds, and who held it up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stepml.console.addresses import epoch_address, job_address, number_in
from stepml.console.widgets.bars import Bars
from stepml.console.widgets.charts import LineChart
from stepml.console.widgets.inputs import Input
from stepml.console.widgets.part import Part
from stepml.console.widgets.report_table import NumbersBehind
from stepml.console.widgets.tags import Tag, button
from stepml.job.parts import FunctionTimes
from stepml.job.reports import EpochReport
from stepml.reports.attempt_table import function_table
from stepml.reports.figures import count
from stepml.reports.timelines import (
    ORDER_TEXT,
    PARTS,
    ROLES,
    epoch_words,
    part_lines,
    timeline_rows,
)


class Timeline:
    """The timeline of one epoch.

    Parameters
    ----------
    job : str, optional
        The job's name, for the link to the page of the epoch; without it, there is no link.
    """

    def __init__(self, job: str = "") -> None:
        self._job = job
        self._epoch, self._functions = 0, list[FunctionTimes]()
        with Part("p"):
            self._words = Tag("span")
            self._link = Tag("a" if job else "span", classes="beside")
        self._bars = Bars("", "s", PARTS)
        self._left_out = Tag("p", classes="small")
        self._numbers = NumbersBehind(
            "The numbers of this timeline", lambda: function_table({self._epoch: self._functions})
        )

    def show(self, report: EpochReport, functions: Sequence[FunctionTimes]) -> None:
        """Show the functions of the epoch with this report."""
        self._epoch, self._functions = report.epoch, list(functions)
        rows, left_out = timeline_rows(report, functions)
        self._words.say(epoch_words(report))
        if self._job:
            self._link.say(f"Open epoch {report.epoch}")
            self._link.put(href=epoch_address(self._job, report.epoch))
        title = f"Functions of epoch {report.epoch}, seconds since its start"
        slow = {ROLES["rank"].format(rank) for rank in report.stragglers}
        self._bars.show(rows, title, slow)
        more = f"{count(left_out, 'rank')} left out. " if left_out else ""
        self._left_out.say(more + ORDER_TEXT)
        self._numbers.update()


class EpochTimes:
    """The seconds of the median rank in each epoch, by part; a click leads to the timeline.

    Parameters
    ----------
    job : str
        The job's name.
    """

    def __init__(self, job: str) -> None:
        self._chart = LineChart(
            "Seconds of the median rank in each epoch, by part",
            "epoch",
            address_of=lambda epoch: f"{job_address(job, epoch=int(epoch))}#time",
        )

    def show(self, reports: Sequence[EpochReport]) -> None:
        """Show these epochs; one alone has no course."""
        self._chart.figure.set_visibility(len(reports) > 1)
        self._chart.show(part_lines(reports))


class EpochChooser:
    """Chooses one of the finished epochs: by its number, the one before or after, or the newest.

    Parameters
    ----------
    chosen : int or None
        The epoch at first; None follows the newest one.
    on_choose : callable
        Called with the epoch that a person chooses.
    """

    def __init__(self, chosen: int | None, on_choose: Callable[[int | None], object]) -> None:
        self.chosen, self._on_choose = chosen, on_choose
        self._newest = 0
        with Part("div", "chooser", role="group", aria_label="Epoch of the timeline") as self._box:
            self._input = Input("Epoch", self._typed, "chooser", type="number", min=1)
            self._back = button("Previous", lambda: self._step(-1))
            self._on = button("Next", lambda: self._step(1))
            self._latest = button("Newest", lambda: self._choose(None))

    @property
    def epoch(self) -> int:
        """The chosen epoch, of those that are finished; 0 if none is."""
        return min(self.chosen or self._newest, self._newest)

    def show(self, newest: int) -> None:
        """Let the person choose from 1 to the newest finished epoch; 0: nothing yet."""
        self._newest = newest
        self._box.set_visibility(newest > 0)
        epoch = self.epoch
        self._input.control.put(max=newest)
        self._input.show(str(epoch))
        self._back.put(disabled=epoch <= 1)
        self._on.put(disabled=epoch >= newest)
        self._latest.put(aria_pressed="true" if self.chosen is None else "false")

    def _typed(self, text: str) -> None:
        if epoch := number_in(text):
            self._choose(min(epoch, self._newest))
        self._input.correct(str(self.epoch))

    def _step(self, by: int) -> None:
        self._choose(min(max(self.epoch + by, 1), self._newest))

    def _choose(self, epoch: int | None) -> None:
        self.chosen = epoch
        self.show(self._newest)
        self._on_choose(epoch)
