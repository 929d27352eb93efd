"""The job of `make run`: as good as scikit-learn on the same split."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from stepml import datasets
from stepml.job import data_keys, keys
from stepml.ml.data import Scale, unpack_shard
from stepml.records.errors import DatasetUnavailableError
from tests.support.local_stack import LocalStack
from tests.support.paths import ROOT

EXAMPLE = ROOT / "examples" / "covertype_logistic.json"


@pytest.fixture(scope="module")
def covertype_job(local_stack: LocalStack) -> dict[str, Any]:
    try:
        path = datasets.get(datasets.COVERTYPE)
    except DatasetUnavailableError as error:
        pytest.skip(f"Covertype cannot be fetched: {error}")
    job: dict[str, Any] = json.loads(EXAMPLE.read_text())
    local_stack.aws.client("s3").upload_file(str(path), local_stack.bucket, job["data"]["uri"])
    return job


@pytest.mark.timeout(300)
def test_covertype_comes_within_a_few_thousandths_of_scikit_learn(
    local_stack: LocalStack, covertype_job: dict[str, Any]
) -> None:
    ended = local_stack.run(covertype_job, "covertype")
    assert ended["status"] == "SUCCEEDED", ended
    report = ended["report"]
    digest = report["dataset"]["digest"]
    validation, *shards = (
        unpack_shard(local_stack.read(data_keys.shard(digest, 4, 0.1, "dense", rank)))
        for rank in (keys.VALIDATION, 0, 1, 2, 3)
    )
    assert report["dataset"]["training_rows"] == sum(len(shard.y) for shard in shards)
    scale = Scale.unpack(local_stack.read(keys.scale("covertype")))
    X = np.concatenate([shard.X for shard in shards])
    assert scale.mean == pytest.approx(X.mean(axis=0, dtype=np.float64), rel=1e-5)
    y = np.concatenate([shard.y for shard in shards]) == 2
    reference = LogisticRegression(max_iter=200).fit((X - scale.mean) / scale.scale, y)
    probabilities = reference.predict_proba((validation.X - scale.mean) / scale.scale)
    truth = (validation.y == 2).astype(int)
    loss = -np.log(probabilities[np.arange(len(truth)), truth]).mean()
    assert report["epochs"] <= 10
    assert report["loss"] == pytest.approx(loss, rel=0.003)
    assert report["metrics"]["accuracy"] >= 0.755


@pytest.mark.timeout(300)
def test_covertype_gives_the_same_bits_twice_and_with_other_ranges(
    local_stack: LocalStack, covertype_job: dict[str, Any]
) -> None:
    # Without a multipart upload, the object has another ETag, so its rows are partitioned again.
    content = local_stack.read("data/covertype.csv")
    again = local_stack.upload("data/again/covertype.csv", content)
    digests, models = set(), set()
    for name, change in (
        ("bits-1", {}),
        ("bits-2", {"ranges": 11, "uri": again}),
    ):
        job = covertype_job | {"data": covertype_job["data"] | change, "stop": {"max_epochs": 2}}
        digests.add(local_stack.run(job, name)["report"]["dataset"]["digest"])
        models.add(local_stack.read(keys.model(name)))
    assert (len(digests), len(models)) == (2, 1)
