"""A log of the requests to the local AWS, such as S3's own server access log."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

_SIGNED = re.compile(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/")


class RequestLog:
    """A file with one JSON object a line.

    Each has the service and the access key of the signature, which tells functions and people
    apart, the method and the path with its query.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, method: str, path: str, authorization: str) -> None:
        """Add a line; one write of the system keeps the lines of all threads apart."""
        signed = _SIGNED.search(authorization)
        key, service = signed.groups() if signed else ("", "")
        line = {"service": service, "access_key": key, "method": method, "path": path}
        os.write(self._file, json.dumps(line).encode() + b"\n")
