"""Any defect of a job ends it before training, by name."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.job_store import Claim
from stepml.job import keys
from stepml.job.documents import encode
from tests.support.local_stack import LocalStack, csv_rows


def failed(local_stack: LocalStack, job: Any, name: str | None = None) -> tuple[str, str]:
    """Run ``job``, which must fail before its first epoch; return the error and its message."""
    name = name or f"bad-{uuid.uuid4().hex[:8]}"
    ended = local_stack.run(job, name)
    assert ended["status"] == "FAILED"
    assert local_stack.epochs(name) == []
    assert local_stack.keys(f"jobs/{name}/epochs/") == []
    return ended["error"], json.loads(ended["cause"])["errorMessage"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"worker": 4}, "InvalidJobError", "unknown field 'worker' (did you mean 'workers'?)"),
        ({"workers": "four"}, "InvalidJobError", "workers: expected an integer from 1 to 1600"),
        ({"workers": -1}, "InvalidJobError", "workers: expected an integer from 1 to 1600, got -1"),
        (
            {"exchange": {"channel": "parameter_server", "pattern": "reduce_scatter"}},
            "InvalidJobError",
            "with channel 'parameter_server' expected reduce or async",
        ),
        (
            {"data": {"uri": "s3://no-such-bucket-anywhere/x.csv", "format": "csv"}},
            "DataNotFoundError",
            "there is no bucket for s3://no-such-bucket-anywhere/x.csv",
        ),
    ],
)
def test_a_wrong_spec(
    local_stack: LocalStack, job: dict[str, Any], change: dict[str, Any], error: str, message: str
) -> None:
    found = failed(local_stack, job | change)
    assert found[0] == error
    assert message in found[1]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (None, "DataNotFoundError", "nothing lies at s3://"),
        (b"", "EmptyDataError", "0 bytes"),
        (b"a,b\n", "EmptyDataError", "no data rows"),
        (csv_rows() + b"1,2\n", "BadRowError", "line 2002: 2 columns where 7 are expected: '1,2'"),
        (
            csv_rows() + b"1,2,3,four,5,6,0\n",
            "BadRowError",
            "line 2002: column 4 ('x3') is 'four', not a number: '1,2,3,four,5,6,0'",
        ),
        (
            csv_rows(3),
            "NotEnoughDataError",
            "workers: expected at most the number of training rows, 2",
        ),
        (b"x,label\n" + b"1,2\n" * 40, "BadLabelError", "the data have only: 2"),
    ],
)
def test_wrong_data(
    local_stack: LocalStack, job: dict[str, Any], rows: bytes | None, error: str, message: str
) -> None:
    key = f"bad/{uuid.uuid4().hex}.csv"
    uri = f"s3://{local_stack.bucket}/{key}"
    if rows is not None:
        local_stack.upload(key, rows)
    data = {"uri": uri, "format": "csv"}
    found = failed(local_stack, job | {"data": data})
    assert found[0] == error
    assert message in found[1]


def test_data_in_a_bucket_that_the_stack_does_not_name(
    local_stack: LocalStack, job: dict[str, Any]
) -> None:
    bucket = f"other-{uuid.uuid4().hex}"
    s3 = local_stack.aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="rows.csv", Body=csv_rows())
    data = {"uri": f"s3://{bucket}/rows.csv", "format": "csv"}
    found = failed(local_stack, job | {"data": data})
    assert found[0] == "DataDeniedError"
    assert f"the functions may not read s3://{bucket}/rows.csv" in found[1]
    assert "the parameter DataBucketName" in found[1]


def test_a_deeply_nested_job(local_stack: LocalStack, job: dict[str, Any]) -> None:
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    found = failed(local_stack, job | {"workers": deep})
    assert found[0] == "InvalidJobError"


def test_a_run_name_that_leaves_no_room(local_stack: LocalStack, job: dict[str, Any]) -> None:
    found = failed(local_stack, job, "x" * 75)
    assert found[0] == "InvalidJobError"
    assert "run name: expected at most 67 characters" in found[1]


def test_a_run_name_used_before(local_stack: LocalStack, job: dict[str, Any]) -> None:
    name = f"taken-{uuid.uuid4().hex[:8]}"
    local_stack.run(job, name)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        local_stack.start(job, name)


def test_a_run_name_whose_objects_outlived_its_execution(
    local_stack: LocalStack, job: dict[str, Any]
) -> None:
    name = f"claimed-{uuid.uuid4().hex[:8]}"
    claim = Claim("arn:before", "2025-01-01T00:00:00Z")
    local_stack.upload(keys.claim(name), encode(claim))
    found = failed(local_stack, job, name)
    assert found[0] == "JobIdTakenError"
    assert f"run name '{name}' is taken by arn:before" in found[1]


def test_input_that_is_not_json(local_stack: LocalStack) -> None:
    states = local_stack.aws.client("stepfunctions")
    with pytest.raises(ClientError, match="InvalidExecutionInput"):
        states.start_execution(
            stateMachineArn=local_stack.outputs["TrainStateMachineArn"], input="{not json"
        )
