"""Damaged and odd data files: an error that names the file, or the values that pandas reads."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from stepml.job.errors import StepMLError
from stepml.ml.data import Manifest, SourceFormat, sniff
from stepml.ml.data.formats import FORMATS
from stepml.ml.matrices import CsrMatrix, Matrix, product
from tests.fuzz.mutations import fuzzed, mutated
from tests.support.data_sets import MemoryObjects, all_shards, described, partition

N_ROWS = 12
MOST_COLUMNS = 10**4  # of a matrix that is compared
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N_ROWS, 3)).round(3), RNG.integers(0, 2, N_ROWS)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y)


def text(**options: Any) -> bytes:
    return FRAME.to_csv(index=False, **options).encode()


def libsvm() -> bytes:
    file = io.BytesIO()
    dump_svmlight_file(X, Y, file, zero_based=False)
    return file.getvalue()


def npz(**options: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, X=X, y=Y, **options)
    return file.getvalue()


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(FRAME), file)
    return file.getvalue()


def idx(values: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes()


ORIGINALS = {
    "csv": [text(), text(header=False), text(lineterminator="\r\n")],
    "tsv": [text(sep="\t"), text(sep="\t", header=False)],
    "libsvm": [libsvm()],
    "npz": [npz()],
    "parquet": [parquet()],
}


def read(store: MemoryObjects, **options: Any) -> tuple[Manifest, np.ndarray]:
    """Return the manifest, and all rows, in any order: features and then the label."""
    objects, source = described(store), SourceFormat(**options)
    layout = sniff(store, objects, source)
    FORMATS[options["format"]].review(store, objects, layout, source)
    manifest = partition(store, **options)
    kind = "sparse" if options["format"] == "libsvm" else "dense"
    shards = all_shards(store, manifest, 1, kind=kind)  # type: ignore[arg-type]
    matrices = narrowed([each.X for each in shards])
    rows = [
        np.column_stack([densified(X), each.y]) for X, each in zip(matrices, shards, strict=True)
    ]
    return manifest, np.concatenate(rows)


@pytest.mark.parametrize("name", ORIGINALS)
@fuzzed
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read(name: str, data: st.DataObject) -> None:
    content = data.draw(mutated(ORIGINALS[name]))
    try:
        manifest, rows = read(MemoryObjects(rows=content), format=name, missing="keep")
    except StepMLError as error:
        assert "\n" not in str(error)
    else:
        assert len(rows) == manifest.n_rows


@fuzzed
@given(
    images=mutated([idx(RNG.integers(0, 255, (N_ROWS, 2, 2)))]),
    labels=mutated([idx(Y)]),
)
def test_damaged_images_are_refused_or_read(images: bytes, labels: bytes) -> None:
    objects = {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels}
    try:
        manifest, rows = read(MemoryObjects(**objects), format="idx")
    except StepMLError as error:
        assert "\n" not in str(error)
    else:
        assert len(rows) == manifest.n_rows


@pytest.mark.parametrize("name", ["csv", "tsv"])
@fuzzed
@given(data=st.data())
def test_a_table_has_the_values_that_pandas_reads(name: str, data: st.DataObject) -> None:
    content = data.draw(mutated(ORIGINALS[name]))
    try:
        manifest, rows = read(MemoryObjects(rows=content), format=name)
    except StepMLError:
        return
    expected = by_pandas(content, "," if name == "csv" else "\t", manifest.layout.header)
    if expected is not None:
        assert sorted(rows.tolist()) == sorted(expected.tolist())


def by_pandas(content: bytes, separator: str, has_header: bool) -> np.ndarray | None:
    """Return the numbers of a table, or None if pandas sees something other than numbers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = pd.read_csv(
                io.BytesIO(content),
                sep=separator,
                header=0 if has_header else None,
                index_col=False,
                float_precision="round_trip",
            )
    except (ValueError, pd.errors.ParserError):
        return None
    if any(kind.kind not in "iuf" for kind in frame.dtypes) or frame.isna().any(axis=None):
        return None
    return frame.to_numpy(np.float64).astype(np.float32)


@fuzzed
@given(content=mutated(ORIGINALS["libsvm"]))
def test_pairs_have_the_values_that_scikit_learn_reads(content: bytes) -> None:
    try:
        manifest, rows = read(MemoryObjects(rows=content), format="libsvm")
    except StepMLError:
        return
    n_features = manifest.n_features
    if n_features > MOST_COLUMNS:
        return
    try:
        expected, labels = load_svmlight_file(
            io.BytesIO(content), n_features=n_features, zero_based=False
        )
    except (ValueError, OverflowError):
        return
    theirs = np.column_stack([expected.toarray(), labels]).astype(np.float32)
    assert sorted(rows.tolist()) == sorted(theirs.tolist())


def narrowed(matrices: list[Matrix]) -> list[Matrix]:
    """Return the matrices; of very wide ones, the columns in which any has a value."""
    sparse = [each for each in matrices if isinstance(each, CsrMatrix)]
    if not sparse or sparse[0].n_features <= MOST_COLUMNS:
        return matrices
    used = np.unique(np.concatenate([each.indices for each in sparse]))
    return [
        replace(
            each,
            indices=np.searchsorted(used, each.indices).astype(each.indices.dtype),
            n_features=len(used),
        )
        for each in sparse
    ]


def densified(matrix: Matrix) -> np.ndarray:
    return product(matrix, np.eye(matrix.shape[1], dtype=np.float32))
