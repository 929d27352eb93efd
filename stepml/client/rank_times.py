"""Reads where the time of an epoch's functions went, if its report does not say it."""

from __future__ import annotations

import msgspec

from stepml.client.connection import Connection
from stepml.client.errors import ReportUnreadableError
from stepml.client.objects import find_object
from stepml.client.stack import Stack
from stepml.job import keys
from stepml.job.parts import FunctionTimes


def epoch_functions(
    connection: Connection, stack: Stack, job_id: str, epoch: int
) -> list[FunctionTimes]:
    """Return the functions of an epoch of many ranks; none if they are unknown.

    Raises
    ------
    ReportUnreadableError
        They are damaged, or of another version.
    """
    found = find_object(connection, stack.bucket, keys.ranks(job_id, epoch))
    if found is None:
        return []
    try:
        return msgspec.json.Decoder(FunctionTimes).decode_lines(found["Body"].read())
    except msgspec.MsgspecError as error:
        raise ReportUnreadableError(
            f"the times of epoch {epoch} of {job_id} are of another version of StepML, or "
            f"damaged: {error}"
        ) from None
