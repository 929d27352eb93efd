"""``stepml console``: a web page on this machine that shows the jobs of a stack."""

from __future__ import annotations

from typing import Annotated

import typer

from stepml.cli.errors import NO_SERVICE
from stepml.cli.options import EndpointUrl, Local, Profile, Region, StackName, Target
from stepml.job.errors import StepMLError
from stepml.job.installing import require_packages
from stepml.job.names import DEFAULT_STACK

PACKAGES = ("nicegui",)  # installed by the extra `console`


class ConsoleFailedError(StepMLError):
    """The console cannot be served."""

    exit_code = NO_SERVICE


def add_to(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: stepml console --local")(console)


def console(
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Listen on this port.")
    ] = 8421,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
) -> None:
    """Show jobs, their epochs and their failures in a web browser, until Ctrl-C."""
    require_packages(PACKAGES, "the console", "console", ConsoleFailedError)
    from stepml.console.board import Board
    from stepml.console.server import Place, serve

    client = Target.chosen(local, endpoint_url, stack, profile, region).client()
    serve(Board(client), Place(port=port))
