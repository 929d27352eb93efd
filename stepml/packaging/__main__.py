"""Builds everything that is deployed on AWS: packages with their libraries, templates, machines."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stepml.packaging.kernels import built
from stepml.packaging.packages import (
    FUNCTION_PACKAGES,
    PYTHON_VERSION,
    SERVER_ARCHIVES,
    SERVER_PACKAGE,
    Package,
)
from stepml.packaging.sources import resource_root

FUNCTIONS_PROCESSOR = "x86_64"  # the Architectures of all functions
PLATFORMS = ("manylinux2014", "manylinux_2_28")
MEGABYTE = 2**20


class PackageTooLargeError(Exception):
    """A package is larger than its description allows."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Build everything into a folder, which is emptied first."""
    parser = argparse.ArgumentParser(prog="python -m stepml.packaging", description=__doc__)
    parser.add_argument("target", type=Path, help="the folder, such as build/aws")
    parser.add_argument(
        "--constraint", type=Path, required=True, help="file with the libraries' versions"
    )
    options = parser.parse_args(arguments)
    build(options.target, options.constraint)


def build(target: Path, constraint: Path) -> None:
    """Build everything into ``target``, which is emptied first.

    Parameters
    ----------
    target : Path
    constraint : Path
        A constraints file of pip.

    Raises
    ------
    PackageTooLargeError
    CalledProcessError
        pip failed; its own message has been printed.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    print(built("linux", FUNCTIONS_PROCESSOR))
    for name, package in FUNCTION_PACKAGES.items():
        build_package(package, target / name, FUNCTIONS_PROCESSOR, constraint)
    for name, processor in SERVER_ARCHIVES.items():
        with tempfile.TemporaryDirectory() as folder:
            build_package(SERVER_PACKAGE, Path(folder) / name, processor, constraint)
            shutil.make_archive(str(target / name), "zip", Path(folder) / name)
    shutil.copytree(resource_root() / "state_machines", target / "state_machines")
    (target / "templates").mkdir()
    for template in (resource_root() / "templates").glob("*.yaml"):
        shutil.copy(template, target / "templates")


def build_package(package: Package, directory: Path, processor: str, constraint: Path) -> None:
    """Put the libraries and our files of ``package`` into ``directory``.

    Raises
    ------
    PackageTooLargeError
    CalledProcessError
        pip failed; its own message has been printed.
    """
    install_libraries(package, directory, processor, constraint)
    for pattern in ("**/__pycache__", *package.left_out):
        for path in [*directory.glob(pattern)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, source in package.files().items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, directory / name)
    require_size(package, directory)


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


def install_libraries(package: Package, directory: Path, processor: str, constraint: Path) -> None:
    """Install the libraries of ``package`` for Linux on ``processor`` into ``directory``."""
    required = [f"--requirement={resource_root() / file}" for file in package.requirements]
    platforms = [f"--platform={platform}_{processor}" for platform in PLATFORMS]
    subprocess.run(  # noqa: S603 - our own arguments, no shell
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"),
            *("--only-binary=:all:", f"--python-version={PYTHON_VERSION}", *platforms),
            *(f"--target={directory}", f"--constraint={constraint}", *required),
        ],
        check=True,
    )


if __name__ == "__main__":
    main()
