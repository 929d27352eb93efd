"""The servers of channels such as redis and parameter_server.

They are the real programs, on loopback ports that are reserved when the local AWS starts, so that
the stack can name them before they run. Each starts when a job needs it, and then runs until the
local AWS ends: if it dies, it is started again. It ends with the local AWS, even if that is killed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from stepml.job.channels import PARAMETER_SERVER
from stepml.local.cache_server import CacheServer, CacheStatus
from stepml.local.channel_programs import PROGRAMS, LocalProgram
from stepml.local.parameter_server import ParameterServerProgram
from stepml.local.ports import (
    ENDPOINT,
    port_of,
    read_ports,
    reserve_again,
    reserve_port,
    write_ports,
)
from stepml.local_identity import ACCOUNT_ID, HOST, REGION
from stepml.packaging.packages import FUNCTION_PACKAGES

START_WAIT_S = 10.0


def template_parameters(caches: Iterable[CacheStatus], concurrency: int) -> dict[str, str]:
    """Return the parameters of ``templates/template.yaml`` that describe this machine.

    An image's URI is empty unless the Python that runs StepML has the library for it.

    Parameters
    ----------
    caches : iterable of CacheStatus
    concurrency : int
        Functions that run at once.
    """
    parameters = {
        "AccountConcurrency": str(concurrency),
        "TorchInstructions": "all",  # there is one CPU
        **_image_uris(),
    }
    for cache in caches:
        parameters |= cache.parameters
    return parameters


def _image_uris() -> dict[str, str]:
    repository = f"{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com"  # the local AWS reads no image
    return {
        kind.parameter: f"{repository}/{name}" if find_spec(kind.library) else ""
        for name, package in FUNCTION_PACKAGES.items()
        if (kind := package.image_of)
    }


class Caches:
    """All servers of a local AWS.

    Parameters
    ----------
    port : int
        Port of the local AWS; the servers get the next free ones.
    state : Path
        Directory for their logs.
    start_wait_s : float
        Seconds that a job waits until its server answers.
    keep : Path, optional
        Directory of a local AWS that lasts, for what the parameter server has.
    """

    def __init__(
        self,
        port: int,
        state: Path,
        *,
        start_wait_s: float = START_WAIT_S,
        keep: Path | None = None,
    ) -> None:
        self._servers: dict[str, CacheServer] = {}
        before, ports = read_ports(keep), {ENDPOINT: port}
        for program in _programs(port, state, keep):
            reserved = reserve_again(before.get(program.channel), port + 1)
            port = port_of(reserved)
            self._servers[program.channel] = CacheServer(program, reserved, state, start_wait_s)

        if keep is not None:
            write_ports(keep, ports | {name: each.port for name, each in self._servers.items()})

    def start_for(self, execution_input: str | None) -> None:
        """Start the server that an execution needs, unless it runs.

        Parameters
        ----------
        execution_input : str, optional
            A JSON text. Only jobs need a server.

        Raises
        ------
        CacheError
            The server cannot be used: for example, its program is not installed.
        """
        server = self._servers.get(_channel(execution_input))
        if server is not None:
            server.require()

    def statuses(self) -> list[CacheStatus]:
        return [server.status() for server in self._servers.values()]

    def addresses(self) -> dict[str, str]:
        """Return ``host:port`` of each channel's server."""
        return {name: f"{HOST}:{server.port}" for name, server in self._servers.items()}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the figures of each running server by ``host:port`` and CloudWatch's names."""
        servers = self._servers.values()
        return {f"{HOST}:{each.port}": each.counts() for each in servers}

    def close(self) -> None:
        """End all servers and release their ports."""
        for server in self._servers.values():
            server.close()


def _programs(port: int, state: Path, keep: Path | None) -> list[LocalProgram]:
    health = reserve_port(port + len(PROGRAMS) + 2)
    directory = (keep or state) / PARAMETER_SERVER
    return [*PROGRAMS, ParameterServerProgram(health, directory, lasts=keep is not None)]


def _channel(execution_input: str | None) -> str:
    """Return ``exchange.channel`` of a job, or an empty string for any other input."""
    value = json.loads(execution_input or "{}")
    for field in ("exchange", "channel"):
        value = value.get(field) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
