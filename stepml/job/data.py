"""The data of a job: where they are, how they are written, and what becomes of them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from stepml.job.columns import Columns, Constant, DatePart, Encoding, Fill, Rescaling
from stepml.job.columns import Pattern as ColumnPattern
from stepml.job.formats import FORMATS, Format, names_of
from stepml.job.models import MODELS
from stepml.job.places import DataUri, absolute
from stepml.job.spec_base import SpecGroup

MAX_RANGES = 40

# In descriptions: the formats, or models, for which a field has an effect.
_HEADERS = names_of(lambda facts: facts.has_header)
_COLUMNS = ", ".join(names_of(lambda facts: facts.label == "column"))
_LINES = ", ".join(_HEADERS)
_TEXT = ", ".join(names_of(lambda facts: facts.is_text))
_SPARSE = ", ".join(names_of(lambda facts: facts.sparse == "always"))
_WEIGHTS = ", ".join(names_of(lambda facts: facts.weights != "none"))
_MISSING = ", ".join(names_of(lambda facts: facts.has_missing_values))
_UNLABELLED = ", ".join(name for name, model in MODELS.items() if not model.needs_labels)

Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Validation(SpecGroup, frozen=True, kw_only=True):
    """The rows that are held out to measure loss and metrics (at most 64 MB)."""

    uri: Annotated[
        DataUri | None,
        Meta(description="their object or prefix, in the bucket of data.uri; the same columns"),
    ] = None
    column: Annotated[
        str | int | None,
        Meta(
            description=f"{_COLUMNS}: the column, by name or index, that has 1 in their rows and 0 "
            "in others; it is no feature"
        ),
    ] = None
    after: Annotated[
        Annotated[float, Meta(ge=-1e300, le=1e300)] | None,
        Meta(description="rows with more than this in the column, such as a time"),
    ] = None


class Data(SpecGroup, frozen=True, kw_only=True):
    """The training data, and how they are partitioned."""

    open_fields: ClassVar[tuple[str, ...]] = ("format", "has_label", "standardise")

    uri: DataUri
    format: Annotated[
        Format | None, Meta(description="null: by the ending of the objects' names")
    ] = None
    header: Annotated[
        bool | None,
        Meta(description=f"{' and '.join(_HEADERS)}: whether line 1 is a header; null: inferred"),
    ] = None
    label: Annotated[
        str | int | None,
        Meta(description=f"{_COLUMNS}: the label's column, by name or index (-1: the last)"),
    ] = None
    weight: Annotated[
        str | int | None,
        Meta(
            description=f"{_WEIGHTS}: the column, by name or index, or the array with the weight "
            "of each row's loss, 0 or more; it is no feature; null: all rows count alike"
        ),
    ] = None
    columns: Annotated[
        Columns | None,
        Meta(description=f"{_COLUMNS}: which columns are features, and their types"),
    ] = None
    delimiter: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1)] | None,
        Meta(
            description=f"{_LINES}: the character between columns, a blank for any number of "
            "blanks; null: inferred"
        ),
    ] = None
    encoding: Annotated[
        Literal["utf-8", "utf-16", "latin-1"] | None,
        Meta(description=f"{_TEXT}: of the text; latin-1 is Windows-1252; null: inferred"),
    ] = None
    comment: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1)] | None,
        Meta(description=f"{_TEXT}: lines that begin with it are left out; null: none"),
    ] = None
    decimal: Annotated[
        Literal[".", ","], Meta(description=f"{_LINES}: the decimal separator of numbers")
    ] = "."
    thousands: Annotated[
        Literal[",", ".", "'", " ", "_"] | None,
        Meta(description=f"{_LINES}: a separator within numbers, to be left out; null: none"),
    ] = None
    quoted_newlines: Annotated[
        bool | None,
        Meta(
            description=f"{_LINES}: whether quoted fields may have line ends, so that objects are "
            "not cut; null: inferred from the first 8 MB"
        ),
    ] = None
    missing_words: Annotated[
        Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(max_length=100)],
        Meta(description=f"{_LINES}: words for missing values, beside the usual ones"),
    ] = msgspec.field(default_factory=list)
    path_columns: Annotated[
        bool,
        Meta(description=f"{_COLUMNS}: folders such as year=2020/ are columns"),
    ] = False
    zero_based: Annotated[
        Literal["auto"] | bool,
        Meta(
            description=f"{_SPARSE}: whether indices count from 0; auto: if one of the first rows, "
            "or n_features, shows it"
        ),
    ] = "auto"
    n_features: Annotated[
        Annotated[int, Meta(ge=1, le=2**31 - 1)] | None,
        Meta(description=f"{_SPARSE}: the number of features; null: the largest index in the data"),
    ] = None
    seed: Annotated[
        Seed,
        Meta(description="determines row assignment, batch order and the first centroids"),
    ] = 0
    validation_fraction: Annotated[
        Annotated[float, Meta(ge=0, le=0.5)],
        Meta(
            description="share of the rows held out to measure loss and metrics (at most 64 MB); "
            "0: none, they are measured on training rows"
        ),
    ] = 0.1
    stratify: Annotated[
        bool, Meta(description="hold out this share of each label's rows; for models of classes")
    ] = False
    validation: Annotated[
        Validation | None,
        Meta(description="the rows held out, instead of a share; null: a share"),
    ] = None
    standardise: Annotated[
        bool | None,
        Meta(
            description="scale each feature to mean 0 and variance 1 (of the training rows); "
            "a sparse matrix to variance 1 only; null: chosen"
        ),
    ] = None
    scale: Annotated[
        Rescaling | dict[ColumnPattern, Rescaling] | None,
        Meta(
            description="how features are scaled, of tables also by column; null: as standardise "
            "says"
        ),
    ] = None
    encode: Annotated[
        Encoding | dict[ColumnPattern, Encoding],
        Meta(description=f"{_COLUMNS}: what a category becomes, also by column"),
    ] = "one_hot"
    hash_width: Annotated[
        int, Meta(ge=2, le=2**20, description="features of a column whose encode is hash")
    ] = 1024
    unknown_levels: Annotated[
        Literal["ignore", "fail"],
        Meta(description="levels that training did not have: no feature is set, or an error"),
    ] = "ignore"
    dates: Annotated[
        Literal["seconds"] | Annotated[list[DatePart], Meta(min_length=1, max_length=7)],
        Meta(description=f"{_COLUMNS}: what dates and times become: seconds since 1970, or parts"),
    ] = "seconds"
    matrix: Annotated[
        Literal["auto", "dense", "sparse"],
        Meta(description="how shards store the rows; auto: sparse if few values are not zero"),
    ] = "auto"
    has_label: Annotated[
        bool | None,
        Meta(
            description=f"false: all columns are features ({_UNLABELLED} only); null: false if the "
            "model needs no labels, they would be a column, and label names none"
        ),
    ] = None
    missing: Annotated[
        Fill | Constant | dict[ColumnPattern, Fill | Constant] | None,
        Meta(
            description=f"{_MISSING}: a missing feature makes the row bad, or becomes 0, a number, "
            "or the mean, median or most frequent value of the training rows; of tables also by "
            "column; null: the mean, and a level of its own in a category"
        ),
    ] = None
    missing_indicator: Annotated[
        bool | list[ColumnPattern],
        Meta(description=f"{_COLUMNS}: add a feature that says whether the value is missing"),
    ] = False
    on_bad_row: Annotated[
        Literal["fail", "skip"],
        Meta(description="a malformed row ends the job, or is left out and counted"),
    ] = "fail"
    ranges: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_RANGES)] | None,
        Meta(description="functions that parse concurrently; null: one for each 16 MB"),
    ] = None

    @property
    def may_lack_values(self) -> bool:
        """Whether a row may lack the value of a feature."""
        return self.missing != "fail" and (
            self.format is None or FORMATS[self.format].has_missing_values
        )

    @property
    def rescaling(self) -> Rescaling:
        """The scaling of features without a setting of their own."""
        if isinstance(self.scale, str):
            return self.scale
        return "standardise" if self.standardise else "none"

    @property
    def rescales(self) -> bool:
        """Whether any feature may be scaled."""
        own = self.scale.values() if isinstance(self.scale, dict) else ()
        return any(each != "none" for each in (self.rescaling, *own))

    @property
    def drops_uninformative(self) -> bool:
        """Whether columns that say nothing are left out."""
        return self.columns is not None and self.columns.uninformative == "drop"

    def in_bucket(self, own_bucket: str) -> Data:
        """Return the data with all their places whole; see `JobSpec.in_bucket`."""
        held_out = self.validation
        if held_out is not None and held_out.uri is not None:
            held_out = msgspec.structs.replace(held_out, uri=absolute(held_out.uri, own_bucket))
        uri = absolute(self.uri, own_bucket)
        return msgspec.structs.replace(self, uri=uri, validation=held_out)
