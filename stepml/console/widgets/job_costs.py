"""The money and the time of a job, by what they were spent on."""

from __future__ import annotations

from stepml.console.widgets.bars import Bars
from stepml.console.widgets.tags import Tag
from stepml.reports.costs import COST_TITLE, PREPARATION_TITLE, cost_rows, preparation_rows
from stepml.reports.phases import PHASE_TITLE, phase_rows
from stepml.reports.run_page import cost_text
from stepml.reports.run_record import RunRecord


class JobCosts:
    """Charts of the cost so far by what it pays for, and of the seconds by phase."""

    def __init__(self) -> None:
        self._text = Tag("p", classes="soft")
        with Tag("div", classes="charts"):
            self._costs, self._preparation = Bars(COST_TITLE), Bars(PREPARATION_TITLE)
            self._phases = Bars(PHASE_TITLE)

    def show(self, record: RunRecord) -> None:
        """Show the costs and times of a job so far."""
        costs = cost_rows(record)
        self._text.say(cost_text(record) if costs else "No epoch has ended yet.")
        self._costs.show(costs)
        self._preparation.show(preparation_rows(record))
        self._phases.show(phase_rows(record))
