"""Says that the first epochs of a job are those of another one, with the way to that."""

from __future__ import annotations

from stepml.console.addresses import job_address
from stepml.console.widgets.tags import Tag, link
from stepml.reports.run_record import RunRecord
from stepml.reports.taken_over import TakenOver, taken_over


class TakenLine:
    """A line on the epochs that a job has taken over; nothing if there are none."""

    def __init__(self) -> None:
        self._line = Tag("p", classes="soft long")
        self._line.set_visibility(False)
        self._shown: TakenOver | None = None

    def show(self, record: RunRecord) -> None:
        """Show those of a run."""
        taken = taken_over(record)
        if taken == self._shown:
            return
        self._shown = taken
        self._line.clear()
        self._line.set_visibility(taken is not None)
        if taken is not None:
            with self._line:
                Tag("span", f"{taken.whose} ".capitalize())
                link(taken.job, job_address(taken.job))
