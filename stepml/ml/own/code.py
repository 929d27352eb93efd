"""Code of the user's own: zip files, unpacked once on a machine, and functions in them.

Only functions of jobs with such code, and programs that load a model with its code, import anything
of it.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import shutil
import stat
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from threading import RLock
from types import ModuleType
from typing import Any

from stepml.job.errors import InvalidCodeError
from stepml.ml.own.finder import OwnFinder

MOST_PACKED_BYTES = 50 * 2**20
MOST_UNPACKED_BYTES = 100 * 2**20  # a function has 512 MB for files
UNUSED_S = 3600.0  # after which unpacked code makes room for other code

_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError),
    *(NotADirectoryError, IsADirectoryError, FileExistsError),  # a file as a folder
)
_IMPORTING = RLock()
_FINDER = OwnFinder()
_active: list[Path] = []  # the directory on sys.path, if there is one


def digest_of(archive: bytes) -> str:
    """Return the name of a zip file by its content."""
    return hashlib.sha256(archive).hexdigest()


def directory_of(digest: str) -> Path:
    """Return the directory of the code with this digest, once it is unpacked."""
    return _root() / digest


def require_archive(archive: bytes) -> None:
    """Raise `InvalidCodeError` if a zip file cannot be unpacked safely; nothing is written."""
    with _opened(archive):
        pass


def unpack(archive: bytes) -> Path:
    """Return the directory with the content of a zip file, which appears whole or not at all.

    Raises
    ------
    InvalidCodeError
        It is damaged, too large, or has members that would lie elsewhere.
    """
    directory = directory_of(digest_of(archive))
    if is_unpacked(directory):
        return directory
    with _opened(archive) as opened:
        _remove_unused(directory.parent)
        aside = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".unpacking-"))
        try:
            opened.extractall(aside)  # the members are checked
            _appear(aside, directory)
        except _DAMAGES as exc:
            raise InvalidCodeError(f"code: the zip file is damaged: {exc}") from exc
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return directory


def _appear(aside: Path, directory: Path) -> None:
    try:
        aside.rename(directory)
    except OSError:
        if not directory.exists():  # otherwise another function was faster
            raise


def is_unpacked(directory: Path) -> bool:
    """Return whether code is in its directory; it then stays for `UNUSED_S` at least."""
    try:
        os.utime(directory)
    except FileNotFoundError:
        return False
    return True


def imported_function(
    directory: Path, entry_point: str, field: str = "model.entry_point", kind: str = "function"
) -> Callable[..., Any]:
    """Return the function or class ``package.module:name`` in ``directory``.

    Modules of other code, which an earlier job of this process used, are forgotten: each code has
    names of its own. Modules of StepML, Python and the libraries of functions come first. ``field``
    of the job names the entry point, which is a "function" or a "class".

    Raises
    ------
    InvalidCodeError
        There is no such module or function in the directory.
    Exception
        Of the module itself.
    """
    name, _, function = entry_point.partition(":")
    with _IMPORTING:
        _activate(directory)
        _FINDER.prefer(directory, name.partition(".")[0])
        module = _imported(name, directory, field)
    found = getattr(module, function, None)
    if not callable(found):
        raise InvalidCodeError(
            f"{field}: module {name!r} has no {kind} {function!r}; it has "
            f"{', '.join(_functions(module)) or 'none'}"
        )
    checked: Callable[..., Any] = found
    return checked


def _imported(name: str, directory: Path, field: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        _require_own(sys.modules.get(name.partition(".")[0]), directory, field)
        raise InvalidCodeError(
            f"{field}: no module {name!r} in the code; it has "
            f"{', '.join(_modules(directory)) or 'no Python file'}"
        ) from error
    _require_own(module, directory, field)
    return module


def _require_own(module: ModuleType | None, directory: Path, field: str) -> None:
    if module is not None and not _is_of(module, directory) and not _is_same(module, directory):
        raise taken(module.__name__, field)


def taken(module: str, field: str) -> InvalidCodeError:
    """Return the error of a module of the code that has the name of another one."""
    return InvalidCodeError(
        f"{field}: {module!r} is a module of Python, StepML or a library; rename yours"
    )


def _activate(directory: Path) -> None:
    if _active == [directory] and str(directory) in sys.path:
        return
    for other in _active:
        with suppress(ValueError):  # others may have changed the path
            sys.path.remove(str(other))
        for name, module in list(sys.modules.items()):
            if _is_of(module, other):
                del sys.modules[name]
    _active[:] = [directory]
    sys.path.append(str(directory))
    importlib.invalidate_caches()


def _is_of(module: ModuleType, directory: Path) -> bool:
    file = getattr(module, "__file__", None)
    try:
        places = [file] if file else list(getattr(module, "__path__", []))
        # Thousands of modules may be loaded: most are told apart without taking paths to pieces.
        return any(
            directory.name in str(each) and Path(each).is_relative_to(directory) for each in places
        )
    except (TypeError, ValueError, KeyError):  # modules of others may say anything
        return False


def _is_same(module: ModuleType, directory: Path) -> bool:
    """Return whether a module from elsewhere has the file that the code has, to the letter.

    So it is where the package of the code is installed, and imported already.
    """
    file = Path(str(getattr(module, "__file__", None)))
    own = directory.joinpath(*module.__name__.split("."))
    try:
        own = own / file.name if file.stem == "__init__" else own.with_suffix(file.suffix)
        return file.read_bytes() == own.read_bytes()
    except (OSError, ValueError):
        return False


def _modules(directory: Path) -> list[str]:
    found = (each.relative_to(directory).with_suffix("") for each in directory.rglob("*.py"))
    return sorted(".".join(each.parts).removesuffix(".__init__") for each in found)[:20]


def _functions(module: ModuleType) -> Iterator[str]:
    for name, each in vars(module).items():
        if callable(each) and getattr(each, "__module__", "") == module.__name__:
            yield name


def _opened(archive: bytes) -> zipfile.ZipFile:
    if len(archive) > MOST_PACKED_BYTES:
        raise InvalidCodeError(
            f"code: expected a zip file of at most {MOST_PACKED_BYTES:,} bytes, got "
            f"{len(archive):,}"
        )
    try:
        opened = zipfile.ZipFile(io.BytesIO(archive))
    except _DAMAGES as error:
        raise InvalidCodeError(f"code: expected a zip file: {error}") from error
    members = opened.infolist()
    if refused := next(filter(_is_refused, members), None):
        raise InvalidCodeError(
            "code: expected files with relative paths, stored or deflated, in the zip file, got "
            f"{refused.filename!r}"
        )
    if (size := sum(each.file_size for each in members)) > MOST_UNPACKED_BYTES:
        raise InvalidCodeError(
            f"code: expected at most {MOST_UNPACKED_BYTES:,} bytes in the zip file, got {size:,}"
        )
    return opened


def _is_refused(member: zipfile.ZipInfo) -> bool:
    """Return whether a member would lie elsewhere, is a link, encrypted or packed otherwise."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    kind = stat.S_IFMT(member.external_attr >> 16)
    is_special = kind not in (0, stat.S_IFREG, stat.S_IFDIR)
    is_opaque = member.compress_type not in _PLAIN or bool(member.flag_bits & 1)
    return path.is_absolute() or ".." in path.parts or is_special or is_opaque


def _root() -> Path:
    """Return the directory of all unpacked code, which is this user's alone."""
    root = Path(tempfile.gettempdir()).resolve() / f"stepml-code-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    found = root.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise PermissionError(f"{root} must be a directory of this user, writable by no other one")
    return root


def _remove_unused(root: Path) -> None:
    before = time.time() - UNUSED_S
    for each in root.iterdir():
        with suppress(FileNotFoundError):  # renamed or removed by another function
            if each.lstat().st_mtime < before:
                shutil.rmtree(each, ignore_errors=True)
