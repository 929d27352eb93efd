"""The outcome of each state of an execution, in a word: the marks of its graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from stepml.graphs.machines import Machine
from stepml.records.visits import Iterations, Visit, VisitStatus
from stepml.reports.status_words import status_word

Status = VisitStatus | Literal["NOT_ENTERED"]
NOTHING = "nothing to do"
# Iterations differ: the status of their state is the first of these that one of them has.
URGENCY: tuple[VisitStatus, ...] = (
    "FAILED",
    "TIMED_OUT",
    "RUNNING",
    "ABORTED",
    "CAUGHT",
    "SUCCEEDED",
)


@dataclass(frozen=True, slots=True)
class Mark:
    """The outcome of a state.

    Attributes
    ----------
    status : str
        That of the last visit; of the iterations of a Map's last visit, the most urgent one.
    visits : int
        Their number; of the iterations, in the Map's last visit.
    iterations : Iterations or None
        Those of a Map's last visit.
    """

    status: Status = "NOT_ENTERED"
    visits: int = 0
    iterations: Iterations | None = None

    @property
    def words(self) -> str:
        """The mark for a person: ``running, visited 3 times, 12 of 40 iterations succeeded``."""
        times = f", visited {self.visits:,} times" if self.visits > 1 else ""
        return f"{status_word(self.status)}{times}" + (
            f", {iterations_in_words(self.iterations)}" if self.iterations else ""
        )


def iterations_in_words(iterations: Iterations) -> str:
    """Return the numbers of a Map's iterations: ``38 of 40 iterations succeeded, 1 failed``.

    A Map without any, such as that of data that another job has partitioned, had nothing to do.
    """
    if not iterations.total:
        return NOTHING
    parts = [f"{iterations.succeeded:,} of {iterations.total:,} iterations succeeded"]
    if iterations.failed:
        parts.append(f"{iterations.failed:,} failed")
    if iterations.aborted:
        parts.append(f"{iterations.aborted:,} stopped")
    return ", ".join(parts)


def marks(machine: Machine, visits: Iterable[Visit]) -> dict[str, Mark]:
    """Return the mark of each state by its name, from visits in the order of their beginning."""
    by_state: dict[str, list[Visit]] = {each.name: [] for each in machine.all_states}
    for visit in visits:
        by_state.setdefault(visit.state, []).append(visit)
    return {name: _mark(found) for name, found in by_state.items()}


def _mark(visits: list[Visit]) -> Mark:
    if not visits:
        return Mark()
    last = visits[-1]
    if last.iteration is None:
        return Mark(last.status, len(visits), last.iterations)
    newest = max(each.map_event or 0 for each in visits)
    found = [each for each in visits if (each.map_event or 0) == newest]
    statuses = {each.status for each in found}
    status = next(each for each in URGENCY if each in statuses)
    return Mark(status, len(found), last.iterations)
