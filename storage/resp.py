"""The protocol of Redis (RESP), version 2: the part that the storage itself writes and reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard

from stepml.job.errors import (
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from storage.base import Buffer
from storage.streams import Request, Stream

Command = tuple[Buffer | str, ...]
Reply = Buffer | int | None

_DENIED = ("NOAUTH", "NOPERM", "WRONGPASS")
_FOR_NOW = (
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "BUSY",
    "MISCONF",
    "NOREPLICAS",
)


def encoded(commands: Iterable[Command]) -> Request:
    """Return ``commands`` as one request."""
    request = Request()
    for command in commands:
        request.add(b"*%d\r\n" % len(command))
        for argument in command:
            data = argument.encode() if isinstance(argument, str) else argument
            request.add(b"$%d\r\n" % len(data))
            request.add(data)
            request.add(b"\r\n")
    return request


def read_reply(stream: Stream, key: str, target: memoryview | None = None) -> Reply:
    """Return one reply: a value (in ``target`` if the sizes match), a number, or None."""
    line = stream.read_line()
    kind, rest = line[:1], line[1:]
    if kind == b"$":
        size = int(rest)
        if size < 0:
            return None
        return stream.read_value(
            size, target if target is not None and len(target) == size else None
        )
    if kind == b"+":
        return rest
    if kind == b":":
        return int(rest)
    if kind == b"*" and rest == b"-1":
        return None
    if kind == b"-":
        raise _error(rest.decode(errors="replace"), key)
    raise ConnectionError(f"Redis answers {line[:40]!r}")


def _error(message: str, key: str) -> StorageError:
    code = message.split(" ", 1)[0]
    if code in _DENIED:
        return StorageDeniedError(f"Redis at {key}: {message}")
    if code == "OOM":
        return StorageFullError(
            f"Redis at {key}: {message} It is full, and set to evict nothing (maxmemory-policy): "
            "give it more memory, or end other jobs that use it"
        )
    if code in _FOR_NOW:
        unavailable = StorageUnavailableError(f"Redis at {key}: {message}")
        unavailable.is_read_only = code == "READONLY"
        return unavailable
    return StorageError(f"Redis at {key}: {message}")


def is_value(reply: Reply) -> TypeGuard[Buffer]:
    """Return whether a reply is a value."""
    return reply is not None and not isinstance(reply, int)
