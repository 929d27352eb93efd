"""Files to and from the stack's bucket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stepml.client.connection import Connection, translated
from stepml.client.errors import ServiceRefusedError
from stepml.client.stack import Stack
from stepml.job import keys


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file that lies in the bucket."""

    uri: str  # s3://…
    sent: bool  # False: it was there already


def upload(
    connection: Connection,
    stack: Stack,
    path: Path,
    key: str,
    on_bytes: Callable[[int], object] | None = None,
) -> Upload:
    """Copy ``path`` to ``key`` of the bucket, unless an object of the same size is there.

    Parameters
    ----------
    on_bytes : callable, optional
        Called with the number of bytes of each portion that was sent, from other threads.
    """
    uri = f"s3://{stack.bucket}/{key}"
    if _size(connection, stack.bucket, key) == path.stat().st_size:
        return Upload(uri, sent=False)
    with translated(connection.endpoint_url), path.open("rb") as data:
        # Not upload_file: that wraps the service's error in one of its own.
        connection.client("s3").upload_fileobj(
            data, stack.bucket, key, Callback=on_bytes or _ignored
        )
    return Upload(uri, sent=True)


def download_results(
    connection: Connection, stack: Stack, job_id: str, directory: Path
) -> dict[str, Path]:
    """Copy a job's model and report to ``directory``; files there are replaced.

    Returns
    -------
    dict
        ``model``, ``model_card`` and ``report``, each with its path.
    """
    sources = {
        "model": keys.model(job_id),
        "model_card": keys.model_card(job_id),
        "report": keys.report(job_id),
    }
    directory.mkdir(parents=True, exist_ok=True)
    files = {}
    for what, key in sources.items():
        files[what] = directory / key.rsplit("/", 1)[1]
        with translated(connection.endpoint_url):  # boto3 writes aside, then renames
            connection.client("s3").download_file(stack.bucket, key, str(files[what]))
    return files


def _size(connection: Connection, bucket: str, key: str) -> int | None:
    try:
        with translated(connection.endpoint_url):
            return connection.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"]
    except ServiceRefusedError as error:
        if error.code == "404":
            return None
        raise


def _ignored(_sent_bytes: int) -> None:
    return None
