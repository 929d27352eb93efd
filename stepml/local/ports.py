"""Reserves ports of this machine for servers that start later."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from stepml.local_identity import HOST

LAST_PORT = 65535
RELEASE_S, POLL_S = 5.0, 0.05
FILE = "ports.json"  # in the directory of a local AWS that lasts
ENDPOINT = "endpoint"  # the name of its own port there


def reserve_port(first: int) -> socket.socket:
    """Return a socket that reserves the first free port from ``first`` on, or any free one.

    The socket does not listen, and sets SO_REUSEADDR after binding. A server that sets it as well,
    as all of ours do, can bind the port; the system gives it to no other program that asks for a
    free port.

    Raises
    ------
    OSError
        No port is free.
    """
    for port in chain(range(first, LAST_PORT + 1), [0]):
        reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            reserved.bind((HOST, port))
        except OSError:
            reserved.close()
            continue
        # After binding: set before, it would share the port with another reservation.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return reserved
    raise OSError(f"no port of {HOST} is free")


def reserve_again(before: int | None, first: int) -> socket.socket:
    """Return a socket that reserves the port ``before``, or another one from ``first`` on.

    A server of before that is just ending has some seconds to release its port. Its connections,
    which the system remembers for a minute, do not matter.
    """
    for _ in range(0 if before is None else round(RELEASE_S / POLL_S)):
        if (reserved := _shared(before)) is not None:
            return reserved
        time.sleep(POLL_S)
    return reserve_port(first)


def reserve_usual(port: int) -> socket.socket:
    """Return a socket that reserves ``port``, or if another server listens there, a later one."""
    return _shared(port) or reserve_port(port)


def _shared(port: int | None) -> socket.socket | None:
    """Return a socket at a port on which nobody listens, whatever connections it had."""
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind((HOST, port))
    except OSError:
        reserved.close()
        return None
    return reserved


def read_ports(directory: Path | None) -> dict[str, int]:
    """Return the ports of the earlier local AWS in a directory, which its jobs name."""
    try:
        found = {} if directory is None else json.loads((directory / FILE).read_text())
    except (OSError, ValueError):
        return {}
    ports = found if isinstance(found, dict) else {}
    return {name: port for name, port in ports.items() if isinstance(port, int)}


def write_ports(directory: Path, ports: Mapping[str, int]) -> None:
    """Write the ports for the next local AWS in a directory."""
    staged = directory / f"{FILE}.new"
    staged.write_text(json.dumps(dict(ports)))
    staged.replace(directory / FILE)


def port_of(reserved: socket.socket) -> int:
    """Return the port that ``reserved`` is bound to."""
    port: int = reserved.getsockname()[1]
    return port
