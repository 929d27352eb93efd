"""One visit of a state: why it failed, its calls, their logs, its input, output and events."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from stepml.client.invocations import InvocationLog
from stepml.console.live import Follower
from stepml.console.widgets.event_list import EventList
from stepml.console.widgets.folded import Folded
from stepml.console.widgets.log_view import LogView
from stepml.console.widgets.signs import SignBeside
from stepml.console.widgets.table import Cell, Column, Table
from stepml.console.widgets.tags import Tag
from stepml.console.widgets.text_block import TextBlock, indented, unfolded
from stepml.console.widgets.trail import Choice, Events, Trail
from stepml.graphs.visit_words import clock, seconds_text, visit_in_words
from stepml.records.visits import Attempt, Visit


class VisitView:
    """A visit, and then another one.

    Parameters
    ----------
    trail : Trail
    """

    def __init__(self, trail: Trail) -> None:
        self._trail, self._choice = trail, Choice()
        with Tag("p", classes="visit-words"):
            self._sign = SignBeside("NOT_ENTERED")
            self._words = Tag("span")
        with Tag("p", classes="box failed") as self._failure:
            self._error = Tag("strong", classes="bad")
            self._message = Tag("span", classes="long")
        self._calls = _Calls(trail)
        self._log: Follower[InvocationLog] = Follower("the log")
        self._cause, self._call = TextBlock("Cause"), TextBlock("Call")
        self._input, self._output = TextBlock("Input"), TextBlock("Output")
        self._events = _FoldedEvents(trail)

    def show(self, choice: Choice, visit: Visit) -> None:
        """Show a visit; ``choice`` has the chosen attempt."""
        self._words.say(visit_in_words(visit))
        self._sign.show(visit.status)
        self._show_failure(visit)
        name = f"{visit.state}-{visit.first_event}"
        self._input.show(indented(visit.input), f"{name}-input.json")
        self._output.show(indented(visit.output or ""), f"{name}-output.json")
        called = chosen_call(visit, choice.call)
        self._call.show(indented(called.parameters if called else ""), f"{name}-call.json")
        self._calls.show(choice, visit, called)
        self._follow_log(choice, visit, called)
        self._events.show(choice, visit)

    def _show_failure(self, visit: Visit) -> None:
        failure = visit.failure
        self._failure.set_visibility(failure is not None)
        cause = visit.cause or ""
        if failure is not None:
            self._error.say(failure.error)
            self._message.say(f": {failure.message}" if failure.message else "")
            cause = "" if cause == failure.message else cause
        self._cause.show(unfolded(cause), f"{visit.state}-{visit.first_event}-cause.json")

    def _follow_log(self, choice: Choice, visit: Visit, called: Attempt | None) -> None:
        if called is None or called.function is None:
            self._log.leave()
            return
        key = (choice.execution, visit.first_event, called.number, called.ended_at)
        self._log.follow(
            key,
            partial(self._trail.ways.log, choice.execution, visit, called),
            lambda: LogView().show,
        )


def chosen_call(visit: Visit, number: int | None) -> Attempt | None:
    """Return the attempt with this number, or the last one; None if there is none."""
    last = visit.attempts[-1] if visit.attempts else None
    return next((each for each in visit.attempts if each.number == number), last)


class _FoldedEvents:
    """The events of a visit, read when a person unfolds them."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._visit: tuple[Choice, Visit] | None = None
        self._folded = Folded("Events of the history", self._draw)
        with self._folded.body:
            self._list: Follower[Events] = Follower("the events")

    def show(self, choice: Choice, visit: Visit) -> None:
        self._visit = choice, visit
        self._folded.update()

    def _draw(self) -> None:
        if self._visit is not None:
            choice, visit = self._visit
            key = (choice.execution, visit.first_event, visit.last_event)
            feed = partial(self._trail.ways.events, choice.execution, visit)
            self._list.follow(key, feed, lambda: EventList().show)


class _Calls:
    """The attempts of a Task, with the way to what each has called."""

    def __init__(self, trail: Trail) -> None:
        self._trail, self._choice = trail, Choice()
        with Tag("section") as self._section:
            Tag("h4", "Attempts")
            self._table: Table[Attempt] = Table(
                self._columns(),
                lambda each: each.number,
                "Attempts, the newest first",
                on_choose=self._choose,
            )

    def show(self, choice: Choice, visit: Visit, chosen: Attempt | None) -> None:
        self._choice = choice
        is_worth = len(visit.attempts) > 1 or any(each.child for each in visit.attempts)
        self._section.set_visibility(is_worth)
        if is_worth:
            self._table.show(visit.attempts[::-1])
            self._table.mark(chosen.number if chosen else None)

    def _of(self, attempt: Attempt) -> Choice:
        now = self._choice
        return Choice(now.state, now.visit, attempt.number, now.execution)

    def _choose(self, attempt: Attempt) -> None:
        child = self._trail.ways.child_address(attempt.child) if attempt.child else None
        if child:
            ui.navigate.to(child)
        else:
            self._trail.choose(self._of(attempt))

    def _columns(self) -> list[Column[Attempt]]:
        return [
            Column("call", "Attempt", self._call, is_number=True),
            Column("status", "Status", _status),
            Column("began", "Began (UTC)", _began),
            Column("s", "Seconds", lambda each: Cell(seconds_text(each.seconds)), None, True),
        ]

    def _call(self, attempt: Attempt) -> Cell:
        child = self._trail.ways.child_address(attempt.child) if attempt.child else None
        address = child or self._trail.address(self._of(attempt))
        return Cell(f"{attempt.number}: open its page" if child else str(attempt.number), address)


def _began(attempt: Attempt) -> Cell:
    return Cell(clock(attempt.started_at), classes="time")


def _status(attempt: Attempt) -> Cell:
    return Cell.of_status(attempt.status, "" if attempt.failure is None else str(attempt.failure))
