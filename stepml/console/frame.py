"""The frame of every page: its head with the views, its title, and its main part."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from stepml.console.addresses import CHANNELS, COMPARE, DATA, JOBS, NEW
from stepml.console.backends import ANOTHER, PAUSE_S, Backend, words_of
from stepml.console.board import Board
from stepml.console.feeds import Reading
from stepml.console.widgets.notices import Notice
from stepml.console.widgets.tags import Tag, link

VIEWS = {JOBS: "Jobs", NEW: "New job", COMPARE: "Compare", DATA: "Data", CHANNELS: "Channels"}
NEW_S = 3 * PAUSE_S  # a page that is younger has hardly been read
THEMES = {"system": "System", "light": "Light", "dark": "Dark"}


@contextmanager
def frame(board: Board, title: str, view: str) -> Iterator[None]:
    """Build a page around the elements that are made inside.

    Parameters
    ----------
    board : Board
    title : str
        The heading, and with the product's name the title of the window.
    view : str
        The address of the view to which the page belongs, one of `VIEWS`.
    """
    ui.page_title(f"{title} – StepML")
    _leave_out_the_layout()
    with Tag("header", classes="head"):
        link("StepML", JOBS, "brand")
        with Tag("nav", aria_label="Views"):
            for address, name in VIEWS.items():
                link(name, address, aria_current="page" if address == view else None)
        _show_place(board)
        _show_themes()
    with Tag("main") as main:
        Tag("h1", title)
        _say_defects(board)
        yield
    ui.skip_link("Skip to the content", target=main)


def _show_themes() -> None:
    """Let the person choose the theme: console.js keeps the choice in the browser."""
    with Tag("label", classes="theme"):
        Tag("span", "Theme")
        with Tag("select", id="theme"):
            for value, name in THEMES.items():
                Tag("option", name, value=value)


def _show_place(board: Board) -> None:
    with Tag("p", classes="place"):
        Tag("span", board.place)
        state = Tag("span", classes="backend", role="status")
        for name in ("connection", "news"):  # of console.js
            Tag("span", classes="backend is-away", role="status", id=name)

    shown, opened_at = board.client, time.monotonic()

    def hear(reading: Reading[Backend]) -> None:
        if state.is_deleted:
            return
        if reading.value is not None:
            board.keep_up(reading.value)
        if board.client is not shown:  # nothing of this page is true any more
            is_news = time.monotonic() - opened_at > NEW_S
            state.client.run_javascript(f"reloadAndSay({json.dumps(ANOTHER if is_news else '')})")
        state.classes(replace=f"backend {'is-away' if reading.error else ''}".strip())
        state.say(words_of(reading))

    state.client.on_delete(board.backend.follow(hear))


def _say_defects(board: Board) -> None:
    """Say what goes wrong in the page after it was built: a button's defect, say."""
    notice = Notice("alert")
    ui.on_exception(lambda error: notice.failed(str(board.worded(error))))


def _leave_out_the_layout() -> None:
    """Make plain elements of Quasar's, as its page is a landmark around all of ours, and padded."""
    client = ui.context.client
    page = client.content.parent_slot
    for element in (client.layout, client.page_container, page.parent if page else client.layout):
        element.tag = "div"
