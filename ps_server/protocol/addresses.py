"""The address of a parameter server, the credentials of a client, and TLS for both ends."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ps_server.protocol.calls import DEFAULT_PORT
from storage.base import CA_FILE_VARIABLE

URL_VARIABLE = "STEPML_PARAMETER_SERVER_URL"  # all of them are set by templates/template.yaml
TOKEN_VARIABLE = "STEPML_PARAMETER_SERVER_TOKEN"  # noqa: S105 — its name
CA_VARIABLE = "STEPML_PARAMETER_SERVER_CA"  # PEM text
CERTIFICATE_FILE_VARIABLE = "STEPML_PARAMETER_SERVER_CERTIFICATE_FILE"
KEY_FILE_VARIABLE = "STEPML_PARAMETER_SERVER_KEY_FILE"

_URL = re.compile(
    r"(?P<scheme>thrifts?)://(?P<host>[^][/?#:]+|\[[^][/?#]+\])(:(?P<port>[0-9]+))?/?"
)
_EXPECTED = "thrifts://host:port, or thrift://host:port on this machine"


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a parameter server."""

    host: str
    port: int
    is_encrypted: bool

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse ``url``; raise `ValueError` for one that leads elsewhere without encryption."""
        name, found = f"{URL_VARIABLE}: expected {_EXPECTED}", _URL.fullmatch(url)
        if "@" in url:
            raise ValueError(f"{name}; got one with a password in it")
        if found is None or int(found["port"] or 0) > 65535:
            raise ValueError(f"{name}; got {url!r}")
        host, is_encrypted = found["host"].strip("[]"), found["scheme"] == "thrifts"
        if not is_encrypted and not is_loopback(host):
            raise ValueError(f"{name}; {url!r} leads to another machine without encryption")
        return cls(host, int(found["port"] or DEFAULT_PORT), is_encrypted)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"thrift{'s' if self.is_encrypted else ''}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The token and certificates that a client shows, and the one that it trusts.

    `ValueError`: the trusted certificate is none.
    """

    token: str
    ca: str = ""  # PEM text; empty: the authorities of the system
    ca_file: str | None = None  # or a file
    certificate_file: str | None = None  # of the client, if the server asks for one
    key_file: str | None = None

    def __post_init__(self) -> None:
        if self.ca and "-----BEGIN CERTIFICATE-----" not in self.ca:
            raise ValueError(
                f"{CA_VARIABLE}: expected a certificate as text (PEM), got {self.ca[:40]!r}"
            )

    @classmethod
    def of_environment(cls) -> Self:
        """Read the environment variables of the functions."""
        return cls(
            token=os.environ.get(TOKEN_VARIABLE, ""),
            ca=os.environ.get(CA_VARIABLE, ""),
            ca_file=os.environ.get(CA_FILE_VARIABLE) or None,
            certificate_file=os.environ.get(CERTIFICATE_FILE_VARIABLE) or None,
            key_file=os.environ.get(KEY_FILE_VARIABLE) or None,
        )


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this machine, without a look-up of its name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def client_context(credentials: Credentials) -> ssl.SSLContext:
    """Return the context of a client, which checks the server's certificate and name."""
    context = ssl.create_default_context(cafile=credentials.ca_file, cadata=credentials.ca or None)
    if credentials.certificate_file:
        context.load_cert_chain(credentials.certificate_file, credentials.key_file)
    return context


def server_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """Return the context of a server from PEM files.

    ``certificate`` is with those between it and its authority. With ``client_ca``, clients have to
    show a certificate that it has signed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password=lambda: "")  # OpenSSL would prompt for one
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
