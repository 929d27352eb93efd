"""Requests that the local AWS cannot serve are refused by name, at the first attempt."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stepml.local_identity import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, ask
from tests.support.running_aws import RunningAws

NO_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:none"

# One operation that moto lacks for each protocol, with AWS's code for an unknown operation.
LACKING = [
    (
        "stepfunctions",
        "get_activity_task",
        {"activityArn": NO_MACHINE},
        "UnknownOperationException",
    ),
    ("dynamodb", "list_contributor_insights", {}, "UnknownOperationException"),
    ("logs", "list_anomalies", {}, "UnknownOperationException"),
    ("lambda", "list_function_url_configs", {"FunctionName": "f"}, "UnknownOperationException"),
    (
        "lambda",
        "create_function_url_config",
        {"FunctionName": "f", "AuthType": "NONE"},
        "UnknownOperationException",
    ),
    ("cloudwatch", "list_metric_streams", {}, "UnknownOperationException"),
    ("cloudformation", "list_types", {}, "InvalidAction"),
    ("ec2", "describe_fast_snapshot_restores", {}, "InvalidAction"),
    ("s3", "list_bucket_analytics_configurations", {"Bucket": "bucket"}, "NotImplemented"),
    ("gamelift", "list_fleets", {}, "UnknownOperationException"),
]


def refused(client: Any, operation: str, **parameters: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as raised:
        getattr(client, operation)(**parameters)
    return raised.value.response


def code(client: Any, operation: str, **parameters: Any) -> str:
    return str(refused(client, operation, **parameters)["Error"]["Code"])


def page(aws: RunningAws, path: str) -> tuple[int, str, bytes]:
    try:
        with urllib.request.urlopen(f"{aws.endpoint_url}{path}") as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


class TestOperations:
    @pytest.mark.parametrize(("service", "operation", "parameters", "expected"), LACKING)
    def test_one_that_is_lacking_is_named(
        self,
        aws: RunningAws,
        service: str,
        operation: str,
        parameters: dict[str, str],
        expected: str,
    ) -> None:
        # A client that repeats requests, as boto3 does by default.
        client = boto3.client(
            service,
            endpoint_url=aws.endpoint_url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(parameter_validation=False),
        )
        answer = refused(client, operation, **parameters)
        assert answer["Error"]["Code"].startswith(expected)
        assert "the local AWS does not have" in answer["Error"]["Message"]
        assert operation.replace("_", "") in answer["Error"]["Message"].lower()
        metadata = answer["ResponseMetadata"]
        assert (metadata["HTTPStatusCode"], metadata["RetryAttempts"]) == (400, 0)

    @pytest.mark.parametrize("query", ["analytics&id=a", "metrics&id=a", "inventory&id=a"])
    def test_a_lacking_sub_resource_of_s3_leaves_the_bucket_alone(
        self, aws: RunningAws, query: str
    ) -> None:
        s3 = aws.client("s3")
        bucket = f"kept-{uuid.uuid4().hex}"
        s3.create_bucket(Bucket=bucket)
        request = urllib.request.Request(f"{aws.endpoint_url}/{bucket}?{query}", method="DELETE")
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(request)
        answer.value.close()
        assert answer.value.code == 400
        assert s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/states/x"},
            {
                "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/states/x",
                "X-Amz-Target": "AWSStepFunctions.NoSuch",
            },
            {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/x"},
            {"X-Amz-Target": "nothing"},
        ],
    )
    def test_odd_headers_get_no_page(self, aws: RunningAws, headers: dict[str, str]) -> None:
        request = urllib.request.Request(
            f"{aws.endpoint_url}/2015-03-31/functions/f/url", data=b"{}", headers=headers
        )
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(request)
        answer.value.close()
        assert 400 <= answer.value.code < 500
        assert "html" not in answer.value.headers["Content-Type"]


class TestPages:
    def test_the_root_says_what_it_is(self, aws: RunningAws) -> None:
        status, kind, body = page(aws, "/")
        assert (status, kind) == (200, "application/json")
        assert json.loads(body)["name"] == "StepML's local AWS"
        assert "states" in json.loads(body)["services"]

    def test_the_root_is_the_list_of_buckets_for_a_client(self, aws: RunningAws) -> None:
        assert "Buckets" in aws.client("s3").list_buckets()

    def test_it_says_that_it_is_healthy(self, aws: RunningAws) -> None:
        assert page(aws, "/_health")[::2] == (200, b'{"status": "running"}')

    def test_its_status_is_where_it_was(self, aws: RunningAws) -> None:
        assert ask(aws.endpoint_url, 30.0) is not None
