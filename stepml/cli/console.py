"""``stepml console``: a web page on this machine that shows the jobs of a stack."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from typing import Annotated

import typer

from stepml.cli.machine import as_stepml_error
from stepml.cli.options import AsJson, EndpointUrl, Local, Profile, Region, StackName, Target
from stepml.cli.output import Output
from stepml.job.errors import StepMLError
from stepml.job.installing import require_packages
from stepml.job.names import DEFAULT_STACK

PACKAGES = ("nicegui",)  # installed by the extra `console`
HOST, PORT = "127.0.0.1", 8421
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


class ConsoleFailedError(StepMLError):
    """The console is not installed."""


def add_to(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(
        epilog="Exit codes: 0 it was ended by Ctrl-C or SIGTERM, 2 bad input, 3 it cannot listen, "
        "or the stack is missing.\n\nExample: stepml console --local"
    )(console)


def console(
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Listen at this address. Beyond this machine, visitors need the token of the "
            "address that is printed.",
        ),
    ] = HOST,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="Listen on this port; 0: any that is free."
        ),
    ] = PORT,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Do not open it in a web browser.")
    ] = False,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Show jobs, their epochs and their failures in a web browser, until Ctrl-C."""
    require_packages(PACKAGES, "the console", "console", ConsoleFailedError)
    from stepml.console.access import Access
    from stepml.console.board import Board
    from stepml.console.server import serve
    from stepml.console.sockets import Place

    output = Output(as_json)
    client = Target.chosen(local, endpoint_url, stack, profile, region).client()
    board = Board(client, as_stepml_error)
    found = client.stack.name  # before anybody opens a page
    opens = not no_open and _has_browser(output)

    def say(access: Access) -> None:
        output.json_line({"url": access.address, "pid": os.getpid(), "stack": found})
        output.line(f"the console of {board.place}: {access.address}")
        if (elsewhere := access.address_elsewhere) is not None:
            output.line(f"for other machines: {elsewhere}")
        output.line("Ctrl-C ends it")
        if opens:  # some browsers let their caller wait
            threading.Thread(target=webbrowser.open, args=(access.address,), daemon=True).start()

    serve(board, Place(host, port), say)


def _has_browser(output: Output) -> bool:
    """Return whether a person is at the terminal, with a browser that has windows."""
    if output.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    if sys.platform == "linux" and not any(os.environ.get(name) for name in DISPLAYS):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
