"""``stepml check`` says before a job what the job says of its data, and refuses what it refuses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stepml.job.errors import InvalidDataError, InvalidJobError
from stepml.job.parse import parse_job
from stepml.ml.job_trial import JobTrial, try_job
from tests.support.jobs import Job, csv_rows

CITIES = ("Rome", "Oslo", "")
TABLE = "id,city,age,ok,day,empty,size,y\n" + "".join(
    f"u{n},{CITIES[n % 3]},{'' if n % 7 == 0 else n % 50 + 0.5},{n % 2 == 0},"
    f"2020-{n % 12 + 1:02}-{n % 28 + 1:02},,{n * 1e6:.0f},{('no', 'yes')[(n // 3) % 2]}\n"
    for n in range(300)
)
NUMBERS = "a,b,c,y\n" + "".join(f"{n},{n % 7},1,{n % 3}\n" for n in range(200))


def tried(job: Job) -> JobTrial:
    return try_job(parse_job(job.spec), job.data, "own-bucket", 1000)


def job_on(content: str | bytes, **changed: Any) -> Job:
    data = {"uri": "s3://data/rows.csv", **changed.pop("data", {})}
    job = Job(chooses=True, **({"data": data, "algorithm": None, "stop": {}} | changed))
    job.data.save("rows.csv", content if isinstance(content, bytes) else content.encode())
    return job


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        (csv_rows(), {}),
        (NUMBERS, {"model": {"name": "softmax_regression"}}),
        (NUMBERS, {"model": {"name": "kmeans", "n_clusters": 2}}),
        (NUMBERS, {"model": {"name": "linear_regression"}}),
        (TABLE, {}),
        (TABLE, {"data": {"columns": {"drop": ["id"], "uninformative": "drop"}}}),
        (TABLE, {"data": {"encode": {"id": "hash"}, "missing": {"age": "median"}}}),
        (TABLE, {"data": {"dates": ["month", "weekday"], "missing_indicator": True}}),
        (TABLE, {"data": {"standardise": False}}),
    ],
)
def test_the_facts_are_those_of_the_job(content: str | bytes, changed: dict[str, Any]) -> None:
    job = job_on(content, **changed)
    found = tried(job)
    job.initialised()

    about = job.training_plan().about
    assert found.mistakes == []
    assert found.facts is not None
    assert sorted(found.facts.notes) == sorted(about.notes)
    assert found.facts.warnings == about.warnings
    # Of the choices, those that only the first parameters show are left out.
    assert found.facts.choices.items() <= about.choices.items()
    same = {"notes": [], "warnings": [], "choices": {}}
    assert msgspec.structs.replace(found.facts, **same) == msgspec.structs.replace(about, **same)


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        (NUMBERS, {}),  # three labels
        (NUMBERS, {"workers": 500}),
        (NUMBERS.replace("3,3,1", "3,x,1"), {"model": {"name": "softmax_regression"}}),
        (TABLE, {"model": {"name": "linear_regression"}}),
        (TABLE, {"data": {"label": "yy"}}),
        (TABLE, {"data": {"columns": {"drop": ["idd"]}}}),
        (TABLE, {"data": {"encode": {"age": "hash", "nothing": "hash"}}}),
        (TABLE, {"data": {"columns": {"types": {"city": "number"}}}}),
        (TABLE, {"data": {"missing": "fail"}}),
        (TABLE, {"data": {"n_features": 3}}),
        ("a,y\n", {}),
        ("a,y\n1,1\n2,1\n", {}),
        ("", {}),
        (b"PAR1", {}),
    ],
)
def test_what_ends_the_job_is_among_the_mistakes(
    content: str | bytes, changed: dict[str, Any]
) -> None:
    job = job_on(content, **changed)
    found = tried(job)
    with pytest.raises((InvalidDataError, InvalidJobError)) as caught:
        job.initialised()
    assert str(caught.value) in found.mistakes
