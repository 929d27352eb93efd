"""Jobs with a model or an algorithm of the user's own."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambdas.epochs.loop import Limits
from lambdas.initialise import check_model
from stepml import load_model
from stepml.job import keys
from stepml.job.errors import (
    ExecutorPausedError,
    InvalidCodeError,
    InvalidJobError,
    NotAvailableError,
)
from tests.support.jobs import Job
from tests.support.own_code import archive, write_code

FILES = {
    "models.py": """
import numpy as np
import stepml

class Squares(stepml.OwnLinearModel):
    convex = True
    most_curvature = 1.0

    def losses(self, z, y):
        error = z - y
        return error**2 / 2, error

class Softmax(stepml.OwnModel):
    learns = "classes"
    convex = True

    def shapes(self):
        return {"weights": (self.n_features, self.n_classes), "bias": (self.n_classes,)}

    def loss_and_gradient(self, w, X, y):
        logits = self.outputs(w, X)
        logits = logits - logits.max(axis=1, keepdims=True)
        chances = np.exp(logits)
        chances /= chances.sum(axis=1, keepdims=True)
        rows = np.arange(len(y))
        loss = -np.log(chances[rows, y]).mean()
        chances[rows, y] -= 1
        chances /= len(y)
        return loss, np.concatenate([(X.T @ chances).ravel(), chances.sum(axis=0)])

    def outputs(self, w, X):
        parts = self.parts(w)
        return X @ parts["weights"] + parts["bias"]
""",
    "algorithms.py": """
import numpy as np
import stepml

class Sgd(stepml.OwnAlgorithm):
    def __init__(self, learning_rate):
        self.learning_rate = np.float32(learning_rate)

    def step(self, task, w, X, y):
        loss, gradient = task.gradient(w, X, y)
        gradient *= self.learning_rate
        w -= gradient
        return loss

class Counting(Sgd):
    lasting = True
    averaged = ("steps",)

    def arrays(self, n_parameters):
        return {"steps": np.zeros(1, np.float32), "noise": np.zeros(n_parameters)}

    def shared(self, n_parameters):
        return {"seen": np.zeros(1)}

    def step(self, task, w, X, y):
        task.arrays["steps"][:] += 1
        task.arrays["noise"][:] = task.rng.normal(size=len(w))
        return super().step(task, w, X, y)

    def merge(self, task, mean):
        task.shared["seen"][:] += task.means["steps"]
        return mean
""",
}
SQUARES = {"name": "custom", "entry_point": "models:Squares", "convex": True}
SOFTMAX = {
    "name": "custom",
    "entry_point": "models:Softmax",
    "learns": "classes",
    "convex": True,
    "l2": 0.01,
}
SGD = {
    "name": "custom",
    "entry_point": "algorithms:Sgd",
    "options": {"learning_rate": 0.1},
    "batch_size": 20,
    "local_epochs": 2,
}
COUNTING = SGD | {"entry_point": "algorithms:Counting", "lasting": True}
AVERAGING = {
    "name": "model_averaging",
    "learning_rate": 0.1,
    "batch_size": 20,
    "local_epochs": 2,
    "momentum": 0,
    "schedule": "constant",
    "start": "zero",
}


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def own_job(job_id: str = "job", files: dict[str, str] | None = None, **fields: Any) -> Job:
    job = Job(job_id, **({"code": "s3://data/own.zip"} | fields))
    job.data.save("own.zip", archive(FILES | (files or {})))
    return job


def trained(job: Job, epochs: int = 2) -> bytes:
    job.initialised()
    for number in range(1, epochs + 1):
        job.epoch(number)
    return job.state_bits(epochs)


LINEAR = {"name": "linear_regression", "l2": 0.0, "scale_labels": False}


@pytest.mark.parametrize("algorithm", [AVERAGING, {"name": "gradient_averaging"}])
def test_own_least_squares_have_the_bits_of_linear_regression(algorithm: dict[str, Any]) -> None:
    expected = Job(model=LINEAR, algorithm=algorithm)
    assert trained(own_job(model=SQUARES, algorithm=algorithm)) == trained(expected)


def test_the_curvature_of_an_own_model_is_known_to_admm() -> None:
    own, same = own_job(model=SQUARES), Job(model=LINEAR)
    reports = []
    for job in (own, same):
        job.spec |= {"algorithm": {"name": "admm"}, "stop": {"max_epochs": 4}}
        trained(job, 3)
        reports.append(job.store.report(3).load())
    assert reports[0].objective_fall is not None
    assert reports[0].objective_fall == pytest.approx(reports[1].objective_fall, rel=0.05)
    assert reports[0].loss == pytest.approx(reports[1].loss, rel=1e-4)


def test_an_own_softmax_learns_as_that_of_stepml() -> None:
    algorithm = {"name": "admm"}
    own = own_job(model=SOFTMAX, algorithm=algorithm, stop={"max_epochs": 8})
    same = Job(
        model={"name": "softmax_regression", "l2": 0.01},
        algorithm=algorithm,
        stop={"max_epochs": 8},
    )
    for job in (own, same):
        trained(job, 8)
    mine, theirs = (job.store.state(8).load().parameters for job in (own, same))
    n_weights = mine.size - 2  # the penalty has other coefficients first, but both have biases last
    assert mine == pytest.approx(theirs, abs=0.05)
    assert n_weights == 8


def test_own_steps_have_the_bits_of_model_averaging() -> None:
    model = {"name": "logistic_regression", "l2": 0.01}
    assert trained(own_job(model=model, algorithm=SGD)) == trained(
        Job(model=model, algorithm=AVERAGING)
    )


def test_own_steps_train_a_network_with_statistics_and_random_draws() -> None:
    pytest.importorskip("torch")
    network = (
        "from torch import nn\n\n\ndef make(input_shape, n_outputs):\n    return nn.Sequential(\n"
        "        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, n_outputs))\n"
    )
    model = {"name": "neural", "entry_point": "net:make"}
    jobs = [
        own_job(files={"net.py": network}, model=model, algorithm=algorithm)
        for algorithm in (SGD, {**AVERAGING, "optimiser": "sgd"})
    ]
    assert trained(jobs[0]) == trained(jobs[1])


@pytest.mark.parametrize("algorithm", [SGD, COUNTING], ids=["plain", "with arrays"])
def test_patterns_pauses_and_resumption_do_not_change_a_bit(algorithm: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"model": SQUARES, "algorithm": algorithm, "stop": {"max_epochs": 4}}
    expected = trained(own_job(**fields), 3)
    scattered = own_job(**fields, exchange={"pattern": "reduce_scatter"})
    assert trained(scattered, 3) == expected
    paused = own_job(**fields)
    paused.initialised()
    for epoch in (1, 2, 3):
        for rank in range(3):
            pauses = execute_with_pauses(paused, epoch, rank)
            assert pauses > 1
        paused.reduce(epoch)
    assert paused.state_bits(3) == expected
    first = own_job(**fields)
    trained(first, 2)
    second = own_job(job_id="second", storage=first.storage, resume_from="job", **fields)
    second.initialised()
    second.epoch(3)
    assert second.state_bits(3) == expected


def test_code_of_another_model_does_not_resume_a_job() -> None:
    first = own_job(model=SOFTMAX, stop={"max_epochs": 4})
    trained(first, 1)
    wider = FILES["models.py"].replace('"bias": (self', '"more": (1,), "bias": (self')
    second = own_job(job_id="second", storage=first.storage, resume_from="job", model=SOFTMAX)
    second.data.save(
        "own.zip",
        archive(
            FILES
            | {"models.py": wider.replace("chances.sum(axis=0)]", "[0.0], chances.sum(axis=0)]")}
        ),
    )
    expected = r"^code: expected the 10 parameters of resume_from.job 'job', got a model with 11"
    with pytest.raises(InvalidJobError, match=expected):
        second.initialised()


def execute_with_pauses(job: Job, epoch: int, rank: int) -> int:
    """Train a rank whose functions are near their deadlines; return how often it paused."""
    for pauses in count():
        left = iter([900.0])  # at the start of the call; then its end is near
        try:
            job.execute(epoch, rank, remaining=lambda left=left: next(left, 10.0))  # type: ignore[misc]
        except ExecutorPausedError:
            continue
        return pauses
    raise AssertionError


def test_arrays_last_and_their_means_are_merged() -> None:
    job = own_job(model=SQUARES, algorithm=COUNTING)
    trained(job)
    # 180 training rows: 60 a rank, 3 batches and 2 passes; after 2 epochs 6 + 12.
    assert job.store.state(2).load().extras["shared/seen"].tolist() == [18]


def test_the_code_is_tried_before_any_row_is_read() -> None:
    job = own_job(files={"models.py": FILES["models.py"].replace("error = z - y", "error = y")})
    job.spec["model"] = SQUARES
    state = job.prepare()
    assert state.checks_model
    assert state.functions.initialise == "initialise"
    with pytest.raises(InvalidCodeError, match=r"^model.entry_point: models:Squares: models.py:9"):
        check_model("job", job.storage)


def test_a_deployment_may_refuse_code() -> None:
    job = own_job(model=SQUARES)
    job.limits = Limits(concurrency=1000, runs_own_code=False)
    with pytest.raises(NotAvailableError, match=r"^model\.entry_point: this deployment runs no co"):
        job.prepare()


def test_a_failure_in_training_names_the_line() -> None:
    text = FILES["algorithms.py"].replace(
        "loss, gradient =", "assert len(y) != 20\n        loss, gradient ="
    )
    job = own_job(files={"algorithms.py": text}, model=SQUARES, algorithm=SGD)
    job.initialised()
    expected = r"^algorithm.entry_point: algorithms:Sgd: algorithms.py:10: AssertionError$"
    with pytest.raises(InvalidCodeError, match=expected):
        job.execute(1, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": SQUARES, "code": None}, "code: model.entry_point names code of your own; expe"),
        ({"algorithm": SGD, "code": None}, "code: algorithm.entry_point names code of your own"),
        ({}, "code: has no effect without model.entry_point or algorithm.entry_point"),
        ({"algorithm": SGD, "model": {"name": "logistic_regression", "l1": 0.1}}, "model.l1: has"),
        ({"algorithm": SGD, "exchange": {"pattern": "async"}}, "exchange.pattern: with algorithm"),
        ({"model": {**SQUARES, "convex": False}, "algorithm": {"name": "admm"}}, "algorithm.name"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidJobError, match=message):
        own_job(**fields).prepare()


def test_a_trained_model_predicts_with_its_code_alone(tmp_path: Path) -> None:
    for name, model in (("squares", SQUARES), ("softmax", SOFTMAX)):
        job = own_job(model=model)
        trained(job)
        report = job.finalise(2)
        directory = tmp_path / name
        directory.mkdir()
        for key in (keys.model("job"), keys.model_card("job")):
            (directory / Path(key).name).write_bytes(job.storage.load(key))
        assert "accuracy" in report.metrics or report.metrics["rmse"] < 1
    write_code(tmp_path / "code", FILES)
    rows = np.array([[3.0, 2.0, 3.0, 3.0], [5.0, 1.0, 4.0, 2.0]])
    without = load_model(tmp_path / "squares")
    with pytest.raises(InvalidCodeError, match=r"runs only if you name it: .*code=PATH"):
        without.predict(rows)
    squares = load_model(tmp_path / "squares", code=tmp_path / "code")
    assert squares.predict(rows) == pytest.approx(
        rows @ without.coef_ + without.intercept_, rel=1e-4
    )
    softmax = load_model(tmp_path / "softmax", code=tmp_path / "code")
    assert softmax.classes_.tolist() == [0, 1]
    assert softmax.decision_function(rows).shape == (2,)
    assert set(softmax.predict(rows)) <= {0, 1}
    other = (
        FILES["models.py"]
        .replace('"bias": (self', '"offset": (self')
        .replace('["bias"]', '["offset"]')
    )
    write_code(tmp_path / "code", {"models.py": other})
    with pytest.raises(InvalidCodeError, match="expected the parameters of the trained model"):
        load_model(tmp_path / "softmax", code=tmp_path / "code")


def test_rows_have_weights_in_linear_models() -> None:
    weight: dict[str, Any] = {"data": {"uri": "s3://data/rows.csv", "format": "csv", "weight": 0}}
    own, same = own_job(model=SQUARES, **weight), Job(model=LINEAR, **weight)
    for job in (own, same):
        rows = job.data.load("rows.csv")
        job.data.save("rows.csv", bytes(rows).replace(b"\n-", b"\n").removeprefix(b"-"))
    assert trained(own) == trained(same)
    general = own_job(model=SOFTMAX, **weight)
    general.prepare()
    with pytest.raises(InvalidJobError, match=r"^data.weight: of models of your own, only those"):
        check_model("job", general.storage)


def test_an_own_algorithm_is_tried_on_rows_with_weights_if_the_job_has_them() -> None:
    weight: dict[str, Any] = {"data": {"uri": "s3://data/rows.csv", "format": "csv", "weight": 0}}
    model = {"name": "logistic_regression", "l2": 0.01}

    def check(use: str) -> None:
        text = FILES["algorithms.py"].replace("loss, gr", f"{use}\n        loss, gr", 1)
        job = own_job(files={"algorithms.py": text}, model=model, algorithm=SGD, **weight)
        job.prepare()
        check_model("job", job.storage)

    check('assert y["weight"].shape == y["target"].shape')
    with pytest.raises(InvalidCodeError, match=r"algorithms:Sgd: algorithms.py:10: \w*Error"):
        check("np.sum(y)")
