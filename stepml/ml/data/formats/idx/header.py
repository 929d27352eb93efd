"""idx, the format of MNIST: a header of sizes, then values of one type, big-endian."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.row_shapes import image_shape
from stepml.ml.data.formats.rows import MAX_ROW_BYTES, shortened
from stepml.ml.data.ranges import ByteRange

# Size of a header with the largest number of dimensions.
MAX_HEADER_BYTES = 4 + 4 * 255

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IMAGES = re.compile(r"images.*idx\d+")
_LABELS = re.compile(r"labels.*idx1")
_TEST = re.compile(r"(?<![a-z])(t10k|test)(?![a-z])")
_TRAINING = re.compile(r"(?<![a-z])train(ing)?(?![a-z])")
_DIMENSIONS = re.compile(r"idx\d+")


def is_images(name: str) -> bool:
    """Return whether an object's name is that of images: ``*images*idx3*`` or similar."""
    return _IMAGES.search(_last(name)) is not None


def is_labels(name: str) -> bool:
    """Return whether an object's name is that of labels: ``*labels*idx1*``."""
    return _LABELS.search(_last(name)) is not None and not is_images(name)


def is_compressed(name: str) -> bool:
    """Return whether an object is compressed, by its name."""
    return name.endswith(".gz")


def is_for_testing(name: str) -> bool:
    """Return whether the name of images, or of their folder, says that they are for testing."""
    return _TEST.search(name.lower()) is not None


def is_for_training(name: str) -> bool:
    """Return whether the name of images, or of their folder, says that they are for training."""
    return _TRAINING.search(name.lower()) is not None


def labels_beside(images: str) -> tuple[str, ...]:
    """Return the names (or keys) that the labels of ``images`` may have, the usual one first.

    Kaggle ships MNIST with a folder for each object, named like it.
    """
    folder, last = images[: -len(_last(images))], _last(images)
    labels = _labels_like(last)
    parents, own = folder[: -len(_last(folder[:-1])) - 1], _last(folder[:-1])
    beside = folder + labels
    return (beside, f"{parents}{_labels_like(own)}/{labels}") if is_images(own) else (beside,)


def _labels_like(images: str) -> str:
    return _DIMENSIONS.sub("idx1", images.replace("images", "labels"))


def _last(name: str) -> str:
    return name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an idx object."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]  # records, then the sizes of one

    @property
    def header_bytes(self) -> int:
        """Size of the header."""
        return 4 + 4 * len(self.shape)

    @property
    def n_records(self) -> int:
        """The number of records."""
        return self.shape[0]

    @property
    def n_values(self) -> int:
        """Values of one record."""
        return prod(self.shape[1:])

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one record if it is an image; otherwise empty."""
        return image_shape(self.shape[1:])

    @property
    def record_bytes(self) -> int:
        """The size of one record."""
        return self.n_values * self.dtype.itemsize

    @property
    def total_bytes(self) -> int:
        """The size of the whole object, uncompressed."""
        return self.header_bytes + self.n_records * self.record_bytes

    def records_of(self, part: ByteRange) -> range:
        """Return the records that begin in ``part``."""
        return range(self._record_from(part.start), self._record_from(part.stop))

    def _record_from(self, byte: int) -> int:
        ahead = max(byte - self.header_bytes, 0)
        return min(-(-ahead // self.record_bytes), self.n_records)

    def values(self, data: bytes) -> NDArray[Any]:
        """Return records, one a row."""
        return np.frombuffer(data, self.dtype).reshape(-1, self.n_values)


def read_header(file: BinaryIO, key: str) -> Header:
    """Return the header at the start of ``file``.

    Raises
    ------
    InvalidDataError
        There is no valid header, or a record is too large for a row. The message has the object.
    """
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _DTYPES or not start[3]:
        raise InvalidDataError(
            f"s3 object {key} is not idx: it starts with {start.hex(' ') or 'nothing'} instead of "
            "00 00, a type (08: unsigned bytes) and the number of dimensions"
        )
    sizes = file.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise InvalidDataError(f"s3 object {key} ends in the idx header")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    header = Header(np.dtype(_DTYPES[start[2]]), shape)
    if 4 * header.n_values > MAX_ROW_BYTES:
        sizes_of_one = shortened(" × ".join(map(str, shape[1:])).encode(), 200)
        raise InvalidDataError(
            f"s3 object {key} has records of {sizes_of_one} values; at most {MAX_ROW_BYTES // 4} "
            f"are possible ({MAX_ROW_BYTES // 2**20} MiB as float32)"
        )
    if not header.record_bytes:
        raise InvalidDataError(f"s3 object {key}: records of the shape {shape[1:]} are empty")
    return header
