"""The largest number of epochs that a job can have."""

from __future__ import annotations

from typing import cast

from stepml.job.reports import DatasetFacts
from stepml.records.json_answers import json_object


def most_epochs(job: str, dataset: DatasetFacts | None) -> int | None:
    """Return the maximum number of epochs that a job gives, or that was chosen for it, or None."""
    given = given_epochs(job)
    if given is None and dataset is not None:
        return cast("int | None", dataset.choices.get("stop.max_epochs"))
    return given


def given_epochs(job: str) -> int | None:
    """Return the maximum number of epochs that a job gives, or None; ``job`` may be any text."""
    stop = json_object(job).get("stop", {})
    value = stop.get("max_epochs") if isinstance(stop, dict) else None
    return value if isinstance(value, int) else None
