"""Fields that a job leaves open are chosen once: written out, the values give the same bits."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from lambdas.environment import Deadline
from lambdas.epochs import epochs_of
from lambdas.initialise import initialise
from lambdas.job_store.results import trained_model
from lambdas.plan_shards import plan_shards
from stepml.job.errors import InvalidJobError, ModelTooLargeError
from stepml.job.spec_base import open_fields_of
from stepml.ml.models.base import Floats
from tests.support.jobs import Job, JobStore

OPEN: dict[str, Any] = {
    "data": {"uri": "s3://data/rows.csv", "format": "csv"},
    "stop": {},
    "chooses": True,
}
SEVERAL = {"max_epochs": 3}  # small data have one epoch, if nobody asks for more
ALGORITHMS = ["gradient_averaging", "model_averaging", "admm", None]


def open_job(algorithm: str | None, **fields: Any) -> Job:
    """Return a job that leaves everything open but its algorithm's name, if that is given."""
    name = None if algorithm is None else {"name": algorithm}
    return Job(**OPEN | {"algorithm": name} | fields)


def trained(job: Job, epochs: int) -> Floats:
    """Return the parameters after the first epochs."""
    job.initialised()
    for number in range(1, epochs + 1):
        job.epoch(number)
    return JobStore(job.storage, job.job_id).state(epochs).load().parameters


def chosen(job: Job) -> dict[str, Any]:
    """Return the job with all values written out."""
    plan = JobStore(job.storage, job.job_id).training_plan.load()
    spec: dict[str, Any] = msgspec.to_builtins(plan.spec)
    return spec


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_values_written_out_give_the_same_bits(algorithm: str | None) -> None:
    first = open_job(algorithm)
    bits = trained(first, 2)
    again = Job(chooses=True, **chosen(first))
    np.testing.assert_array_equal(trained(again, 2), bits)
    assert chosen(again) == chosen(first)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_plan_leaves_nothing_open(algorithm: str | None) -> None:
    job = open_job(algorithm)
    job.initialised()
    plan = JobStore(job.storage, job.job_id).training_plan.load()
    spec = plan.spec
    assert spec.algorithm is not None
    for group in (spec, spec.data, spec.model, spec.stop):
        assert list(open_fields_of(group)) == []
    if spec.algorithm.rehearsed(spec.model) is not None:
        assert list(open_fields_of(spec.algorithm)) == []
    asked = {"algorithm.name"} if algorithm is None else set()
    assert {"data.standardise", "stop.max_epochs"} | asked <= set(plan.about.choices)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_training_starts_at_the_minimum_of_small_data(algorithm: str | None) -> None:
    job = open_job(algorithm)
    first = trained(job, 1)
    plan = job.training_plan()
    begin = job.store.state(0).load().parameters
    assert np.linalg.norm(first - begin) < 0.05 * np.linalg.norm(begin)
    report = job.store.report(1).load()
    assert plan.first_loss == pytest.approx(np.log(2))  # of the untrained model
    assert report.loss < 0.5 * plan.first_loss


def test_a_given_value_is_no_choice() -> None:
    job = open_job("model_averaging", stop={"max_epochs": 3})
    job.spec["algorithm"]["learning_rate"] = 0.25
    job.initialised()
    plan = JobStore(job.storage, job.job_id).training_plan.load()
    assert (plan.spec.stop.max_epochs, chosen(job)["algorithm"]["learning_rate"]) == (3, 0.25)
    assert {"stop.max_epochs", "algorithm.learning_rate"}.isdisjoint(plan.about.choices)


@pytest.mark.parametrize(
    ("algorithm", "idle", "has_effect"),
    [
        ({"name": "least_squares"}, {"model.scale_labels", "stop.max_epochs"}, "data.standardise"),
        (
            {"name": "model_averaging", "optimiser": "adam"},
            {"algorithm.momentum"},
            "algorithm.schedule",
        ),
    ],
)
def test_a_value_without_effect_is_not_said_to_be_chosen(
    algorithm: dict[str, Any], idle: set[str], has_effect: str
) -> None:
    job = Job(**OPEN | {"algorithm": algorithm, "model": {"name": "linear_regression"}})
    job.initialised()
    choices = job.store.training_plan.load().about.choices
    assert idle.isdisjoint(choices)
    assert has_effect in choices


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_resumed_job_takes_the_values_and_comes_to_the_same_bits(algorithm: str | None) -> None:
    first = open_job(algorithm, stop={"max_epochs": 5})
    bits = trained(first, 4)
    # By itself it would choose others.
    values = chosen(first)
    next_job = Job("next", first.storage, **OPEN | {"algorithm": None, "stop": {"max_epochs": 5}})
    next_job.spec["exchange"] = {"channel": "s3"}
    next_job.spec["resume_from"] = {"job": "job", "epoch": 2}
    if algorithm == "admm":  # its states of ranks are those of the last epoch
        next_job.spec["resume_from"]["epoch"] = 4
        values["stop"]["max_epochs"] += 1
        next_job.spec["stop"] = values["stop"]
    next_job.initialised()
    assert {**chosen(next_job), "resume_from": None} == values
    if algorithm != "admm":
        next_job.epoch(3)
        next_job.epoch(4)
        state = JobStore(first.storage, "next").state(4).load()
        np.testing.assert_array_equal(state.parameters, bits)


def resumed_by(workers: int, first: Job, **algorithm: Any) -> Job:
    """Return a job that resumes ``first`` after an epoch, with another number of workers."""
    fields = OPEN | {"algorithm": {"name": first.spec["algorithm"]["name"]} | algorithm}
    job = Job(f"by-{workers}", first.storage, workers=workers, **fields | {"stop": SEVERAL})
    job.spec["resume_from"] = {"job": first.job_id, "epoch": 1}
    job.initialised()
    job.epoch(2)
    return job


@pytest.mark.parametrize("algorithm", ["gradient_averaging", "model_averaging"])
def test_other_workers_share_the_batch_of_a_resumed_job(algorithm: str) -> None:
    """The number of workers changes the work of a rank, but not the path."""
    first = open_job(algorithm, workers=2, stop=SEVERAL)
    trained(first, 1)
    rows = chosen(first)["algorithm"]["batch_size"]
    one, six = resumed_by(1, first), resumed_by(6, first)
    least = min(rows, 8) if algorithm == "model_averaging" else 1
    assert chosen(one)["algorithm"]["batch_size"] == 2 * rows
    assert chosen(six)["algorithm"]["batch_size"] == max(-(-rows // 3), least)
    for job in (one, six):
        plan = job.training_plan()
        values = chosen(job)["algorithm"]
        expected = {**chosen(first)["algorithm"], "batch_size": values["batch_size"]}
        assert values == expected
        assert plan.about.choices["algorithm.batch_size"] == values["batch_size"]
        batch = f"a batch has {values['batch_size'] * plan.spec.workers} rows"
        [note] = [note for note in plan.about.notes if note.startswith("a batch has")]
        assert note.startswith(batch)
        assert note.endswith(f"it had {2 * rows}, {rows} of each of 2")
    again = resumed_by(2, six)  # its own batch is the measure now
    assert chosen(again)["algorithm"]["batch_size"] == 3 * chosen(six)["algorithm"]["batch_size"]


def test_a_batch_that_the_job_names_is_that_of_a_rank() -> None:
    first = open_job("gradient_averaging", workers=2, stop=SEVERAL)
    first.spec["algorithm"]["batch_size"] = 10
    trained(first, 1)
    job = resumed_by(3, first, batch_size=10)
    assert chosen(job)["algorithm"]["batch_size"] == 10
    note = "a batch has 30 rows, 10 of each of 3 ranks; in the job that this one resumes, it had 20"
    assert any(each.startswith(note) for each in job.training_plan().about.notes)


def test_the_same_workers_are_told_nothing_about_batches() -> None:
    first = open_job("gradient_averaging", workers=2, stop=SEVERAL)
    trained(first, 1)
    again = resumed_by(2, first)
    assert chosen(again)["algorithm"] == chosen(first)["algorithm"]
    assert not any(note.startswith("a batch") for note in again.training_plan().about.notes)


def test_a_value_other_than_the_chosen_one_cannot_be_resumed() -> None:
    first = open_job("model_averaging")
    trained(first, 1)
    other = Job("next", first.storage, **OPEN | {"algorithm": first.spec["algorithm"]})
    other.spec["algorithm"] = {"name": "model_averaging", "learning_rate": 0.123}
    other.spec["resume_from"] = "job"
    with pytest.raises(InvalidJobError, match=r"algorithm\.learning_rate: expected that of"):
        other.prepare("arn:2")


def test_epochs_that_were_chosen_do_not_grow_by_resuming() -> None:
    first = open_job("model_averaging")
    first.initialised()
    most = chosen(first)["stop"]["max_epochs"]
    for number in range(1, most + 1):
        first.epoch(number)
    other = Job("next", first.storage, **OPEN | {"algorithm": None})
    other.spec["resume_from"] = "job"
    with pytest.raises(InvalidJobError, match=rf"stop.max_epochs: expected more than the {most}"):
        other.prepare("arn:2")


def test_jobs_with_the_defaults_of_earlier_versions_can_be_resumed() -> None:
    first = Job(algorithm={"name": "model_averaging"})  # their plans had every value
    trained(first, 1)
    again = Job("next", first.storage, **OPEN | {"algorithm": None, "stop": {"max_epochs": 4}})
    again.spec["resume_from"] = "job"
    again.initialised()
    assert chosen(again)["algorithm"] == chosen(first)["algorithm"]
    assert chosen(again)["algorithm"]["learning_rate"] == 0.1


LONG = Deadline(lambda: 900.0)
LIBSVM = {"uri": "s3://data/rows.libsvm", "format": "libsvm"}  # its width is not known before


def wide_job(**fields: Any) -> Job:
    """Return a job with 41 parameters."""
    job = open_job(None, data=LIBSVM, **fields)
    rows = (f"{n % 2} {1 + n % 39}:{n % 5}.5 40:{n % 3}" for n in range(120))
    job.data.save("rows.libsvm", "".join(f"{row}\n" for row in rows).encode())
    return job


def test_an_algorithm_without_room_for_the_model_is_not_chosen() -> None:
    """The number of features is known after the job is prepared."""
    bits = []
    for most in (2**30, 288 * 40):  # ADMM needs 288 bytes a parameter
        job = wide_job()
        state = job.partitioned()
        plan_shards("job", job.storage, most_model_bytes=most)
        job.assemble()
        plan = initialise("job", job.storage, LONG, most_model_bytes=most)
        assert state.chunks == epochs_of(plan.spec).chunks
        job.epoch(1)
        bits.append(job.state_bits(1))
    written = Job(chooses=True, **chosen(job))
    written.data = job.data
    assert (plan.about.choices["algorithm.name"], written.spec["algorithm"]["name"]) == (
        ("model_averaging",) * 2
    )
    [note] = [note for note in plan.about.notes if "41 parameters" in note]
    assert note.startswith("algorithm model_averaging, as functions have no room for admm")
    trained(written, 1)
    assert written.state_bits(1) == bits[1] != bits[0]
    resumed = wide_job()
    fields = OPEN | {"data": LIBSVM, "algorithm": None, "stop": SEVERAL}
    again = Job("next", job.storage, **fields)
    again.data, again.spec["resume_from"] = resumed.data, "job"
    again.initialised()
    assert chosen(again)["algorithm"] == chosen(job)["algorithm"]


def test_an_algorithm_without_room_that_the_job_names_is_refused() -> None:
    job = wide_job()
    job.spec["algorithm"] = {"name": "admm"}
    job.partitioned()
    with pytest.raises(ModelTooLargeError, match="'admm' a function has room for 40"):
        plan_shards("job", job.storage, most_model_bytes=288 * 40)


@pytest.mark.parametrize(("l1", "each"), [(0, 240), (0.1, 400)])
def test_a_model_too_large_for_the_start_that_the_job_names_is_refused(
    l1: float, each: int
) -> None:
    job = wide_job()
    job.spec["model"] = {"name": "logistic_regression", "l1": l1}
    job.spec["algorithm"] = {"name": "model_averaging", "start": "sample"}
    job.partitioned()
    plan_shards("job", job.storage, most_model_bytes=each * 41)
    text = "algorithm.start 'sample' a function has room for 40: .* or another algorithm.start"
    with pytest.raises(ModelTooLargeError, match=text):
        plan_shards("job", job.storage, most_model_bytes=each * 40)


def prices() -> bytes:
    """Return rows whose labels are hundreds of thousands."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(300, 3)) * [1, 100, 0.01]
    y = 3e5 + X @ [5e4, -700, 2e6] + rng.normal(scale=2e4, size=300)
    rows = [
        ",".join(map(repr, [*row.tolist(), label]))
        for row, label in zip(X, y.tolist(), strict=True)
    ]
    return "\n".join(rows).encode()


@pytest.mark.parametrize("size", [1e-30, 1e-17, 1.0, 3e16, 1e30])
def test_least_squares_learns_labels_whose_squares_float32_lacks(size: float) -> None:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(60, 2))
    y = (X @ [1, -2] + 3) * size
    rows = [
        ",".join(map(repr, [*row, label]))
        for row, label in zip(X.tolist(), y.tolist(), strict=True)
    ]
    job = open_job(None, model={"name": "linear_regression"})
    job.data.save("rows.csv", "\n".join(rows).encode())
    job.initialised()
    plan, report = job.training_plan(), job.epoch(1)
    assert plan.about.choices["algorithm.name"] == "least_squares"
    assert plan.spec.model.trains_on_scaled_labels is (size != 1)
    assert report.metrics["rmse"] < 1e-6 * size
    assert report.decision == "converged"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_regression_learns_labels_of_any_size(algorithm: str | None) -> None:
    job = open_job(algorithm, model={"name": "linear_regression"}, stop={"max_epochs": 20})
    job.data.save("rows.csv", prices())
    job.initialised()
    epoch, is_over = 0, False
    while not is_over:
        report = job.epoch(epoch := epoch + 1)
        is_over = report.decision != "continue"
    assert report.metrics["r2"] > 0.9
    assert report.loss == pytest.approx(report.metrics["rmse"] ** 2 / 2, rel=1e-4)
    assert report.training_loss == pytest.approx(2e4**2 / 2, rel=0.5) or algorithm is None
    final = job.finalise(epoch)
    assert final.warnings == []
    artifact = trained_model(job.store, job.training_plan(), final)
    arrays = artifact.model.arrays(artifact.parameters)
    assert arrays["intercept"][0] == pytest.approx(3e5, rel=0.05)


def test_a_resumed_regression_keeps_the_unit_of_its_labels() -> None:
    model = {"name": "linear_regression"}
    first = open_job("model_averaging", model=model, stop=SEVERAL)
    first.data.save("rows.csv", prices())
    bits = trained(first, 3)
    fields = OPEN | {"algorithm": None, "model": model, "stop": SEVERAL}
    other = Job("next", first.storage, **fields)
    other.data.save("rows.csv", prices())
    other.spec["resume_from"] = {"job": "job", "epoch": 2}
    other.initialised()
    other.epoch(3)
    state = JobStore(first.storage, "next").state(3).load()
    np.testing.assert_array_equal(state.parameters, bits)
