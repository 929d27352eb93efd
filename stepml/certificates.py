"""Makes certificates of servers that sign themselves."""

from __future__ import annotations

import ipaddress
import secrets
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "StepML parameter server")])
_USAGE = x509.KeyUsage(  # of a server's key, which signs its own certificate
    digital_signature=True,
    key_cert_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def self_signed_certificate(hosts: list[str], days: int) -> tuple[str, str]:
    """Return a certificate for ``hosts`` and its key, both as PEM.

    Raises
    ------
    ValueError
        A host is neither a name nor an IP address.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _signed(key, [_general_name(host) for host in hosts], days)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return certificate.public_bytes(pem).decode(), private.decode()


def server_secret(hosts: list[str], days: int) -> dict[str, str]:
    """Return a new token, certificate and key for a parameter server at ``hosts``.

    Raises
    ------
    ValueError
        A host is neither a name nor an IP address.
    """
    certificate, key = self_signed_certificate(hosts, days)
    return {"token": secrets.token_urlsafe(32), "certificate": certificate, "key": key}


def _signed(
    key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName], days: int
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise ValueError(f"expected a name or an IP address, got {host!r}") from None
