"""Jobs on rows with weights: every algorithm gives the model of repeated rows."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lambdas.job_store.samples import load_sample
from lambdas.job_store.shards import load_shard
from stepml.job import keys
from stepml.job.errors import InvalidJobError, NotEnoughDataError
from stepml.job.reports import JobReport
from stepml.ml.artifact import Artifact
from stepml.ml.matrices import dense
from stepml.trained_model import TrainedModel
from tests.support.jobs import Job, contents

N = 240
RNG = np.random.default_rng(3)
X = RNG.normal(3, 2, size=(N, 3))
SCORES = X @ [1, -1, 0.5] - 1.5 + RNG.normal(size=N)
TIMES = RNG.integers(0, 3, N)
LABELS = {"two": (SCORES > 0).astype(int), "numbers": SCORES.round(3)}
LABELS["three"] = np.digitize(SCORES, [-1.5, 1.5])


def csv(labels: str, *, repeated: bool, scale: float = 0.25) -> bytes:
    """Return rows with weights, or each row as often as it counts; none is held out."""
    rows = np.repeat(np.arange(N), TIMES if repeated else 1)
    lines = (
        [*map("{:.4f}".format, X[n]), f"{scale * TIMES[n]:.2f}", str(LABELS[labels][n])]
        for n in rows
    )
    return "\n".join(["a,b,c,w,y", *map(",".join, lines), ""]).encode()


def job(labels: str, *, repeated: bool = False, workers: int = 3, **fields: Any) -> Job:
    data = {"uri": "s3://data/rows.csv", "format": "csv", "validation_fraction": 0}
    data |= {"columns": {"drop": ["w"]}} if repeated else {"weight": "w"}
    data |= fields.pop("data", {})
    found = Job(**{"data": data, "workers": workers, "chooses": True, **fields})
    found.data.save("rows.csv", csv(labels, repeated=repeated))
    return found


def trained(begun: Job, most: int = 40) -> JobReport:
    begun.initialised()
    for epoch in range(1, most + 1):
        if begun.epoch(epoch).decision != "continue":
            break
    return begun.finalise(epoch)


EXACT: list[tuple[str, dict[str, Any]]] = [
    ("two", {"model": {"name": "logistic_regression", "l2": 0.01}, "algorithm": {"name": "admm"}}),
    ("three", {"model": {"name": "softmax_regression", "l2": 0.01}, "algorithm": {"name": "admm"}}),
    (
        "two",
        {
            "model": {"name": "svm", "loss": "squared_hinge", "l2": 0.01},
            "algorithm": {"name": "admm"},
        },
    ),
    (
        "numbers",
        {"model": {"name": "linear_regression", "l2": 0.1}, "algorithm": {"name": "least_squares"}},
    ),
    (
        "numbers",
        {
            "model": {"name": "linear_regression", "l1": 0.1},
            "algorithm": {"name": "least_squares"},
            "data": {"scale": "min_max"},
        },
    ),
]


@pytest.mark.parametrize(("labels", "fields"), EXACT, ids=str)
def test_a_job_learns_what_it_learns_from_repeated_rows(
    labels: str, fields: dict[str, Any]
) -> None:
    """Also with standardised features, a penalty, and the chosen first parameters."""
    by_weight, by_rows = (
        trained(job(labels, repeated=each, stop={"max_epochs": 40}, **fields))
        for each in (False, True)
    )
    # Exact algorithms end at the minimum; others within its tolerance.
    assert by_weight.loss == pytest.approx(by_rows.loss, rel=1e-3)
    assert by_weight.metrics.keys() == by_rows.metrics.keys()
    for name, value in by_rows.metrics.items():
        assert by_weight.metrics[name] == pytest.approx(value, abs=0.02), name
    assert by_weight.dataset.training_rows == N


@pytest.mark.parametrize("name", ["model_averaging", "gradient_averaging"])
def test_descent_ends_at_the_minimum_of_weighted_rows(name: str) -> None:
    model = {"name": "logistic_regression", "l2": 0.01}
    best = trained(job("two", model=model, algorithm={"name": "admm"}, stop={"max_epochs": 40}))
    found = trained(job("two", model=model, algorithm={"name": name}, stop={"max_epochs": 15}))
    assert found.loss == pytest.approx(best.loss, rel=0.01)
    assert found.history[-1].training_loss == pytest.approx(found.loss, rel=0.05)


def test_neither_ranges_nor_channels_nor_patterns_change_a_bit() -> None:
    found = []
    for ranges, exchange in (
        (1, {}),
        (3, {}),
        (2, {"pattern": "reduce_scatter"}),
    ):
        begun = job("two", data={"ranges": ranges}, algorithm={"name": "admm"}, exchange=exchange)
        begun.initialised()
        begun.epoch(1)
        found.append(begun.state_bits(1))
    assert found[1:] == found[:1] * 2


def test_the_size_of_weights_is_arbitrary() -> None:
    states = []
    for scale in (0.25, 4.0):
        begun = job("two", algorithm={"name": "gradient_averaging"})
        begun.data.save("rows.csv", csv("two", repeated=False, scale=scale))
        begun.initialised()
        begun.epoch(1)
        states.append(begun.store.state(1).load().parameters)
    np.testing.assert_allclose(states[0], states[1], rtol=1e-5)


def test_weights_have_a_mean_of_1_over_the_training_rows() -> None:
    begun = job("two", data={"validation_fraction": 0.2})
    begun.initialised()
    plan = begun.training_plan()
    shards = [load_shard(begun.store, plan, rank) for rank in (keys.VALIDATION, 0, 1, 2)]
    weights = np.concatenate([shard.weights for shard in shards[1:] if shard.weights is not None])
    assert weights.mean(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert shards[0].weights is not None
    sample = load_sample(begun.store, plan)
    assert len(dense(sample)) == np.count_nonzero(weights)


def test_clusters_of_weighted_rows() -> None:
    reports = [
        trained(
            job(
                "two",
                repeated=repeated,
                model={"name": "kmeans", "n_clusters": 2},
                algorithm=None,
                stop={"max_epochs": 40},
            )
        )
        for repeated in (False, True)
    ]
    assert reports[0].loss == pytest.approx(reports[1].loss, rel=0.02)


def test_a_network_learns_weighted_rows() -> None:
    pytest.importorskip("torch")
    begun = job(
        "three",
        model={"name": "neural", "network": {"name": "mlp", "hidden": [8]}},
        algorithm={"name": "gradient_averaging", "learning_rate": 0.05, "optimiser": "adam"},
        data={"validation_fraction": 0.2},
        stop={"max_epochs": 3},
    )
    report = trained(begun, 3)
    plan = begun.training_plan()
    held_out = load_shard(begun.store, plan, keys.VALIDATION)
    assert sum(map(sum, report.confusion_matrix)) == len(held_out.y)  # they count rows
    assert report.history[-1].loss < report.history[0].loss


def test_all_weights_0_are_refused() -> None:
    begun = job("two")
    begun.data.save("rows.csv", csv("two", repeated=False, scale=0))
    begun.partitioned()
    begun.assemble()
    with pytest.raises(NotEnoughDataError, match="training row, got 0 for all 240"):
        begun.initialise()
    assert keys.state("job", 0) not in contents(begun.storage)
    begun = job("two", data={"validation": {"column": "v"}, "label": "y"})
    begun.spec["data"].pop("validation_fraction")
    header, *lines = csv("two", repeated=False).decode().split()
    cells = [line.split(",") for line in lines]
    cells = [
        [*each[:3], "0" if n < 19 else "2", each[4], str(int(n < 19))]
        for n, each in enumerate(cells)
    ]
    text = "\n".join([f"{header},v", *map(",".join, cells), ""])
    begun.data.save("rows.csv", text.encode())
    begun.partitioned()
    begun.assemble()
    with pytest.raises(NotEnoughDataError, match="validation row, got 0 for all 19"):
        begun.initialise()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"format": "libsvm"},
            "data.weight: requires data.format csv, tsv, parquet or npz",
        ),
        ({"format": "npz", "weight": 3}, "expected the name of an array, got 3"),
        ({"header": False}, "a column name needs a header"),
    ],
)
def test_weights_that_cannot_be_read_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidJobError, match=message):
        job("two", data=data).prepare()


@pytest.mark.filterwarnings("error")
def test_a_model_takes_frames_that_still_have_the_column() -> None:
    begun = job("two", stop={"max_epochs": 1}, algorithm={"name": "admm"})
    trained(begun, 1)
    files = (begun.storage.load(key) for key in (keys.model("job"), keys.model_card("job")))
    model = TrainedModel(Artifact.unpack(*files))
    frame = pd.read_csv(io.BytesIO(csv("two", repeated=False)))
    assert np.array_equal(model.predict(frame), model.predict(frame[["a", "b", "c"]]))
