"""The parameter server of the local AWS: the same program as on a VM, on a loopback address."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from stepml.job.channels import CHANNELS, PARAMETER_SERVER
from stepml.local.ports import port_of
from stepml.local_identity import HOST
from stepml.packaging.sources import PACKAGE, resource_root

SNAPSHOT_S = 5  # a killed server loses at most the changes of so many seconds
_ANSWER_TIMEOUT_S = 1.0


class ParameterServerProgram:
    """The program that serves the channel parameter_server; a `LocalProgram`.

    Parameters
    ----------
    health : socket
        Reserves the port on which the server reports its health.
    directory : Path
        For snapshots; those of an earlier local AWS are deleted, unless it ``lasts``.
    lasts : bool
        Whether snapshots and the token are those of the earlier local AWS.
    """

    channel = PARAMETER_SERVER
    program = "python -m ps_server"

    def __init__(self, health: socket.socket, directory: Path, *, lasts: bool = False) -> None:
        self._health = health
        self._snapshots = directory / "snapshots"
        if lasts:
            self._token = _lasting_token(directory)
        else:
            self._token = secrets.token_urlsafe(32)
            shutil.rmtree(self._snapshots, ignore_errors=True)

    def url(self, port: int) -> str:
        """Return the address for functions of the server on ``port``."""
        return f"thrift://{HOST}:{port}"

    def parameters(self, port: int) -> dict[str, str]:
        """Return the template parameters with the server's address and its token."""
        address = str(CHANNELS[self.channel].parameter)
        return {address: self.url(port), "ParameterServerToken": self._token}

    def command(self, port: int, directory: Path) -> list[str]:
        """Return the executable and its arguments."""
        return [
            *(sys.executable, "-m", "ps_server", "--plain-loopback"),
            *("--listen", f"{HOST}:{port}", "--health-listen", f"{HOST}:{self._health_port}"),
            *("--snapshots", str(self._snapshots), "--snapshot-seconds", str(SNAPSHOT_S)),
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the process, with its token."""
        return {**os.environ, "PYTHONPATH": server_path(), "STEPML_PS_TOKEN": self._token}

    def answering_pid(self, port: int) -> int | None:
        """Return the process id of the running server, or None if none answers."""
        return health_pid(self._health_port)

    def close(self) -> None:
        """Release the health port."""
        self._health.close()

    @property
    def _health_port(self) -> int:
        return port_of(self._health)


def _lasting_token(directory: Path) -> str:
    """Return the token in a directory, made once: functions of earlier jobs have it."""
    path, staged = directory / "token", directory / "token.new"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        staged.touch(mode=0o600)
        staged.write_text(secrets.token_urlsafe(32))
        staged.replace(path)
    return path.read_text()


def server_path() -> str:
    """Return the PYTHONPATH of a server: our own folders."""
    return os.pathsep.join(map(str, dict.fromkeys((resource_root(), PACKAGE.parent))))


def health_pid(port: int) -> int | None:
    """Return the process id of the server with its health on ``port``; None if it is not well."""
    connection = HTTPConnection(HOST, port, timeout=_ANSWER_TIMEOUT_S)
    with closing(connection), suppress(OSError, HTTPException, ValueError, KeyError):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        if answer.status == HTTPStatus.OK:  # not while it starts or stops
            return int(json.loads(answer.read())["pid"])
    return None
