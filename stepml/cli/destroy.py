"""``stepml destroy``: removes a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.consent import can_ask, is_confirmed
from stepml.cli.deleting import Yes
from stepml.cli.errors import BadInputError
from stepml.cli.figures import count, size
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
from stepml.job.names import DEFAULT_STACK

if TYPE_CHECKING:
    from stepml.deployment.destroying import Inventory
    from stepml.deployment.emptying import Holdings

CODES = (
    "Exit codes: 0 destroyed; 2 bad input, or nobody agreed; 3 there is no such stack, or AWS "
    "cannot be reached, refuses or fails."
)


def add_to(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog=f"{CODES}\n\nExample: stepml destroy --keep-bucket")(destroy)


def destroy(
    keep_bucket: Annotated[
        bool,
        typer.Option("--keep-bucket", help="Keep models, reports and data (also by default)."),
    ] = False,
    everything: Annotated[
        bool,
        typer.Option("--everything", help="Delete the buckets with all they hold, and the logs."),
    ] = False,
    yes: Yes = False,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Remove StepML from your AWS account.

    It shows what would be deleted and asks. Running jobs are stopped first.
    """
    from stepml.deployment.destroying import Destruction, require_some
    from stepml.deployment.preflight import identify

    if keep_bucket and everything:
        raise BadInputError("--keep-bucket and --everything exclude each other; give one of them")
    target, output = Target.chosen(local, endpoint_url, stack, profile, region), Output(as_json)
    connection = target.connection()
    place = identify(connection)
    output.line(
        f"stack {stack!r} in account {place.account}, {target.endpoint_url or place.region}"
    )
    destruction = Destruction(
        connection, place, stack, Progress(output), lambda line: lines([line], output)
    )
    with output.working("looking at what there is"):
        inventory = destruction.inventory()
    require_some(inventory, stack, connection.place)
    lines(_losses(inventory, everything), output)
    if not yes:
        _require_consent(output)
    destruction.destroy(inventory, everything)
    left = _left(inventory, everything)
    output.document({"stack": stack, "stopped": list(inventory.jobs), "left": left})
    is_done = inventory.stacks or everything
    output.line("destroyed" if is_done else "nothing was left to destroy")
    hint = f"stepml destroy --everything{target.flags}"
    if left:
        lines([f"  left: {each}" for each in left], output)
        lines([f"to remove every trace: `{hint}`"] if not everything else [], output)


def _losses(inventory: Inventory, everything: bool) -> list[str]:
    from stepml.deployment.changes import counted
    from stepml.deployment.secrets import RECOVERY_DAYS

    texts = ["would be deleted:"]
    texts += [f"  stack {each.name}" for each in inventory.stacks]
    if inventory.resources:
        texts.append(f"    {counted(inventory.resources)}")
    texts += [f"  the running job {each}, which is stopped" for each in inventory.jobs]
    present = [each for each in inventory.secrets if everything or not each.is_deleted]
    again = "" if everything else f", which can be restored for {RECOVERY_DAYS} days"
    texts += [f"  the secret {each.name}{again}" for each in present]
    if everything:
        texts += [f"  {each}" for each in _stored(inventory)]
    return texts if len(texts) > 1 else []


def _stored(inventory: Inventory) -> list[str]:
    """Return lines on what outlives the stacks."""
    texts = []
    if inventory.bucket is not None:
        texts.append(f"{_worded(inventory.bucket)}: models, reports and data")
    if inventory.artefacts is not None:
        texts.append(f"{_worded(inventory.artefacts)}: the code of deployments")
    if not inventory.stacks and inventory.log_groups:
        texts.append(count(len(inventory.log_groups), "log group"))
    return texts


def _left(inventory: Inventory, everything: bool) -> list[str]:
    from stepml.deployment.secrets import RECOVERY_DAYS

    texts = [] if everything else _stored(inventory)
    if not everything:
        until = f"which AWS deletes in {RECOVERY_DAYS} days; stepml deploy restores it"
        texts += [f"secret {each.name}, {until}" for each in inventory.secrets]
    if inventory.own_bucket:
        texts.append(f"bucket {inventory.own_bucket}, which is your own")
    return texts


def _worded(held: Holdings) -> str:
    return f"bucket {held.bucket} with {count(held.n_objects, 'object')}, {size(held.n_bytes)}"


def _require_consent(output: Output) -> None:
    if not can_ask(output):
        raise BadInputError("nothing was deleted: nobody can be asked here; to agree, add --yes")
    if not is_confirmed("Delete this?"):
        raise BadInputError("nothing was deleted")
