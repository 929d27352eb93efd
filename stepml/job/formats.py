"""The formats of data: the facts about each that a job spec is checked against.

`stepml.ml.data.formats` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["csv", "tsv", "libsvm", "npz", "parquet", "idx"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatFacts:
    """What data of one format can hold."""

    # Where labels are: in a column that data.label chooses, at the start of each row, or apart.
    label: Literal["column", "first", "apart"]
    label_words: str  # the same, for messages
    needs_label: bool = False  # data.has_label cannot be false
    has_missing_values: bool = False  # data.missing has an effect
    sparse: Literal["never", "sometimes", "always"] = "never"
    function: str = "partition"  # name of the Lambda function that reads it


_COLUMNS = FormatFacts(label="column", label_words="the label is a column", has_missing_values=True)
FORMATS: dict[str, FormatFacts] = {
    "csv": _COLUMNS,
    "tsv": _COLUMNS,
    "parquet": FormatFacts(
        label="column",
        label_words="the label is a column",
        has_missing_values=True,
        function="partition-parquet",  # its package has pyarrow
    ),
    "libsvm": FormatFacts(
        label="first",
        label_words="rows begin with their label",
        needs_label=True,
        sparse="always",
    ),
    "npz": FormatFacts(
        label="apart",
        label_words="labels are the array y",
        has_missing_values=True,
        sparse="sometimes",
    ),
    "idx": FormatFacts(
        label="apart", label_words="labels have objects of their own", needs_label=True
    ),
}
