"""Requests after which a local AWS that lasts writes its resources."""

from __future__ import annotations

import io

import pytest

from stepml.local.keeping.requests import may_change_resources

S3 = "AWS4-HMAC-SHA256 Credential=test/20261130/us-east-1/s3/aws4_request, SignedHeaders=host"


def request(method: str, path: str, query: str = "", body: bytes = b"", **headers: str) -> bool:
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "wsgi.input": io.BytesIO(body),
        **headers,
    }
    return may_change_resources(environ)


@pytest.mark.parametrize(
    ("operation", "changes"),
    [
        ("DynamoDB_20120810.CreateTable", True),
        ("DynamoDB_20120810.UpdateTimeToLive", True),
        ("DynamoDB_20120810.PutItem", False),
        ("DynamoDB_20120810.Scan", False),
        ("AWSStepFunctions.CreateStateMachine", True),
        ("AWSStepFunctions.StartExecution", False),
        ("AWSStepFunctions.DescribeExecution", False),
        ("Logs_20140328.CreateLogStream", True),
        ("Logs_20140328.PutLogEvents", False),
        ("AWSEvents.PutRule", True),
        ("Unknown_1.Unheard", True),
    ],
)
def test_an_operation_named_by_a_header(operation: str, changes: bool) -> None:
    assert request("POST", "/", HTTP_X_AMZ_TARGET=operation) is changes


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        (b"Action=ExecuteChangeSet&StackName=a", True),
        (b"Action=DescribeStacks", False),
        (b"Action=GetCallerIdentity&Version=2011-06-15", False),
        (b"Version=2011-06-15", True),
    ],
)
def test_an_operation_named_by_a_form(body: bytes, changes: bool) -> None:
    form = "application/x-www-form-urlencoded; charset=utf-8"
    assert request("POST", "/", body=body, CONTENT_TYPE=form) is changes


@pytest.mark.parametrize(
    ("method", "path", "query", "changes"),
    [
        ("PUT", "/bucket", "", True),
        ("PUT", "/bucket/", "versioning", True),
        ("DELETE", "/bucket", "", True),
        ("PUT", "/bucket/key", "", False),
        ("PUT", "/bucket/a/b", "partNumber=1&uploadId=2", False),
        ("DELETE", "/bucket/key", "", False),
        ("POST", "/bucket", "delete", False),
        ("POST", "/bucket/", "delete=", False),
        ("PUT", "/bucket/key", "tagging", True),
        ("GET", "/bucket/key", "tagging", False),
        ("HEAD", "/bucket", "", False),
    ],
)
def test_a_request_to_s3(method: str, path: str, query: str, changes: bool) -> None:
    assert request(method, path, query, HTTP_AUTHORIZATION=S3) is changes


def test_tags_that_come_with_an_object() -> None:
    assert request("PUT", "/bucket/key", HTTP_AUTHORIZATION=S3, HTTP_X_AMZ_TAGGING="a=b")


def test_functions() -> None:
    functions = "/2015-03-31/functions"
    assert request("POST", f"{functions}")
    assert request("PUT", f"{functions}/name/code")
    assert not request("POST", f"{functions}/name/invocations")
    assert not request("GET", f"{functions}/name")
