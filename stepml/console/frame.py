"""The frame of every page: its head with the views, its title, and its main part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from stepml.console.addresses import CHANNELS, COMPARE, DATA, JOBS, NEW
from stepml.console.board import Board
from stepml.console.widgets.tags import Tag, link

VIEWS = {JOBS: "Jobs", NEW: "New job", COMPARE: "Compare", DATA: "Data", CHANNELS: "Channels"}


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
        Tag("span", board.place, "place")
    with Tag("main") as main:
        Tag("h1", title)
        yield
    ui.skip_link(target=main)


def _leave_out_the_layout() -> None:
    """Make plain elements of Quasar's, as its page is a landmark around all of ours, and padded."""
    client = ui.context.client
    page = client.content.parent_slot
    for element in (client.layout, client.page_container, page.parent if page else client.layout):
        element.tag = "div"
