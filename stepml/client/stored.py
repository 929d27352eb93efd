"""Objects in the stack's bucket: their number and size, and their deletion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from stepml.client.connection import Connection, translated
from stepml.records.errors import ServiceRefusedError

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef, ObjectTypeDef


@dataclass(frozen=True, slots=True)
class Stored:
    """An object, or all objects with a common prefix."""

    place: str  # in the bucket; a prefix ends with /
    n_objects: int
    n_bytes: int
    newest: datetime | None  # the time at which the last of them was written; None: there is none


def stored(connection: Connection, bucket: str, place: str) -> Stored:
    """Return the object at a key, or all objects below a prefix that ends with a slash."""
    return _total(place, _objects(connection, bucket, place))


def stored_below(connection: Connection, bucket: str, prefix: str) -> list[Stored]:
    """Return each object and each folder directly below a prefix, in the order of their names."""

    def child(each: ObjectTypeDef) -> str:
        name, slash, _ = each["Key"].removeprefix(prefix).partition("/")
        return prefix + name + slash

    found = groupby(_objects(connection, bucket, prefix), child)
    return [_total(place, objects) for place, objects in found]


def delete_stored(connection: Connection, bucket: str, place: str) -> int:
    """Delete the object at a key, or all objects below a prefix; return their number.

    Raises
    ------
    ServiceRefusedError
        An object cannot be deleted; others may have been.
    """
    n_deleted = 0
    for page in _pages(connection, bucket, place):
        delete_objects(connection, bucket, [{"Key": each["Key"]} for each in page])
        n_deleted += len(page)
    return n_deleted


def delete_objects(
    connection: Connection, bucket: str, objects: Sequence[ObjectIdentifierTypeDef]
) -> None:
    """Delete at most 1,000 objects by one request.

    Parameters
    ----------
    connection : Connection
    bucket : str
    objects : sequence of mapping
        Each has a Key, and a VersionId if one version is meant.

    Raises
    ------
    ServiceRefusedError
        An object cannot be deleted; others may have been.
    """
    with translated(connection.endpoint_url):
        answer = connection.client("s3").delete_objects(
            Bucket=bucket, Delete={"Objects": objects, "Quiet": True}
        )
    for error in answer.get("Errors", []):
        raise ServiceRefusedError(
            error.get("Code", "Unknown"), f"{error.get('Key')}: {error.get('Message')}"
        )


def _total(place: str, objects: Iterable[ObjectTypeDef]) -> Stored:
    found = list(objects)
    newest = max((each["LastModified"] for each in found), default=None)
    return Stored(place, len(found), sum(each["Size"] for each in found), newest)


def _objects(connection: Connection, bucket: str, place: str) -> Iterator[ObjectTypeDef]:
    for page in _pages(connection, bucket, place):
        yield from page


def _pages(connection: Connection, bucket: str, place: str) -> Iterator[list[ObjectTypeDef]]:
    """Yield at most 1,000 objects at a time, which one request can delete."""
    pages = connection.client("s3").get_paginator("list_objects_v2")
    with translated(connection.endpoint_url):
        for page in pages.paginate(Bucket=bucket, Prefix=place):
            objects = page.get("Contents", [])
            if not place.endswith("/"):
                objects = [each for each in objects if each["Key"] == place]
            if objects:
                yield objects
