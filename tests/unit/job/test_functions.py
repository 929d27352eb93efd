"""Prepare chooses a job's functions by name."""

from __future__ import annotations

import pytest

from stepml.job import algorithms, models
from stepml.job.data import Data
from stepml.job.errors import NotAvailableError
from stepml.job.function_kinds import FUNCTION_KINDS, refuse_missing_functions
from stepml.job.models import MODELS
from stepml.job.spec import JobSpec
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


def test_every_kind_of_function_that_a_model_needs_is_known() -> None:
    assert {each.function_kind for each in MODELS.values()} - {""} == FUNCTION_KINDS.keys()


def test_functions_that_a_deployment_lacks_are_named_with_the_way_to_them() -> None:
    refuse_missing_functions(models.Neural(network="mlp"), ["torch"])
    refuse_missing_functions(models.Svm(), [])
    with pytest.raises(NotAvailableError) as caught:
        refuse_missing_functions(models.Neural(network="mlp"), [""])
    message = str(caught.value)
    assert message.startswith("model 'neural' needs functions with torch, and this deployment has")
    for way in ("TorchImageUri is empty", "[torch]'; stepml local up", "docs/aws_settings.md"):
        assert way in message
