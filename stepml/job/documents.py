"""JSON documents that detect damage: their last field is a checksum of everything before it.

They are plain JSON for other tools.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
import xxhash

from stepml.job.conversion import decoded
from stepml.job.errors import DamagedValueError

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview

_CHECKSUM = re.compile(rb',"checksum":"([0-9a-f]{16})"\}$')
_TAIL_BYTES = len(b',"checksum":"0123456789abcdef"}')


def encode(document: Any) -> bytes:
    """Return ``document`` as a JSON object with a checksum."""
    body = msgspec.json.encode(document)[:-1]  # without the closing brace
    return b'%b,"checksum":"%b"}' % (body, _checksum(body))


def decode(data: Buffer, kind: type[T], key: str) -> T:
    """Return the document in ``data``, or raise `DamagedValueError` naming ``key``."""
    content = bytes(data)
    found = _CHECKSUM.search(content, max(0, len(content) - _TAIL_BYTES))
    if found is None:
        raise DamagedValueError(f"{key}: the document does not end with its checksum")
    body = content[: found.start()]
    if found[1] != _checksum(body):
        raise DamagedValueError(f"{key}: the document is damaged: wrong checksum")
    try:
        return decoded(body + b"}", kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # of another version
        raise DamagedValueError(f"{key}: {error}") from error


def _checksum(body: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(body).encode()
