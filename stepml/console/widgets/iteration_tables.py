"""The iterations of an epoch's Maps: its ranks, and its ranges, chunks and slices."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from stepml.client.epoch_runs import MapRun
from stepml.client.iterations import IterationRun
from stepml.console.widgets.table import Cell, Column, Table
from stepml.console.widgets.tags import Tag
from stepml.console.widgets.trail import Choice, Trail
from stepml.graphs.marks import iterations_in_words
from stepml.graphs.visit_words import seconds_text
from stepml.job.errors import ExecutorPausedError
from stepml.reports.figures import on_its_own, shortened

MOST_OF_ERROR = 300  # characters
PAUSED = ExecutorPausedError.__name__
FIRST = ("FAILED", "TIMED_OUT", "RUNNING", "ABORTED", "CAUGHT", "WAITING", "SUCCEEDED")


class IterationTables:
    """A table for each visit of a Map.

    Parameters
    ----------
    trail : Trail
    own : str
        The name of the epoch's execution.
    sorted_by : str
        As of `Table`.
    on_sort : callable
        Called with the new ``sorted_by``.
    """

    def __init__(
        self, trail: Trail, own: str, sorted_by: str, on_sort: Callable[[str], object]
    ) -> None:
        self._trail, self._own = trail, own
        self._sorted_by, self._on_sort = sorted_by, on_sort
        self._losses: Mapping[int, float] = {}
        self._box = Tag("div")
        self._tables: dict[Hashable, tuple[Tag, Table[IterationRun]]] = {}

    def show(
        self, maps: Sequence[MapRun], choice: Choice, losses: Mapping[int, float] | None = None
    ) -> None:
        """Show the iterations of these visits, and which of them is chosen.

        ``losses`` are the training losses of ranks, None as long as they are unknown.
        """
        self._losses = self._losses if losses is None else losses
        with self._box:
            for each in maps:
                if any(iteration.visits for iteration in each.iterations):
                    self._show(each, choice)

    def _show(self, found: MapRun, choice: Choice) -> None:
        key = found.visit.first_event
        if key not in self._tables:
            self._tables[key] = Tag("h3"), self._table(found)
        heading, table = self._tables[key]
        numbers = found.visit.iterations
        heading.say(
            found.visit.state + (f": {iterations_in_words(numbers)}" if numbers is not None else "")
        )
        table.show(sorted(found.iterations, key=_urgency))
        chosen = (each for each in found.iterations if self._is_chosen(each, choice))
        table.mark(next(map(_key, chosen), None))

    def _table(self, found: MapRun) -> Table[IterationRun]:
        unit = next((each.unit for each in found.iterations), "iteration")
        return Table(
            self._columns(unit),
            _key,
            f"Iterations of {found.visit.state}",
            self._sorted_by,
            self._on_sort,
            on_choose=lambda each: self._trail.choose(self._of(each)),
        )

    def _columns(self, unit: str) -> list[Column[IterationRun]]:
        loss: list[Column[IterationRun]] = [
            Column("loss", "Training loss", self._loss, self._loss_of, True)
        ]
        return [
            Column(unit, unit.capitalize(), self._name, lambda each: each.item, True),
            Column("status", "Status", _status, _urgency),
            Column("calls", "Attempts", _calls, lambda each: len(each.attempts), True),
            Column("seconds", "Seconds", _seconds, lambda each: each.seconds, True),
            *(loss if unit == "rank" else []),
        ]

    def _loss(self, each: IterationRun) -> Cell:
        loss = self._loss_of(each)
        return Cell("" if loss is None else on_its_own(loss, 6))

    def _loss_of(self, each: IterationRun) -> float | None:
        return self._losses.get(each.item) if each.unit == "rank" else None

    def _name(self, each: IterationRun) -> Cell:
        address = self._trail.address(self._of(each)) if each.visits else None
        return Cell(str(each.item), address)

    def _of(self, each: IterationRun) -> Choice:
        last = each.visits[-1] if each.visits else None
        execution = each.execution.rpartition(":")[2]
        return Choice(
            last.state if last else each.map,
            last.first_event if last else None,
            execution="" if execution == self._own else execution,
        )

    def _is_chosen(self, each: IterationRun, choice: Choice) -> bool:
        is_there = self._of(each).execution == choice.execution
        return is_there and choice.visit in {visit.first_event for visit in each.visits}


def _key(each: IterationRun) -> Hashable:
    return each.execution, each.index


def _urgency(each: IterationRun) -> int:
    return FIRST.index(each.status)


def _calls(each: IterationRun) -> Cell:
    return Cell(str(len(each.attempts)))


def _seconds(each: IterationRun) -> Cell:
    return Cell(seconds_text(each.seconds))


def _status(each: IterationRun) -> Cell:
    why = lost_words(each) if each.failure is None else str(each.failure)
    return Cell.of_status(each.status, shortened(why, MOST_OF_ERROR))


def lost_words(each: IterationRun) -> str:
    """Return the attempts of an iteration that failed before it succeeded, with the last error.

    Those that paused, as their time was out, have lost nothing.
    """
    failures = [attempt.failure for attempt in each.attempts if attempt.failure is not None]
    lost = [failure for failure in failures if failure.error != PAUSED]
    return f"{len(lost)} lost: {lost[-1]}" if lost else ""
