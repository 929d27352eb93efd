"""The plain text of an object: unpacked, with LF at the ends of lines, not in UTF-16."""

from __future__ import annotations

import bz2
import codecs
import gzip
import importlib
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, cast

from stepml.job.errors import DamagedValueError, InvalidDataError
from stepml.ml.data.dialect import PLAIN, Dialect
from stepml.ml.data.formats.ranged_file import buffered
from stepml.ml.data.objects import REQUEST_BYTES, DataObject, ObjectReader

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# By the first bytes of a compressed object.
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_MAGIC_BYTES = 8
_ENDINGS = (".gz", ".bz2", ".xz", ".zst")
# Unpacked text is read so many bytes at a time: compressed, these are few.
_CHUNK_BYTES = 2**20
_DAMAGES = (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError)
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


@dataclass(frozen=True, slots=True)
class PlainText:
    """The text of an object, as parsers take it; text in Latin-1 stays so.

    Offsets count its bytes. An object that may be cut is its own plain text.
    """

    reader: ObjectReader
    data: DataObject
    dialect: Dialect = PLAIN
    request_bytes: int = REQUEST_BYTES

    def start(self, n_bytes: int) -> tuple[bytes, bool]:
        """Return the first bytes of the text, at least ``n_bytes``, and whether that is all."""
        if self.dialect.is_cut:
            text = self.load(0, min(n_bytes, self.data.value_bytes))
            return text, len(text) == self.data.value_bytes
        text = b""
        for chunk in self.chunks():
            if len(text) >= n_bytes:
                return text, False
            text += chunk
        return text, True

    def load(self, start: int, stop: int) -> bytes:
        """Return bytes of an object that may be cut.

        Raises
        ------
        DamagedValueError
            The object ends before ``data.value_bytes``.
        """
        chunk = self.reader.load_range(self.data.key, start, stop)
        if len(chunk) != stop - start:
            raise DamagedValueError(
                f"s3 object {self.data.key} ends at byte {start + len(chunk)} instead of "
                f"{self.data.value_bytes}: it was changed while it was read"
            )
        if start == 0:
            self._require_dialect(chunk)
        return chunk

    def chunks(self) -> Iterator[bytes]:
        """Yield all of the text.

        Raises
        ------
        InvalidDataError
            The object is damaged, or has another compression or encoding.
        DamagedValueError
            The object ends before ``data.value_bytes``.
        """
        chunks = self._unpacked()
        if self.dialect.encoding == "utf-16":
            chunks = self._from_utf_16(chunks)
        for chunk in chunks:
            yield chunk.replace(b"\r", b"\n") if self.dialect.line_end == "\r" else chunk

    def _unpacked(self) -> Iterator[bytes]:
        file: Any = buffered(self.reader, self.data, self.request_bytes)
        self._require_dialect(file.peek(_MAGIC_BYTES))
        if self.dialect.compression:
            file = unpacked(file, self.dialect.compression)
        while chunk := self._read(file):
            yield chunk

    def _read(self, file: BinaryIO) -> bytes:
        try:
            return file.read(_CHUNK_BYTES)
        except Exception as exc:
            if not _is_damage(exc):
                raise
            raise self._damaged(str(exc)) from exc

    def _require_dialect(self, start: bytes) -> None:
        """Refuse an object that begins unlike the data set's first one."""
        found, expected = compression_of(start), self.dialect.compression
        if found != expected:
            raise InvalidDataError(
                f"s3 object {self.data.key} is {found or 'not ' + expected}, unlike the first "
                "object; all objects have to be compressed in the same way, or not at all"
            )
        if not found and start[:2] in _UTF_16 and self.dialect.encoding != "utf-16":
            raise InvalidDataError(
                f"s3 object {self.data.key} is UTF-16, unlike the first object; save all of them "
                "in the same encoding"
            )

    def _from_utf_16(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        first = next(chunks, b"")
        decoder = codecs.getincrementaldecoder(_utf_16_of(first))()
        unmarked = first[2:] if first[:2] in _UTF_16 else first
        try:
            for chunk in chain([unmarked], chunks):
                yield decoder.decode(chunk).encode()
            yield decoder.decode(b"", final=True).encode()
        except UnicodeError as exc:
            raise self._damaged(f"is not UTF-16, as its first bytes say ({exc})") from exc

    def _damaged(self, problem: str) -> InvalidDataError:
        packed = self.dialect.compression
        what = f"is no whole {packed} file: " if packed and not problem.startswith("is ") else ""
        return InvalidDataError(f"s3 object {self.data.key} {what}{problem}")


def compression_of(start: bytes) -> str:
    """Return the compression of an object that begins with ``start``; empty: none."""
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), "")


def unpacked_name(name: str) -> str:
    """Return the name of a file without the ending that its compression gives it."""
    ending = next((each for each in _ENDINGS if name.lower().endswith(each)), "")
    return name[: len(name) - len(ending)]


def unpacked(file: Any, compression: str) -> BinaryIO:
    """Return a file of the content of the compressed ``file``."""
    openers: dict[str, Callable[[Any], Any]]
    openers = {"gzip": _gzip_file, "bzip2": bz2.BZ2File, "xz": lzma.LZMAFile, "zstd": _zstd_file}
    return cast(BinaryIO, openers[compression](file))


def _gzip_file(file: Any) -> Any:
    return gzip.GzipFile(fileobj=file)


def _zstd_file(file: Any) -> Any:
    is_own = sys.version_info >= (3, 14)  # earlier ones have the same module as a package
    return importlib.import_module("compression.zstd" if is_own else "backports.zstd").open(file)


def _is_damage(exc: Exception) -> bool:
    """Return whether unpacking failed, not reading."""
    # bz2 raises plain OSErrors, and the class of zstd is in a module that is loaded with need.
    return isinstance(exc, _DAMAGES) or type(exc) is OSError or type(exc).__name__ == "ZstdError"


def _utf_16_of(start: bytes) -> str:
    """Return the order of bytes: as the mark says, otherwise as zeros of ASCII characters lie."""
    return _UTF_16.get(start[:2]) or ("utf-16-be" if start[:1] == b"\0" else "utf-16-le")


def is_utf_16(start: bytes) -> bool:
    """Return whether text that begins with ``start`` is UTF-16."""
    return start[:2] in _UTF_16 or bytes(4) in (start[:8:2], start[1:8:2])
