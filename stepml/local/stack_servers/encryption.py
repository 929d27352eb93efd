"""The certificate of the servers that stacks make, which functions trust like their system's."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from stepml.certificates import self_signed_certificate
from stepml.local_identity import HOST

_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Encryption:
    """Files in PEM."""

    certificate: Path
    key: Path
    trusted: Path  # the certificate, and those that this machine trusts


def encryption_below(directory: Path) -> Encryption:
    """Make a certificate and its key for servers on this machine's loopback."""
    directory.mkdir(parents=True, exist_ok=True)
    made = Encryption(*(directory / name for name in ("cert.pem", "key.pem", "trusted.pem")))
    certificate, key = self_signed_certificate([HOST], _DAYS)
    made.key.touch(mode=0o600)
    made.key.write_text(key)
    made.certificate.write_text(certificate)
    system = ssl.get_default_verify_paths().cafile
    known = Path(system).read_text() if system else ""
    made.trusted.write_text(f"{known}\n{certificate}")
    return made
