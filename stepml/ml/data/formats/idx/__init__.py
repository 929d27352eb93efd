"""idx, the format of MNIST: images in one object, labels in another."""

from __future__ import annotations

from collections.abc import Sequence

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.base import DataFormat, layout_without_columns, require_n_features
from stepml.ml.data.formats.idx.folders import without_copies, without_tests
from stepml.ml.data.formats.idx.header import is_compressed, is_images, is_labels, labels_beside
from stepml.ml.data.formats.idx.rows import IdxRows, Records, labels_object, require_labels
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import Cut
from stepml.ml.data.source_format import SourceFormat

_SNIFF_BYTES = 64 * 1024
_FOR_TESTING = "images for training lie beside them; data.validation.uri measures on them"
_MOST_NAMED = 4


class Idx(DataFormat):
    """Records of values; the names of objects tell images from labels."""

    name = "idx"

    def sniff(
        self, reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
    ) -> Layout:
        images = [each for each in objects if is_images(each.name)]
        if not images:
            raise InvalidDataError(
                f"no s3 object is named like images: expected are *images*idx3*, found is "
                f"{objects[0].key}"
            )
        _require_nothing_else(objects, images, source.has_label)
        first = Records(reader, images[0], _SNIFF_BYTES)
        if source.has_label:
            labels = Records(reader, labels_object(objects, images[0]), _SNIFF_BYTES)
            require_labels(first, labels)
        sizes = first.header
        require_n_features(images[0], source.n_features, sizes.n_values)
        return layout_without_columns(source, sizes.n_values, row_shape=sizes.row_shape)

    def open_rows(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int,
    ) -> IdxRows:
        return IdxRows(reader, objects, layout, request_bytes)

    def select(self, objects: Sequence[DataObject]) -> tuple[list[DataObject], list[str]]:
        once, copies = without_copies(objects)
        chosen, tests = without_tests(once)
        notes = [*_note(copies, "others have the same content"), *_note(tests, _FOR_TESTING)]
        return chosen, notes

    def matches(self, name: str) -> bool:
        return is_images(name)

    def labels_beside(self, key: str) -> tuple[str, ...]:
        return labels_beside(key) if is_images(key) else ()

    def has_labels(self, reader: ObjectReader, objects: Sequence[DataObject]) -> bool:
        return len(objects) > 1

    def cut_of(self, data: DataObject) -> Cut:
        if not is_images(data.name):
            return Cut.NO_ROWS
        return Cut.NOWHERE if is_compressed(data.name) else Cut.ANYWHERE


def _require_nothing_else(
    objects: Sequence[DataObject], images: Sequence[DataObject], has_label: bool
) -> None:
    known = {each.name for each in images}
    if has_label:
        known.update(labels_object(objects, each).name for each in images)
    for each in objects:
        if each.name not in known and (has_label or not is_labels(each.name)):
            raise InvalidDataError(
                f"s3 object {each.key} is neither images (*images*idx3*) nor their labels: with "
                "data.format 'idx', nothing else may lie at data.uri"
            )


def _note(left_out: Sequence[DataObject], why: str) -> list[str]:
    if not left_out:
        return []
    named = ", ".join(each.name for each in left_out[:_MOST_NAMED])
    more = ", …" if len(left_out) > _MOST_NAMED else ""
    return [f"left out, as {why}: {named}{more}"]
