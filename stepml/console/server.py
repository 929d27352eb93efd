"""Serves the console on this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, Response
from nicegui import app as pages
from nicegui import core, ui
from starlette.types import ASGIApp

from stepml.console import failures
from stepml.console.access import Access
from stepml.console.board import Board
from stepml.console.guard import Guard
from stepml.console.log_lines import log_as_lines
from stepml.console.pages import channels, compare, data, epoch, job, jobs, new
from stepml.console.sockets import Place, listening
from stepml.console.styles import SIGN, script, style_sheet, versioned
from stepml.console.widgets.quick import remember_methods

STYLE, SCRIPT = "/assets/console.css", "/assets/console.js"
# In which a tab may come back to the page that it had. NiceGUI lets a browser be silent for 0.4 of
# it: jobs of the local AWS may need all processors for seconds.
RECONNECT_S = 30.0
END_S = 1.0  # for answers that are being sent, when the console ends
KEPT = {"cache-control": "private, max-age=31536000, immutable"}  # its address has its version
# Of FastAPI, which NiceGUI builds on; they describe no page.
UNUSED = ("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")
VIEWS = (jobs, job, epoch, new, compare, data, channels)


def application(board: Board, access: Access) -> ASGIApp:
    """Return the application that serves the pages of a board; one in each process."""
    remember_methods()
    for view in VIEWS:
        view.register(board)
    failures.register(board)
    _serve_assets()
    _leave_out_what_is_unused()
    served = FastAPI(openapi_url=None)
    ui.run_with(
        served,
        title="StepML",
        favicon=SIGN,
        dark=None,
        language="en-US",
        tailwind=False,
        reconnect_timeout=RECONNECT_S,
        binding_refresh_interval=None,
        gzip_middleware_factory=None,
        show_welcome_message=False,
    )
    return Guard(served, access)


def _leave_out_what_is_unused() -> None:
    for path in UNUSED:
        pages.remove_route(path)
    pages.config.socket_io_js_transports = ["websocket"]
    core.sio.eio.transports = ["websocket"]
    # Nothing of a page is read by Ajax, and a bar for it would have no name.
    pages.config.quasar_config["loadingBar"]["skipHijack"] = True


def _serve_assets() -> None:
    sheet, code = style_sheet(), script()
    pages.get(STYLE)(lambda: Response(sheet, media_type="text/css", headers=KEPT))
    pages.get(SCRIPT)(lambda: Response(code, media_type="text/javascript", headers=KEPT))
    ui.add_head_html(
        f'<script src="{versioned(SCRIPT, code)}"></script>'
        f'<link rel="stylesheet" href="{versioned(STYLE, sheet)}">',
        shared=True,
    )


def serve(board: Board, place: Place, on_ready: Callable[[Access], object]) -> None:
    """Serve the console until Ctrl-C or SIGTERM.

    Parameters
    ----------
    board : Board
    place : Place
    on_ready : callable
        Called with what visitors need, when the console answers.

    Raises
    ------
    PlaceError
        It cannot listen at ``place``.
    """
    with listening(place) as listener:
        log_as_lines()
        access = Access.at(place.host, listener.getsockname()[1])
        config = uvicorn.Config(
            application(board, access),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=int(END_S),
        )
        _Server(config, lambda: on_ready(access)).run([listener])


class _Server(uvicorn.Server):
    """A server that says when it answers, and ends by a signal as by any other reason."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals.clear()  # or uvicorn would raise them again
