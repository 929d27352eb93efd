"""Files to upload, and the keys that they get in a bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from stepml.job.places import DATA, absolute, bucket_and_key
from stepml.ml.data.formats import FORMATS, format_of_file
from stepml.ml.data.hidden_files import is_hidden, note_on_hidden
from stepml.records.errors import UploadRefusedError

_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Parcel:
    """Files to send."""

    place: str  # the key of one object, or their folder, which ends with a slash
    files: dict[str, Path]  # by key, in their order
    left_out: tuple[str, ...] = ()  # hidden files, by their path from the folder


def parcel_of(paths: Sequence[Path], to: str | None) -> Parcel:
    """Return the files to send for ``paths``: files, folders and patterns.

    Parameters
    ----------
    paths : sequence of Path
    to : str, optional
        The key, or the folder, which ends with a slash.

    Raises
    ------
    UploadRefusedError
        There is no such file, or no file in a folder.
    """
    given = list(dict.fromkeys(each for path in paths for each in _matching(path)))
    if len(given) == 1 and given[0].is_file():
        return _one(given[0], to)
    base = given[0] if len(given) == 1 else _common_folder(given)
    name = base.resolve().name
    place = f"{DATA}{name}/" if to is None else f"{to.removesuffix('/')}/"
    found = [file for path in given for file in _files_of(path)]
    names = {file: _relative(file, base) for file in found}
    left_out = [name for name in names.values() if is_hidden(name)]
    files = {place + name: file for file, name in names.items() if not is_hidden(name)}
    if not files:
        hidden = "".join(f"; {note}" for note in note_on_hidden(left_out))
        raise UploadRefusedError(f"no file is below {str(base)!r}{hidden}")
    return Parcel(place, files, tuple(left_out))


def data_key(place: str, bucket: str) -> str:
    """Return the key or folder of a place, which must be below ``data/`` of the bucket.

    Raises
    ------
    UploadRefusedError
        It is elsewhere.
    """
    other, key = bucket_and_key(absolute(place, bucket))
    if other != bucket:
        raise UploadRefusedError(
            f"expected a place in the bucket of the stack, {bucket}, got {place!r}"
        )
    if not key.startswith(DATA):
        hint = f", such as {DATA}{key}" if not key.startswith("/") else ""
        raise UploadRefusedError(f"expected a place below {DATA}{hint}, got {place!r}")
    return key


def _one(file: Path, to: str | None) -> Parcel:
    key = f"{DATA}{file.name}" if to is None else to + (file.name if to.endswith("/") else "")
    files = {key: file}
    data_format = format_of_file(file.name)
    if data_format is not None:
        labels_beside = FORMATS[data_format].labels_beside
        pairs = zip(labels_beside(file.name), labels_beside(key), strict=False)
        beside = {labels: file.parent / name for name, labels in pairs}
        files |= {labels: path for labels, path in beside.items() if path.is_file()}
    return Parcel(key, files)


def _matching(path: Path) -> Iterator[Path]:
    """Yield ``path``, or the paths that match it."""
    if path.exists():
        yield path
        return
    text = str(path)
    found = sorted(glob(text, recursive=True)) if _WILDCARDS.intersection(text) else []  # noqa: PTH207
    if not found:
        raise UploadRefusedError(f"{text!r} cannot be read: No such file or directory")
    yield from map(Path, found)


def _common_folder(paths: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([each.resolve().parent for each in paths]))


def _files_of(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for place, folders, names in os.walk(path):
        folders.sort()
        yield from (Path(place, name) for name in sorted(names))


def _relative(file: Path, base: Path) -> str:
    if file.is_relative_to(base):
        return file.relative_to(base).as_posix()
    return file.resolve().relative_to(base.resolve()).as_posix()
