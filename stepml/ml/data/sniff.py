"""The first bytes of a data set → its `Layout`."""

from __future__ import annotations

from collections.abc import Sequence

from stepml.job.errors import EmptyDataError
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.source_format import SourceFormat


def sniff(reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat) -> Layout:
    """Return the layout of the rows, from the start of the first object that has some.

    Its first line determines the number of columns, even if bad rows are skipped.

    Raises
    ------
    EmptyDataError
        There are only empty lines and headers.
    InvalidDataError
        Some objects lack a column of the path, the content is binary or compressed, the label is
        not one of the columns, or the number of features is not ``n_features``.
    ValueError
        The format is unknown.
    """
    if source.format not in FORMATS:
        raise ValueError(f"format is one of {', '.join(FORMATS)}, not {source.format!r}")
    filled = _with_content(objects)
    return FORMATS[source.format].sniff(reader, filled, source.with_paths_of(filled))


def _with_content(objects: Sequence[DataObject]) -> list[DataObject]:
    found = [each for each in objects if each.value_bytes]
    if not found:
        named = f" (s3 object {objects[0].key} has 0 bytes)" if objects else ""
        raise EmptyDataError(f"the data set is empty: no object has content{named}")
    return found
