"""The local AWS as an HTTP server."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from stepml.local_identity import STATUS_PATH
from tests.support.running_aws import RunningAws, eventually

SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"}


@pytest.fixture
def connection(aws: RunningAws) -> Iterator[HTTPConnection]:
    with closing(HTTPConnection(urlsplit(aws.endpoint_url).netloc, timeout=60)) as connection:
        yield connection


@pytest.fixture(scope="module")
def bucket(aws: RunningAws) -> str:
    name = f"http-{uuid.uuid4().hex[:8]}"
    aws.client("s3").create_bucket(Bucket=name)
    return name


def answer(connection: HTTPConnection) -> tuple[int, bytes]:
    response = connection.getresponse()
    return response.status, response.read()


def test_a_connection_serves_one_request_after_another(
    connection: HTTPConnection, bucket: str
) -> None:
    """Refused ones, too, and ones whose body nobody reads."""
    connection.connect()
    first = connection.sock
    connection.request("GET", STATUS_PATH, body=b"unread" * 100_000)
    assert answer(connection)[0] == 200
    connection.request("PUT", f"/{bucket}/key", body=b"value")
    assert answer(connection) == (200, b"")
    connection.request("HEAD", f"/{bucket}/key", headers=SIGNED)
    assert answer(connection) == (200, b"")
    connection.request("GET", f"/{bucket}/absent", headers=SIGNED)
    assert answer(connection)[0] == 404
    connection.request("DELETE", f"/{bucket}/absent")
    assert answer(connection) == (204, b"")
    connection.request("GET", f"/{bucket}/key", headers=SIGNED)
    assert answer(connection) == (200, b"value")
    assert connection.sock is first


def test_answers_have_no_headers_for_browsers(connection: HTTPConnection, bucket: str) -> None:
    """They take a twentieth of the time of an answer, and no page of another origin asks."""
    connection.request("GET", f"/{bucket}/absent", headers=SIGNED | {"Origin": "http://a.invalid"})
    response = connection.getresponse()
    assert response.read()
    assert not [name for name, _ in response.getheaders() if name.lower().startswith("access-")]


def test_a_connection_closes_when_the_client_wants_it(connection: HTTPConnection) -> None:
    connection.request("GET", STATUS_PATH, headers={"Connection": "close"})
    assert connection.getresponse().getheader("Connection") == "close"
    assert connection.sock is None


def test_a_body_in_chunks_is_whole(connection: HTTPConnection, bucket: str) -> None:
    chunks = iter([b"a" * 70_000, b"b"])
    connection.request("PUT", f"/{bucket}/chunks", body=chunks, encode_chunked=True)
    assert answer(connection)[0] == 200
    connection.request("GET", f"/{bucket}/chunks", headers=SIGNED)
    assert answer(connection) == (200, b"a" * 70_000 + b"b")


def test_a_client_that_waits_for_100_continue_gets_it(
    connection: HTTPConnection, bucket: str
) -> None:
    connection.putrequest("PUT", f"/{bucket}/expected")
    connection.putheader("Content-Length", "5")
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    sock: socket.socket = connection.sock
    assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
    connection.send(b"value")
    assert answer(connection) == (200, b"")


@pytest.mark.parametrize("length", ["5", "five", "-5"])
def test_an_upload_that_does_not_arrive_whole_stores_nothing(
    aws: RunningAws, connection: HTTPConnection, bucket: str, length: str
) -> None:
    s3, key = aws.client("s3"), f"cut-{length}"
    connection.putrequest("PUT", f"/{bucket}/{key}")
    connection.putheader("Content-Length", length)
    connection.endheaders(b"val")
    with suppress(OSError):  # refused already
        connection.sock.shutdown(socket.SHUT_WR)
    eventually(lambda: connection.sock.recv(10_000), lambda received: not received)
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=bucket, Key=key)


def storing(connection: HTTPConnection, bucket: str, headers: dict[str, str]) -> int:
    """Return the status of a request with more headers."""
    connection.request("PUT", f"/{bucket}/key", b"value", {**SIGNED, **headers})
    return answer(connection)[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:4566"},
        {"Host": "[::1]:4566"},
        {"Host": "s3.us-east-1.amazonaws.com"},
        {"Sec-Fetch-Site": "none"},  # typed by a person
    ],
)
def test_programs_and_people_are_served(
    connection: HTTPConnection, bucket: str, headers: dict[str, str]
) -> None:
    assert storing(connection, bucket, headers) == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),  # another server of this machine
        ({"Host": "example.org:4566"}, 421),
        ({"Host": "127.0.0.1.example.org"}, 421),
        ({"Host": "localhost.example.org"}, 421),
        ({"Host": "amazonaws.com.example.org"}, 421),
        ({"Host": "evilamazonaws.com"}, 421),
    ],
)
def test_web_pages_are_refused(
    connection: HTTPConnection, bucket: str, headers: dict[str, str], status: int
) -> None:
    assert storing(connection, bucket, headers) == status
