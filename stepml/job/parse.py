"""Strict parsing of the job spec, before anything starts."""

from __future__ import annotations

from typing import Any

from stepml.job.combinations import contradictions
from stepml.job.errors import InvalidJobError
from stepml.job.json_text import job_text, json_document
from stepml.job.salvage import salvaged
from stepml.job.spec import JobSpec


def parse_job(job: bytes | str | dict[str, Any], file: str = "") -> JobSpec:
    """Return the job spec of ``job``, with every field checked.

    Parameters
    ----------
    job : bytes, str or dict
        The JSON text, or its object. Bytes are UTF-8, UTF-16 or UTF-32.
    file : str
        The file of the text, for messages about its JSON.

    Raises
    ------
    InvalidJobError
        ``job`` is not JSON, or a field is unknown, missing, of another type or out of its limits,
        or contradicts another. The message names every such field.
    """
    text = job_text(job, file) if isinstance(job, bytes) else job
    document = json_document(text, file) if isinstance(text, str) else text
    spec, mistakes = salvaged(document)
    if spec is None or mistakes:
        raise InvalidJobError.of(mistakes)
    return spec


def require_no_contradiction(spec: JobSpec) -> None:
    """Raise `InvalidJobError` if fields of ``spec`` contradict each other."""
    if found := contradictions(spec):
        raise InvalidJobError.of(found)
