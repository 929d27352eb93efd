"""The ``stepml`` command, assembled from its subcommands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from stepml.cli import data, local, look, parameter_server, predict, retry, run
from stepml.cli.errors import RootGroup

app = typer.Typer(
    cls=RootGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
    epilog="Example: stepml run examples/covertype_logistic.json --local",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("stepml"))
        raise typer.Exit


@app.callback()
def stepml(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, help="Show the version.")
    ] = False,
) -> None:
    """Train models on AWS Lambda, driven by Step Functions, or on this machine."""


run.add_to(app)
retry.add_to(app)
look.add_to(app)
predict.add_to(app)
app.add_typer(data.app, name="data")
app.add_typer(local.app, name="local")
app.add_typer(parameter_server.app, name="ps")
