"""Starts the servers of stacks, and says how functions reach them."""

from __future__ import annotations

import json
from pathlib import Path

from stepml.local.cache_server import CacheServer, CacheStatus
from stepml.local.channel_programs import LocalProgram
from stepml.local.ports import port_of, reserve_again
from stepml.local.stack_servers.encryption import Encryption, encryption_below
from stepml.local_identity import HOST

START_WAIT_S = 45.0  # CloudFormation waits for a server; its client gives up after a minute
# Of the functions' processes; `stepml.local.functions.bootstrap` reads it.
ROUTES_VARIABLE = "STEPML_LOCAL_ROUTES"


class StackServers:
    """The servers of all stacks of a local AWS.

    Parameters
    ----------
    first_port : int
        The first port that a server may have.
    state : Path
        Directory for their certificates and logs.
    """

    def __init__(self, first_port: int, state: Path) -> None:
        self._first_port = first_port
        self._state = state / "stack-servers"
        self._servers: dict[str, CacheServer] = {}
        self.routes: dict[str, str] = {}  # address in a private network → address here
        self._encryption: Encryption | None = None

    @property
    def encryption(self) -> Encryption:
        """The certificate of all servers, made for the first one."""
        if self._encryption is None:
            self._encryption = encryption_below(self._state)
        return self._encryption

    def directory(self, name: str) -> Path:
        """Return the folder of the server ``name``; it exists."""
        path = self._state / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def add(
        self,
        name: str,
        program: LocalProgram,
        address: str | None = None,
        *,
        before: int | None = None,
    ) -> int:
        """Reserve a port for a server; return the port.

        Parameters
        ----------
        name : str
            Of the resource, as CloudFormation names it.
        program : LocalProgram
        address : str, optional
            ``host:port`` in a private network, under which functions reach it.
        before : int, optional
            The port that it had in an earlier local AWS.
        """
        reserved = reserve_again(before, self._first_port)
        port = port_of(reserved)
        directory = self.directory(name)
        self._servers[name] = CacheServer(program, reserved, directory, START_WAIT_S)
        if address is not None:
            self.routes = {**self.routes, address: f"{HOST}:{port}"}  # others read it meanwhile
        return port

    def start(self, name: str) -> None:
        """Start a server, and wait until it answers.

        Raises
        ------
        CacheError
            It cannot be started.
        """
        self._servers[name].require()

    def remove(self, name: str) -> None:
        """End a server, unless it has been removed, and forget its address."""
        server = self._servers.pop(name, None)
        if server is not None:
            ended = f"{HOST}:{server.port}"
            self.routes = {a: here for a, here in self.routes.items() if here != ended}
            server.close()

    def statuses(self) -> list[CacheStatus]:
        return [server.status() for server in [*self._servers.values()]]

    def function_variables(self) -> dict[str, str]:
        """Return variables with which a function's process reaches these servers."""
        variables = {}
        if self._encryption is not None:
            variables["SSL_CERT_FILE"] = str(self._encryption.trusted)
        if self.routes:
            variables[ROUTES_VARIABLE] = json.dumps(self.routes)
        return variables

    def close(self) -> None:
        """End all servers."""
        for name in [*self._servers]:
            self.remove(name)
