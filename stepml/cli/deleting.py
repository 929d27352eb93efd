"""Deletes objects of the stack's bucket, once a person has seen what and how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.consent import can_ask, is_confirmed
from stepml.cli.errors import BadInputError
from stepml.cli.figures import count, size
from stepml.client.stored import Stored, delete_stored

if TYPE_CHECKING:
    from stepml.cli.output import Output
    from stepml.client import Client

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def delete_all(
    client: Client, found: Sequence[Stored], loss: str, yes: bool, output: Output
) -> None:
    """Show what would be deleted, ask, delete it and say so.

    Parameters
    ----------
    client : Client
    found : sequence of Stored
        None of them is empty.
    loss : str
        A line on what is lost with them.
    yes : bool
        Whether not to ask.
    output : Output

    Raises
    ------
    BadInputError
        The answer is no, or nobody can be asked.
    """
    for each in found:
        output.line(f"{each.place}: {amount(each)}")
    if not yes:
        _require_consent(loss, output)
    bucket = client.stack.bucket
    deleted = {each.place: delete_stored(client.connection, bucket, each.place) for each in found}
    total = sum(each.n_bytes for each in found)
    output.document({"deleted": deleted, "bytes": total})
    output.line(f"deleted: {count(sum(deleted.values()), 'object')}, {size(total)}")


def amount(found: Stored) -> str:
    """Return number and size of objects."""
    return f"{count(found.n_objects, 'object')}, {size(found.n_bytes)}"


def _require_consent(loss: str, output: Output) -> None:
    if not can_ask(output):
        raise BadInputError(f"nothing was deleted: {loss}; delete it all the same with --yes")
    output.complaint(loss)
    if not is_confirmed("Delete it?"):
        raise BadInputError("nothing was deleted")
