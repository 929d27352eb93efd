"""The rows that validate: a share, a file of their own, or none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from lambdas.job_store.shards import load_shard
from stepml.job import keys
from stepml.job.errors import InvalidJobError, NotEnoughDataError, StepMLError
from tests.support.jobs import Job

N_ROWS = 90


def lines(numbers: Iterable[int], header: str = "a,b,y") -> bytes:
    """Return rows whose first feature is their number."""
    rows = (f"{n},{(n * 7) % 11},{n % 2}" for n in numbers)
    return "\n".join([header, *rows, ""]).encode()


def job(validation: dict[str, Any] | None = None, **fields: Any) -> Job:
    data = {"uri": "s3://data/train/", "format": "csv", **fields.pop("data", {})}
    if validation is not None:
        data["validation"] = validation
    found = Job(data=data, **fields)
    found.data.save("train/1.csv", lines(range(50)))
    found.data.save("train/2.csv", lines(range(50, N_ROWS)))
    return found


def numbers(begun: Job, rank: int) -> list[int]:
    """Return the numbers of a rank's rows, or of the validation rows."""
    shard = load_shard(begun.store, begun.training_plan(), rank)
    return sorted(np.asarray(shard.X)[:, 0].astype(int).tolist())


def split(begun: Job) -> tuple[list[int], list[int]]:
    """Return the numbers of the training rows and of the validation rows."""
    begun.initialised()
    training = [n for rank in range(begun.spec["workers"]) for n in numbers(begun, rank)]
    return sorted(training), numbers(begun, keys.VALIDATION)


def test_a_file_of_its_own_validates() -> None:
    begun = job({"uri": "s3://data/other/valid.csv"})
    begun.data.save("other/valid.csv", lines(range(100, 117)))
    training, validating = split(begun)
    assert training == list(range(N_ROWS))
    assert validating == list(range(100, 117))
    begun.epoch(1)
    report = begun.finalise(1)
    assert (report.dataset.training_rows, report.dataset.validation_rows) == (N_ROWS, 17)
    assert "17 rows validate, as data.validation says" in report.dataset.notes


def test_objects_below_the_prefix_of_the_data_are_not_for_training_as_well() -> None:
    begun = job({"uri": "s3://data/train/2.csv"})
    training, validating = split(begun)
    assert training == list(range(50))
    assert validating == list(range(50, N_ROWS))


def test_neither_ranges_nor_workers_change_the_rows() -> None:
    uri = {"uri": "s3://data/valid/"}
    shards = []
    for workers, ranges in ((3, 1), (3, 7), (1, 2)):
        begun = job(uri, data={"ranges": ranges}, workers=workers)
        begun.data.save("valid/1.csv", lines(range(100, 120)))
        begun.data.save("valid/2.csv", lines(range(120, 125)))
        assert split(begun) == (list(range(N_ROWS)), list(range(100, 125)))
        shards.append(load_shard(begun.store, begun.training_plan(), keys.VALIDATION).X.tobytes())
    assert len(set(shards)) == 1


def test_the_features_scale_is_that_of_the_training_rows() -> None:
    begun = job({"uri": "s3://data/valid.csv"}, data={"standardise": True})
    begun.data.save("valid.csv", lines(range(1000, 1010)))
    begun.initialised()
    assert begun.store.scale.load().mean[0] == pytest.approx(np.mean(range(N_ROWS)))


def test_another_file_for_validation_is_another_data_set() -> None:
    begun = job({"uri": "s3://data/valid.csv"})
    begun.data.save("valid.csv", lines(range(1000, 1010)))
    begun.prepare()
    first = begun.partition_plan().digest
    for fields in ({}, {"validation": {"uri": "s3://data/train/2.csv"}}):
        other = Job("other", data=begun.spec["data"] | {"validation": None} | fields)
        other.data = begun.data
        other.prepare()
        assert other.partition_plan().digest != first


def test_a_share_of_0_holds_no_row_out() -> None:
    begun = job(data={"validation_fraction": 0})
    training, validating = split(begun)
    assert training == validating == list(range(N_ROWS))
    begun.epoch(1)
    report = begun.finalise(1)
    assert report.dataset.training_rows == N_ROWS
    note = "no row is held out: loss and metrics are measured on training rows"
    assert note in report.dataset.notes


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"uri": "s3://data/valid/"}, "data.validation.uri: nothing lies at s3://data/valid/"),
        ({"uri": "s3://data/train/"}, "all that lies at s3://data/train/ is for validation"),
        (
            {"uri": "s3://elsewhere/valid.csv"},
            "data.validation.uri: expected an object in the bucket of data.uri, 'data', got",
        ),
        ({}, "data.validation: expected uri"),
    ],
)
def test_what_cannot_validate_is_refused_by_name(validation: dict[str, Any], message: str) -> None:
    with pytest.raises(StepMLError) as caught:
        job(validation).prepare()
    assert message in str(caught.value)


def test_a_file_and_a_share_exclude_each_other() -> None:
    begun = job({"uri": "s3://data/train/2.csv"}, data={"validation_fraction": 0.2})
    with pytest.raises(InvalidJobError, match=r"validation_fraction: has no effect .* got 0.2"):
        begun.prepare()


def test_a_file_without_rows_is_refused() -> None:
    begun = job({"uri": "s3://data/valid.csv"})
    begun.data.save("valid.csv", b"a,b,y\n")
    with pytest.raises(NotEnoughDataError, match="none of the rows is for validation"):
        begun.partitioned()


def test_a_file_with_other_columns_is_refused() -> None:
    begun = job({"uri": "s3://data/valid.csv"})
    begun.data.save("valid.csv", lines(range(5), header="a,c,y"))
    with pytest.raises(StepMLError, match="'c' instead of 'b'"):
        begun.partitioned()
