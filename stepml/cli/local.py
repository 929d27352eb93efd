"""``stepml local``: the AWS on this machine."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepml.cli.errors import NO_SERVICE, LocalAwsFailedError
from stepml.cli.options import DEFAULT_STACK, AsJson
from stepml.cli.output import Output

if TYPE_CHECKING:
    from stepml.local.daemon import LocalStatus

# What the extra `local` installs.
PACKAGES = ("moto", "awslambdaric", "samtranslator")
LIVENESS_POLL_S = 1.0

app = typer.Typer(
    help="The AWS on this machine.",
    no_args_is_help=True,
    epilog="Example: stepml local up",
)


@app.callback()
def local() -> None:
    """Run AWS services on this machine, without an account or Docker."""


@app.command(
    epilog="Exit codes: 0 it runs, 2 bad input, 3 it does not.\n\nExample: stepml local up"
)
def up(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="Of 127.0.0.1. Default: 4566."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Functions that run at once. Default: 1000."),
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and end it at Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the local AWS, unless it runs, and deploy StepML into it.

    Once more after a change: what has changed is deployed.
    """
    _require_extra()
    from stepml.local import daemon

    output = Output(as_json)
    chosen = {"port": port, "concurrency": concurrency}
    options: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    running = daemon.status()
    if foreground and running is not None:
        raise LocalAwsFailedError(
            f"the local AWS runs already, on port {running.port}; end it with: stepml local down"
        )
    if running is not None and port is None:
        options["port"] = running.port
    with _ended_after(daemon.down, foreground) as ending:
        with _one_line_errors():
            status = daemon.up(**options, with_parent=foreground)
        _tell_status(status, output, _deployed(status, output))
        while foreground and not ending.wait(LIVENESS_POLL_S):
            if daemon.status() is None:
                raise LocalAwsFailedError(f"the local AWS has ended; see {status.log_path}")


@app.command(epilog="Example: stepml local down")
def down(as_json: AsJson = False) -> None:
    """End the local AWS; everything that it stored is gone with it."""
    from stepml.local import daemon

    with _one_line_errors():
        ended = daemon.down()
    output = Output(as_json)
    output.document({"running": False, "ended": ended})
    output.line("ended" if ended else "the local AWS was not running")


@app.command(epilog="Exit codes: 0 it runs, 3 it does not.\n\nExample: stepml local status")
def status(as_json: AsJson = False) -> None:
    """Show whether the local AWS runs, and its function processes."""
    from stepml.local import daemon

    output = Output(as_json)
    found = daemon.status()
    if found is None:
        output.document({"running": False})
        output.line("the local AWS is not running; start it with: stepml local up")
        raise typer.Exit(NO_SERVICE)
    _tell_status(found, output, outputs=None)
    if found.environments:
        rows = [(each.function, str(each.pid or ""), each.state) for each in found.environments]
        output.table(("function", "pid", "state"), rows, {"pid"})


def _require_extra() -> None:
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise LocalAwsFailedError(
            f"the local AWS is not installed (no {', '.join(missing)}); "
            "install it with: pip install 'stepml[local]'"
        )


@contextmanager
def _ended_after(end: Any, foreground: bool) -> Iterator[threading.Event]:
    """With ``foreground``, let Ctrl-C and SIGTERM set the event, and call ``end`` afterwards."""
    ending = threading.Event()
    if not foreground:
        yield ending
        return
    before = {
        number: signal.signal(number, lambda *_: ending.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield ending
    finally:
        end()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    from stepml.local.daemon import LocalAwsError

    try:
        yield
    except LocalAwsError as error:
        raise LocalAwsFailedError(str(error)) from error


def _deployed(status: LocalStatus, output: Output) -> dict[str, str]:
    from stepml.client.connection import translated
    from stepml.local.deploy import DeploymentError, TemplateError, deploy
    from stepml.local.plumbing import template_path

    try:
        with translated(status.endpoint_url):
            if not output.is_live:
                return deploy(status.endpoint_url, template_path(), stack_name=DEFAULT_STACK)
            with output.console.status("deploying"):
                return deploy(status.endpoint_url, template_path(), stack_name=DEFAULT_STACK)
    except (DeploymentError, TemplateError) as error:
        raise LocalAwsFailedError(str(error)) from error


def _tell_status(status: LocalStatus, output: Output, outputs: dict[str, str] | None) -> None:
    output.document(
        {
            "running": True,
            "endpoint_url": status.endpoint_url,
            "port": status.port,
            "pid": status.pid,
            "concurrency": status.concurrency,
            "uptime_s": status.uptime_s,
            "log": str(status.log_path),
            "environments": [
                {"function": each.function, "pid": each.pid, "state": each.state}
                for each in status.environments
            ],
            **({} if outputs is None else {"outputs": outputs}),
        }
    )
    output.line(f"the local AWS runs on {status.endpoint_url}")
    described = {
        "process": status.pid,
        "up for": f"{status.uptime_s:.0f} s",
        "functions at once": status.concurrency,
        "log": status.log_path,
    }
    if outputs is not None:
        described |= {"stack": DEFAULT_STACK, "bucket": outputs.get("Bucket", "")}
    output.pairs(described)
