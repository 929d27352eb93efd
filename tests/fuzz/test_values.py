"""Damaged values of the product's own: an error that names them, or the very value."""

from __future__ import annotations

import json
from pathlib import PurePath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comm.wire import Message, decode, encode
from stepml.client.job_sources import job_in_format, job_json
from stepml.job import documents
from stepml.job.errors import DamagedValueError, InvalidJobError
from stepml.job.parse import parse_job
from stepml.job.reports import Fence
from stepml.job.spec import JobSpec
from stepml.ml.artifact import Artifact, ArtifactError
from stepml.ml.data import arrays
from tests.fuzz.mutations import fuzzed, mutated
from tests.support.artifacts import MODELS, example

VECTOR = np.arange(20, dtype=np.float32)
MESSAGE = Message(VECTOR, np.array([1.5, 2.0]))
FENCE = Fence(until="2026-01-02T03:04:05Z", status="FAILED", execution="run")
JOB = {
    "data": {"uri": "s3://bucket/rows.csv", "format": "csv", "label": "y"},
    "workers": 4,
    "model": {"name": "logistic_regression", "l2": 0.1},
    "algorithm": {"name": "gradient_averaging", "batch_size": 100, "learning_rate": 0.1},
    "exchange": {"channel": "redis", "pattern": "reduce_scatter"},
    "stop": {"max_epochs": 10},
}


@fuzzed
@given(data=mutated([bytes(encode(MESSAGE)), bytes(encode(MESSAGE, "float16"))]))
def test_a_damaged_message_is_refused_or_whole(data: bytes) -> None:
    try:
        found = decode(data, "key")
    except DamagedValueError as error:
        assert "key" in str(error)
    else:
        assert found.vector.tobytes() == VECTOR.tobytes()
        assert found.trailer.tobytes() == MESSAGE.trailer.tobytes()


JOB_FILES = [
    (job_in_format(JOB, PurePath(name)).encode(), name) for name in ("x.json", "x.yaml", "x.toml")
]


@pytest.mark.parametrize(("content", "name"), JOB_FILES, ids=lambda each: str(each)[-9:])
def test_a_damaged_job_in_any_format_is_refused_or_a_job(content: bytes, name: str) -> None:
    @fuzzed
    @given(data=mutated([content]))
    def damage(data: bytes) -> None:
        try:
            parse_job(job_json(data, name))
        except InvalidJobError as error:
            assert "\n" not in str(error)

    damage()


def is_sealed(data: bytes) -> bool:
    """Return whether a container has a checksum; those of other programs have none."""
    return "checksum" in arrays.header(data).metadata


@fuzzed
@given(data=mutated([bytes(arrays.pack({"a": VECTOR, "b": MESSAGE.trailer}, {"epoch": "1"}))]))
def test_a_damaged_container_is_refused_or_whole(data: bytes) -> None:
    try:
        found, _ = arrays.unpack(data)
    except DamagedValueError:
        return
    assert found["a"].tobytes() == VECTOR.tobytes() or not is_sealed(data)


@fuzzed
@given(data=mutated([documents.encode(FENCE)]))
def test_a_damaged_document_is_refused_or_whole(data: bytes) -> None:
    try:
        found = documents.decode(data, Fence, "key")
    except DamagedValueError as error:
        assert "key" in str(error)
    else:
        assert found == FENCE


@pytest.mark.parametrize("kind", MODELS)
@fuzzed
@given(data=st.data())
def test_a_damaged_model_is_refused_or_whole(kind: str, data: st.DataObject) -> None:
    artifact = example(kind, prepared="dense").artifact
    packed, card = artifact.pack()
    try:
        found = Artifact.unpack(data.draw(mutated([packed])), data.draw(mutated([card])))
    except ArtifactError as error:
        assert str(error)
    else:
        assert found.parameters.tobytes() == artifact.parameters.tobytes()


@fuzzed
@given(data=mutated([json.dumps(JOB).encode(), json.dumps(JOB, indent=2).encode()]))
def test_a_damaged_job_is_refused_or_read(data: bytes) -> None:
    try:
        assert isinstance(parse_job(data), JobSpec)
    except InvalidJobError as error:
        str(error).encode()
