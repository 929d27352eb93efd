"""The loss and the metrics of a job by epoch, each epoch a way to its page."""

from __future__ import annotations

from stepml.console.addresses import epoch_address
from stepml.console.jobs_board import JobNow
from stepml.console.widgets.charts import LineChart
from stepml.console.widgets.tags import Tag
from stepml.reports.learning_curves import learning_lines
from stepml.reports.run_head import judged_rows


class JobLearning:
    """Charts of a job's epochs, live while it runs.

    Parameters
    ----------
    job : str
        The job's name, for the links to its epochs.
    """

    def __init__(self, job: str) -> None:
        self._job = job
        self._none = Tag("p", "No epoch has ended yet.", "soft")
        self._place = Tag("div", classes="charts")
        self._charts: dict[str, LineChart] = {}

    def show(self, now: JobNow) -> None:
        """Show the epochs so far, also those taken over from another job."""
        epochs = now.look.epochs
        self._none.set_visibility(not epochs)
        if not epochs:
            return
        for title, lines in learning_lines(epochs, judged_rows(now.record)):
            if title not in self._charts:
                with self._place:
                    self._charts[title] = LineChart(title, "epoch", address_of=self._address)
            self._charts[title].show(lines)

    def _address(self, epoch: float) -> str:
        return epoch_address(self._job, int(epoch))
