"""``stepml local``: AWS services on this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepml.cli.ending import ending_signals, require_consent
from stepml.cli.errors import (
    NO_SERVICE,
    LocalAwsFailedError,
    local_aws_errors,
    require_linux,
)
from stepml.cli.local_console import require_console, start_console
from stepml.cli.options import AsJson
from stepml.cli.output import Output
from stepml.job.installing import require_packages
from stepml.job.names import DEFAULT_STACK
from stepml.local_identity import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from stepml.local.daemon import FunctionEnvironment, LocalStatus
    from stepml.local.record import Settings

# Installed by the extra `local`.
PACKAGES = ("moto", "awslambdaric", "samtranslator")
LIVENESS_POLL_S = 1.0
DEPLOY_WAIT_S = 240.0  # for another deployment on this machine
STATES = ("starting", "busy", "idle")  # of a function's process

app = typer.Typer(
    help="AWS services on this machine.",
    no_args_is_help=True,
    epilog="Example: stepml local up",
)


@app.callback()
def local() -> None:
    """Run AWS services on this machine, without an account or Docker."""
    require_linux()


@app.command(
    epilog="Exit codes: 0 it runs, 2 bad input, 3 it does not.\n\nExample: stepml local up"
)
def up(
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            metavar="PORT",
            help="Listen on this port of 127.0.0.1. Default: 4566.",
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Let N functions run at once. Default: 1000."),
    ] = None,
    data_bucket: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Bucket of training data. Default: the stack's own, and no other."
        ),
    ] = "",
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory for jobs, data and logs, which are there again at the next start. "
            "Default: memory.",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Slow functions down to the latencies, bandwidths and cold starts of a file, or "
            "of aws. Default: this machine's.",
        ),
    ] = None,
    with_console: Annotated[
        bool,
        typer.Option(
            "--console", help="Start the console as well, which ends with it; see `stepml console`."
        ),
    ] = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Run until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the local AWS, unless it is running, and deploy StepML into it.

    Run it again to deploy changes.
    """
    require_packages(PACKAGES, "the local AWS", "local", LocalAwsFailedError)
    if with_console:
        require_console()
    from stepml.local import daemon

    output = Output(as_json)
    with ending_signals(foreground) as ending, local_aws_errors(), ExitStack() as afterwards:
        before = daemon.read_settings()
        with output.working("starting the local AWS"):
            status = daemon.up(
                port=port,
                concurrency=concurrency,
                network=network,
                keep=keep,
                with_parent=foreground,
            )
        if before.keep not in (None, status.kept_in):
            output.complaint(f"what was there before is in {before.keep}: {_up_again(before)}")
        if foreground:
            afterwards.callback(daemon.down)
        outputs = _deployed(status, output, data_bucket)
        if with_console:
            with output.working("starting the console"):
                start_console(foreground)
        _show_status(status, output, outputs)
        while foreground and not ending.wait(LIVENESS_POLL_S, output):
            if not daemon.is_running():
                raise LocalAwsFailedError(f"the local AWS has ended; see {status.log_path}")


@app.command(
    epilog="Exit codes: 0 it has ended, or was not running; 2 jobs are running, and neither --yes "
    "nor the answer allows their loss; 3 it cannot be ended.\n\nExample: stepml local down"
)
def down(
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask, even if running jobs are lost.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the local AWS and delete everything that it has stored, but for a directory of --keep.

    If jobs are running, it asks first. Without a terminal, or with --json, it refuses.
    """
    from stepml.local import daemon

    output = Output(as_json)
    if not yes:
        require_consent(output)
    with local_aws_errors(), output.working("ending the local AWS"):
        ended = daemon.down()
    output.document({"running": False, "ended": ended})
    output.line("ended" if ended else "the local AWS was not running")
    if ended and (last := daemon.read_settings()).keep:
        output.line(f"everything is in {last.keep}: {_up_again(last)}")


@app.command(epilog="Example: stepml local network > aws.toml")
def network() -> None:
    """Print the network of `stepml local up --network aws`, as a file to change.

    It has latencies, bandwidths and cold starts, with the source and the date of each.
    """
    from stepml.local.network import AWS_FILE

    typer.echo(AWS_FILE.read_text(encoding="utf-8"), nl=False)


@app.command(epilog="Exit codes: 0 it runs, 3 it does not.\n\nExample: stepml local status")
def status(
    all_processes: Annotated[
        bool, typer.Option("--all", help="List every process of a function.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show whether the local AWS is running, with its functions and the servers of channels.

    The processes of a function are counted by state.
    """
    from stepml.local import daemon

    output = Output(as_json)
    with local_aws_errors():
        try:
            found = daemon.require()
        except daemon.NotRunningError as error:
            output.document({"running": False})
            output.line(str(error))
            raise typer.Exit(NO_SERVICE) from None
    _show_status(found, output, outputs=None)
    if all_processes and found.environments:
        processes = [
            (each.function, str(each.pid or ""), each.state) for each in found.environments
        ]
        output.table(("function", "pid", "state"), processes, {"pid"})
    elif found.environments:
        output.table(("function", *STATES), _environment_rows(found.environments), {*STATES})
    if servers := (*found.caches, *found.servers):
        rows = [(each.name, each.url, str(each.pid or "not started")) for each in servers]
        output.table(("channel", "URL", "pid"), rows, {"pid"})


def _up_again(last: Settings) -> str:
    return f"stepml local up{last.options}"


def _environment_rows(environments: Sequence[FunctionEnvironment]) -> list[list[str]]:
    """Return a row for each function, with the number of its processes in each state."""
    counts = Counter((each.function, each.state) for each in environments)
    functions = sorted({each.function for each in environments})
    return [[name, *(str(counts[name, state] or "") for state in STATES)] for name in functions]


def _deployed(status: LocalStatus, output: Output, data_bucket: str) -> Mapping[str, str]:
    from stepml.client.connection import connect_local
    from stepml.deployment.artefacts import Place
    from stepml.deployment.deploying import Deployer
    from stepml.deployment.errors import DeploymentError
    from stepml.deployment.parameters import OF_CHANNEL, OF_NETWORK
    from stepml.local.caches import template_parameters
    from stepml.local.locks import LockTimeoutError, exclusive
    from stepml.packaging.sources import template_path

    connection = connect_local(status.endpoint_url, identity=status.id)
    deployer = Deployer.with_own_files(connection, Place(ACCOUNT_ID, REGION))
    # Not those of servers that `stepml deploy --with` has made: it gives them again.
    of_servers = (*OF_NETWORK, *chain(*OF_CHANNEL.values()))
    parameters = dict.fromkeys(of_servers, "")
    parameters |= template_parameters(status.caches, status.concurrency)
    parameters["DataBucketName"] = data_bucket
    try:
        # Two concurrent deployments would both create the stack.
        alone, showing = exclusive("deploy", DEPLOY_WAIT_S), output.working("deploying")
        with showing, alone:
            return deployer.deploy(template_path(), DEFAULT_STACK, parameters).outputs
    except (DeploymentError, LockTimeoutError) as error:
        raise LocalAwsFailedError(str(error)) from error


def _show_status(status: LocalStatus, output: Output, outputs: Mapping[str, str] | None) -> None:
    from stepml.local import companion

    console = companion.running()
    output.document(
        {
            "running": True,
            "endpoint_url": status.endpoint_url,
            "port": status.port,
            "pid": status.pid,
            "concurrency": status.concurrency,
            "uptime_s": status.uptime_s,
            "log": str(status.log_path),
            "network": status.network,
            "keep": None
            if status.kept_in is None
            else {"directory": str(status.kept_in), "size_bytes": status.kept_bytes},
            "console": None if console is None else {"url": console.url, "pid": console.pid},
            "environments": [
                {"function": each.function, "pid": each.pid, "state": each.state}
                for each in status.environments
            ],
            "caches": [
                {"name": each.name, "url": each.url, "pid": each.pid} for each in status.caches
            ],
            "servers": [
                {"name": each.name, "url": each.url, "pid": each.pid} for each in status.servers
            ],
            **({} if outputs is None else {"outputs": dict(outputs)}),
        }
    )
    output.line(f"the local AWS runs on {status.endpoint_url}")
    described = {
        "process": status.pid,
        "up for": f"{status.uptime_s:.0f} s",
        "functions at once": status.concurrency,
        "log": status.log_path,
    }
    if console is not None:
        described["console"] = console.url
    if status.kept_in is not None:
        described["kept in"] = f"{status.kept_in} ({status.kept_bytes / 1e6:.1f} MB)"
    if status.network is not None:
        described["network"] = _network_line(status.network)
    if outputs is not None:
        described |= {"stack": DEFAULT_STACK, "bucket": outputs.get("Bucket", "")}
    output.pairs(described)


def _network_line(network: Mapping[str, Any]) -> str:
    services = [
        f"{name} {service['latency_s'] * 1000:g} ms"
        for name, service in network["services"].items()
    ]
    return ", ".join([*services, f"cold start {network['cold_start_s']:g} s"])
