"""Names: of the stack, and of jobs, which are those that an execution may have."""

from __future__ import annotations

import re
import secrets
import time

from stepml.job.errors import InvalidJobError

MAX_NAME = 80  # characters in the name of a Step Functions execution
LATEST = "latest"  # stands for the newest job
DEFAULT_STACK = "stepml"  # the CloudFormation stack
MAX_STEM = 40  # of these, the most that come from the name of the job's file
_ALLOWED = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_-]*")
# Each epoch is a child execution named <job id>-e<epoch>-r<redrives>-t<retries> (train.asl.json);
# AWS allows at most 1,000 redrives of an execution, RunEpoch retries once.
_SUFFIX = "-e{max_epochs}-r9999-t99"
_OF_A_CHILD = re.compile(r"-[ce]\d+-r\d+-t\d+$")


def check_job_id(job_id: str, max_epochs: int) -> str:
    """Return ``job_id`` if it can name a job and the child executions of its epochs.

    Raises
    ------
    InvalidJobError
        It has other characters than letters, digits, ``-`` and ``_``, or begins with ``-``, or
        leaves no room for the suffix of its epochs' names, or ends like one; or it is ``latest``.
    """
    if job_id == LATEST:
        raise InvalidJobError(f"run name: {LATEST!r} stands for the newest job; choose another one")
    if not _ALLOWED.fullmatch(job_id):
        raise InvalidJobError(
            "run name: expected letters, digits, '-' and '_' only, not beginning with '-', "
            f"got {job_id!r}{_suggestion(job_id)}"
        )
    if _OF_A_CHILD.search(job_id):
        raise InvalidJobError(
            "run name: expected a name that does not end like that of an epoch or a continuation, "
            f"got {job_id!r}"
        )
    longest = MAX_NAME - len(_SUFFIX.format(max_epochs=max_epochs))
    if len(job_id) > longest:
        raise InvalidJobError(
            f"run name: expected at most {longest} characters (with stop.max_epochs {max_epochs}, "
            f"each epoch's own name needs the rest of {MAX_NAME}), got {len(job_id)}: {job_id!r}"
        )
    return job_id


def stem_of(file: str) -> str:
    """Return the name of a file, without its suffix, in characters that a job id may have."""
    return re.sub(r"[^0-9A-Za-z_-]+", "-", file).strip("-")[:MAX_STEM] or "job"


def new_name(stem: str) -> str:
    """Return a name for a run from a stem and the local time."""
    # Three random letters distinguish runs that start in the same second.
    return f"{stem_of(stem)}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)[:3]}"


def _suggestion(job_id: str) -> str:
    """Explain the commonest other character, a dot, which Step Functions itself allows."""
    other = job_id.replace(".", "-")
    if not _ALLOWED.fullmatch(other):
        return ""
    return f" (AWS logs no execution with a dot in its name; try {other!r})"
