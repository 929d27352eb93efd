"""Reads the histories of executions in pages, each event once, and makes visits of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.records.errors import ExecutionNotFoundError, ServiceRefusedError
from stepml.records.open_visits import Event
from stepml.records.tracing import Tracer, enclosing_maps
from stepml.records.visits import Visit, VisitStatus

PAGE = 1000  # events: the limit of AWS
MOST_EVENTS = 25_000  # of an execution
SMALL_PAGE = 10  # of a look when nothing is expected


@dataclass(frozen=True, slots=True)
class Seen:
    """An execution as its history shows it at one moment."""

    arn: str
    status: VisitStatus
    visits: tuple[Visit, ...]  # in the order of their begin
    is_whole: bool  # False: older events are not read yet; the first visits are missing
    last_event: int  # id of the newest event; two looks with the same one and `is_whole` are equal

    @property
    def ended(self) -> bool:
        """Whether the execution is over; only a redrive can change it."""
        return self.status != "RUNNING"

    def latest(self) -> dict[str, Visit]:
        """Return the last visit of each state."""
        return {each.state: each for each in self.visits}


class History:
    """The history of an execution; every look reads only the events that are new.

    Threads may share it.

    Parameters
    ----------
    connection : Connection
    arn : str
        Of the execution.
    page : int
        The number of events that a request asks for; AWS allows up to 1000.
    """

    def __init__(self, connection: Connection, arn: str, page: int = PAGE) -> None:
        self.connection = connection
        self.arn = arn
        self._page = page
        self._tracer = Tracer()
        self._last: Seen | None = None
        self._older = ""  # the token of the page before the oldest event that is read
        self._expected = page
        self._looking = Lock()

    @cached_property
    def machine(self) -> dict[str, Any]:
        """The definition of the state machine when the execution started."""
        states = self.connection.client("stepfunctions")
        with self._found():
            found = states.describe_state_machine_for_execution(executionArn=self.arn)
        definition: dict[str, Any] = json.loads(found["definition"])
        return definition

    def look(self, older_pages: int = 1) -> Seen:
        """Return the visits of the execution so far.

        The first look reads the newest page of events. Each look reads those that are new since,
        and ``older_pages`` of older ones, until the history is whole.

        Raises
        ------
        ExecutionNotFoundError
            There is no such execution.
        AccessError
            Step Functions cannot be reached or refuses.
        """
        with self._looking:
            tracer, is_first = self._tracer, not self._tracer.last_event
            self._read_new(tracer)
            if is_first:
                self._place_states(tracer)
            else:
                self._read_older(tracer, older_pages)
            self._last = Seen(
                self.arn, tracer.status, tracer.visits, tracer.is_whole, tracer.last_event
            )
            return self._last

    def whole(self) -> Seen:
        """Return the visits of the execution so far, after reading all of its history."""
        seen = self.look()
        while not seen.is_whole:
            seen = self.look(older_pages=MOST_EVENTS)
        return seen

    def settled(self) -> Seen:
        """Return the visits of `whole`, without asking again once the execution is over."""
        last = self._last
        return last if last is not None and last.ended and last.is_whole else self.whole()

    def events(self, visit: Visit) -> list[Event]:
        """Return the events of a visit that a look has returned, with their data."""
        with self._looking:
            return self._tracer.events(visit)

    def _place_states(self, tracer: Tracer) -> None:
        if not tracer.is_whole:  # whose Maps are known, all but those of the missing events
            tracer.place_in(enclosing_maps(self.machine))

    def _read_new(self, tracer: Tracer) -> None:
        known, new = tracer.last_event, list[Event]()
        for events, token in self._pages(self._expected):
            fresh = [each for each in events if each["id"] > known]
            new += fresh
            if not known:
                self._older = token
                break
            if len(fresh) < len(events):
                break
        # As many events as came last time may come again.
        self._expected = min(self._page, max(SMALL_PAGE, 2 * len(new))) if known else SMALL_PAGE
        tracer.read(new)

    def _read_older(self, tracer: Tracer, most: int) -> None:
        older = list[Event]()
        try:
            for _ in range(most):
                if not self._older:
                    break
                events, self._older = next(self._pages(self._page, self._older))
                older += events
        finally:  # of a look that is refused, the pages before are kept
            tracer.read(older)

    @contextmanager
    def _found(self) -> Iterator[None]:
        """Translate the errors of AWS."""
        try:
            with translated(self.connection.endpoint_url):
                yield
        except ServiceRefusedError as error:
            if error.code in {"ExecutionDoesNotExist", "InvalidArn"}:
                place = self.connection.place
                raise ExecutionNotFoundError(f"no execution {self.arn} at {place}") from error
            raise

    def _pages(self, size: int, token: str = "") -> Iterator[tuple[list[Event], str]]:
        """Yield pages of events, the newest first, each with the token of the next one."""
        states = self.connection.client("stepfunctions")
        while True:
            with self._found():
                page: Any = states.get_execution_history(
                    executionArn=self.arn,
                    reverseOrder=True,
                    includeExecutionData=True,
                    maxResults=size,
                    **({"nextToken": token} if token else {}),
                )
            token = page.get("nextToken", "")
            yield page["events"], token
            if not token:
                return
