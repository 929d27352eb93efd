"""The check of a job with its data, before it starts."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from stepml.console.apart import apart
from stepml.console.defects import defect
from stepml.job.errors import InvalidJobError

if TYPE_CHECKING:
    from stepml.client.client import Client
    from stepml.client.job_findings import JobFindings

CHECK_S = 20.0  # after which a job starts without it: its first state checks the same


async def findings_before_start(
    client: Client, text: str, within_s: float = CHECK_S
) -> JobFindings | None:
    """Return the findings of a check of a job; None if it fails itself, or takes too long.

    Parameters
    ----------
    client : Client
    text : str
        The job as JSON.
    within_s : float
        The seconds for which the check is waited for.

    Raises
    ------
    InvalidJobError
        The text is no job.
    """
    try:
        return await asyncio.wait_for(apart(partial(client.check, text)), within_s)
    except InvalidJobError:
        raise
    except Exception as error:  # no rights, no service, no time: the job itself is checked again
        defect(error)
        return None


def is_right(found: JobFindings | None) -> bool:
    """Return whether a job may start, as far as a check has found."""
    return found is None or not (found.mistakes or (found.is_strict and found.warnings))
