"""The parts of a server that all transports share: settings, token, calls without a vector."""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from ps_server.protocol.calls import Welcome
from ps_server.state.parameters import Parameters


@dataclass(eq=False)
class Endpoint(ABC):
    """Answers the clients of one transport."""

    parameters: Parameters
    address: tuple[str, int]  # host and port; port 0 takes a free one
    token: str = field(repr=False)  # that clients have to show
    _: KW_ONLY
    certificate: Path | None = None  # PEM files, as of `server_context`; None: no encryption
    key: Path | None = None
    client_ca: Path | None = None
    frame_bytes: int = 2**20  # of a piece of a message
    max_connections: int = 1024  # more are refused; of gRPC: calls, most of which wait
    port: int = field(init=False)  # on which it listens
    refusals: Counter[str] = field(init=False, default_factory=Counter)  # by class name

    def __post_init__(self) -> None:
        if not self.token:
            raise ValueError("token: expected the token that clients have to show, got none")

    @property
    @abstractmethod
    def connections(self) -> int:
        """Clients that are connected; of gRPC, which does not tell, calls under way."""

    @abstractmethod
    def start(self) -> None: ...
    @abstractmethod
    def stop(self, grace_s: float = 5.0) -> None:
        """Accept no more, let calls that are under way end, then close all connections."""

    def is_token(self, shown: bytes, scheme: bytes = b"") -> bool:
        """Compare it, behind its ``scheme``, with the deployment's in constant time."""
        return hmac.compare_digest(shown, scheme + self.token.encode())

    def answer(self, name: str, arguments: dict[str, Any]) -> Any:
        """Make a call without a vector, by its name in `ParameterClient`."""
        if name in ("authenticate", "ping"):
            return Welcome(self.parameters.incarnation, self.frame_bytes)
        if name == "statistics":
            return self.parameters.statistics(self.connections)
        return getattr(self.parameters, name)(**arguments)
