"""Builds the folder that a container image copies: ``python -m stepml.packaging.images``.

With ``--here`` the libraries are for this Python, which then loads the functions' handlers from the
folder alone. So the list of libraries is checked without a container.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stepml.job.function_kinds import FunctionKind
from stepml.packaging.building import build_package, for_functions
from stepml.packaging.functions import function_names
from stepml.packaging.packages import FUNCTION_PACKAGES

IMAGES = {name: package for name, package in FUNCTION_PACKAGES.items() if package.image_of}
_LOAD = """
import sys
from importlib import import_module
sys.path.append(sys.argv[1])
for name in sys.argv[2:]:
    print(f"loaded {import_module(name).__name__}")
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Build one folder, which is emptied first."""
    parser = argparse.ArgumentParser(prog="python -m stepml.packaging.images", description=__doc__)
    parser.add_argument("package", choices=IMAGES, help="its name, which is the folder's")
    parser.add_argument("target", type=Path, help="the folder of this folder, such as build/aws")
    parser.add_argument(
        "--constraint", type=Path, required=True, help="file with the libraries' versions"
    )
    parser.add_argument("--index", default="", help="another index of libraries, for pip")
    parser.add_argument("--here", action="store_true", help="for this Python, which loads it")
    given = parser.parse_args(arguments)
    package, directory = IMAGES[given.package], given.target / given.package
    shutil.rmtree(directory, ignore_errors=True)
    options = [f"--constraint={given.constraint}", *([] if given.here else for_functions())]
    options += [f"--extra-index-url={given.index}"] if given.index else []
    build_package(package, directory, options)
    if given.here:
        assert package.image_of is not None
        load(package.image_of, directory)


def load(kind: FunctionKind, directory: Path) -> None:
    """Load the library and the handlers of a kind of functions from a package alone.

    Raises
    ------
    CalledProcessError
        Something is missing; its message has been printed.
    """
    suffix = f"-{kind.name}"
    parts = [name.removesuffix(suffix) for name in function_names() if name.endswith(suffix)]
    isolated = (sys.executable, "-I", "-S", "-B")  # no other libraries, and no file is written
    command = [*isolated, "-c", _LOAD, str(directory), *kind.modules]
    command += [f"lambdas.{part}" for part in parts]
    subprocess.run(command, check=True)  # noqa: S603 - our own arguments, no shell


if __name__ == "__main__":
    main()
