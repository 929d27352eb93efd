"""Reads a job's documents from the stack's bucket and verifies their checksums."""

from __future__ import annotations

from typing import Any, TypeVar

from stepml.client.connection import Connection, translated
from stepml.records.documents import read_document
from stepml.records.errors import ServiceRefusedError

T = TypeVar("T")

ABSENT = frozenset({"NoSuchKey", "404"})


def find_document(
    connection: Connection, bucket: str, key: str, kind: type[T], what: str
) -> T | None:
    """Return the document under ``key``, or None if there is none.

    Raises
    ------
    ReportUnreadableError
        It is damaged, or of another version. ``what`` names it in the message.
    """
    found = find_object(connection, bucket, key)
    return None if found is None else read_document(found["Body"].read(), kind, key, what)


def find_object(connection: Connection, bucket: str, key: str) -> dict[str, Any] | None:
    """Return S3's answer for ``key``, with ETag and an unread Body, or None if it is absent."""
    try:
        with translated(connection.endpoint_url):
            return dict(connection.client("s3").get_object(Bucket=bucket, Key=key))
    except ServiceRefusedError as error:
        if error.code in ABSENT:
            return None
        raise


def is_there(connection: Connection, bucket: str, key: str) -> bool:
    """Return whether ``key`` has an object."""
    try:
        with translated(connection.endpoint_url):
            connection.client("s3").head_object(Bucket=bucket, Key=key)
    except ServiceRefusedError as error:
        if error.code in ABSENT:
            return False
        raise
    return True
