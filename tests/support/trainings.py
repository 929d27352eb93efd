"""Whole jobs in this process, from the data to the trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stepml.job import keys
from stepml.job.reports import JobReport
from stepml.ml.artifact import ARRAYS_FILE, CARD_FILE, Artifact
from stepml.trained_model import TrainedModel
from tests.support.jobs import Job

MOST_EPOCHS = 60


def job_on(content: bytes, key: str = "rows.csv", **spec: Any) -> Job:
    """Return a job on one object, whose settings are those of StepML unless ``spec`` has them."""
    data = {"uri": f"s3://data/{key}"} | spec.pop("data", {})
    if "validation" not in data:
        data.setdefault("validation_fraction", 0.0)
    found = Job(chooses=True, data=data, **{"workers": 2, "algorithm": None, "stop": {}} | spec)
    found.data.save(key, content)
    return found


def run(job: Job) -> JobReport:
    """Train a job to its end, and return its report."""
    job.initialised()
    for epoch in range(1, MOST_EPOCHS + 1):
        if job.epoch(epoch).decision != "continue":
            return job.finalise(epoch)
    raise AssertionError(f"the job goes on after {MOST_EPOCHS} epochs")


def model_of(job: Job) -> TrainedModel:
    """Return the model of a job that has ended."""
    packed = (job.storage.load(key(job.job_id)) for key in (keys.model, keys.model_card))
    return TrainedModel(Artifact.unpack(*packed))


def save_model(job: Job, directory: Path) -> Path:
    """Write the files of a job's model, as ``stepml run`` does."""
    for name, key in ((ARRAYS_FILE, keys.model), (CARD_FILE, keys.model_card)):
        directory.joinpath(name).write_bytes(job.storage.load(key(job.job_id)))
    return directory
