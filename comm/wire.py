"""The format of messages: a versioned header, then raw little-endian numbers.

::

    offset  size  field
    0       4     magic "SMLX"
    4       1     version, 1
    5       1     type of the vector: 1 float32, 2 float64, 3 float32 sent as float16
    6       2     flags: 1 pause
    8       8     xxh3_64 of all that follows, seeded with the four bytes before
    16      8     numbers in the vector
    24      4     numbers in the trailer
    28      4     0, so that the numbers that follow are aligned
    32      …     the vector, then the trailer as float64

The trailer carries sums that must not be rounded to the vector's type: losses, counts, residuals.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xxhash

from stepml.job.errors import CompressionError, DamagedValueError
from stepml.job.stopwatch import timed
from storage.base import Buffer

Vector = npt.NDArray[Any]
Compression = Literal["none", "float16"]
Shape = tuple[int, int]  # numbers in the vector and in the trailer

_HEADER = struct.Struct("<4sBBHQQI4x")
_SEED = slice(4, 8)  # version, type and flags
_CHECKED = 16  # first byte that the checksum covers
_MAGIC = b"SMLX"
_VERSION = 1
_PAUSE = 1
_HALF = 3
_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    _HALF: np.dtype("<f2"),
}
_CODES = {_DTYPES[code]: code for code in (1, 2)}
_TRAILER_DTYPE = np.dtype("<f8")
_BLOCK_NUMBERS = 2**16  # stay in the cache between two passes


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A contribution or an aggregate."""

    vector: Vector  # (n,) float32 or float64
    trailer: Vector  # (k,) float64
    pause: bool = False  # a rank has to stop after this step

    @property
    def shape(self) -> Shape:
        """The numbers in the vector and in the trailer."""
        return self.vector.size, self.trailer.size


class Draft:
    """A message to be written in place, so that its numbers need not be copied to be sent.

    Parameters
    ----------
    size : int
        Numbers in the vector.
    dtype : numpy.dtype
        float32 or float64.
    trailer_size : int
        Numbers in the trailer.
    data : array of uint8, optional
        Memory for the message, of `message_bytes`; left out: allocated here.
    """

    def __init__(
        self, size: int, dtype: np.dtype[Any], trailer_size: int, data: Vector | None = None
    ) -> None:
        self._code = _code_of(dtype)
        self._data = _memory(message_bytes(size, dtype, trailer_size)) if data is None else data[:]
        body = self._data[_HEADER.size :]
        self.vector: Vector = body[: size * dtype.itemsize].view(dtype)
        self.trailer: Vector = body[size * dtype.itemsize :].view(_TRAILER_DTYPE)

    def finish(
        self, *, pause: bool = False, others: Sequence[Message] = ()
    ) -> tuple[Message, memoryview]:
        """Return the message and its bytes; the numbers must not change any more.

        ``others`` are added, in their order, in the pass that computes the checksum.
        """
        head = _head(self._data, self._code, self.vector.size, self.trailer.size, pause=pause)
        checksum = RunningChecksum()
        checksum.add(head)
        for start in range(0, self.vector.size, _BLOCK_NUMBERS):
            block = self.vector[start : start + _BLOCK_NUMBERS]
            for other in others:
                block += other.vector[start : start + _BLOCK_NUMBERS]
            checksum.add(block.data.cast("B"))
        for other in others:
            self.trailer += other.trailer
        if self.trailer.size:
            checksum.add(self.trailer.data.cast("B"))
        _write_checksum(head, checksum)
        self._data.flags.writeable = False
        self.vector.flags.writeable = self.trailer.flags.writeable = False
        return Message(self.vector, self.trailer, pause), self._data.data


def message_bytes(size: int, dtype: np.dtype[Any], trailer_size: int) -> int:
    """Return the length of an uncompressed message with so many numbers."""
    return _HEADER.size + size * dtype.itemsize + trailer_size * _TRAILER_DTYPE.itemsize


def encode(message: Message, compression: Compression = "none") -> memoryview:
    """Return ``message`` as bytes; see `encode_parts`."""
    with timed("encode"):
        parts = _parts(message, compression)
        # NumPy asks for huge pages, so large messages take a quarter of the time of bytes.join.
        data, start = _memory(sum(map(len, parts))), 0
        for part in parts:
            data[start : start + len(part)] = part
            start += len(part)
        data.flags.writeable = False
        return data.data


def encode_parts(message: Message, compression: Compression = "none") -> list[memoryview]:
    """Return header, vector and trailer as bytes; the vector is not copied.

    Parameters
    ----------
    message : Message
    compression : {"none", "float16"}
        float16 halves the bytes of a float32 vector and preserves 3 decimal digits; a float64
        vector and the trailer are not compressed.

    Raises
    ------
    CompressionError
        A number is beyond ±65,504, the largest of float16.
    """
    with timed("encode"):
        return _parts(message, compression)


def _parts(message: Message, compression: Compression) -> list[memoryview]:
    code, vector = _coded(message, compression)
    vector = np.ascontiguousarray(vector)
    trailer = np.ascontiguousarray(message.trailer, _TRAILER_DTYPE)
    head = _head(_memory(_HEADER.size), code, vector.size, trailer.size, pause=message.pause)
    parts = [each.data.cast("B") if each.size else head[:0] for each in (vector, trailer)]
    checksum = RunningChecksum()
    for part in (head, *parts):
        checksum.add(part)
    _write_checksum(head, checksum)
    return [head, *parts]


class RunningChecksum:
    """The checksum of a message in pieces, computed while each is still in the CPU cache."""

    def __init__(self) -> None:
        self._state: xxhash.xxh3_64 | None = None

    def add(self, piece: memoryview) -> None:
        """Add the next piece; the first one contains the whole header."""
        if self._state is None:
            seed = int.from_bytes(piece[_SEED], "little")
            self._state = xxhash.xxh3_64(piece[_CHECKED:], seed)
        else:
            self._state.update(piece)

    def value(self) -> int | None:
        """Return the checksum of all pieces so far, or None if there are none."""
        return None if self._state is None else self._state.intdigest()


def decode(
    data: Buffer, name: object, checksum: int | None = None, *, widen: bool = True
) -> Message:
    """Return the message in ``data`` as read-only views; ``name`` is for the error's message.

    ``checksum`` is that of ``data``, if it is known already. Without ``widen``, a float16 vector is
    returned as it is, not as a copy in float32.

    Raises
    ------
    DamagedValueError
        The header, the length or the checksum is wrong.
    """
    with timed("encode"):
        return _decoded(data, name, checksum, widen=widen)


def _decoded(data: Buffer, name: object, checksum: int | None, *, widen: bool) -> Message:
    view = memoryview(data).toreadonly()
    if len(view) < _HEADER.size:
        raise DamagedValueError(f"{name}: {len(view)} bytes are shorter than a header")
    magic, version, code, flags, written, size, trailer_size = _HEADER.unpack_from(view)
    if (magic, version) != (_MAGIC, _VERSION) or code not in _DTYPES or flags & ~_PAUSE:
        raise DamagedValueError(f"{name}: not a message of version {_VERSION}")
    dtype, body = _DTYPES[code], view[_HEADER.size :]
    vector_bytes = size * dtype.itemsize
    if len(body) != vector_bytes + trailer_size * _TRAILER_DTYPE.itemsize:
        raise DamagedValueError(f"{name}: {len(body)} bytes do not hold {size} + {trailer_size}")
    if (_checksum(view) if checksum is None else checksum) != written:
        raise DamagedValueError(f"{name}: the checksum is wrong")
    vector = np.frombuffer(body[:vector_bytes], dtype)
    if code == _HALF and widen:
        vector = vector.astype(np.float32)
        vector.flags.writeable = False
    return Message(vector, np.frombuffer(body[vector_bytes:], _TRAILER_DTYPE), bool(flags & _PAUSE))


def is_whole(data: Buffer, shape: Shape | None = None) -> bool:
    """Return whether ``data`` is an undamaged message, of ``shape`` if that is given."""
    try:
        message = decode(data, "a message")
    except DamagedValueError:
        return False
    return shape in (None, message.shape)


def _coded(message: Message, compression: Compression) -> tuple[int, Vector]:
    """Return the code of the encoded type, and the vector in that type."""
    code, vector = _code_of(message.vector.dtype), message.vector
    if vector.ndim != 1:
        raise TypeError(f"vector: expected one dimension, got shape {vector.shape}")
    if compression == "float16" and code == 1:
        return _HALF, _halved(vector)
    return code, vector


def _code_of(dtype: np.dtype[Any]) -> int:
    if dtype not in _CODES:
        raise TypeError(f"vector: expected float32 or float64, got {dtype}")
    return _CODES[dtype]


def _halved(vector: Vector) -> Vector:
    try:
        with np.errstate(over="raise"):
            return vector.astype(_DTYPES[_HALF])
    except FloatingPointError:
        most = float(np.abs(vector).max())
        raise CompressionError(
            f"exchange.compression float16 holds numbers up to 65,504, got {most:g}; use none"
        ) from None


def _head(data: Vector, code: int, size: int, trailer_size: int, *, pause: bool) -> memoryview:
    """Write a header without its checksum, and return it."""
    flags = _PAUSE if pause else 0
    _HEADER.pack_into(data.data, 0, _MAGIC, _VERSION, code, flags, 0, size, trailer_size)
    return data.data[: _HEADER.size]


def _write_checksum(head: memoryview, checksum: RunningChecksum) -> None:
    struct.pack_into("<Q", head, 8, checksum.value())


def _checksum(data: memoryview) -> int:
    seed = int.from_bytes(data[_SEED], "little")
    return xxhash.xxh3_64_intdigest(data[_CHECKED:], seed)


def _memory(size: int) -> Vector:
    # Unlike a bytearray, not filled with zeros.
    return np.empty(size, np.uint8)
