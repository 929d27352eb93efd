"""The ``stepml`` command, assembled from its subcommands."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from stepml.cli import (
    check,
    compare,
    console,
    data,
    deploy,
    destroy,
    doctor,
    epochs,
    export,
    init,
    jobs,
    local,
    look,
    parameter_server,
    predict,
    retry,
    study,
)
from stepml.cli import report as reporting
from stepml.cli import run as running
from stepml.cli.errors import BAD_INPUT, CLOSED_PIPE
from stepml.cli.help_texts import HELP_NAMES
from stepml.cli.root import RootGroup, report
from stepml.cli.streams import OutputLostError, discard

app = typer.Typer(
    cls=RootGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": HELP_NAMES},
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


running.add_to(app)
check.add_to(app)
retry.add_to(app)
init.add_to(app)
epochs.add_to(app)
console.add_to(app)
look.add_to(app)
compare.add_to(app)
study.add_to(app)
reporting.add_to(app)
predict.add_to(app)
export.add_to(app)
deploy.add_to(app)
destroy.add_to(app)
doctor.add_to(app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(data.app, name="data")
app.add_typer(local.app, name="local")
app.add_typer(parameter_server.app, name="server")
app.add_typer(parameter_server.app, name="ps", hidden=True, cls=parameter_server.EarlierName)


def run() -> int:
    """Run the command with the arguments of this process; return its exit code."""
    try:
        app()
        code = 0
    except SystemExit as ending:
        # The libraries that write help and usage exit with 1 if the reader has ended.
        is_closed = isinstance(ending.__context__, BrokenPipeError)
        code = CLOSED_PIPE if is_closed else _integer(ending.code)
    except OSError:  # the usage cannot be written to stderr
        code = BAD_INPUT
    return _flushed(code)


def _flushed(code: int) -> int:
    """Write the rest of the output; return the exit code, ``code`` if that succeeds."""
    try:
        sys.stdout.flush()
    except OSError as error:
        discard(sys.stdout)
        return code or report(OutputLostError(error), as_json=False)
    return code


def _integer(code: object) -> int:
    return code if isinstance(code, int) else int(code is not None)
