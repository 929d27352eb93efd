"""The visits of states in a job's executions, the newest first, one in a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stepml.client.histories import Seen
from stepml.console.executions_board import ExecutionsNow
from stepml.console.feeds import Feed
from stepml.console.live import Follower
from stepml.console.widgets.folded import Folded
from stepml.console.widgets.table import Cell, Column, Table
from stepml.console.widgets.trail import Choice
from stepml.graphs.visit_words import clock, seconds_text
from stepml.records.visits import Visit
from stepml.reports.figures import shortened

Happened = tuple[str, Visit]  # the name of the execution, and a visit in it
SUMMARY = "Everything that happened, the newest first"
MOST_CHARACTERS = 200  # of an error


class Chronology:
    """A table that is made when a person opens it.

    Parameters
    ----------
    feed : Feed
        Of the job's executions.
    address : callable
        Returns the address of the present view with a choice of its graph.
    """

    def __init__(self, feed: Feed[ExecutionsNow], address: Callable[[Choice], str]) -> None:
        self._feed, self._address = feed, address
        self._folded = Folded(SUMMARY, self._follow, self._leave)
        with self._folded.body:
            self._follower: Follower[ExecutionsNow] = Follower("the history of the job")

    def _follow(self) -> None:
        self._follower.follow("history", lambda: self._feed, self._made)

    def _leave(self) -> None:
        self._follower.leave()

    def _made(self) -> Callable[[ExecutionsNow], object]:
        table: Table[Happened] = Table(self._columns(), _key, "Visits of states, the newest first")
        return lambda now: table.show(happened(now.seen))

    def _columns(self) -> list[Column[Happened]]:
        return [
            Column("entered", "Entered", lambda each: Cell(clock(each[1].entered_at))),
            Column("state", "State", self._state),
            Column("status", "Status", lambda each: Cell.of_status(each[1].status)),
            Column("seconds", "Seconds", _seconds, _order, True),
            Column("work", "Work", lambda each: Cell(each[1].work or "", classes="whole")),
            Column("error", "Error", _error),
        ]

    def _state(self, each: Happened) -> Cell:
        execution, visit = each
        return Cell(
            visit.state, self._address(Choice(visit.state, visit.first_event, None, execution))
        )


def happened(seen: Sequence[Seen]) -> list[Happened]:
    """Return the visits of executions that follow each other, the newest first."""
    return [
        (each.arn.rpartition(":")[2], visit)
        for each in reversed(seen)
        for visit in reversed(each.visits)
    ]


def _key(each: Happened) -> tuple[str, int]:
    return each[0], each[1].first_event


def _seconds(each: Happened) -> Cell:
    return Cell(seconds_text(each[1].seconds))


def _order(each: Happened) -> float | None:
    return each[1].seconds


def _error(each: Happened) -> Cell:
    failure = each[1].failure
    return Cell("" if failure is None else shortened(str(failure), MOST_CHARACTERS), classes="long")
