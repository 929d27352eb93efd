"""The epoch whose model a job writes, and the metric by which it judges."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from stepml.job import keys
from stepml.job.errors import InvalidDataError, InvalidJobError
from tests.support.jobs import Job

WILD: dict[str, Any] = {"name": "gradient_averaging", "learning_rate": 20, "batch_size": 10}
WILD |= {"momentum": 0.5}


def wild(job_id: str = "job", like: Job | None = None, epochs: int = 5, **fields: Any) -> Job:
    """Return a job whose loss rises and falls."""
    storage = None if like is None else like.storage
    stop = {"max_epochs": epochs, **fields.pop("stop", {})}
    return Job(job_id, storage, algorithm=WILD, stop=stop, **fields)


def trained(job: Job, first: int = 1) -> list[Any]:
    job.initialised()
    return [job.epoch(number) for number in range(first, job.spec["stop"]["max_epochs"] + 1)]


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_the_best_epoch_s_model_is_written(metric: str) -> None:
    job = wild(stop={"keep": "best", "metric": metric})
    reports = trained(job)
    values = [-each.loss if metric == "loss" else each.metrics[metric] for each in reports]
    best = values.index(max(values)) + 1
    assert best < 5
    report = job.finalise(5)
    assert (report.epochs, report.model_epoch) == (5, best)
    assert (report.loss, report.metrics) == (reports[best - 1].loss, reports[best - 1].metrics)
    card = json.loads(job.storage.load(keys.model_card("job")))
    assert card["epoch"] == best
    expected = job.store.state(best).load().parameters
    model = bytes(job.storage.load(keys.model("job")))
    assert model.endswith(expected.tobytes()) or expected[:-1].tobytes() in model
    assert job.finalise(5) == report  # again


def test_the_last_epoch_s_model_is_written_if_nothing_is_said() -> None:
    job = wild()
    reports = trained(job)
    report = job.finalise(5)
    assert (report.model_epoch, report.loss) == (5, reports[-1].loss)


def test_a_resumed_job_keeps_the_best_of_all_epochs() -> None:
    """Also of those that an earlier job trained, and the job that it had resumed."""
    first = wild("first", epochs=3)
    losses = [each.loss for each in trained(first)]
    first.finalise(3)
    second = wild("second", first, epochs=4, resume_from="first")
    losses += [each.loss for each in trained(second, 4)]
    second.finalise(4)
    stop = {"keep": "best", "tolerance": 0.0, "patience": 5}
    third = wild("third", second, epochs=5, resume_from="second", stop=stop)
    losses += [each.loss for each in trained(third, 5)]
    best = losses.index(min(losses)) + 1
    assert best < 4
    report = third.finalise(5)
    assert (report.model_epoch, report.loss) == (best, min(losses))


def test_a_best_state_that_is_gone_is_missed_before_anything_starts() -> None:
    first = wild("first", epochs=4)
    losses = [each.loss for each in trained(first)]
    best = losses.index(min(losses)) + 1
    first.store.state(best).delete()
    resumed = wild("second", first, resume_from="first", stop={"keep": "best"})
    with pytest.raises(InvalidJobError, match=rf"deleted a result of epoch {best} "):
        resumed.prepare()
    resumed.spec["stop"] = {"max_epochs": 5}
    resumed.prepare()


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_metric_that_an_earlier_version_did_not_measure_is_refused(keep: str) -> None:
    first = wild("first", epochs=3)
    trained(first)
    old = first.store.report(2)
    old.save(msgspec.structs.replace(old.load(), metrics={"accuracy": 0.5}))
    stop = {"metric": "f1", "keep": keep}
    resumed = wild("second", first, resume_from="first", stop=stop)
    message = (
        r"stop.metric: epoch 2 of job 'first', .* has no f1 .* one of loss, accuracy, or .* below 2"
    )
    with pytest.raises(InvalidJobError, match=message):
        resumed.prepare()
    resumed.spec["stop"] |= {"metric": "accuracy"}
    resumed.prepare()
    early = {"job": "first", "epoch": 1}
    trained(wild("third", first, epochs=2, resume_from=early, stop=stop), 2)


def test_a_metric_that_the_data_lack_is_refused_before_training() -> None:
    job = Job(model={"name": "svm"}, stop={"metric": "auc", "max_epochs": 2})
    rows = b"".join(b"%d,%d\n" % (number, number % 3) for number in range(60))
    job.data.save("rows.csv", rows)
    job.partitioned()
    job.assemble()
    with pytest.raises(InvalidDataError, match=r"stop.metric: the validation rows have no auc"):
        job.initialise()


def test_a_metric_decides_when_a_job_ends() -> None:
    job = Job(stop={"metric": "accuracy", "target": 0.5, "max_epochs": 9})
    job.initialised()
    report = job.epoch(1)
    assert report.decision == "converged"
    assert report.reason == f"accuracy {report.metrics['accuracy']:.6g} reached target 0.5"
    assert (report.measure, report.best_value) == ("accuracy", report.metrics["accuracy"])
