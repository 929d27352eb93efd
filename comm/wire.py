"""What travels through a channel: a versioned header, then raw little-endian numbers.

::

    offset  size  field
    0       4     magic "SMLX"
    4       1     version, 1
    5       1     dtype of the vector: 1 float32, 2 float64
    6       2     flags, 0
    8       8     xxh3_64, seeded with the dtype, of everything behind it
    16      8     numbers in the vector
    24      4     numbers in the trailer
    28      4     0, so that the numbers that follow are aligned
    32      …     the vector, then the trailer as float64

The trailer carries sums that must not be rounded to the vector's dtype: losses, counts, residuals.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from stepml.job.errors import DamagedValueError

Vector = npt.NDArray[Any]

_HEADER = struct.Struct("<4sBBHQQI4x")
_CHECKED = 16  # the checksum covers what is behind it
_MAGIC = b"SMLX"
_VERSION = 1
_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 2: np.dtype("<f8")}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_TRAILER_DTYPE = np.dtype("<f8")


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A contribution or an aggregate."""

    vector: Vector  # (n,) float32 or float64
    trailer: Vector  # (k,) float64


def encode(message: Message) -> bytearray:
    """Return ``message`` as it travels; its numbers are copied once."""
    vector = np.ascontiguousarray(message.vector)
    trailer = np.ascontiguousarray(message.trailer, dtype=_TRAILER_DTYPE)
    if vector.dtype not in _CODES or vector.ndim != 1:
        raise TypeError(
            f"vector: expected one dimension of float32 or float64, got {vector.dtype} "
            f"of shape {vector.shape}"
        )
    data = bytearray(_HEADER.size + vector.nbytes + trailer.nbytes)
    body = memoryview(data)[_HEADER.size :]
    body[: vector.nbytes] = vector.view(np.uint8).data
    body[vector.nbytes :] = trailer.view(np.uint8).data
    code = _CODES[vector.dtype]
    _HEADER.pack_into(data, 0, _MAGIC, _VERSION, code, 0, 0, vector.size, trailer.size)
    struct.pack_into("<Q", data, 8, _checksum(data, code))
    return data


def decode(data: bytes | bytearray | memoryview, name: str) -> Message:
    """Return the message in ``data`` as read-only views; ``name`` is for the error's message.

    Raises
    ------
    DamagedValueError
        The header, the length or the checksum is wrong.
    """
    body = memoryview(data).toreadonly()[_HEADER.size :]
    if len(data) < _HEADER.size:
        raise DamagedValueError(f"{name}: {len(data)} bytes are shorter than a header")
    magic, version, code, flags, checksum, size, trailer_size = _HEADER.unpack_from(data)
    if (magic, version, flags) != (_MAGIC, _VERSION, 0) or code not in _DTYPES:
        raise DamagedValueError(f"{name}: not a message of version {_VERSION}")
    dtype = _DTYPES[code]
    vector_bytes = size * dtype.itemsize
    if len(body) != vector_bytes + trailer_size * _TRAILER_DTYPE.itemsize:
        raise DamagedValueError(f"{name}: {len(body)} bytes do not hold {size} + {trailer_size}")
    if _checksum(data, code) != checksum:
        raise DamagedValueError(f"{name}: the checksum is wrong")
    return Message(
        np.frombuffer(body[:vector_bytes], dtype),
        np.frombuffer(body[vector_bytes:], _TRAILER_DTYPE),
    )


def _checksum(data: bytes | bytearray | memoryview, code: int) -> int:
    return xxhash.xxh3_64_intdigest(memoryview(data)[_CHECKED:], seed=code)
