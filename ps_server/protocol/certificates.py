"""TLS: the certificates that a client trusts, and those that a server shows."""

from __future__ import annotations

import ssl
from pathlib import Path

from ps_server.protocol.addresses import Credentials


def client_context(credentials: Credentials) -> ssl.SSLContext:
    """Return the context of a client, which checks the server's certificate and name."""
    context = ssl.create_default_context(cafile=credentials.ca_file, cadata=credentials.ca or None)
    if credentials.certificate_file:
        context.load_cert_chain(credentials.certificate_file, credentials.key_file)
    return context


def server_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """Return the context of a server.

    Parameters
    ----------
    certificate, key : Path
        PEM files; the certificate with those between it and its authority.
    client_ca : Path, optional
        PEM file; clients then have to show a certificate that it has signed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password=lambda: "")  # OpenSSL would prompt for one
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
