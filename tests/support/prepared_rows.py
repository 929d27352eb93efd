"""The rows of a job's shards, as a data frame in the order of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lambdas.job_store.shards import load_shard
from stepml.job.data_keys import shard
from stepml.ml.data import unpack_shard
from stepml.trained.rows import dense
from tests.support.jobs import Job, contents
from tests.support.trainings import job_on

LABEL = "label"  # the column of labels in the frames


def partitioned(content: bytes, key: str = "rows.csv", *, workers: int = 1, **data: Any) -> Job:
    """Return a job on one object once its shards are stored.

    It clusters, unless the data have a label.
    """
    model: dict[str, Any] = {"name": "linear_regression"}
    if "label" not in data:
        model = {"name": "kmeans", "n_clusters": 1}
    job = job_on(content, key, data=data, workers=workers, model=model)
    job.partitioned()
    job.assemble()
    return job


def shards_of(job: Job) -> dict[str, bytes]:
    """Return the stored shards by their names."""
    stored = contents(job.storage)
    split = shard("", job.spec["workers"], 0.0, "", 0).split("/")[2].rpartition("-")[0]
    return {key: value for key, value in stored.items() if split in key}


def raw_frame(job: Job, by: str | None = "n") -> pd.DataFrame:
    """Return the stored features of all rows, whose missing values are NaN, and the labels."""
    (packed,) = (value for key, value in shards_of(job).items() if key.endswith("0.safetensors"))
    stored = unpack_shard(packed)
    return _frame(job, dense(stored.X), stored.y, by)


def prepared_frame(job: Job, by: str | None = "n") -> pd.DataFrame:
    """Return the features of all rows, filled and scaled, in order of ``by``, and the labels."""
    job.initialise()
    loaded = load_shard(job.store, job.training_plan(), 0)
    return _frame(job, dense(loaded.X), loaded.y, by)


def _frame(job: Job, X: Any, y: Any, by: str | None) -> pd.DataFrame:
    manifest = job.store.data_set(job.partition_plan().digest).manifest.load()
    layout, encoder = manifest.layout, manifest.encoder
    names: Sequence[str] = [
        each
        for column, each in enumerate(layout.column_names)
        if column not in layout.other_columns
    ]
    if encoder is not None:
        names = [each.name for each in encoder.features()]
    frame = pd.DataFrame(X, columns=names or None)
    frame[LABEL] = y
    return frame if by is None else frame.sort_values(by).reset_index(drop=True)
