"""``stepml data ls`` and ``stepml data rm``: data in the stack's bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.deleting import Yes, amount, delete_all
from stepml.cli.errors import LOOKING_EXIT_CODES, BadInputError
from stepml.cli.figures import size
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
from stepml.client.stored import stored, stored_below
from stepml.job.names import DEFAULT_STACK
from stepml.job.places import DATA, absolute, bucket_and_key

if TYPE_CHECKING:
    from stepml.client import Client
    from stepml.client.stored import Stored

# The folders of data in the bucket, with the loss when something is deleted there.
LOSSES = {
    DATA: "data of yours are lost, and jobs that name them can no longer begin",
    "datasets/": "jobs make these partitioned data again when they need them, which takes time",
    "code/": "code of networks is lost: jobs with it can no longer be retried or resumed",
}


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command(epilog=f"{LOOKING_EXIT_CODES}\n\nExample: stepml data ls --local")(ls)
    app.command(epilog=f"{LOOKING_EXIT_CODES}\n\nExample: stepml data rm data/rows.csv")(rm)


def ls(
    place: Annotated[
        str | None,
        typer.Argument(metavar="FOLDER", help="Only this folder, such as data/fashion/."),
    ] = None,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """List the data in the stack's bucket: your own, partitioned data sets, and code."""
    client = Target.chosen(local, endpoint_url, stack, profile, region).client()
    folders = list(LOSSES) if place is None else [f"{in_bucket(client, place).rstrip('/')}/"]
    bucket = client.stack.bucket
    found = [each for folder in folders for each in stored_below(client.connection, bucket, folder)]
    output = Output(as_json)
    output.document({"bucket": bucket, "places": [_document(each) for each in found]})
    if not found:
        output.line(f"nothing lies in s3://{bucket}/ below {', '.join(folders)}")
        return
    output.line(f"s3://{bucket}/", style="bold")
    for each in found:
        written = "" if each.newest is None else each.newest.astimezone().strftime("%Y-%m-%d %H:%M")
        output.line(f"  {each.place}  {amount(each)}, {written}")
    output.line(f"  {size(sum(each.n_bytes for each in found))} in all")


def rm(
    places: Annotated[
        list[str],
        typer.Argument(metavar="PLACE", help="An object, or a folder, which ends with a slash."),
    ],
    yes: Yes = False,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Delete data in the stack's bucket, after showing what and how much."""
    client = Target.chosen(local, endpoint_url, stack, profile, region).client()
    keys = [in_bucket(client, each) for each in dict.fromkeys(places)]
    losses = dict.fromkeys(_loss(each) for each in keys)
    found = [_existing(client, each) for each in keys]
    delete_all(client, found, "; ".join(losses), yes, Output(as_json))


def in_bucket(client: Client, place: str) -> str:
    """Return the key or prefix of a place, which must be in the stack's bucket."""
    bucket, key = bucket_and_key(absolute(place, client.stack.bucket))
    if bucket != client.stack.bucket:
        raise BadInputError(
            f"expected a place in the bucket of the stack, {client.stack.bucket}, got {place!r}"
        )
    return key


def _loss(key: str) -> str:
    for folder, loss in LOSSES.items():
        if key.startswith(folder):
            return loss
    raise BadInputError(
        f"expected a place in {', '.join(LOSSES)}, got {key!r}; for what jobs have left: "
        "stepml jobs rm NAME"
    )


def _existing(client: Client, key: str) -> Stored:
    found = stored(client.connection, client.stack.bucket, key)
    if not found.n_objects and not key.endswith("/"):
        below = stored(client.connection, client.stack.bucket, f"{key}/")
        # They load NumPy.
        from stepml.client.catalogues import BucketObjects
        from stepml.ml.data.meant_keys import hint_at_key

        objects = BucketObjects(client.connection, client.stack.bucket)
        is_folder = f"; {key}/ is a folder, with {amount(below)}"
        hint = is_folder if below.n_objects else hint_at_key(objects, key)
        raise BadInputError(f"nothing lies at s3://{client.stack.bucket}/{key}{hint}")
    if not found.n_objects:
        raise BadInputError(f"nothing lies below s3://{client.stack.bucket}/{key}")
    return found


def _document(found: Stored) -> dict[str, object]:
    return {
        "place": found.place,
        "objects": found.n_objects,
        "bytes": found.n_bytes,
        "newest": found.newest.isoformat() if found.newest else None,
    }
