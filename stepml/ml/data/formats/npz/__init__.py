"""npz: zip archives of arrays, written by `numpy.savez` or `scipy.sparse.save_npz`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stepml.ml.data.formats.base import DataFormat, layout_without_columns, require_n_features
from stepml.ml.data.formats.npz.archive import Archive, Contents
from stepml.ml.data.formats.npz.rows import CsrBlocks, NpzRows
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import Cut
from stepml.ml.data.source_format import SourceFormat

_SNIFF_BYTES = 2**20
_MOST_NAMED = 5
_MOST_CHANNELS = 4  # that an image usually has


@dataclass(frozen=True)
class Npz(DataFormat):
    """A dense or CSR matrix, and an array of labels."""

    name = "npz"
    endings = (".npz",)
    csr_blocks: CsrBlocks = field(default_factory=CsrBlocks)

    def sniff(
        self, reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
    ) -> Layout:
        first = objects[0]
        archive = Archive(reader, first, _SNIFF_BYTES)
        found = archive.contents(has_label=source.has_label, weight=_weight_of(source))
        require_n_features(first, source.n_features, found.n_features)
        layout = layout_without_columns(
            source, found.n_features, is_csr=found.is_csr, row_shape=found.row_shape
        )
        if not source.has_label:
            return layout
        kind = archive.label_kind(found.y, are_classes=source.has_classes)
        return replace(layout, label_kind=kind)

    def review(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        source: SourceFormat,
    ) -> list[str]:
        first = next(each for each in objects if each.value_bytes)
        archive = Archive(reader, first, _SNIFF_BYTES)
        found = archive.contents(has_label=source.has_label, weight=_weight_of(source))
        return _notes(found, source)

    def open_rows(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int,
    ) -> NpzRows:
        return NpzRows(reader, objects, layout, request_bytes, self.csr_blocks)

    def has_labels(self, reader: ObjectReader, objects: Sequence[DataObject]) -> bool:
        return Archive(reader, objects[0], _SNIFF_BYTES).has_labels()

    def cut_of(self, data: DataObject) -> Cut:
        return Cut.NOWHERE


def _weight_of(source: SourceFormat) -> str | None:
    return None if source.weight is None else str(source.weight)


def _notes(found: Contents, source: SourceFormat) -> list[str]:
    notes = []
    if found.X not in ("", "X") or (source.has_label and found.y != "y"):
        features = f"features are the array {found.X!r}" if found.X else "features are the matrix"
        labels = f", labels {found.y!r}" if source.has_label else ""
        notes.append(f"{features}{labels}")
    if found.others:
        more = ", …" if len(found.others) > _MOST_NAMED else ""
        named = ", ".join(map(repr, found.others[:_MOST_NAMED]))
        notes.append(f"left out: the arrays {named}{more}")
    if len(found.row_shape) == 3 and found.row_shape[0] > _MOST_CHANNELS >= found.row_shape[2]:
        notes.append(
            f"images are {' × '.join(map(str, found.row_shape))}, taken as channels × height × "
            "width; if channels are last, write X.transpose(0, 3, 1, 2)"
        )
    return notes
