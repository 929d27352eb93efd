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
    Shard,
    assemble,
    feature_moments,
    pack_shard,
    shard_plan,
    unpack_shard,
)
from stepml.ml.data.objects import Buffer
from stepml.ml.data.row_ids import object_salt, row_ids
from tests.unit.data_sets import MemoryObjects, all_shards, partition

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
    """Return objects of all kinds of line ends and sizes, and their rows."""
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


KINDS: dict[str, Any] = {
    "csv": (csv_objects, {"format": "csv"}),
    "libsvm": (sparse_objects, {"format": "libsvm", "n_features": 3}),
}
kinds = pytest.mark.parametrize(("make", "options"), KINDS.values(), ids=KINDS)


def counted(shards: Sequence[Shard]) -> Counter[bytes]:
    return Counter(
        np.append(row, label).astype(np.float32).tobytes()
        for shard in shards
        for row, label in zip(shard.X, shard.y, strict=True)
    )


def bits(shards: Sequence[Shard]) -> list[bytes]:
    return [bytes(pack_shard(shard)) for shard in shards]


@kinds
@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_every_row_is_in_exactly_one_shard(make: Any, options: Any, world_size: int) -> None:
    store, rows = make()
    shards = all_shards(store, partition(store, 3, **options), world_size)
    expected = np.array(rows, np.float64).astype(np.float32)
    assert counted(shards) == Counter(row.tobytes() for row in expected)
    sizes = [len(shard.y) for shard in shards]
    assert sizes[0] == round(0.1 * len(rows))
    assert max(sizes[1:]) - min(sizes[1:]) <= 1


@kinds
@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_ranges_do_not_change_a_bit_of_shards_and_moments(
    make: Any, options: Any, world_size: int
) -> None:
    results = []
    for n_ranges in N_RANGES:
        store, _ = make()
        shards = all_shards(store, partition(store, n_ranges, **options), world_size)
        moments = [bytes(feature_moments(shard.X).pack()) for shard in shards]
        results.append((bits(shards), moments))
    assert all(result == results[0] for result in results)


@kinds
@pytest.mark.parametrize(("piece_bytes", "request_bytes"), [(1, 2**20), (900, 100), (5000, 33)])
def test_pieces_and_requests_do_not_change_a_bit(
    make: Any, options: Any, piece_bytes: int, request_bytes: int
) -> None:
    store, _ = make()
    expected = bits(all_shards(store, partition(store, **options), 3))
    store, _ = make()
    manifest = partition(store, 2, piece_bytes=piece_bytes, request_bytes=request_bytes, **options)
    assert len(manifest.pieces) >= 2
    assert bits(all_shards(store, manifest, 3)) == expected


@kinds
def test_the_manifest_but_for_its_pieces_does_not_depend_on_ranges(make: Any, options: Any) -> None:
    manifests = []
    for n_ranges in N_RANGES:
        store, _ = make()
        manifests.append(replace(partition(store, n_ranges, **options), pieces=()))
    assert all(each == manifests[0] for each in manifests)


def test_more_ranges_than_lines_read_every_line_once() -> None:
    store = MemoryObjects(x=b"1,2\n3,4\n5,6")
    shards = all_shards(store, partition(store, 40, format="csv"), 2)
    assert sorted(np.concatenate([shard.X[:, 0] for shard in shards])) == [1, 3, 5]


def test_world_sizes_cut_the_same_order() -> None:
    store, _ = csv_objects()
    manifest = partition(store, 2, format="csv")
    orders = [
        np.concatenate([shard.X for shard in all_shards(store, manifest, world_size)]).tobytes()
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
    # Lines of equal offset are those of equal length: the first ten are.
    assert [0.0, 1.0, 2.0] in np.lib.stride_tricks.sliding_window_view(y, 3).tolist()


def test_a_file_sorted_by_label_gives_shards_of_near_equal_shares() -> None:
    text = b"\n".join(b"%d,%d" % (i, i >= 3000) for i in range(10_000))
    store = MemoryObjects(x=text)
    for shard in all_shards(store, partition(store, 7, format="csv"), 8):
        assert shard.y.mean() == pytest.approx(0.7, abs=0.05)


def test_shards_are_contiguous_float32_and_survive_packing() -> None:
    store, _ = csv_objects()
    (_, shard) = all_shards(store, partition(store, format="csv", label="b"), 1)
    assert shard.X.flags.c_contiguous
    assert (shard.X.dtype, shard.y.dtype) == (np.float32, np.float32)
    unpacked = unpack_shard(bytes(pack_shard(shard)))
    assert (unpacked.X == shard.X).all()
    assert (unpacked.y == shard.y).all()


def test_labels_are_listed_up_to_a_thousand() -> None:
    def labels(n: int) -> Manifest:
        text = b"\n".join(b"1,%d" % i for i in range(n))
        return partition(MemoryObjects(x=text), 3, format="csv", header=False, piece_bytes=9000)

    assert labels(1000).labels == tuple(map(float, range(1000)))
    many = labels(1001)
    assert many.labels is None
    assert (many.min_label, many.max_label) == (0, 1000)


@kinds
def test_a_manifest_survives_json(make: Any, options: Any) -> None:
    store, _ = make()
    manifest = partition(store, 2, **options)
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest


def test_a_header_without_rows_is_refused() -> None:
    store = MemoryObjects(x=b"a,b\n" + b"\n" * 100_000)
    with pytest.raises(EmptyDataError, match="no rows"):
        partition(store, format="csv")


@pytest.mark.parametrize(
    ("n_rows", "fraction", "n_validation"), [(10, 0.0, 1), (10, 0.04, 1), (10, 0.5, 5), (2, 0.1, 1)]
)
def test_at_least_one_row_validates(n_rows: int, fraction: float, n_validation: int) -> None:
    store = MemoryObjects(x=b"1,2\n" * n_rows)
    plan = shard_plan(partition(store, format="csv"), 1, fraction)
    assert plan.validation == Interval(0, n_validation)
    assert plan.shards == (Interval(n_validation, n_rows),)


def wide_manifest(n_rows: int, n_features: int) -> Manifest:
    store = MemoryObjects(x=b"1 1:1\n0 2:1\n")
    manifest = partition(store, format="libsvm", n_features=n_features)
    return replace(manifest, n_rows=n_rows)


def test_validation_takes_at_most_64_mb() -> None:
    plan = shard_plan(wide_manifest(1_000_000, 1000), 8, 0.5)
    assert plan.validation.n_rows == 64 * 2**20 // 4000


def test_more_workers_than_training_rows_are_refused() -> None:
    manifest = partition(MemoryObjects(x=b"1,2\n" * 6), format="csv")
    with pytest.raises(NotEnoughDataError, match="5 training rows are fewer than 8 workers"):
        shard_plan(manifest, 8, 0.1)


def test_shards_beyond_the_limit_are_refused_with_their_size() -> None:
    with pytest.raises(InvalidDataError, match=r"500000 rows × 2000 features is 3\.7 GiB"):
        shard_plan(wide_manifest(1_000_000, 2000), 2, 0.0)


@pytest.mark.parametrize("interval", [Interval(0, 0), Interval(-1, 2), Interval(0, 7)])
def test_an_interval_outside_the_data_is_refused(interval: Interval) -> None:
    store = MemoryObjects(x=b"1,2\n" * 6)
    manifest = partition(store, format="csv")
    with pytest.raises(ValueError, match="positions 0 to 6"):
        assemble(store, manifest, interval)


@kinds
def test_a_piece_that_is_not_the_manifests_is_refused(make: Any, options: Any) -> None:
    store, _ = make()
    manifest = partition(store, 2, **options)
    key = manifest.pieces[0].key
    whole = store.objects[key]
    for damaged in (whole[:-1], whole[: len(whole) // 2], store.objects[manifest.pieces[1].key]):
        store.objects[key] = damaged
        with pytest.raises(DamagedValueError):
            all_shards(store, manifest, 1)


class _PiecesDropped(MemoryObjects):
    """Forgets what is saved, so that only what a range task holds is measured."""

    def save(self, key: str, data: Buffer) -> None:
        assert len(data) > 0


@pytest.mark.parametrize(
    ("line", "options"),
    [(b"123,4,5,6,0\n", {"format": "csv"}), (b"1 3:4 17:2.5\n", {"format": "libsvm"})],
)
def test_a_range_of_any_size_is_read_in_bounded_memory(line: bytes, options: Any) -> None:
    store = _PiecesDropped(x=line * (16 * 2**20 // len(line)))
    tracemalloc.start()
    manifest = partition(store, piece_bytes=2**20, request_bytes=2**18, **options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert manifest.n_rows == 16 * 2**20 // len(line)
    assert peak < 16 * 2**20
