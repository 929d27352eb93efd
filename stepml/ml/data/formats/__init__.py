"""The registry of data formats: one module or package each."""

from __future__ import annotations

from stepml.ml.data.formats.base import DataFormat
from stepml.ml.data.formats.csv import Csv
from stepml.ml.data.formats.idx import Idx
from stepml.ml.data.formats.libsvm import Libsvm
from stepml.ml.data.formats.npz import Npz
from stepml.ml.data.formats.parquet import Parquet

FORMATS: dict[str, DataFormat] = {
    "csv": Csv("csv", ",", (".csv",)),
    "tsv": Csv("tsv", "\t", (".tsv",)),
    "libsvm": Libsvm(),
    "npz": Npz(),
    "parquet": Parquet(),
    "idx": Idx(),
}


def format_of_file(name: str) -> str | None:
    """Return the format that a file's name suggests, or None."""
    return next((each.name for each in FORMATS.values() if each.matches(name)), None)
