"""The first lines of an object of text."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from stepml.job.errors import EmptyDataError, InvalidDataError
from stepml.ml.data.formats.text.reading import BYTE_ORDER_MARK, MAX_LINE_BYTES
from stepml.ml.data.objects import DataObject, ObjectReader

_SNIFF_BYTES = 64 * 1024
_MOST_LINES = 100
REPLACEMENT = "\ufffd"  # for bytes that are not UTF-8
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip (or npz, or xlsx)",
    b"\xd0\xcf\x11\xe0": "a file of Excel (xls)",
    b"PAR1": "parquet",
    b"\x93NUMPY": "npy",
    b"\x89HDF": "HDF5",
    b"ARROW1": "Arrow IPC (or feather)",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"SQLite format 3": "SQLite",
    b"MATLAB 5.0": "MATLAB",
    b"$FL2": "SPSS",
}
# Other text that is taken for a table, above all by mistake.
_OTHERS = {
    re.compile(rb"\s*[{[]\s*({\s*)?\""): "JSON",
    re.compile(rb"\s*<(\?xml|!doctype|html|table)\b", re.IGNORECASE): "HTML or XML",
    re.compile(rb"version https://git-lfs"): "a pointer of Git LFS, without the data",
}


@dataclass(frozen=True, slots=True)
class FirstLines:
    """The first lines of one object."""

    data: DataObject
    lines: Sequence[bytes]  # without their ends
    is_all: bool  # the object has no more

    def table(self, delimiter: str) -> list[tuple[str, ...]]:
        """Return the fields of the first whole lines that are not empty, at most a hundred."""
        whole = self.lines if self.is_all else self.lines[:-1] or self.lines
        return [fields_of(line, delimiter) for line in islice(filter(None, whole), _MOST_LINES)]

    def require_rows(self, first: int = 0) -> None:
        """Raise `EmptyDataError` if there is certainly no row from line ``first`` on."""
        # If the first bytes of a longer object are empty lines, the parser decides.
        if self.is_all and not any(line.strip() for line in self.lines[first:]):
            raise EmptyDataError(f"s3 object {self.data.key} has no data rows")


def first_lines(reader: ObjectReader, data: DataObject) -> FirstLines:
    """Return the first lines of ``data``: at least one, of any length.

    Raises
    ------
    InvalidDataError
        The content is binary or compressed.
    """
    start = reader.load_range(data.key, 0, _SNIFF_BYTES)
    _refuse_others(data, start)
    # A first line of thousands of columns may be longer.
    while b"\n" not in start and len(start) < min(data.value_bytes, MAX_LINE_BYTES):
        more = reader.load_range(data.key, len(start), 2 * len(start))
        if not more:
            break
        start += more
    lines = _lines_of(start.removeprefix(BYTE_ORDER_MARK))
    return FirstLines(data, lines, is_all=len(start) >= data.value_bytes)


def _lines_of(text: bytes) -> list[bytes]:
    # As the parsers see them: CR alone ends no line.
    return [line.rstrip(b"\r") for line in text.removesuffix(b"\n").split(b"\n")] if text else []


def _refuse_others(data: DataObject, start: bytes) -> None:
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            raise InvalidDataError(
                f"s3 object {data.key} is {kind}: it cannot be cut by bytes; store it as plain text"
            )
    for other, kind in _OTHERS.items():
        if other.match(start.removeprefix(BYTE_ORDER_MARK)):
            raise InvalidDataError(f"s3 object {data.key} is {kind}, no table in lines of text")
    if start.startswith(_UTF_16) or bytes(4) in (start[:8:2], start[1:8:2]):
        raise InvalidDataError(f"s3 object {data.key} is UTF-16; save it as UTF-8")
    if b"\0" in start:
        raise InvalidDataError(
            f"s3 object {data.key} is binary, not text: byte {start.index(0)} is zero"
        )
    if b"\r" in start and b"\n" not in start:
        raise InvalidDataError(
            f"s3 object {data.key} has lines that end with CR alone; save it with LF or CRLF"
        )


def fields_of(line: bytes, delimiter: str) -> tuple[str, ...]:
    """Return the fields of a line, which may be quoted, without blanks around them.

    ``# `` at the start, as `numpy.savetxt` writes it before a header, is no part of a name.
    """
    text = line.decode("utf-8", "replace").removeprefix("# ").replace("\r", " ")
    return tuple(field.strip() for field in next(csv.reader([text], delimiter=delimiter)))
