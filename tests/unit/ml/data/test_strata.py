"""A stratified share of the rows validates: as many of each label, in one order for all ranges."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from stepml.job.errors import BadLabelError, DamagedValueError, NotEnoughDataError
from stepml.ml.data import (
    Interval,
    Manifest,
    Shard,
    ShardKind,
    assemble,
    pack_shard,
    rows_name,
    shard_plan,
)
from stepml.ml.data.row_ids import N_BUCKETS, buckets
from stepml.ml.data.strata import find_cuts, quotas_of
from stepml.ml.matrices import CsrMatrix
from tests.support.data_sets import MemoryObjects, all_shards, partition

COUNTS = {0: 1200, 1: 333, 2: 41, 3: 7, 4: 4, 5: 1, -8: 90, 0.1: 50}
KINDS = pytest.mark.parametrize(
    ("form", "kind"), [("csv", "dense"), ("libsvm", "sparse"), ("libsvm", "dense")]
)


def labelled(form: str, counts: dict[float, int] | None = None, seed: int = 0) -> MemoryObjects:
    """Return rows in a random order, in three objects; the first feature is a row's number."""
    labels = [label for label, count in (counts or COUNTS).items() for _ in range(count)]
    labels = np.random.default_rng(seed).permutation(labels).tolist()
    lines = [
        f"{label:g} 1:{n + 1} 3:{n % 7}" if form == "libsvm" else f"{n + 1},0,{n % 7},{label:g}"
        for n, label in enumerate(labels)
    ]
    cuts = [0, len(lines) // 2, len(lines) // 2 + 1, len(lines)]
    texts = ["\n".join([*lines[a:b], ""]) for a, b in pairwise(cuts)]
    return MemoryObjects(**{f"part-{n}": text.encode() for n, text in enumerate(texts)})


def numbers(shard: Shard) -> list[int]:
    X = shard.X
    first = X.values[X.indptr[:-1]] if isinstance(X, CsrMatrix) else X[:, 0]
    return first.astype(int).tolist()


def options(form: str) -> dict[str, Any]:
    return {"format": form} | ({"header": False} if form == "csv" else {})


@KINDS
@pytest.mark.parametrize("fraction", [0.03, 0.1, 0.25, 0.5])
def test_each_label_gives_its_share_and_keeps_a_row(
    form: str, kind: ShardKind, fraction: float
) -> None:
    store = labelled(form)
    manifest = partition(store, **options(form))
    validation, *ranks = all_shards(store, manifest, 3, fraction, kind, stratify=True)
    held_out = Counter(validation.y.tolist())
    for label, count in COUNTS.items():
        n = held_out[float(np.float32(label))]
        assert abs(n - fraction * count) <= 1
        assert n < count
        if count > 1 and fraction * count >= 0.5:
            assert n
    everything = [n for shard in (validation, *ranks) for n in numbers(shard)]
    assert sorted(everything) == list(range(1, sum(COUNTS.values()) + 1))
    sizes = [len(shard.y) for shard in ranks]
    assert max(sizes) - min(sizes) <= 1


@KINDS
def test_neither_ranges_nor_pieces_change_a_bit(form: str, kind: ShardKind) -> None:
    found = set()
    for n_ranges, piece_bytes in ((1, 2**26), (7, 2**26), (40, 500)):
        store = labelled(form)
        manifest = partition(store, n_ranges, piece_bytes=piece_bytes, **options(form))
        shards = all_shards(store, manifest, 4, kind=kind, stratify=True)
        found.add(tuple(bytes(pack_shard(shard)) for shard in shards))
    assert len(found) == 1


def test_the_validation_rows_are_the_first_of_each_label() -> None:
    store = labelled("csv")
    manifest = partition(store, 3, **options("csv"))
    order = all_shards(store, manifest, 1, 0.5)  # of ids
    ids_order = [pair for shard in order for pair in zip(numbers(shard), shard.y, strict=True)]
    validation, training = all_shards(store, manifest, 1, 0.1, stratify=True)
    held_out = Counter(validation.y.tolist())
    expected: tuple[list[int], list[int]] = ([], [])
    for number, label in ids_order:
        expected[held_out[label] <= 0].append(number)
        held_out[label] -= 1
    assert (numbers(validation), numbers(training)) == expected


def test_the_world_size_changes_neither_validation_nor_order() -> None:
    store = labelled("csv")
    manifest = partition(store, 2, **options("csv"))
    found = set()
    for world_size in (1, 2, 8):
        validation, *ranks = all_shards(store, manifest, world_size, stratify=True)
        found.add((tuple(numbers(validation)), tuple(n for each in ranks for n in numbers(each))))
    assert len(found) == 1


@KINDS
@pytest.mark.parametrize("batch_rows", [1, 40, 700])
@pytest.mark.parametrize("stratify", [False, True])
def test_rows_gathered_in_batches_are_the_same(
    form: str, kind: ShardKind, batch_rows: int, stratify: bool
) -> None:
    """A label's rows may lie anywhere, so not all places are in memory at once."""
    store = labelled(form)
    manifest = partition(store, 2, **options(form))
    bits = []
    for limits in ({}, {"batch_rows": batch_rows}, {"batch_rows": batch_rows * 3}):
        shards = all_shards(store, manifest, 3, kind=kind, stratify=stratify, **limits)
        bits.append([bytes(pack_shard(shard)) for shard in shards])
    assert bits[0] == bits[1] == bits[2]


def test_rows_of_both_sides_make_no_shard() -> None:
    store = labelled("csv", {0: 50, 1: 50})
    manifest = partition(store, **options("csv"))
    with pytest.raises(ValueError, match="both for validation and for training"):
        assemble(store, manifest, Interval(8, 12, (5, 5)), "dense")


def test_without_it_rows_are_those_of_the_order_of_ids() -> None:
    plain = shard_plan(partition(labelled("csv"), **options("csv")), 3, 0.1, "dense")
    assert (plain.validation.start, plain.validation.stop) == (0, 173)
    assert {each.quotas for each in (plain.validation, *plain.shards)} == {()}


def test_a_stratified_shard_has_another_name() -> None:
    intervals = [Interval(0, 9), Interval(0, 9, (5, 4)), Interval(0, 9, (6, 3))]
    names = [rows_name("fingerprint", each, "dense") for each in intervals]
    assert names[0] == "fingerprint 0-9 dense"
    assert len(set(names)) == 3


def of_counts(*counts: int) -> Manifest:
    labels = tuple(float(n) for n in range(len(counts)))
    store = labelled("csv", {0: 2})
    manifest = partition(store, **options("csv"))
    return replace(manifest, n_rows=sum(counts), labels=labels, label_counts=counts)


@pytest.mark.parametrize(
    ("counts", "fraction", "most", "quotas"),
    [
        ((100, 10), 0.1, 10**6, (10, 1)),
        ((100, 5, 4), 0.1, 10**6, (10, 1, 0)),
        ((2, 2), 0.5, 10**6, (1, 1)),
        ((1, 1, 3), 0.5, 10**6, (0, 0, 2)),
        ((4, 3), 0.01, 10**6, (1, 0)),  # at least one row validates
        ((10_000, 1_000), 0.5, 111, (100, 10)),
        ((10_000, 1_000), 0.5, 1, (1, 0)),
    ],
)
def test_quotas_are_rounded_shares(
    counts: tuple[int, ...], fraction: float, most: int, quotas: tuple[int, ...]
) -> None:
    assert quotas_of(of_counts(*counts), fraction, most) == quotas
    assert sum(quotas) <= most


def test_labels_that_float32_does_not_tell_apart_are_one_stratum() -> None:
    manifest = replace(of_counts(10, 30, 20), labels=(0.1, 0.1 + 1e-12, 1.0))
    assert quotas_of(manifest, 0.1, 1000) == (4, 2)


def test_labels_without_a_second_row_are_refused() -> None:
    with pytest.raises(NotEnoughDataError, match=r"data\.stratify: expected two rows of a label"):
        quotas_of(of_counts(1, 1, 1), 0.1, 1000)


def test_too_many_labels_are_refused() -> None:
    manifest = replace(of_counts(5, 5), labels=None, label_counts=None)
    with pytest.raises(BadLabelError, match=r"data\.stratify: expected at most 1,000"):
        quotas_of(manifest, 0.1, 1000)


def rows_with_equal_ids(n_rows: int) -> tuple[Any, Any]:
    ids = np.sort(np.random.default_rng(0).integers(0, 50, n_rows).astype(np.uint64) << 54)
    return ids, (np.arange(n_rows) % 3).astype(np.float32)


@pytest.mark.parametrize("batch_rows", [1, 100, 10**6])
def test_cuts_between_rows_with_one_id_are_exact(batch_rows: int) -> None:
    ids, y = rows_with_equal_ids(999)
    place, loaded = buckets(ids), []

    def load(first: int, behind: int) -> tuple[Any, Any]:
        chosen = (place >= first) & (place < behind)
        loaded.append(int(chosen.sum()))
        return ids[chosen], y[chosen]

    bucket_counts = tuple(np.bincount(place, minlength=N_BUCKETS).tolist())
    manifest = replace(of_counts(333, 333, 333), bucket_counts=bucket_counts)
    cuts = find_cuts(manifest, (20, 7, 0), load, batch_rows=batch_rows)
    validates = cuts.do_validate(ids, y)
    expected = np.zeros(999, bool)
    expected[0:60:3] = True
    expected[1:22:3] = True
    assert (validates == expected).all()
    assert cuts.bucket_counts.tolist() == np.bincount(place[expected], minlength=N_BUCKETS).tolist()
    if batch_rows < 10**6:
        assert sum(loaded) < 250  # no more rows are read than have to be


def test_pieces_with_fewer_rows_or_other_labels_are_damaged() -> None:
    ids, y = rows_with_equal_ids(30)
    manifest = of_counts(10, 10, 10)
    with pytest.raises(DamagedValueError, match="fewer rows of a label"):
        find_cuts(manifest, (11, 1, 1), lambda first, behind: (ids, y))
    with pytest.raises(DamagedValueError, match="a label that the manifest does not name"):
        find_cuts(manifest, (1, 1, 1), lambda first, behind: (ids, y + np.float32(0.5)))
