"""Transfers files to and from the stack's bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Self

from stepml.client.connection import Connection, translated
from stepml.client.objects import ABSENT
from stepml.client.stack import Stack
from stepml.job import keys
from stepml.records.errors import ServiceRefusedError

if TYPE_CHECKING:
    from stepml.packaging.user_code import PackedCode

# Metadata of an object: the ETag of an object sent in parts is no digest of its content.
DIGEST = "sha256"


@dataclass(frozen=True, slots=True)
class Upload:
    """Local data that are in the bucket."""

    uri: str  # s3://… of an object, or of a prefix, which ends with a slash
    sent: bool  # False if all of it was there already
    settings: Mapping[str, Any] = field(default_factory=dict)  # of a job's data: how it is read

    @property
    def data(self) -> dict[str, Any]:
        """The fields of a job's ``data`` that are known: ``stepml.Data(**upload.data, …)``."""
        return {"uri": self.uri, **self.settings}


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a local file."""

    path: Path
    n_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the content of the file at ``path``, after reading it."""
        with path.open("rb") as data:
            return cls(path, path.stat().st_size, hashlib.file_digest(data, "sha256").hexdigest())

    def md5(self) -> str:
        """Return the digest that is the ETag of an object sent in one part."""
        with self.path.open("rb") as data:
            return hashlib.file_digest(
                data, partial(hashlib.md5, usedforsecurity=False)
            ).hexdigest()


Presence = Literal["absent", "same", "other"]


def presence(connection: Connection, bucket: str, key: str, content: Content) -> Presence:
    """Return whether ``key`` has ``content``, another content, or no object."""
    try:
        with translated(connection.endpoint_url):
            head = connection.client("s3").head_object(Bucket=bucket, Key=key)
    except ServiceRefusedError as error:
        if error.code in ABSENT:
            return "absent"
        raise
    digest = head["Metadata"].get(DIGEST)
    if digest is None:  # another program wrote it
        is_same = head["ContentLength"] == content.n_bytes and (
            head["ETag"].strip('"') == content.md5()
        )
    else:
        is_same = (head["ContentLength"], digest) == (content.n_bytes, content.sha256)
    return "same" if is_same else "other"


def send(
    connection: Connection,
    bucket: str,
    key: str,
    content: Content,
    on_bytes: Callable[[int], object] | None = None,
) -> None:
    """Write ``content`` to ``key``; ``on_bytes`` as that of `upload`."""
    with translated(connection.endpoint_url), content.path.open("rb") as data:
        # upload_file would wrap the service's error in one of its own.
        connection.client("s3").upload_fileobj(
            data,
            bucket,
            key,
            ExtraArgs={"Metadata": {DIGEST: content.sha256}},
            Callback=on_bytes or _ignored,
        )


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
    uri, content = f"s3://{stack.bucket}/{key}", Content.of(path)
    if presence(connection, stack.bucket, key, content) == "same":
        return Upload(uri, sent=False)
    send(connection, stack.bucket, key, content, on_bytes)
    return Upload(uri, sent=True)


def upload_code(connection: Connection, stack: Stack, code: PackedCode) -> Upload:
    """Copy a user's own network to the bucket, under its digest."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "code.zip"
        path.write_bytes(code.archive)
        return upload(connection, stack, path, keys.code(code.digest))


def download_results(
    connection: Connection, stack: Stack, job_id: str, directory: Path
) -> dict[str, Path]:
    """Copy a job's model, its report and its history to ``directory``, replacing files there.

    If a file cannot be copied or stored, no file appears or changes.

    Returns
    -------
    dict
        ``model``, ``model_card``, ``report`` and ``history``, each with its path.

    Raises
    ------
    OSError
        A file cannot be stored.
    """
    sources = {
        "model": keys.model(job_id),
        "model_card": keys.model_card(job_id),
        "report": keys.report(job_id),
        "history": keys.history(job_id),
    }
    names = {what: key.rsplit("/", 1)[1] for what, key in sources.items()}
    with _made(directory), TemporaryDirectory(dir=directory, prefix=".fetching-") as aside:
        for key in sources.values():
            _fetch(connection, stack.bucket, key, Path(aside))
        for name in names.values():
            (Path(aside) / name).replace(directory / name)
    return {what: directory / name for what, name in names.items()}


def _fetch(connection: Connection, bucket: str, key: str, directory: Path) -> None:
    with translated(connection.endpoint_url):
        name = key.rsplit("/", 1)[1]
        connection.client("s3").download_file(bucket, key, str(directory / name))


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


def _ignored(_sent_bytes: int) -> None:
    return None
