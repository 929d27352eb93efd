"""The rows of a job's shards, as a data frame in the order of the data."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lambdas.job_store.shards import load_shard
from stepml.job.data_keys import shard
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


def prepared_frame(job: Job, by: str | None = "n") -> pd.DataFrame:
    """Return the features of all rows, in order of the feature ``by``, and the labels."""
    job.initialise()
    plan = job.training_plan()
    loaded = load_shard(job.store, plan, 0)
    frame = pd.DataFrame(dense(loaded.X), columns=plan.feature_names or None)
    frame[LABEL] = loaded.y
    return frame if by is None else frame.sort_values(by).reset_index(drop=True)
