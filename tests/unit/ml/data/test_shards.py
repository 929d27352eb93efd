"""Shards hold every row once, in an order that neither ranges nor pieces change."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from stepml.job.errors import (
    DamagedValueError,
    EmptyDataError,
    InvalidDataError,
    NotEnoughDataError,
)
from stepml.ml.data import (
    Interval,
    Manifest,
    Scale,
    Shard,
    ShardKind,
    arrays,
    assemble,
    feature_moments,
    pack_shard,
    scale_of,
    scaled,
    shard_kind,
    shard_plan,
    unpack_shard,
)
from stepml.ml.data.objects import Buffer
from stepml.ml.data.row_ids import object_salt, row_ids
from stepml.ml.matrices import CsrMatrix, Floats, Matrix
from storage.base import ObjectInfo
from tests.support.data_sets import MemoryObjects, all_shards, partition

WORLD_SIZES = [1, 2, 3, 8]
N_RANGES = [1, 2, 7, 40]


def rows_of(seed: int, n_rows: int) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=100, size=(n_rows, 3))
    return [
        [f"{a:.3f}", f"{b:.0f}", f"{c:.10g}", str(label)]
        for (a, b, c), label in zip(values, rng.integers(0, 3, n_rows), strict=True)
    ]


def written(rows: Sequence[Sequence[str]], newline: str = "\n", header: str = "a,b,c,y") -> bytes:
    return newline.join([header, *map(",".join, rows)]).encode()


def csv_objects() -> tuple[MemoryObjects, list[list[str]]]:
    """Return objects with all kinds of line ends and sizes, and their rows."""
    tables = [rows_of(seed, n) for seed, n in enumerate([300, 1, 0, 77, 5])]
    texts = [
        written(tables[0]),  # no newline at the end
        written(tables[1]) + b"\n",
        written(tables[2]),
        written(tables[3], "\r\n") + b"\r\n",
        written(tables[4], "\n\n") + b"\n\n\n",
    ]
    store = MemoryObjects(**{f"part-{i}.csv": text for i, text in enumerate(texts)})
    return store, [row for table in tables for row in table]


def sparse_objects() -> tuple[MemoryObjects, list[list[str]]]:
    rng = np.random.default_rng(0)
    rows = rows_of(9, 400)
    lines = []
    for row in rows:
        for column in range(3):
            if rng.random() < 0.4:
                row[column] = "0"
        pairs = [f"{i}:{value}" for i, value in enumerate(row[:3], 1) if value != "0"]
        lines.append(" ".join([row[3], *pairs]))
    first, second = "\n".join(lines[:250]), "\r\n".join(lines[250:])
    return MemoryObjects(a=first.encode(), b=second.encode()), rows


_LIBSVM = {"format": "libsvm", "n_features": 3}
KINDS: dict[str, Any] = {
    "csv": (csv_objects, {"format": "csv"}, "dense"),
    "libsvm": (sparse_objects, _LIBSVM, "dense"),
    "libsvm-sparse": (sparse_objects, _LIBSVM, "sparse"),
}
kinds = pytest.mark.parametrize(("make", "options", "kind"), KINDS.values(), ids=KINDS)


def dense_of(X: Matrix) -> Floats:
    if not isinstance(X, CsrMatrix):
        return X
    dense = np.zeros(X.shape, np.float32)
    dense[np.repeat(np.arange(len(X)), X.counts), X.columns] = X.values[X.pairs]
    return dense


def counted(shards: Sequence[Shard]) -> Counter[bytes]:
    return Counter(
        np.append(row, label).astype(np.float32).tobytes()
        for shard in shards
        for row, label in zip(dense_of(shard.X), shard.y, strict=True)
    )


def bits(shards: Sequence[Shard]) -> list[bytes]:
    return [bytes(pack_shard(shard)) for shard in shards]


@kinds
@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_every_row_is_in_exactly_one_shard(
    make: Any, options: Any, kind: ShardKind, world_size: int
) -> None:
    store, rows = make()
    shards = all_shards(store, partition(store, 3, **options), world_size, kind=kind)
    expected = np.array(rows, np.float64).astype(np.float32)
    assert counted(shards) == Counter(row.tobytes() for row in expected)
    sizes = [len(shard.y) for shard in shards]
    assert sizes[0] == round(0.1 * len(rows))
    assert max(sizes[1:]) - min(sizes[1:]) <= 1


@kinds
@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_ranges_do_not_change_a_bit_of_shards_and_moments(
    make: Any, options: Any, kind: ShardKind, world_size: int
) -> None:
    results = []
    for n_ranges in N_RANGES:
        store, _ = make()
        shards = all_shards(store, partition(store, n_ranges, **options), world_size, kind=kind)
        moments = [bytes(feature_moments(shard.X).pack()) for shard in shards]
        results.append((bits(shards), moments))
    assert all(result == results[0] for result in results)


@kinds
@pytest.mark.parametrize(("piece_bytes", "request_bytes"), [(1, 2**20), (900, 100), (5000, 33)])
def test_pieces_and_requests_do_not_change_a_bit(
    make: Any, options: Any, kind: ShardKind, piece_bytes: int, request_bytes: int
) -> None:
    store, _ = make()
    expected = bits(all_shards(store, partition(store, **options), 3, kind=kind))
    store, _ = make()
    manifest = partition(store, 2, piece_bytes=piece_bytes, request_bytes=request_bytes, **options)
    assert len(manifest.pieces) >= 2
    assert bits(all_shards(store, manifest, 3, kind=kind)) == expected


@kinds
def test_the_manifest_but_for_its_pieces_does_not_depend_on_ranges(
    make: Any, options: Any, kind: ShardKind
) -> None:
    manifests = []
    for n_ranges in N_RANGES:
        store, _ = make()
        manifests.append(replace(partition(store, n_ranges, **options), pieces=()))
    assert all(each == manifests[0] for each in manifests)


def test_more_ranges_than_lines_read_every_line_once() -> None:
    store = MemoryObjects(x=b"1,2\n3,4\n5,6")
    shards = all_shards(store, partition(store, 40, format="csv"), 2)
    assert sorted(np.concatenate([dense_of(shard.X)[:, 0] for shard in shards])) == [1, 3, 5]


def test_world_sizes_cut_the_same_order() -> None:
    store, _ = csv_objects()
    manifest = partition(store, 2, format="csv")
    orders = [
        np.concatenate(
            [dense_of(shard.X) for shard in all_shards(store, manifest, world_size)]
        ).tobytes()
        for world_size in WORLD_SIZES
    ]
    assert len(set(orders)) == 1


def test_another_seed_gives_another_order_of_the_same_rows() -> None:
    store, _ = csv_objects()
    shards = [all_shards(store, partition(store, seed=0, format="csv"), 2)]
    store, _ = csv_objects()
    shards.append(all_shards(store, partition(store, seed=1, format="csv"), 2))
    assert bits(shards[0]) != bits(shards[1])
    assert counted(shards[0]) == counted(shards[1])


def test_the_order_depends_on_names_and_not_on_keys() -> None:
    text = written(rows_of(0, 100))
    results = []
    for key, prefix in [
        ("here/a.csv", "here/"),
        ("there/a.csv", "there/"),
        ("there/b.csv", "there/"),
    ]:
        store = MemoryObjects(**{key: text})
        results.append(bits(all_shards(store, partition(store, prefix=prefix, format="csv"), 2)))
    assert results[0] == results[1] != results[2]


def test_rows_of_an_object_never_share_an_id() -> None:
    ids = row_ids(np.arange(300_000), object_salt("x", 0))
    assert len(np.unique(ids)) == len(ids)


def test_objects_that_share_every_id_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepml.ml.data.pieces.object_salt", lambda name, seed: 5)
    results = []
    for n_ranges in N_RANGES:
        texts = [b"\n".join(b"%d,%d" % (i, k) for i in range(50)) for k in range(3)]
        store = MemoryObjects(**{f"o{k}": text for k, text in enumerate(texts)})
        shards = all_shards(store, partition(store, n_ranges, format="csv", header=False), 4)
        results.append(bits(shards))
        y = np.concatenate([shard.y for shard in shards])
    assert all(result == results[0] for result in results)
    # Lines with equal offsets need equal lengths: the first ten have them.
    assert [0.0, 1.0, 2.0] in np.lib.stride_tricks.sliding_window_view(y, 3).tolist()


def test_a_file_sorted_by_label_gives_shards_of_near_equal_shares() -> None:
    text = b"\n".join(b"%d,%d" % (i, i >= 3000) for i in range(10_000))
    store = MemoryObjects(x=text)
    for shard in all_shards(store, partition(store, 7, format="csv"), 8):
        assert shard.y.mean() == pytest.approx(0.7, abs=0.05)


def shards_of(kind: ShardKind, **limits: int) -> list[Shard]:
    make, options, _ = KINDS["csv" if kind == "dense" else "libsvm-sparse"]
    store, _ = make()
    return all_shards(store, partition(store, **options), 1, kind=kind, **limits)


either = pytest.mark.parametrize("kind", ["dense", "sparse"])


def test_dense_shards_are_contiguous_float32() -> None:
    (_, shard) = shards_of("dense")
    assert isinstance(shard.X, np.ndarray)
    assert shard.X.flags.c_contiguous
    assert (shard.X.dtype, shard.y.dtype) == (np.float32, np.float32)


@either
def test_shards_survive_packing(kind: ShardKind) -> None:
    for shard in shards_of(kind):
        unpacked = unpack_shard(bytes(pack_shard(shard)))
        assert (dense_of(unpacked.X) == dense_of(shard.X)).all()
        assert (unpacked.y == shard.y).all()
        assert bytes(pack_shard(unpacked)) == bytes(pack_shard(shard))


@either
def test_a_part_of_a_shard_survives_packing(kind: ShardKind) -> None:
    (_, shard) = shards_of(kind)
    unpacked = unpack_shard(pack_shard(Shard(shard.X[20:40], shard.y[20:40])))
    assert (dense_of(unpacked.X) == dense_of(shard.X)[20:40]).all()
    assert (unpacked.y == shard.y[20:40]).all()


def test_dense_and_sparse_shards_hold_the_same_rows_in_the_same_order() -> None:
    store, _ = sparse_objects()
    manifest = partition(store, 3, format="libsvm", n_features=3)
    both = zip(
        all_shards(store, manifest, 3, kind="dense"),
        all_shards(store, manifest, 3, kind="sparse"),
        strict=True,
    )
    for dense, sparse in both:
        assert isinstance(sparse.X, CsrMatrix)
        assert (dense_of(sparse.X) == dense.X).all()
        assert (dense.y == sparse.y).all()
        assert sparse.X.nnz == np.count_nonzero(dense.X)


@pytest.mark.parametrize("request_pairs", [1, 5, 64])
def test_requests_for_pairs_do_not_change_a_bit(request_pairs: int) -> None:
    expected = bits(shards_of("sparse"))
    assert bits(shards_of("sparse", request_pairs=request_pairs)) == expected


def test_rows_without_pairs_are_rows() -> None:
    store = MemoryObjects(x=b"1\n" * 50 + b"2 2:5\n" + b"3\n" * 49)
    manifest = partition(store, format="libsvm")
    (validation, shard) = all_shards(store, manifest, 1, kind="sparse")
    X = np.concatenate([dense_of(each.X) for each in (validation, shard)])
    y = np.concatenate([validation.y, shard.y])
    assert X.shape == (100, 2)
    assert X[y == 2].tolist() == [[0, 5]]
    assert not X[y != 2].any()


@either
def test_a_shard_is_scaled_in_its_own_buffer_and_then_read_only(kind: ShardKind) -> None:
    (_, shard) = shards_of(kind)
    scale = scale_of(feature_moments(shard.X), sparse=kind == "sparse")
    expected = dense_of(scaled(shard.X, scale))
    data = bytearray(pack_shard(shard))
    found = unpack_shard(data, scale)
    assert (dense_of(found.X) == expected).all()
    assert (found.y == shard.y).all()
    assert (dense_of(unpack_shard(arrays.seal(data)).X) == expected).all()  # no copy
    for array in (found.y, found.X.values if isinstance(found.X, CsrMatrix) else found.X):
        assert not array.flags.writeable


def test_scaling_what_must_not_change_is_refused() -> None:
    (_, shard) = shards_of("dense")
    ones = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="read-only"):
        unpack_shard(bytes(pack_shard(shard)), Scale(ones, ones, ones + 1))


def sparse_container(**changes: Any) -> bytearray:
    contents = {
        "indptr": np.array([0, 1, 1, 3]),
        "indices": np.array([0, 1, 2], np.int32),
        "values": np.ones(3, np.float32),
        "y": np.ones(3, np.float32),
    }
    width = changes.pop("n_features", "3")
    contents |= {name: np.asarray(value) for name, value in changes.items()}
    metadata = {} if width is None else {"n_features": width}
    return arrays.pack({k: v for k, v in contents.items() if v.ndim}, metadata)


def test_the_container_of_the_next_test_is_a_shard() -> None:
    assert dense_of(unpack_shard(sparse_container()).X).tolist() == [[1, 0, 0], [0] * 3, [0, 1, 1]]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"indptr": [0, 2, 1, 3]}, id="rows descend"),
        pytest.param({"indptr": [1, 1, 1, 3]}, id="first row is not at 0"),
        pytest.param({"indptr": [0, 1, 1, 2]}, id="last row ends early"),
        pytest.param({"indptr": [0, 1, 1, 4]}, id="last row ends late"),
        pytest.param({"indptr": np.zeros(0, np.int64)}, id="no rows at all"),
        pytest.param({"indptr": np.array([0, 1, 1, 3], np.int32)}, id="narrow ends"),
        pytest.param({"indices": np.array([0, 1, 3], np.int32)}, id="index beyond the width"),
        pytest.param({"indices": np.array([0, -1, 2], np.int32)}, id="negative index"),
        pytest.param({"values": np.ones(2, np.float32)}, id="fewer values"),
        pytest.param({"values": np.ones(3)}, id="values of another kind"),
        pytest.param({"y": np.ones(2, np.float32)}, id="fewer labels"),
        pytest.param({"y": np.float32(0)}, id="no labels"),
        pytest.param({"n_features": None}, id="no width"),
        pytest.param({"n_features": "many"}, id="width is no number"),
        pytest.param({"X": np.ones((3, 3), np.float32)}, id="both kinds"),
    ],
)
def test_damaged_sparse_shards_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DamagedValueError):
        unpack_shard(sparse_container(**changes))


@pytest.mark.parametrize(("rows", "labels"), [((3, 2), (2,)), ((3,), (3,)), ((3, 2), (3, 1))])
def test_damaged_dense_shards_are_refused(rows: Any, labels: Any) -> None:
    data = arrays.pack({"X": np.ones(rows, np.float32), "y": np.ones(labels, np.float32)})
    with pytest.raises(DamagedValueError):
        unpack_shard(data)


def test_an_index_beyond_the_width_of_the_data_is_refused() -> None:
    store, _ = sparse_objects()
    manifest = replace(partition(store, format="libsvm", n_features=3), n_features=2)
    for kind in ("dense", "sparse"):
        with pytest.raises(DamagedValueError, match=r"an index of the piece"):
            all_shards(store, manifest, 1, kind=kind)


def test_labels_are_listed_up_to_a_thousand() -> None:
    def labels(n: int) -> Manifest:
        text = b"\n".join(b"1,%d" % i for i in range(n))
        return partition(MemoryObjects(x=text), 3, format="csv", header=False, piece_bytes=9000)

    assert labels(1000).labels == tuple(map(float, range(1000)))
    many = labels(1001)
    assert many.labels is None
    assert (many.min_label, many.max_label) == (0, 1000)


@kinds
def test_a_manifest_survives_json(make: Any, options: Any, kind: ShardKind) -> None:
    store, _ = make()
    manifest = partition(store, 2, **options)
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest


def test_a_header_without_rows_is_refused() -> None:
    store = MemoryObjects(x=b"a,b\n" + b"\n" * 100_000)
    with pytest.raises(EmptyDataError, match=r"no (data )?rows"):
        partition(store, format="csv")


@pytest.mark.parametrize(
    ("n_rows", "fraction", "n_validation"),
    [(10, 0.01, 1), (10, 0.04, 1), (10, 0.5, 5), (2, 0.1, 1)],
)
def test_at_least_one_row_validates(n_rows: int, fraction: float, n_validation: int) -> None:
    store = MemoryObjects(x=b"1,2\n" * n_rows)
    plan = shard_plan(partition(store, format="csv"), 1, fraction, "dense")
    assert plan.validation == Interval(0, n_validation)
    assert plan.shards == (Interval(n_validation, n_rows),)


def wide_manifest(n_rows: int, n_features: int) -> Manifest:
    store = MemoryObjects(x=b"1 1:1\n0 2:1\n")
    manifest = partition(store, format="libsvm", n_features=n_features)
    return replace(manifest, n_rows=n_rows)


def test_without_a_share_training_rows_validate() -> None:
    store = MemoryObjects(x=b"1,2\n" * 10)
    plan = shard_plan(partition(store, format="csv"), 2, 0, "dense")
    assert plan.validation == Interval(0, 10)
    assert plan.shards == (Interval(0, 5), Interval(5, 10))


def test_validation_takes_at_most_64_mb() -> None:
    plan = shard_plan(wide_manifest(1_000_000, 1000), 8, 0.5, "dense")
    assert plan.validation.n_rows == 64 * 2**20 // 4000


def test_more_workers_than_training_rows_are_refused() -> None:
    manifest = partition(MemoryObjects(x=b"1,2\n" * 6), format="csv")
    with pytest.raises(NotEnoughDataError) as caught:
        shard_plan(manifest, 8, 0.1, "dense")
    assert str(caught.value) == (
        "workers: expected at most the number of training rows, 5 (6 rows, of which 1 validate), "
        "got 8"
    )


def test_shards_beyond_the_limit_are_refused_with_their_size() -> None:
    with pytest.raises(InvalidDataError, match=r"500000 rows × 2000 features is 3\.7 GiB"):
        shard_plan(wide_manifest(1_000_000, 2000), 2, 0.0, "dense")


def sparse_manifest(n_rows: int, n_features: int, pairs_a_row: int) -> Manifest:
    return replace(wide_manifest(n_rows, n_features), nnz=pairs_a_row * n_rows)


def test_sparse_shards_are_as_large_as_their_pairs() -> None:
    plan = shard_plan(sparse_manifest(1_000_000, 50_000, 80), 2, 0.5, "sparse")
    assert plan.validation.n_rows == 64 * 2**20 // (80 * 8 + 12)
    with pytest.raises(InvalidDataError, match=r"2000000 rows × 50000 features is 1\.2 GiB of pai"):
        shard_plan(sparse_manifest(4_000_000, 50_000, 80), 2, 0.0, "sparse")


def test_more_features_than_an_index_can_name_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="at most 2147483647 are possible"):
        shard_plan(sparse_manifest(100, 2**31, 1), 1, 0.0, "sparse")


@pytest.mark.parametrize(
    ("asked", "n_features", "pairs_a_row", "world_size", "kind"),
    [
        ("auto", 1000, 99, 1, "sparse"),
        ("auto", 1000, 100, 1, "dense"),
        ("dense", 1000, 1, 1, "dense"),
        ("sparse", 1000, 1000, 1, "sparse"),
        ("auto", 3000, 600, 1, "sparse"),  # dense: 1.1 GiB
        ("auto", 3000, 600, 2, "dense"),
    ],
)
def test_shards_are_sparse_if_few_values_are_stored_or_dense_ones_would_be_too_large(
    asked: str, n_features: int, pairs_a_row: int, world_size: int, kind: ShardKind
) -> None:
    manifest = sparse_manifest(100_000, n_features, pairs_a_row)
    assert shard_kind(asked, manifest, world_size) == kind


def test_dense_rows_make_dense_shards_only() -> None:
    store = MemoryObjects(x=b"0,0,0,2\n" * 6)
    manifest = partition(store, format="csv", header=False)
    for asked in ("auto", "dense"):
        assert shard_kind(asked, manifest, 1) == "dense"
    with pytest.raises(InvalidDataError, match=r"data\.matrix: .*auto or dense.*csv.*got 'sparse'"):
        shard_kind("sparse", manifest, 1)
    with pytest.raises(ValueError, match="not made sparse"):
        all_shards(store, manifest, 1, kind="sparse")


@pytest.mark.parametrize("interval", [Interval(0, 0), Interval(-1, 2), Interval(0, 7)])
def test_an_interval_outside_the_data_is_refused(interval: Interval) -> None:
    store = MemoryObjects(x=b"1,2\n" * 6)
    manifest = partition(store, format="csv")
    with pytest.raises(ValueError, match="positions 0 to 6"):
        assemble(store, manifest, interval, "dense")


@kinds
def test_a_piece_that_is_not_the_manifests_is_refused(
    make: Any, options: Any, kind: ShardKind
) -> None:
    store, _ = make()
    manifest = partition(store, 2, **options)
    key = manifest.pieces[0].key
    whole = store.objects[key]
    for damaged in (whole[:-1], whole[: len(whole) // 2], store.objects[manifest.pieces[1].key]):
        store.objects[key] = damaged
        with pytest.raises(DamagedValueError):
            all_shards(store, manifest, 1, kind=kind)


class _PiecesDropped(MemoryObjects):
    """Discards saved values, so that only the memory of a range task is measured."""

    def put(self, key: str, data: Buffer) -> ObjectInfo:
        assert len(data) > 0
        return ObjectInfo(key, len(data), "")


@pytest.mark.parametrize(
    ("line", "options"),
    [(b"123,4,5,6,0\n", {"format": "csv"}), (b"1 3:4 17:2.5\n", {"format": "libsvm"})],
)
def test_a_range_of_any_size_is_read_in_bounded_memory(line: bytes, options: Any) -> None:
    store = _PiecesDropped(x=line * (40 * 2**20 // len(line)))
    tracemalloc.start()
    manifest = partition(store, piece_bytes=2**20, request_bytes=2**18, **options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert manifest.n_rows == 40 * 2**20 // len(line)
    assert peak < 32 * 2**20  # of which the first megabyte, in cells, takes most
