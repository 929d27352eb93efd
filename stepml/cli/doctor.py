"""``stepml doctor``: whether a deployment is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.errors import JOB_FAILED
from stepml.cli.options import AsJson, EndpointUrl, Local, Profile, Region, StackName, Target
from stepml.cli.output import Output
from stepml.cli.progress import lines
from stepml.job.names import DEFAULT_STACK
from stepml.records.errors import StackNotFoundError

if TYPE_CHECKING:
    from stepml.client import Connection
    from stepml.deployment.findings import Finding
    from stepml.deployment.records import StackState

CODES = (
    "Exit codes: 0 well; 1 there is a problem; 2 bad input; 3 there is no such stack, or AWS "
    "cannot be reached or refuses."
)


def add_to(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog=f"{CODES}\n\nExample: stepml doctor")(doctor)


def doctor(
    smoke: Annotated[
        bool,
        typer.Option("--smoke/--no-smoke", help="Train a tiny job over each channel."),
    ] = True,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Examine a deployment: account, versions, limits, functions, drift, channels."""
    from importlib.metadata import version

    from stepml.deployment.doctor import Doctor, find
    from stepml.deployment.preflight import identify

    target = Target.chosen(local, endpoint_url, stack, profile, region)
    output, connection = Output(as_json), target.connection()
    place, state = identify(connection), find(connection, stack)
    if state is None:
        raise StackNotFoundError(f"no stack {stack!r} at {connection.place}; see: stepml deploy")
    findings = []
    for finding in Doctor(connection, place, state, version("stepml")).findings():
        findings.append(finding)
        _show(finding, output)
    if smoke and not any(each.verdict == "problem" for each in findings):
        findings.append(_channels(connection, state, output))
        _show(findings[-1], output)
    output.document(
        {
            "stack": stack,
            "findings": [
                {"subject": each.subject, "verdict": each.verdict, "words": each.words}
                for each in findings
            ],
        }
    )
    if any(each.verdict == "problem" for each in findings):
        raise typer.Exit(JOB_FAILED)


def _show(finding: Finding, output: Output) -> None:
    lines([f"{finding.verdict:<7}  {finding.subject:<17}  {finding.words}"], output)


def _channels(connection: Connection, state: StackState, output: Output) -> Finding:
    """Return whether a job can be trained over each channel, from the functions."""
    from stepml.client import Client
    from stepml.deployment.findings import Finding
    from stepml.deployment.smoke import SmokeTestError, smoke
    from stepml.job.channels import channels_of_stack

    names = channels_of_stack(state.parameters)
    try:
        with output.working(f"training tiny jobs over {', '.join(names)}"):
            trained = smoke(Client(connection, state.name), names)
    except SmokeTestError as error:
        return Finding("channels", "problem", str(error))
    words = ", ".join(f"{each.channel} in {each.seconds:.0f} s" for each in trained)
    return Finding("channels", "ok", f"a job trained over {words}")
