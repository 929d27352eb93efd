"""A user's own code, packed for the functions."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stepml.job.errors import InvalidCodeError
from stepml.ml.own.code import MOST_UNPACKED_BYTES, digest_of, require_archive
from stepml.packaging.archives import zip_archive

# Folders, beside hidden ones and virtual environments; `runs` has the models of earlier jobs.
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "runs"})
_ENVIRONMENT = "pyvenv.cfg"  # a file in each virtual environment


@dataclass(frozen=True, slots=True)
class PackedCode:
    """A zip file."""

    archive: bytes
    names: tuple[str, ...]  # of its files

    @property
    def digest(self) -> str:
        """The SHA-256 of the zip file, by which it is stored."""
        return digest_of(self.archive)

    def require_module(self, entry_point: str, field: str = "model.entry_point") -> None:
        """Raise `InvalidCodeError` if no file can be the module of ``entry_point``.

        ``field`` of the job names the entry point.
        """
        module = entry_point.partition(":")[0]
        place = module.replace(".", "/")
        if any(name.startswith((f"{place}.", f"{place}/")) for name in self.names):
            return
        found = [name for name in self.names if name.endswith(".py")]
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        raise InvalidCodeError(
            f"{field}: expected the module {module!r} in the code, as {place}.py; it has "
            f"{', '.join(found[:10]) or 'no Python file'}{more}"
        )


def packed_code(path: Path) -> PackedCode:
    """Pack a directory or a Python file; a zip file stays as it is.

    Hidden files, caches and virtual environments are left out. Equal files have equal zip files.

    Raises
    ------
    InvalidCodeError
        There is nothing at ``path``, or it is something else, or too large.
    """
    try:
        archive = _archive(path)
    except OSError as error:
        raise InvalidCodeError(f"code: {str(path)!r} cannot be read: {error.strerror}") from None
    require_archive(archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        names = tuple(each.filename for each in opened.infolist() if not each.is_dir())
    return PackedCode(archive, names)


def _archive(path: Path) -> bytes:
    if path.is_dir():
        files = {each.relative_to(path).as_posix(): each for each in _files(path)}
    elif path.suffix == ".py":
        files = {path.name: path}
    elif path.suffix == ".zip" or not path.exists():
        return path.read_bytes()
    else:
        raise InvalidCodeError(
            f"code: expected a directory, a .zip or a .py file, got {str(path)!r}"
        )
    size = sum(each.stat().st_size for each in files.values())
    if size > MOST_UNPACKED_BYTES:  # not to read a folder of data
        largest = max(files, key=lambda name: files[name].stat().st_size)
        raise InvalidCodeError(
            f"code: expected at most {MOST_UNPACKED_BYTES:,} bytes in {str(path)!r}, got "
            f"{size:,}; the largest file is {largest}"
        )
    return zip_archive(files)


def _files(directory: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(directory):
        here = Path(place)
        folders[:] = [name for name in folders if not _is_left_out(here / name)]
        yield from (
            here / name
            for name in names
            if not name.startswith(".") and not name.endswith(".pyc") and (here / name).is_file()
        )


def _is_left_out(folder: Path) -> bool:
    name = folder.name
    return name.startswith(".") or name in _LEFT_OUT or (folder / _ENVIRONMENT).exists()
