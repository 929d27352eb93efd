"""A job before it starts: its text and its name."""

from __future__ import annotations

from collections.abc import Sequence

from stepml.job.errors import InvalidJobError
from stepml.job.json_text import job_text, json_document
from stepml.job.names import check_job_id
from stepml.job.salvage import salvaged
from stepml.job.spec import JobSpec

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
    checked_spec(text, [name], file)
    require_small(text)
    return text


def checked_spec(text: str, names: Sequence[str], file: str = "") -> JobSpec:
    """Return the job in a JSON text, which may start under each of ``names``.

    Raises
    ------
    InvalidJobError
        The job or a name is wrong; the message has all mistakes.
    """
    spec, mistakes = salvaged(json_document(text, file))
    for name in names:
        try:
            check_job_id(name, 1 if spec is None else spec.stop.most_epochs)
        except InvalidJobError as error:
            mistakes.append(str(error))
    if spec is None or mistakes:
        raise InvalidJobError.of(mistakes)
    return spec


def require_small(text: str) -> None:
    """Raise `InvalidJobError` if the text of a job is too large for an execution."""
    if (size := len(text.encode())) > MAX_INPUT_BYTES:
        raise InvalidJobError(
            f"the job: expected at most {MAX_INPUT_BYTES:,} bytes, the limit of Step Functions, "
            f"got {size:,}"
        )
