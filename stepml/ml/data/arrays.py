"""Arrays as bytes: the safetensors format, written with one copy and read without.

A container has eight bytes with the length of the header, little-endian; the header, which is JSON
padded with spaces; then the arrays' raw little-endian bytes, without gaps. Arrays with wider
elements come first, so that every array is aligned. https://huggingface.co/docs/safetensors

The metadata have a checksum of the rest. Containers of other programs have none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from stepml.job.errors import DamagedValueError
from stepml.ml.data.objects import Buffer

Array = NDArray[Any]

_LENGTH_BYTES = 8
_CHECKSUM = "checksum"
_UNSEALED = "0" * 16
# Errors of reading a header that is no JSON, or JSON of something else.
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
# The format's own limit: a longer header is a sign of damage.
_LARGEST_HEADER_BYTES = 100_000_000
_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


@dataclass(frozen=True, slots=True)
class ArrayPlace:
    """One array of a container."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int  # first byte, counted from the start of the container
    stop: int  # one behind the last byte

    def rows(self, first: int, behind: int) -> tuple[int, int]:
        """Return the byte range of the rows ``[first, behind)`` in the container."""
        row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        return self.start + first * row_bytes, self.start + behind * row_bytes


@dataclass(frozen=True, slots=True)
class Header:
    """The arrays of a container and their places."""

    places: dict[str, ArrayPlace]
    metadata: dict[str, str]
    value_bytes: int  # of the whole container


def allocate(
    shapes: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], metadata: Mapping[str, str]
) -> tuple[bytearray, dict[str, Array]]:
    """Return a container of zeros and writable views of its arrays, to be filled in place.

    Call `seal` afterwards: an unsealed container counts as damaged.

    Raises
    ------
    ValueError
        If an array's dtype has no place in the format.
    """
    order = sorted(shapes, key=lambda name: -shapes[name][0].itemsize)
    entries: dict[str, Any] = {"__metadata__": {**metadata, _CHECKSUM: _UNSEALED}}
    offset = 0
    for name in order:
        dtype, shape = shapes[name]
        stop = offset + dtype.itemsize * math.prod(shape)
        entries[name] = {
            "dtype": _code(name, dtype),
            "shape": list(shape),
            "data_offsets": [offset, stop],
        }
        offset = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    container = bytearray(_LENGTH_BYTES + len(text) + offset)
    container[:_LENGTH_BYTES] = len(text).to_bytes(_LENGTH_BYTES, "little")
    container[_LENGTH_BYTES : _LENGTH_BYTES + len(text)] = text
    return container, _views(container, header(container).places)


def pack(arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> bytearray:
    """Copy the arrays into one container, and return it.

    Raises
    ------
    ValueError
        If an array's dtype has no place in the format.
    """
    shapes = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    container, views = allocate(shapes, metadata or {})
    for name, array in arrays.items():
        views[name][...] = array
    return seal(container)


def seal(container: bytearray) -> bytearray:
    """Write the checksum of the current content into a container, and return the container."""
    written = header(container).metadata[_CHECKSUM]
    place = container.index(_slot(written)) + len(_slot("")) - 1
    container[place : place + len(written)] = _checksum(container, written).encode()
    return container


def unpack(data: Buffer, *, writable: bool = False) -> tuple[dict[str, Array], dict[str, str]]:
    """Return views of a container's arrays, and its metadata.

    Parameters
    ----------
    data : bytes-like
    writable : bool, default False
        Return writable views; ``data`` must be writable.

    Raises
    ------
    DamagedValueError
        ``data`` is not a whole container.
    """
    found = header(data)
    if found.value_bytes != len(data):
        raise DamagedValueError(
            f"a container of arrays has {len(data)} bytes, its header says {found.value_bytes}"
        )
    checksum = found.metadata.pop(_CHECKSUM, None)
    if checksum is not None and checksum != _checksum(data, checksum):
        raise DamagedValueError("a container of arrays is not what was written: wrong checksum")
    view = memoryview(data)
    return _views(view if writable else view.toreadonly(), found.places), found.metadata


def unpack_named(
    data: Buffer, names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, Array]:
    """Return read-only views of a container that must have the arrays ``names``.

    It may also have some of the ``optional`` ones.

    Raises
    ------
    DamagedValueError
        ``data`` is not a whole container, or has other arrays.
    """
    views, _ = unpack(data)
    if not {*names} <= set(views) <= {*names, *optional}:
        raise DamagedValueError(
            f"a container holds the arrays {', '.join(views)} instead of {', '.join(names)}"
        )
    return views


def require_metadata(data: Buffer, name: str, value: str) -> None:
    """Raise `DamagedValueError` unless the metadata of a whole container have ``value``."""
    found = header(data).metadata.get(name)
    if found != value:
        raise DamagedValueError(f"a container of arrays has {name} {found!r} instead of {value!r}")


def header(prefix: Buffer) -> Header:
    """Return the header of a container, given at least its first bytes.

    Raises
    ------
    DamagedValueError
        The header is cut off, or does not describe a container.
    """
    length = int.from_bytes(prefix[:_LENGTH_BYTES], "little")
    first = _LENGTH_BYTES + length
    if length > _LARGEST_HEADER_BYTES or len(prefix) < max(first, _LENGTH_BYTES):
        raise DamagedValueError(
            f"a container of arrays is cut off: {len(prefix)} bytes, its header alone says {length}"
        )
    try:
        entries = json.loads(bytes(prefix[_LENGTH_BYTES:first]))
        metadata = dict(entries.pop("__metadata__", {}))
        places = {name: _place(entry, first) for name, entry in entries.items()}
    except _MALFORMED as exc:
        raise DamagedValueError(f"a container of arrays has a damaged header: {exc!r}") from exc
    return Header(places, metadata, _end_without_gaps(list(places.values()), first))


def _slot(checksum: str) -> bytes:
    return f'"{_CHECKSUM}":"{checksum}"'.encode()


def _checksum(data: Buffer, written: str) -> str:
    """Return the right checksum of a container whose header has the checksum ``written``."""
    view = memoryview(data)
    first = _LENGTH_BYTES + int.from_bytes(view[:_LENGTH_BYTES], "little")
    hashed = xxhash.xxh3_64(bytes(view[:first]).replace(_slot(written), _slot(_UNSEALED)))
    hashed.update(view[first:])
    return hashed.hexdigest()


def _code(name: str, dtype: np.dtype[Any]) -> str:
    code = _CODES.get(dtype.newbyteorder("<"))
    if code is None:
        raise ValueError(f"array {name!r} has dtype {dtype}; possible are {', '.join(_DTYPES)}")
    return code


def _place(entry: dict[str, Any], first: int) -> ArrayPlace:
    start, stop = (first + int(offset) for offset in entry["data_offsets"])
    dtype = _DTYPES[entry["dtype"]]
    shape = tuple(int(length) for length in entry["shape"])
    if min(shape, default=0) < 0 or stop - start != dtype.itemsize * math.prod(shape):
        raise ValueError(f"{stop - start} bytes for {dtype} of shape {shape}")
    return ArrayPlace(dtype, shape, start, stop)


def _end_without_gaps(places: Sequence[ArrayPlace], first: int) -> int:
    end = first
    for place in sorted(places, key=lambda place: (place.start, place.stop)):
        if place.start != end:
            raise DamagedValueError(f"a container of arrays has a gap or overlap at byte {end}")
        end = place.stop
    return end


def _views(data: Buffer, places: Mapping[str, ArrayPlace]) -> dict[str, Array]:
    return {
        name: np.frombuffer(
            data, place.dtype, math.prod(place.shape), min(place.start, len(data))
        ).reshape(place.shape)
        for name, place in places.items()
    }
