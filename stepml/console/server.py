"""Serves the console on this machine."""

from __future__ import annotations

from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI, Response
from nicegui import app as pages
from nicegui import ui

from stepml.console.board import Board
from stepml.console.pages import job, jobs
from stepml.console.styles import style_sheet

STYLE = "/assets/console.css"
RECONNECT_S = 10.0  # in which a tab may come back to the page that it had
VIEWS = (jobs, job)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the console listens."""

    host: str = "127.0.0.1"
    port: int = 8421


def application(board: Board) -> FastAPI:
    """Return the application that serves the pages of a board; one in each process."""
    for view in VIEWS:
        view.register(board)
    sheet = style_sheet()
    pages.get(STYLE)(lambda: Response(sheet, media_type="text/css"))
    ui.add_head_html(f'<link rel="stylesheet" href="{STYLE}">', shared=True)
    # Nothing of a page is read by Ajax, and a bar for it would have no name.
    pages.config.quasar_config["loadingBar"]["skipHijack"] = True
    served = FastAPI(openapi_url=None)
    ui.run_with(
        served,
        title="StepML",
        dark=None,
        language="en-US",
        tailwind=False,
        reconnect_timeout=RECONNECT_S,
        binding_refresh_interval=None,
        show_welcome_message=False,
    )
    return served


def serve(board: Board, place: Place) -> None:
    """Serve the console until it is interrupted."""
    config = uvicorn.Config(
        application(board), place.host, place.port, log_level="warning", server_header=False
    )
    uvicorn.Server(config).run()
