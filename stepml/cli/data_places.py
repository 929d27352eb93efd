"""Places of data in arguments: files and folders of this machine, and objects of buckets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stepml.cli.errors import BadInputError
from stepml.cli.options import Target
from stepml.client.data_places import DataPlace, bucket_place, local_place
from stepml.job.places import absolute, is_absolute


def place_of(text: str, target: Target) -> DataPlace:
    """Return the place ``text``: a file or folder, ``s3://…``, or a key of the stack's bucket.

    Raises
    ------
    BadInputError
        It is a path of this machine at which nothing lies.
    AccessError
        The bucket cannot be reached.
    """
    if is_absolute(text):
        return _in_bucket(text, target)
    if Path(text).exists():
        return local_place(Path(text))
    if text.startswith((".", "/", "~")) or "\\" in text:
        raise BadInputError(f"{text!r} cannot be read: No such file or directory")
    return _in_bucket(text, target)


def _in_bucket(uri: str, target: Target) -> DataPlace:
    """Return the place of ``uri``, which may leave out the stack's bucket."""
    connection = target.connection()
    if is_absolute(uri):
        return bucket_place(connection, uri)
    own = target.client().stack.bucket
    return replace(bucket_place(connection, absolute(uri, own), own), missing=uri)
