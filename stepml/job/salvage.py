"""The right parts of a wrong job, so that all mistakes can be found at once."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job
from stepml.job.spec import JobSpec

_MOST_PASSES = 20
_UNKNOWN = re.compile(r"unknown field '(?P<name>[^']*)'")


def salvaged(document: Any) -> tuple[JobSpec | None, list[str]]:
    """Return the job without its wrong fields, and every mistake.

    Parameters
    ----------
    document : the JSON value of a job

    Returns
    -------
    spec : JobSpec or None
        None: what is left is no job.
    mistakes : list of str
        As those of `parse_job`.
    """
    mistakes: list[str] = []
    removed: list[str] = []
    document = copy.deepcopy(document)
    for _ in range(_MOST_PASSES):
        try:
            return parse_job(document), mistakes
        except InvalidJobError as error:
            found = list(getattr(error, "mistakes", ())) or [str(error)]
        # What follows from a removal is no mistake of the job's.
        mistakes += [each for each in found if not _follows(each, removed)]
        gone = [path for each in found if (path := _remove(document, each))]
        if not gone:
            return None, mistakes
        removed += gone
    return None, mistakes


def _follows(mistake: str, removed: Sequence[str]) -> bool:
    """Return whether a mistake is about a removed field, one within it, or one around it."""
    field = mistake.partition(":")[0]
    return any(
        f"{field}.".startswith(f"{path}.") or f"{path}.".startswith(f"{field}.") for path in removed
    )


def _remove(document: Any, mistake: str) -> str:
    """Remove the field of a mistake, and return its path; "" if there is none to remove."""
    path = mistake.partition(":")[0]
    if unknown := _UNKNOWN.search(mistake):
        path = f"{path}.{unknown['name']}" if path in document else unknown["name"]
    *groups, name = path.split(".")
    for group in groups:
        document = document.get(group) if isinstance(document, dict) else None
    if not isinstance(document, dict) or name not in document:
        return ""
    del document[name]
    return path
