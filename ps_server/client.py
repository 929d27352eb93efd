"""A client of a parameter server, whatever the transport; opened by the server's address."""

from __future__ import annotations

import ipaddress
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, cast
from urllib.parse import urlsplit

from comm.wire import Encoded
from ps_server.calls import (
    DEFAULT_GRPC_PORT,
    DEFAULT_PORT,
    JobSettings,
    Pushed,
    Received,
    Registration,
    Statistics,
    StepStatus,
    Welcome,
)
from ps_server.refusals import ContributionsMissing
from stepml.job.step import Step

URL_VARIABLE = "STEPML_PARAMETER_SERVER_URL"  # all of them are set by templates/template.yaml
TOKEN_VARIABLE = "STEPML_PARAMETER_SERVER_TOKEN"  # noqa: S105 — its name
CA_VARIABLE = "STEPML_PARAMETER_SERVER_CA"  # PEM text
CERTIFICATE_FILE_VARIABLE = "STEPML_PARAMETER_SERVER_CERTIFICATE_FILE"
KEY_FILE_VARIABLE = "STEPML_PARAMETER_SERVER_KEY_FILE"
CA_FILE_VARIABLE = "STEPML_CA_FILE"

_SCHEMES = ("thrift", "thrifts", "grpc", "grpcs")
_EXPECTED = "thrifts://host:port or grpcs://host:port; without the s only on this machine"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a parameter server listens."""

    transport: Literal["thrift", "grpc"]
    host: str
    port: int
    is_encrypted: bool

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the address in ``url``.

        Raises
        ------
        ValueError
            It is none; or it is not encrypted and leads to another machine.
        """
        parts = urlsplit(url)
        name = "the address of the parameter server"
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"{name}: expected {_EXPECTED}, got one with a password in it")
        try:
            port = parts.port
        except ValueError:
            port = -1
        rest = parts.path.rstrip("/") + parts.query + parts.fragment
        if parts.scheme not in _SCHEMES or not parts.hostname or port == -1 or rest:
            raise ValueError(f"{name}: expected {_EXPECTED}, got {url!r}")
        transport = parts.scheme.removesuffix("s")
        is_encrypted = parts.scheme.endswith("s")
        if not is_encrypted and not is_loopback(parts.hostname):
            raise ValueError(
                f"{name}: {url!r} leads to another machine without encryption; expected {_EXPECTED}"
            )
        default = DEFAULT_PORT if transport == "thrift" else DEFAULT_GRPC_PORT
        chosen = cast(Literal["thrift", "grpc"], transport)
        return cls(chosen, parts.hostname, port or default, is_encrypted)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}{'s' if self.is_encrypted else ''}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client shows, and whom it trusts."""

    token: str
    ca: str = ""  # PEM text, such as the server's own certificate; empty: what the system trusts
    ca_file: str | None = None  # or a file
    certificate_file: str | None = None  # of the client, if the server asks for one
    key_file: str | None = None

    @classmethod
    def of_environment(cls) -> Self:
        """Return what the functions' environment says."""
        return cls(
            token=os.environ.get(TOKEN_VARIABLE, ""),
            ca=os.environ.get(CA_VARIABLE, ""),
            ca_file=os.environ.get(CA_FILE_VARIABLE) or None,
            certificate_file=os.environ.get(CERTIFICATE_FILE_VARIABLE) or None,
            key_file=os.environ.get(KEY_FILE_VARIABLE) or None,
        )


class ParameterClient(ABC):
    """One connection to a parameter server, for one thread at a time.

    It is made at the first call and, after it broke, at the next one. A call raises the server's
    `Refusal`, or `ConnectionError` or `TimeoutError` when there is no answer: then nobody knows
    whether it counted, and as all of them are idempotent it may be made again. After any of
    these the connection is closed, or as good as new.
    """

    @property
    @abstractmethod
    def server(self) -> Welcome:
        """What the server said of itself when the connection was made; connects if need be."""

    @abstractmethod
    def ping(self) -> Welcome:
        """Return what the server says of itself now."""

    @abstractmethod
    def register(self, job: str, settings: JobSettings) -> Registration:
        """Set memory aside for a job; a repetition changes nothing."""

    @abstractmethod
    def exists(self, job: str, step: Step) -> StepStatus:
        """Return which ranks have pushed to a step."""

    @abstractmethod
    def push(
        self,
        job: str,
        step: Step,
        rank: int,
        message: Encoded,
        *,
        attempt: str = "",
        based_on: int = 0,
    ) -> Pushed:
        """Give what ``rank`` has for ``step``; a repetition changes nothing.

        Parameters
        ----------
        job : str
        step : Step
        rank : int
            0 … world size - 1, or `ALL_RANKS` to give back a sum that the server has lost.
        message : Encoded
        attempt : str
            Of the epoch; a rank that is behind the others of its attempt is told so.
        based_on : int
            Version of the asynchronous model from which the update was computed.
        """

    @abstractmethod
    def pull(
        self, job: str, step: Step, rank: int, *, attempt: str = "", wait_s: float = 0.0
    ) -> Received:
        """Return a step's sum, or an asynchronous model.

        Its bytes stay what they are until the next but one call of `pull` or `push_and_pull`.

        Parameters
        ----------
        job : str
        step : Step
        rank : int
            Who asks; `ALL_RANKS`: nobody of the job, who does not count.
        attempt : str
        wait_s : float
            How long the server may wait for the other ranks.
        """

    @abstractmethod
    def push_and_pull(
        self,
        job: str,
        step: Step,
        rank: int,
        message: Encoded,
        *,
        attempt: str = "",
        based_on: int = 0,
        wait_s: float = 0.0,
    ) -> tuple[Pushed, Received | ContributionsMissing]:
        """Push and pull in one round trip; a wait that was in vain is returned, not raised."""

    @abstractmethod
    def forget(self, job: str, through: Step) -> None:
        """Let go of all steps of an epoch up to ``through``."""

    @abstractmethod
    def reset(self, job: str, epoch: int) -> None:
        """Let go of all steps of an epoch as if there had been none; 0: of all epochs."""

    @abstractmethod
    def delete(self, prefix: str) -> int:
        """Delete all jobs whose names begin with ``prefix``, and return how many."""

    @abstractmethod
    def statistics(self) -> Statistics:
        """Return what the server tells about itself and its jobs."""

    @abstractmethod
    def close(self) -> None:
        """End the connection; the next call makes another one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_client(url: str, credentials: Credentials, *, timeout_s: float = 30.0) -> ParameterClient:
    """Return a client of the parameter server at ``url``; it connects when it is first used.

    Parameters
    ----------
    url : str
        ``thrift[s]://host:port`` or ``grpc[s]://host:port``.
    credentials : Credentials
    timeout_s : float
        Longest time that nothing arrives, beside what a pull is told to wait.

    Raises
    ------
    ValueError
        ``url`` is not an address; or what is to be trusted is no certificate.
    """
    address = Address.parse(url)
    if credentials.ca and "-----BEGIN CERTIFICATE-----" not in credentials.ca:
        raise ValueError(
            f"{CA_VARIABLE}: expected a certificate as text (PEM), got {credentials.ca[:40]!r}"
        )
    if address.transport == "grpc":
        from ps_server.grpc_client import GrpcClient

        return GrpcClient(address, credentials, timeout_s)
    from ps_server.thrift_client import ThriftClient

    return ThriftClient(address, credentials, timeout_s)


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this machine, and no name that somebody else resolves."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
