"""The parameter server of the local AWS: the same program as on a VM, for this machine alone."""

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

from stepml.local.identity import HOST
from stepml.packaging.sources import PACKAGE, resource_root

CHANNEL = "parameter_server"
SNAPSHOT_S = 5  # a killed one has at least what was there so long ago
_ANSWER_TIMEOUT_S = 1.0


class ParameterServerProgram:
    """How it is started, and how it is told from another one.

    Parameters
    ----------
    health : socket
        Keeps the port on which it tells how it is.
    directory : Path
        For its snapshots, of which those of an earlier local AWS are deleted.
    """

    channel = CHANNEL
    program = "python -m ps_server"

    def __init__(self, health: socket.socket, directory: Path) -> None:
        self._health = health
        self._token = secrets.token_urlsafe(32)
        self._snapshots = directory / "snapshots"
        shutil.rmtree(self._snapshots, ignore_errors=True)

    def url(self, port: int) -> str:
        """Return its address, as functions are told."""
        return f"thrift://{HOST}:{port}"

    def parameters(self, port: int) -> dict[str, str]:
        """Return the parameters of the template that say where it is, and what it is shown."""
        return {"ParameterServerUrl": self.url(port), "ParameterServerToken": self._token}

    def command(self, port: int, directory: Path) -> list[str]:
        """Return program and arguments."""
        return [
            *(sys.executable, "-m", "ps_server", "--plain-loopback"),
            *("--listen", f"{HOST}:{port}", "--health-listen", f"{HOST}:{self._health_port}"),
            *("--snapshots", str(self._snapshots), "--snapshot-seconds", str(SNAPSHOT_S)),
        ]

    def environment(self) -> dict[str, str]:
        """Return what its process finds: ``ps_server``, and the token."""
        path = os.pathsep.join(map(str, dict.fromkeys((resource_root(), PACKAGE.parent))))
        return {**os.environ, "PYTHONPATH": path, "STEPML_PS_TOKEN": self._token}

    def answering_pid(self, port: int) -> int | None:
        """Return the process id of the one that runs, None if none answers."""
        connection = HTTPConnection(HOST, self._health_port, timeout=_ANSWER_TIMEOUT_S)
        with closing(connection), suppress(OSError, HTTPException, ValueError, KeyError):
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            if answer.status == HTTPStatus.OK:  # and not while it starts, or stops
                return int(json.loads(answer.read())["pid"])
        return None

    def close(self) -> None:
        """Give back its port."""
        self._health.close()

    @property
    def _health_port(self) -> int:
        port: int = self._health.getsockname()[1]
        return port
