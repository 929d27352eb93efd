"""Buckets: what they hold, and their deletion with all versions and unfinished uploads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.client.stored import delete_objects
from stepml.records.errors import ServiceRefusedError

MOST_AT_ONCE = 1000  # objects that a request deletes


@dataclass(frozen=True, slots=True)
class Holdings:
    """The number and size of a bucket's objects."""

    bucket: str
    n_objects: int  # with old versions
    n_bytes: int


def holdings(connection: Connection, bucket: str) -> Holdings | None:
    """Return number and size of the objects of a bucket, or None if it does not exist."""
    try:
        with translated(connection.endpoint_url):
            sizes = [each.get("Size", 0) for each in _versions(connection, bucket)]
    except ServiceRefusedError as error:
        if error.code in ("NoSuchBucket", "404"):
            return None
        raise
    return Holdings(bucket, len(sizes), sum(sizes))


def delete_bucket(connection: Connection, bucket: str) -> None:
    """Delete a bucket with everything in it.

    Raises
    ------
    ServiceRefusedError
        An object cannot be deleted; others may have been.
    """
    s3 = connection.client("s3")
    with translated(connection.endpoint_url):
        found = _versions(connection, bucket)
        while batch := [*islice(found, MOST_AT_ONCE)]:
            versions: Any = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in batch]
            delete_objects(connection, bucket, versions)
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for upload in page.get("Uploads", []):
                s3.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
        s3.delete_bucket(Bucket=bucket)


def _versions(connection: Connection, bucket: str) -> Iterator[Any]:
    pages = connection.client("s3").get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=bucket):
        yield from page.get("Versions", [])
        yield from page.get("DeleteMarkers", [])
