"""Rows of bytes: stored in a quarter of the space, and equal to the same numbers as float32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stepml.job.errors import DamagedValueError, InvalidDataError
from stepml.ml.data import (
    SourceFormat,
    arrays,
    feature_moments,
    pack_shard,
    shard_kind,
    shard_plan,
    sniff,
    unpack_shard,
)
from tests.support.data_sets import MemoryObjects, all_shards, described, partition
from tests.unit.ml.data.test_idx import idx
from tests.unit.ml.data.test_npz import npz

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (300, 6, 4)).astype(np.uint8)
LABELS = RNG.integers(0, 3, 300).astype(np.uint8)


def as_idx(images: Any = IMAGES, dtype: str = "u1") -> MemoryObjects:
    names = ("a-images-idx3-ubyte", "a-labels-idx1-ubyte")
    return MemoryObjects(**dict(zip(names, (idx(images, dtype), idx(LABELS)), strict=True)))


def as_npz(images: Any = IMAGES) -> MemoryObjects:
    return MemoryObjects(a=npz(X=images, y=LABELS))


STORES: dict[str, Any] = {
    "idx": (as_idx, lambda: as_idx(IMAGES, ">f4"), "idx"),
    "npz": (as_npz, lambda: as_npz(IMAGES.astype(np.float32)), "npz"),
}
stores = pytest.mark.parametrize(("make", "make_floats", "form"), STORES.values(), ids=STORES)


@stores
@pytest.mark.parametrize("n_ranges", [1, 3])
def test_shards_of_bytes_have_the_rows_of_those_of_floats(
    make: Any, make_floats: Any, form: str, n_ranges: int
) -> None:
    store, floats = make(), make_floats()
    manifest = partition(store, n_ranges, format=form, piece_bytes=2000)
    wide = partition(floats, n_ranges, format=form)
    assert (manifest.is_bytes, wide.is_bytes) == (True, False)
    assert manifest.fingerprint == wide.fingerprint
    narrow = all_shards(store, manifest, 3, kind="uint8")
    same = all_shards(store, manifest, 3, kind="dense")
    for few, many, expected in zip(narrow, same, all_shards(floats, wide, 3), strict=True):
        assert (few.X.dtype, many.X.dtype) == (np.uint8, np.float32)
        assert bytes(pack_shard(many)) == bytes(pack_shard(expected))
        assert np.array_equal(few.X, many.X)
        assert np.array_equal(few.y, many.y)
        moments = [bytes(feature_moments(each.X).pack()) for each in (few, many)]
        assert moments[0] == moments[1]


@stores
def test_bytes_need_a_quarter_of_the_space(make: Any, make_floats: Any, form: str) -> None:
    def piece_bytes(store: MemoryObjects) -> int:
        (piece,) = partition(store, format=form).pieces
        return arrays.header(store.objects[piece.key]).places["X"].dtype.itemsize

    assert 4 * piece_bytes(make()) == piece_bytes(make_floats())
    store = make()
    manifest = partition(store, format=form)
    few, more = (all_shards(store, manifest, 1, 0, kind)[1] for kind in ("uint8", "dense"))
    assert more.X.nbytes == 4 * few.X.nbytes
    assert more.value_bytes > 3 * few.value_bytes


def test_other_integers_become_floats() -> None:
    for dtype in (np.int8, np.uint16, np.bool_):
        manifest = partition(as_npz((IMAGES // 3).astype(dtype)), format="npz")
        assert not manifest.is_bytes


def test_one_object_with_other_values_makes_all_shards_floats() -> None:
    store = MemoryObjects(a=npz(X=IMAGES, y=LABELS), b=npz(X=IMAGES / np.float32(255), y=LABELS))
    manifest = partition(store, 2, format="npz")
    assert not manifest.is_bytes
    assert shard_kind("auto", manifest, 1, as_bytes=True) == "dense"
    rows = np.concatenate([each.X for each in all_shards(store, manifest, 2)])
    expected = np.concatenate([IMAGES, IMAGES / np.float32(255)]).reshape(600, 24)
    assert np.array_equal(np.sort(rows, axis=0), np.sort(expected.astype(np.float32), axis=0))
    with pytest.raises(ValueError, match="not made bytes"):
        all_shards(store, manifest, 2, kind="uint8")


@pytest.mark.parametrize("asked", ["auto", "dense"])
def test_the_model_decides_whether_bytes_stay_bytes(asked: str) -> None:
    manifest = partition(as_npz(), format="npz")
    assert shard_kind(asked, manifest, 1, as_bytes=True) == "uint8"
    assert shard_kind(asked, manifest, 1) == "dense"


def test_limits_count_the_bytes_that_are_stored() -> None:
    manifest = partition(as_npz(), format="npz")
    large = replace(manifest, n_rows=10_000_000)
    rows = [shard_plan(large, 8, 0.5, kind).validation.n_rows for kind in ("uint8", "dense")]
    assert rows == [64 * 2**20 // 24, 64 * 2**20 // 96]
    with pytest.raises(InvalidDataError, match=r"is 2\.2 GiB of bytes; at most 1 GiB"):
        shard_plan(replace(manifest, n_rows=100_000_000), 1, 0.0, "uint8")


def test_a_shard_of_bytes_is_not_taken_for_one_of_floats() -> None:
    store = as_npz()
    manifest = partition(store, format="npz")
    shard = all_shards(store, manifest, 1, 0, "uint8")[1]
    packed = bytes(pack_shard(shard))
    again = unpack_shard(packed)
    assert again.X.dtype == np.uint8
    with pytest.raises(DamagedValueError, match="rows"):
        unpack_shard(packed, rows="those of a shard of floats")
    strange = arrays.pack({"X": np.zeros((2, 3), np.int8), "y": np.zeros(2, np.float32)})
    with pytest.raises(DamagedValueError, match="not a shard"):
        unpack_shard(strange)


@pytest.mark.parametrize("missing", ["fail", "keep"])
def test_a_bad_label_among_bytes_is_skipped(missing: str) -> None:
    labels = np.where(np.arange(300) == 7, np.nan, LABELS)
    store = MemoryObjects(a=npz(X=IMAGES, y=labels))
    manifest = partition(store, format="npz", on_bad_row="skip", missing=missing)
    assert (manifest.n_rows, manifest.skipped_rows, manifest.is_bytes) == (299, 1, True)


@pytest.mark.parametrize(
    ("shape", "row_shape"),
    [((20, 12), ()), ((20, 3, 4), (3, 4)), ((20, 3, 2, 2), (3, 2, 2))],
)
def test_a_layout_has_the_shape_of_images(shape: Any, row_shape: Any) -> None:
    images, labels = np.zeros(shape, np.uint8), LABELS[:20]
    names = (f"x-images-idx{len(shape)}", "x-labels-idx1")
    of_idx = dict(zip(names, (idx(images), idx(labels)), strict=True))
    for form, objects in {"npz": {"a": npz(X=images, y=labels)}, "idx": of_idx}.items():
        store = MemoryObjects(**objects)
        layout = sniff(store, described(store), SourceFormat(format=form))
        assert (layout.n_features, layout.row_shape) == (12, row_shape)


def test_images_of_another_shape_are_refused() -> None:
    turned = IMAGES.reshape(300, 4, 6)
    store = MemoryObjects(a=npz(X=IMAGES, y=LABELS), b=npz(X=turned, y=LABELS))
    message = r"b has 24 features \(4 × 6\), dense; the first object has 24 \(6 × 4\), dense"
    with pytest.raises(InvalidDataError, match=message):
        partition(store, format="npz")
    objects = {"a-images-idx3": IMAGES, "b-images-idx3": turned}
    objects |= {"a-labels-idx1": LABELS, "b-labels-idx1": LABELS}
    store = MemoryObjects(**{name: idx(values) for name, values in objects.items()})
    with pytest.raises(InvalidDataError, match=r"24 values \(4 × 6\), the first object of 24 \(6"):
        partition(store, format="idx")
