"""A job before it starts: its text and its name."""

from __future__ import annotations

from stepml.job.errors import InvalidJobError
from stepml.job.json_text import job_text
from stepml.job.names import check_job_id
from stepml.job.parse import parse_job

MAX_INPUT_BYTES = 262_144  # of an execution


def checked_job(job: bytes | str, name: str, file: str = "") -> str:
    """Return the text of a job that may start.

    Parameters
    ----------
    job : bytes or str
        The JSON text.
    name : str
        Of the run.
    file : str
        The file of the text, for messages about its JSON.

    Raises
    ------
    InvalidJobError
        The job or the name is wrong.
    """
    text = (job_text(job, file) if isinstance(job, bytes) else job).removeprefix("\ufeff")
    check_job_id(name, parse_job(text, file).stop.most_epochs)
    require_small(text)
    return text


def require_small(text: str) -> None:
    """Raise `InvalidJobError` if the text of a job is too large for an execution."""
    if (size := len(text.encode())) > MAX_INPUT_BYTES:
        raise InvalidJobError(
            f"the job: expected at most {MAX_INPUT_BYTES:,} bytes, the limit of Step Functions, "
            f"got {size:,}"
        )
