"""Builds a package: our files, and libraries that pip installs beside them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stepml.packaging.packages import FUNCTIONS_PROCESSOR, PROCESSORS, PYTHON_VERSION, Package
from stepml.packaging.sources import resource_root

PLATFORMS = ("manylinux2014", "manylinux_2_28")
MEGABYTE = 2**20
FILE_TIME = 315_532_800  # 1980-01-01, the earliest time that a zip file can hold
# A function runs as another user than the one who packs it, whatever that one's umask is.
FILE_MODE, PROGRAM_MODE = 0o644, 0o755


class PackageTooLargeError(Exception):
    """A package is larger than its description allows."""


def for_functions(
    architecture: str = FUNCTIONS_PROCESSOR, python_version: str = PYTHON_VERSION
) -> list[str]:
    """Return the options with which pip installs libraries for functions on AWS.

    Parameters
    ----------
    architecture : {"x86_64", "arm64"}
        The stack's parameter of that name.
    python_version : str
        Of the stack's Runtime.
    """
    return for_linux(PROCESSORS[architecture], python_version)


def for_linux(processor: str, python_version: str = PYTHON_VERSION) -> list[str]:
    """Return the options with which pip installs libraries for Linux on ``processor``."""
    platforms = [f"--platform={platform}_{processor}" for platform in PLATFORMS]
    return ["--only-binary=:all:", f"--python-version={python_version}", *platforms]


def build_package(package: Package, directory: Path, options: Sequence[str]) -> None:
    """Put the libraries and our files of ``package`` into ``directory``.

    Parameters
    ----------
    package : Package
    directory : Path
    options : sequence of str
        Of pip; without a platform, the libraries are for this Python.

    Raises
    ------
    PackageTooLargeError
    CalledProcessError
        pip failed; its own message has been printed.
    """
    install_libraries(package, directory, options)
    for pattern in ("**/__pycache__", *package.left_out):
        for path in [*directory.glob(pattern)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, source in package.files().items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, directory / name)
    make_uniform(directory)
    require_size(package, directory)


def make_uniform(directory: Path) -> None:
    """Let everybody read ``directory``, and give equal times to everything in it.

    Zip files of equal packages are then equal, so CloudFormation sees that nothing has changed.
    """
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            path.chmod(PROGRAM_MODE if path.stat().st_mode & stat.S_IXUSR else FILE_MODE)
            os.utime(path, (FILE_TIME, FILE_TIME))


def require_size(package: Package, directory: Path) -> None:
    """Print how large the built ``package`` in ``directory`` is.

    Raises
    ------
    PackageTooLargeError
    """
    files = (path for path in directory.rglob("*") if path.is_file())
    size_mb = sum(path.stat().st_size for path in files) / MEGABYTE
    if package.max_mb is not None and size_mb > package.max_mb:
        raise PackageTooLargeError(
            f"{directory.name} has {size_mb:.0f} MB, but at most {package.max_mb} MB are allowed"
        )
    print(f"{directory.name}: {size_mb:.0f} MB")


def install_libraries(package: Package, directory: Path, options: Sequence[str]) -> None:
    """Install the libraries of ``package`` into ``directory``; ``options`` as `build_package`."""
    required = [f"--requirement={resource_root() / file}" for file in package.requirements]
    subprocess.run(  # noqa: S603 - our own arguments, no shell
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"),
            *(f"--target={directory}", *options, *required),
        ],
        check=True,
    )
