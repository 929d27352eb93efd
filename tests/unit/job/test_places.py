"""Places in S3: with a bucket, or as a path in the stack's own bucket."""

from __future__ import annotations

from typing import Any

import pytest

from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job, require_no_contradiction
from stepml.job.places import absolute, bucket_and_key
from stepml.job.spec import JobSpec

OWN = "stack-bucket"


def job(uri: str, validation: str | None = None, **fields: Any) -> JobSpec:
    data = {"uri": uri, "format": "csv"}
    held_out = {} if validation is None else {"validation": {"uri": validation}}
    return parse_job({"data": data | held_out, "model": {"name": "svm"}, **fields})


def network(**fields: Any) -> JobSpec:
    model = {"name": "neural", **fields}
    code = {} if "network" in fields else {"code": "code/own.zip"}
    return parse_job({"data": {"uri": "images/"}, "model": model, **code})


@pytest.mark.parametrize("path", ["rows.csv", "data/rows.csv", "data/", "a b/ü.csv", "_x", "1.csv"])
def test_a_path_without_a_bucket_is_in_the_stacks_bucket(path: str) -> None:
    assert job(path).in_bucket(OWN).data.uri == f"s3://{OWN}/{path}"
    assert bucket_and_key(absolute(path, OWN)) == (OWN, path)


def test_a_place_with_a_bucket_stays() -> None:
    given = job("s3://other/rows.csv", "s3://other/later.csv")
    assert given.in_bucket(OWN) == given


def test_every_place_of_a_job_may_leave_out_the_bucket() -> None:
    held_out = job("rows.csv", "later.csv").in_bucket(OWN).data.validation
    assert held_out is not None
    assert held_out.uri == f"s3://{OWN}/later.csv"
    own_code = network(entry_point="own:network").in_bucket(OWN)
    assert own_code.code == f"s3://{OWN}/code/own.zip"
    own_weights = network(network="mlp", weights="models/first.safetensors").in_bucket(OWN)
    assert own_weights.model.weights_uri == f"s3://{OWN}/models/first.safetensors"


@pytest.mark.parametrize(
    ("uri", "validation"),
    [
        ("rows.csv", "s3://other/later.csv"),
        ("s3://other/rows.csv", "later.csv"),
        ("s3://one/rows.csv", "s3://other/later.csv"),
    ],
)
def test_validation_rows_in_another_bucket_are_refused(uri: str, validation: str) -> None:
    with pytest.raises(InvalidJobError, match=r"data\.validation\.uri: expected an object in"):
        require_no_contradiction(job(uri, validation).in_bucket(OWN))


def test_validation_rows_in_the_stacks_bucket_may_be_named_in_both_ways() -> None:
    require_no_contradiction(job("rows.csv", f"s3://{OWN}/later.csv").in_bucket(OWN))
    require_no_contradiction(job(f"s3://{OWN}/rows.csv", "later.csv").in_bucket(OWN))
