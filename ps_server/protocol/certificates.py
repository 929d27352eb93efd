"""Certificates: whom a client trusts, and what a server shows."""

from __future__ import annotations

import ssl
from pathlib import Path

from ps_server.protocol.addresses import Credentials


def client_context(credentials: Credentials) -> ssl.SSLContext:
    """Return how a client makes a connection: the server's certificate and name are checked."""
    context = ssl.create_default_context(cafile=credentials.ca_file, cadata=credentials.ca or None)
    if credentials.certificate_file:
        context.load_cert_chain(credentials.certificate_file, credentials.key_file)
    return context


def server_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """Return how a server takes connections.

    Parameters
    ----------
    certificate, key : Path
        PEM files; the certificate with those between it and its authority.
    client_ca : Path, optional
        PEM file; clients then have to show a certificate that one of these has signed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password=_no_passphrase)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_passphrase() -> str:
    return ""  # OpenSSL would ask whoever sits in front of it
