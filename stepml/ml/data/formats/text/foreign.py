"""Refuses objects that are no table in lines of text."""

from __future__ import annotations

import re

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.text.plain_text import BYTE_ORDER_MARK
from stepml.ml.data.objects import DataObject

_MAGIC = {
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
    b"7z\xbc\xaf": "7z",
    b"\x1f\x9d": "compressed by compress (.Z)",
}
_TAR = (257, b"ustar")
# Other text that is taken for a table, above all by mistake.
_OTHERS = {
    re.compile(rb"\s*[{[]\s*({\s*)?\""): "JSON",
    re.compile(rb"\s*<(\?xml|!doctype|html|table)\b", re.IGNORECASE): "HTML or XML",
    re.compile(rb"version https://git-lfs"): "a pointer of Git LFS, without the data",
}


def refuse_binary(data: DataObject, start: bytes) -> None:
    """Raise `InvalidDataError` if ``start``, the first bytes of an object, are no text."""
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            raise InvalidDataError(
                f"s3 object {data.key} is {kind}: it cannot be cut by bytes; store it as plain text"
            )
    if start[_TAR[0] :].startswith(_TAR[1]):
        raise InvalidDataError(
            f"s3 object {data.key} is an archive (tar) of files: store the files, one object each"
        )


def refuse_others(data: DataObject, text: bytes) -> None:
    """Raise `InvalidDataError` if ``text``, the first plain text of an object, is no table."""
    refuse_binary(data, text)
    for other, kind in _OTHERS.items():
        if other.match(text.removeprefix(BYTE_ORDER_MARK)):
            raise InvalidDataError(f"s3 object {data.key} is {kind}, no table in lines of text")
    if b"\0" in text:
        raise InvalidDataError(
            f"s3 object {data.key} is binary, not text: byte {text.index(0)} is zero"
        )
