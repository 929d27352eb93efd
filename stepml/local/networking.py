"""Puts the network of a cloud between functions and the services of channels."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stepml.local.http_server import bind
from stepml.local.network import Network
from stepml.local_identity import HOST, endpoint_url


class Networking:
    """The network of a local AWS.

    Functions reach each of AWS's own services on a port of its own, as connections to one address
    all have the same network.

    Parameters
    ----------
    network : Network or None
        None: that of this machine.
    addresses : mapping
        ``host:port`` of the channels with a server of their own.
    application : callable
        Answers the requests to all of AWS's services.
    """

    def __init__(
        self, network: Network | None, addresses: Mapping[str, str], application: Any
    ) -> None:
        self.variables: dict[str, str] = {}  # of functions' processes
        self.described = None if network is None else asdict(network)
        names = [] if network is None else [*network.services]
        self._servers = {name: bind(0, application) for name in names if name not in addresses}
        if network is not None:
            ports = {name: server.server_port for name, server in self._servers.items()}
            endpoints = {f"AWS_ENDPOINT_URL_{name.upper()}": port for name, port in ports.items()}
            self.variables = {
                **network.variables({**addresses, **{n: f"{HOST}:{p}" for n, p in ports.items()}}),
                **{variable: endpoint_url(port) for variable, port in endpoints.items()},
            }
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        """Release the ports."""
        for server in self._servers.values():
            server.shutdown()
            server.server_close()
