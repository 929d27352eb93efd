"""Uploads many files, after looking at what is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from stepml.client.connection import Connection
from stepml.client.transfers import Content, Presence, presence, send
from stepml.records.errors import UploadRefusedError

_AT_ONCE = 8
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Sending:
    """A file, its key, and whether the bucket has it."""

    key: str
    content: Content
    presence: Presence


def examined(connection: Connection, bucket: str, files: Mapping[str, Path]) -> list[Sending]:
    """Return each of the ``files``, which are given by their keys, and whether it is there."""

    def examine(key: str) -> Sending:
        content = Content.of(files[key])
        return Sending(key, content, presence(connection, bucket, key, content))

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(examine, files))


def to_send(found: Sequence[Sending], bucket: str, *, force: bool, remedy: str) -> list[Sending]:
    """Return the files that are not in the bucket yet.

    Parameters
    ----------
    found : sequence of Sending
    bucket : str
    force : bool
        Whether objects with another content are replaced.
    remedy : str
        How the caller allows that, for the message.

    Raises
    ------
    UploadRefusedError
        There are such objects, and ``force`` is false.
    """
    others = [each.key for each in found if each.presence == "other"]
    if others and not force:
        have = "has" if len(others) == 1 else "have"
        more = ", …" if len(others) > _MOST_NAMED else ""
        raise UploadRefusedError(
            f"nothing was sent: s3://{bucket}/ {have} {', '.join(others[:_MOST_NAMED])}{more} with "
            f"another content; {remedy}"
        )
    return [each for each in found if each.presence != "same"]


def send_all(
    connection: Connection,
    bucket: str,
    files: Sequence[Sending],
    on_bytes: Callable[[int], object] | None = None,
) -> None:
    """Write the content of all ``files``; those that are there are replaced."""
    is_over = Event()

    def count(n_bytes: int) -> None:
        if is_over.is_set():  # Ctrl-C, or another file has failed: a large one ends at once
            raise CancelledError
        if on_bytes is not None:
            on_bytes(n_bytes)

    def send_one(each: Sending) -> None:
        send(connection, bucket, each.key, each.content, count)

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        try:
            list(threads.map(send_one, files))
        except BaseException:
            is_over.set()
            raise
