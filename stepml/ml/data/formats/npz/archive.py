"""npz: zip archives of arrays, read as streams."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from stepml.job.errors import InvalidDataError, StepMLError
from stepml.ml.data.formats.npz.names import CSR, PAIRS_SHOWN, find_names
from stepml.ml.data.formats.ranged_file import Reopened
from stepml.ml.data.formats.row_shapes import image_shape
from stepml.ml.data.formats.rows import MAX_ROW_BYTES
from stepml.ml.data.labels import kind_of_numbers
from stepml.ml.data.objects import DataObject, ObjectReader

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_DENSE = "(n, d), (n, height, width) or (n, channels, height, width)"
_EXPECTED = (
    f"X {_DENSE} and y (n,) (or {PAIRS_SHOWN}), or a CSR matrix as scipy.sparse.save_npz writes it "
    "and y"
)
# Of arrays in Fortran order, whose rows are scattered, so that all of them are in memory.
MOST_FORTRAN_BYTES = 2**30
# The largest data.n_features.
_MOST_SPARSE_FEATURES = 2**31 - 1
_TEXT_HINT = "; text may be in the columns of CSV or Parquet"
_READ_BYTES = 2**20  # of one read
_FIRST_LABELS = 2**20  # by which it is decided whether labels are large integers
# Read limit of the arrays that describe the others.
_SMALL_BYTES = 4096

# The standard library's errors for archives that are damaged or not supported (encrypted ones:
# RuntimeError).
_DAMAGES = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Contents:
    """The shape and kind of an npz object's matrix."""

    n_rows: int
    n_features: int
    is_csr: bool
    row_shape: tuple[int, ...] = ()  # of images
    X: str = "X"  # the name of the array of features; of a CSR matrix empty
    y: str = "y"  # and of labels
    others: tuple[str, ...] = ()  # the names of all other arrays


class ArrayStream:
    """One array of an npz object, read from start to end."""

    def __init__(self, file: IO[bytes], file_bytes: int, title: str) -> None:
        self._file = file
        self._title = title  # of the array, for messages
        with damages_named(title):
            version = npy.read_magic(file)
            if version not in _HEADERS:
                raise ValueError(f"version {version} of npy")
            shape, is_fortran, dtype = _HEADERS[version](file)
            start = file.tell()
        self.shape: tuple[int, ...] = shape
        self.is_fortran: bool = is_fortran
        self.dtype: np.dtype[Any] = dtype
        self._left_bytes = self.value_bytes
        self._columns: NDArray[Any] | None = None  # all of it, if it is in Fortran order
        self._row = 0
        if dtype.hasobject:
            raise InvalidDataError(
                f"{title} holds Python objects (pickles), not numbers, as arrays of a frame with "
                "text do: write the array with another type (astype), or the frame as CSV or "
                "Parquet"
            )
        if start + self._left_bytes != file_bytes:
            raise InvalidDataError(
                f"{title} has {file_bytes - start} bytes, but its shape {shape} and type {dtype} "
                f"require {self._left_bytes}"
            )

    @property
    def value_bytes(self) -> int:
        """The size of the array."""
        return self.dtype.itemsize * prod(self.shape)

    def take(self, n: int) -> NDArray[Any]:
        """Return the next ``n`` entries along the first axis."""
        if self.is_fortran:
            return self._take_scattered(n)
        wanted = n * self.dtype.itemsize * prod(self.shape[1:])
        with damages_named(self._title):
            data = self._file.read(wanted)
            if len(data) != wanted:
                raise EOFError(f"ends {wanted - len(data)} bytes too early")
            self._left_bytes -= wanted
            if not self._left_bytes:
                self._file.read(1)  # the archive compares the checksum at the end of an array
            return np.frombuffer(data, self.dtype).reshape(n, *self.shape[1:])

    def _take_scattered(self, n: int) -> NDArray[Any]:
        if self._columns is None:
            self._columns = self._read_columns()
        self._row += n
        return self._columns.T[self._row - n : self._row]

    def _read_columns(self) -> NDArray[Any]:
        """Return the whole array, its first axis last."""
        columns = np.empty(self.shape[::-1], self.dtype)
        view = memoryview(columns.reshape(-1).view(np.uint8).data)
        done = 0
        with damages_named(self._title):
            while done < len(view):
                read = self._file.readinto(view[done : done + _READ_BYTES])  # type: ignore[attr-defined]
                if not read:
                    raise EOFError(f"ends {len(view) - done} bytes too early")
                done += read
            self._file.read(1)  # as in `take`
        return columns


class Archive:
    """The arrays of one npz object."""

    def __init__(self, reader: ObjectReader, data: DataObject, request_bytes: int) -> None:
        self._file = Reopened(reader, data, request_bytes)
        self._data = data
        self._request_bytes = request_bytes
        infos = self._zip(0).infolist()
        self._members = {
            info.filename.removesuffix(".npy"): info
            for info in infos
            if info.filename.endswith(".npy")
        }

    def open(self, name: str) -> ArrayStream:
        """Return the array ``name`` as a stream that reads ahead."""
        return self._open(name, min(self._request_bytes, self._members[name].compress_size))

    def _open(self, name: str, ahead_bytes: int) -> ArrayStream:
        title, member = self.title(name), self._members[name]
        with damages_named(title):
            file = self._zip(ahead_bytes).open(member)
        return ArrayStream(file, member.file_size, title)

    def title(self, name: str) -> str:
        """Return the title of an array for messages."""
        return f"s3 object {self._data.key}: {name}"

    def contents(self, *, has_label: bool, weight: str | None = None) -> Contents:
        """Return the shape and kind of the matrix; only the headers of arrays are read.

        ``weight`` is the array of the rows' weights, if they have any.

        Raises
        ------
        InvalidDataError
            The arrays are not those of a data set. The message has the object, the expected arrays
            and the present ones.
        """
        names = list(self._members)
        X, y = find_names(names, has_label=has_label)
        parts = (X,) if X else CSR
        self._require((*parts, y) if has_label else parts)
        found = self._dense(X) if X else self._csr()
        self._require_width(found)
        if has_label:
            self._require_labels(y, found.n_rows)
        used = {*parts, y} if has_label else set(parts)
        if weight is not None:
            self._require_weights(weight, found.n_rows)
            used.add(weight)
        others = tuple(name for name in names if name not in used)
        return replace(found, X=X, y=y, others=others)

    def label_kind(self, name: str, *, are_classes: bool) -> str:
        """Return the kind of the labels in the array ``name`` (`Layout.label_kind`)."""
        y = self._open(name, 0)
        if y.dtype.kind in "USb":
            return "boolean" if y.dtype.kind == "b" else "text"
        if not are_classes:
            return "number"
        return kind_of_numbers(y.take(min(y.shape[0], _FIRST_LABELS)))

    def has_labels(self) -> bool:
        """Return whether there are labels."""
        return find_names(list(self._members), has_label=True)[1] in self._members

    def _require_width(self, found: Contents) -> None:
        # A sparse matrix is checked row by row.
        most = _MOST_SPARSE_FEATURES if found.is_csr else MAX_ROW_BYTES // 4
        if not 1 <= found.n_features <= most:
            raise InvalidDataError(
                f"s3 object {self._data.key} has {found.n_features} features; 1 to {most} are "
                f"possible of {'CSR matrices' if found.is_csr else 'dense rows'}"
            )

    def _zip(self, ahead_bytes: int) -> zipfile.ZipFile:
        with damages_named(f"s3 object {self._data.key} is not npz"):
            return zipfile.ZipFile(self._file.open(ahead_bytes))

    def _require(self, names: Sequence[str]) -> None:
        missing = [name for name in names if name not in self._members]
        if missing:
            raise InvalidDataError(
                f"s3 object {self._data.key} has no array {missing[0]!r}: expected are "
                f"{_EXPECTED}; found are {', '.join(self._members)[:400] or 'none'}"
            )

    def _dense(self, name: str) -> Contents:
        X = self._open(name, 0)
        if len(X.shape) not in (2, 3, 4) or X.dtype.kind not in "biuf":
            hint = _TEXT_HINT if X.dtype.kind in "US" else ""
            raise self._other_than(name, f"real numbers of shape {_DENSE}{hint}", X)
        n_rows, *sizes = X.shape
        if X.is_fortran and X.value_bytes > MOST_FORTRAN_BYTES:
            raise InvalidDataError(
                f"{self.title(name)} is in Fortran order, so its rows lie scattered, and has "
                f"{X.value_bytes} bytes; {MOST_FORTRAN_BYTES} are possible: write it as "
                f"np.ascontiguousarray({name}), or in several objects"
            )
        return Contents(n_rows, prod(sizes), is_csr=False, row_shape=image_shape(sizes))

    def _require_labels(self, name: str, n_rows: int) -> None:
        y = self._open(name, 0)
        if y.dtype.kind not in "biufUS" or y.shape[:1] != (n_rows,) or len(y.shape) > 2:
            raise self._other_than(name, f"real numbers or text of shape ({n_rows},)", y)
        if y.shape[1:] not in ((), (1,)):
            raise self._other_than(
                name,
                f"one label a row, of shape ({n_rows},): labels that are one-hot become so by "
                f"{name}.argmax(axis=1)",
                y,
            )

    def _require_weights(self, name: str, n_rows: int) -> None:
        if name not in self._members:
            raise InvalidDataError(
                f"data.weight: s3 object {self._data.key} has no array {name!r}; found are "
                f"{', '.join(self._members)[:400]}"
            )
        self._vector(name, "biuf", n_rows, "data.weight: ")

    def _csr(self) -> Contents:
        kind = self._small("format").tobytes().replace(b"\0", b"")
        if kind != b"csr":
            raise InvalidDataError(
                f"{self.title('format')} is {kind[:20].decode('utf-8', 'replace')!r}; 'csr' is "
                "expected: convert the matrix by its method tocsr()"
            )
        shape = self._small("shape")
        if shape.shape != (2,) or shape.dtype.kind not in "iu" or shape.min() < 0:
            raise InvalidDataError(f"{self.title('shape')} is not (rows, columns)")
        n_rows, n_features = (int(n) for n in shape)
        self._vector("indptr", "iu", n_rows + 1)
        n_pairs = self._vector("indices", "iu", None)
        self._vector("data", "biuf", n_pairs)
        return Contents(n_rows, n_features, is_csr=True)

    def _small(self, name: str) -> NDArray[Any]:
        stream = self._open(name, 0)
        n = prod(stream.shape)
        if n * stream.dtype.itemsize > _SMALL_BYTES or len(stream.shape) > 1:
            raise self._other_than(name, "a few values", stream)
        stream.shape = (n,)
        return stream.take(n)

    def _vector(self, name: str, kinds: str, length: int | None, field: str = "") -> int:
        stream = self._open(name, 0)
        is_vector = len(stream.shape) == 1 and stream.dtype.kind in kinds
        if not is_vector or length not in (None, stream.shape[0]):
            numbers = "real numbers" if "f" in kinds else "integers"
            shape = "(n,)" if length is None else f"({length},)"
            raise self._other_than(name, f"{field}{numbers} of shape {shape}", stream)
        return stream.shape[0]

    def _other_than(self, name: str, expected: str, found: ArrayStream) -> InvalidDataError:
        return InvalidDataError(
            f"{self.title(name)} has shape {found.shape} and type {found.dtype}; "
            f"expected are {expected}"
        )


@contextmanager
def damages_named(title: str) -> Iterator[None]:
    """Turn the standard library's errors for damaged archives into `InvalidDataError`."""
    try:
        yield
    except StepMLError:
        raise
    except _DAMAGES as exc:
        raise InvalidDataError(f"{title}: {exc}") from exc
