"""Listens at a host and port, or says why it cannot."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from stepml.job.errors import StepMLError

BACKLOG = 128


class PlaceError(StepMLError):
    """The console cannot listen at a host and port."""


@dataclass(frozen=True, slots=True)
class Place:
    """The host and the port at which the console listens."""

    host: str
    port: int  # 0: any that is free


def listening(place: Place) -> socket.socket:
    """Return a socket that listens at a place.

    Raises
    ------
    PlaceError
        Another program listens there, or the host is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise PlaceError(f"--host: {place.host!r} is not known: {_reason(error)}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PlaceError(_refusal(place, error)) from error
    return listener


def _refusal(place: Place, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"--port: another program listens on port {place.port} of {place.host}, perhaps "
            "another console; give another port, or 0 for any that is free"
        )
    if error.errno == errno.EACCES:
        return (
            f"--port: this user may not listen on port {place.port}; give one from 1024 on, or 0 "
            "for any that is free"
        )
    return f"--host: this machine cannot listen at {place.host}: {_reason(error)}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
