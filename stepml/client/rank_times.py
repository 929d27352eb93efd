"""Reads where the time of an epoch's functions went."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stepml.client.connection import Connection
from stepml.client.epochs import epoch_report
from stepml.client.objects import find_object
from stepml.client.reading import read_each
from stepml.client.stack import Stack
from stepml.job import keys
from stepml.job.parts import FunctionTimes
from stepml.job.reports import EpochReport
from stepml.records.errors import ReportUnreadableError


def epoch_functions(
    connection: Connection, stack: Stack, job_id: str, epoch: int
) -> list[FunctionTimes]:
    """Return the functions of an epoch; none if they are unknown.

    The epoch's own report has them, unless there are many. A job's final report has none.

    Raises
    ------
    ReportUnreadableError
        They are damaged, or of another version.
    """
    report = epoch_report(connection, stack, job_id, epoch)
    if report is None or report.functions or not report.quantiles:
        return [] if report is None else report.functions
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


def functions_by_epoch(
    connection: Connection, stack: Stack, job_id: str, reports: Sequence[EpochReport]
) -> dict[int, list[FunctionTimes]]:
    """Return the functions of each epoch that has one of ``reports``; errors as for one."""
    found = read_each(
        lambda report: report.functions or epoch_functions(connection, stack, job_id, report.epoch),
        reports,
    )
    return {report.epoch: each for report, each in zip(reports, found, strict=True)}
