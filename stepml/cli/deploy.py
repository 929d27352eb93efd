"""``stepml deploy``: StepML in an account of AWS, by one command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepml.cli.deleting import Yes
from stepml.cli.deploy_consent import DeployConsent
from stepml.cli.errors import BadInputError
from stepml.cli.options import (
    AsJson,
    EndpointUrl,
    Local,
    Profile,
    Region,
    StackName,
    Target,
)
from stepml.cli.output import Output
from stepml.cli.progress import Progress, lines
from stepml.job.channels import CHANNELS
from stepml.job.names import DEFAULT_STACK

if TYPE_CHECKING:
    from stepml.client import Connection
    from stepml.deployment.application import Deployed, Wish
    from stepml.deployment.artefacts import Place

CODES = (
    "Exit codes: 0 deployed, or nothing to change; 2 bad input, or nobody agreed; 3 AWS cannot be "
    "reached, refuses or fails."
)
WITH_SERVERS = [name for name, channel in CHANNELS.items() if channel.parameter]
# Written by the reader's shell: an installed wheel has no examples.
FIRST_JOB = (
    """echo '{"data": {"uri": "data/digits.csv", "label": "digit"},""",
    """       "model": {"name": "softmax_regression"}}' > first.json""",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog=f"{CODES}\n\nExample: stepml deploy --with redis")(deploy)


def deploy(
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="CHANNELS",
            help=f"Make servers, which cost money by the hour, for {', '.join(WITH_SERVERS)}.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="CHANNELS", help="Remove the servers of these channels."),
    ] = None,
    rotate_secrets: Annotated[
        bool,
        typer.Option("--rotate-secrets", help="Give the servers new passwords and tokens."),
    ] = False,
    yes: Yes = False,
    data_bucket: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Let jobs read data from another bucket."),
    ] = None,
    executor_memory: Annotated[
        int | None,
        typer.Option(
            metavar="MB", help="Give each function that trains so much memory, 512 to 10240 MB."
        ),
    ] = None,
    arm64: Annotated[
        bool | None,
        typer.Option("--arm64/--x86-64", help="The functions' processor; arm64 is cheaper."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Set a parameter of a template; may be repeated."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            "--tags",
            metavar="NAME=VALUE",
            help="Tag every resource; several tags are separated by commas.",
        ),
    ] = None,
    smoke: Annotated[
        bool,
        typer.Option("--smoke/--no-smoke", help="Train a tiny job over each channel at the end."),
    ] = True,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Deploy StepML into your AWS account, or update what is deployed.

    It shows what would change and asks. Parameters that are not given keep their values.

    Servers stay until --without names them.

    Nothing is remembered on this machine, so any other one can continue.
    """
    given = _pairs("--parameter", parameter)
    _require_known(given)
    architecture = {None: None, True: "arm64", False: "x86_64"}[arm64]
    _give(given, "--data-bucket", "DataBucketName", data_bucket)
    _give(given, "--executor-memory", "ExecutorMemory", executor_memory)
    _give(given, "--arm64/--x86-64", "Architecture", architecture)
    tags = _pairs("--tag", [each for text in tag or () for each in text.split(",")])
    wish = _wish(given, with_, without, rotate_secrets)
    target, output = Target.chosen(local, endpoint_url, stack, profile, region), Output(as_json)
    connection = target.connection()
    deployed, place = _deployed(connection, target, wish, tags, yes, output)
    trained = _smoke_tested(connection, deployed, output) if smoke and deployed.is_changed else []
    _show(deployed, place, trained, target, output)


def _pairs(option: str, texts: Sequence[str] | None) -> dict[str, str]:
    pairs = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise BadInputError(f"{option}: expected NAME=VALUE, got {text!r}")
        pairs[name] = value
    return pairs


def _give(parameters: dict[str, str], option: str, name: str, value: object) -> None:
    """Add the parameter for which there is an option of its own."""
    if value is None:
        return
    if name in parameters:
        raise BadInputError(f"{option} and --parameter {name}: expected one of them, got both")
    parameters[name] = str(value)


def _channels(option: str, texts: Sequence[str] | None) -> list[str]:
    """Return the names of channels, which commas separate."""
    from stepml.deployment.components import CHANNELS

    found = [name for text in texts or () for name in text.split(",")]
    for name in found:
        if name not in CHANNELS:
            raise BadInputError(f"{option}: expected some of {', '.join(CHANNELS)}, got {name!r}")
    return found


def _wish(
    parameters: Mapping[str, str],
    added: Sequence[str] | None,
    removed: Sequence[str] | None,
    rotates: bool,
) -> Wish:
    from stepml.deployment.application import Wish

    given, gone = _channels("--with", added), _channels("--without", removed)
    if both := set(given) & set(gone):
        raise BadInputError(f"--with and --without: {', '.join(sorted(both))} cannot be in both")
    return Wish(parameters, given, gone, rotates)


def _require_known(parameters: Mapping[str, str]) -> None:
    from stepml.deployment.parameters import known_names

    known = known_names() if parameters else []
    for name in parameters:
        if name not in known:
            raise BadInputError(f"--parameter: expected one of {', '.join(known)}; got {name!r}")


def _deployed(
    connection: Connection,
    target: Target,
    wish: Wish,
    tags: Mapping[str, str],
    yes: bool,
    output: Output,
) -> tuple[Deployed, Place]:
    from importlib.metadata import version

    from stepml.deployment.application import Application
    from stepml.deployment.preflight import identify

    place = identify(connection)
    where = target.endpoint_url or place.region
    output.line(f"stack {target.stack!r} in account {place.account}, {where}")
    progress, consent = Progress(output), DeployConsent(yes, output)
    application = Application(
        connection,
        place,
        target.stack,
        lambda parameters: _archives(connection, parameters),
        consent=consent.require,
        report=progress,
        say=lambda line: lines([line], output),
        tags={"stepml:version": version("stepml"), **tags},
        agree=consent.require_overview,
    )
    try:
        return application.deploy(wish), place
    except KeyboardInterrupt:
        if progress.began is not None:
            output.complaint(
                "the change of that stack goes on without this command; to continue, give the same "
                "command again"
            )
        raise


def _archives(connection: Connection, parameters: Mapping[str, str]) -> Any:
    """Return the maker of the functions' packages.

    Functions of a local AWS have the libraries of this machine's Python.
    """
    from stepml.datasets import cache_directory
    from stepml.deployment.libraries import WithLibraries
    from stepml.deployment.templates import OwnFiles
    from stepml.packaging.packages import FUNCTIONS_PROCESSOR, PROCESSORS, PYTHON_VERSION

    if connection.local_id:
        return OwnFiles()
    architecture = parameters.get("Architecture", FUNCTIONS_PROCESSOR)
    if architecture not in PROCESSORS:
        raise BadInputError(
            f"--parameter Architecture: expected one of {', '.join(PROCESSORS)}, got "
            f"{architecture!r}"
        )
    version = parameters.get("Runtime", PYTHON_VERSION).removeprefix("python")
    return WithLibraries(cache_directory() / "packages", architecture, version)


def _smoke_tested(connection: Connection, deployed: Deployed, output: Output) -> list[Any]:
    from stepml.client import Client
    from stepml.deployment.smoke import smoke
    from stepml.job.channels import channels_of_stack

    names = channels_of_stack(deployed.stack.parameters)
    with output.working(f"training tiny jobs over {', '.join(names)}"):
        return smoke(Client(connection, deployed.stack.name), names)


def _show(
    deployed: Deployed, place: Place, trained: Sequence[Any], target: Target, output: Output
) -> None:
    from stepml.deployment.consoles import state_machine_url

    stack = deployed.stack
    machine = stack.outputs["TrainStateMachineArn"]
    console = state_machine_url(place, machine)
    output.document(
        {
            "stack": stack.name,
            "status": stack.status,
            "changed": deployed.is_changed,
            "outputs": dict(stack.outputs),
            "smoke": [{"channel": each.channel, "seconds": each.seconds} for each in trained],
            "console": console,
        }
    )
    output.line("deployed" if deployed.is_changed else "nothing to change")
    for each in trained:
        output.line(f"  a job over {each.channel} trained in {each.seconds:.0f} s")
    on_aws = {} if target.endpoint_url else {"console": console}
    output.pairs({"bucket": stack.outputs["Bucket"], "state machine": machine, **on_aws})
    endpoint = f" --endpoint-url {target.endpoint_url}" if target.endpoint_url else ""
    output.line("First job:")
    output.line(f"  stepml data get digits --upload{target.flags}")
    for line in FIRST_JOB:
        output.line(f"  {line}")
    output.line(f"  stepml run first.json{target.flags}")
    output.line("The same by AWS's own command line:")
    output.line(f"  aws stepfunctions start-execution --name first{endpoint} \\")
    output.line(f"    --state-machine-arn {machine} \\")
    output.line("    --input file://first.json")
