"""Copies rows in memory to the stack's bucket, once by their content."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from stepml.client.connection import Connection, translated
from stepml.client.objects import is_there
from stepml.client.stack import Stack
from stepml.client.transfers import Upload

if TYPE_CHECKING:
    from stepml.client.packed_rows import PackedRows

UPLOADS = "data/uploads/"
_AT_ONCE = 4  # files of up to 32 MB, which are in memory


def upload_rows(
    connection: Connection,
    stack: Stack,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    prefix: str = UPLOADS,
) -> Upload:
    """Copy rows to the stack's bucket, unless they are there already.

    Parameters
    ----------
    X, y, sample_weight : array-like
        See `stepml.client.packed_rows.packed_rows`.
    prefix : str
        Of the objects' keys; a digest of the content follows.

    Raises
    ------
    ValueError
        The rows cannot be stored.
    AccessError
        The bucket cannot be reached or refuses.
    """
    from stepml.client.packed_rows import packed_rows  # which needs NumPy

    rows = packed_rows(X, y, sample_weight)
    return send_rows(connection, stack, rows, f"{prefix}{rows.digest}/")


def send_rows(connection: Connection, stack: Stack, rows: PackedRows, place: str) -> Upload:
    """Copy packed rows to a prefix of the stack's bucket, unless they are there already."""

    def send(number: int) -> bool:
        key = place + rows.names[number]
        if is_there(connection, stack.bucket, key):
            return False
        with translated(connection.endpoint_url):
            connection.client("s3").put_object(Bucket=stack.bucket, Key=key, Body=rows.file(number))
        return True

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        sent = list(threads.map(send, range(len(rows.names))))
    return Upload(f"s3://{stack.bucket}/{place}", any(sent), rows.settings)
