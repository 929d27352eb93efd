"""The formats of data, with the properties against which a job spec is checked.

`stepml.ml.data.formats` reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatFacts:
    """Properties of a data format."""

    # Place of the labels: a column that data.label chooses, the start of each row, or apart.
    label: Literal["column", "first", "apart"]
    label_words: str  # the same, for messages
    is_text: bool = False  # lines of text, in a dialect that fields of data describe
    has_header: bool = False  # line 1 may name the columns: data.header
    needs_label: bool = False  # data.has_label cannot be false
    has_missing_values: bool = False  # data.missing has an effect
    sparse: Literal["never", "sometimes", "always"] = "never"
    weights: Literal["column", "array", "none"] = "none"  # place of row weights: data.weight
    function_kind: str = ""  # "parquet": the function partition-parquet; empty: partition


_COLUMNS = FormatFacts(
    label="column",
    label_words="the label is a column",
    is_text=True,
    has_header=True,
    has_missing_values=True,
    weights="column",
)
FORMATS: dict[str, FormatFacts] = {
    "csv": _COLUMNS,
    "tsv": _COLUMNS,
    "parquet": FormatFacts(
        label="column",
        label_words="the label is a column",
        has_missing_values=True,
        weights="column",
        function_kind="parquet",  # its package has pyarrow
    ),
    "libsvm": FormatFacts(
        label="first",
        label_words="rows begin with their label",
        is_text=True,
        needs_label=True,
        sparse="always",
    ),
    "npz": FormatFacts(
        label="apart",
        label_words="labels are an array",
        has_missing_values=True,
        sparse="sometimes",
        weights="array",
    ),
    "idx": FormatFacts(
        label="apart", label_words="labels have objects of their own", needs_label=True
    ),
}

if TYPE_CHECKING:
    Format = str
else:  # the choices of data.format, for the parser and the schema
    Format = Literal[tuple(FORMATS)]


def names_of(has_it: Callable[[FormatFacts], bool]) -> tuple[str, ...]:
    """Return the names of the formats for which ``has_it`` is true."""
    return tuple(name for name, facts in FORMATS.items() if has_it(facts))
