"""Features that float32 is too coarse for: standardised rows are those of float64 data."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow
import pytest
import scipy.sparse
from pyarrow import parquet
from sklearn.datasets import dump_svmlight_file
from sklearn.preprocessing import StandardScaler

from stepml.job.errors import DamagedValueError
from stepml.ml.data import (
    Interval,
    Manifest,
    Moments,
    Scale,
    Treatments,
    assemble,
    feature_moments,
    merge_moments,
    pack_shard,
    scale_of,
    scaled,
    unpack_shard,
)
from stepml.ml.data.remainders import (
    Remainders,
    ends_of_columns,
    ends_of_pairs,
    fine_columns,
    remainders_of,
)
from stepml.ml.data.shards import Shard
from tests.support.data_sets import MemoryObjects, partition

N_ROWS = 300


def rows() -> Any:
    """Return milliseconds since 1970, Julian dates, whole numbers beyond float32's, and noise."""
    rng = np.random.default_rng(3)
    return np.stack(
        [
            1.7e12 + rng.integers(0, 600_000, N_ROWS),
            2_460_000.5 + rng.random(N_ROWS),
            rng.normal(size=N_ROWS),
            1e8 + rng.integers(0, 7, N_ROWS),
            np.full(N_ROWS, 1e9 + 1),
        ],
        axis=1,
    )


FINE = (0, 1, 3, 4)
LABELS = np.arange(N_ROWS) % 2


def csv(X: Any, label: int = 5) -> bytes:
    lines = np.insert(X.astype(object), label, LABELS, axis=1)
    return b"".join(b",".join(repr(v).encode() for v in line) + b"\n" for line in lines.tolist())


def npz(X: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, X=X, y=LABELS)
    return file.getvalue()


def csr(X: Any) -> bytes:
    file, matrix = io.BytesIO(), scipy.sparse.csr_matrix(X)
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    np.savez(file, y=LABELS, shape=matrix.shape, format=np.array(b"csr"), **parts)
    return file.getvalue()


def libsvm(X: Any) -> bytes:
    file = io.BytesIO()
    dump_svmlight_file(X, LABELS, file, zero_based=False)
    return b"\n".join(line for line in file.getvalue().split(b"\n"))


def table(X: Any) -> bytes:
    file = io.BytesIO()
    columns: dict[str, Any] = {f"x{place}": column for place, column in enumerate(X.T)}
    columns["x3"] = columns["x3"].astype(np.int32)
    columns["x0"] = columns["x0"].astype(np.int64)
    parquet.write_table(pyarrow.table(columns | {"y": LABELS}), file, row_group_size=50)
    return file.getvalue()


FORMATS: dict[str, tuple[Callable[[Any], bytes], dict[str, Any]]] = {
    "csv": (csv, {"format": "csv"}),
    "csv, label first": (lambda X: csv(X, 0), {"format": "csv", "label": 0}),
    "csv, label between": (lambda X: csv(X, 2), {"format": "csv", "label": 2}),
    "npz": (npz, {"format": "npz"}),
    "npz, csr": (csr, {"format": "npz"}),
    "libsvm": (libsvm, {"format": "libsvm"}),
    "parquet": (table, {"format": "parquet"}),
}


def partitioned(held: str, n_ranges: int = 1, **options: Any) -> tuple[MemoryObjects, Manifest]:
    write, asked = FORMATS[held]
    store = MemoryObjects(a=write(rows()))
    return store, partition(store, n_ranges, piece_bytes=4000, **asked, **options)


def whole(store: MemoryObjects, manifest: Manifest) -> Shard:
    return assemble(store, manifest, Interval(0, manifest.n_rows), "dense")


def standardised(found: Shard) -> Any:
    scale = scale_of(feature_moments(found.X, found.remainders))
    return scaled(found.X, scale, found.remainders)


def in_order(found: Any) -> Any:
    return found[np.argsort(found[:, 2])]


@pytest.mark.parametrize("held", FORMATS)
def test_standardised_rows_are_those_of_scikit_learn_on_float64(held: str) -> None:
    store, manifest = partitioned(held)
    right = StandardScaler().fit_transform(rows())

    found = standardised(whole(store, manifest))

    assert manifest.layout.fine == FINE
    assert np.allclose(in_order(found), in_order(right), rtol=1e-4, atol=1e-5)
    assert not found[:, 4].any()  # constant


@pytest.mark.parametrize("held", FORMATS)
def test_the_ranges_change_no_bit(held: str) -> None:
    one, many = (whole(*partitioned(held, n)) for n in (1, 7))

    assert one.remainders is not None
    assert many.remainders is not None
    assert np.array_equal(one.X, many.X)
    assert np.array_equal(one.remainders.values, many.remainders.values)


@pytest.mark.parametrize("held", FORMATS)
def test_float32_values_stay_as_they_are(held: str) -> None:
    found = whole(*partitioned(held))

    assert np.array_equal(in_order(found.X), in_order(rows().astype(np.float32)))


@pytest.mark.parametrize("held", ["npz, csr", "libsvm"])
def test_sparse_shards_have_no_remainders(held: str) -> None:
    store, manifest = partitioned(held)

    assert assemble(store, manifest, Interval(0, N_ROWS), "sparse").remainders is None


@pytest.mark.parametrize("held", FORMATS)
def test_the_ends_of_fine_features_are_known(held: str) -> None:
    _, manifest = partitioned(held, 3)
    X = rows()[:, FINE]

    assert np.allclose(np.transpose(manifest.fine_ends), [X.min(axis=0), X.max(axis=0)], 1e-14)
    assert manifest.fine_ends == partitioned(held)[1].fine_ends


def test_missing_values_become_the_mean() -> None:
    X = rows()
    X[::3, 0] = np.nan
    X[:2, 0] = np.nan
    store = MemoryObjects(a=csv(X).replace(b"nan", b""))
    manifest = partition(store, format="csv", missing="keep", header=False)
    right = np.nan_to_num(StandardScaler().fit_transform(X))

    found = standardised(whole(store, manifest))

    assert 0 in manifest.layout.fine
    assert np.allclose(in_order(found), in_order(right), rtol=1e-4, atol=1e-5)


def test_bad_rows_at_the_start_do_not_matter() -> None:
    text = b"x,,,,,\n" * 3 + csv(rows())
    store = MemoryObjects(a=text)
    manifest = partition(store, format="csv", on_bad_row="skip", header=False)

    assert manifest.layout.fine == FINE


@pytest.mark.parametrize(
    ("column", "fine"),
    [
        ([1, 0, 1], False),
        ([1, 1, 1], False),
        ([0, 0, 0], False),
        ([2.0**24 - 1, 2.0**24 - 2], False),
        ([2.0**24 + 2, 2.0**24], True),
        ([-1.7e9, -1.7e9 - 600], True),
        ([20.5, 20.501], True),
        ([2_460_000, 2_460_000.001], True),
        ([0.5, 0.5], False),
        ([20.5, 20.6], False),
        ([1e9, -1e9], False),
        ([np.nan, 1e9, 1e9], True),
        ([np.nan, np.nan], False),
        ([1e9, 0], False),
    ],
)
def test_a_feature_is_fine_if_its_values_are_close_together_and_far_from_0(
    column: list[float], fine: bool
) -> None:
    many = np.tile(column, 50)[:, None]

    assert fine_columns(many) == ((0,) if fine else ())


@pytest.mark.parametrize(
    ("column", "fine"),
    [
        ([0.1], False),
        ([0.1, 0.1], False),
        ([0.1] * 300, False),
        ([20.5, 20.501], False),  # may be by chance
        ([2_460_000.001], False),
        ([2_460_000, 2_460_000.001], True),
        ([1.7e12], True),
        ([1.7e12, 1.7e12 + 600_000], True),
        ([1.7e12, 1.5e12], False),
        ([np.nan], False),
    ],
)
def test_of_few_rows_only_large_or_very_close_values_are_fine(
    column: list[float], fine: bool
) -> None:
    assert fine_columns(np.array(column)[:, None]) == ((0,) if fine else ())


def numbers(n_rows: int, n_features: int = 20) -> Any:
    """Return numbers that float32 rounds, near 0, and then a time."""
    X = np.random.default_rng(7).normal(size=(n_rows, n_features))
    return np.append(X, 1.7e9 + np.arange(n_rows)[:, None], axis=1)


def lines(X: Any) -> bytes:
    return b"".join(b",".join(repr(v).encode() for v in (*row, 1)) + b"\n" for row in X.tolist())


def sparse_lines(X: Any) -> bytes:
    pairs = (b" ".join(b"%d:%r" % (n, v) for n, v in enumerate(row, 1)) for row in X.tolist())
    return b"".join(b"1 " + each + b"\n" for each in pairs)


def archive(X: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, X=X, y=np.ones(len(X)))
    return file.getvalue()


def columns(X: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    named = {f"x{place}": column for place, column in enumerate(X.T)}
    parquet.write_table(pyarrow.table(named | {"y": np.ones(len(X))}), file, **options)
    return file.getvalue()


SMALL: dict[str, Callable[[Any], bytes]] = {
    "csv": lines,
    "libsvm": sparse_lines,
    "npz": archive,
    "parquet": columns,
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("sizes", [[1], [1, 120], [1, 1, 1, 1, 1, 1], [2, 0, 90]])
def test_few_rows_at_the_start_make_no_feature_fine(name: str, sizes: list[int]) -> None:
    held = {f"{n}": SMALL[name](numbers(size)) for n, size in enumerate(sizes)}
    options = {"header": False} if name == "csv" else {}

    manifest = partition(MemoryObjects(**held), format=name, **options)

    assert manifest.layout.fine == (20,)


@pytest.mark.parametrize("name", ["csv", "libsvm", "npz"])
def test_rows_wider_than_a_request_make_no_feature_fine(name: str) -> None:
    held = SMALL[name](numbers(5, 6000))
    options = {"header": False} if name == "csv" else {}

    manifest = partition(MemoryObjects(a=held), format=name, **options)

    assert manifest.layout.fine == (6000,)


def test_a_small_first_object_does_not_change_which_features_are_fine() -> None:
    large = lines(numbers(300))
    alone = partition(MemoryObjects(b=large), format="csv", header=False)
    both = partition(MemoryObjects(a=lines(numbers(1)), b=large), format="csv", header=False)

    assert alone.layout.fine == both.layout.fine


def with_nan_at_the_end(X: Any) -> Any:
    X[-40:] = np.nan
    return X


@pytest.mark.parametrize(
    "objects",
    [
        {"a": columns(numbers(0)), "b": columns(numbers(200))},
        {"a": columns(with_nan_at_the_end(numbers(200)), row_group_size=20)},
        {"a": columns(numbers(200), write_statistics=False)},
        {"a": columns(numbers(200), write_statistics=["x0", "x3"])},
        {"a": columns(numbers(0)), "b": columns(numbers(200), write_statistics=False)},
    ],
    ids=["empty first object", "NaN", "no statistics", "some statistics", "empty, no statistics"],
)
def test_fine_features_of_parquet_are_found(objects: dict[str, bytes]) -> None:
    manifest = partition(MemoryObjects(**objects), format="parquet", label="y", missing="keep")

    assert manifest.layout.fine == (20,)


def test_the_ends_of_pairs_take_one_look_at_each_pair() -> None:
    rng = np.random.default_rng(3)
    n_rows, fine = 50, tuple(range(1, 400, 2))
    stored = rng.random((n_rows, 400)) < 0.9
    stored[:, 1:9] = True
    values = np.where(rng.random(stored.shape) < 0.1, np.nan, rng.normal(size=stored.shape))
    values[:, 3] = np.nan
    dense = np.where(stored, values, 0)[:, fine]

    found = ends_of_pairs(np.nonzero(stored)[1].astype(np.uint32), values[stored], fine, n_rows)

    assert found == ends_of_columns(dense)
    assert found[1] is None


def test_value_and_remainder_are_the_value() -> None:
    X = rows()
    both = X.astype(np.float32) + remainders_of(X).astype(np.float64)

    assert np.allclose(both, X, rtol=2.0**-48, atol=0)
    assert not remainders_of(np.array([np.nan, np.inf, 1e300])).any()


@pytest.mark.parametrize("fine", [True, False])
def test_moments_and_scales_are_packed(fine: bool) -> None:
    found = whole(*partitioned("npz"))
    moments = feature_moments(found.X, found.remainders if fine else None)
    scale = scale_of(merge_moments([moments, moments]))

    again = Moments.unpack(moments.pack("rows"), "rows"), Scale.unpack(scale.pack())

    for one, other in zip((moments, scale), again, strict=True):
        for name in one.__slots__:
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert tuple(again[1].fine) == (FINE if fine else ())
    assert not len(scale_of(moments, Treatments(rescalings="none")).fine)


def test_shards_are_packed_with_remainders_and_scaled_with_them() -> None:
    found = whole(*partitioned("npz"))
    scale = scale_of(feature_moments(found.X, found.remainders))
    right = scaled(found.X, scale, found.remainders)

    for shard in (found, Shard(found.X, found.y, None, found.remainders)):
        again = unpack_shard(packed(shard), scale)
        assert np.array_equal(again.X, right)


@pytest.mark.parametrize("missing", ["fail", "mean"])
@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("fine", [(), (0,), (0, 3), FINE])
def test_remainders_count_only_if_a_mean_is_subtracted(
    fine: tuple[int, ...], standardise: bool, missing: str
) -> None:
    X = rows()
    X[::3] = np.nan if missing == "mean" else X[::3]
    found = shard_of(X, fine)
    scale = scale_of(
        feature_moments(found.X, found.remainders),
        Treatments(rescalings="standardise" if standardise else "none"),
    )
    filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    right = np.nan_to_num(StandardScaler().fit_transform(X)) if standardise else filled
    exact = [*fine, 2] if standardise else range(5)

    again = scaled(found.X, scale, found.remainders), unpack_shard(packed(found), scale).X

    for result in again:
        assert np.allclose(result[:, exact], right[:, exact], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("of_scale", "of_shard"), [((), FINE), ((0, 3), (3,)), ((3,), (0, 3))])
def test_a_scale_may_have_other_fine_features_than_a_shard(
    of_scale: tuple[int, ...], of_shard: tuple[int, ...]
) -> None:
    of_moments, found = shard_of(rows(), of_scale), shard_of(rows(), of_shard)
    scale = scale_of(feature_moments(of_moments.X, of_moments.remainders))
    common = sorted({2, *of_scale} & {2, *of_shard})
    right = scaled(of_moments.X, scale, of_moments.remainders)

    for result in (scaled(found.X, scale, found.remainders), unpack_shard(packed(found), scale).X):
        assert np.array_equal(result[:, common], right[:, common])


def shard_of(X: Any, fine: tuple[int, ...]) -> Shard:
    remainders = Remainders(np.array(fine, np.int64), remainders_of(X[:, fine])) if fine else None
    return Shard(X.astype(np.float32), np.zeros(N_ROWS, np.float32), None, remainders)


def packed(shard: Shard) -> bytearray:
    return bytearray(pack_shard(shard))


def test_remainders_of_other_rows_are_damaged() -> None:
    found = whole(*partitioned("npz"))
    assert found.remainders is not None
    short = type(found.remainders)(found.remainders.features, found.remainders.values[1:])
    beyond = type(found.remainders)(found.remainders.features + 9, found.remainders.values)

    for remainders in (short, beyond):
        with pytest.raises(DamagedValueError, match="do not belong to its rows"):
            unpack_shard(pack_shard(Shard(found.X, found.y, None, remainders)))


def test_a_narrow_feature_that_is_absent_from_some_rows_is_not_fine() -> None:
    X = rows()
    X[5, 0] = 0
    store = MemoryObjects(a=libsvm(X))
    manifest = partition(store, format="libsvm")

    assert manifest.layout.fine == (1, 3, 4)


def test_the_last_bits_of_other_features_do_not_depend_on_fine_ones() -> None:
    found = whole(*partitioned("npz"))
    plain = scaled(found.X, scale_of(feature_moments(found.X)))

    assert np.array_equal(standardised(found)[:, 2], plain[:, 2])
