"""idx: images with the labels of another object, split at any byte or compressed."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pytest

from lambdas.partition import partition as partition_range
from stepml.job.data import Data, Validation
from stepml.job.errors import (
    BadRowError,
    DataNotFoundError,
    EmptyDataError,
    InvalidDataError,
    ValueChangedError,
)
from stepml.ml.data import DataObject, DataPlan, SourceFormat, plan_data, plan_ranges, sniff
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.formats.idx.folders import without_tests
from stepml.ml.data.formats.idx.header import labels_beside
from stepml.ml.data.formats.idx.rows import IdxRows
from stepml.ml.data.planning import find_objects
from stepml.ml.data.ranges import ByteRange, Cut
from storage.testing.memory import MemoryStorage
from tests.support.data_sets import MemoryObjects, described, partition
from tests.support.jobs import Job
from tests.unit.ml.data.test_npz import expected_rows, require_equal, stored_rows

RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (1000, 5, 4)).astype(np.uint8)
LABELS = RNG.integers(0, 10, 1000).astype(np.uint8)
TRAIN, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(values: Any, dtype: str = "u1") -> bytes:
    values = np.asarray(values).astype(dtype)
    header = bytes([0, 0, CODES[dtype], values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return header + values.tobytes()


def mnist(images: Any = IMAGES, labels: Any = LABELS, suffix: str = "") -> dict[str, bytes]:
    return {
        TRAIN + suffix: packed(idx(images), suffix),
        TRAIN_LABELS + suffix: packed(idx(labels), suffix),
    }


def packed(content: bytes, suffix: str) -> bytes:
    return gzip.compress(content) if suffix else content


def partitioned(n_ranges: int = 1, **options: Any) -> tuple[MemoryObjects, Any]:
    store = MemoryObjects(**options.pop("objects"))
    return store, partition(store, n_ranges, format="idx", **options)


@pytest.mark.parametrize("n_ranges", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_rows_are_those_of_the_images_whatever_the_ranges(n_ranges: int, suffix: str) -> None:
    objects = mnist(suffix=suffix) | {
        f"t10k-images.idx3-ubyte{suffix}": packed(idx(IMAGES[:7]), suffix),
        f"t10k-labels.idx1-ubyte{suffix}": packed(idx(LABELS[:7]), suffix),
    }
    store, manifest = partitioned(n_ranges, objects=objects, piece_bytes=20_000, request_bytes=999)
    assert manifest.n_features == 20
    expected = {
        f"t10k-images.idx3-ubyte{suffix}": (IMAGES[:7].reshape(7, 20), LABELS[:7]),
        f"train-images-idx3-ubyte{suffix}": (IMAGES.reshape(1000, 20), LABELS),
    }
    require_equal(stored_rows(store, manifest), expected_rows(**expected))


def test_a_record_belongs_to_the_range_in_which_it_begins() -> None:
    store = MemoryObjects(**mnist(IMAGES[:3], LABELS[:3]))
    objects = described(store)
    rows = IdxRows(store, objects, sniff(store, objects, SourceFormat(format="idx")), 1000)
    size = objects[0].value_bytes
    for cut in range(1, size):
        parts = [list(rows.read(ByteRange(0, *part))) for part in ((0, cut), (cut, size))]
        found = [[int(n) for block in part for n in block.offsets] for part in parts]
        n_before = sum(16 + 20 * record < cut for record in range(3))
        assert found == [list(range(n_before)), list(range(n_before, 3))]


def test_labels_have_no_ranges_and_compressed_images_are_not_cut() -> None:
    for suffix, cut in (("", Cut.ANYWHERE), (".gz", Cut.NOWHERE)):
        store = MemoryObjects(**mnist(suffix=suffix))
        objects = described(store)
        cuts = [FORMATS["idx"].cut_of(each) for each in objects]
        assert cuts == [cut, Cut.NO_ROWS]
        tasks = plan_ranges(objects, 40, cuts)
        assert {part.object_index for parts in tasks for part in parts} == {0}
        assert len(tasks) == (1 if suffix else 40)


@pytest.mark.parametrize("shape", [(9,), (9, 3), (9, 2, 2, 3)])
@pytest.mark.parametrize("dtype", CODES)
def test_all_shapes_and_types_are_read(shape: tuple[int, ...], dtype: str) -> None:
    values = RNG.integers(0, 100, shape)
    name = f"x-images-idx{len(shape)}-y"
    objects = {name: idx(values, dtype), "x-labels-idx1-y": idx(LABELS[:9], dtype)}
    store, manifest = partitioned(2, objects=objects)
    rows = expected_rows(**{name: (values.reshape(9, -1), LABELS[:9])})
    require_equal(stored_rows(store, manifest), rows)


def test_without_labels_all_labels_are_zero() -> None:
    for objects in ({TRAIN: idx(IMAGES)}, mnist()):
        store, manifest = partitioned(3, objects=objects, has_label=False)
        rows = expected_rows(**{TRAIN: (IMAGES.reshape(1000, 20), np.zeros(1000))})
        require_equal(stored_rows(store, manifest), rows)


def test_bad_values_are_named_skipped_or_filled() -> None:
    values = [[0.0, 1.0], [np.nan, 2.0]]
    objects = {"images-idx2": idx(values, ">f4"), "labels-idx1": idx([0, 1])}
    with pytest.raises(
        BadRowError,
        match=r"^s3 object images-idx2, row 1 \(from 0\): value 0 of the image is nan, a missing",
    ):
        partitioned(objects=objects)
    _, manifest = partitioned(objects=objects, on_bad_row="skip")
    assert (manifest.n_rows, manifest.skipped_rows) == (1, 1)
    _, manifest = partitioned(objects=objects, missing="keep")
    assert (manifest.n_rows, manifest.skipped_rows) == (2, 0)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("n_labels", [0, 999, 1001])
def test_labels_that_are_not_one_an_image_are_refused_by_name(suffix: str, n_labels: int) -> None:
    labels = np.zeros(n_labels)
    with pytest.raises(
        InvalidDataError,
        match=f"{TRAIN_LABELS}{suffix} has {n_labels} labels for the 1000 images of {TRAIN}",
    ):
        partitioned(objects=mnist(labels=labels, suffix=suffix))


def test_labels_of_a_later_object_are_compared_too() -> None:
    objects = mnist() | {"x-images-idx3": idx(IMAGES), "x-labels-idx1": idx(LABELS[:-1])}
    with pytest.raises(InvalidDataError, match="x-labels-idx1 has 999 labels for the 1000 images"):
        partitioned(objects=objects)


@pytest.mark.parametrize(
    ("objects", "error", "problem"),
    [
        ({"rows.csv": b"1,2"}, InvalidDataError, "expected are .*, found is rows.csv"),
        ({TRAIN_LABELS: idx(LABELS)}, InvalidDataError, "no s3 object is named like images"),
        ({TRAIN: idx(IMAGES)}, DataNotFoundError, f"{TRAIN} has no labels: .*at {TRAIN_LABELS}$"),
        (mnist() | {"a.txt": b"x"}, InvalidDataError, "a.txt is neither images .* nor their label"),
        (mnist() | {"labels-idx1": b"x"}, InvalidDataError, "labels-idx1 is neither images"),
        (
            {TRAIN: b"P5\n", TRAIN_LABELS: idx(LABELS)},
            InvalidDataError,
            f"{TRAIN} is not idx: it starts with 50 35 0a instead of 00 00",
        ),
        (
            {TRAIN: b"\0\0\x08\x03\0\0", TRAIN_LABELS: idx(LABELS)},
            InvalidDataError,
            f"{TRAIN} ends in the idx header",
        ),
        (
            {TRAIN: idx(IMAGES)[:-1], TRAIN_LABELS: idx(LABELS)},
            InvalidDataError,
            rf"{TRAIN} has 20015 bytes, but its idx header, \(1000, 5, 4\) of uint8, requires",
        ),
        (
            {TRAIN: idx(IMAGES[:, :0]), TRAIN_LABELS: idx(LABELS)},
            InvalidDataError,
            r"records of the shape \(0, 4\) are empty",
        ),
        (
            mnist() | {"x-images-idx2": idx(IMAGES[:, 0]), "x-labels-idx1": idx(LABELS)},
            InvalidDataError,
            "x-images-idx2 has images of 4 values, the first object of 20",
        ),
        (mnist(IMAGES[:0], LABELS[:0]), EmptyDataError, "no rows"),
    ],
)
def test_what_is_no_data_set_is_refused_by_name(
    objects: dict[str, bytes], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        partitioned(objects=objects)


def idx_header(*sizes: int, code: int = 8) -> bytes:
    return bytes([0, 0, code, len(sizes)]) + np.array(sizes, ">u4").tobytes()


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ((1, 65535, 65535, 65535), "65535 × 65535 × 65535"),
        ((2**32 - 1,) * 4, "4294967295 × 4294967295 × 4294967295"),
        ((1, *(2**32 - 1,) * 254), "4294967295 × .*…"),
        ((4, 2**26 + 1), "67108865"),
    ],
)
def test_a_header_of_enormous_records_is_refused_before_they_are_read(
    suffix: str, sizes: tuple[int, ...], shown: str
) -> None:
    objects = {TRAIN + suffix: packed(idx_header(*sizes), suffix)}
    objects[TRAIN_LABELS + suffix] = packed(idx_header(sizes[0]) + b"x", suffix)
    problem = f"s3 object {TRAIN}{suffix} has records of {shown} values; at most 67108864 are poss"
    with pytest.raises(InvalidDataError, match=problem) as caught:
        partitioned(objects=objects)
    assert len(str(caught.value)) < 400


def test_labels_of_enormous_records_are_refused() -> None:
    objects = mnist(suffix=".gz")
    objects[TRAIN_LABELS + ".gz"] = packed(idx_header(1000, 2**30), ".gz")
    with pytest.raises(InvalidDataError, match=f"{TRAIN_LABELS}.gz has records of"):
        partitioned(objects=objects)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda packed: packed[:10], "ended before the end"),
        (lambda packed: packed[:-300], "ended before the end-of-stream"),
        (lambda packed: packed[:-8] + bytes(8), "CRC check failed"),
        (lambda packed: b"\0\0" + packed, "Not a gzipped file"),
        (lambda packed: gzip.compress(idx(IMAGES) + b"x"), "continues behind the 1000 records"),
        (lambda packed: gzip.compress(idx(IMAGES)[:-1]), "ends before the last one of its 1000"),
    ],
)
def test_damaged_compressed_images_are_refused_by_name(damage: Any, problem: str) -> None:
    objects = mnist(suffix=".gz")
    objects[f"{TRAIN}.gz"] = damage(objects[f"{TRAIN}.gz"])
    with pytest.raises(InvalidDataError, match=f"s3 object {TRAIN}.gz.*{problem}"):
        partitioned(objects=objects)


def test_the_width_that_the_job_states_is_compared() -> None:
    with pytest.raises(InvalidDataError, match=r"data.n_features is 9, but s3 object .* has 20"):
        partitioned(objects=mnist(), n_features=9)


def test_ranges_read_little_of_each_other() -> None:
    images = np.zeros((60_000, 28, 28), np.uint8)
    store = MemoryObjects(**mnist(images, np.zeros(60_000)))
    objects = described(store)
    layout = sniff(store, objects, SourceFormat(format="idx"))
    rows = IdxRows(store, objects, layout, 2**20, block_bytes=100_000)
    cuts = [FORMATS["idx"].cut_of(each) for each in objects]
    for (part,) in plan_ranges(objects, 40, cuts):
        assert max(each.X.nbytes for each in rows.read(part)) <= 100_000
    assert store.largest_read_bytes <= 2**20
    # Each range reads the two headers.
    assert store.read_bytes <= sum(each.value_bytes for each in objects) + 41 * 2 * 1024


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("a/images/train-images-idx3-ubyte.gz", ("a/images/train-labels-idx1-ubyte.gz",)),
        ("t10k-images.idx3-ubyte", ("t10k-labels.idx1-ubyte",)),
        ("idx3/images-idx2", ("idx3/labels-idx1",)),
        (
            "a/t-images-idx3-ubyte/t-images-idx3-ubyte",
            ("a/t-images-idx3-ubyte/t-labels-idx1-ubyte",
             "a/t-labels-idx1-ubyte/t-labels-idx1-ubyte"),
        ),
    ],
)  # fmt: skip
def test_labels_lie_beside_their_images(images: str, labels: tuple[str, ...]) -> None:
    assert labels_beside(images) == labels


TEST, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def planned(objects: dict[str, bytes], **fields: Any) -> DataPlan:
    storage = MemoryStorage()
    for key, content in objects.items():
        storage.save(f"mnist/{key}", content)
    return plan_data(storage, "mnist", idx_data("s3://b/mnist", **fields))


def kaggle() -> dict[str, bytes]:
    """The names and folders of the archive that Kaggle ships; all contents are there twice."""
    plain = mnist() | {TEST: idx(IMAGES[:7]), TEST_LABELS: idx(LABELS[:7])}
    folders = {f"{name}/{name}": content for name, content in plain.items()}
    dotted = {name.replace("-idx", ".idx"): content for name, content in plain.items()}
    return folders | dotted


def test_mnist_as_kaggle_ships_it_is_trained_once_and_without_its_tests() -> None:
    plan = planned(kaggle())
    assert [each.name for each in plan.objects] == [
        f"{TRAIN}/{TRAIN}",
        f"{TRAIN_LABELS}/{TRAIN_LABELS}",
    ]
    assert plan.layout.n_features == 20
    assert plan.notes == [
        "left out, as others have the same content: t10k-images.idx3-ubyte, "
        "t10k-labels.idx1-ubyte, train-images.idx3-ubyte, train-labels.idx1-ubyte",
        "left out, as images for training lie beside them; data.validation.uri measures on them: "
        f"{TEST}/{TEST}, {TEST_LABELS}/{TEST_LABELS}",
    ]


def test_images_for_testing_are_held_out_if_the_job_says_so() -> None:
    held_out = Validation(uri=f"s3://b/mnist/{TEST}/{TEST}")
    plan = planned(kaggle(), validation=held_out)
    assert [each.name for each in plan.objects[:2]] == [
        f"{TRAIN}/{TRAIN}",
        f"{TRAIN_LABELS}/{TRAIN_LABELS}",
    ]
    assert plan.layout.first_validation == 2
    assert [each.key for each in plan.objects[2:]] == [
        f"mnist/{TEST}/{TEST}",
        f"mnist/{TEST_LABELS}/{TEST_LABELS}",
    ]


def test_compressed_objects_beside_the_same_ones_are_left_out() -> None:
    plan = planned(mnist() | mnist(suffix=".gz"))
    assert [each.name for each in plan.objects] == [TRAIN, TRAIN_LABELS]
    assert plan.notes == [
        f"left out, as others have the same content: {TRAIN}.gz, {TRAIN_LABELS}.gz"
    ]


@pytest.mark.parametrize(
    "names", [("test-images-idx3-ubyte",), ("latest-images-idx3-ubyte", TRAIN), ("test2/x-images",)]
)
def test_without_images_for_training_all_are_trained(names: tuple[str, ...]) -> None:
    objects = [DataObject(name, name, 9, name) for name in names]
    assert without_tests(objects) == (objects, [])


def test_other_images_with_the_same_labels_are_no_copies() -> None:
    other = {"b-images-idx3-ubyte": idx(IMAGES[::-1]), "b-labels-idx1-ubyte": idx(LABELS)}
    assert len(planned(mnist() | other).objects) == 4


def stored(*keys: str) -> MemoryStorage:
    storage = MemoryStorage()
    for key in keys:
        storage.save(key, b"x")
    return storage


def test_a_job_checks_the_labels_but_has_no_ranges_of_them() -> None:
    job = Job(
        data={"uri": f"s3://data/{TRAIN}", "format": "idx", "ranges": 2},
        model={"name": "softmax_regression"},
    )
    for key, content in mnist().items():
        job.data.save(key, content)
    state = job.prepare()
    assert (state.data.ranges, state.functions.partition) == ([0, 1], "partition")
    plan = job.partition_plan()
    assert [each.key for each in plan.objects] == [TRAIN, TRAIN_LABELS]
    assert [[part.object_index for part in task] for task in plan.tasks] == [[0], [0]]
    job.data.save(TRAIN_LABELS, idx(LABELS[::-1]))
    with pytest.raises(ValueChangedError):
        partition_range(0, "job", plan, job.data, job.storage)


def idx_data(uri: str, **fields: Any) -> Data:
    return Data(uri=uri, format="idx", **fields)


def test_the_labels_of_one_object_of_images_are_found_beside_it() -> None:
    storage = stored(f"a/{TRAIN}", f"a/{TRAIN_LABELS}", "a/t10k-images-idx3-ubyte")
    data = idx_data(f"s3://b/a/{TRAIN}")
    found = find_objects(storage, f"a/{TRAIN}", data)
    assert [each.name for each in found] == [TRAIN, TRAIN_LABELS]
    # The same names as from the folder, so that row ids are the same.
    found = find_objects(storage, "a", idx_data("s3://b/a"))
    assert [each.name for each in found] == ["t10k-images-idx3-ubyte", TRAIN, TRAIN_LABELS]


def test_images_without_labels_beside_them_are_refused_unless_none_are_wanted() -> None:
    storage = stored(TRAIN)
    with pytest.raises(DataNotFoundError, match=f"has no labels: nothing lies at {TRAIN_LABELS}"):
        find_objects(storage, TRAIN, idx_data(f"s3://b/{TRAIN}"))
    found = find_objects(storage, TRAIN, idx_data(f"s3://b/{TRAIN}", has_label=False))
    assert [each.key for each in found] == [TRAIN]
