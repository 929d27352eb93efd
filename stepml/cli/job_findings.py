"""The findings of ``stepml check``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stepml.cli.job_input import with_settings
from stepml.cli.options import Target
from stepml.client.job_findings import JobFindings, findings_in
from stepml.client.job_sources import job_json
from stepml.job.errors import InvalidJobError


def findings_of(
    content: bytes,
    file: str,
    target: Target,
    data: Path | None = None,
    code: Path | None = None,
    settings: Sequence[str] | None = None,
) -> JobFindings:
    """Return everything that is found about the job in ``content``.

    Parameters
    ----------
    content : bytes
        The job in JSON, YAML or TOML.
    file : str
        The job's file, for messages.
    target : Target
        Where it would run; not asked if ``data`` is given.
    data : Path, optional
        The data on this machine, instead of ``data.uri``.
    code : Path, optional
        The code of ``model.entry_point``.
    settings : sequence of str, optional
        Fields of the job that are set: ``workers=8``.
    """
    try:
        text = with_settings(job_json(content, file), settings, file)
    except InvalidJobError as error:
        found = JobFindings()
        found.refuse(error)
        return found
    return findings_in(text, target.client, data, code, file)
