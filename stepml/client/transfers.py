"""Transfers files to and from the stack's bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import TYPE_CHECKING

from stepml.client.connection import Connection, translated
from stepml.client.errors import ServiceRefusedError
from stepml.client.stack import Stack
from stepml.job import keys

if TYPE_CHECKING:
    from stepml.packaging.user_code import PackedCode

# Metadata of an object: the ETag of an object sent in parts is no digest of its content.
DIGEST = "sha256"


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file whose content is in the bucket."""

    uri: str  # s3://…
    sent: bool  # False if it was there already


def upload(
    connection: Connection,
    stack: Stack,
    path: Path,
    key: str,
    on_bytes: Callable[[int], object] | None = None,
) -> Upload:
    """Copy ``path`` to ``key`` of the bucket, unless an object with the same content is there.

    Parameters
    ----------
    on_bytes : callable, optional
        Called with the number of bytes of each sent portion, from other threads.
    """
    uri = f"s3://{stack.bucket}/{key}"
    with path.open("rb") as data:
        content = (path.stat().st_size, hashlib.file_digest(data, "sha256").hexdigest())
    if _content(connection, stack.bucket, key) == content:
        return Upload(uri, sent=False)
    with translated(connection.endpoint_url), path.open("rb") as data:
        # upload_file would wrap the service's error in one of its own.
        connection.client("s3").upload_fileobj(
            data,
            stack.bucket,
            key,
            ExtraArgs={"Metadata": {DIGEST: content[1]}},
            Callback=on_bytes or _ignored,
        )
    return Upload(uri, sent=True)


def upload_code(connection: Connection, stack: Stack, code: PackedCode) -> Upload:
    """Copy a user's own network to the bucket, under its digest."""
    with NamedTemporaryFile() as file:
        file.write(code.archive)
        file.flush()
        return upload(connection, stack, Path(file.name), keys.code(code.digest))


def download_results(
    connection: Connection, stack: Stack, job_id: str, directory: Path
) -> dict[str, Path]:
    """Copy a job's model and report to ``directory``, replacing files there.

    If a file cannot be copied or stored, no file appears or changes.

    Returns
    -------
    dict
        ``model``, ``model_card`` and ``report``, each with its path.

    Raises
    ------
    OSError
        A file cannot be stored.
    """
    sources = {
        "model": keys.model(job_id),
        "model_card": keys.model_card(job_id),
        "report": keys.report(job_id),
    }
    names = {what: key.rsplit("/", 1)[1] for what, key in sources.items()}
    with _made(directory), TemporaryDirectory(dir=directory, prefix=".fetching-") as aside:
        for what, key in sources.items():
            with translated(connection.endpoint_url):
                connection.client("s3").download_file(
                    stack.bucket, key, str(Path(aside) / names[what])
                )
        for name in names.values():
            (Path(aside) / name).replace(directory / name)
    return {what: directory / name for what, name in names.items()}


@contextmanager
def _made(directory: Path) -> Iterator[None]:
    """Make ``directory``; if the block fails, remove the directories that are new and empty."""
    new = [each for each in (directory, *directory.parents) if not each.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with suppress(OSError):
            for each in new:
                each.rmdir()
        raise


def _content(connection: Connection, bucket: str, key: str) -> tuple[int, str | None] | None:
    """Return an object's size and SHA-256; the latter is None if another program wrote it."""
    try:
        with translated(connection.endpoint_url):
            head = connection.client("s3").head_object(Bucket=bucket, Key=key)
            return head["ContentLength"], head["Metadata"].get(DIGEST)
    except ServiceRefusedError as error:
        if error.code == "404":
            return None
        raise


def _ignored(_sent_bytes: int) -> None:
    return None
