"""Folders of the stack's bucket, a page at a time, however many objects are in them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.client.stored import Stored

PAGE = 100
MOST_COUNTED = 10_000  # objects of a folder


@dataclass(frozen=True, slots=True)
class FolderPage:
    """Some of what is directly in a folder.

    Attributes
    ----------
    prefix : str
        The folder, which ends with a slash.
    folders : tuple of str
        The folders in it, each with its whole prefix.
    objects : tuple of Stored
        Its objects.
    next : str or None
        Gives the next page; None: this is the last.
    """

    prefix: str
    folders: tuple[str, ...]
    objects: tuple[Stored, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class FolderSize:
    """The objects below a folder."""

    stored: Stored
    is_whole: bool  # False: it has more objects than were counted


def folder_page(
    connection: Connection, bucket: str, prefix: str, token: str | None = None, limit: int = PAGE
) -> FolderPage:
    """Return the folders and objects directly in a folder, in the order of their names.

    Parameters
    ----------
    connection : Connection
    bucket : str
    prefix : str
        The folder, which ends with a slash.
    token : str, optional
        The `FolderPage.next` of the page before.
    limit : int
        At most 1,000.
    """
    more: dict[str, Any] = {} if token is None else {"ContinuationToken": token}
    with translated(connection.endpoint_url):
        answer = connection.client("s3").list_objects_v2(
            Bucket=bucket, Prefix=prefix, Delimiter="/", MaxKeys=limit, **more
        )
    objects = [
        Stored(each["Key"], 1, each["Size"], each["LastModified"])
        for each in answer.get("Contents", [])
        if each["Key"] != prefix  # which consoles make for an empty folder
    ]
    folders = tuple(each["Prefix"] for each in answer.get("CommonPrefixes", []))
    return FolderPage(prefix, folders, tuple(objects), answer.get("NextContinuationToken"))


def folder_size(connection: Connection, bucket: str, prefix: str) -> FolderSize:
    """Return the number and size of a folder's objects, of at most `MOST_COUNTED`."""
    pages = connection.client("s3").get_paginator("list_objects_v2")
    with translated(connection.endpoint_url):
        found = pages.paginate(Bucket=bucket, Prefix=prefix)
        each_object = (each for page in found for each in page.get("Contents", []))
        objects = list(islice(each_object, MOST_COUNTED + 1))
    counted = objects[:MOST_COUNTED]
    newest = max((each["LastModified"] for each in counted), default=None)
    total = Stored(prefix, len(counted), sum(each["Size"] for each in counted), newest)
    return FolderSize(total, len(objects) <= MOST_COUNTED)
