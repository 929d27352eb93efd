"""Options shared by commands: the address of the services and the form of the output."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepml.cli.errors import BadInputError, local_aws_errors
from stepml.job.names import DEFAULT_STACK, LATEST

if TYPE_CHECKING:
    from stepml.client import Client, Connection, Run

WHERE = "Where"
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL"
LOCAL_VARIABLE = "STEPML_LOCAL"
RESULTS = Path("runs")  # directories of downloaded results


def known_runs(incomplete: str) -> list[str]:
    """Return the names of runs that begin like this, for shells: no service is asked."""
    try:
        found = sorted(each.name for each in RESULTS.iterdir() if each.is_dir())
    except OSError:
        found = []
    return [name for name in (LATEST, *reversed(found)) if name.startswith(incomplete)]


NoLabel = Annotated[
    bool, typer.Option("--no-label", help="Take all columns as features, and none as the label.")
]
Local = Annotated[
    bool,
    typer.Option(
        "--local",
        help=f"Use the AWS on this machine ({LOCAL_VARIABLE}=1 does the same).",
        rich_help_panel=WHERE,
    ),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url",
        metavar="URL",
        help=f"Use the AWS services at this endpoint (or set {ENDPOINT_VARIABLE}).",
        rich_help_panel=WHERE,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Use this profile of your AWS configuration.",
        rich_help_panel=WHERE,
    ),
]
Region = Annotated[
    str | None,
    typer.Option("--region", metavar="NAME", help="Use this region of AWS.", rich_help_panel=WHERE),
]
StackName = Annotated[
    str,
    typer.Option("--stack", metavar="NAME", help="The deployed stack.", rich_help_panel=WHERE),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
ExecutionName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The job's name or ARN; latest is the newest job.",
        autocompletion=known_runs,
    ),
]


@dataclass(frozen=True, slots=True)
class Target:
    """The services that a command uses."""

    endpoint_url: str | None  # None: AWS
    stack: str
    flags: str  # the options for the same target, for messages: " --local"
    is_local: bool = False  # the local AWS of this state directory
    profile: str | None = None
    region: str | None = None

    @classmethod
    def chosen(
        cls,
        local: bool,
        endpoint_url: str | None,
        stack: str,
        profile: str | None = None,
        region: str | None = None,
    ) -> Target:
        """Return the target chosen by options, else by the environment, else AWS."""
        from stepml.client.endpoints import checked_endpoint

        if local and endpoint_url:
            raise BadInputError("--local and --endpoint-url exclude each other; give one of them")
        if local and (profile or region):
            raise BadInputError(
                "--local excludes --profile and --region: the AWS on this machine has one account "
                "and one region"
            )
        named = "" if stack == DEFAULT_STACK else f" --stack {stack}"
        named += f" --profile {profile}" if profile else ""
        named += f" --region {region}" if region else ""
        at: Any = {"profile": profile, "region": region}
        if local:
            return cls(local_endpoint(), stack, f" --local{named}", is_local=True)
        if endpoint_url:
            return cls(
                checked_endpoint(endpoint_url),
                stack,
                f" --endpoint-url {endpoint_url}{named}",
                **at,
            )
        if from_environment := os.environ.get(ENDPOINT_VARIABLE):
            return cls(checked_endpoint(from_environment), stack, named, **at)
        if _is_on(os.environ.get(LOCAL_VARIABLE, "")) and not (profile or region):
            return cls(local_endpoint(), stack, named, is_local=True)
        return cls(None, stack, named, **at)

    def connection(self) -> Connection:
        """Return a connection to the services.

        Raises
        ------
        LocalAwsFailedError
            The local AWS is chosen, and does not run or does not answer.
        """
        from stepml.client import connect
        from stepml.client.connection import connect_local

        if not self.is_local:
            return connect(self.endpoint_url, self.region, self.profile)
        with local_aws_errors():
            from stepml.local import daemon  # not on systems without it

            running = daemon.require()
            return connect_local(running.endpoint_url, identity=running.id)

    def client(self) -> Client:
        """Return a client of the stack; see `connection` for errors."""
        from stepml.client import Client

        return Client(self.connection(), self.stack)

    def run(self, name: str) -> Run:
        """Return the run with a name or ARN, without a look whether it exists."""
        return self.client().named(name)


def local_endpoint() -> str:
    """Return the endpoint of the running local AWS, or its default endpoint."""
    from stepml.local_identity import DEFAULT_PORT, endpoint_url

    with local_aws_errors():
        from stepml.local import daemon  # not on systems without it

        running = daemon.status()
    return running.endpoint_url if running else endpoint_url(DEFAULT_PORT)


def name_or_index(column: str) -> str | int:
    """Return a column as a job names it: an integer is its place."""
    try:
        return int(column)
    except ValueError:
        return column


def local_flag() -> str:
    """Return the option that chooses the AWS on this machine; "" if the environment does."""
    return "" if _is_on(os.environ.get(LOCAL_VARIABLE, "")) else " --local"


def _is_on(value: str) -> bool:
    return value.strip().lower() not in {"", "0", "false", "no", "off"}
