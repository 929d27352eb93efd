"""Joins a view with the fact that it shows: loading, changes, and times without answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nicegui import ui

from stepml.console.defects import defect
from stepml.console.feeds import Feed, Reading
from stepml.console.widgets.notices import Notice

T = TypeVar("T")


def live(feed: Feed[T], what: str, show: Callable[[T], object]) -> Callable[[], None]:
    """Show a fact here, now and whenever it changes, until the page is closed.

    Return a function that ends it earlier.

    Parameters
    ----------
    feed : Feed
    what : str
        The fact for a person: ``the jobs``.
    show : callable
        Called with each value, inside an element that is empty at first. It makes its elements at
        the first call, and changes them later, so that neither focus nor place is lost.
    """
    notice = Notice()
    body = ui.element("div")
    notice.loading(what)

    def hear(reading: Reading[T]) -> None:
        if body.is_deleted:
            return
        if reading.error is not None:
            notice.failed(_without_answer(reading))
        else:
            notice.clear()
        if reading.value is not None:
            try:
                with body:
                    show(reading.value)
            except Exception as error:
                notice.failed(str(defect(error)))

    leave = feed.follow(hear)
    body.client.on_delete(leave)
    return leave


def _without_answer(reading: Reading[T]) -> str:
    old = f" This is the state of {reading.read_at:%H:%M:%S} UTC." if reading.read_at else ""
    return f"{reading.error}.{old} The console tries again."
