"""The deployed packages, each described once.

A function of ``templates/template.yaml`` names its package as ``CodeUri: ../<name>``, or, if it is
a container image, as ``DockerContext: ../<name>``. Locally the package has our files alone, as the
libraries are those of the Python that runs StepML.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stepml.job.function_kinds import FUNCTION_KINDS, FunctionKind
from stepml.packaging.sources import source_files

PYTHON_VERSION = "3.12"  # of functions, unless the stack's Runtime is another
PYTHON_VERSIONS = (PYTHON_VERSION, "3.13")
FUNCTIONS_PROCESSOR = "x86_64"  # unless the stack's Architecture is another
PROCESSORS = {"x86_64": "x86_64", "arm64": "aarch64"}  # Lambda's names, and Linux's
LAMBDA_MAX_MB = 250  # of a function, unzipped
TORCH_MAX_MB = 1200  # of an image, which Lambda allows 10 GB; a larger one starts more slowly

_SHARED = ("comm", "storage", "ps_server", "stepml/__init__.py", "stepml/job", "stepml/ml")
_PYARROW_LEFT_OUT = (  # reading parquet and csv needs none of these
    *("tests", "include", "includes", "src", "*.pyx", "*.pxd", "*.pxi", "flight.py"),
    *("libarrow_flight.so.*", "libarrow_python_flight.*", "libarrow_s3.so.*"),
    *("libarrow_python.so", "libarrow_python.so.*.*.*", "libarrow_python_parquet_encryption*"),
    *("_flight.*", "_s3fs.*", "_gcsfs.*", "_azurefs.*", "_hdfs.*", "_orc.*", "_substrait.*"),
    *("_dataset*", "_acero.*", "_feather.*", "_json.*", "_pyarrow_cpp_tests.*"),
    *("_parquet_encryption.*",),
)
_TORCH_LEFT_OUT = (  # for building extensions, and torch's own tests
    *("bin/protoc*", "bin/test_*", "bin/*Test", "include", "lib/*_test.so", "share", "test"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A folder of our files and of libraries for Linux."""

    sources: tuple[str, ...]  # files and folders of ours
    requirements: tuple[str, ...]  # files that list libraries
    left_out: tuple[str, ...] = ()  # patterns of library files that nothing uses
    max_mb: int | None = None  # unzipped
    image_of: FunctionKind | None = None  # on AWS it is a container image

    def files(self) -> dict[str, Path]:
        """Return our own files, by their name in the package."""
        return source_files(self.sources)


# By the folder's name.
FUNCTION_PACKAGES = {
    "code": Package(
        sources=("lambdas", *_SHARED),
        requirements=("lambdas/requirements.txt",),
        max_mb=150,  # a large package makes cold starts slow
    ),
    "code-parquet": Package(
        sources=("lambdas", *_SHARED),
        requirements=("lambdas/requirements.txt", "lambdas/requirements-parquet.txt"),
        left_out=tuple(f"pyarrow/{pattern}" for pattern in _PYARROW_LEFT_OUT),
        max_mb=LAMBDA_MAX_MB,
    ),
    "code-torch": Package(
        sources=("lambdas", *_SHARED),
        requirements=("lambdas/requirements.txt", "lambdas/requirements-torch.txt"),
        left_out=tuple(f"torch/{pattern}" for pattern in _TORCH_LEFT_OUT),
        max_mb=TORCH_MAX_MB,
        image_of=FUNCTION_KINDS["torch"],
    ),
}

SERVER_PACKAGE = Package(
    sources=(*_SHARED, "templates/parameter-server.service"),
    requirements=("ps_server/requirements.txt",),
)
# Names of zip files, each for one processor.
SERVER_ARCHIVES = {"parameter-server": "x86_64", "parameter-server-arm64": "aarch64"}


def code_package(directory: Path, root: Path) -> Package | None:
    """Return the package named by ``directory``, or None if it is a folder of files.

    Parameters
    ----------
    directory : Path
        A ``CodeUri``, resolved.
    root : Path
        The resource root.
    """
    return FUNCTION_PACKAGES.get(directory.name) if directory.parent == root else None
