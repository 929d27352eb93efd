"""Objects as files, whose reads are ranged requests; for zip, gzip and parquet readers."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING

from stepml.job.errors import DamagedValueError
from stepml.ml.data.objects import DataObject, ObjectReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_SMALLEST_BUFFER = 64 * 1024
_WHOLE_BYTES = 2**20  # of objects that one request reads, if they are opened again and again


class RangedFile(io.RawIOBase):
    """A read-only file of an object's bytes, up to ``stop`` if given; each read is one request.

    Raises
    ------
    DamagedValueError
        While reading: the object ends before ``data.value_bytes``.
    """

    def __init__(self, reader: ObjectReader, data: DataObject, stop: int | None = None) -> None:
        super().__init__()
        self._stop = data.value_bytes if stop is None else stop
        self._reader = reader
        self._data = data
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._position, self._stop)[whence]
        if base + offset < 0:
            raise ValueError(f"byte {base + offset} lies before the object's first one")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        stop = self._stop
        if size is not None and size >= 0:
            stop = min(self._position + size, stop)
        start = min(self._position, stop)
        if start == stop:
            return b""
        data = self._reader.load_range(self._data.key, start, stop)
        if len(data) != stop - start:
            raise DamagedValueError(
                f"s3 object {self._data.key} ends at byte {start + len(data)} instead of "
                f"{self._data.value_bytes}: it was changed while it was read"
            )
        self._position = stop
        return data

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)


def buffered(
    reader: ObjectReader, data: DataObject, request_bytes: int, stop: int | None = None
) -> io.BufferedReader:
    """Return a `RangedFile` that reads ahead, ``request_bytes`` at a time."""
    size = max(min(request_bytes, data.value_bytes), _SMALLEST_BUFFER)
    return io.BufferedReader(RangedFile(reader, data, stop), size)


class Reopened:
    """An object that is opened again and again, as the archives of many arrays are.

    Parameters
    ----------
    reader : ObjectReader
    data : DataObject
        If it is small, one request reads it whole.
    request_bytes : int
        The most bytes of a request.
    """

    def __init__(self, reader: ObjectReader, data: DataObject, request_bytes: int) -> None:
        self._reader = reader
        self._data = data
        is_small = data.value_bytes <= min(request_bytes, _WHOLE_BYTES)
        self._whole = RangedFile(reader, data).read() if is_small else None

    def open(self, request_bytes: int) -> IO[bytes]:
        """Return a file that reads ahead, ``request_bytes`` at a time."""
        if self._whole is not None:
            return io.BytesIO(self._whole)
        return buffered(self._reader, self._data, request_bytes)
