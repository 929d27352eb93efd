"""A user's own code, packed for the functions."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from stepml.job.errors import InvalidCodeError
from stepml.ml.own.code import MOST_UNPACKED_BYTES, digest_of, require_archive, taken
from stepml.ml.own.finder import is_reserved
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

        Functions would import another module than one with the name of a library's. ``field`` of
        the job names the entry point.
        """
        module = entry_point.partition(":")[0]
        if is_reserved(module.partition(".")[0]):
            raise taken(module, field)
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
    return _packed(archive)


def packed_modules(names: Collection[str]) -> PackedCode:
    """Pack importable modules and packages of this machine, by their names without dots.

    Raises
    ------
    InvalidCodeError
        One cannot be found, or has no files, or all are too large.
    """
    files: dict[str, Path] = {}
    for name in sorted(names):
        files |= _files_of_module(name)
    _require_small(files, ", ".join(sorted(names)))
    return _packed(zip_archive(files))


def _files_of_module(name: str) -> dict[str, Path]:
    spec = find_spec(name)
    if spec is not None and spec.submodule_search_locations:
        folders = [Path(each) for each in spec.submodule_search_locations]
        return {
            f"{name}/{each.relative_to(folder).as_posix()}": each
            for folder in folders
            for each in _files(folder)
        }
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise InvalidCodeError(f"code: the installed package {name!r} has no Python files to send")
    return {f"{name}.py": Path(spec.origin)}


def _packed(archive: bytes) -> PackedCode:
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
    _require_small(files, str(path))
    return zip_archive(files)


def _require_small(files: Mapping[str, Path], where: str) -> None:
    """Refuse files that are too large before they are read, such as a folder of data."""
    size = sum(each.stat().st_size for each in files.values())
    if size > MOST_UNPACKED_BYTES:
        largest = max(files, key=lambda name: files[name].stat().st_size)
        raise InvalidCodeError(
            f"code: expected at most {MOST_UNPACKED_BYTES:,} bytes in {where!r}, got "
            f"{size:,}; the largest file is {largest}"
        )


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
