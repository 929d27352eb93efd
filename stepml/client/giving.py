"""Uploads data for jobs: files and folders as they are, or rows in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

from stepml.client.connection import Connection
from stepml.client.stack import Stack
from stepml.client.transfers import Upload
from stepml.records.errors import UploadRefusedError

_REMEDY = "force=True replaces it, to='data/…' chooses another place"


def upload_data(
    connection: Connection,
    stack: Stack,
    source: Any,
    y: Any = None,
    sample_weight: Any = None,
    to: str | None = None,
    force: bool = False,
    on_bytes: Callable[[int], object] | None = None,
) -> Upload:
    """Copy data to the stack's bucket; see `Client.upload`."""
    if isinstance(source, str | PurePath):
        if y is not None or sample_weight is not None:
            raise UploadRefusedError("y, sample_weight: go with rows in memory, not with a file")
        return _upload_files(connection, stack, source, to, force, on_bytes)
    if to is not None or force:
        raise UploadRefusedError("to, force: go with files; rows get a place by their content")
    from stepml.client.row_uploads import upload_rows

    return upload_rows(connection, stack, source, y, sample_weight)


def _upload_files(
    connection: Connection,
    stack: Stack,
    source: str | PurePath,
    to: str | None,
    force: bool,
    on_bytes: Callable[[int], object] | None,
) -> Upload:
    from stepml.client.parcels import data_key, parcel_of  # which need NumPy
    from stepml.client.uploads import examined, send_all, to_send

    if str(source).startswith("s3://"):
        raise UploadRefusedError(f"{source} is in S3 already; stepml.Data(uri=…) names it")
    place = None if to is None else data_key(to, stack.bucket)
    parcel = parcel_of([Path(source)], place)
    found = examined(connection, stack.bucket, parcel.files)
    missing = to_send(found, stack.bucket, force=force, remedy=_REMEDY)
    send_all(connection, stack.bucket, missing, on_bytes)
    return Upload(f"s3://{stack.bucket}/{parcel.place}", sent=bool(missing))
