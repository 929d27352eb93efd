"""The starts of objects that are no lines of text → the data set's `Layout`."""

from __future__ import annotations

from collections.abc import Sequence

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats import idx, parquet
from stepml.ml.data.formats.npz import Archive
from stepml.ml.data.idx_rows import Records, labels_object, require_labels
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.source_format import SourceFormat

_REQUEST_BYTES = 64 * 1024


def sniff_binary(
    reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
) -> Layout:
    """Find out how rows are written that are not lines of text.

    Parameters
    ----------
    objects : sequence of DataObject
        Those that are not empty; at least one.
    source : SourceFormat
        Of format npz, idx or parquet.

    `stepml.ml.data.sniff` has the errors.
    """
    return _SNIFFERS[source.format](reader, objects, source)


def sniff_npz(reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat) -> Layout:
    """Return the layout of npz objects, from the headers of the first one's arrays."""
    first = objects[0]
    found = Archive(reader, first, _REQUEST_BYTES).contents(has_label=source.has_label)
    _require_features(first, source.n_features, found.n_features)
    return _layout("npz", found.n_features, source.has_label, is_csr=found.is_csr)


def sniff_idx(reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat) -> Layout:
    """Return the layout of idx objects, from the names of all and the header of the first one.

    Raises
    ------
    InvalidDataError
        If an object is neither images nor labels of such, or there are not as many labels.
    DataNotFoundError
        If labels are missing.
    """
    images = [each for each in objects if idx.is_images(each.name)]
    if not images:
        raise InvalidDataError(
            f"no s3 object is named like images: expected are *images*idx3*, found is "
            f"{objects[0].key}"
        )
    _require_nothing_else(objects, images, source.has_label)
    sizes = Records(reader, images[0], _REQUEST_BYTES).header
    if source.has_label:
        labels = Records(reader, labels_object(objects, images[0]), _REQUEST_BYTES).header
        require_labels(images[0], sizes, labels)
    _require_features(images[0], source.n_features, sizes.n_values)
    return _layout("idx", sizes.n_values, source.has_label)


def sniff_parquet(
    reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
) -> Layout:
    """Return what is known of parquet objects without their footers, which need pyarrow."""
    start = reader.load_range(objects[0].key, 0, len(parquet.MAGIC))
    if start != parquet.MAGIC:
        raise InvalidDataError(
            f"s3 object {objects[0].key} is no parquet: it starts with "
            f"{start.hex(' ') or 'nothing'} instead of {parquet.MAGIC.hex(' ')} (PAR1)"
        )
    return _layout("parquet", source.n_features, source.has_label, label=source.label)


def _layout(
    format: str,  # noqa: A002 - the job's field
    n_features: int | None,
    has_label: bool,
    *,
    is_csr: bool = False,
    label: str | int | None = None,
) -> Layout:
    return Layout(
        format=format,
        delimiter="",
        n_columns=0,
        label_column=0 if has_label else -1,
        header=False,
        column_names=(),
        n_features=n_features,
        is_csr=is_csr,
        label=label,
    )


def _require_features(data: DataObject, stated: int | None, found: int) -> None:
    if stated not in (None, found):
        raise InvalidDataError(
            f"data.n_features is {stated}, but s3 object {data.key} has {found} features"
        )


def _require_nothing_else(
    objects: Sequence[DataObject], images: Sequence[DataObject], has_label: bool
) -> None:
    known = {each.name for each in images}
    if has_label:
        known.update(labels_object(objects, each).name for each in images)
    for each in objects:
        if each.name not in known and (has_label or not idx.is_labels(each.name)):
            raise InvalidDataError(
                f"s3 object {each.key} is neither images (*images*idx3*) nor their labels: with "
                "data.format 'idx', nothing else may lie at data.uri"
            )


_SNIFFERS = {"npz": sniff_npz, "idx": sniff_idx, "parquet": sniff_parquet}
BINARY_FORMATS = tuple(_SNIFFERS)
