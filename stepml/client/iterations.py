"""Visits of an execution, and the iterations of its Maps, as lists that are tables as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from stepml.client.histories import Seen
from stepml.client.tabular import Row, Tabular
from stepml.records.failures import Failure
from stepml.records.json_answers import json_object
from stepml.records.visits import UNITS, Attempt, Visit, VisitStatus

if TYPE_CHECKING:
    from stepml.reports.tables import Table

IterationStatus = VisitStatus | Literal["WAITING"]


@dataclass(frozen=True, slots=True)
class IterationRun:
    """One iteration of a Map of an epoch: a rank, a range, a chunk or a slice."""

    map: str  # the state: RunExecutors, MergeChunks, …
    index: int  # in the Map, from 0
    unit: str  # rank, range, chunk or slice; "item" if it is unknown
    item: int  # its number
    status: IterationStatus  # WAITING: it has not begun
    visits: tuple[Visit, ...] = ()  # of the states inside, in their order
    execution: str = ""  # the ARN of the execution with these visits

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """All calls, in the order of their begin."""
        return tuple(each for visit in self.visits for each in visit.attempts)

    @property
    def started_at(self) -> datetime | None:
        """The begin of its first state; None while it waits."""
        return self.visits[0].entered_at if self.visits else None

    @property
    def ended_at(self) -> datetime | None:
        """The end of its last state; None while it runs."""
        return self.visits[-1].left_at if self.visits else None

    @property
    def seconds(self) -> float | None:
        """Its duration, with the pauses before retries; None while it runs."""
        begin, end = self.started_at, self.ended_at
        return None if begin is None or end is None else (end - begin).total_seconds()

    @property
    def failure(self) -> Failure | None:
        """Its last error, in its own words: the final one, or one that is being retried."""
        return self.visits[-1].failure if self.visits else None

    @property
    def name(self) -> str:
        """The iteration for people: ``rank 3``."""
        return f"{self.unit} {self.item}"


class IterationRuns(Tabular[IterationRun]):
    """The iterations of an epoch's Maps."""

    def rows(self) -> list[Row]:
        """Return a row for each iteration: Map, item, status, attempts, seconds and error."""
        return [
            {
                "map": each.map,
                "unit": each.unit,
                "item": each.item,
                "status": each.status,
                "attempts": len(each.attempts),
                "seconds": each.seconds,
                "error": None if each.failure is None else str(each.failure),
            }
            for each in self
        ]

    def _table(self) -> Table:
        from stepml.reports.visit_table import iteration_table

        return iteration_table(self.rows())


class Visits(Tabular[Visit]):
    """Every stay of an execution in a state, in the order of their begin."""

    def rows(self) -> list[Row]:
        """Return a row for each visit: state, iteration, status, attempts, seconds, error."""
        return [_visit_row(each) for each in self]

    def _table(self) -> Table:
        from stepml.reports.visit_table import visit_table

        return visit_table(self.rows())


def iterations_of(seen: Seen, visit: Visit) -> tuple[IterationRun, ...]:
    """Return the iterations of a visit of a Map, by index."""
    inside: dict[int, list[Visit]] = {}
    for each in seen.visits:
        if each.map_event == visit.first_event and each.iteration is not None:
            inside.setdefault(each.iteration, []).append(each)
    total = len(inside) if visit.iterations is None else visit.iterations.total
    unit = next((_unit(json_object(found[0].input)) for found in inside.values()), "item")
    items = _items(visit, unit)
    return tuple(
        IterationRun(
            map=visit.state,
            index=index,
            unit=unit,
            item=items[index] if index < len(items) else index,
            status=_status(visit, inside.get(index)),
            visits=tuple(inside.get(index, ())),
            execution=seen.arn,
        )
        for index in range(total)
    )


def _unit(task: Mapping[str, Any]) -> str:
    return next((each for each in UNITS if isinstance(task.get(each), int)), "item")


def _items(visit: Visit, unit: str) -> list[int]:
    """Return the items of a Map, which the states' input has by this name."""
    given = json_object(visit.input)
    for place in (given, given.get("restored")):
        found = place.get(f"{unit}s") if isinstance(place, dict) else None
        if isinstance(found, list) and all(isinstance(each, int) for each in found):
            return found
    return []


def _status(visit: Visit, inside: Sequence[Visit] | None) -> IterationStatus:
    if inside:
        return inside[-1].status
    # A redrive keeps the results of iterations that have succeeded before.
    return "SUCCEEDED" if visit.status == "SUCCEEDED" else "WAITING"


def _visit_row(visit: Visit) -> Row:
    failure = visit.failure
    return {
        "state": visit.state,
        "kind": visit.kind,
        "iteration": visit.iteration,
        "status": visit.status,
        "attempts": len(visit.attempts),
        "entered_at": visit.entered_at.isoformat(),
        "seconds": visit.seconds,
        "error": None if failure is None else str(failure),
    }
