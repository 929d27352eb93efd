"""The chosen state of an execution: its visits, and one of them in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stepml.console.widgets.part import Part
from stepml.console.widgets.table import Cell, Column, Table
from stepml.console.widgets.tags import Tag
from stepml.console.widgets.trail import Choice, Trail
from stepml.console.widgets.visit_view import VisitView
from stepml.graphs.machines import Machine
from stepml.graphs.visit_words import clock, seconds_text
from stepml.records.visits import Visit
from stepml.reports.figures import shortened

NOTHING = "Choose a state of the graph to see its input, output, error and log."
PAGE_ROWS = 10
MOST_OF_ERROR = 300  # characters


class StatePanel:
    """The visits of the chosen state.

    Parameters
    ----------
    trail : Trail
    """

    def __init__(self, trail: Trail) -> None:
        self._trail, self._choice = trail, Choice()
        with Part("section", "state-panel", aria_label="The chosen state") as self._panel:
            self._title = Tag("h3", "State", tabindex=-1)
            self._about = Tag("p", NOTHING, "soft")
            with Tag("details") as self._several:
                self._how_many = Tag("summary")
                self._table = self._visits_table()
            self._one = Tag("div")
        self._view: VisitView | None = None
        self._several.set_visibility(False)

    def show(self, machine: Machine, visits: Sequence[Visit], choice: Choice) -> None:
        """Show the chosen state; ``visits`` are those of the execution, the oldest first."""
        if choice.state != self._choice.state:
            self._several.put(open=choice.visit is None)
        self._choice = choice
        found = [each for each in reversed(visits) if each.state == choice.state]
        self._title.say(choice.state or "State")
        self._about.say(_about(machine, choice, found))
        self._several.set_visibility(len(found) > 1)
        if len(found) > 1:
            self._how_many.say(f"All {len(found):,} visits")
            self._table.show(found)
        visit = _chosen(found, choice.visit)
        self._one.set_visibility(visit is not None)
        if visit is not None:
            self._table.mark(visit.first_event)
            self._visit_view().show(replace(choice, visit=visit.first_event), visit)

    def _visit_view(self) -> VisitView:
        if self._view is None:
            with self._one:
                self._view = VisitView(self._trail)
        return self._view

    def focus(self) -> None:
        """Move the focus to the panel, so that keyboard and screen reader go on there."""
        self._title.run_method("focus")

    def _visits_table(self) -> Table[Visit]:
        return Table(
            self._columns(),
            lambda each: each.first_event,
            "Visits of the state, the newest first",
            page_rows=PAGE_ROWS,
            on_choose=self._choose,
        )

    def _of(self, visit: Visit) -> Choice:
        return Choice(visit.state, visit.first_event, execution=self._choice.execution)

    def _choose(self, visit: Visit) -> None:
        self._trail.choose(self._of(visit))

    def _columns(self) -> list[Column[Visit]]:
        return [
            Column("visit", "Entered (UTC)", self._entered),
            Column("work", "Work", lambda each: Cell(each.work, classes="whole")),
            Column("status", "Status", _status),
            Column("seconds", "Seconds", lambda each: Cell(seconds_text(each.seconds)), None, True),
        ]

    def _entered(self, visit: Visit) -> Cell:
        return Cell(clock(visit.entered_at), self._trail.address(self._of(visit)), "time")


def _chosen(visits: Sequence[Visit], event: int | None) -> Visit | None:
    """Return the visit that begins with this event, or the newest one."""
    newest = visits[0] if visits else None
    return next((each for each in visits if each.first_event == event), newest)


def _about(machine: Machine, choice: Choice, visits: Sequence[Visit]) -> str:
    if choice.state is None:
        return NOTHING
    state = next((each for each in machine.all_states if each.name == choice.state), None)
    if state is None:
        return "" if visits else f"The state machine has no state {choice.state}."
    described = f"{state.kind}. {state.comment}" if state.comment else ""
    parts = [described, "" if visits else "It has not been entered so far."]
    return " ".join(filter(None, parts))


def _status(visit: Visit) -> Cell:
    why = "" if visit.failure is None else shortened(str(visit.failure), MOST_OF_ERROR)
    return Cell.of_status(visit.status, why)
