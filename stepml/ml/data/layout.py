"""How the rows of a data set are written down."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from stepml.job.formats import FORMATS
from stepml.ml.data.objects import DataObject

# Part of every digest: raise it when the same bytes would be partitioned differently.
PARTITION_VERSION = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """What `sniff` found out, and all that parsing needs to know."""

    format: str  # csv, tsv, libsvm, npz, idx or parquet
    delimiter: str  # between columns of text; empty without any
    n_columns: int  # label included; 0 where there are none, or none are known yet
    label_column: int  # 0-based; -1: there is no label, all columns are features
    header: bool  # the first line of each object names the columns
    column_names: tuple[str, ...]  # from the header or footer; empty without one
    n_features: int | None  # None: only the rows (libsvm) or range tasks (parquet) tell
    missing: str = "fail"  # fail, zero or mean: what a missing value of a feature is
    on_bad_row: str = "fail"  # fail or skip
    is_csr: bool = False  # npz: the matrix is sparse, as scipy writes it
    label: str | int | None = None  # parquet: the job's, as only range tasks see the columns

    @property
    def is_sparse(self) -> bool:
        """Whether rows are pairs of index and value."""
        return FORMATS[self.format].sparse == "always" or self.is_csr

    @property
    def has_label(self) -> bool:
        """Whether one of the columns is the label; without one, all labels are 0."""
        return self.label_column >= 0

    def column_title(self, column: int) -> str:
        """Return how messages call a column: its number, counted from 1, and its name."""
        if column < len(self.column_names):
            return f"column {column + 1} ({self.column_names[column]!r})"
        return f"column {column + 1}"


def dataset_digest(objects: Sequence[DataObject], layout: Layout, seed: int) -> str:
    """Return the content address of a partitioned data set: 32 hexadecimal digits.

    The same names, contents, layout and seed give the same digest wherever the objects lie.
    """
    content = {
        "version": PARTITION_VERSION,
        "seed": seed,
        "layout": layout,
        "objects": [(each.name, each.value_bytes, each.etag) for each in objects],
    }
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()[:32]
