"""Prepare chooses a job's functions by name."""

from __future__ import annotations

import pytest

from stepml.job import algorithms, models
from stepml.job.spec import Data, JobSpec
from stepml.job.tasks import JobFunctions


@pytest.mark.parametrize(
    ("format_", "model", "functions"),
    [
        ("csv", models.Svm(), ["partition", "initialise", "executor", "reducer", "finalise"]),
        (
            "parquet",
            models.Svm(),
            ["partition-parquet", "initialise", "executor", "reducer", "finalise"],
        ),
        (
            "csv",
            models.Neural(network="mlp"),
            ["partition", "initialise-torch", "executor-torch", "reducer", "finalise-torch"],
        ),
    ],
)
def test_format_and_model_choose_the_functions(
    format_: str, model: models.Model, functions: list[str]
) -> None:
    spec = JobSpec(
        data=Data(uri="s3://bucket/rows", format=format_),
        model=model,
        algorithm=algorithms.ModelAveraging(),
    )
    assert [*JobFunctions.of(spec).to_event().values()] == functions
