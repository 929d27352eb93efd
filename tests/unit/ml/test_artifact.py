"""The model artifact: a written one can be read, and everything else is refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_safetensors

from stepml.job import data_keys, keys
from stepml.ml.artifact import (
    Artifact,
    ArtifactError,
    DamagedArtifactError,
    NewerArtifactError,
    NotAnArtifactError,
)
from stepml.ml.data import arrays, scaled, unpack_shard
from tests.support.artifacts import MODELS, example
from tests.support.jobs import Job


def changed(card: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(card) | fields).encode()


def with_arrays(card: bytes, **named: Any) -> tuple[bytes, bytes]:
    """Return other arrays, and a card for them."""
    packed = bytes(arrays.pack(named))
    return packed, changed(card, arrays_sha256=hashlib.sha256(packed).hexdigest())


@pytest.mark.parametrize("prepared", ["", "dense", "sparse"])
@pytest.mark.parametrize("kind", MODELS)
def test_what_is_written_is_read_again(kind: str, prepared: str) -> None:
    it = example(kind, prepared=prepared)

    found = Artifact.unpack(*it.artifact.pack())

    assert type(found.model) is type(it.artifact.model)
    assert np.array_equal(found.parameters, it.artifact.parameters)
    for X in (it.X, it.sparse):
        assert np.array_equal(
            found.model.predict(found.parameters, X),
            it.artifact.model.predict(it.artifact.parameters, X),
        )
    assert (found.scale is None) == (it.artifact.scale is None)
    if found.scale and it.artifact.scale:
        assert bytes(found.scale.pack()) == bytes(it.artifact.scale.pack())
    assert found.card.items() >= it.artifact.card.items()
    assert found.pack() == it.artifact.pack()


def test_any_reader_of_safetensors_finds_the_arrays() -> None:
    it = example(prepared="dense")

    found = load_safetensors(it.artifact.pack()[0])

    assert set(found) == {
        "coefficients",
        "intercept",
        "feature_fill",
        "feature_mean",
        "feature_scale",
    }


def test_a_later_format_is_refused_by_its_number() -> None:
    packed, card = example().artifact.pack()

    with pytest.raises(NewerArtifactError, match=r"has format 3.* reads up to 2"):
        Artifact.unpack(packed, changed(card, format_version=3, unknown={}))


@pytest.mark.parametrize("card", [b"", b"no", b"[]", b'{"model": "svm"}', b"\xff\xfe"])
def test_a_card_of_something_else_is_refused(card: bytes) -> None:
    with pytest.raises(NotAnArtifactError, match="card"):
        Artifact.unpack(example().artifact.pack()[0], card)


@pytest.mark.parametrize("packed", [b"", b"PK\x03\x04 a zip of some weights", bytes(100)])
def test_arrays_of_something_else_are_refused(packed: bytes) -> None:
    with pytest.raises(ArtifactError):
        Artifact.unpack(packed, example().artifact.pack()[1])


def test_one_changed_bit_is_seen() -> None:
    packed, card = example().artifact.pack()
    packed = packed[:-1] + bytes([packed[-1] ^ 1])

    with pytest.raises(
        DamagedArtifactError, match="the digest of the arrays is not that of the card"
    ):
        Artifact.unpack(packed, card)


def test_arrays_of_another_model_are_refused() -> None:
    with pytest.raises(DamagedArtifactError, match="belong to two models"):
        Artifact.unpack(example("svm").artifact.pack()[0], example("linear").artifact.pack()[1])


@pytest.mark.parametrize(
    "fields",
    [
        {"n_features": 5},
        {"n_features": -1},
        {"n_features": "4"},
        {"n_features": 10**12},
        {"model": "neural"},
        {"model": None},
        {"model": "kmeans"},
        {"features": ["a"]},
        {"job": {}},
    ],
)
def test_a_card_that_does_not_describe_the_arrays_is_refused(fields: dict[str, Any]) -> None:
    packed, card = example().artifact.pack()

    with pytest.raises(DamagedArtifactError, match="does not describe the arrays"):
        Artifact.unpack(packed, changed(card, **fields))


@pytest.mark.parametrize(
    "named",
    [
        {"coefficients": np.zeros(5, np.float32)},
        {"coefficients": np.zeros(4), "intercept": np.zeros(1)},
        {"coefficients": np.zeros(3, np.float32), "intercept": np.zeros(2, np.float32)},
        {"weights": np.zeros(4, np.float32), "intercept": np.zeros(1, np.float32)},
        {
            "coefficients": np.zeros(4, np.float32),
            "intercept": np.zeros(1, np.float32),
            "feature_mean": np.zeros(4, np.float32),
        },
    ],
)
def test_arrays_that_the_model_lacks_are_refused(named: dict[str, Any]) -> None:
    packed, card = with_arrays(example().artifact.pack()[1], **named)

    with pytest.raises(DamagedArtifactError, match="does not describe the arrays"):
        Artifact.unpack(packed, card)


@pytest.mark.parametrize("standardise", [False, True])
def test_a_job_leaves_the_model_that_its_report_is_about(standardise: bool) -> None:
    job = Job(data={"uri": "s3://data/rows.csv", "format": "csv", "standardise": standardise})
    job.initialised()
    for epoch in (1, 2):
        job.epoch(epoch)
    report = job.finalise(2)

    found = Artifact.unpack(
        job.storage.load(keys.model("job")), job.storage.load(keys.model_card("job"))
    )

    shard = unpack_shard(
        job.storage.load(data_keys.shard(report.dataset.digest, 3, 0.1, "dense", keys.VALIDATION))
    )
    X = scaled(shard.X, found.scale) if found.scale else shard.X
    right = found.model.predict(found.parameters, X) == shard.y
    assert np.mean(right) == report.metrics["accuracy"]
    assert found.card["job"]["data"]["standardise"] is standardise
    assert found.card["metrics"] == {"loss": report.loss, **report.metrics}
    assert (found.card["job_id"], found.card["epoch"]) == ("job", 2)
