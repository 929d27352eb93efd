"""Builds everything that is deployed on AWS: packages with their libraries, templates, machines.

`stepml.packaging.images` builds the packages that become container images.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stepml.packaging.archives import zip_archive
from stepml.packaging.building import build_package, for_functions, for_linux
from stepml.packaging.kernels import built
from stepml.packaging.packages import (
    FUNCTION_PACKAGES,
    FUNCTIONS_PROCESSOR,
    PROCESSORS,
    PYTHON_VERSION,
    PYTHON_VERSIONS,
    SERVER_ARCHIVES,
    SERVER_PACKAGE,
)
from stepml.packaging.sources import files_below, resource_root


def main(arguments: Sequence[str] | None = None) -> None:
    """Build everything into a folder, which is emptied first."""
    parser = argparse.ArgumentParser(prog="python -m stepml.packaging", description=__doc__)
    parser.add_argument("target", type=Path, help="the folder, such as build/aws")
    parser.add_argument(
        "--constraint", type=Path, required=True, help="file with the libraries' versions"
    )
    parser.add_argument(
        "--architecture", choices=PROCESSORS, default=FUNCTIONS_PROCESSOR, help="of the functions"
    )
    parser.add_argument(
        "--python", choices=PYTHON_VERSIONS, default=PYTHON_VERSION, help="of the functions"
    )
    given = parser.parse_args(arguments)
    build(given.target, given.constraint, given.architecture, given.python)


def build(
    target: Path,
    constraint: Path,
    architecture: str = FUNCTIONS_PROCESSOR,
    python_version: str = PYTHON_VERSION,
) -> None:
    """Build everything into ``target``, which is emptied first.

    Parameters
    ----------
    target : Path
    constraint : Path
        A constraints file of pip.
    architecture : {"x86_64", "arm64"}
        Of the functions.
    python_version : str
        Of the functions.

    Raises
    ------
    PackageTooLargeError
    CalledProcessError
        pip failed; its own message has been printed.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    print(built("linux", PROCESSORS[architecture]))
    libraries = [*for_functions(architecture, python_version), f"--constraint={constraint}"]
    for name, package in FUNCTION_PACKAGES.items():
        if package.image_of is None:
            build_package(package, target / name, libraries)
    for name, processor in SERVER_ARCHIVES.items():
        with tempfile.TemporaryDirectory() as folder:
            options = [*for_linux(processor), f"--constraint={constraint}"]
            build_package(SERVER_PACKAGE, Path(folder) / name, options)
            archive = zip_archive(files_below(Path(folder) / name))
            (target / f"{name}.zip").write_bytes(archive)
    shutil.copytree(resource_root() / "state_machines", target / "state_machines")
    (target / "templates").mkdir()
    for pattern in ("*.yaml", "Containerfile.*"):
        for template in (resource_root() / "templates").glob(pattern):
            shutil.copy(template, target / "templates")


if __name__ == "__main__":
    main()
