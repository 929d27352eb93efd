"""Jobs on features that float32 is too coarse for learn as well as on the same features near 0."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import numpy as np
import pytest

from lambdas.job_store.plans import TrainingPlan
from lambdas.job_store.shards import ShardCache, load_shard
from stepml.job import keys
from stepml.ml.artifact import Artifact
from stepml.trained_model import TrainedModel
from tests.support.jobs import Job

N_ROWS = 240
SECONDS = np.random.default_rng(5).integers(0, 600, N_ROWS)
LABELS = (SECONDS > 300).astype(int)


def finished(times: Any, *, standardise: bool = True, **spec: Any) -> Job:
    data = {"uri": "s3://data/rows.npz", "format": "npz", "standardise": standardise}
    job = Job(data=data, **spec)
    file = io.BytesIO()
    np.savez(file, X=rows_of(times), y=LABELS)
    job.data.save("rows.npz", file.getvalue())
    job.initialised()
    for epoch in (1, 2):
        job.epoch(epoch)
    return job


def rows_of(times: Any) -> Any:
    return np.ascontiguousarray(np.stack([times, np.arange(N_ROWS) % 7], axis=1), np.float64)


def model_of(job: Job) -> TrainedModel:
    job.finalise(2)
    stored = [job.storage.load(key) for key in (keys.model("job"), keys.model_card("job"))]
    return TrainedModel(Artifact.unpack(*stored))


ORIGINS = {"milliseconds": (1.7e12, 1000), "seconds": (1.7e9, 1), "Julian days": (2.46e6, 1e-6)}


@pytest.mark.parametrize("unit", ORIGINS)
@pytest.mark.parametrize(
    "algorithm",
    [{"name": "model_averaging", "batch_size": 20}, {"name": "admm"}],
    ids=["model_averaging", "admm"],
)
def test_moved_and_stretched_features_give_the_same_model(unit: str, algorithm: Any) -> None:
    origin, step = ORIGINS[unit]
    moved = origin + SECONDS * step
    job, near = (finished(times, algorithm=algorithm) for times in (moved, SECONDS))

    states = [each.store.state(2).load().parameters for each in (job, near)]
    model = model_of(job)

    assert np.allclose(*states, rtol=1e-2, atol=1e-3)
    assert model.fine_features == [0]
    right = model_of(near).decision_function(rows_of(SECONDS))
    assert np.allclose(model.decision_function(rows_of(moved)), right, rtol=1e-2, atol=1e-2)


def test_the_first_centroids_are_those_of_features_near_0() -> None:
    kmeans = {
        "model": {"name": "kmeans", "n_clusters": 3},
        "algorithm": {"name": "expectation_maximisation"},
    }

    states = [
        [job.store.state(epoch).load().parameters for epoch in (0, 2)]
        for job in (finished(times, **kmeans) for times in (1.7e12 + SECONDS, SECONDS))
    ]

    assert np.allclose(*states, rtol=1e-3, atol=1e-4)


def test_rows_that_are_not_standardised_are_warned_about() -> None:
    job = finished(1.7e12 + SECONDS, standardise=False)

    (warning,) = [w for w in job.finalise(2).warnings if w.code == "features_rounded"]

    assert warning.text.startswith("feature 0 has values close together and far from 0, ")
    assert "set data.standardise" in warning.text


@pytest.mark.parametrize("times", [(1.7e12 + SECONDS), SECONDS, np.full(N_ROWS, 1.7e9 + 1)])
def test_other_rows_are_not(times: Any) -> None:
    standardise = bool(times[0] > 1e12)
    job = finished(times, standardise=standardise)

    assert "features_rounded" not in [each.code for each in job.finalise(2).warnings]


def test_a_fine_feature_may_be_missing_from_whole_ranges() -> None:
    job = Job(
        data={
            "uri": "s3://data/rows.csv",
            "format": "csv",
            "missing": "mean",
            "header": False,
            "ranges": 2,
        }
    )
    times = [f"{1.7e12 + second:.0f}" if row < 120 else "" for row, second in enumerate(SECONDS)]
    rows = enumerate(zip(times, LABELS, strict=True))
    job.data.save("rows.csv", "".join(f"{t},{i % 7},{y}\n" for i, (t, y) in rows).encode())

    job.initialised()
    job.epoch(1)

    ((low, high),) = job.store.data_set(job.partition_plan().digest).load_manifest().fine_ends
    assert (low, high) == (1.7e12 + SECONDS[:120].min(), 1.7e12 + SECONDS[:120].max())


def test_room_is_made_for_remainders() -> None:
    job = finished(1.7e12 + SECONDS)
    plan = job.store.training_plan.load()
    shard = load_shard(job.store, plan, 0)
    packed = memoryview(shard.packed or b"").nbytes
    cache = ShardCache(2 * packed - 1)

    for name in ("first", "second"):
        cache.put(name, shard)

    assert plan.n_fine == 1
    assert 0 <= packed - plan.rows(0) * plan.stored_row_bytes < 1000  # the container's header
    assert cache.value_bytes == packed
    assert cache.get("first") is None


def test_plans_of_earlier_versions_have_no_fine_features() -> None:
    plan = finished(1.7e12 + SECONDS).store.training_plan.load()
    earlier = msgspec.json.decode(msgspec.json.encode(plan))
    del earlier["n_fine"]

    assert msgspec.convert(earlier, TrainingPlan).stored_row_bytes == plan.row_bytes


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize(("origin", "is_warned_about"), [(1.7e9, True), (0.0, False), (1e6, False)])
def test_features_that_the_first_rows_lack_are_warned_about(
    origin: float, is_warned_about: bool, standardise: bool
) -> None:
    data = {"uri": "s3://data/rows.csv", "format": "csv", "missing": "mean", "header": False}
    job = Job(data=data | {"standardise": standardise})
    rows = (
        f"{'' if row < 20_000 else origin + row % 600},{row % 7},{1e9 + 1:.0f},{row % 2}\n"
        for row in range(20_240)
    )
    job.data.save("rows.csv", "".join(rows).encode())
    job.initialised()

    warnings = job.store.training_plan.load().about.warnings

    texts = [each.text for each in warnings if each.code == "features_rounded"]
    assert [text.startswith("column 1 has values close") for text in texts] == (
        [True] if is_warned_about else []
    )


@pytest.mark.parametrize("standardise", [True, False])
def test_missing_values_of_several_fine_features_are_filled_in(standardise: bool) -> None:
    data = {"uri": "s3://data/rows.csv", "format": "csv", "missing": "mean", "header": False}
    job = Job(data=data | {"standardise": standardise})
    rows = (
        f"{'' if row % 9 == 0 else 1_700_000_000 + row},{2_460_000.5 + row / 1000},{row % 7},{y}\n"
        for row, y in enumerate(LABELS)
    )
    job.data.save("rows.csv", "".join(rows).encode())
    job.initialised()
    job.epoch(1)
    plan = job.store.training_plan.load()
    shard = load_shard(job.store, plan, 0)

    assert plan.n_fine == 2
    assert np.isfinite(shard.X).all()
    means = [0, 0, 0] if standardise else [1.7e9 + 120, 2_460_000.6, 3]
    assert np.allclose(shard.X.mean(axis=0, dtype=np.float64), means, rtol=1e-6, atol=0.5)
