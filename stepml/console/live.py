"""Joins a view with the fact that it shows: loading, changes, and times without answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from nicegui import ui

from stepml.console.defects import defect
from stepml.console.feeds import Feed, Reading
from stepml.console.widgets.notices import Notice
from stepml.console.widgets.tags import Tag
from stepml.records.errors import ExecutionNotFoundError

T = TypeVar("T")


class Place(Generic[T]):
    """A part of a page that shows one fact after another; see `live` for one alone.

    Parameters
    ----------
    show : callable
        As of `live`.
    """

    def __init__(self, show: Callable[[T], object]) -> None:
        self._show = show
        self._notice = Notice()
        self._body = ui.element("div")
        self._has_shown = False
        self._leave: Callable[[], None] = lambda: None
        self._body.client.on_delete(self.end)

    def follow(self, feed: Feed[T], what: str) -> None:
        """Show this fact from now on, instead of the one before."""
        self.end()
        if not self._has_shown:  # what is shown stays until there is something newer
            self._notice.loading(what)
        self._leave = feed.follow(self._hear)

    def end(self) -> None:
        """Follow the fact no longer."""
        self._leave()

    def _hear(self, reading: Reading[T]) -> None:
        if self._body.is_deleted:
            return
        if reading.error is not None:
            is_absent = isinstance(reading.error, ExecutionNotFoundError)
            self._notice.failed(_without_answer(reading), leads_to_jobs=is_absent)
        else:
            self._notice.clear()
        if reading.value is not None:
            try:
                with self._body:
                    self._show(reading.value)
                self._has_shown = True
            except Exception as error:
                self._notice.failed(str(defect(error)))


def live(feed: Feed[T], what: str, show: Callable[[T], object]) -> None:
    """Show a fact here, now and whenever it changes, until the page is closed.

    Parameters
    ----------
    feed : Feed
    what : str
        The fact for a person: ``the jobs``.
    show : callable
        Called with each value, inside an element that is empty at first. It makes its elements at
        the first call, and changes them later, so that neither focus nor place is lost.
    """
    Place(show).follow(feed, what)


class Follower(Generic[T]):
    """A place that shows one fact after another, each in elements of its own.

    Parameters
    ----------
    what : str
        The fact for a person: ``the log``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._box = Tag("div")
        self._key: Hashable = None
        self._place: Place[T] | None = None

    def follow(
        self,
        key: Hashable,
        feed: Callable[[], Feed[T]],
        make: Callable[[], Callable[[T], object]],
    ) -> None:
        """Show the fact with this key, if another one or none is shown.

        ``make`` makes its elements, and returns the function that shows a value in them.
        """
        if key == self._key:
            return
        self.leave()
        self._key = key
        with self._box:
            self._place = Place(_made_late(make))
            self._place.follow(feed(), self._what)

    def leave(self) -> None:
        """Show nothing."""
        if self._place is not None:
            self._place.end()
            self._box.clear()
        self._key = self._place = None


def _made_late(make: Callable[[], Callable[[T], object]]) -> Callable[[T], object]:
    """Return a function that shows values in elements that are made for the first of them."""
    made: list[Callable[[T], object]] = []

    def show(value: T) -> None:
        if not made:
            made.append(make())
        made[0](value)

    return show


def _without_answer(reading: Reading[T]) -> str:
    old = f" This is the state of {reading.read_at:%H:%M:%S} UTC." if reading.read_at else ""
    return f"{reading.error}.{old} The console tries again."
