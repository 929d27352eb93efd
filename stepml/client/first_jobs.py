"""A first job on data of one's own: the model is the simplest one that suits the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepml.client.catalogues import FolderFiles
from stepml.job.conversion import converted
from stepml.job.errors import InvalidDataError
from stepml.job.models import MODELS
from stepml.job.reports import DatasetFacts
from stepml.job.spec import JobSpec
from stepml.ml.job_trial import JobTrial, try_job

FOLDER = "data/"  # in a bucket
_NO_CLASSES = "labels_look_continuous"
_BUCKET = "this-machine"


@dataclass(frozen=True, slots=True)
class FirstJob:
    """A job on data that lie on this machine, and will lie at ``data.uri`` in a bucket."""

    job: dict[str, Any]
    facts: DatasetFacts


def first_job(
    path: Path, label: str | int | None = None, settings: Mapping[str, Any] | None = None
) -> FirstJob:
    """Return a job that predicts ``label``, by default the last column, from the other columns.

    At most 16 MB of the data are read, but compressed objects whole.

    Parameters
    ----------
    path : Path
        A file, or a folder of files.
    label : str or int, optional
        The name of the column, or its place.
    settings : mapping, optional
        Other fields of the job's data, such as ``decimal``.

    Raises
    ------
    InvalidDataError
        No model suits the data; the message says why, of the model that is next to them.
    """
    whole = path.resolve()
    key = FOLDER + whole.name + ("/" if whole.is_dir() else "")
    named = {} if label is None else {"label": label}
    data = {"uri": key, **named, **(settings or {})}
    found: list[JobTrial] = []
    for name in _models():
        job = {"data": data, "model": {"name": name}}
        trial = _tried(job, whole)
        is_doubtful = any(each.code == _NO_CLASSES for each in trial.warnings)
        if trial.facts is not None and not trial.mistakes and not is_doubtful:
            return FirstJob(_with_label(job, trial.facts), trial.facts)
        found.append(trial)
    nearest = min(found, key=lambda each: len(each.mistakes))
    raise InvalidDataError("; ".join(nearest.mistakes or ["no model suits the labels"]))


def _with_label(job: dict[str, Any], facts: DatasetFacts) -> dict[str, Any]:
    """Return a job that says what it predicts, if the column has a name."""
    if "label" in job["data"] or not facts.columns or facts.header is False:
        return job
    return {**job, "data": {**job["data"], "label": facts.label}}


def _tried(job: dict[str, Any], path: Path) -> JobTrial:
    key = path.name + ("/" if path.is_dir() else "")
    here = {**job, "data": {**job["data"], "uri": f"s3://{_BUCKET}/{key}"}}
    return try_job(converted(here, JobSpec), FolderFiles(path.parent))


def _models() -> Iterator[str]:
    """Yield a linear model for two classes, one for several, and one for numbers."""
    linear = {name: each for name, each in MODELS.items() if "convex" in each.traits}
    for has_classes, several in ((True, False), (True, True), (False, False)):
        yield next(
            name
            for name, each in linear.items()
            if (each.learns_classes, each.learns_several) == (has_classes, several)
        )
