"""Zip files of functions with their libraries for AWS, made once for each content."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stepml.deployment.errors import DeploymentError
from stepml.deployment.templates import code_files
from stepml.packaging.archives import zip_archive
from stepml.packaging.building import PackageTooLargeError, build_package, for_functions
from stepml.packaging.kernels import built
from stepml.packaging.packages import (
    FUNCTIONS_PROCESSOR,
    PROCESSORS,
    PYTHON_VERSION,
    Package,
    code_package,
)
from stepml.packaging.sources import constraints_path, files_below, resource_root

_SCRIPTS = "bin/"  # of libraries; they name this machine's Python, and nothing uses them


class WithLibraries:
    """Zip files of our files and of libraries, which pip installs for Lambda.

    Parameters
    ----------
    cache : Path
        Directory for finished zip files, by the digest of everything that they are made from.
    architecture : {"x86_64", "arm64"}
        The stack's parameter of that name.
    python_version : str
        Of the stack's Runtime.
    """

    has_images = False

    def __init__(
        self,
        cache: Path,
        architecture: str = FUNCTIONS_PROCESSOR,
        python_version: str = PYTHON_VERSION,
    ) -> None:
        self._cache = cache
        self._processor = PROCESSORS[architecture]
        self._options = for_functions(architecture, python_version)
        self._is_compiled = False

    def archive(self, directory: Path) -> bytes:
        package = code_package(directory, resource_root())
        if package is None:
            return zip_archive(code_files(directory))
        return self.package(package, directory.name)

    def package(self, package: Package, name: str) -> bytes:
        self._compile()
        path = self._cache / f"{name}-{fingerprint(package, self._options)}.zip"
        if not path.exists():
            content = _built(package, name, self._options)
            self._cache.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(f".{hashlib.sha256(content).hexdigest()[:8]}")
            draft.write_bytes(content)
            draft.replace(path)
        return path.read_bytes()

    def _compile(self) -> None:
        if not self._is_compiled:
            self._is_compiled = True
            with contextlib.suppress(OSError):  # of an installed wheel; kernels are optional
                built("linux", self._processor)


def fingerprint(package: Package, options: Sequence[str]) -> str:
    """Return a digest of what ``package`` is made from: our files, requirements and versions.

    Parameters
    ----------
    package : Package
    options : sequence of str
        Of pip, such as the platform.
    """
    parts = [constraints_path().read_bytes(), repr((options, package.left_out)).encode()]
    parts += [(resource_root() / file).read_bytes() for file in package.requirements]
    for name, path in sorted(package.files().items()):
        parts += [name.encode(), path.read_bytes()]
    digests = b"".join(hashlib.sha256(part).digest() for part in parts)
    return hashlib.sha256(digests).hexdigest()[:32]


def _built(package: Package, name: str, for_platform: Sequence[str]) -> bytes:
    options = [*for_platform, f"--constraint={constraints_path()}"]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        directory = Path(folder) / name
        try:
            build_package(package, directory, options)
        except subprocess.CalledProcessError as error:
            raise DeploymentError(
                f"pip could not install the libraries of the package {name!r}; its own message is "
                "above"
            ) from error
        except PackageTooLargeError as error:
            raise DeploymentError(str(error)) from error
        files = files_below(directory)
        return zip_archive(
            {file: path for file, path in files.items() if not file.startswith(_SCRIPTS)}
        )
