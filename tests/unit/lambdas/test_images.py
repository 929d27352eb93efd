"""Jobs on images: shapes come from the data, bytes stay bytes, and wrong shapes are refused."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from stepml.job import keys
from stepml.job.errors import InvalidJobError
from storage.testing.memory import MemoryStorage
from tests.support.jobs import Job
from tests.support.torch import torch  # noqa: F401 - skips where it is absent

RNG = np.random.default_rng(4)
LABELS = RNG.integers(0, 3, 60)
IMAGES = (RNG.integers(0, 80, (60, 1, 8, 8)) + 80 * LABELS[:, None, None, None]).astype(np.uint8)


def npz(X: Any, y: Any = LABELS) -> bytes:
    file = io.BytesIO()
    np.savez(file, X=X, y=y[: len(X)])
    return file.getvalue()


def job(
    X: Any = IMAGES, storage: MemoryStorage | None = None, job_id: str = "job", **model: Any
) -> Job:
    made = Job(
        job_id,
        storage,
        chooses=True,
        data={"uri": "s3://data/images.npz"},
        model={"name": "neural", "network": {"name": "mlp", "hidden": [4]}, **model},
        algorithm={"name": "gradient_averaging", "batch_size": 16, "learning_rate": 0.01},
        workers=2,
        stop={"max_epochs": 1},
    )
    made.data.save("images.npz", npz(X))
    return made


def stored_shards(storage: MemoryStorage) -> dict[str, int]:
    keys_found = [key for key in storage.list("datasets/") if key.endswith(".safetensors")]
    return {key.split("/", 2)[2]: len(storage.load(key)) for key in keys_found if "rank" in key}


def test_the_shape_of_images_comes_from_the_data() -> None:
    chosen = job(IMAGES[:, 0])
    chosen.partitioned()
    plan = chosen.partition_plan()
    assert plan.spec.model.input_shape == (8, 8)  # type: ignore[union-attr]
    assert plan.choices["model.input_shape"] == [8, 8]
    assert plan.layout.row_shape == (8, 8)


def test_rows_that_are_no_images_have_a_shape_of_one_number() -> None:
    chosen = job(IMAGES.reshape(60, 64))
    chosen.prepare()
    assert chosen.partition_plan().choices["model.input_shape"] == [64]


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "another size": (
        IMAGES,
        {"input_shape": [8, 7]},
        r"model\.input_shape: expected \[1, 8, 8\], \[8, 8\], \[64\] or null, as rows have 64 "
        r"values, got \[8, 7\]",
    ),
    "another shape of as many values": (
        IMAGES[:, 0],
        {"input_shape": [4, 16]},
        r"model\.input_shape: expected \[8, 8\], \[1, 8, 8\], \[64\] or null, as rows have 64 "
        r"values, got \[4, 16\]",
    ),
    "another size of rows": (
        IMAGES.reshape(60, 64),
        {"input_shape": [63]},
        r"expected \[64\], another shape of as many values or null, as rows have 64 values, "
        r"got \[63\]",
    ),
    "channels that come last": (
        np.moveaxis(np.repeat(IMAGES, 3, axis=1), 1, 3),
        {},
        r"model\.input_shape: images are \[channels, height, width\], but rows have the shape "
        r"\[8, 8, 3\]: write X\.transpose\(0, 3, 1, 2\), or set \[8, 8, 3\] if there are 8 "
        r"channels; got null",
    ),
    "channels that come last, as asked": (
        np.moveaxis(np.repeat(IMAGES, 3, axis=1), 1, 3),
        {"input_shape": [3, 8, 8]},
        r"expected \[8, 8, 3\], \[192\] or null, as rows have 192 values, got \[3, 8, 8\]",
    ),
    "no images": (
        IMAGES.reshape(60, 64),
        {"network": "mobilenet"},
        r"model\.input_shape: network 'mobilenet' takes images; expected \[height, width\] or "
        r"\[channels, height, width\], got \[64\]",
    ),
    "no images, as asked": (
        IMAGES,
        {"network": "resnet18", "input_shape": [64]},
        r"model\.input_shape: network 'resnet18' takes images; .* got \[64\]",
    ),
    "one pixel": (
        IMAGES[:, :, :1, :1],
        {"network": "resnet50"},
        r"model\.input_shape: network 'resnet50' takes images of at least 2 × 2 pixels, "
        r"got \[1, 1, 1\]",
    ),
    "crops of rows": (
        IMAGES.reshape(60, 64),
        {"augment": {"crop": 1}},
        r"model\.augment: changes images; with model\.input_shape \[64\] expected null",
    ),
    "crops beyond the image": (
        IMAGES,
        {"augment": {"crop": 8}},
        r"model\.augment\.crop: expected less than 8, a side of the images, got 8",
    ),
}


@pytest.mark.parametrize(("X", "model", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_shapes_are_refused_before_anything_is_written(
    X: Any, model: dict[str, Any], message: str
) -> None:
    wrong = job(X, **model)
    with pytest.raises(InvalidJobError, match=message):
        wrong.prepare()
    assert not list(wrong.storage.list(""))


def test_wrong_shapes_of_rows_whose_width_only_their_pieces_tell_are_refused() -> None:
    wrong = job(input_shape=[3, 2])
    wrong.spec["data"] = {"uri": "s3://data/rows.libsvm", "format": "libsvm"}
    wrong.data.save("rows.libsvm", b"".join(b"%d 1:1 5:2\n" % (n % 2) for n in range(40)))
    with pytest.raises(
        InvalidJobError, match=r"expected \[5\], .*rows have 5 values, got \[3, 2\]"
    ):
        wrong.partitioned()


def test_images_stay_bytes_in_shards_of_networks_alone() -> None:
    storage = MemoryStorage()
    of_network = job(storage=storage)
    of_network.partitioned()
    of_network.assemble()
    narrow = stored_shards(storage)
    others = {
        "softmax": {"model": {"name": "softmax_regression"}},
        "flat": {"model": {"name": "neural", "network": "mlp", "input_shape": [64]}},
    }
    for name, spec in others.items():
        other = job(storage=storage, job_id=name)
        other.spec |= spec
        other.partitioned()
        other.assemble()
    both = stored_shards(storage)
    wide = {key: size for key, size in both.items() if key not in narrow}
    assert {key.split("/")[0].rpartition("-")[2] for key in narrow} == {"uint8"}
    assert {key.split("/")[0].rpartition("-")[2] for key in wide} == {"dense"}
    assert len(narrow) == len(wide) == 2
    n_values = 54 * 64  # without validation
    assert sum(wide.values()) - sum(narrow.values()) == pytest.approx(3 * n_values, abs=64)


def test_standardised_images_are_floats() -> None:
    scaled = job()
    scaled.spec["data"]["standardise"] = True
    scaled.partitioned()
    scaled.assemble()
    assert all("-dense/" in key for key in stored_shards(scaled.storage))


def test_a_missing_shard_of_bytes_is_found() -> None:
    from lambdas.restoration import find_damage
    from stepml.job.tasks import PartitionTask

    made = job()
    made.partitioned()
    made.assemble()
    shards = [keys.VALIDATION, 0, 1]
    task = PartitionTask(job_id="job", shards=shards)
    assert find_damage(task, made.partition_plan(), made.storage).shards == []
    lost = next(key for key in made.storage.list("datasets/") if "rank-000001.safe" in key)
    made.storage.delete_many([lost])
    assert find_damage(task, made.partition_plan(), made.storage).shards == [1]


def test_rows_may_be_taken_for_images_and_images_for_rows() -> None:
    unusual = IMAGES.reshape(60, 16, 2, 2)[:, :, :, :1]
    for X, shape in (
        (IMAGES.reshape(60, 64), [8, 8]),
        (IMAGES, [8, 8]),
        (IMAGES[:, 0], [1, 8, 8]),
        (IMAGES, [64]),
        (unusual, [16, 2, 1]),
    ):
        made = job(X, input_shape=shape)
        made.prepare()
        assert made.partition_plan().choices == {}


def test_bytes_and_floats_train_the_same_model() -> None:
    def trained(X: Any, **model: Any) -> Job:
        made = job(X, augment={"crop": 1, "flip": True}, **model)
        made.initialised()
        made.epoch(1)
        return made

    narrow, wide = trained(IMAGES), trained(IMAGES.astype(np.float32))
    assert (narrow.training_plan().matrix, wide.training_plan().matrix) == ("uint8", "dense")
    assert narrow.state_bits(1) == wide.state_bits(1)
    assert narrow.training_plan().channels == wide.training_plan().channels
    assert trained(IMAGES, input_shape=[1, 8, 8]).state_bits(1) == narrow.state_bits(1)
    plan = narrow.training_plan()
    assert plan.stored_row_bytes == 68
    assert plan.row_bytes == wide.training_plan().row_bytes
    report = narrow.finalise(1)
    assert report.dataset.matrix == "uint8"
    assert report.dataset.choices["model.input_shape"] == [1, 8, 8]


def test_pixels_of_other_sizes_are_no_reason_for_a_warning() -> None:
    """The network normalises whole images; `data.standardise` would change each pixel."""
    X = IMAGES.astype(np.float32)
    X[:, :, 0] *= np.float32(1e-5)
    X[:, :, 2, 2] = X[:, :, 5, 5]
    made = job(X)
    made.initialised()
    facts = made.training_plan().about
    assert facts.warnings == []
    assert not [note for note in facts.notes if "repeats" in note or "constant" in note]


def test_a_job_of_images_is_resumed_with_their_shape() -> None:
    first = job()
    first.initialised()
    first.epoch(1)
    for fields in ({}, {"input_shape": [1, 8, 8]}):
        again = job(storage=first.storage, job_id=f"again-{len(fields)}", **fields)
        again.spec |= {"resume_from": "job", "stop": {"max_epochs": 2}}
        again.initialised()
        assert again.training_plan().spec.model == first.training_plan().spec.model
    other = job(storage=first.storage, job_id="other", input_shape=[8, 8])
    other.spec |= {"resume_from": "job", "stop": {"max_epochs": 2}}
    with pytest.raises(
        InvalidJobError, match=r"model\.input_shape: expected that of resume_from\.job 'job'"
    ):
        other.prepare()


def test_a_job_that_knew_no_shape_of_images_is_resumed() -> None:
    storage = MemoryStorage()
    softmax = {"model": {"name": "softmax_regression"}}
    older = job(storage=storage)
    older.spec |= softmax
    older.initialised()
    older.epoch(1)
    plan = older.partition_plan()
    older.store.partition_plan.save(
        msgspec.structs.replace(plan, layout=replace(plan.layout, row_shape=()))
    )
    again = job(storage=storage, job_id="again")
    again.spec |= softmax | {"resume_from": "job", "stop": {"max_epochs": 2}}
    assert again.prepare().progress.next_epoch == 2
