"""K-means over dense rows: the native kernel and NumPy give the same bits, and the right ones."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stepml.ml.kernels.native import Accumulate, accumulate_kernel, load_kernel
from stepml.ml.matrices import Floats
from stepml.ml.models.dense_clusters import accumulate, clusters_of
from stepml.packaging.kernels import compile_kernel

Rows = Callable[[np.random.Generator, int, int], Floats]


def normal(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.standard_normal(shape).astype(np.float32)


def whole(rng: np.random.Generator, *shape: int) -> Floats:
    """Return rows that are often equally far from several centroids."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def far_off(rng: np.random.Generator, *shape: int) -> Floats:
    return normal(rng, *shape) * np.float32(1e-3) + np.float32(1000)


def heavy_tailed(rng: np.random.Generator, *shape: int) -> Floats:
    return np.exp(8 * rng.standard_normal(shape)).astype(np.float32)


def of_all_scales(rng: np.random.Generator, n: int, d: int) -> Floats:
    return normal(rng, n, d) * np.float32(10) ** rng.integers(-20, 18, d).astype(np.float32)


def tiny(rng: np.random.Generator, *shape: int) -> Floats:
    return normal(rng, *shape) * np.float32(1e-40)


def huge(rng: np.random.Generator, *shape: int) -> Floats:
    return normal(rng, *shape) * np.float32(1e37)


def zeros(rng: np.random.Generator, *shape: int) -> Floats:
    return np.zeros(shape, np.float32)


KINDS = [normal, whole, far_off, heavy_tailed, of_all_scales, tiny, huge, zeros]
each_kind = pytest.mark.parametrize("make", KINDS)
each_shape = pytest.mark.parametrize(
    ("n_rows", "n_features", "n_clusters"),
    [
        *((1, 1, 1), (15, 1, 2), (16, 3, 3), (17, 4, 4), (23, 5, 5), (24, 8, 7), (25, 9, 30)),
        *((2000, 28, 10), (5000, 28, 33), (9000, 2, 3), (300, 257, 9), (200, 784, 50)),
    ],
)


@pytest.fixture(scope="session")
def kernel() -> Accumulate:
    found = accumulate_kernel()
    if found is None:
        pytest.skip(f"no C compiler made the kernel for {sys.platform} on {platform.machine()}")
    return found


def some(make: Rows, n_rows: int, n_features: int, n_clusters: int) -> tuple[Floats, Floats]:
    """Return rows, and centroids: rows, some of them moved or twice."""
    rng = np.random.default_rng(n_rows + n_features)
    X = make(rng, n_rows, n_features)
    centroids = X[rng.integers(n_rows, size=n_clusters)]
    centroids[::3] += make(rng, *centroids[::3].shape)
    centroids[n_clusters // 2 :] = centroids[: n_clusters - n_clusters // 2]
    return X, centroids


def bits(centroids: Floats, X: Floats, kernel: Accumulate | None) -> list[bytes]:
    found = accumulate(centroids, X, kernel)
    clusters = clusters_of(centroids, X, kernel)
    arrays = (found.sums, found.counts, np.float64(found.inertia), clusters)
    return [each.tobytes() for each in arrays]


@pytest.mark.skipif(
    not (shutil.which("cc") and (sys.platform, platform.machine()) == ("linux", "x86_64")),
    reason="there is no cc for Linux on x86_64",
)
def test_where_there_is_a_compiler_there_is_a_kernel() -> None:
    assert accumulate_kernel() is not None, "run `make install`"


@each_kind
@each_shape
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_the_kernel_and_numpy_give_the_same_bits(
    make: Rows, n_rows: int, n_features: int, n_clusters: int, kernel: Accumulate
) -> None:
    X, centroids = some(make, n_rows, n_features, n_clusters)
    assert bits(centroids, X, kernel) == bits(centroids, X, None)


def test_rows_that_are_not_in_order_of_memory_are_the_same(kernel: Accumulate) -> None:
    X, centroids = some(normal, 4000, 28, 10)
    expected = bits(centroids, X, None)
    assert bits(np.asfortranarray(centroids), np.asfortranarray(X), kernel) == expected
    assert bits(centroids, np.repeat(X, 2, axis=0)[::2], kernel) == expected
    shifted = np.frombuffer(b"-" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(X.shape)
    assert bits(centroids, shifted, kernel) == expected


# Far off, an origin is subtracted in float32.
@pytest.mark.parametrize("make", [kind for kind in KINDS if kind is not far_off])
@each_shape
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_the_nearest_is_that_of_float64(
    make: Rows, n_rows: int, n_features: int, n_clusters: int
) -> None:
    X, centroids = some(make, n_rows, n_features, n_clusters)
    wide, points = X.astype(np.longdouble), centroids.astype(np.longdouble)
    distances = np.stack([np.square(wide - each).sum(axis=1) for each in points])
    found = clusters_of(centroids, X, accumulate_kernel())
    excess = distances[found, np.arange(n_rows)] - distances.min(axis=0)
    norms = np.square(wide).sum(axis=1) + np.square(points).sum(axis=1).max()
    assert (excess <= 1e-13 * norms).all()


@pytest.mark.parametrize("native", [True, False])
def test_the_first_of_equally_near_centroids_wins(
    native: bool, request: pytest.FixtureRequest
) -> None:
    kernel = request.getfixturevalue("kernel") if native else None
    centroids = np.array([[9, 9], [1, 0], [-1, 0], [1, 0]], np.float32)
    X = np.array([[0, 0], [0, 5], [2, 0], [-2, 0]] * 500, np.float32)
    assert clusters_of(centroids, X, kernel).tolist() == [1, 1, 1, 2] * 500


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(
    value: float, native: bool, request: pytest.FixtureRequest
) -> None:
    kernel = request.getfixturevalue("kernel") if native else None
    X, centroids = some(normal, 4000, 28, 10)
    X[3999, 27] = value
    with pytest.raises(ValueError, match="finite numbers"), np.errstate(invalid="ignore"):
        accumulate(centroids, X, kernel)


@pytest.mark.parametrize("n_clusters", [4, 40])
def test_sums_have_all_digits(n_clusters: int) -> None:
    X, centroids = some(heavy_tailed, 3000, 5, n_clusters)
    found, clusters = accumulate(centroids, X, None), clusters_of(centroids, X, None)
    largest = np.abs(X).max(axis=0).astype(float)
    for cluster in range(n_clusters):
        rows = X[clusters == cluster].astype(float)
        exact = [math.fsum(column) for column in rows.T]
        assert (np.abs(found.sums[cluster] - exact) <= len(rows) * largest * 2.0**-38).all()
        assert found.counts[cluster] == len(rows)


def test_a_cluster_of_one_row_has_its_bits() -> None:
    X = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)
    found = accumulate(X, X, accumulate_kernel())
    assert found.sums.tobytes() == X.astype(np.float64).tobytes()
    assert found.inertia == 0


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no cc")
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_a_kernel_for_other_processors_gives_the_same_bits(tmp_path: Path) -> None:
    assert compile_kernel(("cc",), (), tmp_path / "kernel-0.so")
    portable = load_kernel(tmp_path / "kernel-0.so")
    assert portable is not None
    for make in KINDS:
        X, centroids = some(make, 500, 9, 6)
        assert bits(centroids, X, portable) == bits(centroids, X, None), make


_PRINT_BITS = """
from tests.unit.ml.models.test_dense_clusters import digest
print(digest())
"""


def digest() -> str:
    """Return a digest of results of NumPy."""
    X, centroids = some(normal, 6000, 28, 10)
    return hashlib.sha256(b"".join(bits(centroids, X, None))).hexdigest()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are processors of that kind")
def test_the_bits_do_not_depend_on_the_processor_of_blas() -> None:
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "1"}
    printed = subprocess.run(
        [sys.executable, "-c", _PRINT_BITS], env=environment, capture_output=True, check=True
    ).stdout
    assert printed.decode().strip() == digest()
