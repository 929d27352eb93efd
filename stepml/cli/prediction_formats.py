"""The formats in which predictions are written."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from stepml.cli.errors import BadInputError


class OutFormat(StrEnum):
    """The formats of predictions."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


COMPRESSED = ".gz"  # text may be compressed
_ENDINGS = {
    ".json": OutFormat.JSONL,
    ".jsonl": OutFormat.JSONL,
    ".ndjson": OutFormat.JSONL,
    ".parquet": OutFormat.PARQUET,
    ".pq": OutFormat.PARQUET,
}
_OTHERS = (".xls", ".xlsx", ".feather", ".arrow", ".npy", ".npz", ".zip", ".zst", ".bz2", ".xz")


def kind_of(out: Path | None, given: OutFormat | None) -> OutFormat:
    """Return the format of the predictions: as given, else by the ending of the file's name.

    Raises
    ------
    BadInputError
        The ending is that of another format, or the format needs a file.
    """
    if given is not None:
        found = given
    else:
        ending = "" if out is None else out.name.lower().removesuffix(COMPRESSED)
        found = _ENDINGS.get(Path(ending).suffix, OutFormat.CSV)
    if given is None and out is not None and out.suffix.lower() in _OTHERS:
        raise BadInputError(
            f"--out: expected a name that ends with .csv, .jsonl or .parquet, or --out-format; "
            f"got {str(out)!r}"
        )
    if found is OutFormat.PARQUET and out is None:
        raise BadInputError("--out-format parquet: expected the name of a file with --out")
    return found
