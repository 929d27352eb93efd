"""npz: zip archives of arrays, written by `numpy.savez` or `scipy.sparse.save_npz`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stepml.ml.data.formats.base import DataFormat, layout_without_columns, require_n_features
from stepml.ml.data.formats.npz.archive import Archive
from stepml.ml.data.formats.npz.rows import CsrBlocks, NpzRows
from stepml.ml.data.layout import Layout
from stepml.ml.data.objects import DataObject, ObjectReader
from stepml.ml.data.ranges import Cut
from stepml.ml.data.source_format import SourceFormat

_SNIFF_BYTES = 64 * 1024


@dataclass(frozen=True)
class Npz(DataFormat):
    """A dense or CSR matrix, and labels in the array ``y``."""

    name = "npz"
    endings = (".npz",)
    csr_blocks: CsrBlocks = field(default_factory=CsrBlocks)

    def sniff(
        self, reader: ObjectReader, objects: Sequence[DataObject], source: SourceFormat
    ) -> Layout:
        first = objects[0]
        found = Archive(reader, first, _SNIFF_BYTES).contents(has_label=source.has_label)
        require_n_features(first, source.n_features, found.n_features)
        return layout_without_columns(
            source, found.n_features, is_csr=found.is_csr, row_shape=found.row_shape
        )

    def open_rows(
        self,
        reader: ObjectReader,
        objects: Sequence[DataObject],
        layout: Layout,
        request_bytes: int,
    ) -> NpzRows:
        return NpzRows(reader, objects, layout, request_bytes, self.csr_blocks)

    def has_labels(self, reader: ObjectReader, objects: Sequence[DataObject]) -> bool:
        return "y" in Archive(reader, objects[0], _SNIFF_BYTES)

    def cut_of(self, data: DataObject) -> Cut:
        return Cut.NOWHERE
