"""Pages for addresses that do not exist, and for defects."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from nicegui import Client, ui
from nicegui import app as pages

from stepml.console.addresses import JOBS
from stepml.console.board import Board
from stepml.console.frame import frame
from stepml.console.widgets.tags import Tag, link

NOT_FOUND = 404


def register(board: Board) -> None:
    """Serve the pages."""

    async def not_found(request: Request, _: Exception) -> Response:
        with (
            Client(ui.page(""), request=request) as client,
            frame(board, "Page not found", ""),
        ):
            Tag("p", f"The console has no page {request.url.path}.", "notice is-failed")
            _way_back()
        return client.build_response(request, NOT_FOUND)

    def failed() -> None:
        with frame(board, "This page cannot be shown", ""):  # which says why
            _way_back()

    for kind in (NOT_FOUND, RequestValidationError):  # the latter: an epoch that is no number, say
        pages.exception_handler(kind)(not_found)
    pages.on_page_exception(failed)


def _way_back() -> None:
    with Tag("p"):
        link("Show the jobs", JOBS)
