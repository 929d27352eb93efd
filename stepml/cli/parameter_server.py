"""``stepml server``: the parameter server, a process on a VM or on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stepml.cli.errors import (
    BAD_INPUT,
    BadInputError,
    LocalAwsFailedError,
    local_aws_errors,
)
from stepml.cli.options import AsJson, Local, local_flag
from stepml.cli.output import Output
from stepml.job.channels import CHANNELS, PARAMETER_SERVER
from stepml.job.installing import require_packages
from stepml.records.errors import AccessError

PACKAGES = ("thrift", "prometheus_client")  # of the extra `server`
URL_VARIABLE = CHANNELS[PARAMETER_SERVER].variable
TOKEN_VARIABLE = "STEPML_PARAMETER_SERVER_TOKEN"  # noqa: S105 — its name


app = typer.Typer(
    help="The parameter server: run it, show its state, make its secret.",
    no_args_is_help=True,
    epilog="Example: stepml server status --local",
)


@app.callback()
def parameter_server() -> None:
    """Run the server of the channel parameter_server, or show its state."""


class EarlierName(TyperGroup):
    """The commands under their earlier name, ``stepml ps``."""

    def invoke(self, ctx: Any) -> Any:
        Output(as_json="--json" in ctx.args).complaint("stepml ps is now: stepml server")
        return super().invoke(ctx)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="All flags: stepml server up -- --help. Each has an environment variable, such as "
    "STEPML_PS_MEMORY_MB.\n\n"
    "Example: STEPML_PS_TOKEN=$(openssl rand -hex 16) stepml server up --plain-loopback "
    "--listen 127.0.0.1:7070",
)
def up(context: typer.Context) -> None:
    """Run a parameter server in the foreground, until Ctrl-C or SIGTERM.

    It takes the options of `python -m ps_server`: --listen HOST:PORT,
    --certificate FILE, --key FILE, --token-file FILE, --memory-mb MB,
    --snapshots PLACE, --plain-loopback and others.
    """
    require_packages(PACKAGES, "the parameter server", "server", AccessError)
    arguments = [sys.executable, "-m", "ps_server", *context.args]
    os.execve(sys.executable, arguments, _environment())  # noqa: S606 — that is what it is for


@app.command(
    epilog=f"The address is URL, else {URL_VARIABLE}, with the token in {TOKEN_VARIABLE}; or use "
    "--local.\n\n"
    "Exit codes: 0 it answers, 2 bad input, 3 it does not.\n\nExample: stepml server status --local"
)
def status(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="The server's address.", show_default=False)
    ] = None,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Show the jobs and the memory of a running parameter server."""
    require_packages(PACKAGES, "the parameter server", "server", AccessError)
    output = Output(as_json)
    environment = _environment()
    if local:
        if url is not None:
            raise BadInputError("--local and an address exclude each other; give one of them")
        url, environment[TOKEN_VARIABLE] = _local_server()
    url = url or environment.get(URL_VARIABLE)
    if not url and not local_flag():
        url, environment[TOKEN_VARIABLE] = _local_server()
    if not url:
        raise BadInputError(f"expected an address, {URL_VARIABLE} or --local, got none")
    result = subprocess.run(  # noqa: S603 — our own module, by our own interpreter
        [sys.executable, "-m", "ps_server.process.status", url],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == BAD_INPUT:
        raise BadInputError(result.stderr.strip())
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        raise AccessError(lines[-1] if lines else f"the status ended with {result.returncode}")
    answer = json.loads(result.stdout)
    output.document(answer)
    _show(url, answer, output)


@app.command(
    epilog="Store it in Secrets Manager; templates/parameter_server.yaml and template.yaml have a "
    "parameter for its ARN.\n\nExample: stepml server secret --host 10.0.1.10 > secret.json"
)
def secret(
    host: Annotated[
        list[str],
        typer.Option(metavar="NAME-OR-IP", help="The server's address; may be repeated."),
    ],
    days: Annotated[
        int,
        typer.Option(
            min=1, max=36_500, metavar="N", help="Days for which the certificate is valid."
        ),
    ] = 3650,
) -> None:
    """Print a new token, certificate and key for a parameter server, as JSON.

    The certificate is self-signed. Clients trust it alone.
    """
    require_packages(("cryptography",), "the library for certificates", "server", AccessError)
    from stepml.certificates import server_secret

    try:
        made = server_secret(host, days)
    except ValueError as error:
        raise BadInputError(f"--host: {error}") from None
    typer.echo(json.dumps(made, indent=2))


def _environment() -> dict[str, str]:
    from stepml.packaging.sources import PACKAGE, resource_root

    # Only our own folders: the present directory might have another ps_server.
    path = os.pathsep.join(map(str, dict.fromkeys((resource_root(), PACKAGE.parent))))
    return {**os.environ, "PYTHONPATH": path}


def _local_server() -> tuple[str, str]:
    """Return the address and the token of the local AWS's parameter server."""
    from stepml.local import daemon

    with local_aws_errors():
        running = daemon.status()
    if running is None:
        raise LocalAwsFailedError("the local AWS is not running; start it with: stepml local up")
    for each in running.caches:
        if each.name == PARAMETER_SERVER and each.pid is not None:
            return each.url, each.parameters["ParameterServerToken"]
    raise AccessError(
        "the local parameter server is not running; a job with the channel parameter_server "
        "starts it"
    )


def _show(url: str, answer: dict[str, Any], output: Output) -> None:
    mb = 2**20
    output.line(f"the parameter server at {url}")
    output.pairs(
        {
            "up for": f"{answer['uptime_s']:.0f} s",
            "connections": answer["connections"],
            "memory": f"{answer['used_bytes'] / mb:.1f} MB used, "
            f"{answer['reserved_bytes'] / mb:.1f} reserved, "
            f"{answer['limit_bytes'] / mb:.0f} in total",
            "jobs": len(answer["jobs"]),
        }
    )
    rows = [
        (
            each["job"].removeprefix("jobs/").partition("/")[0],
            {"bulk_synchronous": "sync", "asynchronous": "async"}.get(each["rule"], "stale"),
            f"{each['ranks']}/{each['world_size']}",
            f"{each['held_bytes'] / mb:.1f}",
            str(each["pushes"]),
            f"{each['waited_s']:.0f}",
            _staleness(each),
        )
        for each in answer["jobs"]
    ]
    if rows:
        columns = ("job", "rule", "ranks", "MB", "pushes", "waited s", "stale")
        output.table(columns, rows, set(columns[2:]))


def _staleness(job: dict[str, Any]) -> str:
    if not job["updates"]:
        return ""
    return f"{job['staleness_sum'] / job['updates']:.1f}, most {job['staleness_max']}"
